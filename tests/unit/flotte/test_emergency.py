"""The emergency door: one machine opens it, on an order signed for it and for now, and on nothing else."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from creatic_flotte import emergency
from creatic_guichet import cli
from creatic_guichet import door as door_process
from creatic_guichet.store import BadRequest

from creatic.access import authority as access
from creatic.fleet import emergency as orders
from creatic.fleet.signing import FleetError, Signer
from creatic.pki.keys import Passphrases
from testbed.connector import Authority
from testbed.fleet import Door, Machine
from testbed.patience import allowed, wait_for
from tests.unit.flotte.test_publication import World

TOP = Path(__file__).parents[3]
NAME, OTHER = "loos-connecteur", "loos-pc"
HOURS = dt.timedelta(hours=2)


@pytest.fixture
def world(tmp_path: Path, authority: Authority, door: Door) -> World:
    made = World(tmp_path, authority, door)
    made.publish()
    return made


@pytest.fixture
def machine(world: World) -> Machine:
    return world.machines[NAME]


def ordered(world: World, name: str = NAME, number: int = 1, lasts: dt.timedelta = HOURS) -> dict[str, Any]:
    return world.fleet().open_door(name, lasts, world.certificates, lambda _key: number)


def given(world: World, name: str, text: str, signer: Signer | None = None) -> None:
    """What the door gives a machine, were it another's, or nobody's."""
    signed = (signer or world.fleet()._signer).sign(text)
    with world.door.store._open() as db:
        db.execute("DELETE FROM portes WHERE machine = ?", (name,))
        db.execute(
            "INSERT INTO portes VALUES (?, 1, '2999-01-01T00:00:00+00:00', 22000, '', ?, ?)", (name, text, signed)
        )


def test_both_sides_say_the_same() -> None:
    assert orders.KIND == emergency.KIND
    flows = yaml.safe_load((TOP / "roles/guichet/vars/main.yml").read_text())
    assert flows["__guichet_door_port"] == emergency.SERVER_PORT
    [tunnels] = [one for one in flows["guichet_firewall"] if one["name"] == "guichet-tunnels"]
    assert tunnels["ports"] == [f"{orders.PORTS[0]}-{orders.PORTS[-1]}"]
    machine = yaml.safe_load((TOP / "roles/flotte/vars/main.yml").read_text())["flotte_firewall"][0]
    assert emergency.SERVER_PORT in machine["ports"]


def test_it_opens_for_one_machine_and_ends_with_its_registry(world: World, machine: Machine, url: str) -> None:
    made = ordered(world)
    until = dt.datetime.fromisoformat(made["fin"])
    assert world.door.keys.read_text() == (
        f'restrict,port-forwarding,permitlisten="127.0.0.1:22000",expiry-time="{until:%Y%m%d%H%M%SZ}" '
        f"{made['cle']} {NAME}\n"
    )
    _kind, said = machine.passes(url)
    assert said.endswith(f"porte de secours n° 1 ouverte jusqu'au {until:%d/%m/%Y à %H:%M} (UTC)")
    assert machine.unit == "restart"
    laid = machine.tunnel
    assert [stat.S_IMODE(path.stat().st_mode) for path in (laid, *laid.iterdir())] == [0o700, 0o400, 0o400, 0o400]
    public = subprocess.run(["ssh-keygen", "-y", "-f", laid / "cle"], capture_output=True, text=True, check=True)
    assert public.stdout.split()[:2] == made["cle"].split()
    assert (laid / "connu").read_text() == "guichet ssh-ed25519 AAAAhote\n"
    assert json.loads((laid / "ordre.json").read_text()) == {
        "numero": 1,
        "fin": made["fin"],
        "port": 22000,
        "serveur": "localhost",
    }
    # Nobody else is ordered anything; a second pass opens nothing more.
    assert "porte" not in world.machines[OTHER].passes(url)[1]
    machine.unit = "restart"
    laid_at = (laid / "cle").stat().st_mtime_ns
    machine.passes(url)
    assert (laid / "cle").stat().st_mtime_ns == laid_at
    assert any("elle ne l'a pas encore ouverte" in one for one in world.fleet().status()[2])
    world.door.joined = {22000}
    assert any("le tunnel est ouvert" in one for one in world.fleet().status()[2])
    world.fleet().close_door(1)
    assert world.door.keys.read_text() == ""
    assert machine.passes(url)[1].endswith("porte de secours n° 1 fermée")
    assert (machine.unit, laid.exists()) == ("stop", False)
    assert "porte" not in machine.passes(url)[1]


def test_a_second_one_has_a_port_of_its_own(world: World) -> None:
    assert [ordered(world)["port"], ordered(world, OTHER, 2)["port"]] == [22000, 22001]
    with pytest.raises(FleetError, match=r"la porte de loos-pc est ouverte, n° 2\. .*fab acces\.revoquer 2"):
        ordered(world, OTHER, 3)
    world.clock = 2 * HOURS  # both ended
    assert ordered(world, OTHER, 4)["port"] == 22000


def test_what_cannot_be_ordered_changes_nothing(world: World, door: Door) -> None:
    def never(_key: str) -> int:
        raise AssertionError("nothing is registered")

    for name, words in (
        ("gondecourt-pc", "n'est pas une machine en accès sortant"),
        (NAME, "pas de porte de secours : redéployez"),
    ):
        door.host_key.unlink(missing_ok=True)
        with pytest.raises(FleetError, match=words):
            world.fleet().open_door(name, HOURS, world.certificates, never)
    with pytest.raises(FleetError, match="n'a pas encore de certificat"):
        world.fleet().open_door(NAME, HOURS, {}, never)
    with pytest.raises(FleetError, match="100 portes de secours sont ouvertes"):
        orders.free_port(orders.PORTS)
    assert not (world.home / "flotte" / "portes.json").exists()


def test_a_door_of_the_fleet_that_was_away_gets_it_with_the_next_command(world: World, url: str) -> None:
    def away(_file: Path) -> None:
        raise FleetError("le guichet ne répond pas")

    with pytest.raises(FleetError, match="ne répond pas"):
        world.fleet(send=away).open_door(NAME, HOURS, world.certificates, lambda _key: 1)
    assert any("pas encore au guichet : fab flotte.avancer" in one for one in world.fleet().status()[2])
    world.pass_(url)
    world.advance()
    assert [one["numero"] for one in world.door.listing()["portes"]] == [1]


def other_machine(world: World, text: str) -> str:
    return text.replace(NAME, OTHER)


def later(world: World, text: str) -> str:
    found = json.loads(text)
    moved = {key: (dt.datetime.fromisoformat(found[key]) + 3 * HOURS).isoformat() for key in ("debut", "fin")}
    return json.dumps(found | moved)


def longer(world: World, text: str) -> str:
    found = json.loads(text)
    return json.dumps(found | {"fin": (dt.datetime.fromisoformat(found["fin"]) + 24 * HOURS).isoformat()})


def ended(world: World, text: str) -> str:
    found = json.loads(text)
    return json.dumps(found | {"debut": "2026-01-01T00:00:00+00:00", "fin": "2026-01-01T02:00:00+00:00"})


def for_another_key(world: World, text: str) -> str:
    found = json.loads(text)
    world.fleet().open_door(OTHER, HOURS, world.certificates, lambda _key: 2)
    with world.door.store._open() as db:
        other = json.loads(db.execute("SELECT ordre FROM portes WHERE machine = ?", (OTHER,)).fetchone()[0])
    return json.dumps(found | {"cle": other["cle"]})


def manifest_of_it(world: World, text: str) -> str:
    with world.door.store._open() as db:
        found: str = db.execute("SELECT manifeste FROM machines WHERE version > 0").fetchone()[0]
    return found


def two_lines(world: World, text: str) -> str:
    return json.dumps(json.loads(text) | {"hote": "ssh-ed25519 AAAA\n* ssh-ed25519 BBBB"})


def a_listed_port(world: World, text: str) -> str:
    return json.dumps(json.loads(text) | {"port": 22})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (other_machine, "ordre de 'loos-pc', et non de loos-connecteur"),
        (later, "ordre à venir"),
        (longer, "pas plus de 24 heures"),
        (ended, "ordre expiré"),
        (for_another_key, "ne s'ouvre avec aucune clé"),
        (manifest_of_it, "n'est pas un ordre d'ouverture"),
        (two_lines, "n'est pas un ordre d'ouverture"),
        (a_listed_port, "n'est pas un ordre d'ouverture"),
        (lambda world, text: "[]", "n'est pas un ordre d'ouverture"),
        (lambda world, text: "{", "n'est pas un ordre d'ouverture"),
    ],
)
def test_an_order_that_is_not_its_own_is_refused_and_keeps_no_version(
    world: World, machine: Machine, url: str, change: Callable[[World, str], str], words: str
) -> None:
    text = ordered(world)["ordre"]
    given(world, NAME, change(world, text))
    kind, said = machine.passes(url)
    assert kind == "a_jour" or machine.runs, said
    assert words in said
    assert not machine.tunnel.exists()
    assert machine.unit in ("", "stop")


def test_nobody_else_can_sign_one(world: World, machine: Machine, url: str, tmp_path: Path) -> None:
    text = ordered(world)["ordre"]
    stranger = Signer(tmp_path / "autre", Passphrases(tmp_path / "autre", generate=True))
    given(world, NAME, text, stranger)
    assert "porte de secours : ordre signé par une clé inconnue" in machine.passes(url)[1]
    assert not machine.tunnel.exists()


def test_one_that_was_followed_by_another_is_not_followed_again(world: World, machine: Machine, url: str) -> None:
    first = ordered(world)
    machine.passes(url)
    world.fleet().close_door(1)
    ordered(world, number=7)
    machine.passes(url)
    given(world, NAME, first["ordre"])
    assert "l'ordre n° 1 précède le n° 7, déjà suivi" in machine.passes(url)[1]
    assert not machine.tunnel.exists()


def test_an_order_never_passes_for_a_version(world: World, machine: Machine, url: str) -> None:
    text = ordered(world)["ordre"]
    with world.door.store._open() as db:
        db.execute(
            "UPDATE machines SET version = 1, manifeste = ?, signature = ? WHERE nom = ?",
            (text, world.fleet()._signer.sign(text), NAME),
        )
    kind, _said = machine.passes(url)
    assert (kind, machine.runs) == ("refus", [])


@pytest.mark.parametrize(
    "changes",
    [
        {"cle": 'ssh-ed25519 AAAA" command="id'},
        {"cle": "ssh-ed25519 " + "A" * 68 + "\nssh-ed25519 " + "B" * 68},
        {"port": 22},
        {"port": "22000"},
        {"numero": "1"},
        {"fin": "2026-01-01"},
        {"fin": 'x"'},
    ],
)
def test_the_door_of_the_fleet_takes_no_other_line(world: World, changes: dict[str, Any]) -> None:
    made = ordered(world)
    before = world.door.keys.read_text()
    records = world.home / "flotte" / "portes.json"
    records.write_text(json.dumps({NAME: made | {"numero": 9} | changes}))
    if "fin" in changes:
        records.write_text(json.dumps({NAME: made | {"numero": 9}}))
        sent = world.fleet()._send

        def meddled(file: Path) -> None:
            file.write_bytes(file.read_bytes().replace(made["fin"].encode(), changes["fin"].ljust(25).encode()))
            sent(file)

        with pytest.raises((BadRequest, FleetError)):
            world.fleet(send=meddled).close_door(0)
    else:
        with pytest.raises((BadRequest, FleetError)):
            world.fleet().close_door(0)
    assert world.door.keys.read_text() == before


def test_the_registry_numbers_it_and_its_end(tmp_path: Path) -> None:
    authority = access.SshAuthority(tmp_path / "acces", Passphrases(tmp_path / "acces", generate=True))
    authority.ensure(create=True)
    _private, public = orders.key_pair()
    assert [authority.note_door(NAME, HOURS, why, "camille", public) for why in ("panne", "encore")] == [1, 2]
    with pytest.raises(access.AccessError, match=r"--motif : dites pourquoi"):
        authority.note_door(NAME, HOURS, " ", "camille", public)
    with pytest.raises(access.AccessError, match=r"--motif : 100 caractères"):
        authority.note_door(NAME, HOURS, "a\nb", "camille", public)
    published = authority.krl.read_bytes()
    for _again in range(2):
        authority.revoke("1", "fini", "camille")
    # No certificate: what hosts have of revoked ones stays what it was, and they do not drift.
    assert (authority.ensure(), authority.krl.read_bytes()) == ([], published)
    rows = authority.listing()
    assert [(row["serie"], row["role"], row["principaux"], row["etat"]) for row in rows] == [
        (2, "porte de secours", [NAME], "valide"),
        (1, "porte de secours", [NAME], "revoque"),
    ]


def test_the_tunnel_is_held_until_its_end_and_no_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emergency, "_AGAIN", 0)
    end = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=allowed(4))
    said = {"numero": 1, "fin": end.isoformat(), "port": 22003, "serveur": "guichet.test"}
    (tmp_path / "ordre.json").write_text(json.dumps(said))
    # Cut twice, then held: as a line that comes back.
    program = tmp_path / "ssh"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/appels\n'
        f"[ $(wc -l < {tmp_path}/appels) -gt 2 ] || exit 255\nexec sleep 60\n"
    )
    program.chmod(0o755)
    assert emergency.tunnel(tmp_path, [str(program)]) == 0
    assert dt.datetime.now(dt.UTC) >= end
    calls = (tmp_path / "appels").read_text().splitlines()
    assert len(calls) == 3
    assert calls[0].endswith("-R 127.0.0.1:22003:127.0.0.1:22 porte@guichet.test")
    assert "StrictHostKeyChecking=yes" in calls[0] and "BatchMode=yes" in calls[0]
    assert emergency.tunnel(tmp_path, [str(program)]) == 0  # ended before: nothing is called any more
    assert len((tmp_path / "appels").read_text().splitlines()) == 3
    (tmp_path / "ordre.json").write_text("{")
    with pytest.raises(emergency.FleetError, match="aucun ordre"):
        emergency.tunnel(tmp_path)


def test_what_systemd_refuses_is_not_taken_for_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "systemctl"
    program.write_text('#!/bin/sh\n[ "$*" = "start porte.service" ]\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    assert emergency.systemctl("start", "porte.service") is True
    assert emergency.systemctl("stop", "porte.service") is False


def test_ports_that_answer_are_read_from_the_kernel(tmp_path: Path) -> None:
    table = tmp_path / "tcp"
    table.write_text(
        "  sl  local_address rem_address   st tx_queue\n"
        "   0: 0100007F:55F0 00000000:0000 0A 00000000:00000000\n"
        "   1: 0100007F:55F1 0100007F:1234 01 00000000:00000000\n"
    )
    assert cli.listening(table) == {22000}


def _keys(folder: Path, *ends: float) -> Path:
    """What the door writes, for orders that end then."""
    shown = (f"{dt.datetime.fromtimestamp(end, dt.UTC):%Y%m%d%H%M%SZ}" for end in ends)
    lines = (f'restrict,permitlisten="127.0.0.1:22000",expiry-time="{one}" ssh-ed25519 AAAA m\n' for one in shown)
    (folder / "cles").write_text("".join(lines))
    return folder / "cles"


@pytest.mark.parametrize(("ends", "status"), [((-10.0, 2.0, 500.0), 75), ((-10.0,), 3), ((), 3), ((500.0,), 3)])
def test_an_order_that_ends_ends_the_sshd_and_so_its_tunnels(
    tmp_path: Path, ends: tuple[float, ...], status: int
) -> None:
    """One that goes on, or was over before, keeps it; what ended by itself says how."""
    moment = time.time()
    keys = _keys(tmp_path, *(moment + end for end in ends))
    # Its clock begins with it, however long a busy machine takes to start it.
    code = "import sys, time; from pathlib import Path; from creatic_guichet import door; "
    code += "late = time.time() - float(sys.argv[3]); "
    code += "sys.exit(door.hold(Path(sys.argv[1]), ['sh', '-c', sys.argv[2]], lambda: time.time() - late))"
    shell = f"echo $$ > {tmp_path}/pid; exec sleep 600" if status == 75 else "exec sh -c 'sleep 4; exit 3'"
    done = subprocess.run(
        [sys.executable, "-c", code, str(keys), shell, str(moment)],
        env=os.environ | {"PYTHONPATH": ":".join(sys.path)}, timeout=allowed(120), check=False,
    )  # fmt: skip # one call by its parts
    assert done.returncode == status
    if status == 75:
        assert time.time() - moment >= 1
        assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


def test_a_door_without_keys_has_no_end(tmp_path: Path) -> None:
    assert door_process.ends(tmp_path / "absent") == []
    assert door_process.ends(_keys(tmp_path, 1_796_000_000.0)) == [1_796_000_000.0]


# What sshd is to the door: it lets in who says a fingerprint, and has two processes hold the connection.
_SSHD = r"""
import os, signal, socket, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
listener = socket.create_server((sys.argv[2], 0), family=int(sys.argv[3]))
open(sys.argv[1], "w").write(str(listener.getsockname()[1]))
while True:
    line, peer = listener.accept()
    if os.fork() == 0:
        key, _, more = line.recv(4000).decode().partition("|")
        name = f"porte from {peer[0]} port {peer[1]} ssh2: ED25519 {key}"
        sys.stderr.write(f"Received disconnect: {more}\r\n" if more else f"Accepted publickey for {name}\r\n")
        sys.stderr.flush()
        os.fork()
        line.sendall(b"in")
        signal.pause()
    line.close()
"""


class Tunnels:
    """Connections to the sshd that the door holds."""

    def __init__(self, folder: Path, address: str) -> None:
        blobs = [bytes([number]) * 51 for number in range(3)]
        lines = (f"restrict ssh-ed25519 {base64.b64encode(one).decode()} m{place}" for place, one in enumerate(blobs))
        (folder / "cles").write_text("\n".join(lines) + "\n")
        self.prints = [f"SHA256:{base64.b64encode(hashlib.sha256(one).digest()).decode().rstrip('=')}" for one in blobs]
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        code = "import sys; from pathlib import Path; from creatic_guichet import door; "
        code += "sys.exit(door.hold(Path(sys.argv[1]), sys.argv[2:]))"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, folder / "cles", sys.executable, "-c", _SSHD, folder / "port", address,
             str(int(family))],
            env=os.environ | {"PYTHONPATH": ":".join(sys.path)}, start_new_session=True,
        )  # fmt: skip # one call by its parts
        wait_for(lambda: (folder / "port").is_file() and (folder / "port").read_text() != "", "sshd", 30)
        self._address = (address, int((folder / "port").read_text()))

    def open(self, key: str, more: str = "") -> socket.socket:
        """One more, with a key; or with words of the client's own."""
        made = socket.create_connection(self._address, allowed(20))
        made.sendall(f"{key}|{more}".encode() if more else key.encode())
        assert made.recv(2) == b"in"
        return made

    def end(self) -> None:
        """Stop the door, and all that it started."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture(params=["127.0.0.1", "::1"])
def tunnels(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Tunnels]:
    made = Tunnels(tmp_path, request.param)
    yield made
    made.end()


def over(one: socket.socket) -> bool:
    """Whether the other end is gone, both its processes."""
    one.settimeout(0.2)
    try:
        return one.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True


def test_a_key_has_one_connection_the_last(tunnels: Tunnels) -> None:
    mine, other = tunnels.prints[:2]
    kept = tunnels.open(other)
    opened = [tunnels.open(mine) for _each in range(8)]
    wait_for(lambda: all(over(one) for one in opened[:-1]), "la fin des connexions d'avant", 30)
    assert not over(opened[-1]) and not over(kept)


def test_words_of_a_client_end_no_other_connection_and_hide_none(tunnels: Tunnels) -> None:
    """A farewell bears ends of lines, and sshd writes them: it may look like a line of sshd's."""
    mine, other, _third = tunnels.prints
    kept = tunnels.open(other)
    address, port = kept.getsockname()[:2]
    said = f"bye\nAccepted publickey for porte from {address} port {port} ssh2: ED25519 "
    tunnels.open(mine, f"{said}{mine}\n")  # another's connection as one of mine
    tunnels.open(mine, f"{said}SHA256:{'A' * 43}\n")
    tunnels.open(mine, f"bye\nAccepted publickey for porte from UNKNOWN port 65535 ssh2: ED25519 {mine}\n")
    first = tunnels.open(mine)
    second = tunnels.open(mine)
    wait_for(lambda: over(first), "la fin de la première", 30)
    assert not over(kept) and not over(second)
    last = tunnels.open(other)
    wait_for(lambda: over(kept), "la fin de celle d'avant", 30)
    assert not over(last) and not over(second)


def test_what_one_key_does_not_read_ends_its_own_connection() -> None:
    """sshd keeps what its client does not take, 256 MB as it grows: bounded below what ends the unit, and alone."""
    unit = (TOP / "roles/guichet/templates/guichet-porte.service.j2").read_text(encoding="utf-8")
    found = dict(line.split("=", 1) for line in unit.splitlines() if line.startswith(("LimitDATA", "MemoryMax", "OOM")))
    megabytes = {name: int(value.removesuffix("M")) for name, value in found.items() if name != "OOMPolicy"}
    assert 3 * megabytes["LimitDATA"] < megabytes["MemoryMax"]
    assert found["OOMPolicy"] == "continue"  # several keys together: the largest goes first
