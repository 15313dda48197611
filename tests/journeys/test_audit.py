"""The audit on the lab: it changes nothing, says what is wrong and what it lost, and a tampered bundle is found out."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pypdf
import pytest

from creatic.audit.scap import PROFILES
from creatic.evidence.store import runs, verify_one
from testbed.control_node import ENVIRONMENT, HOME, REPO, command

from .conftest import cut_off, differences, followed, on_host, state_of, wait_for_return

PC, CONNECTOR, GATEWAY = "gondecourt-pc-secretariat", "gondecourt-connecteur", "versement"
LEVELS = {PC: "intermediary", CONNECTOR: "intermediary", GATEWAY: "high"}
ADDRESSES = {PC: "10.59.2.10", CONNECTOR: "10.59.2.20"}


def audit(*arguments: str, on_line: Callable[[str], None] = lambda _line: None) -> tuple[int, str]:
    """fab audit --profils, its output followed line by line; gives its status and its output."""
    return followed("fab", "audit", "--profils", *arguments, on_line=on_line)


def results_of(folder: Path) -> dict[str, Any]:
    """Content of resultats.json."""
    results: dict[str, Any] = json.loads((folder / "resultats.json").read_text(encoding="utf-8"))
    return results


class Seen:
    """The audit of some machines, and the state of those of a commune before and after."""

    def __init__(self, *machines: str) -> None:
        self.machines = machines
        self.before = self._states()
        self.status, self.output = audit("--limite", ":".join(machines))
        self.after = self._states()
        self.folder = runs(HOME / "audits")[-1]
        self.results = results_of(self.folder)

    def _states(self) -> dict[str, Any]:
        return {name: state_of(ADDRESSES[name]) for name in self.machines if name in ADDRESSES}

    def controls(self) -> dict[str, Any]:
        """All is well, each machine is judged at its level and unchanged; gives the controls by their names."""
        assert self.status == 0, self.output
        assert self.results["verdict"]["conforme"], self.output
        machines = {machine["nom"]: machine for machine in self.results["machines"]}
        assert machines.keys() == {*self.machines}
        for name, machine in machines.items():
            assert (machine["etat"], machine["derive"]) == ("auditee", [])
            assert machine["openscap"]["profil"] == PROFILES[LEVELS[name]].rpartition("profile_")[2]
            assert machine["openscap"]["comptes"]["pass"] > 100
            assert machine["essais"]["reussis"] > 20
            assert machine["correctifs"]["listes_du"]
        for name, before in self.before.items():
            assert differences(before, self.after[name]) == {}
        return {control["id"]: control for control in self.results["controles"]}


@pytest.fixture(scope="module")
def seen(ready: str) -> Seen:
    return Seen(CONNECTOR)


def test_the_audit_is_whole_and_changes_nothing(seen: Seen) -> None:
    controls = seen.controls()
    assert {"R33", "R68"} <= {name for name, one in controls.items() if one["machines"]}


@pytest.mark.audits
@pytest.mark.parametrize(
    ("change", "undo", "where"),
    [
        ("touch /etc/x", "rm /etc/x", "files /etc/x"),
        ("touch /tmp/x && rm /tmp/x", "true", "files /tmp"),
        ("chmod 0600 /etc/hosts && chmod 0644 /etc/hosts", "true", "files /etc/hosts"),
        ("nft add table inet x", "nft delete table inet x", "firewall table inet x {"),
        ("systemctl restart ssh", "true", "services ssh.service"),
    ],
)
def test_a_change_would_be_seen(seen: Seen, change: str, undo: str, where: str) -> None:
    """The proof above can fail: each of these, however soon undone, is found out."""
    assert on_host(ADDRESSES[CONNECTOR], change).returncode == 0
    try:
        assert where in differences(seen.after[CONNECTOR], state_of(ADDRESSES[CONNECTOR]))
    finally:
        assert on_host(ADDRESSES[CONNECTOR], undo).returncode == 0


def practices() -> str:
    """What « fab documents » writes of the archive's practices, and signs, as one reads it."""
    status, output = followed("fab", "documents", "--seul", "declaration-pratiques")
    assert status == 0, output
    folder = runs(HOME / "documents")[-1]
    assert verify_one(folder, HOME / "pki/publie/racine.pem").intact
    [told] = json.loads((folder / "documents.json").read_text(encoding="utf-8"))["documents"]
    assert told["nom"] == "declaration-pratiques" and told["enonces"]["non_vérifié"]
    read = "".join(page.extract_text() for page in pypdf.PdfReader(folder / "declaration-pratiques.pdf").pages)
    return " ".join(read.split())


def test_documents_name_the_last_audit(seen: Seen) -> None:
    assert f"audits/{seen.folder.name}" in practices().replace(" ", "")


def test_the_maire_s_page_says_what_the_last_audit_found(seen: Seen) -> None:
    status, output = followed("fab", "audit.commune", "gondecourt")
    assert status == 0, output
    folder = runs(HOME / "documents")[-1]
    assert verify_one(folder, HOME / "pki/publie/racine.pem").intact
    told = json.loads((folder / "documents.json").read_text(encoding="utf-8"))
    assert told["audit"]["nom"] == seen.folder.name
    assert told["vues"] == ["connecteur"]
    assert [one["machines"] for one in told["non_vues"]] == [["pc-secretariat"]]
    assert len(pypdf.PdfReader(folder / "rapport.pdf").pages) == 2


def test_no_secret_is_in_the_bundle(seen: Seen) -> None:
    secrets = [
        line.encode()
        for path in (HOME / "secrets").rglob("*")
        if path.is_file() and path.suffix in ("", ".pass", ".pin")
        for line in path.read_text(encoding="utf-8", errors="ignore").splitlines()
        if len(line) >= 6
    ]
    assert secrets
    for path in seen.folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [secret for secret in secrets if secret in content], path
            assert b"PRIVATE KEY" not in content, path


# -- The bundle, in the hands of somebody else ---------------------------------------------------------


@pytest.fixture
def bundle(seen: Seen, tmp_path: Path) -> Path:
    """The archive, unpacked elsewhere."""
    archive = seen.folder.with_name(f"{seen.folder.name}.tar.gz")
    with tarfile.open(archive) as content:
        content.extractall(tmp_path, filter="data")
    return tmp_path / seen.folder.name


def verify(bundle: Path | str, *arguments: str) -> tuple[int, str]:
    """fab audit.verifier; gives its status and its output."""
    done = command("fab", "audit.verifier", str(bundle), *arguments)
    return done.returncode, done.stdout


def test_an_untouched_bundle_verifies(seen: Seen, bundle: Path) -> None:
    for one in (bundle, seen.folder.with_name(f"{seen.folder.name}.tar.gz")):
        status, output = verify(one, "--racine", str(HOME / "pki" / "publie" / "racine.pem"))
        assert status == 0, output
        assert "intact, horodaté le" in output and "signé par" in output
    status, output = verify("tous")
    assert status == 0, output


def flip(path: Path) -> None:
    """Change one byte in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_removed_and_an_added_file_are_named(bundle: Path) -> None:
    (bundle / "rapport.pdf").unlink()
    (bundle / "note.txt").write_text("x", encoding="utf-8")
    status, output = verify(bundle)
    assert status == 1, output
    assert re.search(r"/rapport\.pdf : .*supprimé", output) and re.search(r"/note\.txt : .*ajouté", output), output
    assert output.count("✗") == 2, output


def test_the_documented_commands_check_it_without_us(bundle: Path) -> None:
    guide = (REPO / "docs" / "auditeur.md").read_text(encoding="utf-8")
    block = next(one for one in re.findall(r"```sh\n(.*?)```", guide, re.DOTALL) if "openssl ts -verify" in one)
    outside = {"PATH": os.defpath}

    def checked() -> int:
        script = f"set -eo pipefail\n{block}"
        done = subprocess.run(["bash", "-c", script], cwd=bundle, env=outside, capture_output=True, check=False)
        return done.returncode

    assert checked() == 0
    flip(bundle / "rapport.html")
    assert checked() != 0


# -- By what machines sign of themselves ----------------------------------------------------------------


@pytest.mark.audits
def test_machines_of_the_day_are_judged_by_what_they_signed(ready: str) -> None:
    """Their agents pass, one of them is drawn and looked at from here, and it takes no more than three minutes."""
    for name in (PC, CONNECTOR):
        done = on_host(ADDRESSES[name], "systemctl start creatic-releve.service")
        assert done.returncode == 0, done.stdout + done.stderr
    start = time.monotonic()
    status, output = followed("fab", "audit", "--limite", f"{PC}:{CONNECTOR}")
    spent = time.monotonic() - start
    results = results_of(runs(HOME / "audits")[-1])
    machines = {one["nom"]: one for one in results["machines"]}
    assert status == 0, output
    assert results["releves"]["jugees"] == 2 and results["releves"]["dementies"] == [], output
    assert any(one["pourquoi"] == "tirée au sort" for one in results["releves"]["dehors"]), output
    for name, one in machines.items():
        assert one["etat"] == "auditee" and one["openscap"]["comptes"]["pass"] > 100, name
        assert one["releve"]["age_s"] < 3600
    assert verify(runs(HOME / "audits")[-1])[0] == 0
    assert spent < 180, f"{spent:.0f} s"


# -- What goes wrong -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--niveau", "maximal"), "niveau « maximal » inconnu ; --niveau est l'un de : minimal, intermediary"),
        (("--limite", "commune_gondecour"), "« commune_gondecour » n'est ni une machine ni un groupe"),
        (("--limite", "commune_gondecourt:&tdt"), "ne désigne aucune machine"),
    ],
)
def test_an_unknown_level_or_limit_is_refused(arguments: tuple[str, str], said: str) -> None:
    before = runs(HOME / "audits")
    status, output = audit(*arguments)
    assert status == 2, output
    assert said in output and "Traceback" not in output
    assert runs(HOME / "audits") == before


@pytest.mark.audits
def test_a_lost_machine_and_an_unwaived_failure_are_said(seen: Seen) -> None:
    """The PC dies while it is compared; the connector has a gap, and keeps its findings."""
    connector = ADDRESSES[CONNECTOR]
    done: list[str] = []

    def on_line(line: str) -> None:
        if line.startswith("Dérive") and not done:
            done.append(PC)
            cut_off(ADDRESSES[PC])

    assert on_host(connector, "chmod 0666 /etc/shadow-").returncode == 0
    try:
        status, output = audit("--limite", "commune_gondecourt", on_line=on_line)
    finally:
        on_host(connector, "chmod 0640 /etc/shadow-")
        wait_for_return(ADDRESSES[PC])
    assert done and status == 1, output
    results = results_of(runs(HOME / "audits")[-1])
    machines = {machine["nom"]: machine for machine in results["machines"]}
    assert machines[PC]["etat"] == "perdue", output
    assert machines[PC]["derive"] is None and machines[PC]["incident"]["raison"]
    assert machines[PC]["openscap"], "what was had before it died is kept"
    assert machines[CONNECTOR]["etat"] == "auditee" and machines[CONNECTOR]["ecarts"] > 0
    assert re.search(rf"✗ R\d+ .* : {CONNECTOR}$", output, re.MULTILINE), output
    assert re.search(rf"✗ {PC} : perdue", output), output
    assert results["verdict"]["machines_non_auditees"] == [PC]
    page = (runs(HOME / "audits")[-1] / "rapport.html").read_text(encoding="utf-8")
    assert "Non conforme" in page and PC in page
    assert verify(runs(HOME / "audits")[-1])[0] == 0


@pytest.mark.audits
def test_the_next_audit_says_what_got_better_and_one_that_vanishes_is_missed(
    seen: Seen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, output = audit("--limite", CONNECTOR)
    assert status == 0, output
    trend = results_of(runs(HOME / "audits")[-1])["tendance"]
    assert trend["ameliores"] and not trend["regresses"], trend
    shutil.copytree(HOME / "audits", tmp_path / "lab" / "audits")
    shutil.copytree(HOME / "pki" / "publie", tmp_path / "lab" / "pki" / "publie")
    monkeypatch.setitem(ENVIRONMENT, "CREATIC_HOME", str(tmp_path))
    status, output = verify("tous")
    assert status == 0, output
    shutil.rmtree(runs(tmp_path / "lab" / "audits")[-2])
    status, output = verify("tous")
    assert status == 1 and "a disparu" in output, output


@pytest.fixture(scope="module")
def others(ready: str) -> Seen:
    return Seen(PC, GATEWAY)


@pytest.mark.audits
def test_a_pc_is_left_as_it_was_and_a_server_is_judged_at_the_level_high(others: Seen) -> None:
    assert set(others.controls()["R4"]["machines"]) == {GATEWAY}, "R4 is asked at level high only"


@pytest.mark.audits
def test_documents_say_what_an_audit_of_some_machines_is_worth(others: Seen) -> None:
    said = practices()
    assert f"audits/{others.folder.name}" in said.replace(" ", "") and "(fab audit, sans --limite)" in said
