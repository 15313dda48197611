"""A patch from one run to the next: refused, interrupted, taken up, sealed; and what the nodes' agent reads on disk."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.cdg59.creatic.plugins.action.archive_patch import report, reports
from creatic_archive import copies

from creatic.archive import patch as archive_patch
from creatic.archive.patch import Patch, PatchError
from creatic.evidence import store as evidence_store

from .room_harness import NODES, NOW, room

JOURNEYS = Path(__file__).parents[3] / "playbooks" / "journeys"
FACTS = {"paquets": ["openssl 3"], "redemarre": False, "rattrapage": "À jour 12 s après son retour."}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "lab"


def taken(home: Path, *, reboot: bool = False) -> Patch:
    """What the next run of the journey finds."""
    patch = Patch(home)
    patch.take(list(NODES), "moi@poste", os.getpid(), reboot=reboot)
    return patch


def test_nodes_are_done_in_order_and_the_record_is_sealed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patch = taken(home)
    assert patch.judge(room(), "hier", [], NOW) == list(NODES)
    for name in NODES:
        patch.begin(name)
        patch.end(name, FACTS, room(), NOW, 0)
    sealed: list[Path] = []
    monkeypatch.setattr(evidence_store, "seal", lambda folder, _keys: sealed.append(folder))
    folder, unsealed = patch.close()
    assert (len(sealed), unsealed) == (1, "")
    assert json.loads((folder / "correctifs.json").read_text("utf-8"))["sauvegarde"] == "hier"
    assert "openssl 3" in (folder / "rapport.html").read_text("utf-8")
    assert not Patch(home).record


def test_without_keys_the_record_is_kept_and_said_to_be_unsigned(home: Path) -> None:
    patch = taken(home)
    for name in NODES:
        patch.begin(name)
        patch.end(name, FACTS, room(), NOW, 0)
    folder, unsealed = patch.close()
    assert "introuvable" in unsealed
    assert (folder / "correctifs.json").is_file()


def test_a_refusal_before_anything_leaves_nothing_behind(home: Path) -> None:
    patch = taken(home)
    reports_ = room()
    reports_["sae2"]["etat"]["arretes"] = ["nginx"]
    with pytest.raises(PatchError, match="aucun nœud n'est arrêté :\n- sae2 : services arrêtés : nginx"):
        patch.judge(reports_, "hier", [], NOW)
    assert not Patch(home).record


def test_check_mode_judges_and_writes_nothing(home: Path) -> None:
    Patch(home, dry=True).take(list(NODES), "moi@poste", os.getpid(), reboot=False)
    assert Patch(home, dry=True).judge(room(), "hier", [], NOW) == list(NODES)
    reports_ = room()
    reports_["sae2"]["etat"]["arretes"] = ["nginx"]
    with pytest.raises(PatchError):
        Patch(home, dry=True).judge(reports_, "hier", [], NOW)
    assert not archive_patch.folder(home).exists()
    taken(home).begin("sae1")
    assert Patch(home, dry=True).judge(room(), "hier", [], NOW)[0] == "sae1"
    assert Patch(home).interrupted == "sae1"


def test_the_interrupted_node_goes_first_whatever_is_wrong_with_it(home: Path) -> None:
    patch = taken(home)
    patch.begin("sae1")
    patch.end("sae1", FACTS, room(), NOW, 0)
    patch.begin("sae3")
    again = taken(home, reboot=True)
    reports_ = room()
    reports_["sae3"]["etat"] |= {"arretes": ["swift-object"], "en_service": False}
    assert again.judge(reports_, "hier", [], NOW) == ["sae3", "sae2"]
    assert again.record["redemarrer"] is True
    # But not when another one has a fault too, nor when nobody reaches it.
    reports_["sae2"]["copies"]["empreintes"].pop("7")
    with pytest.raises(PatchError, match="sae2 : ses copies diffèrent"):
        again.judge(reports_, "hier", [], NOW)
    reports_ = room()
    reports_["sae3"] = {"erreur": "injoignable en SSH (x)"}
    with pytest.raises(PatchError, match="sae3 : injoignable"):
        again.judge(reports_, "hier", [], NOW)


def test_a_node_out_of_service_goes_before_the_others(home: Path) -> None:
    reports_ = room()
    reports_["sae2"]["etat"]["en_service"] = False
    assert taken(home).judge(reports_, "hier", [], NOW) == ["sae2", "sae1", "sae3"]


def test_an_interrupted_patch_of_another_day_starts_again(home: Path) -> None:
    patch = taken(home)
    patch.begin("sae1")
    patch.end("sae1", FACTS, room(), NOW, 0)
    patch.record["debut"] = "2026-01-01T00:00:00+00:00"
    patch._save_state()
    assert taken(home).judge(room(), "hier", [], NOW) == list(NODES)


def test_a_stop_that_was_asked_for_begins_no_other_node(home: Path) -> None:
    patch = taken(home)
    patch.stop_file.touch()
    with pytest.raises(PatchError, match="sae2 n'est pas commencé"):
        patch.begin("sae2")
    assert patch.record["noeuds"]["sae2"]["etat"] == ""
    taken(home).begin("sae2")  # the next run goes on


def test_a_room_that_does_not_come_back_whole_stops_the_patch(home: Path) -> None:
    patch = taken(home)
    patch.begin("sae1")
    reports_ = room()
    reports_["sae2"]["fixite"]["abimes"] = ["/AUTH_sae/c/o sur sae1"]
    with pytest.raises(PatchError, match="la salle n'est pas revenue entière :\n- sae1 : des archives y sont abîmées"):
        patch.end("sae1", FACTS, reports_, NOW, 600)
    assert patch.interrupted == "sae1"
    with pytest.raises(PatchError, match="il reste sae1, sae2, sae3"):
        patch.close()


def differing(*partitions: str) -> dict[str, Any]:
    """A room in which sae1 lacks something in these partitions."""
    reports_ = room()
    for name in NODES:
        reports_[name]["copies"]["empreintes"] = {"7": ["x"], "8": ["y"]}
    reports_["sae1"]["copies"]["empreintes"] |= {part: ["other"] for part in partitions}
    return reports_


def test_copies_that_differ_at_one_look_only_are_being_written(home: Path) -> None:
    patch = taken(home)
    patch.begin("sae1")
    assert patch.end("sae1", FACTS, differing("7"), NOW, 600) is None
    assert Patch(home).interrupted == "sae1"  # a cut between two looks is one
    noted = patch.end("sae1", FACTS, differing("8"), NOW + 10, 600)
    assert noted is not None
    assert noted["etat"] == "fait"
    assert "regards" not in noted


def test_copies_that_differ_at_every_look_stop_the_patch_in_the_end(home: Path) -> None:
    patch = taken(home)
    patch.begin("sae1")
    assert patch.end("sae1", FACTS, differing("7", "8"), NOW, 600) is None
    assert patch.end("sae1", FACTS, differing("7"), NOW + 599, 600) is None
    with pytest.raises(PatchError, match="sae1 : ses copies diffèrent des autres nœuds dans 1 partition"):
        patch.end("sae1", FACTS, differing("7", "8"), NOW + 600, 600)


def test_a_damaged_archive_is_not_waited_for(home: Path) -> None:
    patch = taken(home)
    patch.begin("sae1")
    reports_ = differing("7")
    reports_["sae2"]["fixite"]["abimes"] = ["/AUTH_sae/c/o sur sae3"]
    with pytest.raises(PatchError, match="sae3 : des archives y sont abîmées"):
        patch.end("sae1", FACTS, reports_, NOW, 600)


def test_two_patches_never_run_together(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken(home)
    patch = Patch(home)
    with pytest.raises(
        PatchError, match="une mise à jour de la salle d'archives est déjà en cours, lancé par moi@poste"
    ):
        patch.take(list(NODES), "autre@poste", os.getppid(), reboot=False)


def test_what_apt_changed_is_read_from_what_it_said() -> None:
    said = "Unpacking libssl3t64:amd64 (3.5.4-1) over (3.5.1-1) ...\nUnpacking nouveau (1) ...\nSetting up x (1)\n"
    assert archive_patch.packages(said) == ["libssl3t64 3.5.4-1", "nouveau 1"]


def test_answers_of_the_nodes_are_read_or_explained() -> None:
    answers: dict[str, dict[str, Any]] = {
        "sae1": {"stdout": json.dumps({"etat": {}})},
        "sae2": {"unreachable": True, "msg": "ssh: connect to host x: Connection timed out"},
        "sae3": {"stdout": "", "stderr": "creatic-archive: not found", "rc": 127},
        "sae4": {},
    }
    found = reports(answers)
    assert found["sae1"] == {"etat": {}}
    assert found["sae2"]["erreur"] == "injoignable en SSH (l'hôte ne répond pas)"
    assert found["sae3"]["erreur"] == "creatic-archive ne répond pas (creatic-archive: not found)"
    assert "relancez sans --limit" in found["sae4"]["erreur"]
    assert report({"stdout": "[1, 2"})["erreur"] == "creatic-archive ne répond pas (sans message)"


@pytest.mark.parametrize("journey", ["archive_status", "patch_archive"])
def test_a_journey_gives_the_answers_of_the_room_one_that_was_not_asked_included(journey: str) -> None:
    plays = yaml.safe_load((JOURNEYS / f"{journey}.yml").read_text("utf-8"))
    variables: dict[str, Any] = {
        "groups": {"archive_node": ["sae2", "sae1"], "archive_gateway": ["porte"]},
        "hostvars": {
            "sae1": {"archive_bilan": {"stdout": "{}"}, "creatic_zone": 1},
            "sae2": {},
            "porte": {"archive_passerelle": {"stdout": "sae 1"}},
        },
    }
    found: dict[str, Any] = {}
    for play in plays:
        found |= play.get("vars", {})
    names = ("archive_reponses", "archive_passerelles", *(["archive_zones"] if journey == "archive_status" else []))
    templar = Templar(DataLoader(), variables=variables)
    given = {name: templar.template(trust_as_template(found[name])) for name in names}
    assert given["archive_reponses"] == {"sae1": {"stdout": "{}"}, "sae2": {}}
    assert given["archive_passerelles"] == {"porte": {"stdout": "sae 1"}}
    assert given.get("archive_zones", {"sae1": 1, "sae2": ""}) == {"sae1": 1, "sae2": ""}
    del variables["groups"]["archive_gateway"]
    templar = Templar(DataLoader(), variables=variables)
    assert templar.template(trust_as_template(found["archive_passerelles"])) == {}


# -- What a node reads on its disks -------------------------------------------------------------------------


def stored(root: Path, name: str) -> Path:
    path = root / "objects" / "7" / "abc" / f"{'0' * 29}abc" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_the_same_archives_give_the_same_digest_whatever_else_lies_there(tmp_path: Path) -> None:
    for node in ("a", "b"):
        stored(tmp_path / node, "1795597874.92478.data")
    stored(tmp_path / "a", "1795597870.00000.data")  # older, about to be removed
    (tmp_path / "b" / "objects" / "7" / "hashes.pkl").touch()
    one, other = (copies.digests([7, 8], [tmp_path / node]) for node in ("a", "b"))
    assert one == other
    assert list(one) == ["7"]


def test_a_lost_file_or_a_deletion_that_did_not_come_through_shows(tmp_path: Path) -> None:
    for node in ("a", "b"):
        stored(tmp_path / node, "1795597874.92478.data")
    stored(tmp_path / "b", "1795597880.00000.ts")
    assert copies.digests([7], [tmp_path / "b"]) == {}
    assert copies.digests([7], [tmp_path / "a"]) != {}
    assert copies.digests([7], [tmp_path / "nowhere"]) == {}


def test_each_node_is_told_in_one_line() -> None:
    nodes = {
        "sae1": {"etat": "fait", "paquets": ["a", "b"], "redemarre": True, "duree_s": 90, "archives_relues": 5},
        "sae2": {"etat": "fait", "paquets": [], "redemarre": False, "duree_s": 90},
        "sae3": {"etat": "attend", "raison": "arrêt demandé"},
    }
    assert archive_patch.lines({"noeuds": nodes}) == [
        "sae1 : fait, 2 paquets, redémarré, 1 min 30 s, 5 archives relues",
        "sae2 : fait, déjà à jour, 1 min 30 s",
        "sae3 : attend, arrêt demandé",
    ]
    rows = archive_patch.rows({"noeuds": nodes})
    assert [row["redemarre"] for row in rows] == ["redémarré", "non", ""]
    assert [row["paquets"] for row in rows] == ["2 paquets", "déjà à jour", ""]
    assert [bool(row["duree"]) for row in rows] == [True, True, False]
    assert rows[0]["liste"] == "a, b"


def test_a_stop_is_asked_once_then_cuts(tmp_path: Path) -> None:
    sent: list[int] = []
    process: Any = SimpleNamespace(send_signal=sent.append)
    stop = Patch(tmp_path).stop_file
    with archive_patch._stop_on_signal(tmp_path, process):
        signal.raise_signal(signal.SIGTERM)
        assert (stop.exists(), sent) == (True, [])
        assert stop.parent.stat().st_mode & 0o777 == 0o700
        signal.raise_signal(signal.SIGINT)
        assert sent == [signal.SIGINT]


def test_the_journey_is_run_in_a_session_of_its_own(tmp_path: Path) -> None:
    command = ["sh", "-c", "ps -o sid= -p $$ | tr -d ' ' > sid; exit 7"]
    assert archive_patch.run(tmp_path, command, tmp_path) == 7
    assert int((tmp_path / "sid").read_text()) != os.getsid(0)


def test_what_a_patch_notes_is_closed_to_others(tmp_path: Path) -> None:
    patch = Patch(tmp_path / "poste")
    patch._save_state()
    assert patch.path.parent.stat().st_mode & 0o777 == 0o700
    dry = Patch(tmp_path / "autre", dry=True)
    dry._save_state()
    assert not dry.path.exists()
