"""OpenSCAP's verdict on this machine, in a scratch space that disappears with the process."""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any

DATA_STREAM = Path("/usr/share/xml/scap/ssg/content/ssg-debian13-ds.xml")
SCRATCH = Path("/usr/lib/creatic/audit")
PROFILE = "xccdf_org.ssgproject.content_profile_{}"
TIMEOUT_S = 1800  # a scan takes seconds; minutes on an emulated processor


class ScanError(Exception):
    """The scan could not be made; the message is French."""


def private_scratch(folder: Path = SCRATCH) -> Path:
    """Mount a tmpfs that only this process and its children see; it goes away with them, even when they are killed.

    Some checks are programs which OpenSCAP writes in TMPDIR and executes: /tmp may be noexec, this is not. OpenSCAP
    itself writes in /tmp, whatever TMPDIR says: where /tmp is in memory, which OpenSCAP does not search, it is given
    one like it.

    Raises:
        ScanError: not root, or the folder is missing.
    """
    try:
        os.unshare(os.CLONE_NEWNS)
    except OSError as error:
        raise ScanError(f"cet audit demande les droits de root : {error.strerror}") from error
    tmpfs = ["mount", "-n", "-t", "tmpfs", "-o"]
    options = _tmp_options()
    for command in (
        ["mount", "--make-rprivate", "/"],
        [*tmpfs, "mode=0700,nosuid,nodev,exec,size=512m", "creatic-audit", str(folder)],
        *([[*tmpfs, f"mode=1777,{options}", "tmpfs", "/tmp"]] if options else []),  # noqa: S108 - it hides the real one
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ScanError(f"espace de travail impossible dans {folder} : {done.stderr.strip()}")
    return folder


def _tmp_options(table: Path = Path("/proc/self/mounts")) -> str:
    """Options of the tmpfs that is mounted on /tmp; empty when /tmp is something else."""
    found = ""
    for line in table.read_text(encoding="utf-8").splitlines():
        _source, target, kind, options, *_rest = line.split()
        if target == "/tmp":  # noqa: S108 - a name in a table
            found = options if kind == "tmpfs" else ""
    return ",".join(one for one in found.split(",") if one in ("rw", "nosuid", "nodev", "noexec"))


def scan(profile: str, scratch: Path, data_stream: Path = DATA_STREAM) -> dict[str, Any]:
    """Run OpenSCAP.

    Args:
        profile: short name, like ``anssi_bp28_enhanced``.

    Returns:
        ``profil``, ``contenu_sha256``, ``version``, and ``arf_gz_b64`` (the whole ARF, gzip, base64).

    Raises:
        ScanError: OpenSCAP or its content is missing, or OpenSCAP failed.
    """
    if not data_stream.is_file():
        raise ScanError(f"{data_stream} est absent : appliquez le profil de cette machine (rôle audit_agent)")
    arf = scratch / "arf.xml"
    command = ["oscap", "xccdf", "eval", "--profile", PROFILE.format(profile), "--results-arf", str(arf)]
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "TMPDIR": str(scratch),
        "HOME": "/root",
    }
    try:
        done = subprocess.run(
            ["nice", "-n", "10", *command, str(data_stream)],
            cwd=scratch,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=TIMEOUT_S,
        )
        version = subprocess.run(["oscap", "--version"], capture_output=True, text=True, check=False).stdout
    except FileNotFoundError as error:
        raise ScanError("openscap-scanner n'est pas installé : appliquez le profil de cette machine") from error
    except subprocess.TimeoutExpired as error:
        # Its cache of files is a list that it goes through for each one.
        raise ScanError(
            f"OpenSCAP n'a pas fini en {TIMEOUT_S // 60} minutes, ce que font des dizaines de milliers de fichiers "
            "dans un dossier de /home (l'ancien clone d'un opérateur…) : déplacez-les, puis relancez"
        ) from error
    # 0: every rule passes; 2: some do not. Anything else is OpenSCAP's own failure.
    if done.returncode not in (0, 2) or not arf.is_file():
        said = " / ".join(done.stderr.strip().splitlines()[-3:])
        raise ScanError(f"OpenSCAP a échoué (code {done.returncode}) : {said}")
    with data_stream.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {
        "profil": profile,
        "contenu_sha256": digest,
        "version": version.splitlines()[0] if version else "",
        "arf_gz_b64": base64.b64encode(gzip.compress(arf.read_bytes(), 6, mtime=0)).decode("ascii"),
    }
