"""The lab's whole site, rolled out once for all journeys; the site comes before (./scripts/test journeys)."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from scripts.demo_chaine import Lab
from testbed.control_node import ENVIRONMENT, HOME, REPO, command
from testbed.patience import wait_for


def followed(*arguments: str, on_line: Callable[[str], None] = lambda _line: None) -> tuple[int, str]:
    """Run a tool of the project's environment, its output followed line by line; gives its status and its output."""
    process = subprocess.Popen(
        arguments,
        cwd=REPO,
        env=ENVIRONMENT | {"PYTHONUNBUFFERED": "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        on_line(line)
    return process.wait(timeout=60), "".join(seen)


def ssh(address: str) -> list[str]:
    """A connection of its own, as the lab's administrator."""
    known = f"UserKnownHostsFile={HOME / 'ssh' / 'known_hosts'}"
    options = ["-i", str(HOME / "ssh" / "id_ed25519"), "-o", known, "-o", "ConnectTimeout=30", "-o", "ControlPath=none"]
    options += ["-o", "LogLevel=ERROR"]  # without the banner
    return ["ssh", *options, f"creatic@{address}"]


def on_host(address: str, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script as root on a host of the lab, over a connection of its own."""
    return command(*ssh(address), f"sudo sh -c '{script}'")


BACK_S = 45  # after which a machine that was cut off comes back


def cut_off(address: str) -> None:
    """Cut every SSH connection of a machine and refuse new ones; it comes back by itself, see wait_for_return."""
    back = f"systemd-run --quiet --on-active={BACK_S}s --timer-property=AccuracySec=100ms systemctl start ssh"
    cut = "systemctl stop ssh.socket ssh.service; pkill -KILL sshd"
    on_host(address, f'{back} && systemd-run --quiet --no-block sh -c "{cut}"')  # its own connection is cut too


def wait_for_return(address: str) -> None:
    """Wait until a machine that was cut off takes connections again: what comes next counts on it."""
    wait_for(lambda: on_host(address, "true").returncode == 0, f"le retour de {address}", BACK_S + 60, every=1)


def state_of(address: str) -> dict[str, dict[str, Any]]:
    """State of a machine, see machine_state.py."""
    script = Path(__file__).with_name("machine_state.py").read_text(encoding="utf-8")
    done = subprocess.run(
        [*ssh(address), "sudo python3 -"], input=script, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    state: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return state


def differences(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What differs between two states, by « kind name »."""
    return {
        f"{kind} {name}": (before[kind].get(name), after[kind].get(name))
        for kind in before
        for name in before[kind].keys() | after[kind].keys()
        if before[kind].get(name) != after[kind].get(name)
    }


def rollout(communes: str) -> tuple[int, str]:
    """fab commune.deployer; gives its status and its output."""
    done = command("fab", "commune.deployer", communes)
    return done.returncode, done.stdout


def site(*arguments: str, besides: Iterable[str] = ()) -> str:
    """Run playbooks/site.yml on the machines that the lab makes by default; gives its output.

    Args:
        besides: what else limits it, as Ansible's patterns.
    """
    limit = ":".join(("all", "localhost", "!banc", *besides))
    done = command("ansible-playbook", "-i", "inventories/lab", "playbooks/site.yml", "--limit", limit, *arguments)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="session")
def ready() -> str:
    """Every commune rolled out, to its proof; gives the output of the rollout."""
    status, output = rollout("toutes")
    assert status == 0, output
    return output


def a_letter(lab: Lab) -> tuple[str, str]:
    """Have the préfecture write about an act of Gondecourt; gives the letter's and the act's numbers."""
    desk = lab.passerelle
    listed = json.loads(desk.on_connector("tdt-connector status --json --nombre 500"))["depots"]
    act = next(one for one in listed if one["genre"] == "acte" and one["etat"] == "acquitte")

    def announced() -> set[str]:
        desk.call_connector()
        return {*re.findall(r'href="/lettres/(\d+)"', desk.ask("poste", "/").data.decode())}

    before = announced()
    wrote = on_host(lab.hosts["tdt"]["ansible_host"], f"tdt-simulator lettre {act['transaction']} pieces")
    assert wrote.returncode == 0, wrote.stderr
    [number] = wait_for(lambda: announced() - before, "le courrier", 120, every=2)
    return number, str(act["numero"])
