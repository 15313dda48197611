"""Waves: the canary first, then the rest once every machine reported well or was excused by name; never two at once."""

from __future__ import annotations

import datetime as dt
import json
import multiprocessing
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from creatic_flotte.run import Result
from cryptography.x509 import load_pem_x509_certificate

from creatic.fleet import bundle, waves
from creatic.fleet.publication import LASTS, Fleet
from creatic.fleet.signing import FleetError, Signer
from creatic.pki.keys import Passphrases
from testbed.connector import SIREN, Authority
from testbed.fleet import DAY, Door, Machine
from testbed.patience import allowed

HOUR = dt.timedelta(hours=1)
OPENED = dt.datetime(2026, 11, 29, 6, 0, tzinfo=dt.UTC)
NAMES = ("bergues-connecteur", "bergues-pc", "loos-connecteur", "loos-pc")


def described(name: str, territoire: str = "lille", taille: str = "petite", vague: int = 1) -> waves.Machine:
    """A machine of an inventory."""
    profile = "tdt_connector" if name.endswith("connecteur") else "commune_pc"
    return waves.Machine(name, name.rpartition("-")[0], SIREN, profile, territoire, taille, vague)


INVENTORY = {
    "bergues-connecteur": described("bergues-connecteur", "flandre", "moyenne"),
    "bergues-pc": described("bergues-pc", "flandre", "moyenne"),
    "loos-connecteur": described("loos-connecteur", "lille", "grande", 2),
    "loos-pc": described("loos-pc", "lille", "grande", 2),
}


class World:
    """A control node, a door and four machines."""

    def __init__(self, folder: Path, authority: Authority, door: Door) -> None:
        self.door, self.folder, self.clock = door, folder, dt.timedelta()
        self.home = folder / "poste"
        self.home.mkdir(exist_ok=True)
        signer = Signer(self.home / "flotte", Passphrases(self.home / "flotte", generate=True))
        signer.open()
        self.machines = {name: Machine(folder / name, authority, signer.signers, name) for name in NAMES}
        self.certificates = {name: (authority.folder / name / "cert.pem").read_text() for name in NAMES}

    def now(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC) + self.clock

    def fleet(self, home: Path | None = None, **changes: Any) -> Fleet:
        place = home or self.home
        signer = Signer(place / "flotte", Passphrases(place / "flotte"))
        given = {"ask": lambda: self.door.listing(self.now()), "send": self.door.receive, "machines": INVENTORY}
        given["keys"] = lambda name: [load_pem_x509_certificate(self.certificates[name].encode()).public_key()]
        return Fleet(place, signer=signer, operator="camille@poste", now=self.now, **{**given, **changes})

    def publish(self, text: str = "un", by: str = "territoire", **changes: Any) -> list[str]:
        contents = {name: bundle.data({"variables.json": f"{text} {name}".encode()}) for name in NAMES}
        return self.fleet(**changes).publish(bundle.data({"code": text.encode()}), contents, self.certificates, by, [])

    def advance(self) -> list[str]:
        return self.fleet().advance(self.certificates)

    def pass_(self, url: str, *names: str) -> list[str]:
        return [self.machines[name].passes(url)[0] for name in names or NAMES]

    def states(self) -> dict[str, str]:
        _record, standings, _problems = self.fleet().status()
        return {one.machine: one.state for one in standings}


@pytest.fixture
def world(tmp_path: Path, authority: Authority, door: Door) -> World:
    return World(tmp_path, authority, door)


def test_waves_are_cut_by_what_the_inventory_says() -> None:
    def cut(by: str, *canary: str) -> list[tuple[str, list[str]]]:
        return [(one["nom"], one["machines"]) for one in waves.split(INVENTORY, by, canary)]

    first = ("canari", ["bergues-connecteur", "bergues-pc"])
    rest = ["loos-connecteur", "loos-pc"]
    assert cut("territoire") == [first, ("territoire lille", rest)]
    assert cut("taille", "loos-pc") == [
        ("canari", ["loos-pc"]),
        ("taille moyenne", ["bergues-connecteur", "bergues-pc"]),
        ("taille grande", ["loos-connecteur"]),
    ]
    assert cut("vague", "loos") == [("canari", rest), ("vague 1", ["bergues-connecteur", "bergues-pc"])]
    with pytest.raises(FleetError, match="« jour » n'existe pas"):
        cut("jour")
    with pytest.raises(FleetError, match="lens n'est ni une machine ni une commune"):
        cut("vague", "lens")


def test_a_publication_goes_from_the_canary_to_the_end(world: World, url: str) -> None:
    assert world.publish()[1] == "v1, vague « canari » ouverte : 2 machines."
    assert world.states() == dict.fromkeys(NAMES, waves.NEVER)
    assert world.pass_(url) == ["bon", "bon", "a_jour", "a_jour"]
    assert world.advance() == ["v1, vague « territoire lille » ouverte : 2 machines."]
    with pytest.raises(FleetError, match="loos-connecteur : attendue"):
        world.advance()
    assert world.pass_(url) == ["a_jour", "a_jour", "bon", "bon"]
    assert world.states() == dict.fromkeys(NAMES, waves.UP_TO_DATE)
    assert world.advance() == ["v1 : toutes les vagues sont ouvertes, et ont rendu compte."]
    data = [(world.machines[name].runs[-1] / "donnees" / "variables.json").read_text() for name in NAMES]
    assert data == [f"un {name}" for name in NAMES]


def test_nothing_of_a_machine_is_readable_at_the_door(world: World, url: str) -> None:
    world.publish("phrase-secrete")
    world.pass_(url)
    for path in world.door.folder.rglob("*"):
        if path.is_file():
            assert b"phrase-secrete bergues" not in path.read_bytes()
    kept = world.home / "flotte"
    assert not kept.stat().st_mode & 0o077


def test_a_failure_stops_it_and_says_why(world: World, url: str) -> None:
    world.publish()
    world.machines["bergues-pc"].result = Result(False, "Base | Ensure : le paquet manque")
    world.pass_(url)
    with pytest.raises(FleetError, match=r"v1 est arrêtée .* bergues-pc : bloquée sur v1 \(.*le paquet manque"):
        world.advance()
    world.machines["bergues-pc"].result = Result(True)
    with pytest.raises(FleetError, match="v1 est arrêtée"):
        world.advance()
    with pytest.raises(FleetError, match="--motif"):
        world.fleet().excuse("bergues-pc", " ")
    with pytest.raises(FleetError, match="loos-pc n'est d'aucune vague ouverte"):
        world.fleet().excuse("loos-pc", "en panne")
    world.fleet().excuse("bergues-pc", "au rebut")
    assert world.advance() == ["v1, vague « territoire lille » ouverte : 2 machines."]
    record, _standings, _problems = world.fleet().status()
    assert record and record["excuses"]["bergues-pc"]["par"] == "camille@poste"


def test_a_machine_for_which_nothing_can_be_made_holds_no_wave_and_is_told(world: World, url: str) -> None:
    why = {"bergues-pc": "bergues-pc : le certificat a expiré. Rien n'est publié"}
    contents = {name: bundle.data({"variables.json": b"x"}) for name in NAMES if name not in why}
    code = bundle.data({"code": b"x"})
    said = world.fleet().publish(code, contents, world.certificates, "territoire", [], why)
    assert said[1] == "bergues-pc : le certificat a expiré. Rien n'est publié pour elle : elle garde sa version, et " \
        "n'en retient aucune autre."  # fmt: skip # one text
    record, _standings, _problems = world.fleet().status()
    assert record and record["vagues"][0]["machines"] == ["bergues-connecteur", "loos-pc"]  # a canary of each profile
    assert "bergues-pc est excusée par le contrôle des fichiers : bergues-pc : le certificat a expiré" in "\n".join(
        waves.sentences(record, [], [])
    )
    world.pass_(url, "bergues-connecteur", "loos-pc")
    assert "ouverte" in world.advance()[0]
    with pytest.raises(FleetError, match="le certificat a expiré"):
        world.fleet().publish(code, {}, world.certificates, "territoire", [], why)
    with pytest.raises(FleetError, match="le certificat a expiré"):
        world.fleet().publish(code, contents, world.certificates, "territoire", ["bergues-pc"], why)


def test_a_silent_machine_holds_the_wave_until_it_is_excused_by_name(world: World, url: str) -> None:
    world.publish()
    world.pass_(url, "bergues-connecteur")
    with pytest.raises(FleetError, match="bergues-pc : jamais vue"):
        world.advance()
    world.fleet().excuse("bergues-pc", "éteinte pour travaux")
    assert "ouverte" in world.advance()[0]


def test_the_states(world: World, url: str) -> None:
    world.publish()
    world.pass_(url, "bergues-connecteur")
    assert world.states()["bergues-connecteur"] == waves.UP_TO_DATE
    world.clock = 3 * waves.INTERVAL
    assert world.states() | {} == {
        "bergues-connecteur": waves.LATE,
        "bergues-pc": waves.NEVER,
        "loos-connecteur": waves.NEVER,
        "loos-pc": waves.NEVER,
    }


@pytest.mark.parametrize("apart", [-365 * DAY, -HOUR, HOUR, 365 * DAY])
def test_a_door_whose_clock_is_wrong_is_told(world: World, apart: dt.timedelta) -> None:
    world.publish()
    assert not [one for one in world.fleet().status()[2] if "horloge" in one]
    [told] = world.fleet(ask=lambda: world.door.listing(world.now() + apart)).status()[2]
    assert "l'horloge du guichet dit" in told and f"{world.now() + apart:%d/%m/%Y à %H}" in told


def test_what_a_machine_says_is_not_enough(world: World, url: str, door: Door) -> None:
    """It reports a version that the door never gave it."""
    world.publish()
    world.pass_(url)
    world.advance()
    door.store.keep("loos-pc", world.machines["loos-pc"].signed(texte="tout va bien"), world.now())
    with door.store._open() as db:
        assert db.execute("SELECT donnee FROM machines WHERE nom = 'loos-pc'").fetchone()[0] == 0
    with pytest.raises(FleetError, match="que le guichet ne lui a jamais donnée"):
        world.advance()


def test_a_lie_about_the_version_does_not_use_numbers_up(world: World, url: str, door: Door) -> None:
    world.publish()
    report = {"machine": "loos-pc", "version": 2**52, "posee": True, "genre": "bon", "texte": ""}
    report |= {"debut": "", "fin": "", "modifies": [], "preuves": []}
    door.store.keep("loos-pc", json.dumps(report).encode(), world.now())
    world.fleet().stop("essai")
    assert world.publish("deux")[0].startswith("v2 ")


def test_two_publications_do_not_go_together(world: World, url: str) -> None:
    world.publish()
    with pytest.raises(FleetError, match=r"v1 n'est pas finie \(publiée par camille@poste\)"):
        world.publish("deux")
    world.fleet().stop("mauvais code")
    with pytest.raises(FleetError, match=r"arrêtée .* par camille@poste : mauvais code"):
        world.advance()
    assert world.publish("deux")[0].startswith("v2 ")


def _holding(home: Path, began: Any, end: Any) -> None:
    import fcntl

    with (home / "flotte" / "verrou").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        handle.write("dominique@poste, depuis 8 h")
        handle.flush()
        began.set()
        end.wait(allowed(120))


def test_two_commands_at_once(world: World) -> None:
    context = multiprocessing.get_context("spawn")
    began, end = context.Event(), context.Event()
    other = context.Process(target=_holding, args=(world.home, began, end))
    other.start()
    try:
        assert began.wait(allowed(60))
        with pytest.raises(FleetError, match=r"une autre commande de la flotte est en cours .dominique@poste"):
            world.publish()
    finally:
        end.set()
        other.join()


def test_two_control_nodes_publish_the_same_number(world: World, url: str, tmp_path: Path) -> None:
    """Each asked the door before the other sent."""
    before = world.door.listing()
    shutil.copytree(world.home, tmp_path / "second")
    world.publish("un")
    with pytest.raises(Exception, match="la version 1 ne peut pas remplacer la 1 qui est au guichet"):
        world.publish("autre", home=tmp_path / "second", ask=lambda: before)
    assert world.pass_(url)[:2] == ["bon", "bon"]
    assert (world.machines["bergues-pc"].runs[-1] / "code" / "code").read_text() == "un"


def test_back_to_the_version_before(world: World, url: str) -> None:
    world.publish("bon")
    world.pass_(url)
    world.advance()
    world.pass_(url)
    world.publish("mauvais")
    assert world.pass_(url)[:2] == ["bon", "bon"]
    with pytest.raises(FleetError, match="--motif"):
        world.fleet().go_back(0, world.certificates, "")
    with pytest.raises(FleetError, match=r"v7 n'est pas gardée ici. Gardées, avant v2 : v1"):
        world.fleet().go_back(7, world.certificates, "essai")
    done = world.fleet().go_back(0, world.certificates, "les actes ne partent plus")
    assert done[0] == "v3 reprend le contenu de v1, pour les machines qui avaient v2."
    assert world.pass_(url) == ["bon", "bon", "a_jour", "a_jour"]
    assert (world.machines["bergues-pc"].runs[-1] / "code" / "code").read_text() == "bon"
    assert world.states() == dict.fromkeys(NAMES, waves.UP_TO_DATE)
    assert world.advance() == ["v3 : toutes les vagues sont ouvertes, et ont rendu compte."]
    with pytest.raises(FleetError, match=r"n'est pas gardée ici. Gardées, avant v3 : v1, v2"):
        world.fleet().go_back(0, world.certificates, "encore")  # v2 is the one that was left


def test_a_door_that_comes_back_from_a_backup_rolls_nothing_back(world: World, url: str) -> None:
    world.publish("un")
    world.pass_(url)
    world.advance()
    world.pass_(url)
    backup = shutil.copytree(world.door.folder, world.folder / "sauvegarde")
    world.publish("deux")
    assert world.pass_(url)[:2] == ["bon", "bon"]
    shutil.rmtree(world.door.folder)
    shutil.copytree(backup, world.door.folder)
    assert world.pass_(url)[:2] == ["refus", "refus"]
    assert world.machines["bergues-pc"].version() == 2
    _record, _standings, problems = world.fleet().status()
    assert any("restauré d'une sauvegarde" in one for one in problems)
    with pytest.raises(FleetError):  # the refusals are told first
        world.advance()
    assert world.pass_(url)[:2] == ["a_jour", "a_jour"]  # it was mended by that command


def test_a_control_node_that_comes_back_from_a_backup(world: World, url: str, tmp_path: Path) -> None:
    world.publish("un")
    world.pass_(url)
    world.advance()
    world.pass_(url)
    backup = shutil.copytree(world.home, tmp_path / "sauvegarde")
    world.publish("deux")
    world.pass_(url)
    world.advance()
    world.pass_(url)
    shutil.rmtree(world.home)
    shutil.copytree(backup, world.home)
    with pytest.raises(FleetError, match="le guichet a une version plus récente que ce poste de commande"):
        world.advance()
    assert world.publish("trois")[0].startswith("v3 ")
    assert world.pass_(url) == ["bon", "bon", "a_jour", "a_jour"]
    assert world.advance() == ["v3, vague « territoire lille » ouverte : 2 machines."]


def test_both_come_back_from_a_backup(world: World, url: str, tmp_path: Path) -> None:
    """Machines know a number that nobody else does any more: they say it, and the next is above."""
    world.publish("un")
    world.pass_(url)
    backups = [shutil.copytree(one, tmp_path / f"s-{one.name}") for one in (world.home, world.door.folder)]
    world.fleet().stop("essai")
    world.publish("deux")
    assert world.pass_(url)[:2] == ["bon", "bon"]
    for here, backup in zip((world.home, world.door.folder), backups, strict=True):
        shutil.rmtree(here)
        shutil.copytree(backup, here)
    assert world.pass_(url)[:2] == ["refus", "refus"]
    world.fleet().stop("retour de sauvegarde")
    assert world.publish("trois")[0].startswith("v3 ")
    assert world.pass_(url)[:2] == ["bon", "bon"]


def test_a_command_that_died_before_it_sent_is_mended_by_the_next(world: World, url: str) -> None:
    def cut(_file: Path) -> None:
        raise FleetError("le guichet ne répond pas")

    with pytest.raises(FleetError, match="ne répond pas"):
        world.publish(send=cut)
    with pytest.raises(FleetError, match="n'ont pas rendu compte"):
        world.advance()
    assert world.pass_(url)[:2] == ["bon", "bon"]
    assert "ouverte" in world.advance()[0]


def test_a_door_that_has_everything_is_sent_nothing(world: World, url: str) -> None:
    world.publish()
    world.pass_(url)
    world.advance()
    sent: list[Path] = []
    with pytest.raises(FleetError, match="n'ont pas rendu compte"):
        world.fleet(send=sent.append).advance(world.certificates)
    assert sent == []


def test_manifests_are_renewed_before_they_expire(world: World, url: str) -> None:
    world.publish()
    world.pass_(url)
    world.clock = LASTS * 2 / 3
    for machine in world.machines.values():
        machine.clock = world.clock
    with pytest.raises(FleetError, match="en retard"):
        world.advance()
    assert world.pass_(url)[:2] == ["bon", "bon"]  # applied again: days went by
    world.clock = LASTS + DAY
    for machine in world.machines.values():
        machine.clock = world.clock
    assert world.pass_(url)[:2] == ["bon", "bon"]  # not expired: it was signed again meanwhile


def test_a_machine_without_certificate_is_told_then_given_its_version(world: World, url: str) -> None:
    late = world.certificates.pop("bergues-pc")
    assert "bergues-pc" in world.publish()[2]
    world.pass_(url, "bergues-connecteur")
    with pytest.raises(FleetError, match="bergues-pc"):
        world.advance()
    world.certificates["bergues-pc"] = late
    with pytest.raises(FleetError, match="bergues-pc"):
        world.advance()
    assert world.pass_(url, "bergues-pc") == ["bon"]
    assert "ouverte" in world.advance()[0]


def test_a_machine_that_left_the_inventory_is_shown_out(world: World, url: str) -> None:
    world.publish()
    world.pass_(url)
    left = {name: one for name, one in INVENTORY.items() if name != "bergues-pc"}
    world.fleet(machines=left).advance(world.certificates)
    kind, text = world.machines["bergues-pc"].passes(url)
    assert (kind, "aucune machine que le guichet attend" in text) == ("refus", True)
    assert world.machines["bergues-pc"].version() == 1


def test_what_a_control_node_keeps_is_closed_to_others(world: World, tmp_path: Path) -> None:
    kept = world.fleet(tmp_path / "neuf").folder
    assert [oct(one.stat().st_mode & 0o777) for one in (kept, kept / "lots", kept / "versions")] == ["0o700"] * 3


def test_nothing_to_publish_or_to_stop(world: World) -> None:
    with pytest.raises(FleetError, match="acces: sortant"):
        world.publish(machines={})
    with pytest.raises(FleetError, match="rien à arrêter"):
        world.fleet().stop("x")
    with pytest.raises(FleetError, match="rien n'a encore été publié"):
        world.advance()


def test_a_wrong_passphrase_signs_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREATIC_FLOTTE_CLE", "une autre phrase secrète")
    with pytest.raises(FleetError, match="phrase secrète fausse"):
        world.publish()
    assert world.door.listing()["machines"] == []


@pytest.mark.parametrize(
    ("record", "heard", "failed"),
    [
        ({"version": 2, "le": OPENED.isoformat()}, OPENED - HOUR, False),  # it has not met this version yet
        ({"version": 2, "le": OPENED.isoformat()}, OPENED + HOUR, True),
        (None, OPENED, True),
    ],
)
def test_a_refusal_counts_against_the_version_that_was_there(
    record: dict[str, Any] | None, heard: dt.datetime, failed: bool
) -> None:
    last = {"genre": "refus", "version": 1, "texte": "horloge fausse", "recu": heard.isoformat(timespec="seconds")}
    row = {"vue": (OPENED + HOUR).isoformat(), "dernier": last, "donnee": 1}
    told = waves.machine_state("loos-pc", record, row, OPENED + HOUR)
    assert (told.state, told.version, told.reason, told.failed) == (waves.BLOCKED, 1, "horloge fausse", failed)


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-2000], lambda data: b"x" * 5000, lambda data: b"", lambda data: data[512:]]
)
def test_the_door_takes_a_whole_sending_or_nothing(
    world: World, door: Door, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    def half(file: Path) -> None:
        broken = tmp_path / "coupe.tar"
        broken.write_bytes(damage(file.read_bytes()))
        door.receive(broken)

    with pytest.raises(Exception, match="envoi"):
        world.publish(send=half)
    assert door.listing()["machines"] == []


def test_reports_are_bounded(world: World, door: Door, url: str) -> None:
    from creatic_guichet.store import LARGEST_REPORT, BadRequest, TooMany

    world.publish()
    report: dict[str, Any] = {"machine": "bergues-pc", "version": 1, "posee": True, "genre": "bon", "texte": ""}
    report |= {"debut": "", "fin": "", "modifies": ["x" * 40_000], "preuves": []}
    for number in range(60):
        door.store.keep("bergues-pc", json.dumps(report | {"fin": str(number)}).encode(), world.now())
    with pytest.raises(TooMany, match="trop souvent"):
        door.store.keep("bergues-pc", json.dumps(report).encode(), world.now())
    door.store.keep("bergues-connecteur", json.dumps(report | {"machine": "bergues-connecteur"}).encode(), world.now())
    assert sum(len(json.dumps(one)) for one in door.store.reports(0)) < 700_000
    for wrong in (b"x" * (LARGEST_REPORT + 1), b"{}", b"[" * 200_000, json.dumps(report).encode()):
        with pytest.raises(BadRequest):
            door.store.keep("loos-pc", wrong, world.now())


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The passphrase of each control node of these tests is its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CREATIC_FLOTTE_CLE", raising=False)
        yield


@pytest.mark.parametrize(
    "odd",
    [
        {"version": 2**53}, {"donnee": 2**53 - 1}, {"version": -1}, {"version": "1"}, {"version": True},
        {"vue": "hier"},
        {"dernier": []}, {"dernier": {"version": 2**60, "recu": "2026-11-29T06:00:00+00:00"}}, {"demandes": {"a": 1}},
        {"nom": None},
    ],
)  # fmt: skip # a list by rows
def test_one_odd_row_of_the_door_keeps_no_other_from_its_version(world: World, url: str, odd: dict[str, Any]) -> None:
    world.publish()
    world.pass_(url)

    def ask() -> dict[str, Any]:
        told = world.door.listing(world.now())
        return told | {"machines": [one | (odd if one["nom"] == "loos-pc" else {}) for one in told["machines"]]}

    assert world.fleet(ask=ask).advance(world.certificates)[0].startswith("v1, vague")
    assert world.pass_(url, "loos-connecteur") == ["bon"]
    world.fleet(ask=ask).stop("essai")
    assert world.publish("deux", ask=ask)[0].startswith("v2 ")
    if {*odd} != {"dernier"} or odd["dernier"] == []:
        assert any("le guichet" in one for one in world.fleet(ask=ask).status()[2])


def test_a_listing_that_is_none_is_refused(world: World) -> None:
    moments = ("hier", "2026-11-29T06:00:00", "0001-01-01T00:00:00+05:00", 5)
    odd: list[dict[str, Any]] = [{"maintenant": one, "machines": []} for one in moments]
    for bad in ({}, *odd, {"maintenant": "2026-11-29T06:00:00+00:00", "machines": 3}):
        with pytest.raises(FleetError, match="autre chose que son état"):
            world.fleet(ask=lambda bad=bad: bad).status()


def test_a_door_that_was_taken_opens_no_wave(world: World, url: str) -> None:
    """It says that the whole canary took the version: nobody signed that."""
    world.publish()
    forged = {"genre": "bon", "version": 1, "posee": True, "texte": "", "fin": "", "recu": world.now().isoformat()}

    def ask() -> dict[str, Any]:
        told = world.door.listing(world.now())
        seen = {"vue": world.now().isoformat(), "donnee": 1, "dernier": forged}
        return told | {"machines": [one | seen for one in told["machines"]]}

    with pytest.raises(FleetError, match=r"n'ont pas rendu compte[\s\S]*pas signé, et ne compte pas"):
        world.fleet(ask=ask).advance(world.certificates)
    world.pass_(url)
    assert world.advance()[0].startswith("v1, vague")


@pytest.mark.parametrize(
    "doors", [["x"], [{}], [{"machine": 3, "numero": 1}], [{"machine": "loos-pc", "numero": "1"}], [None]]
)
def test_what_is_no_door_in_a_listing_keeps_nothing(world: World, doors: list[Any]) -> None:
    def ask() -> dict[str, Any]:
        return world.door.listing(world.now()) | {"portes": doors}

    assert world.publish("un", ask=ask)[0].startswith("v1 ")
    assert world.fleet(ask=ask).status()[0]
