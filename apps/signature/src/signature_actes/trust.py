"""Whose certificates count: roots, intermediates, revocation lists. Nothing is fetched from a network."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asn1crypto import crl, pem, x509
from pyhanko_certvalidator import CertificateValidator, ValidationContext
from pyhanko_certvalidator.errors import (
    ExpiredError,
    InsufficientRevinfoError,
    InvalidCertificateError,
    NotYetValidError,
    PathBuildingError,
    PathError,
    RevokedError,
    ValidationError,
)

from creatic_agent.reasons import reason

from .refusal import DocumentRefusedError


def _read_objects(path: Path, kind: str) -> list[bytes]:
    """What a PEM file holds of a kind, or a DER file whole."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DocumentRefusedError(f"{path} : fichier de confiance illisible ({reason(error)})") from None
    if not pem.detect(data):
        return [data]
    return [der for name, _headers, der in pem.unarmor(data, multiple=True) if name == kind]


def read_certificates(path: Path) -> list[x509.Certificate]:
    """The certificates of a PEM or DER file.

    Raises:
        Refusal: there is none.
    """
    try:
        found = [x509.Certificate.load(der, strict=True) for der in _read_objects(path, "CERTIFICATE")]
    except ValueError:
        found = []
    if not found:
        raise DocumentRefusedError(f"{path} : aucun certificat dans ce fichier")
    return found


def _format_day(moment: dt.datetime) -> str:
    return moment.astimezone().strftime("%d/%m/%Y")


def common_name(name: x509.Name) -> str:
    """CN of a subject or an issuer; what there is of it without one."""
    return str(name.native.get("common_name") or name.human_friendly)


@dataclass(frozen=True)
class Trust:
    """What a signer's certificate must come from.

    Attributes:
        roots: root certificates.
        others: certificates of intermediate authorities.
        crls: revocation lists, of every authority below the roots.
    """

    roots: Sequence[x509.Certificate]
    others: Sequence[x509.Certificate] = ()
    crls: Sequence[crl.CertificateList] = field(default=())

    @classmethod
    def read(cls, authorities: Iterable[Path], crls: Iterable[Path]) -> Trust:
        """Read PEM or DER files; self-signed certificates are roots.

        Raises:
            Refusal: a file is missing or holds something else.
        """
        known = [certificate for path in authorities for certificate in read_certificates(path)]
        lists = []
        for path in crls:
            try:
                lists += [crl.CertificateList.load(der, strict=True) for der in _read_objects(path, "X509 CRL")]
            except ValueError:
                raise DocumentRefusedError(f"{path} : ce n'est pas une liste de révocation") from None
        return cls(
            [one for one in known if one.self_signed != "no"],
            [one for one in known if one.self_signed == "no"],
            lists,
        )

    def context(self, moment: dt.datetime | None = None) -> ValidationContext:
        """pyHanko's view of it: revocation must be known, for every certificate, whatever they say of it."""
        return ValidationContext(
            trust_roots=list(self.roots),
            other_certs=list(self.others),
            crls=list(self.crls),
            revocation_mode="require",
            allow_fetching=False,
            moment=moment,
        )

    async def refusal(
        self, certificate: x509.Certificate, others: Iterable[x509.Certificate] = (), moment: dt.datetime | None = None
    ) -> str | None:
        """Why a certificate does not count, in French; nothing when it does.

        Args:
            others: certificates that came with the signature.
            moment: when it must have counted; now by default.
        """
        validator = CertificateValidator(certificate, list(others), validation_context=self.context(moment))
        holder = common_name(certificate.subject)
        try:
            await validator.async_validate_usage({"non_repudiation"})
        except RevokedError as error:
            return f"le certificat de {holder} est révoqué depuis le {_format_day(error.revocation_dt)}"
        except ExpiredError as error:
            return (
                f"le certificat de {holder}, ou d'une autorité au-dessus, est expiré depuis le "
                f"{_format_day(error.expired_dt)}"
            )
        except NotYetValidError as error:
            return f"le certificat de {holder} n'est valable qu'à partir du {_format_day(error.valid_from)}"
        except InsufficientRevinfoError:
            return (
                f"rien ne dit si le certificat de {holder} est révoqué : la liste de révocation de "
                f"« {common_name(certificate.issuer)} » ou de l'autorité au-dessus manque ou n'est plus à jour"
            )
        except InvalidCertificateError:
            return f"le certificat de {holder} n'est pas fait pour signer des documents (usage de la clé)"
        except (PathBuildingError, PathError):
            return (
                f"le certificat de {holder}, émis par « {common_name(certificate.issuer)} », ne vient pas d'une "
                "autorité admise"
            )
        except ValidationError as error:
            return f"le certificat de {holder} n'est pas valable ({_first_line(error)})"
        return None


def _first_line(error: Any) -> str:
    return str(error).partition("\n")[0]
