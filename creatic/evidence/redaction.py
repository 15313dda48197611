# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Hides secrets in what is kept and shown: rather too much than too little."""

from __future__ import annotations

import base64
import json
import re
import urllib.parse
from collections.abc import Callable, Iterable
from typing import Any
from xml.sax.saxutils import escape

MASK = "«masqué»"
_MAX_TEXT = 200_000  # characters of one text inside an XML document

_SENSITIVE_NAMES_PATTERN = (
    r"(?:passw(?:or)?ds?|passphrases?|passcodes?|pass(?![a-z])|pwd|secrets?|tokens?|credentials?|psk|cookies?|bearer"
    r"|authorization|mots?[ _-]?de[ _-]?passe|motdepasse|mdp|jetons?|phrases?[ _-]secr[eè]tes?|cl[eé]s?[ _-]priv[eé]es?"
    r"|codes?[ _-]pin"
    r"|(?:api|recovery|access|private|encryption|luks|master|shared|session|signing|hmac|aes|wireguard)[ _-]?keys?)"
)
_SECRET_KEY = rf"{_SENSITIVE_NAMES_PATTERN}[\w.-]{{0,40}}"
_IS = r"\s*(?:!?[:=\uff1a]+>?|->|→|~)[ \t]*"
_MARK = r"(?:\\*[\"'`]|&(?:quot|apos|\#34|\#39|\#x22|\#x27);)?"  # a quote, or what XML writes for one
# What announces a secret: a name and a sign; a name and a quoted text; a line of a name and a word; an option of a
# program; a pair name, value.
_LEAD = re.compile(
    rf"""(?imx)
    \b(?:name|key|nom|cl[eé]|variable|var|id|field|champ|param\w{{0,8}})\\*["']?{_IS}\\*["']?
      [\w.-]{{0,40}}?{_SECRET_KEY}\\*["']?[^\n]{{0,80}}\n?[^\n]{{0,80}}?\b(?:value|valeur|val|content)\\*["']?{_IS}
    | (?<![\w-])--?[\w-]{{0,40}}?{_SECRET_KEY}[ \t]+
    | (?:(?<![\w-])--?[\w-]{{0,40}}?|\([ \t]*[bu]?\\*["'][\w.-]{{0,40}}?){_SECRET_KEY}\\*["'][ \t]*,\s*[bu]?(?=\\*["'])
    | \bsshpass[ \t]+-p[ \t]* | (?<!\S)(?:-u[ \t=]*|--user[ \t=]+)[^\s:]{{1,60}}:(?=\S)
    | ^[ \t+>-]*[\w.-]{{0,40}}?{_SECRET_KEY}[ \t]+(?=\S+[ \t]*$)
    | {_SECRET_KEY}(?:{_MARK}(?:\[[^\]\n]{{0,60}}\])?\]?{_IS}|[ \t]+(?=\\*["'])|(?=\([ \t]*[a-z]?["'])
             |(?:[ \t]+[\w-]{{1,30}}){{1,4}}[ \t]*:[ \t]+
             |(?:[ \t]+[\w-]{{1,30}}){{0,4}}[ \t]+(?:est|is|was|[ée]tait|vaut)[ \t]+(?=[«"'`]|\S*\d))
    """
)
_QUOTE = re.compile(r"\\*[\"'`]")
_BARE = re.compile(r"(?:null|true|false|None|True|False|-?\d+(?:\.\d+)?)(?=\s*[,}\])])")
# After a quoted value: its end, or what is plainly something else.
_VALUE_END_PATTERN = re.compile(r"[ \t]*(?:$|[,;})\]>&]|/>|\S{1,60}\s*[:=])", re.MULTILINE)
_LINE_MARGIN_PATTERN = re.compile(r"(?:E(?=\s)|[+\-?>](?!-))?[ \t]*(?:- )*")
_OPENING = {"[": "]", "{": "}", "(": ")"}

_KEY_BLOCK = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----|\Z)", re.DOTALL
)
_HASH = re.compile(r"\$(?:g?y|[1567]|2[aby]|apr1|argon2\w*|pbkdf2\w*)\$[\w./$=,+-]*[\w./$=+-]|\{SSHA\d*\}[\w/+=]+")
# The last @ ends what tells who asks: a password may hold one, or a slash. A token alone stands where a name would.
_TOKEN = re.compile(r"\beyJ[\w-]{6,}\.[\w-]{4,}\.[\w-]+|\bAGE-SECRET-KEY-1\w+")  # JWT, age
_URL = re.compile(r"(\w://[^\s/:@]{0,200}:)[^\s\"'<>]{1,200}(?=@)|(\w://)[^\s/:@]{16,200}(?=@)")
_ESCAPED_LETTER_PATTERN = re.compile(
    r"\\u00(3[0-9]|[46][1-9a-fA-F]|[57][0-9aA])"
)  # a letter or a digit, as JSON may write it
_BEARER = re.compile(r"(?i)\b(bearer|basic)([ \t]+)(?=[\w.~+/=-]*[\d.~+/=-])[\w.~+/=-]{8,}|(?<=bearer )[\w.~+/=-]{6,}")
_ELEMENT = re.compile(
    rf"""(?ixs)(?P<tag><(?P<name>[\w:.-]{{0,40}}?{_SENSITIVE_NAMES_PATTERN}[\w:.-]{{0,40}})(?:\s[^<>]{{0,400}})?(?<!/)>
      | <[\w:.-]+\s[^<>]{{0,200}}?=\s*["'][\w.-]{{0,40}}?{_SECRET_KEY}["'][^<>]{{0,200}}(?<!/)>)
    (?P<value>\s*<!\[CDATA\[.{{0,2000}}?\]\]>|(?(name).{{1,500}}?(?=</(?P=name)\s*>)|(?!))|[^<]+)"""
)
_SECRET_NAME = re.compile(rf"(?i)(?:.*[^a-z0-9])?{_SECRET_KEY}")
_XML_DECLARATION = re.compile(r"\s*<\?xml[^>]*\?>")
_NAMING = ("name", "key", "id", "nom", "cle", "variable")  # elements that tell what the next one is
_LEAD_MAX = 500  # characters before a text's end where something may announce what follows
# Written by the tests' own code, from the inventory: what tells to whom a result belongs.
_OWN_PROPERTIES = ("machine", "machine_perdue", "essai")


def _quoted_end(text: str, at: int) -> int:
    """End of the quoted text which opens at a position, its closing mark included; -1 when it never closes.

    A mark within a JSON string within another has backslashes of its own, and closes with as many.
    """
    opening = _QUOTE.match(text, at)
    if not opening:
        return -1
    mark, slashes = opening[0][-1], len(opening[0]) - 1
    place = opening.end()
    while (place := text.find(mark, place)) >= 0:
        before = place
        while text[before - 1] == "\\" and before > opening.end():
            before -= 1
        if (place - before) % (2 * (slashes + 1)) == slashes:
            if slashes or text[place + 1 : place + 2] != mark:
                return place + 1
            place += 1  # doubled, as YAML and SQL write one inside
        place += 1
    return -1


def _bracketed_end(text: str, at: int) -> int:
    """End of what opens with a bracket, its closing one included; -1 when it never closes."""
    expected: list[str] = []
    place = at
    while place < len(text):
        letter = text[place]
        if letter in "\"'":
            end = _quoted_end(text, place)
            place = place if end < 0 else end - 1
        elif letter in _OPENING:
            expected.append(_OPENING[letter])
        elif expected and letter == expected[-1]:
            expected.pop()
            if not expected:
                return place + 1
        place += 1
    return -1


def _content_column(line: str) -> int:
    """Where the content of a line begins, the margin of a difference or of pytest and a list's dash left out."""
    found = _LINE_MARGIN_PATTERN.match(line)
    return found.end() if found else 0


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _block_end(text: str, key: int, value: int) -> int:
    """End of a value without quotes: its line, and those after it which are further from the margin than its name."""
    start = text.rfind("\n", 0, key) + 1
    column = _content_column(text[start : _line_end(text, start)])
    end = _line_end(text, value)
    first = text[value:end].strip()
    alone = not first or re.fullmatch(r"[|>][+-]?\d?", first) is not None  # the value is all on other lines
    blank = end
    while end < len(text):
        following = _line_end(text, blank + 1)
        line = text[blank + 1 : following]
        margin = _content_column(line)
        if not line[margin:].strip():
            blank = following
        elif margin > column or (alone and not re.search(r"[:=]", line)) or text[end - 1] == "\\":
            end = blank = following
        else:
            break
        alone = alone and not line[margin:].strip()
        if blank >= len(text):
            break
    return end


def _value_end(text: str, key: int, at: int) -> tuple[int, str]:
    """End of the value that begins at a position, and what stands for it."""
    if bare := _BARE.match(text, at):
        return bare.end(), f'"{MASK}"'
    if quote := _QUOTE.match(text, at):
        end = _quoted_end(text, at)
        if end > 0:
            if _VALUE_END_PATTERN.match(text, end):
                return end, f"{quote[0]}{MASK}{quote[0]}"
            return _line_end(text, end), MASK
    elif text[at : at + 1] in _OPENING:
        end = _bracketed_end(text, at)
        if end > 0:
            return end, MASK
    return _block_end(text, key, at), MASK


def _secret_spellings(secret: str) -> set[str]:
    """How a known secret may be written."""
    plain = {secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    plain |= {secret.replace("'", "'\"'\"'"), secret.replace("'", "\\'"), secret.replace("'", "''")}
    plain |= {escape(one, extra) for one in tuple(plain) for extra in ({}, {'"': "&quot;"})}
    plain |= {urllib.parse.quote(secret), urllib.parse.quote(secret, safe=""), urllib.parse.quote_plus(secret)}
    return plain | _encoded_forms(secret.encode(errors="replace"))


def _encoded_forms(secret: bytes) -> set[str]:
    """A secret in hexadecimal, and in base64 wherever it stands in what was encoded with it."""
    found = {secret.hex(), secret.hex().upper()}
    for before in range(3):
        written = base64.b64encode(bytes(before) + secret).decode()
        # What depends on it alone: the letters around share their bits with its neighbours.
        alone = written[-(-before * 8 // 6) : (before + len(secret)) * 8 // 6]
        found |= {alone, alone.translate(str.maketrans("+/", "-_"))}
    return found


def _redact_text(text: str, secrets: Iterable[str]) -> str:
    text = _KEY_BLOCK.sub(MASK, _ESCAPED_LETTER_PATTERN.sub(lambda found: chr(int(found[1], 16)), text))
    for secret in secrets:
        if len(secret) >= 6:
            for written in sorted(_secret_spellings(secret), key=len, reverse=True):
                text = text.replace(written, MASK)
    text = _URL.sub(lambda found: f"{found[1] or found[2]}{MASK}", _TOKEN.sub(MASK, _HASH.sub(MASK, text)))
    text = _ELEMENT.sub(lambda found: found["tag"] + MASK, text)
    text = _BEARER.sub(lambda found: f"{found[1] or ''}{found[2] or ''}{MASK}", text)
    parts, at = [], 0
    while found := _LEAD.search(text, at):
        end, shown = _value_end(text, found.start(), found.end())
        if not text[found.end() : end].strip():
            end, shown = found.end(), ""
        parts += [text[at : found.end()], shown]
        at = end
    return "".join([*parts, text[at:]])


def _without_entities(root: Any) -> None:
    """Put the mask where a document names what its own DOCTYPE holds, which is not kept."""
    from lxml import etree

    for entity in list(root.iter(etree.Entity)):
        before, above = entity.getprevious(), entity.getparent()
        text = MASK + (entity.tail or "")
        if before is None:
            above.text = (above.text or "") + text
        else:
            before.tail = (before.tail or "") + text
        above.remove(entity)


def _mask_element(node: Any, masked: Callable[[str], str]) -> None:
    """Mask an element's attributes, and all that is inside one whose name, or whose neighbour, announces a secret."""
    from lxml import etree

    own = node.tag == "property" and node.get("name") in _OWN_PROPERTIES
    # A setting: its name is in one attribute, and its value in another.
    secret = any(_SECRET_NAME.fullmatch(str(node.get(key) or "")) for key in ("name", "key", "id"))
    for key, item in node.attrib.items():
        if own:
            continue
        hidden = _SECRET_NAME.fullmatch(str(key).rpartition("}")[2]) or (secret and key in ("value", "content"))
        node.set(key, MASK if hidden and item else masked(str(item)))
    name = etree.QName(node).localname
    told = node if _SECRET_NAME.fullmatch(name) else None
    if name in _NAMING and _SECRET_NAME.fullmatch((node.text or "").strip()):
        told = node.getnext()  # <key>password</key><string>…</string>
    if told is not None:
        for inner in told.iter():
            inner.text = MASK if inner.text and inner.text.strip() else inner.text
            if isinstance(inner.tag, str):
                for key, item in inner.attrib.items():
                    inner.set(key, MASK if item else item)
            if inner is not told and inner.tail and inner.tail.strip():
                inner.tail = MASK


def _redact_xml(text: str, head: str, secrets: Iterable[str]) -> str | None:
    """The document, each of its texts masked by itself; None when it is no XML document."""
    from lxml import etree

    def masked(item: str) -> str:
        cut = item if len(item) <= _MAX_TEXT else f"{item[:_MAX_TEXT]}… (coupé)"
        return _redact_text(cut, secrets)

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True)
    try:
        root = etree.fromstring(text[len(head) :].strip().encode(), parser)
    except (etree.XMLSyntaxError, UnicodeEncodeError):
        return None
    # Attributes have what entities stand for already.
    doctype: Any = root.getroottree().docinfo.internalDTD
    if doctype is not None:
        secrets = [*secrets, *(str(entity.content) for entity in doctype.iterentities() if entity.content)]
    _without_entities(root)
    announcing: etree._Element | None = None  # its text ends with what announces a secret

    def follow(item: str, owner: etree._Element) -> str:
        """The text masked, whole when what stands before it announced it."""
        nonlocal announcing
        if not item.strip():
            return item
        announced, last = announcing is not None, item.rstrip()[-_LEAD_MAX:] + " "
        announcing = owner if any(found.end() >= len(last) - 1 for found in _LEAD.finditer(last)) else None
        return MASK if announced else masked(item)

    for event, node in etree.iterwalk(root, events=("start", "end", "comment", "pi")):
        if event in ("start", "comment", "pi"):
            if isinstance(node.tag, str):
                _mask_element(node, masked)
            if node.text:
                node.text = follow(node.text, node)
        if event != "start":
            if announcing is node:
                announcing = None
            if node.tail:
                node.tail = follow(node.tail, node.getparent())
    return head + etree.tostring(root, encoding="unicode")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Hide private keys, password hashes, every value that a name or a sign announces as secret, and given secrets.

    An XML document stays one: its texts and attributes are masked one by one.

    Args:
        secrets: known ones, hidden however they are written; those under 6 characters are left out.
    """
    known = sorted(set(secrets), key=len, reverse=True)
    if (head := _XML_DECLARATION.match(text)) and (document := _redact_xml(text, head[0], known)) is not None:
        return document
    return _redact_text(text, known)
