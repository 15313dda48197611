"""The evidence folder: whole or absent, chained, verifiable; and the locks."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from creatic.evidence import page as evidence_page
from creatic.evidence.follow import Outcome, close_run, readiness
from creatic.evidence.rollout import Commune, HostRun
from creatic.evidence.seal import SEAL_FILES, SealKeys
from creatic.evidence.store import (
    AlreadyLockedError,
    EvidenceError,
    lock_commune,
    lock_holder,
    open_run,
    playbook_pid,
    reserve_run_id,
    runs,
    seal_pins,
    unlock_communes,
    verification_lines,
    verify_all,
)
from testbed.patience import allowed, wait_for

from .conftest import GONDECOURT, commune, new_run, play, proven

AVESNES = commune("avesnes-les-aubert", "Avesnes-les-Aubert", 30, vague=1)
ALL = [GONDECOURT, AVESNES]
ENTRY = ("Preuves de déploiement", "index.html")


def roll(evidence: Path, run_id: str, keys: SealKeys | None, *communes: Commune) -> Outcome:
    """A run which proves whole communes."""
    run = new_run(run_id)
    run.hosts = {host.name: proven(host) for one in communes for host in one.hosts}
    return play(evidence, run, ALL, keys)


@pytest.fixture
def evidence(tmp_path: Path, keys: SealKeys) -> Path:
    """Two runs, one commune each."""
    folder = tmp_path / "evidence"
    roll(folder, "2026-11-24T080000Z", keys, GONDECOURT)
    roll(folder, "2026-11-25T010504Z", keys, AVESNES)
    return folder


def test_two_runs_are_intact_and_said_so(evidence: Path, keys: SealKeys) -> None:
    results = verify_all(evidence, keys.root)
    assert list(results) == ["2026-11-24T080000Z", "2026-11-25T010504Z", "index.html"]
    assert all(result.intact for result in results.values())
    assert all(line.startswith("✓ ") for line in verification_lines(results))


def test_the_entry_leads_to_the_last_run(evidence: Path) -> None:
    assert "url=2026-11-25T010504Z/index.html" in (evidence / "index.html").read_text(encoding="utf-8")


def test_one_changed_byte_of_any_file_is_found_and_named(evidence: Path, keys: SealKeys) -> None:
    originals = {path: path.read_bytes() for path in evidence.rglob("*") if path.is_file() and path.name != ".verrou"}
    assert len(originals) == 21
    alone = [path for path in originals if path.name in SEAL_FILES or path.parent == evidence]
    assert len(alone) == 7
    # What seals the rest speaks for it: one at a time. The rest, of which each has its digest, at once.
    for paths in (*([path] for path in alone), [path for path in originals if path not in alone]):
        for third in range(3):
            for path in paths:
                damaged = bytearray(originals[path])
                damaged[third * (len(damaged) - 1) // 2] ^= 1
                path.write_bytes(damaged)
            results = verify_all(evidence, keys.root)
            for path in paths:
                run, _, name = str(path.relative_to(evidence)).partition("/")
                assert (name or run) in dict(results[run].faults), f"{path} octet {third}"
        for path in paths:
            path.write_bytes(originals[path])


def test_even_the_bytes_that_a_timestamp_does_not_protect_are_watched(evidence: Path, keys: SealKeys) -> None:
    """The status of an RFC 3161 answer is outside its signature: 0 (granted) → 1 (granted with changes)."""
    for run in runs(evidence):
        path = run / "horodatage.tsr"
        original = path.read_bytes()
        place = original.index(b"\x30\x03\x02\x01\x00") + 4
        path.write_bytes(original[:place] + b"\x01" + original[place + 1 :])
        faults = dict(verify_all(evidence, keys.root)[run.name].faults)
        assert "en avait noté une autre empreinte" in faults["horodatage.tsr"]
        path.write_bytes(original)


def test_a_run_that_was_not_signed_is_kept_and_said(tmp_path: Path, keys: SealKeys) -> None:
    outcome = roll(tmp_path, "2026-11-24T080000Z", None, GONDECOURT)
    assert outcome.unsealed.startswith("l'autorité du groupement n'existe pas encore (")
    assert outcome.folder is not None
    assert (outcome.folder / "gondecourt" / "preuve.json").is_file()
    assert "absent" in dict(verify_all(tmp_path, keys.root)["2026-11-24T080000Z"].faults)["signature.p7s"]
    assert "pas signées" in readiness(tmp_path, "2026-11-24T080000Z", ["gondecourt"])[0]


def test_the_index_keeps_the_communes_of_other_runs_and_of_none(evidence: Path) -> None:
    state = json.loads((evidence / "2026-11-25T010504Z" / "etat.json").read_text(encoding="utf-8"))
    assert {slug: item["passage"] for slug, item in state.items()} == {
        "gondecourt": "2026-11-24T080000Z",
        "avesnes-les-aubert": "2026-11-25T010504Z",
    }
    first = json.loads((evidence / "2026-11-24T080000Z" / "etat.json").read_text(encoding="utf-8"))
    assert first["avesnes-les-aubert"]["hotes"] == {}
    assert not first["avesnes-les-aubert"]["prete"]
    page = (evidence / "2026-11-24T080000Z" / "index.html").read_text(encoding="utf-8")
    assert "jamais déployée" in page
    assert '"../2026-11-24T080000Z/gondecourt/preuve.html"' in (
        evidence / "2026-11-25T010504Z" / "index.html"
    ).read_text(encoding="utf-8")


def test_a_damaged_last_state_does_not_lose_the_next_evidence(evidence: Path, keys: SealKeys) -> None:
    (evidence / "2026-11-25T010504Z" / "etat.json").write_text("{", encoding="utf-8")
    outcome = roll(evidence, "2026-11-26T010504Z", keys, AVESNES)
    assert outcome.state["gondecourt"]["prete"]


def test_an_interrupted_run_leaves_nothing_and_the_next_goes_on(tmp_path: Path, keys: SealKeys) -> None:
    module = "creatic.evidence.store"
    script = (
        f"import sys; sys.path[:0] = {sys.path!r}\nfrom pathlib import Path\nimport os, signal\n"
        f"from {module} import open_run\n"
        f"_, folder = open_run(Path({str(tmp_path)!r}), 'bob', '2026-11-24T080000Z')\n"
        "(folder / 'gondecourt').mkdir(); (folder / 'gondecourt' / 'x.png').write_bytes(b'x')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=False)
    assert (tmp_path / ".en-cours-2026-11-24T080000Z").is_dir()
    assert runs(tmp_path) == []
    roll(tmp_path, "2026-11-24T080500Z", keys, GONDECOURT)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".verrou", "2026-11-24T080500Z", "index.html"]
    assert all(result.intact for result in verify_all(tmp_path, keys.root).values())


def test_the_worker_of_a_killed_playbook_locks_in_its_name_and_the_next_takes_over(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")

    def work(said: Connection) -> None:
        said.recv()  # its parent is no more
        assert os.getppid() != playbook.pid
        lock_commune(tmp_path, "gondecourt", playbook_pid(), "alice")
        said.send(playbook_pid())

    def play(said: Connection) -> None:
        fork.Process(target=work, args=(said,)).start()
        os.kill(os.getpid(), signal.SIGKILL)

    ours, theirs = fork.Pipe()
    playbook = fork.Process(target=play, args=(theirs,))
    playbook.start()
    playbook.join()
    ours.send("go")
    assert ours.poll(20) and ours.recv() == playbook.pid
    lock_commune(tmp_path, "gondecourt", os.getpid(), "bob")


def test_the_folder_of_a_running_rollout_is_left_alone(tmp_path: Path, keys: SealKeys) -> None:
    _, running = open_run(tmp_path, "alice", "2026-11-24T080000Z")
    roll(tmp_path, "2026-11-24T080500Z", keys, GONDECOURT)
    assert running.is_dir()


def test_two_rollouts_at_once_are_chained_in_the_order_they_end(tmp_path: Path, keys: SealKeys) -> None:
    first, second = new_run("2026-11-24T080000Z"), new_run("2026-11-24T080100Z")
    first.hosts = {host.name: proven(host) for host in GONDECOURT.hosts}
    second.hosts = {host.name: proven(host) for host in AVESNES.hosts}
    _, one = open_run(tmp_path, "alice", first.run_id)
    _, two = open_run(tmp_path, "bob", second.run_id)
    close_run(tmp_path, two, second, ALL, keys)
    outcome = close_run(tmp_path, one, first, ALL, keys)
    assert [run.name for run in runs(tmp_path)] == [second.run_id, first.run_id]
    assert all(item["prete"] for item in outcome.state.values())
    assert all(result.intact for result in verify_all(tmp_path, keys.root).values())


def test_two_rollouts_of_the_same_second_have_each_their_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = "creatic.evidence.store.new_run_id"
    monkeypatch.setattr(module, lambda: "2026-11-24T080000Z")
    names = [open_run(tmp_path, "alice")[0] for _ in range(3)]
    assert names == ["2026-11-24T080000Z", "2026-11-24T080000Z-2", "2026-11-24T080000Z-3"]


@pytest.mark.parametrize("wanted", ["../ailleurs", "hier", "2026-11-24"])
def test_a_malformed_name_is_refused(tmp_path: Path, wanted: str) -> None:
    with pytest.raises(EvidenceError, match="attendu"):
        open_run(tmp_path, "alice", wanted)


def test_a_name_already_used_is_refused(evidence: Path) -> None:
    with pytest.raises(EvidenceError, match="existe déjà"):
        open_run(evidence, "alice", "2026-11-24T080000Z")


def test_a_run_that_saw_nothing_leaves_no_evidence(tmp_path: Path, keys: SealKeys) -> None:
    run = new_run()
    refused = {"phase": "controles", "nature": "refus", "tache": "t", "raison": "en cours", "remede": "attendre"}
    run.hosts = {host.name: HostRun(incident=dict(refused)) for host in GONDECOURT.hosts}
    outcome = play(tmp_path, run, ALL, keys)
    assert outcome.folder is None
    assert runs(tmp_path) == []
    assert "refusé : en cours" in outcome.reports["gondecourt"]["manques"][0]["raison"]


def test_readiness_speaks_for_each_commune(evidence: Path) -> None:
    assert readiness(evidence, "2026-11-25T010504Z", ["avesnes-les-aubert"]) == []
    assert readiness(evidence, "2026-11-25T010504Z", ["gondecourt"]) == [
        "gondecourt : aucune preuve n'a été écrite par ce passage"
    ]
    assert readiness(evidence, "2026-11-30T000000Z", ["gondecourt"]) != []


# -- Locks --------------------------------------------------------------------------------------------


def _hold(locks: Path, ready: object, leave: object) -> None:
    lock_commune(locks, "gondecourt", os.getpid(), "bob@mairie")
    ready.set()  # type: ignore[attr-defined] # multiprocessing's events have no public type
    leave.wait()  # type: ignore[attr-defined] # the same


def test_a_second_rollout_is_refused_and_told_who_when_and_which_process(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ready, leave = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path, ready, leave))
    other.start()
    try:
        assert ready.wait(allowed(60))
        with pytest.raises(AlreadyLockedError, match=rf"bob@mairie \(processus {other.pid} sur .+\), le \d"):
            lock_commune(tmp_path, "gondecourt", os.getpid(), "alice")
        lock_commune(tmp_path, "avesnes-les-aubert", os.getpid(), "alice")
    finally:
        leave.set()
        other.join(allowed(60))
    # Its process is dead: the lock is taken over.
    lock_commune(tmp_path, "gondecourt", os.getpid(), "alice")
    assert json.loads((tmp_path / "gondecourt.json").read_text(encoding="utf-8"))["proprietaire"] == "alice"


def test_a_process_of_the_same_number_is_not_the_owner(tmp_path: Path) -> None:
    lock_commune(tmp_path, "gondecourt", os.getppid(), "bob")
    path = tmp_path / "gondecourt.json"
    holder = json.loads(path.read_text(encoding="utf-8")) | {"processus": "autre-demarrage/42"}
    path.write_text(json.dumps(holder), encoding="utf-8")
    lock_commune(tmp_path, "gondecourt", os.getpid(), "alice")


def test_the_lock_of_another_machine_is_respected(tmp_path: Path) -> None:
    lock_commune(tmp_path, "gondecourt", os.getpid(), "bob")
    path = tmp_path / "gondecourt.json"
    holder = json.loads(path.read_text(encoding="utf-8")) | {"machine": "poste-2", "pid": 1}
    path.write_text(json.dumps(holder), encoding="utf-8")
    with pytest.raises(AlreadyLockedError, match="sur poste-2"):
        lock_commune(tmp_path, "gondecourt", os.getpid(), "alice")


@pytest.mark.parametrize("content", ["", "{"])
def test_a_damaged_lock_does_not_block(tmp_path: Path, content: str) -> None:
    (tmp_path / "gondecourt.json").write_text(content, encoding="utf-8")
    lock_commune(tmp_path, "gondecourt", os.getpid(), "alice")


def test_unlocking_frees_only_its_own(tmp_path: Path) -> None:
    lock_commune(tmp_path, "gondecourt", os.getpid(), "alice")
    lock_commune(tmp_path, "gondecourt", os.getpid(), "alice")
    lock_commune(tmp_path, "avesnes-les-aubert", os.getppid(), "bob")
    unlock_communes(tmp_path, os.getpid())
    assert [path.name for path in tmp_path.glob("*.json")] == ["avesnes-les-aubert.json"]


def test_a_lock_says_what_it_is_for_and_who_has_it(tmp_path: Path) -> None:
    assert lock_holder(tmp_path, "cle") == ""
    lock_commune(tmp_path, "cle", os.getppid(), "bob")
    who = rf"lancé par bob \(processus {os.getppid()} sur {re.escape(socket.gethostname())}\)"
    assert re.fullmatch(rf"{who}, le (1er|\d\d?) \w+ 20\d\d à .+", lock_holder(tmp_path, "cle"))
    with pytest.raises(AlreadyLockedError, match=r"^un renouvellement est déjà en cours, lancé par bob \("):
        lock_commune(tmp_path, "cle", os.getpid(), "alice", "un renouvellement")
    with pytest.raises(AlreadyLockedError, match=r"^un déploiement de cle est déjà en cours, lancé par bob \("):
        lock_commune(tmp_path, "cle", os.getpid(), "alice")
    path = tmp_path / "cle.json"
    holder = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(holder | {"processus": None}), encoding="utf-8")
    assert lock_holder(tmp_path, "cle") == ""


def test_a_process_that_ended_and_waits_for_its_parent_has_no_lock(tmp_path: Path) -> None:
    child = subprocess.Popen(["/bin/sleep", "60"])
    lock_commune(tmp_path, "cle", child.pid, "bob")
    assert lock_holder(tmp_path, "cle") != ""
    child.kill()
    wait_for(lambda: "State:\tZ" in Path(f"/proc/{child.pid}/status").read_text(), "la fin du processus")
    assert lock_holder(tmp_path, "cle") == ""
    child.wait()
    lock_commune(tmp_path, "cle", os.getpid(), "alice")


def test_unlocking_where_nothing_was_locked(tmp_path: Path) -> None:
    unlock_communes(tmp_path / "absent", os.getpid())
    assert not (tmp_path / "absent").exists()
    lock_commune(tmp_path, "cle", os.getpid(), "alice")
    path = tmp_path / "cle.json"
    holder = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(holder | {"machine": "poste-2"}), encoding="utf-8")
    unlock_communes(tmp_path, os.getpid())
    assert path.exists()  # another machine's process of the same number


def test_the_entry_page_is_that_of_the_last_run(evidence: Path, keys: SealKeys) -> None:
    def fault() -> str:
        [(name, reason)] = verify_all(evidence, keys.root)["index.html"].faults
        assert name == "index.html"
        return reason

    page = evidence / "index.html"
    content = page.read_text(encoding="utf-8")
    page.write_text(content.replace("2026", "2027"), encoding="utf-8")
    assert fault() == "modifié : la page d'entrée n'est plus celle du dernier passage"
    last, first = evidence / "2026-11-25T010504Z", evidence / "2026-11-24T080000Z"
    page.write_text(evidence_page.entry_page(first.name, seal_pins(first), *ENTRY), encoding="utf-8")
    assert fault() == "en retard d'un passage (interruption) : le prochain la refera"
    page.unlink()
    assert fault() == "absent : la page d'entrée a été supprimée"
    page.write_text(evidence_page.entry_page(last.name, seal_pins(last), *ENTRY), encoding="utf-8")
    assert verify_all(evidence, keys.root)["index.html"].intact


def test_what_is_missing_is_told_line_by_line(evidence: Path, keys: SealKeys) -> None:
    lines = verification_lines(verify_all(evidence, keys.root))
    assert [line.partition(" :")[0] for line in lines] == [
        "✓ 2026-11-24T080000Z",
        "✓ 2026-11-25T010504Z",
        "✓ index.html",
    ]
    assert lines[0].startswith("✓ 2026-11-24T080000Z : intact, horodaté le ")
    assert lines[2] == "✓ index.html : intact"
    (evidence / "index.html").unlink()
    lines = verification_lines(verify_all(evidence, keys.root))
    assert lines[2] == "✗ index.html : absent : la page d'entrée a été supprimée"


def test_a_commune_that_is_not_ready_says_what_it_lacks(evidence: Path) -> None:
    path = evidence / "2026-11-25T010504Z" / "avesnes-les-aubert" / "preuve.json"
    report = json.loads(path.read_text(encoding="utf-8"))
    gaps = [{"objet": "Connecteur", "raison": "pas déployé"}, {"objet": "Poste", "raison": "injoignable"}]
    path.write_text(json.dumps(report | {"prete": False, "manques": gaps}), encoding="utf-8")
    assert readiness(evidence, "2026-11-25T010504Z", ["avesnes-les-aubert"]) == [
        "avesnes-les-aubert : Connecteur : pas déployé",
        "avesnes-les-aubert : Poste : injoignable",
    ]


def test_the_seal_names_three_files() -> None:
    """The entry page and the chain pin them: a fourth would be watched by nothing."""
    assert SEAL_FILES == ("empreintes.sha256", "signature.p7s", "horodatage.tsr")


def test_runs_that_start_in_the_same_second_have_names_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "creatic.evidence.store.new_run_id"
    monkeypatch.setattr(module, lambda: "2026-11-25T010504Z")
    names = [reserve_run_id(tmp_path) for _ in range(3)]
    assert names == [f"2026-11-25T010504Z{suffix}" for suffix in ("", "-2", "-3")]
    assert [open_run(tmp_path / "evidence", "lea", name)[0] for name in names] == names
    monkeypatch.setattr(module, lambda: "2026-11-25T010505Z")
    assert reserve_run_id(tmp_path) == "2026-11-25T010505Z"
