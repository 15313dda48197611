"""Files of /etc/ssh under the guard; sshd and systemd are played, files and the rollback's shell are real."""

from __future__ import annotations

import base64
import grp
import os
import pwd
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.guard import Guard, run
from ansible_collections.cdg59.creatic.plugins.module_utils.sshd_commit import SshdError, SshServer, listeners

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


def test_what_sshd_refuses_is_never_installed(etc: Path, guard: Guard, systemd: Systemd) -> None:
    systemd.refuses.add("sshd -t")
    drop_in = etc / "sshd_config.d" / "10.conf"
    with pytest.raises(SshdError, match="sshd refuse cette configuration, rien n'est changé : refusé"):
        server(etc, guard, systemd, entry(drop_in, "neuf\n")).apply("a", 20)
    assert drop_in.read_text() == "ancien\n"
    assert not guard.pending()


def test_a_reload_that_fails_puts_the_old_files_back_at_once(etc: Path, guard: Guard, systemd: Systemd) -> None:
    systemd.refuses.add("is-active ssh.socket")
    drop_in = etc / "sshd_config.d" / "10.conf"
    with pytest.raises(SshdError, match=r"ni ssh\.service ni ssh\.socket"):
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
