"""The search for a log-in form: as HTMLParser sees ordinary pages, and in linear time on hostile ones."""

from __future__ import annotations

import time
from html import escape
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.clients.http_form import LARGEST_PAGE, find_form, tags
from monitor.errors import Refused

AT = "https://a.example/login"
NAMES = ("username", "password")
FORM = "<form method=post action=/go><input name=username><input name=password type=password></form>"


class Theirs(HTMLParser):
    """Gathers the tags as ``tags`` tells them."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in reversed(attrs)}))

    def handle_endtag(self, tag: str) -> None:
        self.found.append((f"/{tag}", {}))


WORDS = st.text("abcdefghij é<>\"'&=/-", max_size=8)
KEYS = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_-]{0,6}", fullmatch=True)
SPACES = st.sampled_from([" ", "\n", "\t ", "  "])


@st.composite
def attribute(draw: st.DrawFn) -> str:
    key, form = draw(KEYS), draw(st.integers(0, 3))
    if form == 0:
        return key
    if form == 1:
        return f"{key}={draw(KEYS)}"
    quote = '"' if form == 2 else "'"
    spaced = draw(st.sampled_from(["=", " = ", "\n="]))
    return f"{key}{spaced}{quote}{escape(draw(WORDS), quote=True)}{quote}"


@st.composite
def start_tag(draw: st.DrawFn) -> str:
    name = draw(st.sampled_from(["form", "FORM", "input", "Input", "p", "br", "div"]))
    return f"<{name}" + "".join(draw(SPACES) + one for one in draw(st.lists(attribute(), max_size=4))) + ">"


PIECES = st.one_of(
    start_tag(),
    st.sampled_from(["</form>", "</FORM >", "</p>", "<!doctype html>", "<?xml?>", "< ", "a < b", "&amp;", "<>"]),
    WORDS.map(lambda text: escape(text, quote=False)),
    WORDS.map(lambda text: f"<!-- {text.replace('-', '').replace('>', '')} -->"),
    st.just("<script>if (a < b) x = '<form>';</script>"),
    st.just("<style>a > b {}</style>"),
)


@given(st.lists(PIECES, max_size=12).map("".join))
def test_ordinary_pages_are_read_as_htmlparser_reads_them(page: str) -> None:
    assert [*tags(page)] == Theirs(page).found


HOSTILE = [
    "<a ", "<a a=", "<a a='", '<a a="', "<", "</", "</a ", "<!--", "<!", "<![x[", "<?", "<a/", "<a b=c ", " =", "<a\n=",
    "<script>", "<title>", "</script", "<form>", "<input name=a>", "<a &", "<a x='&#1' ", "&#" + "9" * 200, "<a x=&a",
    "=",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
@pytest.mark.parametrize("before", ["", "<a ", "<a b='", "<script>", "<a b"])
def test_a_page_of_tags_that_never_end_takes_no_time(piece: str, before: str) -> None:
    page = (before + piece * LARGEST_PAGE)[:LARGEST_PAGE]
    began = time.process_time()
    with pytest.raises(Refused):
        find_form(page, AT, NAMES)
    assert time.process_time() - began < 2, "HTMLParser takes tens of seconds for the first of these"


@pytest.mark.parametrize(
    ("before", "found"),
    [
        ("<![x[", False),
        ("<![x[>", True),
        ("<!-->", True),
        ("<!--", False),
        ("<textarea>", False),
        ("<textarea></textarea>", True),
        ("<a title='", False),
        ("<a title='>'>", True),
        ("<p x=&#99999999999999999999;>", True),
        ("<p x='&#" + "9" * 5000 + ";'>", True),
    ],
)
def test_what_stands_before_a_form(before: str, found: bool) -> None:
    if found:
        assert find_form(before + FORM, AT, NAMES).action == "https://a.example/go"
    else:
        with pytest.raises(Refused):
            find_form(before + FORM, AT, NAMES)


def test_a_page_that_is_too_large_for_a_log_in_is_refused() -> None:
    with pytest.raises(Refused, match="larger than 64 KiB"):
        find_form(FORM + " " * LARGEST_PAGE, AT, NAMES)
