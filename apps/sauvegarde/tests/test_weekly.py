"""PostgreSQL is saved whole once a week, and what changed in between."""

from __future__ import annotations

import json
import time

import pytest
from creatic_sauvegarde import postgresql
from creatic_sauvegarde.settings import BackupError

DAY = 86400


class Server:
    """Answers for PostgreSQL and pgBackRest: backups of these ages (days) and kinds, oldest first."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *kept: tuple[float, str]) -> None:
        self.asked: list[str] = []
        now = time.time()
        self.kept = [
            {"label": f"{kind}-{age}", "type": kind, "timestamp": {"stop": now - age * DAY}} for age, kind in kept
        ]
        monkeypatch.setattr(postgresql, "_run_program", self._run)

    def _run(self, program: str, *arguments: str, told: str) -> str:
        if program == "psql":
            return "postgres\npasserelle\n"
        if "backup" in arguments:
            (kind,) = (one.removeprefix("--type=") for one in arguments if one.startswith("--type="))
            self.asked.append(kind)
            self.kept.append({"label": f"{kind}-0", "type": kind, "timestamp": {"stop": time.time()}})
            return ""
        return json.dumps([{"backup": self.kept}])


@pytest.mark.parametrize(
    ("kept", "kind"),
    [
        ((), "full"),
        (((6.99, "full"),), "diff"),
        (((7.01, "full"),), "full"),
        (((7.5, "full"), (1, "diff")), "full"),  # what changed since is nothing without the whole
        (((20, "full"), (2, "full"), (1, "diff")), "diff"),
    ],
)
def test_all_of_it_is_saved_once_a_week(
    monkeypatch: pytest.MonkeyPatch, kept: tuple[tuple[float, str], ...], kind: str
) -> None:
    server = Server(monkeypatch, *kept)
    assert postgresql.save(["passerelle"]) == f"{kind}-0"
    assert server.asked == [kind]


def test_nothing_is_saved_without_a_database_that_is_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch)
    with pytest.raises(BackupError, match=r"^base PostgreSQL « autre » : elle n'existe pas, rien n'est sauvegardé$"):
        postgresql.save(["passerelle", "autre", "zone"])
    assert server.asked == []
