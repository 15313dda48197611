"""Helios: PES, their receipts, PES Retour."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime

import pytest
from lxml import etree
from simulator_harness import DELAY, OTHER_SIREN, SIREN, Client, Clock
from tdt_simulator import prefecture
from tdt_simulator.testing import TdtServer

from tests.patience import wait_for

PES = b'<?xml version="1.0" encoding="ISO-8859-1"?><PES_Aller><Enveloppe/></PES_Aller>'
BASE = "/modules/helios"


def send(client: Client, content: bytes = PES, name: str = "PESALR2.xml") -> dict[str, str]:
    """Send a PES; return the children of the answer."""
    answer = client.post(f"{BASE}/api/helios_importer_fichier.php", files={"enveloppe": (name, content)})
    assert answer.headers["Content-Type"] == "text/xml"
    root = etree.fromstring(answer.content)
    assert root.tag == "import"
    return {str(child.tag): child.text or "" for child in root}


def status(client: Client, identifier: object) -> dict[str, str]:
    """Return the children of the status of a PES."""
    answer = client.get(f"{BASE}/api/helios_transac_get_status.php?transaction={identifier}")
    root = etree.fromstring(answer.content)
    assert root.tag == "transaction"
    return {str(child.tag): child.text or "" for child in root}


def wait(client: Client, identifier: str, wanted: str) -> None:
    """Wait until a PES has a status."""
    wait_for(
        lambda: status(client, identifier)["status"] == wanted,
        lambda: f"le statut {wanted}, il y a {status(client, identifier)}",
        every=DELAY / 5,
    )


def test_pes_goes_to_its_receipt(client: Client, platform: TdtServer, clock: Clock) -> None:
    assert send(client) == {"id": "1", "resultat": "OK", "message": "Téléchargement du fichier réussi."}
    assert status(client, 1) == {
        "id": "1",
        "resultat": "OK",
        "message": "Fichier bien reçu par la plate-forme S2low",
        "status": "1",
    }
    acquit = f"{BASE}/helios_download_acquit.php?id=1"
    assert client.get(acquit).headers["Location"] == f"{BASE}/index.php"
    clock.advance(3 * DELAY)
    root = etree.fromstring(client.get(acquit).content)
    assert [node.get("V") for node in root.iter("EtatAck", "NomFic")] == ["ACK_PESALR2.xml", "PESALR2.xml", "1"]
    assert client.get(f"{BASE}/helios_download_file.php?id=1").content == PES
    sha1 = hashlib.sha1(PES, usedforsecurity=False).hexdigest()
    assert platform.pes() == [{"id": 1, "siren": SIREN, "filename": "PESALR2.xml", "sha1": sha1, "statut": 4}]


def test_same_content_is_refused_whoever_sends_it(client: Client, connect: Callable[..., Client]) -> None:
    send(client)
    expected = {"id": "", "resultat": "KO", "message": "doublon détecté. Ce fichier a déjà été posté."}
    assert send(client, name="autre.xml") == expected
    assert send(connect(OTHER_SIREN)) == expected
    assert len(client.server.pes()) == 1


def test_refused_pes(client: Client, connect: Callable[..., Client]) -> None:
    assert send(client, b"")["message"] == "Le fichier présenté est vide (0 octet)"
    assert "RGS" in send(connect(policy=None))["message"]
    answer = client.post(f"{BASE}/api/helios_importer_fichier.php", files={"autre": ("x", b"x")})
    assert "Aucune enveloppe" in answer.content.decode()
    assert client.server.pes() == []


@pytest.mark.parametrize("content", [b"not xml", b"<a>", b"<a></b>"])
def test_malformed_pes_ends_in_error(client: Client, content: bytes) -> None:
    identifier = send(client, content)["id"]
    wait(client, identifier, "-1")
    assert status(client, identifier)["message"] == "Le fichier n'est pas un XML bien formé"


def test_rejected_pes_stuck_pes(client: Client, platform: TdtServer) -> None:
    platform.fault("anomalie", times=1)
    platform.fault("bloque3")
    assert send(client, PES + b"<!-- 1 -->")["id"] == "1"
    assert send(client, PES + b"<!-- 2 -->")["id"] == "2"
    wait(client, "1", "-1")
    wait(client, "2", "3")
    platform.clear_faults()
    wait(client, "2", "4")


def test_status_of_somebody_elses_pes(client: Client, connect: Callable[..., Client]) -> None:
    send(client)
    other = connect(OTHER_SIREN)
    assert status(other, 1) == {"id": "1", "resultat": "KO", "message": "Accès refusé", "status": ""}
    assert status(client, 99)["message"] == "Numéro de transaction invalide"
    assert status(client, "abc")["message"] == "Pas de numéro de transaction."
    assert other.get(f"{BASE}/helios_download_file.php?id=1").status_code == 302


def test_lost_pes_is_found_in_the_list(client: Client, clock: Clock) -> None:
    send(client)
    clock.advance(3 * DELAY)
    send(client, PES + b"<!-- autre -->")
    listed = client.get(f"{BASE}/api/list_pes_aller.php?status_id=4").json()
    assert listed["transactions"] == [{"id": 1}]


def test_pes_retour_is_listed_until_it_is_read(
    client: Client, connect: Callable[..., Client], platform: TdtServer
) -> None:
    name, content = prefecture.pes_retour(SIREN, datetime(2025, 6, 1, 8, 30))
    identifier = platform.store.add_pes_retour(SIREN, name, content)
    listed = etree.fromstring(client.get(f"{BASE}/api/helios_get_list.php").content)
    assert listed.findtext("resultat") == "OK"
    assert [node.findtext("id") for node in listed.iter("pes_retour")] == [str(identifier)]
    assert listed.findtext("pes_retour/nom") == "PES_RETOUR_215902669_20250601083000.xml"
    assert client.get(f"{BASE}/api/helios_get_retour.php?id={identifier}").content == content
    other = connect(OTHER_SIREN)
    assert b"<pes_retour>" not in other.get(f"{BASE}/api/helios_get_list.php").content
    assert b"<resultat>KO" in other.get(f"{BASE}/api/helios_get_retour.php?id={identifier}").content
    assert b"<resultat>KO" in other.get(f"{BASE}/api/helios_change_status.php?id={identifier}").content
    assert b"<resultat>OK" in client.get(f"{BASE}/api/helios_change_status.php?id={identifier}").content
    assert b"<pes_retour>" not in client.get(f"{BASE}/api/helios_get_list.php").content
    assert client.get(f"{BASE}/api/helios_get_retour.php?id={identifier}").content == content
