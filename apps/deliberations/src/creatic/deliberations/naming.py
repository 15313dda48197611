"""What looks like somebody's name in a text that goes on line, without Plone: shown to who confirms it, no more.

No list of words tells who is named (« Mme Dupont », « époux », « Jean Dupont », a private person who shares an élu's
surname): a person does, subject by subject, of a text that they were shown (CRPA, L312-1-2). So this tells too much
rather than too little, of élus too.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

UNREAD = "Objet en attente de vérification"
"""What the public reads in place of a subject that nobody confirmed: with its number and its result (L2121-25)."""
_NAME_WORD_PATTERN = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*\.?")  # « M.Dupont » is two


def _word_set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# After these, whatever comes is shown, small letters too.
_NAME_MARKS = _word_set(
    "m m. mr mr. mrs mm mm. mme mme. mmes mlle mlle. melle mlles monsieur madame messieurs mesdames mademoiselle "
    "mesdemoiselles dr dr. docteur me me. maître maitre pr pr. professeur sieur dame veuve veuf vve époux épouse épx "
    "conjoint conjointe concubin concubine compagnon compagne consort consorts famille familles ménage couple "
    "succession héritier héritiers hoirie hoirs indivision enfant enfants ayant ayants mineur mineure fils fille "
    "frère frères sœur soeur sœurs soeurs né née feu feue défunt défunte nommé nommée dénommé dénommée"
)
_PARTICLES = _word_set("d de du des l la le les van von der den di da del della dos el al ben bin y et ép épouse née")
_SMALL = _PARTICLES | _word_set(
    "à au aux avec dans en par pour sans sur sous un une ce cette son sa ses leur leurs qui que dont où ou ni"
)
# Words in capitals of which councils' subjects are full.
_ACRONYMS = _word_set(
    "ACTES AMO AOT ATSEM CAF CCAS CCI CDG CFU CGCT CIAS CLECT CNFPT CRAC DCM DETR DGF DGS DIA DPU DSIL EHPAD EPCI EPF "
    "ERP FCTVA MAPA MEL MSP OPAH PADD PAYFIP PLH PLU PLUI PLUIH PNR RGPD RH RIFSEEP SAFER SCOT SDIS SIVOM SIVU SPIC "
    "SRU TVA VEFA VRD ZAC ZAN ZFE"
)
_MAX_NAME_WORDS = 6  # words of a name
_PLACES = (
    "rue|avenue|av|boulevard|bd|place|impasse|allée|allee|chemin|route|square|cité|cite|résidence|residence|quai|cours|"
    "lotissement|hameau|clos|sentier|ruelle|passage|villa|appartement|logement|lieu-dit"
)
_PRIVATE = re.compile(
    rf"\b\d{{1,4}}\s?(?:bis|ter|quater|[A-D])?,?\s+(?:{_PLACES})\b[^,;:()\n]{{0,60}}"  # an address
    r"|[^\s@,;()]{1,64}@[^\s@,;()]{1,190}"
    r"|\b0\d(?:[ .-]?\d\d){4}\b"  # a telephone
    r"|\bnée?s? le \d{1,2}[^,;()\n]{0,20}",
    re.IGNORECASE,
)


def apparent(text: str) -> list[str]:
    """What of a text looks like a name, an address, or what reaches somebody, in its order, each once."""
    text = " ".join(unicodedata.normalize("NFC", text).split())
    words = list(_NAME_WORD_PATTERN.finditer(text))
    private = list(_PRIVATE.finditer(text))
    inside = {place for one in private for place in range(one.start(), one.end())}
    found: list[tuple[int, str]] = [(one.start(), one[0]) for one in private]
    at = 0
    while at < len(words):
        end = _after_mark(text, words, at) or _capitals_end(text, words, at)
        if end and words[at].start() not in inside:  # an address is told whole
            found.append((words[at].start(), text[words[at].start() : words[end - 1].end()]))
        at = end or at + 1
    return list(dict.fromkeys(one for _place, one in sorted(found)))


def _follows_word(text: str, words: list[re.Match[str]], at: int) -> bool:
    """Whether a word follows the one before it, with no more than a blank, a slash or an initial's point between."""
    return at < len(words) and text[words[at - 1].end() : words[at].start()].strip(" ./&") == ""


def _is_capital(word: str) -> bool:
    return word[:1].isupper() or word.partition("'")[2][:1].isupper() or word.partition("’")[2][:1].isupper()


def _strip_article(word: str) -> str:
    """A word as marks are written: « l'enfant » without its article."""
    return re.split("['’]", word)[-1].casefold()


def _after_mark(text: str, words: list[re.Match[str]], at: int) -> int:
    """Where ends who is named after a civility or a tie of kin; 0 when nobody is."""
    mark = _strip_article(words[at][0])
    if mark not in _NAME_MARKS or (mark == "m" and not words[at][0].isupper()):
        return 0
    end, named = at + 1, at + 1
    while end - at <= _MAX_NAME_WORDS and _follows_word(text, words, end):
        word = words[end][0]
        first = named == at + 1 and word.casefold() not in _SMALL
        if _is_capital(word) or _strip_article(word) in _NAME_MARKS or first:
            named = end + 1
        elif word.casefold() not in _PARTICLES:
            break
        end += 1
    return named if named > at + 1 else 0


def _capitals_end(text: str, words: list[re.Match[str]], at: int) -> int:
    """Where ends a run of words with capitals; 0 for none, or the first word of a sentence alone."""
    if not _is_capital(words[at][0]) or words[at][0] in _ACRONYMS:
        return 0
    end, named = at + 1, at + 1
    while _follows_word(text, words, end):
        word = words[end][0]
        if _strip_article(word) in _NAME_MARKS:  # who comes after it is told with it
            break
        if _is_capital(word) and word not in _ACRONYMS:
            named = end + 1
        elif word.casefold() not in _PARTICLES:
            break
        end += 1
    word = words[at][0]
    begins = at == 0 or text[words[at - 1].end() : words[at].start()].strip() in (":", "–", "-", "—", ".", ";")
    alone = named == at + 1 and begins and not (word.isupper() and len(word) > 1)
    return 0 if alone and at == 0 else named


def digest(*texts: str) -> str:
    """What stands for texts that somebody was shown, or confirmed: these ones and no others."""
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


def stands(kept: Mapping[str, Any] | None, title: str) -> bool:
    """Whether a confirmation is still of this subject, word for word.

    Args:
        kept: `texte` that the public reads, and `empreinte` of it with the title that it was confirmed for.
        title: of the item, now.
    """
    return bool(kept) and kept is not None and kept["empreinte"] == digest(title, kept["texte"])


def unseen(text: str, seen: str) -> list[str]:
    """What looks like a name in a text, and was not shown before it was confirmed.

    Args:
        text: that is confirmed.
        seen: digest of the text that the page showed.
    """
    return [] if seen == digest(text) else apparent(text)


def quoted(names: Iterable[str]) -> str:
    """Names in words: « A », « B »."""
    return ", ".join(f"« {one} »" for one in names)
