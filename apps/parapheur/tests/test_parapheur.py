"""The circuits of signature: what Mayan is asked for, what the application follows, what a wrong file is told."""

from __future__ import annotations

import copy
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from creatic_parapheur import configuration, transmission

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


def test_the_threshold_of_contracts_is_a_setting_and_none_is_under_an_unknown_one(tmp_path: Path) -> None:
    file = tmp_path / "parapheur.json"
    given = parapheur.application([LOOS]) | {"url": "https://p.test"}
    contracts: dict[str, Any] = {"jours": 15, "pieces": []}
    file.write_text(json.dumps(given | {"marche": contracts}))  # by a deployment that came before
    unknown = configuration.read(file).contract_threshold
    with pytest.raises(ValueError, match="sans seuil réglé, tout contrat se transmet"):
        transmission.contract_goes("", Decimal(1), unknown)
    file.write_text(json.dumps(given | {"marche": contracts | {"seuil": {"euros": 216000, "texte": "D2131-5-1"}}}))
    known = configuration.read(file).contract_threshold
    assert str(known) == "216\u202f000 € HT (D2131-5-1)"
    assert not transmission.contract_goes("", Decimal("215999.99"), known)


@pytest.mark.parametrize(
    ("matter", "amount", "told"),
    [
        ("", "", "montant : écrivez celui du marché, en euros hors taxes. À partir de 216"),
        ("", "216000", "matiere : 216"),
        ("", "216 000,00 €", "matiere : 216"),
        ("", "1 000 000 HT", "matiere : 1"),
        ("1.1", "", ""),  # a loan or a concession has no threshold
        ("1.1", "3", ""),
        ("", "-1", "n'est pas un montant"),
        ("", "1e9", "n'est pas un montant"),
        ("", "NaN", "n'est pas un montant"),
        ("", "٣", "n'est pas un montant"),
        ("", "1.234.567", "n'est pas un montant"),
    ],
)
def test_what_a_contract_becomes_is_concluded_from_what_somebody_said(matter: str, amount: str, told: str) -> None:
    threshold = transmission.Threshold(216000, "D2131-5-1")
    if told:
        with pytest.raises(ValueError, match=re.escape(told)):
            transmission.contract_goes(matter, transmission.amount(amount), threshold)
    else:
        assert transmission.contract_goes(matter, transmission.amount(amount), threshold)


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
