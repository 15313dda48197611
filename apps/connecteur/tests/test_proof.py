"""The proof of a commune, against a platform that answers at once and a journal as the service leaves it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tdt_connector import proof
from tdt_connector.classification import parse
from tdt_connector.description import parse as described
from tdt_connector.driver import Driver
from tdt_connector.errors import Denied, Refused, TdtError, Unreachable
from tdt_connector.journal import Journal, State

from apps.connecteur.tests.folder_tdt import FolderDesk, FolderTdt
from testbed.connector import SIREN, Authority, Commune

NUMBER = "TEST_2601150000"
ASIDE = (State.CHECKED, State.INTENT, State.SENT)


@pytest.fixture
def commune(tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Commune:
    """A commune whose journal has a test act of this number; `_LOOK` is how often the proof looks at it."""
    monkeypatch.setattr(proof, "test_number", lambda now: NUMBER)
    monkeypatch.setattr(proof, "_LOOK", 0.01)
    return Commune(tmp_path / "c", "https://tdt.test", authority)


@pytest.fixture
def driver(tmp_path: Path) -> FolderTdt:
    return FolderTdt(FolderDesk(tmp_path / "tdt").folder, SIREN)


def leave(commune: Commune, *states: State, filed: bool = False, **values: Any) -> None:
    """The test act as the service left it, after states; the values come with the last."""
    with Journal(commune.config.journal) as journal:
        row = journal.add("essai", "acte", [])
        for state in states:
            row = journal.move(row, state, numero=NUMBER, **(values if state is states[-1] else {}))
        journal.note(row, classe=int(filed))


def prove(
    commune: Commune, driver: Driver, production: bool = False, timeout: float = 0.05, version: str = ""
) -> dict[str, dict[str, Any]]:
    """The proofs by key."""
    found = proof.prove(commune.config, driver, production, timeout, version)
    return {one["cle"]: one for one in found["preuves"]} | {"fichiers": found["fichiers"]}


def fails(error: TdtError) -> Callable[..., Any]:
    def call(*_: object) -> None:
        raise error

    return call


def test_an_act_that_is_at_the_tdt_is_cancelled(
    commune: Commune, driver: FolderTdt, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled: list[int] = []
    monkeypatch.setattr(driver, "cancel_act", cancelled.append)
    leave(commune, *ASIDE, transaction_tdt=7)
    act = prove(commune, driver, production=True)["acte"]
    assert (act["verdict"], act["mesures"]["annule"], cancelled) == ("ok", True, [7])
    assert act["libelle"] == "Acte de test enregistré puis annulé"


@pytest.mark.parametrize(
    ("error", "verdict", "words"),
    [
        (Refused("non", "ko"), "ok", "un administrateur peut l'y supprimer"),
        (Unreachable("plus de réseau", "tcp"), "attention", "annulation impossible : plus de réseau"),
    ],
)
def test_an_act_that_is_not_cancelled_is_told(
    commune: Commune, driver: FolderTdt, monkeypatch: pytest.MonkeyPatch, error: TdtError, verdict: str, words: str
) -> None:
    monkeypatch.setattr(driver, "cancel_act", fails(error))
    leave(commune, *ASIDE, transaction_tdt=7)
    act = prove(commune, driver, production=True)["acte"]
    assert (act["verdict"], act["mesures"]["annule"]) == (verdict, False)
    assert words in act["detail"]


@pytest.mark.parametrize(
    ("states", "values"),
    [
        ((*ASIDE, State.TO_RECONCILE), {"transaction_tdt": 7, "detail": "Deux au TdT."}),
        ((State.REJECTED,), {"filed": True, "detail": "Deux au TdT."}),
        ((*ASIDE, State.ERROR), {"transaction_tdt": 7, "filed": True, "detail": "Deux au TdT."}),
    ],
)
@pytest.mark.parametrize("production", [True, False])
def test_an_act_that_went_wrong_proves_nothing_and_is_not_cancelled(
    commune: Commune, driver: FolderTdt, monkeypatch: pytest.MonkeyPatch, states: Any, values: Any, production: bool
) -> None:
    monkeypatch.setattr(driver, "cancel_act", lambda transaction: pytest.fail("it is not at the TdT as it should"))
    leave(commune, *states, **values)
    found = prove(commune, driver, production)
    assert found["acte"]["verdict"] == "echec"
    assert found["acte"]["detail"].startswith(f"l'acte de test est « {states[-1].label} »")
    assert found["acte"]["detail"].endswith("Deux au TdT.")
    assert found["fichiers"] == []


def test_an_acknowledged_act_is_shown_with_its_files_once_it_is_filed(
    commune: Commune, driver: FolderTdt, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = commune.root / "acquittes" / "059-X"

    def file(_seconds: float) -> None:
        folder.mkdir()
        for name in ("ARActe.xml", "resume.json", "autre.txt"):
            (folder / name).write_text("x")
        with Journal(commune.config.journal) as journal:
            journal.note(journal.find(NUMBER)[0], classe=1)

    monkeypatch.setattr(proof, "time", SimpleNamespace(sleep=file, monotonic=time.monotonic))
    leave(commune, *ASIDE, State.ACKNOWLEDGED, idacte="059-X", aracte_le="2026-01-15")
    found = prove(commune, driver, timeout=60)
    assert (found["acte"]["verdict"], found["acte"]["libelle"]) == ("ok", "Acte de test acquitté (ARActe)")
    assert found["acte"]["mesures"]["aracte_le"] == "2026-01-15"
    assert found["fichiers"] == [str(folder / "ARActe.xml"), str(folder / "resume.json")]


def test_an_acknowledgement_without_its_number_is_none(commune: Commune, driver: FolderTdt) -> None:
    leave(commune, *ASIDE, State.ACKNOWLEDGED, filed=True)
    assert prove(commune, driver)["acte"]["verdict"] == "echec"


def test_an_act_on_its_way_is_waited_for(commune: Commune, driver: FolderTdt) -> None:
    leave(commune, *ASIDE, transaction_tdt=7)
    act = prove(commune, driver)["acte"]
    assert (act["verdict"], act["mesures"]["transaction"]) == ("echec", 7)
    assert "« envoyé »" in act["detail"]


def test_a_service_that_takes_nothing_is_told(commune: Commune, driver: FolderTdt) -> None:
    found = prove(commune, driver)
    assert (found["acte"]["verdict"], found["fichiers"]) == ("echec", [])
    assert "systemctl status tdt-connector" in found["acte"]["detail"]


@pytest.mark.parametrize("production", [True, False])
def test_the_test_act_is_one_that_the_nomenclature_takes(commune: Commune, driver: FolderTdt, production: bool) -> None:
    prove(commune, driver, production)
    (written,) = commune.root.glob("depot/*.yml")
    act, known = described(written.read_bytes()), parse(driver.classification())
    nature = known.nature("AU")
    assert nature is not None
    assert (act.number, act.nature, act.matter) == (NUMBER, nature.code, "9.1")
    assert act.type.startswith("99_")
    assert act.type in nature.types
    assert act.on_hold is production
    assert (written.stat().st_mode & 0o777, written.with_suffix(".pdf").stat().st_mode & 0o777) == (0o660, 0o660)


@pytest.mark.parametrize(
    ("logins", "identifier", "verdict", "words"),
    [
        ([], "", "echec", "aucun compte n'est lié au certificat"),
        ([], "martin", "echec", "aucun compte n'est lié au certificat"),
        (["martin"], "", "ok", "« martin »"),
        (["martin", "durand"], "", "echec", "plusieurs comptes : martin, durand"),
        (["martin", "durand"], "durand", "ok", "« durand »"),
    ],
)
def test_the_account_is_told(
    tmp_path: Path,
    authority: Authority,
    driver: FolderTdt,
    monkeypatch: pytest.MonkeyPatch,
    logins: list[str],
    identifier: str,
    verdict: str,
    words: str,
) -> None:
    monkeypatch.setattr(driver, "logins", lambda: logins)
    commune = Commune(tmp_path / "c", "https://tdt.test", authority, identifiant=identifier)
    account = prove(commune, driver)["compte"]
    assert (account["verdict"], account["mesures"]["comptes"]) == (verdict, len(logins))
    assert words in account["detail"]


@pytest.mark.parametrize(("rgs", "verdict"), [(True, "ok"), (False, "echec")])
def test_the_certificate_is_told(
    commune: Commune, driver: FolderTdt, monkeypatch: pytest.MonkeyPatch, rgs: bool, verdict: str
) -> None:
    monkeypatch.setattr(driver, "is_rgs", lambda: rgs)
    assert prove(commune, driver)["rgs"]["verdict"] == verdict


def test_without_a_connection_nothing_is_tried(
    commune: Commune, driver: FolderTdt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "check_connection", fails(Unreachable("personne", "tcp")))
    found = prove(commune, driver)
    assert {key: one["verdict"] for key, one in found.items() if one} == {"connexion": "echec", "acte": "echec"}
    assert not list(commune.root.glob("depot/*"))


@pytest.mark.parametrize("content", [b"pas de XML", None])
def test_without_a_nomenclature_no_act_is_tried(
    commune: Commune, driver: FolderTdt, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    answer = fails(Denied("fermé", "compte")) if content is None else lambda: content
    monkeypatch.setattr(driver, "classification", answer)
    found = prove(commune, driver)
    verdicts = {key: one["verdict"] for key, one in found.items() if one}
    assert verdicts == {"connexion": "ok", "compte": "ok", "rgs": "ok", "classification": "echec", "acte": "echec"}
    assert not list(commune.root.glob("depot/*"))


def test_the_number_is_one_a_second() -> None:
    monday = datetime(2026, 1, 5, 23, 59, 59)
    assert proof.test_number(monday) == "TEST_2601051UNZ"
    assert proof.test_number(monday.replace(hour=0, minute=0, second=37)) == "TEST_2601050011"
    assert proof.test_number(monday.replace(hour=1, minute=1, second=0)) == "TEST_26010502TO"
