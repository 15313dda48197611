"""A commune and its CCAS on one connector: two SIREN, two journals, one program."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.filter import connector_entities as role
from tdt_connector import cli, metrics
from tdt_connector.journal import Journal, State
from tdt_simulator.testing import TdtServer

from creatic.registry import wiring
from testbed.connector import AUTHORITIES, SIREN, Authority, Commune, platform

CCAS = "265902668"
NAME = "gondecourt-ccas"
Run = Callable[..., int]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("pki") / "groupement", "groupement de test")
    made.issue("tdt", "server")
    made.issue("commune")
    made.issue("ccas", organization="CCAS de Gondecourt", siren=CCAS)
    return made


@pytest.fixture
def server(tmp_path: Path, both: Authority) -> Iterator[TdtServer]:
    known = [*AUTHORITIES, {**AUTHORITIES[0], "siren": CCAS, "nom": "CCAS de Gondecourt"}]
    with platform(tmp_path / "tdt", both, authorities=known) as found:
        yield found


@pytest.fixture
def town(tmp_path: Path, server: TdtServer, both: Authority) -> Commune:
    return Commune(tmp_path / "connecteur", server.url, both)


@pytest.fixture
def ccas(town: Commune, server: TdtServer, both: Authority) -> Commune:
    root = town.root / "entites" / NAME
    return Commune(
        root,
        server.url,
        both,
        siren=CCAS,
        entite=NAME,
        certificat=both.folder / "ccas",
        metriques=town.root / f"tdt_connector_{NAME}.prom",
    )


@pytest.fixture
def command(town: Commune, ccas: Commune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(os, "umask", lambda mask: 0)
    main = town.write_config(tmp_path / "config.yml")
    (tmp_path / "entites").mkdir()
    ccas.write_config(tmp_path / "entites" / f"{NAME}.yml")
    (tmp_path / "entites.liste").write_text(f"{NAME}\n")
    return lambda *words: cli.main(["--config", str(main), *words])


@contextmanager
def working(*communes: Commune) -> Iterator[None]:
    """Each in its thread, as its instance of the service."""
    stop = threading.Event()

    def work(one: Commune) -> None:
        with one.agent() as agent:
            while not stop.is_set():
                stop.wait(min(0.05, agent.cycle()))

    with ExitStack() as stack:
        for one in communes:
            thread = threading.Thread(target=work, args=(one,))
            thread.start()
            stack.callback(thread.join)
        stack.callback(stop.set)
        yield


def test_two_acts_of_one_number_are_each_its_own(town: Commune, ccas: Commune, server: TdtServer) -> None:
    for one in (town, ccas):
        one.drop("2026_001", objet=f"Acte de {one.config.siren}")
        one.run()
    assert {act["siren"]: act["numero"] for act in server.acts()} == {SIREN: "2026_001", CCAS: "2026_001"}
    for one in (town, ccas):
        [row] = one.rows()
        assert (row.state, row.idacte) == (State.ACKNOWLEDGED, f"059-{one.config.siren}-20260115-2026_001-DE")
        [folder] = one.folder("acquittes")
        assert one.config.siren.encode() in (folder / "ARActe.xml").read_bytes()
    assert town.config.journal != ccas.config.journal


def test_the_same_number_twice_by_one_of_them_is_told_to_it_alone(town: Commune, ccas: Commune) -> None:
    for one in (town, ccas):
        one.drop("2026_001")
        one.run()
    ccas.drop("2026_001", objet="Un autre acte")
    ccas.run()
    assert [row.state for row in ccas.rows()] == [State.ACKNOWLEDGED, State.REJECTED]
    assert [row.state for row in town.rows()] == [State.ACKNOWLEDGED]
    assert town.folder("rejets") == []


def test_both_are_proven_by_one_command(
    town: Commune, ccas: Commune, command: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    with working(town, ccas):
        assert command("proof", "--delai", "40") == 0
    document = json.loads(capsys.readouterr().out)
    keys = ["connexion", "compte", "rgs", "classification", "acte"]
    verdicts = {one["cle"]: one["verdict"] for one in document["preuves"]}
    assert verdicts == dict.fromkeys([*keys, *(f"{NAME}.{key}" for key in keys)], "ok")
    acts = {one["cle"]: one["mesures"]["idacte"] for one in document["preuves"] if one["cle"].endswith("acte")}
    assert (f"-{SIREN}-" in acts["acte"], f"-{CCAS}-" in acts[f"{NAME}.acte"]) == (True, True)
    # The files that are shown are the commune's: names would clash.
    assert all(str(ccas.root) not in path for path in document["fichiers"])


def test_one_that_is_badly_configured_does_not_keep_its_commune_from_being_proven(
    town: Commune, command: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "entites" / f"{NAME}.yml").write_text("siren: '123456789'\n")
    with working(town):
        assert command("proof", "--delai", "40") == 0
    verdicts = {one["cle"]: one["verdict"] for one in json.loads(capsys.readouterr().out)["preuves"]}
    assert (verdicts["acte"], verdicts[f"{NAME}.connexion"]) == ("ok", "echec")


def test_a_person_names_the_entity(
    town: Commune, ccas: Commune, command: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    ccas.drop("2026_007")
    ccas.run()
    assert command("--entite", NAME, "status") == 0
    assert "2026_007" in capsys.readouterr().out
    assert command("status") == 0
    assert "2026_007" not in capsys.readouterr().out
    for wrong in ("gondecourt-caisse", "../config"):
        assert command("--entite", wrong, "status") == 1
        assert f"n'est pas une entité de ce connecteur ; entités servies ici : {NAME}." in capsys.readouterr().err


def test_their_figures_are_told_apart(town: Commune, ccas: Commune) -> None:
    """The node exporter refuses all of a host's when two files hold the same sample."""
    samples = []
    for one in (town, ccas):
        with Journal(one.config.journal) as journal:
            text = metrics.render(one.config, journal)
        samples.append({line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")})
    assert samples[0]
    assert not samples[0] & samples[1]
    assert all('entite="' not in one for one in samples[0])
    assert all(f'entite="{NAME}"' in one for one in samples[1])


# What the role makes of them

FILES = [
    {"path": "/etc/tdt-connector", "state": "directory"},
    {"path": "/etc/tdt-connector/config.yml", "template": "config.yml.j2"},
    {"path": "/var/lib/tdt-connector", "state": "directory", "owner": "tdt-connector", "group": "tdt-depot"},
    {"path": "/var/lib/tdt-connector/etat", "state": "directory", "mode": "0700"},
    {"path": "/etc/systemd/system/tdt-connector.service", "template": "tdt-connector.service.j2"},
    {"path": "/etc/systemd/system/tdt-connector-versement.path", "state": "absent"},
]
ENTITY: dict[str, Any] = {
    "slug": NAME,
    "nom": "CCAS de Gondecourt",
    "organisme": "CCAS de Gondecourt",
    "siren": CCAS,
    "services": ["teletransmission", "parapheur", "archivage"],
}


def given(*entities: dict[str, Any]) -> list[dict[str, Any]]:
    return wiring.connector_entities({"entites": list(entities)}, "/secrets")


def test_without_entity_nothing_is_made() -> None:
    for one in ({}, {"entites": [ENTITY | {"services": ["deliberations"]}]}):
        assert wiring.connector_entities(one, "/secrets") == []
    assert role.connector_entity_files([], FILES, {}, {}) == [
        {"path": "/etc/tdt-connector/entites.liste", "state": "absent"}
    ]
    assert role.connector_entity_certificates([]) == role.connector_entity_units([]) == []


def test_an_entity_has_folders_a_configuration_and_instances_of_its_own() -> None:
    archive = {"url": "https://sae.test", "agreement": "AD-of-the-commune"}
    found = role.connector_entity_files(given(ENTITY), FILES, archive, {"url": "https://p.test"})
    assert [one["path"] for one in found] == [
        "/etc/tdt-connector/entites",
        "/var/lib/tdt-connector/entites",
        f"/var/lib/tdt-connector/entites/{NAME}",
        f"/var/lib/tdt-connector/entites/{NAME}/etat",
        f"/etc/tdt-connector/entites/{NAME}.yml",
        "/etc/systemd/system/tdt-connector@.service",
        "/etc/tdt-connector/entites.liste",
    ]
    assert found[3]["mode"] == "0700"
    told = found[4]["vars"]
    assert (told["__tdt_connector_entity"], told["tdt_connector_siren"]) == (NAME, CCAS)
    assert told["tdt_connector_signed_flows"] is True
    # The commune's agreement is not its own.
    assert told["tdt_connector_archive"] == {"url": "https://sae.test"}
    assert found[-1]["content"] == f"{NAME}\n"


def test_it_deposits_under_its_own_agreement_and_certificate() -> None:
    own = ENTITY | {"accord_versement": "AD-18", "connecteur": {"certificat": {"fichier": "c.p12", "secret": "c.pass"}}}
    [entity] = given(own)
    assert entity["pkcs12"] == "/secrets/c.p12"
    [*_others, config, _unit, _listed] = role.connector_entity_files(
        [entity], FILES, {"url": "u", "agreement": "x"}, {}
    )
    assert config["vars"]["tdt_connector_archive"]["agreement"] == "AD-18"
    # With a provider's for the TdT, the archive and the passerelle ask for one of the groupement's.
    [certificate] = role.connector_entity_certificates([entity])
    assert (certificate["name"], certificate["siren"]) == (f"sae-{NAME}", CCAS)
    [issued] = role.connector_entity_certificates(given(ENTITY))
    assert (issued["name"], issued["common_name"]) == (f"tdt-{NAME}", "Connecteur - CCAS de Gondecourt")


def test_units_and_journals_are_those_of_its_services() -> None:
    assert role.connector_entity_units(given(ENTITY | {"services": ["teletransmission"]})) == [
        f"tdt-connector@{NAME}.service"
    ]
    assert role.connector_entity_units(given(ENTITY)) == [
        f"tdt-connector-versement@{NAME}.path",
        f"tdt-connector-versement@{NAME}.timer",
        f"tdt-connector-passerelle@{NAME}.timer",
        f"tdt-connector@{NAME}.service",
    ]
    assert role.connector_entity_journals(given(ENTITY)) == [
        f"/var/lib/tdt-connector/entites/{NAME}/etat/journal.sqlite"
    ]


def test_what_a_connector_proves_follows_the_services() -> None:
    commune = {"services": ["teletransmission"], "entites": [ENTITY]}
    assert wiring.required_proofs({"services": ["teletransmission"]}) == ["connexion", "rgs", "classification", "acte"]
    assert wiring.required_proofs(commune)[4:] == [
        f"{NAME}.{key}" for key in ("connexion", "rgs", "classification", "acte", "archivage", "passerelle")
    ]
