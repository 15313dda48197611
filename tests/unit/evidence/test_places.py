"""A commune's place on the servers: what proves it, what a run says of it, and who takes part in a rollout."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
import yaml
from ansible.errors import AnsibleActionFail
from ansible_collections.cdg59.creatic.plugins.action import place_proof, server_turn
from ansible_collections.cdg59.creatic.plugins.module_utils.applications import places
from ansible_collections.cdg59.creatic.plugins.module_utils.words import now
from flask import Flask, Response, jsonify, request

from creatic.evidence.failures import explain
from creatic.evidence.follow import (
    lacking_places,
    read_communes,
    table,
)
from creatic.evidence.page import commune_page, index_page
from creatic.evidence.rollout import PLACES, Commune, Entity, HostInfo, HostRun, Run, assess, leaving_of, merge_state
from creatic.evidence.store import lock_commune
from creatic.registry import aim, groupement, profiles, wiring
from creatic.registry.wiring import REQUIRED
from testbed.connector import Authority
from testbed.servers import TlsServer

from .conftest import commune, new_run, proofs, proven

REPO = Path(__file__).parents[3]
GONDECOURT = {"slug": "gondecourt", "nom": "Gondecourt", "siren": "215902669"}
LOOS = {"slug": "loos", "nom": "Loos", "siren": "215903600"}
SERVERS = {
    "parapheur": (HostInfo("signatures", "parapheur"),),
    "deliberations": (HostInfo("seances", "deliberations"),),
    "ged": (HostInfo("documents", "ged"),),
    "passerelle": (HostInfo("relais", "passerelle"),),
    "archivage": (HostInfo("sae1", "archive_node"), HostInfo("versement", "archive_gateway")),
}


# -- the doors of the applications ------------------------------------------------------------------------------------


class Application:
    """The three applications in one, as far as they are asked: who is admitted, which communes have a place."""

    def __init__(self) -> None:
        self.password, self.communes, self.made = "secret", [GONDECOURT], 0
        self.app = Flask("application")
        self.app.before_request(self.answer)

    def answer(self) -> Any:
        path, known = request.path, [(one["nom"], one["siren"]) for one in self.communes]
        if path.endswith("/token/obtain/"):
            good = request.get_json()["password"] == self.password
            return (jsonify({"token": "jeton"}), 200) if good else (jsonify({"detail": "refusé"}), 400)
        if path.endswith("/document_types/"):
            kinds = [f"{name} - {kind} [{siren}]" for name, siren in known for kind in ("Acte", "PV")]
            # Of another commune, whatever it is called.
            return jsonify({"results": [{"label": one} for one in [*kinds, "Loos - Acte [215906539]"]]})
        if path.endswith("/cabinets/"):
            paths = [f"{name} [{siren}]{below}" for name, siren in known for below in ("", " / Actes")]
            return jsonify({"results": [{"full_path": one} for one in [*paths, "Loos", "Loos / Actes"]]})
        if path.endswith("/creatic/dossiers/"):
            slugs = [one["slug"] for one in self.communes]
            told = ["circuit : « » est inconnu ; connus : deliberation", "reference : champ obligatoire absent"]
            if request.get_json()["commune"] not in slugs:
                told.insert(0, f"commune : « x » n'a pas de parapheur ; connues : {', '.join(slugs)}")
            return jsonify({"message": " ; ".join(told)}), 400
        authorization = request.authorization
        if authorization is None or authorization.password != self.password:
            return Response(status=401)
        if path == "/@adoptees":
            return jsonify({"results": []})
        there = path.strip("/") in [one["slug"] for one in self.communes]
        return jsonify({"@type": "Institution"}) if there else Response(status=404)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("pki") / "groupement", "groupement de test")
    made.issue("site", "server")
    return made


@pytest.fixture
def site(authority: Authority) -> Iterator[tuple[Application, TlsServer, places.Door]]:
    application = Application()
    server = TlsServer(application.app, authority.folder / "site")
    yield application, server, places.Door("localhost", authority.bundle, port=int(server.url.rpartition(":")[2]))
    server.stop()


Site = tuple[Application, TlsServer, places.Door]


@pytest.mark.parametrize("application", sorted(places.DOORS))
def test_a_place_is_proven_commune_by_commune(site: Site, application: str) -> None:
    _site, _server, door = site
    here, gone = places.prove(application, door, "passerelle", "secret", [GONDECOURT, LOOS])
    assert (here["cle"], here["verdict"], here["remede"]) == ("gondecourt", "ok", ""), here
    assert (gone["cle"], gone["verdict"]) == ("loos", "echec")
    assert "n'y a plus sa place" in gone["detail"] and "fab commune.deployer loos" in gone["remede"]


def test_a_parapheur_that_stumbles_on_one_commune_proves_the_others(site: Site) -> None:
    application, _server, door = site

    def stumble() -> Any:
        if request.path.endswith("/dossiers/") and request.get_json()["commune"] == "loos":
            return Response("panne", status=500)
        return None

    application.app.before_request_funcs[None].insert(0, stumble)
    bad, good = places.prove("parapheur", door, "passerelle", "secret", [LOOS, GONDECOURT])
    assert good["verdict"] == "ok", good
    assert bad["verdict"] == "echec" and "réponse inattendue" in bad["detail"] and "(500)" in bad["detail"]
    assert bad["remede"].startswith("Fab serveurs, sur la machine de localhost")


@pytest.mark.parametrize("application", sorted(places.DOORS))
def test_a_wrong_account_or_an_expired_password_proves_nobody_and_is_named(site: Site, application: str) -> None:
    _site, _server, door = site
    found = places.prove(application, door, "passerelle", "mot-de-passe-perime", [GONDECOURT, LOOS])
    assert [one["verdict"] for one in found] == ["echec", "echec"]
    assert "refuse le compte technique « passerelle » (HTTP 40" in found[0]["detail"]
    assert "mot-de-passe-perime" not in str(found)
    assert found[0]["remede"].startswith("Rendez-lui le mot de passe")


@pytest.mark.parametrize("application", sorted(places.DOORS))
def test_a_site_that_is_away_or_not_the_groupement_s_proves_nobody(
    site: Site, application: str, tmp_path: Path
) -> None:
    _site, server, door = site
    stranger = Authority(tmp_path / "autre", "autre")
    wrong = places.Door("localhost", stranger.bundle, port=door.port)
    [refused] = places.prove(application, wrong, "passerelle", "secret", [GONDECOURT])
    assert refused["verdict"] == "echec" and "un certificat qui est refusé" in refused["detail"]
    server.stop()
    [away] = places.prove(application, door, "passerelle", "secret", [GONDECOURT])
    assert away["verdict"] == "echec" and away["detail"].endswith("ne répond pas : connexion refusée")
    assert explain(away["detail"])[0] == away["detail"]  # not taken for what ssh says of a machine


def test_the_account_is_the_programs_own_and_its_password_the_control_node_s(tmp_path: Path) -> None:
    assert place_proof.account("ged", {"passerelle": ["relais"]}) == "passerelle"
    assert place_proof.account("ged", {"passerelle": []}) == "admin"
    assert place_proof.account("parapheur", {}) == "passerelle"
    assert place_proof.password_file(tmp_path, "ged", "admin") == tmp_path / "ged" / "admin"
    assert place_proof.password_file(tmp_path, "ged", "passerelle") == tmp_path / "ged" / "comptes" / "passerelle"


def proof_task(tmp_path: Path, profile: str = "ged", besides: tuple[str, ...] = (), **changes: Any) -> Any:
    task = MagicMock(args={"secrets_dir": str(tmp_path), "besides": besides}, check_mode=False, async_val=0)
    made = place_proof.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    made._templar.template = lambda value: value
    made._execute_module = lambda name, args, task_vars: {"name": name, **args}
    variables = {
        "creatic_profil": profile,
        "creatic_names": ["ged.test"],
        "creatic_communes": [GONDECOURT | {"siren": "215902669"}, LOOS],
        "groups": {"passerelle": ["relais"], "commune_gondecourt": ["gondecourt-pc"], "commune_loos": ["loos-pc"]},
        "ansible_play_hosts_all": ["documents", "gondecourt-pc"],
    }
    return made.run(task_vars=variables | changes)


def test_communes_of_the_run_alone_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(AnsibleActionFail, match="mot de passe du compte « passerelle » est illisible"):
        proof_task(tmp_path)
    (tmp_path / "ged" / "comptes").mkdir(parents=True)
    (tmp_path / "ged" / "comptes" / "passerelle").write_text("secret\n")
    asked = proof_task(tmp_path)
    assert asked["communes"] == [GONDECOURT] and asked["password"] == "secret" and "secrets_dir" not in asked
    assert proof_task(tmp_path, profile="archive_gateway")["skipped"]
    assert proof_task(tmp_path, ansible_play_hosts_all=["documents"])["skipped"]
    # And those that nobody reaches, whose machines are in no play.
    besides: dict[str, Any] = {"besides": ["acces_sortant"], "ansible_play_hosts_all": ["documents"]}
    groups = {"passerelle": ["relais"], "commune_gondecourt": ["gondecourt-pc"], "commune_loos": ["loos-pc"]}
    assert proof_task(tmp_path, **besides)["skipped"]
    made = proof_task(tmp_path, **besides, groups=groups | {"acces_sortant": ["loos-pc"]})
    assert made["communes"] == [LOOS] and "besides" not in made


def test_thousands_of_machines_are_aimed_at_by_a_file(tmp_path: Path) -> None:
    """The system takes no argument of 128 KiB: what fab gives a shell is one."""
    names = [f"commune-{number:05}-poste-de-la-mairie" for number in range(6000)]
    (tmp_path / "hosts").write_text("\n".join(names), encoding="utf-8")
    wanted = names[1:]
    tool = str(Path(sys.executable).with_name("ansible"))
    command = [tool, "all", "-i", str(tmp_path / "hosts"), "--list-hosts", "--limit", ",".join(wanted)]
    with pytest.raises(OSError, match="Argument list too long"):
        subprocess.run(["sh", "-c", shlex.join(command)], check=False)
    with aim.shortened(command) as given:
        done = subprocess.run(["sh", "-c", shlex.join(given)], cwd=tmp_path, capture_output=True, text=True, check=True)
        file = Path(given[-1].removeprefix("@"))
        assert file.is_file()
    assert [line.strip() for line in done.stdout.splitlines()[1:]] == wanted
    assert not file.exists()
    with aim.shortened(["--limit", "a,b", "--check"]) as given:
        assert given == ["--limit", "a,b", "--check"]


# -- one's turn on a server -------------------------------------------------------------------------------------------


def turn(home: Path, pid: int, monkeypatch: pytest.MonkeyPatch, **args: Any) -> tuple[dict[str, Any], list[str]]:
    monkeypatch.setattr(server_turn, "playbook_pid", lambda: pid)
    now = [0.0]  # its clock, which its pauses alone move: a busy machine is none of its business
    passes = SimpleNamespace(monotonic=lambda: now[0], sleep=lambda seconds: now.append(now.pop() + seconds))
    monkeypatch.setattr(server_turn, "time", passes)
    task = MagicMock(args={"home": str(home), **args}, check_mode=args.pop("check", False), async_val=0)
    made = server_turn.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    said: list[str] = []
    made._display = MagicMock(display=said.append)
    return made.run(task_vars={"inventory_hostname": "documents"}), said


def test_a_turn_is_waited_for_then_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "verrous" / "serveur-documents.json"
    assert turn(tmp_path, os.getpid(), monkeypatch)[0] == {"changed": False} and lock.exists()
    refused, said = turn(tmp_path, os.getppid(), monkeypatch, timeout=60)
    assert refused["creatic_lock_refused"] and f"processus {os.getpid()} sur" in refused["msg"]
    assert len(said) == 1 and "documents : un déploiement sur documents est déjà en cours" in said[0]
    turn(tmp_path, os.getppid(), monkeypatch, state="given")
    assert lock.exists()  # nobody gives back another's
    turn(tmp_path, os.getpid(), monkeypatch, state="given")
    assert not lock.exists()
    assert turn(tmp_path, os.getpid(), monkeypatch, check=True)[0] == {"changed": False} and not lock.exists()


def test_a_deployment_of_the_servers_and_a_rollout_take_the_same_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock_commune(tmp_path / "verrous", "serveur-documents", os.getppid(), "lea", "un déploiement de documents")
    refused, _said = turn(tmp_path, os.getpid(), monkeypatch, timeout=20)
    assert refused["failed"] and "lancé par lea" in refused["msg"]


@pytest.mark.parametrize("fails", ["task", "handler"])
def test_what_fails_on_a_server_keeps_its_turn_from_nobody(tmp_path: Path, fails: str) -> None:
    """With the tasks of the rollout themselves, run by Ansible; the place is one of the test."""
    place = tmp_path / "place.yml"
    failing = {"ansible.builtin.command": "false"}
    done: dict[str, Any] = {"ansible.builtin.command": "true", "notify": "Relance"}
    place.write_text(json.dumps([done, *[failing] * (fails == "task")]), encoding="utf-8")
    play = {
        "hosts": "documents",
        "connection": "local",
        "gather_facts": False,
        "become": False,
        "strategy": "ansible.builtin.host_pinned",
        "vars": {
            "creatic_home": str(tmp_path),
            "creatic_profil": os.path.relpath(place.with_suffix(""), REPO / "playbooks" / "places"),
        },
        "handlers": [{"name": "Relance", **failing}],
        "tasks": [{"ansible.builtin.include_tasks": str(REPO / "playbooks" / "journeys" / "tasks" / "place.yml")}],
    }
    (tmp_path / "play.yml").write_text(json.dumps([play]), encoding="utf-8")
    done_run = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", "documents,", tmp_path / "play.yml"],
        env=os.environ | {"ANSIBLE_CONFIG": str(REPO / "ansible.cfg")},
        capture_output=True,
        text=True,
        check=False,
    )
    said = done_run.stdout + done_run.stderr
    assert done_run.returncode == 2 and "Take the server's turn" in said and "Give the server's turn back" in said, said
    assert not list((tmp_path / "verrous").glob("*.json"))


# -- what a run shows -------------------------------------------------------------------------------------------------


def taking(*names: str, **changes: Any) -> Commune:
    """Gondecourt, with these places."""
    return replace(commune("gondecourt", "Gondecourt", 80), places=names, servers=SERVERS, **changes)


def shown(made: Commune, **changes: HostRun | None) -> Run:
    """A run in which everything is proven, but for what changes by host (None: it was not in the run)."""
    run = new_run(finished=now())
    for host in made.hosts:
        run.hosts[host.name] = proven(host)
        if host.profile == "tdt_connector":
            run.hosts[host.name].proofs += [own(one) for one in ("passerelle", "archivage")]
    for place, servers in SERVERS.items():
        for info in servers:
            run.hosts[info.name] = HostRun(rolled_out=True, proofs=[own("gondecourt")] if place in places.DOORS else [])
    for name, other in changes.items():
        run.hosts.pop(name.replace("_", "-"), None)
        if other is not None:
            run.hosts[name.replace("_", "-")] = other
    return run


def own(key: str, verdict: str = "ok", detail: str = "vu") -> dict[str, Any]:
    return {"cle": key, "libelle": key, "verdict": verdict, "detail": detail, "mesures": {}}


def states(report: dict[str, Any]) -> dict[str, str]:
    return {one["cle"]: one["etat"] for one in report["services"]}


EVERY = taking(*PLACES)
LOST = {"phase": "deploiement", "nature": "injoignable", "tache": "t", "raison": "l'hôte ne répond pas", "remede": "v"}


def test_ready_means_every_place_and_the_table_has_a_column_for_each() -> None:
    report = assess(EVERY, shown(EVERY), {})
    assert report["prete"] and states(report) == dict.fromkeys(PLACES, "prouve")
    alone = assess(taking(), shown(taking()), {})
    assert alone["prete"] and alone["services"] == []
    lines = table({"gondecourt": report, "autre": alone}, 200, color=False).splitlines()
    assert [cell.strip() for cell in lines[1].strip("│").split("│")] == [
        "Commune", "Équipée", *PLACES.values(), "Prête", "Ce qui manque",
    ]  # fmt: skip # a list by rows
    assert [cell.strip() for cell in lines[3].strip("│").split("│")] == ["Gondecourt", *["oui"] * 7, "—"]
    assert [cell.strip() for cell in lines[5].strip("│").split("│")] == [
        "Gondecourt", "oui", *["—"] * 5, "oui", "—",
    ]  # fmt: skip # a list by rows


@pytest.mark.parametrize(
    ("changes", "place", "state", "subject", "reason"),
    [
        ({"documents": HostRun(incident=LOST)}, "ged", "echec", "GED : serveur documents", "injoignable"),
        ({"sae1": HostRun(incident=LOST)}, "archivage", "echec", "Archivage : serveur sae1", "l'hôte ne répond pas"),
        (
            {"seances": HostRun(incident=LOST | {"nature": "refus", "raison": "déjà en cours, lancé par lea"})},
            "deliberations", "non_verifie", "Délibérations : serveur seances", "lancé par lea",
        ),
        (
            {"signatures": HostRun(rolled_out=True, proofs=[own("gondecourt", "echec", "plus de place")])},
            "parapheur", "echec", "Parapheur : serveur signatures", "plus de place",
        ),
        (
            {"signatures": HostRun(rolled_out=True, proofs=[own("loos")])},
            "parapheur", "echec", "Parapheur : serveur signatures", "preuve non faite",
        ),
        (
            {"gondecourt_connecteur": HostRun(rolled_out=True, proofs=[*proofs(EVERY.hosts[1]), own("archivage")])},
            "passerelle", "echec", "Passerelle : connecteur gondecourt-connecteur", "preuve non faite",
        ),
        ({"relais": None}, "passerelle", "non_verifie", "Passerelle : serveur relais", "non vérifié"),
    ],
)  # fmt: skip # a case a line
def test_a_place_that_is_not_shown_fails_its_column_alone(
    changes: dict[str, HostRun | None], place: str, state: str, subject: str, reason: str
) -> None:
    report = assess(EVERY, shown(EVERY, **changes), {})
    assert states(report) == dict.fromkeys(PLACES, "prouve") | {place: state}
    assert report["equipee"] and not report["prete"]
    [gap] = report["manques"]
    assert gap["objet"] == subject and reason in gap["raison"] and gap["remede"]
    assert all(host["prouve"] for host in report["hotes"])
    assert "Sa place sur les serveurs" in commune_page(report)


@pytest.mark.parametrize("second", [HostRun(rolled_out=True, proofs=[own("gondecourt", "echec", "plus de place")]),
                                    HostRun(rolled_out=True, proofs=[own("loos")])])  # fmt: skip # a case a line
def test_every_server_of_a_place_proves_it(second: HostRun) -> None:
    both = (*SERVERS["ged"], HostInfo("documents-bis", "ged"))
    made = replace(taking("ged"), servers=SERVERS | {"ged": both})
    good = HostRun(rolled_out=True, proofs=[own("gondecourt")])
    assert assess(made, shown(made, documents_bis=good), {})["prete"]
    report = assess(made, shown(made, documents_bis=second), {})
    assert states(report) == {"ged": "echec"} and not report["prete"]
    assert [gap["objet"] for gap in report["manques"]] == ["GED : serveur documents-bis"]


def test_another_commune_s_fault_on_a_server_is_not_this_one_s() -> None:
    fault = {"phase": "preuves", "nature": "echec", "tache": "t", "raison": "loos : plus de place", "remede": "r"}
    both = HostRun(rolled_out=True, incident=fault, proofs=[own("gondecourt"), own("loos", "echec")])
    assert assess(EVERY, shown(EVERY, documents=both), {})["prete"]


def test_a_server_that_the_inventory_has_not_is_named_with_the_fix() -> None:
    groups = {profile: ["x"] for profile in profiles.load()} | {"ged": []}
    lacking = lacking_places(["ged", "parapheur"], groups, "communes/gondecourt.yml")
    assert [*lacking] == ["ged"]
    made = taking("ged", lacking=lacking)
    made = replace(made, servers=SERVERS | {"ged": ()})
    report = assess(made, shown(made), {})
    assert states(report) == {"ged": "echec"}
    [gap] = report["manques"]
    assert "l'inventaire n'a aucune machine ged" in gap["raison"] and "communes/gondecourt.yml" in gap["remede"]


# -- the last known state ---------------------------------------------------------------------------------------------


def carried(made: Commune, run: Run, before: dict[str, Any]) -> dict[str, Any]:
    known = before.get("gondecourt", {})
    report = assess(made, run, {}, leaving_of(made.places, known))
    return merge_state([made], {"gondecourt": report}, before)


def test_a_place_keeps_its_last_known_state_until_a_run_says_otherwise() -> None:
    before = carried(EVERY, shown(EVERY), {})
    assert before["gondecourt"]["prete"]
    refused = HostRun(incident=LOST | {"nature": "refus"})
    assert carried(EVERY, shown(EVERY, documents=refused), before)["gondecourt"]["services"]["ged"]["prouve"]
    after = carried(EVERY, shown(EVERY, documents=HostRun(incident=LOST)), before)["gondecourt"]
    assert not after["prete"] and not after["services"]["ged"]["prouve"]
    assert [gap["objet"] for gap in after["manques"]] == ["GED : serveur documents"]
    page = index_page({"passage": "p", "fin": "2026-11-25T01:00:00+00:00", "debut": "2026-11-25T01:00:00+00:00",
                       "operateur": "a", "code": "", "precedent": None}, {"gondecourt": after})  # fmt: skip # a table
    assert all(f'<th scope="col">{label}</th>' in page for label in PLACES.values())


def test_a_service_added_to_the_file_is_asked_for_and_one_removed_is_taken_back() -> None:
    first = taking("ged")
    state = carried(first, shown(first), {})
    added = taking("ged", "parapheur")
    waiting = merge_state([added], {}, state)["gondecourt"]
    assert not waiting["prete"] and [gap["raison"] for gap in waiting["manques"]] == ["jamais vérifié"]
    removed = taking("parapheur")
    assert leaving_of(removed.places, state["gondecourt"]) == ["ged"]
    run = shown(removed, documents=HostRun(incident=LOST))
    report = assess(removed, run, {}, ["ged"])
    assert report["prete"] and "pas encore retiré" in report["reserves"][-1]["raison"]
    kept = carried(removed, run, state)
    assert kept["gondecourt"]["retraits"] == ["ged"] and [*kept["gondecourt"]["services"]] == ["parapheur"]
    partial = shown(removed)
    partial.restriction = "lancé avec --tags : une partie des tâches n'a pas été faite"
    assert carried(removed, partial, kept)["gondecourt"]["retraits"] == ["ged"]
    done = carried(removed, shown(removed), kept)
    assert done["gondecourt"]["retraits"] == []
    old: dict[str, Any] = {"gondecourt": {"hotes": {}}}  # a state of before there were places
    assert leaving_of(removed.places, old["gondecourt"]) == [] and merge_state([removed], {}, old)


# -- who takes part ---------------------------------------------------------------------------------------------------


def test_a_rollout_takes_the_servers_where_its_communes_have_or_had_their_place() -> None:
    communes = {one.slug: one for one in groupement.load(REPO / "inventories" / "lab")}
    known = {"documents": "ged", "signatures": "parapheur", "seances": "deliberations", "relais": "passerelle",
             "sae1": "archive_node", "versement": "archive_gateway", "tdt": "tdt_simulator"}  # fmt: skip # a table
    every = "commune_gondecourt,documents,relais,sae1,seances,signatures,versement"
    assert aim.limit([communes["gondecourt"]], known, {}) == every
    pc = "gondecourt-pc-secretariat"
    assert aim.limit([communes["gondecourt"]], known, {}, [pc]) == every.replace("commune_gondecourt", pc)
    assert aim.limit([communes["gondecourt"]], known, {}, ["ailleurs"]) == ""
    plain = replace(communes["gondecourt"], data=communes["gondecourt"].data | {"services": ["teletransmission"]})
    assert aim.limit([plain], known, {}) == "commune_gondecourt"
    assert aim.limit([plain], known, {"gondecourt": ["archivage"]}) == "commune_gondecourt,sae1,versement"


def test_a_pattern_is_ansible_s() -> None:
    assert aim.matching(REPO / "inventories" / "lab", REPO, "commune_gondecourt:&tdt_connector") == [
        "gondecourt-connecteur"
    ]
    with pytest.raises(aim.AimError, match="--limite nulle_part"):
        aim.matching(REPO / "inventories" / "absent", REPO, "nulle_part")


def test_places_are_wired_by_the_services_of_a_commune() -> None:
    groups = {
        "ged": ["documents"],
        "archive_node": ["sae1"],
        "archive_gateway": ["versement"],
        "passerelle": ["relais"],
    }
    assert wiring.commune_servers(groups, ["teletransmission"]) == {}
    assert wiring.commune_servers(groups, ["ged", "archivage"]) == {
        "ged": ["documents"],
        "archivage": ["sae1", "versement"],
    }
    assert wiring.commune_servers(groups, ["parapheur"]) == {"parapheur": [], "passerelle": ["relais"]}
    assert sorted(wiring.proven_places({"services": ["parapheur", "archivage"]})) == ["archivage", "passerelle"]
    assert {*PLACES} == {one.place for one in profiles.load().values() if one.place}
    steps = [profiles.place_step(number) for number in (1, 2, 3)]
    assert sorted(name for names in steps for name in names) == sorted(profiles.marked("place")) and not steps[2]


@pytest.mark.parametrize("profile", profiles.marked("place"))
def test_a_place_is_given_what_the_profile_gives(profile: str) -> None:
    """Two files say it: they say the same."""

    def given(file: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for task in yaml.safe_load(file.read_text(encoding="utf-8")):
            found |= task.get("vars", {})
        return {name: str(value).split() for name, value in found.items()}

    whole = given(REPO / "playbooks" / "profiles" / f"{profile}.yml")
    place = given(REPO / "playbooks" / "places" / f"{profile}.yml")
    assert place and {name: whole.get(name) for name in place} == place


# -- the entities that a commune hosts ---------------------------------------------------------------------------------


def hosting() -> tuple[Commune, Run]:
    """Gondecourt, whose connector sends its CCAS's acts too, in a run that proved everything."""
    ccas = Entity("gondecourt-ccas", "CCAS de Gondecourt", ("parapheur", "passerelle"))
    town = commune("gondecourt", "Gondecourt", 80)
    pc, connector = town.hosts
    more = tuple((f"{ccas.slug}.{key}", f"{label} (CCAS)") for key, label in REQUIRED["tdt_connector"].items())
    connector = replace(connector, more=more)
    town = replace(town, hosts=(pc, connector), places=("parapheur", "passerelle"), servers=SERVERS, entities=(ccas,))
    run = new_run(hosts={host.name: proven(host) for host in town.hosts})
    run.finished = now()
    own = run.hosts[connector.name].proofs
    doors = [
        {"cle": key, "libelle": key, "verdict": "ok", "detail": "vu", "mesures": {}}
        for key in ("passerelle", "gondecourt-ccas.passerelle", *dict(more))
    ]
    own += doors
    signatures = HostRun(rolled_out=True, proofs=[{**doors[0], "cle": key} for key in ("gondecourt", ccas.slug)])
    run.hosts |= {"signatures": signatures, "relais": HostRun(rolled_out=True)}
    return town, run


def test_a_commune_is_ready_when_its_entities_are() -> None:
    town, run = hosting()
    report = assess(town, run, {})
    assert (report["prete"], report["manques"], report["reserves"]) == (True, [], [])


@pytest.mark.parametrize(
    ("host", "key", "told"),
    [
        ("gondecourt-connecteur", "gondecourt-ccas.acte", "Acte de test acquitté (ARActe) (CCAS)"),
        ("gondecourt-connecteur", "gondecourt-ccas.passerelle", "(CCAS de Gondecourt)"),
        ("signatures", "gondecourt-ccas", "(CCAS de Gondecourt)"),
    ],
)
def test_what_an_entity_lacks_is_told_on_its_commune_s_line(host: str, key: str, told: str) -> None:
    town, run = hosting()
    [one] = [one for one in run.hosts[host].proofs if one["cle"] == key]
    one |= {"verdict": "echec", "detail": "refusé"}
    for fault in ("refusé", "preuve non faite"):
        report = assess(town, run, {})
        assert not report["prete"]
        [gap] = report["manques"]
        assert told in gap["objet"]
        assert gap["raison"] == fault
        run.hosts[host].proofs = [other for other in run.hosts[host].proofs if other["cle"] != key]


def machine(name: str, profile: str, variables: dict[str, Any]) -> SimpleNamespace:
    """A host as Ansible's inventory has it."""
    return SimpleNamespace(name=name, vars=variables, get_groups=lambda: [SimpleNamespace(name=profile)])


def listed(name: str, profile: str) -> SimpleNamespace:
    return SimpleNamespace(vars={}, get_hosts=lambda: [machine(name, profile, {})])


def test_a_run_reads_entities_from_the_inventory(tmp_path: Path) -> None:
    inventory = tmp_path / "inventory"
    shutil.copytree(REPO / "inventories/lab", inventory)
    file = inventory / "communes/gondecourt.yml"
    text = file.read_text(encoding="utf-8").partition("entites:")[0]
    file.write_text(
        text + "entites:\n  - {nom: ecoles, libelle: Caisse des écoles de Gondecourt, type: caisse_des_ecoles, siren: "
        '"265903013", president: {titulaire: claire.dubois}, '
        "services: [teletransmission, deliberations, parapheur], parapheur: {redacteurs: [claire.dubois]}}\n",
        encoding="utf-8",
    )
    found = {one.slug: one for one in groupement.load(inventory)}
    groups: dict[str, Any] = {
        "passerelle": listed("relais", "passerelle"),
        "deliberations": listed("s", "deliberations"),
    }
    for one in found.values():
        hosts = [machine(host.name, host.groups[0], host.variables) for host in one.hosts()]
        groups[one.group] = SimpleNamespace(vars={"creatic_commune": one.variables}, get_hosts=lambda kept=hosts: kept)
    loaded = SimpleNamespace(
        _sources=[str(inventory)], groups=groups, get_host=lambda name: machine(name, "passerelle", {})
    )
    towns = {one.slug: one for one in read_communes(loaded, bench=True)}
    assert towns["gondecourt"].entities == (
        Entity("gondecourt-ecoles", "Caisse des écoles de Gondecourt", ("parapheur", "deliberations", "passerelle")),
    )
    asked = {host.name: [key for key, _label in host.more] for host in towns["gondecourt"].hosts}
    assert asked["gondecourt-connecteur"] == [f"gondecourt-ecoles.{key}" for key in REQUIRED["tdt_connector"]]
    assert asked["gondecourt-pc-secretariat"] == []
    assert towns["la-madeleine"].entities == ()
