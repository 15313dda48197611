"""What is proven of communes that nobody reaches: judged by the control node, from what the door has of them."""

from __future__ import annotations

import base64
import datetime as dt
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from creatic_guichet.store import Store

from creatic.evidence import follow
from creatic.fleet import readiness, waves
from creatic.fleet.waves import MachineState
from creatic.morning import outgoing, screen
from creatic.morning.screen import Morning
from creatic.registry import groupement

TOP = Path(__file__).parents[3]
NOW = dt.datetime(2026, 11, 29, 6, 0, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
HOST = "loos-connecteur"
NAMESPACE = "http://www.interieur.gouv.fr/ACTES#v1.1-20040216"


class Loos:
    """A commune behind a router that transmits, with one PC and its connector, and what the door has of them."""

    def __init__(self, folder: Path) -> None:
        self.inventory = folder / "inventaire"
        shutil.copytree(TOP / "inventories/example", self.inventory)
        file = self.inventory / "communes/loos.yml"
        text = file.read_text().replace("\nservices:", "\nacces: sortant\nservices:").replace("windows", "debian")
        file.write_text(text)
        [self.commune] = [one for one in groupement.load(self.inventory) if one.slug == "loos"]
        self.commune.data["services"] = ["teletransmission"]
        self.siren = str(self.commune.data["siren"])
        names = [host.name for host in self.commune.hosts()]
        self.standings = {name: MachineState(name, waves.UP_TO_DATE, 12) for name in names}
        self.proofs: dict[str, Any] = {name: self.proof(name) for name in names}
        self.servers: dict[str, str] = {}
        self.held: dict[str, Any] = {}

    def proof(self, name: str, at: dt.datetime = NOW - 3 * HOUR, siren: str = "") -> dict[str, Any]:
        """What a machine told of its proofs."""
        keys = ["connexion", "rgs", "classification"] if name == HOST else ["navigateur"]
        made: list[dict[str, Any]] = [
            {"cle": key, "libelle": key, "verdict": "ok", "detail": "", "remede": "", "mesures": {}} for key in keys
        ]
        told: dict[str, Any] = {"preuves": made}
        if name == HOST:
            day, number = f"{at:%Y-%m-%d}", "TEST_261129AAAA"
            identifier = f"059-{siren or self.siren}-{day.replace('-', '')}-{number}-AU"
            made.append({**made[0], "cle": "acte", "mesures": {"numero": number, "idacte": identifier}})
            receipt = (
                f'<a:ARActe xmlns:a="{NAMESPACE}" a:IDActe="{identifier}" a:DateReception="{day}">'
                f'<a:ActeRecu a:NumeroInterne="{number}" a:Date="{day}"/></a:ARActe>'
            )
            told["ar_acte"] = base64.b64encode(receipt.encode()).decode()
        row = {
            "recu": at.isoformat(),
            "fin": at.isoformat(),
            "genre": "bon",
            "version": 12,
            "posee": True,
            "preuves": [told],
        }
        return row

    def judged(self, **changes: Any) -> dict[str, Any]:
        """Its evidence."""
        given: dict[str, Any] = {"bench": True, "now": NOW} | changes
        told = ([*self.standings.values()], self.proofs, self.servers, {"loos": self.held})
        reports, self.states = readiness.judge([self.commune], *told, self.inventory, **given)
        return reports["loos"]

    def why(self, **changes: Any) -> str:
        """Why it is not ready."""
        report = self.judged(**changes)
        assert not report["prete"] and not self.states["loos"]["prete"]
        return "\n".join(f"{one['objet']} : {one['raison']}" for one in report["manques"])


@pytest.fixture
def loos(tmp_path: Path) -> Loos:
    return Loos(tmp_path)


def test_a_commune_is_ready_by_what_its_last_reports_prove(loos: Loos) -> None:
    report = loos.judged()
    assert report["manques"] == [] and report["equipee"] and report["prete"]
    assert loos.states["loos"]["prete"]
    assert loos.states["loos"]["dernier"] == (NOW - 3 * HOUR).isoformat(timespec="seconds")  # never a moment of today
    shown = follow.table({"loos": report}, 120, False)
    assert "v12, prouvée il y a 3 h" in shown and "Prête" in shown


def test_a_machine_that_reports_good_and_is_not(loos: Loos) -> None:
    """All its verdicts are « ok »: the préfecture's own word, and the door's, say something else."""
    good = loos.proofs[HOST]
    without = json.loads(json.dumps(good))
    del without["preuves"][0]["ar_acte"]
    forged = json.loads(json.dumps(good))
    forged["preuves"][0]["ar_acte"] = base64.b64encode(b"<ARActe/>").decode()
    nonsense = json.loads(json.dumps(good))
    nonsense["preuves"][0]["preuves"] = [{"cle": "acte", "verdict": "parfait"}]
    for row, words in (
        (without, "n'est pas joint"),
        (forged, "n'est pas un ARActe"),
        (loos.proof(HOST, siren="215900176"), "est d'une autre commune"),
        (
            {**loos.proof(HOST, NOW - 9 * 24 * HOUR), "recu": NOW.isoformat(), "fin": NOW.isoformat()},
            "n'est pas de ce passage",
        ),
        ({**good, "version": 13}, "preuve de v13, et la machine dit en être à v12"),
        (nonsense, "réponse refusée"),
    ):
        loos.proofs[HOST] = row
        assert words in loos.why()
    loos.proofs[HOST] = good
    never_given = "elle dit avoir la version 13, que le guichet ne lui a jamais donnée"
    loos.standings[HOST] = MachineState(HOST, waves.BLOCKED, 13, never_given, failed=True)
    assert never_given in loos.why()


def test_old_proofs_and_silent_machines_are_told_as_such(loos: Loos) -> None:
    loos.proofs[HOST] = loos.proof(HOST, NOW - readiness.TERM - HOUR)
    assert "preuve périmée : elle est du 25/10/2026" in loos.why()
    assert "prouvée il y a 35 j" in loos.judged()["commune"]["nom"]
    loos.proofs[HOST] = loos.proof(HOST)
    loos.standings[HOST] = MachineState(HOST, waves.LATE, 12, "vue pour la dernière fois le 28/11/2026")
    assert "injoignable" in (told := loos.why()) and "en retard (vue pour la dernière fois le 28/11/2026)" in told
    loos.standings[HOST] = MachineState(HOST, waves.UP_TO_DATE, 12)
    pc = next(name for name in loos.proofs if name != HOST)
    loos.standings[pc] = MachineState(pc, waves.LATE, 12, "éteint")
    assert loos.judged()["prete"]  # people switch PCs off
    del loos.proofs[pc]
    loos.standings[pc] = MachineState(pc, waves.NEVER, 0)
    assert "jamais vue" in loos.why()
    loos.proofs, loos.standings = {}, {}
    assert "rien reçu" in loos.judged()["commune"]["nom"] and loos.why()


def test_what_a_server_holds_is_not_taken_for_proven(loos: Loos) -> None:
    loos.commune.data["services"], loos.servers = ["teletransmission", "ged"], {"documents": "ged"}
    assert "GED : jamais vérifié sur documents" in loos.why()
    [place] = loos.judged()["services"]
    assert (place["cle"], place["etat"]) == ("ged", "non_verifie")
    assert "Lancer : fab commune.deployer loos." in {one["remede"] for one in loos.judged()["manques"]}


def place(at: dt.datetime = NOW - 2 * HOUR, **changes: Any) -> dict[str, Any]:
    """What a run of the servers left of a place."""
    return {
        "passage": "2026-11-29T035500Z",
        "date": at.isoformat(timespec="seconds"),
        "prouve": True,
        "serveurs": ["documents"],
        "pour": ["loos"],
        "detail": "ses types de documents",
        "manques": [],
    } | changes


def test_a_commune_is_ready_when_servers_proved_its_places(loos: Loos) -> None:
    loos.commune.data["services"], loos.servers = ["teletransmission", "ged"], {"documents": "ged"}
    loos.held = {"ged": place()}
    report = loos.judged()
    assert report["prete"] and loos.states["loos"]["prete"]
    assert [(one["cle"], one["etat"], one["detail"]) for one in report["services"]] == [
        ("ged", "prouve", "ses types de documents (le 29 novembre 2026)")
    ]
    gap = {"hote": "", "objet": "GED : serveur documents", "raison": "la commune n'y a plus sa place", "remede": "r"}
    for entry, words in (
        (place(prouve=False, manques=[gap]), "GED : serveur documents : la commune n'y a plus sa place"),
        (place(NOW - readiness.TERM - HOUR), "GED : preuve périmée : elle est du 25/10/2026"),
        (place(NOW + 365 * 24 * HOUR), "GED : preuve datée du 29/11/2027, qui n'est pas encore"),
        (place(serveurs=["documents-ancien"]), "GED : jamais vérifié sur documents"),
    ):
        loos.held = {"ged": entry}
        assert words in loos.why()
        assert words.rpartition(" : ")[2] in loos.judged()["services"][0]["detail"]
    loos.held, loos.servers = {"ged": place()}, {}  # proven once, and its server left the inventory
    assert "l'inventaire n'a aucune machine ged" in loos.why()


def test_an_entity_has_its_places_and_its_doors_too(loos: Loos) -> None:
    """A CCAS that nobody reaches either: what it has on servers, and the doors that its commune's connector opens."""
    town, servers = ["teletransmission", "ged", "parapheur"], {"documents": "ged", "relais": "passerelle"}
    loos.commune.data["services"], loos.servers = town, servers | {"signatures": "parapheur"}
    loos.commune.data["entites"] = [
        {"nom": "ccas", "libelle": "CCAS de Loos", "type": "ccas", "siren": "265903469", "services": ["ged"]}
        | {"president": {"titulaire": "anne.petit"}}
    ]
    [made] = loos.proofs[HOST]["preuves"]
    made["preuves"].append({**made["preuves"][0], "cle": "passerelle"})
    signatures = place(serveurs=["signatures"])
    loos.held = {"ged": place(), "parapheur": signatures}
    assert loos.why() == "GED : pas encore vérifié pour CCAS de Loos"
    loos.held["ged"] = place(pour=["loos", "loos-ccas"])
    assert loos.judged()["prete"]
    loos.commune.data["entites"][0]["services"] = ["ged", "parapheur"]
    loos.held["parapheur"] = place(serveurs=["signatures"], pour=["loos", "loos-ccas"])
    assert "(CCAS de Loos) : preuve non faite" in loos.why()  # its door at the passerelle
    made["preuves"].append({**made["preuves"][0], "cle": "loos-ccas.passerelle"})
    assert loos.judged()["prete"]
    made["preuves"].pop(-2)
    assert "Passerelle : connecteur loos-connecteur : preuve non faite" in loos.why()  # the commune's is wired no more


def test_a_door_whose_clock_is_ahead_keeps_no_proof_alive(loos: Loos) -> None:
    pc = next(name for name in loos.proofs if name != HOST)
    loos.proofs[pc] = loos.proof(pc, NOW + 365 * 24 * HOUR)
    assert "preuve datée du 29/11/2027, qui n'est pas encore : une horloge était fausse" in loos.why()


def test_the_door_keeps_what_was_proven_last_however_long_ago(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store._open() as db:
        db.execute("INSERT INTO machines (nom, siren, attendue) VALUES ('loos-pc', '215903469', 1)")
    report = {"machine": "loos-pc", "version": 1, "posee": True, "genre": "bon", "texte": "", "debut": "", "fin": ""}
    proven = report | {"modifies": [], "preuves": [{"preuves": [], "ar_acte": "AAAA"}]}
    assert store.proven([]) == {"preuves": {}, "reste": False}
    store.keep("loos-pc", json.dumps(proven).encode(), NOW)
    for day in range(100):
        drift = report | {"texte": f"jour {day}", "modifies": [], "preuves": []}
        store.keep("loos-pc", json.dumps(drift).encode(), NOW + day * 24 * HOUR)
    kept = store.proven([])["preuves"]["loos-pc"]
    assert kept["preuves"] == proven["preuves"]
    assert kept["recu"] == NOW.isoformat(timespec="seconds")
    assert len(store.reports(0)) == 61
    store.keep("loos-pc", json.dumps(proven | {"version": 2}).encode(), NOW + 100 * 24 * HOUR)
    store.keep("loos-pc", json.dumps(report | {"modifies": [], "preuves": []}).encode(), NOW + 101 * 24 * HOUR)
    assert store.proven([])["preuves"]["loos-pc"]["version"] == 2
    assert len(store.reports(0)) == 60  # the one before is kept no more


def test_a_morning_tells_it(loos: Loos) -> None:
    machines = waves.machines([loos.commune])
    told = Morning(NOW, communes=screen.states([loos.commune], {}))
    loos.judged()
    outgoing.add(told, machines, None, [*loos.standings.values()], [], loos.states)
    assert told.communes["loos"]["prete"] and told.findings == []
    assert told.communes["loos"]["commune"]["nom"] == "Loos"
    loos.proofs[HOST] = loos.proof(HOST, NOW - readiness.TERM - HOUR)
    loos.judged()
    outgoing.add(told, machines, None, [*loos.standings.values()], [], loos.states)
    assert not told.communes["loos"]["prete"]
    assert [(one.commune, one.machine, one.watched) for one in told.findings] == [("loos", HOST, False)]
    assert "preuve périmée" in told.findings[0].text


def test_proofs_told_as_a_list_are_judged_without_a_receipt(loos: Loos) -> None:
    """One machine's form of report keeps no other commune from being judged."""
    told = loos.proofs[HOST]["preuves"][0]["preuves"]
    loos.proofs[HOST]["preuves"] = [told]
    assert "n'est pas joint" in loos.why()
