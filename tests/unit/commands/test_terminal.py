"""What others wrote is shown as it is: neither markup of rich nor a command of the terminal; and no other character."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils import harmless
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence import answers

from creatic.access import authority as access
from creatic.cli import archives, autorite, common
from creatic.evidence import follow
from creatic.registry import listing
from creatic.supervision import journals
from creatic.terminal import Grid

HOSTILE = [
    "eve[/x]", "[red]eve[/red]", "[link=http://x]eve[/link]", "\x1b[2Jeve", "\x1b]52;c;AAAA\x07eve", "\x9b2Jeve",
    "\u202eeve\u2066", "eve\u200b\u00ad\ufeff", "eve\r\x08", "eve\u2028\u2029", "\ud800eve", "\U000e0041eve", "eve\x85",
]  # fmt: skip # a list by rows


@pytest.mark.parametrize("word", HOSTILE)
def test_a_cell_is_a_text(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    grid = Grid("Qui", "[x]", "Combien", right=["Combien"], overflow="fold")
    grid.add(word, (word, "green"), "3")
    assert grid.count == 1
    grid.show()
    shown = capsys.readouterr().out
    assert harmless.text(word) in shown and "[x]" in shown
    assert shown.replace("\n", "").isprintable()
    assert harmless.text(word) in grid.render_text(80, color=False)


@pytest.mark.parametrize("word", HOSTILE)
def test_the_list_of_accesses_shows_the_comment_of_any_key(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"serie": 1, "etat": word, "role": "auditeur", "qui": word, "principaux": [word], "motif": word, "par": word}
    row |= {"fin": "2026-11-29T06:00:00+00:00"}
    monkeypatch.setattr(access, "SshAuthority", lambda _folder: SimpleNamespace(listing=lambda: [row]))
    monkeypatch.setattr(common, "home", lambda: tmp_path)
    monkeypatch.setattr(common, "chosen", lambda: SimpleNamespace(name="essai"))
    autorite.access_list.body(None)
    shown = capsys.readouterr().out
    assert "eve" in shown and shown.replace("\n", "").isprintable()


@pytest.mark.parametrize("word", HOSTILE)
def test_what_machines_answered_moves_no_terminal(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    common.aside(f"{word}\nsuite\té")
    said = capsys.readouterr().err
    assert "\nsuite\té" in said and said.replace("\n", "").replace("\t", "").isprintable()


@pytest.mark.parametrize("name", ["journey", "rollout"])
def test_what_a_run_tells_of_a_machine_moves_no_terminal(name: str) -> None:
    plugin = importlib.import_module(f"ansible_collections.cdg59.creatic.plugins.callback.{name}").CallbackModule()
    said: list[str] = []
    plugin._display = SimpleNamespace(display=lambda text, **_given: said.append(text))
    for word in HOSTILE:
        plugin._print_line(f"anor-pc : {word}")
    assert len(said) == len(HOSTILE) and all(one.isprintable() for one in said)


def test_the_table_of_readiness_shows_names_as_they_are() -> None:
    report = {"services": [], "manques": [{"objet": "[/x]", "raison": "\x1b[2J"}], "complet": True, "hotes": []}
    report |= {"commune": {"nom": "[bold]Anor[/]", "slug": "anor"}, "equipee": True, "prete": False}
    shown = follow.table({"anor": report}, 120, False)
    assert "[bold]Anor[/]" in shown and "[/x] : �[2J" in shown and "oui" in shown and "non" in shown
    assert "\x1b[32m" in follow.table({"anor": report}, 120, True)


def test_every_character_is_let_through_or_shown_as_something() -> None:
    for code in range(0x110000):
        one = chr(code)
        told = harmless.line(one)
        assert told in {one, harmless.REPLACEMENT_CHARACTER}
        assert (told == one) == (one.isprintable() or harmless._is_printable(one)), hex(code)
        if not one.isprintable() and told == one:  # a space that is not the keyboard's
            assert one.isspace(), hex(code)
    assert harmless.text("a\tb\nc\r\nd\re") == "a\tb\nc\nd�e" == answers.clean("a\tb\nc\r\nd\re")
    assert harmless.tree({"a\x1b": ["\u202e", 1, None, {"b": "\x07"}]}) == {"a�": ["�", 1, None, {"b": "�"}]}


@pytest.mark.parametrize("word", HOSTILE)
def test_what_a_command_prints_or_ends_with_moves_no_terminal(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A node of the archives, and a collector of journals, that say something else than they should."""

    def asked(_context: Any, _program: str, *given: str, **_more: Any) -> Any:
        file = next((listing.read(one)["archive_status_file"] for one in given if "archive_status_file" in one), "")
        if file:
            Path(file).write_text(json.dumps({"ecran": [word], "defauts": []}))
        return SimpleNamespace(stdout=json.dumps({"manifestes": [], "fautes": [word]}), stderr="", ok=True)

    monkeypatch.setattr(common, "answer", asked)
    monkeypatch.setattr(common, "chosen", lambda: SimpleNamespace(name="essai"))
    monkeypatch.setattr(common, "home", lambda: tmp_path)
    archives.archive_status.body(None)
    common.print(*journals.differences(tmp_path, asked(None, "").stdout))
    shown = capsys.readouterr().out
    assert shown.count("eve") >= 2 and shown.replace("\n", "").isprintable()
    assert str(common.Exit(f"refusé : {word}", code=1).message).replace("\n", "").isprintable()
    assert (common.Exit(code=1).message, common.Exit("", 2).code) == (None, 2)
