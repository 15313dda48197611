"""The plugin as Ansible runs it: our inventories, a refusal, and a whole département."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from creatic.registry import listing

REPO = Path(__file__).parents[3]
TOOLS = Path(sys.executable).parent


def ansible(tool: str, *arguments: str | Path, config: Path = REPO / "ansible.cfg") -> Any:
    environment = os.environ | {"ANSIBLE_CONFIG": str(config), "ANSIBLE_NOCOLOR": "1"}
    command = [TOOLS / tool, *arguments]
    return subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, check=False)


def listed(inventory: Path) -> dict[str, Any]:
    done = ansible("ansible-inventory", "-i", inventory, "--list")
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return listing.read(done.stdout)


def hosts(inventory: dict[str, Any], group: str) -> set[str]:
    found = set(inventory[group].get("hosts", ()))
    return found.union(*(hosts(inventory, child) for child in inventory[group].get("children", ())))


@pytest.fixture(scope="module")
def lab() -> dict[str, Any]:
    return listed(REPO / "inventories/lab")


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("commune_gondecourt", {"gondecourt-pc-secretariat", "gondecourt-connecteur"}),
        ("commune_avesnes_les_aubert", {"avesnes-les-aubert-pc-mairie", "avesnes-les-aubert-connecteur"}),
        ("vague_3", {"la-madeleine-pc-finances", "la-madeleine-connecteur"}),
        ("taille_petite", {"avesnes-les-aubert-pc-mairie", "avesnes-les-aubert-connecteur"}),
        ("taille_grande", {"la-madeleine-pc-finances", "la-madeleine-connecteur"}),
        ("commune_pc", {"gondecourt-pc-secretariat", "avesnes-les-aubert-pc-mairie", "la-madeleine-pc-finances"}),
        ("tdt_simulator", {"tdt"}),
        (
            "service_ged",
            {
                "gondecourt-pc-secretariat",
                "gondecourt-connecteur",
                "la-madeleine-pc-finances",
                "la-madeleine-connecteur",
            },
        ),
    ],
)
def test_the_lab_has_its_groups(lab: dict[str, Any], group: str, expected: set[str]) -> None:
    assert hosts(lab, group) == expected


def test_the_lab_gives_each_host_its_variables(lab: dict[str, Any]) -> None:
    variables = lab["_meta"]["hostvars"]
    pc = variables["la-madeleine-pc-finances"]
    assert pc["ansible_host"] == "10.59.4.10"
    assert (pc["creatic_commune"]["siren"], pc["creatic_commune"]["niveau"]) == ("215903683", "enhanced")
    assert pc["creatic_poste"]["certificats"][0]["source"] == "jeton"
    assert variables["gondecourt-connecteur"]["creatic_connecteur"] == {"tdt": "s2low"}
    assert variables["tdt"]["ansible_host"] == "10.59.0.10"
    assert all("StrictHostKeyChecking=yes" in each["ansible_ssh_common_args"] for each in variables.values())


def test_the_example_loads_and_reaches_windows_over_psrp() -> None:
    example = listed(REPO / "inventories/example")
    assert hosts(example, "systeme_windows") == {"bouvines-pc-mairie"}
    pc = example["_meta"]["hostvars"]["bouvines-pc-mairie"]
    wanted = {
        "ansible_connection": "psrp",
        "ansible_port": 5986,
        "ansible_psrp_protocol": "https",
        "ansible_psrp_auth": "certificate",
        "ansible_psrp_cert_validation": "validate",
        "ansible_become": False,
    }
    assert {name: pc.get(name) for name in wanted} == wanted
    assert "ansible_connection" not in example["_meta"]["hostvars"]["loos-pc-assemblees"]
    # One that nobody reaches is no host; its commune's group names it.
    assert "bouvines-pc-accueil" not in example["_meta"]["hostvars"]
    connector = example["_meta"]["hostvars"]["bouvines-connecteur"]
    assert [(one["nom"], one["systeme"]) for one in connector["creatic_postes_portes"]] == [
        ("bouvines-pc-accueil", "windows")
    ]


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    inventory = tmp_path / "inventory"
    shutil.copytree(REPO / "inventories/lab", inventory)
    (inventory / "communes/gondecourt.yml").write_text("nom: Gondecourt\nsiren: [\n", encoding="utf-8")
    (inventory / "communes/loos.yml").write_text("", encoding="utf-8")
    return inventory


@pytest.mark.parametrize("config", ["ours", "lenient"])
@pytest.mark.parametrize("source", ["", "groupement.yml"])
def test_one_wrong_file_and_nothing_runs(tmp_path: Path, broken: Path, config: str, source: str) -> None:
    """Even on a server of servers.yml, even when ansible.cfg tolerates sources that cannot be parsed."""
    file = REPO / "ansible.cfg"
    if config == "lenient":
        file = tmp_path / "ansible.cfg"
        file.write_text(
            f"[defaults]\ncollections_path = {REPO / 'collections'}\n"
            "[inventory]\nenable_plugins = cdg59.creatic.groupement, ansible.builtin.yaml\n",
            encoding="utf-8",
        )
    inventory: list[str | Path] = ["-i", broken / source, "-i", broken / "servers.yml"]
    done = ansible("ansible", *inventory, "tdt", "-c", "local", "-m", "ansible.builtin.ping", config=file)
    assert done.returncode == 4
    assert not done.stdout
    assert done.stderr.rstrip("\n") == (
        "[ERROR]: Inventaire refusé, rien n'est lancé. 2 erreurs :\n"
        "  - communes/gondecourt.yml, ligne 2 : erreur de syntaxe YAML, près de « siren: [ ». À faire : vérifiez "
        "le retrait (des espaces, jamais de tabulation), l'espace après chaque deux-points, les guillemets et les "
        "crochets.\n"
        "  - communes/loos.yml : le fichier est vide. À faire : remplissez-le, ou supprimez-le."
    )


def test_servers_refuse_to_forget_a_commune_whose_file_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is made of the communes' files fails and says why; what is not goes on."""
    inventory = Path(shutil.copytree(REPO / "inventories/lab", tmp_path / "inventaires" / "lab"))
    (inventory / "communes/gondecourt.yml").unlink()
    rolled = tmp_path / "lab/evidence/2026-11-02T000000Z/etat.json"
    rolled.parent.mkdir(parents=True)
    rolled.write_text('{"gondecourt": {"commune": {"siren": "215902669"}}}', encoding="utf-8")
    (tmp_path / "lab/environnement").write_text('{"environnement": "lab", "inventaire": "lab"}', encoding="utf-8")
    monkeypatch.setenv("CREATIC_HOME", str(tmp_path))
    ged: list[str | Path] = ["-i", inventory, "ged", "-c", "local", "-m", "ansible.builtin.debug", "-a"]
    refused = ansible("ansible", *ged, "msg={{ creatic_communes | length }}")
    assert refused.returncode == 2
    assert "communes/gondecourt.yml : le fichier a disparu, et la commune n'est pas partie" in refused.stdout
    assert ansible("ansible", *ged, "msg={{ creatic_names }}").returncode == 0


@pytest.mark.costly
def test_a_whole_departement_loads_the_same_with_and_without_cache(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("bench_inventory", REPO / "scripts/bench_inventory.py")
    assert spec
    assert spec.loader
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    bench.write_inventory(tmp_path, 500)
    # the cache goes next to ansible.cfg
    config = tmp_path / "ansible.cfg"
    text = (REPO / "ansible.cfg").read_text(encoding="utf-8")
    config.write_text(text.replace("= collections", f"= {REPO / 'collections'}"), encoding="utf-8")
    cold, warm = (
        ansible("ansible-inventory", "-i", tmp_path / "groupement.yml", "--list", config=config) for _ in range(2)
    )
    assert cold.returncode == 0, cold.stderr
    assert [path.suffix for path in (tmp_path / ".cache/groupement").iterdir()] == [".json"]
    assert warm.stdout == cold.stdout
    inventory = listing.read(warm.stdout)
    assert len(inventory["_meta"]["hostvars"]) == 2500
    assert len(hosts(inventory, "tdt_connector")) == 500
