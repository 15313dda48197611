# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Files of many communes from one table: a row a commune, a column a field (see `COLUMNS`).

A row makes the file that ``fab commune.nouvelle`` would write, or changes the fields that the table has in a file that
is there, and nothing else of it. What a cell leaves empty is as it was. A row that is not good keeps no other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.cdg59.creatic.plugins.module_utils import harmless
from ansible_collections.cdg59.creatic.plugins.module_utils.durable import write
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import siren_is_valid

from creatic.registry import groupement, sheet
from creatic.registry.checked_yaml import FieldPath, Problem, Source, dotted, quote
from creatic.registry.edited_yaml import Edited, inline
from creatic.registry.groupement import slugify
from creatic_agent import spreadsheet

COLUMNS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "nom": ("Commune", ("nom", "nom de la commune", "collectivité"), "Gondecourt"),
    "fichier": ("Fichier", ("nom court",), ""),
    "siren": ("SIREN", ("n siren", "numéro siren"), "215902669"),
    "insee": ("INSEE", ("code insee",), "59266"),
    "code_postal": ("Code postal", ("cp",), "59147"),
    "habitants": ("Population", ("habitants", "population municipale"), "3986"),
    "territoire": ("Territoire", (), "lille"),
    "agents": ("Agents", ("nombre d'agents", "effectif", "effectifs"), "80"),
    "vague": ("Vague", (), "1"),
    "acces": ("Accès", (), "direct"),
    "services": ("Services", (), "teletransmission, parapheur"),
    "maire.prenom": ("Prénom du maire", (), "Claire"),
    "maire.nom": ("Nom du maire", (), "Dubois"),
    "maire.courriel": ("Courriel du maire", (), "claire.dubois@gondecourt.fr"),
    "dgs.prenom": ("Prénom du DGS", (), ""),
    "dgs.nom": ("Nom du DGS", (), ""),
    "dgs.courriel": ("Courriel du DGS", (), ""),
    "secretaire.prenom": ("Prénom du secrétaire", ("prénom de la secrétaire",), "Paul"),
    "secretaire.nom": ("Nom du secrétaire", ("nom de la secrétaire",), "Renard"),
    "secretaire.courriel": ("Courriel du secrétaire", ("courriel de la secrétaire",), "paul.renard@gondecourt.fr"),
    "connecteur": ("Adresse du connecteur", ("connecteur",), "10.59.2.20"),
    "poste1.nom": ("Poste 1", (), "pc-secretariat"),
    "poste1.adresse": ("Adresse du poste 1", (), "10.59.2.10"),
    "poste1.systeme": ("Système du poste 1", (), "debian"),
    "poste1.acces": ("Accès du poste 1", (), "installeur"),
}
"""Columns of the table: heading, other headings, and an example. There are as many PCs as one writes (Poste 2…)."""

_WHOLE = ("habitants", "agents", "vague")
_PLAIN_COLUMNS = ("nom", "siren", "insee", "code_postal", "territoire", "agents", "vague", "acces", "services")
_NUMERIC_COLUMNS = ("siren", "insee", "code_postal", "habitants", "agents", "vague")
_NEEDED = ("nom", "siren")
_REQUIRED_FOR_CREATION = ("territoire", "agents")  # what a commune that has no file yet cannot do without
_ROLES = ("maire", "dgs", "secretaire")
_PERSON = ("prenom", "nom", "courriel")
_POSTE = re.compile(r"(poste|adresse-du-poste|systeme-du-poste|acces-du-poste)-([1-9][0-9]?)")
_MAX_ROWS_ABOVE_HEADINGS = 20  # rows above the headings
_FORMULA_ERRORS = ("#REF!", "#N/A", "#NAME?", "#NOM?", "#VALUE!", "#VALEUR!", "#DIV/0!", "#NUM!", "Err:")
_TEXT_FORMAT = "mettez la colonne au format Texte, puis recopiez-le"

Fault = tuple[str, str, str]
"""Column, what is wrong in it, and what to do."""


class InvalidTableError(sheet.SheetError, cause="import"):
    """The table as a whole is not what is read here."""


class _InvalidRowError(Exception):
    """A row is not good."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__()
        self.faults = faults


@dataclass
class Planned:
    """What a row makes of a commune's file."""

    row: int
    slug: str
    before: bytes | None
    """The file as it was read; None when there is none yet."""
    source: Source
    data: dict[str, Any]
    changes: list[tuple[str, Any, Any]]
    """Field, value before, value after, of a file that is there."""
    columns: dict[str, str]
    """Headings of the fields that come from the table, by their place in the file."""

    def lines(self) -> list[str]:
        """Say what changes, in French."""
        return [f"{name} : {_format_value(before)} → {_format_value(now)}" for name, before, now in self.changes]


@dataclass
class Plan:
    """What a table makes of the communes' files."""

    new: list[Planned] = field(default_factory=list)
    changed: list[Planned] = field(default_factory=list)
    same: list[Planned] = field(default_factory=list)
    refused: list[Problem] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    """Headings of columns that are no field."""
    idle: int = 0
    """Rows whose population has no place in their commune's file, which has no council yet."""


def model() -> bytes:
    """Give an empty table (ODS) with its headings, and a second sheet that says what each column takes."""
    head = [heading for heading, _others, _example in COLUMNS.values()]
    about = [[heading, ", ".join(others), example] for heading, others, example in COLUMNS.values()]
    return spreadsheet.make({"Communes": (head, []), "Colonnes": (("colonne", "se lit aussi", "exemple"), about)})


def plan(directory: Path, table: Path) -> Plan:
    """Say what a table would make of an inventory; nothing is written.

    Args:
        directory: inventory folder.
        table: the ODS or CSV.

    Raises:
        SheetError: the table is not read, or has no headings that are known.
        GroupementError: groupement.yml is not good.
    """
    return _Reading(directory, table).plan()


def carry_out(directory: Path, made: Plan) -> list[Problem]:
    """Write the files of a plan; give what could not be. A file that changed since it was read is left as it is."""
    left = []
    for one in [*made.new, *made.changed]:
        target = directory / "communes" / f"{one.slug}.yml"
        try:
            if one.before is not None and target.read_bytes() != one.before:
                left.append(_changed_since(one))
                continue
            mode = target.stat().st_mode & 0o7777 if one.before is not None else 0o644
            write(target, one.source.raw, mode, replace=one.before is not None)
        except FileExistsError:
            left.append(_changed_since(one))
        except OSError:
            fix = "vérifiez vos droits et la place sur le disque, puis relancez la même commande"
            left.append(Problem(one.source.label, None, "", "le fichier ne peut pas être écrit", fix))
    return left


def lines(made: Plan) -> list[str]:
    """Say what a plan does, in French."""
    counts = (
        _count_phrase(made.new, "nouvelle", "nouvelles"),
        _count_phrase(made.changed, "corrigée", "corrigées"),
        _count_phrase(made.same, "inchangée", "inchangées"),
    )
    told = [f"Communes : {', '.join(counts)}."]
    for one in made.new:
        held = [f"{place['nom']} {place.get('adresse', '(installateur)')}" for place in one.data["postes"]]
        held += [f"connecteur {one.data['connecteur']['adresse']}"] if "connecteur" in one.data else []
        what = f"{one.data['nom']}, SIREN {one.data['siren']}, {one.data['territoire']}, {one.data['agents']} agents"
        told.append(f"+ {one.source.label} (ligne {one.row}) : {' ; '.join([what, *held])}")
    for one in made.changed:
        told += [f"~ {one.source.label} (ligne {one.row})", *(f"    {line}" for line in one.lines())]
    if made.refused:
        told += ["Refusé :", *(f"  - {problem}" for problem in made.refused)]
    if made.unread:
        told.append(f"Colonnes qui ne sont pas lues : {', '.join(made.unread)}.")
    if made.idle:
        told.append(
            f"Population : elle n'a pas sa place dans {made.idle} fichier{'s' if made.idle > 1 else ''}, sans "
            "deliberations: (docs/communes.md) ; elle n'y est pas écrite."
        )
    return [harmless.line(one) for one in told]


def _count_phrase(found: Sequence[object], one: str, several: str) -> str:
    return f"{len(found)} {several if len(found) > 1 else one}"


def _changed_since(one: Planned) -> Problem:
    fix = "relisez-le, puis relancez la même commande"
    return Problem(one.source.label, None, "", "quelqu'un vient d'écrire ce fichier", fix)


def _format_value(value: Any) -> str:
    return "rien" if value is None else inline(value)


class _Reading:
    """The reading of one table."""

    def __init__(self, directory: Path, table: Path) -> None:
        self._label = table.name
        problems = list[Problem]()
        settings = groupement.read_settings(directory, problems)
        if settings is None:
            raise groupement.GroupementError(problems)
        self._settings = settings
        self._rows = sheet.read(table)
        self._servers = groupement.servers_addresses(directory)
        self._there: dict[str, tuple[Source, dict[str, Any]]] = {}
        self._broken = set[str]()
        for source in groupement.read_sources(directory / "communes", problems):
            data = None if source.problems else groupement.check_commune(source, settings)
            if data is None or source.problems:
                self._broken.add(Path(source.label).stem)
            else:
                self._there[Path(source.label).stem] = source, data
        self._known = {slug: data for slug, (_source, data) in self._there.items()}  # and those of rows, one by one
        self._by_siren = {data["siren"]: slug for slug, data in self._known.items()}
        self._logins = {login for data in self._known.values() for login in _walk_logins(data)}
        self._plan = Plan()

    def plan(self) -> Plan:
        headings = self._locate_columns()
        rows = [
            (number, {name: cells[place] for name, place in headings.items() if place < len(cells) and cells[place]})
            for number, cells in self._rows
        ]
        rows = [(number, cells) for number, cells in rows if cells]
        self._servers += [text for _number, cells in rows for name, text in cells.items() if _is_address(name)]
        twice = self._refuse_duplicates(rows)
        made = []
        for number, cells in rows:
            try:
                made.append(self._plan_row(number, cells, twice.get(number, [])))
            except _InvalidRowError as error:
                self._refuse_row(number, error.faults)
            except groupement.GroupementError as error:  # there is no address left to give
                self._plan.refused += error.problems
        for one in self._agreeing_rows(made):
            kind = "new" if one.before is None else "changed" if one.changes else "same"
            getattr(self._plan, kind).append(one)
        self._plan.refused.sort(key=lambda one: one.line or 0)
        return self._plan

    def _refuse_row(self, number: int, faults: Iterable[Fault]) -> None:
        for column, message, fix in faults:
            problem = Problem(self._label, number, _column_heading(column), message, fix)
            if problem not in self._plan.refused:
                self._plan.refused.append(problem)

    def _locate_columns(self) -> dict[str, int]:
        """Place of each known column; rows down to that of the headings are taken off."""
        for rank, (_number, cells) in enumerate(self._rows[:_MAX_ROWS_ABOVE_HEADINGS]):
            named = [_column_name(cell) for cell in cells]
            if not {*_NEEDED} <= {*named}:
                continue
            for name in _NEEDED + tuple(filter(None, named)):
                if named.count(name) > 1:
                    told = f"{self._label} : deux colonnes disent « {_column_heading(name)} »"
                    raise InvalidTableError(f"{told}. À faire : gardez-en une")
            self._rows = self._rows[rank + 1 :]
            self._plan.unread = [cell for cell, name in zip(cells, named, strict=True) if cell and not name]
            return {name: place for place, name in enumerate(named) if name}
        needed = " et ".join(_column_heading(name) for name in _NEEDED)
        raise InvalidTableError(
            f"{self._label} : aucune ligne n'a les titres {needed}. À faire : donnez à chaque colonne son titre, comme "
            "dans le modèle (fab communes.importer --modele modele.ods)"
        )

    def _refuse_duplicates(self, rows: Iterable[tuple[int, Mapping[str, str]]]) -> dict[int, list[Fault]]:
        """Refuse each of two rows that are of one commune: nobody knows which is right."""
        found: dict[int, list[Fault]] = {}
        seen: dict[tuple[str, str], int] = {}
        for number, cells in rows:
            for name, value in {"siren": sheet.digits(cells.get("siren", "")), "nom": self._row_slug(cells)}.items():
                other = seen.setdefault((name, value), number) if value else number
                if other != number:
                    shown = "ce SIREN" if name == "siren" else f"le fichier communes/{value}.yml"
                    for mine, its in ((number, other), (other, number)):
                        fix = "gardez la bonne ligne, ou corrigez l'autre"
                        found.setdefault(mine, [(name, f"la ligne {its} a aussi {shown}", fix)])
        return found

    def _row_slug(self, cells: Mapping[str, str]) -> str:
        """Short name of a row's commune: as written, else of the file that has its SIREN, else from its name."""
        written = cells.get("fichier", "").removesuffix(".yml")
        return written or self._by_siren.get(sheet.digits(cells.get("siren", ""))) or slugify(cells.get("nom", ""))

    def _plan_row(self, number: int, cells: Mapping[str, str], faults: Sequence[Fault]) -> Planned:
        """Give what a row makes of its commune's file, as far as the row alone is judged. Raises _RowRefused."""
        values = {name: _parse_cell(name, text, self._settings) for name, text in cells.items()}
        slug = self._row_slug(cells)
        source, data = self._there.get(slug, (None, None))
        if found := [*faults, *self._cell_faults(slug, cells, values, data)]:
            raise _InvalidRowError(*found)
        label = f"communes/{slug}.yml"
        raw = source.raw if source else self._new_file_text(slug, values).encode()
        start = data if data is not None else Source(label, raw).read() or {}
        edited = Edited(raw.decode("utf-8-sig"), start)
        columns = _write_row(edited, values, slug, self._logins)
        if edited.refused:
            message = f"{label} ne se change pas tout seul à cet endroit : {edited.refused}"
            raise _InvalidRowError(
                (_column_of(columns, edited.refused), message, "changez ce champ à la main dans le fichier")
            )
        checked = Source(label, edited.text.encode() if edited.changes else raw)
        groupement.check_slug(checked, slug)
        after = groupement.check_commune(checked, self._settings)
        if checked.problems or after is None:
            raise _InvalidRowError(*_faults_of(checked, columns))
        self._logins |= {*_walk_logins(after)}
        self._plan.idle += "habitants" in values and "deliberations" not in after
        self._known[slug] = after
        changes = edited.changes if source else []
        return Planned(number, slug, source.raw if source else None, checked, after, changes, columns)

    def _cell_faults(
        self, slug: str, cells: Mapping[str, str], values: Mapping[str, Any], data: Mapping[str, Any] | None
    ) -> Iterator[Fault]:
        """What is wrong in a row's cells, said in the words of a spreadsheet."""
        for name in (*_NEEDED, *(_REQUIRED_FOR_CREATION if data is None else ())):
            if name not in values:
                yield name, "la cellule est vide", "remplissez-la"
        for name, text in cells.items():
            if text.startswith(_FORMULA_ERRORS):
                yield name, f"{quote(text)} est l'erreur d'une formule", "écrivez la valeur elle-même"
            else:
                yield from _misread_faults(name, text, values[name])
        if slug in self._broken:
            yield "nom", f"communes/{slug}.yml a déjà des défauts", "corrigez-le d'abord : fab inventaire.controle"
        siren, insee = values.get("siren", ""), values.get("insee")
        owner, held = self._by_siren.get(siren, slug), groupement.insee_of(siren) if siren_is_valid(siren) else ""
        code = insee or (data["insee"] if data else "")
        if owner != slug:
            fix = "corrigez celui des deux qui se trompe"
            yield "fichier", f"le SIREN {siren} est celui de communes/{owner}.yml, non de {slug}", fix
        elif data and siren != data["siren"] and "fichier" not in cells and insee != data["insee"]:
            fix = f"si c'est la même, écrivez {slug} dans la colonne Fichier ; sinon, un autre nom court"
            yield "siren", f"communes/{slug}.yml est déjà celui du SIREN {data['siren']}", fix
        elif code and held not in ("", code) and (siren, code) != (data and data["siren"], data and data["insee"]):
            fix = "recopiez les deux, par exemple depuis annuaire-entreprises.data.gouv.fr"
            yield "insee", f"le SIREN {siren} est celui de la commune {held}, non {quote(code)}", fix

    def _new_file_text(self, slug: str, values: Mapping[str, Any]) -> str:
        """Give the file that ``fab commune.nouvelle`` would write of a row."""
        siren, services = values["siren"], values.get("services", ["teletransmission"])
        connector = values.get("connecteur", "" if "teletransmission" in services else None)
        postes = [(one["nom"], _poste_address(one)) for one in _row_postes(values)]
        postes, connector = groupement.give_addresses(self._settings, self._known, postes, connector, self._servers)
        fields = {
            "nom": values["nom"],
            "siren": siren,
            "insee": values.get("insee") or groupement.insee_of(siren),
            "territoire": values["territoire"],
            "agents": values["agents"],
            "vague": values.get("vague", 1),
            "services": services,
        }
        return groupement.render(slug, fields, postes, connector)

    def _agreeing_rows(self, left: list[Planned]) -> list[Planned]:
        """Give the rows that agree with all files and with each other; the others are refused."""
        already = {problem for source in self._check_together() for problem in source.problems}
        while True:
            for one in left:
                one.source.problems.clear()
            others = self._check_together(*left)
            for source in others:  # what a row makes of it is told there alone
                for problem in {*source.problems} - already:
                    blamed = [one for one in left if one.slug in problem.message] or left
                    for one in blamed:
                        one.source.report(f"{problem.file} : {problem.message}", problem.fix)
            bad = [one for one in left if one.source.problems]
            if not bad:
                return left
            for one in bad:
                self._refuse_row(one.row, _faults_of(one.source, one.columns))
            left = [one for one in left if not one.source.problems]

    def _check_together(self, *rows: Planned) -> list[Source]:
        """Check the files together with what rows make of theirs; gives those that no row changes.

        They come first: what they hold is theirs.
        """
        own = {one.slug for one in rows}
        there = [(Source(one.label, one.raw), data) for slug, (one, data) in self._there.items() if slug not in own]
        groupement.check_unique([*there, *((one.source, one.data) for one in rows)])
        return [source for source, _data in there]


def _column_name(cell: str) -> str:
    """Name of the column that a heading is; "" when it is none."""
    word = slugify(cell)
    if poste := _POSTE.fullmatch(word):
        kind = "nom" if poste[1] == "poste" else poste[1].removesuffix("-du-poste")
        return f"poste{poste[2]}.{kind}"
    return next((name for name, (head, others, _e) in COLUMNS.items() if word in map(slugify, (head, *others))), "")


def _is_address(column: str) -> bool:
    return column == "connecteur" or column.endswith(".adresse")


def _column_heading(column: str) -> str:
    """Heading of a column."""
    if poste := re.fullmatch(r"poste(\d+)\.(\w+)", column):
        return COLUMNS[f"poste1.{poste[2]}"][0].replace("1", poste[1])
    return COLUMNS[column][0] if column in COLUMNS else column


def _parse_cell(name: str, text: str, settings: Mapping[str, Any]) -> Any:
    """What a cell says, as a commune's file writes it; what is not understood stays as it is, and is refused."""
    if name in _NUMERIC_COLUMNS:
        plain = sheet.digits(text)
        if name in ("siren", "insee"):
            plain = plain.replace(" ", "").upper()
        if (
            name in ("insee", "code_postal")
            and re.fullmatch(r"\d{4}", plain)
            and settings["departement"].startswith("00")
        ):
            return f"0{plain}"  # which a number has not
        return int(plain) if name in _WHOLE and re.fullmatch(r"\d{1,9}", plain) else plain
    if name == "territoire":
        return slugify(text) if slugify(text) in settings["territoires"] else text
    if name == "services":
        return [slugify(one) for one in re.split(r"[,;/+\s]+", text) if one]
    if name == "acces" or name.endswith((".systeme", ".acces")):
        return slugify(text)
    return text


def _misread_faults(name: str, text: str, value: Any) -> Iterator[Fault]:
    """Say what a spreadsheet program made of a number."""
    if name == "siren" and re.fullmatch(r"\d{14}", value):
        yield name, f"{quote(text)} a 14 chiffres : c'est un SIRET", "gardez les 9 premiers, le SIREN"
    elif name == "siren" and not re.fullmatch(r"[1-9]\d{8}", value):
        yield name, f"{quote(text)} n'a pas les 9 chiffres d'un SIREN", _TEXT_FORMAT
    elif name == "siren" and not siren_is_valid(value):
        fix = "recopiez-le, par exemple depuis annuaire-entreprises.data.gouv.fr"
        yield name, f"la clé de {quote(text)} est fausse : ce n'est pas un SIREN", fix
    elif name == "insee" and not re.fullmatch(r"(\d{2}|2[AB])\d{3}", value):
        yield name, f"{quote(text)} n'est pas un code INSEE de 5 caractères", _TEXT_FORMAT
    elif name == "code_postal" and not re.fullmatch(r"\d{5}", value):
        yield name, f"{quote(text)} n'est pas un code postal de 5 chiffres", _TEXT_FORMAT
    elif name in _WHOLE and not isinstance(value, int):
        yield name, f"{quote(text)} n'est pas un nombre entier", "écrivez-le en chiffres, sans autre signe"


def _row_postes(values: Mapping[str, Any]) -> list[dict[str, str]]:
    """The PCs of a row, each with the columns that it has."""
    found: dict[int, dict[str, str]] = {}
    for name, value in values.items():
        if poste := re.fullmatch(r"poste(\d+)\.(\w+)", name):
            found.setdefault(int(poste[1]), {"rang": poste[1]})[poste[2]] = value
    for rank, one in found.items():
        if "nom" not in one:
            fix = "donnez au poste un nom court, comme pc-secretariat"
            told = "la cellule est vide, et le poste a une adresse, un système ou un accès"
            raise _InvalidRowError((f"poste{rank}.nom", told, fix))
    return [found[rank] for rank in sorted(found)]


def _poste_address(poste: Mapping[str, str]) -> str | None:
    """The address of a PC; "" for one to be given, None where its installer is carried."""
    carried = poste.get("acces") == groupement.UNMANAGED_ACCESS and not poste.get("adresse")
    return None if carried else poste.get("adresse", "")


def _write_row(edited: Edited, values: Mapping[str, Any], slug: str, logins: set[str]) -> dict[str, str]:
    """Write a row's values where they belong; gives the columns of what was written, by place in the file."""
    columns = {name: name for name in (*_PLAIN_COLUMNS, "connecteur")} | {
        "connecteur.adresse": "connecteur",
        "": "fichier",
    }

    def put(path: FieldPath, value: Any, column: str) -> None:
        edited.set(path, value)
        columns[dotted(path)] = column

    for name in _PLAIN_COLUMNS:
        if name in values:
            put((name,), values[name], name)
    if "connecteur" in values and edited.get(("connecteur",)) is None:
        edited.set(("connecteur",), {"adresse": values["connecteur"], "tdt": "s2low"})
    elif "connecteur" in values:
        put(("connecteur", "adresse"), values["connecteur"], "connecteur")
    for one in _row_postes(values):
        _write_poste(edited, one, columns, put)
    if "habitants" in values and edited.get(("deliberations",)):
        put(("deliberations", "habitants"), values["habitants"], "habitants")
    people = {role: _ensure_person(edited, values, role, slug, logins, columns) for role in _ROLES}
    _give_roles(edited, people, columns, put)
    return columns


Put = Callable[[FieldPath, Any, str], None]


def _write_poste(edited: Edited, one: Mapping[str, str], columns: dict[str, str], put: Put) -> None:
    """Change the PC of this name, or add it."""
    rank, column = one["rang"], f"poste{one['rang']}"
    names = [poste["nom"] for poste in edited.get(("postes",))]
    place = names.index(one["nom"]) if one["nom"] in names else len(names)
    columns[f"postes[{place}].nom"] = f"{column}.nom"
    columns |= {f"postes[{place}].{kind}": f"{column}.{kind}" for kind in ("adresse", "acces", "systeme")}
    if place < len(names):
        for kind in ("adresse", "systeme", "acces"):
            if kind in one:
                put(("postes", place, kind), one[kind], f"{column}.{kind}")
        return
    address = _poste_address(one)
    if address == "":
        fix = f"écrivez {_column_heading(f'poste{rank}.adresse')} : la fiche existe déjà, et n'a pas ce poste"
        raise _InvalidRowError((f"{column}.adresse", "la cellule est vide", fix))
    lines = groupement.poste_lines(one["nom"], address, one.get("systeme", ""))
    [value] = yaml.safe_load("\n".join(lines))
    edited.append(("postes",), value, lines)


def _ensure_person(
    edited: Edited, values: Mapping[str, Any], role: str, slug: str, logins: set[str], columns: dict[str, str]
) -> str:
    """Have the person of a role in the commune's accounts; gives the login, "" when the row names nobody."""
    given = {kind: values[f"{role}.{kind}"] for kind in _PERSON if f"{role}.{kind}" in values}
    if not given:
        return ""
    if lacking := [f"{role}.{kind}" for kind in ("prenom", "nom") if kind not in given]:
        raise _InvalidRowError(
            *((one, "la cellule est vide", "écrivez le prénom et le nom de la personne") for one in lacking)
        )
    accounts = edited.get(("comptes",)) or []
    login = f"{slugify(given['prenom'])}.{slugify(given['nom'])}"
    name = (given["prenom"].casefold(), given["nom"].casefold())
    found = [rank for rank, one in enumerate(accounts) if (one["prenom"].casefold(), one["nom"].casefold()) == name]
    found += [rank for rank, one in enumerate(accounts) if one["identifiant"] == login]
    place = found[0] if found else len(accounts)
    columns |= {f"comptes[{place}].{kind}": f"{role}.{kind}" for kind in _PERSON}
    columns[f"comptes[{place}].identifiant"] = f"{role}.nom"
    if place < len(accounts):
        for kind, value in given.items():
            edited.set(("comptes", place, kind), value)
        return str(accounts[place]["identifiant"])
    if "courriel" not in given:
        raise _InvalidRowError(
            (f"{role}.courriel", "la cellule est vide", "écrivez son adresse électronique professionnelle")
        )
    if login in logins:  # of somebody else in another commune
        login = f"{login}.{slug}"
    edited.append(("comptes",), {"identifiant": login, **given})
    return login


def _give_roles(edited: Edited, people: Mapping[str, str], columns: dict[str, str], put: Put) -> None:
    """Have the mayor sign, and who prepares and approves do it, where the commune has these services."""
    mayor, director = people["maire"], people["dgs"]
    writer = people["secretaire"] or director
    circuits = edited.get(("parapheur",))
    if circuits is None and "parapheur" in edited.get(("services",)) and mayor and writer:
        dgs = {"dgs": {"titulaire": director}} if director else {}
        edited.set(("parapheur",), {"redacteurs": [writer], **dgs, "maire": {"titulaire": mayor}})
    elif circuits is not None:
        if mayor:
            put(("parapheur", "maire", "titulaire"), mayor, "maire.nom")
        if director and "dgs" in circuits:
            put(("parapheur", "dgs", "titulaire"), director, "dgs.nom")
    if mayor and edited.get(("deliberations",)):
        put(("deliberations", "maire"), mayor, "maire.nom")
    columns |= {"parapheur": "maire.nom", "deliberations": "maire.nom", "parapheur.dgs": "dgs.nom"}


def _walk_logins(data: Mapping[str, Any]) -> Iterator[str]:
    """Logins of a commune's people, and of those of what it hosts."""
    for one in (data, *data.get("entites", [])):
        yield from (account["identifiant"] for account in one.get("comptes", []))


def _column_of(columns: Mapping[str, str], place: str) -> str:
    """Column of a place in a commune's file, or of what holds it; the place itself when no column is."""
    parts = re.split(r"(?=[.\[])", place)
    held = ("".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((columns[one] for one in held if one in columns), place)


def _faults_of(source: Source, columns: Mapping[str, str]) -> list[Fault]:
    return [(_column_of(columns, one.field), one.message, one.fix) for one in source.problems]
