"""What chrony is told: whom it believes, and that it serves nobody."""

from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import Environment, FileSystemLoader

ROLE = Path(__file__).parents[3] / "roles" / "hardening"
QUIET = ["port 0", "cmdport 0"]


@pytest.mark.parametrize(
    ("plain", "proven", "told"),
    [
        ([], [], []),
        (["ntp1.fr"], [], ["server ntp1.fr iburst"]),
        (
            [],
            ["nts1.fr", "nts2.fr"],
            ["server nts1.fr iburst nts", "server nts2.fr iburst nts", "authselectmode require"],
        ),
        (["ntp1.fr"], ["nts1.fr"], ["server ntp1.fr iburst", "server nts1.fr iburst nts", "authselectmode require"]),
    ],
)
def test_with_a_server_that_proves_its_name_no_other_is_believed(
    plain: list[str], proven: list[str], told: list[str]
) -> None:
    templates = Environment(loader=FileSystemLoader(ROLE / "templates"), trim_blocks=True, autoescape=False)  # noqa: S701 - no HTML
    templates.filters["comment"] = lambda _text: "# x"
    given = {"ansible_managed": "", "hardening_ntp_servers": plain, "hardening_nts_servers": proven}
    lines = templates.get_template("chrony.conf.j2").render(given).splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == [*told, *QUIET]
