"""A budget as the préfecture takes it, TotEM's XML (DocumentBudgetaire): checked before it leaves, and made readable.

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

NAMESPACE = "http://www.minefi.gouv.fr/cp/demat/docbudgetaire"
READABLE = "budget.html"
"""What a person reads of it, written beside the act."""
MATTER = "7.1"  # décisions budgétaires: the one matter of which S²LOW takes XML

_ROOT = "DocumentBudgetaire"
_BYTES_MAX = 20_000_000
# The seal is reckoned on the whole tree, of about 200 bytes an element and as much an attribute.
_ELEMENTS_MAX, _ATTRIBUTES_MAX, _INSTRUCTIONS_MAX = 500_000, 700_000, 1000
_ATTRIBUTES_OF_ONE = 50
_KINDS = {
    "01": "Budget primitif",
    "02": "Décision modificative",
    "03": "Budget supplémentaire",
    "09": "Compte administratif",
    "10": "Compte financier unique",
}
_ACCOUNTS = ("09", "10")
_CFU_FROM = 2026
_LAST_DAY = (1, 21)  # of the next year, for a décision modificative
_SECTIONS = {"F": "Fonctionnement", "I": "Investissement"}
_DIRECTIONS = {"D": "Dépenses", "R": "Recettes"}
# Euros, as xs:decimal writes them: no exponent, which would be written out in a billion digits.
_AMOUNT = re.compile(r"[+-]?(?:[0-9]{1,18}(?:\.[0-9]{0,10})?|\.[0-9]{1,10})")
_TOTEM = "dans le logiciel de comptabilité ou TotEM"


@dataclass
class Budget:
    """What the préfecture looks at first.

    Attributes:
        kind: nature of the decision (NatDec): a key of `_KINDS`.
        year: the exercice.
        owner: SIRET or SIREN of whose budget it is (IdColl, else IdEtab).
        totals: euros by section (F, I), direction (D, R) and chapter; of credits voted with what was left over, and of
            what was done for accounts.
        unplaced: lines whose section nothing tells (voted by function): the balance cannot be judged.
    """

    values: dict[str, str] = field(default_factory=dict)
    totals: dict[tuple[str, str, str], Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    unplaced: int = 0

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

    def total(self, section: str, direction: str) -> Decimal:
        """Euros of a section, in a direction."""
        return sum(
            (amount for (one, way, _), amount in self.totals.items() if (one, way) == (section, direction)), Decimal()
        )


class _Reading:
    """The budget as its XML goes by."""

    _HEADS = ("IdColl", "IdEtab", "NatDec", "NumDec", "Exer", "ProjetBudget", "DteDec", "VersionSchema", "LibelleColl")
    # From the root: the editor's free block may hold anything, these names included.
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
        name = place[-1]
        if place[:3] == (_ROOT, "Budget", "LigneBudget"):
            if len(place) == 3:
                self._line += 1
                self._current = {}
            elif len(place) == 4:
                self._current[name] = attributes.get("V", "")
        elif name == "Scellement" and len(place) == 2:
            self.budget.values["sha1"] = attributes.get("sha1", "")
        elif name in self._HEADS and place[:-1] in self._HEADS_OF:
            self.budget.values.setdefault(name, attributes.get("V", "").strip())

    def end(self, place: flow.Path) -> None:
        if place != (_ROOT, "Budget", "LigneBudget"):
            return
        amounts = {}
        for name in self._AMOUNTS:
            text = (self._current.get(name) or "0").strip()
            if not _AMOUNT.fullmatch(text):
                self.faults.append(f"ligne budgétaire n° {self._line}, {name} : « {text[:40]} » n'est pas un montant.")
                return
            amounts[name] = Decimal(text)
        done = self.budget.kind in _ACCOUNTS
        amount = amounts["MtReal"] if done else amounts["MtPrev"] + amounts["MtRARPrec"]
        direction, section = self._current.get("CodRD", ""), _section(self._current.get("Nature", ""))
        if direction not in _DIRECTIONS and not done:
            self.faults.append(f"ligne budgétaire n° {self._line}, CodRD : ni D (dépense) ni R (recette).")
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
    if root != f"{{{NAMESPACE}}}{_ROOT}":
        raise flow.FlowError(f"élément {_ROOT} attendu, {root[:100]} trouvé")
    return reading


def check(path: Path, siren: str, decided: str, schema: float) -> tuple[list[str], list[str]]:
    """Check a budget.

    Args:
        siren: the commune's.
        decided: day of the délibération, ISO 8601; empty when it is not known.
        schema: oldest version of the schema (VersionSchema) that the préfecture takes.

    Returns:
        Every reason why it does not leave, and the remarks.
    """
    try:
        reading = _read(path)
    except flow.FlowError as error:
        return [f"« {path.name} » n'est pas un budget ({error}) ; exportez celui que TotEM a scellé."], []
    budget = reading.budget
    faults = reading.faults[:10] + _head_faults(budget, siren, decided, schema) + _seal_faults(budget, path)
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
    if values.get("ProjetBudget", "").lower() in ("true", "1"):
        faults.append("ProjetBudget : c'est un projet ; transmettez le budget voté.")
    if budget.kind not in _KINDS:
        listed = ", ".join(f"{code} ({label})" for code, label in _KINDS.items())
        faults.append(f"NatDec : « {budget.kind} » est inconnue ; attendu : {listed}.")
    if budget.kind == "02" and not values.get("NumDec"):
        faults.append("NumDec : absent ; une décision modificative porte son numéro.")
    if budget.kind == "09" and budget.year >= _CFU_FROM:
        faults.append(
            f"NatDec : dès l'exercice {_CFU_FROM}, le compte financier unique (10) remplace le compte administratif."
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
    if budget.kind in _KINDS and budget.year not in allowed:
        wanted = " ou ".join(map(str, sorted(allowed)))
        shown = budget.values.get("Exer") or "absent"
        faults.append(
            f"Exer : exercice {shown}, pour « {_KINDS[budget.kind]} » du {decided:%d/%m/%Y} ({wanted} attendu) ; "
            "vérifiez le fichier choisi, ou la date de l'acte."
        )
    return faults


def _seal_faults(budget: Budget, path: Path) -> list[str]:
    """The seal tells a change on the way; it is no signature (documentation of TScellement)."""
    claimed = budget.values.get("sha1", "").lower()
    if not claimed:
        return [f"Scellement : absent ; scellez le budget {_TOTEM} avant de l'exporter."]
    # Comments are no part of what is sealed, and each takes a hundred bytes of the tree.
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True
    )
    try:
        tree = etree.parse(path, parser)
    except etree.XMLSyntaxError as error:
        return [f"illisible ({error.msg}) ; exportez-le de nouveau."]
    for seal in tree.getroot().findall(f"{{{NAMESPACE}}}Scellement"):
        before, parent = seal.getprevious(), seal.getparent()
        if seal.tail and parent is not None:  # what follows it is not of it
            if before is None:
                parent.text = (parent.text or "") + seal.tail
            else:
                before.tail = (before.tail or "") + seal.tail
        tree.getroot().remove(seal)
    found = hashlib.sha1(etree.tostring(tree, method="c14n", with_comments=False), usedforsecurity=False).hexdigest()
    return [] if found == claimed else [f"Scellement : le budget a été modifié après son scellement ; {_again()}"]


def _again() -> str:
    return f"exportez-le de nouveau {_TOTEM}, sans l'ouvrir entre-temps."


def _balance(budget: Budget) -> tuple[list[str], list[str]]:
    """Reasons why it does not leave, and remarks: a budget is voted in balance, section by section (CGCT, L1612-4)."""
    if budget.kind in _ACCOUNTS:
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
    kind = _KINDS.get(budget.kind, "Document budgétaire")
    number = f" n° {budget.values['NumDec']}" if budget.kind == "02" and budget.values.get("NumDec") else ""
    tables = "\n".join(_table(budget, section) for section in _SECTIONS)
    return _PAGE.format(
        title=html.escape(f"{kind}{number}, exercice {budget.year}"),
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
