# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Commands of the lab."""

from __future__ import annotations

from ansible_collections.cdg59.creatic.plugins.module_utils.lab.ground import Ground
from invoke import Context

from creatic.cli import common
from creatic.cli.common import print, task


@task("fab banc.demarrer", lab=True, name="demarrer")
def lab_up(context: Context) -> None:
    """Démarre le banc d'essai (machines Debian 13, réseau, accès SSH)."""
    common.must(common.playbook(context, "lab/create.yml"), "Banc d'essai")


@task("fab banc.arreter", lab=True, name="arreter")
def lab_down(context: Context) -> None:
    """Arrête le banc d'essai et ne laisse rien derrière lui."""
    common.must(common.playbook(context, "lab/destroy.yml"), "Banc d'essai")


@task("fab banc.etat", reads=True, lab=True, name="etat")
def lab_status(context: Context) -> None:
    """Montre les machines du banc d'essai."""
    machines = Ground().containers()
    if not machines:
        print("Le banc d'essai est arrêté : « fab banc.demarrer » le démarre.")
    for name, machine in sorted(machines.items()):
        print(f"{name.removeprefix('creatic-'):36} {'en marche' if machine['State'] == 'running' else 'arrêtée'}")
