"""The issuing CA and the root renewed, judged by openssl and by TLS between machines that check every list."""

from __future__ import annotations

import shutil
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.cdg59.creatic.plugins.module_utils.pki import host as pki_host
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import PkiError, Request, load_certificate
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.host import HostStore, Wanted

from creatic.evidence import seal as evidence_seal
from creatic.pki import upkeep
from creatic.pki import x509 as pki_x509
from creatic.pki.authority import Authority
from creatic.pki.keys import Keys, Passphrases
from creatic.pki.registry import Book, Owner
from creatic.pki.renewal import (
    NONE,
    OVERLAP,
    ROTATION,
    SPREAD,
    Machines,
    advance,
    sentences,
    state,
)
from testbed.patience import allowed

from .conftest import CLIENT, SERVER, SETTINGS, SIGNATURE, TSA, followed, issue, openssl
from .test_actions import _ca

Later = Callable[[int], None]
ROLES = ("emettrice", "racine")
ALL = ["un-connecteur", "un-serveur"]


class Machine:
    """One machine's folder, brought to its state as a deployment does."""

    def __init__(self, authority: Authority, root: Path, name: str, request: Request):
        self.authority, self.root, self.name, self.request = authority, root / name, name, request

    def trust(self) -> list[str]:
        """Receive the authorities and the lists, and no certificate."""
        told = self.authority.published()
        store = HostStore(self.root)
        store.trust(told["ca"], told["crl"], told["history"])
        return store.held_authority_ids()

    def deploy(self) -> str:
        """Receive all; returns why the certificate was issued."""
        self.trust()
        store, chain = HostStore(self.root), self.authority.published()["chain"]
        known = self.authority.known_to(self.name).get(self.request.name, {})
        wanted = Wanted(self.request, "", list(known.get("serials", ())), list(known.get("refused_keys", ())))
        found = store.inspect(wanted, chain, 30)
        if found["csr"]:
            store.install(wanted, self.authority.issue(found["csr"], self.request, Owner(self.name)).pem, chain)
        return str(found["reason"])

    def context(self, purpose: ssl.Purpose) -> ssl.SSLContext:
        """What nginx and our clients do: both sides show a chain, each certificate of which is looked for in a list."""
        context = ssl.create_default_context(purpose, cafile=str(self.root / "ca.pem"))
        context.load_verify_locations(cafile=str(self.root / "crl.pem"))
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
        context.verify_flags &= ~ssl.VERIFY_X509_PARTIAL_CHAIN
        context.verify_mode = ssl.CERT_REQUIRED
        current = self.root / self.request.name / "current"
        context.load_cert_chain(current / "fullchain.pem", current / "key.pem")
        return context


def talk(server: Machine, client: Machine) -> str:
    """Have two machines meet over TLS; returns why one refused the other, or an empty string."""
    faults: list[str] = []

    def serve(connection: socket.socket) -> None:
        try:
            with server.context(ssl.Purpose.CLIENT_AUTH).wrap_socket(connection, server_side=True) as tls:
                tls.sendall(b"x")
        except ssl.SSLError as error:
            faults.append(str(error))

    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=serve, args=(theirs,), daemon=True)
    thread.start()
    try:
        context = client.context(ssl.Purpose.SERVER_AUTH)
        with ours, context.wrap_socket(ours, server_hostname="tdt.creatic.test") as tls:
            tls.recv(1)
    except ssl.SSLError as error:
        faults.append(str(error))
    thread.join(allowed(10))
    with suppress(OSError):
        theirs.close()
    return "; ".join(faults)


@pytest.fixture
def site(authority: Authority, tmp_path: Path) -> tuple[Machine, Machine]:
    """A server and a connector, deployed."""
    server = Machine(authority, tmp_path / "etc", "un-serveur", SERVER)
    client = Machine(authority, tmp_path / "etc", "un-connecteur", CLIENT)
    for one in (server, client):
        assert one.deploy() == "absent ou illisible"
    assert talk(server, client) == ""
    return server, client


def go(authority: Authority, role: str, *machines: Machine, excused: tuple[str, ...] = ()) -> tuple[list[str], Any]:
    """What one run of the journey does, for the machines that answer."""
    asked = Machines(ALL, excused=excused)
    changes, found = advance(authority, role, asked)
    if found.phase == SPREAD:
        held = {one.name: one.trust() for one in machines}
        more, found = advance(authority, role, Machines(ALL, held, excused))
        changes += more
    return changes, found


def judged(authority: Authority, tmp_path: Path, pem: str, ok: bool = True) -> str:
    """Have openssl verify a certificate with nothing but what is published today."""
    leaf, published = tmp_path / "feuille.pem", authority.directory / "publie"
    leaf.write_text(pem)
    arguments = ("-x509_strict", "-crl_check_all", "-CAfile", published / "ca.pem", "-CRLfile", published / "crl.pem")
    now = str(int(pki_x509.utc_now().timestamp()))
    return openssl("verify", "-attime", now, *arguments, leaf, ok=ok)


@pytest.mark.parametrize("role", ROLES)
def test_from_the_old_to_the_new_while_all_serve(
    authority: Authority, site: tuple[Machine, Machine], tmp_path: Path, later: Later, role: str
) -> None:
    server, client = site
    old = (server.root / "web" / "current" / "cert.pem").read_text()
    before = authority.published()

    changes, found = go(authority, role, server)
    new = ["racine2", "emettrice2"] if role == "racine" else ["emettrice2"]
    assert changes == [f"autorité « {name} » faite, pas encore en service" for name in new]
    assert (found.phase, found.role, found.lacking) == (SPREAD, role, ["un-connecteur"])
    assert "Ne l'ont pas encore : un-connecteur." in found.lines
    assert authority.published()["chain"] == before["chain"]
    assert [one.deploy() for one in site] == ["", ""], "nothing is renewed before everyone holds the new authority"
    assert talk(server, client) == ""

    changes, found = go(authority, role, client)
    assert changes == ["autorité « emettrice2 » en service : elle signe désormais"]
    assert (found.phase, found.remaining) == (ROTATION, ["un-connecteur : tdt", "un-serveur : web"])
    assert "fab pki.rotation" in found.lines[1]
    assert authority.published()["chain"] != before["chain"]
    assert {row["hote"] for row in authority.to_renew(1)} == {*ALL}
    assert talk(server, client) == "", "what was issued before serves"

    assert server.deploy() == "émis par une autre autorité"
    assert talk(server, client) == "", "one side is rotated"
    assert client.deploy() == "émis par une autre autorité"
    assert talk(server, client) == ""
    assert [one.deploy() for one in site] == ["", ""]
    assert authority.to_renew(1) == []
    judged(authority, tmp_path, old)
    judged(authority, tmp_path, (server.root / "web" / "current" / "cert.pem").read_text())

    found = state(authority)
    assert found.phase == OVERLAP and "tout est renouvelé" in found.lines[0]
    assert go(authority, role) == ([], found), "the same command again changes nothing"
    assert authority.verify() == [] and authority.ensure(SETTINGS) == upkeep.Report()

    later(366)
    authority.ensure(SETTINGS)
    assert state(authority).phase == NONE
    states = {row["nom"]: row["etat"] for row in authority.authorities()}
    assert states["emettrice"] == "retirée" and states["emettrice2"] == "en service"
    assert states["racine"] == ("retirée" if role == "racine" else "en service")
    judged(authority, tmp_path, old, ok=False)
    told_now = authority.published()
    assert (before["root"] in told_now["ca"]) == (role == "emettrice") and before["chain"] not in told_now["ca"]
    assert before["root"] in told_now["root"] and before["chain"] in told_now["history"]
    assert authority.verify() == []
    published = authority.directory / "publie"
    assert not (published / "emettrice.crl").exists() and not (published / "autorites" / "emettrice.pem").exists()
    assert (published / "emettrice2.crl").is_file()


@pytest.mark.parametrize("role", ROLES)
def test_revoked_under_the_old_authority_is_refused_after_the_switch(
    authority: Authority, site: tuple[Machine, Machine], tmp_path: Path, role: str
) -> None:
    server, client = site
    go(authority, role, server, client)
    assert server.deploy() == "émis par une autre autorité"
    authority.revoke("compromission", host="un-connecteur")
    server.trust()
    assert "revoked" in talk(server, client)
    assert "un-connecteur" not in " ".join(state(authority).lines)
    assert client.deploy() == "émis par une autre autorité"
    assert talk(server, client) == ""
    assert authority.verify() == []


def test_a_machine_without_the_list_of_the_new_authority_would_refuse_it(
    authority: Authority, site: tuple[Machine, Machine]
) -> None:
    """Why the first phase is there for an issuing CA, too."""
    server, client = site
    go(authority, "emettrice", server, excused=("un-connecteur",))
    server.deploy()
    assert "unable to get certificate CRL" in talk(server, client)
    client.trust()
    assert talk(server, client) == ""


@pytest.mark.parametrize("role", ROLES)
def test_both_lists_are_signed_again_until_the_old_one_ends(
    authority: Authority, site: tuple[Machine, Machine], later: Later, tmp_path: Path, role: str
) -> None:
    go(authority, role, *site)
    for one in site:
        one.deploy()
    pem = issue(authority, SIGNATURE).pem
    for days in (20, 60, 300):
        later(days)
        assert authority.refresh_crl() and not authority.refresh_crl()
        authority.ensure(SETTINGS)
        assert authority.verify() == []
    judged(authority, tmp_path, pem)
    assert len((authority.directory / "publie" / "crl.pem").read_text().split("BEGIN X509 CRL")) - 1 == (
        4 if role == "racine" else 3
    )


def test_a_certificate_names_the_list_of_its_own_authority(authority: Authority) -> None:
    go(authority, "racine", excused=(*ALL,))
    leaf = openssl("x509", "-noout", "-text", text=issue(authority).pem)
    issuing = openssl("x509", "-noout", "-text", text=authority.published()["chain"])
    assert "http://pki.creatic.test/emettrice2.crl" in leaf and "http://pki.creatic.test/racine2.crl" in issuing
    subjects = {openssl("x509", "-noout", "-subject", text=text) for text in authority.roots().values()}
    assert len(subjects) == 1 and "AC racine Cre@tic essai 2" in subjects.pop()


def test_nothing_jumps_a_phase(authority: Authority, site: tuple[Machine, Machine]) -> None:
    go(authority, "racine", site[0])
    with pytest.raises(PkiError, match=r"renouvellement de l'autorité racine n'est pas fini.*phase diffusion"):
        advance(authority, "emettrice", Machines(ALL))
    go(authority, "racine", site[1])
    with pytest.raises(PkiError, match=r"phase rotation : 2 certificats de .*un-connecteur : tdt, un-serveur : web"):
        advance(authority, "emettrice", Machines(ALL))
    for _ in range(2):
        changes, found = advance(authority, "racine", Machines(ALL))
        assert changes == [] and found.phase == ROTATION
    for one in site:
        one.deploy()
    changes, found = go(authority, "emettrice", *site)
    assert "emettrice3" in changes[0] and found.phase == ROTATION
    for one in site:
        assert one.deploy() == "émis par une autre autorité"
    assert talk(*site) == "" and authority.verify() == []


@pytest.mark.parametrize(
    ("role", "machines", "said"),
    [
        ("autre", Machines(ALL), "autorité « autre » inconnue"),
        ("emettrice", Machines(ALL, excused=["inconnue"]), "machine inconnue, .* : inconnue"),
    ],
)
def test_what_is_asked_wrongly_changes_nothing(authority: Authority, role: str, machines: Machines, said: str) -> None:
    with pytest.raises(PkiError, match=said):
        advance(authority, role, machines)
    assert state(authority).phase == NONE and len(authority.authorities()) == 2


def test_check_mode_changes_nothing(authority: Authority, site: tuple[Machine, Machine]) -> None:
    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in authority.directory.parent.rglob("*") if path.is_file()}

    before = files()
    assert advance(authority, "racine", Machines(ALL), check=True)[0] == [
        "autorité « racine2 » faite, pas encore en service",
        "autorité « emettrice2 » faite, pas encore en service",
    ]
    assert files() == before
    go(authority, "racine", site[0])
    before = files()
    changes, found = advance(authority, "racine", Machines(ALL), check=True)
    assert changes == [] and found.lacking == ["un-connecteur"] and files() == before


def test_a_machine_that_holds_half_of_it_lacks(authority: Authority, site: tuple[Machine, Machine]) -> None:
    server, client = site
    _, found = go(authority, "racine", server)
    client.trust()
    lists = client.root / "crl.pem"
    lists.write_text(lists.read_text().rpartition("-----BEGIN")[0])
    assert (
        advance(authority, "racine", Machines(ALL, {client.name: HostStore(client.root).held_authority_ids()}))[1].phase
        == SPREAD
    )
    assert advance(authority, "racine", Machines(ALL, {client.name: found.awaited}))[1].phase == ROTATION
    shutil.rmtree(client.root)
    assert HostStore(client.root).held_authority_ids() == []


def test_each_root_has_its_passphrase_and_may_be_away(authority: Authority, tmp_path: Path) -> None:
    asked = Authority(authority.directory, Passphrases(authority.directory))
    with pytest.raises(PkiError, match=r"« racine2 » absente : donnez-la par la variable CREATIC_PKI_RACINE2"):
        advance(asked, "racine", Machines(ALL))
    assert state(authority).phase == NONE and not (authority.directory / "racine2").exists()

    shutil.move(authority.directory / "racine", tmp_path / "coffre")
    with pytest.raises(PkiError, match="branchez son support"):
        advance(authority, "emettrice", Machines(ALL))
    assert state(authority).phase == NONE and len(authority.authorities()) == 2
    advance(authority, "racine", Machines([]))  # the old root has nothing to sign
    keys = [authority.directory.parent / "secrets" / f"pki_racine{number}" for number in ("", "2")]
    assert keys[0].read_text() != keys[1].read_text()
    assert not (authority.directory.parent / "secrets" / "pki_emettrice2").exists()
    shutil.move(authority.directory / "racine2", tmp_path / "coffre2")
    assert issue(authority).serial and authority.verify() == []


def test_a_compromise_during_the_overlap_takes_them_all(authority: Authority, tmp_path: Path) -> None:
    old = issue(authority)
    go(authority, "racine", excused=(*ALL,))
    shutil.move(authority.directory / "racine", tmp_path / "coffre")
    with pytest.raises(PkiError, match=r"remettez .*/racine en place"):
        authority.ensure(SETTINGS, replace_issuing=True)
    shutil.move(tmp_path / "coffre", authority.directory / "racine")
    new = issue(authority, SERVER)
    assert authority.ensure(SETTINGS, replace_issuing=True).changes == ["autorité émettrice révoquée et remplacée"]
    for one in (old, new):
        judged(authority, tmp_path, one.pem, ok=False)
    judged(authority, tmp_path, issue(authority).pem)
    assert authority.verify() == [] and authority.ensure(SETTINGS) == upkeep.Report()
    assert state(authority).phase == NONE


def _die(*_: object, **_named: object) -> NoReturn:
    raise KeyboardInterrupt


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    ("place", "step"), [(Keys, "make"), (Book, "record"), (Book, "sign_crl"), (Authority, "_publish_files")]
)
def test_killed_anywhere_goes_on(
    authority: Authority,
    site: tuple[Machine, Machine],
    monkeypatch: pytest.MonkeyPatch,
    place: type,
    step: str,
    role: str,
) -> None:
    then_die = followed(getattr(place, step), _die)
    with monkeypatch.context() as patch:
        patch.setattr(place, step, then_die)
        with pytest.raises(KeyboardInterrupt):
            advance(authority, role, Machines(ALL))
    assert authority.verify() == [] and talk(*site) == ""
    authority.ensure(SETTINGS)
    assert go(authority, role, *site)[1].phase == ROTATION
    assert len([row for row in authority.authorities() if row["etat"] == "en service"]) == 2
    with monkeypatch.context() as patch:
        patch.setattr(Book, "record", then_die if step == "record" else _die)
        with pytest.raises(KeyboardInterrupt):
            site[0].deploy()
    for one in site:
        one.deploy()
    assert state(authority).phase == OVERLAP and talk(*site) == "" and authority.verify() == []


@pytest.mark.parametrize("role", ROLES)
def test_what_was_sealed_before_verifies_ever_after(
    authority: Authority, tmp_path: Path, later: Later, role: str
) -> None:
    def sealed(name: str) -> Path:
        for request in (SIGNATURE, TSA):
            Machine(authority, tmp_path, "localhost", request).deploy()
        folder = tmp_path / name
        folder.mkdir()
        (folder / "fait.txt").write_text("fait")
        signature, tsa = (
            evidence_seal.Credential(*(tmp_path / "localhost" / one.name / "current" / file for file in files))
            for one, files in ((request, ("cert.pem", "key.pem")) for request in (SIGNATURE, TSA))
        )
        root = authority.directory / "publie" / "racine.pem"
        keys = evidence_seal.SealKeys(signature, tsa, signature.certificate.with_name("chain.pem"), root)
        evidence_seal.seal(folder, keys)
        return folder

    folders = [sealed("avant")]
    go(authority, role, excused=(*ALL,))
    folders.append(sealed("apres"))
    later(400)
    authority.ensure(SETTINGS)
    assert {row["nom"]: row["etat"] for row in authority.authorities()}["emettrice"] == "retirée"
    for folder in folders:
        assert evidence_seal.verify(folder, authority.directory / "publie" / "racine.pem").faults == []


def test_the_end_of_the_authorities_is_told_in_time(authority: Authority, later: Later) -> None:
    away = authority.directory.parent / "racine"
    shutil.move(authority.directory / "racine", away)
    life = pki_x509.ISSUING_DAYS
    for left, limit in ((366, 0), (364, 365), (182, 183), (89, 90)):
        later(life - left)
        said = [line for line in sentences(authority) if "expire le" in line]
        assert len(said) == bool(limit), left
        if limit:
            assert f"moins de {limit} jours" in said[0] and "fab pki.renouveler --autorite emettrice" in said[0]
            assert said[0] in authority.ensure(SETTINGS).warnings
        assert any("autorité émettrice « emettrice »" in one for one in authority.verify()) == (limit == 90)
    shutil.move(away, authority.directory / "racine")
    later(pki_x509.ROOT_DAYS - 100)
    authority.ensure(SETTINGS)
    for _ in range(2):  # an issuing CA that cannot outlast its root is not made again at each run
        report = authority.ensure(SETTINGS)
        assert report.changes == []
        assert any("--autorite racine" in warning for warning in report.warnings)
    with pytest.raises(PkiError, match=r"trop tôt pour en porter une nouvelle : fab pki.renouveler --autorite racine"):
        advance(authority, "emettrice", Machines(ALL))
    assert go(authority, "racine", excused=(*ALL,))[1].phase in (NONE, OVERLAP)
    assert sentences(authority) == [] or OVERLAP in sentences(authority)[0]
    assert load_certificate(authority.published()["chain"]).not_valid_after_utc > pki_x509.utc_now()


def test_the_machine_s_own_store_follows(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: Later
) -> None:
    store, links = tmp_path / "ca", tmp_path / "certs"
    links.mkdir()
    calls: list[list[str]] = []

    def update(command: list[str], **_: object) -> None:
        calls.append(command)
        for path in store.glob("*.crt"):
            (links / f"{path.stem}.pem").write_text("x")
        (links / "ca-certificates.crt").write_text("".join(path.read_text() for path in store.glob("*.crt")))

    monkeypatch.setattr(pki_host, "SYSTEM_STORE", store)
    monkeypatch.setattr(pki_host, "SYSTEM_CERTIFICATES", links)
    monkeypatch.setattr(pki_host.subprocess, "run", update)

    def bring(check: bool = False) -> list[str]:
        host = HostStore(tmp_path, check)
        host.system_store("creatic-pki", authority.roots())
        return [change.path for change in host.changes]

    issue(authority)
    store.mkdir()
    (store / "creatic-pki-autre.crt").write_text("à un autre")
    bring()
    go(authority, "racine", excused=(*ALL,))
    assert bring(check=True) and len(calls) == 1
    bring()
    assert sorted(path.name for path in store.glob("creatic-pki*")) == [
        "creatic-pki-autre.crt",
        "creatic-pki-racine2.crt",
        "creatic-pki.crt",
    ]
    assert bring() == []
    later(400)
    assert len(bring(check=True)) == 2 and (store / "creatic-pki.crt").exists()
    with monkeypatch.context() as cut, pytest.raises(KeyboardInterrupt):
        cut.setattr(pki_host.subprocess, "run", _die)
        bring()
    bring()  # the system believed the old root still
    assert sorted(path.name for path in store.glob("creatic-pki*")) == [
        "creatic-pki-autre.crt",
        "creatic-pki-racine2.crt",
    ]
    assert not (links / "creatic-pki.pem").exists() and calls[-1][-1] == "--fresh"
    assert bring() == [] and len(calls) == 3


def test_through_ansible(directory: Path, tmp_path: Path) -> None:
    machines: dict[str, Any] = {"authority": "racine", "machines": ["a", "b"]}
    local: dict[str, Any] = {
        "certificates": [{key: value for key, value in CLIENT.to_dict().items() if key not in ("dns", "key_type")}],
        "certificates_dir": str(tmp_path / "certificats"),
    }
    _ca(directory, **local)
    assert (
        _ca(directory, check=True, renew=machines)["changes"][0] == "autorité « racine2 » faite, pas encore en service"
    )
    first = _ca(directory, renew=machines)
    assert first["renewal"]["lacking"] == ["a", "b"] and first["changed"]
    again = _ca(directory, renew=machines | {"holders": {"a": first["renewal"]["awaited"]}})
    assert again["renewal"]["lacking"] == ["b"] and not again["changed"]
    last = _ca(directory, renew=machines | {"except": ["b"]})
    assert last["renewal"]["phase"] == ROTATION and [row["nom"] for row in last["expiring"]] == ["tdt"]
    assert _ca(directory, **local)["changed"]
    assert _ca(directory, renew=machines)["renewal"]["phase"] == OVERLAP
    with pytest.raises(AnsibleActionFail, match="machine inconnue"):
        _ca(directory, renew=machines | {"except": ["c"]})
