# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What commands share: the environment they act on, how they run a playbook, how they end, what they say.

What is printed is French; every command exits non-zero when what it was asked for is not done.
They act on the environment that was chosen (``fab environnement`` or ``CREATIC_INVENTORY``) and name it first, on the
error output; ``CREATIC_HOME`` is where the control node's state is.
"""

from __future__ import annotations

import builtins
import contextlib
import datetime as dt
import functools
import getpass
import json
import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import invoke
from ansible_collections.cdg59.creatic.plugins.module_utils import harmless, words
from ansible_collections.cdg59.creatic.plugins.module_utils.durable import write
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import PkiError
from invoke import Context, Result

from creatic import commands
from creatic.access import record as access_record
from creatic.check import needs
from creatic.evidence import held as evidence_held
from creatic.evidence import history, recurring
from creatic.evidence import store as evidence_store
from creatic.fleet import assemble as fleet_assemble
from creatic.fleet import bundle as fleet_bundle
from creatic.fleet import readiness as fleet_readiness
from creatic.fleet import waves as fleet_waves
from creatic.fleet.assemble import Door as FleetDoor
from creatic.fleet.proofs import Proofs
from creatic.fleet.publication import Fleet
from creatic.fleet.pushed import Pushed
from creatic.fleet.signing import Signer
from creatic.life import handover as life_handover
from creatic.morning.pages import Pages
from creatic.patience import report_progress
from creatic.pki.keys import ISSUING, Keys, Passphrases
from creatic.postes import door as poste_door
from creatic.postes import seen as poste_seen
from creatic.registry import aim, entities, environment, groupement, listing
from creatic.registry.checked_yaml import Problem

TOP = Path(__file__).parents[2]
os.environ["PATH"] = f"{TOP / '.venv' / 'bin'}:{os.environ['PATH']}"


def print(*told: object, **how: Any) -> None:  # the only one here
    """Print, machines' words too: none of them moves the terminal."""
    builtins.print(*(harmless.text(str(one)) for one in told), **how)


class Exit(invoke.Exit):
    """What ends a command, as `print` says it."""

    def __init__(self, message: str | None = None, code: int | None = None) -> None:
        super().__init__(message and harmless.text(message), code)


# An inventory has no group of a profile that it has no machine of: plays ask for them all.
FRENCH = {"ANSIBLE_STDOUT_CALLBACK": "cdg59.creatic.journey", "ANSIBLE_HOST_PATTERN_MISMATCH": "ignore"}

# A single command takes this output only with all callbacks; the others are for playbooks.
AD_HOC_CALLBACKS = {
    "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
    "ANSIBLE_CALLBACKS_ENABLED": FRENCH["ANSIBLE_STDOUT_CALLBACK"],
}

COMMAND = ("-b", "-m", "ansible.builtin.command", "-a")


@functools.cache
def chosen() -> environment.Environment:
    """The environment to act on, named on the error output the first time."""
    try:
        found = environment.chosen(TOP)
        told = environment.claim(found.home(), found.name, found.folder)
    except environment.InvalidEnvironmentError as error:
        raise Exit(str(error), code=2) from None
    aside("\n".join(filter(None, (str(found), told, *history.unattended(found.home()).values()))))
    return found


def _run_body(body: Callable[..., None], *arguments: Any, **given: Any) -> None:
    """Do what a command does; an error of ours ends it with its message, and 2 when what was asked is at fault."""
    try:
        body(*arguments, **given)
    except CreaticError as error:
        raise Exit(str(error), code=2 if error.misuse else 1) from None


def task(
    example: str, *, lab: bool = False, anywhere: bool = False, reads: bool = False, **options: Any
) -> Callable[[Callable[..., None]], Any]:
    """A command, as invoke's decorator makes it of a function.

    Args:
        example: a line that a person may type; its help shows it.
        lab: refused outside the lab.
        anywhere: asks for the environment itself, if it needs it.
        reads: changes nothing, and so is no part of the history, unless timers run it.
        options: what invoke takes.
    """

    def wrap_body(body: Callable[..., None]) -> Any:
        @functools.wraps(body)
        def run(*arguments: Any, **given: Any) -> None:
            if not anywhere:
                chosen()
            if lab and not chosen().lab:
                raise Exit(
                    "Cette commande est celle du banc d'essai : elle ne fait rien dans un autre environnement. "
                    "À faire, pour le banc d'essai : choisissez le sien (fab environnement inventories/lab), ou "
                    f"{environment.VARIABLE}=inventories/lab devant la même commande.",
                    code=2,
                )
            try:
                with contextlib.nullcontext() if anywhere or (reads and not is_watched()) else log_command():
                    _run_body(body, *arguments, **given)
            except KeyboardInterrupt:
                left = "rien n'est changé" if reads else "ce qui est fait reste fait. À faire : relancez-la"
                raise Exit(f"Commande interrompue : {left}.", code=130) from None
            except PermissionError as error:
                raise Exit(environment.closed(error.filename or home()), code=1) from None

        return invoke.task(klass=commands.Command, example=example, lab=lab, **options)(run)

    return wrap_body


def is_watched() -> bool:
    """Whether how it ends is to be known, though it changes nothing: a timer runs it, or failed to."""
    command = commands.written_today(" ".join(["fab", *sys.argv[1:]]))
    return evidence_store.TIMER_VARIABLE in os.environ or command in history.unattended(home())


@contextlib.contextmanager
def log_command() -> Iterator[None]:
    """Keep what is run, by whom and how it ends: `fab historique`."""
    note = history.Note(home(), ["fab", *sys.argv[1:]])
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


def home() -> Path:
    """State of the control node for the environment."""
    return chosen().home()


def inventory_dir() -> Path:
    return chosen().folder


def judged(command: str, faults: Iterable[str]) -> None:
    """End by a failure when something is wrong; a timer's command does for what is news, and says how old the rest is.

    Args:
        command: as fab calls it.
        faults: what is wrong, each with its machine.
    """
    today = words.now().date()
    found = recurring.judge(home(), command, faults, today)
    if evidence_store.TIMER_VARIABLE in os.environ:
        print("".join(f"{line}\n" for line in found.lines(today)), end="")
    if found.is_red:
        raise Exit("", code=1)


def whole(text: str, option: str, what: str = "de jours") -> int:
    """A number that a person wrote."""
    if not text.isdecimal() or len(text) > 6:
        raise Exit(f"{option} : « {text} » n'est pas un nombre entier {what}, comme 30.", code=2)
    return int(text)


def known_communes() -> list[groupement.Commune]:
    try:
        return groupement.load(inventory_dir())
    except groupement.GroupementError as error:
        raise Exit(str(error), code=1) from None


def check_communes(wanted: list[str]) -> None:
    refuse_entities(wanted)
    known = sorted(commune.slug for commune in known_communes())
    if unknown := [slug for slug in wanted if slug not in known]:
        raise Exit(f"Commune inconnue : {', '.join(unknown)}. Connues : {', '.join(known)}", code=2)


def refuse_entities(names: Iterable[str], instead: str = "donnez {commune}, dont les machines la servent") -> None:
    """Say of an entity's name, where only a commune or a machine is taken, what to write in its place."""
    hosts = entities.hosts((one.slug, one.data) for one in known_communes())
    for name in names:
        if name in hosts:
            raise Exit(
                f"« {name} » est une entité de {hosts[name]}, sans machine à elle : "
                f"{instead.format(commune=hosts[name])}.",
                code=2,
            )


def must_have(profile: str) -> None:
    """Refuse what would do nothing, and end well, for want of a machine of this profile."""
    if profile not in needs.servers(inventory_dir(), TOP).values():
        # Timers are the same everywhere.
        code = 0 if evidence_store.TIMER_VARIABLE in os.environ else 2
        raise Exit(f"Cet environnement n'a aucune machine {profile} (groupe de servers.yml) : rien n'est fait.", code)


def playbook(context: Context, name: str, *arguments: str, env: dict[str, str] | None = None) -> bool:
    with context.cd(str(TOP)), aim.shortened(arguments) as given:
        command = ["ansible-playbook", "-i", str(inventory_dir()), f"playbooks/{name}", *given]
        done = context.run(shlex.join(command), pty=sys.stdout.isatty(), warn=True, env=FRENCH | (env or {}))
    return bool(done)


def variables(**values: Any) -> list[str]:
    """Variables of a playbook: what people write, and what is told of machines, is text there, and no template."""
    return ["-e", listing.to_extra_vars(values)]


def answer(context: Context, program: str, *arguments: str, env: dict[str, str] | None = None) -> Result:
    """What a playbook or a command on machines answers, shown by who asks."""
    with context.cd(str(TOP)):
        command = shlex.join([program, "-i", str(inventory_dir()), *arguments])
        french = FRENCH | (AD_HOC_CALLBACKS if program == "ansible" else {}) | (env or {})
        return cast(Result, context.run(command, hide=True, warn=True, env=french))


def unlock(read: Callable[[str], str] = getpass.getpass) -> None:
    """Have the issuing authority's passphrase at hand for what a command signs: asked of who is there where nothing
    gives it, tried at once, and known to this command alone.

    Args:
        read: reads what is typed, without showing it.

    Raises:
        Exit: it opens nothing.
    """
    folder = home() / "pki"
    if key := max(folder.glob(f"{ISSUING}*/cle.pem"), default=None):
        name = key.parent.name
        _ask_passphrase(folder, ISSUING, "de l'autorité émettrice", lambda found: Keys(folder, found).load(name), read)


def unlock_fleet(read: Callable[[str], str] = getpass.getpass) -> None:
    """The same of the key that signs for machines in outgoing access."""
    folder = home() / "flotte"
    if (folder / "cle.pem").exists():
        _ask_passphrase(folder, "cle", "de la clé de la flotte", lambda found: Signer(folder, found).open(), read)


def _ask_passphrase(
    folder: Path, role: str, whose: str, opens: Callable[[Passphrases], object], read: Callable[[str], str]
) -> None:
    if not sys.stdin.isatty():
        return
    with contextlib.suppress(PkiError):
        Passphrases(folder).get(role)
        return
    given = read(f"Phrase secrète {whose} : ")
    try:
        opens(Passphrases(folder, {role: given}))
    except CreaticError as error:
        raise Exit(f"Rien n'est fait : {error}.", code=2) from None
    os.environ[Passphrases(folder).variable(role)] = given


def put(path: str, content: bytes, replace: bool = True) -> None:
    """Write a file where a person asked for it. Raises Exit: it cannot be there."""
    try:
        write(Path(path).absolute(), content, 0o644, replace=replace)
    except FileExistsError:
        raise Exit(f"{path} existe déjà, il n'est pas remplacé. À faire : donnez un autre nom.", code=2) from None
    except OSError as error:
        raise Exit(
            f"{path} ne s'écrit pas ({error.strerror}). À faire : choisissez un dossier à vous.", code=2
        ) from None


def aside(text: str) -> None:
    """Say something beside the result."""
    print(text, file=sys.stderr, flush=True)


def must(done: bool, what: str) -> None:
    if not done:
        raise Exit(f"{what} : échec, la raison est affichée au-dessus.", code=1)


def hosting(slug: str) -> tuple[groupement.Commune, dict[str, Any] | None]:
    """The commune of a slug; with the entity that it hosts, when the slug is an entity's."""
    communes = known_communes()
    for one in communes:
        if found := next((entity for entity in life_handover.hosted(one) if entity["slug"] == slug), None):
            return one, found
    check_communes([slug])
    return next(one for one in communes if one.slug == slug), None


def checked(slugs: list[str] | None = None) -> None:
    """Refuse to go on with an inventory that has faults; a rollout asks for its communes' files alone.

    Of several communes, those whose own formalities or provider's file are not good are told, and keep no other: such
    a formality is not done (`formalities.judge`: no commune is ready with it), such a file is not put on its machine.
    """
    own = list[Problem]()
    problems = needs.check(inventory_dir(), TOP, slugs, own)
    kept = {one.file for one in own}
    if problems or len(kept) >= len(slugs or kept):
        problems += own
    if problems:
        raise Exit(faults(inventory_dir().name, problems), code=1)
    if own:
        aside(
            "Ces défauts ne retiennent que leurs communes (une formalité ainsi écrite n'est pas faite, la commune "
            "reste « équipée », pas « prête » ; un fichier de prestataire ainsi n'est pas posé) :\n"
            + list_problems(own)
        )


def faults(inventory: str, problems: list[Problem]) -> str:
    count = f"{len(problems)} défauts" if len(problems) > 1 else "1 défaut"
    return f"{inventory} : rien n'est changé. {count} :\n{list_problems(problems)}"


def list_problems(problems: list[Problem]) -> str:
    return "\n".join(f"  - {problem}" for problem in problems)


def wanted(text: str, every: str) -> list[str]:
    """The names that a person wrote; none for all of them."""
    try:
        return aim.parse_name_list(text, every)
    except aim.AimError as error:
        raise Exit(str(error), code=2) from None


def quietly(context: Context, what: str, name: str, *arguments: str) -> bool:
    """Run a playbook that only asks: its output is shown when it fails."""
    with report_progress(what):
        done = answer(context, "ansible-playbook", f"playbooks/{name}", *arguments)
    if not done:
        aside(done.stdout + done.stderr)
    return bool(done)


def outgoing_communes() -> list[str]:
    """Communes whose machines nobody reaches (``acces: sortant``)."""
    return [one.slug for one in known_communes() if one.outgoing]


def left_out(outgoing: list[str]) -> str:
    shown = ", ".join(outgoing[:5]) + (f" et {len(outgoing) - 5} autres" if len(outgoing) > 5 else "")
    return f"En accès sortant, leurs machines viennent chercher leur version elles-mêmes (fab flotte.etat) : {shown}."


def seen_pcs(communes: Iterable[groupement.Commune]) -> dict[str, poste_seen.Record]:
    """What servers saw of the PCs of communes that nobody reaches, by name; the door is asked if there are any."""
    pcs = [(host, str(one.data["siren"])) for one in communes for host in one.pcs()]
    return poste_seen.gather(pcs, home() / "pki", poste_door.Door(TOP, inventory_dir()).read_sightings, words.now())


def outgoing_proofs(
    standings: list[fleet_waves.MachineState], slugs: list[str]
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Evidence and state of communes that nobody reaches, by short name. Raises FleetError: no door answers."""
    known = fleet_waves.machines(known_communes())
    wanted = [name for name, machine in known.items() if machine.commune in slugs]
    keys = fleet_assemble.keys(home(), known)
    brought = Proofs(home() / "flotte" / "preuves", FleetDoor(TOP, inventory_dir()).proofs, keys)
    proofs = brought.bring(known, wanted)
    communes = [one for one in known_communes() if one.slug in slugs]
    servers, bench, held = needs.servers(inventory_dir(), TOP), chosen().lab, evidence_held.known_places(home())
    return fleet_readiness.judge(
        communes,
        standings,
        proofs,
        servers,
        held,
        inventory_dir(),
        bench=bench,
        now=words.now(),
        refused=brought.refused,
        pcs={name: poste_seen.as_run(one) for name, one in seen_pcs(communes).items()},
    )


def without_outgoing(pattern: str) -> str:
    """A pattern of hosts, without those that nobody reaches; says so when there are any."""
    outgoing = outgoing_communes()
    if not outgoing:
        return pattern
    aside(f"{left_out(outgoing)} Elles sont laissées de côté.")
    return f"{pattern or 'all'}{',' if ',' in pattern else ':'}!{groupement.OUTGOING}"


def seal_access() -> None:
    """Keep the registry's new lines under the seal; what is done is done, were it not to succeed."""
    try:
        kept = access_record.seal_record(home(), evidence_store.operator())
    except CreaticError as error:
        print(f"La preuve n'est pas écrite : {error}")
        return
    if kept:
        print(f"Preuve : {kept[0] / 'rapport.html'}" + (f" ; elle n'est pas signée : {kept[1]}" if kept[1] else ""))


def local(moment: str) -> str:
    return dt.datetime.fromisoformat(moment).astimezone().strftime("%d/%m/%Y %H:%M:%S")


def watch(context: Context, figures: str = "", pages: Pages | None = None) -> None:
    """Have the supervision know the machines of today; it is told when it does not, and keeps nothing else from going.

    Args:
        figures: of the control node, in Prometheus' text format.
        pages: the morning's, that it is to show.
    """
    if "supervision" not in needs.servers(inventory_dir(), TOP).values():
        return
    with tempfile.TemporaryDirectory() as folder:
        given = {"supervision_control_figures": figures} if figures else {}
        if pages:
            given["supervision_pages"] = str(pages.pack(Path(folder) / "pages.tar.gz"))
        told = Path(folder) / "donne.json"  # too long for an argument
        told.write_text(listing.to_extra_vars(given), encoding="utf-8")
        if not quietly(context, "réponse de la supervision", "journeys/watched.yml", "-e", f"@{told}"):
            what = "la liste des machines, ou les pages du matin" if pages else "la liste des machines"
            aside(f"La supervision n'a pas pris {what}. À faire : fab serveurs supervision")


def on_supervision(context: Context, argv: list[str]) -> str:
    """Run a command on the supervision; gives what it says."""
    must_have("supervision")
    with report_progress("réponse de la supervision", aside):
        done = answer(context, "ansible", "supervision[0]", *COMMAND, listing.to_extra_vars({"argv": argv}))
    if not done:
        aside(done.stdout + done.stderr)
        raise Exit("La supervision ne répond pas, ou n'est pas déployée : fab serveurs supervision", code=2)
    return str(done.stdout)


def archive_room(context: Context) -> dict[str, Any]:
    """What there is to say of the archive room: its screen (``ecran``), and its faults (``defauts``)."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        asked = ["playbooks/journeys/archive_status.yml", *variables(archive_status_file=file.name)]
        # Nothing on the output but the screen, which « --json » gives to a program.
        with report_progress("réponse des nœuds d'archives", aside):
            done = answer(context, "ansible-playbook", *asked)
        text = Path(file.name).read_text(encoding="utf-8")
    if not text:
        aside(done.stdout + done.stderr)
        raise Exit("La salle d'archives n'a pas pu être interrogée : la raison est affichée au-dessus.", code=2)
    found: dict[str, Any] = json.loads(text)
    return found


def fleet() -> Fleet:
    """The fleet of this environment."""
    door = FleetDoor(TOP, inventory_dir())
    signer = Signer(home() / "flotte", Passphrases(home() / "flotte", generate=chosen().lab))
    known = fleet_waves.machines(known_communes())
    keys = fleet_assemble.keys(home(), known)
    return Fleet(home(), known, signer, door.read_status, door.send, evidence_store.operator(), words.now, keys)


def pushed() -> Pushed:
    """The rollout by waves of communes that are reached from here."""
    inventory = inventory_dir()
    return Pushed(home(), lambda: fleet_bundle.digest(TOP, inventory), evidence_store.operator(), words.now)


def fleet_does(what: str, act: Callable[[Fleet], list[str]], signs: bool = True) -> None:
    """Do something of the fleet's, and say it; what signs has the key's passphrase at hand."""
    must_have("guichet")
    if signs:
        unlock_fleet()
    try:
        with report_progress(what, aside):
            lines = act(fleet())
    except CreaticError as error:
        raise Exit(f"Flotte : {error}", code=1) from None
    print("".join(f"{line}\n" for line in lines), end="")
