# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The documents of a groupement, or of one of its communes, from its inventory, its settings and its evidence."""

from __future__ import annotations

import itertools
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
import yaml
from ansible_collections.cdg59.creatic.plugins.module_utils.documents import room, supports, writing
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence import store
from ansible_collections.cdg59.creatic.plugins.module_utils.registry import profiles as profiles_file
from ansible_collections.cdg59.creatic.plugins.module_utils.registry.groupement import Commune

MODELS = Path(__file__).parent / "modeles"
# Documents by name; those of a commune bear its name and SIREN.
COMMON = ("politique-archivage", "declaration-pratiques", "rapport-annuel", "registre-traitements", "aipd",
          "homologation", "fiche-incident", "convention", "contrat-article-28")  # fmt: skip
OF_A_COMMUNE = ("convention", "contrat-article-28")
_ARCHIVE_ROLES = [
    ("archive_gateway", "porte : contrôles, empaquetage, journal, fixité"),
    ("archive_node", "stockage en trois copies, verrou de durée"),
    ("backup_server", "copie indépendante et sauvegardes"),
]
_UNSAID = {"rule": "", "action": "", "flow_rule": "", "flow_action": ""}
_FATES = {"conserver": "conservation", "detruire": "élimination, sous visa"}


class DocumentsError(Exception):
    """What was asked cannot be written; the message is French and says what to do."""


@dataclass(frozen=True)
class Order:
    """What is asked.

    Attributes:
        home: state of the control node; documents go to its folder ``documents``.
        environment: name of the environment.
        known: what ``ansible-inventory --list`` says.
        communes: all those of the inventory.
        commune: slug of the one whose documents are wanted; empty for the groupement's.
        now: with its timezone.
    """

    home: Path
    environment: str
    known: Mapping[str, Any]
    communes: Sequence[Commune]
    commune: str
    now: datetime

    def produce(self) -> tuple[Path, list[tuple[str, dict[str, int]]]]:
        """Write each document as PDF and Word; gives their folder and, by document, its statements by state.

        Those of the same day are replaced; a folder in which somebody changed a file goes aside.

        Raises:
            DocumentsError: no such commune, or somebody else writes the same ones.
        """
        one = next((commune for commune in self.communes if commune.slug == self.commune), None)
        if self.commune and one is None:
            raise DocumentsError(
                f"commune inconnue : « {self.commune} ». Connues : {', '.join(sorted(c.slug for c in self.communes))}"
            )
        folder = self.home / "documents" / f"{self.now:%Y-%m-%d}{'-' + self.commune if self.commune else ''}"
        locks, pid = self.home / "verrous", os.getpid()
        lock = f"documents-{folder.name}"
        try:
            store.lock_commune(locks, lock, pid, store.operator(), f"la rédaction de {folder.name}")
        except store.LockRefused as error:
            raise DocumentsError(f"{error}. Attendez sa fin, puis relancez") from None
        try:
            return folder, self._write(folder, one)
        finally:
            store.unlock_communes(locks, pid, lock)

    def _write(self, folder: Path, one: Commune | None) -> list[tuple[str, dict[str, int]]]:
        making = folder.with_name(f".{folder.name}.en-cours")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True, mode=0o700)
        written = []
        for name in OF_A_COMMUNE if one else COMMON:
            title, text, counted = self._text(name, one)
            writing.pdf(text, title, making / f"{name}.pdf")
            writing.word(text, title, making / f"{name}.docx")
            written.append((name, counted))
        stamp = self.now.timestamp()
        for path in making.iterdir():
            os.utime(path, (stamp, stamp))
        if _changed(folder):
            ranks = (folder.with_name(f"{folder.name}-complete-{rank}") for rank in itertools.count(1))
            folder.rename(next(path for path in ranks if not path.exists()))
        shutil.rmtree(folder, ignore_errors=True)  # of the same day: written again from what is true now
        making.rename(folder)
        return written

    def _text(self, name: str, commune: Commune | None) -> tuple[str, str, dict[str, int]]:
        register = supports.Register()
        shown = supports.Supports(self.home, self._settings(), self.now)
        around = self._around(shown, commune)
        templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(MODELS),
            undefined=jinja2.StrictUndefined,
            autoescape=False,  # noqa: S701 - Markdown, in which HTML is text
            finalize=_plain,
            trim_blocks=False,
        )
        templates.filters["cellule"] = _cell
        around["appui"] = lambda *held: _Marked(register(*held))
        module = templates.get_template(f"{name}.md").make_module(around)
        title, body = str(vars(module)["titre"]), str(module).strip()
        states = register.summary()
        counted = {
            "total": len(register.entries),
            "tenu": states[supports.HELD],
            "non_tenu": states[supports.NOT_HELD],
            "non_verifie": states[supports.UNSEEN],
        }
        lines = [
            {"repere": f"A{rank}", "etat": supports.worst(held), "texte": _cell(" ; ".join(one.told for one in held))}
            for rank, held in enumerate(register.entries, 1)
        ]
        around |= {"titre": title, "compte": counted, "appuis": lines, "scelles": supports.sealed(self.home)}
        head, annex = (templates.get_template(part).render(around) for part in ("_entete.md", "_annexe.md"))
        return title, "\n\n".join([head, body, annex if lines else ""]), counted

    def _settings(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for variables in self.known.get("_meta", {}).get("hostvars", {}).values():
            for name, value in variables.items():
                found.setdefault(name, value)
        return found

    def _around(self, shown: supports.Supports, commune: Commune | None) -> dict[str, Any]:
        settings = self._settings()

        def given(name: str, kind: type[Any]) -> Any:
            """A setting; empty when Ansible computes it from others: the inventory has its expression alone."""
            return value if isinstance(value := settings.get(name), kind) else kind()

        groups = {name: list(one.get("hosts", ())) for name, one in self.known.items() if isinstance(one, dict)}
        known = profiles_file.load()
        profiles = {
            variables["creatic_profil"]: groups.get(variables["creatic_profil"], [])
            for variables in self.known.get("_meta", {}).get("hostvars", {}).values()
            if (profile := known.get(variables.get("creatic_profil", ""))) and not profile.banc
        }
        return {
            "organisation": given("creatic_autorite", dict).get("organisation", "Groupement Cre@tic"),
            "siren": settings.get("creatic_groupement_siren", "[SIREN]"),
            "environnement": self.environment,
            "date": f"{self.now:%d/%m/%Y}",
            "exercice_annee": self.now.year,
            "annee": room.year(self.home, self.now.year),
            "commune": commune.data if commune else None,
            "communes": [one.data for one in self.communes],
            "versants": [one.data["nom"] for one in self.communes if "archivage" in one.data["services"]],
            "partenaires": [one["libelle"] for one in given("creatic_archive_partenaires", list)],
            "regles": given("creatic_archive_regles", dict),
            "versement": _UNSAID | given("creatic_archive_versement", dict),
            "sorts": _FATES,
            "horodatage": settings.get("archive_gateway_tsa_url", ""),
            "machines": profiles,
            "roles_archivage": _ARCHIVE_ROLES,
            "traitements": self._processing(shown, profiles),
            "audit": shown.audit,
            "controle": shown.control,
            "essais": shown.tests,
            "exercice": shown.drill,
            "sceaux": shown.seals,
            "reglage": shown.setting,
        }

    def _processing(self, shown: supports.Supports, profiles: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
        listed = yaml.safe_load((MODELS / "traitements.yml").read_text(encoding="utf-8"))
        return [
            {
                **one,
                "communes": [item.data["nom"] for item in self.communes if one["service"] in item.data["services"]],
                "machines": [host for profile in one["profils"] for host in profiles.get(profile, ())],
                "appuis": [shown.tests(profile) for profile in one["profils"]],
            }
            for one in listed
        ]


def _changed(folder: Path) -> bool:
    """Whether somebody completed a document of this folder, or put a file beside: all were written with one date."""
    return len({path.stat().st_mtime_ns for path in folder.glob("*")}) > 1


class _Marked(str):
    """Markdown of ours, put as it is."""

    __slots__ = ()


def _plain(value: Any) -> Any:
    """What somebody wrote in a file is text, never Markdown."""
    if isinstance(value, str) and not isinstance(value, _Marked):
        return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", value.replace("\n", " "))
    return value


def _cell(text: str) -> _Marked:
    """A text that fits a table's cell, taken literally."""
    return _Marked(_plain(str(text)))
