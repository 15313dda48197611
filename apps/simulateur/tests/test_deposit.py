"""Depositing an act: what is accepted, what is refused, in which words and which encoding."""

from __future__ import annotations

import datetime
import html
import threading
import time
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from simulator_harness import OTHER_SIREN, PDF, Client, Pki, make_pdf, serving
from tdt_simulator.testing import TdtServer

# Two days, not one: midnight may pass between this line and a test.
LATER = (datetime.date.today() + datetime.timedelta(days=2)).isoformat()


def refusal(client: Client, **changes: object) -> str:
    """Return why an act is refused, and check that it is not recorded."""
    number = changes.pop("number", "2025_001")
    answer = client.deposit(str(number), **changes)
    assert answer.status_code == 200
    verdict, message = answer.content.decode("latin-1").split("\n", 1)
    assert verdict == "KO"
    assert client.server.acts(number=str(number)) == []
    return html.unescape(message.strip())


def test_accepted_act_gives_its_transaction(client: Client, platform: TdtServer) -> None:
    answer = client.deposit("2025_001")
    assert answer.content == b"OK\n1\n\n"
    assert answer.headers["Content-Type"] == "text/plain; charset=ISO-8859-1"
    (act,) = platform.acts()
    assert (act["numero"], act["siren"], act["nature"]) == ("2025_001", "215902669", 1)
    assert act["identifiant"] == "059-215902669-20250115-2025_001-DE"


def test_subject_is_read_in_latin1(client: Client, platform: TdtServer) -> None:
    client.deposited(subject="Élection du maire à l'été".encode("latin-1"))
    assert platform.acts()[0]["objet"] == "Élection du maire à l'été"


def test_subject_in_utf8_is_mangled_as_the_real_platform_does(client: Client, platform: TdtServer) -> None:
    client.deposited(subject="été".encode())
    assert platform.acts()[0]["objet"] == "Ã©tÃ©"


def test_subject_of_the_web_form_is_utf8(client: Client, platform: TdtServer) -> None:
    client.deposit(api="0", subject="été".encode())
    assert platform.acts()[0]["objet"] == "été"


@pytest.mark.parametrize("zone", ["Pacific/Pago_Pago", "Pacific/Kiritimati"])
def test_the_day_is_that_of_paris_wherever_the_platform_runs(
    client: Client, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 0 h 56, a test act of the day was one of the future for a platform whose clock was UTC's."""
    today = datetime.datetime.now(ZoneInfo("Europe/Paris")).date()
    days = [str(today + datetime.timedelta(rank)) for rank in (0, 1)]
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", zone)
        time.tzset()
        said = [client.deposit(f"Z{day[-2:]}", decision_date=day).content[:2] for day in days]
    time.tzset()
    assert said == [b"OK", b"KO"]


def test_refusal_is_latin1_and_escaped_as_the_real_platform_does(client: Client) -> None:
    client.deposited("A1")
    body = client.deposit("A1").content
    assert body.startswith(b"KO\nUn acte portant le m\xeame num\xe9ro interne")
    late = client.deposit("A2", decision_date=LATER, subject=b"").content
    assert late == b"KO\nLa date de d\xe9cision est une date dans le futur\n"
    assert client.deposit("A3", subject=b"").content == b"KO\nL&#039;objet de l&#039;acte est obligatoire\n"


@pytest.mark.parametrize("number", ["A", "2025_001", "A" * 15, "9"])
def test_good_numbers(client: Client, number: str) -> None:
    assert client.deposited(number)


@pytest.mark.parametrize("number", ["", "a1", "A" * 16, "_A", "A_", "A-1", "A 1", "É1", "A1\n"])
def test_bad_numbers(client: Client, number: str) -> None:
    assert refusal(client, number=number) == "Le numéro n'est pas correct"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"decision_date": LATER}, "dans le futur"),
        ({"decision_date": "15/01/2025"}, "n'est pas une date"),
        ({"decision_date": "2025-02-30"}, "n'est pas une date"),
        ({"decision_date": None}, "n'est pas une date"),
        ({"nature_code": "9"}, "nature « 9 » est inconnue"),
        ({"nature_code": None}, "nature «  » est inconnue"),
        ({"classif2": None}, "deux premiers niveaux"),
        ({"classif1": "7", "classif2": "99"}, "classification 7.99 est inconnue"),
        ({"classif3": "9"}, "classification 7.5.9 est inconnue"),
        ({"type_acte": None}, "acte.pdf : typologie absente"),
        ({"type_acte": "99"}, "5 caractères"),
        ({"subject": "x" * 500}, "dépasse 499"),
        ({"files": []}, "Aucun fichier acte"),
        ({"files": [("acte_pdf_file", ("acte.pdf", b"MZ not a pdf"))]}, "application/octet-stream"),
        ({"files": [("acte_pdf_file", ("acte.pdf", b""))]}, "application/x-empty"),
        ({"files": [("acte_pdf_file", ("acte.xml", b"<?xml version='1.0'?><a/>"))]}, "text/xml"),
    ],
)
def test_refused_forms(client: Client, changes: dict[str, Any], words: str) -> None:
    assert words in refusal(client, **changes)


def test_type_out_of_the_nomenclature_is_left_to_the_prefecture(client: Client) -> None:
    assert client.deposited(type_acte="99_ZZ")


def test_today_is_not_in_the_future(client: Client) -> None:
    assert client.deposited(decision_date=datetime.date.today().isoformat())


def test_longest_subject(client: Client) -> None:
    assert client.deposited(subject="é".encode("latin-1") * 499)


def test_annex_needs_its_type(client: Client, platform: TdtServer) -> None:
    files = [
        ("acte_pdf_file", ("acte.pdf", PDF)),
        ("acte_attachments[]", ("un.pdf", PDF)),
        ("acte_attachments[]", ("deux.pdf", PDF)),
    ]
    one: dict[str, Any] = {"type_pj[]": "99_AU"}
    two: dict[str, Any] = {"type_pj[]": ["99_AU", "21_RP"]}
    assert "deux.pdf : typologie absente" in refusal(client, files=files, **one)
    assert client.deposited(files=files, **two)


def test_annexes_may_be_images_but_not_programs(client: Client) -> None:
    def files(content: bytes) -> list[tuple[str, tuple[str, bytes]]]:
        return [("acte_pdf_file", ("acte.pdf", PDF)), ("acte_attachments[]", ("plan.png", content))]

    types: dict[str, Any] = {"type_pj[]": ["61_PL"]}
    assert client.deposited("OK1", files=files(b"\x89PNG\r\n\x1a\n..."), **types)
    assert client.deposited("OK2", files=files(b"\xff\xd8\xff\xe0..."), **types)
    assert "octet-stream" in refusal(client, number="KO1", files=files(b"#!/bin/sh"), **types)


def test_budget_may_be_xml(client: Client) -> None:
    files = [("acte_pdf_file", ("budget.xml", b'<?xml version="1.0"?><DocumentBudgetaire/>'))]
    budget: dict[str, Any] = {"nature_code": "5", "classif2": "1", "type_acte": "99_BU", "files": files}
    assert client.deposited(**budget)
    assert "text/xml" in refusal(client, **(budget | {"number": "B2", "classif2": "5"}))


def test_number_is_used_once_and_for_ever(client: Client, platform: TdtServer) -> None:
    identifier = client.acknowledged("A1")
    assert "même numéro" in html.unescape(client.deposit("A1").text)
    platform.store.force(identifier, -1, "erreur")
    assert "même numéro" in html.unescape(client.deposit("A1").text)
    assert len(platform.acts(number="A1")) == 1


def test_number_belongs_to_an_authority(connect: Callable[..., Client], client: Client) -> None:
    assert client.deposited("A1")
    assert connect(OTHER_SIREN).deposited("A1")


def test_same_number_at_the_same_time_is_recorded_once(connect: Callable[..., Client], platform: TdtServer) -> None:
    answers: list[str] = []
    clients = [connect() for _ in range(8)]
    start = threading.Barrier(len(clients))

    def deposit(one: Client) -> None:
        start.wait()
        answers.append(one.deposit("MEME", files=[("acte_pdf_file", ("a.pdf", make_pdf(pages=30)))]).text)

    threads = [threading.Thread(target=deposit, args=(one,)) for one in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer[:2] for answer in answers) == ["KO"] * 7 + ["OK"]
    assert all("même numéro" in answer for answer in answers if answer.startswith("KO"))
    assert len(platform.acts(number="MEME")) == 1


def test_certificate_must_be_rgs(connect: Callable[..., Client]) -> None:
    client = connect(policy=None)
    assert refusal(client) == "La télétransmission nécessite un certificat RGS"


def test_waiting_act_is_not_sent(client: Client, platform: TdtServer) -> None:
    identifier = client.deposited(en_attente="1")
    assert client.status(identifier) == (17, "")
    assert client.get(f"/modules/actes/actes_transac_post_confirm_api.php?id={identifier}").status_code == 302
    platform.wait_status(identifier, 4)


def test_confirmation_goes_back_where_it_came_from(client: Client) -> None:
    identifier = client.deposited(en_attente="1")
    address = "/modules/actes/actes_transac_post_confirm_api.php"
    back = {"id": identifier, "url_return": "https://pastell.test/?e=%%ERROR%%&m=%%MESSAGE%%"}
    assert client.get(address, params=back).headers["Location"] == "https://pastell.test/?e=0&m="
    again = client.get(address, params=back).headers["Location"]
    assert again.startswith("https://pastell.test/?e=1&m=La%20transaction%20n%27est%20pas")
    trap = client.get(address, params={"id": identifier, "url_return": "javascript:alert(1)"})
    assert trap.headers["Location"] == "/modules/actes/index.php"


def test_archive_too_big(pki: Pki, connect: Callable[..., Client], tmp_path: Any) -> None:
    with serving(pki, tmp_path / "petit", max_archive_bytes=100_000) as server:
        client = Client(server, connect().session)
        files = [("acte_pdf_file", ("gros.pdf", b"%PDF-1.4\n" + b"0" * 100_000))]
        assert "n'est pas conforme" in refusal(client, files=files)


def test_detached_signature_goes_to_the_message(client: Client, platform: TdtServer) -> None:
    files = [
        ("acte_pdf_file", ("acte.pdf", PDF)),
        ("acte_pdf_file_sign", ("acte.p7s", b"-----BEGIN PKCS7-----\nMII=\n-----END PKCS7-----\n")),
    ]
    identifier = client.deposited(files=files)
    message = platform.store.content(platform.store.files(identifier)[0]["sha256"]).decode("latin-1")
    assert "<actes:Signature>-----BEGIN PKCS7-----" in message


@pytest.mark.parametrize(
    "body",
    [b"", b'--x\r\nContent-Disposition: form-data; name="api"\r\n\r\n1', b"garbage"],
)
def test_broken_forms_are_refused(client: Client, platform: TdtServer, body: bytes) -> None:
    head = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = client.post("/modules/actes/actes_transac_create.php", data=body, headers=head)
    assert answer.status_code == 400 or answer.text.startswith("KO\n")
    assert platform.acts() == []


def test_form_without_boundary_or_with_a_huge_field(client: Client) -> None:
    head = {"Content-Type": "multipart/form-data"}
    assert client.post("/modules/actes/actes_transac_create.php", data=b"x", headers=head).status_code == 400
    assert client.deposit(subject="x" * (600 * 1024)).status_code == 400
