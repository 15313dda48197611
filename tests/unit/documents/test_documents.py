"""Documents from what runs: every statement is seen to rest on something, or is marked; files are what readers open."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path
from typing import Any

import docx
import pypdf
import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.audit import sources as verdict
from ansible_collections.cdg59.creatic.plugins.module_utils.documents import produce, room, supports
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence import store
from ansible_collections.cdg59.creatic.plugins.module_utils.registry import groupement

from testbed.control_node import REPO

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


def audit(home: Path, when: str = "2026-11-20T10:00:00+00:00", failed: int = 0, r61: str = verdict.CONFORME) -> None:
    """An audit's facts, in the evidence."""
    folder = home / "audits" / "2026-11-20T095000Z"
    folder.mkdir(parents=True)
    machines = [
        {"nom": name, "profil": profile, "etat": "auditee", "essais": {"reussis": 40, "echecs": failed}}
        for name, profile in (("sae1", "archive_node"), ("versement", "archive_gateway"))
    ]
    controls = [
        {"id": name, "titre": f"Titre de {name}", "verdict": r61 if name == "R61" else verdict.CONFORME,
         "machines": {"sae1": {}, "versement": {}}}
        for name in (f"R{rank}" for rank in range(1, 81))
    ]  # fmt: skip
    facts = {"audit": folder.name, "fin": when, "machines": machines, "controles": controls,
             "verdict": {"conforme": not failed, "ecarts": failed, "machines_non_auditees": [],
                         "controles": {"conforme": 80}}}  # fmt: skip
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
             event("fixite.reparation"), event("versement.accepte", "2025-12-31", octets=7), "[]\n",
             '{"evenement":"versement.acc']  # fmt: skip
    (folder / "evenements-00000001.jsonl").write_text("".join(lines))
    (folder / "sceau-00000001.json").write_text("{}")


def order(home: Path, commune: str = "", known: dict[str, Any] = KNOWN) -> produce.Order:
    communes = groupement.load(REPO / "inventories/example")
    return produce.Order(home, "essai", known, communes, commune, NOW)


def read(path: Path) -> str:
    """What a reader finds in a PDF, or in a Word file: text, tables included."""
    if path.suffix == ".pdf":
        return " ".join(" ".join(page.extract_text() for page in pypdf.PdfReader(path).pages).split())
    document = docx.Document(str(path))
    cells = [cell.text for table in document.tables for row in table.rows for cell in row.cells]
    return " ".join([*(one.text for one in document.paragraphs), *cells])


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, int]]]:
    """Documents of a groupement that was audited: their folder, and the statements by state of each."""
    state = tmp_path_factory.mktemp("etat")
    audit(state)
    journal(state)
    folder, written = order(state).produce()
    return folder, dict(written)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Documents are their Markdown: drawing them is what takes time."""
    for kind in ("pdf", "word"):
        monkeypatch.setattr(produce.writing, kind, lambda text, _title, target: target.write_text(text))


def test_without_evidence_nothing_is_claimed(home: Path) -> None:
    folder, written = order(home).produce()
    assert {name for name, _ in written} == set(produce.COMMON)
    states = dict(written)
    # What settings alone make true is held; all that somebody must have seen is not.
    assert states["politique-archivage"]["tenu"] == 1
    assert not states["registre-traitements"]["tenu"] and states["fiche-incident"]["total"] == 0
    told = read(folder / "homologation.pdf")
    assert "Aucun audit sur ce poste de commande" in told and "[A1 : NON VÉRIFIÉ]" in told
    assert "Aucune preuve scellée" in told


def test_what_was_seen_is_named_with_its_date(shown: tuple[Path, dict[str, dict[str, int]]]) -> None:
    folder, states = shown
    for kind in ("pdf", "docx"):
        told = read(folder / f"politique-archivage.{kind}")
        assert "essais du profil archive_node, 1 machine : 40 réussis, 0 en échec, vu le 20/11/2026" in told
        assert "ACTES-10 10 ans" in told
        # A partner's name holds a table's bar and HTML: it is as it was written.
        assert "Région | <b>*tout*</b>" in told
    assert states["homologation"]["non_tenu"] == 0
    assert "conforme 80" in read(folder / "homologation.pdf")
    assert "niv" not in read(folder / "homologation.docx").split()  # a test bench is no machine of the groupement
    assert "gondecourt 2 1 2.5 1 0" in read(folder / "rapport-annuel.pdf")


@pytest.mark.parametrize(
    ("changed", "state", "told"),
    [
        ({"failed": 1}, supports.NOT_HELD, "1 en échec"),
        ({"r61": verdict.NON_CONFORME}, supports.NOT_HELD, "non conforme"),
        ({"r61": verdict.A_ATTESTER}, supports.UNSEEN, "à attester par écrit"),
        ({"r61": verdict.DEROGATION}, supports.HELD, "dérogation en cours"),
        ({"when": "2026-08-01T10:00:00+00:00"}, supports.UNSEEN, "plus de 100 jours, à refaire"),
    ],
)
def test_what_is_wrong_or_old_is_marked(home: Path, changed: dict[str, Any], state: str, told: str) -> None:
    audit(home, **changed)
    shown = supports.Supports(home, {}, NOW)
    found = shown.tests("archive_node") if "failed" in changed else shown.control("R61")
    assert found.state == state and told in found.told
    mark = supports.Register()(found, supports.Support(supports.HELD, "autre"))
    assert (state in mark) == (state != supports.HELD)


def test_an_audit_of_some_machines_shows_nothing_of_all(home: Path) -> None:
    audit(home)
    results = home / "audits/2026-11-20T095000Z/resultats.json"
    facts = json.loads(results.read_text()) | {"perimetre": verdict.WHOLE}
    for limit, state in ((verdict.WHOLE, supports.HELD), ("sae1", supports.UNSEEN)):
        results.write_text(json.dumps(facts | {"perimetre": limit}))
        shown = supports.Supports(home, {}, NOW)
        for found in (shown.tests("archive_node"), shown.control("R61")):
            assert found.state == state
            assert ("audit limité à sae1 (fab audit, sans --limite)" in found.told) == (state == supports.UNSEEN)


def test_a_drill_that_failed_after_one_that_did_not_is_what_counts(home: Path) -> None:
    shown = supports.Supports(home, {}, NOW)
    assert shown.drill("ged").state == supports.UNSEEN
    for day, done in (("20", True), ("25", False)):
        folder = home / "exercices" / f"2026-11-{day}T010000Z"
        folder.mkdir(parents=True)
        facts = {"profil": "ged", "reussi": done, "debut": f"2026-11-{day}T01:00:00+00:00"}
        (folder / "exercice.json").write_text(json.dumps(facts))
    assert shown.drill("ged") == supports.Support(
        supports.NOT_HELD, "exercice de restauration de ged : en échec, vu le 25/11/2026"
    )
    assert shown.drill("parapheur").state == supports.UNSEEN


def test_the_year_is_counted_from_sealed_events(home: Path) -> None:
    journal(home)
    found = room.year(home, 2026)
    assert found.accounts == {"gondecourt": room.Account(accepted=2, refused=1, octets=2_500_000, read=1)}
    assert (found.anomalies, found.repaired, found.events) == (1, 1, 6)


def test_an_event_that_is_cut_or_odd_leaves_the_year_of_the_others(home: Path) -> None:
    journal(home)
    with (home / "archive/sceaux/versement/evenements-00000002.jsonl").open("wb") as stream:
        odd = {"evenement": "versement.accepte", "compte": "loos", "heure": "2026-03-01T00:00:00Z"}
        for octets in ("beaucoup", float("inf"), None, [1]):
            stream.write(json.dumps(odd | {"detail": {"octets": octets}}).encode() + b"\n")
        stream.write('{"evenement":"versement.refuse","compte":"H\u00e9'.encode()[:-1])
    found = room.year(home, 2026)
    assert found.accounts["gondecourt"].octets == 2_500_000
    assert found.accounts["loos"] == room.Account(accepted=4)


def test_a_commune_gets_its_convention_and_its_contract(home: Path) -> None:
    folder, written = order(home, "loos").produce()
    assert [name for name, _ in written] == list(produce.OF_A_COMMUNE)
    told = read(folder / "contrat-article-28.docx")
    assert "la commune de Loos" in told and "Parapheur électronique" in told
    assert "Archivage électronique" not in told  # a service that it does not take
    with pytest.raises(produce.DocumentsError, match=r"commune inconnue : « lo0s ».*loos"):
        order(home, "lo0s").produce()


def test_the_convention_names_what_a_connector_deposits_and_under_which_rules(home: Path, plain: None) -> None:
    rules = {"creatic_archive_regles": {"ACTES-10": 10, "PES-10": 10}}
    told = []
    for given in ({}, {"flow_rule": "PES-10", "flow_action": "detruire"}):
        settings = rules | {"creatic_archive_versement": {"rule": "ACTES-10", "action": "conserver", **given}}
        known = KNOWN | {"_meta": {"hostvars": {"sae1": {"creatic_profil": "archive_node", **settings}}}}
        told.append((order(home, "loos", known).produce()[0] / "convention.docx").read_text())
    assert all("ACTES-10, 10 ans, puis conservation" in one for one in told)
    assert [("PES-10, 10 ans, puis élimination, sous visa" in one) for one in told] == [False, True]
    assert [("flux comptables acquittés" in one) for one in told] == [False, True]


def test_settings_that_ansible_computes_are_left_to_complete(home: Path, plain: None) -> None:
    names = ("creatic_autorite", "creatic_archive_regles", "creatic_archive_versement", "creatic_archive_partenaires")
    computed = dict.fromkeys(names, "{{ ailleurs }}")
    known = KNOWN | {"_meta": {"hostvars": {"sae1": {"creatic_profil": "archive_node", **computed}}}}
    told = (order(home, "loos", known).produce()[0] / "convention.docx").read_text().replace("\\", "")
    assert "[RÈGLE], [N] ans, puis [SORT]" in told and "réglage creatic_archive_versement = donné" in told


def test_nothing_is_claimed_that_the_room_does_not_do(shown: tuple[Path, dict[str, dict[str, int]]]) -> None:
    policy = read(shown[0] / "politique-archivage.docx")
    assert "Qui administre un nœud en tient les disques" in policy and "ne s'élimine jamais" not in policy
    practices = read(shown[0] / "declaration-pratiques.docx")
    assert "réglage encrypted_raid_volumes : il n'est pas donné" in practices  # nodes on plain folders


def test_again_the_same_day_replaces_and_an_interruption_leaves_the_one_before(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = order(home, "loos").produce()
    kept = read(folder / "convention.pdf")
    monkeypatch.setattr(produce.writing, "word", lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        order(home, "loos").produce()
    assert read(folder / "convention.pdf") == kept
    monkeypatch.undo()
    assert order(home, "loos").produce()[0] == folder
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_two_who_write_the_same_at_once_are_told(home: Path, plain: None) -> None:
    lock = home / "verrous" / f"documents-{NOW:%Y-%m-%d}-loos.json"
    lock.parent.mkdir()
    store.write_json(lock, store.owner(1, "elle@poste"))
    making = home / "documents" / f".{NOW:%Y-%m-%d}-loos.en-cours"
    making.mkdir(parents=True)
    with pytest.raises(
        produce.DocumentsError, match=r"la rédaction de .*-loos est déjà en cours, lancé par elle@poste"
    ):
        order(home, "loos").produce()
    assert making.is_dir()
    lock.unlink()
    folder, _ = order(home, "loos").produce()
    assert (folder / "convention.docx").is_file() and not list(lock.parent.glob("*.json"))


def test_a_document_that_somebody_completed_is_kept_aside(home: Path, plain: None) -> None:
    folder, _ = order(home, "loos").produce()
    for rank in (1, 2):
        (folder / "convention.docx").write_bytes(b"signed by the mayor")
        assert order(home, "loos").produce()[0] == folder
        aside = folder.with_name(f"{folder.name}-complete-{rank}")
        assert (aside / "convention.docx").read_bytes() == b"signed by the mayor"
        assert "Loos" in (folder / "convention.docx").read_text()
    order(home, "loos").produce()
    assert len(list(folder.parent.iterdir())) == 3


@pytest.mark.parametrize("name", produce.COMMON)
def test_every_model_names_controls_and_profiles_that_exist(name: str) -> None:
    text = (produce.MODELS / f"{name}.md").read_text(encoding="utf-8")
    catalogue = (REPO / "roles/hardening/files/controls.yml").read_text(encoding="utf-8")
    for control in re.findall(r'controle\("(R\d+)"\)', text):
        assert f"- id: {control}\n" in catalogue
    for profile in re.findall(r'(?:essais|exercice)\("([\w-]+)"\)', text):
        assert profile == "poste-de-commande" or (REPO / f"playbooks/profiles/{profile}.yml").is_file()
