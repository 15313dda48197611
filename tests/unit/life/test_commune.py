"""A commune leaves: handed over whole and sealed, closed only once one of its persons signed for it."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import Request
from cryptography.hazmat.primitives import serialization

from creatic.evidence import store
from creatic.evidence.seal import SIGNER, UNIT
from creatic.life import handover
from creatic.life.absent import absent
from creatic.life.commune import CommuneDeparture, lines
from creatic.life.departure import Order
from creatic.life.handover import HandOverError
from creatic.life.record import FOLDER
from creatic.pki.authority import Authority
from creatic.pki.keys import Passphrases
from creatic.pki.registry import Owner
from creatic.pki.x509 import Settings
from creatic.registry import listing
from creatic.registry.groupement import Commune
from testbed.authority import carrying

SIREN = "215903600"
DATA = {"nom": "Loos", "siren": SIREN, "postes": [], "connecteur": {"adresse": "10.59.9.20", "tdt": "s2low"}}
WHOLE = DATA | {"insee": "59360", "territoire": "lille", "agents": 9, "vague": 1, "services": ["ged", "archivage"]}
CCAS_SIREN = "265903609"
CCAS = {
    "nom": "ccas",
    "libelle": "CCAS de Loos",
    "type": "ccas",
    "siren": CCAS_SIREN,
    "president": {"titulaire": "claire.dubois"},
    "services": ["ged", "archivage"],
}
SERVERS = {"documents": "ged", "sae": "archive_gateway", "sae1": "archive_node", "relais": "passerelle"}
PARTS = {
    "ged": {"1/document.json": b"{}", "1/é.pdf": b"%PDF-"},
    "archives": {"export.json": b'{"archives": 2}'},
    "teletransmission": {"journal.json": b'{"etats": {}}'},
}


def write_key(folder: Path, key: Any, pem: str, chain: str = "") -> None:
    folder.mkdir(parents=True)
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(encoded)
    (folder / "cert.pem").write_text(pem)
    (folder / "chain.pem").write_text(chain)


class Groupement:
    """An inventory, a control node with its authority, machines that give what they are told to."""

    def __init__(self, top: Path) -> None:
        self.home, self.inventory, self.target = top / "etat", top / "essai", top / "disque" / "loos"
        self.file = self.inventory / "communes" / "loos.yml"
        self.authority = Authority(self.home / "pki", Passphrases(self.home / "pki", generate=True))
        self.parts: dict[str, dict[str, bytes]] = {name: dict(files) for name, files in PARTS.items()}
        self.servers = dict(SERVERS)
        self.played: list[tuple[str, Any]] = []
        self.fails = ""

    def make(self) -> None:
        """Write it all, once for every test."""
        self.file.parent.mkdir(parents=True)
        self.file.write_text("nom: Loos\n", encoding="utf-8")
        (self.inventory / "group_vars").mkdir()
        self.authority.ensure(Settings("Groupement", "Essai", "1.3.6.1.4.1.59999.59.1"))
        for name, profile, cn in (("preuves", "signature", SIGNER), ("horodatage", "tsa", UNIT)):
            self.issue(name, profile, cn, "", self.home / "certificats" / name / "current", "")

    def issue(self, name: str, profile: str, cn: str, commune: str, folder: Path, siren: str = SIREN) -> str:
        request = Request(name, profile, cn, "Commune de Loos" if siren else "Groupement", siren)
        key = request.new_key()
        issued = self.authority.issue(request.csr(key), request, Owner("localhost", commune))
        write_key(folder, key, issued.pem, self.authority.published()["chain"])
        return issued.serial

    def play(self, name: str, *arguments: str) -> bool:
        self.played.append((name, arguments))
        if name == self.fails:
            return False
        if name == "journeys/hand_over.yml":
            given = listing.read(arguments[1])
            for part in given["hand_over_parts"].values():
                if part in self.parts:
                    pack(Path(given["hand_over_folder"]) / f"{part}.tar", self.parts[part])
        if name == "journeys/revoke_certificate.yml":
            asked = listing.read(arguments[1])
            self.authority.revoke(asked["motif"], serial=asked.get("numero", ""), commune=asked.get("commune", ""))
        return True

    def departure(self) -> CommuneDeparture:
        order = Order(self.home, self.inventory, "essai", self.servers, self.play, self.play)
        return CommuneDeparture(order, "loos", self.target, "moi@poste")

    def hand_over(self) -> dict[str, Any]:
        return self.departure().hand_over(Commune("loos", DATA, "059"))

    def entity_departure(self) -> CommuneDeparture:
        order = Order(self.home, self.inventory, "essai", self.servers, self.play, self.play)
        return CommuneDeparture(order, "loos-ccas", self.target, "moi@poste")

    def hand_over_entity(self, kind: str = "ccas") -> dict[str, Any]:
        """The file names its CCAS, which leaves alone."""
        data = WHOLE | {"entites": [CCAS | {"type": kind}]}
        self.file.write_text(json.dumps(data), encoding="utf-8")
        commune = Commune("loos", data, "059")
        [entity] = handover.hosted(commune)
        return self.entity_departure().hand_over(commune, entity)

    def receipt(self, folder: Path, name: str = "recu.p7s", content: Path | None = None) -> Path:
        file = folder / name
        asked = ("-signer", folder / "cert.pem", "-inkey", folder / "key.pem", "-certfile", folder / "chain.pem")
        source = ("-in", content or self.target / "empreintes.sha256", "-out", file)
        openssl("cms", "-sign", "-binary", "-cades", "-outform", "DER", *asked, *source)
        return file


def openssl(*arguments: str | Path) -> None:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def pack(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("groupement")
    Groupement(top).make()
    return top


@pytest.fixture
def groupement(template: Path, tmp_path: Path) -> Groupement:
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return Groupement(tmp_path)


@pytest.fixture
def person(groupement: Groupement, tmp_path: Path) -> Path:
    groupement.issue("claire", "client", "Claire Dubois", "loos", tmp_path / "claire")
    return tmp_path / "claire"


def test_what_is_its_own_is_in_one_folder_that_public_tools_verify(groupement: Groupement) -> None:
    facts = groupement.hand_over()
    [(_name, (_option, text))] = groupement.played
    given = listing.read(text)
    assert given["hand_over_hosts"] == ["documents", "loos-connecteur", "sae"]
    assert (given["hand_over_commune"], given["hand_over_siren"]) == ("loos", SIREN)
    assert facts["parties"] == {
        "archives": {"fichiers": 1, "octets": 15},
        "ged": {"fichiers": 2, "octets": 7},
        "teletransmission": {"fichiers": 1, "octets": 13},
    }
    target = groupement.target
    assert target.stat().st_mode & 0o777 == 0o700
    assert (target / "ged" / "1" / "é.pdf").read_bytes() == b"%PDF-"
    assert (target / "commune.yml").read_bytes() == groupement.file.read_bytes()
    assert not handover.running(target).exists() and not list(target.glob("*.tar"))
    read_me = (target / "LISEZMOI.txt").read_text(encoding="utf-8")
    script = "\n".join(line for line in read_me.splitlines() if line.startswith("    ")).partition(
        "    openssl cms -sign"
    )
    done = subprocess.run(["sh", "-euc", script[0]], cwd=target, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    who = [line for line in done.stdout.splitlines() if line.startswith("subject=")]
    assert who == [f"subject=CN={name},O=Groupement,C=FR" for name in (SIGNER, UNIT)]
    [run] = store.runs(groupement.home / FOLDER)
    assert (store.facts_of(run)["genre"], store.facts_of(run)["empreinte"]) == ("remise", facts["empreinte"])
    assert "Remise de ce qui est à elle" in (run / "rapport.html").read_text(encoding="utf-8")
    assert store.verify_one(run, store.seal_keys(groupement.home).root).intact
    assert lines(facts)[1] == "- archives : 1 fichiers, 15 o"
    assert groupement.departure().signed(facts) is None


def test_what_had_not_come_to_its_end_is_told(groupement: Groupement) -> None:
    groupement.parts["teletransmission"] = {"journal.json": b'{"etats": {"acquitte": 5, "envoye": 2, "depose": 1}}'}
    groupement.servers["signatures"] = "parapheur"
    dossiers = {"1": "À signer", "2": "Acquitté", "3": "À signer"}
    groupement.parts["parapheur"] = {
        f"{number}/document.json": json.dumps({"dossier": {"etat": state}}).encode()
        for number, state in dossiers.items()
    }
    told = lines(groupement.hand_over())
    assert told[-2:] == [
        "! encore en cours, teletransmission : 3 en cours d'envoi, sans leur accusé",
        "! encore en cours, parapheur : 2 « À signer »",
    ]
    [run] = store.runs(groupement.home / FOLDER)
    assert "Encore en cours à ce moment" in (run / "rapport.html").read_text(encoding="utf-8")


def test_a_machine_that_does_not_give_all_leaves_nothing_and_the_same_command_goes_on(groupement: Groupement) -> None:
    groupement.fails = "journeys/hand_over.yml"
    with pytest.raises(HandOverError, match="une machine n'a pas tout donné"):
        groupement.hand_over()
    assert not groupement.target.exists() and groupement.departure().facts() is None
    groupement.fails = ""
    groupement.hand_over()
    assert not handover.running(groupement.target).exists()
    assert not list((groupement.home / "verrous").glob("*.json"))


@pytest.mark.parametrize(("part", "machine"), [("ged", "documents"), ("teletransmission", "loos-connecteur")])
def test_a_machine_that_was_not_met_is_not_one_that_has_nothing(
    groupement: Groupement, part: str, machine: str
) -> None:
    """Ansible ends well when a name of the pattern is no machine of its own."""
    del groupement.parts[part]
    with pytest.raises(HandOverError, match=f"rien n'est venu de {machine}"):
        groupement.hand_over()
    assert not groupement.target.exists()


def test_two_machines_of_a_profile_give_a_part_each(groupement: Groupement) -> None:
    groupement.servers |= {"documents2": "ged", "sae-bis": "archive_gateway"}
    for name, part in (("documents", "ged"), ("documents2", "ged"), ("sae", "archives"), ("sae-bis", "archives")):
        groupement.parts[f"{part}-{name}"] = groupement.parts[part] | {"venu-de": name.encode()}
    groupement.parts["archives-sae"]["export.json"] = b'{"archives": 0}'
    facts = groupement.hand_over()
    assert list(facts["parties"]) == [
        *("archives-sae", "archives-sae-bis", "ged-documents", "ged-documents2", "teletransmission"),
    ]
    assert (groupement.target / "ged-documents" / "venu-de").read_bytes() == b"documents"
    assert (groupement.target / "ged-documents2" / "venu-de").read_bytes() == b"documents2"
    assert "- ged-documents2 : les documents de la GED" in (groupement.target / "LISEZMOI.txt").read_text("utf-8")
    assert facts["archives"]

    del groupement.parts["ged-documents2"]
    shutil.rmtree(groupement.target)
    with pytest.raises(HandOverError, match="rien n'est venu de documents2"):
        groupement.hand_over()


def test_an_archive_room_that_never_heard_of_it_gives_nothing(groupement: Groupement) -> None:
    del groupement.parts["archives"]
    assert list(groupement.hand_over()["parties"]) == ["ged", "teletransmission"]


def test_the_entities_that_it_hosts_leave_with_it_each_apart(groupement: Groupement, person: Path) -> None:
    facts = groupement.departure().hand_over(Commune("loos", WHOLE | {"entites": [CCAS]}, "059"))
    asked = [listing.read(arguments[1]) for _name, arguments in groupement.played]
    told = [(one["hand_over_commune"], one["hand_over_siren"], one["hand_over_entite"]) for one in asked]
    assert told == [("loos", SIREN, False), ("loos-ccas", CCAS_SIREN, True)]
    # It transmits nothing: the connector has nothing of it.
    assert set(asked[0]["hand_over_hosts"]) - set(asked[1]["hand_over_hosts"]) == {"loos-connecteur"}
    parts = ["archives", "ged", "teletransmission", "entites/loos-ccas/archives", "entites/loos-ccas/ged"]
    assert list(facts["parties"]) == parts
    assert (groupement.target / "entites" / "loos-ccas" / "ged" / "1" / "document.json").is_file()
    assert facts["entites"] == [{"slug": "loos-ccas", "nom": "CCAS de Loos", "siren": "265903609", "archives": True}]
    readme = (groupement.target / "LISEZMOI.txt").read_text(encoding="utf-8")
    assert "- entites/loos-ccas/ged : les documents de la GED" in readme
    check = ["sha256sum", "--check", "--strict", "--quiet", "empreintes.sha256"]
    assert subprocess.run(check, cwd=groupement.target, check=False).returncode == 0
    departure = groupement.departure()
    departure.sign(departure.facts() or {}, groupement.receipt(person))
    _file, *accounts = departure.to_do(departure.facts() or {})
    named = ("nom: loos, libelle: Loos", "nom: loos-ccas, libelle: CCAS de Loos")
    assert [any(words in line for line in accounts) for words in named] == [True, True]


def test_an_entity_leaves_alone_with_its_own_and_nothing_of_its_communes(groupement: Groupement, person: Path) -> None:
    mine = groupement.issue("tdt-loos-ccas", "client", "Connecteur - CCAS de Loos", "loos", person / "ccas", CCAS_SIREN)
    facts = groupement.hand_over_entity()
    [asked] = [listing.read(arguments[1]) for _name, arguments in groupement.played]
    assert (asked["hand_over_commune"], asked["hand_over_siren"]) == ("loos-ccas", CCAS_SIREN)
    assert asked["hand_over_entite"] is True and "loos-connecteur" not in asked["hand_over_hosts"]
    assert facts["commune"] == {"slug": "loos-ccas", "nom": "CCAS de Loos", "siren": CCAS_SIREN}
    assert (facts["heberge_par"]["slug"], "entites" in facts, facts["archives"]) == ("loos", False, True)
    # The maire presides: a certificate of the commune signs for it.
    groupement.entity_departure().sign(facts, groupement.receipt(person))
    listed, archives = groupement.entity_departure().to_do(facts)
    assert listed == "communes/loos.yml, entites : retirez-en loos-ccas, et gardez-le"
    assert f'ajoutez - {{nom: loos-ccas, libelle: CCAS de Loos, siren: "{CCAS_SIREN}"' in archives
    with pytest.raises(HandOverError, match=r"rien n'est fermé : communes/loos\.yml, entites"):
        groupement.entity_departure().close(facts)
    groupement.file.write_text(json.dumps(WHOLE), encoding="utf-8")
    partner = f'creatic_archive_partenaires: [{{nom: loos-ccas, siren: "{CCAS_SIREN}"}}]\n'
    (groupement.inventory / "group_vars" / "all.yml").write_text(partner, encoding="utf-8")
    groupement.played.clear()
    done = groupement.entity_departure().close(facts)
    revoked, deployed = [arguments[1] for _name, arguments in groupement.played]
    assert listing.read(revoked) == {"numero": mine, "motif": "cessation"}
    assert deployed == "documents,relais,sae,sae1"
    assert done[0] == "1 certificats révoqués" and "fab commune.deployer loos" in done[2]
    assert groupement.entity_departure().closed(facts)
    # Those of the commune stay good, and nothing says that it left.
    rows = {one["nom"]: one["statut"] for one in groupement.authority.listing()}
    assert (rows["tdt-loos-ccas"], rows["claire"]) == ("revoque", "valide")
    groupement.target.rename(groupement.target.with_name("emporte"))
    assert groupement.departure().facts() is None and groupement.entity_departure().facts()


def test_a_syndicat_is_signed_for_at_its_own_siren(groupement: Groupement, person: Path) -> None:
    facts = groupement.hand_over_entity("syndicat")
    with pytest.raises(HandOverError, match=rf"n'est pas de la commune \(SIREN {CCAS_SIREN}\)"):
        groupement.entity_departure().sign(facts, groupement.receipt(person))
    groupement.issue("anne", "client", "Anne Petit", "loos", person / "anne", CCAS_SIREN)
    assert groupement.entity_departure().sign(facts, groupement.receipt(person / "anne"))


def test_a_commune_s_receipt_is_not_signed_at_its_entity_s_siren(groupement: Groupement, person: Path) -> None:
    groupement.issue("anne", "client", "Anne Petit", "loos", person / "anne", CCAS_SIREN)
    facts = groupement.departure().hand_over(Commune("loos", WHOLE | {"entites": [CCAS]}, "059"))
    with pytest.raises(HandOverError, match="n'est pas de la commune"):
        groupement.departure().sign(facts, groupement.receipt(person / "anne"))


def test_the_place_of_something_else_is_left_as_it_is(groupement: Groupement) -> None:
    other = handover.running(groupement.target)
    other.mkdir(parents=True)
    (other / "photos").write_text("x")
    with pytest.raises(HandOverError, match="n'est pas une remise de loos interrompue"):
        groupement.hand_over()
    assert (other / "photos").exists()
    groupement.target.mkdir()
    with pytest.raises(HandOverError, match="n'est pas la remise de loos"):
        groupement.departure().facts()
    with pytest.raises(HandOverError, match="choisissez un autre dossier"):
        groupement.hand_over()


def test_names_that_a_list_cannot_hold_stay_packed(groupement: Groupement) -> None:
    groupement.parts["ged"]["deux\nlignes.pdf"] = b"x"
    facts = groupement.hand_over()
    assert (groupement.target / "ged.tar").is_file() and not (groupement.target / "ged").exists()
    assert facts["parties"]["ged"]["fichiers"] == 1


def test_names_that_this_disk_cannot_hold_stay_packed(groupement: Groupement) -> None:
    groupement.parts["ged"]["é" * 200] = b"x"
    groupement.hand_over()
    assert (groupement.target / "ged.tar").is_file() and not (groupement.target / "ged").exists()


def test_a_disk_that_is_full_is_told(groupement: Groupement, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: Any, **_keys: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tarfile.TarFile, "extractall", full)
    with pytest.raises(HandOverError, match=r"archives : .*À faire : un disque plus grand, puis relancez"):
        groupement.hand_over()
    assert not groupement.target.exists()


def test_a_part_with_links_stays_packed(groupement: Groupement, monkeypatch: pytest.MonkeyPatch) -> None:
    def linked(path: Path, files: dict[str, bytes]) -> None:
        write(path, files)
        with tarfile.open(path, "a") as tar:
            link = tarfile.TarInfo("./dernier")
            link.type, link.linkname = tarfile.SYMTYPE, "1"
            tar.addfile(link)

    write = pack
    monkeypatch.setitem(globals(), "pack", linked)
    groupement.hand_over()
    assert (groupement.target / "ged.tar").is_file() and groupement.departure().facts()


def test_a_machine_that_sends_a_way_out_is_refused(groupement: Groupement) -> None:
    groupement.parts["ged"]["../../ailleurs"] = b"x"
    with pytest.raises(HandOverError, match="ged : la machine a envoyé ce qu'elle ne devait pas"):
        groupement.hand_over()
    assert not groupement.target.exists()


def test_a_damaged_part_is_told(groupement: Groupement, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "pack", lambda path, _files: path.write_bytes(b"abime" * 300))
    with pytest.raises(HandOverError, match="archives : reçu abîmé"):
        groupement.hand_over()


def test_what_was_changed_since_is_told(groupement: Groupement) -> None:
    groupement.hand_over()
    (groupement.target / "ged" / "1" / "document.json").write_text("[]")
    with pytest.raises(HandOverError, match=r"(?s)a été modifié depuis sa remise.*ged/1/document.json : modifié"):
        groupement.departure().facts()


def test_a_person_of_the_commune_signs_for_it(groupement: Groupement, person: Path) -> None:
    facts = groupement.hand_over()
    departure = groupement.departure()
    found = departure.sign(facts, groupement.receipt(person))
    assert found.signer.startswith("CN=Claire Dubois,OU=0002 215903600")
    assert departure.unsealed == ""
    run = store.runs(groupement.home / FOLDER)[-1]
    assert (run / "recu.p7s").read_bytes() == (person / "recu.p7s").read_bytes()
    signed = groupement.departure().signed(facts)
    assert signed is not None and signed["signataire"] == found.signer
    assert "signature de cette liste d’empreintes et d’aucune autre" in (run / "rapport.html").read_text("utf-8")


Change = Callable[[Groupement, Path], Path]


def _unsigned(groupement: Groupement, person: Path) -> Path:
    file = person / "autre.p7s"
    file.write_bytes(b"pas une signature")
    return file


def _other_list(groupement: Groupement, person: Path) -> Path:
    (person / "autre").write_text("autre liste\n")
    return groupement.receipt(person, content=person / "autre")


def _revoked(groupement: Groupement, person: Path) -> Path:
    file = groupement.receipt(person)
    groupement.authority.revoke("compromission", commune="loos")
    return file


def _revoked_with_an_old_list(groupement: Groupement, person: Path) -> Path:
    old = groupement.authority.published()["crl"].encode()
    file = _revoked(groupement, person)
    file.write_bytes(carrying(file.read_bytes(), old))
    return file


def _two_persons(groupement: Groupement, person: Path) -> Path:
    groupement.issue("nadia", "client", "Nadia Moreau", "loos", person / "nadia")
    file, second = person / "recu.p7s", person / "nadia"
    signers = [("-signer", one / "cert.pem", "-inkey", one / "key.pem") for one in (person, second)]
    source = ("-in", groupement.target / "empreintes.sha256", "-out", file, "-certfile", person / "chain.pem")
    openssl("cms", "-sign", "-binary", "-outform", "DER", *signers[0], *signers[1], *source)
    return file


def _of(cn: str, siren: str = SIREN) -> Change:
    def made(groupement: Groupement, person: Path) -> Path:
        groupement.issue("autre", "client", cn, "loos", person / "autre", siren)
        return groupement.receipt(person / "autre")

    return made


def _stranger(groupement: Groupement, person: Path) -> Path:
    subject = f"/C=FR/O=Commune de Loos/OU=0002 {SIREN}/CN=Claire Dubois"
    files = ("-keyout", person / "key.pem", "-out", person / "cert.pem")
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject, *files)
    (person / "chain.pem").write_text((person / "cert.pem").read_text())
    return groupement.receipt(person)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (_unsigned, "ce n'est pas une signature CMS"),
        (_other_list, "ce n'est pas la liste des empreintes de cette remise qui est signée"),
        (_revoked, "le certificat est révoqué"),
        (_revoked_with_an_old_list, "le certificat est révoqué"),
        (_two_persons, "il faut la signature d'une personne, et d'une seule"),
        (_stranger, "son autorité n'est pas admise"),
        (_of("Nadia Moreau", "215903683"), r"n'est pas de la commune \(SIREN 215903600\)"),
        (_of("Connecteur - Commune de Loos"), "est une machine ou un service, pas une personne"),
        (_of("Machine - loos-pc"), "est une machine ou un service, pas une personne"),
        (_of("Pàsserelle des archives"), "est une machine ou un service, pas une personne"),
        (lambda _groupement, person: person / "absent.p7s", "introuvable"),
    ],
)
def test_what_is_no_receipt_is_refused(groupement: Groupement, person: Path, made: Change, said: str) -> None:
    facts = groupement.hand_over()
    with pytest.raises(HandOverError, match=said):
        groupement.departure().sign(facts, made(groupement, person))
    assert groupement.departure().signed(facts) is None


def test_the_machines_own_authorities_sign_no_receipt(
    groupement: Groupement, person: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = groupement.hand_over()
    file = _stranger(groupement, person)
    folder = tmp_path / "certs"
    folder.mkdir()
    shutil.copyfile(person / "cert.pem", folder / "racine.pem")
    openssl("rehash", folder)
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))
    with pytest.raises(HandOverError, match="son autorité n'est pas admise"):
        groupement.departure().sign(facts, file)


def test_nothing_is_closed_before_the_receipt_nor_while_the_inventory_has_it(
    groupement: Groupement, person: Path
) -> None:
    facts = groupement.hand_over()
    groupement.played.clear()
    with pytest.raises(HandOverError, match="la commune n'a pas signé le reçu"):
        groupement.departure().close(facts)
    groupement.departure().sign(facts, groupement.receipt(person))
    file, archives = groupement.departure().to_do(facts)
    assert file == "communes/loos.yml : sortez ce fichier de l'inventaire, et gardez-le"
    assert 'ajoutez - {nom: loos, libelle: Loos, siren: "215903600", deposants: [personne]}' in archives
    with pytest.raises(HandOverError, match=r"rien n'est fermé : communes/loos\.yml"):
        groupement.departure().close(facts)
    assert groupement.played == []


def out(groupement: Groupement) -> None:
    groupement.file.unlink()
    partner = 'creatic_archive_partenaires: [{nom: loos, libelle: Loos, siren: "215903600", deposants: [personne]}]\n'
    (groupement.inventory / "group_vars" / "all.yml").write_text(partner, encoding="utf-8")


def test_once_signed_it_is_closed_and_again_is_nothing(groupement: Groupement, person: Path) -> None:
    facts = groupement.hand_over()
    groupement.departure().sign(facts, groupement.receipt(person))
    out(groupement)
    groupement.played.clear()
    people = groupement.home / "personnes"
    people.mkdir()
    for name in ("claire.p12", "claire.mdp", "zoe.p12"):  # as fab pki.personne leaves them
        (people / name).write_bytes(b"secret")
    done = groupement.departure().close(facts)
    assert [path.name for path in people.iterdir()] == ["zoe.p12"]
    assert "2 fichiers de certificats de ses personnes supprimés de ce poste" in done
    assert [name for name, _arguments in groupement.played] == ["journeys/revoke_certificate.yml", "site.yml"]
    assert groupement.played[1][1] == ("--limit", "documents,relais,sae,sae1")
    assert done[0] == "1 certificats révoqués" and "archives laissées dans la salle" in done[-1]
    closed = groupement.departure().closed(facts)
    assert closed is not None and store.facts_of(closed)["fait"] == done
    root = store.seal_keys(groupement.home).root
    assert all(one.intact for one in store.verify_home(groupement.home, root).values())


def test_the_disk_may_be_gone_once_it_is_signed_for(groupement: Groupement, person: Path) -> None:
    facts = groupement.hand_over()
    groupement.departure().sign(facts, groupement.receipt(person))
    groupement.target.rename(groupement.target.with_name("emporte"))
    out(groupement)
    again = groupement.departure()
    found = again.facts()
    assert found is not None and again.signed(found) and again.to_do(found) == []
    assert lines(found) == lines(facts)
    again.close(found)
    assert groupement.departure().closed(found) is not None


def test_a_commune_that_came_back_leaves_anew(groupement: Groupement, person: Path) -> None:
    facts = groupement.hand_over()
    groupement.departure().sign(facts, groupement.receipt(person))
    out(groupement)
    groupement.departure().close(facts)
    groupement.target.rename(groupement.target.with_name("emporte"))
    assert groupement.departure().facts() is not None  # told as done
    groupement.file.write_text("nom: Loos\n", encoding="utf-8")
    assert groupement.departure().facts() is None
    groupement.parts["ged"]["2/document.json"] = b"{}"
    again = groupement.hand_over()
    assert groupement.departure().signed(again) is None
    with pytest.raises(HandOverError, match="n'a pas signé"):
        groupement.departure().close(again)


@pytest.mark.parametrize("step", ["journeys/revoke_certificate.yml", "site.yml"])
def test_a_closing_that_is_cut_goes_on(groupement: Groupement, person: Path, step: str) -> None:
    facts = groupement.hand_over()
    groupement.departure().sign(facts, groupement.receipt(person))
    out(groupement)
    groupement.fails = step
    with pytest.raises(HandOverError, match="À faire : corrigez, puis relancez la même commande"):
        groupement.departure().close(facts)
    assert groupement.departure().closed(facts) is None
    groupement.fails = ""
    groupement.departure().close(facts)
    assert groupement.departure().closed(facts) is not None


def test_an_inventory_that_cannot_be_read_holds_the_closing_back(groupement: Groupement) -> None:
    facts = groupement.hand_over()
    (groupement.inventory / "group_vars" / "all.yml").write_text("a: [", encoding="utf-8")
    with pytest.raises(HandOverError, match="ne se lit pas"):
        groupement.departure().to_do(facts)


def test_without_an_archive_none_is_kept(groupement: Groupement) -> None:
    groupement.parts["archives"] = {"export.json": b'{"archives": 0}'}
    facts = groupement.hand_over()
    assert len(groupement.departure().to_do(facts)) == 1


@pytest.fixture
def state(groupement: Groupement, monkeypatch: pytest.MonkeyPatch) -> Groupement:
    """The same, whose state is known by the inventory's name of the environment."""
    monkeypatch.setenv("CREATIC_HOME", str(groupement.home.parent))
    (groupement.inventory / "groupement.yml").write_text("", encoding="utf-8")
    (groupement.inventory / "group_vars" / "all.yml").write_text("creatic_env: etat\n", encoding="utf-8")
    pin = {"environnement": "etat", "inventaire": "essai"}
    (groupement.home / "environnement").write_text(json.dumps(pin), encoding="utf-8")
    return groupement


def lost(groupement: Groupement, hosted: dict[str, str] | None = None, **communes: str) -> list[str]:
    return [str(one) for one in absent(groupement.inventory, communes, hosted or {})]


def rolled_out(groupement: Groupement, run: str, *slugs: str) -> None:
    file = groupement.home / "evidence" / run / "etat.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({slug: {"commune": {"siren": SIREN}} for slug in slugs}), encoding="utf-8")


def test_a_file_that_is_gone_is_no_departure(state: Groupement, person: Path) -> None:
    assert lost(state, loos=SIREN) == []
    [told] = lost(state)
    assert told.startswith("communes/loos.yml : le fichier a disparu, et la commune n'est pas partie")
    assert "remettez ce fichier (git, sauvegarde)" in told and "fab commune.depart loos --vers DOSSIER" in told
    [renamed] = lost(state, los=SIREN)
    assert "redonnez ce nom à communes/los.yml, qui est la même commune (SIREN)" in renamed


def test_one_without_a_certificate_is_known_by_its_rollouts(state: Groupement) -> None:
    rolled_out(state, "2026-11-01T000000Z", "lens")
    rolled_out(state, "2026-11-02T000000Z", "loos", "lille")
    assert [one.partition(" :")[0] for one in lost(state, lille="215903501")] == ["communes/loos.yml"]
    (state.home / "evidence" / "2026-11-02T000000Z" / "etat.json").write_text("{", encoding="utf-8")
    assert [one.partition(" :")[0] for one in lost(state)] == ["communes/lens.yml"]


def test_one_that_signed_has_left_until_it_comes_back(state: Groupement, person: Path) -> None:
    rolled_out(state, "2026-11-02T000000Z", "loos")
    facts = state.hand_over()
    assert len(lost(state)) == 1
    state.departure().sign(facts, state.receipt(person))
    assert lost(state) == []
    out(state)
    (state.inventory / "group_vars" / "all.yml").open("a").write("creatic_env: etat\n")
    state.departure().close(facts)
    assert lost(state) == []
    state.issue("retour", "client", "Claire Dubois", "loos", state.home / "retour")
    assert len(lost(state)) == 1


def test_a_state_of_another_inventory_says_nothing(state: Groupement, person: Path) -> None:
    (state.home / "environnement").write_text('{"environnement": "etat", "inventaire": "autre"}', encoding="utf-8")
    assert lost(state) == []
    (state.home / "environnement").unlink()
    assert lost(state) == []


def test_a_registry_that_cannot_be_read_is_told_by_others(state: Groupement, person: Path) -> None:
    (state.home / "pki" / "registre.sqlite").write_bytes(b"abime" * 300)
    assert lost(state) == []


def met(state: Groupement, run: str, **more: Any) -> None:
    """A run that met Loos and its CCAS, as it leaves its state."""
    rolled_out(state, run, "loos")
    file = state.home / "evidence" / run / "etat.json"
    known = json.loads(file.read_text(encoding="utf-8"))
    known["loos"] |= {"entites": {"loos-ccas": {"nom": "CCAS de Loos", "siren": CCAS_SIREN, "passage": run}}} | more
    file.write_text(json.dumps(known), encoding="utf-8")


def test_an_entity_that_its_file_no_longer_names_is_no_departure(state: Groupement) -> None:
    met(state, "2026-11-02T000000Z")
    assert lost(state, {"loos-ccas": CCAS_SIREN}, loos=SIREN) == []
    [told] = lost(state, loos=SIREN)
    assert told.startswith("communes/loos.yml, entites : l'entité loos-ccas n'y est plus, et n'est pas partie")
    assert "remettez-la (git, sauvegarde)" in told and "fab commune.depart loos-ccas --vers DOSSIER" in told
    [renamed] = lost(state, {"loos-cas": CCAS_SIREN}, loos=SIREN)
    assert "loos-ccas s'appelle maintenant loos-cas (même SIREN)" in renamed and "redonnez-lui ce nom" in renamed
    [other] = lost(state, {"loos-ccas": "265903617"}, loos=SIREN)
    assert f"loos-ccas avait le SIREN {CCAS_SIREN}, et a maintenant 265903617" in other
    # Moved to another commune's file, it has another name; its own file is another commune's, with the same name.
    [moved] = lost(state, {"lens-ccas": CCAS_SIREN}, loos=SIREN, lens="215904988")
    assert "s'appelle maintenant lens-ccas" in moved
    assert absent(state.inventory, {"loos": SIREN, "loos-ccas": CCAS_SIREN}, {}) == []


def test_with_its_commune_gone_the_commune_is_told_alone(state: Groupement) -> None:
    met(state, "2026-11-02T000000Z")
    assert [one.partition(" :")[0] for one in lost(state)] == ["communes/loos.yml"]


def test_a_state_of_before_tells_of_entities_too(state: Groupement) -> None:
    met(state, "2026-11-02T000000Z")
    file = state.home / "evidence" / "2026-11-02T000000Z" / "etat.json"
    ccas = {"slug": "loos-ccas", "nom": "CCAS de Loos", "siren": CCAS_SIREN}
    old = {"loos": {"commune": {"siren": SIREN, "entites": [ccas]}, "passage": "2026-11-02T000000Z"}}
    file.write_text(json.dumps(old), encoding="utf-8")
    assert len(lost(state, loos=SIREN)) == 1
    old["loos"]["passage"] = ""  # its file had it, and no run met it
    file.write_text(json.dumps(old), encoding="utf-8")
    assert lost(state, loos=SIREN) == []


def test_its_connector_s_certificates_tell_of_it_and_not_of_a_commune_renamed(state: Groupement) -> None:
    state.issue("tdt-loos-ccas", "client", "Connecteur - CCAS de Loos", "loos", state.home / "un", CCAS_SIREN)
    assert len(lost(state, loos=SIREN)) == 1
    assert lost(state, {"loos-ccas": CCAS_SIREN}, loos=SIREN) == []
    # A SIREN that was put right before: the certificate of before is replaced, and in force.
    state.issue("sae-loos-ccas", "client", "Connecteur - CCAS de Loos", "loos", state.home / "deux", "265903617")
    assert lost(state, {"loos-ccas": "265903617"}, loos=SIREN) == []


def test_an_entity_that_signed_has_left_until_it_comes_back(state: Groupement, person: Path) -> None:
    met(state, "2026-11-02T000000Z")
    facts = state.hand_over_entity()
    assert len(lost(state, loos=SIREN)) == 1
    state.entity_departure().sign(facts, state.receipt(person))
    assert lost(state, loos=SIREN) == []
    state.file.write_text(json.dumps(WHOLE), encoding="utf-8")
    partner = f'creatic_env: etat\ncreatic_archive_partenaires: [{{nom: loos-ccas, siren: "{CCAS_SIREN}"}}]\n'
    (state.inventory / "group_vars" / "all.yml").write_text(partner, encoding="utf-8")
    state.entity_departure().close(facts)
    assert lost(state, loos=SIREN) == []
    met(state, "2999-11-02T000000Z")
    assert len(lost(state, loos=SIREN)) == 1


def test_a_part_that_would_grow_when_it_is_opened_is_told(
    groupement: Groupement, monkeypatch: pytest.MonkeyPatch
) -> None:
    def packed(path: Path, files: dict[str, bytes]) -> None:
        write(path, files)
        path.write_bytes(gzip.compress(path.read_bytes()))

    write = pack
    monkeypatch.setitem(globals(), "pack", packed)
    with pytest.raises(HandOverError, match="archives : reçu abîmé"):
        groupement.hand_over()
