# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The document store as the communes ask for it: plan de classement (ged.yml) and communes, as mayan_config takes them.

Rights follow document types, which is what Mayan inherits: each commune has its own types, its own root cabinet and its
own indexes, and only its roles are told of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.applications import labels

from creatic.archive import durees
from creatic.registry import entities
from creatic.registry.checked_yaml import (
    Problem,
    ProblemsError,
    Source,
    closest,
    quote,
)

SCHEMA = Path(__file__).with_name("ged.schema.json")
EVERYONE = "GED"
FILERS = "Passerelle"
# Levels of an index that are no metadata.
_LEVELS = {"type": "{{ document.document_type.label }}", "annee": "{{ document.datetime_created.year }}"}
# Not Mayan's own date parser: it reads 05/11/2026 as the 11th of May.
_DATE = {
    "parser": "mayan.apps.metadata.metadata_parsers.RegularExpressionParser",
    "parser_arguments": json.dumps({"pattern": r"^(\d\d)/(\d\d)/(\d{4})$", "replacement": r"\3-\2-\1"}),
    "validation": "mayan.apps.metadata.metadata_validators.RegularExpressionValidator",
    "validation_arguments": json.dumps(
        {"pattern": r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])|(0[1-9]|[12]\d|3[01])/(0[1-9]|1[0-2])/\d{4}"}
    ),
}
_FREE_TEXT_FIELD = {"parser": "", "parser_arguments": "", "validation": "", "validation_arguments": ""}
# What an agent may do with the documents of a type. Nobody but the administrator deletes.
AGENT_ON_TYPE = (
    "cabinets.cabinet_add_document",
    "cabinets.cabinet_remove_document",
    "cabinets.cabinet_view",
    "document_downloads.document_file_download",
    "document_indexing.document_index_instance_view",
    "document_parsing.content_view",
    "documents.document_create",
    "documents.document_file_new",
    "documents.document_file_view",
    "documents.document_properties_edit",
    "documents.document_version_create",
    "documents.document_version_view",
    "documents.document_view",
    "documents_types.document_type_view",
    "metadata.metadata_document_add",
    "metadata.metadata_document_edit",
    "metadata.metadata_document_view",
    "ocr.ocr_content_view",
)
AGENT_ON_CABINET = ("cabinets.cabinet_add_document", "cabinets.cabinet_remove_document", "cabinets.cabinet_view")
AGENT_ON_INDEX = ("document_indexing.document_index_instance_view",)
AGENT_ON_METADATA = (
    "metadata.metadata_document_add",
    "metadata.metadata_document_edit",
    "metadata.metadata_document_view",
    "metadata_setup.metadata_type_view",
)


class GedError(ProblemsError, cause="ged"):
    """What is asked for is refused; `problems` is all there is to correct."""

    heading = "GED : rien n'est changé. {count} :"


def read_plan(file: Path) -> dict[str, Any]:
    """Read and check ged.yml; durations and fates come from durees.yml beside it, where there is one.

    Raises:
        GedError: with all its problems.
    """
    source = Source(file.name, b"")
    try:
        source.raw = file.read_bytes()
    except OSError:
        source.report("le fichier est introuvable", "créez-le à côté de groupement.yml (voir docs/ged.md)")
        raise GedError(source.problems) from None
    data = source.read()
    if data is not None:
        source.check_schema(data, SCHEMA)
        if not source.problems:
            try:
                durees.resolve(source, data["types"], durees.read(file.parent))
            except durees.DureesError as error:
                source.problems += error.problems
            _check_plan(source, data["plan"])
            _check_names(source, data)
    if data is None or source.problems:
        raise GedError(source.problems)
    return data


def _check_plan(source: Source, plan: Sequence[Mapping[str, Any]]) -> None:
    labels: dict[str, int] = {}
    for index, folder in enumerate(plan):
        first = labels.setdefault(folder["libelle"].casefold(), index)
        if first != index:
            message = f"le dossier {quote(folder['libelle'])} est déjà dans le plan (plan[{first}])"
            source.report(
                message, "donnez-lui un autre libellé, ou supprimez l'un des deux", ("plan", index, "libelle")
            )
    known = [folder["libelle"] for folder in plan]
    parents = {folder["libelle"]: folder["parent"] for folder in plan if "parent" in folder}
    for index, folder in enumerate(plan):
        if "parent" not in folder:
            continue
        if folder["parent"] not in known:
            nearest = closest(folder["parent"], known)
            fix = f"remplacez par « {nearest} »" if nearest else "ajoutez ce dossier au plan, ou supprimez cette ligne"
            message = f"le dossier parent {quote(folder['parent'])} n'est pas dans le plan"
            source.report(message, fix, ("plan", index, "parent"))
            continue
        seen, above = {folder["libelle"]}, folder["parent"]
        while above in parents and above not in seen:
            seen.add(above)
            above = parents[above]
        if above == folder["libelle"]:
            message = f"le dossier {quote(folder['libelle'])} est rangé dans lui-même"
            source.report(message, "corrigez le parent de l'un des dossiers de cette boucle", ("plan", index, "parent"))


def _check_names(source: Source, data: Mapping[str, Any]) -> None:
    for kind, field in (("metadonnees", "nom"), ("metadonnees", "libelle"), ("types", "nom"), ("types", "libelle"),
                        ("index", "libelle")):  # fmt: skip # a row a line
        seen: dict[str, int] = {}
        for index, one in enumerate(data.get(kind, [])):
            first = seen.setdefault(one[field].casefold(), index)
            if first != index:
                message = f"{quote(one[field])} est déjà dans {kind}[{first}].{field}"
                source.report(message, "gardez-en un seul", (kind, index, field))
    known = [one["nom"] for one in data.get("metadonnees", [])]
    for index, one in enumerate(data["types"]):
        for field, allowed, where in (
            ("metadonnees", known, "metadonnees"),
            ("obligatoires", one.get("metadonnees", []), "les métadonnées de ce type"),
        ):
            _check_listed(source, one.get(field, []), allowed, where, ("types", index, field))
    levels = [*_LEVELS, *known]
    for index, one in enumerate(data.get("index", [])):
        _check_listed(source, one["niveaux"], levels, "type, annee et metadonnees", ("index", index, "niveaux"))


def _check_listed(
    source: Source, names: Sequence[str], known: Sequence[str], where: str, path: tuple[str | int, ...]
) -> None:
    for place, name in enumerate(names):
        if name not in known:
            nearest = closest(name, known)
            fix = f"remplacez par « {nearest} »" if nearest else "déclarez-le, ou retirez-le"
            source.report(f"{quote(name)} n'est pas dans {where}", f"{fix} ({', '.join(known)})", (*path, place))


def configuration(plan: Mapping[str, Any], communes: Sequence[Mapping[str, Any]], filer: str = "") -> dict[str, Any]:
    """What is wanted of Mayan.

    Args:
        plan: from `read_plan`.
        communes: the variables `creatic_commune` of the communes served.
        filer: account that files acts for every commune (the passerelle's), if there is one.

    Raises:
        GedError: a commune names a type that the plan does not have.
    """
    _check_types(plan, communes)
    wanted: dict[str, Any] = {
        "users": [],
        "groups": {},
        "roles": {EVERYONE: []},
        "metadata_types": [],
        "document_types": [],
        "cabinets": [],
        "indexes": [],
        "acls": [],
        "former": {},
    }
    for one in plan.get("metadonnees", []):
        formatted = _DATE if one.get("format") == "date" else _FREE_TEXT_FIELD
        wanted["metadata_types"].append({"name": one["nom"], "label": one["libelle"], **formatted})
        wanted["acls"].append(_access_rule("metadata_type", one["nom"], {EVERYONE: AGENT_ON_METADATA}))
    for commune in sorted(communes, key=lambda one: str(one["slug"])):
        _add_commune(wanted, plan, commune)
    if filer:
        _add_filer(wanted, filer)
    return wanted


def _add_filer(wanted: dict[str, Any], login: str) -> None:
    """An account that files in every commune's types and folders, and has no other right."""
    names = {"first_name": "Passerelle", "last_name": "(service)", "email": f"{login}@service.invalid", "commune": ""}
    wanted["users"].append({"username": login, **names})
    wanted["groups"][FILERS] = [login]
    wanted["roles"][FILERS] = [FILERS]
    wanted["roles"][EVERYONE].append(FILERS)
    for one in wanted["acls"]:
        if one["kind"] in ("document_type", "cabinet"):
            one["roles"][FILERS] = sorted(AGENT_ON_TYPE if one["kind"] == "document_type" else AGENT_ON_CABINET)


def _check_types(plan: Mapping[str, Any], communes: Sequence[Mapping[str, Any]]) -> None:
    known = [one["nom"] for one in plan["types"]]
    problems = []
    for commune in communes:
        for index, service in enumerate(commune.get("ged", {}).get("services", [])):
            for place, name in enumerate(service.get("types", [])):
                if name not in known:
                    nearest = closest(name, known)
                    fix = f"remplacez par « {nearest} »" if nearest else "déclarez-le dans ged.yml, ou retirez-le"
                    problems.append(
                        Problem(
                            f"communes/{entities.home(commune)}.yml",
                            None,
                            f"{'entites : ' * ('heberge_par' in commune)}ged.services[{index}].types[{place}]",
                            f"le type {quote(name)} n'est pas dans ged.yml",
                            f"{fix} (types : {', '.join(known)})",
                        )
                    )
    if problems:
        raise GedError(problems)


def _access_rule(kind: str, key: str | Sequence[str], roles: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    return {"kind": kind, "key": key, "roles": {role: sorted(given) for role, given in roles.items()}}


def _document_agents(commune: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Who works in the commune: an élu who only reads the council's papers has nothing to do among its documents."""
    council = commune.get("deliberations", {})
    readers = set(council.get("acces_elus", []))
    working = {key: value for key, value in commune.items() if key not in ("comptes", "deliberations", "entites")}
    working["deliberations"] = {key: value for key, value in council.items() if key != "acces_elus"}
    named = set(_walk_texts(working))
    return [
        one for one in commune.get("comptes", []) if one["identifiant"] not in readers or one["identifiant"] in named
    ]


def _walk_texts(value: Any) -> Iterator[str]:
    """All the texts of a part of a commune's file."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _walk_texts(one)


def _add_commune(wanted: dict[str, Any], plan: Mapping[str, Any], commune: Mapping[str, Any]) -> None:
    name, accounts = labels.own(commune), _document_agents(commune)
    everybody = [{"nom": "Agents", "agents": [one["identifiant"] for one in accounts]}]
    services = commune.get("ged", {}).get("services", everybody)
    there = {
        (one["username"], one["commune"]) for one in wanted["users"]
    }  # of the commune, for one that works for its CCAS too
    for one in accounts:
        if (one["identifiant"], entities.home(commune)) in there:
            continue
        wanted["users"].append(
            {
                "username": one["identifiant"],
                "first_name": one["prenom"],
                "last_name": one["nom"],
                "email": one["courriel"],
                "commune": entities.home(commune),
            }
        )
    groups = {labels.own(commune, service["nom"]): service for service in services}
    for group, service in groups.items():
        wanted["groups"][group] = sorted(service["agents"])
        wanted["roles"][group] = [group]
    wanted["roles"][name] = list(groups)
    wanted["roles"][EVERYONE] += list(groups)

    types = []
    for one in plan["types"]:
        label = labels.own(commune, one["libelle"])
        types.append(label)
        destroyed = one["sort"] == "eliminer"
        wanted["document_types"].append(
            {
                "label": label,
                "trash_time_period": one["duree"] * 365 if destroyed else None,
                "trash_time_unit": "days" if destroyed else None,
                # The trash is emptied by a person, once the archives gave their visa.
                "delete_time_period": None,
                "delete_time_unit": None,
                "metadata": {key: key in one.get("obligatoires", []) for key in one.get("metadonnees", [])},
            }
        )
        having = [group for group, service in groups.items() if one["nom"] in service.get("types", [one["nom"]])]
        roles = [name] if len(having) == len(groups) else having
        wanted["acls"].append(_access_rule("document_type", label, dict.fromkeys(roles, AGENT_ON_TYPE)))

    parents = {folder["libelle"]: folder.get("parent") for folder in plan["plan"]}
    paths = [[name]]
    for folder in plan["plan"]:
        path, above = [folder["libelle"]], folder.get("parent")
        while above is not None:
            path.insert(0, above)
            above = parents[above]
        paths.append([name, *path])
    wanted["cabinets"] += sorted(paths, key=len)
    wanted["acls"].append(_access_rule("cabinet", name, {name: AGENT_ON_CABINET}))

    for one in plan.get("index", []):
        label = labels.own(commune, one["libelle"])
        levels = [_LEVELS.get(level, f"{{{{ document.metadata_value_of.{level} }}}}") for level in one["niveaux"]]
        wanted["indexes"].append({"label": label, "document_types": types, "levels": levels})
        wanted["acls"].append(_access_rule("index_template", label, {name: AGENT_ON_INDEX}))
    services_, types_ = [one["nom"] for one in services], [one["libelle"] for one in plan["types"]]
    labels.note(wanted, "group", commune, services_)
    labels.note(wanted, "role", commune, ["", *services_])
    labels.note(wanted, "document_type", commune, types_)
    labels.note(wanted, "cabinet", commune, [""])
    labels.note(wanted, "index_template", commune, [one["libelle"] for one in plan.get("index", [])])
