"""The manifest: which version a machine has to be at, signed for it alone. Verified before anything is unpacked.

Signature: OpenSSH's (``ssh-keygen -Y``, PROTOCOL.sshsig), under a name of its own, so that no signature made for
something else is one. Against which attacks: The Update Framework, specification 1.0.33, 1.5.2 (roll-back, freeze,
mix-and-match, endless data, wrong software).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from creatic_flotte.settings import Refused, Settings

NAMESPACE = "creatic-flotte"
SIGNER = "flotte"
FORMAT = 1
LARGEST = 16_384
"""Bytes of a manifest, or of its signature."""
MOST = {"code": 64 << 20, "donnees": 32 << 20}
"""Bytes of each part that a machine takes."""
CLOCKS = dt.timedelta(hours=1)
"""What a clock may differ by."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FIELDS = {"format", "machine", "version", "publie", "expire", "vague", "code", "donnees"}


@dataclass(frozen=True)
class VersionFile:
    """One of the two files of a version: the code, the same for all; the data, encrypted for one machine."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """A manifest whose signature is good. ``text`` is what was signed."""

    text: str
    machine: str
    version: int
    published: dt.datetime
    expires: dt.datetime
    wave: str
    code: VersionFile
    data: VersionFile

    @property
    def identity(self) -> str:
        """What tells two contents apart, whatever their dates."""
        return hashlib.sha256(f"{self.version} {self.code.sha256} {self.data.sha256}".encode()).hexdigest()


def verify(settings: Settings, text: str, signature: str) -> Manifest:
    """Read a manifest once its signature is known to be good.

    Raises:
        Refused: nobody who may signed it, or it is not for this machine.
    """
    check_signature(settings, text, signature)
    return _read(settings, text)


def check_signature(settings: Settings, text: str, signature: str) -> None:
    """Refuse what nobody who may signed for the fleet. Raises Refused."""
    if not settings.signers.is_file():
        raise Refused(f"{settings.signers} manque : cette machine ne sait pas qui peut signer, redéployez-la")
    with tempfile.TemporaryDirectory(prefix="flotte-") as folder:
        file = Path(folder, "signature")
        file.write_text(signature, encoding="utf-8")
        revoked = ["-r", str(settings.revoked)] if settings.revoked.exists() else []
        wrong = _fault(settings, file, text, revoked)
        if wrong and revoked and not _fault(settings, file, text, []):
            wrong = "manifeste signé par une clé révoquée"
    if wrong:
        raise Refused(wrong)


def check_times(manifest: Manifest, now: dt.datetime, server: dt.datetime | None) -> None:
    """Refuse what is past, or to come.

    Args:
        now: this machine's clock.
        server: the door's, when it is known. It only helps to say which clock is wrong.

    Raises:
        Refused: a manifest that is no longer renewed (freeze), or a clock that is wrong.
    """
    apart = f"l'horloge de cette machine dit {_shown(now)}, le guichet {_shown(server)}" if server else ""
    wrong = server is not None and abs(server - now) > CLOCKS
    if manifest.published > now + CLOCKS:
        raise Refused(
            f"la version {manifest.version} est signée du {_shown(manifest.published)}, à venir : "
            + (apart if wrong else f"l'horloge de cette machine dit {_shown(now)}")
            + ". À faire : remettez-la à l'heure"
        )
    if manifest.expires <= now:
        raise Refused(
            f"la version {manifest.version} est expirée depuis le {_shown(manifest.expires)} : "
            + (
                f"{apart}. À faire : remettez-la à l'heure"
                if wrong
                else "le guichet ne donne plus rien de récent. À faire, sur le poste de commande : fab flotte.avancer"
            )
        )


def check_order(manifest: Manifest, version: int, identity: str) -> None:
    """Refuse to go back, and to take two contents for one version.

    Args:
        version: the highest that was ever taken here.
        identity: of its manifest; empty when it is not known any more.

    Raises:
        Refused: roll-back or replay, or a second content.
    """
    if manifest.version < version:
        raise Refused(
            f"le guichet donne la version {manifest.version}, et cette machine a déjà pris la {version} : "
            "retour en arrière refusé. À faire, sur le poste de commande : fab flotte.etat"
        )
    if manifest.version == version and manifest.identity != identity:
        raise Refused(
            f"la version {version} a maintenant un autre contenu que celui qui a été pris : deux publications sous "
            "le même numéro. À faire, sur le poste de commande : fab flotte.publier"
        )


def _read(settings: Settings, text: str) -> Manifest:
    try:
        found = json.loads(text)
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise Refused("manifeste d'un autre format : cette machine est trop ancienne, ou trop récente, pour lui")
        if found.keys() != _FIELDS:
            raise ValueError
        manifest = Manifest(
            text,
            str(found["machine"]),
            _whole(found["version"], 1 << 53),
            moment(found["publie"]),
            moment(found["expire"]),
            str(found["vague"])[:80],
            *(VersionFile(_digest(found[name]["sha256"]), _whole(found[name]["octets"], MOST[name])) for name in MOST),
        )
    except (ValueError, KeyError, TypeError):
        raise Refused("manifeste signé, mais illisible : le poste de commande s'est trompé") from None
    if manifest.machine != settings.machine:
        raise Refused(f"manifeste de {manifest.machine[:80]!r}, et non de {settings.machine}")
    return manifest


def _whole(value: Any, most: int) -> int:
    if type(value) is not int or not 1 <= value <= most:
        raise ValueError
    return value


def _digest(value: Any) -> str:
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise ValueError
    return value


def moment(value: Any) -> dt.datetime:
    """A date of a text that was signed. Raises ValueError: none, or without its zone."""
    found = dt.datetime.fromisoformat(value)
    if found.tzinfo is None:
        raise ValueError
    return found.astimezone(dt.UTC)


def _shown(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).strftime("%d/%m/%Y à %H:%M (UTC)")


def _fault(settings: Settings, signature: Path, text: str, revoked: Sequence[str]) -> str:
    """What is wrong with a signature, in French; empty when it is good."""
    command = ["ssh-keygen", "-Y", "verify", "-n", NAMESPACE, "-I", SIGNER, "-f", str(settings.signers), *revoked]
    done = subprocess.run(
        [*command, "-s", str(signature)], input=text.encode(), capture_output=True, timeout=60, check=False
    )
    said = (done.stderr + done.stdout).decode(errors="replace")
    if not done.returncode:
        return ""
    if "incorrect signature" in said:
        return "manifeste modifié après sa signature"
    if any(words in said for words in ("invalid format", "not armored", "parse", "Couldn't read signature")):
        return "signature illisible : le manifeste n'est pas signé, ou sa signature est tronquée"
    return "manifeste signé par une clé inconnue de cette machine, ou pour un autre usage"
