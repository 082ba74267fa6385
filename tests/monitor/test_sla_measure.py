"""What of an observation goes into the sums of a quarter hour."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from monitor.probe import Answer, Observation
from monitor.sla.measure import Quarters
from monitor.status.state import Health

LINK = "link/blace/primary"


@pytest.mark.parametrize(
    ("values", "sums"),
    [
        ({"probes_sent": 5.0, "loss_ratio": 0.2, "rtt_seconds": 0.01}, [(5, 1)]),
        ({"probes_sent": 5.0, "loss_ratio": 0.0, "rtt_seconds": 0.01}, [(5, 0)]),
        ({"probes_sent": 5.0, "rtt_seconds": 0.01}, []),  # this machine dropped packets: the loss is not known
        ({"loss_ratio": 0.0}, []),
    ],
)
def test_only_what_was_measured_is_summed(values: Mapping[str, float], sums: list[tuple[int, int]]) -> None:
    quarters = Quarters()
    quarters.add(Observation(LINK, "stamp", 1_795_490_000.0, Answer.OK, values=values), Health.OK)
    assert [(quarter.sent, quarter.lost) for quarter in quarters.over(None, 1)] == sums
