# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Seal of a folder of evidence: SHA-256 digests, their CMS signature, its RFC 3161 timestamp.

Only formats that ``sha256sum`` and ``openssl`` read: an auditor needs nothing of ours (docs/preuves.md).
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError

DIGESTS = "empreintes.sha256"
SIGNATURE = "signature.p7s"
TIMESTAMP = "horodatage.tsr"
ROOT = "racine.pem"
CHAIN = "chaine.pem"
SEVERAL = "several signers"
SEAL_FILES = (DIGESTS, SIGNATURE, TIMESTAMP)
SIGNER, UNIT = "Preuves de déploiement", "Horodatage du groupement"
"""Common names of the two certificates that seal (playbooks/journeys/tasks/seal.yml): no other signs, none dates."""
WHO = f"""\
openssl cms -verify -binary -inform DER -in {SIGNATURE} -content {DIGESTS} \\
    -no-CApath -no-CAstore -CAfile {ROOT} -signer /dev/stdout -out /dev/null |
    openssl x509 -noout -subject -issuer -nameopt RFC2253,utf8,-esc_msb
openssl ts -reply -in {TIMESTAMP} -token_out |
    openssl cms -verify -inform DER -no-CApath -no-CAstore -CAfile {ROOT} -certfile {CHAIN} \\
    -purpose timestampsign -signer /dev/stdout -out /dev/null |
    openssl x509 -noout -subject -issuer -nameopt RFC2253,utf8,-esc_msb"""
"""Commands by which a stranger sees who signed, and who dated; docs/preuves.md has them too."""

# Policy of the groupement's own timestamping unit (same private arc as the lab's certificate policies).
_TSA_POLICY = "1.3.6.1.4.1.59999.59.2.1"
# The organization is the authority's own; versions before 1.0.0 wrote this one, whatever the authority's.
_FORMER_ORGANIZATION = "O=Groupement Cre@tic,C=FR"
_SEAL_NAME_OPTIONS = ("-noout", "-subject", "-issuer", "-nameopt", "RFC2253,utf8,-esc_msb")
_DIGEST_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")


class SealError(CreaticError, cause="sceau"):
    """The seal could not be made; the message is French and says what to do."""


@dataclass(frozen=True)
class Credential:
    """A certificate and its private key, both PEM files of the control node."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class SealKeys:
    """What it takes to seal.

    Attributes:
        signature: certificate of profile ``signature``.
        tsa: certificate of profile ``tsa`` (critical extended usage timeStamping).
        chain: PEM of the issuing CA(s), root left out.
        root: PEM of the root CA.
    """

    signature: Credential
    tsa: Credential
    chain: Path
    root: Path


@dataclass
class Verification:
    """Result of the check of one run: what is wrong by file, and what the seal says.

    Attributes:
        faults: pairs (file, French reason); empty when everything is intact.
        signer: subject of the signing certificate, when the signature is good and the evidence's own.
        sealed_at: time certified by the timestamp, when it is good and the groupement's own.
    """

    faults: list[tuple[str, str]] = field(default_factory=list)
    signer: str | None = None
    sealed_at: datetime | None = None

    @property
    def intact(self) -> bool:
        """True when nothing was changed, added or lost since the seal."""
        return not self.faults


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def files_of(folder: Path) -> list[str]:
    """Relative names of everything in the folder but the seal, sorted; a symbolic link counts as a file."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if (path.is_symlink() or not path.is_dir()) and str(path.relative_to(folder)) not in SEAL_FILES
    )


def openssl(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run openssl, whose words and dates are the same whoever runs it."""
    return subprocess.run(
        ["openssl", *map(str, arguments)],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env=os.environ | {"LC_ALL": "C", "TZ": "UTC"},
    )


def signed_by(
    signature: Path,
    content: Path | None,
    trusted: Path,
    signer: Path,
    *options: str | Path,
    form: str = "DER",
    purpose: str = "any",
) -> str:
    """Check a CMS signature by one person, whose certificate is judged by what we hold and nothing else.

    openssl-cms(1) takes the revocation lists that a signature carries before ours, and the machine's own authorities
    beside ours: hence the certificate is judged apart. Those that come with it are but links to the trusted ones.

    Args:
        content: what is signed; none when the signature holds it.
        trusted: PEM of the authorities, and of their revocation lists when `options` ask for them.
        signer: where the certificate is written (PEM).
        options: of openssl-verify(1).
        form: DER or PEM.
        purpose: what the certificate must be for, as openssl-verification-options(1) names it.

    Returns:
        What openssl says against it; nothing when it is good.
    """
    with tempfile.TemporaryDirectory() as scratch:
        others = Path(scratch, "joints.pem")
        done = openssl(
            *("cms", "-verify", "-noverify", "-binary", "-inform", form, "-in", signature),
            *(("-content", content) if content else ()),
            *("-certsout", others, "-signer", signer, "-out", os.devnull),
        )
        if done.returncode:
            return done.stderr or "asn1"
        if signer.read_text(encoding="ascii").count("-----BEGIN CERTIFICATE-----") != 1:
            return SEVERAL
        trust = ("-no-CApath", "-no-CAstore", "-CAfile", trusted, "-untrusted", others, "-purpose", purpose)
        done = openssl("verify", *trust, *options, signer)
        # openssl-verify(1) goes on after some errors: whatever it says on the way counts.
        return (done.stderr or "asn1") if done.returncode or "depth lookup" in done.stderr else ""


def _wrong_issuer_reason(signer: Path, name: str) -> str:
    """Say (French) who made it and who should have, when a certificate is not the groupement's of this name."""
    told = dict(line.split("=", 1) for line in openssl("x509", "-in", signer, *_SEAL_NAME_OPTIONS).stdout.splitlines())
    organization = re.sub(r"\ACN=(?:[^,+\\]|\\.)*,", "", told["issuer"])
    if told["subject"] in (f"CN={name},{organization}", f"CN={name},{_FORMER_ORGANIZATION}"):
        return ""
    return f"vient de « {told['subject']} », et non de « CN={name},{organization} »"


def _require_openssl(what: str, *arguments: str | Path) -> None:
    done = openssl(*arguments)
    if done.returncode:
        reason = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "sans message")
        raise SealError(f"{what} a échoué (openssl {arguments[0]}) : {reason}")


def seal(folder: Path, keys: SealKeys) -> None:
    """Write the certificates, the digests, the signature and the timestamp into the folder.

    Raises:
        SealError: a key or a certificate is missing or refused by openssl. The digests are then there,
            without a signature.
    """
    for name, source in ((ROOT, keys.root), (CHAIN, keys.chain)):
        if source.is_file():
            shutil.copyfile(source, folder / name)
    (folder / DIGESTS).write_text(
        "".join(f"{sha256(folder / name)}  {name}\n" for name in files_of(folder)), encoding="utf-8"
    )
    credentials = [path for one in (keys.signature, keys.tsa) for path in (one.certificate, one.key)]
    if not keys.root.is_file():
        raise SealError(
            f"l'autorité du groupement n'existe pas encore ({keys.root} est introuvable). "
            "À faire : fab pki.creer, puis relancez"
        )
    for path in (keys.chain, *credentials):
        if not path.is_file():
            raise SealError(
                f"le certificat qui signe les preuves n'est pas encore fait ({path} est introuvable). "
                "À faire : fab serveurs ou fab audit, qui le font, puis relancez"
            )
    _require_openssl(
        "La signature",
        *("cms", "-sign", "-binary", "-cades", "-md", "sha256", "-outform", "DER"),
        *("-signer", keys.signature.certificate, "-inkey", keys.signature.key, "-certfile", keys.chain),
        *("-in", folder / DIGESTS, "-out", folder / SIGNATURE),
    )
    with tempfile.TemporaryDirectory() as scratch:
        query, config = Path(scratch, "query.tsq"), Path(scratch, "tsa.cnf")
        serial = Path(scratch, "serial")
        serial.write_text(f"{secrets.randbits(120) | 1 << 120:032X}\n", encoding="ascii")
        config.write_text(
            f"[tsa]\ndefault_tsa = unit\n[unit]\nserial = {serial}\ncrypto_device = builtin\n"
            f"signer_digest = sha256\ndefault_policy = {_TSA_POLICY}\ndigests = sha256\n"
            "accuracy = secs:1\nordering = no\ntsa_name = no\n"
            "ess_cert_id_chain = no\ness_cert_id_alg = sha256\n",
            encoding="utf-8",
        )
        request = ("-data", folder / SIGNATURE, "-sha256", "-cert", "-out", query)
        _require_openssl("La demande d'horodatage", "ts", "-query", *request)
        signer = ("-signer", keys.tsa.certificate, "-inkey", keys.tsa.key)
        answer = ("-queryfile", query, "-out", folder / TIMESTAMP)
        _require_openssl("L'horodatage", "ts", "-reply", "-config", config, *signer, *answer)


def verify(folder: Path, root: Path) -> Verification:
    """Check one sealed folder against a trusted root certificate.

    Args:
        folder: a run of the evidence folder.
        root: PEM of the root CA, taken from a trusted place (never from the folder itself).
    """
    result = Verification()
    missing = [name for name in SEAL_FILES if not (folder / name).is_file()]
    result.faults += [(name, "absent : ce passage n'est pas scellé") for name in missing]
    if DIGESTS in missing:
        return result
    if not missing:
        _verify_timestamp(folder, root, result)
        if SIGNATURE not in dict(result.faults):
            _verify_signature(folder, root, result)
    _verify_digests(folder, result)
    return result


def _verify_digests(folder: Path, result: Verification) -> None:
    expected: dict[str, str] = {}
    for line in (folder / DIGESTS).read_text(encoding="utf-8", errors="replace").splitlines():
        if match := _DIGEST_LINE.fullmatch(line):
            expected[match[2]] = match[1]
        else:
            result.faults.append((DIGESTS, f"ligne illisible : {line[:80]!r}"))
    present = set(files_of(folder))
    for name in sorted(expected.keys() | present):
        if name not in present:
            result.faults.append((name, "absent : le fichier a été supprimé ou renommé"))
        elif name not in expected:
            result.faults.append((name, "inconnu : le fichier a été ajouté après le scellement"))
        elif (folder / name).is_symlink() or sha256(folder / name) != expected[name]:
            result.faults.append((name, "modifié : son empreinte SHA-256 n'est plus celle qui a été signée"))


def _verify_timestamp(folder: Path, root: Path, result: Verification) -> None:
    """Check the timestamp by itself first: a changed signature must not pass for a changed timestamp."""
    token = folder / TIMESTAMP
    with tempfile.TemporaryDirectory() as scratch:
        # What is signed alone is read: around it, an answer has a status in words, which anybody may write.
        signed = Path(scratch, "jeton.p7s")
        openssl("ts", "-reply", "-in", token, "-token_out", "-out", signed)
        text = openssl("ts", "-reply", "-in", signed, "-token_in", "-text").stdout
    # openssl prints the imprint as a hex dump: "0000 - aa bb …-cc …   <ascii>"
    rows = re.findall(r"^    [0-9a-f]{4} - ((?:[0-9a-f]{2}[ -]){16})", text, flags=re.M)
    imprint = "".join(rows).replace(" ", "").replace("-", "")
    stamp = re.search(r"^Time stamp: (.+) GMT$", text, flags=re.M)
    if not stamp or len(imprint) != 64:
        result.faults.append((TIMESTAMP, "illisible : ce n'est plus une réponse d'horodatage RFC 3161"))
        return
    when = datetime.strptime(stamp[1].split(".")[0], "%b %d %H:%M:%S %Y").replace(tzinfo=UTC)
    trust = ("-CAfile", root, "-untrusted", folder / CHAIN, "-attime", str(int(when.timestamp())))
    done = openssl("ts", "-verify", "-digest", imprint, "-in", token, *trust)
    if done.returncode:
        result.faults.append((TIMESTAMP, f"l'horodatage n'est pas valable : {_openssl_reason(done.stderr)}"))
    elif wrong := _dated_by(token, root, *trust[2:]):
        result.faults.append((TIMESTAMP, wrong))
    elif imprint != sha256(folder / SIGNATURE):
        result.faults.append((SIGNATURE, "modifié : ce n'est plus la signature qui a été horodatée"))
    else:
        result.sealed_at = when


def _dated_by(token: Path, root: Path, *options: str | Path) -> str:
    """Say (French) what is wrong with the unit that dated, of which openssl-ts(1) asks no name; nothing when good.

    Args:
        options: of openssl-verify(1).
    """
    with tempfile.TemporaryDirectory() as scratch:
        signed, signer = Path(scratch, "jeton.p7s"), Path(scratch, "unite.pem")
        openssl("ts", "-reply", "-in", token, "-token_out", "-out", signed)
        told = signed_by(signed, None, root, signer, *options, purpose="timestampsign")
        return (
            f"l'horodatage n'est pas valable : {_openssl_reason(told)}" if told else _wrong_issuer_reason(signer, UNIT)
        )


def _verify_signature(folder: Path, root: Path, result: Verification) -> None:
    at = result.sealed_at or datetime.now(UTC)
    with tempfile.TemporaryDirectory() as scratch:
        signer = Path(scratch, "signer.pem")
        at_time = ("-attime", str(int(at.timestamp())))
        told = signed_by(folder / SIGNATURE, folder / DIGESTS, root, signer, *at_time, purpose="smimesign")
        if not told and (wrong := _wrong_issuer_reason(signer, SIGNER)):
            result.faults.append((SIGNATURE, wrong))
            return
        if not told:
            names = ("-nameopt", "utf8,sep_comma_plus_space")
            subject = openssl("x509", "-in", signer, "-noout", "-subject", *names)
            result.signer = subject.stdout.strip().removeprefix("subject=")
            return
    # A timestamp that covers the signature as it is leaves only the digests to be the changed part.
    suspect = DIGESTS if result.sealed_at else SIGNATURE
    result.faults.append((suspect, f"la signature ne correspond pas : {_openssl_reason(told)}"))


def _openssl_reason(stderr: str) -> str:
    """The most telling words of openssl's error output, in French for the usual cases."""
    known = {
        SEVERAL: "plusieurs l'ont faite",
        "self-signed certificate": "le certificat ne vient pas de l'autorité du groupement",
        "unable to get local issuer": "le certificat ne vient pas de l'autorité du groupement",
        "unable to get issuer": "le certificat ne vient pas de l'autorité du groupement",
        "certificate signature failure": "le certificat ne vient pas de l'autorité du groupement",
        "certificate purpose": "le certificat n'est pas fait pour cela",
        "certificate has expired": "le certificat était expiré",
        "not yet valid": "le certificat n'était pas encore valable",
        "verification failure": "le contenu a été modifié",
        "digest failure": "le contenu a été modifié",
        "signature failure": "le contenu a été modifié",
        "bad signature": "le contenu a été modifié",
        "asn1": "le fichier est abîmé",
    }
    lowered = stderr.lower()
    return next((french for words, french in known.items() if words in lowered), "le contenu a été modifié")
