"""The administrator's command on the host: tdt-simulator."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from . import clock, pes, prefecture, reports, workflow
from .app import CONFIG_VARIABLE, DEFAULT_CONFIG
from .config import Config, ConfigError, load
from .faults import FAULTS
from .store import Store


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tdt-simulator", description="Administration du simulateur de TdT (tiers de télétransmission)."
    )
    parser.add_argument(
        "--config",
        type=Path,
        default=Path(os.environ.get(CONFIG_VARIABLE, DEFAULT_CONFIG)),
        help="fichier de réglages (par défaut : %(default)s)",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="commande")

    fault = commands.add_parser(
        "faute",
        help="mettre ou retirer une faute",
        description="Sans argument, montre les fautes en cours.",
        epilog="Fautes : " + " ; ".join(f"{name} : {meaning}" for name, meaning in FAULTS.items()) + ".",
    )
    fault.add_argument("nom", nargs="?", choices=sorted(FAULTS), metavar="nom", help=", ".join(sorted(FAULTS)))
    fault.add_argument("--retirer", action="store_true", help="retirer cette faute (toutes, sans nom)")
    fault.add_argument("--secondes", type=float, metavar="N", help="durée, pour « lent »")
    fault.add_argument("--fois", type=int, metavar="N", help="nombre de fois (sinon jusqu'au retrait)")
    fault.add_argument("--sur", default="", metavar="TEXTE", help="seulement les adresses qui contiennent ce texte")

    acts = commands.add_parser("actes", help="lister les actes reçus")
    acts.add_argument("--siren", help="seulement cette collectivité")
    acts.add_argument("--numero", help="seulement ce numéro")
    acts.add_argument("--json", action="store_true", help="en JSON")

    letter = commands.add_parser("lettre", help="faire écrire la préfecture au sujet d'un acte")
    letter.add_argument("transaction", type=int, help="transaction de l'acte (voir « actes »)")
    letter.add_argument("type", choices=sorted(prefecture.LETTERS), help="sorte de lettre")
    letter.add_argument("--motif", default="Lettre envoyée depuis le laboratoire.", help="texte de la lettre")

    status = commands.add_parser("statut", help="donner d'autorité un statut à un acte")
    status.add_argument("transaction", type=int, help="transaction de l'acte (voir « actes »)")
    status.add_argument("statut", type=int, help="-1 erreur, 0 annulé, 5 validé, 6 refusé…")
    status.add_argument("--message", default="", help="texte qui accompagne le statut")

    retour = commands.add_parser("pes-retour", help="mettre un PES Retour à disposition d'une collectivité")
    retour.add_argument("siren", help="SIREN de la collectivité")
    return parser


def _faults(store: Store, args: argparse.Namespace) -> str:
    if args.retirer:
        store.clear_faults(args.nom)
    elif args.nom:
        if args.nom == "lent" and args.secondes is None:
            raise ConfigError("faute lent : donner la durée avec --secondes N")
        store.set_fault(args.nom, args.secondes, args.fois, args.sur)
    lines = []
    for fault in store.faults().values():
        details = [
            f"{fault.value:g} s" if fault.value is not None else "",
            f"encore {fault.remaining} fois" if fault.remaining is not None else "",
            f"sur {fault.target}" if fault.target else "",
        ]
        lines.append(f"{fault.name:15} {', '.join(filter(None, details)) or 'en permanence'}")
    return "\n".join(lines) or "Aucune faute en cours."


def _acts(store: Store, args: argparse.Namespace) -> str:
    found = reports.acts(store, args.siren, args.numero)
    if args.json:
        return json.dumps(found, ensure_ascii=False, indent=2)
    if not found:
        return "Aucun acte reçu."
    head = f"{'Transaction':>11}  {'SIREN':9}  {'Numéro':15}  {'Statut':30}  Objet"
    rows = [
        f"{act['transaction']:>11}  {act['siren']:9}  {act['numero']:15}"
        f"  {act['statut']:>2} {act['libelle'][:27]:27}  {act['objet'][:60]}"
        for act in found
    ]
    return "\n".join([head, *rows])


def _status(store: Store, args: argparse.Namespace) -> str:
    if store.transaction(args.transaction) is None:
        raise prefecture.PrefectureError(f"la transaction {args.transaction} n'existe pas")
    name = workflow.STATUS_NAMES.get(args.statut)
    if name is None:
        raise prefecture.PrefectureError(f"le statut {args.statut} n'existe pas")
    store.force(args.transaction, args.statut, args.message)
    return f"Transaction {args.transaction} : {name}."


def _retour(store: Store, args: argparse.Namespace) -> str:
    if args.siren not in store.config.authorities:
        raise prefecture.PrefectureError(f"la collectivité {args.siren} n'est pas déclarée")
    filename, content = pes.retour(args.siren, clock.now())
    return f"PES Retour {store.add_pes_retour(args.siren, filename, content)} : {filename}"


def _run(store: Store, args: argparse.Namespace) -> str:
    if args.command == "faute":
        return _faults(store, args)
    if args.command == "actes":
        return _acts(store, args)
    if args.command == "statut":
        return _status(store, args)
    if args.command == "pes-retour":
        return _retour(store, args)
    letter = prefecture.write_letter(store, args.transaction, args.type, args.motif)
    return f"Lettre {letter} envoyée au sujet de l'acte {args.transaction}."


def _become_owner(config: Config) -> None:
    """As root, become the service's user: what is written must stay readable by the service."""
    if os.geteuid() == 0 and config.data_dir.exists():
        owner = config.data_dir.stat()
        if owner.st_uid:
            os.setgroups([])
            os.setgid(owner.st_gid)
            os.setuid(owner.st_uid)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 when it is done, 1 when it cannot be (the reason goes to the error output)."""
    args = _parser().parse_args(argv)
    try:
        config = load(args.config)
        _become_owner(config)
        print(_run(Store(config), args))
    except (ConfigError, prefecture.PrefectureError, OSError) as error:
        print(f"tdt-simulator : {error}", file=sys.stderr)
        return 1
    return 0
