# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Control-node half of file_set: renders templates, reads files and folders, builds zipapps, sends one request."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.template import trust_as_template
from ansible_collections.cdg59.creatic.plugins.plugin_utils.acting import Acting
from ansible_collections.cdg59.creatic.plugins.plugin_utils.applications import package as application
from ansible_collections.cdg59.creatic.plugins.plugin_utils.bytecode import compiled
from ansible_collections.cdg59.creatic.plugins.plugin_utils.kept import FileCache

_SHARED = "creatic_agent"
# A zipapp that other builders made is made again.
_BUILDERS = (Path(__file__), Path(__file__).parents[1] / "plugin_utils" / "bytecode.py")
_SOURCES = ("template", "src", "content", "zipapp")
# As ansible.builtin.template says by itself; ansible-core makes it a constant (2.23), whose code is not public.
MANAGED = "Ansible managed"


def build_zipapp(package: Path, main: str, python: str = "/usr/bin/python3") -> bytes:
    """Build an executable zip of a Python package, the same bytes for the same sources and the same Python.

    A package that imports `creatic_agent`, what the agents share, carries it. Beside each module stands what this
    Python compiled of it: an agent that starts each minute does not compile itself each time. A host whose Python is
    another one takes the sources (zipimport).

    Args:
        package: folder of the package; bytecode caches are left out.
        main: entry point, ``package.module:function``; its return value is the exit status.
        python: interpreter of the host.
    """
    module, function = main.split(":")
    entries = _package_files(package)
    if any(_SHARED.encode() in content for content in entries.values()):
        shared = application(_SHARED, (package, __file__))
        if shared is None:
            raise AnsibleActionFail(
                f"{package.name} : {_SHARED} manque dans apps/. À faire : reprenez le projet entier"
            )
        entries |= _package_files(shared)
    entries["__main__.py"] = f"import sys\nfrom {module} import {function}\nsys.exit({function}())\n".encode()
    builders = b"".join(path.read_bytes() for path in _BUILDERS)
    named = hashlib.sha256(python.encode() + importlib.util.MAGIC_NUMBER + builders)
    for name in sorted(entries):
        named.update(b"\0%s\0%d\0" % (name.encode(), len(entries[name])) + entries[name])
    kept, key = FileCache("agents"), named.hexdigest()
    if (built := kept.get(key)) is None:
        kept.put(key, built := _pack_zipapp(entries, python))
    return built


def _pack_zipapp(entries: Mapping[str, bytes], python: str) -> bytes:
    bytecode = {f"{name}c": compiled(name, text) for name, text in entries.items() if name.endswith(".py")}
    buffer = io.BytesIO()
    buffer.write(f"#!{python} -I\n".encode())
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted({**entries, **bytecode}.items()):
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, content)
    return buffer.getvalue()


def _package_files(package: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(package.parent)): path.read_bytes()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def tree_entries(root: Path, spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give the entries of a folder that is sent whole: its folders, then what is in each; no bytecode caches.

    Args:
        spec: the task's entry; its owner and group are those of all.
    """
    given = {key: value for key, value in spec.items() if key in ("owner", "group")}
    yield {"path": spec["path"], "state": "directory", **given}
    for path in sorted(root.rglob("*")):
        if "__pycache__" not in path.parts:
            source = {"state": "directory"} if path.is_dir() else {"src": str(path)}
            yield {"path": f"{spec['path']}/{path.relative_to(root)}", **source, **given}


class FileRenderer(Acting):
    """Makes ready, on the control node, the files that a task lists."""

    def _render_template(self, name: str, task_vars: dict[str, Any], more: dict[str, Any]) -> bytes:
        source = self._find_needle("templates", name)
        folders = [
            *task_vars.get("ansible_search_path", []),
            self._loader.get_basedir(),
            str(Path(source).parent),
        ]
        searchpath = [entry for folder in folders for entry in (str(Path(folder) / "templates"), folder)]
        variables = {"ansible_managed": MANAGED} | task_vars | more
        templar = self._templar.copy_with_new_env(searchpath=searchpath, available_variables=variables)
        text = templar.template(
            trust_as_template(self._loader.get_text_file_contents(source)),
            escape_backslashes=False,
            overrides={"trim_blocks": True, "lstrip_blocks": True},
        )
        return str(text or "").encode()

    def _entry_content(self, spec: dict[str, Any], task_vars: dict[str, Any]) -> bytes:
        if spec.get("template"):
            return self._render_template(spec["template"], task_vars, dict(spec.get("vars") or {}))
        if spec.get("src"):
            return Path(self._find_needle("files", spec["src"])).read_bytes()
        if spec.get("zipapp"):
            return build_zipapp(
                self._find_folder(spec["zipapp"]), spec["main"], spec.get("python") or "/usr/bin/python3"
            )
        return str(spec["content"]).encode()

    def _find_folder(self, name: str) -> Path:
        """A package of the applications, or a folder of the role's files."""
        return application(name, self._task.get_search_path()) or Path(self._find_needle("files", name))

    def _expand_entries(self) -> Iterator[dict[str, Any]]:
        for spec in self._task.args.get("files") or []:
            if spec.get("tree"):
                yield from tree_entries(self._find_folder(spec["tree"]), spec)
            else:
                yield spec

    def rendered(self, task_vars: dict[str, Any]) -> list[dict[str, Any]]:
        """The task's files as the module takes them, contents base64-encoded.

        Raises:
            AnsibleActionFail: an entry has no source, or several.
        """
        files = []
        for spec in self._expand_entries():
            given = [source for source in _SOURCES if spec.get(source) is not None]
            is_file = spec.get("state", "file") == "file" and not spec.get("link")
            if len(given) != (1 if is_file else 0):
                raise AnsibleActionFail(
                    f"{self._task.action.rpartition('.')[2]} : {spec.get('path', '?')} demande une seule source "
                    f"parmi {', '.join(_SOURCES)}"
                )
            ready = {key: value for key, value in spec.items() if key not in (*_SOURCES, "main", "vars")}
            if is_file:
                ready["content_b64"] = base64.b64encode(self._entry_content(spec, task_vars)).decode()
            files.append(ready)
        return files


class ActionModule(FileRenderer):
    """Runs the module once with every content ready."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        return self._execute_module(
            module_name="cdg59.creatic.file_set",
            module_args={"files": self.rendered(task_vars)},
            task_vars=task_vars,
        )
