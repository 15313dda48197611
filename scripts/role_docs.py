#!/usr/bin/env python3
"""Generate each role's README from its meta/argument_specs.yml, the interface and single source.

There, an entry point is a tasks file that others take alone (tasks_from); the one named `outputs` is none: its options
are the variables that the role gives to others.

docs/controles.md comes from the catalogue of recommendations, roles/hardening/files/controls.yml; docs/variables.md
from the specs of each profile's roles, and from what profiles.yml and variables.yml of the registry say.

``--check`` changes nothing and exits 1 when a README, or a default of defaults/main.yml, differs from the specs, or a
page of docs/ from what it is made of.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml

TOP = Path(__file__).parents[1]
sys.path[:0] = [str(TOP), str(TOP / "collections")]

from creatic.registry import profiles, variables

CATALOGUE = TOP / "roles" / "hardening" / "files" / "controls.yml"
CONTROLS = TOP / "docs" / "controles.md"
VARIABLES = TOP / "docs" / "variables.md"
REGISTRY = profiles.FILE.with_name("variables.yml")
LEVELS = ("minimal", "intermediary", "enhanced", "high")
STATUSES = {"automatise": "automatisée", "manuel": "à attester", "sans_objet": "sans objet"}

# https://docs.ansible.com/ansible/latest/dev_guide/ansible_markup.html: what is shown as code, then what is in words.
_CODE = re.compile(r"\b(?:RV|[COVEM])\(((?:[^\\)]|\\.)+)\)|\bP\(([^#)]+)#[a-z]+\)")
_STYLES = {"I": "*{}*", "B": "**{}**", "U": "<{}>", "L": "[{}]({})"}
_MARKUP_PATTERN = re.compile(r"\b([IBUL])\(([^)]+)\)")


def markdown(text: str) -> str:
    """Give a description of Ansible's as Markdown."""

    def code(found: re.Match[str]) -> str:
        return "`" + re.sub(r"\\(.)", r"\1", found[1] or found[2]) + "`"

    def words(found: re.Match[str]) -> str:
        parts = found[2].rsplit(",", 1) if found[1] == "L" else [found[2]]
        return _STYLES[found[1]].format(*(part.strip() for part in parts))

    return _MARKUP_PATTERN.sub(words, _CODE.sub(code, text))


def _join_text(value: str | list[str]) -> str:
    return " ".join(" ".join([value] if isinstance(value, str) else value).split())


def _describe_type(spec: dict[str, Any]) -> str:
    return str(spec["type"]) + (f" of {spec['elements']}" if "elements" in spec else "")


def _option_rows(options: dict[str, Any], prefix: str = "") -> list[str]:
    rows = []
    for name, spec in options.items():
        default = "required" if spec.get("required") else f"`{spec['default']!r}`" if "default" in spec else "–"
        default = default.replace("|", "\\|")
        choices = f" One of: {', '.join(f'`{choice}`' for choice in spec['choices'])}." if "choices" in spec else ""
        description = markdown(_join_text(spec["description"])).replace("|", "\\|")
        rows.append(f"| `{prefix}{name}` | {_describe_type(spec)} | {default} | {description}{choices} |")
        rows += _option_rows(spec.get("options", {}), f"{prefix}{name}.")
    return rows


def specs_of(role: Path) -> dict[str, Any]:
    """Specs of one role, by entry point."""
    found: dict[str, Any] = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"]
    return found


def _extra_tables(specs: dict[str, Any]) -> list[str]:
    """Tables of the entry points that are taken alone, and of what the role gives."""
    alone = [(name, spec) for name, spec in specs.items() if name not in ("main", "outputs")]
    lines = ["| `tasks_from` | what is done | variables |", "|---|---|---|"] if alone else []
    for name, spec in alone:
        options = ", ".join(f"`{option}`" for option in spec.get("options", {}))
        lines.append(f"| `{name}` | {markdown(_join_text(spec['short_description']))} | {options or '–'} |")
    lines += [""] if alone else []
    if "outputs" in specs:
        lines += ["| given to others | type | meaning |", "|---|---|---|"]
        for name, spec in specs["outputs"]["options"].items():
            lines.append(f"| `{name}` | {_describe_type(spec)} | {markdown(_join_text(spec['description']))} |")
        lines.append("")
    return lines


def readme(role: Path) -> str:
    """README of one role, as Markdown."""
    specs = specs_of(role)
    spec = specs["main"]
    lines = [
        f"# {role.name}",
        "",
        markdown(_join_text(spec["short_description"])).rstrip(".") + ".",
        "",
        markdown(_join_text(spec.get("description", ""))),
        "",
    ]
    rows = _option_rows(spec.get("options", {}))
    if rows:
        lines += ["| variable | type | default | meaning |", "|---|---|---|---|", *rows, ""]
    lines += _extra_tables(specs)
    lines.append("Generated from `meta/argument_specs.yml` by `scripts/role_docs.py`.")
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def default_errors(role: Path) -> list[str]:
    """Differences between defaults/main.yml and the defaults of the specs."""
    spec = specs_of(role)["main"]
    promised = {name: value["default"] for name, value in spec.get("options", {}).items() if "default" in value}
    file = role / "defaults" / "main.yml"
    given = (yaml.safe_load(file.read_text()) or {}) if file.exists() else {}
    return [
        f"{role.name}: {name}: specs say {promised.get(name, 'nothing')!r}, defaults say {given.get(name, 'nothing')!r}"
        for name in sorted(promised.keys() | given.keys())
        if promised.get(name, "nothing") != given.get(name, "nothing")
    ]


def _waiver_scope(waiver: dict[str, Any]) -> str:
    scope = waiver.get("portee", {})
    places = ["conteneurs"] if scope.get("conteneur") else []
    places += scope.get("profils", []) + [f"niveau {level}" for level in scope.get("niveaux", [])]
    return ", ".join(places) or "partout"


def _control_details(control: dict[str, Any]) -> list[str]:
    lines = [f"## {control['id']} : {control['titre']}", "", _join_text(control["demande"]), ""]
    lines += [f"- Niveau : {control['niveau']} ; {STATUSES[control['statut']]}."]
    lines += [f"- {_join_text(control['motif'])}"] if "motif" in control else []
    lines += [f"- À signer : « {_join_text(control['attestation'])} »"] if "attestation" in control else []
    lines += [f"- Réglée par `{control['variable']}`."] if "variable" in control else []
    for test in control.get("tests", []):
        file, function = test.split("::")
        lines.append(f"- Essai : [`{function}`](../{file}).")
    for waiver in control.get("derogations", []):
        rules = ", ".join(f"`{rule}`" for rule in waiver.get("regles", [])) or "toute la recommandation"
        day = "/".join(reversed(waiver["fin"].split("-")))
        lines.append(
            f"- Dérogation ({_waiver_scope(waiver)}) : {rules}. {_join_text(waiver['motif'])} "
            f"{waiver['responsable']}, {day}."
        )
    return [*lines, ""]


def controls_page(catalogue: dict[str, Any]) -> str:
    """The catalogue as a French page, as Markdown."""
    controls = catalogue["controles"]
    lines = [
        "# Les recommandations de l'ANSSI, et comment elles sont tenues",
        "",
        "Les 80 recommandations du guide ANSSI-BP-028 v2.0. Chaque niveau comprend ceux d'avant ; une machine est "
        "jugée sur celles du sien par `fab audit`.",
        "",
        "| niveau | recommandations | automatisées | à attester | sans objet |",
        "|---|---|---|---|---|",
    ]
    for number, level in enumerate(LEVELS):
        asked = [control for control in controls if LEVELS.index(control["niveau"]) <= number]
        counts = [sum(control["statut"] == status for control in asked) for status in STATUSES]
        lines.append(f"| {level} | {len(asked)} | {' | '.join(str(count) for count in counts)} |")
    lines.append("")
    for control in controls:
        lines += _control_details(control)
    lines.append(f"Écrit par `scripts/role_docs.py` d'après `{CATALOGUE.relative_to(TOP)}`.")
    return "\n".join(lines) + "\n"


EVERYWHERE = ("base", "hardening", "access", "audit_agent", "firewall")
SAVED = "backup_client"


def _needed_variables(title: str, introduction: str, wanted: list[variables.Need]) -> list[str]:
    lines = [f"## {title}", "", introduction, ""]
    if not wanted:
        return [*lines, "Rien de plus.", ""]
    lines += ["| variable | type | d'office | ce que c'est | rôle |", "|---|---|---|---|---|"]
    for need in sorted(wanted, key=lambda one: (not one.required, one.role, one.name)):
        [row, *inside] = _option_rows({need.name: dict(need.spec)})
        name, kind, default, meaning = row.removesuffix(" |").split(" | ", 3)
        if need.spec.get("required"):
            default = "**à donner**" if need.required else "selon la machine"
        if inside:
            meaning += " Fields: " + ", ".join(f"`{one.split('`')[1].partition('.')[2]}`" for one in inside) + "."
        lines.append(f"{name} | {kind} | {default} | {meaning} | `{need.role}` |")
    return [*lines, ""]


def _profile_words(profile: profiles.Profile) -> str:
    words = [f"Groupe `{profile.name}`"]
    words += [f"déployé après {', '.join(profile.attend)}"] if profile.attend else []
    words += ["décrit par les fichiers des communes"] if profile.commune else []
    words += [f"demandé par le service {' ou '.join(profile.services)}"] if profile.services else []
    words += ["sauvegardé"] if profile.sauvegarde else []
    words += ["banc d'essai seulement"] if profile.banc else []
    return " ; ".join(words) + "."


def variables_page() -> str:
    """What an inventory may say, profile by profile, as a French page; roles' own texts are English."""
    known = yaml.safe_load(REGISTRY.read_text())
    lines = [
        "# Les variables de l'inventaire",
        "",
        "Ce qu'un environnement doit donner, et ce qu'il peut régler. `inventories/example` le montre rempli. Les",
        "textes des rôles sont en anglais, ceux de leurs spécifications ; `roles/<rôle>/README.md` a le détail des",
        "champs, et ce que règlent les rôles qu'ils emploient (`nginx_tls`, `pki_client`, `postgresql`).",
        "",
        "Une variable se donne dans `group_vars/all.yml`, dans `group_vars/<profil>.yml`, ou sur la ligne de la",
        "machine dans `servers.yml`. Ce qui relie les machines entre elles (passerelle, porte de la salle d'archives,",
        "nœuds, serveurs, clients des sauvegardes, communes servies) n'est pas une variable : les groupes le disent.",
        "",
        "## Fichiers à fournir",
        "",
        "`<état>` est `creatic_home` : `~/.local/share/creatic/<environnement>` d'office.",
        "",
        "| fichier | ce qu'on y met |",
        "|---|---|",
        *(f"| `{one['fichier']}` | {_join_text(one['dit'])} |" for one in known["fichiers"]),
        "",
        "## Variables d'environnement du poste de commande",
        "",
        "| variable | ce que c'est |",
        "|---|---|",
        *(f"| `{name}` | {text} |" for name, text in known["environnement"].items()),
        "",
        "## Variables du groupement",
        "",
        "| variable | où | à donner | ce que c'est | exemple |",
        "|---|---|---|---|---|",
    ]
    for name, one in known["variables"].items():
        must = "**oui**" if one.get("obligatoire") else one.get("condition", "non")
        example = f"`{one['exemple']}`" if "exemple" in one else ""
        lines.append(
            f"| `{name}` | {one['ou']} | {must} | {_join_text(one['dit'])} | {example.replace('|', chr(92) + '|')} |"
        )
    lines += ["", "L'inventaire calcule lui-même, et personne n'écrit :", ""]
    lines += [f"- `{name}` : {text}" for name, text in known["calculees"].items()]
    lines += ["", "Au banc d'essai seulement :", ""]
    lines += [f"- `{name}` : {text}" for name, text in known["essai"].items()]
    lines.append("")
    common = {need.name: need for need in variables.needs(TOP, "backup_server") if need.role in EVERYWHERE}
    lines += _needed_variables("Toutes les machines Debian", f"Rôles {', '.join(EVERYWHERE)}.", list(common.values()))
    saved = {need.name: need for name in profiles.marked("sauvegarde") for need in variables.needs(TOP, name)}
    told = [need for need in saved.values() if need.role == SAVED]
    lines += _needed_variables("Machines sauvegardées", f"Profils {', '.join(profiles.marked('sauvegarde'))}.", told)
    for name, profile in profiles.load().items():
        if (TOP / "playbooks" / "profiles" / f"{name}.yml").is_file() and name != "hardening":
            own = [need for need in variables.needs(TOP, name) if need.role not in (*EVERYWHERE, SAVED)]
            lines += _needed_variables(f"Profil {name}", _profile_words(profile), own)
    lines.append("Écrit par `scripts/role_docs.py` d'après les spécifications des rôles et le registre.")
    return "\n".join(lines) + "\n"


def main() -> int:
    check = "--check" in sys.argv[1:]
    errors: list[str] = []
    for specs in sorted(TOP.glob("roles/*/meta/argument_specs.yml")):
        role = specs.parents[1]
        errors += default_errors(role)
        target, wanted = role / "README.md", readme(role)
        if not check:
            target.write_text(wanted)
        elif not target.exists() or target.read_text() != wanted:
            errors.append(f"{role.name}: README.md is not what the specs say: run scripts/role_docs.py")
    for target, wanted, source in (
        (CONTROLS, controls_page(yaml.safe_load(CATALOGUE.read_text())), "the catalogue"),
        (VARIABLES, variables_page(), "the specs"),
    ):
        if not check:
            target.write_text(wanted)
        elif not target.exists() or target.read_text() != wanted:
            errors.append(f"docs/{target.name} is not what {source} says: run scripts/role_docs.py")
    for role in sorted(TOP.glob("roles/*/tasks")):
        if not (role.parent / "meta" / "argument_specs.yml").exists():
            errors.append(f"{role.parent.name}: no meta/argument_specs.yml")
    print("\n".join(errors) if errors else "role documentation and defaults match their specs")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
