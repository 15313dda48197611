"""The maire's page: a fact where an audit shows it whole, said otherwise where it does not; two pages of paper."""

from __future__ import annotations

import datetime as dt
import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pypdf
import pytest
import yaml
from lxml import html

from creatic.audit import sources as audit
from creatic.audit.controls import LEVELS
from creatic.documents import commune as page
from creatic.documents import referentiel
from creatic.documents.settings import Settings
from creatic.evidence import store
from creatic.evidence.page import ENVIRONMENT
from creatic.evidence.seal import SealKeys
from creatic.registry.groupement import Commune
from testbed.control_node import REPO
from testbed.evidence import place_seals
from testbed.shown import CONTRASTS, FAULTS, Ask

NOW = dt.datetime(2026, 12, 2, 9, tzinfo=dt.UTC)
HOSTILE = "<script>alert('x')</script>\"'&{{ 7 * 7 }}"
CATALOGUE = yaml.safe_load((REPO / "roles/hardening/files/controls.yml").read_text(encoding="utf-8"))["controles"]
SERVERS = {"sae1": "archive_node", "versement": "archive_gateway", "signatures": "parapheur", "coffre": "backup_server"}
TOLD = {"astreinte": "03 20 00 00 00, jour et nuit", "delegue": "Nora Benali, dpd@example.org"}
WAIVER = {"objet": "x", "motif": "noyau de l'hôte", "responsable": "RSSI du groupement", "fin": "2027-11-20"}


def commune(postes: int = 1, agents: int = 80, **more: Any) -> Commune:
    """Gondecourt, with so many PCs and its connector."""
    data: dict[str, Any] = {
        "nom": "Gondecourt",
        "siren": "215902669",
        "insee": "59266",
        "territoire": "lille",
        "agents": agents,
        "vague": 1,
        "services": ["teletransmission", "parapheur", "archivage"],
        "postes": [
            {"nom": f"pc-{rank}", "adresse": f"10.59.2.{rank + 10}", "systeme": "debian"} for rank in range(postes)
        ],
        "connecteur": {"adresse": "10.59.2.200", "tdt": "s2low"},
    }
    return Commune("gondecourt", {key: one for key, one in (data | more).items() if one is not None}, "059")


def machine(name: str, profile: str, of: Commune | None, **more: Any) -> dict[str, Any]:
    """A machine of an audit."""
    identity = {"slug": of.slug, "nom": of.data["nom"], "siren": of.data["siren"]} if of else None
    facts: dict[str, Any] = {
        "nom": name,
        "profil": profile,
        "commune": identity,
        "etat": "auditee",
        "derive": [],
        "correctifs": {"securite": []},
        "essais": {"reussis": 9, "echecs_du_profil": []},
        "verdicts": {audit.CONFORME: 60, audit.DEROGATION: 0, audit.A_ATTESTER: 0},
        "ecarts": 0,
    }
    return facts | more


def results(of: Commune, verdicts: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    """An audit in which all that was asked is conform, but for these controls; manual ones are so by default."""
    changed, level = verdicts or {}, LEVELS.index(of.variables["niveau"])
    hosts = [host.name for host in of.hosts()]
    controls = []
    for one in CATALOGUE:
        asked = hosts if LEVELS.index(one["niveau"]) <= level else []
        own = audit.SANS_OBJET if one["statut"] == "sans_objet" else changed.get(one["id"], audit.CONFORME)
        waivers = [WAIVER] if own == audit.DEROGATION else []
        found = {name: {"verdict": own, "preuves": [], "reussis": 1, "derogations": waivers} for name in asked}
        controls.append({key: one[key] for key in ("id", "niveau", "titre", "statut")} | {"machines": found})
    machines = [machine(host.name, host.groups[0], of) for host in of.hosts()]
    machines += [machine(name, profile, None) for name, profile in SERVERS.items()]
    told = {"audit": "2026-11-25T040000Z", "fin": "2026-11-25T04:02:30+00:00", "perimetre": audit.WHOLE,
             "interrompu": None, "machines": machines, "controles": controls}  # fmt: skip # one audit
    return told | more


def settings(**given: Any) -> Settings:
    """An inventory's variables, the same everywhere."""
    told = {"creatic_documents": TOLD, "creatic_autorite": {"organisation": "Groupement de l'exemple"}} | given
    hosts = {name: {"creatic_profil": profile, **told} for name, profile in SERVERS.items()}
    return Settings(REPO, {"_meta": {"hostvars": hosts}})


def order(of: Commune, home: Path = Path(), **given: Any) -> page.Order:
    return page.Order(home, "essai", settings(**given), of, NOW)


def drawn(of: Commune, found: dict[str, Any], **given: Any) -> str:
    """HTML of the page."""
    told = order(of, **given).facts(found) | {"environnement": "essai", "passage": "2026-12-02T090000Z"}
    told["audit"] |= {"nom": "2026-11-25T040000Z", "empreinte": "0" * 64}
    return ENVIRONMENT.get_template("audit_commune.html.j2").render(record=told)


def words(text: str) -> str:
    """What a reader sees."""
    [body] = cast(list[html.HtmlElement], html.fromstring(re.sub("<t[dh]", r" \g<0>", text)).xpath("//body"))
    return re.sub(r"\s+", " ", body.text_content().replace("’", "'"))


def named(told: dict[str, Any], title: str) -> dict[str, Any]:
    """One protection of the page."""
    [found] = [one for one in told["protections"] if one["titre"] == title]
    return cast(dict[str, Any], found)


def record(home: Path, name: str, found: dict[str, Any]) -> Path:
    """An audit's facts, in the evidence."""
    folder = home / "audits" / name
    folder.mkdir(parents=True)
    (folder / store.AUDIT).write_text(json.dumps(found))
    (folder / "empreintes.sha256").write_text("")
    return folder


# -- The référentiel ----------------------------------------------------------------------------------


def test_each_control_that_applies_has_its_words_with_others_of_its_level() -> None:
    levels = {one["id"]: one["niveau"] for one in CATALOGUE if one["statut"] != "sans_objet"}
    known = referentiel.load()
    told = [name for one in known.protections for name in one.controles]
    assert sorted(told) == sorted(levels)
    assert [one.titre for one in known.protections if len({levels[name] for name in one.controles}) > 1] == []


def test_each_source_serves_and_sentences_stay_short() -> None:
    known = referentiel.load()
    told = [one.fonde for one in known.a_faire] + [one.fonde for one in known.incident]
    told += [one.fonde for one in known.contacts.values()]
    assert {name for places in told for name, _where in places} == known.sources.keys()
    assert [one.dit for one in known.a_faire if len(one.dit) > 180] == []  # two pages of paper


@pytest.mark.parametrize(
    ("agents", "count", "there", "absent"),
    [
        (1, 13, "Un référent", "Un référent sécurité"),
        (49, 13, "Un référent", "Une marche à suivre écrite"),
        (50, 15, "Un référent sécurité", "Un référent"),
        (100, 15, "Une marche à suivre écrite", "Vos propres contrôles"),
        (101, 17, "Vos propres contrôles", "Un référent"),
    ],
)
def test_a_commune_is_told_what_its_size_asks(agents: int, count: int, there: str, absent: str) -> None:
    told = [one.titre for one in referentiel.load().duties(agents)]
    assert len(told) == count and there in told and absent not in told


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "source: hygiene, ou: mesure 39",
            "source: hygine, ou: mesure 39",
            "a_faire[0].fonde[0].source : cette source",
        ),
        ("aide: delegue", "aide: delege", "ce contact n'est pas dans contacts"),
        ("champ: astreinte", "champ: astrinte", "contacts.groupement.champ : creatic_documents n'a pas ce champ"),
        ("controles: [R61]", "controles: [R61, R80]", "R80 est dans deux protections"),
        ("controles: [R61]", "controles: [R81]", "écrivez le numéro du guide"),
        ("    a: 49\n", "    de: 60\n    a: 49\n", "aucune commune n'a ce nombre d'agents"),
        (
            "    joindre: 17cyber.gouv.fr\n    fonde: [{source: dixsept}]\n",
            "    joindre: 17cyber.gouv.fr\n",
            "rien ne dit",
        ),
        ('date: "2017-09"', "date: septembre", "AAAA-MM"),
        ("    fonde: [{source: rgs}, {source: collectivites, ou: partie I}]\n", "", "fonde : champ obligatoire absent"),
    ],
)
def test_a_wrong_rule_is_named_with_its_fix(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = referentiel.FILE.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "referentiel.yml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(referentiel.ReferentielError) as raised:
        referentiel.load(path)
    assert message in str(raised.value)


# -- What is said of a commune ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (audit.CONFORME, "Sessions oubliées. Une session laissée ouverte se ferme d'elle-même."),
        (audit.NON_CONFORME, "✗ non conforme Sessions oubliées (R32) : à corriger par le groupement"),
        (
            audit.DEROGATION,
            "dérogation Sessions oubliées (R32) : admis en l'état par RSSI du groupement jusqu'au 20/11/2027",
        ),
        (audit.A_ATTESTER, "✎ à attester Sessions oubliées (R32) : une personne doit l'attester par écrit"),
        (audit.NON_VERIFIE, "? non vérifié Sessions oubliées (R32) : l'audit n'a pas pu le vérifier"),
        (audit.SANS_OBJET, ""),
    ],
)
def test_only_what_is_conform_is_asserted(verdict: str, said: str) -> None:
    of = commune()
    told = words(drawn(of, results(of, {"R32": verdict})))
    assert said in told
    assert ("se ferme d'elle-même" in told) == (verdict == audit.CONFORME)
    assert ("Sessions oubliées" in told) == bool(said)


@pytest.mark.parametrize(
    ("verdicts", "tone", "title"),
    [
        ({}, "ok", "13 protections tenues sur 13"),
        ({"R2": audit.A_ATTESTER}, "attention", "12 protections tenues sur 13"),
        ({"R2": audit.A_ATTESTER, "R61": audit.NON_CONFORME}, "echec", "11 protections tenues sur 13"),
    ],
)
def test_the_page_is_worth_its_worst_protection(verdicts: dict[str, str], tone: str, title: str) -> None:
    of = commune()
    told = order(of).facts(results(of, verdicts))
    assert (told["ton"], told["titre"]) == (tone, title)


def test_what_is_said_alike_is_said_once() -> None:
    of = commune()
    told = words(drawn(of, results(of, {"R2": audit.A_ATTESTER, "R9": audit.A_ATTESTER, "R61": audit.NON_CONFORME})))
    assert "✎ à attester Cœur du système (R9), Démarrage (R2) : une personne doit l'attester par écrit" in told
    assert told.count("l'attester par écrit") == 1 and "Le groupement a à corriger : Mises à jour." in told


def test_a_sentence_needs_all_its_controls_on_all_machines_that_were_seen() -> None:
    of = commune(2)
    found = results(of)
    by_id = {one["id"]: one["machines"] for one in found["controles"]}
    by_id["R44"]["gondecourt-pc-1"]["verdict"] = audit.NON_CONFORME
    del by_id["R59"]["gondecourt-pc-0"]  # an audit that did not know this control
    told = order(of).facts(found)
    assert named(told, "Administration")["groupes"] == [
        {"verdict": audit.NON_CONFORME, "machines": ["pc-1"], "controles": ["R44"], "derogations": []}
    ]
    assert named(told, "Administration")["conformes"] == 2
    assert named(told, "Logiciels")["verdict"] == audit.NON_VERIFIE
    assert "Administration (R44) : à corriger par le groupement sur pc-1 ; conforme sur 2 autres machines" in words(
        drawn(of, found)
    )


@pytest.mark.parametrize("state", ["injoignable", "perdue", "en_erreur", "hors_portee"])
def test_of_a_machine_that_was_not_seen_whole_a_failure_stands_and_nothing_else(state: str) -> None:
    of = commune()
    found = results(of)
    found["machines"][0]["etat"] = state
    by_id = {one["id"]: one["machines"] for one in found["controles"]}
    by_id["R32"]["gondecourt-pc-0"]["verdict"] = audit.NON_VERIFIE
    by_id["R61"]["gondecourt-pc-0"]["verdict"] = audit.NON_CONFORME
    told = order(of).facts(found)
    assert named(told, "Sessions oubliées")["machines"] == 1  # the connector's alone
    assert named(told, "Mises à jour")["verdict"] == audit.NON_CONFORME
    assert told["vues"] == ["connecteur"] and [one["machines"] for one in told["non_vues"]] == [["pc-0"]]
    assert "non vérifié pc-0 : " in words(drawn(of, found))


def test_machines_that_nobody_looked_at_are_told_with_the_reason() -> None:
    postes = [
        {"nom": "accueil", "adresse": "10.59.2.10", "systeme": "windows"},
        {"nom": "nouveau", "adresse": "10.59.2.11", "systeme": "debian"},
    ]
    of = commune(0)
    told = words(drawn(Commune(of.slug, of.data | {"postes": postes}, "059"), results(of)))
    assert "accueil : sous Windows, dont l'audit n'a rien reçu de récent. Rien n'en est affirmé." in told
    assert "nouveau : hors de cet audit" in told and "1 / 3" in told
    away = Commune(of.slug, of.data | {"acces": "sortant"}, "059")
    told = words(drawn(away, results(of) | {"machines": []}))
    assert "Rien n'a pu être vérifié chez vous" in told and "en accès sortant, que l'audit ne joint pas" in told
    assert "Ce qui vous protège" not in told and "Une sauvegarde débranchée" in told


def test_a_pc_that_nobody_reaches_is_on_the_page() -> None:
    of = commune(1)
    of = Commune(of.slug, of.data | {"postes": [{"nom": "accueil", "acces": "installeur", "systeme": "debian"}]}, "059")
    found = results(of)
    assert "accueil : hors de cet audit" in words(drawn(of, found))
    found["machines"].append(
        {**found["machines"][0], "nom": "gondecourt-accueil", "etat": "hors_portee", "poste": None}
    )
    assert "accueil : que nul ne joint, dont l'audit n'a rien reçu de récent" in words(drawn(of, found))


def test_a_pc_under_windows_says_what_the_commune_can_do() -> None:
    of = commune(1)
    of = Commune(
        of.slug, of.data | {"postes": [{"nom": "accueil", "adresse": "10.59.2.10", "systeme": "windows"}]}, "059"
    )
    found, name = results(of), "gondecourt-accueil"
    assert "Ce que vos postes disent" not in words(drawn(of, found))
    found["machines"][0] |= {"etat": "hors_portee", "poste": {"etat": "constate", "mesures": {}}}
    measure = {"agir": f"Faites retirer SMBv1. {HOSTILE}", "fonde": "Hygiène, mesure 21"}
    found["postes"] = {
        "mesures": [
            measure | {"titre": "Partage ancien", "machines": {name: {"verdict": audit.NON_CONFORME}}},
            measure | {"titre": "Pare-feu", "machines": {name: {"verdict": audit.CONFORME}}},
            measure | {"titre": "Antivirus", "machines": {name: {"verdict": audit.NON_VERIFIE}}},
        ]
    }
    page = drawn(of, found)
    told = words(page)
    assert "À corriger sur vos postes, la page dit comment : Partage ancien." in told
    assert "non conforme Partage ancien (accueil) : Faites retirer SMBv1." in told and "<script>alert" not in page
    assert "Lu et conforme sur accueil : pare-feu." in told and "Antivirus (" not in told
    assert "dont l'audit n'a rien reçu" not in told
    found["machines"][0]["poste"]["etat"] = "silencieux"
    told = words(drawn(of, found))
    assert "accueil : sous Windows, dont l'audit n'a rien reçu" in told and "Ce que vos postes" not in told


def test_a_machine_that_left_the_commune_s_file_is_no_more_its_own() -> None:
    before, after = commune(2), commune(1)
    found = results(before, {"R61": audit.CONFORME})
    {one["id"]: one for one in found["controles"]}["R61"]["machines"]["gondecourt-pc-1"]["verdict"] = audit.NON_CONFORME
    assert order(after).facts(found)["ton"] == "ok"
    other = results(before)
    for one in other["machines"]:  # machines of the same names, of somebody else
        one["commune"] = {"slug": "gondecourt", "siren": "215900671"} if one["commune"] else None
    assert order(before).facts(other)["vues"] == []


def test_what_drifted_fails_or_waits_for_an_update_is_told() -> None:
    of = commune(3)
    found = results(of)
    found["machines"][0]["derive"] = [{"tache": "t", "chemins": [], "diff": ""}]
    found["machines"][1]["derive"] = None
    found["machines"][1]["correctifs"]["securite"] = [{"nom": "openssl"}] * 3
    found["machines"][2]["essais"]["echecs_du_profil"] = [{"nom": "t", "detail": "d"}]
    told = words(drawn(of, found))
    assert "Réglages : à corriger par le groupement sur pc-0 ; l'audit n'a pas pu le vérifier sur pc-1" in told
    assert "pc-1 : des corrections de sécurité attendaient d'être posées le jour de l'audit" in told
    assert "Essais de fonctionnement : à corriger par le groupement sur pc-2" in told


@pytest.mark.parametrize(("when", "said"), [("2026-08-01T10:00:00+00:00", "il a 123 jours"), ("hier", "illisible")])
def test_nothing_is_asserted_today_from_an_old_audit(when: str, said: str) -> None:
    of = commune()
    told = words(drawn(of, results(of, fin=when)))
    assert "Audit trop ancien" in told and said in told
    assert "Mises à jour." in told and "s'installent sans attendre" not in told and "Ce qui vous protège" not in told
    assert "Archivage ? non vérifié" in told


def test_a_waiver_that_ended_since_the_audit_is_no_waiver_any_more() -> None:
    of = commune()
    found = results(of, {"R32": audit.DEROGATION})
    assert "terminé depuis" not in words(drawn(of, found))
    ended = json.loads(json.dumps(found).replace("2027-11-20", "2026-12-01"))
    assert "jusqu'au 01/12/2026 (terminé depuis)" in words(drawn(of, ended))


def test_an_interrupted_audit_and_an_imposed_level_are_said() -> None:
    of = commune()
    found = results(of, interrompu="Dérive", niveau_impose="high")
    found["machines"] = [one | {"niveau": "high"} for one in found["machines"]]
    told = words(drawn(of, found))
    assert "Cet audit a été interrompu." in told and "ANSSI-BP-028 : élevé, choisie pour cet audit" in told
    assert "ANSSI-BP-028 : intermédiaire" in words(drawn(of, results(of)))


def test_a_commune_without_a_machine_has_its_services_and_its_duties() -> None:
    of = commune(0, connecteur=None, services=["parapheur"], agents=12)
    told = words(drawn(of, results(of)))
    assert "Aucune machine du groupement chez vous" in told and "Machines vues" not in told
    assert "Parapheur ✓ conforme" in told and "Archivage" not in told and "Un référent." in told


def test_servers_are_worth_what_the_audit_saw_of_them() -> None:
    of = commune()
    found = results(of)
    found["machines"] = [one for one in found["machines"] if one["nom"] not in ("sae1", "coffre")]
    found["machines"][-1] |= {"ecarts": 1, "verdicts": {audit.NON_CONFORME: 1, audit.CONFORME: 60}}
    told = words(drawn(of, found))
    assert "Archivage ? non vérifié 60 conformes ; 1 machine vue en entier sur 2" in told
    assert "Parapheur ✗ non conforme 60 conformes, 1 non conforme" in told
    assert "Sauvegardes ? non vérifié pas dans cet audit" in told
    found = results(of)
    found["machines"][-1]["verdicts"] = {audit.SANS_OBJET: 3}
    assert "Sauvegardes ? non vérifié" in words(drawn(of, found))


def test_who_to_ask_is_what_the_groupement_s_files_say() -> None:
    of = commune()
    told = words(drawn(of, results(of), creatic_documents=TOLD | {"representant": "Dominique Lefebvre, président"}))
    assert "Groupement de l'exemple (Dominique Lefebvre, président) : une question" in told
    assert "03 20 00 00 00, jour et nuit" in told.replace("\N{NO-BREAK SPACE}", " ")
    assert "à compléter par le groupement" not in told
    bare = order(of, creatic_documents={}, creatic_autorite=None).facts(results(of))
    assert bare["a_completer"] == [
        "qui prévenir en cas d'incident, et comment (creatic_documents.astreinte, group_vars/all.yml)",
        "délégué à la protection des données, et comment le joindre (creatic_documents.delegue, group_vars/all.yml)",
    ]
    assert "à compléter par le groupement" in words(drawn(of, results(of), creatic_documents={}))


# -- The page -----------------------------------------------------------------------------------------


def hostile(item: Any) -> Any:
    """The same facts, with hostile texts wherever words come from a file or a machine."""
    kept = ("verdict", "etat", "ton", "fin", "fonde", "champ", "taille", "niveaux")
    if isinstance(item, dict):
        return {key: part if key in kept else hostile(part) for key, part in item.items()}
    if isinstance(item, list):
        return [hostile(part) for part in item]
    return HOSTILE if isinstance(item, str) else item


def test_a_hostile_word_stays_a_word() -> None:
    of = commune(9)
    found = results(of, {"R32": audit.DEROGATION, "R61": audit.NON_CONFORME})
    found["machines"][0]["etat"] = "en_erreur"
    told = hostile(order(of).facts(found)) | {"environnement": HOSTILE, "passage": HOSTILE}
    told["audit"] |= {"nom": "2026-11-25T040000Z", "empreinte": HOSTILE}
    text = ENVIRONMENT.get_template("audit_commune.html.j2").render(record=told)
    assert "<script" not in text and "{{ 7 * 7 }}" in words(text)
    for element in html.fromstring(text).iter():
        assert not any(str(name).startswith("on") for name in element.attrib)


def test_the_page_is_sound_and_asks_nothing_of_the_network() -> None:
    of = commune(2)
    text = drawn(of, results(of, {"R32": audit.NON_CONFORME}))
    assert not re.search(r"""(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//""", text) and "<script" not in text
    tree = html.fromstring(text)

    def found(path: str) -> list[Any]:
        return cast(list[Any], tree.xpath(path))

    identifiers = found("//@id")
    assert tree.get("lang") == "fr" and len(found("//h1")) == 1
    assert not found("//table//th[not(@scope)]") and not found("//section[not(@aria-labelledby)]")
    assert len(identifiers) == len({*identifiers}) and {*found("//*/@aria-labelledby")} <= {*identifiers}


LONG = "Saint-Remy-en-Bouzemont-Saint-Genest-et-Isson-sur-la-Longue-Vallée"


@pytest.mark.parametrize(
    ("of", "verdicts"),
    [
        (commune(1, agents=12), {}),
        (commune(0, connecteur=None, agents=12), {}),
        (commune(11, agents=400, nom=LONG), {}),
        (
            commune(11, agents=400, nom=LONG),
            {"R61": audit.NON_CONFORME, "R9": audit.DEROGATION, "R2": audit.A_ATTESTER},
        ),
        (commune(11, agents=400, nom=LONG), dict.fromkeys([one["id"] for one in CATALOGUE], audit.DEROGATION)),
    ],
    ids=["small", "no machine", "twelve machines", "something of all", "all waived"],
)
def test_it_takes_two_pages_of_paper(of: Commune, verdicts: dict[str, str], tmp_path: Path) -> None:
    told = TOLD | {"astreinte": "x" * 200, "representant": "Dominique Lefebvre-Vandenbossche, président du groupement"}
    found = results(of, verdicts)
    for one, state in zip(found["machines"][:3] if of.data["postes"][3:] else (), page._UNSEEN_REASONS, strict=False):
        one["etat"] = state or "hors_portee"
    page.write_pdf(drawn(of, found, creatic_documents=told), tmp_path / "page.pdf")
    pages = pypdf.PdfReader(tmp_path / "page.pdf").pages
    assert len(pages) == 2
    assert "Ce que vous avez à faire" in pages[1].extract_text().replace("\n", " ")


# -- Its record ---------------------------------------------------------------------------------------


def test_without_an_audit_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(page.PageError, match=r"aucun audit .* À faire : « fab audit », .*--limite commune_gondecourt"):
        order(commune(), tmp_path).produce()


def test_the_last_audit_that_looked_at_the_commune_counts(tmp_path: Path) -> None:
    of, asked = commune(), order(commune(), tmp_path)
    elsewhere = results(of) | {"machines": [machine("loos-connecteur", "tdt_connector", None)]}
    record(tmp_path, "2026-10-31T040000Z", elsewhere | {"fin": "2026-10-31T05:00:00+00:00"})
    last = record(tmp_path, "2026-11-01T040000Z", elsewhere | {"fin": "2026-11-01T05:00:00+00:00"})
    assert asked._audit_folder() == last  # for want of a better one
    mine = record(tmp_path, "2026-11-02T040000Z", results(of, fin="2026-11-02T05:00:00+00:00"))
    record(tmp_path, "2026-11-03T040000Z", elsewhere | {"fin": "2026-11-03T05:00:00+00:00"})
    (record(tmp_path, "2026-11-04T040000Z", {}) / store.AUDIT).write_text("[]")
    assert asked._audit_folder() == mine


def test_the_page_is_sealed_and_an_audit_that_was_changed_is_refused(tmp_path: Path, keys: SealKeys) -> None:
    of = commune()
    place_seals(tmp_path, keys)
    name, staging = store.open_run(tmp_path / "audits", "alice")
    with store.closing(tmp_path / "audits") as finished:
        run, _ = store.publish(staging, finished, store.AUDIT, results(of) | {"audit": name}, {}, keys)
    folder, missing, unsealed = order(of, tmp_path).produce()
    assert (folder.parent.name, missing, unsealed) == ("documents", [], "")
    assert all(one.intact for one in store.verify_all(tmp_path / "documents", keys.root).values())
    told = words((folder / "rapport.html").read_text(encoding="utf-8"))
    assert f"l'audit {name}" in told and store.sha256(run / "empreintes.sha256") in told
    assert f"documents/{folder.name}, environnement essai" in told and (folder / "rapport.pdf").is_file()
    (run / store.AUDIT).write_text((run / store.AUDIT).read_text().replace("auditee", "audite2", 1))
    with pytest.raises(page.PageError, match=r"ne vaut pas : resultats.json modifié.* À faire : .*fab audit --limite"):
        order(of, tmp_path).produce()


def test_an_audit_of_the_version_before_is_read(tmp_path: Path) -> None:
    with tarfile.open(REPO / "tests/unit/evidence/sealed_before.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    [*_, run] = store.runs(tmp_path / "avant" / "audits")
    of = commune(0)
    told = drawn(of, store.facts_of(run))
    assert "interrompu" not in words(told) and order(of).facts(store.facts_of(run))["vues"] == ["connecteur"]


@pytest.mark.costly
@pytest.mark.parametrize("width", [1280, 360])
def test_a_browser_shows_it_to_all(opened: Callable[..., Ask], tmp_path: Path, width: int) -> None:
    of = commune(11, agents=400, nom=LONG)
    found = results(of, {"R61": audit.NON_CONFORME, "R9": audit.DEROGATION, "R2": audit.A_ATTESTER})
    for one, state in zip(found["machines"][:3], ("injoignable", "perdue", "hors_portee"), strict=True):
        one["etat"] = state
    (tmp_path / "page.html").write_text(drawn(of, found), encoding="utf-8")
    ask = opened(tmp_path / "page.html", width)
    looked, bad = ask(CONTRASTS)
    assert looked > 60 and bad == []
    assert ask(FAULTS) == []
    assert ask("document.documentElement.scrollWidth") <= width
