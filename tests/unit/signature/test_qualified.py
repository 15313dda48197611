"""A supplier's signature, judged by small trusted lists of the EU, with real keys."""

from __future__ import annotations

import asyncio
import datetime as dt
import io
import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.pki import trusted_lists
from asn1crypto import x509 as asn1_x509
from cryptography.hazmat.primitives.serialization import Encoding
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from signature_actes import pades, receive, structure

from testbed import trusted_lists as made
from testbed.authority import carrying

from .conftest import PEM, Issuer, private_pem, software
from .test_sameness import appended, stream_of
from .test_structure import size_of

NOW = dt.datetime.now(dt.UTC)
EU, BE = made.authority("EU", ca=False), made.authority("BE", ca=False)
QUALIFIED, PLAIN = made.authority("Qualifiée"), made.authority("Ordinaire")
DAY = dt.timedelta(days=1)


@dataclass
class Place:
    """The service's files, and a contract."""

    folder: Path
    issuer: Issuer
    act: Path
    config: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.lists()
        self.revoke()
        own = {"autorites": [str(self.issuer.folder / "ca.pem")], "crl": [str(self.issuer.folder / "crl.pem")]}
        suppliers = {"listes": str(self.folder / "confiance.json"), "crl": [str(self.folder / "crl.pem")]}
        self.config |= {"signataires": own, "fournisseurs": suppliers}

    def lists(self, **options: Any) -> None:
        named = [("BE", "https://be.test", [BE[0]])]
        docs = {
            "https://eu.test": made.lotl(EU, named, **options),
            "https://be.test": made.national(BE, "BE", [QUALIFIED[0]]),
        }
        pinned = [asn1_x509.Certificate.load(EU[0].public_bytes(Encoding.DER))]
        trusted_lists.refresh(self.folder, "https://eu.test", pinned, docs.__getitem__, NOW)

    def revoke(self, *revoked: Any) -> None:
        (self.folder / "crl.pem").write_bytes(made.revocations(QUALIFIED, *revoked))

    def sign(self, pair: Any, source: Path | None = None, issuer: Any = None) -> bytes:
        target = self.folder / "signe.pdf"
        target.unlink(missing_ok=True)
        asyncio.run(pades.sign(source or self.act, target, software(issuer or self.issuer, pair)))
        return target.read_bytes()

    def detach(self, pair: Any, *more: Any) -> bytes:
        files = {"cert": pair[0].public_bytes(PEM), "key": private_pem(pair[1])}
        for name, content in files.items():
            (self.folder / name).write_bytes(content)
        subprocess.run(
            ["openssl", "cms", "-sign", "-binary", "-cades", "-outform", "DER", "-in", self.act, "-out",
             self.folder / "p7s", "-signer", self.folder / "cert", "-inkey", self.folder / "key", *more],
            check=True, capture_output=True,
        )  # fmt: skip # one call by its parts
        return (self.folder / "p7s").read_bytes()

    def ask(self, wish: str, original: bytes, signed: bytes = b"", people: Any = (), name: str = "contrat.pdf") -> Any:
        request = {
            "nom": name, "signataires": list(people), "origine": len(original), "signe": len(signed), "contrat": wish,
        }  # fmt: skip # a table
        output = io.BytesIO()
        receive.answer(io.BytesIO(json.dumps(request).encode() + b"\n" + original + signed), output, self.config)
        return json.loads(output.getvalue().partition(b"\n")[0])


@pytest.fixture
def place(tmp_path: Path, issuer: Issuer, act: Path) -> Place:
    return Place(tmp_path / "fournisseurs", issuer, act)


@pytest.fixture(scope="module")
def supplier() -> made.Pair:
    return made.person("Jan Peeters", QUALIFIED)


def test_a_contract_comes_signed_by_a_qualified_certificate(place: Place, supplier: made.Pair) -> None:
    told = place.ask("document", place.sign(supplier))
    serial = f"{supplier[0].serial_number:X}"
    assert told["fournisseurs"] == [{"nom": "Jan Peeters", "serie": serial, "emetteur": "Qualifiée"}]
    assert told["listes"].startswith("liste des listes n° 300 du ")
    assert place.ask("document", place.act.read_bytes()) == {"taille": 0, "fournisseurs": [], "listes": ""}


def test_a_library_that_signs_says_its_name(place: Place, supplier: made.Pair) -> None:
    """iText does, in each revision that it appends, before the place of its table: it is in many a signed contract."""
    made_by = place.folder / "itext.pdf"
    appended(place.act, made_by, {size_of(place.act): stream_of(b"0123456789")})
    head, mark, tail = made_by.read_bytes().rpartition(b"startxref")
    for said in (b"%iText-5.5.13.1\n", b"%iText-Core-8.0.2 (AGPL version) 2000-2024\r\n%iText-pdfHTML-5.0.2\n"):
        made_by.write_bytes(head + said + mark + tail)
        assert [one["nom"] for one in place.ask("document", place.sign(supplier, made_by))["fournisseurs"]]
    for said in (b"%\x9b31m\n", b"% 9 0 obj\n", b"%startxref 9\n", b"%" + b"x" * 500 + b"\n"):
        made_by.write_bytes(head + said + mark + tail)
        with pytest.raises(structure.Unclear, match="commentaire"):
            structure.read(made_by)


def test_a_supplier_signs_after_the_maire(place: Place, supplier: made.Pair) -> None:
    signed = place.folder / "maire.pdf"
    signed.write_bytes(place.sign(place.issuer.person()))
    told = place.ask("contresignature", signed.read_bytes(), place.sign(supplier, signed))
    assert [one["nom"] for one in told["fournisseurs"]] == ["Jan Peeters"]
    other = place.sign(supplier)
    assert "ce n'est pas le document du circuit" in place.ask("contresignature", signed.read_bytes(), other)["refus"]
    alone = place.ask("contresignature", signed.read_bytes(), signed.read_bytes())["refus"]
    assert alone == "contrat.pdf : le document n'est pas signé par le fournisseur"


def test_a_detached_signature_is_of_the_dossier_s_document(place: Place, supplier: made.Pair) -> None:
    signature, document = place.detach(supplier), place.act.read_bytes()
    told = place.ask("contresignature", document, signature, name="contrat.p7s")
    assert [one["nom"] for one in told["fournisseurs"]] == ["Jan Peeters"]
    changed = place.ask("contresignature", document + b"\n", signature)["refus"]
    assert "ce n'est pas le document du dossier qui est signé" in changed
    assert "ce n'est pas une signature CMS" in place.ask("contresignature", document, b"0" * 40)["refus"]
    assert "ce n'est pas une signature CMS" in place.ask("contresignature", document, signature[:900])["refus"]
    more = ("-signer", place.folder / "cert", "-inkey", place.folder / "key")
    assert "d'une seule" in place.ask("contresignature", document, place.detach(supplier, *more))["refus"]


def test_a_signature_on_a_changed_document_is_refused(place: Place, supplier: made.Pair) -> None:
    signed = place.sign(supplier)
    for content in (signed.replace(b"endobj", b"endobk", 1), signed[:2000] + b"x" + signed[2001:]):
        assert "refus" in place.ask("document", content)
    writer = IncrementalPdfFileWriter(io.BytesIO(signed))
    page = writer.root["/Pages"]["/Kids"][0]
    page["/Rotate"] = generic.NumberObject(90)
    writer.update_container(page)
    output = io.BytesIO()
    writer.write(output)
    assert "le document a été modifié après la signature" in place.ask("document", output.getvalue())["refus"]


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        (made.person("Jan", PLAIN), "n'est pas qualifié : aucune liste de confiance de l'Union européenne ne nomme"),
        (made.person("Jan", QUALIFIED, None), "émis par « Qualifiée », n'est pas qualifié"),
        (made.person("Jan", QUALIFIED, made.FOR_SEALS), "n'est pas qualifié|pas pour signer"),
        (made.person("Jan", QUALIFIED, start=NOW - 2 * DAY, end=NOW - DAY), "est expiré depuis le"),
        (made.person("Jan", QUALIFIED, start=NOW + DAY), "n'est valable qu'à partir du"),
    ],
)
def test_a_certificate_that_does_not_count_is_told(place: Place, pair: made.Pair, said: str) -> None:
    for told in (
        place.ask("document", place.sign(pair)),
        place.ask("contresignature", place.act.read_bytes(), place.detach(pair)),
    ):
        assert any(words in told.get("refus", "") for words in said.split("|")), told


def test_a_revoked_certificate_is_refused_whatever_its_signature_carries(place: Place, supplier: made.Pair) -> None:
    signed, detached = place.sign(supplier), place.detach(supplier)
    old = (place.folder / "crl.pem").read_bytes()
    place.revoke(supplier[0])
    assert "est révoqué depuis le" in place.ask("document", signed)["refus"]
    told = place.ask("contresignature", place.act.read_bytes(), carrying(detached, old))
    assert "est révoqué depuis le" in told["refus"]


def test_a_revocation_list_that_we_lack_is_named(place: Place, supplier: made.Pair) -> None:
    (place.folder / "crl.pem").unlink()
    old = made.revocations(QUALIFIED)
    for told in (
        place.ask("document", place.sign(supplier)),
        place.ask("contresignature", place.act.read_bytes(), carrying(place.detach(supplier), old)),
    ):
        assert "rien ne dit si le certificat de Jan Peeters est révoqué" in told["refus"]
        assert "parapheur_suppliers_crl_urls" in told["refus"]


def test_lists_that_lack_or_are_out_of_date_judge_nothing(place: Place, supplier: made.Pair) -> None:
    signed, file = place.sign(supplier), place.folder / "confiance.json"
    told = json.loads(file.read_text())
    told["lotl"]["prochaine"] = (NOW - DAY).isoformat()
    file.write_text(json.dumps(told))
    assert "sont périmées depuis le" in place.ask("document", signed)["refus"]
    file.write_text("{}")
    assert "ne se lisent pas" in place.ask("document", signed)["refus"]
    file.unlink()
    assert "ne sont pas encore sur le parapheur" in place.ask("document", signed)["refus"]
    del place.config["fournisseurs"]
    assert "ne sont pas jugées ici" in place.ask("document", signed)["refus"]


def test_the_maire_signs_below_a_supplier_and_nobody_passes_for_the_maire(place: Place, supplier: made.Pair) -> None:
    claire = {"nom": "Claire Dubois", "siren": "215902669"}
    contract = place.folder / "contrat.pdf"
    contract.write_bytes(place.sign(supplier))
    signed = place.sign(place.issuer.person(), contract)
    told = place.ask("signature", contract.read_bytes(), signed, [claire])
    assert (told["signataire"], told["taille"]) == ("Claire Dubois", 0)
    assert "refus" in place.ask("", contract.read_bytes(), signed, [claire])  # no contract: every signature is ours
    # A supplier who bears the maire's name is not the maire.
    forged = place.folder / "faux.pdf"
    forged.write_bytes(place.sign(made.person("Claire Dubois", QUALIFIED)))
    told = place.ask("signature", forged.read_bytes(), forged.read_bytes(), [claire])
    assert "ne vient pas d'une autorité admise" in told["refus"]
    twice = place.sign(made.person("Claire Dubois", QUALIFIED), contract)
    assert (
        "ne vient pas d'une autorité admise" in place.ask("signature", contract.read_bytes(), twice, [claire])["refus"]
    )
