"""Configuration, and the little that every command shares."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from creatic_agent.places import Under

CONFIG = Path("/etc/creatic/sauvegarde/config.json")


class BackupError(Exception):
    """What was asked could not be done; the message (French) says why and what to do."""


class Away(BackupError):
    """The server does not answer: the next run tries again."""


@dataclass(frozen=True)
class Settings:
    """Content of /etc/creatic/sauvegarde/config.json.

    Attributes:
        client: name under which the server knows this machine.
        repository: address of its repository, for borg.
        items: what roles declared: name, paths, exclude, sqlite, postgresql, units.
        folder: keys and passphrase.
        state: snapshots, and what borg keeps between runs.
        metrics: folder of the textfile collector.
        base: what paths of a backup are relative to: / for a machine, its state's folder for the control node.
        borgmatic: configuration of borgmatic.
    """

    client: str
    repository: str
    items: list[dict[str, Any]]
    folder: Path
    state: Path
    metrics: Path
    base: Path = Path("/")
    borgmatic: Path = Path("/etc/borgmatic/config.yaml")

    @classmethod
    def load(cls, path: Path) -> Settings:
        found = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            found["client"], found["depot"], found["elements"],
            path.parent, Path(found["etat"]), Path(found["metriques"]), Path(found["base"]), Path(found["borgmatic"]),
        )  # fmt: skip # one call by its parts

    def all_of(self, key: str) -> list[str]:
        """What every role declared under a key."""
        return [one for item in self.items for one in item.get(key, [])]

    passphrase = Under("folder", "phrase")
    key = Under("folder", "cle")
    snapshots = Under("state", "instantanes")

    def environment(self) -> dict[str, str]:
        """What borg is to find in its environment. It moves between machines and addresses: that is no surprise."""
        return {
            "BORG_BASE_DIR": str(self.state / "borg"),
            "BORG_PASSCOMMAND": f"cat {self.passphrase}",
            "BORG_RSH": f"ssh -F {self.folder / 'ssh_config'}",
            "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
            "BORG_EXIT_CODES": "modern",
            "PATH": "/usr/bin:/bin",
            "LC_ALL": "C.UTF-8",
            "HOME": str(Path.home()),
        }
