"""Migration of formats (`sae-conversion`): what is in a format at risk, deposited again in another one.

Who keeps archives keeps them readable (NF Z42-013; OAIS, ISO 14721, preservation planning): the original stays as it
is, under WORM, and a copy in PDF/A comes beside it, as a deposit of its own. That copy names its original (SEDA's
RelatedObjectReference, IsVersionOf), has its appraisal and access rules, counted from the same days, and says in Events
who asked for it, when, with which tool, from which file (digest, PRONOM) to which, and what was checked. The sealed
journal has it all before the deposit: who reads it alone finds each copy, by the digest of its SIP.

A copy takes its place by its identifier, made of the original's: made again after a crash, it is there once.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import re
import sqlite3
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from creatic_agent.configuration import ConfigError
from creatic_agent.errors import CreaticError
from creatic_agent.seda import Writer
from sae import config as settings
from sae import inventory, rights
from sae.commands import commands
from sae.config import Account, Config
from sae.converter import CONVERTIBLE, ConversionError, Converted, Converter
from sae.inventory import CONVERSION, CONVERTED, AcceptedArchive
from sae.journal import JournalError
from sae.running import run
from sae.store import CorruptedObjectError, Store, StoreError, replicas
from sae.versement import bagit, formats, seda
from sae.versement.aip import members_of
from sae.versement.container import Member
from sae.versement.description import DESTROY, KEEP, Description, retention
from sae.versement.engine import Engine
from sae.versement.refusal import SipRefusedError
from sae.versement.registry import Archive
from sae.versement.spool import AnswerPendingError, SipBusyError, SipTooLargeError

SOCKET = Path("/run/sae-conversion.sock")
BEGUN, DONE, REFUSED, ORIGIN = "conversion.debut", CONVERTED, "conversion.refusee", "conversion.origine"
MADE, ALREADY, NOT, WAITS = "faite", "deja", "refusee", "attend"
_MAX_FILES_PER_COPY = 1000  # files of a copy; those that follow are another one's
_ORIGINAL_BLOCK_BYTES = 1 << 20
_STATE_MARKS = {MADE: "✓", ALREADY: "=", NOT: "✗", WAITS: "…"}


class ConversionRefusedError(CreaticError, cause="conversion"):
    """Nothing was done; the message, in French, says why."""


@dataclass(frozen=True)
class Outcome:
    """What came of an archive: MADE, ALREADY, NOT or WAITS, and what is said of it (French)."""

    state: str
    text: str


@dataclass(frozen=True)
class _File:
    """A file of the original, and its copy."""

    name: str
    sha512: str
    puid: str
    copy: Member
    copy_puid: str
    when: datetime
    how: Converted

    @property
    def copied(self) -> str:
        """What the copy is called, for people."""
        plain = self.name.rpartition("/")[2]
        return f"{plain.rpartition('.')[0] or plain}{self.how.suffix}"

    def to_dict(self) -> dict[str, Any]:
        """For the journal and the manifest, names in French."""
        return {
            "fichier": self.name,
            "sha512": self.sha512,
            "format": self.puid,
            "copie": self.copy.name,
            "copie_sha512": self.copy.sha512,
            "copie_format": self.copy_puid,
            "outil": self.how.tool,
            "version": self.how.version,
            "convertie_le": self.when.isoformat(timespec="seconds"),
            "controles": list(self.how.checks),
            "remarques": list(self.how.remarks),
        }


@dataclass
class Migrator:
    """Converts archives.

    Attributes:
        by: who asked for it, as the journal and the copies will say.
        reason: why, in a few words.
    """

    engine: Engine
    converter: Converter
    by: str
    reason: str = ""
    clock: Callable[[], float] = time.time

    def candidates(self, puids: frozenset[str], accounts: Sequence[str], aips: Sequence[str]) -> Iterator[Archive]:
        """Archives that hold a file of these formats; of these accounts, and these archives, where some are given."""
        for archive in self.engine.registry.holding(puids):
            if (not accounts or archive.account in accounts) and (not aips or archive.aip in aips):
                yield archive

    def convert(self, archive: Archive, puids: frozenset[str]) -> Outcome:
        """Deposit a copy of what an archive holds in these formats; what keeps it from being done is its outcome.

        Raises JournalError, OSError (disk), sqlite3.Error: nothing more can be done.
        """
        try:
            return self._deposit_copy(archive, puids)
        except (ConversionError, StoreError, SipRefusedError, ConversionRefusedError) as error:
            text = " ".join(str(error).split())
            detail = {"demande_par": self.by, "motif": text[:300], "formats": sorted(puids)}
            self.engine.journal.note(REFUSED, archive.account, "refus", detail, archive.aip)
            return Outcome(NOT, text)

    def planned(self, archive: Archive, puids: frozenset[str]) -> Outcome:
        """What `convert` would do, as far as can be told without the files."""
        message, left, done = self._find_remaining_files(archive, puids)
        if not left:
            return Outcome(ALREADY, f"déjà convertie, archive {done}")
        if why := self._exclusion_reason(archive) or self._unsupported_formats_reason(left):
            return Outcome(NOT, why)
        return Outcome(MADE, f"fichiers à convertir en PDF/A : {len(left)} ({message})")

    # -- what is to be done --------------------------------------------------------------------------------

    def _find_remaining_files(
        self, archive: Archive, puids: frozenset[str]
    ) -> tuple[str, list[Mapping[str, Any]], str]:
        """The next copy's identifier, the files that no copy has yet, and the last copy there is."""
        engine, message, last, done = self.engine, f"{CONVERSION}{archive.aip}", "", set[str]()
        rank = 1
        while (copy := engine.registry.find_by_message(archive.account, message)) is not None:
            told = self._find_begun_copy(archive.aip, copy.fingerprint)
            if told is None:
                raise ConversionRefusedError(
                    f"l'identifiant « {message} » est celui d'un autre versement (archive {copy.aip})"
                )
            if copy.stored is None:
                raise ConversionRefusedError(
                    f"sa copie {copy.aip} est en cours de versement : relancez dans quelques minutes"
                )
            self._journal_done(archive, copy, told)
            done |= {str(one["fichier"]) for one in told["fichiers"]}
            rank, last = rank + 1, copy.aip
            message = f"{CONVERSION}{archive.aip}-{rank}"
        wanted = [one for one in archive.files if one.get("format") in puids and one["nom"] not in done]
        return message, wanted, last

    def _find_begun_copy(self, aip: str, fingerprint: str) -> dict[str, Any] | None:
        """What the journal says of the copy whose manifest this is."""
        for event in self.engine.journal.events(aip=aip):
            if event.event == BEGUN and event.detail["manifeste_sha512"] == fingerprint:
                return event.detail
        return None

    def _exclusion_reason(self, archive: Archive) -> str:
        """Why an archive is left as it is; empty when it may be converted."""
        journal = self.engine.journal
        known = inventory.find(journal, archive.aip)
        if known is None or inventory.leaving(journal, archive.aip):
            return "elle est éliminée, ou en train de l'être"
        if service := inventory.transferred(journal, known):
            return f"un service public d'archives l'a reprise (transfert {service})"
        if archive.action == DESTROY and archive.retain_until <= self.clock():
            return "sa durée est passée : elle est à éliminer, pas à convertir"
        return ""

    @staticmethod
    def _unsupported_formats_reason(files: Sequence[Mapping[str, Any]]) -> str:
        lacking = sorted({str(one["format"]) for one in files} - CONVERTIBLE)
        return f"aucun outil d'ici ne convertit {', '.join(lacking)}" if lacking else ""

    # -- done ----------------------------------------------------------------------------------------------

    def _deposit_copy(self, archive: Archive, puids: frozenset[str]) -> Outcome:
        engine = self.engine
        account = engine.config.accounts.get(archive.account)
        message, left, done = self._find_remaining_files(archive, puids)
        if not left:
            return Outcome(ALREADY, f"déjà convertie, archive {done}")
        if account is None:
            raise ConversionRefusedError(f"le compte « {archive.account} » n'existe plus")
        if why := self._exclusion_reason(archive) or self._unsupported_formats_reason(left):
            raise ConversionRefusedError(why)
        known = inventory.find(engine.journal, archive.aip)
        if known is None:
            raise ConversionRefusedError("elle n'est plus là")
        left, more = left[:_MAX_FILES_PER_COPY], len(left) - _MAX_FILES_PER_COPY
        folder = engine.config.folder / "conversion"
        folder.mkdir(mode=0o750, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            work = Path(scratch)
            originals, own = _extract_files(replicas(engine.store), known, work, {str(one["nom"]) for one in left})
            described = _read_description(own, engine.config)
            self._same_duration(archive, account, described)
            files = [
                self._convert_file(one, originals[str(one["nom"])], work, rank) for rank, one in enumerate(left, 1)
            ]
            manifest = self._build_manifest(archive, account, described, _read_access_rules(own), message, files)
            sip = work / "sip.tar"
            sha512 = _write_sip(sip, manifest, files)
            detail = {
                "demande_par": self.by,
                "motif": self.reason,
                "identifiant": message,
                "sip_sha512": sha512,
                "manifeste_sha512": hashlib.sha512(manifest).hexdigest(),
                "fichiers": [one.to_dict() for one in files],
            }
            engine.journal.note(BEGUN, archive.account, "succes", detail, archive.aip)
            engine.step("conversion journalisée")
            try:
                with sip.open("rb") as stream:
                    answer = engine.deposit(account, stream)
            except SipTooLargeError:
                raise ConversionRefusedError("la copie dépasse la taille d'un versement") from None
            except (SipBusyError, AnswerPendingError):
                return Outcome(WAITS, "convertie ; le stockage ne répond pas, la reprise la rangera")
        engine.step("copie versée")
        copy = engine.registry.archive(archive.account, answer.aip or "")
        if not answer.accepted or copy is None:
            raise ConversionRefusedError(f"la porte refuse la copie : {' ; '.join(answer.reasons)[:300]}")
        self._journal_done(archive, copy, detail)
        later = f" ; il en reste {more} : relancez" if more > 0 else ""
        return Outcome(MADE, f"fichiers convertis : {len(files)}, archive {copy.aip}{later}")

    def _journal_done(self, archive: Archive, copy: Archive, detail: Mapping[str, Any]) -> None:
        """Both archives say it in the journal, once."""
        told = {"identifiant": copy.message, "demande_par": detail["demande_par"]}
        for event, aip, other in (
            (DONE, archive.aip, {"copie": copy.aip}),
            (ORIGIN, copy.aip, {"original": archive.aip}),
        ):
            self.engine.journal.note(event, archive.account, "succes", {**told, **other}, aip, f"{event}:{copy.aip}")

    def _same_duration(self, archive: Archive, account: Account, described: Description) -> None:
        """A copy never outlives an original that is to be eliminated: the shortest duration of the account would."""
        kept = retention(described, account, self.engine.config, datetime.fromtimestamp(self.clock(), UTC))
        if archive.action == DESTROY and kept.until > archive.retain_until:
            day = f"{datetime.fromtimestamp(archive.retain_until, UTC):%d/%m/%Y}"
            raise ConversionRefusedError(
                f"elle est à éliminer dès le {day} : une copie serait gardée plus longtemps qu'elle"
            )

    def _convert_file(self, listed: Mapping[str, Any], original: Path, work: Path, rank: int) -> _File:
        """A file's copy, once it is what it must be. Raises NotConverted, naming the file."""
        name, puid = str(listed["nom"]), str(listed["format"])
        target = work / f"copie-{rank}"
        try:
            how = self.converter.convert(original, name, puid, target)
            with target.open("rb") as stream:
                sha512 = hashlib.file_digest(stream, "sha512").hexdigest()
            copy = Member(f"content/{rank:05d}{how.suffix}", target, target.stat().st_size, sha512)
            found = formats.identify_one(copy)
            if not found.pdfa.startswith("PDF/A"):
                raise ConversionError(f"la copie n'est pas un PDF/A ({found.puid} {found.name})")
        except ConversionError as error:
            raise ConversionError(f"« {name} » : {error}") from error
        when = datetime.fromtimestamp(self.clock(), UTC)
        return _File(name, str(listed["sha512"]), puid, copy, found.puid, when, how)

    def _build_manifest(
        self,
        archive: Archive,
        account: Account,
        described: Description,
        access: Sequence[tuple[str, str]],
        message: str,
        files: Sequence[_File],
    ) -> bytes:
        writer = Writer(seda.NAMESPACE, seda.clean)
        root, add = writer.root("ArchiveTransfer"), writer.add
        now = datetime.fromtimestamp(self.clock(), UTC).isoformat(timespec="seconds")
        add(root, "Comment", f"Conversion de format : {len(files)} fichiers de l'archive {archive.aip}")
        add(root, "Date", now)
        add(root, "MessageIdentifier", message)
        if agreement := account.agreement or described.agreement:
            add(root, "ArchivalAgreement", agreement)
        lists = add(root, "CodeListVersions")
        add(lists, "MessageDigestAlgorithmCodeListVersion", "SHA-512")
        add(lists, "FileFormatCodeListVersion", "PRONOM")
        package = add(root, "DataObjectPackage")
        for rank, one in enumerate(files, start=1):
            binary = add(add(package, "DataObjectGroup", id=f"G{rank}"), "BinaryDataObject", id=f"B{rank}")
            add(binary, "DataObjectVersion", "BinaryMaster_1")
            add(binary, "Uri", one.copy.name)
            add(binary, "MessageDigest", one.copy.sha512, algorithm="SHA-512")
            add(binary, "Size", one.copy.size)
            add(binary, "FormatIdentification/FormatId", one.copy_puid)
            info = add(binary, "FileInfo")
            add(info, "Filename", one.copied)
            add(info, "CreatingApplicationName", one.how.tool)
            add(info, "CreatingApplicationVersion", one.how.version)
            add(info, "DateCreatedByApplication", one.when.isoformat(timespec="seconds"))
        whole = add(package, "DescriptiveMetadata/ArchiveUnit", id="COPIE")
        content = add(whole, "Content")
        add(content, "DescriptionLevel", "RecordGrp")
        add(content, "Title", f"Copie en PDF/A : {archive.title or archive.message}"[:250])
        add(content, "OriginatingSystemId", archive.message)
        add(content, "DocumentType", "Copie de conservation")
        add(content, "RelatedObjectReference/IsVersionOf/RepositoryArchiveUnitPID", archive.aip)
        event = self._add_event(
            writer, content, now, f"fichiers convertis : {len(files)}", self.reason or "format à risque"
        )
        add(event, "EventDetailData", json.dumps({"original": archive.aip, "original_sha512": archive.sha512}))
        self._add_agents(writer, event, ())
        for rank, one in enumerate(files, start=1):
            unit = add(whole, "ArchiveUnit", id=f"P{rank}")
            item = add(unit, "Content")
            add(item, "DescriptionLevel", "Item")
            add(item, "Title", one.copied)
            told = " ; ".join((*one.how.checks, *one.how.remarks))
            event = self._add_event(
                writer, item, one.when.isoformat(timespec="seconds"), told, f"{one.puid} → {one.copy_puid}"
            )
            add(event, "EventDetailData", json.dumps(one.to_dict(), ensure_ascii=False))
            self._add_agents(writer, event, ((f"{one.how.tool} {one.how.version}", "logiciel"),))
            add(unit, "DataObjectReference/DataObjectGroupReferenceId", f"G{rank}")
        management = add(package, "ManagementMetadata")
        add(management, "LegalStatus", "Public Archive")
        add(management, "OriginatingAgencyIdentifier", account.siren)
        add(management, "SubmissionAgencyIdentifier", account.siren)
        appraisal = add(management, "AppraisalRule")
        for rule in dict.fromkeys((one.code, one.start.isoformat()) for one in described.rules if one.code):
            add(appraisal, "Rule", rule[0])
            add(appraisal, "StartDate", rule[1])
        add(appraisal, "FinalAction", KEEP if any(one.action == KEEP for one in described.rules) else DESTROY)
        if access:
            node = add(management, "AccessRule")
            for code, start in access:
                add(node, "Rule", code)
                if start:
                    add(node, "StartDate", start)
        add(root, "ArchivalAgency/Identifier", self.engine.config.agency)
        add(root, "TransferringAgency/Identifier", account.siren)
        return seda.written(root)

    @staticmethod
    def _add_event(writer: Writer, content: Any, when: str, told: str, detail: str) -> Any:
        event = writer.add(content, "Event")
        writer.add(event, "EventType", "Conversion de format")
        writer.add(event, "EventDateTime", when)
        writer.add(event, "EventDetail", detail)
        writer.add(event, "Outcome", "OK")
        writer.add(event, "OutcomeDetailMessage", told)
        return event

    def _add_agents(self, writer: Writer, event: Any, others: Sequence[tuple[str, str]]) -> None:
        for value, role in ((self.by, "demandeur"), *others):
            agent = writer.add(event, "LinkingAgentIdentifier")
            writer.add(agent, "LinkingAgentIdentifierType", "local")
            writer.add(agent, "LinkingAgentIdentifierValue", value)
            writer.add(agent, "LinkingAgentRole", role)


# -- the original ---------------------------------------------------------------------------------------------


def _extract_files(
    stores: Sequence[tuple[str, Store]], known: AcceptedArchive, work: Path, wanted: set[str]
) -> tuple[dict[str, Path], dict[str, Member]]:
    """The files of an archive that are asked for, and its own description. Raises StoreError."""
    package = work / "original.tar"

    inventory.bring(stores, known, package)
    files, own = dict[str, Path](), dict[str, Member]()
    try:
        with package.open("rb") as stream:
            for rank, (name, info, content) in enumerate(members_of(stream)):
                if name not in wanted and not _is_description_file(name):
                    continue
                path = work / f"original-{rank}"
                digest = hashlib.sha512()
                with path.open("wb") as output:
                    while block := content.read(_ORIGINAL_BLOCK_BYTES):
                        digest.update(block)
                        output.write(block)
                if name in wanted:
                    files[name] = path
                else:
                    own[name] = Member(name, path, info.size, digest.hexdigest())
    except tarfile.TarError as error:
        raise CorruptedObjectError(f"archive {known.aip} illisible : {error}") from error
    finally:
        package.unlink(missing_ok=True)
    if lacking := wanted - files.keys():
        raise CorruptedObjectError(f"archive {known.aip} : « {min(lacking)} » n'y est pas")
    return files, own


def _is_description_file(name: str) -> bool:
    """Whether a file of a SIP says what the others are: its manifest, or a bag's tags."""
    return name == seda.MANIFEST or re.fullmatch(r"([^/]+/)?[^/]+\.txt", name) is not None


def _read_description(own: Mapping[str, Member], config: Config) -> Description:
    """What the original's SIP said of itself. Raises Refusal."""
    if manifest := own.get(seda.MANIFEST):
        return seda.read(manifest.path, manifest.sha512, config.limits.manifest, config.agency)
    root = bagit.root_of(own)
    if root is None:
        raise ConversionRefusedError("elle ne dit plus sa durée : ni manifest.xml, ni bagit.txt")
    return bagit.read(own, root)


def _read_access_rules(own: Mapping[str, Member]) -> Sequence[tuple[str, str]]:
    """Its access rules; none where some of it is under no rule: nobody can tell then who may read the copy either."""
    manifest = own.get(seda.MANIFEST)
    if manifest is None:
        return ()
    with manifest.path.open("rb") as stream:
        found = rights.declared(iter(lambda: stream.read(_ORIGINAL_BLOCK_BYTES), b""))
    return found.rules if found.whole else ()


def _write_sip(target: Path, manifest: bytes, files: Sequence[_File]) -> str:
    """Write the SIP; gives its digest (SHA-512)."""
    path = target.with_name(seda.MANIFEST)
    path.write_bytes(manifest)
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        archive.add(path, seda.MANIFEST)
        for one in files:
            archive.add(one.copy.path, one.copy.name)
    with target.open("rb") as stream:
        return hashlib.file_digest(stream, "sha512").hexdigest()


# -- the command ----------------------------------------------------------------------------------------------


@contextmanager
def _open_migrator(path: Path) -> Iterator[Migrator]:
    config = settings.load(path)
    # Two runs at once would convert everything twice, to have half of it refused.
    with (config.folder / "conversion.verrou").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConversionRefusedError("une conversion est déjà en cours sur cette machine") from None
        yield Migrator(Engine.from_config(config), Converter(SOCKET), os.environ.get("SUDO_USER", ""))


def _build_parser() -> argparse.ArgumentParser:
    parser, command = commands(
        "sae-conversion",
        "Convertit en PDF/A ce qui est dans un format à risque : une archive de plus, liée à l'original, qui reste.",
    )
    for name, action, told in (
        ("prevoir", _show_plan, "montre ce qui serait converti, et ce qui ne peut pas l'être"),
        ("faire", _convert_candidates, "convertit, et verse les copies"),
    ):
        sub = command(name, action, told)
        sub.add_argument("--format", action="append", required=True, metavar="PRONOM", help="comme fmt/16 ; à répéter")
        sub.add_argument("--compte", action="append", default=[], metavar="COMPTE", help="service versant ; à répéter")
        sub.add_argument("--archive", action="append", default=[], metavar="AIP", help="une archive ; à répéter")
        sub.add_argument("--par", default="", metavar="NOM", help="qui le demande ; sans lui, qui a lancé sudo")
        sub.add_argument("--motif", default="", metavar="TEXTE", help="pourquoi, en quelques mots")
    return parser


def _treat_candidates(
    migrator: Migrator, arguments: argparse.Namespace, treat: Callable[..., Outcome]
) -> dict[str, int]:
    if unknown := sorted(set(arguments.compte) - set(migrator.engine.config.accounts)):
        known = ", ".join(sorted(migrator.engine.config.accounts))
        raise ConversionRefusedError(f"compte « {unknown[0][:80]} » inconnu ; connus : {known}")
    migrator.by = " ".join((arguments.par or migrator.by).split())[:200]
    migrator.reason = " ".join(arguments.motif.split())[:300]
    if not migrator.by:
        raise ConversionRefusedError("dites qui le demande (--par) : le journal et les copies le gardent")
    puids, counts, seen = frozenset(arguments.format), dict[str, int](), set[str]()
    for archive in migrator.candidates(puids, arguments.compte, arguments.archive):
        try:
            done = treat(archive, puids)
        except ConversionRefusedError as error:
            done = Outcome(NOT, str(error))
        seen.add(archive.aip)
        counts[done.state] = counts.get(done.state, 0) + 1
        print(f"{_STATE_MARKS[done.state]} {archive.account} {archive.aip} : {done.text}", flush=True)
    for aip in sorted(set(arguments.archive) - seen):
        counts[NOT] = counts.get(NOT, 0) + 1
        print(f"✗ {aip[:80]} : aucune archive de cet identifiant n'est dans ces formats", flush=True)
    return counts


def _show_plan(migrator: Migrator, arguments: argparse.Namespace) -> int:
    counts = _treat_candidates(migrator, arguments, migrator.planned)
    print(
        f"Archives à convertir : {counts.get(MADE, 0)} ; déjà : {counts.get(ALREADY, 0)} ; non : {counts.get(NOT, 0)}."
    )
    return 0


def _convert_candidates(migrator: Migrator, arguments: argparse.Namespace) -> int:
    counts = _treat_candidates(migrator, arguments, migrator.convert)
    print(
        f"Archives converties : {counts.get(MADE, 0)} ; déjà : {counts.get(ALREADY, 0)} ; "
        f"non : {counts.get(NOT, 0)} ; en attente : {counts.get(WAITS, 0)}."
    )
    return int(bool(counts.get(NOT) or counts.get(WAITS)))


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns 0 all converted, 1 some refused or waiting, 2 to be run again."""
    refused = (ConversionRefusedError, ConfigError)
    broken = (JournalError, StoreError, OSError, sqlite3.Error)
    return run("sae-conversion", _build_parser().parse_args(argv), _open_migrator, refused, broken)


if __name__ == "__main__":
    sys.exit(main())
