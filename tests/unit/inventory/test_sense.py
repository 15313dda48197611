"""Values of an inventory whose type and form are good, and that a role would refuse, or obey to everybody's loss."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from creatic.check import needs, sense

TOP = Path(__file__).parents[3]
A, B = "/dev/disk/by-id/ata-A1", "/dev/disk/by-id/ata-B1"
CAMILLE = "CN=Camille Delattre,OU=0002 285900015,O=Groupement Cre@tic,C=FR"


def told(name: str, value: Any, **others: Any) -> list[str]:
    others = {"archive_gateway_siren": "285900015", "archive_gateway_accounts": [{"nom": "loos"}]} | others
    return [*sense.faults(name, value, others.get)]


def volume(*disks: str, name: str = "d1", mount: str = "/srv/node/d1") -> dict[str, Any]:
    return {"name": name, "disks": [*disks], "mount": mount}


@pytest.mark.parametrize(
    "disks",
    [
        (A, B),
        ("/dev/disk/by-path/pci-0000:00:1f.2-ata-1", "/dev/disk/by-partuuid/4f2a"),
        ("/dev/mapper/mpatha", "/dev/mapper/mpathb"),
    ],
)
def test_disks_by_names_that_last_have_no_fault(disks: tuple[str, str]) -> None:
    assert told("encrypted_raid_volumes", [volume(*disks)]) == []


@pytest.mark.parametrize("disk", ["/dev/sda", "/dev/nvme0n1", "sdb", "/dev/disk/by-id/../../sda", "/dev/disk/by-id/"])
def test_a_disk_whose_name_changes_at_a_reboot_is_told_with_where_to_read_the_other(disk: str) -> None:
    [one] = told("encrypted_raid_volumes", [volume(disk, B)])
    assert "au prochain démarrage, ce peut en être un autre. À faire : nommez-le par /dev/disk/by-id/" in one


@pytest.mark.parametrize(
    ("volumes", "said"),
    [
        ([volume(A, A)], f"le disque « {A} » est nommé deux fois pour cette machine"),
        ([volume(A, B), volume(f"/dev/disk//by-id/{A[16:]}", "/dev/mapper/c", name="d2", mount="/srv/node/d2")], A),
        ([volume(A)], "le volume « d1 » n'est pas un miroir"),
        ([volume()], "le volume « d1 » n'est pas un miroir"),
        ([volume(A, B) | {"disks": f"{A},{B}"}], "les disques du volume « d1 » ne sont pas une liste"),
        ([volume(A, B, name="D 1")], "le volume « D 1 » est mal nommé"),
        ([volume(A, B, mount="srv/node/d1")], "n'est pas un chemin absolu. À faire : comme /srv/node/d1"),
        ([volume(A, B), volume("/dev/mapper/c", "/dev/mapper/d")], "le volume « d1 » est écrit deux fois"),
        ([volume(A, B), volume("/dev/mapper/c", "/dev/mapper/d", name="d2")], "« /srv/node/d1 » est pris deux fois"),
    ],
)
def test_volumes_that_cannot_be(volumes: list[dict[str, Any]], said: str) -> None:
    found = told("encrypted_raid_volumes", volumes)
    assert any(said in one for one in found), found
    assert all(". À faire : " in one for one in found)


def test_a_node_s_disk_is_one_that_a_volume_mounts() -> None:
    def asked(mounted: bool, volumes: list[Any]) -> list[str]:
        given = {"encrypted_raid_volumes": volumes, "archive_node_mounted": mounted}
        return told("archive_node_devices", [{"name": "d1"}, {"name": "d2"}], **given)

    [one] = asked(True, [volume(A, B)])
    assert one.startswith("aucun volume n'est monté pour le disque « d2 »")
    assert asked(False, [volume(A, B)]) == asked(True, []) == []
    [twice] = told("archive_node_devices", [{"name": "d1"}, {"name": "d1"}])
    assert twice.startswith("le disque « d1 » est écrit deux fois")


@pytest.mark.parametrize(
    "network", ["0.0.0.0/0", "::/0", "0.0.0.0/1", "128.0.0.0/1", "80.0.0.0/8", "10.0.0.0/7", "2000::/3"]
)
def test_a_network_of_everybody_is_no_administrators_network(network: str) -> None:
    [one] = told("firewall_admin_networks", ["10.59.0.0/24", network])
    assert one.startswith(f"« {network} » ouvre SSH à tout le monde. À faire : ")


@pytest.mark.parametrize("network", ["127.0.0.1", "0.0.0.0/32", "224.0.0.0/8", "::1", "169.254.0.0/16"])
def test_an_address_of_nobody_is_no_administrator_s(network: str) -> None:
    [one] = told("firewall_admin_networks", [network])
    assert "n'est l'adresse de personne" in one


def test_a_port_of_ssh_is_one() -> None:
    assert told("firewall_ssh_port", 22) == told("firewall_ssh_port", "2222") == []
    assert "« abc » n'est pas un port de 1 à 65535" in told("firewall_ssh_port", "abc")[0]


@pytest.mark.parametrize(("name", "bounds"), sense._BOUNDS.items())
def test_numbers_have_bounds_that_their_roles_defaults_respect(name: str, bounds: tuple[int, int]) -> None:
    least, most = bounds
    assert told(name, least) == told(name, most) == told(name, str(most)) == []
    assert told(name, most + 1) == [f"{most + 1} n'est pas admis. À faire : écrivez un nombre de {least} à {most}"]
    assert len(told(name, least - 1)) == 1
    roles = sorted((TOP / "roles").glob("*/defaults/main.yml"))
    defaults = {key: one for role in roles for key, one in (yaml.safe_load(role.read_text()) or {}).items()}
    assert told(name, defaults[name]) == []


def test_accounts_of_operators_and_of_deposits() -> None:
    assert told("control_node_operators", ["lea", "camille-2"]) == []
    found = told("control_node_operators", ["Léa", "root", "lea", "lea"])
    assert [one.partition(". À faire")[0] for one in found] == [
        "« Léa » n'est pas le compte d'une personne",
        "« root » n'est pas le compte d'une personne",
        "le compte « lea » y est deux fois",
    ]
    [twice] = told("archive_gateway_accounts", [{"nom": "loos"}, {"nom": "loos"}, {"nom": "region"}])
    assert twice.startswith("le service versant « loos » y est deux fois")
    accounts = [{"nom": "loos", "siren": "200053742"}, {"nom": "region", "siren": "200053742"}]
    [borrowed] = told("archive_gateway_accounts", accounts)  # its door opens one account to a SIREN
    assert borrowed.startswith("le SIREN « 200053742 » est de deux services versants")


def test_networks_of_administrators_as_they_are() -> None:
    assert told("firewall_admin_networks", ["10.0.0.0/8", "192.0.2.10", "198.51.0.0/16", "2001:db8::/48", "::5"]) == []
    assert "liste vide" in told("firewall_admin_networks", [])[0]
    assert "écrivez 10.59.0.0/24" in told("firewall_admin_networks", ["10.59.0.5/24"])[0]


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        ({"name": " "}, "l'agent n° 1 n'a pas de nom"),
        ({"subject": "Camille Delattre"}, "ne se lit pas. À faire : recopiez celui que « fab pki.personne »"),
        ({"subject": ""}, "n'est pas celui d'une personne du groupement"),
        ({"subject": CAMILLE.replace("285900015", "217804001")}, "OU=0002 et le SIREN 285900015) : l'agent « Camille"),
        ({"subject": CAMILLE.replace(",", ", ")}, "ne se lit pas"),
        (
            {"subject": CAMILLE.replace("CN=", "2.5.4.3=")},
            f"jamais égal. À faire : écrivez {CAMILLE[:40]}",
        ),
        ({"accounts": ["loos", "los"]}, "le compte « los », dont l'agent « Camille Delattre » répond, n'est pas un"),
    ],
)
def test_an_agent_who_could_sign_nothing_is_told(agent: dict[str, Any], said: str) -> None:
    found = told("archive_gateway_agents", [{"name": "Camille Delattre", "subject": CAMILLE} | agent])
    assert any(said in one for one in found), found
    assert all(". À faire : " in one for one in found)


def test_agents_as_they_are() -> None:
    camille = {"name": "Camille Delattre", "subject": CAMILLE}
    assert told("archive_gateway_agents", []) == []
    assert told("archive_gateway_agents", [camille | {"accounts": ["loos"]}]) == []
    [twice] = told("archive_gateway_agents", [camille, camille | {"name": "Dominique Lefebvre"}])
    assert "est celui de deux agents" in twice


def test_an_inventory_s_are_told_together_with_its_file_and_its_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(TOP / "inventories/example", tmp_path / "inventaire"))
    for file, old, new in (
        ("servers.yml", "/dev/disk/by-id/ata-A1", "/dev/sda"),
        ("servers.yml", "ata-B2", "ata-A2"),
        ("servers.yml", "ata-A3", "ata-A2"),
        ("group_vars/all.yml", "[10.159.0.0/24]", "[0.0.0.0/0]"),
        ("group_vars/all.yml", "https://tdt.example.org", "!vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  3566"),
        ("group_vars/archive_gateway.yml", "CN=Camille Delattre,OU=0002 ", "CN=Camille Delattre,OU="),
    ):
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new))
    monkeypatch.setenv("CREATIC_HOME", str(tmp_path / "état"))
    found = [str(problem) for problem in needs.inspect_needs(folder, TOP, doors=False)[0]]
    assert sum("est chiffrée (!vault) et rien ne la déchiffre ici (" in one for one in found) == 1, found
    for said in (
        "servers.yml, encrypted_raid_volumes : le disque « /dev/sda » n'est pas nommé par un nom qui ne change pas : "
        "au prochain démarrage, ce peut en être un autre (sae1). À faire : nommez-le par /dev/disk/by-id/",
        f"servers.yml, encrypted_raid_volumes : le disque « {A[:-1]}2 » est nommé deux fois pour cette machine (sae2)",
        f"servers.yml, encrypted_raid_volumes : le disque « {A[:-1]}2 » est celui de plusieurs machines (sae2, sae3)",
        "group_vars/all.yml, firewall_admin_networks : « 0.0.0.0/0 » ouvre SSH à tout le monde (",
        "group_vars/archive_gateway.yml, archive_gateway_agents : le sujet du certificat de l'agent « Camille Delattre",
    ):
        assert sum(one.startswith(said) for one in found) == 1, (said, found)


def test_an_agent_of_another_organization_could_sign_nothing() -> None:
    """« O= » is the authority's own, or eliminations are refused, years later."""
    agents = [{"name": "Camille Delattre", "subject": CAMILLE}]
    assert told("archive_gateway_agents", agents, archive_gateway_organization="Groupement Cre@tic") == []
    [fault] = told("archive_gateway_agents", agents, archive_gateway_organization="Centre de gestion de la Somme")
    assert "« Centre de gestion de la Somme » (creatic_autorite)" in fault and "fab pki.personne" in fault


def test_the_tdts_authority_is_a_certificate(tmp_path: Path) -> None:
    (tmp_path / "tdt.pem").write_bytes(b"0\x82\x01")
    [fault] = told("commune_pc_tdt_authorities", [str(tmp_path / "tdt.pem"), str(tmp_path / "absent.pem")])
    assert "ne se lit pas comme un certificat PEM" in fault
