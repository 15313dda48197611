"""What every driver keeps to, whatever its platform: the same acts, flows and letters, through each of them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha1
from pathlib import Path
from typing import Protocol

import pytest
import yaml
from tdt_connector import doctor, metrics
from tdt_connector.checks import Submission
from tdt_connector.classification import parse
from tdt_connector.config import load
from tdt_connector.driver import Answer, Driver, RemoteState
from tdt_connector.drivers import DRIVERS, connect
from tdt_connector.errors import Duplicate, Refused, Uncertain
from tdt_connector.journal import Journal, State
from tdt_connector.proof import test_pdf as make_pdf
from tdt_simulator.testing import TdtServer

from apps.connecteur.tests.folder_tdt import FolderDesk, FolderTdt
from creatic.registry.groupement import COMMUNE_SCHEMA
from testbed.connector import FAST, SIREN, Authority, Commune, platform
from testbed.patience import wait_for

ROLE = Path(__file__).parents[3] / "roles" / "tdt_connector"
IDACTE = f"059-{SIREN}-20260115-2026_001-DE"


class Desk(Protocol):
    """The other side of a platform: the préfecture, which a test makes speak or keep silent."""

    silent: bool

    def work(self, _step: str = "") -> None:
        """Answer what waits; heard at each step of the agent."""

    def refuse(self, transaction: int, reason: str) -> None:
        """Refuse an act."""

    def write(self, transaction: int, reason: str) -> None:
        """Write a letter about an act."""


class SimulatorDesk:
    """The simulator's: it answers by itself unless it is told not to."""

    def __init__(self, tdt: TdtServer) -> None:
        self._tdt = tdt

    @property
    def silent(self) -> bool:
        return bool(self._tdt.store.faults())

    @silent.setter
    def silent(self, wanted: bool) -> None:
        if wanted:
            self._tdt.fault("bloque3")

    def work(self, _step: str = "") -> None: ...

    def refuse(self, transaction: int, reason: str) -> None:
        self._tdt.store.force(transaction, 6, reason)

    def write(self, transaction: int, reason: str) -> None:
        self._tdt.letter(transaction, "observations", reason)


@pytest.fixture(params=[*DRIVERS, "dossier"])
def both(
    request: pytest.FixtureRequest, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Commune, Desk]]:
    """A commune and its platform's other side, for each platform of the table and for one more, registered in it."""
    monkeypatch.setitem(DRIVERS, "dossier", FolderTdt)
    if request.param == "dossier":
        desk = FolderDesk(tmp_path / "tdt")
        yield Commune(tmp_path / "c", f"https://localhost{desk.folder}", authority, tdt="dossier"), desk
        return
    with platform(tmp_path / "tdt", authority) as server:
        yield Commune(tmp_path / "c", server.url, authority, tdt=request.param), SimulatorDesk(server)


@pytest.fixture
def commune(both: tuple[Commune, Desk]) -> Commune:
    return both[0]


@pytest.fixture
def desk(both: tuple[Commune, Desk]) -> Desk:
    return both[1]


@pytest.fixture
def driver(commune: Commune) -> Iterator[Driver]:
    made = connect(commune.config)
    yield made
    made.close()


def sent(commune: Commune, driver: Driver, desk: Desk) -> int:
    """An act that the préfecture has and does not acknowledge; its transaction."""
    commune.introduce()
    desk.silent = True
    commune.drop()
    commune.run(until=lambda: any(row.remote_status == driver.transmitted for row in commune.rows()), on_step=desk.work)
    return commune.row().transaction or 0


def test_a_platform_says_who_we_are_and_what_the_prefecture_takes(driver: Driver) -> None:
    assert driver.platform
    assert driver.server_date is None
    driver.check_connection()
    assert driver.server_date is not None
    assert driver.logins() == [SIREN]
    assert driver.is_rgs()
    assert parse(driver.classification()).natures
    driver.close()
    driver.check_connection()


def test_an_act_comes_back_with_its_aracte(commune: Commune, desk: Desk, driver: Driver) -> None:
    commune.drop()
    commune.run(on_step=desk.work)
    row = commune.row()
    assert (row.state, row.idacte) == (State.ACKNOWLEDGED, IDACTE)
    kept = {path.name for path in (commune.root / "acquittes" / IDACTE).iterdir()}
    assert kept == {
        "2026_001.pdf",
        "2026_001.yml",
        "ARActe.xml",
        "acte-tamponne.pdf",
        "bordereau.pdf",
        "resume.json",
    }
    status = driver.act_status(row.transaction or 0)
    assert (status.state, IDACTE.encode() in status.receipt) == (RemoteState.ACKNOWLEDGED, True)


def test_an_act_that_waits_for_its_aracte_is_watched(commune: Commune, desk: Desk, driver: Driver) -> None:
    transaction = sent(commune, driver, desk)
    status = driver.act_status(transaction)
    assert (status.code, status.state) == (driver.transmitted, RemoteState.TRANSMITTED)
    with Journal(commune.config.journal) as journal:
        journal.note(commune.row(), statut_depuis=time.time() - 3 * 86400)
        text = metrics.render(commune.config, journal)
    assert float(text.split("tdt_connector_oldest_transmitted_seconds ")[-1].split()[0]) >= 3 * 86400
    found = {one.cle: one for one in doctor._journal(commune.config)}
    assert f"2026_001 (transaction {transaction}" in found["statut3"].detail


def test_a_refusal_of_the_prefecture_ends_the_act(commune: Commune, desk: Desk, driver: Driver) -> None:
    desk.refuse(sent(commune, driver, desk), "Document illisible")
    commune.run()
    assert commune.row().state is State.REFUSED
    with Journal(commune.config.journal) as journal:
        text = metrics.render(commune.config, journal)
    assert 'tdt_connector_refused{par="prefecture"} 1' in text and 'tdt_connector_refused{par="dgfip"} 0' in text
    assert "Refusé par la préfecture" in commune.motive()


def test_a_number_serves_once_and_its_act_can_be_looked_at(commune: Commune, desk: Desk, driver: Driver) -> None:
    transaction = sent(commune, driver, desk)
    act, folder = Submission.from_dict(commune.row().act or {}), commune.root / "en_cours" / commune.row().ref
    with pytest.raises(Duplicate):
        driver.submit_act(act, folder)
    [listed] = driver.find_acts(act.number)
    assert (listed.transaction, listed.number, listed.date[:10]) == (transaction, act.number, act.date)
    assert listed.subject == act.subject
    assert driver.act_original(transaction) in (None, (folder / act.file).read_bytes())
    assert driver.find_acts("2026_002") == []
    with pytest.raises(Refused):
        driver.cancel_act(transaction)


def test_an_act_whose_answer_is_lost_is_found_again(
    commune: Commune, desk: Desk, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, lost = type(driver).submit_act, list[int]()

    def lose(one: Driver, act: Submission, folder: Path) -> int:
        lost.append(real(one, act, folder))
        raise Uncertain("la réponse s'est perdue.", "coupure")

    monkeypatch.setattr(type(driver), "submit_act", lose)
    commune.drop()
    commune.run(on_step=desk.work)
    assert (commune.row().state, [commune.row().transaction]) == (State.ACKNOWLEDGED, lost)


def test_an_act_on_hold_is_cancelled(commune: Commune, desk: Desk, driver: Driver) -> None:
    commune.drop(en_attente="oui")
    commune.run(until=lambda: any(row.remote_status for row in commune.rows()), on_step=desk.work)
    transaction = commune.row().transaction or 0
    assert driver.act_status(transaction).state is RemoteState.HELD
    driver.cancel_act(transaction)
    commune.run(on_step=desk.work)
    assert commune.row().state is State.CANCELLED


def test_a_flow_comes_back_with_its_acquit(commune: Commune, desk: Desk, driver: Driver) -> None:
    content = commune.drop_pes()
    commune.run(on_step=desk.work)
    (row,) = commune.rows()
    assert row.state is State.ACKNOWLEDGED
    folder = commune.root / "acquittes" / f"PES-{row.transaction}-flux"
    assert {path.name for path in folder.iterdir()} == {"flux.xml", "acquittement.xml", "resume.json"}
    assert driver.find_pes(sha1(content, usedforsecurity=False).hexdigest()) == [row.transaction]
    assert driver.find_pes("0" * 40) == []
    with pytest.raises(Duplicate):
        driver.submit_pes(folder / "flux.xml")


def test_a_letter_is_received_once(commune: Commune, desk: Desk, driver: Driver) -> None:
    commune.config = replace(commune.config, delais=replace(FAST, reception=0.1))
    commune.drop()
    commune.run(on_step=desk.work)
    desk.write(commune.row().transaction or 0, "Motif à préciser")
    commune.run(until=lambda: bool(commune.folder("lettres")), on_step=desk.work)
    [listed] = driver.incoming()
    assert (listed.letter, listed.about) == ("observations", commune.row().transaction)
    commune.take_letters()
    commune.run(until=lambda: not driver.incoming(), on_step=desk.work)
    (letter,) = commune.folder("lettres")
    assert "lettre-d-observations" in letter.name
    assert any(path.suffix == ".pdf" for path in letter.iterdir())


def test_an_answer_to_a_letter_comes_back_with_its_receipt(
    commune: Commune, desk: Desk, driver: Driver, tmp_path: Path
) -> None:
    commune.drop()
    commune.run(on_step=desk.work)
    about = commune.row().transaction or 0
    desk.write(about, "Motif à préciser")
    [letter] = driver.incoming()
    document = tmp_path / "reponse.pdf"
    document.write_bytes(make_pdf("Réponse", "1"))
    answer = Answer(letter.id, letter.letter, "refus", (document,))
    assert driver.find_answer(answer, about, []) is None
    transaction = driver.answer(answer)
    assert driver.find_answer(answer, about, []) == transaction

    def receipted() -> bool:
        desk.work()
        return driver.answer_status(transaction).state is RemoteState.ACKNOWLEDGED

    wait_for(receipted, "l'accusé de la réponse", 30, every=0.05)
    assert b"ARReponseRejetLettreObservations" in driver.answer_status(transaction).receipt


# -- the table ----------------------------------------------------------------------------------------------


def test_the_table_is_that_of_the_commune_file_and_of_the_role() -> None:
    """A driver that one of them lacks cannot be chosen, or stops the agent once chosen."""
    schema = json.loads(COMMUNE_SCHEMA.read_text())["properties"]["connecteur"]["properties"]["tdt"]
    options = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    assert sorted(DRIVERS) == sorted(schema["enum"]) == sorted(options["tdt_connector_driver"]["choices"])


def test_a_registered_platform_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.yml"
    path.write_text(f'tdt: dossier\nurl: https://localhost/tdt\nsiren: "{SIREN}"\ndepartement: "059"\n')
    monkeypatch.setitem(DRIVERS, "dossier", FolderTdt)
    assert isinstance(connect(load(path, DRIVERS)), FolderTdt)
