# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Whom a rollout takes: machines of its communes, and the servers where these communes have, or had, their place."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError

from creatic.registry import profiles, wiring
from creatic.registry.groupement import Commune

_MAX_LIMIT_BYTES = 60_000  # bytes


class AimError(CreaticError, cause="visee", misuse=True):
    """What is aimed at cannot be read; the message is French."""


def parse_name_list(text: str, every: str) -> list[str]:
    """The names of a list that a person wrote, separated by commas; none for all of them.

    Args:
        text: the list.
        every: the word that stands for all of them.

    Raises:
        AimError: it names nothing: the empty variable of a shell is not taken for all of them.
    """
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise AimError(f"« {text} » ne nomme rien, rien n'est fait. À faire : des noms, ou « {every} » pour tout")
    return [] if found == [every] else found


def matching(directory: Path, top: Path, pattern: str) -> list[str]:
    """Machines that a pattern of Ansible's takes.

    Args:
        directory: inventory folder.
        top: the project.

    Raises:
        AimError: Ansible refuses the pattern, or the inventory.
    """
    command = [str(Path(sys.executable).with_name("ansible")), "-i", str(directory), "--list-hosts", "--", pattern]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(top / "ansible.cfg"), "ANSIBLE_LOCALHOST_WARNING": "false"}
    done = subprocess.run(command, cwd=top, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "sans un mot")
        raise AimError(f"--limite {pattern} : Ansible le refuse : {said}")
    return [line.strip() for line in done.stdout.splitlines()[1:]]


@contextlib.contextmanager
def shortened(arguments: Sequence[str]) -> Iterator[list[str]]:
    """Give a command line that the system takes: what follows ``--limit`` goes by a file (``@FILE``) when it is long.

    Linux takes no argument of 128 KiB (MAX_ARG_STRLEN, execve(2)), and what a shell is given is one.
    """
    given = list(arguments)
    with tempfile.TemporaryDirectory(prefix="creatic-limite-") as scratch:
        for place in [at for at, word in enumerate(given[:-1]) if word == "--limit"]:
            if len(given[place + 1].encode()) > _MAX_LIMIT_BYTES:
                file = Path(scratch, str(place))
                file.write_text("\n".join(given[place + 1].split(",")), encoding="utf-8")
                given[place + 1] = f"@{file}"
        yield given


def limit(
    communes: Sequence[Commune],
    servers: Mapping[str, str],
    leaving: Mapping[str, Iterable[str]],
    machines: Collection[str] | None = None,
) -> str:
    """The ``--limit`` of a rollout; empty when it takes no machine of a commune.

    Of a commune that nobody reaches, servers alone are asked.

    Args:
        communes: those asked for.
        servers: profile of each server of the inventory.
        leaving: by slug, places that a commune had and that its file no longer asks for (`rollout.leaving_of`).
        machines: those to which the communes' own are restricted; all of them by default.
    """
    groups: dict[str, list[str]] = {}
    for name, profile in servers.items():
        groups.setdefault(profile, []).append(name)
    own: list[str] = []
    shared: set[str] = set()
    for commune in communes:
        names = [host.name for host in commune.hosts()]
        taken = [name for name in names if machines is None or name in machines]
        if not taken and (names or machines is not None):
            continue
        if not commune.outgoing and names:
            own += [commune.group] if taken == names else taken
        for found in wiring.commune_servers(groups, commune.data["services"]).values():
            shared.update(found)
        for place in leaving.get(commune.slug, ()):
            shared.update(*(groups.get(name, ()) for name, one in profiles.load().items() if one.place == place))
    return ",".join([*own, *sorted(shared)])
