# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Runs a proof command on its host and reads what it tells; standard library only.

Protocol: the command prints one JSON object on its standard output::

    {"preuves": [{"cle": "rgs", "libelle": "Certificat RGS", "verdict": "ok", "detail": "…", "mesures": {}}],
     "fichiers": ["/absolute/path.png"]}

verdict is ``ok``, ``attention`` (proven, with a reserve) or ``echec``; ``remede`` may say the fix.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pwd
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from ansible_collections.cdg59.creatic.plugins.module_utils.reasons import reason

VERDICTS = ("ok", "attention", "echec")
# Only what a browser shows or saves without running it: an auditor opens these files.
SUFFIXES = (".png", ".jpg", ".jpeg", ".pdf", ".xml", ".json", ".txt", ".log")
MAX_FILE = 8 << 20
MAX_FILES = 30


class ProofError(CreaticError, cause="epreuve"):
    """The proof could not be collected; the message is French and says what to do."""


def parse(output: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Read the command's output.

    Returns:
        The proofs, every field present, and the files.

    Raises:
        ProofError: not the protocol; names the field.
    """
    try:
        data = json.loads(output)
    except ValueError:
        shown = " ".join(output.split())[:120] or "rien"
        raise ProofError(f"la commande de preuve n'a pas rendu de JSON, mais : {shown}") from None
    if not isinstance(data, dict) or not isinstance(data.get("preuves"), list):
        raise ProofError("la commande de preuve n'a pas rendu de liste « preuves »")
    proofs = []
    for rank, item in enumerate(data["preuves"], start=1):
        if not isinstance(item, dict) or not isinstance(item.get("cle"), str) or not item["cle"]:
            raise ProofError(f"preuve n° {rank} : champ « cle » absent")
        if item.get("verdict") not in VERDICTS:
            raise ProofError(f"preuve {item['cle']} : verdict « {item.get('verdict')} » inconnu")
        measures = item.get("mesures")
        proofs.append(
            {
                "cle": item["cle"],
                "libelle": str(item.get("libelle") or item["cle"]),
                "verdict": item["verdict"],
                "detail": str(item.get("detail") or ""),
                "remede": str(item.get("remede") or ""),
                "mesures": measures if isinstance(measures, dict) else {},
            }
        )
    keys = [proof["cle"] for proof in proofs]
    if len(set(keys)) != len(keys):
        raise ProofError("la commande de preuve a rendu deux fois la même clé")
    files = data.get("fichiers") or []
    if not isinstance(files, list) or not all(str(name).startswith("/") for name in files):
        raise ProofError("la commande de preuve doit rendre dans « fichiers » des chemins absolus")
    return proofs, [str(name) for name in files]


def run(argv: Sequence[str], user: str, timeout: int) -> tuple[list[dict[str, Any]], list[str]]:
    """Run the command as a user, in his home folder, with his environment only.

    Args:
        timeout: seconds.

    Raises:
        ProofError: it cannot be run, takes too long, or does not follow the protocol.
    """
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        raise ProofError(f"le compte {user} n'existe pas sur l'hôte") from None
    mine = account.pw_uid == os.geteuid()
    try:
        done = subprocess.run(
            list(argv),
            capture_output=True,
            timeout=timeout,
            check=False,
            cwd=account.pw_dir if Path(account.pw_dir).is_dir() else "/",
            env={
                "HOME": account.pw_dir,
                "USER": user,
                "LOGNAME": user,
                "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "LANG": "C.UTF-8",
            },
            user=None if mine else account.pw_uid,
            group=None if mine else account.pw_gid,
            extra_groups=None if mine else os.getgrouplist(user, account.pw_gid),
        )
    except FileNotFoundError:
        raise ProofError(f"{argv[0]} est absent de l'hôte : relancer le déploiement") from None
    except PermissionError:
        raise ProofError(f"{argv[0]} n'est pas exécutable par {user}") from None
    except subprocess.TimeoutExpired:
        raise ProofError(f"{argv[0]} n'a pas répondu en {timeout} s") from None
    output = done.stdout.decode(errors="replace")
    try:
        return parse(output)
    except ProofError as error:
        said = " ".join(done.stderr.decode(errors="replace").split())[-300:]
        raise ProofError(f"{error}" + (f" ({said})" if said else "")) from None


def read_files(paths: Sequence[str]) -> list[dict[str, Any]]:
    """Read the files of a proof.

    Returns:
        nom, octets, sha256, contenu (base64) of each.

    Raises:
        ProofError: a file is missing, too big, or of a kind that is not collected.
    """
    if len(paths) > MAX_FILES:
        raise ProofError(f"la preuve compte {len(paths)} fichiers, {MAX_FILES} au plus")
    found: list[dict[str, Any]] = []
    for text in paths:
        path = Path(text)
        name = path.name
        if path.suffix.lower() not in SUFFIXES:
            raise ProofError(f"{text} : type de fichier refusé ; attendu : {', '.join(SUFFIXES)}")
        if any(item["nom"] == name for item in found):
            name = f"{len(found)}-{name}"
        try:
            size = path.stat().st_size
            content = path.read_bytes() if size <= MAX_FILE else b""
        except OSError as error:
            raise ProofError(f"{text} : illisible ({reason(error)})") from None
        if size > MAX_FILE:
            raise ProofError(f"{text} : {size >> 20} Mio, {MAX_FILE >> 20} au plus")
        found.append(
            {
                "nom": name,
                "octets": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
                "contenu": base64.b64encode(content).decode("ascii"),
            }
        )
    return found
