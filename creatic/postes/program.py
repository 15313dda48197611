# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The PCs' program, built on the control node from the clone: once for each state of its sources and of Go."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from ansible_collections.cdg59.creatic.plugins.module_utils.durable import sync_tree
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError

SOURCE = Path(__file__).parents[2] / "apps/poste"
NAMES = {"windows": ("creatic-poste.exe", "creatic-postew.exe"), "debian": ("creatic-poste",)}
"""What is built for each system of a commune's file; of Windows' the second has no console."""
_LIBRARIES = Path("/usr/share/gocode/src")
_GO = {"GOPROXY": "off", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod", "GOWORK": "off", "GOARCH": "amd64"}
# Program or file -> the package that brings it.
_BUILD = {
    "go": "golang-go",
    str(_LIBRARIES / "software.sslmate.com/src/go-pkcs12"): "golang-sslmate-src-go-pkcs12-dev",
}
_PACKAGES = {
    "windows": _BUILD | {"wixl": "wixl", "osslsigncode": "osslsigncode"},
    "debian": _BUILD | {"gcc": "gcc", "/usr/include/dlfcn.h": "libc6-dev", "dpkg-deb": "dpkg"},
}
_BUILD_TIMEOUT_SECONDS = 1800


class InstallerError(CreaticError, cause="installeur"):
    """No installer is made; the message (French) says why and what to do."""


def folder() -> Path:
    """Where a control node keeps what it built, beside the applications' environments."""
    return Path.home() / ".cache/creatic/poste"


def need(systems: Iterable[str]) -> None:
    """Raise InstallerError: this control node lacks what makes the installers of these systems."""
    wanted = {name: package for one in systems for name, package in _PACKAGES[one].items()}
    lacking = [
        package
        for name, package in wanted.items()
        if not (shutil.which(name) or (Path(name).is_absolute() and Path(name).exists()))
    ]
    if lacking:
        raise InstallerError(
            "ce poste de commande n'a pas de quoi faire les installateurs. À faire, une fois (500 Mo au plus) : sudo "
            f"apt-get install --no-install-recommends {' '.join(lacking)}"
        )


def built(into: Path, system: str, source: Path = SOURCE) -> list[Path]:
    """The program of a system, as `NAMES` says; built if it is not there yet, and those of other states removed.

    Args:
        into: where they are kept.
        source: of the program.

    Raises:
        InstallerError: a package lacks, or it does not build.
    """
    need([system])
    kept = into / f"{system}-{_source_state(source)}"
    if not kept.exists():
        into.mkdir(mode=0o700, parents=True, exist_ok=True)
        making = into / f".{kept.name}.{os.getpid()}"
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir()
        try:
            for name in NAMES[system]:
                _build_system(source, system, making / name)
            sync_tree(making)
            if not kept.exists():  # another run may have made it
                making.rename(kept)
        finally:
            shutil.rmtree(making, ignore_errors=True)
    for other in into.glob(f"{system}-*"):
        if other != kept:
            shutil.rmtree(other, ignore_errors=True)
    return [kept / name for name in NAMES[system]]


def _source_state(source: Path) -> str:
    digest = hashlib.sha256(subprocess.run(["go", "version"], capture_output=True, check=True).stdout)
    for path in sorted(source.rglob("*")):
        inside = path.relative_to(source)
        if path.suffix in (".go", ".mod") and inside.parts[0] != "tests" and not path.name.endswith("_test.go"):
            digest.update(str(inside).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _build_system(source: Path, system: str, program: Path) -> None:
    windows = system == "windows"
    own = _GO | {"GOOS": "windows" if windows else "linux", "CGO_ENABLED": "0" if windows else "1"}
    flags = "-s -w -H windowsgui" if program.stem.endswith("w") else "-s -w"
    command = ["go", "build", "-trimpath", "-buildvcs=false", f"-ldflags={flags}", "-o", str(program), "."]
    done = subprocess.run(
        command, cwd=source, env=os.environ | own, capture_output=True, text=True, check=False,
        timeout=_BUILD_TIMEOUT_SECONDS
    )  # fmt: skip # one call
    if done.returncode:
        reason = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "sans message")
        raise InstallerError(
            f"le programme des postes ne se construit pas ({reason.strip()}). À faire : mettez à jour les paquets "
            "golang-go et golang-sslmate-src-go-pkcs12-dev, et le clone, puis relancez"
        )
