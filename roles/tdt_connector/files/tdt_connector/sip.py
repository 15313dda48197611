"""An acquitted act as a SIP: a SEDA 2.3 ArchiveTransfer with its files, in one tar, the same bytes for the same act."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from lxml import etree

from .storage import digest

NAMESPACE = "fr:gouv:culture:archivesdefrance:seda:v2.3"
_N = f"{{{NAMESPACE}}}"
# Ours, or already said by the manifest.
_LEFT_OUT = {"resume.json", "motif.txt", "versement.xml", "versement-refuse.xml"}
_TITLES = {
    "ARActe.xml": "Accusé de réception de la préfecture (ARActe)",
    "acte-tamponne.pdf": "Acte tamponné",
    "bordereau.pdf": "Bordereau d'acquittement",
}


class SipError(Exception):
    """The folder is not an acquitted act that can be archived; the text is French."""


@dataclass(frozen=True)
class Terms:
    """What the archive agreed with the commune: its identifier, the rule of the duration, the final action."""

    agency: str
    rule: str
    action: str  # Keep or Destroy


@dataclass(frozen=True)
class _File:
    path: Path
    size: int
    sha512: str
    title: str

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def uri(self) -> str:
        return f"content/{self.name}"


def files_of(folder: Path) -> list[Path]:
    """The files of an acquitted act that are archived, the act's own first and its ARActe next."""

    def rank(path: Path) -> tuple[int, str]:
        order = ["ARActe.xml", "acte-tamponne.pdf", "bordereau.pdf"]
        return (1 + order.index(path.name) if path.name in order else 0, path.name)

    found = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    kept = [path for path in found if path.name not in _LEFT_OUT and path.suffix not in (".yml", ".yaml")]
    return sorted(kept, key=rank)


def message_identifier(idacte: str) -> str:
    """The transfer's identifier: the act's own, for life."""
    return f"ACTE-{idacte}"


def build(folder: Path, siren: str, terms: Terms, target: BinaryIO) -> None:
    """Write the SIP of an acquitted act. Raises SipError, or OSError."""
    if not (folder / "ARActe.xml").is_file():
        raise SipError(f"« {folder.name} » n'a pas d'ARActe : seul un acte acquitté est versé.")
    try:
        act: dict[str, Any] = json.loads((folder / "resume.json").read_bytes())
    except (OSError, ValueError) as error:
        raise SipError(f"« {folder.name} » : resume.json illisible ({error}).") from error
    files = [
        _File(path, path.stat().st_size, digest(path, "sha512"), _title(path.name, act)) for path in files_of(folder)
    ]
    manifest = _manifest(folder.name, act, files, siren, terms)
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:

        def add(name: str, content: BinaryIO, size: int) -> None:
            info = tarfile.TarInfo(name)
            info.size, info.mode = size, 0o644
            archive.addfile(info, content)

        add("manifest.xml", io.BytesIO(manifest), len(manifest))
        for one in files:
            with one.path.open("rb") as stream:
                add(one.uri, stream, one.size)


def _title(name: str, act: dict[str, Any]) -> str:
    if name in _TITLES:
        return _TITLES[name]
    main = re.fullmatch(r"(?i)(.*)\.(pdf|xml|png|jpe?g)", name)
    return f"Acte {act.get('numero') or ''}".strip() if main and main[1] == act.get("numero") else f"Pièce {name}"


def _manifest(idacte: str, act: dict[str, Any], files: Sequence[_File], siren: str, terms: Terms) -> bytes:
    root = etree.Element(f"{_N}ArchiveTransfer", nsmap={None: NAMESPACE})  # type: ignore[dict-item] # the default namespace

    def add(parent: Any, path: str, text: object = None) -> Any:
        for step in path.split("/"):
            parent = etree.SubElement(parent, _N + step)
        if text is not None:
            parent.text = str(text)
        return parent

    received, decided = act.get("aracte_le") or act["date"], act["date"]
    subject = " ".join(str(act.get("objet_transmis") or "").split())
    add(root, "Comment", f"Acte {act.get('numero')} : {subject}")
    add(root, "Date", f"{received}T00:00:00Z")
    add(root, "MessageIdentifier", message_identifier(idacte))
    lists = add(root, "CodeListVersions")
    add(lists, "MessageDigestAlgorithmCodeListVersion", "SHA-512")
    add(lists, "FileFormatCodeListVersion", "PRONOM")
    package = add(root, "DataObjectPackage")
    for rank, one in enumerate(files, start=1):
        group = add(package, "DataObjectGroup")
        group.set("id", f"G{rank}")
        node = add(group, "BinaryDataObject")
        node.set("id", f"B{rank}")
        add(node, "DataObjectVersion", "BinaryMaster_1")
        add(node, "Uri", quote(one.uri))
        add(node, "MessageDigest", one.sha512).set("algorithm", "SHA-512")
        add(node, "Size", one.size)
        add(node, "FileInfo/Filename", one.name)
    whole = add(package, "DescriptiveMetadata/ArchiveUnit")
    whole.set("id", "ACTE")
    content = add(whole, "Content")
    add(content, "DescriptionLevel", "RecordGrp")
    add(content, "Title", subject or f"Acte {act.get('numero')}")
    add(content, "OriginatingSystemId", idacte)
    if act.get("classification"):
        add(content, "Description", f"Classification {act['classification']}, nature {act.get('nature') or 'inconnue'}")
    add(content, "DocumentType", "Acte soumis au contrôle de légalité")
    add(content, "StartDate", decided)
    add(content, "EndDate", received)
    for rank, one in enumerate(files, start=1):
        unit = add(whole, "ArchiveUnit")
        unit.set("id", f"P{rank}")
        described = add(unit, "Content")
        add(described, "DescriptionLevel", "Item")
        add(described, "Title", one.title)
        add(unit, "DataObjectReference/DataObjectGroupReferenceId", f"G{rank}")
    management = add(package, "ManagementMetadata")
    add(management, "LegalStatus", "Public Archive")
    add(management, "OriginatingAgencyIdentifier", siren)
    add(management, "SubmissionAgencyIdentifier", siren)
    appraisal = add(management, "AppraisalRule")
    add(appraisal, "Rule", terms.rule)
    add(appraisal, "StartDate", decided)
    add(appraisal, "FinalAction", terms.action)
    add(root, "ArchivalAgency/Identifier", terms.agency)
    add(root, "TransferringAgency/Identifier", siren)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)
