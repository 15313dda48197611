"""The agent of the audit: each day, signed by the machine, read without root's rights, and the same verdict."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

from tests.profiles.services import exposure, properties

RELEVE = "/var/lib/creatic-audit/releve.json"


def test_it_passes_every_day_at_an_hour_that_nobody_foresees(host: Host) -> None:
    told = properties(host, "creatic-releve.timer", "ActiveState", "UnitFileState", "RandomizedDelayUSec")
    assert told == {"ActiveState": "active", "UnitFileState": "enabled", "RandomizedDelayUSec": "20h"}


def test_it_has_no_more_rights_than_a_look_takes(host: Host) -> None:
    assert exposure(host, "creatic-releve.service") <= 6.0  # root, who mounts its scratch space and sees all as it is


@pytest.mark.leaves_traces
def test_it_signs_what_the_collector_finds(
    host: Host, hostvars: dict[str, Any], level: str, openscap: dict[str, Any], tmp_path: Path
) -> None:
    with host.sudo():
        host.run_expect([0], "systemctl start creatic-releve.service")
    kept = json.loads(host.check_output(f"cat {RELEVE}"))
    told = json.loads(kept["signe"])
    assert (told["machine"], told["niveau"], told["echecs"]) == (hostvars["name"], level, {})
    assert Counter(told["openscap"]["regles"].values()) == openscap["comptes"]
    assert told["derive"]["reference"]
    assert len(kept["signe"]) < 100_000
    (tmp_path / "cles").write_text(f"m {host.file('/etc/ssh/ssh_host_ed25519_key.pub').content_string}", "utf-8")
    (tmp_path / "signature").write_text(kept["signature"], "utf-8")
    verify = ["ssh-keygen", "-Y", "verify", "-f", "cles", "-I", "m", "-n", "creatic-releve", "-s", "signature"]
    subprocess.run(verify, input=kept["signe"], cwd=tmp_path, text=True, check=True)
    with host.sudo("nobody"):
        assert host.run(f"cat {RELEVE}").failed
