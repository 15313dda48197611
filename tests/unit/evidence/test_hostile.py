"""A machine answers what it wants: its own evidence suffers, and no other."""

from __future__ import annotations

import atexit
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.callback.rollout import CallbackModule
from ansible_collections.cdg59.creatic.plugins.module_utils.words import day

from creatic.evidence.failures import failure_message
from creatic.evidence.follow import RUN_FOLDER
from creatic.evidence.page import value
from creatic.evidence.rollout import ANSWERS, HostRun
from testbed.strange import places, put

from .conftest import commune, new_run, play, proven

COMMUNES = [commune("gondecourt", "Gondecourt", 80), commune("anor", "Anor", 22)]
PC, CONNECTOR = COMMUNES[0].hosts
DEEP: Any = []
for _ in range(60):
    DEEP = [DEEP]
STRANGE = [
    *(None, "", "x", 0, -1, 10**400, 1e308 * 10, float("nan"), True, [], {}, [None], ["x"], [{}], {"x": 1}, DEEP),
    *("0001-01-01T00:00:00", "9999-12-31T23:59:59+00:00", "0001-01-01", "\ud800\u202e\x00\x1b[2J", "x" * 10**6),
]
GOOD: dict[str, Any] = {
    "controles": [{"cle": "disque", "libelle": "Disque", "verdict": "ok", "detail": "12 Gio", "mesures": {"n": 1}}],
    "preuves": [
        {"cle": "rgs", "libelle": "RGS", "verdict": "ok", "detail": "oui", "mesures": {"a_s": 1, "b": ["c"], "le": "d"}}
    ],
    "fichiers": [{"chemin": f"{PC.name}/a.png", "sha256": "a" * 64, "octets": 9}],
    "certificats": [
        {
            "nom": "tdt",
            "titulaire": "a",
            "sujet": "CN=a",
            "emetteur": "b",
            "numero": "01",
            "fin": "2027-11-25T00:00:00Z",
        }
    ],
    "correctifs": [
        {
            "paquets": [{"nom": "openssl", "installee": "1", "disponible": "2", "securite": True}],
            "inacheves": [],
            "retenus": [],
            "services": ["cron.service"],
            "redemarrer": [],
            "sessions": [],
            "demarre": 1,
            "listes": 1,
        }
    ],
}


def variants(good: Any) -> Iterator[Any]:
    """The answer, with something strange at one place, or without it."""
    for path in places(good):
        for strange in (*STRANGE, ...):
            if path or strange is not ...:
                yield put(good, path, strange)


@pytest.mark.parametrize("kind", sorted(ANSWERS))
def test_a_strange_answer_spoils_no_other_evidence(tmp_path: Path, kind: str) -> None:
    """Whatever is kept of it, the evidence is written, of every commune."""
    places = [commune(f"c{rank}", f"Commune {rank}", 80) for rank, _ in enumerate(variants(GOOD[kind]))]
    run = new_run()
    for place, answer in zip(places, variants(GOOD[kind]), strict=True):
        bad, good = place.hosts
        run.hosts |= {bad.name: proven(bad), good.name: proven(good)}
        setattr(run.hosts[bad.name], ANSWERS[kind], answer)
    outcome = play(tmp_path / "evidence", run, places, None)
    assert outcome.folder and len(outcome.reports) == len(places)
    for place in places:
        told = json.loads((outcome.folder / place.slug / "preuve.json").read_text(encoding="utf-8"))
        assert [host["prouve"] for host in told["hotes"] if host["nom"] == place.hosts[1].name] == [True]
        assert "\x1b" not in (outcome.folder / place.slug / "preuve.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", sorted(ANSWERS))
@pytest.mark.parametrize("answer", [[{"verdict": "ok"}], "tout va bien", [["x"]], {"x": 1}])
def test_what_is_refused_is_told_and_proves_nothing(tmp_path: Path, kind: str, answer: Any) -> None:
    run = new_run()
    run.hosts = {host.name: proven(host) for place in COMMUNES for host in place.hosts}
    run.hosts[PC.name].receive(kind, answer)
    outcome = play(tmp_path / "evidence", run, COMMUNES, None)
    assert (outcome.reports["gondecourt"]["prete"], outcome.reports["anor"]["prete"]) == (False, True)
    (gap,) = outcome.reports["gondecourt"]["manques"]
    assert (gap["hote"], gap["objet"]) == (PC.name, f"poste {PC.name} : réponse refusée")
    assert f"champ « {kind}" in gap["raison"]
    assert "la vérifier" in gap["remede"]


def test_a_refused_answer_is_told_of_a_machine_that_failed_as_well(tmp_path: Path) -> None:
    run = new_run()
    incident = {"phase": "deploiement", "nature": "echec", "tache": "x", "raison": "la raison", "remede": "y"}
    run.hosts = {PC.name: HostRun(incident=incident), CONNECTOR.name: proven(CONNECTOR)}
    run.hosts[PC.name].receive("controles", 3)
    report = play(tmp_path / "evidence", run, COMMUNES, None).reports["gondecourt"]
    assert ["réponse refusée" in gap["objet"] for gap in report["manques"]] == [True, False]


@pytest.mark.parametrize(("texts", "too_large"), [(209, False), (210, True)])
def test_an_answer_has_four_mebibytes_at_most(texts: int, too_large: bool) -> None:
    host = HostRun()
    host.receive("preuves", ["x" * 20_000] * texts)
    [refused] = host.refused
    assert (refused == "champ « preuves » : 4200840 caractères, 4194304 au plus") == too_large


def test_two_answers_with_one_key_are_refused() -> None:
    host = proven(PC)
    host.receive("preuves", [host.proofs[0]])
    assert host.proofs == []
    assert host.refused == ["champ « preuves » : deux fois la clé « navigateur »"]


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00", "0001-01-01", "9999-12-31T23:59:59"])
def test_the_first_and_the_last_day_are_shown(text: str) -> None:
    assert day(text)
    assert value(text)


# -- As Ansible hears it --------------------------------------------------------------------------------------------


@pytest.fixture
def callback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CallbackModule]:
    monkeypatch.setenv(RUN_FOLDER, "")
    monkeypatch.delenv("CREATIC_ROLLOUT_ID", raising=False)
    made = CallbackModule()
    made.alone = True
    made._display = SimpleNamespace(display=lambda _text, color=None: None)
    made.begin(tmp_path, COMMUNES, [host.name for place in COMMUNES for host in place.hosts], "", False)
    yield made
    atexit.unregister(made._handle_interruption)


def heard(host: str, **content: Any) -> SimpleNamespace:
    """A result of a task."""
    return SimpleNamespace(
        host=SimpleNamespace(get_name=lambda: host),
        task=SimpleNamespace(
            _parent=None, _uuid="", get_name=lambda: "Rollout | Prove", action="cdg59.creatic.proof", _role=None
        ),
        result=content,
        is_changed=lambda: False,
    )


def test_strange_results_leave_the_others_their_evidence(callback: CallbackModule, tmp_path: Path) -> None:
    assert callback.follower
    for phase in ("controles", "deploiement", "preuves"):
        callback.follower.begin(phase)
        for answer in (*STRANGE, {"preuves": 3}, {"preuves": [{"verdict": "ok"}]}, {"fichiers": {"a": 1}}):
            callback.v2_runner_on_ok(heard(PC.name, creatic_preflight=answer, creatic_proof=answer))
            callback.v2_runner_on_failed(heard(PC.name, msg=answer, results=answer, creatic_proof=answer))
        for place in COMMUNES:
            for host in place.hosts[place is COMMUNES[0] :]:
                proofs = {"preuves": proven(host).proofs} if phase == "preuves" else {}
                callback.v2_runner_on_ok(heard(host.name, creatic_proof=proofs))
        callback._end_phase()
    callback.v2_playbook_on_stats(SimpleNamespace(failures={}, dark={}))
    (state,) = tmp_path.glob("evidence/2*/etat.json")
    known = json.loads(state.read_text(encoding="utf-8"))
    assert (known["gondecourt"]["prete"], known["anor"]["prete"]) == (False, True)
    assert known["gondecourt"]["hotes"][CONNECTOR.name]["prouve"]
    assert any("réponse refusée" in gap["objet"] for gap in known["gondecourt"]["manques"])


def test_a_proof_counts_in_its_own_phase_only(callback: CallbackModule) -> None:
    assert callback.follower
    for phase in ("controles", "deploiement"):
        callback.follower.begin(phase)
        callback.v2_runner_on_ok(heard(PC.name, creatic_proof={"preuves": proven(PC).proofs}))
    assert callback.follower.run.hosts[PC.name].proofs == []


@pytest.mark.parametrize("items", STRANGE)
def test_a_strange_failure_has_a_message(items: Any) -> None:
    assert failure_message({"msg": "la raison", "results": items}) == "la raison"


def test_a_refused_file_keeps_its_machine_from_being_ready(callback: CallbackModule, tmp_path: Path) -> None:
    assert callback.follower
    for phase in ("deploiement", "preuves"):
        callback.follower.begin(phase)
        for host in COMMUNES[0].hosts:
            refused = ["capture.png : ce n'est pas une image PNG"] if host is PC else []
            callback.v2_runner_on_ok(heard(host.name, creatic_proof={"preuves": proven(host).proofs, "refus": refused}))
    callback.v2_playbook_on_stats(SimpleNamespace(failures={}, dark={}))
    (path,) = tmp_path.glob("evidence/2*/gondecourt/preuve.json")
    report = json.loads(path.read_text(encoding="utf-8"))
    assert (report["equipee"], report["prete"]) == (True, False)
    assert [gap["raison"] for gap in report["manques"]] == ["capture.png : ce n'est pas une image PNG"]
