# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The entities that a commune hosts: a CCAS, a caisse des écoles, a syndicat, each with its SIREN and its council.

Servers take an entity as they take a commune: it is written here in the shape of one, under the name COMMUNE-ENTITY.
It has no machine of its own: the connector of its commune sends its acts too, from folders, a journal and a
certificate that are its own. People are those of the commune's file, where each has one account.

Sources: CASF L123-4 to L123-9 and R123-7 on (CCAS); code de l'éducation L212-10 (caisse des écoles); CGCT L5212-1 on
(syndicats). Each is a public body of its own: nothing of one is another's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.pki.names import pc_organization

from creatic.registry.checked_yaml import FieldPath, Source, quote
from creatic_agent import law

QUALITY = "président"
"""In what quality the head of an entity signs."""
# What an entity has as its commune has it.
_OF_THE_COMMUNE = ("code_postal", "insee", "territoire", "agents", "vague", "taille", "niveau", "departement",
                   "site_internet")  # fmt: skip # a list of words
_AS_WRITTEN = ("siret", "accord_versement", "connecteur", "formalites", "ged")


def slug(commune: str, entity: Mapping[str, Any]) -> str:
    """Name of an entity in every server: its commune's, then its own."""
    return f"{commune}-{entity['nom']}"


def shaped(commune: Mapping[str, Any], entity: Mapping[str, Any]) -> dict[str, Any]:
    """Give an entity as the variable creatic_commune gives a commune.

    Args:
        commune: the variable creatic_commune of the commune that hosts it.
        entity: from its file, checked.

    Returns:
        The same keys as a commune's; `heberge_par` and `siren_commune`, its commune's slug and SIREN; `organisme`, as
        certificates name it; `type`, `conseil`, `qualite`, `president`. `comptes` are its own people, and those of its
        commune whom it names.
    """
    found: dict[str, Any] = {
        "slug": slug(commune["slug"], entity),
        "nom": entity["libelle"],
        "siren": entity["siren"],
        "services": list(entity["services"]),
        "heberge_par": commune["slug"],
        "siren_commune": commune["siren"],
        "organisme": entity["libelle"],
        "type": entity["type"],
        "conseil": law.of(entity["type"]).council,
        "qualite": QUALITY,
        "president": entity["president"],
        **{name: commune[name] for name in _OF_THE_COMMUNE if name in commune},
        **{name: entity[name] for name in _AS_WRITTEN if name in entity},
        **_council_fields(commune, entity),
    }
    own = list(entity.get("comptes", []))
    named = set(
        _walk_texts([found.get("parapheur"), found.get("deliberations"), found.get("ged"), entity["president"]])
    )
    theirs = [one for one in commune.get("comptes", []) if one["identifiant"] in named]
    return found | {"comptes": [*theirs, *own]}


def _council_fields(commune: Mapping[str, Any], entity: Mapping[str, Any]) -> dict[str, Any]:
    """Circuits and council, in which the président has the place of a maire; its inhabitants are its commune's, where
    these count (CASF, R123-16)."""
    head = entity["president"]
    found: dict[str, Any] = {}
    if "parapheur" in entity:
        found["parapheur"] = {**entity["parapheur"], "maire": head}
    if "deliberations" in entity:
        people = commune.get("deliberations", {}).get("habitants")
        counted = {"habitants": people} if people and law.of(entity["type"]).by_commune else {}
        found["deliberations"] = {**counted, **entity["deliberations"], "maire": head["titulaire"]}
    return found


def _walk_texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _walk_texts(one)


def with_entities(communes: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Give each commune, then the entities that it hosts.

    Args:
        communes: variables creatic_commune.
    """
    for commune in communes:
        yield commune
        yield from commune.get("entites", ())


def home(commune: Mapping[str, Any]) -> str:
    """Slug of the commune whose file names the people of a commune, or of an entity."""
    return str(commune.get("heberge_par", commune["slug"]))


def sirens(files: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, str]:
    """SIREN of each entity, by slug.

    Args:
        files: slug and file of each commune.
    """
    return {slug(commune, one): str(one["siren"]) for commune, data in files for one in data.get("entites", ())}


def hosts(files: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, str]:
    """Slug of the commune that hosts each entity, by the entity's slug.

    Args:
        files: slug and file of each commune.
    """
    return {slug(commune, one): commune for commune, data in files for one in data.get("entites", ())}


def organization(commune: Mapping[str, Any]) -> str:
    """Name that the certificates of a commune, or of an entity, bear (O)."""
    return str(commune.get("organisme") or pc_organization(commune["nom"]))


class EntitySource(Source):
    """An entity of a commune's file, checked as a commune is: what is wrong is told at its place in that file."""

    def __init__(self, source: Source, index: int) -> None:
        super().__init__(source.label, source.raw)
        self._whole, self._place = source, ("entites", index)

    def report(self, message: str, fix: str, path: FieldPath = (), line: int | None = None) -> None:
        """Record a problem of the entity; who presides it is written once, wherever they act."""
        if path[:2] == ("parapheur", "maire"):
            path = ("president", *path[2:])
        self._whole.report(message, fix, (*self._place, *path), line)


def readable(source: Source, data: Mapping[str, Any]) -> bool:
    """Whether the entities of a file can be looked at: the schema refused nothing of them, nor of what they name."""
    needed = ("entites", "comptes", "services", "siren", "deliberations")
    wrong = {re.split(r"[.\[]", problem.field)[0] for problem in source.problems}
    return not wrong & {*needed} and {"services", "siren"} <= data.keys()


def written(data: Mapping[str, Any]) -> Iterator[tuple[FieldPath, Mapping[str, Any]]]:
    """Give each entity of a commune's file with its place, as far as the file can be understood."""
    listed = data.get("entites")
    for index, entity in enumerate(listed if isinstance(listed, list) else []):
        if isinstance(entity, dict) and all(isinstance(entity.get(one), str) for one in ("nom", "libelle", "siren")):
            yield ("entites", index), entity


def checkable(data: Mapping[str, Any], entity: Mapping[str, Any]) -> dict[str, Any]:
    """Give an entity as the checks of a commune's file take it: everybody whom it may name is in `comptes`."""
    found = {name: entity[name] for name in ("siren", *_AS_WRITTEN, "deliberations") if name in entity}
    found["parapheur"] = {**entity.get("parapheur", {}), "maire": entity["president"]}
    found["comptes"] = [*data.get("comptes", []), *entity.get("comptes", [])]
    return found


def check(source: EntitySource, commune: str, data: Mapping[str, Any], entity: Mapping[str, Any]) -> None:
    """Report what only an entity can have wrong.

    Args:
        source: the entity's part of the file.
        commune: slug of the commune.
        data: the commune's file.
        entity: of it; the schema refused nothing of both.
    """
    lacking = [one for one in entity["services"] if one not in data["services"]]
    for one in lacking:
        source.report(
            f"la commune n'a pas le service {quote(one)}, l'entité qu'elle héberge ne peut pas l'avoir",
            f"ajoutez-le aux services de communes/{commune}.yml, ou retirez-le de ceux de l'entité",
            ("services",),
        )
    if "parapheur" in entity["services"] and "parapheur" not in entity:
        fix = "écrivez redacteurs, en retrait sous parapheur:, ou retirez parapheur des services de l'entité"
        source.report("champ obligatoire absent : l'entité a le service parapheur", fix, ("parapheur",))
    body, council = law.of(entity["type"]), entity.get("deliberations", {})
    days, least = council.get("convocation_jours"), body.floor
    if days is not None and days < least.value:
        source.report(
            f"la loi veut {least.value} jours entre la convocation et la séance ({least.source}), pas {days}",
            f"écrivez {least.value} ou plus, ou retirez ce champ",
            ("deliberations", "convocation_jours"),
        )
    if body.open.value is False and not council.get("aides_individuelles", True):
        source.report(
            f"un {body.label} décide d'aides à des personnes, sous le secret professionnel ({body.open.source})",
            "retirez ce champ",
            ("deliberations", "aides_individuelles"),
        )
    if "publication" in council and body.publicity.value is not law.Publicity.CHOICE:
        source.report(
            f"son conseil ne choisit pas comment ses actes sont publiés : {body.publicity.said} "
            f"({body.publicity.source})",
            "retirez publication",
            ("deliberations", "publication"),
        )


def check_readers(source: Source, data: Mapping[str, Any], entities: Sequence[Mapping[str, Any]]) -> None:
    """Report who would read two councils' papers with one login: the site knows one seat for each."""
    seen = dict.fromkeys(_reader_logins(data), "la commune")
    for index, entity in enumerate(entities):
        for place, login in enumerate(_reader_logins(entity)):
            where = seen.setdefault(login, entity["libelle"])
            if where != entity["libelle"]:
                source.report(
                    f"{quote(login)} lit déjà les dossiers d'un conseil ({where}), un identifiant n'en lit qu'un",
                    "donnez-lui un second identifiant pour ce conseil, ou retirez-le ici",
                    ("entites", index, "deliberations", "acces_elus", place),
                )


def _reader_logins(data: Mapping[str, Any]) -> list[str]:
    council = data.get("deliberations", {})
    found = council.get("acces_elus", []) if isinstance(council, Mapping) else []
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []
