"""An acquitted act goes to the archive: its SIP is taken by the archive's own engine, its refusal is not repeated."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tdt_connector import archive, sip
from tdt_connector.config import Config

from tests.unit.archive_gateway.gateway_harness import AGENCY, ARACTE, PDF, SIREN, FakeClamd, Gateway

ACT = {
    "numero": "2026_014", "date": "2026-11-02", "aracte_le": "2026-11-03", "nature": "DE", "classification": "7.1",
    "objet_transmis": "Décision modificative n° 2",
}  # fmt: skip
TERMS = sip.Terms(AGENCY, "ACTES-10", "Keep")


@pytest.fixture
def clamd(tmp_path: Path) -> Iterator[FakeClamd]:
    """The archive's scanner."""
    scanner = FakeClamd(tmp_path / "clamd.ctl")
    yield scanner
    scanner.stop()


@pytest.fixture
def act(tmp_path: Path) -> Path:
    """An acquitted act of Gondecourt's connector."""
    folder = tmp_path / "commune" / "acquittes" / "059-215902669-20261102-2026_014-DE"
    folder.mkdir(parents=True)
    for name, content in {"2026_014.pdf": PDF, "ARActe.xml": ARACTE, "resume.json": json.dumps(ACT).encode()}.items():
        (folder / name).write_bytes(content)
    return folder


def config(act: Path) -> Config:
    """A connector's configuration, on this folder."""
    return Config(
        tdt="s2low", url="https://tdt.test", siren=SIREN, departement="059", dossier=act.parents[1],
        archive_url="https://sae.test", archive_agency=AGENCY, archive_rule="ACTES-10",
    )  # fmt: skip


def test_the_archive_takes_its_sip(tmp_path: Path, clamd: FakeClamd, act: Path) -> None:
    package = io.BytesIO()
    sip.build(act, SIREN, TERMS, package)
    again = io.BytesIO()
    sip.build(act, SIREN, TERMS, again)
    assert again.getvalue() == package.getvalue()  # the same act, the same bytes: never two archives
    gateway = Gateway(tmp_path)
    answer = gateway.deposit(package.getvalue())
    assert answer.accepted, answer.reasons
    kept = gateway.registry.archive("gondecourt", str(answer.aip))
    assert kept is not None
    assert {one["nom"] for one in kept.files} == {"manifest.xml", "content/2026_014.pdf", "content/ARActe.xml"}


def test_a_refused_act_waits_a_day_before_it_goes_again(act: Path) -> None:
    sae = archive.Sae(config(act))
    assert sae.waiting() == [act.name]
    (act / archive.REFUSED).write_bytes(b"<refus/>")
    assert sae.waiting() == []
    assert archive.unarchived(config(act)) == [act]
    yesterday = time.time() - 90000
    os.utime(act / archive.REFUSED, (yesterday, yesterday))
    assert sae.waiting() == [act.name]
    with pytest.raises(sip.SipError, match="aucun acte"):
        archive.latest_archived(config(act))
    (act / archive.ACCEPTED).write_bytes(b"<reponse/>")
    assert sae.waiting() == []
    assert archive.latest_archived(config(act)) == act.name
