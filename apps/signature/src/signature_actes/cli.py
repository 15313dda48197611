"""The two commands: ``signer-acte`` for the person at the PC, ``verifier-acte`` for who receives what was signed."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asn1crypto import pem

from creatic_agent.french import tell_any_name
from creatic_agent.reasons import reason

from . import check, door, files, limits, pades, pes, token
from .person import Person
from .refusal import DocumentRefusedError, unread
from .trust import Trust, common_name

CONFIG = Path("/etc/creatic/signer-acte.json")
_WRITTEN = (
    "             (écrit de nouveau, sans rien changer à ses pages, pour que tout logiciel y lise le même document ; "
    "le vôtre reste tel quel)"
)


def _run_command(run: Callable[[], int]) -> int:
    """Run a command: a refusal is one French line, and status 1."""
    logging.disable(logging.CRITICAL)
    tell_any_name()
    try:
        return run()
    except DocumentRefusedError as refusal:
        print(refusal, file=sys.stderr)
    except MemoryError:
        print(limits.TOO_MUCH, file=sys.stderr)
    except OSError as error:
        print(f"{error.filename or 'fichier'} : {reason(error)}. À faire : recommencez", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nAbandonné : aucun autre document n'est signé.", file=sys.stderr)
    return 1


def _token_keys(config: dict[str, Any]) -> dict[str, token.TokenKey]:
    return {one["titulaire"]: token.TokenKey(Path(one["bibliotheque"]), one["jeton"]) for one in config["signataires"]}


def _choose_key(keys: dict[str, token.TokenKey], wanted: str) -> token.TokenKey:
    if wanted:
        if wanted not in keys:
            raise DocumentRefusedError(f"--signataire {wanted} : inconnu sur ce poste ; connus : {', '.join(keys)}")
        return keys[wanted]
    if len(keys) != 1:
        raise DocumentRefusedError(
            f"plusieurs personnes signent sur ce poste. À faire : ajoutez --signataire, parmi {', '.join(keys)}"
        )
    return next(iter(keys.values()))


@dataclass(frozen=True)
class _Document:
    """What is signed.

    Attributes:
        content: what will be signed; the document itself, or that one as the door wrote it again.
    """

    source: Path
    content: Path
    target: Path
    is_pes: bool


@contextmanager
def _open_document(source: Path, output: Path | None) -> Iterator[_Document]:
    """Check all that can be without the token: a refusal must come before the PIN."""
    with tempfile.TemporaryDirectory() as folder:
        yield _check_document(source, output, Path(folder))


def _check_document(source: Path, output: Path | None, folder: Path) -> _Document:
    target = output or source.with_name(f"{source.stem}-signe{source.suffix}")
    is_pes, content = files.looks_like_xml(source), source
    if is_pes:
        pes.unsigned(source)
    else:
        written = folder / source.name
        try:
            content = written if door.admit(source, written, door.Form.SIGNED) else source
        except check.ODD as error:  # what a hostile file makes of a parser
            raise unread(source.name, error, files.REMAKE) from None
    if target.exists():
        raise DocumentRefusedError(
            f"{target.name} existe déjà. À faire : déplacez-le, ou donnez un autre nom avec --sortie"
        )
    if not os.access(target.parent, os.W_OK):
        raise DocumentRefusedError(
            f"{target.parent} : on ne peut pas y écrire. À faire : donnez un autre nom avec --sortie"
        )
    return _Document(source, content, target, is_pes)


def _sign_one(arguments: argparse.Namespace, config: dict[str, Any]) -> int:
    with ExitStack() as held:
        documents = [held.enter_context(_open_document(source, arguments.sortie)) for source in arguments.fichier]
        return _sign_all(documents, arguments, config)


def _sign_all(documents: Sequence[_Document], arguments: argparse.Namespace, config: dict[str, Any]) -> int:
    place = pes.Place(config["commune"], config["code_postal"])
    if not place.postal_code and any(document.is_pes for document in documents):
        raise DocumentRefusedError(
            "un flux comptable dit où il est signé, et le code postal de la mairie manque. À faire : le technicien "
            "l'écrit dans le fichier de la commune, champ code_postal, puis redéploie ce poste"
        )
    key = _choose_key(_token_keys(config), arguments.signataire)
    holder = common_name(token.read(key).certificate.subject)
    for document in documents:
        print(f"Document   : {document.source.name}")
        if document.content != document.source:
            print(_WRITTEN)
    print(f"Signataire : {holder}", flush=True)

    def pin() -> str:
        return getpass.getpass("Code PIN de la clé (il ne s'affiche pas) : ")

    with token.signer(key, pin) as signer:
        for document in documents:
            if document.is_pes:
                pes.sign(document.source, document.target, signer, place)
            else:
                asyncio.run(pades.sign(document.content, document.target, signer))
            print(f"Signé      : {document.target}", flush=True)
    print("Déposez dans le parapheur, tel quel, chaque fichier signé.")
    return 0


def _show_certificates(config: dict[str, Any]) -> int:
    shown = [
        {"titulaire": holder, "pem": pem.armor("CERTIFICATE", token.read(key).certificate.dump()).decode()}
        for holder, key in _token_keys(config).items()
    ]
    print(json.dumps(shown, ensure_ascii=False))
    return 0


def signer(argv: Sequence[str] | None = None, config: Path = CONFIG) -> int:
    """``signer-acte``: sign a PDF or a PES with the token of the person at this PC."""
    parser = argparse.ArgumentParser(
        prog="signer-acte",
        description="Signe des actes (PDF) ou des flux comptables (PES, XML) avec votre clé, en une saisie du code. Le "
        "document d'origine reste tel quel ; le document signé est écrit à côté, avec « -signe » dans son nom.",
    )
    parser.add_argument("fichier", type=Path, nargs="*", help="documents à signer")
    parser.add_argument("--sortie", type=Path, help="nom du document signé, s'il n'y en a qu'un")
    parser.add_argument("--signataire", default="", help="qui signe, si plusieurs personnes signent sur ce poste")
    parser.add_argument(
        "--certificats", action="store_true", help="montre en JSON les certificats de signature des clés de ce poste"
    )
    arguments = parser.parse_args(argv)
    if not (arguments.fichier or arguments.certificats):
        parser.error("donnez le document à signer")
    if arguments.sortie and len(arguments.fichier) != 1:
        parser.error("--sortie ne va qu'avec un seul document")

    def run() -> int:
        try:
            known = json.loads(config.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise DocumentRefusedError(f"{config} est illisible : ce poste n'est pas préparé pour signer") from None
        return _show_certificates(known) if arguments.certificats else _sign_one(arguments, known)

    return _run_command(run)


def verifier(argv: Sequence[str] | None = None) -> int:
    """``verifier-acte``: say whether a document is signed by the expected person, and counts. One line of JSON."""
    parser = argparse.ArgumentParser(prog="verifier-acte", description="Vérifie qu'un document est bien signé.")
    parser.add_argument("fichier", type=Path, help="document signé (PDF ou PES)")
    parser.add_argument("--signataire", required=True, help="nom de la personne attendue")
    parser.add_argument("--siren", default="", help="SIREN que son certificat doit porter")
    parser.add_argument("--origine", type=Path, help="document tel que le circuit l'a donné à signer")
    parser.add_argument("--autorites", type=Path, action="append", required=True, help="autorités admises (PEM)")
    parser.add_argument("--crl", type=Path, action="append", required=True, help="listes de révocation (PEM)")
    parser.add_argument("--taille-max-mo", type=int, default=files.MAX_BYTES // 1_000_000)
    arguments = parser.parse_args(argv)

    def run() -> int:
        limits.bound()
        person = Person(arguments.signataire, arguments.siren)
        trust = Trust.read(arguments.autorites, arguments.crl)
        judge = pes.check if files.looks_like_xml(arguments.fichier) else check.check_pdf
        limit = arguments.taille_max_mo * 1_000_000
        try:
            found = asyncio.run(judge(arguments.fichier, person, trust, arguments.origine, limit))
        except (DocumentRefusedError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 # hostile file: parsers raise any type
            raise unread(arguments.fichier.name, error) from None
        when = found.claimed_at.isoformat(timespec="seconds") if found.claimed_at else None
        told: dict[str, Any] = {"signataire": found.holder, "serie": found.serial, "date": when}
        told |= {"remarques": found.remarks} if found.remarks else {}
        print(json.dumps(told, ensure_ascii=False))
        return 0

    return _run_command(run)
