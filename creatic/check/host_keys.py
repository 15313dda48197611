# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""A folder of host keys, as installers left them or as an SSH host authority signed them: each goes to its machine.

A plain key is of the machine that names its file or its folder, or that begins its line as in known_hosts (sshd(8)). A
host certificate is of the machine among its principals, once the authority's signature is verified; it names itself,
whatever its file. What is kept in known_hosts is always the Ed25519 key itself: who signs an audit's relevé is read
there, and an authority that is stolen later opens nothing.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils import harmless
from ansible_collections.cdg59.creatic.plugins.module_utils.durable import write
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    SSHCertificate,
    SSHCertificateType,
    load_ssh_public_identity,
)

from creatic.audit.releves import HostKeys

_MOST, _LARGEST = 10_000, 64 * 1024  # files of a folder, bytes of one
_TYPE = re.compile(r"(ssh|ecdsa|sk)-[a-z0-9@.-]+")
_OWN_NAME = re.compile(r"[._-]*ssh_host_[a-z0-9]+_key(-cert)?$")
_ENDS = {".pub", ".txt"}
_HOST_KEY_HINT = "relevez-la sur la machine (/etc/ssh/ssh_host_ed25519_key.pub)"


class HostKeyError(CreaticError, cause="cle-hote", misuse=True):
    """A key, or the folder, is refused; the message is French."""


@dataclass(frozen=True)
class Machine:
    """A machine that is reached over SSH.

    Attributes:
        name: its own, in the inventory.
        address, port: where it is reached.
        names: those that it has besides.
    """

    name: str
    address: str
    port: int = 22
    names: tuple[str, ...] = ()

    @property
    def entry(self) -> str:
        """How known_hosts calls it."""
        return self.address if self.port == 22 else f"[{self.address}]:{self.port}"

    @property
    def called(self) -> set[str]:
        """All that it is called by, small letters."""
        return {one.lower() for one in (self.name, self.address, self.entry, *self.names)}


@dataclass
class Plan:
    """What is to be done of a folder.

    Attributes:
        writes: of each machine, its key as it is on the wire, and the file where it was.
        kept: machines whose key is there already.
        left: French lines on what is refused, and why.
        lacking: machines that have no key, neither there nor in the folder.
    """

    writes: dict[Machine, tuple[bytes, str]] = field(default_factory=dict)
    kept: list[Machine] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    lacking: list[Machine] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Say it."""
        told = [f"{one.name} ({one.entry}) ← {file}, {fingerprint(key)}" for one, (key, file) in self.writes.items()]
        if self.kept:
            told.append(f"Déjà connues, et les mêmes : {len(self.kept)}.")
        if self.lacking:
            shown = ", ".join(one.name for one in self.lacking[:5])
            more = f" et {len(self.lacking) - 5} autres" if len(self.lacking) > 5 else ""
            told.append(f"Encore sans clé : {shown}{more}.")
        return [harmless.line(one) for one in (*told, *self.left)]


def fingerprint(key: bytes) -> str:
    """The fingerprint of a key, as ``ssh-keygen -l`` shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def machines(inventory: Mapping[str, Any]) -> list[Machine]:
    """Give the machines of an inventory that are reached over SSH.

    Args:
        inventory: what ``ansible-inventory --list`` gives.
    """
    return [
        Machine(
            name,
            str(own.get("ansible_host", name)),
            int(own.get("ansible_port") or 22),
            tuple(map(str, own.get("creatic_names") or ())),
        )
        for name, own in sorted(inventory["_meta"]["hostvars"].items())
        if own.get("ansible_connection", "ssh") == "ssh" and own.get("creatic_poste", {}).get("systeme") != "windows"
    ]


def authority(path: Path) -> bytes:
    """Read the public key of an SSH host authority.

    Raises:
        HostKeyError: it is none.
    """
    try:
        _names, found = _parse_key_line(path.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeError, HostKeyError):
        found = None
    if found is None or isinstance(found, SSHCertificate):
        raise HostKeyError(
            f"{path} n'est pas la clé publique d'une autorité SSH. À faire : donnez le .pub de celle qui signe les "
            "clés d'hôte (ssh-keygen -s)"
        )
    return _wire_bytes(found)


def plan(folder: Path, known: Sequence[Machine], file: Path, signer: bytes, now: datetime) -> Plan:
    """Read a folder; nothing is written.

    Args:
        folder: of the files that came.
        known: from `machines`.
        file: known_hosts.
        signer: from `authority`; empty for none: certificates are then refused.
        now: when certificates are to be valid.

    Raises:
        HostKeyError: the folder cannot be read, or holds no key.
    """
    made, given, others = Plan(), dict[Machine, dict[bytes, str]](), dict[Machine, set[str]]()
    by_name = {called: one for one in known for called in one.called}
    for path in _iter_key_files(folder):
        shown = str(path.relative_to(folder))
        try:
            lines = [line for line in _read_text(path).splitlines() if line.strip() and not line.startswith("#")]
        except HostKeyError as error:
            made.left.append(f"{shown} : {error}.")
            continue
        for line in lines:
            try:
                names, found = _parse_key_line(line)
                if isinstance(found, SSHCertificate):
                    one, key = _find_certificate_owner(found, by_name, signer, now), found.public_key()
                else:
                    one, key = _find_key_owner(path, folder, names, by_name), found
            except HostKeyError as error:
                made.left.append(f"{shown} : {error}.")
                continue
            if isinstance(key, ed25519.Ed25519PublicKey):
                given.setdefault(one, {}).setdefault(_wire_bytes(key), shown)
            else:
                others.setdefault(one, set()).add(shown)
    pinned = HostKeys(file)
    there = {one: pinned.keys_of(one.address, one.port) for one in known}
    users = dict[bytes, set[Machine]]()
    for source in (given, there):
        for one, keys in source.items():
            for blob in keys:
                users.setdefault(blob, set()).add(one)
    for one in known:
        try:
            _classify_key(one, given.get(one, {}), others.get(one, set()), there[one], users, pinned, file, made)
        except HostKeyError as error:
            made.left.append(f"{one.name} : {error}.")
    return made


def carry_out(made: Plan, file: Path) -> None:
    """Add what a plan says to known_hosts, which a reader or a crash sees as it was or whole."""
    text = file.read_bytes() if file.exists() else b""
    text += b"\n" if text and not text.endswith(b"\n") else b""
    lines = [f"{one.entry} ssh-ed25519 {base64.b64encode(key).decode()}\n" for one, (key, _f) in made.writes.items()]
    write(file, text + "".join(lines).encode(), 0o600)


def _classify_key(
    one: Machine,
    given: Mapping[bytes, str],
    others: set[str],
    there: set[bytes],
    users: Mapping[bytes, set[Machine]],
    pinned: HostKeys,
    file: Path,
    made: Plan,
) -> None:
    """Put a machine's key where it belongs in the plan. Raises HostKeyError: it may not be believed."""
    if not given:
        if others:
            raise HostKeyError(
                f"pas de clé Ed25519 ({', '.join(sorted(others))}), la seule qui soit retenue. À faire : "
                f"{_HOST_KEY_HINT}"
            )
        if not there:
            made.lacking.append(one)
        return
    if len(given) > 1:
        raise HostKeyError(
            f"deux clés différentes sont données ({', '.join(sorted(given.values()))}). À faire : gardez la sienne, "
            f"{_HOST_KEY_HINT}"
        )
    [(key, shown)] = given.items()
    if also := sorted(other.name for other in users[key] if other != one):
        raise HostKeyError(
            f"sa clé est aussi celle de {', '.join(also)} : l'une est une copie de l'autre. À faire : sur chacune, "
            "supprimez /etc/ssh/ssh_host_*, puis « ssh-keygen -A » et un redémarrage de ssh ; relevez-les ensuite"
        )
    if pinned.is_revoked(key):
        raise HostKeyError(f"sa clé est révoquée dans {file}. À faire : faites-en une autre sur la machine")
    if there and key not in there:
        raise HostKeyError(
            f"{file} a une autre clé d'elle. À faire : si elle a été réinstallée, « ssh-keygen -R '{one.entry}' -f "
            f"{file} », puis la même commande ; sinon, voyez qui répond à sa place"
        )
    if there:
        made.kept.append(one)
    else:
        made.writes[one] = (key, shown)


def _iter_key_files(folder: Path) -> Iterator[Path]:
    """Files of a folder and of those right in it."""
    try:
        found = sorted(path for path in (*folder.glob("*"), *folder.glob("*/*")) if path.is_file())
    except OSError as error:
        raise HostKeyError(f"{folder} ne se lit pas ({error.strerror}). À faire : donnez un dossier à vous") from None
    if not found or len(found) > _MOST:
        what = "n'a aucun fichier" if not found else f"a plus de {_MOST} fichiers"
        raise HostKeyError(f"{folder} {what}. À faire : donnez le dossier où les clés des machines ont été déposées")
    yield from found


def _read_text(path: Path) -> str:
    if path.is_symlink() or path.stat().st_size > _LARGEST:
        raise HostKeyError("ce n'est pas un fichier de clés. À faire : déposez celui de la machine lui-même")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError):
        raise HostKeyError("il ne se lit pas comme un texte. À faire : déposez le .pub de la machine") from None
    if "PRIVATE KEY" in text:
        raise HostKeyError(
            "c'est une clé privée, qui n'avait pas à quitter sa machine. À faire : supprimez ce fichier, et refaites "
            "la clé sur la machine (ssh-keygen -A)"
        )
    return text


def _parse_key_line(line: str) -> tuple[list[str], Any]:
    """Read a line: the names that begin it, none for a .pub file, and the key or certificate.

    Raises:
        HostKeyError: it is neither.
    """
    fields = line.split()
    names = [] if _TYPE.fullmatch(fields[0]) else fields.pop(0).split(",")
    if any(one.startswith(("@", "|", "!")) or {"*", "?"} & {*one} for one in names):
        raise HostKeyError(
            f"« {names[0][:40]} » ne nomme pas une machine. À faire : une ligne par machine, son nom ou son adresse en "
            "clair, puis sa clé"
        )
    try:
        return names, load_ssh_public_identity(" ".join(fields[:2]).encode())
    except (ValueError, UnsupportedAlgorithm):
        kind = fields[0] if fields and _TYPE.fullmatch(fields[0]) else "ligne"
        raise HostKeyError(f"{kind[:40]} : ce n'est pas une clé qui se lise. À faire : {_HOST_KEY_HINT}") from None


def _find_key_owner(path: Path, folder: Path, names: Iterable[str], by_name: Mapping[str, Machine]) -> Machine:
    """Of which machine a plain key is. Raises HostKeyError: of none, or nobody can tell."""
    stem = (path.name.removesuffix(path.suffix) if path.suffix in _ENDS else path.name).lower()
    own = {stem, _OWN_NAME.sub("", stem), *([path.parent.name.lower()] if path.parent != folder else [])}
    found = {by_name[one] for one in own if one in by_name}
    strangers = [one for one in names if one.lower() not in by_name]
    found |= {by_name[one.lower()] for one in names if one.lower() in by_name}
    if strangers and not found:
        raise HostKeyError(
            f"l'inventaire n'a aucune machine « {strangers[0][:80]} ». À faire : donnez le nom ou l'adresse qu'elle y a"
        )
    if not found:
        raise HostKeyError(
            "rien ne dit de quelle machine c'est. À faire : donnez au fichier, ou à son dossier, le nom qu'elle a dans "
            "l'inventaire"
        )
    if len(found) > 1:
        told = ", ".join(sorted(one.name for one in found))
        raise HostKeyError(f"le fichier et la ligne nomment plusieurs machines ({told}). À faire : n'en laissez qu'une")
    return found.pop()


def _find_certificate_owner(
    found: SSHCertificate, by_name: Mapping[str, Machine], signer: bytes, now: datetime
) -> Machine:
    """Of which machine a host certificate is. Raises HostKeyError: it does not count."""
    if not signer:
        raise HostKeyError("c'est un certificat d'hôte. À faire : donnez l'autorité qui l'a signé (--autorite ca.pub)")
    if _wire_bytes(found.signature_key()) != signer:
        raise HostKeyError("ce certificat est d'une autre autorité. À faire : faites-le signer par celle du groupement")
    try:
        found.verify_cert_signature()
    except InvalidSignature:
        raise HostKeyError(f"la signature du certificat est fausse. À faire : {_HOST_KEY_HINT}") from None
    if found.type is not SSHCertificateType.HOST:
        raise HostKeyError("c'est le certificat d'une personne. À faire : « ssh-keygen -h -s » pour une machine")
    if not found.valid_after <= now.timestamp() < found.valid_before:
        raise HostKeyError("ce certificat n'est pas en vigueur. À faire : faites-en signer un autre")
    named = [one.decode(errors="replace") for one in found.valid_principals]
    of = {by_name[one.lower()] for one in named if one.lower() in by_name}
    if len(of) != 1:
        told = ", ".join(named)[:80] or "toute machine"
        raise HostKeyError(
            f"ce certificat vaut pour {told} : ce n'est pas une machine de l'inventaire, et une seule. À faire : "
            "« ssh-keygen -h -n NOM », du nom ou de l'adresse qu'elle y a"
        )
    return of.pop()


def _wire_bytes(key: Any) -> bytes:
    return base64.b64decode(key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1])
