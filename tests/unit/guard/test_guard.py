"""The host's timed rollback: it happens, once, unless someone confirms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.host.guard import Guard, GuardError, failure_message, run

from .conftest import Systemd


@pytest.fixture
def thing(tmp_path: Path) -> Path:
    thing = tmp_path / "chose"
    thing.write_text("avant")
    return thing


@pytest.fixture
def save(thing: Path) -> Callable[[Path], str]:
    def save(folder: Path) -> str:
        (folder / "copie").write_text(thing.read_text())
        return f"cp copie {thing}"

    return save


def script(guard: Guard) -> None:
    """What systemd runs, at the end of the delay or at boot."""
    assert run(["/bin/sh", str(guard.folder / "retour.sh")]).returncode == 0


def test_everything_is_on_disk_before_the_timer_starts(
    guard: Guard, systemd: Systemd, save: Callable[[Path], str]
) -> None:
    guard.arm("a", 20, save)
    unit = guard.units / "creatic-garde-essai.service"
    assert f"ExecStart=/bin/sh {guard.folder}/retour.sh" in unit.read_text()
    assert systemd.asked[-1].endswith(
        "--on-active=20s --timer-property=AccuracySec=100ms --unit=creatic-garde-essai.service"
    )
    assert "systemctl --quiet enable creatic-garde-essai.service" in systemd.asked
    assert guard.pending()
    assert guard.status("a") == {"state": "arme", "at": ""}
    assert guard.state.stat().st_mode & 0o777 == 0o700


def test_nobody_confirms_the_old_state_is_back_and_a_late_confirmation_is_refused(
    guard: Guard, thing: Path, save: Callable[[Path], str]
) -> None:
    guard.arm("a", 20, save)
    thing.write_text("après")
    script(guard)
    assert thing.read_text() == "avant"
    assert not guard.pending()
    assert guard.status("a")["state"] == "revenu"
    assert guard.status("a")["at"].endswith("Z")
    with pytest.raises(GuardError, match="trop tard"):
        guard.confirm("a")
    thing.write_text("plus tard")
    script(guard)  # the next boot
    assert thing.read_text() == "plus tard"


def test_confirmed_nothing_is_undone(guard: Guard, systemd: Systemd, thing: Path, save: Callable[[Path], str]) -> None:
    guard.arm("a", 20, save)
    thing.write_text("après")
    guard.confirm("a")
    assert systemd.asked[-1] == "systemctl --quiet stop creatic-garde-essai.timer"
    script(guard)
    assert thing.read_text() == "après"
    assert guard.status("a")["state"] == "absent"


def test_a_rollback_cut_short_is_finished_at_the_next_boot(
    guard: Guard, thing: Path, save: Callable[[Path], str]
) -> None:
    guard.arm("a", 20, save)
    (guard.folder / "arme").rename(guard.folder / "revenu")  # power lost right after
    thing.write_text("après")
    assert guard.pending()
    script(guard)
    assert thing.read_text() == "avant"


def test_the_next_run_first_undoes_what_an_interrupted_one_left(
    guard: Guard, thing: Path, save: Callable[[Path], str]
) -> None:
    guard.arm("a", 20, save)
    thing.write_text("après")
    with pytest.raises(GuardError, match="attend déjà"):
        guard.arm("b", 20, save)
    guard.roll_back()
    assert thing.read_text() == "avant"
    guard.arm("b", 20, save)
    assert guard.status("a")["state"] == "absent"


def test_another_runs_change_is_not_confirmed_by_ours(guard: Guard, save: Callable[[Path], str]) -> None:
    guard.arm("a", 20, save)
    with pytest.raises(GuardError, match="un autre passage"):
        guard.confirm("b")
    assert guard.status("a")["state"] == "arme"


def test_no_timer_nothing_armed(guard: Guard, systemd: Systemd, save: Callable[[Path], str]) -> None:
    systemd.refuses.add("systemd-run")
    with pytest.raises(GuardError, match=r"n'a pas pu être armé \(refusé\)"):
        guard.arm("a", 20, save)
    assert not guard.pending()


def test_an_old_state_that_cannot_come_back_is_said(guard: Guard, save: Callable[[Path], str]) -> None:
    guard.arm("a", 20, save)
    (guard.folder / "retour.sh").write_text("exit 1\n")
    with pytest.raises(GuardError, match="n'a pas pu être remis"):
        guard.roll_back()


def test_a_rollback_of_which_a_part_fails_is_said(guard: Guard, save: Callable[[Path], str]) -> None:
    """The shell's last word counts, whatever it leaves behind."""
    guard.arm("a", 20, save)
    (guard.folder / "retour.sh").write_text("cd ${0%/*}; mv arme revenu; rm revenu/a-faire; echo 1 2>&1; exit 3\n")
    with pytest.raises(GuardError, match=r"^essai : l'état précédent n'a pas pu être remis \(1\)$"):
        guard.roll_back()


def test_a_confirmation_that_meets_the_rollback_loses(guard: Guard, thing: Path, save: Callable[[Path], str]) -> None:
    guard.arm("a", 20, save)
    check = guard.check

    def late(token: str) -> None:
        check(token)
        script(guard)

    guard.check = late  # type: ignore[method-assign] # the rollback comes right after the check
    with pytest.raises(GuardError, match=r"^essai : trop tard, la machine a déjà remis l'état précédent$"):
        guard.confirm("a")
    assert thing.read_text() == "avant"


def test_another_run_that_begins_after_a_rollback_leaves_nothing_to_confirm(
    guard: Guard, save: Callable[[Path], str]
) -> None:
    guard.arm("a", 20, save)
    script(guard)
    with pytest.raises(GuardError, match="trop tard"):
        guard.check("b")
    (guard.folder / "revenu" / "fait").unlink()
    assert guard.status("a") == {"state": "arme", "at": ""}


def test_a_unit_that_systemd_refuses_arms_nothing(guard: Guard, systemd: Systemd, save: Callable[[Path], str]) -> None:
    systemd.refuses.add("enable")
    expected = r"^essai : systemd refuse l'unité creatic-garde-essai.service \(refusé\)$"
    with pytest.raises(GuardError, match=expected):
        guard.arm("a", 20, save)
    assert not guard.pending()


def test_a_unit_already_there_is_not_installed_again(
    guard: Guard, systemd: Systemd, save: Callable[[Path], str]
) -> None:
    enable = "systemctl --quiet enable creatic-garde-essai.service"
    unit = guard.units / "creatic-garde-essai.service"
    for token in ("a", "b"):
        guard.arm(token, 20, save)
        guard.confirm(token)
    assert systemd.asked.count(enable) == 1
    unit.write_text("autre")
    guard.arm("c", 20, save)
    assert systemd.asked.count(enable) == 2
    assert "Retour automatique : essai" in unit.read_text()


def test_nobody_else_reads_what_waits(guard: Guard, save: Callable[[Path], str]) -> None:
    guard.arm("a", 20, save)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (guard.folder / "arme").iterdir()}
    assert modes.items() >= {("jeton", 0o600), ("a-faire", 0o600)}
    assert (guard.folder / "arme").stat().st_mode & 0o777 == 0o700
    assert (guard.folder / "retour.sh").stat().st_mode & 0o777 == 0o700
    assert (guard.units / "creatic-garde-essai.service").stat().st_mode & 0o777 == 0o644


def test_of_a_long_complaint_the_end_is_told() -> None:
    done = run(["/bin/sh", "-c", "seq 6 >&2; echo dit; exit 1"])
    assert done.returncode == 1
    assert failure_message(done) == "3 / 4 / 5 / 6"
    assert failure_message(run(["/bin/sh", "-c", "echo dit; exit 1"])) == "dit"
