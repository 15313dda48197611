"""What creatic-audit finds on a machine: apt, OpenSCAP and /proc are played."""

from __future__ import annotations

import base64
import ctypes
import gzip
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from creatic_audit import cli, facts, patches, scan

# -- command line ---------------------------------------------------------------------------------------------------


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The profiles that OpenSCAP was asked for."""
    profiles: list[str] = []

    def judged(profile: str, scratch: Path) -> dict[str, Any]:
        assert scratch == Path("/essai")
        profiles.append(profile)
        return {"profil": profile}

    monkeypatch.setattr(cli, "facts", lambda: {"nom": "pc-mairie-é"})
    monkeypatch.setattr(cli, "patches", lambda: {"installes": 3})
    monkeypatch.setattr(cli, "private_scratch", lambda: Path("/essai"))
    monkeypatch.setattr(cli, "scan", judged)
    usage = SimpleNamespace(ru_utime=1.03, ru_stime=0.1)
    monkeypatch.setattr(cli.resource, "getrusage", lambda _who: usage)
    moments = iter([10.0, 13.26] * 9)
    monkeypatch.setattr(cli, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    return profiles


def test_one_line_of_json_says_all(collected: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--niveau", "enhanced"]) == 0
    assert cli.main(["--profil", "cis_level1_server"]) == 0
    assert cli.main(["--sans-openscap"]) == 0
    lines = capsys.readouterr().out.splitlines()
    first, second, third = (json.loads(line) for line in lines)
    assert collected == ["anssi_bp28_enhanced", "cis_level1_server"]
    assert lines[0].startswith('{"version":1,"debut":"')
    assert "pc-mairie-é" in lines[0]
    assert first.keys() == {"version", "debut", "systeme", "correctifs", "openscap", "duree_s", "cpu_s"}
    assert (first["duree_s"], first["cpu_s"], first["correctifs"]) == (3.3, 2.3, {"installes": 3})
    assert second["openscap"] == {"profil": "cis_level1_server"}
    assert "openscap" not in third


def test_a_scan_that_cannot_be_made_is_told(
    collected: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Path:
        raise scan.ScanError("pas root")

    monkeypatch.setattr(cli, "private_scratch", fail)
    assert cli.main(["--niveau", "high"]) == 1
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "creatic-audit : pas root\n")


@pytest.mark.parametrize(
    "arguments",
    [[], ["--profil", "A"], ["--profil", "x" * 65], ["--niveau", "x"], ["--sans-openscap", "--niveau", "high"]],
)
def test_wrong_use_is_refused(collected: list[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert (stopped.value.code, collected) == (2, [])


# -- facts ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Writes a system's file in the folder that is taken for the root."""
    monkeypatch.setattr(facts, "Path", lambda path: tmp_path / str(path).lstrip("/"))

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_what_a_command_says_or_nothing() -> None:
    assert facts._output("sh", "-c", "echo ' dit '; echo plainte >&2; exit 3") == "dit"
    assert facts._output("/absent") == ""


def test_the_system_is_named_with_its_point_release(files: Callable[[str, str], Path]) -> None:
    release = files("etc/os-release", 'ID=debian\n\nPRETTY_NAME="Debian GNU/Linux 13 = trixie"\n')
    assert facts._os_name(release) == "Debian GNU/Linux 13 = trixie"
    files("etc/debian_version", "13.2\n")
    assert facts._os_name(release) == "Debian GNU/Linux 13 = trixie (13.2)"


def test_sockets_that_wait_are_sorted_by_port(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = (
        'tcp LISTEN 0 128 [::]:443 [::]:* users:(("nginx",pid=1,fd=3))\n'
        'tcp LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:(("sshd",pid=2,fd=3),("autre",pid=3,fd=3))\n'
        "udp UNCONN 0 0 127.0.0.1:323\n"
        "abrégé 1 2 3\n"
    )
    monkeypatch.setattr(facts, "_output", lambda *_command: shown)
    assert facts._listening() == [
        {"protocole": "tcp", "adresse": "0.0.0.0", "port": "22", "programme": "sshd"},  # noqa: S104 - what ss shows
        {"protocole": "tcp", "adresse": "[::]", "port": "443", "programme": "nginx"},
        {"protocole": "udp", "adresse": "127.0.0.1", "port": "323", "programme": ""},
    ]


def test_only_accounts_with_a_shell_are_told(files: Callable[[str, str], Path]) -> None:
    path = files(
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/:/usr/sbin/nologin\nfaux:x:2:2::/:/bin/false\n"
        "sync:x:4:65534::/:/bin/sync\nanne:x:1000:1000::/home/anne:\ncourt:x:1:2\n",
    )
    assert facts._accounts(path) == ["anne", "root"]


@pytest.mark.parametrize(
    ("state", "error", "kept"), [(0, 1, True), (5, 15_999_999, True), (0, 16_000_000, False), (-1, 0, False)]
)
def test_a_clock_is_kept_when_the_kernel_says_so(
    monkeypatch: pytest.MonkeyPatch, state: int, error: int, kept: bool
) -> None:
    def adjtimex(buffer: Any) -> int:
        assert len(buffer) >= 208  # sizeof(struct timex)
        ctypes.c_long.from_buffer(buffer, 3 * ctypes.sizeof(ctypes.c_long)).value = error
        return state

    monkeypatch.setattr(facts.ctypes, "CDLL", lambda _name: SimpleNamespace(adjtimex=adjtimex))
    assert facts._synchronized() == kept


def test_the_machine_is_described(files: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    files("proc/uptime", "3600.00 99.0\n")
    files("proc/meminfo", "Autre: 1 kB\nMemTotal:        2097152 kB\n")
    answers = {"systemd-detect-virt": "", "systemctl": "a.service\nb.service"}
    monkeypatch.setattr(facts, "_output", lambda *command: answers[command[0]])
    monkeypatch.setattr(facts.os, "statvfs", lambda _path: SimpleNamespace(f_bavail=3 * 2**20, f_frsize=4096))
    for name, value in (("_os_name", "Debian"), ("_synchronized", True), ("_listening", []), ("_accounts", ["root"])):
        monkeypatch.setattr(facts, name, lambda value=value: value)
    before = facts.datetime.now(facts.UTC).timestamp()
    told = facts.facts()
    after = facts.datetime.now(facts.UTC).timestamp()
    assert (told["memoire_mio"], told["disque_libre_mio"]) == (2048, 12288)
    assert (told["conteneur"], told["unites_en_echec"]) == ("none", ["a.service", "b.service"])
    started = facts.datetime.fromisoformat(told["demarre_le"]).timestamp()
    assert before - 3601 <= started <= after - 3599  # told to the second
    answers["systemd-detect-virt"] = "podman"
    assert facts.facts()["conteneur"] == "podman"


# -- patches --------------------------------------------------------------------------------------------------------


def test_lists_are_of_the_day_apt_last_looked(tmp_path: Path) -> None:
    assert patches.lists_date(tmp_path) is None
    (tmp_path / "partial").mkdir()
    assert patches.lists_date(tmp_path) is None
    (tmp_path / "deb_InRelease").touch()
    os.utime(tmp_path / "deb_InRelease", (1_700_000_000,) * 2)
    os.utime(tmp_path / "partial", (1_700_000_100,) * 2)
    assert patches.lists_date(tmp_path) == "2023-11-14T22:15:00+00:00"
    os.utime(tmp_path / "deb_InRelease", (1_700_000_160,) * 2)
    assert patches.lists_date(tmp_path) == "2023-11-14T22:16:00+00:00"
    (tmp_path / "partial").rmdir()
    assert patches.lists_date(tmp_path) is None


def test_the_last_run_of_apt_is_the_last_of_its_log(tmp_path: Path) -> None:
    path = tmp_path / "history.log"
    assert patches.last_upgrade(path) is None
    path.write_text("rien\n")
    assert patches.last_upgrade(path) is None
    path.write_text("Start-Date: 2026-11-01  10:00:00\nEnd\n\nStart-Date: 2026-11-02  11:00:00\n")
    assert patches.last_upgrade(path) == "2026-11-02T11:00:00"


class Package:
    def __init__(
        self, name: str, installed: str, candidate: str | None, label: str = "Debian", archive: str = ""
    ) -> None:
        self.name = name
        self.current_ver = SimpleNamespace(ver_str=installed) if installed else None
        origin = SimpleNamespace(label=label, archive=archive)
        self.candidate = candidate and SimpleNamespace(ver_str=candidate, file_list=[(origin, 0)])

    def get_fullname(self, pretty: bool) -> str:
        return self.name if pretty else f"{self.name}:amd64"


def test_what_has_something_newer_is_listed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    packages = [
        Package("zlib", "1", "2"),
        Package("bash", "1", "1"),
        Package("vim", "2", "1"),
        Package("perdu", "1", None),
        Package("absent", "", "2"),
        Package("ssl", "1", "2", label="Debian-Security"),
        Package("cups", "1", "2", archive="trixie-security"),
    ]
    apt = ModuleType("apt_pkg")
    kept: dict[str, str] = {}
    for name, value in {
        "init": lambda: None,
        "config": SimpleNamespace(set=kept.__setitem__),
        "Cache": lambda progress: SimpleNamespace(packages=packages),
        "DepCache": lambda _cache: SimpleNamespace(get_candidate_ver=lambda package: package.candidate),
        "version_compare": lambda one, other: (one > other) - (one < other),
    }.items():
        setattr(apt, name, value)
    monkeypatch.setitem(sys.modules, "apt_pkg", apt)
    monkeypatch.setattr(patches, "REBOOT", tmp_path / "reboot")
    told = patches.patches()
    assert kept == {"Dir::Cache::pkgcache": "", "Dir::Cache::srcpkgcache": ""}
    assert told["installes"] == 6
    assert [one["nom"] for one in told["a_mettre_a_jour"]] == ["cups", "ssl", "zlib"]
    assert told["securite"] == [{"nom": name, "installee": "1", "disponible": "2"} for name in ("cups", "ssl")]
    assert not told["redemarrage_requis"]
    (tmp_path / "reboot").touch()
    assert patches.patches()["redemarrage_requis"]


# -- OpenSCAP -------------------------------------------------------------------------------------------------------


def test_a_tmp_in_memory_is_told_by_its_options(tmp_path: Path) -> None:
    table = tmp_path / "mounts"
    for lines, expected in (
        ("tmpfs /tmp tmpfs rw,nosuid,nodev,size=1g 0 0\ntmpfs /run tmpfs rw,noexec 0 0\n", "rw,nosuid,nodev"),
        ("tmpfs /tmp tmpfs rw,noexec 0 0\n/dev/sda2 /tmp ext4 rw 0 0\n", ""),
        ("/dev/sda1 / ext4 rw 0 0\n", ""),
    ):
        table.write_text(lines)
        assert scan._tmp_options(table) == expected


def test_the_scratch_space_is_seen_by_nobody_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[str] = []
    shared: list[int] = []
    status = 0

    def run(command: list[str], **_options: Any) -> subprocess.CompletedProcess[str]:
        asked.append(" ".join(command))
        return subprocess.CompletedProcess(command, status, "", "plein\n")

    monkeypatch.setattr(scan.os, "unshare", shared.append)
    monkeypatch.setattr(scan, "subprocess", SimpleNamespace(run=run))
    monkeypatch.setattr(scan, "_tmp_options", lambda: "rw,noexec")
    assert scan.private_scratch(tmp_path) == tmp_path
    assert shared == [os.CLONE_NEWNS]
    assert asked == [
        "mount --make-rprivate /",
        f"mount -n -t tmpfs -o mode=0700,nosuid,nodev,exec,size=512m creatic-audit {tmp_path}",
        "mount -n -t tmpfs -o mode=1777,rw,noexec tmpfs /tmp",
    ]
    monkeypatch.setattr(scan, "_tmp_options", lambda: "")
    scan.private_scratch(tmp_path)
    assert len(asked) == 5
    status = 32
    with pytest.raises(scan.ScanError, match=r"^espace de travail impossible dans .* : plein$"):
        scan.private_scratch(tmp_path)

    def refuse(_flags: int) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(scan.os, "unshare", refuse)
    with pytest.raises(scan.ScanError, match=r"^cet audit demande les droits de root : Operation not permitted$"):
        scan.private_scratch(tmp_path)


class Oscap:
    """OpenSCAP: writes what it is told to, ends with that status."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.status, self.writes, self.version = 0, True, "OpenSCAP 1.4\nautre\n"
        self.error: Exception | None = None
        self.command: list[str] = []
        played = SimpleNamespace(run=self._run, TimeoutExpired=subprocess.TimeoutExpired)
        monkeypatch.setattr(scan, "subprocess", played)

    def _run(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        assert options["capture_output"] and options["text"]
        if command == ["oscap", "--version"]:
            return subprocess.CompletedProcess(command, 0, self.version, "")
        if self.error:
            raise self.error
        self.command = command
        assert options["timeout"] == 1800
        assert options["env"]["TMPDIR"] == str(options["cwd"])
        if self.writes:
            Path(command[command.index("--results-arf") + 1]).write_bytes(b"<arf/>")
        return subprocess.CompletedProcess(command, self.status, "", "un\ndeux\ntrois\nquatre\n")


@pytest.fixture
def oscap(monkeypatch: pytest.MonkeyPatch) -> Oscap:
    return Oscap(monkeypatch)


def test_a_scan_is_kept_whole_with_what_judged_it(oscap: Oscap, tmp_path: Path) -> None:
    stream = tmp_path / "ds.xml"
    with pytest.raises(scan.ScanError, match=r"ds.xml est absent : appliquez le profil de cette machine"):
        scan.scan("anssi_bp28_high", tmp_path, stream)
    stream.write_bytes(b"<ds/>")
    for status in (0, 2):
        oscap.status = status
        told = scan.scan("anssi_bp28_high", tmp_path, stream)
        assert (told["profil"], told["version"]) == ("anssi_bp28_high", "OpenSCAP 1.4")
        assert told["contenu_sha256"] == hashlib.sha256(b"<ds/>").hexdigest()
        packed = base64.b64decode(told["arf_gz_b64"])
        assert gzip.decompress(packed) == b"<arf/>"
        assert packed[4:8] == bytes(4)  # no date: the same result is the same bytes
    assert oscap.command[:3] == ["nice", "-n", "10"]
    assert "xccdf_org.ssgproject.content_profile_anssi_bp28_high" in oscap.command
    oscap.version = ""
    assert scan.scan("x", tmp_path, stream)["version"] == ""


@pytest.mark.parametrize(("status", "writes"), [(1, True), (3, True), (0, False), (2, False)])
def test_a_scan_that_failed_is_told(oscap: Oscap, tmp_path: Path, status: int, writes: bool) -> None:
    (tmp_path / "ds.xml").touch()
    oscap.status, oscap.writes = status, writes
    expected = rf"^OpenSCAP a échoué \(code {status}\) : deux / trois / quatre$"
    with pytest.raises(scan.ScanError, match=expected):
        scan.scan("x", tmp_path, tmp_path / "ds.xml")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileNotFoundError(), r"^openscap-scanner n'est pas installé : appliquez le profil de cette machine$"),
        (subprocess.TimeoutExpired("oscap", 1800), r"^OpenSCAP n'a pas fini en 30 minutes, .*, puis relancez$"),
    ],
)
def test_an_absent_or_endless_openscap_is_told(oscap: Oscap, tmp_path: Path, error: Exception, said: str) -> None:
    (tmp_path / "ds.xml").touch()
    oscap.error = error
    with pytest.raises(scan.ScanError, match=said):
        scan.scan("x", tmp_path, tmp_path / "ds.xml")
