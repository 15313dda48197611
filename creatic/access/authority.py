# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Time-boxed access on the control node: the SSH authority, what it issues, its registry, its revocations.

Layout of the authority's folder (0700), beside the PKI's:

- ``cle.pem``: the authority's key (0600, encrypted). It is decrypted in this process's memory only.
- ``registre.jsonl``: every certificate, emergency door and revocation, one JSON object a line, only ever appended. It
  is the truth: a certificate leaves this module once its line is on disk.
- ``publie/``: what hosts get: ``autorite.pub``, and ``revoques.krl`` made from the registry.
- ``verrou``: lock taken by whoever writes.
- ``2026-11-25T010504Z/``: sealed records of what the registry received, see record.

docs/design/access.md says why it is so.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import itertools
import json
import os
import re
import subprocess
import tempfile
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.durable import append, write
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import PkiError, utc_now
from ansible_collections.cdg59.creatic.plugins.module_utils.reasons import reason
from ansible_collections.cdg59.creatic.plugins.module_utils.registry import ip
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from creatic.pki.keys import Passphrases

# Accounts, and whether a certificate must be limited to a profile or a commune.
ROLES = {"auditeur": False, "prestataire": True}
LONGEST = dt.timedelta(hours=24)
SHORTEST = dt.timedelta(seconds=10)
ANYWHERE = "tous"
_CLOCK_SKEW = dt.timedelta(minutes=1)  # a host's clock may be that much behind
_MAX_PRINCIPALS = 200  # OpenSSH takes 256
_SECONDS_BY_UNIT = {"s": 1, "m": 60, "min": 60, "h": 3600}
# Types as ssh-keygen shows them, and the least bits of a key.
_KEYS = {"ED25519": 256, "ED25519-SK": 256, "ECDSA": 256, "ECDSA-SK": 256, "RSA": 3072}
_CREATE = "lancez d'abord « fab pki.creer »"

DOOR = "porte"
"""Event of an emergency door, which no certificate opens (creatic/fleet/emergency.py)."""
_OPENINGS = ("delivrance", DOOR)

VALID, EXPIRED, REVOKED = "valide", "expire", "revoque"


class AccessError(PkiError, cause="acces"):
    """Nothing was issued or revoked; the message (French) names what is wrong and the fix."""


def check_role(role: str) -> str:
    """Give the role back.

    Raises:
        AccessError: there is no such account.
    """
    if role not in ROLES:
        raise AccessError(f"rôle « {role} » inconnu ; connus : {', '.join(ROLES)}")
    return role


def duration(text: str) -> dt.timedelta:
    """Read a duration like ``4h``, ``90min``, ``1h30m`` or ``45s``.

    Raises:
        AccessError: not a duration, or not between 10 seconds and 24 hours.
    """
    parts = re.findall(r"([0-9]{1,6})(h|min|m|s)", text.strip().lower())
    if not parts or "".join(value + unit for value, unit in parts) != text.strip().lower():
        raise AccessError(f"--duree : « {text} » n'est pas une durée ; attendu : 4h, 90min, 1h30m")
    found = dt.timedelta(seconds=sum(int(value) * _SECONDS_BY_UNIT[unit] for value, unit in parts))
    if not SHORTEST <= found <= LONGEST:
        raise AccessError(
            f"--duree : « {text} » refusée ; un accès dure de {SHORTEST.seconds} s à "
            f"{LONGEST // dt.timedelta(hours=1)} h"
        )
    return found


def _principal_name(role: str, *groups: str) -> str:
    return f"{role}@{'+'.join(sorted(groups)) or ANYWHERE}"


def host_principals(groups: Sequence[str], role: str) -> list[str]:
    """Principals that a host accepts for a role: anywhere, each of its inventory groups, each pair of them."""
    pairs = itertools.combinations(sorted(set(groups)), 2)
    return [
        _principal_name(role),
        *(_principal_name(role, group) for group in sorted(set(groups))),
        *(_principal_name(role, *pair) for pair in pairs),
    ]


def principals(role: str, profiles: Sequence[str], communes: Sequence[str]) -> list[str]:
    """Principals of a certificate: the machines of these profiles, within these communes; none given, all of them.

    Args:
        profiles: names of profiles, which are inventory groups.
        communes: slugs.

    Raises:
        AccessError: unknown role, a role that needs a limit, or too many combinations.
    """
    check_role(role)
    if ROLES[role] and not profiles and not communes:
        raise AccessError(f"un {role} n'entre pas partout : donnez --profil ou --commune")
    groups = [f"commune_{slug.replace('-', '_')}" for slug in communes]
    # A pair's order is that of the names, on hosts as here.
    found = [_principal_name(role, *filter(None, pair)) for pair in itertools.product(profiles or [""], groups or [""])]
    if len(found) > _MAX_PRINCIPALS:
        raise AccessError(
            f"{len(found)} combinaisons de profils et de communes, {_MAX_PRINCIPALS} au plus : resserrez le périmètre"
        )
    return found


@dataclass(frozen=True)
class PublicKey:
    """A public key that may be certified.

    Attributes:
        line: ``type base64``, without its comment.
        fingerprint: as ssh shows it, ``SHA256:…``.
        comment: what its owner wrote after the key.
    """

    line: str
    fingerprint: str
    comment: str


def public_key(path: Path) -> PublicKey:
    """Read a public key file.

    Raises:
        AccessError: unreadable, not one public key, or a weak one.
    """
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = reason(error) if isinstance(error, OSError) else "ce n'est pas du texte"
        raise AccessError(f"--cle : {path} illisible ({why})") from None
    if "PRIVATE KEY" in text:
        raise AccessError(f"--cle : {path} est une clé privée, qui ne se confie pas ; donnez {path.name}.pub")
    words = text.split(None, 2)
    if "\n" in text or len(words) < 2 or "-cert-v0" in words[0]:
        raise AccessError(f"--cle : {path} n'est pas une clé publique SSH (une ligne « type base64 commentaire »)")
    line = " ".join(words[:2])
    done = subprocess.run(
        ["ssh-keygen", "-l", "-f", "-"], input=f"{line}\n", capture_output=True, text=True, check=False
    )
    shown = re.fullmatch(r"([0-9]+) (SHA256:\S+) .*\(([A-Z0-9-]+)\)", done.stdout.strip())
    if done.returncode or not shown:
        raise AccessError(f"--cle : {path} n'est pas une clé publique SSH : {done.stderr.strip() or 'illisible'}")
    bits, fingerprint, kind = int(shown[1]), shown[2], shown[3]
    if kind not in _KEYS or bits < _KEYS[kind]:
        raise AccessError(
            f"--cle : {path}, clé {kind} de {bits} bits refusée ; faites-en une avec « ssh-keygen -t ed25519 »"
        )
    return PublicKey(line, fingerprint, words[2] if len(words) > 2 else "")


@dataclass(frozen=True)
class Demand:
    """What a certificate is asked for.

    Attributes:
        role: account it opens.
        duration: how long.
        principals: where it is accepted, from `principals`.
        who: its holder.
        why: its reason; may be empty.
        operator: who issues it.
        source: addresses or networks it may be used from, comma-separated; empty for any.
    """

    role: str
    duration: dt.timedelta
    principals: list[str]
    who: str
    why: str
    operator: str
    source: str = ""

    def check(self) -> None:
        """Raise `AccessError` when a text cannot go into a certificate or a log."""
        for option, value in (("--qui", self.who), ("--motif", self.why)):
            if len(value) > 100 or any(not char.isprintable() for char in value):
                raise AccessError(f"{option} : 100 caractères au plus, sans caractère de contrôle")
        if not self.who.strip():
            raise AccessError("--qui : manquant, et la clé n'a pas de commentaire ; donnez le nom du titulaire")
        for network in filter(None, self.source.split(",")):
            try:
                ip.network(network)
            except ValueError:
                raise AccessError(
                    f"--source : « {network} » n'est ni une adresse ni un réseau, comme 192.0.2.10 ou 192.0.2.0/24"
                ) from None

    def key_id(self, serial: int) -> str:
        """What sshd writes in its log at each login; ASCII, for it escapes the rest."""
        text = f"{self.role} {serial} : {self.who} ({self.why or 'sans motif'}) par {self.operator}"
        return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def _run_keygen(*arguments: str, **options: Any) -> str:
    done = subprocess.run(["ssh-keygen", "-q", *arguments], capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise AccessError(f"ssh-keygen a échoué : {(done.stderr or done.stdout).strip() or 'sans explication'}")
    return str(done.stdout)


class SshAuthority:
    """The SSH authority of a control node. Methods which write take the lock."""

    def __init__(self, directory: Path, passphrases: Passphrases | None = None):
        self.directory = directory
        self.passphrases = passphrases or Passphrases(directory)
        self.key = directory / "cle.pem"
        self.registry = directory / "registre.jsonl"
        self.public = directory / "publie" / "autorite.pub"
        self.krl = directory / "publie" / "revoques.krl"

    # -- the authority itself ------------------------------------------------------------------------

    def ensure(self, create: bool = False, check: bool = False) -> list[str]:
        """Make the authority if that is asked for, and its published files again when they are not the registry's.

        Returns:
            What changed, or would with ``check`` (French).

        Raises:
            AccessError: there is none, or part of it is lost.
        """
        if not self.key.exists() and not (self.registry.exists() and self.registry.stat().st_size):
            if not create:
                raise AccessError(f"aucune autorité SSH dans {self.directory} : {_CREATE}")
            if check:
                return ["autorité SSH à créer"]
            self._create_keys()
            return ["autorité SSH créée"]
        with self._hold_lock():
            if self.public.exists() and self._published_count() == len(self._published_serials()):
                return []
            if not check:
                self._publish_files()
        return ["liste des certificats SSH révoqués publiée"]

    def _create_keys(self) -> None:
        passphrase = self.passphrases.get_or_make("ssh")
        for folder in (self.directory, self.public.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._hold_lock():
            if self.key.exists():  # another process, meanwhile
                return
            write(self.registry, b"", 0o600)
            data = ed25519.Ed25519PrivateKey.generate().private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(passphrase),
            )
            write(self.key, data, 0o600)
            self._publish_files()

    @contextlib.contextmanager
    def _hold_lock(self) -> Iterator[None]:
        if not self.directory.is_dir():
            raise AccessError(f"aucune autorité SSH dans {self.directory} : {_CREATE}")
        with (self.directory / "verrou").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _load_private_key(self) -> Any:
        try:
            return serialization.load_pem_private_key(self.key.read_bytes(), self.passphrases.get("ssh"))
        except FileNotFoundError:
            raise AccessError(f"clé de l'autorité SSH absente : {self.key}. Restaurez-la, rien n'est émis") from None
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise AccessError(f"{self.key} illisible : phrase secrète fausse, ou fichier endommagé") from None

    def _published_count(self) -> int:
        """Number of revocations in the published list; -1 when there is none that can be read."""
        done = subprocess.run(
            ["ssh-keygen", "-Q", "-l", "-f", str(self.krl)], capture_output=True, text=True, check=False
        )
        version = re.search(r"^# KRL version ([0-9]+)$", done.stdout, re.M)
        return int(version[1]) if done.returncode == 0 and version else -1

    def _publish_files(self) -> None:
        if not self.public.exists():
            key = self._load_private_key().public_key()
            line = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
            write(self.public, line + b" groupement\n", 0o644)
        listed = self._published_serials()
        with tempfile.TemporaryDirectory(prefix="creatic-krl-") as folder:
            made, spec = Path(folder) / "krl", Path(folder) / "spec"
            spec.write_text("".join(f"serial: {serial}\n" for serial in sorted(listed)), encoding="ascii")
            # The version is how many there are: `_published` reads it back.
            _run_keygen("-k", "-f", str(made), "-s", str(self.public), "-z", str(len(listed)), str(spec))
            write(self.krl, made.read_bytes(), 0o644)

    # -- the registry --------------------------------------------------------------------------------

    def events(self) -> list[dict[str, Any]]:
        """Every line of the registry, oldest first: see `grant` and `revoke`.

        Raises:
            AccessError: it is lost, or a line of it cannot be read.
        """
        try:
            text = self.registry.read_text(encoding="utf-8")
        except FileNotFoundError:
            if self.key.exists():
                raise AccessError(
                    f"registre des accès absent : {self.registry}. Restaurez-le depuis la sauvegarde ; sans lui, les "
                    "révocations seraient perdues, donc rien n'est émis"
                ) from None
            raise AccessError(f"aucune autorité SSH dans {self.directory} : {_CREATE}") from None
        found = []
        for number, line in enumerate(text.splitlines(), 1):
            try:
                event = json.loads(line)
                found.append(event | {"serie": int(event["serie"])})
            except (ValueError, TypeError, KeyError):
                raise AccessError(
                    f"{self.registry}, ligne {number} : illisible ; restaurez ce fichier depuis la sauvegarde"
                ) from None
        return found

    def _revoked_serials(self) -> set[int]:
        return {line["serie"] for line in self.events() if line["evenement"] == "revocation"}

    def _published_serials(self) -> set[int]:
        """Numbers that the list of hosts has: a door is no certificate."""
        return self._revoked_serials() - {line["serie"] for line in self.events() if line["evenement"] == DOOR}

    def _append_event(self, event: dict[str, Any]) -> None:
        append(self.registry, (json.dumps(event, ensure_ascii=False) + "\n").encode())

    def listing(self, now: dt.datetime | None = None) -> list[dict[str, Any]]:
        """Every certificate, latest first, with its ``etat``: valide, expire or revoque."""
        moment = (now or utc_now()).isoformat()
        lines = self.events()
        revoked = {line["serie"]: line for line in lines if line["evenement"] == "revocation"}
        rows = []
        for line in lines:
            if line["evenement"] not in _OPENINGS:
                continue
            state = REVOKED if line["serie"] in revoked else VALID if moment < line["fin"] else EXPIRED
            rows.append(line | {"etat": state, "revoque_le": revoked.get(line["serie"], {}).get("le", "")})
        return sorted(rows, key=lambda row: -row["serie"])

    # -- certificates --------------------------------------------------------------------------------

    def grant(self, demand: Demand, key: PublicKey, now: dt.datetime | None = None) -> tuple[dict[str, Any], str]:
        """Issue a certificate.

        The certificate itself has the host record the session and end it in time: see the role access.

        Returns:
            Its line of the registry, and its text.

        Raises:
            AccessError, PkiError: nothing was issued.
        """
        demand.check()
        moment = now or utc_now()
        start, end = moment - _CLOCK_SKEW, moment + demand.duration
        with self._hold_lock():
            serial = max((line["serie"] for line in self.events()), default=0) + 1
            text = self._sign_certificate(demand, key, serial, start, end)
            event = {
                "evenement": "delivrance",
                "serie": serial,
                "role": demand.role,
                "qui": demand.who,
                "motif": demand.why,
                "principaux": demand.principals,
                "source": demand.source,
                "cle": key.fingerprint,
                "debut": start.isoformat(),
                "fin": end.isoformat(),
                "par": demand.operator,
                "le": moment.isoformat(),
            }
            self._append_event(event)
        return event, text

    def note_door(
        self, machine: str, lasts: dt.timedelta, why: str, operator: str, key: str, now: dt.datetime | None = None
    ) -> int:
        """Write an emergency door to the registry; gives its number, which `revoke` takes as a certificate's.

        Args:
            machine: to which it leads.
            lasts: how long.
            why: its reason.
            operator: who orders it.
            key: public key of its tunnel, in a line.

        Raises:
            AccessError: no reason, or a text that cannot go into a log; there is no authority.
        """
        if not why.strip():
            raise AccessError("--motif : dites pourquoi, d'autres le liront")
        Demand(DOOR, lasts, [machine], operator, why, operator).check()
        fingerprint = _run_keygen("-l", "-f", "-", input=f"{key}\n").split()[1]
        moment = now or utc_now()
        with self._hold_lock():
            serial = max((line["serie"] for line in self.events()), default=0) + 1
            self._append_event(
                {
                    "evenement": DOOR,
                    "serie": serial,
                    "role": "porte de secours",
                    "qui": operator,
                    "motif": why,
                    "principaux": [machine],
                    "source": "",
                    "cle": fingerprint,
                    "debut": moment.isoformat(),
                    "fin": (moment + lasts).isoformat(),
                    "par": operator,
                    "le": moment.isoformat(),
                }
            )
        return serial

    def _sign_certificate(
        self, demand: Demand, key: PublicKey, serial: int, start: dt.datetime, end: dt.datetime
    ) -> str:
        options = ["clear", "permit-pty", f"force-command=enregistrer {serial} {int(end.timestamp())}"]
        if demand.source:
            options.append(f"source-address={demand.source}")
        secret = self._load_private_key().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
        with tempfile.TemporaryDirectory(prefix="creatic-acces-") as folder:
            asked = Path(folder) / "cle.pub"
            asked.write_text(f"{key.line} {demand.role}-{serial}\n", encoding="utf-8")
            # ssh-keygen reads the authority's key from memory: never on a disk, a command line or an environment.
            handle = os.memfd_create("autorite")
            try:
                os.fchmod(handle, 0o600)
                os.write(handle, secret)
                _run_keygen(
                    *("-s", f"/proc/self/fd/{handle}", "-I", demand.key_id(serial), "-z", str(serial)),
                    *("-n", ",".join(demand.principals)),
                    *("-V", f"{int(start.timestamp()):#x}:{int(end.timestamp()):#x}"),
                    *itertools.chain.from_iterable(("-O", option) for option in options),
                    str(asked),
                    pass_fds=[handle],
                )
            finally:
                os.close(handle)
            return (Path(folder) / "cle-cert.pub").read_text(encoding="utf-8")

    def revoke(self, serial: str | int, why: str, operator: str, now: dt.datetime | None = None) -> dict[str, Any]:
        """Revoke a certificate and publish the list; done again, only publishes. Or an emergency door, in no list.

        Returns:
            The line of the registry that granted it.

        Raises:
            AccessError: no such certificate.
        """
        with self._hold_lock():
            granted = {line["serie"]: line for line in self.events() if line["evenement"] in _OPENINGS}
            found = granted.get(int(serial)) if re.fullmatch(r"[0-9]{1,12}", str(serial)) else None
            if found is None:
                raise AccessError(f"certificat n° {serial} inconnu : « fab acces.registre » les montre")
            if found["serie"] not in self._revoked_serials():
                moment = (now or utc_now()).isoformat()
                event = {"evenement": "revocation", "serie": found["serie"], "motif": why}
                self._append_event(event | {"par": operator, "le": moment})
            if found["evenement"] != DOOR:
                self._publish_files()
        return found
