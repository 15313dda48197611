"""The server's watch, on logs written here as borg writes them (the real one: tests/profiles/backup_server)."""

from __future__ import annotations

import json
import os
import pwd
import struct
import tracemalloc
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from creatic_depots import depots, segments
from creatic_depots.depots import Client, Depot, DepotError, Settings, metrics

ME = pwd.getpwuid(os.getuid()).pw_name
CONFIG = "[repository]\nversion = 1\nid = 00\nkey = clé\n"


def entry(tag: int, key: bytes = b"", data: bytes = b"") -> bytes:
    """An entry of the log."""
    body = struct.pack("<IB", 9 + len(key) + len(data), tag) + key + data
    return struct.pack("<I", zlib.crc32(body)) + body


def word(depots: dict[int, int], without: int = 0) -> bytes:
    """What a client tells: archives that each repository alone has, archives that have no copy."""
    return json.dumps(
        {"depots": {f"{one:064x}": count for one, count in depots.items()}, "sans_copie": without}
    ).encode()


def identifier(number: int) -> bytes:
    return number.to_bytes(32, "big")


class Log:
    """A repository whose client does what a test says."""

    def __init__(self, path: Path) -> None:
        self.path, self.number = path, -1
        (path / "data" / "0").mkdir(parents=True)
        (path / "config").write_text(CONFIG, encoding="utf-8")

    def write(self, *entries: bytes) -> None:
        self.number += 1
        (self.path / "data" / "0" / str(self.number)).write_bytes(segments.MAGIC + b"".join(entries))

    def transaction(self, *entries: bytes, manifest: int = 0, at: str = "2026-11-26T01:00:00.000000") -> None:
        self.write(*entries, *([entry(segments.PUT2, segments.MANIFEST, bytes(manifest))] if manifest else []))
        self.write(entry(segments.COMMIT))
        with (self.path / "transactions").open("a") as log:
            log.write(f"transaction {self.number}, UTC time {at}\n")

    def backup(self, number: int, manifest: int, at: str = "2026-11-26T01:00:00.000000") -> None:
        """As borg does: new blocks, then the manifest deleted and put again."""
        old = entry(segments.DELETE, segments.MANIFEST)
        self.transaction(entry(segments.PUT2, identifier(number), b"x" * 100), old, manifest=manifest, at=at)


@pytest.fixture
def depot(tmp_path: Path) -> Depot:
    for name in ("etat/gel", "metriques", "racine/mairie/parole"):
        (tmp_path / name).mkdir(parents=True)
    settings = Settings(
        tmp_path / "racine", tmp_path / "etat", tmp_path / "metriques", ME, ME, {"mairie": Client(20, 48)}, 2
    )
    return Depot(settings, "mairie")


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Today is after all that is written here."""
    monkeypatch.setattr(depots, "moment", lambda seconds=None: "2027-06-01T00:00:00+00:00")


@pytest.fixture
def log(depot: Depot) -> Log:
    made = Log(depot.path)
    made.backup(1, 500)
    made.backup(2, 550)
    return made


@pytest.mark.usefixtures("later")
def test_backups_are_no_crime(depot: Depot, log: Log) -> None:
    assert depot.watch() == ""
    log.backup(3, 600)
    assert depot.watch() == ""
    assert depot.state["bon"] == log.number
    assert depot.report()["derniere"] == "2026-11-26T01:00:00+00:00"
    assert not depot.freeze_file.exists()


@pytest.mark.parametrize(
    ("crime", "told"),
    [
        ([entry(segments.DELETE, identifier(1))], "1 blocs déjà sauvegardés ont été supprimés ou remplacés"),
        (
            [entry(segments.DELETE, identifier(2)), entry(segments.PUT, identifier(2), b"autre chose")],
            "1 blocs déjà sauvegardés ont été supprimés ou remplacés",
        ),
    ],
    ids=["deleted", "replaced"],
)
def test_what_was_saved_may_not_go(depot: Depot, log: Log, crime: list[bytes], told: str) -> None:
    good = log.number
    log.transaction(*crime, manifest=600)
    log.backup(4, 650)
    assert depot.watch() == told
    assert depot.freeze_file.read_text(encoding="utf-8") == f"{told}\n"
    assert depot.state["bon"] == good
    assert depot.watch() == told  # until it is undone
    with pytest.raises(DepotError, match="revenez d'abord en arrière"):
        depot.reopen()


def test_what_a_client_puts_is_not_kept_in_memory(depot: Depot, log: Log) -> None:
    """Objects of a byte, within its quota: what ends the watch of one would end that of all."""
    log.transaction(*(entry(segments.PUT2, identifier(number), b"x") for number in range(10, 50_000)), manifest=600)
    assert depot.watch() == ""
    tracemalloc.start()
    assert [one.put for one in segments.transactions(depot.path)] == [1, 1, 49_990]
    _now, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1_000_000


def test_what_a_backup_put_itself_may_go(depot: Depot, log: Log) -> None:
    """The list of a checkpoint, once the whole one is there."""
    own = [entry(segments.PUT2, identifier(7), b"x"), entry(segments.DELETE, identifier(7))]
    log.write(*own)
    log.transaction(entry(segments.PUT2, identifier(8), b"x"), entry(segments.DELETE, identifier(8)), manifest=600)
    assert depot.watch() == ""
    # It is no longer its own once it was committed.
    log.transaction(entry(segments.DELETE, identifier(7)), *own, manifest=650)
    assert depot.watch() == "1 blocs déjà sauvegardés ont été supprimés ou remplacés"


def test_many_transactions_that_delete_their_own_are_each_read_alone(
    depot: Depot, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch has one turn for all: a thousand transactions of a client must not each look at all the others."""
    entries, files = segments.entries, segments.files
    read, listed = list[Path](), list[Path]()

    def reading(path: Path) -> Iterator[segments.Entry]:
        read.append(path)
        return entries(path)

    def listing(repository: Path) -> dict[int, Path]:
        listed.append(repository)
        return files(repository)

    monkeypatch.setattr(segments, "entries", reading)
    monkeypatch.setattr(segments, "files", listing)
    for number in range(10, 210):
        log.transaction(entry(segments.PUT2, identifier(number), b"x"), entry(segments.DELETE, identifier(number)))
    assert depot.watch() == ""
    assert len(listed) < 5
    assert len(read) < 3 * log.number


def test_what_a_later_transaction_of_the_same_segment_does_is_not_the_former_s(depot: Depot, log: Log) -> None:
    own = [entry(segments.PUT2, identifier(7), b"x"), entry(segments.DELETE, identifier(7)), entry(segments.COMMIT)]
    log.write(*own, entry(segments.DELETE, identifier(1)), entry(segments.COMMIT))
    found = [one.lost for one in segments.transactions(depot.path)]
    assert found[-2:] == [set(), {identifier(1)}]
    # Put by a transaction that ended, it is lost for the next one of that segment.
    log.write(entry(segments.PUT2, identifier(8), b"x"), entry(segments.COMMIT), *own[:1])
    log.write(entry(segments.DELETE, identifier(8)), entry(segments.DELETE, identifier(7)), entry(segments.COMMIT))
    assert [*segments.transactions(depot.path)][-1].lost == {identifier(8)}


def test_no_backup_deletes_without_end(depot: Depot, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a client deletes of its own would hide, past what is remembered, what it deletes of others."""
    monkeypatch.setattr(segments, "MOST_DELETED", 2)
    own = [entry(tag, identifier(number)) for number in (5, 6, 7) for tag in (segments.PUT2, segments.DELETE)]
    log.transaction(*own, entry(segments.DELETE, identifier(1)), manifest=600)
    assert "plus de 2 blocs supprimés en une fois" in depot.watch()
    assert depot.freeze_file.exists()


def test_a_list_of_backups_never_shortens(depot: Depot, log: Log) -> None:
    assert depot.watch() == ""
    log.backup(3, 520)
    assert depot.watch() == "la liste des sauvegardes a raccourci"


@pytest.mark.parametrize(
    ("entries", "size"),
    [([], 600), ([], 550), ([entry(segments.PUT2, identifier(3), b"x")], 550)],
    ids=["nothing more", "nothing at all", "as long as before"],
)
def test_a_list_of_backups_is_rewritten_by_backups_alone(
    depot: Depot, log: Log, entries: list[bytes], size: int
) -> None:
    assert depot.watch() == ""
    log.transaction(*entries, manifest=size)
    assert depot.watch() == "la liste des sauvegardes a été réécrite sans qu'une sauvegarde s'y ajoute"


@pytest.mark.parametrize("name", ["config", "transactions"])
def test_a_link_in_the_repository_is_not_followed(
    depot: Depot, log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The clients' account owns the repository; root reads and writes there."""
    monkeypatch.setattr(Depot, "verify", lambda self: None)
    assert depot.watch() == ""
    log.transaction(entry(segments.DELETE, identifier(1)), manifest=600)
    assert depot.watch()
    outside = tmp_path / "dehors"
    outside.write_text("intact", encoding="utf-8")
    outside.chmod(0o600)
    (depot.path / name).unlink()
    (depot.path / name).symlink_to(outside)
    for planted in (f".{name}.part", "lock.exclusive"):
        (depot.path / planted).symlink_to(tmp_path / "etat")
    assert "revenu à la transaction" in depot.roll_back()
    assert not (depot.path / name).is_symlink()
    assert (outside.read_text(encoding="utf-8"), outside.stat().st_mode & 0o777) == ("intact", 0o600)
    assert (tmp_path / "etat" / "mairie.json").exists()


def test_what_is_no_file_is_neither_read_nor_waited_for(depot: Depot, log: Log, tmp_path: Path) -> None:
    assert depot.watch() == ""
    (tmp_path / "dehors").mkdir()
    (tmp_path / "dehors" / "99").write_bytes(b"BORG_SEG")
    (depot.path / "data" / "1").symlink_to(tmp_path / "dehors")
    assert 99 not in segments.files(depot.path)
    os.mkfifo(depot.path / "data" / "0" / str(log.number + 1))
    assert depot.watch().startswith("le journal du dépôt est illisible")
    (depot.path / "config").unlink()
    os.mkfifo(depot.path / "config")
    assert depot._config_changed(depot.state) == "la configuration du dépôt, qui porte sa clé, a été changée"


def test_the_key_in_the_configuration_may_not_change(depot: Depot, log: Log) -> None:
    assert depot.watch() == ""
    config = depot.path / "config"
    config.write_text(f"{CONFIG}last_segment_checked = 4\n", encoding="utf-8")  # borg check notes how far it went
    assert depot.watch() == ""
    config.write_text(CONFIG.replace("clé", "autre"), encoding="utf-8")
    assert depot.watch() == "la configuration du dépôt, qui porte sa clé, a été changée"


def test_what_is_being_written_is_not_judged(depot: Depot, log: Log) -> None:
    log.write(entry(segments.DELETE, identifier(1)))
    assert depot.watch() == ""
    path = segments.files(depot.path)[log.number]
    path.write_bytes(path.read_bytes()[:-20])
    assert depot.watch() == ""


def test_what_is_sent_beyond_the_quota_closes_the_door_and_is_taken_out(depot: Depot, log: Log) -> None:
    assert depot.watch() == ""
    good = log.number
    log.write(struct.pack("<IIB", 0, 122_999_992, segments.PUT2) + identifier(4))  # and never committed
    os.truncate(log.path / "data" / "0" / str(log.number), 121_000_000)  # what arrived of it
    assert depot.watch() == ""
    os.truncate(log.path / "data" / "0" / str(log.number), 123_000_000)
    assert depot.watch() == "123 Mo occupés sur le disque, pour un quota de 20 Mo"
    assert depot.freeze_file.exists()
    assert depot.state["bon"] == good


def test_segments_without_end_close_the_door_of_their_client_alone(
    depot: Depot, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client commits two hundred times a second: a million segments of a few bytes, and the watch had no memory."""
    monkeypatch.setattr(Depot, "verify", lambda self: None)
    monkeypatch.setattr(segments, "MOST_SEGMENTS", 10, raising=False)
    assert depot.watch() == ""
    good = log.number
    for number in range(4, 12):
        log.transaction(entry(segments.PUT2, identifier(number), b"x"))
    assert depot.watch() == "le journal du dépôt est illisible : plus de 10 segments"
    assert depot.freeze_file.exists()
    report = depot.report()
    assert report["octets"] > 0
    metrics(depot.settings)  # everybody's
    assert 'creatic_depot_suspect{client="mairie"} 1\n' in (depot.settings.metrics / "depots.prom").read_text()
    assert f"revenu à la transaction {good}" in depot.roll_back()
    depot.reopen()
    assert depot.watch() == ""


def test_what_is_no_segment_is_told(depot: Depot, log: Log) -> None:
    log.number += 1
    (depot.path / "data" / "0" / str(log.number)).write_bytes(b"rien de bon")
    assert depot.watch().startswith("le journal du dépôt est illisible")


def test_rolling_back_keeps_aside_what_it_takes_out(depot: Depot, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Depot, "verify", lambda self: None)  # borg's own check
    good = log.number
    log.transaction(entry(segments.DELETE, identifier(1)), manifest=600)
    assert depot.watch()
    assert f"revenu à la transaction {good}" in depot.roll_back()
    assert max(segments.files(depot.path)) == good
    aside = next(depot.home.glob("ecarte/*"))
    assert {str(log.number), str(log.number - 1), "transactions"} <= {path.name for path in aside.iterdir()}
    assert str(log.number) not in (depot.path / "transactions").read_text()
    depot.reopen()
    assert not depot.freeze_file.exists()
    assert depot.watch() == ""


@pytest.mark.usefixtures("later")
def test_a_quarter_is_closed_and_the_oldest_go(depot: Depot, log: Log) -> None:
    assert depot.watch() == ""
    assert depot.turn("2026-12-31T03:00:00+00:00") == []
    assert depot.turn("2027-01-01T03:00:00+00:00") == ["mairie : trimestre 2026-T4 clos"]
    report = depot.report()
    assert report["derniere"] == "2026-11-26T01:00:00+00:00"
    assert (report["octets"], report["octets_clos"] > 500) == (0, True)  # what it keeps, the new quarter being empty
    for number, name in enumerate(("2026-T2", "2026-T3"), 2):
        made = depot.home / "periodes" / name
        made.mkdir()
        (made / "config").write_text(f"[repository]\nid = {number:064x}\n", encoding="utf-8")
    assert depot.turn("2027-01-02T03:00:00+00:00") == []  # the new repository has no backup yet: nothing goes
    depot.path.rmdir()
    after = Log(depot.path)
    after.backup(1, 500, at="2027-01-02T01:00:00.000000")
    after.backup(2, 550, at="2027-01-03T01:00:00.000000")
    assert depot.watch() == ""
    now, kept = "2027-01-03T03:00:00+00:00", "mairie : trimestre 2026-T2 gardé, "
    assert depot.turn(now) == [f"{kept}la machine n'a pas encore dit quels dépôts doivent rester"]
    depot.note(word({2: 3}, 4))
    assert depot.turn(now) == [
        f"{kept}4 archives n'ont pas de copie plus récente connue (copie en cours, ou quota atteint)"
    ]
    depot.note(word({2: 3, 9: 5}))
    assert depot.turn(now) == [f"{kept}il est le seul à avoir 3 archives"]
    assert depot.report()["retenues"] == {"2026-T2": "il est le seul à avoir 3 archives"}
    depots.metrics(depot.settings)
    assert 'creatic_depot_retained{client="mairie"} 1\n' in (depot.settings.metrics / "depots.prom").read_text()
    depot.note(word({9: 5}))
    (depot.home / "periodes" / "2026-T2" / "config").write_text("rien", encoding="utf-8")
    assert depot.turn(now) == [f"{kept}son identité (fichier config) est illisible"]
    (depot.home / "periodes" / "2026-T2" / "config").write_text(f"[repository]\nid = {2:064x}\n", encoding="utf-8")
    assert depot.turn(now) == ["mairie : trimestre 2026-T2 supprimé, sa conservation est finie"]
    assert (depot.turn(now), depot.report()["retenues"]) == ([], {})


def test_one_quarter_that_must_stay_does_not_keep_the_others(depot: Depot, log: Log) -> None:
    for number in (1, 2, 3, 4):
        made = depot.home / "periodes" / f"2025-T{number}"
        made.mkdir(parents=True)
        (made / "config").write_text(f"[repository]\nid = {number:064x}\n", encoding="utf-8")
    depot.note(word({1: 1}))
    assert depot.turn("2026-12-01T03:00:00+00:00") == [
        "mairie : trimestre 2025-T1 gardé, il est le seul à avoir 1 archives",
        "mairie : trimestre 2025-T2 supprimé, sa conservation est finie",
    ]


@pytest.mark.parametrize(
    "text",
    [b"", b"{}", b"[]", b'{"depots": {}}', b'{"depots": {}, "sans_copie": -1}', b'{"depots": {}, "sans_copie": true}',
     b'{"depots": ["a"], "sans_copie": 0}', b'{"depots": {"../x": 1}, "sans_copie": 0}', b"\xff", b"[" * 100_000],
    ids=lambda text: text[:30].decode(errors="replace"),
)  # fmt: skip # a case a line
def test_a_word_of_another_shape_is_not_taken(depot: Depot, text: bytes) -> None:
    depot.note(word({}))
    with pytest.raises(DepotError, match="ce n'est pas une liste des dépôts qui doivent rester"):
        depot.note(text)
    assert depot.word_file.read_bytes() == word({})
    depot.word_file.write_bytes(text)
    assert depot._word() is None


def test_a_quarter_is_not_closed_before_its_client_saw_what_a_return_took_out(
    depot: Depot, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Depot, "verify", lambda self: None)
    depot.note(word({}))
    assert depot.watch() == ""
    log.transaction(entry(segments.DELETE, identifier(1)), manifest=600)
    assert depot.watch()
    depot.roll_back()
    depot.reopen()
    assert depot.turn("2027-01-01T03:00:00+00:00") == []
    depot.note(word({}))
    assert depot.turn("2027-01-01T03:00:00+00:00") == ["mairie : trimestre 2026-T4 clos"]


def test_a_suspect_repository_is_neither_closed_nor_dropped(depot: Depot, log: Log) -> None:
    log.transaction(entry(segments.DELETE, identifier(1)), manifest=600)
    assert depot.watch()
    assert depot.turn("2027-01-01T03:00:00+00:00") == []


def test_an_unknown_client_is_named(depot: Depot) -> None:
    with pytest.raises(DepotError, match=r"client inconnu de ce serveur : essai \(connus : mairie\)"):
        Depot(depot.settings, "essai")


def test_figures(depot: Depot, log: Log) -> None:
    depot.watch()
    depots.metrics(depot.settings)
    text = (depot.settings.metrics / "depots.prom").read_text()
    assert 'creatic_depot_suspect{client="mairie"} 0\n' in text
    assert 'creatic_depot_quota_bytes{client="mairie"} 20000000\n' in text
    assert 'creatic_depot_verified{client="mairie"} -1\n' in text


@pytest.mark.parametrize(("hours", "old"), [(47, False), (49, True)])
def test_a_backup_older_than_the_policy_is_too_old(depot: Depot, hours: int, old: bool) -> None:
    made = (datetime.now(UTC) - timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%S.%f")
    Log(depot.path).backup(1, 500, at=made)
    report = depot.report()
    assert (report["trop_ancienne"], report["age_max_h"]) == (old, 48)
    depots.metrics(depot.settings)
    text = (depot.settings.metrics / "depots.prom").read_text()
    assert 'creatic_depot_max_age_seconds{client="mairie"} 172800\n' in text


@pytest.mark.parametrize(
    "cut", ["transaction 3, UTC time 2026-12-0", "transaction 3, UTC time 2026-12-01T02:1", "tran"]
)
@pytest.mark.usefixtures("later")
def test_a_log_that_a_full_disk_cut_keeps_no_client_from_its_figures(depot: Depot, log: Log, cut: str) -> None:
    """borg goes on at the end of the line that it could not end; figures and quarters are of all clients."""
    assert depot.watch() == ""
    with (depot.path / "transactions").open("a", encoding="utf-8") as text:
        text.write(cut)
    log.backup(7, manifest=700, at="2026-12-02T01:00:00.000000")
    log.backup(8, manifest=800, at="2026-12-03T01:00:00.000000")
    assert max(depot.times().values()) == "2026-12-03T01:00:00+00:00"
    assert depot.report()["derniere"] == "2026-12-03T01:00:00+00:00"
    depot.turn("2026-12-03T02:00:00+00:00")
    metrics(depot.settings)


def test_a_clock_that_was_ahead_does_not_hide_that_no_backup_comes(
    depot: Depot, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The age of the last backup is what tells of one that fails: it would have been none for a year."""
    log.backup(7, manifest=700)
    log.backup(8, manifest=800, at="2027-11-26T01:00:00.000000")
    assert not depot.watch()
    monkeypatch.setattr(depots, "moment", lambda seconds=None: "2026-11-28T00:00:00+00:00")
    assert depot.report()["derniere"] == "2026-11-26T01:00:00+00:00"
    metrics(depot.settings)
    stamp = datetime(2026, 11, 26, 1, tzinfo=UTC).timestamp()
    figure = f'creatic_depot_last_transaction_timestamp_seconds{{client="mairie"}} {stamp:.10g}'
    assert figure in (depot.settings.metrics / "depots.prom").read_text()
