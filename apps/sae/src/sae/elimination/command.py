"""`sae-elimination`, its commands and what it says of them."""

from __future__ import annotations

import argparse
import hashlib
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

from creatic_agent.configuration import ConfigError
from sae import config
from sae import copies as following
from sae.agents import EliminationSettings, Trust
from sae.bordereau import Verifier
from sae.commands import commands
from sae.elimination.attestation import Proof, verify_certificate, verify_copies
from sae.elimination.ledger import DONE, Requests
from sae.elimination.rules import CONTAINER, Eliminator, day
from sae.inventory import AcceptedArchive
from sae.journal import Journal, JournalError, timestamp
from sae.journal.seal import ACCOUNT as SEALS_ACCOUNT
from sae.journal.seal import sealing
from sae.refusal import OperationRefusedError
from sae.running import run
from sae.signature import SignatureError
from sae.store import StoreError, earliest
from sae.versement.registry import Registry

_ELIMINATION_EPILOG = """\
La commune signe la liste, les Archives départementales la visent, puis deux agents éliminent (Code du patrimoine,
L212-2 et R212-14), chacun signant à son poste avec son propre certificat :

  1. sae-elimination demander --compte gondecourt --echues --vers bordereau.pdf     dit le numéro de la demande
  2. le maire signe bordereau.pdf (signer-acte) ; le directeur des Archives départementales vise cette liste
  3. sae-elimination constituer DEMANDE --bordereau bordereau-signe.pdf --visa visa.pdf --reference "AD59 2026-123" \\
       --liste BE-… --vers demande.json
  4. le premier agent :  openssl cms -sign -binary -outform DER -signer cert.pem -inkey key.pem -certfile chain.pem \\
                           -in demande.json -out demande.p7s
  5. sae-elimination deposer demande.json demande.p7s --vers approbation.json
  6. le second agent relit le visa et le bordereau (sae-elimination pieces DEMANDE --vers DOSSIER), puis signe
     approbation.json de même
  7. sae-elimination approuver approbation.json approbation.p7s     élimine, et écrit l'attestation
  8. sae-elimination attestation DEMANDE --vers DOSSIER     l'attestation, le bordereau signé et le visa"""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Gives 0 when it is done, 1 when it is refused, 2 when it must be run again."""
    arguments = _build_parser().parse_args(argv)
    opened = nullcontext if arguments.action is _verify_certificate else _open_eliminator
    broken = (
        ConfigError, StoreError, JournalError, timestamp.TimestampError, SignatureError, sqlite3.Error, OSError,
    )  # fmt: skip # a list of words
    return run(
        "sae-elimination",
        arguments,
        opened,
        (OperationRefusedError,),
        broken,
        lambda error: _explain_failure(error, arguments),
    )


def parties(path: Path) -> tuple[Trust, Proof, Verifier]:
    """Who may eliminate, how it is certified, and what judges a maire's signature. Raises ConfigError."""
    given = EliminationSettings.from_path(path)
    return given.trust(), Proof(given.certificate, sealing(path).stamper), Verifier(given.verifier)


@contextmanager
def _open_eliminator(path: Path) -> Iterator[Eliminator]:
    loaded = config.load(path)
    store = loaded.store()
    trust, proof, verifier = parties(path)
    registry = Registry(loaded.registry)

    with Journal(loaded.journal) as journal, closing(Requests(loaded.folder / following.NAME)) as book:
        yield Eliminator(
            journal,
            store,
            book,
            trust,
            proof,
            verifier,
            storage_clock=earliest(store, "Aucune date de conservation n'est jugée passée ; relancez"),
            forget=registry.forget,
            accounts=loaded.accounts,
            agency=loaded.agency,
            title=registry.title,
            durations=EliminationSettings.from_path(path).durations,
        )


def _build_parser() -> argparse.ArgumentParser:
    parser, command = commands(
        "sae-elimination",
        "Élimine des archives après leur durée d'utilité administrative, à deux personnes.",
        _ELIMINATION_EPILOG,
    )
    due = command("echues", _show_due, "montre les archives d'un compte qui peuvent être éliminées")
    due.add_argument("--compte", required=True)
    ask = command("demander", _draft_list, "fait la liste et son bordereau, à signer par le maire et à faire viser")
    ask.add_argument("--compte", required=True)
    ask.add_argument("--motif", default="durée d'utilité administrative échue")
    ask.add_argument("--echues", action="store_true", help="toutes les archives échues du compte")
    ask.add_argument("--vers", type=Path, metavar="FICHIER", required=True, help="où écrire le bordereau (PDF)")
    ask.add_argument("aip", nargs="*", metavar="AIP")
    gather = command(
        "constituer", _assemble_request, "écrit la demande, à signer par un premier agent : liste, bordereau, visa"
    )
    gather.add_argument("demande")
    gather.add_argument("--bordereau", type=Path, required=True, metavar="PDF", help="signé par le maire")
    gather.add_argument("--visa", type=Path, required=True, metavar="PDF", help="visa des archives départementales")
    gather.add_argument("--reference", required=True, help="référence du visa")
    gather.add_argument("--liste", default="", metavar="BE-…", help="liste que le visa cite, si ce n'est le bordereau")
    gather.add_argument("--vers", type=Path, metavar="FICHIER", help="où écrire la demande (par défaut : à l'écran)")
    pieces = command(
        "pieces", _write_pieces, "rend le bordereau et le visa d'une demande, à relire avant de l'approuver"
    )
    pieces.add_argument("demande")
    pieces.add_argument("--vers", type=Path, required=True, metavar="DOSSIER")
    deposit = command(
        "deposer", _deposit_request, "dépose la demande signée, et écrit l'approbation à signer par un autre"
    )
    approve = command("approuver", _approve_request, "dépose l'approbation signée d'un autre agent, et élimine")
    for sub in (deposit, approve):
        sub.add_argument("document", type=Path)
        sub.add_argument("signature", type=Path, help="signature CMS détachée (DER)")
    deposit.add_argument("--vers", type=Path, metavar="FICHIER", help="où écrire l'approbation")
    command("reprendre", _resume_requests, "finit les éliminations approuvées qui ont été interrompues")
    drop = command("abandonner", _drop_request, "abandonne une demande qui n'est pas approuvée")
    drop.add_argument("demande")
    drop.add_argument("--motif", default="")
    command("liste", _list_requests, "montre les demandes")
    give = command(
        "attestation", _write_certificates, "rend l'attestation d'une élimination, son bordereau signé et son visa"
    )
    give.add_argument("demande")
    give.add_argument("--vers", type=Path, required=True, metavar="DOSSIER")
    copies = command("copies", _show_copies, "montre les copies d'archives éliminées qui ne sont pas encore supprimées")
    copies.add_argument("--attester", action="store_true", help="atteste d'abord celles qui le sont toutes")
    check = command(
        "verifier", _verify_certificate, "vérifie une attestation d'élimination, sans la porte des archives"
    )
    check.add_argument("attestation", type=Path, help="attestation-….json, ses .p7s et .tsr à côté")
    check.add_argument("--racine", type=Path, required=True, metavar="PEM", help="racine de l'autorité du groupement")
    unit = (
        "unité d'horodatage extérieure, en plus de celle des archives : sujet de son certificat, ou sa fin (O=…,C=FR)"
    )
    check.add_argument("--unite", default="", metavar="SUJET", help=unit)
    return parser


def _explain_failure(error: Exception, arguments: argparse.Namespace) -> str:
    """A failure in French: of a file that was named, with who cannot have it."""
    if isinstance(error, ConfigError):
        return str(error)
    name = str(getattr(error, "filename", None) or "")
    named = {str(value) for value in vars(arguments).values() if isinstance(value, Path)}
    if not {name, str(Path(name).parent)} & named or not isinstance(error, PermissionError | FileNotFoundError):
        return f"interrompu : {error}"
    told = "introuvable" if isinstance(error, FileNotFoundError) else "le compte sae n'y a pas accès"
    return (
        f"interrompu : {name} : {told}. À faire : cette commande travaille sous le compte sae, donnez-lui les fichiers "
        "d'un dossier à lui (install -d -o sae /var/lib/sae/elimination), puis relancez"
    )


def _write_document(path: Path | None, text: bytes, what: str) -> None:
    if path is None:
        # Redirected to a file, it is signed as it is: not a byte more.
        sys.stdout.write(text.decode() + ("\n" if sys.stdout.isatty() else ""))
        return
    path.write_bytes(text)
    print(f"{path} : {what}")


def show_due(found: Sequence[AcceptedArchive], what: str) -> int:
    """Print archives whose period is over, and what may become of them, in French."""
    for one in found:
        print(f"{one.aip}  {day(one.retain_until)}  {one.bytes:>12}  {one.title}")
    print(f"{len(found)} archives {what}.")
    return 0


def chosen(arguments: argparse.Namespace, due: Callable[[str], Sequence[AcceptedArchive]]) -> list[str]:
    """The archives that a command names, and with `--echues` all that are due."""
    return [*arguments.aip, *(one.aip for one in (due(arguments.compte) if arguments.echues else ()))]


def _show_due(eliminator: Eliminator, arguments: argparse.Namespace) -> int:
    return show_due(eliminator.due(arguments.compte), f"du compte « {arguments.compte} » peuvent être éliminées")


def _draft_list(eliminator: Eliminator, arguments: argparse.Namespace) -> int:
    document, made = eliminator.draft(arguments.compte, chosen(arguments, eliminator.due), arguments.motif)
    arguments.vers.write_bytes(made)
    who = eliminator.accounts[arguments.compte].signatory or "le maire"
    print(f"Demande {document['demande']}, liste {document['liste']} : {len(document['archives'])} archives.")
    print(f"{arguments.vers} : à signer par {who}, à faire viser, puis « sae-elimination constituer ».")
    return 0


def _assemble_request(eliminator: Eliminator, arguments: argparse.Namespace) -> int:
    signed, visa = arguments.bordereau.read_bytes(), arguments.visa.read_bytes()
    text = eliminator.assemble(arguments.demande, signed, visa, arguments.reference, arguments.liste)
    _write_document(arguments.vers, text, "à signer par un premier agent, puis « sae-elimination deposer ».")
    return 0


def _write_certificates(eliminator: Eliminator, arguments: argparse.Namespace) -> int:
    if eliminator.book.request(arguments.demande).state != DONE:
        raise OperationRefusedError(f"la demande {arguments.demande} n'est pas faite : elle n'a pas d'attestation")
    arguments.vers.mkdir(exist_ok=True)
    for name in eliminator.store.names(SEALS_ACCOUNT, CONTAINER):
        if arguments.demande in name:
            with eliminator.store.get(SEALS_ACCOUNT, CONTAINER, name) as stream:
                (arguments.vers / name).write_bytes(stream.read())
            print(arguments.vers / name)
    return 0


def _write_pieces(eliminator: Eliminator, arguments: argparse.Namespace) -> int:
    eliminator.book.find_list(arguments.demande)
    arguments.vers.mkdir(exist_ok=True)
    for name, content in eliminator.book.pieces(arguments.demande).items():
        (arguments.vers / name).write_bytes(content)
        print(arguments.vers / name)
    return 0


def _deposit_request(eliminator: Eliminator, arguments: argparse.Namespace) -> int:
    text = eliminator.deposit(arguments.document.read_bytes(), arguments.signature.read_bytes())
    _write_document(arguments.vers, text, "à signer par un autre agent, puis « sae-elimination approuver ».")
    return 0


def _approve_request(eliminator: Eliminator, arguments: argparse.Namespace) -> int:
    identifier = eliminator.approve(arguments.document.read_bytes(), arguments.signature.read_bytes())
    return _execute_request(eliminator, identifier)


def _execute_request(eliminator: Eliminator, identifier: str) -> int:
    count = eliminator.execute(identifier)
    print(
        f"{count} archives éliminées (demande {identifier}). Attestation : attestation-{identifier}.json, au stockage."
    )
    return 0


def _resume_requests(eliminator: Eliminator, arguments: argparse.Namespace) -> int:
    status = 0
    for identifier in eliminator.resume():
        try:
            _execute_request(eliminator, identifier)
        except OperationRefusedError as error:
            print(f"sae-elimination : {error}", file=sys.stderr)
            status = 1
    return status


def _drop_request(eliminator: Eliminator, arguments: argparse.Namespace) -> int:
    eliminator.drop(arguments.demande, arguments.motif)
    print(f"La demande {arguments.demande} est abandonnée.")
    return 0


def _list_requests(eliminator: Eliminator, arguments: argparse.Namespace) -> int:
    for request in eliminator.book.requests():
        who = f"{request.requester} → {request.approver or '?'}"
        state = request.state.replace("ee", "ée")
        print(
            f"{request.id}  {day(request.received)}  {state:<11} {request.account:<14} "
            f"{len(request.document['archives']):>6} archives  {who}"
        )
    return 0


def _show_copies(eliminator: Eliminator, arguments: argparse.Namespace) -> int:
    if arguments.attester:
        for identifier in eliminator.certify_copies():
            print(
                f"Les copies de la demande {identifier} sont toutes supprimées : copies-{identifier}.json, au stockage."
            )
    waits, nothing = (
        eliminator.copies.list_waiting(eliminator.accounts),
        "le connecteur de la commune n'en a encore rien dit",
    )
    for identifier, listed in waits.items():
        print(f"Demande {identifier} : {len(listed)} archives dont les copies ne sont pas toutes supprimées.")
        for one, said in listed:
            lacks = [
                f"{place} ({told.get('detail') or 'pas encore'})"
                for place, told in said.items()
                if told["etat"] == following.WAITS
            ]
            print(f"  {one.aip}  {one.message}  {', '.join(lacks) or nothing}")
    if not waits:
        print("Aucune copie d'archive éliminée n'attend.")
    return 0


def _verify_certificate(_none: object, arguments: argparse.Namespace) -> int:
    path: Path = arguments.attestation
    parts = [path, path.with_name(f"{path.name}.p7s"), path.with_name(f"{path.name}.tsr")]
    missing = [str(part) for part in (*parts, arguments.racine) if not part.is_file()]
    if missing:
        raise OperationRefusedError(f"introuvable : {', '.join(missing)}")
    text, signature, token = (part.read_bytes() for part in parts)
    if path.name.startswith("copies-"):
        told = verify_copies(text, signature, token, arguments.racine, arguments.unite)
        print(f"✓ les copies de {len(told['archives'])} archives du compte « {told['compte']} » sont supprimées.")
        for one in told.get("restent", ()):  # those of before say nothing of it
            print(f"  reste : {one['quoi']} ({one['pourquoi']})")
        return 0
    found = verify_certificate(text, signature, token, arguments.racine, arguments.unite)
    for digest, name in (("bordereau_signe_sha512", "bordereau-signe"), ("visa_sha512", "visa")):
        beside = path.with_name(f"{name}-{found['demande']}.pdf")
        if digest in found and beside.is_file() and hashlib.sha512(beside.read_bytes()).hexdigest() != found[digest]:
            raise OperationRefusedError(f"{beside} : ce n'est pas le document dont l'attestation a l'empreinte")
    print(f"✓ {len(found['archives'])} archives du compte « {found['compte']} » éliminées, visa {found['visa']}.")
    if "signataire" in found:
        print(f"  liste {found['liste']}, bordereau signé par {found['signataire']}")
    print(f"  demandé par {found['demandeur']} ({found['signataires'][0]})")
    print(f"  approuvé par {found['approbateur']} ({found['signataires'][1]})")
    print(f"  horodaté le {datetime.fromtimestamp(found['horodatage'], UTC):%d/%m/%Y à %H:%M:%S} UTC")
    return 0
