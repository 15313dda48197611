"""What a machine says of its updates: apt, dpkg, needrestart and logind as they speak."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.answers import checked
from ansible_collections.cdg59.creatic.plugins.module_utils.host import updates
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import StateError

from creatic.registry.rounds import has_work

STARTED = 1_764_000_000
PLANNED = """NOTE: This is only a simulation!
Inst libbrotli1 [1.1.0-2+b7] (1.1.0-2+deb13u1 Debian:13.8/stable, Debian-Security:13/stable-security [amd64]) []
Inst libc6 [2.41-12+deb13u4] (2.41-12+deb13u5 Debian:13.8/stable [amd64])
Inst linux-image-6.12.9-amd64 (6.12.9-1 Debian:13.8/stable [amd64])
Inst creatic-essai [1] (2 localhost [all])
Conf libc6 (2.41-12+deb13u5 Debian:13.8/stable [amd64])
"""
URIS = (
    "'http://miroir.example/debian/pool/l/libc6_2.deb' libc6_2.deb 2840000 SHA256:00\n"
    "'file:/essai/e.deb' e.deb 1000 SHA256:00\n"
)
NEEDRESTART = """NEEDRESTART-VER: 3.11
NEEDRESTART-KCUR: 6.12.1-amd64
NEEDRESTART-KEXP: 6.12.1-amd64
NEEDRESTART-KSTA: 1
NEEDRESTART-SVC: nginx.service
NEEDRESTART-SVC: cron.service
NEEDRESTART-SESS: creatic @ session #12
"""
SESSIONS = """  3 1000 claire seat0 812  user  tty2 no -
 12 1001 creatic -    1903 user  -    no -
  1  115 lightdm seat0 701  greeter tty7 no -
"""


class Machine:
    """Answers in the place of programs; what is not said is empty."""

    def __init__(self, root: Path, **told: str) -> None:
        self.root = root
        self.told = {"systemctl": f"@{STARTED}\n"} | {name.replace("_", "-"): text for name, text in told.items()}
        for folder in ("usr", "var/lib/apt/lists/partial", "run"):
            (root / folder).mkdir(parents=True)

    def __call__(self, command: Sequence[str], _error: str) -> str:
        name = "uris" if "--print-uris" in command else command[0]
        return self.told.get(name, "")

    def look(self, *, restart: bool = False, up: int = 3600) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """What it answers, which is always what was asked."""
        state, checks = updates.look(restart=restart, moment=STARTED + up, command=self, root=self.root)
        assert checked("correctifs", [state]) == [state]
        assert checked("controles", checks) == checks
        return state, checks


def test_what_is_pending_is_told_with_what_is_of_security(tmp_path: Path) -> None:
    state, checks = Machine(tmp_path, apt_get=PLANNED, uris=URIS, apt_mark="redis-server\n").look()
    assert {one["nom"]: (one["installee"], one["disponible"], one["securite"]) for one in state["paquets"]} == {
        "creatic-essai": ("1", "2", False),
        "libbrotli1": ("1.1.0-2+b7", "1.1.0-2+deb13u1", True),
        "libc6": ("2.41-12+deb13u4", "2.41-12+deb13u5", False),
        "linux-image-6.12.9-amd64": ("", "6.12.9-1", False),
    }
    assert state["retenus"] == ["redis-server"]
    assert [one["verdict"] for one in checks] == ["ok", "ok"]
    assert "2,8 Mo à télécharger" in checks[1]["detail"]
    assert has_work(state)


def test_an_up_to_date_machine_has_nothing_to_do(tmp_path: Path) -> None:
    state, checks = Machine(tmp_path, dpkg_query="ii |libc6:amd64\nrc |vieux\nhi |retenu\n").look()
    assert not has_work(state)
    assert (state["demarre"], [one["verdict"] for one in checks]) == (STARTED, ["ok", "ok"])


def test_what_runs_on_replaced_files_is_work(tmp_path: Path) -> None:
    state, _checks = Machine(tmp_path, needrestart=NEEDRESTART).look()
    assert (state["services"], state["redemarrer"]) == (["cron.service", "nginx.service"], [])
    assert has_work(state)


@pytest.mark.parametrize(
    ("told", "reasons"),
    [
        (
            "NEEDRESTART-KCUR: 6.12.1\nNEEDRESTART-KEXP: 6.12.9\nNEEDRESTART-KSTA: 3\n",
            ["noyau 6.12.1 remplacé par 6.12.9"],
        ),
        (
            "NEEDRESTART-KCUR: 6.12.1\nNEEDRESTART-KEXP: 6.12.1\nNEEDRESTART-KSTA: 2\n",
            ["noyau 6.12.1 remplacé par 6.12.1"],
        ),
        ("NEEDRESTART-KSTA: 0\nNEEDRESTART-UCSTA: 0\n", []),  # a container
        ("NEEDRESTART-KSTA: 1\nNEEDRESTART-UCSTA: 2\n", ["microcode du processeur remplacé"]),
    ],
)
def test_a_replaced_kernel_asks_for_a_restart(tmp_path: Path, told: str, reasons: list[str]) -> None:
    assert Machine(tmp_path, needrestart=told).look()[0]["redemarrer"] == reasons


def test_debian_s_own_word_asks_for_a_restart(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    (tmp_path / "run/reboot-required").touch()
    assert machine.look()[0]["redemarrer"] == ["Debian le demande"]
    (tmp_path / "run/reboot-required.pkgs").write_text("linux-base\ndbus\ndbus\n")
    assert machine.look()[0]["redemarrer"] == ["Debian le demande (dbus, linux-base)"]


def test_a_restart_for_the_asking_is_made_once(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    assert machine.look(restart=True, up=25 * 3600)[0]["redemarrer"] == ["demandé"]
    assert machine.look(restart=True, up=600)[0]["redemarrer"] == []
    assert machine.look(up=25 * 3600)[0]["redemarrer"] == []


def test_who_is_in_front_of_the_machine_is_known_and_nobody_else(tmp_path: Path) -> None:
    assert Machine(tmp_path, loginctl=SESSIONS).look()[0]["sessions"] == ["claire"]


def test_an_installation_that_was_cut_off_is_finished_or_told(tmp_path: Path) -> None:
    told = "ii |a\niU |b:amd64\niF |c\niW |d\nit |e\nrc |f\n"
    state, checks = Machine(tmp_path, dpkg_query=told).look()
    assert state["inacheves"] == ["b:amd64", "c", "d", "e"] and checks[0]["verdict"] == "ok"
    assert has_work(state)


@pytest.mark.parametrize("told", ["iH |b\n", "iFR|b\n"])
def test_what_dpkg_cannot_finish_forbids_the_updates(tmp_path: Path, told: str) -> None:
    [paquets, _place] = Machine(tmp_path, dpkg_query=told).look()[1]
    assert (paquets["verdict"], paquets["detail"]) == ("echec", "installation coupée de b")
    assert paquets["remede"].endswith("apt-get install --reinstall b")


def test_updates_that_would_remove_something_are_a_person_s_choice(tmp_path: Path) -> None:
    [paquets, _place] = Machine(tmp_path, apt_get="Remv postgresql-17 [17.2]\n").look()[1]
    assert (paquets["verdict"], paquets["detail"]) == ("echec", "les correctifs retireraient postgresql-17")


def test_a_disk_that_would_fill_up_forbids_the_updates(tmp_path: Path) -> None:
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    place = Machine(tmp_path, uris=f"'http://m/a.deb' a.deb {free // 2} SHA256:0\n").look()[1][1]
    assert place["verdict"] == "echec" and place["remede"]


@pytest.mark.parametrize(
    ("answers", "pauses", "told"),
    [
        ([0], 0, ""),
        ([100, 100, 0], 2, ""),  # Debian's own timer was at it
        ([100] * 13, 12, "E: Could not get lock /var/lib/apt/lists/lock"),
    ],
)
def test_lists_that_another_brings_up_to_date_are_waited_for(
    monkeypatch: pytest.MonkeyPatch, answers: list[int], pauses: int, told: str
) -> None:
    left, waited = iter(answers), list[float]()
    held = "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 12\n"
    monkeypatch.setattr(
        updates.subprocess,
        "run",
        lambda *_a, **_k: SimpleNamespace(returncode=(code := next(left)), stderr=held if code else "", stdout=""),
    )
    if told:
        with pytest.raises(StateError, match=told):
            updates.refresh(waited.append)
    else:
        updates.refresh(waited.append)
    assert len(waited) == pauses


def test_a_source_that_does_not_answer_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told = SimpleNamespace(returncode=100, stderr="E: Failed to fetch http://miroir/ 404\nW: rien\n", stdout="")
    monkeypatch.setattr(updates.subprocess, "run", lambda *_a, **_k: told)
    with pytest.raises(StateError, match=r"ne se mettent pas à jour : E: Failed to fetch http://miroir/ 404$"):
        updates.refresh(lambda _s: pytest.fail("nobody is waited for"))
