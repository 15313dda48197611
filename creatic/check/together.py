# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What is wrong of an inventory's files taken together, each of them being right by itself.

Each check is of something that was deployed without a word, and that somebody saw much later, or nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from creatic.registry import groupement, profiles
from creatic.registry.checked_yaml import Problem, Source, quote

# UTF-8 that was read as Windows-1252 and saved again: « Ã© », « â€™ ».
_MANGLED = re.compile(
    "[ÃÂ][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc]|â€[\u0080-\uffff]"
)


def problems(
    directory: Path,
    machines: Mapping[str, Sequence[tuple[str, int, str]]],
) -> Iterator[Problem]:
    """Give what is wrong.

    Args:
        directory: inventory folder.
        machines: of each profile: file, line and name of each server, test benches apart.
    """
    yield from _duplicate_profile_problems(machines)
    for path in sorted([*directory.glob("*.y*ml"), *directory.glob("*/*.y*ml")]):
        yield from _encoding_problems(path, str(path.relative_to(directory)))
    for folder in ("communes", "group_vars", "host_vars"):
        for path in sorted((directory / folder).glob("*")):
            if found := re.fullmatch(r"(.+)\.ya?ml\.(txt|docx?|odt|rtf)", path.name, re.IGNORECASE):
                message = "rien ne lit ce fichier : l'éditeur a ajouté une fin à son nom"
                yield Problem(
                    f"{folder}/{path.name}", None, "", message, f"renommez-le en {found[1]}.yml, ou sortez-le"
                )


def _duplicate_profile_problems(machines: Mapping[str, Sequence[tuple[str, int, str]]]) -> Iterator[Problem]:
    """The others work with one machine of these profiles: a second would be deployed, and left without a word."""
    for name, found in machines.items():
        if len(found) > 1 and profiles.load()[name].seule:
            file, line, second = sorted(found, key=lambda one: one[1])[1]
            yield Problem(
                file,
                line,
                "",
                f"une seconde machine {name}, {quote(second)} : les autres n'en connaîtraient qu'une",
                f"gardez-en une dans le groupe {name} ; pour en changer, suivez « Une machine perdue » "
                "(docs/exploitation.md)",
            )


def borrowed(communes: Sequence[groupement.Commune], siren: str) -> Iterator[Problem]:
    """Tell who bears the groupement's SIREN: it opens all communes' pages (role passerelle).

    Args:
        communes: those whose files are good.
        siren: the groupement's, as Ansible has it, wherever it is written; empty when nothing says it.
    """
    for commune in communes if siren else ():
        named = {"siren": commune.data["siren"]}
        named |= {f"entites[{place}].siren": one["siren"] for place, one in enumerate(commune.data.get("entites", []))}
        for field, value in named.items():
            if value == siren:
                yield Problem(
                    f"communes/{commune.slug}.yml",
                    None,
                    field,
                    f"le SIREN {quote(siren)} est celui du groupement (creatic_groupement_siren)",
                    "corrigez celui des deux qui se trompe : chacun a le sien",
                )


def _encoding_problems(path: Path, label: str) -> Iterator[Problem]:
    source = Source(label, b"")
    source.load(path)  # what cannot be read is told by who reads it
    for number, line in enumerate(source.raw.decode("utf-8", errors="ignore").splitlines(), 1):
        if found := _MANGLED.search(line):
            yield Problem(
                label,
                number,
                "",
                f"des accents sont abîmés (« {found[0]} »), par un copier-coller ou une conversion",
                "récrivez-les, et enregistrez le fichier en UTF-8",
            )
            return
