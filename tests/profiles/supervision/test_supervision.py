"""The supervision: every deployed machine answers it, alerts become mails, silences have an author and an end."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Iterator, Mapping
from email.message import EmailMessage
from functools import partial
from typing import Any
from urllib.parse import urlencode

import pytest
from testinfra.host import Host

from testbed.mail import relay
from testbed.patience import wait_for
from tests.profiles.services import as_root, exposure, listening, properties

UNITS = ("prometheus", "prometheus-alertmanager", "prometheus-blackbox-exporter", "journaux")
FAULT = "essai-de-supervision.service"


def asked(host: Host, query: str) -> list[dict[str, Any]]:
    """What Prometheus finds."""
    found: list[dict[str, Any]] = page(host, f"/api/v1/query?{urlencode({'query': query})}")["result"]
    return found


def page(host: Host, path: str) -> Any:
    """What Prometheus answers to root, on its own machine."""
    read = (
        f"import urllib.request as r; print(r.urlopen({'http://127.0.0.1:9090' + path!r}, timeout=30).read().decode())"
    )
    return json.loads(as_root(host, f"python3 -I -c {shlex.quote(read)}"))["data"]


def test_what_runs_is_shut_in(host: Host) -> None:
    for unit in UNITS:
        assert host.check_output(f"systemctl is-active {unit}.service") == "active", unit
        assert exposure(host, f"{unit}.service") < 3.0, unit
    for unit in ("supervision-temoin", "journaux-sceller"):
        assert exposure(host, f"{unit}.service") < 3.0, unit
    found = listening(host)
    assert {port for port, line in found.items() if not line.split()[4].startswith("127.")} == {22, 443, 6514}, found
    assert {9090, 9093, 9115} <= found.keys()


def shown(host: Host, name: str, certificate: str = "", path: str = "/") -> tuple[int, str]:
    """What nginx answers on the machine itself, to who shows a certificate of its, or none."""
    loaded = f"c.load_cert_chain('{certificate}/fullchain.pem', '{certificate}/key.pem'); " if certificate else ""
    read = (
        "import http.client as h, socket, ssl; c = ssl.create_default_context(cafile='/etc/creatic/pki/ca.pem'); "
        f"{loaded}s = c.wrap_socket(socket.create_connection(('127.0.0.1', 443), 10), server_hostname='{name}'); "
        f"k = h.HTTPConnection('{name}'); k.sock = s; k.request('GET', '{path}'); a = k.getresponse(); "
        "print(a.status, a.read().decode())"
    )
    status, _, text = as_root(host, f"python3 -I -c {shlex.quote(read)}").partition(" ")
    return int(status), text


def test_its_pages_are_for_people_of_the_groupement(host: Host, hostvars: Mapping[str, Any]) -> None:
    name = hostvars["creatic_names"][0]
    status, text = shown(host, name)
    assert status == 400 and "Aucun certificat" in text
    status, text = shown(host, name, "/etc/creatic/pki/supervision/current")
    assert status == 403 and "réservée aux personnes du groupement" in text
    with host.sudo("nobody"):
        assert host.run("ls /var/lib/supervision/matin").failed
    status, text = shown(host, name, "/etc/creatic/pki/supervision/current", "/guides/exploitation.html")
    assert status == 200 and "Salle blanche" in text
    assert shown(host, name, path="/guides/")[0] == 400


def test_its_history_is_bounded(host: Host) -> None:
    told = page(host, "/api/v1/status/flags")
    assert told["storage.tsdb.retention.time"] not in ("", "0s") and told["storage.tsdb.retention.size"] not in (
        "",
        "0B",
    )


def test_no_other_account_asks_it(host: Host) -> None:
    with host.sudo("nobody"):
        for port in (9090, 9093, 9115):
            assert host.run(
                f"python3 -I -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}), 5)'"
            ).failed


def test_every_machine_that_was_deployed_answers(host: Host, whole_inventory: Mapping[str, Any]) -> None:
    hostvars = whole_inventory["_meta"]["hostvars"]
    wait_for(lambda: bool(asked(host, 'up{job="machines"} == 1')), "une première réponse", 180, every=5)
    known = {one["metric"]["machine"] for one in asked(host, 'up{job="machines"}')}
    assert known == {
        name
        for name, one in hostvars.items()
        if one.get("creatic_certificats", True)
        and "creatic_profil" in one
        and one["creatic_profil"] not in ("exercice", "hardening", "hardening_kernel", "encrypted_raid")
        and one.get("creatic_poste", {}).get("systeme", "debian") == "debian"
        and name not in ("poste",)
    }
    assert {one["metric"]["machine"] for one in asked(host, 'up{job="machines", profil="supervision"} == 1')}


def test_every_server_that_shows_pages_is_seen_from_outside(host: Host, whole_inventory: Mapping[str, Any]) -> None:
    watched = {one["metric"]["machine"] for one in asked(host, 'up{job="machines"} == 1')}
    wanted = {name for name, one in whole_inventory["_meta"]["hostvars"].items() if one.get("base_pages")} & watched

    def answering() -> set[str]:
        return {one["metric"]["machine"] for one in asked(host, 'probe_success{job="pages"} == 1')}

    wait_for(lambda: answering() >= wanted, lambda: f"les pages de {wanted - answering()}", 300, every=5)
    left = asked(host, 'probe_ssl_earliest_cert_expiry{job="pages"} - time()')
    assert all(float(one["value"][1]) > 14 * 86400 for one in left)


@pytest.mark.leaves_traces
def test_a_server_that_shows_nothing_more_is_seen(host: Host, hostvars: Mapping[str, Any]) -> None:
    """This very machine, whose nginx is away for a minute."""
    page = f'probe_success{{job="pages", instance="https://{hostvars["creatic_names"][0]}"}}'

    def told(value: int) -> bool:
        return bool(asked(host, f"{page} == {value}"))

    for verb, value in (("stop", 0), ("start", 1)):
        as_root(host, f"systemctl {verb} nginx.service")
        wait_for(partial(told, value), f"{page} à {value}", 300, every=5)


def test_its_rules_are_evaluated(host: Host) -> None:
    groups = page(host, "/api/v1/rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > 60
    assert [rule["name"] for rule in rules if rule["health"] == "err"] == []


def text(mail: EmailMessage) -> str:
    """What a person reads of it."""
    body = mail.get_body(("plain",))
    assert body
    return str(body.get_content())


@pytest.fixture
def mails(hostvars: Mapping[str, Any]) -> Iterator[list[EmailMessage]]:
    if hostvars["creatic_env"] != "lab":
        pytest.skip("le relais de l'essai est celui du banc d'essai")
    with relay(hostvars["supervision_mail_relay"], int(hostvars["supervision_mail_port"])) as (_a, _p, received):
        yield received


@pytest.mark.leaves_traces
def test_a_unit_that_failed_is_a_mail(host: Host, mails: list[EmailMessage]) -> None:
    """From the real cause to the mail; a fault lasts five minutes before it is told."""

    def told(word: str) -> bool:
        return any(word in text(one) and FAULT in text(one) for one in mails)

    as_root(host, f"systemd-run --quiet --unit={FAULT} --property=Type=oneshot false; true")
    as_root(host, "systemctl start creatic-machine.service")  # five minutes sooner than its timer
    try:
        wait_for(lambda: told("À TRAITER"), "le courriel de la panne", 900, every=5)
        [mail] = [one for one in mails if FAULT in text(one)][:1]
        assert mail["Subject"].startswith("[lab] Groupement : "), mail["Subject"]
        assert "veille (supervision)" in text(mail) and f"journalctl -u {FAULT}" in text(mail)
    finally:
        as_root(host, f"systemctl reset-failed {FAULT}; systemctl start creatic-machine.service")


@pytest.mark.leaves_traces
def test_the_daily_mail_is_dated(host: Host, mails: list[EmailMessage]) -> None:
    if "timestamp_seconds 0" not in host.file("/var/lib/creatic/metrics/supervision.prom").content_string:
        return  # it left before
    wait_for(lambda: any("veille" in str(one["Subject"]) for one in mails), "le courriel témoin", 900, every=5)
    as_root(host, "systemctl start supervision-temoin.service")
    assert properties(host, "supervision-temoin.service", "Result") == {"Result": "success"}
    told = host.file("/var/lib/creatic/metrics/supervision.prom").content_string
    (stamp,) = re.findall(r"^supervision_temoin_timestamp_seconds (\S+)$", told, re.MULTILINE)
    assert time.time() - float(stamp) < 1200
