"""The command line and the configuration, as operations meet them."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from passerelle import cli
from passerelle import config as settings
from passerelle.config import Account, Commune, Config, ConfigError, load
from passerelle.queue import Queue, alone

from testbed.chain import COMMUNES, FakeConnector, World
from testbed.database import Database
from testbed.forbidden import forbidden

COMMUNE = {"slug": "loos", "nom": "Loos", "siren": "215903600", "services": ["ged", "archivage"]}
REFERENCE = "depot:gondecourt:2026_7"
DEPOSIT = [
    "deposer", "--commune", "gondecourt", "--numero", "2026_7", "--objet", "Budget", "--date", "2026-11-20",
    "--matiere", "7.1",
]  # fmt: skip # a list of words


@pytest.fixture
def command(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run ``passerelle``: its exit code, what it said, what it complained of."""
    monkeypatch.setattr(settings, "load", lambda path: world.config)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.main(arguments)
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


@pytest.fixture
def act(tmp_path: Path) -> str:
    path = tmp_path / "acte.pdf"
    path.write_bytes(b"%PDF-1.4 budget")
    return str(path)


def test_an_act_is_deposited_listed_and_shown(world: World, command: Any, act: str) -> None:
    assert command("lister") == (0, "Aucun acte.\n", "")
    assert command(*DEPOSIT, act) == (0, f"Dans la chaîne sous la référence {REFERENCE}.\n", "")
    assert world.act(REFERENCE).data["circuit"] == "deliberation"
    code, told, _wrong = command("lister")
    assert code == 0
    day = r"\d\d/\d\d/\d{4} à \d\d:\d\d"
    line = rf"{day}  Gondecourt {{11}}2026_7 {{11}}à mettre au parapheur\n    {REFERENCE}\n1 acte\(s\)\.\n"
    assert re.fullmatch(line, told)
    assert command("lister", "--bloques") == (0, "Aucun acte.\n", "")
    code, told, _wrong = command("montrer", REFERENCE)
    assert code == 0
    assert re.fullmatch(
        rf"{REFERENCE} : 2026_7 — Budget \(gondecourt\), étape « parapheur »\n"
        r"  \d\d/\d\d/\d{4} \d\d:\d\d:\d\d\.\d{3}  entree\n",
        told,
    )


def test_a_nature_makes_a_deposit_an_arrete_whatever_is_left_out(world: World, command: Any, act: str) -> None:
    said = ("--nature", "D", "--transmission", "oui")
    code, _told, wrong = command(*DEPOSIT, "--circuit", "deliberation", *said, act)
    assert (code, "--nature se dit d'un arrêté ou d'une décision" in wrong) == (1, True)
    assert world.store.get(REFERENCE) is None
    assert command(*DEPOSIT, *said, act)[0] == 0
    assert [world.act(REFERENCE).data[key] for key in ("circuit", "nature")] == ["arrete", "D"]


def test_an_act_put_aside_is_shown_and_taken_up(world: World, command: Any, act: str) -> None:
    command(*DEPOSIT, act)
    world.chain.delay(REFERENCE, "le parapheur ne répond pas")
    code, told, _wrong = command("lister")
    assert "à mettre au parapheur (en retard : le parapheur ne répond pas)\n" in told
    assert "\n  en retard : le parapheur ne répond pas\n" in command("montrer", REFERENCE)[1]
    world.chain.block(REFERENCE, "Le fichier est illisible.")
    code, told, _wrong = command("lister", "--bloques")
    assert (code, "Le fichier est illisible.\n" in told, "1 acte(s).\n" in told) == (0, True, True)
    told = command("montrer", REFERENCE)[1]
    assert "\n  mis de côté : Le fichier est illisible.\n" in told
    assert re.search(r"  blocage {18}Le fichier est illisible\.\n$", told)
    assert command("relancer", REFERENCE) == (0, "« 2026_7 » reprend à l'étape « parapheur ».\n", "")
    assert world.act(REFERENCE).blocked == ""
    assert command("lister", "--bloques")[1] == "Aucun acte.\n"
    world.drain()
    assert world.step(REFERENCE) == "signature"


def test_an_act_taken_up_is_not_tried_twice(world: World, command: Any, act: str) -> None:
    """The try that waited for its hour gives way to the one a person asks for."""
    world.reconfigure(retry=3600.0, retry_max=3600.0)
    command(*DEPOSIT, act)
    world.servers["parapheur"].stop()
    world.drain()

    def waiting() -> list[Any]:
        with world.store.transaction() as connection:
            return connection.execute("SELECT scheduled_at FROM procrastinate_jobs WHERE status = 'todo'").fetchall()

    [later] = waiting()
    assert later["scheduled_at"] is not None
    assert command("relancer", REFERENCE)[0] == 0
    assert [one["scheduled_at"] for one in waiting()] == [None]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["montrer", "inconnu"], "Aucun acte n'a la référence « inconnu »."),
        (["relancer", "inconnu"], "Aucun acte n'a la référence « inconnu »."),
        ([*DEPOSIT, "ABSENT"], "Fichier ou disque inutilisable : ABSENT : il n'existe pas"),
        ([*DEPOSIT, "/dev/null"], "Le fichier n'est pas un PDF."),
        (
            ["deposer", *DEPOSIT[1:], "--commune", "lille", "/dev/null"],
            "La commune « lille » n'est pas de celles que sert la passerelle.",
        ),
    ],
)
def test_what_cannot_be_done_is_told(command: Any, arguments: list[str], said: str) -> None:
    before = set(threading.enumerate())
    assert command(*arguments) == (1, "", f"{said}\n")
    assert set(threading.enumerate()) <= before  # no connection is left to its threads


@pytest.mark.parametrize(
    ("option", "value"), [("--date", "20/11/2026"), ("--circuit", "pes"), ("--commune", None), ("--matiere", None)]
)
def test_a_deposit_names_all_there_is_to_know(
    act: str, option: str, value: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*DEPOSIT, act]
    if value is None:
        place = arguments.index(option)
        del arguments[place : place + 2]
    else:
        arguments += [option, value]
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 2
    assert option in capsys.readouterr().err


def test_a_database_away_is_told(world: World, command: Any) -> None:
    world.store.close()
    world.config = replace(world.config, database="host=/nulle/part dbname=x")
    code, told, wrong = command("base")
    assert (code, told) == (1, "")
    assert wrong.startswith("Base de données inutilisable : ")
    assert wrong.endswith(". Rien n'est perdu.\n")


def test_the_database_is_prepared_once(world: World, command: Any, server: Database) -> None:
    world.config = replace(world.config, database=server.new())
    for _time in range(2):
        assert command("base") == (0, "", "")
    with psycopg.connect(world.config.database) as connection:
        assert connection.execute("SELECT count(*) FROM acte").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM procrastinate_jobs").fetchone() == (0,)


def test_one_passerelle_works_at_a_time(
    world: World, command: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    worked: list[bool] = []

    def work(*_arguments: Any) -> None:
        with pytest.raises(BlockingIOError), alone(world.config):
            pytest.fail("two passerelles at work")
        worked.append(True)

    monkeypatch.setattr(Queue, "work", work)
    (world.root / "fichiers" / ".coupe.part").touch()
    with alone(world.config):
        assert command("travailler") == (1, "", "Une autre passerelle travaille déjà sur cette machine.\n")
    assert worked == []
    assert (world.root / "fichiers" / ".coupe.part").exists()
    caplog.set_level("INFO", logger="passerelle")
    assert command("travailler")[0] == 0
    assert worked == [True]
    assert list((world.root / "fichiers").iterdir()) == []
    ready = "Passerelle prête : 5 communes, serveurs : parapheur, deliberations, ged."
    assert [one.getMessage() for one in caplog.records if one.name == "passerelle"] == [ready]
    monkeypatch.setattr(Queue, "recover", lambda queue: 2)
    world.config = replace(world.config, servers={})
    command("travailler")
    assert [one.getMessage() for one in caplog.records if one.name == "passerelle"][1:] == [
        "2 travaux interrompus sont repris.",
        "Passerelle prête : 5 communes, serveurs : aucun.",
    ]


def test_root_becomes_the_service_s_account(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[Any, ...]] = []
    for name in ("initgroups", "setgid", "setuid", "umask"):
        monkeypatch.setattr(cli.os, name, lambda *given, name=name: done.append((name, *given)))
    monkeypatch.setattr(cli.pwd, "getpwuid", lambda uid: SimpleNamespace(pw_name="passerelle", pw_uid=uid, pw_gid=78))
    folder = SimpleNamespace(is_dir=lambda: True, stat=lambda: SimpleNamespace(st_uid=77))
    config: Any = SimpleNamespace(folder=folder)
    monkeypatch.setattr(cli.os, "geteuid", lambda: 0)
    cli._become_service(config)
    assert done == [("initgroups", "passerelle", 78), ("setgid", 78), ("setuid", 77), ("umask", 0o027)]
    done.clear()
    for uid, there, owner in ((77, True, 77), (0, False, 77), (0, True, 0)):
        monkeypatch.setattr(cli.os, "geteuid", lambda uid=uid: uid)
        folder.is_dir = lambda there=there: there
        folder.stat = lambda owner=owner: SimpleNamespace(st_uid=owner)
        cli._become_service(config)
    assert done == []


# -- the configuration ------------------------------------------------------------------------------------


def written(tmp_path: Path, **changes: Any) -> Path:
    """A configuration as the role writes it."""
    (tmp_path / "ged").write_text("canari-59\n", encoding="utf-8")
    raw = {
        "siren": "285900015",
        "releve": 45,
        "travaux": 3,
        "serveurs": {"ged": {"url": "https://ged.test", "compte": "passerelle", "mot_de_passe": str(tmp_path / "ged")}},
        "communes": [COMMUNE],
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(raw | changes), encoding="utf-8")
    return path


def test_the_configuration_is_read(tmp_path: Path) -> None:
    config = load(written(tmp_path))
    assert config.communes == {"loos": Commune("loos", "Loos", "215903600", ("ged", "archivage"))}
    assert config.servers == {"ged": Account("https://ged.test", "passerelle", "canari-59")}
    assert (config.siren, config.look_every, config.concurrency) == ("285900015", 45, 3)
    assert "canari-59" not in repr(config)
    assert (config.retry, config.retry_max) == (5, 300)
    assert Config({}).look_every == 30
    assert Config({}).concurrency == 4


def test_a_service_needs_its_server() -> None:
    server = Account("https://ged.test", "passerelle", "x")
    config = Config(COMMUNES, servers={"ged": server})
    assert [config.has("loos", name) for name in ("ged", "parapheur", "teletransmission", "archivage")] == [
        True,
        False,
        True,
        False,
    ]
    assert [config.has("gondecourt", name) for name in ("ged", "parapheur", "teletransmission", "archivage")] == [
        True,
        False,
        True,
        True,
    ]
    assert not config.has("lille", "ged")
    assert config.by_siren("215903683") == COMMUNES["la-madeleine"]
    assert config.by_siren("") is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"communes": [{"slug": "loos", "nom": "Loos", "siren": "2"}]},
            "communes.1.services » : champ obligatoire absent",
        ),
        ({"communes": 3}, "communes » : ce n'est pas une liste"),
        ({"communes": [COMMUNE, COMMUNE]}, "communes » : « loos » y est deux fois"),
        ({"communes": [COMMUNE | {"siren": 215903600}]}, "communes.1.siren » : « 215903600 » doit être un texte"),
        ({"communes": [COMMUNE | {"formalites": "non"}]}, "communes.1.formalites » : « non » n'est pas un choix"),
        ({"releve": "souvent"}, "releve » : « souvent » doit être un nombre entier"),
        ({"releve": 0}, "releve » : « 0 » doit être un nombre supérieur à zéro"),
        ({"serveurs": []}, "serveurs » : ce n'est pas un objet"),
        ({"serveurs": {"g": 1}}, "serveurs.g » : ce n'est pas un objet"),
        ({"courriels": {"relais": "x"}}, "courriels » : champ inconnu ; vouliez-vous dire « courriel » ?"),
        ({"courriel": {"relai": "x"}}, "courriel.relai » : champ inconnu ; vouliez-vous dire « relais » ?"),
        ({"folder": "/tmp"}, "folder » : champ inconnu"),
    ],
)
def test_a_configuration_of_another_kind_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    path = written(tmp_path, **changes)
    with pytest.raises(ConfigError) as told:
        load(path)
    assert str(told.value).startswith(f"{path}, champ « {said}")
    assert str(told.value).endswith(" À faire : corrigez l'inventaire, puis relancez le déploiement.")
    assert len(str(told.value).splitlines()) == 1


def test_what_the_role_writes_is_read(tmp_path: Path) -> None:
    """Numbers in quotes, nulls of a commune's file, an address that no relay takes: nothing of it keeps the others."""
    more = {
        "territoire": None,
        "taille": None,
        "heberge_par": "",
        "courriels": ["dgs@loos.test", "hélène@loos.test", 5],
    }
    config = load(
        written(
            tmp_path,
            communes=[COMMUNE | more | {"publication": "papier", "formalites": False}],
            releve="45",
            courriel={},
            rappels=[3, "1"],
            url="https://p.test",
        )
    )
    loos = config.communes["loos"]
    assert (loos.territory, loos.size, loos.host, loos.publication) == ("", "", "", "papier")
    assert (loos.mails, loos.settled) == (("dgs@loos.test",), False)
    assert (config.look_every, config.reminders, config.mail_relay, config.mail_port) == (45, (3, 1), "", 25)


def test_who_may_not_read_the_configuration_is_told_so(tmp_path: Path) -> None:
    """A rollout would change nothing to it."""
    path = written(tmp_path)
    with (
        forbidden(path),
        pytest.raises(ConfigError, match=r"n'a pas le droit de le lire\. Lancez la commande avec sudo\.$"),
    ):
        load(path)


def test_a_configuration_that_cannot_be_read_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = tmp_path / "absent.json"
    assert cli.main(["--config", str(absent), "lister"]) == 1
    expected = f"{absent} : lecture impossible (il n'existe pas). Relancez le déploiement.\n"
    assert capsys.readouterr().err == expected
    path = written(tmp_path)
    (tmp_path / "ged").unlink()
    with pytest.raises(ConfigError, match=r"« serveurs\.ged\.mot_de_passe » : « .*/ged », fichier illisible"):
        load(path)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match="ligne 1 : ce n'est pas du JSON valide"):
        load(path)


# -- documents kept ---------------------------------------------------------------------------------------


def test_a_document_that_could_not_be_written_leaves_nothing(world: World) -> None:
    files = world.chain.arrivals._files

    def fail(_stream: object) -> None:
        raise OSError("disque plein")

    with pytest.raises(OSError, match="disque plein"):
        files.keep(fail)
    assert list(files.folder.iterdir()) == []
    digest = files.keep_bytes(b"contenu")
    assert digest == files.keep_bytes(b"contenu")
    assert files.path(digest).read_bytes() == b"contenu"
    assert files.path(digest).stat().st_mode & 0o777 == 0o640
    assert [path.name for path in files.folder.iterdir()] == [digest]


def test_figures_count_what_waits_for_a_person_apart(world: World) -> None:
    from passerelle import metrics

    world.reach(world.deliberations.adopt("d1"), "signature")
    blocked = world.deliberations.adopt("d2")
    world.reach(blocked, "signature")
    world.chain.block(blocked, "Illisible.")
    metrics.publish(replace(world.config, metrics=world.root / "absent" / "x.prom"), world.store)
    assert not (world.root / "absent").exists()
    metrics.publish(world.config, world.store)
    text = world.config.metrics.read_text()
    found = dict(re.findall(r'^passerelle_actes\{etape="(\w+)"\} (\d+)$', text, re.M))
    assert {step: count for step, count in found.items() if count != "0"} == {"signature": "1", "bloque": "1"}
    assert len(found) == 11
    assert world.config.metrics.stat().st_mode & 0o777 == 0o644
    assert not world.config.metrics.with_suffix(".part").exists()


def test_the_list_names_each_stage(world: World, command: Any) -> None:
    """What people read at each step of the way, for an act and for a flow."""
    connector = FakeConnector(world.chain, COMMUNES["gondecourt"])
    reference = world.deliberations.adopt("d1")
    world.reach(reference, "teletransmission")
    assert "attend le connecteur de la commune\n" in command("lister")[1]
    [one] = connector.pull()
    connector.say(reference, "transmise")
    world.drain()
    assert "transmis, attend l'ARActe\n" in command("lister")[1]
    connector.acknowledge(one)
    world.drain()
    assert "attend le versement au SAE\n" in command("lister")[1]
    connector.say(reference, "versee", archive="aip-1")
    world.drain()
    assert "attend que la commune choisisse ce qui est publié\n" in command("lister")[1]
    world.deliberations.publish()
    world.chain.arrivals.look()
    world.drain()
    assert "au bout de la chaîne\n" in command("lister")[1]
    code, told, wrong = command("relancer", reference)
    assert (code, told) == (1, "")
    assert wrong == f"« {reference} » est au bout de la chaîne : il n'y a rien à relancer.\n"
