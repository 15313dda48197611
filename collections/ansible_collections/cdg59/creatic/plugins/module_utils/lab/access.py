# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""How the lab's machines are reached: by SSH with the administrator's key, as in production."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from ansible_collections.cdg59.creatic.plugins.module_utils.lab import uml as lab_uml
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.ground import Ground, LabError, ready, run
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.host import Host

BOOT_SECONDS = 90


class Access:
    """The administrator's way in.

    Args:
        user: administrator's account, reached by key, with sudo.
        ssh_dir: folder on the control node for the key pair and known_hosts.
    """

    def __init__(self, ground: Ground, user: str, ssh_dir: Path) -> None:
        self.ground = ground
        self.user = user
        self.ssh_dir = ssh_dir

    @property
    def owner(self) -> str:
        """Whose the machines are: a digest of the administrator's public key, which opens them."""
        return hashlib.sha256(self.ensure_key().encode()).hexdigest()[:16]

    def ensure_key(self) -> str:
        """Make the key pair; gives the public key."""
        key = self.ssh_dir / "id_ed25519"
        if not key.exists():
            self.ground.changes.append("clé SSH de l'administrateur")
            self.ssh_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "creatic-lab", "-f", str(key)],
                "ssh-keygen",
            )
        return key.with_suffix(".pub").read_text().strip()

    def ensure(self, hosts: Iterable[Host]) -> None:
        """Wait for the machines to be up, open them to the key and keep their keys.

        Raises:
            LabError: one does not boot; says where its log is.
        """
        public_key = self.ensure_key()
        known = []
        for host in hosts:
            self._wait_for_boot(host)
            host_key = self._host_key(host, public_key)
            known.append(f"{host.address} {' '.join(host_key.split()[:2])}\n")
        target = self.ssh_dir / "known_hosts"
        kept = target.read_text().splitlines(keepends=True) if target.exists() else []
        ours = {line.split()[0] for line in known}
        wanted = "".join(sorted([line for line in kept if line.split()[0] not in ours] + known))
        if not target.exists() or target.read_text() != wanted:
            self.ground.changes.append("clés d'hôtes connues")
            temporary = target.with_suffix(".new")
            temporary.write_text(wanted)
            temporary.replace(target)

    def _wait_for_boot(self, host: Host) -> None:
        own_kernel = host.machine == "uml"
        seconds = lab_uml.BOOT_SECONDS if own_kernel else BOOT_SECONDS
        booted = partial(self._answers_ssh if own_kernel else self._has_booted, host)
        settled = ready(lambda: booted() or self._has_stopped(host), seconds)
        if not settled or self._has_stopped(host):
            what = "s'est arrêté en démarrant" if settled else f"n'a pas fini de démarrer en {seconds} s"
            raise LabError(f"{host.name} {what} : voir {self._keep_log(host)}")

    def _has_stopped(self, host: Host) -> bool:
        """Whether nothing more is to come; a user-mode kernel in panic turns for ever, where a real one stops."""
        container = self.ground.containers().get(host.container, {})
        if container.get("State") != "running" or host.machine != "uml":
            return container.get("State") in ("exited", "stopped")
        return "Kernel panic" in self.ground.podman("logs", "--since", str(container["StartedAt"]), host.container)

    def _host_key(self, host: Host, public_key: str) -> str:
        """Open a machine to the administrator's key; gives its own."""
        if host.machine == "uml":  # made with both
            return (self.ground.state / "machines" / host.name / "ssh_host_ed25519_key.pub").read_text()
        return self._run_script(
            host,
            'home=$(getent passwd "$1" | cut -d: -f6); install -d -m 0700 -o "$1" -g "$1" "$home/.ssh"; '
            # Beside those that others laid down: the lab is brought up again with machines in use.
            'grep -qxsF "$2" "$home/.ssh/authorized_keys" || printf "%s\\n" "$2" >> "$home/.ssh/authorized_keys"; '
            'chown "$1:$1" "$home/.ssh/authorized_keys"; chmod 0600 "$home/.ssh/authorized_keys"; '
            "cat /etc/ssh/ssh_host_ed25519_key.pub",
            self.user,
            public_key,
        )

    def _run_script(self, host: Host, script: str, *arguments: str) -> str:
        return self.ground.podman(
            "exec", host.container, "sh", "-ceu", script, "sh", *arguments, error=f"{host.name} ne répond pas"
        )

    def _has_booted(self, host: Host) -> bool:
        try:
            state = self._run_script(
                host,
                "systemctl is-system-running || true; test -s /etc/ssh/ssh_host_ed25519_key.pub; "
                "systemctl is-active ssh.service",
            ).split()
        except LabError:
            return False
        return state[:1] in (["running"], ["degraded"]) and state[-1] == "active"

    def _answers_ssh(self, host: Host) -> bool:
        """A machine with its own kernel is up when it answers over SSH, as in production."""
        known = self.ground.state / "machines" / host.name / "known_hosts"
        known.write_text(f"{host.address} {known.with_name('ssh_host_ed25519_key.pub').read_text()}")
        options = ["-i", str(self.ssh_dir / "id_ed25519"), "-o", f"UserKnownHostsFile={known}", "-o", "BatchMode=yes"]
        options += ["-o", "ConnectTimeout=5", "-o", "StrictHostKeyChecking=yes"]
        asked = ["ssh", *options, f"{self.user}@{host.address}", "systemctl is-system-running"]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        return done.stdout.strip() in ("running", "degraded")

    def _keep_log(self, host: Host) -> Path:
        """Keep what a machine said while it booted: its serial line, or systemd's console."""
        target = self.ground.state / "journaux" / f"{host.name}.log"
        target.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(LabError):
            target.write_text(self.ground.podman("logs", host.container))
        return target
