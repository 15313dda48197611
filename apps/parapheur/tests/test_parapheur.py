"""The circuits of signature: what Mayan is asked for, what the application follows, what a wrong file is told."""

from __future__ import annotations

import copy
import datetime as dt
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from creatic_parapheur import configuration, procurement, transmission

from creatic.applications import parapheur
from creatic.registry import groupement
from creatic_agent.configuration import ConfigError

LAB = Path(__file__).parents[3] / "inventories" / "lab"
LOOS: dict[str, Any] = {
    "slug": "loos",
    "nom": "Loos",
    "siren": "215903600",
    "comptes": [
        {"identifiant": login, "prenom": login[:4].title(), "nom": "Petit", "courriel": f"{login}@loos.test"}
        for login in ("anne.petit", "luca.petit", "zoee.petit", "paul.petit")
    ],
    "parapheur": {
        "redacteurs": ["anne.petit"],
        "dgs": {"titulaire": "luca.petit"},
        "maire": {"titulaire": "zoee.petit", "suppleants": ["luca.petit"]},
        "controles": {"pes": {"titulaire": "anne.petit"}},
    },
}


def without_dgs() -> dict[str, Any]:
    other = copy.deepcopy(LOOS) | {"slug": "bouvines", "nom": "Bouvines", "siren": "215901067"}
    del other["parapheur"]["dgs"], other["parapheur"]["controles"]
    return other


def workflows(*communes: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["internal_name"]: one for one in parapheur.configuration(communes)["workflows"]}


def passages(workflow: dict[str, Any]) -> dict[tuple[str, str], str]:
    return {(one["origin"], one["label"]): one["destination"] for one in workflow["transitions"]}


def test_a_circuit_is_its_steps() -> None:
    found = workflows(LOOS)
    assert set(found) == {"circuit_viser_signer", "circuit_controler_viser_signer"}
    assert found["circuit_controler_viser_signer"]["document_types"] == ["Loos - Flux comptable (PES) [215903600]"]
    assert passages(found["circuit_controler_viser_signer"]) == {
        ("À contrôler", "Contrôler"): "À viser",
        ("À contrôler", "Refuser"): "Refusé",
        ("À viser", "Viser"): "À signer",
        ("À viser", "Refuser"): "Refusé",
        ("À signer", "Signer"): "À télétransmettre",
        ("À signer", "Refuser"): "Refusé",
        ("Refusé", "Reprendre"): "À contrôler",
        ("À télétransmettre", "Télétransmettre"): "Télétransmis",
        ("À télétransmettre", "Mettre en erreur"): "En erreur",
        ("À télétransmettre", "Clore"): "Signé et clos",
        ("Télétransmis", "Acquitter"): "Acquitté",
        ("Télétransmis", "Mettre en erreur"): "En erreur",
        ("En erreur", "Télétransmettre"): "Télétransmis",
    }


def test_a_circuit_has_one_beginning_one_end_and_no_dead_end() -> None:
    for workflow in workflows(LOOS, without_dgs()).values():
        assert len([one for one in workflow["states"] if one["initial"]]) == 1
        assert [one["label"] for one in workflow["states"] if one["final"]] == ["Acquitté"]  # Mayan has one
        left = {origin for origin, _label in passages(workflow)}
        reached = set(passages(workflow).values())
        for state in workflow["states"]:
            assert state["final"] or state["label"] in {*left, "Signé et clos"}
            assert state["initial"] or state["label"] in reached
        refusals = [one for one in workflow["transitions"] if one["label"] == "Refuser"]
        assert all(one["fields"][0]["required"] for one in refusals)


def test_without_dgs_there_is_no_visa() -> None:
    [workflow] = workflows(without_dgs()).values()
    assert workflow["label"] == "Circuit : signature"
    assert "À viser" not in {one["label"] for one in workflow["states"]}


def test_communes_share_circuits_and_nothing_else() -> None:
    wanted = parapheur.configuration([LOOS, without_dgs()])
    for one in wanted["acls"]:
        if one["kind"] == "workflow":
            assert one["roles"] == {}  # nobody moves a document by Mayan's own pages
        else:
            assert [role[-12:] for role in one["roles"]] == [one["key"][-12:]]
    assert wanted["groups"]["Loos [215903600]"] == ["anne.petit", "luca.petit", "zoee.petit"]
    assert "paul.petit" not in {one["username"] for one in wanted["users"]}
    # Two communes write the same logins in this test alone: each account is told with its commune.
    owners = {(one["username"], one["commune"]) for one in wanted["users"]}
    assert owners >= {("passerelle", ""), ("anne.petit", "loos"), ("anne.petit", "bouvines")}
    assert wanted["users"][0]["username"] == "passerelle"


def test_the_application_knows_who_passes_each_step(tmp_path: Path) -> None:
    file = tmp_path / "parapheur.json"
    file.write_text(
        json.dumps(parapheur.application([LOOS, without_dgs()]) | {"url": "https://p.test"}, sort_keys=True)
    )
    known = configuration.read(file)
    loos = known.communes["loos"]
    assert list(loos.circuits["pes"].steps) == ["a_controler", "a_viser", "a_signer"]
    assert loos.circuits["deliberation"].step("a_signer") == configuration.Step("zoee.petit", ("luca.petit",))
    assert loos.circuits["deliberation"].step("a_teletransmettre") is None
    # A dossier that waits for a visa when the commune's file loses its DGS is not stuck.
    bouvines = known.communes["bouvines"].circuits["arrete"]
    assert bouvines.step("a_viser") == bouvines.step("a_signer")
    assert {(circuit, state) for circuit, state, _step in loos.steps_of("anne.petit")} == {("pes", "a_controler")}
    assert known.commune_of("paul.petit") is None
    # Names are the file's; of who has no part, the login alone.
    assert [known.name(login) for login in ("zoee.petit", "paul.petit", "")] == ["Zoee Petit", "paul.petit", ""]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"url": None}, "« url » : une valeur vide doit être un texte"),
        ({"marches": {}}, "« marches » : champ inconnu ; vouliez-vous dire « marche » ?"),
        ({"marche": {"jours": "quinze", "pieces": []}}, "« marche.jours » : « quinze » doit être un nombre entier"),
        ({"marche": {"pieces": []}}, "« marche.jours » : champ obligatoire absent"),
        ({"communes": {"loos": {"circuits": []}}}, "« communes.loos.circuits » : ce n'est pas un objet"),
    ],
)
def test_a_file_that_is_not_the_deployments_is_told(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    file = tmp_path / "parapheur.json"
    file.write_text(json.dumps(parapheur.application([LOOS]) | {"url": "https://p.test"} | changes))
    with pytest.raises(ConfigError) as told:
        configuration.read(file)
    assert f"{file}, champ {said}" in str(told.value)
    assert str(told.value).endswith("À faire : corrigez l'inventaire, puis relancez le déploiement.")


def test_what_goes_with_a_public_contract_is_a_setting(tmp_path: Path) -> None:
    file = tmp_path / "parapheur.json"
    given = parapheur.application([LOOS]) | {"url": "https://p.test"}
    file.write_text(json.dumps(given))  # by a deployment that came before
    assert (configuration.read(file).contract_days, configuration.read(file).contract_pieces) == (15, ())
    file.write_text(json.dumps(given | {"marche": {"jours": 20, "pieces": ["Avis", "Règlement"]}}))
    assert (configuration.read(file).contract_days, configuration.read(file).contract_pieces) == (
        20,
        ("Avis", "Règlement"),
    )


def test_a_site_adds_the_periods_that_the_application_does_not_know(tmp_path: Path) -> None:
    file = tmp_path / "parapheur.json"
    given = parapheur.application([LOOS]) | {"url": "https://p.test"}
    contracts: dict[str, Any] = {"jours": 15, "pieces": []}
    file.write_text(json.dumps(given | {"marche": contracts}))  # by a deployment that came before
    assert configuration.read(file).contract_thresholds == ()
    period = {"depuis": "2028-01-01", "euros": 230000, "texte": "arrêté"}
    file.write_text(json.dumps(given | {"marche": contracts | {"seuils": [period]}}))
    known = configuration.read(file).contract_thresholds
    found = procurement.threshold(dt.date(2028, 5, 4), known)
    assert found.said(dt.date(2028, 5, 4)) == "230\u202f000 € HT (arrêté, depuis le 01/01/2028 ; lu)"
    assert procurement.threshold(dt.date(2027, 12, 31), known).euros == 216_000
    file.write_text(json.dumps(given | {"marche": contracts | {"seuils": [period | {"depuis": "2028"}]}}))
    with pytest.raises(ConfigError, match="« 2028 » n'est pas une date ; écrivez par exemple 01/03/2026"):
        configuration.read(file)


@pytest.mark.parametrize(
    ("day", "euros", "covered", "standing"),
    [
        ("2019-12-31", 214_000, False, "à vérifier"),
        ("2020-01-01", 214_000, True, "à vérifier"),
        ("2021-12-31", 214_000, True, "à vérifier"),
        ("2022-01-01", 215_000, True, "à vérifier"),
        ("2024-01-01", 221_000, True, "lu"),
        ("2025-12-31", 221_000, True, "lu"),
        ("2026-01-01", 216_000, True, "lu"),
        ("2027-12-31", 216_000, True, "lu"),
        ("2028-01-01", 216_000, False, "lu"),  # the next one is not known yet, and the page says so
    ],
)
def test_each_period_has_its_threshold(day: str, euros: int, covered: bool, standing: str) -> None:
    counted = dt.date.fromisoformat(day)
    found = procurement.threshold(counted)
    assert (found.euros, found.covers(counted), str(found.standing)) == (euros, covered, standing)
    assert ("n'est pas connu ici, à vérifier" in found.said(counted)) is not covered
    assert "D2131-5-1" in found.said(counted)


def test_periods_follow_each_other_every_other_first_of_january() -> None:
    begun = [one.since for one in procurement.THRESHOLDS]
    assert begun == [dt.date(year, 1, 1) for year in range(2020, 2020 + 2 * len(begun), 2)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("   ", None),
        ("221 000,00 €", "221000.00"),
        ("221\u202f000,00\u00a0€", "221000.00"),
        ("1\u2009234\u2009567,8 € HT", "1234567.8"),
        (" 216000 ht ", "216000"),
        ("216 000 euros HT", "216000"),
        ("0,01", "0.01"),
        ("48500.50", "48500.50"),
    ],
)
def test_an_amount_is_read_as_french_people_write_it(text: str, value: str | None) -> None:
    assert procurement.amount(text) == (None if value is None else Decimal(value))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("-1", "n'est pas un montant"),
        ("1e9", "n'est pas un montant"),
        ("NaN", "n'est pas un montant"),
        ("٣", "n'est pas un montant"),
        ("1.234.567", "n'est pas un montant"),
        ("221,000.00", "n'est pas un montant"),
        ("221 000,005", "n'est pas un montant"),
        ("1234567890123", "n'est pas un montant"),
        ("environ 3000", "n'est pas un montant"),
        ("259 200 € TTC", "toutes taxes comprises ; écrivez le montant hors taxes"),
    ],
)
def test_what_is_no_amount_is_refused_with_its_field(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=f"^montant : « {re.escape(text)} ».*{told}"):
        procurement.amount(text)


@pytest.mark.parametrize(
    ("kind", "matter", "amount", "told"),
    [
        ("travaux", "", "", "montant : écrivez celui du contrat, en euros hors taxes. À partir de 216"),
        ("travaux", "1.1", "", "montant : "),  # asked once, whatever comes of it
        ("travaux", "", "215 999,99", "non"),
        ("travaux", "", "216000", "matiere : 216"),
        ("services", "", "1 000 000 HT", "matiere : 1"),
        ("fournitures", "1.1", "3", "oui"),  # somebody wrote its matter
        ("accord_cadre", "", "220 000,00 €", "matiere : 220"),
        ("avenant", "", "10 000", "non"),
        ("concession", "", "", "montant : écrivez celui du contrat, en euros hors taxes. Concession, délégation de"),
        ("concession", "", "3", "matiere : concession, délégation de service public, se transmet quel que soit"),
        ("concession", "1.2", "3", "oui"),
        ("emprunt", "", "10", "matiere : emprunt, se transmet quel que soit son montant"),
        ("emprunt", "7.3", "", "oui"),
        ("bail", "", "", "non"),
        ("bail", "3.3", "", "oui"),
        ("convention", "", "900 000", "non"),
        ("", "1.1", "300000", "contrat : dites sa sorte ; choisissez parmi travaux (Marché de travaux)"),
        ("<b>", "", "", "contrat : « <b> » n'est pas une sorte de contrat"),
    ],
)
def test_what_a_contract_becomes_is_concluded_from_what_somebody_said(
    kind: str, matter: str, amount: str, told: str
) -> None:
    given = kind, matter, procurement.amount(amount), dt.date(2026, 11, 5)
    if told in ("oui", "non"):
        assert procurement.goes(*given) is (told == "oui")
        found = procurement.foreseen(*given)
        if procurement.KINDS[kind].goes is procurement.Goes.THRESHOLD:
            assert found.endswith(f"Ce contrat {'est' if told == 'oui' else "n'est pas"} à transmettre.")
    else:
        with pytest.raises(ValueError, match=f"^{re.escape(told)}"):
            procurement.goes(*given)


def test_the_day_of_the_consultation_decides_which_threshold_counts() -> None:
    """Décret 2019-1375: the threshold of consultations begun from that day on."""
    value = Decimal(218_000)
    assert procurement.goes("travaux", "", value, dt.date(2025, 12, 31)) is False
    with pytest.raises(ValueError, match=r"^matiere : "):
        procurement.goes("travaux", "", value, dt.date(2026, 1, 1))
    before = procurement.foreseen("travaux", "", value, dt.date(2025, 12, 31))
    assert before.startswith("Seuil : 221\u202f000 € HT (CGCT, D2131-5-1, règlement délégué (UE) 2023/2495, depuis le")
    assert before.endswith("Ce contrat n'est pas à transmettre.")


def test_what_is_known_of_a_contract_is_told_with_what_is_known_of_the_rule() -> None:
    day = dt.date(2026, 11, 5)
    assert procurement.foreseen("", "", None, day).startswith("Seuil : 216")
    assert procurement.foreseen("travaux", "", None, day).endswith("; lu).")
    assert "suit le contrat qu'il modifie" in procurement.foreseen("avenant", "", Decimal(1), day)
    assert procurement.foreseen("bail", "", None, day).endswith("écrivez sa matière (non fixé).")
    for one in procurement.KINDS.values():
        assert bool(one.data) is not bool(one.instead)


def test_who_may_have_a_delegation_has_an_account(tmp_path: Path) -> None:
    told = copy.deepcopy(LOOS)
    told["parapheur"]["delegataires"] = ["paul.petit"]
    assert "paul.petit" in {one["username"] for one in parapheur.configuration([told])["users"]}
    file = tmp_path / "parapheur.json"
    given = parapheur.application([told, without_dgs()]) | {"url": "https://p.test"}
    file.write_text(json.dumps(given))
    known = configuration.read(file).communes
    assert (known["loos"].delegataires, known["bouvines"].delegataires) == ({"paul.petit"}, frozenset())
    assert "paul.petit" in known["loos"].people()
    for one in given["communes"].values():  # written by a deployment that came before
        del one["delegataires"]
    file.write_text(json.dumps(given))
    assert configuration.read(file).communes["loos"].delegataires == frozenset()


def test_a_commune_that_tells_no_circuit_is_told() -> None:
    silent = {key: value for key, value in LOOS.items() if key != "parapheur"}
    with pytest.raises(parapheur.ParapheurError) as error:
        parapheur.configuration([silent])
    assert str(error.value) == (
        "Parapheur : rien n'est changé. 1 erreur :\n"
        "  - communes/loos.yml, parapheur : champ obligatoire absent : la commune a le service parapheur. À faire : "
        "écrivez redacteurs et maire, en retrait sous parapheur:, ou retirez parapheur des services."
    )


def test_the_labs_own_files_are_good() -> None:
    communes = [one.variables for one in groupement.load(LAB) if "parapheur" in one.data["services"]]
    assert set(parapheur.application(communes)["communes"]) == {"gondecourt", "la-madeleine"}


def test_states_tell_how_far_a_dossier_is() -> None:
    states = workflows(LOOS)["circuit_controler_viser_signer"]["states"]
    assert {one["label"]: one["completion"] for one in states} == {
        "À contrôler": 10, "À viser": 20, "À signer": 40, "À télétransmettre": 60, "Télétransmis": 80,
        "Acquitté": 100, "Refusé": 0, "En erreur": 60, "Signé et clos": 100,
    }  # fmt: skip # a table


def test_who_refuses_or_puts_in_error_says_why() -> None:
    reasons: dict[str, set[str]] = {}
    for one in workflows(LOOS)["circuit_controler_viser_signer"]["transitions"]:
        reasons.setdefault(one["label"], set()).add(json.dumps(one.get("fields", []), sort_keys=True))
    reason = json.dumps(
        [{"name": "motif", "label": "Motif", "field_type": 1, "required": True, "widget": 1}], sort_keys=True
    )
    assert {label for label, fields in reasons.items() if fields == {reason}} == {"Refuser", "Mettre en erreur"}
    assert {label for label, fields in reasons.items() if fields == {"[]"}} == reasons.keys() - {
        "Refuser",
        "Mettre en erreur",
    }


def test_the_application_reads_the_file_it_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "parapheur.json"
    path.write_text(json.dumps(parapheur.application([LOOS]) | {"url": "https://parapheur.test"}), encoding="utf-8")
    monkeypatch.setenv("CREATIC_PARAPHEUR", str(path))
    configuration.current.cache_clear()
    found = configuration.current()
    configuration.current.cache_clear()
    commune = found.commune_of("zoee.petit")
    assert commune is not None
    assert (commune.slug, found.url, found.commune_of("inconnue")) == ("loos", "https://parapheur.test", None)


@pytest.mark.parametrize(("count", "said"), [(1, "1 erreur :"), (2, "2 erreurs :")])
def test_communes_without_a_parapheur_are_all_named(count: int, said: str) -> None:
    wrong = [{"slug": f"c{rank}", "nom": "x"} for rank in range(count)]
    with pytest.raises(parapheur.ParapheurError) as refused:
        parapheur.configuration(wrong)
    assert str(refused.value).startswith(f"Parapheur : rien n'est changé. {said}\n  - communes/c0.yml")
    assert len(refused.value.problems) == count


@pytest.mark.parametrize(
    ("matter", "words"),
    [
        ("6.1", "police municipale : à transmettre, toute autre mesure de police ; non transmissible, circulation"),
        ("6.1.2", "police municipale"),
        ("6.4", "pouvoirs de police"),
        ("4.1", "fonction publique"),
        ("5.4", "délégations de fonctions : à transmettre, toutes"),
        ("5.2", "autres matières"),
        ("61", "autres matières"),
        ("", "autres matières"),
    ],
)
def test_a_matter_proposes_and_never_decides(matter: str, words: str) -> None:
    assert transmission.proposal(matter).startswith(words)


def test_who_prepares_an_arrete_says_whether_it_goes() -> None:
    for nature in ("2", "3", "6", "D"):
        for choice in ("oui", "non"):
            assert list(transmission.problems(nature, choice, "6.1")) == []
    for nature in ("", "1", "4", "5", "d", "22", "deux"):
        assert [one.partition(" :")[0] for one in transmission.problems(nature, "oui", "6.1")] == ["nature"]
    for choice in ("", "peut-être", "OUI"):
        [told] = transmission.problems("2", choice, "6.1")
        assert "L2131-2" in told and "circulation et stationnement" in told


@pytest.mark.parametrize(
    ("circuit", "choice", "number", "told"),
    [
        ("arrete", "oui", "2026_112", ""),
        ("arrete", "oui", "AR 12 bis", "ne convient pas à la préfecture"),
        ("arrete", "non", "AR 12 bis", ""),
        ("arrete", "non", " ", "champ obligatoire absent"),
        ("deliberation", "", "2026_112", ""),
        # The form offers the choice beside every circuit: it is of an arrêté alone, and this one leaves.
        ("deliberation", "non", "2026/112", "ne convient pas à la préfecture"),
        ("marche", "non", "", "ne convient pas à la préfecture"),
    ],
)
def test_what_leaves_has_a_number_for_the_prefecture_and_an_arrete_that_stays_its_own(
    circuit: str, choice: str, number: str, told: str
) -> None:
    found = list(transmission.number_problems(circuit, choice, number))
    assert [told in one for one in found] == [True] * bool(told)
