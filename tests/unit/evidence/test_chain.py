"""Sealed folders that follow one another: what is lost, replaced, added or changed shows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from creatic.evidence import store as evidence_store
from creatic.evidence.seal import SEAL_FILES, SealKeys, seal

NAMES = [f"2026-11-2{day}T080000Z" for day in (4, 5, 6)]
RESULTS = "exercice.json"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, keys: SealKeys) -> Path:
    """Three sealed folders, and one that was cut off."""
    folder = tmp_path_factory.mktemp("chaine") / "exercices"
    for name in NAMES:
        add(folder, name, keys)
    (folder / ".en-cours-2026-11-27T080000Z").mkdir()
    return folder


@pytest.fixture
def base(tmp_path: Path, made: Path) -> Path:
    """A copy of them, to damage."""
    return shutil.copytree(made, tmp_path / "exercices", symlinks=True)


def add(folder: Path, name: str, keys: SealKeys) -> None:
    _, staging = evidence_store.open_run(folder, "alice", name)
    with evidence_store.closing(folder) as finished:
        made = evidence_store.publish(staging, finished, RESULTS, {"fin": name}, {"rapport.html": str}, keys)
    assert made == (folder / name, "")
    assert "precedent" in (made[0] / "rapport.html").read_text(encoding="utf-8")


def faulty(base: Path, keys: SealKeys) -> dict[str, list[str]]:
    """Files in fault, by folder that is not intact."""
    found = evidence_store.verify_home(base.parent, keys.root)
    return {name: [file for file, _ in one.faults] for name, one in found.items() if not one.intact}


def test_an_untouched_chain_is_intact(base: Path, keys: SealKeys) -> None:
    found = evidence_store.verify_home(base.parent, keys.root)
    assert list(found) == [f"exercices/{name}" for name in (*NAMES, "index.html")]
    assert faulty(base, keys) == {}


def test_an_entry_of_before_its_title_named_nobody_is_intact(base: Path, keys: SealKeys) -> None:
    page = base / "index.html"
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("<title>E", "<title>Cre@tic&nbsp;: e"), encoding="utf-8")
    assert page.read_text(encoding="utf-8") != text and faulty(base, keys) == {}


def test_the_loss_of_the_last_folder_is_seen_by_the_entry(base: Path, keys: SealKeys) -> None:
    shutil.rmtree(base / NAMES[2])
    [(_, told)] = evidence_store.verify_all(base, keys.root)["index.html"].faults
    assert told == f"le passage {NAMES[2]}, qu'elle annonce, a disparu"
    (base / "index.html").unlink()
    assert faulty(base, keys) == {"exercices/index.html": ["index.html"]}


def test_the_loss_of_every_folder_is_seen_by_the_entry(base: Path, keys: SealKeys) -> None:
    for name in NAMES:
        shutil.rmtree(base / name)
    assert faulty(base, keys) == {"exercices/index.html": ["index.html"]}


@pytest.mark.parametrize("facts", evidence_store.FACTS.values())
def test_each_kind_has_an_entry_that_leads_to_its_last_page(tmp_path: Path, keys: SealKeys, facts: str) -> None:
    for name in NAMES[:2]:
        _, staging = evidence_store.open_run(tmp_path, "alice", name)
        with evidence_store.closing(tmp_path) as finished:
            evidence_store.publish(staging, finished, facts, {"fin": name}, {}, keys)
    page = "index.html" if facts == evidence_store.ROLLOUT else "rapport.html"
    content = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert f'href="{NAMES[1]}/{page}"' in content and "<h1>Preuves</h1>" not in content
    assert evidence_store.verify_all(tmp_path, keys.root)["index.html"].intact
    shutil.rmtree(tmp_path / NAMES[1])
    assert not evidence_store.verify_all(tmp_path, keys.root)["index.html"].intact


@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_folder_is_seen_by_the_next(base: Path, keys: SealKeys, lost: int) -> None:
    shutil.rmtree(base / NAMES[lost])
    assert faulty(base, keys) == {f"exercices/{NAMES[lost + 1]}": [RESULTS]}


@pytest.mark.parametrize("sealed", NAMES[1:])
def test_a_folder_sealed_again_is_seen_by_the_next_or_by_the_entry(base: Path, keys: SealKeys, sealed: str) -> None:
    for name in SEAL_FILES:
        (base / sealed / name).unlink()
    seal(base / sealed, keys)
    assert faulty(base, keys) == {f"exercices/{sealed}": ["signature.p7s", "horodatage.tsr"]}


def test_an_added_folder_is_seen(base: Path, keys: SealKeys) -> None:
    (base / NAMES[2]).rename(base / ".aside")
    add(base, "2026-11-25T120000Z", keys)
    (base / ".aside").rename(base / NAMES[2])
    found = evidence_store.verify_all(base, keys.root)
    assert found[NAMES[2]].faults == [(RESULTS, "chaîne rompue : un passage antérieur a été ajouté")]


def test_a_folder_sealed_under_a_wrong_clock_breaks_nothing(base: Path, keys: SealKeys) -> None:
    """Its date is to come for a year: what follows it names it, and is named by what follows."""
    names = ["2027-11-26T090000Z", "2026-11-26T100000Z", "2026-11-26T110000Z"]
    for name in names:
        add(base, name, keys)
    assert [run.name for run in evidence_store.runs(base)] == [*NAMES, *names]
    assert faulty(base, keys) == {}
    shutil.rmtree(base / names[1])
    assert faulty(base, keys) == {f"exercices/{names[2]}": [RESULTS]}


def test_folders_that_name_each_other_are_at_fault(base: Path, keys: SealKeys) -> None:
    for name, other in ((NAMES[0], NAMES[1]), (NAMES[1], NAMES[0])):
        facts = json.loads((base / name / RESULTS).read_text(encoding="utf-8"))
        facts["precedent"] = {"passage": other}
        (base / name / RESULTS).write_text(json.dumps(facts), encoding="utf-8")
    assert {run.name for run in evidence_store.runs(base)} == set(NAMES)
    assert {f"exercices/{name}" for name in NAMES[:2]} <= set(faulty(base, keys))


def test_a_changed_byte_is_named(base: Path, keys: SealKeys) -> None:
    (base / NAMES[0] / RESULTS).write_text("[]", encoding="utf-8")
    assert faulty(base, keys) == {f"exercices/{NAMES[0]}": [RESULTS]}


def test_without_a_root_nothing_is_judged(base: Path, tmp_path: Path) -> None:
    assert evidence_store.verify_all(tmp_path / "aucun", tmp_path / "absente.pem") == {}
    with pytest.raises(evidence_store.EvidenceError, match=r"absente.pem est introuvable : donnez la racine"):
        evidence_store.verify_all(base, tmp_path / "absente.pem")


def test_what_goes_on_is_not_judged_and_strange_facts_are_no_obstacle(base: Path, keys: SealKeys) -> None:
    (base / ".en-cours-2026-11-27T080000Z.tar.gz").write_bytes(b"half")
    strange = base / "2026-11-28T080000Z"
    strange.mkdir()
    (strange / RESULTS).write_text('{"fin": ["x"], "precedent": ["y"]}', encoding="utf-8")
    assert list(faulty(base, keys)) == [f"exercices/{strange.name}", "exercices/index.html"]
