"""What people write says what it says, and does nothing: what the site's scripts act on is taken out where it is shown.

Plone's safe_html keeps classes and styles. The site's scripts look for classes (`pat-inject` fetches whatever a link
leads to, and puts it in the page: a picture that holds HTML runs its script as whoever clicked), styles place a link
over a whole page, and elements that screens do not show were drawn in the document that is signed.
"""

from __future__ import annotations

import re
from typing import Any

from Products.PortalTransforms.transforms import safe_html

TAGS = (
    "a", "abbr", "acronym", "address", "article", "aside", "b", "bdo", "big", "blockquote", "body", "br", "caption",
    "cite", "code", "col", "colgroup", "dd", "del", "dfn", "div", "dl", "dt", "em", "figcaption", "figure", "footer",
    "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "html", "i", "img", "ins", "kbd", "li", "mark", "ol", "p",
    "pre", "q", "samp", "section", "small", "span", "strong", "sub", "sup", "table", "tbody", "td", "tfoot", "th",
    "thead", "time", "tr", "tt", "u", "ul", "var",
)  # fmt: skip # a list of words
"""What stays of a text: of other elements, what they hold stays, where a screen shows it."""
# Those of the editor's own styles.
_CLASSES = re.compile(
    r"text-(?:start|center|end|justify|columns-[23])|image-(?:left|right|inline|richtext)|discreet|clearfix"
    r"|listing(?:-compact)?|plain|invisible-grid|table(?:-bordered)?"
)
_STYLES = re.compile(
    r"(?:background-)?color|border(?:-[a-z]+)*|float|font-(?:family|size|style|weight)|height|line-height"
    r"|list-style-type|margin(?:-[a-z]+)?|max-width|padding(?:-[a-z]+)?|page-break-[a-z]+"
    r"|text-(?:align|decoration|indent)|vertical-align|white-space|width"
)
# No address, no function but a colour's, and nothing below zero, which places over something else.
_STYLE_VALUE_PATTERN = re.compile(r"(?:[\w\s.,%#!'\"]|(?<=[A-Za-z])-(?=[A-Za-z])|rgba?\([\d\s.,%]*\))+")


def install(_event: Any) -> None:
    """When the site starts: whatever page or document shows a text."""
    clean: Any = safe_html.Cleaner

    class Cleaner(clean):
        """Plone's, then ours."""

        def __init__(self, **options: Any) -> None:
            super().__init__(**options | {"allow_tags": TAGS})

        def __call__(self, tree: Any) -> None:
            super().__call__(tree)
            tidy(tree)

    safe_html.Cleaner = Cleaner


def tidy(tree: Any) -> None:
    """Leave elements the classes and styles that only show them otherwise (lxml's, as the cleaner left it)."""
    for one in tree.iter():
        if not isinstance(one.tag, str):
            continue
        _set_attribute(
            one, "class", " ".join(name for name in one.get("class", "").split() if _CLASSES.fullmatch(name))
        )
        _set_attribute(one, "style", "; ".join(_allowed_declarations(one.get("style", ""))))


def _set_attribute(one: Any, name: str, value: str) -> None:
    if value:
        one.set(name, value)
    else:
        one.attrib.pop(name, None)


def _allowed_declarations(style: str) -> list[str]:
    found = []
    for part in style.split(";"):
        name, _colon, value = (text.strip() for text in part.partition(":"))
        if _STYLES.fullmatch(name.lower()) and _STYLE_VALUE_PATTERN.fullmatch(value):
            found.append(f"{name.lower()}: {value}")
    return found
