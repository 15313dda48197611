"""The archive's door and what it brings out: containers, SEDA, BagIt, formats, OCFL, CMS, RFC 3161."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sae import export, ocfl, rights, transfer
from sae.config import Limits
from sae.elimination import OperationRefusedError
from sae.journal import timestamp
from sae.signature import SignatureError, verify
from sae.versement import aip, bagit, container, formats, seda
from sae.versement.description import compare
from sae.versement.refusal import SipRefusedError

from testbed.sae import AGENCY, FILES, PDF, FakeClamd, Gateway, bag, manifest, sip, tar, zipped
from tests.fuzz.spoilt import DER, XML, asked, bent, refuses, spoilt

SMALL = Limits(unpacked=5_000_000, files=200)
TREE = Path("/dev/shm") if Path("/dev/shm").is_dir() else None


@contextmanager
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=TREE) as name:
        yield Path(name)


def read_whole(package: bytes) -> None:
    """As a passage does, before anything is kept."""
    with scratch() as folder:
        (folder / "sip").write_bytes(package)
        (folder / "contenu").mkdir()
        members = container.unpack(folder / "sip", folder / "contenu", SMALL)
        if seda.MANIFEST in members:
            one = members[seda.MANIFEST]
            description = seda.read(one.path, one.sha512, SMALL.manifest, AGENCY)
        elif (root := bagit.root_of(members)) is not None:
            bagit.identifier(members, root)
            description = bagit.read(members, root)
        else:
            return
        compare(description, members)
        formats.identify(members.values(), frozenset(), description.manifests)


CONTAINERS = [sip(), tar(bag()), zipped({"manifest.xml": manifest(), **FILES}), zipped(bag(root=""))]


@given(package=spoilt(CONTAINERS))
def test_containers(package: bytes) -> None:
    refuses(lambda: read_whole(package), SipRefusedError)


NAMED = ["manifest.xml", "bagit.txt", "a/bagit.txt", "data/é", "a", "A", "a/", "a/b", "a//b", "./a", ".", "..", "/"]
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60) | st.sampled_from(NAMED)
KINDS = [*tarfile.SUPPORTED_TYPES, b"Z"]


@given(
    entries=st.lists(
        st.tuples(NAMES, st.binary(max_size=40), st.sampled_from(KINDS), st.integers(0, 1 << 40)),
        max_size=6,
    ),
    form=st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
    encoding=st.sampled_from(["utf-8", "latin-1", "cp1252", "utf-16"]),
)
def test_tars_of_other_writers(entries: list[tuple[str, bytes, bytes, int]], form: Any, encoding: str) -> None:
    """Their names in any encoding, their types and sizes anything."""
    package = b""
    for name, content, kind, size in entries:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, name
        info.size = size if kind == b"Z" else len(content)
        package += info.tobuf(form, encoding, "replace") + content.ljust(512, b"\0")
    refuses(lambda: read_whole(package + bytes(1024)), SipRefusedError)


@given(
    entries=st.lists(st.tuples(NAMES, st.binary(max_size=40), st.integers(0, 0xFFFFFFFF)), max_size=6),
    method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]),
    bits=st.integers(0, 0xFFFF),
    version=st.integers(0, 255),
)
def test_zips_of_other_writers(entries: list[tuple[str, bytes, int]], method: int, bits: int, version: int) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content, attributes in entries:
            info = zipfile.ZipInfo(name.replace("\0", "") or "a")
            info.compress_type, info.external_attr = method, attributes
            archive.writestr(info, content)
        for info in archive.infolist():
            info.flag_bits, info.extract_version = bits, version
    refuses(lambda: read_whole(buffer.getvalue()), SipRefusedError)


@given(text=spoilt([manifest(), manifest(FILES, message="é" * 30)], XML))
def test_manifests(text: bytes) -> None:
    with scratch() as folder:
        path = folder / "manifest.xml"
        path.write_bytes(text)
        refuses(lambda: seda.read(path, "", SMALL.manifest, AGENCY), SipRefusedError)
        refuses(lambda: seda.read_transfer_identity(path, SMALL.manifest))
        refuses(lambda: rights.declared([text]), ValueError)


TAGS = ("bagit.txt", "bag-info.txt", "manifest-sha512.txt")
FIELDS = (
    b"Sort-Final: Conserver\n",
    b"Payload-Oxum: 1.1\n",
    b"UTF-16",
    b"0.97",
    b"data/",
    b"%25",
    b"%0A",
    b"  ",
    b"*",
    b": ",
)


@given(name=st.sampled_from(TAGS), data=st.data())
def test_tags_of_bags(name: str, data: Any) -> None:
    """With a right tag manifest: what is spoilt is read."""
    entries = bag(root="")
    entries[name] = data.draw(spoilt([entries[one] for one in TAGS], FIELDS))
    lines = [f"{hashlib.sha512(entries[one]).hexdigest()}  {one}\n" for one in TAGS]
    entries["tagmanifest-sha512.txt"] = "".join(lines).encode()
    refuses(lambda: read_whole(tar(entries)), SipRefusedError)


@pytest.fixture(scope="module")
def scanner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeClamd]:
    """One for all: its thread outlives it."""
    made = FakeClamd(tmp_path_factory.mktemp("clamd") / "clamd.ctl")
    yield made
    made.stop()


@given(package=spoilt(CONTAINERS, XML))
def test_every_deposit_has_its_answer(scanner: FakeClamd, package: bytes) -> None:
    """The whole way, with the storage: a refusal, or an archive."""
    with scratch() as folder, asked():
        answer = Gateway(folder, clamd=scanner.path).deposit(package)
        assert answer.accepted or answer.reasons
        "".join(answer.reasons).encode("utf-8")


@given(content=spoilt([PDF, zipped({"a": PDF}), manifest()]))
def test_formats(content: bytes) -> None:
    with scratch() as folder:
        (folder / "x").write_bytes(content)
        member = container.Member("x", folder / "x", len(content), "")
        refuses(lambda: formats.identify([member], frozenset(), []), SipRefusedError)


def written(folder: Path) -> dict[str, Any]:
    """An object as the door writes it, and its inventory."""
    source = folder / "source"
    source.write_bytes(PDF)
    member = container.Member("a.pdf", source, len(PDF), hashlib.sha512(PDF).hexdigest())
    identifier = aip.identifier("gondecourt", "A", "B")
    aip.build(
        folder / "aip.tar",
        aip=identifier,
        account="gondecourt",
        title="T",
        when=datetime(2026, 1, 2, tzinfo=UTC),
        members={"a.pdf": member},
        formats={},
        events=[],
    )
    with tarfile.open(folder / "aip.tar") as archive:
        archive.extractall(folder, filter="data")
    (folder / identifier).rename(folder / "objet")
    found: dict[str, Any] = json.loads((folder / "objet" / "inventory.json").read_bytes())
    return found


@given(data=st.data())
def test_inventories(data: Any) -> None:
    """With their right digests beside them."""
    with scratch() as folder:
        inventory = written(folder)
        text = json.dumps(data.draw(bent(inventory))).encode("utf-8", "surrogatepass")
        if data.draw(st.booleans()):
            text = data.draw(spoilt([text]))
        for place in ("", "v1"):
            (folder / "objet" / place / "inventory.json").write_bytes(text)
            noted = f"{hashlib.sha512(text).hexdigest()}  inventory.json\n"
            (folder / "objet" / place / "inventory.json.sha512").write_text(noted)
        refuses(lambda: export.check(folder / "objet"), export.DamagedArchiveError)


@given(data=st.data())
def test_objects_with_odd_files(data: Any) -> None:
    """Names in any bytes, links, pipes, empty folders; what is there is moved or gone."""
    with scratch() as folder:
        written(folder)
        top = folder / "objet"
        for _ in range(data.draw(st.integers(1, 4))):
            there = sorted([top, *top.rglob("*")])
            place = data.draw(st.sampled_from([one for one in there if one.is_dir() and not one.is_symlink()]))
            name = data.draw(st.binary(min_size=1, max_size=20).map(lambda raw: raw.translate(None, b"/\0")))
            path = os.fsencode(place) + b"/" + (name.strip(b".") or b"x")
            if os.path.lexists(path):
                continue
            match data.draw(st.sampled_from(("file", "folder", "link", "loop", "pipe", "gone"))):
                case "file":
                    Path(os.fsdecode(path)).write_bytes(b"x")
                case "folder":
                    Path(os.fsdecode(path)).mkdir()
                case "link":
                    Path(os.fsdecode(path)).symlink_to("/etc/passwd")
                case "loop":
                    Path(os.fsdecode(path)).symlink_to(os.fsdecode(path))
                case "pipe":
                    os.mkfifo(path)
                case "gone" if place != top:
                    shutil.rmtree(place)
        refuses(lambda: export.check(top), export.DamagedArchiveError)
        assert all(str(fault).encode("utf-8") for fault in ocfl.faults(top)[1])


REPLY = seda.reply(
    identifier="R-1", request="ACTE-1", when=datetime(2026, 1, 2, tzinfo=UTC), agency=AGENCY, sender="S",
    accepted=True, comments=["bien reçu"], events=[], aip="aip-1",
)  # fmt: skip # one call


@given(text=spoilt([REPLY], XML))
def test_replies_of_archive_services(text: bytes) -> None:
    refuses(lambda: transfer._parse_reply(text), OperationRefusedError)


@given(text=st.text(max_size=40))
def test_days_of_rules(text: str) -> None:
    refuses(lambda: rights.day_of(text), ValueError)
    assert rights.after(date(2026, 2, 28), 10)


# -- signatures and timestamps -----------------------------------------------------------------------------


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, bytes]:
    """An authority's certificate, a detached signature of PDF and a timestamp of it, both by openssl."""
    folder = tmp_path_factory.mktemp("cles")
    key, certificate = folder / "key.pem", folder / "cert.pem"
    (folder / "x.cnf").write_text(
        "[req]\ndistinguished_name=d\n[d]\n[v]\nextendedKeyUsage=critical,timeStamping\nbasicConstraints=CA:true\n"
        f"[tsa]\ndefault_tsa=u\n[u]\nserial={folder}/serial\ncrypto_device=builtin\nsigner_digest=sha256\n"
        "default_policy=1.2.3\ndigests=sha512\ness_cert_id_alg=sha256\n"
    )
    (folder / "serial").write_text("01\n")
    (folder / "data").write_bytes(PDF)
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=Essai", "-config", folder / "x.cnf",
            "-extensions", "v", "-keyout", key, "-out", certificate)  # fmt: skip # one command
    openssl("cms", "-sign", "-binary", "-outform", "DER", "-signer", certificate, "-inkey", key,
            "-in", folder / "data", "-out", folder / "p7s")  # fmt: skip # one command
    openssl("ts", "-query", "-data", folder / "data", "-sha512", "-cert", "-out", folder / "tsq")
    openssl("ts", "-reply", "-config", folder / "x.cnf", "-queryfile", folder / "tsq", "-signer", certificate,
            "-inkey", key, "-out", folder / "tsr")  # fmt: skip # one command
    return certificate, (folder / "p7s").read_bytes(), (folder / "tsr").read_bytes()


@given(data=st.data())
def test_timestamps(signed: tuple[Path, bytes, bytes], data: Any) -> None:
    token = data.draw(spoilt([signed[2], signed[1]], DER))
    refuses(lambda: timestamp.read(token), timestamp.TimestampError)


@given(data=st.data())
def test_detached_signatures(signed: tuple[Path, bytes, bytes], data: Any) -> None:
    signature = data.draw(spoilt([signed[1]], DER))
    refuses(lambda: verify(PDF, signature, signed[0]), SignatureError)
