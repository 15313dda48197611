"""From a token to a certificate, by a real door, the real registry and its lists: and what a door that lies gets."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import json
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import PkiError, Request, load_certificate
from creatic_enrolement.store import Store
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from creatic.evidence import store as evidence_store
from creatic.fleet.signing import FleetError
from creatic.pki.authority import Authority
from creatic.pki.keys import Passphrases
from creatic.pki.registry import Owner
from creatic.pki.x509 import Settings
from creatic.postes.enrolment import LOCK, Enrolment, EnrolmentError
from creatic.postes.places import Place
from creatic_agent import enrolment as proof
from creatic_agent.identity import identity_of
from testbed.authority import certificate
from tests.unit.in_memory import in_memory  # noqa: F401 - the fixture tmp_path

SETTINGS = Settings("Groupement d'essai", "essai", "1.3.6.1.4.1.59999.59.1")
NAME, SLUG = "gondecourt-pc-secretariat", "secretariat-general"
REQUEST = Request(SLUG, "client", "Secrétariat général", "Commune de Gondecourt", "215902669", holder="person")
MAIRE = Request("maire", "client", "Jeanne Petit", "Commune de Gondecourt", "215902669", holder="person")
PLACE = Place(NAME, "pc-secretariat", "gondecourt", {SLUG: REQUEST})
OTHER = Place("loos-pc", "pc", "loos", {SLUG: dataclasses.replace(REQUEST, siren="215903600")})


class Door:
    """The real store; ``meddle`` is what somebody who holds the door makes of what it says."""

    def __init__(self, folder: Path, now: Callable[[], dt.datetime]) -> None:
        folder.mkdir()
        self.store, self._now = Store(folder), now
        self.meddle: Callable[[dict[str, Any]], dict[str, Any]] = lambda told: told
        self.published: list[Mapping[str, Any]] = []
        self.away = False

    def statement(self, after: int, since: str = "") -> Any:
        return self.meddle(json.loads(json.dumps(self.store.statement(after, self._now(), since))))

    def publish(self, sent: Mapping[str, Any]) -> None:
        if self.away:
            raise FleetError("le guichet ne répond pas")
        self.published.append(sent)
        self.store.publish(json.loads(json.dumps(sent)), self._now())

    def answer(self, sent: Mapping[str, Any]) -> None:
        if self.away:
            raise FleetError("le guichet ne répond pas")
        self.store.answer(json.loads(json.dumps(sent)))


class Bench:
    """A control node, a door, and PCs."""

    def __init__(self, folder: Path) -> None:
        self.home, self.shift = folder / "etat", dt.timedelta()
        self.home.mkdir()
        self.authority = Authority(self.home / "pki", Passphrases(self.home / "pki", generate=True))
        self.authority.ensure(SETTINGS)
        self.door = Door(folder / "porte", self.now)
        self.places = {NAME: PLACE, OTHER.name: OTHER}

    def now(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC) + self.shift

    @property
    def enrolment(self) -> Enrolment:
        return Enrolment(self.home, self.places, self.authority, self.door, "camille", self.now)

    def asks(self, token: str, key: Any, place: Place = PLACE, slug: str = SLUG, **changes: Any) -> str:
        """What a PC sends; gives the number of its request."""
        sent = {"jeton": token, "poste": place.name, "nom": place.computer, "certificat": slug}
        sent |= {"csr": place.requests[slug].csr(key)}
        return str(self.door.store.ask(sent | changes, "192.0.2.1", self.now())["demande"])

    def enrolled(self, key: Any = None) -> tuple[str, x509.Certificate]:
        """A PC that has its certificate; gives its token too."""
        token, _end = self.enrolment.token(NAME)
        number = self.asks(token, key or p256())
        self.enrolment.certify()
        return token, load_certificate(self.told(number, token)["certificat"])

    def told(self, number: str, token: str) -> dict[str, Any]:
        return self.door.store.state(number, token, "", self.now())

    def serials(self, status: str = "valide") -> list[str]:
        return [row["serie"] for row in self.authority.listing(status=status)]


def p256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize("make", [p256, lambda: rsa.generate_private_key(public_exponent=65537, key_size=3072)])
def test_a_pc_is_certified_by_the_registry_under_the_files_subject(bench: Bench, make: Callable[[], Any]) -> None:
    key = make()
    token, end = bench.enrolment.token(NAME)
    assert dt.timedelta(days=13) < end - bench.now() <= dt.timedelta(days=14)
    assert bench.enrolment.certify().awaited == [f"{NAME} : {SLUG}"]
    number = bench.asks(token, key)
    outcome = bench.enrolment.certify()
    assert (outcome.faults, outcome.misuses, outcome.awaited) == ([], [], [])
    [row] = bench.authority.listing(status="valide")
    assert outcome.lines == [f"{NAME} : certificat « Secrétariat général » signé, n° {row['serie']}."]
    assert (row["hote"], row["nom"], row["commune"], row["profil"]) == (NAME, SLUG, "gondecourt", "client")
    told = bench.told(number, token)
    leaf = load_certificate(told["certificat"])
    assert told["certificat"] == row["pem"] and leaf.subject == REQUEST.subject()
    assert leaf.public_key() == key.public_key() and identity_of(leaf).siren == "215902669"
    [issuer] = told["chaine"]
    leaf.verify_directly_issued_by(load_certificate(issuer))
    assert bench.enrolment.certify().lines == []  # nothing waits any more
    assert (bench.home / "postes/jetons.json").stat().st_mode & 0o777 == 0o600


def test_what_a_token_serves_is_one_key_for_each_certificate(bench: Bench) -> None:
    bench.places[NAME] = dataclasses.replace(PLACE, requests={SLUG: REQUEST, "maire": MAIRE})
    place, keys = bench.places[NAME], [p256(), p256()]
    token, _end = bench.enrolment.token(NAME)
    numbers = [bench.asks(token, key, place, slug) for key, slug in zip(keys, place.requests, strict=True)]
    bench.enrolment.certify()
    found = [load_certificate(bench.told(number, token)["certificat"]).subject for number in numbers]
    assert found == [REQUEST.subject(), MAIRE.subject()]


def test_one_pc_is_certified_and_the_others_wait(bench: Bench) -> None:
    tokens = {place.name: bench.enrolment.token(place.name)[0] for place in (PLACE, OTHER)}
    numbers = {name: bench.asks(token, p256(), bench.places[name]) for name, token in tokens.items()}
    assert len(bench.enrolment.certify(OTHER.name).lines) == 1
    assert bench.told(numbers[OTHER.name], tokens[OTHER.name])["etat"] == "signee"
    assert bench.told(numbers[NAME], tokens[NAME])["etat"] == "attente"


def test_a_new_token_takes_the_place_of_the_one_before(bench: Bench) -> None:
    before, _end = bench.enrolment.token(NAME)
    number = bench.asks(before, p256())
    token, _end = bench.enrolment.token(NAME)
    with pytest.raises(proof.Refused, match="expiré"):
        bench.asks(before, p256())
    outcome = bench.enrolment.certify()
    assert "Un autre jeton a remplacé celui-ci" in outcome.faults[0] and bench.serials() == []
    assert bench.told(number, before)["etat"] == "refusee"
    bench.asks(token, p256())
    assert len(bench.enrolment.certify().lines) == 1


def test_misuses_are_told_once_to_the_technician(bench: Bench) -> None:
    token, _end = bench.enrolment.token(NAME)
    bench.asks(token, p256())
    wrong: list[dict[str, Any]] = [{}, {"nom": "pc-accueil\x1b[2J"}, {"jeton": "B" * 52}]
    for changes in wrong:
        with pytest.raises(proof.Refused):
            bench.asks(token, p256(), **changes)
    misuses = bench.enrolment.certify().misuses
    assert len(misuses) == 3 and all(line.startswith("Mésusage : ") and "\x1b" not in line for line in misuses)
    assert NAME in misuses[0] and "déjà servi" in misuses[0] and "192.0.2.1" in misuses[0]
    assert "pc-accueil" in misuses[1] and "jeton inconnu" in misuses[2]
    assert bench.enrolment.certify().misuses == []


def test_who_showed_its_certificate_at_the_door_is_told_once(bench: Bench) -> None:
    _token, own = bench.enrolled()
    for shown in (own, certificate("Accueil", None)[0]):
        bench.door.store.see(shown, identity_of(shown), bench.now())
    [line] = bench.enrolment.certify().lines
    assert line.startswith(f"{NAME} : certificat « Secrétariat général » vu à la porte, le ")
    assert bench.enrolment.certify().lines == []


# -- a door that lies ------------------------------------------------------------------------------------


def forged(told: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return told | {"demandes": [one | changes for one in told["demandes"]]}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"csr": REQUEST.csr(p256())}, "n'est pas venue avec son jeton"),
        ({"csr": MAIRE.csr(p256())}, "Le sujet de la demande"),
        ({"csr": "rien"}, "ne se lit pas"),
        ({"preuve": "0" * 64}, "n'est pas venue avec son jeton"),
        ({"preuve": "é\ud800"}, "n'est pas venue avec son jeton"),
        ({"poste": OTHER.name}, "Aucun jeton d'ici"),
        ({"nom": "pc"}, "n'est plus celui du fichier"),
        ({"certificat": "maire"}, "ne demande plus ce certificat"),
        ({"origine": "0" * 64}, "Aucun jeton d'ici"),
        ({"genre": "renouvellement"}, "illisible"),
        ({"genre": "\x1b[2J", "poste": "\x1b[2J"}, "Aucun jeton d'ici"),
    ],
)
def test_a_door_that_lies_has_nothing_signed(bench: Bench, changes: dict[str, str], why: str) -> None:
    token, _end = bench.enrolment.token(NAME)
    bench.asks(token, p256())
    bench.door.meddle = lambda told: forged(told, **changes)
    [fault] = bench.enrolment.certify().faults
    assert why in fault and fault.isprintable() and bench.serials() == []


def test_a_door_that_has_all_its_digests_can_ask_nothing(bench: Bench) -> None:
    """Of a token that nobody used yet: without it, no proof can be made."""
    token, _end = bench.enrolment.token(NAME)
    digest, key = proof.token_digest(token), p256()
    made = {"id": "0" * 32, "genre": "jeton", "origine": digest, "poste": NAME, "certificat": SLUG, "recue": ""}
    made |= {"nom": PLACE.computer, "presente": "", "csr": REQUEST.csr(key), "cle": ""}
    guess = proof.token_proof(digest, NAME, SLUG, proof.fingerprint(key.public_key()))
    bench.door.meddle = lambda told: told | {"demandes": [made | {"preuve": guess}]}
    assert "n'est pas venue avec son jeton" in bench.enrolment.certify().faults[0] and bench.serials() == []


def test_a_door_that_knows_a_used_token_has_no_second_key_signed(bench: Bench) -> None:
    token, _found = bench.enrolled()
    key = p256()
    made = {"genre": "jeton", "origine": proof.token_digest(token), "poste": NAME, "certificat": SLUG, "id": "0" * 32}
    made |= {"recue": "", "nom": PLACE.computer, "presente": "", "csr": REQUEST.csr(key)}
    made |= {"preuve": proof.token_proof(token, NAME, SLUG, proof.fingerprint(key.public_key()))}
    bench.door.meddle = lambda told: told | {"demandes": [made]}
    assert "déjà servi à une autre clé" in bench.enrolment.certify().faults[0] and len(bench.serials()) == 1


@pytest.mark.parametrize(
    "told",
    [
        None, [], {}, {"dernier": "x"},
        {"dernier": 0, "demandes": [{}], "mesusages": [], "vus": [], "jetons": [], "reste": False},
        {"dernier": 0, "demandes": [], "mesusages": [{"id": 0}], "vus": [], "jetons": [], "reste": False},
        {"dernier": 0, "demandes": [], "mesusages": [], "vus": [{"derniere": "hier"}], "jetons": [], "reste": False},
        {"dernier": 0, "demandes": [], "mesusages": [], "vus": [], "jetons": ["x"], "reste": False},
        {"dernier": 0, "demandes": [], "vus": [], "jetons": [], "reste": False, "mesusages": [
            {"id": 1 << 63, "quand": "2026-12-02T09:00:00Z", "poste": "", "nom": "", "adresse": "", "message": ""}]},
    ],
)  # fmt: skip # a list of cases
def test_a_door_that_says_something_else_ends_the_command(bench: Bench, told: Any) -> None:
    bench.door.meddle = lambda _told: told
    with pytest.raises(EnrolmentError, match=r"répond autre chose .* À faire : .* Rien n'est fait"):
        bench.enrolment.certify()


def test_what_waits_for_another_command_hides_nobody_s(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("creatic_enrolement.store._TOLD", 2)
    for rank in range(7):
        other = dataclasses.replace(OTHER, name=f"loos-pc{rank}")
        bench.places[other.name] = other
        bench.asks(bench.enrolment.token(other.name)[0], p256(), other)
    bench.shift = dt.timedelta(seconds=2)
    token, _end = bench.enrolment.token(NAME)
    number = bench.asks(token, p256())
    outcome = bench.enrolment.certify(NAME)
    assert bench.told(number, token)["etat"] == "signee" and len(outcome.lines) == 1
    issue = bench.authority.issue

    def fails(csr: str, request: Request, owner: Owner) -> Any:
        if owner.host != "loos-pc6":
            raise PkiError("celle-ci ne se signe pas")
        return issue(csr, request, owner)

    monkeypatch.setattr(bench.authority, "issue", fails)
    outcome = bench.enrolment.certify()
    assert len(outcome.faults) == 6 and "loos-pc6" in outcome.lines[0]
    endless = {"demandes": [], "reste": True}
    bench.door.meddle = lambda told: told | endless
    assert "relancez" in bench.enrolment.certify().lines[-1]


# -- what moves meanwhile ---------------------------------------------------------------------------------


def test_what_the_file_asks_no_more_is_not_signed(bench: Bench) -> None:
    token, _end = bench.enrolment.token(NAME)
    number = bench.asks(token, p256())
    bench.places[NAME] = dataclasses.replace(PLACE, requests={SLUG: MAIRE})
    assert "Le sujet de la demande" in bench.enrolment.certify().faults[0]
    assert bench.told(number, token)["etat"] == "refusee"
    del bench.places[NAME]
    bench.enrolment.certify()
    assert bench.door.store.statement(0, bench.now())["jetons"] == []  # who left has no token any more


def test_a_file_that_changes_before_the_pc_asks_is_what_the_door_has(bench: Bench) -> None:
    token, _end = bench.enrolment.token(NAME)
    bench.places[NAME] = dataclasses.replace(PLACE, requests={"maire": MAIRE})
    bench.enrolment.certify()
    number = bench.asks(token, p256(), bench.places[NAME], "maire")
    bench.enrolment.certify()
    assert bench.told(number, token)["etat"] == "signee"


def test_a_door_made_anew_is_given_its_tokens_and_old_misuses_again(bench: Bench, tmp_path: Path) -> None:
    token, _end = bench.enrolment.token(NAME)
    for name in ("a", "b"):
        with pytest.raises(proof.Refused):
            bench.asks(token, p256(), nom=name)
        bench.shift += dt.timedelta(hours=1)
    assert len(bench.enrolment.certify().misuses) == 2
    bench.door = Door(tmp_path / "neuve", bench.now)
    bench.enrolment.certify()
    with pytest.raises(proof.Refused):
        bench.asks(token, p256(), nom="c")
    assert len(bench.enrolment.certify().misuses) == 1
    number = bench.asks(token, p256())
    bench.enrolment.certify()
    assert bench.told(number, token)["etat"] == "signee"
    published = len(bench.door.published)
    bench.enrolment.certify()
    assert len(bench.door.published) == published  # it lacks nothing


def test_what_was_asked_in_time_is_signed_two_weeks_late_and_no_more(bench: Bench) -> None:
    token, _end = bench.enrolment.token(NAME)
    number = bench.asks(token, p256())
    bench.shift = dt.timedelta(days=29)
    assert "expiré" in bench.enrolment.certify().faults[0]
    assert bench.told(number, token)["etat"] == "refusee"
    bench.shift = dt.timedelta()
    token, _end = bench.enrolment.token(NAME)
    number = bench.asks(token, p256())
    bench.shift = dt.timedelta(days=27)
    bench.enrolment.certify()
    assert bench.told(number, token)["etat"] == "signee"


def test_old_tokens_are_forgotten(bench: Bench) -> None:
    bench.enrolment.token(NAME)
    bench.shift = dt.timedelta(days=75)
    bench.enrolment.certify()
    assert json.loads((bench.home / "postes/jetons.json").read_text())["jetons"] == {}


# -- revocation -------------------------------------------------------------------------------------------


def revoked(bench: Bench) -> set[str]:
    found = set[str]()
    for text in bench.authority.published()["crl"].split("-----END X509 CRL-----\n"):
        if text.strip():
            one = x509.load_pem_x509_crl(f"{text}-----END X509 CRL-----\n".encode())
            found |= {f"{each.serial_number:040x}" for each in one}
    return found


def test_a_pc_is_revoked_as_any_other_and_its_token_with_it(bench: Bench) -> None:
    key = p256()
    bench.places[NAME] = dataclasses.replace(PLACE, requests={SLUG: REQUEST, "maire": MAIRE})
    token, certificate = bench.enrolled(key)
    bench.authority.revoke("compromission", host=NAME)
    assert revoked(bench) == {f"{certificate.serial_number:040x}"}
    bench.asks(token, p256(), bench.places[NAME], "maire")  # the thief has the installer too
    assert "révoqué depuis ce jeton" in bench.enrolment.certify().faults[0] and bench.serials() == []
    bench.shift = dt.timedelta(seconds=2)
    token, _end = bench.enrolment.token(NAME)
    bench.asks(token, key)
    assert "Cette clé a été révoquée" in bench.enrolment.certify().faults[0]


def test_a_key_of_another_place_is_refused(bench: Bench) -> None:
    key = p256()
    bench.authority.issue(MAIRE.csr(key), MAIRE, Owner("loos-pc", "loos"))
    token, _end = bench.enrolment.token(NAME)
    bench.asks(token, key)
    assert "sert déjà à un autre certificat" in bench.enrolment.certify().faults[0]


# -- renewal ----------------------------------------------------------------------------------------------


def by_the_key_of_before(request: Request, by: Any, key: Any = None) -> dict[str, str]:
    """What asks for a renewal."""
    text = request.csr(key or p256())
    der = x509.load_pem_x509_csr(text.encode()).public_bytes(serialization.Encoding.DER)
    return {"csr": text, "preuve": base64.b64encode(by.sign(der, ec.ECDSA(hashes.SHA256()))).decode()}


def renews(bench: Bench, shown: x509.Certificate, by: Any, key: Any) -> str:
    sent = by_the_key_of_before(REQUEST, by, key)
    return str(bench.door.store.renew(shown, identity_of(shown), sent, "192.0.2.1", bench.now())["demande"])


def test_a_certificate_near_its_end_is_renewed_at_its_place(bench: Bench) -> None:
    key, new = p256(), p256()
    _token, certificate = bench.enrolled(key)
    bench.shift = dt.timedelta(days=300)
    number = renews(bench, certificate, key, new)
    outcome = bench.enrolment.certify()
    assert outcome.faults == [] and len(outcome.lines) == 2
    assert "S²LOW" in outcome.lines[1] and "Un certificat renouvelé" in outcome.lines[1]
    told = load_certificate(bench.door.store.renewal(certificate, number)["certificat"])
    assert told.subject == certificate.subject and told.public_key() == new.public_key()
    [row] = [row for row in bench.authority.listing() if row["statut"] == "valide"]
    assert (row["hote"], row["nom"]) == (NAME, SLUG) and row["serie"] == f"{told.serial_number:040x}"


@pytest.mark.parametrize("case", ["early", "revoked", "replaced", "late", "stranger", "place", "name", "proof"])
def test_a_renewal_that_is_not_due_or_not_its_holders_is_refused(bench: Bench, case: str) -> None:
    key, bench.shift = p256(), dt.timedelta()
    _token, certificate = bench.enrolled(key)
    bench.shift = dt.timedelta(days=300)
    renews(bench, certificate, key, p256())
    told = bench.door.store.statement(0, bench.now())
    if case == "early":
        bench.shift = dt.timedelta(days=10)
    if case == "late":
        bench.shift = dt.timedelta(days=366)
    if case == "revoked":
        bench.authority.revoke("compromission", host=NAME)
    if case == "replaced":
        bench.authority.issue(REQUEST.csr(p256()), REQUEST, Owner(NAME, "gondecourt"))
    if case == "place":
        del bench.places[NAME]
    if case == "name":  # the PC's name is another commune's now, and the door lets its holder of before ask
        request = dataclasses.replace(REQUEST, siren="215903600")
        bench.places[NAME] = dataclasses.replace(PLACE, commune="loos", requests={SLUG: request})
        told = forged(told, **by_the_key_of_before(request, key))
    if case == "stranger":
        (bench.home / "ailleurs").mkdir()
        other = Bench(bench.home / "ailleurs")  # another groupement's
        told = forged(told, presente=other.enrolled(key)[1].public_bytes(serialization.Encoding.PEM).decode())
    if case == "proof":  # the certificate is public: whoever holds the door has it
        told = forged(told, csr=REQUEST.csr(p256()))
    bench.door.meddle = lambda _told: told
    before = bench.serials()
    [fault] = bench.enrolment.certify().faults
    assert "demande refusée" in fault and bench.serials() == before


# -- at once, and in the middle ---------------------------------------------------------------------------


def test_two_commands_do_not_certify_at_once(bench: Bench) -> None:
    evidence_store.lock_commune(bench.home / "verrous", LOCK, os.getppid(), "lea")
    with pytest.raises(evidence_store.AlreadyLockedError, match="une certification de postes est déjà en cours"):
        bench.enrolment.certify()


@pytest.mark.parametrize("moment", ["before signing", "after signing", "before the answer"])
def test_a_command_that_is_killed_leaves_one_certificate(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    token, _end = bench.enrolment.token(NAME)
    number = bench.asks(token, p256())
    child = os.fork()
    if not child:
        try:

            def die(*_given: Any) -> Any:
                os.kill(os.getpid(), signal.SIGKILL)

            issue = bench.authority.issue
            if moment == "before signing":
                monkeypatch.setattr(bench.authority, "issue", die)
            elif moment == "after signing":
                monkeypatch.setattr(bench.authority, "issue", lambda *given: die(issue(*given)))
            else:
                monkeypatch.setattr(bench.door, "answer", die)
            bench.enrolment.certify()
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert len(bench.serials()) == (moment != "before signing")
    bench.enrolment.certify()
    [serial] = bench.serials()
    assert f"{load_certificate(bench.told(number, token)['certificat']).serial_number:040x}" == serial


def test_a_door_that_goes_away_before_the_answer_is_answered_next_time(bench: Bench) -> None:
    token, _end = bench.enrolment.token(NAME)
    number = bench.asks(token, p256())
    bench.door.away = True
    with pytest.raises(FleetError):
        bench.enrolment.certify()
    bench.door.away = False
    bench.enrolment.certify()
    assert bench.told(number, token)["etat"] == "signee" and len(bench.serials()) == 1


def test_an_authority_that_cannot_sign_refuses_nobody(bench: Bench) -> None:
    token, _end = bench.enrolment.token(NAME)
    number = bench.asks(token, p256())
    key = bench.home / "pki/emettrice/cle.pem"
    key.rename(key.with_suffix(".ailleurs"))
    with pytest.raises(PkiError):
        bench.enrolment.certify()
    assert bench.told(number, token)["etat"] == "attente"
    key.with_suffix(".ailleurs").rename(key)
    bench.enrolment.certify()
    assert bench.told(number, token)["etat"] == "signee"


def test_a_damaged_record_of_tokens_is_told(bench: Bench) -> None:
    bench.enrolment.token(NAME)
    (bench.home / "postes/jetons.json").write_text('{"jetons": {')
    with pytest.raises(EnrolmentError, match=r"jetons\.json est abîmé .* À faire : .* Rien n'est fait"):
        bench.enrolment.certify()


@pytest.mark.parametrize(("name", "why"), [("loos", "n'est pas un poste"), ("vide", "aucun certificat")])
def test_a_token_is_a_pcs_of_the_inventory_that_needs_one(bench: Bench, name: str, why: str) -> None:
    bench.places["vide"] = Place("vide", "pc", "loos", {})
    with pytest.raises(EnrolmentError, match=why):
        bench.enrolment.token(name)
    assert not (bench.home / "postes").exists()
