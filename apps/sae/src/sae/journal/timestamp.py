"""RFC 3161 timestamps with openssl alone: asked for, made by the archive's own unit, read and verified."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from sae import openssl

# Policy of the groupement's own timestamping unit (collection's evidence_seal.py).
POLICY = "1.3.6.1.4.1.59999.59.2.1"
OWN = "Horodatage des archives"
"""Common name of the archives' own unit (role archive_gateway); no other unit of the authority dates what is theirs."""
# Its organization is the authority's; versions before 1.0.0 wrote this one by default.
_FORMER_ORGANIZATION = "O=Groupement Cre@tic,C=FR"
_SEQUENCE, _OCTETS, _TIME, _INTEGER, _OID, _EXPLICIT = 0x30, 0x04, 0x18, 0x02, 0x06, 0xA0

Stamper = Callable[[bytes], bytes]
"""Gives the TimeStampResp (DER) over the SHA-512 of some bytes; raises TimestampError."""


class TimestampError(Exception):
    """No timestamp, or not a good one; the message is French."""


@dataclass(frozen=True)
class Stamp:
    """What a token says, before its signature is checked: the digest it covers (SHA-512), and when."""

    imprint: bytes
    at: datetime


def _run_openssl(*arguments: str | Path) -> None:
    done = openssl.run(*arguments)
    if done.returncode:
        raise TimestampError(" ; ".join(done.stderr.split("\n")).strip(" ;") or "openssl n'a pas dit pourquoi")


def _make_query(data: bytes, scratch: Path) -> Path:
    (scratch / "data").write_bytes(data)
    query = scratch / "query.tsq"
    _run_openssl("ts", "-query", "-data", scratch / "data", "-sha512", "-cert", "-out", query)
    return query


def local_unit(folder: Path) -> Stamper:
    """The archive's own timestamping unit.

    Args:
        folder: its certificate of profile C(tsa), as role pki_client lays it out (key.pem, cert.pem, chain.pem).
    """

    def stamp(data: bytes) -> bytes:
        if problem := openssl.signing_refusal_reason(folder):
            raise TimestampError(problem)
        with tempfile.TemporaryDirectory() as name:
            scratch = Path(name)
            (scratch / "serial").write_text(f"{secrets.randbits(120) | 1 << 120:032X}\n", encoding="ascii")
            (scratch / "tsa.cnf").write_text(
                f"[tsa]\ndefault_tsa = unit\n[unit]\nserial = {scratch / 'serial'}\ncrypto_device = builtin\n"
                f"signer_digest = sha256\ndefault_policy = {POLICY}\ndigests = sha512\n"
                "accuracy = secs:1\nordering = no\ntsa_name = no\n"
                "ess_cert_id_chain = no\ness_cert_id_alg = sha256\n",
                encoding="utf-8",
            )
            signer = ("-signer", folder / "cert.pem", "-inkey", folder / "key.pem", "-chain", folder / "chain.pem")
            query, answer = _make_query(data, scratch), scratch / "answer.tsr"
            _run_openssl("ts", "-reply", "-config", scratch / "tsa.cnf", "-queryfile", query, *signer, "-out", answer)
            return answer.read_bytes()

    return stamp


def remote_unit(url: str, login: str = "", password: str = "", ca_file: Path | None = None) -> Stamper:
    """A timestamping authority reached by HTTP (RFC 3161 section 3.4), a qualified one in production."""

    def stamp(data: bytes) -> bytes:
        import requests  # only here: verifying asks for nothing but Python and openssl

        with tempfile.TemporaryDirectory() as name:
            query = _make_query(data, Path(name)).read_bytes()
        try:
            answer = requests.post(
                url,
                data=query,
                headers={"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"},
                auth=(login, password) if login else None,
                verify=str(ca_file) if ca_file else True,
                timeout=(10, 60),
            )
        except requests.RequestException as error:
            raise TimestampError(f"l'autorité d'horodatage {url} ne répond pas : {type(error).__name__}") from error
        if answer.status_code != 200:
            raise TimestampError(f"l'autorité d'horodatage {url} a répondu HTTP {answer.status_code}")
        return answer.content

    return stamp


def read(token: bytes) -> Stamp:
    """Digest and time of a TimeStampResp (DER); its signature is not checked here.

    Raises:
        TimestampError: this is no granted response with a SHA-512 imprint.
    """
    try:
        status, signed = _der_children(_only_child(token))
        if int.from_bytes(_der_children(status[1])[0][1], "big") not in (0, 1):
            raise TimestampError("l'autorité d'horodatage a refusé la demande")
        content = _der_children(_der_children(signed[1])[1][1])[0][1]  # SignedData
        encapsulated = next(item for tag, item in _der_children(content) if tag == _SEQUENCE)
        octets = _only_child(_der_children(encapsulated)[1][1], _OCTETS)
        fields = _der_children(_only_child(octets))  # TSTInfo: version, policy, messageImprint, serialNumber, genTime
        imprint = _der_children(fields[2][1])[1][1]
        when = fields[4][1].decode("ascii").removesuffix("Z").partition(".")[0]
        at = datetime.strptime(when, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except (IndexError, StopIteration, UnicodeDecodeError, ValueError) as error:
        raise TimestampError("ce n'est pas une réponse d'horodatage RFC 3161") from error
    if len(imprint) != 64:
        raise TimestampError("l'horodatage ne porte pas sur une empreinte SHA-512")
    return Stamp(imprint, at)


def _der_children(body: bytes) -> list[tuple[int, bytes]]:
    """Tags and contents of the DER elements that follow each other in these bytes."""
    found, at = [], 0
    while at < len(body):
        tag, length, at = body[at], body[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(body[at : at + size], "big"), at + size
        if at + length > len(body):
            raise IndexError
        found.append((tag, body[at : at + length]))
        at += length
    return found


def _only_child(body: bytes, tag: int = _SEQUENCE) -> bytes:
    if (found := _der_children(body)[0])[0] != tag:
        raise ValueError(f"tag {found[0]:#x}")
    return found[1]


def verify(token: bytes, data: bytes, root: Path, untrusted: Path | None = None, unit: str = "") -> datetime:
    """Check that the archives' own unit, or the one that is named, timestamped these bytes; gives when.

    Args:
        token: TimeStampResp, DER.
        root: PEM of the authorities that the verifier trusts.
        untrusted: PEM of intermediate authorities, when the token does not carry them.
        unit: subject of an outside authority's unit (RFC 4514), or its end (O=…,C=FR): such an authority has several,
            one after the other.

    Raises:
        TimestampError: with the reason.
    """
    stamp = read(token)
    if stamp.imprint != hashlib.sha512(data).digest():
        raise TimestampError("l'horodatage porte sur autre chose : ce qui est horodaté a été modifié")
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "token.tsr")
        path.write_bytes(token)
        trust: list[str | Path] = ["-CAfile", root]
        if untrusted:
            trust += ["-untrusted", untrusted]
        at = ("-attime", str(int(stamp.at.timestamp())))
        try:
            _run_openssl("ts", "-verify", "-digest", stamp.imprint.hex(), "-in", path, *trust, *at)
            signer = _signer_certificate(path, trust, at)
        except TimestampError as error:
            raise TimestampError(f"l'horodatage n'est pas valable : {_failure_reason(str(error))}") from None
    _check_unit(signer, unit)
    return stamp.at


def _signer_certificate(path: Path, trust: Sequence[str | Path], at: Sequence[str]) -> str:
    """The certificate (PEM) that dated, judged again with its signature: openssl-ts(1) does not tell it."""
    signed, signer = path.with_name("token.p7s"), path.with_name("unit.pem")
    _run_openssl("ts", "-reply", "-in", path, "-token_out", "-out", signed)
    _run_openssl(
        *("cms", "-verify", "-inform", "DER", "-in", signed, "-out", os.devnull, "-signer", signer),
        *("-no-CApath", "-no-CAstore", *("-certfile" if one == "-untrusted" else one for one in trust), *at),
        *("-purpose", "timestampsign"),
    )
    return signer.read_text(encoding="ascii")


@lru_cache(64)
def _certificate_names(certificate: str) -> tuple[str, str]:
    """Subject and issuer (RFC 4514, UTF-8) of a certificate (PEM)."""
    with tempfile.NamedTemporaryFile("w", encoding="ascii") as file:
        file.write(certificate)
        file.flush()
        names = ("-noout", "-subject", "-issuer", "-nameopt", "RFC2253,utf8,-esc_msb")
        told = dict(line.split("=", 1) for line in openssl.run("x509", "-in", file.name, *names).stdout.splitlines())
    return told["subject"], told["issuer"]


def _check_unit(certificate: str, unit: str) -> None:
    subject, issuer = _certificate_names(certificate)
    organization = re.sub(r"\ACN=(?:[^,+\\]|\\.)*,", "", issuer)
    if subject in (f"CN={OWN},{organization}", f"CN={OWN},{_FORMER_ORGANIZATION}"):
        return
    if unit and re.search(rf"(?:\A|(?<!\\),){re.escape(unit)}\Z", subject):
        return
    wanted = unit or f"CN={OWN},{organization}"
    raise TimestampError(f"l'horodatage vient de « {subject} », et non de « {wanted} »")


def _failure_reason(text: str) -> str:
    known = {
        "expired": "le certificat de l'autorité était expiré",
        "not yet valid": "le certificat de l'autorité n'était pas encore valable",
        "certificate": "il ne vient pas d'une autorité de confiance",
        "issuer": "il ne vient pas d'une autorité de confiance",
        "signature": "sa signature est fausse",
        "digest": "sa signature est fausse",
        "asn1": "il est abîmé",
    }
    return next((french for word, french in known.items() if word in text.lower()), text)
