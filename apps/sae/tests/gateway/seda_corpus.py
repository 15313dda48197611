"""Transfers that conform to SEDA 2.1, 2.2 and 2.3, and every kind of fault put into them."""

from __future__ import annotations

import copy
import hashlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

from lxml import etree
from sae.versement.seda import namespace

from testbed.sae import AGENCY, FILES, PDF, SIREN

_XML = "http://www.w3.org/XML/1998/namespace"
_XLINK = "http://www.w3.org/1999/xlink"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
SHA512 = hashlib.sha512(PDF).hexdigest()
ARACTE_SHA512 = hashlib.sha512(FILES["content/ARActe.xml"]).hexdigest()
RULES = (
    "<AppraisalRule><Rule>ACTES-10</Rule><StartDate>2026-01-15</StartDate>"
    "<FinalAction>Keep</FinalAction></AppraisalRule>"
)


def since(version: str, first: str, text: str) -> str:
    """A text that a version has from `first` on."""
    return text if version >= first else ""


def until(version: str, last: str, text: str) -> str:
    """A text that a version has up to `last`."""
    return text if version <= last else ""


def transfer(
    version: str, package: str, *, head: str = "", lists: str = "<CodeListVersions/>", tail: str = ""
) -> bytes:
    """A transfer around a package, as sedalib writes its root."""
    space = namespace(version)
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<ArchiveTransfer xmlns:xlink="{_XLINK}" xmlns:pr="info:lc/xmlns/premis-v2" xmlns="{space}"
  xmlns:xsi="{_XSI}" xsi:schemaLocation="{space} seda-{version}-main.xsd" xml:id="ID1">
<Comment xml:lang="fr">Délibérations du conseil</Comment>
<Date>2026-02-01T10:00:00Z</Date>
<MessageIdentifier schemeID="s" schemeURI="urn:s">ACTE-1</MessageIdentifier>
{head}
{lists}
{package}
{tail}
<ArchivalAgency xml:id="AA"><Identifier>{AGENCY}</Identifier></ArchivalAgency>
<TransferringAgency><Identifier>{SIREN}</Identifier></TransferringAgency>
</ArchiveTransfer>
""".encode()


def sedalib(version: str) -> bytes:
    """What sedalib (resip, mailextract) writes of a folder: groups, units nested in units, management at the end."""
    objects = "".join(
        f"""<DataObjectGroup id="ID{rank}0">
<BinaryDataObject id="ID{rank}1"><DataObjectVersion>BinaryMaster_1</DataObjectVersion><Uri>{name}</Uri>
<MessageDigest algorithm="SHA-512">{hashlib.sha512(content).hexdigest()}</MessageDigest><Size>{len(content)}</Size>
<FormatIdentification><FormatLitteral>Acrobat PDF 1.4</FormatLitteral><MimeType>application/pdf</MimeType>
<FormatId>fmt/18</FormatId></FormatIdentification>
<FileInfo><Filename>{name}</Filename><LastModified>2026-01-15T09:00:00.123Z</LastModified></FileInfo>
</BinaryDataObject></DataObjectGroup>
"""
        for rank, (name, content) in enumerate(FILES.items(), start=2)
    )
    units = "".join(
        f"""<ArchiveUnit id="ID{rank}2"><Content><DescriptionLevel>Item</DescriptionLevel><Title>{name}</Title>
<TransactedDate>2026-01-15T09:00:00</TransactedDate></Content>
<DataObjectReference><DataObjectGroupReferenceId>ID{rank}0</DataObjectGroupReferenceId></DataObjectReference></ArchiveUnit>
"""
        for rank, name in enumerate(FILES, start=2)
    )
    package = f"""<DataObjectPackage>{objects}<DescriptiveMetadata>
<ArchiveUnit id="ID10"><Management>{RULES}</Management><Content><DescriptionLevel>RecordGrp</DescriptionLevel>
<Title>Séance du 15 janvier</Title><Description>Dossier</Description><StartDate>2026-01-15</StartDate></Content>{units}
</ArchiveUnit></DescriptiveMetadata><ManagementMetadata><ArchivalProfile>profil</ArchivalProfile>
<OriginatingAgencyIdentifier>{SIREN}</OriginatingAgencyIdentifier>
<SubmissionAgencyIdentifier>{SIREN}</SubmissionAgencyIdentifier></ManagementMetadata></DataObjectPackage>"""
    names = ["Reply", "MessageDigestAlgorithm", "MimeType", "Encoding", "FileFormat", "CompressionAlgorithm"]
    names += ["DataObjectVersion", "StorageRule", "AppraisalRule", "AccessRule", "DisseminationRule", "ReuseRule"]
    names += ["ClassificationRule", *(["HoldRule"] if version >= "2.2" else [])]
    names += ["AcquisitionInformation", "AuthorizationReason", "Relationship"]
    codes = "".join(f"<{name}CodeListVersion>{name}V1</{name}CodeListVersion>" for name in names)
    return transfer(version, package, lists=f'<CodeListVersions xml:id="CLV">{codes}</CodeListVersions>')


_PLACE = (
    "<Country>France</Country><Geogname>Gondecourt</Geogname><Address>1 place</Address><PostalCode>59147</PostalCode>"
    "<City>Gondecourt</City><Region>Nord</Region>"
)
_PERSON = (
    "<FirstName>Anne</FirstName><BirthName>Petit</BirthName><FullName>Anne Petit</FullName><GivenName>Anne</GivenName>"
    f"<Gender>F</Gender><BirthDate>1970-02-28</BirthDate><BirthPlace>{_PLACE}</BirthPlace><DeathDate>2020-02-29</DeathDate>"
    f"<DeathPlace><City>Loos</City></DeathPlace><Nationality>FR</Nationality><Nationality>BE</Nationality>"
    "<Identifier>a1</Identifier>"
)
_BUSINESS = (
    '<Function xml:lang="fr">Maire</Function><Activity>Élue</Activity><Position>1</Position><Role>Signataire</Role>'
    "<Mandate>2020-2026</Mandate>"
)
_ENTITY = "<Corpname>Mairie</Corpname><Identifier>m1</Identifier><Role>Auteur</Role>"
_OPEN = '<pr:note xlink:type="simple" xlink:href="urn:x" pr:kind="k">texte <pr:b>gras</pr:b></pr:note>'


def rich(version: str) -> bytes:
    """A transfer with every element that the version lets be written."""
    persistent = since(
        version,
        "2.3",
        "<PersistentIdentifier><PersistentIdentifierType>ark</PersistentIdentifierType>"
        "<PersistentIdentifierOrigin>O</PersistentIdentifierOrigin>"
        "<PersistentIdentifierReference>R</PersistentIdentifierReference>"
        "<PersistentIdentifierContent>ark:/1/2</PersistentIdentifierContent></PersistentIdentifier>",
    )
    agent = since(
        version,
        "2.2",
        "<LinkingAgentIdentifier><LinkingAgentIdentifierType>t</LinkingAgentIdentifierType><LinkingAgentIdentifierValue>"
        "v</LinkingAgentIdentifierValue><LinkingAgentRole>r</LinkingAgentRole></LinkingAgentIdentifier>",
    )
    event = (
        "<EventIdentifier>e</EventIdentifier><EventTypeCode>c</EventTypeCode><EventType>t</EventType>"
        "<EventDateTime>2026-01</EventDateTime><EventDetail>d</EventDetail><Outcome>OK</Outcome>"
        "<OutcomeDetail>o</OutcomeDetail><OutcomeDetailMessage>m</OutcomeDetailMessage>"
        f"<EventDetailData>x</EventDetailData>{agent}"
    )
    profile = since(version, "2.2", "<DataObjectProfile>p</DataObjectProfile>")
    use = since(version, "2.3", "<DataObjectUse>u</DataObjectUse><DataObjectNumber>-1</DataObjectNumber>")
    objects = f"""
<DataObjectGroup id="G1"><BinaryDataObject id="B1">{profile}<DataObjectSystemId>s</DataObjectSystemId>
<DataObjectGroupSystemId>g</DataObjectGroupSystemId><Relationship target="B2" type="dépend"/>
<DataObjectVersion>BinaryMaster_1</DataObjectVersion>{persistent}{use}
<Uri>content/acte.pdf</Uri><MessageDigest algorithm="SHA-512">{SHA512}</MessageDigest><Size>{len(PDF)}</Size>
<Compressed algorithm="zip" uncompressedSize="12">oui</Compressed>
<FormatIdentification><FormatLitteral>PDF</FormatLitteral><MimeType>application/pdf</MimeType><FormatId>fmt/18</FormatId>
<Encoding>UTF-8</Encoding></FormatIdentification>
<FileInfo><Filename>acte.pdf</Filename><CreatingApplicationName>n</CreatingApplicationName>
<CreatingApplicationVersion>1</CreatingApplicationVersion>
<DateCreatedByApplication>2026-01-15T09:00:00+01:00</DateCreatedByApplication><CreatingOs>o</CreatingOs>
<CreatingOsVersion>1</CreatingOsVersion><LastModified>2026-01-15T09:00:00</LastModified></FileInfo>
<Metadata><Document xml:id="D1" xlink:href="urn:d">{_OPEN}</Document></Metadata>
<OtherMetadata>{_OPEN}{_OPEN}</OtherMetadata></BinaryDataObject>
<PhysicalDataObject id="P1"><DataObjectVersion>PhysicalMaster_1</DataObjectVersion><PhysicalId>boîte 1</PhysicalId>
<PhysicalDimensions><Width unit="centimetre">21.0</Width><Height unit="CMT">29.7</Height><Depth unit="inch">.5</Depth>
<Shape>carré</Shape><Diameter unit="metre">1</Diameter><Length unit="4H">1</Length><Thickness unit="FOT">1</Thickness>
<Weight unit="gram">12</Weight><NumberOfPage>3</NumberOfPage></PhysicalDimensions></PhysicalDataObject>
<LogBook><Event>{event}<DataObjectReferenceId>B1</DataObjectReferenceId></Event></LogBook></DataObjectGroup>
<BinaryDataObject id="B2"><DataObjectGroupId>G2</DataObjectGroupId><Uri>content/ARActe.xml</Uri>
<MessageDigest algorithm="SHA-512">{ARACTE_SHA512}</MessageDigest>
<Metadata><Image/></Metadata></BinaryDataObject>
<PhysicalDataObject id="P2"><DataObjectGroupReferenceId>G2</DataObjectGroupReferenceId></PhysicalDataObject>"""
    rule = '<Rule id="{id}">ACTES-10</Rule><StartDate>2026-01-15</StartDate><Rule>COURTE-1</Rule>'
    hold = since(
        version,
        "2.2",
        "<HoldRule><Rule>h</Rule><StartDate>2026-01-15</StartDate><HoldEndDate xsi:nil='true'/><HoldOwner>o</HoldOwner>"
        "<HoldReassessingDate>2030-01-01</HoldReassessingDate><HoldReason>r</HoldReason>"
        "<PreventRearrangement>1</PreventRearrangement><Rule>i</Rule><PreventInheritance/></HoldRule>",
    )
    management = f"""<StorageRule>{rule.format(id="R1")}<FinalAction>Copy</FinalAction></StorageRule>
<AppraisalRule>{rule.format(id="R2")}<PreventInheritance>true</PreventInheritance><FinalAction>Destroy</FinalAction>
</AppraisalRule><AccessRule>{rule.format(id="R3")}<RefNonRuleId id="R4">x</RefNonRuleId><RefNonRuleId>y</RefNonRuleId>
</AccessRule><DisseminationRule><Rule>d</Rule><StartDate xsi:nil="true"/></DisseminationRule><ReuseRule/>
<ClassificationRule><Rule>c</Rule><ClassificationAudience>a</ClassificationAudience>
<PreventInheritance>false</PreventInheritance><ClassificationLevel>l</ClassificationLevel>
<ClassificationOwner>o</ClassificationOwner><ClassificationReassessingDate>2030-01-01</ClassificationReassessingDate>
<NeedReassessingAuthorization>0</NeedReassessingAuthorization></ClassificationRule>
<LogBook><Event>{event}</Event></LogBook><NeedAuthorization>true</NeedAuthorization>{hold}"""
    signed = until(
        version,
        "2.2",
        f"""<Signature><Signer>{_PERSON}<SigningTime>2026-01-15T09:00:00Z</SigningTime>{_BUSINESS}</Signer>
<Validator><Corpname>ACTALIS</Corpname><ValidationTime>2026-01-15T09:00:00Z</ValidationTime></Validator>
<Masterdata>m</Masterdata><ReferencedObject><SignedObjectId>B1</SignedObjectId>
<SignedObjectDigest algorithm="SHA-256">{"ab" * 32}</SignedObjectDigest></ReferencedObject></Signature>""",
    ) + since(
        version,
        "2.3",
        f"""<SigningInformation><SigningRole>SignedDocument</SigningRole><SigningRole>Timestamp</SigningRole>
<DetachedSigningRole>Signature</DetachedSigningRole><SignedDocumentReferenceId>U2</SignedDocumentReferenceId>
<SignatureDescription><Signer>{_PERSON}<SigningTime>2026-01-15T09:00:00Z</SigningTime>{_BUSINESS}</Signer>
<Validator><Corpname>AC</Corpname><ValidationTime>2026-01-15T09:00:00Z</ValidationTime></Validator>
<SigningType>XAdES</SigningType></SignatureDescription><TimestampingInformation>
<TimeStamp>2026-01-15T09:00:00Z</TimeStamp>
<AdditionalTimestampingInformation>a</AdditionalTimestampingInformation></TimestampingInformation>
<AdditionalProof><AdditionalProofInformation>p</AdditionalProofInformation></AdditionalProof></SigningInformation>""",
    )
    content = f"""<DescriptionLevel>File</DescriptionLevel><Title>Séance</Title><Title xml:lang="en">Session</Title>
<FilePlanPosition>1.2</FilePlanPosition><SystemId>s</SystemId><OriginatingSystemId>o</OriginatingSystemId>
<ArchivalAgencyArchiveUnitIdentifier>a</ArchivalAgencyArchiveUnitIdentifier>
<OriginatingAgencyArchiveUnitIdentifier>b</OriginatingAgencyArchiveUnitIdentifier>
<TransferringAgencyArchiveUnitIdentifier>c</TransferringAgencyArchiveUnitIdentifier><Description>d</Description>
<CustodialHistory><CustodialHistoryItem when="2025">chez nous</CustodialHistoryItem><CustodialHistoryFile id="H1">
<DataObjectReferenceId>B1</DataObjectReferenceId></CustodialHistoryFile></CustodialHistory><Type>t</Type>
<DocumentType>Acte</DocumentType><Language>fra</Language><Language>fr-FR</Language>
<DescriptionLanguage>fr</DescriptionLanguage><Status>s</Status><Version>1</Version><Tag>t</Tag><Tag>u</Tag>
<Keyword id="K1"><KeywordContent>école</KeywordContent><KeywordReference schemeName="n">1</KeywordReference>
<KeywordType listVersionID="v">subject</KeywordType></Keyword><Keyword><KeywordContent/></Keyword>
<Coverage><Spatial>s</Spatial><Temporal>t</Temporal><Juridictional>j</Juridictional></Coverage>
<OriginatingAgency><Identifier>{SIREN}</Identifier><OrganizationDescriptiveMetadata>{_OPEN}
</OrganizationDescriptiveMetadata></OriginatingAgency><SubmissionAgency><Identifier>{SIREN}</Identifier></SubmissionAgency>
{since(version, "2.2", f"<Agent>{_ENTITY}</Agent>")}<AuthorizedAgent>{_PERSON}{_BUSINESS}</AuthorizedAgent>
<Writer>{_ENTITY}</Writer><Writer/><Addressee>{_ENTITY}</Addressee><Recipient>{_ENTITY}</Recipient>
<Transmitter>{_ENTITY}</Transmitter><Sender>{_ENTITY}</Sender><Source>s</Source>
<RelatedObjectReference><IsVersionOf><ArchiveUnitRefId>U2</ArchiveUnitRefId></IsVersionOf>
<Replaces><DataObjectReference><DataObjectGroupReferenceId>G1</DataObjectGroupReferenceId></DataObjectReference></Replaces>
<Requires><RepositoryArchiveUnitPID>p</RepositoryArchiveUnitPID></Requires>
<IsPartOf><RepositoryObjectPID>p</RepositoryObjectPID></IsPartOf>
<References><ExternalReference>e</ExternalReference></References></RelatedObjectReference>
<CreatedDate>2026</CreatedDate><TransactedDate>2026-01</TransactedDate><AcquiredDate>2026-01-15</AcquiredDate>
<SentDate>2026-01-15T09:00:00Z</SentDate><ReceivedDate>--01-15</ReceivedDate><RegisteredDate>---15</RegisteredDate>
<StartDate>--01</StartDate><EndDate>2026-01-15</EndDate>{since(version, "2.2", "<DateLitteral>hier</DateLitteral>")}
<Event>{event}</Event>{signed}
<Gps><GpsVersionID>2</GpsVersionID><GpsAltitude>-12</GpsAltitude><GpsAltitudeRef>0</GpsAltitudeRef>
<GpsLatitude>50</GpsLatitude><GpsLatitudeRef>N</GpsLatitudeRef><GpsLongitude>3</GpsLongitude>
<GpsLongitudeRef>E</GpsLongitudeRef><GpsDateStamp>d</GpsDateStamp></Gps>
{since(version, "2.2", "<OriginatingSystemIdReplyTo>r</OriginatingSystemIdReplyTo><TextContent>texte</TextContent>")}
{persistent}"""
    package = f"""<DataObjectPackage xml:id="DOP">{objects}<DescriptiveMetadata><ArchiveUnit id="U1">
<ArchiveUnitProfile>p</ArchiveUnitProfile><Management>{management}</Management><Content>{content}</Content>
<ArchiveUnit id="U2"><Content/></ArchiveUnit>
<DataObjectReference id="O1"><DataObjectReferenceId>P1</DataObjectReferenceId></DataObjectReference>
<ArchiveUnit id="U3"><ArchiveUnitRefId>U2</ArchiveUnitRefId></ArchiveUnit>
<DataObjectReference><DataObjectGroupReferenceId>G2</DataObjectGroupReferenceId></DataObjectReference></ArchiveUnit>
<ArchiveUnit id="U4"><Content/></ArchiveUnit></DescriptiveMetadata>
<ManagementMetadata xml:id="MM"><ArchivalProfile>p</ArchivalProfile><ServiceLevel>s</ServiceLevel>
<AcquisitionInformation>a</AcquisitionInformation><LegalStatus>Public Archive</LegalStatus>
<OriginatingAgencyIdentifier>{SIREN}</OriginatingAgencyIdentifier>
<SubmissionAgencyIdentifier>{SIREN}</SubmissionAgencyIdentifier>{RULES}</ManagementMetadata></DataObjectPackage>"""
    code = 'listID="i" listAgencyName="n" listVersionID="v" name="n" languageID="fr" listURI="urn:l"'
    return transfer(
        version,
        package,
        head=f'<Signature xml:id="SIG">{_OPEN}</Signature><ArchivalAgreement>accord</ArchivalAgreement>',
        lists=f"<CodeListVersions><FileFormatCodeListVersion {code}>PRONOM</FileFormatCodeListVersion>"
        "</CodeListVersions>",
        tail="<RelatedTransferReference>t0</RelatedTransferReference>"
        "<RelatedTransferReference>t1</RelatedTransferReference><TransferRequestReplyIdentifier>r</TransferRequestReplyIdentifier>",
    )


# A value of every kind that a field may not have, or may.
_VALUES = (
    "", " ", "x", "0", "-1", "12", "1.5", "true", "2026-02-30", "2026-02-28", "2026-02-28T25:00:00Z", "Keep", "Copy",
    "Public Archive", "Item", "subject", "Timestamp", "fr", "français long", "G1", "B1", "1B", "NulPart", "AAA=", "abc",
    "A" * 600, "é", "http://[x", "99999999999999999999",
)  # fmt: skip # a list by rows
_NEW = (
    "Title", "Content", "ArchiveUnit", "Identifier", "Date", "Rule", "StartDate", "FinalAction", "Signature", "Agent",
    "HoldRule", "PersistentIdentifier", "TextContent", "Extended", "Attachment", "Uri", "Inconnu",
)  # fmt: skip # a list of words


def mutants(content: bytes, step: int = 1, first: int = 0) -> Iterator[tuple[str, bytes]]:
    """Faults of one place each, with their names: all, or one in `step`. Some leave the transfer conform."""
    tree = etree.fromstring(content)
    count = itertools.count(-first)
    for rank, node in enumerate(tree.iter("*")):
        name = f"{rank} {etree.QName(node).localname}"
        for label, change in _changes(node):
            if next(count) % step:
                continue
            other = copy.deepcopy(tree)
            change(next(itertools.islice(other.iter("*"), rank, None)))
            yield f"{name} : {label}", etree.tostring(other.getroottree(), xml_declaration=True, encoding="UTF-8")


_Change = Callable[[Any], object]  # what is done to an element


def _changes(node: etree._Element) -> Iterator[tuple[str, _Change]]:
    space, name = str(etree.QName(node).namespace), etree.QName(node).localname
    parent = node.getparent()
    if parent is not None:
        yield "retiré", lambda one: one.getparent().remove(one)
        yield "doublé", lambda one: one.addnext(copy.deepcopy(one))
        yield "déplacé à la fin", lambda one: one.getparent().append(one)
        yield "déplacé au début", lambda one: one.getparent().insert(0, one)
        if parent.getparent() is not None:
            yield "déplacé dehors", lambda one: one.getparent().addnext(one)
    for other in ("Autre", "Title", "Comment", "DataObjectGroup"):
        yield f"renommé {other}", _tagged(f"{{{space}}}{other}")
    for other in ("", "urn:autre", namespace("2.0")):
        yield f"d'un autre espace {other}", _tagged(f"{{{other}}}{name}" if other else name)
    for added in _NEW:
        yield f"avec {added}", _holding(f'<{added} xmlns="{space}">x</{added}>')
    yield "avec un élément d'ailleurs", _holding('<a xmlns="urn:a"><b/></a>')
    yield "vidé", lambda one: [one.remove(child) for child in list(one)]
    yield "avec du texte", lambda one: setattr(one, "text", f"{one.text or ''}du texte")
    if not len(node):
        for value in _VALUES:
            yield f"« {value[:20]} »", _valued(value)
    for attribute in map(str, node.attrib):
        yield f"sans {attribute}", _without(attribute)
        for value in _VALUES:
            yield f"{attribute}=« {value[:20]} »", _with(attribute, value)
    for attribute in ("a", "id", f"{{{_XML}}}id", f"{{{_XML}}}lang", f"{{{_XLINK}}}href", f"{{{_XSI}}}nil", "{urn:a}a"):
        yield f"avec {attribute}", _with(attribute, "true")
    yield "avec un type", _with(f"{{{_XSI}}}type", "TextType")


def _tagged(tag: str) -> _Change:
    return lambda one: setattr(one, "tag", tag)


def _holding(text: str) -> _Change:
    return lambda one: one.append(etree.fromstring(text))


def _valued(text: str) -> _Change:
    return lambda one: setattr(one, "text", text)


def _without(attribute: str) -> _Change:
    return lambda one: one.attrib.pop(attribute)


def _with(attribute: str, value: str) -> _Change:
    return lambda one: one.set(attribute, value)
