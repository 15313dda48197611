# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Who is at the other end: the client certificate that nginx verified, as one typed identity.

Each door has a table of rights by kind and SIREN. A name is what people read, and what tells two of a kind apart; it
gives nothing by itself, and a kind is never what another is not: who is not recognised is nobody, and opens nothing.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import Enum
from urllib.parse import unquote

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from creatic_agent.errors import CreaticError

HEADER = "X-SSL-Client-Cert"
"""Set by nginx to $ssl_client_escaped_cert; nginx drops the client's own."""
# RGS: the organisational unit holds the ICD 0002 (SIRENE) and the SIREN or SIRET of the organisation.
# ETSI EN 319 412-1: organizationIdentifier holds NTRFR- and the SIREN.
_UNIT = re.compile(r"0002[ -]?([0-9]{9})([0-9]{5})?")
_NTR = re.compile(r"NTRFR-([0-9]{9})")

RESERVED = (
    "Connecteur", "Attestations", "Sceau", "Cachet du", "Passerelle", "Parapheur", "Horodatage", "Preuves de",
    "Machine - ", "AC ",
)  # fmt: skip # a list of words
"""How the names of servers and machines begin: no person bears them. The authority (`pki.common`) has the same."""
SERVICES = frozenset({
    "Attestations des archives", "Cachet du parapheur", "Horodatage des archives", "Horodatage du groupement",
    "Horodatage du parapheur", "Passerelle des archives", "Preuves de déploiement",
})  # fmt: skip # a list of names
"""The groupement's own services, as their roles name them."""
_CONNECTOR = re.compile(r"Connecteur - \S(.*\S)?")
_MACHINE = re.compile(r"Machine - [a-z0-9][a-z0-9_-]*( [0-9a-f]{8})?")
_HOST = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LONGEST = 64  # X.520
_SHORT = 4  # letters of a word that two initials may write, and that has no plural here
# Letters of Latin alphabets that are no ASCII letter with a mark, and signs: what a name of here is written with.
_OTHERS = {"æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "ħ": "h", "ı": "i", "ł": "l", "þ": "th", "ŧ": "t"}
_OTHERS |= {"ß": "ss", "ŋ": "n", "ĸ": "k"} | dict.fromkeys("’‘ʼ“”„‹›«»°·•→÷±⁄′″\u201a\u201b\u201f", " ")
# Every dash that is typed, pasted from Word or counted with.
_OTHERS |= dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212", " ")
_OTHERS |= {"€": "e", "§": "s", "©": "c", "®": "r", "×": "x", "†": "t", "‡": "t"}  # a letter, for the eye
_SPACES = dict.fromkeys(map(ord, "\u00a0\u202f"), " ")  # as French puts before « and »
_ALIKE = {"0": "o", "1": "l", "i": "l", "|": "l"}


class Denied(CreaticError, cause="identite"):
    """The certificate opens nothing. Its text is French."""


class Kind(Enum):
    """What a certificate's holder is."""

    PERSON = "personne"
    CONNECTOR = "connecteur"
    MACHINE = "machine"
    """A machine that gets its publications at the guichet (fleet): somebody there alone."""
    HOST = "hôte"
    """A machine under its DNS name, without SIREN: it sends its journals, and reads figures."""
    SERVICE = "service"
    NOBODY = "personne de connu"


@dataclass(frozen=True)
class Identity:
    """Who it is. `siren` is empty for a host; both are for nobody, so that nothing can be read of them."""

    kind: Kind
    siren: str
    name: str


NOBODY = Identity(Kind.NOBODY, "", "")
_UNREADABLE = (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
_SHOWN = {
    Kind.MACHINE: "de machine, qui n'a affaire qu'au guichet,",
    Kind.HOST: "de machine, qui n'a affaire qu'à la supervision,",
    Kind.SERVICE: "d'un service du groupement, qui n'a affaire qu'aux machines dont il se sert,",
    Kind.NOBODY: "au nom que personne ne porte (il en faut un seul, lisible, qui ne ressemble à celui d'aucun service)",
}


def certificate_of(header: str) -> x509.Certificate:
    """The certificate of a request, from nginx's header. Raises Denied."""
    try:
        return x509.load_pem_x509_certificate(unquote(header).encode("ascii"))
    except (ValueError, x509.InvalidVersion) as error:
        raise Denied("Aucun certificat client n'a été présenté.") from error


def identity_of(certificate: x509.Certificate) -> Identity:
    """Who calls with a certificate; nobody with an authority's, or one that is not for calling (server, signature…)."""
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        return holder_of(certificate) if ExtendedKeyUsageOID.CLIENT_AUTH in usages else NOBODY
    except x509.ExtensionNotFound:  # of any usage
        who = holder_of(certificate)
        return who if who.kind is not Kind.HOST else NOBODY
    except _UNREADABLE:
        return NOBODY


def holder_of(certificate: x509.Certificate) -> Identity:
    """Whose certificate it is, whatever its usage: of a signature, who signed. Nobody's when it is an authority's."""
    try:
        return _read(certificate)
    except _UNREADABLE:
        return NOBODY


def shown(certificate: x509.Certificate) -> str:
    """What a certificate is, for a refusal, after « Ce certificat » (French): nothing that its holder chose."""
    who = identity_of(certificate)
    if who.kind in _SHOWN and (who.kind is not Kind.NOBODY or _siren(certificate)):
        return _SHOWN[who.kind]
    return f"au SIREN {who.siren}" if who.siren else "qui ne porte pas de SIREN (OU « 0002 … »)"


def _siren(certificate: x509.Certificate) -> str | None:
    try:
        return siren_of(certificate)
    except ValueError:
        return None


def _read(certificate: x509.Certificate) -> Identity:
    extensions = {type(one.value): one.value for one in certificate.extensions}
    basic, names = extensions.get(x509.BasicConstraints), names_of(certificate)
    if len(names) != 1 or (isinstance(basic, x509.BasicConstraints) and basic.ca):
        return NOBODY
    told = extensions.get(x509.SubjectAlternativeName)
    hosts = told.get_values_for_type(x509.DNSName) if isinstance(told, x509.SubjectAlternativeName) else []
    if hosts:
        units = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
        plain = len(hosts) == 1 and not units and siren_of(certificate) is None and _HOST.fullmatch(hosts[0])
        return Identity(Kind.HOST, "", hosts[0]) if plain else NOBODY
    siren = siren_of(certificate)
    return Identity(kind, siren, names[0]) if siren and (kind := kind_of(names[0])) is not Kind.NOBODY else NOBODY


def kind_of(name: str) -> Kind:
    """What bears a name (CN), of those that have a SIREN.

    The groupement's connectors, machines and services are known to the letter. What only looks like one of them
    (case, spaces, accents, another alphabet's letters, a zero for an O) is nobody, as is a name that cannot be read as
    it is written (control and bidirectional characters).
    """
    if name in SERVICES:
        return Kind.SERVICE
    if not 0 < len(name) <= _LONGEST or not name.translate(_SPACES).isprintable() or name != name.strip():
        return Kind.NOBODY
    if _MACHINE.fullmatch(name):
        return Kind.MACHINE
    if _CONNECTOR.fullmatch(name):
        return Kind.CONNECTOR
    read = _skeleton(name)
    unfit = read is None or _looks_reserved(read) or not any(map(str.isalpha, name))
    return Kind.NOBODY if unfit else Kind.PERSON


def _skeleton(name: str) -> str | None:
    """A name as the eye reads it: words of plain letters and digits; None when it has others than a name of here."""
    bare = "".join(one for one in unicodedata.normalize("NFKD", name).casefold() if not unicodedata.combining(one))
    if any(not one.isascii() and one not in _OTHERS for one in bare):
        return None
    plain = "".join(_OTHERS.get(one, _ALIKE.get(one, one)) for one in bare).replace("rn", "m").replace("vv", "w")
    return " ".join(re.findall("[a-z0-9]+", plain))


def _looks_reserved(read: str) -> bool:
    return any(word.match(read) for word in _WORDS)


def _word(name: str) -> re.Pattern[str]:
    """What reads as a reserved name: whole, whatever spaces are in it, in the plural too.

    A person may be called Sceaux, or Machinet.
    """
    letters = (_skeleton(name) or "").replace(" ", "")
    return re.compile((" ?".join(letters) + "s?" if len(letters) > _SHORT else letters) + "(?= |$)")


_WORDS = tuple(_word(name) for name in RESERVED)


def siren_of(certificate: x509.Certificate) -> str | None:
    """The SIREN that a certificate's subject bears; None when it bears none, or several."""
    found: set[str] = set()
    for oid, pattern in ((NameOID.ORGANIZATIONAL_UNIT_NAME, _UNIT), (NameOID.ORGANIZATION_IDENTIFIER, _NTR)):
        for attribute in certificate.subject.get_attributes_for_oid(oid):
            match = pattern.fullmatch(str(attribute.value))
            if match:
                found.add(match[1])
    return found.pop() if len(found) == 1 else None


def names_of(certificate: x509.Certificate) -> list[str]:
    """The common names (CN) of a certificate's subject."""
    return [str(one.value) for one in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
