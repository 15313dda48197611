"""What people write does nothing where it is shown, and hides nothing."""

from __future__ import annotations

from typing import Any

import pytest
from lxml import html

from apps.deliberations.tests.beside_plone import module

_AT = "Products.PortalTransforms.transforms"


class Kept:
    """Plone's cleaner, as it leaves what it allows."""

    def __init__(self, **options: Any) -> None:
        self.allow_tags = options["allow_tags"]

    def __call__(self, tree: Any) -> None:
        for one in [one for one in tree.iterdescendants("*") if one.tag not in self.allow_tags]:
            one.drop_tag()


@pytest.fixture
def markup(monkeypatch: pytest.MonkeyPatch) -> Any:
    more = ("Products.PortalTransforms", _AT, f"{_AT}.safe_html")
    found = module(monkeypatch, "markup", more=more, having={f"{_AT}.safe_html": {"Cleaner": Kept}})
    found.safe_html.Cleaner = Kept
    found.install(object())
    return found


def shown(markup: Any, text: str) -> str:
    tree = html.fragment_fromstring(text, create_parent=True)
    markup.safe_html.Cleaner(allow_tags=["iframe", "p"])(tree)
    return html.tostring(tree, encoding="unicode").removeprefix("<div>").removesuffix("</div>")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (
            '<a class="pat-inject" href="/plan.jpg#x" style="position:fixed; top:0; width:100%; z-index:9">a</a>',
            '<a href="/plan.jpg#x" style="width: 100%">a</a>',
        ),
        ('<p class="text-center PAT-MODAL d-none listing">a</p>', '<p class="text-center listing">a</p>'),
        ('<p class="d-none">article 2</p>', "<p>article 2</p>"),
        ('<p style="DISPLAY:none;text-align: right">a</p>', '<p style="text-align: right">a</p>'),
        ('<p style="margin-top:-40em; margin-top: calc(0px - 40em)">a</p>', "<p>a</p>"),
        ('<p style="color: rgb(1, 2, 3); background-color: url(/x)">a</p>', '<p style="color: rgb(1, 2, 3)">a</p>'),
        ('<p style="width:1px;/**/position/**/:fixed;\\70osition:fixed">a</p>', '<p style="width: 1px">a</p>'),
        ("<details><p>article 2</p></details><video>article 3</video>", "<p>article 2</p>article 3"),
        (
            '<p><!-- --></p><table class="table"><tr><td colspan="2">a</td></tr></table>',
            '<p><!-- --></p><table class="table"><tr><td colspan="2">a</td></tr></table>',
        ),
    ],
)
def test_a_text_says_what_it_says_and_does_nothing(markup: Any, text: str, left: str) -> None:
    """A class of Patternslib's put a picture's comment into the page of whoever clicked: it approved a convocation."""
    assert shown(markup, text) == left
