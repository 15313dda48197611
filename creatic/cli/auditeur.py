# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Commands of auditors: audits, evidence, documents."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ansible_collections.cdg59.creatic.plugins.module_utils import words
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from invoke import Context

from creatic.audit import asked, controls, trend
from creatic.audit import run as audit_run
from creatic.audit import store as audit_store
from creatic.audit.sources import NON_CONFORME
from creatic.backup import drill as backup_drill
from creatic.check import needs
from creatic.cli import common
from creatic.cli.common import TOP, Exit, print, task
from creatic.documents import commune as commune_page
from creatic.documents import produce, supports
from creatic.documents.settings import Settings
from creatic.evidence import store as evidence_store
from creatic.evidence.seal import Verification
from creatic.fleet import carried
from creatic.fleet.assemble import Door as FleetDoor
from creatic.patience import report_progress
from creatic.postes import door as poste_door
from creatic.postes import facts as poste_facts
from creatic.registry import entities
from creatic.supervision import journals
from creatic.terminal import Grid
from creatic_agent import law

_ALL = "toutes"
_VERIFY_HELP = {
    "dossier": "dossier ou archive de preuves ; « tous » : ceux de ce poste de commande, et leur chaînage",
    "racine": "certificat racine reçu par un autre canal ; par défaut celui de ce poste de commande",
}


def _fetch_releves(names: Sequence[str]) -> Iterator[tuple[str, bytes | None]]:
    """Bring the relevés that the door carries, once the host keys that machines signed are kept."""
    common.fleet().status()
    return carried.brought(names, FleetDoor(TOP, common.inventory_dir()).releves)


def _fetch_pc_facts() -> Iterator[tuple[str, bytes]]:
    """Bring what clerks' PCs said of themselves to the enrolment door; nothing where there is none."""
    if "guichet" in needs.servers(common.inventory_dir(), TOP).values():
        yield from poste_facts.brought(poste_door.Door(TOP, common.inventory_dir()).facts)


def _verify_records(dossier: str, racine: str, everything: Callable[[Path], dict[str, Verification]]) -> None:
    """Check one folder, or everything, and say what is wrong."""
    root = Path(racine) if racine else evidence_store.seal_keys(common.home()).root
    try:
        one = {Path(dossier).name: evidence_store.verify_one(Path(dossier), root)} if dossier != "tous" else {}
        results = one or everything(root)
    except evidence_store.EvidenceError as error:
        raise Exit(str(error), code=2) from None
    print(
        "\n".join(evidence_store.verification_lines(results)) or "Aucune preuve pour l'instant : fab commune.deployer"
    )
    if not all(result.intact for result in results.values()):
        raise Exit("Des preuves ont été modifiées ou ne sont pas scellées.", code=1)
    print("".join(f"  signé par {result.signer}\n" for result in one.values()), end="")


@task(
    "fab documents --seul politique-archivage",
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
    if commune and commune not in entities.hosts((one.slug, one.data) for one in common.known_communes()):
        common.check_communes([commune])  # an entity is a public body of its own, and has documents of its own
    try:
        known = backup_drill.read_inventory(TOP, common.inventory_dir())
        now = dt.datetime.now().astimezone()
        order = produce.Order(
            TOP,
            common.home(),
            common.chosen().name,
            known,
            common.known_communes(),
            commune,
            now,
            only=seul or (),
            year=int(annee or 0),
        )
        with report_progress("rédaction des documents"):
            folder, written, unsealed = order.produce()
    except CreaticError as error:
        raise Exit(f"Documents refusés : {error}", code=2) from None
    table = Grid("Document", *(state.capitalize() for state in supports.STATES), "À compléter")
    for one in written:
        table.add(one.name, *(str(one.states[state]) for state in supports.STATES), str(len(one.missing)))
    table.show()
    if ignored := order.ignored():
        common.aside("\n".join(["Laissé à compléter :", *ignored]))
    print(f"Dossier : {folder} (PDF et Word). Complétez et signez une copie : ce dossier est une preuve.")
    if unsealed:
        raise Exit(f"Il n'est pas signé : {unsealed}.", code=1)


@task(
    "fab droit ccas",
    anywhere=True,
    reads=True,
    help={"genre": f"{', '.join(law.KINDS)} ; sans lui, un résumé de tous"},
)
def droit(context: Context, genre: str = "") -> None:
    """Montre ce que la loi demande à chaque sorte d'organisme, article par article, et ce qui reste à vérifier."""
    if not genre:
        names = ("notice", "urgency", "quorum", "publicity")
        table = Grid("Genre", "Organisme", *law.labels(*names), overflow="fold")
        for body in law.TABLE:
            cells = (getattr(body, name) for name in names)
            table.add(body.kind, body.label, *(f"{one.said} ({one.source}){law.doubt(one)}" for one in cells))
        table.show()
        return
    if not (found := law.rows(genre)):
        raise Exit(f"Genre d'organisme inconnu : « {genre} ». Connus : {', '.join(law.KINDS)}.", code=2)
    table = Grid("Règle", "Ce que dit la loi", "Article", "Lecture", overflow="fold")
    for label, rule in law.told(found):
        table.add(label, rule.said, rule.source, rule.standing)
    print(" ; ".join(body.label for body in found))
    table.show()
    print(f"Lecture : {' ; '.join(f'« {one} », {said}' for one, said in law.MEANINGS.items())}.")


@task(
    "fab preuves.verifier --journaux",
    reads=True,
    name="verifier",
    help=_VERIFY_HELP
    | {"journaux": "fait aussi relire au collecteur tous les journaux qu'il garde, et les compare aux sceaux"},
)
def evidence_verify(context: Context, dossier: str = "tous", racine: str = "", journaux: bool = False) -> None:
    """Vérifie les preuves : empreintes, signatures, horodatages, chaînage."""
    if journaux:
        try:
            told = journals.differences(common.home(), common.on_supervision(context, [journals.PROGRAM, "verifier"]))
        except journals.JournalError as error:
            raise Exit(str(error), code=2) from None
        print("\n".join(f"✗ journaux/{one}" for one in told) or "✓ journaux du collecteur : tels que scellés")
        if told:
            raise Exit("Des journaux ne sont plus tels qu'ils ont été scellés.", code=1)
    _verify_records(dossier, racine, lambda root: evidence_store.verify_home(common.home(), root))


@task(
    "fab audit --limite commune_gondecourt",
    name="lancer",
    help={
        "limite": "motif d'hôtes Ansible pour restreindre, comme commune_gondecourt ou tdt_connector",
        "niveau": "juge toutes les machines à ce niveau (minimal, intermediary, enhanced ou high), vues d'ici",
        "profils": "recette : chaque machine est regardée d'ici, et les essais de son profil passés",
    },
)
def audit(context: Context, limite: str = "", niveau: str = "", profils: bool = False) -> None:
    """Constate l'état des machines sans rien y changer, et scelle le dossier d'audit."""
    catalogue = TOP / "roles" / "hardening" / "files" / "controls.yml"
    site = common.inventory_dir() / "derogations.yml"
    start = time.monotonic()
    try:
        audit_run.check_level(niveau)
        audit_run.check_limit(TOP, common.inventory_dir(), limite)
        acceptance = profils or bool(niveau)  # agents judge at the inventory's level
        if acceptance and common.outgoing_communes():
            limite = common.without_outgoing(limite or audit_run.EVERYTHING)
        order = audit_run.Order(
            top=TOP,
            inventory=common.inventory_dir(),
            home=common.home(),
            limit=limite,
            level=niveau,
            catalogue=controls.load(catalogue, dt.datetime.now(dt.UTC).date(), site),
            sources=[path for path in (catalogue, site) if path.is_file()],
            acceptance=acceptance,
            carried=_fetch_releves,
            facts=_fetch_pc_facts,
            keys=common.home() / "flotte" / carried.HOSTS,
        )
        results, folder = audit_run.Audit(order).perform()
    except CreaticError as error:
        raise Exit(f"L'audit est refusé : {error}", code=2) from None
    except KeyboardInterrupt:
        raise Exit(
            "Audit interrompu : rien n'était constaté, ou c'était le scellement ; rien n'est gardé.", code=130
        ) from None
    print("\n" + "\n".join(audit_run.synthesis(results, time.monotonic() - start)))
    print(f"Rapport    : {folder / audit_store.REPORT}\nDossier    : {folder}.tar.gz")
    if results["interrompu"]:
        raise Exit("Audit interrompu : ce qui manque est nommé ci-dessus.", code=130)
    if not results["verdict"]["conforme"]:
        raise Exit(code=1)


@task(
    "fab audit.montrer --controle R33",
    name="montrer",
    reads=True,
    help={
        "machine": "une machine, contrôle par contrôle",
        "commune": "les machines d'une commune",
        "niveau": "les machines d'un niveau : minimal, intermediary, enhanced ou high",
        "controle": "un contrôle, comme R33, sur toutes les machines à qui il est demandé",
    },
)
def audit_show(context: Context, machine: str = "", commune: str = "", niveau: str = "", controle: str = "") -> None:
    """Montre ce que le dernier audit dit d'une machine, d'une commune, d'un niveau ou d'un contrôle."""
    results = audit_store.previous_results(common.home())
    if results is None:
        raise Exit("Aucun audit entier sur ce poste de commande : « fab audit » en fait un.", code=2)
    try:
        titles, rows = asked.answer(results, asked.Question(machine, commune, niveau, controle))
    except CreaticError as error:
        raise Exit(str(error), code=2) from None
    if not rows:
        raise Exit("Aucune machine de cet audit n'est à la fois tout ce qui est demandé.", code=1)
    table = Grid(*titles)
    for row in rows:
        table.add(*row)
    table.show()
    print(f"{words.count(len(rows), 'ligne')}, de l'audit {results['audit']} ({results['perimetre']}).")


@task(
    "fab audit.tendance --page tendance.html --fichier tendance.ods",
    name="tendance",
    reads=True,
    help={
        "page": "l'écrit là, en une page à lire (HTML)",
        "fichier": "l'écrit là, en un tableau à trier (ODS)",
    },
)
def audit_trend(context: Context, page: str = "", fichier: str = "") -> None:
    """Montre la part des contrôles conformes, par territoire et par mois, d'après tous les audits gardés ici."""
    for option, path, suffix in (("--page", page, ".html"), ("--fichier", fichier, ".ods")):
        if path and Path(path).suffix.lower() != suffix:
            raise Exit(f"{option} {path} : donnez un nom qui finit par {suffix}.", code=2)
    try:
        found, drawn, sheet = trend.draw(common.home(), common.chosen().name)
    except CreaticError as error:
        raise Exit(f"{error}.", code=2) from None
    for path, content in ((page, drawn.encode()), (fichier, sheet)):
        if not path:
            continue
        common.put(path, content)
        print(f"{path} : {words.count(len({cell.territory for cell in found}), 'territoire')}.")
    if not page and not fichier:
        table = Grid("Territoire", "Mois", "Machines", "Part conforme", "Non conformes", "En dérive")
        for cell in found:
            share = "—" if cell.share is None else f"{cell.share:g} %".replace(".", ",")
            bad = str(cell.verdicts.get(NON_CONFORME, 0))
            table.add(cell.territory, cell.month, str(cell.machines), share, bad, str(cell.drifted))
        table.show()


@task("fab audit.verifier tous", name="verifier", anywhere=True, help=_VERIFY_HELP)
def audit_verify(context: Context, dossier: str, racine: str = "") -> None:
    """Vérifie un dossier d'audit, ou tous : empreintes, signature, horodatage."""
    if dossier == "tous" and not evidence_store.runs(common.home() / "audits"):
        raise Exit("Aucun audit sur ce poste de commande : « fab audit » en fait un.", code=2)
    _verify_records(dossier, racine, lambda root: evidence_store.verify_all(common.home() / "audits", root))


@task(
    "fab audit.commune gondecourt",
    name="commune",
    help={"commune": f"nom de son fichier ; « {_ALL} » : chacune la sienne"},
)
def audit_commune(context: Context, commune: str) -> None:
    """Écrit pour un maire ce qui protège sa commune, d'après le dernier audit, et ce qu'elle a à faire elle-même."""
    wanted = common.known_communes()
    if commune != _ALL:
        common.check_communes([commune])
        wanted = [one for one in wanted if one.slug == commune]
    try:
        settings = Settings(TOP, backup_drill.read_inventory(TOP, common.inventory_dir()))
    except CreaticError as error:
        raise Exit(f"Page refusée : {error}", code=2) from None
    refused = unsealed = 0
    for one in wanted:
        order = commune_page.Order(common.home(), common.chosen().name, settings, one, dt.datetime.now().astimezone())
        try:
            with report_progress(f"rédaction de la page de {one.slug}"):
                folder, missing, why = order.produce()
        except CreaticError as error:
            common.aside(f"{one.slug}, page refusée : {error}")
            refused += 1
            continue
        if missing:
            common.aside("\n".join([f"Laissé à compléter sur la page de {one.slug} :", *missing]))
        print(f"Page de {one.slug} : {folder / 'rapport.html'} (et rapport.pdf, à imprimer)")
        if why:
            common.aside(f"Elle n'est pas signée : {why}.")
            unsealed += 1
    if refused or unsealed:
        told = f"Pages refusées : {refused} ; sans signature : {unsealed} ; communes : {len(wanted)}."
        raise Exit(told, code=2 if refused else 1)
