"""Nobody is locked out: on real machines, a change that would cut the administrator undoes itself or is refused.

The plays are those of an operator who is mistaken: role firewall with another administration network, role hardening
with an account that cannot come back. What a module does by itself is in tests/unit/guard and tests/unit/firewall.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from testbed.control_node import command
from testbed.patience import allowed, wait_for

from .conftest import on_host
from .machine_state import VOLATILE

DELAY_S = 10
CONNECTOR, PC, TDT = "gondecourt-connecteur", "gondecourt-pc-secretariat", "tdt"
ADDRESSES = {CONNECTOR: "10.59.2.20", PC: "10.59.2.10", TDT: "10.59.0.10"}
ADMIN = "essai-admin"
RULES = "nft -s list table inet creatic; cat /etc/nftables.conf"
# The connectors ask the TdT meanwhile.
LEFT_OUT = " -o ".join(f"-path {path} -prune" for path in [*VOLATILE, "/var/log/nginx", "/var/lib/tdt-simulator"])
SSHD = "sshd -T; cat /etc/ssh/sshd_config.d/*.conf; ls -l /etc/ssh/sshd_config.d"


def play(host: str, module: str, arguments: dict[str, Any], **variables: Any) -> subprocess.CompletedProcess[str]:
    """One task on a machine, as in a playbook."""
    options = ["-m", module, "-a", json.dumps(arguments), "-e", json.dumps(variables)]
    return command("ansible", host, "-i", "inventories/lab", *options)


def shown(host: str, script: str) -> str:
    """What root sees, over a new connection, once the machine answers: sshd makes who failed too often wait."""

    def answer() -> subprocess.CompletedProcess[str] | None:
        done = on_host(ADDRESSES[host], script)
        return None if done.returncode == 255 else done  # ssh's own

    done = wait_for(answer, f"une réponse de {host} par SSH", every=2)
    assert done is not None and done.returncode == 0, done
    return done.stdout


def test_a_firewall_that_drops_ssh_undoes_itself_and_the_play_fails(ready: str) -> None:
    before = shown(CONNECTOR, RULES)
    start = time.monotonic()
    done = play(
        CONNECTOR,
        "include_role",
        {"name": "firewall"},
        firewall_rules=[],
        firewall_admin_networks=["192.0.2.1"],
        firewall_confirm_delay=DELAY_S,
    )
    assert done.returncode != 0
    assert "Pare-feu : aucune nouvelle connexion n'aboutit (" in done.stdout, done.stdout
    assert "la machine a remis d'elle-même l'état précédent" in done.stdout
    assert "Vérifiez que firewall_admin_networks contient l'adresse du poste de commande" in done.stdout
    assert DELAY_S <= time.monotonic() - start < allowed(90)
    assert shown(CONNECTOR, RULES) == before
    assert "personne n'a confirmé" in shown(CONNECTOR, "journalctl -u creatic-garde-pare-feu -n 5 --no-pager")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("PermitRootLogin peut-être\n", "sshd refuse cette configuration, rien n'est changé"),
        ("PermitRootLogin no\nAllowUsers personne\n", "Serveur SSH : aucune nouvelle connexion n'aboutit ("),
    ],
    ids=["refused by sshd", "refuses the administrator"],
)
def test_a_wrong_sshd_drop_in_never_replaces_the_working_one(ready: str, content: str, said: str) -> None:
    before = shown(PC, SSHD)
    files = [{"path": "/etc/ssh/sshd_config.d/00-creatic.conf", "content": content, "mode": "0600"}]
    done = play(PC, "cdg59.creatic.sshd_commit", {"files": files, "delay": DELAY_S})
    assert done.returncode != 0 and said in done.stdout, done.stdout
    assert shown(PC, SSHD) == before


# -- Hardening proves the administrator's way in before anything, over a second connection --------------------------


@pytest.fixture(scope="module")
def administrator(ready: str) -> Iterator[str]:
    """A throw-away account of the TdT's machine, with key, group and sudo as an administrator's."""
    home = f"/home/{ADMIN}"
    steps = (
        f"useradd -m -s /bin/bash -G sudogrp {ADMIN}",
        f"install -d -o {ADMIN} -g {ADMIN} -m 0700 {home}/.ssh",
        f"install -o {ADMIN} -g {ADMIN} -m 0600 /home/creatic/.ssh/authorized_keys {home}/.ssh/authorized_keys",
        f'printf "Defaults:%s !requiretty, !noexec\\n%s ALL=(ALL) NOPASSWD: ALL\\n" {ADMIN} {ADMIN}'
        f" >/etc/sudoers.d/{ADMIN}",
        f"chmod 0440 /etc/sudoers.d/{ADMIN}",
    )
    shown(TDT, " && ".join(steps))
    yield ADMIN
    shown(
        TDT, f"pkill -KILL -u {ADMIN}; rm -f /run/avant; userdel -r {ADMIN} 2>/dev/null; rm -f /etc/sudoers.d/{ADMIN}"
    )


@pytest.mark.parametrize(
    ("broken", "mended", "said"),
    [
        (f"mv /home/{ADMIN}/.ssh /root/ssh-{ADMIN}", f"mv /root/ssh-{ADMIN} /home/{ADMIN}/.ssh", "la connexion échoue"),
        (f"gpasswd -d {ADMIN} sudogrp", f"gpasswd -a {ADMIN} sudogrp", "sudo ne répond pas"),
        (f"mv /etc/sudoers.d/{ADMIN} /root/", f"mv /root/{ADMIN} /etc/sudoers.d/", "sudo ne répond pas"),
    ],
    ids=["key", "group", "sudo"],
)
def test_hardening_asserts_the_administrators_own_access_first(
    administrator: str, broken: str, mended: str, said: str
) -> None:
    """The connection that Ansible shares was opened before, and would go on: it is not believed."""
    proved = play(TDT, "cdg59.creatic.admin_access", {"group": "sudogrp"}, ansible_user=administrator)
    assert proved.returncode == 0 and '"changed": false' in proved.stdout, proved.stdout
    shown(TDT, broken)
    try:
        shown(TDT, "touch /run/avant")
        role = {"hardening_level": "high", "hardening_automation_account": administrator}
        done = play(TDT, "include_role", {"name": "hardening"}, **role, ansible_user=administrator)
        changed = shown(TDT, f"find / {LEFT_OUT} -o -newercc /run/avant -print")
    finally:
        shown(TDT, mended)
    assert done.returncode != 0, done.stdout
    assert f"Durcissement refusé, rien n'est changé : par une seconde connexion SSH, {said}" in done.stdout
    assert changed == ""
