"""What machines are told of each other: each filter, then the profiles' own templates on the lab's inventory."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.template import trust_as_template

from creatic.check import needs
from creatic.check.flows import trusted, wired_templar
from creatic.registry import formalities, listing, wiring
from creatic.registry.wiring import WiringError

REPO = Path(__file__).parents[3]
GROUPS: dict[str, list[str]] = {
    "all": ["relais", "signatures", "seances", "documents", "sae2", "sae1", "versement", "gondecourt-connecteur"],
    "passerelle": ["relais"],
    "parapheur": ["signatures"],
    "deliberations": ["seances"],
    "ged": ["documents"],
    "archive_node": ["sae2", "sae1"],
    "archive_gateway": ["versement"],
    "tdt_connector": ["gondecourt-connecteur"],
}
GONDECOURT = {
    "slug": "gondecourt",
    "nom": "Gondecourt",
    "siren": "215902669",
    "departement": "059",
    "territoire": "lille",
    "taille": "moyenne",
    "services": ["teletransmission", "parapheur", "deliberations", "ged", "archivage"],
}
HOSTS: dict[str, dict[str, Any]] = {
    name: {"ansible_host": f"10.59.0.{number}", "creatic_names": [f"{name}.test", "autre.test"]}
    for number, name in enumerate(GROUPS["all"], 40)
}
HOSTS["sae1"] |= {"creatic_zone": 1, "archive_node_devices": [{"name": "d1"}], "archive_node_weight": 0}
HOSTS["sae2"] |= {"creatic_zone": 2, "archive_node_devices": [{"name": "d1"}, {"name": "d2"}]}
HOSTS["gondecourt-connecteur"] |= {"creatic_commune": GONDECOURT}


def without(*names: str) -> dict[str, list[str]]:
    return {name: [] if name in names else hosts for name, hosts in GROUPS.items()}


def test_the_connector_asks_the_passerelle_where_a_service_needs_it() -> None:
    assert wiring.connector_gateway(GROUPS, HOSTS, GONDECOURT) == {
        "url": "https://relais.test",
        "addresses": ["10.59.0.40"],
    }
    for services in (["teletransmission"], ["teletransmission", "ged", "archivage"]):
        assert wiring.connector_gateway(GROUPS, HOSTS, GONDECOURT | {"services": services}) == {}


@pytest.mark.parametrize("groups", [without("passerelle"), {"all": ["tdt"]}], ids=["empty", "absent"])
def test_a_connector_does_not_lose_its_passerelle_silently(groups: dict[str, list[str]]) -> None:
    with pytest.raises(WiringError, match=r"aucune machine passerelle.*communes/gondecourt\.yml"):
        wiring.connector_gateway(groups, HOSTS, GONDECOURT)
    alone = GONDECOURT | {"services": ["teletransmission"]}
    assert wiring.connector_gateway(groups, HOSTS, alone) == {}


def test_the_passerelle_calls_the_servers_of_the_inventory() -> None:
    found = wiring.passerelle_servers(GROUPS, HOSTS, [GONDECOURT])
    assert [one["service"] for one in found] == ["parapheur", "deliberations", "ged"]
    assert found[0] == {"service": "parapheur", "url": "https://signatures.test", "addresses": ["10.59.0.41"]}
    for lost in ("parapheur", "deliberations", "ged"):
        with pytest.raises(WiringError, match=f"aucune machine {lost}"):
            wiring.passerelle_servers(without(lost), HOSTS, [GONDECOURT])
        alone = GONDECOURT | {"services": ["teletransmission"]}
        assert len(wiring.passerelle_servers(without(lost), HOSTS, [alone])) == 2
    [told] = wiring.passerelle_communes([GONDECOURT])
    fields = ["slug", "nom", "siren", "services", "territoire", "taille", "courriels", "publication", "formalites"]
    assert list(told) == fields
    assert (told["publication"], told["formalites"]) == ("", False)
    done = {"formalites": {key: {"date": "2026-01-15", "document": "a.pdf"} for key in formalities.TRANSMISSION}}
    assert wiring.passerelle_communes([GONDECOURT | done])[0]["formalites"] is True
    later = done["formalites"] | {"compte_tdt": {"date": "2999-01-01", "document": "a.pdf"}}
    assert wiring.passerelle_communes([GONDECOURT | {"formalites": later}])[0]["formalites"] is False
    assert wiring.passerelle_communes([GONDECOURT], True)[0]["formalites"] is True
    people = {"comptes": [{"identifiant": "a.maire", "courriel": "maire@x.test"}]}
    council = {"maire": "a.maire", "dgs": []}
    for given, mode in (({}, "electronique"), ({"publication": {"mode": "papier"}}, "papier")):
        [told] = wiring.passerelle_communes([GONDECOURT | {"deliberations": council | given} | people])
        assert told["publication"] == mode


def test_the_maire_and_the_dgs_are_written_to_once_each() -> None:
    people = [{"identifiant": f"a.{name}", "courriel": f"{name}@x.test"} for name in ("maire", "dgs", "autre", "elu")]
    roles = {"maire": {"titulaire": "a.maire", "suppleants": ["a.elu"]}, "dgs": {"titulaire": "a.dgs"}}
    council = {"redacteurs": ["a.elu"], "maire": "a.maire", "dgs": ["a.dgs", "a.autre"], "elus": ["A"]}
    assert wiring.chiefs({"comptes": people, "parapheur": roles}) == ["maire@x.test", "dgs@x.test"]
    assert wiring.chiefs({"comptes": people, "parapheur": {"maire": roles["maire"]}}) == ["maire@x.test"]
    both = {"comptes": people, "parapheur": roles, "deliberations": council}
    assert wiring.chiefs(both) == ["maire@x.test", "dgs@x.test", "autre@x.test"]
    assert wiring.chiefs({"services": ["teletransmission"]}) == []


def test_nodes_are_told_by_name_and_what_a_node_lacks_is_named() -> None:
    assert wiring.archive_nodes(GROUPS, HOSTS) == [
        {"name": "sae1", "address": "10.59.0.45", "zone": 1, "weight": 0, "devices": ["d1"]},
        {"name": "sae2", "address": "10.59.0.44", "zone": 2, "weight": 100, "devices": ["d1", "d2"]},
    ]
    for name in ("ansible_host", "creatic_zone", "archive_node_devices"):
        hosts = copy.deepcopy(HOSTS)
        del hosts["sae2"][name]
        with pytest.raises(WiringError, match=f"sae2 : la variable {name} manque.*servers.yml"):
            wiring.archive_nodes(GROUPS, hosts)


def test_the_connector_deposits_at_the_door_of_the_inventory() -> None:
    deposit = {"rule": "ACTES-10", "action": "conserver"}
    door = {"url": "https://versement.test", "agency": "sae-cdg59", **deposit}
    assert wiring.connector_archive(GROUPS, HOSTS, GONDECOURT, "sae-cdg59", deposit) == door
    agreed = wiring.connector_archive(GROUPS, HOSTS, GONDECOURT | {"accord_versement": "A-1"}, "sae-cdg59", deposit)
    assert agreed == door | {"agreement": "A-1"}
    elsewhere = deposit | {"url": "https://sae.example.org", "addresses": ["192.0.2.1"]}
    found = wiring.connector_archive(GROUPS, HOSTS, GONDECOURT, "sae-cdg59", elsewhere)
    assert found == elsewhere | {"agency": "sae-cdg59"}
    for groups, service, given_, named in (
        (without("archive_gateway"), "sae-cdg59", deposit, "aucune machine archive_gateway"),
        (GROUPS, "", deposit, "creatic_archive_service"),
        (GROUPS, "sae-cdg59", {}, "creatic_archive_versement"),
        (GROUPS, "sae-cdg59", {"rule": "ACTES-10"}, "creatic_archive_versement"),
        (GROUPS, "sae-cdg59", deposit | {"flow_rule": "PES-10"}, "flow_rule et flow_action ensemble"),
    ):
        with pytest.raises(WiringError, match=named):
            wiring.connector_archive(groups, HOSTS, GONDECOURT, service, given_)
        alone = GONDECOURT | {"services": ["teletransmission"]}
        assert wiring.connector_archive(groups, HOSTS, alone, service, given_) == {}


def test_connectors_alone_deposit_and_partners_are_handed_over_as_written() -> None:
    partner = {
        "nom": "region",
        "libelle": "Région",
        "siren": "200053742",
        "quota_mo": 5,
        "dua_min": 0,
        "dua_max": 9,
        "deposants": ["X"],
    }
    long = GONDECOURT | {"slug": "longue", "nom": "Avesnes-" + "le-" * 40 + "Sec"}
    people = [
        {"identifiant": "claire.dubois", "prenom": "Claire", "nom": "Dubois"},
        {"identifiant": "hugo.petit", "prenom": "Hugo", "nom": "Petit"},
    ]
    for services, maire in (
        ({"parapheur": {"maire": {"titulaire": "claire.dubois"}}, "deliberations": {"maire": "x"}}, "Claire Dubois"),
        ({"deliberations": {"maire": "hugo.petit"}}, "Hugo Petit"),
        ({"deliberations": {"maire": "parti"}}, None),
        ({}, None),
    ):
        [told] = wiring.archive_accounts([GONDECOURT | {"comptes": people} | services], [], {})
        assert told.get("signataire") == maire
    [told] = wiring.archive_accounts([GONDECOURT | {"accord_versement": "AD59-2026-017"}], [], {})
    assert told["accord"] == "AD59-2026-017"
    first, second, third = wiring.archive_accounts([GONDECOURT, long], [partner], {"gondecourt": 7})
    assert first == {
        "nom": "gondecourt",
        "libelle": "Gondecourt",
        "siren": "215902669",
        "deposants": ["Connecteur - Commune de Gondecourt"],
        "quota_mo": 7,
    }
    assert "quota_mo" not in second
    assert len(second["deposants"][0]) <= 64
    assert third == partner


def test_who_signs_in_the_circuits_signs_for_the_archives() -> None:
    hosts = {"p1": {"parapheur_signers_ca_files": ["b", "a"]}, "p2": {"parapheur_signers_ca_files": ["a"]}}
    assert wiring.signers({"parapheur": ["p1", "p2"]}, hosts, "ca") == ["a", "b"]
    assert wiring.signers({}, {}, "crl") == []
    with pytest.raises(wiring.WiringError, match="parapheur_signers_crl_files manque"):
        wiring.signers({"parapheur": ["p1"]}, hosts, "crl")


def test_what_the_journals_know_is_asked_of_the_gateways_that_answered() -> None:
    groups = {"archive_gateway": ["a", "b", "c"]}
    hosts: dict[str, dict[str, Any]] = {
        "a": {"archive_attendues": {"stdout": "un"}},
        "b": {},
        "c": {"archive_attendues": {"unreachable": True}},
    }
    assert wiring.archive_expected(groups, hosts) == "un\n"
    assert wiring.archive_expected({}, {}) == ""


def test_backed_up_machines_are_those_with_keys(tmp_path: Path) -> None:
    for name in ("gondecourt-connecteur", "versement", wiring.CONTROL, "seances", "relais"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cle.pub").write_text(f"cle {name}\n")
        (tmp_path / name / "sequestre.p7m").write_text("scellé\n\n", encoding="utf-8")
    (tmp_path / "seances" / "sequestre.p7m").unlink()
    (tmp_path / "versement" / "cle.preuve").write_text("preuve\n")
    found = wiring.backup_machines(GROUPS, HOSTS, str(tmp_path), {"relais": 9}, {"moyenne": 48, "grande": 30})
    common = {"proof": "", "sealed": "scellé\n"}
    assert found == [
        common | {"name": "gondecourt-connecteur", "key": "cle gondecourt-connecteur", "age_max_h": 48},
        common | {"name": "relais", "key": "cle relais", "quota_mo": 9},
        common | {"name": "versement", "key": "cle versement", "proof": "preuve\n", "quota_mo": 1_000_000},
        common | {"name": "poste-de-commande", "key": "cle poste-de-commande"},
    ]
    assert "quota_mo" not in wiring.backup_machines(GROUPS, HOSTS, str(tmp_path), {}, {})[1]


def test_authorities_are_those_of_the_communes_by_siren() -> None:
    other = GONDECOURT | {"siren": "215900374", "nom": "Avesnes", "territoire": "cambresis"}
    assert wiring.tdt_authorities([GONDECOURT, other], {"lille": "5", "cambresis": "2"}) == [
        {"siren": "215900374", "nom": "Avesnes", "departement": "059", "arrondissement": "2"},
        {"siren": "215902669", "nom": "Gondecourt", "departement": "059", "arrondissement": "5"},
    ]


# The profiles' own templates, on inventories


def inventory(folder: Path) -> dict[str, Any]:
    environment = os.environ | {"ANSIBLE_NOCOLOR": "1"}
    tool = Path(sys.executable).parent / "ansible-inventory"
    done = subprocess.run(
        [tool, "-i", folder, "--list"], cwd=REPO, env=environment, capture_output=True, text=True, check=True
    )
    return listing.read(done.stdout)


def _scopes(tasks: list[dict[str, Any]], around: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for task in tasks:
        scope = {**around, **task.get("vars", {})}
        yield scope
        yield from _scopes(task.get("block", []), scope)


def given(found: dict[str, Any], profile: str, host: str, variable: str) -> Any:
    """The value that a profile's tasks give a role's variable on a host."""
    tasks = yaml.safe_load((REPO / "playbooks" / "profiles" / f"{profile}.yml").read_text(encoding="utf-8"))
    [scope, *_inner] = [scope for scope in _scopes(tasks, {}) if variable in scope]
    hostvars = found["_meta"]["hostvars"]
    groups = {name: sorted(_hosts(found, name)) for name in found if name != "_meta"}
    folder = str(REPO / "inventories" / "lab")
    magic = {"groups": groups, "hostvars": trusted(hostvars), "inventory_hostname": host, "inventory_dir": folder}
    templar = wired_templar(trusted(hostvars[host]) | trusted(scope) | magic)
    return templar.template(trust_as_template(f"{{{{ {variable} }}}}"))


def _hosts(found: dict[str, Any], group: str) -> set[str]:
    own = found.get(group, {})
    return set(own.get("hosts", ())).union(*(_hosts(found, child) for child in own.get("children", ())))


@pytest.fixture(scope="module")
def lab() -> dict[str, Any]:
    return inventory(REPO / "inventories" / "lab")


def test_the_chain_of_the_lab_is_wired_by_its_inventory(lab: dict[str, Any]) -> None:
    gateway = {"url": "https://passerelle.creatic.test", "addresses": ["10.59.0.43"]}
    for commune in ("gondecourt", "la-madeleine"):
        assert given(lab, "tdt_connector", f"{commune}-connecteur", "tdt_connector_passerelle") == gateway
    assert given(lab, "tdt_connector", "avesnes-les-aubert-connecteur", "tdt_connector_passerelle") == {}
    assert [(one["service"], one["url"]) for one in given(lab, "passerelle", "relais", "passerelle_servers")] == [
        ("parapheur", "https://parapheur.creatic.test"),
        ("deliberations", "https://deliberations.creatic.test"),
        ("ged", "https://ged.creatic.test"),
    ]
    slugs = [one["slug"] for one in given(lab, "passerelle", "relais", "passerelle_communes")]
    assert slugs == ["avesnes-les-aubert", "gondecourt", "gondecourt-ccas", "la-madeleine"]
    versants = ["gondecourt", "gondecourt-ccas", "la-madeleine", "partenaire-essai", "sae"]
    assert given(lab, "archive_node", "sae1", "archive_node_accounts") == versants
    assert [one["name"] for one in given(lab, "archive_node", "sae1", "archive_node_nodes")] == ["sae1", "sae2", "sae3"]
    assert given(lab, "archive_node", "sae1", "archive_node_client_peers") == ["10.59.0.30"]
    storage = given(lab, "archive_gateway", "versement", "archive_gateway_storage_addresses")
    assert storage == ["10.59.0.31", "10.59.0.32", "10.59.0.33"]
    assert [one["nom"] for one in given(lab, "archive_gateway", "versement", "archive_gateway_accounts")] == [
        "gondecourt",
        "gondecourt-ccas",
        "la-madeleine",
        "partenaire-essai",
    ]
    nodes = [f"https://sae{number}.creatic.test" for number in (1, 2, 3)]
    assert given(lab, "archive_gateway", "versement", "archive_gateway_storage_urls") == nodes
    door = {"url": "https://sae.creatic.test", "agency": "sae-cdg59", "rule": "ACTES-10", "action": "conserver",
            "flow_rule": "PES-10", "flow_action": "detruire"}  # fmt: skip # a table
    assert given(lab, "tdt_connector", "gondecourt-connecteur", "tdt_connector_archive") == door
    assert given(lab, "tdt_connector", "avesnes-les-aubert-connecteur", "tdt_connector_archive") == {}
    assert lab["_meta"]["hostvars"]["sauvegarde"]["hardening_shell_accounts"] == ["sauvegarde", "sauvegarde-lecture"]
    assert len(given(lab, "tdt_simulator", "tdt", "tdt_simulator_authorities")) == 4
    commune = lab["_meta"]["hostvars"]["gondecourt-connecteur"]["creatic_commune"]
    [ccas] = wiring.connector_entities(commune, "/secrets")
    assert (ccas["name"], ccas["archives"], ccas["relays"]) == ("gondecourt-ccas", True, True)
    peers = given(lab, "backup_server", "sauvegarde", "backup_server_client_peers")
    assert peers == ["10.59.0.30", "10.59.0.40", "10.59.0.41", "10.59.0.42", "10.59.0.43", "10.59.0.70", "10.59.2.20",
                     "10.59.3.20", "10.59.4.20", "10.59.8.10"]  # fmt: skip # a list of words


def test_each_host_has_its_profile_and_servers_the_communes_they_serve(lab: dict[str, Any]) -> None:
    hostvars = lab["_meta"]["hostvars"]
    for name, variables in hostvars.items():
        assert name in _hosts(lab, variables["creatic_profil"])
    served = {
        name: [one["slug"] for one in variables["creatic_communes"]]
        for name, variables in hostvars.items()
        if "creatic_communes" in variables
    }
    both = ["gondecourt", "gondecourt-ccas", "la-madeleine"]
    some = ["sae1", "sae2", "sae3", "versement", "signatures", "documents", "seances"]
    every = ["avesnes-les-aubert", *both]
    assert served == dict.fromkeys(some, both) | {"relais": every, "tdt": every}


def test_benches_alone_are_left_out_of_audits_and_revocations(lab: dict[str, Any]) -> None:
    left_out = _hosts(lab, "banc")
    benches = {"exercice1", "niv-minimal", "niv-intermediary", "niv-enhanced", "niv-high", "poste", "noyau", "coffre"}
    assert left_out == benches
    assert {"documents", "signatures", "seances", "relais"} <= _hosts(lab, "all") - left_out
    assert len(_hosts(lab, "all") - left_out) == 18
    deployed = needs.servers(REPO / "inventories/lab", REPO)
    assert deployed.keys() & left_out == set() and "relais" in deployed


def test_an_inventory_without_communes_hosts_still_serves_them(tmp_path: Path) -> None:
    """A commune that has no PC nor connector yet has its place on the servers."""
    folder = tmp_path / "essai"
    shutil.copytree(REPO / "inventories" / "lab", folder)
    file = folder / "communes" / "gondecourt.yml"
    data = yaml.safe_load(file.read_text(encoding="utf-8"))
    data |= {"postes": [], "services": [one for one in data["services"] if one != "teletransmission"]}
    del data["connecteur"]
    data["entites"][0]["services"].remove("teletransmission")
    file.write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8")
    found = inventory(folder)
    slugs = [one["slug"] for one in given(found, "passerelle", "relais", "passerelle_communes")]
    assert slugs == ["avesnes-les-aubert", "gondecourt", "gondecourt-ccas", "la-madeleine"]
