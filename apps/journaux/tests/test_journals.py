"""The collector of journals: who sends is what its certificate says, nothing that waits is lost, days are sealed."""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import PROFILES, Request
from creatic_journaux import cli, receive, seal
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from creatic.pki.authority import Authority
from creatic.pki.keys import Passphrases
from testbed.authority import certificate
from testbed.patience import allowed, wait_for
from tests.unit.supervision.test_programs import CONNECTOR, SETTINGS, TOP, VEILLE, Bench, free, rendered

OTHER = "anor-connecteur"
COLLECTOR = [{"nom": VEILLE, "adresse": "127.0.0.1"}]


class Site:
    """A collector with its authority, and what is around it."""

    def __init__(self, root: Path) -> None:
        self.root, self.port, self.mo = root, free(), 4
        self.authority = Authority(root / "autorite", Passphrases(root / "autorite", generate=True))
        self.authority.ensure(SETTINGS)
        self.bench = Bench(root, self.authority)
        self.bench.certificate("collecteur", "server", dns=[VEILLE])
        self.bench.certificate("journaux", "supervision", dns=[CONNECTOR])
        self.bench.certificate("autre", "supervision", dns=[OTHER])
        self.bench.certificate("tdt", "client", organization="Commune de Gondecourt", siren="215902669")
        self.lists()
        for name in ("etat", "scelles", "mesures"):
            (root / name).mkdir()
        (root / "attendues.json").write_text(json.dumps({CONNECTOR: {"commune": "gondecourt"}}))

    def lists(self) -> None:
        """Have the machine hold the authority's lists of now."""
        for name in ("ca.pem", "crl.pem"):
            (self.root / "pki" / name).write_bytes((self.authority.directory / "publie" / name).read_bytes())

    def command(self, *words: str) -> list[str]:
        return [*self.places(), *words]

    def places(self) -> list[str]:
        return [f"--dossier={self.root}/etat", f"--scelles={self.root}/scelles", f"--mesures={self.root}/mesures"]

    @contextlib.contextmanager
    def collecting(self) -> Iterator[subprocess.Popen[bytes]]:
        """The program itself, until it listens, and to the end."""
        code = "import sys; from creatic_journaux.cli import main; sys.exit(main())"
        words = self.command(
            "recevoir",
            f"--pki={self.root}/pki",
            f"--attendues={self.root}/attendues.json",
            f"--machine-mo={self.mo}",
            "--adresse=127.0.0.1",
            f"--port={self.port}",
        )
        agents = TOP / "apps/common/src"
        path = f"{TOP / 'apps/journaux/src'}:{agents}"
        with (
            (self.root / "collecteur.log").open("ab") as log,
            subprocess.Popen([sys.executable, "-c", code, *words], stderr=log, env={"PYTHONPATH": path}) as process,
        ):
            try:
                wait_for(lambda: self.listens() or process.poll() is not None, "le collecteur", 60)
                assert process.poll() is None, self.told()
                yield process
            finally:
                process.terminate()

    def listens(self) -> bool:
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self.port)) == 0

    def told(self) -> str:
        return (self.root / "collecteur.log").read_text()

    def connect(self, holder: str) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=self.root / "pki" / "ca.pem")
        if holder:
            place = self.root / "pki" / holder / "current"
            context.load_cert_chain(place / "fullchain.pem", place / "key.pem")
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=allowed(10))
        return context.wrap_socket(raw, server_hostname=VEILLE)

    def send(self, holder: str, data: bytes) -> None:
        with self.connect(holder) as stream:
            stream.sendall(data)
            stream.unwrap()

    def kept(self, name: str) -> str:
        """What was received of a machine, without the moments."""
        texts = [path.read_text() for path in sorted((self.root / "etat" / "recu").glob(f"*/{name}.log"))]
        return re.sub(r"^\d{4}-\d\d-\d\dT[\d:.]+Z ", "", "".join(texts), flags=re.M)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


# -- Who may write, and as whom ------------------------------------------------------------------------


def test_a_line_is_filed_under_the_certificate_whatever_it_claims(site: Site) -> None:
    forged = f"<13>1 2026-11-29T08:00:00Z {OTHER} sshd - - - mot de passe accepté\n".encode()
    with site.collecting():
        site.send("journaux", forged + b"coup\xc3\xa9e")
        site.send("autre", b"<13>la sienne\n")
        wait_for(lambda: site.kept(CONNECTOR) and site.kept(OTHER), "les lignes")
    assert site.kept(CONNECTOR) == forged.decode() + "coupée\n"
    assert site.kept(OTHER) == "<13>la sienne\n"
    [file] = (site.root / "etat" / "recu").glob(f"*/{CONNECTOR}.log")
    assert file.stat().st_mode & 0o777 == 0o640 and file.parent.stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("holder", ["", "tdt", "collecteur", "revoque", "etranger"])
def test_who_is_no_machine_of_the_groupement_writes_nothing(site: Site, tmp_path: Path, holder: str) -> None:
    """Nobody, a commune's client, a server, a machine that was revoked, one of another authority."""
    if holder == "revoque":
        site.bench.certificate("revoque", "supervision", dns=["partie"])
        site.authority.revoke("cessation", host="revoque")
        site.lists()
    if holder == "etranger":
        away = tmp_path / "ailleurs"
        away.mkdir()
        elsewhere = Bench(away, Authority(away / "autorite", Passphrases(away / "autorite", generate=True)))
        elsewhere.authority.ensure(SETTINGS)
        elsewhere.certificate("etranger", "supervision", dns=[CONNECTOR])
        (away / "pki/etranger").rename(tmp_path / "pki/etranger")
    with site.collecting():
        with contextlib.suppress(OSError):  # TLS 1.3 tells a client of its refusal once it has written
            site.send(holder, b"<13>une ligne\n")
        wait_for(lambda: "refusé" in site.told(), "le refus")
        site.send("journaux", b"<13>la bonne\n")
        wait_for(lambda: site.kept(CONNECTOR), "la ligne de qui a le droit")
    assert [path.name for path in (site.root / "etat/recu").glob("*/*")] == [f"{CONNECTOR}.log"]


def test_a_machine_revoked_meanwhile_does_not_come_back(site: Site) -> None:
    with site.collecting():
        site.send("autre", b"<13>avant\n")
        wait_for(lambda: site.kept(OTHER), "la ligne")
        site.authority.revoke("cessation", host="autre")
        site.lists()
        with contextlib.suppress(OSError):
            site.send("autre", b"<13>apr\xc3\xa8s\n")
        wait_for(lambda: "revoked" in site.told(), "le refus")
    assert site.kept(OTHER) == "<13>avant\n"


@pytest.mark.parametrize(("profile", "fields", "found"), [
    ("supervision", {"dns": ["a-1"]}, "a-1"), ("supervision", {"dns": ["a", "b"]}, ""),
    ("supervision", {"dns": ["a.b"]}, ""), ("server", {"dns": ["a"]}, ""),
    ("client", {"common_name": "Machine - a", "organization": "Loos", "siren": "215902669", "holder": "machine"}, ""),
    ("client", {"common_name": "Claire Dubois", "organization": "Commune", "siren": "215902669"}, ""),
])  # fmt: skip # a case a line
def test_a_certificate_of_a_machine_is_told_from_others(profile: str, fields: dict[str, Any], found: str) -> None:
    assert receive.name_of(issued(profile, **fields)) == found


@pytest.mark.parametrize("told", [b"", b"0", b"\x30\x80"])
def test_what_is_no_certificate_is_of_no_machine(told: bytes) -> None:
    assert receive.name_of(told) == ""


def issued(profile: str, **fields: Any) -> bytes:
    """A certificate (DER) as the authority makes it."""
    request = Request.from_dict({"name": "x", "profile": profile, **fields})
    extensions: list[x509.ExtensionType] = [x509.ExtendedKeyUsage(PROFILES[profile])]
    extensions += [x509.SubjectAlternativeName([x509.DNSName(one) for one in request.dns])] * bool(request.dns)
    made = certificate("", None, subject=request.subject(), extensions=extensions)[0]
    return made.public_bytes(serialization.Encoding.DER)


def test_hostile_lines_are_bounded_and_plain(site: Site) -> None:
    with site.collecting():
        site.send("journaux", b"\x1b[31mrouge\x00\x7f\tfin\n\n" + b"x" * (3 * receive.LONGEST_LINE) + b"\nsuite\n")
        wait_for(lambda: "suite" in site.kept(CONNECTOR), "la suite")
    lines = site.kept(CONNECTOR).splitlines()
    assert lines[0] == "?[31mrouge??\tfin" and lines[-1] == "suite"
    assert "".join(lines[1:-1]) == "x" * (3 * receive.LONGEST_LINE) and len(lines) > 3


def test_a_machine_that_floods_fills_its_own_share_alone(site: Site) -> None:
    with site.collecting() as process:
        site.send("journaux", b"".join(b"%06d %s\n" % (rank, b"y" * 1000) for rank in range(6000)))
        site.send("autre", b"<13>calme\n")
        wait_for(lambda: site.kept(OTHER), "la ligne de l'autre")
        process.terminate()
        process.wait(allowed(30))
    assert len(site.kept(CONNECTOR)) < 5 << 20
    figures = (site.root / "mesures/journaux-reception.prom").read_text()
    assert f'journaux_hors_quota_bytes{{emetteur="{CONNECTOR}",commune="gondecourt"}}' in figures
    assert OTHER not in figures and "ce jour" in site.told()


def test_a_full_disk_stops_the_reading_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, lines, real = receive.Files(tmp_path, 1 << 20), bytearray(b"une\ndeux\n"), os.write
    room = [6]

    def nearly_full(handle: int, data: bytes) -> int:
        done = real(handle, bytes(data)[: room[0]])
        room[0] -= done
        if not done:
            raise OSError(errno.ENOSPC, "disque plein")
        return done

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", nearly_full)
        with pytest.raises(OSError, match="disque plein"):
            files.write("a", lines)
    assert lines == b"ux\n"
    files.write("a", lines)
    files.close_all()
    assert not lines and next(tmp_path.glob("*/a.log")).read_bytes() == b"une\ndeux\n"


def test_a_file_of_a_day_that_is_over_is_closed_and_today_s_stays_open(tmp_path: Path) -> None:
    clock = [86_300.0]
    files = receive.Files(tmp_path, 1 << 20, lambda: clock[0])
    for name, later in (("a", 200), ("b", 0)):
        files.write(name, bytearray(b"une\n"))
        clock[0] += later
    files.close_old()
    mine = Path("/proc/self/fd")
    held = {str(one.readlink()) for one in mine.iterdir() if one.is_symlink()}
    assert [str(path) in held for path in sorted(tmp_path.glob("*/*.log"))] == [False, True]
    files.close_all()


def test_silence_is_counted_from_the_last_line_or_from_when_it_was_expected() -> None:
    expected = {"a": {"commune": "anor"}, "b": {}, "c": {}}
    seen = receive.noted({"a": 10.0, "gone": 5.0}, {"b": 990_000.0}, expected, 1_000_000.0)
    assert seen == {"a": 10.0, "gone": 5.0, "b": 990_000.0, "c": 1_000_000.0}
    # A clock that was ahead does not hide a silence until its hour.
    assert receive.noted({"a": 9e9}, {"b": 9e9}, expected, 1_000_000.0) == dict.fromkeys("abc", 1_000_000.0)
    told = receive.figures(seen, expected, {}, 1_000_000.0)
    assert re.findall(r"^journaux_silence.*", told, re.M) == [
        'journaux_silence_timestamp_seconds{emetteur="a",commune="anor"} 10'
    ]
    silent, day = "\njournaux_silence_timestamp_seconds{", 86_400
    half = day // 2
    assert [after for after in (half, half + 1) if silent in receive.figures({"a": 1}, expected, {}, 1 + after)] == [
        half + 1
    ]
    assert [after for after in (89, 90) if "gone" in receive.noted(seen, {}, expected, 5.0 + after * day)] == [89]


@pytest.mark.parametrize("text", ["", "[1]", '{"a": "x"}', '{"a": 1'])
def test_a_state_cut_short_is_begun_again(tmp_path: Path, text: str) -> None:
    (tmp_path / "vus.json").write_text(text)
    assert receive.seen_of(tmp_path / "vus.json") == {}


# -- With the machines' own rsyslog ---------------------------------------------------------------------


@contextlib.contextmanager
def logging(site: Site, place: str = "journaux") -> Iterator[subprocess.Popen[bytes]]:
    """What role hardening has rsyslog do, on a machine of its own."""
    text = rendered("hardening", "rsyslog.conf.j2", hardening_collectors=COLLECTOR)
    moved = text.replace("/etc/creatic/pki", f"{site.root}/pki").replace("journaux/current", f"{place}/current")
    soon = moved.replace('port="6514"', f'port="{site.port}"').replace('"30"', '"1"').replace('"300"', '"2"')
    folder = site.root / f"rsyslog-{place}"
    folder.mkdir(exist_ok=True)
    head = f'global(workDirectory="{folder}")\nmodule(load="imuxsock" SysSock.Use="off")\n'
    head += f'input(type="imuxsock" Socket="{folder}/s" RateLimit.Interval="0")\n'
    (folder / "rsyslog.conf").write_text(head + soon)
    with (
        (folder / "log").open("ab") as log,
        subprocess.Popen(["rsyslogd", "-n", "-iNONE", "-f", folder / "rsyslog.conf"], stderr=log) as process,
    ):
        try:
            wait_for(lambda: (folder / "s").exists() or process.poll() is not None, "rsyslog", 60)
            assert process.poll() is None, (folder / "log").read_text()
            yield process
        finally:
            process.terminate()
            process.wait(allowed(30))
            (folder / "s").unlink(missing_ok=True)


def say(site: Site, *lines: str, place: str = "journaux") -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        for line in lines:
            one.sendto(f"<13>Nov 29 08:00:00 essai: {line}".encode(), f"{site.root}/rsyslog-{place}/s")


WAITING = [f"arrêté {rank}." for rank in range(8_000)]


def missing(site: Site) -> set[str]:
    return {*WAITING} - {line.rpartition("-  ")[2] for line in site.kept(CONNECTOR).splitlines()}


def lacking(site: Site) -> str:
    """What lacks, and all that both sides say of it: it lacked once, on a loaded machine, and nobody knew which."""
    ranks, folder = sorted(WAITING.index(one) for one in missing(site)), site.root / "rsyslog-journaux"
    files = sorted(path.name for path in folder.glob("collecteur*"))
    log = (folder / "log").read_text()[-1500:]
    return f"ce qui attendait : {len(ranks)} lignes, {ranks[:5]} à {ranks[-5:]}, {files}\n{log}\n{site.told()[-500:]}"


@pytest.mark.costly
def test_what_waits_while_the_collector_is_down_arrives(site: Site) -> None:
    """Stopped, while much comes; then killed, which warns nobody."""
    with logging(site):
        with site.collecting() as process:
            say(site, "avant")
            wait_for(lambda: "avant" in site.kept(CONNECTOR), "la première ligne")
            process.terminate()
            process.wait(allowed(30))
        say(site, *WAITING)
        wait_for((site.root / "rsyslog-journaux/collecteur.00000002").exists, "la file sur disque")
        with site.collecting() as process:
            wait_for(lambda: not missing(site), lambda: lacking(site))
            process.kill()
            process.wait(allowed(30))
        say(site, "tué")
        with site.collecting():
            wait_for(lambda: "tué" in site.kept(CONNECTOR), "la ligne d'après")
    assert OTHER not in site.kept(CONNECTOR)


def test_what_is_beyond_a_share_is_counted_and_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short lines without end cost a second of everybody's for a quarter of a megabyte."""
    clock, read = [1_764_300_000.0], list[bytes]()
    files = receive.Files(tmp_path, 100, lambda: clock[0])
    sender = receive.Sender(SimpleNamespace(files=files))  # type: ignore[arg-type] # what it asks of its collector
    sender.name = "bavarde"

    def plain(line: bytes) -> bytes:
        read.append(bytes(line))
        return read[-1]

    monkeypatch.setattr(receive, "plain", plain)
    sender.data_received(b"a\n" * 100)
    assert len(read) == 100 and not files.lost
    clock[0] += 60
    sender.data_received(b"b\n" * 1000)
    assert (len(read), files.lost["bavarde"], files.last["bavarde"]) == (100, 2000, clock[0])
    clock[0] += 86_400
    sender.data_received(b"demain\n")
    assert read[-1] == b"demain" and not files.lost
    files.close_all()


@pytest.mark.parametrize("empty", [b"\n", b"\r\n", b"\0\n"])
def test_empty_lines_count_for_what_they_cost(tmp_path: Path, empty: bytes) -> None:
    """Nothing of them is kept, so that no share was ever used: a machine could send them without end."""
    clock = [1_764_300_000.0]
    files = receive.Files(tmp_path, 100, lambda: clock[0])
    sender = receive.Sender(SimpleNamespace(files=files))  # type: ignore[arg-type] # what it asks of its collector
    sender.name = "bavarde"
    for _turn in range(3):
        sender.data_received(empty * 100)
    assert files.lost["bavarde"] == 200 * len(empty)
    clock[0] += 86_400
    sender.data_received(b"demain\n")
    kept = b"".join(one.read_bytes() for one in tmp_path.rglob("bavarde.log"))
    assert b"demain" in kept and not files.lost
    files.close_all()


@pytest.mark.parametrize(("stop", "lost"), [(subprocess.Popen.terminate, 0), (subprocess.Popen.kill, 18)])
def test_what_waits_outlives_rsyslog(site: Site, stop: Callable[[subprocess.Popen[bytes]], None], lost: int) -> None:
    waiting, queue = [f"attend {rank}." for rank in range(200)], site.root / "rsyslog-journaux/collecteur.00000001"

    def lacks(text: str) -> int:
        return sum(one not in text for one in waiting)

    with logging(site) as process:
        say(site, *waiting)
        wait_for(lambda: "Connection refused" in (site.root / "rsyslog-journaux/log").read_text(), "un essai")
        # Nine may not be written yet, and of what is, the last nine not noted.
        wait_for(lambda: lacks(queue.read_text()) < 10, "la file sur disque", despite=(FileNotFoundError,))
        stop(process)
        process.wait(allowed(30))
    with logging(site), site.collecting():
        # One that was on its way may come twice: rsyslog promises no more.
        wait_for(lambda: lacks(site.kept(CONNECTOR)) <= lost, lambda: site.kept(CONNECTOR))


def test_rsyslog_with_a_certificate_of_nobody_keeps_its_lines(site: Site) -> None:
    with logging(site, "tdt"), site.collecting():
        say(site, "intruse", place="tdt")
        wait_for(lambda: "refusé" in site.told(), "le refus")
    assert not list((site.root / "etat/recu").glob("*/*"))


def test_rsyslog_sends_nothing_to_a_collector_of_another_name(site: Site) -> None:
    (site.root / "pki/collecteur").rename(site.root / "pki/ancien")
    site.bench.certificate("collecteur", "server", dns=["imposteur"])
    site.lists()
    with logging(site), site.collecting():
        say(site, "confidence")
        log = site.root / "rsyslog-journaux/log"
        wait_for(lambda: "imposteur" in log.read_text(), "le refus")
    assert not site.kept(CONNECTOR)


def test_a_site_without_a_collector_sends_nothing() -> None:
    assert "omfwd" not in rendered("hardening", "rsyslog.conf.j2")
    values = {"hardening_log_server": "siem.example.org", "hardening_collectors": COLLECTOR}
    other = rendered("hardening", "rsyslog.conf.j2", **values)
    assert 'target="siem.example.org"' in other and "CertFile" not in other


def test_openscap_finds_the_setting_that_it_asks_for() -> None:
    """The patterns of ssg-debian's rsyslog_remote_loghost, _tls and _tls_cacert (0.1.82)."""
    text = rendered("hardening", "rsyslog.conf.j2", hardening_collectors=COLLECTOR)
    assert re.search(r'(?ms)^\s*\*\.\*\s+action\(\s*.*\btype\b="omfwd"\s*.*\btarget\b="\S+"\s*.*\)\s*$', text)
    found = re.search(r'(?ms)^\s*action\(type="omfwd"(.+?)\)', text)
    assert found
    for asked in (
        'protocol="tcp"',
        "target=",
        'port="6514"',
        'StreamDriver="gtls"',
        'StreamDriverMode="1"',
        'StreamDriverAuthMode="x509/name"',
        'StreamDriver.CheckExtendedKeyPurpose="on"',
    ):
        assert re.search(rf"\s{re.escape(asked)}", found[1]), asked
    assert re.search(r'(?m)^\s*global\(DefaultNetstreamDriverCAFile="(.+?)"\)\s*\n', text)


# -- Sealed each day ------------------------------------------------------------------------------------

FIRST, SECOND, TODAY = "2026-11-27", "2026-11-28", dt.date(2026, 11, 29)


@pytest.fixture
def received(site: Site) -> Path:
    folder = site.root / "etat" / "recu"
    for day in (FIRST, SECOND, TODAY.isoformat()):
        (folder / day).mkdir(parents=True)
        for name in (CONNECTOR, OTHER):
            (folder / day / f"{name}.log").write_text(f"{day}T08:00:00.000Z <13>{name}\n" * 3)
    return folder


def faults(site: Site) -> Any:
    return json.loads(seal.verified(site.root / "scelles"))["fautes"]


def test_days_that_are_over_are_sealed_once_each_after_the_other(site: Site, received: Path) -> None:
    sealed = site.root / "scelles"
    assert seal.seal(received, sealed, TODAY) == [FIRST, SECOND]
    assert [path.name for path in received.iterdir()] == [TODAY.isoformat()]
    assert seal.seal(received, sealed, TODAY) == []
    first, second = seal.days(sealed)
    assert second.manifest["precedent"] == {"jour": FIRST, "sha256": first.sha256}
    assert [(one["nom"], one["lignes"]) for one in first.manifest["fichiers"]] == [
        (f"{OTHER}.log.gz", 3),
        (f"{CONNECTOR}.log.gz", 3),
    ]
    zcat = subprocess.run(["zcat", first.folder / f"{OTHER}.log.gz"], capture_output=True, text=True, check=True)
    assert zcat.stdout == f"{FIRST}T08:00:00.000Z <13>{OTHER}\n" * 3
    assert {path.stat().st_mode & 0o777 for path in first.folder.iterdir()} == {0o640}
    assert faults(site) == []
    assert json.loads(seal.exported(sealed, 1)) == [second.text.decode()]


def test_a_crash_at_any_step_leaves_nothing_or_the_whole_day(site: Site, received: Path) -> None:
    sealed = site.root / "scelles"
    (sealed / f".en-cours-{FIRST}").mkdir()
    (sealed / f".en-cours-{FIRST}" / "a.log.gz").write_bytes(b"coup")
    kept = {path.name: path.read_bytes() for path in (received / FIRST).iterdir()}
    seal.seal(received, sealed, dt.date(2026, 11, 28))
    (received / FIRST).mkdir()  # the power went once the day had its name
    for name, content in kept.items():
        (received / FIRST / name).write_bytes(content)
    assert seal.seal(received, sealed, dt.date(2026, 11, 28)) == []
    assert [one.folder.name for one in seal.days(sealed)] == [FIRST] and not (received / FIRST).exists()


def test_a_clock_that_went_back_adds_a_seal_and_changes_none(site: Site, received: Path) -> None:
    sealed = site.root / "scelles"
    seal.seal(received, sealed, TODAY)
    (received / FIRST).mkdir()
    (received / FIRST / f"{OTHER}.log").write_text("tard\n")
    assert seal.seal(received, sealed, TODAY) == [FIRST]
    assert [one.folder.name for one in seal.days(sealed)] == [FIRST, SECOND, f"{FIRST}.2"]
    assert faults(site) == []


@pytest.mark.parametrize(("kind", "said"), [("lien", None), ("tube", None), ("nom", "'A b.txt' n'est pas un journal")])
def test_what_is_no_journal_is_neither_read_nor_erased(site: Site, received: Path, kind: str, said: str | None) -> None:
    secret = site.root / "secret"
    secret.write_text("à garder")
    if kind == "lien":
        (received / FIRST / "a.log").symlink_to(secret)
    elif kind == "tube":
        os.mkfifo(received / FIRST / "a.log")
    else:
        (received / FIRST / "A b.txt").write_text("?")
    with pytest.raises((seal.SealError, OSError), match=said):
        seal.seal(received, site.root / "scelles", TODAY)
    assert secret.read_text() == "à garder"
    assert len(list((received / FIRST).iterdir())) == (1 if kind == "nom" else 3)
    assert not any(
        "à garder" in path.read_text(errors="replace") for path in (site.root / "scelles").rglob("*") if path.is_file()
    )


@pytest.mark.parametrize("cheat", ["change", "take", "add", "remake"])
def test_what_is_changed_afterwards_is_named(site: Site, received: Path, cheat: str) -> None:
    sealed = site.root / "scelles"
    seal.seal(received, sealed, TODAY)
    file = sealed / FIRST / f"{OTHER}.log.gz"
    if cheat == "change":
        file.write_bytes(b"autre")
    elif cheat == "take":
        file.unlink()
    elif cheat == "add":
        (sealed / FIRST / "b.log.gz").write_bytes(b"")
    else:
        text = (sealed / FIRST / seal.MANIFEST).read_text()
        (sealed / FIRST / seal.MANIFEST).write_text(text.replace('"lignes": 3', '"lignes": 2'))
    [told] = faults(site)
    assert (SECOND if cheat == "remake" else f"{FIRST}/{'b' if cheat == 'add' else OTHER}") in told


def test_days_go_at_their_term_and_sooner_for_want_of_room(site: Site, received: Path) -> None:
    sealed = site.root / "scelles"
    seal.seal(received, sealed, TODAY)
    assert seal.purge(sealed, 366, 1 << 30, TODAY) == 0
    assert seal.purge(sealed, 366, 1 << 30, dt.date(2027, 11, 28)) == 0  # a year to the day
    assert [one.day for one in seal.days(sealed)] == [FIRST, SECOND]
    assert seal.purge(sealed, 366, 10, TODAY) == 1
    assert [one.day for one in seal.days(sealed)] == [SECOND] and faults(site) == []
    assert "journaux_raccourcis 1" in seal.figures(sealed, 1, 5.0)


def test_a_name_that_only_looks_like_a_day_stops_nothing(tmp_path: Path) -> None:
    """Who listens may be taken: what it writes must not keep days from being sealed, then taken away."""
    received, sealed = tmp_path / "recu", tmp_path / "scelles"
    sealed.mkdir()
    for name in ("2026-11-01", "2026-11-02.7", "2026-13-45", "2026-02-30"):
        (received / name).mkdir(parents=True)
        (received / name / "mairie.log").write_text("ligne\n")
    assert seal.seal(received, sealed, TODAY) == ["2026-11-01", "2026-11-02.7"]
    assert seal.purge(sealed, 366, 1 << 30, dt.date(2040, 1, 1)) == 0
    assert [one.day for one in seal.days(sealed)] == ["2026-11-02.7"]
    assert seal.purge(sealed, 366, 1 << 30, dt.date(2040, 1, 1)) == 0


def test_a_clock_that_is_years_ahead_takes_a_week_away_at_a_time(tmp_path: Path) -> None:
    received, sealed = tmp_path / "recu", tmp_path / "scelles"
    sealed.mkdir()
    names = [f"2026-11-{day:02}" for day in range(1, 21)]
    for name in names:
        (received / name).mkdir(parents=True)
        (received / name / "mairie.log").write_text("ligne\n")
    assert seal.seal(received, sealed, TODAY) == names
    for left in (13, 6, 1, 1):
        assert seal.purge(sealed, 366, 1 << 30, dt.date(2040, 1, 1)) == 0
        assert len(seal.days(sealed)) == left
    assert seal.days(sealed)[0].day == names[-1]


def test_the_command_seals_tells_and_leaves_figures(
    site: Site, received: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(site.command("sceller", "--jours=36600", "--mo=10")) == 0
    figures = (site.root / "mesures/journaux-sceaux.prom").read_text()
    stamp = re.search(r"^journaux_scelle_timestamp_seconds (\d+)$", figures, re.M)
    assert stamp and abs(time.time() - int(stamp[1])) < 600
    capsys.readouterr()
    assert cli.main(site.command("exporter")) == 0
    assert [json.loads(one)["jour"] for one in json.loads(capsys.readouterr().out)][:2] == [FIRST, SECOND]
    (site.root / "scelles" / FIRST / seal.MANIFEST).write_text("{")
    assert cli.main(site.command("verifier")) == 1
    assert "illisible" in capsys.readouterr().err


def test_a_machine_that_fills_the_disk_shortens_its_own_history_alone(site: Site) -> None:
    """Eight machines with all of their share each day left 39 days of a year to everybody."""
    received, sealed = site.root / "etat" / "recu", site.root / "scelles"
    names = [f"2026-11-{day:02}" for day in range(1, 21)]
    for rank, day in enumerate(names):
        (received / day).mkdir(parents=True)
        (received / day / f"{CONNECTOR}.log").write_text(f"ligne {day}\n")
        for greedy in ("a", "b"):
            (received / day / f"{greedy}.log").write_bytes(f"{rank}{greedy}".encode() + os.urandom(5000).hex().encode())
    seal.seal(received, sealed, TODAY)
    whole = seal.verified(sealed)
    early = seal.purge(sealed, 366, 60_000, TODAY)
    kept = {
        path.name: sorted(one.parent.name for one in sealed.glob(f"*/{path.name}")) for path in sealed.glob("*/*.gz")
    }
    assert kept[f"{CONNECTOR}.log.gz"] == names  # who sends little loses nothing
    for greedy in ("a.log.gz", "b.log.gz"):
        assert kept[greedy] == names[-len(kept[greedy]) :] and 3 <= len(kept[greedy]) <= 6  # its own oldest go
    assert early == 20 - min(len(kept["a.log.gz"]), len(kept["b.log.gz"]))
    assert sum(path.stat().st_size for path in sealed.glob("*/*.gz")) <= 60_000
    assert json.loads(seal.verified(sealed)) == json.loads(whole) and faults(site) == []
    assert seal.purge(sealed, 366, 60_000, TODAY) == 0
    (sealed / names[0] / f"{CONNECTOR}.log.gz").unlink()  # not what was taken for want of room
    assert [one for one in faults(site) if "disparu" in one]


def test_what_is_taken_out_of_its_turn_is_no_room_that_was_made(site: Site, received: Path) -> None:
    """Who holds the collector notes as gone what tells of it, and keeps what is older."""
    sealed = site.root / "scelles"
    seal.seal(received, sealed, TODAY)
    (sealed / SECOND / f"{OTHER}.log.gz").unlink()
    (sealed / SECOND / seal.TAKEN).write_text(json.dumps([f"{OTHER}.log.gz"]))
    assert [one for one in faults(site) if f"{SECOND}/{OTHER}.log.gz : disparu" in one]


def test_an_old_day_that_was_sealed_late_goes_from_where_it_is(tmp_path: Path) -> None:
    received, sealed = tmp_path / "recu", tmp_path / "scelles"
    sealed.mkdir()
    for name in ("2027-06-01", "2026-11-01", "2027-06-02"):
        (received / name).mkdir(parents=True)
        (received / name / "mairie.log").write_text(f"ligne {name}\n")
        seal.seal(received, sealed, dt.date(2027, 6, 3))
    assert [one.day for one in seal.days(sealed)] == ["2027-06-01", "2026-11-01", "2027-06-02"]
    assert seal.purge(sealed, 366, 10, dt.date(2027, 12, 1)) == 1  # the first goes for want of room
    assert [one.day for one in seal.days(sealed)] == ["2027-06-02"]


@pytest.mark.parametrize(
    ("sizes", "most", "share"),
    [([], 10, 0), ([5, 5], 10, 5), ([1, 9], 10, 9), ([1, 99], 10, 9), ([50, 50], 10, 5), ([1, 2, 99, 99], 23, 10)],
)
def test_a_room_is_shared_out(sizes: list[int], most: int, share: int) -> None:
    assert seal._share(sizes, most) == share


def test_no_machine_holds_more_connections_than_its_own(site: Site) -> None:
    most = 2 * receive.CONNECTIONS_EACH
    with contextlib.ExitStack() as stack, site.collecting() as process:
        for _rank in range(4 * most):
            stack.enter_context(site.connect("journaux"))
        other = stack.enter_context(site.connect("autre"))
        other.sendall(b"calme\n")
        wait_for(lambda: "calme" in site.kept(OTHER), "la ligne de l'autre")
        held = [one for one in Path(f"/proc/{process.pid}/fd").iterdir() if one.readlink().name.startswith("socket:")]
        assert len(held) <= most + 6  # its own, that which listens, those of the loop, the other's
        newest = stack.enter_context(site.connect("journaux"))
        newest.sendall(b"derniere\n")
        wait_for(lambda: "derniere" in site.kept(CONNECTOR), "la ligne de la dernière connexion")
    assert "Traceback" not in site.told()


def test_one_address_without_a_certificate_takes_its_seats_from_nobody(site: Site) -> None:
    """All the handshakes that there are, held in silence by who has no certificate: nobody's lines came any more."""
    with site.collecting(), contextlib.ExitStack() as held:
        for _rank in range(receive.HANDSHAKES + 10):
            one = held.enter_context(socket.create_connection(("127.0.0.1", site.port), 10, ("127.0.0.9", 0)))
            one.setblocking(False)
        began = time.monotonic()
        site.send("journaux", b"<13>la ligne d'une autre\n")
        wait_for(lambda: site.kept(CONNECTOR), "la ligne")
        assert time.monotonic() - began < receive.HANDSHAKE_S / 2
    assert site.told().count("refusé, 127.0.0.9 : trop de connexions") == 1


@pytest.mark.parametrize(("address", "place"), [
    ("192.0.2.7", "192.0.2.7"), ("::ffff:192.0.2.7", "192.0.2.7"), ("2001:db8:1:2:3::4", "2001:db8:1::/56"),
    ("fe80::1%eth0", "fe80::/56"),
])  # fmt: skip # a table
def test_a_place_is_an_address_or_a_network(address: str, place: str) -> None:
    assert receive.place_of(address) == place


def test_what_shows_a_line_as_another_is_not_kept(site: Site) -> None:
    hostile = "é\x9b2J\u202egauche\u200b\u2028autre\u061c".encode()
    assert receive.plain(hostile).decode() == "é\ufffd2J\ufffdgauche\ufffd\ufffdautre\ufffd"
    assert receive.plain(b"\x9b31m\xff") == "\ufffd31m\ufffd".encode()
    assert receive.plain("été\tœuvre — « à »".encode()) == "été\tœuvre — « à »".encode()
