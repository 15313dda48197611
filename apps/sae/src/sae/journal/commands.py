"""`sae-journal`: seals, exports and verifies the journal. Verifying asks for Python and openssl, nothing else."""

from __future__ import annotations

import argparse
import base64
import json
import os
import sys
import tempfile
import time
import zlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from sae.commands import commands
from sae.journal import verify
from sae.journal.log import Event, Journal, JournalError, parse_time
from sae.journal.timestamp import TimestampError

_JOURNAL_EPILOG = """\
Vérifier de l'extérieur (Python 3.11 et openssl suffisent) :

  sae-journal exporter DOSSIER                       sur la porte des archives
  sae-journal verify DOSSIER --racine racine.pem --ancre COPIE

« --racine » est la racine de l'autorité d'horodatage, « --ancre » le dossier des sceaux copiés auparavant hors de la
salle : sans elle, un journal coupé après un sceau ne se distingue pas d'un journal plus jeune."""

_UNIT_HELP = (
    "celle d'une autorité extérieure, en plus de celle des archives : sujet de son certificat, ou sa fin (O=…,C=FR)"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Gives 0 when all is good, 1 when something is wrong, 2 for misuse."""
    arguments = _build_parser().parse_args(argv)
    try:
        return int(arguments.action(arguments))
    except (verify.VerifyError, JournalError, TimestampError) as error:
        print(f"sae-journal : {error}", file=sys.stderr)
        return 2 if isinstance(error, verify.VerifyError) else 1
    except PermissionError as error:
        print(f"sae-journal : accès refusé à {error.filename} : lancez la commande avec sudo", file=sys.stderr)
    except OSError as error:  # on the gateway: what is verified elsewhere says its own
        from creatic_agent.reasons import because

        print(f"sae-journal : {because(error)}", file=sys.stderr)
    except Exception as error:
        # Errors of the storage and of the configuration have their own French text; anything else must show.
        if not type(error).__module__.startswith(("sae.", "creatic_agent.")):
            raise
        print(f"sae-journal : {error}", file=sys.stderr)
    return 1


def _build_parser() -> argparse.ArgumentParser:
    parser, command = commands("sae-journal", "Le journal scellé de la salle d'archives.", _JOURNAL_EPILOG)
    command("sceller", _seal_journal, "scelle ce qui ne l'est pas encore (lancé par systemd)")
    state = command("etat", _show_state, "montre où en sont le journal et ses sceaux")
    state.add_argument("--json", action="store_true", help="sortie JSON")
    show = command("montrer", _show_events, "montre des événements")
    show.add_argument("--archive", metavar="AIP", help="ceux d'une archive")
    show.add_argument("--nombre", type=int, default=20, metavar="N", help="les N derniers (20)")
    export = command("exporter", _export_journal, "écrit le journal et ses sceaux dans un dossier")
    export.add_argument("dossier", type=Path, help="dossier à écrire ; un nom en .tar donne un seul fichier")
    export.add_argument("--apres", type=int, default=0, metavar="N", help="seulement les sceaux qui suivent le sceau N")
    check = command(
        "verify", _verify_or_explain, "prouve que rien n'a été retiré, déplacé, modifié ni coupé", "verifier"
    )
    check.add_argument("dossier", type=Path, nargs="?", help="dossier de « sae-journal exporter »")
    check.add_argument("--racine", type=Path, required=True, metavar="PEM", help="racine de l'autorité d'horodatage")
    check.add_argument("--ancre", type=Path, metavar="DOSSIER", help="sceaux copiés auparavant hors de la salle")
    check.add_argument("--unite", default="", metavar="SUJET", help=_UNIT_HELP)
    check.add_argument("--intermediaires", type=Path, metavar="PEM", help="autorités absentes des jetons")
    check.add_argument("--preuve", type=Path, metavar="FICHIER", help="vérifie la preuve d'un seul événement")
    check.add_argument("--json", action="store_true", help="sortie JSON")
    proof = command("preuve", _write_proof, "écrit la preuve d'un événement, qui se vérifie seule")
    proof.add_argument("numero", type=int, metavar="SEQ")
    proof.add_argument("--sortie", type=Path, metavar="FICHIER", help="où l'écrire (par défaut : à l'écran)")
    take = command(
        "recevoir", _receive_copy, "ajoute un export (.tar) à la copie tenue hors de la salle, s'il la continue"
    )
    take.add_argument("export", type=Path, nargs="?", help="sans lui : montre le numéro du dernier sceau de la copie")
    take.add_argument("--copie", type=Path, required=True, metavar="DOSSIER", help="la copie")
    take.add_argument("--racine", type=Path, metavar="PEM", help="racine de l'autorité d'horodatage")
    take.add_argument("--unite", default="", metavar="SUJET", help=_UNIT_HELP)
    command("attendues", _print_expected, "donne aux nœuds la liste des archives qu'ils doivent avoir (compressée)")
    command(
        "restaurer",
        _restore_journal,
        "refait le journal d'après les sceaux du stockage, sur une porte des archives neuve",
    )
    return parser


def _seal_journal(arguments: argparse.Namespace) -> int:
    from sae import config
    from sae.journal import metrics
    from sae.journal.seal import Sealer, SealError, sealing
    from sae.store import StoreError, reference

    loaded, how = config.load(arguments.config), sealing(arguments.config)
    store = loaded.store()
    with Journal(loaded.journal) as journal:
        try:
            done = Sealer(journal, store, how.stamper, how.root, reference(store), unit=how.unit).run()
        except (SealError, TimestampError, StoreError, JournalError) as error:
            metrics.write(loaded.metrics, journal, failed=True)
            print(f"sae-journal : {error}", file=sys.stderr)
            return 1
        metrics.write(loaded.metrics, journal, failed=False)
    print(
        f"{done.made} sceaux faits, {done.stored} déposés au stockage."
        if done.made or done.stored
        else "Rien de nouveau à sceller."
    )
    return 0


def _print_expected(arguments: argparse.Namespace) -> int:
    """One line: base64 of the zlib-compressed names `compte/aip/objet`, one a line."""
    from sae import config, inventory

    with Journal(config.load(arguments.config).journal) as journal:
        kept = inventory.all_kept(journal)
    names = sorted(f"{known.account}/{inventory.CONTAINER}/{known.name}" for known in kept.values())
    print(base64.b64encode(zlib.compress("\n".join(names).encode())).decode("ascii"))
    return 0


def _show_state(arguments: argparse.Namespace) -> int:
    from sae import config
    from sae.journal.seal import last_seal, seals

    loaded = config.load(arguments.config)
    with Journal(loaded.journal) as journal:
        last, seal = journal.last(), last_seal(journal)
        waiting = sum(1 for _ in seals(journal, stored=False))
        told = {
            "journal": journal.identifier,
            "evenements": last.seq if last else 0,
            "dernier_evenement": last.time if last else None,
            "sceaux": seal.fields["numero"] if seal else 0,
            "dernier_sceau": seal.fields["heure"] if seal else None,
            "non_scelles": (last.seq if last else 0) - (seal.fields["dernier"] if seal else 0),
            "sceaux_en_attente": waiting,
        }
    if arguments.json:
        print(json.dumps(told, ensure_ascii=False, indent=2))
        return 0
    print(f"Journal {told['journal']} : {told['evenements']} événements, le dernier le {_format_local(last)}.")
    if seal is None:
        print("Aucun sceau : rien ne prouve encore ces événements.")
    else:
        at = parse_time(seal.fields["heure"]).astimezone()
        print(f"{told['sceaux']} sceaux, le dernier le {at:%d/%m/%Y à %H:%M:%S}.")
    print(f"{told['non_scelles']} événements pas encore scellés, {waiting} sceaux à déposer au stockage.")
    return 0


def _format_local(event: Event | None) -> str:
    return f"{event.at.astimezone():%d/%m/%Y à %H:%M:%S}" if event else "jamais"


def _show_events(arguments: argparse.Namespace) -> int:
    from sae import config

    with Journal(config.load(arguments.config).journal) as journal:
        last = journal.last()
        first = 1 if arguments.archive or last is None else max(1, last.seq - arguments.nombre + 1)
        for event in list(journal.events(first, aip=arguments.archive))[-arguments.nombre :]:
            detail = json.dumps(event.detail, ensure_ascii=False)
            print(
                f"{event.seq:>8}  {_format_local(event)}  {event.event:<24} {event.outcome:<9} {event.account:<14} "
                f"{event.aip or '-':<36}  {detail}"
            )
    return 0


def _export_journal(arguments: argparse.Namespace) -> int:
    from sae import config
    from sae.journal import copy
    from sae.journal.export import export

    loaded, target = config.load(arguments.config), arguments.dossier
    with Journal(loaded.journal) as journal:
        if target.suffix == ".tar":
            with tempfile.TemporaryDirectory() as folder:
                last = export(journal, loaded.store(), Path(folder), arguments.apres)
                copy.pack(Path(folder), target)
        else:
            last = export(journal, loaded.store(), target, arguments.apres)
    print(f"{arguments.dossier} : le journal et ses sceaux, jusqu'au sceau {last}.")
    return 0


def _verify_or_explain(arguments: argparse.Namespace) -> int:
    for file in filter(None, (arguments.racine, arguments.preuve, arguments.intermediaires)):
        if not file.is_file() or not os.access(file, os.R_OK):
            raise verify.VerifyError(f"{file} : ce n'est pas un fichier, ou vous ne pouvez pas le lire")
    try:
        return _run_verification(arguments)
    except OSError as error:  # the system's words are English, and whoever has this folder alone has no others
        raise verify.VerifyError(f"{error.filename} : lecture impossible (erreur {error.errno})") from error


def _run_verification(arguments: argparse.Namespace) -> int:
    if arguments.preuve:
        text = arguments.preuve.read_text(encoding="utf-8", errors="replace")
        event, at = verify.verify_proof(text, arguments.racine, arguments.intermediaires, arguments.unite)
        print(
            f"✓ événement {event.seq} ({event.event}, {event.account}) : prouvé, "
            f"certifié existant le {at.astimezone():%d/%m/%Y à %H:%M:%S}"
        )
        print(json.dumps(json.loads(event.line), ensure_ascii=False, indent=2))
        return 0
    if arguments.dossier is None:
        raise verify.VerifyError("donnez le dossier de « sae-journal exporter », ou --preuve FICHIER")
    start = time.monotonic()
    given = (arguments.racine, arguments.ancre, arguments.intermediaires, arguments.unite)
    report = verify.verify_folder(arguments.dossier, *given)
    if arguments.json:
        print(json.dumps(_report_fields(report), ensure_ascii=False, indent=2))
        return int(bool(report.faults))
    for line in report.sentences():
        print(f"✗ {line}")
    for line in report.warnings:
        print(f"! {line}")
    span = f", du {_format_day(report.first)} au {_format_day(report.last)}" if report.first else ""
    counted = f"{report.events} événements, {report.seals} sceaux{span}"
    if report.anchored:
        counted += f", copie extérieure jusqu'au sceau {report.anchored}"
    if report.faults:
        print(f"✗ {counted} : le journal n'est PAS intact ({len(report.faults)} défauts).")
        return 1
    print(f"✓ {counted} : rien n'a été retiré, déplacé ni modifié (vérifié en {time.monotonic() - start:.1f} s).")
    return 0


def _format_day(at: datetime | None) -> str:
    return f"{at.astimezone():%d/%m/%Y à %H:%M}" if at else "?"


def _report_fields(report: verify.Report) -> dict[str, object]:
    return {
        "intact": not report.faults,
        "defauts": [{"ou": where, "quoi": what} for where, what in report.faults],
        "avertissements": report.warnings,
        "evenements": report.events,
        "non_scelles": report.unsealed,
        "sceaux": report.seals,
        "premier": report.first.isoformat() if report.first else None,
        "dernier": report.last.isoformat() if report.last else None,
        "ancre": report.anchored,
    }


def _write_proof(arguments: argparse.Namespace) -> int:
    from sae import config
    from sae.journal.seal import seal_of

    with Journal(config.load(arguments.config).journal) as journal:
        lines = list(journal.lines(arguments.numero, arguments.numero))
        if not lines:
            raise JournalError(f"le journal n'a pas d'événement {arguments.numero}")
        seal = seal_of(journal, arguments.numero)
        if seal is None:
            raise JournalError(f"l'événement {arguments.numero} n'est pas encore scellé : « sae-journal sceller »")
        proof = verify.make_proof(lines[0][1], seal)
    if arguments.sortie:
        arguments.sortie.write_text(proof, encoding="utf-8")
    else:
        sys.stdout.write(proof)
    return 0


def _receive_copy(arguments: argparse.Namespace) -> int:
    from sae.journal import copy

    known = copy.last(arguments.copie)
    if arguments.export is None:
        print(known)
        return 0
    if arguments.racine is None:
        raise verify.VerifyError("donnez la racine de l'autorité d'horodatage, --racine PEM")
    with tempfile.TemporaryDirectory() as folder:
        received = Path(folder, "export")
        copy.unpack(arguments.export, received)
        report = copy.receive(received, arguments.copie, arguments.racine, arguments.unite)
    for line in report.sentences():
        print(f"✗ {line}")
    if report.faults:
        print(f"✗ {arguments.copie} : rien n'est ajouté, le journal reçu ne continue pas cette copie.")
        return 1
    print(f"✓ {arguments.copie} : {report.seals} sceaux vérifiés, {report.seals - known} de plus.")
    return 0


def _restore_journal(arguments: argparse.Namespace) -> int:
    from sae import config
    from sae.journal.seal import restore, sealing

    loaded = config.load(arguments.config)
    how = sealing(arguments.config)
    seals, events = restore(loaded.journal, loaded.store(), how.root, how.unit)
    if os.geteuid() == 0:
        owner = loaded.folder.stat()
        os.chown(loaded.journal, owner.st_uid, owner.st_gid)
    print(f"{loaded.journal} : {events} événements restaurés d'après {seals} sceaux.")
    return 0
