"""Elimination: two persons, after the date, provably; every other way is refused; a crash anywhere is taken up."""

from __future__ import annotations

import base64
import dataclasses
import functools
import hashlib
import io
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[3]))

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from sae import elimination, inventory
from sae.elimination import Agent, Eliminator, Proof, Refused, Requests, Trust, verify_certificate
from sae.journal import Journal, timestamp
from sae.signature import sign
from sae.store import FileStore, Unavailable

from testbed.authority import Authority

ATTESTS = elimination.ATTESTS.replace(" ", "_")
PAST, FUTURE = int(time.time()) - 86400, int(time.time()) + 86400


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The groupement's, with its agents."""
    made = Authority(tmp_path_factory.mktemp("pki") / "groupement", "du groupement")
    for name in ("Alice Martin", "Bruno Petit", "Chloé Roux", "Alice secours"):
        made.issue(name, ExtendedKeyUsageOID.CLIENT_AUTH)
    made.issue(elimination.ATTESTS, ExtendedKeyUsageOID.EMAIL_PROTECTION)
    made.issue("Horodatage")
    return made


def subject(name: str) -> str:
    return f"CN={name},O=Groupement d'essai,C=FR"


class Room:
    """An archive, its agents and their desks."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.folder, self.authority = folder, authority
        self.journal = Journal(folder / "journal.sqlite")
        self.store: FileStore = FileStore(folder / "stockage")
        self.book = Requests(folder / "eliminations.sqlite")
        self.forgotten: list[str] = []
        self.crl: Path | None = None
        self.ahead = 0.0
        self.agents = [
            Agent("Alice Martin", subject("Alice Martin")),
            Agent("Bruno Petit", subject("Bruno Petit"), frozenset({"gondecourt"})),
            Agent("Alice Martin", subject("Alice secours")),
        ]

    def eliminator(self) -> Eliminator:
        return Eliminator(
            self.journal,
            self.store,
            self.book,
            Trust(self.authority.root, self.crl, self.agents),
            Proof(self.authority.folder / ATTESTS, timestamp.local_unit(self.authority.folder / "Horodatage")),
            clock=lambda: time.time() + self.ahead,
            storage_clock=time.time,
            forget=self.forgotten.append,
            accounts=("gondecourt", "seclin"),
        )

    def keep(self, aip: str, until: int = PAST, action: str = "Destroy", account: str = "gondecourt") -> str:
        content = f"contenu de {aip}".encode()
        sha512 = hashlib.sha512(content).hexdigest()
        self.store.put(
            account, "aip", f"{aip}.tar", io.BytesIO(content), size=len(content), sha512=sha512, retain_until=until
        )
        detail = {
            "aip_sha512": sha512,
            "octets": len(content),
            "conserve_jusqua": until,
            "sort_final": action,
            "identifiant": f"acte {aip}",
        }
        self.journal.append("versement.accepte", account=account, aip=aip, outcome="succes", detail=detail)
        return aip

    def sign(self, document: bytes, name: str, authority: Authority | None = None) -> bytes:
        """What an agent does at the desk, as the guide says."""
        folder = (authority or self.authority).folder / name.replace(" ", "_")
        (self.folder / "document").write_bytes(document)
        command = (
            f"openssl cms -sign -binary -outform DER -signer {folder}/cert.pem -inkey {folder}/key.pem "
            f"-certfile {folder}/chain.pem -in {self.folder}/document -out {self.folder}/signature"
        )
        subprocess.run(command.split(), check=True)
        return (self.folder / "signature").read_bytes()

    def asked(self, *aips: str) -> tuple[bytes, bytes]:
        """A request by Alice, deposited; gives it and the approval to sign."""
        eliminator = self.eliminator()
        text = eliminator.draft("gondecourt", aips, "AD59 2026-123", "DUA échue")
        return text, eliminator.deposit(text, self.sign(text, "Alice Martin"))

    def events(self) -> list[tuple[str, str | None]]:
        return [(one.event, one.aip) for one in self.journal.events() if one.event.startswith("elimination.")]


@pytest.fixture
def room(tmp_path: Path, authority: Authority) -> Iterator[Room]:
    made = Room(tmp_path, authority)
    yield made
    made.journal.close()
    made.book.close()


def test_two_persons_eliminate_and_a_certificate_proves_it(room: Room) -> None:
    gone, kept = [room.keep("aip-1"), room.keep("aip-2")], room.keep("aip-3")
    eliminator = room.eliminator()
    assert [one.aip for one in eliminator.due("gondecourt")] == [*gone, kept]
    _, approval = room.asked(*gone)
    assert [one.aip for one in eliminator.due("gondecourt")] == [kept]
    identifier = eliminator.approve(approval, room.sign(approval, "Bruno Petit"))
    assert room.store.head("gondecourt", "aip", "aip-1.tar")  # approved is not done
    assert eliminator.execute(identifier) == 2
    assert [room.store.head("gondecourt", "aip", f"{aip}.tar") for aip in gone] == [None, None]
    assert room.store.head("gondecourt", "aip", f"{kept}.tar")
    assert room.forgotten == gone
    assert list(inventory.of_account(room.journal, "gondecourt")) == [kept]
    assert room.events() == [
        ("elimination.demande", None),
        ("elimination.approbation", None),
        ("elimination.debut", "aip-1"),
        ("elimination.faite", "aip-1"),
        ("elimination.debut", "aip-2"),
        ("elimination.faite", "aip-2"),
        ("elimination.attestation", None),
    ]
    text, signature, token = certificate(room, identifier)
    found = verify_certificate(text, signature, token, room.authority.root)
    assert (found["demandeur"], found["approbateur"], found["visa"]) == (
        "Alice Martin",
        "Bruno Petit",
        "AD59 2026-123",
    )
    assert [one["aip"] for one in found["archives"]] == gone
    assert found["archives"][0]["sha512"] == hashlib.sha512(b"contenu de aip-1").hexdigest()
    seq = found["archives"][0]["journal"]
    assert next(room.journal.events(seq, seq)).event == "elimination.faite"


def certificate(room: Room, identifier: str) -> tuple[bytes, bytes, bytes]:
    def read(suffix: str) -> bytes:
        with room.store.get("sae", "eliminations", f"attestation-{identifier}.{suffix}") as stream:
            return stream.read()

    return read("json"), read("json.p7s"), read("json.tsr")


def test_a_certificate_that_was_changed_proves_nothing(room: Room) -> None:
    room.keep("aip-1")
    _, approval = room.asked("aip-1")
    identifier = room.eliminator().approve(approval, room.sign(approval, "Bruno Petit"))
    room.eliminator().execute(identifier)
    text, signature, token = certificate(room, identifier)
    root = room.authority.root
    with pytest.raises(Refused, match="modifié"):
        verify_certificate(text.replace(b"AD59", b"AD62"), signature, token, root)
    with pytest.raises(Refused, match="autre chose"):
        verify_certificate(text, signature + b"\x00", token, root)
    # The archive alone cannot make one: both agents' signatures are inside.
    document = json.loads(text)
    document["approbation_signee"]["signature"] = document["demande_signee"]["signature"]
    forged = json.dumps(document).encode()
    resigned = sign(forged, room.authority.folder / ATTESTS)
    stamped = timestamp.local_unit(room.authority.folder / "Horodatage")(resigned)
    with pytest.raises(Refused, match="ne porte pas sur ce document"):
        verify_certificate(forged, resigned, stamped, root)
    document["approbation_signee"]["signature"] = base64.b64encode(
        room.sign(document["approbation_signee"]["texte"].encode(), "Alice Martin")
    ).decode()
    forged = json.dumps(document).encode()
    resigned = sign(forged, room.authority.folder / ATTESTS)
    stamped = timestamp.local_unit(room.authority.folder / "Horodatage")(resigned)
    with pytest.raises(Refused, match="une seule personne"):
        verify_certificate(forged, resigned, stamped, root)


ORG, UNIT, NAME = NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME, NameOID.COMMON_NAME
GROUP, SIGNING = "Groupement d'essai", ExtendedKeyUsageOID.EMAIL_PROTECTION
OTHERS: dict[str, tuple[list[list[tuple[ObjectIdentifier, str]]], ObjectIdentifier, int]] = {
    "person": ([[(ORG, GROUP)], [(NAME, "Alice Martin")]], SIGNING, 365),
    "case": ([[(ORG, GROUP)], [(NAME, "attestations des archives")]], SIGNING, 365),
    "space": ([[(ORG, GROUP)], [(NAME, elimination.ATTESTS + " ")]], SIGNING, 365),
    "longer": ([[(ORG, GROUP)], [(NAME, elimination.ATTESTS + " de Seclin")]], SIGNING, 365),
    "in O": ([[(ORG, elimination.ATTESTS)], [(NAME, "Poste de Seclin")]], SIGNING, 365),
    "in OU": ([[(ORG, GROUP)], [(UNIT, elimination.ATTESTS)], [(NAME, "Poste de Seclin")]], SIGNING, 365),
    "written in CN": ([[(NAME, f"{elimination.ATTESTS},O={GROUP}")]], SIGNING, 365),
    "two CN": ([[(ORG, GROUP)], [(NAME, "Seclin")], [(NAME, elimination.ATTESTS)]], SIGNING, 365),
    "one RDN of two": ([[(ORG, GROUP)], [(NAME, elimination.ATTESTS), (UNIT, "Seclin")]], SIGNING, 365),
    "of a commune": ([[(ORG, "Commune de Seclin")], [(NAME, elimination.ATTESTS)]], SIGNING, 365),
    "of a unit": ([[(ORG, GROUP)], [(UNIT, "0002 215905609")], [(NAME, elimination.ATTESTS)]], SIGNING, 365),
    "client": ([[(ORG, GROUP)], [(NAME, elimination.ATTESTS)]], ExtendedKeyUsageOID.CLIENT_AUTH, 365),
    "server": ([[(ORG, GROUP)], [(NAME, elimination.ATTESTS)]], ExtendedKeyUsageOID.SERVER_AUTH, 365),
    "expired": ([[(ORG, GROUP)], [(NAME, elimination.ATTESTS)]], SIGNING, -1),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_no_other_certificate_of_the_authority_attests(room: Room, kind: str) -> None:
    parts, usage, days = OTHERS[kind]
    named = [x509.RelativeDistinguishedName([x509.NameAttribute(*one) for one in rdn]) for rdn in parts]
    country = x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.COUNTRY_NAME, "FR")])
    folder = room.authority.issue(f"autre {kind}", usage, days, x509.Name([country, *named]))
    room.keep("aip-1")
    _, approval = room.asked("aip-1")
    eliminator = room.eliminator()
    identifier = eliminator.approve(approval, room.sign(approval, "Bruno Petit"))
    good, eliminator.proof = eliminator.proof, dataclasses.replace(eliminator.proof, certificate=folder)
    with pytest.raises(Refused, match="ne peut pas attester"):
        eliminator.execute(identifier)
    assert room.store.head("gondecourt", "aip", "aip-1.tar")  # what cannot be attested is not done
    eliminator.proof = good
    eliminator.execute(identifier)
    text = certificate(room, identifier)[0]
    signature = sign(text, folder)
    token = timestamp.local_unit(room.authority.folder / "Horodatage")(signature)
    with pytest.raises(Refused, match="expiré" if kind == "expired" else "n'est pas fait pour|et non le certificat"):
        verify_certificate(text, signature, token, room.authority.root)


def test_a_revoked_certificate_attests_nothing_more(room: Room) -> None:
    room.keep("aip-1")
    _, approval = room.asked("aip-1")
    eliminator = room.eliminator()
    identifier = eliminator.approve(approval, room.sign(approval, "Bruno Petit"))
    eliminator.trust = dataclasses.replace(eliminator.trust, crl=room.authority.revoke(room.authority.folder / ATTESTS))
    with pytest.raises(Refused, match="révoqué"):
        eliminator.execute(identifier)
    assert room.store.head("gondecourt", "aip", "aip-1.tar")


def test_what_may_not_be_eliminated_is_refused_with_every_reason(room: Room) -> None:
    room.keep("tot", FUTURE)
    room.keep("garder", action="Keep")
    room.keep("autre", account="seclin")
    room.keep("bonne")
    with pytest.raises(Refused) as refused:
        room.eliminator().draft("gondecourt", ["tot", "garder", "autre", "jamais-vue", "bonne"], "AD59", "")
    told = str(refused.value)
    assert f"tot : à conserver jusqu'au {time.strftime('%d/%m/%Y', time.gmtime(FUTURE))}" in told
    assert "garder : son sort final est la conservation" in told
    assert "autre : aucune archive du compte « gondecourt »" in told
    assert "jamais-vue : aucune archive" in told
    assert "bonne" not in told
    for account, aips, visa, reason in (
        ("gondecourt", ["bonne"], " ", "visa"),
        ("gondecourt", [], "AD59", "aucune archive"),
        ("lille", ["bonne"], "AD59", "compte « lille » inconnu"),
    ):
        with pytest.raises(Refused, match=reason):
            room.eliminator().draft(account, aips, visa, "")


def test_a_clock_in_advance_does_not_bring_the_date_nearer(room: Room) -> None:
    room.keep("tot", FUTURE)
    room.ahead = 10 * 86400
    with pytest.raises(Refused, match="à conserver jusqu'au"):
        room.eliminator().draft("gondecourt", ["tot"], "AD59", "")


def test_the_storage_has_the_last_word_on_the_date(room: Room) -> None:
    """The journal's date was forged: the storage keeps its own."""
    room.keep("aip-1", FUTURE)
    detail = {"aip_sha512": "0" * 128, "octets": 1, "conserve_jusqua": PAST, "sort_final": "Destroy"}
    room.journal.append("versement.accepte", account="gondecourt", aip="aip-1", outcome="succes", detail=detail)
    _, approval = room.asked("aip-1")
    identifier = room.eliminator().approve(approval, room.sign(approval, "Bruno Petit"))
    for _ in range(2):
        with pytest.raises(Refused, match="le stockage refuse"):
            room.eliminator().execute(identifier)
    assert room.store.head("gondecourt", "aip", "aip-1.tar")
    assert [name for name, _ in room.events()].count("elimination.refus") == 1


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ("Alice Martin", "une autre personne doit l'approuver"),
        ("Alice secours", "une autre personne doit l'approuver"),  # the same person with another certificate
        ("Chloé Roux", "n'est pas un agent habilité"),
    ],
)
def test_a_second_person_is_needed(room: Room, who: str, said: str) -> None:
    room.keep("aip-1")
    _, approval = room.asked("aip-1")
    with pytest.raises(Refused, match=said):
        room.eliminator().approve(approval, room.sign(approval, who))
    identifier = json.loads(approval)["demande"]
    with pytest.raises(Refused, match="n'est pas approuvée"):
        room.eliminator().execute(identifier)
    assert room.events()[-1] == ("elimination.refus", None)
    assert room.store.head("gondecourt", "aip", "aip-1.tar")


def test_somebody_unknown_does_not_ask(room: Room, tmp_path: Path) -> None:
    room.keep("aip-1")
    eliminator = room.eliminator()
    text = eliminator.draft("gondecourt", ["aip-1"], "AD59", "")
    with pytest.raises(Refused, match="pas un agent habilité"):
        eliminator.deposit(text, room.sign(text, "Chloé Roux"))
    stranger = Authority(tmp_path / "inconnue", "inconnue")
    stranger.issue("Alice Martin", ExtendedKeyUsageOID.CLIENT_AUTH)
    with pytest.raises(Refused, match="autorité de confiance"):
        eliminator.deposit(text, room.sign(text, "Alice Martin", stranger))
    with pytest.raises(Refused, match="ce n'est pas une signature CMS"):
        eliminator.deposit(text, b"signature")
    with pytest.raises(Refused, match="a été modifié"):
        eliminator.deposit(text.replace(b"AD59", b"AD62"), room.sign(text, "Alice Martin"))
    room.agents[0] = Agent("Alice Martin", subject("Alice Martin"), frozenset({"seclin"}))
    with pytest.raises(Refused, match="pas habilité pour le compte"):
        room.eliminator().deposit(text, room.sign(text, "Alice Martin"))
    assert room.book.requests() == []


def test_a_revoked_agent_does_not_sign(room: Room) -> None:
    room.keep("aip-1")
    room.crl = room.authority.revoke()
    _, approval = room.asked("aip-1")
    room.crl = room.authority.revoke(room.authority.folder / "Bruno_Petit")
    with pytest.raises(Refused, match="révoqué"):
        room.eliminator().approve(approval, room.sign(approval, "Bruno Petit"))
    room.crl = room.authority.revoke(room.authority.folder / "Alice_Martin")
    with pytest.raises(Refused, match="révoqué"):
        room.eliminator().approve(approval, room.sign(approval, "Bruno Petit"))


def forge(text: bytes, **changes: Any) -> bytes:
    return json.dumps(json.loads(text) | changes).encode()


def test_a_request_that_was_written_by_hand_is_checked_all_the_same(room: Room) -> None:
    room.keep("bonne")
    room.keep("garder", action="Keep")
    eliminator = room.eliminator()
    text = eliminator.draft("gondecourt", ["bonne"], "AD59", "")
    good = json.loads(text)["archives"]
    for changes, said in (
        ({"archives": [good[0] | {"aip": "garder"}]}, "conservation"),
        ({"archives": [good[0] | {"sha512": "0"}]}, "n'est pas celle"),
        ({"archives": [good[0], good[0]]}, "deux fois"),
        ({"archives": "toutes"}, "liste d'archives"),
        ({"archives": []}, "aucune archive"),
        ({"demande": "../../x"}, "n'est pas celle"),
        ({"visa": ""}, "n'est pas celle"),
        ({"compte": "lille"}, "inconnu"),
        ({"document": "autre"}, "ce n'est pas une demande"),
    ):
        forged = forge(text, **changes)
        with pytest.raises(Refused, match=said):
            eliminator.deposit(forged, room.sign(forged, "Alice Martin"))
    with pytest.raises(Refused, match="ce n'est pas une demande"):
        eliminator.deposit(b"{", b"")
    assert room.book.requests() == []


def test_an_approval_of_something_else_is_refused(room: Room) -> None:
    room.keep("aip-1")
    _, approval = room.asked("aip-1")
    forged = forge(approval, archives=5)
    with pytest.raises(Refused, match="n'est pas celle de cette demande"):
        room.eliminator().approve(forged, room.sign(forged, "Bruno Petit"))
    unknown = forge(approval, demande="x")
    with pytest.raises(Refused, match="aucune demande"):
        room.eliminator().approve(unknown, room.sign(unknown, "Bruno Petit"))


def test_a_request_grows_old_and_may_be_dropped(room: Room) -> None:
    room.keep("aip-1")
    text, approval = room.asked("aip-1")
    room.ahead = 91 * 86400
    with pytest.raises(Refused, match="plus de 90 jours"):
        room.eliminator().approve(approval, room.sign(approval, "Bruno Petit"))
    with pytest.raises(Refused, match="déjà dans la demande"):
        room.eliminator().draft("gondecourt", ["aip-1"], "AD59", "")
    room.eliminator().drop(json.loads(text)["demande"], "trop vieille")
    with pytest.raises(Refused, match="abandonnée"):
        room.eliminator().approve(approval, room.sign(approval, "Bruno Petit"))
    room.ahead = 0
    room.asked("aip-1")


def test_depositing_and_approving_again_changes_nothing(room: Room) -> None:
    room.keep("aip-1")
    text, approval = room.asked("aip-1")
    eliminator = room.eliminator()
    assert eliminator.deposit(text, room.sign(text, "Alice Martin")) == approval
    signature = room.sign(approval, "Bruno Petit")
    identifier = eliminator.approve(approval, signature)
    assert eliminator.approve(approval, signature) == identifier
    assert eliminator.execute(identifier) == eliminator.execute(identifier) == 1
    names = [name for name, _ in room.events()]
    assert len(names) == len(set(names)) == 5


class Cut(Exception):
    """The power goes."""


class Switch:
    """Lets so many half-calls pass, then cuts the power; each call may be cut before it is done, or after."""

    def __init__(self, left: int) -> None:
        self.left = left

    def half(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Cut

    def on(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            self.half()
            result = call(*arguments, **options)
            self.half()
            return result

        return wrapped


def test_a_cut_at_any_step_is_taken_up(tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call that writes is cut before it is done, then after; what follows is done again from the deposit."""
    # The same signatures are looked at again and again: openssl judges each of them once.
    monkeypatch.setattr(elimination, "verify", functools.cache(elimination.verify))
    text = first = approval = second = b""

    def whole(room: Room) -> None:
        nonlocal approval, second
        eliminator = room.eliminator()
        approval = eliminator.deposit(text, first)
        second = second or room.sign(approval, "Bruno Petit")
        eliminator.execute(eliminator.approve(approval, second))

    cut, step = True, 0
    while cut:
        step += 1
        (tmp_path / str(step)).mkdir()
        room = Room(tmp_path / str(step), authority)
        for aip in ("aip-1", "aip-2"):
            room.keep(aip)
        text = text or room.eliminator().draft("gondecourt", ["aip-1", "aip-2"], "AD59", "")
        first = first or room.sign(text, "Alice Martin")
        switch = Switch(step)
        with monkeypatch.context() as patch:
            for target, name in (
                (room.journal, "append"), (room.store, "delete"), (room.store, "put"), (room.book, "transaction")
            ):  # fmt: skip
                patch.setattr(target, name, switch.on(getattr(target, name)))
            try:
                whole(room)
                cut = False
            except Cut:
                pass
        whole(room)
        names = sorted(name for name, _ in room.events())
        once = ["elimination.demande", "elimination.approbation", "elimination.attestation"]
        assert names == sorted(once + ["elimination.debut", "elimination.faite"] * 2), step
        verify_certificate(*certificate(room, json.loads(text)["demande"]), authority.root)
        assert list(room.store.names("gondecourt", "aip")) == []
    assert step > 25


def test_the_storage_down_is_not_a_success(room: Room) -> None:
    class Down(FileStore):
        def delete(self, account: str, container: str, name: str) -> None:
            raise Unavailable("le stockage ne répond pas")

    room.keep("aip-1")
    _, approval = room.asked("aip-1")
    room.store = Down(room.folder / "stockage")
    identifier = room.eliminator().approve(approval, room.sign(approval, "Bruno Petit"))
    with pytest.raises(Unavailable):
        room.eliminator().execute(identifier)
    room.store = FileStore(room.folder / "stockage")
    assert room.eliminator().resume() == [identifier]
    assert room.eliminator().execute(identifier) == 1
    assert room.eliminator().resume() == []
