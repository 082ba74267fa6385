"""Debian's Chromium for a test: ``with browsing() as browser: page = open_page(browser, PHONE)``.

A page fails its test when its script throws or the console shows an error that was not expected.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

CHROMIUM = "/usr/bin/chromium"
QUIET = (
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
DESKTOP = (1440, 900)
PHONE = (390, 844)
STEP_MS = 60_000  # however slow the machine
expect.set_options(timeout=STEP_MS)


@dataclass
class Seen:
    """A page and what its script complained of."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def note(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def fits(self) -> None:
        """Demand that nothing is wider than the screen."""
        wide, screen = self.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert wide <= screen, f"{self.page.url} is {wide} wide on a screen of {screen}"


@contextmanager
def browsing() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        try:
            yield browser
        finally:
            browser.close()


def open_page(
    browser: Browser,
    size: tuple[int, int] = DESKTOP,
    *,
    colours: Literal["light", "dark"] = "light",
    script: bool = True,
) -> Seen:
    """Return an empty page of that size; the phone's has touch and no mouse."""
    phone = size == PHONE
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=colours,
        is_mobile=phone,
        has_touch=phone,
        java_script_enabled=script,
    )
    context.set_default_timeout(STEP_MS)
    seen = Seen(context.new_page())
    seen.page.on("console", seen.note)
    seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    return seen
