# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What the roles of each profile need, asked of an inventory through Ansible's own variables, before a machine changes.

A role's argument specs say what it takes; the profile's playbook says what it is given; the inventory must hold the
rest. Nothing is run: what a lookup would make on the control node (passwords) stands as a word in its place.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import hmac
import json
import os
import re
import subprocess
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import yaml

from creatic.check import sense, together
from creatic.check.inspection import Inspection, Tree, own_certificates, providers_files
from creatic.life.absent import absent
from creatic.registry import agrement, entities, formalities, forms, groupement, papers, profiles
from creatic.registry.checked_yaml import Problem, quote
from creatic.registry.environment import MissingEnvironmentNameError
from creatic.registry.variables import Use, options, uses

# Given machine by machine, in servers.yml.
_BY_MACHINE = ("creatic_names", "creatic_zone", "archive_node_devices", "encrypted_raid_volumes")
_MAKES = re.compile(r"lookup\('ansible\.builtin\.(password|pipe)'")
_UNDEFINED = re.compile(r"'(\w+)' is undefined")
_NO_ATTRIBUTE = re.compile(r"has no attribute '(\w+)'")
# Known by a run only: what earlier roles of the play gave, what the machine said of itself.
_RUN_ONLY = ("ansible_facts", "role_path", "item")
# What an absent variable makes of those that use it: told once, by its own name.
_FOLLOWS = ("UndefinedMarker", "CapturedExceptionMarker")
_ABSENT = "le fichier "
_MISSING_PREFIX = "il y manque "
# What Ansible says of an expression that it cannot compute.
_ANSIBLE_ERRORS_FRENCH = {
    r"Unable to access the file '(.+?)': File not found": _ABSENT + r"\1 est introuvable",
    r"No filter named '(.+?)'": r"le filtre « \1 » n'existe pas",
    r"No test named '(.+?)'": r"le test « \1 » n'existe pas",
    r"lookup plugin '(.+?)' was not found": r"la recherche (lookup) « \1 » n'existe pas",
    "Recursive loop detected": "la variable se contient elle-même, par une autre",
    "undecryptable variable": "sa valeur est chiffrée (!vault) et rien ne la déchiffre ici. À faire : donnez le "
    "fichier du mot de passe par la variable ANSIBLE_VAULT_PASSWORD_FILE",
}
EXAMPLE = "inventories/example/group_vars/all.yml"
_OPENED = {"passerelle", "supervision", "archive_gateway", "archive_node", "parapheur"}
"""Profiles whose doors know the groupement by its SIREN."""


# Collections are found by Ansible's own loader, which must be there before any of them is imported.
_START = """
import sys
from ansible.plugins.loader import init_plugin_loader
init_plugin_loader([sys.argv[1] + "/collections"])
from creatic.check.needs import compile_once
from creatic.{module} import main
compile_once()
main()
"""


def check(
    directory: Path, top: Path, slugs: Collection[str] | None = None, own: list[Problem] | None = None
) -> list[Problem]:
    """Give all that can be known to be wrong before a machine changes: files, then variables, then providers' files.

    Args:
        directory: inventory folder.
        top: the project.
        slugs: communes whose providers' files and formalities are asked for, before a rollout of theirs; by default
            all, and the SSH keys of every machine too: those of machines to come must not keep the others.
        own: where to put what is wrong of one commune alone, which is to keep no other: its formalities, its
            provider's files (they expire by themselves); with the rest by default.
    """
    inspection = Inspection(directory, Tree(top))
    problems = inspection.run()
    # What Ansible cannot read is told already.
    lacks, secrets, pki = (
        ([], None, None) if inspection.unreadable else inspect_needs(directory, top, doors=slugs is None)
    )
    hosted = entities.sirens((one.slug, one.data) for one in inspection.communes)
    lost = absent(directory, {one.slug: str(one.data["siren"]) for one in inspection.communes}, hosted)
    if secrets or not problems:
        problems += [
            one for one in lacks if not any(one.message.startswith(str(each).partition(" : ")[0]) for each in lost)
        ]
    problems += lost
    concerned = [one for one in inspection.communes if slugs is None or one.slug in slugs]
    today = dt.datetime.now(tz=dt.UTC).date()
    their = problems if own is None else own
    for one in concerned:
        folder = directory / formalities.FOLDER
        their += formalities.problems(one.data, folder, file=f"communes/{one.slug}.yml", today=today)
    if secrets:
        their += providers_files(concerned, secrets)
        their += own_certificates(concerned, secrets, pki / "publie" / "ca.pem") if pki else []
    return problems


def unnamed(error: MissingEnvironmentNameError, top: Path) -> list[Problem]:
    """Give what is wrong in an inventory that does not say its own name, so that nothing else is asked of it."""
    problems = Inspection(error.folder, Tree(top)).run()
    own = dataclasses.replace(error.problem, file="group_vars/all.yml")
    told = [one for one in problems if one.file == own.file and (one.line == own.line or not own.field)]
    return problems if told else [own, *problems]


def servers(directory: Path, top: Path) -> dict[str, str]:
    """Give the profile of each server of an inventory, test benches apart. Arguments: see `check`."""
    inspection = Inspection(directory, Tree(top))
    inspection.run()
    own = profiles.marked("serveur")
    found = {
        name: next((group for group in one.groups if group in own), "")
        for name, one in inspection.machines.items()
        if not one.bench
    }
    return {name: profile for name, profile in found.items() if profile}


def inspect_needs(directory: Path, top: Path, doors: bool = True) -> tuple[list[Problem], Path | None, Path | None]:
    """Ask an inventory, in a process of its own, what its profiles lack.

    Args:
        directory: inventory folder, whose files are good (see `inspection`).
        top: the project.
        doors: also ask for the SSH keys, ours and the machines'.

    Returns:
        The problems, and creatic_secrets_dir and creatic_pki_dir when they are known.
    """
    told, why = apart("check.needs", directory, top, "portes" if doors else "")
    if why:
        return [Problem("inventaire", None, "", why, "corrigez ce fichier, puis relancez")], None, None
    secrets, pki = (Path(told[name]) if told[name] else None for name in ("secrets", "pki"))
    return [Problem(**problem) for problem in told["problems"]], secrets, pki


def apart(module: str, directory: Path, top: Path, *more: str, given: str = "") -> tuple[dict[str, Any], str]:
    """Run the ``main`` of a module of ours in a process of its own, where Ansible's plugins load.

    Args:
        module: below ``creatic``, with dots.
        directory: inventory folder.
        top: the project.
        more: further arguments.
        given: its standard input.

    Returns:
        What it says, and why Ansible cannot read the inventory (French; empty when it can).
    """
    done = subprocess.run(
        [sys.executable, "-c", _START.format(module=module), str(top), str(directory), *more],
        cwd=top,
        input=given,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "ANSIBLE_CONFIG": str(top / "ansible.cfg"), "ANSIBLE_LOCALHOST_WARNING": "false"},
    )
    if done.returncode:
        said = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "sans un mot")
        return {}, f"Ansible ne peut pas le lire : {said.rstrip('.')}"
    found: dict[str, Any] = json.loads(done.stdout)
    return found, ""


def compile_once() -> None:
    """Have Jinja compile each expression once in this process.

    Ansible has it compiled wherever it is met: nine times each in an inventory, more than half of what asking it takes.
    """
    from jinja2 import Environment

    compiled = Environment.compile
    kept: dict[tuple[type, str], Any] = {}

    def kept_or_compiled(self: Environment, source: Any, *arguments: Any, **options: Any) -> Any:
        # A backslash is read in two ways, and an overlay has marks of its own.
        if arguments or options or not isinstance(source, str) or "\\" in source or self.overlayed:
            return compiled(self, source, *arguments, **options)
        if (key := (type(self), source)) not in kept:
            kept[key] = compiled(self, source)
        return kept[key]

    Environment.compile = kept_or_compiled  # type: ignore[method-assign] # Ansible takes no environment of ours


def main() -> None:
    """Print what an inventory lacks, as JSON. Arguments: the project, the inventory folder, whether doors are asked."""
    needs = Needs(Path(sys.argv[2]), Tree(Path(sys.argv[1])))
    found = needs.run() + needs.shared() + needs.borrowed() + needs.approved() + needs.papers()
    found += needs.doors() if sys.argv[3] else []
    problems = [asdict(problem) for problem in found]
    folders = {"secrets": needs.value("creatic_secrets_dir"), "pki": needs.value("creatic_pki_dir")}
    known = {name: value if isinstance(value, str) else None for name, value in folders.items()}
    print(json.dumps({"problems": problems, **known}))


@dataclass(frozen=True)
class Lack:
    """A variable that a profile's roles want: absent, or not as they want it (``text``, French)."""

    profile: str
    name: str
    text: str


class Needs:
    """What an inventory's machines lack; one problem a variable, whatever the number of machines.

    Args:
        directory: inventory folder, whose files are good (see `inspection`).
        tree: the project.
    """

    def __init__(self, directory: Path, tree: Tree) -> None:
        from ansible.inventory.manager import InventoryManager  # a second: only here
        from ansible.parsing.dataloader import DataLoader
        from ansible.vars.hostvars import HostVars
        from ansible.vars.manager import VariableManager

        self.directory = directory
        self.tree = tree
        self._loader = DataLoader()
        self._loader.set_basedir(str(tree.top / "playbooks"))
        self._open_vault()
        self._inventory = InventoryManager(loader=self._loader, sources=[str(directory)])
        self._manager = VariableManager(loader=self._loader, inventory=self._inventory)
        self._hostvars = HostVars(self._inventory, self._manager, self._loader)
        self._keys: dict[str, list[str]] = {}
        self._strangers: dict[str, list[str]] = {}
        self._malformed: set[str] = set()  # the groupement's variables
        self._unexplained: set[Lack] = set()  # of what a playbook makes of variables

    def _open_vault(self) -> None:
        """Take the passwords of ansible-vault that Ansible's own settings name."""
        from ansible import constants

        if constants.DEFAULT_VAULT_PASSWORD_FILE or constants.DEFAULT_VAULT_IDENTITY_LIST:
            from ansible.cli import CLI

            given = CLI.setup_vault_secrets(
                self._loader, list(constants.DEFAULT_VAULT_IDENTITY_LIST), auto_prompt=False
            )
            self._loader.set_vault_secrets(given)

    def run(self) -> list[Problem]:
        """Ask for each machine; of a commune's machines that are described alike, one."""
        lacks: dict[Lack, list[str]] = {}
        asked: dict[tuple[Any, ...], tuple[str, str]] = {}
        for host in self._inventory.get_hosts():
            if profiles.BENCH in {group.name for group in host.get_groups()}:
                continue
            like = self._equivalence_key(host)
            if like not in asked:
                variables = self._host_variables(host)
                asked[like] = self._ssh_access(variables)
                self._check_host(host, variables, lacks)
            key, known = asked[like]
            address = str(host.vars.get("ansible_host", host.name))
            self._keys.setdefault(key, []).append(host.name)
            if known and not is_known(address, known_hosts(Path(known).expanduser())):
                self._strangers.setdefault(known, []).append(f"{host.name} ({address})")
        if self._malformed:  # what they make of other machines
            lacks = {lack: hosts for lack, hosts in lacks.items() if lack not in self._unexplained}
        absent = {lack.name for lack in lacks if not lack.text}
        return [
            self._build_problem(
                name, text, [lack.profile for lack in same], [host for lack in same for host in lacks[lack]]
            )
            for (name, text), same in _group_lacks(lacks).items()
            if text.removeprefix(_MISSING_PREFIX) not in absent
        ]

    def _equivalence_key(self, host: Any) -> tuple[Any, ...]:
        """Tell which machines are described alike: those of two communes, when no file speaks of one of them alone."""
        groups = [group for group in host.get_groups() if group.name != "all"]
        commune = next((group.vars["creatic_commune"] for group in groups if "creatic_commune" in group.vars), None)
        named = tuple(name for name in (host.name, *(group.name for group in groups)) if name in self._spoken_of)
        if commune is None:
            return (host.name,)
        own = tuple(group.name for group in groups if group.name in profiles.load())
        return (own, _value_shape(host.vars), _value_shape(commune), named)

    @cached_property
    def _spoken_of(self) -> set[str]:
        """Groups and machines that have a file of variables."""
        folders = ("group_vars", "host_vars")
        return {path.name.partition(".")[0] for folder in folders for path in (self.directory / folder).glob("*")}

    def _ssh_access(self, variables: Mapping[str, Any]) -> tuple[str, str]:
        """Give the SSH key and the file of known hosts by which a machine is reached; empty for another connection."""
        from ansible.errors import AnsibleError

        if variables.get("ansible_connection", "ssh") != "ssh":
            return "", ""
        try:
            key = str(self._render_variable(variables, "ansible_ssh_private_key_file"))
            options = str(self._render_variable(variables, "ansible_ssh_common_args"))
        except AnsibleError:  # what they lack is told otherwise
            return "", ""
        known = re.search(r'UserKnownHostsFile=([^"\s]+)', options)
        return key, known[1] if known else ""

    def doors(self) -> list[Problem]:
        """Tell which SSH keys are missing, of the machines that `run` went through."""
        file = "group_vars/all.yml"
        problems = [
            Problem(
                file,
                None,
                "ansible_ssh_private_key_file",
                f"la clé SSH {key} est introuvable ({_join_names(hosts)})",
                "faites-la : ssh-keygen -t ed25519 -f et ce chemin, puis posez sa moitié publique sur les machines",
            )
            for key, hosts in self._keys.items()
            if key and not Path(key).expanduser().is_file()
        ]
        problems += [
            Problem(
                file,
                None,
                "ansible_ssh_common_args",
                f"la clé d'hôte de machines n'est pas dans {known} : {_join_names(hosts)}",
                "rangez celles que les installateurs ont relevées (fab machine.cles), ou ajoutez celle que ssh-keyscan "
                "donne, une fois son empreinte vérifiée sur la machine même",
            )
            for known, hosts in self._strangers.items()
        ]
        return problems

    def shared(self) -> list[Problem]:
        """Tell what machines may not have alike: a name, a disk, the zone of nodes that keep copies of one archive."""
        names: dict[str, list[str]] = {}
        disks: dict[str, list[str]] = {}
        zones: dict[str, str] = {}
        copies = 3
        for host in self._inventory.get_hosts():
            groups = {group.name for group in host.get_groups()}
            if profiles.BENCH in groups:
                continue
            told = self._host_value(host, "creatic_names")
            for name in {str(one) for one in told} if isinstance(told, list) else ():
                names.setdefault(name, []).append(host.name)
            for disk in {*sense.disks(self._host_value(host, "encrypted_raid_volumes"))}:
                if disk.startswith("/dev/disk/by-id/"):  # by its maker's number; other names are each machine's own
                    disks.setdefault(disk, []).append(host.name)
            zone = self._host_value(host, "creatic_zone") if "archive_node" in groups else None
            if zone is not None:
                zones[host.name] = str(zone)
                copies = self._host_value(host, "archive_node_replicas") or copies
        own = "nommez pour chacune les siens (ls -l /dev/disk/by-id, sur la machine)"
        problems = [
            Problem(
                "servers.yml",
                None,
                variable,
                f"{what} {quote(one)} est celui de plusieurs machines ({_join_names(hosts)})",
                fix,
            )
            for variable, what, fix, found in (
                ("creatic_names", "le nom", "donnez à chaque machine des noms à elle", names),
                ("encrypted_raid_volumes", "le disque", own, disks),
            )
            for one, hosts in sorted(found.items())
            if len(hosts) > 1
        ]
        wanted = min(len(zones), copies) if isinstance(copies, int) else 0
        if zones and isinstance(copies, int) and len(zones) < copies:
            nodes = f"{len(zones)} nœud{'s' if len(zones) > 1 else ''} d'archives"
            problems.append(
                Problem(
                    "servers.yml",
                    None,
                    "archive_node",
                    f"{nodes} pour {copies} copies ({_join_names(zones)})",
                    f"il en faut {copies}, dans le groupe archive_node : chacun garde une copie",
                )
            )
        if len({*zones.values()}) < wanted:
            listed = ", ".join(f"{name} : {zone}" for name, zone in sorted(zones.items()))
            problems.append(
                Problem(
                    "servers.yml",
                    None,
                    "creatic_zone",
                    f"deux copies d'une archive seraient dans une même zone ({listed})",
                    f"donnez {wanted} zones différentes aux nœuds d'archives, une par salle, baie ou alimentation",
                )
            )
        return problems

    def borrowed(self) -> list[Problem]:
        """Tell which files write the groupement's SIREN, as its machines have it, for a commune's, or an entity's."""
        own = [host for host in self._inventory.get_hosts() if {group.name for group in host.get_groups()} & _OPENED]
        told = [
            self.value("creatic_groupement_siren"),
            *(self._host_value(host, "creatic_groupement_siren") for host in own),
        ]
        communes = groupement.load(self.directory)
        return [
            one for siren in dict.fromkeys(map(str, filter(None, told))) for one in together.borrowed(communes, siren)
        ]

    def approved(self) -> list[Problem]:
        """Tell what an agrément asks for, where the inventory wants one."""
        wanted = self.value(agrement.FLAG)
        machines = dict[str, tuple[str, dict[str, Any]]]()
        for host in self._inventory.get_hosts() if wanted else ():
            groups = {group.name for group in host.get_groups()}
            for profile in groups & {*agrement.COPIES, agrement.DOOR} if profiles.BENCH not in groups else ():
                names = (agrement.SITE, *agrement.timestamps())
                machines[host.name] = (profile, {name: self._host_value(host, name) for name in names})
        return agrement.problems(wanted, machines)

    def papers(self) -> list[Problem]:
        """Tell what is wrong with what the inventory says for the documents of auditors."""
        return papers.problems(self.value(papers.NAME))

    def value(self, name: str) -> Any:
        """Give a variable as the control node has it; None when the inventory does not give it."""
        from ansible.inventory.host import Host

        return self._host_value(self._inventory.get_host("localhost") or Host("localhost"), name)

    def _host_value(self, host: Any, name: str) -> Any:
        return self._variable_value(self._host_variables(host), name)

    def _variable_value(self, variables: Mapping[str, Any], name: str) -> Any:
        from ansible.errors import AnsibleError

        try:
            return self._render_variable(variables, name)
        except AnsibleError:
            return None

    def _host_variables(self, host: Any) -> dict[str, Any]:
        return self._manager.get_vars(host=host) | {"hostvars": self._hostvars, "ansible_check_mode": True}

    def _render_variable(self, variables: Mapping[str, Any], name: str) -> Any:
        from ansible.template import Templar, trust_as_template

        return Templar(loader=self._loader, variables=variables).template(trust_as_template(f"{{{{ {name} }}}}"))

    def _check_host(self, host: Any, variables: Mapping[str, Any], lacks: dict[Lack, list[str]]) -> None:
        groups = {group.name for group in host.get_groups()}
        for profile in sorted(groups & set(profiles.load())):
            for lack in self._profile_lacks(profile, variables):
                lacks.setdefault(lack, []).append(host.name)

    def _profile_lacks(self, profile: str, variables: Mapping[str, Any]) -> Iterator[Lack]:
        from ansible.errors import AnsibleError

        called = self._profile_uses(profile)
        malformed = set()
        for name, form in forms.variables().items():
            try:
                told = [*_value_faults(name, form, self._render_variable(variables, name))] if name in variables else []
            except AnsibleError:  # what uses it tells
                continue
            if told:
                malformed.add(name)
            yield from (Lack(profile, name, text) for text in told)
        self._malformed |= malformed
        defaults: dict[str, Any] = {}
        for use in called:
            defaults |= self._role_defaults(use.role)
        for use in called:
            known = defaults | dict(variables) | dict(use.given)
            if not self._is_role_called(use, known):
                continue
            for name, option in self._role_options(use.role, use.entry).items():
                if name not in use.given and name not in variables:
                    if option.get("required"):
                        yield Lack(profile, name, "")
                    continue
                if malformed & {*re.findall(r"\w+", str(use.given.get(name, "")))}:
                    continue  # told by its own name
                try:
                    value = self._render_variable(known, name)
                except AnsibleError as error:
                    yield from self._explain_expression_error(profile, name, str(error), called)
                else:
                    texts = [*_value_faults(name, option, value)]
                    texts += (
                        []
                        if texts or value is None
                        else sense.faults(name, value, partial(self._variable_value, known))
                    )
                    judged = [Lack(profile, name, text) for text in texts]
                    self._unexplained.update(judged if name in use.given else ())  # made of other variables
                    yield from judged
                    if name not in use.given and option.get("elements") == "path":  # of the control node
                        files = [file for file in value if isinstance(file, str)] if isinstance(value, list) else []
                        absent = [file for file in files if not Path(file).expanduser().is_file()]
                        yield from (Lack(profile, name, f"{_ABSENT}{file} est introuvable") for file in absent)

    def _explain_expression_error(self, profile: str, name: str, error: str, called: Sequence[Use]) -> Iterator[Lack]:
        """Say what an expression lacks, unless a run alone can know it."""
        found = _UNDEFINED.search(error)
        if found:
            lacking = found[1]
            given = any(lacking.startswith((f"{use.role}_", f"__{use.role}_")) for use in called)
            if lacking not in _RUN_ONLY and not given:
                yield Lack(profile, lacking, "")
        elif found := _NO_ATTRIBUTE.search(error):
            if not any(word in error for word in _RUN_ONLY):
                lack = Lack(profile, name, f"{_MISSING_PREFIX}{found[1]}")
                self._unexplained.add(lack)
                yield lack
        elif not any(word in error for word in (*_RUN_ONLY, *_FOLLOWS)):
            lines = [line.strip(" -") for line in error.rpartition("failed: ")[2].splitlines()[:2]]
            told = " ".join(lines).rstrip(".")
            if "failed: " not in error:  # Ansible's own words, not those of a filter of ours
                told = f"l'expression {{{{ … }}}} ne se calcule pas ({told})"
            for pattern, french in _ANSIBLE_ERRORS_FRENCH.items():
                if found := re.search(pattern, told):
                    told = found.expand(french)
                    break
            lack = Lack(profile, name, told)
            if "À faire" not in told:
                self._unexplained.add(lack)
            yield lack

    def _is_role_called(self, use: Use, known: Mapping[str, Any]) -> bool:
        """Tell whether the role is called for this machine; yes when only a run can tell."""
        from ansible.errors import AnsibleError

        for condition in use.when:
            try:
                if not self._render_variable(known, f"({condition}) | bool"):
                    return False
            except AnsibleError:
                continue
        return True

    @cache  # noqa: B019 - one object a run
    def _profile_uses(self, profile: str) -> list[Use]:
        return [
            dataclasses.replace(use, given={name: trusted(value) for name, value in use.given.items()})
            for use in uses(self.tree.top, profile)
        ]

    @cache  # noqa: B019 - one object a run
    def _role_options(self, role: str, entry: str) -> dict[str, dict[str, Any]]:
        return options(self.tree.top, role, entry)

    @cache  # noqa: B019 - one object a run
    def _role_defaults(self, role: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for folder in ("defaults", "vars"):
            file = self.tree.top / f"roles/{role}/{folder}/main.yml"
            if file.is_file():
                found |= yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader) or {}
        return {name: trusted(value) for name, value in found.items()}

    def _build_problem(self, name: str, text: str, wanting: Sequence[str], hosts: Sequence[str]) -> Problem:
        listed = _join_names(dict.fromkeys(hosts))
        where = self._variable_location(name, wanting)
        if text:
            fix = "corrigez la valeur là où l'inventaire la donne (docs/variables.md dit ce qui est attendu)"
            if text.startswith(_ABSENT):
                fix = "mettez-y ce fichier, ou corrigez son chemin"
            elif ". À faire : " in text:  # a filter of ours says it all
                text, _, fix = text.partition(". À faire : ")
            return Problem(where, None, name, f"{text} ({listed})", fix)
        several = len(set(wanting)) > 1
        wanted = f"que {'veulent les profils' if several else 'veut le profil'} {', '.join(dict.fromkeys(wanting))}"
        fix = f"écrivez {name}: et sa valeur"
        if name in (self.tree.top / EXAMPLE).read_text(encoding="utf-8"):
            fix += f", comme dans {EXAMPLE}"
        return Problem(where, None, name, f"cette variable, {wanted}, manque ({listed})", fix)

    def _variable_location(self, name: str, wanting: Sequence[str]) -> str:
        """Tell where the variable is given, or where to give it."""
        if name in _BY_MACHINE:
            return "servers.yml"
        for file in sorted((self.directory / "group_vars").glob("*.y*ml")):
            if re.search(rf"^{re.escape(name)}:", file.read_text(encoding="utf-8"), re.MULTILINE):
                return f"group_vars/{file.name}"
        shared = name.startswith("creatic_") or len(set(wanting)) > 1
        return f"group_vars/{'all' if shared else wanting[0]}.yml"


def _join_names(names: Iterable[str]) -> str:
    every = list(names)
    others = len(every) - 3
    return ", ".join(every[:3]) + (f" et {others} autre{'s' if others > 1 else ''}" if others > 0 else "")


@cache
def known_hosts(file: Path) -> tuple[str, ...]:
    """Give the names of a known_hosts file (sshd(8)), hashed ones included."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    return tuple(
        name for line in lines if not line.startswith(("#", "@")) for name in line.partition(" ")[0].split(",")
    )


def is_known(address: str, names: Sequence[str]) -> bool:
    if address in names:
        return True
    for name in names:
        if name.startswith("|1|"):
            salt, _bar, digest = name[3:].partition("|")
            try:
                made = hmac.new(base64.b64decode(salt), address.encode(), "sha1").digest()
            except ValueError:  # a damaged line is nobody's
                continue
            if base64.b64encode(made).decode() == digest:
                return True
    return False


def _group_lacks(lacks: Iterable[Lack]) -> dict[tuple[str, str], list[Lack]]:
    """Put together what several profiles lack alike, and the variables that one fault of a file makes wrong."""
    found: dict[tuple[str, str], list[Lack]] = {}
    first: dict[str, str] = {}
    for lack in lacks:
        name = first.setdefault(lack.text, lack.name) if "À faire" in lack.text else lack.name
        found.setdefault((name, lack.text), []).append(lack)
    return found


def trusted(value: Any) -> Any:
    """Make the texts of a playbook templates; those that would make something on the control node, a plain word."""
    from ansible.template import trust_as_template

    if isinstance(value, str):
        return "fait au déploiement" if _MAKES.search(value) else trust_as_template(value)
    if isinstance(value, list):
        return [trusted(each) for each in value]
    if isinstance(value, dict):
        return {name: trusted(each) for name, each in value.items()}
    return value


def _value_shape(value: Any) -> Any:
    """Tell what a machine's variables are made of, without what differs by commune: names, numbers, addresses."""
    if isinstance(value, Mapping):
        return tuple(
            (name, _value_shape(value[name]), str(value[name]) if name == "services" else "")
            for name in sorted(value)
            if name not in ("groups", "hostvars", "group_names")
        )
    if isinstance(value, list):
        return tuple(sorted({_value_shape(each) for each in value}, key=str))
    return type(value).__name__


def _value_faults(name: str, option: Mapping[str, Any], value: Any) -> Iterator[str]:
    """Judge a value by its spec, as Ansible will; in French, its value is never shown."""
    from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

    if value is None:
        if option.get("required"):
            yield "la valeur est vide"
        return
    if not forms.is_typed(option, value):
        listed = isinstance(value, list) and option.get("type") == "list"
        what = "une valeur de la liste n'est pas un texte" if listed else "la valeur n'est pas du type attendu"
        yield what if listed else f"{what} ({option.get('type', 'str')})"
        return
    spec = {key: each for key, each in option.items() if key != "est"}
    errors = ArgumentSpecValidator({name: spec}).validate({name: value}).error_messages
    if not errors:
        yield from forms.faults(name, option, value)
    for error in errors:
        if found := re.search(r"missing required arguments: (.*?)(?: found in (.*))?$", error):
            yield f"{_MISSING_PREFIX}{found[1]}"
        elif found := re.search(r"must be one of: (.*?), got", error):
            yield f"la valeur n'est pas admise (valeurs possibles : {found[1]})"
        elif found := re.search(r"Unsupported parameters?: (.*?)\. Supported", error) or re.search(
            r"^(\S+?)\. Supported parameters", error
        ):
            yield f"champ inconnu {quote(found[1].rsplit('.', 1)[-1])}"
        else:
            yield f"la valeur n'est pas du type attendu ({option['type']})"
