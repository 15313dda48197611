"""What may be claimed of a commune, and what may not."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.words import day_and_hour, duration, now, size

from creatic.evidence.failures import explain
from creatic.evidence.follow import Follower
from creatic.evidence.rollout import HostInfo, HostRun, assess, merge_state
from creatic.registry.wiring import REQUIRED

from .conftest import CONNECTOR, GONDECOURT, PC, new_run, proofs, proven


def judged(run_hosts: dict[str, HostRun], last: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """Evidence of Gondecourt."""
    run = new_run(**fields)
    run.hosts, run.finished = run_hosts, now()
    return assess(GONDECOURT, run, last or {})


def both() -> dict[str, HostRun]:
    """Every host proven."""
    return {host.name: proven(host) for host in GONDECOURT.hosts}


def unreachable(phase: str) -> dict[str, str]:
    """An incident of the network."""
    return {"phase": phase, "nature": "injoignable", "tache": "t", "raison": "l'hôte ne répond pas", "remede": "R."}


def reasons(report: dict[str, Any]) -> list[str]:
    """The gaps, one line each."""
    return [f"{gap['objet']} : {gap['raison']}" for gap in report["manques"]]


def test_all_proven_is_ready() -> None:
    report = judged(both())
    assert (report["complet"], report["equipee"], report["prete"], report["manques"]) == (True, True, True, [])


def test_an_entity_that_a_run_met_is_remembered_once_its_file_no_longer_names_it() -> None:
    ccas = {"slug": "gondecourt-ccas", "nom": "CCAS de Gondecourt", "siren": "265902668", "president": {}}
    hosting = dataclasses.replace(GONDECOURT, identity={**GONDECOURT.identity, "entites": [ccas]})
    # Nothing was deployed of it yet: its line may still change.
    assert merge_state([hosting], {}, {})["gondecourt"]["entites"] == {}
    report = judged(both())
    state = merge_state([hosting], {"gondecourt": report}, {})
    known = {"nom": "CCAS de Gondecourt", "siren": "265902668", "passage": report["passage"]}
    assert state["gondecourt"]["entites"] == {"gondecourt-ccas": known}
    later = {**report, "passage": "2999-01-01T000000Z"}
    gone = merge_state([GONDECOURT], {"gondecourt": later}, state)["gondecourt"]
    assert gone["entites"] == {"gondecourt-ccas": known}
    # A state of before has the commune's file alone.
    old = {"gondecourt": {key: value for key, value in state["gondecourt"].items() if key != "entites"}}
    assert merge_state([GONDECOURT], {"gondecourt": later}, old)["gondecourt"]["entites"] == {"gondecourt-ccas": known}


def test_a_formality_that_lacks_keeps_it_from_being_ready_and_stays_told() -> None:
    known = {"cle": "convention_prefet", "libelle": "Convention avec le préfet", "reference": "CGCT, R2131-3"}
    lacking = {**known, "etat": "manque", "raison": "rien dans communes/gondecourt.yml", "remede": "Écrire."}
    commune_ = dataclasses.replace(GONDECOURT, formalities=[lacking])
    run = new_run()
    run.hosts, run.finished = both(), now()
    report = assess(commune_, run, {})
    assert (report["equipee"], report["prete"]) == (True, False)
    assert reasons(report) == ["formalité : Convention avec le préfet : rien dans communes/gondecourt.yml"]
    state = merge_state([commune_], {}, merge_state([commune_], {"gondecourt": report}, {}))["gondecourt"]
    assert (state["equipee"], state["prete"]) == (True, False)
    settled = dataclasses.replace(GONDECOURT, formalities=[{**lacking, "etat": "faite"}])
    assert assess(settled, run, {})["prete"]


@pytest.mark.parametrize("host", GONDECOURT.hosts, ids=lambda host: host.profile)
def test_every_required_proof_counts(host: HostInfo) -> None:
    for key, label in REQUIRED[host.profile].items():
        for change in ("echec", "attention", "absente"):
            hosts = both()
            failed = {"verdict": change, "detail": "refusé par le TdT"}
            hosts[host.name].proofs = [
                proof for proof in proofs(host, **{key: failed}) if change != "absente" or proof["cle"] != key
            ]
            report = judged(hosts)
            assert (report["equipee"], report["prete"]) == (True, False)
            reason = "preuve non faite" if change == "absente" else "refusé par le TdT"
            assert reasons(report) == [f"{host.label} : {label} : {reason}"]


@pytest.mark.parametrize("verdict", ["attention", "echec"])
def test_a_proof_that_is_not_asked_is_told_and_does_not_block(verdict: str) -> None:
    hosts = both()
    other = {"cle": "compte", "libelle": "Compte", "verdict": verdict, "detail": "deux comptes", "mesures": {}}
    hosts[CONNECTOR.name].proofs.append(other)
    report = judged(hosts)
    assert report["prete"]
    assert [item["raison"] for item in report["reserves"]] == ["deux comptes"]


def test_a_host_lost_in_the_middle_is_named_and_the_other_keeps_its_proof() -> None:
    hosts = both()
    hosts[PC.name] = HostRun(incident=unreachable("deploiement"))
    report = judged(hosts)
    assert (report["complet"], report["equipee"], report["prete"]) == (True, False, False)
    assert reasons(report) == ["poste gondecourt-pc : injoignable pendant « Déploiement » : l'hôte ne répond pas"]
    assert [host["prouve"] for host in report["hotes"]] == [False, True]


def test_a_host_lost_before_its_proof_is_equipped_and_not_ready() -> None:
    hosts = both()
    hosts[PC.name] = dataclasses.replace(hosts[PC.name], proofs=[], incident=unreachable("preuves"))
    report = judged(hosts)
    assert (report["equipee"], report["prete"]) == (True, False)
    assert reasons(report) == ["poste gondecourt-pc : preuves : l'hôte ne répond pas"]


def test_a_partial_run_claims_nothing_of_the_rest() -> None:
    hosts = {PC.name: proven(PC)}
    last = {CONNECTOR.name: {"resume": "déployé et prouvé", "date": "2026-11-24T08:00:00+00:00"}}
    report = judged(hosts, last)
    assert (report["complet"], report["equipee"], report["prete"]) == (False, False, False)
    assert reasons(report) == [
        "connecteur gondecourt-connecteur : non vérifié dans ce passage "
        "(dernier état : déployé et prouvé, le 24 novembre 2026)"
    ]
    assert "jamais déployé" in reasons(judged(hosts))[0]


def test_a_run_restricted_by_tags_claims_nothing() -> None:
    report = judged(both(), restriction="lancé avec --tags : une partie des tâches n'a pas été faite")
    assert (report["equipee"], report["prete"]) == (False, False)
    assert reasons(report)[0].startswith("passage restreint : lancé avec --tags")
    assert merge_state([GONDECOURT], {"gondecourt": report}, {})["gondecourt"]["hotes"] == {}


def test_a_targeted_host_that_the_run_never_reached_is_not_deployed() -> None:
    report = judged(both() | {PC.name: HostRun()})
    assert not report["equipee"]
    assert reasons(report) == ["poste gondecourt-pc : le déploiement s'est arrêté avant cet hôte"]


def test_a_windows_pc_is_not_said_proven() -> None:
    windows = dataclasses.replace(PC, system="windows")
    run = new_run()
    run.hosts, run.finished = {PC.name: HostRun(rolled_out=True), CONNECTOR.name: proven(CONNECTOR)}, now()
    report = assess(dataclasses.replace(GONDECOURT, hosts=(windows, CONNECTOR)), run, {})
    assert (report["equipee"], report["prete"]) == (True, False)
    assert "non automatisée sur Windows" in reasons(report)[0]


def test_a_commune_without_connector_is_not_ready() -> None:
    run = new_run()
    run.hosts, run.finished = {PC.name: proven(PC)}, now()
    alone = dataclasses.replace(GONDECOURT, hosts=(PC,))
    report = assess(alone, run, {})
    assert (report["equipee"], report["prete"]) == (True, False)
    assert reasons(report) == ["connecteur de la commune : aucun connecteur décrit"]
    assert not merge_state([alone], {"gondecourt": report}, {})["gondecourt"]["prete"]


# -- The state carried from run to run ----------------------------------------------------------------


def test_two_partial_runs_make_a_ready_commune_each_part_with_its_date() -> None:
    first = judged({PC.name: proven(PC)}, run_id="2026-11-24T080000Z")
    state = merge_state([GONDECOURT], {"gondecourt": first}, {})
    assert not state["gondecourt"]["equipee"]
    assert [gap["raison"] for gap in state["gondecourt"]["manques"]] == ["jamais déployé"]
    second = judged({CONNECTOR.name: proven(CONNECTOR)}, run_id="2026-11-25T080000Z")
    state = merge_state([GONDECOURT], {"gondecourt": second}, state)["gondecourt"]
    assert (state["equipee"], state["prete"], state["passage"]) == (True, True, "2026-11-25T080000Z")
    assert state["hotes"][PC.name]["passage"] == "2026-11-24T080000Z"


@pytest.mark.parametrize("given_back", [True, False])
def test_a_long_run_does_not_undo_what_another_proved_once_it_gave_the_commune_back(given_back: bool) -> None:
    """The one that failed here an hour ago is proven there, before the run over fifty communes ends."""
    state = merge_state([GONDECOURT], {"gondecourt": judged(both())}, {})
    over = now() - timedelta(hours=1) if given_back else None
    failed = {host.name: HostRun(incident=unreachable("deploiement"), over=over) for host in GONDECOURT.hosts}
    after = merge_state([GONDECOURT], {"gondecourt": judged(failed)}, state)["gondecourt"]
    assert after["prete"] is given_back


def test_a_host_that_cannot_be_reached_any_more_loses_its_proof() -> None:
    state = merge_state([GONDECOURT], {"gondecourt": judged(both())}, {})
    assert state["gondecourt"]["prete"]
    later = judged({PC.name: HostRun(incident=unreachable("controles"))})
    state = merge_state([GONDECOURT], {"gondecourt": later}, state)["gondecourt"]
    assert (state["equipee"], state["prete"]) == (False, False)
    assert "injoignable" in state["manques"][0]["raison"]


def test_a_refused_or_unreached_host_keeps_its_last_state() -> None:
    state = merge_state([GONDECOURT], {"gondecourt": judged(both())}, {})
    refused = unreachable("controles") | {"nature": "refus"}
    later = judged({PC.name: HostRun(incident=refused), CONNECTOR.name: HostRun()})
    assert merge_state([GONDECOURT], {"gondecourt": later}, state)["gondecourt"]["prete"]


def test_a_host_added_to_the_file_makes_the_commune_not_ready_and_a_removed_one_is_forgotten() -> None:
    state = merge_state([GONDECOURT], {"gondecourt": judged(both())}, {})
    larger = dataclasses.replace(GONDECOURT, hosts=(*GONDECOURT.hosts, HostInfo("gondecourt-pc-2", "commune_pc")))
    after = merge_state([larger], {}, state)
    assert not after["gondecourt"]["equipee"]
    assert merge_state([GONDECOURT], {}, after)["gondecourt"]["prete"]


# -- Words --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (
            "Failed to connect to the host via ssh: ssh: connect to host 10.59.2.10 port 22: Connection timed out",
            "ne répond pas",
        ),
        ("Failed to connect to the host via ssh: ssh: connect to host x port 22: No route to host", "ne répond pas"),
        ("Connection timed out during banner exchange", "ne répond pas"),
        ("ssh: connect to host 127.0.0.1 port 1: Connection refused", "refuse la connexion SSH"),
        ("creatic@10.59.2.10: Permission denied (publickey).", "refuse la clé SSH"),
        ("Host key verification failed.", "clé d'hôte"),
        ("Could not resolve hostname pc: Name or service not known", "nom de l'hôte est introuvable"),
        ("Shared connection to 10.59.2.10 closed.", "coupée"),
        ("Missing sudo password", "droits sudo"),
        ("/bin/sh: 1: /usr/bin/python3: not found", "Python 3 est absent"),
    ],
)
def test_the_words_of_ssh_become_french(message: str, reason: str) -> None:
    assert reason in explain(message)[0]
    assert explain(message)[1].endswith(".")


@pytest.mark.parametrize(
    "message",
    [
        "les listes de paquets ne se mettent pas à jour : E: Failed to fetch http://miroir.test/debian/InRelease  "
        "Temporary failure resolving 'miroir.test' / Err:1 Could not resolve 'miroir.test'",
        "les listes de paquets ne se mettent pas à jour : E: Could not connect to miroir.test:80, connection timed out",
        "Site ged.test : il ne répond pas : [Errno 111] Connection refused. Sur la machine : systemctl status nginx",
        "[Errno 13] Permission denied: '/etc/creatic'",
    ],
)
def test_what_a_host_that_answers_says_of_others_is_not_taken_for_what_ssh_says_of_it(message: str) -> None:
    run = new_run(hosts={"documents": HostRun()})
    follower = Follower(run)
    follower.begin("controles")
    follower.stopped("documents", "Updates | Ask", {"msg": message}, reached=True)
    incident = run.hosts["documents"].incident
    assert incident is not None and incident["raison"] == " ".join(message.split())


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("Timed out waiting for last boot time check (timeout=1800)", "ne répond pas"),
        ("Timeout (12s) waiting for privilege escalation prompt: ", "ne répond pas"),
        ("failed to transfer file to /tmp/x: lost connection: broken pipe", "coupée"),
        ("MODULE FAILURE Shared connection to 10.59.2.10 closed.", "coupée"),
        ("Missing sudo password", "droits sudo"),
        ('Failed to create temporary directory. Failed command was: ( umask 77 && mkdir -p "`', "n'a pas où écrire"),
        (
            "Finalization of task args for 'cdg59.creatic.file_set' failed: Error while resolving value for 'files': "
            "The lookup plugin 'ansible.builtin.file' failed: Unable to access the file '/srv/Été/a.pem': File not "
            "found. Use -vvvvv to see paths searched.",
            "le fichier /srv/Été/a.pem est introuvable sur le poste de commande",
        ),
        (
            "Error while resolving value for 'msg': 'creatic_tdt_url' is undefined",
            "la variable « creatic_tdt_url » n'a pas de valeur",
        ),
    ],
)
def test_what_ssh_says_of_a_host_that_had_answered_is_still_french(message: str, reason: str) -> None:
    assert reason in explain(message, reached=True)[0]


def test_an_unknown_message_is_kept_on_one_line() -> None:
    assert explain("Le dépôt\n  est plein")[0] == "Le dépôt est plein"


def test_dates_are_french_and_local() -> None:
    assert day_and_hour("2026-01-01T23:30:00+00:00").replace("\xa0", " ") == "le 2 janvier 2026 à 0 h 30"
    assert day_and_hour("2026-06-30T23:05:00+00:00").replace("\xa0", " ") == "le 1er juillet 2026 à 1 h 05"


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "0 s"), (59.4, "59 s"), (60, "1 min 00 s"), (185, "3 min 05 s")])
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("octets", "text"),
    [(0, "0 o"), (999, "999 o"), (1000, "1 ko"), (40_300, "40,3 ko"), (49_999, "50 ko"), (999_960, "1 Mo"),
     (1_500_000, "1,5 Mo"), (20_000_000_000, "20 Go"), (5e15, "5000 To")],
)  # fmt: skip # a case a line
def test_a_size_is_never_shown_as_nothing(octets: float, text: str) -> None:
    assert size(octets) == text
