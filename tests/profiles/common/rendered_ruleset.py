"""The ruleset that the inventory wants of a host, rendered without it: roles' flows, wired as the profile wires them.

Neither the host nor the module that applies the ruleset has a say in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from creatic.firewall.rules import render
from creatic.registry import listing

TOP = Path(__file__).parents[3]


def trusted(value: Any) -> Any:
    """Variables of the inventory, as Ansible takes them: what it marks as a text is none of its templates."""
    if isinstance(value, str):
        return str(value) if isinstance(value, listing.Text) else trust_as_template(value)
    if isinstance(value, list):
        return [trusted(one) for one in value]
    if isinstance(value, dict):
        return {key: trusted(one) for key, one in value.items()}
    return value


def wired_templar(variables: Mapping[str, Any]) -> Templar:
    """Ansible's own templar, with the project's filters: its loader finds none in a process that is not its own."""
    made = Templar(loader=DataLoader(), variables=dict(variables))
    for file in (TOP / "collections/ansible_collections/cdg59/creatic/plugins/filter").glob("*.py"):
        plugin = import_module(f"ansible_collections.cdg59.creatic.plugins.filter.{file.stem}")
        for name, work in plugin.FilterModule().filters().items():
            made._engine.environment.filters[f"cdg59.creatic.{name}"] = work
    return made


def _loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None


def _tasks(tasks: list[dict[str, Any]], around: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Tasks, blocks opened, each with the variables that are in scope."""
    for task in tasks:
        scope = {**around, **task.get("vars", {})}
        yield task, scope
        yield from _tasks(task.get("block", []), scope)


def ruleset(inventory: Mapping[str, Any], profile: str, host: str) -> str:
    """nft text of role firewall for a host.

    Args:
        inventory: what ``ansible-inventory --list`` gives, of the whole inventory.
    """
    hostvars = inventory["_meta"]["hostvars"]
    groups = {name: found["hosts"] for name, found in inventory.items() if "hosts" in found}
    roles, wired = [], {}
    for task, scope in _tasks(_loaded(TOP / "playbooks" / "profiles" / f"{profile}.yml"), {}):
        if brought := task.get("ansible.builtin.include_role") or task.get("ansible.builtin.import_role"):
            roles.append(brought["name"])
        if "securite.yml" in (task.get("ansible.builtin.include_tasks"), task.get("ansible.builtin.import_tasks")):
            wired = scope
    assert wired, f"{profile} includes no securite.yml"
    variables: dict[str, Any] = {}
    for kind in ("defaults", "vars"):
        for role in (*roles, "firewall"):
            variables |= trusted(_loaded(TOP / "roles" / role / kind / "main.yml") or {})
        if kind == "defaults":
            variables |= trusted(hostvars[host])
    variables |= trusted(wired)
    variables |= {"groups": groups, "hostvars": trusted(hostvars), "inventory_hostname": host, "inventory_dir": "."}
    templar = wired_templar(variables)

    def value(name: str) -> Any:
        return templar.template(trust_as_template(f"{{{{ {name} }}}}"))

    return render(value("firewall_rules"), value("firewall_admin_networks"), value("firewall_ssh_port"))
