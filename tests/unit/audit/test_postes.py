"""What clerks' PCs sign of themselves, by a real registry: who is believed, what is refused, how it is judged."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import itertools
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.action.audit_plan import unmanaged_pcs
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import Request, load_certificate
from creatic_enrolement.store import Store
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from creatic.audit import asked, page, postes, verdict
from creatic.audit import run as audit_run
from creatic.audit import store as audit_store
from creatic.audit.sources import CONFORME, DEROGATION, NON_CONFORME, NON_VERIFIE
from creatic.evidence import store as evidence_store
from creatic.evidence.seal import SealKeys
from creatic.fleet.signing import FleetError
from creatic.pki.authority import Authority
from creatic.pki.keys import Passphrases
from creatic.pki.registry import Owner
from creatic.pki.x509 import Settings
from creatic.postes import facts as poste_facts
from creatic_agent.identity import identity_of

from .conftest import Catalogue, results_of, target

REPO = Path(__file__).parents[3]
SETTINGS = Settings("Groupement d'essai", "essai", "1.3.6.1.4.1.59999.59.1")
NAME, OTHER = "gondecourt-pc-secretariat", "loos-pc"
SIREN, OF_OTHER = "215902669", "215903600"
GOOD: dict[str, Any] = {
    "systeme": {"valeur": {"famille": "windows", "nom": "Windows 11 Pro", "version": "25H2", "build": 26200}},
    "disque": {"valeur": {"libre": 5, "total": 10}},
    "mises_a_jour": {"valeur": {"derniere": "2026-11-20T03:00:00Z", "redemarrage": False}},
    "administrateurs": {"valeur": {"membres": [{"nom": "PC\\Prestataire", "actif": True}], "session": False}},
    "chiffrement": {"valeur": {"systeme": True}},
    "antivirus": {"valeur": {"sante": "bonne", "source": "centre de sécurité"}},
    "pare_feu": {"valeur": {"domaine": True, "prive": True, "public": True}},
    "smb1": {"valeur": {"client": False, "serveur": False}},
    "verrouillage": {"valeur": {"apres_s": 600, "mot_de_passe": True}},
    "horloge": {"valeur": {"ecart_s": -3}},
    "certificats": {"valeur": [{"nom": "secretaire", "etat": "installe", "fin": "2027-11-20T03:00:00Z"}]},
    "autorites": {"valeur": {"posees": 2, "absentes": []}},
    "navigateurs": {"valeur": {"posees": 2, "absentes": [], "autres": []}},
}  # fmt: skip # a fact a line


class PC:
    """A PC that the registry certified, with its real key."""

    def __init__(self, bench: Bench, name: str, key: Any = None, siren: str = SIREN) -> None:
        self.bench, self.name, self.number = bench, name, 0
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        kind = "rsa" if isinstance(self.key, rsa.RSAPrivateKey) else "ecdsa"
        asked = Request("agent", "client", f"Agent de {name}", "Commune", siren, key_type=kind, holder="person")
        issued = bench.authority.issue(asked.csr(self.key), asked, Owner(name, name.partition("-")[0]))
        self.certificate, self.serial = load_certificate(issued.pem), issued.serial

    def text(self, facts: Any = None, **changes: Any) -> str:
        self.number += 1
        told = {"quoi": postes.KIND, "version": 1, "poste": self.name, "nom": "pc", "serie": self.serial,
                "numero": self.number, "fait": self.bench.now.isoformat(), "systeme": "windows",
                "constats": GOOD | (facts or {})}  # fmt: skip # as it is told
        return json.dumps(told | changes)

    def signed(self, text: str) -> dict[str, str]:
        if isinstance(self.key, rsa.RSAPrivateKey):
            value = self.key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        else:
            value = self.key.sign(text.encode(), ec.ECDSA(hashes.SHA256()))
        return {"signe": text, "signature": base64.b64encode(value).decode()}

    def sends(self, facts: Any = None, **changes: Any) -> dict[str, str]:
        sent = self.signed(self.text(facts, **changes))
        self.hands(sent)
        return sent

    def hands(self, sent: Any) -> None:
        """Hand anything to the door, under its certificate."""
        self.bench.hour += dt.timedelta(hours=1)
        self.bench.door.keep(self.certificate, identity_of(self.certificate), sent, "", self.bench.hour)


class Bench:
    """A control node with its registry, and the door's real store."""

    def __init__(self, folder: Path) -> None:
        self.home, self.now = folder / "etat", dt.datetime.now(dt.UTC).replace(microsecond=0)
        self.home.mkdir()
        (folder / "porte").mkdir()
        self.authority = Authority(self.home / "pki", Passphrases(self.home / "pki", generate=True))
        self.authority.ensure(SETTINGS)
        self.door, self.hour = Store(folder / "porte"), self.now
        self.extra: list[tuple[str, bytes]] = []
        self.away = False

    def brought(self) -> Iterator[tuple[str, bytes]]:
        yield from poste_facts.brought(self.door.facts)
        yield from self.extra
        if self.away:
            raise FleetError("le guichet ne répond pas")

    def found(self, names: Iterable[str] = (NAME, OTHER)) -> dict[str, postes.KnownFacts]:
        kept = postes.FactsStore(self.home / postes.FOLDER)
        return postes.gather(dict.fromkeys(names, SIREN), self.home / "pki", self.brought, kept, self.now)

    def said(self, name: str = NAME) -> tuple[str, str]:
        known = self.found()[name]
        return known.state, known.reason


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_what_a_pc_signs_is_taken_by_its_own_certificate(bench: Bench, kind: str) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=3072) if kind == "rsa" else None
    pc = PC(bench, NAME, key)
    assert bench.said() == (postes.NEVER, "aucun constat reçu de ce poste")
    pc.sends()
    known = bench.found()
    assert (known[NAME].state, known[NAME].reason, known[OTHER].state) == (postes.JUDGED, "", postes.NEVER)
    facts = known[NAME].facts
    assert facts is not None and facts.told["constats"]["disque"]["valeur"]["libre"] == 5
    assert bench.said() == (postes.JUDGED, "")  # again, the same


def later(pc: PC, hours: int) -> str:
    return (pc.bench.now + dt.timedelta(hours=hours)).isoformat()


HOSTILE: dict[str, tuple[Any, str]] = {
    "forged": (lambda pc: pc.signed(pc.text()) | {"signe": pc.text(nom="autre")}, "pas signés par son certificat"),
    "no signature": (lambda pc: {"signe": pc.text(), "signature": ""}, "pas signés par son certificat"),
    "no base64": (lambda pc: {"signe": pc.text(), "signature": "é"}, "illisibles"),
    "another PC's name": (lambda pc: pc.signed(pc.text(poste=OTHER)), f"signe les constats de « {OTHER} »"),
    "another serial": (lambda pc: pc.signed(pc.text(serie="0" * 40)), "le fichier d'un autre"),
    "another kind": (lambda pc: pc.signed(pc.text(quoi="creatic releve")), "le fichier d'un autre"),
    "name of control characters": (lambda pc: pc.signed(pc.text(poste="x\x1b[2J\n")), "« x\ufffd[2J\ufffd »"),
    "deep": (lambda pc: pc.signed("[" * 20_000), "n'est pas des constats"),
    "no JSON": (lambda pc: pc.signed("rien"), "n'est pas des constats"),
    "a list": (lambda pc: pc.signed("[]"), "n'est pas des constats"),
    "half a character": (lambda pc: {"signe": "\ud800", "signature": ""}, "illisibles"),
    "of the future": (lambda pc: pc.signed(pc.text(fait=later(pc, 3))), "de l'avenir"),
    "before its certificate": (lambda pc: pc.signed(pc.text(fait="2020-01-01T00:00:00Z")), "ne valait pas"),
    "no date": (lambda pc: pc.signed(pc.text(fait="hier")), "« constats_poste.fait »"),
    "without a zone": (lambda pc: pc.signed(pc.text(fait="2026-12-02T09:00:00")), "« constats_poste.fait »"),
    "another version": (lambda pc: pc.signed(pc.text(version=2)), "version 1"),
    "a wrong fact": (lambda pc: pc.signed(pc.text({"disque": {"valeur": {"libre": "x"}}})), "disque.valeur"),
    "neither value nor reason": (lambda pc: pc.signed(pc.text({"smb1": {}})), "constats.smb1"),
    "NaN": (lambda pc: pc.signed(pc.text({"horloge": {"valeur": {"ecart_s": float("nan")}}})), "nombre démesuré"),
    "a negative number": (lambda pc: pc.signed(pc.text(numero=-1)), "« constats_poste.numero »"),
}  # fmt: skip # a case a line


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_wrong_is_refused_and_keeps_no_other(bench: Bench, kind: str) -> None:
    make, words = HOSTILE[kind]
    pc, other = PC(bench, NAME), PC(bench, OTHER)
    other.sends()
    pc.hands(make(pc))
    found = bench.found()
    assert found[NAME].state == postes.REFUSED and words in found[NAME].reason
    assert found[NAME].reason.isprintable() and found[OTHER].state == postes.JUDGED
    bench.extra = []
    pc.sends()
    assert bench.said()[0] == postes.JUDGED  # and what was wrong is forgotten


def test_a_door_that_gives_anything_gets_nothing_believed(bench: Bench) -> None:
    pc, other = PC(bench, NAME), PC(bench, OTHER)
    sent = pc.signed(pc.text())
    of_other = other.certificate.fingerprint(hashes.SHA256()).hex()
    bench.extra = [(of_other, json.dumps(sent).encode()), ("0" * 64, b"x"), ("", b"\xff")]
    assert bench.said(OTHER)[0] == postes.REFUSED
    own = pc.certificate.fingerprint(hashes.SHA256()).hex()
    bench.extra = [(own, b"A" * (50 << 20)), (own, json.dumps(sent).encode())]
    state, reason = bench.said()
    assert state == postes.JUDGED and "dépassent 64 Kio" in reason


@pytest.mark.parametrize("answer", [None, [], {"constats": []}, {"constats": {"x": 1}}, {}])
def test_a_door_that_answers_something_else_is_told(bench: Bench, answer: Any) -> None:
    with pytest.raises(FleetError, match="redéployez"):
        [*poste_facts.brought(lambda _after: answer)]


def test_a_door_that_never_ends_and_a_bomb_end(bench: Bench) -> None:
    bomb = base64.b64encode(zlib.compress(b"A" * (50 << 20))).decode()
    calls = [*poste_facts.brought(lambda _after: {"constats": {"a" * 64: bomb}, "reste": True})]
    assert [len(raw) for _name, raw in calls] == [postes.LARGEST + 1] * 2
    names = (f"{rank:064x}" for rank in itertools.count())
    found = poste_facts.brought(lambda _after: {"constats": {next(names): ""}, "reste": True})
    with pytest.raises(FleetError, match="n'en finit pas"):
        for _one in itertools.islice(found, 100_000):
            pass


def test_a_name_that_was_another_commune_s_gives_none_of_its_certificates(bench: Bench) -> None:
    before, there = PC(bench, NAME, siren=OF_OTHER), PC(bench, NAME)
    there.sends({"chiffrement": {"valeur": {"systeme": False}}})
    bench.now += dt.timedelta(hours=1)
    before.sends()
    known = bench.found()[NAME]
    assert (known.state, known.reason) == (postes.JUDGED, "") and known.facts is not None
    assert known.facts.told["constats"]["chiffrement"]["valeur"] == {"systeme": False}


def test_an_older_or_replayed_one_is_refused_and_the_last_stands(bench: Bench) -> None:
    pc = PC(bench, NAME)
    old = pc.sends()
    bench.now += dt.timedelta(days=1)
    pc.sends()
    assert bench.said()[0] == postes.JUDGED
    pc.hands(old)
    state, reason = bench.said()
    assert state == postes.JUDGED and "quelqu'un les rejoue" in reason
    known = bench.found()[NAME]
    assert known.facts is not None and known.facts.told["numero"] == 2
    pc.number = 0  # later, under a number that served
    bench.now += dt.timedelta(hours=1)
    pc.sends()
    assert "quelqu'un les rejoue" in bench.said()[1]


def test_a_revoked_certificate_speaks_no_more_even_of_before(bench: Bench) -> None:
    pc = PC(bench, NAME)
    pc.sends()
    assert bench.said()[0] == postes.JUDGED
    bench.authority.revoke("cessation", serial=pc.serial)
    state, reason = bench.said()
    assert state == postes.REFUSED and "révoqué" in reason
    renewed = PC(bench, NAME)
    bench.now += dt.timedelta(hours=1)
    renewed.sends()
    assert bench.said()[0] == postes.JUDGED


def test_two_accounts_of_one_pc_and_the_last_one_speaks(bench: Bench) -> None:
    one, two = PC(bench, NAME), PC(bench, NAME)
    one.sends({"horloge": {"non_lu": "x"}})
    bench.now += dt.timedelta(hours=2)
    two.sends()
    known = bench.found()[NAME]
    assert known.state == postes.JUDGED and known.reason == "" and known.facts is not None
    assert "valeur" in known.facts.told["constats"]["horloge"]


def test_silence_is_told_with_its_age_and_a_door_that_is_away_too(bench: Bench) -> None:
    pc = PC(bench, NAME)
    pc.sends()
    bench.away = True
    state, reason = bench.said()
    assert state == postes.JUDGED and "le guichet ne répond pas" in reason
    assert bench.said(OTHER)[0] == postes.AWAY
    bench.away = False
    bench.now += dt.timedelta(days=9)
    state, reason = bench.said()
    assert state == postes.SILENT and "9 jours" in reason
    told = postes.describe_pc(bench.found()[NAME], "minimal", lambda _name: None, bench.now)
    assert {one["verdict"] for one in told["mesures"].values()} == {NON_VERIFIE}
    assert told["releve"]["age_s"] == 9 * 86400


def test_without_an_authority_each_pc_says_why(tmp_path: Path) -> None:
    found = postes.gather(
        {NAME: SIREN}, tmp_path, lambda: (), postes.FactsStore(tmp_path / "x"), dt.datetime.now(dt.UTC)
    )
    assert found[NAME].state == postes.AWAY and "autorité" in found[NAME].reason


# -- measures ------------------------------------------------------------------------------------------


def known(facts: Any = None) -> postes.KnownFacts:
    told = {"fait": "2026-12-02T09:00:00Z", "numero": 1, "nom": "PC", "constats": GOOD | (facts or {})}
    return postes.KnownFacts(postes.JUDGED, "", postes.Facts(b"", told, "0" * 64, ""))


NOW = dt.datetime(2026, 12, 2, 10, tzinfo=dt.UTC)
OLD = {"famille": "windows", "nom": "Windows 10 Pro", "version": "22H2", "edition": "Professional", "build": 19045}


@pytest.mark.parametrize(
    ("measure", "value", "verdict", "words"),
    [
        ("systeme", OLD, NON_CONFORME, "14/10/2025, sauf prolongation"),
        ("systeme", OLD | {"build": 26100}, NON_CONFORME, "13/10/2026"),
        ("systeme", OLD | {"build": 26100, "edition": "Education"}, CONFORME, "12/10/2027"),
        ("systeme", OLD | {"build": 19044, "edition": "EnterpriseS"}, CONFORME, "12/01/2027"),
        ("systeme", OLD | {"build": 99999}, NON_VERIFIE, "ne connaît pas"),
        ("systeme", {"famille": "debian", "nom": "Debian", "version": "13"}, CONFORME, "30/06/2030"),
        ("systeme", {"famille": "fedora", "nom": "x", "version": "13"}, NON_VERIFIE, "ne connaît pas"),
        ("mises_a_jour", {"derniere": "2026-10-01T00:00:00Z", "redemarrage": True}, NON_CONFORME, "62 jours) ; un red"),
        ("antivirus", {"sante": "mauvaise", "source": "registre"}, NON_CONFORME, "arrêté"),
        ("pare_feu", {"domaine": True, "prive": True, "public": False}, NON_CONFORME, "arrêté sur : public"),
        ("administrateurs", {"membres": [], "session": True}, NON_CONFORME, "cette session"),
        ("verrouillage", {"apres_s": 0, "mot_de_passe": False}, NON_CONFORME, "ni limite"),
        ("verrouillage", {"apres_s": 901, "mot_de_passe": True}, NON_CONFORME, "15 minutes"),
        ("verrouillage", {"apres_s": 600, "mot_de_passe": False}, NON_CONFORME, "ni limite"),
        ("smb1", {"client": True, "serveur": False}, NON_CONFORME, "vers d'autres"),
        ("chiffrement", {"systeme": False}, NON_CONFORME, "en clair"),
        ("horloge", {"ecart_s": 301}, NON_CONFORME, "301 s en avance"),
        ("certificats", [{"nom": "maire", "etat": "expire"}], NON_CONFORME, "maire : expire"),
        ("certificats", [{"nom": "maire", "etat": "jeton"}], CONFORME, "1 certificat"),
    ],
)
def test_each_measure_is_judged_by_what_was_read(measure: str, value: Any, verdict: str, words: str) -> None:
    level = "intermediary"
    told = postes.describe_pc(known({measure: {"valeur": value}}), level, lambda _name: None, NOW)["mesures"]
    assert told[measure]["verdict"] == verdict and words in told[measure]["dit"]
    assert {one["verdict"] for name, one in told.items() if name != measure} == {CONFORME}
    unread = postes.describe_pc(known({measure: {"non_lu": "Wine\x07"}}), level, lambda _name: None, NOW)["mesures"]
    assert unread[measure]["verdict"] == NON_VERIFIE and unread[measure]["dit"].startswith("non lu")


def test_an_authority_that_lacks_is_the_certificates_fault() -> None:
    lacks = {"autorites": {"valeur": {"posees": 1, "absentes": ["autorité « Racine » (Root)"]}}}
    told = postes.describe_pc(known(lacks), "minimal", lambda _name: None, NOW)["mesures"]["certificats"]
    assert told["verdict"] == NON_CONFORME and "Racine" in told["dit"]


def test_a_level_asks_for_its_own_and_those_below() -> None:
    every = postes.measures()
    small, large = ({one.nom for one in every.level_measures(level)} for level in ("minimal", "enhanced"))
    assert small < large == {one.nom for one in every.measures} and "chiffrement" in large - small
    assert all(one.fonde and every.sources[one.sources[0]]["date"] for one in every.measures)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [("nom: smb1", "nom: smb9", "rien ne juge « smb9 »"), ("nom: smb1", "nom: horloge", "déjà là"),
     ("source: rgs}", "source: x}", "cette source"), ("niveau: minimal", "niveau: petit", "minimal, intermediary")],
)  # fmt: skip # a case a line
def test_a_wrong_file_is_refused_with_its_field(tmp_path: Path, old: str, new: str, words: str) -> None:
    file = tmp_path / "postes.yml"
    file.write_text(postes._MEASURES_FILE.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(postes.MeasuresError, match=r"postes\.yml") as error:
        postes.measures(file)
    assert words in str(error.value)


# -- in an audit ---------------------------------------------------------------------------------------


def results(pc: postes.KnownFacts, waiver: Any = None) -> dict[str, Any]:
    windows = target(NAME, profile="commune_pc", system="windows", level="minimal")
    told = postes.describe_pc(pc, "minimal", lambda name: waiver if name == "poste_smb1" else None, NOW)
    found = verdict.assess([verdict.Found(windows, poste=told)], Catalogue([]))
    return found | {"postes": postes.summary(found["machines"])}


def test_a_pc_weighs_in_the_audit_as_a_machine_does() -> None:
    bad = known({"smb1": {"valeur": {"client": True, "serveur": True}}, "antivirus": {"non_lu": "Wine"}})
    found = results(bad)
    assert found["machines"][0]["ecarts"] == 1 and not found["verdict"]["conforme"]
    assert audit_run.gaps(found) == [f"poste, partage ancien : {NAME} : SMBv1 vers d'autres et ouvert aux autres"]
    waiver = SimpleNamespace(motif="vieux copieur", responsable="DGS", fin=dt.date(2027, 1, 1))
    waived = results(bad, waiver)
    assert waived["verdict"]["conforme"] and verdict.waivers_used(waived)[0]["objets"] == ["poste_smb1"]
    [measure] = [one for one in waived["postes"]["mesures"] if one["nom"] == "smb1"]
    assert measure["machines"][NAME]["verdict"] == DEROGATION
    silent = results(dataclasses.replace(bad, state=postes.SILENT))
    assert silent["verdict"]["machines_non_auditees"] == [NAME] and silent["verdict"]["ecarts"] == 0
    never = results(postes.KnownFacts(postes.NEVER, "aucun constat"))
    assert never["verdict"]["conforme"]


def test_hostile_texts_are_shown_as_text_and_silence_too() -> None:
    script = "<script>alert(1)</script>"
    bad = known({"systeme": {"valeur": OLD | {"nom": script}}, "antivirus": {"non_lu": script}})
    windows = target(NAME, profile="commune_pc", system="windows", level="minimal")
    mute = target(OTHER, profile="commune_pc", system="windows", level="minimal")
    silent = postes.KnownFacts(postes.SILENT, f"ses derniers constats ont 9 jours {script}", bad.facts)
    found = [
        verdict.Found(one, poste=postes.describe_pc(what, "minimal", lambda _name: None, NOW))
        for one, what in ((windows, bad), (mute, silent))
    ]
    results = results_of(found, Catalogue([]))
    results["postes"] = postes.summary(results["machines"])
    told = page.report(results)
    assert script not in told and told.count("&lt;script&gt;alert(1)") >= 3
    assert "silencieux" in told and "Postes des communes" in told and "50 % libres" in told
    assert "ANSSI, Guide d’hygiène informatique en 42 mesures, 2e édition (2017-09)" in told
    assert "Machines non auditées" not in told
    lines = "\n".join(audit_run.synthesis(results | {"releves": None}, 3))
    assert "Postes     : 1 constatés sur 2, 1 mesure non tenue" in lines and f"✗ {OTHER} : silencieux" in lines


def test_facts_are_judged_and_sealed_with_the_rest(
    bench: Bench, keys: SealKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    pc = PC(bench, NAME)
    sent = pc.sends({"smb1": {"valeur": {"client": True, "serveur": False}}})
    targets = [
        target(NAME, profile="commune_pc", system="windows", level="minimal"),
        target(OTHER, profile="commune_pc", system="windows", level="minimal"),
    ]
    monkeypatch.setattr(evidence_store, "seal_keys", lambda _home: keys)
    order = audit_run.Order(
        REPO, REPO / "inventories" / "lab", bench.home, "", "", Catalogue([]), [], True, facts=bench.brought
    )
    audit = audit_run.Audit(order, lambda _text: None)
    monkeypatch.setattr(audit, "look", lambda: audit_store.write_plan(audit.staging, targets))
    monkeypatch.setattr(audit, "test", lambda _targets: None)
    found, folder = audit.perform()
    assert json.loads((folder / "machines" / NAME / audit_store.FACTS).read_text()) == sent
    told = {one["nom"]: one["poste"] for one in found["machines"]}
    assert (told[NAME]["etat"], told[OTHER]["etat"]) == (postes.JUDGED, postes.NEVER)
    assert told[NAME]["mesures"]["smb1"]["verdict"] == NON_CONFORME and found["verdict"]["ecarts"] == 1
    assert evidence_store.verify_one(folder, keys.root).intact
    _titles, rows = asked.answer(found, asked.Question(machine=NAME))
    assert ["poste", "Partage ancien", "non conforme", "SMBv1 vers d'autres"] in rows


CARRIED = [{"nom": "gondecourt-pc-accueil", "systeme": "debian", "certificats": []}]


def test_pcs_that_nobody_reaches_are_audited_with_all_of_their_commune() -> None:
    commune = {"slug": "gondecourt", "nom": "Gondecourt", "siren": "215902669", "niveau": "minimal"}
    own = {"creatic_commune": commune, "creatic_postes_portes": CARRIED}
    hostvars = {"gondecourt-connecteur": own, "gondecourt-pc": own, "guichet": {}}
    groups = {"commune_gondecourt": ["gondecourt-connecteur", "gondecourt-pc"], "guichet": ["guichet"]}
    [found] = unmanaged_pcs(hostvars, hostvars, groups, "")
    assert (found.name, found.profile, found.level, found.door) == (
        "gondecourt-pc-accueil", postes.PROFILE, "minimal", (),
    )  # fmt: skip # a record
    assert found.system != "debian", "no relevé is asked of it"
    assert found.commune["siren"] == "215902669"
    assert unmanaged_pcs(["gondecourt-connecteur", "guichet"], hostvars, groups, "") == []
    [at] = unmanaged_pcs(hostvars, hostvars, groups, "high")
    assert at.level == "high"
