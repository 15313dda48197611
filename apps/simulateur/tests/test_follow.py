"""Following an act: statuses, receipt, files, stamped act, bordereau, cancellation, lists."""

from __future__ import annotations

import html
import io
import json
import tarfile
import time
from collections.abc import Callable

import pytest
from lxml import etree
from pypdf import PdfReader, PdfWriter
from simulator_harness import DELAY, OTHER_SIREN, PDF, XSD, Client, Clock, make_pdf
from tdt_simulator.testing import TdtServer

ACTES = "{http://www.interieur.gouv.fr/ACTES#v1.1-20040216}"


def validate(document: bytes) -> etree._Element:
    """Check a message against the protocol's schema; return its root."""
    if not XSD.exists():
        pytest.skip(f"le schéma du protocole n'est pas là : {XSD}")
    root = etree.fromstring(document)
    etree.XMLSchema(etree.parse(XSD)).assertValid(root)
    return root


def with_annexes(client: Client, number: str = "AN1") -> int:
    """Deposit an act with two annexes and wait for its receipt."""
    files = [
        ("acte_pdf_file", ("acte.pdf", PDF)),
        ("acte_attachments[]", ("plan.png", b"\x89PNG\r\n\x1a\n.")),
        ("acte_attachments[]", ("rapport.pdf", make_pdf("Rapport", pages=2))),
    ]
    return client.acknowledged(number, files=files, **{"type_pj[]": ["61_PL", "21_RP"]})


def test_statuses_advance_with_time(client: Client, clock: Clock) -> None:
    identifier, seen = client.deposited(), []
    for _ in range(4):
        seen.append(client.status(identifier)[0])
        clock.advance(DELAY)
    assert seen == [1, 2, 3, 4]


def test_receipt_comes_inline_and_is_valid(client: Client) -> None:
    identifier = with_annexes(client)
    answer = client.get(f"/modules/actes/actes_transac_get_status.php?transaction={identifier}")
    head, _, receipt = answer.content.partition(b"<?xml")
    assert head == b"OK\n4\n"
    root = etree.fromstring(b"<?xml" + receipt)
    assert b'encoding="ISO-8859-1"' in receipt
    assert root.tag == f"{ACTES}ARActe"
    assert root.get(f"{ACTES}IDActe") == "059-215902669-20250115-AN1-DE"
    received = root.findtext(f"{ACTES}ActeRecu/{ACTES}Objet")
    assert received == "Subvention à l'école d'été"
    # Pastell reads the date of the receipt at this distance of the attribute's name.
    text = answer.content.decode("latin-1")
    assert text[text.index("actes:DateReception") + 21 :][:10] == root.get(f"{ACTES}DateReception")
    validate(b"<?xml" + receipt)


def test_receipt_as_a_file(client: Client, clock: Clock) -> None:
    identifier = client.deposited()
    address = f"/modules/actes/actes_transac_get_ARActe.php?id={identifier}"
    assert client.get(address).status_code == 302
    clock.advance(3 * DELAY)
    answer = client.get(address)
    assert answer.headers["Content-Type"] == "application/xml"
    assert validate(answer.content).tag == f"{ACTES}ARActe"


def test_error_text_follows_the_status(client: Client, platform: TdtServer) -> None:
    platform.fault("anomalie", times=1)
    identifier = client.deposited()
    platform.wait_status(identifier, -1)
    answer = client.get(f"/modules/actes/actes_transac_get_status.php?transaction={identifier}")
    assert answer.content.startswith(b"OK\n-1\nAnomalie acte : l'acte n'a pas pu \xeatre")


@pytest.mark.parametrize("query", ["", "transaction=", "transaction=99", "transaction=abc", "unique_id=x"])
def test_unknown_transaction(client: Client, query: str) -> None:
    answer = client.get(f"/modules/actes/actes_transac_get_status.php?{query}")
    assert answer.content == "KO\nNuméro de transaction invalide.".encode("latin-1")


def test_transaction_of_another_authority(client: Client, connect: Callable[..., Client]) -> None:
    identifier = client.acknowledged()
    other = connect(OTHER_SIREN)
    status = other.get(f"/modules/actes/actes_transac_get_status.php?transaction={identifier}")
    assert status.content == "KO\nAccès refusé".encode("latin-1")
    for address in (
        f"actes_download_file.php?env={identifier}",
        "actes_download_file.php?file=1",
        f"actes_create_pdf.php?trans_id={identifier}",
        f"actes_transac_get_ARActe.php?id={identifier}",
    ):
        assert other.get(f"/modules/actes/{address}").status_code == 302
    assert "KO" in other.get(f"/modules/actes/actes_transac_get_files_list.php?transaction={identifier}").text
    assert other.cancel(identifier).startswith("KO\n")


def test_act_is_found_by_its_identifier(client: Client, clock: Clock) -> None:
    client.deposited()
    name = "059-215902669-20250115-2025_001-DE"
    address = "/modules/actes/actes_transac_get_status.php?unique_id="
    assert client.get(address + name + "-1-1").text == "OK\n1\n"  # the name of the message, from the start
    assert client.get(address + name).text.startswith("KO")  # the préfecture's, once it is given
    clock.advance(3 * DELAY)
    assert client.get(address + name).text.startswith("OK\n4\n")


@pytest.mark.usefixtures("clock")
def test_files_are_not_listed_before_the_receipt(client: Client) -> None:
    answer = client.get(f"/modules/actes/actes_transac_get_files_list.php?transaction={client.deposited()}")
    assert answer.content == b"KO\nPas d'acquittement recu"


def test_files_are_listed_after_the_receipt(client: Client) -> None:
    listed = client.get(f"/modules/actes/actes_transac_get_files_list.php?transaction={with_annexes(client)}").json()
    assert [file["mimetype"] for file in listed] == ["text/xml", "application/pdf", "image/png", "application/pdf"]
    assert [file["name"] for file in listed] == [
        "059-215902669-20250115-AN1-DE-1-1_0.xml",
        "99_DE-059-215902669-20250115-AN1-DE-1-1_1.pdf",
        "61_PL-059-215902669-20250115-AN1-DE-1-1_2.png",
        "21_RP-059-215902669-20250115-AN1-DE-1-1_3.pdf",
    ]
    assert [file["posted_filename"] for file in listed] == ["", "acte.pdf", "plan.png", "rapport.pdf"]
    assert set(listed[0]) == {"id", "name", "posted_filename", "mimetype", "size", "sign", "code_pj"}


def test_act_is_stamped_on_every_page(client: Client) -> None:
    identifier = client.acknowledged(files=[("acte_pdf_file", ("acte.pdf", make_pdf(pages=3)))])
    act = client.get(f"/modules/actes/actes_transac_get_files_list.php?transaction={identifier}").json()[1]
    plain = client.get(f"/modules/actes/actes_download_file.php?file={act['id']}")
    assert plain.content == make_pdf(pages=3)
    address = f"/modules/actes/actes_download_file.php?file={act['id']}&tampon=true&date_affichage=2025-01-20"
    stamped = PdfReader(io.BytesIO(client.get(address).content))
    assert len(stamped.pages) == 3
    for page in stamped.pages:
        text = page.extract_text()
        assert "Délibération, page" in text
        assert "059-215902669-20250115-2025_001-DE" in text
        assert "Accusé de réception en préfecture" in text
        assert "Affiché le 2025-01-20" in text


def test_rotated_page_is_stamped(client: Client) -> None:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(PDF)))
    writer.pages[0].rotate(90)
    buffer = io.BytesIO()
    writer.write(buffer)
    identifier = client.acknowledged(files=[("acte_pdf_file", ("acte.pdf", buffer.getvalue()))])
    act = client.get(f"/modules/actes/actes_transac_get_files_list.php?transaction={identifier}").json()[1]
    answer = client.get(f"/modules/actes/actes_download_file.php?file={act['id']}&tampon=true")
    assert "2025_001-DE" in PdfReader(io.BytesIO(answer.content)).pages[0].extract_text()


def test_unreadable_pdf_is_not_stamped(client: Client) -> None:
    identifier = client.acknowledged(files=[("acte_pdf_file", ("acte.pdf", b"%PDF-1.4 and nothing else"))])
    act = client.get(f"/modules/actes/actes_transac_get_files_list.php?transaction={identifier}").json()[1]
    answer = client.get(f"/modules/actes/actes_download_file.php?file={act['id']}&tampon=true")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/modules/actes/index.php")


def test_bordereau(client: Client) -> None:
    identifier = with_annexes(client)
    answer = client.get(f"/modules/actes/actes_create_pdf.php?trans_id={identifier}")
    assert answer.headers["Content-Type"] == "application/pdf"
    text = PdfReader(io.BytesIO(answer.content)).pages[0].extract_text()
    for expected in ("Bordereau d'acquittement", "Subvention à l'école d'été", "Délibérations", "Acquittement reçu"):
        assert expected in text
    assert client.get("/modules/actes/actes_create_pdf.php?trans_id=99").status_code == 302


def test_envelope_holds_valid_messages(client: Client) -> None:
    identifier = with_annexes(client)
    answer = client.get(f"/modules/actes/actes_download_file.php?env={identifier}")
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        names = archive.getnames()
        contents = {name: archive.extractfile(name).read() for name in names}  # type: ignore[union-attr] # only files
    assert names[0].startswith("EACT--215902669--")
    assert contents[names[2]] == PDF
    assert validate(contents[names[0]]).tag == f"{ACTES}EnveloppeCLMISILL"
    assert validate(contents[names[1]]).tag == f"{ACTES}Acte"


def test_an_act_that_is_not_acknowledged_is_not_cancelled(client: Client, clock: Clock) -> None:
    early = client.deposited("EARLY")
    assert "Acquittement reçu" in client.cancel(early)


def test_cancelling_an_acknowledged_act(client: Client, clock: Clock) -> None:
    identifier = client.deposited("A1")
    clock.advance(3 * DELAY)
    verdict, cancellation = client.cancel(identifier).split("\n")[:2]
    assert verdict == "OK"
    assert int(cancellation) != identifier
    assert "déjà en cours" in client.cancel(identifier)
    assert client.status(identifier)[0] == 4
    clock.advance(3 * DELAY)
    status, receipt = client.status(int(cancellation))
    assert status == 4
    assert client.status(identifier) == (0, "")
    assert "KO" in client.cancel(identifier)
    assert "ne peut pas être annulé" in client.cancel(int(cancellation))
    assert "initialisation" in client.cancel(999)
    assert validate(receipt.encode("latin-1")).tag == f"{ACTES}ARAnnulation"


def test_cancelling_a_waiting_act(client: Client, platform: TdtServer) -> None:
    identifier = client.deposited(en_attente="1")
    assert client.cancel(identifier) == f"OK\n{identifier}\n\n"
    assert client.status(identifier) == (0, "")
    assert [act["statut"] for act in platform.acts()] == [0]


def test_lost_act_is_found_in_the_lists(client: Client, connect: Callable[..., Client], platform: TdtServer) -> None:
    connect(OTHER_SIREN).acknowledged("A1")
    identifier = client.acknowledged("A1")
    client.deposited("A2", en_attente="1")
    answer = client.get("/modules/actes/api/list_actes.php?status_id=4&limit=1")
    found = json.loads(answer.content.decode("utf-8"))
    assert {key: found[key] for key in ("status_id", "offset", "limit")} == {"status_id": 4, "offset": 0, "limit": 1}
    assert found["transactions"] == [
        {
            "id": identifier,
            "subject": "Subvention à l'école d'été",
            "number": "A1",
            "date": "2025-01-15",
            "nature_descr": "Délibérations",
            "classification": "7.5",
            "type": "1",
        }
    ]
    assert client.listed(17) == ["A2"]
    assert client.listed(3) == []
    platform.store.force(identifier, -1, "x")
    assert client.listed(-1) == ["A1"]
    assert client.get("/modules/actes/api/number_actes.php?status_id=17").json()["nb_transactions"] == 1
    assert client.get("/modules/actes/api/actes_status.php").json()["4"] == "Acquittement reçu"


def test_lists_are_paged_and_dated(client: Client) -> None:
    for number in ("A1", "A2", "A3"):
        client.deposited(number, en_attente="1")
    assert client.listed(17) == ["A3", "A2", "A1"]
    assert client.listed(17, "&offset=1&limit=1") == ["A2"]
    assert client.listed(17, "&min_date=2999-01-01") == []
    assert client.listed(17, "&max_date=2000-01-01") == []


def test_classification_is_valid_and_dated(client: Client) -> None:
    answer = client.get("/modules/actes/actes_classification_fetch.php?api=1")
    assert answer.headers["Content-Type"] == "text/xml;charset=iso-8859-1"
    assert answer.content.endswith(b"\r\n")
    root = etree.fromstring(answer.content)
    assert root.findtext(f"{ACTES}DateClassification") == f"{time.localtime().tm_year}-01-01"
    assert answer.content == client.get("/modules/actes/actes_classification_fetch.php?api=1").content
    validate(answer.content)


def test_classification_request_is_answered(client: Client, platform: TdtServer) -> None:
    verdict, identifier = client.get("/modules/actes/actes_classification_request.php?api=1").text.split("\n")[:2]
    assert verdict == "OK"
    platform.wait_status(int(identifier), 4)
    message = platform.store.content(platform.store.files(int(identifier))[0]["sha256"])
    assert validate(message).tag == f"{ACTES}DemandeClassification"


def test_unknown_account_is_told_in_the_form_of_the_call(connect: Callable[..., Client]) -> None:
    stranger = connect("215999999")
    expected = "Le certificat n'est pas valide : aucun compte trouvé"
    assert expected in html.unescape(stranger.deposit().text)
    assert expected in html.unescape(stranger.get("/modules/actes/actes_classification_fetch.php?api=1").text)
    plain = stranger.get("/modules/actes/actes_transac_get_status.php?transaction=1")
    assert (plain.status_code, plain.headers["Location"]) == (302, "/connexion-status")
