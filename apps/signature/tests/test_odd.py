"""What no program expects of a PDF, its content or its name: a French reason each time, and no traceback."""

from __future__ import annotations

import asyncio
import io
import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from signature_actes import cli, door, pades, receive
from signature_actes.check import check_pdf
from signature_actes.person import Person
from signature_actes.refusal import DocumentRefusedError

from apps.signature.tests.conftest import SIREN, Issuer, software
from apps.signature.tests.test_sameness import sign
from apps.signature.tests.test_structure import pages
from apps.signature.tests.writers import ODDITIES, word
from testbed.programs import SIGNING

CLAIRE = Person("Claire Dubois", SIREN)
NO_KIDS = b"1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n2 0 obj\n<< /Type /Pages /Kids [] /Count 0 >>\nendobj\n"


def whole(body: bytes) -> bytes:
    """A file of these objects, with its table."""
    data = b"%PDF-1.7\n" + body
    places = [found.start() for found in re.finditer(rb"(?m)^\d+ 0 obj", data)]
    lines = b"0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(places) + 1
    last = b"xref\n0 %d\n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        size,
        lines,
        size,
        len(data),
    )
    return data + last


@pytest.mark.parametrize(
    "body",
    [
        NO_KIDS,
        NO_KIDS.replace(b"/Kids []", b"/Kids [2 0 R]"),
        NO_KIDS.replace(b"/Kids []", b"/Kids [1 0 R]"),
        NO_KIDS.replace(b"/Kids [] ", b""),
    ],
    ids=["no page", "a tree in a ring", "its catalog for a page", "no kids"],
)
def test_without_a_page_there_is_nothing_to_sign(issuer: Issuer, tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "acte.pdf"
    path.write_bytes(whole(body))
    words = r"^acte\.pdf : ce PDF n'a pas de page\. À faire : "
    with pytest.raises(DocumentRefusedError, match=words):
        door.admit(path, tmp_path / "ecrit.pdf")
    with pytest.raises(DocumentRefusedError, match=words):
        asyncio.run(pades.sign(path, tmp_path / "signe.pdf", software(issuer, issuer.person())))
    with pytest.raises(DocumentRefusedError, match=words):
        asyncio.run(check_pdf(path, CLAIRE, issuer.trust))


@pytest.mark.parametrize("what", ODDITIES)
def test_what_readers_mend_is_signed_or_told(issuer: Issuer, tmp_path: Path, what: str) -> None:
    """As it is, by who did not pass the door."""
    path = tmp_path / "acte.pdf"
    ODDITIES[what](path)
    try:
        asyncio.run(pades.sign(path, tmp_path / "signe.pdf", software(issuer, issuer.person())))
    except DocumentRefusedError as refusal:
        assert "À faire : " in str(refusal)


@pytest.mark.parametrize(
    "name", [b"acte\xe9.pdf", b"a\nb.pdf", "délibération n° 5 \U0001f600.pdf".encode()], ids=["latin", "lines", "face"]
)
@pytest.mark.parametrize("content", ["a document", "nothing"])
def test_a_file_of_an_odd_name_is_told_in_one_line(tmp_path: Path, name: bytes, content: str) -> None:
    """In a process of its own, as a person runs it."""
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(word(tmp_path / "acte").read_bytes() if content == "a document" else b"rien")
    config = tmp_path / "signer-acte.json"
    one = {"titulaire": "Claire Dubois", "bibliotheque": "/absente.so", "jeton": "maire"}
    config.write_text(json.dumps({"commune": "Gondecourt", "code_postal": "59147", "signataires": [one]}))
    code = (
        "import sys, pathlib; from signature_actes import cli; sys.exit(cli.signer(None, pathlib.Path(sys.argv.pop())))"
    )
    done = subprocess.run(
        [os.fsencode(sys.executable), b"-c", code.encode(), name, b"signer-acte.json"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": SIGNING},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1 and b"Traceback" not in done.stderr
    assert "À faire : " in done.stderr.decode()


def asked(name: str, content: bytes) -> dict[str, Any]:
    request = {"nom": name, "signataires": [], "origine": len(content), "signe": 0}
    output = io.BytesIO()
    receive.answer(io.BytesIO(json.dumps(request).encode() + b"\n" + content), output, {})
    told: dict[str, Any] = json.loads(output.getvalue().partition(b"\n")[0])
    return told


@pytest.mark.parametrize(
    "name",
    ["acte\udce9.pdf", "\ud800", "a\0b.pdf", "..", ".", "", "/", "\U0001f600" * 99, "é" * 300, "a\nb\x1b[31m.pdf"],
    ids=["latin", "half", "zero", "above", "here", "none", "root", "faces", "long", "colours"],
)
def test_a_name_from_a_browser_is_never_a_fault(tmp_path: Path, name: str) -> None:
    content = pages(tmp_path / "acte.pdf").read_bytes()
    assert asked(name, content) == {"taille": 0}
    refused = asked(name, b"rien")["refus"]
    assert "ce n'est pas un PDF. À faire" in refused and "\n" not in refused and "\x1b" not in refused


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "acte.pdf")
    with pytest.raises(DocumentRefusedError, match="ce n'est pas un fichier"):
        door.admit(tmp_path / "acte.pdf", tmp_path / "ecrit.pdf")


def test_a_disk_that_fails_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError(5, "Input/output error", "acte.pdf")

    config = tmp_path / "signer-acte.json"
    config.write_text(json.dumps({"commune": "Gondecourt", "code_postal": "59147", "signataires": []}))
    monkeypatch.setattr(cli.door, "admit", fail)
    assert cli.signer([str(pages(tmp_path / "acte.pdf"))], config) == 1
    assert "acte.pdf : le disque ne répond pas bien. À faire : " in capfd.readouterr().err


@pytest.mark.costly
def test_spoilt_at_random_nothing_ends_in_a_traceback(issuer: Issuer, tmp_path: Path) -> None:
    """Files as Word writes them, unsigned and signed, with bytes changed, lost and repeated."""
    chance = random.Random(31)  # noqa: S311 - the same files each time
    plain = word(tmp_path / "word.pdf")
    (tmp_path / "fini.pdf").write_bytes(plain.read_bytes() + b"\r\n")
    samples = [plain.read_bytes(), sign(issuer, tmp_path / "fini.pdf").read_bytes(), whole(NO_KIDS)]
    path, target, ends = tmp_path / "acte.pdf", tmp_path / "ecrit.pdf", set[str]()
    for _one in range(150):
        data = bytearray(chance.choice(samples))
        for _change in range(chance.randrange(1, 4)):
            at, length = chance.randrange(len(data)), chance.choice((1, 4, 40, 400))
            other = chance.choice((b"", bytes(length), data[at : at + length] * 2, chance.randbytes(length)))
            data[at : at + length] = other
        path.write_bytes(data)
        for run in (
            lambda: door.admit(path, target),
            lambda: asyncio.run(check_pdf(path, CLAIRE, issuer.trust)),
        ):
            try:
                run()
            except DocumentRefusedError as refusal:
                assert "À faire : " in str(refusal), str(refusal)
                ends.add(str(refusal)[:40])
        target.unlink(missing_ok=True)
    assert len(ends) > 2
