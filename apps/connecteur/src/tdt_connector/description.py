"""The small YAML file a clerk drops beside an act, read as text: "2026_012" stays "2026_012"."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import yaml

from creatic_agent.act import DESCRIPTION, GOES, STAYS, Act, File
from creatic_agent.errors import CreaticError

MAX_BYTES = 65536
_FAULTS_MAX, _FAULT_MAX = 30, 500  # faults told of a description, characters of each
# Names the connector writes itself beside the act.
RESERVED = (
    "resume.json",
    "motif.txt",
    "ARActe.xml",
    "acte-tamponne.pdf",
    "bordereau.pdf",
    "budget.html",
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
    "transmission",
)
# A subject on one line, without quotes: people write « : » and « # » in it, which YAML would take for its own.
_PLAIN_SUBJECT = re.compile(r"^objet[ \t]*:[ \t]+(?![\"'|>&*!\s])(.*)$(?!\n[ \t]+\S)", re.MULTILINE)
# Fields, the list of annexes, an annex, its fields.
_DEPTH_MAX = 4
_PARTS_MAX = 3000  # texts, and beginnings and ends of lists: five hundred annexes
_PLAIN_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "map", "seq")}
# What PyYAML raises on what people write, its own errors apart: "\\UFFFFFFFF" is no character.
_UNREADABLE = (yaml.YAMLError, ValueError, ArithmeticError, LookupError, RecursionError)


class DescriptionError(CreaticError, cause="description"):
    """The description cannot be used; one French line per fault, each with its field and the fix."""

    def __init__(self, faults: list[str]) -> None:
        shown = faults[:_FAULTS_MAX]
        if len(faults) > _FAULTS_MAX:
            shown.append(f"et {len(faults) - _FAULTS_MAX} autres défauts.")
        self.faults = [line if len(line) <= _FAULT_MAX else f"{line[:_FAULT_MAX]}…" for line in shown]
        super().__init__("\n".join(self.faults))


@dataclass(frozen=True, kw_only=True)
class Description(Act):
    """What the clerk wrote, before any check of its meaning. Absent texts are empty."""

    pes: bool = False
    paper: bool = False
    on_hold: bool = False
    remarks: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """The name of its own file, or ""."""
        return self.main.name if self.main else ""


def parse(content: bytes) -> Description:
    """Read a description. Raises DescriptionError. The file may be UTF-8, UTF-16 or Windows-1252."""
    if len(content) > MAX_BYTES:
        raise DescriptionError([f"le fichier de description dépasse {MAX_BYTES // 1024} ko."])
    text, remarks = _decode(content)
    raw = _read(_PLAIN_SUBJECT.sub(_quote_subject, text))
    faults = [_unknown(name) for name in raw if name not in _FIELDS]

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
    transmission = text_of("transmission").lower()
    if transmission not in ("", GOES, STAYS):
        faults.append(
            f"champ « transmission » : « {transmission} » n'est ni oui ni non ; dites si l'acte part à la préfecture "
            "(CGCT, L2131-2)."
        )
    file = _file_name(text_of("fichier"), "fichier", faults)
    told: dict[str, Any] = {field: text_of(name) for field, name in DESCRIPTION.items() if field != "transmission"}
    description = Description(
        **told,
        # "type: pes" is accepted too: a PES has no type of document.
        pes=kind == "pes" or told["type"].lower() == "pes",
        main=File(file) if file else None,
        annexes=_annexes(raw.get("annexes", ""), faults),
        paper=yes("document_papier"),
        on_hold=yes("en_attente"),
        transmission=transmission,
        remarks=remarks,
    )
    if description.pes and description.transmission == STAYS:
        faults.append(
            "champ « transmission » : un flux comptable n'est pas un acte ; il part à la DGFiP, ou n'est pas déposé."
        )
    names = Counter([description.file, *(annex.name for annex in description.annexes)])
    faults += [f"le fichier « {name} » est cité deux fois." for name, count in names.items() if name and count > 1]
    if faults:
        raise DescriptionError(faults)
    return description


def _read(text: str) -> dict[str, str | yaml.Node]:
    """The fields as they were typed."""
    try:
        _refuse_more_than_text(text)
        # Nodes hold the text that was typed: no octal numbers, no 1.10 that becomes 1.1, and nothing is built of them.
        raw = _fields(yaml.compose(text, Loader=yaml.BaseLoader))
    except _UNREADABLE as error:
        mark = getattr(error, "problem_mark", None)
        where = f" à la ligne {mark.line + 1}" if mark else ""
        hint = "mettez entre guillemets les textes qui contiennent « : » ou « # », ou commencent par « * » ou « & »"
        raise DescriptionError([f"le fichier de description n'est pas lisible{where} : {hint}."]) from error
    if raw is None:
        raise DescriptionError(["le fichier de description est vide ; il faut des lignes « champ: valeur »."])
    return raw


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(str(name)[:40], _FIELDS, n=1)
    hint = f"vouliez-vous dire « {close[0]} » ?" if close else f"champs admis : {', '.join(_FIELDS)}."
    return f"champ « {name} » inconnu ; {hint}"


def replace_file(description: Description, name: str) -> Description:
    """The same description, about this file."""
    return replace(description, main=File(name))


def _quote_subject(line: re.Match[str]) -> str:
    return f"objet: '{line[1].rstrip(' \t\r').replace("'", "''")}'"


def _refuse_more_than_text(text: str) -> None:
    """Raise DescriptionError for YAML that a description has no use for: tags, nesting."""
    depth = 0
    for rank, event in enumerate(yaml.parse(text, Loader=yaml.BaseLoader)):
        line = event.start_mark.line + 1 if event.start_mark else 1
        where = f"le fichier de description, ligne {line} : "
        if rank > _PARTS_MAX:
            raise DescriptionError([f"{where}trop de champs ou d'annexes pour un acte."])
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEPTH_MAX:
                raise DescriptionError(
                    [f"{where}trop de listes les unes dans les autres ; il en faut une, « annexes »."]
                )
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        tag = getattr(event, "tag", None)
        if tag and tag not in _PLAIN_TAGS:
            raise DescriptionError([f"{where}« ! » en tête d'un texte a un autre sens ; mettez-le entre guillemets."])


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
    if name.lower().endswith((".yml", ".yaml")):
        faults.append(f"champ « {where} » : « {name} » est une description ; indiquez le document lui-même.")
        return ""
    return name


def _fields(node: yaml.Node | None) -> dict[str, str | yaml.Node] | None:
    """The fields of a mapping: texts, and what is none as it is. None when it is no mapping.

    Raises DescriptionError for a field that is there twice, of which YAML would keep the last one.
    """
    if not isinstance(node, yaml.MappingNode):
        return None
    found: dict[str, str | yaml.Node] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.MarkedYAMLError(problem_mark=key.start_mark)
        if key.value in found:
            again = f"ligne {key.start_mark.line + 1} : champ « {key.value} » déjà écrit plus haut ; gardez-en un seul."
            raise DescriptionError([f"le fichier de description, {again}"])
        found[key.value] = value.value if isinstance(value, yaml.ScalarNode) else value
    return found


def _annexes(raw: str | yaml.Node, faults: list[str]) -> tuple[File, ...]:
    if raw == "":
        return ()
    example = "exemple : - {fichier: plan.pdf, type: 99_AU}"
    if not isinstance(raw, yaml.SequenceNode):
        faults.append(f"champ « annexes » : une liste est attendue ; {example}.")
        return ()
    annexes = []
    for rank, item in enumerate(raw.value, start=1):
        entry = _fields(item) or {}
        file, kind = entry.get("fichier"), entry.get("type", "")
        if not isinstance(file, str) or not file or not isinstance(kind, str) or set(entry) - {"fichier", "type"}:
            faults.append(f"annexe n° {rank} : il faut « fichier » et « type » ; {example}.")
            continue
        annexes.append(File(_file_name(file, f"annexes, n° {rank}", faults), type=kind.strip()))
    return tuple(annexes)
