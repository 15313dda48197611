"""Convocations by mail, without Plone: to which addresses, with which pieces, in which words (CGCT L2121-10).

An élu is written to at the address that they gave, on paper at home when they asked for it. Messages are French.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence

from creatic.deliberations import delays, rules

PAPER = "papier"
ATTACHED_MAX = 10_000_000
"""Bytes of the pieces of a mail, before their encoding: what most relays take."""
PAPERS_MAX = 19_000_000
"""Bytes of the convocation and the note: the passerelle takes 20 MB. The convocation leaves alone beyond (L2121-12)."""
DIARY = "seance.ics"
"""Name of the file for people's calendars that goes with a mail."""
PIECES_MAX = 50
"""Annexes of a mail: the passerelle takes a hundred pieces, and leaves the whole of what has more."""
# What became of one: the relay took it, refused it for good, was cut off so that nobody knows; handed over on paper.
ACCEPTED, REFUSED, UNSURE, HANDED = "accepte", "refuse", "incertain", "papier"
STATES = {
    ACCEPTED: "Pris par le relais de courriel",
    REFUSED: "Refusé par le relais de courriel",
    UNSURE: "Envoi incertain : le relais s'est tu avant de répondre",
    HANDED: "Remis sur papier",
}
TOLD_BY_RELAY = (ACCEPTED, REFUSED, UNSURE)
# RFC 5321 in ASCII, without the forms that no mailbox here has (quoted parts, literal addresses).
_ADDRESS = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}"
)
_MAX_ADDRESS_LENGTH = 254
_MEGABYTE_SIZE = 1_000_000


def is_address(text: str) -> bool:
    """Whether a text is one address, and nothing that would add a header or another recipient."""
    return len(text) <= _MAX_ADDRESS_LENGTH and len(text.partition("@")[0]) <= 64 and bool(_ADDRESS.fullmatch(text))


def read_addresses(text: str, members: Sequence[str]) -> dict[str, str]:
    """Read « Amina Benali : amina@exemple.fr », or « Amina Benali : papier », one a line.

    Args:
        text: the lines.
        members: the council; who is not in the lines is written to on paper.

    Raises:
        ValueError: all that is wrong, in French.
    """
    found: dict[str, str] = {}
    wrong = []
    for line in filter(str.strip, re.split(r"\r\n|[\r\n]", text)):
        name, colon, value = (part.strip() for part in line.partition(":"))
        shown = " ".join(line.split())[:80]
        if not colon:
            wrong.append(f"la ligne « {shown} » ne se lit pas : écrivez « Amina Benali : amina@exemple.fr »")
        elif name not in members:
            wrong.append(f"{name[:80]} n'est pas membre du conseil")
        elif name in found:
            wrong.append(f"{name} est écrit deux fois")
        elif value.lower() == PAPER:
            found[name] = PAPER
        elif is_address(value):
            found[name] = value
        else:
            wrong.append(
                f"l'adresse de {name}, « {value[:80]} », n'en est pas une : écrivez-en une seule, ou « papier »"
            )
    if wrong:
        raise ValueError(f"{' ; '.join(wrong)}.")
    return found


def fitting(sizes: Sequence[int], room: int) -> list[int]:
    """Ranks of the annexes that go with a mail, in order, as long as there is room for them, and not too many.

    Args:
        sizes: of each annex, in bytes.
        room: bytes that are left for them.
    """
    kept: list[int] = []
    for rank, size in enumerate(sizes):
        if size <= room and len(kept) < PIECES_MAX:
            kept.append(rank)
            room -= size
    return kept


def megabytes(size: int) -> str:
    """Write a size: 12,3 Mo."""
    return f"{max(size, _MEGABYTE_SIZE // 10) / _MEGABYTE_SIZE:.1f} Mo".replace(".", ",")


def heavy(left: Mapping[str, int]) -> str:
    """Say which annexes a mail does not hold, in words; "" for none."""
    if not left:
        return ""
    named = ", ".join(f"{name} ({megabytes(size)})" for name, size in left.items())
    most = f"{PIECES_MAX} annexes et {megabytes(ATTACHED_MAX)} au plus en tout"
    return f"de trop pour un courriel ({most}) : {named}"


def papers(note: bool) -> str:
    """What the convocation goes with, in words.

    Args:
        note: whether the law wants a note of synthesis with it (L2121-12).
    """
    return "la note explicative de synthèse et les projets" if note else "les projets de délibération"


def unsent(size: int, note: bool) -> str:
    """Say to the commune that the note and the projets were too heavy for the mail; "" when they went (size: bytes)."""
    if not size:
        return ""
    named = papers(note)
    return (
        f"La convocation est partie seule : {named} font {megabytes(size)}, de trop pour un courriel. Remettez-les aux "
        "élus qui ne les lisent pas dans leur espace (CGCT, L2121-12 et L2121-13)."
    )


def text(
    label: str, place: str, hour: str, subjects: Sequence[str], left: Mapping[str, int], version: int, note: bool,
    space: str = "", alone: int = 0,
) -> str:  # fmt: skip # the signature as one
    """Write the mail.

    Args:
        label: name of the meeting.
        place: where it is held.
        hour: when on that day, 18:30.
        subjects: the agenda.
        left: annexes that do not go with it, with their sizes.
        version: how many times this meeting was convened.
        note: whether the law wants a note of synthesis with it (L2121-12).
        space: address where the commune's élus read all of it, "" when none does (L2121-13).
        alone: bytes of the note and the projets, when they are too heavy to go with it; 0 when they do.
    """
    lines = ["Madame, Monsieur,", ""]
    if version > 1:
        lines += [f"Cette convocation (version {version}) remplace celle que vous avez reçue.", ""]
    lines += [f"Vous êtes convoqué(e) : {label}, à {hour.replace(':', ' h ')}, {place}.", "", "Ordre du jour :"]
    lines += [f"{rank}. {' '.join(subject.split())}" for rank, subject in enumerate(subjects, 1)]
    where = "Lisez-les à l'adresse ci-dessous, ou demandez-les" if space else "Demandez-les"
    if alone:
        lines += ["", "Ci-joint : la convocation."]
        lines += [f"Trop lourds pour un courriel ({megabytes(alone)}) : {papers(note)}."]
        lines += [f"{where} à la mairie (articles L2121-12 et L2121-13 du CGCT)."]
    else:
        lines += ["", f"Ci-joint : la convocation, {papers(note)}."]
    if left:
        lines += [f"Annexes {heavy(left)}. {where} à la mairie (article L2121-13 du CGCT)."]
    lines += [f"Le fichier joint {DIARY} met la séance dans votre agenda, ou l'y change de jour."]
    if space:
        lines += ["", "Avec votre identifiant, si la commune vous en a remis un, tout le dossier se lit ici :", space]
        lines += ["Ce que vous y ouvrez est noté, et montre que la convocation vous est parvenue."]
    lines += [
        "",
        "Un membre empêché peut donner pouvoir écrit à un autre, qui n'en porte qu'un (L2121-20).",
        "Pour recevoir les convocations sur papier, à votre domicile ou ailleurs, demandez-le à la mairie (L2121-10).",
        "",
    ]
    return "\n".join(lines)


def too_late(delay: delays.Delay, taken: datetime.date, held: datetime.date) -> str:
    """Say that a convocation left so late that the meeting may not be held on its day; "" when it may."""
    said = delay.problem(taken, held)
    return f"partie le {rules.french_date(taken)}, trop tard : {said}" if said else ""
