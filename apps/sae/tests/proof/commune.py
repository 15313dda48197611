"""A commune that signs its bordereaux, and the visa of the Archives départementales, without any certificate.

The real signatures: test_bordereau.py.
"""

from __future__ import annotations

import hashlib
import io
import json
import socket
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from cryptography.x509.oid import ExtendedKeyUsageOID
from sae.bordereau import BordereauSignatureError, Verifier
from sae.config import Account
from sae.elimination import ATTESTS, Eliminator, Proof
from sae.journal import Journal, timestamp
from sae.store import FileStore
from sae.versement import aip as aips
from sae.versement.container import Member

from testbed.authority import Authority

MAIRE = "Claire Dubois"
SIREN = "215902669"
ACCOUNTS = {
    name: Account(name, name.title(), siren, signatory=MAIRE)
    for name, siren in (("gondecourt", SIREN), ("seclin", "215905605"))
}
REFERENCE = "AD59 2026-123"
VISA = b"%PDF-1.7 visa du directeur"


def by_maire(document: bytes, who: str = MAIRE) -> bytes:
    return document + f"\nsigne : {who}".encode()


class Maire(Verifier):
    """What `verifier-acte` would say."""

    def __init__(self) -> None:
        super().__init__(Path())

    def check(self, signed: bytes, original: bytes, account: Account) -> dict[str, str]:
        if signed != by_maire(original, account.signatory):
            raise BordereauSignatureError("ce n'est pas le document du circuit qui a été signé")
        return {"signataire": account.signatory, "serie": "1", "date": ""}


def subject(name: str) -> str:
    return f"CN={name},O=Groupement d'essai,C=FR"


def groupement(folder: Path, *agents: str) -> Authority:
    """The groupement's authority, with its agents, what attests, and its timestamping unit."""
    made = Authority(folder / "groupement", "du groupement")
    for name in agents:
        made.issue(name, ExtendedKeyUsageOID.CLIENT_AUTH)
    made.issue(ATTESTS, ExtendedKeyUsageOID.EMAIL_PROTECTION)
    made.issue(timestamp.OWN)
    return made


def proof(authority: Authority) -> Proof:
    """What the archive attests with."""
    attests = authority.folder / ATTESTS.replace(" ", "_")
    return Proof(attests, timestamp.local_unit(authority.folder / "Horodatage_des_archives"))


def keep(
    journal: Journal, store: FileStore, aip: str, content: bytes, until: int, action: str, account: str = "gondecourt"
) -> str:
    """An AIP at the storage, and in the journal."""
    sha512 = hashlib.sha512(content).hexdigest()
    store.put(
        account, "aip", f"{aip}.tar", io.BytesIO(content),
        size=len(content), sha512=sha512, retain_until=until, metadata={"sort-final": action},
    )  # fmt: skip # one call by its parts
    detail = {
        "aip_sha512": sha512,
        "octets": len(content),
        "conserve_jusqua": until,
        "sort_final": action,
        "identifiant": f"acte {aip}",
    }
    journal.append("versement.accepte", account=account, aip=aip, outcome="succes", detail=detail)
    return aip


def package(aip: str, files: Mapping[str, bytes]) -> bytes:
    """The tar of an archive that has these files."""
    with tempfile.TemporaryDirectory() as scratch:
        members = {}
        for rank, (name, content) in enumerate(files.items()):
            path = Path(scratch, str(rank))
            path.write_bytes(content)
            members[name] = Member(name, path, len(content), hashlib.sha512(content).hexdigest())
        target = Path(scratch, "aip.tar")
        packed = {"account": "gondecourt", "title": "T", "when": datetime(2026, 1, 1, tzinfo=UTC)}
        aips.build(target, aip=aip, members=members, formats={}, events=[], **packed)  # type: ignore[arg-type] # by name
        return target.read_bytes()


def assembled(eliminator: Eliminator, aips: Iterable[str], reason: str = "", account: str = "gondecourt") -> bytes:
    """The request of these archives, with the maire's signature and the visa."""
    listed, pdf = eliminator.draft(account, aips, reason)
    return eliminator.assemble(listed["demande"], by_maire(pdf), VISA, REFERENCE, listed["liste"])


@contextmanager
def listening(path: Path, judge: Callable[[BinaryIO, BinaryIO], None]) -> Iterator[Path]:
    """A service that answers each connection to a unix socket."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection, connection.makefile("rb") as source, connection.makefile("wb") as output:
                    judge(source, output)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield path
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def as_told(source: BinaryIO, output: BinaryIO) -> None:
    """What the service would say of what `by_maire` signed."""
    asked = json.loads(source.readline())
    original, signed = source.read(asked["origine"]), source.read(asked["signe"])
    name = asked["signataires"][0]["nom"]
    good = signed == by_maire(original, name)
    told = {"signataire": name, "serie": "1", "date": None} if good else {"refus": "le document n'est pas signé"}
    output.write(json.dumps(told).encode() + b"\n")
