"""`creatic-archive` on a node: Swift's servers are played over HTTP, its ring and systemd by what they would answer."""

from __future__ import annotations

import base64
import hashlib
import http.server
import io
import json
import os
import stat
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from creatic_archive import cli, copies, metrics, quarantine, room, sample

NAMES = ("sae1", "sae2", "sae3")


class Recon:
    """Swift's servers: what each address, port and path answers; nothing for the rest."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, int, str], Any] = {}

    def __call__(self, ip: str, port: int, path: str, timeout: float = 5.0) -> Any:
        return self.answers.get((ip, port, path))

    def node(self, ip: str, clock: float = 0.0, **passes: Any) -> None:
        """A node that answers on all its ports."""
        for port in (6200, 6201, 6202):
            self.answers[ip, port, "/recon/time"] = time.time() + clock
        for kind, port in (("account", 6202), ("container", 6201), ("object", 6200)):
            self.answers[ip, port, f"/recon/replication/{kind}"] = passes.get(kind)


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:32]


class Node:
    """This node, sae1, in a folder."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.recon = folder, Recon()
        self.disk = folder / "node" / "d1"
        self.asked: list[list[str]] = []
        self.answers: dict[str, str] = {}
        self.settings = {"noeud": "sae1", "adresse": "10.0.0.1", "disques": ["d1", "d2"], "montes": False}
        self.devices: list[dict[str, Any]] = [
            {"id": rank, "ip": f"10.0.0.{rank}", "meta": f"sae{rank}", "device": "d1"} for rank in (1, 2, 3)
        ]
        self.now = 0.0
        for name in ("etc", "lib", "node/d1", "node/d2", "metrics"):
            (folder / name).mkdir(parents=True)
        for ring in room.RINGS:
            (folder / "etc" / f"{ring}.ring.gz").write_bytes(ring.encode())
            os.utime(folder / "etc" / f"{ring}.ring.gz", (1, 1))
        for module in (room, copies, sample):
            monkeypatch.setattr(module, "ETC", folder / "etc")
        for name, file in (("OUT_OF_SERVICE", "hors-service"), ("BACK", "retour"), ("SEEN", "vu")):
            monkeypatch.setattr(room, name, folder / "lib" / file)
        monkeypatch.setattr(quarantine, "FILE", folder / "lib" / "quarantaine.json")
        monkeypatch.setattr(metrics, "FILE", folder / "metrics" / "archive.prom")
        for module in (room, copies, sample, quarantine):
            monkeypatch.setattr(module, "settings", lambda: self.settings)
        monkeypatch.setattr(room, "ask", self.recon)
        monkeypatch.setattr(room, "subprocess", SimpleNamespace(run=self._run))
        for module in (room, copies, cli):
            clock = SimpleNamespace(time=time.time, monotonic=lambda: self.now, sleep=self._sleep)
            monkeypatch.setattr(module, "time", clock)
        self._swift(monkeypatch)

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def _run(self, command: list[str], **_options: Any) -> subprocess.CompletedProcess[str]:
        self.asked.append(command)
        return subprocess.CompletedProcess(command, 0, self.answers.get(command[0], ""), "")

    def _swift(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What the agent takes of Swift, which is a Debian package and on no control node."""
        node = self

        class Ring:
            partition_count = 16

            def __init__(self, folder: str, ring_name: str) -> None:
                assert (folder, ring_name) == (str(node.folder / "etc"), "object")
                self.devs = [None, *node.devices]

            def get_part_nodes(self, part: int) -> list[dict[str, Any]]:
                return [one for one in node.devices if part % 2 or one["ip"] != "10.0.0.1"]

            def get_part(self, _account: str, _container: str, _name: str) -> int:
                return 7

            def get_nodes(self, _account: str, _container: str, _name: str) -> tuple[int, list[dict[str, Any]]]:
                return 7, node.devices

        class DiskFileError(Exception):
            pass

        class ClientException(Exception):
            def __init__(self, status: int) -> None:
                super().__init__(status)
                self.http_status = status

        def read_metadata(path: str) -> dict[str, str]:
            content = Path(path).read_text()
            if content == "abîmé":
                raise DiskFileError
            found: dict[str, str] = json.loads(content)
            return found

        self.client_exception = ClientException
        self.replicas: dict[tuple[str, str], Any] = {}
        self.read: list[tuple[str, str, str, str]] = []
        self.invalidated: list[str] = []

        def direct_get_object(
            one: dict[str, Any], part: int, account: str, container: str, name: str, **options: Any
        ) -> tuple[dict[str, str], list[bytes]]:
            assert part == 7
            assert options == {"conn_timeout": 5, "response_timeout": 60, "resp_chunk_size": 65536}
            self.read.append((one["ip"], account, container, name))
            answer = self.replicas[one["ip"], name]
            if isinstance(answer, Exception):
                raise answer
            digest = hashlib.md5(b"octets", usedforsecurity=False).hexdigest()
            return {"ETag": f'"{digest}"'}, answer

        parts: dict[str, dict[str, Any]] = {
            "swift": {}, "swift.common": {}, "swift.obj": {},
            "swift.common.ring": {"Ring": Ring},
            "swift.common.utils": {"hash_path": lambda *place: _digest("/".join(place))},
            "swift.common.exceptions": {"DiskFileError": DiskFileError, "ClientException": ClientException,
                                        "ConnectionTimeout": TimeoutError},
            "swift.common.direct_client": {"direct_get_object": direct_get_object},
            "swift.obj.diskfile": {
                "read_metadata": read_metadata,
                "read_hashes": lambda _partition: {"abc": 1, "valid": True, "updated": 1, "def": 1},
                "invalidate_hash": self.invalidated.append,
            },
        }  # fmt: skip # a table
        for name, content in parts.items():
            module = ModuleType(name)
            for key, value in content.items():
                setattr(module, key, value)
            monkeypatch.setitem(sys.modules, name, module)
            parent, _, last = name.rpartition(".")
            if parent:
                setattr(sys.modules[parent], last, module)

    def whole(self) -> None:
        """A room in which everything answers and all of systemd's units run."""
        self.answers["systemctl"] = "active\n" * len(room.UNITS)
        done = {"replication_last": time.time() - 10, "replication_time": 2, "replication_stats": {"failure": 0}}
        for device in self.devices:
            self.recon.node(device["ip"], account=done, container=done, object=done)

    def archive(self, digest: str, name: str = "/AUTH_x/aip/a b.tar", part: int = 1, content: str = "") -> Path:
        """A replica on the disk."""
        folder = self.disk / "objects" / str(part) / digest[-3:] / digest
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "1700.data").write_text(content or json.dumps({"name": name}))
        return folder


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    return Node(tmp_path, monkeypatch)


# -- asking ------------------------------------------------------------------------------------------------


class Answers(http.server.BaseHTTPRequestHandler):
    told = (200, b"{}")

    def do_GET(self) -> None:
        status, body = type(self).told
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def served() -> Iterator[tuple[type[Answers], int]]:
    server = http.server.HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Answers, server.server_port
    server.shutdown()
    server.server_close()


def test_only_a_good_answer_counts(served: tuple[type[Answers], int]) -> None:
    handler, port = served
    for status, body, expected in ((200, b'{"a": 1}', {"a": 1}), (503, b'{"a": 1}', None), (200, b"oups", None)):
        handler.told = (status, body)
        assert room.ask("127.0.0.1", port, "/recon/time") == expected
    assert room.ask("127.0.0.1", 1, "/recon/time") is None


def test_a_silent_node_is_told_as_such(node: Node) -> None:
    assert room.look_at("sae2", "10.0.0.2") == {"nom": "sae2", "adresse": "10.0.0.2", "repond": False}


def test_a_node_tells_its_passes_by_our_clock(node: Node) -> None:
    done = {"replication_last": 5000.0, "replication_time": 2, "replication_stats": {"failure": "3"}}
    in_minutes = {"object_replication_last": 5000.0, "replication_time": 2}
    node.recon.node("10.0.0.2", 100.0, account=done, object=in_minutes)
    node.recon.answers |= {
        ("10.0.0.2", 6200, "/recon/ringmd5"): {"/etc/swift/object.ring.gz": "abc"},
        ("10.0.0.2", 6200, "/recon/quarantined"): {"accounts": 1, "containers": 2, "objects": 4, "policies": 9},
        ("10.0.0.2", 6200, "/recon/version"): {"version": "2.35"},
    }
    told = room.look_at("sae2", "10.0.0.2")
    assert told["repond"]
    assert told["decalage_s"] == pytest.approx(100, abs=0.5)
    assert (told["anneaux"], told["quarantaine"], told["version"]) == ({"object": "abc"}, 7, "2.35")
    assert told["passes"]["account"]["debut"] == pytest.approx(4898, abs=0.5)
    assert told["passes"]["account"]["fin"] == pytest.approx(4900, abs=0.5)
    assert told["passes"]["account"]["echecs"] == 3
    assert told["passes"]["object"]["debut"] == pytest.approx(4780, abs=0.5)
    assert told["passes"]["object"]["echecs"] == 0
    assert told["passes"]["container"] == {}


def test_a_small_difference_of_clocks_is_the_network_s(node: Node) -> None:
    node.recon.node("10.0.0.2", 0.8, account={"replication_last": 5000.0})
    told = room.look_at("sae2", "10.0.0.2")
    assert told["passes"]["account"] == {"debut": 5000.0, "fin": 5000.0, "echecs": 0}
    assert (told["quarantaine"], told["version"], told["anneaux"]) == (0, None, {})


# -- what the node holds -----------------------------------------------------------------------------------


def test_the_state_of_a_whole_room(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.whole()
    monkeypatch.setattr(room, "quarantined_objects", lambda: iter([(Path("a"), True), (Path("b"), False)]))
    monkeypatch.setattr(room, "reboot_needed", lambda: True)
    monkeypatch.setattr(room, "disks", list)
    state = room.state()
    assert [(one["nom"], one["repond"]) for one in state["salle"]] == [(name, True) for name in NAMES]
    assert state["anneaux"]["account"] == hashlib.md5(b"account", usedforsecurity=False).hexdigest()
    assert (state["noeud"], state["en_service"], state["arretes"]) == ("sae1", True, [])
    assert state["quarantaine"] == {"total": 2, "a_reparer": 1}
    assert (state["redemarrage_demande"], state["absence_s"], state["trop_absent"]) == (True, 0, False)
    room.leave()
    room.SEEN.touch()
    os.utime(room.SEEN, (time.time() - 301 * 86400,) * 2)
    node.answers["systemctl"] = "active\ninactive\n" + "active\n" * (len(room.UNITS) - 3) + "failed\n"
    state = room.state()
    assert (state["en_service"], state["trop_absent"], state["arretes"]) == (False, True, ["memcached", "nginx"])
    assert state["absence_s"] == pytest.approx(301 * 86400, abs=5)


def test_disks_are_told_with_what_waits(node: Node) -> None:
    (node.disk / "async_pending" / "abc").mkdir(parents=True)
    for name in ("a", "b"):
        (node.disk / "async_pending" / "abc" / name).touch()
    first, second = room.disks(node.folder / "node")
    assert (first["nom"], first["absent"], first["mises_a_jour"]) == ("d1", False, 2)
    assert first["octets"] > first["libres"] > 0
    assert second["mises_a_jour"] == 0
    node.settings["montes"] = True
    assert room.disks(node.folder / "node")[0] == {
        "nom": "d1",
        "absent": True,
        "octets": 0,
        "libres": 0,
        "mises_a_jour": 0,
    }


@pytest.mark.parametrize(
    ("asked", "kernels", "needed"),
    [
        (True, [], True),
        (False, ["6.12.1"], False),
        (False, ["6.12.1", "6.12.2"], True),
        (False, ["6.12.1", "6.12.0"], False),
        (False, ["6.12.2"], False),  # a kernel that is not Debian's runs
    ],
)
def test_a_newer_kernel_asks_for_a_reboot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: bool, kernels: list[str], needed: bool
) -> None:
    compare = ModuleType("apt_pkg")
    compare.init = lambda: None  # type: ignore[attr-defined] # as in python3-apt
    compare.version_compare = lambda one, other: (one > other) - (one < other)  # type: ignore[attr-defined] # same
    monkeypatch.setitem(sys.modules, "apt_pkg", compare)
    monkeypatch.setattr(room.os, "uname", lambda: SimpleNamespace(release="6.12.1"))
    monkeypatch.setattr(room, "Path", lambda path: tmp_path / path.lstrip("/"))
    (tmp_path / "run").mkdir()
    (tmp_path / "boot").mkdir()
    if asked:
        (tmp_path / "run" / "reboot-required").touch()
    for kernel in kernels:
        (tmp_path / "boot" / f"vmlinuz-{kernel}").touch()
    assert room.reboot_needed() == needed


def test_the_auditor_s_last_pass_is_in_its_journal(node: Node) -> None:
    assert room.audited() is None
    node.answers["journalctl"] = (
        '1700.5 sae1 object-auditor: Object audit (ALL) "forever" mode completed: 3 s\n'
        '1800.5 sae1 object-auditor: Object audit (ALL) "forever" mode completed: 3 s\n'
        "1900.5 sae1 object-auditor: Object audit (ALL) since Tue\n"
        "1950.5 sae1 object-auditor: Object audit (ZBF) completed\n"
    )
    assert room.audited() == 1800.5


def test_what_the_auditor_set_aside_and_what_took_its_place(node: Node) -> None:
    quarantined = node.disk / "quarantined" / "objects"
    # The first four bits name the partition, of sixteen: this node holds the odd ones only.
    names = {"1" + "a" * 31: ".data", "3" + "b" * 31: ".ts", "5" + "c" * 31: "", "6" + "d" * 31: ""}
    for name, kept in names.items():
        (quarantined / f"{name}-x").mkdir(parents=True)
        (quarantined / f"{name}-x" / "1700.data").write_text(json.dumps({"name": f"/A/c/{name[0]}"}))
        if kept:
            folder = node.archive(name, part=int(name[0], 16))
            (folder / "1700.data").rename(folder / f"1800{kept}")
    found = {folder.name[0]: repaired for folder, repaired in room.quarantined_objects(node.folder / "node")}
    assert found == {"1": True, "3": True, "5": False, "6": True}
    (quarantined / f"{'5' + 'c' * 31}-x" / "1700.data").write_text("abîmé")
    os.utime(quarantined / f"{'1' + 'a' * 31}-x", (1700, 1700))
    listed = quarantine.listed(node.folder / "node")
    assert listed["noeud"] == "sae1"
    assert listed["objets"][0] == {
        "objet": "/A/c/1",
        "dossier": f"1{'a' * 31}-x",
        "le": 1700,
        "repare": True,
    }
    assert listed["objets"][2]["objet"] is None


def test_the_list_for_the_gateway_is_written_whole(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "listed", lambda: {"noeud": "sàe1", "objets": []})
    quarantine.write()
    assert quarantine.FILE.read_text(encoding="utf-8") == '{"noeud": "sàe1", "objets": []}'
    assert stat.S_IMODE(quarantine.FILE.stat().st_mode) == 0o644
    assert [path.name for path in quarantine.FILE.parent.iterdir()] == ["quarantaine.json"]


def test_a_disk_that_may_not_be_read_is_not_empty(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_self: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(PermissionError):
        room._inside(node.disk, "x")


# -- copies ------------------------------------------------------------------------------------------------


def test_copies_are_compared_by_their_names_alone(node: Node) -> None:
    first = node.archive("1" + "a" * 31, part=1)
    node.archive("1" + "b" * 31, part=1)
    (node.disk / "objects" / "1" / "hashes.pkl").touch()
    (first / "1600.data").touch()
    gone = node.archive("3" + "c" * 31, part=3)
    (gone / "1800.ts").touch()
    names = [f"1{'a' * 31}/1700.data", f"1{'b' * 31}/1700.data"]
    expected = hashlib.sha256("\n".join(names).encode()).hexdigest()[:24]
    assert copies.digests([1, 3, 5], [node.disk, node.folder / "absent"]) == {"1": expected}
    told = copies.listing(node.folder / "node")
    assert told == {"noeud": "sae1", "attendues": [1, 3, 5, 7, 9, 11, 13, 15], "empreintes": {"1": [expected]}}
    assert node.now == 2  # three looks, a second apart


def test_what_is_written_between_two_looks_has_several_digests(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([{}, {"1": "b"}, {"1": "a"}])
    monkeypatch.setattr(copies, "digests", lambda _wanted, _devices: next(looks))
    assert copies.listing(node.folder / "node")["empreintes"] == {"1": ["", "a", "b"]}


def test_what_the_journal_knows_and_this_node_lacks_is_named(node: Node) -> None:
    """By names alone: copies that are missing everywhere are alike."""
    names = [f"loos/aip/{letter}.tar" for letter in "abcd"]
    digests = [_digest(f"AUTH_{name}") for name in names]
    node.archive(digests[0], part=7)
    deleted = node.archive(digests[1], part=7)
    (deleted / "1800.ts").touch()
    emptied = node.archive(digests[2], part=7)
    (emptied / "1700.data").unlink()
    told = copies.absent([*names, names[0]], node.folder / "node")
    assert told["absentes"] == names[1:] and told["demandees"] == 4
    assert told["liste"] == copies.absent(reversed(names), node.folder / "node")["liste"]
    assert copies.absent([], node.folder / "node")["absentes"] == []


def test_swift_s_memory_of_a_partition_is_dropped_as_swift(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[tuple[str, int]] = []
    monkeypatch.setattr(copies.pwd, "getpwnam", lambda name: SimpleNamespace(pw_gid=61, pw_uid=62, pw_name=name))
    monkeypatch.setattr(copies.os, "setgid", lambda number: became.append(("gid", number)))
    monkeypatch.setattr(copies.os, "setuid", lambda number: became.append(("uid", number)))
    copies.look_again([7], node.folder / "node")
    assert became == [("gid", 61), ("uid", 62)]
    root = node.folder / "node"
    assert node.invalidated == [
        f"{root}/{disk}/objects/7/{suffix}" for disk in ("d1", "d2") for suffix in ("abc", "def")
    ]


# -- fixity ------------------------------------------------------------------------------------------------


def test_a_sample_is_read_on_every_node_that_must_hold_it(node: Node) -> None:
    node.archive("1" + "a" * 31)
    node.archive("1" + "b" * 31)  # another replica of the same, on this node
    node.archive("3" + "c" * 31, part=3, content="abîmé")
    for ip in ("10.0.0.1", "10.0.0.2", "10.0.0.3"):
        node.replicas[ip, "a b.tar"] = [b"oct", b"ets"]
    told = sample.check(5, node.folder / "node")
    assert told == {"noeud": "sae1", "lus": 1, "octets": 18, "manquants": [], "abimes": [], "muets": []}
    assert node.read == [(f"10.0.0.{rank}", "AUTH_x", "aip", "a b.tar") for rank in (1, 2, 3)]


def test_each_replica_that_is_not_good_is_named(node: Node) -> None:
    node.archive("1" + "a" * 31)
    del node.devices[1]["meta"]
    for answers, expected in (
        (([b"octetz"], node.client_exception(404), node.client_exception(507)),
         (["/AUTH_x/aip/a%20b.tar sur 10.0.0.2"], ["/AUTH_x/aip/a%20b.tar sur sae1"],
          ["/AUTH_x/aip/a%20b.tar sur sae3"])),
        (([b"octets"], OSError(), ValueError()),
         ([], [], ["/AUTH_x/aip/a%20b.tar sur 10.0.0.2", "/AUTH_x/aip/a%20b.tar sur sae3 (ValueError)"])),
    ):  # fmt: skip # a row a line
        for rank, answer in enumerate(answers, 1):
            node.replicas[f"10.0.0.{rank}", "a b.tar"] = answer
        told = sample.check(5, node.folder / "node")
        assert (told["manquants"], told["abimes"], told["muets"]) == expected


def test_a_node_that_does_not_answer_is_not_waited_for_again(node: Node) -> None:
    for name in ("a", "b"):
        node.archive("1" + name * 31, f"/AUTH_x/aip/{name}")
        node.replicas |= {(f"10.0.0.{rank}", name): [b"octets"] for rank in (1, 3)}
        node.replicas["10.0.0.2", name] = OSError()
    told = sample.check(5, node.folder / "node")
    assert (told["lus"], len(told["muets"])) == (2, 1)
    assert len(node.read) == 5


def test_a_sample_stops_at_its_count_its_bytes_and_four_of_a_partition(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    for rank in range(6):
        for part in (1, 3):
            name = f"{part}-{rank}"
            node.archive(f"{part}{rank}" + "a" * 30, f"/AUTH_x/aip/{name}", part)
            node.replicas |= {(device["ip"], name): [b"octets"] for device in node.devices}
    (node.disk / "objects" / "9").write_text("rien")
    root = node.folder / "node"
    assert sample.check(3, root)["lus"] == 3
    assert sample.check(99, root)["lus"] == 8
    assert sample._BUDGET == 256 * 1024 * 1024
    monkeypatch.setattr(sample, "_BUDGET", 36)
    assert sample.check(99, root)["octets"] == 36
    monkeypatch.setattr(sample, "_BUDGET", 37)
    assert sample.check(99, root)["lus"] == 3


# -- in and out of service ---------------------------------------------------------------------------------


def test_out_of_service_and_back(
    node: Node, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = iter(["a\nb\n", "a\n", ""])
    monkeypatch.setattr(
        room, "subprocess", SimpleNamespace(run=lambda *_a, **_o: SimpleNamespace(stdout=next(waiting)))
    )
    assert cli.main(["retirer"]) == 0
    assert capsys.readouterr().out == "Hors service.\n"
    assert room.OUT_OF_SERVICE.exists()
    assert node.now == pytest.approx(0.4)
    room.leave()
    monkeypatch.setattr(room, "healthy", lambda: False)
    assert cli.main(["remettre"]) == 1
    assert capsys.readouterr().err == "Swift ne répond pas sur ce nœud : il reste hors service.\n"
    assert room.OUT_OF_SERVICE.exists()
    monkeypatch.setattr(room, "healthy", lambda: True)
    assert cli.main(["remettre"]) == 0
    assert capsys.readouterr().out == "En service.\n"
    assert not room.OUT_OF_SERVICE.exists()
    assert room.BACK.exists()
    room.rejoin()


def test_a_deposit_is_waited_for_two_minutes_and_no_longer(node: Node) -> None:
    node.answers["ss"] = "une connexion\n"
    assert cli.main(["retirer"]) == 0
    assert node.now == pytest.approx(120, abs=0.3)
    assert room.busy() == 1


def test_what_marks_the_service_is_read_by_nginx(node: Node) -> None:
    before = os.umask(0)
    try:
        room.leave()
        room.rejoin()
        room.leave()
        room.note_presence({"noeud": "sae1", "arretes": [], "salle": [{"nom": "sae2", "repond": True}]})
    finally:
        os.umask(before)
    for path in (room.OUT_OF_SERVICE, room.BACK, room.SEEN):
        assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize(
    ("stopped", "answers", "noted"),
    [([], True, True), (["nginx"], True, False), ([], False, False)],
)
def test_a_node_is_in_touch_with_its_room_or_not(node: Node, stopped: list[str], answers: bool, noted: bool) -> None:
    others = [{"nom": "sae1", "repond": True}, {"nom": "sae2", "repond": answers}, {"nom": "sae3", "repond": False}]
    room.note_presence({"noeud": "sae1", "arretes": stopped, "salle": others})
    assert room.SEEN.exists() == noted


def test_too_long_an_absence_does_not_start_swift(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["absence"]) == 0
    room.SEEN.touch()
    for days, status in ((-1, 0), (299, 0), (301, 1)):
        os.utime(room.SEEN, (time.time() - days * 86400,) * 2)
        assert cli.main(["absence"]) == status
    assert capsys.readouterr().err.startswith("Ce nœud a été absent 301 jours : il rendrait des archives éliminées")
    os.utime(room.SEEN, (time.time() + 86400,) * 2)
    assert room.absence() == 0


def test_a_node_that_came_back_waits_for_the_others(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    room.BACK.touch()
    os.utime(room.BACK, (5000, 5000))
    before = {"replication_last": 5001.0, "replication_time": 2}
    after = {"replication_last": 5002.0, "replication_time": 2}
    failed = after | {"replication_stats": {"failure": 1}}
    in_time = {"replication_last": 5120.0, "replication_time": 2}
    node.recon.node("10.0.0.2", account=before, container=failed, object=in_time)
    assert room.behind(5000) == [
        "sae2 n'a pas encore fini de comparer : account",
        "sae2 n'a pas tout pu copier : container",
        "sae3 ne répond pas",
    ]
    assert cli.main(["rattraper", "--patience", "10"]) == 1
    assert capsys.readouterr().err.startswith(
        "Pas à jour après 10 s : sae2 n'a pas encore fini de comparer : account ; "
    )
    assert node.now == 12
    for ip in ("10.0.0.2", "10.0.0.3"):
        node.recon.node(ip, account=after, container=after, object=in_time)
    assert room.behind(5000) == []
    assert cli.main(["rattraper"]) == 0
    assert capsys.readouterr().out.startswith("À jour ")
    node.recon.node("10.0.0.3", account=after, container=after)
    assert room.behind(5000) == ["sae3 n'a pas encore fini de comparer : object"]


def test_a_node_is_healthy_when_all_its_servers_answer(
    node: Node, monkeypatch: pytest.MonkeyPatch, served: tuple[type[Answers], int]
) -> None:
    handler, port = served
    real = room.http.client.HTTPConnection
    asked: list[tuple[str, int]] = []

    def connect(ip: str, wanted: int, timeout: float) -> Any:
        asked.append((ip, wanted))
        return real(ip, port, timeout=timeout)

    monkeypatch.setattr(room.http.client, "HTTPConnection", connect)
    node.recon.node("10.0.0.1")
    for status, healthy in ((200, True), (503, True), (500, False)):
        handler.told = (status, b"")
        assert room.healthy() == healthy
    assert set(asked) == {("127.0.0.1", 8080)}
    handler.told = (200, b"")
    for missing in (6200, 6201, 6202):
        node.recon.node("10.0.0.1")
        del node.recon.answers["10.0.0.1", missing, "/recon/time"]
        assert not room.healthy()
    node.recon.node("10.0.0.1")
    monkeypatch.setattr(room.http.client, "HTTPConnection", lambda *_a, **_o: real("127.0.0.1", 1))
    assert not room.healthy()


def test_a_restart_waits_for_the_other_copies_then_for_swift(
    node: Node, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = iter([False, False, True])
    monkeypatch.setattr(room, "healthy", lambda: next(answers))
    for ip in ("10.0.0.2", "10.0.0.3"):
        node.recon.node(ip)
    assert cli.main(["redemarrer"]) == 0
    units = [unit for unit in room.UNITS if unit not in ("memcached", "nginx")]
    assert node.asked == [["systemctl", "restart", *(f"{unit}.service" for unit in units)]]
    assert node.now == pytest.approx(2.6)
    node.now = 0.0
    del node.recon.answers["10.0.0.3", 6201, "/recon/time"]
    monkeypatch.setattr(room, "healthy", lambda: False)
    assert cli.main(["redemarrer"]) == 1
    assert node.now == pytest.approx(120, abs=0.4)
    assert capsys.readouterr().err.startswith("Swift ne répond pas une minute après son redémarrage")


@pytest.mark.parametrize(("age", "read"), [(0, False), (15, False), (18, True), (-5, True)])
def test_rings_are_read_before_another_node_is_stopped(node: Node, age: float, read: bool) -> None:
    for ip in ("10.0.0.2", "10.0.0.3"):
        node.recon.node(ip)
    moment = time.time() - age
    os.utime(node.folder / "etc" / "object.ring.gz", (moment, moment))
    assert room._others_serve() == read


# -- what it tells -----------------------------------------------------------------------------------------


def test_the_state_and_the_whole_are_told_in_json(
    node: Node, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fixity: dict[str, Any] = {"manquants": [], "abimes": [], "muets": []}
    asked: list[int] = []

    def check(count: int) -> dict[str, Any]:
        asked.append(count)
        return fixity

    monkeypatch.setattr(room, "state", lambda: {"noeud": "sàe1"})
    monkeypatch.setattr(room, "audited", lambda: 17.0)
    monkeypatch.setattr(copies, "listing", dict)
    monkeypatch.setattr(sample, "check", check)
    again: list[list[int]] = []
    monkeypatch.setattr(copies, "look_again", again.append)
    assert cli.main(["etat"]) == 0
    assert capsys.readouterr().out == '{"noeud": "sàe1", "audit": 17.0}\n'
    assert cli.main(["bilan"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"copies": {}, "etat": {"noeud": "sàe1", "audit": 17.0}, "fixite": fixity}
    lists = [base64.b64encode(zlib.compress(names)).decode() for names in (b"loos/aip/a.tar\nloos/aip/b.tar", b"")]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lists)))
    monkeypatch.setattr(copies, "absent", lambda names: {"absentes": names})
    assert cli.main(["bilan", "--attendues"]) == 0
    absent = {"absentes": ["loos/aip/a.tar", "loos/aip/b.tar"]}
    assert json.loads(capsys.readouterr().out)["presence"] == absent
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lists)))
    assert cli.main(["absentes"]) == 0
    assert json.loads(capsys.readouterr().out) == absent
    assert cli.main(["recalculer", "7", "8"]) == 0
    assert again == [[7, 8]]
    assert cli.main(["fixite"]) == 0
    for kind in fixity:
        fixity = {"manquants": [], "abimes": [], "muets": []} | {kind: ["é"]}
        assert cli.main(["fixite", "--nombre", "3"]) == 1
    assert "é" in capsys.readouterr().out
    assert asked == [20, 20, 20, 3, 3, 3]
    for wrong in ([], ["recalculer"]):
        with pytest.raises(SystemExit):
            cli.main(wrong)


def test_figures_are_written_and_presence_is_noted(
    node: Node, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state: dict[str, Any] = {
        "noeud": "sae1", "instant": 2000.0, "en_service": True, "arretes": [],
        "quarantaine": {"total": 5, "a_reparer": 2},
        "disques": [{"nom": "d1", "octets": 10, "libres": 4, "mises_a_jour": 3},
                    {"nom": "d2", "octets": 20, "libres": 5, "mises_a_jour": 4}],
        "salle": [
            {"nom": "sae1", "repond": True, "decalage_s": 0.25, "passes": {
                "object": {"fin": 1990.0, "echecs": 1}, "account": {"fin": 2001.0, "echecs": 0}, "container": {}}},
            {"nom": "sae2", "repond": True, "decalage_s": -3.5, "passes": {}},
            {"nom": "sae3", "repond": False},
        ],
    }  # fmt: skip # a table
    monkeypatch.setattr(room, "state", lambda: state)
    monkeypatch.setattr(quarantine, "listed", dict)
    assert cli.main(["mesurer"]) == 0
    assert quarantine.FILE.read_text() == "{}"
    assert room.SEEN.exists()
    assert stat.S_IMODE(metrics.FILE.stat().st_mode) == 0o644
    assert [line for line in metrics.FILE.read_text().splitlines() if not line.startswith("#")] == [
        "creatic_archive_in_service 1",
        "creatic_archive_units_down 0",
        "creatic_archive_nodes_unreachable 1",
        'creatic_archive_quarantined{etat="repare"} 3',
        'creatic_archive_quarantined{etat="a_reparer"} 2',
        "creatic_archive_async_pending 7",
        'creatic_archive_replication_age_seconds{kind="object"} 10',
        'creatic_archive_replication_age_seconds{kind="account"} 0',
        'creatic_archive_replication_failures{kind="object"} 1',
        'creatic_archive_replication_failures{kind="account"} 0',
        "creatic_archive_clock_skew_seconds 3.5",
        'creatic_archive_disk_bytes{device="d1",kind="size"} 10',
        'creatic_archive_disk_bytes{device="d1",kind="free"} 4',
        'creatic_archive_disk_bytes{device="d2",kind="size"} 20',
        'creatic_archive_disk_bytes{device="d2",kind="free"} 5',
    ]
    lonely = metrics.text(state | {"noeud": "autre", "salle": []})
    assert "replication_age_seconds{" not in lonely
    assert "clock_skew_seconds 0\n" in lonely


def test_the_settings_are_the_role_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "archive.json").write_text('{"noeud": "sae1"}')
    monkeypatch.setattr(room, "Path", lambda path: tmp_path / Path(path).name)
    assert room.settings() == {"noeud": "sae1"}


@pytest.mark.parametrize("missing", [6200, 6201, 6202])
def test_every_server_of_the_others_is_asked_before_a_stop(node: Node, missing: int) -> None:
    for ip in ("10.0.0.2", "10.0.0.3"):
        node.recon.node(ip)
    assert room._others_serve()
    del node.recon.answers["10.0.0.3", missing, "/recon/time"]
    assert not room._others_serve()
