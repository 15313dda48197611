# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Bring a set of files, directories and links to a wanted state, in one pass.

One call replaces a task per file: on two shared cores a task costs about half a CPU second,
an entry of this list next to nothing. Writes are atomic (temporary file in the same folder,
fsync, rename), so that a reader never sees half a file and a killed run leaves the old one.
"""

from __future__ import annotations

import base64
import contextlib
import grp
import hashlib
import os
import pwd
import shlex
import shutil
import stat
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils import durable
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError

# The argument "files" of the modules that write a set of files.
ARGUMENT: dict[str, Any] = {
    "type": "list",
    "elements": "dict",
    "required": True,
    "options": {
        "path": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["file", "directory", "absent"], "default": "file"},
        "template": {"type": "str"},
        "vars": {"type": "dict"},
        "src": {"type": "str"},
        "content": {"type": "str"},
        "zipapp": {"type": "str"},
        "tree": {"type": "str"},
        "main": {"type": "str"},
        "python": {"type": "str"},
        "link": {"type": "str"},
        "owner": {"type": "str", "default": "root"},
        "group": {"type": "str", "default": "root"},
        "mode": {"type": "str"},
        "secret": {"type": "bool", "default": False},
        "validate": {"type": "str"},
        "content_b64": {"type": "str", "no_log": True},
    },
}


class FileSetError(CreaticError, cause="fichiers"):
    """The set cannot be applied; the message (French) names the path, the cause and the fix."""


@dataclass
class Change:
    """What one entry did, or would do in check mode."""

    path: str
    before: str = ""
    after: str = ""
    reasons: list[str] = field(default_factory=list)


def diff(changes: list[Change]) -> list[dict[str, str]]:
    """What changed, as Ansible shows it."""
    return [
        {
            "before": change.before,
            "after": change.after,
            "before_header": change.path,
            "after_header": f"{change.path} ({', '.join(change.reasons)})",
        }
        for change in changes
    ]


def _user_id(name: str, check: bool) -> int:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        if check:
            return -1  # the account is made by an earlier task that check mode did not run
        raise FileSetError(f"le compte « {name} » n'existe pas sur cette machine : créez-le avant") from None


def _group_id(name: str, check: bool) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        if check:
            return -1
        raise FileSetError(f"le groupe « {name} » n'existe pas sur cette machine : créez-le avant") from None


def _decode_text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return f"(binaire, {len(data)} octets, sha256 {hashlib.sha256(data).hexdigest()})\n"


def _set_attributes(path: Path, spec: dict[str, Any], check: bool) -> list[str]:
    """Set owner, group and mode where they differ; returns what differed."""
    wanted_uid, wanted_gid = _user_id(spec["owner"], check), _group_id(spec["group"], check)
    info = path.lstat()
    reasons = []
    if (wanted_uid, wanted_gid) != (info.st_uid, info.st_gid):
        reasons.append("propriétaire")
        if not check:
            os.chown(path, wanted_uid, wanted_gid)
    mode = int(spec["mode"], 8)
    # chown clears setuid and setgid bits: the mode always comes after it.
    if stat.S_IMODE(path.lstat().st_mode) != mode:
        reasons.append(f"mode {stat.S_IMODE(info.st_mode):04o} → {mode:04o}")
        if not check:
            path.chmod(mode)
    return reasons


def _write_file(path: Path, data: bytes, spec: dict[str, Any]) -> None:
    if not path.parent.is_dir():
        raise FileSetError(f"{path} : le dossier {path.parent} n'existe pas ; déclarez-le avant ce fichier")

    def check(new: Path) -> None:
        _set_attributes(new, spec, check=False)
        if spec.get("validate"):
            command = [part.replace("%s", str(new)) for part in shlex.split(spec["validate"])]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                detail = "" if spec["secret"] else (done.stderr or done.stdout).strip()
                raise FileSetError(f"{path} : refusé par « {command[0]} », rien n'est changé. {detail}".strip())

    durable.write(path, data, 0o600, check=check)


def _apply_directory(path: Path, spec: dict[str, Any], check: bool) -> Change | None:
    if path.is_dir() and not path.is_symlink():
        reasons = _set_attributes(path, spec, check)
        return Change(str(path), reasons=reasons) if reasons else None
    if os.path.lexists(path):
        raise FileSetError(f"{path} existe et n'est pas un dossier : déplacez-le puis relancez")
    if not check:
        path.mkdir(parents=True, mode=0o700)
        _set_attributes(path, spec, check)
    return Change(str(path), after="dossier\n", reasons=["créé"])


def _apply_link(path: Path, target: str, check: bool) -> Change | None:
    before = str(path.readlink()) if path.is_symlink() else ""
    if before == target:
        return None
    if os.path.lexists(path) and not path.is_symlink():
        raise FileSetError(f"{path} existe et n'est pas un lien : déplacez-le puis relancez")
    if not check:
        temporary = path.with_name(f".{path.name}.lien")
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        temporary.symlink_to(target)
        temporary.replace(path)
    return Change(str(path), f"-> {before}\n" if before else "", f"-> {target}\n", ["lien"])


def _apply_absent(path: Path, check: bool) -> Change | None:
    if not os.path.lexists(path):
        return None
    if not check:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    return Change(str(path), before="présent\n", reasons=["supprimé"])


def _apply_file(path: Path, spec: dict[str, Any], check: bool) -> Change | None:
    wanted = base64.b64decode(spec["content_b64"])
    if path.is_dir() or path.is_symlink():
        raise FileSetError(f"{path} existe et n'est pas un fichier : déplacez-le puis relancez")
    present = path.read_bytes() if path.exists() else None
    if present == wanted:
        reasons = _set_attributes(path, spec, check)
        return Change(str(path), reasons=reasons) if reasons else None
    if not check:
        _write_file(path, wanted, spec)
    change = Change(str(path), reasons=["contenu" if present is not None else "créé"])
    if spec["secret"]:
        change.before = "(secret)\n" if present is not None else ""
        change.after = "(secret, nouveau)\n"
    else:
        change.before = _decode_text(present) if present is not None else ""
        change.after = _decode_text(wanted)
    return change


def apply(files: list[dict[str, Any]], check: bool = False) -> list[Change]:
    """Bring every entry to its wanted state, in order.

    Args:
        files: entries as the module documents them, contents base64-encoded in ``content_b64``.
        check: report only, change nothing.

    Returns:
        The entries that changed (or would).

    Raises:
        FileSetError: an account, a parent folder or a validation is missing or refuses.
    """
    changes: list[Change] = []
    for given in files:
        spec = given | {"mode": given["mode"] or ("0755" if given["state"] == "directory" else "0644")}
        path = Path(spec["path"])
        if spec["state"] == "directory":
            change = _apply_directory(path, spec, check)
        elif spec["state"] == "absent":
            change = _apply_absent(path, check)
        elif spec.get("link"):
            change = _apply_link(path, spec["link"], check)
        else:
            change = _apply_file(path, spec, check)
        if change:
            changes.append(change)
    return changes
