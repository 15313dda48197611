"""Reversibility: an account's archives on a plain disk, readable and verifiable without any of this (`sae-export`).

The target folder gets::

    LISEZMOI.txt   what this is, and which public tools verify it
    export.json    what was asked, and how far it is
    archives/      OCFL 1.1 storage root (layout 0003), or one BagIt folder an archive
    archives-tar/  archives as the storage has them, whose names this disk, or a common one, cannot hold

An archive appears under `archives/` by a rename, when all its digests are right: a run that was cut goes on.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import json
import re
import shutil
import sqlite3
import sys
import tarfile
import tempfile
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from creatic_agent import durable
from creatic_agent.errors import CreaticError
from creatic_agent.reasons import because, reason
from sae import config, inventory, ocfl
from sae.commands import DEFAULT_PATH
from sae.journal import Journal, JournalError
from sae.store import ObjectNotFoundError, Store, StoreError, first_good, replicas

OCFL, BAGIT = "ocfl", "bagit"
LAYOUT = "0003-hash-and-id-n-tuple-storage-layout"
_TUPLES, _TUPLE_SIZE, _LONGEST = 3, 3, 100
_EXPORT_BLOCK_BYTES = 1 << 20
_MAX_REPORTED_FAULTS = 5  # faults of an object
_EXPORT_README = """\
Archives du compte « {account} », exportées le {day}.

{what}
Rien d'autre n'est nécessaire : ni notre logiciel, ni base de données. Chaque archive contient les fichiers versés
(sip/) et les événements de son archivage (premis.xml, PREMIS 3).

Le dossier « archives-tar », s'il existe, contient telles quelles, une par fichier .tar, les archives dont des fichiers
ont des noms que ce disque ne peut pas écrire (un fichier et un dossier du même nom, un nom trop long), ou qu'un autre
confondrait (deux noms que seules des majuscules distinguent). Chacune est un objet OCFL ; tar, 7-Zip ou Python en
lisent les fichiers un à un, sous v1/content/.
"""
_FORM_DESCRIPTIONS = {
    OCFL: """\
Le dossier « archives » est un entrepôt OCFL 1.1 (https://ocfl.io/1.1/spec/). Pour le vérifier avec ocfl-py :

    pip install ocfl-py
    ocfl-root.py validate --root archives --validate-objects --check-digests
""",
    BAGIT: """\
Le dossier « archives » contient un sac BagIt (RFC 8493) par archive. Pour les vérifier :

    pip install bagit
    bagit.py --validate archives/*
""",
}


class ExportError(CreaticError, cause="export"):
    """The export cannot start; the message is French."""


class DamagedArchiveError(StoreError, cause="abime"):
    """An archive is not what it must be; the message is French."""


class _UnsupportedNameError(Exception):
    """The target cannot hold files of such names; the message is French."""


@dataclass
class Outcome:
    """What was done: archives exported by this run, found done already, and those that could not be (with why).

    `whole` are those that stayed a tar, with why.
    """

    made: int = 0
    already: int = 0
    bytes: int = 0
    whole: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)


def export(
    replicas: Sequence[tuple[str, Store]],
    journal: Journal,
    account: str,
    target: Path,
    form: str,
    progress: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Write an account's archives into a folder.

    Args:
        replicas: ways to the storage; when one gives a damaged archive the next is asked.
        journal: says which archives there are and their digests; the export is journaled.
        account: slug of the service versant.
        target: an empty or absent folder, or that of an earlier run of the same export.
        form: "ocfl" or "bagit".

    Raises:
        ExportError: the target is something else's; nothing is written.
        StoreError: the storage does not answer.
        OSError: the target cannot be written (disk full); run again.
    """
    _open_target(target, account, form)
    wanted = {
        aip: _Archive(account, aip, known.name, known.sha512)
        for aip, known in inventory.of_account(journal, account).items()
    }
    outcome = Outcome()
    # Those which only the storage knows come along, against the label they bear.
    for name in replicas[0][1].names(account, inventory.CONTAINER):
        aip = name.removesuffix(".tar")
        if aip not in wanted:
            wanted[aip] = _Archive(account, aip, name, None)
            outcome.unknown.append(aip)
    journal.append(
        "export.debut",
        account=account,
        aip=None,
        outcome="succes",
        detail={"format": form, "archives": len(wanted), "destination": str(target)},
    )
    _write_all(replicas, wanted, target, form, outcome, progress)
    done = {
        "termine": not outcome.failed,
        "archives": outcome.made + outcome.already,
        "manquantes": outcome.failed,
        "en_tar": sorted(path.stem for path in (target / "archives-tar").glob("*.tar")),
        "inconnues_du_journal": sorted(outcome.unknown),
    }
    _write_state(target, account, form, done)
    journal.append(
        "export.fin",
        account=account,
        aip=None,
        outcome="echec" if outcome.failed else "succes",
        detail={
            "format": form,
            "archives": outcome.made + outcome.already,
            "octets": outcome.bytes,
            "manquantes": sorted(outcome.failed),
            "destination": str(target),
        },
    )
    return outcome


def _write_all(
    replicas: Sequence[tuple[str, Store]],
    wanted: Mapping[str, _Archive],
    target: Path,
    form: str,
    outcome: Outcome,
    progress: Callable[[str], None],
) -> None:
    """Write the archives that are not there yet, and note what became of each: one never keeps the others."""
    partial = target / "archives.en-cours"
    for aip, archive in sorted(wanted.items()):
        final = target / "archives" / _archive_place(aip, form)
        tar = target / "archives-tar" / f"{aip}.tar"
        if final.is_dir() or tar.is_file():
            outcome.already += 1
            continue
        try:
            size, why = _export_archive(replicas, archive, partial, final, tar, form)
            outcome.bytes += size
            outcome.made += 1
            if why:
                outcome.whole[aip] = why
            progress(f"{outcome.made + outcome.already}/{len(wanted)} {aip}")
        except StoreError as error:
            outcome.failed[aip] = str(error)
            progress(f"✗ {aip} : {error}")
    shutil.rmtree(partial, ignore_errors=True)


def _open_target(target: Path, account: str, form: str) -> None:
    marker = target / "export.json"
    if marker.is_file():
        try:
            found = json.loads(marker.read_text(encoding="utf-8"))
            same = (found["compte"], found["format"]) == (account, form)
        except (ValueError, KeyError, TypeError):
            same = False
        if not same:
            raise ExportError(f"{target} contient un autre export : choisissez un dossier vide")
    elif target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ExportError(f"{target} n'est pas un dossier vide : rien n'est écrit, choisissez-en un autre")
    (target / "archives").mkdir(parents=True, exist_ok=True)
    _write_state(target, account, form, {"termine": False})
    text = _EXPORT_README.format(account=account, day=f"{datetime.now(UTC):%d/%m/%Y}", what=_FORM_DESCRIPTIONS[form])
    durable.write(target / "LISEZMOI.txt", text.encode(), 0o644)
    if form == OCFL:
        root = target / "archives"
        settings = {
            "extensionName": LAYOUT,
            "digestAlgorithm": "sha256",
            "tupleSize": _TUPLE_SIZE,
            "numberOfTuples": _TUPLES,
        }
        layout = {"extension": LAYOUT, "description": "Empreinte SHA-256 de l'identifiant, puis l'identifiant"}
        (root / "extensions" / LAYOUT).mkdir(parents=True, exist_ok=True)
        durable.write(root / "extensions" / LAYOUT / "config.json", _encode_json(settings), 0o644)
        durable.write(root / "ocfl_layout.json", _encode_json(layout), 0o644)
        durable.write(root / "0=ocfl_1.1", b"ocfl_1.1\n", 0o644)


def _write_state(target: Path, account: str, form: str, state: Mapping[str, Any]) -> None:
    durable.write(target / "export.json", _encode_json({"compte": account, "format": form, **state}), 0o644)


def _encode_json(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode()


def _archive_place(aip: str, form: str) -> PurePosixPath:
    return layout(f"urn:uuid:{aip}") if form == OCFL else PurePosixPath(aip)


def layout(identifier: str) -> PurePosixPath:
    """Path of an object in a storage root of OCFL community extension 0003 (SHA-256, three tuples of three)."""
    digest = hashlib.sha256(identifier.encode()).hexdigest()
    encoded = re.sub(rb"[^A-Za-z0-9_-]", lambda found: b"%%%02x" % found[0][0], identifier.encode()).decode()
    if len(encoded) > _LONGEST:
        encoded = f"{encoded[:_LONGEST]}-{digest}"
    tuples = [digest[at : at + _TUPLE_SIZE] for at in range(0, _TUPLES * _TUPLE_SIZE, _TUPLE_SIZE)]
    return PurePosixPath(*tuples, encoded)


@dataclass(frozen=True)
class _Archive:
    """One to export; without `sha512`, what its label in the storage says is believed."""

    account: str
    aip: str
    name: str
    sha512: str | None


def _export_archive(
    replicas: Sequence[tuple[str, Store]], archive: _Archive, partial: Path, final: Path, tar: Path, form: str
) -> tuple[int, str]:
    """Bring one archive to its place, or its tar to its own; gives the bytes read, and why it is the tar."""

    def take(store: Store) -> tuple[Path, int, str]:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        return _fetch_archive(store, archive, partial, form)

    ready, size, why = first_good(replicas, take)
    place = tar if why else final
    durable.sync_tree(ready)
    place.parent.mkdir(parents=True, exist_ok=True)
    ready.rename(place)
    durable.sync_directory(place.parent)
    return size, why


def bring(replicas: Sequence[tuple[str, Store]], known: inventory.AcceptedArchive, folder: Path) -> Path:
    """Write one archive into a folder, as a bag verified against the journal; gives its place.

    Where the disk cannot hold its files' names, it is its tar. What is there already, whole, stays.

    Raises:
        StoreError: no replica gives it whole.
        OSError: the folder cannot be written.
    """
    final, tar, partial = folder / known.aip, folder / f"{known.aip}.tar", folder / f".{known.aip}.en-cours"
    done = next((one for one in (final, tar) if one.exists()), None)
    if done is None:
        archive = _Archive(known.account, known.aip, known.name, known.sha512)
        _, why = _export_archive(replicas, archive, partial, final, tar, BAGIT)
        shutil.rmtree(partial, ignore_errors=True)
        done = tar if why else final
    return done


def _fetch_archive(store: Store, archive: _Archive, folder: Path, form: str) -> tuple[Path, int, str]:
    """Bring an archive of one replica into a folder: in its form, or as its tar where the disk refuses its names.

    Returns:
        What to put in place, the bytes read, and why it is the tar.
    """
    try:
        with _translate_name_errors():
            size = _unpack_object(store, archive, folder)
            unpacked = folder / archive.aip
            check(unpacked)
            return (unpacked if form == OCFL else _write_bag(unpacked, folder / "sac", archive.account)), size, ""
    except _UnsupportedNameError as error:
        tar = folder / "aip.tar"
        return tar, _copy_tar(store, archive, tar), str(error)


# What a name may meet on a disk; anything else is the disk's own trouble.
_NAME_ERRNOS = {
    errno.EEXIST,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.EINVAL,
    errno.EILSEQ,
    errno.ENOTEMPTY,
}


@contextmanager
def _translate_name_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _NAME_ERRNOS:
            raise
        name = PurePosixPath(str(error.filename or "")).name[:120]
        raise _UnsupportedNameError(f"« {name} » ne peut pas être écrit sur ce disque ({reason(error)})") from error


class _Spellings:
    """The names of an archive, none of which may be another's on a disk that knows neither case nor accents' forms.

    Keys of clerks are FAT, exFAT or NTFS, and a folder that this disk holds is copied on to one of them.
    """

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def take(self, path: PurePosixPath) -> None:
        """Take a file's name and those of its folders. Raises _Unfit, naming the two."""
        for part in (path, *path.parents):
            name = str(part)
            other = self._known.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
            if other != name:
                pair = f"« {PurePosixPath(other).name[:60]} » et « {part.name[:60]} »"
                raise _UnsupportedNameError(
                    f"{pair} ne font qu'un sur un disque qui ne distingue ni la casse ni la forme des accents"
                )


def _copy_tar(store: Store, archive: _Archive, target: Path) -> int:
    """The tar as it is in the storage; gives its bytes."""
    expected = _expected_digest(store, archive)
    try:
        with (
            closing(store.get(archive.account, inventory.CONTAINER, archive.name)) as raw,
            target.open("wb") as written,
        ):
            stream = _Digesting(raw)
            while block := stream.read(_EXPORT_BLOCK_BYTES):
                written.write(block)
    except ObjectNotFoundError:
        raise DamagedArchiveError("elle n'est plus au stockage") from None
    if stream.digest.hexdigest() != expected:
        raise DamagedArchiveError("son SHA-512 n'est pas celui du journal")
    return stream.size


def _expected_digest(store: Store, archive: _Archive) -> str | None:
    return archive.sha512 or (store.head(archive.account, inventory.CONTAINER, archive.name) or {}).get("sha512")


class _Digesting:
    """A stream that digests what is read of it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self.digest, self.size = stream, hashlib.sha512(), 0

    def read(self, count: int = -1) -> bytes:
        block = self._stream.read(count)
        self.digest.update(block)
        self.size += len(block)
        return block


def structure_faults(store: Store, known: inventory.AcceptedArchive, folder: Path) -> str:
    """What is wrong with the OCFL object of an archive, by the specification (French); empty when it is good.

    Args:
        store: a way to it whose content is as the journal says.
        known: the archive.
        folder: where it is unpacked, and removed again.

    Raises:
        StoreError: it was not read whole.
        OSError: the disk is at fault.
    """
    archive = _Archive(known.account, known.aip, known.name, known.sha512)
    with tempfile.TemporaryDirectory(dir=folder, prefix="structure-") as made:
        tar = Path(made) / "aip.tar"
        _copy_tar(store, archive, tar)  # its content first: what is wrong then is the structure's
        try:
            with _translate_name_errors(), tar.open("rb") as stream:
                _extract_tar(stream, archive.aip, Path(made) / "objet")
                check(Path(made) / "objet" / archive.aip)
        except (DamagedArchiveError, _UnsupportedNameError) as error:
            return str(error)
    return ""


def _extract_tar(stream: BinaryIO, aip: str, folder: Path, spellings: _Spellings | None = None) -> None:
    """Write the files of an archive's tar. Raises Damaged; _Unfit, when `spellings` finds two names that are one."""
    try:
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                inside = PurePosixPath(member.name)
                if inside.parts[:1] != (aip,) or not (member.isfile() or member.isdir()):
                    raise DamagedArchiveError(f"« {member.name[:200]} » n'a rien à faire dans cette archive")
                if spellings is not None:
                    spellings.take(inside)
                tar.extract(member, folder, filter="data")
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise DamagedArchiveError(f"ce n'est plus une archive tar ({error})") from error


def _unpack_object(store: Store, archive: _Archive, folder: Path) -> int:
    expected = _expected_digest(store, archive)
    try:
        with closing(store.get(archive.account, inventory.CONTAINER, archive.name)) as raw:
            stream = _Digesting(raw)
            _extract_tar(cast(BinaryIO, stream), archive.aip, folder, _Spellings())
            while stream.read(_EXPORT_BLOCK_BYTES):
                pass
    except ObjectNotFoundError:
        raise DamagedArchiveError("elle n'est plus au stockage") from None
    if stream.digest.hexdigest() != expected:
        raise DamagedArchiveError("son SHA-512 n'est pas celui du journal")
    return stream.size


def check(folder: Path) -> dict[str, Any]:
    """Verify an OCFL object on disk as the specification judges it, and that its digests are ours. Gives the inventory.

    Raises:
        Damaged: with what is wrong.
        OSError: the disk is at fault.
    """
    found, faults = ocfl.faults(folder)
    if faults:
        more = (
            f" ; et {len(faults) - _MAX_REPORTED_FAULTS} autres défauts" if len(faults) > _MAX_REPORTED_FAULTS else ""
        )
        raise DamagedArchiveError(" ; ".join(map(str, faults[:_MAX_REPORTED_FAULTS])) + more)
    if found["digestAlgorithm"] != "sha512":  # the standard takes it; no archive of ours has it
        raise DamagedArchiveError(f"empreintes {found['digestAlgorithm']} au lieu de sha512")
    return dict(found)


def _write_bag(source: Path, bag: Path, account: str) -> Path:
    """A BagIt 1.0 folder (RFC 8493) with the files of the object's latest version under their own names."""
    found = check(source)
    state = found["versions"][found["head"]]
    (bag / "data").mkdir(parents=True)
    manifest, size, count = [], 0, 0
    for digest, names in state["state"].items():
        stored = source / found["manifest"][digest][0]
        for name in names:
            path = bag / "data" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(stored, path)
            size, count = size + path.stat().st_size, count + 1
            manifest.append((f"data/{name}", digest))
    info = {
        "External-Identifier": found["id"],
        "Source-Organization": account,
        "Bagging-Date": f"{datetime.now(UTC):%Y-%m-%d}",
        "Payload-Oxum": f"{size}.{count}",
        "External-Description": " ".join(str(state.get("message", "")).split()),
    }
    tags = {
        "bagit.txt": "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n",
        "bag-info.txt": "".join(f"{key}: {value}\n" for key, value in info.items() if value),
        "manifest-sha512.txt": _manifest_text(manifest),
    }
    for name, text in tags.items():
        (bag / name).write_text(text, encoding="utf-8")
    digests = [(name, hashlib.sha512(text.encode()).hexdigest()) for name, text in tags.items()]
    (bag / "tagmanifest-sha512.txt").write_text(_manifest_text(digests), encoding="utf-8")
    return bag


def _manifest_text(entries: Sequence[tuple[str, str]]) -> str:
    """RFC 8493 section 2.1.3 encodes line ends and percent signs.

    bagit-python decodes line ends alone: a percent sign that nobody could take for an escape is left as it is, which
    every reader understands.
    """

    def encoded(name: str) -> str:
        return re.sub(r"%(?=25|0[AaDd])|[\r\n]", lambda found: f"%{ord(found[0]):02X}", name)

    return "".join(f"{digest}  {encoded(name)}\n" for name, digest in sorted(entries))


def _unknown_account_message(account: str, known: Iterable[str], journal: Journal) -> str:
    """What is said of an account that the configuration does not have: it may have archives all the same."""
    if kept := len(inventory.of_account(journal, account)):
        return (
            f"compte « {account} » : {kept} archives, et l'inventaire ne l'a plus. À faire : ajoutez-le à "
            "creatic_archive_partenaires (group_vars/all.yml), puis fab serveurs archive_node,archive_gateway"
        )
    return f"compte « {account} » inconnu ; connus : {', '.join(sorted(known))}"


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Gives 0 when every archive is exported, 1 otherwise, 2 for misuse."""
    text = "Restitue les archives d'un compte sur un disque, lisibles et vérifiables avec des outils publics."
    told = "Un export interrompu reprend : relancez la même commande."
    parser = argparse.ArgumentParser("sae-export", description=text, epilog=told)
    parser.add_argument("--config", type=Path, default=DEFAULT_PATH, metavar="FICHIER", help="configuration")
    parser.add_argument("--compte", required=True, metavar="COMPTE", help="service versant")
    parser.add_argument(
        "--vers", required=True, type=Path, metavar="DOSSIER", help="dossier vide, ou export à reprendre"
    )
    parser.add_argument(
        "--format", choices=(OCFL, BAGIT), default=OCFL, help="entrepôt OCFL (par défaut) ou sacs BagIt"
    )
    arguments = parser.parse_args(argv)
    try:
        loaded = config.load(arguments.config)
        with Journal(loaded.journal) as journal:
            if arguments.compte not in loaded.accounts:
                raise ExportError(_unknown_account_message(arguments.compte, loaded.accounts, journal))
            outcome = export(
                replicas(loaded.store()),
                journal,
                arguments.compte,
                arguments.vers,
                arguments.format,
                lambda line: print(line, flush=True) if sys.stdout.isatty() else None,
            )
    except (ExportError, config.ConfigError) as error:
        print(f"sae-export : {error}", file=sys.stderr)
        return 2
    except (StoreError, JournalError, sqlite3.Error, OSError) as error:
        print(f"sae-export : interrompu, relancez pour reprendre : {because(error)}", file=sys.stderr)
        return 1
    for aip in outcome.unknown:
        print(f"! {aip} : au stockage, mais inconnue du journal")
    for aip, why in outcome.whole.items():
        print(f"! {aip} : {why} ; l'archive entière est dans archives-tar")
    for aip, why in outcome.failed.items():
        print(f"✗ {aip} : {why}")
    already = f" ({outcome.already} l'étaient déjà)" if outcome.already else ""
    print(
        f"{'✗' if outcome.failed else '✓'} {outcome.made + outcome.already} archives dans {arguments.vers}{already}, "
        f"{len(outcome.failed)} manquantes."
    )
    return int(bool(outcome.failed))
