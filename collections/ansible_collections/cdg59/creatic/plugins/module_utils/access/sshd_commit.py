# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Files of /etc/ssh changed under a timed rollback; runs on the host, standard library only.

sshd itself judges the whole candidate first: a copy of /etc/ssh with the new files in it is mounted over the real
one in a mount namespace made for the occasion, so that paths, Include and Match are those of the real thing.
"""

from __future__ import annotations

import fnmatch
import os
import re
import shlex
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.durable import sync_directory, sync_file
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from ansible_collections.cdg59.creatic.plugins.module_utils.host import file_set
from ansible_collections.cdg59.creatic.plugins.module_utils.host.guard import Guard, Runner, failure_message, run

_JUDGE = 'mount --bind "$1" "$2" && /usr/sbin/sshd -t && exec /usr/sbin/sshd -T -C "$3"'
# A signal, for a reload asked of systemd would wait for this very script (ordered before sshd, for boots).
_RESTORED = """\
pid=$(systemctl show ssh.service --property=MainPID --value)
if [ "${pid:-0}" -gt 0 ]; then kill -HUP "$pid"
elif systemctl --quiet is-enabled ssh.service; then systemctl --no-block start ssh.service
fi"""
_RELOAD_S = 15.0
_LISTEN = "0A"  # state of a listening socket in /proc/net/tcp


class SshdError(CreaticError, cause="sshd"):
    """The files cannot be installed; the message (French) says why."""


def listeners(pid: int, proc: Path = Path("/proc")) -> set[str]:
    """Inodes of the sockets that a process listens on: a reloaded sshd has new ones."""
    listening = set()
    for name in ("tcp", "tcp6"):
        table = proc / str(pid) / "net" / name
        for line in table.read_text().splitlines()[1:] if table.exists() else []:
            fields = line.split()
            if fields[3] == _LISTEN:
                listening.add(fields[9])
    held = set()
    for descriptor in (proc / str(pid) / "fd").iterdir():
        try:
            held |= set(re.findall(r"^socket:\[(\d+)\]$", str(descriptor.readlink())))
        except FileNotFoundError:  # closed meanwhile
            continue
    return held & listening


@dataclass
class SshServer:
    """The SSH server's configuration on this host.

    Attributes:
        files: entries of file_set, under ``etc``; files and absent files only.
        account: the administrator's account, which the server is asked about.
        etc: folder of sshd.
        run: runs a command.
    """

    files: list[dict[str, Any]]
    account: str
    etc: Path = Path("/etc/ssh")
    run: Runner = run
    guard: Guard = field(default_factory=lambda: Guard("sshd", "serveur SSH"))

    def inspect(self) -> list[file_set.Change]:
        """What would change; sshd has accepted the candidate.

        Raises:
            SshdError: an entry is not sshd's, or sshd refuses the whole.
        """
        self._check_entries()
        changes = file_set.apply(self.files, check=True)
        if changes:
            self.judge()
        return changes

    def judge(self) -> str:
        """Have sshd judge the whole candidate; gives its effective configuration (``sshd -T``).

        Raises:
            SshdError: sshd refuses it, or a file would have no effect.
        """
        with tempfile.TemporaryDirectory(prefix="creatic-sshd-") as name:
            candidate = Path(name) / "ssh"
            shutil.copytree(self.etc, candidate, symlinks=True)
            for spec in self.files:
                moved = spec | {"path": str(candidate / Path(spec["path"]).relative_to(self.etc)), "validate": None}
                file_set.apply([moved])
            self._check_included(candidate)
            query = f"user={self.account},host=localhost,addr=127.0.0.1"
            done = self.run(
                ["unshare", "--mount", "sh", "-c", _JUDGE, "sh", str(candidate), str(self.etc), query],
            )
        if done.returncode:
            raise SshdError(f"sshd refuse cette configuration, rien n'est changé : {failure_message(done)}")
        return done.stdout

    def _check_entries(self) -> None:
        for spec in self.files:
            path = Path(spec["path"])
            if self.etc not in path.parents or ".." in path.parts:
                raise SshdError(f"{path} n'est pas sous {self.etc} : écrivez-le avec file_set")
            if spec.get("link") or (spec["state"] == "absent" and path.is_dir() and not path.is_symlink()):
                raise SshdError(f"{path} : ni lien, ni suppression de dossier, le retour automatique ne les défait pas")

    def _check_included(self, candidate: Path) -> None:
        main = (candidate / "sshd_config").read_text()
        patterns = [
            str(self.etc / word)
            for words in re.findall(r"^\s*Include\s+(.+?)\s*$", main, re.M | re.I)
            for word in words.split()
        ]
        for spec in self.files:
            path = Path(spec["path"])
            drop_in = path.parent.name == "sshd_config.d" and spec["state"] == "file"
            if drop_in and not any(fnmatch.fnmatch(str(path), pattern) for pattern in patterns):
                raise SshdError(f"{path} n'est lu par aucun « Include » de {self.etc}/sshd_config : rien n'est changé")

    def apply(self, token: str, delay: int) -> list[str]:
        """Arm the rollback, install the files, reload sshd. Returns once the new configuration answers.

        Raises:
            SshdError, FileSetError, GuardError: nothing is changed, or the old state is back.
        """
        self.guard.roll_back()
        changes = self.inspect()

        def save(folder: Path) -> str:
            lines = [_save_file(Path(change.path), folder, str(number)) for number, change in enumerate(changes)]
            sync_directory(folder)
            # What was made last goes first: files before the folder that holds them.
            return "\n".join([*reversed(lines), _RESTORED])

        self.guard.arm(token, delay, save)
        try:
            file_set.apply(self.files)
            self._reload_sshd()
        except (SshdError, file_set.FileSetError):
            self.guard.roll_back()
            raise
        return [change.path for change in changes]

    def confirm(self, token: str) -> None:
        """Disarm the rollback: the files stay.

        Raises:
            SshdError: the files are no longer those installed.
            GuardError: they were rolled back already.
        """
        self.guard.check(token)
        if file_set.apply(self.files, check=True):
            raise SshdError("les fichiers en place ne sont plus ceux qui viennent d'être installés")
        self.guard.confirm(token)

    def _reload_sshd(self) -> None:
        shown = self.run(["systemctl", "show", "ssh.service", "--property=MainPID", "--value"]).stdout.strip()
        pid = int(shown or 0)
        if not pid:  # ssh.socket starts an sshd for each connection, which reads the new files
            if self.run(["systemctl", "--quiet", "is-active", "ssh.socket"]).returncode:
                raise SshdError("ni ssh.service ni ssh.socket n'est actif : ce serveur SSH n'est pas géré par systemd")
            return
        before = listeners(pid)
        done = self.run(["systemctl", "reload", "ssh.service"])
        if done.returncode:
            raise SshdError(f"sshd n'a pas pu être rechargé, l'état précédent est remis : {failure_message(done)}")
        # The reload is a signal: a connection made too early would still be answered by the old configuration.
        deadline = time.monotonic() + _RELOAD_S
        while time.monotonic() < deadline:
            now = listeners(pid) if Path(f"/proc/{pid}").exists() else set()
            if now and not now & before:
                return
            time.sleep(0.05)
        raise SshdError("sshd n'a pas repris son écoute après le rechargement, l'état précédent est remis")


def _save_file(path: Path, folder: Path, name: str) -> str:
    """Keep a file as it is; gives the line of shell that brings it back."""
    where = shlex.quote(str(path))
    if not path.exists():
        return f"rm -f {where} 2>/dev/null || rmdir --ignore-fail-on-non-empty {where}"
    info = path.stat()
    if path.is_dir():
        return f"chown {info.st_uid}:{info.st_gid} {where}; chmod {info.st_mode & 0o7777:04o} {where}"
    kept = folder / name
    shutil.copy2(path, kept)
    os.chown(kept, info.st_uid, info.st_gid)
    kept.chmod(info.st_mode & 0o7777)
    sync_file(kept)
    new = shlex.quote(str(path.with_name(f".{path.name}.retour")))
    return f"cp -p {name} {new} && mv -fT {new} {where}"
