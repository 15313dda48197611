"""nginx' logs keep to their share of the disk, whatever anybody asks of it."""

from __future__ import annotations

import getpass
import os
import runpy
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.patience import wait_for

NGINX = "/usr/sbin/nginx"
PROGRAM = runpy.run_path(str(Path(__file__).parents[3] / "roles/nginx_tls/files/nginx-tls-logs"))
SHARE = 100_000
LINES = {
    "access.log": f"GET /{'a' * 6000} HTTP/1.1\r\nHost: x\r\nReferer: {'b' * 6000}\r\n\r\n",
    "error.log": f"GET /absent/{'a' * 6000} HTTP/1.1\r\nHost: x\r\n\r\n",  # of a file that is not there
}


class Web:
    """A real nginx that logs as Debian has it do."""

    def __init__(self, folder: Path) -> None:
        self.logs, self.pid = folder / "journaux", folder / "pid"
        self.logs.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        temporary = "".join(
            f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (folder / "nginx.conf").write_text(
            f"daemon off;\nuser {getpass.getuser()};\npid {self.pid};\nerror_log {self.logs}/error.log;\nevents {{}}\n"
            f"http {{\naccess_log {self.logs}/access.log;\n{temporary}"
            f"server {{ listen 127.0.0.1:{self.port}; root {folder}; }}\n}}\n"
        )
        self.process = subprocess.Popen([NGINX, "-e", f"{self.logs}/error.log", "-c", str(folder / "nginx.conf")])
        wait_for(self._listens, "nginx listens", seconds=20)

    def _listens(self) -> bool:
        with socket.socket() as tried:
            return tried.connect_ex(("127.0.0.1", self.port)) == 0

    def asked(self, line: str, count: int) -> None:
        """Ask the same so many times."""
        with socket.create_connection(("127.0.0.1", self.port), 20) as link:
            for _rank in range(count):
                link.sendall(line.encode())
                answer = b""
                while not answer.endswith(b"</html>\r\n"):
                    answer += link.recv(65536)

    def kept(self, name: str) -> int:
        return sum(one.stat().st_size for one in self.logs.glob(f"{name}*"))


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    made = Web(tmp_path)
    yield made
    made.process.terminate()
    made.process.wait(20)


@pytest.mark.parametrize("name", LINES)
def test_whoever_asks_without_end_leaves_the_disk_to_others(web: Web, name: str) -> None:
    log, said = web.logs / name, 0
    for _round in range(6):
        web.asked(LINES[name], 60)
        wait_for(lambda: log.stat().st_size > SHARE, "the lines of a share", seconds=20)
        said += log.stat().st_size
        before = log.stat()
        assert name in PROGRAM["keep"](web.logs, web.pid, SHARE)
        assert (log.stat().st_uid, log.stat().st_gid) == (before.st_uid, before.st_gid)
        wait_for(lambda: _is_open(web, log), "nginx writes in the new one", seconds=20)
    assert web.kept(name) < said / 3
    web.asked(LINES[name], 1)
    wait_for(lambda: 0 < log.stat().st_size < SHARE, "the newest lines", seconds=20)


def _is_open(web: Web, log: Path) -> bool:
    """Whether every process of nginx has the log that is there now."""
    told = subprocess.run(["pgrep", "-P", str(web.process.pid)], stdout=subprocess.PIPE, text=True, check=True).stdout
    here = log.stat().st_ino
    for pid in map(int, told.split()):
        found = {one.stat().st_ino for one in Path(f"/proc/{pid}/fd").iterdir() if one.exists()}
        if here not in found:
            return False
    return True


def test_a_log_within_its_share_stays_and_what_is_old_goes(tmp_path: Path) -> None:
    (tmp_path / "access.log").write_bytes(b"x" * SHARE)
    old, young = tmp_path / "access.log.avant", tmp_path / "error.log.avant"
    old.write_bytes(b"x")
    young.write_bytes(b"x")
    os.utime(old, (time.time() - 15 * 86_400,) * 2)
    assert PROGRAM["keep"](tmp_path, tmp_path / "none", SHARE) == []
    assert (tmp_path / "access.log").stat().st_size == SHARE and young.exists() and not old.exists()


def test_nginx_may_be_away(tmp_path: Path) -> None:
    (tmp_path / "error.log").write_bytes(b"x" * (SHARE + 1))
    assert PROGRAM["keep"](tmp_path, tmp_path / "none", SHARE) == ["error.log"]
    assert (tmp_path / "error.log").stat().st_size == 0
