# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Commands of the technicians: communes, from their file to the proof, and who leaves."""

from __future__ import annotations

import functools
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils import words
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from ansible_collections.cdg59.creatic.plugins.module_utils.reasons import reason
from invoke import Context
from rich.console import Console

from creatic.backup import drill
from creatic.check import host_keys, needs, received, tdt
from creatic.cli import common
from creatic.cli.common import TOP, Exit, print, task
from creatic.evidence import follow
from creatic.evidence import rollout as evidence
from creatic.evidence import store as evidence_store
from creatic.fleet import bundle as fleet_bundle
from creatic.fleet import pushed as fleet_pushed
from creatic.fleet import unsaved as fleet_unsaved
from creatic.fleet import waves as fleet_waves
from creatic.fleet.signing import FleetError
from creatic.life import commune as life_commune
from creatic.life.commune import CommuneDeparture
from creatic.life.departure import Departure, Order
from creatic.patience import report_progress
from creatic.pki.authority import Authority
from creatic.postes import door as poste_door
from creatic.postes import enrolment as poste_enrolment
from creatic.postes import installer as poste_maker
from creatic.postes import places as poste_places
from creatic.postes import program as poste_program
from creatic.postes import seen as poste_seen
from creatic.postes import settings as poste_settings
from creatic.registry import aim, environment, groupement, importing, wiring

WAITS_S = 1800
"""How long ``fab poste.certifier --attendre`` does."""
_BETWEEN_S = 10


@task(
    "fab environnement inventories/production",
    anywhere=True,
    help={"dossier": "inventaire à choisir, comme inventories/production ; sans lui, le choix actuel est montré"},
)
def environnement(context: Context, dossier: str = "") -> None:
    """Choisit l'environnement de toutes les commandes, ou montre celui qui l'est."""
    if dossier:
        try:
            wanted = environment.choose(TOP, dossier)
        except environment.InvalidEnvironmentError as error:
            raise Exit(str(error), code=2) from None
        if os.environ.get(environment.VARIABLE) is not None:
            common.aside(f"{wanted} est choisi. La variable {environment.VARIABLE} l'emporte pourtant dans ce shell :")
    found = common.chosen()
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
    "fab commune.nouvelle gondecourt --siren 215902669 --agents 80 --territoire lille --poste pc-secretariat",
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
        "poste": "nom, nom=adresse, ou nom=installeur pour un poste que personne ne joint ; à répéter",
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
    target = groupement.new_commune(
        common.inventory_dir(),
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
    print(f"{target} est écrit. Relisez-le, puis : fab commune.deployer {slug}")
    if "teletransmission" in services.split(","):
        print(
            "Un TdT de production n'admet que des certificats RGS d'un prestataire : écrivez celui du connecteur, sans "
            "lequel la commune n'est pas prête, et ceux des postes, que le fichier donne au groupement."
        )


@task(
    "fab communes.importer liste.ods",
    name="importer",
    help={
        "fichier": "la liste, une ligne par commune : ODS, ou CSV",
        "oui": "écrit les fichiers ; sans elle, la commande montre seulement ce qu'elle écrirait",
        "modele": "écrit là une liste vide (ODS), dont les titres de colonnes se lisent ici",
    },
)
def communes_import(context: Context, fichier: str = "", oui: bool = False, modele: str = "") -> None:
    """Écrit ou corrige les fichiers de nombreuses communes, d'après un tableau."""
    if bool(fichier) == bool(modele):
        raise Exit("Donnez la liste à lire, ou --modele et le nom du modèle à écrire, comme modele.ods.", code=2)
    if modele:
        _write_model(Path(modele))
        return
    plan = importing.plan(common.inventory_dir(), Path(fichier))
    print("\n".join(importing.lines(plan)))
    refused = list(plan.refused)
    if not plan.new and not plan.changed:
        print("Il n'y a rien à écrire.")
    elif not oui:
        print("Rien n'est écrit. À faire : relisez, puis la même commande avec --oui.")
    else:
        left = importing.carry_out(common.inventory_dir(), plan)
        print("\n".join(map(str, left)) if left else "Tout ce qui précède est écrit. Puis : fab inventaire.controle")
        refused += left
    if refused:
        raise Exit(f"{len(refused)} à corriger, dit au-dessus ; les autres lignes ne sont pas retenues.", code=1)


@task(
    "fab communes.certificats ~/recus --oui",
    name="certificats",
    positional=["dossier"],
    help={
        "dossier": "les .p12 du prestataire, chacun avec son mot de passe à côté (recu.p12 et recu.p12.pass)",
        "oui": "les range ; sans elle, la commande montre seulement où chacun irait",
    },
)
def communes_certificates(context: Context, dossier: str, oui: bool = False) -> None:
    """Range les certificats reçus de prestataires là où les fichiers des communes les attendent, par leur SIREN."""
    wanted, secrets = received.places(common.known_communes()), common.home() / "secrets"
    found = received.plan(Path(dossier).expanduser(), wanted, secrets)
    print("\n".join(found.lines()))
    if found.moves and not oui:
        print("Rien n'est rangé. À faire : relisez, puis la même commande avec --oui.")
    elif found.moves:
        received.carry_out(found, secrets)
        print(f"{len(found.moves)} rangés dans {secrets}. Supprimez {dossier}, puis : fab inventaire.controle")
        print("\n".join(received.missing_places(wanted, secrets)))
    if found.left:
        raise Exit(f"{len(found.left)} à corriger, dit au-dessus ; les autres ne sont pas retenus.", code=1)


@task(
    "fab machine.cles ~/cles --oui",
    name="cles",
    positional=["dossier"],
    help={
        "dossier": "les clés d'hôte laissées par les installateurs : un fichier, ou un dossier, du nom de la machine",
        "autorite": "clé publique de l'autorité SSH qui a signé des certificats d'hôte (ssh_host_ed25519_key-cert.pub)",
        "oui": "les ajoute à known_hosts ; sans elle, la commande montre seulement ce qu'elle ajouterait",
    },
)
def machine_keys(context: Context, dossier: str, autorite: str = "", oui: bool = False) -> None:
    """Ajoute à known_hosts les clés d'hôte de nombreuses machines, chacune à la sienne."""
    known = host_keys.machines(drill.read_inventory(TOP, common.inventory_dir()))
    signer = host_keys.authority(Path(autorite).expanduser()) if autorite else b""
    file = common.home() / "ssh" / "known_hosts"
    found = host_keys.plan(Path(dossier).expanduser(), known, file, signer, words.now())
    print("\n".join(found.lines()))
    if found.writes and not oui:
        print("Rien n'est écrit. À faire : relisez, puis la même commande avec --oui.")
    elif found.writes:
        host_keys.carry_out(found, file)
        print(f"{len(found.writes)} ajoutées à {file}. Puis : fab inventaire.controle")
    if found.left:
        raise Exit(f"{len(found.left)} à corriger, dit au-dessus ; les autres ne sont pas retenues.", code=1)


def _write_model(path: Path) -> None:
    """Write the empty table; never over a file."""
    if path.suffix.lower() != ".ods":
        raise Exit(f"--modele {path} : donnez un nom qui finit par .ods.", code=2)
    common.put(str(path), importing.model(), replace=False)
    print(f"{path} est écrit : une ligne par commune, puis fab communes.importer {path}")


@task(
    "fab commune.depart gondecourt --vers /media/disque/gondecourt",
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
    departure = CommuneDeparture(_departure_order(context), commune, Path(vers), evidence_store.operator())
    try:
        facts = departure.facts()
        if facts is None:
            owner, entity = common.hosting(commune)
            common.checked([owner.slug])
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
            common.checked([])
            print("\n".join(f"- {line}" for line in departure.close(facts)))
            common.watch(context)
    except CreaticError as error:
        raise Exit(f"Départ de {commune} : {error}", code=1) from None
    if departure.unsealed:
        raise Exit(f"La preuve n'est pas signée : {departure.unsealed}.", code=1)


@task(
    "fab inventaire.controle --essayer",
    anywhere=True,
    name="controle",
    help={"essayer": "essaie aussi, d'ici : SSH des machines, leurs noms, dépôts de paquets, relais, TdT"},
)
def inventory_check(context: Context, essayer: bool = False) -> None:
    """Dit tout ce qui se sait d'avance : fichiers, variables des profils, clés SSH, fichiers fournis."""
    try:
        environment.chosen(TOP)
    except environment.MissingEnvironmentNameError as error:  # the other files have their faults too
        raise Exit(common.faults(error.folder.name, needs.unnamed(error, TOP)), code=2) from None
    except environment.InvalidEnvironmentError:
        pass  # told by what comes next
    common.chosen()
    common.checked()
    communes = common.known_communes()
    print(
        f"{len(communes)} commune{'s' if len(communes) > 1 else ''}, aucun défaut dans {common.inventory_dir().name}."
    )
    for line in fleet_unsaved.lines(fleet_unsaved.unsaved(fleet_waves.machines(communes), common.home())):
        print(f"- {line}")
    if essayer:
        _try_needs(communes)


def _try_needs(communes: list[groupement.Commune]) -> None:
    """Try from the control node what a deployment will need, and say what is not there."""
    from creatic.check import flows, outside  # Ansible's own templates: half a second

    with report_progress("réponse des machines et des sites", common.aside):
        inventory = drill.read_inventory(TOP, common.inventory_dir())
        asked = outside.trials(inventory, flows.machines(inventory, communes))
        lacks, doubts = outside.unmet(asked)
    if doubts:
        print("À vérifier, ce poste n'est peut-être pas celui qui en a besoin :")
        print("\n".join(f"- {line}" for line in doubts))
    if lacks:
        print("Ne répond pas :")
        print("\n".join(f"- {line}" for line in lacks))
        raise Exit(f"{len(asked)} essais : ceux-là manqueraient au déploiement.", code=1)
    print(f"{len(asked)} essais : " + ("tout le reste répond." if doubts else "tout répond."))


def _rollout_limit(wanted: list[str], pattern: str, maybe: bool) -> str:
    """The limit of a rollout: machines of the communes, and the servers where these have, or had, their place.

    Args:
        wanted: communes; none for all of them.
        pattern: of hosts; empty for all.
        maybe: it may aim at nothing, and is then empty.
    """
    communes = [commune for commune in common.known_communes() if not wanted or commune.slug in wanted]
    known = evidence_store.last_json(evidence_store.runs(common.home() / "evidence"), "etat.json") or {}
    services = {
        one.slug: evidence.leaving_of([*wiring.commune_servers({}, one.data["services"])], known.get(one.slug, {}))
        for one in communes
    }
    machines = aim.matching(common.inventory_dir(), TOP, pattern) if pattern else None
    found = aim.limit(communes, needs.servers(common.inventory_dir(), TOP), services, machines)
    if not found and maybe:
        return ""
    if not found and not pattern:
        raise Exit(f"{', '.join(wanted)} : aucune machine n'est décrite (communes/).", code=2)
    if not found:
        raise Exit(f"--limite {pattern} : aucune machine de ces communes n'est visée.", code=2)
    return found


def _outgoing_communes(wanted: list[str], limit: str) -> list[str]:
    """The communes of a rollout whose machines nobody reaches.

    Args:
        wanted: those asked for; none for all of them.
        limit: pattern of hosts; those of which it takes no machine are left out.
    """
    outgoing = [one for one in common.known_communes() if one.outgoing and (not wanted or one.slug in wanted)]
    if not outgoing:
        return []
    taken = {*aim.matching(common.inventory_dir(), TOP, limit)} if limit else set()
    shown = [one.slug for one in outgoing if not limit or any(host.name in taken for host in one.hosts())]
    if shown:
        common.aside(
            f"{common.left_out(shown)} Rien n'est déployé d'ici chez elles (fab flotte.publier) : leur place est faite "
            "sur les serveurs, ce qu'elles prouvent est lu."
        )
    return shown


def _outgoing_readiness(slugs: list[str]) -> bool:
    """Show what the last reports of outgoing communes prove; tells whether all of them are ready."""
    try:
        with report_progress("réponse du guichet", common.aside):
            reports, _states = common.outgoing_proofs(common.fleet().status()[1], slugs)
    except CreaticError as error:
        common.aside(f"Accès sortant : {error}")
        return False
    mine = {slug: reports[slug] for slug in slugs if slug in reports}
    shown = follow.table(mine, 160 if not sys.stdout.isatty() else Console().width, sys.stdout.isatty())
    sys.stdout.write(f"{shown}\n")  # its colours are our own, its cells harmless
    return all(one["prete"] for one in mine.values())


def _departure_order(context: Context) -> Order:
    """What a departure works with."""
    return Order(
        common.home(),
        common.inventory_dir(),
        common.chosen().name,
        needs.servers(common.inventory_dir(), TOP),
        functools.partial(common.playbook, context),
        functools.partial(common.quietly, context, "réponse des applications"),
    )


@task(
    "fab agent.depart gondecourt paul.renard --oui",
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
    commune = common.hosting(commune)[0].slug  # people are those of its file
    common.checked([commune])
    try:
        departure = Departure(_departure_order(context), common.known_communes(), commune, agent)
        print("\n".join(departure.lines()) + "\n")
        if departure.over:
            print(f"Déjà parti, il n'y a plus rien à faire. Preuve : {departure.over / 'rapport.html'}")
            return
        if not oui:
            print("Rien n'est changé. À faire : le fichier de la commune d'abord, puis la même commande avec --oui.")
            return
        done, folder, unsealed = departure.perform(evidence_store.operator())
    except CreaticError as error:
        raise Exit(f"Départ : {error}.", code=1) from None
    common.seal_access()
    print("\n".join(f"- {line}" for line in done))
    print(f"Preuve : {folder / 'rapport.html'}")
    if unsealed:
        raise Exit(f"La preuve n'est pas signée : {unsealed}.", code=1)


@task(
    "fab commune.deployer gondecourt loos --limite vague_2",
    help={
        "communes": "noms courts, ceux de leurs fichiers ; ou « toutes »",
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
    wanted = common.wanted(communes, "toutes")
    common.check_communes(wanted)
    common.unlock()
    if par:
        _roll_out_in_waves(context, wanted, limite, par, canari, excuser, recommencer)
        return
    if canari or excuser or recommencer:
        raise Exit(
            "--canari, --excuser et --recommencer vont avec --par. À faire : --par territoire, taille ou vague.", code=2
        )
    outgoing = _outgoing_communes(wanted, limite)
    aimed = _rollout_limit(wanted, limite, bool(outgoing)) if wanted or limite or outgoing else ""
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
    asked = [one for one in common.known_communes() if not wanted or one.slug in wanted]
    first, let = (_named_communes(text, option) for text, option in ((canary, "--canari"), (excused, "--excuser")))
    common.refuse_entities([*first, *let])
    try:
        taken = {*aim.matching(common.inventory_dir(), TOP, limit)} if limit else set()
        mine = [one for one in asked if not limit or any(host.name in taken for host in one.hosts())]
        if outgoing := [one.slug for one in mine if one.outgoing]:
            common.aside(f"{common.left_out(outgoing)} Leurs vagues sont celles de fab flotte.publier.")
        mine = [one for one in mine if not one.outgoing]
        pushed = common.pushed()
        with pushed.hold_lock():
            cut = fleet_pushed.split(mine, by, first or pushed.canary([one.slug for one in mine]), let)
            record, said = pushed.begin(by, cut, let, again)
            print(said, flush=True)
            for rank, wave in enumerate(record["vagues"], 1):
                if slugs := pushed.remaining_communes(record, wave):
                    pushed.open(record, wave)
                    print(f"Vague {rank} sur {len(cut)}, {wave['nom']} : {', '.join(slugs)}", flush=True)
                    done, problems = _roll_out(context, slugs, [], _rollout_limit(slugs, limit, False))
                    print("".join(f"- {one}\n" for one in problems), end="")
                    if held := fleet_pushed.holding(done, problems, record["excuses"]):
                        pushed.stop(record, wave, slugs, held if problems else [])
                        raise Exit(_wave_held(wave["nom"], record["vagues"][rank:]), code=1)
    except (aim.AimError, FleetError) as error:
        raise Exit(str(error), code=2) from None
    except evidence_store.AlreadyLockedError as error:
        raise Exit(f"{error}. Rien n'est fait. À faire : attendez sa fin, puis relancez.", code=1) from None


def _named_communes(text: str, option: str) -> list[str]:
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
    common.checked(wanted or [commune.slug for commune in common.known_communes()])
    arguments = ["--limit", aimed] if aimed else []
    if outgoing:
        every = outgoing == common.outgoing_communes()
        groups = [groupement.OUTGOING] if every else [wiring.commune_group(slug) for slug in outgoing]
        arguments += common.variables(places_sortantes=groups)
    run_id = evidence_store.reserve_run_id(common.home() / "verrous")
    # The compact French progress alone; « ansible-playbook playbooks/journeys/rollout.yml » shows every task.
    output = {"CREATIC_ROLLOUT_ID": run_id, "ANSIBLE_STDOUT_CALLBACK": "cdg59.creatic.rollout"}
    output["CREATIC_ROLLOUT_CONTENT"] = fleet_bundle.digest(TOP, common.inventory_dir())
    with tempfile.TemporaryDirectory() as folder:  # closed to other accounts
        with report_progress("réponse de la porte d'enrôlement", common.aside):
            seen = common.seen_pcs(one for one in common.known_communes() if not wanted or one.slug in wanted)
        output[poste_seen.VARIABLE] = str(Path(folder) / "postes.json")
        poste_seen.write(Path(output[poste_seen.VARIABLE]), seen)
        done = common.playbook(context, "journeys/rollout.yml", *arguments, env=output)
    common.watch(context)
    evidence = common.home() / "evidence"
    reported = [path.parent.name for path in (evidence / run_id).glob("*/preuve.json")]
    reached = [slug for slug in wanted or reported if slug not in outgoing]
    return done and bool(reported), follow.readiness(evidence, run_id, reached)


def _open_enrolment() -> poste_enrolment.Enrolment:
    """The enrolment of the PCs of this environment."""
    known = poste_places.places(common.known_communes())
    door, authority = poste_door.Door(TOP, common.inventory_dir()), Authority(common.home() / "pki")
    return poste_enrolment.Enrolment(common.home(), known, authority, door, evidence_store.operator(), words.now)


@task(
    "fab poste.certifier gondecourt-pc-secretariat --attendre",
    name="certifier",
    positional=["nom"],
    help={
        "nom": "le poste ; sans lui, tous ceux qui ont fait une demande",
        "attendre": "attend, une demi-heure au plus, que les jetons encore bons aient servi",
    },
)
def poste_certify(context: Context, nom: str = "", attendre: bool = False) -> None:
    """Signe ce que les postes ont demandé avec leur jeton, et dit les mésusages que la porte a refusés."""
    common.must_have("guichet")
    common.unlock()
    enrolment, faults, end = _open_enrolment(), list[str](), time.monotonic() + WAITS_S
    while True:
        with report_progress("réponse de la porte d'enrôlement", common.aside):
            outcome = enrolment.certify(nom)
        print("".join(f"{line}\n" for line in [*outcome.lines, *outcome.faults, *outcome.misuses]), end="", flush=True)
        faults += outcome.faults
        if not attendre or not outcome.awaited or time.monotonic() > end:
            break
        time.sleep(_BETWEEN_S)
    if outcome.awaited:
        print("N'ont encore rien demandé : " + ", ".join(outcome.awaited) + ".")
    elif not outcome.lines and not faults and not outcome.misuses:
        print("Aucune demande n'attend.")
    if faults or (attendre and outcome.awaited):
        raise Exit("Tout n'est pas certifié : la raison est affichée au-dessus.", code=1)


def _refused_by_tdt(accepted: list[str], name: str, known: list[groupement.Commune]) -> tuple[str, str] | None:
    """Why no certificate of a PC would serve at the TdT, and what to do; None where one does, or it does not say."""
    [(commune, host)] = [
        ({**one.data, "slug": one.slug}, host) for one in known for host in one.pcs() if host.name == name
    ]
    home, certificates = common.home(), host.variables["creatic_poste"]["certificats"]
    return tdt.problem(accepted, certificates, commune, home / "pki/publie/ca.pem", home / "secrets")


@task(
    "fab poste.installeur gondecourt-pc-secretariat --vers ~/installeurs",
    name="installeur",
    positional=["postes"],
    help={
        "postes": "postes, comme les nomme l'inventaire, ou communes, pour tous les leurs ; ou « tous »",
        "vers": "dossier où poser les installateurs, et la fiche de chacun",
    },
)
def poste_installer(context: Context, postes: str, vers: str) -> None:
    """Fait l'installateur signé de chaque poste, et la fiche de qui le porte ; son jeton sert une fois, 14 jours."""
    common.must_have("guichet")
    known, folder = common.known_communes(), Path(vers).expanduser().absolute()
    hosts = {host.name: (one.slug, host) for one in known for host in one.pcs()}
    asked = common.wanted(postes, "tous") or [*hosts]
    if not asked:
        raise Exit("Aucun poste n'est décrit (communes/, postes) : rien n'est fait.", code=2)
    wanted = [name for one in asked for name, (slug, _) in hosts.items() if one in (name, slug)]
    if strangers := [one for one in asked if not any(one in (name, slug) for name, (slug, _) in hosts.items())]:
        raise Exit(
            f"Ni poste, ni commune qui en ait : {', '.join(strangers)}. Connus : {', '.join(sorted(hosts)) or 'aucun'}",
            2,
        )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Exit(f"{folder} ne peut pas être fait ({reason(error)}). À faire : un dossier à vous.", code=2) from None
    systems = {name: str(hosts[name][1].variables["creatic_poste"]["systeme"]) for name in wanted}
    poste_program.need(systems.values())
    common.unlock()
    variables, authority = drill.read_inventory(TOP, common.inventory_dir()), Authority(common.home() / "pki")
    maker = poste_maker.Maker(common.home(), authority, follow.code_version(TOP))
    enrolment, places, faults = _open_enrolment(), poste_places.places(known), list[str]()
    accepts = functools.cache(tdt.authorities)
    for name in dict.fromkeys(wanted):
        try:
            with report_progress("construction du programme", common.aside):
                maker.ready(systems[name])  # before a token takes the place of the one before
            given = poste_settings.describe_pc(name, known, variables, authority)
            if problem := _refused_by_tdt(accepts(given["tdt"]), name, known):
                faults.append(f"{name} : {problem[0]}. À faire : {problem[1]}.")
                continue
            with report_progress("réponse de la porte d'enrôlement", common.aside):
                token = enrolment.token(name) if places[name].requests else None
            path = maker.make(given, systems[name], token, folder, words.now())
        except CreaticError as error:
            faults.append(f"{name} : {error}.")
            continue
        until = f" Il sert une fois, sur ce poste, jusqu'au {common.local(token[1].isoformat())}." if token else ""
        print(f"{path} est écrit, et sa fiche {path.with_suffix('.html').name} à côté.{until}")
    if len(faults) < len(wanted):
        print("À faire : portez-les sur leur poste, la fiche dit comment ; puis : fab poste.certifier --attendre")
    if faults:
        raise Exit("\n".join(faults), code=1)
