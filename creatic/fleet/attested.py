# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What a machine said itself: its reports are signed by the key of its certificate, and verified here.

The door carries them, and may be taken: what opens a wave, or proves a commune, is read of what is signed alone. The
signed text names the machine, the version, the content that it had (`identity`), how it went, when, and the digest of
the proofs (creatic_flotte.run.attested), so that no report of before stands for one of now.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils import harmless
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError

from creatic_agent.proof import signed_by

KIND = "creatic-flotte compte-rendu"
CLOCKS = dt.timedelta(hours=1)
"""What a machine's clock may be behind (creatic_flotte.manifest)."""
_GENRES = ("a_jour", "bon", "echec", "refus")
_MAX_SIGNED_LENGTH = 16_384  # characters of what is signed
_HOST_KEY = re.compile(r"ssh-ed25519 [A-Za-z0-9+/]{68}")

Keys = Callable[[str], Iterable[Any]]
"""Public keys of the certificates that the registry issued to a machine, by its name, and that are not revoked."""


class UnverifiedReportError(CreaticError, cause="parole"):
    """What is said of a machine is not its word; the message (French) says why. It counts for nothing."""


def verify_report(machine: str, told: Mapping[str, Any], keys: Keys) -> dict[str, Any]:
    """What a machine signed, of what the door tells of it.

    Args:
        told: a report, or its head: ``signe``, ``signature``.

    Returns:
        version, identite, genre, posee, texte, fin (a date with its zone), and the digest of the proofs; ``hote``, the
        machine's host key, when it says it.

    Raises:
        Unheard: it signed nothing of it.
    """
    text, signature = told.get("signe"), told.get("signature")
    if not isinstance(text, str) or not isinstance(signature, str) or not text or not signature:
        raise UnverifiedReportError(
            "son compte rendu n'est pas signé, et ne compte pas : un agent d'avant signera à son prochain passage ; "
            "sinon, le guichet est-il sûr ?"
        )
    known = [*keys(machine)]
    if not known:
        raise UnverifiedReportError(
            "aucun certificat « flotte » de cette machine n'est en cours ici, son compte rendu ne compte pas : "
            "fab pki.registre"
        )
    if len(text) > _MAX_SIGNED_LENGTH or not any(
        _is_signed(text.encode(errors="replace"), signature, key) for key in known
    ):
        raise UnverifiedReportError(
            "son compte rendu n'est pas signé par sa clé, et ne compte pas : le guichet est-il sûr ?"
        )
    try:
        found = json.loads(text)
        good = (
            found["quoi"] == KIND
            and found["machine"] == machine
            and type(found["version"]) is int
            and found["version"] >= 0
            and type(found["posee"]) is bool
            and found["genre"] in _GENRES
            and all(isinstance(found[key], str) for key in ("texte", "identite", "preuves"))
            and dt.datetime.fromisoformat(found["fin"]).tzinfo is not None
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        good = False
    if not good:
        raise UnverifiedReportError("ce que cette machine a signé n'est pas un compte rendu d'elle, et ne compte pas")
    said = {key: found[key] for key in ("version", "identite", "genre", "posee", "fin", "preuves")}
    if isinstance(host := found.get("hote"), str) and _HOST_KEY.fullmatch(host):
        said["hote"] = host
    return said | {"texte": harmless.line(found["texte"])[:1000]}


def proofs(machine: str, told: Mapping[str, Any], keys: Keys) -> dict[str, Any]:
    """A report with proofs, once the machine is known to have signed them: its version, how it went, when, as it says.

    Raises:
        Unheard: it did not.
    """
    found = verify_report(machine, told, keys)
    if digest(told["preuves"]) != found.pop("preuves"):
        raise UnverifiedReportError(
            "ses preuves ne sont pas celles qu'elle a signées, et ne comptent pas : le guichet est-il sûr ?"
        )
    return {**told, **found}


def report_time(told: Mapping[str, Any]) -> dt.datetime:
    """When a report was made: never later than the door received it, nor than the machine says."""
    return min(dt.datetime.fromisoformat(told[key]) for key in ("recu", "fin"))


def identity(record: Mapping[str, Any]) -> str:
    """What a machine's manifest gives it, whatever its dates, as the machine says it (creatic_flotte.manifest)."""
    parts = f"{record['version']} {record['code']['sha256']} {record['donnees']['sha256']}"
    return hashlib.sha256(parts.encode()).hexdigest()


def digest(told: Any) -> str:
    """Of proofs, however they were carried (creatic_flotte.run.digest)."""
    text = json.dumps(told, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def _is_signed(text: bytes, signature: str, key: Any) -> bool:
    try:
        found = base64.b64decode(signature, validate=True)
    except ValueError:
        return False
    return signed_by(key, found, text)
