"""Essential data of a contract, in the national format 2.0 (DECP): what is asked, and the JSON that is published.

CCP, R2196-1 (public contracts) and R3131-1 (concessions); arrêtés of 22 December 2022 (JORFTEXT000046850496 and
JORFTEXT000046850535), whose format is 139bercy/format-commande-publique, version 2.0.3: names, lists of values and what
is needed are taken from its JSON schema. A field that nobody filled in is left out; nothing is guessed.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from creatic_agent.writing import day_of

from . import procurement

LOWEST, WHOLE = 25_000, 40_000
"""Euros without tax: from which a contract has essential data, and from which nothing takes their place (R2196-1)."""
MONTHS = 2
"""After the notification, or the signature of a concession: by when they are published."""
_MAX_HOLDERS = 30  # holders of a contract
_HOLDER_ID_KINDS = ("SIRET", "TVA", "TAHITI", "RIDET", "FRWF", "IREP", "HORS-UE")
_PLACES = (
    "Code postal",
    "Code commune",
    "Code arrondissement",
    "Code canton",
    "Code département",
    "Code région",
    "Code pays",
)
_EXCLUSIVE_CHOICES = ("Sans objet", "Pas de considération sociale", "Pas de considération environnementale")
_LA_POSTE = "356000000"


def months_after(day: dt.date, months: int) -> dt.date:
    """Give the same day some months later, or the last one of a shorter month."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    last = (dt.date(year + (month == 11), (month + 1) % 12 + 1, 1) - dt.timedelta(days=1)).day
    return dt.date(year, month + 1, min(day.day, last))


def is_siret(text: str) -> bool:
    """Tell whether a SIRET has a right key (INSEE, répertoire Sirene); La Poste's sum is a multiple of five."""
    if not re.fullmatch(r"[0-9]{14}", text):
        return False
    digits = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(text))]
    if sum(digit // 10 + digit % 10 for digit in digits) % 10 == 0:
        return True
    return text.startswith(_LA_POSTE) and sum(map(int, text)) % 5 == 0


def _parse_integer(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,4}", text):
        raise ValueError(f"« {text[:40]} » n'est pas un nombre entier, à partir de 1")
    return int(text)


def _parse_day(text: str) -> str:
    return day_of(text).isoformat()


def _json_number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


def _parse_amount(text: str) -> int | float:
    value = procurement.amount(text)  # its message names a field that is not this one
    if value is None:
        raise ValueError("écrivez un montant en euros hors taxes")
    return _json_number(value)


def _parse_value(text: str) -> int | float:
    if not (found := _parse_amount(text)) or found < 1:
        raise ValueError(f"« {text[:40]} » : le format ne prend pas de montant sous 1 €")
    return found


def _parse_rate(text: str) -> float:
    plain = re.sub(r"[\s%]", "", text).replace(",", ".")
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,2})?", plain) or Decimal(plain) > 100:
        raise ValueError(f"« {text[:40]} » n'est pas un pourcentage, de 0 à 100")
    return float(Decimal(plain) / 100)


def _parse_yes_no(text: str) -> bool:
    return {"oui": True, "non": False}[text]


def _parse_identifier(text: str) -> str:
    if not re.fullmatch(r"[^&\"\\<\s,;]{1,16}", text):
        raise ValueError(f'« {text[:40]} » : 16 caractères au plus, sans espace, virgule, point-virgule, &, ", \\ ni <')
    return text


def _parse_siret(text: str) -> str:
    plain = re.sub(r"\s", "", text)
    if not is_siret(plain):
        raise ValueError(f"« {text[:40]} » n'est pas un SIRET : 14 chiffres, dont une clé")
    return plain


def _parse_cpv(text: str) -> str:
    if not (found := re.fullmatch(r"([0-9]{8})(-[0-9])?", text)):
        raise ValueError(f"« {text[:40]} » n'est pas un code CPV : 8 chiffres, par exemple 45261210")
    return found[1]


def _parse_place(text: str) -> str:
    if not re.fullmatch(r"[0-9A-Z]{2,5}", text):
        raise ValueError(f"« {text[:40]} » n'est pas un code de lieu, par exemple 59155")
    return text


def _parse_holders(text: str) -> list[tuple[str, str]]:
    """One by line: a SIRET, or the kind of its identifier and the identifier."""
    found = []
    for line in filter(None, map(str.strip, text.splitlines())):
        kind, _space, number = line.partition(" ")
        if kind not in _HOLDER_ID_KINDS:
            kind, number = "SIRET", line
        number = _parse_siret(number) if kind == "SIRET" else re.sub(r"\s", "", number)
        if not re.fullmatch(r"[0-9A-Z*+-]{2,20}", number):
            raise ValueError(
                f"« {line[:40]} » n'est pas un identifiant ; écrivez un SIRET, ou par exemple TVA BE0123456789"
            )
        found.append((kind, number))
    if len(set(found)) < len(found):
        raise ValueError("le même y est deux fois")
    if len(found) > _MAX_HOLDERS:
        raise ValueError(f"{_MAX_HOLDERS} au plus")
    return found


_READERS: Mapping[str, Callable[[str], Any]] = {
    "entier": _parse_integer,
    "date": _parse_day,
    "montant": _parse_amount,
    "valeur": _parse_value,
    "taux": _parse_rate,
    "ouinon": _parse_yes_no,
    "numero": _parse_identifier,
    "siret": _parse_siret,
    "cpv": _parse_cpv,
    "lieu": _parse_place,
    "titulaires": _parse_holders,
    "choix": str,
}


@dataclass(frozen=True)
class Field:
    """A field of the form, and where its value goes.

    Attributes:
        name: in the form and in what is refused.
        label: in French.
        kind: how it is asked and read (`_READERS`).
        choices: of C(choix) and C(plusieurs).
        at: names of the objects that lead to it in the JSON; its own name without any.
        needed: whether it must be filled in.
    """

    name: str
    label: str
    kind: str
    choices: tuple[str, ...] = ()
    at: tuple[str, ...] = ()
    needed: bool = True

    def read(self, typed: Sequence[str]) -> Any:
        """Read what was typed, None for nothing. Raises ValueError, in French, with the field's name."""
        given = [one.strip() for one in typed if one.strip()]
        if not given:
            if self.needed:
                raise ValueError(f"{self.name} : champ obligatoire absent ({self.label})")
            return None
        if wrong := [one for one in given if self.choices and one not in self.choices]:
            raise ValueError(f"{self.name} : « {wrong[0][:40]} » n'est pas un choix ; choisissez dans la liste")
        if self.kind == "plusieurs":
            if len(given) > 1 and set(given) & set(_EXCLUSIVE_CHOICES):
                raise ValueError(f"{self.name} : « {given[-1]} » ne va pas avec un autre choix")
            return list(dict.fromkeys(given))
        try:
            return _READERS[self.kind](given[0])
        except ValueError as error:
            raise ValueError(f"{self.name} : {str(error).removeprefix('montant : ')}") from None


def _choice_field(name: str, label: str, *choices: str, at: tuple[str, ...] = ()) -> Field:
    return Field(name, label, "choix", choices, at)


def _multiple_choice_field(name: str, label: str, above: str, *choices: str) -> Field:
    return Field(name, label, "plusieurs", choices, (above, name))


def _required_field(name: str, label: str, kind: str, *at: str, needed: bool = True) -> Field:
    return Field(name, label, kind, ("oui", "non") if kind == "ouinon" else (), at, needed)


_GREEN = _multiple_choice_field(
    "considerationEnvironnementale",
    "Considérations environnementales",
    "considerationsEnvironnementales",
    "Clause environnementale",
    "Critère environnemental",
    "Pas de considération environnementale",
)
_PUBLISHED = _required_field("datePublicationDonnees", "Données publiées le (jour où vous les déposez)", "date")
_DURATION_FIELD = _required_field("dureeMois", "Durée en mois, tranches et reconductions comprises", "entier")
FIELDS: Mapping[str, tuple[Field, ...]] = {
    "marche": (
        _required_field("id", "Numéro du marché", "numero"),
        _required_field("acheteur", "SIRET de l'acheteur", "siret", "acheteur", "id"),
        _choice_field("nature", "Nature", "Marché", "Marché de partenariat", "Marché de défense ou de sécurité"),
        _required_field("codeCPV", "Code CPV", "cpv"),
        _multiple_choice_field(
            "technique",
            "Techniques d'achat",
            "techniques",
            "Sans objet",
            "Accord-cadre",
            "Concours",
            "Système de qualification",
            "Système d'acquisition dynamique",
            "Catalogue électronique",
            "Enchère électronique",
        ),
        _multiple_choice_field(
            "modaliteExecution",
            "Modalités d'exécution",
            "modalitesExecution",
            "Sans objet",
            "Tranches",
            "Bons de commande",
            "Marchés subséquents",
        ),
        _required_field("idAccordCadre", "Numéro de l'accord-cadre, d'un marché subséquent", "numero", needed=False),
        _required_field("marcheInnovant", "Marché innovant", "ouinon"),
        _choice_field(
            "ccag",
            "CCAG de référence",
            "Pas de CCAG",
            "Travaux",
            "Maitrise d'œuvre",
            "Fournitures courantes et services",
            "Marchés industriels",
            "Prestations intellectuelles",
            "Techniques de l'information et de la communication",
        ),
        _required_field("offresRecues", "Nombre d'offres reçues", "entier"),
        _required_field("attributionAvance", "Une avance est attribuée", "ouinon"),
        _required_field("tauxAvance", "Taux de l'avance, en %", "taux", needed=False),
        _choice_field(
            "typeGroupementOperateurs", "Groupement d'opérateurs", "Pas de groupement", "Conjoint", "Solidaire"
        ),
        _required_field("sousTraitanceDeclaree", "Sous-traitance déclarée à la notification", "ouinon"),
        _choice_field(
            "procedure",
            "Procédure",
            "Procédure adaptée",
            "Appel d'offres ouvert",
            "Appel d'offres restreint",
            "Procédure avec négociation",
            "Marché passé sans publicité ni mise en concurrence préalable",
            "Dialogue compétitif",
        ),
        _required_field("lieu", "Code du lieu principal d'exécution", "lieu", "lieuExecution", "code"),
        _choice_field("typeLieu", "Ce qu'est ce code", *_PLACES, at=("lieuExecution", "typeCode")),
        _DURATION_FIELD,
        _required_field("dateNotification", "Notifié le", "date"),
        _PUBLISHED,
        _multiple_choice_field(
            "typePrix",
            "Types de prix",
            "typesPrix",
            "Définitif ferme",
            "Définitif actualisable",
            "Définitif révisable",
            "Provisoire",
        ),
        _choice_field("formePrix", "Forme du prix", "Forfaitaire", "Unitaire", "Mixte"),
        _required_field(
            "origineUE",
            "Part de produits de l'Union, en % (denrées, véhicules, santé, habillement)",
            "taux",
            needed=False,
        ),
        _required_field("origineFrance", "Part de produits français, en %", "taux", needed=False),
        _required_field("titulaires", "Titulaires, un par ligne : SIRET, ou TVA suivi du numéro", "titulaires"),
        _multiple_choice_field(
            "considerationSociale",
            "Considérations sociales",
            "considerationsSociales",
            "Clause sociale",
            "Critère social",
            "Marché réservé",
            "Pas de considération sociale",
        ),
        _GREEN,
    ),
    "contrat-concession": (
        _required_field("id", "Numéro du contrat", "numero"),
        _required_field("autoriteConcedante", "SIRET de l'autorité concédante", "siret", "autoriteConcedante", "id"),
        _choice_field(
            "nature",
            "Nature",
            "Délégation de service public",
            "Concession de service public",
            "Concession de service",
            "Concession de travaux",
        ),
        _choice_field(
            "procedure",
            "Procédure",
            "Procédure négociée ouverte",
            "Procédure non négociée ouverte",
            "Procédure négociée restreinte",
            "Procédure non négociée restreinte",
        ),
        _required_field("dureeMois", "Durée en mois", "entier"),
        _required_field("dateSignature", "Signé le", "date"),
        _PUBLISHED,
        _required_field("dateDebutExecution", "Exécution commencée le", "date"),
        _required_field(
            "montantSubventionPublique",
            "Subvention publique ou autre avantage, en euros (0 s'il n'y en a pas)",
            "montant",
        ),
        _required_field(
            "concessionnaires", "Concessionnaires, un par ligne : SIRET, ou TVA suivi du numéro", "titulaires"
        ),
        _multiple_choice_field(
            "considerationSociale",
            "Considérations sociales",
            "considerationsSociales",
            "Clause sociale",
            "Critère social",
            "Concession réservée",
            "Pas de considération sociale",
        ),
        _GREEN,
    ),
}
CHANGES: Mapping[str, tuple[Field, ...]] = {
    element: (
        _required_field(said, label, "date"),
        _required_field("datePublicationDonneesModification", "Modification publiée le", "date"),
        _required_field("dureeMois", "Nouvelle durée en mois", "entier", needed=False),
        _required_field(amount, "Nouveau montant total, hors taxes", "valeur", needed=False),
    )
    for element, said, label, amount in (
        ("marche", "dateNotificationModification", "Avenant notifié le", "montant"),
        ("contrat-concession", "dateSignatureModification", "Avenant signé le", "valeurGlobale"),
    )
}
_START_DATE_KEYS = {"marche": "dateNotification", "contrat-concession": "dateSignature"}
_BUYER = {"marche": "acheteur", "contrat-concession": "autoriteConcedante"}
_HOLDER_KEYS = {"marche": ("titulaires", "titulaire"), "contrat-concession": ("concessionnaires", "concessionnaire")}
_VALUE_KEYS = {"marche": "montant", "contrat-concession": "valeurGlobale"}


def _read_fields(fields: Sequence[Field], typed: Mapping[str, Sequence[str]]) -> tuple[dict[str, Any], list[str]]:
    values, wrong = dict[str, Any](), list[str]()
    for one in fields:
        try:
            if (value := one.read(typed.get(one.name, ()))) is not None:
                values[one.name] = value
        except ValueError as error:
            wrong.append(str(error))
    return values, wrong


def _find_contradictions(element: str, values: Mapping[str, Any], siren: str) -> Iterator[str]:
    """What two fields say together that cannot be, in French."""
    begun, published = values.get(_START_DATE_KEYS[element], ""), values.get("datePublicationDonnees", "9999")
    if published < begun:
        yield f"datePublicationDonnees : le {published} est avant {_START_DATE_KEYS[element]}, le {begun}"
    if (buyer := values.get(_BUYER[element])) and not buyer.startswith(siren):
        yield f"{_BUYER[element]} : {buyer} n'est pas un SIRET de cette collectivité, de SIREN {siren}"
    if values.get("origineFrance", 0) > values.get("origineUE", 1):
        yield "origineFrance : la part française ne dépasse pas celle de l'Union (origineUE)"
    if "tauxAvance" in values and values.get("attributionAvance") is False:
        yield "tauxAvance : aucune avance n'est attribuée (attributionAvance)"


def record(
    element: str,
    typed: Mapping[str, Sequence[str]],
    *,
    about: str,
    value: Decimal | None,
    siren: str,
    changes: Sequence[Mapping[str, Sequence[str]]] = (),
) -> dict[str, Any]:
    """Make the object of a contract in the national format.

    Args:
        element: C(marche) or C(contrat-concession).
        typed: what was written in each of `FIELDS`.
        about: what the contract is about.
        value: in euros without tax.
        siren: of who buys.
        changes: what was written in each of `CHANGES`, the oldest first.

    Raises:
        ValueError: in French, all that is to be corrected, each with its field.
    """
    fields = FIELDS[element]
    values, wrong = _read_fields(fields, typed)
    wrong += _find_contradictions(element, values, siren)
    if value is None or value < 1:
        wrong.append("montant : dites d'abord celui du contrat, hors taxes, d'au moins 1 €")
    made = dict[str, Any]()
    if not wrong:
        made = {"objet": about[:1000], _VALUE_KEYS[element]: _json_number(value or Decimal(0))}
        many, one = _HOLDER_KEYS[element]
        values[many] = [{one: {"typeIdentifiant": kind, "id": number}} for kind, number in values[many]]
        for field in fields:
            if field.name in values:
                *above, last = field.at or (field.name,)
                inside = made
                for name in above:
                    inside = inside.setdefault(name, {})
                inside[last] = values[field.name]
    rows = []
    for rank, change in enumerate(changes, 1):
        told, faults = _read_fields(CHANGES[element], change)
        dates = [told.get(field.name, "") for field in CHANGES[element][:2]]
        if not faults and len(told) < 3:
            faults = ["dureeMois : dites la nouvelle durée ou le nouveau montant"]
        if not faults and (dates[0] < values.get(_START_DATE_KEYS[element], "") or dates[1] < dates[0]):
            faults = [f"{CHANGES[element][1].name} : une modification suit le contrat, et se publie après son avenant"]
        wrong += [f"modification {rank}, {fault}" for fault in faults]
        rows.append({"modification": {"id": rank, **told}})
    if wrong:
        raise ValueError(" ; ".join(wrong))
    return made | ({"modifications": rows} if rows else {})


def document(element: str, made: Mapping[str, Any]) -> str:
    """Write the file that is published (JSON), of one contract."""
    return json.dumps({"marches": {element: [made]}}, ensure_ascii=False, indent=2) + "\n"


def due(element: str, typed: Mapping[str, Sequence[str]]) -> dt.date | None:
    """By when they are published: two months after the notification, or the signature of a concession; None while
    nobody said that day."""
    try:
        return months_after(day_of(typed[_START_DATE_KEYS[element]][0]), MONTHS)
    except (KeyError, IndexError, ValueError):
        return None


def asked(element: str, value: Decimal | None) -> str:
    """Say in French whether a contract has essential data."""
    if element == "contrat-concession":
        return (
            "Une concession a des données essentielles, à publier dans les deux mois de sa signature (CCP, R3131-1 ; à "
            "vérifier)."
        )
    if value is None:
        return "Dites son montant : un marché a des données essentielles à partir de 25 000 € HT (CCP, R2196-1)."
    told = f"{procurement.euros(value)} :"
    if value < LOWEST:
        return f"{told} sous 25 000 € HT, pas de données essentielles (CCP, R2196-1 ; à vérifier)."
    if value < WHOLE:
        return (
            f"{told} de 25 000 à 40 000 € HT, données essentielles dans les deux mois de la notification, ou liste "
            "annuelle au premier trimestre (CCP, R2196-1, marchés de R2122-8 ; à vérifier)."
        )
    return (
        f"{told} à partir de 40 000 € HT, données essentielles à publier dans les deux mois de la notification (CCP, "
        "R2196-1 ; à vérifier)."
    )


def has(element: str, value: Decimal | None) -> bool:
    """Tell whether essential data are made of a contract."""
    return bool(element) and (element != "marche" or (value is not None and value >= LOWEST))
