"""What proves that a PC which nobody reaches works, and what the table says when it does not."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import load_certificate

from creatic.evidence import follow, rollout, store
from creatic.evidence.rollout import Commune, HostInfo, HostRun, Run
from creatic.fleet.signing import FleetError
from creatic.postes import seen
from creatic.registry.groupement import Host
from creatic_agent.identity import Identity, Kind
from tests.unit.postes.test_enrolment import NAME, Bench, bench

__all__ = ["bench"]
SIREN = "215902669"
HOLDER = {"titulaire": "Secrétariat général", "usage": "authentification", "source": "groupement"}
PROVIDER = HOLDER | {"source": "fichier", "titulaire": "Compta", "fichier": "x.p12", "secret": "x"}


def pc(*certificates: dict[str, Any], carried: bool = True) -> Host:
    told = {"nom": "pc", "systeme": "windows", "compte": "agent", "certificats": list(certificates)}
    return Host(NAME, ("commune_pc", "systeme_windows"), {"creatic_poste": told}, carried)


def judged(bench: Bench, host: Host, shift: dt.timedelta = dt.timedelta(), siren: str = SIREN) -> seen.Record:
    now = bench.now() + shift
    return seen.gather([(host, siren)], bench.home / "pki", bench.door.store.seen, now)[NAME]


def shows(bench: Bench, certificate: Any, when: dt.datetime | None = None) -> None:
    bench.door.store.see(certificate, Identity(Kind.PERSON, "x", SIREN), when or bench.now())


def test_a_pc_is_equipped_once_the_door_saw_the_certificate_that_the_registry_has(bench: Bench) -> None:
    bench.enrolment.token(NAME)
    assert judged(bench, pc(HOLDER))["incident"]["raison"] == "certificat « Secrétariat général » : pas encore signé"
    _token, certificate = bench.enrolled()
    told = judged(bench, pc(HOLDER))
    assert told["incident"]["raison"].endswith("signé, et jamais vu à la porte d'enrôlement")
    assert "creatic-poste verifier" in told["incident"]["remede"]
    shows(bench, certificate)
    run = seen.as_run(judged(bench, pc(HOLDER)))
    assert run.rolled_out and run.refused == [] and run.proofs[0]["verdict"] == "ok"
    assert "vu à la porte" in run.proofs[0]["detail"]
    late = judged(bench, pc(HOLDER), dt.timedelta(days=5000))
    assert late["incident"]["raison"].endswith("expiré")


def test_a_name_that_was_another_commune_s_proves_nothing_of_this_one_s_pc(bench: Bench) -> None:
    """Its certificate, still in force and shown each day, had the other PC signed for as equipped."""
    shows(bench, bench.enrolled()[1])
    assert judged(bench, pc(HOLDER))["incident"] is None
    assert judged(bench, pc(HOLDER), siren="215903600")["incident"]["raison"].endswith("pas encore signé")


def test_a_door_that_never_ends_keeps_no_rollout(bench: Bench) -> None:
    def ask(after: str) -> Any:
        one = {"certificat": f"{after}a", "serie": "0", "derniere": "2026-12-03T00:00:00+00:00"}
        return {"vus": [one], "reste": True}

    told = seen.gather([(pc(HOLDER), SIREN)], bench.home / "pki", ask, bench.now())[NAME]
    assert told["incident"]["nature"] == "injoignable" and "n'en finit pas" in told["incident"]["raison"]


def test_a_date_that_cannot_be_proves_nothing(bench: Bench) -> None:
    _token, certificate = bench.enrolled()
    for when in (bench.now() + dt.timedelta(days=2), bench.now() - dt.timedelta(days=30)):
        shows(bench, certificate, when)
        assert "jamais vu" in judged(bench, pc(HOLDER))["incident"]["raison"]


def test_a_provider_s_certificate_is_seen_by_nobody_and_it_is_said(bench: Bench) -> None:
    told = judged(bench, pc(PROVIDER))
    assert (
        "rien ici ne peut voir ce poste" in told["incident"]["raison"]
        and "source: groupement" in told["incident"]["remede"]
    )
    shows(bench, bench.enrolled()[1])
    told = judged(bench, pc(HOLDER, PROVIDER))
    assert told["incident"] is None and told["preuves"][0]["verdict"] == "echec"
    assert "« Compta »" in told["preuves"][0]["detail"] and "capture" in told["preuves"][0]["remede"]


@pytest.mark.parametrize(
    "answer", [{}, [], {"vus": [{}]}, {"vus": [{"certificat": "a", "serie": "b", "derniere": "hier"}]}]
)
def test_a_door_that_says_something_else_claims_nothing(bench: Bench, answer: Any) -> None:
    told = seen.gather([(pc(HOLDER), SIREN)], bench.home / "pki", lambda _after: answer, bench.now())[NAME]
    assert told["incident"]["nature"] == "injoignable" and "redéployez-la" in told["incident"]["raison"]


def test_the_door_is_not_asked_when_no_pc_is_carried(bench: Bench) -> None:
    def ask(_after: str) -> Any:
        raise FleetError("non")

    assert seen.gather([(pc(HOLDER, carried=False), SIREN)], bench.home / "pki", ask, bench.now()) == {}


def test_all_that_was_seen_is_brought_in_parts(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("creatic_enrolement.store._SEEN_TOLD", 1)
    first = bench.enrolled()[1]
    shows(bench, first)
    shows(bench, load_certificate(bench.authority.published()["ca"]))
    assert len(seen.brought(bench.door.store.seen)) == 2


def test_a_commune_is_ready_by_what_servers_saw_of_its_pc(bench: Bench, tmp_path: Path) -> None:
    shows(bench, bench.enrolled()[1])
    seen.write(tmp_path / "vus.json", {NAME: judged(bench, pc(HOLDER))})
    pcs = seen.read(str(tmp_path / "vus.json"))
    assert seen.read("") == {}
    info = HostInfo(NAME, "commune_pc", system="windows", is_carried=True)
    connector = HostInfo("gondecourt-connecteur", "tdt_connector")
    commune = Commune("gondecourt", {"nom": "Gondecourt"}, (info, connector))
    proofs = [{"cle": key, "libelle": key, "verdict": "ok", "detail": "", "mesures": {}} for key in connector.required]
    keys = store.seal_keys(tmp_path)
    for known, ready in ((pcs, True), ({}, False)):
        made = HostRun(rolled_out=True, proofs=[dict(one) for one in proofs])
        run = Run("r", bench.now(), "camille", hosts={connector.name: made}, pcs=known)
        outcome = follow.close_run(tmp_path / f"e{ready}", staged(tmp_path / f"e{ready}"), run, [commune], keys)
        report = outcome.reports["gondecourt"]
        assert (report["equipee"], report["prete"]) == (ready, ready), report["manques"]
        assert outcome.state["gondecourt"]["prete"] is ready
    held = dataclasses.replace(made, rolled_out=False, incident=seen._build_incident("refus", "tenue", "attendre"))
    run = Run("r", bench.now(), "camille", hosts={connector.name: held}, pcs=pcs)
    refused = follow.close_run(tmp_path / "x", staged(tmp_path / "x"), run, [commune], keys)
    assert refused.folder is None, "a rollout that was refused says nothing, whatever its PC is"
    assert rollout.assess(commune, Run("r", bench.now(), "c"), {})["prete"] is False


def staged(evidence: Path) -> Path:
    return store.open_run(evidence, "camille")[1]
