"""Loss each way from the far end's numbering: what a simulated wire lost is what is counted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from monitor.burst import Burst, Lost, Numbering

FATES = st.lists(st.sampled_from(["back", "lost there", "lost back", "doubled there"]), max_size=12)


def bursts_over(wire: list[list[str]], *, stateful: bool) -> list[Lost | None]:
    """Send bursts over a wire that does to each probe what is written, and return what is counted."""
    numbering, reflected, sequence, counts = Numbering(), 0, 0, []
    for burst in wire:
        for fate in burst:
            for _ in range({"lost there": 0, "doubled there": 2}.get(fate, 1)):
                if fate != "lost back":
                    numbering.take(sequence, reflected if stateful else sequence)
                reflected += 1
            sequence += 2 if sequence == 0 else 1
        counts.append(numbering.count())
    return counts


@given(st.lists(FATES, max_size=6))
def test_what_was_lost_each_way_is_counted_exactly_from_the_first_reply_to_the_last(wire: list[list[str]]) -> None:
    counts = bursts_over([["back"], *wire, ["back"]], stateful=True)
    sent = ["back", *(fate for burst in wire for fate in burst), "back"]
    told = [count for count in counts if count is not None]
    assert sum(one.forward for one in told) <= sent.count("lost there")
    assert sum(one.backward for one in told) <= sent.count("lost back")
    if "doubled there" not in sent:  # else its numbers may equal ours by chance, which tells nothing
        assert sum(one.forward for one in told) == sent.count("lost there")
        assert sum(one.backward for one in told) == sent.count("lost back")
        assert sum(one.probes for one in told) == len(sent) - 1


@given(st.lists(FATES, max_size=6))
def test_a_far_end_that_copies_our_numbers_tells_no_way(wire: list[list[str]]) -> None:
    assert set(bursts_over(wire, stateful=False)) <= {None}


def test_an_outage_is_told_once_it_is_over() -> None:
    well, cut = ["back"] * 5, ["lost there"] * 5
    assert bursts_over([well, cut, well], stateful=True) == [Lost(4, 0, 0), None, Lost(10, 5, 0)]
    assert bursts_over([well, ["lost back"] * 5, well], stateful=True) == [Lost(4, 0, 0), None, Lost(10, 0, 5)]


def test_a_restarted_far_end_is_no_loss() -> None:
    numbering = Numbering()
    for sequence in range(100, 105):
        numbering.take(sequence, sequence + 1000)
    assert numbering.count() == Lost(4, 0, 0)
    for number, sequence in enumerate(range(105, 110)):
        numbering.take(sequence, number)
    assert numbering.count() is None
    for number, sequence in enumerate(range(110, 115), 5):
        numbering.take(sequence, number)
    assert numbering.count() == Lost(5, 0, 0)


def test_what_this_machine_threw_away_is_no_loss() -> None:
    some = Burst(sent=5, duplicates=0, garbled=0, rtts_s=(0.1,), unread=True)
    assert "loss_ratio" not in some.values()
    assert some.doubt.startswith("this machine threw packets away")
    whole = Burst(sent=1, duplicates=0, garbled=0, rtts_s=(0.1,), unread=True)
    assert (whole.doubt, whole.values()["loss_ratio"]) == ("", 0.0)
