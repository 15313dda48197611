# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The documents of a groupement, or of one of its communes, from its inventory, its settings and its evidence."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
import yaml
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError

from creatic.audit import sources
from creatic.documents import room, supports, writing
from creatic.documents.settings import Settings
from creatic.evidence import store
from creatic.registry import agrement, entities, papers
from creatic.registry.groupement import Commune
from creatic_agent.writing import of_commune

MODELS = Path(__file__).parent / "modeles"
FOLDER = "documents"
# Documents by name; those of a commune bear its name and SIREN.
COMMON = ("politique-archivage", "declaration-pratiques", "exigences-archivage", "rapport-annuel",
          "registre-traitements", "aipd", "homologation", "fiche-incident", "convention",
          "contrat-article-28")  # fmt: skip # a list of words
OF_A_COMMUNE = ("convention", "contrat-article-28", "registre-traitements")
_ARCHIVE_ROLES = [
    ("archive_gateway", "porte : contrôles, empaquetage, journal, fixité"),
    ("archive_node", "stockage des copies, verrou de durée"),
    ("backup_server", "copie indépendante et sauvegardes"),
]
_FATES = {"conserver": "conservation", "detruire": "élimination, sous visa"}
_MAX_VALUE_LENGTH = 500
"""Characters of a value; a longer one is cut."""
# What is said of a statement before it, when it is not held: it is an aim, and no fact.
_AIMS = {
    supports.WAIVED: "visé, sous dérogation :",
    supports.UNSEEN: "visé, à démontrer :",
    supports.NOT_HELD: "visé, non tenu à ce jour :",
}
_UNBROKEN = re.compile(r"([^\s/-]{40})(?=[^\s/-])")
"""A word that would push a table out of its page."""
_UNPRINTABLE_CHARACTERS = re.compile(
    r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufffe\uffff]+"
)


class DocumentsError(CreaticError, cause="documents"):
    """What was asked cannot be written; the message is French and says what to do."""


@dataclass(frozen=True)
class Written:
    """A document that was written.

    Attributes:
        name: of its files, without extension.
        title: French.
        states: its statements by state, see `supports.STATES`.
        missing: what persons have to complete.
    """

    name: str
    title: str
    states: Mapping[str, int]
    missing: Sequence[str]

    @property
    def facts(self) -> dict[str, Any]:
        """What the record keeps of it."""
        states = {state.lower().replace(" ", "_"): count for state, count in self.states.items()}
        return {"nom": self.name, "titre": self.title, "enonces": states, "a_completer": list(self.missing)}


@dataclass(frozen=True)
class Order:
    """What is asked.

    Attributes:
        top: the repository.
        home: state of the control node; documents are a record of its evidence, in ``documents``.
        environment: name of the environment.
        known: what ``ansible-inventory --list`` says.
        communes: all those of the inventory.
        commune: slug of the one whose documents are wanted, or of an entity that one hosts (CCAS…), which is a public
            body of its own; empty for the groupement's.
        now: with its timezone.
        only: names of the documents that are wanted; all if empty.
        year: of the yearly report; the current one by default.
    """

    top: Path
    home: Path
    environment: str
    known: Mapping[str, Any]
    communes: Sequence[Commune]
    commune: str
    now: datetime
    only: Sequence[str] = ()
    year: int = 0

    def produce(self) -> tuple[Path, list[Written], str]:
        """Write each document as PDF and Word, in a sealed record of its own.

        Returns:
            The record's folder, the documents, and why it is not signed (French; empty when it is).

        Raises:
            DocumentsError: no such commune or document, a year to come, or the record cannot be written.
        """
        one, names = self._commune_data(), self._document_names()
        if self.year > self.now.year:
            raise DocumentsError(f"année {self.year} : elle n'a pas commencé (--annee {self.now.year} au plus)")
        started = self.now.isoformat(timespec="seconds")
        try:
            with store.opened(self.home, FOLDER, store.operator(), started) as run:
                written = [self._write_document(name, one, run.staging) for name in names]
                told = {
                    "environnement": self.environment,
                    "commune": one["nom"] if one else "",
                    "documents": [document.facts for document in written],
                }
                with store.closing(self.home / FOLDER) as finished:
                    folder, unsealed = run.publish(finished, told, "documents.html.j2")
        except store.EvidenceError as error:
            raise DocumentsError(str(error)) from None
        return folder, written, unsealed

    def ignored(self) -> list[str]:
        """Fields of creatic_documents that cannot be used, and are left to complete (French)."""
        return [str(problem) for problem in papers.problems(self._environment_settings.only(papers.NAME))]

    def _commune_data(self) -> Mapping[str, Any] | None:
        one = next((body for body in self._data_controllers if body["slug"] == self.commune), None)
        if self.commune and one is None:
            known = ", ".join(sorted(str(body["slug"]) for body in self._data_controllers))
            raise DocumentsError(f"commune inconnue : « {self.commune} ». Connues : {known}")
        return one

    @functools.cached_property
    def _data_controllers(self) -> list[Mapping[str, Any]]:
        """Who answers for data: each commune, then the entities that it hosts, each with its SIREN (CASF L123-6)."""
        return list(entities.with_entities({**one.variables, "nom": one.data["nom"]} for one in self.communes))

    def _document_names(self) -> list[str]:
        offered = OF_A_COMMUNE if self.commune else COMMON
        if unknown := [name for name in self.only if name not in offered]:
            raise DocumentsError(f"document inconnu : « {', '.join(unknown)} ». Connus : {', '.join(offered)}")
        return [name for name in offered if not self.only or name in self.only]

    def _write_document(self, name: str, commune: Mapping[str, Any] | None, folder: Path) -> Written:
        text, written = self._render_markdown(name, commune)
        writing.pdf(text, written.title, folder / f"{name}.pdf")
        writing.word(text, written.title, folder / f"{name}.docx", self.now.date())
        return written

    def _render_markdown(self, name: str, commune: Mapping[str, Any] | None) -> tuple[str, Written]:
        register, lacking, blanks = supports.Register(), list[str](), list[str]()
        templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(MODELS),
            undefined=jinja2.StrictUndefined,
            autoescape=False,  # noqa: S701 - Markdown, in which HTML is text
            finalize=_plain_text,
            trim_blocks=False,
        )
        templates.filters["join"] = _join_values
        templates.filters["noms"] = _join_names
        templates.filters["duree"] = supports.spell
        around = self._template_variables(commune) | {
            "enonce": _statement_macro(register),
            "donne": functools.partial(
                _field_or_placeholder, papers.usable_fields(self._environment_settings.only(papers.NAME)), lacking
            ),
            "blanc": functools.partial(_note_blank, blanks),
        }
        module = templates.get_template(f"{name}.md").make_module(around)
        title, body = str(vars(module)["titre"]), str(module).strip()
        lines = [
            {
                "repere": f"A{rank}",
                "etat": supports.worst(held),
                "texte": _join_values([one.told for one in held], " ; "),
            }
            for rank, held in enumerate(register.entries, 1)
        ]
        states = register.summary()
        around |= {"titre": title, "compte": states, "total": len(lines), "appuis": lines}
        around |= {"manquent": lacking, "blancs": blanks}
        around["releves"] = supports.records(self.home, self.now)
        head, annex = (templates.get_template(part).render(around) for part in ("_entete.md", "_annexe.md"))
        return "\n\n".join([head, body, annex if lines else ""]), Written(name, title, states, lacking + blanks)

    @functools.cached_property
    def _environment_settings(self) -> Settings:
        return Settings(self.top, self.known)

    @functools.cached_property
    def _shown_supports(self) -> supports.Supports:
        return supports.Supports(self.home, self._environment_settings, self.now)

    @functools.cached_property
    def _room_year(self) -> room.Year:
        return room.year(self.home, self.year or self.now.year)

    def _template_variables(self, commune: Mapping[str, Any] | None) -> dict[str, Any]:
        settings, shown = self._environment_settings, self._shown_supports
        wanted = self.year or self.now.year
        authority = settings.only("creatic_autorite")
        return {
            "organisation": (authority if isinstance(authority, dict) else {}).get("organisation")
            or _Marked("**[à compléter : organisation — creatic_autorite, group_vars/all.yml]**"),
            "siren": settings.only("creatic_groupement_siren")
            or _Marked("**[à compléter : SIREN — creatic_groupement_siren, group_vars/all.yml]**"),
            "environnement": self.environment,
            "date": f"{self.now:%d/%m/%Y}",
            "annee": wanted,
            "jusque": f"{self.now:%d/%m/%Y}" if wanted == self.now.year else f"31/12/{wanted}",
            "salle": self._room_year,
            "commune": commune,
            "la_commune": _body_name(commune) if commune else "la commune désignée en tête",
            "maire": _mayor_name(commune) if commune else "",
            "qualite": (commune or {}).get("qualite", "maire"),
            "communes": [one.data for one in self.communes],
            "responsables": [one["nom"] for one in self._data_controllers],
            "versants": [one["nom"] for one in self._data_controllers if "archivage" in one["services"]],
            "partenaires": self._partner_names(),
            "regles": self._retention_rules(),
            "lots": self._deposit_kinds(),
            "agrement": settings.only(agrement.FLAG) is True,
            "sites": shown.sites,
            "copies": shown.copies,
            "valeur": settings.only,
            "valeurs": settings.values,
            "machines": settings.machines,
            "roles_archivage": _ARCHIVE_ROLES,
            "traitements": self._processing_activities(),
            "audit": shown.audit,
            "exercices": shown.drills(),
            "controle": shown.control,
            "essais": shown.tests,
            "exercice": shown.drill,
            "sceaux": shown.seals,
            "reglage": shown.setting,
            "reglages": shown.each,
            "niveaux": shown.levels(),
            "derogations": shown.waivers(),
            "mots": sources.VERDICT_WORDS,
            "engagement": shown.pledge,
            "absence": shown.absence,
            "papier": shown.paper,
        }

    def _partner_names(self) -> list[str]:
        """Services versants that are no communes, by their name for people."""
        found = self._environment_settings.only("creatic_archive_partenaires")
        listed = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
        return [str(one.get("libelle") or one.get("nom")) for one in listed]

    def _retention_rules(self) -> dict[str, Any]:
        found = self._environment_settings.only("creatic_archive_regles")
        return {str(name): years for name, years in found.items()} if isinstance(found, dict) else {}

    def _deposit_kinds(self) -> list[dict[str, str]]:
        """What connectors deposit: each kind, with its rule, its years and its fate; empty when not said."""
        found = self._environment_settings.only("creatic_archive_versement")
        given = found if isinstance(found, dict) else {}
        kinds = [("Actes", "rule", "action")]
        if given.get("flow_rule"):
            kinds.append(("Flux comptables acquittés", "flow_rule", "flow_action"))
        return [
            {
                "nom": kind,
                "regle": str(given.get(rule) or ""),
                "annees": str(self._retention_rules().get(str(given.get(rule)), "")),
                "sort": _FATES.get(str(given.get(fate)), ""),
            }
            for kind, rule, fate in kinds
        ]

    def _processing_activities(self) -> list[dict[str, Any]]:
        listed = yaml.safe_load((MODELS / "traitements.yml").read_text(encoding="utf-8"))
        machines = self._environment_settings.machines
        return [
            {
                **one,
                "communes": [
                    body["nom"]
                    for body in self._data_controllers
                    if not one["service"] or one["service"] in body["services"]
                ],
                "machines": [host for profile in one["profils"] for host in machines.get(profile, ())],
                "appuis": [self._shown_supports.tests(profile) for profile in one["profils"]],
            }
            for one in listed
        ]


def _body_name(body: Mapping[str, Any]) -> str:
    """How a text names a commune, or an entity: it stands where the models say « la commune »."""
    if "heberge_par" not in body:
        return f"la commune {of_commune(str(body['nom']))}"
    return _Marked(
        f"{_plain_text(body['nom'])}** (SIREN {_plain_text(body['siren'])}), personne publique distincte de "
        "sa commune, ci-après "
        "**« la commune »"
    )


def _mayor_name(commune: Mapping[str, Any]) -> str:
    """Name of a commune's maire, or of an entity's président, as the file gives it; empty when it does not."""
    login = commune.get("deliberations", {}).get("maire") or commune.get("parapheur", {}).get("maire", {}).get(
        "titulaire"
    )
    found = [one for one in commune.get("comptes", []) if one["identifiant"] == login]
    return f"{found[0]['prenom']} {found[0]['nom']}" if found else ""


def _statement_macro(register: supports.Register) -> Callable[..., str]:
    """What models call a statement with: its supports, and the statement as the call's body."""

    def enonce(*held: supports.Support, caller: Callable[[], str]) -> _Marked:
        mark, state = register(*held)
        text = " ".join(caller().split())
        if state in _AIMS:
            return _Marked(f"**[{mark} : {state}]** *{_AIMS[state]}* {text}")
        return _Marked(f"{text} [{mark}{' : engagement' if state == supports.PLEDGED else ''}]")

    return enonce


def _field_or_placeholder(told: Mapping[str, str], lacking: list[str], name: str) -> str:
    """A field of creatic_documents, or that it is to be given, and where."""
    if name in told:
        return told[name]
    what = f"{papers.FIELDS[name]} ({papers.NAME}.{name}"
    if f"{what}, {papers.FILE})" not in lacking:
        lacking.append(f"{what}, {papers.FILE})")
    return _Marked(f"**[à compléter : {_plain_text(what)})]**")


def _note_blank(blanks: list[str], what: str) -> str:
    """What a person writes in the Word file."""
    if what not in blanks:
        blanks.append(what)
    return _Marked(f"**[à compléter ici : {_plain_text(what)}]**")


class _Marked(str):
    """Markdown of ours, put as it is."""

    __slots__ = ()


def _join_values(values: Iterable[Any], between: str) -> _Marked:
    """Each value as text, side by side: however many, none is cut for the others."""
    return _Marked(between.join(str(_plain_text(value)) for value in values))


def _join_names(values: Sequence[Any], otherwise: str, most: int = 40) -> str:
    """Names side by side; of too many to be read, their number, and where they are."""
    if len(values) > most:
        return f"{len(values)} {otherwise}"
    return _join_values(values, ", ")


def _plain_text(value: Any) -> Any:
    """What somebody wrote in a file is text, never Markdown: one line of it, which fits a page."""
    if isinstance(value, _Marked | int | float):
        return value
    text = _UNPRINTABLE_CHARACTERS.sub(" ", str(value))
    text = text if len(text) <= _MAX_VALUE_LENGTH else f"{text[:_MAX_VALUE_LENGTH]}…"
    text = _UNBROKEN.sub("\\1\N{ZERO WIDTH SPACE}", text)
    return re.sub(r"([\\`*_\[\]<>|&#~!])", r"\\\1", text)
