"""What a figure means: each rule, on either side of its bound."""

from __future__ import annotations

import re

import pytest

from creatic.supervision import figures

NOW = 1_796_000_000.0


def told(text: str, before: dict[str, float] | None = None) -> list[tuple[bool, str, str]]:
    return list(figures.judge(figures.parse(text), before or {}, NOW))


def labelled(rule: figures.Rule) -> str:
    places = set(re.findall(r"\{(\w+)\}", rule.text + rule.fix)) - {"valeur", "age", "reste", "duree"}
    labels = dict.fromkeys(sorted(places), "x") | dict(rule.labels)
    return ",".join(f'{name}="{text}"' for name, text in labels.items())


def sides(rule: figures.Rule) -> tuple[float, float, str]:
    """A value for which a rule holds, one for which it does not, and what else is to be known."""
    if rule.condition == "monte":
        return 3, 2, ""
    share = re.fullmatch(r"part ([0-9.]+) de (\w+)", rule.condition)
    if share:
        return float(share[1]) * 1000 + 1, float(share[1]) * 1000, share[2]
    if rule.condition.startswith("age_de "):
        return NOW - 1001, NOW - 1000, rule.condition.removeprefix("age_de ")
    word, number = rule.condition.split()
    bound = float(number)
    return {
        "sur": (bound + 1, bound, ""),
        "sous": (bound - 1, bound, ""),
        "egal": (bound, 1 - bound, ""),
        "age": (NOW - bound - 1, NOW - bound, ""),
        "reste": (NOW + bound - 1, NOW + bound, ""),
    }[word]


@pytest.mark.parametrize("rule", figures.rules(), ids=lambda one: f"{one.name} {one.condition} {dict(one.labels)}")
def test_each_rule_holds_beyond_its_bound_only(rule: figures.Rule) -> None:
    labels = labelled(rule)
    bad, good, other = sides(rule)
    more = f"{other}{{{labels}}} 1000\n" if other else ""
    [key] = [one.key for one in figures.parse(f"{rule.name}{{{labels}}} 0")]
    [(grave, text, fix)] = told(f"{rule.name}{{{labels}}} {bad!r}\n{more}", {key: 2})
    assert (grave, bool(fix)) == (rule.grave, True)
    assert "{" not in text + fix and "—" not in text + fix
    start = rule.text.partition("{")[0]
    assert text.startswith(start)
    # The next rule of the same figure may hold, not this one.
    later = told(f"{rule.name}{{{labels}}} {good!r}\n{more}", {key: 2})
    assert (grave, text) not in [(one, said) for one, said, _ in later]
    if rule.unless_zero:
        assert told(f"{rule.name}{{{labels}}} 0") == []


def test_each_rule_has_a_condition_that_is_one() -> None:
    assert len(figures.rules()) > 40
    with pytest.raises(ValueError, match="n'est pas une condition"):
        figures.Rule("a", "plus que 3", "", "").holds(figures.Figure("a", (), 1), {}, None, NOW)


def test_what_rose_is_counted_since_the_last_morning() -> None:
    text = 'tdt_connector_refused{par="prefecture"} 5\ntdt_connector_refused{par="dgfip"} 9'
    assert told(text) == []  # the first morning knows of no other
    acts, flows = "tdt_connector_refused{par=prefecture}", "tdt_connector_refused{par=dgfip}"
    [(grave, said, _)] = told(text, {acts: 3, flows: 9})
    assert grave and said == "2 actes refusés par la préfecture depuis hier"
    [(grave, said, _)] = told(text, {acts: 5, flows: 8})
    assert grave and said == "1 flux comptables refusés par la DGFiP (Helios) depuis hier"
    assert told(text, {acts: 7, flows: 10}) == []  # a new machine counts from nothing


def test_a_figure_is_told_once_by_its_gravest_rule() -> None:
    line = 'creatic_certificate_days_left{nom="tdt",titulaire="Connecteur"} %s'
    assert [(grave, text) for grave, text, _ in told(line % 12)] == [(True, "certificat « Connecteur » : 12 jours")]
    assert [grave for grave, _, _ in told(line % 45)] == [False]
    assert told(line % 90) == []


def test_letters_of_the_prefecture_are_told() -> None:
    """As the passerelle publishes them (passerelle/metrics.py)."""
    figures_of_it = "".join(
        f'passerelle_lettres{{etat="{state}"}} {count}\n'
        for state, count in (("non_prise", 1), ("a_repondre", 4), ("en_retard", 2))
    )
    assert [(grave, text) for grave, text, _ in told(figures_of_it)] == [
        (False, "1 courriers de la préfecture que personne n'a pris"),
        (True, "2 courriers de la préfecture sans réponse dans leur délai"),
    ]


def test_what_the_councils_owe_is_told() -> None:
    """As the passerelle publishes it (passerelle/metrics.py)."""
    states = ("liste", "liste_en_echec", "proces_verbal", "arret", "convocation_a_revoir", "convocation_en_attente")
    owed = "".join(f'passerelle_conseil{{etat="{state}"}} 1\n' for state in states)
    found = told(owed)
    assert len(found) == len(states) and sum(grave for grave, _text, _fix in found) == 4
    assert told(owed.replace("} 1", "} 0")) == []


def test_what_never_was_is_told() -> None:
    text = 'creatic_depot_last_transaction_timestamp_seconds{client="a"} 0\ncreatic_depot_max_age_seconds{client="a"} 9'
    assert [said for _, said, _ in told(text)] == ["dernière sauvegarde de « a » : jamais"]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "# HELP a b",
        *(f"creatic_aide_differences{rest}" for rest in ("", " NaN", " +Inf", " x", "{ 4")),
        "une phrase tout entière 4",
    ],
)
def test_a_line_that_is_none_keeps_no_other(line: str) -> None:
    assert [text for _, text, _ in told(f"{line}\nsae_antivirus_up 0")] == ["l'antivirus des versements ne répond pas"]


def test_labels_are_words_not_patterns_nor_terminals() -> None:
    hostile = 'creatic_depot_suspect{client="{valeur.__class__}\\"\\x1b[2J' + "é" * 500 + '"} 1\n'
    [(_, text, fix)] = told(hostile.replace("\\x1b", "\x1b"))
    assert "\x1b" not in text + fix and "<class" not in text and len(text) < 200
    [(_, text, _)] = told("creatic_depot_suspect 1")
    assert text == "sauvegardes de — effacées ou remplacées"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172_799, "47 h"), (1e6, "11 jours")],
)
def test_a_wait_is_said_in_its_unit(seconds: float, text: str) -> None:
    assert figures.span(seconds) == text
