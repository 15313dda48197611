"""A gateway on a folder: a scanner that speaks clamd's language, a storage that is a folder, SIPs good and bad."""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import os
import signal
import socket
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from lxml import etree
from sae.config import Account, Config, Limits
from sae.journal import Journal
from sae.store import FileStore
from sae.versement.engine import Engine
from sae.versement.registry import Answer, Registry
from sae.versement.seda import NAMESPACE

from testbed.unix import UnixService

TOP = Path(__file__).parents[1]
SIREN = "215902669"
AGENCY = "sae-groupement"
GONDECOURT = Account("gondecourt", "Gondecourt", SIREN, quota_mo=200, dua_min=1, dua_max=60)
LOOS = Account("loos", "Loos", "215903600", quota_mo=5)
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
PDF = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n"
    b"trailer<</Root 1 0 R>>\n%%EOF\n"
)
ARACTE = b'<?xml version="1.0" encoding="UTF-8"?>\n<actes:ARActe xmlns:actes="urn:x"/>\n'
FILES = {"content/acte.pdf": PDF, "content/ARActe.xml": ARACTE}


OLD_PAGES = ("Délibération n° 12 : école d'été", "page 2")


def old_pdf(*pages: str, version: tuple[int, int] = (1, 2)) -> bytes:
    """A PDF of before the standard, with a font that is not within."""
    from reportlab.pdfgen.canvas import Canvas

    made = io.BytesIO()
    canvas = Canvas(made, pdfVersion=version)
    for page in pages or OLD_PAGES:
        canvas.drawString(72, 700, page)
        canvas.showPage()
    canvas.save()
    return made.getvalue()


class FakeClamd(UnixService):
    """clamd's socket: zVERSION and zFILDES, with the EICAR file as only signature."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.verdict = ""  # said of every file when not empty
        self.version = "ClamAV 1.4.3/27000"
        super().__init__(path)

    def stop(self) -> None:
        """As when clamd is stopped: its socket is gone."""
        self.path.unlink(missing_ok=True)
        self._socket.close()

    def _answer(self, link: socket.socket) -> None:
        data, handles, _, _ = socket.recv_fds(link, 64, 1)
        if data.startswith(b"zVERSION"):
            with suppress(BrokenPipeError, ConnectionResetError):  # who asked may have heard enough
                link.sendall(f"{self.version}\0".encode())
            return
        while not handles:
            _, handles, _, _ = socket.recv_fds(link, 64, 1)
        with os.fdopen(handles[0], "rb") as stream:
            found = self.verdict or ("Eicar-Test-Signature FOUND" if EICAR in stream.read() else "OK")
        link.sendall(f"fd[{handles[0]}]: {found}\0".encode())


def settings(root: Path, **changes: object) -> Config:
    """The configuration of a gateway on this folder."""
    values: dict[str, object] = {
        "agency": AGENCY,
        "accounts": {one.name: one for one in (GONDECOURT, LOOS)},
        "rules": {"ACTES-10": 10, "COURTE-1": 1, "LONGUE-99": 99},
        "folder": root,
        "metrics": root,
        "clamd": root / "clamd.ctl",
        "signatures": root,
        "storage": root / "archives",
        "limits": Limits(package=40_000_000, unpacked=60_000_000, files=50, ratio=100),
    }
    return Config(**(values | changes))  # type: ignore[arg-type] # fields of Config


class Gateway:
    """A gateway, and what it holds."""

    def __init__(self, root: Path, on_step: Callable[[str], None] = lambda step: None, **changes: object) -> None:
        self.root = root
        self.config = settings(root, **changes)
        self.store = FileStore(root / "archives")
        self.journal = Journal(self.config.journal)
        self.registry = Registry(self.config.registry)
        self.engine = Engine(self.config, self.store, self.journal, self.registry, on_step)

    def deposit(self, package: bytes, account: Account = GONDECOURT) -> Answer:
        """Deposit a SIP."""
        return self.engine.deposit(account, io.BytesIO(package))

    def refused(self, package: bytes, code: str, account: Account = GONDECOURT) -> str:
        """Deposit a bad SIP: it is refused for this reason, nothing is kept. Gives the reasons as shown."""
        before = self.stored()
        answer = self.deposit(package, account)
        assert not answer.accepted
        root = reply_of(answer)
        codes = {event.findtext(f"{{{NAMESPACE}}}EventType") for event in root.iter(f"{{{NAMESPACE}}}Event")}
        assert code in codes, (codes, answer.reasons)
        assert root.findtext(f"{{{NAMESPACE}}}ReplyCode") == "KO"
        shown = str(root.findtext(f"{{{NAMESPACE}}}Comment"))
        assert all(reason in shown for reason in answer.reasons)
        assert self.stored() == before
        assert not list(self.config.spool.iterdir())
        last = self.journal.last()
        assert last is not None and (last.event, last.outcome, last.account) == (
            "versement.refuse",
            "refus",
            account.name,
        )
        return shown

    def stored(self) -> list[str]:
        """Names of what the storage holds."""
        return [entry.name for account in self.config.accounts for entry in self.store.listing(account, "aip")]

    def accepted_events(self) -> int:
        """How many acceptances the journal has."""
        return sum(event.event == "versement.accepte" for event in self.journal.events())


def reply_of(answer: Answer) -> etree._Element:
    """The ArchiveTransferReply of an answer."""
    root = etree.fromstring(answer.content)
    assert root.tag == f"{{{NAMESPACE}}}ArchiveTransferReply"
    return root


def manifest(
    files: Mapping[str, bytes] = FILES,
    *,
    message: str = "ACTE-1",
    agency: str = AGENCY,
    sender: str = SIREN,
    rule: str = "ACTES-10",
    action: str = "Keep",
    start: str = "2026-01-15",
    algorithm: str = "SHA-512",
    title: str = "Délibération n° 12 : école d’été",
    agreement: str = "",
    access: str = "",
) -> bytes:
    """A SEDA 2.3 manifest of these files; `access` is the inside of an AccessRule."""
    name = algorithm.lower().replace("-", "")
    objects = "".join(
        f'<BinaryDataObject id="B{rank}"><Uri>{path}</Uri>'
        f'<MessageDigest algorithm="{algorithm}">{hashlib.new(name, content).hexdigest()}</MessageDigest>'
        f"<Size>{len(content)}</Size></BinaryDataObject>"
        for rank, (path, content) in enumerate(files.items())
    )
    named = f"<ArchivalAgreement>{agreement}</ArchivalAgreement>" if agreement else ""
    read = f"<AccessRule>{access}</AccessRule>" if access else ""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<ArchiveTransfer xmlns="{NAMESPACE}">
  <Date>2026-02-01T10:00:00Z</Date><MessageIdentifier>{message}</MessageIdentifier>{named}<CodeListVersions/>
  <DataObjectPackage>{objects}
    <DescriptiveMetadata>
      <ArchiveUnit id="U"><Content><Title>{title}</Title></Content></ArchiveUnit>
    </DescriptiveMetadata>
    <ManagementMetadata><AppraisalRule><Rule>{rule}</Rule><StartDate>{start}</StartDate>
      <FinalAction>{action}</FinalAction></AppraisalRule>{read}</ManagementMetadata>
  </DataObjectPackage>
  <ArchivalAgency><Identifier>{agency}</Identifier></ArchivalAgency>
  <TransferringAgency><Identifier>{sender}</Identifier></TransferringAgency>
</ArchiveTransfer>
""".encode()


def tar(entries: Mapping[str, bytes]) -> bytes:
    """A tar of these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zipped(entries: Mapping[str, bytes]) -> bytes:
    """A compressed zip of these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def sip(files: Mapping[str, bytes] = FILES, **fields: str) -> bytes:
    """A good SEDA SIP of these files."""
    return tar({"manifest.xml": manifest(files, **fields), **files})


def bag(files: Mapping[str, bytes] = FILES, *, root: str = "sac/", **info: str) -> dict[str, bytes]:
    """The files of a good bag."""
    lines = {
        "External-Identifier": "SAC-1",
        "Source-Organization-SIREN": SIREN,
        "Bagging-Date": "2026-02-01",
        "Regle-DUA": "ACTES-10",
        "Sort-Final": "Détruire",
        **{name.replace("_", "-"): value for name, value in info.items()},
    }
    data = {f"data/{name}": content for name, content in files.items()}
    tags = {
        "bagit.txt": b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n",
        "bag-info.txt": "".join(f"{name}: {value}\n" for name, value in lines.items()).encode(),
        "manifest-sha512.txt": _listing(data),
    }
    tags["tagmanifest-sha512.txt"] = _listing(tags)
    return {root + name: content for name, content in (tags | data).items()}


def _listing(files: Mapping[str, bytes]) -> bytes:
    return "".join(f"{hashlib.sha512(content).hexdigest()}  {name}\n" for name, content in files.items()).encode()


# Forked from a process that has read the modules, and nothing more: the format identification's runtime, which tests
# have begun, would not survive a fork.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["testbed.sae"])


def _deposit(root: Path, package: Path, step: str) -> None:
    def kill(name: str) -> None:
        if name == step:
            os.kill(os.getpid(), signal.SIGKILL)

    Gateway(root, on_step=kill).deposit(package.read_bytes())


def crash(root: Path, package: Path, step: str) -> bool:
    """Deposit in a real process of its own that SIGKILLs itself at this step; False if it was never there."""
    process = _FORKS.Process(target=_deposit, args=(root, package, step))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0
