"""What tells of the daily mail, and where the collector listens and what it says of who is refused."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import temoin
from creatic_journaux import cli, receive

COUNTED = 'alertmanager_notifications{suffix}{{integration="{integration}",receiver_name="{receiver}"}} {value}\n'


def line(value: str, suffix: str = "_total", integration: str = "email", receiver: str = "temoin") -> str:
    return COUNTED.format(suffix=suffix, integration=integration, receiver=receiver, value=value)


def test_mails_that_the_relay_took_are_those_of_the_witness_less_those_that_failed() -> None:
    text = line("7") + line("2", "_failed_total") + line("40", receiver="equipe") + line("50", integration="webhook")
    assert temoin.sent(text) == 5
    assert temoin.sent(line("1e+01")) == 10
    assert temoin.sent("") == 0


@pytest.mark.parametrize(
    ("before", "count", "left"),
    [
        (3, 4, True),
        (3, 3, False),
        (3, 1, True),  # Alertmanager started anew, and sent one
        (3, 0, False),  # it started anew, and sent none yet
        (0, 0, False),
        (0, 1, True),
    ],
)
def test_a_mail_left_when_there_are_more_or_it_counts_anew(before: int, count: int, left: bool) -> None:
    known = {"compte": before, "dernier": 100.0}
    assert temoin.noted(known, count, 500.0) == {"compte": count, "dernier": 500.0 if left else 100.0}


def test_nothing_known_is_no_mail() -> None:
    assert temoin.noted({}, 0, 500.0) == {"compte": 0, "dernier": 0.0}


def test_the_witness_writes_what_prometheus_reads_and_what_it_knows_next(tmp_path: Path) -> None:
    metrics, figures, state = tmp_path / "alertes", tmp_path / "f.prom", tmp_path / "etat.json"
    rules = tmp_path / "regles"
    metrics.write_text(line("1"))
    rules.write_text(json.dumps({"data": {"groups": [{"rules": [{"name": "une", "health": "ok"}]}]}}))

    def told() -> dict[str, str]:
        assert temoin.main(metrics.as_uri(), figures, state, rules.as_uri()) == 0
        shown = [one.partition(" ") for one in figures.read_text().splitlines() if not one.startswith("#")]
        return {name: value for name, _, value in shown}

    first = told()
    moment = first["supervision_temoin_timestamp_seconds"]
    assert int(moment) > 1_700_000_000 and first["supervision_regles_en_echec"] == "0"
    state.write_text(state.read_text().replace(moment[:8], "17000000"))  # long ago
    assert told()["supervision_temoin_timestamp_seconds"].startswith("17000000")  # no mail since
    assert figures.stat().st_mode & 0o777 == 0o644
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alertes", "etat.json", "f.prom", "regles"]
    state.write_text("[")  # cut short: the next mail is noted all the same
    assert told()


@pytest.mark.parametrize("dual", [True, False])
def test_the_collector_listens_everywhere_with_ipv6_or_without(monkeypatch: pytest.MonkeyPatch, dual: bool) -> None:
    if not dual:
        monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    with receive.listen("", 0) as found:
        port = found.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=20):
            pass
    with receive.listen("127.0.0.1", 0) as found:
        assert found.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionResetError(104, "Connection reset by peer"), "connexion coupée"),
        (ConnectionAbortedError(), "partie avant TLS"),
        (ssl.SSLError(1, "no shared cipher"), "no shared cipher"),
    ],
)
def test_who_is_refused_before_it_is_known_is_told_with_its_address(
    capsys: pytest.CaptureFixture[str], error: OSError, said: str
) -> None:
    def refused() -> ssl.SSLContext:
        raise error

    ours, theirs = socket.socketpair()
    with ours, theirs:
        collector = cast("Any", SimpleNamespace(_trust=SimpleNamespace(context=refused)))
        connection = SimpleNamespace(
            getpeername=lambda: ("10.59.2.20", 40_000), setsockopt=lambda *_: None, close=ours.close
        )
        asyncio.run(receive.Collector._greet(collector, cast("socket.socket", connection)))
        assert ours.fileno() == -1
    assert capsys.readouterr().err == f"refusé, 10.59.2.20 : {said}\n"


def test_a_command_line_without_a_command_is_refused_in_french(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([])
    assert ended.value.code == 2 and "il manque : COMMANDE" in capsys.readouterr().err
