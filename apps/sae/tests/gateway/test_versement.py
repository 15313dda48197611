"""SIPs that are taken, and what they become."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from lxml import etree
from sae.store import CorruptedObjectError
from sae.versement.registry import Registry
from sae.versement.seda import NAMESPACE

from testbed.sae import (
    ARACTE,
    FILES,
    GONDECOURT,
    LOOS,
    PDF,
    SIREN,
    FakeClamd,
    Gateway,
    bag,
    manifest,
    reply_of,
    sip,
    tar,
    zipped,
)

_N = f"{{{NAMESPACE}}}"
PDFA = (
    b'%PDF-1.4\n<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:pdfaid="http://www.aiim.org/pdfa/ns/id/"><pdfaid:part>1</pdfaid:part>'
    b"<pdfaid:conformance>B</pdfaid:conformance></rdf:Description></rdf:RDF></x:xmpmeta>\n%%EOF\n"
)


def unpacked(gateway: Gateway, account: str = "gondecourt") -> dict[str, bytes]:
    """The files of the only AIP."""
    (entry,) = gateway.store.listing(account, "aip")
    with gateway.store.get(account, "aip", entry.name) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        found = {}
        for info in archive:
            content = archive.extractfile(info)
            found[info.name.partition("/")[2]] = content.read() if content else b""
        return found


def test_a_seda_sip_becomes_an_aip_and_an_answer(gateway: Gateway) -> None:
    answer = gateway.deposit(sip())
    assert answer.accepted and not answer.temporary
    root = reply_of(answer)
    assert root.findtext(f"{_N}ReplyCode") == "OK"
    assert root.findtext(f"{_N}MessageRequestIdentifier") == "ACTE-1"
    assert root.findtext(f".//{_N}SystemId") == answer.aip
    assert root.findtext(f"{_N}GrantDate")
    assert gateway.stored() == [f"{answer.aip}.tar"]
    assert gateway.accepted_events() == 1
    assert not list(gateway.config.spool.iterdir())
    files = unpacked(gateway)
    assert files["v1/content/sip/content/acte.pdf"] == PDF
    assert files["v1/content/sip/content/ARActe.xml"] == ARACTE


def test_the_aip_is_a_whole_ocfl_object(gateway: Gateway) -> None:
    answer = gateway.deposit(sip())
    files = unpacked(gateway)
    assert files["0=ocfl_object_1.1"] == b"ocfl_object_1.1\n"
    inventory = json.loads(files["inventory.json"])
    assert inventory["id"] == f"urn:uuid:{answer.aip}"
    for folder in ("", "v1/"):
        digest = hashlib.sha512(files[f"{folder}inventory.json"]).hexdigest()
        assert files[f"{folder}inventory.json.sha512"].decode() == f"{digest}  inventory.json\n"
    held = {name: content for name, content in files.items() if name.startswith("v1/content/")}
    listed = {path: digest for digest, paths in inventory["manifest"].items() for path in paths}
    assert listed == {name: hashlib.sha512(content).hexdigest() for name, content in held.items()}
    state = {path: digest for digest, paths in inventory["versions"]["v1"]["state"].items() for path in paths}
    assert {f"v1/content/{path}": digest for path, digest in state.items()} == listed


def test_premis_tells_what_was_done(gateway: Gateway) -> None:
    gateway.deposit(sip())
    root = etree.fromstring(unpacked(gateway)["v1/content/premis.xml"])
    space = "{http://www.loc.gov/premis/v3}"
    kinds = [event.findtext(f"{space}eventType") for event in root.iter(f"{space}event")]
    assert kinds == [
        "réception",
        "contrôle d'intégrité",
        "analyse antivirus",
        "identification des formats",
        "constat PDF/A",
        "empaquetage",
    ]
    keys = [node.text for node in root.iter(f"{space}formatRegistryKey")]
    assert keys == ["fmt/18", "fmt/101"]
    notes = [node.text for node in root.iter(f"{space}formatNote")]
    assert "PDF sans déclaration PDF/A" in notes


def test_pdfa_is_said_to_be_declared_and_no_more(gateway: Gateway) -> None:
    answer = gateway.deposit(sip({"content/a.pdf": PDFA}))
    archive = gateway.registry.archive("gondecourt", answer.aip or "")
    assert archive is not None
    (told,) = [one for one in archive.files if one["nom"] == "content/a.pdf"]
    assert (told["format"], told["pdfa"]) == (
        "fmt/354",
        "PDF/A-1b déclaré par le fichier, conformité non validée",
    )


@pytest.mark.parametrize("root", ["", "sac/"])
@pytest.mark.parametrize("pack", [tar, zipped])
def test_a_bag_becomes_an_aip(gateway: Gateway, root: str, pack: object) -> None:
    answer = gateway.deposit(pack(bag(root=root)))  # type: ignore[operator] # tar or zipped
    assert answer.accepted, answer.reasons
    assert answer.message == "SAC-1"
    assert unpacked(gateway)[f"v1/content/sip/{root}data/content/acte.pdf"] == PDF


def test_a_bag_of_a_mac_is_taken(gateway: Gateway) -> None:
    """Accents are written apart, in the container and in its manifest."""
    answer = gateway.deposit(tar(bag({"de\u0301libe\u0301ration.pdf": PDF})))
    assert answer.accepted, answer.reasons
    assert unpacked(gateway)["v1/content/sip/sac/data/délibération.pdf"] == PDF


def test_sha256_is_taken_too(gateway: Gateway) -> None:
    assert gateway.deposit(sip(algorithm="SHA-256")).accepted


def test_a_zip_is_taken_too(gateway: Gateway) -> None:
    from testbed.sae import manifest

    assert gateway.deposit(zipped({"manifest.xml": manifest(), **FILES})).accepted


# -- retention ----------------------------------------------------------------------------------------------


def stored_until(gateway: Gateway) -> date:
    """Until when the only AIP is kept."""
    (entry,) = gateway.store.listing("gondecourt", "aip")
    assert entry.retain_until is not None
    return datetime.fromtimestamp(entry.retain_until, UTC).date()


def test_the_retention_is_the_rules(gateway: Gateway) -> None:
    gateway.deposit(sip(start="2026-02-28", rule="ACTES-10", action="Destroy"))
    assert stored_until(gateway) == date(2036, 2, 28)
    (entry,) = gateway.store.listing("gondecourt", "aip")
    assert entry.metadata["sort-final"] == "Destroy"


@pytest.mark.parametrize("rules", [{"ACTES-10": 1}, {"ACTES-10": 50}, {"ACTES-15": 15}])
def test_a_rule_that_changes_afterwards_changes_nothing_of_what_is_sealed(
    tmp_path: Path, clamd: FakeClamd, rules: dict[str, int]
) -> None:
    package = sip(start="2026-02-28", rule="ACTES-10", action="Destroy")
    gateway = Gateway(tmp_path)
    first = gateway.deposit(package)
    known = gateway.registry.archive("gondecourt", str(first.aip))
    later = Gateway(tmp_path, rules=rules)
    assert stored_until(later) == date(2036, 2, 28)
    assert later.registry.archive("gondecourt", str(first.aip)) == known
    again = later.deposit(package)  # its answer was lost on the way
    assert (again.accepted, again.aip) == (True, first.aip) and stored_until(later) == date(2036, 2, 28)
    other = later.deposit(sip(message="ACTE-2", start="2026-02-28", rule="ACTES-10"))
    assert other.accepted == ("ACTES-10" in rules)


def test_one_unit_to_be_kept_among_others_has_the_archive_kept_for_ever(gateway: Gateway) -> None:
    told = manifest(rule="COURTE-1", start="1990-01-01", action="Destroy").replace(
        b'<ArchiveUnit id="U">',
        b'<ArchiveUnit id="U"><Management><AppraisalRule><FinalAction>Keep</FinalAction></AppraisalRule></Management>',
    )
    gateway.deposit(tar({"manifest.xml": told, **FILES}))
    (entry,) = gateway.store.listing("gondecourt", "aip")
    assert entry.metadata["sort-final"] == "Keep"


def test_the_retention_is_at_least_the_accounts(gateway: Gateway) -> None:
    today = datetime.now(UTC).date()
    gateway.deposit(sip(start="1990-01-01", rule="COURTE-1"))
    assert stored_until(gateway) >= today.replace(year=today.year + 1, day=min(today.day, 28))


def test_a_retention_beyond_the_accounts_is_refused(gateway: Gateway) -> None:
    assert "au-delà de ce que permet le compte" in gateway.refused(sip(rule="LONGUE-99"), "DUA")


def test_an_unknown_rule_is_refused_with_the_known_ones(gateway: Gateway) -> None:
    assert "ACTES-10" in gateway.refused(sip(rule="INVENTEE"), "DUA")


# -- again, and others --------------------------------------------------------------------------------------


def test_the_same_sip_gets_the_same_answer(gateway: Gateway) -> None:
    first = gateway.deposit(sip())
    assert gateway.deposit(sip()) == first
    repacked = zipped({"manifest.xml": _manifest_of(sip()), **FILES})  # other bytes, the same content
    assert gateway.deposit(repacked).content == first.content
    assert len(gateway.stored()) == 1
    assert gateway.accepted_events() == 1


def _manifest_of(package: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        content = archive.extractfile("manifest.xml")
        assert content
        return content.read()


def test_the_same_identifier_for_another_content_is_refused(gateway: Gateway) -> None:
    first = gateway.deposit(sip())
    shown = gateway.refused(sip({"content/autre.pdf": PDF + b"\n"}), "IDENTIFIANT")
    assert first.aip in shown if first.aip else False
    assert len(gateway.stored()) == 1


def test_a_refused_identifier_may_come_back_corrected(gateway: Gateway) -> None:
    gateway.refused(tar({"manifest.xml": _manifest_of(sip())}), "FICHIER_ABSENT")
    assert gateway.deposit(sip()).accepted


def test_two_accounts_may_use_the_same_identifier(gateway: Gateway) -> None:
    one = gateway.deposit(sip())
    other = gateway.deposit(sip(sender=LOOS.siren), LOOS)
    assert one.accepted and other.accepted and one.aip != other.aip
    assert gateway.registry.archive("loos", one.aip or "") is None
    assert [archive.aip for archive in gateway.registry.archives("loos")] == [other.aip]


def test_a_sip_in_the_name_of_another_account_is_refused(gateway: Gateway) -> None:
    assert "le certificat est celui de Loos" in gateway.refused(sip(sender=SIREN), "COMPTE", LOOS)


AGREED = {"gondecourt": replace(GONDECOURT, agreement="AD59-2026-017")}


@pytest.mark.parametrize("form", ["seda", "bag"])
def test_a_sip_names_the_agreement_of_its_account(gateway: Gateway, form: str) -> None:
    other = Gateway(gateway.root, accounts=AGREED)

    def package(agreement: str = "", message: str = "ACTE-1") -> bytes:
        if form == "seda":
            return sip(agreement=agreement, message=message)
        named = {"Accord_Versement": agreement} if agreement else {}
        return tar(bag(FILES, External_Identifier=message, **named))

    told = "Gondecourt verse sous l'accord « AD59-2026-017 »"
    assert f"ne nomme aucun accord ; {told}" in other.refused(package(), "ACCORD")
    assert f"nomme l'accord « AD62 » ; {told}" in other.refused(package("AD62"), "ACCORD")
    answer = other.deposit(package("AD59-2026-017"))
    events = [one.findtext(f"{{{NAMESPACE}}}EventType") for one in reply_of(answer).iter(f"{{{NAMESPACE}}}Event")]
    assert answer.accepted and "accord de versement" in events
    assert gateway.deposit(package("AD62", "ACTE-2")).accepted  # of an account without one, nothing is asked


def test_what_was_accepted_before_its_agreement_is_answered_the_same(gateway: Gateway) -> None:
    before = gateway.deposit(sip())
    after = Gateway(gateway.root, accounts=AGREED).deposit(sip())
    assert after.accepted and (after.aip, after.content) == (before.aip, before.content)


def test_a_sip_for_another_archive_is_refused(gateway: Gateway) -> None:
    assert "ce service est" in gateway.refused(sip(agency="autre-sae"), "MANIFESTE")


def test_the_quota_of_an_account_is_its_own(gateway: Gateway) -> None:
    large = {"content/grand.pdf": PDF + b"\n%" * 1_500_000}
    assert gateway.deposit(sip(large, sender=LOOS.siren), LOOS).accepted
    shown = gateway.refused(sip(large, sender=LOOS.siren, message="ACTE-2"), "QUOTA", LOOS)
    assert "quota de Loos" in shown
    assert gateway.deposit(sip(large)).accepted  # Gondecourt does not suffer from it


# -- back ---------------------------------------------------------------------------------------------------


def test_the_bytes_counted_are_those_kept(gateway: Gateway) -> None:
    """Whatever comes and goes; and a registry that did not count yet begins to."""

    def counted() -> dict[str, tuple[int, int]]:
        query = "SELECT compte, COUNT(*), SUM(octets) FROM archive GROUP BY compte"
        kept = {row[0]: (row[1], row[2]) for row in gateway.registry._connection.execute(query)}
        assert gateway.registry.usage() == kept
        return kept

    assert counted() == {}
    aips = [gateway.deposit(sip(message=f"ACTE-{rank}")).aip or "" for rank in range(3)]
    assert counted()["gondecourt"][0] == 3
    gateway.registry.forget(aips[0])
    assert counted()["gondecourt"][0] == 2
    with gateway.registry._write_transaction() as db:
        db.execute("DROP TABLE occupation")
    Registry(gateway.config.registry)
    assert counted()["gondecourt"][0] == 2


def test_what_comes_back_is_what_went_in(gateway: Gateway) -> None:
    answer = gateway.deposit(sip())
    archive = gateway.registry.archive("gondecourt", answer.aip or "")
    assert archive is not None
    with gateway.engine.open(GONDECOURT, archive) as stream:
        assert hashlib.sha512(b"".join(gateway.engine.blocks(stream, archive))).hexdigest() == archive.sha512
    with gateway.engine.open(GONDECOURT, archive) as stream:
        assert b"".join(gateway.engine.file_blocks(stream, archive, "content/acte.pdf")) == PDF
    events = [event.event for event in gateway.journal.events(aip=archive.aip)]
    assert events == ["versement.accepte", "archive.communication", "archive.communication"]


def test_a_damaged_archive_never_comes_back_whole(gateway: Gateway, tmp_path: Path) -> None:
    answer = gateway.deposit(sip())
    archive = gateway.registry.archive("gondecourt", answer.aip or "")
    assert archive is not None
    (path,) = (tmp_path / "archives" / "gondecourt" / "aip").iterdir()
    content = path.read_bytes()
    path.write_bytes(content.replace(b"%PDF-1.4", b"%PDF-1.5"))
    for take in (
        lambda stream: gateway.engine.blocks(stream, archive),
        lambda stream: gateway.engine.file_blocks(stream, archive, "content/acte.pdf"),
    ):
        received = b""
        with gateway.engine.open(GONDECOURT, archive) as stream, pytest.raises(CorruptedObjectError):
            for block in take(stream):
                received += block
        assert len(received) < archive.size
