"""What hosts get is what was tested here."""

from __future__ import annotations

import re
from pathlib import Path

TOP = Path(__file__).parents[3]


def pins(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", path.read_text(encoding="utf-8"), re.M))


def test_the_role_s_lock_has_the_versions_of_the_control_node() -> None:
    role = pins(TOP / "roles" / "signature" / "files" / "signature.lock")
    assert "pyhanko" in role
    assert role.items() <= pins(TOP / "requirements.lock").items()
