"""The commands ``creatic-sauvegarde`` of a machine and ``creatic-depots`` of the server; borg and systemd are played"""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from creatic_depots import cli as server
from creatic_depots import depots, segments
from creatic_depots.depots import Depot, DepotError
from creatic_sauvegarde import backup, borg, cli, keys, postgresql, restore, snapshot
from creatic_sauvegarde.settings import BackupError, ServerUnavailableError, Settings

from apps.depots.tests.test_depots import CONFIG, ME, Log, entry, identifier, word
from testbed.patience import allowed

KEY = "ssh-ed25519 AAAAC3Nz essai@poste"

# -- a machine ------------------------------------------------------------------------------------------------------


class Machine:
    """A machine that is backed up; what borg, borgmatic and systemctl are asked is kept, what they say is given."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("cles", "etat", "metriques", "racine"):
            (folder / name).mkdir()
        self.sent: dict[str, str] = {}  # what is in a backup, its folders empty
        self.given = list[str]()
        self.folder, self.asked, self.answers = folder, list[list[str]](), list[tuple[int, str, str]]()
        self.config = folder / "cles" / "config.json"
        self.config.write_text(
            json.dumps(
                {
                    "client": "mairie",
                    "depot": "ssh://serveur/depot",
                    "etat": str(folder / "etat"),
                    "metriques": str(folder / "metriques"),
                    "base": "/",
                    "borgmatic": "/etc/borgmatic/config.yaml",
                    "elements": [
                        {"name": "a", "paths": ["/a"], "units": ["a.service"]},
                        {"name": "b", "paths": ["/b"], "units": ["b.service", "c.timer"]},
                    ],
                }
            )
        )
        self.settings = Settings.load(self.config)
        played = SimpleNamespace(run=self._run)
        for module in (backup, borg, restore):
            monkeypatch.setattr(module, "subprocess", played)

    def _run(self, command: list[Any], **options: Any) -> subprocess.CompletedProcess[str]:
        self.asked.append([str(one) for one in command])
        self.given.append(options.get("input", ""))
        status, out, err = self.answers.pop(0) if self.answers else (0, "", "")
        return subprocess.CompletedProcess(command, status, out, err)

    def run(self, *arguments: str) -> int:
        return cli.main(["--config", str(self.config), *arguments])

    def figures(self) -> dict[str, str]:
        lines = (self.settings.metrics / backup.FIGURES).read_text().splitlines()
        return dict(line.removeprefix("creatic_backup_").split() for line in lines if not line.startswith("#"))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


DONE = json.dumps(
    [
        {
            "archive": {
                "name": "mairie-1",
                "stats": {"nfiles": 3, "original_size": 2_500_000, "deduplicated_size": 400_000},
            },
            "cache": {"stats": {"unique_csize": 9}},
        }
    ]
)


def test_a_backup_is_told_and_counted(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.answers = [(0, DONE, "")]
    assert machine.run("faire") == 0
    assert capsys.readouterr().out == "Sauvegarde mairie-1 : 3 fichiers, 2,5 Mo dont 400 ko nouveaux, en 0 s.\n"
    assert machine.asked == [
        ["/usr/bin/borgmatic", "--no-color", "--config", "/etc/borgmatic/config.yaml", "create", "--json"],
        ["ssh", "-F", str(machine.folder / "cles" / "ssh_config"), "ssh://serveur", "besoins"],
    ]
    assert machine.given[-1] == '{"depots": {}, "sans_copie": 0}'  # it copies no archive: old quarters may go
    last = json.loads((machine.settings.state / backup.LAST).read_text())
    assert (last["bonne"], last["raison"], last["octets_depot"]) == (True, "", 9)
    assert last["derniere_bonne"]["archive"] == "mairie-1"
    figures = machine.figures()
    assert (figures["last_run_good"], figures["original_bytes"], figures["new_bytes"]) == ("1", "2500000", "400000")
    assert figures["last_run_timestamp_seconds"] == figures["last_good_timestamp_seconds"] == str(last["le"])
    assert (machine.settings.metrics / backup.FIGURES).stat().st_mode & 0o777 == 0o644
    assert (machine.settings.state / backup.LAST).stat().st_mode & 0o777 == 0o600


def test_a_server_that_does_not_take_the_word_is_no_failed_backup(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.answers = [(0, DONE, ""), (1, "", "creatic-depots : non")]
    assert machine.run("faire") == 0
    assert capsys.readouterr().out.splitlines()[1] == (
        "le serveur n'a pas su quels dépôts doivent rester : il s'en tient à ce qu'il sait (borg a échoué : "
        "creatic-depots : non)"
    )


def test_the_first_backup_makes_its_repository(machine: Machine) -> None:
    machine.answers = [(2, "", "Repository /srv/x does not exist."), (0, "", ""), (0, DONE, "")]
    assert machine.run("faire") == 0
    assert [command[4] for command in machine.asked[:3]] == ["create", "repo-create", "create"]
    assert machine.asked[1][-1] == "repokey-blake2"


def test_a_failed_backup_keeps_the_figures_of_the_last_good_one(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.answers = [(1, "", "The storage quota exceeded")]
    assert machine.run("faire") == 1
    assert capsys.readouterr().err.startswith("creatic-sauvegarde : le quota du dépôt est atteint")
    assert machine.figures()["last_good_timestamp_seconds"] == "0"
    assert machine.figures()["duration_seconds"] == "0"
    machine.answers = [(0, DONE, ""), (0, "", ""), (1, "creatic-sauvegarde : base absente\n", "bruit\n")]
    machine.run("faire")
    capsys.readouterr()
    assert machine.run("faire") == 1
    assert capsys.readouterr().err == "creatic-sauvegarde : base absente\n"
    figures = machine.figures()
    assert (figures["last_run_good"], figures["original_bytes"]) == ("0", "2500000")
    assert json.loads((machine.settings.state / backup.LAST).read_text())["raison"] == "base absente"


def test_a_server_that_is_away_is_for_the_next_run(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.answers = [(2, "", "ssh: connect to host x port 22: Connection refused")]
    assert machine.run("faire") == 75
    assert "le prochain passage réessaiera" in capsys.readouterr().err


def test_one_backup_at_a_time(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    lock = machine.settings.state / "verrou"
    lock.touch(0o644)  # of before: an auditor, who could read it, locked it, and its machine saved nothing
    with backup.lock_backup(machine.settings):
        assert stat.S_IMODE(lock.stat().st_mode) == 0o600
        assert machine.run("faire") == 75
    assert capsys.readouterr().err == "creatic-sauvegarde : une sauvegarde est déjà en cours\n"
    assert machine.asked == []


@pytest.mark.parametrize("status", [1, 2, 100, 107])
def test_a_warning_of_borg_is_a_failure(machine: Machine, status: int) -> None:
    machine.answers = [(status, "", "avertissement\n")]
    with pytest.raises(BackupError, match=r"^borg a échoué : avertissement$"):
        borg.run(machine.settings, "list")


def test_backups_are_listed(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    listed = {"archives": [{"name": "mairie-1", "start": "2026-11-26T03:00:00.000000"}]}
    machine.answers = [(0, json.dumps(listed), "")] * 2
    assert machine.run("liste") == 0
    assert capsys.readouterr().out.endswith("  mairie-1\n")
    assert machine.asked[0][-1] == "ssh://serveur/depot"
    (found,) = borg.archives(machine.settings, "ailleurs")
    assert (machine.asked[1][-1], found["le"].tzinfo) == ("ailleurs", UTC)
    assert str(borg.explain("\n \n")) == "borg a échoué : sans message"
    assert isinstance(borg.explain("x is not a valid repository. Check repo config."), borg.RepositoryNotFoundError)


def test_what_borg_remembers_is_forgotten(machine: Machine) -> None:
    (machine.settings.state / "borg" / "x").mkdir(parents=True)
    assert machine.run("oublier") == 0
    assert machine.run("oublier") == 0
    assert not (machine.settings.state / "borg").exists()


def test_the_other_commands_reach_their_part(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []

    def ensure(_settings: Settings, only_ssh: bool) -> list[str]:
        asked.append(only_ssh)
        return ["clé SSH", "phrase"]

    monkeypatch.setattr(keys, "ensure", ensure)
    monkeypatch.setattr(snapshot, "take", lambda _settings: asked.append("copie"))
    assert machine.run("cles") == 0
    assert machine.run("cles", "--ssh-seule") == 0
    assert machine.run("instantane") == 0
    assert asked == [False, True, "copie"]
    assert capsys.readouterr().out == "clé SSH\nphrase\n" * 2
    machine.config.unlink()
    assert machine.run("liste") == 1
    with pytest.raises(SystemExit):
        machine.run()


def test_databases_go_back_with_their_services_stopped(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    moments: list[datetime] = []
    monkeypatch.setattr(postgresql, "check", moments.append)
    monkeypatch.setattr(postgresql, "go_back", moments.append)
    assert machine.run("revenir", "2026-11-26T03:00:00") == 0
    assert moments == [datetime(2026, 11, 26, 3, tzinfo=UTC)] * 2
    units = ["a.service", "b.service", "c.timer"]
    assert machine.asked == [["systemctl", "stop", *units], ["systemctl", "start", *units]]
    assert capsys.readouterr().out.startswith("Les bases sont telles qu'elles étaient le ")
    assert machine.run("revenir", "2026-11-26T03:00:00+01:00") == 0
    assert moments[-1].astimezone(UTC).hour == 2


# -- restoration ----------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with backups, and the last one's files already in its folder."""
    now = datetime.now(UTC)
    found = [
        {"name": "avant", "le": now - timedelta(days=1)},
        {"name": "demain", "le": now + timedelta(days=1)},
        {"name": "dans-peu", "le": now + timedelta(minutes=4)},
    ]
    monkeypatch.setattr(borg, "archives", lambda _settings: found)
    more = {"mode": 0o644, "uid": 0, "gid": 0, "user": "", "group": ""}
    items = [
        {"path": "a", "type": "d", "size": 0},
        {"path": "a/1", "type": "-", "size": 4},
        {"path": "b", "type": "-", "size": 2},
    ]
    monkeypatch.setattr(borg, "listing", lambda *_given: iter([one | more for one in items]))

    @contextmanager
    def content(_settings: Settings, archive: str, paths: list[str], *_without: object) -> Iterator[tarfile.TarFile]:
        machine.asked.append(["tar", archive, *paths])
        written = io.BytesIO()
        with tarfile.open(fileobj=written, mode="w") as tar:
            for name, text in machine.sent.items():
                member = tarfile.TarInfo(name)
                member.type, member.size = (tarfile.REGTYPE, len(text)) if text else (tarfile.DIRTYPE, 0)
                tar.addfile(member, io.BytesIO(text.encode()))
        written.seek(0)
        with tarfile.open(fileobj=written) as tar:
            yield tar

    machine.sent = {"a": "", "a/1": "1234", "b": "12"}
    monkeypatch.setattr(borg, "content", content)
    (machine.folder / "racine" / str(machine.settings.snapshots).lstrip("/")).mkdir(parents=True)
    monkeypatch.setattr(snapshot, "put_back", lambda _settings, where, _refusals: [f"base sous {where.name}"])
    return machine


def test_a_restoration_below_a_folder_stops_nothing(saved: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    root = saved.folder / "racine"
    assert saved.run("restaurer", "--dans", str(root), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["archive"], told["fichiers"], told["octets"]) == ("dans-peu", 2, 6)
    assert (told["bases"], told["du_futur"]) == (["base sous racine"], ["demain"])
    assert saved.asked == [["tar", "ssh://serveur/depot::dans-peu", "a", "b"]]
    assert (root / "a" / "1").read_text() == "1234"
    assert not (root / str(saved.settings.snapshots).lstrip("/")).exists()
    (root / str(saved.settings.snapshots).lstrip("/")).mkdir()
    assert saved.run("restaurer", "--dans", str(root), "--sauvegarde", "avant") == 0
    assert capsys.readouterr().out == "avant : 2 fichiers remis.\n"


@pytest.mark.parametrize(
    ("sent", "status", "told"),
    [
        ({"a": "", "b": "12"}, 1, "1 éléments ne sont pas ceux de la sauvegarde : /a/1"),
        ({"a": "", "a/1": "123", "b": "12"}, 3, "refusé : /a/1 : autre que dans la liste de la sauvegarde"),
        ({"a": "", "a/1": "1234", "a/2": "x", "b": "12"}, 3, "refusé : /a/2 : absent de la liste de la sauvegarde"),
    ],
)
def test_a_restoration_that_is_not_the_backup_leaves_services_stopped(
    saved: Machine, capsys: pytest.CaptureFixture[str], sent: dict[str, str], status: int, told: str
) -> None:
    root = saved.folder / "racine"
    saved.config.write_text(json.dumps(json.loads(saved.config.read_text()) | {"base": str(root), "etat": f"{root}/e"}))
    (root / "e").mkdir()
    saved.sent = sent
    assert saved.run("restaurer") == status
    error = capsys.readouterr().err
    assert told in error
    if status == 3:
        assert error.splitlines()[-1].endswith("avant « systemctl start a.service b.service c.timer »")
    assert saved.asked[0][:2] == ["systemctl", "stop"]
    assert not any("start" in command for command in saved.asked)


def test_no_backup_at_all(saved: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(borg, "archives", lambda _settings: [])
    assert saved.run("restaurer") == 1
    assert capsys.readouterr().err == "creatic-sauvegarde : aucune sauvegarde à restaurer\n"


def test_services_that_nobody_declared_are_not_asked_for(machine: Machine) -> None:
    with restore.stopped([]):
        pass
    assert machine.asked == []


def test_a_holder_that_openssl_refuses_is_told(machine: Machine) -> None:
    folder = machine.settings.folder / "titulaires"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.pem").write_text("rien")
    with pytest.raises(BackupError, match=r"^séquestre : openssl refuse un titulaire \("):
        keys.ensure(machine.settings)
    assert machine.settings.passphrase.stat().st_mode & 0o777 == 0o600
    assert len(machine.settings.passphrase.read_text().strip()) == 64
    assert not (machine.settings.folder / keys.SEALED).exists()


@pytest.mark.parametrize(("action", "said"), [("stop", "s'arrêter"), ("start", "démarrer")])
def test_a_postgresql_that_does_not_obey_is_told(monkeypatch: pytest.MonkeyPatch, action: str, said: str) -> None:
    done = SimpleNamespace(returncode=1, stdout="", stderr="")
    monkeypatch.setattr(postgresql, "subprocess", SimpleNamespace(run=lambda *_command, **_options: done))
    with pytest.raises(BackupError, match=f"^PostgreSQL : il ne veut pas {said}, voir journalctl -u postgresql@17"):
        postgresql._control_service(action)
    done.returncode = 0
    postgresql._control_service(action)


def test_what_postgresql_complains_of_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "ADMINISTRATOR", "nobody")
    for command, said in (
        ("echo dit; echo un >&2; echo deux >&2", "deux"),
        ("echo dit", "dit"),
        ("true", "sans message"),
    ):
        with pytest.raises(BackupError, match=rf"^PostgreSQL : raté \({said}\)$"):
            postgresql._run_program("sh", "-c", f"{command}; exit 3", told="raté")


@pytest.mark.parametrize(("days", "kind"), [(None, "full"), (6, "diff"), (8, "full")])
def test_the_whole_server_is_saved_once_a_week(monkeypatch: pytest.MonkeyPatch, days: int | None, kind: str) -> None:
    asked: list[str] = []
    saved = (
        []
        if days is None
        else [
            {
                "type": "full",
                "timestamp": {"stop": (datetime.now(UTC) - timedelta(days=days)).timestamp()},
                "label": "1F",
            },
            {"type": "diff", "timestamp": {"stop": datetime.now(UTC).timestamp()}, "label": "2D"},
        ]
    )
    monkeypatch.setattr(postgresql, "_run_program", lambda *_arguments, told: "essai\n")
    monkeypatch.setattr(
        postgresql, "_list_backups", lambda: saved or [{"label": "0F", "type": "diff", "timestamp": {"stop": 0}}]
    )
    monkeypatch.setattr(postgresql, "_run_pgbackrest", lambda *arguments, told: asked.append(" ".join(arguments)))
    assert postgresql.save(["essai"]) == ("0F" if days is None else "2D")
    assert asked == [f"backup --type={kind}"]


def test_a_replay_is_waited_for_half_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    now, done = [0.0], list[str]()

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(postgresql, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    monkeypatch.setattr(postgresql, "_control_service", done.append)
    monkeypatch.setattr(postgresql, "_run_pgbackrest", lambda *arguments, told: done.append(" ".join(arguments)))
    monkeypatch.setattr(postgresql, "_run_program", lambda *_arguments, told: "t\n" if now[0] < 3 else "f\n")
    postgresql.put_back("1F")
    assert done == ["stop", "restore --delta --target-action=promote --set=1F --type=immediate", "start"]
    assert now[0] == pytest.approx(3.0, abs=0.21)
    monkeypatch.setattr(postgresql, "_run_program", lambda *_arguments, told: "t\n")
    with pytest.raises(BackupError, match=r"^PostgreSQL : il rejoue encore son journal, voir journalctl$"):
        postgresql.put_back("1F")
    assert now[0] == pytest.approx(1803, abs=0.5)


# -- the server -----------------------------------------------------------------------------------------------------


class Server:
    """The server of one client; a process that would become borg is kept instead."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("etat/gel", "etat/places", "metriques", "racine", "lecteurs"):
            (folder / name).mkdir(parents=True)
        self.config, self.folder = folder / "depots.json", folder
        self.config.write_text(
            json.dumps(
                {
                    "racine": str(folder / "racine"),
                    "etat": str(folder / "etat"),
                    "metriques": str(folder / "metriques"),
                    "compte": ME,
                    "lecteurs": ME,
                    "trimestres": 2,
                    "clients": {
                        "mairie": {"quota_mo": 20, "age_max_h": 48},
                        "ecole": {"quota_mo": 10, "age_max_h": 24},
                    },
                }
            )
        )
        self.settings = depots.Settings.load(self.config)
        self.depot = Depot(self.settings, "mairie")
        self.keys = folder / "lecteurs" / "authorized_keys"
        self.became: list[tuple[str, list[str]]] = []
        monkeypatch.setattr(server.os, "execv", lambda path, command: self.became.append((path, command)))
        monkeypatch.setattr(server, "_bounded", lambda _depot: None)
        self.first_to_go = folder / "oom_score_adj"
        own = {"authorized_keys": self.keys, "oom_score_adj": self.first_to_go}
        monkeypatch.setattr(server, "Path", lambda path: own.get(str(path).rpartition("/")[2], Path(path)))

    def run(self, *arguments: str) -> int:
        return server.main(["--config", str(self.config), *arguments])


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(tmp_path, monkeypatch)


def test_a_client_writes_in_its_own_repository_alone(host: Server, capsys: pytest.CaptureFixture[str]) -> None:
    host.run("servir", "mairie")
    assert host.became == [
        ("/usr/bin/borg", ["/usr/bin/borg", "serve", "--umask=0027", "--append-only", "--restrict-to-repository",
                           str(host.depot.path), "--storage-quota", "20M"])
    ]  # fmt: skip # a row a line
    host.became.clear()
    host.depot.freeze_file.touch()
    assert host.run("servir", "mairie") == 1
    assert host.became == []
    assert capsys.readouterr().err == "Ce dépôt est gelé par le serveur de sauvegarde : appelez le groupement.\n"


def test_a_key_has_so_many_sessions_and_leaves_others_theirs(
    host: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Thirty of one client's had 2.5 GB, borg's own 80 MB each, before it was asked anything: no other could save."""
    tried: list[tuple[str, int]] = []

    def become(path: str, command: list[str]) -> None:
        tried.append((path, len(tried)))
        if len(tried) < 20:  # while this one goes on
            host.run("servir", "mairie")

    monkeypatch.setattr(server.os, "execv", become)
    host.run("servir", "mairie")
    assert len(tried) == server.PLACES
    said = capsys.readouterr().err
    assert "sessions ouvertes ici. À faire : attendez leur fin" in said
    refused = borg.explain(said)
    assert isinstance(refused, ServerUnavailableError) and "le prochain passage réessaiera" in str(refused)
    assert host.first_to_go.read_text() == "500"
    tried.clear()  # they ended: it has them again
    host.run("servir", "mairie")
    assert len(tried) == server.PLACES


def test_a_session_keeps_its_place_once_it_is_borg_s(host: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose process it then is; a restoration has places of its own, and one that is killed leaves none behind."""
    program = "import sys; from creatic_depots.cli import main; sys.exit(main(sys.argv[1:]))"
    borg_path = host.config.with_name("borg")
    borg_path.write_text("#!/bin/sh\necho là; exec cat\n", encoding="utf-8")
    borg_path.chmod(0o755)
    program = f"import creatic_depots.cli as cli; cli._BORG = {str(borg_path)!r}; {program}"
    command = [sys.executable, "-c", program, "--config", str(host.config), "servir", "mairie"]
    paths = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

    def begun() -> subprocess.Popen[str]:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, env=os.environ | paths)  # fmt: skip # one call
        opened.append(process)
        return process

    def said(process: subprocess.Popen[str]) -> str:
        assert process.stdout
        return process.stdout.readline()

    opened: list[subprocess.Popen[str]] = []
    try:
        assert [said(begun()) for _rank in range(server.PLACES)] == ["là\n"] * server.PLACES
        assert "sessions ouvertes ici" in said(begun())
        host.run("lire", "mairie")
        assert len(host.became) == 1
        opened[0].kill()
        opened[0].wait()
        assert said(begun()) == "là\n"
    finally:
        for process in opened:
            process.kill()
            process.communicate()


def test_who_is_on_the_server_takes_no_place_of_a_key(host: Server) -> None:
    """A name of the kernel's own (unix(7)) is anybody's: an auditor's session held all those of every client."""
    held = []
    for rank in range(server.PLACES):
        name = hashlib.sha256(f"{host.settings.root} servir mairie".encode()).hexdigest()
        held.append(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        held[-1].bind(f"\0creatic-depots {name} {rank}")
    host.run("servir", "mairie")
    assert len(host.became) == 1
    for one in held:
        one.close()


@pytest.mark.parametrize(("written", "ends"), [(100, False), (130, True)])
def test_a_session_ends_when_what_it_writes_is_too_much(host: Server, written: int, ends: bool) -> None:
    """83 MB a second of one block that is replaced, which no quota of borg counts, for the ten minutes of a look."""
    folder, borg_path = host.depot.path / "data/0", host.config.with_name("borg")
    folder.mkdir(parents=True)
    borg_path.write_text(f"#!/bin/sh\ntruncate -s {written}000000 {folder}/7; echo là; exec cat\n", encoding="utf-8")
    borg_path.chmod(0o755)
    program = f"import creatic_depots.cli as cli; cli._BORG = {str(borg_path)!r}; cli._LOOK_S = 0.05; "
    program += "import sys; sys.exit(cli.main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "--config", str(host.config), "servir", "mairie"]
    paths = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

    def begun() -> subprocess.Popen[str]:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True, env=os.environ | paths)  # fmt: skip # one call

    with begun() as one:
        assert one.stdin and one.stdout
        assert one.stdout.readline() == "là\n"
        if ends:
            assert one.wait(allowed(60)) == -signal.SIGKILL
            assert one.stdout.read() == ""  # nothing else holds its connection
        else:
            time.sleep(1)  # twenty looks
            one.stdin.close()
            assert one.wait(allowed(60)) == 0
    if ends:
        with begun() as again:
            assert again.wait(allowed(60)) == 1
            assert again.stdout and "130 Mo occupés sur le disque, pour un quota de 20 Mo" in again.stdout.read()


def test_a_client_s_key_tells_what_must_stay(host: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    host.depot.word_file.parent.mkdir(parents=True, exist_ok=True)
    monkeypatch.setenv("SSH_ORIGINAL_COMMAND", "besoins")
    for text, status in ((word({7: 1}), 0), (b"x" * 2_000_000, 1)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
        assert host.run("servir", "mairie") == status
    assert (host.became, host.depot.word_file.read_bytes()) == ([], word({7: 1}))
    host.depot.freeze_file.touch()
    assert host.run("servir", "mairie") == 1


def test_a_reader_sees_the_repository_and_its_quarters(host: Server) -> None:
    closed = host.depot.home / "periodes" / "2026-T3"
    closed.mkdir(parents=True)
    host.run("lire", "mairie")
    [(_path, command)] = host.became
    assert command[:3] == ["/usr/bin/borg", "serve", "--append-only"]
    assert command[3:] == ["--restrict-to-repository", str(host.depot.path), "--restrict-to-repository", str(closed)]


def test_a_reading_key_is_let_in_for_a_time(host: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert host.run("ouvrir", "mairie", "--cle", f" {KEY}\n", "--minutes", "10") == 0
    [line] = host.keys.read_text().splitlines()
    end = line.partition('expiry-time="')[2].partition('"')[0]
    assert line == f'command="/usr/bin/creatic-depots lire mairie",restrict,expiry-time="{end}" ssh-ed25519 AAAAC3Nz'
    left = datetime.strptime(end, "%Y%m%d%H%MZ").replace(tzinfo=UTC) - datetime.now(UTC)
    assert timedelta(minutes=8) < left <= timedelta(minutes=10)
    assert capsys.readouterr().out == f"mairie : lecture ouverte jusqu'à {end}\n"
    assert host.keys.stat().st_mode & 0o777 == 0o644
    old = 'restrict,expiry-time="202001010000Z" ssh-ed25519 BBBB'
    other = 'restrict,expiry-time="299901010000Z" ssh-ed25519 CCCC'
    host.keys.write_text(f"{line}\n{old}\n{other}\n")
    assert host.run("ouvrir", "mairie", "--cle", KEY) == 0
    kept, again = host.keys.read_text().splitlines()
    assert kept == other
    left = datetime.strptime(again.partition('time="')[2][:13], "%Y%m%d%H%MZ").replace(tzinfo=UTC) - datetime.now(UTC)
    assert timedelta(minutes=118) < left <= timedelta(minutes=120)
    assert host.run("fermer", "--cle", "ssh-ed25519 CCCC autre") == 0
    assert host.keys.read_text() == f"{again}\n"
    assert host.run("fermer", "--cle", "AAAAC3Nz") == 0
    assert host.keys.read_text() == ""
    host.keys.unlink()
    assert host.run("fermer", "--cle", "AAAAC3Nz") == 0


def test_what_is_no_key_and_who_is_no_client_are_refused(host: Server, capsys: pytest.CaptureFixture[str]) -> None:
    for key in ("ssh-rsa AAAA", 'ssh-ed25519 AAAA\ncommand="x" ssh-ed25519 BBBB'):
        assert host.run("ouvrir", "mairie", "--cle", key) == 1
        assert "clé : une clé publique ssh-ed25519 est attendue" in capsys.readouterr().err
    assert host.run("ouvrir", "inconnu", "--cle", KEY) == 1
    assert "client inconnu de ce serveur : inconnu (connus : ecole, mairie)" in capsys.readouterr().err
    assert not host.keys.exists()


def test_a_key_reads_one_machine_s_repository(host: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert host.run("ouvrir", "mairie", "--cle", KEY) == 0
    assert host.run("ouvrir", "ecole", "--cle", KEY) == 1
    assert "elle lit déjà le dépôt de mairie ; chaque machine a la sienne" in capsys.readouterr().err
    # What another key begins with is another key; and none is not all.
    assert host.run("ouvrir", "ecole", "--cle", "ssh-ed25519 AAAA x") == 0
    assert [line.split()[1] for line in host.keys.read_text().splitlines()] == ["lire", "lire"]
    before = host.keys.read_text()
    for nothing in ("", "ssh-ed25519 A", "A"):
        assert host.run("fermer", "--cle", nothing) == 0
        assert host.keys.read_text() == before
    assert host.run("fermer", "--cle", "AAAA") == 0
    assert [line.split()[2].partition('"')[0] for line in host.keys.read_text().splitlines()] == ["mairie"]


def test_one_s_trouble_does_not_keep_the_others_from_the_watch(
    host: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log(host.depot.path)
    log.backup(1, 500)
    assert host.run("surveiller") == 0
    assert (host.settings.metrics / "depots.prom").exists()
    log.transaction(entry(segments.DELETE, identifier(1)), manifest=600)
    assert host.run("surveiller") == 1
    told = "1 blocs déjà sauvegardés ont été supprimés ou remplacés"
    assert capsys.readouterr().err == f"<2>mairie : dépôt gelé, {told}. À faire : fab sauvegarde.revenir mairie\n"
    assert host.run("surveiller", "ecole") == 0
    assert host.run("rouvrir", "mairie") == 1
    monkeypatch.setattr(Depot, "verify", lambda self: None)
    assert host.run("revenir", "mairie") == 0
    assert "revenu à la transaction" in capsys.readouterr().out
    assert host.run("rouvrir", "mairie") == 0
    assert host.run("revenir", "mairie") == 1
    assert "rien de suspect n'a été vu, rien n'est défait" in capsys.readouterr().err


def test_repositories_are_verified_and_told(
    host: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    status, asked = 0, list[tuple[str, ...]]()

    def check(_self: Depot, *arguments: str) -> subprocess.CompletedProcess[str]:
        asked.append(arguments)
        return subprocess.CompletedProcess(arguments, status, "\n \nbloc 7 abîmé\nautre\n", "")

    monkeypatch.setattr(Depot, "_borg", check)
    assert host.run("verifier") == 0
    assert asked == []
    Log(host.depot.path).backup(1, 500)
    assert host.run("verifier", "mairie") == 0
    assert asked == [("check", "--repository-only", str(host.depot.path))]
    assert 'creatic_depot_verified{client="mairie"} 1\n' in (host.settings.metrics / "depots.prom").read_text()
    status = 1
    assert host.run("verifier") == 1
    assert capsys.readouterr().err.startswith(
        "<3>mairie : le dépôt est abîmé (bloc 7 abîmé). Rien n'est réparé d'office"
    )
    assert 'creatic_depot_verified{client="mairie"} 0\n' in (host.settings.metrics / "depots.prom").read_text()
    assert host.run("etat") == 0
    ecole, mairie = json.loads(capsys.readouterr().out)
    assert (ecole["client"], ecole["derniere"], ecole["trop_ancienne"]) == ("ecole", "", False)
    assert mairie["verification"]["bonne"] is False
    assert (mairie["quota_octets"], mairie["transactions"], mairie["gele"]) == (20_000_000, 1, False)


def test_quarters_are_turned_over_after_a_look(
    host: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log(host.depot.path)
    log.backup(1, 500)
    log.transaction(entry(segments.DELETE, identifier(1)), manifest=600)
    monkeypatch.setattr(server, "moment", lambda: "2027-01-01T03:00:00+00:00")
    assert host.run("tourner") == 0
    assert (capsys.readouterr().out, host.depot.freeze_file.exists()) == ("", True)


def test_figures_say_when(host: Server) -> None:
    Log(host.depot.path).backup(1, 500)
    depots.metrics(host.settings)
    text = (host.settings.metrics / "depots.prom").read_text()
    assert 'creatic_depot_last_transaction_timestamp_seconds{client="ecole"} 0\n' in text
    assert 'creatic_depot_last_transaction_timestamp_seconds{client="mairie"} 1795654800\n' in text
    assert 'creatic_depot_verified_timestamp_seconds{client="mairie"} 0\n' in text
    assert (host.settings.metrics / "depots.prom").stat().st_mode & 0o777 == 0o644


# -- a repository's edges -------------------------------------------------------------------------------------------


def test_a_quarter_is_three_months() -> None:
    found = [depots.quarter(f"2026-{month:02}-28T00:00:00+00:00")[-2:] for month in range(1, 13)]
    assert found == ["T1"] * 3 + ["T2"] * 3 + ["T3"] * 3 + ["T4"] * 3
    assert depots.moment(1_795_654_800.5) == "2026-11-26T01:00:00+00:00"
    before = datetime.now(UTC).replace(microsecond=0)
    assert before <= datetime.fromisoformat(depots.moment()) <= datetime.now(UTC)


def test_the_first_list_of_backups_is_shorter_than_none(host: Server) -> None:
    log = Log(host.depot.path)
    log.backup(1, 500)
    log.transaction(entry(segments.PUT2, identifier(3), b"x"))  # without a manifest
    assert host.depot.watch() == ""
    assert host.depot.state["manifeste"] == 541  # with its header and its identifier
    log.backup(4, 499)
    assert host.depot.watch() == "la liste des sauvegardes a raccourci"


def test_a_repository_that_is_not_made_yet_is_not_watched(host: Server) -> None:
    assert host.depot.watch() == ""
    assert not host.depot.exists
    host.depot.verify()
    host.depot.make()
    assert host.depot.path.stat().st_mode & 0o7777 == 0o2750
    assert host.depot.turn("2026-11-26T03:00:00+00:00") == []


def test_a_transaction_undone_while_it_is_read_is_for_the_next_look(
    host: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    Log(host.depot.path).backup(1, 500)

    def gone(*_arguments: object) -> Iterator[segments.Transaction]:
        raise FileNotFoundError

    monkeypatch.setattr(segments, "transactions", gone)
    assert host.depot.watch() == ""
    assert host.depot.state["vu"] == -1


def test_a_configuration_that_cannot_be_read_was_changed(host: Server) -> None:
    Log(host.depot.path).backup(1, 500)
    host.depot.watch()
    assert (host.settings.state / "mairie.config").stat().st_mode & 0o777 == 0o600
    (host.depot.path / "config").write_text("sans section\n")
    assert host.depot.watch() == "la configuration du dépôt, qui porte sa clé, a été changée"


def test_without_a_good_transaction_nothing_is_rolled_back(host: Server) -> None:
    log = Log(host.depot.path)
    log.transaction(entry(segments.DELETE, identifier(1)), manifest=600)
    assert host.depot.watch()
    with pytest.raises(DepotError, match=r"^mairie : aucune transaction saine à retrouver$"):
        host.depot.roll_back()


def test_what_borg_left_of_the_crime_goes_too(host: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Depot, "verify", lambda self: None)
    log = Log(host.depot.path)
    log.backup(1, 500)
    host.depot.watch()
    good = log.number
    log.transaction(entry(segments.DELETE, identifier(1)), manifest=600)
    (host.depot.path / "config").write_text(CONFIG.replace("clé", "autre"))
    (host.depot.path / "lock.exclusive").mkdir()
    for name in ("lock.roster", "index.3", "hints.3", "integrity.3"):
        (host.depot.path / name).touch()
    (host.depot.path / "transactions").chmod(0o600)
    assert host.depot.watch()
    told = host.depot.roll_back()
    assert told.startswith(
        f"mairie : revenu à la transaction {good} (2026-11-26T01:00:00+00:00) ; 5 fichiers écartés dans "
    )
    assert sorted(path.name for path in host.depot.path.iterdir()) == ["config", "data", "transactions"]
    assert (host.depot.path / "config").read_text() == CONFIG
    assert (host.depot.path / "config").stat().st_mode & 0o777 == 0o640
    assert (host.depot.path / "transactions").stat().st_mode & 0o777 == 0o640
    aside = next(host.depot.home.glob("ecarte/*"))
    assert aside.stat().st_mode & 0o777 == 0o700
    assert {"config", "index.3", "hints.3", "integrity.3", "transactions"} <= {path.name for path in aside.iterdir()}
    assert host.depot.state["vu"] == good
    assert host.depot.freeze_file.stat().st_mode & 0o777 == 0o644


def test_a_client_that_is_suspect_is_stopped_at_once(host: Server) -> None:
    waits = "import sys, time; print('prêt', flush=True); time.sleep(60)"
    processes = [
        subprocess.Popen([sys.executable, "-c", waits, path], stdout=subprocess.PIPE)
        for path in (str(host.depot.path), str(host.depot.home))
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        host.depot.freeze("essai")
        assert processes[0].wait(allowed(30)) == -15
        assert processes[1].poll() is None
    finally:
        for process in processes:
            process.kill()
            process.wait()
            process.communicate()


def test_a_quarter_closed_twice_has_two_folders(host: Server) -> None:
    (host.depot.home / "periodes" / "2026-T4").mkdir(parents=True)
    Log(host.depot.path).backup(1, 500)
    host.depot.watch()
    (host.depot.path / "lock.exclusive").mkdir()
    assert host.depot.turn("2027-01-01T03:00:00+00:00") == []
    (host.depot.path / "lock.exclusive").rmdir()
    assert host.depot.turn("2027-01-01T03:00:00+00:00") == ["mairie : trimestre 2026-T4-2027-01-01 clos"]
    assert (host.settings.state / "mairie-2026-T4-2027-01-01.config").exists()
    assert [path.name for path in sorted((host.depot.home / "periodes").iterdir())] == ["2026-T4", "2026-T4-2027-01-01"]
    assert host.depot.report()["periodes"] == ["2026-T4", "2026-T4-2027-01-01"]


@pytest.mark.parametrize("content", [b"", b"BORG_SE", b"AUTRE!!!"])
def test_a_segment_begins_as_borg_writes_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "7").write_bytes(content)
    with pytest.raises(segments.SegmentError, match=r"^7 : ce n'est pas un segment de borg$"):
        list(segments.entries(tmp_path / "7"))


@pytest.mark.parametrize(
    ("size", "tag", "good"),
    [(9, segments.COMMIT, True), (8, segments.COMMIT, False), (41, segments.PUT, True), (40, segments.DELETE, False),
     (41, 4, False)],
)  # fmt: skip # a case a line
def test_an_entry_that_makes_no_sense_is_told(tmp_path: Path, size: int, tag: int, good: bool) -> None:
    head = segments.MAGIC + entry(segments.COMMIT) + segments._HEADER.pack(0, size, tag)
    head += b"" if good and tag == segments.COMMIT else bytes(32)
    (tmp_path / "7").write_bytes(head)
    if good:
        assert [one.tag for one in segments.entries(tmp_path / "7")][:2] == [segments.COMMIT, tag]
    else:
        with pytest.raises(segments.SegmentError, match=r"^7 : entrée illisible à l'octet 17$"):
            list(segments.entries(tmp_path / "7"))


def test_borg_is_run_as_the_clients_account(host: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[list[str], dict[str, Any]]] = []
    began = subprocess.Popen

    def played(command: list[str], **options: Any) -> subprocess.Popen[str]:
        asked.append((command, options))
        return began(["/usr/bin/printf", "dit"], stdout=options["stdout"], text=True)

    monkeypatch.setattr(depots.subprocess, "Popen", played)
    assert host.depot._borg("check", "x").stdout == "dit"
    [(command, options)] = asked
    assert command == ["/usr/bin/borg", "--umask=0027", "check", "x"]
    assert (options["user"], options["group"], options["extra_groups"]) == (os.getuid(), os.getgid(), [])
    assert options["env"]["BORG_BASE_DIR"] == str(host.settings.state / "borg")
    assert (options["text"], options["stderr"]) == (True, subprocess.STDOUT)


# -- a check that takes long ----------------------------------------------------------------------------------------


@pytest.fixture
def program(host: Server, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for borg: what it does with mairie's repository is given; that of ecole is good."""
    path = host.settings.state / "borg.sh"
    monkeypatch.setattr(depots, "_BORG", str(path))
    for name in ("mairie", "ecole"):
        Log(Depot(host.settings, name).path).backup(1, 500)
    return path


def does(program: Path, what: str) -> None:
    program.write_text(f'#!/bin/sh\ncase "$*" in *ecole*) exit 0;; esac\n{what}\n', encoding="utf-8")
    program.chmod(0o755)


def test_a_repository_that_is_never_read_to_its_end_keeps_no_other_and_no_watch(
    host: Server, program: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that ignores who asks it to end is ended; the watch sees meanwhile what others delete."""
    monkeypatch.setattr(depots, "_TURN", 1)
    monkeypatch.setattr(depots, "_PATIENCE", 1)
    begun = host.settings.state / "commence"
    does(program, f"trap '' TERM; touch {begun}; while :; do :; done")
    weekly = threading.Thread(target=host.run, args=("verifier", "mairie", "ecole"))
    weekly.start()
    while not begun.exists():
        time.sleep(0.01)
    log = Log.__new__(Log)
    log.path, log.number = Depot(host.settings, "ecole").path, 1
    log.transaction(entry(segments.DELETE, identifier(1)), manifest=600)
    assert host.run("surveiller", "ecole") == 1
    assert weekly.is_alive()  # it was not waited for
    weekly.join(allowed(30))
    assert not weekly.is_alive()
    told = capsys.readouterr().err
    assert "ecole : dépôt gelé" in told
    assert "<3>mairie : la relecture du dépôt n'est pas finie, elle n'a pas fini en" in told and "À faire" in told
    states = {name: Depot(host.settings, name).state for name in ("mairie", "ecole")}
    assert "bonne" not in states["mairie"]["verification"] and states["mairie"]["verification"]["inachevee"]
    assert states["ecole"]["verification"]["bonne"] and states["ecole"]["suspect"]  # neither lost the other's
    text = (host.settings.metrics / "depots.prom").read_text()
    assert 'creatic_depot_verification_unended{client="mairie"} 1\n' in text
    assert 'creatic_depot_verified{client="mairie"} -1\n' in text


def test_what_is_too_much_for_one_turn_is_read_in_parts(
    host: Server, program: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host.depot._keep(host.depot.state | {"verification": {"le": "2026-11-01T05:00:00+00:00", "bonne": True}})
    host.depot._unended("essai")
    asked = host.settings.state / "demande"
    does(program, f'echo "$*" > {asked}; echo "finished partial segment check, last segment checked is 7"')
    assert host.run("verifier") == 1
    assert "--max-duration 3600" in asked.read_text()
    assert "elle se fait par parties de 60 minutes, celle-ci est bonne" in capsys.readouterr().err
    assert host.depot.state["verification"]["le"] == "2026-11-01T05:00:00+00:00"  # the last one that was whole
    does(program, 'echo "finished segment check at segment 9"')
    assert host.run("verifier") == 0
    assert "inachevee" not in host.depot.state["verification"]


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("kill -9 $$", "borg a été arrêté avant la fin"),  # memory
        ("exit 143", "borg a été arrêté avant la fin"),  # a return, which ends what is read
        ("echo 'Failed to create/acquire the lock /x/lock.exclusive (timeout).'; exit 2", "occupé par sa machine"),
    ],
)
def test_a_check_that_was_kept_from_its_end_accuses_nobody(
    host: Server, program: Path, capsys: pytest.CaptureFixture[str], what: str, told: str
) -> None:
    does(program, what)
    assert host.run("verifier") == 1
    said = capsys.readouterr().err
    assert told in said and "abîmé" not in said
    assert "bonne" not in host.depot.state["verification"]


def test_what_a_repository_takes_on_the_disk_is_counted(host: Server) -> None:
    log = Log(host.depot.path)
    assert host.depot.report()["octets"] == 0
    log.backup(1, 500)
    sizes = [path.stat().st_size for path in segments.files(host.depot.path).values()]
    assert host.depot.report()["octets"] == sum(sizes) > 500
