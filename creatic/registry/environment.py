# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The environment that commands act on: one inventory folder, chosen once, and the state that is its own.

The variable CREATIC_INVENTORY chooses it, else what `fab environnement` wrote; nothing is chosen by default. fab and
Ansible read the same choice: ``ansible.cfg`` names the inventory ``$CREATIC_INVENTORY``, which Ansible replaces by the
variable, and leaves as it is when there is none (`os.path.expandvars`): the link that `choose` makes bears that name.
"""

from __future__ import annotations

import contextlib
import errno
import getpass
import json
import os
import re
import stat
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError

from creatic.registry.checked_yaml import Problem, Source

VARIABLE = "CREATIC_INVENTORY"
LINK = f"${VARIABLE}"
LAB = "lab"  # the environment of the test bench
PIN = "environnement"
"""File of a state folder: whose state it is."""
MOVED = "demenage"
"""File of a state folder that is closed: where the control node went (creatic/backup/move.py)."""

_ENVIRONMENT_NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")  # it names a folder
_SETTINGS_FILE = "group_vars/all.yml"
_SAMPLE = f"écrivez dans {_SETTINGS_FILE} le nom de l'environnement, comme « creatic_env: production »"


class InvalidEnvironmentError(CreaticError, cause="environnement", misuse=True):
    """There is no environment to act on, or the state is another's; the message is French and says what to do."""


class MissingEnvironmentNameError(InvalidEnvironmentError, cause="reglages"):
    """The folder is an inventory, whose group_vars/all.yml does not say its name."""

    def __init__(self, folder: Path, problem: Problem) -> None:
        self.folder = folder
        self.problem = problem
        super().__init__(str(problem))


@dataclass(frozen=True)
class Environment:
    """An inventory folder that was looked at.

    Attributes:
        folder: absolute.
        shown: the same, as people write it: from the repository when it is inside.
        name: its variable creatic_env.
        origin: what chose it, in French.
    """

    folder: Path
    shown: str
    name: str
    origin: str

    def __str__(self) -> str:
        return f"Environnement : {self.name} ({self.shown})"

    @property
    def lab(self) -> bool:
        """Whether it is the test bench, whose machines the lab makes."""
        return self.name == LAB

    def home(self, variables: Mapping[str, str] = os.environ) -> Path:
        """State of the control node for this environment, as the inventory's creatic_home computes it."""
        return Path(variables.get("CREATIC_HOME") or "~/.local/share/creatic").expanduser() / self.name


def chosen(top: Path, variables: Mapping[str, str] = os.environ) -> Environment:
    """Give the environment that was chosen.

    Args:
        top: the repository; a relative choice is relative to it.
        variables: the process's environment.

    Raises:
        EnvironmentRefused: none is chosen, or what is chosen is no inventory.
    """
    given, link = variables.get(VARIABLE), top / LINK
    if given is not None:
        origin, fix = f"la variable {VARIABLE}", f"corrigez la variable {VARIABLE}, ou retirez-la (unset {VARIABLE})"
        if not given.strip():
            raise InvalidEnvironmentError(
                f"La variable {VARIABLE} est vide. À faire : {fix}. {_list_environments(top)}"
            )
        return _read_environment(top, os.path.expandvars(given), origin, fix)
    if link.is_symlink():
        fix = "choisissez-en un autre : fab environnement DOSSIER"
        return _read_environment(top, str(link.readlink()), "fab environnement", fix)
    if link.exists():
        raise InvalidEnvironmentError(f"{link} n'est pas un lien fait par fab environnement. À faire : supprimez-le.")
    raise InvalidEnvironmentError(
        "Aucun environnement n'est choisi, rien n'est lancé. À faire, une fois : fab environnement DOSSIER "
        f"(ou, pour un seul shell : export {VARIABLE}=DOSSIER). {_list_environments(top)}"
    )


def choose(top: Path, folder: str) -> Environment:
    """Write the choice, once it is known to be good.

    Args:
        top: the repository.
        folder: an inventory, relative to the repository, else to the current folder.

    Raises:
        EnvironmentRefused: it is no inventory, or the choice cannot be written; the choice before is kept.
    """
    given = Path(os.path.expanduser(folder))  # noqa: PTH111 - as Ansible: an account that is not there is left as it is
    if not os.path.lexists(top / given) and given.exists():
        given = given.absolute()
    found = _read_environment(top, str(given), "fab environnement", "donnez le dossier d'un inventaire")
    link = top / LINK
    if link.exists() and not link.is_symlink():
        raise InvalidEnvironmentError(f"{link} n'est pas un lien fait par fab environnement. À faire : supprimez-le.")
    try:
        with tempfile.TemporaryDirectory(dir=top, prefix=".choix-") as scratch:
            new = Path(scratch) / "lien"
            new.symlink_to(found.shown)
            new.replace(link)
    except OSError as error:
        raise InvalidEnvironmentError(
            f"Le choix ne peut pas être écrit dans {top}. À faire : lancez cette commande sous le compte à qui est ce "
            f"dossier, ou exportez {VARIABLE}."
        ) from error
    return found


def folder_of(sources: Iterable[str]) -> Path | None:
    """Give the inventory folder among Ansible's sources (``ansible_inventory_sources``): it holds groupement.yml."""
    for source in sources:
        path = Path(source)
        folder = path if path.is_dir() else path.parent
        if (folder / "groupement.yml").is_file():
            return folder
    return None


def claim(home: Path, name: str, folder: Path, write: bool = True) -> str:
    """Ensure that a state is of this environment alone; one that bears no name is given this one.

    Args:
        home: state folder. One that does not exist is nobody's.
        name: name of the environment.
        folder: its inventory. The name of the folder where groupement.yml really is tells apart two inventories that
            bear one environment's name.
        write: give its name to a state that bears none.

    Returns:
        What to tell people, in French: that it was given its name.

    Raises:
        EnvironmentRefused: the state is another's, or closed to this account.
    """
    pin, here, told = home / PIN, (folder / "groupement.yml").resolve().parent.name, ""
    mine = {"environnement": name, "inventaire": here}
    try:
        shut = [path for path in (home, *home.iterdir()) if path.is_dir() and not os.access(path, os.R_OK | os.X_OK)]
        if found := [path for path in shut if path.exists()]:
            raise InvalidEnvironmentError(closed(found[0]))
        if (home / MOVED).exists():
            raise InvalidEnvironmentError(_moved_folder(home / MOVED))
        if not pin.exists():
            if not write:
                return ""
            with tempfile.TemporaryDirectory(dir=home, prefix=".environnement-") as scratch:
                new = Path(scratch) / PIN
                new.write_text(json.dumps(mine, ensure_ascii=False) + "\n", encoding="utf-8")
                with contextlib.suppress(FileExistsError):  # another command, a moment ago
                    pin.hardlink_to(new)
                    told = f"{home} est désormais l'état de « {name} » (inventaire {here}), et de lui seul."
        theirs = json.loads(pin.read_text(encoding="utf-8"))
        owner, inventory = theirs["environnement"], theirs["inventaire"]
    except FileNotFoundError:
        return ""
    except PermissionError:
        raise InvalidEnvironmentError(closed(home)) from None
    except OSError:
        raise InvalidEnvironmentError(
            f"{home} ne peut pas servir de dossier d'état. À faire : vérifiez la variable CREATIC_HOME, que ce soit un "
            "dossier, et la place sur le disque."
        ) from None
    except (ValueError, TypeError, KeyError):
        raise InvalidEnvironmentError(
            f"{pin} ne dit pas de quel environnement est cet état. À faire : s'il est bien celui de « {name} », "
            "supprimez ce fichier, il sera refait."
        ) from None
    if (owner, inventory) != (name, here):
        raise InvalidEnvironmentError(
            f"{home} est l'état de l'environnement « {owner} » (inventaire {inventory}), et non de « {name} » "
            f"(inventaire {here}) : rien n'est lancé. À faire : donnez à chacun son nom, creatic_env dans son "
            f"{_SETTINGS_FILE} ; si c'est le même inventaire, renommé, supprimez {pin}, il sera refait."
        )
    return told


def _moved_folder(mark: Path) -> str:
    try:
        found = json.loads(mark.read_text(encoding="utf-8"))
        where = f"« {found['vers']} » le {found['le']} ({found['par']})"
    except (OSError, ValueError, TypeError, KeyError):
        where = "un autre"
    return (
        f"Ce poste de commande a déménagé vers {where} : rien n'y est plus lancé. À faire : travaillez sur le nouveau. "
        f"S'il n'a rien repris et n'agira jamais, supprimez {mark} ; deux postes qui agissent avec le même état se "
        "contredisent."
    )


def of_state(home: Path) -> str:
    """Give the name of the environment whose state this is; that of the folder when it bears none."""
    try:
        return str(json.loads((home / PIN).read_text(encoding="utf-8"))["environnement"])
    except (OSError, ValueError, TypeError, KeyError):
        return home.name


def state_of(folder: Path, variables: Mapping[str, str] = os.environ) -> Path | None:
    """Give the state of an inventory; None when there is none yet, or when it is not its own."""
    try:
        home = Environment(folder, "", _read_name(folder / _SETTINGS_FILE, _SETTINGS_FILE), "").home(variables)
        theirs = json.loads((home / PIN).read_text(encoding="utf-8"))
        here = (folder / "groupement.yml").resolve().parent.name
        return home if (theirs["environnement"], theirs["inventaire"]) == (home.name, here) else None
    except (InvalidEnvironmentError, OSError, ValueError, TypeError, KeyError):
        return None


def closed(path: Path | str) -> str:
    """Say that an account may not use a file of a state, in French."""
    return (
        f"{path} : accès refusé au compte « {getpass.getuser()} ». À faire : lancez la commande sous le compte à qui "
        "est cet état, ou donnez-lui le sien par la variable CREATIC_HOME."
    )


def _read_environment(top: Path, given: str, origin: str, fix: str) -> Environment:
    folder = Path(os.path.normpath(top / os.path.expanduser(given)))  # noqa: PTH111 - an unknown account stays as written
    shown = str(folder.relative_to(top)) if folder.is_relative_to(top) else str(folder)
    ending = f"(choisi par {origin}). À faire : {fix}. {_list_environments(top)}"
    try:
        if "," in shown:
            raise InvalidEnvironmentError(f"Ansible n'admet pas de virgule dans « {shown} » {ending}")
        if not stat.S_ISDIR(folder.stat().st_mode):
            raise InvalidEnvironmentError(f"« {shown} » n'est pas un dossier {ending}")
        if not os.access(folder, os.R_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "")
        missing = [name for name in ("groupement.yml", "communes") if not (folder / name).exists()]
    except OSError as error:
        why = {
            errno.ENOENT: "n'existe pas",
            errno.ENOTDIR: "n'existe pas",
            errno.ELOOP: "est un lien qui revient sur lui-même",
            errno.EACCES: f"est fermé au compte « {getpass.getuser()} »",
        }.get(error.errno or 0, "ne peut pas être lu")
        raise InvalidEnvironmentError(f"« {shown} » {why} {ending}") from None
    if missing:
        raise InvalidEnvironmentError(
            f"« {shown} » n'est pas un inventaire : il y manque {' et '.join(missing)} {ending}"
        )
    return Environment(folder, shown, _read_name(folder / _SETTINGS_FILE, f"{shown}/{_SETTINGS_FILE}"), origin)


def _list_environments(top: Path) -> str:
    found = sorted(path.parent.name for path in (top / "inventories").glob("*/groupement.yml"))
    return f"Inventaires de ce dépôt : {', '.join(f'inventories/{name}' for name in found)}." if found else ""


def _read_name(path: Path, shown: str) -> str:
    """Read creatic_env alone: the other variables may be secrets, or templates that only Ansible understands."""
    if not os.path.lexists(path):
        raise MissingEnvironmentNameError(path.parents[1], Problem(shown, None, "", "le fichier n'existe pas", _SAMPLE))
    source = Source(shown, b"")
    source.load(path)
    root = None if source.problems else source.compose()
    if root is None and source.problems:
        raise MissingEnvironmentNameError(path.parents[1], source.problems[0])
    found = [value for key, value in root.value if key.value == "creatic_env"] if root else []
    if not found:
        raise MissingEnvironmentNameError(path.parents[1], Problem(shown, None, "creatic_env", "champ absent", _SAMPLE))
    value = found[-1]
    text = (
        value.tag.endswith(":str")
        and isinstance(value, yaml.ScalarNode)
        and _ENVIRONMENT_NAME_PATTERN.fullmatch(value.value)
    )
    if not text:
        fix = "en minuscules, chiffres et traits d'union, entre guillemets si ce ne sont que des chiffres"
        raise MissingEnvironmentNameError(
            path.parents[1], Problem(shown, value.start_mark.line + 1, "creatic_env", "ce n'est pas un nom", fix)
        )
    return str(value.value)
