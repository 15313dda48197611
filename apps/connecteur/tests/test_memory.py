"""The largest deposits that the TdT takes, in half of the memory that the service has."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tdt_connector import checks
from tdt_connector.filing import FOLDERS
from tdt_connector.proof import test_pdf as make_pdf

from apps.connecteur.tests.test_pieces import IDACTE, aracte, nomenclature
from creatic_agent import flow
from testbed import helios
from testbed.connector import FAST, SIREN, Authority

ROLE = Path(__file__).parents[3] / "roles" / "tdt_connector"
LARGEST = 149_900_000  # bytes, just under the TdT's limit
_TEXT = b"QUJDREVG" * 12_500
_HEAD, _TAIL = helios.flow(slips=(), pj="#").split(b"#")

# An agent as the service has it, with one deposit, and what it took.
_WORK = """
import resource, sys, time
from pathlib import Path
half = int(sys.argv[4])
resource.setrlimit(resource.RLIMIT_DATA, (half, half))
from tdt_connector.agent import Agent
from tdt_connector.client import Client
from tdt_connector.config import Config, Delays
from tdt_connector.journal import FINAL, Journal, State
from tdt_connector.s2low import S2low
root = Path(sys.argv[1])
delays = Delays(**{one.split("=")[0]: float(one.split("=")[1]) for one in sys.argv[5:]})
config = Config(url=sys.argv[2], siren=sys.argv[3], departement="059", dossier=root, delais=delays,
                certificat=root / "certificat", metriques=root / "m.prom")
journal = Journal(config.journal)
agent = Agent(config, journal, S2low(Client(config)))
while not (rows := journal.recent(1)) or not (rows[0].filed or rows[0].state is State.TO_RECONCILE):
    time.sleep(min(agent.cycle(), 0.05))
peak = next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
print(rows[0].state, int(peak) * 1024, rows[0].detail)
"""


def half_of_the_unit() -> int:
    """Bytes."""
    unit = (ROLE / "templates" / "tdt-connector.service.j2").read_text()
    found = re.search(r"^MemoryMax=(\d+)M$", unit, re.MULTILINE)
    assert found
    return int(found[1]) * 1024 * 1024 // 2


class Platform(BaseHTTPRequestHandler):
    """A TdT that takes anything, and gives a document as big as the act."""

    received = 0
    document = Path()

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        left = int(self.headers["Content-Length"])
        while left and (block := self.rfile.read(min(left, 1 << 20))):
            left -= len(block)
            type(self).received += len(block)
        helios = b"<import><id>1</id><resultat>OK</resultat></import>"
        self._answer(helios if "helios" in self.path else b"OK\n1\n")

    def do_GET(self) -> None:
        answers = {
            "classification_fetch": nomenclature(),
            "classification_request": b"OK\n9\n",
            "transaction=9": b"OK\n4\n",
            "actes_transac_get_status": b"OK\n4\n" + aracte(),
            "files_list": b'[{"id": 1, "mimetype": "application/pdf"}]',
            "create_pdf": b"%PDF-1.4",
            "helios_transac_get_status": b"<t><resultat>OK</resultat><status>4</status></t>",
            "acquit": b'<PES_ACQUIT><ACQUIT><ElementACQUIT><EtatAck V="1"/></ElementACQUIT></ACQUIT></PES_ACQUIT>',
            "list_document": b"[]",
            "helios_get_list": b"<l/>",
        }
        if "actes_download_file" in self.path:
            self.send_response(200)
            self.send_header("Content-Length", str(self.document.stat().st_size))
            self.end_headers()
            with self.document.open("rb") as stream:
                while block := stream.read(1 << 20):
                    self.wfile.write(block)
            return
        self._answer(next(content for part, content in answers.items() if part in self.path))

    def _answer(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A TdT."""
    Platform.received, Platform.document = 0, tmp_path / "acte.pdf"
    server = ThreadingHTTPServer(("127.0.0.1", 0), Platform)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def work(root: Path, url: str, authority: Authority) -> tuple[str, int, str]:
    """What became of what is in depot/, the peak in bytes, and why."""
    for name in ("depot", "en_cours", "etat", "nomenclature", "lettres", "pes_retour", *FOLDERS.values()):
        (root / name).mkdir(exist_ok=True)
    (root / "certificat").symlink_to(authority.folder / "commune")
    half = half_of_the_unit()
    delays = [f"{name}={value}" for name, value in vars(FAST).items()]
    done = subprocess.run(
        [sys.executable, "-c", _WORK, root, url, SIREN, str(half), *delays],
        env={"PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip # one call by its parts
    assert done.returncode == 0, done.stderr[-3000:]
    state, peak, detail = done.stdout.split(" ", 2)
    assert int(peak) < half, f"{int(peak) / 1e6:.0f} Mo"
    return state, int(peak), detail


def write(path: Path, head: bytes, tail: bytes, size: int = LARGEST) -> None:
    with path.open("wb") as stream:
        stream.write(head)
        for _rank in range((size - len(head) - len(tail)) // len(_TEXT)):
            stream.write(_TEXT)
        stream.write(tail)


def test_the_largest_flow_passes(tmp_path: Path, url: str, authority: Authority) -> None:
    (tmp_path / "depot").mkdir()
    write(tmp_path / "depot" / "flux.xml", _HEAD, _TAIL)
    size = (tmp_path / "depot" / "flux.xml").stat().st_size
    assert work(tmp_path, url, authority)[0] == "acquitte"
    assert size < Platform.received < size + 1000


def test_the_largest_act_and_its_stamped_copy_pass(tmp_path: Path, url: str, authority: Authority) -> None:
    (tmp_path / "depot").mkdir()
    head, _, tail = make_pdf("Acte", "1").partition(b"\nxref\n")
    # Comments before the table of what the PDF holds, whose place is written after it.
    filled = tmp_path / "depot" / "a.pdf"
    write(filled, head + b"\n%", b"\n")
    place = filled.stat().st_size
    with filled.open("ab") as stream:
        stream.write(b"xref\n" + re.sub(rb"startxref\n\d+", b"startxref\n%d" % place, tail))
    Platform.document.hardlink_to(filled)
    (tmp_path / "depot" / "a.yml").write_text(
        "numero: 2026_001\nobjet: Objet\ndate: 2026-01-15\nnature: 1\nclassification: 7.5\ntype: 99_DE\n"
    )
    state, _peak, detail = work(tmp_path, url, authority)
    assert state == "acquitte", detail
    folder = tmp_path / "acquittes" / IDACTE
    assert (folder / "acte-tamponne.pdf").stat().st_size == Platform.document.stat().st_size


def test_a_large_damaged_act_is_refused(tmp_path: Path, url: str, authority: Authority) -> None:
    (tmp_path / "depot").mkdir()
    write(tmp_path / "depot" / "a.pdf", b"%PDF-1.4\n", b"\n%%EOF\n")
    (tmp_path / "depot" / "a.yml").write_text("numero: 2026_001\n")
    state, _peak, detail = work(tmp_path, url, authority)
    assert (state, "est un PDF endommagé" in detail) == ("rejete", True)


@pytest.mark.parametrize(
    ("head", "tail"),
    [(_HEAD, _TAIL), (_HEAD + b"<![CDATA[", b"]]>" + _TAIL)],
    ids=["base64", "cdata"],
)
def test_an_attachment_of_more_than_ten_megabytes_is_read(tmp_path: Path, head: bytes, tail: bytes) -> None:
    write(tmp_path / "flux.xml", head, tail, 25_000_000)
    assert checks.check_pes(tmp_path / "flux.xml", SIREN, LARGEST) == []
    write(tmp_path / "flux.xml", head, tail[:-4], 25_000_000)
    [fault] = checks.check_pes(tmp_path / "flux.xml", SIREN, LARGEST)
    assert fault.startswith("« flux.xml » n'est pas du XML lisible (mal formé, ligne ")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<a>" + b"".join(b"<b%d/>" % rank for rank in range(11_000)) + b"</a>", "trop de noms"),
        (b"<a>" + b"".join(b"<b c%d=''/>" % rank for rank in range(11_000)) + b"</a>", "trop de noms"),
        (b"<a>" + b"".join(b"<b xmlns:c%d='u'/>" % rank for rank in range(11_000)) + b"</a>", "trop de noms"),
        (b"<a b='" + b"x" * 2_000_000 + b"'/>", "démesuré"),
        (b"<a><!--" + b"x" * 2_000_000 + b"--></a>", "démesuré"),
        (b"<a>" * 3000 + b"</a>" * 3000, "trop d'éléments les uns dans les autres"),
        (b"<!DOCTYPE a><a/>", "DTD interdite"),
        (b'<?xml version="1.0" encoding="klingon"?><a/>', "encodage inconnu"),
        (b"<a>&b;</a>", "mal formé, ligne 1, colonne 4"),
        (b"<a>\0</a>", "mal formé"),
        (b"", "mal formé"),
    ],
)
def test_what_a_flow_may_not_hold(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.xml").write_bytes(content)
    with (tmp_path / "a.xml").open("rb") as stream, pytest.raises(flow.FlowError, match=words):
        flow.read(stream, lambda path, attributes: None)
