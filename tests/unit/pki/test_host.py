"""The host's half: keys born here, atomic change of certificate, repairs."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.durable import write
from ansible_collections.cdg59.creatic.plugins.module_utils.pki import host as pki_host
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import (
    PkiError,
    Request,
    fingerprint,
    load_certificate,
)
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.host import HostStore, Wanted, read_key

from creatic.pki import x509 as pki_x509
from creatic.pki.authority import Authority
from creatic.pki.registry import Owner

from .conftest import CLIENT, HOST, SERVER, SETTINGS, openssl

Later = Callable[[int], None]


class Machine:
    """A host and the authority, talking as the action plugin has them talk."""

    def __init__(self, authority: Authority, root: Path):
        self.authority, self.root = authority, root

    def wanted(self, request: Request) -> Wanted:
        known = self.authority.known_to(HOST.host).get(request.name, {})
        return Wanted.from_dict({"request": request.to_dict(), "group": ""} | known)

    def inspect(
        self, request: Request = CLIENT, days: int = 30, check: bool = False
    ) -> tuple[dict[str, Any], HostStore]:
        store, published = HostStore(self.root, check), self.authority.published()
        store.trust(published["ca"], published["crl"], published["history"])
        return store.inspect(self.wanted(request), published["chain"], days), store

    def install(self, csr: str, request: Request = CLIENT) -> None:
        issued = self.authority.issue(csr, request, HOST)
        HostStore(self.root).install(self.wanted(request), issued.pem, self.authority.published()["chain"])

    def converge(self, request: Request = CLIENT, days: int = 30) -> str:
        """Bring one certificate to its state; returns the reason of its renewal, or an empty string."""
        state, _ = self.inspect(request, days)
        if state["csr"]:
            self.install(state["csr"], request)
        return str(state["reason"])

    def read(self, name: str) -> str:
        return (self.root / "tdt" / "current" / name).read_text()


@pytest.fixture
def machine(authority: Authority, tmp_path: Path) -> Machine:
    return Machine(authority, tmp_path / "etc")


def test_issued_once_then_nothing_changes(machine: Machine) -> None:
    assert machine.converge() == "absent ou illisible"
    state, store = machine.inspect()
    assert (state["reason"], state["csr"], store.changes) == ("", "", [])
    chain = machine.root / "tdt" / "current"
    openssl("verify", "-CAfile", machine.root / "ca.pem", "-CRLfile", machine.root / "crl.pem", chain / "fullchain.pem")
    assert machine.read("fullchain.pem") == machine.read("cert.pem") + machine.read("chain.pem")


def test_key_is_readable_by_its_group_only(machine: Machine) -> None:
    machine.converge()
    folder = machine.root / "tdt"
    key = folder / "current" / "key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    key.chmod(0o644)
    _, store = machine.inspect(check=True)
    assert [change.path for change in store.changes] == [str(key)] and stat.S_IMODE(key.stat().st_mode) == 0o644
    machine.inspect()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    own = Wanted(CLIENT, group=_own_group(), serials=machine.wanted(CLIENT).serials)
    HostStore(machine.root).inspect(own, machine.authority.published()["chain"], 30)
    assert stat.S_IMODE(key.stat().st_mode) == 0o640


def test_without_a_group_the_next_key_has_that_of_the_present_one(machine: Machine) -> None:
    machine.converge()
    current = machine.root / "tdt" / "current" / "key.pem"
    store = HostStore(machine.root)
    assert store._key_access(Wanted(CLIENT, None)) == (current.stat().st_gid, 0o640)
    assert store._key_access(Wanted(SERVER, None)) == (0, 0o640)


def _own_group() -> str:
    import grp

    return grp.getgrgid(os.getgid()).gr_name


def test_an_unknown_group_is_named(machine: Machine) -> None:
    machine.converge()
    wanted = Wanted(CLIENT, "groupe-inconnu", machine.wanted(CLIENT).serials)
    with pytest.raises(PkiError, match="« groupe-inconnu » n'existe pas"):
        HostStore(machine.root).inspect(wanted, machine.authority.published()["chain"], 30)
    HostStore(machine.root, check=True).inspect(wanted, machine.authority.published()["chain"], 30)


def test_the_key_never_leaves_the_host(machine: Machine) -> None:
    state, store = machine.inspect()
    key = (machine.root / "tdt" / "prochain" / "key.pem").read_text()
    assert "PRIVATE KEY" in key
    secret = "".join(key.splitlines()[1:-1])[40:80]
    said = repr(state) + repr(store.changes)
    assert "PRIVATE" not in said and secret not in said
    machine.install(state["csr"])
    for path in machine.authority.directory.parent.rglob("*"):
        if path.is_file() and machine.root not in path.parents:
            assert secret.encode() not in path.read_bytes(), path


def test_check_mode_on_a_fresh_host_changes_nothing(machine: Machine) -> None:
    state, store = machine.inspect(check=True)
    assert state["reason"] and not state["csr"] and store.changes
    assert not machine.root.exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"common_name": "Autre nom"}, "sujet modifié"),
        ({"siren": "200093201"}, "sujet modifié"),
        ({"key_type": "rsa"}, "type de clé modifié"),
        ({"profile": "signature"}, "profil modifié"),
    ],
    ids=["name", "siren", "key-type", "profile"],
)
def test_renewed_when_the_request_changes(machine: Machine, change: dict[str, str], reason: str) -> None:
    machine.converge()
    request = Request(**CLIENT.__dict__ | change)
    assert machine.converge(request) == reason
    assert machine.converge(request) == ""


def test_renewed_when_dns_names_change(machine: Machine) -> None:
    machine.converge(SERVER)
    more = Request(**SERVER.__dict__ | {"dns": (*SERVER.dns, "pki.creatic.test")})
    assert machine.converge(more) == "noms DNS modifiés"
    reordered = Request(**more.__dict__ | {"dns": tuple(reversed(more.dns))})
    assert machine.converge(reordered) == ""


def test_renewed_before_it_expires(machine: Machine, later: Later) -> None:
    machine.converge()
    later(330)
    assert machine.converge() == ""
    later(336)
    assert machine.converge().startswith("expire le ")
    assert machine.converge() == ""


def test_renewed_when_revoked_or_unknown(machine: Machine) -> None:
    machine.converge()
    old = fingerprint(read_key(machine.root / "tdt/current/key.pem").public_key())  # type: ignore[union-attr]  # just made
    machine.authority.revoke("compromission", host=HOST.host)
    assert machine.converge() == "révoqué, remplacé ou inconnu du registre"
    assert fingerprint(read_key(machine.root / "tdt/current/key.pem").public_key()) != old  # type: ignore[union-attr]  # same
    assert machine.converge() == ""


def test_renewed_when_the_issuer_changes(machine: Machine) -> None:
    machine.converge()
    machine.authority.ensure(SETTINGS, replace_issuing=True)
    assert machine.converge() == "émis par une autre autorité"
    assert machine.converge() == ""


def test_a_renewed_issuing_ca_only_changes_the_chain(machine: Machine, later: Later) -> None:
    later(1826 - 365 - 100)
    machine.converge()
    machine.authority.ensure(SETTINGS)
    state, store = machine.inspect()
    assert state["reason"] == ""
    names = {Path(change.path).name for change in store.changes}
    assert names == {"ca.pem", "crl.pem", "historique.pem", "chain.pem", "fullchain.pem"}
    assert machine.read("chain.pem") == machine.authority.published()["chain"]


@pytest.mark.parametrize("damage", ["key.pem", "cert.pem"])
@pytest.mark.parametrize("content", [None, "abîmé"], ids=["lost", "garbage"])
def test_a_lost_or_damaged_file_is_made_good(machine: Machine, damage: str, content: str | None) -> None:
    machine.converge()
    path = machine.root / "tdt" / "current" / damage
    path.unlink()
    if content:
        path.write_text(content)
    assert machine.converge() != ""
    assert machine.converge() == ""


def test_another_key_in_place_is_seen(machine: Machine) -> None:
    machine.converge()
    other = Machine(machine.authority, machine.root.parent / "autre")
    other.inspect()
    path = machine.root / "tdt" / "current" / "key.pem"
    path.write_text((other.root / "tdt" / "prochain" / "key.pem").read_text())
    assert machine.converge() == "clé absente ou différente"


def test_chain_and_trust_are_repaired_in_place(machine: Machine) -> None:
    machine.converge()
    before = machine.read("cert.pem")
    (machine.root / "crl.pem").unlink()
    (machine.root / "tdt" / "current" / "fullchain.pem").write_text("abîmé")
    state, store = machine.inspect()
    assert state["reason"] == "" and len(store.changes) == 2
    assert machine.read("cert.pem") == before and machine.read("fullchain.pem").startswith(before)


def test_the_version_before_is_kept_until_the_next_rotation(machine: Machine) -> None:
    serials = []
    for _ in range(3):
        machine.converge(days=400)
        serials.append((machine.root / "tdt" / "current").readlink().name)
    folders = {path.name for path in (machine.root / "tdt").iterdir() if not path.is_symlink()}
    assert folders == set(serials[1:]) and len(set(serials)) == 3


def test_an_interrupted_run_takes_up_its_key(machine: Machine) -> None:
    state, _ = machine.inspect()
    issued = machine.authority.issue(state["csr"], CLIENT, HOST)  # and the run dies here
    machine.converge()
    assert machine.read("cert.pem") == issued.pem
    assert len(machine.authority.listing()) == 1


def test_a_key_revoked_before_it_was_installed_is_dropped(machine: Machine) -> None:
    state, _ = machine.inspect()
    machine.authority.revoke("compromission", serial=machine.authority.issue(state["csr"], CLIENT, HOST).serial)
    machine.converge()
    assert machine.converge() == ""


@pytest.mark.parametrize("step", ["rename", "symlink_to", "replace"])
def test_killed_during_the_change_a_reader_always_finds_a_pair(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    machine.converge()

    class Killed(BaseException):
        pass

    def die(self: Path, target: Path) -> None:
        if step != "replace" or self.name == ".current":
            raise Killed
        os.replace(self, target)  # noqa: PTH105 - the method is the one patched

    state, _ = machine.inspect(days=400)
    with monkeypatch.context() as patch:
        patch.setattr(Path, step, die)
        with pytest.raises(Killed):
            machine.install(state["csr"])
    certificate = pki_host._read_certificate(machine.root / "tdt" / "current" / "cert.pem")
    key = read_key(machine.root / "tdt" / "current" / "key.pem")
    assert certificate is not None and key is not None
    assert fingerprint(certificate.public_key()) == fingerprint(key.public_key())
    machine.converge()
    assert machine.converge() == ""


def test_a_certificate_for_another_key_is_refused(machine: Machine, authority: Authority) -> None:
    machine.inspect()
    stranger = authority.issue(CLIENT.csr(CLIENT.new_key()), CLIENT, Owner("autre"))
    with pytest.raises(PkiError, match="n'est pas celui de la clé préparée"):
        HostStore(machine.root).install(machine.wanted(CLIENT), stranger.pem, authority.published()["chain"])
    assert not (machine.root / "tdt" / "current").exists()


def test_system_store(machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    store_dir, certificates = tmp_path / "ca", tmp_path / "certs"
    certificates.mkdir()
    monkeypatch.setattr(pki_host, "SYSTEM_STORE", store_dir)
    monkeypatch.setattr(pki_host, "SYSTEM_CERTIFICATES", certificates)
    calls: list[list[str]] = []

    def update(command: list[str], **_: object) -> None:
        calls.append(command)
        (certificates / "creatic-pki.pem").write_text("x")
        (certificates / "ca-certificates.crt").write_text("autre\n" + root)

    monkeypatch.setattr(pki_host.subprocess, "run", update)
    root = machine.authority.published()["root"]
    checked = HostStore(machine.root, check=True)
    checked.system_store("creatic-pki", {"racine": root})
    assert checked.changes and not calls and not store_dir.exists()
    for expected in (1, 1):
        HostStore(machine.root).system_store("creatic-pki", {"racine": root})
        assert len(calls) == expected
    (certificates / "creatic-pki.pem").unlink()
    HostStore(machine.root).system_store("creatic-pki", {"racine": root})
    assert len(calls) == 2 and (store_dir / "creatic-pki.crt").read_text() == root
    (certificates / "ca-certificates.crt").write_text("autre\n")
    HostStore(machine.root).system_store("creatic-pki", {"racine": root})
    assert len(calls) == 3


def test_a_list_later_than_the_control_node_s_is_told(machine: Machine, tmp_path: Path) -> None:
    shutil.copytree(machine.authority.directory.parent, tmp_path / "copie")
    machine.converge()
    machine.authority.revoke("cessation", host=HOST.host)
    _, store = machine.inspect()
    assert store.newer == []
    older = Authority(tmp_path / "copie" / "pki").published()
    store = HostStore(machine.root, check=True)
    store.trust(older["ca"], older["crl"], older["history"])
    assert store.newer == [f"{load_certificate(older['chain']).subject.rfc4514_string()} : n° 2 ici, n° 1 au poste"]


# -- .p12 --------------------------------------------------------------------------------------------------


def test_a_p12_is_made_once_and_again_when_it_differs(machine: Machine, tmp_path: Path) -> None:
    machine.converge()
    folder, path = machine.root / "tdt" / "current", tmp_path / "secret" / "tdt.p12"
    assert pki_x509.ensure_p12(path, folder, "mot de passe", "tdt", check=True)
    assert not path.exists()
    assert pki_x509.ensure_p12(path, folder, "mot de passe", "tdt")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not pki_x509.ensure_p12(path, folder, "mot de passe", "tdt")
    assert pki_x509.ensure_p12(path, folder, "autre mot de passe", "tdt")
    assert not pki_x509.ensure_p12(path, folder, "autre mot de passe", "tdt")
    path.write_bytes(b"rien")
    assert pki_x509.ensure_p12(path, folder, "mot de passe", "tdt", check=True)
    assert path.read_bytes() == b"rien"


def test_a_p12_needs_a_certificate_a_password_and_a_key(machine: Machine, tmp_path: Path) -> None:
    path = tmp_path / "tdt.p12"
    absent = tmp_path / "absent"
    assert pki_x509.ensure_p12(path, absent, "x", "tdt", check=True)
    with pytest.raises(PkiError, match=r"absent : certificat absent$"):
        pki_x509.ensure_p12(path, absent, "x", "tdt")
    machine.converge()
    folder = machine.root / "tdt" / "current"
    with pytest.raises(PkiError, match=r"^fichier .p12 : un mot de passe est obligatoire$"):
        pki_x509.ensure_p12(path, folder, "", "tdt")
    key = folder / "key.pem"
    key.write_text(openssl("genpkey", "-algorithm", "ed25519"))
    with pytest.raises(PkiError, match=r"key.pem : type de clé inattendu$"):
        pki_x509.ensure_p12(path, folder, "x", "tdt")
    assert not path.exists()


# -- the machine's store -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileNotFoundError(), "^le paquet ca-certificates manque : installez-le$"),
        (subprocess.CalledProcessError(1, "x", stderr="plein\n"), "^update-ca-certificates a échoué : plein$"),
    ],
)
def test_a_store_that_cannot_be_brought_up_to_date_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, authority: Authority, error: Exception, said: str
) -> None:
    def fail(*_command: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(pki_host, "SYSTEM_STORE", tmp_path / "magasin")
    monkeypatch.setattr(pki_host, "SYSTEM_CERTIFICATES", tmp_path / "certs")
    monkeypatch.setattr(pki_host.subprocess, "run", fail)
    with pytest.raises(PkiError, match=said):
        HostStore(tmp_path).system_store("creatic", authority.roots())


def test_files_that_are_written_are_never_open_in_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []
    real = os.fchmod

    def fchmod(descriptor: int, mode: int) -> None:
        opened.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        real(descriptor, mode)

    monkeypatch.setattr(os, "fchmod", fchmod)
    write(tmp_path / "x", b"x", 0o644)
    assert opened == [0o600]
    assert (tmp_path / "x").stat().st_gid == os.getgid()


def test_the_folder_of_trust_is_open_to_its_readers(machine: Machine) -> None:
    machine.converge()
    assert stat.S_IMODE(machine.root.stat().st_mode) == 0o755
    machine.root.chmod(0o750)
    machine.inspect()
    assert stat.S_IMODE(machine.root.stat().st_mode) == 0o755
