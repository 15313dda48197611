"""The command line, in French: tdt-connector run|status|send|retry|doctor|proof|verser|restituer|relever|lettres."""

from __future__ import annotations

import argparse
import json
import os
import pwd
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import date, datetime
from functools import partial
from pathlib import Path

from creatic_agent.durable import unused
from creatic_agent.french import speak
from creatic_agent.reasons import because
from creatic_agent.totem import is_xml as is_budget

from . import attached, letters
from . import description as descriptions
from .archive import ArchiveError, Away, Sae, latest_archived
from .checks import check_act, check_kept, check_number, check_pdf, check_pes, check_size
from .classification import ClassificationError
from .classification import parse as parse_classification
from .config import DEFAULT_PATH, Config, ConfigError, entities, load, of_entity
from .drivers import DRIVERS, connect
from .eliminations import Eliminations
from .errors import TdtError
from .filing import FOLDERS, last_name, summary
from .handover import HandoverError, Passerelle
from .journal import Journal, Row, State, StateChanged
from .sip import SipError
from .storage import copy, move

_DESCRIPTION = """\
Transmet au tiers de télétransmission (TdT) les actes et les flux PES déposés dans le dossier « depot »,
une fois et une seule, et range à côté de chaque acte l'accusé de réception de la préfecture (ARActe)."""
_EPILOG = """\
Déposer un acte : copiez dans « depot » le PDF et sa description, de même nom.

  2026_012.pdf
  2026_012.yml :
      numero: 2026_012
      objet: Approbation du compte administratif 2025
      date: 2026-11-25
      nature: délibérations       # ou un code : 1 à 6
      classification: 7.1
      type: 99_DE
      annexes:                    # facultatif
        - {fichier: tableau.pdf, type: 99_DE}
      document_papier: non        # facultatif
      transmission: oui           # facultatif : non = non transmissible (CGCT, L2131-2), gardé et archivé sans partir
      en_attente: non             # facultatif : oui = enregistré au TdT sans être transmis

Déposer un flux PES : copiez le fichier .xml seul.

Suivre : « tdt-connector status ». L'acte acquitté est dans « acquittes », l'acte refusé dans « rejets »
avec motif.txt, les courriers de la préfecture dans « lettres », l'acte non transmissible dans « conserves »."""
_SHOWN = "%d/%m %H:%M"


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns the exit code: 0 done, 1 refused or failed, 2 misuse."""
    speak()
    arguments = _parser().parse_args(argv)
    try:
        chosen = of_entity(arguments.entite, arguments.config) if arguments.entite else arguments.config
        config = load(chosen, DRIVERS)
        if arguments.command != "send":
            _become_service(config)
        return int(arguments.action(config, arguments))
    except ConfigError as error:
        print(error, file=sys.stderr)
    except PermissionError as error:
        why = _denied(Path(error.filename)) if error.filename else ""
        print(why or f"Accès refusé : {error.filename}. Lancez la commande avec sudo.", file=sys.stderr)
    except OSError as error:
        print(f"Fichier ou disque inutilisable : {because(error)}", file=sys.stderr)
    except sqlite3.Error as error:
        why = _denied(config.journal)
        print(why or f"Journal inutilisable : {error}. Lancez « tdt-connector doctor ».", file=sys.stderr)
    return 1


def _denied(path: Path) -> str:
    """Which right is missing to write a file, and which group has it; empty when none is missing."""
    needs = [(parent, os.X_OK) for parent in reversed(path.parents)]
    needs += [(path.parent, os.W_OK | os.X_OK), (path, os.R_OK | os.W_OK)]
    for one, wanted in needs:
        if not one.exists() or os.access(one, wanted):
            continue
        info = one.stat()
        group, owner = _name(one.group, info.st_gid), _name(one.owner, info.st_uid)
        me = _name(lambda: pwd.getpwuid(os.getuid()).pw_name, os.getuid())
        text = f"Accès refusé à {one} : votre compte « {me} »"
        if info.st_gid in {os.getgid(), *os.getgroups()}:
            return f"{text} n'y a pas droit, « {owner} » l'a. Lancez la commande avec sudo."
        text += f" n'est pas du groupe « {group} »"
        if info.st_mode >> 3 & wanted == wanted:
            return f"{text}, qui y a droit. Demandez au groupement de l'y ajouter, ou lancez la commande avec sudo."
        return f"{text}, et seul le compte « {owner} » y a droit. Lancez la commande avec sudo."
    return ""


def _name(ask: Callable[[], str], number: int) -> str:
    try:
        return ask()
    except KeyError:
        return str(number)


def _parser() -> argparse.ArgumentParser:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("tdt-connector", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=plain)
    parser.add_argument("--config", type=Path, default=DEFAULT_PATH, metavar="FICHIER", help="configuration à employer")
    parser.add_argument("--entite", metavar="NOM", help="pour une entité de la commune, par exemple gondecourt-ccas")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMANDE", title="commandes")

    def command(name: str, action: object, text: str, details: str = "") -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=details or text, formatter_class=plain)
        sub.set_defaults(action=action)
        return sub

    _add_deposits(command)
    _add_proofs(command)
    _add_archives(command)
    _add_exchanges(command)
    return parser


def _add_deposits(command: Callable[..., argparse.ArgumentParser]) -> None:
    """The connector's own work, and what persons do of deposits."""
    command("run", _run, "fait travailler le connecteur (lancé par systemd)")
    status = command("status", _status, "montre où en sont les dépôts")
    status.add_argument("nom", nargs="?", help="numéro, référence, IDActe ou transaction : montre tout son parcours")
    status.add_argument("--nombre", type=int, default=20, metavar="N", help="nombre de dépôts montrés (20)")
    status.add_argument("--json", action="store_true", help="sortie JSON")
    send = command(
        "send",
        _send,
        "contrôle un acte ou un PES et le met dans le dossier de dépôt",
        "Contrôle un acte (PDF et description) ou un flux PES (XML), puis le met dans le dossier de dépôt.\n"
        "Sans défaut trouvé, rend 0 ; sinon, dit quoi corriger et ne dépose rien.",
    )
    send.add_argument("fichier", type=Path, help="PDF de l'acte, ou XML du flux PES")
    send.add_argument(
        "--description",
        type=Path,
        metavar="FICHIER",
        help="description de l'acte (par défaut : même nom, en .yml)",
    )
    retry = command(
        "retry",
        _retry,
        "reprend un dépôt rejeté, ou règle un dépôt « à rapprocher »",
        "Reprend un dépôt :\n"
        "  - rejeté : ses fichiers retournent dans le dossier de dépôt ;\n"
        "  - à rapprocher : il est recherché de nouveau au TdT, ou réglé par --transaction ou --absent,\n"
        "    après avoir regardé sur le site du TdT. Un acte n'est jamais renvoyé au hasard.",
    )
    retry.add_argument("nom", help="numéro ou référence du dépôt")
    choice = retry.add_mutually_exclusive_group()
    choice.add_argument("--transaction", type=int, metavar="N", help="le dépôt est au TdT, sous cette transaction")
    choice.add_argument("--absent", action="store_true", help="vérifié : le dépôt n'est pas au TdT, à envoyer")


def _add_proofs(command: Callable[..., argparse.ArgumentParser]) -> None:
    """What tells whether it can transmit."""
    diagnosis = command("doctor", _doctor, "dit ce qui ne va pas et quoi faire")
    diagnosis.add_argument("--json", action="store_true", help="sortie JSON")
    proving = command(
        "proof",
        _proof,
        "prouve la transmission avec un acte de test (sortie JSON)",
        "Prouve que la collectivité peut transmettre : connexion, compte, RGS, nomenclature, et un acte de test\n"
        "déposé puis suivi jusqu'à son ARActe. Sortie JSON ; les verdicts y sont, le code de retour vaut 0.",
    )
    proving.add_argument(
        "--production",
        action="store_true",
        help="le TdT est réel : l'acte de test est enregistré sans être transmis, puis annulé",
    )
    proving.add_argument("--delai", type=float, default=180, metavar="S", help="attente maximale, en secondes (180)")
    proving.add_argument(
        "--pour",
        default="",
        metavar="VERSION",
        help="ce qui est prouvé : un acte de test par version, trois au plus s'ils ne prouvent rien, et espacés",
    )


def _add_archives(command: Callable[..., argparse.ArgumentParser]) -> None:
    """What goes to the archive, comes back, and leaves with it."""
    archiving = command(
        "verser",
        _archive,
        "verse au système d'archivage électronique (SAE) les actes acquittés",
        "Verse au SAE un acte acquitté, ou tous ceux qui ne le sont pas encore. À relancer sans crainte : le SAE\n"
        "donne à un acte déjà versé la même réponse, rangée à côté de l'acte (versement.xml). Rend 75 si le SAE ne\n"
        "répond pas encore : les actes attendent.",
    )
    which = archiving.add_mutually_exclusive_group(required=True)
    which.add_argument("idacte", nargs="?", help="identifiant de l'acte (dossier de « acquittes »)")
    which.add_argument("--tous", action="store_true", help="tous les actes acquittés qui ne sont pas encore versés")
    gone = command(
        "eliminer",
        _eliminate,
        "supprime les copies des actes que le SAE a éliminés (Code du patrimoine, L212-2), et le lui dit",
        "Supprime les copies des actes que le SAE atteste avoir éliminés avec le visa des Archives départementales,\n"
        "trente jours après l'avoir annoncé : ici, à la passerelle, et par elle dans la GED et le parapheur ; puis le\n"
        "dit au SAE, qui l'atteste. À relancer sans crainte. Rend 75 si quelque chose attend : c'est demandé de\n"
        "nouveau à chaque fois. La commune garde un acte sur sa page de la passerelle ; ce qui est ici, avec --garder.",
    )
    which = gone.add_mutually_exclusive_group()
    which.add_argument("--essai", action="store_true", help="montre ce qui serait supprimé, et ne change rien")
    which.add_argument("--garder", metavar="ARCHIVE", help="garde ici ce qui devait partir, jusqu'à --laisser")
    which.add_argument("--laisser", metavar="ARCHIVE", help="laisse partir ce qui était gardé ici, dans trente jours")
    back = command(
        "restituer",
        _bring_back,
        "fait revenir du SAE un acte versé, et le compare à celui d'ici",
        "Fait revenir du SAE les fichiers d'un acte versé et compare leurs empreintes à celles d'ici.\n"
        "Rend 0 si tout ce qui est ici est identique à l'archive.",
    )
    what = back.add_mutually_exclusive_group(required=True)
    what.add_argument("idacte", nargs="?", help="identifiant de l'acte (IDActe)")
    what.add_argument("--dernier", action="store_true", help="l'acte versé le plus récent")
    back.add_argument("--vers", type=Path, metavar="DOSSIER", help="où écrire les fichiers (par défaut : nulle part)")


def _add_exchanges(command: Callable[..., argparse.ArgumentParser]) -> None:
    """What the passerelle and the préfecture have for this commune."""
    command(
        "relever",
        _relay,
        "prend à la passerelle les actes à transmettre, et lui dit où en sont les autres",
        "Met dans le dossier de dépôt les actes que la passerelle a pour cette collectivité, et lui dit où en sont\n"
        "ceux d'avant. À relancer sans crainte. Rend 75 si la passerelle ne répond pas : rien n'est perdu.",
    )
    mail = command(
        "lettres",
        _letters,
        "montre les courriers de la préfecture, ou dit qu'une personne en prend un en charge",
        "Montre les courriers de la préfecture. Un courrier attend au TdT jusqu'à ce qu'une personne le prenne en\n"
        "charge : par la page de la passerelle, ou ici là où la collectivité n'a pas de passerelle.",
    )
    mail.add_argument("--prendre", type=int, metavar="N", help="numéro du courrier que vous prenez en charge")


def _become_service(config: Config) -> None:
    """Work under the service's account, so that no file of the journal ever belongs to root."""
    if os.geteuid() != 0 or not config.folder_state.is_dir():
        return
    owner = config.folder_state.stat()
    if owner.st_uid != 0:
        account = pwd.getpwuid(owner.st_uid)
        os.initgroups(account.pw_name, account.pw_gid)
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    os.umask(0o027)


def _run(config: Config, arguments: argparse.Namespace) -> int:
    from . import service

    return service.run(config)


def _status(config: Config, arguments: argparse.Namespace) -> int:
    journal = Journal(config.journal)
    try:
        if arguments.nom:
            return _show(journal, arguments.nom, arguments.json)
        rows = journal.recent(arguments.nombre)
        contact, failing = float(journal.value("contact_le", "0")), journal.value("contact_erreur")
        if arguments.json:
            document = {
                "depots": [summary(row) for row in rows],
                "etats": {state.value: count for state, count in journal.counts().items()},
                "dernier_contact": datetime.fromtimestamp(contact).astimezone().isoformat() if contact else None,
                "contact_erreur": failing or None,
            }
            print(json.dumps(document, ensure_ascii=False, indent=2))
            return 0
        for row in rows:
            print(_line(row))
        counts = ", ".join(f"{count} {state.label}" for state, count in journal.counts().items() if count)
        print(f"\nEn tout : {counts or 'aucun dépôt'}.")
        last = f"{datetime.fromtimestamp(contact):{_SHOWN}}" if contact else "aucun"
        print(f"Dernier échange avec le TdT : {last}." + (f" Depuis : {failing}" if failing else ""))
        return 0
    finally:
        journal.close()


def _line(row: Row) -> str:
    when = datetime.fromtimestamp(row.changed_at).strftime(_SHOWN)
    subject = str((row.act or {}).get("subject", "")) or ", ".join(item.name for item in row.files)
    extra = row.idacte or (row.detail.splitlines() or [""])[0]
    return f"{when}  {row.state.label:<15} {row.title:<18} {subject[:40]:<40}  {extra}".rstrip()


def _show(journal: Journal, name: str, as_json: bool) -> int:
    rows = journal.find(name)
    if not rows:
        print(f"Aucun dépôt ne porte le nom « {name} ».", file=sys.stderr)
        return 1
    if as_json:
        print(json.dumps([summary(row) for row in rows], ensure_ascii=False, indent=2))
        return 0
    for row in rows:
        print(_line(row))
        for when, _, state, detail in journal.events(row):
            text = f"  {datetime.fromtimestamp(when):%d/%m/%Y %H:%M:%S}  {State(state).label:<15} {detail}"
            print(text.rstrip().replace("\n", "\n" + " " * 39))
        if row.filed:
            print(f"  rangé dans {FOLDERS[row.state]}/{last_name(row)}")
    return 0


def _send(config: Config, arguments: argparse.Namespace) -> int:
    path: Path = arguments.fichier
    if not path.is_file():
        print(f"« {path} » n'existe pas.", file=sys.stderr)
        return 1
    files = [path]
    beside = path.with_suffix(".yml")
    if path.suffix.lower() == ".xml" and not arguments.description and not beside.is_file():
        faults = check_pes(path, config.siren, config.max_bytes, config.flux_signes)
    else:
        source: Path = arguments.description or beside
        if not source.is_file():
            print(
                f"« {source} » n'existe pas : il faut décrire l'acte (voir tdt-connector --help).",
                file=sys.stderr,
            )
            return 1
        faults, annexes = _check_before(config, path, source)
        files += [*annexes, source]  # the description last: the set is complete when it appears
    if faults:
        print("Rien n'est déposé :\n" + "\n".join(f"  - {line}" for line in faults), file=sys.stderr)
        return 1
    names = [f"{path.stem}.yml" if item.suffix.lower() in (".yml", ".yaml") else item.name for item in files]
    taken = [name for name in names if os.path.lexists(config.folder_depot / name)]
    if taken:
        print(f"Rien n'est déposé : « {taken[0]} » est déjà dans le dossier de dépôt.", file=sys.stderr)
        return 1
    _put(config.folder_depot, list(zip([item.resolve() for item in files], names, strict=True)))
    print(f"Déposé : {', '.join(names)}. Suivez avec « tdt-connector status ».")
    return 0


def _put(depot: Path, files: list[tuple[Path, str]]) -> None:
    """Copy files into depot/, where others may plant links; the set is whole when its last name appears."""
    parts: list[tuple[Path, Path]] = []
    try:
        for source, name in files:
            parts.append((unused(depot), depot / name))
            copy(source, parts[-1][0])
        for part, target in parts:
            move(part, target)
    finally:
        for part, _target in parts:
            part.unlink(missing_ok=True)


def _check_before(config: Config, path: Path, source: Path) -> tuple[list[str], list[Path]]:
    """Faults found before the deposit, and the annexes' paths. The service checks everything again."""
    try:
        described = descriptions.parse(source.read_bytes())
    except descriptions.DescriptionError as error:
        return error.faults, []
    if described.file and described.file != path.name:
        return [f"champ « fichier » : « {described.file} » n'est pas le fichier donné, « {path.name} »."], []
    described = descriptions.replace_file(described, path.name)
    annexes = [path.parent / annex.name for annex in described.annexes]
    absent = [f"annexe « {annex.name} » introuvable à côté de l'acte." for annex in annexes if not annex.is_file()]
    if absent:
        return absent, []
    if described.transmission == descriptions.STAYS:
        return check_kept(described, path.parent, date.today(), config)[1], annexes
    try:
        classification = parse_classification(config.classification.read_bytes())
    except (OSError, ClassificationError):  # not received yet: what can be checked without it is
        total = sum(item.stat().st_size for item in [path, *annexes])
        document = None if is_budget(path) else check_pdf(path)
        found = [check_number(described.number), document, check_size(total, config.max_bytes)]
        return [fault for fault in found if fault], annexes
    return check_act(described, path.parent, classification, date.today(), config)[1], annexes


def _retry(config: Config, arguments: argparse.Namespace) -> int:
    journal = Journal(config.journal)
    try:
        rows = journal.find(arguments.nom)
        row = next((item for item in rows if item.state in (State.TO_RECONCILE, State.REJECTED)), None)
        if row is None:
            state = f"il est « {rows[0].state.label} »" if rows else "aucun dépôt ne porte ce nom"
            print(f"« {arguments.nom} » n'est ni à rapprocher ni rejeté : {state}.", file=sys.stderr)
            return 1
        if row.state is State.REJECTED:
            return _redeposit(config, row, arguments)
        return _settle(config, journal, row, arguments)
    except (StateChanged, TdtError) as error:
        print(f"Rien n'est changé : {error}", file=sys.stderr)
        return 1
    finally:
        journal.close()


def _redeposit(config: Config, row: Row, arguments: argparse.Namespace) -> int:
    if arguments.transaction or arguments.absent:
        print("--transaction et --absent ne servent qu'à un dépôt « à rapprocher ».", file=sys.stderr)
        return 1
    folder = config.dossier / FOLDERS[row.state] / row.ref
    names = sorted((item.name for item in row.files), key=lambda name: name.lower().endswith((".yml", ".yaml")))
    missing = [name for name in names if not (folder / name).is_file() or (folder / name).is_symlink()]
    present = [name for name in names if os.path.lexists(config.folder_depot / name)]
    if missing or present or not names:
        why = f"« {missing[0]} » n'est plus dans {folder}" if missing else "un fichier de même nom est déjà déposé"
        print(f"Rien n'est changé : {why}.", file=sys.stderr)
        return 1
    _put(config.folder_depot, [(folder / name, name) for name in names])
    print(f"« {row.title} » est de nouveau dans le dossier de dépôt.")
    return 0


def _settle(config: Config, journal: Journal, row: Row, arguments: argparse.Namespace) -> int:
    if arguments.absent and row.transaction:
        print(f"Rien n'est changé : le TdT l'a, sous la transaction {row.transaction}.", file=sys.stderr)
        return 1
    if arguments.absent:
        detail = "Absent du TdT, vérifié par une personne : nouvel envoi."
        journal.move(row, State.CHECKED, absences=0, essais=0, detail=detail)
        print(f"« {row.title} » sera envoyé.")
    elif arguments.transaction:
        driver = connect(config)
        status = driver.pes_status if row.kind == "pes" else driver.act_status
        found = status(arguments.transaction)
        detail = "Transaction donnée par une personne."
        journal.move(row, State.SENT, transaction_tdt=arguments.transaction, essais=0, detail=detail)
        print(f"« {row.title} » est suivi sous la transaction {arguments.transaction} (au TdT : {found.state}).")
    else:
        journal.move(row, State.INTENT, incertain=1, absences=0, detail="Nouvelle recherche au TdT.")
        print(f"« {row.title} » sera de nouveau recherché dans la liste du TdT.")
    return 0


def _archive(config: Config, arguments: argparse.Namespace) -> int:
    try:
        sae = Sae(config)
        acts = sae.waiting() if arguments.tous else [arguments.idacte]
        with Journal(config.journal) as journal:
            written = attached.units(config, journal)
            late = attached.due(config, journal) if arguments.tous else []
        names = [(name, partial(sae.deposit, name, written), "") for name in acts]
        # Acts first: what completes one says of which archive it is a part.
        proofs = sae.waiting_proofs() if arguments.tous else []
        names += [(name, partial(sae.deposit_proof, name), ", dossier de preuve") for name in proofs]
        names += [(one.message, partial(sae.deposit_unit, one, one.folder / attached.PLACE), "") for one in late]
    except ArchiveError as error:
        print(f"Rien n'est versé : {error}", file=sys.stderr)
        return 1
    failed, waiting = 0, 0
    for name, deposit, what in names:
        try:
            outcome = deposit()
        except Away as error:  # the next act would meet the same
            print(f"{name} : {error}", file=sys.stderr)
            return os.EX_TEMPFAIL
        except ArchiveError as error:
            print(f"{name} : {error}", file=sys.stderr)
            waiting += 1
            continue
        except (SipError, OSError) as error:
            print(f"{name} : {error}", file=sys.stderr)
            failed += 1
            continue
        label = {"verse": "versé", "refuse": "REFUSÉ", "attente": "en attente"}[outcome.state]
        print(f"{name}{what} : {label}. {outcome.detail}")
        failed += outcome.state == "refuse"
        waiting += outcome.state == "attente"
    if arguments.tous and names:
        print(f"{len(names) - failed - waiting} acte(s) versé(s), {waiting} en attente, {failed} à revoir.")
    elif arguments.tous:
        print("Tous les actes sont versés.")
    return 1 if failed else os.EX_TEMPFAIL if waiting else 0


def _eliminate(config: Config, arguments: argparse.Namespace) -> int:
    with Journal(config.journal) as journal:
        try:
            relay = Passerelle(config, journal) if config.passerelle_url else None
            found = Eliminations(config, journal, Sae(config), relay)
            if arguments.garder:
                return _told(f"{arguments.garder} : gardé ici jusqu'à --laisser.", found.keep(arguments.garder))
            if arguments.laisser:
                return _told(f"{arguments.laisser} : part d'ici dans trente jours.", found.let_go(arguments.laisser))
            if arguments.essai:
                lines = list(found.planned())
                print("\n".join(lines) if lines else "Rien n'est éliminé, ni à éliminer, aux archives.")
                return 0
            gone, waits = found.apply()
        except (Away, HandoverError) as error:
            print(f"Rien de plus n'est supprimé : {error}", file=sys.stderr)
            return os.EX_TEMPFAIL
        except ArchiveError as error:
            print(f"Rien de plus n'est supprimé : {error}", file=sys.stderr)
            return 1
    print("\n".join(gone) if gone else "Rien de neuf.")
    for line in waits:
        print(f"En attente : {line}", file=sys.stderr)
    return os.EX_TEMPFAIL if waits else 0


def _told(done_words: str, done: bool) -> int:
    """Say what was done, or that there was nothing to do it with."""
    print(done_words if done else "Rien de cette archive n'attend, ou n'est gardé, sur ce connecteur.")
    return 0 if done else 1


def _letters(config: Config, arguments: argparse.Namespace) -> int:
    found = dict(letters.received(config))
    with Journal(config.journal) as journal:
        if arguments.prendre is not None:
            if arguments.prendre not in found:
                print(f"Aucun courrier reçu n'a le numéro {arguments.prendre}.", file=sys.stderr)
                return 1
            letters.take(journal, arguments.prendre)
            print(f"Courrier {arguments.prendre} pris en charge ; le connecteur le marque lu au TdT.")
            return 0
        for number, folder in found.items():
            state = journal.value(f"{letters.TAKEN}{number}")
            words = {"": "À PRENDRE EN CHARGE", letters.BY_SOMEBODY: "pris en charge", letters.READ: "lu au TdT"}
            print(f"{number:>8}  {words[state]:<20} {folder}")
        for one in attached.standings(config, journal) if config.archive_url else ():
            print(f"{one.unit.name} ({one.unit.title}) : {one.words}")
    print(f"{len(found)} courrier(s)." if found else "Aucun courrier.")
    return 0


def _relay(config: Config, arguments: argparse.Namespace) -> int:
    with Journal(config.journal) as journal:
        try:
            done = Passerelle(config, journal).relay()
        except HandoverError as error:
            print(f"Passerelle : {error}", file=sys.stderr)
            return os.EX_TEMPFAIL
    print("\n".join(done) if done else "Rien de neuf.")
    return 0


def _bring_back(config: Config, arguments: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(dir=config.folder_state) as temporary:
        target: Path = arguments.vers or Path(temporary)
        try:
            target.mkdir(mode=0o750, exist_ok=True)
            idacte = latest_archived(config) if arguments.dernier else arguments.idacte
            found = list(Sae(config).bring_back(idacte, target))
        except (ArchiveError, SipError) as error:
            print(f"Rien n'est restitué : {error}", file=sys.stderr)
            return 1
    print(f"Acte {idacte}, restitué par le SAE :")
    for one in found:
        verdict = "identique" if one.same else "absent d'ici" if one.here is None else "DIFFÉRENT"
        print(f"{one.name} ({one.size} octets) : {verdict}")
        print(f"  SHA-256 ici     : {one.here or '-'}")
        print(f"  SHA-256 archive : {one.there}")
    changed = [one.name for one in found if one.here is not None and not one.same]
    if changed or not found:
        print(f"Ce qui revient n'est pas ce qui est ici : {', '.join(changed) or 'aucun fichier'}.", file=sys.stderr)
    return int(bool(changed) or not found)


def _doctor(config: Config, arguments: argparse.Namespace) -> int:
    from . import doctor  # a fifth of a start, for it reads certificates; timers start the connector each minute

    findings = doctor.examine(config, connect(config))
    failed = any(item.verdict == doctor.FAIL for item in findings)
    if arguments.json:
        print(json.dumps([item.to_dict() for item in findings], ensure_ascii=False, indent=2))
        return int(failed)
    marks = {doctor.OK: "OK       ", doctor.WARN: "ATTENTION", doctor.FAIL: "ÉCHEC    "}
    for item in findings:
        print(f"{marks[item.verdict]}  {item.libelle} : {item.detail}")
        if item.remede:
            print(f"           → {item.remede}")
    return int(failed)


def _proof(config: Config, arguments: argparse.Namespace) -> int:
    from . import proof

    document = proof.prove(config, connect(config), arguments.production, arguments.delai, arguments.pour)
    for name in () if config.entite else entities(arguments.config):
        document["preuves"] += _proof_of_entity(name, arguments)
    print(json.dumps(document, ensure_ascii=False, indent=2))
    return 0


def _proof_of_entity(name: str, arguments: argparse.Namespace) -> list[dict[str, object]]:
    """The proofs of an entity that the connector serves too, told apart by their keys; one's fault is its own."""
    from . import proof

    try:
        config = load(of_entity(name, arguments.config), DRIVERS)
        found = proof.prove(config, connect(config), arguments.production, arguments.delai, arguments.pour)
        made = found["preuves"]
    except (ConfigError, TdtError, OSError, sqlite3.Error) as error:
        made = [proof.failed("connexion", "Connexion au TdT", str(error))]
    return [{**one, "cle": f"{name}.{one['cle']}", "libelle": f"{one['libelle']} ({name})"} for one in made]
