# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""All that can be known of an inventory before a machine changes: its files first, then what each profile needs.

The files are read without Ansible, which ignores a misspelt key or group, and stops at the first fault of the others.
`needs` asks the roles' argument specs, with Ansible's own variables.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
import yaml
from ansible_collections.cdg59.creatic.plugins.module_utils.registry import ip
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from jinja2 import nodes

from creatic.applications import ged
from creatic.archive import durees, formats
from creatic.audit import controls
from creatic.check import together
from creatic.pki.pkcs12_file import (
    Pkcs12FileError,
    own_pkcs12,
    read_pkcs12,
)
from creatic.registry import groupement, profiles, servers
from creatic.registry.checked_yaml import (
    Problem,
    Source,
    closest,
    is_nothing,
    quote,
)

_GROUP_KEYS = ("hosts", "children", "vars")
_BUILT_IN = ("all", "ungrouped", profiles.BENCH)
# Words of the command line. A GED called « documents », as the example's is, serves already: it cannot change its name,
# and after a command no word is another (commands.FrenchParser).
_RESERVED_GROUP_NAMES = {*groupement.COMMANDS, *groupement.EVERY} - {"documents"}
# Groups that communes come to need, and no longer: the example has what PCs under Windows ask.
_SOMETIMES = {"systeme_debian", "systeme_windows"}
_CREATIC_VARIABLE = re.compile(r"\bcreatic_[a-z0-9_]+")
# Labels of a DNS name (RFC 1035): it becomes files, certificates and the machine's own name.
_MACHINE = re.compile(r"(?!.{64})[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


@dataclass(frozen=True)
class Tree:
    """The project beside the inventory: what profiles, roles and variables there are.

    Attributes:
        top: folder that holds playbooks/ and roles/.
    """

    top: Path

    @cached_property
    def options(self) -> dict[str, set[str]]:
        """Variables that each role takes, from its argument specs; not those that it gives (outputs)."""
        found: dict[str, set[str]] = {}
        for path in sorted((self.top / "roles").glob("*/meta/argument_specs.yml")):
            specs = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)["argument_specs"]
            entries = [spec for entry, spec in specs.items() if entry != "outputs"]
            found[path.parts[-3]] = {name for spec in entries for name in spec.get("options", {})}
        return found

    @cached_property
    def variables(self) -> set[str]:
        """Variables of the groupement (creatic_…) that something reads."""
        found: set[str] = set()
        for folder in ("playbooks", "roles", "collections/ansible_collections/cdg59", "creatic"):
            for path in (self.top / folder).rglob("*"):
                if path.suffix in (".yml", ".py", ".j2") and path.is_file():
                    found.update(_CREATIC_VARIABLE.findall(path.read_text(encoding="utf-8", errors="replace")))
        return found


@dataclass
class Machine:
    """A machine of servers.yml."""

    name: str
    source: Source
    line: int
    groups: list[str] = field(default_factory=list)
    bench: bool = False
    variables: dict[str, yaml.Node] = field(default_factory=dict)


class Inspection:
    """One look at an inventory's files; `problems` holds all there is to correct.

    Args:
        directory: inventory folder.
        tree: the project.
    """

    def __init__(self, directory: Path, tree: Tree) -> None:
        self.directory = directory
        self.tree = tree
        self.sources: dict[str, Source] = {}
        self.problems: list[Problem] = []
        self.machines: dict[str, Machine] = {}
        self.groups: set[str] = set(_BUILT_IN)
        self.communes: list[groupement.Commune] = []
        self.unreadable = False  # a file is not even read: what others lack for it is not known

    def run(self) -> list[Problem]:
        """Look at every file; the problems come by file and line."""
        self._check_communes()
        self._check_files()
        self._check_machines()
        self._check_variable_files()
        self._check_services()
        self._check_waivers()
        self.problems += together.problems(self.directory, self._by_profile())
        for source in self.sources.values():
            self.problems += source.problems
        return sorted(self.problems, key=lambda problem: (problem.file, problem.line or 0))

    def _open_source(self, path: Path) -> Source:
        label = str(path.relative_to(self.directory))
        source = self.sources.setdefault(label, Source(label, b""))
        source.load(path)
        return source

    def _parse_yaml(self, source: Source) -> yaml.MappingNode | None:
        """Parse a file of Ansible's; None when it holds nothing, or cannot be read."""
        root = source.compose()
        self.unreadable |= root is None and bool(source.problems)
        return root

    def _add_problem(self, file: str, message: str, fix: str) -> None:
        self.sources.setdefault(file, Source(file, b"")).report(message, fix)

    # -- communes ----------------------------------------------------------------------------------

    def _check_communes(self) -> None:
        try:
            self.communes = groupement.load(self.directory)
        except groupement.GroupementError as error:
            self.problems += error.problems
            self.unreadable = True
            return
        if not self.communes:
            self._add_problem("communes/", "aucune commune n'y est", "écrivez la première avec fab commune.nouvelle")
        for commune in self.communes:
            self.groups.update((commune.group, *commune.parents))
            for host in commune.hosts():
                self.groups.update(host.groups)

    # -- servers -----------------------------------------------------------------------------------

    def _check_files(self) -> None:
        """Read the files of machines; Ansible reads all of the folder, and stops at those that it does not know."""
        read = []
        for path in sorted(self.directory.iterdir()):
            if path.name.startswith(".") or path.name in servers.OTHER_FILES or path.is_dir():
                continue
            if path.suffix in (".yml", ".yaml"):
                read.append(path)
                self._check_servers(path)
            elif path.suffix not in (".json", ".md"):
                fix = "sortez-le du dossier de l'inventaire, ou écrivez ses machines dans servers.yml"
                self._add_problem(path.name, "Ansible ne sait pas lire ce fichier, et s'y arrêterait", fix)
        if not read:
            fix = "copiez celui de inventories/example, puis écrivez-y les machines du groupement"
            self._add_problem("servers.yml", "le fichier est introuvable", fix)
        elif not self.machines and not self.unreadable:
            fix = "écrivez-y les machines du groupement, comme dans inventories/example/servers.yml"
            self._add_problem(read[0].name, "aucune machine n'y est", fix)

    def _check_servers(self, path: Path) -> None:
        source = self._open_source(path)
        root = self._parse_yaml(source)
        if root is not None:
            source.refuse_templates(root)
            servers.refuse_connections(source, root, told=("ansible_host",))
            for key, value in root.value:
                self._check_group(source, key, value, (), False)

    def _check_group(
        self, source: Source, key: yaml.Node, node: yaml.Node, parents: tuple[str, ...], bench: bool
    ) -> None:
        name = str(key.value)
        line = key.start_mark.line + 1
        if name in parents:
            source.report(f"le groupe {quote(name)} se contient lui-même", "retirez-le de ses enfants", line=line)
            return
        self.groups.add(name)
        bench = bench or name == profiles.BENCH
        self._must_have_fields(source, node, f"le groupe {quote(name)}", line)
        for part, inner in _mapping_fields(node):
            place = part.start_mark.line + 1
            if part.value not in _GROUP_KEYS:
                nearest = closest(str(part.value), _GROUP_KEYS)
                fix = f"remplacez par « {nearest} »" if nearest else f"champs possibles : {', '.join(_GROUP_KEYS)}"
                source.report(
                    f"champ inconnu {quote(str(part.value))} dans le groupe {quote(name)}, qu'Ansible ignore",
                    fix,
                    line=place,
                )
                continue
            self._must_have_fields(source, inner, f"« {part.value} » du groupe {quote(name)}", place)
            if part.value == "children":
                for child, below in _mapping_fields(inner):
                    self._check_group(source, child, below, (*parents, name), bench)
            elif part.value == "hosts":
                for host, variables in _mapping_fields(inner):
                    self._check_machine(source, host, variables, name, bench)
            else:
                self._check_variable_names(source, inner)

    def _must_have_fields(self, source: Source, node: yaml.Node, what: str, line: int) -> None:
        if not isinstance(node, yaml.MappingNode) and not is_nothing(node):
            fix = "écrivez un nom par ligne, plus en retrait et suivi de deux-points, sans tiret ni crochets"
            source.report(f"{what} ne contient pas de champs", fix, line=line)

    def _check_machine(self, source: Source, key: yaml.Node, node: yaml.Node, group: str, bench: bool) -> None:
        line = key.start_mark.line + 1
        self._must_have_fields(source, node, f"la machine {quote(key.value)}", line)
        if not _MACHINE.fullmatch(key.value) or is_nothing(key):
            fix = "nommez-la en minuscules sans accent, chiffres et traits d'union, 63 caractères au plus"
            source.report(f"le nom de machine {quote(key.value)} n'est pas admis", fix, line=line)
        elif key.value in (*_BUILT_IN, "localhost", *profiles.load(), *_RESERVED_GROUP_NAMES):
            fix = "donnez-lui un autre nom"
            source.report(f"le nom de machine {quote(key.value)} est réservé", fix, line=line)
        machine = self.machines.setdefault(key.value, Machine(key.value, source, key.start_mark.line + 1))
        if machine.source is not source:
            told = f"la machine {quote(key.value)} est déjà écrite dans {machine.source.label}"
            source.report(told, "gardez-la dans un seul des deux fichiers", line=line)
        machine.groups.append(group)
        machine.bench |= bench
        machine.variables |= {name.value: value for name, value in _mapping_fields(node)}
        self._check_variable_names(source, node)

    def _check_machines(self) -> None:
        """Each machine has one profile, one address, and names of its own."""
        owners = {host.name: f"communes/{one.slug}.yml" for one in self.communes for host in (*one.hosts(), *one.pcs())}
        taken = {
            _canonical_address(host.variables["ansible_host"]): f"{host.name} (communes/{one.slug}.yml)"
            for one in self.communes
            for host in one.hosts()
        }
        for machine in self.machines.values():
            if machine.name in owners:
                fix = "donnez-lui un autre nom"
                where = owners[machine.name]
                machine.source.report(f"{quote(machine.name)} est déjà une machine de {where}", fix, line=machine.line)
            self._check_profile(machine)
            self._check_address(machine, taken)
            self._check_reset_command(machine)

    def _check_profile(self, machine: Machine) -> None:
        found = [group for group in dict.fromkeys(machine.groups) if group in profiles.load()]
        if len(found) > 1:
            machine.source.report(
                f"la machine {quote(machine.name)} a {len(found)} profils : {', '.join(found)}",
                "laissez-la dans un seul groupe de profil",
                line=machine.line,
            )
        elif not found and not machine.bench:
            group = machine.groups[0]
            nearest = closest(group, profiles.load())
            fix = f"remplacez le groupe par « {nearest} »" if nearest else "mettez-la dans le groupe de son profil"
            machine.source.report(
                f"la machine {quote(machine.name)} n'a pas de profil : le groupe {quote(group)} n'en est pas un",
                f"{fix} (profils : {', '.join(profiles.load())})",
                line=machine.line,
            )

    def _check_reset_command(self, machine: Machine) -> None:
        """Ask how a machine of drills is made bare again: without the command, no drill begins."""
        name = "creatic_exercice_remise_a_neuf"
        node = machine.variables.get(name)
        words = node.value if isinstance(node, yaml.SequenceNode) else []
        if {*machine.groups} & {*profiles.marked("nue")} and not words:
            machine.source.report(
                f"{name} de {quote(machine.name)} n'est pas une commande, mot par mot"
                if node
                else f"la machine d'exercice {quote(machine.name)} n'a pas {name}",
                f"écrivez la commande qui la remet à neuf, comme {name}: [/usr/local/sbin/exercice-a-neuf]",
                line=node.start_mark.line + 1 if node else machine.line,
            )

    def _check_address(self, machine: Machine, taken: dict[str, str]) -> None:
        node = machine.variables.get("ansible_host")
        fix = "écrivez ansible_host: et son adresse IP fixe, par exemple 10.59.0.40"
        if node is None:
            message = f"la machine {quote(machine.name)} n'a pas d'adresse"
            machine.source.report(message, fix, line=machine.line)
            return
        text, line = node.value if isinstance(node, yaml.ScalarNode) else "…", node.start_mark.line + 1
        if "{{" in text:  # told already
            return
        address = _canonical_address(text)
        if address and not groupement.is_of_a_machine(address):
            message = f"{quote(text)} ne peut pas être l'adresse d'une machine du réseau ({machine.name})"
            machine.source.report(message, fix, line=line)
        elif not address:
            machine.source.report(f"{quote(text)} n'est pas une adresse IP (machine {machine.name})", fix, line=line)
            return
        owner = taken.setdefault(address, f"{machine.name} ({machine.source.label})")
        if owner != f"{machine.name} ({machine.source.label})":
            machine.source.report(
                f"l'adresse {quote(text)} de {machine.name} est déjà celle de {owner}",
                "donnez une adresse par machine",
                line=line,
            )

    # -- variables ---------------------------------------------------------------------------------

    def _check_variable_files(self) -> None:
        """group_vars and host_vars: YAML, named for something that exists, holding variables that something reads."""
        if (
            not list((self.directory / "group_vars").glob("all.y*ml"))
            and not (self.directory / "group_vars/all").is_dir()
        ):
            fix = "copiez celui de inventories/example, puis adaptez-le : environnement, état, TdT, accès, pare-feu"
            self._add_problem("group_vars/all.yml", "le fichier est introuvable", fix)
        hosts = {host.name for one in self.communes for host in one.hosts()} | set(self.machines)
        for folder, known, what in (
            ("group_vars", self.groups | _SOMETIMES | set(profiles.load()) | {"localhost"}, "aucun groupe"),
            ("host_vars", hosts | {"localhost"}, "aucune machine"),
        ):
            for path in sorted(self._variables_files(self.directory / folder)):
                name = path.relative_to(self.directory / folder).parts[0].removesuffix(path.suffix)
                source = self._open_source(path)
                if name not in known and not (what == "aucune machine" and not hosts):
                    nearest = closest(name, known)
                    fix = f"renommez-le en {nearest}{path.suffix}" if nearest else "supprimez-le, ou renommez-le"
                    source.report(f"{what} ne s'appelle {quote(name)}, ce fichier ne sert à rien", fix)
                root = self._parse_yaml(source)
                if root is not None:
                    self._check_variable_names(source, root)

    @staticmethod
    def _variables_files(folder: Path) -> Iterator[Path]:
        """Files that Ansible takes for variables: YAML, JSON, and those whose name has no ending."""
        for path in folder.rglob("*"):
            hidden = any(part.startswith(".") or part.endswith("~") for part in path.relative_to(folder).parts)
            if path.suffix in ("", ".yml", ".yaml", ".json") and not hidden and not path.is_dir():
                yield path

    def _by_profile(self) -> dict[str, list[tuple[str, int, str]]]:
        """File, line and name of the servers of each profile, test benches apart."""
        found: dict[str, list[tuple[str, int, str]]] = {}
        for one in self.machines.values():
            for name in {*one.groups} & profiles.load().keys() if not one.bench else ():
                found.setdefault(name, []).append((one.source.label, one.line, one.name))
        return found

    def _check_variable_names(self, source: Source, node: yaml.Node) -> None:
        """Report variables that nothing reads: a misspelt one would be ignored without a word."""
        for key, value in _mapping_fields(node):
            name = str(key.value)
            line = key.start_mark.line + 1
            self._check_expression(source, name, value)
            if name.startswith("creatic_"):
                if name not in self.tree.variables:
                    self._report_unknown(source, name, self.tree.variables, line)
                continue
            role = max((one for one in self.tree.options if name.startswith(f"{one}_")), key=len, default=None)
            if role and name not in self._readable_options(role):
                self._report_unknown(source, name, self.tree.options[role], line)
            elif not role and not name.startswith("ansible_"):
                everything = {option for options in self.tree.options.values() for option in options}
                nearest = closest(name, everything | self.tree.variables)
                if nearest and name not in everything and nearest.count("_") == name.count("_"):
                    message = f"la variable {quote(name)} n'est lue par rien"
                    source.report(message, f"remplacez par « {nearest} », ou donnez-lui un nom à vous", line=line)

    def _check_expression(self, source: Source, name: str, node: yaml.Node) -> None:
        """Report an expression that can only fail; Ansible would blame the variables that use it, in other files."""
        text = node.value if isinstance(node, yaml.ScalarNode) and not node.tag.startswith("!") else ""
        if "{{" not in text and "{%" not in text:
            return
        line = node.start_mark.line + 1
        try:
            parsed = jinja2.Environment(autoescape=True).parse(text)
        except jinja2.TemplateSyntaxError:
            fix = "vérifiez ses accolades, ses parenthèses et ses guillemets"
            source.report(f"l'expression de la variable {quote(name)} est mal écrite", fix, line=line)
            self.unreadable = True
            return
        if any(one.name == name for one in parsed.find_all(nodes.Name)):
            source.report(f"la variable {quote(name)} se contient elle-même", "écrivez sa valeur", line=line)
            self.unreadable = True

    def _readable_options(self, role: str) -> set[str]:
        """Options of the role, and of the roles whose name begins by its name (archive_node_…)."""
        return {name for one, options in self.tree.options.items() if one.startswith(role) for name in options} | {
            name for name in self._read_by_playbooks if name.startswith(f"{role}_")
        }

    @cached_property
    def _read_by_playbooks(self) -> set[str]:
        text = "\n".join(
            path.read_text(encoding="utf-8") for path in sorted((self.tree.top / "playbooks").rglob("*.yml"))
        )
        return set(re.findall(r"\b[a-z][a-z0-9]*_[a-z0-9_]+", text))

    @staticmethod
    def _report_unknown(source: Source, name: str, known: Iterable[str], line: int) -> None:
        nearest = closest(name, known)
        fix = f"remplacez par « {nearest} »" if nearest else "supprimez-la : docs/variables.md les donne toutes"
        source.report(f"la variable {quote(name)} n'est lue par rien", fix, line=line)

    # -- what communes ask for ---------------------------------------------------------------------

    def _check_services(self) -> None:
        groups: dict[str, list[str]] = {}
        for machine in self.machines.values():
            for group in machine.groups:
                groups.setdefault(group, []).append(machine.name)
        for host in (host for one in self.communes for host in one.hosts()):
            for group in host.groups:
                groups.setdefault(group, []).append(host.name)
        for commune in self.communes if not self.unreadable else ():
            lacks = profiles.missing_profiles(commune.data["services"], groups)
            if lacks:
                file = f"communes/{commune.slug}.yml"
                told, fix = profiles.lacking_text(lacks, file)
                self._add_problem(file, told, fix.rstrip("."))
        # Of communes that are refused, what can be read by eye.
        texts = () if self.communes else (self.directory / "communes").glob("*.yml")
        if any("ged" in one.data["services"] for one in self.communes) or any(
            re.search(rb"services:.*\bged\b", path.read_bytes()) for path in texts if path.is_file()
        ):
            try:
                ged.read_plan(self.directory / "ged.yml")
            except ged.GedError as error:
                self.problems += error.problems
        try:
            durees.read(self.directory)
        except durees.DureesError as error:  # told by the GED's plan already, where there is one
            self.problems += [one for one in error.problems if one not in self.problems]
        try:
            formats.read(self.directory)
        except formats.FormatsError as error:
            self.problems += error.problems

    def _check_waivers(self) -> None:
        site = self.directory / "derogations.yml"
        if site.is_file():
            catalogue = self.tree.top / "roles/hardening/files/controls.yml"
            try:
                controls.load(catalogue, dt.datetime.now(tz=dt.UTC).date(), site)
            except controls.ControlsError as error:
                self.problems += error.problems


def providers_files(communes: Iterable[groupement.Commune], folder: Path) -> list[Problem]:
    """Give the providers' files that communes name and that are not in the control node's folder of secrets.

    Args:
        communes: the registry.
        folder: creatic_secrets_dir.
    """
    problems: list[Problem] = []
    for commune in communes:
        for place, certificate in certificates(commune.data):
            here = len(problems)
            for name in ("fichier", "secret"):
                wanted = certificate.get(name)
                if isinstance(wanted, str) and not _is_file(folder / wanted):
                    problems.append(
                        Problem(
                            f"communes/{commune.slug}.yml",
                            None,
                            f"{place}.{name}",
                            f"le fichier {quote(wanted)} n'est pas dans {folder}",
                            "déposez-y celui du prestataire, lisible par votre compte, ou corrigez son nom",
                        )
                    )
            secret = certificate.get("secret")
            if "fichier" in certificate and isinstance(secret, str) and _is_open(folder / secret):
                problems.append(
                    Problem(
                        f"communes/{commune.slug}.yml",
                        None,
                        f"{place}.secret",
                        f"le mot de passe {quote(secret)} est lisible par d'autres que vous",
                        f"lancez chmod 600 {folder / secret}",
                    )
                )
            if "fichier" in certificate and len(problems) == here:
                problems += _not_their_own(commune, place, certificate, folder)
    return problems


def _not_their_own(
    commune: groupement.Commune, place: str, given: Mapping[str, Any], folder: Path
) -> Iterator[Problem]:
    """Tell what is not proven to be of those for whom a file names it: its certificate says whose it is."""
    hosted = [str(one["siren"]) for one in commune.data.get("entites", [])]
    entity = re.match(r"entites\[(\d+)\]", place)
    owners = [hosted[int(entity[1])]] if entity else [str(commune.data["siren"])]
    if place.startswith("postes"):
        owners += hosted
    try:
        own_pkcs12(folder / given["fichier"], folder / given["secret"], owners)
    except Pkcs12FileError as error:
        yield Problem(
            f"communes/{commune.slug}.yml",
            None,
            f"{place}.fichier",
            str(error).removesuffix(" Rien n'a été changé.").rstrip("."),
            f"mettez-y le .p12 que le prestataire a fait au SIREN {' ou '.join(owners)}, et son mot de passe",
        )


def own_certificates(communes: Iterable[groupement.Commune], folder: Path, authorities: Path) -> list[Problem]:
    """Give the connectors' certificates, said to be a provider's, that the groupement issued: none is RGS** (arrêté du
    26 octobre 2005), and a commune with one would be told ready.

    Args:
        communes: the registry.
        folder: creatic_secrets_dir.
        authorities: PEM of the groupement's authorities; absent before they are made.
    """
    if not _is_file(authorities):
        return []
    own = x509.load_pem_x509_certificates(authorities.read_bytes())
    problems = []
    for commune in communes:
        for place, given in certificates(commune.data):
            wanted = [folder / str(given.get(name, "")) for name in ("fichier", "secret")]
            if not place.endswith("connecteur.certificat") or not all(map(_is_file, wanted)):
                continue
            try:
                certificate = x509.load_pem_x509_certificate(read_pkcs12(*wanted)["certificate"].encode())
            except Pkcs12FileError:
                continue  # its reason is told when it is installed
            if any(_issued_by(certificate, one) for one in own):
                problems.append(
                    Problem(
                        f"communes/{commune.slug}.yml",
                        None,
                        f"{place}.fichier",
                        f"le certificat {quote(given['fichier'])} est émis par le groupement : il ne vaut pas RGS**",
                        "mettez-y celui d'un prestataire, ou retirez le champ certificat : la commune restera équipée",
                    )
                )
    return problems


def _issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def certificates(data: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for index, poste in enumerate(data["postes"]):
        for number, certificate in enumerate(poste.get("certificats", [])):
            yield f"postes[{index}].certificats[{number}]", certificate
    if "certificat" in data.get("connecteur", {}):
        yield "connecteur.certificat", data["connecteur"]["certificat"]
    for index, entity in enumerate(data.get("entites", [])):
        if "certificat" in entity.get("connecteur", {}):
            yield f"entites[{index}].connecteur.certificat", entity["connecteur"]["certificat"]


def _is_file(path: Path) -> bool:
    try:
        with path.open("rb"):
            return path.is_file()
    except OSError:
        return False


def _is_open(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & 0o077)
    except OSError:
        return False


def _mapping_fields(node: yaml.Node) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
    return node.value if isinstance(node, yaml.MappingNode) else []


def _canonical_address(address: str) -> str:
    try:
        return str(ip.address(address))
    except ValueError:
        return ""
