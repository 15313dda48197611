"""Silences, on a real Alertmanager: of whom, by whom, until when; what cannot be is refused."""

from __future__ import annotations

import datetime as dt
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from creatic.supervision import silences
from testbed.patience import wait_for

COMMUNES, MACHINES = {"gondecourt"}, {"gondecourt-connecteur", "veille"}
ROUTE = "route: {receiver: rien}\nreceivers: [{name: rien}]\n"


def made(target: str = "gondecourt", lasting: str = "4h", reason: str = "travaux") -> list[str]:
    return silences.silence_command(target, lasting, reason, "Léa Martin", COMMUNES, MACHINES)


@pytest.fixture
def amtool(tmp_path: Path) -> Iterator[Callable[[list[str]], str]]:
    """Runs a command where it belongs, on an Alertmanager of the test."""
    (tmp_path / "a.yml").write_text(ROUTE)
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{one.getsockname()[1]}"
    command = ["prometheus-alertmanager", f"--config.file={tmp_path}/a.yml", f"--storage.path={tmp_path}",
               f"--web.listen-address={address}", "--cluster.listen-address="]  # fmt: skip # a list by rows

    def run(argv: list[str]) -> str:
        words = [word.replace("127.0.0.1:9093", address) for word in argv]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout

    def answers() -> bool:
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", int(address.rpartition(":")[2]))) == 0

    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(answers, "Alertmanager", 60, every=0.1)
            yield run
        finally:
            process.terminate()


def test_a_silence_has_an_author_an_end_and_a_reason(amtool: Callable[[list[str]], str]) -> None:
    before = dt.datetime.now().astimezone()
    first = amtool(made(reason=' travaux\n"$(id)" {{ 7 * 7 }} ; ')).split()[-1]
    second = amtool(made("veille", "30min")).split()[-1]
    found = list(silences.rows("veille | CHANGED | rc=0 >>\n" + amtool(silences.list_command())))
    assert [row[0] for row in found] == [second, first]  # the first to end
    assert found[1][1] == "commune gondecourt" and found[1][3:] == ("Léa Martin", 'travaux "$(id)" (( 7 * 7 )) ;')
    ends = dt.datetime.strptime(found[0][2], "%d/%m/%Y %H:%M").astimezone()
    assert dt.timedelta(minutes=28) < ends - before < dt.timedelta(minutes=32)
    amtool(silences.ended(first))
    assert [row[0] for row in silences.rows(amtool(silences.list_command()))] == [second]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"target": "lile"}, "« lile » n'est ni une commune ni une machine"),
        ({"target": 'gondecourt" or machine=~".*'}, "n'est ni une commune"),
        ({"lasting": "toujours"}, "n'est pas une durée ; attendu : 4h, 90min, 2j"),
        ({"lasting": "0h"}, "n'est pas une durée"),
        ({"lasting": "31j"}, "30 jours au plus"),
        ({"reason": " \n"}, "--motif : dites pourquoi"),
    ],
)
def test_what_cannot_be_silenced_is_told(change: dict[str, str], said: str) -> None:
    with pytest.raises(silences.SilenceError) as refused:
        made(**change)
    assert said in str(refused.value)


@pytest.mark.parametrize("text", ["", "tous", "--all", "12345678-1234-1234-1234-12345678901g"])
def test_what_is_no_silence_is_not_lifted(text: str) -> None:
    with pytest.raises(silences.SilenceError, match="n'est pas l'identifiant"):
        silences.ended(text)


@pytest.mark.parametrize("text", ["", "veille | UNREACHABLE!", "[{}]", '[{"id": 1'])
def test_an_answer_that_is_none_is_told(text: str) -> None:
    with pytest.raises(silences.SilenceError, match="fab serveurs supervision"):
        list(silences.rows(text))
