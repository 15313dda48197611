"""The DGFiP's answer to a PES (PES Acquit): what Helios took, what it refused, and why.

Source: PES_V2_Acquit_Autonome.xsd (first form: an element for each fault) and PES_V2_Acquit_Autonome_V2.xsd (an element
for each bordereau, its pieces and their lines inside), CommunAck.xsd. EtatAck says 1 for taken and 0 for refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from creatic_agent import flow
from creatic_agent.errors import CreaticError

_SLIPS = {"PES_DepenseAller": "5", "PES_RecetteAller": "6"}  # which domain answers about bordereaux of which part
_SLIPS_MAX = 100_000  # bordereaux of a flow; the largest have hundreds
_STATES = {"1": True, "true": True, "0": False, "false": False}
_DOMAINS = {
    "0": "technique", "1": "signature technique", "2": "signature globale", "3": "signature du bordereau",
    "4": "pièces jointes", "5": "dépense", "6": "recette", "7": "rôle", "8": "budget", "9": "état de l'actif",
    "10": "état du passif", "11": "marché", "12": "facture", "99": "paramétrage",
}  # fmt: skip # a table
_FAULTS_MAX = 2000  # faults and names kept of an answer
_TEXT_MAX = 500  # characters, as in the schema
_SHOWN = 40  # lines of an account
UNSAID = "Sans réponse de la DGFiP"
# Where an element is, and the fields of its faults, in either form.
_WHERE = ("NumBord", "ExerciceBord", "NumPiece", "NumLigne", "IdUnique", "IdMarche")
_FAULT = ("NumAnoAck", "LibelleAnoAck")


class AcquitError(CreaticError, cause="acquit"):
    """The document does not say what became of the flow; the text is French."""


@dataclass(frozen=True)
class Fault:
    """Something refused, and the DGFiP's reason."""

    place: str
    code: str = ""
    label: str = ""

    def __str__(self) -> str:
        reason = self.label or self.code.removeprefix("ERREUR_").replace("_", " ").lower()
        code = f" ({self.code})" if self.code and self.label else ""
        return f"{self.place} : {reason or 'refus sans explication de la DGFiP'}{code}"


@dataclass(frozen=True)
class Slip:
    """A bordereau, as a flow or an answer names it; what is not said is empty."""

    domain: str
    number: str
    year: str

    def __str__(self) -> str:
        return _place({"DomaineAck": self.domain, "NumBord": self.number, "ExerciceBord": self.year})


@dataclass
class Acquit:
    """What became of each element of a flow: how many, and the first names and faults of each kind."""

    taken: int = 0
    refused: int = 0
    taken_names: list[str] = field(default_factory=list)
    refused_names: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)  # of what was refused
    remarks: list[Fault] = field(default_factory=list)  # of what was taken all the same
    unsaid: list[Slip] = field(default_factory=list)  # bordereaux that were sent, of which nothing is said
    slips: set[Slip] = field(default_factory=set, repr=False)  # bordereaux of which something is said
    whole: bool = False  # the flow itself is refused

    def match(self, sent: BinaryIO) -> None:
        """Say of which bordereaux of the flow that was sent nothing is said. Raises AcquitError."""
        if self.whole:
            return
        found = _slips(sent)
        alone = Counter((one.domain, one.number) for one in found)
        for one in found:
            # The year, and the domain, may be left out by the answer: then it says so of one bordereau, not of two.
            named = {one, Slip("", one.number, one.year)}
            if alone[one.domain, one.number] == 1:
                named |= {Slip(one.domain, one.number, ""), Slip("", one.number, "")}
            if not named & self.slips:
                self.unsaid.append(one)

    def to_dict(self) -> dict[str, Any]:
        """For the journal and resume.json."""
        return {
            "refuses": self.refused_names,
            "acceptes": self.taken_names,
            "sans_reponse": [str(one) for one in self.unsaid[:_FAULTS_MAX]],
            "motifs": [{"element": one.place, "code": one.code, "libelle": one.label} for one in self.faults],
        }

    def account(self) -> str:
        """In French, a line for each thing: what was refused and why, then what was taken."""
        lines = []
        if self.refused:
            names = _listed(self.refused_names, self.refused, 3)
            share = f"{self.refused} élément(s) sur {self.taken + self.refused}"
            lines.append(f"refusé {'par' if self.taken else 'en entier par'} la DGFiP, {share} : {names}.")
        lines += [f"{one}." for one in self.faults[:_SHOWN]]
        if len(self.faults) > _SHOWN:
            lines.append("Les autres motifs sont dans acquittement.xml.")
        if self.unsaid:
            names = _listed([str(one) for one in self.unsaid[:_SHOWN]], len(self.unsaid), _SHOWN)
            lines.append(f"{UNSAID} : {names}.")
        lines += [f"Signalé par la DGFiP : {one}." for one in self.remarks[:_SHOWN]]
        if self.taken and self.refused:
            lines.append(f"Accepté par la DGFiP : {_listed(self.taken_names, self.taken, _SHOWN)}.")
        return "\n".join(lines)


def _listed(names: list[str], count: int, shown: int) -> str:
    return ", ".join(names[:shown]) + (f", et {count - shown} autre(s)" if count > shown else "")


def parse(stream: BinaryIO) -> Acquit:
    """Read a PES Acquit. Raises AcquitError when it does not say, for each element, whether it was taken."""
    reader = _Reader()
    try:
        root = flow.read(stream, reader.start, reader.end)
    except flow.FlowError as error:
        raise AcquitError(f"l'acquittement reçu n'est pas du XML lisible ({error})") from error
    if root.rpartition("}")[2] != "PES_ACQUIT":
        raise AcquitError("le document reçu à la place de l'acquittement n'en est pas un")
    if not reader.acquit.taken and not reader.acquit.refused:
        raise AcquitError("l'acquittement reçu ne dit le sort d'aucun élément du flux")
    return reader.acquit


def _slips(sent: BinaryIO) -> list[Slip]:
    """The bordereaux of a flow, each once, in its order."""
    found: dict[Slip, None] = {}
    named: dict[str, str] = {}

    def start(path: flow.Path, attributes: Mapping[str, str]) -> None:
        if len(path) == 5 and path[2:4] == ("Bordereau", "BlocBordereau") and path[4] in ("IdBord", "Exer"):
            named[path[4]] = attributes.get("V", "")

    def end(path: flow.Path) -> None:
        if len(path) == 3 and path[0] == "PES_Aller" and path[1] in _SLIPS and path[2] == "Bordereau":
            found[Slip(_SLIPS[path[1]], _number(named.get("IdBord", "")), _number(named.get("Exer", "")))] = None
            named.clear()
            if len(found) > _SLIPS_MAX:
                raise AcquitError(f"le flux a plus de {_SLIPS_MAX} bordereaux : sa réponse n'est pas rapprochée")

    try:
        flow.read(sent, start, end)
    except flow.FlowError as error:
        raise AcquitError(f"le flux envoyé ne se relit pas ({error})") from error
    return list(found)


def _number(text: str) -> str:
    """A number, whichever zeros are written before it."""
    text = " ".join(text.split())[:_TEXT_MAX]
    return text.lstrip("0") or text[:1]


class _Reader:
    """Follows the elements of an answer."""

    def __init__(self) -> None:
        self.acquit = Acquit()
        self._element: dict[str, str] | None = None
        self._states: list[bool | None] = []
        self._fault: dict[str, str] = {}
        self._faults: list[Fault] = []

    def start(self, path: flow.Path, attributes: Mapping[str, str]) -> None:
        name, value = path[-1], " ".join(attributes.get("V", "").split())[:_TEXT_MAX]
        if name == "ElementACQUIT" and self._element is None:
            self._element, self._states, self._fault, self._faults = {}, [], {}, []
        elif name == "ElementACQUIT" or (name == "EtatAck" and self._element is None):
            raise AcquitError(f"l'acquittement reçu a un « {name} » là où il n'y en a pas")
        elif self._element is None:
            return
        elif name == "EtatAck":
            if path[-2] == "ElementACQUIT" or _STATES.get(value) is not True:  # a piece that is taken is not the whole
                self._states.append(_STATES.get(value))
        elif name in _FAULT:
            self._fault[name] = value
        elif name in (*_WHERE, "DomaineAck"):
            self._element[name] = value

    def end(self, path: flow.Path) -> None:
        name = path[-1]
        if self._element is None:
            return
        if name == "Erreur":
            self._keep_fault(self._element)
        elif name == "DetailLigne":
            self._element.pop("NumLigne", None)
        elif name == "DetailPiece":
            self._element.pop("NumPiece", None)
        elif name == "ElementACQUIT":
            self._close(self._element)
            self._element = None

    def _keep_fault(self, element: Mapping[str, str]) -> None:
        if len(self._faults) < _FAULTS_MAX:
            self._faults.append(Fault(_place(element), *(self._fault.get(name, "") for name in _FAULT)))
        self._fault = {}

    def _close(self, element: dict[str, str]) -> None:
        taken = all(self._states)
        if not self._states or None in self._states:
            raise AcquitError(f"l'acquittement reçu ne dit pas le sort de « {_place(element)} » (EtatAck)")
        if self._fault or not (self._faults or taken):  # the first form, or no reason at all
            self._keep_fault(element)
        acquit = self.acquit
        acquit.taken += taken
        self._name(element, taken)
        acquit.refused += not taken
        kept, names = (acquit.remarks, acquit.taken_names) if taken else (acquit.faults, acquit.refused_names)
        kept += self._faults[: _FAULTS_MAX - len(kept)]
        if len(names) < _FAULTS_MAX:
            names.append(_place(element))

    def _name(self, element: Mapping[str, str], taken: bool) -> None:
        """Note of which bordereau an element says something."""
        domain, number = element.get("DomaineAck", ""), _number(element.get("NumBord", ""))
        if not number:
            self.acquit.whole |= not taken and not (element.get("IdUnique") or element.get("IdMarche"))
        elif (not taken or domain in ("", *_SLIPS.values())) and not element.get("IdUnique"):
            # A signature, an attachment, a form that is good is no fate of its bordereau; one that is not is one.
            known = domain if domain in _SLIPS.values() else ""
            self.acquit.slips.add(Slip(known, number, _number(element.get("ExerciceBord", ""))))
            if len(self.acquit.slips) > _SLIPS_MAX:
                raise AcquitError(f"l'acquittement reçu nomme plus de {_SLIPS_MAX} bordereaux")


def _place(element: Mapping[str, str]) -> str:
    """What an element, or a part of it, is called by people."""
    domain = _DOMAINS.get(element.get("DomaineAck", ""), "")
    if element.get("NumBord"):
        inside = ", ".join(text for text in (domain, element.get("ExerciceBord", "")) if text)
        text = f"bordereau {element['NumBord']}" + (f" ({inside})" if inside else "")
    elif element.get("IdUnique"):
        text = f"pièce jointe {element['IdUnique']}"
    elif element.get("IdMarche"):
        text = f"marché {element['IdMarche']}"
    else:
        text = f"flux ({domain})" if domain else "flux"
    for key, label in (("NumPiece", "pièce"), ("NumLigne", "ligne")):
        text += f", {label} {element[key]}" if element.get(key) else ""
    if element.get("NumBord") and element.get("IdUnique"):
        text += f", pièce jointe {element['IdUnique']}"
    return text
