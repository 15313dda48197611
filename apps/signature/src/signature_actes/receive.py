"""A parapheur's signed file, checked and sealed: one request on standard input, one answer on standard output.

systemd starts a process for each connection to a unix socket: what a hostile file does to a parser ends with it, and
the account that holds the seal's key is not the application's.

A request is a line of JSON, then the circuit's document, then the file handed in; its fields: ``nom`` (of the file, for
people), ``signataires`` (whose signature is expected: ``nom``, ``siren``; the first one that signed is enough),
``origine`` and ``signe`` (sizes in bytes). An answer is a line of JSON, then the sealed PDF: ``signataire``, ``serie``,
``date``, ``remarques`` (what is outdated in the signature, and counts all the same), ``taille`` (bytes of what follows;
0 for a PES, which bears no seal), or ``refus``, a French reason. Without anybody expected, the document itself is at
the door of its circuit (`door`): whether a person will be able to sign it, and what follows is the circuit's document
when it had to be written again; with ``mentions`` (name, then words of the quality), whether it bears them too:
``texte`` tells whether it has a text to look into.

Of a contract (``contrat``), signatures of suppliers count by any qualified certificate of the EU: ``document`` judges
those that the document came with, ``contresignature`` those that the file handed in adds to it (a PDF, or a detached
signature), ``signature`` lets a person sign below them. The first two answer ``fournisseurs`` (``nom``, ``serie``,
``emetteur``) and ``listes``.

With a key that is elsewhere (``apart``, `apart`), the second file is JSON. ``preparer``: ``certificats`` (PEM, that of
the key first) and ``lieu`` (``commune``, ``code_postal``); what follows the answer is what waits for the key, once the
certificate is that of somebody expected. ``terminer``: ``attente`` (the same), and ``signatures`` (base64); what
follows is the signed document, which counts for nothing until it is handed in.
"""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import json
import logging
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from . import apart, check, door, limits, mentions, pades, pes, qualified, token
from .files import AmbiguousPdfError, DamagedPdfError, looks_like_xml
from .person import Person
from .refusal import DocumentRefusedError, unread
from .stamp import LocalUnit
from .trust import Trust, read_certificates

CONFIG = Path("/etc/parapheur/sceau.json")
ARCHIVES = Path("/etc/sae/signature.json")
_FORMS = {"signature": door.Form.SIGNED, "piece": door.Form.KEPT}
_UPLOAD_CHUNK_BYTES = 1 << 20
_MAX_SIGNATURE_REQUEST_BYTES = 1 << 16
_MAX_LABEL_BYTES = 200  # bytes
_FAULT = "la vérification n'a pas pu se faire. À faire : recommencez, puis voyez journalctl -u '{}@*'"
_OTHER_KEY = "À faire : choisissez, dans le programme de signature, un certificat qui vaut"
_NOT_YOURS = "{}. À faire : choisissez, dans le programme de signature, le certificat de la personne attendue"


def _save_upload(source: BinaryIO, target: Path, size: int) -> None:
    with target.open("wb") as stream:
        while size > 0:
            block = source.read(min(size, _UPLOAD_CHUNK_BYTES))
            if not block:
                raise DocumentRefusedError("l'envoi s'est interrompu. À faire : recommencez")
            stream.write(block)
            size -= len(block)


def _clean_label(name: str) -> str:
    """The name of a file, for people, which one here can have too: whatever was typed, or is not UTF-8."""
    known = "".join(one if one.isprintable() else "_" for one in PurePosixPath(name).name)
    whole = known.encode("utf-8", "replace")[:_MAX_LABEL_BYTES].decode("utf-8", "ignore").strip()
    return whole if whole.strip(".") else "document"


def _read_trust(files: dict[str, Any]) -> Trust:
    return Trust.read([Path(one) for one in files["autorites"]], [Path(one) for one in files["crl"]])


def _check_signed(
    signed: Path, people: Sequence[dict[str, str]], trust: Trust, original: Path, is_pes: bool, accepted: int = 0
) -> tuple[str, str, dt.datetime | None, tuple[str, ...]]:
    """Signatory, serial, time and remarks of the first expected signature; the reason about the first person
    otherwise.
    """
    told: DocumentRefusedError | None = None
    for one in people:
        try:
            expected = Person(one["nom"], one["siren"])
            judged = (
                pes.check(signed, expected, trust, original)
                if is_pes
                else check.check_pdf(signed, expected, trust, original, accepted=accepted)
            )
            found = asyncio.run(judged)
        except DocumentRefusedError as refusal:
            told = told or refusal
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 # hostile file: parsers raise any type
            raise unread(signed.name, error) from None
        else:
            return found.holder, found.serial, found.claimed_at, found.remarks
    raise told or DocumentRefusedError("personne n'est attendu à cette étape")


def _seal_document(signed: Path, target: Path, config: dict[str, Any], signers: Trust) -> None:
    seal = config["cachet"]
    own = _read_trust(seal)
    whole = Trust([*signers.roots, *own.roots], [*signers.others, *own.others], [*signers.crls, *own.crls])
    pin = Path(seal["pin"]).read_text(encoding="ascii").strip()
    key = token.TokenKey(Path(seal["bibliotheque"]), seal["jeton"])
    chain = [one for path in seal["autorites"] for one in read_certificates(Path(path)) if one.self_signed == "no"]
    with token.signer(key, lambda: pin, chain) as signer:
        asyncio.run(pades.seal(signed, target, signer, LocalUnit(Path(config["horodatage"])), whole))


def _admit_document(original: Path, target: Path, contract: str) -> int:
    """Let a document into its circuit; gives the size of what it becomes, 0 when it stays as it is."""
    if looks_like_xml(original):
        pes.unsigned(original)
        return 0
    form = _FORMS.get(contract, door.Form.DRAWN)
    return target.stat().st_size if door.admit(original, target, form) else 0


def _read_lists(config: dict[str, Any]) -> qualified.Lists:
    told = config.get("fournisseurs")
    if not told:
        raise DocumentRefusedError(
            "les signatures de fournisseurs ne sont pas jugées ici. À faire : prévenez le groupement"
        )
    crls = [Path(one) for one in told["crl"]]
    return qualified.Lists.read(Path(told["listes"]), crls, dt.datetime.now(dt.UTC))


def _count_signatures(document: Path) -> int:
    """How many signatures a document came with; none in one that the door has to write again first."""
    try:
        return asyncio.run(qualified.signatures(document))
    except (AmbiguousPdfError, DamagedPdfError):
        return 0


def _check_suppliers(original: Path, signed: Path, asked: str, config: dict[str, Any]) -> dict[str, Any]:
    """What suppliers signed: of the document itself, or of the file handed in with it."""
    if asked == "document" and not _count_signatures(original):
        return {"taille": 0, "fournisseurs": [], "listes": ""}
    lists = _read_lists(config)
    try:
        if asked == "document":
            found = asyncio.run(qualified.check_pdf(original, lists))
        elif qualified.is_pdf(signed):
            found = asyncio.run(qualified.check_pdf(signed, lists, original))
        else:
            found = asyncio.run(qualified.check_detached(signed, original, lists))
    except (DocumentRefusedError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 # hostile file: parsers raise any type
        raise unread(signed.name, error) from None
    told = [{"nom": one.holder, "serie": one.serial, "emetteur": one.issuer} for one in found]
    return {"taille": 0, "fournisseurs": told, "listes": lists.told}


def _receive_signed(
    original: Path,
    signed: Path,
    sealed: Path,
    people: Sequence[dict[str, str]],
    config: dict[str, Any],
    contract: bool = False,
) -> dict[str, Any]:
    is_pes = looks_like_xml(signed)
    if is_pes != looks_like_xml(original):
        raise DocumentRefusedError(f"{signed.name} : {check.OTHER}")
    signers = _read_trust(config["signataires"])
    accepted = asyncio.run(qualified.signatures(original)) if contract and not is_pes else 0
    holder, serial, when, remarks = _check_signed(signed, people, signers, original, is_pes, accepted)
    if accepted:
        lists = _read_lists(config).trust
        signers = Trust([*signers.roots, *lists.roots], signers.others, [*signers.crls, *lists.crls])
    seals = not is_pes and "cachet" in config
    if seals:
        _seal_document(signed, sealed, config, signers)
    return {
        "signataire": holder,
        "serie": serial,
        "date": when.isoformat(timespec="seconds") if when else None,
        "remarques": remarks,
        "taille": sealed.stat().st_size if seals else 0,
    }


def _prepare_signature(original: Path, asked: dict[str, Any], people: Sequence[dict[str, str]], trust: Trust) -> bytes:
    """What waits for the key of somebody who is expected."""
    chain = apart.read_chain([str(one) for one in asked["certificats"]])
    told = [Person(one["nom"], one["siren"]).refusal(chain[0]) for one in people]
    if None not in told:
        raise DocumentRefusedError(_NOT_YOURS.format(told[0] if told else "personne n'est attendu à cette étape"))
    if refusal := asyncio.run(trust.refusal(chain[0], chain[1:])):
        raise DocumentRefusedError(f"{refusal}. {_OTHER_KEY}")
    place = pes.Place(str(asked["lieu"]["commune"]), str(asked["lieu"]["code_postal"]))
    return apart.prepare(original, chain, place).dump()


def _serve_remote_key(
    original: Path, beside: Path, target: Path, asked: str, people: Sequence[dict[str, str]], config: dict[str, Any]
) -> dict[str, Any]:
    """What is asked of a signature whose key is elsewhere."""
    given = json.loads(beside.read_bytes())
    try:
        if asked == "preparer":
            target.write_bytes(_prepare_signature(original, given, people, _read_trust(config["signataires"])))
        else:
            signatures = [base64.b64decode(one) for one in given["signatures"]]
            apart.finish(
                original, target, apart.PendingDocument.load(json.dumps(given["attente"]).encode()), signatures
            )
    except check.ODD as error:  # hostile file: parsers raise any type
        raise unread(original.name, error) from None
    return {"taille": target.stat().st_size}


def answer(source: BinaryIO, output: BinaryIO, config: dict[str, Any]) -> None:
    """Serve one request.

    Args:
        source: the request.
        output: where the answer goes.
        config: ``signataires`` and ``cachet`` (``autorites`` and ``crl``, PEM files; for the seal ``bibliotheque`` and
            ``jeton`` too), ``horodatage`` (folder of the timestamping unit's certificate); ``unite``, the service that
            answers. Without ``cachet`` nothing is sealed.
    """
    with tempfile.TemporaryDirectory() as name:
        folder, sealed = Path(name), Path(name, "scelle.pdf")
        told: dict[str, Any]
        try:
            asked = json.loads(source.readline(_MAX_SIGNATURE_REQUEST_BYTES))
            label = _clean_label(str(asked["nom"]))
            original, signed = folder / "origine" / label, folder / "signe" / label
            for path, size in ((original, asked["origine"]), (signed, asked["signe"])):
                path.parent.mkdir()
                _save_upload(source, path, size)
            contract = str(asked.get("contrat", ""))
            if "apart" in asked:
                told = _serve_remote_key(original, signed, sealed, str(asked["apart"]), asked["signataires"], config)
            elif contract in ("document", "contresignature"):
                told = _check_suppliers(original, signed, contract, config)
            elif asked["signataires"]:
                told = _receive_signed(original, signed, sealed, asked["signataires"], config, contract == "signature")
            else:
                told = {"taille": _admit_document(original, sealed, contract)}
                if wanted := [str(one) for one in asked.get("mentions", [])]:
                    told["texte"] = mentions.check(original, wanted)
        except DocumentRefusedError as refusal:
            told = {"refus": str(refusal)}
        except MemoryError:
            told = {"refus": limits.TOO_MUCH}
        except Exception as error:  # noqa: BLE001 # logged for the operator, reported as a refusal
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            told = {"refus": _FAULT.format(config.get("unite", "parapheur-sceau"))}
        output.write(json.dumps(told, ensure_ascii=False).encode() + b"\n")
        if told.get("taille"):
            with sealed.open("rb") as stream:
                while block := stream.read(_UPLOAD_CHUNK_BYTES):
                    output.write(block)
        output.flush()


def main(config: Path | None = None) -> int:
    """Entry point of the service: the connection is both standard input and standard output."""
    logging.disable(logging.CRITICAL)
    limits.bound()
    answer(sys.stdin.buffer, sys.stdout.buffer, json.loads((config or CONFIG).read_text(encoding="utf-8")))
    return 0


def archives() -> int:
    """The same at the door of the archives, which seals nothing (bordereaux d'élimination)."""
    return main(ARCHIVES)
