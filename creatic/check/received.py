# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""A folder of providers' .p12 files, as they came: each goes where a commune's file asks for it.

A certificate's subject says whose it is (`pkcs12_file.sirens`); the name of its file says nothing, unless it is the one
that a commune's file gives. Its password is beside it, in a file of the same name (``recu.p12`` and ``recu.p12.pass``,
``recu.pass``, ``recu.mdp`` or ``recu.txt``).
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from ansible_collections.cdg59.creatic.plugins.module_utils import harmless
from ansible_collections.cdg59.creatic.plugins.module_utils.durable import write
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.names import skeleton
from cryptography import x509
from cryptography.x509.oid import NameOID

from creatic.check.inspection import certificates
from creatic.pki.pkcs12_file import MAXIMUM_SIZE, Pkcs12FileError, own_pkcs12, sirens
from creatic.registry.groupement import Commune

ENDS = (".p12", ".pfx")
PASSWORDS = (".pass", ".mdp", ".txt")
_MAX_BUNDLE_FILES = 5_000  # files of a folder
_UNCHANGED_NOTICE = re.compile(r"\.? ?Rien n'a été changé\.?$")


class ReceivedError(CreaticError, cause="recu", misuse=True):
    """The folder cannot be read; the message is French."""


@dataclass(frozen=True)
class Place:
    """Where a commune's file asks for a provider's .p12.

    Attributes:
        where: the commune's file and the field.
        owners: SIREN of those whose certificate may be there.
        file, secret: names in the folder of secrets.
        holder: who is written in the commune's file; "" for a connector.
    """

    where: str
    owners: tuple[str, ...]
    file: str
    secret: str
    holder: str


@dataclass(frozen=True)
class Received:
    """A file that was opened.

    Attributes:
        path: it.
        password: its own.
        siren: of whom it is.
        name: common name of its certificate.
        end: when this expires.
    """

    path: Path
    password: bytes
    siren: str
    name: str
    end: datetime


@dataclass
class Plan:
    """What is to be done of a folder.

    Attributes:
        moves: where each goes.
        left: French lines on what goes nowhere, and why.
        kept: French lines on places that have as good a certificate already.
    """

    moves: list[tuple[Received, Place]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Say it; passwords are in none of them."""
        told = [
            f"{one.path.name} ({one.name}, SIREN {one.siren}, jusqu'au {one.end:%d/%m/%Y}) → {place.file}, "
            f"{place.where}"
            for one, place in self.moves
        ]
        return [harmless.line(one) for one in (*told, *self.kept, *self.left)]


def places(communes: Iterable[Commune]) -> list[Place]:
    """Give what communes' files ask for."""
    found = []
    for commune in communes:
        hosted = [str(one["siren"]) for one in commune.data.get("entites", [])]
        for where, given in certificates(commune.data):
            if "fichier" not in given:
                continue
            entity = re.match(r"entites\[(\d+)\]", where)
            owners = [hosted[int(entity[1])]] if entity else [str(commune.data["siren"])]
            owners += hosted if where.startswith("postes") else []
            wanted = (str(given["fichier"]), str(given["secret"]), str(given.get("titulaire", "")))
            found.append(Place(f"communes/{commune.slug}.yml, {where}", tuple(owners), *wanted))
    return found


def plan(folder: Path, wanted: Sequence[Place], secrets: Path) -> Plan:
    """Read a folder; nothing is written.

    Args:
        folder: of the files that came.
        wanted: from `places`.
        secrets: the control node's folder of secrets.

    Raises:
        ReceivedError: the folder cannot be read, or holds no .p12.
    """
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDS)
    except OSError as error:
        raise ReceivedError(f"{folder} ne se lit pas ({error.strerror}). À faire : donnez un dossier à vous") from None
    if not files or len(files) > _MAX_BUNDLE_FILES:
        what = "n'a aucun fichier .p12 ni .pfx" if not files else f"a plus de {_MAX_BUNDLE_FILES} fichiers .p12"
        raise ReceivedError(f"{folder} {what}. À faire : donnez le dossier où ceux du prestataire ont été déposés")
    made = Plan()
    for path in files:
        try:
            one = _open_bundle(path)
            place = _find_place(one, wanted)
            taken = next((other for other, its in made.moves if its == place), None)
            if taken:
                raise ReceivedError(f"{taken.path.name} va à la même place, {place.where}. À faire : n'en gardez qu'un")
        except (ReceivedError, Pkcs12FileError) as error:
            made.left.append(f"{path.name} : {_UNCHANGED_NOTICE.sub('', str(error))}.")
            continue
        if there := _as_good(one, place, secrets):
            made.kept.append(f"{path.name} : {place.file} {there}, il y reste.")
        else:
            made.moves.append((one, place))
    return made


def carry_out(made: Plan, secrets: Path) -> None:
    """Write what a plan says, the password first: a .p12 never waits for it."""
    for one, place in made.moves:
        write(secrets / place.secret, one.password + b"\n", 0o600)
        write(secrets / place.file, one.path.read_bytes(), 0o600)


def missing_places(wanted: Iterable[Place], secrets: Path) -> list[str]:
    """Say which places still have nothing."""
    return [f"{one.where} : {one.file} manque encore." for one in wanted if not (secrets / one.file).is_file()]


def _open_bundle(path: Path) -> Received:
    """Open a file by the password beside it.

    Raises:
        ReceivedError: there is none, or several; or it is of no organization, or of several.
        Pkcs12FileError: it does not open, has expired, or any password opens it.
    """
    if path.is_symlink() or not path.is_file() or path.stat().st_size > MAXIMUM_SIZE:
        raise ReceivedError("ce n'est pas un fichier .p12. À faire : déposez celui du prestataire lui-même")
    beside = [path.with_name(path.name + end) for end in PASSWORDS] + [path.with_suffix(end) for end in PASSWORDS]
    found = [one for one in beside if one.is_file() and not one.is_symlink() and one.stat().st_size <= 1024]
    if len(found) != 1:
        what = "aucun mot de passe n'est à côté" if not found else f"{len(found)} mots de passe sont à côté"
        raise ReceivedError(f"{what}. À faire : écrivez le sien, sur une ligne, dans {path.name}.pass")
    password = found[0].read_bytes().strip(b"\r\n")
    with tempfile.TemporaryDirectory() as scratch:  # as where it will be: the same judge
        copies = (Path(scratch, path.name), Path(scratch, found[0].name))
        for copy, content in zip(copies, (path.read_bytes(), password), strict=True):
            write(copy, content, 0o600)
        try:
            pem = own_pkcs12(*copies, owners=None)["certificate"]
        except Pkcs12FileError as error:
            raise Pkcs12FileError(str(error).replace(f"{scratch}/", "")) from None
    certificate = x509.load_pem_x509_certificate(pem.encode())
    [siren] = sirens(certificate)
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    name = str(names[0].value) if names else ""
    return Received(path, password, siren, name, certificate.not_valid_after_utc)


def _find_place(one: Received, wanted: Iterable[Place]) -> Place:
    """Find where a file goes: by the name that a commune's file gives it, else its holder's, else the only place left.

    Raises:
        ReceivedError: nowhere, or nobody can tell.
    """
    mine = [place for place in wanted if one.siren in place.owners]
    if not mine:
        raise ReceivedError(
            f"aucun fichier de commune n'attend de certificat du SIREN {one.siren} ({one.name}). À faire : écrivez "
            "connecteur.certificat, ou source: fichier, dans celui de la commune"
        )
    for kept in (
        [place for place in mine if place.file == one.path.name],
        [place for place in mine if place.holder and skeleton(place.holder) == skeleton(one.name)],
        [place for place in mine if not place.holder and _is_connector(one.name)],
        mine,
    ):
        if len({place.file for place in kept}) == 1:
            return kept[0]
    told = " ; ".join(f"{place.file} ({place.where})" for place in mine)
    raise ReceivedError(
        f"« {one.name} », SIREN {one.siren}, peut aller à plusieurs places : {told}. À faire : donnez au fichier le "
        "nom de celle qui est la sienne"
    )


def _is_connector(name: str) -> bool:
    return skeleton("connecteur") in skeleton(name).split("-")


def _as_good(one: Received, place: Place, secrets: Path) -> str:
    """What a place has already, if it lasts as long; "" when it is to be replaced."""
    try:
        there = own_pkcs12(secrets / place.file, secrets / place.secret, place.owners)
    except (Pkcs12FileError, OSError):
        return ""
    end = x509.load_pem_x509_certificate(there["certificate"].encode()).not_valid_after_utc
    return f"y est déjà, valable jusqu'au {end:%d/%m/%Y}" if end >= one.end else ""
