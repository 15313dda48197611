"""What the nodes say, judged: may one be stopped, what is missing, and the screen that tells it."""

from __future__ import annotations

import base64
import copy
import json
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.cdg59.creatic.plugins.filter.archive import FilterModule

from creatic.archive import room as archive_room
from creatic.archive.room import (
    Gateway,
    backup,
    faults,
    gateway_faults,
    lost,
    missing_copies,
    screen,
)

from .room_harness import NODES, NOW, room

MOMENT = datetime.fromtimestamp(NOW, UTC)
SAVED = backup("aucune", 7, MOMENT)


def told(reports: dict[str, Any]) -> list[str]:
    return [str(fault) for fault in faults(reports, NOW)]


def test_a_whole_room_has_no_fault() -> None:
    assert told(room()) == []


def test_a_node_out_of_service_is_no_fault() -> None:
    reports = room()
    reports["sae2"]["etat"]["en_service"] = False
    assert told(reports) == []


MINE = "etat salle 1 passes object"  # sae2's own passes, as sae2 tells them
LOST = "/AUTH_x/c/o sur sae2"


def change(reports: dict[str, Any], path: str, value: Any) -> None:
    """Set what a path (words, numbers for lists) leads to."""
    *way, last = path.split()
    place: Any = reports
    for step in way:
        place = place[int(step)] if isinstance(place, list) else place[step]
    place[last] = value


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("sae2 etat arretes", ["swift-object", "nginx"], "services arrêtés : swift-object nginx"),
        ("sae2 etat disques 0 absent", True, "le disque d1 n'est pas monté. Montez"),
        ("sae2 etat disques 0 libres", 30, "le disque d1 est plein (reste 3,0 %)"),
        ("sae2 etat quarantaine a_reparer", 2, "2 archives en quarantaine"),
        ("sae2 etat trop_absent", True, "absent 400 jours"),
        ("sae2 etat salle 1 passes object", {}, "la réplication (object) n'a encore fini aucune passe"),
        (f"sae2 {MINE} echecs", 1, "la dernière passe de réplication (object) a 1 échec."),
        (f"sae2 {MINE} fin", NOW - 90000, "la réplication (object) n'a rien fini depuis plus d'un jour"),
        ("sae1 etat salle 1 repond", False, "son stockage ne répond pas à sae1."),
        ("sae2 etat anneaux", {"object": "b"}, "ses anneaux ne sont pas ceux des autres nœuds"),
        ("sae1 fixite manquants", [LOST], "des copies y manquent (/AUTH_x/c/o)"),
        ("sae1 fixite abimes", [LOST], "des archives y sont abîmées (/AUTH_x/c/o)"),
        ("sae1 fixite muets", [f"{LOST} (Timeout)"], "n'a pas rendu des archives"),
        ("sae2 copies empreintes 7", "", "ses copies diffèrent des autres nœuds dans 1 partition"),
    ],
)
def test_a_fault_names_the_node_the_reason_and_the_fix(path: str, value: Any, said: str) -> None:
    reports = room()
    reports["sae2"]["etat"]["absence_s"] = 400 * 86400
    change(reports, path, value)
    found = told(reports)
    assert len(found) == 1
    assert found[0].startswith(f"sae2 : {said}")
    assert len(found[0].split(". ", 1)[1]) > 20  # what to do


def presence(reports: dict[str, Any], **absent: list[str]) -> None:
    for name in NODES:
        if name in absent:
            names = [f"loos/aip/{one}.tar" for one in absent[name]]
            reports[name]["presence"] = {"liste": "x", "demandees": 9, "absentes": names}


@pytest.mark.parametrize(
    ("absent", "gone"),
    [
        ({"sae1": ["a", "b"], "sae2": ["b"], "sae3": ["b", "c"]}, ["b"]),
        ({"sae1": ["a"], "sae2": ["b"], "sae3": ["c"]}, []),
        ({"sae1": ["a"], "sae2": ["a"]}, ["a"]),  # one node is silent: a copy is left at most
        ({"sae1": ["a"]}, []),
        ({}, []),
    ],
)
def test_an_archive_that_no_node_has_is_lost(absent: dict[str, list[str]], gone: list[str]) -> None:
    """Its copies are alike, in that there are none; what the journal knows says that there must be."""
    reports = room()
    presence(reports, **absent)
    assert lost(reports) == [f"loos/aip/{one}.tar" for one in gone]
    assert [line for line in told(reports) if "fab archive.reprendre" in line] == [
        f"salle : 1 archive que le journal connaît : {where} ({gone[0]}). « fab archive.reprendre » les remet depuis "
        "leur copie : docs/exploitation.md, « Salle blanche »."
        for where in ["aucun nœud ne les a plus" if len(absent) == 3 else "aucun nœud ne les a (sauf, peut-être, sae3)"]
        if gone
    ]
    shown = "\n".join(screen(reports, {}, replicas=3, saved=SAVED))
    assert ("SANS AUCUNE COPIE" in shown) is bool(gone)


def test_gateways_that_were_asked_at_different_moments_accuse_nobody() -> None:
    reports = room()
    presence(reports, sae1=["a"], sae2=["a"], sae3=["a"])
    reports["sae2"]["presence"]["liste"] = "y"
    assert lost(reports) == []


def test_a_node_that_does_not_answer_is_a_fault_with_its_reason() -> None:
    reports = room()
    reports["sae2"] = {"erreur": "injoignable en SSH (l'hôte ne répond pas)"}
    reports["sae1"]["etat"]["salle"][0]["passes"]["object"]["echecs"] = 3  # the others cannot copy to it
    assert len(told(reports)) == 1
    assert told(reports)[0].startswith("sae2 : injoignable en SSH (l'hôte ne répond pas). Remettez")


def test_the_wrong_clock_is_the_one_that_all_others_see_wrong() -> None:
    reports = room()
    for name in NODES:
        for other in reports[name]["etat"]["salle"]:
            if name == "sae3":
                other["decalage_s"] = 0.0 if other["nom"] == "sae3" else -100.0
            elif other["nom"] == "sae3":
                other["decalage_s"] = 100.0
    assert [line.split(". ")[0] for line in told(reports)] == ["sae3 : son horloge avance de 100 s sur les autres"]


def test_copies_are_compared_where_the_ring_wants_them_only() -> None:
    reports = room()
    reports["sae4"] = copy.deepcopy(reports["sae3"])
    reports["sae3"]["copies"] = {"noeud": "sae3", "attendues": [7, 9], "empreintes": {"7": ["x"], "9": ["y"]}}
    reports["sae4"]["copies"] = {"noeud": "sae4", "attendues": [9], "empreintes": {"7": ["moved away"]}}
    assert missing_copies(reports) == {"sae4": [9]}


@pytest.mark.parametrize(
    ("looks", "missing"),
    [
        ((["a", "b"], ["a", "b"], ["b"]), ""),  # a write while they look
        ((["a", "b"], ["b", "c"], ["c", "d"]), ""),  # several, and not at the very same moments
        ((["a", "b"], ["b"], ["a"]), ""),
        ((["", "a"], ["", "a"], [""]), ""),  # its first archive
        ((["a", "b"], ["a", "b"], ["a-", "b-"]), "sae3"),  # one of its archives was lost before
        ((["a", "b"], ["a", "b"], [""]), "sae3"),
        ((["a", "b"], ["c"], [""]), "sae1 sae2 sae3"),
        ((["a", "b"], [""], [""]), "sae2 sae3"),
    ],
)
def test_what_a_client_writes_meanwhile_is_told_from_what_is_missing(
    looks: tuple[list[str], ...], missing: str
) -> None:
    reports = room()
    for name, seen in zip(NODES, looks, strict=True):
        reports[name]["copies"]["empreintes"]["7"] = seen
    assert missing_copies(reports) == {name: [7] for name in missing.split()}


def test_two_empty_copies_do_not_outvote_the_full_one() -> None:
    reports = room()
    for name in ("sae1", "sae2"):
        reports[name]["copies"]["empreintes"].pop("7")
    assert missing_copies(reports) == {"sae1": [7], "sae2": [7]}


def test_without_two_that_agree_every_copy_is_named() -> None:
    reports = room()
    for name in NODES:
        reports[name]["copies"]["empreintes"]["7"] = [name]
    assert missing_copies(reports) == {"sae1": [7], "sae2": [7], "sae3": [7]}


def test_the_backup_is_judged_by_what_dates_it(tmp_path: Path) -> None:
    stamp, now = tmp_path / "date", datetime(2026, 11, 25, tzinfo=UTC)

    def reason(text: str | None) -> str:
        stamp.unlink(missing_ok=True)
        if text is not None:
            stamp.write_text(text)
        found = backup(str(stamp), 7, now)
        return str(found.fault or "")

    assert reason((now - timedelta(days=6)).isoformat()) == ""
    assert reason("2026-11-24T01:00:00Z\nsuite") == ""
    assert "trop ancienne (le 17 novembre" in reason("2026-11-17T12:00:00")
    assert "datée du futur" in reason("2026-12-25T00:00:00Z")
    assert "ne commence pas par une date" in reason("hier")
    assert "ne commence pas par une date" in reason("")
    assert "n'existe pas" in reason(None)
    assert "aucune sauvegarde n'est déclarée" in str(backup("", 7, now).fault)
    assert backup("aucune", 7, now).fault is None


def test_the_screen_fits_and_says_everything() -> None:
    reports = room()
    reports["sae3"] = {"erreur": "injoignable en SSH (l'hôte ne répond pas)"}
    text = (
        "sae_journal_sceaux 12\nsae_journal_evenements 340\nsae_journal_plus_ancien_non_scelle_seconds 0\n"
        f'sae_fixite_plus_ancienne_seconds{{compte="a"}} {NOW - 7200}\nsae_fixite_anomalies 0\nsae_fixite_en_retard 0\n'
    )
    lines = screen(
        reports,
        {"sae1": 1, "sae2": 2, "sae3": 3},
        replicas=3,
        saved=SAVED,
        gateways=[Gateway("versement", text)],
        now=MOMENT,
    )
    shown = "\n".join(lines)
    assert max(len(line) for line in lines if not line.startswith("- ")) <= 100
    assert len(lines) < 24
    assert "sae3  3     injoignable" in shown
    assert "12 sceaux, 340 événements ; tout est scellé" in shown
    assert "relue depuis moins de 2 h" in shown
    assert "Copies     : 3 par archive, comparées dans 1 partition ; sans réponse : sae3" in shown
    assert "- sae3 : injoignable en SSH" in shown


def test_what_the_gateway_found_damaged_is_no_healthy_room() -> None:
    good, bad, silent = (
        Gateway(name, text)
        for name, text in (("a", "sae_fixite_anomalies 0\n"), ("b", "sae_fixite_anomalies 2\n"), ("c", ""))
    )
    (fault,) = gateway_faults([good, bad, silent], NOW)
    assert fault.node == "b"
    assert "2 anomalies" in fault.reason and "sae-fixite" in fault.fix
    shown = screen(room(), {}, replicas=3, saved=SAVED, gateways=[bad], now=MOMENT)
    assert "1 défaut, aucun nœud ne doit être arrêté :" in shown
    assert shown[-1] == f"- {fault}"


@pytest.mark.parametrize(
    ("oldest", "counted", "said"),
    [(0, 60, ""), (86400, 60, ""), (3 * 86400, 60, "depuis 3 j"), (0, 4 * 86400, "depuis 4 j")],
)
def test_archives_that_wait_for_their_copy_are_told(oldest: float, counted: float, said: str) -> None:
    text = (
        f"sae_copie_archives 1\nsae_copie_attente {int(bool(oldest))}\n"
        f"sae_copie_plus_ancienne_seconds {oldest and NOW - oldest}\nsae_copie_timestamp_seconds {NOW - counted}\n"
    )
    found = [str(fault) for fault in gateway_faults([Gateway("p", text)], NOW)]
    assert [said in fault and "creatic-sauvegarde faire" in fault for fault in found] == [True] * bool(said)
    line = "Copie      : 1 archive sur le serveur de sauvegarde" + (" ; 1 en attente" if oldest else ", toutes")
    shown = screen(room(), {}, replicas=3, saved=SAVED, gateways=[Gateway("p", f"sae_journal_sceaux 1\n{text}")])
    assert line in shown


def test_which_archives_come_back() -> None:
    names = [f"loos/aip/{one}.tar" for one in "abc"]
    expected = base64.b64encode(zlib.compress("\n".join(names).encode())).decode()
    absent = [json.dumps({"liste": "x", "absentes": lacking}) for lacking in (names[:2], names[1:])]
    to_recover = FilterModule().filters()["archives_to_recover"]
    assert to_recover(expected, [*absent, ""]) == ["loos/b.tar"]
    assert to_recover(expected, ["", "", ""]) == []
    assert to_recover(expected, [], ["c", "a", "a"]) == ["loos/a.tar", "loos/c.tar"]
    with pytest.raises(AnsibleFilterError, match="archives inconnues du journal, ou éliminées : z"):
        to_recover(expected, [], ["a", "z"])


def test_a_gateway_without_figures_is_said() -> None:
    shown = screen(room(), {}, replicas=3, saved=SAVED, gateways=[Gateway("versement", "")], now=MOMENT)
    assert "Sceaux     : versement : rien de publié" in shown


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(-5, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (7200, "2 h"), (172799, "48 h"), (172800, "2 j")],
)
def test_ages_are_told_in_the_unit_that_reads_best(seconds: float, told: str) -> None:
    assert archive_room._elapsed_text(seconds) == told


@pytest.mark.parametrize(
    ("octets", "told"),
    [
        (0, "0 o"),
        (999, "999 o"),
        (1000, "1 ko"),
        (1_500_000, "1,5 Mo"),
        (2e9, "2 Go"),
        (3e12, "3 To"),
        (5e15, "5000 To"),
    ],
)
def test_sizes_are_told_in_the_unit_that_reads_best(octets: float, told: str) -> None:
    assert archive_room._size(octets) == told


def test_long_lists_are_cut_after_two() -> None:
    assert [archive_room._short_list(list("abcd"[:count])) for count in (1, 2, 3, 4)] == [
        "a",
        "a, b",
        "a, b et 1 autres",
        "a, b et 2 autres",
    ]


@pytest.mark.parametrize(("skew", "side"), [(5.0, ""), (5.1, "avance"), (-5.0, ""), (-5.1, "retarde")])
def test_a_clock_is_wrong_beyond_five_seconds(monkeypatch: pytest.MonkeyPatch, skew: float, side: str) -> None:
    monkeypatch.setattr(archive_room, "_clock_skews", lambda _reports: {"sae2": skew})
    found = [text for text in told(room()) if "son horloge" in text]
    assert len(found) == (1 if side else 0)
    assert all(f"son horloge {side} de 5 s sur les autres" in text for text in found)


def test_a_gateway_without_figures_and_none_at_all() -> None:
    assert archive_room._gateway_lines([], NOW) == ["Sceaux     : pas de porte des archives à l'inventaire"]
    line = "sae_journal_sceaux 3\nsae_journal_evenements 40\nsae_journal_plus_ancien_non_scelle_seconds"
    for text, error, said in (
        ("", "", "Sceaux     : p : rien de publié"), ("", "muette", "Sceaux     : p : muette"),
        (f"{line} 0\n", "", "Sceaux     : 3 sceaux, 40 événements ; tout est scellé"),
        (f"{line} {NOW - 600}\n", "",
         "Sceaux     : 3 sceaux, 40 événements ; plus ancien événement non scellé il y a 10 min"),
        (f"{line} 0\nsae_journal_scellement_echec 1\n", "",
         "Sceaux     : 3 sceaux, 40 événements ; tout est scellé ; LE DERNIER SCELLEMENT A ÉCHOUÉ"),
    ):  # fmt: skip # a row a line
        assert archive_room._gateway_lines([Gateway("p", text, error)], NOW)[0] == said


def test_a_gateway_whose_fixity_has_no_figure_yet_has_no_anomaly() -> None:
    text = f"sae_journal_sceaux 3\nsae_fixite_plus_ancienne_seconds {NOW - 600}\n"
    assert archive_room._gateway_lines([Gateway("p", text, "")], NOW)[1] == (
        "Fixité     : chaque archive relue depuis moins de 10 min ; 0 anomalies, 0 en retard"
    )
