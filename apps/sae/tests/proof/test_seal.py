"""Sealing: batches, chain, timestamps, WORM; a crash anywhere is taken up; a wrong clock is said."""

from __future__ import annotations

import hashlib
import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from asn1crypto import tsp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pyhanko.keys import load_cert_from_pemder, load_certs_from_pemder, load_private_key_from_pemder
from pyhanko.sign.timestamps import DummyTimeStamper
from pyhanko_certvalidator.registry import SimpleCertificateStore
from sae.journal import Journal, JournalError, seal, timestamp
from sae.journal.format import Seal, SealError, events_name
from sae.journal.log import CLOCK
from sae.journal.verify import verify_folder
from sae.store import FileStore, StoreUnavailableError

from apps.sae.tests.proof.conftest import Archive
from testbed.authority import Authority


def test_batches_are_sealed_in_a_chain_and_kept_under_worm(archive: Archive) -> None:
    archive.add(24)
    done = archive.seal()
    assert (done.made, done.stored) == (3, 3)
    kept = list(seal.seals(archive.journal))
    assert [(one.fields["premier"], one.fields["dernier"]) for one in kept] == [(1, 10), (11, 20), (21, 25)]
    assert [one.fields["precedent"] for one in kept[1:]] == [one.hash.hex() for one in kept[:-1]]
    entries = {entry.name: entry for entry in archive.store.listing("sae", "sceaux")}
    assert len(entries) == 6
    far = (datetime.now(UTC) + timedelta(days=99 * 365)).timestamp()
    assert all((entry.retain_until or 0) > far for entry in entries.values())


def test_nothing_is_sealed_twice_nor_for_nothing(archive: Archive) -> None:
    archive.add(3)
    assert archive.seal().made == 1
    assert archive.seal() == seal.Sealed(0, 0)
    archive.add(1)
    assert archive.seal().made == 1
    assert seal.sealed_up_to(archive.journal) == 5


def test_openssl_alone_verifies_a_token(archive: Archive) -> None:
    archive.seal()
    one = seal.last_seal(archive.journal)
    assert one
    (archive.folder / "e").write_text(one.header)
    (archive.folder / "t").write_bytes(one.token)
    command = f"openssl ts -verify -data e -in t -CAfile {archive.root}"
    done = subprocess.run(command.split(), cwd=archive.folder, capture_output=True, text=True, check=False)
    assert "Verification: OK" in done.stdout, done.stderr


class Cut(Exception):
    """The power goes."""


class CutStore(FileStore):
    """A storage during whose n-th operation the gateway dies, before or after it was done."""

    def __init__(self, root: Path, at: int, after: bool) -> None:
        super().__init__(root)
        self.at, self.after, self.count = at, after, 0

    def put(self, account: str, container: str, name: str, data: BinaryIO, **options: Any) -> None:
        self.count += 1
        if self.count == self.at and not self.after:
            raise Cut
        super().put(account, container, name, data, **options)
        if self.count == self.at and self.after:
            raise Cut


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_cut_during_the_deposit_is_taken_up(archive: Archive, at: int, after: bool) -> None:
    archive.add(15)
    archive.store = CutStore(archive.folder / "stockage", at, after)
    with pytest.raises(Cut):
        archive.seal()
    archive.store = FileStore(archive.folder / "stockage")
    archive.add(2)
    archive.seal()
    report = verify_folder(archive.export(), archive.root)
    assert not report.faults
    assert report.unsealed == 0
    assert not list(seal.seals(archive.journal, stored=False))
    assert len(list(archive.store.listing("sae", "sceaux"))) == report.seals * 2


def test_a_cut_around_the_timestamp_is_taken_up(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.add(5)

    def cut(self: object, one: object) -> None:
        raise Cut

    with monkeypatch.context() as patch:
        patch.setattr(seal.Sealer, "_record_seal", cut)
        with pytest.raises(Cut):
            archive.seal()
    assert archive.seal().made == 1
    assert not verify_folder(archive.export(), archive.root).faults


class Down(FileStore):
    """A storage that does not answer."""

    def put(self, *_: Any, **__: Any) -> None:
        raise StoreUnavailableError("le stockage ne répond pas")


def test_a_seal_waits_for_the_storage(archive: Archive) -> None:
    archive.add(5)
    archive.store = Down(archive.folder / "stockage")
    with pytest.raises(StoreUnavailableError):
        archive.seal()
    archive.add(5)
    with pytest.raises(StoreUnavailableError):
        archive.seal()
    assert len(list(seal.seals(archive.journal, stored=False))) == 1
    archive.store = FileStore(archive.folder / "stockage")
    assert archive.seal() == seal.Sealed(1, 2)


def test_another_journal_does_not_take_the_place_of_a_sealed_one(archive: Archive) -> None:
    archive.add(2)
    archive.seal()
    with Journal(archive.folder / "autre.sqlite") as other:
        archive.journal = other
        archive.add(1)
        with pytest.raises(SealError, match="sae-journal restaurer"):
            archive.seal()


def test_a_broken_journal_is_not_sealed(archive: Archive) -> None:
    archive.add(4)
    archive.journal.query("DROP TRIGGER jamais_change")
    archive.journal.query("UPDATE evenement SET ligne = replace(ligne, 'n° 1', 'n° 9') WHERE seq = 3")
    with pytest.raises(SealError, match="rompu à l'événement 4"):
        archive.seal()
    assert seal.last_seal(archive.journal) is None


def test_a_clock_behind_the_last_seal_stops_sealing(archive: Archive) -> None:
    archive.seal()
    archive.add(1)
    archive.clock = lambda: datetime.now(UTC) - timedelta(hours=3)
    with pytest.raises(SealError, match="en arrière du dernier sceau"):
        archive.seal()
    archive.clock = lambda: datetime.now(UTC)
    assert archive.seal().made == 1


def test_a_clock_that_is_not_the_storage_s_stops_sealing_and_is_journaled_once(archive: Archive) -> None:
    archive.add(1)
    archive.storage_clocks = lambda: {"sae1": datetime(2025, 10, 21, 12, tzinfo=UTC)}
    for _ in range(3):
        with pytest.raises(SealError, match="n'est pas celle du stockage"):
            archive.seal()
    noted = [event for event in archive.journal.events() if event.event == CLOCK]
    assert [(event.outcome, event.detail["source"]) for event in noted] == [("anomalie", "stockage")]
    archive.storage_clocks = lambda: {"sae1": datetime.now(UTC)}
    assert archive.seal().made == 1
    assert any("horloge était fausse" in line for line in verify_folder(archive.export(), archive.root).warnings)


def test_one_node_s_wrong_clock_is_journaled_and_does_not_stop_sealing(archive: Archive) -> None:
    wrong = datetime.now(UTC) + timedelta(days=1)
    archive.storage_clocks = lambda: {"sae1": datetime.now(UTC), "sae2": wrong, "sae3": datetime.now(UTC)}
    archive.add(1)
    assert archive.seal().made == 1
    noted = [event for event in archive.journal.events() if event.event == CLOCK]
    assert [event.detail["source"] for event in noted] == ["sae2"]


@pytest.mark.parametrize("days", [-1, 1])
def test_the_middle_clock_decides_among_five(archive: Archive, days: int) -> None:
    now = datetime.now(UTC)
    clocks = {f"sae{rank}": now for rank in (1, 3, 5)} | {f"sae{rank}": now + timedelta(days=days) for rank in (2, 4)}
    archive.storage_clocks = lambda: clocks
    archive.add(1)
    assert archive.seal().made == 1
    noted = [event for event in archive.journal.events() if event.event == CLOCK]
    assert [event.detail["source"] for event in noted] == ["sae2", "sae4"]


# -- a seal made under a wrong clock ------------------------------------------------------------------------


class Unit:
    """A timestamping unit whose clock is the archive's, whatever the machine's (openssl knows the machine's alone)."""

    def __init__(self, authority: Authority, archive: Archive) -> None:
        folder = authority.folder / f"decale-{archive.folder.name}"
        folder.mkdir()
        key = rsa.generate_private_key(65537, 2048)
        issuer, issuing = authority._issuing
        now = datetime.now(UTC)
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
        own = x509.NameAttribute(NameOID.COMMON_NAME, timestamp.OWN)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([*list(issuer.subject)[:-1], own]))
            .issuer_name(issuer.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=2000))
            .add_extension(usage, critical=True)
            .sign(issuing, hashes.SHA256())
        )
        (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (folder / "chain.pem").write_bytes(issuer.public_bytes(serialization.Encoding.PEM))
        plain = serialization.NoEncryption()
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        (folder / "key.pem").write_bytes(pem)
        self._parts = (
            load_cert_from_pemder(str(folder / "cert.pem")),
            load_private_key_from_pemder(str(folder / "key.pem"), None),
        )
        self._chain = SimpleCertificateStore.from_certs(list(load_certs_from_pemder([str(folder / "chain.pem")])))
        self._archive = archive

    def __call__(self, data: bytes) -> bytes:
        at = self._archive.clock().replace(microsecond=0)
        unit = DummyTimeStamper(*self._parts, certs_to_embed=self._chain, fixed_dt=at, include_nonce=False)
        imprint = {"hash_algorithm": {"algorithm": "sha512"}, "hashed_message": hashlib.sha512(data).digest()}
        asked = tsp.TimeStampReq({"version": 1, "message_imprint": imprint, "cert_req": True})
        return bytes(unit.request_tsa_response(asked).dump())


@pytest.fixture
def ahead(archive: Archive, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Archive:
    """An archive with a seal of next year, whose clock was set right since then."""
    unit = Unit(authority, archive)
    monkeypatch.setattr(timestamp, "local_unit", lambda _folder: unit)
    archive.add(2)
    archive.seal()
    wrong = datetime.now(UTC) + timedelta(days=400)
    archive.clock = lambda: wrong
    archive.journal._clock = archive.clock
    archive.add(2)
    assert archive.seal().made == 1
    archive.clock = lambda: datetime.now(UTC)
    archive.journal._clock = archive.clock
    archive.add(3)
    return archive


def test_sealing_goes_on_once_the_storage_confirms_the_time(ahead: Archive) -> None:
    with pytest.raises(SealError, match="on scellera dès que le stockage confirmera l'heure"):
        ahead.seal()  # which of both is wrong cannot be told
    ahead.storage_clocks = lambda: {name: datetime.now(UTC) for name in ("sae1", "sae2", "sae3")}
    assert ahead.seal(largest=2).made >= 2
    noted = [event for event in ahead.journal.events() if event.event == CLOCK and "sceau" in event.detail]
    assert [event.detail["sceau"] for event in noted] == [2]
    for _ in range(2):
        ahead.add(1)
        assert ahead.seal().made == 1
    report = verify_folder(ahead.export(), ahead.root)
    assert report.faults == [] and report.unsealed == 0
    told = [line for line in report.warnings if line.startswith("sceau-00000002.json")]
    assert len(told) == 1 and f"l'événement {noted[0].seq}, scellé ensuite : sa date ne prouve rien" in told[0]
    path = ahead.folder / "neuf.sqlite"
    assert seal.restore(path, ahead.store, ahead.root)[0] == report.seals


def test_each_seal_made_under_a_wrong_clock_is_disowned(ahead: Archive) -> None:
    """Several quarters of an hour went by before somebody saw it."""
    ahead.clock = ahead.journal._clock = lambda: datetime.now(UTC) + timedelta(days=401)
    ahead.add(1)
    ahead.seal(largest=2)
    ahead.clock = ahead.journal._clock = lambda: datetime.now(UTC)
    last = seal.last_seal(ahead.journal)
    assert last is not None
    wrong = last.fields["numero"]
    assert wrong > 3
    ahead.storage_clocks = lambda: {"sae1": datetime.now(UTC)}
    ahead.add(1)
    ahead.seal()
    report = verify_folder(ahead.export(), ahead.root)
    told = [line.split(" : ")[0] for line in report.warnings if "sa date ne prouve rien" in line]
    assert (report.faults, told) == ([], [f"sceau-{number:08}.json" for number in range(2, wrong + 1)])


def test_a_seal_before_the_last_one_is_a_fault_unless_the_journal_says_why(ahead: Archive) -> None:
    """Nor does an event that comes before, that is not sealed, or that names another seal."""
    ahead.storage_clocks = lambda: {"sae1": datetime.now(UTC)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seal.Sealer, "_check_clock", lambda _self: None)
        detail = {"sceau": 1, "source": "sceau", "maintenant": "", "reference": ""}
        ahead.journal.append(CLOCK, account="sae", aip=None, outcome="anomalie", detail=detail)
        ahead.seal()
    ahead.journal.append(CLOCK, account="sae", aip=None, outcome="anomalie", detail=detail | {"sceau": 2})
    report = verify_folder(ahead.export(), ahead.root)
    assert ("sceau-00000003.json", "horodaté avant le sceau 2") in report.faults


def test_a_clock_that_is_not_the_storage_s_disowns_no_seal(ahead: Archive) -> None:
    ahead.storage_clocks = lambda: {"sae1": datetime.now(UTC) + timedelta(days=3)}
    with pytest.raises(SealError, match="n'est pas celle du stockage"):
        ahead.seal()
    assert not [event for event in ahead.journal.events() if "sceau" in event.detail]


def test_a_timestamp_of_a_stranger_is_refused(archive: Archive, stranger: Authority) -> None:
    archive.unit = stranger.issue("Horodatage pirate")
    with pytest.raises(timestamp.TimestampError, match="autorité de confiance"):
        archive.seal()
    assert seal.last_seal(archive.journal) is None


def test_a_timestamp_of_another_unit_of_the_authority_is_refused(archive: Archive, authority: Authority) -> None:
    archive.unit = authority.issue("Horodatage du parapheur")
    with pytest.raises(timestamp.TimestampError, match=r"vient de « CN=Horodatage du parapheur,.+ et non de « CN="):
        archive.seal()
    assert seal.last_seal(archive.journal) is None


def test_a_timestamp_needs_its_key(archive: Archive) -> None:
    archive.unit = archive.folder / "rien"
    with pytest.raises(timestamp.TimestampError, match=r"cert\.pem est introuvable"):
        archive.seal()


@pytest.mark.parametrize("token", [b"", b"\x30", b"\x30\x82\xff\xff", b"\x30\x03\x02\x01\x00", b"n'importe quoi"])
def test_what_is_no_token_is_said(token: bytes) -> None:
    with pytest.raises(timestamp.TimestampError):
        timestamp.read(token)


def test_a_lost_gateway_s_journal_is_restored_from_the_storage(archive: Archive) -> None:
    archive.add(25)
    archive.seal()
    archive.add(2)  # lost: neither sealed nor saved
    lines = list(archive.journal.lines(1, 26))
    path = archive.folder / "neuf.sqlite"
    assert seal.restore(path, archive.store, archive.root) == (3, 26)
    with Journal(path) as journal:
        assert list(journal.lines(1, 26)) == lines
        assert next(journal.events(27)).event == "journal.restauration"
        archive.journal = journal
        archive.add(1)
        assert archive.seal().made == 1
        assert not verify_folder(archive.export(), archive.root).faults
        with pytest.raises(JournalError, match="existe"):
            seal.restore(path, archive.store, archive.root)


def test_a_storage_that_was_tampered_with_is_not_restored(archive: Archive) -> None:
    archive.add(5)
    archive.seal()
    kept = archive.folder / "stockage" / "sae" / "sceaux" / events_name(1)
    kept.write_bytes(kept.read_bytes().replace("n° 3".encode(), "n° 4".encode()))
    with pytest.raises(SealError, match="événement 5 : modifié"):
        seal.restore(archive.folder / "neuf.sqlite", archive.store, archive.root)
    assert not (archive.folder / "neuf.sqlite").exists()
    with pytest.raises(SealError, match="rien à restaurer"):
        seal.restore(archive.folder / "neuf.sqlite", FileStore(archive.folder / "vide"), archive.root)


@pytest.mark.parametrize(
    "change",
    [{"format": 2}, {"numero": "1"}, {"premier": 1.0}, {"heure": "hier"}, {"autre": 1}],
)
def test_what_is_no_seal_is_refused(archive: Archive, change: dict[str, Any]) -> None:
    archive.seal()
    one = seal.last_seal(archive.journal)
    assert one
    parts = json.loads(one.write())
    assert Seal.read(json.dumps(parts)) == one
    header = json.dumps(one.fields | change, sort_keys=True, separators=(",", ":"))
    with pytest.raises(SealError):
        Seal.read(json.dumps(parts | {"entete": header}))
