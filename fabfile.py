"""The commands of the groupement (``fab --list``): thin doors to the playbooks and to the collection's Python.

What is printed is French; every task exits non-zero when what it was asked for is not done.
``CREATIC_INVENTORY`` chooses the inventory (default: the lab), ``CREATIC_HOME`` the control node's state.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import yaml
from invoke import Collection, Context, Exit, task
from rich import box
from rich.console import Console
from rich.table import Table

TOP = Path(__file__).parent
sys.path.insert(0, str(TOP / "collections"))
os.environ["PATH"] = f"{TOP / '.venv' / 'bin'}:{os.environ['PATH']}"
LAB = TOP / "inventories" / "lab"
INVENTORY = TOP / os.environ.get("CREATIC_INVENTORY", "inventories/lab")

from ansible_collections.cdg59.creatic.plugins.module_utils import evidence_store, groupement  # noqa: E402 - path above
from ansible_collections.cdg59.creatic.plugins.module_utils.lab import Lab  # noqa: E402 - same
from ansible_collections.cdg59.creatic.plugins.module_utils.pki import Authority  # noqa: E402 - same
from ansible_collections.cdg59.creatic.plugins.module_utils.pki_common import PkiError  # noqa: E402 - same


def _home() -> Path:
    """State of the control node for the inventory, as its group_vars/all.yml computes it."""
    variables = yaml.safe_load((INVENTORY / "group_vars" / "all.yml").read_text())
    return Path(os.environ.get("CREATIC_HOME") or "~/.local/share/creatic").expanduser() / variables["creatic_env"]


def _communes() -> list[groupement.Commune]:
    try:
        return groupement.load(INVENTORY)
    except groupement.GroupementError as error:
        raise Exit(str(error), code=1) from None


def _playbook(
    context: Context, name: str, *arguments: str, inventory: Path = INVENTORY, env: dict[str, str] | None = None
) -> bool:
    command = ["ansible-playbook", "-i", str(inventory), f"playbooks/{name}", *arguments]
    with context.cd(str(TOP)):
        done = context.run(shlex.join(command), pty=sys.stdout.isatty(), warn=True, env=env)
    return bool(done)


def _must(done: bool, what: str) -> None:
    if not done:
        raise Exit(f"{what} : échec, la raison est affichée au-dessus.", code=1)


@task(name="up")
def lab_up(context: Context) -> None:
    """Démarre le banc d'essai (machines Debian 13, réseau, accès SSH)."""
    _must(_playbook(context, "lab/create.yml", inventory=LAB), "Banc d'essai")


@task(name="down")
def lab_down(context: Context) -> None:
    """Arrête le banc d'essai et ne laisse rien derrière lui."""
    _must(_playbook(context, "lab/destroy.yml", inventory=LAB), "Banc d'essai")


@task(name="status")
def lab_status(context: Context) -> None:
    """Montre les machines du banc d'essai."""
    machines = Lab("10.59.0.0/16", [], "creatic", TOP).containers()
    if not machines:
        print("Le banc d'essai est arrêté : « fab lab.up » le démarre.")
    for name, machine in sorted(machines.items()):
        print(f"{name.removeprefix('creatic-'):36} {'en marche' if machine['State'] == 'running' else 'arrêtée'}")


@task(
    name="new",
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
    agents: int,
    territoire: str,
    nom: str = "",
    insee: str = "",
    vague: int = 1,
    services: str = "teletransmission",
    poste: list[str] | None = None,
    connecteur: str = "",
) -> None:
    """Écrit le fichier d'une nouvelle commune, vérifié."""
    try:
        target = groupement.new_commune(
            INVENTORY,
            slug,
            siren=siren,
            agents=int(agents),
            territoire=territoire,
            nom=nom or None,
            insee=insee or None,
            vague=int(vague),
            services=[name.strip() for name in services.split(",")],
            postes=poste or ["pc-mairie"],
            connecteur=connecteur or None,
        )
    except groupement.GroupementError as error:
        raise Exit(str(error), code=1) from None
    except ValueError as error:
        raise Exit(f"« agents » et « vague » sont des nombres entiers : {error}", code=1) from None
    print(f"{target} est écrit. Relisez-le, puis : fab rollout {slug}")


@task(name="check")
def commune_check(context: Context) -> None:
    """Vérifie les fichiers de toutes les communes."""
    print(f"{len(_communes())} communes, aucun défaut.")


@task(
    help={
        "communes": "slugs séparés par des virgules, ou « toutes »",
        "limit": "motif d'hôtes Ansible pour restreindre, comme vague_2 ou territoire_lille",
    },
)
def rollout(context: Context, communes: str, limit: str = "") -> None:
    """Déploie des communes jusqu'à la preuve : un acte transmis, l'ARActe reçu."""
    known = {commune.slug: commune for commune in _communes()}
    wanted = [] if communes == "toutes" else [slug.strip() for slug in communes.split(",") if slug.strip()]
    unknown = [slug for slug in wanted if slug not in known]
    if unknown:
        raise Exit(f"Commune inconnue : {', '.join(unknown)}. Connues : {', '.join(sorted(known))}", code=2)
    patterns = [",".join(f"commune_{slug.replace('-', '_')}" for slug in wanted), limit and f"&{limit}"]
    arguments = ["--limit", ",".join(filter(None, patterns)).removeprefix("&")] if any(patterns) else []
    run_id = evidence_store.new_run_id()
    # The compact French progress alone; « ansible-playbook playbooks/journeys/rollout.yml » shows every task.
    output = {"CREATIC_ROLLOUT_ID": run_id, "ANSIBLE_STDOUT_CALLBACK": "cdg59.creatic.rollout"}
    done = _playbook(context, "journeys/rollout.yml", *arguments, env=output)
    evidence = _home() / "evidence"
    reported = [path.parent.name for path in (evidence / run_id).glob("*/preuve.json")]
    problems = evidence_store.readiness(evidence, run_id, wanted or reported)
    for problem in problems:
        print(f"- {problem}")
    if not done or problems or not reported:
        raise Exit("Toutes les communes ne sont pas prêtes : corrigez puis relancez, le déploiement reprend.", code=1)


@task(name="verify")
def evidence_verify(context: Context) -> None:
    """Vérifie toutes les preuves : empreintes, signatures, horodatages, chaînage."""
    home = _home()
    results = evidence_store.verify_all(home / "evidence", evidence_store.seal_keys(home).root)
    print("\n".join(evidence_store.verification_lines(results)) or "Aucune preuve pour l'instant : fab rollout")
    if not all(result.intact for result in results.values()):
        raise Exit("Des preuves ont été modifiées ou ne sont pas scellées.", code=1)


@task(name="list", help={"jours": "seulement ceux qui expirent dans ce délai", "statut": "valide, revoque…"})
def pki_list(context: Context, jours: int = 0, statut: str = "") -> None:
    """Montre le registre des certificats."""
    try:
        rows = Authority(_home() / "pki").listing(within=int(jours) or None, status=statut)
    except PkiError as error:
        raise Exit(str(error), code=1) from None
    table = Table(box=box.SIMPLE, header_style="bold")
    for title in ("Titulaire", "Machine", "Profil", "Expire le", "Jours", "Statut", "Numéro"):
        table.add_column(title, justify="right" if title == "Jours" else "left", no_wrap=True)
    for row in rows:
        shown = (row["titulaire"], row["hote"], row["profil"], row["fin"][:10], str(row["jours"]), row["statut"])
        table.add_row(*shown, row["serie"])
    Console(width=160).print(table)  # serial numbers are copied: never folded


@task(name="verify")
def pki_verify(context: Context) -> None:
    """Vérifie le registre, les clés et les listes de révocation."""
    problems = Authority(_home() / "pki").verify()
    print("\n".join(f"- {problem}" for problem in problems) or "Autorité de certification : aucun défaut.")
    if problems:
        raise Exit("L'autorité de certification a des défauts.", code=1)


@task(name="rotate", help={"jours": "renouvelle ce qui expire dans ce délai"})
def pki_rotate(context: Context, jours: int = 30) -> None:
    """Renouvelle les certificats qui expirent bientôt."""
    _must(_playbook(context, "journeys/rotate_certificates.yml", "-e", f"jours={int(jours)}"), "Renouvellement")


@task(
    name="revoke",
    help={
        "motif": "compromission, changement, remplacement, cessation, non_precise",
        "numero": "numéro de série hexadécimal",
        "hote": "tous les certificats d'un hôte",
        "commune": "tous ceux d'une commune",
    },
)
def pki_revoke(context: Context, motif: str, numero: str = "", hote: str = "", commune: str = "") -> None:
    """Révoque des certificats et publie la liste de révocation partout."""
    given = {"numero": numero, "hote": hote, "commune": commune}
    arguments = [f"{name}={value}" for name, value in given.items() if value]
    if len(arguments) != 1:
        raise Exit("Donnez une seule cible : --numero, --hote ou --commune.", code=2)
    _must(
        _playbook(context, "journeys/revoke_certificate.yml", "-e", arguments[0], "-e", f"motif={motif}"), "Révocation"
    )


namespace = Collection(rollout)
namespace.add_collection(Collection("lab", lab_up, lab_down, lab_status))
namespace.add_collection(Collection("commune", commune_new, commune_check))
namespace.add_collection(Collection("evidence", evidence_verify))
namespace.add_collection(Collection("pki", pki_list, pki_verify, pki_rotate, pki_revoke))
