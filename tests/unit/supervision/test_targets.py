"""Whom the supervision asks, and who may ask: from the inventory alone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.cdg59.creatic.plugins.filter import supervision
from tdt_connector.journal import State

from creatic.registry import groupement, listing
from creatic.supervision import figures, targets

TOP = Path(__file__).parents[3]


def inventory(name: str) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Variables by host, hosts by group."""
    tool = Path(sys.executable).parent / "ansible-inventory"
    done = subprocess.run([tool, "-i", f"inventories/{name}", "--list"], cwd=TOP, capture_output=True, text=True,
                          env=os.environ | {"ANSIBLE_NOCOLOR": "1"}, check=True)  # fmt: skip # one call by its parts
    found = listing.read(done.stdout)
    return found["_meta"]["hostvars"], {name: one.get("hosts", []) for name, one in found.items() if name != "_meta"}


@pytest.mark.parametrize("name", ["lab", "example"])
def test_every_machine_of_the_inventory_but_benches_and_windows_is_asked(name: str) -> None:
    hostvars, groups = inventory(name)
    asked = targets.scrapes(groups, hostvars)["scrape_configs"]
    benches = {host for host, one in hostvars.items() if one["creatic_supervision"] == []} | {*groups["exercice"]}
    windows = {host for host, one in hostvars.items() if one.get("creatic_poste", {}).get("systeme") == "windows"}
    pages = [f"{host} page" for host in sorted(hostvars) if "base_pages" in hostvars[host]]
    assert [one["job_name"] for one in asked] == sorted(hostvars.keys() - benches - windows) + pages
    assert len(pages) == 7
    assert bool(windows) == (name == "example")
    assert targets.readers(groups, hostvars) == [{"nom": "veille", "adresse": hostvars["veille"]["ansible_host"]}]


def test_a_machine_is_known_by_its_name_whatever_its_address() -> None:
    told = {"creatic_commune": {"slug": "anor", "nom": "Anor"}, "creatic_profil": "tdt_connector"}
    hostvars: dict[str, dict[str, Any]] = {
        "a": told | {"ansible_host": "10.0.0.1"},
        "b": {"creatic_profil": "ged", "ansible_host": "fd00::2"},
    }
    [first, second] = targets.scrapes({"tdt_connector": ["a"], "ged": ["b"], "exercice": ["b"]}, hostvars)[
        "scrape_configs"
    ]
    assert first["tls_config"]["server_name"] == "a"
    assert first["static_configs"] == [{"targets": ["10.0.0.1:9100"], "labels": {
        "job": "machines", "instance": "a", "machine": "a", "profil": "tdt_connector", "commune": "anor",
        "commune_nom": "Anor"}}]  # fmt: skip # a row a line
    [shown] = second["static_configs"]
    assert shown["targets"] == ["[fd00::2]:9100"] and "commune" not in shown["labels"]


def test_what_is_taken_of_a_machine_is_what_its_profile_makes() -> None:
    hostvars: dict[str, dict[str, Any]] = {
        "a": {"creatic_profil": "commune_pc", "ansible_host": "10.0.0.1"},
        "b": {"creatic_profil": "backup_server", "ansible_host": "10.0.0.2"},
        "c": {"creatic_profil": "inconnu", "ansible_host": "10.0.0.3"},
    }
    asked = {
        one["job_name"]: one
        for one in targets.scrapes({"commune_pc": ["a", "c"], "backup_server": ["b"]}, hostvars)["scrape_configs"]
    }
    kept = {name: {*one["metric_relabel_configs"][0]["regex"].split("|")} for name, one in asked.items()}
    labels = {name: {*one["metric_relabel_configs"][1]["regex"].split("|")} for name, one in asked.items()}
    assert "creatic_depot_suspect" in kept["b"] - kept["a"] and "creatic_backup_last_run_good" in kept["a"]
    assert kept["c"] == kept["a"]  # of nobody: what every machine makes
    assert "client" in labels["b"] - labels["a"] and "commune" not in labels["a"]
    assert not {"degre", "alertname", "up", "ALERTS"} & (labels["a"] | kept["a"])
    assert asked["a"]["sample_limit"] == 300 < asked["b"]["sample_limit"]
    assert not any("honor_labels" in one for one in asked.values())


def test_a_connector_with_all_the_entities_that_a_commune_may_have_is_heard() -> None:
    """Beyond the limit Prometheus takes nothing of a machine, and says that it is down."""
    schema = json.loads((Path(groupement.__file__).parent / "commune.schema.json").read_text())
    institutions = schema["properties"]["entites"]["maxItems"] + 1
    made = [one for name, one in figures.figure_specs().items() if "entite" in one.labels]
    states = sum(len(State) if "etat" in one.labels else 2 for one in made)
    own = 4  # certificates and their files
    hostvars: dict[str, dict[str, Any]] = {"a": {"creatic_profil": "tdt_connector", "ansible_host": "10.0.0.1"}}
    [asked] = targets.scrapes({"tdt_connector": ["a"]}, hostvars)["scrape_configs"]
    assert institutions * (states + own) + 120 < asked["sample_limit"] <= 1000


def test_a_page_is_asked_for_under_its_name_at_its_address() -> None:
    told = {"creatic_profil": "ged", "creatic_names": ["ged.test", "autre.test"], "base_pages": [443]}
    hostvars: dict[str, dict[str, Any]] = {
        "a": told | {"ansible_host": "10.0.0.1"},
        "b": told | {"ansible_host": "fd00::2"},
    }
    pages = targets.scrapes({"ged": ["a", "b"]}, hostvars)["scrape_configs"][2:]
    assert [one["params"]["target"] for one in pages] == [["https://10.0.0.1/"], ["https://[fd00::2]/"]]
    assert pages[0]["params"]["hostname"] == ["ged.test"]
    assert pages[0]["static_configs"] == [{"targets": ["127.0.0.1:9115"], "labels": {
        "job": "pages", "instance": "https://ged.test", "machine": "a", "profil": "ged"}}]  # fmt: skip # a row a line


def test_a_machine_that_nobody_reaches_is_asked_nothing() -> None:
    hostvars: dict[str, dict[str, Any]] = {
        name: {"creatic_profil": "tdt_connector", "ansible_host": "10.0.0.1"} for name in ("a", "b")
    }
    asked = targets.scrapes({"tdt_connector": ["a", "b"], "acces_sortant": ["b"]}, hostvars)["scrape_configs"]
    assert [one["job_name"] for one in asked] == ["a"]


def test_whoever_calls_sends_its_journals_but_pcs_are_not_awaited() -> None:
    anor = {"creatic_commune": {"slug": "anor", "nom": "Anor"}}
    hostvars: dict[str, dict[str, Any]] = {
        "Vue_1": {"creatic_profil": "supervision"},
        "b": {"creatic_profil": "tdt_connector"} | anor,
        "c": {"creatic_profil": "commune_pc"} | anor,
        "d": {"creatic_profil": "exercice"},
    }
    groups = {"tdt_connector": ["b"], "acces_sortant": ["b"], "commune_pc": ["c"], "supervision": ["Vue_1"],
              "exercice": ["d"]}  # fmt: skip # a table
    labels = {"commune": "anor", "commune_nom": "Anor"}
    assert supervision.FilterModule().filters()["supervision_senders"](groups, hostvars) == {"vue-1": {}, "b": labels}


@pytest.mark.parametrize("name", ["lab", "example"])
def test_every_machine_knows_who_gathers_journals(name: str) -> None:
    """The lines that docs/variables.md gives; a bench has no certificate to send with."""
    hostvars, _groups = inventory(name)
    line = "{{ groups | cdg59.creatic.supervision_readers(hostvars) }}"
    for host, one in hostvars.items():
        assert one["creatic_journaux"] == (line if one.get("creatic_certificats", True) else []), host


def test_a_name_that_no_certificate_can_bear_is_made_one() -> None:
    hostvars: dict[str, dict[str, Any]] = {"Vue_1": {"creatic_profil": "supervision", "ansible_host": "10.0.0.1"}}
    [asked] = targets.scrapes({"supervision": ["Vue_1"]}, hostvars)["scrape_configs"]
    assert (asked["job_name"], asked["tls_config"]["server_name"]) == ("Vue_1", "vue-1")
    assert targets.readers({"supervision": ["Vue_1"]}, hostvars) == [{"nom": "vue-1", "adresse": "10.0.0.1"}]


def test_a_site_without_supervision_has_nobody_who_asks() -> None:
    assert supervision.supervision_readers({"all": ["a"]}, {"a": {"ansible_host": "10.0.0.1"}}) == []


@pytest.mark.parametrize("work", [supervision.supervision_readers, supervision.supervision_scrapes])
def test_an_address_that_lacks_is_named(work: Any) -> None:
    with pytest.raises(AnsibleFilterError, match=r"veille : la variable ansible_host manque.*servers\.yml"):
        work({"supervision": ["veille"]}, {"veille": {"creatic_profil": "supervision"}})


@pytest.mark.costly
def test_prometheus_takes_2500_machines(tmp_path: Path) -> None:
    hosts = [f"commune{number}-{kind}" for number in range(500) for kind in ("connecteur", "pc1", "pc2", "pc3", "pc4")]
    hostvars = {
        host: {
            "ansible_host": f"10.{number // 250}.{number % 250}.10",
            "creatic_profil": "tdt_connector",
            "creatic_commune": {"slug": host.partition("-")[0], "nom": host},
        }
        for number, host in enumerate(hosts)
    }
    begun = time.process_time()
    made = targets.scrapes({"tdt_connector": hosts}, hostvars)
    assert time.process_time() - begun < 2  # seconds of processor
    path = tmp_path / "machines.yml"
    path.write_text(yaml.safe_dump(made, allow_unicode=True), encoding="utf-8")
    done = subprocess.run(
        ["promtool", "check", "config", "--syntax-only", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall("job_name", path.read_text())) == 2500
