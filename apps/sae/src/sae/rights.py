"""Who may read an archive, and from when: communicability, as its SIP declared it (SEDA's AccessRule).

Code du patrimoine: public archives are communicable to anybody (L213-1), but for the interests that L213-2 protects,
each for its years, which count from the date of the document, or of the latest one of the dossier. What cannot be told
is not communicated: somebody classifies the archive first. The rule is read in the archive itself, so that what was
deposited before this is judged too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, cast

from lxml import etree

from sae.versement.seda import VERSIONS, namespace

_SEDA_NAMESPACES = {f"{{{namespace(version)}" for version in VERSIONS}
_MAX_CODE_LENGTH = 100  # characters of a code
# How a unit is covered: by a rule of its own, by what is above it, by nothing.
_OWN, _ABOVE, _NOTHING = "own", "above", "nothing"


@dataclass(frozen=True)
class Declared:
    """Access rules of an archive: code, and the day from which its years count (ISO 8601, or "").

    `whole` is False when some of it is under no rule.
    """

    rules: tuple[tuple[str, str], ...] = ()
    whole: bool = False


@dataclass(frozen=True)
class Verdict:
    """What the law says of an archive, today.

    Attributes:
        communicable: to anybody.
        since: the first day on which anybody may read it, past or to come; None when it always was, or cannot be told.
        code: the rule that decides; empty without one.
        why: in French, with the article.
    """

    communicable: bool
    since: date | None
    code: str
    why: str

    def severity(self) -> date:
        """For comparing: the day from which anybody may read, the last there is when nobody can tell."""
        return self.since or (date.min if self.communicable else date.max)


class _Reader:
    """A parser's target: takes the access rules out of a manifest; no tree is made."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._text = ""
        self._found: list[tuple[str, str]] = []
        self._own: list[tuple[str, str]] = []  # of the AccessRule being read
        self._apart = False  # it keeps what is above from applying
        self._units: list[str] = []  # how each unit on the way down is covered
        self._seen: set[str] = set()
        self._managed = False

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        space, _, name = tag.rpartition("}")
        self._names.append(name if space in _SEDA_NAMESPACES else "")  # an extension's own names decide nothing
        self._text = ""
        if self._names[-1] == "ArchiveUnit":
            self._units.append(self._units[-1] if self._units else _ABOVE)
        elif self._names[-1] == "AccessRule":
            self._own, self._apart = [], False

    def data(self, text: str) -> None:
        if self._names[-2:-1] == ["AccessRule"] and len(self._text) < _MAX_CODE_LENGTH:
            self._text += text

    def end(self, tag: str) -> None:
        name, above = self._names.pop(), self._names[-1] if self._names else ""
        if above == "AccessRule":
            self._in_rule(name, " ".join(self._text.split())[:_MAX_CODE_LENGTH])
        elif name == "AccessRule":
            self._found += self._own
            if above == "ManagementMetadata":
                self._managed = bool(self._own)
            elif above == "Management" and self._units and (self._own or self._apart):
                self._units[-1] = _OWN if self._own else _NOTHING
        elif name == "Rule" and above == "ClassificationRule":
            self._seen.add(_NOTHING)  # classified: no delay of an access rule says when it is read
        elif name == "ArchiveUnit":
            self._seen.add(self._units.pop())

    def _in_rule(self, name: str, text: str) -> None:
        if name == "Rule":
            self._own.append((text, ""))
        elif name == "StartDate" and self._own:
            self._own[-1] = (self._own[-1][0], text[:10])
        elif name == "RefNonRuleId" or (name == "PreventInheritance" and text in ("true", "1")):
            self._apart = True

    def close(self) -> Declared:
        told = self._managed or (bool(self._seen) and _ABOVE not in self._seen)
        return Declared(tuple(dict.fromkeys(self._found)), told and _NOTHING not in self._seen)


def declared(manifest: Iterable[bytes]) -> Declared:
    """The access rules of a manifest that the door took in, read block by block. Raises ValueError: it is no XML."""
    parser = etree.XMLParser(target=cast(Any, _Reader()), resolve_entities=False, load_dtd=False, no_network=True)
    try:
        for block in manifest:
            parser.feed(block)
        return cast(Declared, parser.close())
    except etree.XMLSyntaxError as error:
        raise ValueError(str(error)) from None


def judge(found: Declared, years: Mapping[str, int], today: date) -> Verdict:
    """Whether anybody may read an archive under these rules: the latest of them decides.

    Args:
        years: of each access rule.
    """
    if not found.rules or not found.whole:
        what = (
            "une partie de cette archive n'a pas de règle d'accès" if found.rules else "elle n'a pas de règle d'accès"
        )
        return Verdict(False, None, "", f"{what} : un archiviste la classe d'abord (sae-acces classer)")
    ends: list[tuple[date, str]] = []
    for code, start in found.rules:
        if code not in years:
            return Verdict(False, None, code, f"la règle d'accès {code} n'est pas connue de ce service (durees.yml)")
        if not years[code]:
            ends.append((date.min, code))
            continue
        try:
            ends.append((after(date.fromisoformat(start), years[code]), code))
        except ValueError:
            why = f"la règle d'accès {code} ne dit pas de quel jour comptent ses {years[code]} ans"
            return Verdict(False, None, code, f"{why} : un archiviste la classe d'abord (sae-acces classer)")
    end, code = max(ends)
    if end == date.min:
        return Verdict(True, None, code, f"communicable de plein droit ({code}, Code du patrimoine, L213-1)")
    law = f"{code}, {years[code]} ans, Code du patrimoine, L213-2"
    if end <= today:
        return Verdict(True, end, code, f"communicable depuis le {end:%d/%m/%Y} ({law})")
    return Verdict(False, end, code, f"communicable à partir du {end:%d/%m/%Y} seulement ({law})")


def after(start: date, years: int) -> date:
    """The first day that follows this many years from a date; the last day there is, beyond the calendar."""
    if start.year + years >= date.max.year:
        return date.max
    if (start.month, start.day) == (2, 29):
        return date(start.year + years, 3, 1)
    return start.replace(year=start.year + years) + timedelta(days=1)


def day_of(text: str) -> date:
    """A day as people write it: JJ/MM/AAAA, or ISO 8601. Raises ValueError."""
    if found := re.fullmatch(r"(\d{1,2})/(\d{1,2})/(\d{4})", text.strip(), re.ASCII):
        return date(int(found[3]), int(found[2]), int(found[1]))
    return date.fromisoformat(text.strip())
