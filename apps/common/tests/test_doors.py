"""Every door gives each kind of certificate the rights of its table, and no more, whatever a subject is made of.

The certificates are drawn: a kind, a SIREN, and a change of which it is known beforehand whether it leaves the kind
what it is or makes it nobody's. The rights that each door is asked for are those written here.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock
from urllib.parse import quote

import jinja2
import pytest
import yaml
from ansible_collections.cdg59.creatic.plugins.filter.persons import persons_of
from ansible_collections.cdg59.creatic.plugins.module_utils.pki import common, names
from creatic_enrolement.store import Store as Enrolment
from creatic_enrolement.web import create_app as enrolment_app
from creatic_guichet.store import Store, common_name
from creatic_guichet.web import create_app as guichet_app
from creatic_journaux import receive
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from flask import Flask, url_for
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markupsafe import escape
from passerelle import config as passerelle
from passerelle.identity import Right, visitor
from passerelle.web import create_app as passerelle_app
from sae import config as sae
from sae.api import create_app as archives_app
from sae.identity import depositor_of, opened_by, reader_of
from tdt_simulator.identity import read

from creatic_agent import identity
from creatic_agent.identity import HEADER, NOBODY, Denied, Identity, Kind, certificate_of, identity_of, kind_of
from testbed.authority import certificate

pytestmark = pytest.mark.filterwarnings("ignore:Attribute's length")
TOP = Path(__file__).parents[3]
COMMUNE, ENTITY, GROUPEMENT, STRANGER = "215902669", "265902668", "285900015", "356000000"
MACHINE = "gondecourt-connecteur"
CONNECTOR = "Connecteur - Commune de Gondecourt"
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
CN, OU, ORG, NTR = (
    NameOID.COMMON_NAME,
    NameOID.ORGANIZATIONAL_UNIT_NAME,
    NameOID.ORGANIZATION_NAME,
    NameOID.ORGANIZATION_IDENTIFIER,
)
NAMES = {
    Kind.PERSON: ["Léa Martin", "Secrétariat général", "DUPONT Jean 0123", "Anne Acart", "Œ. d’Ascq", "Machin - Loos",
                  "SCEAUX Marie", "Machinet Paul", "Cacheteux", "CACHET Dufour", "Cachet-Dupuis Léa", "Ács Ilona",
                  "A. C. Dupont", "Nguyễn Thị Hạnh", "pc-mairie", "Paul «\u00a0Cœur\u00a0»", "L" * 64],
    Kind.CONNECTOR: [CONNECTOR, "Connecteur - CCAS d’Haÿ", "Connecteur - Лоос № 1", f"Connecteur - {'x' * 51}"],
    Kind.MACHINE: [common_name(MACHINE), "Machine - poste-2", common_name("a" * 60)],
    Kind.SERVICE: sorted(identity.SERVICES),
}  # fmt: skip # a kind a line
# Nobody's, whatever SIREN they come with.
LOOKALIKES = [
    "connecteur - Commune de Gondecourt", "CONNECTEUR - Gondecourt", "Connecteur", "Connecteur -", "Connecteur-Loos",
    "Connecteur  - Loos", "Connecteur –\u00a0Loos", "Сonnecteur - Loos", "Ｃonnecteur - Loos", "C0nnecteur - Loos",
    "Connecteur\u00a0- Loos", "Çonnecteur - Loos", "C\u0327onnecteur - Loos", "Conn ecteur - Loos",
    "machine - poste", "Machine-poste", "Machine  - poste", "Machine - Poste", "Machine - poste 12", "𝐌achine - poste",
    "Machlne - poste", "rnachine - poste", "Μachine - poste", "Machine – poste", "Machine - poste\u200b",
    "Passerelle", "PASSERELLE DES ARCHIVES", "Pàsserelle", "Pạsserelle", "Passere11e des archives", "PassereIIe",
    "Ⲣasserelle", "P a s s e r e l l e", "Pa\u00adsserelle", "Parapheur", "parapheur de Loos", "ѕceau",
    "Sceau du maire", "Attestatіons", "Horodatage", "Hοrodatage", "cachet du parapheur", "AC Racine", "ac - racine",
    "AC", "Preuves de deploiement", "Passerelles des archives", "C achet  du x", "Machine", "Sceau - Loos",
    "Passerelle des archives\u202e", "\u202eLéa Martin", "Léa\u2066 Martin", "Léa\x1b[2J Martin", "Léa\nMartin",
    "Léa\x00", " Léa Martin", "Léa Martin ", "\u00a0Léa", "Léa\tMartin", "Лея Мартин", "Λεα", "李雷", "Léa\ue000",
    "Léa \U0001f600", "- - -", "0123", "L" * 65, "ſceau",
]  # fmt: skip # a list of names


@dataclass(frozen=True)
class Case:
    """A drawn certificate, and who it is."""

    shown: x509.Certificate
    who: Identity
    change: str

    @property
    def header(self) -> str:
        return quote(self.shown.public_bytes(serialization.Encoding.PEM).decode())


def subject(*parts: list[tuple[x509.ObjectIdentifier, str]], kind: _ASN1Type | None = None) -> x509.Name:
    """A subject by its RDNs; cryptography's own checks of length set aside, as an authority's may be."""
    made = [
        [x509.NameAttribute(oid, value, kind if oid == CN else None, _validate=False) for oid, value in one]
        for one in parts
    ]
    return x509.Name([x509.RelativeDistinguishedName(one) for one in made])


def drawn(rand: random.Random) -> Case:
    """A certificate with one change, or none."""
    kind = rand.choice(list(NAMES))
    name, siren = rand.choice(NAMES[kind]), rand.choice([COMMUNE, ENTITY, GROUPEMENT, STRANGER])
    other = rand.choice([COMMUNE, GROUPEMENT])
    named, org, unit = [(CN, name)], [(ORG, "Commune")], [(OU, f"0002 {siren}")]
    who, usages, ca, dns = Identity(kind, siren, name), [CLIENT], False, list[str]()
    change = rand.choice(CHANGES)
    parts = [[(NameOID.COUNTRY_NAME, "FR")], org, unit, named]
    text: _ASN1Type | None = None
    match change:
        case "order":
            rand.shuffle(parts)
        case "one RDN":
            parts = [[*org, *unit, *named]]
        case "SIRET":
            unit[0] = (OU, f"0002 {siren}00013")
        case "BMP":
            text = _ASN1Type.BMPString if all(ord(one) < 0xFFFF for one in name) else None
        case "same SIREN twice":
            parts.append([(NTR, f"NTRFR-{siren}")])
        case "another OU":
            parts.insert(2, [(OU, "Mairie")])
        case "two CNs":
            parts.insert(rand.randrange(5), [(CN, rand.choice([*NAMES[Kind.CONNECTOR], *NAMES[Kind.SERVICE], name]))])
            who = NOBODY
        case "two CNs in one RDN":
            named.append((CN, rand.choice([f"{name[:60]} 2", "x"])))
            who = NOBODY
        case "no CN":
            parts.remove(named)
            who = NOBODY
        case "CN in O":
            named[0], org[0] = (ORG, name), (ORG, name)
            who = NOBODY
        case "look-alike" | "look-alike again":
            named[0] = (CN, rand.choice(LOOKALIKES))
            who = NOBODY
        case "SIREN with text":
            wrong = (
                f"0002 {siren} Mairie|x0002 {siren}|0002 {siren}0|0002\n{siren}|0002 {siren}\n|00002 {siren}|{siren}"
            )
            unit[0] = (OU, rand.choice([*wrong.split("|"), "0002", "0002 ٢١٥٩٠٢٦٦٩"]))
            who = NOBODY
        case "two SIRENs":
            if other != siren:
                parts.append(rand.choice([[(OU, f"0002 {other}")], [(NTR, f"NTRFR-{other}")]]))
                who = NOBODY
        case "no SIREN":
            parts.remove(unit)
            who = NOBODY
        case "authority":
            ca, who = True, NOBODY
        case "other usage":
            usages = [rand.choice([SERVER, common.DOCUMENT_SIGNING, ExtendedKeyUsageOID.TIME_STAMPING,
                                   ExtendedKeyUsageOID.EMAIL_PROTECTION])]  # fmt: skip
            who = NOBODY
        case "server's name":
            dns, who = ["documents"], NOBODY
        case "host":
            parts, dns, who = [[(CN, "poste-3")]], ["poste-3"], Identity(Kind.HOST, "", "poste-3")
        case "host's SIREN":
            parts, dns, who = [[(CN, "poste-3")], [(NTR, f"NTRFR-{siren}")]], ["poste-3"], NOBODY
        case "host of two names":
            parts, dns, who = [[(CN, "poste-3")]], ["poste-3", MACHINE], NOBODY
    extensions: list[x509.ExtensionType] = [x509.ExtendedKeyUsage(usages)]
    extensions += [x509.SubjectAlternativeName([x509.DNSName(one) for one in dns])] * bool(dns)
    made = certificate("", None, ca=ca, subject=subject(*parts, kind=text), extensions=extensions)[0]
    return Case(made, who, change)


CHANGES = [
    "none", "order", "one RDN", "SIRET", "BMP", "same SIREN twice", "another OU", "two CNs", "two CNs in one RDN",
    "no CN", "CN in O", "look-alike", "look-alike again", "SIREN with text", "two SIRENs", "no SIREN", "authority",
    "other usage", "server's name", "host", "host's SIREN", "host of two names",
]  # fmt: skip # a list of words


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    rand = random.Random(59)  # noqa: S311 - the same ones each time
    found = [drawn(rand) for _ in range(600)]
    assert set(Counter(one.change for one in found)) == set(CHANGES)
    assert {one.who.kind for one in found} == set(Kind)
    return found


def test_a_certificate_is_who_its_subject_says_or_nobody(cases: list[Case]) -> None:
    for one in cases:
        assert identity_of(one.shown) == one.who, (one.change, one.shown.subject)


@pytest.mark.parametrize(
    "name",
    ["Machin Eric", "Emma Machin", "Cacheteux Marie", "SCEAUX Marie", "Luc Passereau", "Anne Acart", "Cachet Dufour",
     "Preuvost Luc", "Jean-Noël D'Hulst", "Łukasz Wróbel", "Zoë Ünal"],
)  # fmt: skip # a list of names
def test_people_of_here_are_people_for_doors_and_authority(name: str) -> None:
    assert kind_of(name) is Kind.PERSON
    assert common.person_name(name) == name


@pytest.mark.parametrize("sign", "•→½×€§©®±÷„‹›′″…™²№†\u2012\u2015\u2043\u2212\u201a\u201b")
def test_a_sign_that_the_authority_certifies_keeps_nobody_out(sign: str) -> None:
    name = f"Accueil {sign} État civil"
    common.Request.from_dict(
        {"name": "x", "profile": "client", "common_name": name, "organization": "Mairie", "siren": "215902669"}
    )
    assert kind_of(name) is Kind.PERSON


@pytest.mark.parametrize(
    "name",
    [
        "Connecteur \u2212 Loos",
        "Connec†eur - Loos",
        "Machine \u2012 x",
        "Conn€cteur - Loos",
        "Attestation§ des archives",
        "A©",
        "Ma©hine - x",
    ],
)
def test_a_sign_that_looks_like_a_letter_is_that_letter(name: str) -> None:
    assert kind_of(name) is Kind.NOBODY


@pytest.mark.parametrize("name", LOOKALIKES)
def test_what_looks_like_a_service_s_name_or_cannot_be_read_is_nobody(name: str) -> None:
    assert kind_of(name) is Kind.NOBODY


def test_the_passerelle_gives_the_rights_of_its_table(cases: list[Case]) -> None:
    commune = passerelle.Commune("gondecourt", "Gondecourt", COMMUNE, ())
    entity = passerelle.Commune("gondecourt-ccas", "CCAS", ENTITY, (), host="gondecourt")
    config = passerelle.Config({one.slug: one for one in (commune, entity)}, siren=GROUPEMENT)
    rights: dict[tuple[Kind, str], tuple[Right, str | None]] = {
        (Kind.PERSON, COMMUNE): (Right.PAGES, "gondecourt-ccas"),  # it chose what its commune hosts
        (Kind.PERSON, ENTITY): (Right.PAGES, "gondecourt-ccas"),
        (Kind.CONNECTOR, COMMUNE): (Right.CONNECTOR, "gondecourt"),
        (Kind.CONNECTOR, ENTITY): (Right.CONNECTOR, "gondecourt-ccas"),
        (Kind.PERSON, GROUPEMENT): (Right.ALL_PAGES, None),
    }
    for one in cases:
        try:
            found = visitor(one.header, config, "gondecourt-ccas")
            got = (found.right, found.commune and found.commune.slug)
        except Denied as error:
            assert str(error).isprintable()
            got = None
        assert got == rights.get((one.who.kind, one.who.siren)), (one.change, one.shown.subject)


def test_the_archives_give_the_rights_of_their_table(cases: list[Case]) -> None:
    accounts = [
        sae.Account("gondecourt", "Gondecourt", COMMUNE, depositors=(CONNECTOR,)),
        sae.Account("ccas", "CCAS", ENTITY, host="gondecourt"),
        sae.Account("groupement", "Groupement", GROUPEMENT, depositors=()),
    ]
    config = sae.Config("sae", {one.name: one for one in accounts}, {})
    reads = {
        (Kind.PERSON, COMMUNE): ["gondecourt", "ccas"],
        (Kind.CONNECTOR, COMMUNE): ["gondecourt"],
        (Kind.PERSON, ENTITY): ["ccas"],
        (Kind.CONNECTOR, ENTITY): ["ccas"],
        (Kind.PERSON, GROUPEMENT): ["groupement"],
        (Kind.CONNECTOR, GROUPEMENT): ["groupement"],
    }
    for one in cases:
        opened, given = reads.get((one.who.kind, one.who.siren), []), []
        try:
            given = [account.name for account in opened_by(one.header, config)]
        except Denied as error:
            assert str(error).isprintable()
        assert given == opened, (one.change, one.shown.subject)
        for account in accounts:
            assert (account.name in opened) is allowed(reader_of, one.header, config, account.name)
        deposits = bool(opened) and (one.who.name == CONNECTOR or one.who.siren == ENTITY)
        assert allowed(depositor_of, one.header, config) is (deposits and one.who.siren != GROUPEMENT)


def test_the_guichet_knows_its_machines_alone(cases: list[Case], tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store._open() as db:
        for name, siren in ((MACHINE, COMMUNE), ("a" * 60, GROUPEMENT)):
            db.execute("INSERT INTO machines (nom, siren, attendue) VALUES (?, ?, 1)", (name, siren))
    known = {
        (Kind.MACHINE, COMMUNE, common_name(MACHINE)): MACHINE,
        (Kind.MACHINE, GROUPEMENT, common_name("a" * 60)): "a" * 60,
    }
    for one in cases:
        assert store.named(identity_of(one.shown)) == known.get((one.who.kind, one.who.siren, one.who.name), "")


def test_the_enrolment_door_shows_people_themselves_alone(cases: list[Case], tmp_path: Path) -> None:
    """Whoever asks with a token shows no certificate: its own tests say what it gets."""
    store = Enrolment(tmp_path)
    door = enrolment_app(store).test_client()
    for one in cases:
        answer, seen = door.get("/identite", headers={HEADER: one.header}), one.who.kind is Kind.PERSON
        assert answer.status_code == (200 if seen else 403), (one.change, one.who)
        assert not seen or (escape(one.who.name) in answer.text and one.who.siren in answer.text)
        for method, path in (("POST", "/renouvellements"), ("GET", "/renouvellements/1")):
            told = door.open(path, method=method, headers={HEADER: one.header}, json={})
            assert (told.status_code == 403) is not seen, (method, path, one.change, one.who)
    known = {one["titulaire"] for one in store.statement(0, datetime.now(UTC))["vus"]}
    assert known <= {*NAMES[Kind.PERSON]} and known


def test_the_collector_and_the_platform_know_their_own(cases: list[Case]) -> None:
    for one in cases:
        told = receive.name_of(one.shown.public_bytes(serialization.Encoding.DER))
        assert told == (one.who.name if one.who.kind is Kind.HOST else ""), one.change
        opens = one.who.kind in (Kind.PERSON, Kind.CONNECTOR)
        found = read(one.shown.public_bytes(serialization.Encoding.PEM).decode())
        assert found.siren == (one.who.siren if opens else None), one.change


def test_nginx_lets_in_whom_its_expressions_are_for_alone(cases: list[Case], tmp_path: Path) -> None:
    """As OpenSSL writes subjects: never more than the table, and all that the authority itself issues."""
    site, node = expression("nginx_tls", "site.conf.j2"), expression("archive_node", "nginx.conf.j2")
    for one in cases[:200]:
        written = as_nginx_writes(one.shown, tmp_path)
        own = one.who.kind is not Kind.NOBODY and one.shown.subject == subject(*layout(one.who))
        people = one.who.kind is Kind.PERSON and one.who.siren == GROUPEMENT and "\u00a0" not in one.who.name
        admitted = bool(re.search(persons_of(GROUPEMENT), written))
        elsewhere = one.change in ("other usage", "authority", "server's name")  # TLS refuses these, or the authority
        assert admitted is people if own else not admitted or people or elsewhere, (one.change, written)
        if one.who.kind is Kind.MACHINE:
            assert re.search(site, written), written
        elif one.who.kind is not Kind.NOBODY:
            assert not re.search(site, written), written
        archives = not re.search(node, f"SUCCESS,{written}")
        assert (
            archives is (own and (one.who.name, one.who.siren) == ("Passerelle des archives", GROUPEMENT)) or elsewhere
        ), (one.change, written)


@pytest.mark.parametrize("name", NAMES[Kind.PERSON])
def test_nginx_shows_people_their_pages_however_their_names_are_written(name: str, tmp_path: Path) -> None:
    made = certificate("", None, subject=subject(*layout(Identity(Kind.PERSON, GROUPEMENT, name))))[0]
    admitted = "\u00a0" not in name  # which the authority makes a space
    assert bool(re.search(persons_of(GROUPEMENT), as_nginx_writes(made, tmp_path))) is admitted


# Signs that a clerk types, pastes from Word or has on a keyboard, and letters of here, written in two signs too.
TYPED = st.sampled_from(
    ["e\u0301", "\u00a0", "rn", "AC", "Machin", "Sceau", "Léa", "Martin", *"¿¡£€§µª²½™ﬁＡ$%{ŉ0’–°ŒÿȚạ -'(\",#=•→±"]
)
TYPED_NAMES = st.lists(TYPED | st.characters(codec="utf-8", max_codepoint=0x2122), min_size=1, max_size=8).map("".join)


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(name=TYPED_NAMES, siren=st.sampled_from([COMMUNE, GROUPEMENT]))
def test_every_name_that_the_authority_certifies_is_somebody_s_at_every_door(name: str, siren: str) -> None:
    try:
        asked = common.Request.from_dict(
            {"name": "a", "profile": "client", "common_name": name, "organization": "Commune", "siren": siren}
        )
    except common.PkiError:
        return
    extensions = [x509.ExtendedKeyUsage([CLIENT])]
    made = certificate("", None, subject=asked.subject(), extensions=extensions)[0]
    assert identity_of(made) == Identity(Kind.PERSON, siren, asked.common_name)
    written = f"CN={''.join(map(names._as_nginx_writes, asked.common_name))},OU=0002 {siren},O=Commune,C=FR"
    assert bool(re.search(persons_of(GROUPEMENT), written)) is (siren == GROUPEMENT), written
    assert not re.search(expression("nginx_tls", "site.conf.j2"), written)


def test_each_character_is_certified_or_refused_with_its_place_and_fix(tmp_path: Path) -> None:
    """Of all that two bytes write, and the signs of Word; what nginx writes is asked of OpenSSL."""
    signs = [*map(chr, range(0x20, 0x7F)), *map(chr, range(0xA0, 0x180)), *"’‘“”–—ȘșȚțẞẠễ…•€™ſ‑"]
    certified = {one: not names.unknown_sign(one) for one in signs}
    for one in "¿¡£¥¦¬¶¤":
        assert not certified[one]
        with pytest.raises(common.PkiError, match=r"champ common_name : « .* n'est pas un signe .* À faire : "):
            common.Request("a", "client", f"Léa {one} Martin", "Commune", COMMUNE).check()
    for one in "àâçéèêëîïôùûüÿœæÀÉŒŸ'’-–«»°(),.&/€$%²½…•™":
        assert certified[one]
        common.Request("a", "client", f"Léa {one}Martin", "Commune", COMMUNE).check()
    for one in list(certified)[::9]:
        if one.strip():
            whole = f"Léa {one} Martin"
            who = certificate("", None, subject=subject(*layout(Identity(Kind.PERSON, GROUPEMENT, whole))))[0]
            assert bool(re.search(persons_of(GROUPEMENT), as_nginx_writes(who, tmp_path))) is certified[one], one


@pytest.mark.parametrize(
    "name",
    [
        "Aÿ-Champagne - Accueil",
        "Aï Nguyen",
        "He\u0301le\u0300ne Le\u0301ger",
        "Phương Dương",
        "Nguyễn Thị Hường",
        "Ḥasan Ǧemal",
    ],
)
def test_the_authority_goes_on_certifying_whom_doors_know(name: str) -> None:
    """What was certified before, and is somebody's everywhere, is so still: its machine would get nothing any more."""
    assert kind_of(name) is Kind.PERSON
    asked = common.Request.from_dict(
        {"name": "a", "profile": "client", "common_name": name, "organization": "Commune", "siren": GROUPEMENT}
    )
    assert asked.common_name == unicodedata.normalize("NFC", name)
    written = "".join(map(names._as_nginx_writes, asked.common_name))
    assert re.search(persons_of(GROUPEMENT), f"CN={written},OU=0002 {GROUPEMENT},O=Commune,C=FR")


def test_a_short_reserved_word_is_read_to_the_letter() -> None:
    letters = [one for one in map(chr, range(0x21, 0x2000)) if one.isalpha() and not names.unknown_sign(one)]
    for one in letters:
        for name in (f"A{one} Martin", f"{one}c Martin"):
            assert names.reads_as_reserved(name) is (kind_of(name) is Kind.NOBODY), name


def test_nginx_takes_the_expression_of_people(tmp_path: Path) -> None:
    """One parameter of a configuration is 4 kB at most, each backslash written twice."""
    written = json.dumps(persons_of(GROUPEMENT))
    assert len(written) < 4000
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{\n"
        + "".join(f"{one}_temp_path {tmp_path};\n" for one in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        + f"access_log off; server {{ listen unix:{tmp_path}/s; if ($http_host !~ {written}) {{ return 403; }} }} }}\n",
        encoding="utf-8",
    )
    told = subprocess.run(
        ["/usr/sbin/nginx", "-t", "-e", str(tmp_path / "errors"), "-c", str(tmp_path / "nginx.conf")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip # a call by its parts
    assert told.returncode == 0, told.stderr


def test_no_name_that_reads_as_a_service_s_passes_nginx(tmp_path: Path) -> None:
    for name in LOOKALIKES:
        made = certificate("", None, subject=subject(*layout(Identity(Kind.PERSON, GROUPEMENT, name))))[0]
        # What is only too long, or has no letter, reads as nobody's.
        admitted = len(name) > 64 or not any(map(str.isalpha, name))
        assert bool(re.search(persons_of(GROUPEMENT), as_nginx_writes(made, tmp_path))) is admitted, name


def test_no_address_of_a_door_answers_who_has_no_right(cases: list[Case], tmp_path: Path) -> None:
    """Before it looks at anything: there is nothing behind these doors."""
    commune, nothing = passerelle.Commune("gondecourt", "Gondecourt", COMMUNE, ()), MagicMock()
    config = passerelle.Config({"gondecourt": commune}, siren=GROUPEMENT, folder=tmp_path / "passerelle")
    account = sae.Account("gondecourt", "Gondecourt", COMMUNE)
    archives = sae.Config("sae", {"gondecourt": account}, {}, folder=tmp_path / "sae")
    doors = [passerelle_app(config, nothing, nothing), archives_app(archives, nothing), guichet_app(Store(tmp_path))]
    strangers = {}
    for one in cases:
        if one.who.kind not in (Kind.PERSON, Kind.CONNECTOR) or one.who.siren == STRANGER:
            strangers[one.change, one.who.kind, one.who.siren] = one
    for door in doors:
        client = door.test_client()
        for method, path in addresses(door):
            for one in strangers.values():
                answer = client.open(path, method=method, headers={HEADER: one.header, "Sec-Fetch-Site": "same-origin"})
                assert answer.status_code == 403, (door.name, method, path, one.change, one.who)


def test_a_connector_has_no_page_and_a_person_no_connector_s_address(cases: list[Case], tmp_path: Path) -> None:
    commune, nothing = passerelle.Commune("gondecourt", "Gondecourt", COMMUNE, ()), MagicMock()
    config = passerelle.Config({"gondecourt": commune}, siren=GROUPEMENT, folder=tmp_path)
    door = passerelle_app(config, nothing, nothing)
    own = {one.who.kind: one for one in cases if one.who.siren == COMMUNE}
    people = next(one for one in cases if one.who.kind is Kind.PERSON and one.who.siren == GROUPEMENT)
    for method, path in addresses(door):
        for one in (people, own[Kind.PERSON]) if path.startswith("/connecteur") else (own[Kind.CONNECTOR],):
            answer = door.test_client().open(path, method=method, headers={HEADER: one.header})
            assert answer.status_code in (403, 404), (method, path)


def addresses(door: Flask) -> list[tuple[str, str]]:
    """Every address of an application, with something in its places."""
    given: dict[str, Any] = {
        "aip": "8d5c0c0e-0000-4000-8000-000000000001",
        "sha256": "0" * 64,
        "kind": "recu",
        "slug": "gondecourt",
    }
    found = []
    with door.test_request_context():
        for rule in door.url_map.iter_rules():
            path = url_for(rule.endpoint, **{one: given.get(one, "1") for one in rule.arguments})
            found += [(method, path) for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})]
    assert len(found) > 3
    return found


def test_the_authority_and_the_doors_reserve_the_same_names() -> None:
    assert set(common.RESERVED) == set(identity.RESERVED)
    for name in LOOKALIKES:
        try:
            written = common.person_name(name)
        except common.PkiError:
            continue
        assert kind_of(written) is Kind.PERSON, name  # its spaces alone were made single
    for name in identity.SERVICES:
        assert name.startswith(identity.RESERVED), name
        with pytest.raises(common.PkiError):
            common.person_name(name)


@pytest.mark.parametrize("role", ["archive_gateway", "parapheur"])
def test_the_services_that_roles_name_are_services(role: str) -> None:
    variables = yaml.safe_load((TOP / f"roles/{role}/vars/main.yml").read_text(encoding="utf-8"))
    found = [
        one["common_name"]
        for value in variables.values()
        if isinstance(value, list)
        for one in value
        if isinstance(one, dict) and "common_name" in one
    ]
    assert found and all(kind_of(name) is Kind.SERVICE for name in found)


def test_what_has_no_readable_subject_is_nobody() -> None:
    """A T.61 name whose bytes are no UTF-8, an empty one, an extension twice."""
    made = certificate("Léa Martin", None)[0].public_bytes(serialization.Encoding.DER)
    for broken in (made.replace("Léa".encode(), b"L\xe9\xe9a"), made.replace("Léa Martin".encode(), b"\xff" * 11)):
        assert identity_of(x509.load_der_x509_certificate(broken)) == NOBODY
    assert identity_of(certificate("", None, subject=subject([(OU, f"0002 {COMMUNE}")], [(CN, "")]))[0]) == NOBODY
    with pytest.raises(Denied):
        certificate_of("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")


def layout(who: Identity) -> list[list[tuple[x509.ObjectIdentifier, str]]]:
    """The subject that the authority writes."""
    return [
        [(NameOID.COUNTRY_NAME, "FR")],
        [(ORG, "Commune")],
        [(OU, f"0002 {who.siren}")],
        [(CN, who.name)],
    ]


def allowed(ask: Callable[..., object], *given: object) -> bool:
    """Whether a door lets in."""
    try:
        ask(*given)
    except Denied:
        return False
    return True


def as_nginx_writes(shown: x509.Certificate, folder: Path) -> str:
    """A subject as nginx's $ssl_client_s_dn: OpenSSL's XN_FLAG_RFC2253."""
    (folder / "cert.pem").write_bytes(shown.public_bytes(serialization.Encoding.PEM))
    asked = ["openssl", "x509", "-in", "cert.pem", "-noout", "-subject", "-nameopt", "RFC2253"]
    done = subprocess.run(asked, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.removeprefix("subject=").removesuffix("\n")


def expression(role: str, template: str) -> str:
    """The expression of subjects that a rendered configuration refuses, as nginx reads its strings."""
    loader = jinja2.FileSystemLoader(TOP / "roles" / role / "templates")
    environment = jinja2.Environment(loader=loader)  # noqa: S701 - nginx's configuration, not HTML
    environment.filters |= {"comment": "# {}".format, "regex_escape": re.escape}
    variables: dict[str, Any] = {}
    for kind in ("defaults", "vars"):
        variables |= yaml.safe_load((TOP / "roles" / role / kind / "main.yml").read_text(encoding="utf-8"))
    given = {"ansible_managed": "", "nginx_tls_site": "x", "nginx_tls_server_names": ["x"], "nginx_tls_upstream": "/x"}
    given |= {"archive_node_siren": GROUPEMENT}
    given |= {"nginx_tls_certificate_dir": "/x", "nginx_tls_client_certificates": "required"}
    text = environment.get_template(template).render(variables | given)
    [found] = re.findall(r'^ *if \(\$(?:ssl_client_s_dn|pair) ~ "(.*)"\)', text, re.M)
    return re.sub(r'\\(["\\])', r"\1", found)
