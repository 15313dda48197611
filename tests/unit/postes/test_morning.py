"""Clerks' PCs in the morning: what is told of tokens, of requests, and of renewals."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from creatic.fleet.signing import FleetError
from creatic.morning import postes
from creatic.morning.screen import Finding, Morning
from creatic.postes.door import whole
from creatic.postes.enrolment import last_told
from creatic_agent.enrolment import Refused
from tests.unit.postes.test_enrolment import NAME, SLUG, Bench, bench, p256, renews

__all__ = ["bench"]
OWNERS = {NAME: "gondecourt"}


def morning(bench: Bench, statement: Any, owners: dict[str, str] | None = None) -> list[Finding]:
    found = Morning(bench.now(), communes={}, since="")
    postes.add(found, OWNERS if owners is None else owners, statement, bench.authority.listing())
    return found.findings


def statement(bench: Bench) -> Any:
    return whole(bench.door.statement, last_told(bench.home))


def test_a_token_used_twice_is_told_until_a_technician_was(bench: Bench) -> None:
    token, _certificate = bench.enrolled()
    assert morning(bench, statement(bench)) == []
    with pytest.raises(Refused):
        bench.asks(token, p256())
    [told] = morning(bench, statement(bench))
    assert (told.watched, told.commune, told.machine, told.fix) == (False, "gondecourt", NAME, "fab poste.certifier")
    assert "a déjà servi" in told.text and "192.0.2.1" in told.text
    with pytest.raises(Refused):
        bench.asks("A" * 52, p256())
    assert [one.text for one in morning(bench, statement(bench)) if one.watched] == [
        "porte d'enrôlement : 1 essai refusé, d'aucun poste"
    ]
    assert len(bench.enrolment.certify().misuses) == 2
    assert morning(bench, statement(bench)) == []


def test_strangers_hide_no_misuse_of_a_pc_s_token(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred of theirs, of one site of IPv6 in an hour, were all that a morning and a command read."""
    monkeypatch.setattr("creatic_enrolement.store._TOLD", 3)
    token, _certificate = bench.enrolled()
    sent = {"jeton": "A" * 52, "poste": NAME, "nom": "pc", "certificat": SLUG, "csr": "", "preuve": ""}
    for rank in range(7):
        with pytest.raises(Refused):
            bench.door.store.ask(sent, f"192.0.2.{rank}", bench.now())
    with pytest.raises(Refused):
        bench.asks(token, p256())
    told = morning(bench, statement(bench))
    assert [one.machine for one in told if not one.watched] == [NAME]
    assert "7 essais refusés" in next(one.text for one in told if one.watched)
    misuses = bench.enrolment.certify().misuses
    assert len(misuses) == 8 and NAME in misuses[-1]
    assert morning(bench, statement(bench)) == [] and bench.enrolment.certify().misuses == []


def test_a_door_that_came_back_from_a_backup_has_its_misuses_told(bench: Bench) -> None:
    with pytest.raises(Refused):
        bench.asks("A" * 52, p256())
    [one] = morning(bench, whole(bench.door.statement, 9))
    assert "1 essai refusé" in one.text


@pytest.mark.parametrize("told", [[], {}, {"dernier": "x"}, {"dernier": 9, "mesusages": [{}]}])
def test_a_door_that_says_something_else_has_no_statement(told: Any) -> None:
    with pytest.raises(FleetError, match="autre chose que son relevé"):
        whole(lambda _after: told, 0)


def test_a_door_that_never_ends_ends_the_morning(bench: Bench) -> None:
    told = {**bench.door.statement(0), "dernier": 10**9, "mesusages": [{"id": 1, "poste": "x"}]}
    [one] = morning(bench, whole(lambda _after: told, 0))
    assert one.machine == "guichet"


def test_what_waits_is_told(bench: Bench) -> None:
    token, _end = bench.enrolment.token(NAME)
    bench.asks(token, p256())
    [told] = morning(bench, statement(bench))
    assert told.watched and told.text == "1 demande de certificat de poste en attente"


def test_a_renewal_is_told_thirty_days_with_its_step(bench: Bench) -> None:
    key = p256()
    _token, certificate = bench.enrolled(key)
    assert morning(bench, None) == []
    bench.shift = dt.timedelta(days=300)
    renews(bench, certificate, key, p256())
    bench.enrolment.certify()
    bench.shift = dt.timedelta()  # the authority dates by its own clock
    [told] = morning(bench, None)
    assert (told.watched, told.machine) == (True, NAME)
    assert "S²LOW doit connaître" in told.text and "Un certificat renouvelé" in told.fix
    assert morning(bench, None, {}) == [], "who left the inventory is told nothing of"
    bench.shift = dt.timedelta(days=31)
    assert morning(bench, None) == []


@pytest.mark.parametrize("told", [{}, {"mesusages": [{}], "demandes": []}, {"mesusages": []}, []])
def test_a_door_that_says_something_else_is_told(bench: Bench, told: Any) -> None:
    with pytest.raises(FleetError, match="autre chose que son relevé"):
        morning(bench, told)
