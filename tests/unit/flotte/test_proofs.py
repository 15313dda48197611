"""Proofs brought from the door once: a real door's command and database, and a control node that keeps what it told."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import pytest
from creatic_flotte.run import attested
from creatic_flotte.settings import Settings
from creatic_guichet import cli
from creatic_guichet.store import Store
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from creatic.fleet import proofs as fleet_proofs
from creatic.fleet.proofs import Proofs
from creatic.fleet.signing import FleetError

NOW = dt.datetime(2026, 11, 29, 6, 0, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
NAMES = ["bergues-pc", "hem-pc", "loos-pc"]


class Site:
    """A door, what machines tell it, and the control node."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.door, self.folder, self._capsys = folder / "guichet", folder / "preuves", capsys
        self.door.mkdir()
        self.store, self.now, self.clock = Store(self.door), NOW, NOW  # the door's clock, and that of machines
        self.key = folder / "key.pem"
        made = ec.generate_private_key(ec.SECP256R1())
        self.key.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self.public = made.public_key()
        self.asked: list[str] = []
        self.told: list[list[str]] = []
        for name in NAMES:
            self.expects(name)

    def expects(self, name: str) -> None:
        """The inventory has one more machine, and the door is told so."""
        with self.store._open() as db:
            db.execute("INSERT INTO machines (nom, siren, attendue) VALUES (?, '215903469', 1)", (name,))

    def report(self, name: str, version: int, text: str = "", proves: bool = True, kind: str = "bon") -> None:
        """A machine reports."""
        self.now += dt.timedelta(minutes=15)
        self.clock += dt.timedelta(minutes=15)
        told = {
            "machine": name,
            "version": version,
            "posee": True,
            "genre": kind,
            "texte": text,
            "debut": "",
            "fin": "",
        }
        told |= {"modifies": [], "preuves": [{"preuves": [], "ar_acte": text}] if proves else []}
        told |= {"fin": self.clock.isoformat(timespec="seconds")}
        told |= attested(
            cast(
                "Settings",
                SimpleNamespace(machine=name, current=self.key.parent, host_key=self.key.parent / "hote.pub"),
            ),
            told,
            "",
        )
        self.store.keep(name, json.dumps(told).encode(), self.now)

    def ask(self, known: str) -> Any:
        """What the door's command answers."""
        assert cli.main(["--dossier", str(self.door), "preuves", "--apres", known]) == 0
        answer = json.loads(self._capsys.readouterr().out)
        self.asked.append(known)
        self.told.append([*answer["preuves"]])
        return answer

    def bring(self, ask: Callable[[str], Any] | None = None, **given: Any) -> dict[str, str]:
        """What is known: version and text of each machine's last proof."""
        self.asked, self.told = [], []
        self.proofs = Proofs(self.folder, ask or self.ask, lambda _name: [self.public])
        found = self.proofs.bring(**({"expected": NAMES} | given))
        return {name: f"v{one['version']} {one['preuves'][0]['ar_acte']}".strip() for name, one in found.items()}


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Site:
    return Site(tmp_path, capsys)


def test_what_was_told_once_is_not_told_again(site: Site) -> None:
    assert site.bring() == {} and site.asked == ["0"]
    for name in NAMES:
        site.report(name, 1)
    assert site.bring() == dict.fromkeys(NAMES, "v1") and site.told == [NAMES]
    site.report("hem-pc", 2)
    site.report("loos-pc", 1, "dérive", proves=False)
    assert site.bring() == {"bergues-pc": "v1", "hem-pc": "v2", "loos-pc": "v1"}
    assert site.told == [["hem-pc"]]
    assert site.bring(wanted=["hem-pc"]) == {"hem-pc": "v2"} and site.told == [[]]


def test_a_first_answer_comes_in_parts_and_each_is_kept(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        site.report(name, 1, "x" * 500)
    proven = Store.proven
    monkeypatch.setattr(Store, "proven", lambda self, marks: proven(self, marks, 600))
    asked = 0

    def cut(known: str) -> Any:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise FleetError("le guichet ne répond pas")
        return site.ask(known)

    with pytest.raises(FleetError):
        site.bring(cut)
    assert site.told == [["bergues-pc"], ["hem-pc"]]
    assert [*site.bring()] == NAMES and site.told == [["loos-pc"]]


def test_an_answer_that_is_none_changes_nothing(site: Site) -> None:
    site.report("hem-pc", 1)
    assert site.bring() == {"hem-pc": "v1"}
    site.report("hem-pc", 2)
    good = site.ask("0")
    row = good["preuves"]["hem-pc"]
    bad: Any
    for bad in (
        None,
        [],
        {"preuves": []},
        {"preuves": {"hem-pc": {}}},
        {"preuves": {"hem-pc": row | {"numero": "2"}}},
        {"preuves": {"hem-pc": row | {"recu": "2026-11-29T06:00:00"}}},
        {"preuves": {"hem-pc": row | {"sha256": "../../x"}}},
        {"preuves": {"hem-pc": row, "loos-pc": row | {"preuves": "toutes"}}},
    ):
        with pytest.raises(FleetError, match="redéployez-le"):
            site.bring(Mock(return_value=bad))
    assert site.bring() == {"hem-pc": "v2"} and site.told == [["hem-pc"]]
    # Whoever holds the door names no file of the control node, and does not keep it for ever.
    answers = 0

    def without_end(_known: str) -> Any:
        nonlocal answers
        answers += 1
        return {"preuves": {"../../etat": row | {"numero": 1000 + answers}}, "reste": True}

    fleet_proofs._MAX_ANSWERS_PER_COMMAND, before = 5, fleet_proofs._MAX_ANSWERS_PER_COMMAND
    try:
        assert site.bring(without_end) == {"hem-pc": "v2"} and answers == 5
    finally:
        fleet_proofs._MAX_ANSWERS_PER_COMMAND = before
    assert not (site.folder.parent.parent / "etat.json").exists()
    site.report("hem-pc", 3)
    assert site.bring() == {"hem-pc": "v3"}  # its marks are nothing to the real one, which tells all


def test_a_door_that_comes_back_from_a_backup_loses_nothing(site: Site) -> None:
    for name in NAMES:
        site.report(name, 1)
    site.bring()
    shutil.copytree(site.door, site.folder.parent / "sauvegarde")
    for name in NAMES:
        site.report(name, 2)
    assert site.bring() == dict.fromkeys(NAMES, "v2")
    shutil.rmtree(site.door)
    shutil.copytree(site.folder.parent / "sauvegarde", site.door)
    assert site.bring() == dict.fromkeys(NAMES, "v2")  # what they proved is not undone
    # Its numbers come again, below and above those that are known.
    site.report("hem-pc", 2, "repassée")
    site.report("loos-pc", 3)
    assert site.bring() == {"bergues-pc": "v2", "hem-pc": "v2 repassée", "loos-pc": "v3"}
    for version in range(4, 9):
        site.report("hem-pc", version)
        assert site.bring()["hem-pc"] == f"v{version}" and site.told == [["hem-pc"]]
    # One that was made anew knows nobody's proof.
    shutil.rmtree(site.door)
    site.door.mkdir()
    Store(site.door)
    assert site.bring() == {"bergues-pc": "v2", "hem-pc": "v8", "loos-pc": "v3"}


def test_a_door_whose_clock_is_behind_loses_nothing(site: Site) -> None:
    site.report("hem-pc", 2, "échec d'abord")
    site.bring()
    site.now -= 365 * 24 * HOUR
    site.report("hem-pc", 2, "puis bon")
    site.report("loos-pc", 1)
    assert site.bring() == {"hem-pc": "v2 puis bon", "loos-pc": "v1"}


def test_a_number_that_is_given_again_is_not_taken_for_the_same_report(site: Site) -> None:
    """The last report of all, which said that nothing is new, leaves its place and its number to the next."""
    site.report("hem-pc", 1)
    site.report("loos-pc", 1, "un", kind="a_jour")
    assert site.bring()["loos-pc"] == "v1 un"
    site.report("loos-pc", 1, "deux", kind="a_jour")
    with site.store._open() as db:
        assert [row["id"] for row in db.execute("SELECT id FROM comptes_rendus ORDER BY id")] == [1, 2]
    assert site.bring()["loos-pc"] == "v1 deux"


def test_a_machine_that_leaves_and_comes_back_is_known(site: Site) -> None:
    for name in NAMES:
        site.report(name, 1)
    site.bring()
    assert [*site.bring(expected=["hem-pc"])] == ["hem-pc"]
    assert [path.name for path in site.folder.glob("[!.]*")] == ["hem-pc.json"]
    with site.store._open() as db:
        db.execute("UPDATE machines SET attendue = 0 WHERE nom <> 'hem-pc'")
    assert {*site.bring()} == {*NAMES} and site.asked[0] == "0"


@pytest.mark.parametrize("damage", ["cut", "gone", "marks"])
def test_what_is_damaged_here_is_asked_for_again(site: Site, damage: str) -> None:
    for name in NAMES:
        site.report(name, 1)
    site.bring()
    (site.folder / ".hem-pc.json.4242").write_text("{")  # a command died while it wrote
    if damage == "cut":
        (site.folder / "hem-pc.json").write_text((site.folder / "hem-pc.json").read_text()[:40])
    elif damage == "gone":
        (site.folder / "hem-pc.json").unlink()
    else:
        (site.folder / ".suite.json").write_text('{"machines": [')
    assert site.bring() == dict.fromkeys(NAMES, "v1")
    assert site.asked[0] == "0" and {path.name for path in site.folder.glob(".*")} == {".suite.json", ".verrou"}


def test_marks_that_are_none_are_refused(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    for bad in ("", "1", "1:abc", f"-1:{'a' * 64}", f"1:{'a' * 64},", f"{'9' * 19}:{'a' * 64}", f"1:{'A' * 64}"):
        assert cli.main(["--dossier", str(site.door), "preuves", f"--apres={bad}"]) == 1
        assert "attendu NUMERO:SHA256" in capsys.readouterr().err
