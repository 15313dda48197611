"""The AIP: one OCFL 1.1 object (SHA-512), with its PREMIS 3 events and the SIP's own description, in one plain tar.

The tar's single folder is the OCFL object: unpacked, it is read and verified by any OCFL tool. Nothing else is needed
to use the archive: no database, no software of ours.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

from lxml import etree

from creatic_agent.durable import fresh
from sae.versement.container import Member
from sae.versement.formats import Format
from sae.versement.seda import Happened

OCFL = "ocfl_object_1.1"
_AIP_UUID_NAMESPACE = uuid.UUID("6a5d2d70-7e0c-5a50-9e5e-000000000059")
_PREMIS = "http://www.loc.gov/premis/v3"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
PREMIS_NAME = "premis.xml"
CONTENT = "sip/"
_TAR_BLOCK_BYTES = 1 << 20
AGENT = "sae-versement"


def identifier(account: str, message: str, fingerprint: str, rank: int = 0) -> str:
    """The AIP's identifier: the same SIP of the same account always gives the same one (UUID version 5, RFC 9562).

    `rank` counts the archives of this very SIP that were eliminated before.
    """
    again = f"\n{rank}" if rank else ""
    return str(uuid.uuid5(_AIP_UUID_NAMESPACE, f"{account}\n{message}\n{fingerprint}{again}"))


@dataclass(frozen=True)
class Packed:
    """A tar on disk: size in bytes, SHA-512 and MD5 in hexadecimal (the storage knows MD5)."""

    size: int
    sha512: str
    md5: str


def build(
    target: Path,
    *,
    aip: str,
    account: str,
    title: str,
    when: datetime,
    members: Mapping[str, Member],
    formats: Mapping[str, Format],
    events: Sequence[Happened],
) -> Packed:
    """Write the tar at `target`, on disk when this returns."""
    premis = _premis_xml(aip, members, formats, events)
    inventory = _inventory_json(aip, account, title, when, members, premis)
    sidecar = f"{hashlib.sha512(inventory).hexdigest()}  inventory.json\n".encode()
    stamp = int(when.timestamp())
    target.unlink(missing_ok=True)
    with fresh(target) as stream:
        digest = _Digesting(stream)
        output = cast(BinaryIO, digest)
        with tarfile.open(fileobj=output, mode="w|", bufsize=_TAR_BLOCK_BYTES, format=tarfile.PAX_FORMAT) as archive:
            archive.copybufsize = _TAR_BLOCK_BYTES  # type: ignore[attr-defined] # documented, not in typeshed for this mode

            def add(name: str, content: bytes | Path, size: int) -> None:
                info = tarfile.TarInfo(f"{aip}/{name}")
                info.size, info.mtime, info.mode = size, stamp, 0o644
                if isinstance(content, bytes):
                    archive.addfile(info, io.BytesIO(content))
                    return
                with content.open("rb") as source:
                    archive.addfile(info, source)

            add(f"0={OCFL}", f"{OCFL}\n".encode(), len(OCFL) + 1)
            for folder in ("", "v1/"):
                add(f"{folder}inventory.json", inventory, len(inventory))
                add(f"{folder}inventory.json.sha512", sidecar, len(sidecar))
            add(f"v1/content/{PREMIS_NAME}", premis, len(premis))
            for name, member in members.items():
                add(f"v1/content/{CONTENT}{name}", member.path, member.size)
    return Packed(digest.size, digest.sha512.hexdigest(), digest.md5.hexdigest())


class _Digesting:
    """What tarfile writes to: counts and digests on the way."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.sha512, self.md5 = hashlib.sha512(), hashlib.md5(usedforsecurity=False)
        self.size = 0

    def write(self, block: bytes) -> int:
        self.sha512.update(block)
        self.md5.update(block)
        self.size += len(block)
        return self._stream.write(block)


def _inventory_json(
    aip: str, account: str, title: str, when: datetime, members: Mapping[str, Member], premis: bytes
) -> bytes:
    """OCFL 1.1, sections 3.5.1 to 3.5.3."""
    paths: dict[str, list[str]] = {hashlib.sha512(premis).hexdigest(): [PREMIS_NAME]}
    for name, member in members.items():
        paths.setdefault(member.sha512, []).append(CONTENT + name)
    document = {
        "digestAlgorithm": "sha512",
        "head": "v1",
        "id": f"urn:uuid:{aip}",
        "manifest": {digest: [f"v1/content/{path}" for path in names] for digest, names in paths.items()},
        "type": "https://ocfl.io/1.1/spec/#inventory",
        "versions": {
            "v1": {
                "created": when.isoformat(timespec="seconds"),
                "message": f"Versement : {title}"[:400],
                "state": paths,
                "user": {"name": account, "address": f"urn:sae:compte:{account}"},
            }
        },
    }
    return json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True).encode()


def _premis_xml(
    aip: str, members: Mapping[str, Member], formats: Mapping[str, Format], events: Sequence[Happened]
) -> bytes:
    """PREMIS 3.0: the files with their digests and formats, the events of the versement, the agent."""
    root = etree.Element(f"{{{_PREMIS}}}premis", {"version": "3.0"}, {None: _PREMIS, "xsi": _XSI})  # type: ignore[dict-item] # the default namespace

    def add(parent: Any, path: str, text: str | None = None) -> Any:
        for step in path.split("/"):
            parent = etree.SubElement(parent, f"{{{_PREMIS}}}{step}")
        parent.text = text
        return parent

    def identified(parent: Any, what: str, value: str, kind: str = "local") -> None:
        node = add(parent, f"{what}Identifier")
        add(node, f"{what}IdentifierType", kind)
        add(node, f"{what}IdentifierValue", value)

    for name, member in members.items():
        node = add(root, "object")
        node.set(f"{{{_XSI}}}type", "file")
        identified(node, "object", CONTENT + name)
        traits = add(node, "objectCharacteristics")
        fixity = add(traits, "fixity")
        add(fixity, "messageDigestAlgorithm", "SHA-512")
        add(fixity, "messageDigest", member.sha512)
        add(traits, "size", str(member.size))
        known = formats.get(name)
        described = add(traits, "format")
        add(described, "formatDesignation/formatName", known.name if known else "XML ou texte (description du SIP)")
        if known:
            if known.version:
                add(described[0], "formatVersion", known.version)
            registry = add(described, "formatRegistry")
            add(registry, "formatRegistryName", "PRONOM")
            add(registry, "formatRegistryKey", known.puid)
            for note in filter(None, (known.basis, known.pdfa)):
                add(described, "formatNote", note)
        add(node, "originalName", name)
    for rank, happened in enumerate(events, start=1):
        node = add(root, "event")
        identified(node, "event", f"urn:uuid:{aip}#{rank}")
        add(node, "eventType", happened.kind)
        add(node, "eventDateTime", happened.when)
        add(node, "eventDetailInformation/eventDetail", happened.detail)
        add(node, "eventOutcomeInformation/eventOutcome", "success" if happened.outcome == "OK" else "failure")
        linked = add(node, "linkingAgentIdentifier")
        add(linked, "linkingAgentIdentifierType", "local")
        add(linked, "linkingAgentIdentifierValue", AGENT)
    agent = add(root, "agent")
    identified(agent, "agent", AGENT)
    add(agent, "agentName", "Porte de la salle d'archives")
    add(agent, "agentType", "software")
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def members_of(stream: BinaryIO) -> Iterator[tuple[str, tarfile.TarInfo, BinaryIO]]:
    """Files of the SIP inside an AIP read as a stream, by their names in the SIP; raises tarfile.TarError."""
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for info in archive:
            inside = info.name.partition("/v1/content/")[2]
            content = archive.extractfile(info) if inside.startswith(CONTENT) else None
            if content is not None:
                yield inside.removeprefix(CONTENT), info, content  # type: ignore[misc] # a binary stream
