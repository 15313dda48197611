# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The two files of a version: the code, the same for all; the data of one machine, which only its key opens."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from creatic.fleet.signing import FleetError

# What a run needs of the project; inventories, tests and their bench are no part of it.
_CODE = ("ansible.cfg", "playbooks", "roles", "apps", "collections/ansible_collections/cdg59", "creatic")
_NOT = ("__pycache__", ".pytest_cache", ".mypy_cache", "molecule", "tests", "cli")


def code(top: Path) -> bytes:
    """The project as machines run it: the same bytes for the same files."""
    return _pack_archive((str(path.relative_to(top)), path.read_bytes()) for path in _project_files(top))


def digest(top: Path, inventory: Path) -> str:
    """Digest of what a run is made of: the project as machines run it, and an inventory.

    Args:
        inventory: its folder; hidden files, as editors leave, are no part of it.
    """
    found = hashlib.sha256()
    shown = (one for one in sorted(inventory.rglob("*")) if "/." not in f"/{one.relative_to(inventory)}")
    for folder, paths in ((top, _project_files(top)), (inventory, filter(Path.is_file, shown))):
        for path in paths:
            for part_of in (str(path.relative_to(folder)).encode(), path.read_bytes()):
                found.update(b"%d:%s" % (len(part_of), part_of))
    return found.hexdigest()


def data(files: Mapping[str, bytes]) -> bytes:
    """The data of a machine: the same bytes for the same content."""
    return _pack_archive(sorted(files.items()))


def encrypt(content: bytes, certificate: str) -> bytes:
    """Encrypt for the key of a certificate (CMS, RFC 5652, AES-256-GCM of RFC 5084), in DER.

    Args:
        certificate: PEM.

    Raises:
        FleetError: openssl refuses the certificate.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(certificate)
        file.flush()
        done = subprocess.run(
            ["openssl", "cms", "-encrypt", "-binary", "-outform", "DER", "-aes-256-gcm", "-recip", file.name],
            input=content,
            capture_output=True,
            env=os.environ | {"LC_ALL": "C"},
            check=False,
        )
    if done.returncode:
        raise FleetError("le certificat d'une machine ne permet pas de chiffrer pour elle : renouvelez-le")
    return done.stdout


def part(content: bytes) -> dict[str, Any]:
    """What the manifest says of a file."""
    return {"sha256": hashlib.sha256(content).hexdigest(), "octets": len(content)}


def sending(target: Path, lots: Iterable[Path], envoi: bytes) -> None:
    """Write what is sent to the door: files, then what to make of them (see creatic_guichet.store)."""
    with tarfile.open(target, "w") as tar:
        for path in lots:
            tar.add(path, f"lots/{path.name}", recursive=False)
        info = tarfile.TarInfo("envoi.json")
        info.size = len(envoi)
        tar.addfile(info, io.BytesIO(envoi))


def _project_files(top: Path) -> Iterator[Path]:
    """The project's files; what agents have by a link is there as a file, a link that leads out of it is not."""
    for name in _CODE:
        place = top / name
        found = [place] if place.is_file() else sorted(place.rglob("*"))
        for path in found:
            inside = not path.is_symlink() or path.resolve().is_relative_to(top.resolve())
            if path.is_file() and inside and not {*_NOT} & {*path.relative_to(top).parts}:
                yield path


def _pack_archive(files: Iterable[tuple[str, bytes]]) -> bytes:
    out = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=out, mode="wb", filename="", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar,
    ):
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o600
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()
