"""Acts signed with a real token, sealed, and judged by public tools: poppler's pdfsig, openssl."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pkcs11
import pytest
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign import fields, signers
from pyhanko.sign.general import SigningError
from signature_actes import pades, token
from signature_actes.check import check_pdf
from signature_actes.person import Person
from signature_actes.refusal import DocumentRefusedError
from signature_actes.stamp import LocalUnit
from signature_actes.trust import Trust, read_certificates
from weasyprint import HTML

from apps.signature.tests.conftest import Issuer, Tokens, run, software

CLAIRE = Person("Claire Dubois", "215902669")


def signed_by_token(issuer: Issuer, tokens: Tokens, act: Path, pin: str = "271828") -> Path:
    key = tokens.make("gondecourt-maire", issuer.person())
    target = act.with_name("signe.pdf")
    chain = read_certificates(issuer.folder / "ca.pem")[1:]
    with token.signer(key, lambda: pin, chain) as signer:
        asyncio.run(pades.sign(act, target, signer))
    return target


def pdfsig(issuer: Issuer, path: Path) -> list[dict[str, str]]:
    """What poppler says of each signature."""
    database = issuer.folder / "nss"
    if not database.exists():
        database.mkdir()
        run("certutil", "-N", "-d", f"sql:{database}", "--empty-password")
        run("certutil", "-A", "-d", f"sql:{database}", "-n", "racine", "-t", "C,C,C", "-i", issuer.folder / "root.pem")
    told = run("pdfsig", "-nssdir", f"sql:{database}", path)
    found = []
    for part in re.split(r"^Signature #\d+:$", told, flags=re.M)[1:]:
        found.append(dict(re.findall(r"^  - ([^:\n]+): (.*)$", part, re.M)) | {"all": part})
    return found


def cms_of(path: Path, folder: Path, number: int = 0) -> tuple[Path, Path]:
    """The CMS of a signature and the bytes that it covers, by its ByteRange alone."""
    data = path.read_bytes()
    found = re.findall(rb"/ByteRange ?\[ ?(\d+) (\d+) (\d+) (\d+) ?\]", data)
    start, length, after, rest = map(int, found[number])
    cms, content = folder / "cms.der", folder / "content"
    cms.write_bytes(bytes.fromhex(data[start + length + 1 : after - 1].decode()))
    content.write_bytes(data[start : start + length] + data[after : after + rest])
    return cms, content


def openssl_verifies(issuer: Issuer, path: Path, folder: Path) -> None:
    cms, content = cms_of(path, folder)
    trust = folder / "trust.pem"
    trust.write_bytes((issuer.folder / "ca.pem").read_bytes() + (issuer.folder / "crl.pem").read_bytes())
    run("openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", cms, "-content", content, "-out", "/dev/null",
        "-CAfile", trust, "-crl_check_all", "-purpose", "any")  # fmt: skip # one call by its parts


def test_a_person_signs_with_the_token_and_public_tools_agree(
    issuer: Issuer, tokens: Tokens, act: Path, tmp_path: Path
) -> None:
    before = act.read_bytes()
    signed = signed_by_token(issuer, tokens, act)
    assert act.read_bytes() == before
    assert signed.read_bytes().startswith(before)
    [seen] = pdfsig(issuer, signed)
    assert seen["Signature Validation"] == "Signature is Valid."
    assert seen["Certificate Validation"] == "Certificate is Trusted."
    assert seen["Signer Certificate Common Name"] == "Claire Dubois"
    assert seen["Signature Type"] == "ETSI.CAdES.detached"
    assert "Total document signed" in seen["all"]
    openssl_verifies(issuer, signed, tmp_path)
    found = asyncio.run(check_pdf(signed, CLAIRE, issuer.trust, original=act))
    assert found.holder == "Claire Dubois"
    assert found.claimed_at is not None


def test_the_seal_is_b_lta_and_keeps_the_person_s_signature_valid(
    issuer: Issuer, tokens: Tokens, act: Path, tmp_path: Path
) -> None:
    signed = signed_by_token(issuer, tokens, act)
    groupement = Issuer("du groupement", tmp_path / "groupement")
    key = tokens.make("cachet", groupement.person("Cachet du parapheur", "285900015"))
    both = Trust.read(
        [issuer.folder / "ca.pem", groupement.folder / "ca.pem"],
        [issuer.folder / "crl.pem", groupement.folder / "crl.pem"],
    )
    sealed = tmp_path / "cachete.pdf"
    with token.signer(key, lambda: "271828", [both.others[1]]) as signer:
        asyncio.run(pades.seal(signed, sealed, signer, LocalUnit(groupement.tsa()), both))
    assert sealed.read_bytes().startswith(signed.read_bytes())
    seen = pdfsig(issuer, sealed)
    assert [one["Signature Validation"] for one in seen[:2]] == ["Signature is Valid."] * 2
    assert seen[0]["Signer Certificate Common Name"] == "Claire Dubois"
    assert seen[1]["Signer Certificate Common Name"] == "Cachet du parapheur"
    with sealed.open("rb") as stream:
        reader = PdfFileReader(stream)
        assert [one.sig_object_type for one in reader.embedded_signatures] == ["/Sig", "/Sig", "/DocTimeStamp"]
        unsigned = reader.embedded_signatures[1].signer_info["unsigned_attrs"]
        assert "signature_time_stamp_token" in [attribute["type"].native for attribute in unsigned]
        store = reader.root["/DSS"]
        # Two authorities, each with its root's and its own list; the person's proofs are there as well.
        assert len(store["/CRLs"]) == 4
        known = {certificate.get_object().data for certificate in store["/Certs"]}
        assert reader.embedded_signatures[0].signer_cert.dump() in known
    openssl_verifies(issuer, sealed, tmp_path)
    # poppler shows document timestamps and judges none: openssl does.
    cms, content = cms_of(sealed, tmp_path, -1)
    run("openssl", "ts", "-verify", "-token_in", "-in", cms, "-data", content, "-CAfile", groupement.folder / "ca.pem")


def test_a_second_person_leaves_the_first_signature_valid(issuer: Issuer, act: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "1.pdf", tmp_path / "2.pdf"
    asyncio.run(pades.sign(act, one, software(issuer, issuer.person("Karim Lefèvre"))))
    asyncio.run(pades.sign(one, two, software(issuer, issuer.person())))
    assert [seen["Signature Validation"] for seen in pdfsig(issuer, two)] == ["Signature is Valid."] * 2
    assert asyncio.run(check_pdf(two, CLAIRE, issuer.trust, original=one)).holder == "Claire Dubois"


@pytest.mark.parametrize("options", [{"pdf_variant": "pdf/a-2b"}, {"pdf_forms": True}])
def test_object_streams_pdf_a_and_forms(issuer: Issuer, tmp_path: Path, options: dict[str, Any]) -> None:
    source, one, two = (tmp_path / name for name in ("acte.pdf", "1.pdf", "2.pdf"))
    HTML(string="<h1>Délibération</h1><a href='http://x.test'>lien</a><input name='a'>").write_pdf(source, **options)
    assert b"/ObjStm" in source.read_bytes()
    asyncio.run(pades.sign(source, one, software(issuer, issuer.person("Karim Lefèvre"))))
    asyncio.run(pades.sign(one, two, software(issuer, issuer.person())))
    assert [seen["Signature Validation"] for seen in pdfsig(issuer, two)] == ["Signature is Valid."] * 2
    assert asyncio.run(check_pdf(two, CLAIRE, issuer.trust, original=source)).holder == "Claire Dubois"


def test_no_timestamp_no_seal(issuer: Issuer, act: Path, tmp_path: Path) -> None:
    unit = issuer.tsa()
    (unit / "key.pem").unlink()
    with pytest.raises(
        DocumentRefusedError, match=r"pas d'horodatage : .*cannot load private key.* À faire : relancez"
    ):
        asyncio.run(
            pades.seal(act, tmp_path / "x.pdf", software(issuer, issuer.person()), LocalUnit(unit), issuer.trust)
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deliberation.pdf", "prestataire"]


def test_a_revoked_seal_seals_nothing(issuer: Issuer, act: Path, tmp_path: Path) -> None:
    pair = issuer.person()
    issuer.revoked.append(pair[0])
    issuer.write_crls()
    with pytest.raises(DocumentRefusedError, match="est révoqué depuis le"):
        asyncio.run(pades.seal(act, tmp_path / "x.pdf", software(issuer, pair), LocalUnit(issuer.tsa()), issuer.trust))
    assert not (tmp_path / "x.pdf").exists()


def test_a_certified_document_takes_no_other_signature(issuer: Issuer, act: Path, tmp_path: Path) -> None:
    closed = tmp_path / "certifie.pdf"
    described = signers.PdfSignatureMetadata(
        field_name="Certification", certify=True, docmdp_permissions=fields.MDPPerm.NO_CHANGES
    )
    with act.open("rb") as stream, closed.open("wb") as output:
        signer = signers.PdfSigner(described, software(issuer, issuer.person()))
        asyncio.run(signer.async_sign_pdf(IncrementalPdfFileWriter(stream), output=output))
    expected = r"^certifie.pdf : Claire Dubois a certifié ou verrouillé ce document .* À faire : demandez-lui"
    with pytest.raises(DocumentRefusedError, match=expected):
        asyncio.run(pades.sign(closed, tmp_path / "x.pdf", software(issuer, issuer.person("Karim Lefèvre"))))
    assert not (tmp_path / "x.pdf").exists()


def test_a_signature_that_does_not_count_is_not_sealed(issuer: Issuer, act: Path, tmp_path: Path) -> None:
    other = Issuer("inconnue", tmp_path / "autre")
    signed = tmp_path / "signe.pdf"
    asyncio.run(pades.sign(act, signed, software(other, other.person())))
    with pytest.raises(
        DocumentRefusedError, match=r"^une signature déjà présente ne vaut pas : le certificat de Claire Dubois"
    ):
        asyncio.run(
            pades.seal(
                signed,
                tmp_path / "x.pdf",
                software(issuer, issuer.person("Cachet")),
                LocalUnit(issuer.tsa()),
                issuer.trust,
            )
        )
    assert not (tmp_path / "x.pdf").exists()


def test_a_key_that_fails_is_told(issuer: Issuer, act: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_arguments: object, **_options: object) -> None:
        raise SigningError("la carte est sortie")

    monkeypatch.setattr(signers.PdfSigner, "async_sign_pdf", fail)
    with pytest.raises(
        DocumentRefusedError, match=r"^deliberation.pdf : la signature a échoué \(la carte est sortie\)$"
    ):
        asyncio.run(pades.sign(act, tmp_path / "x.pdf", software(issuer, issuer.person())))
    assert not (tmp_path / "x.pdf").exists()


def test_a_signature_bears_the_person_s_name(issuer: Issuer, act: Path, tmp_path: Path) -> None:
    asyncio.run(pades.sign(act, tmp_path / "x.pdf", software(issuer, issuer.person())))
    with (tmp_path / "x.pdf").open("rb") as stream:
        [signature] = PdfFileReader(stream).embedded_regular_signatures
        assert signature.sig_object["/Name"] == "Claire Dubois"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (pkcs11.exceptions.PinLocked, r"^la clé est bloquée\. À faire : débloquez-la avec le code du prestataire"),
        (pkcs11.exceptions.PinExpired, r"^la clé est bloquée\. À faire : débloquez-la avec le code du prestataire"),
        (pkcs11.exceptions.DeviceRemoved, r"^la clé ne s'ouvre pas \(DeviceRemoved\)\. À faire : branchez-la"),
    ],
)
def test_a_key_that_does_not_open_says_why(
    issuer: Issuer, tokens: Tokens, monkeypatch: pytest.MonkeyPatch, error: type[Exception], words: str
) -> None:
    key = tokens.make("gondecourt-maire", issuer.person())
    find = token._find_token

    def open_with(user_pin: str | None = None) -> Any:
        if user_pin:
            raise error
        return find(key).open()

    monkeypatch.setattr(token, "_find_token", lambda _key: SimpleNamespace(open=open_with))
    with pytest.raises(DocumentRefusedError, match=words), token.signer(key, lambda: "271828"):
        pass


def test_the_pin_is_checked_before_anything_is_written(issuer: Issuer, tokens: Tokens, act: Path) -> None:
    with pytest.raises(DocumentRefusedError, match=r"code PIN refusé\. Attention : la clé se bloque"):
        signed_by_token(issuer, tokens, act, pin="000000")
    assert not act.with_name("signe.pdf").exists()


def test_the_key_cannot_be_read_nor_used_without_the_pin(issuer: Issuer, tokens: Tokens) -> None:
    key = tokens.make("gondecourt-maire", issuer.person())
    library = pkcs11.lib(str(key.library))
    library.reinitialize()
    with library.get_token(token_label=key.token).open() as session:
        assert not list(session.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"end_days": -1}, r"est expiré depuis le \d\d/\d\d/\d{4}. À faire : renouvelez-le"),
        ({"start_days": 1}, "n'est pas encore valable. À faire : vérifiez la date"),
        ({"signing": False}, "porte pas de certificat de signature"),
    ],
)
def test_a_certificate_that_cannot_sign_asks_for_no_pin(
    issuer: Issuer, tokens: Tokens, change: dict[str, Any], words: str
) -> None:
    import datetime as dt

    now = dt.datetime.now(dt.UTC)
    options: dict[str, Any] = {"signing": change.get("signing", True)}
    if "end_days" in change:
        options |= {"start": now - dt.timedelta(days=9), "end": now - dt.timedelta(days=1)}
    if "start_days" in change:
        options |= {"start": now + dt.timedelta(days=1), "end": now + dt.timedelta(days=9)}
    key = tokens.make("gondecourt-maire", issuer.person(**options))

    def pin() -> str:
        raise AssertionError("the PIN was asked for")

    with pytest.raises(DocumentRefusedError, match=words), token.signer(key, pin):
        pass


def test_an_absent_token_and_an_absent_library_are_told(tokens: Tokens, tmp_path: Path) -> None:
    from apps.signature.tests.conftest import LIBRARY

    with pytest.raises(DocumentRefusedError, match=r"la clé « absente » n'est pas là. À faire : branchez-la"):
        token.read(token.TokenKey(LIBRARY, "absente"))
    with pytest.raises(DocumentRefusedError, match=r"ne répond pas. À faire : installez le logiciel du fabricant"):
        token.read(token.TokenKey(tmp_path / "rien.so", "absente"))
