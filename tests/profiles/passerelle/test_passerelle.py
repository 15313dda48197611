"""The passerelle on its host: an act goes through real servers, who sees what, what is lost when machines stop."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator

import pytest
from testinfra.host import Host

from testbed.passerelle import Passerelle
from tests.profiles.services import exposure, listens_on, there_and_closed, waits_on_the_disk

pytestmark = pytest.mark.exterieur  # asked as people do, from another machine

# Megabytes: worker, web, PostgreSQL, nginx, shared pages counted once.
MEMORY = 250


def number() -> str:
    """A number that no other act has."""
    return f"ESSAI_{time.time_ns() // 10_000_000 % 10**9}"


# -- the host -----------------------------------------------------------------------------------------------


def test_what_runs(host: Host) -> None:
    for unit in (
        "postgresql@17-main",
        "postgresql-bases",
        "passerelle-base",
        "passerelle",
        "passerelle-web",
        "nginx",
    ):
        assert host.check_output(f"systemctl is-active {unit}.service") == "active", unit
        if "@" not in unit:
            assert host.check_output(f"systemctl is-enabled {unit}.service") == "enabled", unit


def test_only_ssh_and_https_listen(host: Host) -> None:
    listens_on(host, 22, 443)


@pytest.mark.parametrize("unit", ["passerelle", "passerelle-web", "passerelle-base", "postgresql-bases"])
def test_services_are_sandboxed(host: Host, unit: str) -> None:
    assert exposure(host, f"{unit}.service") < 2.0


def test_forms_wait_on_the_disk(host: Host) -> None:
    """Answers to letters, of 150 MB each: in memory, those of one agent would end the pages of all communes."""
    waits_on_the_disk(host, "passerelle-web.service")


def test_secrets_are_closed_to_other_accounts(host: Host) -> None:
    for path in ("/etc/passerelle/ged", "/var/lib/passerelle/fichiers"):
        assert there_and_closed(host, path), path
    with host.sudo("www-data"):
        assert host.run("psql -h /run/postgresql -U passerelle passerelle -c 'SELECT 1'").failed


# -- an act through real servers ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def act(passerelle: Passerelle) -> Iterator[str]:
    """An act that went through the connector, the TdT and the document store; its reference."""
    reference = passerelle.deposit(number(), "Tarifs de la cantine : été")
    passerelle.wait(reference, "versement ")
    yield reference


@pytest.mark.leaves_traces
def test_an_act_comes_back_acknowledged_and_is_filed_once(passerelle: Passerelle, act: str) -> None:
    track = passerelle.track(act)
    number = act.rpartition(":")[2]
    assert track["tdt"]["id_acte"] == f"059-215902669-{time.strftime('%Y%m%d')}-{number}-DE"
    kept = passerelle.run(f"sha256sum /var/lib/passerelle/fichiers/{track['tdt']['ar_acte']}")
    assert kept.split()[0] == track["tdt"]["ar_acte"]
    folder = f"/var/lib/tdt-connector/acquittes/{track['tdt']['id_acte']}"
    there = passerelle.on_connector(f"sha256sum {folder}/ARActe.xml {folder}/{number}-*.pdf").split()
    assert there[0] == track["tdt"]["ar_acte"]
    original = passerelle.fact(act, "donnees->'document'->>'sha256'").strip()
    assert there[2] == original
    filed = passerelle.filed(act)
    assert [one["label"] for one in filed] == [f"{number} - Tarifs de la cantine : été", f"{number} - ARActe"]
    assert [one["document_type"]["label"] for one in filed] == ["Gondecourt - Délibération [215902669]"] * 2
    for one, digest in zip(filed, (original, track["tdt"]["ar_acte"]), strict=True):
        [file] = passerelle.store.listed("claire.dubois", f"/documents/{one['id']}/files/")
        path = f"/documents/{one['id']}/files/{file['id']}/download/"
        content = passerelle.store.api("claire.dubois", "GET", path).data
        assert hashlib.sha256(content).hexdigest() == digest
        held = {
            item["metadata_type"]["name"]: item["value"]
            for item in passerelle.store.listed("claire.dubois", f"/documents/{one['id']}/metadata/")
        }
        assert held == {"numero": number, "date_acte": time.strftime("%Y-%m-%d"), "objet": "Tarifs de la cantine : été"}
    [cabinet] = [
        one["id"]
        for one in passerelle.store.listed("claire.dubois", "/cabinets/")
        if one["full_path"] == "Gondecourt [215902669] / Assemblées / Délibérations"
    ]
    inside = {one["id"] for one in passerelle.store.listed("claire.dubois", f"/cabinets/{cabinet}/documents/")}
    assert {one["id"] for one in filed} <= inside
    assert passerelle.store.listed("nadia.moreau", "/documents/") == [] or not {
        one["id"] for one in passerelle.store.listed("nadia.moreau", "/documents/")
    } & {one["id"] for one in filed}


@pytest.mark.leaves_traces
def test_the_page_shows_it_to_whom_it_concerns(passerelle: Passerelle, act: str) -> None:
    page = passerelle.ask("poste", "/")
    assert page.status == 200
    text = page.data.decode()
    assert act in text
    assert passerelle.track(act)["tdt"]["id_acte"] in text
    assert "attend le versement" in text
    assert act in passerelle.ask("groupement", "/").data.decode()
    other = passerelle.ask("autre-poste", "/")
    assert other.status == 200
    assert act not in other.data.decode()


def test_a_visitor_without_certificate_or_of_no_commune_sees_nothing(passerelle: Passerelle) -> None:
    assert passerelle.ask("", "/").status == 400
    assert passerelle.ask("inconnue", "/").status == 403


def test_a_pc_is_no_connector(passerelle: Passerelle) -> None:
    assert passerelle.ask("poste", "/connecteur/a-transmettre").status == 403
    body = json.dumps({"reference": "x", "etat": "acquittee"}).encode()
    assert passerelle.ask("groupement", "/connecteur/suivi", "POST", body=body).status == 403
    assert json.loads(passerelle.ask("autre-connecteur", "/connecteur/a-transmettre").data) == {"results": []}


def test_the_certificates_of_one_siren_keep_no_other_waiting(passerelle: Passerelle) -> None:
    """Ten requests at once that nginx goes on reading: five are the most that one SIREN has there."""
    head = f"POST /connecteur/suivi HTTP/1.1\r\nHost: {passerelle.name}\r\nContent-Length: 5000000\r\n\r\n"
    with contextlib.ExitStack() as opened:
        holders = ["autre-connecteur", "autre-poste"] * 5
        slow = [opened.enter_context(passerelle.connection(one)) for one in holders]
        for one in slow:
            one.settimeout(3)
            one.sendall(head.encode() + b"x" * 1000)
        told = []
        for one in slow:
            with contextlib.suppress(TimeoutError):
                told.append(one.recv(12))
        assert told == [b"HTTP/1.1 503"] * 5
        assert passerelle.ask("poste", "/").status == 200
    assert passerelle.ask("autre-connecteur", "/connecteur/a-transmettre").status == 200


@pytest.mark.leaves_traces
def test_memory_holds_on_a_small_machine(passerelle: Passerelle, act: str) -> None:
    """PSS once an act was handled."""
    script = (
        "for pid in $(ps -o pid= -u passerelle,postgres,www-data); do "
        "awk '/^Pss:/ {print $2}' /proc/$pid/smaps_rollup || true; done"
    )
    used = [int(line) for line in passerelle.run(f"sh -c {json.dumps(script)}".replace("$", "\\$")).splitlines()]
    assert len(used) > 5
    assert sum(used) / 1024 < MEMORY


# -- faults -------------------------------------------------------------------------------------------------


@pytest.mark.leaves_traces
def test_commands_never_leave_a_file_of_root(passerelle: Passerelle) -> None:
    passerelle.run("passerelle lister >/dev/null")
    assert passerelle.run("find /var/lib/passerelle -user root") == ""
