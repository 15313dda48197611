"""file_set: the state is reached, told, and never half-written."""

from __future__ import annotations

import base64
import grp
import hashlib
import io
import os
import pwd
import subprocess
import zipfile
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.cdg59.creatic.plugins.action.file_set import ActionModule, build_zipapp, tree_entries
from ansible_collections.cdg59.creatic.plugins.module_utils.host import file_set
from ansible_collections.cdg59.creatic.plugins.module_utils.host.file_set import Change, FileSetError, apply, diff

ME = {"owner": pwd.getpwuid(os.getuid()).pw_name, "group": grp.getgrgid(os.getgid()).gr_name}


def entry(path: Path, content: str | None = None, **over: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {"path": str(path), "state": "file", "mode": "0644", "secret": False, **ME, **over}
    if content is not None:
        spec["content_b64"] = base64.b64encode(content.encode()).decode()
    return spec


def test_everything_is_made_then_nothing_changes(tmp_path: Path) -> None:
    files = [
        entry(tmp_path / "d", state="directory", mode="0750"),
        entry(tmp_path / "d" / "f", "délibération\n", mode="0640"),
        entry(tmp_path / "d" / "l", link="f"),
        entry(tmp_path / "old", state="absent"),
    ]
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "x").touch()
    assert len(apply(files)) == 4
    assert (tmp_path / "d" / "l").read_text() == "délibération\n"
    assert (tmp_path / "d" / "f").stat().st_mode & 0o7777 == 0o640
    assert not (tmp_path / "old").exists()
    assert apply(files) == []


def test_check_mode_tells_and_touches_nothing(tmp_path: Path) -> None:
    files = [entry(tmp_path / "d", state="directory"), entry(tmp_path / "d" / "f", "x", owner="compte-futur")]
    files[1]["group"] = "groupe-futur"
    assert [change.path for change in apply(files, check=True)] == [str(tmp_path / "d"), str(tmp_path / "d" / "f")]
    assert list(tmp_path.iterdir()) == []
    there = tmp_path / "là"
    there.write_text("x")
    for futur in ({"owner": "compte-futur"}, {"group": "groupe-futur"}):
        (change,) = apply([entry(there, "x", mode=f"{there.stat().st_mode & 0o7777:04o}", **futur)], check=True)
        assert change.reasons == ["propriétaire"]


def test_mode_alone_is_repaired(tmp_path: Path) -> None:
    target = tmp_path / "f"
    target.write_text("x")
    target.chmod(0o777)
    (change,) = apply([entry(target, "x")])
    assert change.reasons == ["mode 0777 → 0644"]
    assert target.stat().st_mode & 0o7777 == 0o644


def test_a_refused_file_never_replaces_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "f"
    target.write_text("bon")
    with pytest.raises(FileSetError, match="refusé par « grep », rien n'est changé"):
        apply([entry(target, "mauvais", validate="grep -q bon %s")])
    assert target.read_text() == "bon"
    assert list(tmp_path.iterdir()) == [target]


def test_a_secret_shows_in_no_diff_and_no_error(tmp_path: Path) -> None:
    target = tmp_path / "f"
    target.write_text("canari-ancien")
    with pytest.raises(FileSetError) as refused:
        apply([entry(target, "canari-neuf", secret=True, validate="sh -c 'cat %s >&2; exit 1'")])
    (change,) = apply([entry(target, "canari-neuf", secret=True)])
    assert "canari" not in f"{refused.value}{change}"


def test_unknown_account_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileSetError, match="le compte « personne-ici » n'existe pas"):
        apply([entry(tmp_path / "f", "x", owner="personne-ici")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["directory", "link"])
def test_something_else_in_the_way_is_refused(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "f"
    target.write_text("précieux")
    over: dict[str, Any] = {"state": "directory"} if kind == "directory" else {"link": "x"}
    with pytest.raises(FileSetError, match="déplacez-le puis relancez"):
        apply([entry(target, **over)])
    assert target.read_text() == "précieux"


def test_zipapp_runs_and_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    package = tmp_path / "outil"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "cli.py").write_text("def main():\n    print('prêt')\n    return 3\n")
    first = build_zipapp(package, "outil.cli:main")
    os.utime(package / "cli.py", (1, 1))
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "cli.pyc").write_bytes(b"x")
    assert build_zipapp(package, "outil.cli:main") == first
    assert first.startswith(b"#!/usr/bin/python3 -I\n")
    assert build_zipapp(package, "outil.cli:main", "/opt/outil/bin/python").startswith(b"#!/opt/outil/bin/python -I\n")
    program = tmp_path / "outil.pyz"
    program.write_bytes(first)
    done = subprocess.run(["/usr/bin/python3", str(program)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "prêt\n")


def test_a_zipapp_carries_what_agents_share_when_it_asks_for_it(tmp_path: Path) -> None:
    (tmp_path / "outil").mkdir()
    for text, carries in (("import json\n", False), ("from creatic_agent import book\n", True)):
        (tmp_path / "outil" / "cli.py").write_text(text)
        names = zipfile.ZipFile(io.BytesIO(build_zipapp(tmp_path / "outil", "outil.cli:main"))).namelist()
        assert {"outil/cli.py", "__main__.py"} <= {*names}
        assert ("creatic_agent/book.py" in names) is carries


def test_a_tree_is_its_folders_and_files(tmp_path: Path) -> None:
    for name in ("outil/pages/un.html", "outil/__init__.py", "outil/__pycache__/x.pyc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    listed = list(tree_entries(tmp_path / "outil", {"path": "/opt/outil", "tree": "outil", "group": "adm"}))
    assert listed == [
        {"path": "/opt/outil", "state": "directory", "group": "adm"},
        {"path": "/opt/outil/__init__.py", "src": str(tmp_path / "outil/__init__.py"), "group": "adm"},
        {"path": "/opt/outil/pages", "state": "directory", "group": "adm"},
        {"path": "/opt/outil/pages/un.html", "src": str(tmp_path / "outil/pages/un.html"), "group": "adm"},
    ]


def test_files_of_a_zipapp_have_one_date_and_one_mode(tmp_path: Path) -> None:
    (tmp_path / "outil").mkdir()
    (tmp_path / "outil" / "cli.py").write_text("x" * 1000)
    made = build_zipapp(tmp_path / "outil", "outil.cli:main")
    for one in zipfile.ZipFile(io.BytesIO(made)).infolist():
        assert (one.date_time, one.external_attr >> 16, one.compress_type) == ((1980, 1, 1, 0, 0, 0), 0o644, 8)


# -- what is told ---------------------------------------------------------------------------------------------------


def test_what_changed_is_shown_with_its_reasons(tmp_path: Path) -> None:
    target = tmp_path / "f"
    (made,) = apply([entry(target, "un\n")])
    (changed,) = apply([entry(target, "deux\n")])
    assert (made.before, made.after, made.reasons) == ("", "un\n", ["créé"])
    assert diff([changed]) == [
        {"before": "un\n", "after": "deux\n", "before_header": str(target), "after_header": f"{target} (contenu)"}
    ]
    (link,) = apply([entry(tmp_path / "l", link="a")])
    (turned,) = apply([entry(tmp_path / "l", link="b")])
    assert (link.before, link.after, turned.before, turned.after) == ("", "-> a\n", "-> a\n", "-> b\n")
    (gone,) = apply([entry(tmp_path / "l", state="absent")])
    assert gone == Change(str(tmp_path / "l"), before="présent\n", reasons=["supprimé"])


def test_a_secret_and_a_binary_show_nothing_of_themselves(tmp_path: Path) -> None:
    target = tmp_path / "f"
    (made,) = apply([entry(target, "canari", secret=True)])
    (changed,) = apply([entry(target, "canari 2", secret=True)])
    assert [(one.before, one.after) for one in (made, changed)] == [
        ("", "(secret, nouveau)\n"),
        ("(secret)\n", "(secret, nouveau)\n"),
    ]
    data = b"\xff\x00"
    (binary,) = apply([entry(target) | {"content_b64": base64.b64encode(data).decode()}])
    assert binary.after == f"(binaire, 2 octets, sha256 {hashlib.sha256(data).hexdigest()})\n"


def test_what_a_validation_complains_of_is_told(tmp_path: Path) -> None:
    for command in ("echo raison; echo autre >&2", "echo autre"):
        with pytest.raises(FileSetError, match=r"rien n'est changé. autre$"):
            apply([entry(tmp_path / "f", "x", validate=f"sh -c '{command}; exit 1' %s")])


# -- what is done ---------------------------------------------------------------------------------------------------


def test_owners_and_modes_that_are_not_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apply(
        [entry(tmp_path / "a" / "d", state="directory", mode=None), entry(tmp_path / "a" / "d" / "f", "x", mode=None)]
    )
    assert (tmp_path / "a" / "d").stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "a" / "d" / "f").stat().st_mode & 0o7777 == 0o644
    owned: list[tuple[str, int, int]] = []
    monkeypatch.setattr(file_set.os, "chown", lambda path, uid, gid: owned.append((path.name, uid, gid)))
    target = tmp_path / "a" / "d" / "f"
    spec = entry(target, "x", owner="nobody", group="nogroup")
    (told,) = apply([spec], check=True)
    assert (told.reasons, owned) == (["propriétaire"], [])
    apply([spec])
    assert owned == [("f", pwd.getpwnam("nobody").pw_uid, grp.getgrnam("nogroup").gr_gid)]


def test_a_folder_is_closed_until_its_rights_are_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def attributes(path: Path, _spec: dict[str, Any], _check: bool) -> list[str]:
        seen.append(path.stat().st_mode & 0o7777)
        return []

    monkeypatch.setattr(file_set, "_set_attributes", attributes)
    apply([entry(tmp_path / "d", state="directory")])
    assert seen == [0o700]


def test_an_unknown_group_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        FileSetError, match=r"^le groupe « groupe-ici » n'existe pas sur cette machine : créez-le avant$"
    ):
        apply([entry(tmp_path / "f", "x", group="groupe-ici")])


def test_a_file_needs_its_folder(tmp_path: Path) -> None:
    with pytest.raises(FileSetError, match=r"absent n'existe pas ; déclarez-le avant ce fichier$"):
        apply([entry(tmp_path / "absent" / "f", "x")])


def test_nothing_is_written_through_a_link_nor_over_a_folder(tmp_path: Path) -> None:
    (tmp_path / "vrai").write_text("précieux")
    (tmp_path / "lien").symlink_to("vrai")
    (tmp_path / "dossier").mkdir()
    for name in ("lien", "dossier"):
        with pytest.raises(FileSetError, match=f"{name} existe et n'est pas un fichier : déplacez-le puis relancez$"):
            apply([entry(tmp_path / name, "x")])
    (tmp_path / "vers").symlink_to("dossier")
    with pytest.raises(FileSetError, match="vers existe et n'est pas un dossier"):
        apply([entry(tmp_path / "vers", state="directory")])
    (tmp_path / "dossier" / "f").touch()
    apply([entry(tmp_path / "vers", state="absent")])
    assert not (tmp_path / "vers").exists()
    assert (tmp_path / "dossier" / "f").exists()
    assert apply([entry(tmp_path / "vers", state="absent")]) == []
    assert len(apply([entry(tmp_path / "vrai", state="absent")], check=True)) == 1
    assert (tmp_path / "vrai").read_text() == "précieux"


# -- the control node's half ----------------------------------------------------------------------------------------


class Action:
    """The action on a folder of sources; gives what the module would be sent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("templates", "files"):
            (folder / name).mkdir()

    def __call__(self, *files: dict[str, Any], variables: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        loader = DataLoader()
        loader.set_basedir(str(self.folder))
        task = MagicMock(args={"files": list(files)} if files else {}, action="cdg59.creatic.file_set", async_val=0)
        action = ActionModule(task, MagicMock(), MagicMock(), loader, Templar(loader), MagicMock())
        action._find_needle = lambda kind, name: str(self.folder / kind / name)
        sent: list[Any] = []

        def module(**given: Any) -> dict[str, Any]:
            sent.append(given)
            return {"changed": True}

        action._execute_module = module
        assert action.run(None, variables) == {"changed": True}
        assert sent[0]["module_name"] == "cdg59.creatic.file_set"
        made: list[dict[str, Any]] = sent[0]["module_args"]["files"]
        return made


@pytest.fixture
def action(tmp_path: Path) -> Action:
    return Action(tmp_path)


def decoded(spec: dict[str, Any]) -> str:
    return base64.b64decode(spec["content_b64"]).decode()


def test_each_kind_of_source_is_made_a_content(action: Action) -> None:
    template = "{# #}{{ ansible_managed }} {{ nom }}\n  {% if nom %}\n{{ dos }}\n  {% endif %}\n"
    (action.folder / "templates" / "m.j2").write_text(template)
    (action.folder / "templates" / "vide.j2").write_text("{{ rien | default('') }}")
    (action.folder / "files" / "f").write_text("tel quel {{ nom }}")
    (action.folder / "files" / "outil").mkdir()
    (action.folder / "files" / "outil" / "__init__.py").touch()
    given = [
        {"path": "/a", "template": "m.j2", "mode": "0600"}, {"path": "/b", "src": "f"}, {"path": "/c", "content": "é"},
        {"path": "/d", "zipapp": "outil", "main": "outil:main", "python": "/opt/python"},
        {"path": "/e", "zipapp": "outil", "main": "outil:main"}, {"path": "/v", "template": "vide.j2"},
        {"path": "/l", "link": "a"}, {"path": "/x", "state": "absent"}, {"path": "/t", "tree": "outil"},
        {"path": "/n", "content": ""},
    ]  # fmt: skip # a row a line
    made = action(*given, variables={"ansible_managed": "géré", "nom": "Loos", "dos": "a\\nb"})
    found = {spec["path"]: spec for spec in made}
    assert decoded(found["/a"]) == "géré Loos\na\\nb\n"
    assert found["/a"] == {"path": "/a", "mode": "0600", "content_b64": found["/a"]["content_b64"]}
    assert decoded(found["/b"]) == "tel quel {{ nom }}"
    assert decoded(found["/c"]) == "é"
    starts = {path: base64.b64decode(found[path]["content_b64"]).partition(b"\n")[0] for path in ("/d", "/e")}
    assert starts == {"/d": b"#!/opt/python -I", "/e": b"#!/usr/bin/python3 -I"}
    assert not {"zipapp", "main"} & found["/d"].keys()
    assert (decoded(found["/v"]), decoded(found["/n"])) == ("", "")
    assert found["/l"] == {"path": "/l", "link": "a"}
    assert found["/x"] == {"path": "/x", "state": "absent"}
    assert found["/t"] == {"path": "/t", "state": "directory"}
    assert decoded(found["/t/__init__.py"]) == ""
    assert action() == []


def test_what_manages_a_file_is_ansible_unless_said(action: Action) -> None:
    (action.folder / "templates" / "m.j2").write_text("{{ ansible_managed }}")
    (spec,) = action({"path": "/a", "template": "m.j2"})
    assert decoded(spec) == "Ansible managed"


@pytest.mark.parametrize(
    "spec",
    [
        {"path": "/a"},
        {"path": "/a", "src": "f", "content": "x"},
        {"path": "/a", "state": "directory", "content": "x"},
        {"path": "/a", "link": "b", "content": "x"},
        {"path": "/a", "state": "absent", "src": "f"},
    ],
)
def test_a_file_has_one_source_and_nothing_else_has_one(action: Action, spec: dict[str, Any]) -> None:
    with pytest.raises(AnsibleActionFail, match=r"^file_set : /a demande une seule source parmi template, "):
        action(spec)
