"""Faults: the platform misbehaves on demand."""

from __future__ import annotations

import time

import pytest
import requests
from simulator_harness import DELAY, Client
from tdt_simulator.store import Store
from tdt_simulator.testing import TdtServer
from test_helios import send

from testbed.patience import wait_for


def test_connection_is_cut_after_the_act_was_recorded(client: Client, platform: TdtServer) -> None:
    platform.fault("coupure", times=1)
    with pytest.raises(requests.exceptions.ConnectionError):
        client.deposit("A1")
    assert [act["numero"] for act in platform.acts()] == ["A1"]
    assert "même numéro" in client.deposit("A1").content.decode("latin-1")
    assert client.deposited("A2")


def test_cut_waits_for_something_recorded(client: Client, platform: TdtServer) -> None:
    platform.fault("coupure", times=1)
    assert client.deposit("bad number").text.startswith("KO\n")
    refused = client.deposit("A1", files=[("acte_pdf_file", ("BOOK.pdf", b"no PDF", "application/pdf"))])
    assert "BOOK.pdf" in refused.text
    assert client.post("/api/test-connexion.php").text == "OK"  # no deposit
    with pytest.raises(requests.exceptions.ConnectionError):
        send(client)
    assert len(platform.pes()) == 1


def test_slow_answer_comes_after_the_act_was_recorded(client: Client, platform: TdtServer) -> None:
    platform.fault("lent", seconds=5, target="create")
    started = time.monotonic()
    client.get("/api/test-connexion.php")
    assert time.monotonic() - started < 5
    with pytest.raises(requests.exceptions.ReadTimeout):
        client.session.post(
            f"{platform.url}/modules/actes/actes_transac_create.php",
            data=client.form("A1"),
            files=client.pdf(),
            timeout=(60, 0.3),  # to connect, then to be answered
        )
    wait_for(platform.acts, "l'acte enregistré", every=0.05)
    assert [act["numero"] for act in platform.acts()] == ["A1"]


def test_internal_error_records_nothing(client: Client, platform: TdtServer) -> None:
    platform.fault("erreur500", times=2, target="actes_transac_create")
    assert client.get("/api/test-connexion.php").status_code == 200
    assert [client.deposit("A1").status_code for _ in range(2)] == [500, 500]
    assert platform.acts() == []
    assert client.deposited("A1")


def test_platform_down(client: Client, platform: TdtServer) -> None:
    platform.fault("panne")
    for call in (lambda: client.get("/api/test-connexion.php"), lambda: client.deposit("A1")):
        with pytest.raises(requests.exceptions.ConnectionError):
            call()
    platform.clear_faults("panne")
    assert client.get("/api/test-connexion.php").text == "OK"
    assert platform.acts() == []


def test_prefecture_does_not_answer(client: Client, platform: TdtServer) -> None:
    before = client.acknowledged("A1")
    platform.fault("bloque3")
    after = client.deposited("A2")
    platform.wait_status(after, 3)
    time.sleep(5 * DELAY)  # in which it does not answer
    assert client.status(after) == (3, "")
    assert client.status(before)[0] == 4  # what was answered stays so
    platform.clear_faults()
    assert client.status(after)[0] == 4


def test_outdated_classification_lasts_until_it_is_asked_anew(client: Client, platform: TdtServer) -> None:
    fetch = "/modules/actes/actes_classification_fetch.php?api=1"
    kept = client.get(fetch).content
    platform.fault("classification")
    outdated = client.get(fetch).content
    assert b">2019-03-01<" in outdated
    assert b"Environnement" in kept
    assert b"Environnement" not in outdated
    assert "8.8 est inconnue" in client.deposit("A1", classif1="8", classif2="8").text
    refused = client.deposited("A2")
    platform.wait_status(refused, -1)
    assert "n'est plus en vigueur" in client.status(refused)[1]
    asked = int(client.get("/modules/actes/actes_classification_request.php?api=1").text.split("\n")[1])
    platform.wait_status(asked, 4)
    assert client.get(fetch).content == kept
    assert client.acknowledged("A3", classif1="8", classif2="8")


def test_switches_are_seen_by_every_process(client: Client, platform: TdtServer) -> None:
    Store(platform.store.config).set_fault("erreur500", times=1)
    assert client.get("/").status_code == 500
    assert platform.store.faults() == {}


def test_strikes_are_counted_once(platform: TdtServer) -> None:
    platform.fault("lent", seconds=0, times=3)
    remaining = []
    for _ in range(4):
        fault = platform.store.strike("lent", "/x")
        remaining.append(fault.remaining if fault else None)
    assert remaining == [3, 2, 1, None]
