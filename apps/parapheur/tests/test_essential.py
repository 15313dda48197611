"""Essential data of contracts: the JSON is what the national format asks, and what is wrong is told by its field."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import jsonschema
import pytest
from creatic_parapheur import essential, procurement

SIREN, BUYER, HOLDER = "215903600", "21590360000017", "55204599900869"
DAY = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"}
MONTHS, AMOUNT, RATE = {"type": "integer", "minimum": 1}, {"type": "number", "minimum": 1}, {"minimum": 0, "maximum": 1}
SIRET = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string", "pattern": r"^[0-9]{14}$"}}}
NUMBER = {"type": "string", "minLength": 1, "maxLength": 16}
WHO = {"SIRET", "TVA", "TAHITI", "RIDET", "FRWF", "IREP", "HORS-UE"}


def one_of(*values: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(values)}


def inside(name: str, *values: str) -> dict[str, Any]:
    """An object that holds a list of values."""
    held = {"type": "array", "minItems": 1, "uniqueItems": True, "items": {"enum": list(values)}}
    return {"type": "object", "required": [name], "properties": {name: held}}


def people(name: str) -> dict[str, Any]:
    identity = {
        "type": "object",
        "required": ["typeIdentifiant", "id"],
        "properties": {"typeIdentifiant": one_of(*WHO), "id": {"type": "string"}},
    }
    row = {"required": [name], "properties": {name: identity}}
    return {"type": "array", "minItems": 1, "uniqueItems": True, "items": row}


def changes(said: str, amount: str) -> dict[str, Any]:
    one = {
        "type": "object",
        "required": ["id", "datePublicationDonneesModification", said],
        "properties": {
            "id": MONTHS, said: DAY, "datePublicationDonneesModification": DAY, "dureeMois": MONTHS, amount: AMOUNT,
        },
    }  # fmt: skip # a table
    row = {"type": "object", "required": ["modification"], "properties": {"modification": one}}
    return {"type": "array", "minItems": 1, "uniqueItems": True, "items": row}


GREEN = inside("considerationEnvironnementale", "Clause environnementale", "Critère environnemental",
               "Pas de considération environnementale")  # fmt: skip # a list
OPTIONAL = {"idAccordCadre", "tauxAvance", "origineUE", "origineFrance", "modifications"}
# The rules of schema_decp_v2.0.3.json (139bercy/format-commande-publique), of what is made here: lists of values,
# what is needed, and nothing else.
RULES: dict[str, dict[str, Any]] = {
    "marche": {
        "id": NUMBER, "acheteur": SIRET, "objet": {"type": "string", "maxLength": 1000},
        "nature": one_of("Marché", "Marché de partenariat", "Marché de défense ou de sécurité"),
        "codeCPV": {"type": "string", "pattern": r"^[0-9]{8}(-[0-9])?$"},
        "techniques": inside("technique", "Accord-cadre", "Concours", "Système de qualification",
                             "Système d'acquisition dynamique", "Catalogue électronique", "Enchère électronique",
                             "Sans objet"),
        "modalitesExecution": inside("modaliteExecution", "Tranches", "Bons de commande", "Marchés subséquents",
                                     "Sans objet"),
        "idAccordCadre": NUMBER, "marcheInnovant": {"type": "boolean"},
        "ccag": one_of("Travaux", "Maitrise d'œuvre", "Fournitures courantes et services", "Marchés industriels",
                       "Prestations intellectuelles", "Techniques de l'information et de la communication",
                       "Pas de CCAG"),
        "offresRecues": MONTHS, "attributionAvance": {"type": "boolean"}, "tauxAvance": {"type": "number", **RATE},
        "typeGroupementOperateurs": one_of("Conjoint", "Solidaire", "Pas de groupement"),
        "sousTraitanceDeclaree": {"type": "boolean"},
        "procedure": one_of("Procédure adaptée", "Appel d'offres ouvert", "Appel d'offres restreint",
                            "Procédure avec négociation",
                            "Marché passé sans publicité ni mise en concurrence préalable", "Dialogue compétitif"),
        "lieuExecution": {
            "type": "object", "required": ["code", "typeCode"],
            "properties": {"code": {"type": "string"},
                           "typeCode": one_of("Code postal", "Code commune", "Code arrondissement", "Code canton",
                                              "Code département", "Code région", "Code pays")},
        },
        "dureeMois": MONTHS, "dateNotification": DAY, "datePublicationDonnees": DAY, "montant": AMOUNT,
        "typesPrix": inside("typePrix", "Définitif ferme", "Définitif actualisable", "Définitif révisable",
                            "Provisoire"),
        "formePrix": one_of("Unitaire", "Forfaitaire", "Mixte"),
        "origineUE": {"type": "number", **RATE}, "origineFrance": {"type": "number", **RATE},
        "titulaires": people("titulaire"),
        "considerationsSociales": inside("considerationSociale", "Clause sociale", "Critère social", "Marché réservé",
                                         "Pas de considération sociale"),
        "considerationsEnvironnementales": GREEN,
        "modifications": changes("dateNotificationModification", "montant"),
    },
    "contrat-concession": {
        "id": NUMBER, "autoriteConcedante": SIRET, "objet": {"type": "string", "maxLength": 1000},
        "nature": one_of("Concession de travaux", "Concession de service", "Concession de service public",
                         "Délégation de service public"),
        "procedure": one_of("Procédure négociée ouverte", "Procédure non négociée ouverte",
                            "Procédure négociée restreinte", "Procédure non négociée restreinte"),
        "dureeMois": MONTHS, "dateSignature": DAY, "datePublicationDonnees": DAY, "dateDebutExecution": DAY,
        "valeurGlobale": AMOUNT, "montantSubventionPublique": {"type": "number", "minimum": 0},
        "concessionnaires": people("concessionnaire"),
        "considerationsSociales": inside("considerationSociale", "Clause sociale", "Critère social",
                                         "Concession réservée", "Pas de considération sociale"),
        "considerationsEnvironnementales": GREEN,
        "modifications": changes("dateSignatureModification", "valeurGlobale"),
    },
}  # fmt: skip # a table
TYPED: dict[str, dict[str, list[str]]] = {
    "marche": {
        "id": ["2026_M12"], "acheteur": ["215 903 600 00017"], "nature": ["Marché"], "codeCPV": ["45261210-9"],
        "technique": ["Sans objet"], "modaliteExecution": ["Tranches", "Bons de commande"], "marcheInnovant": ["non"],
        "ccag": ["Travaux"], "offresRecues": ["4"], "attributionAvance": ["oui"], "tauxAvance": ["5,5 %"],
        "typeGroupementOperateurs": ["Solidaire"], "sousTraitanceDeclaree": ["non"], "procedure": ["Procédure adaptée"],
        "lieu": ["59120"], "typeLieu": ["Code postal"], "dureeMois": ["12"], "dateNotification": ["2026-11-30"],
        "datePublicationDonnees": ["2026-12-03"], "typePrix": ["Définitif ferme"], "formePrix": ["Forfaitaire"],
        "titulaires": [f"{HOLDER}\n\n TVA BE0123456789 "], "considerationSociale": ["Clause sociale"],
        "considerationEnvironnementale": ["Pas de considération environnementale"], "idAccordCadre": [""],
    },
    "contrat-concession": {
        "id": ["DSP1"], "autoriteConcedante": [BUYER], "nature": ["Délégation de service public"],
        "procedure": ["Procédure négociée ouverte"], "dureeMois": ["96"], "dateSignature": ["2026-11-30"],
        "datePublicationDonnees": ["2026-12-03"], "dateDebutExecution": ["2027-01-01"],
        "montantSubventionPublique": ["0"], "concessionnaires": [HOLDER],
        "considerationSociale": ["Pas de considération sociale"],
        "considerationEnvironnementale": ["Critère environnemental"],
    },
}  # fmt: skip # a table


def schema(element: str) -> dict[str, Any]:
    rules = RULES[element]
    one = {
        "type": "object",
        "additionalProperties": False,
        "required": sorted(rules.keys() - OPTIONAL),
        "properties": rules,
    }
    listed = {"type": "object", "required": [element], "properties": {element: {"type": "array", "items": one}}}
    return {"type": "object", "required": ["marches"], "properties": {"marches": listed}}


def made(element: str, changed: dict[str, list[str]] | None = None, **more: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"about": "Toiture de l'école", "value": Decimal("221000.00"), "siren": SIREN} | more
    return essential.record(element, TYPED[element] | (changed or {}), **given)


def refused(element: str, changed: dict[str, list[str]], **more: Any) -> str:
    with pytest.raises(ValueError) as told:
        made(element, changed, **more)
    return str(told.value)


@pytest.mark.parametrize("element", RULES)
def test_the_file_is_what_the_national_format_asks(element: str) -> None:
    begun = "dateNotificationModification" if element == "marche" else "dateSignatureModification"
    change = {begun: ["2027-02-01"], "datePublicationDonneesModification": ["2027-02-20"], "dureeMois": ["18"]}
    for given in ([], [change, change | {essential.CHANGES[element][3].name: ["250 000,50 €"]}]):
        written = json.loads(essential.document(element, made(element, changes=given)))
        jsonschema.Draft7Validator(schema(element)).validate(written)
        assert len(written["marches"][element][0].get("modifications", [])) == len(given)


@pytest.mark.parametrize("element", RULES)
def test_every_choice_of_the_form_is_one_of_the_format(element: str) -> None:
    judge = jsonschema.Draft7Validator(schema(element))
    for field in essential.FIELDS[element]:
        for choice in field.choices:
            changed = {field.name: [choice]} | ({"tauxAvance": []} if field.name == "attributionAvance" else {})
            judge.validate(json.loads(essential.document(element, made(element, changed))))
    rules = RULES[element]
    offered = {field.at[0] if field.at else field.name for field in essential.FIELDS[element]}
    assert rules.keys() - offered == {"objet", "modifications", "montant" if element == "marche" else "valeurGlobale"}


def test_what_is_typed_is_written_as_the_format_has_it() -> None:
    found = made("marche", {"origineUE": ["60"], "origineFrance": ["12,5"]}, value=Decimal("48500.50"))
    assert (found["montant"], found["tauxAvance"], found["origineFrance"]) == (48500.5, 0.055, 0.125)
    assert (found["acheteur"], found["codeCPV"], found["marcheInnovant"]) == ({"id": BUYER}, "45261210", False)
    assert found["lieuExecution"] == {"code": "59120", "typeCode": "Code postal"}
    assert [one["titulaire"] for one in found["titulaires"]] == [
        {"typeIdentifiant": "SIRET", "id": HOLDER},
        {"typeIdentifiant": "TVA", "id": "BE0123456789"},
    ]
    assert "idAccordCadre" not in found
    assert made("marche")["montant"] == 221000


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"codeCPV": []}, "codeCPV : champ obligatoire absent (Code CPV)"),
        ({"codeCPV": ["toiture"]}, "codeCPV : « toiture » n'est pas un code CPV"),
        ({"id": ["un numéro"]}, "id : « un numéro » : 16 caractères au plus"),
        ({"id": ["2026-000000000012"]}, "id : « 2026-000000000012 » : 16 caractères au plus"),
        ({"acheteur": ["21590360000019"]}, "acheteur : « 21590360000019 » n'est pas un SIRET"),
        ({"acheteur": [HOLDER]}, f"acheteur : {HOLDER} n'est pas un SIRET de cette collectivité"),
        ({"nature": ["Achat"]}, "nature : « Achat » n'est pas un choix"),
        ({"technique": ["Sans objet", "Concours"]}, "technique : « Concours » ne va pas avec un autre choix"),
        ({"offresRecues": ["0"]}, "offresRecues : « 0 » n'est pas un nombre entier"),
        ({"dureeMois": ["un an"]}, "dureeMois : « un an » n'est pas un nombre entier"),
        ({"dateNotification": ["31/11/2026"]}, "dateNotification : « 31/11/2026 » n'est pas une date"),
        ({"datePublicationDonnees": ["2026-11-29"]}, "datePublicationDonnees : le 2026-11-29 est avant"),
        ({"tauxAvance": ["120"]}, "tauxAvance : « 120 » n'est pas un pourcentage"),
        ({"attributionAvance": ["non"]}, "tauxAvance : aucune avance n'est attribuée"),
        ({"origineFrance": ["50"], "origineUE": ["40"]}, "origineFrance : la part française"),
        ({"titulaires": ["Dupont SARL"]}, "titulaires : « Dupont SARL » n'est pas un SIRET"),
        ({"titulaires": ["TVA <b>"]}, "titulaires : « TVA <b> » n'est pas un identifiant"),
        ({"titulaires": [f"{HOLDER}\n{HOLDER}"]}, "titulaires : le même y est deux fois"),
        ({"titulaires": ["\n"]}, "titulaires : champ obligatoire absent"),
        ({"lieu": ["Loos"]}, "lieu : « Loos » n'est pas un code de lieu"),
    ],
)
def test_what_is_wrong_is_told_by_its_field(changed: dict[str, list[str]], told: str) -> None:
    assert refused("marche", changed).startswith(told)


def test_all_that_is_wrong_is_told_at_once() -> None:
    told = refused("marche", {"codeCPV": [], "lieu": []}, value=None)
    assert [one.partition(" :")[0] for one in told.split(" ; ")] == ["codeCPV", "lieu", "montant"]
    assert refused("contrat-concession", {"montantSubventionPublique": ["rien"]}).startswith(
        "montantSubventionPublique : « rien » n'est pas un montant"
    )


def test_a_modification_says_what_it_changes_and_follows_the_contract() -> None:
    change = {"dateNotificationModification": ["2027-02-01"], "datePublicationDonneesModification": ["2027-02-20"]}
    assert refused("marche", {}, changes=[change]).startswith("modification 1, dureeMois : dites la nouvelle durée")
    before = change | {"dureeMois": ["3"], "dateNotificationModification": ["2026-01-01"]}
    assert "modification 1, datePublicationDonneesModification : une modification suit" in refused(
        "marche", {}, changes=[before]
    )
    assert "modification 1, montant : « 0 »" in refused("marche", {}, changes=[change | {"montant": ["0"]}])


@pytest.mark.parametrize(
    ("day", "last"),
    [
        ("2026-11-30", "2027-01-30"),
        ("2026-12-31", "2027-02-28"),
        ("2027-12-31", "2028-02-29"),
        ("2026-07-15", "2026-09-15"),
    ],
)
def test_they_are_published_two_months_after_the_notification(day: str, last: str) -> None:
    assert essential.due("marche", {"dateNotification": [day]}) == dt.date.fromisoformat(last)
    assert essential.due("marche", {}) is None
    assert essential.due("marche", {"dateNotification": ["hier"]}) is None


@pytest.mark.parametrize(
    ("value", "has", "told"),
    [
        (None, False, "dites son montant"),
        ("24999.99", False, "sous 25"),
        ("25000", True, "liste annuelle"),
        ("39999.99", True, "liste annuelle"),
        ("40000", True, "à publier dans les deux mois"),
    ],
)
def test_from_which_amount_a_contract_has_them(value: str | None, has: bool, told: str) -> None:
    amount = Decimal(value) if value else None
    assert essential.has("marche", amount) is has
    assert told in essential.asked("marche", amount).lower()
    assert "R2196-1" in essential.asked("marche", amount)
    assert essential.has("contrat-concession", amount)
    assert not essential.has("", amount)


def test_a_sirets_key_is_checked_but_la_postes_is_its_own() -> None:
    assert essential.is_siret("35600000000048") and essential.is_siret(HOLDER) and essential.is_siret("35600000049837")
    assert not any(map(essential.is_siret, ("35600000049838", "5520459990086", "55204599900860", "٥" * 14)))


def test_each_kind_of_contract_has_a_form_or_says_why_not() -> None:
    assert {one.data for one in procurement.KINDS.values()} == {"", *essential.FIELDS}
