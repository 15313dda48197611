"""The journal's pieces at their bounds: canonical form, lines, proofs, OCFL objects, timestamps."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sae import export
from sae.export import DamagedArchiveError
from sae.fixity import Plan, Result
from sae.journal import Journal, JournalError, canonical, merkle, timestamp
from sae.journal.log import Event
from sae.journal.timestamp import TimestampError

from apps.sae.tests.proof.conftest import Archive

# -- canonical form -----------------------------------------------------------------------------------------


def test_what_has_a_canonical_form() -> None:
    value = {"b": [1, True, None, (2,)], "a": "é\udce9", "~": -(2**53 - 1), "z": 2**53 - 1}
    assert canonical.encode(value) == ('{"a":"é?","b":[1,true,null,[2]],"z":9007199254740991,"~":-9007199254740991}')
    assert canonical.encode({"k" * 200: 1})


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (2**53, "integer too large for JSON: 9007199254740992"), (-(2**53), "integer too large for JSON: "),
        ({"é": 1}, "key out of printable ASCII: 'é'"), ({"": 1}, "key out of printable ASCII: ''"),
        ({"k" * 201: 1}, "key out of printable ASCII: "), ({1: 1}, "key out of printable ASCII: 1"),
        (1.5, "no canonical form for float"), (b"x", "no canonical form for bytes"),
        ([{"a": {1}}], "no canonical form for set"),
    ],
)  # fmt: skip # a case a line
def test_what_has_none(value: Any, said: str) -> None:
    with pytest.raises(ValueError) as told:
        canonical.encode(value)
    assert str(told.value).startswith(said)


@pytest.mark.parametrize(
    ("text", "is_so"),
    [('{"a":1}', True), ('{"a": 1}', False), ('{"b":1,"a":2}', False), ("{", False), ("1.5", False),
     ("[" * 100_000, False), ('{"a":1,"a":1}', False)],
)  # fmt: skip # a case a line
def test_a_text_is_in_its_canonical_form(text: str, is_so: bool) -> None:
    assert canonical.is_canonical(text) == is_so


# -- lines --------------------------------------------------------------------------------------------------

FIELDS: dict[str, Any] = {
    "seq": 1, "heure": "2026-11-27T12:00:00.000000Z", "evenement": "x.y", "compte": "c", "aip": None, "resultat": "r",
    "detail": {}, "precedent": "",
}  # fmt: skip # a table


def test_a_line_has_its_fields_and_no_other() -> None:
    assert Event.read(canonical.encode(FIELDS)).seq == 1
    for wrong in (
        {**FIELDS, "autre": 1},
        {key: value for key, value in FIELDS.items() if key != "aip"},
        FIELDS | {"seq": "un"},
        FIELDS | {"detail": "texte"},
    ):
        with pytest.raises(ValueError, match=r"^la ligne n'a pas les champs d'un événement$"):
            Event.read(canonical.encode(wrong))
    with pytest.raises(ValueError, match=r"^la ligne n'est pas un événement sous sa forme canonique$"):
        Event.read(json.dumps(FIELDS))


@pytest.mark.parametrize("name", ["", "Versement", "versement accepté", "x\n"])
def test_an_event_has_a_name(archive: Archive, name: str) -> None:
    with pytest.raises(ValueError, match=r"^not an event name: "):
        archive.journal.append(name, account="c", aip=None, outcome="r", detail={})
    last = archive.journal.last()
    assert last
    assert last.seq == 1


def rewritten(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """The journal's first line, changed behind its back."""
    with sqlite3.connect(path) as db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        fields = json.loads(db.execute("SELECT ligne FROM evenement WHERE seq = 1").fetchone()[0])
        db.execute("UPDATE evenement SET ligne = ? WHERE seq = 1", (canonical.encode(change(fields)),))


def test_a_line_bears_its_number_and_the_first_is_the_opening(tmp_path: Path) -> None:
    for name, change, words in (
        ("a", {"seq": 7}, "événement 1 : la ligne se dit l'événement 7"),
        ("b", {"evenement": "autre.chose"}, "son premier événement n'est pas son ouverture"),
    ):
        with Journal(tmp_path / name) as journal:
            assert journal.identifier
        rewritten(tmp_path / name, lambda fields, change=change: fields | change)  # type: ignore[misc] # bound now
        with Journal(tmp_path / name) as journal, pytest.raises(JournalError, match=words):
            _ = journal.identifier
    with Journal(tmp_path / "c", opening=False) as journal:
        assert journal.last() is None
        with pytest.raises(JournalError, match="son premier événement n'est pas son ouverture"):
            _ = journal.identifier


def test_long_journals_are_read_by_thousands(archive: Archive) -> None:
    with archive.journal.transaction() as db:
        for seq in range(2, 2503):
            line = canonical.encode(FIELDS | {"seq": seq, "aip": "pair" if seq % 2 == 0 else None})
            db.execute(
                "INSERT INTO evenement (seq, ligne, aip, cle) VALUES (?, ?, ?, NULL)",
                (seq, line, "pair" if seq % 2 == 0 else None),
            )
    assert [event.seq for event in archive.journal.events()] == list(range(1, 2503))
    assert [seq for seq, _line in archive.journal.lines(1000, 2001)] == list(range(1000, 2002))
    assert [seq for seq, _line in archive.journal.lines(aip="pair")] == list(range(2, 2503, 2))
    assert [seq for seq, _line in archive.journal.lines(2502)] == [2502]


# -- proofs -------------------------------------------------------------------------------------------------


def test_a_proof_has_the_length_of_its_place() -> None:
    leaves = [merkle.leaf(str(rank).encode()) for rank in range(5)]
    for index in (-1, 5):
        with pytest.raises(ValueError, match="no such leaf in this tree"):
            merkle.root_of_path(leaves[0], index, 5, [])
    good = merkle.path(leaves, 4)
    assert merkle.root_of_path(leaves[4], 4, 5, good) == merkle.root(leaves)
    with pytest.raises(ValueError, match="proof too short"):
        merkle.root_of_path(leaves[4], 4, 5, good[:-1])
    with pytest.raises(ValueError, match="proof too long"):
        merkle.root_of_path(leaves[4], 4, 5, [leaves[0], *good])


# -- OCFL objects -------------------------------------------------------------------------------------------


def ocfl(folder: Path, algorithm: str = "sha512", **changes: Any) -> Path:
    """A small OCFL object."""
    (folder / "v1" / "content").mkdir(parents=True)
    (folder / "v1" / "content" / "a").write_bytes(b"a")
    (folder / "0=ocfl_object_1.1").write_text("ocfl_object_1.1\n")
    digest = hashlib.new(algorithm, b"a").hexdigest()
    inventory = {
        "id": "urn:a",
        "type": "https://ocfl.io/1.1/spec/#inventory",
        "digestAlgorithm": algorithm,
        "head": "v1",
        "manifest": {digest: ["v1/content/a"]},
        "versions": {"v1": {"created": "2026-01-02T03:04:05Z", "state": {digest: ["a"]}}},
        **changes,
    }
    content = json.dumps(inventory).encode()
    (folder / "inventory.json").write_bytes(content)
    noted = f"{hashlib.new(algorithm, content).hexdigest()}  inventory.json\n"
    (folder / f"inventory.json.{algorithm}").write_text(noted)
    return folder


def test_an_object_is_its_inventory_and_its_files(tmp_path: Path) -> None:
    assert export.check(ocfl(tmp_path / "bon"))["digestAlgorithm"] == "sha512"
    spoilt: list[tuple[str, Callable[[Path], object], str]] = [
        ("a", lambda path: (path / "v1/content/a").write_bytes(b"b"), "« v1/content/a » n'a plus son empreinte"),
        ("b", lambda path: (path / "v1/content/a").unlink(), "« v1/content/a » est absent"),
        ("c", lambda path: (path / "v1/content/b").touch(), "« v1/content/b » est en trop"),
        ("d", lambda path: (path / "v1/content/b").symlink_to("/etc/passwd"), "« v1/content/b » est en trop"),
        ("e", lambda path: (path / "inventory.json").write_text("{}"), "inventory.json n'a plus son empreinte"),
        ("f", lambda path: (path / "inventory.json").unlink(), "inventory.json est absent (OCFL E063"),
        ("g", lambda path: (path / "inventory.json.sha512").write_text(""), "inventory.json.sha512 n'est pas de la"),
    ]
    for name, spoil, words in spoilt:
        spoil(ocfl(tmp_path / name))
        with pytest.raises(DamagedArchiveError) as told:
            export.check(tmp_path / name)
        assert str(told.value).startswith(words)
    with pytest.raises(DamagedArchiveError, match=r"^empreintes sha256 au lieu de sha512$"):
        export.check(ocfl(tmp_path / "h", algorithm="sha256"))
    with pytest.raises(
        DamagedArchiveError, match=r"^inventory.json : « manifest » n'est pas un objet JSON \(OCFL E106\)"
    ):
        export.check(ocfl(tmp_path / "i", manifest=[]))


# -- timestamps ---------------------------------------------------------------------------------------------


def der(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8 or 1, "big")
    length = bytes([len(body)]) if len(body) < 128 else bytes([0x80 | len(size)]) + size
    return bytes([tag]) + length + body


def response(status: int = 0, imprint: bytes = b"x" * 64, when: bytes = b"20261127120000.5Z") -> bytes:
    """The skeleton of a TimeStampResp."""
    told = der(
        0x30,
        der(0x02, b"\1"),
        der(0x06, b"\1"),
        der(0x30, der(0x30), der(0x04, imprint)),
        der(0x02, b"\1"),
        der(0x18, when),
    )
    signed = der(0x30, der(0x02, b"\3"), der(0x31), der(0x30, der(0x06, b"\1"), der(0xA0, der(0x04, told))))
    return der(0x30, der(0x30, der(0x02, bytes([status]))), der(0x30, der(0x06, b"\1"), der(0xA0, signed)))


def test_a_timestamp_says_what_and_when() -> None:
    for status in (0, 1):
        found = timestamp.read(response(status))
        assert (found.imprint, found.at.isoformat()) == (b"x" * 64, "2026-11-27T12:00:00+00:00")


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (response(2), "l'autorité d'horodatage a refusé la demande"),
        (response(imprint=b"x" * 32), "l'horodatage ne porte pas sur une empreinte SHA-512"),
        (response(when=b"hier"), "ce n'est pas une réponse d'horodatage RFC 3161"),
        (response()[:-1], "ce n'est pas une réponse d'horodatage RFC 3161"),
        (b"", "ce n'est pas une réponse d'horodatage RFC 3161"),
        (b"\x31" + response()[1:], "ce n'est pas une réponse d'horodatage RFC 3161"),
    ],
)
def test_what_is_no_timestamp_of_ours(token: bytes, said: str) -> None:
    with pytest.raises(TimestampError) as told:
        timestamp.read(token)
    assert str(told.value) == said


# -- fixity -------------------------------------------------------------------------------------------------


def test_a_check_has_its_pace_and_its_verdict() -> None:
    plan = Plan(["a"], exceptions={"b": 7})
    assert (plan.days, plan.rate, plan.seconds, plan.patience) == (30, 20_000_000, 3000, 120)
    assert (plan.interval("a"), plan.interval("b")) == (30 * 86400, 7 * 86400)
    assert (Result().status, Result().checked, Result().repaired, Result().late, Result().total) == (0, 0, 0, 0, 0)
    assert Result(late=1).status == Result(trouble=["x"]).status == 2
    assert Result(bad=[("a", "n", "x")], late=1).status == 1
