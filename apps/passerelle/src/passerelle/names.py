"""What looks like the name of somebody in a text: shown to who reads it before it is made public (CRPA, L312-1-2).

It helps a person to read and decides nothing: no list of words knows all names, and what it misses is one no less.
"""

from __future__ import annotations

import re

_TITLE = r"(?i:monsieur|madame|mademoiselle|messieurs|mesdames|ma[îi]tre|docteur|veuve|mm?|mrs?|mmes?|mlles?|me|dr|vve)"
_KIN = r"(?i:époux|épouses?|consorts?|héritiers?|famille|indivision|succession|veufs?|enfants?|mineure?s?)"
_LINK = r"(?:(?:de|du|des|la|le|les|et|van|von|der|den|ben|el|al)\s+|d['’]\s*|l['’]\s*)"
_CAPITAL = r"[^\W\d_a-zà-öø-ÿœ][\w'’-]{0,40}\.?"  # a word that begins with a capital, accents included
_NAME = re.compile(
    rf"\b(?:{_TITLE})(?:\.|\b)\s*(?:{_LINK}){{0,3}}{_CAPITAL}(?:\s+(?:{_LINK}){{0,3}}{_CAPITAL}){{0,4}}"
    rf"|\b(?:{_KIN})\s+(?:{_LINK}){{0,3}}\w[\w'’-]{{0,40}}(?:\s+{_CAPITAL}){{0,4}}"
    rf"|\b{_CAPITAL}(?:\s+(?:{_LINK}){{0,3}}{_CAPITAL}){{1,4}}"  # Jean Dupont, J. Dupont, Jean de La Tour
    r"|\b[^\W\d_a-zà-öø-ÿœ]{2,40}\b"  # DUPONT
)


def marked(text: str) -> list[tuple[str, bool]]:
    """The text in pieces, and whether each looks like a name."""
    found: list[tuple[str, bool]] = []
    at = 0
    for one in _NAME.finditer(text):
        found += [(text[at : one.start()], False)] * (one.start() > at) + [(one[0], True)]
        at = one.end()
    return [*found, (text[at:], False)] if at < len(text) else found
