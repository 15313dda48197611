"""Elimination: two persons, after the date, provably; every other way is refused; a crash anywhere is taken up."""

from __future__ import annotations

import base64
import dataclasses
import functools
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[4]))

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from sae import elimination, inventory
from sae.config import Account
from sae.elimination import Agent, Eliminator, OperationRefusedError, Requests, Trust, verify_certificate
from sae.journal import Journal, timestamp
from sae.signature import sign, verify
from sae.store import FileStore, StoreUnavailableError

from apps.sae.tests.proof.commune import (
    ACCOUNTS,
    REFERENCE,
    VISA,
    Maire,
    assembled,
    by_maire,
    groupement,
    keep,
    proof,
    subject,
)
from testbed.authority import Authority

ATTESTS = elimination.ATTESTS.replace(" ", "_")
PAST, FUTURE = int(time.time()) - 86400, int(time.time()) + 86400


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The groupement's, with its agents."""
    return groupement(tmp_path_factory.mktemp("pki"), "Alice Martin", "Bruno Petit", "Chloé Roux", "Alice secours")


class Refusing(FileStore):
    """A storage that does not answer to who deletes."""

    def delete(self, account: str, container: str, name: str) -> None:
        raise StoreUnavailableError("le stockage ne répond pas")


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
            proof(self.authority),
            Maire(),
            clock=lambda: time.time() + self.ahead,
            storage_clock=time.time,
            forget=self.forgotten.append,
            accounts=ACCOUNTS,
        )

    def keep(self, aip: str, until: int = PAST, action: str = "Destroy", account: str = "gondecourt") -> str:
        content = f"contenu de {aip}".encode()
        return keep(self.journal, self.store, aip, content, until, action, account)

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
        text = assembled(eliminator, aips, "DUA échue")
        return text, eliminator.deposit(text, self.sign(text, "Alice Martin"))

    def events(self) -> list[tuple[str, str | None]]:
        return [(one.event, one.aip) for one in self.journal.events() if one.event.startswith("elimination.")]


@pytest.fixture
def room(tmp_path: Path, authority: Authority) -> Iterator[Room]:
    made = Room(tmp_path, authority)
    with closing(made.journal), closing(made.book):
        yield made


def test_an_original_does_not_go_without_its_copy_in_another_format(room: Room) -> None:
    """What it says would still be here, told eliminated."""
    original, copy = room.keep("aip-1"), room.keep("aip-2")
    room.journal.note("conversion.faite", "gondecourt", "succes", {"copie": copy}, original)
    with pytest.raises(
        OperationRefusedError, match=r"aip-1 : sa copie en PDF/A aip-2 resterait ; éliminez-les ensemble"
    ):
        room.asked(original)
    _, approval = room.asked(original, copy)
    eliminator = room.eliminator()
    assert eliminator.execute(eliminator.approve(approval, room.sign(approval, "Bruno Petit"))) == 2
    alone = room.keep("aip-3")
    room.journal.note("conversion.faite", "gondecourt", "succes", {"copie": copy}, alone)
    assert room.asked(alone), "its copy is gone already"


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
    assert (found["signataire"], found["visa_sha512"]) == ("Claire Dubois", hashlib.sha512(VISA).hexdigest())
    assert "serveur de sauvegarde" in found["copies"]
    assert found["archives"][0]["sha512"] == hashlib.sha512(b"contenu de aip-1").hexdigest()
    seq = found["archives"][0]["journal"]
    assert next(room.journal.events(seq, seq)).event == "elimination.faite"


def test_a_visa_for_another_list_permits_nothing(room: Room) -> None:
    for aip in "ab":
        room.keep(aip)
    eliminator = room.eliminator()
    listed, pdf = eliminator.draft("gondecourt", ["a"], "")
    other, other_pdf = eliminator.draft("gondecourt", ["b"], "")
    vised = by_maire(by_maire(pdf), "le directeur")
    for signed, visa, reference, quoted, said in (
        (by_maire(pdf), VISA, REFERENCE, other["liste"], f"donné pour la liste {other['liste']}, et non pour"),
        (by_maire(pdf), vised, REFERENCE, other["liste"], "et non pour"),  # the bordereau, said of another one
        (by_maire(pdf), pdf, REFERENCE, listed["liste"], "rien du directeur"),
        (by_maire(pdf), by_maire(pdf), REFERENCE, listed["liste"], "rien du directeur"),
        (by_maire(pdf), VISA, REFERENCE, "", f"celle de ce bordereau est {listed['liste']}"),
        (by_maire(pdf), by_maire(other_pdf), REFERENCE, "", "recopiez la liste qu'il cite"),
        (by_maire(pdf), VISA, " ", listed["liste"], "référence du visa"),
        (by_maire(pdf), b"un scan", REFERENCE, listed["liste"], "visa.pdf : un PDF"),
        (by_maire(other_pdf), VISA, REFERENCE, listed["liste"], "ce n'est pas le document du circuit"),
        (by_maire(pdf, "Alice Martin"), VISA, REFERENCE, listed["liste"], "bordereau refusé"),
        (pdf, VISA, REFERENCE, listed["liste"], "bordereau refusé"),
    ):
        with pytest.raises(OperationRefusedError, match=said):
            eliminator.assemble(listed["demande"], signed, visa, reference, quoted)
    assert {name for name, _ in room.events()} == {"elimination.refus"}
    with pytest.raises(OperationRefusedError, match="aucune liste"):
        eliminator.assemble("x", b"", b"", "", "")
    # The visa is on the bordereau itself; or it quotes the list, as somebody types it.
    assert json.loads(eliminator.assemble(listed["demande"], by_maire(pdf), vised, REFERENCE))["visa"] == REFERENCE
    eliminator.accounts = {}  # of a commune that left since
    with pytest.raises(OperationRefusedError, match="compte « gondecourt » inconnu"):
        eliminator.assemble(listed["demande"], by_maire(pdf), vised, REFERENCE)
    eliminator.accounts = ACCOUNTS
    typed = f" {listed['liste'].lower()} "
    text = eliminator.assemble(listed["demande"], by_maire(pdf), VISA, REFERENCE, typed)
    assert json.loads(text)["visa_sha512"] == hashlib.sha512(VISA).hexdigest()
    eliminator.deposit(text, room.sign(text, "Alice Martin"))
    with pytest.raises(OperationRefusedError, match="ses pièces ne changent plus"):
        eliminator.assemble(listed["demande"], by_maire(pdf), VISA, "AD59 autre", typed)


def test_a_request_is_bound_to_its_documents(room: Room) -> None:
    """Somebody who writes in the gateway's book changes neither the visa nor what the maire signed."""
    room.keep("a")
    eliminator = room.eliminator()
    text = assembled(eliminator, ["a"])
    for name in ("bordereau-signe.pdf", "visa.pdf"):
        with room.book.transaction() as db:
            db.execute("UPDATE piece SET contenu = ? WHERE nom = ?", (b"%PDF-autre", name))
        with pytest.raises(OperationRefusedError, match="n'est pas celle que « sae-elimination constituer » a écrite"):
            eliminator.deposit(text, room.sign(text, "Alice Martin"))
    assert room.book.requests() == []


@pytest.mark.parametrize("first", ["deposited", "assembled"])
def test_two_who_work_at_one_request_change_nothing_of_what_is_deposited(room: Room, first: str) -> None:
    """A signature is judged for seconds; what the other one does meanwhile counts."""

    class Slow(Maire):
        def check(self, signed: bytes, original: bytes, account: Account) -> dict[str, str]:
            eliminator.verifier = Maire()
            meanwhile()
            return super().check(signed, original, account)

    room.keep("a")
    eliminator = room.eliminator()
    listed, pdf = eliminator.draft("gondecourt", ["a"], "")
    asked = listed["demande"], by_maire(pdf)
    text = eliminator.assemble(*asked, VISA, REFERENCE, listed["liste"])
    signature = room.sign(text, "Alice Martin")
    steps = {
        "deposited": lambda: eliminator.deposit(text, signature),
        "assembled": lambda: eliminator.assemble(*asked, b"%PDF-1.7 autre visa", "AD59 autre", listed["liste"]),
    }
    meanwhile = steps.pop(first)
    eliminator.verifier = Slow()
    with pytest.raises(
        OperationRefusedError, match="ne changent plus" if first == "deposited" else "viennent de changer"
    ):
        next(iter(steps.values()))()
    kept = [(one.document["visa"], room.book.pieces(one.id)["visa.pdf"]) for one in room.book.requests()]
    assert kept == ([(REFERENCE, VISA)] if first == "deposited" else [])


def test_the_signed_list_and_the_visa_are_kept_before_anything_goes(room: Room) -> None:
    room.keep("a")
    _, approval = room.asked("a")
    identifier = room.eliminator().approve(approval, room.sign(approval, "Bruno Petit"))
    assert list(room.store.names("sae", "eliminations")) == []
    room.store = Refusing(room.folder / "stockage")
    with pytest.raises(StoreUnavailableError):
        room.eliminator().execute(identifier)
    assert list(room.store.names("sae", "eliminations")) == [
        f"bordereau-signe-{identifier}.pdf",
        f"visa-{identifier}.pdf",
    ]
    with room.store.get("sae", "eliminations", f"visa-{identifier}.pdf") as stream:
        assert stream.read() == VISA


def test_a_request_of_before_the_signed_lists_is_made_again(room: Room) -> None:
    room.keep("a")
    text, approval = room.asked("a")
    old = forge(text, format=1)
    with room.book.transaction() as db:
        db.execute("UPDATE demande SET texte = ?", (old,))
    with pytest.raises(OperationRefusedError, match="d'avant les bordereaux signés"):
        room.eliminator().approve(approval, room.sign(approval, "Bruno Petit"))


def test_lists_that_nobody_signed_are_forgotten(room: Room) -> None:
    for aip in "ab":
        room.keep(aip)
    room.asked("a")
    waiting, pdf = room.eliminator().draft("gondecourt", ["b"], "")
    room.ahead = 200 * 86400  # a visa takes months
    assert room.eliminator().assemble(waiting["demande"], by_maire(pdf), VISA, REFERENCE, waiting["liste"])
    room.ahead = 367 * 86400
    room.eliminator().draft("gondecourt", ["b"], "")
    assert [len(room.book.rows(every)) for every in ("SELECT * FROM liste", "SELECT * FROM piece")] == [2, 4]


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
    with pytest.raises(OperationRefusedError, match="modifié"):
        verify_certificate(text.replace(b"AD59", b"AD62"), signature, token, root)
    with pytest.raises(OperationRefusedError, match="autre chose"):
        verify_certificate(text, signature + b"\x00", token, root)
    other = timestamp.local_unit(room.authority.issue("Horodatage du parapheur"))(signature)
    with pytest.raises(
        OperationRefusedError, match=r"l'horodatage vient de « CN=Horodatage du parapheur,.+ et non de « CN="
    ):
        verify_certificate(text, signature, other, root)
    # The archive alone cannot make one: both agents' signatures are inside.
    document = json.loads(text)
    document["approbation_signee"]["signature"] = document["demande_signee"]["signature"]
    forged = json.dumps(document).encode()
    resigned = sign(forged, room.authority.folder / ATTESTS)
    stamped = timestamp.local_unit(room.authority.folder / "Horodatage_des_archives")(resigned)
    with pytest.raises(OperationRefusedError, match="ne porte pas sur ce document"):
        verify_certificate(forged, resigned, stamped, root)
    document["approbation_signee"]["signature"] = base64.b64encode(
        room.sign(document["approbation_signee"]["texte"].encode(), "Alice Martin")
    ).decode()
    forged = json.dumps(document).encode()
    resigned = sign(forged, room.authority.folder / ATTESTS)
    stamped = timestamp.local_unit(room.authority.folder / "Horodatage_des_archives")(resigned)
    with pytest.raises(OperationRefusedError, match="une seule personne"):
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
    with pytest.raises(OperationRefusedError, match="ne peut pas attester"):
        eliminator.execute(identifier)
    assert room.store.head("gondecourt", "aip", "aip-1.tar")  # what cannot be attested is not done
    eliminator.proof = good
    eliminator.execute(identifier)
    text = certificate(room, identifier)[0]
    signature = sign(text, folder)
    token = timestamp.local_unit(room.authority.folder / "Horodatage_des_archives")(signature)
    with pytest.raises(
        OperationRefusedError, match="expiré" if kind == "expired" else "n'est pas fait pour|et non le certificat"
    ):
        verify_certificate(text, signature, token, room.authority.root)


def test_a_revoked_certificate_attests_nothing_more(room: Room) -> None:
    room.keep("aip-1")
    _, approval = room.asked("aip-1")
    eliminator = room.eliminator()
    identifier = eliminator.approve(approval, room.sign(approval, "Bruno Petit"))
    eliminator.trust = dataclasses.replace(eliminator.trust, crl=room.authority.revoke(room.authority.folder / ATTESTS))
    with pytest.raises(OperationRefusedError, match="révoqué"):
        eliminator.execute(identifier)
    assert room.store.head("gondecourt", "aip", "aip-1.tar")


def test_what_may_not_be_eliminated_is_refused_with_every_reason(room: Room) -> None:
    room.keep("tot", FUTURE)
    room.keep("garder", action="Keep")
    room.keep("autre", account="seclin")
    room.keep("bonne")
    with pytest.raises(OperationRefusedError) as refused:
        room.eliminator().draft("gondecourt", ["tot", "garder", "autre", "jamais-vue", "bonne"], "")
    told = str(refused.value)
    assert f"tot : à conserver jusqu'au {time.strftime('%d/%m/%Y', time.gmtime(FUTURE))}" in told
    assert "garder : son sort final est la conservation" in told
    assert "autre : aucune archive du compte « gondecourt »" in told
    assert "jamais-vue : aucune archive" in told
    assert "bonne" not in told
    for account, aips, reason in (
        ("gondecourt", [], "aucune archive"),
        ("lille", ["bonne"], "compte « lille » inconnu"),
    ):
        with pytest.raises(OperationRefusedError, match=reason):
            room.eliminator().draft(account, aips, "")


def test_a_clock_in_advance_does_not_bring_the_date_nearer(room: Room) -> None:
    room.keep("tot", FUTURE)
    room.ahead = 10 * 86400
    with pytest.raises(OperationRefusedError, match="à conserver jusqu'au"):
        room.eliminator().draft("gondecourt", ["tot"], "")


def test_the_storage_has_the_last_word_on_the_date(room: Room) -> None:
    """The journal's date was forged: the storage keeps its own."""
    room.keep("aip-1", FUTURE)
    detail = {"aip_sha512": "0" * 128, "octets": 1, "conserve_jusqua": PAST, "sort_final": "Destroy"}
    room.journal.append("versement.accepte", account="gondecourt", aip="aip-1", outcome="succes", detail=detail)
    _, approval = room.asked("aip-1")
    identifier = room.eliminator().approve(approval, room.sign(approval, "Bruno Petit"))
    for _ in range(2):
        with pytest.raises(OperationRefusedError, match="le stockage refuse"):
            room.eliminator().execute(identifier)
    assert room.store.head("gondecourt", "aip", "aip-1.tar")
    [refusal] = [one for one in room.journal.events() if one.event == "elimination.refus"]
    assert refusal.detail["raison"] == "« aip-1.tar » ne peut pas être supprimé avant sa date"


def test_the_true_reason_of_the_storage_is_told(room: Room) -> None:
    """Its final fate, and not a date: the journal was forged."""
    room.keep("aip-1", action="Keep")
    detail = {"aip_sha512": "0" * 128, "octets": 1, "conserve_jusqua": PAST, "sort_final": "Destroy"}
    room.journal.append("versement.accepte", account="gondecourt", aip="aip-1", outcome="succes", detail=detail)
    _, approval = room.asked("aip-1")
    identifier = room.eliminator().approve(approval, room.sign(approval, "Bruno Petit"))
    with pytest.raises(OperationRefusedError, match="est à conserver sans limite") as refused:
        room.eliminator().execute(identifier)
    assert "date" not in str(refused.value)


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
    with pytest.raises(OperationRefusedError, match=said):
        room.eliminator().approve(approval, room.sign(approval, who))
    identifier = json.loads(approval)["demande"]
    with pytest.raises(OperationRefusedError, match="n'est pas approuvée"):
        room.eliminator().execute(identifier)
    assert room.events()[-1] == ("elimination.refus", None)
    assert room.store.head("gondecourt", "aip", "aip-1.tar")


def test_somebody_unknown_does_not_ask(room: Room, tmp_path: Path) -> None:
    room.keep("aip-1")
    eliminator = room.eliminator()
    text = assembled(eliminator, ["aip-1"])
    with pytest.raises(OperationRefusedError, match="pas un agent habilité"):
        eliminator.deposit(text, room.sign(text, "Chloé Roux"))
    stranger = Authority(tmp_path / "inconnue", "inconnue")
    stranger.issue("Alice Martin", ExtendedKeyUsageOID.CLIENT_AUTH)
    with pytest.raises(OperationRefusedError, match="autorité de confiance"):
        eliminator.deposit(text, room.sign(text, "Alice Martin", stranger))
    with pytest.raises(OperationRefusedError, match="ce n'est pas une signature CMS"):
        eliminator.deposit(text, b"signature")
    with pytest.raises(OperationRefusedError, match="a été modifié"):
        eliminator.deposit(text.replace(b"AD59", b"AD62"), room.sign(text, "Alice Martin"))
    room.agents[0] = Agent("Alice Martin", subject("Alice Martin"), frozenset({"seclin"}))
    with pytest.raises(OperationRefusedError, match="pas habilité pour le compte"):
        room.eliminator().deposit(text, room.sign(text, "Alice Martin"))
    assert room.book.requests() == []


def test_a_revoked_agent_does_not_sign(room: Room) -> None:
    room.keep("aip-1")
    room.crl = room.authority.revoke()
    _, approval = room.asked("aip-1")
    room.crl = room.authority.revoke(room.authority.folder / "Bruno_Petit")
    with pytest.raises(OperationRefusedError, match="révoqué"):
        room.eliminator().approve(approval, room.sign(approval, "Bruno Petit"))
    room.crl = room.authority.revoke(room.authority.folder / "Alice_Martin")
    with pytest.raises(OperationRefusedError, match="révoqué"):
        room.eliminator().approve(approval, room.sign(approval, "Bruno Petit"))


def forge(text: bytes, **changes: Any) -> bytes:
    return json.dumps(json.loads(text) | changes).encode()


def test_a_request_that_was_written_by_hand_is_checked_all_the_same(room: Room) -> None:
    room.keep("bonne")
    room.keep("garder", action="Keep")
    eliminator = room.eliminator()
    text = assembled(eliminator, ["bonne"])
    good = json.loads(text)["archives"]
    for changes, said in (
        ({"archives": [good[0] | {"aip": "garder"}]}, "conservation"),
        ({"archives": [good[0] | {"sha512": "0"}]}, "n'est pas celle"),
        ({"archives": [good[0], good[0]]}, "deux fois"),
        ({"archives": "toutes"}, "liste d'archives"),
        ({"archives": []}, "aucune archive"),
        ({"demande": "../../x"}, "n'est pas celle"),
        ({"visa": ""}, "n'est pas celle"),
        ({"visa_sha512": "0"}, "n'est pas celle"),
        ({"bordereau_signe_sha512": "0"}, "n'est pas celle"),
        ({"signataire": "Alice Martin"}, "n'est pas celle"),
        ({"format": 1}, "ce n'est pas une demande"),
        ({"compte": "lille"}, "inconnu"),
        ({"document": "autre"}, "ce n'est pas une demande"),
    ):
        forged = forge(text, **changes)
        with pytest.raises(OperationRefusedError, match=said):
            eliminator.deposit(forged, room.sign(forged, "Alice Martin"))
    with pytest.raises(OperationRefusedError, match="ce n'est pas une demande"):
        eliminator.deposit(b"{", b"")
    assert room.book.requests() == []


def test_an_approval_of_something_else_is_refused(room: Room) -> None:
    room.keep("aip-1")
    _, approval = room.asked("aip-1")
    forged = forge(approval, archives=5)
    with pytest.raises(OperationRefusedError, match="n'est pas celle de cette demande"):
        room.eliminator().approve(forged, room.sign(forged, "Bruno Petit"))
    unknown = forge(approval, demande="x")
    with pytest.raises(OperationRefusedError, match="aucune demande"):
        room.eliminator().approve(unknown, room.sign(unknown, "Bruno Petit"))


def test_a_request_grows_old_and_may_be_dropped(room: Room) -> None:
    room.keep("aip-1")
    text, approval = room.asked("aip-1")
    room.ahead = 91 * 86400
    with pytest.raises(OperationRefusedError, match="plus de 90 jours"):
        room.eliminator().approve(approval, room.sign(approval, "Bruno Petit"))
    with pytest.raises(OperationRefusedError, match="déjà dans la demande"):
        room.eliminator().draft("gondecourt", ["aip-1"], "")
    room.eliminator().drop(json.loads(text)["demande"], "trop vieille")
    with pytest.raises(OperationRefusedError, match="abandonnée"):
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


@pytest.mark.costly
def test_a_cut_at_any_step_is_taken_up(tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call that writes is cut before it is done, then after; what follows is done again from the deposit."""
    # The same signatures are looked at again and again: openssl judges each of them once.
    judged = functools.cache(verify)
    for place in ("sae.agents.verify", "sae.elimination.attestation.verify"):
        monkeypatch.setattr(place, judged)
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
        if not text:
            text = assembled(room.eliminator(), ["aip-1", "aip-2"])
            lists, pieces = room.book.rows("SELECT * FROM liste"), room.book.rows("SELECT * FROM piece")
        else:
            with room.book.transaction() as db:
                db.executemany("INSERT INTO liste VALUES (?, ?, ?)", [tuple(row) for row in lists])
                db.executemany("INSERT INTO piece VALUES (?, ?, ?)", [tuple(row) for row in pieces])
        first = first or room.sign(text, "Alice Martin")
        switch = Switch(step)
        with monkeypatch.context() as patch:
            for target, name in (
                (room.journal, "append"),
                (room.store, "delete"),
                (room.store, "put"),
                (room.book, "transaction"),
            ):
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
    room.keep("aip-1")
    _, approval = room.asked("aip-1")
    room.store = Refusing(room.folder / "stockage")
    identifier = room.eliminator().approve(approval, room.sign(approval, "Bruno Petit"))
    with pytest.raises(StoreUnavailableError):
        room.eliminator().execute(identifier)
    room.store = FileStore(room.folder / "stockage")
    assert room.eliminator().resume() == [identifier]
    assert room.eliminator().execute(identifier) == 1
    assert room.eliminator().resume() == []
