"""A document store that came back: its accounts open, and every document is the one that was filed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from testinfra.host import Host

from .mayan import counted, every_document_opens


def test_every_document_opens_and_is_the_one_that_was_filed(
    host: Host, hostvars: dict[str, Any], creatic_home: Path
) -> None:
    every_document_opens(host, hostvars["creatic_names"][0], creatic_home / "secrets" / "ged" / "admin")


def test_accounts_and_plan_are_there(host: Host) -> None:
    assert counted(host, "SELECT count(*) FROM auth_user WHERE is_active") > 3
    assert counted(host, "SELECT count(*) FROM cabinets_cabinet") > 3
    assert counted(host, "SELECT count(*) FROM events_storedeventtype") > 0
