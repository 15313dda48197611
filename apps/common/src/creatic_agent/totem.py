"""A budget as the préfecture takes it, TotEM's XML: checked before it leaves, and made readable.

It is a DocumentBudgetaire; or, for the accounts of a year, a CompteFinancierUnique that holds the ordonnateur's
DocumentBudgetaire beside the comptable's part.

Sources: the schema of DocumentBudgetaire and its documentation (DGFiP, DGCL); CGCT L1612-4 (balance), L1612-11 (last
day of a décision modificative); law of finances for 2024, article 205 (CFU from the accounts of 2026 on).
"""

from __future__ import annotations

import hashlib
import html
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path

from lxml import etree

from . import flow
from .budget import ACCOUNTS, AMENDING, CFU_FROM, CODES, UNIQUE, Decision

NAMESPACE = "http://www.minefi.gouv.fr/cp/demat/docbudgetaire"
CFU_NAMESPACE = "http://www.minefi.gouv.fr/cp/demat/doccfu"
SCHEMA = 43.0
"""Oldest version of the schema (VersionSchema) that the préfecture takes, where nothing else is set."""
READABLE = "budget.html"
"""What a person reads of it, written beside the act."""

_ROOT, _CFU = "DocumentBudgetaire", "CompteFinancierUnique"
_ROOTS = (f"{{{NAMESPACE}}}{_ROOT}", f"{{{CFU_NAMESPACE}}}{_CFU}")
_BYTES_MAX = 20_000_000
# The seal is reckoned on the whole tree, of about 200 bytes an element and as much an attribute.
_ELEMENTS_MAX, _ATTRIBUTES_MAX, _INSTRUCTIONS_MAX = 500_000, 700_000, 1000
_ATTRIBUTES_OF_ONE = 50
_LAST_DAY = (1, 21)  # of the next year, for a décision modificative
_SECTIONS = {"F": "Fonctionnement", "I": "Investissement"}
_DIRECTIONS = {"D": "Dépenses", "R": "Recettes"}
# Euros, as xs:decimal writes them: no exponent, which would be written out in a billion digits.
_AMOUNT = re.compile(r"[+-]?(?:[0-9]{1,18}(?:\.[0-9]{0,10})?|\.[0-9]{1,10})")
_TOTEM = "dans le logiciel de comptabilité ou TotEM"
_CORRECT = f"corrigez-le {_TOTEM}, puis scellez et exportez de nouveau."
_DIGESTS = ("md5", "sha1")  # of a seal (TScellement), both of them of the same text
_BLANK = " \t\r\n"


@dataclass
class Budget:
    """What the préfecture looks at first.

    Attributes:
        kind: nature of the decision (NatDec): a key of `budget.CODES`.
        year: the exercice.
        owner: SIRET or SIREN of whose budget it is (IdColl, else IdEtab).
        totals: euros by section (F, I), direction (D, R) and chapter; of credits voted with what was left over, and of
            what was done for accounts.
        unplaced: lines whose section nothing tells (voted by function): the balance cannot be judged.
        documents: how many DocumentBudgetaire there are, where one belongs.
        unique: it is a compte financier unique.
    """

    values: dict[str, str] = field(default_factory=dict)
    totals: dict[tuple[str, str, str], Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    unplaced: int = 0
    documents: int = 0
    unique: bool = False

    @property
    def kind(self) -> str:
        return self.values.get("NatDec", "")

    @property
    def year(self) -> int:
        text = self.values.get("Exer", "")
        return int(text) if re.fullmatch(r"[0-9]{4}", text) else 0

    @property
    def owner(self) -> str:
        return self.values.get("IdColl") or self.values.get("IdEtab", "")

    @property
    def accounts(self) -> bool:
        """Whether it is the accounts of a year."""
        return self.kind in CODES and CODES[self.kind].accounts

    @property
    def decision(self) -> Decision | None:
        """What it is, as subjects say it; None where its kind is unknown."""
        number = self.values.get("NumDec", "") if self.kind == AMENDING.code else ""
        return Decision(CODES[self.kind], self.year, number) if self.kind in CODES else None

    def total(self, section: str, direction: str) -> Decimal:
        """Euros of a section, in a direction."""
        return sum(
            (amount for (one, way, _), amount in self.totals.items() if (one, way) == (section, direction)), Decimal()
        )


class _Reading:
    """The budget as its XML goes by."""

    _HEADS = ("IdColl", "IdEtab", "NatDec", "NumDec", "Exer", "ProjetBudget", "DteDec", "VersionSchema", "LibelleColl")
    # From the document: the editor's free block may hold anything, these names included.
    _HEADS_OF = (
        (_ROOT,),
        (_ROOT, "EnTeteDocBudgetaire"),
        (_ROOT, "Budget", "EnTeteBudget"),
        (_ROOT, "Budget", "BlocBudget"),
    )
    _AMOUNTS = ("MtPrev", "MtRARPrec", "MtReal")

    def __init__(self) -> None:
        self.budget = Budget()
        self.faults: list[str] = []
        self._elements = self._attributes = self._line = 0
        self._current: dict[str, str] = {}

    def start(self, place: flow.Path, attributes: Mapping[str, str]) -> None:
        self._elements += 1
        if self._elements > _ELEMENTS_MAX:
            raise flow.FlowError(f"plus de {_ELEMENTS_MAX} éléments")
        self._attributes += len(attributes)
        if self._attributes > _ATTRIBUTES_MAX or len(attributes) > _ATTRIBUTES_OF_ONE:
            raise flow.FlowError("trop d'attributs")
        if place == (_CFU,):
            self.budget.unique = True
        place = self._in_document(place)
        if place == (_ROOT,):
            self.budget.documents += 1
        name = place[-1] if place else ""
        if place[:3] == (_ROOT, "Budget", "LigneBudget"):
            if len(place) == 3:
                self._line += 1
                self._current = {}
            elif len(place) == 4:
                self._current[name] = attributes.get("V", "")
        elif name in self._HEADS and place[:-1] in self._HEADS_OF:
            self.budget.values.setdefault(name, attributes.get("V", "").strip())

    def _in_document(self, place: flow.Path) -> flow.Path:
        """The same place from the DocumentBudgetaire on."""
        return place[1:] if self.budget.unique and place[0] == _CFU else place

    def end(self, place: flow.Path) -> None:
        if self._in_document(place) != (_ROOT, "Budget", "LigneBudget"):
            return
        amounts = {}
        for name in self._AMOUNTS:
            text = (self._current.get(name) or "0").strip()
            if not _AMOUNT.fullmatch(text):
                self.faults.append(
                    f"ligne budgétaire n° {self._line}, {name} : « {text[:40]} » n'est pas un montant ; {_CORRECT}"
                )
                return
            amounts[name] = Decimal(text)
        done = self.budget.accounts
        amount = amounts["MtReal"] if done else amounts["MtPrev"] + amounts["MtRARPrec"]
        direction, section = self._current.get("CodRD", ""), _section(self._current.get("Nature", ""))
        if direction not in _DIRECTIONS and not done:
            self.faults.append(f"ligne budgétaire n° {self._line}, CodRD : ni D (dépense) ni R (recette) ; {_CORRECT}")
        elif not section or direction not in _DIRECTIONS:
            self.budget.unplaced += 1
        else:
            self.budget.totals[section, direction, _chapter(self._current)] += amount


def _section(nature: str) -> str:
    """Section of an account (M14, M57, M4): F or I; empty when it tells none."""
    if nature[:3] in ("002", "022", "023") or nature[:1] in ("6", "7"):
        return "F"
    return "I" if nature[:3] in ("001", "020", "021", "024") or nature[:1] in tuple("12345") else ""


def _chapter(line: Mapping[str, str]) -> str:
    voted = line.get("ContNat") or line.get("ChapitreNature", "")
    nature = line.get("Nature", "")
    return voted or (nature[:3] if nature.startswith("0") else nature[:2])


def is_xml(path: Path) -> bool:
    """Whether a document is XML, by its first bytes, as S²LOW judges it."""
    with path.open("rb") as stream:
        return stream.read(64).removeprefix(b"\xef\xbb\xbf").startswith(b"<?xml")


def _read(path: Path) -> _Reading:
    """Read a budget. Raises flow.FlowError when it is none, its text French."""
    if path.stat().st_size > _BYTES_MAX:
        raise flow.FlowError(f"plus de {_BYTES_MAX / 1e6:.0f} Mo")
    if path.read_bytes().count(b"<?") > _INSTRUCTIONS_MAX:
        raise flow.FlowError("trop d'instructions de traitement")
    reading = _Reading()
    with path.open("rb") as stream:
        root = flow.read(stream, reading.start, reading.end)
    if root not in _ROOTS:
        raise flow.FlowError(f"élément {_ROOT} attendu, ou {_CFU} ; {root[:100]} trouvé")
    if reading.budget.documents != 1:
        raise flow.FlowError(f"{reading.budget.documents} {_ROOT} dans le {_CFU}, il en faut un")
    return reading


def decision(path: Path) -> Decision | None:
    """What a budget is, as subjects of délibérations say it; None where its kind is unknown, or it is none."""
    try:
        return _read(path).budget.decision
    except flow.FlowError:
        return None


def check(path: Path, siren: str, decided: str, schema: float, draft: bool = False) -> tuple[list[str], list[str]]:
    """Check a budget.

    Args:
        siren: the commune's.
        decided: day of the délibération, ISO 8601; empty when it is not known.
        schema: oldest version of the schema (VersionSchema) that the préfecture takes.
        draft: whether the council has not voted it: it may be a project, and needs no seal.

    Returns:
        Every reason why it does not leave, and the remarks.
    """
    try:
        reading = _read(path)
    except flow.FlowError as error:
        return [f"« {path.name} » n'est pas un budget ({error}) ; exportez celui que TotEM a scellé."], []
    budget = reading.budget
    faults = reading.faults[:10] + _head_faults(budget, siren, decided, schema)
    if not draft:
        if budget.values.get("ProjetBudget", "").lower() in ("true", "1"):
            faults.append("ProjetBudget : c'est un projet ; transmettez le budget voté.")
        faults += _seal_faults(path)
    uneven, remarks = _balance(budget)
    named = [f"« {path.name} », {fault}" for fault in faults + uneven]
    return named, remarks


def _head_faults(budget: Budget, siren: str, decided: str, schema: float) -> list[str]:
    values, faults = budget.values, []
    version = re.match(r"[0-9]+(\.[0-9]+)?", values.get("VersionSchema", ""))
    if not version or float(version[0]) < schema:
        given = values.get("VersionSchema") or "absente"
        faults.append(
            f"VersionSchema : version {given} du schéma, trop ancienne (la préfecture prend {schema:g} et suivantes) ; "
            "mettez TotEM à jour, puis scellez-le de nouveau."
        )
    if not budget.owner.startswith(siren):
        told = f"« {budget.owner} » n'est pas un numéro de la collectivité {siren}" if budget.owner else "absent"
        faults.append(f"IdColl : {told} ; vérifiez la collectivité choisie {_TOTEM}.")
    if budget.kind not in CODES:
        listed = ", ".join(f"{code} ({kind.label})" for code, kind in CODES.items())
        faults.append(f"NatDec : « {budget.kind} » est inconnue, attendu : {listed} ; {_CORRECT}")
    elif budget.unique and budget.kind != UNIQUE.code:
        faults.append(
            f"NatDec : {budget.kind} ({CODES[budget.kind].label}) dans un {_CFU}, {UNIQUE.code} attendu ; exportez de "
            f"nouveau le compte financier unique {_TOTEM}."
        )
    if budget.kind == AMENDING.code and not values.get("NumDec"):
        faults.append(f"NumDec : absent, et une décision modificative porte son numéro ; {_CORRECT}")
    if budget.kind == ACCOUNTS.code and budget.year >= CFU_FROM:
        faults.append(
            f"NatDec : dès l'exercice {CFU_FROM}, le compte financier unique (10) remplace le compte administratif ; "
            "transmettez le compte financier unique."
        )
    if decided:
        faults += _day_faults(budget, date.fromisoformat(decided))
    return faults


def _day_faults(budget: Budget, decided: date) -> list[str]:
    """The exercice goes with the day of the vote; a budget of last year is often the wrong file."""
    faults = []
    written = budget.values.get("DteDec", "")
    if written and written[:10] != decided.isoformat():
        faults.append(
            f"DteDec : le {written[:10]} n'est pas la date de l'acte ({decided.isoformat()}) ; corrigez l'une des deux."
        )
    late = (decided.month, decided.day) <= _LAST_DAY
    allowed = {
        "01": (decided.year, decided.year + 1),
        "02": (decided.year, decided.year - 1) if late else (decided.year,),
        "03": (decided.year,),
    }.get(budget.kind, (decided.year - 1, decided.year - 2))
    if budget.kind in CODES and budget.year not in allowed:
        wanted = " ou ".join(map(str, sorted(allowed)))
        shown = budget.values.get("Exer") or "absent"
        faults.append(
            f"Exer : exercice {shown}, pour « {CODES[budget.kind].label} » du {decided:%d/%m/%Y} ({wanted} attendu) ; "
            "vérifiez le fichier choisi, ou la date de l'acte."
        )
    return faults


def _seal_faults(path: Path) -> list[str]:
    """The seal tells a change on the way; it is no signature (documentation of TScellement)."""
    # Comments are no part of what is sealed, and each takes a hundred bytes of the tree.
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True
    )
    try:
        tree = etree.parse(path, parser)
    except etree.XMLSyntaxError as error:
        return [f"illisible ({error.msg}) ; exportez-le de nouveau."]
    root = tree.getroot()
    documents = list(root.iterfind(f"{{*}}{_ROOT}")) if root.tag == _ROOTS[1] else []
    seals = [seal for holder in (root, *documents) for seal in holder.iterfind("{*}Scellement")]
    claimed = {name: seal.get(name, "").strip().lower() for seal in seals for name in _DIGESTS}
    if lacking := [name for name in _DIGESTS if not claimed.get(name)]:
        what = f"sans empreinte {lacking[0]}" if seals else "absent"
        return [f"Scellement : {what} ; scellez le budget {_TOTEM} avant de l'exporter."]
    if len(seals) > 1:
        return [f"Scellement : il y en a {len(seals)}, il en faut un ; scellez de nouveau le budget {_TOTEM}."]
    found = _sealed(tree, seals[0])
    if claimed in found:
        return []
    good = [name for name in _DIGESTS if any(claimed[name] == one[name] for one in found)]
    if good:
        told = (
            "c'est lui qui a été modifié, et non le budget (des empreintes md5 et sha1, seule "
            f"{good[0]} est la sienne) ; {_again()}"
        )
    elif documents:
        told = (
            "le compte financier unique a été modifié après son scellement, part de l'ordonnateur ou du comptable "
            f"(l'empreinte est celle des deux) ; {_again()}"
        )
    else:
        told = f"le budget a été modifié après son scellement ; {_again()}"
    return [f"Scellement : {told}"]


def _sealed(tree: etree._ElementTree, seal: etree._Element) -> list[dict[str, str]]:
    """Digests of what is sealed, without the seal, in the two ways that there are to take it out.

    TotEM, and who follows it, takes out the blank that comes after the seal as well; the documentation does not.
    """
    tail, before = seal.tail or "", seal.getprevious()
    parent = next(seal.iterancestors())
    parent.remove(seal)  # with its tail
    found = [] if tail.strip(_BLANK) else [_digests(tree)]
    if tail:
        if before is None:
            parent.text = (parent.text or "") + tail
        else:
            before.tail = (before.tail or "") + tail
        found.append(_digests(tree))
    return found


class _Digesting:
    """What canonical XML is written to: never whole in memory."""

    def __init__(self) -> None:
        self.digests = {name: hashlib.new(name, usedforsecurity=False) for name in _DIGESTS}

    def write(self, data: bytes) -> int:
        for digest in self.digests.values():
            digest.update(data)
        return len(data)


def _digests(of: etree._ElementTree) -> dict[str, str]:
    target = _Digesting()
    of.write_c14n(target, with_comments=False)  # type: ignore[arg-type] # it asks for no more than write
    return {name: digest.hexdigest() for name, digest in target.digests.items()}


def _again() -> str:
    return f"exportez-le de nouveau {_TOTEM}, sans l'ouvrir entre-temps."


def _balance(budget: Budget) -> tuple[list[str], list[str]]:
    """Reasons why it does not leave, and remarks: a budget is voted in balance, section by section (CGCT, L1612-4)."""
    if budget.accounts:
        return [], []
    if budget.unplaced:
        return [], [f"équilibre du budget non vérifié : lignes sans compte par nature ({budget.unplaced})"]
    faults, remarks = [], []
    for section, label in _SECTIONS.items():
        spent, received = budget.total(section, "D"), budget.total(section, "R")
        of = "d'" if section == "I" else "de "
        told = f"section {of}{label.lower()} : {_euros(spent)} de dépenses, {_euros(received)} de recettes"
        if spent > received and budget.kind == "01":
            faults.append(f"{told} ; un budget se vote en équilibre (CGCT, L1612-4). Corrigez-le {_TOTEM}.")
        elif spent != received:
            remarks.append(told)
    return faults, remarks


def _euros(amount: Decimal) -> str:
    return f"{amount:,.2f}".replace(",", "\N{NARROW NO-BREAK SPACE}").replace(".", ",") + "\N{NO-BREAK SPACE}€"


_PAGE = """<!doctype html>
<html lang="fr"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title><style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1b }}
table {{ border-collapse: collapse; width: 100%; margin: 0 0 2rem }}
caption {{ font-weight: 600; text-align: left; padding: .5rem 0 }}
th:not(:first-child) {{ text-align: right }}
th, td {{ padding: .35rem .75rem; border-bottom: 1px solid #ccc; text-align: left }}
td {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }}
tfoot th, tfoot td {{ font-weight: 600; border-top: 2px solid #1b1b1b }}
</style></head><body>
<h1>{title}</h1>
<p>{owner}. Ce qui fait foi est le fichier XML « {file} », transmis à la préfecture.</p>
{tables}
</body></html>
"""


def page(path: Path) -> bytes:
    """A budget that was checked, as a person reads it: each section by chapter, in HTML, alone in its file."""
    budget = _read(path).budget
    title = budget.decision.title if budget.decision else f"Document budgétaire, exercice {budget.year}"
    tables = "\n".join(_table(budget, section) for section in _SECTIONS)
    return _PAGE.format(
        title=html.escape(title),
        owner=html.escape(f"{budget.values.get('LibelleColl', '')} ({budget.owner})".strip()),
        file=html.escape(path.name),
        tables=tables,
    ).encode()


def _table(budget: Budget, section: str) -> str:
    chapters = sorted({chapter for one, _, chapter in budget.totals if one == section})
    rows = "".join(
        f'<tr><th scope="row">{html.escape(chapter)}</th>'
        + "".join(f"<td>{_euros(budget.totals.get((section, way, chapter), Decimal()))}</td>" for way in _DIRECTIONS)
        + "</tr>\n"
        for chapter in chapters
    )
    heads = "".join(f"<th scope='col'>{label}</th>" for label in ("Chapitre", *_DIRECTIONS.values()))
    totals = "".join(f"<td>{_euros(budget.total(section, way))}</td>" for way in _DIRECTIONS)
    return (
        f"<table><caption>{_SECTIONS[section]}</caption>\n<thead><tr>{heads}</tr></thead>\n"
        f"<tbody>\n{rows}</tbody>\n<tfoot><tr><th scope='row'>Total</th>{totals}</tr></tfoot></table>"
    )
