# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Enrolment of clerks' PCs: a token for one PC, what comes with it verified again, signed by the registry, answered.

The door (apps/enrolement) is exposed, and believed nothing: a request counts by its token, which the door does not
keep, by the commune's file as it is now, and by the registry. In the state's folder ``postes/jetons.json``: tokens,
what each served, and the last misuse that was told. What is sent to the door is what it lacks, found by comparing: one
that came back from a backup is mended by the next command.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import datetime as dt
import hmac
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ansible_collections.cdg59.creatic.plugins.module_utils import harmless
from ansible_collections.cdg59.creatic.plugins.module_utils.durable import write
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import (
    PkiError,
    Request,
    days_left,
    load_certificate,
    serial_hex,
)
from ansible_collections.cdg59.creatic.plugins.module_utils.words import day_and_hour

from creatic.evidence import store as evidence_store
from creatic.pki.authority import Authority
from creatic.pki.registry import REVOKED, VALID, Owner, instant
from creatic.postes.places import Place
from creatic_agent.enrolment import (
    RENEWABLE_DAYS,
    Csr,
    Refused,
    check_renewal,
    read_csr,
    same_name,
    token_digest,
    token_proof,
)

RENEWED = (
    "C'est un renouvellement : S²LOW connaît un compte par son certificat, et refuse le nouveau tant qu'il ne l'a pas. "
    "À faire : le déposer dans S²LOW, au compte de l'agent (docs/technicien.md, « Un certificat renouvelé »)."
)
"""What a technician does once a PC's certificate is another (S²LOW finds its user by the certificate's hash)."""
LASTS = dt.timedelta(days=14)
LOCK = "postes"
_TOKEN_RETENTION = dt.timedelta(days=60)  # after its end: a PC may come late with what it had asked in time
_MAX_ITEMS_PER_SENDING = 20  # tokens, or answers, of one sending: it goes on a command line
_MAX_PARTS_PER_COMMAND = 50  # of what waits, which one command takes
_MAX_REQUEST_ID = 1 << 63  # beyond, no door of SQLite has one, nor could be asked what is after it
_REQUEST_TEXT_FIELDS = ("id", "genre", "origine", "poste", "certificat", "nom", "presente", "csr", "preuve", "recue")
_REQUEST_MARK_PATTERN = re.compile(r"[0-9T:+-]{25} [0-9a-f]{32}", re.ASCII)
_CHANGED = "À faire : une nouvelle demande du poste, avec un nouveau jeton"


class EnrolmentError(CreaticError, cause="enrolement"):
    """Nothing is done; the message is French."""


class Door(Protocol):
    """See `creatic.postes.door.Door`."""

    def statement(self, after: int, since: str = "") -> Any:
        """What waits there, after a request and a misuse that are known."""

    def publish(self, sent: Mapping[str, Any]) -> None:
        """Bring tokens."""

    def answer(self, sent: Mapping[str, Any]) -> None:
        """Bring answers."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a pass did.

    Attributes:
        lines: for who asked (French).
        faults: what a person must look at (French): refusals, what could not be signed.
        misuses: what the door refused since the last pass (French).
        awaited: certificates that no request asked for yet, ``poste : certificat``, of tokens that are good.
    """

    lines: list[str]
    faults: list[str]
    misuses: list[str]
    awaited: list[str]


class Enrolment:
    """The enrolment of an environment's PCs.

    Args:
        home: state of the control node.
        places: PCs of the inventory, by name.
        authority: which signs.
        door: the door.
        operator: who asks.
        now: the clock.
    """

    def __init__(
        self,
        home: Path,
        places: Mapping[str, Place],
        authority: Authority,
        door: Door,
        operator: str,
        now: Callable[[], dt.datetime],
    ) -> None:
        self._home, self._file = home, home / "postes" / "jetons.json"
        self._places, self._authority, self._door = places, authority, door
        self._operator, self._now = operator, now

    # -- tokens --------------------------------------------------------------------------------------

    def token(self, name: str) -> tuple[str, dt.datetime]:
        """Make a PC's token, in the place of the one before, and have the door know its digest; gives its end too.

        Raises:
            EnrolmentError: there is no such PC, or nothing to certify there. FleetError: the door does not answer; the
                token is none yet for it, and the next command brings it there.
        """
        place = self._find_place(name)
        if not place.requests:
            raise EnrolmentError(
                f"{name} : son fichier ne demande aucun certificat au groupement (source: groupement), il n'a pas "
                "besoin de jeton"
            )
        with self._hold_lock():
            record, now = self._read_record(), self._now()
            text, end = base64.b32encode(secrets.token_bytes(32)).decode().rstrip("="), now + LASTS
            for one in record["jetons"].values():
                one["remplace"] |= one["poste"] == name
            record["jetons"][token_digest(text)] = {
                "jeton": text, "poste": name, "fait": _format_moment(now), "fin": _format_moment(end),
                "par": self._operator,
                "remplace": False, "servis": {},
            }  # fmt: skip # a record
            self._write_record(record)
            self._reconcile_tokens(record, self._read_statement(record))
        return text, instant(_format_moment(end))

    def _find_place(self, name: str) -> Place:
        if name not in self._places:
            known = ", ".join(sorted(self._places)[:10]) or "aucun"
            raise EnrolmentError(f"« {name} » n'est pas un poste de l'inventaire. Connus : {known}")
        return self._places[name]

    # -- requests ------------------------------------------------------------------------------------

    def certify(self, only: str = "") -> Outcome:
        """Take what waits at the door, sign what is good, refuse what is not, and tell misuses.

        Args:
            only: a PC; empty for all.

        Raises:
            EnrolmentError: there is no such PC. FleetError: the door does not answer. PkiError: the authority cannot
                sign. LockRefused: another such command goes on. In all of these nothing is answered.
        """
        if only:
            self._find_place(only)
        with self._hold_lock():
            self._check_authority()
            record = self._read_record()
            told = self._read_statement(record)
            self._reconcile_tokens(record, told)
            lines, faults, part = list[str](), list[str](), told
            for _turn in range(_MAX_PARTS_PER_COMMAND):
                self._answer_requests(record, part["demandes"], only, lines, faults)
                last = "{recue} {id}".format_map(part["demandes"][-1]) if part["demandes"] else ""
                if not part["reste"] or not _REQUEST_MARK_PATTERN.fullmatch(last):
                    break
                # After the last: what waits for another command, or for the authority, hides nobody's.
                part = self._read_statement(record, last)
            misuses, last_part = self._new_misuses(record, told), told
            for _turn in range(_MAX_PARTS_PER_COMMAND):  # a stranger's, which come first, hide no PC's
                if not last_part["mesusages"] or record["apres"] >= int(last_part["dernier"]):
                    break
                last_part = self._read_statement(record)
                misuses += self._new_misuses(record, last_part)
            lines += self._confirmed_pcs(record, told, only)
            if part["reste"]:
                lines.append("D'autres demandes attendent à la porte : relancez la même commande.")
            return Outcome(lines, faults, misuses, self._pending_pcs(record, only))

    def _answer_requests(
        self,
        record: dict[str, Any],
        asked: Sequence[Mapping[str, str]],
        only: str,
        lines: list[str],
        faults: list[str],
    ) -> None:
        """Judge requests, and bring the door their answers."""
        answers = []
        for one in asked:
            if answer := self._judge_request(record, one, only, lines, faults):
                answers.append({"demande": one["id"], **answer})
        for start in range(0, len(answers), _MAX_ITEMS_PER_SENDING):
            self._door.answer({"reponses": answers[start : start + _MAX_ITEMS_PER_SENDING]})

    def _check_authority(self) -> None:
        """Raise PkiError when it cannot sign: it is no fault of a request."""
        with self._authority.registry.open() as book:
            self._authority.issuer(book)

    def _judge_request(
        self, record: dict[str, Any], one: Mapping[str, str], only: str, lines: list[str], faults: list[str]
    ) -> dict[str, Any] | None:
        """The answer to a request; None when it is another's turn, or cannot be given now."""
        renews = one["genre"] == "renouvellement"
        if only and not renews and one["poste"] != only:
            return None
        try:
            place, slug, csr = self._verified_renewal(one) if renews else self._verify_request(record, one)
        except Refused as error:
            if only and renews:
                return None
            who = harmless.line(one["poste"] or one["nom"] or "une demande")
            faults.append(f"{who} : demande refusée. {harmless.line(error.message)}")
            return {"message": error.message}
        if only and place.name != only:
            return None
        request = dataclasses.replace(place.requests[slug], key_type=csr.key_type)
        try:
            issued = self._authority.issue(csr.pem, request, Owner(place.name, place.commune))
        except PkiError as error:
            faults.append(f"{place.name} : {error}. La demande attend encore")
            return None
        lines.append(f"{place.name} : certificat « {request.common_name} » signé, n° {issued.serial}.")
        lines += [f"  {RENEWED}"] if renews else []
        return {"certificat": issued.pem, "chaine": split(self._authority.published()["chain"])}

    def _verify_request(self, record: dict[str, Any], one: Mapping[str, str]) -> tuple[Place, str, Csr]:
        """Whose request it is, once all of it is verified anew. Raises Refused."""
        token, place = self._token_of(record, one)
        slug = one["certificat"]
        csr = read_csr(one["csr"], self._certificate_request(place, slug).subject())
        proof = token_proof(token["jeton"], place.name, slug, csr.key)
        if not hmac.compare_digest(proof.encode(), one["preuve"].encode(errors="replace")):
            raise Refused("Cette demande n'est pas venue avec son jeton.", cause="preuve")
        if token["servis"].get(slug, csr.key) != csr.key:
            raise Refused(f"Ce jeton a déjà servi à une autre clé. {_CHANGED}.", cause="jeton_utilise")
        self._check_key(csr, place, slug)
        if slug not in token["servis"]:
            # Before anything is signed: whatever stops this run, no other key comes with this token.
            token["servis"][slug] = csr.key
            self._write_record(record)
        return place, slug, csr

    def _token_of(self, record: Mapping[str, Any], one: Mapping[str, str]) -> tuple[dict[str, Any], Place]:
        token = record["jetons"].get(one["origine"])  # as the door says, which may lie: the proof tells
        if token is None or token["poste"] != one["poste"]:
            raise Refused(f"Aucun jeton d'ici n'est celui de cette demande. {_CHANGED}.", cause="jeton_inconnu")
        place = self._places.get(token["poste"])
        if place is None or not same_name(one["nom"], place.computer):
            raise Refused("Le poste n'est plus celui du fichier de la commune.", cause="autre_poste")
        over = token["remplace"] or self._now() > instant(token["fin"]) + LASTS
        if over and one["certificat"] not in token["servis"]:
            why = "Un autre jeton a remplacé celui-ci" if token["remplace"] else "Ce jeton a expiré"
            raise Refused(f"{why}. {_CHANGED}.", cause="jeton_expire")
        with self._authority.registry.open() as book:
            revoked = book.rows("hote = ? AND statut = ?", place.name, REVOKED)
        if any(instant(row["revoque_le"]) >= instant(token["fait"]) for row in revoked):
            raise Refused(f"Un certificat de ce poste a été révoqué depuis ce jeton. {_CHANGED}.", cause="revoque")
        return token, place

    def _verified_renewal(self, one: Mapping[str, str]) -> tuple[Place, str, Csr]:
        try:
            shown = load_certificate(one["presente"])
        except PkiError as error:
            raise Refused(f"{error}.") from None
        with self._authority.registry.open() as book:
            rows = [row for row in book.rows("serie = ?", serial_hex(shown)) if load_certificate(row["pem"]) == shown]
        if not rows:
            raise Refused("Le certificat présenté n'est pas du registre.", cause="identite")
        [row] = rows
        place, slug = self._places.get(row["hote"]), row["nom"]
        if place is None:
            raise Refused("Le poste de ce certificat n'est plus dans l'inventaire.", cause="autre_poste")
        csr = read_csr(one["csr"], self._certificate_request(place, slug).subject())
        if shown.subject != self._certificate_request(place, slug).subject():
            # A PC's name may have been another commune's; whose file changed a holder asks with a token.
            raise Refused("Le certificat présenté est d'un autre titulaire.", cause="csr_sujet")
        check_renewal(shown, csr, one["preuve"])
        self._check_key(csr, place, slug)
        with self._authority.registry.open() as book:
            again = book.rows("cle_sha256 = ? AND statut = ?", csr.key, VALID)
        left = days_left(shown, self._now())
        if not again and (row["statut"] != VALID or not 0 <= left <= RENEWABLE_DAYS):
            why = "est révoqué" if row["statut"] == REVOKED else "a été remplacé" if row["statut"] != VALID else ""
            raise Refused(f"Le certificat présenté {why or 'ne se renouvelle pas à cette date'}.", cause="identite")
        return place, slug, csr

    @staticmethod
    def _certificate_request(place: Place, slug: str) -> Request:
        if slug not in place.requests:
            raise Refused("Le fichier de la commune ne demande plus ce certificat.", cause="certificat_inconnu")
        return place.requests[slug]

    def _check_key(self, csr: Csr, place: Place, slug: str) -> None:
        """Raise Refused: the key was revoked, or is of another place."""
        with self._authority.registry.open() as book:
            rows = book.rows("cle_sha256 = ?", csr.key)
        if any(row["statut"] == REVOKED for row in rows):
            raise Refused(f"Cette clé a été révoquée. {_CHANGED}.", cause="revoque")
        if any((row["hote"], row["nom"]) != (place.name, slug) for row in rows):
            raise Refused(f"Cette clé sert déjà à un autre certificat. {_CHANGED}.", cause="csr_cle")

    # -- what is told ----------------------------------------------------------------------------------

    def _new_misuses(self, record: dict[str, Any], told: Mapping[str, Any]) -> list[str]:
        lines = []
        for one in told["mesusages"]:
            where = one["poste"] or "jeton inconnu"
            name = f", poste « {one['nom']} »" if one["nom"] else ""
            from_ = f", depuis {one['adresse']}" if one["adresse"] != "?" else ""
            when = day_and_hour(one["quand"])
            lines.append(harmless.line(f"Mésusage : {where}{name}{from_}, {when}. {one['message']}"))
            record["apres"] = max(record["apres"], one["id"])
        if lines:
            self._write_record(record)
        return lines

    def _confirmed_pcs(self, record: dict[str, Any], told: Mapping[str, Any], only: str) -> list[str]:
        """PCs whose browser showed the certificate that the registry has for them, each told once."""
        with self._authority.registry.open() as book:
            rows = {row["serie"]: row for row in book.rows("statut = ?", VALID)}
        lines = []
        for one in told["vus"]:
            row = rows.get(one["serie"])
            if row and one["serie"] not in record["vus"] and row["hote"] in self._places and only in ("", row["hote"]):
                holder, when = row["titulaire"], day_and_hour(one["derniere"])
                lines.append(f"{row['hote']} : certificat « {holder} » vu à la porte, {when}.")
                record["vus"].append(one["serie"])
        if lines:
            record["vus"] = [one for one in record["vus"] if one in rows]
            self._write_record(record)
        return lines

    def _pending_pcs(self, record: Mapping[str, Any], only: str) -> list[str]:
        good = [one for one in record["jetons"].values() if self._is_good(one)]
        return [
            f"{one['poste']} : {slug}"
            for one in good
            if only in ("", one["poste"])
            for slug in self._places[one["poste"]].requests
            if slug not in one["servis"]
        ]

    # -- how -------------------------------------------------------------------------------------------

    def _reconcile_tokens(self, record: dict[str, Any], told: Mapping[str, Any]) -> None:
        """Bring the door the tokens that it lacks, or has otherwise, and end those that are no more."""
        old = [key for key, one in record["jetons"].items() if instant(one["fin"]) < self._now() - _TOKEN_RETENTION]
        for key in old:
            del record["jetons"][key]
        if old:
            self._write_record(record)
        good = {key: self._token_payload(key, one) for key, one in record["jetons"].items() if self._is_good(one)}
        there = {one["empreinte"]: one for one in told["jetons"]}
        sent = [one for key, one in good.items() if there.get(key) != one]
        ended = sorted({*there} - {*good})
        for start in range(0, max(len(sent), len(ended)), _MAX_ITEMS_PER_SENDING):
            part = slice(start, start + _MAX_ITEMS_PER_SENDING)
            self._door.publish({"jetons": sent[part], "finis": ended[part]})

    def _is_good(self, token: Mapping[str, Any]) -> bool:
        place = self._places.get(token["poste"])
        return bool(place and place.requests) and not token["remplace"] and instant(token["fin"]) > self._now()

    def _token_payload(self, digest: str, one: Mapping[str, Any]) -> dict[str, Any]:
        place = self._places[one["poste"]]
        holders = {
            slug: {"titulaire": each.common_name, "organisation": each.organization, "siren": each.siren}
            for slug, each in place.requests.items()
        }
        given = {"empreinte": digest, "poste": place.name, "nom": place.computer, "fin": one["fin"]}
        return given | {"certificats": holders}

    def _read_statement(self, record: dict[str, Any], since: str = "") -> dict[str, Any]:
        """The door's statement; one that came back from a backup counts its misuses from there."""
        found = self._door.statement(record["apres"], since)
        try:
            if int(found["dernier"]) < record["apres"]:
                record["apres"] = 0
                found = self._door.statement(0, since)
            for one in found["demandes"]:
                if not all(isinstance(one[word], str) for word in _REQUEST_TEXT_FIELDS):
                    raise ValueError
            for one in found["mesusages"]:
                if type(one["id"]) is not int or not record["apres"] < one["id"] < _MAX_REQUEST_ID:
                    raise ValueError
                dt.datetime.fromisoformat(one["quand"]).astimezone(dt.UTC)
                if not all(isinstance(one[word], str) for word in ("poste", "nom", "adresse", "message")):
                    raise ValueError
            for one in found["vus"]:
                dt.datetime.fromisoformat(one["derniere"]).astimezone(dt.UTC)
                if not isinstance(one["serie"], str):
                    raise ValueError
            if (
                not all(isinstance(one["empreinte"], str) for one in found["jetons"])
                or type(found["reste"]) is not bool
            ):
                raise ValueError
        except (ValueError, KeyError, TypeError, OverflowError):
            raise EnrolmentError(
                "la porte d'enrôlement répond autre chose que son relevé. À faire : redéployez-la (fab serveurs "
                "guichet). Rien n'est fait"
            ) from None
        return dict(found)

    @contextlib.contextmanager
    def _hold_lock(self) -> Iterator[None]:
        locks = self._home / "verrous"
        evidence_store.lock_commune(locks, LOCK, os.getpid(), self._operator, "une certification de postes")
        try:
            yield
        finally:
            evidence_store.unlock_communes(locks, os.getpid(), LOCK)

    def _read_record(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self._file.read_text(encoding="utf-8"))
            if {*found} != {"jetons", "apres", "vus"}:
                raise ValueError
        except FileNotFoundError:
            return {"jetons": {}, "apres": 0, "vus": []}
        except (ValueError, TypeError):
            raise EnrolmentError(
                f"{self._file} est abîmé : les jetons donnés ne sont plus connus. À faire : restaurez-le de la "
                "sauvegarde du poste de commande, ou supprimez-le, et faites de nouveaux jetons. Rien n'est fait"
            ) from None
        return found

    def _write_record(self, record: Mapping[str, Any]) -> None:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write(self._file, json.dumps(record, ensure_ascii=False, indent=1).encode(), 0o600)


def last_told(home: Path) -> int:
    """Give the number of the last misuse that a technician was told by ``fab poste.certifier``; 0 for none."""
    try:
        return int(json.loads((home / "postes" / "jetons.json").read_text(encoding="utf-8"))["apres"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0  # what is damaged is told by the command that needs it


def split(chain: str) -> list[str]:
    """The certificates of a PEM bundle, one by one."""
    end = "-----END CERTIFICATE-----\n"
    return [f"{part}{end}" for part in chain.split(end) if part.strip()]


def _format_moment(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat(timespec="seconds")
