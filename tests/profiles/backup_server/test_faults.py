"""A client turned hostile, and what breaks by itself, on repositories made for the time of these tests.

The client is borg on the server itself: its connection is the command that sshd would impose on its key.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from testinfra.backend.base import CommandResult
from testinfra.host import Host

TOP = "/var/tmp/essai-sauvegarde"
pytestmark = pytest.mark.leaves_traces

CLIENTS = {"essai": 100, "autre": 100, "etroit": 10, "plein": 100}
CONFIG = {
    "racine": f"{TOP}/racine",
    "etat": f"{TOP}/etat",
    "metriques": f"{TOP}/metriques",
    "compte": "sauvegarde",
    "lecteurs": "sauvegarde-lecture",
    "trimestres": 4,
    "clients": {name: {"quota_mo": quota, "age_max_h": 48} for name, quota in CLIENTS.items()},
}
SERVE = (
    "runuser -u sauvegarde -- env SSH_ORIGINAL_COMMAND={asked} "
    "creatic-depots --config {top}/depots.json servir {client}"
)
SET_UP = f"""
set -e
umount {TOP}/racine/plein 2>/dev/null || true; rm -rf {TOP}
install -d -m 0755 {TOP} {TOP}/racine {TOP}/metriques {TOP}/etat/gel {TOP}/racine/plein {TOP}/donnees
install -d -o sauvegarde -g sauvegarde {TOP}/etat/borg
install -d -g sauvegarde-lecture -m 1770 {TOP}/etat/places
mount -t tmpfs -o size=12m,mode=0755 essai {TOP}/racine/plein
for c in {" ".join(CLIENTS)}; do install -d -m 2750 -o sauvegarde -g sauvegarde-lecture {TOP}/racine/$c/depot; done
echo {shlex.quote(json.dumps(CONFIG))} > {TOP}/depots.json
head -c 3000000 /dev/urandom > {TOP}/donnees/a; head -c 3000000 /dev/urandom > {TOP}/donnees/b
head -c 40000000 /dev/urandom > {TOP}/flot
"""


class Client:
    """A client that uses borg as it likes: nothing of ours restrains it."""

    def __init__(self, host: Host, name: str) -> None:
        self.host, self.name = host, name
        self.repository = f"ssh://serveur{TOP}/racine/{name}/depot"
        script = "#!/bin/sh\nexec " + SERVE.format(asked=shlex.quote("borg serve"), top=TOP, client=name)
        with host.sudo():
            host.run_expect([0], f"echo {shlex.quote(script)} > {TOP}/{name}.sh")

    def borg(self, *arguments: str, prefix: str = "", wrap: str = "") -> CommandResult:
        """Run borg as root of the client's machine. REPO stands for its repository."""
        words = shlex.join(arguments).replace("REPO", self.repository)
        environment = (
            f"BORG_BASE_DIR={TOP}/client-{self.name} BORG_PASSPHRASE=essai BORG_RSH='sh {TOP}/{self.name}.sh' "
            "BORG_DELETE_I_KNOW_WHAT_I_AM_DOING=YES BORG_RELOCATED_REPO_ACCESS_IS_OK=yes LC_ALL=C.UTF-8"
        )
        with self.host.sudo():
            return self.host.run(f"cd / && {wrap}env {prefix}{environment} borg {words}")

    def must(self, *arguments: str) -> str:
        done = self.borg(*arguments)
        assert done.rc == 0, done.stderr
        return str(done.stdout)

    def begin(self, *sources: str) -> None:
        """A repository with one backup for each source."""
        self.must("init", "-e", "repokey-blake2", "REPO")
        for number, source in enumerate(sources, 1):
            self.must("create", f"REPO::s{number}", source)
        assert server(self.host, "surveiller", self.name).rc == 0

    def names(self) -> list[str]:
        return [one["name"] for one in json.loads(self.must("list", "--json", "REPO"))["archives"]]

    def forget(self) -> None:
        with self.host.sudo():
            self.host.run_expect([0], f"rm -rf {TOP}/client-{self.name}")


def server(host: Host, *arguments: str) -> CommandResult:
    """creatic-depots on the repositories of these tests."""
    with host.sudo():
        return host.run(f"creatic-depots --config {TOP}/depots.json {shlex.join(arguments)}")


def state(host: Host, client: str) -> dict[str, Any]:
    """What the server says of one."""
    found: dict[str, dict[str, Any]] = {one["client"]: one for one in json.loads(server(host, "etat").stdout)}
    return found[client]


def metrics(host: Host) -> str:
    with host.sudo():
        return str(host.check_output(f"cat {TOP}/metriques/depots.prom"))


@pytest.fixture(scope="module")
def place(host: Host) -> Iterator[None]:
    with host.sudo():
        host.run_expect([0], SET_UP)
    yield
    with host.sudo():
        host.run_expect([0], f"umount {TOP}/racine/plein && rm -rf {TOP}")


@pytest.fixture(scope="module")
def client(host: Host, place: None) -> Client:
    one = Client(host, "essai")
    one.begin(f"{TOP}/donnees/a", f"{TOP}/donnees")
    return one


def test_a_deletion_is_seen_contained_and_undone(host: Host, client: Client) -> None:
    client.must("delete", "REPO::s1", "s2")
    client.borg("compact", "REPO")
    assert client.names() == []  # for the client all is gone
    seen = server(host, "surveiller", "essai")
    assert seen.rc == 1
    assert (
        "blocs déjà sauvegardés ont été supprimés ou remplacés. À faire : fab sauvegarde.revenir essai" in seen.stderr
    )
    assert 'creatic_depot_suspect{client="essai"} 1' in metrics(host)
    refused = client.borg("create", "REPO::s3", f"{TOP}/donnees")
    assert refused.rc != 0
    assert "Ce dépôt est gelé par le serveur de sauvegarde" in refused.stderr
    early = server(host, "rouvrir", "essai")
    assert (early.rc, "revenez d'abord en arrière" in early.stderr) == (1, True)
    back = server(host, "revenir", "essai")
    assert back.rc == 0, back.stderr
    assert "revenu à la transaction" in back.stdout
    assert server(host, "rouvrir", "essai").rc == 0
    client.forget()
    assert client.names() == ["s1", "s2"]
    client.must("extract", "--dry-run", "REPO::s2")
    assert server(host, "surveiller", "essai").rc == 0
    again = server(host, "revenir", "essai")
    assert (again.rc, "rien de suspect n'a été vu, rien n'est défait" in again.stderr) == (1, True)


def test_the_key_that_the_repository_holds_cannot_be_lost(host: Host, client: Client) -> None:
    """borg serve lets a client write the repository's configuration, which holds its encrypted key."""
    done = client.borg("key", "change-passphrase", "REPO", prefix="BORG_NEW_PASSPHRASE=voleur ")
    assert done.rc == 0, done.stderr
    assert client.borg("list", "REPO").rc != 0
    assert "qui porte sa clé, a été changée" in server(host, "surveiller", "essai").stderr
    assert server(host, "revenir", "essai").rc == 0
    assert server(host, "rouvrir", "essai").rc == 0
    client.forget()
    assert client.names() == ["s1", "s2"]


def test_a_flood_stops_at_the_quota_and_loses_nothing(host: Host, place: None) -> None:
    flooding = Client(host, "etroit")
    flooding.begin(f"{TOP}/donnees/a")
    done = flooding.borg("create", "REPO::flot", f"{TOP}/flot")
    assert done.rc != 0
    assert "quota" in done.stderr.lower()
    assert flooding.names() == ["s1"]
    # What was on its way when it was refused stays on the disk until the next backup.
    flooding.must("create", "REPO::s2", f"{TOP}/donnees/b")
    assert flooding.names() == ["s1", "s2"]
    assert state(host, "etroit")["octets"] < 10_000_000
    assert server(host, "surveiller", "etroit").rc == 0


def test_another_clients_repository_is_closed(host: Host, client: Client) -> None:
    for path in (f"{TOP}/racine/autre/depot", f"{TOP}/racine/essai", "/srv/sauvegardes"):
        done = client.borg("init", "-e", "none", f"ssh://serveur{path}")
        assert (done.rc != 0, "Repository path not allowed" in done.stderr) == (True, True), path
    with host.sudo():
        assert host.run(f"ls -A {TOP}/racine/autre/depot").stdout == ""


def test_a_shell_is_not_given(host: Host, client: Client) -> None:
    """Whatever command a key asks for, it is borg that reads it."""
    for asked in ("id", "borg serve; id", "creatic-depots etat"):
        with host.sudo():
            done = host.run("echo id | timeout 120 " + SERVE.format(asked=shlex.quote(asked), top=TOP, client="essai"))
        assert "uid=" not in done.stdout + done.stderr, asked
        assert '"transactions"' not in done.stdout, asked


def test_a_backup_cut_off_leaves_the_earlier_ones_and_is_no_crime(host: Host, client: Client) -> None:
    before = client.names()
    with host.sudo():
        host.run_expect([0], f"mkfifo {TOP}/sans-fin")
        # It reads for ever: whenever it is cut, it is in the middle.
        feed = f"while head -c 200000 /dev/urandom; do sleep .1; done > {TOP}/sans-fin"
        host.run_expect([0], f"nohup timeout 20 sh -c '{feed}' >/dev/null 2>&1 &")
    cut = client.borg("create", "--read-special", "REPO::coupee", f"{TOP}/sans-fin", wrap="timeout -s KILL 4 ")
    assert cut.rc == 137
    assert server(host, "surveiller", "essai").rc == 0
    client.borg("break-lock", "REPO")
    client.must("create", "REPO::apres", f"{TOP}/donnees")
    assert client.names() == [*before, "apres"]
    assert server(host, "surveiller", "essai").rc == 0


def test_a_full_disk_keeps_what_is_there(host: Host, place: None) -> None:
    full = Client(host, "plein")
    full.begin(f"{TOP}/donnees/a")
    with host.sudo():
        host.run_expect([1], f"head -c 20000000 /dev/urandom > {TOP}/racine/plein/autre-chose")
    done = full.borg("create", "REPO::s2", f"{TOP}/donnees")
    assert done.rc != 0
    assert "No space left" in done.stderr or "Insufficient free space" in done.stderr, done.stderr
    with host.sudo():
        host.run_expect([0], f"rm {TOP}/racine/plein/autre-chose")
    assert full.names() == ["s1"]
    full.must("extract", "--dry-run", "REPO::s1")
    assert server(host, "surveiller", "plein").rc == 0


def test_a_flipped_bit_is_told_and_what_is_good_comes_back(host: Host, client: Client) -> None:
    """The last test: the repository is damaged for good."""
    client.must("create", "REPO::saine", "/usr/bin/borg")
    with host.sudo():
        biggest = host.check_output(f"ls -S {TOP}/racine/essai/depot/data/0/* | head -1")
        flip = f"f=open('{biggest}','r+b'); f.seek(500000); b=f.read(1); f.seek(500000); f.write(bytes([b[0]^1]))"
        host.run_expect([0], f"python3 -c {shlex.quote(flip)}")
    told = server(host, "verifier", "essai")
    assert told.rc == 1
    assert "essai : le dépôt est abîmé" in told.stderr
    assert state(host, "essai")["verification"]["bonne"] is False
    assert 'creatic_depot_verified{client="essai"} 0' in metrics(host)
    client.must("extract", "--dry-run", "REPO::saine")
    damaged = client.borg("extract", "--dry-run", "REPO::s2")  # it has all that was big
    assert (damaged.rc != 0, "ntegrity" in damaged.stderr) == (True, True)
