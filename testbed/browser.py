"""Browsers of people, on the lab's servers: what a person does is done by the pages alone.

Playwright drives Debian's Chromium; axe-core judges pages (https://github.com/dequelabs/axe-core, WCAG 2.1 A and AA).
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped] # it has no types
from playwright.sync_api import Browser, Page, Response, TimeoutError, sync_playwright

from testbed.nss import trust

PATIENCE_MS = 60_000  # a page, on a machine that is busy
SIZES = {"bureau": (1280, 800), "téléphone": (390, 844)}
GRAVE = ("critical", "serious")


@dataclass
class Person:
    """Somebody at their computer.

    Attributes:
        addresses: every address that the browser showed, for what they must never hold.
        times: of each page, path and milliseconds from the request to the end of its loading.
    """

    page: Page
    pictures: Path | None = None
    addresses: list[str] = field(default_factory=list)
    times: list[tuple[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("framenavigated", lambda frame: self.addresses.append(frame.url))

    def _loaded(self) -> None:
        """Wait for a page, and note how long it took."""
        self.page.wait_for_load_state()
        spent = self.page.evaluate("performance.getEntriesByType('navigation')[0]?.loadEventEnd ?? 0")
        self.times.append((re.sub(r"[?#].*", "", self.page.url), float(spent)))

    def go(self, url: str, status: int = 200) -> Response:
        """Type an address."""
        answer = self.page.goto(url)
        assert answer is not None and answer.status == status, (url, answer and answer.status)
        self._loaded()
        return answer

    def settle(self) -> None:
        """Wait for what a page's scripts bring: the content of Mayan's frame, which never stops asking for news, or
        what the portal's lists ask for."""
        self.page.wait_for_load_state()
        if self.page.locator("#ajax-content").count():
            self.page.locator("#ajax-content #content-title").wait_for()
            return
        with contextlib.suppress(TimeoutError):
            self.page.wait_for_load_state("networkidle", timeout=15_000)

    def read(self) -> str:
        """What the page shows."""
        return self.page.inner_text("body")

    def press(self, name: str | re.Pattern[str], role: Any = "button") -> None:
        """Press the button, or follow the link, of a name; wait for what comes."""
        found = self.page.get_by_role(role, name=name, exact=isinstance(name, str))
        assert found.count() == 1, (name, role, found.count(), self.page.url, self.read()[:1500])
        before = self.page.evaluate("performance.timeOrigin")
        found.click()
        # Another page came, not only another address of the same one.
        self.page.wait_for_function("before => performance.timeOrigin !== before", arg=before)
        self._loaded()

    def by_keyboard(self, name: str) -> None:
        """Reach a button by the keyboard alone, and press it."""
        for _ in range(300):
            self.page.keyboard.press("Tab")
            if self.page.evaluate("document.activeElement.textContent.trim()") == name:
                with self.page.expect_navigation():
                    self.page.keyboard.press("Enter")
                return
        raise AssertionError(f"« {name} » ne s'atteint pas au clavier sur {self.page.url}")

    def picture(self, name: str) -> None:
        """Leave a picture of the page, for people to look at."""
        if self.pictures:
            self.page.screenshot(path=self.pictures / f"{name}.png", full_page=True)

    def faults(self, name: str = "") -> list[str]:
        """What is wrong with the page, on a desk's and on a telephone's screen; [] for a good one."""
        found = []
        for screen, (width, height) in SIZES.items():
            self.page.set_viewport_size({"width": width, "height": height})
            self.picture(f"{name}-{screen}" if name else "")
            for one in Axe().run(self.page).response["violations"]:
                if one["impact"] in GRAVE:
                    places = [
                        (node["target"][0], node["any"][0]["message"] if node["any"] else "") for node in one["nodes"]
                    ]
                    found.append(f"{screen} : {one['impact']} {one['id']} × {len(places)} : {places[:3]}")
            wide = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            if wide > 0:
                found.append(f"{screen} : {wide} px de trop en largeur")
        width, height = SIZES["bureau"]
        self.page.set_viewport_size({"width": width, "height": height})
        titles = self.page.locator("h1:visible").count()
        if titles != 1:
            found.append(f"{titles} titres de premier rang")
        return found


class People:
    """Browsers of people who share nothing but the program."""

    def __init__(self, browser: Browser, pictures: Path | None) -> None:
        self._browser, self._pictures = browser, pictures

    @contextmanager
    def one(self) -> Iterator[Person]:
        """A new browser, of nobody yet."""
        width, height = SIZES["bureau"]
        context = self._browser.new_context(
            locale="fr-FR",
            timezone_id="Europe/Paris",
            viewport={"width": width, "height": height},
        )
        try:
            yield Person(context.new_page(), self._pictures)
        finally:
            context.close()


@contextmanager
def people(servers: Mapping[str, str], bundle: str, home: Path, pictures: str = "") -> Iterator[People]:
    """Have browsers that find some servers alone, and believe the groupement's authorities.

    Args:
        servers: address of each, by its name.
        bundle: file of the authorities.
        home: an empty folder.
        pictures: folder where pictures of the pages are left.
    """
    trust(home, bundle)
    rules = ", ".join(f"MAP {name} {address}" for name, address in servers.items())
    known = ", ".join(f"EXCLUDE {address}" for address in servers.values())
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path="/usr/bin/chromium",
            # In a container, root has no other sandbox than the machine's.
            args=["--no-sandbox", "--disable-gpu", f"--host-resolver-rules={rules}, MAP * ~NOTFOUND, {known}"],
            env={**os.environ, "HOME": str(home)},
        )
        try:
            yield People(browser, Path(pictures) if pictures else None)
        finally:
            browser.close()
