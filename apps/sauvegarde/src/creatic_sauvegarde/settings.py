"""Configuration, and the little that every command shares."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

from creatic_agent import configuration
from creatic_agent.configuration import From, Key
from creatic_agent.places import Under

CONFIG = Path("/etc/creatic/sauvegarde/config.json")


class BackupError(Exception):
    """What was asked could not be done; the message (French) says why and what to do."""


class ServerUnavailableError(BackupError):
    """The server does not answer: the next run tries again."""


@dataclass(frozen=True)
class Item:
    """What a role declared: see `backup_client_items` of role backup_client."""

    name: str = ""
    paths: list[str] = field(default_factory=list)
    exclude: list[str] = field(default_factory=list)
    sqlite: list[str] = field(default_factory=list)
    lots: list[str] = field(default_factory=list)
    postgresql: list[str] = field(default_factory=list)
    units: list[str] = field(default_factory=list)


def _plain_items(items: list[Item]) -> list[dict[str, Any]]:
    return [asdict(one) for one in items]


@dataclass(frozen=True)
class Settings:
    """Content of /etc/creatic/sauvegarde/config.json.

    Attributes:
        client: name under which the server knows this machine.
        repository: address of its repository, for borg.
        items: what roles declared, each as `Item` has it.
        folder: keys and passphrase.
        state: snapshots, and what borg keeps between runs.
        metrics: folder of the textfile collector.
        base: what paths of a backup are relative to: / for a machine, its state's folder for the control node.
        borgmatic: configuration of borgmatic.
    """

    client: str
    repository: Annotated[str, Key("depot")]
    items: Annotated[list[dict[str, Any]], Key("elements"), From(list[Item], _plain_items)]
    folder: Path
    state: Annotated[Path, Key("etat")]
    metrics: Annotated[Path, Key("metriques")]
    base: Path = Path("/")
    borgmatic: Path = Path("/etc/borgmatic/config.yaml")

    @classmethod
    def load(cls, path: Path) -> Settings:
        """Read the configuration. Raises configuration.ConfigError."""
        return configuration.load(path, cls, folder=path.parent)

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
