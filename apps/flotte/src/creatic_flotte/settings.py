"""Configuration, and what every part says when it cannot go on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from creatic_agent import configuration
from creatic_agent.configuration import UNWRITTEN, Key, positive

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
        releve: what the machine signed of itself for audits (creatic_audit.agent); carried, never read.
        host_key: of its SSH server, public.
        drift_seconds: time after which what is in place is applied again, to see and mend what moved.
    """

    machine: str
    door: Annotated[str, Key("guichet")]
    authorities: Annotated[Path, Key("autorites")]
    certificate: Annotated[Path, Key("certificat")]
    signers: Annotated[Path, Key("signataires")]
    revoked: Annotated[Path, Key("revoques")]
    state: Annotated[Path, Key("etat")]
    metrics: Annotated[Path, Key("metriques")]
    run_seconds: Annotated[int, Key("duree_max_s"), positive] = 2 * 3600
    drift_seconds: Annotated[int, Key("derive_s"), positive] = DAY
    releve: Annotated[Path, UNWRITTEN] = Path("/var/lib/creatic-audit/releve.json")
    host_key: Annotated[Path, UNWRITTEN] = Path("/etc/ssh/ssh_host_ed25519_key.pub")

    @property
    def current(self) -> Path:
        """Folder of the certificate in use."""
        return self.certificate / "current"


def load(path: Path = CONFIG) -> Settings:
    """Read the configuration. Raises configuration.ConfigError: it is not there, or not as the role writes it."""
    return configuration.load(path, Settings)
