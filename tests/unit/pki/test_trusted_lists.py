"""EU trusted lists: a small list of the lists and two countries', signed with real keys, fetched from a dictionary."""

from __future__ import annotations

import datetime as dt
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import StateError
from ansible_collections.cdg59.creatic.plugins.module_utils.pki import trusted_lists
from ansible_collections.cdg59.creatic.plugins.modules import trusted_lists_file
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from creatic.supervision import figures
from testbed import trusted_lists as made

EU, BE, FR = "https://eu.test/lotl.xml", "https://be.test/tl.xml", "https://fr.test/tl.xml"
NOW = dt.datetime.now(dt.UTC)
PAIRS = {name: made.authority(name, ca=False) for name in ("EU", "BE", "FR", "autre")}
QUALIFIED = {name: made.authority(f"Qualifiée {name}") for name in ("BE", "FR")}


@dataclass
class World:
    """What is published, and what the control node keeps."""

    folder: Path
    docs: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.lotl()
        self.country("BE", BE)
        self.country("FR", FR)

    def lotl(self, signer: str = "EU", be: str = "BE", **options: Any) -> None:
        named = [("BE", BE, [PAIRS[be][0]]), ("FR", FR, [PAIRS["FR"][0]])]
        self.docs[EU] = made.lotl(PAIRS[signer], named, **options)

    def country(self, name: str, url: str, signer: str = "", **options: Any) -> None:
        self.docs[url] = made.national(PAIRS[signer or name], name, [QUALIFIED[name][0]], **options)

    def fetch(self, url: str) -> bytes:
        if url not in self.docs:
            raise OSError("réseau injoignable")
        return self.docs[url]

    def turn(self, **options: Any) -> trusted_lists.Outcome:
        pinned = [asn1_x509.Certificate.load(PAIRS["EU"][0].public_bytes(Encoding.DER))]
        return trusted_lists.refresh(self.folder, EU, pinned, self.fetch, NOW, **options)

    @property
    def given(self) -> Any:
        return json.loads((self.folder / trusted_lists.COMPILED).read_text())

    @property
    def numbers(self) -> dict[str, int]:
        return trusted_lists_file.numbers((self.folder / trusted_lists.COMPILED).read_text())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "confiance")


def test_servers_are_given_who_issues_qualified_certificates(world: World) -> None:
    first = world.turn()
    assert (first.faults, first.complete, first.numbers) == ([], True, {"BE": 10, "FR": 10})
    assert {one["pays"] for one in world.given["services"]} == {"BE", "FR"}
    assert world.given["services"][0]["pour"] == ["qct_esign"]
    both = {one[0] for one in QUALIFIED.values()}
    assert set(x509.load_pem_x509_certificates((world.folder / trusted_lists.AUTHORITIES).read_bytes())) == both
    again = world.turn()
    assert (again.changes, again.faults) == ([], [])
    assert not world.turn(check_only=True).changes


def test_a_check_writes_nothing(world: World) -> None:
    assert world.turn(check_only=True).changes
    assert not world.folder.exists()


def test_a_service_that_was_withdrawn_issues_nothing_more(world: World) -> None:
    world.country("BE", BE, status="withdrawn")
    world.turn()
    assert {one["pays"] for one in world.given["services"]} == {"FR"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda world: world.lotl(signer="autre", number=301), "EU, .* signée par aucun des certificats attendus"),
        (lambda world: world.lotl(number=299), r"EU, .* plus ancienne \(n° 299\) que celle qui est gardée \(n° 300\)"),
        (lambda world: world.lotl(number=301, next_update=NOW - dt.timedelta(days=1)), "EU, .* périmée depuis le"),
        (lambda world: world.lotl(number=301, issued=NOW + dt.timedelta(days=1)), "EU, .* datée du futur"),
        (lambda world: world.docs.pop(EU), "EU, .* réseau injoignable ; la liste n° 300 est gardée"),
        (lambda world: world.country("BE", BE, number=9), r"BE, .* plus ancienne \(n° 9\)"),
        (lambda world: world.country("BE", BE, "autre", number=11), "BE, .* signée par aucun"),
        (lambda world: world.docs.update({BE: world.docs[FR]}), "BE, .* signée par aucun"),
        (lambda world: world.docs.update({BE: b"<html/>"}), "BE, .* signée par aucun"),
        (lambda world: world.docs.update({BE: b"<!DOCTYPE x><x/>"}), "BE, .*DOCTYPE"),
        (lambda world: world.docs.pop(BE), "BE, .* la liste n° 10 est gardée"),
    ],
)
def test_a_list_that_cannot_be_had_keeps_the_last_good_ones(world: World, change: Any, said: str) -> None:
    world.turn()
    before = world.given
    change(world)
    world.country("FR", FR, number=11)  # another country's goes on
    found = world.turn()
    assert not found.complete
    assert re.search(said, "\n".join(found.faults)), found.faults
    assert world.numbers == {"EU": before["lotl"]["numero"], "BE": 10, "FR": 11}


def test_one_changed_byte_is_a_list_of_nobody_s(world: World) -> None:
    world.turn()
    changed = re.sub(b"<TSLSequenceNumber>10<", b"<TSLSequenceNumber>11<", world.docs[BE])
    assert changed != world.docs[BE]
    world.docs[BE] = changed
    assert "modifiée" in world.turn().faults[0]
    assert world.numbers["BE"] == 10


def test_what_the_lotl_no_longer_names_counts_no_more(world: World) -> None:
    """A country's signatory was changed: what the former one signed is not kept, were it the only one."""
    world.turn()
    world.lotl(be="autre", number=301)
    found = world.turn()
    assert "BE" not in found.numbers and "aucune n'est gardée" in found.faults[0]
    assert {one["pays"] for one in world.given["services"]} == {"FR"}


def test_another_country_s_list_under_its_signatory_is_refused(world: World) -> None:
    world.lotl(be="FR")
    world.docs[BE] = world.docs[FR]
    assert "c'est celle de FR, et non de BE" in world.turn().faults[0]


def test_a_list_that_was_lost_here_is_had_again(world: World) -> None:
    world.turn()
    for path in world.folder.iterdir():
        path.unlink()
    assert world.turn().complete
    assert world.numbers == {"EU": 300, "BE": 10, "FR": 10}


def test_pinned_certificates_are_the_configuration_s(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="parapheur_lotl_certificates"):
        trusted_lists.pinned([])
    with pytest.raises(StateError, match="illisibles"):
        trusted_lists.pinned([tmp_path / "absent.pem"])
    (tmp_path / "eu.pem").write_bytes(PAIRS["EU"][0].public_bytes(Encoding.PEM))
    assert len(trusted_lists.pinned([tmp_path / "eu.pem"])) == 1


def test_the_morning_page_says_it_after_some_days_and_not_before(world: World, tmp_path: Path) -> None:
    def told(days: int) -> list[str]:
        text = (tmp_path / "metriques" / trusted_lists.FIGURES).read_text()
        found = {(one.name, one.labels): one.value for one in figures.parse(text)}
        rules = [one for one in figures.rules() if one.name == "creatic_trusted_lists_complete_timestamp_seconds"]
        at = (NOW + dt.timedelta(days=days)).timestamp()
        every = [
            (rule, rule.holds(one, found, None, at))
            for one in figures.parse(text)
            for rule in rules
            if rule.name == one.name
        ]
        return [rule.text.format(**shown) for rule, shown in every if shown]

    trusted_lists.figures(tmp_path, world.turn(), NOW, 7)
    assert (told(6), len(told(8))) == ([], 1)
    del world.docs[EU]
    trusted_lists.figures(tmp_path, world.turn(), NOW + dt.timedelta(days=5), 7)
    assert told(6) == []
    assert told(8) == ["listes de confiance de l'UE : pas toutes obtenues depuis 8 jours"]
    trusted_lists.figures(tmp_path, None, NOW, 7)
    assert not (tmp_path / "metriques" / trusted_lists.FIGURES).exists()


def compiled(**numbers: int) -> str:
    lists = {name: {"numero": number} for name, number in numbers.items() if name != "EU"}
    return json.dumps({"lotl": {"numero": numbers["EU"]}, "listes": lists})


@pytest.mark.parametrize(
    ("wanted", "there", "said"),
    [
        (compiled(EU=300, BE=10), "", ""),
        (compiled(EU=300, BE=10), "abîmé", ""),
        (compiled(EU=300, BE=10), compiled(EU=300, BE=10), ""),
        (compiled(EU=301, BE=11), compiled(EU=300, BE=10), ""),
        (compiled(EU=301), compiled(EU=300, BE=10), ""),
        (compiled(EU=300), compiled(EU=300, BE=10), "BE"),
        (compiled(EU=299, BE=10), compiled(EU=300, BE=10), "EU"),
        (compiled(EU=300, BE=9), compiled(EU=300, BE=10), "BE"),
    ],
)
def test_older_lists_never_replace_those_of_a_server(wanted: str, there: str, said: str) -> None:
    told = trusted_lists_file.older(wanted, there)
    assert f"({said})" in told if said else not told


def test_lists_that_are_none_are_told() -> None:
    with pytest.raises(StateError, match="ne se lit pas"):
        trusted_lists_file.older("[]", "")
