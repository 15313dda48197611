"""The deployment of the servers: what its record keeps of each, and what shows that a server serves."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.host import served
from flask import Flask

from creatic.evidence import follow, servers, store
from creatic.evidence.rollout import HostRun
from creatic.evidence.seal import SealKeys
from testbed.connector import Authority
from testbed.servers import TlsServer

from .test_callback import Rollout

pytestmark = pytest.mark.usefixtures("a_run")

NOW = dt.datetime.now(dt.UTC)
GOOD = {"cle": "services", "libelle": "Services", "verdict": "ok", "detail": "aucun n'est en échec", "mesures": {}}
BAD = GOOD | {"verdict": "echec", "detail": "en échec : nginx.service", "remede": "systemctl status nginx"}


class Servers(Rollout):
    """Drives the callback as playbooks/journeys/servers.yml does."""

    def __init__(self, home: Path, profiles: dict[str, str]) -> None:
        super().__init__(home, list(profiles), machines=servers, profiles=profiles)

    def end(self, failures: tuple[str, ...] = (), dark: tuple[str, ...] = ()) -> dict[str, Any] | None:
        """The end of the run; gives its record."""
        super().end(failures, dark)
        found = sorted(self.home.glob(f"serveurs/2*/{store.SERVERS}"))
        return json.loads(found[-1].read_text(encoding="utf-8")) if found else None


def test_each_server_has_its_line_and_the_record_is_sealed_and_chained(tmp_path: Path, keys: SealKeys) -> None:
    for turn in (1, 2):
        run = Servers(tmp_path, {"documents": "ged", "relais": "passerelle", "sae1": "archive_node"})
        run.play("controles")
        run.play("deploiement")
        run.ok("documents", changed=True)
        run.ok("relais")
        run.lost("sae1")
        run.play("deploiement")  # the plays of site.yml follow each other in one phase
        run.ok("relais")
        run.play("preuves")
        run.ok("documents", creatic_proof={"preuves": [GOOD]})
        run.failed("relais", "Services : en échec", creatic_proof={"preuves": [BAD]})
        record = run.end(("relais",), ("sae1",))
        assert record is not None
        by_name = {machine["nom"]: machine for machine in record["machines"]}
        assert [by_name[name]["pret"] for name in ("documents", "relais", "sae1")] == [True, False, False]
        assert (by_name["documents"]["taches"], by_name["documents"]["changements"]) == (1, 1)
        assert by_name["relais"]["deploye"] and by_name["relais"]["taches"] == 2
        assert by_name["sae1"]["etat"] == "injoignable"
        assert "Serveurs prêts : 1 sur 3." in run.output and "   ✗ relais (passerelle) : " in run.output
        assert (record["precedent"] is not None) == (turn == 2)
    results = store.verify_all(tmp_path / servers.FOLDER, keys.root)
    assert len(results) == 3 and all(one.intact for one in results.values())
    page = next(tmp_path.glob("serveurs/2*/rapport.html")).read_text(encoding="utf-8")
    assert "1 sur 3 prêts" in page and "relais" in page


def task(step: str) -> SimpleNamespace:
    """A task of a role."""
    role = SimpleNamespace(get_name=lambda: step)
    return SimpleNamespace(_uuid=step, get_name=lambda: f"{step} | Ensure", _role=role)


def test_the_next_run_says_how_long_each_step_took(
    tmp_path: Path, keys: SealKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a machine that was done: a failure's duration says nothing."""
    clock = itertools.count(0, 100)
    monkeypatch.setattr(follow.time, "monotonic", lambda: float(next(clock)))
    profiles = {"documents": "ged", "relais": "passerelle"}
    told = []
    for failed in ((), ("relais",), ()):
        run = Servers(tmp_path, profiles)
        run.play("deploiement")
        for name, step in (("documents", "mayan"), ("relais", "passerelle")):
            host = SimpleNamespace(get_name=lambda name=name: name)
            run.callback.v2_runner_on_start(host, task(step))
            told.append(
                (
                    name,
                    run.callback._describe_wait(name, task(step)).text,
                    run.callback._describe_wait(name, task(step)).last,
                )
            )
            run.failed(name, "plein") if name in failed else run.ok(name)
        run.play("preuves")
        for name in {*profiles} - {*failed}:
            run.ok(name, creatic_proof={"preuves": [GOOD]})
        record = run.end(failed) or {}
    by_name = {machine["nom"]: machine["etapes"] for machine in record["machines"]}
    spent = by_name["documents"]["mayan"]
    assert spent >= 100 and by_name["relais"].keys() == {"passerelle"}
    assert [last for _name, _text, last in told] == [0, 0, spent, spent, spent, spent]
    assert told[0][1] == "application documentaire (Mayan)"
    assert "   … relais attend documents" in run.output
    before = servers.before(tmp_path / servers.FOLDER, ["relais"])
    assert before.steps == {"relais": by_name["relais"]} and before.whole == 0  # never deployed alone
    assert servers.before(tmp_path / "rien", ["relais"]) == servers.Before({})


def test_the_same_machines_are_told_how_long_they_took_together(tmp_path: Path, keys: SealKeys) -> None:
    for name, ended, why in (("2026-11-25T010504Z", "01:34:24", ""), ("2026-11-26T010504Z", "01:05:10", "plein")):
        folder = tmp_path / servers.FOLDER / name
        folder.mkdir(parents=True)
        left = [{"nom": "documents", "raison": "", "etapes": {}}, {"nom": "relais", "raison": why}]
        record = {"debut": f"{name[:10]}T01:05:04+00:00", "fin": f"{name[:10]}T{ended}+00:00", "machines": left}
        (folder / store.SERVERS).write_text(json.dumps(record), encoding="utf-8")
    run = Servers(tmp_path, {"documents": "ged", "relais": "passerelle"})
    assert run.output.endswith(" : 2 serveurs ; la dernière fois : 29 min 20 s")
    assert "la dernière fois" not in Servers(tmp_path, {"documents": "ged"}).output


def test_a_run_that_another_one_kept_from_beginning_leaves_no_record(tmp_path: Path) -> None:
    run = Servers(tmp_path, {"documents": "ged"})
    run.play("controles")
    run.failed("documents", "un déploiement de documents est déjà en cours, lancé par lea", creatic_lock_refused=True)
    assert run.end(("documents",)) is None
    assert not list(tmp_path.glob("serveurs/2*"))
    assert "lancé par lea" in run.output


def test_what_fails_on_the_control_node_is_shown(tmp_path: Path) -> None:
    run = Servers(tmp_path, {"documents": "ged"})
    run.play("controles")
    run.play("deploiement")
    run.ok("documents")
    run.failed(
        "localhost", "Dépôt gelé. À faire : fab sauvegarde.revenir", "Control node | Ensure a first backup is made"
    )
    assert "   ✗ localhost : échec (poste de commande : « Control node | Ensure a first backup is made »)" in run.output
    assert "Dépôt gelé" in run.output


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (HostRun(), "le déploiement s'est arrêté avant cette machine"),
        # Ansible stops after a play whose every host failed, as the only backup server does.
        (HostRun(rolled_out=True), "déployée, mais rien ne prouve qu'elle sert : le passage s'est arrêté avant"),
        (HostRun(rolled_out=True, proofs=[BAD]), "Services : en échec : nginx.service"),
        (HostRun(rolled_out=True, proofs=[GOOD], refused=["date de l'an 1"]), "réponse refusée : date de l'an 1"),
    ],
)
def test_what_is_missing_is_told_with_its_fix(run: HostRun, reason: str) -> None:
    told = servers.assess("documents", "ged", run)
    assert not told["pret"] and told["raison"] == reason and told["remede"]


def test_failed_units_are_named() -> None:
    assert served.units(lambda: "\n")["verdict"] == "ok"
    told = served.units(lambda: "nginx.service loaded failed failed A web server\nx.timer loaded failed failed X\n")
    assert (told["verdict"], told["detail"]) == ("echec", "en échec : nginx.service, x.timer")


def beside(first: Authority, second: Authority) -> None:
    """A root put where the renewal of another one puts it."""
    shutil.copy(second.bundle, first.bundle.with_name(f"{first.bundle.stem}-racine2{first.bundle.suffix}"))


def test_a_site_is_opened_by_its_name_and_nobody_else_s(tmp_path: Path) -> None:
    """With the authority that its clients trust, and no other."""
    ours, theirs = Authority(tmp_path / "nous", "Essai"), Authority(tmp_path / "eux", "Autre")
    server = TlsServer(Flask("site"), ours.issue("site", "server"))
    asked: dict[str, Any] = {"now": NOW, "port": server._port}
    told = served.site("localhost", ours.bundle, **asked)
    assert (told["verdict"], "encore 36" in told["detail"]) == ("ok", True), told
    assert (
        served.site("localhost", ours.bundle, NOW + dt.timedelta(days=340), port=server._port)["verdict"] == "attention"
    )
    for name, root in (("ged.creatic.test", ours.bundle), ("localhost", theirs.bundle)):
        told = served.site(name, root, **asked)
        assert told["verdict"] == "echec" and "son certificat est refusé" in told["detail"]
    beside(theirs, ours)
    assert served.site("localhost", theirs.bundle, **asked)["verdict"] == "ok", "its root was renewed"
    theirs.bundle.unlink()
    assert served.site("localhost", theirs.bundle, **asked)["verdict"] == "ok", "the first one ended"
    absent = served.site("localhost", tmp_path / "absente.pem", **asked)
    assert absent["verdict"] == "echec" and absent["remede"]
    server.stop()
    assert "il ne répond pas" in served.site("localhost", ours.bundle, **asked)["detail"]
