"""Lots: what another program keeps elsewhere, copied into this machine's depot piece by piece, and given back.

A role names its program (`lots`, see the role's arguments); called as root, it answers to::

    PROGRAMME preparer   the depot's lots on standard input; JSON: dossier, archives (0: nothing left), manquantes,
                         restent (archives that wait for the next lot)
    PROGRAMME faite LOT DEPOT  the depot of this identity has it
    PROGRAMME besoins DEPOT  the depot's lots on standard input; JSON: depots (archives that each must be kept for, by
                         identity), sans_copie (archives that no known depot has)
    PROGRAMME remettre   a tar of them on standard input; a line of JSON as each is done with: nom, fait (what, in
                         French; null: not done), refus (why)
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import batched
from pathlib import Path

from creatic_sauvegarde import borg
from creatic_sauvegarde.settings import BackupError, ServerUnavailableError, Settings

_MAX_NAMES_PER_COMMAND = 1000  # names of one command
BUDGET_S = 6 * 3600  # of one run; the next one goes on


def make(settings: Settings, budget: float = BUDGET_S) -> list[str]:
    """Copy what is not in the depot yet; what comes in meanwhile is the next run's. Gives what was done, in French.

    Raises:
        BackupError: the depot or a program failed; what was copied before stands.
    """
    told = []
    deadline = time.monotonic() + budget
    for program in settings.all_of("lots"):
        depot, lots = borg.depot(settings)
        count, missing = 0, dict[str, str]()
        while time.monotonic() < deadline:
            found = json.loads(_run_program(program, "preparer", text="\n".join(lots)))
            missing = found["manquantes"]
            if not found["archives"]:
                break
            name = f"{borg.LOT}{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"
            # A checkpoint is deleted afterwards, and the server takes no deletion.
            borg.run(
                settings, "create", "--compression", "zstd,3", "--checkpoint-interval", "31536000",
                "--files-cache", "disabled", f"{settings.repository}::{name}", ".", cwd=Path(found["dossier"]),
            )  # fmt: skip # one call by its parts
            _run_program(program, "faite", name, depot)
            lots.append(name)
            count += found["archives"]
            if not found["restent"]:
                break
        told.append(f"{count} archives copiées dans le dépôt")
        told += [f"{name} n'a pas pu être copiée : {why}" for name, why in sorted(missing.items())]
    return told


def declare_needs(settings: Settings) -> list[str]:
    """Tell the server, which reads nothing of a depot, the earlier ones that must stay. Gives what failed, in French.

    Until it is first told, it keeps them all; then it goes by the last word.
    """
    needed, without = Counter[str](), 0
    try:
        for program in settings.all_of("lots"):
            depot, lots = borg.depot(settings)
            found = json.loads(_run_program(program, "besoins", depot, text="\n".join(lots)))
            needed.update(found["depots"])
            without += found["sans_copie"]
        borg.declare_needs(settings, json.dumps({"depots": needed, "sans_copie": without}))
    except BackupError as error:
        return [f"le serveur n'a pas su quels dépôts doivent rester : il s'en tient à ce qu'il sait ({error})"]
    return []


def give_back(settings: Settings, names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Hand copies back to the programs that made them.

    Args:
        names: paths in the lots.

    Returns:
        What was done, and what could not be, in French.

    Raises:
        BackupError: the depot does not answer.
    """
    wanted, told, failed = dict.fromkeys(names), list[str](), dict[str, str]()
    programs = settings.all_of("lots")
    if not programs:
        raise BackupError("cette machine ne copie aucune archive dans son dépôt")
    unread = ""
    for lot in reversed(borg.lots(settings)):
        if not wanted:
            break
        where = f"{settings.repository}::{lot}"
        try:
            here = {one["path"] for one in borg.listing(settings, where) if one.get("type") == "-"}
        except BackupError as error:
            unread += f" ({lot} n'a pas pu être lu : {error})"
            continue
        for name, outcome in _hand_over(settings, programs[0], where, [one for one in wanted if one in here]).items():
            if isinstance(outcome, BackupError):
                failed[name] = str(outcome)  # an older lot may have a better one
                continue
            told.append(outcome)
            failed.pop(name, None)
            del wanted[name]
    absent = {name: f"{name} : absente du dépôt{unread}" for name in wanted}
    return told, list((absent | failed).values())


def _hand_over(settings: Settings, program: str, where: str, names: Sequence[str]) -> dict[str, str | BackupError]:
    """Hand over a lot's archives in one stream; what was done with each, or why not.

    The stream ends at the first that borg cannot read: what was not done with is sent again by halves.
    """
    found = dict[str, str | BackupError]()
    parts = deque(batched(names, _MAX_NAMES_PER_COMMAND, strict=False))
    while parts:
        part = parts.popleft()
        told, why, final = _stream_names(settings, program, where, part)
        found |= told
        left = [name for name in part if name not in told]
        if final:
            return found | dict.fromkeys([*left, *(name for part in parts for name in part)], why)
        if len(part) == 1:
            found |= dict.fromkeys(left, why)
        elif left:
            parts += batched(left, (len(left) + 1) // 2, strict=False)
    return found


def _stream_names(
    settings: Settings, program: str, where: str, names: Sequence[str]
) -> tuple[dict[str, str | BackupError], BackupError, bool]:
    """What the program did with each that came to it, why the others did not, and whether trying again is no use."""
    command = [borg.BORG, "export-tar", "--bypass-lock", where, "-", *(f"pp:{name}" for name in names)]
    with tempfile.TemporaryFile() as errors:
        with subprocess.Popen(command, env=settings.environment(), stdout=subprocess.PIPE, stderr=errors) as source:
            done = subprocess.run(
                [program, "remettre"], stdin=source.stdout, capture_output=True, text=True, check=False
            )
            if source.stdout:
                source.stdout.close()  # a program that gave up ends borg too
        errors.seek(0)
        said = errors.read().decode(errors="replace")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    told = {one["nom"]: one["fait"] or BackupError(one["refus"]) for one in lines if one["nom"] in names}
    if done.returncode:
        return told, BackupError(done.stderr.strip() or f"{program} a échoué"), True
    why = borg.explain(said) if source.returncode else BackupError(f"{where} : une archive n'en est pas sortie")
    return told, why, isinstance(why, ServerUnavailableError)


def _run_program(program: str, *arguments: str, text: str = "") -> str:
    done = subprocess.run([program, *arguments], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise BackupError(f"copie des archives : {lines[-1] if lines else f'{program} a échoué sans un mot'}")
    return done.stdout
