"""Waves of communes that are reached from here: cut as a publication's, and none after one that is not ready."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from invoke import Context
from invoke.exceptions import Exit

from creatic.cli import common, exploitation, technicien
from creatic.evidence import store
from creatic.evidence.seal import SealKeys
from creatic.fleet import bundle, pushed
from creatic.fleet.signing import FleetError
from creatic.registry import groupement
from tests.unit.evidence.conftest import commune as a_commune
from tests.unit.evidence.conftest import make_authority, new_run, play, proven

COMMUNES = groupement.load(Path(__file__).parents[3] / "inventories/example")


@pytest.mark.parametrize("by", ["territoire", "taille", "vague"])
def test_each_commune_is_in_one_wave_after_the_canary(by: str) -> None:
    first, *rest = pushed.split(COMMUNES, by, [], [])
    assert first[0] == "canari" and len(first[1]) == 1
    [canary] = [one for one in COMMUNES if one.slug == first[1][0]]
    assert canary.data["vague"] == min(one.data["vague"] for one in COMMUNES)
    assert sorted(slug for _name, slugs in (first, *rest) for slug in slugs) == sorted(one.slug for one in COMMUNES)
    told = {name: {str(one.variables[by]) for one in COMMUNES if one.slug in slugs} for name, slugs in rest}
    assert all(len(values) == 1 and name == f"{by} {values.pop()}" for name, values in told.items())


def test_a_canary_is_chosen_and_names_that_are_none_are_refused() -> None:
    assert pushed.split(COMMUNES, "vague", ["loos"], [])[0] == ("canari", ["loos"])
    with pytest.raises(FleetError, match="--canari : lens n'est pas une des communes"):
        pushed.split(COMMUNES, "vague", ["lens"], [])
    with pytest.raises(FleetError, match="--excuser : lens n'est pas une des communes"):
        pushed.split(COMMUNES, "vague", [], ["lens", "loos"])
    with pytest.raises(FleetError, match="« jour » n'existe pas"):
        pushed.split(COMMUNES, "jour", [], [])
    with pytest.raises(FleetError, match="aucune de ces communes"):
        pushed.split([], "vague", [], [])


def test_a_wave_goes_on_only_when_all_proved_or_were_excused_by_name() -> None:
    problems = ["loos : parapheur : pas là", "loos-sur-mer : PC : éteint"]
    assert pushed.holding(True, [], []) == []
    assert pushed.holding(True, problems, []) == pushed.holding(False, problems, []) == problems
    assert pushed.holding(False, problems, ["loos"]) == problems[1:]
    assert pushed.holding(False, problems, ["loos", "loos-sur-mer"]) == []
    assert pushed.holding(False, [], ["loos"]) == ["le déploiement n'est pas allé au bout"]


@dataclass
class Command:
    """``fab commune.deployer --par``: notes each run of Ansible, and leaves the sealed evidence that it would.

    Attributes:
        home: state of the control node.
        keys: what seals.
        answers: what keeps a commune from being ready, by short name.
        content: what the digest of the code and of the inventory is.
        status: whether Ansible ends well.
        noted: communes of each run.
        before: what happens before a run, given its communes.
        only: how the names of the hosts that are aimed at end.
    """

    home: Path
    keys: SealKeys
    answers: dict[str, str] = field(default_factory=dict)
    content: str = "a" * 64
    status: bool = True
    noted: list[list[str]] = field(default_factory=list)
    before: Callable[[list[str]], None] = field(default=lambda _slugs: None)
    only: str = ""
    known: list[groupement.Commune] = field(default_factory=lambda: [one for one in COMMUNES if not one.outgoing])

    def playbook(self, _context: Context, name: str, *arguments: str, env: dict[str, str]) -> bool:
        """Stands in for Ansible's run."""
        assert name == "journeys/rollout.yml" and arguments[0] == "--limit"
        self.noted.append(slugs := arguments[1].split(","))
        self.before(slugs)
        run = new_run(env["CREATIC_ROLLOUT_ID"], content=env["CREATIC_ROLLOUT_CONTENT"])
        every = [a_commune(one.slug, one.slug, 30) for one in self.known]
        for host in (host for one in every if one.slug in slugs for host in one.hosts):
            if host.name.endswith(self.only):
                run.hosts[host.name] = proven(host)
        for slug, why in self.answers.items():
            if pc := run.hosts.get(f"{slug}-pc"):
                pc.rolled_out, pc.incident = False, {"phase": "deploiement", "nature": "injoignable", "tache": ""}
                pc.incident |= {"raison": why, "remede": "Allumez-le."}
        assert not play(self.home / "evidence", run, every, self.keys).unsealed
        return self.status

    def __call__(self, excused: str = "", by: str = "vague", canary: str = "loos", **options: Any) -> list[list[str]]:
        self.noted.clear()
        technicien.rollout.body(Context(), "toutes", par=by, canari=canary, excuser=excused, **options)
        return [*self.noted]

    def shown(self, status: int | None, capsys: pytest.CaptureFixture[str]) -> str:
        """What ``fab flotte.etat`` says."""
        capsys.readouterr()
        try:
            exploitation.fleet_status.body(Context())
            assert status is None
        except Exit as error:
            assert error.code == status
        return capsys.readouterr().out

    @property
    def waves(self) -> list[list[str]]:
        """All the waves of these communes."""
        return [slugs for _name, slugs in pushed.split(self.known, "vague", ["loos"], [])]

    @property
    def record(self) -> Any:
        """What is kept."""
        return json.loads(self.path.read_text())

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.home / "flotte/deploiement.json"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> SealKeys:
    """The authority that seals."""
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def command(tmp_path: Path, keys: SealKeys, monkeypatch: pytest.MonkeyPatch) -> Command:
    made = Command(tmp_path, keys)
    chosen = SimpleNamespace(home=lambda: tmp_path, folder=Path("inventaire"), lab=True)
    monkeypatch.setattr(common, "chosen", lambda: chosen)
    monkeypatch.setattr(common, "known_communes", lambda: made.known)
    monkeypatch.setattr(common, "checked", lambda _slugs: None)
    monkeypatch.setattr(common, "watch", lambda _context: None)
    monkeypatch.setattr(technicien, "_rollout_limit", lambda slugs, _limit, _maybe: ",".join(slugs))
    monkeypatch.setattr(common, "playbook", made.playbook)
    monkeypatch.setattr(common.fleet_bundle, "digest", lambda _top, _inventory: made.content)
    monkeypatch.setattr(common.needs, "servers", lambda _inventory, _top: {})  # no door
    return made


def test_a_wave_that_is_not_ready_stops_all_and_the_same_command_goes_on_from_it(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = command.waves
    late, *others = whole[1]
    assert len(whole) > 2 and others
    command.answers[late] = "le PC est éteint"
    with pytest.raises(Exit, match=r"n'est pas prête : arrêt, .* des suivantes ne sont pas déployées"):
        command()
    assert command.noted == whole[:2]
    shown = command.shown(1, capsys)
    assert "ARRÊTÉE" in shown and f"{late} : bloquée sur v1 (poste {late}-pc : injoignable" in shown
    assert f"Communes : {len(whole[0] + others)} à jour, 1 bloquée" in shown
    assert shown.count(": jamais vue") == sum(map(len, whole[2:]))

    command.answers.clear()
    assert command(canary="") == [[late], *whole[2:]]  # the canary is the one that was chosen
    assert f"v1 : on reprend à la vague « {command.record['vagues'][1]['nom']} »" in capsys.readouterr().out
    assert command.record["arret"] is None
    assert f"Communes : {len(command.known)} à jour\n" in command.shown(None, capsys)
    assert command() == []
    said = capsys.readouterr().out
    assert "toutes ces vagues sont déjà faites, rien n'est déployé" in said and "--recommencer" in said


def test_a_new_version_and_who_asks_for_it_begin_at_the_canary(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = command.waves
    command.answers[whole[-1][-1]] = "le PC est éteint"
    with pytest.raises(Exit):
        command()
    command.answers.clear()
    command.content = "b" * 64
    assert "le code ou l'inventaire a changé depuis v1" in command.shown(1, capsys)
    assert command() == whole
    assert "v2 : le code ou l'inventaire a changé depuis v1, on commence au canari" in capsys.readouterr().out
    assert command(recommencer=True) == whole and command.record["version"] == 3
    assert "v3 : on commence au canari" in capsys.readouterr().out


def test_a_commune_that_comes_meanwhile_is_a_new_version_and_is_expected(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    *first, last = command.known
    command.known = first
    command()
    command.known, command.content = [*first, last], "b" * 64  # its file is in the inventory
    assert f"{last.slug} : jamais vue" in command.shown(1, capsys)
    assert command() == command.waves and any(last.slug in slugs for slugs in command.noted)


def test_an_excuse_is_kept_and_tried_once(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    whole = command.waves
    [late, *_more], other = whole[1], whole[-1][0]
    command.answers |= {late: "le PC est éteint", other: "le disque est plein"}
    with pytest.raises(Exit, match="n'est pas prête"):
        command(excused=late)
    assert command.noted == whole
    assert f"{late} est excusée par {store.operator()} : nommée par --excuser" in command.shown(1, capsys)
    with pytest.raises(Exit, match="n'est pas prête"):
        command()  # it need not be said again
    assert command.noted == [[other]]
    assert command(excused=other) == []
    assert {*command.record["excuses"]} == {late, other}
    # One that is put right by itself is seen.
    command.answers.clear()
    technicien.rollout.body(Context(), late)
    assert f"{late} :" not in command.shown(1, capsys)


def test_a_run_on_a_part_of_a_commune_takes_nothing_back(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    command()
    command.only = "-connecteur"
    with pytest.raises(Exit, match="Toutes les communes ne sont pas prêtes"):
        technicien.rollout.body(Context(), "loos")
    assert f"Communes : {len(command.known)} à jour\n" in command.shown(None, capsys)
    command.only, command.answers["loos"] = "", "le PC est éteint"
    with pytest.raises(Exit, match="Toutes les communes ne sont pas prêtes"):
        technicien.rollout.body(Context(), "loos")
    assert "loos : bloquée sur v1" in command.shown(1, capsys)


def test_a_control_node_that_dies_in_a_wave_goes_on_from_it(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = command.waves
    command()
    command.content = "b" * 64  # all were seen once

    def dies(slugs: list[str]) -> None:
        if slugs == whole[1]:
            os.kill(os.getpid(), signal.SIGKILL)

    command.before = dies
    if not (child := os.fork()):
        command()
        os._exit(0)  # not reached
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    shown = command.shown(1, capsys)
    assert all(f"{slug} : en retard (sa vague a commencé le " in shown for slug in whole[1])
    assert all(f"{slug} : attendue (sa vague n'est pas ouverte)" in shown for slugs in whole[2:] for slug in slugs)
    command.before = lambda _slugs: None
    assert command() == whole[1:]
    assert "celles d'avant sont faites" in capsys.readouterr().out


def test_a_run_that_ends_badly_though_all_are_ready_is_done_again(command: Command) -> None:
    command.status = False
    with pytest.raises(Exit, match="La vague « canari » n'est pas prête"):
        command()
    assert "déploiement interrompu ou en échec" in command.record["arret"]["motif"]
    command.status = True
    assert command() == command.waves


def test_a_change_in_the_middle_stops_before_the_next_wave(command: Command) -> None:
    def edits(_slugs: list[str]) -> None:
        command.content = "b" * 64

    command.before = edits
    with pytest.raises(Exit, match="a changé pendant le déploiement") as stopped:
        command()
    assert stopped.value.code == 2 and command.noted == command.waves[:1]
    assert command() == command.waves and command.record["version"] == 2


def test_a_state_that_cannot_be_read_is_said_and_nothing_is_rolled_out(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    command()
    good = command.path.read_bytes()
    for left in (
        good[: len(good) // 2],
        b"",
        b"[]",
        b'{"version": 1}',
        b"\xff",
    ):
        command.path.write_bytes(left)
        with pytest.raises(Exit, match=r"deploiement.json est abîmé : .*À faire : restaurez-le") as refused:
            command()
        assert refused.value.code == 2 and command.noted == []
        assert "abîmé" in command.shown(1, capsys)
    command.path.write_bytes(good)
    assert command() == []  # all was done
    command.path.unlink()
    assert command() == command.waves


def test_a_second_operator_is_told_who_rolls_out(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    command()
    command.content = "b" * 64
    (held, begun), (ended, over) = os.pipe(), os.pipe()
    if not (child := os.fork()):
        command.before = lambda _slugs: (os.write(begun, b"1"), os.read(ended, 1), os._exit(0))[-1]
        command()
    try:
        os.read(held, 1)
        with pytest.raises(Exit, match=rf"un déploiement par vagues est déjà en cours, lancé par .*processus {child} "):
            command()
        assert not command.noted
        assert "loos : attendue (sa vague est en cours, lancé par" in command.shown(1, capsys)
    finally:
        os.write(over, b"1")
        os.waitpid(child, 0)
    assert command() == command.waves


def test_options_that_cannot_be_are_refused_before_anything(command: Command) -> None:
    for options, why in (
        ({"by": "jour"}, "« jour » n'existe pas ; attendu : territoire, taille, vague"),
        ({"canary": "lens"}, "--canari : lens n'est pas une des communes"),
        ({"canary": ","}, "--canari : « , » ne nomme aucune commune"),
        ({"excused": " "}, "--excuser : «   » ne nomme aucune commune"),
        ({"by": "", "canary": "", "recommencer": True}, "--recommencer vont avec --par"),
    ):
        with pytest.raises(Exit, match=why) as refused:
            command(**options)
        assert refused.value.code == 2 and not command.noted and not command.path.exists()


def test_the_door_that_does_not_answer_hides_no_commune(
    command: Command, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command()

    def silent() -> None:
        raise FleetError("le guichet ne répond pas")

    monkeypatch.setattr(common.needs, "servers", lambda _inventory, _top: {"porte": "guichet"})
    monkeypatch.setattr(common, "fleet", silent)
    assert f"Communes : {len(command.known)} à jour" in command.shown(2, capsys)


def test_the_digest_is_that_of_what_a_run_is_made_of(tmp_path: Path) -> None:
    top, inventory = tmp_path / "projet", tmp_path / "inventaire"
    for path in (top / "roles/a/tasks/main.yml", top / "docs/a.md", inventory / "communes/loos.yml"):
        path.parent.mkdir(parents=True)
        path.write_text("a")
    first = bundle.digest(top, inventory)
    for path in (top / "docs/a.md", inventory / "communes/.loos.yml.swp"):
        path.write_text("b")
    assert bundle.digest(top, inventory) == first
    seen = {first}
    for path in (inventory / "communes/lens.yml", inventory / "communes/loos.yml", top / "roles/a/tasks/main.yml"):
        path.write_text("b")
        seen.add(bundle.digest(top, inventory))
    (inventory / "communes/lens.yml").rename(inventory / "communes/hem.yml")
    assert len(seen | {bundle.digest(top, inventory)}) == 5
