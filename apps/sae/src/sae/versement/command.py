"""sae-versement, on the gateway itself: deposit, retrieval, lists, state, upkeep. What is printed is French."""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from creatic_agent.configuration import ConfigError
from creatic_agent.french import speak
from creatic_agent.reasons import because
from sae import config as settings
from sae import metrics, sizes
from sae.commands import commands
from sae.config import Account, Config
from sae.journal import JournalError
from sae.store import StoreError
from sae.versement import antivirus
from sae.versement.engine import Engine
from sae.versement.registry import Archive, Registry
from sae.versement.spool import AnswerPendingError, SipBusyError, SipTooLargeError

_DESCRIPTION = "Versements au système d'archivage électronique, depuis la machine qui en est la porte."


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns 0 done, 1 refused or failed, 2 misuse."""
    speak()
    arguments = _build_parser().parse_args(argv)
    try:
        config = settings.load(arguments.config)
        return int(arguments.action(config, arguments))
    except _UnknownNameError as error:
        print(error, file=sys.stderr)
        return error.status
    except (ConfigError, JournalError) as error:
        print(error, file=sys.stderr)
    except StoreError as error:
        print(f"Stockage : {error}", file=sys.stderr)
    except PermissionError as error:
        print(f"Accès refusé : {error.filename}. Lancez la commande avec sudo.", file=sys.stderr)
    except (OSError, sqlite3.Error) as error:
        print(f"Fichier, disque ou registre inutilisable : {because(error)}", file=sys.stderr)
    return 1


def _build_parser() -> argparse.ArgumentParser:
    parser, command = commands("sae-versement", _DESCRIPTION)
    deposit = command("verser", _deposit_sip, "verse un SIP (.tar ou .zip, SEDA ou BagIt) pour un compte")
    deposit.add_argument("fichier", type=Path, help="le SIP")
    deposit.add_argument("--compte", required=True, metavar="COMPTE", help="service versant")
    back = command("restituer", _bring_back, "écrit l'archive (tar OCFL), ou un de ses fichiers, vérifié")
    back.add_argument("archive", help="identifiant de l'archive")
    back.add_argument("--compte", required=True, metavar="COMPTE", help="service versant")
    back.add_argument("--fichier", metavar="NOM", help="un seul fichier du SIP")
    back.add_argument("--vers", type=Path, required=True, metavar="FICHIER", help="fichier à écrire")
    listing = command("lister", _list_archives, "montre les archives d'un compte")
    listing.add_argument("--compte", required=True, metavar="COMPTE", help="service versant")
    listing.add_argument("--nombre", type=int, default=20, metavar="N", help="nombre d'archives montrées (20)")
    formats = command("formats", _show_formats, "compte les archives de chaque compte par format (PRONOM)")
    formats.add_argument("--json", action="store_true", help="sortie JSON")
    command("statut", _show_status, "montre les comptes, l'antivirus et les versements en attente")
    command(
        "entretien", _resume_versements, "reprend les versements interrompus et publie les mesures (lancé par systemd)"
    )
    return parser


class _UnknownNameError(Exception):
    """What was named is not there; the message (French) says what is."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def _find_account(config: Config, name: str) -> Account:
    if name not in config.accounts:
        raise _UnknownNameError(f"« {name} » n'est pas un compte. Comptes : {', '.join(sorted(config.accounts))}.", 2)
    return config.accounts[name]


def _deposit_sip(config: Config, arguments: argparse.Namespace) -> int:
    account = _find_account(config, arguments.compte)
    try:
        with arguments.fichier.open("rb") as stream:
            answer = Engine.from_config(config).deposit(account, stream)
    except SipTooLargeError:
        print(f"Le SIP dépasse {config.limits.package // 1_000_000} Mo.", file=sys.stderr)
        return 1
    except (SipBusyError, AnswerPendingError) as error:
        print(
            "En cours : "
            + ("le stockage ne répond pas, " if isinstance(error, AnswerPendingError) else "")
            + "la reprise finira."
        )
        return 1
    if answer.accepted:
        print(f"Accepté : archive {answer.aip}")
        return 0
    print("Refusé, rien n'est conservé :\n" + "\n".join(f"  - {reason}" for reason in answer.reasons), file=sys.stderr)
    return 1


def _find_archive(engine: Engine, account: Account, aip: str) -> Archive:
    archive = engine.registry.archive(account.name, aip)
    if archive is None:
        raise _UnknownNameError(f"« {aip} » n'est pas une archive de {account.label}.", 1)
    return archive


def _bring_back(config: Config, arguments: argparse.Namespace) -> int:
    account = _find_account(config, arguments.compte)
    engine = Engine.from_config(config)
    archive = _find_archive(engine, account, arguments.archive)
    names = [str(one["nom"]) for one in archive.files]
    if arguments.fichier and arguments.fichier not in names:
        print(f"« {arguments.fichier} » n'y est pas. Fichiers : {', '.join(names)}.", file=sys.stderr)
        return 1
    target: Path = arguments.vers
    temporary = target.with_name(f".{target.name}.part")
    try:
        by = os.environ.get("SUDO_USER", "")
        with engine.open(account, archive, by, arguments.fichier or "") as stream, temporary.open("xb") as written:
            if arguments.fichier:
                written.writelines(engine.file_blocks(stream, archive, arguments.fichier))
            else:
                written.writelines(engine.blocks(stream, archive))
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    print(f"{target} : écrit, empreinte SHA-512 vérifiée.")
    return 0


def _list_archives(config: Config, arguments: argparse.Namespace) -> int:
    account = _find_account(config, arguments.compte)
    for archive in Engine.from_config(config).registry.latest(account.name, arguments.nombre):
        shown = archive.to_dict()
        print(
            f"{shown['archive']}  {shown['verse_le'][:10]}  jusqu'au {shown['conserve_jusqua']}  {shown['titre'][:60]}"
        )
    return 0


def _show_formats(config: Config, arguments: argparse.Namespace) -> int:
    counted = Registry(config.registry).formats()
    if arguments.json:
        print(json.dumps(counted, ensure_ascii=False))
        return 0
    for one in counted:
        print(
            f"{one['compte']:<30} {one['format']:<12} {one['archives']:>7} archives {one['fichiers']:>8} fichiers "
            f"{sizes.readable(one['octets']):>10}"
        )
    return 0


def _show_status(config: Config, arguments: argparse.Namespace) -> int:
    engine = Engine.from_config(config)
    usage = engine.registry.usage()
    for name, account in sorted(config.accounts.items()):
        count, size = usage.get(name, (0, 0))
        print(f"{name:<30} {count:>7} archives {sizes.readable(size):>10} sur {account.quota_mo} Mo")
    waiting = [path for path in config.spool.iterdir() if not path.name.startswith(".")]
    print(f"Versements en attente : {len(waiting)}")
    if aside := sorted(config.set_aside.glob("*/sip")):
        print(f"SIP mis de côté : {len(aside)}, qui ont interrompu le service. Examinez-les sans les rejouer, puis")
        print(f"effacez leur dossier : {', '.join(str(path.parent) for path in aside[:5])}")
    failed = 0
    try:
        print(f"Antivirus : {antivirus.Clamd(config.clamd).version()}")
    except OSError as error:
        print(f"Antivirus : ne répond pas ({because(error)}). Aucun versement n'est accepté.")
        failed = 1
    age = antivirus.signatures_age(config.signatures)
    print(
        "Signatures : "
        + ("aucune" if age is None else f"du {time.strftime('%d/%m/%Y', time.localtime(time.time() - age))}")
    )
    return failed


def _resume_versements(config: Config, arguments: argparse.Namespace) -> int:
    engine = Engine.from_config(config)
    failed = 0
    for key, outcome in engine.resume():
        print(f"versement {key} repris : {outcome}")
        failed += outcome == "en erreur"
    metrics.publish(config, engine.registry)
    return int(failed > 0)
