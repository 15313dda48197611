"""A signed file handed in to the parapheur: checked, sealed, or refused with its reason. Judged by pdfsig too."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from signature_actes import pades, pes, receive
from signature_actes.files import looks_like_xml
from signature_actes.refusal import DocumentRefusedError
from signature_actes.token import signer

from apps.signature.tests.conftest import LIBRARY, SIREN, Issuer, Tokens, run, software
from apps.signature.tests.test_pes import flow

CLAIRE = {"nom": "Claire Dubois", "siren": SIREN}
ANNE = {"nom": "Anne Bertrand", "siren": SIREN}
PIN = "271828"


@pytest.fixture
def config(issuer: Issuer, tokens: Tokens, tmp_path: Path) -> dict[str, Any]:
    """The service on its host: signers' authorities, the groupement's own, the seal's token, its PIN."""
    own = Issuer("du groupement", tmp_path / "groupement")
    own.tsa()
    tokens.make("cachet", own.person("Cachet du parapheur", "285900015"), PIN)
    (tmp_path / "pin").write_text(f"{PIN}\n", encoding="ascii")
    return {
        "signataires": {"autorites": [str(issuer.folder / "ca.pem")], "crl": [str(issuer.folder / "crl.pem")]},
        "cachet": {
            "bibliotheque": str(LIBRARY),
            "jeton": "cachet",
            "pin": str(tmp_path / "pin"),
            "autorites": [str(own.folder / "ca.pem")],
            "crl": [str(own.folder / "crl.pem")],
        },
        "horodatage": str(own.folder / "tsa"),
    }


def ask(
    config: dict[str, Any], original: bytes, signed: bytes, people: list[dict[str, str]], name: str = "acte-signe.pdf"
) -> tuple[dict[str, Any], bytes]:
    """One request, as the application makes it."""
    request = {"nom": name, "signataires": people, "origine": len(original), "signe": len(signed)}
    output = io.BytesIO()
    receive.answer(io.BytesIO(json.dumps(request).encode() + b"\n" + original + signed), output, config)
    line, _newline, rest = output.getvalue().partition(b"\n")
    return json.loads(line), rest


def signed_by(issuer: Issuer, act: Path, common_name: str = "Claire Dubois") -> bytes:
    target = act.with_name(f"{common_name}-signe.pdf")
    target.unlink(missing_ok=True)
    asyncio.run(pades.sign(act, target, software(issuer, issuer.person(common_name))))
    return target.read_bytes()


def test_a_signed_act_comes_back_sealed(config: dict[str, Any], issuer: Issuer, act: Path, tmp_path: Path) -> None:
    signed = signed_by(issuer, act)
    told, sealed = ask(config, act.read_bytes(), signed, [CLAIRE])
    assert (told["signataire"], told["taille"]) == ("Claire Dubois", len(sealed))
    assert told["serie"]
    assert sealed.startswith(signed)
    (tmp_path / "scelle.pdf").write_bytes(sealed)
    shown = run("pdfsig", tmp_path / "scelle.pdf")
    assert shown.count("Signature Validation: Signature is Valid.") == 2
    assert "Signer Certificate Common Name: Cachet du parapheur" in shown
    assert b"/DocTimeStamp" in sealed


def test_a_deputy_s_signature_is_taken_as_well(config: dict[str, Any], issuer: Issuer, act: Path) -> None:
    told, _sealed = ask(config, act.read_bytes(), signed_by(issuer, act, "Anne Bertrand"), [CLAIRE, ANNE])
    assert told["signataire"] == "Anne Bertrand"


def test_what_is_not_expected_is_refused(config: dict[str, Any], issuer: Issuer, act: Path) -> None:
    original = act.read_bytes()
    expected = "acte-signe.pdf : signé par Anne Bertrand : c'est la signature de Claire Dubois qui est attendue"
    assert ask(config, original, signed_by(issuer, act, "Anne Bertrand"), [CLAIRE]) == ({"refus": expected}, b"")
    told, _rest = ask(config, original, original, [CLAIRE])
    assert told["refus"].startswith("acte-signe.pdf : le document n'est pas signé.")
    told, _rest = ask(config, original, b"", [CLAIRE])
    assert told["refus"].startswith("acte-signe.pdf : le fichier est vide.")
    told, _rest = ask(config, original, b"<xml/>", [CLAIRE])
    assert "ce n'est pas le document du circuit" in told["refus"]
    told, _rest = ask(config, original, b"%PDF-1.7\nrien", [CLAIRE], "../../etc/acte.pdf")
    assert told["refus"].startswith("acte.pdf : le PDF est abîmé")


def test_a_revoked_signatory_is_refused(config: dict[str, Any], issuer: Issuer, act: Path) -> None:
    pair = issuer.person()
    target = act.with_name("revoque.pdf")
    asyncio.run(pades.sign(act, target, software(issuer, pair)))
    issuer.revoked.append(pair[0])
    issuer.write_crls()
    told, _rest = ask(config, act.read_bytes(), target.read_bytes(), [CLAIRE])
    assert "le certificat de Claire Dubois est révoqué depuis le" in told["refus"]


def test_without_its_seal_nothing_is_taken(config: dict[str, Any], issuer: Issuer, act: Path, tmp_path: Path) -> None:
    signed = signed_by(issuer, act)
    (tmp_path / "pin").write_text("000000\n", encoding="ascii")
    told, rest = ask(config, act.read_bytes(), signed, [CLAIRE])
    assert (told["refus"].partition(".")[0], rest) == ("code PIN refusé", b"")


def test_a_flow_is_checked_and_bears_no_seal(
    config: dict[str, Any], issuer: Issuer, tokens: Tokens, tmp_path: Path
) -> None:
    original, target = flow(tmp_path), tmp_path / "flux-signe.xml"
    with signer(tokens.make("maire", issuer.person()), lambda: PIN) as key:
        pes.sign(original, target, key, pes.Place("Gondecourt", "59147"))
    told, rest = ask(config, original.read_bytes(), target.read_bytes(), [CLAIRE], "flux.xml")
    assert (told["signataire"], told["taille"], rest) == ("Claire Dubois", 0, b"")


def test_a_document_is_checked_before_its_circuit(config: dict[str, Any], act: Path, tmp_path: Path) -> None:
    assert ask(config, act.read_bytes(), b"", []) == ({"taille": 0}, b"")
    assert ask(config, flow(tmp_path).read_bytes(), b"", [], "flux.xml") == ({"taille": 0}, b"")
    told, _rest = ask(config, b"%PDF-1.4 abime", b"", [])
    assert told["refus"].startswith("acte-signe.pdf : le PDF est abîmé.")
    told, _rest = ask(config, b"<html/>", b"", [], "page.xml")
    assert "refus" in told


def test_an_interrupted_request_is_told(config: dict[str, Any], act: Path) -> None:
    output = io.BytesIO()
    request = json.dumps({"nom": "acte.pdf", "signataires": [CLAIRE], "origine": 10**6, "signe": 10}).encode()
    receive.answer(io.BytesIO(request + b"\n" + act.read_bytes()), output, config)
    assert json.loads(output.getvalue()) == {"refus": "l'envoi s'est interrompu. À faire : recommencez"}
    output = io.BytesIO()
    receive.answer(io.BytesIO(b"bonjour\n"), output, config)
    assert "n'a pas pu se faire" in json.loads(output.getvalue())["refus"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("boum"), "acte-signe.pdf : ce fichier ne se lit pas ici (RuntimeError). À faire : "),
        (MemoryError(), "le fichier demande trop de mémoire ou de temps"),
    ],
)
def test_what_a_hostile_file_does_to_a_parser_is_a_refusal(
    config: dict[str, Any], act: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    async def hostile(*_arguments: object, **_more: object) -> None:
        raise error

    monkeypatch.setattr(receive.check, "check_pdf", hostile)
    told, rest = ask(config, act.read_bytes(), act.read_bytes(), [CLAIRE])
    assert told["refus"].startswith(words)
    assert rest == b""


def test_the_service_answers_the_connection_it_was_given(
    config: dict[str, Any], act: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds: list[str] = []
    (tmp_path / "sceau.json").write_text(json.dumps(config), encoding="utf-8")
    monkeypatch.setattr(receive, "CONFIG", tmp_path / "sceau.json")
    monkeypatch.setattr(receive.limits, "bound", lambda: bounds.append("posées"))
    request = {"nom": "acte.pdf", "signataires": [], "origine": act.stat().st_size, "signe": 0}
    given, output = json.dumps(request).encode() + b"\n" + act.read_bytes(), io.BytesIO()
    monkeypatch.setattr(receive.sys, "stdin", SimpleNamespace(buffer=io.BytesIO(given)))
    monkeypatch.setattr(receive.sys, "stdout", SimpleNamespace(buffer=output))
    try:
        assert receive.main() == 0
    finally:
        logging.disable(logging.NOTSET)
    assert json.loads(output.getvalue()) == {"taille": 0}
    assert bounds == ["posées"]


PAGE = (
    b"%PDF-1.4\n"
    b"1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n2 0 obj\n<< /Type /Pages /Kids [3 0 R] /Count 1 >>\n"
    b"endobj\n3 0 obj\n<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 "
    b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>\nendobj\n4 0 obj\n<< /Length 41 >>\nstream\n"
    b"BT /F1 12 Tf 50 700 Td (Autre acte) Tj ET\nendstream\nendobj\ntrailer << /Root 1 0 R >>\n%%EOF"
)


@pytest.mark.parametrize("begins", [b"", b"\xef\xbb\xbf", b"\n \t"])
def test_what_is_a_flow_and_a_page_is_neither(tmp_path: Path, begins: bytes) -> None:
    """A circuit of acts took it for a PDF, the check for a flow: what people saw was nowhere judged."""
    head, mark, rest = flow(tmp_path).read_bytes().partition(b"?>")
    if begins:
        head, mark = b"", b""
    both = tmp_path / "acte.pdf"
    both.write_bytes(begins + head + mark + b"<!-- " + PAGE + b" -->" + rest)
    assert "Autre acte" in run("pdftotext", both, "-")
    told, _none = ask({}, both.read_bytes(), b"", [], "acte.pdf")
    assert told == {"refus": told["refus"]} and "à la fois un PDF et un fichier XML" in told["refus"]
    with pytest.raises(DocumentRefusedError, match=r"^acte.pdf : ce fichier est à la fois .* À faire : "):
        looks_like_xml(both)
    told, _none = ask({}, flow(tmp_path).read_bytes(), b"", [])
    assert told == {"taille": 0}
