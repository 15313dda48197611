"""What is checked before anything leaves: number, date, subject, types and the files themselves.

The rules are those of S²LOW and of the ACTES protocol; every refusal is a French sentence that names the
field, says what is wrong and what to do.
"""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from creatic_agent import flow, totem
from creatic_agent.act import File
from creatic_agent.budget import MATTER

from .classification import Classification, Nature, fold
from .config import Config
from .description import Description
from .envelope import Envelope, encoding_fault

# Source: S²LOW, ActesTransaction::NUMBER_REGEXP.
NUMBER = re.compile(r"([A-Z0-9][A-Z0-9_]{0,13})?[A-Z0-9]")
_KEPT = ("number", "subject", "date", "nature", "nature_short", "type", "file", "paper", "on_hold")  # in the journal
_KEPT_NUMBER_MAX = 60  # characters, as the parapheur takes them
SUBJECT_MAX = 499
# Typographic characters that ISO-8859-1 lacks and what carries the same meaning in it.
_LATIN1 = str.maketrans(
    {
        "œ": "oe",
        "Œ": "OE",
        "’": "'",
        "‘": "'",
        "‚": "'",
        "ʼ": "'",
        "“": '"',
        "”": '"',
        "„": '"',
        "–": "-",
        "—": "-",
        "‑": "-",
        "‐": "-",
        "−": "-",
        "…": "...",
        "•": "-",
        "€": "EUR",
        "™": "TM",
        "Ÿ": "Y",
        "ﬁ": "fi",
        "ﬂ": "fl",
        "\u00a0": " ",
        "\u202f": " ",
        "\u2009": " ",
        "\u200b": "",
        "\ufeff": "",
        "\u00ad": "",
    }
)
_READ_MAX = 40_000_000  # bytes of a PDF that are read to know that it is one
_IMAGE_HEADS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")


@dataclass(frozen=True, kw_only=True)
class Submission(Description):
    """An act that is ready to be submitted: every field is in the form that the TdT expects."""

    nature_short: str  # DE, AR…

    @property
    def levels(self) -> tuple[str, ...]:
        """Its matter, a level at a time."""
        return tuple(filter(None, self.matter.split(".")))

    def to_dict(self) -> dict[str, object]:
        """As the journal keeps it."""
        return {
            **{name: getattr(self, name) for name in _KEPT},
            "matter": list(self.levels),
            "annexes": [[annex.name, annex.type] for annex in self.annexes],
            "remarks": list(self.remarks),
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Submission:
        """Inverse of to_dict."""
        return cls(
            **{name: raw[name] for name in _KEPT if name != "file"},
            matter=".".join(raw["matter"]),
            main=File(raw["file"]),
            annexes=tuple(File(name, type=kind) for name, kind in raw["annexes"]),
            remarks=tuple(raw["remarks"]),
        )


def to_latin1(text: str) -> tuple[str, list[str], list[str]]:
    """One line of text that ISO-8859-1 can carry.

    Returns the text, the remarks on what was replaced, and the characters that cannot be carried.
    """
    composed = " ".join(unicodedata.normalize("NFC", text).split())
    replaced = sorted({char for char in composed if ord(char) in _LATIN1 and not char.isspace() and char.isprintable()})
    clean = composed.translate(_LATIN1)
    remarks = []
    if replaced:
        pairs = ", ".join(f"« {char} » devient « {char.translate(_LATIN1)} »" for char in replaced)
        remarks.append(f"le protocole n'admet que l'ISO-8859-1 : {pairs}")
    lost = [char for char in dict.fromkeys(clean) if ord(char) > 0xFF or unicodedata.category(char) == "Cc"]
    return clean, remarks, lost


def check_number(number: str) -> str | None:
    """None when S²LOW accepts the number, else why not."""
    if not number:
        return "champ « numero » absent ; indiquez le numéro de l'acte (exemple : 2026_012)."
    if NUMBER.fullmatch(number):
        return None
    if len(number) > 15:
        return f"champ « numero » : « {number} » compte {len(number)} caractères ; 15 au plus."
    proposal = re.sub(r"[^A-Z0-9]+", "_", fold(number).upper()).strip("_")[:15].strip("_")
    hint = f" ; proposition : {proposal}" if NUMBER.fullmatch(proposal) else ""
    rule = "seuls A-Z, 0-9 et _ sont admis, sans _ au début ni à la fin"
    return f"champ « numero » : « {number} » n'est pas admis ({rule}){hint}."


def check_date(text: str, today: date) -> tuple[str, str | None]:
    """The date as YYYY-MM-DD and None, or "" and why it is refused. Accepts 2026-11-25 and 25/11/2026."""
    if not text:
        return "", "champ « date » absent ; indiquez la date de la décision (exemple : 2026-11-25)."
    for form in ("%Y-%m-%d", "%d/%m/%Y"):
        try:
            day = datetime.strptime(text, form).date()
        except ValueError:
            continue
        if day > today:
            return (
                "",
                f"champ « date » : le {day:%d/%m/%Y} est dans le futur ; un acte se transmet une fois pris.",
            )
        return day.isoformat(), None
    return "", f"champ « date » : « {text} » n'est pas une date ; écrivez-la ainsi : 2026-11-25."


class _Spared(io.BufferedReader):
    """A document that is not read whole when it is big, as pypdf does to mend what is damaged."""

    _left = _READ_MAX

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(self._left + 1 if size is None or size < 0 else min(size, self._left + 1))
        self._left -= len(content)
        if self._left < 0:
            raise ValueError("too big to be mended")
        return content


def check_pdf(path: Path) -> str | None:
    """None when the file is a PDF the TdT can stamp, else why not. The content counts, not the name."""
    from pypdf import PdfReader  # an eighth of a start, and most commands, each minute, read none

    name = path.name
    size = path.stat().st_size
    if size == 0:
        return f"« {name} » est vide (0 octet) ; déposez de nouveau le document."
    with _Spared(io.FileIO(path)) as stream:
        if b"%PDF-" not in stream.read(1024):
            return f"« {name} » n'est pas un PDF, quel que soit son nom ; exportez le document en PDF."
        stream.seek(0)
        try:
            reader = PdfReader(stream, strict=False)
            encrypted = reader.is_encrypted
            pages = 0 if encrypted else len(reader.pages)
        except Exception as error:  # noqa: BLE001 # pypdf raises about anything on a damaged file
            return f"« {name} » est un PDF endommagé ({type(error).__name__}) ; exportez-le de nouveau."
    if encrypted:
        return f"« {name} » est protégé par un mot de passe ou des restrictions ; déposez-le sans protection."
    if pages == 0:
        return f"« {name} » est un PDF sans page ; exportez-le de nouveau."
    return None


def check_annex(path: Path) -> str | None:
    """None when the annex is a PDF, a PNG or a JPEG, else why not."""
    if path.stat().st_size == 0:
        return f"annexe « {path.name} » vide (0 octet) ; déposez de nouveau le document."
    with path.open("rb") as stream:
        if stream.read(8).startswith(_IMAGE_HEADS):
            return None
    problem = check_pdf(path)
    return f"annexe {problem}" if problem else None


def check_size(total: int, limit: int) -> str | None:
    """None when the TdT takes that many bytes, else why not."""
    if total < limit:
        return None
    return (
        f"les fichiers pèsent {total / 1e6:.0f} Mo ; le TdT refuse un envoi de {limit / 1e6:.0f} Mo ou plus. "
        "Réduisez les images du PDF ou transmettez les annexes par voie papier (document_papier: oui)."
    )


def check_act(
    description: Description, folder: Path, classification: Classification, today: date, config: Config
) -> tuple[Submission | None, list[str]]:
    """Check a whole act in its folder. Returns the act, or None and every fault found."""
    faults: list[str] = []

    def add(problem: str | None) -> None:
        if problem:
            faults.append(problem)

    add(check_number(description.number))
    day, problem = check_date(description.date, today)
    add(problem)
    subject, remarks, lost = to_latin1(description.subject)
    if not subject:
        faults.append("champ « objet » absent ; indiquez l'objet de l'acte.")
    if lost:
        shown = ", ".join(f"« {char} » (U+{ord(char):04X})" for char in lost)
        faults.append(f"champ « objet » : caractères impossibles à transmettre en ISO-8859-1 : {shown} ; ôtez-les.")
    if len(subject) > SUBJECT_MAX:
        faults.append(f"champ « objet » : {len(subject)} caractères ; {SUBJECT_MAX} au plus. Raccourcissez-le.")
    faults += _check_transmission(description, config)
    nature = _check_nature(description, classification, faults)
    _check_matter(description.matter, classification, faults)
    if totem.is_xml(folder / description.file):
        remarks += _check_budget(description, day, nature, folder, config, faults)
    else:
        add(check_pdf(folder / description.file))
    for annex in description.annexes:
        add(check_annex(folder / annex.name))
    names = [description.file, *(annex.name for annex in description.annexes)]
    add(check_size(sum((folder / name).stat().st_size for name in names), config.max_bytes))
    if faults or nature is None:
        return None, faults
    checked = {"subject": subject, "date": day, "nature": nature.code, "remarks": (*description.remarks, *remarks)}
    return Submission(**vars(description) | checked, nature_short=nature.short), []


def check_kept(
    description: Description, folder: Path, today: date, config: Config
) -> tuple[Submission | None, list[str]]:
    """Check an act that does not go out (CGCT, L2131-2). Returns the act, or None and every fault found.

    Neither the TdT nor the préfecture will read it: its number is the one of the commune's register, and nothing of the
    nomenclature is asked.
    """
    faults: list[str] = []
    number, subject = (" ".join(text.split()) for text in (description.number, description.subject))
    if not 0 < len(number) <= _KEPT_NUMBER_MAX:
        faults.append(f"champ « numero » : indiquez celui du registre, en {_KEPT_NUMBER_MAX} caractères au plus.")
    if not 0 < len(subject) <= SUBJECT_MAX:
        faults.append(f"champ « objet » : indiquez l'objet de l'acte, en {SUBJECT_MAX} caractères au plus.")
    day, problem = check_date(description.date, today)
    problems = [problem, check_pdf(folder / description.file)]
    if totem.is_xml(folder / description.file) or fold(description.nature) in ("5", "bf"):
        problems = [problem, "champ « transmission » : un budget se transmet toujours (CGCT, L1612-8 et L2131-2)."]
    problems += [check_annex(folder / annex.name) for annex in description.annexes]
    names = [description.file, *(annex.name for annex in description.annexes)]
    problems.append(check_size(sum((folder / name).stat().st_size for name in names), config.max_bytes))
    faults += [one for one in problems if one]
    if faults:
        return None, faults
    checked = {"number": number, "subject": subject, "date": day}
    return Submission(**vars(description) | checked, nature_short=description.nature), []


def _check_budget(
    description: Description, day: str, nature: Nature | None, folder: Path, config: Config, faults: list[str]
) -> list[str]:
    """Check a budget, in one envelope with its délibération (a PDF annex). Returns the remarks."""
    name = description.file
    if nature is not None and nature.code != "5":
        faults.append(f"champ « nature » : « {name} » est un budget (XML) ; écrivez 5 (documents budgétaires).")
    if description.matter and not f"{description.matter}.".startswith(f"{MATTER}."):
        faults.append(f"champ « classification » : un budget (XML) se transmet en {MATTER}, pas ailleurs.")
    if not any((folder / annex.name).suffix.lower() == ".pdf" for annex in description.annexes):
        faults.append(f"champ « annexes » : joignez à « {name} » la délibération qui l'adopte, en PDF.")
    wrong, remarks = totem.check(folder / name, config.siren, day, config.schema_budgetaire)
    faults += wrong
    return remarks


def _check_transmission(description: Description, config: Config) -> list[str]:
    """Why an act of which nothing is said does not leave: its matter is one where the commune has it said."""
    stays = next((one for one in config.matieres_a_dire if f"{description.matter}.".startswith(f"{one}.")), "")
    if not stays or description.transmission:
        return []
    return [
        f"champ « transmission » absent : en matière {description.matter} (liste du groupement : {stays}), des actes "
        "ne se transmettent pas (CGCT, L2131-2). Écrivez « transmission: oui » pour qu'il parte, « transmission: non » "
        "pour qu'il soit gardé, et versé aux archives, sans partir."
    ]


def _check_nature(description: Description, classification: Classification, faults: list[str]) -> Nature | None:
    choices = ", ".join(f"{item.code} ({item.label})" for item in sorted(classification.natures.values(), key=str))
    if not description.nature:
        faults.append(f"champ « nature » absent ; choisissez parmi : {choices}.")
        return None
    nature = classification.nature(description.nature)
    if nature is None:
        faults.append(f"champ « nature » : « {description.nature} » est inconnue ; choisissez parmi : {choices}.")
        return None
    wanted = [("champ « type »", description.type)]
    wanted += [(f"annexe « {annex.name} », champ « type »", annex.type) for annex in description.annexes]
    allowed = ", ".join(f"{code} ({label})" for code, label in sorted(nature.types.items()))
    for where, kind in wanted:
        if not kind:
            faults.append(f"{where} absent ; types admis pour « {nature.label} » : {allowed}.")
        elif kind not in nature.types:
            faults.append(f"{where} : « {kind} » n'est pas admis pour « {nature.label} » ; types admis : {allowed}.")
    return nature


def _check_matter(matter: str, classification: Classification, faults: list[str]) -> None:
    version = f"nomenclature du {classification.version:%d/%m/%Y}"
    if not matter:
        faults.append("champ « classification » absent ; indiquez la matière (exemple : 1.1).")
    elif matter not in classification.matters:
        faults.append(f"champ « classification » : la matière « {matter} » n'existe pas dans la {version}.")
    elif "." not in matter:
        inside = [
            f"{code} ({label})" for code, label in classification.matters.items() if code.startswith(f"{matter}.")
        ]
        faults.append(
            f"champ « classification » : « {matter} » est trop large ; choisissez une sous-matière : "
            f"{', '.join(inside[:12])}."
        )


class _Signatures:
    """Whether the bordereaux of a flow bear a signature that names them; as it is read.

    Signed is the whole flow, or each bordereau of expenses and of receipts. What a signature is worth is for the
    parapheur and the DGFiP to say.
    """

    _FLOWS = ("PES_DepenseAller", "PES_RecetteAller")

    def __init__(self) -> None:
        self.unsigned: list[int] = []
        self._count = 0
        self._whole = False
        self._flow = self._slip = ""  # Id of the flow, of the bordereau being read
        self._signed = False

    def _of_slip(self, place: flow.Path) -> bool:
        return len(place) > 2 and place[0] == "PES_Aller" and place[1] in self._FLOWS and place[2] == "Bordereau"

    def start(self, place: flow.Path, attributes: Mapping[str, str]) -> None:
        identifier = attributes.get("Id", "")
        if len(place) == 1:
            self._flow = identifier
        elif len(place) == 3 and self._of_slip(place):
            self._count += 1
            self._slip, self._signed = identifier, False
        elif place[-3:] == ("Signature", "SignedInfo", "Reference"):
            target = attributes.get("URI")
            if len(place) == 4 and place[0] == "PES_Aller":
                self._whole = self._whole or target in ("", f"#{self._flow or '-'}")
            elif len(place) == 6 and self._of_slip(place):
                self._signed = self._signed or target == f"#{self._slip or '-'}"

    def end(self, place: flow.Path) -> None:
        if len(place) == 3 and self._of_slip(place) and not self._signed:
            self.unsigned.append(self._count)

    def fault(self, name: str) -> list[str]:
        """Why the flow does not leave, if it does not (CGCT, D1617-23)."""
        if self._whole or not self.unsigned:
            return []
        shown = ", ".join(map(str, self.unsigned[:5])) + ("…" if len(self.unsigned) > 5 else "")
        return [
            f"« {name} » n'est pas signé (bordereau n° {shown} sur {self._count}), et la commune signe ses flux : la "
            "signature du bordereau certifie le service fait et rend les titres exécutoires (CGCT, D1617-23). "
            "Portez-le au parapheur, ou signez-le (signer-acte) et déposez le flux signé."
        ]


def check_pes(path: Path, siren: str, limit: int, signed: bool = False) -> list[str]:
    """Every reason why the file cannot be sent to Helios, or an empty list.

    Args:
        signed: its bordereaux must bear their signature.
    """
    size = path.stat().st_size
    if size == 0:
        return [f"« {path.name} » est vide (0 octet) ; exportez-le de nouveau du logiciel de comptabilité."]
    too_big = check_size(size, limit)
    if too_big:
        return [too_big]
    signatures, envelope = _Signatures(), Envelope()

    def hear(place: flow.Path, attributes: Mapping[str, str]) -> None:
        signatures.start(place, attributes)
        envelope.start(place, attributes)

    try:
        with path.open("rb") as stream:
            root = flow.read(stream, hear, signatures.end)
            stream.seek(0)
            misread = encoding_fault(stream, path.name)
    except flow.FlowError as error:
        return [f"« {path.name} » n'est pas du XML lisible ({error}) ; exportez-le de nouveau."]
    if root.rpartition("}")[2] != "PES_Aller":
        return [f"« {path.name} » n'est pas un flux PES (élément PES_Aller attendu, {root} trouvé)."]
    siret = envelope.owner
    if not re.fullmatch(rf"{siren}[0-9]{{0,5}}", siret):
        return [
            f"« {path.name} » porte l'identifiant « {siret} » (EnTetePES/IdColl), qui n'est pas de la collectivité "
            f"{siren} ; vérifiez la collectivité choisie dans le logiciel de comptabilité."
        ]
    faults = [*([misread] if misread else []), *envelope.faults(path.name)]
    return faults + (signatures.fault(path.name) if signed else [])
