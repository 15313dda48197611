"""What is written for others: the SIP's description; and what of a letter's archive is no file of its own."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from tdt_connector import sip
from tdt_connector.unpacking import UnpackError, unpack

N = f"{{{sip.NAMESPACE}}}"
ACT = {"numero": "2026_014", "date": "2026-11-02", "aracte_le": "2026-11-03", "classification": "7.1", "nature": "DE"}
NAMES = ("zone.png", "2026_014.PDF", "ARActe.xml", "bordereau.pdf", "acte-tamponne.pdf")
LEFT = ("resume.json", "motif.txt", "versement.xml", "versement-refuse.xml", "2026_014.yml", "2026_014.yaml", ".part")


def manifest(folder: Path, **act: Any) -> bytes:
    """The description of an act of these fields."""
    folder.mkdir()
    for name in (*NAMES, *LEFT):
        (folder / name).write_bytes(name.encode())
    (folder / "resume.json").write_text(json.dumps(ACT | act))
    package = io.BytesIO()
    sip.build(folder, "215902669", sip.Terms("SAE", "ACTES-10", "Destroy"), package)
    package.seek(0)
    with tarfile.open(fileobj=package) as archive:
        assert archive.getnames() == ["manifest.xml", *(f"content/{name}" for name in sorted(NAMES, key=place))]
        assert {member.mode for member in archive.getmembers()} == {0o644}
        stream = archive.extractfile("manifest.xml")
        assert stream is not None
        return stream.read()


def place(name: str) -> tuple[int, str]:
    """The act's own files, then the préfecture's."""
    order = ("ARActe.xml", "acte-tamponne.pdf", "bordereau.pdf")
    return (1 + order.index(name) if name in order else 0, name)


def texts(root: Any, path: str) -> list[str | None]:
    return [node.text for node in root.iterfind(".//" + "/".join(N + step for step in path.split("/")))]


def test_a_description_is_one_that_people_read_too(tmp_path: Path) -> None:
    written = manifest(tmp_path / "059-X")
    first, *lines = written.decode().splitlines()
    assert first.replace("'", '"') == '<?xml version="1.0" encoding="UTF-8"?>'
    assert len(lines) > 60  # an element a line
    root = etree.fromstring(written)
    assert texts(root, "MessageIdentifier") == ["ACTE-059-X"]
    assert texts(root, "Date") == ["2026-11-03T00:00:00Z"]
    assert texts(root, "ArchiveUnit/Content/Title") == [
        "Acte 2026_014",
        *("Acte 2026_014", "Pièce zone.png", "Accusé de réception de la préfecture (ARActe)", "Acte tamponné"),
        "Bordereau d'acquittement",
    ]
    assert texts(root, "Content/Description") == ["Classification 7.1, nature DE"]
    assert (texts(root, "Content/StartDate"), texts(root, "Content/EndDate")) == (["2026-11-02"], ["2026-11-03"])
    assert texts(root, "AppraisalRule/StartDate") == ["2026-11-02"]
    assert texts(root, "AppraisalRule/FinalAction") == ["Destroy"]
    identifiers = [str(node.get("id")) for node in root.iter() if node.get("id")]
    assert sorted(identifiers) == sorted(
        ["ACTE", *(f"{kind}{rank}" for kind in "GBP" for rank in range(1, 1 + len(NAMES)))]
    )
    assert texts(root, "DataObjectReference/DataObjectGroupReferenceId") == ["G1", "G2", "G3", "G4", "G5"]


@pytest.mark.parametrize(
    ("act", "path", "found"),
    [
        ({"aracte_le": None}, "Date", "2026-11-02T00:00:00Z"),
        ({"aracte_le": None}, "Content/EndDate", "2026-11-02"),
        ({"nature": None}, "Content/Description", "Classification 7.1, nature inconnue"),
        ({"classification": None}, "Content/Description", None),
        ({"objet_transmis": "Une \n école"}, "Comment", "Acte 2026_014 : Une école"),
    ],
)
def test_what_an_act_does_not_say_is_not_made_up(
    tmp_path: Path, act: dict[str, Any], path: str, found: str | None
) -> None:
    assert texts(etree.fromstring(manifest(tmp_path / "059-X", **act)), path) == ([found] if found else [])


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_SPARSE, tarfile.REGTYPE])
def test_a_file_with_holes_stays_in_its_archive_and_is_told(tmp_path: Path, kind: bytes) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, of_kind in (("creux.pdf", kind), ("lettre.pdf", tarfile.REGTYPE)):
            info = tarfile.TarInfo(name)
            info.type = of_kind
            archive.addfile(info)
    packed = gzip.compress(buffer.getvalue())
    if kind == tarfile.REGTYPE:
        unpack(packed, tmp_path)
    else:
        with pytest.raises(UnpackError, match=r"^1 fichier\(s\) de l'archive laissés dedans, dont « creux\.pdf »$"):
            unpack(packed, tmp_path)
    assert (tmp_path / "creux.pdf").exists() == (kind == tarfile.REGTYPE)
    assert (tmp_path / "lettre.pdf").exists()
