"""The memory that the largest SIPs take, in a process of their own, against what the units allow."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.sae import PDF, TOP, manifest, tar, zipped

_TEMPLATES = TOP / "roles" / "archive_gateway" / "templates"
# Scanned and identified elsewhere: what these two take does not grow with the SIP.
_CHILD = """
import sys
from pathlib import Path
from sae.config import Limits
from sae.versement import antivirus, formats
from testbed.sae import GONDECOURT, Gateway
formats._load_siegfried()
known = formats.Format("fmt/18", "Acrobat PDF 1.4", "1.4", "application/pdf", "byte match at 0, 8")
antivirus.scan = lambda members, clamd: "ClamAV"
formats.identify = lambda members, allowed, own: {one.name: known for one in members if one.name not in own}
with open(sys.argv[2], "rb") as stream:
    answer = Gateway(Path(sys.argv[1]), limits=Limits()).engine.deposit(GONDECOURT, stream)
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))  # getrusage counts the parent's
print(peak.split()[1], answer.accepted, *answer.reasons)
"""


def allowed(unit: str) -> int:
    """MemoryMax of a unit, in kilobytes."""
    text = (_TEMPLATES / f"{unit}.service.j2").read_text(encoding="utf-8")
    ((value, letter),) = re.findall(r"^MemoryMax=(\d+)([MG])$", text, re.MULTILINE)
    return int(value) * {"M": 1 << 10, "G": 1 << 20}[letter]


def taken(folder: Path, package: bytes) -> tuple[int, str]:
    """Most memory that a deposit took, in kilobytes, and what was answered."""
    (folder / "sip").write_bytes(package)
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(folder), str(folder / "sip")],
        cwd=TOP,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    peak, _, told = done.stdout.partition(" ")
    return int(peak), told


def largest() -> bytes:
    """As many files, names, elements and bytes of manifest as are admitted."""
    files = {f"content/{'é' * 127}/{'x' * 110}{rank:05d}": PDF for rank in range(9990)}
    filling = "<a>x</a>y" * (999_900 - 6 * len(files)) + f"{'z' * 9_000_000}<b/>" * 3
    signature = f'<Signature><x xmlns="urn:x">{filling}</x></Signature><CodeListVersions/>'
    return tar({"manifest.xml": manifest(files).decode().replace("<CodeListVersions/>", signature).encode(), **files})


def repeated() -> bytes:
    """A small zip, and a manifest of one element without end."""
    mark = b'<ArchiveUnit id="U"><Content>'
    return zipped({"manifest.xml": manifest().replace(mark, mark + b"<a/>" * 12_000_000)})


@pytest.mark.parametrize(("make", "said"), [(largest, "True"), (repeated, "False")])
@pytest.mark.costly
def test_the_largest_sip_takes_a_third_of_what_the_units_have(tmp_path: Path, make: object, said: str) -> None:
    peak, told = taken(tmp_path, make())  # type: ignore[operator] # one of both functions
    assert told.startswith(said), told[:300]
    assert peak < allowed("sae-entretien") / 3
    assert peak < allowed("sae-versement") / 3
