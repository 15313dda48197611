"""The small YAML file a clerk drops beside an act, read as text: "2026_012" stays "2026_012"."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace
from typing import Any

import yaml

MAX_BYTES = 65536
# Names the connector writes itself beside the act.
RESERVED = (
    "resume.json",
    "motif.txt",
    "ARActe.xml",
    "acte-tamponne.pdf",
    "bordereau.pdf",
    "acquittement.xml",
    "versement.xml",
    "versement-refuse.xml",
)
_FIELDS = (
    "genre",
    "fichier",
    "numero",
    "objet",
    "date",
    "nature",
    "classification",
    "type",
    "annexes",
    "document_papier",
    "en_attente",
)


# A subject on one line, without quotes: people write « : » and « # » in it, which YAML would take for its own.
_PLAIN_SUBJECT = re.compile(r"^objet[ \t]*:[ \t]+(?![\"'|>&*!\s])(.*?)[ \t]*\r?$(?!\n[ \t]+\S)", re.MULTILINE)


class DescriptionError(Exception):
    """The description cannot be used; one French line per fault, each with its field and the fix."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass(frozen=True)
class Annex:
    """A document joined to an act."""

    file: str
    type: str


@dataclass(frozen=True)
class Description:
    """What the clerk wrote, before any check of its meaning. Absent texts are empty."""

    pes: bool = False
    file: str = ""
    number: str = ""
    subject: str = ""
    date: str = ""
    nature: str = ""
    matter: str = ""
    type: str = ""
    annexes: tuple[Annex, ...] = ()
    paper: bool = False
    on_hold: bool = False
    remarks: tuple[str, ...] = ()


class _TextLoader(yaml.SafeLoader):
    """Every scalar is the text that was typed: no octal numbers, no 1.10 that becomes 1.1."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        """PyYAML's hook that gives a value its type."""
        plain = value is not None and kind is yaml.ScalarNode
        return self.DEFAULT_SCALAR_TAG if plain else str(super().resolve(kind, value, implicit))


def parse(content: bytes) -> Description:
    """Read a description. Raises DescriptionError. The file may be UTF-8, UTF-16 or Windows-1252."""
    if len(content) > MAX_BYTES:
        raise DescriptionError([f"le fichier de description dépasse {MAX_BYTES // 1024} ko."])
    text, remarks = _decode(content)
    try:
        raw = _TextLoader(_PLAIN_SUBJECT.sub(_quote_subject, text)).get_single_data()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" à la ligne {mark.line + 1}" if mark else ""
        hint = "mettez entre guillemets les textes qui contiennent « : » ou « # »"
        raise DescriptionError([f"le fichier de description n'est pas lisible{where} : {hint}."]) from error
    if not isinstance(raw, dict):
        raise DescriptionError(["le fichier de description est vide ; il faut des lignes « champ: valeur »."])
    faults: list[str] = []
    for name in raw:
        if name not in _FIELDS:
            close = difflib.get_close_matches(str(name), _FIELDS, n=1)
            hint = f"vouliez-vous dire « {close[0]} » ?" if close else f"champs admis : {', '.join(_FIELDS)}."
            faults.append(f"champ « {name} » inconnu ; {hint}")

    def text_of(name: str) -> str:
        value = raw.get(name, "")
        if isinstance(value, str):
            return value.strip()
        faults.append(f"champ « {name} » : un seul texte est attendu.")
        return ""

    def yes(name: str) -> bool:
        value = text_of(name).lower()
        if value in ("oui", "true", "vrai", "1", "yes", "on"):
            return True
        if value not in ("", "non", "false", "faux", "0", "no", "off"):
            faults.append(f"champ « {name} » : « {value} » n'est ni oui ni non.")
        return False

    kind = text_of("genre").lower()
    if kind not in ("", "acte", "pes"):
        faults.append(f"champ « genre » : « {kind} » est inconnu ; écrivez acte ou pes.")
    description = Description(
        # "type: pes" is accepted too: a PES has no type of document.
        pes=kind == "pes" or text_of("type").lower() == "pes",
        file=_file_name(text_of("fichier"), "fichier", faults),
        number=text_of("numero"),
        subject=text_of("objet"),
        date=text_of("date"),
        nature=text_of("nature"),
        matter=text_of("classification"),
        type=text_of("type"),
        annexes=_annexes(raw.get("annexes"), faults),
        paper=yes("document_papier"),
        on_hold=yes("en_attente"),
        remarks=remarks,
    )
    names = [description.file, *(annex.file for annex in description.annexes)]
    for name in {name for name in names if name and names.count(name) > 1}:
        faults.append(f"le fichier « {name} » est cité deux fois.")
    if faults:
        raise DescriptionError(faults)
    return description


def replace_file(description: Description, name: str) -> Description:
    """The same description, about this file."""
    return replace(description, file=name)


def _quote_subject(line: re.Match[str]) -> str:
    return f"objet: '{line[1].replace("'", "''")}'"


def _decode(content: bytes) -> tuple[str, tuple[str, ...]]:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", errors="replace"), ("description lue en UTF-16",)
    try:
        return content.decode("utf-8-sig"), ()
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace"), ("description lue en Windows-1252",)


def _file_name(name: str, where: str, faults: list[str]) -> str:
    if "/" in name or "\\" in name or name in (".", "..") or "\0" in name:
        faults.append(f"champ « {where} » : « {name} » doit être un nom de fichier, sans dossier.")
        return ""
    if name in RESERVED:
        faults.append(f"champ « {where} » : le nom « {name} » est réservé au connecteur ; renommez le fichier.")
        return ""
    return name


def _annexes(raw: object, faults: list[str]) -> tuple[Annex, ...]:
    if raw is None or raw == "":
        return ()
    example = "exemple : - {fichier: plan.pdf, type: 99_AU}"
    if not isinstance(raw, list):
        faults.append(f"champ « annexes » : une liste est attendue ; {example}.")
        return ()
    annexes = []
    for rank, item in enumerate(raw, start=1):
        entry = item if isinstance(item, dict) else {}
        file, kind = entry.get("fichier"), entry.get("type", "")
        if not isinstance(file, str) or not file or not isinstance(kind, str) or set(entry) - {"fichier", "type"}:
            faults.append(f"annexe n° {rank} : il faut « fichier » et « type » ; {example}.")
            continue
        annexes.append(Annex(_file_name(file, f"annexes, n° {rank}", faults), kind.strip()))
    return tuple(annexes)
