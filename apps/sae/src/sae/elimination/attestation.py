"""What is signed of an elimination: its documents, the archive's own certificates, and their verification (CMS).

The certificate of elimination holds both documents that agents signed: it is verified alone, from outside.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from creatic_agent import attestation
from sae import bordereau
from sae.elimination.ledger import Attested, Request
from sae.journal import canonical, timestamp
from sae.refusal import OperationRefusedError
from sae.signature import SignatureError, sign, verify

REQUEST, APPROVAL, CERTIFICATE = "demande d'élimination", "approbation d'élimination", "attestation d'élimination"
# What the certificate says of copies that nobody can take back.
COPIES = (
    "Les copies du serveur de sauvegarde, où rien ne s'efface avant son temps, disparaissent avec le trimestre qui les "
    "porte."
)
FOLLOWING = (
    "Celles du connecteur de la commune, de la passerelle, de la GED et du parapheur suivent : leur attestation "
    "(copies-….json) dit, acte par acte, ce qu'elles sont devenues, et ce qui reste."
)
# What nothing here deletes, said where the rest is said to be gone. An act is published for good unless a person of the
# commune withdraws it (CGCT, L2131-1; R2131-1: two months at least); registers are kept (R2121-9, R2122-7).
STAYING = (
    {
        "quoi": "site des délibérations : l'acte publié, s'il l'a été, et le dossier de la séance (projet, acte signé "
        "reçu pour sa publication, procès-verbal)",
        "pourquoi": "la loi veut la publicité des actes (CGCT, L2131-1) et la tenue de ce que le conseil a délibéré "
        "(R2121-9) ; la commune retire elle-même une publication, avec son motif",
    },
    {
        "quoi": "passerelle : le numéro, la date et l'objet au registre des arrêtés et des décisions",
        "pourquoi": "le registre se tient sans lacune (CGCT, R2122-7)",
    },
    {
        "quoi": "connecteur, passerelle et GED : les courriers de la préfecture à propos de l'acte, et leurs réponses",
        "pourquoi": "ils ne sont pas l'acte, et la commune les trie elle-même",
    },
    {
        "quoi": "ce que la préfecture, le comptable et le tiers de télétransmission ont reçu",
        "pourquoi": "cela leur appartient",
    },
)
OTHERS = "Le service versant supprime lui-même celles qu'il a gardées."
COPIES_CERTIFICATE = "attestation de suppression des copies"
ATTESTS = attestation.SIGNER


@dataclass(frozen=True)
class Proof:
    """What the archive's own certificates of elimination are made with: its signature, its timestamps."""

    certificate: Path
    stamper: timestamp.Stamper

    def attest(self, text: bytes, root: Path, crl: Path | None) -> Attested:
        """Sign and timestamp a certificate. Raises Refused: what is signed so would not be believed."""
        signature = self.sign(text, root, crl)
        return Attested(text, signature, self.stamper(signature))

    def sign(self, text: bytes, root: Path, crl: Path | None) -> bytes:
        """Sign as the archive. Raises Refused: what is signed so would not be believed."""
        signature = sign(text, self.certificate)
        try:
            _verify_signature(text, signature, root, crl)
        except (OperationRefusedError, SignatureError) as error:
            raise OperationRefusedError(
                f"{self.certificate} ne peut pas attester l'élimination : {error}. Relancez le déploiement de la "
                "porte des archives, puis « sae-elimination reprendre »"
            ) from error
        return signature


def word(
    siren: str, document: Mapping[str, Any], archive: Mapping[str, Any], when: str, digests: Collection[str]
) -> bytes:
    """What the archive signs of one archive that is gone: nobody deletes a copy without (creatic_agent.attestation).

    Args:
        siren: of the service versant.
        document: the request.
        archive: what the request says of it.
        when: it was eliminated.
        digests: SHA-256 of the files that it held.
    """
    name, visa = str(archive.get("identifiant", "")), str(document["visa"])
    told = attestation.fields(siren, str(archive["aip"]), str(document["demande"]), name, digests, when, visa)
    return canonical.encode(told).encode()


def approval(request: Request) -> bytes:
    """What the second agent signs: it names the request and the signature that it approves."""
    document = request.document
    return canonical.encode(
        {
            "document": APPROVAL,
            "format": 1,
            "demande": request.id,
            "compte": request.account,
            "visa": document["visa"],
            "archives": len(document["archives"]),
            "demandeur": request.requester,
            "demande_sha512": hashlib.sha512(request.text).hexdigest(),
            "signature_sha512": hashlib.sha512(request.signature).hexdigest(),
        }
        | bindings(document)
    ).encode()


def certificate(request: Request, gone: Mapping[str, tuple[str | None, int | None]], journal: str, told: bool) -> bytes:
    """The certificate of elimination; it holds both signed documents, so that it is verified alone.

    Args:
        gone: when each archive went, and its rank in the journal.
        journal: its identifier.
        told: a connector of the chain hears of it, and has copies follow.
    """
    document = request.document
    archives = [
        {**one, "eliminee_le": gone[one["aip"]][0], "journal": gone[one["aip"]][1]} for one in document["archives"]
    ]

    def signed(text: bytes | None, signature: bytes | None) -> dict[str, str]:
        encoded = base64.b64encode(signature or b"").decode()
        return {"texte": (text or b"").decode(), "signature": encoded}

    return canonical.encode(
        {
            "document": CERTIFICATE,
            "format": 1,
            "demande": request.id,
            "compte": request.account,
            "visa": document["visa"],
            "motif": document["motif"],
            "demandeur": request.requester,
            "approbateur": str(request.approver),
            "journal": journal,
            "archives": archives,
            "copies": f"{FOLLOWING if told else OTHERS} {COPIES}",
            **bindings(document),
            "demande_signee": signed(request.text, request.signature),
            "approbation_signee": signed(request.approval, request.approval_signature),
        }
    ).encode()


def copies_certificate(request: Request, told: Mapping[str, Any], journal: str) -> bytes:
    """The certificate of copies. Arguments: what was said of each archive's; the journal's identifier."""
    document = request.document
    return canonical.encode(
        {
            "document": COPIES_CERTIFICATE,
            "format": 1,
            "demande": request.id,
            "compte": request.account,
            "journal": journal,
            "archives": [{"aip": aip, **one} for aip, one in told.items()],
            "dit_par": "le connecteur de la commune",
            "copies": COPIES,
            "restent": list(STAYING),
        }
        | ({"liste": document["liste"]} if "liste" in document else {})
    ).encode()


def bindings(document: Mapping[str, Any]) -> dict[str, str]:
    """What a request is bound to; nothing for one of before the signed bordereaux."""
    names = ("liste", "signataire", "bordereau_signe_sha512", "visa_sha512")
    return {name: str(document[name]) for name in names if name in document}


def read(text: bytes, kind: str, form: int = 1) -> dict[str, Any]:
    """A document of this kind and format. Raises Refused."""
    try:
        document = json.loads(text)
        if document["document"] != kind or document["format"] != form:
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise OperationRefusedError(f"ce n'est pas une {kind}") from None
    found: dict[str, Any] = document
    return found


def _verify_signature(
    text: bytes, signature: bytes, root: Path, crl: Path | None = None, at: int | None = None
) -> None:
    """Check that the archive's own certificate signed: this name in the authority's organization, nothing more in it.

    Raises:
        Refused: another one did.
        SignatureError: the signature is not good.
    """
    signer = verify(text, signature, root, crl, at, purpose="smimesign")
    organization = re.sub(r"\ACN=(?:[^,+\\]|\\.)*,", "", signer.issuer)
    if signer.subject != f"CN={ATTESTS},{organization}":
        raise OperationRefusedError(f"« {signer.subject} » a signé, et non le certificat « {ATTESTS} » du groupement")


def verify_certificate(text: bytes, signature: bytes, token: bytes, root: Path, unit: str = "") -> dict[str, Any]:
    """Verify a certificate of elimination from outside: the archive's signature, its timestamp, those of both agents.

    The archive's is the one of its certificate of attestations; no other of the same authority attests.

    Certificates are judged at the time of the timestamp; revocation is not looked up.

    Raises:
        Refused: with what is wrong.
    """
    document = _verify_timestamp(text, CERTIFICATE, signature, token, root, unit)
    try:
        signers = []
        for name in ("demande_signee", "approbation_signee"):
            part = document[name]
            signers.append(
                verify(part["texte"].encode(), base64.b64decode(part["signature"]), root, at=document["horodatage"])
            )
        approval = json.loads(document["approbation_signee"]["texte"])
        asked = json.loads(document["demande_signee"]["texte"])
    except SignatureError as error:
        raise OperationRefusedError(str(error)) from error
    except (KeyError, TypeError, ValueError) as error:
        raise OperationRefusedError(f"l'attestation est abîmée ({error})") from error
    if signers[0].key == signers[1].key or signers[0].subject == signers[1].subject:
        raise OperationRefusedError("une seule personne a signé la demande et l'approbation")
    if approval["demande_sha512"] != hashlib.sha512(document["demande_signee"]["texte"].encode()).hexdigest():
        raise OperationRefusedError("l'approbation n'est pas celle de cette demande")
    if [one["aip"] for one in asked["archives"]] != [one["aip"] for one in document["archives"]]:
        raise OperationRefusedError("les archives éliminées ne sont pas celles de la demande")
    if bindings(document) != bindings(asked):
        raise OperationRefusedError("le bordereau ou le visa de l'attestation n'est pas celui de la demande")
    if "liste" in asked and bordereau.mark(asked["compte"], asked["archives"]) != asked["liste"]:
        raise OperationRefusedError("la liste signée par la commune n'est pas celle de la demande")
    return {**document, "signataires": [signer.subject for signer in signers]}


def verify_copies(text: bytes, signature: bytes, token: bytes, root: Path, unit: str = "") -> dict[str, Any]:
    """Verify a certificate of copies from outside: the archive's signature, its timestamp.

    Raises:
        Refused: with what is wrong.
    """
    return _verify_timestamp(text, COPIES_CERTIFICATE, signature, token, root, unit)


def _verify_timestamp(text: bytes, kind: str, signature: bytes, token: bytes, root: Path, unit: str) -> dict[str, Any]:
    """What the archive attested, and when (`horodatage`, seconds since the epoch). Raises Refused."""
    document = read(text, kind)
    try:
        at = int(timestamp.verify(token, signature, root, unit=unit).timestamp())
        _verify_signature(text, signature, root, at=at)
    except (timestamp.TimestampError, SignatureError) as error:
        raise OperationRefusedError(str(error)) from error
    return {**document, "horodatage": at}
