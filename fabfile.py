"""The commands of the groupement (``fab --list``): thin doors to the playbooks and to the collection's Python.

What is printed is French; every task exits non-zero when what it was asked for is not done.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from invoke import Collection, Context, Exit, task

TOP = Path(__file__).parent
sys.path.insert(0, str(TOP / "collections"))
os.environ["PATH"] = f"{TOP / '.venv' / 'bin'}:{os.environ['PATH']}"
INVENTORY = os.environ.get("CREATIC_INVENTORY", "inventories/lab")


def _playbook(context: Context, name: str, *arguments: str, inventory: str = INVENTORY) -> None:
    command = ["ansible-playbook", "-i", inventory, f"playbooks/{name}", *arguments]
    with context.cd(str(TOP)):
        done = context.run(" ".join(command), pty=sys.stdout.isatty(), warn=True)
    if done is None or done.exited:
        raise Exit(f"« {name} » a échoué : la raison est affichée au-dessus.", code=1)


@task(name="up")
def lab_up(context: Context) -> None:
    """Démarre le banc d'essai (machines Debian 13, réseau, accès SSH)."""
    _playbook(context, "lab/create.yml", inventory="inventories/lab")


@task(name="down")
def lab_down(context: Context) -> None:
    """Arrête le banc d'essai et ne laisse rien derrière lui."""
    _playbook(context, "lab/destroy.yml", inventory="inventories/lab")


@task(name="status")
def lab_status(context: Context) -> None:
    """Montre les machines du banc d'essai."""
    from ansible_collections.cdg59.creatic.plugins.module_utils.lab import Lab

    machines = Lab("10.59.0.0/16", [], "creatic", TOP).containers()
    if not machines:
        print("Le banc d'essai est arrêté : « fab lab.up » le démarre.")
    for name, machine in sorted(machines.items()):
        etat = "en marche" if machine["State"] == "running" else machine["State"]
        print(f"{name.removeprefix('creatic-'):36} {etat:10} {', '.join(machine.get('Networks') or [])}")


namespace = Collection()
namespace.add_collection(Collection("lab", lab_up, lab_down, lab_status))
