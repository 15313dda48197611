"""The command line, in French: passerelle travailler|base|lister|montrer|relancer|deposer…"""

from __future__ import annotations

import argparse
import logging
import os
import pwd
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import psycopg
from procrastinate.exceptions import ConnectorException

from creatic_agent.reasons import because

from . import config as settings
from .acts import ARRETES, NATURES, STAYS, BadRequest, lowered
from .chain import Chain
from .eliminations import PARIS, Eliminations, french
from .files import Files
from .page import content
from .queue import Queue, alone, parts
from .store import Store, Tracked

log = logging.getLogger("passerelle")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns the exit code: 0 done, 1 refused or failed, 2 misuse."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        config = settings.load(arguments.config)
        _become_service(config)
        return int(arguments.action(config, arguments))
    except (settings.ConfigError, BadRequest) as error:
        print(error, file=sys.stderr)
    except BlockingIOError:
        print("Une autre passerelle travaille déjà sur cette machine.", file=sys.stderr)
    except (psycopg.Error, ConnectorException) as error:
        print(f"Base de données inutilisable : {error}. Rien n'est perdu.", file=sys.stderr)
    except OSError as error:
        print(f"Fichier ou disque inutilisable : {because(error)}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "passerelle", description="Fait passer chaque acte d'un service au suivant, une fois et une seule."
    )
    parser.add_argument("--config", type=Path, default=settings.DEFAULT_PATH, metavar="FICHIER")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMANDE", title="commandes")

    def command(name: str, action: object, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(action=action)
        return sub

    command("travailler", _work, "fait passer les actes (lancé par systemd)")
    command("base", _prepare, "prépare la base de données (lancé par systemd)")
    listing = command("lister", _list, "montre où en sont les actes")
    listing.add_argument("--bloques", action="store_true", help="seulement ceux qui attendent une personne")
    command("montrer", _show, "montre le parcours d'un acte").add_argument("reference")
    command("relancer", _retry, "reprend un acte mis de côté, une fois la cause levée").add_argument("reference")
    command("eliminations", _eliminations, "montre où en sont les copies des actes éliminés aux archives")
    deposit = command("deposer", _deposit, "met dans la chaîne un acte qui ne vient d'aucun serveur")
    deposit.add_argument("fichier", type=Path, help="le PDF de l'acte ; déjà signé, si la commune n'a pas de parapheur")
    deposit.add_argument("--commune", required=True, help="nom court de la commune (gondecourt)")
    deposit.add_argument("--numero", required=True)
    deposit.add_argument("--objet", required=True)
    deposit.add_argument("--date", required=True, type=date.fromisoformat, help="date de la décision, AAAA-MM-JJ")
    deposit.add_argument("--matiere", required=True, help="matière de la nomenclature (5.2)")
    deposit.add_argument(
        "--circuit", choices=sorted(NATURES), help="d'office : arrete si une nature est dite, sinon deliberation"
    )
    qualify = command("qualifier", _qualify, "note la nature d'un arrêté, et s'il part à la préfecture (CGCT, L2131-2)")
    qualify.add_argument("reference")
    for one, needed in ((deposit, False), (qualify, True)):
        told = ", ".join(f"{code} : {lowered(words)}" for code, (_code, _kind, words) in ARRETES.items())
        one.add_argument("--nature", choices=sorted(ARRETES), required=needed, help=f"d'un arrêté ({told})")
        one.add_argument("--transmission", choices=["oui", STAYS], required=needed, help="d'un arrêté : part-il ?")
    return parser


def _become_service(config: settings.Config) -> None:
    """Work under the service's account: its database knows it alone, and no file ever belongs to root."""
    if os.geteuid() == 0 and config.folder.is_dir() and config.folder.stat().st_uid:
        account = pwd.getpwuid(config.folder.stat().st_uid)
        os.initgroups(account.pw_name, account.pw_gid)
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
        os.umask(0o027)


def _work(config: settings.Config, arguments: argparse.Namespace) -> int:
    with alone(config), _parts(config) as (store, queue, chain):
        Files(config.folder).clean()
        found = queue.recover()
        if found:
            log.warning("%d travaux interrompus sont repris.", found)
        servers = ", ".join(config.servers) or "aucun"
        log.info("Passerelle prête : %d communes, serveurs : %s.", len(config.communes), servers)
        queue.work(chain, store)
    return 0


def _prepare(config: settings.Config, arguments: argparse.Namespace) -> int:
    Queue(config).prepare()
    return 0


def _list(config: settings.Config, arguments: argparse.Namespace) -> int:
    with _parts(config) as (store, _queue, _chain):
        shown = content(config, store, None)
    rows = shown["a_revoir"] if arguments.bloques else shown["actes"]
    for one in rows:
        text = one["texte"] + (f" (en retard : {one['retard']})" if one["retard"] else "")
        print(f"{one['depuis']}  {one['commune']:<20} {one['numero']:<16} {text}\n    {one['reference']}")
    print(f"{len(rows)} acte(s)." if rows else "Aucun acte.")
    return 0


def _show(config: settings.Config, arguments: argparse.Namespace) -> int:
    with _parts(config) as (store, _queue, _chain):
        act, past = store.get(arguments.reference), store.history(arguments.reference)
    if act is None:
        print(f"Aucun acte n'a la référence « {arguments.reference} ».", file=sys.stderr)
        return 1
    print(_described(act))
    for when, step, detail in past:
        print(f"  {when.astimezone():%d/%m/%Y %H:%M:%S.%f}"[:-3] + f"  {step:<24} {detail}".rstrip())
    return 0


def _described(act: Tracked) -> str:
    what = f"{act.number} — {act.subject} ({act.commune})"
    lines = [f"{act.reference} : {what}, étape « {act.step} »"]
    lines += [f"  mis de côté : {act.blocked}"] if act.blocked else []
    lines += [f"  en retard : {act.late}"] if act.late else []
    return "\n".join(lines)


def _retry(config: settings.Config, arguments: argparse.Namespace) -> int:
    with _parts(config) as (_store, queue, chain):
        act = chain.retry(arguments.reference)
        queue.hurry(arguments.reference)
    print(f"« {act.number} » reprend à l'étape « {act.step} ».")
    return 0


def _qualify(config: settings.Config, arguments: argparse.Namespace) -> int:
    with _parts(config) as (_store, queue, chain):
        act = chain.qualify(arguments.reference, arguments.nature, arguments.transmission)
        queue.hurry(arguments.reference)
    words = lowered(ARRETES[arguments.nature][2])
    print(f"« {act.number} » : {words}, à transmettre : {arguments.transmission}.")
    return 0


def _eliminations(config: settings.Config, arguments: argparse.Namespace) -> int:
    with _parts(config) as (store, _queue, _chain):
        gone = Eliminations(config, store, Files(config.folder))
        rows, false = gone.listed(), gone.shown(config, None)["fausses"]
    for one in rows:
        back = f", revenue {one['revenues']} fois" if one["revenues"] else ""
        print(f"{one['archive']}  {one['commune']:<20} {one['reference'] or 'inconnue ici'} : {_gone(one)}{back}")
        for name, told in one["lieux"].items():
            print(f"    {name:<10} {told['etat']} ({told['nombre']}) {told.get('detail', '')}".rstrip())
    for one in false:
        print(
            f"DEMANDES SANS PREUVE : {one['commune']}, {one['fois']}, la dernière le {one['le']} (archive "
            f"{one['archive']}) : {one['motif']} Rien n'est supprimé. À faire : vérifiez le connecteur de la commune, "
            "et révoquez son certificat s'il n'est plus sûr."
        )
    print(f"{len(rows)} élimination(s)." if rows else "Aucune élimination.")
    return 0


def _gone(one: dict[str, Any]) -> str:
    """How far an elimination is, and what there is to do."""
    if one["faute"]:
        return f"ANNULÉE, rien n'est supprimé : {one['faute']}"
    if one["faite_le"]:
        return f"faite le {french(one['faite_le'])}"
    if one["attestation"] is None:
        return (
            "SANS ATTESTATION des archives, rien n'est supprimé. À faire : sudo tdt-connector eliminer sur le "
            "connecteur de la commune ; si les archives n'en ont pas (élimination d'avant), supprimez-les à la main"
        )
    if one["gardee_le"]:
        return f"gardée par {one['gardee_par']} le {french(one['gardee_le'])}"
    return f"part le {french(one['part_le'])}" if one["part_le"] > datetime.now(PARIS) else "EN ATTENTE"


def _deposit(config: settings.Config, arguments: argparse.Namespace) -> int:
    content_of = arguments.fichier.read_bytes()
    said = [key for key in ("nature", "transmission") if getattr(arguments, key)]
    circuit = arguments.circuit or ("arrete" if said else "deliberation")
    if said and circuit != "arrete":  # a décision taken as a délibération would be filed and archived as one
        raise BadRequest(f"--{said[0]} se dit d'un arrêté ou d'une décision : --circuit arrete, ou rien.")
    data = {
        "circuit": circuit,
        "numero": arguments.numero,
        "date": arguments.date.isoformat(),
        "objet": arguments.objet,
        "matiere": arguments.matiere,
    }
    data |= {key: str(getattr(arguments, key)) for key in said}
    with _parts(config) as (_store, _queue, chain):
        reference = chain.arrivals.deposit(arguments.commune, data, content_of)
    print(f"Dans la chaîne sous la référence {reference}.")
    return 0


@contextmanager
def _parts(config: settings.Config) -> Iterator[tuple[Store, Queue, Chain]]:
    """The parts of a configuration; connections are given back, or their threads outlive what was refused."""
    store, queue, chain = parts(config)
    with closing(store):
        yield store, queue, chain
