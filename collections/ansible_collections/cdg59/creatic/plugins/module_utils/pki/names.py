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
_LIGATURES = str.maketrans(
    {"œ": "oe", "æ": "ae", "ß": "ss", "ø": "o", "đ": "d", "ł": "l", "ı": "i", "ð": "d", "þ": "th"}
)
UNSEEN = ("Cc", "Cf", "Zl", "Zp", "Cs", "Co")
"""Categories of characters that nobody sees."""
_MAX_SHORT_WORD_LENGTH = 4  # a word of so few letters has no plural here: a person may be called Ács
_FOLDERS = ("flotte", "journaux")  # of the machine's own certificates (roles flotte and pki_client)


def skeleton(text: str) -> str:
    """What remains of a name once case, accents, spaces, dashes and styles of letters are forgotten.

    Two names with one skeleton are one name for who reads them: « MACHINE–x », « Ｍachine - x », « Machine  -  X ».
    """
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold().translate(_LIGATURES))
    seen = "".join(one for one in plain if unicodedata.category(one) not in ("Mn", *UNSEEN))
    return "-".join(re.findall(r"[^\W_]+", seen))


def kind_of(name: str) -> str:
    """What a common name says that its holder is: one of `HOLDERS`, or an authority. Who is not told is a person."""
    found = skeleton(name)
    for kind, words in KINDS.items():
        for word in words:
            # Whole, alone or many of it: a person may be called Sceaux, or Machinet.
            first = skeleton(word)
            if re.match(rf"{first}{'s?' if len(first) > _MAX_SHORT_WORD_LENGTH else ''}(-|$)", found):
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
        plain = unicodedata.normalize("NFD", one.casefold().translate(_LIGATURES))
        if one.isalnum() and not plain[:1].isascii():
            return one
    return ""


CHARACTER = (
    r"(?:[A-Za-z0-9 '.()&/:_@*=!?#$%\[\]^`{|}~-]|\\[,+\"\\<>;#=]"
    r"|\\C[34]\\[89AB][0-9A-F]|\\C5\\(?:[89A][0-9A-F]|B[0-9A-E])|\\C6\\(?:A[01F]|B0)"
    r"|\\C7\\(?:8[D-F]|9[0-9A-C]|A[6-9])|\\C8\\9[89ABEF]"
    r"|\\E1\\(?:B[89]\\[89AB][0-9A-F]|BA\\(?:[8AB][0-9A-F]|9[0-9E])|BB\\(?:[89A][0-9A-F]|B[0-9]))"
    r"|\\C2\\(?:A[79ABE]|B[0-379A-E])|\\E2\\80\\(?:9[0-589A-F]|A[0126]|B[239A])"
    r"|\\E2\\(?:81\\(?:83|84)|82\\AC|84\\(?:96|A2)|86\\92|88\\92))"
)
"""Expression of one character of a holder's name, as nginx writes subjects (RFC 2253).

It is the one table: what the authority certifies (`unknown_sign`) is what doors take (filter persons_of), and
`creatic_agent.identity` takes all of it.

ASCII, as it is or escaped, accented letters as one character each (`composed`), Vietnamese ones too, the signs that
people write. Letters of other alphabets, and marks alone, would write a reserved name another way.
"""
_CHARACTER_PATTERN = re.compile(CHARACTER)
_LOOKALIKE_CLASSES = {"i": "[il1|]", "l": "[il1|]", "o": "[o0]", "m": "(?:m|rn)"}
# What the eye may take for a letter. In a long word, whatever is no ASCII: nginx takes no parameter of 4 kB. A short
# one is told to the letter: Aÿ is a commune.
_ANY = r"(?:\\..){2,3}"
_EXACT = {
    "a": r"\\C3\\[8A][0-5]|\\C4\\8[0-5]|\\C7\\8[DE]|\\E1\\B8\\8[01]|\\E1\\BA\\(?:A.|B[0-7])|\\C2\\AA",
    "c": r"\\C3\\[8A]7|\\C4\\8[6-9A-D]|\\E1\\B8\\8[89]|\\C2\\A9",
}
_NAME_END_PATTERN = r"(?![A-Za-z0-9]|\\C|\\E1)"


def _lookalike_pattern(name: str) -> str:
    """Expression of what reads as a reserved name: other accents, a zero for an O, spaces within it."""
    plain = [one for one in unicodedata.normalize("NFKD", name).casefold() if one.isascii() and one.isalpha()]
    if len(plain) <= _MAX_SHORT_WORD_LENGTH:
        return "".join(rf"(?:{one}|{_EXACT[one]})" for one in plain) + _NAME_END_PATTERN
    return " *".join(rf"(?:{_LOOKALIKE_CLASSES.get(one, one)}|{_ANY})" for one in plain) + "s?" + _NAME_END_PATTERN


READS_RESERVED = "(?i:" + "|".join(_lookalike_pattern(word) for words in KINDS.values() for word in words) + ")"
"""Expression of what reads as the name of a service or a machine, as nginx writes it."""


def composed(text: str) -> str:
    """A name with each accented letter as one character: what a Mac or a PDF gives may write it as two."""
    return unicodedata.normalize("NFC", text)


def as_read(name: str) -> str:
    """A name as people read it, to be compared: whatever its case, and however its accents are written."""
    return composed(composed(name).casefold())


def unknown_sign(name: str) -> str:
    """Give the first character of a holder's name that no door knows, empty when there is none."""
    return next((one for one in name if not _CHARACTER_PATTERN.fullmatch(_as_nginx_writes(one))), "")


def reads_as_reserved(name: str) -> bool:
    """Whether nginx's expressions take a person's name for a service's."""
    return bool(re.match(READS_RESERVED, "".join(map(_as_nginx_writes, name))))


def _as_nginx_writes(one: str) -> str:
    if one in ',+"\\<>;':
        return f"\\{one}"
    return one if one.isascii() else "".join(f"\\{byte:02X}" for byte in one.encode())


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
