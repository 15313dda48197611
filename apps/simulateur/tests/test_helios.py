"""Helios: PES, their receipts, PES Retour."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime

import pytest
from lxml import etree
from simulator_harness import DELAY, OTHER_SIREN, SIREN, XSD, Client, Clock
from tdt_simulator import pes
from tdt_simulator.testing import TdtServer

from testbed import helios
from testbed.patience import wait_for

PES = helios.flow(pj="JVBERi0=")
SCHEMAS = XSD.parents[1] / "pes" / "PES_V2"
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


def valid(content: bytes, schema: str) -> None:
    """An answer follows the DGFiP's schema."""
    if not SCHEMAS.is_dir():
        pytest.skip("the DGFiP's schemas are not there (../shared/protocol/pes)")
    etree.XMLSchema(etree.parse(SCHEMAS / schema)).assertValid(etree.fromstring(content))


def acquit(client: Client, identifier: object) -> bytes:
    """Return the receipt of a PES."""
    return client.get(f"{BASE}/helios_download_acquit.php?id={identifier}").content


def values(content: bytes, *names: str) -> list[str | None]:
    """Return what elements say, in their order."""
    return [node.get("V") for node in etree.fromstring(content).iter(*names)]


def test_pes_goes_to_its_receipt(client: Client, platform: TdtServer, clock: Clock) -> None:
    assert send(client) == {"id": "1", "resultat": "OK", "message": "Téléchargement du fichier réussi."}
    assert status(client, 1) == {
        "id": "1",
        "resultat": "OK",
        "message": "Fichier bien reçu par la plate-forme S2low",
        "status": "1",
    }
    location = client.get(f"{BASE}/helios_download_acquit.php?id=1").headers["Location"]
    assert location == f"{BASE}/index.php"
    clock.advance(3 * DELAY)
    assert status(client, 1)["status"] == "8"
    content = acquit(client, 1)
    assert values(content, "NomFic", "CodCol", "IdPost") == ["PESALR2_1", "059001", "123"]
    parts = ("DomaineAck", "EtatAck", "NumBord", "ExerciceBord", "IdUnique")
    assert values(content, *parts) == ["5", "1", "1", "2026", "5", "1", "2", "2026", "4", "1", "PJ1"]
    assert client.get(f"{BASE}/helios_download_file.php?id=1").content == PES
    sha1 = hashlib.sha1(PES, usedforsecurity=False).hexdigest()
    assert platform.pes() == [{"id": 1, "siren": SIREN, "filename": "PESALR2.xml", "sha1": sha1, "statut": 8}]
    valid(content, "Rev0/PES_V2_Acquit_Autonome_V2.xsd")


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


LATIN = b'<?xml version="1.0" encoding="ISO-8859-1"?>'
EMPTY = "ce fichier ne contient ni bordereau, ni PJ, ni marché"


def missing(name: str) -> str:
    return f"La balise EnTetePES/{name} n'est pas présente ou est vide"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not xml", "ce fichier n'est pas encodé en ISO-8859-1"),
        (PES.replace(b"ISO-8859-1", b"UTF-8").decode("latin-1").encode(), "ce fichier n'est pas encodé en ISO-8859-1"),
        (b" " * 60 + PES, "ce fichier n'est pas encodé en ISO-8859-1"),
        (LATIN, "ce fichier n'est pas en XML"),
        (LATIN + b"<a>", "ce fichier n'est pas en XML"),
        (LATIN + b"<a></b>", "ce fichier n'est pas en XML"),
        (LATIN + b"<PES_Aller><Enveloppe/><EnTetePES/></PES_Aller>", EMPTY),
        (helios.flow(slips=()), EMPTY),
        (PES.replace(b'<NomFic V="PESALR2_1"/>', b""),
         "La balise Enveloppe/Parametre/NomFic n'est pas présente ou est vide"),
        (PES.replace(b'NomFic V="PESALR2_1"', b'NomFic V=""'),
         "La balise Enveloppe/Parametre/NomFic n'est pas présente ou est vide"),
        (PES.replace(b'CodCol V="123"', b'CodCol V="1234"'), "Le CodCol est trop long"),
        (PES.replace(b'IdColl V="', b'IdColl V="0'), "La balise IdCol est trop longue"),
        (PES.replace(b'<CodCol V="123"/>', b""), missing("CodCol")),
        (PES.replace(b'CodBud V="00"', b'CodBud V=""'), missing("CodBud")),
        (PES.replace(b'IdPost V="059001"', b'IdPost W="059001"'), missing("IdPost")),
    ],
)  # fmt: skip # a case a line
def test_a_pes_that_s2low_puts_in_error(client: Client, clock: Clock, content: bytes, message: str) -> None:
    assert send(client, content)["resultat"] == "OK"
    clock.advance(3 * DELAY)
    assert status(client, 1) == {"id": "1", "resultat": "OK", "message": message, "status": "-1"}
    assert client.get(f"{BASE}/helios_download_acquit.php?id=1").status_code == 302


def test_a_name_serves_one_flow_that_is_not_in_error(client: Client, clock: Clock) -> None:
    send(client, PES.replace(b'CodBud V="00"', b'CodBud V=""'))
    send(client, PES)
    send(client, PES.replace(b"LABO", b"LAB2"))
    send(client, PES.replace(b'CodCol V="123"', b'CodCol V="124"'))
    clock.advance(3 * DELAY)
    assert [status(client, one)["status"] for one in (1, 2, 3, 4)] == ["-1", "8", "-1", "8"]
    assert status(client, 3)["message"] == "ce fichier existe déjà sur la plateforme"


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (helios.flow(slips=("",)), ["5", "1", "1", "2026"]),
        (helios.flow().replace(b"Depense", b"Recette"), ["6", "1", "1", "2026", "6", "1", "2", "2026"]),
        (helios.flow(slips=(), pj="JVBERi0="), ["4", "1", "PJ1"]),
        (helios.flow(slips=()).replace(b"</PES_DepenseAller>", b"</PES_DepenseAller><PES_Marche/>"), ["11", "1"]),
        (helios.flow(slips=("",)).replace(b'IdBord V="1"', b'IdBord V="un"').replace(b"2026-01-15", b"hier")
         .replace(b'V="059001"', b'V="0"').replace(b'V="123"', b'V="000"').replace(b'"LABO"', b'""'),
         ["5", "1", "", "2026"]),
        (helios.flow(slips=("",)).replace(b'IdBord V="1"', b'IdBord V="&#1633;"')
         .replace(b'V="059001"', b'V="&#1633;23456"')
         .replace(b'V="123"', b'V="&#1633;23"').replace(b'"PESALR2"', b'"A&#10;B"'), ["5", "1", "", "2026"]),
    ],
)  # fmt: skip # a case a line
def test_a_receipt_follows_the_schema_whatever_the_flow(
    client: Client, clock: Clock, content: bytes, parts: list[str]
) -> None:
    send(client, content)
    clock.advance(3 * DELAY)
    assert status(client, 1)["status"] == "8"
    found = acquit(client, 1)
    assert values(found, "DomaineAck", "EtatAck", "NumBord", "ExerciceBord", "IdUnique") == parts
    valid(found, "Rev0/PES_V2_Acquit_Autonome_V2.xsd")


def test_a_flow_of_any_size_is_read(client: Client, clock: Clock) -> None:
    send(client, helios.flow(pj="QUJD" * 4_000_000))
    clock.advance(3 * DELAY)
    assert status(client, 1)["status"] == "8"


def test_a_flow_that_the_dgfip_refuses_in_part(client: Client, platform: TdtServer, clock: Clock) -> None:
    platform.fault("rejet", times=1)
    send(client)
    send(client, helios.flow("PESALR2_2"))
    clock.advance(3 * DELAY)
    assert [status(client, one)["status"] for one in (1, 2)] == ["8", "8"]
    found = acquit(client, 1)
    assert values(found, "EtatAck") == ["0", "1", "1"]
    assert values(found, "LibelleAnoAck") == ["1971 - Compte fonction présent à tort"]
    assert values(acquit(client, 2), "EtatAck") == ["1", "1"]
    valid(found, "Rev0/PES_V2_Acquit_Autonome_V2.xsd")


def test_a_platform_that_says_4_gives_a_receipt_too(client: Client, platform: TdtServer, clock: Clock) -> None:
    platform.fault("statut4")
    send(client)
    clock.advance(3 * DELAY)
    assert status(client, 1)["status"] == "4"
    assert values(acquit(client, 1), "EtatAck") == ["1", "1", "1"]


def test_rejected_pes_stuck_pes(client: Client, platform: TdtServer) -> None:
    platform.fault("anomalie", times=1)
    platform.fault("bloque3")
    assert send(client, helios.flow("1"))["id"] == "1"
    assert send(client, helios.flow("2"))["id"] == "2"
    wait(client, "1", "-1")
    wait(client, "2", "3")
    platform.clear_faults()
    wait(client, "2", "8")


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
    listed = client.get(f"{BASE}/api/list_pes_aller.php?status_id=8").json()
    assert listed["transactions"] == [{"id": 1}]


def test_pes_retour_is_listed_until_it_is_read(
    client: Client, connect: Callable[..., Client], platform: TdtServer
) -> None:
    name, content = pes.retour(SIREN, datetime(2025, 6, 1, 8, 30))
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
    valid(content, "RETOUR/Rev0/PES_Retour.xsd")
