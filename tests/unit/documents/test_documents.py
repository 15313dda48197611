"""Documents from what runs: every statement is seen to rest on something, or is marked; files are what readers open."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
import shutil
import time
from pathlib import Path
from typing import Any

import docx
import pypdf
import pytest

from creatic.audit import sources as verdict
from creatic.documents import produce, room, supports
from creatic.documents.settings import Settings
from creatic.evidence import store
from creatic.evidence.seal import SealKeys
from creatic.registry import groupement, papers, variables
from testbed.control_node import REPO
from testbed.evidence import place_seals

NOW = dt.datetime(2026, 11, 28, 9, tzinfo=dt.UTC)
KNOWN: dict[str, Any] = {
    "_meta": {
        "hostvars": {
            "sae1": {"creatic_profil": "archive_node", "creatic_archive_regles": {"ACTES-10": 10}},
            "versement": {
                "creatic_profil": "archive_gateway",
                "creatic_archive_partenaires": [{"libelle": "Région | <b>*tout*</b>"}],
                "archive_gateway_agents": [{"name": "Camille Delattre"}],
            },
            "niv": {"creatic_profil": "hardening"},
        }
    },
    "archive_node": {"hosts": ["sae1"]},
    "archive_gateway": {"hosts": ["versement"]},
    "hardening": {"hosts": ["niv"]},
}


HOSTS = ("sae1", "versement")
WAIVERS = [{"motif": "en attente", "responsable": "Camille", "fin": "2027-01-01"}]


def audit(home: Path, when: str = "2026-11-20T10:00:00+00:00", failed: int = 0, r61: str = verdict.CONFORME) -> None:
    """An audit's facts, in the evidence."""
    folder = home / "audits" / "2026-11-20T095000Z"
    folder.mkdir(parents=True)
    machines = [
        {"nom": name, "profil": profile, "etat": "auditee", "essais": {"reussis": 40, "echecs": failed}}
        for name, profile in zip(HOSTS, ("archive_node", "archive_gateway"), strict=True)
    ]
    controls = [
        {"id": name, "titre": f"Titre de {name}", "verdict": r61 if name == "R61" else verdict.CONFORME,
         "machines": {host: {"derogations": WAIVERS if r61 == verdict.DEROGATION else []} for host in HOSTS}}
        for name in (f"R{rank}" for rank in range(1, 81))
    ]  # fmt: skip # one call by its parts
    facts = {"audit": folder.name, "fin": when, "machines": machines, "controles": controls,
             "verdict": {"conforme": not failed, "ecarts": failed, "machines_non_auditees": [],
                         "controles": {"conforme": 80}}}  # fmt: skip # a table
    (folder / "resultats.json").write_text(json.dumps(facts))


def journal(home: Path) -> None:
    """Events of the archive room, as their sealed copy is: one of another year, one that is none, one cut short."""
    folder = home / "archive/sceaux/versement"
    folder.mkdir(parents=True)

    def event(name: str, moment: str = "2026-02-01", **detail: int) -> str:
        one = {"evenement": name, "compte": "gondecourt", "heure": f"{moment}T00:00:00Z", "detail": detail}
        return json.dumps(one | {"resultat": "succes"}) + "\n"

    lines = [event("versement.accepte", octets=2_000_000), event("versement.accepte", octets=500_000),
             event("versement.refuse"), event("archive.communication"), event("fixite.ecart"),
             event("fixite.reparation"), event("conversion.faite"), event("conversion.refusee"),
             event("versement.accepte", "2025-12-31", octets=7), "[]\n",
             '{"evenement":"versement.acc']  # fmt: skip # a list by rows
    (folder / "evenements-00000001.jsonl").write_text("".join(lines))
    (folder / "sceau-00000001.json").write_text("{}")


def order(home: Path, commune: str = "", known: dict[str, Any] = KNOWN, **more: Any) -> produce.Order:
    communes = groupement.load(REPO / "inventories/example")
    return produce.Order(REPO, home, "essai", known, communes, commune, NOW, **more)


def supports_of(home: Path, known: dict[str, Any] = KNOWN, now: dt.datetime = NOW) -> supports.Supports:
    return supports.Supports(home, Settings(REPO, known), now)


def hosts(**given: dict[str, Any]) -> dict[str, Any]:
    """An inventory of these machines: variables by name."""
    return {"_meta": {"hostvars": given}}


def write(known: dict[str, Any], home: Path, name: str, commune: str = "", **more: Any) -> str:
    """Markdown of one document (fixture `plain`), without its escapes."""
    folder, _, _ = order(home, commune, known, only=[name], **more).produce()
    return (folder / f"{name}.docx").read_text(encoding="utf-8").replace("\\", "")


def read(path: Path) -> str:
    """What a reader finds in a PDF, or in a Word file: text, tables included."""
    if path.suffix == ".pdf":
        return " ".join(" ".join(page.extract_text() for page in pypdf.PdfReader(path).pages).split())
    document = docx.Document(str(path))
    cells = [cell.text for table in document.tables for row in table.rows for cell in row.cells]
    return " ".join([*(one.text for one in document.paragraphs), *cells])


@pytest.fixture(autouse=True)
def believed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records are taken for intact, but where their seal is what is tried."""
    if "keys" not in request.fixturenames:
        monkeypatch.setattr(supports, "fault", lambda _run, _home: "")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, produce.Written]]:
    """Documents of a groupement that was audited: their folder, and each by its name."""
    state = tmp_path_factory.mktemp("etat")
    audit(state)
    journal(state)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(supports, "fault", lambda _run, _home: "")
        folder, written, _ = order(state).produce()
    return folder, {one.name: one for one in written}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Documents are their Markdown: drawing them is what takes time."""
    monkeypatch.setattr(produce.writing, "pdf", lambda text, _title, target: target.write_text(text))
    monkeypatch.setattr(produce.writing, "word", lambda text, _title, target, _moment: target.write_text(text))


def test_without_evidence_nothing_is_claimed(home: Path) -> None:
    folder, written, unsealed = order(home, only=["politique-archivage", "homologation"]).produce()
    states = {one.name: one.states for one in written}
    # What settings alone make true is held; all that somebody must have seen is not.
    assert states["politique-archivage"][supports.HELD] == 1 and states["homologation"][supports.HELD] == 0
    told = read(folder / "homologation.pdf")
    assert "Aucun audit sur ce poste de commande" in told
    assert "[A5 : NON VÉRIFIÉ] visé, à démontrer : correctifs de sécurité appliqués" in told
    assert "audit : aucun (fab audit)" in told and "l'autorité du groupement n'existe pas encore" in unsealed
    root = store.seal_keys(home).root
    root.parent.mkdir(parents=True)
    root.write_text("racine")
    _, _, unsealed = order(home, only=["fiche-incident"]).produce()
    assert unsealed.startswith("le certificat qui signe les preuves n'est pas encore fait (")


@pytest.mark.costly
def test_what_was_seen_is_named_with_its_date_and_its_record(shown: tuple[Path, dict[str, produce.Written]]) -> None:
    folder, written = shown
    assert set(written) == set(produce.COMMON)
    seen = "essais du profil archive_node, 1 machine : 40 réussis, 0 en échec, vu le 20/11/2026"
    for kind in ("pdf", "docx"):
        told = read(folder / f"politique-archivage.{kind}")
        assert f"{seen} (audits/2026-11-20T095000Z)" in told
        assert "ACTES-10 10 ans" in told
        # A partner's name holds a table's bar and HTML: it is as it was written.
        assert "Région | <b>*tout*</b>" in told
    assert written["homologation"].states[supports.NOT_HELD] == 0
    assert "conforme 80" in read(folder / "homologation.pdf")
    assert "niv" not in read(folder / "homologation.docx").split()  # a test bench is no machine of the groupement
    assert "gondecourt 2 1 2,5 1 0 0 3" in read(folder / "rapport-annuel.pdf")


@pytest.mark.parametrize(
    ("changed", "state", "told"),
    [
        ({"failed": 1}, supports.NOT_HELD, "1 en échec"),
        ({"r61": verdict.NON_CONFORME}, supports.NOT_HELD, "non conforme"),
        ({"r61": verdict.A_ATTESTER}, supports.UNSEEN, "à attester par écrit"),
        (
            {"r61": verdict.DEROGATION},
            supports.WAIVED,
            "dérogation en cours, 2 machines (Camille, jusqu'au 2027-01-01)",
        ),
        ({"r61": verdict.SANS_OBJET}, supports.UNSEEN, "sans objet au catalogue"),
        ({"when": "2026-08-01T10:00:00+00:00"}, supports.UNSEEN, "plus de 100 jours, à refaire"),
        ({"when": "hier"}, supports.UNSEEN, "à une date illisible"),
    ],
)
def test_what_is_wrong_or_old_is_no_fact(
    home: Path, plain: None, changed: dict[str, Any], state: str, told: str
) -> None:
    audit(home, **changed)
    found = supports_of(home).tests("archive_node") if "failed" in changed else supports_of(home).control("R61")
    assert found.state == state and told in found.told
    practices = write(KNOWN, home, "declaration-pratiques")
    said = "Une écriture n'est acceptée qu'avec" if "failed" in changed else "Les machines sont mises à jour"
    [line] = [line for line in practices.splitlines() if said in line]
    assert line.startswith("- **[A") and f" : {state}]** *visé, " in line


def test_a_statement_is_worth_its_worst_support() -> None:
    register = supports.Register()
    for rank, state in enumerate(supports.STATES, 1):
        held = [supports.Support(one, "…") for one in (supports.HELD, state)]
        assert register(*held) == (f"A{rank}", state)
    assert register() == ("A6", supports.UNSEEN)
    assert sum(register.summary().values()) == 6


def test_an_audit_of_some_machines_shows_nothing_of_all(home: Path) -> None:
    audit(home)
    results = home / "audits/2026-11-20T095000Z/resultats.json"
    facts = json.loads(results.read_text()) | {"perimetre": verdict.WHOLE}
    for limit, state in ((verdict.WHOLE, supports.HELD), ("sae1", supports.UNSEEN)):
        results.write_text(json.dumps(facts | {"perimetre": limit}))
        shown = supports_of(home)
        for found in (shown.tests("archive_node"), shown.control("R61")):
            assert found.state == state
            assert ("audit limité à sae1 (fab audit, sans --limite)" in found.told) == (state == supports.UNSEEN)


def test_tests_are_those_of_the_last_audit_that_ran_them(home: Path) -> None:
    """Machines sign what they are, and run no test: what one of before proved is not lost, and keeps its date."""
    audit(home)
    before = home / "audits/2026-11-20T095000Z"
    after = home / "audits/2026-11-20T095500Z"
    shutil.copytree(before, after)
    facts = json.loads((before / "resultats.json").read_text())
    facts["releves"] = {"jugees": 1}
    for one in facts["machines"]:
        one["essais"] = dict.fromkeys(one["essais"], 0)
    for one in facts["controles"]:
        one["verdict"] = verdict.NON_VERIFIE
    (after / "resultats.json").write_text(json.dumps(facts))
    shown = supports_of(home)
    for found in (shown.tests("archive_node"), shown.control("R61")):
        assert found.state == supports.HELD and "audits/2026-11-20T095000Z" in found.told.replace(" ", ""), found


def test_a_machine_that_came_after_the_audit_is_not_covered_by_it(home: Path) -> None:
    audit(home)
    known = hosts(**KNOWN["_meta"]["hostvars"], sae9={"creatic_profil": "archive_node"})
    shown = supports_of(home, known)
    for found in (shown.tests("archive_node"), shown.control("R61")):
        assert found.state == supports.UNSEEN and "non auditées : sae9 (fab audit)" in found.told
    assert shown.tests("archive_gateway").state == supports.HELD


def test_a_record_that_somebody_changed_shows_nothing(home: Path, keys: SealKeys) -> None:
    places = store.seal_keys(home)
    places.root.parent.mkdir(parents=True)
    shutil.copyfile(keys.root, places.root)
    audit(home)
    facts = json.loads((home / "audits/2026-11-20T095000Z" / store.AUDIT).read_text())
    shutil.rmtree(home / "audits")
    _, staging = store.open_run(home / "audits", "alice", "2026-11-20T095000Z")
    with store.closing(home / "audits") as finished:
        run, _ = store.publish(staging, finished, store.AUDIT, facts, {}, keys)
    assert supports_of(home).control("R61").state == supports.HELD
    (run / store.AUDIT).write_text((run / store.AUDIT).read_text().replace("conforme", "conforme "))
    assert supports_of(home).tests("archive_node").state == supports.UNSEEN
    assert (
        f"la preuve audits/{run.name} ne vaut pas : {store.AUDIT} modifié"
        in supports_of(home).tests("archive_node").told
    )


def test_a_drill_that_failed_after_one_that_did_not_is_what_counts(home: Path) -> None:
    assert supports_of(home).drill("ged").state == supports.UNSEEN
    for day, done in (("20", True), ("25", False)):
        folder = home / "exercices" / f"2026-11-{day}T010000Z"
        folder.mkdir(parents=True)
        facts = {"profil": "ged", "reussi": done, "debut": f"2026-11-{day}T01:00:00+00:00", "rto_s": 5400}
        (folder / "exercice.json").write_text(json.dumps(facts))
    assert supports_of(home).drill("ged") == supports.Support(
        supports.NOT_HELD,
        "exercice de restauration de ged : en échec, retour en 1 h 30 min, vu le 25/11/2026 "
        "(exercices/2026-11-25T010000Z)",
    )
    assert supports_of(home).drill("parapheur").state == supports.UNSEEN


def test_settings_are_the_inventory_s_else_the_role_s(home: Path) -> None:
    known = hosts(sae1={"creatic_profil": "archive_node"}, sae2={"creatic_profil": "archive_node"})
    shown = supports_of(home, known)
    assert shown.copies() == supports.Support(supports.NOT_HELD, "archive_node_replicas = 3, nœuds à l'inventaire : 2")
    assert shown.setting("archive_node_replicas", "archive_node").told.endswith("= 3, celui du rôle archive_node")
    known["_meta"]["hostvars"]["sae1"]["archive_node_replicas"] = 2
    found = supports_of(home, known).setting("archive_node_replicas", "archive_node")
    assert found.state == supports.UNSEEN and "pas le même sur toutes les machines (2 ou 3)" in found.told
    known["_meta"]["hostvars"]["sae2"]["archive_node_replicas"] = 2
    assert supports_of(home, known).copies().state == supports.HELD
    assert supports_of(home, known).each("encrypted_raid_volumes", "archive_node").state == supports.UNSEEN


@pytest.mark.parametrize(
    ("sites", "state"),
    [(("lille", ""), supports.UNSEEN), (("lille", "Lille"), supports.NOT_HELD), (("lille", "douai"), supports.HELD)],
)
def test_a_second_site_is_in_the_inventory_or_is_not_there(home: Path, sites: tuple[str, str], state: str) -> None:
    known = hosts(
        sae1={"creatic_profil": "archive_node", "creatic_site": sites[0]},
        copie={"creatic_profil": "backup_server", "creatic_site": sites[1]},
    )
    assert supports_of(home, known).sites().state == state


def test_an_agrement_is_told_with_what_it_lacks(home: Path, plain: None) -> None:
    asked = "Le groupement demande l'agrément des articles R212-19 à R212-31"
    assert asked not in write(KNOWN, home, "politique-archivage")
    known = hosts(porte={"creatic_profil": "archive_gateway", "creatic_archive_agrement": True})
    assert f"NON TENU]** *visé, non tenu à ce jour :* {asked}" in write(known, home, "politique-archivage")


def test_what_no_machine_knows_is_given_once_or_is_to_complete(home: Path, plain: None) -> None:
    told = write(KNOWN, home, "registre-traitements")
    assert (
        "**[à compléter : délégué à la protection des données, et comment le joindre (creatic_documents.delegue)]**"
        in told
    )
    assert (
        "- délégué à la protection des données, et comment le joindre (creatic_documents.delegue, group_vars/all.yml)"
        in told
    )
    known = hosts(
        porte={"creatic_profil": "archive_gateway", papers.NAME: {"delegue": "Nora <b>B|</b>", "hebergeur": 3}}
    )
    told = write(known, home, "registre-traitements")
    assert "protection des données : Nora <b>B|</b>." in told and "creatic_documents.delegue" not in told
    [ignored] = order(home, known=known).ignored()
    assert ignored.startswith(
        "group_vars/all.yml, creatic_documents.hebergeur : un texte est attendu. À faire : écrivez"
    )
    wrong = papers.problems({"delege": "Nora", "hebergeur": 3, "astreinte": "x" * 301})
    assert [one.field for one in wrong] == [f"{papers.NAME}.{name}" for name in ("delege", "hebergeur", "astreinte")]
    assert "champs : representant, " in str(wrong[0]) and "plus de 300 signes" in str(wrong[2])
    assert papers.problems(None) == [] and papers.problems([1])[0].field == papers.NAME


HOSTILE = "]** *x* | `c` &lt; <script>\x07\u202e\nfin " + "A" * 900


def test_hostile_text_is_one_line_of_text(home: Path) -> None:
    partners = [1, {"libelle": HOSTILE}, {}]
    settings = {
        "creatic_archive_partenaires": partners,
        "creatic_archive_regles": {HOSTILE: [HOSTILE]},
        "creatic_archive_versement": {"rule": [HOSTILE]},
        "creatic_autorite": {"organisation": HOSTILE},
    }
    known = hosts(porte={"creatic_profil": "archive_gateway", **settings})
    folder, _, _ = order(home, known=known, only=["politique-archivage", "convention"]).produce()
    for name in ("politique-archivage", "convention"):
        for kind in ("pdf", "docx"):
            told = read(folder / f"{name}.{kind}").replace("\u200b", "")
            assert "]** *x* | `c` &lt; <script> fin AAAA" in told and "A" * 600 not in told
    raw = read(folder / "politique-archivage.docx")
    assert max(map(len, re.findall("A+", raw))) <= 40  # no word pushes a table out of its page


def test_five_hundred_communes_are_all_named(home: Path, plain: None) -> None:
    one = groupement.load(REPO / "inventories/example")[0]
    many = [dataclasses.replace(one, data={**one.data, "nom": f"Commune n° {rank}"}) for rank in range(500)]
    asked = produce.Order(REPO, home, "essai", KNOWN, many, "", NOW, only=["registre-traitements"])
    told = (asked.produce()[0] / "registre-traitements.docx").read_text(encoding="utf-8")
    assert all(f"Commune n° {rank}," in told for rank in range(499)) and "…" not in told
    # Once, where it matters; elsewhere their number.
    assert told.count("Commune n° 250,") == 1 and "| 500 communes, dont le fichier prend ce service" in told


def test_the_same_input_gives_the_same_bytes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audit(home)
    first, _, _ = order(home, only=["homologation"]).produce()
    clock = time.time() + 100_000
    monkeypatch.setattr("time.time", lambda: clock)
    later = dataclasses.replace(order(home, only=["homologation"]), now=NOW + dt.timedelta(hours=9))
    second, _, _ = later.produce()
    for kind in ("pdf", "docx"):
        assert (first / f"homologation.{kind}").read_bytes() == (second / f"homologation.{kind}").read_bytes()


def test_the_year_is_counted_from_sealed_events(home: Path) -> None:
    journal(home)
    found = room.year(home, 2026)
    assert found.accounts == {"gondecourt": room.Account(accepted=2, refused=1, octets=2_500_000, read=1, held=3)}
    assert (found.anomalies, found.repaired, found.events) == (1, 1, 8)
    assert (found.converted, found.unconverted) == (1, 1)


def test_an_event_that_is_cut_or_odd_leaves_the_year_of_the_others(home: Path) -> None:
    journal(home)
    with (home / "archive/sceaux/versement/evenements-00000002.jsonl").open("wb") as stream:
        odd = {"evenement": "versement.accepte", "compte": "loos", "heure": "2026-03-01T00:00:00Z"}
        for octets in ("beaucoup", float("inf"), None, [1]):
            stream.write(json.dumps(odd | {"detail": {"octets": octets}}).encode() + b"\n")
        stream.write('{"evenement":"versement.refuse","compte":"H\u00e9'.encode()[:-1])
    found = room.year(home, 2026)
    assert found.accounts["gondecourt"].octets == 2_500_000
    assert found.accounts["loos"] == room.Account(accepted=4, held=4)


def test_the_report_is_of_the_year_that_is_asked_for(home: Path, plain: None) -> None:
    journal(home)
    told = write(KNOWN, home, "rapport-annuel", year=2025)
    assert "du 1er janvier au 31/12/2025" in told and "| gondecourt | 1 | 0 | 0,0 | 0 | 0 | 0 | 1 |" in told
    told = write(KNOWN, home, "rapport-annuel")
    assert "du 1er janvier au 28/11/2026" in told and "conversions refusées | 1, 1 |" in told
    with pytest.raises(produce.DocumentsError, match=r"année 2027 : elle n'a pas commencé"):
        write(KNOWN, home, "rapport-annuel", year=2027)


def test_one_document_alone_is_written(home: Path, plain: None) -> None:
    folder, written, _ = order(home, only=["aipd", "homologation"]).produce()
    assert [one.name for one in written] == ["aipd", "homologation"]
    assert {path.suffix for path in folder.glob("aipd.*")} == {".pdf", ".docx"} and not list(folder.glob("convention*"))
    with pytest.raises(produce.DocumentsError, match=r"document inconnu : « aipd ». Connus : convention, contrat"):
        order(home, "loos", only=["aipd"]).produce()


def test_a_commune_gets_its_convention_and_its_contract(home: Path) -> None:
    folder, written, _ = order(home, "loos").produce()
    assert [one.name for one in written] == list(produce.OF_A_COMMUNE)
    told = read(folder / "contrat-article-28.docx")
    assert "la commune de Loos" in told and "Parapheur électronique" in told
    assert "Administration, journaux et sauvegardes" in told  # of all communes
    assert "Archivage électronique" not in told  # a service that it does not take
    assert "Attention" in read(folder / "convention.docx")
    with pytest.raises(produce.DocumentsError, match=r"commune inconnue : « lo0s ».*loos"):
        order(home, "lo0s").produce()


def test_what_the_norms_ask_and_nobody_does_is_marked(home: Path, plain: None) -> None:
    audit(home)
    lacking = write(KNOWN, home, "exigences-archivage")
    for asked in ("Compétences", "Conformité des formats", "Deux sites"):
        line = next(one for one in lacking.splitlines() if f"**{asked}**" in one)
        assert "visé, non tenu à ce jour" in line or "visé, à démontrer" in line, asked
    assert "*visé, non tenu à ce jour :* Le système est certifié NF 461." in lacking
    for text, held in (("aucun", False), ("n° 12, jusqu'en 2029", True)):
        given = hosts(ctl={papers.NAME: {"certification_nf461": text}})
        told = write(given, home, "exigences-archivage")
        assert ("*visé, non tenu à ce jour :* Le système est certifié" not in told) is held


def test_the_convention_has_what_the_decree_asks(home: Path, plain: None) -> None:
    """Code du patrimoine, R212-18-1, II: means and competences of the agents, cost and the method that sets it."""
    given = {"cout_fonctionnement": "12 000 € par an", "cout_methode": "au volume", "moyens_agents": "0,4 agent",
             "competences_agents": "une archiviste"}  # fmt: skip # a list by rows
    told = write(hosts(ctl={papers.NAME: given}), home, "convention", "bergues-ccas")
    assert all(text in told for text in given.values()) and "Part de la commune" in told
    assert "**[à compléter : méthode qui détermine ce coût" in write(KNOWN, home, "convention")


def test_each_body_has_its_own_register(home: Path, plain: None) -> None:
    """GDPR, article 30: of who decides (1), one a body; of who processes for them (2)."""
    told = write(KNOWN, home, "registre-traitements", "bergues-ccas")
    assert "article 30, paragraphe 1. Responsable de traitement : **CCAS de Bergues**" in told
    assert "Parapheur électronique" in told and "Gestion électronique de documents" not in told
    assert "| Communes |" not in told and "autres traitements" in told
    assert "article 30, paragraphe 2. Sous-traitant" in write(KNOWN, home, "registre-traitements")


def test_an_entity_has_its_own_contract_and_is_in_the_register(home: Path, plain: None) -> None:
    """A CCAS is a public body of its own: it answers for its own data (GDPR, articles 28 and 30)."""
    folder, written, _ = order(home, "bergues-ccas").produce()
    assert [one.name for one in written] == list(produce.OF_A_COMMUNE)
    told = (folder / "contrat-article-28.docx").read_text(encoding="utf-8").replace("\\", "")
    assert "**CCAS de Bergues** (SIREN 265900670), personne publique distincte" in told
    assert "représentée par Sophie Vandamme, président" in told and "SIREN 265900670" in told.partition("\n")[2][:200]
    assert "Parapheur électronique" in told and "Gestion électronique de documents" not in told  # its own services
    assert "son président, Sophie Vandamme" in (folder / "convention.docx").read_text(encoding="utf-8")
    register = write(KNOWN, home, "registre-traitements")
    assert "CCAS de Bergues" in register.partition("Responsables de traitement")[2].partition("##")[0]
    assert "CCAS de Bergues" in register.partition("Parapheur électronique")[2].partition("##")[0]
    with pytest.raises(produce.DocumentsError, match="bergues-ccas, "):
        order(home, "bergues-ecoles").produce()


def test_no_document_says_that_something_erases_what_nothing_does(home: Path, plain: None) -> None:
    contract = write(KNOWN, home, "contrat-article-28", "bergues")
    assert "puis les efface" not in contract and "Ce départ n'efface rien" in contract
    assert "[à compléter ici : ce qui est effacé à la fin du contrat" in contract
    given = hosts(ctl={"creatic_documents": {"duree_parapheur": "deux ans"}})
    for name in ("contrat-article-28", "registre-traitements"):
        assert "deux ans ; rien ne l'applique de soi-même" in " ".join(write(given, home, name).split())


def test_the_maire_is_who_the_commune_s_file_says(home: Path, plain: None) -> None:
    assert "représentée par son maire, Sophie Vandamme, autorisé" in write(KNOWN, home, "convention", "bergues")
    assert "représentée par Sophie Vandamme, maire" in write(KNOWN, home, "contrat-article-28", "bergues")
    assert "son maire, **[à compléter ici : nom du maire]**" in write(KNOWN, home, "convention", "bouvines")


def test_the_convention_names_what_a_connector_deposits_and_under_which_rules(home: Path, plain: None) -> None:
    rules = {"creatic_archive_regles": {"ACTES-10": 10, "PES-10": 10}}
    told = []
    for given in ({}, {"flow_rule": "PES-10", "flow_action": "detruire"}):
        settings = rules | {"creatic_archive_versement": {"rule": "ACTES-10", "action": "conserver", **given}}
        told.append(write(hosts(sae1={"creatic_profil": "archive_node", **settings}), home, "convention", "loos"))
    assert all("| Actes | règle ACTES-10, 10 ans, puis conservation |" in one for one in told)
    flows = "| Flux comptables acquittés | règle PES-10, 10 ans, puis élimination, sous visa |"
    assert [flows in one for one in told] == [False, True]


def test_settings_that_ansible_computes_are_left_to_complete(home: Path, plain: None) -> None:
    names = ("creatic_autorite", "creatic_archive_regles", "creatic_archive_versement", "creatic_archive_partenaires",
             papers.NAME)  # fmt: skip # a list by rows
    computed = dict.fromkeys(names, "{{ ailleurs }}")
    told = write(hosts(sae1={"creatic_profil": "archive_node", **computed}), home, "convention", "loos")
    assert "règle **[à compléter ici : règle de durée (creatic_archive_versement, group_vars/all.yml)]**" in told
    assert "réglage creatic_archive_versement = donné" in told and "ailleurs" not in told


def test_nothing_is_claimed_that_the_room_does_not_do(shown: tuple[Path, dict[str, produce.Written]]) -> None:
    policy = read(shown[0] / "politique-archivage.docx")
    assert "Qui administre un nœud en tient les disques" in policy and "ne s'élimine jamais" not in policy
    practices = read(shown[0] / "declaration-pratiques.docx")
    assert "réglage encrypted_raid_volumes : il n'est pas donné" in practices  # nodes on plain folders
    assert "visé, à démontrer : Les disques des nœuds sont chiffrés" in practices


def test_documents_are_sealed_and_follow_one_another(home: Path, plain: None, keys: SealKeys) -> None:
    place_seals(home, keys)
    made = [order(home, commune).produce() for commune in ("", "loos")]
    assert [unsealed for _, _, unsealed in made] == ["", ""] and made[0][0] != made[1][0]
    found = store.verify_home(home, keys.root)
    assert len(found) == 3 and all(one.intact for one in found.values())
    page = (made[1][0] / "rapport.html").read_text(encoding="utf-8")
    assert "Commune Loos" in page and 'href="convention.docx"' in page
    (made[0][0] / "aipd.docx").write_bytes(b"completed in place")
    found = store.verify_home(home, keys.root)
    assert [name for name, one in found.items() if not one.intact] == [f"documents/{made[0][0].name}"]


def test_an_interruption_leaves_nothing(home: Path, plain: None, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, _, _ = order(home, "loos").produce()
    (home / "documents/2026-11-01").mkdir()  # as they were before they were records
    monkeypatch.setattr(produce.writing, "word", lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        order(home, "loos").produce()
    assert store.runs(home / "documents") == [kept]
    assert not list((home / "documents").glob(".en-cours-*"))


@pytest.mark.parametrize("name", produce.COMMON)
def test_every_model_rests_on_settings_that_exist_and_are_no_secret(name: str) -> None:
    text = (produce.MODELS / f"{name}.md").read_text(encoding="utf-8")
    for kind, setting, role in re.findall(r'\b(reglages?|valeurs?)\("(\w+)"(?:, "?(\w+)"?)?\)', text):
        if setting.startswith("creatic_"):
            listed = (produce.MODELS / "../../registry/variables.yml").resolve().read_text(encoding="utf-8")
            assert f"\n  {setting}:\n" in listed, kind
        else:
            spec = variables.options(REPO, setting.split("_volumes")[0] if "raid" in setting else role)[setting]
            assert not spec.get("no_log"), setting


@pytest.mark.parametrize("name", produce.COMMON)
def test_every_model_names_controls_and_profiles_that_exist(name: str) -> None:
    text = (produce.MODELS / f"{name}.md").read_text(encoding="utf-8")
    catalogue = (REPO / "roles/hardening/files/controls.yml").read_text(encoding="utf-8")
    for control in re.findall(r'controle\("(R\d+)"\)', text):
        assert f"- id: {control}\n" in catalogue
    for profile in re.findall(r'(?:essais|exercice)\("([\w-]+)"\)', text):
        assert profile == "poste-de-commande" or (REPO / f"playbooks/profiles/{profile}.yml").is_file()
