"""``creatic-sauvegarde``: this machine's backup, in French."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

from creatic_agent.configuration import ConfigError
from creatic_agent.reasons import because
from creatic_sauvegarde import backup, borg, keys, lots, postgresql, restore, snapshot
from creatic_sauvegarde.settings import CONFIG, BackupError, ServerUnavailableError, Settings

PARTIAL_RESTORE_STATUS = 3  # a restoration put back what it could, and something was refused
RETRY_LATER_STATUS = 75  # EX_TEMPFAIL: no failure, the next run tries again


def _forget_cache(settings: Settings) -> None:
    """Forget what borg remembers of the repository, after a rollback that was announced."""
    shutil.rmtree(settings.state / "borg", ignore_errors=True)


def _list_backups(settings: Settings) -> None:
    for one in borg.archives(settings):
        print(f"{one['le'].astimezone():%d/%m/%Y %H:%M:%S}  {one['name']}")


def _parse_date(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _format_size(octets: float) -> str:
    for unit in ("o", "ko", "Mo"):
        if round(octets, 1) < 1000:
            return f"{octets:.1f} {unit}".replace(".", ",").replace(",0 ", " ")
        octets /= 1000
    return f"{octets:.1f} Go".replace(".", ",")


def _back_up(settings: Settings) -> None:
    done = backup.perform(settings)
    print(
        f"Sauvegarde {done['archive']} : {done['fichiers']} fichiers, {_format_size(done['octets'])} "
        f"dont {_format_size(done['octets_nouveaux'])} nouveaux, en {done['secondes']:.0f} s."
    )
    with backup.lock_backup(settings):
        try:
            for line in lots.make(settings):
                print(line)
        finally:
            for line in lots.declare_needs(settings):
                print(line)


def _give_back(settings: Settings, names: list[str]) -> int:
    told, failed = lots.give_back(settings, names or sys.stdin.read().split())
    print("\n".join(told))
    for line in failed:
        print(f"creatic-sauvegarde : {line}", file=sys.stderr)
    return 1 if failed else 0


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="creatic-sauvegarde", description="Sauvegarde de cette machine.")
    parser.add_argument("--config", type=Path, default=CONFIG, help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="commande", required=True, metavar="COMMANDE")
    commands.add_parser("faire", help="sauvegarde maintenant")
    commands.add_parser("liste", help="montre les sauvegardes")
    one = commands.add_parser("restaurer", help="remet la dernière sauvegarde sur cette machine")
    one.add_argument("--sauvegarde", default="", help="une autre que la dernière")
    one.add_argument("--avant", type=_parse_date, help="aucune ne peut être plus tardive (date ISO 8601)")
    one.add_argument("--dans", type=Path, help="dans un dossier, et non sur cette machine")
    one.add_argument("--json", action="store_true")
    one = commands.add_parser("revenir", help="ramène les bases PostgreSQL de cette machine à un moment")
    one.add_argument("moment", type=_parse_date, help="date et heure ISO 8601, UTC sans fuseau")
    one = commands.add_parser("reprendre", help="rend à leur salle des archives copiées dans le dépôt")
    one.add_argument("noms", nargs="*", help="compte/archive.tar ; lus sur l'entrée sans eux")
    commands.add_parser("oublier", help="oublie ce que borg sait du dépôt, après un retour en arrière annoncé")
    one = commands.add_parser("cles", help="fait les clés qui manquent, et les met sous séquestre")
    one.add_argument("--ssh-seule", action="store_true", help="pour restaurer : la phrase secrète vient du séquestre")
    commands.add_parser("instantane", help="copie les bases (appelé par borgmatic)")
    return parser


def main(arguments: list[str] | None = None) -> int:
    asked = _build_parser().parse_args(arguments)
    try:
        settings = Settings.load(asked.config)
        if asked.commande == "faire":
            _back_up(settings)
        elif asked.commande == "liste":
            _list_backups(settings)
        elif asked.commande == "restaurer":
            with backup.lock_backup(settings):
                done = restore.perform(settings, asked.sauvegarde, asked.avant, asked.dans)
            print(json.dumps(done) if asked.json else f"{done['archive']} : {done['fichiers']} fichiers remis.")
        elif asked.commande == "revenir":
            with backup.lock_backup(settings):
                postgresql.check(asked.moment)
                with restore.stopped(settings.all_of("units")):
                    postgresql.go_back(asked.moment)
            print(f"Les bases sont telles qu'elles étaient le {asked.moment.astimezone():%d/%m/%Y à %H:%M:%S}.")
        elif asked.commande == "reprendre":
            return _give_back(settings, asked.noms)
        elif asked.commande == "oublier":
            _forget_cache(settings)
        elif asked.commande == "cles":
            print("\n".join(keys.ensure(settings, asked.ssh_seule)))
        elif asked.commande == "instantane":
            snapshot.take(settings)
    except restore.IncompleteRestoreError as error:
        if asked.json:
            print(json.dumps(error.done))
        print("\n".join([*error.refusals.lines(), f"creatic-sauvegarde : {because(error)}"]), file=sys.stderr)
        return PARTIAL_RESTORE_STATUS
    except ServerUnavailableError as error:
        print(f"creatic-sauvegarde : {because(error)}", file=sys.stderr)
        return RETRY_LATER_STATUS
    except (BackupError, ConfigError, OSError) as error:
        print(f"creatic-sauvegarde : {because(error)}", file=sys.stderr)
        return 1
    return 0
