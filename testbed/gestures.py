"""How many gestures a person makes on pages: presses of a pointer, and fields typed or chosen, told by the browser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Page

# In every page, before its own scripts: a press is one gesture whatever it lands on; a field that is typed in, or
# chosen from a list, is one however many letters it takes.
_LISTEN = """
document.addEventListener("pointerdown", function (event) {
  if (event.target.nodeName !== "SELECT" && event.target.nodeName !== "OPTION") window.noterGeste("clic");
}, true);
document.addEventListener("change", function (event) {
  var box = event.target.matches("[type=checkbox], [type=radio]");
  if (!box && event.target.matches("select, textarea, input")) window.noterGeste("champ");
}, true);
"""


@dataclass
class Gestures:
    """What was counted since it was made."""

    clicks: int = 0
    fields: int = 0

    def _note(self, _source: Any, kind: str) -> None:
        if kind == "clic":
            self.clicks += 1
        else:
            self.fields += 1

    @property
    def all(self) -> int:
        """Clicks and fields."""
        return self.clicks + self.fields


def count(page: Page) -> Gestures:
    """Count the gestures made on a page's window from its next page on."""
    found = Gestures()
    page.expose_binding("noterGeste", found._note)
    page.add_init_script(_LISTEN)
    return found
