"""The verdict on a manifest is the standard's, save for what this service refuses, and its reasons are true."""

from __future__ import annotations

import base64
import importlib.util
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from sae.versement import seda
from sae.versement.description import KEEP, Description, Rule
from sae.versement.refusal import SipRefusedError
from sae.versement.seda import VERSIONS, namespace

from apps.sae.tests.gateway.seda_corpus import RULES, SHA512, mutants, rich, sedalib, transfer
from testbed.sae import AGENCY, FILES, GONDECOURT, SIREN, Gateway, tar

SHARED = Path(__file__).parents[5] / "shared" / "protocol"
EVERY = pytest.mark.parametrize("version", VERSIONS)


class _Near(etree.Resolver):
    """The schemas that the official ones import by address, and nothing from the network."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def resolve(self, url: str, public_id: str, context: object) -> object:  # type: ignore[override] # the stubs lack context
        name = url.rpartition("/")[2]
        found = next(one for one in (self._folder / name, SHARED / "w3c" / name) if one.is_file())
        return self.resolve_filename(str(found), context)  # type: ignore[attr-defined] # the stubs lack it


def official(version: str) -> etree.XMLSchema:
    """The standard's own schema: 2.3 beside the project, the older ones as the cubicweb-seda package has them."""
    folder = SHARED / "seda"
    if version != "2.3":
        package = importlib.util.find_spec("cubicweb_seda")
        folder = Path((package.submodule_search_locations or [""])[0], "xsd") if package else Path("absent")
    path = folder / f"seda-{version}-main.xsd"
    if not path.is_file():
        pytest.skip(f"the official schema of SEDA {version} is not here")
    parser = etree.XMLParser(no_network=True)
    parser.resolvers.add(_Near(folder))
    return etree.XMLSchema(etree.parse(str(path), parser))


def read(folder: Path, content: bytes) -> Description:
    path = folder / "manifest.xml"
    path.write_bytes(content)
    return seda.read(path, "empreinte", 50_000_000, AGENCY)


def reasons(folder: Path, content: bytes) -> list[str]:
    """Why a manifest is refused; nothing when it is not."""
    try:
        read(folder, content)
    except SipRefusedError as refusal:
        assert {one.code for one in refusal.reasons} == {"MANIFESTE"}
        return [one.text for one in refusal.reasons]
    return []


def conforms(folder: Path, content: bytes) -> bool:
    """Whether a manifest is taken, or refused for another reason than the standard."""
    standard = ("non conforme", "espace de noms", "un ArchiveTransfer est attendu")
    return not any(word in one for one in reasons(folder, content) for word in standard)


def _identified(root: etree._Element, version: str) -> bool:
    """xs:ID and xs:IDREF, which libxml2 does not follow from element to element."""
    space = f"{{{namespace(version)}}}"
    names, wanted = [str(one) for one in root.xpath("//@xml:id")], []  # type: ignore[union-attr] # attributes
    for node in root.iter(f"{space}*"):
        if not all(one.tag.startswith(space) for one in node.iterancestors()):
            continue
        names += [node.get("id", "")] if "id" in node.attrib else []
        names += [node.text or ""] if node.tag == f"{space}DataObjectGroupId" else []
        wanted += [node.get("target", "")] if node.tag == f"{space}Relationship" else []
        wanted += [node.text or ""] if node.tag.removeprefix(space) in seda._REFERENCES else []
    names, wanted = [one.strip() for one in names], [one.strip() for one in wanted]
    return len(names) == len(set(names)) and set(wanted) <= set(names)


def judged(schema: etree.XMLSchema, content: bytes, version: str) -> bool:
    try:
        root = etree.fromstring(content)
    except etree.XMLSyntaxError:  # an xml:id twice
        return False
    return schema.validate(root) and _identified(root, version)


@EVERY
def test_what_sedalib_writes_is_taken(tmp_path: Path, version: str) -> None:
    found = read(tmp_path, sedalib(version))
    assert (found.message, found.agency, found.seda) == ("ACTE-1", SIREN, version)
    assert found.title == "Séance du 15 janvier" or found.title in FILES
    assert [one.name for one in found.files] == list(FILES)
    assert found.rules == [Rule("ACTES-10", date(2026, 1, 15), KEEP)]


@EVERY
def test_every_element_of_a_version_is_taken(tmp_path: Path, version: str) -> None:
    found = read(tmp_path, rich(version))
    assert [(one.name, one.algorithm) for one in found.files] == [(name, "SHA-512") for name in FILES]
    assert found.files[0].digest == SHA512
    assert (found.title, found.seda) == ("Séance", version)
    assert sorted(found.rules, key=str) == sorted(
        [
            Rule("ACTES-10", date(2026, 1, 15), "Destroy"),
            Rule("COURTE-1", date(2026, 2, 1), "Destroy"),
            Rule("ACTES-10", date(2026, 1, 15), KEEP),
        ],
        key=str,
    )


@EVERY
def test_the_corpus_conforms_to_the_official_schema(version: str) -> None:
    schema = official(version)
    for content in (sedalib(version), rich(version)):
        assert schema.validate(etree.fromstring(content)), schema.error_log


@EVERY
def test_the_verdict_is_the_official_one(tmp_path: Path, version: str) -> None:
    schema, rank = official(version), VERSIONS.index(version)
    seen = {True: 0, False: 0}
    for content, step in ((sedalib(version), 83), (rich(version), 397)):
        for fault, changed in mutants(content, step, rank):  # a run is short
            expected = judged(schema, changed, version)
            seen[expected] += 1
            assert conforms(tmp_path, changed) == expected, (fault, reasons(tmp_path, changed), schema.error_log)
    assert min(seen.values()) > 20


@pytest.mark.parametrize(
    ("newer", "element"),
    [
        ("2.2", "<TextContent>texte</TextContent>"),
        ("2.2", "<DateLitteral>hier</DateLitteral>"),
        ("2.2", "<Agent><Corpname>c</Corpname></Agent>"),
        ("2.3", "<SigningInformation><SigningRole>Signature</SigningRole></SigningInformation>"),
        (
            "2.3",
            "<PersistentIdentifier><PersistentIdentifierType>t</PersistentIdentifierType>"
            "<PersistentIdentifierContent>c</PersistentIdentifierContent></PersistentIdentifier>",
        ),
    ],
)
def test_a_version_has_what_came_with_it(tmp_path: Path, newer: str, element: str) -> None:
    for version in VERSIONS:
        content = sedalib(version).replace(b"<Content><DescriptionLevel>Item</DescriptionLevel>", b"<Content>")
        content = content.replace(b"<TransactedDate>2026-01-15T09:00:00</TransactedDate>", element.encode())
        assert (reasons(tmp_path, content) == []) == (version >= newer)


# Faults of every kind, without the official schema: what a person reads of them.
FAULTS = [
    ("<Size>75</Size>", "<Size>zéro</Size>",
     "Ligne 18 : non conforme au SEDA {v} : élément Size : « zéro » n'est pas une valeur du type attendu "
     "positiveInteger."),
    ("<DescriptionLevel>RecordGrp<", "<DescriptionLevel>Dossier<",
     "élément DescriptionLevel : « Dossier » n'est pas une des valeurs admises : 'Fonds', 'Subfonds',"),
    ("<Title>Séance du 15 janvier</Title>", "<Titre>Séance</Titre>",
     "élément Titre : cet élément n'est pas attendu ici."),
    ("<Title>Séance du 15 janvier</Title>", '<Title lang="fr">S</Title>',
     "élément Title, attribut lang : cet attribut n'est pas admis."),
    ('<BinaryDataObject id="ID21">', "<BinaryDataObject>", "élément BinaryDataObject : l'attribut id manque."),
    ('<BinaryDataObject id="ID21">', '<BinaryDataObject id="21">', "élément BinaryDataObject, attribut id : « 21 »"),
    ('<BinaryDataObject id="ID21">', '<BinaryDataObject id="ID10">', "l'identifiant « ID10 » est employé deux fois."),
    ('<BinaryDataObject id="ID21">', '<BinaryDataObject id="ID1">', "l'identifiant « ID1 » est employé deux fois."),
    ("<DataObjectGroupReferenceId>ID20<", "<DataObjectGroupReferenceId>ID99<",
     "rien ne porte l'identifiant « ID99 », auquel on renvoie ici."),
    ("<Date>2026-02-01T10:00:00Z</Date>\n", "", "élément MessageIdentifier : cet élément n'est pas attendu ici."),
    ("<FinalAction>Keep</FinalAction>", "", "élément AppraisalRule : il manque un élément."),
    ("<FormatId>fmt/18</FormatId>", "<FormatId/>", "élément FormatId : la valeur est vide."),
    ("<StartDate>2026-01-15</StartDate></Content>", "<StartDate>15/01/2026</StartDate></Content>",
     "élément StartDate : « 15/01/2026 » n'est pas une valeur du type attendu DateType."),
    ("<ManagementMetadata>", "<ManagementMetadata>texte", "élément ManagementMetadata : du texte n'est pas admis ici."),
    ("<Title>Séance du 15 janvier</Title>", "<Title><b/></Title>", "un élément n'est pas admis"),
    ("<FormatId>", '<FormatId xsi:type="IdentifierType">',
     "élément FormatId, attribut type : le type « IdentifierType » n'est pas admis ici."),
    ("<FormatId>", '<FormatId xsi:type="y:Rien">', "« y:Rien » n'est pas un type du standard."),
    ("<FormatId>", '<FormatId xsi:type="Rien">',
     "élément FormatId, attribut type : « Rien » n'est pas un type du standard."),
    ('xml:id="CLV"', 'xml:id="ID1"', "l'identifiant « ID1 » est employé deux fois."),
    ('xml:id="CLV"', 'xml:id="1"', "élément CodeListVersions, attribut id : « 1 »"),
]  # fmt: skip # a row a line


@EVERY
@pytest.mark.parametrize(("before", "after", "told"), FAULTS)
def test_what_does_not_conform_is_told_in_french(
    tmp_path: Path, version: str, before: str, after: str, told: str
) -> None:
    text = sedalib(version).decode()
    assert before in text
    shown = " ".join(reasons(tmp_path, text.replace(before, after, 1).encode()))
    assert told.format(v=version) in shown


BINARY = '<BinaryDataObject id="B"><Uri>a.pdf</Uri><MessageDigest algorithm="{}">{}</MessageDigest></BinaryDataObject>'


def packaged(version: str, objects: str, rules: str = RULES) -> bytes:
    return transfer(
        version,
        f'<DataObjectPackage>{objects}<DescriptiveMetadata><ArchiveUnit id="U"><Content/></ArchiveUnit>'
        f"</DescriptiveMetadata><ManagementMetadata>{rules}</ManagementMetadata></DataObjectPackage>",
    )


def _ruled(day: str) -> str:
    return RULES.replace("2026-01-15", day)


GOOD = BINARY.format("SHA-512", SHA512)
POLICY = [
    (transfer("2.3", ""), "Le transfert n'annonce aucun objet-données binaire : il n'y a rien à archiver."),
    (packaged("2.3", ""), "Le transfert n'annonce aucun objet-données binaire : il n'y a rien à archiver."),
    (packaged("2.3", '<PhysicalDataObject id="P"/>'), "aucun objet-données binaire"),
    (packaged("2.3", '<BinaryDataObject id="B"/>'), "L'objet « B » n'a pas d'Uri : mettez son contenu dans un fichier"),
    (packaged("2.3", GOOD.replace("<Uri>a.pdf</Uri>", "<Attachment>AAAA</Attachment>")),
     "L'objet « B » porte son contenu dans le bordereau (Attachment)"),
    (packaged("2.3", BINARY.format("MD5", "ab" * 16)),
     "L'objet « B » : L'algorithme d'empreinte « MD5 » n'est pas admis"),
    (packaged("2.3", BINARY.format("SHA-512", "ab" * 32)),
     "L'objet « B » : son empreinte n'a pas la longueur d'un SHA-512."),
    (packaged("2.3", GOOD + GOOD.replace('"B"', '"C"')), "« a.pdf » est annoncé deux fois."),
    (packaged("2.3", GOOD, _ruled("12026-01-15")), "La règle « ACTES-10 » part du 12026-01-15"),
    (packaged("2.3", GOOD, _ruled("-0044-03-15")), "une année de 1 à 9999 est attendue"),
    (packaged("2.3", GOOD).replace(b">ACTE-1<", b">" + b"a" * 501 + b"<"),
     "MessageIdentifier est vide ou fait plus de 500"),
    (packaged("2.1", GOOD).replace(b">ACTE-1<", b"><"), "MessageIdentifier est vide"),
    (packaged("2.3", GOOD).replace(AGENCY.encode(), b"ailleurs"), "Le transfert est adressé à « ailleurs »"),
]  # fmt: skip # a row a line


@pytest.mark.parametrize(("content", "told"), POLICY)
def test_what_conforms_and_is_refused_is_not_called_non_conform(tmp_path: Path, content: bytes, told: str) -> None:
    shown = reasons(tmp_path, content)
    assert any(told in one for one in shown), shown
    assert not any("non conforme" in one for one in shown)


@pytest.mark.parametrize(("content", "told"), POLICY)
def test_the_official_schema_accepts_what_only_policy_refuses(content: bytes, told: str) -> None:
    root = etree.fromstring(content)
    assert official(str(etree.QName(root).namespace)[-3:]).validate(root), told


@pytest.mark.parametrize(
    ("objects", "rules"),
    [
        (BINARY.format("SHA-512", base64.b64encode(bytes.fromhex(SHA512)).decode()), RULES),
        (BINARY.format("SHA-512", SHA512.upper()), RULES),
        (BINARY.format("http://www.w3.org/2001/04/xmlenc#sha512", SHA512), RULES),
        (GOOD, RULES.replace("<StartDate>2026-01-15</StartDate>", '<StartDate xsi:nil="true"/>')),
        (GOOD, _ruled("2026-01-15+01:00")),
    ],
)
def test_every_writing_of_a_digest_and_of_a_day_is_read(tmp_path: Path, objects: str, rules: str) -> None:
    found = read(tmp_path, packaged("2.3", objects, rules))
    assert (found.files[0].algorithm, found.files[0].digest) == ("SHA-512", SHA512)
    assert found.rules[0].start in (date(2026, 1, 15), date(2026, 2, 1))


def test_what_another_standard_says_is_not_taken_for_the_transfer(tmp_path: Path) -> None:
    inside = f'<BinaryDataObject id="B"/>{_ruled("1900-01-01")}<Content><Title>non</Title></Content>'
    inner = f'<x:a xmlns:x="urn:x">{inside}</x:a>'
    found = read(
        tmp_path,
        packaged(
            "2.3", GOOD.replace("</BinaryDataObject>", f"<OtherMetadata>{inner}</OtherMetadata></BinaryDataObject>")
        ),
    )
    assert (len(found.files), len(found.rules), found.title) == (1, 1, "")


def test_a_schema_that_a_manifest_names_is_not_fetched(tmp_path: Path) -> None:
    named = tmp_path / "autre.xsd"
    named.write_text(
        '<schema xmlns="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:x"><element name="a" type="int"/>'
        "</schema>"
    )
    content = packaged("2.3", GOOD.replace("</Binary", '<OtherMetadata><a xmlns="urn:x">x</a></OtherMetadata></Binary'))
    assert reasons(tmp_path, content.replace(b"seda-2.3-main.xsd", f"seda.xsd urn:x {named.as_uri()}".encode())) == []


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16", "ISO-8859-1"])
def test_a_manifest_is_read_in_its_encoding(tmp_path: Path, encoding: str) -> None:
    text = sedalib("2.2").decode().replace("UTF-8", encoding)
    assert read(tmp_path, text.encode(encoding)).message == "ACTE-1"


# -- bounds -------------------------------------------------------------------------------------------------


def _signed(inside: str) -> bytes:
    return packaged("2.3", GOOD).replace(
        b"<CodeListVersions/>", f"<Signature>{inside}</Signature><CodeListVersions/>".encode()
    )


@pytest.mark.parametrize("other", ['<x:a{} xmlns:x="u"/>', '<x:a xmlns:x="u{}"/>', '<x:a xmlns:x="u" b{}=""/>'])
def test_the_names_of_a_manifest_are_counted(tmp_path: Path, other: str) -> None:
    assert reasons(tmp_path, _signed("".join(map(other.format, range(4_900))))) == []
    (shown,) = reasons(tmp_path, _signed("".join(map(other.format, range(11_000)))))
    assert shown == "manifest.xml a plus de 10000 noms différents d'éléments et d'attributs."


def test_a_large_manifest_is_not_held_in_memory(tmp_path: Path) -> None:
    content = f"<Content><Title>Titre</Title><Description>{'mot ' * 100}</Description></Content>"
    many = "".join(f"<ArchiveUnit id='U{rank}'>{content}</ArchiveUnit>\n" for rank in range(10_000))
    path = tmp_path / "manifest.xml"
    path.write_bytes(packaged("2.3", GOOD).replace(b"<DescriptiveMetadata>", f"<DescriptiveMetadata>{many}".encode()))
    held = _resident()
    assert len(seda.read(path, "e", 50_000_000, AGENCY).files) == 1
    assert _resident() - held < 2 * path.stat().st_size


def _resident() -> int:
    """Bytes of memory of this process, the parser's own included."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


# -- answers ------------------------------------------------------------------------------------------------


def _answers(version: str) -> Iterator[bytes]:
    now = datetime(2026, 2, 1, tzinfo=UTC)
    events = [seda.Happened("réception", now.isoformat(timespec="milliseconds"), "OK", "12 octets\x00\ufffe")]
    ends: dict[str, Any] = {
        "identifier": "urn:uuid:1", "when": now, "agency": AGENCY, "sender": SIREN, "version": version
    }  # fmt: skip # a message's ends
    for accepted in (True, False):
        yield seda.reply(
            **ends,
            request="ACTE-1",
            accepted=accepted,
            comments=["Versement"],
            events=events,
            aip="a-1" if accepted else None,
        )
    yield seda.acknowledgement(**ends, received="ACTE-1", comment="reçu")


@EVERY
def test_an_answer_conforms_to_its_version(version: str) -> None:
    schema = official(version)
    for content in _answers(version):
        assert schema.validate(etree.fromstring(content)), schema.error_log


@EVERY
def test_a_transfer_is_answered_in_its_version(gateway: Gateway, version: str) -> None:
    def answered(content: bytes) -> etree._Element:
        answer = gateway.deposit(tar({"manifest.xml": content, **FILES}), GONDECOURT)
        root = etree.fromstring(answer.content)
        assert root.tag == f"{{{namespace(version)}}}ArchiveTransferReply"
        assert root.findtext(f"{{{namespace(version)}}}MessageRequestIdentifier") == "ACTE-1"
        return root

    code = f"{{{namespace(version)}}}ReplyCode"
    assert answered(sedalib(version).replace(b"<Size>75<", b"<Size>x<")).findtext(code) == "KO"
    assert answered(sedalib(version).replace(b"</ArchiveTransfer>", b"")).findtext(code) == "KO"
    assert answered(sedalib(version).replace(b"ACTES-10", b"INCONNUE")).findtext(code) == "KO"
    assert answered(sedalib(version)).findtext(code) == "OK"
