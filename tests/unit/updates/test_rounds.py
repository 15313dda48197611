"""In which order machines are updated, and what stops those that follow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.filter.wiring import FilterModule

import fabfile
from creatic.check import needs
from creatic.registry import aim, groupement, profiles, rounds
from tests.unit.evidence.conftest import NOTHING

TOP = Path(__file__).parents[3]
EXAMPLE = TOP / "inventories" / "example"
WORK = NOTHING | {"redemarrer": ["Debian le demande"]}
GROUPS = {
    "backup_server": ["sauvegarde"],
    "passerelle": ["relais"],
    "ged": ["documents", "documents-bis"],
    "parapheur": ["signatures"],
    "archive_node": ["sae1", "sae2"],
    "archive_gateway": ["versement"],
    "commune_pc": ["anor-pc", "gondecourt-pc", "lille-pc"],
    "tdt_connector": ["anor-connecteur", "gondecourt-connecteur"],
    "hardening": ["niv-high"],
}
WAVES = {"anor": 2, "gondecourt": 1, "lille": 1}


def answers(**changed: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Variables of each host: it has something to do, unless changed."""
    found: dict[str, dict[str, Any]] = {}
    for host in (host for hosts in GROUPS.values() for host in hosts):
        found[host] = {rounds.BEFORE: {"correctifs": WORK}}
        commune = host.partition("-")[0]
        if commune in WAVES:
            found[host]["creatic_commune"] = {"slug": commune, "vague": WAVES[commune]}
    for name, variables in changed.items():
        found[name.replace("_", "-")] |= variables
    return found


def test_servers_go_alone_after_those_they_wait_for_then_communes_by_wave() -> None:
    found = rounds.update_rounds(GROUPS, answers())
    servers = [["signatures"], ["documents"], ["documents-bis"], ["versement"], ["relais"], ["sauvegarde"]]
    assert found[:6] == servers
    assert found[6:] == [
        ["gondecourt-pc", "gondecourt-connecteur"],
        ["lille-pc"],
        ["anor-pc", "anor-connecteur"],
    ]
    place = {host: number for number, hosts in enumerate(found) for host in hosts}
    for name, profile in profiles.load().items():
        for before in profile.attend:
            for host in GROUPS.get(name, ()):
                assert all(place[one] < place[host] for one in GROUPS.get(before, ()) if one in place)


def test_who_is_up_to_date_refused_or_answers_nonsense_is_in_no_round() -> None:
    told = answers(
        documents={rounds.BEFORE: {"correctifs": NOTHING}},
        documents_bis={rounds.BEFORE: {"correctifs": WORK, "failed": True}},
        relais={rounds.BEFORE: {"correctifs": {"paquets": "tous"}}},
        versement={rounds.BEFORE: {"msg": "unreachable", "unreachable": True}},
        signatures={rounds.BEFORE: None},
    )
    del told["sauvegarde"][rounds.BEFORE]  # not asked: --limit
    assert [host for hosts in rounds.update_rounds(GROUPS, told) for host in hosts] == [
        "gondecourt-pc",
        "gondecourt-connecteur",
        "lille-pc",
        "anor-pc",
        "anor-connecteur",
    ]


def test_the_first_of_a_wave_is_the_first_that_has_something_to_do() -> None:
    told = answers(gondecourt_pc={rounds.BEFORE: {"correctifs": NOTHING}})
    assert rounds.update_rounds(GROUPS, told)[6] == ["lille-pc", "gondecourt-connecteur"]


def test_what_was_left_without_its_proof_is_taken_again_unless_it_is_refused() -> None:
    told = answers(
        documents={rounds.BEFORE: {"correctifs": NOTHING}},
        relais={rounds.BEFORE: {"correctifs": NOTHING}},
        versement={rounds.BEFORE: {"correctifs": NOTHING, "failed": True}},
    )
    found = rounds.update_rounds(GROUPS, told, ["relais", "versement", "disparue"])
    assert found[:4] == [["signatures"], ["documents-bis"], ["relais"], ["sauvegarde"]]


def test_what_follows_a_machine_that_did_not_come_back_is_not_begun() -> None:
    order = [["documents"], ["relais"], ["gondecourt-pc", "lille-pc"]]
    told = answers(documents={rounds.AFTER: {"correctifs": NOTHING}})
    assert not rounds.update_stopped(order, told, "documents")
    assert not rounds.update_stopped(order, told, "relais")
    assert rounds.update_stopped(order, told, "lille-pc"), "relais did not end"
    told["relais"][rounds.AFTER] = {"correctifs": NOTHING, "failed": True}
    assert rounds.update_stopped(order, told, "lille-pc")
    told["relais"][rounds.AFTER] = {"correctifs": NOTHING}
    assert not rounds.update_stopped(order, told, "lille-pc")


def test_five_hundred_communes_are_put_in_order_once_for_a_batch_and_asked_about_the_round_before_alone() -> None:
    """Ansible asks for each machine; a machine's variables take it a millisecond or two."""
    names = [f"c{number}-{what}" for number in range(500) for what in ("pc", "connecteur")]
    groups = {"commune_pc": names[::2], "tdt_connector": names[1::2]}
    read: list[str] = []

    class Variables(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            read.append(name)
            return super().__getitem__(name)

    told = Variables(
        (name, {rounds.BEFORE: {"correctifs": WORK}, "creatic_commune": {"vague": number // 100}})
        for number, name in enumerate(names)
    )
    filters = FilterModule().filters()
    order = filters["update_rounds"](groups, told, [])
    taken = len(read)
    assert len(order) == 20 and sorted(name for machines in order for name in machines) == sorted(names)
    for name in names:
        assert FilterModule().filters()["update_rounds"](groups, told, []) is order
        filters["update_stopped"](order, told, name)
    assert len(read) - taken < 5 * len(names)
    assert filters["update_rounds"](groups, told, ["c1-pc"]) == order and len(read) > taken + len(names)
    assert filters["update_rounds"](groups, Variables(told, **{names[0]: {}}), []) != order


def test_machines_are_named_as_one_says_them() -> None:
    servers, communes = needs.servers(EXAMPLE, TOP), groupement.load(EXAMPLE)
    first = communes[0]
    machine = next(name for name, profile in servers.items() if profile == "ged")
    host = next(iter(first.hosts())).name
    asked = [machine, "ged", first.slug, host, f"vague_{first.data['vague']}"]
    assert rounds.chosen(asked, servers, communes) == [
        machine,
        "ged",
        first.group,
        host,
        f"vague_{first.data['vague']}",
    ]
    assert rounds.chosen([], servers, communes) == []
    with pytest.raises(rounds.RoundError, match=r"inconnus : nulle-part\. Connus : "):
        rounds.chosen(["ged", "nulle-part"], servers, communes)
    node = next(name for name, profile in servers.items() if profile == "archive_node")
    for name in (node, "archive_node"):
        with pytest.raises(rounds.RoundError, match=r"ont leur commande : fab archive\.correctifs$"):
            rounds.chosen([name], servers, communes)


def test_what_nothing_backs_up_is_refused_before_anything() -> None:
    servers = {name: one for name, one in needs.servers(EXAMPLE, TOP).items() if one != "backup_server"}
    communes = groupement.load(EXAMPLE)
    connector = next(host for host in communes[0].hosts() if "tdt_connector" in host.groups).name
    ged = next(name for name, profile in servers.items() if profile == "ged")
    for wanted, told in ((["ged"], ged), ([ged], ged), ([connector], connector), ([communes[0].slug], connector)):
        with pytest.raises(rounds.RoundError, match=f"^{told} : l'inventaire n'a aucun serveur de sauvegarde"):
            rounds.chosen(wanted, servers, communes)
    with pytest.raises(rounds.RoundError, match=r" et \d+ autres : .* groupe backup_server de servers\.yml, puis"):
        rounds.chosen([], servers, communes)
    assert rounds.chosen(["commune_pc"], servers, communes) == ["commune_pc"]


def test_what_has_no_machine_is_told_and_takes_no_other_away() -> None:
    servers = {name: profile for name, profile in needs.servers(EXAMPLE, TOP).items() if profile != "ged"}
    first, *others = groupement.load(EXAMPLE)
    bare = replace(first, data={key: one for key, one in first.data.items() if key != "connecteur"} | {"postes": []})
    assert not list(bare.hosts())
    for name in ("ged", first.slug):
        with pytest.raises(rounds.RoundError, match=f"^L'inventaire n'a aucune machine : {name} "):
            rounds.chosen(["parapheur", name], servers, [bare, *others])


def test_an_empty_list_is_not_taken_for_everything() -> None:
    assert aim.parse_name_list(" ged, gondecourt ,", "toutes") == ["ged", "gondecourt"]
    assert aim.parse_name_list("toutes", "toutes") == []
    for text in ("", " ", ",", " , "):
        with pytest.raises(aim.AimError, match=r"ne nomme rien, rien n'est fait\. À faire : des noms, ou « toutes »"):
            aim.parse_name_list(text, "toutes")


def test_machines_left_to_another_command_are_named_with_it() -> None:
    told = rounds.left_out_messages({"sae2": "archive_node", "documents": "ged", "sae1": "archive_node"})
    assert told == ["À part : sae1, sae2 (archive_node), fab archive.correctifs"]
    assert rounds.left_out_messages({"documents": "ged"}) == []


def test_a_command_of_its_own_is_one_that_fab_has() -> None:
    for profile in profiles.load().values():
        if profile.correctifs.startswith("fab "):
            assert profile.correctifs.removeprefix("fab ") in fabfile.namespace.task_names


def test_who_holds_dpkg_is_waited_for_and_what_was_simulated_is_what_is_installed() -> None:
    """Measured: dpkg ends at once, « dpkg frontend lock was locked by … » ; apt waits (lock_timeout)."""
    for journey in ("updates", "patch_archive_node"):
        text = (TOP / "playbooks" / "journeys" / f"{journey}.yml").read_text(encoding="utf-8")
        parts = text.partition("argv: [dpkg, --configure, --pending]")[2].split("- name:")
        finished, installed = parts[0], parts[1]
        assert "'lock was locked' not in" in finished and "retries: 60" in finished and "LC_ALL: C" in finished
        assert "lock_timeout: 600" in installed
        if journey == "updates":
            assert "upgrade: dist" in installed
