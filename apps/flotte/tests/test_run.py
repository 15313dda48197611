"""A run, by real ansible-playbook: what its callback keeps, in French, and what the fetcher makes of it."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from creatic_flotte import run
from creatic_flotte.settings import Settings

from creatic.evidence import follow

TOP = Path(__file__).parents[3]


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """A version whose code is the project's, but for the play."""
    folder = tmp_path / "versions" / "7"
    (folder / "code/playbooks/journeys").mkdir(parents=True)
    (folder / "donnees/etat/pki").mkdir(parents=True)
    (folder / "code/ansible.cfg").write_bytes((TOP / "ansible.cfg").read_bytes())
    for name in ("collections", "creatic", "roles"):
        (folder / "code" / name).symlink_to(TOP / name)
    inventory = {"all": {"hosts": {"loos-pc": {}}, "children": {"acces_sortant": {"hosts": {"loos-pc": {}}}}}}
    (folder / "donnees/inventaire.yml").write_text(json.dumps(inventory))
    (folder / "donnees/variables.json").write_text(json.dumps({"dit": "bonjour", "creatic_env": "lab"}))
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of machine loos-pc."""
    authorities, certificate, signers, revoked = (tmp_path / name for name in "abcd")
    return Settings("loos-pc", "https://localhost:1", authorities, certificate, signers, revoked, tmp_path, tmp_path)


def applied(settings: Settings, version: Path, tasks: str, again: bool = False) -> run.Result:
    """Run these tasks."""
    play = f"---\n- name: Déploiement\n  hosts: all\n  gather_facts: false\n  tasks:\n{tasks}"
    (version / "code/playbooks/journeys/pull.yml").write_text(play)
    return run.apply(settings, version, again, {"PATH": os.environ["PATH"]})


def test_a_run_says_what_it_changed(settings: Settings, version: Path) -> None:
    result = applied(settings, version, """
    - name: Base | Ensure it is so
      ansible.builtin.copy: {content: "{{ dit }}", dest: "{{ playbook_dir }}/fait", mode: "0600"}
    - name: Base | Ensure it is still so
      ansible.builtin.assert: {that: "'acces_sortant' in group_names"}
""")  # fmt: skip # one call by its parts
    assert result == run.Result(True, "", ["Base | Ensure it is so"], [])
    assert (version / "code/playbooks/journeys/fait").read_text() == "bonjour"
    assert (settings.state / "courant").resolve() == version
    assert run.PROOFS == follow.RUN_FOLDER


def test_a_run_has_debian_s_own_umask_whatever_its_unit_s(settings: Settings, version: Path) -> None:
    before = os.umask(0o077)
    try:
        result = applied(settings, version, """
    - name: Base | Ensure a package's files can be read
      ansible.builtin.command: {argv: [sh, -c, "umask; : > {{ playbook_dir }}/lu"]}
""")  # fmt: skip # one call by its parts
    finally:
        os.umask(before)
    assert result.good
    assert (version / "code/playbooks/journeys/lu").stat().st_mode & 0o777 == 0o644


def test_the_ssh_authority_s_public_part_is_enough_on_the_machine(settings: Settings, version: Path) -> None:
    (version / "donnees/etat/pki/extrait.json").write_text("{}")
    published = version / "donnees/etat/acces/publie"
    published.mkdir(parents=True)
    tasks = f"""
    - name: Access | Ensure the authority is there
      cdg59.creatic.access_ca: {{dir: "{version}/donnees/etat/acces"}}
"""
    assert "il y manque ce que l'autorité SSH publie" in applied(settings, version, tasks).reason
    for name in ("autorite.pub", "revoques.krl"):
        (published / name).write_text("publique")
    assert applied(settings, version, tasks) == run.Result(True)
    assert {path.name for path in published.parent.rglob("*")} == {"publie", "autorite.pub", "revoques.krl"}
    (version / "donnees/etat/pki/extrait.json").unlink()  # a control node that lost its authority
    assert "aucune autorité SSH" in applied(settings, version, tasks).reason


def test_a_failure_is_told_by_the_task_and_in_french(settings: Settings, version: Path) -> None:
    result = applied(settings, version, """
    - name: Base | Ensure packages
      ansible.builtin.fail: {msg: "le dépôt Debian ne répond pas"}
""")  # fmt: skip # one call by its parts
    assert not result.good
    assert result.reason.startswith("Base | Ensure packages : le dépôt Debian ne répond pas")
    assert "Traceback" not in result.reason


@pytest.mark.parametrize("again", [False, True])
def test_what_was_proved_before_is_not_proved_each_day(settings: Settings, version: Path, again: bool) -> None:
    """Under the very condition of pull.yml: no act leaves for the TdT when drift alone is looked for."""
    [proof] = [
        task
        for play in yaml.safe_load((TOP / "playbooks/journeys/pull.yml").read_text())
        for task in play["tasks"]
        if "préfecture" in task["name"]
    ]
    result = applied(settings, version, f"""
    - name: Pull | Prove it
      ansible.builtin.copy: {{content: "{{{{ lookup('env', '{run.NUMBER}') }}}}", dest: "{{{{ playbook_dir }}}}/acte"}}
      vars: {{creatic_profil: tdt_connector}}
      when: {proof["when"]}
""", again)  # fmt: skip # the play as it is read
    assert result.good
    act = version / "code/playbooks/journeys/acte"
    assert act.exists() != again
    assert again or act.read_text() == "7"  # whose acts are counted
    assert f"'{run.NUMBER}'" in proof["cdg59.creatic.proof"]["argv"]


def test_a_play_that_cannot_be_read_is_told(settings: Settings, version: Path) -> None:
    result = applied(settings, version, "    - {")
    assert not result.good
    assert result.reason.startswith("l'application s'est arrêtée sans rien dire (code ")


def test_a_run_is_bounded_in_time(settings: Settings, version: Path) -> None:
    result = applied(replace(settings, run_seconds=5), version, """
    - name: Base | Ensure it ends
      ansible.builtin.command: sleep 300
""")  # fmt: skip # one call by its parts
    assert not result.good
    assert "arrêtée, non finie" in result.reason


def test_a_machine_without_ansible_says_so(settings: Settings, version: Path, tmp_path: Path) -> None:
    result = run.apply(settings, version, False, {"PATH": str(tmp_path)})
    assert result.reason.startswith("ansible-playbook manque sur cette machine")


def test_certificates_that_a_run_asks_for_are_bounded(settings: Settings, version: Path) -> None:
    settings.current.mkdir(parents=True)
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "key.pem"],
        cwd=settings.current,
        check=True,
        capture_output=True,
    )
    assert run.asked(settings, version) == {}
    file = version / "donnees/etat/pki/demandes.json"
    file.write_text(json.dumps({"trop": "x" * 6001} | {str(number): "x\n" * 3000 for number in range(20)}))
    told = run.asked(settings, version)
    assert len(told) == 10
    assert "trop" not in told
    file.write_text(json.dumps({"flotte": "x" * 63 + "\n" + "y" * 5936}))
    assert len(run.asked(settings, version)["flotte"]) <= 8000  # what the door takes
    file.write_text("[")
    assert run.asked(settings, version) == {}
