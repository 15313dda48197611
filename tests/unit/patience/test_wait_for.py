"""The tests' own way to wait, on a made-up clock and load."""

from __future__ import annotations

import pytest

from testbed import patience
from testbed.patience import allowed, wait_for


class Machine:
    """A clock that only pauses advance, and a load."""

    def __init__(self) -> None:
        self.now, self.load = 1000.0, 0.5

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def getloadavg(self) -> tuple[float, float, float]:
        return (self.load, 0, 0)

    def cpu_count(self) -> int:
        return 2


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(patience, "time", made)
    monkeypatch.setattr(patience, "os", made)
    return made


def test_what_the_condition_gives_comes_back(machine: Machine) -> None:
    answers = iter([None, [], ["là"]])
    assert wait_for(lambda: next(answers), "le fichier") == ["là"]
    assert machine.now == pytest.approx(1000.4)


def test_what_does_not_come_is_said_with_the_time_and_the_load(machine: Machine) -> None:
    with pytest.raises(AssertionError, match=r"^toujours pas : l'état 60, après 60 s \(charge 0,5 pour 2 processeurs"):
        wait_for(lambda: machine.now > 2000, lambda: f"l'état {int(machine.now) - 1000}", seconds=60, every=1)


@pytest.mark.parametrize(("load", "limit"), [(0, 10), (2, 10), (6, 30), (50, 60)])
def test_the_limit_counts_the_load(machine: Machine, load: float, limit: float) -> None:
    machine.load = load
    assert allowed(10) == limit
    with pytest.raises(AssertionError, match=f"après {limit} s"):
        wait_for(lambda: False, "rien", seconds=10, every=0.5)


def test_a_load_that_comes_while_it_waits_counts(machine: Machine) -> None:
    def condition() -> bool:
        machine.load = 0 if machine.now < 1005 else 4
        return False

    with pytest.raises(AssertionError, match=r"après 1[56] s"):
        wait_for(condition, "rien", seconds=10, every=0.5)


def test_a_long_wait_says_so_now_and_then(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert wait_for(lambda: machine.now >= 1070, "le nœud", seconds=100, every=1)
    assert capsys.readouterr().out.splitlines() == ["… attend le nœud depuis 30 s", "… attend le nœud depuis 60 s"]


def test_a_state_that_cannot_be_read_does_not_end_the_wait(machine: Machine) -> None:
    def state() -> str:
        raise ConnectionError("refus")

    assert wait_for(lambda: machine.now >= 1040, state)


def test_an_error_is_one_unless_it_means_not_yet(machine: Machine) -> None:
    def refused() -> bool:
        raise ConnectionError("refus")

    with pytest.raises(ConnectionError):
        wait_for(refused, "le serveur")
    with pytest.raises(AssertionError, match=r"toujours pas : le serveur, .* ; ConnectionError : refus$"):
        wait_for(refused, "le serveur", despite=(OSError,))
    assert machine.now > 1050
