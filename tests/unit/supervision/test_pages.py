"""The morning's pages on the supervision: all of an archive or nothing of it, and to whom nginx shows them."""

from __future__ import annotations

import gzip
import io
import re
import subprocess
import tarfile
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.cdg59.creatic.plugins.filter.persons import persons_of
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import RESERVED, Request
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from testbed.authority import certificate

SIREN = "285900015"


@pytest.fixture(scope="module")
def program() -> Any:
    path = Path(__file__).parents[3] / "apps/journaux/src/pages.py"
    spec = spec_from_loader("supervision_pages", SourceFileLoader("supervision_pages", str(path)))
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pack(folder: Path, *entries: tuple[str, str] | tarfile.TarInfo) -> Path:
    """An archive as the control node sends it."""
    with tarfile.open(folder / "pages.tar.gz", "w:gz") as archive:
        for one in entries:
            if isinstance(one, tarfile.TarInfo):
                archive.addfile(one)
            else:
                entry = tarfile.TarInfo(one[0])
                entry.size = len(one[1].encode())
                archive.addfile(entry, io.BytesIO(one[1].encode()))
    return folder


GOOD = (("index.html", "un"), ("page.js", "js"), ("communes/loos.html", "loos"))


def test_the_last_archive_is_shown_alone(program: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(pack(tmp_path, *GOOD)) == 0 and capsys.readouterr().out == "changé\n"
    shown = (tmp_path / "courant").resolve()
    assert {path.relative_to(shown).as_posix() for path in shown.rglob("*.*")} == {
        f"{name}{end}" for name, _ in GOOD for end in ("", ".gz")
    }
    for name, text in GOOD:  # what nginx gives instead to who takes it
        assert gzip.decompress((shown / f"{name}.gz").read_bytes()).decode() == text
    assert program.main(tmp_path) == 0 and capsys.readouterr().out == "déjà là\n"
    assert program.main(pack(tmp_path, ("index.html", "deux"))) == 0
    assert (tmp_path / "courant" / "index.html").read_text() == "deux"
    assert not (tmp_path / "courant" / "communes" / "loos.html").exists()
    assert len([path for path in tmp_path.iterdir() if path.is_dir() and not path.is_symlink()]) == 1


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


def large(name: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size = (16 << 20) + 1
    return entry


@pytest.mark.parametrize(
    "bad",
    [
        ("../dehors.html", "x"),
        ("/etc/cron.d/x.html", "x"),
        ("communes/../../dehors.html", "x"),
        ("communes/.htaccess", "x"),
        ("programme.py", "x"),
        ("communes/a/b.html", "x"),
        link("communes/loos.html", "/etc/shadow"),
        link("communes/loos.html", "index.html", tarfile.LNKTYPE),
        link("communes/loos.html", "", tarfile.FIFOTYPE),
        link("communes", "/tmp"),  # what a hostile archive would say
    ],
    ids=lambda one: one[0] if isinstance(one, tuple) else f"{one.name} {one.type!r}",
)
def test_what_is_no_page_is_refused_whole(
    program: Any, tmp_path: Path, bad: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    program.main(pack(tmp_path, *GOOD))
    assert program.main(pack(tmp_path, ("index.html", "deux"), bad)) == 1
    assert "celles d'avant restent" in capsys.readouterr().err
    assert (tmp_path / "courant" / "index.html").read_text() == "un"
    assert not (tmp_path / "dehors.html").exists() and not (tmp_path.parent / "dehors.html").exists()


@pytest.mark.parametrize("harm", ["cut", "no index", "too large", "nothing", "absent"])
def test_what_is_damaged_keeps_the_pages_before(program: Any, tmp_path: Path, harm: str) -> None:
    program.main(pack(tmp_path, *GOOD))
    archive = tmp_path / "pages.tar.gz"
    if harm == "cut":
        content = pack(tmp_path, ("index.html", "deux" * 5000)).joinpath("pages.tar.gz").read_bytes()
        archive.write_bytes(content[: len(content) // 2])
    elif harm == "no index":
        pack(tmp_path, ("page.js", "x"))
    elif harm == "too large":
        with tarfile.open(archive, "w:gz") as one:
            one.addfile(large("index.html"), io.BytesIO(bytes((16 << 20) + 1)))
    elif harm == "nothing":
        archive.write_bytes(b"")
    else:
        archive.unlink()
    assert program.main(tmp_path) == 1
    assert (tmp_path / "courant" / "index.html").read_text() == "un"


def test_a_run_that_died_is_made_good(program: Any, tmp_path: Path) -> None:
    program.main(pack(tmp_path, *GOOD))
    (tmp_path / ".nouveau" / "communes").mkdir(parents=True)
    (tmp_path / ".nouveau" / "communes" / "reste.html").write_text("x")
    (tmp_path / ".courant").symlink_to("ailleurs")
    pack(tmp_path, ("index.html", "deux"))
    assert program.place(tmp_path) is True
    assert not (tmp_path / "courant" / "communes" / "reste.html").exists()


# -- to whom ---------------------------------------------------------------------------------------------------


def as_nginx_writes(subject: x509.Name, folder: Path) -> str:
    """A subject as nginx's $ssl_client_s_dn: OpenSSL's XN_FLAG_RFC2253."""
    key = ec.generate_private_key(ec.SECP256R1())
    authority, signing = certificate("Racine", None, ca=True)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(authority.not_valid_before_utc)
        .not_valid_after(authority.not_valid_after_utc)
        .sign(signing, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    asked = ["openssl", "x509", "-in", "cert.pem", "-noout", "-subject", "-nameopt", "RFC2253"]
    done = subprocess.run(asked, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.removeprefix("subject=").strip()


GROUPEMENT = "Groupement, Cre@tic d'été"


@pytest.mark.parametrize(
    ("name", "organization", "siren", "admitted"),
    [
        ("Léa Martin", GROUPEMENT, SIREN, True),
        ('Œ "d\'Ascq", née <x>+\\', GROUPEMENT, SIREN, True),
        ("Anne Acart", "CDG59", SIREN, True),
        ("Léa Martin", "Commune de Loos", "215902669", False),
        (f"Joe,OU=0002 {SIREN}", "Commune", "215902669", False),
        ("Joe", f"x,OU=0002 {SIREN},O=x", "215902669", False),
        ("Joe", f"0002 {SIREN}", "215902669", False),
        ("passerelle", GROUPEMENT, SIREN, False),
        ("Machine - sae1", GROUPEMENT, SIREN, False),
        *((f"{word} du groupement", GROUPEMENT, SIREN, False) for word in RESERVED),
    ],
)
def test_people_of_the_groupement_alone_are_shown_them(
    tmp_path: Path, name: str, organization: str, siren: str, admitted: bool
) -> None:
    written = as_nginx_writes(Request("x", "client", name, organization=organization, siren=siren).subject(), tmp_path)
    assert bool(re.search(persons_of(SIREN), written)) is admitted, written


def test_the_supervision_s_own_certificate_is_nobody_s(tmp_path: Path) -> None:
    written = as_nginx_writes(Request("x", "supervision", "veille", dns=("veille",)).subject(), tmp_path)
    assert not re.search(persons_of(SIREN), written)


@pytest.mark.parametrize("siren", ["", "28590001", ".*", "285900015\n"])
def test_a_siren_is_nine_digits(siren: str) -> None:
    with pytest.raises(AnsibleFilterError, match="9 chiffres"):
        persons_of(siren)
