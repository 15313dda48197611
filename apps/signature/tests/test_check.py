"""What the parapheur is handed, and what it must refuse: with the reason, in French."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import io
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pypdf
import pytest
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from signature_actes import pades
from signature_actes.check import check_pdf
from signature_actes.limits import TOO_MUCH
from signature_actes.person import Person, words
from signature_actes.refusal import DocumentRefusedError

from apps.signature.tests.conftest import NOW, SIREN, Issuer, software
from testbed.patience import allowed
from testbed.programs import SIGNING

CLAIRE = Person("Claire Dubois", SIREN)


def signed(issuer: Issuer, act: Path, **options: object) -> Path:
    target = act.with_name("signe.pdf")
    common_name = str(options.pop("common_name", "Claire Dubois"))
    asyncio.run(pades.sign(act, target, software(issuer, issuer.person(common_name, **options))))  # type: ignore[arg-type] # options are of several types
    return target


def refused(issuer: Issuer, path: Path, words: str, original: Path | None = None, person: Person = CLAIRE) -> None:
    with pytest.raises(DocumentRefusedError, match=words) as told:
        asyncio.run(check_pdf(path, person, issuer.trust, original))
    assert str(told.value).startswith(f"{path.name} : ")


@pytest.mark.parametrize("told", [SIREN, f"{SIREN}00012"])
def test_an_organisation_s_siren_or_siret(issuer: Issuer, act: Path, told: str) -> None:
    """RGS lets an authority write either; the first nine digits of a SIRET are the SIREN."""
    path = signed(issuer, act, siren=told)
    assert asyncio.run(check_pdf(path, CLAIRE, issuer.trust)).holder == "Claire Dubois"
    refused(issuer, path, "pas le SIREN 215902660", person=Person("Claire Dubois", "215902660"))


@pytest.mark.parametrize("told", [f"{SIREN}0", f"{SIREN}000123", f"1{SIREN}"])
def test_what_only_begins_as_a_siren(issuer: Issuer, act: Path, told: str) -> None:
    refused(issuer, signed(issuer, act, siren=told), "porte aucun SIREN")


def test_a_signature_of_a_part_of_the_document(issuer: Issuer, act: Path) -> None:
    """A good signature, over all but the last bytes of its own revision."""
    pair = issuer.person()
    path = act.with_name("signe.pdf")
    asyncio.run(pades.sign(act, path, software(issuer, pair)))
    data = path.read_bytes()
    [one] = re.finditer(rb"/ByteRange \[0 (\d+) (\d+) (\d+)\] *", data)
    span, (start, length, rest) = one.span(), map(int, one.groups())
    shorter = b"/ByteRange [0 %d %d %d]" % (start, length, rest - 40)
    data = data[: span[0]] + shorter.ljust(span[1] - span[0]) + data[span[1] :]
    covered = hashlib.sha256(data[:start] + data[length : length + rest - 40]).digest()
    cms = asyncio.run(software(issuer, pair).async_sign(covered, "sha256", use_pades=True)).dump().hex().encode()
    path.write_bytes(data[: start + 1] + cms.ljust(length - start - 2, b"0") + data[length - 1 :])
    refused(issuer, path, "la signature ne couvre qu'une partie du document. À faire : signez le document entier")


@pytest.mark.parametrize("name", ["DUBOIS Claire", "claire dubois", "Claire DUBOIS"])
def test_a_name_is_known_however_it_is_written(issuer: Issuer, act: Path, name: str) -> None:
    assert asyncio.run(check_pdf(signed(issuer, act), Person(name, SIREN), issuer.trust)).holder == "Claire Dubois"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Chloé Lecœur", "LECOEUR Chloe", True),
        ("Łukasz Ørsted", "ORSTED Lukasz", True),
        ("Jean-Pierre D’Arc", "d'arc jean pierre", True),
        ("Claire Dubois Иванова", "Claire Dubois", False),
        ("Мария", "Анна", False),
        ("Claire Duboıs", "Claire Dubos", False),
    ],
)
def test_every_letter_of_a_name_counts(one: str, other: str, same: bool) -> None:
    """What cannot be written without accents is not dropped: all that is left of two names might be the same."""
    assert (words(one) == words(other)) is same


def test_no_signature(issuer: Issuer, act: Path) -> None:
    refused(issuer, act, "n'est pas signé. À faire : signez-le avec « signer-acte »")


@pytest.mark.parametrize(
    "place",
    [
        rb"stream\r?\n.{12}",
        rb"/Contents ?<[0-9A-F]+[1-9A-F](?=[0-9A-F]{60,120}[1-9A-F]0*>)",
        rb"/ByteRange ?\[ ?0 .",
        rb"(?s).*/Size",
    ],
    ids=["text", "signature", "range", "after"],
)
def test_one_byte_changed(issuer: Issuer, act: Path, place: bytes) -> None:
    path = signed(issuer, act)
    data = bytearray(path.read_bytes())
    found = re.search(place, data)
    assert found
    data[found.end() - 1] = ord("0") if place.startswith(b"/Contents") else data[found.end() - 1] ^ 1
    path.write_bytes(data)
    refused(issuer, path, "abîmée ou fausse|ne se lit pas ici|n'est pas signé|qu'une partie")


def test_no_change_at_random_passes(issuer: Issuer, act: Path) -> None:
    """Anywhere outside the signature itself, of which a part is padding; and no other exception than a refusal."""
    path = signed(issuer, act)
    whole = path.read_bytes()
    start, end = whole.index(b"/Contents <") + 11, whole.index(b">", whole.index(b"/Contents <") + 11)
    chance = random.Random(59)  # noqa: S311 - the same changes each time
    for _ in range(100):
        data = bytearray(whole)
        where = chance.choice([chance.randrange(start), chance.randrange(end, len(whole) - 1)])
        data[where] = (data[where] + chance.randrange(1, 256)) % 256
        path.write_bytes(data)
        with pytest.raises(DocumentRefusedError):
            asyncio.run(check_pdf(path, CLAIRE, issuer.trust))


def test_another_authority_s_signature(issuer: Issuer, act: Path, tmp_path: Path) -> None:
    other = Issuer("inconnue", tmp_path / "autre")
    refused(issuer, signed(other, act), "« Émettrice inconnue », ne vient pas d'une autorité admise")


def test_another_authority_of_the_same_name(issuer: Issuer, act: Path, tmp_path: Path) -> None:
    other = Issuer("du prestataire", tmp_path / "autre")
    refused(issuer, signed(other, act), "ne vient pas d'une autorité admise|n'est pas valable")


def test_another_person_s_signature(issuer: Issuer, act: Path) -> None:
    path = signed(issuer, act, common_name="Karim Lefèvre")
    refused(issuer, path, "signé par Karim Lefèvre : c'est la signature de Claire Dubois qui est attendue")


def test_a_person_of_the_same_name_elsewhere(issuer: Issuer, act: Path) -> None:
    path = signed(issuer, act, siren="215903683")
    refused(issuer, path, "porte 215903683, pas le SIREN 215902669 de la commune")


def test_an_expired_signer(issuer: Issuer, act: Path) -> None:
    path = signed(issuer, act, start=NOW - dt.timedelta(days=9), end=NOW - dt.timedelta(days=1))
    refused(issuer, path, r"est expiré depuis le \d\d/\d\d/\d{4}")


def test_a_revoked_signer(issuer: Issuer, act: Path) -> None:
    pair = issuer.person()
    path = act.with_name("signe.pdf")
    asyncio.run(pades.sign(act, path, software(issuer, pair)))
    assert asyncio.run(check_pdf(path, CLAIRE, issuer.trust)).holder == "Claire Dubois"
    issuer.revoked.append(pair[0])
    issuer.write_crls()
    refused(issuer, path, r"le certificat de Claire Dubois est révoqué depuis le \d\d/\d\d/\d{4}")


def test_a_revocation_list_out_of_date_lets_nobody_through(issuer: Issuer, act: Path) -> None:
    issuer.write_crls(next_update=NOW - dt.timedelta(days=1))
    refused(issuer, signed(issuer, act), "la liste de révocation de « Émettrice du prestataire »")


def test_a_certificate_not_made_to_sign(issuer: Issuer, act: Path) -> None:
    refused(issuer, signed(issuer, act, signing=False), "n'est pas fait pour signer des documents")


def change_page(source: Path, target: Path) -> None:
    """An incremental update that replaces what the page shows."""
    with source.open("rb") as stream:
        writer = IncrementalPdfFileWriter(stream)
        page = writer.root["/Pages"]["/Kids"][0]
        text = generic.StreamObject(stream_data=b"BT /F1 12 Tf 100 700 Td (Autre texte) Tj ET")
        page[generic.NameObject("/Contents")] = writer.add_object(text)
        writer.update_container(page)
        with target.open("wb") as output:
            writer.write(output)


def test_a_document_changed_after_the_signature(issuer: Issuer, act: Path, tmp_path: Path) -> None:
    changed = tmp_path / "change.pdf"
    change_page(signed(issuer, act), changed)
    refused(issuer, changed, "le document a été modifié après la signature")


def test_bytes_added_after_the_signature(issuer: Issuer, act: Path) -> None:
    path = signed(issuer, act)
    data = path.read_bytes()
    path.write_bytes(data + b"\n% ajout\n" + data[data.rindex(b"startxref") :])
    refused(issuer, path, "le document a été modifié après la signature")


def test_another_s_good_signature_added_after(issuer: Issuer, act: Path, tmp_path: Path) -> None:
    """A later signature may fill forms: the expected person must have the last word."""
    path = tmp_path / "deux.pdf"
    asyncio.run(pades.sign(signed(issuer, act), path, software(issuer, issuer.person("Karim Lefèvre"))))
    refused(issuer, path, "signe en dernier")


def test_another_document_than_the_circuit_s(issuer: Issuer, act: Path, tmp_path: Path) -> None:
    other = tmp_path / "autre.pdf"
    writer = pypdf.PdfWriter()
    writer.add_blank_page(200, 200)
    writer.write(other)
    refused(issuer, signed(issuer, act), "ce n'est pas le document du circuit", original=other)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-400])


def encrypted(path: Path) -> None:
    writer = pypdf.PdfWriter(clone_from=path)
    writer.encrypt("secret", algorithm="AES-256")
    writer.write(path)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.write_bytes(b""), "le fichier est vide. À faire : exportez de nouveau"),
        (lambda path: os.truncate(path, 200_000_000), "200 Mo, 150 Mo au plus"),
        (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(2000)), "ce n'est pas un PDF. À faire"),
        (lambda path: path.write_bytes(b"%PDF-1.7\n" + bytes(2000)), "le PDF est abîmé. À faire"),
        (truncated, "le PDF est abîmé. À faire"),
        (encrypted, "protégé par un mot de passe ou des restrictions. À faire"),
        (lambda path: (path.unlink(), path.mkdir()), "ne s'ouvre pas|n'est pas un fichier"),
    ],
    ids=["empty", "200 MB", "zip", "no structure", "truncated", "encrypted", "folder"],
)
def test_a_file_that_is_no_act(issuer: Issuer, act: Path, spoil: Callable[[Path], object], words: str) -> None:
    """Neither checked nor signed."""
    spoil(act)
    refused(issuer, act, words)
    with pytest.raises(DocumentRefusedError, match=words):
        asyncio.run(pades.sign(act, act.with_name("signe.pdf"), software(issuer, issuer.person())))
    assert not act.with_name("signe.pdf").exists()


# The command, as the parapheur runs it.


def verifier(issuer: Issuer, path: Path, *options: str) -> tuple[subprocess.CompletedProcess[str], float, int]:
    """Run ``verifier-acte`` in its own process: what it said, seconds, megabytes at most."""
    # What the kernel counts of an ended child begins with the memory of who made it: it says its own peak itself.
    code = (
        "import atexit, os, re, sys; from signature_actes.cli import verifier; atexit.register(lambda: os.write("
        "int(os.environ['MESURE']), re.search(rb'VmHWM:\\s+(\\d+)', open('/proc/self/status', 'rb').read())[1])); "
        "sys.exit(verifier())"
    )
    start = time.monotonic()
    command = (
        [sys.executable, "-c", code, str(path), "--signataire", "Claire Dubois", "--siren", SIREN, "--autorites",
         str(issuer.folder / "ca.pem"), "--crl", str(issuer.folder / "crl.pem"), *options]
    )  # fmt: skip # one call by its parts
    with tempfile.TemporaryFile() as peak:
        environment = os.environ | {
            "PYTHONPATH": SIGNING,
            "MESURE": str(peak.fileno()),
        }
        done = subprocess.run(
            command, env=environment, pass_fds=[peak.fileno()], capture_output=True, text=True, check=False
        )
        peak.seek(0)
        return done, time.monotonic() - start, int(peak.read()) // 1024


def test_the_command_accepts_and_refuses(issuer: Issuer, act: Path, tmp_path: Path) -> None:
    path = signed(issuer, act)
    done, _seconds, _megabytes = verifier(issuer, path, "--origine", str(act))
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["signataire"] == "Claire Dubois"
    done, _seconds, _megabytes = verifier(issuer, act)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"deliberation\.pdf : le document n'est pas signé\..*\n", done.stderr)


def test_a_hundred_megabytes_cost_little_memory(issuer: Issuer, act: Path, tmp_path: Path) -> None:
    """Scans, which do not compress: signed and checked by pieces."""
    big = tmp_path / "gros.pdf"
    with act.open("rb") as stream, big.open("wb") as output:
        writer = IncrementalPdfFileWriter(stream)
        writer.root[generic.NameObject("/Scan")] = writer.add_object(
            generic.StreamObject(encoded_data=os.urandom(1_000_000) * 100)
        )
        writer.update_root()
        writer.write(output)
    path = signed(issuer, big)
    done, seconds, megabytes = verifier(issuer, path)
    assert (done.returncode, done.stderr) == (0, "")
    assert seconds < allowed(30)
    assert megabytes < 600


def test_a_bomb_is_refused_within_bounds(issuer: Issuer, tmp_path: Path) -> None:
    """A cross-reference stream of six hundred kilobytes that wants as many megabytes."""
    packer, packed = zlib.compressobj(9), io.BytesIO()
    for _ in range(60):
        packed.write(packer.compress(bytes(10_000_000)))
    packed.write(packer.flush())
    head = b"%PDF-1.7\n"
    body = (
        b"1 0 obj\n<< /Type /XRef /Size 120000000 /W [1 2 2] /Root 2 0 R /Filter /FlateDecode /Length %d >>\nstream\n"
        % packed.tell()
    )
    bomb = tmp_path / "bombe.pdf"
    bomb.write_bytes(head + body + packed.getvalue() + b"\nendstream\nendobj\nstartxref\n%d\n%%%%EOF\n" % len(head))
    done, seconds, megabytes = verifier(issuer, bomb)
    assert done.returncode == 1
    assert TOO_MUCH in done.stderr or "le PDF est abîmé" in done.stderr
    assert seconds < allowed(60)
    assert megabytes < 600


@pytest.mark.parametrize("greed", ["bytearray(1 << 31)", "while True: pass"])
def test_a_process_stops_at_its_bounds(greed: str) -> None:
    code = (
        "from signature_actes import cli, limits\n"
        f"def run():\n    limits.bound(seconds=2)\n    {greed}\n    return 0\n"
        "raise SystemExit(cli._run_command(run))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env=os.environ | {"PYTHONPATH": SIGNING},
    )
    assert (done.returncode, done.stderr) == (1, f"{TOO_MUCH}\n")
