# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Commands of the archives: the room, its formats, its seals, the acts that it keeps."""

from __future__ import annotations

import shlex
import tempfile
from json import dumps as to_json
from json import loads as from_json
from pathlib import Path

from ansible_collections.cdg59.creatic.plugins.module_utils import harmless
from invoke import Context

from creatic.archive import formats as archive_formats
from creatic.archive import patch as archive_patch
from creatic.check import needs
from creatic.cli import common
from creatic.cli.common import TOP, Exit, print, task
from creatic.evidence import store as evidence_store
from creatic.patience import report_progress
from creatic.registry import (
    listing,
)
from creatic.terminal import Grid


@task("fab archive.etat", reads=True, name="etat", help={"json": "écran et défauts en JSON"})
def archive_status(context: Context, json: bool = False) -> None:
    """Montre la salle d'archives : nœuds, copies, capacité, fixité, sceaux."""
    found = common.archive_room(context)
    print(to_json(found, ensure_ascii=False) if json else "\n".join(found["ecran"]))
    if found["defauts"]:
        raise Exit("", code=1)


@task("fab archive.formats", reads=True, name="formats", help={"json": "tout, en JSON"})
def archive_formats_(context: Context, json: bool = False) -> None:
    """Montre les formats des archives : combien, de qui, lesquels sont à risque et ce qui est à faire."""
    common.must_have("archive_gateway")
    table = archive_formats.read(common.inventory_dir())
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        asked = ["playbooks/journeys/archive_formats.yml", *common.variables(archive_formats_file=file.name)]
        with report_progress("réponse de la porte des archives", common.aside):
            done = common.answer(context, "ansible-playbook", *asked)
        text = Path(file.name).read_text(encoding="utf-8")
    if not text:
        common.aside(done.stdout + done.stderr)
        raise Exit("La porte des archives n'a pas pu être interrogée : la raison est affichée au-dessus.", code=2)
    found = archive_formats.judge_holdings(from_json(text), table)
    if json:
        print(to_json([one.to_dict() for one in found]))
        return
    screen_ = Grid("Risque", "Format", "Compte", "Archives", "Fichiers", "Taille", "À faire", overflow="fold")
    for one in found[: archive_formats.MAX_ROWS_SHOWN]:
        screen_.add(*archive_formats.row(one))
    screen_.show()
    if more := len(found) - screen_.count:
        print(f"Et {more} lignes de plus : fab archive.formats --json")
    print(archive_formats.headline(found))


@task(
    'fab archive.convertir --compte gondecourt --motif "formats à risque" --essai',
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
    common.must_have("archive_gateway")
    table = archive_formats.read(common.inventory_dir())
    asked = ["prevoir" if essai else "faire", f"--par={evidence_store.operator()}", f"--motif={motif}"]
    asked += [f"--format={one}" for one in archive_formats.to_convert(table)]
    asked += [*(f"--compte={one}" for one in compte), *(f"--archive={one}" for one in archive)]
    done = common.playbook(context, "journeys/archive_convert.yml", *common.variables(archive_convert=asked))
    common.must(done, "Conversion de formats")


@task(
    "fab archive.correctifs",
    name="correctifs",
    help={
        "voir": "dit si l'on pourrait, et ne fait rien",
        "redemarrer": "redémarre chaque nœud, même si rien ne le demande",
    },
)
def archive_patch_(context: Context, voir: bool = False, redemarrer: bool = False) -> None:
    """Applique les correctifs aux nœuds d'archives, un à la fois, sans arrêter les versements."""
    common.must_have("archive_node")
    common.checked([])
    if voir:
        common.must(common.playbook(context, "journeys/patch_archive.yml", "--check"), "Correctifs de la salle")
        print("Rien ne s'oppose aux correctifs ; rien n'est fait.")
        return
    home = common.home()
    command = ["ansible-playbook", "-i", str(common.inventory_dir()), "playbooks/journeys/patch_archive.yml"]
    status = archive_patch.run(
        home, [*command, *(common.variables(archive_patch_reboot=True) if redemarrer else [])], TOP
    )
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


@task("fab archive.ouvrir --machine sae2", name="ouvrir", help={"machine": "un nœud ; sans elle, tous"})
def archive_open(context: Context, machine: str = "") -> None:
    """Ouvre les disques chiffrés des nœuds d'archives qui ont démarré, avec les clés de ce poste."""
    nodes = [name for name, profile in needs.servers(common.inventory_dir(), TOP).items() if profile == "archive_node"]
    common.must_have("archive_node")
    if machine and machine not in nodes:
        raise Exit(f"Nœud d'archives inconnu : {machine}. Connus : {', '.join(sorted(nodes))}", code=2)
    aimed = ["--limit", machine or "archive_node"]
    common.must(common.playbook(context, "journeys/open_disks.yml", *aimed), "Ouverture des disques")


def _on_connector(context: Context, commune: str, *argv: str) -> bool:
    """Run a command on a commune's connector, and show what it says."""
    pattern = f"commune_{commune.replace('-', '_')}:&tdt_connector"
    with report_progress(f"« {shlex.join(argv)} » sur le connecteur de {commune}"):
        done = common.answer(context, "ansible", pattern, *common.COMMAND, listing.to_extra_vars({"argv": argv}))
    print(harmless.text(f"{done.stdout}{done.stderr}".strip()))
    return bool(done)


@task("fab archive.sceaux", name="sceaux")
def archive_seals(context: Context) -> None:
    """Scelle le journal de la salle d'archives, et en copie les sceaux ici, vérifiés."""
    common.must_have("archive_gateway")
    common.must(common.playbook(context, "journeys/archive_seals.yml"), "Copie des sceaux")


@task(
    "fab archive.reprendre",
    name="reprendre",
    iterable=["archive"],
    help={"archive": "identifiant d'une archive, à répéter ; sans elle, toutes celles qu'aucun nœud n'a plus"},
)
def archive_recover(context: Context, archive: list[str]) -> None:
    """Remet dans la salle les archives perdues, depuis leur copie sur le serveur de sauvegarde."""
    common.must_have("archive_gateway")
    arguments = common.variables(archive_reprises=archive) if archive else []
    common.must(common.playbook(context, "journeys/recover_archives.yml", *arguments), "Reprise des archives")


@task(
    "fab archive.acte gondecourt",
    name="acte",
    positional=["commune"],
    help={"commune": "nom du fichier de la commune, ou d'une entité qu'elle héberge (gondecourt-ccas)"},
)
def archive_act(context: Context, commune: str) -> None:
    """Verse les actes acquittés d'une commune, puis montre que le dernier revient octet pour octet."""
    owner, entity = common.hosting(commune)
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
    common.must(_on_connector(context, owner.slug, *program, "verser", "--tous"), "Versement")
    common.must(_on_connector(context, owner.slug, *program, "restituer", "--dernier"), "Restitution")
