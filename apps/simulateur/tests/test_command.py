"""``tdt-simulator``, the operator's command."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from simulator_harness import SIREN, Client
from tdt_simulator import cli
from tdt_simulator.config import Config, ConfigError
from tdt_simulator.testing import TdtServer

Run = Callable[..., int]


@pytest.fixture
def run(platform: TdtServer, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command, on a running platform."""
    monkeypatch.setattr(cli, "load", lambda _path: platform.store.config)
    monkeypatch.setattr(cli, "Store", lambda _config: platform.store)
    return lambda *arguments: cli.main([str(one) for one in arguments])


def test_faults_are_put_told_and_taken_away(run: Run, platform: TdtServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("faute") == 0
    assert capsys.readouterr().out == "Aucune faute en cours.\n"
    assert run("faute", "lent") == 1
    assert capsys.readouterr().err == "tdt-simulator : faute lent : donner la durée avec --secondes N\n"
    assert run("faute", "lent", "--secondes", 2.5, "--fois", 3) == 0
    assert capsys.readouterr().out == "lent            2.5 s, encore 3 fois\n"
    run("faute", "coupure")
    assert "coupure         en permanence" in capsys.readouterr().out
    run("faute", "lent", "--retirer")
    assert capsys.readouterr().out == "coupure         en permanence\n"
    run("faute", "--retirer")
    assert capsys.readouterr().out == "Aucune faute en cours.\n"


def test_acts_are_listed(run: Run, client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    run("actes")
    assert capsys.readouterr().out == "Aucun acte reçu.\n"
    client.deposited("A1")
    run("actes")
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["Transaction", "SIREN", "Numéro", "Statut", "Objet"]
    assert row.split()[1:3] == [SIREN, "A1"]
    run("actes", "--json")
    [act] = json.loads(capsys.readouterr().out)
    assert (act["siren"], act["numero"]) == (SIREN, "A1")
    run("actes", "--siren", "000000000")
    assert capsys.readouterr().out == "Aucun acte reçu.\n"


def test_a_status_is_given_by_hand(run: Run, client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    client.deposited("A1")
    run("actes", "--json")
    number = json.loads(capsys.readouterr().out)[0]["transaction"]
    assert run("statut", number, 3) == 0
    assert capsys.readouterr().out.startswith(f"Transaction {number} : ")
    assert run("statut", number, 6, "--message", "Refus") == 0
    assert (capsys.readouterr().out, client.status(number)[0]) == (f"Transaction {number} : Refusé.\n", 6)
    for arguments, said in (((99, 3), "la transaction 99 n'existe pas"), ((number, 99), "le statut 99 n'existe pas")):
        assert run("statut", *arguments) == 1
        assert capsys.readouterr().err == f"tdt-simulator : {said}\n"


def test_the_prefecture_writes_about_an_act(run: Run, client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    act = client.acknowledged("A1")
    assert run("lettre", act, "courrier") == 0
    assert capsys.readouterr().out == f"Lettre {act + 1} envoyée au sujet de l'acte {act}.\n"
    assert len(client.get("/modules/actes/api/list_document_prefecture.php").json()) == 1
    assert run("lettre", 99, "courrier") == 1
    assert "la transaction 99 n'est pas un acte connu" in capsys.readouterr().err


def test_a_pes_retour_is_for_a_known_commune(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("pes-retour", SIREN) == 0
    assert capsys.readouterr().out.startswith("PES Retour 1 : ")
    assert run("pes-retour", "000000000") == 1
    assert capsys.readouterr().err == "tdt-simulator : la collectivité 000000000 n'est pas déclarée\n"


@pytest.mark.parametrize("error", [ConfigError("config"), OSError("disque")])
def test_what_prevents_the_command_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def fail(_path: object) -> Config:
        raise error

    monkeypatch.setattr(cli, "load", fail)
    assert cli.main(["actes"]) == 1
    assert capsys.readouterr().err == f"tdt-simulator : {error}\n"
    with pytest.raises(SystemExit):
        cli.main([])


@pytest.mark.parametrize(
    ("uid", "owner", "there", "became"),
    [(0, 7, True, [[], 8, 7]), (0, 0, True, []), (5, 7, True, []), (0, 7, False, [])],
)
def test_root_becomes_the_service_s_user(
    monkeypatch: pytest.MonkeyPatch, uid: int, owner: int, there: bool, became: list[Any]
) -> None:
    asked: list[Any] = []
    played = SimpleNamespace(geteuid=lambda: uid, setgroups=asked.append, setgid=asked.append, setuid=asked.append)
    monkeypatch.setattr(cli, "os", played)
    folder = SimpleNamespace(exists=lambda: there, stat=lambda: SimpleNamespace(st_uid=owner, st_gid=8))
    cli._become_owner(SimpleNamespace(data_dir=folder))  # type: ignore[arg-type] # all that is read of it
    assert asked == became
