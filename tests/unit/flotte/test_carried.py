"""A relevé that the door carries: signed on the machine, judged on the control node, whatever was done between."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from creatic_audit import agent
from creatic_guichet import cli
from creatic_guichet import store as door_store
from cryptography.x509 import load_pem_x509_certificate

from creatic.audit import releves
from creatic.audit.content import Content
from creatic.audit.releves import HostKeys, ReleveStore
from creatic.audit.sources import Rule
from creatic.audit.verdict import Found
from creatic.fleet import attested, carried
from creatic.fleet.signing import FleetError
from testbed.connector import Authority
from testbed.fleet import Door, Machine, Publisher
from tests.unit.audit.conftest import target
from tests.unit.audit.test_releves import told

NAME, OTHER = "gondecourt-connecteur", "loos-connecteur"
ASKED = Content("anssi_bp28_intermediary", {f"regle_{one}": Rule(f"regle_{one}", "") for one in range(4)})


def ago(hours: float) -> str:
    return (dt.datetime.now(dt.UTC) - dt.timedelta(hours=hours)).isoformat(timespec="seconds")


class Site:
    """Two machines behind a router, the door, and the control node's side of it."""

    def __init__(self, folder: Path, door: Door, authority: Authority, publisher: Publisher, url: str) -> None:
        self.door, self._authority, self.url = door, authority, url
        self.kept, self.fleet = ReleveStore(folder / "releves"), folder / "flotte"
        self.fleet.mkdir()
        signers = publisher.signer.signers
        self.machines = {name: Machine(folder / name, authority, signers, name) for name in (NAME, OTHER)}
        self._keys: dict[str, Path] = {}
        for name in self.machines:
            self.new_key(name)
            publisher.publish(name)
            self.passes(name)

    def new_key(self, name: str) -> None:
        """Give a machine a host key, as one that was installed has."""
        key = self.machines[name].settings.host_key.with_name("hote")
        key.unlink(missing_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key, "-C", "root@x"], check=True)
        self._keys[name] = key

    def makes(self, name: str = NAME, hours: float = 2, **changes: Any) -> bytes:
        """Have a machine's agent sign a relevé of itself."""
        settings = agent.Settings(name, "intermediary", self._keys[name], self.machines[name].settings.state)
        raw = agent.signed(settings, told(name) | {"fin": ago(hours)} | changes)
        self.machines[name].settings.releve.write_bytes(raw)
        return raw

    def passes(self, name: str = NAME) -> str:
        return self.machines[name].passes(self.url)[0]

    def ask(self, after: str, wanted: Sequence[str]) -> Any:
        return self.door.store.releves(after, {*wanted})

    def rows(self) -> dict[str, dict[str, Any]]:
        """What machines signed of their last reports."""

        def keys(name: str) -> list[Any]:
            return [load_pem_x509_certificate((self._authority.folder / name / "cert.pem").read_bytes()).public_key()]

        rows = {row["nom"]: row for row in self.door.listing()["machines"]}
        return {name: {"dernier": attested.verify_report(name, row["dernier"], keys)} for name, row in rows.items()}

    def judged(self) -> dict[str, Found]:
        """What an audit makes of what the door gives now."""
        carried.keep_host_keys(self.fleet, self.rows())
        keys = HostKeys(self.fleet / carried.HOSTS)
        now = dt.datetime.now(dt.UTC)
        return {
            name: releves.finding(target(name, outgoing=True), raw or "rien", keys.keys_of(name), self.kept, ASKED, now)
            for name, raw in carried.brought([*self.machines], self.ask)
        }


@pytest.fixture
def site(tmp_path: Path, door: Door, authority: Authority, publisher: Publisher, url: str) -> Site:
    return Site(tmp_path, door, authority, publisher, url)


def test_a_releve_is_carried_by_a_pass_and_judged_as_one_that_ssh_fetched(site: Site) -> None:
    raw = site.makes()
    site.makes(OTHER)
    assert (site.passes(), site.passes(OTHER)) == ("a_jour", "a_jour")
    assert dict(carried.brought([NAME, "jamais-vue"], site.ask)) == {NAME: raw, "jamais-vue": None}
    found = site.judged()
    assert {name: one.state for name, one in found.items()} == {NAME: "auditee", OTHER: "auditee"}
    facts = found[NAME].releve
    assert facts and 7100 < facts["age_s"] < 7400


def test_a_releve_that_the_door_has_is_not_sent_again(site: Site) -> None:
    posts: list[str] = []

    def note(environ: Mapping[str, Any], _start: Callable[..., Any]) -> None:
        posts.append(environ["PATH_INFO"])

    site.makes()
    site.passes()
    site.door.meddle = note
    site.passes()
    assert "/releves" not in posts and "/comptes-rendus" in posts
    site.makes(hours=1)
    site.passes()
    assert posts.count("/releves") == 1


def test_a_door_of_before_takes_reports_and_the_releve_waits_for_the_next_one(site: Site) -> None:
    def before(environ: Mapping[str, Any], start: Callable[..., Any]) -> Any:
        if environ["PATH_INFO"] == "/releves":
            start("404 Not Found", [("Content-Length", "0")])
            return [b""]
        return None

    site.makes()
    site.door.meddle = before
    assert site.passes() == "a_jour"
    assert site.ask("", ())["releves"] == {}
    assert list((site.machines[NAME].settings.state / "courrier").iterdir()) == []
    site.door.meddle = None
    site.passes()
    assert [*site.ask("", ())["releves"]] == [NAME]


def reason(found: Found) -> str:
    return (found.incident or {}).get("raison", "")


@pytest.mark.parametrize("size", [releves.LARGEST + 1, 50 << 20])
def test_one_that_is_too_long_is_told_by_name_and_the_others_go_on(site: Site, size: int) -> None:
    site.makes(OTHER)
    with site.machines[NAME].settings.releve.open("wb") as stream:
        stream.truncate(size)
    assert (site.passes(), site.passes(OTHER)) == ("a_jour", "a_jour")
    found = site.judged()
    assert reason(found[NAME]).startswith("son relevé dépasse 256 Kio, et n'est pas lu")
    assert found[OTHER].state == "auditee"


def test_the_door_takes_no_more_than_a_releve(site: Site) -> None:
    now = dt.datetime.now(dt.UTC)
    with pytest.raises(door_store.BadRequest, match=r"^Relevé trop gros\.$"):
        site.door.store.carry(NAME, bytes(door_store.LARGEST_RELEVE + 1), now)
    with pytest.raises(door_store.TooMany):
        for turn in range(100):
            site.door.store.carry(NAME, str(turn).encode(), now)


def test_what_was_done_on_the_way_is_told_by_name_and_the_others_go_on(site: Site) -> None:
    first = site.makes(hours=20)
    site.makes(OTHER)
    site.passes()
    site.passes(OTHER)
    assert site.judged()[NAME].state == "auditee"
    second = site.makes(hours=2, numero=1_764_000_001)
    site.passes()
    assert site.judged()[NAME].state == "auditee"
    others = site.machines[OTHER].settings.releve.read_bytes()
    ahead = site.makes(hours=-48, numero=1_764_000_002)
    expected = {
        first: "son relevé est d'avant celui du",
        others: "son relevé n'est pas signé par sa clé d'hôte",
        ahead: "son relevé est daté de l'avenir",
        second[: len(second) // 2]: "son relevé est illisible",
        b"\xff\xfe": "son relevé est illisible",
    }
    for given, why in expected.items():
        site.door.store.carry(NAME, given, dt.datetime.now(dt.UTC))
        found = site.judged()
        assert reason(found[NAME]).startswith(why), given
        assert found[OTHER].state == "auditee"


def test_another_s_releve_signed_by_this_machine_s_key_is_told(site: Site) -> None:
    raw = agent.signed(
        agent.Settings(OTHER, "intermediary", site.machines[NAME].settings.host_key.with_name("hote"), Path()),
        told(OTHER) | {"fin": ago(1)},
    )
    site.machines[NAME].settings.releve.write_bytes(raw)
    site.passes()
    assert reason(site.judged()[NAME]).startswith(f"ce qu'elle donne est un relevé de « {OTHER} »")


def test_the_first_key_that_a_machine_signed_is_kept_and_another_is_told(site: Site) -> None:
    assert carried.keep_host_keys(site.fleet, site.rows()) == []
    first = (site.fleet / carried.HOSTS).read_text()
    site.new_key(NAME)
    site.makes()
    site.passes()
    [problem] = carried.keep_host_keys(site.fleet, site.rows())
    assert problem.startswith(f"{NAME} : sa clé d'hôte n'est plus celle de son premier compte rendu")
    assert (site.fleet / carried.HOSTS).read_text() == first
    assert reason(site.judged()[NAME]).startswith("son relevé n'est pas signé par sa clé d'hôte")
    subprocess.run(
        ["ssh-keygen", "-R", NAME, "-f", site.fleet / carried.HOSTS], check=True, capture_output=True
    )  # as it is told
    assert site.judged()[NAME].state == "auditee"
    assert carried.keep_host_keys(site.fleet, site.rows()) == []


def test_a_machine_of_an_agent_of_before_says_no_key_and_is_told(site: Site) -> None:
    site.machines[NAME].settings.host_key.unlink()
    site.makes()
    site.passes()
    assert reason(site.judged()[NAME]).startswith("known_hosts n'a pas sa clé d'hôte Ed25519")


def test_all_are_told_some_at_a_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """And of whom is asked by name, these alone."""
    names = [f"m{rank:03d}" for rank in range(300)]
    with site.door.store._open() as db:
        rows = [(name, "x", f"relevé de {name}".encode()) for name in [*names, "abimee"]]
        db.executemany("INSERT INTO releves VALUES (?, ?, ?)", rows)
    asked: list[tuple[str, int]] = []

    def ask(after: str, wanted: Sequence[str]) -> Any:
        asked.append((after, len(wanted)))
        return site.door.store.releves(after, {*wanted}, most=1000)

    told_ = dict(carried.brought([*names, "absente"], ask))
    assert told_ == {name: f"relevé de {name}".encode() for name in names} | {"absente": None}
    assert len(asked) > 5 and all(number == 0 for _after, number in asked)
    asked.clear()
    assert dict(carried.brought(names[250:252], ask)) == {name: f"relevé de {name}".encode() for name in names[250:252]}
    assert asked == [("", 2)]


@pytest.mark.parametrize(
    "answer", [None, [], {}, {"releves": []}, {"releves": {NAME: 3}, "reste": False}], ids=lambda one: repr(one)[:20]
)
def test_a_door_that_says_something_else_is_told(answer: Any) -> None:
    with pytest.raises(FleetError, match="le guichet ne dit pas les relevés qu'il porte"):
        list(carried.brought([NAME], lambda _after, _wanted: answer))


@pytest.mark.parametrize(
    "answer",
    [
        {"releves": {}, "reste": True},
        {"releves": {NAME: "x"}, "reste": True},
        {"releves": {"zz; id": ""}, "reste": True},
    ],
)
def test_a_door_that_has_always_more_has_an_end(answer: Any) -> None:
    asked: list[str] = []

    def ask(after: str, _wanted: Sequence[str]) -> Any:
        asked.append(after)
        return answer

    assert {name for name, _raw in carried.brought([NAME, OTHER], ask)} == {NAME, OTHER}
    assert len(asked) <= 2 and "zz; id" not in asked


def test_a_bomb_is_not_unpacked() -> None:
    import base64
    import zlib

    bomb = base64.b64encode(zlib.compress(bytes(50 << 20))).decode()
    [(_name, raw)] = carried.brought([NAME], lambda _after, _wanted: {"releves": {NAME: bomb}, "reste": False})
    assert raw is not None and len(raw) == releves.LARGEST + 1


def test_the_control_node_s_command(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.makes()
    site.passes()
    capsys.readouterr()
    for given in (["releves"], ["releves", "--apres", "a", NAME]):
        assert cli.main(["--dossier", str(site.door.folder), *given]) == 0
        said = capsys.readouterr().out
        assert said.startswith('{"releves"') and [*json.loads(said)["releves"]] == [NAME]


def test_of_a_machine_that_left_the_door_keeps_nothing(site: Site, publisher: Publisher) -> None:
    site.makes()
    site.passes()
    with site.door.store._open() as db:
        db.execute("INSERT INTO releves VALUES ('partie', 'x', 'y')".replace("'y'", "x'00'"))
    publisher.publish(NAME, 2)
    assert [*site.ask("", ())["releves"]] == [NAME]
