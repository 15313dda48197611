"""Configuration, and what every part says when it cannot go on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONFIG = Path("/etc/creatic/flotte/config.json")
DAY = 24 * 3600


class FleetError(Exception):
    """What was asked is not done, and what was there is kept; the message (French) says why."""


class Refused(FleetError):
    """What the door gave is not taken: it is not what the control node signed for this machine, now."""


class Rejected(Refused):
    """The door will never take what this machine sends it."""


class Away(FleetError):
    """The door does not answer, or the line was cut: the next pass tries again."""


class Failed(FleetError):
    """What was taken is good, and this machine cannot apply it."""


@dataclass(frozen=True)
class Settings:
    """Content of /etc/creatic/flotte/config.json.

    Attributes:
        machine: its name in the inventory.
        door: address of the door, https.
        authorities: PEM of those that certify the door.
        certificate: folder of this machine's certificate, as role pki_client lays it out (``current``, and the ones
            before).
        signers: keys that may sign for the fleet, as ``allowed_signers`` of ssh-keygen(1).
        revoked: keys that may no longer, one a line or a KRL; the file may be absent.
        state: folder of this program.
        metrics: folder of the textfile collector.
        run_seconds: longest run, in seconds.
        drift_seconds: time after which what is in place is applied again, to see and mend what moved.
    """

    machine: str
    door: str
    authorities: Path
    certificate: Path
    signers: Path
    revoked: Path
    state: Path
    metrics: Path
    run_seconds: int = 2 * 3600
    drift_seconds: int = DAY

    @property
    def current(self) -> Path:
        """Folder of the certificate in use."""
        return self.certificate / "current"


_NAMES = {
    "machine": "machine",
    "guichet": "door",
    "autorites": "authorities",
    "certificat": "certificate",
    "signataires": "signers",
    "revoques": "revoked",
    "etat": "state",
    "metriques": "metrics",
    "duree_max_s": "run_seconds",
    "derive_s": "drift_seconds",
}


def load(path: Path = CONFIG) -> Settings:
    """Read the configuration.

    Raises:
        FleetError: it is not there, or not as the role writes it.
    """
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        given: dict[str, Any] = {_NAMES[key]: value for key, value in found.items()}
        for key in ("authorities", "certificate", "signers", "revoked", "state", "metrics"):
            given[key] = Path(given[key])
        return Settings(**given)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FleetError(f"{path} : configuration illisible ({type(error).__name__}) ; redéployez la machine") from None
