"""An agent leaves: what is shown, what holds the departure back, what is closed, what is kept of it."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import subprocess
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from cryptography import x509

from creatic.access.authority import (
    Demand,
    SshAuthority,
    principals,
    public_key,
)
from creatic.evidence import store
from creatic.life import agent as life
from creatic.life import files, record
from creatic.life.departure import Departure, Order
from creatic.pki.keys import Passphrases
from creatic.registry import listing
from creatic.registry.groupement import Commune
from testbed.connector import Authority

PEOPLE = [
    {"identifiant": "claire.dubois", "prenom": "Claire", "nom": "Dubois", "courriel": "c@x.test"},
    {"identifiant": "paul.renard", "prenom": "Paul", "nom": "Renard", "courriel": "p@x.test"},
]
FILE = {
    "nom": "Loos",
    "siren": "215903600",
    "services": ["parapheur", "ged"],
    "postes": [
        {
            "nom": "pc-mairie",
            "certificats": [
                {"titulaire": "Paul Renard", "usage": "authentification", "source": "groupement"},
                {"titulaire": "Paul Renard", "usage": "signature", "source": "jeton"},
            ],
        }
    ],
    "comptes": PEOPLE,
    "parapheur": {
        "redacteurs": ["paul.renard"],
        "maire": {"titulaire": "claire.dubois", "suppleants": ["paul.renard"]},
        "dgs": {"titulaire": "paul.renard"},
    },
    "deliberations": {"redacteurs": [], "dgs": [], "maire": "claire.dubois", "elus": ["Claire Dubois"]},
}
LEFT = FILE | {
    "postes": [],
    "comptes": PEOPLE[:1],
    "parapheur": {"redacteurs": ["claire.dubois"], "maire": {"titulaire": "claire.dubois"}},
}
OTHER = Commune("wavrin", {"comptes": [PEOPLE[0] | {"identifiant": "zoe.martin"}]}, "059")
ACCOUNT = {"nom": "Paul Renard", "courriel": "p@x.test", "commune": "loos", "ouvert": True, "en_main": ["dossier 1"]}


def commune(**data: Any) -> Commune:
    return Commune("loos", FILE | data, "059")


def test_who_is_meant() -> None:
    communes = [commune(), OTHER]
    assert life.find(communes, "loos", "paul.renard") == life.find(communes, "loos", " Paul  renard")
    assert str(life.find(communes, "loos", "paul.renard")) == "Paul Renard (paul.renard)"
    assert life.find(communes, "loos", "luc.noir") == life.Agent("luc.noir", "", "loos")
    assert life.find(communes, "loos", "Luc Noir") == life.Agent("", "Luc Noir", "loos")
    with pytest.raises(life.DepartureError, match=r"zoe\.martin est de la commune wavrin : fab agent.depart wavrin"):
        life.find(communes, "loos", "zoe.martin")
    twice = commune(comptes=[*PEOPLE, PEOPLE[1] | {"identifiant": "paul.renard2"}])
    with pytest.raises(life.DepartureError, match=r"donnez l'identifiant \(paul.renard, paul.renard2\)"):
        life.find([twice], "loos", "Paul Renard")


def test_who_is_out_of_the_file_is_known_by_the_applications() -> None:
    gone = life.Agent("paul.renard", "", "loos")
    assert life.complete_agent(gone, {"ged": ACCOUNT, "parapheur": ACCOUNT | {"nom": ""}}).name == "Paul Renard"
    assert life.complete_agent(gone, {}).name == ""
    with pytest.raises(life.DepartureError, match=r"son compte \(GED\) est de la commune wavrin, pas de loos"):
        life.complete_agent(gone, {"ged": ACCOUNT | {"commune": "wavrin"}})


def test_each_place_that_names_them_is_told_with_what_to_write() -> None:
    told = life.list_file_mentions(commune(), life.Agent("paul.renard", "Paul Renard", "loos"))
    places = [line.partition(" : ")[0] for line in told]
    assert places == [
        "communes/loos.yml, postes[0].certificats[0].titulaire",
        "communes/loos.yml, postes[0].certificats[1].titulaire",
        "communes/loos.yml, comptes[1].identifiant",
        "communes/loos.yml, parapheur.redacteurs[0]",
        "communes/loos.yml, parapheur.maire.suppleants[0]",
        "communes/loos.yml, parapheur.dgs.titulaire",
    ]
    assert "faites-le aussi révoquer par son prestataire" not in told[0]
    assert told[1].endswith("faites-le aussi révoquer par son prestataire")
    assert told[2].endswith("supprimez cette personne")
    assert told[5].endswith("mettez l'identifiant de qui lui succède, à la place de « paul.renard »")
    assert life.list_file_mentions(Commune("loos", LEFT, "059"), life.Agent("paul.renard", "Paul Renard", "loos")) == []
    mayor = life.list_file_mentions(commune(), life.Agent("claire.dubois", "Claire Dubois", "loos"))
    assert any(line.startswith("communes/loos.yml, deliberations.maire : mettez") for line in mayor)


def test_an_agent_of_a_ccas_is_one_of_its_commune(tmp_path: Path) -> None:
    """Each has one account, whichever entity names them."""
    odile = {"identifiant": "odile.faure", "prenom": "Odile", "nom": "Faure", "courriel": "o@x.test"}
    ccas = {
        "libelle": "CCAS de Loos",
        "comptes": [odile],
        "president": {"titulaire": "claire.dubois", "suppleants": ["odile.faure"]},
        "parapheur": {"redacteurs": ["odile.faure", "paul.renard"]},
        "deliberations": {"redacteurs": ["odile.faure"], "dgs": ["odile.faure"], "elus": ["Odile Faure"]},
    }
    hosting = commune(entites=[ccas])
    found = life.find([hosting, OTHER], "loos", "Odile Faure")
    assert found == life.Agent("odile.faure", "Odile Faure", "loos")
    told = {line.partition(" : ")[0]: line.partition(" : ")[2] for line in life.list_file_mentions(hosting, found)}
    assert {place.removeprefix("communes/loos.yml, entites[0].") for place in told} == {
        "comptes[0].identifiant",
        "president.suppleants[0]",
        "parapheur.redacteurs[0]",
        "deliberations.redacteurs[0]",
        "deliberations.dgs[0]",
    }
    assert told["communes/loos.yml, entites[0].comptes[0].identifiant"] == "supprimez cette personne"
    paul = life.list_file_mentions(hosting, life.Agent("paul.renard", "Paul Renard", "loos"))
    assert any(line.startswith("communes/loos.yml, entites[0].parapheur.redacteurs[1] : retirez") for line in paul)
    [seat] = life.mentioned(hosting, tmp_path, found)
    assert seat.startswith("communes/loos.yml, entites[0].deliberations.elus : Odile Faure siège au conseil")


def test_what_else_bears_their_name_holds_nothing_back(tmp_path: Path) -> None:
    (tmp_path / "group_vars").mkdir()
    line = 'agents:\n  - "CN=Claire Dubois,OU=0002 215903600,O=Commune de Loos,C=FR"\n'
    (tmp_path / "group_vars" / "archive_gateway.yml").write_text(line, encoding="utf-8")
    elus, gate = life.mentioned(commune(), tmp_path, life.Agent("claire.dubois", "Claire Dubois", "loos"))
    assert "deliberations.elus : Claire Dubois siège au conseil" in elus
    assert gate == "group_vars/archive_gateway.yml, ligne 2 : le certificat de Claire Dubois y est admis, à retirer"
    assert life.mentioned(commune(), tmp_path, life.Agent("paul.renard", "Paul Renard", "loos")) == []


class Site:
    """Applications, playbooks and an authority that do what they are asked."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = home
        self.accounts: dict[str, dict[str, Any]] = {"parapheur": dict(ACCOUNT), "ged": {}}
        self.rows = [row("AA"), row("BB", titulaire="Claire Dubois"), row("CC", commune="wavrin"), row("DD", hote="x")]
        self.servers = {"signatures": "parapheur", "documents": "ged", "sae": "archive_gateway"}
        self.others: dict[str, dict[str, Any]] = {}  # what second machines of a profile answer
        self.played: list[str] = []
        self.fails = ""
        monkeypatch.setattr(life.Authority, "exists", property(lambda _self: True))
        monkeypatch.setattr(life.Authority, "listing", lambda _self: self.rows)

    def ask(self, name: str, *arguments: str) -> bool:
        assert name == "journeys/agent_accounts.yml"
        asked = listing.read(arguments[1])
        if self.fails == name:
            return False
        told = {name: self.accounts[profile] for name, profile in self.servers.items() if profile in self.accounts}
        Path(asked["agent_file"]).write_text(json.dumps(told | self.others), encoding="utf-8")
        return True

    def play(self, name: str, *arguments: str) -> bool:
        told = [
            " ".join(f"{one}={value}" for one, value in listing.read(text).items()) if text.startswith("{") else text
            for text in arguments
        ]
        self.played.append(" ".join((name, *told)))
        if self.fails == name:
            return False
        if "revoke_certificate" in name:
            serial = listing.read(arguments[-1])["numero"]
            next(one for one in self.rows if one["serie"] == serial)["statut"] = "revoque"
        if name == "site.yml":
            self.accounts["parapheur"] |= {"ouvert": False, "en_main": []}
        return True

    def departure(self, data: dict[str, Any], wanted: str = "paul.renard") -> Departure:
        order = Order(self.home, self.home / "inventaire", "essai", self.servers, self.play, self.ask)
        return Departure(order, [Commune("loos", data, "059"), OTHER], "loos", wanted)


def row(serial: str, **fields: str) -> dict[str, Any]:
    return {
        "serie": serial, "titulaire": "Paul Renard", "commune": "loos", "hote": "localhost", "nom": "paul-renard",
        "fin": "2027-11-25T00:00:00+00:00", "statut": "valide", **fields,
    }  # fmt: skip # a table


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    secret = tmp_path / "secrets" / "parapheur" / "comptes" / "paul.renard"
    secret.parent.mkdir(parents=True)
    secret.write_text("premier\n")
    return Site(tmp_path, monkeypatch)


def test_what_is_in_their_hands_is_shown_and_nothing_is_done(site: Site) -> None:
    departure = site.departure(FILE)
    text = "\n".join(departure.lines())
    for words in (
        "Paul Renard (paul.renard), commune loos",
        "- parapheur : compte ouvert (p@x.test), qui reçoit les courriels",
        "- parapheur : dossier 1",
        "- certificat n° AA (paul-renard), valable jusqu'au 2027-11-25",
        "- certificat n° DD",
        "- premier mot de passe : ",
        "Le fichier de la commune le nomme encore :",
    ):
        assert words in text
    assert "n° BB" not in text and "n° CC" not in text
    assert departure.over is None
    with pytest.raises(life.DepartureError, match="corrigez d'abord le fichier de la commune"):
        departure.perform("moi@poste")
    assert site.played == [] and not (site.home / record.FOLDER).exists()


def test_all_is_closed_then_the_record_is_kept_and_again_is_nothing(site: Site) -> None:
    done, folder, unsealed = site.departure(LEFT).perform("moi@poste")
    assert site.played == [
        "journeys/revoke_certificate.yml -e motif=cessation numero=AA",
        "journeys/revoke_certificate.yml -e motif=cessation numero=DD",
        "site.yml --limit parapheur",
    ]
    assert done[:3] == [
        "parapheur : compte fermé",
        "certificat n° AA (paul-renard) : révoqué",
        "certificat n° DD (paul-renard) : révoqué",
    ]
    assert not (site.home / "secrets" / "parapheur" / "comptes" / "paul.renard").exists()
    facts = store.facts_of(folder)
    assert facts["agent"] == {"identifiant": "paul.renard", "nom": "Paul Renard", "commune": "loos"}
    assert "parapheur : dossier 1" in facts["avant"] and facts["fait"] == done
    assert "Départ de Paul Renard" in (folder / "rapport.html").read_text(encoding="utf-8")
    assert "l'autorité du groupement n'existe pas encore" in unsealed
    again = site.departure(LEFT)
    assert again.over == folder
    assert not list((site.home / "verrous").glob("*.json"))


def test_no_key_of_theirs_stays_on_the_control_node_under_any_of_their_names(site: Site) -> None:
    """Who was renamed, or whose commune was, has files of several names; another's bear another certificate."""
    site.rows += [row("EE", nom="paul-renard-commune-de-loos-0a1b2c3d"), row("FF", nom="../secrets")]
    people = site.home / "personnes"
    for name in ("paul-renard", "paul-renard-commune-de-loos-0a1b2c3d", "zoe-martin"):
        (people / name / "current").mkdir(parents=True)
        (people / name / "current" / "key.pem").write_text("clé\n")
        for end in ("p12", "mdp"):
            (people / f"{name}.{end}").write_text("secret\n")
    departure = site.departure(LEFT)
    assert sum(line.startswith("- clé de son certificat, ou ce qui l'ouvre : ") for line in departure.lines()) == 6
    done, _folder, _unsealed = departure.perform("moi@poste")
    assert sorted(path.name for path in people.iterdir()) == ["zoe-martin", "zoe-martin.mdp", "zoe-martin.p12"]
    assert f"{people / 'paul-renard.p12'} : supprimé" in done
    assert (site.home / "secrets").is_dir() and site.departure(LEFT).over


def test_files_that_another_s_certificate_is_in_are_another_s(tmp_path: Path) -> None:
    made = Authority(tmp_path / "autorite", "groupement de test").issue("paul", siren="215903337")
    shutil.copytree(made, tmp_path / "personnes" / "paul-renard" / "current")
    cert = x509.load_pem_x509_certificate((tmp_path / "personnes/paul-renard/current/cert.pem").read_bytes())
    assert files.certificate_files(tmp_path, [row("AA")]) == []
    assert files.certificate_files(tmp_path, [row("AA"), row(f"{cert.serial_number:X}")]) == [
        tmp_path / "personnes" / "paul-renard"
    ]


@pytest.mark.parametrize("step", ["journeys/revoke_certificate.yml", "site.yml"])
def test_a_departure_that_is_cut_goes_on(site: Site, step: str) -> None:
    site.fails = step
    with pytest.raises(life.DepartureError, match="À faire : corrigez, puis relancez la même commande"):
        site.departure(LEFT).perform("moi@poste")
    assert not list((site.home / record.FOLDER).glob("2*"))
    site.fails = ""
    done, _folder, _unsealed = site.departure(LEFT).perform("moi@poste")
    assert "certificat n° AA (paul-renard) : révoqué" in done


def test_what_is_cut_before_the_record_gets_it(site: Site) -> None:
    site.departure(LEFT)._close_accounts("moi@poste")
    departure = site.departure(LEFT)
    assert departure.before.remaining_items() == [] and departure.over is None
    done, _folder, _unsealed = departure.perform("moi@poste")
    assert done == ["certificat n° AA (paul-renard) : révoqué", "certificat n° DD (paul-renard) : révoqué"]


def test_what_stays_open_is_no_departure(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "play", lambda *_given: True)
    with pytest.raises(life.DepartureError, match="il reste : parapheur : compte ouvert"):
        site.departure(LEFT).perform("moi@poste")


def test_an_application_that_does_not_answer_is_no_empty_hand(site: Site) -> None:
    site.fails = "journeys/agent_accounts.yml"
    with pytest.raises(life.DepartureError, match="une application n'a pas pu être interrogée"):
        site.departure(LEFT)


def test_by_a_name_alone_certificates_are_all_there_is(site: Site) -> None:
    departure = site.departure(LEFT, "Paul Renard")
    assert departure.before.accounts == {}
    assert "sans identifiant, les comptes ne sont pas cherchés" in "\n".join(departure.lines())
    assert [one["serie"] for one in departure.before.certificates] == ["AA", "DD"]


@pytest.mark.parametrize(("in_file", "certified"), [("NFD", "NFC"), ("NFC", "NFD"), ("NFD", "NFD")])
def test_a_name_whose_accents_are_written_apart_keeps_no_certificate_in_force(
    site: Site, in_file: Literal["NFC", "NFD"], certified: Literal["NFC", "NFD"]
) -> None:
    """A Mac or a PDF gives « é » as two characters; the authority certifies one."""
    first, last = (unicodedata.normalize(in_file, one) for one in ("Zoé", "Léger"))
    theirs = {"identifiant": "zoe.leger", "prenom": first, "nom": last, "courriel": "z@x.test"}
    holder = unicodedata.normalize(certified, "Zoé Léger")
    site.rows.append(row("EE", titulaire=holder, nom="zoe-leger"))
    hosting = commune(comptes=[*PEOPLE, theirs], postes=[{"certificats": [{"titulaire": holder, "source": "jeton"}]}])
    found = life.find([hosting], "loos", "Zoé Léger")
    assert found.login == "zoe.leger"
    assert [one["serie"] for one in life.holdings(site.home, hosting, found, {}).certificates] == ["EE"]
    assert any("certificats[0].titulaire" in line for line in life.list_file_mentions(hosting, found))
    twin = commune(comptes=[theirs, theirs | {"identifiant": "z.leger", "prenom": "Zoé", "nom": "Léger"}])
    assert life.holdings(site.home, twin, found, {}).certificates == []


def test_each_machine_of_a_profile_is_heard(site: Site) -> None:
    site.servers |= {"signatures2": "parapheur"}
    closed = ACCOUNT | {"ouvert": False, "en_main": ["dossier 9"]}
    site.accounts["parapheur"], site.others = closed, {"signatures2": dict(ACCOUNT)}
    told = "\n".join(site.departure(LEFT).lines())
    for words in ("compte ouvert (p@x.test)", "- parapheur : dossier 9", "- parapheur : dossier 1"):
        assert words in told


def test_nobody_is_told(site: Site) -> None:
    site.accounts = {"parapheur": {}, "ged": {}}
    with pytest.raises(life.DepartureError, match=r"« luc.noir » : ni compte, .* \(comptes : claire.dubois\)"):
        site.departure(LEFT, "luc.noir")


def test_a_deployment_that_goes_on_is_waited_for(site: Site) -> None:
    holder = store.owner(1, "elle@poste")
    (site.home / "verrous").mkdir()
    store.write_json(site.home / "verrous" / "serveur-signatures.json", holder)
    with pytest.raises(
        store.AlreadyLockedError, match="un déploiement de signatures est déjà en cours, lancé par elle@poste"
    ):
        site.departure(LEFT).perform("moi@poste")
    assert site.played == []


def test_certificates_do_not_tell_two_persons_of_one_name_apart(site: Site) -> None:
    data = LEFT | {"comptes": [PEOPLE[0], PEOPLE[1] | {"identifiant": "paul.renard2"}]}
    departure = site.departure(data)
    assert departure.before.certificates == []
    assert "quelqu'un d'autre s'appelle Paul Renard" in "\n".join(departure.lines())


def test_an_ssh_access_in_their_name_ends(site: Site, granted: Callable[..., int]) -> None:
    serial = granted("Paul Renard")
    done, _folder, _unsealed = site.departure(LEFT).perform("moi@poste")
    assert f"accès SSH n° {serial} : révoqué" in done
    assert f"journeys/revoke_access.yml -e serie={serial}" in site.played
    [line] = SshAuthority(site.home / "acces").listing()
    assert (line["etat"], line["revoque_le"] != "") == ("revoque", True)


@pytest.fixture
def granted(site: Site, tmp_path: Path) -> Callable[..., int]:
    """Gives somebody an SSH certificate."""
    folder = site.home / "acces"
    authority = SshAuthority(folder, Passphrases(folder, {"ssh": "phrase-de-l-essai"}))
    authority.ensure(create=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "essai", "-f", tmp_path / "cle"], check=True)
    key = public_key(tmp_path / "cle.pub")

    def grant(who: str) -> int:
        scope = principals("auditeur", [], [])
        event, _text = authority.grant(Demand("auditeur", dt.timedelta(hours=1), scope, who, "", "moi@poste", ""), key)
        return int(event["serie"])

    return grant
