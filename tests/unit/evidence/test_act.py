"""The ARActe of the test act, read on the control node: of this act, this commune, this day."""

from __future__ import annotations

import datetime as dt
import hashlib
from base64 import b64encode
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible_collections.cdg59.creatic.plugins.action import proof as action
from ansible_collections.cdg59.creatic.plugins.module_utils.words import now
from tdt_simulator import messages
from tdt_simulator.config import Authority

from creatic.evidence.act import receipt_fault

SIREN = "215902669"
TODAY = dt.date(2026, 11, 25)


def sent(day: dt.date = TODAY, number: str = "TEST_1", siren: str = SIREN) -> tuple[dict[str, str], bytes]:
    """What the machine says of its act, and the receipt that the simulated préfecture gives."""
    act = messages.Acte(number, 3, "AU", "Acte de test é", day, "9.1", day, False, "x.pdf")
    identifier = messages.acte_id(Authority(siren, "Gondecourt", "059", "5"), number, "AU", day)
    return {"numero": number, "idacte": identifier}, messages.receipt(act, identifier, day, day)


def test_the_receipt_of_the_act_is_good_on_its_day_and_beside_midnight() -> None:
    told, receipt = sent()
    for days in (-1, 0, 1):
        assert receipt_fault(told, receipt, SIREN, TODAY + dt.timedelta(days)) == ""


@pytest.mark.parametrize(
    ("told", "old", "new", "words"),
    [
        ({}, "", "", "autre acte"),
        ({"numero": "TEST_2"}, "", "", "autre acte"),
        ({"idacte": "059-215902669-20261125-TEST_2-AU"}, "", "", "autre acte"),
        ({"idacte": ["x"]}, "", "", "autre acte"),
        (None, 'NumeroInterne="TEST_1"', 'NumeroInterne="TEST_2"', "autre acte"),
        (None, "ActeRecu", "AutreActe", "autre acte"),
        (None, SIREN, "215900507", "autre commune"),
        (None, "ARActe", "AnomalieActe", "n'est pas un ARActe"),
        (None, "http://www.interieur.gouv.fr/ACTES", "http://exemple/ACTES", "n'est pas un ARActe"),
        (None, "IDActe=", "Autre=", "n'est pas un ARActe"),
        (None, 'DateReception="2026-11-25"', 'DateReception="2026-11-25+1"', "date valide"),
        (None, 'DateReception="2026-11-25"', 'DateReception="hier"', "date valide"),
        (None, 'DateReception="2026-11-25"', 'DateReception="2025-11-25"', "pas de ce passage"),
        (None, 'actes:Date="2026-11-25"', 'actes:Date="2026-11-24"', "pas de ce passage"),
        (None, 'DateReception="2026-11-25"', 'DateReception="2026-W48-3"', "date valide"),
        (None, 'DateReception="2026-11-25"', 'DateReception="20261125"', "date valide"),
        (None, "</actes:ARActe>", '<actes:ActeRecu actes:NumeroInterne="2026_1"/></actes:ARActe>', "autre acte"),
        (None, "<actes:ARActe", "<!DOCTYPE x><actes:ARActe", "n'est pas un ARActe"),
        (None, "</actes:ARActe>", "", "XML lisible"),
    ],
)
def test_any_other_receipt_is_told(told: dict[str, Any] | None, old: str, new: str, words: str) -> None:
    good, receipt = sent()
    text = receipt.decode("latin-1").replace(old, new) if old else receipt.decode("latin-1")
    measures = good if told is None else good | told if told else {}
    assert words in receipt_fault(measures, text.encode("latin-1"), SIREN, TODAY)


@pytest.mark.parametrize("zone", ["Z", "+01:00"])
def test_the_date_of_a_receipt_may_say_its_time_zone(zone: str) -> None:
    good, receipt = sent()
    text = receipt.decode("latin-1").replace('DateReception="2026-11-25"', f'DateReception="2026-11-25{zone}"')
    assert zone in text and receipt_fault(good, text.encode("latin-1"), SIREN, TODAY) == ""


def test_the_receipt_of_an_act_of_the_commune_proves_no_test() -> None:
    told, receipt = sent(number="2026_12")
    assert "pas d'un acte de test" in receipt_fault(told, receipt, SIREN, TODAY)


def test_an_old_receipt_and_none_are_told() -> None:
    told, receipt = sent(dt.date(2026, 11, 20))
    assert "pas de ce passage (acte du 20/11/2026" in receipt_fault(told, receipt, SIREN, TODAY)
    assert "n'est pas joint" in receipt_fault(told, None, SIREN, TODAY)


def proved(
    folder: Path, monkeypatch: pytest.MonkeyPatch, argv: list[str], verdict: str, files: list[Any], told: Any
) -> Any:
    """The result of a proof of the connector of Gondecourt."""
    monkeypatch.setenv(action.RUN_FOLDER, str(folder))
    act = {"cle": "acte", "libelle": "Acte", "verdict": verdict, "detail": "vu", "mesures": told}
    answer = {"creatic_proof": {"preuves": [act], "fichiers": files, "certificats": []}}
    monkeypatch.setattr(action.ActionModule, "_execute_module", lambda _self, **_sent: answer)
    task = MagicMock(args={"argv": argv, "required": ["acte"]}, async_val=0)
    made = action.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    return made.run(None, {"inventory_hostname": "c", "creatic_commune": {"slug": "gondecourt", "siren": SIREN}})


def file(content: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    return {"nom": "ARActe.xml", "sha256": digest, "octets": len(content), "contenu": b64encode(content).decode()}


def test_a_machine_is_ready_with_the_receipt_of_its_act_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told, receipt = sent(now().date())
    lab = ["tdt-connector", "proof"]
    good = proved(tmp_path, monkeypatch, lab, "ok", [file(receipt)], told)
    assert "failed" not in good and good["creatic_proof"]["refus"] == []
    other, stranger = sent(now().date(), siren="215900507")
    bad: list[tuple[Any, ...]] = [("ok", [], told), ("attention", [file(stranger)], other), ("ok", [file(receipt)], {})]
    for given in bad:
        result = proved(tmp_path, monkeypatch, lab, *given)
        assert result["failed"] is True
        assert len(result["creatic_proof"]["refus"]) == 1
        assert "ARActe.xml" in result["msg"]


def test_in_production_there_is_no_receipt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = proved(tmp_path, monkeypatch, ["tdt-connector", "proof", "--production"], "ok", [], {"numero": "x"})
    assert "failed" not in result


def test_an_act_that_failed_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = proved(tmp_path, monkeypatch, ["x"], "echec", [], {})
    assert result["msg"] == "Acte : vu"
