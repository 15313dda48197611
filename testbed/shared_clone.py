"""The product on a machine of tests, as scripts/bootstrap production leaves it there: no index of packages is asked."""

from __future__ import annotations

import importlib.metadata
import io
import re
import subprocess
import sys
import tarfile
from pathlib import Path

from testbed.control_node import REPO

PLACE = Path("/opt/creatic")
# What commands import; reports in PDF and the tests' own tools are left here.
_NEEDED = ("ansible-core", "cryptography", "fabric", "jsonschema", "lxml", "pyyaml", "rich")
_PROGRAMS = ("ansible", "ansible-inventory", "ansible-playbook", "fab")


def archive() -> bytes:
    """A tar, from the root of a machine, of this clone's tracked files and of the packages they need."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in _tracked():
            tar.add(REPO / name, str(PLACE / name).lstrip("/"), recursive=False, filter=_anybody)
        venv, packages = PLACE / ".venv", f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
        for name in sorted(_closure()):
            for file in importlib.metadata.distribution(name).files or ():
                source = Path(str(file.locate()))
                if source.is_file() and ".." not in file.parts and "__pycache__" not in file.parts:
                    tar.add(source, str(venv / packages / file).lstrip("/"), filter=_anybody)
        _write(tar, venv / packages / "creatic.pth", f"{PLACE}\n{PLACE}/apps/common/src\n", 0o644)
        _write(tar, venv / "pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = false\n", 0o644)
        for program in _PROGRAMS:
            text = Path(sys.executable).with_name(program).read_text(encoding="utf-8")
            _write(tar, venv / "bin" / program, re.sub(r"^#!.*", f"#!{venv}/bin/python", text), 0o755)
        link = tarfile.TarInfo(str(venv / "bin/python").lstrip("/"))
        link.type, link.linkname = tarfile.SYMTYPE, f"/usr/bin/python3.{sys.version_info.minor}"
        tar.addfile(link)
    return out.getvalue()


def _tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPO, capture_output=True, text=True, check=True).stdout
    return [
        name
        for name in listed.split("\0")
        if name and not name.startswith(("tests/", "docs/")) and (REPO / name).is_file()
    ]


def _closure() -> set[str]:
    """Distributions that those of _NEEDED require, themselves included."""
    found: set[str] = set()
    left = list(_NEEDED)
    while left:
        name = left.pop()
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # for another system
        own = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
        if own not in found:
            found.add(own)
            needs = [one for one in distribution.requires or () if "extra ==" not in one]
            left += [re.split(r"[^A-Za-z0-9._-]", one, maxsplit=1)[0] for one in needs]
    return found


def _anybody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mode = 0o755 if entry.mode & 0o100 else 0o644
    return entry


def _write(tar: tarfile.TarFile, path: Path, text: str, mode: int) -> None:
    entry = tarfile.TarInfo(str(path).lstrip("/"))
    entry.size, entry.mode = len(text.encode()), mode
    tar.addfile(entry, io.BytesIO(text.encode()))
