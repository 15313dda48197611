"""Files of /etc/ssh under the guard; sshd and systemd are played, files and the rollback's shell are real."""

from __future__ import annotations

import base64
import grp
import os
import pwd
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.access import sshd_commit
from ansible_collections.cdg59.creatic.plugins.module_utils.access.sshd_commit import SshdError, SshServer, listeners
from ansible_collections.cdg59.creatic.plugins.module_utils.host.guard import Guard, run

from .conftest import Systemd

ME = {"owner": pwd.getpwuid(os.getuid()).pw_name, "group": grp.getgrgid(os.getgid()).gr_name}


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    etc = tmp_path / "ssh"
    (etc / "sshd_config.d").mkdir(parents=True)
    (etc / "sshd_config").write_text(f"Include {etc}/sshd_config.d/*.conf\n")
    (etc / "sshd_config.d" / "10.conf").write_text("ancien\n")
    (etc / "sshd_config.d" / "10.conf").chmod(0o600)
    return etc


def entry(path: Path, content: str | None = None, **over: Any) -> dict[str, Any]:
    spec = {"path": str(path), "state": "file", "mode": "0600", "secret": False, **ME, **over}
    if content is not None:
        spec["content_b64"] = base64.b64encode(content.encode()).decode()
    return spec


def server(etc: Path, guard: Guard, systemd: Systemd, *files: dict[str, Any]) -> SshServer:
    systemd.answers["MainPID"] = "0"  # socket activation: nothing to reload
    return SshServer(list(files), "creatic", etc=etc, run=systemd, guard=guard)


def test_installed_then_confirmed_then_nothing_differs(etc: Path, guard: Guard, systemd: Systemd) -> None:
    drop_in = etc / "sshd_config.d" / "10.conf"
    ssh = server(etc, guard, systemd, entry(drop_in, "neuf\n"))
    assert [change.path for change in ssh.inspect()] == [str(drop_in)]
    assert drop_in.read_text() == "ancien\n"
    ssh.apply("a", 20)
    assert drop_in.read_text() == "neuf\n"
    ssh.confirm("a")
    assert ssh.inspect() == []


def test_not_confirmed_every_file_is_as_it_was(etc: Path, guard: Guard, systemd: Systemd) -> None:
    old, new, gone = (etc / "sshd_config.d" / name for name in ("10.conf", "20.conf", "30.conf"))
    gone.write_text("utile\n")
    principals = etc / "principals"
    ssh = server(
        etc,
        guard,
        systemd,
        entry(principals, state="directory", mode="0755"),
        entry(principals / "auditeur", "auditeur\n"),
        entry(old, "neuf\n", mode="0644"),
        entry(new, "x\n"),
        entry(gone, state="absent"),
    )
    ssh.apply("a", 20)
    assert not gone.exists()
    run(["/bin/sh", str(guard.folder / "retour.sh")])
    assert (old.read_text(), old.stat().st_mode & 0o777, gone.read_text()) == ("ancien\n", 0o600, "utile\n")
    assert sorted(path.name for path in etc.rglob("*")) == ["10.conf", "30.conf", "sshd_config", "sshd_config.d"]


@pytest.mark.parametrize(
    ("refused", "told"),
    [
        ("sshd -t", "sshd refuse cette configuration, rien n'est changé : refusé"),
        ("is-active ssh.socket", r"ni ssh\.service ni ssh\.socket"),
    ],
)
def test_what_sshd_refuses_and_a_reload_that_fails_leave_the_old_files(
    etc: Path, guard: Guard, systemd: Systemd, refused: str, told: str
) -> None:
    systemd.refuses.add(refused)
    drop_in = etc / "sshd_config.d" / "10.conf"
    with pytest.raises(SshdError, match=told):
        server(etc, guard, systemd, entry(drop_in, "neuf\n")).apply("a", 20)
    assert drop_in.read_text() == "ancien\n"
    assert not guard.pending()


def test_files_changed_by_another_hand_are_not_confirmed(etc: Path, guard: Guard, systemd: Systemd) -> None:
    drop_in = etc / "sshd_config.d" / "10.conf"
    ssh = server(etc, guard, systemd, entry(drop_in, "neuf\n"))
    ssh.apply("a", 20)
    drop_in.write_text("autre\n")
    with pytest.raises(SshdError, match="ne sont plus ceux"):
        ssh.confirm("a")
    assert drop_in.read_text() == "autre\n"  # a confirmation writes nothing


class Sshd:
    """sshd of ssh.service: its sockets change when it is reloaded, unless it fails or hangs."""

    def __init__(self, systemd: Systemd, monkeypatch: pytest.MonkeyPatch) -> None:
        self.systemd, self.waits, self.now = systemd, 2, 0.0
        monkeypatch.setattr(sshd_commit, "listeners", lambda _pid: {"11"} if self._old() else {"12"})
        clock = SimpleNamespace(monotonic=lambda: self.now, sleep=self._sleep)
        monkeypatch.setattr(sshd_commit, "time", clock)

    def _old(self) -> bool:
        if "systemctl reload ssh.service" not in self.systemd.asked:
            return True
        self.waits -= 1
        return self.waits >= 0

    def _sleep(self, seconds: float) -> None:
        self.now += seconds


def reloaded(etc: Path, guard: Guard, systemd: Systemd, pid: int) -> SshServer:
    ssh = server(etc, guard, systemd, entry(etc / "sshd_config.d" / "10.conf", "neuf\n"))
    systemd.answers["MainPID"] = f"{pid}\n"
    return ssh


def test_new_files_count_once_sshd_listens_anew(
    etc: Path, guard: Guard, systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    sshd = Sshd(systemd, monkeypatch)
    assert reloaded(etc, guard, systemd, os.getpid()).apply("a", 20) == [str(etc / "sshd_config.d" / "10.conf")]
    assert sshd.waits == -1
    assert sshd.now == pytest.approx(0.1)
    assert guard.pending()


@pytest.mark.parametrize("alive", [True, False])
def test_an_sshd_that_does_not_listen_again_puts_the_old_files_back(
    etc: Path, guard: Guard, systemd: Systemd, monkeypatch: pytest.MonkeyPatch, alive: bool
) -> None:
    """It hangs, or it is no longer there: whatever is said of its sockets is then somebody else's."""
    sshd = Sshd(systemd, monkeypatch)
    sshd.waits = 10**6 if alive else 0
    with pytest.raises(SshdError, match=r"^sshd n'a pas repris son écoute après le rechargement, l'état précédent"):
        reloaded(etc, guard, systemd, os.getpid() if alive else 2**22 + 1).apply("a", 20)
    assert sshd.now == pytest.approx(15, abs=0.06)
    assert (etc / "sshd_config.d" / "10.conf").read_text() == "ancien\n"
    assert not guard.pending()


def test_a_refused_reload_puts_the_old_files_back(
    etc: Path, guard: Guard, systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    Sshd(systemd, monkeypatch)
    systemd.refuses.add("reload ssh.service")
    with pytest.raises(SshdError, match=r"^sshd n'a pas pu être rechargé, l'état précédent est remis : refusé$"):
        reloaded(etc, guard, systemd, os.getpid()).apply("a", 20)
    assert (etc / "sshd_config.d" / "10.conf").read_text() == "ancien\n"


def test_a_folder_gets_its_mode_back(etc: Path, guard: Guard, systemd: Systemd) -> None:
    folder = etc / "principals"
    folder.mkdir()
    folder.chmod(0o2750)
    server(etc, guard, systemd, entry(folder, state="directory", mode="0755")).apply("a", 20)
    assert folder.stat().st_mode & 0o7777 == 0o755
    run(["/bin/sh", str(guard.folder / "retour.sh")])
    assert folder.stat().st_mode & 0o7777 == 0o2750


@pytest.mark.parametrize(
    ("name", "over", "reason"),
    [
        ("../passwd", {}, "n'est pas sous"),
        ("sshd_config.d/lien.conf", {"link": "autre"}, "ni lien"),
        ("sshd_config.d", {"state": "absent"}, "ni suppression de dossier"),
        ("sshd_config.d/10.txt", {}, "n'est lu par aucun « Include »"),
    ],
)
def test_entries_that_could_not_be_undone_or_would_not_count_are_refused(
    etc: Path, guard: Guard, systemd: Systemd, name: str, over: dict[str, Any], reason: str
) -> None:
    content = None if "state" in over else "x"
    with pytest.raises(SshdError, match=reason):
        server(etc, guard, systemd, entry(etc / name, content, **over)).inspect()


def test_listening_sockets_of_a_process(tmp_path: Path) -> None:
    process = tmp_path / "42"
    (process / "net").mkdir(parents=True)
    (process / "fd").mkdir()
    line = "0: 00000000:0016 00000000:0000 {} 0:0 00:0 0 0 0 {} 1"
    (process / "net" / "tcp").write_text("\n".join(["titre", line.format("0A", 11), line.format("01", 12)]))
    for number, inode in ((3, 11), (4, 12), (5, 99)):
        (process / "fd" / str(number)).symlink_to(f"socket:[{inode}]")
    assert listeners(42, tmp_path) == {"11"}
