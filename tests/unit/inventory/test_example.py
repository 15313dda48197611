"""inventories/example could be deployed: every profile, every size of commune, and nothing left to guess."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.cdg59.creatic.plugins.module_utils.applications import deliberations

from creatic.applications import ged, parapheur
from creatic.registry import (
    groupement,
    listing,
    profiles,
    variables,
    wiring,
)

REPO = Path(__file__).parents[3]
EXAMPLE = REPO / "inventories" / "example"
REGISTRY = yaml.safe_load(profiles.FILE.with_name("variables.yml").read_text(encoding="utf-8"))
# In production the tiers de télétransmission is somebody else's.
DEPLOYED = [name for name, one in profiles.load().items() if not one.banc and name != "tdt_simulator"]


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    tool = Path(sys.executable).parent / "ansible-inventory"
    environment = os.environ | {"ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(
        [tool, "-i", EXAMPLE, "--list"], cwd=REPO, env=environment, capture_output=True, text=True, check=True
    )
    return listing.read(done.stdout)


def test_it_has_a_machine_of_each_profile(example: dict[str, Any]) -> None:
    of = Counter(one["creatic_profil"] for one in example["_meta"]["hostvars"].values())
    assert set(of) == {*DEPLOYED, *profiles.marked("nue")}
    assert of["archive_node"] == 3


def test_it_has_two_communes_of_each_size_and_every_service() -> None:
    communes = [one.variables for one in groupement.load(EXAMPLE)]
    assert Counter(one["taille"] for one in communes) == {"petite": 2, "moyenne": 2, "grande": 2}
    assert len({one["territoire"] for one in communes}) == 2
    taken = {service for one in communes for service in one["services"]}
    assert taken == {"teletransmission", "parapheur", "deliberations", "ged", "archivage"}


@pytest.mark.parametrize("profile", DEPLOYED)
def test_nothing_that_a_profile_must_be_told_is_missing(example: dict[str, Any], profile: str) -> None:
    """Of Debian machines: the texts of a Windows PC are the role's own."""
    always = [name for name, one in REGISTRY["variables"].items() if one.get("obligatoire")]
    wanted = [need.name for need in variables.needs(REPO, profile) if need.required] + always
    server = [] if profiles.load()[profile].commune else ["creatic_names"]
    for host in example[profile]["hosts"]:
        told = example["_meta"]["hostvars"][host]
        assert [name for name in (*wanted, *server, "ansible_host") if name not in told] == [], host


def test_its_machines_are_wired(example: dict[str, Any]) -> None:
    hostvars = example["_meta"]["hostvars"]
    groups = {name: one.get("hosts", []) for name, one in example.items()} | {"all": sorted(hostvars)}
    for host in groups["tdt_connector"]:
        commune = hostvars[host]["creatic_commune"]
        assert profiles.missing_profiles(commune["services"], groups) == {}
        gateway = wiring.connector_gateway(groups, hostvars, commune)
        assert bool(gateway) == bool({"parapheur", "deliberations"} & {*commune["services"]})
        deposit = hostvars[host]["creatic_archive_versement"]
        archive = wiring.connector_archive(groups, hostvars, commune, "sae-cdg59", deposit)
        assert bool(archive) == ("archivage" in commune["services"])
    assert len(wiring.passerelle_servers(groups, hostvars, hostvars["relais"]["creatic_communes"])) == 3
    assert [node["zone"] for node in wiring.archive_nodes(groups, hostvars)] == [1, 2, 3]
    for node in groups["archive_node"]:
        [volume] = hostvars[node]["encrypted_raid_volumes"]
        assert [f"/srv/node/{one['name']}" for one in hostvars[node]["archive_node_devices"]] == [volume["mount"]]


def test_applications_take_its_communes(example: dict[str, Any]) -> None:
    hostvars = example["_meta"]["hostvars"]
    plan = ged.read_plan(EXAMPLE / "ged.yml")
    assert ged.configuration(plan, hostvars["documents"]["creatic_communes"], "passerelle")
    assert parapheur.configuration(hostvars["signatures"]["creatic_communes"])
    assert parapheur.application(hostvars["signatures"]["creatic_communes"])
    assert deliberations.configuration(hostvars["seances"]["creatic_communes"])


def test_no_address_nor_name_is_given_twice(example: dict[str, Any]) -> None:
    hostvars = example["_meta"]["hostvars"].values()
    for values in (
        [one["ansible_host"] for one in hostvars],
        [name for one in hostvars for name in one.get("creatic_names", [])],
    ):
        assert [value for value, times in Counter(values).items() if times > 1] == []


def test_the_lab_gives_what_the_example_gives(example: dict[str, Any]) -> None:
    """A variable of the groupement that one alone has is the lab's own, or told as one that a site may leave out."""
    given = {}
    for name in ("lab", "example"):
        folder = REPO / "inventories" / name / "group_vars"
        given[name] = {*yaml.safe_load((folder / "all.yml").read_text(encoding="utf-8"))}
    assert given["example"] - given["lab"] == set()
    assert given["lab"] - given["example"] == {
        *("creatic_provider_dir", "creatic_token_authority_dir"),
        *("base_mirrors", "base_mirror_ports", "creatic_archive_partenaires"),
    }


def test_every_variable_of_the_groupement_is_told() -> None:
    """Names of programs and of phases apart."""
    known = {*REGISTRY["variables"], *REGISTRY["calculees"], *REGISTRY["essai"], "creatic_phase"}
    known |= {"creatic_remise", "creatic_renouveler"}  # commands of Mayan
    places = [*REPO.glob("playbooks/**/*.yml"), *REPO.glob("roles/*/defaults/main.yml")]
    places += [*REPO.glob("inventories/*/*.yml"), *REPO.glob("inventories/*/group_vars/*.yml")]
    used = {name for place in places for name in re.findall(r"\bcreatic_[a-z_]+", place.read_text(encoding="utf-8"))}
    assert used - known == set()


def test_waivers_of_a_site_are_no_inventory(tmp_path: Path) -> None:
    folder = tmp_path / "essai"
    folder.mkdir()
    (folder / "groupement.yml").symlink_to(EXAMPLE / "groupement.yml")
    (folder / "communes").symlink_to(EXAMPLE / "communes")
    (folder / "derogations.yml").write_text("derogations: []\n", encoding="utf-8")
    tool = Path(sys.executable).parent / "ansible-inventory"
    environment = os.environ | {"ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(
        [tool, "-i", folder, "--list"], cwd=REPO, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
