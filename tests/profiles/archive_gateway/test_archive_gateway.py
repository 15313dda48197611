"""The archive's door on a real room: what comes in, what is refused, what comes back, what proves it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import Request
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from sae.versement import seda
from signature_actes import pades
from testinfra.host import Host

from apps.sae.tests.proof.public_tools import BAGIT, OCFL, install, run
from creatic.pki.authority import Authority
from creatic.pki.registry import Owner
from testbed import sae as sips
from testbed.archive_gateway import AGENCY, ARCHIVES, SIGNATORY, SIRENS, Gateway
from testbed.certificates import issued
from testbed.patience import wait_for
from tests.profiles.archive_gateway.conftest import TOP, own_files
from tests.profiles.archive_node.conftest import Node
from tests.profiles.parapheur.conftest import software
from tests.profiles.services import exposure

Sip = Callable[..., bytes]
pytestmark = pytest.mark.exterieur  # the nodes, and who deposits


# -- the host -----------------------------------------------------------------------------------------------


def test_what_runs(host: Host) -> None:
    for unit in (
        "clamav-daemon.service",
        "sae-versement.service",
        "nginx.service",
        "sae-entretien.timer",
        "sae-sceller.timer",
        "sae-fixite.timer",
        "sae-conversion.socket",
    ):
        assert host.check_output(f"systemctl is-active {unit}") == "active"
    with host.sudo():
        assert "Antivirus : ClamAV" in host.check_output("sae-versement statut")


@pytest.mark.parametrize("unit", ["sae-versement", "sae-entretien", "sae-sceller", "sae-fixite"])
def test_services_are_sandboxed(host: Host, unit: str) -> None:
    assert exposure(host, f"{unit}.service") < 2.0


def test_the_door_cannot_seal(host: Host) -> None:
    """Its account reads the storage's keys, not those of timestamps and certificates."""
    for path, allowed in (
        ("/etc/sae/cles.json", True),
        ("/etc/creatic/pki/stockage/current/key.pem", True),
        ("/etc/creatic/pki/horodatage/current/key.pem", False),
        ("/etc/creatic/pki/attestation/current/key.pem", False),
    ):
        with host.sudo("sae"):
            assert host.run(f"cat {path}").succeeded is allowed, path
        with host.sudo("nobody"):
            assert host.run(f"cat {path}").failed, path
    with host.sudo():
        pid = host.check_output("systemctl show -p MainPID --value sae-versement.service")
        groups = host.check_output(f"grep ^Groups: /proc/{pid}/status").split()[1:]
        assert host.check_output("getent group sae-sceau").split(":")[2] not in groups


# -- in, and back -------------------------------------------------------------------------------------------


@pytest.mark.leaves_traces
def test_a_sip_in_and_its_archive_back(gateway: Gateway, sip: Sip, message: str, tmp_path: Path) -> None:
    package = sip()
    reply = gateway.deposit(package)
    assert (reply.status, reply.code) == (200, "OK"), reply.data.decode()
    assert gateway.deposit(package).data == reply.data  # sent again: the same answer, nothing twice
    assert gateway.ask(f"/v1/versements/{message}").data == reply.data
    head = gateway.python(f"result = store.head('gondecourt', 'aip', '{reply.aip}.tar')")
    assert int(head["retain-until"]) > time.time() + 9 * 365 * 86400
    for name, content in own_files(message).items():
        assert gateway.ask(f"/v1/archives/{reply.aip}/{name}").data == content
    whole = gateway.ask(f"/v1/archives/{reply.aip}.tar")
    assert hashlib.sha512(whole.data).hexdigest() == head["sha512"] == whole.headers["X-Content-SHA512"]
    with tarfile.open(fileobj=io.BytesIO(whole.data)) as archive:
        archive.extractall(tmp_path, filter="data")
    told = (tmp_path / reply.aip / "v1" / "content" / "premis.xml").read_text()
    assert "fmt/18" in told and "aucun virus, ClamAV" in told
    assert json.loads((tmp_path / reply.aip / "inventory.json").read_text())["digestAlgorithm"] == "sha512"


@pytest.mark.leaves_traces
def test_what_is_in_stays_in(gateway: Gateway, sip: Sip) -> None:
    """Nobody takes an archive out of Swift, or writes over it, with the gateway's own keys."""
    name = f"{gateway.deposit(sip()).aip}.tar"
    tried = gateway.python(
        f"""
import io
from sae.store import ObjectExistsError, ObjectRetainedError
result = []
try:
    store.delete('gondecourt', 'aip', {name!r})
except ObjectRetainedError as error:
    result.append(str(error))
try:
    store.put('gondecourt', 'aip', {name!r}, io.BytesIO(b'x'), size=1, sha512='0' * 128, retain_until=2**32,
              metadata={{'sort-final': 'Destroy'}})
except ObjectExistsError as error:
    result.append(str(error))
"""
    )
    assert len(tried) == 2
    assert name in gateway.stored("gondecourt")


ACCEPTED = """
from sae.journal import Journal
events = Journal(loaded.journal).events()
result = {f'{one.aip}.tar': one.detail['identifiant'] for one in events if one.event == 'versement.accepte'}
"""


def _left(gateway: Gateway, before: set[str], message: str) -> set[str]:
    """What came to the store of these messages; all else is the connector's, which deposits when it has something."""
    more: dict[str, str] = {}

    def journaled() -> bool:
        stored, accepted = gateway.stored("gondecourt") - before, gateway.python(ACCEPTED)
        more.update({name: accepted.get(name, "") for name in stored})
        return all(more.values())

    wait_for(journaled, lambda: f"que soit au journal ce qui est au stockage, {more}", every=1)
    return {name for name, identifier in more.items() if identifier.startswith(message)}


@pytest.mark.leaves_traces
def test_a_virus_is_refused_by_the_scanner_that_runs(gateway: Gateway, message: str) -> None:
    """What else makes a SIP bad is asked of the door's code, file by file: apps/sae/tests/gateway."""
    before = gateway.stored("gondecourt")
    files = own_files(message) | {"content/eicar.txt": sips.EICAR}
    described = sips.manifest(files, message=message, agency=AGENCY)
    reply = gateway.deposit(sips.tar({"manifest.xml": described, **files}))
    assert (reply.status, reply.code) == (422, "KO")
    assert "VIRUS" in reply.codes and "Eicar-Test-Signature" in reply.comment, reply.comment
    assert _left(gateway, before, message) == set()
    wait_for(lambda: gateway.run("ls -A /var/lib/sae/versements") == "", "la fin des versements en cours")


@pytest.mark.leaves_traces
def test_no_scanner_no_versement(gateway: Gateway, sip: Sip) -> None:
    gateway.run("systemctl stop clamav-daemon.socket clamav-daemon.service")
    try:
        reply = gateway.deposit(sip())
    finally:
        gateway.run("systemctl start clamav-daemon.socket clamav-daemon.service")
    assert (reply.status, reply.code) == (503, "KO") and "ANTIVIRUS" in reply.codes


# -- who may ------------------------------------------------------------------------------------------------


@pytest.mark.leaves_traces
def test_accounts_do_not_see_each_other(gateway: Gateway, sip: Sip, message: str) -> None:
    aip = gateway.deposit(sip()).aip
    for path in (
        f"/v1/archives/{aip}",
        f"/v1/archives/{aip}.tar",
        f"/v1/archives/{aip}/content/acte.pdf",
        f"/v1/versements/{message}",
    ):
        assert gateway.ask(path).status == 200
        assert gateway.ask(path, "la-madeleine").status == 404
    assert aip not in gateway.ask("/v1/archives", "la-madeleine").data.decode()
    stolen = gateway.deposit(
        sip("gondecourt", files={"content/b.pdf": sips.PDF}, message=f"{message}-2"), "la-madeleine"
    )
    assert stolen.code == "KO" and "COMPTE" in stolen.codes


def test_no_account_no_door(gateway: Gateway) -> None:
    assert gateway.ask("/v1/archives", "").status == 400
    assert gateway.ask("/v1/archives", "inconnue").status == 403
    forged = (gateway.certificate("gondecourt") / "cert.pem").read_text().replace("\n", "%0A")
    assert gateway.ask("/v1/archives", "inconnue", X_SSL_Client_Cert=forged).status == 403


# -- faults -------------------------------------------------------------------------------------------------


@pytest.mark.leaves_traces
def test_the_door_killed_during_a_versement(gateway: Gateway, sip: Sip, message: str) -> None:
    before = gateway.stored("gondecourt")
    package = sip(files=own_files(message) | {"content/plan.pdf": sips.PDF + b"%" * 5_000_000})
    answers: list[int] = []

    def send() -> None:
        answers.append(gateway.deposit(package).status)

    sender = threading.Thread(target=send)
    sender.start()
    gateway.run(
        "for i in $(seq 200); do ls /var/lib/sae/versements/*/sip >/dev/null 2>&1 && break; sleep 0.02; done; "
        "systemctl kill --signal=KILL sae-versement.service"
    )
    sender.join()
    assert answers == [502]  # nginx's page: try again later
    gateway.run("systemctl restart sae-versement.service")
    replies = [gateway.deposit(package) for _ in range(2)]
    assert [reply.code for reply in replies] == ["OK", "OK"]
    assert _left(gateway, before, message) == {f"{replies[0].aip}.tar"}


# -- proofs -------------------------------------------------------------------------------------------------


def _exported(gateway: Gateway, folder: Path, what: str) -> Path:
    """A folder of the gateway, here."""
    packed = subprocess.run([*gateway.ssh, f"sudo tar -C {what} -c ."], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def _verify(gateway: Gateway, folder: Path, *anchor: str) -> tuple[int, dict[str, Any]]:
    """`sae-journal verify` from outside: this machine, Python and openssl."""
    done = subprocess.run(
        [sys.executable, "-m", "sae.journal", "verify", str(folder), "--racine", str(gateway.root), "--json", *anchor],
        cwd=TOP / "apps" / "sae" / "src",
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout)


def _rewrite(gateway: Gateway, seq: int, line: str = "") -> str:
    """Change an event in the gateway's own journal, past its triggers; gives the line that was there."""
    old: str = gateway.python(
        """
import sqlite3
seq, line = json.loads(sys.stdin.read())
db = sqlite3.connect(loaded.journal)
db.execute('DROP TRIGGER IF EXISTS jamais_change')
result = db.execute('SELECT ligne FROM evenement WHERE seq = ?', (seq,)).fetchone()[0]
line = line or result.replace('"octets":', '"octets":1')
db.execute('UPDATE evenement SET ligne = ? WHERE seq = ?', (line, seq))
db.commit()
""",
        json.dumps([seq, line]).encode(),
    )
    return old


@pytest.mark.leaves_traces
def test_the_journal_is_proved_from_outside(gateway: Gateway, sip: Sip, tmp_path: Path) -> None:
    assert gateway.deposit(sip()).code == "OK"
    last = gateway.python(
        "from sae.journal import Journal\nresult = [one.seq for one in Journal(loaded.journal).events()][-1]"
    )
    export = "rm -rf /var/lib/sae/essai-journal && sae-journal exporter /var/lib/sae/essai-journal"
    gateway.run(f"systemctl start sae-sceller.service && {export}")
    status, report = _verify(gateway, _exported(gateway, tmp_path / "avant", "/var/lib/sae/essai-journal"))
    assert (status, report["defauts"]) == (0, [])
    assert report["sceaux"] >= 1
    assert report["evenements"] - report["non_scelles"] >= last > 0  # other tests' communes deposit meanwhile
    # Copied out of the room, by the operator's command.
    copied = subprocess.run(
        ["ansible-playbook", "-i", "inventories/lab", "playbooks/journeys/archive_seals.yml"],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
    )
    assert copied.returncode == 0, copied.stdout
    anchor = ("--ancre", str(gateway.home / "archive" / "sceaux" / "versement"))
    # Root of the gateway changes an event of the past: the number of an act's bytes. One that the seals hold:
    # what other tests' communes deposited since then is nobody's past yet.
    target = gateway.python(
        "from sae.journal import Journal\n"
        "accepted = [one.seq for one in Journal(loaded.journal).events() if one.event == 'versement.accepte']\n"
        f"result = [seq for seq in accepted if seq <= {last}][-1]"
    )
    line = _rewrite(gateway, target)
    try:
        gateway.run(export)
        folder = _exported(gateway, tmp_path / "apres", "/var/lib/sae/essai-journal")
        status, report = _verify(gateway, folder, *anchor)
    finally:
        _rewrite(gateway, target, line)
    assert status == 1
    assert [fault for fault in report["defauts"] if str(target) in fault["ou"]], report["defauts"]
    gateway.run(export)
    assert _verify(gateway, _exported(gateway, tmp_path / "remis", "/var/lib/sae/essai-journal"), *anchor)[0] == 0


@pytest.mark.leaves_traces
def test_fixity_reads_every_copy(gateway: Gateway, host: Host) -> None:
    told = json.loads(gateway.run("sae-fixite --echantillon 5 --json"))
    assert (told["code"], told["anomalies"], told["relues"]) == (0, [], 5)
    gateway.run("systemctl start sae-fixite.service")
    figures = host.file("/var/lib/creatic/metrics/sae_fixite.prom").content_string
    assert "sae_fixite_resultat 0" in figures and "sae_fixite_anomalies 0" in figures


class Copies:
    """The three copies of an archive, on the nodes' disks."""

    def __init__(self, nodes: list[Node], account: str, name: str) -> None:
        self.nodes = nodes
        told = nodes[0].run(f"swift-get-nodes -a /etc/swift/object.ring.gz AUTH_{account} aip {name}")
        self.partition = re.findall(r"^Partition\s+(\d+)", told, re.MULTILINE)[0]
        self.hash = re.findall(r"^Hash\s+(\w+)", told, re.MULTILINE)[0]
        self.folder = f"/srv/node/d1/objects/{self.partition}/{self.hash[-3:]}/{self.hash}"

    def digest(self, node: Node) -> str:
        """SHA-256 of the copy's file; empty when there is none."""
        return node.run(f"sha256sum {self.folder}/*.data 2>/dev/null", check=False).partition(" ")[0]

    def wait_for(self, digest: str | None = None) -> None:
        """Until every node has it: the answer of a versement comes with two of them; then this very content."""
        found: set[str] = set()

        def whole() -> bool:
            found.clear()
            found.update(self.digest(node) for node in self.nodes)
            return "" not in found and (not digest or found == {digest})

        wait_for(whole, lambda: f"les copies sur chaque nœud, qui a {found}", 90, every=0.5)

    def damage(self, node: Node) -> None:
        """Other bytes in the middle of a copy, of which a good one is kept aside."""
        node.run(
            f"rm -rf /var/tmp/essai-copie && cp -a {self.folder} /var/tmp/essai-copie && "
            f"dd if=/dev/urandom of=$(ls {self.folder}/*.data) bs=64 seek=100 count=1 conv=notrunc status=none"
        )

    def restore(self, node: Node) -> None:
        """What was kept aside, back in its place, as from a backup."""
        node.run(
            f"rm -rf {self.folder} /srv/node/d1/quarantined/objects/{self.hash}* && "
            f"install -d -o swift -g swift $(dirname {self.folder}) && "
            f"cp -a /var/tmp/essai-copie {self.folder} && rm -r /var/tmp/essai-copie && "
            f"creatic-archive recalculer {self.partition} && systemctl start creatic-archive.service"
        )


def _fixity(gateway: Gateway, **plan: float) -> tuple[int, dict[str, Any]]:
    """Exit status and report of `sae-fixite --tout`, with parts of its plan changed."""
    config = json.loads(gateway.run("cat /etc/sae/config.json"))
    config["fixite"] = config.get("fixite", {}) | plan
    out = gateway.run(
        "install -m 640 -g sae /dev/null /run/essai-sae.json; cat > /run/essai-sae.json\n"
        "sae-fixite --config /run/essai-sae.json --tout --json; echo $?; rm /run/essai-sae.json",
        json.dumps(config).encode(),
    )
    text, _, status = out.strip().rpartition("\n")
    return int(status), json.loads(text)


def _told(gateway: Gateway, aip: str) -> list[list[str]]:
    """Event and outcome of what the journal says of an archive's fixity, in order."""
    found: list[list[str]] = gateway.python(
        "from sae.journal import Journal\n"
        f"result = [[one.event, one.outcome] for one in Journal(loaded.journal).events(aip={aip!r})\n"
        "          if one.event.startswith('fixite.')]"
    )
    return found


@pytest.mark.leaves_traces
def test_fixity_sees_a_damaged_copy_and_has_it_repaired(
    gateway: Gateway, nodes: list[Node], host: Host, sip: Sip
) -> None:
    aip = gateway.deposit(sip()).aip
    copies = Copies(nodes, "gondecourt", f"{aip}.tar")
    copies.wait_for()
    good = copies.digest(nodes[1])
    copies.damage(nodes[0])
    assert copies.digest(nodes[0]) != good
    status, report = _fixity(gateway)
    assert (status, report["code"]) == (0, 0)
    assert (report["reparees"], report["anomalies"], report["relues"]) == (1, [], report["connues"])
    assert _told(gateway, aip) == [["fixite.ecart", "anomalie"], ["fixite.reparation", "succes"]]
    figures = host.file("/var/lib/creatic/metrics/sae_fixite.prom").content_string
    assert "sae_fixite_reparees 1" in figures and "sae_fixite_anomalies 0" in figures
    copies.wait_for(good)  # Swift put the good bytes back where the bad ones were
    # What the node set aside is published by it, and journaled by the next reading.
    nodes[0].run("systemctl start creatic-archive.service")
    assert 'creatic_archive_quarantined{etat="repare"} 0' not in nodes[0].run(
        "cat /var/lib/creatic/metrics/archive.prom"
    )
    assert _fixity(gateway)[0] == 0
    assert _told(gateway, aip)[2:] == [["fixite.quarantaine", "anomalie"]]


@pytest.mark.leaves_traces
def test_fixity_hides_nothing_when_every_copy_is_bad(gateway: Gateway, nodes: list[Node], host: Host, sip: Sip) -> None:
    aip = gateway.deposit(sip()).aip
    copies = Copies(nodes, "gondecourt", f"{aip}.tar")
    copies.wait_for()
    for node in nodes:
        copies.damage(node)
    try:
        status, report = _fixity(gateway, attente=3)
        assert (status, report["code"], report["reparees"]) == (1, 1, 0)
        (bad,) = report["anomalies"]
        assert (bad["compte"], bad["objet"]) == ("gondecourt", f"{aip}.tar")
        assert bad["detail"].startswith("aucune bonne copie")
        assert _told(gateway, aip) == [["fixite.ecart", "anomalie"], ["fixite.perte", "echec"]]
        # What stands is said again by each run, by the unit that fails and by the figures that alert.
        assert gateway.run("systemctl start sae-fixite.service", check=False) and gateway.run(
            "systemctl is-failed sae-fixite.service"
        ).split() == ["failed"]
        figures = host.file("/var/lib/creatic/metrics/sae_fixite.prom").content_string
        assert "sae_fixite_anomalies 1" in figures and "sae_fixite_resultat 1" in figures
        assert 'sae_fixite_objets{compte="gondecourt",conteneur="aip",resultat="perdu"} 1' in figures
        assert gateway.ask(f"/v1/archives/{aip}.tar").status != 200  # wrong bytes are never handed out
        # No node of such a room is stopped.
        asked = ["ansible-playbook", "-i", "inventories/lab", "playbooks/journeys/patch_archive.yml", "--check"]
        shown = subprocess.run(asked, cwd=TOP, capture_output=True, text=True, check=False).stdout
        assert "aucun nœud n'est arrêté" in shown
        assert "versement : sa relecture laisse 1 anomalie" in shown, shown
    finally:
        for node in nodes:
            copies.restore(node)
    status, report = _fixity(gateway)
    assert (status, report["anomalies"], report["reparees"]) == (0, [], 1)
    assert _told(gateway, aip)[-1] == ["fixite.retour", "succes"]
    gateway.run("systemctl start sae-fixite.service")


def test_figures_are_published(gateway: Gateway, host: Host) -> None:
    gateway.run("systemctl start sae-entretien.service")
    figures = host.file("/var/lib/creatic/metrics/sae_versement.prom").content_string
    assert 'sae_archives{compte="gondecourt"}' in figures
    assert "sae_antivirus_up 1" in figures


@pytest.mark.leaves_traces
def test_what_is_in_a_format_at_risk_has_its_copy(gateway: Gateway, sip: Sip, message: str) -> None:
    """Ghostscript does it in its sandbox, once; the original is what it was, and a hostile file costs itself alone."""
    aip = gateway.deposit(sip(files={"content/acte.pdf": sips.old_pdf(message)})).aip
    cut = sips.old_pdf(f"{message} coupé")[:300] + b"\n%%EOF\n"
    bad = gateway.deposit(sip(files={"content/acte.pdf": cut}, message=f"{message}-coupe")).aip
    before = gateway.ask(f"/v1/archives/{aip}.tar").data
    ask = f"sae-conversion faire --format fmt/16 --par essai --archive {aip} --archive {bad}"
    told = gateway.run(f"{ask} || true")
    assert "Archives converties : 1 ; déjà : 0 ; non : 1" in told and f"✗ gondecourt {bad} : " in told, told
    [copy] = json.loads(gateway.ask(f"/v1/archives/{aip}").data)["copies"]
    shown = json.loads(gateway.ask(f"/v1/archives/{copy}").data)
    assert shown["copie_de"] == aip and shown["fichiers"][1]["format"] == "fmt/477"
    assert gateway.ask(f"/v1/archives/{aip}.tar").data == before
    assert "déjà : 1" in gateway.run(f"{ask} || true")


@pytest.mark.leaves_traces
def test_an_account_leaves_readable_with_public_tools(gateway: Gateway, sip: Sip, tmp_path: Path, message: str) -> None:
    aip = gateway.deposit(sip()).aip
    work = "/var/lib/sae/essai-export"
    for form, tool in (("ocfl", OCFL), ("bagit", BAGIT)):
        gateway.run(f"rm -rf {work}; sae-export --compte gondecourt --vers {work} --format {form}")
        archives = _exported(gateway, tmp_path / form, work) / "archives"
        program = install(*tool)
        if form == "ocfl":
            status, told = run(program, "validate", "--root", archives, "--validate-objects", "--check-digests")
            assert status == 0 and "INVALID" not in told, told
            found = next(archives.glob(f"*/*/*/urn%3auuid%3a{aip}/v1/content/sip/content/acte.pdf"))
        else:
            status, told = run(program, "--validate", *sorted(archives.iterdir()))
            assert status == 0, told
            found = archives / aip / "data" / "sip" / "content" / "acte.pdf"
        assert found.read_bytes() == own_files(message)["content/acte.pdf"]
    gateway.run(f"rm -rf {work}")


# -- elimination --------------------------------------------------------------------------------------------


def signed_by_commune(home: Path, folder: Path, document: bytes, account: str) -> bytes:
    """As signer-acte does, with a certificate of the lab's provider."""
    key = rsa.generate_private_key(65537, 3072)
    name, organization = f"essai-{time.time_ns()}", "Partenaire d'essai"
    request = Request(name, "signature", SIGNATORY, organization, SIRENS[account], key_type="rsa")
    made = Authority(home / "prestataire").issue(request.csr(key), request, Owner("essai"))
    source, target = folder / "bordereau.pdf", folder / "bordereau-signe.pdf"
    source.write_bytes(document)
    target.unlink(missing_ok=True)
    asyncio.run(pades.sign(source, target, software((x509.load_pem_x509_certificate(made.pem.encode()), key))))
    return target.read_bytes()


class Agents:
    """The two agents, at their desks."""

    def __init__(self, gateway: Gateway, folder: Path) -> None:
        self.gateway, self.folder = gateway, folder

    def sign(self, document: str, name: str) -> bytes:
        """A detached CMS signature."""
        desk = issued(self.gateway.home, name.replace(" ", "-").lower(), "signature", name, "285900015")
        done = subprocess.run(
            ["openssl", "cms", "-sign", "-binary", "-outform", "DER", "-signer", desk / "cert.pem",
             "-inkey", desk / "key.pem", "-certfile", desk / "chain.pem"],
            input=document.encode(), capture_output=True, check=True,
        )  # fmt: skip # one call by its parts
        return done.stdout

    def constituted(self, account: str, aip: str, reference: str, visa: bytes = b"") -> str:
        """The request of an archive: its bordereau signed by who signs for this account, and the visa of that list."""
        place = "/var/lib/sae/essai-bordereau"
        made = self.gateway.run(
            f"rm -rf {place}; install -d -o sae {place}; "
            f"sae-elimination demander --compte {account} --vers {place}/b.pdf {aip}"
        ).split()
        identifier, mark = made[1].rstrip(","), made[3]
        original = base64.b64decode(self.gateway.run(f"base64 -w0 {place}/b.pdf"))
        signed = signed_by_commune(self.gateway.home, self.folder, original, account)
        packed = sips.tar({"s.pdf": signed, "v.pdf": visa or b"%PDF-1.7 visa"})
        words = f"--visa {place}/v.pdf --reference {reference} {'' if visa else f'--liste {mark}'}"
        return self.gateway.run(
            f"tar -x -C {place}; chmod 644 {place}/*; "
            f"sae-elimination constituer {identifier} --bordereau {place}/s.pdf {words}; rm -rf {place}",
            packed,
            check=False,
        )

    def hand_in(self, command: str, document: str, name: str, program: str = "sae-elimination") -> str:
        """Run `PROGRAM COMMAND` with a document that this person signed."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for part, content in (("doc", document.encode()), ("p7s", self.sign(document, name))):
                info = tarfile.TarInfo(part)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        script = (
            "d=/var/lib/sae/essai-elimination; rm -rf $d; install -d -o sae $d; tar -x -C $d; "
            f"chmod 644 $d/*; {program} {command} $d/doc $d/p7s"
        )
        return self.gateway.run(script, packed.getvalue(), check=False)


@pytest.mark.leaves_traces
def test_elimination_needs_the_date_and_two_persons(gateway: Gateway, sip: Sip, message: str, tmp_path: Path) -> None:
    account, first, second = "partenaire-essai", "Camille Delattre", "Dominique Lefebvre"
    kept = gateway.deposit(sip(account, action="Destroy"), account).aip
    due = gateway.deposit(
        sip(account, files=own_files(f"{message}-2"), message=f"{message}-2", action="Destroy", start="2010-01-01"),
        account,
    ).aip
    ask = f"sae-elimination demander --compte {account} --vers /var/lib/sae/essai.pdf"
    refused = gateway.run(f"{ask} {kept}", check=False)
    assert kept in refused and "{" not in refused, refused
    agents = Agents(gateway, tmp_path)
    elsewhere = agents.constituted(account, due, "AD59-2026-14", visa=b"%PDF-1.7 visa d'une autre liste")
    assert "recopiez la liste qu'il cite" in elsewhere, elsewhere
    request = agents.constituted(account, due, "AD59-2026-14")
    assert json.loads(request)["signataire"] == SIGNATORY, request
    forged = agents.hand_in("deposer", request.replace("AD59-2026-14", "AD59-2026-15"), "Personne Inconnue")
    assert "n'est pas un agent habilité" in forged, forged
    approval = agents.hand_in("deposer", request, first)
    assert approval.lstrip().startswith("{"), approval
    alone = agents.hand_in("approuver", approval, first)
    assert "une autre personne doit l'approuver" in alone, alone
    assert f"{due}.tar" in gateway.stored(account)
    done = agents.hand_in("approuver", approval, second)
    assert "1 archives éliminées" in done, done
    stored = gateway.stored(account)
    assert f"{due}.tar" not in stored and f"{kept}.tar" in stored
    assert gateway.ask(f"/v1/archives/{due}", account).status == 404
    identifier = re.findall(r"attestation-([0-9a-f-]{36})", done)[0]
    told = gateway.run(
        f"sae-elimination attestation {identifier} --vers /var/lib/sae/essai-attestation && "
        f"sae-elimination verifier /var/lib/sae/essai-attestation/attestation-{identifier}.json "
        "--racine /etc/creatic/pki/ca.pem; rm -rf /var/lib/sae/essai-*"
    )
    assert f"visa-{identifier}.pdf" in told and f"bordereau signé par {SIGNATORY}" in told, told
    assert first in told and second in told and "AD59-2026-14" in told
    assert f"« {account} »" in told


@pytest.mark.leaves_traces
def test_nobody_reads_before_the_delay_but_who_was_permitted(
    gateway: Gateway, sip: Sip, message: str, tmp_path: Path
) -> None:
    account, place = "partenaire-essai", "/var/lib/sae/essai-acces"
    rules = {
        name: f"<Rule>{code}</Rule><StartDate>2026-01-15</StartDate>"
        for name, code in (("libre", "AR038"), ("privee", "AR048"))
    }
    free, private = (
        gateway.deposit(
            sip(account, files=own_files(f"{message}-{name}"), message=f"{message}-{name}", access=rule), account
        ).aip
        for name, rule in rules.items()
    )
    told = json.loads(gateway.ask(f"/v1/acces/{private}", account).data)
    assert (told["communicable"], told["depuis"], told["regle"]) == (False, "2076-01-16", "AR048")
    assert gateway.ask(f"/v1/acces/{private}").status == 404  # of another account
    try:
        asked = gateway.run(
            f"rm -rf {place}; install -d -o sae {place}; sae-acces demander --compte {account} "
            f"--demandeur 'Jeanne Petit' --qualite chercheur {free} {private}"
        )
        mark = re.findall(r"Demande (DA-[0-9A-F-]{19})", asked)[0]
        assert f"✓ {free}" in asked and "16/01/2076" in asked, asked
        assert "1 refusées avec leurs raisons" in gateway.run(f"sae-acces repondre {mark} --vers {place}/reponse.pdf")
        kept = gateway.run(f"sae-acces remettre {mark} --vers {place}/1", check=False)
        assert "1 archives remises, 1 ne le sont pas" in kept, kept
        gateway.run(f"sae-acces deroger {mark} --motif essai --vers {place}/demande.pdf")
        until = datetime.fromtimestamp(time.time() + 10 * 86400, UTC)
        decide = (
            f"sae-acces decision {mark} --document {place}/d.pdf --reference AD59-2026-45 --accord maire "
            f"--jusquau {until:%d/%m/%Y} --vers {place}/d.json --cite"
        )
        gateway.run(f"printf '%%PDF-1.7 {mark}' > {place}/d.pdf; chmod 644 {place}/d.pdf")
        assert "d'une autre demande ne permet rien" in gateway.run(f"{decide} DA-0000-0000-0000-0000", check=False)
        gateway.run(f"{decide} {mark}")
        agents, text = Agents(gateway, tmp_path), gateway.run(f"cat {place}/d.json")
        stranger = agents.hand_in("deposer", text, "Personne Inconnue", "sae-acces")
        assert "n'est pas un agent habilité" in stranger, stranger
        granted = agents.hand_in("deposer", text, "Camille Delattre", "sae-acces")
        assert f"autorisée jusqu'au {until:%d/%m/%Y}" in granted, granted
        done = gateway.run(f"sae-acces remettre {mark} --vers {place}/2; sha512sum {place}/2/*/data/sip/content/*")
        assert "2 archives remises, 0 ne" in done, done
        wanted = {hashlib.sha512(one).hexdigest() for one in own_files(f"{message}-privee").values()}
        assert wanted <= set(re.findall(r"[0-9a-f]{128}", done)), done
    finally:
        gateway.run(f"rm -rf {place} /var/lib/sae/essai-elimination")
    journal = gateway.run(f"sae-journal montrer --archive {private}")
    assert "acces.refus" in journal and "acces.remise" in journal and "Jeanne" not in journal, journal


@pytest.mark.leaves_traces
def test_what_is_kept_for_ever_leaves_by_a_transfer_alone(
    gateway: Gateway, sip: Sip, message: str, tmp_path: Path
) -> None:
    """Its duration is over: neither its account's key nor two persons delete it, before a public archives service."""
    account, first, second = "partenaire-essai", "Camille Delattre", "Dominique Lefebvre"
    aip = gateway.deposit(sip(account, action="Keep", start="2010-01-01"), account).aip
    name, agents = f"{aip}.tar", Agents(gateway, tmp_path)

    def deleted(*place: str) -> bool:
        return bool(
            gateway.python(
                f"""
from sae.store import ObjectRetainedError
result = True
try:
    store.delete(*{place!r})
except ObjectRetainedError:
    result = False
"""
            )
        )

    head = gateway.python(f"result = store.head({account!r}, 'aip', {name!r})")
    assert head["sort-final"] == "Keep" and int(head["retain-until"]) < time.time()
    assert not deleted(account, "aip", name)
    ask = f"sae-elimination demander --compte {account} --vers /var/lib/sae/essai.pdf {aip}"
    assert "qu'après son transfert" in gateway.run(ask, check=False)
    sent = gateway.run(f"sae-transfert preparer --compte {account} --vers /var/lib/sae/transferts {aip}").split()[-1]
    inside = gateway.run(f"tar -tf {sent}").splitlines()
    assert len(inside) == len(own_files(message)) + 3 and "manifest.xml" in inside, inside  # SIP's manifest, PREMIS
    transfer = Path(sent).stem.removeprefix("transfert-")
    answer = seda.reply(
        identifier=f"AD-{message}", request=transfer, when=datetime.now(UTC), agency=ARCHIVES, sender=AGENCY,
        accepted=True, comments=["Pris en charge"], events=[], aip="AD-1",
    ).decode()  # fmt: skip # one call by its parts
    forged = agents.hand_in("repondre", answer, "Personne Inconnue", "sae-transfert")
    assert "n'est pas un agent habilité" in forged, forged
    told = agents.hand_in("repondre", answer, first, "sae-transfert")
    assert f"Transfert {transfer} accepté" in told, told
    assert not deleted(account, "aip", name)  # it is for two persons to do
    approval = agents.hand_in("deposer", agents.constituted(account, aip, "AD59-2026-15"), first)
    done = agents.hand_in("approuver", approval, second)
    assert "1 archives éliminées" in done, done
    assert name not in gateway.stored(account)
    assert not deleted("sae", "transferts", f"AUTH_{account}/aip/{name}")  # the trace stays
    gateway.run(f"rm -rf {sent} /var/lib/sae/essai-*")
