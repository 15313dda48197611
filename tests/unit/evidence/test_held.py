"""What servers hold of communes that nobody reaches: proven by deployments of the servers, and what is kept of it."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.words import now

from creatic.evidence import follow, held, servers, store
from creatic.evidence.rollout import Commune, Entity, HostInfo, HostRun, merge_state
from creatic.evidence.seal import SealKeys
from creatic.registry import aim, groupement

from .conftest import commune, new_run, play
from .test_servers import GOOD, Servers

pytestmark = pytest.mark.usefixtures("a_run")

SERVERS = {
    "parapheur": (HostInfo("signatures", "parapheur"),),
    "ged": (HostInfo("documents", "ged"),),
    "passerelle": (HostInfo("relais", "passerelle"),),
}
PROFILES = {"documents": "ged", "signatures": "parapheur", "relais": "passerelle"}


def outgoing(slug: str, *places: str, entities: tuple[Entity, ...] = ()) -> Commune:
    """A commune that nobody reaches."""
    made = commune(slug, slug.capitalize(), 30)
    return Commune(slug, made.identity, made.hosts, None, places, SERVERS, entities=entities, outgoing=True)


LOOS = outgoing("loos", "parapheur", "ged", "passerelle", entities=(Entity("loos-ccas", "CCAS", ("ged",)),))
HEM = outgoing("hem", "ged")


def own(slug: str, verdict: str = "ok") -> dict[str, Any]:
    """The proof of a place."""
    label = {"cle": slug, "libelle": f"Place de {slug}", "verdict": verdict, "detail": f"{verdict} pour {slug}"}
    return {**label, "remede": "", "mesures": {}}


def deploy(home: Path, communes: list[Commune], lost: tuple[str, ...] = (), **proofs: list[dict[str, Any]]) -> Any:
    """Deploy servers as fab serveurs does, each making its proofs; gives what is known then."""
    run = Servers(home, {name: PROFILES[name] for name in (*proofs, *lost)})
    run.callback.communes = communes
    run.play("controles")
    run.play("deploiement")
    for name in proofs:
        run.ok(name)
    for name in lost:
        run.lost(name)
    run.play("preuves")
    for name, made in proofs.items():
        if any(one["verdict"] == "echec" for one in made):
            run.failed(name, "plus de place", creatic_proof={"preuves": made})
        else:
            run.ok(name, creatic_proof={"preuves": made})
        run.ok(name, creatic_proof={"preuves": [GOOD]})
    run.end(tuple(name for name, made in proofs.items() if any(one["verdict"] == "echec" for one in made)), lost)
    return held.known_places(home)


def proven(known: Any) -> dict[str, dict[str, bool]]:
    """Which places are proven."""
    return {slug: {place: one["prouve"] for place, one in places.items()} for slug, places in known.items()}


def test_a_deployment_of_the_servers_proves_the_places_of_each(tmp_path: Path, keys: SealKeys) -> None:
    every = [LOOS, HEM, commune("gondecourt", "Gondecourt", 80)]
    first = deploy(tmp_path, every, documents=[own("loos"), own("loos-ccas"), own("hem")], signatures=[own("loos")])
    assert proven(first) == {"loos": {"parapheur": True, "ged": True}, "hem": {"ged": True}}
    entry = first["loos"]["ged"]
    assert entry["pour"] == ["loos", "loos-ccas"] and entry["serveurs"] == ["documents"]
    assert entry["detail"] == "ok pour loos"
    # Another server alone: the others' stay as they were found.
    second = deploy(tmp_path, every, signatures=[own("loos")])
    assert second["loos"]["ged"] == entry and second["loos"]["parapheur"]["passage"] > entry["passage"]
    # A commune that the server does not serve any more is a failure, and no other commune's.
    third = deploy(tmp_path, every, documents=[own("loos"), own("loos-ccas")])
    assert proven(third) == {"loos": {"parapheur": True, "ged": True}, "hem": {"ged": False}}
    assert third["hem"]["ged"]["manques"][0]["raison"] == "preuve non faite"
    fourth = deploy(tmp_path, every, documents=[own("loos"), own("loos-ccas", "echec"), own("hem")])
    assert proven(fourth) == {"loos": {"parapheur": True, "ged": False}, "hem": {"ged": True}}
    [gap] = fourth["loos"]["ged"]["manques"]
    assert "(CCAS)" in gap["objet"] and gap["raison"] == "echec pour loos-ccas"
    assert not json.loads((store.runs(tmp_path / "serveurs")[-1] / "serveurs.json").read_text())["machines"][0]["pret"]
    assert all(one.intact for one in store.verify_all(tmp_path / "serveurs", keys.root).values())


def test_a_server_that_is_lost_proves_nothing_and_what_another_run_held_changes_nothing(tmp_path: Path) -> None:
    good = deploy(tmp_path, [HEM], documents=[own("hem")])
    run = Servers(tmp_path, {"documents": "ged"})
    run.callback.communes = [HEM]
    run.play("controles")
    run.failed("documents", "un déploiement de documents est déjà en cours", creatic_lock_refused=True)
    run.end(("documents",))
    assert held.known_places(tmp_path) == good
    run = Servers(tmp_path, {"documents": "ged"})
    run.callback.communes = [HEM]
    assert run.callback.follower is not None
    run.callback.follower.run.restriction = "lancé avec --tags"
    run.play("deploiement")
    run.ok("documents")
    run.end()
    assert held.known_places(tmp_path) == good
    lost = deploy(tmp_path, [HEM], lost=("documents",))
    assert proven(lost) == {"hem": {"ged": False}} and "ne répond pas" in lost["hem"]["ged"]["manques"][0]["raison"]


def test_the_latest_of_a_rollout_and_of_a_deployment_is_known(
    tmp_path: Path, keys: SealKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = (now() + number * dt.timedelta(seconds=1) for number in itertools.count())
    for module in (follow, servers):
        monkeypatch.setattr(module, "now", lambda: next(clock))  # runs that end in one second are told apart by nothing
    assert held.known_places(tmp_path) == {}
    assert proven(deploy(tmp_path, [HEM], documents=[own("hem")])) == {"hem": {"ged": True}}
    run = new_run("2026-11-25T010504Z", outgoing=frozenset({"hem"}))
    run.hosts["documents"] = HostRun(rolled_out=True, proofs=[own("hem", "echec")])
    outcome = play(tmp_path / "evidence", run, [HEM], keys)
    assert outcome.folder is not None and not outcome.reports["hem"]["prete"]
    assert proven(held.known_places(tmp_path)) == {"hem": {"ged": False}}
    assert proven(deploy(tmp_path, [HEM], documents=[own("hem")])) == {"hem": {"ged": True}}
    # A run that was not asked for it says nothing of it.
    other = new_run("2026-11-26T010504Z")
    other.hosts["documents"] = HostRun(rolled_out=True)
    assert play(tmp_path / "evidence", other, [HEM], keys).folder is None
    for file in (*tmp_path.glob("serveurs/2*/places.json"), *tmp_path.glob("evidence/2*/etat.json")):
        file.write_text("{")  # half-written, or damaged: nothing is proven by it, and nothing stops
    assert held.known_places(tmp_path) == {}


def test_a_server_answers_for_a_region_at_once() -> None:
    """3,800 communes, of which 1,000 host an entity."""
    run = HostRun(rolled_out=True)
    run.receive("preuves", [own(f"commune-{number}") for number in range(4800)])
    assert run.refused == [] and len(run.proofs) == 4800
    run.receive("preuves", [own("commune-0")])
    assert "deux fois la clé « commune-0 »" in run.refused[0] and run.proofs == []


def test_the_state_of_before_has_no_name_of_servers_and_is_still_read() -> None:
    """Of a commune that was reached when it was proven, by a version that did not note them."""
    entry = {"passage": "p", "date": "2026-11-25T01:05:04+00:00", "prouve": True, "manques": []}
    state = merge_state([HEM], {}, {"hem": {"services": {"ged": entry}}})
    assert state["hem"]["services"] == {"ged": entry}


def test_servers_alone_are_aimed_at_for_a_commune_that_nobody_reaches() -> None:
    def made(slug: str, *services: str, **data: Any) -> Any:
        host = SimpleNamespace(name=f"{slug}-connecteur")
        one = groupement.Commune(slug, {"services": [*services], **data}, "059")
        return SimpleNamespace(
            slug=slug, group=one.group, outgoing=one.outgoing, data=one.data, hosts=lambda: iter([host])
        )

    loos, hem = made("loos", "ged", acces="sortant"), made("hem", "parapheur")
    assert aim.limit([loos, hem], PROFILES, {}) == "commune_hem,documents,relais,signatures"
    assert aim.limit([loos], PROFILES, {}) == "documents"
    assert aim.limit([loos], PROFILES, {}, ["hem-connecteur"]) == ""
    assert aim.limit([loos], PROFILES, {"loos": ["parapheur"]}, ["loos-connecteur"]) == "documents,signatures"
    assert aim.limit([made("bouvines", "teletransmission", acces="sortant")], PROFILES, {}) == ""
