"""The copies of what was eliminated: told to their commune alone, said gone by it, attested once all are."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sae import copies, elimination
from sae.config import Config
from sae.copies import InvalidReportError
from sae.elimination import OperationRefusedError, verify_copies

from apps.sae.tests.proof.commune import ACCOUNTS, REFERENCE, SIREN, keep, package
from apps.sae.tests.proof.test_elimination import PAST, Authority, Room, authority, room  # noqa: F401 - fixtures
from creatic_agent import attestation
from creatic_agent.attestation import Unproven

CONNECTED = {name: replace(one, depositors=(f"Connecteur - {one.label}",)) for name, one in ACCOUNTS.items()}
GONE: dict[str, Any] = {"connecteur": {"etat": "supprime", "nombre": 1}, "ged": {"etat": "absent"}}
LATER: dict[str, Any] = GONE | {"ged": {"etat": "attente", "detail": "la GED ne répond pas"}}


class Chain:
    """A room whose accounts have connectors, where two archives were eliminated and a third is asked for."""

    def __init__(self, room: Room) -> None:  # noqa: F811 - given the fixture's
        self.room = room
        self.eliminator = room.eliminator()
        self.eliminator.accounts = CONNECTED
        self.copies = self.eliminator.copies
        self.request = self.eliminate("a", "b")
        room.keep("c")
        self.planned = json.loads(room.asked("c")[0])["demande"]

    def eliminate(self, *aips: str) -> str:
        for aip in aips:
            self.room.keep(aip)
        _, approval = self.room.asked(*aips)
        identifier = self.eliminator.approve(approval, self.room.sign(approval, "Bruno Petit"))
        self.eliminator.execute(identifier)
        return identifier

    def say(self, aip: str, places: dict[str, Any], account: str = "gondecourt") -> str:
        return self.copies.report(self.room.journal, account, aip, {"demande": self.request, "lieux": places})

    def noted(self) -> list[tuple[str | None, bool]]:
        events = [one for one in self.room.journal.events() if one.event == "elimination.copies"]
        return [(one.aip, one.detail["revenues"]) for one in events]


@pytest.fixture
def chain(room: Room) -> Iterator[Chain]:  # noqa: F811 - a fixture
    yield Chain(room)


def test_a_commune_hears_of_its_own_eliminations_and_of_no_other(chain: Chain) -> None:
    found = chain.copies.eliminated("gondecourt")
    assert [(one.aip, one.message, one.request, one.copies) for one in found] == [
        ("a", "acte a", chain.request, ""),
        ("b", "acte b", chain.request, ""),
    ]
    assert [one.aip for one in chain.copies.eliminated("gondecourt", found[0].rank)] == ["b"]
    assert chain.copies.eliminated("seclin") == []
    # Before anything goes, who wants to look sees what would.
    assert [(one.aip, one.request, one.rank) for one in chain.copies.planned("gondecourt")] == [("c", chain.planned, 0)]
    assert chain.copies.planned("seclin") == []


def test_copies_are_attested_once_all_of_them_are_gone(chain: Chain) -> None:
    attestation = json.loads(chain.eliminator.book.rows("SELECT attestation FROM demande")[0]["attestation"])
    assert "copies-….json" in attestation["copies"] and "serveur de sauvegarde" in attestation["copies"]
    assert chain.say("a", LATER) == "attente"
    assert chain.say("b", GONE) == "supprime"
    assert chain.eliminator.certify_copies() == []
    [(waits, said)] = chain.copies.list_waiting(CONNECTED)[chain.request]
    assert (waits.aip, said["ged"]["detail"]) == ("a", "la GED ne répond pas")
    assert chain.say("a", GONE) == "supprime"
    assert chain.copies.list_waiting(CONNECTED) == {}
    assert chain.eliminator.certify_copies() == [chain.request]
    assert chain.eliminator.certify_copies() == []
    store, name = chain.room.store, f"copies-{chain.request}.json"
    parts = []
    for suffix in ("", ".p7s", ".tsr"):
        with store.get("sae", elimination.CONTAINER, name + suffix) as stream:
            parts.append(stream.read())
    text, signature, token = parts
    found = verify_copies(text, signature, token, chain.room.authority.root)
    assert [(one["aip"], one["lieux"]["connecteur"]["nombre"]) for one in found["archives"]] == [("a", 1), ("b", 1)]
    told = " ".join(one["quoi"] for one in found["restent"])  # it does not say that nothing is left anywhere
    assert "l'acte publié" in told and "registre" in told and "préfecture" in told
    assert all(one["pourquoi"] for one in found["restent"])
    with pytest.raises(OperationRefusedError):
        verify_copies(text.replace(b"supprime", b"conserve"), signature, token, chain.room.authority.root)


def test_a_crash_while_it_is_attested_is_taken_up(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    for aip in "ab":
        chain.say(aip, GONE)
    put, calls = chain.room.store.put, []

    def dies(*given: Any, **more: Any) -> None:
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        put(*given, **more)

    monkeypatch.setattr(chain.room.store, "put", dies)
    with pytest.raises(KeyboardInterrupt):
        chain.eliminator.certify_copies()
    assert chain.eliminator.certify_copies() == [chain.request]
    events = [one for one in chain.room.journal.events() if one.event == "elimination.attestation_copies"]
    assert len(events) == 1


def test_what_came_back_and_went_again_is_noted_and_nothing_else(chain: Chain) -> None:
    for _turn in range(2):
        chain.say("a", GONE)
    assert chain.say("a", LATER) == "supprime"  # what was said gone stays so
    assert chain.say("a", {"connecteur": {"etat": "absent"}}) == "supprime"
    assert chain.noted() == [("a", False)]
    again = {"connecteur": {"etat": "absent"}, "ged": {"etat": "supprime", "nombre": 2}}
    for _turn in range(2):
        assert chain.say("a", again) == "supprime"
    assert chain.noted() == [("a", False), ("a", True)]


def test_a_connector_that_has_copies_come_back_without_end_fills_no_journal(chain: Chain) -> None:
    chain.say("a", GONE)
    for rank in range(20):
        again = {"connecteur": {"etat": "absent"}, "ged": {"etat": "supprime", "nombre": rank + 1}}
        assert chain.say("a", again) == "supprime"
    assert chain.noted() == [("a", False)] + [("a", True)] * 5
    chain.say("b", GONE)  # of another archive, it is heard
    assert chain.noted()[-1] == ("b", False)


def test_each_archive_is_attested_by_the_digests_of_what_it_held(chain: Chain) -> None:
    """Who deletes a copy believes nothing else; what is only asked for, or was transferred, has no attestation."""
    place, files = chain.room, {"content/acte.pdf": b"%PDF-1.7 l'acte", "content/ARActe.xml": b"<ARActe/>"}
    keep(place.journal, place.store, "e", package("e", files), PAST, "Destroy")
    keep(place.journal, place.store, "f", package("f", files) + b"\0", PAST, "Destroy")
    spoilt = next((place.folder / "stockage" / "gondecourt" / "aip").glob("f.tar*"))
    spoilt.write_bytes(spoilt.read_bytes()[:-1] + b"\1")
    chain.eliminate("d")  # keeps what it eliminates; those above are there
    _, approval = place.asked("e", "f")
    request = chain.eliminator.approve(approval, place.sign(approval, "Bruno Petit"))
    chain.eliminator.execute(request)
    crl = place.authority.revoke()
    found = {one.aip: one for one in chain.copies.eliminated("gondecourt")}
    said = {
        aip: attestation.check(one.to_dict()["attestation"], place.authority.root, crl) for aip, one in found.items()
    }
    one = said["e"]
    told = (one.siren, one.archive, one.request, one.message, one.visa)
    assert told == (SIREN, "e", request, "acte e", REFERENCE)
    assert one.digests == {hashlib.sha256(content).hexdigest() for content in files.values()}
    # One that cannot be read as the journal knows it is gone all the same, and lets no copy follow.
    assert said["f"].digests == frozenset() and said["a"].request == chain.request
    assert [one.word for one in chain.copies.planned("gondecourt")] == [None]
    with pytest.raises(Unproven, match="modifié"):
        word = {**(found["e"].word or {})}
        attestation.check(word | {"texte": word["texte"].replace(SIREN, "215905605")}, place.authority.root, crl)
    rows = chain.eliminator.book.rows("SELECT texte FROM mot WHERE aip = 'e'")
    assert len(rows) == 1 and json.loads(rows[0]["texte"])["document"] == attestation.KIND


def test_an_elimination_cut_before_its_attestations_gives_them(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """The digests were noted before the archive went."""
    place, files = chain.room, {"content/acte.pdf": b"%PDF-1.7 l'acte"}
    keep(place.journal, place.store, "e", package("e", files), PAST, "Destroy")
    _, approval = place.asked("e")
    request = chain.eliminator.approve(approval, place.sign(approval, "Bruno Petit"))
    with monkeypatch.context() as patch:
        patch.setattr(elimination.Eliminator, "_give_word", lambda *_given: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            chain.eliminator.execute(request)
    assert [one.word for one in chain.copies.eliminated("gondecourt") if one.aip == "e"] == [None]
    assert chain.eliminator.resume() == [request]
    chain.eliminator.execute(request)
    [word] = [one.word for one in chain.copies.eliminated("gondecourt") if one.aip == "e"]
    found = attestation.check(word, place.authority.root, place.authority.revoke())
    assert found.digests == {hashlib.sha256(b"%PDF-1.7 l'acte").hexdigest()}


def test_what_a_person_took_back_is_said_and_waits_for_nobody(chain: Chain) -> None:
    config = Config("porte", CONNECTED, {}, folder=chain.room.folder)
    assert chain.copies.figures(config)[0] == 2
    taken = GONE | {"passerelle": {"etat": "garde", "detail": "gardé par Odile Faure"}}
    assert chain.say("a", taken) == "garde" and chain.say("b", GONE) == "supprime"
    assert chain.copies.figures(config) == (0, 0.0)
    assert chain.eliminator.certify_copies() == []  # it is not gone
    assert chain.say("a", GONE) == "supprime" and chain.eliminator.certify_copies() == [chain.request]


@pytest.mark.parametrize(
    ("aip", "account", "places", "told"),
    [
        ("a", "seclin", GONE, "n'est pas éliminée pour ce compte"),
        ("c", "gondecourt", GONE, "n'est pas éliminée"),
        ("a", "gondecourt", {}, "avec connecteur"),
        ("a", "gondecourt", [], "avec connecteur"),
        ("a", "gondecourt", GONE | {"ailleurs": {"etat": "absent"}}, "avec connecteur"),
        ("a", "gondecourt", {"connecteur": {"etat": "peut-être"}}, "lieux.connecteur.etat"),
        ("a", "gondecourt", {"connecteur": "supprime"}, "lieux.connecteur.etat"),
        ("a", "gondecourt", {"connecteur": {"etat": "absent", "nombre": -1}}, "lieux.connecteur.nombre"),
    ],
)
def test_what_is_said_of_another_archive_or_badly_changes_nothing(
    chain: Chain, aip: str, account: str, places: Any, told: str
) -> None:
    with pytest.raises(InvalidReportError, match=told):
        chain.say(aip, places, account)
    assert chain.noted() == []


def test_who_has_no_connector_is_waited_for_by_nobody(chain: Chain) -> None:
    assert chain.copies.list_waiting(ACCOUNTS) == {}
    chain.eliminator.accounts = ACCOUNTS
    for aip in "ab":
        chain.say(aip, GONE)
    assert chain.eliminator.certify_copies() == []
    other = chain.eliminate("d")
    row = chain.eliminator.book.rows("SELECT attestation FROM demande WHERE id = ?", other)[0]
    assert json.loads(row["attestation"])["copies"].startswith(elimination.OTHERS)


def test_a_transferred_archive_keeps_its_copies(chain: Chain) -> None:
    _large(chain, 1, transferred=True)
    assert [one.aip for one in chain.copies.eliminated("gondecourt")] == ["a", "b"]
    assert [one.aip for listed in chain.copies.list_waiting(CONNECTED).values() for one, _said in listed] == ["a", "b"]


def _large(chain: Chain, count: int, transferred: bool) -> None:
    """One request of many archives, done, in the book."""
    more = {"transfert": {"vers": "AD"}} if transferred else {}
    archives = [{"aip": f"g{n:05}", "identifiant": f"ACTE-{n:05}-{'x' * 300}"} | more for n in range(count)]
    text = json.dumps({"archives": archives}).encode()
    book = chain.eliminator.book
    columns = [row["name"] for row in book.rows("PRAGMA table_info(demande)")]
    source = dict(book.rows("SELECT * FROM demande WHERE id = ?", chain.request)[0])
    values = source | {"id": f"{chain.request[:-5]}{count:05}", "texte": text}
    with book.transaction() as db:
        places = ", ".join("?" * len(columns))
        db.execute(f"INSERT INTO demande VALUES ({places})", [values[one] for one in columns])  # noqa: S608 - marks alone
        rows = [(values["id"], one["aip"], "2026-01-01T00:00:00Z", 1000 + n) for n, one in enumerate(archives)]
        db.executemany("INSERT INTO objet (demande, aip, faite_le, seq) VALUES (?, ?, ?, ?)", rows)


def test_a_page_of_eliminations_holds_no_other(chain: Chain) -> None:
    """20,000 that were attested took 93 MB of everybody's door at each page that a connector asked for."""
    _large(chain, 4000, transferred=False)
    with chain.eliminator.book.transaction() as db:
        word = "INSERT INTO mot SELECT demande, aip, '[]', zeroblob(1500), zeroblob(2500) FROM objet WHERE seq >= 1000"
        db.execute(word)
    tracemalloc.start()
    found = chain.copies.eliminated("gondecourt", 999)
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [one.rank for one in found] == list(range(1000, 1000 + copies.MAX_ELIMINATIONS_PER_REPLY))
    assert peak < 22_000_000


def test_a_large_elimination_is_listed_within_some_megabytes(chain: Chain) -> None:
    _large(chain, 1500, transferred=False)
    tracemalloc.start()
    assert len(chain.copies.eliminated("gondecourt")) == copies.MAX_ELIMINATIONS_PER_REPLY
    assert sum(map(len, chain.copies.list_waiting(CONNECTED).values())) == 1502
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30_000_000


def test_what_is_asked_for_is_listed_to_its_end(chain: Chain) -> None:
    count = 2 * copies.MAX_ELIMINATIONS_PER_REPLY + 3
    _large(chain, count, transferred=False)
    with chain.eliminator.book.transaction() as db:
        db.execute("UPDATE objet SET seq = NULL, faite_le = NULL WHERE aip LIKE 'g%'")
        db.execute("UPDATE demande SET etat = 'approuvee' WHERE id LIKE ?", (f"%{count:05}",))
    found, after = [], ""
    while listed := chain.copies.planned("gondecourt", after):
        assert len(listed) <= copies.MAX_ELIMINATIONS_PER_REPLY
        found += [one.aip for one in listed]
        after = found[-1]
    assert found == ["c", *(f"g{n:05}" for n in range(count))]


def test_a_large_transfer_does_not_hide_the_eliminations_after_it(chain: Chain) -> None:
    last = chain.copies.eliminated("gondecourt")[-1].rank
    _large(chain, copies.MAX_ELIMINATIONS_PER_REPLY, transferred=True)
    with chain.eliminator.book.transaction() as db:
        db.execute("UPDATE objet SET seq = 5000 WHERE aip = 'b'")
    assert [one.aip for one in chain.copies.eliminated("gondecourt", last)] == ["b"]
