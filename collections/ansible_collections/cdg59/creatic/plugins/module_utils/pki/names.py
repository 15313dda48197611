# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""How certificates and their files write the names of people and communes."""

from __future__ import annotations

import re
import unicodedata


def slug(text: str) -> str:
    """Return a text as lower-case letters, digits and dashes: « Secrétariat général » → secretariat-general."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


# Names by which servers and machines are known, by what bears them: no person does, nor anything that a file writes.
KINDS: dict[str, tuple[str, ...]] = {
    "connector": ("Connecteur",),
    "machine": ("Machine - ",),
    "service": ("Attestations", "Sceau", "Cachet du", "Preuves de", "Passerelle", "Parapheur", "Horodatage"),
    "authority": ("AC ",),
}
PERSON = "person"
HOLDERS = (PERSON, "connector", "machine", "service")
"""Who may ask for a certificate; authorities make their own."""
# Letters of Latin alphabets that no accent makes of another letter.
_LETTERS = str.maketrans({"œ": "oe", "æ": "ae", "ß": "ss", "ø": "o", "đ": "d", "ł": "l", "ı": "i", "ð": "d", "þ": "th"})
UNSEEN = ("Cc", "Cf", "Zl", "Zp", "Cs", "Co")
"""Categories of characters that nobody sees."""
_SHORT = 4  # a word of so few letters has no plural here: a person may be called Ács
_FOLDERS = ("flotte", "journaux")  # of the machine's own certificates (roles flotte and pki_client)


def skeleton(text: str) -> str:
    """What remains of a name once case, accents, spaces, dashes and styles of letters are forgotten.

    Two names with one skeleton are one name for who reads them: « MACHINE–x », « Ｍachine - x », « Machine  -  X ».
    """
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold().translate(_LETTERS))
    seen = "".join(one for one in plain if unicodedata.category(one) not in ("Mn", *UNSEEN))
    return "-".join(re.findall(r"[^\W_]+", seen))


def kind_of(name: str) -> str:
    """What a common name says that its holder is: one of `HOLDERS`, or an authority. Who is not told is a person."""
    found = skeleton(name)
    for kind, words in KINDS.items():
        for word in words:
            # Whole, alone or many of it: a person may be called Sceaux, or Machinet.
            first = skeleton(word)
            if re.match(rf"{first}{'s?' if len(first) > _SHORT else ''}(-|$)", found):
                return kind
    return "machine" if found in _FOLDERS else PERSON


def is_reserved(name: str) -> bool:
    """Whether the first word of a name is one by which machines or services are known, and no longer word."""
    first = {skeleton(word).split("-")[0] for words in KINDS.values() for word in words}
    return skeleton(name).split("-")[0] in first


def strange(text: str) -> str:
    """Give the first letter or digit of a name that is of no Latin alphabet, empty when there is none.

    They look like ours, and are others: « Маchine » begins by two letters of Cyrillic.
    """
    for one in unicodedata.normalize("NFKC", text):
        plain = unicodedata.normalize("NFD", one.casefold().translate(_LETTERS))
        if one.isalnum() and not plain[:1].isascii():
            return one
    return ""


# What joins an institution's name to another, whatever its dash: the GED and the parapheur write « Bergues - Accueil ».
_DASHES = r"\-\u02d7\u2010-\u2015\u2043\u207b\u208b\u2212\u2500\u2501\u2e3a\u2e3b\u30fc\ufe58\ufe63\uff0d~"
_JOINED = re.compile(rf"(?:^|\s)[{_DASHES}]+(?=\s|$)")


def is_joined(text: str) -> bool:
    """Whether a name reads as two, joined by a dash between spaces (of any width), or begins or ends as half of it."""
    return bool(skeleton(text) and _JOINED.search(text))


def pc_organization(name: str) -> str:
    """Return the organization which a commune's certificates bear: « Commune de Lille », « Commune d'Avesnes »."""
    elided = slug(name)[:1] in tuple("aeiouy")
    return f"Commune d'{name}" if elided else f"Commune de {name}"
