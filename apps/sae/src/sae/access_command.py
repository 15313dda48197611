"""`sae-acces`: requests to read archives, their answers, derogations, and what is handed over."""

from __future__ import annotations

import argparse
import csv
import json
import os
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

from creatic_agent.configuration import ConfigError
from creatic_agent.french import speak
from sae import config
from sae.access import GRANTED, NAME, QUALITIES, Desk, Register, cell
from sae.agents import trust_of
from sae.commands import commands
from sae.journal import Journal, JournalError
from sae.refusal import OperationRefusedError
from sae.rights import Verdict, day_of
from sae.running import run
from sae.store import StoreError, earliest
from sae.versement.registry import Registry

_ACCESS_EPILOG = """\
Une demande de consultation (Code du patrimoine, L213-1 à L213-5) :

  1. sae-acces demander --compte gondecourt --demandeur "Jeanne Petit" --qualite chercheur AIP…    dit sa marque, DA-…
  2. sae-acces repondre DA-… --vers reponse.pdf         la lettre, avec les raisons et les recours d'un refus
  3. sae-acces remettre DA-… --vers DOSSIER             ce qui est communicable, avec ses empreintes

Avant la fin des délais, l'administration des archives décide (L213-3) :

  4. sae-acces deroger DA-… --motif "thèse sur…" --vers demande.pdf      à envoyer aux Archives départementales
  5. sae-acces decision DA-… --document decision.pdf --reference "AD59 2026-45" --jusquau 31/12/2027 \\
       --accord "maire, 12/11/2026" --cite DA-… --vers decision.json     (ou --refusee, sans --jusquau ni --accord)
  6. un agent :  openssl cms -sign -binary -outform DER -signer cert.pem -inkey key.pem -certfile chain.pem \\
                   -in decision.json -out decision.p7s
  7. sae-acces deposer decision.json decision.p7s, puis repondre et remettre, jusqu'au jour dit

Les fichiers à lire et à écrire sont d'un dossier du compte sae (install -d -o sae /var/lib/sae/acces)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Gives 0 when it is done, 1 when it is refused, even in part, 2 when it must be run again."""
    speak()
    broken = (ConfigError, StoreError, JournalError, sqlite3.Error, OSError)
    return run("sae-acces", _build_parser().parse_args(argv), _open_desk, (OperationRefusedError,), broken)


@contextmanager
def _open_desk(path: Path) -> Iterator[Desk]:
    loaded = config.load(path)
    store, registry = loaded.store(), Registry(loaded.registry)

    with Journal(loaded.journal) as journal, closing(Register(loaded.folder / NAME)) as book:
        yield Desk(
            journal,
            store,
            book,
            trust_of(path),
            loaded.accounts,
            loaded.agency,
            loaded.access,
            storage_clock=earliest(store, "Aucun délai n'est jugé passé"),
            title=registry.title,
            who=os.environ.get("SUDO_USER", "") or os.environ.get("USER", ""),
        )


def _parse_day(text: str) -> date:
    try:
        return day_of(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"« {text[:30]} » n'est pas un jour : écrivez JJ/MM/AAAA") from None


def _build_parser() -> argparse.ArgumentParser:
    parser, command = commands(
        "sae-acces",
        "Demandes de consultation d'archives : jugées, répondues, dérogations, copies remises, registre.",
        _ACCESS_EPILOG,
    )
    state = command(
        "juger", _show_verdict, "dit si une archive est communicable aujourd'hui, depuis ou jusqu'à quand, et pourquoi"
    )
    classify = command(
        "classer", _classify_archive, "donne une règle d'accès à une archive qui n'en dit pas, ou une plus longue"
    )
    ask = command("demander", _record_request, "enregistre une demande, et dit ce qui est communicable")
    for sub in (state, classify, ask):
        sub.add_argument("--compte", required=True, help="service versant")
    state.add_argument("aip", nargs="+", metavar="AIP")
    classify.add_argument("aip", metavar="AIP")
    classify.add_argument("--regle", required=True, metavar="CODE", help="AR038, AR048, ou une autre de durees.yml")
    classify.add_argument(
        "--depuis", required=True, type=_parse_day, metavar="JOUR", help="date du document le plus récent"
    )
    classify.add_argument("--motif", required=True)
    ask.add_argument("--demandeur", required=True, help="nom de la personne")
    ask.add_argument(
        "--qualite",
        required=True,
        choices=QUALITIES,
        help="« service » : le service versant, pour ses propres archives",
    )
    ask.add_argument("--objet", default="", help="ce que la personne cherche")
    ask.add_argument("--contact", default="", help="adresse à laquelle lui répondre")
    ask.add_argument("--recue", type=_parse_day, metavar="JOUR", help="jour de réception (aujourd'hui)")
    ask.add_argument("aip", nargs="+", metavar="AIP")
    answer = command("repondre", _answer_request, "écrit la lettre de réponse (PDF)")
    conceal = command(
        "occulter",
        _record_redaction,
        "note la copie d'une archive sans ce qui n'est pas communicable, à remettre à sa place",
    )
    conceal.add_argument("demande", metavar="DA-…")
    conceal.add_argument("aip", metavar="AIP")
    conceal.add_argument("--document", type=Path, required=True, metavar="PDF", help="la copie occultée")
    conceal.add_argument("--motif", required=True, help="ce qui est occulté, et pourquoi")
    derogate = command(
        "deroger", _draft_derogation, "écrit la demande de dérogation, pour l'administration des archives (PDF)"
    )
    derogate.add_argument("--motif", required=True, help="intérêt de la consultation")
    decide = command("decision", _draft_decision, "lie une décision à sa demande ; un agent signe ce qui est écrit")
    decide.add_argument("--document", type=Path, required=True, metavar="PDF", help="la décision")
    decide.add_argument("--reference", required=True, help="référence de la décision")
    sense = decide.add_mutually_exclusive_group(required=True)
    sense.add_argument("--jusquau", type=_parse_day, metavar="JOUR", help="dernier jour de l'autorisation")
    sense.add_argument("--refusee", action="store_true", help="la dérogation est refusée")
    decide.add_argument("--accord", default="", help="référence de l'accord de l'autorité dont émanent les documents")
    decide.add_argument("--cite", default="", metavar="DA-…", help="demande que la décision cite, si ce n'est sur elle")
    hand = command("remettre", _hand_over, "écrit les copies de ce qui est communicable ou autorisé")
    for sub in (answer, derogate, decide, hand):
        sub.add_argument("demande", metavar="DA-…")
        sub.add_argument("--vers", type=Path, required=True, metavar="DOSSIER" if sub is hand else "FICHIER")
    hand.add_argument("--occultees", type=Path, nargs="+", default=[], metavar="PDF", help="copies occultées")
    deposit = command("deposer", _deposit_decision, "dépose la décision signée par un agent")
    deposit.add_argument("document", type=Path)
    deposit.add_argument("signature", type=Path, help="signature CMS détachée (DER)")
    register = command("registre", _export_register, "montre le registre des demandes")
    register.add_argument("--compte", default="")
    register.add_argument("--annee", type=int, default=0)
    register.add_argument("--vers", type=Path, metavar="FICHIER.csv", help="l'écrit pour un tableur")
    register.add_argument("--json", action="store_true", help="sortie JSON")
    command(
        "retards", _list_overdue, "montre ce qui attend depuis plus d'un mois, et les décisions de plus de deux mois"
    )
    forget = command("effacer", _forget_applicants, "retire du registre les noms des demandes répondues avant un jour")
    forget.add_argument("--avant", type=_parse_day, required=True, metavar="JOUR")
    return parser


def _format_verdict(aip: str, verdict: Verdict) -> str:
    return f"{'✓' if verdict.communicable else '✗'} {aip}  {verdict.why}"


def _show_verdict(desk: Desk, arguments: argparse.Namespace) -> int:
    status = 0
    for aip in arguments.aip:
        try:
            verdict = desk.verdict(arguments.compte, aip)
        except (OperationRefusedError, StoreError) as error:
            print(f"sae-acces : {error}", file=sys.stderr)
            status = 1
            continue
        print(_format_verdict(aip, verdict))
    return status


def _classify_archive(desk: Desk, arguments: argparse.Namespace) -> int:
    verdict = desk.classify(arguments.compte, arguments.aip, arguments.regle, arguments.depuis, arguments.motif)
    print(_format_verdict(arguments.aip, verdict))
    return 0


def _record_request(desk: Desk, arguments: argparse.Namespace) -> int:
    mark, verdicts = desk.record_request(
        arguments.compte,
        arguments.aip,
        arguments.demandeur,
        arguments.qualite,
        arguments.objet,
        arguments.contact,
        arguments.recue,
    )
    for aip, verdict in verdicts.items():
        print(_format_verdict(aip, verdict))
    print(f"Demande {mark} enregistrée, à répondre dans le mois : sae-acces repondre {mark} --vers reponse.pdf")
    return 0


def _answer_request(desk: Desk, arguments: argparse.Namespace) -> int:
    letter, given, kept = desk.answer(arguments.demande)
    arguments.vers.write_bytes(letter)
    part = len(desk.book.objects(desk.book.request(arguments.demande)["marque"])) - given - kept
    partly = f"{part} en partie, " if part else ""
    print(
        f"{arguments.vers} : {given} archives communiquées, {partly}{kept} refusées avec leurs raisons et les recours."
    )
    return 0


def _record_redaction(desk: Desk, arguments: argparse.Namespace) -> int:
    desk.conceal(arguments.demande, arguments.aip, arguments.document.read_bytes(), arguments.motif)
    print(f"{arguments.aip} : copie occultée notée ; « repondre », puis « remettre --occultees {arguments.document} ».")
    return 0


def _draft_derogation(desk: Desk, arguments: argparse.Namespace) -> int:
    arguments.vers.write_bytes(desk.derogate(arguments.demande, arguments.motif))
    print(f"{arguments.vers} : à envoyer aux Archives départementales ; la décision est attendue dans les deux mois.")
    return 0


def _draft_decision(desk: Desk, arguments: argparse.Namespace) -> int:
    document = arguments.document.read_bytes()
    text = desk.decide(
        arguments.demande, document, arguments.reference, arguments.jusquau, arguments.accord, arguments.cite
    )
    arguments.vers.write_bytes(text)
    print(f"{arguments.vers} : à signer par un agent, puis « sae-acces deposer ».")
    return 0


def _deposit_decision(desk: Desk, arguments: argparse.Namespace) -> int:
    found = desk.deposit(arguments.document.read_bytes(), arguments.signature.read_bytes())
    if found["sens"] == GRANTED:
        until = date.fromisoformat(found["jusqua"])
        print(f"Demande {found['demande']} : consultation autorisée jusqu'au {until:%d/%m/%Y} ({found['reference']}).")
    else:
        print(f"Demande {found['demande']} : dérogation refusée ({found['reference']}).")
    return 0


def _hand_over(desk: Desk, arguments: argparse.Namespace) -> int:
    done = desk.hand_over(arguments.demande, arguments.vers, arguments.occultees)
    for one in done:
        print(f"✓ {one.place} : {one.why}" if one.place else f"✗ {one.aip} : {one.why}")
    kept = sum(one.place is None for one in done)
    print(f"{len(done) - kept} archives remises, {kept} ne le sont pas.")
    return int(kept > 0)


def _export_register(desk: Desk, arguments: argparse.Namespace) -> int:
    lines = desk.book.lines(arguments.compte, arguments.annee)
    if arguments.json:
        print(json.dumps(list(lines), ensure_ascii=False))
        return 0
    if arguments.vers:
        count = 0
        with arguments.vers.open("w", encoding="utf-8-sig", newline="") as stream:
            writer = csv.writer(stream, delimiter=";")
            for count, line in enumerate(lines, 1):
                if count == 1:
                    writer.writerow(line)
                writer.writerow([cell(value) for value in line.values()])
        print(f"{arguments.vers} : {count} demandes.")
        return 0
    for line in lines:
        state = f"répondue le {line['repondue_le']}" if line["repondue_le"] else "sans réponse"
        if line["derogation_demandee_le"]:
            state += (
                f", dérogation {line['decision'].replace('ee', 'ée') or 'demandée'} {line['decision_jusqua']}".rstrip()
            )
        print(
            f"{line['demande']}  {line['recue_le']}  {line['compte']:<14} {line['qualite']:<9} {line['archives']:>4} "
            f"archives, {line['archives_remises']} remises  {line['demandeur'][:40]}  {state}"
        )
    return 0


def _list_overdue(desk: Desk, arguments: argparse.Namespace) -> int:
    answers, decisions = desk.book.list_overdue(datetime.now(UTC).date())
    for mark in answers:
        print(f"{mark} : sans réponse depuis plus d'un mois, ce qui vaut refus (CRPA, R311-13)")
    for mark in decisions:
        print(f"{mark} : dérogation sans décision depuis plus de deux mois (Code du patrimoine, L213-3, I)")
    if not answers and not decisions:
        print("Aucune demande n'est en retard.")
    return int(bool(answers or decisions))


def _forget_applicants(desk: Desk, arguments: argparse.Namespace) -> int:
    print(f"{desk.forget(arguments.avant)} demandes n'ont plus le nom de leur demandeur.")
    return 0
