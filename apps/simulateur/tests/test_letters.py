"""The préfecture's letters and the commune's answers."""

from __future__ import annotations

import html
import io
import tarfile
from collections.abc import Callable

import pytest
from lxml import etree
from pypdf import PdfReader
from simulator_harness import OTHER_SIREN, PDF, Client
from tdt_simulator.prefecture import PrefectureError
from tdt_simulator.testing import TdtServer
from test_follow import ACTES, validate

LIST = "/modules/actes/api/list_document_prefecture.php"


def answer_letter(client: Client, letter: int, **changes: object) -> str:
    """Answer a letter as Pastell does; return the platform's answer, unescaped."""
    files = changes.pop("files", [("acte_pdf_file", ("reponse.pdf", PDF))])
    form = {"api": "1", "id": str(letter), "type_acte": "99_DE", "type_envoie": "4"} | changes
    fields = {name: value for name, value in form.items() if value is not None}
    answer = client.post("/modules/actes/actes_transac_reponse_create.php", data=fields, files=files)
    return html.unescape(answer.content.decode("latin-1"))


@pytest.mark.parametrize(
    ("name", "kind", "statuses", "message"),
    [
        ("courrier", 2, [21], "CourrierSimple"),
        ("pieces", 3, [7, 8], "DemandePieceComplementaire"),
        ("observations", 4, [7, 8], "LettreObservations"),
        ("defere", 5, [21], "DefereTA"),
    ],
)
def test_letter_is_announced_and_read(
    client: Client, platform: TdtServer, name: str, kind: int, statuses: list[int], message: str
) -> None:
    act = client.acknowledged("A1")
    letter = platform.letter(act, name, "Merci de préciser l'article 2.")
    platform.wait_status(letter, statuses[-1])
    assert client.get(LIST).json() == [
        {
            "id": letter,
            "type": str(kind),
            "related_transaction_id": act,
            "number": "A1",
            "unique_id": "059-215902669-20250115-A1-DE",
            "last_status_id": statuses[-1],
        }
    ]
    lines = client.get(f"/modules/actes/actes_transac_get_document.php?id={act}").text
    assert lines == f"{kind}-{statuses[-1]}-{letter}\n"
    moved = client.get(f"/modules/actes/actes_transac_get_document.php?id={letter}")
    assert moved.status_code == 302
    with tarfile.open(fileobj=io.BytesIO(client.get(moved.headers["Location"]).content)) as archive:
        members = [(member, archive.extractfile(member).read()) for member in archive.getnames()]  # type: ignore[union-attr] # only files
    assert "Merci de préciser" in PdfReader(io.BytesIO(members[2][1])).pages[0].extract_text()
    said = etree.tostring(etree.fromstring(members[1][1]), method="text", encoding="unicode")
    assert ("Merci de préciser" in said) == (name != "courrier")  # of a simple letter, the document alone says why
    assert client.get(f"/modules/actes/api/document_prefecture_mark_as_read.php?transaction_id={letter}").json() == {
        "result": "ok"
    }
    assert client.get(LIST).json() == []
    assert client.status(act)[0] == 4
    assert validate(members[0][1]).tag == f"{ACTES}EnveloppeMISILLCL"
    assert validate(members[1][1]).tag == f"{ACTES}{message}"


def test_letters_belong_to_their_authority(client: Client, connect: Callable[..., Client], platform: TdtServer) -> None:
    letter = platform.letter(client.acknowledged(), "courrier")
    other = connect(OTHER_SIREN)
    assert other.get(LIST).json() == []
    other.get(f"/modules/actes/api/document_prefecture_mark_as_read.php?transaction_id={letter}")
    assert [row["id"] for row in client.get(LIST).json()] == [letter]
    assert "initialisation" in answer_letter(other, letter)


def test_letter_needs_a_receipt(client: Client, platform: TdtServer) -> None:
    with pytest.raises(PrefectureError, match="n'a pas encore reçu"):
        platform.letter(client.deposited(), "courrier")
    with pytest.raises(PrefectureError, match="n'est pas un acte connu"):
        platform.letter(99, "courrier")


@pytest.mark.parametrize(
    ("name", "answer", "message", "receipt"),
    [
        ("pieces", "4", "PieceComplementaire", "ARPieceComplementaire"),
        ("pieces", "3", "RefusPieceComplementaire", "ARPieceComplementaire"),
        ("observations", "4", "ReponseLettreObservations", "ARReponseRejetLettreObservations"),
        ("observations", "3", "RejetLettreObservations", "ARReponseRejetLettreObservations"),
    ],
)
def test_answers(client: Client, platform: TdtServer, name: str, answer: str, message: str, receipt: str) -> None:
    act = client.acknowledged("A1")
    letter = platform.letter(act, name)
    files = [("acte_pdf_file", ("r.pdf", PDF)), ("acte_attachments[]", ("p.pdf", PDF))]
    verdict, identifier = answer_letter(
        client, letter, type_envoie=answer, files=files, **{"type_pj[]": "99_AU"}
    ).split("\n")[:2]
    assert verdict == "OK"
    listed = platform.store.files(int(identifier))
    assert listed[0]["name"] == f"059-215902669-20250115-A1-DE-{3 if name == 'pieces' else 4}-{answer}_0.xml"
    platform.wait_status(int(identifier), 4)
    lines = client.get(f"/modules/actes/actes_transac_get_document.php?id={act}").text
    assert lines.endswith(f"-4-{identifier}\n")
    assert validate(platform.store.content(listed[0]["sha256"])).tag == f"{ACTES}{message}"
    assert validate(client.status(int(identifier))[1].encode("latin-1")).tag == f"{ACTES}{receipt}"


def test_answer_to_a_simple_letter_has_no_receipt(client: Client, platform: TdtServer) -> None:
    letter = platform.letter(client.acknowledged(), "courrier")
    identifier = int(answer_letter(client, letter, type_envoie=None).split("\n")[1])
    platform.wait_status(identifier, 3)
    message = platform.store.content(platform.store.files(identifier)[0]["sha256"])
    assert validate(message).tag == f"{ACTES}ReponseCourrierSimple"


def test_refused_answers(client: Client, platform: TdtServer) -> None:
    act = client.acknowledged()
    letter = platform.letter(act, "observations")
    assert "choisir un type de réponse" in answer_letter(client, letter, type_envoie="9")
    assert "typologie absente" in answer_letter(client, letter, type_acte=None)
    assert "Aucun fichier" in answer_letter(client, letter, files=[("x", ("x", b""))])
    assert "initialisation" in answer_letter(client, act)
    assert "Mauvais type" in answer_letter(client, platform.letter(act, "defere"))
    assert [row["id"] for row in client.get(LIST).json()] == [letter, letter + 1]


def test_form_of_the_answer_when_api_is_in_the_address(client: Client, platform: TdtServer) -> None:
    letter = platform.letter(client.acknowledged(), "courrier")
    form = {"id": str(letter), "type_acte": "99_DE"}
    address = "/modules/actes/actes_transac_reponse_create.php?api=1"
    good = client.post(address, data=form, files=[("acte_pdf_file", ("r.pdf", PDF))])
    assert good.content.startswith("OK : id généré : ".encode("latin-1"))
    bad = client.post(address, data={"id": "99"}, files=[("acte_pdf_file", ("r.pdf", PDF))])
    assert bad.text.startswith("KO : ")
