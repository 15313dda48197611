"""An acquitted act, or flow, as a SIP: a SEDA 2.3 ArchiveTransfer and its files in one tar, always the same bytes."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from lxml import etree

from creatic_agent.act import SUMMARY, Act
from creatic_agent.errors import CreaticError
from creatic_agent.seda import Writer

from .config import Line
from .storage import digest

NAMESPACE = "fr:gouv:culture:archivesdefrance:seda:v2.3"
# Ours, or already said by the manifest.
_LEFT_OUT = {"resume.json", "motif.txt", "budget.html", "versement.xml", "versement-refuse.xml"}
_PROVES = "Dossier de preuve"
_PAPERS = {
    "convocation": "Convocation du conseil", "liste": "Liste des délibérations", "proces-verbal": "Procès-verbal",
    "delegation": "Arrêté de délégation",
}  # fmt: skip # a table
PROOF = "preuve"  # of an act's folder: what came after it was archived, deposited in its turn
# Beginnings of the names of the folders of flows (filing.last_name), and of acts that do not go out.
FLOW, KEPT = "PES-", "NT-"
# Natures of acts as the journal says them, and as the passerelle does.
_NATURES = {short: code for code, short in enumerate(("DE", "AR", "AI", "CC", "BF", "AU"), start=1)}
_NATURES |= {str(code): code for code in range(1, 7)} | {"D": 6}  # a décision (L2122-22) that stays here
# What XML 1.0 has not, and what somebody typed or pasted may have.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TITLES = {
    "acquittement.xml": "Acquittement de la DGFiP",
    "ARActe.xml": "Accusé de réception de la préfecture (ARActe)",
    "acte-tamponne.pdf": "Acte tamponné",
    "bordereau.pdf": "Bordereau d'acquittement",
}


class SipError(CreaticError, cause="sip"):
    """The folder is not an acquitted act that can be archived; the text is French."""


@dataclass(frozen=True)
class Terms:
    """What was agreed with the commune: the archive's identifier, the rule of the duration, the final action."""

    agency: str
    rule: str
    action: str  # Keep or Destroy
    agreement: str = ""  # ArchivalAgreement, if there is one
    access: str = ""  # code of the access rule (Code du patrimoine, L213-1 and L213-2), if there is one
    schedule: tuple[Line, ...] = ()  # the table of durations: a line of it, where one is for this act

    def of(self, act: dict[str, Any], flow: bool) -> Terms:
        """Those of an act, or of a flow: by the most precise matter that contains its own, then by its nature."""
        if flow:
            found = [one for one in self.schedule if one.flows]
            return self._by(found[0]) if found else self
        known = Act.from_wire(act, SUMMARY)
        nature, matter = _NATURES.get(known.nature, 0), f"{known.matter}."
        best: tuple[int, bool] = (-1, False)
        chosen = self
        for one in self.schedule:
            within = [len(start) for start in one.matters if matter.startswith(f"{start}.")] or [0]
            lacks = (one.matters and max(within) == 0) or (one.natures and nature not in one.natures)
            if one.flows or lacks or (max(within), bool(one.natures)) <= best:
                continue
            best, chosen = (max(within), bool(one.natures)), self._by(one)
        return chosen

    def _by(self, line: Line) -> Terms:
        return replace(self, rule=line.rule, action=line.action, access=line.access)


@dataclass(frozen=True)
class Unit:
    """What was written about an act: a letter of the préfecture, or the commune's answer with its receipt.

    Attributes:
        name: identifier of its own SIP, once about its act: COURRIER-7.
        about: identifier of the act.
        folder: where its files are.
        kind: DocumentType.
        begun: ISO 8601, as `ended`.
        files: of each, its name in the folder, its name in a SIP (no other unit's), its title.
    """

    name: str
    about: str
    folder: Path
    title: str
    kind: str
    begun: str
    ended: str
    files: tuple[tuple[str, str, str], ...]

    @property
    def message(self) -> str:
        """Identifier of the transfer that has it alone."""
        return f"{self.name}-{self.about}"

    @property
    def size(self) -> int:
        """Bytes of its files. Raises OSError."""
        return sum((self.folder / name).stat().st_size for name, _named, _title in self.files)

    def to_wire(self, root: Path) -> dict[str, Any]:
        """As it is kept beside the act that it went with."""
        return {**vars(self), "folder": str(self.folder.relative_to(root)), "files": [list(one) for one in self.files]}

    @classmethod
    def from_wire(cls, told: dict[str, Any], root: Path) -> Unit:
        """Inverse of to_wire. Raises KeyError, TypeError, ValueError."""
        files = tuple((str(name), str(named), str(title)) for name, named, title in told["files"])
        return cls(**told | {"folder": root / str(told["folder"]), "files": files})

    def read(self) -> list[_File]:
        """Its files, but those that are empty: they say nothing, and the archive takes none. Raises OSError."""
        found = [(self.folder / name, named, title) for name, named, title in self.files]
        return [_File.of(path, title, named) for path, named, title in found if path.stat().st_size]


@dataclass(frozen=True)
class _File:
    path: Path
    size: int
    sha512: str
    title: str
    name: str

    @classmethod
    def of(cls, path: Path, title: str, name: str = "") -> _File:
        """The file of this path. Raises OSError."""
        return cls(path, path.stat().st_size, digest(path, "sha512"), title, name or path.name)

    @property
    def uri(self) -> str:
        """Its place in the SIP: its own name, or one made of it where the door takes no such name (not UTF-8…)."""
        plain = "".join(char if char.isprintable() and char != "\\" else "_" for char in self.name)
        return f"content/{self.name}" if plain == self.name else f"content/{self.sha512[:16]}-{plain[-80:]}"


def files_of(folder: Path) -> list[Path]:
    """The files of an acquitted act that are archived, the act's own first and its ARActe next.

    What a clerk deposits is refused when it is empty. One that the TdT or the préfecture sent so says nothing, and the
    archive, which takes none, would refuse all the others with it: it stays in the act's folder.
    """

    def rank(path: Path) -> tuple[int, str]:
        order = ["ARActe.xml", "acte-tamponne.pdf", "bordereau.pdf"]
        return (1 + order.index(path.name) if path.name in order else 0, path.name)

    found = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    found = [path for path in found if path.stat().st_size]
    kept = [path for path in found if path.name not in _LEFT_OUT and path.suffix not in (".yml", ".yaml")]
    return sorted(kept, key=rank)


def message_identifier(idacte: str) -> str:
    """The transfer's identifier: the act's or the flow's own, for life."""
    return idacte if idacte.startswith(FLOW) else f"ACTE-{idacte}"


def build(folder: Path, siren: str, terms: Terms, target: BinaryIO, about: Sequence[Unit] = ()) -> Terms:
    """Write the SIP of an acquitted act; gives the terms that are this act's. Raises SipError, or OSError.

    Args:
        about: what was written about it and leaves with it, each described on its own.
    """
    flow, kept = folder.name.startswith(FLOW), folder.name.startswith(KEPT)
    if not flow and not kept and not (folder / "ARActe.xml").is_file():
        raise SipError(f"« {folder.name} » n'a pas d'ARActe : seul un acte acquitté est versé.")
    try:
        act: dict[str, Any] = json.loads((folder / "resume.json").read_bytes())
        if flow and act.get("etat") != "acquitte":
            raise SipError(f"« {folder.name} » n'est pas acquitté par la DGFiP : il n'est pas versé.")
        described = _of_flow(folder.name, act) if flow else _of_act(act, kept)
        terms = terms.of(act, flow)
    except (OSError, ValueError) as error:
        raise SipError(f"« {folder.name} » : resume.json illisible ({error}).") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise SipError(f"« {folder.name} » : resume.json ne dit pas ce qu'il faut ({error}).") from error
    files = [_File.of(path, _title(path.name, act)) for path in files_of(folder)]
    parts = [(one, one.read()) for one in about]
    manifest = _manifest(folder.name, described, files, siren, terms, message_identifier(folder.name), parts)
    _write(manifest, [*files, *(one for _unit, given in parts for one in given)], target)
    return terms


def _write(manifest: bytes, files: Sequence[_File], target: BinaryIO) -> None:
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:

        def add(name: str, content: BinaryIO, size: int) -> None:
            info = tarfile.TarInfo(name)
            info.size, info.mode = size, 0o644
            archive.addfile(info, content)

        add("manifest.xml", io.BytesIO(manifest), len(manifest))
        for one in files:
            with one.path.open("rb") as stream:
                add(one.uri, stream, one.size)


def write_proof(told: dict[str, Any]) -> bytes:
    """A dossier de preuve, as the passerelle tells it, in XML: a format that the archive keeps, read by anybody."""

    def fill(node: Any, value: Any) -> None:
        if isinstance(value, dict):
            for name, one in value.items():
                fill(
                    etree.SubElement(node, re.sub(r"[^A-Za-z0-9_]", "_", f"{name}").lstrip("0123456789") or "champ"),
                    one,
                )
        elif isinstance(value, list):
            for one in value:
                fill(etree.SubElement(node, "element"), one)
        elif value is not None:
            node.text = _NO_XML.sub("?", str(value))

    root = etree.Element("preuve")
    fill(root, told)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def build_proof(folder: Path, siren: str, terms: Terms, first: str, target: BinaryIO) -> None:
    """Write the SIP of an act's dossier de preuve, which says of which archive it is a part.

    Args:
        folder: of the act, with its PROOF.
        first: identifier, at the archive, of the act's own deposit.

    Raises:
        SipError, OSError: as `build`.
    """
    act, described = _archived(folder)
    told = replace(described, title=f"Dossier de preuve : {described.title}"[:250], kind=_PROVES, part_of=first)
    path = folder / PROOF / "preuve.xml"
    files = [
        _File.of(one, _PAPERS.get(one.stem.rstrip("-0123456789"), _PROVES))
        for one in (path, *sorted(path.parent.glob("*.pdf")))
    ]
    manifest = _manifest(folder.name, told, files, siren, terms.of(act, flow=False), f"PREUVE-{folder.name}")
    _write(manifest, files, target)


def build_unit(folder: Path, unit: Unit, siren: str, terms: Terms, first: str, target: BinaryIO) -> None:
    """Write the SIP of what was written about an act after it was archived; it lives as long as the act.

    Args:
        folder: of the act.
        first: identifier, at the archive, of the act's own deposit.

    Raises:
        SipError: also when nothing of it is to be archived.
        OSError: as `build`.
    """
    act, described = _archived(folder)
    title, comment = f"{unit.title} : {described.title}"[:250], f"{unit.title}. {described.comment}"
    told = replace(
        described, title=title, comment=comment, kind=unit.kind, begun=unit.begun, ended=unit.ended, about="",
        part_of=first,
    )  # fmt: skip # one call by its parts
    files = unit.read()
    if not files:
        raise SipError(f"« {unit.folder.name} » n'a que des fichiers vides : il n'y a rien à verser.")
    _write(_manifest(folder.name, told, files, siren, terms.of(act, flow=False), unit.message), files, target)


def _archived(folder: Path) -> tuple[dict[str, Any], _Described]:
    """An act that is archived, and what is said of it. Raises SipError, OSError."""
    try:
        act: dict[str, Any] = json.loads((folder / "resume.json").read_bytes())
        return act, _of_act(act, folder.name.startswith(KEPT))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SipError(f"« {folder.name} » : resume.json ne dit pas ce qu'il faut ({error}).") from error


def _title(name: str, act: dict[str, Any]) -> str:
    if name in _TITLES:
        return _TITLES[name]
    main, number = re.fullmatch(r"(?i)(.*)\.(pdf|xml|png|jpe?g)", name), Act.from_wire(act, SUMMARY).number
    return f"Acte {number}" if main and number and main[1] == number else f"Pièce {name}"


@dataclass(frozen=True)
class _Described:
    """What the manifest says of the whole. Days are ISO 8601; the duration counts from `since`."""

    title: str
    comment: str
    kind: str
    begun: str
    ended: str
    since: str
    about: str = ""
    part_of: str = ""  # identifier of the archive that it completes


def _of_act(told: dict[str, Any], kept: bool) -> _Described:
    act = Act.from_wire(told, SUMMARY)
    if not act.date:
        raise KeyError(SUMMARY["date"])
    subject = " ".join(act.subject.split())
    about = f"Classification {act.matter}, nature {act.nature or 'inconnue'}"
    return _Described(
        title=subject or f"Acte {act.number}",
        comment=f"Acte {act.number} : {subject}",
        kind="Acte non transmissible (CGCT, L2131-2)" if kept else "Acte soumis au contrôle de légalité",
        begun=act.date,
        ended=told.get("aracte_le") or act.date,
        since=act.date,
        about=about if act.matter else "",
    )


def _of_flow(name: str, flow: dict[str, Any]) -> _Described:
    """A flow counts from the end of its year: its accounts are those of a whole one."""
    begun, ended = str(flow["depose_le"])[:10], str(flow["modifie_le"])[:10]
    title = f"Flux comptable {name}"
    return _Described(title, title, "Flux comptable (PES) transmis à la DGFiP", begun, ended, f"{begun[:4]}-12-31")


def _manifest(
    identifier: str,
    told: _Described,
    files: Sequence[_File],
    siren: str,
    terms: Terms,
    message: str,
    parts: Sequence[tuple[Unit, Sequence[_File]]] = (),
) -> bytes:
    writer = Writer(NAMESPACE, lambda text: _NO_XML.sub("?", text))
    root, add = writer.root("ArchiveTransfer"), writer.add
    add(root, "Comment", told.comment)
    add(root, "Date", f"{told.ended}T00:00:00Z")
    add(root, "MessageIdentifier", message)
    if terms.agreement:
        add(root, "ArchivalAgreement", terms.agreement)
    lists = add(root, "CodeListVersions")
    add(lists, "MessageDigestAlgorithmCodeListVersion", "SHA-512")
    add(lists, "FileFormatCodeListVersion", "PRONOM")
    package = add(root, "DataObjectPackage")
    for rank, one in enumerate([*files, *(one for _unit, given in parts for one in given)], start=1):
        group = add(package, "DataObjectGroup", id=f"G{rank}")
        node = add(group, "BinaryDataObject", id=f"B{rank}")
        add(node, "DataObjectVersion", "BinaryMaster_1")
        add(node, "Uri", quote(one.uri))
        add(node, "MessageDigest", one.sha512, algorithm="SHA-512")
        add(node, "Size", one.size)
        add(node, "FileInfo/Filename", one.name)
    whole = add(package, "DescriptiveMetadata/ArchiveUnit", id="ACTE")
    content = add(whole, "Content")
    add(content, "DescriptionLevel", "RecordGrp")
    add(content, "Title", told.title)
    add(content, "OriginatingSystemId", identifier)
    if told.about:
        add(content, "Description", told.about)
    add(content, "DocumentType", told.kind)
    if told.part_of:
        add(content, "RelatedObjectReference/IsPartOf/RepositoryArchiveUnitPID", told.part_of)
    add(content, "StartDate", told.begun)
    add(content, "EndDate", told.ended)
    for rank, one in enumerate(files, start=1):
        writer.item(whole, f"P{rank}", one.title, f"G{rank}")
    rank = len(files)
    for place, (unit, given) in enumerate(parts, start=1):
        part = add(whole, "ArchiveUnit", id=f"C{place}")
        content = add(part, "Content")
        add(content, "DescriptionLevel", "File")
        add(content, "Title", unit.title)
        add(content, "OriginatingSystemId", unit.name)
        add(content, "DocumentType", unit.kind)
        add(content, "StartDate", unit.begun)
        add(content, "EndDate", unit.ended)
        for one in given:
            rank += 1
            writer.item(part, f"P{rank}", one.title, f"G{rank}")
    management = add(package, "ManagementMetadata")
    add(management, "LegalStatus", "Public Archive")
    add(management, "OriginatingAgencyIdentifier", siren)
    add(management, "SubmissionAgencyIdentifier", siren)
    appraisal = add(management, "AppraisalRule")
    add(appraisal, "Rule", terms.rule)
    add(appraisal, "StartDate", told.since)
    add(appraisal, "FinalAction", terms.action)
    if terms.access:
        access = add(management, "AccessRule")
        add(access, "Rule", terms.access)
        add(access, "StartDate", told.since)
    add(root, "ArchivalAgency/Identifier", terms.agency)
    add(root, "TransferringAgency/Identifier", siren)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)
