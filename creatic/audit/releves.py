# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Relevés, what each machine's agent signs of it (`creatic_audit.agent`): verified here, kept, and made into findings.

Nothing of a relevé counts before its signature is that of the machine's host key, as known_hosts has it. What is wrong
with one is its machine's fault alone, and told in French. Kept in the state's folder ``releves``::

    gondecourt-connecteur.json    the last relevé that was taken, as it was signed, and the key that signed it
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import hashlib
import hmac
import json
import re
import struct
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils import harmless
from ansible_collections.cdg59.creatic.plugins.module_utils.durable import write
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.answers import AnswerError, checked
from ansible_collections.cdg59.creatic.plugins.module_utils.words import count
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from creatic.audit.content import Content
from creatic.audit.scap import DATA_STREAM_SHA256
from creatic.audit.sources import OpenScap, Target
from creatic.audit.verdict import SILENCE, Found

KIND = "creatic releve"
NAMESPACE = "creatic-releve"
FOLDER = "releves"
PLACE = "/var/lib/creatic-audit/releve.json"
"""Of the relevé, on its machine; the account that comes for it reads it without more rights."""
LARGEST = 256 << 10
"""Bytes of a relevé, signature included; no more is ever read of one."""
STALE = dt.timedelta(hours=48)
"""Age from which a machine is said to be silent: a day, and the twenty hours that its timer draws among."""
CLOCKS = dt.timedelta(hours=1)
"""What a machine's clock may be ahead."""
MIN_SILENT_SHARE = 0.1
"""Share of silent machines from which the cause is sought in common."""
_KEY_TYPE = b"ssh-ed25519"
_ARMOR = re.compile(r"-----BEGIN SSH SIGNATURE-----\n([A-Za-z0-9+/=\n]{1,1000})-----END SSH SIGNATURE-----\n?")
_DIGESTS = {b"sha256": hashlib.sha256, b"sha512": hashlib.sha512}


class InvalidReleveError(CreaticError, cause="releve"):
    """A relevé does not count; the message (French) says why, and what to do."""


def lapse(time: dt.timedelta) -> str:
    """An age, as a person says it: « 3 jours », « 5 h », « 20 min »."""
    minutes = int(time.total_seconds()) // 60
    if minutes >= 2 * 24 * 60:
        return f"{minutes // (24 * 60)} jours"
    return f"{minutes // 60} h" if minutes >= 60 else f"{minutes} min"


# -- keys and signatures ---------------------------------------------------------------------------------------------


class HostKeys:
    """The Ed25519 host keys of a known_hosts file (sshd(8)), hashed names included.

    A line that is damaged, marked or of another kind of key is nobody's.
    """

    def __init__(self, file: Path) -> None:
        self._plain: dict[str, set[bytes]] = {}
        self._hashed: list[tuple[bytes, bytes, bytes]] = []
        self._revoked: set[bytes] = set()
        with contextlib.suppress(OSError):
            for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
                with contextlib.suppress(ValueError):
                    self._add_line(line.split())

    def _add_line(self, fields: list[str]) -> None:
        revoked = fields[:1] == ["@revoked"]
        names, kind, key, *_comment = fields[1:] if revoked else fields
        if names.startswith(("#", "@")) or kind != _KEY_TYPE.decode():
            return
        blob = base64.b64decode(key, validate=True)
        if revoked:
            self._revoked.add(blob)
        for name in () if revoked else names.split(","):
            if name.startswith("|1|"):
                salt, digest = (base64.b64decode(part, validate=True) for part in name[3:].split("|"))
                self._hashed.append((salt, digest, blob))
            else:
                self._plain.setdefault(name, set()).add(blob)

    def is_revoked(self, key: bytes) -> bool:
        """Whether a line refuses this key, of whichever machine."""
        return key in self._revoked

    def keys_of(self, address: str, port: int = 22) -> set[bytes]:
        """Keys of a machine, as they are on the wire; none when it is not known."""
        name = address if port == 22 else f"[{address}]:{port}"
        found = set(self._plain.get(name, ()))
        for salt, digest, blob in self._hashed:
            if hmac.digest(salt, name.encode(), "sha1") == digest:
                found.add(blob)
        return found - self._revoked


def own_keys(file: Path = Path("/etc/ssh/ssh_host_ed25519_key.pub")) -> set[bytes]:
    """Key of this very machine, by which its own relevé is verified."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        kind, key = file.read_text(encoding="utf-8").split()[:2]
        return {base64.b64decode(key, validate=True)} if kind == _KEY_TYPE.decode() else set()
    return set()


def _read_strings(data: bytes, number: int) -> list[bytes]:
    """The SSH strings that a text is made of, and nothing after (RFC 4251, 5)."""
    found = []
    for _rank in range(number):
        if len(data) < 4 or len(data) - 4 < (size := struct.unpack(">I", data[:4])[0]):
            raise ValueError("trop court")
        found.append(data[4 : 4 + size])
        data = data[4 + size :]
    if data:
        raise ValueError("trop long")
    return found


def _encode_string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def signer(text: bytes, armored: str, keys: Collection[bytes], namespace: str = NAMESPACE) -> bytes:
    """The key, among some, that signed a text (OpenSSH, PROTOCOL.sshsig).

    Args:
        keys: public ones, as they are on the wire.

    Raises:
        ValueError: none of them signed it, for this namespace.
    """
    armor = _ARMOR.fullmatch(armored)
    blob = base64.b64decode(armor[1].replace("\n", ""), validate=True) if armor else b""
    if blob[:10] != b"SSHSIG" + struct.pack(">I", 1):
        raise ValueError("ce n'est pas une signature d'OpenSSH")
    public, named, reserved, algorithm, signature = _read_strings(blob[10:], 5)
    if public not in keys or named != namespace.encode() or algorithm not in _DIGESTS:
        raise ValueError("une autre clé, ou un autre usage")
    (kind, key), (kind_, made) = _read_strings(public, 2), _read_strings(signature, 2)
    if not kind == kind_ == _KEY_TYPE:
        raise ValueError("un autre genre de clé")
    parts = (named, reserved, algorithm, _DIGESTS[algorithm](text).digest())
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(made, b"SSHSIG" + b"".join(map(_encode_string, parts)))
    except InvalidSignature:
        raise ValueError("la signature est fausse") from None
    return public


# -- a relevé --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Releve:
    """What a machine signed of itself, once it is known to be its word, of now, and what is asked.

    Attributes:
        raw: as it was fetched: ``signe`` and ``signature``.
        told: what is signed (answers.schema.json, ``releve``).
        key: that signed it, as it is on the wire.
        digest: SHA-256 of what is signed.
        unchained: it does not follow the last one that was kept: one was withdrawn, or the machine put back.
    """

    machine: str
    raw: bytes
    told: Mapping[str, Any]
    key: bytes
    digest: str
    unchained: bool = False

    @property
    def made_at(self) -> dt.datetime:
        """When it was made, by the machine."""
        return dt.datetime.fromisoformat(self.told["fin"])

    @property
    def number(self) -> int:
        """Its number, which only grows."""
        return int(self.told["numero"])

    def age(self, now: dt.datetime) -> dt.timedelta:
        """How old it is."""
        return max(now - self.made_at, dt.timedelta(0))


def read(machine: str, raw: bytes, keys: Collection[bytes]) -> Releve:
    """A relevé, once it is known to be this machine's word.

    Raises:
        Refused: it is not.
    """
    if len(raw) > LARGEST:
        raise InvalidReleveError(
            f"son relevé dépasse {LARGEST >> 10} Kio, et n'est pas lu : un relevé en fait vingt. Voyez sur elle qui "
            f"écrit {PLACE}"
        )
    if not keys:
        raise InvalidReleveError(
            "known_hosts n'a pas sa clé d'hôte Ed25519, son relevé ne peut pas être vérifié : relevez-la à sa console "
            "(ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub)"
        )
    try:
        kept = json.loads(raw.decode())  # a text of another encoding, which json would take, is kept nowhere
        text, signature = kept["signe"], kept["signature"]
        if not isinstance(text, str) or not isinstance(signature, str):
            raise TypeError
        signed = text.encode()
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InvalidReleveError(
            "son relevé est illisible, et ne compte pas : sur elle, « systemctl start creatic-releve » en refait un"
        ) from None
    try:
        key = signer(signed, signature, keys)
    except ValueError as error:
        raise InvalidReleveError(
            f"son relevé n'est pas signé par sa clé d'hôte, et ne compte pas ({error}) : est-ce bien elle ? Si elle a "
            "été réinstallée, mettez known_hosts à jour ; sinon, voyez qui a écrit ce relevé"
        ) from None
    try:
        told = json.loads(text)
        if told["quoi"] != KIND or told["machine"] != machine:
            name = str(told["machine"])[:64]
            raise InvalidReleveError(
                f"ce qu'elle donne est un relevé de « {name} », et ne compte pas : deux machines ont la même clé "
                "d'hôte, ou la même adresse"
            )
        told = checked("releve", told)
    except AnswerError as error:
        raise InvalidReleveError(f"son relevé est signé, mais n'en est pas un, et ne compte pas : {error}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InvalidReleveError("ce qu'elle a signé n'est pas un relevé, et ne compte pas") from None
    return Releve(machine, raw, told, key, hashlib.sha256(signed).hexdigest())


def check_freshness(releve: Releve, last: Releve | None, now: dt.datetime) -> Releve:
    """A relevé, once it is known to be of now, and none of before.

    Args:
        last: the last one that was taken of this machine; counts if the same key signed it.

    Raises:
        Refused: it comes from the future, or is replayed.
    """
    if releve.made_at - now > CLOCKS:
        ahead = lapse(releve.made_at - now)
        raise InvalidReleveError(
            f"son relevé est daté de l'avenir ({ahead} d'avance), et ne compte pas : réglez son horloge, ou celle de "
            "ce poste"
        )
    if last is None or last.key != releve.key or last.digest == releve.digest:
        return releve
    if releve.number <= last.number or releve.made_at < last.made_at:
        raise InvalidReleveError(
            f"son relevé est d'avant celui du {last.made_at:%d/%m/%Y} qui est déjà ici, et ne compte pas : "
            "quelqu'un le "
            "rejoue, ou la machine vient d'une sauvegarde (« systemctl start creatic-releve » sur elle en refait un)"
        )
    unchained = [last.number, last.digest] not in releve.told["chaine"]
    return Releve(releve.machine, releve.raw, releve.told, releve.key, releve.digest, unchained)


def _failure_reason(releve: Releve, part: str) -> str:
    """Why the agent could not look at a part, as it says."""
    return str(releve.told["echecs"].get(part, "sans dire pourquoi"))


def openscap(releve: Releve, target: Target, content: Content) -> OpenScap:
    """What it says of OpenSCAP's rules, at the level that the inventory asks for.

    Raises:
        Refused: it was judged otherwise, or not.
    """
    found = releve.told["openscap"]
    if found is None:
        raise InvalidReleveError(f"son agent n'a pas pu passer OpenSCAP : {_failure_reason(releve, 'openscap')}")
    level = releve.told["niveau"]
    if level != target.level or found["profil"] != content.profile:
        raise InvalidReleveError(
            f"son agent juge au niveau « {level} », l'inventaire demande « {target.level} » : déployez-la"
        )
    if found["contenu_sha256"] != DATA_STREAM_SHA256:
        raise InvalidReleveError("son agent juge par un autre contenu OpenSCAP que celui qui est attendu : déployez-la")
    return content.verdict(found["score"], found["regles"])


def drift(releve: Releve) -> list[dict[str, Any]] | None:
    """What moved on it since its last deployment, as an audit tells drift; None when it had nothing to compare with."""
    found = releve.told["derive"]
    if found is None:
        return None
    groups: dict[str, list[str]] = {}
    for one in found["ecarts"]:
        groups.setdefault(f"{one['quoi']} {one['comment']} depuis le déploiement", []).append(one["nom"])
    told = [{"tache": name, "chemins": sorted(paths), "diff": ""} for name, paths in sorted(groups.items())]
    if (left := found["nombre"] - len(found["ecarts"])) > 0 and told:
        told[-1]["diff"] = f"et {count(left, 'écart')} de plus, que le relevé ne nomme pas"
    return told


def silence(releve: Releve, now: dt.datetime) -> str:
    """What is said of a machine whose relevé is too old to be judged by; empty when it is not."""
    if releve.age(now) <= STALE:
        return ""
    return (
        f"se tait depuis {lapse(releve.age(now))} : son dernier relevé est du "
        f"{releve.made_at:%d/%m/%Y}. Voyez sur elle « systemctl status creatic-releve.timer creatic-releve.service »"
    )


def silent_fleet(silent: Collection[str], every: Collection[str]) -> str:
    """What is said of a fleet of which many are silent; empty when they are few."""
    if not every or len(silent) < 2 or len(silent) / len(every) < MIN_SILENT_SHARE:
        return ""
    return (
        f"{len(silent)} machines sur {len(every)} se taisent ({100 * len(silent) // len(every)} %) : cherchez d'abord "
        "une cause commune (une version posée, une minuterie arrêtée, le réseau), leurs contrôles sont « non vérifié »"
    )


# -- what is kept ----------------------------------------------------------------------------------------------------


class ReleveStore:
    """The last relevé of each machine, in the control node's state: what replay and silence are known by.

    Args:
        folder: made when something is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _releve_path(self, machine: str) -> Path:
        return self._folder / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', machine).lstrip('.')}.json"

    def last(self, machine: str) -> Releve | None:
        """The last one that was taken; None when there is none, or it is no longer what its machine signed."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, InvalidReleveError):
            kept = json.loads(self._releve_path(machine).read_text(encoding="utf-8"))
            return read(machine, kept["releve"].encode(), {base64.b64decode(kept["cle"])})
        return None

    def save_releve(self, releve: Releve) -> None:
        """Keep one that was taken."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = {"cle": base64.b64encode(releve.key).decode(), "releve": releve.raw.decode()}
        write(self._releve_path(releve.machine), json.dumps(kept, ensure_ascii=False).encode(), 0o600)

    def forget_others(self, machines: Iterable[str]) -> None:
        """Delete what is kept of machines that are no longer in the inventory."""
        wanted = {self._releve_path(machine).name for machine in machines}
        for path in self._folder.glob("[!.]*.json"):
            if path.name not in wanted:
                path.unlink()


# -- what an audit makes of it --------------------------------------------------------------------------------------


def finding(
    target: Target, fetched: bytes | str, keys: Collection[bytes], kept: ReleveStore, content: Content, now: dt.datetime
) -> Found:
    """What is known of a machine by its relevé, which is kept if it is good; whatever is wrong is its own fault alone.

    Args:
        fetched: the relevé, or why it could not be fetched (French); the last one that is here then speaks, while it
            is of the day.
    """
    last = kept.last(target.name)
    remark = ""
    try:
        if isinstance(fetched, str):
            if last is None:
                return Found(target, incident=incident("injoignable", fetched, "Vérifier cette machine et le réseau."))
            releve = check_freshness(last, None, now)
            remark = f"elle n'a pas répondu ({fetched}) : c'est le relevé qui était déjà ici"
        else:
            releve = check_freshness(read(target.name, fetched, keys), last, now)
            kept.save_releve(releve)
        if releve.unchained:
            remark = (
                "il ne suit pas le dernier qui était ici : la machine vient d'une sauvegarde, ou un relevé a été retiré"
            )
        facts = {
            "fin": releve.told["fin"],
            "age_s": int(releve.age(now).total_seconds()),
            "numero": releve.number,
            "sha256": releve.digest,
            "remarque": remark,
        }
        if silent := silence(releve, now):
            remedy = "fab flotte.etat" if target.outgoing else f"fab audit --limite {target.name} --profils"
            return Found(target, incident=incident(SILENCE, silent, remedy), releve=facts)
        judged = openscap(releve, target, content)
        missing = [name for name in ("systeme", "correctifs") if releve.told[name] is None]
        if missing:
            raise InvalidReleveError(
                f"son agent n'a pas pu constater « {missing[0]} » : {releve.told['echecs'].get(missing[0], '')}"
            )
    except InvalidReleveError as error:
        return Found(target, incident=incident("echec", str(error)))
    collected = {name: releve.told[name] for name in ("systeme", "correctifs", "debut", "duree_s", "cpu_s")}
    return Found(target, collected, judged, [], drift(releve), None, facts)


def incident(nature: str, reason: str, remedy: str = "Corriger, puis relancer l'audit.") -> dict[str, str]:
    """What kept a machine from being judged by its relevé."""
    return {"phase": "releves", "nature": nature, "tache": "relevé", "raison": harmless.line(reason), "remede": remedy}
