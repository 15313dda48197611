"""An audit by what machines signed: fetched by their own door, their silence told, some looked at from here."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import errno
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.action.audit_plan import door

from creatic.audit import fetch, releves, scap
from creatic.audit import run as audit_run
from creatic.audit import store as audit_store
from creatic.audit.content import Content
from creatic.audit.sources import Rule, Target
from creatic.evidence import store as evidence_store
from creatic.evidence.seal import SealKeys
from creatic.fleet.signing import FleetError

from .conftest import Catalogue, collected, entry, target
from .test_releves import Sender, told

REPO = Path(__file__).parents[3]
ASKED = Content("anssi_bp28_intermediary", {"sysctl_kptr": Rule("sysctl_kptr", "", controls=("R9",))})
MOVED = {
    "reference": "2026-11-24T04:00:00+00:00",
    "nombre": 1,
    "ecarts": [{"quoi": "fichier", "comment": "modifié", "nom": "/etc/motd"}],
}
NOTHING = "head: cannot open '/var/lib/creatic-audit/releve.json' for reading: No such file or directory"


def reached(name: str, **more: Any) -> Target:
    """A machine that ssh reaches by its name."""
    return target(name, address=name, door=["-p", "22", "--", name], **more)


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What ssh(1) gives of each machine, a script by its name."""
    folder = tmp_path / "machines"
    (tmp_path / "bin").mkdir()
    folder.mkdir()
    program = tmp_path / "bin" / "ssh"
    program.write_text(
        '#!/bin/bash\nwhile [ "$1" != -- ]; do shift; done\n'
        f'[ "$3" = "head -c 262145 /var/lib/creatic-audit/releve.json" ] || exit 9\n. {folder}/$2\n',
        encoding="utf-8",
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    return folder


def gives(folder: Path, name: str, raw: bytes) -> None:
    """Have a machine give these bytes."""
    (folder / f"{name}.raw").write_bytes(raw)
    (folder / name).write_text(f"cat {folder}/{name}.raw\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("script", "given"),
    [
        ("printf abc", b"abc"),
        (f'echo "{NOTHING}" >&2; exit 1', None),
        ("echo 'ssh: connect to host x port 22: Connection refused' >&2; exit 255", "le service SSH est arrêté"),
        ("printf abc; exit 255", "la lecture de son relevé s'est arrêtée au bout de 3 octets"),
        ("kill -9 $$", "elle ne répond pas en 60 s"),
    ],
)
def test_what_ssh_says_is_told(ssh: Path, script: str, given: bytes | str | None) -> None:
    (ssh / "x").write_text(f"{script}\n", encoding="utf-8")
    found = fetch.fetch(reached("x"))
    if isinstance(given, str):
        assert isinstance(found, str) and found
        assert script.startswith("echo") or found == given
    else:
        assert found == given


def test_a_flood_is_not_read_and_a_drip_has_an_end(ssh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (ssh / "x").write_text("exec cat /dev/zero\n", encoding="utf-8")
    found = fetch.fetch(reached("x"))
    assert isinstance(found, bytes) and len(found) == releves.LARGEST + 1
    monkeypatch.setattr(fetch, "_FETCH_TIMEOUT_SECONDS", 0.2)
    (ssh / "x").write_text("exec sleep 60\n", encoding="utf-8")
    start = time.monotonic()
    assert fetch.fetch(reached("x")) == "elle ne répond pas en 0.2 s"
    assert time.monotonic() - start < 30


def test_the_door_is_the_inventory_s() -> None:
    given = {
        "ansible_host": "10.59.2.10",
        "ansible_port": 2222,
        "ansible_user": "creatic",
        "ansible_ssh_private_key_file": "/etat/ssh/id_ed25519",
        "ansible_ssh_common_args": '-o StrictHostKeyChecking=yes -o "UserKnownHostsFile=/etat/ssh/known_hosts"',
    }
    assert door(given) == {
        "door": [
            *("-o", "StrictHostKeyChecking=yes", "-o", "UserKnownHostsFile=/etat/ssh/known_hosts"),
            *("-i", "/etat/ssh/id_ed25519", "-p", "2222", "-l", "creatic", "--", "10.59.2.10"),
        ],
        "known": "/etat/ssh/known_hosts",
        "port": 2222,
    }
    assert door({"ansible_connection": "local"}) == {}


def test_the_sample_is_small_and_never_the_same() -> None:
    names = [f"m{number}" for number in range(2500)]
    assert len(audit_run.sample(names)) == 25 and len(audit_run.sample(names[:13])) == 1
    assert audit_run.sample([]) == []
    assert len({tuple(audit_run.sample(names)) for _ in range(5)}) == 5


class Fleet:
    """Machines, and an audit of them."""

    def __init__(self, home: Path, ssh: Path, monkeypatch: pytest.MonkeyPatch, arf: bytes) -> None:
        self.home, self.ssh, self._patch = home, ssh, monkeypatch
        self.senders: dict[str, Sender] = {}
        self.targets: list[Target] = []
        self.looked: list[str] = []
        self.said: list[str] = []
        self.more: dict[str, Any] = {}
        self.gone = self.cut = False
        self._arf = base64.b64encode(arf).decode()
        monkeypatch.setattr(scap, "data_stream", lambda _cache, _say: Path("x"))
        monkeypatch.setattr(audit_run.audit_content, "read", lambda _file, levels: dict.fromkeys(levels, ASKED))

    def add(self, name: str, script: str = "", hours: float = 2, **changes: Any) -> None:
        """A machine that gives a relevé of so many hours ago, or does as the script says."""
        known = self.home / "known_hosts"
        self.targets.append(reached(name, known=str(known)))
        sender = self.senders.setdefault(name, Sender())
        with known.open("a", encoding="utf-8") as stream:
            stream.write(f"{name} ssh-ed25519 {base64.b64encode(sender.public).decode()}\n")
        made = (dt.datetime.now(dt.UTC) - dt.timedelta(hours=hours)).isoformat(timespec="seconds")
        one = told(name, fin=made)
        one["openscap"] |= {"regles": {"sysctl_kptr": "pass"}}
        gives(self.ssh, name, sender.sends(one | changes))
        if script:
            (self.ssh / name).write_text(f"{script}\n", encoding="utf-8")

    def shows(self, text: str) -> None:
        """The terminal, which may be gone."""
        if self.gone:
            raise OSError(errno.EIO, text)
        self.said.append(text)

    def audit(self, drawn: list[str]) -> tuple[dict[str, Any], Path]:
        """Audit them; whatever is looked at from here is found with a rule that fails."""
        catalogue = Catalogue([entry("R9", oscap=("sysctl_kptr",))])
        order = audit_run.Order(REPO, REPO / "inventories" / "lab", self.home, "", "", catalogue, [], **self.more)
        audit = audit_run.Audit(order, self.shows)

        def look(outside: str = "", limit: str = "") -> None:
            names = limit.split(",") if limit else []
            wanted = [one for one in self.targets if not limit or one.name in names]
            audit_store.write_plan(audit.staging, wanted)
            self.looked += names
            if names and self.cut:
                raise KeyboardInterrupt
            for name in names:
                report = collected()
                report["openscap"]["arf_gz_b64"] = self._arf
                audit_store.keep_collected(audit.staging, name, report)
            seen: dict[str, Any] = {
                "incident": None,
                "derive": [],
                "phases": ["constats", "derive"],
                "secondes": {},
                "taches": 3,
            }
            audit_store.write_followed(audit.staging, {name: dict(seen) for name in names})

        self._patch.setattr(audit, "look", look)
        self._patch.setattr(audit_run, "sample", lambda _names: drawn)
        return audit.perform()


@pytest.fixture
def fleet(home: Path, ssh: Path, keys: SealKeys, arf: bytes, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    monkeypatch.setattr(evidence_store, "seal_keys", lambda _home: keys)
    return Fleet(home, ssh, monkeypatch, arf)


def test_machines_are_judged_by_what_they_signed_and_some_from_here(fleet: Fleet, keys: SealKeys) -> None:
    fleet.add("bonne")
    fleet.add("menteuse")
    fleet.add("nouvelle", f'echo "{NOTHING}" >&2; exit 1')
    fleet.add("muette", hours=100)
    fleet.add("loin", "echo 'ssh: connect to host loin port 22: No route to host' >&2; exit 255")
    fleet.add("forgee", numero="x")
    results, folder = fleet.audit(["menteuse"])
    assert fleet.looked == ["menteuse", "nouvelle"]
    machines = {one["nom"]: one for one in results["machines"]}
    assert {name: one["etat"] for name, one in machines.items()} == {
        "bonne": "auditee",
        "menteuse": "auditee",
        "nouvelle": "auditee",
        "muette": "silencieuse",
        "loin": "injoignable",
        "forgee": "en_erreur",
    }
    verdicts = {name: one["verdict"] for name, one in results["controles"][0]["machines"].items()}
    assert verdicts == {
        "bonne": "conforme",
        "menteuse": "non_conforme",
        "nouvelle": "non_conforme",
        "muette": "non_verifie",
        "loin": "non_verifie",
        "forgee": "non_verifie",
    }
    assert results["releves"]["dementies"] == [{"machine": "menteuse", "regles": ["sysctl_kptr"]}]
    assert results["releves"]["dehors"] == [
        {"machine": "menteuse", "pourquoi": "tirée au sort"},
        {"machine": "nouvelle", "pourquoi": "son agent n'a encore fait aucun relevé"},
    ]
    assert results["releves"]["silence"].startswith("2 machines sur 6 se taisent (33 %)")
    told = "\n".join(audit_run.synthesis(results, 3))
    assert "menteuse : son agent dit suivies des règles qui ne le sont pas : sysctl_kptr" in told
    assert "muette : silencieuse : se tait depuis 4 jours" in told
    page = (folder / audit_store.REPORT).read_text(encoding="utf-8")
    assert "relevé d’il y a 2 h" in page and "Relevés des machines" in page and "se tait depuis 4 jours" in page
    assert evidence_store.verify_one(folder, keys.root).intact
    raw = (folder / "machines" / "bonne" / audit_store.RELEVE).read_bytes()
    assert releves.read("bonne", raw, {fleet.senders["bonne"].public}).machine == "bonne"


def test_the_next_audit_knows_what_was_kept(fleet: Fleet) -> None:
    fleet.add("bonne")
    fleet.audit([])
    (fleet.ssh / "bonne").write_text(f'echo "{NOTHING}" >&2; exit 1\n', encoding="utf-8")
    time.sleep(1.1)  # an audit is named by its second
    results, _folder = fleet.audit([])
    assert fleet.looked == ["bonne"], "one that took its relevé away is looked at from here"
    assert "son relevé n'est plus sur elle" in results["machines"][0]["releve"]["remarque"]


def test_no_more_are_looked_at_than_an_audit_can(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_run, "MAX_REMOTE_MACHINES", 2)
    for number in range(4):
        fleet.add(f"nouvelle{number}", f'echo "{NOTHING}" >&2; exit 1')
    results, _folder = fleet.audit([])
    assert len(fleet.looked) == 2
    left = [one for one in results["machines"] if one["etat"] == "en_erreur"]
    assert len(left) == 2 and all(one["incident"]["raison"] == fetch.NOTHING for one in left)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_audit_keeps_what_was_signed(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """By Ctrl-C, the computer's stop, or the terminal's end, after which nothing can be shown."""
    fleet.add("bonne")
    fleet.add("nouvelle", f'echo "{NOTHING}" >&2; exit 1')
    fleet.add("attendue")

    def cut(targets: list[Target], take: Any) -> None:
        for one in targets[:2]:
            take(one, fetch.fetch(one))
        fleet.gone = number == signal.SIGHUP
        os.kill(os.getpid(), number)
        time.sleep(60)

    # A worker of the tests takes no Ctrl-C; under nohup(1), no terminal's end.
    handlers: dict[signal.Signals, Any] = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }
    before = {one: signal.signal(one, handler) for one, handler in handlers.items()}
    monkeypatch.setattr(fetch, "fetch_all", cut)
    try:
        results, _folder = fleet.audit([])
        assert {one: signal.getsignal(one) for one in handlers} == handlers
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    machines = {one["nom"]: one for one in results["machines"]}
    assert machines["bonne"]["etat"] == "auditee"
    assert machines["nouvelle"]["incident"]["raison"] == fetch.NOTHING
    assert machines["attendue"]["incident"]["raison"] == "audit interrompu, tout reste à faire"
    assert results["interrompu"] == "Relevés des machines"
    assert results["releves"]["dehors"] == [], "nobody was looked at from here"


def test_an_audit_that_outlives_its_terminal_goes_on(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet.add("bonne")

    def gone(targets: list[Target], take: Any) -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        for one in targets:
            take(one, fetch.fetch(one))

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup(1) has it
    monkeypatch.setattr(fetch, "fetch_all", gone)
    try:
        results, _folder = fleet.audit([])
    finally:
        signal.signal(signal.SIGHUP, before)
    assert results["interrompu"] is None and [one["etat"] for one in results["machines"]] == ["auditee"]


def test_machines_that_nobody_reaches_are_judged_by_what_the_guichet_carries(fleet: Fleet) -> None:
    """Never looked at from here, whatever they say; a guichet that stops answering is told of those that are left."""
    fleet.add("bonne")
    for name in ("loin", "bougee", "neuve", "apres"):
        changes: Any = {"derive": MOVED} if name == "bougee" else {}
        fleet.add(name, "exit 9", **changes)
        fleet.targets[-1] = dataclasses.replace(fleet.targets[-1], address="192.0.2.1", outgoing=True)
    keys = fleet.home / "flotte" / "known_hosts"
    keys.parent.mkdir()
    lines = (fleet.home / "known_hosts").read_text(encoding="utf-8").splitlines(keepends=True)
    keys.write_text("".join(lines[1:]), encoding="utf-8")
    (fleet.home / "known_hosts").write_text(lines[0], encoding="utf-8")

    def carried(names: Sequence[str]) -> Iterator[tuple[str, bytes | None]]:
        assert [*names] == ["loin", "bougee", "neuve", "apres"]
        yield "loin", (fleet.ssh / "loin.raw").read_bytes()
        yield "bougee", (fleet.ssh / "bougee.raw").read_bytes()
        yield "neuve", None
        raise FleetError("le guichet ne répond pas")

    fleet.more = {"carried": carried, "keys": keys}
    results, folder = fleet.audit([])
    assert fleet.looked == []
    machines = {one["nom"]: one for one in results["machines"]}
    assert {name: one["etat"] for name, one in machines.items()} == {
        "bonne": "auditee",
        "loin": "auditee",
        "bougee": "auditee",
        "neuve": "en_erreur",
        "apres": "injoignable",
    }
    assert machines["neuve"]["incident"]["raison"] == fetch.CARRIED_NOTHING
    assert machines["apres"]["incident"]["raison"] == "le guichet ne répond pas"
    assert (folder / "machines" / "loin" / audit_store.RELEVE).is_file()


def test_an_audit_that_is_cut_while_it_looks_from_here_keeps_what_was_signed(fleet: Fleet) -> None:
    fleet.add("bonne")
    fleet.cut = True
    results, _folder = fleet.audit(["bonne"])
    assert fleet.looked == ["bonne"] and results["machines"][0]["etat"] == "auditee"
    assert results["interrompu"] == "Constats (OpenSCAP, correctifs)" and results["releves"]["dehors"] == []
