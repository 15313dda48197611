"""A clerk's PC as its browsers see it: stores, policies, token, and the TdT at the end of the line."""

from __future__ import annotations

import json
import re
import shlex
import struct
import subprocess
from base64 import b64decode
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from testinfra.host import Host

CHROMIUM = "sql:.pki/nssdb"
FIREFOX = "sql:.config/mozilla/firefox/creatic"
PROOF = "/usr/lib/creatic/preuve-navigateur"
VISIT = Path(__file__).with_name("firefox_visit.py")


@pytest.fixture
def account(hostvars: dict[str, Any]) -> str:
    return str(hostvars["creatic_poste"]["compte"])


@pytest.fixture
def certificate(hostvars: dict[str, Any]) -> dict[str, str]:
    """The PC's first certificate which authenticates, as the commune's file describes it."""
    found: list[dict[str, str]] = hostvars["creatic_poste"]["certificats"]
    return next(one for one in found if one["usage"] == "authentification")


def as_clerk(host: Host, account: str, command: str) -> str:
    """Run a command from the clerk's home with the clerk's rights, and the umask of a session."""
    line = f"cd && umask 077 && {command}"
    done = host.run(f"sudo -u {account} -H sh -c {shlex.quote(line)}")
    assert done.rc == 0, done.stdout + done.stderr
    return done.stdout


def with_input(
    hostvars: dict[str, Any], creatic_home: Path, command: str, text: str
) -> subprocess.CompletedProcess[str]:
    """Run a command on the PC with a text as its standard input: a secret must be in no command line and no log."""
    return subprocess.run(
        [
            "ssh",
            *("-i", str(creatic_home / "ssh" / "id_ed25519")),
            *("-o", f"UserKnownHostsFile={creatic_home}/ssh/known_hosts", "-o", "StrictHostKeyChecking=yes"),
            f"{hostvars.get('ansible_user', 'creatic')}@{hostvars['ansible_host']}",
            command,
        ],
        input=text,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def prove(host: Host, account: str, url: str, siren: str) -> dict[str, Any]:
    """Run the installed proof with another configuration; it is a zip which Python can import."""
    configuration = {
        "url": url,
        "siren": siren,
        "certificats": json.loads(host.file("/etc/creatic/preuve-navigateur.json").content_string)["certificats"],
    }
    script = (
        f"import json, sys; sys.path.insert(0, {PROOF!r}); from preuve_navigateur import cli; "
        f"print(json.dumps(cli.prove(json.loads({json.dumps(configuration)!r}), False)))"
    )
    proof: dict[str, Any] = json.loads(as_clerk(host, account, f"python3 -c {shlex.quote(script)}"))
    return {one["cle"]: one for one in proof["preuves"]} | {"fichiers": proof["fichiers"]}


@pytest.mark.parametrize("store", [CHROMIUM, FIREFOX])
def test_both_browsers_trust_the_root_and_know_the_issuing_authority(host: Host, account: str, store: str) -> None:
    listing = as_clerk(host, account, f"certutil -L -d {store}")
    flags = dict(re.findall(r"^(AC \S+) .*\S +(\S*,\S*,\S*) *$", listing, re.M))
    assert flags["AC racine"] == "C,,"
    assert ",," in flags.values()


def test_the_certificate_is_there_with_its_key(host: Host, account: str, certificate: dict[str, str]) -> None:
    if certificate["source"] == "jeton":
        listing = as_clerk(host, account, f"certutil -L -d {CHROMIUM} -h {certificate['jeton']} </dev/null")
        assert re.search(rf"^{certificate['jeton']}:\S+ +u,u,u *$", listing, re.M)
        return
    for store in (CHROMIUM, FIREFOX):
        keys = as_clerk(host, account, f"certutil -K -d {store}")
        assert re.search(rf" {re.escape(certificate['titulaire'])}$", keys, re.M)


def test_the_token_is_declared_and_its_key_never_leaves(host: Host, account: str, certificate: dict[str, str]) -> None:
    if certificate["source"] != "jeton":
        pytest.skip("this PC has no token")
    modules = as_clerk(host, account, f"modutil -list -dbdir {CHROMIUM}")
    assert certificate["bibliotheque"] in modules
    assert f"token: {certificate['jeton']}" in modules
    script = (
        "import pkcs11; from pkcs11 import Attribute as A, ObjectClass as C\n"
        f"token = pkcs11.lib({certificate['bibliotheque']!r}).get_token(token_label={certificate['jeton']!r})\n"
        "keys = list(token.open().get_objects({A.CLASS: C.PRIVATE_KEY}))\n"
        "print([(key[A.SENSITIVE], key[A.EXTRACTABLE], key[A.LOCAL]) for key in keys])"
    )
    assert as_clerk(host, account, f"python3 -c {shlex.quote(script)}").strip() == "[(True, False, True)]"


def test_the_system_store_trusts_the_tdt(host: Host, hostvars: dict[str, Any]) -> None:
    name = urlsplit(hostvars["creatic_tdt_url"]).hostname
    host.run_expect(
        [0],
        f"openssl s_client -connect {name}:443 -servername {name} -verify_hostname {name} "
        "-verify_return_error -CApath /etc/ssl/certs </dev/null",
    )


def test_the_stores_are_the_clerk_s_alone(host: Host, account: str) -> None:
    home = host.user(account).home
    with host.sudo():
        for store in (".pki/nssdb", ".config/mozilla/firefox/creatic"):
            assert host.file(f"{home}/{store}").user == account
            assert host.file(f"{home}/{store}/key4.db").mode == 0o600


@pytest.mark.leaves_traces
def test_chromium_reaches_the_tdt_without_a_question(host: Host, account: str, hostvars: dict[str, Any]) -> None:
    proof = json.loads(as_clerk(host, account, PROOF))
    verdicts = {one["cle"]: (one["verdict"], one["detail"]) for one in proof["preuves"]}
    assert verdicts["navigateur"][0] == "ok", verdicts
    assert hostvars["creatic_commune"]["siren"] in verdicts["navigateur"][1]
    assert verdicts["certificat"][0] == "ok", verdicts
    with host.sudo():
        picture = b64decode(host.check_output(f"base64 -w0 {proof['fichiers'][0]}"))
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", picture[16:24]) == (1280, 800)


@pytest.mark.leaves_traces
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://127.0.0.1:4", "connexion refusée"),
        ("https://{name}:4", "vérifier le réseau"),  # the PC's own firewall lets out to the TdT's port alone
        ("https://{address}", "pas de site à ce nom"),
        ("https://absent.{name}", "vérifier le DNS"),
    ],
)
def test_chromium_says_in_french_why_it_cannot(
    host: Host, account: str, hostvars: dict[str, Any], url: str, words: str
) -> None:
    name = str(urlsplit(hostvars["creatic_tdt_url"]).hostname)
    address = host.check_output(f"getent ahostsv4 {name} | awk 'NR==1 {{print $1}}'")
    proof = prove(host, account, url.format(name=name, address=address), hostvars["creatic_commune"]["siren"])
    assert proof["navigateur"]["verdict"] == "echec"
    assert words in proof["navigateur"]["detail"]


@pytest.mark.leaves_traces
def test_another_commune_s_siren_is_not_proven(host: Host, account: str, hostvars: dict[str, Any]) -> None:
    proof = prove(host, account, hostvars["creatic_tdt_url"], "123456789")
    assert proof["navigateur"]["verdict"] == "echec"
    assert "ne montre pas le SIREN 123456789" in proof["navigateur"]["detail"]


@pytest.mark.leaves_traces
def test_firefox_reaches_the_tdt_and_asks_nothing_but_a_token_s_pin(
    host: Host, account: str, certificate: dict[str, str], hostvars: dict[str, Any], creatic_home: Path
) -> None:
    token = certificate["source"] == "jeton"
    pin = (creatic_home / "secrets" / certificate["secret"]).read_text(encoding="ascii").strip() if token else ""
    wanted = repr(json.dumps({"url": hostvars["creatic_tdt_url"], "pin": pin}))
    script = VISIT.read_text(encoding="utf-8").replace('WANTED = "{}"', f"WANTED = {wanted}")
    command = f"sudo -u {account} -H sh -c 'cd && umask 077 && timeout 600 python3 -'"
    done = with_input(hostvars, creatic_home, command, script)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert hostvars["creatic_commune"]["siren"] in seen["text"]
    assert certificate["titulaire"] in seen["text"]
    assert seen["seen"]["locked"] == "Select Automatically"
    if token:
        assert len(seen["seen"]["questions"]) == 1
        assert certificate["jeton"] in seen["seen"]["questions"][0]
    else:
        assert seen["seen"]["questions"] == []


def test_the_watch_sees_the_certificate_wherever_it_lives(host: Host, certificate: dict[str, str]) -> None:
    table = host.check_output("creatic-certificats")
    assert re.search(rf"{re.escape(certificate['titulaire'])} .* valide$", table, re.M), table


def test_no_password_and_no_pin_stays_on_the_pc(
    hostvars: dict[str, Any], certificate: dict[str, str], creatic_home: Path
) -> None:
    if "secret" not in certificate:
        pytest.skip("this PC's certificate needs no secret")
    secret = (creatic_home / "secrets" / certificate["secret"]).read_text(encoding="ascii").strip()
    # The journal's files are under /var/log, uncompressed for entries this short.
    places = "/etc /home /opt /root /srv /tmp /var/lib/creatic /var/log /var/tmp"
    found = with_input(hostvars, creatic_home, f"sudo grep -rlaF -f - {places}", secret)
    assert (found.returncode, found.stdout) == (1, ""), found.stderr
