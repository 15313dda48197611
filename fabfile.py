"""The commands of the groupement (``fab --list``): thin doors to the playbooks and to the collection's Python.

What is printed is French; every task exits non-zero when what it was asked for is not done.
They act on the environment that was chosen (``fab environnement`` or ``CREATIC_INVENTORY``) and name it first, on the
error output; ``CREATIC_HOME`` is where the control node's state is.
"""

from __future__ import annotations

import builtins
import contextlib
import datetime as dt
import functools
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from json import dumps as to_json
from json import loads as from_json
from pathlib import Path
from typing import Any, cast

import invoke
from invoke import Collection, Context, Result
from rich.console import Console

TOP = Path(__file__).parent
sys.path[:0] = [str(TOP), str(TOP / "collections")]
os.environ["PATH"] = f"{TOP / '.venv' / 'bin'}:{os.environ['PATH']}"

from ansible_collections.cdg59.creatic.plugins.module_utils import harmless
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence import rollout as evidence
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.ground import Ground
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import PkiError, person_name

from creatic import commands
from creatic.access import authority as access
from creatic.access import record as access_record
from creatic.archive import formats as archive_formats
from creatic.archive import patch as archive_patch
from creatic.audit import controls
from creatic.audit import run as audit_run
from creatic.audit import store as audit_store
from creatic.audit.sources import AuditError
from creatic.backup import drill as backup_drill
from creatic.backup import move as backup_move
from creatic.backup import outgoing as backup_outgoing
from creatic.documents import produce, supports
from creatic.evidence import follow, history
from creatic.evidence import held as evidence_held
from creatic.evidence import servers as evidence_servers
from creatic.evidence import store as evidence_store
from creatic.evidence import updates as evidence_updates
from creatic.evidence.seal import Verification
from creatic.fleet import assemble as fleet_assemble
from creatic.fleet import bundle as fleet_bundle
from creatic.fleet import pushed as fleet_pushed
from creatic.fleet import readiness as fleet_readiness
from creatic.fleet import waves as fleet_waves
from creatic.fleet.assemble import Door as FleetDoor
from creatic.fleet.proofs import Proofs
from creatic.fleet.publication import Fleet
from creatic.fleet.pushed import Pushed
from creatic.fleet.signing import FleetError, Signer
from creatic.life import agent as life_agent
from creatic.life import commune as life_commune
from creatic.life import files as life_files
from creatic.life import handover as life_handover
from creatic.life.commune import CommuneDeparture
from creatic.life.departure import Departure, Order
from creatic.life.handover import HandOverError
from creatic.morning import outgoing as morning_outgoing
from creatic.morning import screen, series
from creatic.morning.curves import Curve
from creatic.morning.pages import Pages
from creatic.patience import waiting
from creatic.pki import renewal as pki_renewal
from creatic.pki.authority import Authority
from creatic.pki.deadlines import deadlines
from creatic.pki.keys import Passphrases
from creatic.pki.registry import REVOKED, STATUSES
from creatic.registry import (
    aim,
    entities,
    environment,
    groupement,
    listing,
    needs,
    rounds,
    wiring,
)
from creatic.registry.checked_yaml import Problem
from creatic.supervision import journals, silences
from creatic.terminal import Grid


def print(*told: object, **how: Any) -> None:  # the only one here
    """Print, machines' words too: none of them moves the terminal."""
    builtins.print(*(harmless.text(str(one)) for one in told), **how)


class Exit(invoke.Exit):
    """What ends a command, as `print` says it."""

    def __init__(self, message: str | None = None, code: int | None = None) -> None:
        super().__init__(message and harmless.text(message), code)


commands.speak()  # for who runs fabric's own program; ours (scripts/bootstrap) does before


_FRENCH = {"ANSIBLE_STDOUT_CALLBACK": "cdg59.creatic.journey"}
# A single command takes this output only with all callbacks; the others are for playbooks.
_ONE = {"ANSIBLE_LOAD_CALLBACK_PLUGINS": "1", "ANSIBLE_CALLBACKS_ENABLED": _FRENCH["ANSIBLE_STDOUT_CALLBACK"]}
_COMMAND = ("-b", "-m", "ansible.builtin.command", "-a")


@functools.cache
def _environment() -> environment.Environment:
    """The environment to act on, named on the error output the first time."""
    try:
        found = environment.chosen(TOP)
        told = environment.claim(found.home(), found.name, found.folder)
    except environment.EnvironmentRefused as error:
        raise Exit(str(error), code=2) from None
    _aside("\n".join(filter(None, (str(found), told, *history.unattended(found.home()).values()))))
    return found


def task(
    *, lab: bool = False, anywhere: bool = False, reads: bool = False, **options: Any
) -> Callable[[Callable[..., None]], Any]:
    """A command, as invoke's decorator makes it of a function.

    Args:
        lab: refused outside the lab.
        anywhere: asks for the environment itself, if it needs it.
        reads: changes nothing, and so is no part of the history, unless timers run it.
        options: what invoke takes.
    """

    def made(body: Callable[..., None]) -> Any:
        @functools.wraps(body)
        def run(*arguments: Any, **given: Any) -> None:
            if not anywhere:
                _environment()
            if lab and not _environment().lab:
                raise Exit(
                    "Cette commande est celle du banc d'essai : elle ne fait rien dans un autre environnement. "
                    f"À faire, pour le banc d'essai : {environment.VARIABLE}=inventories/lab devant la même commande.",
                    code=2,
                )
            try:
                with contextlib.nullcontext() if anywhere or (reads and not _is_watched()) else _noted():
                    body(*arguments, **given)
            except PermissionError as error:
                raise Exit(environment.closed(error.filename or _home()), code=1) from None

        return invoke.task(**options)(run)

    return made


def _is_watched() -> bool:
    """Whether how it ends is to be known, though it changes nothing: a timer runs it, or failed to."""
    command = " ".join(["fab", *sys.argv[1:]])
    return evidence_store.TIMER_VARIABLE in os.environ or command in history.unattended(_home())


@contextlib.contextmanager
def _noted() -> Iterator[None]:
    """Keep what is run, by whom and how it ends: `fab historique`."""
    note = history.Note(_home(), ["fab", *sys.argv[1:]])
    result = history.STOPPED
    try:
        yield
        result = history.DONE
    except Exit as error:
        result = history.FAILED if error.code else history.DONE
        raise
    except Exception:
        result = history.FAILED
        raise
    finally:
        note.end(result)


def _home() -> Path:
    """State of the control node for the environment."""
    return _environment().home()


def _inventory() -> Path:
    return _environment().folder


def _whole(text: str, option: str, what: str = "de jours") -> int:
    """A number that a person wrote."""
    if not text.isdecimal() or len(text) > 6:
        raise Exit(f"{option} : « {text} » n'est pas un nombre entier {what}, comme 30.", code=2)
    return int(text)


def _communes() -> list[groupement.Commune]:
    try:
        return groupement.load(_inventory())
    except groupement.GroupementError as error:
        raise Exit(str(error), code=1) from None


def _check_communes(wanted: list[str]) -> None:
    _refuse_entities(wanted)
    known = sorted(commune.slug for commune in _communes())
    if unknown := [slug for slug in wanted if slug not in known]:
        raise Exit(f"Commune inconnue : {', '.join(unknown)}. Connues : {', '.join(known)}", code=2)


def _refuse_entities(names: Iterable[str], instead: str = "donnez {commune}, dont les machines la servent") -> None:
    """Say of an entity's name, where only a commune or a machine is taken, what to write in its place."""
    hosts = entities.hosts((one.slug, one.data) for one in _communes())
    for name in names:
        if name in hosts:
            raise Exit(
                f"« {name} » est une entité de {hosts[name]}, sans machine à elle : "
                f"{instead.format(commune=hosts[name])}.",
                code=2,
            )


def _must_have(profile: str) -> None:
    """Refuse what would do nothing, and end well, for want of a machine of this profile."""
    if profile not in needs.servers(_inventory(), TOP).values():
        # Timers are the same everywhere.
        code = 0 if evidence_store.TIMER_VARIABLE in os.environ else 2
        raise Exit(f"Cet environnement n'a aucune machine {profile} (groupe de servers.yml) : rien n'est fait.", code)


def _playbook(context: Context, name: str, *arguments: str, env: dict[str, str] | None = None) -> bool:
    with context.cd(str(TOP)), aim.shortened(arguments) as given:
        command = ["ansible-playbook", "-i", str(_inventory()), f"playbooks/{name}", *given]
        done = context.run(shlex.join(command), pty=sys.stdout.isatty(), warn=True, env=_FRENCH | (env or {}))
    return bool(done)


def _given(**values: Any) -> list[str]:
    """Variables of a playbook: what people write, and what is told of machines, is text there, and no template."""
    return ["-e", listing.given(values)]


def _asked(context: Context, program: str, *arguments: str, env: dict[str, str] | None = None) -> Result:
    """What a playbook or a command on machines answers, shown by who asks."""
    with context.cd(str(TOP)):
        command = shlex.join([program, "-i", str(_inventory()), *arguments])
        french = _FRENCH | (_ONE if program == "ansible" else {}) | (env or {})
        return cast(Result, context.run(command, hide=True, warn=True, env=french))


def _aside(text: str) -> None:
    """Say something beside the result."""
    print(text, file=sys.stderr, flush=True)


def _must(done: bool, what: str) -> None:
    if not done:
        raise Exit(f"{what} : échec, la raison est affichée au-dessus.", code=1)


@task(
    anywhere=True,
    help={"dossier": "inventaire à choisir, comme inventories/production ; sans lui, le choix actuel est montré"},
)
def environnement(context: Context, dossier: str = "") -> None:
    """Choisit l'environnement de toutes les commandes, ou montre celui qui l'est."""
    if dossier:
        try:
            wanted = environment.choose(TOP, dossier)
        except environment.EnvironmentRefused as error:
            raise Exit(str(error), code=2) from None
        if os.environ.get(environment.VARIABLE) is not None:
            _aside(f"{wanted} est choisi. La variable {environment.VARIABLE} l'emporte pourtant dans ce shell :")
    found = _environment()
    print(f"Choisi par    : {found.origin}")
    try:
        communes = groupement.load(found.folder)
    except groupement.GroupementError as error:
        print(f"Communes      : {len(error.problems)} défauts, que fab inventaire.controle montre")
    else:
        print(f"Communes      : {len(communes)} ({', '.join(commune.slug for commune in communes) or 'aucune'})")
    home = found.home()
    print(f"État          : {home}{'' if home.exists() else ", qui n'existe pas encore"}")
    print(f"Banc d'essai  : {'oui' if found.lab else 'non'}")


@task(
    reads=True,
    help={"mot": "ce que la commande, son auteur ou sa fin contient", "nombre": "les dernières ; 30 d'office"},
)
def past(context: Context, mot: str = "", nombre: str = "30") -> None:
    """Montre qui a lancé quoi sur ce poste de commande, quand, et comment cela s'est fini."""
    shown = _whole(nombre, "--nombre", "de lignes")
    entries = history.read(_home(), mot)
    if not entries:
        print("Aucune commande" + (f" ne contient « {mot} »." if mot else " n'a encore été lancée."))
        return
    table = Grid("Le", "Par", "Commande", "Durée", "Fin", overflow="fold")
    for one in entries[max(0, len(entries) - shown) :]:
        spent = "" if one.seconds is None else evidence.duration(one.seconds)
        table.add(_local(one.began), one.by, one.command, spent, one.result)
    table.show()


@task(lab=True, name="demarrer")
def lab_up(context: Context) -> None:
    """Démarre le banc d'essai (machines Debian 13, réseau, accès SSH)."""
    _must(_playbook(context, "lab/create.yml"), "Banc d'essai")


@task(lab=True, name="arreter")
def lab_down(context: Context) -> None:
    """Arrête le banc d'essai et ne laisse rien derrière lui."""
    _must(_playbook(context, "lab/destroy.yml"), "Banc d'essai")


@task(reads=True, lab=True, name="etat")
def lab_status(context: Context) -> None:
    """Montre les machines du banc d'essai."""
    machines = Ground().containers()
    if not machines:
        print("Le banc d'essai est arrêté : « fab banc.demarrer » le démarre.")
    for name, machine in sorted(machines.items()):
        print(f"{name.removeprefix('creatic-'):36} {'en marche' if machine['State'] == 'running' else 'arrêtée'}")


@task(
    name="nouvelle",
    iterable=["poste"],
    help={
        "slug": "nom du fichier : minuscules et traits d'union, comme avesnes-les-aubert",
        "siren": "9 chiffres",
        "agents": "nombre d'agents : il donne la classe de taille et le niveau de durcissement",
        "territoire": "un territoire de groupement.yml",
        "nom": "nom officiel, avec ses accents",
        "insee": "code INSEE ; déduit du SIREN par défaut",
        "vague": "vague de déploiement",
        "services": "séparés par des virgules",
        "poste": "nom, ou nom=adresse ; à répéter",
        "connecteur": "adresse du connecteur ; proposée par défaut",
    },
)
def commune_new(
    context: Context,
    slug: str,
    siren: str,
    agents: str,
    territoire: str,
    nom: str = "",
    insee: str = "",
    vague: str = "1",
    services: str = "teletransmission",
    poste: list[str] | None = None,
    connecteur: str = "",
) -> None:
    """Écrit le fichier d'une nouvelle commune, vérifié."""
    try:
        target = groupement.new_commune(
            _inventory(),
            slug,
            siren=siren,
            agents=agents,
            territoire=territoire,
            nom=nom or None,
            insee=insee or None,
            vague=vague,
            services=[name.strip() for name in services.split(",")],
            postes=poste or ["pc-mairie"],
            connecteur=connecteur or None,
        )
    except groupement.GroupementError as error:
        raise Exit(str(error), code=1) from None
    print(f"{target} est écrit. Relisez-le, puis : fab communes {slug}")


@task(
    name="depart",
    positional=["commune"],
    help={
        "commune": "nom du fichier de la commune, ou d'une entité qu'elle héberge (gondecourt-ccas)",
        "vers": "dossier de sa remise, sur le disque qu'elle emporte ; il ne doit pas exister encore",
        "recu": "le reçu qu'une personne de la commune a signé (LISEZMOI.txt de la remise)",
        "autorites": "PEM des autorités et des listes de révocation d'un prestataire, si le certificat est le sien",
    },
)
def commune_depart(context: Context, commune: str, vers: str, recu: str = "", autorites: str = "") -> None:
    """Remet à une commune qui part tout ce qui est à elle, scellé ; une fois son reçu signé, ferme ses accès."""
    departure = CommuneDeparture(_order(context), commune, Path(vers), evidence_store.operator())
    try:
        facts = departure.facts()
        if facts is None:
            owner, entity = _hosting(commune)
            _checked([owner.slug])
            facts = departure.hand_over(owner, entity)
        print("\n".join(life_commune.lines(facts)))
        if recu and not departure.signed(facts):
            departure.sign(facts, Path(recu), [Path(autorites)] if autorites else [])
        signed = departure.signed(facts)
        if not signed:
            print(f"Vérifiée, intacte : {departure.target}")
            print("À faire : la commune vérifie, signe le reçu (LISEZMOI.txt), puis la même commande avec --recu.")
        elif closed := departure.closed(facts):
            print(f"Partie, il n'y a plus rien à faire. Preuve : {closed / 'rapport.html'}")
        elif left := departure.to_do(facts):
            print(f"Reçu signé par {signed['signataire']}. À faire, puis relancez la même commande :")
            print("\n".join(f"- {line}" for line in left))
        else:
            _checked([])
            print("\n".join(f"- {line}" for line in departure.close(facts)))
            _watch(context)
    except (HandOverError, PkiError, evidence_store.EvidenceError, evidence_store.LockRefused) as error:
        raise Exit(f"Départ de {commune} : {error}", code=1) from None
    if departure.unsealed:
        raise Exit(f"La preuve n'est pas signée : {departure.unsealed}.", code=1)


def _hosting(slug: str) -> tuple[groupement.Commune, dict[str, Any] | None]:
    """The commune of a slug; with the entity that it hosts, when the slug is an entity's."""
    communes = _communes()
    for one in communes:
        if found := next((entity for entity in life_handover.hosted(one) if entity["slug"] == slug), None):
            return one, found
    _check_communes([slug])
    return next(one for one in communes if one.slug == slug), None


@task(anywhere=True, name="controle")
def inventory_check(context: Context) -> None:
    """Dit tout ce qui se sait d'avance : fichiers, variables des profils, clés SSH, fichiers fournis."""
    try:
        environment.chosen(TOP)
    except environment.SettingsRefused as error:  # the other files have their faults too
        raise Exit(_faults(error.folder.name, needs.unnamed(error, TOP)), code=2) from None
    except environment.EnvironmentRefused:
        pass  # told by what comes next
    _environment()
    _checked()
    communes = _communes()
    print(f"{len(communes)} commune{'s' if len(communes) > 1 else ''}, aucun défaut dans {_inventory().name}.")
    for line in backup_outgoing.lines(backup_outgoing.unsaved(fleet_waves.machines(communes), _home())):
        print(f"- {line}")


def _checked(slugs: list[str] | None = None) -> None:
    """Refuse to go on with an inventory that has faults; a rollout asks for its communes' files alone.

    Of several communes, those whose own formalities or provider's file are not good are told, and keep no other: such
    a formality is not done (`formalities.judge`: no commune is ready with it), such a file is not put on its machine.
    """
    own = list[Problem]()
    problems = needs.check(_inventory(), TOP, slugs, own)
    kept = {one.file for one in own}
    if problems or len(kept) >= len(slugs or kept):
        problems += own
    if problems:
        raise Exit(_faults(_inventory().name, problems), code=1)
    if own:
        _aside(
            "Ces défauts ne retiennent que leurs communes (une formalité ainsi écrite n'est pas faite, la commune "
            "reste « équipée », pas « prête » ; un fichier de prestataire ainsi n'est pas posé) :\n" + _listed(own)
        )


def _faults(inventory: str, problems: list[Problem]) -> str:
    count = f"{len(problems)} défauts" if len(problems) > 1 else "1 défaut"
    return f"{inventory} : rien n'est changé. {count} :\n{_listed(problems)}"


def _listed(problems: list[Problem]) -> str:
    return "\n".join(f"  - {problem}" for problem in problems)


def _wanted(text: str, every: str) -> list[str]:
    """The names that a person wrote; none for all of them."""
    try:
        return aim.named(text, every)
    except aim.AimError as error:
        raise Exit(str(error), code=2) from None


def _aimed(wanted: list[str], pattern: str, maybe: bool) -> str:
    """The limit of a rollout: machines of the communes, and the servers where these have, or had, their place.

    Args:
        wanted: communes; none for all of them.
        pattern: of hosts; empty for all.
        maybe: it may aim at nothing, and is then empty.
    """
    communes = [commune for commune in _communes() if not wanted or commune.slug in wanted]
    known = evidence_store.last_json(evidence_store.runs(_home() / "evidence"), "etat.json") or {}
    services = {
        one.slug: evidence.leaving_of([*wiring.commune_servers({}, one.data["services"])], known.get(one.slug, {}))
        for one in communes
    }
    try:
        machines = aim.matching(_inventory(), TOP, pattern) if pattern else None
    except aim.AimError as error:
        raise Exit(str(error), code=2) from None
    found = aim.limit(communes, needs.servers(_inventory(), TOP), services, machines)
    if not found and maybe:
        return ""
    if not found and not pattern:
        raise Exit(f"{', '.join(wanted)} : aucune machine n'est décrite (communes/).", code=2)
    if not found:
        raise Exit(f"--limite {pattern} : aucune machine de ces communes n'est visée.", code=2)
    return found


def _quietly(context: Context, what: str, name: str, *arguments: str) -> bool:
    """Run a playbook that only asks: its output is shown when it fails."""
    with waiting(what):
        done = _asked(context, "ansible-playbook", f"playbooks/{name}", *arguments)
    if not done:
        _aside(done.stdout + done.stderr)
    return bool(done)


def _outgoing() -> list[str]:
    """Communes whose machines nobody reaches (``acces: sortant``)."""
    return [one.slug for one in _communes() if one.outgoing]


def _left_out(outgoing: list[str]) -> str:
    shown = ", ".join(outgoing[:5]) + (f" et {len(outgoing) - 5} autres" if len(outgoing) > 5 else "")
    return f"En accès sortant, leurs machines viennent chercher leur version elles-mêmes (fab flotte.etat) : {shown}."


def _unreached(wanted: list[str], limit: str) -> list[str]:
    """The communes of a rollout whose machines nobody reaches.

    Args:
        wanted: those asked for; none for all of them.
        limit: pattern of hosts; those of which it takes no machine are left out.
    """
    outgoing = [one for one in _communes() if one.outgoing and (not wanted or one.slug in wanted)]
    if not outgoing:
        return []
    try:
        taken = {*aim.matching(_inventory(), TOP, limit)} if limit else set()
    except aim.AimError as error:
        raise Exit(str(error), code=2) from None
    shown = [one.slug for one in outgoing if not limit or any(host.name in taken for host in one.hosts())]
    if shown:
        _aside(
            f"{_left_out(shown)} Rien n'est déployé d'ici chez elles (fab flotte.publier) : leur place est faite sur "
            "les serveurs, ce qu'elles prouvent est lu."
        )
    return shown


def _outgoing_proofs(
    standings: list[fleet_waves.Standing], slugs: list[str]
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Evidence and state of communes that nobody reaches, by short name. Raises FleetError: no door answers."""
    known = fleet_waves.machines(_communes())
    wanted = [name for name, machine in known.items() if machine.commune in slugs]
    keys = fleet_assemble.keys(_home(), known)
    brought = Proofs(_home() / "flotte" / "preuves", FleetDoor(TOP, _inventory()).proofs, keys)
    proofs = brought.bring(known, wanted)
    communes = [one for one in _communes() if one.slug in slugs]
    servers, bench, held = needs.servers(_inventory(), TOP), _environment().lab, evidence_held.known(_home())
    return fleet_readiness.judge(
        communes,
        standings,
        proofs,
        servers,
        held,
        _inventory(),
        bench=bench,
        now=evidence.now(),
        refused=brought.refused,
    )


def _outgoing_readiness(slugs: list[str]) -> bool:
    """Show what the last reports of outgoing communes prove; tells whether all of them are ready."""
    try:
        with waiting("réponse du guichet", _aside):
            reports, _states = _outgoing_proofs(_fleet().status()[1], slugs)
    except (FleetError, PkiError) as error:
        _aside(f"Accès sortant : {error}")
        return False
    mine = {slug: reports[slug] for slug in slugs if slug in reports}
    shown = follow.table(mine, 160 if not sys.stdout.isatty() else Console().width, sys.stdout.isatty())
    sys.stdout.write(f"{shown}\n")  # its colours are our own, its cells harmless
    return all(one["prete"] for one in mine.values())


def _without_outgoing(pattern: str) -> str:
    """A pattern of hosts, without those that nobody reaches; says so when there are any."""
    outgoing = _outgoing()
    if not outgoing:
        return pattern
    _aside(f"{_left_out(outgoing)} Elles sont laissées de côté.")
    return f"{pattern or 'all'}{',' if ',' in pattern else ':'}!{groupement.OUTGOING}"


def _order(context: Context) -> Order:
    """What a departure works with."""
    return Order(
        _home(),
        _inventory(),
        _environment().name,
        needs.servers(_inventory(), TOP),
        functools.partial(_playbook, context),
        functools.partial(_quietly, context, "réponse des applications"),
    )


@task(
    name="depart",
    positional=["commune", "agent"],
    help={
        "commune": "nom du fichier de sa commune, ou de l'entité où il travaille",
        "agent": "son identifiant, ou son prénom et son nom",
        "oui": "ferme ses comptes et ses accès, une fois que le fichier de la commune ne le nomme plus",
    },
)
def agent_depart(context: Context, commune: str, agent: str, oui: bool = False) -> None:
    """Montre ce qu'un agent qui part a entre les mains ; avec --oui, ferme ses comptes et ses accès."""
    commune = _hosting(commune)[0].slug  # people are those of its file
    _checked([commune])
    try:
        departure = Departure(_order(context), _communes(), commune, agent)
        print("\n".join(departure.lines()) + "\n")
        if departure.over:
            print(f"Déjà parti, il n'y a plus rien à faire. Preuve : {departure.over / 'rapport.html'}")
            return
        if not oui:
            print("Rien n'est changé. À faire : le fichier de la commune d'abord, puis la même commande avec --oui.")
            return
        done, folder, unsealed = departure.perform(evidence_store.operator())
    except (life_agent.DepartureError, PkiError, evidence_store.EvidenceError, evidence_store.LockRefused) as error:
        raise Exit(f"Départ : {error}.", code=1) from None
    _seal_access()
    print("\n".join(f"- {line}" for line in done))
    print(f"Preuve : {folder / 'rapport.html'}")
    if unsealed:
        raise Exit(f"La preuve n'est pas signée : {unsealed}.", code=1)


@task(
    help={
        "communes": "slugs séparés par des virgules, ou « toutes »",
        "limite": "motif d'hôtes Ansible pour restreindre, comme vague_2 ou territoire_lille",
        "par": "par vagues, qui attendent chacune que la précédente soit prête : territoire, taille ou vague",
        "canari": "avec --par, communes qui passent d'abord ; sinon la première de la plus petite vague",
        "excuser": "avec --par, communes que les vagues suivantes n'attendent pas",
        "recommencer": "avec --par, repart du canari au lieu de la vague qui n'était pas finie",
    },
)
def rollout(
    context: Context,
    communes: str,
    limite: str = "",
    par: str = "",
    canari: str = "",
    excuser: str = "",
    recommencer: bool = False,
) -> None:
    """Déploie des communes sur tout ce qu'elles prennent, jusqu'à la preuve : acte transmis, place sur les serveurs."""
    wanted = _wanted(communes, "toutes")
    _check_communes(wanted)
    if par:
        _roll_out_in_waves(context, wanted, limite, par, canari, excuser, recommencer)
        return
    if canari or excuser or recommencer:
        raise Exit(
            "--canari, --excuser et --recommencer vont avec --par. À faire : --par territoire, taille ou vague.", code=2
        )
    outgoing = _unreached(wanted, limite)
    aimed = _aimed(wanted, limite, bool(outgoing)) if wanted or limite or outgoing else ""
    problems, done = list[str](), True
    if aimed or not outgoing:
        done, problems = _roll_out(context, wanted, outgoing, aimed)
    ready = _outgoing_readiness(outgoing) if outgoing else True
    for problem in problems:
        print(f"- {problem}")
    if not done or problems:
        raise Exit("Toutes les communes ne sont pas prêtes : corrigez puis relancez, le déploiement reprend.", code=1)
    if not ready:
        raise Exit("Toutes les communes en accès sortant ne sont pas prêtes : fab flotte.etat dit où elles en sont.", 1)


def _roll_out_in_waves(
    context: Context, wanted: list[str], limit: str, by: str, canary: str, excused: str, again: bool
) -> None:
    """Roll out the communes that are reached from here, wave after wave; stops at the first that is not ready."""
    asked = [one for one in _communes() if not wanted or one.slug in wanted]
    first, let = (_named(text, option) for text, option in ((canary, "--canari"), (excused, "--excuser")))
    _refuse_entities([*first, *let])
    try:
        taken = {*aim.matching(_inventory(), TOP, limit)} if limit else set()
        mine = [one for one in asked if not limit or any(host.name in taken for host in one.hosts())]
        if outgoing := [one.slug for one in mine if one.outgoing]:
            _aside(f"{_left_out(outgoing)} Leurs vagues sont celles de fab flotte.publier.")
        mine = [one for one in mine if not one.outgoing]
        pushed = _pushed()
        with pushed.alone():
            cut = fleet_pushed.split(mine, by, first or pushed.canary([one.slug for one in mine]), let)
            record, said = pushed.begin(by, cut, let, again)
            print(said, flush=True)
            for rank, wave in enumerate(record["vagues"], 1):
                if slugs := pushed.left(record, wave):
                    pushed.open(record, wave)
                    print(f"Vague {rank} sur {len(cut)}, {wave['nom']} : {', '.join(slugs)}", flush=True)
                    done, problems = _roll_out(context, slugs, [], _aimed(slugs, limit, False))
                    print("".join(f"- {one}\n" for one in problems), end="")
                    if held := fleet_pushed.holding(done, problems, record["excuses"]):
                        pushed.stop(record, wave, slugs, held if problems else [])
                        raise Exit(_wave_held(wave["nom"], record["vagues"][rank:]), code=1)
    except (aim.AimError, FleetError) as error:
        raise Exit(str(error), code=2) from None
    except evidence_store.LockRefused as error:
        raise Exit(f"{error}. Rien n'est fait. À faire : attendez sa fin, puis relancez.", code=1) from None


def _named(text: str, option: str) -> list[str]:
    """The communes that an option names."""
    found = [name.strip() for name in text.split(",") if name.strip()]
    if text and not found:
        raise Exit(f"{option} : « {text} » ne nomme aucune commune, rien n'est fait.", code=2)
    return found


def _wave_held(name: str, after: list[dict[str, Any]]) -> str:
    """What is said of a wave that is not ready, and of those after it."""
    waiting = [slug for wave in after for slug in wave["machines"]]
    return (
        f"La vague « {name} » n'est pas prête : arrêt"
        + (f", {fleet_waves.counted(waiting, 'commune')} des suivantes ne sont pas déployées" if waiting else "")
        + ". À faire : corrigez puis relancez, on reprend à cette vague (au canari si le code ou l'inventaire change), "
        "ou nommez avec --excuser qui ne peut pas l'être aujourd'hui."
    )


def _roll_out(context: Context, wanted: list[str], outgoing: list[str], aimed: str) -> tuple[bool, list[str]]:
    """Run a rollout; tells whether it went to its end, and what keeps communes whose machines it reached from ready.

    Args:
        wanted: communes asked for; none for all of them.
        outgoing: those of them of which servers alone are asked.
        aimed: hosts; empty for all.
    """
    _checked(wanted or [commune.slug for commune in _communes()])
    arguments = ["--limit", aimed] if aimed else []
    if outgoing:
        every = outgoing == _outgoing()
        groups = [groupement.OUTGOING] if every else [wiring.commune_group(slug) for slug in outgoing]
        arguments += _given(places_sortantes=groups)
    run_id = evidence_store.reserve_run_id(_home() / "verrous")
    # The compact French progress alone; « ansible-playbook playbooks/journeys/rollout.yml » shows every task.
    output = {"CREATIC_ROLLOUT_ID": run_id, "ANSIBLE_STDOUT_CALLBACK": "cdg59.creatic.rollout"}
    output["CREATIC_ROLLOUT_CONTENT"] = fleet_bundle.digest(TOP, _inventory())
    done = _playbook(context, "journeys/rollout.yml", *arguments, env=output)
    _watch(context)
    evidence = _home() / "evidence"
    reported = [path.parent.name for path in (evidence / run_id).glob("*/preuve.json")]
    reached = [slug for slug in wanted or reported if slug not in outgoing]
    return done and bool(reported), follow.readiness(evidence, run_id, reached)


_WHAT = {
    "dossier": "dossier ou archive de preuves ; « tous » : ceux de ce poste de commande, et leur chaînage",
    "racine": "certificat racine reçu par un autre canal ; par défaut celui de ce poste de commande",
}


def _verify(dossier: str, racine: str, everything: Callable[[Path], dict[str, Verification]]) -> None:
    """Check one folder, or everything, and say what is wrong."""
    root = Path(racine) if racine else evidence_store.seal_keys(_home()).root
    try:
        one = {Path(dossier).name: evidence_store.verify_one(Path(dossier), root)} if dossier != "tous" else {}
        results = one or everything(root)
    except evidence_store.EvidenceError as error:
        raise Exit(str(error), code=2) from None
    print("\n".join(evidence_store.verification_lines(results)) or "Aucune preuve pour l'instant : fab communes")
    if not all(result.intact for result in results.values()):
        raise Exit("Des preuves ont été modifiées ou ne sont pas scellées.", code=1)
    print("".join(f"  signé par {result.signer}\n" for result in one.values()), end="")


@task(name="renouveler", help={"oui": "le fait ; sans elle, la commande dit seulement ce qu'elle ferait"})
def accounts_renew(context: Context, oui: bool = False) -> None:
    """Met fin aux jetons et sessions de la GED et du parapheur, et y renouvelle les mots de passe."""
    known = needs.servers(_inventory(), TOP)
    there = sorted(name for name, profile in known.items() if profile in ("ged", "parapheur"))
    if not there:
        raise Exit("L'inventaire n'a ni GED ni parapheur (servers.yml) : rien n'est fait.", code=2)
    _checked([])
    if not oui:
        print(
            f"Sur {', '.join(there)} : les jetons de l'API et les sessions ouvertes finissent ; chaque personne "
            "choisit un nouveau mot de passe à sa prochaine visite, avec l'actuel ; l'administrateur et la passerelle "
            "en reçoivent de nouveaux.\nRien n'est changé. À faire : la même commande avec --oui."
        )
        return
    _must(_playbook(context, "journeys/renew_accounts.yml"), "Renouvellement des comptes")


@task(
    help={"machines": "machines ou profils, séparés par des virgules ; sans elles, tous les serveurs"},
)
def servers(context: Context, machines: str = "tous") -> None:
    """Déploie ou met à jour les serveurs, dans l'ordre de leurs profils, jusqu'à la preuve qu'ils servent."""
    wanted = _wanted(machines, "tous")
    known = needs.servers(_inventory(), TOP)
    unknown = [name for name in wanted if name not in known and name not in known.values()]
    if unknown:
        _refuse_entities(unknown)
        there = ", ".join(sorted({*known, *known.values()}))
        raise Exit(f"Serveur ou profil inconnu : {', '.join(unknown)}. Connus : {there}", code=2)
    if not known:
        raise Exit("L'inventaire n'a aucun serveur (servers.yml) : rien n'est fait.", code=2)
    _checked([])
    # The control node too: some profiles keep files and keys there.
    limit = ",".join([*(wanted or sorted(known)), "localhost"])
    run_id = evidence_store.reserve_run_id(_home() / "verrous")
    output = {"CREATIC_ROLLOUT_ID": run_id, "ANSIBLE_STDOUT_CALLBACK": "cdg59.creatic.rollout"}
    done = _playbook(context, "journeys/servers.yml", "--limit", limit, env=output)
    record = evidence_store.facts_of(_home() / evidence_servers.FOLDER / run_id)
    if not done or not record or not all(machine["pret"] for machine in record["machines"]):
        raise Exit("Tous les serveurs ne sont pas prêts : corrigez puis relancez, le déploiement reprend.", code=1)


@task(
    iterable=["seul"],
    help={
        "commune": "nom de son fichier, ou d'une entité qu'elle héberge : sa convention et son contrat seulement",
        "seul": "un document seulement, comme politique-archivage ; à répéter",
        "annee": "celle du rapport annuel ; par défaut, l'année en cours",
    },
)
def documents(context: Context, commune: str = "", seul: list[str] | None = None, annee: str = "") -> None:
    """Écrit ce qu'un auditeur demande d'abord (politique, déclaration, rapport, contrats), PDF et Word, sous scellé."""
    if annee and not (annee.isdecimal() and len(annee) == 4 and int(annee)):
        raise Exit(f"--annee : « {annee} » n'est pas une année, comme 2025.", code=2)
    if commune and commune not in entities.hosts((one.slug, one.data) for one in _communes()):
        _check_communes([commune])  # an entity is a public body of its own, and has documents of its own
    try:
        known = backup_drill.read_inventory(TOP, _inventory())
        now = dt.datetime.now().astimezone()
        order = produce.Order(
            TOP, _home(), _environment().name, known, _communes(), commune, now, only=seul or (), year=int(annee or 0)
        )
        with waiting("rédaction des documents"):
            folder, written, unsealed = order.produce()
    except (backup_drill.DrillError, produce.DocumentsError) as error:
        raise Exit(f"Documents refusés : {error}", code=2) from None
    table = Grid("Document", *(state.capitalize() for state in supports.STATES), "À compléter")
    for one in written:
        table.add(one.name, *(str(one.states[state]) for state in supports.STATES), str(len(one.missing)))
    table.show()
    if ignored := order.ignored():
        _aside("\n".join(["Laissé à compléter :", *ignored]))
    print(f"Dossier : {folder} (PDF et Word). Complétez et signez une copie : ce dossier est une preuve.")
    if unsealed:
        raise Exit(f"Il n'est pas signé : {unsealed}.", code=1)


@task(
    help={
        "machines": "machines, profils, communes ou vagues (vague_2), séparés par des virgules ; sans elles, tout",
        "voir": "montre ce qui serait fait, et ne fait rien",
        "redemarrer": "redémarre même ce que rien n'oblige à redémarrer, sauf ce qui a démarré depuis moins d'un jour",
    },
)
def updates(context: Context, machines: str = "toutes", voir: bool = False, redemarrer: bool = False) -> None:
    """Applique les correctifs de Debian, machine après machine, jusqu'à la preuve que chacune sert."""
    names = _wanted(machines, "toutes")
    _refuse_entities(names)
    _checked([])
    servers = needs.servers(_inventory(), TOP)
    try:
        wanted = rounds.chosen(names, servers, _communes())
    except rounds.RoundError as error:
        raise Exit(str(error), code=2) from None
    limit = _without_outgoing(",".join(wanted))
    arguments = _given(correctifs_redemarrer=redemarrer, correctifs_repris=evidence_updates.unproved(_home()))
    arguments += ["--check"] * voir
    run_id = evidence_store.reserve_run_id(_home() / "verrous")
    output = {"CREATIC_ROLLOUT_ID": run_id, "ANSIBLE_STDOUT_CALLBACK": "cdg59.creatic.rollout"}
    done = _playbook(context, "journeys/updates.yml", *(["--limit", limit] if limit else []), *arguments, env=output)
    for line in [] if wanted else rounds.elsewhere(servers):
        print(line)
    record = evidence_store.facts_of(_home() / evidence_updates.FOLDER / run_id)
    if voir and done:
        return
    if not done or not record or not all(machine["pret"] for machine in record["machines"]):
        raise Exit(
            "Toutes les machines ne sont pas à jour : corrigez puis relancez, ce qui est fait ne l'est plus.", code=1
        )


@task(
    reads=True,
    name="verifier",
    help=_WHAT
    | {"journaux": "fait aussi relire au collecteur tous les journaux qu'il garde, et les compare aux sceaux"},
)
def evidence_verify(context: Context, dossier: str = "tous", racine: str = "", journaux: bool = False) -> None:
    """Vérifie les preuves : empreintes, signatures, horodatages, chaînage."""
    if journaux:
        try:
            told = journals.differences(_home(), _on_supervision(context, [journals.PROGRAM, "verifier"]))
        except journals.JournalError as error:
            raise Exit(str(error), code=2) from None
        print("\n".join(f"✗ journaux/{one}" for one in told) or "✓ journaux du collecteur : tels que scellés")
        if told:
            raise Exit("Des journaux ne sont plus tels qu'ils ont été scellés.", code=1)
    _verify(dossier, racine, lambda root: evidence_store.verify_home(_home(), root))


@task(
    name="lancer",
    help={
        "limite": "motif d'hôtes Ansible pour restreindre, comme commune_gondecourt ou tdt_connector",
        "niveau": "juge toutes les machines à ce niveau : minimal, intermediary, enhanced ou high",
    },
)
def audit(context: Context, limite: str = "", niveau: str = "") -> None:
    """Constate l'état des machines sans rien y changer, et scelle le dossier d'audit."""
    catalogue = TOP / "roles" / "hardening" / "files" / "controls.yml"
    site = _inventory() / "derogations.yml"
    start = time.monotonic()
    try:
        audit_run.check_level(niveau)
        audit_run.check_limit(TOP, _inventory(), limite)
        if _outgoing():
            limite = _without_outgoing(limite or audit_run.EVERYTHING)
        order = audit_run.Order(
            top=TOP,
            inventory=_inventory(),
            home=_home(),
            limit=limite,
            level=niveau,
            catalogue=controls.load(catalogue, dt.datetime.now(dt.UTC).date(), site),
            sources=[path for path in (catalogue, site) if path.is_file()],
        )
        results, folder = audit_run.Audit(order).perform()
    except (AuditError, controls.ControlsError) as error:
        raise Exit(f"L'audit est refusé : {error}", code=2) from None
    except KeyboardInterrupt:
        raise Exit("Audit interrompu : rien n'est gardé.", code=130) from None
    print("\n" + "\n".join(audit_run.synthesis(results, time.monotonic() - start)))
    print(f"Rapport    : {folder / audit_store.REPORT}\nDossier    : {folder}.tar.gz")
    if not results["verdict"]["conforme"]:
        raise Exit(code=1)


@task(name="verifier", anywhere=True, help=_WHAT)
def audit_verify(context: Context, dossier: str, racine: str = "") -> None:
    """Vérifie un dossier d'audit, ou tous : empreintes, signature, horodatage."""
    if dossier == "tous" and not evidence_store.runs(_home() / "audits"):
        raise Exit("Aucun audit sur ce poste de commande : « fab audit » en fait un.", code=2)
    _verify(dossier, racine, lambda root: evidence_store.verify_all(_home() / "audits", root))


@task(
    reads=True,
    name="registre",
    help={"jours": "seulement ceux qui expirent dans ce délai, en jours", "statut": ", ".join(STATUSES)},
)
def pki_list(context: Context, jours: str = "", statut: str = "") -> None:
    """Montre le registre des certificats."""
    within = _whole(jours, "--jours") if jours else None
    if statut and statut not in STATUSES:
        raise Exit(f"--statut : « {statut} » n'en est pas un. Attendu : {', '.join(STATUSES)}.", code=2)
    authority = Authority(_home() / "pki")
    try:
        rows = authority.listing(within=within, status=statut)
        authorities = authority.authorities()
        told = pki_renewal.told(authority)
    except PkiError as error:
        raise Exit(str(error), code=1) from None
    table = Grid(
        "Titulaire", "Machine", "Profil", "Expire le", "Jours", "Statut", "Numéro", right=["Jours"], no_wrap=True
    )
    for row in rows:
        shown = (row["titulaire"], row["hote"], row["profil"], row["fin"][:10], str(row["jours"]), row["statut"])
        table.add(*shown, row["serie"])
    table.show()  # serial numbers are copied: never folded
    above = Grid(
        "Autorité",
        "Titulaire",
        "Expire le",
        "Jours",
        "Certificats",
        "État",
        right=["Jours", "Certificats"],
        no_wrap=True,
    )
    for one in authorities:
        counted = (one["fin"][:10], str(one["jours"]), str(one["certificats"]))
        above.add(one["nom"], one["titulaire"], *counted, one["etat"])
    above.show()
    print("\n".join(told))


@task(reads=True, name="verifier")
def pki_verify(context: Context) -> None:
    """Vérifie le registre, les clés et les listes de révocation."""
    authority = Authority(_home() / "pki")
    problems = authority.verify()
    with contextlib.suppress(PkiError):  # it is one of the problems
        print("".join(f"{line}\n" for line in pki_renewal.told(authority) if line not in problems), end="")
    print("\n".join(f"- {problem}" for problem in problems) or "Autorité de certification : aucun défaut.")
    if problems:
        raise Exit("L'autorité de certification a des défauts.", code=1)


@task(reads=True, name="echeances", help={"jours": "certificats qui expirent dans ce délai ; 30 d'office"})
def pki_deadlines(context: Context, jours: str = "30") -> None:
    """Dit ce qui expire bientôt, certificats, autorités et listes de révocation ; en échec s'il y a à faire."""
    try:
        found = deadlines(Authority(_home() / "pki"), _whole(jours, "--jours"))
    except PkiError as error:
        raise Exit(str(error), code=1) from None
    print("\n".join(f"- {line}" for line in found) or f"Rien n'expire dans les {jours} jours.")
    if found:
        raise Exit(code=1)


@task(name="listes")
def pki_lists(context: Context) -> None:
    """Signe de nouveau les listes de révocation qui expirent, et les donne à toutes les machines."""
    _checked([])
    _must(_playbook(context, "journeys/revocation_lists.yml"), "Listes de révocation")


@task(name="rotation", help={"jours": "renouvelle ce qui expire dans ce délai, en jours"})
def pki_rotate(context: Context, jours: str = "30") -> None:
    """Renouvelle les certificats qui expirent bientôt."""
    within = _whole(jours, "--jours")
    _checked([])
    _must(_playbook(context, "journeys/rotate_certificates.yml", *_given(jours=within)), "Renouvellement")


@task(
    name="renouveler",
    help={
        "autorite": "emettrice, ou racine (avec une nouvelle émettrice sous elle)",
        "sauf": "machines qu'on renonce à attendre, séparées par des virgules",
    },
)
def pki_renew(context: Context, autorite: str, sauf: str = "") -> None:
    """Donne une nouvelle clé à l'autorité : faite, reçue par toutes les machines, puis mise en service."""
    if autorite not in ("emettrice", "racine"):
        raise Exit(f"--autorite : « {autorite} » n'en est pas une. Attendu : emettrice ou racine.", code=2)
    _checked([])
    given = _given(autorite=autorite, sauf=[name.strip() for name in sauf.split(",") if name.strip()])
    _must(_playbook(context, "journeys/renew_authority.yml", *given), "Renouvellement de l'autorité")


@task(
    name="revoquer",
    help={
        "motif": "compromission, changement, remplacement, cessation, non_precise",
        "numero": "numéro de série hexadécimal",
        "hote": "tous les certificats d'un hôte",
        "commune": "tous ceux d'une commune",
        "remplaces": "seulement ceux qu'un nouveau a remplacés : l'ancienne machine, une fois la nouvelle prouvée",
    },
)
def pki_revoke(
    context: Context, motif: str, numero: str = "", hote: str = "", commune: str = "", remplaces: bool = False
) -> None:
    """Révoque des certificats et publie la liste de révocation partout."""
    target = {"numero": numero, "hote": hote, "commune": commune}
    target = {name: value for name, value in target.items() if value}
    if len(target) != 1:
        raise Exit("Donnez une seule cible : --numero, --hote ou --commune.", code=2)
    _refuse_entities([commune], "donnez les numéros de ses certificats, un par un (--numero ; fab pki.registre)")
    try:
        Authority(_home() / "pki").revoke(
            motif, serial=numero, host=hote, commune=commune, replaced=remplaces, check=True
        )
    except PkiError as error:
        raise Exit(f"Révocation refusée : {error}", code=2) from None
    wanted = _given(**target, motif=motif, **({"remplaces": True} if remplaces else {}))
    _must(_playbook(context, "journeys/revoke_certificate.yml", *wanted), "Révocation")
    for path in life_files.of(_home(), Authority(_home() / "pki").listing(status=REVOKED)):
        life_files.remove(path)
        print(f"{path} : supprimé, son certificat est révoqué.")


@task(
    name="personne",
    positional=["nom"],
    help={
        "nom": "prénom et nom",
        "commune": "nom du fichier de sa commune, ou de l'entité qu'il préside ; sans elle, quelqu'un du groupement",
    },
)
def pki_person(context: Context, nom: str, commune: str = "") -> None:
    """Donne son certificat à une personne (éliminations d'archives, vue entière de la passerelle), en .p12."""
    if commune:
        _hosting(commune)
    try:
        person_name(nom)
    except PkiError as error:
        raise Exit(str(error), code=2) from None
    given = _given(person_name=nom, person_commune=commune)
    _must(_playbook(context, "journeys/person_certificate.yml", *given), "Certificat")


@task(reads=True, name="matin")
def morning(context: Context) -> None:
    """Montre ce qui ne va pas ce matin, machines et registres, puis l'état des communes ; laisse des pages."""
    communes = _communes()
    profiles = needs.servers(_inventory(), TOP)
    machines = dict.fromkeys(profiles, "")
    ours = {host.name: one for one in communes for host in one.hosts() if "systeme_debian" in host.groups}
    profiles |= {host.name: host.groups[0] for one in communes for host in one.hosts()}
    machines |= {name: one.slug for name, one in ours.items() if not one.outgoing}
    home = _home()
    with tempfile.TemporaryDirectory() as folder:  # closed to other accounts
        answers = Path(folder) / "reponses.json"
        asked = {
            "CREATIC_MATIN": str(answers),
            "ANSIBLE_CALLBACKS_ENABLED": "cdg59.creatic.morning,cdg59.creatic.built_modules",
        }
        with waiting("réponse des machines", _aside):
            done = _asked(context, "ansible-playbook", "playbooks/journeys/morning.yml", env=asked)
        text = answers.read_text(encoding="ascii") if answers.exists() else ""
    if not text:
        _aside(done.stdout + done.stderr)
        raise Exit("Les machines n'ont pas pu être interrogées : la raison est affichée au-dessus.", code=2)
    last = evidence_store.last_json(evidence_store.runs(home / "evidence"), "etat.json") or {}
    desks = {host.name for one in communes for host in one.hosts() if "commune_pc" in host.groups}
    states = screen.states(communes, last)
    found = screen.look(home, machines, from_json(text), states, evidence.now(), desks, profiles)
    _outgoing_this_morning(found)
    _journals_this_morning(context, found)
    owners = {name: one.slug for name, one in ours.items()}
    pages = Pages(home, found, _environment().name, owners, _week(context, found.moment))
    page = pages.write()
    _watch(context, screen.own_figures(home, found.moment), pages)
    print(screen.headline(found))
    if found.findings:
        table = Grid("Degré", "Où", "Constat", "À faire", overflow="fold")
        for row in screen.lines(found):
            table.add(*row)
        table.show()
        if more := len(found.findings) - table.count:
            print(f"Et {more} de plus, sur la page.")
    print(f"Page : {page}")
    if found.grave:
        raise Exit("", code=1)


def _week(context: Context, moment: dt.datetime) -> list[Curve]:
    """Curves of the week that the supervision kept; none without one, and a morning goes on without its answer."""
    if "supervision" not in needs.servers(_inventory(), TOP).values():
        return []
    try:
        return series.curves(_on_supervision(context, series.command(moment)), moment)
    except Exit:
        _aside("Les courbes de la semaine manquent à la page.")
        return []


def _journals_this_morning(context: Context, found: screen.Morning) -> None:
    """Have the days that the collector of journals sealed signed among the evidence, once a day."""
    servers, home = needs.servers(_inventory(), TOP), _home()
    if "supervision" not in servers.values() or journals.sealed_today(home):
        return
    where = next(name for name, profile in servers.items() if profile == "supervision")
    try:
        kept = journals.keep(
            home,
            evidence_store.operator(),
            lambda number: _on_supervision(context, [journals.PROGRAM, "exporter", "--apres", str(number)]),
        )
    except Exit:  # it did not answer, which is told already
        return
    except (journals.JournalError, evidence_store.EvidenceError) as error:
        wrong = screen.Finding(False, "", where, f"journaux non scellés : {error}", "fab matin")
        found.findings = sorted([*found.findings, wrong])
        return
    if kept and kept[2]:
        told = "les journaux recueillis ne suivent pas ceux qui étaient scellés : collecteur refait, ou modifié"
        wrong = screen.Finding(False, "", where, told, "fab preuves.verifier --journaux")
        found.findings = sorted([*found.findings, wrong])


def _outgoing_this_morning(found: screen.Morning) -> None:
    """Have a morning tell what the door says of machines that nobody reaches."""
    known = fleet_waves.machines(_communes())
    if not known or "guichet" not in needs.servers(_inventory(), TOP).values():
        return
    proven: dict[str, Any] = {}
    try:
        with waiting("réponse du guichet", _aside):
            record, standings, problems = _fleet().status()
            _reports, proven = _outgoing_proofs(standings, _outgoing())
    except (FleetError, PkiError) as error:
        record, standings, problems = None, [], [str(error)]
    morning_outgoing.add(found, known, record, standings, problems, proven)


@task(reads=True, name="etat", help={"json": "écran et défauts en JSON"})
def archive_status(context: Context, json: bool = False) -> None:
    """Montre la salle d'archives : nœuds, copies, capacité, fixité, sceaux."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        asked = ["playbooks/journeys/archive_status.yml", *_given(archive_status_file=file.name)]
        # Nothing on the output but the screen, which « --json » gives to a program.
        with waiting("réponse des nœuds d'archives", _aside):
            done = _asked(context, "ansible-playbook", *asked)
        text = Path(file.name).read_text(encoding="utf-8")
    if not text:
        _aside(done.stdout + done.stderr)
        raise Exit("La salle d'archives n'a pas pu être interrogée : la raison est affichée au-dessus.", code=2)
    found = from_json(text)
    print(text if json else "\n".join(found["ecran"]))
    if found["defauts"]:
        raise Exit("", code=1)


@task(reads=True, name="formats", help={"json": "tout, en JSON"})
def archive_formats_(context: Context, json: bool = False) -> None:
    """Montre les formats des archives : combien, de qui, lesquels sont à risque et ce qui est à faire."""
    _must_have("archive_gateway")
    try:
        table = archive_formats.read(_inventory())
    except archive_formats.FormatsError as error:
        raise Exit(str(error), code=2) from None
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        asked = ["playbooks/journeys/archive_formats.yml", *_given(archive_formats_file=file.name)]
        with waiting("réponse de la porte des archives", _aside):
            done = _asked(context, "ansible-playbook", *asked)
        text = Path(file.name).read_text(encoding="utf-8")
    if not text:
        _aside(done.stdout + done.stderr)
        raise Exit("La porte des archives n'a pas pu être interrogée : la raison est affichée au-dessus.", code=2)
    found = archive_formats.held(from_json(text), table)
    if json:
        print(to_json([one.to_dict() for one in found]))
        return
    screen_ = Grid("Risque", "Format", "Compte", "Archives", "Fichiers", "Taille", "À faire", overflow="fold")
    for one in found[: archive_formats.SHOWN]:
        screen_.add(*archive_formats.row(one))
    screen_.show()
    if more := len(found) - screen_.count:
        print(f"Et {more} lignes de plus : fab archive.formats --json")
    print(archive_formats.headline(found))


@task(
    name="convertir",
    iterable=["compte", "archive"],
    help={
        "compte": "service versant, à répéter ; sans lui, tous",
        "archive": "identifiant d'une archive, à répéter ; sans lui, toutes celles d'un format à risque",
        "motif": "pourquoi, en quelques mots : le journal et les copies le gardent",
        "essai": "montre ce qui serait converti, et ce qui ne peut pas l'être",
    },
)
def archive_convert(
    context: Context, compte: list[str], archive: list[str], motif: str = "", essai: bool = False
) -> None:
    """Verse une copie en PDF/A de ce qui est dans un format à risque élevé ; les originaux restent."""
    _must_have("archive_gateway")
    try:
        table = archive_formats.read(_inventory())
    except archive_formats.FormatsError as error:
        raise Exit(str(error), code=2) from None
    asked = ["prevoir" if essai else "faire", f"--par={evidence_store.operator()}", f"--motif={motif}"]
    asked += [f"--format={one}" for one in archive_formats.to_convert(table)]
    asked += [*(f"--compte={one}" for one in compte), *(f"--archive={one}" for one in archive)]
    done = _playbook(context, "journeys/archive_convert.yml", *_given(archive_convert=asked))
    _must(done, "Conversion de formats")


@task(name="correctifs", help={"redemarrer": "redémarre chaque nœud, même si rien ne le demande"})
def archive_patch_(context: Context, redemarrer: bool = False) -> None:
    """Applique les correctifs aux nœuds d'archives, un à la fois, sans arrêter les versements."""
    _must_have("archive_node")
    _checked([])
    home = _home()
    command = ["ansible-playbook", "-i", str(_inventory()), "playbooks/journeys/patch_archive.yml"]
    status = archive_patch.run(home, [*command, *(_given(archive_patch_reboot=True) if redemarrer else [])], TOP)
    # Its own last record: those of fab correctifs are in the same folder.
    done = [run for run in evidence_store.runs(archive_patch.folder(home)) if "noeuds" in evidence_store.facts_of(run)]
    left = archive_patch.Patch(home).record
    print("\n".join(archive_patch.lines(left)))
    if status or left:
        raise Exit(
            "La salle n'est pas entièrement à jour : corrigez, puis relancez, les nœuds faits ne le sont plus.", 1
        )
    print("\n".join(archive_patch.lines(evidence_store.read_json(done[-1] / archive_patch.RESULTS))))
    print(f"Salle à jour. Preuve : {done[-1] / 'rapport.html'}")


def _seal_access() -> None:
    """Keep the registry's new lines under the seal; what is done is done, were it not to succeed."""
    try:
        kept = access_record.keep(_home(), evidence_store.operator())
    except (PkiError, evidence_store.EvidenceError) as error:
        print(f"La preuve n'est pas écrite : {error}")
        return
    if kept:
        print(f"Preuve : {kept[0] / 'rapport.html'}" + (f" ; elle n'est pas signée : {kept[1]}" if kept[1] else ""))


def _local(moment: str) -> str:
    return dt.datetime.fromisoformat(moment).astimezone().strftime("%d/%m/%Y %H:%M:%S")


@task(
    name="delivrer",
    iterable=["profil", "commune"],
    help={
        "role": "auditeur ou prestataire",
        "duree": "durée, 24 h au plus : 4h, 90min",
        "cle": "clé publique SSH du titulaire, un fichier .pub",
        "profil": "seulement les machines de ce profil ; à répéter",
        "commune": "seulement celles de cette commune ; à répéter",
        "qui": "nom du titulaire ; par défaut le commentaire de sa clé",
        "motif": "raison de l'accès",
        "source": "adresses ou réseaux d'où il sert, séparés par des virgules",
    },
)
def access_grant(
    context: Context,
    role: str,
    duree: str,
    cle: str,
    profil: list[str] | None = None,
    commune: list[str] | None = None,
    qui: str = "",
    motif: str = "",
    source: str = "",
) -> None:
    """Délivre un certificat SSH limité dans le temps, à un auditeur ou à un prestataire."""
    profiles, communes = profil or [], commune or []
    if communes:
        _check_communes(communes)
    known = audit_run.profiles(TOP)
    if unknown := [name for name in profiles if name not in known]:
        raise Exit(f"Profil inconnu : {', '.join(unknown)}. Connus : {', '.join(known)}", code=2)
    try:
        principals = access.principals(role, profiles, communes)
        lasting = access.duration(duree)
        key = access.public_key(Path(cle))
        demand = access.Demand(role, lasting, principals, qui or key.comment, motif, evidence_store.operator(), source)
        target = Path(cle.removesuffix(".pub") + "-cert.pub")
        if not os.access(target if target.exists() else target.absolute().parent, os.W_OK):
            raise access.AccessError(f"--cle : impossible d'écrire {target}, à côté de la clé")
        granted, text = access.SshAuthority(_home() / "acces").grant(demand, key)
    except PkiError as error:
        raise Exit(str(error), code=1) from None
    target.write_text(text)
    print(f"{target} : certificat n° {granted['serie']} de {granted['qui']}.")
    print(f"Valable jusqu'au {_local(granted['fin'])}. Chaque session est enregistrée.")
    print(f"Périmètre : {', '.join(granted['principaux'])}")
    print(f"Avec la clé privée : ssh -i {cle.removesuffix('.pub')} {role}@ADRESSE")
    print(f"Pour y mettre fin avant : fab acces.revoquer {granted['serie']}")
    _seal_access()


@task(reads=True, name="liste")
def access_list(context: Context) -> None:
    """Montre les accès délivrés, le plus récent d'abord."""
    try:
        rows = access.SshAuthority(_home() / "acces").listing()
    except PkiError as error:
        raise Exit(str(error), code=1) from None
    table = Grid("N°", "État", "Rôle", "Titulaire", "Périmètre", "Fin", "Motif", "Délivré par")
    for row in rows:
        shown = (row["role"], row["qui"], "\n".join(row["principaux"]), _local(row["fin"]), row["motif"], row["par"])
        table.add(str(row["serie"]), row["etat"], *shown)
    table.show()


@task(name="revoquer", positional=["numero"], help={"numero": "voir fab acces.liste", "motif": "raison"})
def access_revoke(context: Context, numero: str, motif: str = "") -> None:
    """Révoque un accès, sur toutes les machines, et coupe ses sessions."""
    try:
        granted = access.SshAuthority(_home() / "acces").revoke(numero, motif, evidence_store.operator())
    except PkiError as error:
        raise Exit(str(error), code=1) from None
    door = granted["evenement"] == access.DOOR
    print(f"{'Accès' if door else 'Certificat'} n° {granted['serie']} ({granted['role']}, {granted['qui']}) : révoqué.")
    _seal_access()
    if door:
        _fleet_does("fermeture de la porte de secours", lambda fleet: fleet.close_door(granted["serie"]))
        return
    done = _playbook(context, "journeys/revoke_access.yml", *_given(serie=str(granted["serie"])))
    if not done:
        raise Exit(
            "Une machine au moins n'a pas reçu la révocation : relancez la même commande quand elle répond. Le "
            f"certificat y sert encore jusqu'au {_local(granted['fin'])}.",
            code=1,
        )


def _on_connector(context: Context, commune: str, *argv: str) -> bool:
    """Run a command on a commune's connector, and show what it says."""
    pattern = f"commune_{commune.replace('-', '_')}:&tdt_connector"
    with waiting(f"« {shlex.join(argv)} » sur le connecteur de {commune}"):
        done = _asked(context, "ansible", pattern, *_COMMAND, listing.given({"argv": argv}))
    print(harmless.text(f"{done.stdout}{done.stderr}".strip()))
    return bool(done)


def _watch(context: Context, figures: str = "", pages: Pages | None = None) -> None:
    """Have the supervision know the machines of today; it is told when it does not, and keeps nothing else from going.

    Args:
        figures: of the control node, in Prometheus' text format.
        pages: the morning's, that it is to show.
    """
    if "supervision" not in needs.servers(_inventory(), TOP).values():
        return
    with tempfile.TemporaryDirectory() as folder:
        given = {"supervision_control_figures": figures} if figures else {}
        if pages:
            given["supervision_pages"] = str(pages.pack(Path(folder) / "pages.tar.gz"))
        told = Path(folder) / "donne.json"  # too long for an argument
        told.write_text(listing.given(given), encoding="utf-8")
        if not _quietly(context, "réponse de la supervision", "journeys/watched.yml", "-e", f"@{told}"):
            what = "la liste des machines, ou les pages du matin" if pages else "la liste des machines"
            _aside(f"La supervision n'a pas pris {what}. À faire : fab serveurs supervision")


def _on_supervision(context: Context, argv: list[str]) -> str:
    """Run a command on the supervision; gives what it says."""
    _must_have("supervision")
    with waiting("réponse de la supervision", _aside):
        done = _asked(context, "ansible", "supervision[0]", *_COMMAND, listing.given({"argv": argv}))
    if not done:
        _aside(done.stdout + done.stderr)
        raise Exit("La supervision ne répond pas, ou n'est pas déployée : fab serveurs supervision", code=2)
    return str(done.stdout)


@task(
    name="silence",
    positional=["cible"],
    help={
        "cible": "nom court d'une commune, ou nom d'une machine",
        "duree": "durée, 30 jours au plus : 4h, 90min, 2j",
        "motif": "raison, que liront les autres",
    },
)
def supervision_silence(context: Context, cible: str, duree: str, motif: str) -> None:
    """Tait un temps les alertes d'une commune ou d'une machine, pour des travaux annoncés."""
    _refuse_entities([cible])
    communes = {one.slug for one in _communes()}
    machines = {host.name for one in _communes() for host in one.hosts()} | {*needs.servers(_inventory(), TOP)}
    try:
        argv = silences.made(cible, duree, motif, evidence_store.operator(), communes, machines)
    except silences.SilenceError as error:
        raise Exit(str(error), code=2) from None
    told = _on_supervision(context, argv).split()
    print(f"Silence {told[-1]} : {cible}, pendant {duree}. Pour y mettre fin avant : fab supervision.lever {told[-1]}")


@task(reads=True, name="silences")
def supervision_silences(context: Context) -> None:
    """Montre les silences en cours : de qui, jusqu'à quand, par qui, pourquoi."""
    table = Grid("Silence", "Sur", "Jusqu'au", "Par", "Motif", overflow="fold")
    try:
        for row in silences.rows(_on_supervision(context, silences.listed())):
            table.add(*row)
    except silences.SilenceError as error:
        raise Exit(str(error), code=2) from None
    if table.count:
        table.show()
    else:
        print("Aucun silence.")


@task(name="lever", positional=["silence"], help={"silence": "voir fab supervision.silences"})
def supervision_lift(context: Context, silence: str) -> None:
    """Met fin à un silence."""
    try:
        argv = silences.ended(silence)
    except silences.SilenceError as error:
        raise Exit(str(error), code=2) from None
    _on_supervision(context, argv)
    print(f"Silence {silence} : levé.")


@task(name="listes")
def signer_lists(context: Context) -> None:
    """Met à jour les listes de révocation des signataires, et les envoie au parapheur."""
    _must_have("parapheur")
    _must(_playbook(context, "journeys/signer_lists.yml"), "Listes de révocation")


@task(name="listes")
def trusted_lists(context: Context) -> None:
    """Met à jour les listes de confiance de l'Union européenne, et les envoie au parapheur."""
    _must_have("parapheur")
    _must(_playbook(context, "journeys/trusted_lists.yml"), "Listes de confiance")


@task(name="sceaux")
def archive_seals(context: Context) -> None:
    """Scelle le journal de la salle d'archives, et en copie les sceaux ici, vérifiés."""
    _must_have("archive_gateway")
    _must(_playbook(context, "journeys/archive_seals.yml"), "Copie des sceaux")


@task(
    name="reprendre",
    iterable=["archive"],
    help={"archive": "identifiant d'une archive, à répéter ; sans elle, toutes celles qu'aucun nœud n'a plus"},
)
def archive_recover(context: Context, archive: list[str]) -> None:
    """Remet dans la salle les archives perdues, depuis leur copie sur le serveur de sauvegarde."""
    _must_have("archive_gateway")
    arguments = _given(archive_reprises=archive) if archive else []
    _must(_playbook(context, "journeys/recover_archives.yml", *arguments), "Reprise des archives")


@task(
    name="acte",
    positional=["commune"],
    help={"commune": "nom du fichier de la commune, ou d'une entité qu'elle héberge (gondecourt-ccas)"},
)
def archive_act(context: Context, commune: str) -> None:
    """Verse les actes acquittés d'une commune, puis montre que le dernier revient octet pour octet."""
    owner, entity = _hosting(commune)
    services = (entity or owner.data)["services"]
    if lacking := [name for name in ("teletransmission", "archivage") if name not in services]:
        raise Exit(f"{commune} n'a pas le service {' ni '.join(lacking)} : il n'y a rien à verser.", code=2)
    program = ["tdt-connector", *(["--entite", commune] if entity else [])]
    if owner.outgoing:
        raise Exit(
            f"Personne n'entre chez {owner.slug} (acces: sortant) : son connecteur verse de lui-même. À faire, pour la "
            f"preuve : sur lui, « sudo {shlex.join(program)} restituer --dernier », par sa porte (fab flotte.porte).",
            code=2,
        )
    _must(_on_connector(context, owner.slug, *program, "verser", "--tous"), "Versement")
    _must(_on_connector(context, owner.slug, *program, "restituer", "--dernier"), "Restitution")


@task(
    name="exercice",
    positional=["profil"],
    help={
        "profil": "profil à exercer, comme tdt_connector, poste-de-commande, ou « tous » ceux qui sont sauvegardés",
        "hote": "machine dont la sauvegarde est restaurée ; la première du profil par défaut",
        "sauvegarde": "une autre que la dernière",
        "phrase": "fichier de la phrase secrète, telle qu'un titulaire l'a sortie du séquestre",
    },
)
def backup_drill_(context: Context, profil: str, hote: str = "", sauvegarde: str = "", phrase: str = "") -> None:
    """Restaure la dernière sauvegarde sur la machine d'exercice, l'éprouve, la remet à neuf, et scelle la preuve."""
    failed = []
    try:
        profiles = backup_drill.saved_profiles(TOP, _inventory(), _home()) if profil == "tous" else [profil]
        for profile in profiles:
            order = backup_drill.Order(TOP, _inventory(), _home(), profile, hote, sauvegarde, phrase)
            record, folder, unsealed = backup_drill.prepare(order, evidence_store.operator()).perform()
            print("\n".join(backup_drill.lines(record)))
            print(f"Preuve : {folder / backup_drill.PAGE}")
            if unsealed:
                print(f"La preuve n'est pas signée : {unsealed}")
            if unsealed or not record["reussi"]:
                failed.append(profile)
    except backup_drill.DrillError as error:
        raise Exit(f"Exercice refusé : {error}", code=2) from None
    if failed:
        raise Exit(f"Exercice en échec : {', '.join(failed)}. La production n'a pas été touchée.", code=1)


def _save(context: Context) -> bool:
    """Back the control node up; tells whether it is done."""
    _must_have("backup_server")
    program = _home() / "sauvegardes" / backup_drill.CONTROL / "creatic-sauvegarde"
    if not program.is_file():
        raise Exit("Le serveur ne le connaît pas encore : ansible-playbook playbooks/backup_server.yml", code=2)
    with waiting("sauvegarde du poste de commande"):
        return bool(context.run(shlex.join([str(program), "faire"]), warn=True))


@task(name="faire")
def backup_save(context: Context) -> None:
    """Sauvegarde le poste de commande : autorités, registres, secrets, preuves (à lancer chaque nuit)."""
    _must(_save(context), "Sauvegarde du poste de commande")


@task(name="demenager", help={"vers": "nom du nouveau poste de commande"})
def backup_move_(context: Context, vers: str) -> None:
    """Sauvegarde ce poste une dernière fois, puis le ferme ; le nouveau reprend par sauvegarde.reprendre."""
    try:
        backup_move.depart(_home(), vers, evidence_store.operator(), lambda: _save(context))
    except backup_move.MoveRefused as error:
        raise Exit(str(error), code=1) from None
    print(
        f"Ce poste est fermé. Sur « {vers} » : fab sauvegarde.reprendre (« Changer de poste », docs/exploitation.md)."
    )


@task(
    name="reprendre",
    help={
        "empreinte": "SHA256:…, clé d'hôte du serveur de sauvegarde, relevée à sa console",
        "phrase": "fichier de la phrase secrète, telle qu'un titulaire l'a sortie du séquestre",
    },
)
def backup_recover(context: Context, empreinte: str, phrase: str = "") -> None:
    """Retrouve l'état d'un poste de commande perdu, depuis le serveur de sauvegarde et le séquestre."""
    asked = _given(empreinte=empreinte, phrase=str(Path(phrase).absolute()) if phrase else "")
    _must(_playbook(context, "journeys/recover_control_node.yml", *asked), "Reprise du poste de commande")
    if phrase:
        problems = Authority(_home() / "pki").verify()
        _must(not problems, "\n".join(problems))
        print("Le poste de commande est revenu, son autorité se vérifie. Ensuite : « Tout est perdu », étape 4.")


@task(
    name="revenir",
    positional=["client"],
    help={"client": "machine dont le dépôt a été gelé", "rouvrir": "la laisse de nouveau sauvegarder, une fois saine"},
)
def backup_rollback(context: Context, client: str, rouvrir: bool = False) -> None:
    """Remet le dépôt d'un client à sa dernière transaction saine, et garde de côté ce qui a suivi."""
    given = _given(client=client, rouvrir=rouvrir)
    _must(_playbook(context, "journeys/backup_rollback.yml", *given), "Retour en arrière")


@task(reads=True, name="etat")
def backup_status(context: Context) -> None:
    """Montre l'état des sauvegardes, vu du serveur : dernière, taille, soupçon, vérification."""
    _must_have("backup_server")
    with waiting("réponse du serveur de sauvegarde"):
        done = _asked(context, "ansible", "backup_server", *_COMMAND, "creatic-depots etat")
    start = done.stdout.find("[") if done else -1
    if start < 0:
        if said := f"{done.stdout}{done.stderr}".strip():
            _aside(said)
        raise Exit("Le serveur de sauvegarde ne répond pas, ou n'est pas déployé.", code=2)
    table = Grid("Machine", "Dernière sauvegarde", "Taille", "Relue le", "Dernier exercice", "État")
    drills = backup_drill.last(_home())
    wrong, kept = 0, list[str]()
    clients = harmless.tree(from_json(done.stdout[start:]))
    for one in clients:
        checked = one["verification"]
        state = one["suspect"] or ("jamais sauvegardée" if not one["derniere"] else "")
        state = state or ("dépôt abîmé" if checked.get("bonne") is False else "gelée" if one["gele"] else "")
        state = state or (f"trop ancienne ({one['age_max_h']} h au plus)" if one["trop_ancienne"] else "")
        state = state or ("relecture pas finie" if checked.get("inachevee") else "")
        drill = drills.get(one["client"])
        state = state or ("dernier exercice en échec" if drill and not drill["reussi"] else "")
        wrong += bool(state)
        moments = [_local(text) if text else "jamais" for text in (one["derniere"], checked.get("le", ""))]
        drilled = f"{_local(drill['debut'])}, {'réussi' if drill['reussi'] else 'ÉCHEC'}" if drill else "jamais"
        table.add(
            one["client"],
            moments[0],
            evidence.size(one["octets"] + one.get("octets_clos", 0)),
            moments[1],
            drilled,
            state or "bonne",
        )
        for quarter, why in one.get("retenues", {}).items():
            kept.append(f"{one['client']} : trimestre {quarter} gardé au-delà de son temps, {why}.")
    table.show()
    unsaved = backup_outgoing.lines(backup_outgoing.unsaved(fleet_waves.machines(_communes()), _home(), clients))
    if unsaved:
        print("\n".join(unsaved))
    if kept:
        _aside("\n".join(kept))
    if wrong or unsaved:
        raise Exit(code=1)


def _fleet() -> Fleet:
    """The fleet of this environment."""
    door = FleetDoor(TOP, _inventory())
    signer = Signer(_home() / "flotte", Passphrases(_home() / "flotte", generate=_environment().lab))
    known = fleet_waves.machines(_communes())
    keys = fleet_assemble.keys(_home(), known)
    return Fleet(_home(), known, signer, door.ask, door.send, evidence_store.operator(), evidence.now, keys)


def _pushed() -> Pushed:
    """The rollout by waves of communes that are reached from here."""
    inventory = _inventory()
    return Pushed(_home(), lambda: fleet_bundle.digest(TOP, inventory), evidence_store.operator(), evidence.now)


def _fleet_does(what: str, act: Callable[[Fleet], list[str]]) -> None:
    """Do something of the fleet's, and say it."""
    _must_have("guichet")
    try:
        with waiting(what, _aside):
            lines = act(_fleet())
    except (FleetError, PkiError) as error:
        raise Exit(f"Flotte : {error}", code=1) from None
    print("".join(f"{line}\n" for line in lines), end="")


@task(
    name="publier",
    help={
        "par": "découpage des vagues : par territoire, taille ou vague (celle des fichiers des communes)",
        "canari": "communes ou machines qui passent d'abord, séparées par des virgules ; par défaut, une par profil",
    },
)
def fleet_publish(context: Context, par: str = "territoire", canari: str = "") -> None:
    """Prépare et signe une version pour les machines en accès sortant, et l'ouvre au canari."""
    _fleet_does("ouverture de la clé", lambda fleet: fleet.ready())  # what machines are told of it is checked next
    _checked([one.slug for one in _communes()])
    first = [name.strip() for name in canari.split(",") if name.strip()]
    _refuse_entities(first)

    def publish(fleet: Fleet) -> list[str]:
        told = fleet_assemble.renew(_home(), fleet, _inventory(), TOP)
        refused = dict[str, str]()
        data = fleet_assemble.archives(_inventory(), TOP, _home(), fleet.machines, refused)
        known = fleet_assemble.certificates(_home(), fleet.machines)
        return told + fleet.publish(fleet_bundle.code(TOP), data, known, par, first, refused)

    _fleet_does("préparation de la version", publish)


@task(name="avancer")
def fleet_advance(context: Context) -> None:
    """Ouvre la vague suivante si toutes les machines ouvertes ont bien rendu compte ; prolonge ce qui expire."""
    _fleet_does("réponse du guichet", lambda fleet: fleet.advance(fleet_assemble.certificates(_home(), fleet.machines)))


@task(name="arreter", help={"motif": "pourquoi"})
def fleet_stop(context: Context, motif: str) -> None:
    """Arrête la publication : plus aucune vague ne s'ouvre."""
    _fleet_does("arrêt de la publication", lambda fleet: fleet.stop(motif))


@task(name="revenir", help={"motif": "pourquoi", "version": "à laquelle revenir ; celle d'avant par défaut"})
def fleet_back(context: Context, motif: str, version: str = "0") -> None:
    """Redonne, sous un nouveau numéro, le contenu d'une version précédente aux machines qui ont la dernière."""
    number = _whole(version.removeprefix("v"), "--version", "de version")
    _fleet_does(
        "préparation du retour",
        lambda fleet: fleet.go_back(number, fleet_assemble.certificates(_home(), fleet.machines), motif),
    )


@task(name="excuser", positional=["machine"], help={"machine": "son nom", "motif": "pourquoi"})
def fleet_excuse(context: Context, machine: str, motif: str) -> None:
    """Laisse la publication avancer sans une machine, nommée, et garde qui l'a décidé."""
    _fleet_does("lecture de la publication", lambda fleet: fleet.excuse(machine, motif))


@task(
    name="porte",
    positional=["machine"],
    help={"machine": "son nom", "duree": "durée, 24 h au plus : 2h, 90min", "motif": "pourquoi"},
)
def fleet_door(context: Context, machine: str, duree: str, motif: str) -> None:
    """Ordonne à une machine en accès sortant d'ouvrir un tunnel, par lequel on entre chez elle en SSH."""
    _must_have("guichet")
    operator = evidence_store.operator()
    authority = access.SshAuthority(_home() / "acces")
    try:
        lasts = access.duration(duree)

        def register(key: str) -> int:
            return authority.note_door(machine, lasts, motif, operator, key)

        with waiting("envoi de l'ordre au guichet", _aside):
            fleet = _fleet()
            made = fleet.open_door(machine, lasts, fleet_assemble.certificates(_home(), fleet.machines), register)
    except (FleetError, PkiError) as error:
        raise Exit(f"Porte de secours : {error}", code=1) from None
    _seal_access()
    given = _given(machine=machine, porte={key: made[key] for key in ("numero", "fin", "port")})
    _must(_playbook(context, "journeys/fleet_door.yml", *given), "Porte de secours")
    print(
        f"{machine} : porte de secours n° {made['numero']} ordonnée, jusqu'au {_local(made['fin'])}. Elle s'ouvre au "
        f"prochain passage de la machine, dans le quart d'heure ; fab flotte.etat dit quand.\n"
        f"Pour entrer : {_home() / 'flotte' / f'entrer-{machine}'}\n"
        f"Pour y mettre fin avant : fab acces.revoquer {made['numero']}"
    )


@task(reads=True, name="etat", help={"json": "tout, en JSON"})
def fleet_status(context: Context, json: bool = False) -> None:
    """Montre les vagues, et où en est chacun : machines en accès sortant, communes déployées d'ici (--par)."""
    try:
        mine, where, notes = _pushed().status([one.slug for one in _communes() if not one.outgoing])
        wrong = list[str]()
    except FleetError as error:
        mine, where, notes, wrong = None, [], [], [str(error)]
    if not mine and not wrong:
        _must_have("guichet")
    lines = [f"- {one}" for one in wrong]
    if mine:
        lines = ["Communes déployées d'ici :", *fleet_waves.told(mine, where, notes, "commune", "commencée")]
    record, standings, problems, silent = None, list[fleet_waves.Standing](), list[str](), ""
    if "guichet" in needs.servers(_inventory(), TOP).values():
        try:
            with waiting("réponse du guichet", _aside):
                record, standings, problems = _fleet().status()
            lines = [*fleet_waves.told(record, standings, problems), *lines]
        except (FleetError, PkiError) as error:
            silent = f"Flotte : {error}"
    if json and not silent:
        told = {"publication": record, "machines": [vars(one) for one in standings], "defauts": [*problems, *wrong]}
        print(to_json({**told, "deploiement": mine, "communes": [vars(one) for one in where]}))
    elif not json:
        print("\n".join(lines))
    if silent:
        raise Exit(silent, code=2)
    if problems or wrong or any(one.state != fleet_waves.UP_TO_DATE for one in (*standings, *where)):
        raise Exit(code=1)


namespace = Collection(environnement)
namespace.add_task(rollout, name="communes")
namespace.add_task(past, name="historique")
namespace.add_task(servers, name="serveurs")
namespace.add_task(updates, name="correctifs")
namespace.add_collection(
    Collection("sauvegarde", backup_drill_, backup_move_, backup_recover, backup_rollback, backup_save, backup_status)
)
namespace.add_collection(Collection("agent", agent_depart))
namespace.add_collection(Collection("comptes", accounts_renew))
namespace.add_collection(Collection("acces", access_grant, access_list, access_revoke))
namespace.add_collection(Collection("banc", lab_up, lab_down, lab_status))
namespace.add_collection(Collection("commune", commune_new, commune_depart))
namespace.add_task(documents)
namespace.add_task(morning)
namespace.add_collection(
    Collection("flotte", fleet_publish, fleet_advance, fleet_status, fleet_stop, fleet_back, fleet_excuse, fleet_door)
)
namespace.add_collection(Collection("inventaire", inventory_check))
namespace.add_collection(Collection("preuves", evidence_verify))
audits = Collection("audit", audit_verify)
audits.add_task(audit, default=True)
namespace.add_collection(audits)
namespace.add_collection(
    Collection(
        "archive",
        archive_status,
        archive_formats_,
        archive_convert,
        archive_patch_,
        archive_seals,
        archive_act,
        archive_recover,
    )
)
namespace.add_collection(Collection("parapheur", signer_lists))
namespace.add_collection(Collection("confiance", trusted_lists))
namespace.add_collection(Collection("supervision", supervision_silence, supervision_silences, supervision_lift))
namespace.add_collection(
    Collection("pki", pki_deadlines, pki_list, pki_lists, pki_person, pki_renew, pki_verify, pki_rotate, pki_revoke)
)
