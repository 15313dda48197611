# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The registry of the groupement: one YAML file per commune, checked, then turned into hosts and groups.

A file is checked against commune.schema.json, then by the rules that no schema can say (SIREN key, known
territory, uniqueness across communes...). All problems of all files are reported together, in French.
Nothing here needs Ansible: the inventory plugin and `fab commune.*` are thin shells over this module.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import hashlib
import ipaddress
import json
import os
import re
import unicodedata
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.durable import write
from ansible_collections.cdg59.creatic.plugins.module_utils.pki import names as naming
from ansible_collections.cdg59.creatic.plugins.module_utils.registry import ip

from creatic.registry import checked_yaml, entities, formalities
from creatic.registry.checked_yaml import (
    FieldPath,
    Problem,
    ProblemsError,
    Source,
    closest,
    dotted,
    fields,
    quote,
    read_schema,
)
from creatic.registry.edited_yaml import scalar
from creatic_agent import law

COMMUNE_SCHEMA = Path(__file__).with_name("commune.schema.json")
_SETTINGS_SCHEMA = Path(__file__).with_name("groupement.schema.json")
_SERVER = re.compile(r"\bansible_host:\s*[\"']?(\d+\.\d+\.\d+\.\d+)")
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_RESERVED_SLUGS = ("pc",)  # its group would be commune_pc, which is a profile
COMMANDS = (
    *("audit", "correctifs", "documents", "droit", "environnement", "historique", "matin", "preparer", "reseau"),
    "serveurs",
)
"""Commands of one word; neither a commune nor, « documents » apart, a machine is called as they are."""
EVERY = ("tous", "toutes")
"""Words that stand for all machines or all communes, where names of some are written."""
OUTGOING = "acces_sortant"
UNMANAGED_ACCESS = "installeur"
"""Access of a PC that nobody reaches, and to which its installer is carried."""
_DNS_NAME_PATTERN = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+\.?")  # of the DNS
"""Group of the communes' machines that nobody can reach."""
# Accounts of the applications that are no person's, and groups of each institution on the site of the délibérations.
_PROGRAMS = ("passerelle", "admin")
_GROUPS = ("redacteurs", "dgs", "maire")
_MAX_HOST_NAME = 63  # characters of a DNS label, RFC 1035
# Size and ANSSI-BP-028 level, by number of agents (bound included).
_COMMUNE_SIZES = ((49, "petite", "minimal"), (100, "moyenne", "intermediary"), (100_000, "grande", "enhanced"))


class GroupementError(ProblemsError, cause="groupement"):
    """The registry is refused; `problems` is all there is to correct."""


@dataclass(frozen=True)
class Host:
    """A host of a commune.

    Attributes:
        is_carried: nobody reaches this PC, and it fetches nothing: its installer is carried there (its own ``acces:
            installeur``). It is no host of Ansible's.
    """

    name: str
    groups: tuple[str, ...]
    variables: dict[str, Any]
    is_carried: bool = False


@dataclass(frozen=True)
class Commune:
    """A commune whose file is good; `data` is that file."""

    slug: str
    data: dict[str, Any]
    departement: str

    @property
    def group(self) -> str:
        """Group of the commune's hosts."""
        return "commune_" + self.slug.replace("-", "_")

    @property
    def parents(self) -> tuple[str, ...]:
        """Groups that hold the commune's group, so that `--limit` says what people mean."""
        return (
            f"territoire_{self.data['territoire']}",
            f"taille_{self._size_entry[1]}",
            f"vague_{self.data['vague']}",
            *(f"service_{service}" for service in self.data["services"]),
            *([OUTGOING] if self.outgoing else []),
        )

    @property
    def outgoing(self) -> bool:
        """Whether nobody can reach its machines, which fetch what they become (``acces: sortant``)."""
        return bool(self.data.get("acces") == "sortant")

    @property
    def variables(self) -> dict[str, Any]:
        """The variable creatic_commune."""
        names = ("nom", "siren", "insee", "territoire", "agents", "vague", "services")
        optional = ("code_postal", "siret", "site_internet", "accord_versement", "formalites", "comptes",
                    "ged", "parapheur", "deliberations")  # fmt: skip # a list of words
        _limit, size, level = self._size_entry
        found = {
            "slug": self.slug,
            **{name: self.data[name] for name in names},
            **{name: self.data[name] for name in optional if name in self.data},
            "taille": size,
            "niveau": level,
            "departement": self.departement,
        }
        hosted = [entities.shaped(found, one) for one in self.data.get("entites", [])]
        return {**found, "entites": hosted} if hosted else found

    def pcs(self) -> Iterator[Host]:
        """Give every PC, those where an installer is carried among them."""
        for poste in self.data["postes"]:
            variables = {
                "nom": poste["nom"],
                "systeme": poste["systeme"],
                "compte": poste.get("compte", "agent"),
                "certificats": poste.get("certificats", []),
            }
            carried = poste.get("acces") == UNMANAGED_ACCESS
            reached = {} if carried else {"ansible_host": str(ip.address(poste["adresse"])), **self._unsupervised}
            yield Host(
                f"{self.slug}-{poste['nom']}",
                ("commune_pc", f"systeme_{poste['systeme']}"),
                {"creatic_poste": variables, **reached},
                carried,
            )

    def hosts(self) -> Iterator[Host]:
        """Give Ansible's hosts, PCs then the connector; no supervision asks those that nobody reaches."""
        yield from (one for one in self.pcs() if not one.is_carried)
        if "connecteur" in self.data:
            connector = self.data["connecteur"]
            yield Host(
                f"{self.slug}-connecteur",
                ("tdt_connector", "systeme_debian"),
                {
                    "ansible_host": str(ip.address(connector["adresse"])),
                    "creatic_connecteur": {
                        key: connector[key] for key in ("tdt", "certificat", "flux_signes") if key in connector
                    },
                    **self._unsupervised,
                },
            )

    @property
    def _unsupervised(self) -> dict[str, Any]:
        return {"creatic_supervision": []} if self.outgoing else {}

    @property
    def _size_entry(self) -> tuple[int, str, str]:
        return next(size for size in _COMMUNE_SIZES if self.data["agents"] <= size[0])


def load(directory: Path, cache: Path | None = None) -> list[Commune]:
    """Read and check the registry.

    Args:
        directory: inventory folder, which holds groupement.yml and communes/.
        cache: folder where files already checked are kept. An entry is found by the content of the file and
            of all that judged it, so that it is never stale; a damaged cache is ignored.

    Returns:
        The communes, by slug.

    Raises:
        GroupementError: with all problems of all files.
    """
    settings, communes = _load_files(directory, cache)
    return [Commune(slug, data, settings["departement"]) for slug, data in communes.items()]


def check(directory: Path) -> list[Problem]:
    """Give all that is wrong in the registry; empty when it is good. Arguments: see `load`."""
    try:
        load(directory)
    except GroupementError as error:
        return error.problems
    return []


def new_commune(
    directory: Path,
    slug: str,
    *,
    siren: str,
    agents: int | str,
    territoire: str,
    nom: str | None = None,
    insee: str | None = None,
    vague: int | str = 1,
    services: Sequence[str] = ("teletransmission",),
    postes: Sequence[str] = ("pc-mairie",),
    connecteur: str | None = None,
) -> Path:
    """Write the commented file of a new commune: never over an existing one, never a wrong one.

    Args:
        directory: inventory folder.
        slug: name of the file and prefix of the hosts, as in `avesnes-les-aubert`.
        siren: 9 digits.
        agents: number of agents.
        territoire: short name of a territory of groupement.yml.
        nom: official name; made from the slug by default, so without accents.
        insee: INSEE code; by default the one that the SIREN of a commune holds (21, department, 0, commune).
        vague: rollout wave.
        services: services that the commune uses.
        postes: PCs, as `name=address`, `name` to be given an address (from .10), or `name=installeur` for one that
            nobody reaches.
        connecteur: address of the connector; one is given by default when the commune transmits (.20).
            Addresses are given in the /24 of the first one in the arguments, else in the next free /24.

    Returns:
        The file written.

    Raises:
        GroupementError: an argument is wrong, the file exists, or the registry already has problems.
    """
    source = Source(f"communes/{slug}.yml", b"")
    check_slug(source, slug)
    target = directory / "communes" / f"{slug}.yml"
    if not source.problems and os.path.lexists(target):
        source.report("ce fichier existe déjà", "modifiez-le, ou choisissez un autre nom")
    if source.problems:
        raise GroupementError(source.problems)

    settings, communes = _load_files(directory)
    machines = [
        (name, None if address == UNMANAGED_ACCESS else address)
        for name, _equal, address in (poste.partition("=") for poste in postes)
    ]
    if connecteur is None and "teletransmission" in services:
        connecteur = ""  # to be given
    machines, connecteur = give_addresses(settings, communes, machines, connecteur, servers_addresses(directory))
    source.raw = render(
        slug,
        {
            "nom": nom or _proper_name(slug),
            "siren": siren,
            "insee": insee or insee_of(siren),
            "territoire": territoire,
            "agents": _parse_number(agents),
            "vague": _parse_number(vague),
            "services": list(services),
        },
        machines,
        connecteur,
    ).encode()
    _write_new(directory, target, source)
    return target


def insee_of(siren: str) -> str:
    """Give the INSEE code that the SIREN of a commune holds (21, department, 0, commune); "" when it holds none."""
    return siren[2:4] + siren[5:8] if re.fullmatch(r"21\d{7}", siren) else ""


def _write_new(directory: Path, target: Path, source: Source) -> None:
    """Write a file that is not there yet, once the registry is good with it. Raises GroupementError."""
    try:
        _load_files(directory, new=source)
    except GroupementError as error:
        # a line number means nothing in a file that is not written
        raise GroupementError(
            [
                dataclasses.replace(problem, line=None) if problem.file == source.label else problem
                for problem in error.problems
            ]
        ) from None
    try:
        write(target, source.raw, 0o644, replace=False)
    except FileExistsError:
        source.report("ce fichier vient d'être créé par quelqu'un d'autre", "relisez-le avant de continuer")
    except OSError:
        source.report("le fichier ne peut pas être écrit", "vérifiez vos droits et la place sur le disque")
    if source.problems:
        raise GroupementError(source.problems)


def fields_table() -> str:
    """Give the fields of a commune file as a Markdown table, in French, for docs/communes.md."""
    schema = read_schema(COMMUNE_SCHEMA)
    lines = ["| champ | obligatoire | ce qu'on y écrit | exemple |", "|---|---|---|---|"]
    for name, about, required in fields(schema):
        example = f"`{about['x-exemple']}`" if "x-exemple" in about else ""
        default = f" (`{about['default']}` par défaut)" if about.get("default") else ""
        need = "oui" if required else "non"
        lines.append(f"| `{name}` | {need} | {about['description']}{default} | {example} |")
    return "\n".join(lines)


# Reading and checking


def _load_files(
    directory: Path, cache: Path | None = None, new: Source | None = None
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Give the settings, and the data of each commune by slug; `new` is a commune not yet on disk."""
    problems: list[Problem] = []
    settings = read_settings(directory, problems)
    store = _Store(cache if settings else None, directory)
    checked: list[tuple[Source, dict[str, Any]]] = []
    sources = read_sources(directory / "communes", problems) + ([new] if new else [])
    for source in sources:
        misnamed = bool(source.problems)
        data = store.get(source)
        if data is None and source.raw:
            data = check_commune(source, settings)
            if data is not None and not source.problems:
                store.put(source, data)
        if data is not None and not misnamed:  # a copy under another extension would clash everywhere
            checked.append((source, data))
    check_unique(checked)
    for source in sources:
        problems += source.problems
    if problems or settings is None:
        raise GroupementError(sorted(problems, key=lambda problem: (problem.file, problem.line or 0)))
    store.save()
    return settings, {Path(source.label).stem: data for source, data in checked}


def read_settings(directory: Path, problems: list[Problem]) -> dict[str, Any] | None:
    source = Source("groupement.yml", b"")
    try:
        source.raw = (directory / "groupement.yml").read_bytes()
    except OSError:
        source.report("le fichier est introuvable", "créez-le, ou vérifiez le dossier de l'inventaire")
    else:
        settings = source.read()
        if settings is not None:
            source.check_schema(settings, _SETTINGS_SCHEMA)
            if "adresses" in settings and not source.problems:
                _check_range(source, settings["adresses"])
            if not source.problems:
                return settings
    problems += source.problems
    return None


def read_sources(folder: Path, problems: list[Problem]) -> list[Source]:
    """Read communes/*.yml; what looks like a commune but would be left out is a problem."""
    sources = []
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        fix = "créez le dossier communes/ à côté de groupement.yml"
        problems.append(Problem("communes/", None, "", "le dossier est introuvable", fix))
        return []
    for path in paths:
        source = Source(f"communes/{path.name}", b"")
        if path.suffix.lower() in (".yml", ".yaml"):
            check_slug(source, path.stem)
            if path.suffix != ".yml" and not source.problems:
                source.report("l'extension du fichier n'est pas .yml", f"renommez-le en {path.stem}.yml")
            source.load(path, 64, "le fichier d'une commune")
            if not source.problems:
                source.raw = source.raw or b"\n"  # an empty file is one all the same
        elif path.is_dir():
            source.report("communes/ ne contient pas de dossiers", "mettez les fichiers .yml dans communes/ même")
        if source.raw or source.problems:
            sources.append(source)
    return sources


def check_slug(source: Source, slug: str) -> None:
    if not _SLUG.fullmatch(slug):
        fix = "nommez-le en minuscules, chiffres et traits d'union, sans accent ni espace"
        if slugify(slug):
            fix += f" : {slugify(slug)}.yml"
        source.report("le nom du fichier n'est pas admis", fix)
    elif slug in (*_RESERVED_SLUGS, *COMMANDS, *EVERY):
        source.report("ce nom de fichier est réservé", f"donnez un autre nom, par exemple {slug}-commune.yml")


def check_commune(source: Source, settings: dict[str, Any] | None) -> dict[str, Any] | None:
    data = source.read()
    if data is None:
        return None
    source.check_schema(data, COMMUNE_SCHEMA)
    wrong = {problem.field for problem in source.problems}
    if "siren" in data and "siren" not in wrong:
        _check_siren(source, data["siren"])
    _check_siret(source, data)
    if settings:
        _check_place(source, data, settings, wrong)
    services = data.get("services")
    if isinstance(services, list) and "teletransmission" in services and "connecteur" not in data:
        source.report(
            "champ obligatoire absent : la commune a le service teletransmission",
            "ajoutez connecteur: avec adresse et tdt, ou retirez teletransmission des services",
            ("connecteur",),
        )
    _check_name(source, data.get("nom"), ("nom",))
    _check_holders(source, data)
    _check_signed(source, data)
    _check_formalities(source, data)
    _check_people(source, data)
    _check_roles(source, data)
    _check_publication(source, data)
    _check_access(source, data)
    _check_entities(source, data)
    slug = Path(source.label).stem
    for path, name, address in _walk_machines(data):
        if len(f"{slug}-{name}") > _MAX_HOST_NAME:
            fix = f"raccourcissez-le : {_MAX_HOST_NAME} caractères au plus"
            source.report(f"le nom de machine {quote(f'{slug}-{name}')} est trop long", fix, (*path, "nom"))
        _check_address(source, (*path, "adresse"), address)
    return data


def _check_siren(source: Source, siren: str) -> None:
    """Check the key: Luhn's algorithm on the 9 digits (INSEE, répertoire Sirene)."""
    if total := _luhn_remainder(siren):
        key = (int(siren[8]) - total) % 10
        source.report(
            f"la clé de {quote(siren)} est fausse (elle vaut {key} si les 8 premiers chiffres sont bons)",
            "recopiez le SIREN de la commune, par exemple depuis annuaire-entreprises.data.gouv.fr",
            ("siren",),
        )


def _luhn_remainder(number: str) -> int:
    """What Luhn's algorithm leaves of a number, 0 when its key is right (ISO/IEC 7812-1, annex B)."""
    digits = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(number))]
    return sum(digit // 10 + digit % 10 for digit in digits) % 10


def _check_siret(source: Source, data: Mapping[str, Any]) -> None:
    """Check that a SIRET is of the same SIREN, and its key (INSEE, répertoire Sirene), once the schema takes both."""
    siret, siren = data.get("siret"), data.get("siren")
    if siret is None or {"siret", "siren"} & {problem.field for problem in source.problems}:
        return
    fix = "recopiez le SIRET du siège, par exemple depuis annuaire-entreprises.data.gouv.fr"
    if not siret.startswith(siren):
        source.report(f"{quote(siret)} n'est pas un SIRET du SIREN {siren}", fix, ("siret",))
    elif _luhn_remainder(siret):
        source.report(f"la clé de {quote(siret)} est fausse", fix, ("siret",))


def _check_name(source: Source, name: object, path: FieldPath) -> None:
    """Check that the name of a commune, or of an entity, is one, and its own: labels and certificates bear it."""
    if not isinstance(name, str):
        return  # said by the schema
    if naming.is_joined(name):
        # GED and parapheur name what is an institution's by its name, then « - ».
        what, sample = ("libellé", "CCAS de Gondecourt") if path == ("libelle",) else ("nom", "Avesnes-les-Aubert")
        fix = f"écrivez-le autrement, par exemple {sample}"
        source.report(f"le {what} ne peut pas contenir un tiret entre deux espaces", fix, path)
    if naming.is_reserved(name):
        told = f"{quote(name)} commence par un nom réservé aux machines et aux services du groupement"
        source.report(told, "écrivez le nom officiel", path)
    _check_alphabet(source, name, path)


def _check_person_s(source: Source, name: str, fix: str, path: FieldPath) -> None:
    """Check that the authority certifies a name, and that it is no machine's nor service's (see pki.names)."""
    borne = naming.composed(name)  # as a certificate bears it (pki.common.Request)
    if naming.kind_of(borne) != naming.PERSON or naming.reads_as_reserved(borne):
        told = f"{quote(name)} est un nom réservé aux machines et aux services du groupement, ou se lit comme tel"
        source.report(told, fix, path)
    if naming.strange(name):
        _check_alphabet(source, name, path)
    elif sign := naming.unknown_sign(borne):
        told = f"{quote(name)} contient {quote(sign)} (U+{ord(sign):04X}), qu'aucun certificat ne peut porter ici"
        source.report(told, "retirez ce signe, ou remplacez-le par une lettre", path)


def _check_alphabet(source: Source, name: str, path: FieldPath) -> None:
    if other := naming.strange(name):
        told = f"{quote(name)} contient {quote(other)}, qui n'est d'aucun alphabet latin et y ressemble peut-être"
        source.report(told, "récrivez-le au clavier", path)


def _check_holders(source: Source, data: Mapping[str, Any]) -> None:
    """Check that no certificate nor account would bear the name of a machine or of a service: roles alone give them."""
    _check_full_names(source, data)
    posts = data.get("postes")
    for index, poste in enumerate(posts if isinstance(posts, list) else []):
        given = poste.get("certificats") if isinstance(poste, dict) else None
        for number, one in enumerate(given if isinstance(given, list) else []):
            holder = one.get("titulaire") if isinstance(one, dict) else None
            if isinstance(holder, str):
                fix = "écrivez la personne ou le service de la mairie, par exemple titulaire: Secrétariat général"
                _check_person_s(source, holder, fix, ("postes", index, "certificats", number, "titulaire"))


def _check_full_names(source: Source, data: Mapping[str, Any]) -> None:
    accounts = data.get("comptes")
    for index, one in enumerate(accounts if isinstance(accounts, list) else []):
        first, last = (one.get("prenom"), one.get("nom")) if isinstance(one, dict) else (None, None)
        if isinstance(first, str) and isinstance(last, str):
            path = ("comptes", index, "prenom")
            _check_person_s(source, f"{first} {last}", "écrivez le prénom et le nom de la personne", path)


def _check_signed(source: Source, data: Mapping[str, Any]) -> None:
    """Check that what a council adopts is signed before it is transmitted (CGCT, L2131-1): circuits sign it."""
    services = data.get("services")
    taken = {one for one in services if isinstance(one, str)} if isinstance(services, list) else set()
    if {"deliberations", "teletransmission"} <= taken and "parapheur" not in taken:
        source.report(
            "avec deliberations et teletransmission, et sans parapheur, une délibération adoptée serait proposée à la "
            "télétransmission sans signature",
            "ajoutez parapheur aux services, et ses circuits sous parapheur:, ou retirez-en deliberations ou "
            "teletransmission",
            ("services",),
        )


def _check_place(source: Source, data: dict[str, Any], settings: dict[str, Any], wrong: set[str]) -> None:
    prefix = settings["departement"].removeprefix("0")
    if "insee" in data and "insee" not in wrong and not data["insee"].startswith(prefix):
        source.report(
            f"le code {quote(data['insee'])} n'est pas dans le département {prefix}",
            f"écrivez le code INSEE de la commune (pas le code postal) : il commence par {prefix}",
            ("insee",),
        )
    known = settings["territoires"]
    if "territoire" in data and "territoire" not in wrong and data["territoire"] not in known:
        choices = "territoires déclarés : " + ", ".join(known)
        nearest = closest(data["territoire"], known)
        fix = f"remplacez par « {nearest} »" if nearest else "choisissez un territoire, ou déclarez-le"
        source.report(
            f"le territoire {quote(data['territoire'])} n'est pas déclaré dans groupement.yml",
            f"{fix} ({choices})",
            ("territoire",),
        )


def _check_formalities(source: Source, data: dict[str, Any]) -> None:
    """Check that days are days, and that the DGFiP's agreement is there or said to have no object, not both."""
    given = data.get("formalites")
    for key, formality in (given if isinstance(given, dict) else {}).items():
        if not isinstance(formality, dict):
            continue
        day = formality.get("date")
        if isinstance(day, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", day):
            try:
                dt.date.fromisoformat(day)
            except ValueError:
                fix = 'écrivez année-mois-jour entre guillemets, par exemple date: "2026-03-02"'
                source.report(f"le jour {quote(day)} n'existe pas", fix, ("formalites", key, "date"))
        if key == "accord_dgfip" and {*formality} not in ({"date", "document"}, {"sans_objet"}):
            message = "il y faut date et document, ou sans_objet seul"
            source.report(message, "complétez, ou retirez ce qui est de trop", ("formalites", key))


def _walk_people(data: Mapping[str, Any]) -> Iterator[tuple[FieldPath, str]]:
    """Give the place and the login of each person, as far as the file can be understood."""
    accounts = data.get("comptes")
    for index, account in enumerate(accounts if isinstance(accounts, list) else []):
        login = account.get("identifiant") if isinstance(account, dict) else None
        if isinstance(login, str):
            yield ("comptes", index, "identifiant"), login


def _check_people(source: Source, data: dict[str, Any]) -> None:
    """Check that the services of the GED are told apart, and that who is named is of this commune."""
    known = [login for _path, login in _walk_people(data)]
    _check_circuits(source, data, known)
    ged = data.get("ged")
    services = ged.get("services") if isinstance(ged, dict) else None
    names: set[str] = set()
    for index, service in enumerate(services if isinstance(services, list) else []):
        path: FieldPath = ("ged", "services", index)
        if not isinstance(service, dict):
            continue
        name = service.get("nom")
        if isinstance(name, str):
            if name.casefold() in names:
                source.report(f"le service {quote(name)} est écrit deux fois", "réunissez ses agents", (*path, "nom"))
            names.add(name.casefold())
        agents = service.get("agents")
        for place, agent in enumerate(agents if isinstance(agents, list) else []):
            _check_person(source, (*path, "agents", place), "l'agent", agent, known)


def _check_person(source: Source, path: FieldPath, who: str, login: object, known: Sequence[str]) -> None:
    if not isinstance(login, str) or login in known:
        return  # said by the schema; or right
    nearest = closest(login, known)
    fix = f"remplacez par « {nearest} »" if nearest else "ajoutez cette personne à comptes, ou retirez-la"
    listed = f" (identifiants de comptes : {', '.join(known)})" if known else ""
    source.report(f"{who} {quote(login)} n'est pas dans comptes", fix + listed, path)


def _check_circuits(source: Source, data: dict[str, Any], known: Sequence[str]) -> None:
    """Check that the parapheur names people of this commune, and nobody as their own deputy."""
    circuits = data.get("parapheur")
    if not isinstance(circuits, dict):
        return
    for role, who in (("redacteurs", "le rédacteur"), ("delegataires", "le délégataire")):
        logins = circuits.get(role)
        for place, login in enumerate(logins if isinstance(logins, list) else []):
            _check_person(source, ("parapheur", role, place), who, login, known)
    checks = circuits.get("controles")
    roles: list[tuple[FieldPath, Any]] = [(("parapheur", name), circuits.get(name)) for name in ("dgs", "maire")]
    for name, role in (checks if isinstance(checks, dict) else {}).items():
        roles.append((("parapheur", "controles", str(name)), role))
    for path, role in roles:
        if not isinstance(role, dict):
            continue
        _check_person(source, (*path, "titulaire"), "le titulaire", role.get("titulaire"), known)
        deputies = role.get("suppleants")
        for place, login in enumerate(deputies if isinstance(deputies, list) else []):
            here = (*path, "suppleants", place)
            _check_person(source, here, "le suppléant", login, known)
            if isinstance(login, str) and login == role.get("titulaire"):
                message = f"{quote(login)} est déjà le titulaire"
                source.report(message, "nommez quelqu'un d'autre, ou supprimez suppleants", here)


def _check_roles(source: Source, data: dict[str, Any]) -> None:
    """Check that those who prepare the council's meetings are people of this commune."""
    known = [login for _path, login in _walk_people(data)]
    given = data.get("deliberations")
    if not isinstance(given, dict):
        return
    _check_person(source, ("deliberations", "maire"), "le maire", given.get("maire"), known)
    _check_preparers(source, given, known)
    _check_councillors(source, data, given, known)


def _check_preparers(source: Source, given: Mapping[str, Any], known: Sequence[str]) -> None:
    for role, who in (("redacteurs", "le rédacteur"), ("dgs", "le directeur")):
        logins = given.get(role)
        for place, login in enumerate(logins if isinstance(logins, list) else []):
            _check_person(source, ("deliberations", role, place), who, login, known)


def _check_councillors(source: Source, data: dict[str, Any], given: Mapping[str, Any], known: Sequence[str]) -> None:
    """Check that who reads the council's papers sits in it now: the right ends with the mandate (CGCT, L2121-13)."""
    logins, members = given.get("acces_elus"), given.get("elus")
    accounts = data.get("comptes")
    names = {
        one.get("identifiant"): f"{one.get('prenom')} {one.get('nom')}"
        for one in (accounts if isinstance(accounts, list) else [])
        if isinstance(one, dict)
    }
    _check_head(source, data, given, names)
    seen: dict[str, str] = {}
    for place, login in enumerate(logins if isinstance(logins, list) else []):
        path = ("deliberations", "acces_elus", place)
        _check_person(source, path, "l'élu", login, known)
        if not isinstance(login, str) or login not in names:
            continue
        name = names[login]
        if name not in (members if isinstance(members, list) else [name]):
            source.report(
                f"{quote(login)} est {name}, qui n'est pas dans elus",
                "retirez-le si son mandat est fini ; sinon écrivez son nom dans elus comme dans comptes",
                path,
            )
        elif seen.setdefault(name, login) != login:
            source.report(
                f"{quote(login)} et {quote(seen[name])} sont deux identifiants de {name}", "gardez-en un", path
            )


def _check_head(source: Source, data: Mapping[str, Any], given: Mapping[str, Any], names: Mapping[Any, str]) -> None:
    """Check that who presides the council is one person, and sits in it (CGCT, L2122-1; CASF, L123-6).

    Args:
        names: of who has an account, by login.
    """
    circuits, members = data.get("parapheur"), given.get("elus")
    signs = circuits.get("maire") if isinstance(circuits, dict) else None
    signing = signs.get("titulaire") if isinstance(signs, dict) else None
    head, who = (given["maire"], "le maire") if "maire" in given else (signing, "le président")
    if not isinstance(head, str) or head not in names:
        return  # told by others
    if isinstance(signing, str) and signing in names and signing != head:
        source.report(
            f"le maire est {quote(head)} pour le conseil, et {quote(signing)} pour le parapheur",
            "écrivez la même personne aux deux endroits : un adjoint qui supplée le maire va dans suppleants",
            ("deliberations", "maire"),
        )
    if isinstance(members, list) and names[head] not in members:
        source.report(
            f"{who}, {names[head]}, n'y est pas", "écrivez-le en premier, comme dans comptes", ("deliberations", "elus")
        )


def _check_publication(source: Source, data: dict[str, Any]) -> None:
    """Check that the law lets the council choose how its acts are published (CGCT, L2131-1, IV)."""
    given = data.get("deliberations")
    if not isinstance(given, dict) or "publication" not in given:
        return
    path = ("deliberations", "publication")
    counted = "habitants_publicite" if "habitants_publicite" in given else "habitants"
    people = given.get(counted)
    if people is None:
        source.report(
            "le conseil ne choisit que dans une commune de moins de 3 500 habitants (CGCT, L2131-1, IV), et leur "
            "nombre n'est pas écrit",
            "ajoutez habitants: (ou habitants_publicite:) sous deliberations:, ou retirez publication",
            path,
        )
    elif isinstance(people, int) and law.of(law.COMMUNE, people).publicity.value is not law.Publicity.CHOICE:
        source.report(
            f"avec {people} habitants, le conseil ne choisit pas : les actes sont mis en ligne (CGCT, L2131-1)",
            f"retirez publication, ou corrigez {counted}",
            path,
        )


def _check_access(source: Source, data: dict[str, Any]) -> None:
    """Check that machines which nobody reaches can fetch for themselves: Ansible does not run on Windows."""
    posts = data.get("postes")
    if data.get("acces") != "sortant" or not isinstance(posts, list):
        return
    if any(isinstance(one, dict) and (one.get("systeme"), one.get("acces")) == ("windows", None) for one in posts):
        source.report(
            "un poste Windows ne peut pas venir chercher lui-même ce qu'il doit devenir",
            f"écrivez acces: {UNMANAGED_ACCESS} à ce poste, sans adresse, et portez-y son installateur (fab "
            "poste.installeur)",
            ("acces",),
        )


def _check_entities(source: Source, data: dict[str, Any]) -> None:
    """Check the entities that a commune hosts, as a commune is, once the schema refuses nothing of the file."""
    if "entites" not in data or not entities.readable(source, data):
        return
    for index, entity in enumerate(data["entites"]):
        part, shape = entities.EntitySource(source, index), entities.checkable(data, entity)
        _check_siren(part, entity["siren"])
        _check_siret(part, entity)
        _check_name(part, entity["libelle"], ("libelle",))
        _check_full_names(part, entity)
        _check_signed(part, entity)
        _check_formalities(part, shape)
        _check_people(part, shape)
        known = [login for _path, login in _walk_people(shape)]
        _check_preparers(part, shape.get("deliberations", {}), known)
        _check_councillors(part, shape, shape.get("deliberations", {}), known)
        entities.check(part, Path(source.label).stem, data, entity)
    entities.check_readers(source, data, data["entites"])


def _walk_machines(data: dict[str, Any]) -> Iterator[tuple[FieldPath, str, str]]:
    """Give each machine's place, name and address, as far as the file can be understood."""
    machines: list[tuple[FieldPath, Any]] = []
    if isinstance(data.get("postes"), list):
        machines += [(("postes", index), poste) for index, poste in enumerate(data["postes"])]
    machines.append((("connecteur",), data.get("connecteur")))
    for path, machine in machines:
        if isinstance(machine, dict):
            name = "connecteur" if path == ("connecteur",) else machine.get("nom")
            address = machine.get("adresse")
            yield path, name if isinstance(name, str) else "", address if isinstance(address, str) else ""


def _check_address(source: Source, path: FieldPath, address: str) -> None:
    if not address:
        return  # said by the schema
    fix = "écrivez l'adresse IP fixe de la machine, par exemple 10.59.2.10"
    try:
        usable = is_of_a_machine(address)
    except ValueError:
        if _DNS_NAME_PATTERN.fullmatch(address):  # whoever answers to it today would enter the firewall's rules
            fix = (
                "écrivez l'adresse IP de la machine sur le réseau de la commune ; si celle où on la joint change (une "
                "box sans adresse fixe), écrivez acces: sortant, et elle viendra d'elle-même au guichet "
                "(docs/exploitation.md, « Une box dont l'adresse change »)"
            )
        source.report(f"{quote(address)} n'est pas une adresse IP", fix, path)
        return
    if not usable:
        source.report(f"{quote(address)} ne peut pas être l'adresse d'une machine du réseau", fix, path)


def is_of_a_machine(address: str) -> bool:
    """Tell whether an IP address can be one of a machine of the network.

    Raises:
        ValueError: it is no IP address.
    """
    parsed = ip.address(address)
    return not (
        parsed.is_unspecified
        or parsed.is_loopback
        or parsed.is_multicast
        or parsed.is_link_local
        or str(parsed) == "255.255.255.255"
    )


def _check_range(source: Source, addresses: str) -> None:
    fix = "écrivez une plage IPv4 de /8 à /23, par exemple adresses: 10.59.0.0/16"
    try:
        network = ipaddress.IPv4Network(addresses)
    except ValueError:
        source.report(f"{quote(addresses)} n'est pas une plage d'adresses", fix, ("adresses",))
        return
    if not 8 <= network.prefixlen <= 23:
        source.report(f"la plage {quote(addresses)} est trop grande ou trop petite", fix, ("adresses",))


def check_unique(checked: Sequence[tuple[Source, dict[str, Any]]]) -> None:
    """Report what two communes, or two machines, cannot share."""
    owners: dict[tuple[str, str], str] = {}

    def claim(source: Source, path: FieldPath, kind: str, value: str, fix: str, key: str = "") -> None:
        owner = owners.setdefault((kind, key or value.casefold()), f"{source.label} ({dotted(path)})")
        if owner != f"{source.label} ({dotted(path)})":
            source.report(f"{kind} {quote(value)} est déjà dans {owner}", fix, path)

    _check_providers_files(checked)
    _check_logins(checked)
    files = {Path(source.label).stem for source, _data in checked}
    machines = {
        f"{Path(source.label).stem}-{name}" for source, data in checked for _at, name, _ip in _walk_machines(data)
    }
    for source, data in checked:
        slug = Path(source.label).stem
        for name, kind in (("nom", "le nom"), ("siren", "le SIREN"), ("insee", "le code INSEE")):
            if isinstance(data.get(name), str):
                fix = "corrigez celui des deux fichiers qui se trompe, ou supprimez le doublon"
                called = [data[name], naming.pc_organization(data[name])] if name == "nom" else [data[name]]
                for one in called:
                    claim(source, (name,), kind, data[name], fix, naming.skeleton(one))
        for path, login in _walk_people(data):
            claim(source, path, "l'identifiant", login, "donnez un identifiant par personne")
        for path, entity in entities.written(data):
            name = entities.slug(slug, entity)
            fix = "donnez un autre nom court à l'entité"
            if name in machines:  # commands take both names
                source.report(f"le nom {quote(name)} est celui d'une machine", fix, (*path, "nom"))
            if name in files:
                source.report(f"le nom {quote(name)} est celui de communes/{name}.yml", fix, (*path, "nom"))
            claim(source, (*path, "nom"), "le nom d'entité", name, "donnez un autre nom court à l'entité")
            fix = "donnez à l'entité son nom entier"
            claim(source, (*path, "libelle"), "le nom", entity["libelle"], fix, naming.skeleton(entity["libelle"]))
            claim(source, (*path, "siren"), "le SIREN", entity["siren"], "une entité a son propre SIREN : corrigez-le")
            for place, login in _walk_people(entity):
                claim(source, (*path, *place), "l'identifiant", login, "donnez un identifiant par personne")
        for path, name, address in _walk_machines(data):
            if name:
                fix = "donnez un autre nom au poste"
                claim(source, (*path, "nom"), "le nom de machine", f"{slug}-{name}", fix)
            with contextlib.suppress(ValueError):
                canonical = str(ip.address(address))
                claim(source, (*path, "adresse"), "l'adresse", canonical, "donnez une adresse par machine")


def _check_logins(checked: Sequence[tuple[Source, dict[str, Any]]]) -> None:
    """Report the login of a person that an application takes for another's: a program's, or that of a group, to which
    the site of the délibérations gives rights by the same name."""
    taken = dict.fromkeys(_PROGRAMS, "un programme du groupement")
    for source, data in checked:
        commune = Path(source.label).stem
        for slug in (commune, *(entities.slug(commune, entity) for _path, entity in entities.written(data))):
            taken |= dict.fromkeys((f"{slug}-{kind}" for kind in _GROUPS), f"un groupe de {slug}")
    fix = "donnez celui de la personne, par exemple claire.dubois"
    for source, data in checked:
        people = [*_walk_people(data)]
        for path, entity in entities.written(data):
            people += [((*path, *place), login) for place, login in _walk_people(entity)]
        for path, login in people:
            if whose := taken.get(login):
                source.report(f"l'identifiant {quote(login)} est déjà celui d'{whose}", fix, path)


def _check_providers_files(checked: Sequence[tuple[Source, dict[str, Any]]]) -> None:
    """Report, in both, what two communes name of the control node's secrets: one of them would get the other's."""
    named: dict[str, list[tuple[Source, FieldPath, str]]] = {}
    for source, data in checked:
        for path, name in _walk_secret_files(data):
            named.setdefault(name.casefold(), []).append((source, path, name))
    for places in named.values():
        for source, path, name in places:
            other = next((one for one in places if one[0] is not source), None)
            if other:
                source.report(
                    f"le fichier {quote(name)} est aussi nommé dans {other[0].label} ({dotted(other[1])})",
                    "un certificat de prestataire, ou son secret, est d'une seule commune : corrigez l'un des deux",
                    path,
                )


def _walk_secret_files(value: Any, path: FieldPath = ()) -> Iterator[tuple[FieldPath, str]]:
    """Give the files of secrets/ that a commune's file names, wherever it does, as far as it can be understood."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in parts:
        if key in ("fichier", "secret") and isinstance(inner, str):
            yield (*path, key), inner
        yield from _walk_secret_files(inner, (*path, key))


class _Store:
    """Files already found good, in one JSON file per inventory folder."""

    def __init__(self, folder: Path | None, directory: Path) -> None:
        self._found: dict[str, Any] = {}
        self._used: dict[str, Any] = {}
        self._file: Path | None = None
        self._salt = b""
        if folder:
            place = hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:12]
            self._file = folder / f"{directory.name}-{place}.json"
            others = (checked_yaml, entities, ip, naming)
            code = [Path(one) for one in (__file__, *(str(one.__file__) for one in others))]
            judges = (*code, COMMUNE_SCHEMA, directory / "groupement.yml")
            self._salt = b"".join(hashlib.sha256(judge.read_bytes()).digest() for judge in judges)
            with contextlib.suppress(OSError, ValueError):
                digest, _newline, body = self._file.read_bytes().partition(b"\n")
                if digest == self._file_digest(body):
                    self._found = json.loads(body)

    def _file_digest(self, content: bytes) -> bytes:
        return hashlib.sha256(self._salt + content).hexdigest().encode()

    def get(self, source: Source) -> dict[str, Any] | None:
        """Give the data of a file, if it was found good."""
        if not self._file:
            return None
        key = self._cache_key(source)
        if key in self._found:
            self._used[key] = self._found[key]
        return self._used.get(key)

    def put(self, source: Source, data: dict[str, Any]) -> None:
        """Keep the data of a good file."""
        self._used[self._cache_key(source)] = data

    def _cache_key(self, source: Source) -> str:
        return self._file_digest(source.label.encode() + b"\0" + source.raw).decode()

    def save(self) -> None:
        """Write what this run used, if anything changed; a cache that cannot be written is no error."""
        if self._file and self._used.keys() != self._found.keys():
            body = json.dumps(self._used).encode()
            with contextlib.suppress(OSError):
                self._file.parent.mkdir(parents=True, exist_ok=True)
                write(self._file, self._file_digest(body) + b"\n" + body, 0o644)


# Writing


def slugify(text: str) -> str:
    ascii_text = unicodedata.normalize("NFKD", text.replace("œ", "oe").replace("Œ", "oe"))
    plain = "".join(char for char in ascii_text if not unicodedata.combining(char)).lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def _proper_name(slug: str) -> str:
    """Make a name from a slug: la-madeleine, La Madeleine; avesnes-les-aubert, Avesnes-les-Aubert."""
    small = ("au", "aux", "de", "des", "du", "en", "et", "la", "le", "les", "lez", "sous", "sur")
    words = [word if word in small else word.capitalize() for word in slug.split("-")]
    if words[0] in ("la", "le", "les"):
        words[:2] = [" ".join((words[0].capitalize(), *words[1:2]))]
    return "-".join(words)


def _parse_number(value: int | str) -> int | str:
    """Read a number of the command line; what is not one is left to the schema."""
    return int(value) if str(value).isdecimal() else value


def give_addresses(
    settings: dict[str, Any],
    communes: dict[str, dict[str, Any]],
    postes: Sequence[tuple[str, str | None]],
    connector: str | None,
    servers: Iterable[str],
) -> tuple[list[tuple[str, str | None]], str | None]:
    """Give an address to each machine whose address is empty (a connector that is None is no machine, a PC whose
    address is None has none)."""
    given = [address for address in (*(address for _name, address in postes), connector) if address]
    taken = {
        *given,
        *servers,
        *(address for data in communes.values() for _path, _name, address in _walk_machines(data)),
    }
    if connector != "" and all(address != "" for _name, address in postes):
        return list(postes), connector
    network = given[0].rpartition(".")[0] if given and "." in given[0] else _free_network(settings, taken)
    if connector == "":
        connector = next(_free_addresses(network, 20, taken), "")
    free = _free_addresses(network, 10, {*taken, connector})
    return [(name, next(free, "") if address == "" else address) for name, address in postes], connector


def servers_addresses(directory: Path) -> list[str]:
    """Give the addresses of the machines of no commune, whatever else their file says."""
    return [found for path in directory.glob("*.y*ml") for found in _SERVER.findall(path.read_text("utf-8", "replace"))]


def _free_addresses(network: str, first: int, taken: Container[str | None]) -> Iterator[str]:
    addresses = (f"{network}.{last}" for last in range(first, 255))
    return (address for address in addresses if address not in taken)


def _free_network(settings: dict[str, Any], taken: Iterable[str]) -> str:
    """Give the first three numbers of a /24 without a machine; the range's first /24 is the servers'."""
    if "adresses" not in settings:
        fix = "donnez une adresse à chaque poste et au connecteur, ou ajoutez adresses: à groupement.yml"
        raise GroupementError([Problem("groupement.yml", None, "adresses", "champ absent", fix)])
    used = {address.rpartition(".")[0] for address in taken}
    networks = ipaddress.IPv4Network(settings["adresses"]).subnets(new_prefix=24)
    next(networks)
    for network in networks:
        prefix = str(network.network_address).rpartition(".")[0]
        if prefix not in used:
            return prefix
    fix = "agrandissez la plage dans groupement.yml, ou donnez les adresses vous-même"
    message = f"plus de réseau /24 libre dans {quote(settings['adresses'])}"
    raise GroupementError([Problem("groupement.yml", None, "adresses", message, fix)])


def render(slug: str, commune: dict[str, Any], postes: Sequence[tuple[str, str | None]], connector: str | None) -> str:
    value = {name: scalar(each) for name, each in commune.items() if name != "services"}
    services = ", ".join(map(scalar, commune["services"]))
    lines = [
        "---",
        "# Fiche de la commune. Chaque champ est expliqué dans docs/communes.md.",
        f"nom: {value['nom']}   # vérifiez les accents",
        f"siren: {value['siren']}",
        f"insee: {value['insee']}   # code INSEE, pas le code postal",
        f"territoire: {value['territoire']}   # déclaré dans groupement.yml",
        f"agents: {value['agents']}   # donne la taille de la commune et son niveau de durcissement",
        f"vague: {value['vague']}   # vague de déploiement",
        "# Parmi : teletransmission, parapheur, deliberations, ged, archivage.",
        f"services: [{services}]",
        "",
        "# Un tiret par poste dont l'agent a un certificat.",
        "postes:" if postes else "postes: []",
    ]
    for name, address in postes:
        lines += [f"  {line}" for line in poste_lines(name, address)]
    if connector is not None:
        lines += [
            "",
            "# La machine qui envoie les actes au tiers de télétransmission.",
            "connecteur:",
            f"  adresse: {scalar(connector)}",
            "  tdt: s2low",
            "  # Son certificat RGS** d'un prestataire, sans lequel la commune n'est jamais prête : déposez les deux",
            "  # fichiers dans secrets/ du poste de commande, et retirez le # de ces trois lignes.",
            "  # certificat:",
            f"  #   fichier: {slug}-connecteur.p12",
            f"  #   secret: {slug}-connecteur.mdp",
            "",
            "# Ce que la commune règle avant de télétransmettre : retirez le # de chaque ligne à mesure ; le document",
            "# va dans formalites/. Sans elles, la commune est équipée, mais pas prête.",
            "# formalites:",
            *(f'#   {key}: {{date: "2026-03-02", document: fichier.pdf}}' for key in formalities.TRANSMISSION),
        ]
    return "\n".join(lines) + "\n"


def poste_lines(name: str, address: str | None, system: str = "") -> list[str]:
    """Write a PC and its first certificate, as a list's item.

    Args:
        address: None where its installer is carried.
        system: by default Windows where its installer is carried, else Debian.
    """
    access = f"  acces: {UNMANAGED_ACCESS}   # personne ne le joint : fab poste.installeur"
    return [
        f"- nom: {scalar(name)}",
        access if address is None else f"  adresse: {scalar(address)}",
        f"  systeme: {scalar(system or ('windows' if address is None else 'debian'))}   # debian ou windows",
        "  certificats:",
        "    - titulaire: Secrétariat général   # la personne ou le service",
        "      usage: authentification   # ou signature",
        # A TdT of production refuses the groupement's (RGS): nothing is chosen silently.
        "      # groupement : un TdT de production (RGS) le refuse. Chez lui, source: fichier (.p12 d'un",
        "      # prestataire, avec fichier: et secret:) ou source: jeton (clé USB).",
        "      source: groupement",
    ]
