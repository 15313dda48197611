#!/usr/bin/env python3
"""Generate each role's README from its meta/argument_specs.yml, the interface and single source.

``--check`` changes nothing and exits 1 when a README, or a default of defaults/main.yml, differs from the specs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

TOP = Path(__file__).parents[1]


def _text(value: str | list[str]) -> str:
    return " ".join(" ".join([value] if isinstance(value, str) else value).split())


def _rows(options: dict[str, Any], prefix: str = "") -> list[str]:
    rows = []
    for name, spec in options.items():
        kind = spec["type"] + (f" of {spec['elements']}" if "elements" in spec else "")
        default = "required" if spec.get("required") else f"`{spec['default']!r}`" if "default" in spec else "–"
        choices = f" One of: {', '.join(f'`{choice}`' for choice in spec['choices'])}." if "choices" in spec else ""
        description = _text(spec["description"]).replace("|", "\\|")
        rows.append(f"| `{prefix}{name}` | {kind} | {default} | {description}{choices} |")
        rows += _rows(spec.get("options", {}), f"{prefix}{name}.")
    return rows


def readme(role: Path) -> str:
    """README of one role, as Markdown."""
    spec = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]
    lines = [
        f"# {role.name}",
        "",
        _text(spec["short_description"]).rstrip(".") + ".",
        "",
        _text(spec.get("description", "")),
        "",
    ]
    rows = _rows(spec.get("options", {}))
    if rows:
        lines += ["| variable | type | default | meaning |", "|---|---|---|---|", *rows, ""]
    lines.append("Generated from `meta/argument_specs.yml` by `scripts/role_docs.py`.")
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def default_errors(role: Path) -> list[str]:
    """Differences between defaults/main.yml and the defaults of the specs."""
    spec = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]
    promised = {name: value["default"] for name, value in spec.get("options", {}).items() if "default" in value}
    file = role / "defaults" / "main.yml"
    given = (yaml.safe_load(file.read_text()) or {}) if file.exists() else {}
    return [
        f"{role.name}: {name}: specs say {promised.get(name, 'nothing')!r}, defaults say {given.get(name, 'nothing')!r}"
        for name in sorted(promised.keys() | given.keys())
        if promised.get(name, "nothing") != given.get(name, "nothing")
    ]


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
    for role in sorted(TOP.glob("roles/*/tasks")):
        if not (role.parent / "meta" / "argument_specs.yml").exists():
            errors.append(f"{role.parent.name}: no meta/argument_specs.yml")
    print("\n".join(errors) if errors else "role documentation and defaults match their specs")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
