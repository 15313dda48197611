"""What was eliminated and is deposited again: another archive, with all that an archive has."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sae import inventory
from sae.elimination import Eliminator, Requests
from sae.fixity import GOOD, Checker, Plan, State
from sae.store import FileStore, StoreUnavailableError
from sae.versement.spool import AnswerPendingError

from testbed.sae import FILES, GONDECOURT, LOOS, FakeClamd, Gateway, bag, manifest, sip, tar, zipped

SHORT = replace(GONDECOURT, dua_min=0)
FIELDS: dict[str, Any] = {"rule": "COURTE-1", "start": "1990-01-01", "action": "Destroy"}
ENTRIES = {"manifest.xml": manifest(**FIELDS), **FILES}
BAG = bag(Regle_DUA="COURTE-1", Date_Debut_DUA="1990-01-01")


@pytest.fixture
def gateway(tmp_path: Path, clamd: FakeClamd) -> Gateway:
    """A gateway whose first account may eliminate at once."""
    return Gateway(tmp_path, accounts={one.name: one for one in (SHORT, LOOS)})


def eliminate(gateway: Gateway, aip: str, until: str = "") -> None:
    """As `sae-elimination` does it, up to a step."""
    steps: dict[str, Callable[[], object]] = {
        "debut": lambda: note(gateway, "elimination.debut", aip),
        "supprimee": lambda: gateway.store.delete("gondecourt", "aip", f"{aip}.tar"),
        "faite": lambda: note(gateway, "elimination.faite", aip),
        "oubliee": lambda: gateway.registry.forget(aip),
    }
    for name, step in steps.items():
        step()
        if name == until:
            return


def note(gateway: Gateway, event: str, aip: str) -> None:
    gateway.journal.append(event, account="gondecourt", aip=aip, outcome="succes", detail={}, key=f"{event}:{aip}")


def eliminable(gateway: Gateway) -> list[str]:
    book = Requests(gateway.root / "eliminations.sqlite")
    nobody: Any = None
    found = Eliminator(gateway.journal, gateway.store, book, nobody, nobody, nobody).due("gondecourt")
    book.close()
    return [one.aip for one in found]


def judged(gateway: Gateway) -> dict[str, str]:
    """What fixity says of each archive, two days later."""
    state = State(gateway.root / "fixite.sqlite")
    clock = [time.time()]
    for _ in range(2):
        Checker([("stockage", gateway.store)], gateway.journal, state, Plan(("gondecourt",)), lambda: clock[0]).run(
            True
        )
        clock[0] += 2 * 86400
    found = {row["nom"]: row["resultat"] for row in state.rows("SELECT * FROM objet WHERE conteneur = 'aip'")}
    state.close()
    return found


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (tar(ENTRIES), tar(ENTRIES)),
        (tar(ENTRIES), zipped(ENTRIES)),
        (zipped(ENTRIES), tar(dict(reversed(ENTRIES.items())))),
        (tar(BAG), tar(BAG)),
        (tar(BAG), zipped(BAG)),
    ],
    ids=["same bytes", "another container", "another order", "same bag", "bag in another container"],
)
@pytest.mark.parametrize("until", ["oubliee", "faite"])  # the registry may not have been told
def test_what_was_eliminated_is_another_archive(gateway: Gateway, first: bytes, second: bytes, until: str) -> None:
    aips = [gateway.deposit(first, SHORT).aip or ""]
    for _ in range(2):
        eliminate(gateway, aips[-1], until)
        answer = gateway.deposit(second, SHORT)
        assert answer.accepted, answer.reasons
        assert answer.aip not in aips
        aips.append(answer.aip or "")
        assert gateway.stored() == [f"{answer.aip}.tar"]
        assert gateway.registry.usage()["gondecourt"][0] == 1
        assert gateway.deposit(second, SHORT) == answer  # and the same again is the same
        assert gateway.deposit(first, SHORT).content == answer.content
        assert gateway.registry.last_answer("gondecourt", answer.message) == answer
    known = inventory.find(gateway.journal, aips[-1])
    assert known is not None and eliminable(gateway) == [aips[-1]]
    assert judged(gateway) == {f"{aips[-1]}.tar": GOOD}
    assert gateway.accepted_events() == 3


def test_another_content_under_an_eliminated_identifier_is_taken(gateway: Gateway) -> None:
    eliminate(gateway, gateway.deposit(tar(ENTRIES), SHORT).aip or "")
    files = {"content/autre.pdf": FILES["content/acte.pdf"] + b"\n"}
    assert gateway.deposit(sip(files, **FIELDS), SHORT).accepted
    assert "un autre contenu demande un autre identifiant" in gateway.refused(tar(ENTRIES), "IDENTIFIANT", SHORT)


@pytest.mark.parametrize("until", ["debut", "supprimee"])
@pytest.mark.parametrize("package", [tar(ENTRIES), zipped(ENTRIES)], ids=["same bytes", "another container"])
def test_what_is_being_eliminated_waits(gateway: Gateway, until: str, package: bytes) -> None:
    aip = gateway.deposit(tar(ENTRIES), SHORT).aip or ""
    eliminate(gateway, aip, until)
    answer = gateway.deposit(package, SHORT)
    assert not answer.accepted and answer.temporary
    assert "en cours d'élimination" in answer.reasons[0]
    if until == "debut":
        gateway.store.delete("gondecourt", "aip", f"{aip}.tar")
    note(gateway, "elimination.faite", aip)
    gateway.registry.forget(aip)
    again = gateway.deposit(package, SHORT)
    assert again.accepted and again.aip != aip


def test_nothing_of_an_eliminated_archive_is_answered(gateway: Gateway) -> None:
    answer = gateway.deposit(tar(ENTRIES), SHORT)
    eliminate(gateway, answer.aip or "")
    assert gateway.registry.last_answer("gondecourt", answer.message) is None
    assert gateway.registry.answer(answer.versement) is None


def test_an_interrupted_deposit_keeps_its_new_identifier(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    first = gateway.deposit(tar(ENTRIES), SHORT).aip or ""
    eliminate(gateway, first)
    with monkeypatch.context() as patch:

        def away(*_: object, **__: object) -> None:
            raise StoreUnavailableError("le stockage ne répond pas")

        patch.setattr(FileStore, "put", away)
        with pytest.raises(AnswerPendingError):
            gateway.deposit(tar(ENTRIES), SHORT)
    assert [outcome for _, outcome in gateway.engine.resume()] == ["OK"]
    answer = gateway.deposit(tar(ENTRIES), SHORT)
    assert answer.accepted and gateway.stored() == [f"{answer.aip}.tar"] != [f"{first}.tar"]
