"""What people write after a command is text for Ansible, which evaluates what it is given by ``-e`` and ``-a``."""

from __future__ import annotations

import base64
import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from invoke import Context, Exit

from creatic.access import authority as access
from creatic.cli import archives, autorite, common, exploitation
from creatic.registry import listing

TEMPLATE = "{{ 7 * 7 }}"
CALLS: dict[str, dict[str, Any]] = {
    "backup_rollback": {"client": TEMPLATE},
    "backup_recover": {"empreinte": TEMPLATE, "phrase": ""},
    "archive_convert": {"compte": [TEMPLATE], "archive": [TEMPLATE], "motif": TEMPLATE},
    "archive_recover": {"archive": [TEMPLATE]},
    "pki_renew": {"autorite": "emettrice", "sauf": TEMPLATE},
    "access_revoke": {"numero": TEMPLATE},
    "pki_revoke": {"motif": TEMPLATE, "hote": TEMPLATE},
}


class Ran(Context):
    """A shell that runs nothing, and keeps what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self._set(words=[])

    def run(self, command: str, **_options: Any) -> Any:
        """Keep a command, as its words."""
        self.words.append(shlex.split(command))
        return SimpleNamespace(ok=True, stdout="[]", stderr="")


def bare(value: Any) -> Iterator[str]:
    """Texts that Ansible would evaluate, of what it is given."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict) and value.keys() != {"__ansible_unsafe"}:
        for one in value.values():
            yield from bare(one)
    elif isinstance(value, list):
        for one in value:
            yield from bare(one)


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = SimpleNamespace(home=lambda: tmp_path, folder=Path("inventaire"), lab=True, name="essai")
    monkeypatch.chdir(tmp_path)
    for name, made in {"chosen": lambda: chosen, "must_have": lambda _profile: None, "checked": print,
                       "refuse_entities": print, "seal_access": print}.items():  # fmt: skip # a table
        monkeypatch.setattr(common, name, made)
    monkeypatch.setattr(archives.archive_formats, "read", lambda _folder: [])
    monkeypatch.setattr(archives.archive_formats, "to_convert", lambda _table: [TEMPLATE])
    granted = {"evenement": "delivrance", "serie": TEMPLATE, "role": "auditeur", "qui": "x", "fin": "2027-01-01"}
    monkeypatch.setattr(access.SshAuthority, "revoke", lambda *_: granted)
    monkeypatch.setattr(autorite.Authority, "revoke", lambda *_, **__: None)
    monkeypatch.setattr(autorite.Authority, "listing", lambda *_, **__: [])


@pytest.mark.parametrize("name", CALLS)
def test_no_word_of_a_command_is_a_template_of_its_playbook(name: str) -> None:
    shell = Ran()
    [command] = [getattr(one, name) for one in (archives, autorite, exploitation) if hasattr(one, name)]
    command.body(shell, **CALLS[name])
    [words] = shell.words
    given = [json.loads(words[place + 1]) for place, word in enumerate(words) if word == "-e"]
    assert given and TEMPLATE in json.dumps(given) and not [*bare(given)]
    assert all(TEMPLATE not in word for word in words if not word.startswith("{"))


def test_no_word_that_goes_to_a_machine_is_a_template() -> None:
    """Ansible's own command line evaluates the arguments of a module too."""
    shell = Ran()
    common.on_supervision(shell, ["amtool", f"--comment={TEMPLATE}"])
    archives._on_connector(shell, "loos", "tdt-connector", TEMPLATE)
    for words in shell.words:
        given = json.loads(words[words.index("-a") + 1])
        assert TEMPLATE in given["argv"][1]["__ansible_unsafe"] and not [*bare(given)]


def test_ansible_takes_what_is_given_so_as_it_is_written(tmp_path: Path) -> None:
    told = {"texte": TEMPLATE, "liste": ["{{ 7 * 7 }}", 3, True], "groupe": {"x": "{% if true %}y{% endif %}"}}
    assert listing.read(listing.to_extra_vars(told)) == told
    (tmp_path / "donne.json").write_text(listing.to_extra_vars({"fichier": TEMPLATE}), encoding="utf-8")
    shown = "{{ [texte, liste, groupe, fichier] | to_json | b64encode }}"
    given = ("-e", listing.to_extra_vars(told), "-e", f"@{tmp_path / 'donne.json'}")
    for module, argument, wanted in (
        ("debug", f"msg={shown}", [*told.values(), TEMPLATE]),
        ("command", listing.to_extra_vars({"argv": ["printf", "%s", TEMPLATE]}), TEMPLATE),
    ):
        done = subprocess.run(
            ["ansible", "-i", "localhost,", "localhost", "-c", "local", "-m", f"ansible.builtin.{module}",
             *(given if module == "debug" else ()), "-a", argument],
            cwd=tmp_path, env=os.environ | {"ANSIBLE_NOCOLOR": "1"}, capture_output=True, text=True, check=False,
        )  # fmt: skip # a command by its parts
        assert done.returncode == 0, done.stdout + done.stderr
        if module == "debug":
            assert json.loads(base64.b64decode(done.stdout.partition('"msg": "')[2].partition('"')[0])) == wanted
        else:
            assert str(wanted) in done.stdout


def test_a_certificate_is_revoked_by_one_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "playbook", lambda *_: pytest.fail("nothing is to be run"))
    for more in ({}, {"hote": "a", "commune": "b"}):
        with pytest.raises(Exit, match="une seule cible"):
            autorite.pki_revoke.body(Ran(), "cessation", **more)
