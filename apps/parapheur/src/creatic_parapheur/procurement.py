"""Kinds of contract, the threshold of each period, and what of them goes to the préfecture: data, and the rule.

CGCT, L2131-2, I, 4° names what is transmitted: loans, public contracts and framework agreements from a threshold on,
concessions. D2131-5-1 gives no amount: it sends to the threshold of the EU for supplies and services of local buyers,
which a delegated regulation revises every other first of January. The order that wrote it (décret 2019-1375) counts it
for consultations begun from that day on: the day of the consultation decides, not that of the signature.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from creatic_agent.configuration import UNWRITTEN, From, Key, Whole
from creatic_agent.law import Standing
from creatic_agent.writing import day_of

THRESHOLD_PERIOD_YEARS = 2
"""Years between two revisions of the threshold."""
_READ, _CHECK = Standing.READ, Standing.TO_CHECK
_AMOUNT = re.compile(r"\d{1,12}([.,]\d{1,2})?")


def amount(text: str) -> Decimal | None:
    """Read an amount in euros without tax as somebody wrote it, None for nothing. Raises ValueError, in French."""
    plain = re.sub(r"\s+", "", text).upper()
    if plain.endswith("TTC"):
        raise ValueError(f"montant : « {text[:40]} » est toutes taxes comprises ; écrivez le montant hors taxes")
    plain = plain.removesuffix("HT").removesuffix("€").removesuffix("EUROS")
    if not plain:
        return None
    if not (plain.isascii() and _AMOUNT.fullmatch(plain)):
        raise ValueError(f"montant : « {text[:40]} » n'est pas un montant ; écrivez par exemple 221 000,00 €")
    return Decimal(plain.replace(",", "."))


def euros(value: Decimal) -> str:
    """Write an amount as people read it."""
    whole = f"{value:,.2f}".replace(",", "\u202f").replace(".", ",").removesuffix(",00")
    return f"{whole} € HT"


def _format_day(day: dt.date) -> str:
    return f"{day:%d/%m/%Y}"


@dataclass(frozen=True)
class Threshold:
    """From how many euros a public contract is transmitted, from one day on.

    Attributes:
        since: first day of the period.
        euros: without tax.
        source: article, and the text that gives the amount.
        standing: what is known of it; a site's own is as its operator wrote it.
    """

    since: Annotated[dt.date, Key("depuis"), From(str, day_of)]
    euros: Whole
    source: Annotated[str, Key("texte")]
    standing: Annotated[Standing, UNWRITTEN] = Standing.READ

    def covers(self, day: dt.date) -> bool:
        """Whether it is known for a day: neither before its period nor after the next revision."""
        return self.since <= day < dt.date(self.since.year + THRESHOLD_PERIOD_YEARS, 1, 1)

    def said(self, day: dt.date) -> str:
        """Write it in French, as it counts for a day."""
        whole = f"{euros(Decimal(self.euros))} ({self.source}, depuis le {_format_day(self.since)} ; {self.standing})"
        if self.covers(day):
            return whole
        return (
            f"{whole} ; celui du {_format_day(day)} n'est pas connu ici, à vérifier auprès de la préfecture "
            ": il se révise "
            "tous les deux ans au 1er janvier"
        )


_BY = "CGCT, D2131-5-1"
THRESHOLDS = (
    Threshold(dt.date(2020, 1, 1), 214_000, f"{_BY}, règlement délégué (UE) 2019/1828", _CHECK),
    Threshold(dt.date(2022, 1, 1), 215_000, f"{_BY}, règlement délégué (UE) 2021/1952", _CHECK),
    Threshold(dt.date(2024, 1, 1), 221_000, f"{_BY}, règlement délégué (UE) 2023/2495", _READ),
    Threshold(dt.date(2026, 1, 1), 216_000, f"{_BY}, règlement délégué (UE) 2025/2152", _READ),
)


def threshold(day: dt.date, more: Iterable[Threshold] = ()) -> Threshold:
    """Give the threshold that counts for a consultation begun on a day; the nearest known one where none is.

    Args:
        more: periods of the site's own settings; one that begins on the same day takes the place of ours.
    """
    periods = {one.since: one for one in (*THRESHOLDS, *more)}
    begun = [since for since in periods if since <= day]
    return periods[max(begun) if begun else min(periods)]


class Goes(StrEnum):
    """What decides that a contract is transmitted."""

    THRESHOLD = "seuil"
    ALWAYS = "toujours"
    MATTER = "matiere"
    """No text names it: the commune says so by giving it a matter."""


@dataclass(frozen=True)
class Kind:
    """A kind of contract.

    Attributes:
        label: in French.
        goes: what decides that it is transmitted.
        said: the rule, in French, with its article.
        standing: what is known of it.
        listed: whether R2131-5 lists the pieces that go with it.
        data: its element in the national format of essential data (essential.py); "" for none.
        instead: why it has none, in French.
    """

    label: str
    goes: Goes
    said: str
    standing: Standing = _READ
    listed: bool = False
    data: str = ""
    instead: str = ""


_FROM = "se transmet à partir du seuil (CGCT, L2131-2, I, 4°)"
_NO_ESSENTIAL_DATA_MESSAGE = (
    "seuls les marchés et les concessions en ont (CCP, R2196-1 et R3131-1 ; à vérifier pour celui-ci)"
)
KINDS = {
    "travaux": Kind("Marché de travaux", Goes.THRESHOLD, _FROM, listed=True, data="marche"),
    "fournitures": Kind("Marché de fournitures", Goes.THRESHOLD, _FROM, listed=True, data="marche"),
    "services": Kind("Marché de services", Goes.THRESHOLD, _FROM, listed=True, data="marche"),
    "accord_cadre": Kind(
        "Accord-cadre", Goes.THRESHOLD, f"{_FROM} ; le montant est son maximum", listed=True, data="marche"
    ),
    "avenant": Kind(
        "Avenant",
        Goes.THRESHOLD,
        "suit le contrat qu'il modifie : écrivez le montant total, avenant compris, et la matière si ce contrat a été "
        "transmis",
        _CHECK,
        instead="l'avenant s'ajoute aux données du marché qu'il modifie : ouvrez le dossier de ce marché",
    ),
    "concession": Kind(
        "Concession, délégation de service public",
        Goes.ALWAYS,
        "se transmet quel que soit son montant (CGCT, L2131-2, I, 4°)",
        data="contrat-concession",
    ),
    "emprunt": Kind(
        "Emprunt",
        Goes.ALWAYS,
        "se transmet quel que soit son montant (CGCT, L2131-2, I, 4°)",
        instead=_NO_ESSENTIAL_DATA_MESSAGE,
    ),
    "bail": Kind(
        "Bail",
        Goes.MATTER,
        "n'est pas cité par L2131-2, la délibération qui l'autorise se transmet seule ; si la préfecture le demande, "
        "écrivez sa matière",
        Standing.UNSETTLED,
        instead=_NO_ESSENTIAL_DATA_MESSAGE,
    ),
    "convention": Kind(
        "Convention, autre contrat",
        Goes.MATTER,
        "n'est pas citée par L2131-2, la délibération qui l'autorise se transmet seule ; si la préfecture la demande, "
        "écrivez sa matière",
        Standing.UNSETTLED,
        instead=_NO_ESSENTIAL_DATA_MESSAGE,
    ),
}


def kind(code: str) -> Kind:
    """Find a kind by its code. Raises ValueError, in French."""
    if code in KINDS:
        return KINDS[code]
    known = ", ".join(f"{one} ({named.label})" for one, named in KINDS.items())
    wrong = f"« {code[:20]} » n'est pas une sorte de contrat" if code else "dites sa sorte"
    raise ValueError(f"contrat : {wrong} ; choisissez parmi {known}")


def goes(code: str, matter: str, value: Decimal | None, day: dt.date, more: Iterable[Threshold] = ()) -> bool:
    """Tell whether a contract is transmitted (CGCT, L2131-2, I, 4°): a person says enough for it to be known.

    One with a matter goes, whatever its amount: somebody wrote it.

    Args:
        code: of its kind.
        matter: of the préfecture's nomenclature; "" for none.
        value: in euros without tax.
        day: when its consultation was begun; that of the contract where nobody says it.
        more: as `threshold`.

    Raises:
        ValueError: in French, with the field: nothing can be concluded yet.
    """
    found = kind(code)
    counted = threshold(day, more)
    if value is None and (found.goes is Goes.THRESHOLD or found.data):
        why = f"{found.label} : {found.said}"
        if found.goes is Goes.THRESHOLD:
            why = f"À partir de {counted.said(day)}, il se transmet"
        raise ValueError(f"montant : écrivez celui du contrat, en euros hors taxes. {why}")
    if matter or found.goes is Goes.MATTER:
        return bool(matter)
    if found.goes is Goes.ALWAYS:
        raise ValueError(
            f"matiere : {found.label.lower()}, {found.said} ; écrivez la matière de la nomenclature, par exemple 1.2"
        )
    if value is not None and value >= counted.euros:
        raise ValueError(
            f"matiere : {euros(value)}, à partir de {counted.said(day)}, se transmet ; écrivez la matière de la "
            "nomenclature, par exemple 1.1"
        )
    return False


def foreseen(code: str, matter: str, value: Decimal | None, day: dt.date, more: Iterable[Threshold] = ()) -> str:
    """Say in French what is known so far of a contract's transmission; the threshold alone while nobody said its kind.

    Arguments: `goes`.
    """
    found, counted = KINDS.get(code), threshold(day, more)
    if found and found.goes is not Goes.THRESHOLD:
        return f"{found.label} : {found.said} ({found.standing})."
    told = f"Seuil : {counted.said(day)}."
    if found is None or (value is None and not matter):
        return told
    if found.standing is not Standing.READ:
        told += f" {found.label} : {found.said} ({found.standing})."
    if matter or (value is not None and value >= counted.euros):
        return f"{told} Ce contrat est à transmettre."
    return f"{told} Ce contrat n'est pas à transmettre."
