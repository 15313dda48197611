"""The pages: everything escaped, nothing fetched, and the words of the facts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, cast

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.words import now
from lxml import html

from creatic.evidence.page import (
    commune_page,
    entry_page,
    index_page,
    label,
    sentence,
    typographic,
    value,
)
from creatic.evidence.rollout import HostRun, assess, merge_state

from .conftest import CONNECTOR, GONDECOURT, PC, commune, new_run, proven

HOSTILE = "<script>alert('x')</script>\"'&{{ 7 * 7 }}"
PASSAGE = {"passage": "2026-11-25T010504Z", "fin": "2026-11-25T01:06:00+00:00", "debut": "2026-11-25T01:05:00+00:00"}
PASSAGE |= {"operateur": "alice@poste", "code": "", "precedent": None}  # type: ignore[dict-item] # JSON's null


def report_of(hosts: dict[str, HostRun], **fields: Any) -> dict[str, Any]:
    """Evidence of Gondecourt."""
    run = new_run(**fields)
    run.hosts, run.finished = hosts, now()
    return assess(GONDECOURT, run, {})


def both() -> dict[str, HostRun]:
    """Every host proven."""
    return {host.name: proven(host) for host in GONDECOURT.hosts}


def hostile(item: Any) -> Any:
    """The same structure, with hostile texts wherever words come from a host or a file."""
    kept = (
        "verdict",
        "cle",
        "etat",
        "profil",
        "phase",
        "nature",
        "debut",
        "fin",
        "passage",
        "date",
        "systeme",
        "depuis",
        "dernier",
    )
    if isinstance(item, dict):
        return {key: part if key in kept else hostile(part) for key, part in item.items()}
    if isinstance(item, list):
        return [hostile(part) for part in item]
    return HOSTILE if isinstance(item, str) else item


def words(page: str) -> str:
    """What a reader sees."""
    return re.sub(r"\s+", " ", found(html.fromstring(page), "//body")[0].text_content())


def found(tree: html.HtmlElement, path: str) -> list[Any]:
    """Nodes of an XPath."""
    return cast(list[Any], tree.xpath(path))


def full_report() -> dict[str, Any]:
    """Evidence with something in every part of the page."""
    hosts = both()
    hosts[PC.name].files = [{"chemin": f"{PC.name}/navigateur.png", "sha256": "a" * 64, "octets": 2048}]
    hosts[CONNECTOR.name].files = [{"chemin": f"{CONNECTOR.name}/ARActe.xml", "sha256": "b" * 64, "octets": 900}]
    hosts[CONNECTOR.name].certificates = [
        {
            "nom": "tdt",
            "titulaire": "Connecteur",
            "sujet": "CN=Connecteur",
            "emetteur": "Emettrice",
            "numero": "01",
            "debut": "2026-11-25T00:00:00+00:00",
            "fin": "2027-11-25T00:00:00+00:00",
            "empreinte": "c" * 64,
        }
    ]
    hosts[PC.name].checks[0] |= {"verdict": "attention", "detail": "bientôt plein"}
    hosts[PC.name].proofs[0] |= {"mesures": {"duree_s": 3.4, "protocole": "TLSv1.3"}}
    hosts[PC.name].incident = {
        "phase": "preuves",
        "nature": "echec",
        "tache": "t",
        "raison": "coupé",
        "remede": "Relancer.",
    }
    return report_of(hosts)


def test_a_page_names_the_environment() -> None:
    report = report_of(both(), environment="production")
    assert "environnement production, lancé par alice@poste" in words(commune_page(report))
    state = merge_state([GONDECOURT], {"gondecourt": report}, {})
    assert "environnement production, lancé par" in words(index_page(PASSAGE | {"environnement": "production"}, state))
    assert ", lancé par" in words(index_page(PASSAGE, state))  # a run of before


def test_a_hostile_word_stays_a_word_on_the_commune_page() -> None:
    page = commune_page(hostile(full_report()) | {"prete": False})
    assert "<script" not in page
    assert "{{ 7 * 7 }}" in words(page)
    tree = html.fromstring(page)
    for element in found(tree, "//*"):
        assert not any(name.startswith("on") for name in element.attrib)
        for name in ("href", "src"):
            assert not element.get(name, "").startswith(("javascript:", "data:", "http"))


def test_a_hostile_word_stays_a_word_on_the_index() -> None:
    state = hostile(merge_state([GONDECOURT], {"gondecourt": report_of({PC.name: proven(PC)})}, {}))
    page = index_page(hostile(PASSAGE) | {"precedent": {"passage": HOSTILE}}, state)
    assert "<script" not in page


@pytest.mark.parametrize(
    "page", [commune_page(full_report()), entry_page("2026-11-25T010504Z", {"x": "0" * 64}, "Audits", "rapport.html")]
)
def test_a_page_asks_nothing_of_the_network(page: str) -> None:
    assert not re.search(r"""(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//""", page)
    assert "<script" not in page


def test_the_page_links_the_files_where_they_are() -> None:
    tree = html.fromstring(commune_page(full_report()))
    assert found(tree, "//img/@src") == [f"{PC.name}/navigateur.png"]
    assert f"{CONNECTOR.name}/ARActe.xml" in found(tree, "//a/@href")
    assert all(image.get("alt") for image in found(tree, "//img"))


def test_the_page_is_accessible_in_its_structure() -> None:
    tree = html.fromstring(commune_page(full_report()))
    assert tree.get("lang") == "fr"
    assert len(found(tree, "//h1")) == 1
    assert not found(tree, "//table//th[not(@scope)]")
    assert not found(tree, "//section[not(@aria-labelledby)]")
    identifiers = found(tree, "//@id")
    assert len(identifiers) == len(set(identifiers))
    assert set(found(tree, "//section/@aria-labelledby")) <= set(identifiers)


def test_a_ready_commune_shows_its_act_and_its_verdict() -> None:
    text = words(commune_page(report_of(both())))
    assert "Prête à télétransmettre" in text
    assert "059-215902669-20261125-TEST_1-AI" in text
    assert "25 novembre 2026 à 2 h 05" in text
    assert "Ce qui manque" not in text


def test_what_is_missing_is_shown_with_its_fix() -> None:
    incident = {
        "phase": "deploiement",
        "nature": "injoignable",
        "tache": "base | Ensure",
        "raison": "l'hôte ne répond pas",
        "remede": "Allumer la machine.",
    }
    text = words(commune_page(report_of(both() | {PC.name: HostRun(incident=incident)})))
    for expected in ("Pas encore équipée", "Ce qui manque", "l’hôte ne répond pas", "Allumer la machine."):
        assert expected in text


def test_a_partial_run_does_not_look_like_a_failure_nor_like_a_success() -> None:
    text = words(commune_page(report_of({PC.name: proven(PC)})))
    assert "Vérification partielle" in text
    assert "Non vérifié dans ce passage (jamais déployé)" in text
    assert "Prête à" not in text


def test_the_index_counts_by_territory_size_and_wave() -> None:
    others = [commune("anor", "Anor", 22, territoire="avesnois", vague=1), commune("la-madeleine", "La Madeleine", 400)]
    state = merge_state([GONDECOURT, *others], {"gondecourt": report_of(both())}, {})
    tree = html.fromstring(index_page(PASSAGE, state))
    cards = [re.sub(r"\s+", " ", item.text_content()) for item in found(tree, "//section[contains(@class, 'kpi')]/b")]
    assert cards == ["1sur 3", "1sur 3", "2sur 3"]
    rows = [[cell.text_content().strip() for cell in row] for row in found(tree, "//tr[td]")]
    assert ["lille", "2", "1", "1"] in rows
    assert ["Petite", "1", "0", "0"] in rows
    assert ["1", "1", "0", "0"] in rows


def test_the_page_says_what_the_json_says(tmp_path: Path) -> None:
    report = full_report()
    assert commune_page(json.loads(json.dumps(report))) == commune_page(report)


@pytest.mark.parametrize(
    ("key", "item", "text"),
    [
        ("duree_s", 3.42, "3,4 s"),
        ("secondes", 75, "1 min 15 s"),
        ("duree_ms", 212, "212 ms"),
        ("fin", "2026-11-25", "25 novembre 2026"),
        ("reconnu", True, "oui"),
        ("matieres", 9, "9"),
        ("taux", 0.5, "0,50"),
        ("noms", ["a", "b"], "a, b"),
        ("version", "2026-99-99", "2026-99-99"),
        ("vide", None, "—"),
    ],
)
def test_a_measure_is_written_in_french(key: str, item: Any, text: str) -> None:
    assert value(item, key) == text


def test_labels_and_typography() -> None:
    assert sentence("le TdT répond") == "Le TdT répond"
    assert sentence("https://tdt répond") == "https://tdt répond"
    assert label("date_fin") == "Date fin"
    assert label("idacte") == "Identifiant de l'acte (IDActe)"
    assert typographic("l'hôte : « absent »") == "l’hôte\xa0: «\xa0absent\xa0»"
