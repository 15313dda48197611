"""The commune's side of the archive: acquitted acts go to the SAE once, and come back when asked for.

Flows of accounts that the DGFiP acknowledged go there as well, under a rule of their own where there is one: the
ordonnateur keeps them ten years.

An act is archived when `versement.xml` (the SAE's ArchiveTransferReply) is beside it. The SIP of an act is always the
same bytes, and the SAE answers the same to the same SIP: an answer lost on the way is asked for again, nothing is kept
twice.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import requests
from lxml import etree

from creatic_agent import https
from creatic_agent.durable import whole, write
from creatic_agent.errors import CreaticError

from .classification import parse_xml
from .client import ask
from .config import Config
from .contact import waits
from .sip import FLOW, KEPT, NAMESPACE, PROOF, SipError, Terms, Unit, build, build_proof, build_unit, message_identifier
from .storage import digest

ACCEPTED, REFUSED = "versement.xml", "versement-refuse.xml"
RULE = ".regle.json"
"""Beside an act: the rule that its deposit names, and what was written about it that goes with it. A table of durations
that changes, or a letter that comes, makes no other deposit of it, which the archive would refuse; its dossier de
preuve and what is written later live as long."""
_WITH_ACT_MAX = 50_000_000  # bytes of what was written about an act, to go with it; what is heavier leaves on its own
_N = f"{{{NAMESPACE}}}"
_TIMEOUT = (10, 600)
_REFUSED_AGAIN = 86400.0  # seconds before a refused act is deposited again by itself


class ArchiveError(CreaticError, cause="archives"):
    """The SAE cannot be used now; the text is French. Nothing is lost: ask again."""


class Away(ArchiveError, cause="archives_absentes"):
    """It does not answer at all."""


@dataclass(frozen=True)
class Outcome:
    """What became of an act: accepted, refused or waiting, the archive's identifier, and what to show."""

    idacte: str
    state: str  # verse, refuse, attente
    archive: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Back:
    """A file that came back: its digest here and in the archive (SHA-256), None when it is not here."""

    name: str
    size: int
    here: str | None
    there: str

    @property
    def same(self) -> bool:
        return self.here == self.there


def unarchived(config: Config) -> list[Path]:
    """Folders of the acquitted acts, the flows and the acts that do not go out, that are not archived yet."""
    there = [path for path in (config.dossier / "acquittes").iterdir() if not path.name.startswith(".")]
    found = [path for path in there if (path / "ARActe.xml").is_file()]
    if config.archive_flow_rule:
        found += [path for path in there if path.name.startswith(FLOW) and (path / "resume.json").is_file()]
    found += [path.parent for path in config.folder_kept.glob(f"{KEPT}*/resume.json")]
    return sorted(path for path in found if not (path / ACCEPTED).is_file())


def folder_of(config: Config, idacte: str) -> Path:
    """Where an act, or a flow, is kept here."""
    return (config.folder_kept if idacte.startswith(KEPT) else config.dossier / "acquittes") / idacte


def latest_archived(config: Config) -> str:
    """Identifier of the act that was archived last. Raises SipError when there is none."""
    found = [(path.stat().st_mtime, path.parent.name) for path in (config.dossier / "acquittes").glob(f"*/{ACCEPTED}")]
    found = [one for one in found if not one[1].startswith(FLOW)]
    if not found:
        raise SipError("aucun acte de ce connecteur n'est versé.")
    return max(found)[1]


def session(config: Config, certificate: Path) -> requests.Session:
    """Calls with a client certificate, to a server whose authorities the machine trusts."""
    return https.session("tdt-connector", config.autorites, certificate)


def archived_as(folder: Path) -> str:
    """Identifier, at the archive, of the act in this folder. Raises OSError, ArchiveError."""
    return _outcome(folder.name, (folder / ACCEPTED).read_bytes()).archive


def lately_refused(folder: Path) -> bool:
    """Whether what is in this folder was refused a short while ago."""
    told = folder / REFUSED
    return told.is_file() and waits(told.stat().st_mtime + _REFUSED_AGAIN, _REFUSED_AGAIN)


class Sae:
    """The archive's door, seen from a commune. Raises ArchiveError."""

    def __init__(self, config: Config) -> None:
        if not config.archive_url:
            raise ArchiveError(
                "l'archivage n'est pas configuré sur ce connecteur (service « archivage » de la commune)."
            )
        self._config = config
        agency, agreement = config.archive_agency, config.archive_agreement
        self._terms = Terms(
            agency, config.archive_rule, config.archive_action, agreement, schedule=config.archive_schedule
        )
        self._flows = replace(self._terms, rule=config.archive_flow_rule, action=config.archive_flow_action)
        self._session = session(config, config.archive_certificate)

    def _call(self, method: str, path: str, **options: Any) -> requests.Response:
        url = f"{self._config.archive_url}{path}"
        return ask(self._session, method, url, _TIMEOUT, "le SAE", Away, **options)

    def account(self) -> tuple[str, int]:
        """Name of the account that this certificate opens, and how many archives it has."""
        answer = self._call("GET", "/v1/archives")
        if answer.status_code != HTTPStatus.OK:
            raise ArchiveError(f"la porte des archives répond HTTP {answer.status_code} : {_plain(answer)}")
        try:
            told = answer.json()
            return str(told["compte"]), int(told["archives_en_tout"])
        except (ValueError, KeyError, TypeError) as error:
            raise ArchiveError("la porte des archives a répondu autre chose que le compte.") from error

    # -- what it eliminated --------------------------------------------------------------------------------

    def eliminations(self, query: str) -> tuple[list[dict[str, Any]], bool]:
        """Eliminations of this account, and whether there are more. An older archive, which tells none, has none.

        Raises:
            Away: it does not answer.
            ArchiveError: it refuses.
            ValueError, KeyError, TypeError: it answers something else than a list of eliminations.
        """
        answer = self._call("GET", f"/v1/eliminations?{query}")
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return [], False
        if answer.status_code != HTTPStatus.OK:
            raise ArchiveError(f"la porte des archives répond HTTP {answer.status_code} : {_plain(answer)}")
        told = answer.json()
        return list(told["eliminations"]), told.get("suite") is True

    def report(self, archive: str, said: dict[str, Any]) -> None:
        """Say what became of an archive's copies. Raises Away, or ArchiveError when it refuses."""
        answer = self._call("POST", f"/v1/eliminations/{quote(archive, safe='')}/copies", json=said)
        if answer.status_code != HTTPStatus.OK:
            raise ArchiveError(f"la porte des archives répond HTTP {answer.status_code} : {_plain(answer)}")

    # -- to the archive ------------------------------------------------------------------------------------

    def waiting(self) -> list[str]:
        """Identifiers of the acquitted acts to deposit: those refused a short while ago would be refused again."""
        return [path.name for path in unarchived(self._config) if not lately_refused(path)]

    def deposit(self, idacte: str, written: Sequence[Unit] = ()) -> Outcome:
        """Deposit an acquitted act, or give again what was answered. Raises SipError, ArchiveError, OSError.

        Args:
            written: letters and answers of this body; those about the act go with it, as long as they are what is in
                its first deposit. What the archive refuses with them is deposited at once without them.
        """
        folder = folder_of(self._config, idacte)
        if not idacte or "/" in idacte or not folder.is_dir():
            raise SipError(f"« {idacte} » n'est pas un acte acquitté de ce connecteur.")
        if (folder / ACCEPTED).is_file():
            return _outcome(idacte, (folder / ACCEPTED).read_bytes())
        terms = self._flows if idacte.startswith(FLOW) else self._terms
        if not terms.rule:
            raise SipError(
                f"« {idacte} » : aucune règle de durée pour les flux comptables (creatic_archive_versement)."
            )
        about = carried(self._config, folder)
        if about is None:
            about = [one for one in written if one.about == idacte]
            about = about if sum(one.size for one in about) <= _WITH_ACT_MAX else []
        outcome = self._deposit(folder, terms, about)
        if outcome.state == "refuse" and about:  # one of them, perhaps: it would be told of alone
            outcome = self._deposit(folder, terms, ())
        return outcome

    def _deposit(self, folder: Path, terms: Terms, about: Sequence[Unit]) -> Outcome:
        with tempfile.TemporaryFile(dir=self._config.folder_state) as package:
            own = build(folder, self._config.siren, _ruled(folder, terms), package, about)
            told: dict[str, Any] = {
                "rule": own.rule, "action": own.action, "access": own.access, "agreement": own.agreement,
                "courriers": [one.to_wire(self._config.dossier) for one in about],
            }  # fmt: skip # a table
            write(folder / RULE, json.dumps(told).encode())
            outcome = self._send(package, folder.name, folder)
        if outcome.state == "refuse":  # what is deposited next follows what is agreed then
            (folder / RULE).unlink(missing_ok=True)
        return outcome

    def _send(self, package: IO[bytes], idacte: str, folder: Path) -> Outcome:
        """Deposit a SIP, and keep the answer in a folder."""
        package.seek(0)
        headers = {"Content-Type": "application/x-tar"}
        answer = self._call("POST", "/v1/versements", data=package, headers=headers)
        content = answer.content
        if answer.status_code == HTTPStatus.ACCEPTED:
            return Outcome(idacte, "attente", detail="reçu et contrôlé par le SAE, réponse à venir")
        if not content.lstrip().startswith(b"<?xml"):
            raise ArchiveError(f"le SAE a répondu HTTP {answer.status_code} : {_plain(answer)}")
        outcome = _outcome(idacte, content)
        if answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
            return Outcome(idacte, "attente", detail=outcome.detail)
        if outcome.state == "verse":
            write(folder / ACCEPTED, content)
            (folder / REFUSED).unlink(missing_ok=True)
        else:
            write(folder / REFUSED, content)
        return outcome

    def waiting_proofs(self) -> list[str]:
        """Identifiers of archived acts whose dossier de preuve is to be deposited."""
        config = self._config
        there = [
            *(config.dossier / "acquittes").glob(f"*/{PROOF}/preuve.xml"),
            *config.folder_kept.glob(f"*/{PROOF}/preuve.xml"),
        ]
        return sorted(
            path.parents[1].name
            for path in there
            if (path.parents[1] / ACCEPTED).is_file()
            and not (path.parent / ACCEPTED).is_file()
            and not lately_refused(path.parent)
        )

    def deposit_proof(self, idacte: str) -> Outcome:
        """Deposit the dossier de preuve of an archived act. Raises SipError, ArchiveError, OSError."""
        folder = folder_of(self._config, idacte)
        with tempfile.TemporaryFile(dir=self._config.folder_state) as package:
            terms = replace(_ruled(folder, self._terms), agreement=self._terms.agreement)
            build_proof(folder, self._config.siren, terms, archived_as(folder), package)
            return self._send(package, idacte, folder / PROOF)

    def deposit_unit(self, unit: Unit, place: Path) -> Outcome:
        """Deposit what was written about an act that is archived, and keep the answer in a folder.

        Raises:
            SipError, ArchiveError, OSError: as `deposit`.
        """
        folder = folder_of(self._config, unit.about)
        place.mkdir(mode=0o750, exist_ok=True)
        with tempfile.TemporaryFile(dir=self._config.folder_state) as package:
            terms = replace(_ruled(folder, self._terms), agreement=self._terms.agreement)
            build_unit(folder, unit, self._config.siren, terms, archived_as(folder), package)
            return self._send(package, unit.message, place)

    # -- and back ------------------------------------------------------------------------------------------

    def bring_back(self, idacte: str, target: Path) -> Iterator[Back]:
        """Fetch every file of an archived act into a folder, and compare. Raises SipError, ArchiveError, OSError."""
        folder = folder_of(self._config, idacte)
        archive = self._archive_of(idacte, folder)
        answer = self._call("GET", f"/v1/archives/{archive}")
        if not answer.ok:
            raise ArchiveError(f"le SAE a répondu HTTP {answer.status_code} : {_plain(answer)}")
        units = carried(self._config, folder) or ()
        written = {named: unit.folder / file for unit in units for file, named, _title in unit.files}
        for one in answer.json()["fichiers"]:
            name = str(one["nom"])
            last = name.rpartition("/")[2]
            if name == "manifest.xml" or last in ("", ".", ".."):
                continue
            there = self._fetch(archive, name, target / last, int(one["octets"]))
            local = written.get(last, folder / last)
            here = digest(local) if local.is_file() else None
            yield Back(last, int(one["octets"]), here, there)

    def _archive_of(self, idacte: str, folder: Path) -> str:
        if (folder / ACCEPTED).is_file():
            return _outcome(idacte, (folder / ACCEPTED).read_bytes()).archive
        # The commune's disk may be new: the archive knows the act by its identifier.
        answer = self._call("GET", f"/v1/versements/{quote(message_identifier(idacte), safe='')}")
        if answer.status_code == HTTPStatus.NOT_FOUND:
            raise SipError(f"« {idacte} » n'est pas archivé.")
        if not answer.ok:
            raise ArchiveError(f"le SAE a répondu HTTP {answer.status_code} : {_plain(answer)}")
        found = _outcome(idacte, answer.content)
        if found.state != "verse":
            raise SipError(f"« {idacte} » n'est pas archivé : {found.detail}")
        return found.archive

    def _fetch(self, archive: str, name: str, target: Path, size: int) -> str:
        answer = self._call("GET", f"/v1/archives/{archive}/{quote(name)}", stream=True)
        if not answer.ok:
            raise ArchiveError(f"« {name} » : le SAE a répondu HTTP {answer.status_code} : {_plain(answer)}")
        try:
            with whole(target) as stream:
                found, received = https.save(answer, stream)
                if received != size:
                    raise ArchiveError(f"« {name} » : {received} octets reçus au lieu de {size}.")
        except requests.RequestException as error:
            raise ArchiveError(f"« {name} » : lecture interrompue ({type(error).__name__}).") from error
        return found


def carried(config: Config, folder: Path) -> list[Unit] | None:
    """What was written about an act and is in its own deposit; None when it was not deposited. Raises SipError."""
    try:
        told = json.loads((folder / RULE).read_bytes())
        return [Unit.from_wire(one, config.dossier) for one in told.get("courriers", ())]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unread(folder, error) from error


def _unread(folder: Path, error: Exception) -> SipError:
    return SipError(f"« {folder / RULE} » ne se lit pas ({error}) : retirez-le s'il n'y a pas de versement.")


def _ruled(folder: Path, terms: Terms) -> Terms:
    """The terms that an act was deposited under, if it was; these otherwise."""
    try:
        told = json.loads((folder / RULE).read_bytes())
        return replace(
            terms, rule=str(told["rule"]), action=str(told["action"]), access=str(told["access"]),
            agreement=str(told["agreement"]), schedule=(),
        )  # fmt: skip # one call by its parts
    except FileNotFoundError:
        return terms
    except (ValueError, KeyError, TypeError) as error:
        raise _unread(folder, error) from error


def _plain(answer: requests.Response) -> str:
    if "json" in answer.headers.get("Content-Type", ""):
        return (https.field(answer, "erreur") or "")[:500]
    return " ".join(answer.text.split())[:200]


def _outcome(idacte: str, content: bytes) -> Outcome:
    try:
        root = parse_xml(content)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise ArchiveError(f"la réponse du SAE est illisible ({error}).") from error
    comment = " ".join(str(root.findtext(f"{_N}Comment") or "").split())
    archive = str(root.findtext(f".//{_N}SystemId") or "")
    accepted = root.findtext(f"{_N}ReplyCode") == "OK" and archive
    return Outcome(idacte, "verse" if accepted else "refuse", archive, comment)
