"""Numbers of arrêtés and décisions that are written here, and their way into the circuit.

It is the number that its author gives an act; the passerelle inscribes it, signed, in its register (CGCT, R2122-7; of a
décision, R2122-7-1), where numbers that lack are told: each register has a series here. A number is taken in the
transaction that makes the dossier: none is lost, none is twice, and dates follow numbers. The document bears it before:
it is drawn with the next number, and drawn again where another act took it meanwhile.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.core.files.base import ContentFile
from django.db import IntegrityError
from django.db.models import QuerySet

from creatic_agent.writing import day_of, french_date, of_commune

from . import circuit, drafting, drawing, signatory, transmission
from .configuration import Commune
from .drafting import Draft, Faulty, Model
from .models import Acte, Dossier
from .refusal import RefusedError

ARRETE = "arrete"
"""Register of the arrêtés, and the circuit of both."""
DECISION = "decision"
_PREFIXES = {ARRETE: "AR", DECISION: "DEC"}
_TIMES = 5
_SIGNED = ("a_teletransmettre", "teletransmis", "acquitte", "en_erreur", "clos")
"""States of a dossier whose act was signed."""
_RANK_MAX = 99_999
_COURT_MAX = 60
_REFERENCE = re.compile(re.escape(circuit.OWN) + "[0-9a-f-]{36}")
_COMMON = ("date", "signataire", "matiere", "transmission", "tribunal", "premier")
NAMES = {
    ARRETE: "l'acte s'inscrit, une fois signé, au registre des arrêtés (CGCT, R2122-7)",
    DECISION: "la décision s'inscrit, une fois signée, au registre des délibérations (CGCT, R2122-7-1)",
}


@dataclass(frozen=True)
class Asked:
    """What the page « Rédiger » sent.

    Attributes:
        told: of the model's fields, and those that every act has (`_COMMON`).
        reference: made with the page: sent twice, it is one act.
        touched: the act that this one withdraws, abrogates or corrects.
    """

    commune: Commune
    model: Model
    reference: str
    told: Mapping[str, str] = field(default_factory=dict)
    touched: Dossier | None = None

    def get(self, name: str) -> str:
        """What was typed, without spaces around."""
        return self.told.get(name, "").strip()

    @property
    def register(self) -> str:
        """Which register numbers it."""
        return register_of(self.model)

    @property
    def day(self) -> dt.date:
        """Date of the act. Raises Faulty."""
        try:
            return day_of(self.get("date"))
        except ValueError as error:
            raise Faulty({"date": f"Date de l'acte : {error}"}) from None


def register_of(model: Model) -> str:
    """Which register numbers acts of a model."""
    return DECISION if model.is_decision else ARRETE


def numbered(register: str, year: int, rank: int) -> str:
    """A number, as documents bear it and the préfecture takes it: AR_2026_012."""
    return f"{_PREFIXES[register]}_{year}_{rank:03d}"


def _acts_of(commune: Commune, register: str, year: int) -> Any:
    return Acte.objects.filter(commune=commune.slug, registre=register, annee=year)


def is_begun(commune: Commune, register: str, year: int) -> bool:
    """Whether a register has a number of a year already."""
    return bool(_acts_of(commune, register, year).exists())


def next_rank(asked: Asked) -> int:
    """Rank of the next number of a register; the first one of a year is told (`premier`), 1 unless it is.

    Raises:
        Faulty: `premier` is no number, or the date is before that of the last act of the register.
    """
    day = asked.day
    last = _acts_of(asked.commune, asked.register, day.year).order_by("rang").last()
    if last is None:
        first = asked.get("premier") or "1"
        if not (first.isascii() and first.isdecimal() and 1 <= int(first[:9]) <= _RANK_MAX):
            raise Faulty({"premier": f"Premier numéro : « {first[:20]} » n'est pas un nombre de 1 à {_RANK_MAX}"})
        return int(first)
    if day < last.date:
        raise Faulty(
            {
                "date": f"Date de l'acte : le {french_date(day)} est avant celle du dernier acte du registre "
                f"({last.numero}, {french_date(last.date)}), tenu par ordre de date ; corrigez-la"
            }
        )
    return int(last.rang) + 1


def court_of(commune: Commune) -> str:
    """The administrative court that the commune's last act told; "" for its first one."""
    last = Acte.objects.filter(commune=commune.slug).order_by("quand", "pk").last()
    return str(last.valeurs.get("tribunal", "")) if last else ""


def _chosen_signatory(asked: Asked) -> signatory.Choice:
    key = asked.get("signataire") or signatory.HOLDER
    found = signatory.choose(asked.commune, key, ARRETE, asked.get("matiere"))
    if found is None:
        raise RefusedError("signataire : choisissez qui signe")
    return found


def composed(asked: Asked) -> tuple[Draft, drawing.Whose]:
    """The act, and whose it is.

    Raises:
        Faulty: what is to be corrected.
        Refused: who signs may not.
    """
    commune, problems = asked.commune, dict[str, str]()
    if asked.model.bodies == "commune" and commune.siren_commune:
        raise RefusedError("modele : cet acte est celui d'une commune. À faire : choisissez un autre modèle", 404)
    check_touched(asked)
    day, court = asked.day, ""
    try:
        court = drafting.plain(asked.get("tribunal"), _COURT_MAX)
        if not court:
            raise ValueError("écrivez sa ville, par exemple Lille")
    except ValueError as error:
        problems["tribunal"] = f"Tribunal administratif : {error}"
    if not asked.get("matiere"):
        problems["matiere"] = "Matière : champ obligatoire absent ; écrivez par exemple 6.1"
    try:
        named = named_act(asked.touched) if asked.touched else ""
        draft = drafting.compose(asked.model, asked.told, day, commune.qualite, court, named)
    except Faulty as faulty:
        problems |= faulty.problems
    if problems:
        raise Faulty(problems)
    body = commune.nom if commune.siren_commune else f"Commune {of_commune(commune.nom)}"
    whose = drawing.Whose(body, circuit.town(commune), f"Le {commune.qualite}", _chosen_signatory(asked).shown)
    return draft, whose


def named_act(act: Dossier) -> str:
    """An act, as another one names it."""
    word = "la décision" if act.nature == drafting.DECISION else "l'arrêté"
    return f"{word} n° {act.numero} du {french_date(act.date)}"


def touchable(commune: Commune) -> QuerySet[Dossier]:
    """Acts of a body that another one may withdraw, abrogate or correct: signed, and of a known nature."""
    signed = Dossier.objects.filter(commune=commune.slug, circuit=ARRETE, etat__in=_SIGNED, document__in_trash=False)
    return signed.filter(nature__in=list(transmission.NATURES)).order_by("-date", "-pk")


def following(model: Model, act: Dossier) -> Model:
    """A model that touches an act, of the nature and the matter of that act; it goes to the préfecture if that went."""
    choice = act.transmission or model.proposal.choice
    proposal = dataclasses.replace(model.proposal, choice=choice)
    return dataclasses.replace(model, nature=act.nature, matter=act.matiere, proposal=proposal)


def check_touched(asked: Asked) -> None:
    """Check the act that another one touches.

    Raises:
        Faulty: it is not said, ended already, or is later.
    """
    act = asked.touched
    if not asked.model.effect:
        return
    if act is None:
        raise Faulty({"vise": "Acte visé : choisissez un arrêté ou une décision de la commune, déjà signé"})
    ended = act.suites.filter(effet__in=("retire", "abroge")).exclude(dossier__etat="refuse").first()
    if ended is not None and ended.dossier is not None and ended.dossier.reference != asked.reference:
        how = drafting.EFFECTS[ended.effet]
        raise Faulty(
            {"vise": f"Acte visé : {named_act(act)} est déjà {how} par {ended.numero} ; choisissez-en un autre"}
        )
    if asked.day < act.date:
        raise Faulty(
            {"date": f"Date de l'acte : elle est avant celle de l'acte visé ({french_date(act.date)}) ; corrigez-la"}
        )


@circuit.limited
def preview(user: Any, asked: Asked) -> bytes:
    """The act as PDF, as a projet. Raises Refused: the reason; somebody asks for two at once."""
    return drawing.draw(*composed(asked))


def send(user: Any, asked: Asked) -> Dossier:
    """Number an act, draw it and put it at the beginning of its circuit; the same page twice is one act.

    Raises:
        Faulty: what is to be corrected.
        Refused: the reason.
    """
    if not circuit.may_deposit(user, asked.commune.slug):
        raise RefusedError("vous ne rédigez pas d'acte pour cette commune", 403)
    if not _REFERENCE.fullmatch(asked.reference):
        raise RefusedError("cette page n'est plus à jour. À faire : rechargez-la")
    if known := _find_sent_dossier(asked):
        return known
    draft, whose = composed(asked)
    for _time in range(_TIMES):
        rank = next_rank(asked)
        number = numbered(asked.register, draft.day.year, rank)
        document = ContentFile(drawing.draw(draft, whose, number), name=f"{number}.pdf")
        told = _build_deposit(asked, draft, number)
        taken = Acte(
            commune=asked.commune.slug,
            registre=asked.register,
            annee=draft.day.year,
            rang=rank,
            numero=number,
            date=draft.day,
            objet=draft.subject,
            modele=asked.model.key,
            valeurs=_typed_fields(asked),
            par=circuit.name_of(user),
            effet=asked.model.effect,
            vise=asked.touched,
            vise_nom=named_act(asked.touched) if asked.touched else "",
        )

        def note(dossier: Dossier, taken: Acte = taken) -> None:
            taken.dossier = dossier
            taken.save(force_insert=True)

        try:
            return circuit.deposit(user, told, document, kept=note)[0]
        except IntegrityError:  # this number at the same moment
            if not _acts_of(asked.commune, asked.register, draft.day.year).filter(rang=rank).exists():
                raise
        except RefusedError:
            if known := _find_sent_dossier(asked):  # the page was sent twice at the same moment
                return known
            raise
    raise RefusedError(
        "d'autres actes prennent leur numéro en ce moment, et rien n'a été changé. À faire : recommencez", 503
    )


def _typed_fields(asked: Asked) -> dict[str, str]:
    return {name: asked.get(name) for name in (*_COMMON, *asked.model.inputs) if asked.get(name)}


def _build_deposit(asked: Asked, draft: Draft, number: str) -> circuit.Deposit:
    return circuit.Deposit(
        commune=asked.commune.slug,
        circuit=ARRETE,
        reference=asked.reference,
        objet=draft.subject,
        numero=number,
        date=draft.day.isoformat(),
        echeance="",
        matiere=asked.get("matiere"),
        nature=asked.model.nature,
        transmission=asked.get("transmission"),
        signataire=asked.get("signataire") or signatory.HOLDER,
    )


def refused_act(commune: Commune, number: str) -> Acte | None:
    """An act that was written here and that somebody refused: it is corrected under its number.

    Args:
        number: of its dossier, as a page sends it.
    """
    if not (number.isascii() and number.isdecimal()):
        return None
    found = Acte.objects.filter(commune=commune.slug, dossier__pk=int(number[:18]), dossier__etat="refuse")
    return found.select_related("dossier", "vise").first()


def correct(user: Any, asked: Asked, act: Acte) -> Dossier:
    """Draw a refused act again, under its number and of its date, and put it at the beginning of its circuit.

    Raises:
        Faulty: what is to be corrected.
        Refused: the reason.
    """
    dossier = act.dossier
    if dossier is None:
        raise RefusedError("cet acte n'a plus de dossier", 404)
    asked = dataclasses.replace(asked, reference=dossier.reference, told={**asked.told, "date": act.date.isoformat()})
    draft, whose = composed(asked)
    document = ContentFile(drawing.draw(draft, whose, act.numero), name=f"{act.numero}.pdf")
    told = _build_deposit(asked, draft, act.numero)

    def note() -> None:
        Acte.objects.filter(pk=act.pk).update(objet=draft.subject, valeurs=_typed_fields(asked))

    return circuit.take_up(user, dossier, document, told.signataire, told=told, kept=note)


def _find_sent_dossier(asked: Asked) -> Dossier | None:
    return Dossier.objects.filter(reference=asked.reference, commune=asked.commune.slug).first()


def models_of(commune: Commune) -> list[Model]:
    """Models that a body may take."""
    return [one for one in drafting.models().values() if one.bodies == "tous" or not commune.siren_commune]
