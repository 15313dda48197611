"""Transfer of definitive archives to a public archives service (`sae-transfert`).

What is to be kept is kept without limit (Code du patrimoine, R212-12), here or by the public archives service that
takes it over. A commune that deposits its archives stays their owner (L212-6, L212-11); `transfert.nature` tells
whether it does, or gives them away. A transfer is a SEDA ArchiveTransfer, made from the archives as the
storage gives them back; the service answers with an ArchiveTransferReply. The answer counts once it is signed, by the
service's own certificate where one is known (`transfert.signataire`), else by an agent of the groupement who received
it; when it accepts, who keeps each archive and whose it is are journaled. Only then may two persons eliminate it here.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import re
import sqlite3
import sys
import tarfile
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from lxml import etree

from creatic_agent.book import Book
from creatic_agent.configuration import ConfigError, From, Key, SomePath, one_of, section
from creatic_agent.durable import whole
from creatic_agent.seda import Writer
from sae import config, inventory, signature
from sae.agents import Trust, trust_of
from sae.commands import commands
from sae.elimination.command import chosen, show_due
from sae.inventory import TRANSFERRED, AcceptedArchive
from sae.journal import Journal, JournalError
from sae.refusal import OperationRefusedError, refuse
from sae.running import run
from sae.signature import SignatureError
from sae.store import FOR_EVER, TRANSFERS, CorruptedObjectError, ObjectExistsError, Store, StoreError, replicas
from sae.versement import seda
from sae.versement.refusal import SipRefusedError

PREPARED, ANSWERED, ACCEPTED, REFUSED, DROPPED = "prepare", "repondu", "accepte", "refuse", "abandonne"
_TRANSFER_BLOCK_BYTES = 1 << 20
_MAX_REPLY_BYTES = 50_000_000
_TRANSFERS_SCHEMA = """
CREATE TABLE IF NOT EXISTS transfert (
  id TEXT PRIMARY KEY, compte TEXT NOT NULL, service TEXT NOT NULL, etat TEXT NOT NULL, prepare_le REAL NOT NULL,
  bordereau_sha512 TEXT NOT NULL, reponse BLOB, signature BLOB, signataire TEXT
);
CREATE TABLE IF NOT EXISTS objet (
  transfert TEXT NOT NULL REFERENCES transfert(id), aip TEXT NOT NULL, sha512 TEXT NOT NULL,
  PRIMARY KEY (transfert, aip)
);
CREATE TABLE IF NOT EXISTS empreinte (transfert TEXT NOT NULL REFERENCES transfert(id), sha512 TEXT NOT NULL);
"""


@dataclass(frozen=True)
class Service:
    """The public archives service.

    Attributes:
        identifier: as the ArchivalAgency of its transfers.
        version: of SEDA, that it reads.
        agreement: its ArchivalAgreement with the groupement, if it has one.
        deposit: the services versants stay owners of what it keeps.
        signer: subject of the certificate that signs its answers (RFC 4514); empty: an agent signs for them.
        root: PEM of the authority of that certificate.
    """

    identifier: str
    version: str = seda.SEDA_VERSION
    agreement: str = ""
    deposit: bool = True
    signer: str = ""
    root: Path | None = None


@dataclass(frozen=True)
class _TransferSettings:
    """`transfert` of the configuration; without a service, nobody is known to transfer to."""

    service: str = ""
    agreement: Annotated[str, Key("accord")] = ""
    version: Annotated[str, Key("seda"), From(str, one_of({one: one for one in seda.VERSIONS}))] = seda.SEDA_VERSION
    deposit: Annotated[bool, Key("nature"), From(str, one_of({"depot": True, "cession": False}))] = True
    signer: Annotated[str, Key("signataire")] = ""
    root: Annotated[SomePath, Key("autorites")] = None

    def __post_init__(self) -> None:
        if bool(self.signer) != bool(self.root):
            raise ValueError("« signataire » et « autorites » vont ensemble.")


def service_of(path: Path) -> Service:
    """The service of the configuration. Raises Refused if there is none, ConfigError."""
    given = section(path, "transfert", _TransferSettings)
    if not given.service:
        raise OperationRefusedError(
            "aucun service public d'archives n'est connu : donnez « archive_gateway_transfer_agency » et relancez le "
            "déploiement de la porte des archives"
        )
    return Service(given.service, given.version, given.agreement, given.deposit, given.signer, given.root)


class Transfers(Book):
    """Transfers and how far they are."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _TRANSFERS_SCHEMA)

    def transfer(self, identifier: str) -> sqlite3.Row:
        """Raises Refused if there is none."""
        rows = self.rows("SELECT * FROM transfert WHERE id = ?", identifier)
        if not rows:
            raise OperationRefusedError(f"aucun transfert « {identifier[:80]} » n'a été préparé ici")
        return rows[0]

    def objects(self, identifier: str) -> dict[str, str]:
        """Archives of a transfer, with their digests."""
        rows = self.rows("SELECT aip, sha512 FROM objet WHERE transfert = ? ORDER BY aip", identifier)
        return {str(row["aip"]): str(row["sha512"]) for row in rows}

    def going(self) -> dict[str, str]:
        """Archives of transfers that wait for their answer, with the transfer."""
        query = "SELECT aip, transfert FROM objet JOIN transfert ON transfert.id = objet.transfert WHERE etat IN (?, ?)"
        return {str(row["aip"]): str(row["transfert"]) for row in self.rows(query, PREPARED, ANSWERED)}


@dataclass(frozen=True)
class _File:
    """A file of a transfer: where it stands in it, what it was called, its digest (SHA-512), its bytes."""

    uri: str
    name: str
    sha512: str
    size: int


@dataclass
class Transferrer:
    """Prepares transfers, and takes their answers.

    Attributes:
        agency: this archive's identifier.
        trust: agents who may sign for an answer that the service does not sign itself.
        stores: ways to the storage, with their names.
    """

    agency: str
    service: Service
    journal: Journal
    store: Store
    stores: Sequence[tuple[str, Store]]
    book: Transfers
    trust: Trust
    accounts: Sequence[str]
    clock: Callable[[], float] = time.time

    # -- out -----------------------------------------------------------------------------------------------

    def due(self, account: str) -> list[AcceptedArchive]:
        """Archives to be kept whose period of use is over, that no service has yet nor is being offered."""
        now, going = self.clock(), self.book.going()
        found = [
            one
            for one in inventory.of_account(self.journal, account).values()
            if one.action != "Destroy" and one.retain_until <= now and one.aip not in going
        ]
        return [one for one in found if not inventory.transferred(self.journal, one)]

    def _check_archives(self, account: str, aips: Sequence[str]) -> list[AcceptedArchive]:
        if account not in self.accounts:
            raise OperationRefusedError(
                f"compte « {account[:80]} » inconnu ; connus : {', '.join(sorted(self.accounts))}"
            )
        if not aips:
            raise OperationRefusedError("aucune archive n'est donnée, ou aucune n'est à transférer")
        now, going, reasons, found = self.clock(), self.book.going(), [], []
        for aip in dict.fromkeys(aips):
            known = inventory.find(self.journal, aip)
            if known is None or known.account != account or inventory.leaving(self.journal, aip):
                reasons.append(f"{aip[:80]} : aucune archive du compte « {account} » n'a cet identifiant")
            elif known.action == "Destroy":
                reasons.append(f"{aip} : son sort final est la destruction, elle ne se transfère pas")
            elif known.retain_until > now:
                day = f"{datetime.fromtimestamp(known.retain_until, UTC):%d/%m/%Y}"
                reasons.append(f"{aip} : encore utile au service versant jusqu'au {day} (Code du patrimoine, L212-2)")
            elif aip in going:
                reasons.append(f"{aip} : déjà dans le transfert {going[aip]}, qui attend sa réponse")
            elif done := inventory.transferred(self.journal, known):
                reasons.append(f"{aip} : déjà transférée ({done})")
            else:
                found.append(known)
        refuse("transfert refusé", reasons)
        return found

    def prepare(self, account: str, aips: Sequence[str], folder: Path) -> Path:
        """Write a transfer of these archives, `transfert-IDENTIFIER.tar`, and note it; gives its path.

        Raises:
            Refused: one of them may not leave, or the transfer would not conform to SEDA.
            StoreError: the storage does not give one of them back whole.
        """
        found = self._check_archives(account, aips)
        identifier = str(uuid.uuid4())
        folder.mkdir(mode=0o750, exist_ok=True)
        target = folder / f"transfert-{identifier}.tar"
        with tempfile.TemporaryDirectory(dir=folder, prefix=".transfert-") as scratch:
            work = Path(scratch)
            with (
                whole(target) as stream,
                tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive,
            ):
                files = {one.aip: self._copy_files(one, archive, work) for one in found}
                manifest = self._build_manifest(identifier, found, files)
                self._check_conformity(manifest, work)
                _add_file(archive, seda.MANIFEST, io.BytesIO(manifest), len(manifest))
        digest = hashlib.sha512(manifest).hexdigest()
        with self.book.transaction() as db:
            if taken := self.book.going().keys() & {one.aip for one in found}:
                target.unlink()
                raise OperationRefusedError(f"{min(taken)} : un autre transfert vient de la prendre")
            db.execute(
                "INSERT INTO transfert (id, compte, service, etat, prepare_le, bordereau_sha512)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (identifier, account, self.service.identifier, PREPARED, self.clock(), digest),
            )
            db.executemany("INSERT INTO objet VALUES (?, ?, ?)", [(identifier, one.aip, one.sha512) for one in found])
            db.executemany(
                "INSERT INTO empreinte VALUES (?, ?)",
                [(identifier, file.sha512) for each in files.values() for file in each],
            )
        detail = {
            "transfert": identifier,
            "service": self.service.identifier,
            "bordereau_sha512": digest,
            "archives": [one.aip for one in found],
        }
        self.journal.note("transfert.prepare", account, "succes", detail, key=f"transfert:{identifier}")
        return target

    def _copy_files(self, known: AcceptedArchive, archive: tarfile.TarFile, work: Path) -> list[_File]:
        """Put the files of an AIP into the transfer: those that were deposited, and what its PREMIS tells of them."""
        package = work / "aip.tar"

        inventory.bring(self.stores, known, package)
        files = list[_File]()
        try:
            with tarfile.open(package) as stored:
                for member in stored:
                    name = member.name.partition("/v1/content/")[2]
                    content = stored.extractfile(member) if name else None
                    if content is None:
                        continue
                    digest = hashlib.file_digest(content, "sha512").hexdigest()  # type: ignore[arg-type] # tar members have readinto, their stubs do not
                    content.seek(0)
                    suffix = PurePosixPath(name).suffix
                    plain = suffix if re.fullmatch(r"\.[A-Za-z0-9]{1,10}", suffix) else ""
                    uri = f"content/{known.aip}/{len(files) + 1:05d}{plain}"
                    _add_file(archive, uri, content, member.size)
                    files.append(_File(uri, name, digest, member.size))
        except tarfile.TarError as error:
            raise CorruptedObjectError(f"{known.aip} : archive illisible ({error})") from error
        return files

    def _build_manifest(
        self, identifier: str, found: Sequence[AcceptedArchive], files: dict[str, list[_File]]
    ) -> bytes:
        """The ArchiveTransfer: a unit for each archive, of a unit for each of its files."""
        writer = Writer(seda.namespace(self.service.version), seda.clean)
        root, add = writer.root("ArchiveTransfer"), writer.add
        add(root, "Comment", f"Transfert d'archives définitives (Code du patrimoine, R212-12) : {len(found)} archives")
        add(root, "Date", datetime.fromtimestamp(self.clock(), UTC).isoformat(timespec="seconds"))
        add(root, "MessageIdentifier", identifier)
        if self.service.agreement:
            add(root, "ArchivalAgreement", self.service.agreement)
        add(root, "CodeListVersions")
        package = add(root, "DataObjectPackage")
        units: list[tuple[str, str]] = []
        for rank, known in enumerate(found, start=1):
            for number, file in enumerate(files[known.aip], start=1):
                key = f"{rank}-{number}"
                one = add(package, "DataObjectGroup", id=f"G{key}")
                binary = add(one, "BinaryDataObject", id=f"B{key}")
                add(binary, "DataObjectVersion", "BinaryMaster_1")
                add(binary, "Uri", file.uri)
                add(binary, "MessageDigest", file.sha512, algorithm="SHA-512")
                if file.size:
                    add(binary, "Size", str(file.size))
                add(binary, "FileInfo/Filename", PurePosixPath(file.name).name)
                units.append((known.aip, key))
        described = add(package, "DescriptiveMetadata")
        for rank, known in enumerate(found, start=1):
            unit = add(described, "ArchiveUnit", id=f"U{rank}")
            content = add(unit, "Content")
            add(content, "DescriptionLevel", "File")
            add(content, "Title", known.title or known.aip)
            add(content, "TransferringAgencyArchiveUnitIdentifier", known.aip)
            for file, (_, key) in zip(files[known.aip], [one for one in units if one[0] == known.aip], strict=True):
                writer.item(unit, f"U{key}", file.name, f"G{key}")
        management = add(package, "ManagementMetadata")
        add(management, "LegalStatus", "Public Archive")
        add(management, "AppraisalRule/FinalAction", "Keep")
        add(root, "ArchivalAgency/Identifier", self.service.identifier)
        add(root, "TransferringAgency/Identifier", self.agency)
        return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)

    def _check_conformity(self, manifest: bytes, work: Path) -> None:
        """Raises Refused if the transfer is not one that our own door would read."""
        path = work / seda.MANIFEST
        path.write_bytes(manifest)
        try:
            seda.read(path, "", len(manifest), self.service.identifier)
        except SipRefusedError as error:
            raise OperationRefusedError(
                f"le transfert ne serait pas conforme au SEDA : {error}. Transférez moins d'archives"
            ) from error

    def drop(self, identifier: str, reason: str) -> None:
        """Give up a transfer that was not answered. Raises Refused."""
        transfer = self.book.transfer(identifier)
        if transfer["etat"] != PREPARED:
            raise OperationRefusedError(f"le transfert {identifier} a sa réponse : il ne s'abandonne plus")
        self._set_state(identifier, DROPPED, PREPARED)
        detail = {"transfert": identifier, "motif": reason[:300]}
        self.journal.note(
            "transfert.abandon", str(transfer["compte"]), "succes", detail, key=f"transfert:{identifier}:abandon"
        )

    # -- the answer ----------------------------------------------------------------------------------------

    def answer(self, text: bytes, signed: bytes) -> tuple[str, bool]:
        """Take the service's ArchiveTransferReply and its detached CMS signature; gives the transfer, and if accepted.

        Again after a crash, with the same reply: goes on.

        Raises:
            Refused: this is no answer to a transfer of ours that counts; nothing is noted but the refusal.
            StoreError: the storage does not keep it; run again.
        """
        try:
            reply = _parse_reply(text)
            transfer = self.book.transfer(reply.request)
            account, identifier = str(transfer["compte"]), str(transfer["id"])
            service = str(transfer["service"])  # another one may be known here since
            self._check_reply(reply, transfer)
            if transfer["reponse"] is not None and bytes(transfer["reponse"]) != text:
                raise OperationRefusedError(f"le transfert {identifier} a déjà une autre réponse")
            if transfer["etat"] == DROPPED:
                raise OperationRefusedError(f"le transfert {identifier} est abandonné : refaites-le")
            signer = str(transfer["signataire"] or "") or self._verify_signer(text, signed, account)
        except OperationRefusedError as error:
            detail = {"reponse_sha512": hashlib.sha512(text).hexdigest(), "raison": str(error)[:1000]}
            self.journal.note("transfert.reponse", "sae", "refus", detail)
            raise
        with self.book.transaction() as db:
            db.execute(
                "UPDATE transfert SET reponse = ?, signature = ?, signataire = ?, etat = ? WHERE id = ? AND etat = ?",
                (text, signed, signer, ANSWERED, identifier, PREPARED),
            )
        transfer = self.book.transfer(identifier)
        for suffix, data in (("xml", text), ("xml.p7s", bytes(transfer["signature"]))):
            self._store_document(f"reponse-{identifier}.{suffix}", data)
        detail = {
            "transfert": identifier,
            "service": service,
            "reponse": reply.identifier,
            "reponse_sha512": hashlib.sha512(text).hexdigest(),
            "signataire": signer,
        }
        key = f"transfert:{identifier}:reponse"
        if not reply.accepted:
            self.journal.note("transfert.refuse", account, "refus", {**detail, "raison": reply.told[:1000]}, key=key)
            self._set_state(identifier, REFUSED, ANSWERED)
            return identifier, False
        for aip, sha512 in self.book.objects(identifier).items():
            known = inventory.find(self.journal, aip)
            if known is None and self._is_accepted(aip, identifier):
                continue  # before a crash, and eliminated since
            if known is None or known.sha512 != sha512:
                raise OperationRefusedError(
                    f"{aip} n'est plus l'archive qui a été transférée : sa prise en charge attend"
                )
            owner = account if self.service.deposit else service
            told = {**detail, "aip_sha512": sha512, "conserve_par": service, "proprietaire": owner}
            self.journal.note(TRANSFERRED, account, "succes", told, aip, f"{key}:{aip}")
        self._set_state(identifier, ACCEPTED, ANSWERED)
        return identifier, True

    def _is_accepted(self, aip: str, transfer: str) -> bool:
        """Whether the journal says that this transfer of the archive was accepted."""
        events = self.journal.events(aip=aip)
        return any(one.event == TRANSFERRED and one.detail.get("transfert") == transfer for one in events)

    def _check_reply(self, reply: _Reply, transfer: sqlite3.Row) -> None:
        if reply.agency != transfer["service"]:
            raise OperationRefusedError(
                f"la réponse est de « {reply.agency[:80]} », le transfert était pour « {transfer['service']} »"
            )
        if reply.sender and reply.sender != self.agency:
            raise OperationRefusedError(
                f"la réponse est faite à « {reply.sender[:80]} » ; ce service est « {self.agency} »"
            )
        sent = {
            str(row["sha512"])
            for row in self.book.rows("SELECT sha512 FROM empreinte WHERE transfert = ?", transfer["id"])
        }
        if strange := [one for one in reply.digests if one.lower() not in sent]:
            raise OperationRefusedError(
                f"la réponse parle d'un fichier que le transfert n'a pas (empreinte {strange[0][:40]}…)"
            )

    def _verify_signer(self, text: bytes, signed: bytes, account: str) -> str:
        if self.service.root is None:
            return self.trust.agent(text, signed, account)[1].shown
        try:
            signer = signature.verify(text, signed, self.service.root)
        except SignatureError as error:
            raise OperationRefusedError(f"signature refusée : {error}") from error
        if signer.subject != self.service.signer:
            raise OperationRefusedError(f"« {signer.subject} » a signé, et non « {self.service.signer} »")
        return signer.shown

    def _store_document(self, name: str, data: bytes) -> None:
        sha512 = hashlib.sha512(data).hexdigest()
        try:
            self.store.put(*TRANSFERS, name, io.BytesIO(data), size=len(data), sha512=sha512, retain_until=FOR_EVER)
        except ObjectExistsError:
            if (self.store.head(*TRANSFERS, name) or {}).get("sha512") != sha512:
                raise StoreError(f"« {name} » est déjà au stockage avec un autre contenu") from None

    def _set_state(self, identifier: str, state: str, before: str) -> None:
        with self.book.transaction() as db:
            db.execute("UPDATE transfert SET etat = ? WHERE id = ? AND etat = ?", (state, identifier, before))


def _add_file(archive: tarfile.TarFile, name: str, content: Any, size: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    archive.addfile(info, content)


@dataclass(frozen=True)
class _Reply:
    """What an ArchiveTransferReply says; `told` is why it refuses."""

    identifier: str
    request: str
    agency: str
    sender: str
    accepted: bool
    told: str
    digests: Sequence[str]


def _parse_reply(text: bytes) -> _Reply:
    """Read an answer that may be anything. Raises Refused."""
    if len(text) > _MAX_REPLY_BYTES:
        raise OperationRefusedError(f"la réponse dépasse {_MAX_REPLY_BYTES // 1_000_000} Mo")
    parser = etree.XMLParser(
        resolve_entities=False, load_dtd=False, no_network=True, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(text, parser)
    except etree.XMLSyntaxError as error:
        raise OperationRefusedError(f"la réponse n'est pas du XML bien formé : {error.msg}") from error
    name = etree.QName(root)
    if root.getroottree().docinfo.internalDTD is not None:
        raise OperationRefusedError("la réponse contient une déclaration DOCTYPE : refusée")
    if name.localname != "ArchiveTransferReply" or name.namespace not in map(seda.namespace, seda.VERSIONS):
        raise OperationRefusedError(
            f"« {name.localname[:80]} » n'est pas un ArchiveTransferReply du SEDA 2.1, 2.2 ou 2.3"
        )

    def value(path: str) -> str:
        found = root.findall("/".join(f"{{{name.namespace}}}{step}" for step in path.split("/")))
        if len(found) > 1:
            raise OperationRefusedError(f"la réponse a plusieurs « {path} »")
        return " ".join(str(found[0].text or "").split()) if found else ""

    code = value("ReplyCode")
    fields = {one: value(one) for one in ("MessageIdentifier", "MessageRequestIdentifier", "ArchivalAgency/Identifier")}
    if missing := [one for one, found in {**fields, "ReplyCode": code}.items() if not found]:
        raise OperationRefusedError(f"la réponse n'a pas de « {missing[0]} »")
    told = [code, *(" ".join(str(one.text or "").split()) for one in root.findall(f"{{{name.namespace}}}Comment"))]
    return _Reply(
        identifier=fields["MessageIdentifier"],
        request=fields["MessageRequestIdentifier"],
        agency=fields["ArchivalAgency/Identifier"],
        sender=value("TransferringAgency/Identifier"),
        accepted=code == "OK",
        told=" : ".join(filter(None, told)),
        digests=[str(one.text or "").strip() for one in root.iter(f"{{{name.namespace}}}MessageDigest")],
    )


# -- command ----------------------------------------------------------------------------------------------

_TRANSFER_EPILOG = """\
  1. sae-transfert preparer --compte gondecourt --echues --vers /var/lib/sae/transferts     écrit le SIP à remettre
  2. le service d'archives répond (ArchiveTransferReply) ; sa signature CMS, ou celle d'un agent qui l'a reçue :
     openssl cms -sign -binary -outform DER -signer cert.pem -inkey key.pem -certfile chain.pem \\
       -in reponse.xml -out reponse.p7s
  3. sae-transfert repondre reponse.xml reponse.p7s     note qui conserve chaque archive, et à qui elle est
  4. sae-elimination demander …     à deux, comme toute élimination"""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Gives 0 when it is done, 1 when it is refused, 2 when it must be run again."""
    broken = (StoreError, JournalError, SignatureError, sqlite3.Error, OSError)
    return run(
        "sae-transfert",
        _build_parser().parse_args(argv),
        _open_transferrer,
        (OperationRefusedError, ConfigError),
        broken,
    )


@contextmanager
def _open_transferrer(path: Path) -> Iterator[Transferrer]:
    loaded = config.load(path)
    service, store = service_of(path), loaded.store()
    with Journal(loaded.journal) as journal, closing(Transfers(loaded.folder / "transferts.sqlite")) as book:
        yield Transferrer(
            loaded.agency, service, journal, store, replicas(store), book, trust_of(path), sorted(loaded.accounts)
        )


def _build_parser() -> argparse.ArgumentParser:
    parser, command = commands(
        "sae-transfert", "Transfère des archives définitives à un service public d'archives.", _TRANSFER_EPILOG
    )
    due = command(
        "echues", _show_due, "montre les archives à conserver dont la durée est passée et qui sont encore ici"
    )
    prepare = command("preparer", _prepare_transfer, "écrit un transfert (SIP SEDA) à remettre au service d'archives")
    for sub in (due, prepare):
        sub.add_argument("--compte", required=True, metavar="COMPTE", help="service versant")
    prepare.add_argument("--echues", action="store_true", help="toutes celles que « echues » montre")
    prepare.add_argument("--vers", type=Path, required=True, metavar="DOSSIER", help="où écrire le SIP")
    prepare.add_argument("aip", nargs="*", metavar="AIP")
    reply = command("repondre", _take_reply, "prend la réponse signée du service d'archives")
    reply.add_argument("reponse", type=Path, help="ArchiveTransferReply")
    reply.add_argument("signature", type=Path, help="signature CMS détachée (DER)")
    drop = command("abandonner", _drop_transfer, "abandonne un transfert resté sans réponse")
    drop.add_argument("transfert")
    drop.add_argument("--motif", default="")
    command("liste", _list_transfers, "montre les transferts")
    return parser


def _show_due(transferrer: Transferrer, arguments: argparse.Namespace) -> int:
    return show_due(transferrer.due(arguments.compte), f"du compte « {arguments.compte} » sont à transférer")


def _prepare_transfer(transferrer: Transferrer, arguments: argparse.Namespace) -> int:
    print(transferrer.prepare(arguments.compte, chosen(arguments, transferrer.due), arguments.vers))
    return 0


def _take_reply(transferrer: Transferrer, arguments: argparse.Namespace) -> int:
    identifier, accepted = transferrer.answer(arguments.reponse.read_bytes(), arguments.signature.read_bytes())
    if accepted:
        print(f"Transfert {identifier} accepté : le journal dit qui conserve chaque archive, et à qui elle est.")
        print("Leur élimination est permise : sae-elimination demander, à deux.")
        return 0
    print(f"Transfert {identifier} refusé par le service d'archives : rien ne change ici.", file=sys.stderr)
    return 1


def _drop_transfer(transferrer: Transferrer, arguments: argparse.Namespace) -> int:
    transferrer.drop(arguments.transfert, arguments.motif)
    print(f"Le transfert {arguments.transfert} est abandonné.")
    return 0


def _list_transfers(transferrer: Transferrer, arguments: argparse.Namespace) -> int:
    for row in transferrer.book.rows("SELECT * FROM transfert ORDER BY prepare_le"):
        count = len(transferrer.book.objects(row["id"]))
        day = f"{datetime.fromtimestamp(row['prepare_le'], UTC):%d/%m/%Y}"
        print(f"{row['id']}  {day}  {row['etat']:<9} {row['compte']:<14} {count:>6} archives  {row['service']}")
    return 0
