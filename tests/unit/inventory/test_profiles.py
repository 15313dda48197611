"""Profiles as data: what profiles.yml says holds of the playbooks, of the tests and of the lab."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
import yaml

from creatic.audit import run as audit_run
from creatic.backup import drill
from creatic.registry import groupement, profiles, variables

REPO = Path(__file__).parents[3]
EVERY = [pytest.param(profile, id=name) for name, profile in profiles.load().items()]


@pytest.mark.parametrize("profile", EVERY)
def test_each_profile_has_its_tasks_and_tests(profile: profiles.Profile) -> None:
    tasks = REPO / "playbooks" / "profiles" / f"{profile.name}.yml"
    if profile.nue:  # its machines have nothing
        assert profile.banc and not tasks.exists()
        return
    assert tasks.is_file()
    assert (REPO / "tests" / "profiles" / profile.name).is_dir()
    assert (REPO / "molecule" / profile.name / "molecule.yml").is_file()
    assert f'"{profile.name}"' in (REPO / "scripts" / "run_tests.py").read_text(encoding="utf-8")


def test_the_site_takes_each_profile_once_after_those_it_waits_for() -> None:
    plays = yaml.safe_load((REPO / "playbooks" / "site.yml").read_text(encoding="utf-8"))
    taken: list[list[str]] = []
    for play in plays:
        if apart := play.get("ansible.builtin.import_playbook"):
            taken.append([apart.removesuffix(".yml")])
        elif play["hosts"] in profiles.load():
            taken.append([play["hosts"]])
        else:
            number = re.fullmatch(r"\{\{ (\d) \| cdg59\.creatic\.site_step \}\}", play["hosts"])
            assert number, play["hosts"]
            taken.append(profiles.step(int(number[1])))
    known = profiles.load()
    place = {name: number for number, names in enumerate(taken) for name in names}
    assert sorted(name for names in taken for name in names) == sorted(n for n, one in known.items() if not one.banc)
    assert [names[0] for names in taken if known[names[0]].a_part] == profiles.marked("a_part")
    for name, own in place.items():
        assert [one for one in known[name].attend if place[one] >= own] == []
        earliest = 1 + max((place[one] for one in known[name].attend), default=-1)
        assert known[name].a_part or own == max(earliest, 1), f"{name} waits for machines that it does not need"
    assert max(place[name] for name in profiles.marked("sauvegarde")) < place["backup_server"]
    # The gateway waits for the room, which is played before.
    longest_first = ["parapheur", "ged", "deliberations", "archive_gateway"]
    longest_first += ["tdt_simulator", "commune_pc", "tdt_connector"]
    assert taken[1] == ["supervision", *longest_first, "control_node", "guichet"]  # its collector is waited for


def test_every_service_of_a_commune_is_known() -> None:
    schema = json.loads(groupement.COMMUNE_SCHEMA.read_text(encoding="utf-8"))
    services = {*schema["properties"]["services"]["items"]["enum"]}
    needed = {service for profile in profiles.load().values() for service in profile.services}
    assert needed == services - {"teletransmission"}, "whose server is the tiers de télétransmission's"


def test_audits_drills_and_benches_follow_the_data() -> None:
    assert audit_run.profiles(REPO) == sorted(profiles.marked("audit"))
    assert list(drill.PROFILES) == [*profiles.marked("sauvegarde"), drill.CONTROL]
    assert audit_run.EVERYTHING == "all:!banc"
    assert profiles.marked("banc") == ["exercice", "hardening", "hardening_kernel", "encrypted_raid"]
    assert profiles.marked("nue") == [drill.BARE] == ["exercice"]


@pytest.mark.parametrize("file", sorted((REPO / "playbooks").rglob("*.yml")), ids=lambda file: file.name)
def test_no_playbook_holds_a_list_of_profiles(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    names = "|".join(profiles.load())
    held = re.findall(rf"^ *(?:- )?hosts: (?:{names})(?::(?:{names}))+$", text, re.MULTILINE)
    held += re.findall(rf"\['(?:{names})'(?:,\s*'(?:{names})')+\]", text)
    assert held == []


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("profils: {a: {attend: [b]}, b: {attend: [a]}}", "a, b"),
        ("profils: {a: {attend: [a]}}", "wait for each other: a"),
        ("profils: {a: {attend: [z]}}", "z, which is no profile"),
        ("profils: {a: {communes: quelques}}", "quelques"),
    ],
)
def test_what_cannot_be_followed_is_refused(tmp_path: Path, text: str, error: str) -> None:
    file = tmp_path / "profiles.yml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=error):
        profiles.load(file)


def test_an_unknown_trait_or_field_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="le trait « sauvegardes » n'existe pas"):
        profiles.marked("sauvegardes")
    file = tmp_path / "profiles.yml"
    file.write_text("profils: {a: {audite: true}}", encoding="utf-8")
    with pytest.raises(TypeError, match="audite"):
        profiles.load(file)


def test_a_profile_that_waits_comes_a_step_later() -> None:
    assert profiles.step(2) == ["passerelle"]
    assert profiles.step(3) == []


def test_who_waits_for_whom_is_said_of_the_machines_that_are_deployed() -> None:
    machines = {"relais": "passerelle", "documents": "ged", "signatures": "parapheur", "versement": "archive_gateway"}
    assert profiles.waiting_messages(machines) == ["relais attend documents, signatures"]
    assert profiles.waiting_messages({"relais": "passerelle", "ailleurs": ""}) == []


def test_what_the_control_node_makes_is_asked_once_for_the_machines_that_there_are() -> None:
    groups = {"ged": ["documents"], "parapheur": ["signatures"], "deliberations": [], "passerelle": ["relais"]}
    assert profiles.environments(groups) == ["mayan", "signature", "passerelle"]
    assert profiles.environments({}) == []


def roles_of(file: Path) -> set[str]:
    """Roles that a file of tasks takes, and those that these take."""
    found: set[str] = set()

    def take(content: object) -> None:
        if isinstance(content, list):
            for one in content:
                take(one)
        elif isinstance(content, dict):
            for word, given in content.items():
                if word in ("ansible.builtin.import_role", "ansible.builtin.include_role"):
                    found.add(given["name"])
                else:
                    take(given)

    take(yaml.safe_load(file.read_text(encoding="utf-8")))
    for role in [*found]:
        for tasks in (REPO / "roles" / role / "tasks").glob("*.yml"):
            found |= roles_of(tasks)
    return found


@pytest.mark.parametrize("profile", EVERY)
def test_each_environment_of_a_profile_can_be_made_ahead_and_is_made_by_its_role(profile: profiles.Profile) -> None:
    if profile.nue:
        return
    roles = roles_of(REPO / "playbooks" / "profiles" / f"{profile.name}.yml")
    made = {role for role in roles if (REPO / "roles" / role / "tasks" / "environment.yml").exists()}
    assert made == {*profile.environnements}
    for tasks in (path for role in roles for path in (REPO / "roles" / role / "tasks").glob("*.yml")):
        assert tasks.name == "environment.yml" or "creatic.locked_venv:" not in tasks.read_text(encoding="utf-8"), tasks


@pytest.mark.parametrize(
    ("services", "groups", "lacks"),
    [
        (["teletransmission"], {}, {}),
        (["parapheur"], {"parapheur": ["a"], "passerelle": ["b"]}, {}),
        (
            ["parapheur", "deliberations"],
            {"parapheur": ["a"], "deliberations": ["c"], "passerelle": []},
            {"passerelle": ["deliberations", "parapheur"]},
        ),
        (["ged"], {"passerelle": ["b"]}, {"ged": ["ged"]}),
        (["archivage"], {"archive_node": ["n"]}, {"archive_gateway": ["archivage"]}),
    ],
)
def test_a_service_needs_its_machines(
    services: list[str], groups: dict[str, list[str]], lacks: dict[str, list[str]]
) -> None:
    assert profiles.missing_profiles(services, groups) == lacks


def test_what_lacks_is_told_with_its_fix() -> None:
    assert profiles.lacking_text({"passerelle": ["deliberations", "parapheur"]}, "communes/gondecourt.yml") == (
        "Services sans machine : deliberations, parapheur : l'inventaire n'a aucune machine passerelle",
        "Ajouter une machine au groupe passerelle de servers.yml, ou retirer le service de communes/gondecourt.yml.",
    )


def test_what_machines_tell_is_a_variable_that_the_inventory_gives() -> None:
    groupement_s = yaml.safe_load(profiles.FILE.with_name("variables.yml").read_text(encoding="utf-8"))["variables"]
    for name in ("archive_node", "parapheur", "archive_gateway"):
        known = {need.name for need in variables.needs(REPO, name)} | groupement_s.keys()
        assert {*profiles.load()[name].dit.values()} - known == set(), name


def test_the_registry_names_no_variable_of_a_role() -> None:
    """profiles.yml says them, where another is told of one: its code would follow no change of a role."""
    owned = {
        option
        for role in (REPO / "roles").iterdir()
        if (role / "meta" / "argument_specs.yml").is_file()
        for option in variables.options(REPO, role.name)
    }
    for file in profiles.FILE.parent.glob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        told = {id(one.value) for one in ast.walk(tree) if isinstance(one, ast.Expr)}  # what is said of the code
        words = [
            word
            for one in ast.walk(tree)
            if isinstance(one, ast.Constant) and isinstance(one.value, str) and id(one) not in told
            for word in re.findall(r"\w+", one.value)
        ]
        assert owned & {*words} == set(), file.name
