"""Arrêtés and décisions by their models: what they ask for, what they say, what a wrong field is told."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from pathlib import Path

import pytest
import yaml
from creatic_parapheur import drafting, transmission
from creatic_parapheur.drafting import Draft, Faulty, Kind, Model, When
from creatic_parapheur.refusal import RefusedError

from creatic_agent.configuration import ConfigError
from creatic_agent.law import Standing

DAY = dt.date(2026, 3, 2)
ACT = "la décision n° DEC_2026_004 du 1er février 2026"
CIRCULATION = {
    "lieu": "Rue de l'Église, du n° 2 au n° 14",
    "periode_du": "2026-03-09",
    "periode_au": "2026-03-13",
    "horaires": "de 8 h à 18 h",
    "motif": "la réfection de la chaussée",
    "mesures": "la circulation est interdite ;\nle stationnement est interdit des deux côtés.",
    "signalisation": "l'entreprise Dupont",
}


def given(model: Model) -> dict[str, str]:
    """Something that each field takes."""
    kinds = {
        Kind.TEXT: "le texte n° 3", Kind.LONG: "une ligne\nune autre", Kind.PLACE: "place de la Mairie",
        Kind.PERSON: "Mme Anne Petit", Kind.AMOUNT: "12 500,50", Kind.BOX: "oui",
    }  # fmt: skip # a table
    told: dict[str, str] = {}
    for field in model.fields:
        near = DAY + dt.timedelta(-7 if field.when is When.BEFORE else 7)
        if field.kind is Kind.PERIOD:
            told |= {field.inputs[0]: str(near), field.inputs[1]: str(near)}
        elif field.kind is Kind.DATE:
            told[field.name] = str(near)
        else:
            told[field.name] = field.choices[0] if field.choices else kinds[field.kind][: field.length]
    return told


def composed(name: str, told: dict[str, str], day: dt.date = DAY) -> Draft:
    return drafting.compose(drafting.find(name), told, day, "maire", "Lille", ACT)


def problems(told: dict[str, str], name: str = "circulation", day: dt.date = DAY) -> dict[str, str]:
    with pytest.raises(Faulty) as refused:
        composed(name, told, day)
    return refused.value.problems


def test_a_dozen_models_and_more_are_ready() -> None:
    assert set(drafting.models()) >= {
        "circulation", "debit_boissons", "permission_voirie", "nomination", "delegation_fonctions",
        "delegation_signature", "conge_maladie", "avancement", "mise_en_securite", "taxi", "occupation_domaine",
        "inhumation", "decision", "decision_marche", "decision_concession",
    }  # fmt: skip # a list


@pytest.mark.parametrize("model", drafting.models().values(), ids=drafting.models())
def test_a_model_makes_an_act_of_its_fields(model: Model) -> None:
    made = drafting.compose(model, given(model), DAY, "maire", "Lille", ACT)
    said = [made.subject, *made.visas, *made.grounds, *made.articles]
    assert not any("{" in one or "}" in one or ".." in one or not one.strip() for one in said)
    assert all(one[0] == one[0].upper() and one.endswith((".", ";", "»", "!", "?")) for one in made.articles)
    assert "R421-1" in made.articles[-1] and model.publicity
    assert len(made.subject) <= drafting.SUBJECT_MAX
    # What optional fields do not say leaves no empty sentence.
    least = {name: text for name, text in given(model).items() if not _optional(model, name)}
    fewer = drafting.compose(model, least, DAY, "maire", "Lille", ACT)
    assert all(one.strip() for one in (*fewer.visas, *fewer.grounds, *fewer.articles))


def _optional(model: Model, name: str) -> bool:
    return any(name in one.inputs and not one.required for one in model.fields)


@pytest.mark.parametrize("model", drafting.models().values(), ids=drafting.models())
def test_a_model_cites_exact_articles_and_says_what_is_known_of_them(model: Model) -> None:
    law = [one for one in model.visas if one.standing]
    assert law and all(re.search(r"\d", one.text) or one.places for one in law)
    assert not any(one.text.startswith(("le code", "les articles")) for one in model.visas if not one.standing)
    # Only what was read is said to be: L2122-18 and L2122-19, and the words of L2131-2.
    read = [one.text for one in law if one.standing is Standing.READ]
    assert all("L2122-18" in one or "L2122-19" in one for one in read)
    assert model.proposal.article.startswith("L2131-2") and model.proposal.reason


def test_what_goes_to_the_prefecture_is_proposed_as_l2131_2_says() -> None:
    goes = {
        key: (one.nature, one.matter, one.proposal.choice) for key, one in drafting.models().items() if not one.effect
    }
    assert goes == {
        "circulation": ("2", "6.1", "non"), "debit_boissons": ("3", "6.1", "non"),
        "permission_voirie": ("3", "3.5", "non"), "occupation_domaine": ("3", "3.5", "non"),
        "nomination": ("3", "4.1", "oui"), "avancement": ("3", "4.1", "non"), "conge_maladie": ("3", "4.1", "non"),
        "delegation_fonctions": ("2", "5.4", "oui"), "delegation_signature": ("2", "5.5", "oui"),
        "mise_en_securite": ("3", "6.1", "oui"), "taxi": ("3", "6.1", "oui"), "inhumation": ("3", "6.1", "oui"),
        "decision": ("D", "", "oui"), "decision_marche": ("D", "1.1", "oui"),
        "decision_concession": ("D", "9.1", "oui"),
    }  # fmt: skip # a table
    assert not list(transmission.problems("2", goes["circulation"][2], "6.1"))
    assert str(drafting.find("circulation").proposal) == (
        "Non transmissible (CGCT, L2131-2) : les mesures de circulation et de stationnement sont exclues de la "
        "transmission, sauf les sanctions de L2212-2-1 (L2131-2, I, 2°)"
    )
    assert str(drafting.find("taxi").proposal).endswith("(L2131-2, I, 2°) [à vérifier]")


def test_an_arrete_says_what_was_filled_in_once() -> None:
    made = composed("circulation", CIRCULATION)
    assert (
        made.subject
        == "Circulation et stationnement : Rue de l'Église, du n° 2 au n° 14, du 9 mars 2026 au 13 mars 2026"
    )
    assert made.articles[0] == (
        "Du 9 mars 2026 au 13 mars 2026, de 8 h à 18 h, sur Rue de l'Église, du n° 2 au n° 14 : la circulation est "
        "interdite ;\nle stationnement est interdit des deux côtés."
    )
    assert not any("déviation" in one or "demande" in one for one in (*made.visas, *made.articles))
    assert len(made.articles) == 4 and made.articles[-1] == (
        "Le présent arrêté peut être contesté devant le tribunal administratif de Lille, dans les deux mois qui "
        "suivent sa publication (code de justice administrative, R421-1)."
    )
    day = composed("circulation", CIRCULATION | {"periode_au": "9/3/2026", "horaires": ""})
    assert day.articles[0].startswith("Le 9 mars 2026, sur Rue")


@pytest.mark.parametrize(
    "typed",
    ["{motif}", "{{ 7*7 }}", "{% include '/etc/passwd' %}", "${7*7}", "<script>x</script>", r"\1 \g<0> %s", "{}"],
)
def test_what_is_filled_in_is_text_and_is_never_read_again(typed: str) -> None:
    made = composed("circulation", CIRCULATION | {"deviation": typed, "lieu": typed})
    assert f"Une déviation est mise en place par {typed}." in made.articles
    assert made.subject.startswith(f"Circulation et stationnement : {typed}, du")


def test_a_field_that_lacks_is_named_and_so_are_all() -> None:
    told = problems({"lieu": "  ", "periode_du": "2026-03-09"})
    assert told["lieu"] == "Voie, et partie concernée : champ obligatoire absent ; remplissez-le"
    assert told["periode_du"] == "Période : champ obligatoire absent (les deux jours) ; remplissez-le"
    assert set(told) == {"lieu", "periode_du", "motif", "mesures", "signalisation"}
    assert problems(CIRCULATION | {"demandeur": "M. Roux"}) == {
        "demande_le": "Date de la demande : champ obligatoire absent ; remplissez-le"
    }
    assert problems(CIRCULATION | {"mesures": "..."})["mesures"].endswith("ce champ ne dit rien ; remplissez-le")


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [
        ("2026-03-13", "2026-03-09", "le dernier jour (9 mars 2026) est avant le premier (13 mars 2026)"),
        ("2026-03-01", "2026-03-09", "le 1er mars 2026 est avant la date de l'acte (2 mars 2026), qui n'a pas d'effet"),
        ("2026-02-30", "2026-03-09", "« 2026-02-30 » n'est pas une date"),
        ("demain", "2026-03-09", "« demain » n'est pas une date"),
        ("0206-03-09", "2026-03-09", "l'année 206 n'est pas vraisemblable"),
        ("2026-03-09", "2027-03-10", "367 jours, 366 au plus"),
    ],
)
def test_a_date_that_is_none_or_goes_backwards_is_told(first: str, last: str, said: str) -> None:
    told = problems(CIRCULATION | {"periode_du": first, "periode_au": last})
    assert list(told) == ["periode_du"] and said in told["periode_du"]


def test_days_are_counted_over_summer_time_leap_years_and_the_end_of_a_year() -> None:
    around = CIRCULATION | {"periode_du": "2028-02-28", "periode_au": "2028-02-29"}
    assert "du 28 février 2028 au 29 février 2028" in composed("circulation", around).subject
    whole = CIRCULATION | {"periode_du": "2026-03-02", "periode_au": "2027-03-02"}
    assert "au 2 mars 2027" in composed("circulation", whole).subject
    asked = CIRCULATION | {"demandeur": "M. Roux", "demande_le": "2026-03-03"}
    assert "est après la date de l'acte (2 mars 2026)" in problems(asked)["demande_le"]
    # One day, every day of two years: what is today never counts.
    for shift in range(0, 730, 73):
        day = DAY + dt.timedelta(shift)
        composed("circulation", CIRCULATION | {"periode_du": str(day), "periode_au": str(day)}, day)


ACCENTS = "àâäçéèêëîïôöùûüÿœæÀÂÄÇÉÈÊËÎÏÔÖÙÛÜŸŒÆ"


def test_500_signs_with_every_accent_are_kept_and_501_are_told() -> None:
    subject = (ACCENTS * 20)[:500]
    told = given(drafting.find("decision")) | {"sujet": subject}
    assert composed("decision", told).subject == subject
    # As a Mac writes them: an accent is a sign of its own, and counts for none.
    assert composed("decision", told | {"sujet": unicodedata.normalize("NFD", subject)}).subject == subject
    assert problems(told | {"sujet": f"{subject}é"}, "decision") == {
        "sujet": "Objet : 501 caractères, 500 au plus ; raccourcissez ce texte"
    }


def test_a_subject_that_is_too_long_once_composed_is_told() -> None:
    told = given(drafting.find("permission_voirie")) | {"beneficiaire": "é" * 200, "lieu": "à" * 300}
    assert problems(told, "permission_voirie") == {
        "": "objet : composé, il fait 525 caractères, 500 au plus ; raccourcissez les champs qu'il reprend"
    }


def test_marks_of_a_word_processor_go_and_invisible_signs_are_told() -> None:
    made = composed("circulation", CIRCULATION | {"deviation": "la rue\u00a0du\u200b Bois\u00ad\ufeff \u202eabc"})
    assert "Une déviation est mise en place par la rue du Bois abc." in made.articles
    assert "U+0007" in problems(CIRCULATION | {"deviation": "la rue\u0007"})["deviation"]


def test_a_choice_and_an_amount_are_as_written() -> None:
    told = given(drafting.find("decision_marche"))
    assert "pour 12\u202f500,50 € HT" in composed("decision_marche", told).articles[0]
    assert "n'est pas un montant" in problems(told | {"montant": "mille"}, "decision_marche")["montant"]
    told = given(drafting.find("mise_en_securite"))
    assert "cochez la case" in problems(told | {"interdiction": "non"}, "mise_en_securite")["interdiction"]
    told = given(drafting.find("debit_boissons"))
    assert "n'est pas de la liste" in problems(told | {"rang": "onzième"}, "debit_boissons")["rang"]


def test_an_act_withdraws_abrogates_or_corrects_another_that_it_names() -> None:
    told = {"motif": "que les travaux sont achevés", "effet": "2026-03-02", "corrections": "le 10 mars"}
    kinds = {one.effect: key for key, one in drafting.models().items() if one.effect}
    assert kinds == {"retire": "retrait", "abroge": "abrogation", "rectifie": "rectification"}
    first = [composed(kinds[effect], told).articles[0] for effect in drafting.EFFECTS]
    assert first == [
        f"Il est procédé au retrait de {ACT}, avec effet à la date de cet acte.",
        f"Il est procédé à l'abrogation de {ACT}, à compter du 2 mars 2026.",
        f"Les corrections suivantes sont apportées à {ACT} : le 10 mars.",
    ]
    assert composed("retrait", told).subject == f"Retrait de {ACT}" and ACT in composed("retrait", told).visas


def test_a_court_of_any_town() -> None:
    model = drafting.find("decision")
    made = drafting.compose(model, given(model), DAY, "maire", "Amiens")
    assert made.articles[-1].startswith(
        "La présente décision peut être contestée devant le tribunal administratif d'Amiens"
    )


def test_a_model_that_does_not_exist_is_told() -> None:
    with pytest.raises(RefusedError, match=r"modele : « \.\./\.\./etc/passwd » n'existe pas") as refused:
        drafting.find("../../etc/passwd")
    assert refused.value.status == 404


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"objet": "{lieux}"}, "« {lieux} » n'est le nom d'aucun champ."),
        ({"nature": "9"}, "« 9 » est inconnu ; écrivez 2 ou 3 ou 6 ou D."),
        ({"matiere": "police"}, "« police » n'est pas une matière."),
        ({"articles": []}, "le champ « horaires » n'est dit nulle part."),
        ({"effet": "retire"}, "un modèle qui a un effet nomme l'acte qu'il vise"),
        ({"titres": "x"}, "champ inconnu ; vouliez-vous dire « titre » ?"),
    ],
)
def test_a_model_that_is_wrong_is_told(changes: dict[str, object], said: str, tmp_path: Path) -> None:
    text = (drafting.FOLDER / "circulation.yml").read_text(encoding="utf-8")
    file = tmp_path / "essai.yml"
    file.write_text(yaml.safe_dump(yaml.safe_load(text) | changes, allow_unicode=True), encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        drafting.load(file, Model)
    assert said in str(refused.value)
