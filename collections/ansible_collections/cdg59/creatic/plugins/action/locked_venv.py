# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Control-node half of locked_venv: makes the bundle when a host asks for it, or ahead, and sends it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.cdg59.creatic.plugins.module_utils import words
from ansible_collections.cdg59.creatic.plugins.module_utils.host import locked_venv
from ansible_collections.cdg59.creatic.plugins.plugin_utils.acting import Acting

from creatic.evidence import steps


class ActionModule(Acting):
    """Asks the host first: one that has its environment costs nothing more."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        wanted = locked_venv.Wanted(
            Path(args["root"]),
            self._find_file(args["requirements"]),
            self._find_file(args["build_requirements"]),
            tuple(args.get("assets_command") or ()),
            self._find_file(args["assets_lock"]) if args.get("assets_lock") else None,
            {path: self._find_file(source).read_bytes() for path, source in (args.get("files") or {}).items()},
            {
                str(path): [(str(pair["old"]), str(pair["new"])) for pair in pairs]
                for path, pairs in (args.get("replacements") or {}).items()
            },
        )
        cache = Path(str(args.get("cache") or "~/.cache/creatic/bundles")).expanduser()
        if boolean(args.get("prepare", False)):
            return self._prepare_bundle(args, wanted, cache)
        given = {"root": args["root"], "name": wanted.name, "holds_data": args.get("holds_data", False)}
        result = self._run_module(given, task_vars)
        if not result.pop("wants_bundle", False):
            return result
        made = self._make_bundle(args, wanted, cache)
        folder = self._make_tmp_path()
        try:
            sent = self._connection._shell.join_path(folder, made.name)
            self._transfer_file(str(made), sent)
            return self._run_module(given | {"bundle": sent}, task_vars)
        finally:
            self._remove_tmp_path(folder)

    def _make_bundle(self, args: dict[str, Any], wanted: locked_venv.Wanted, cache: Path) -> Path:
        environment = {str(key): str(value) for key, value in (args.get("assets_environment") or {}).items()}
        npm = locked_venv.npm_registry(args.get("assets_npm_registry", ""))
        sources = [*locked_venv.index(), *npm.values()] if _is_lacking(wanted, cache) else []
        return locked_venv.bundle(wanted, cache, npm | environment, sources)

    def _prepare_bundle(self, args: dict[str, Any], wanted: locked_venv.Wanted, cache: Path) -> dict[str, Any]:
        """Make the bundle ahead, or say in check mode what would be; asks no host, and so changes none."""
        what = steps.phrase(self._task.get_name(), self._task._role.get_name() if self._task._role else "")
        kept = locked_venv.bundle_path(wanted, cache)
        if not _is_lacking(wanted, cache):
            told = f"déjà prêt ({words.size(kept.stat().st_size)})"
        elif self._task.check_mode:
            asked = args.get("assets_npm_registry", "")
            npm = locked_venv.npm_registry(asked)
            index = locked_venv.index() or ["les dossiers que pip connaît"]
            registry = list(npm.values()) or ["le registre npm d'office"] * bool(asked)
            told = f"à faire, depuis {' et '.join(index + registry)}"
        else:
            began = time.monotonic()
            size = words.size(self._make_bundle(args, wanted, cache).stat().st_size)
            told = f"fait en {words.duration(time.monotonic() - began)} ({size})"
        return {"changed": False, "prepared": f"{what} : {told}"}

    def _find_file(self, name: str) -> Path:
        return Path(self._find_needle("files", name))

    def _run_module(self, args: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        found: dict[str, Any] = self._execute_module(
            module_name="cdg59.creatic.locked_venv", module_args=args, task_vars=task_vars
        )
        return found


def _is_lacking(wanted: locked_venv.Wanted, cache: Path) -> bool:
    return not locked_venv.bundle_path(wanted, cache).exists()
