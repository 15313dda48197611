"""What a person of the commune chose to publish of an act, read from its form, without Plone.

Nothing goes on line by itself: names that the law does not let be published are taken out first (CRPA, L312-1-1,
L312-1-2 and D312-1-3; RGPD, article 6). How acts are published: CGCT, L2131-1 and R2131-1. Messages are French.
"""

from __future__ import annotations

import calendar
import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from creatic.deliberations import hidden, pieces, rules

ON_LINE = "electronique"
# How a commune publishes its acts: under 3,500 inhabitants its council chooses (L2131-1, IV).
MODES = {ON_LINE: "Mis en ligne", "affichage": "Affiché", "papier": "Publié sur papier"}
_POSTED = {"affichage": "Affichée", "papier": "Publiée sur papier"}
SIGNED, COPY, OFF_LINE, NO, YES = "signe", "occulte", "hors_ligne", "non", "oui"


@dataclass(frozen=True)
class Choice:
    """What is published of an act."""

    subject: str
    on_line: bool
    copy: bytes | None
    """In place of the signed document; None for the signed document itself."""
    annexes: Sequence[tuple[str, bytes]]
    """File names and contents, without what they hid."""
    day: datetime.date | None
    """When it was posted up or published on paper; None where putting on line is the publication."""

    def sentence(self) -> str:
        """In words, for the trace."""
        what = "hors ligne" if not self.on_line else "copie occultée" if self.copy else "document signé"
        count = len(self.annexes)
        return f"{what}, {count} annexe{'s' if count > 1 else ''}" if self.on_line else what


def read(
    form: Mapping[str, Any],
    document: bytes,
    annexes: Sequence[tuple[str, str, bytes]],
    mode: str,
    decided: datetime.date,
    today: datetime.date,
) -> Choice:
    """Read the form.

    Args:
        form: its fields; a file is an object with `read`.
        document: the act, signed once it is.
        annexes: identifier, file name and content of each.
        mode: one of `MODES`, the commune's.
        decided: day of the act, before which nothing is published.
        today: day after which nothing is yet.

    Raises:
        ValueError: all that is wrong, in French.
    """
    wrong: list[str] = []
    subject = " ".join(str(form.get("objet") or "").split())[:500]
    if not subject:
        wrong.append("Objet publié : il est vide")
    kind = str(form.get("document") or "")
    if kind not in (SIGNED, COPY, *([OFF_LINE] if mode != ON_LINE else [])):
        wrong.append("Document publié : choisissez ce qui est publié")
    copy = _read_copy(form.get("copie"), "Document publié", document, wrong) if kind == COPY else None
    kept = []
    for rank, (uid, name, content) in enumerate(annexes, 1):
        said = str(form.get(f"annexe_{uid}") or "")
        label = f"Annexe « {name} »"
        if said not in (NO, YES, COPY):
            wrong.append(f"{label} : dites si elle est publiée")
        if kind == OFF_LINE or said not in (YES, COPY):
            continue
        made = (
            _read_copy(form.get(f"copie_{uid}"), label, content, wrong)
            if said == COPY
            else _clean_document(content, label, wrong)
        )
        if made:
            # The name of a file may be what its copy hides.
            stem = f"annexe-{rank}" if said == COPY else name.rpartition(".")[0] or name
            kept.append((f"{stem}.pdf", made))
    day = _parse_day(str(form.get("publie_le") or ""), MODES[mode], decided, today, wrong) if mode != ON_LINE else None
    if wrong:
        raise ValueError(". ".join(wrong) + ".")
    return Choice(subject, kind != OFF_LINE, copy, tuple(kept), day)


def _clean_document(content: bytes, label: str, wrong: list[str]) -> bytes | None:
    try:
        return pieces.cleaned(content)
    except hidden.UnfitDocumentError as error:
        wrong.append(f"{label} : {error}")
        return None


def _read_copy(given: Any, label: str, original: bytes, wrong: list[str]) -> bytes | None:
    content = given.read() if hasattr(given, "read") else b""
    if not content:
        wrong.append(f"{label} : joignez la copie occultée (PDF)")
        return None
    try:
        return pieces.occulted(original, content)
    except hidden.UnfitDocumentError as error:
        wrong.append(f"{label}, copie occultée : {error}")
        return None


def _parse_day(
    text: str, label: str, decided: datetime.date, today: datetime.date, wrong: list[str]
) -> datetime.date | None:
    try:
        day = datetime.date.fromisoformat(text)
    except ValueError:
        wrong.append(f"{label} le : écrivez une date, par exemple 2026-11-27")
        return None
    if not decided <= day <= today:
        wrong.append(f"{label} le : une date du {rules.french_date(decided)} au {rules.french_date(today)}")
    return day


def posted(mode: str, day: datetime.date | None) -> str:
    """How a délibération was published otherwise than on line, in words; "" where on line is the publication."""
    return f"{_POSTED[mode]} le {rules.french_date(day)}." if mode in _POSTED and day else ""


def is_to_do(chosen: Mapping[str, Any], published: bool, withdrawn: bool) -> bool:
    """Whether a choice is still to be carried out: it never was, or it is of after the act was taken off.

    Args:
        chosen: what a person chose; `apres_retrait`, whether the act was off line then.
        published: whether it was published once.
        withdrawn: whether a person took it off, and nobody put it back.
    """
    return not published or (withdrawn and bool(chosen.get("apres_retrait")))


def too_short(since: datetime.date, until: datetime.date) -> bool:
    """Whether an act was published for less than two months (R2131-1), from day to day."""
    year, month = since.year + (since.month > 10), (since.month + 1) % 12 + 1
    return until < datetime.date(year, month, min(since.day, calendar.monthrange(year, month)[1]))
