"""BagIt (RFC 8493) as a SIP: the bag's own checks are the description's; what SEDA would say comes from bag-info.txt.

Required in bag-info.txt: External-Identifier, Source-Organization-SIREN (or Source-Organization), Regle-DUA, Sort-Final
(Conserver or Détruire). Optional: Date-Debut-DUA (AAAA-MM-JJ, else Bagging-Date), Title.
"""

from __future__ import annotations

import hashlib
import io
import re
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import date
from urllib.parse import unquote

from sae.versement.container import Member
from sae.versement.description import DESTROY, KEEP, Declared, Description, Rule
from sae.versement.refusal import refuse

_ALGORITHMS = {"sha512": "SHA-512", "sha256": "SHA-256"}
_LINE = re.compile(r"([0-9A-Fa-f]+)[ \t]+\*?(.+)")
_ACTIONS = {"conserver": KEEP, "keep": KEEP, "détruire": DESTROY, "detruire": DESTROY, "destroy": DESTROY}
# What is decided by a field is not decided by the last of two.
_ONCE = (
    "External-Identifier", "Source-Organization-SIREN", "Regle-DUA", "Sort-Final", "Date-Debut-DUA", "Accord-Versement",
)  # fmt: skip
_MAX_TAG_FILE = 10_000_000
_BEGINNING = 100_000
_MAX_LINES = 20_000  # of a tag file: twice the files that a SIP may have


def root_of(members: Mapping[str, Member]) -> str | None:
    """The bag's folder with its slash ("" at the top), None when this is no bag."""
    for name in members:
        if name == "bagit.txt" or (name.endswith("/bagit.txt") and name.count("/") == 1):
            return name.removesuffix("bagit.txt")
    return None


def read(members: Mapping[str, Member], root: str) -> Description:
    """Read and check the bag's tags. Raises Refusal."""
    if not re.match(r"BagIt-Version: (0\.97|1\.0)\r?\n", _content(members, f"{root}bagit.txt")):
        raise refuse("MANIFESTE", "bagit.txt n'annonce pas BagIt 0.97 ou 1.0.")
    if f"{root}fetch.txt" in members:
        raise refuse("MANIFESTE", "Un sac avec fetch.txt n'est pas admis : tous les fichiers doivent y être.")
    pairs = list(_pairs(_content(members, f"{root}bag-info.txt")))
    info, names = dict(pairs), [name for name, _value in pairs]
    if doubled := [name for name in _ONCE if names.count(name.lower()) > 1]:
        raise refuse("MANIFESTE", f"bag-info.txt a plusieurs champs « {doubled[0]} » : gardez-en un seul.")
    name = next((one for one in _ALGORITHMS if f"{root}manifest-{one}.txt" in members), None)
    if name is None:
        raise refuse("MANIFESTE", "Le sac n'a ni manifest-sha512.txt ni manifest-sha256.txt.")
    files = list(_listed(members, root, f"manifest-{name}.txt", name))
    tag_name = next((one for one in _ALGORITHMS if f"{root}tagmanifest-{one}.txt" in members), None)
    if tag_name is None:
        raise refuse("MANIFESTE", "Le sac n'a pas de tagmanifest : rien ne protège sa description.")
    tags = list(_listed(members, root, f"tagmanifest-{tag_name}.txt", tag_name))
    missing = [one for one in ("bagit.txt", "bag-info.txt") if root + one not in {tag.name for tag in tags}]
    if missing:
        raise refuse("MANIFESTE", f"{missing[0]} n'est pas dans le tagmanifest du sac.")
    outside = [one.name for one in files if not one.name.startswith(f"{root}data/")]
    if outside or not files:
        raise refuse("MANIFESTE", "Le manifeste du sac est vide, ou cite un fichier hors de data/.")
    tagged = {tag.name for tag in tags}
    own = [one for one in members if not one.startswith(f"{root}data/")]
    loose = [
        one for one in own if one not in tagged and not one.startswith((f"{root}manifest-", f"{root}tagmanifest-"))
    ]
    if loose:
        raise refuse("FICHIER_EN_TROP", f"« {loose[0]} » est dans le sac et n'est dans aucun manifeste.")
    ordered = "".join(f"{one} {members[one].sha512}\n" for one in sorted(own))
    return Description(
        kind="BagIt",
        message=_required(info, "External-Identifier"),
        agency=info.get("source-organization-siren") or _required(info, "Source-Organization"),
        title=info.get("title", info.get("external-description", ""))[:300],
        rules=[_rule(info)],
        files=[*files, *tags],
        manifests=own,
        fingerprint=hashlib.sha512(ordered.encode("utf-8", "surrogateescape")).hexdigest(),
        agreement=info.get("accord-versement", ""),
    )


def identifier(members: Mapping[str, Member], root: str) -> str:
    """The bag's identifier, for the answer to a bag that is refused; "" when it cannot be read."""
    member = members.get(f"{root}bag-info.txt")
    if member is None or member.size > _MAX_TAG_FILE:
        return ""
    with member.path.open("rb") as stream:
        beginning = stream.read(_BEGINNING).decode("utf-8", "replace")
    return dict(_pairs(beginning)).get("external-identifier", "")[:500]


def _content(members: Mapping[str, Member], name: str) -> str:
    member = members.get(name)
    if member is None:
        raise refuse("MANIFESTE", f"Le sac n'a pas de {name.rpartition('/')[2]}.")
    if member.size > _MAX_TAG_FILE:
        raise refuse("MANIFESTE", f"{name} est démesuré.")
    try:
        text = member.path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise refuse("MANIFESTE", f"{name} n'est pas en UTF-8.") from error
    if max(text.count("\n"), text.count("\r")) > _MAX_LINES:  # a line may end by both
        raise refuse("MANIFESTE", f"{name} a plus de {_MAX_LINES} lignes.")
    return text


def _lines(text: str) -> Iterator[str]:
    """RFC 8493, section 2.2.4: LF, CR or both end a line, and nothing else does."""
    return (line.removesuffix("\n") for line in io.StringIO(text, newline=None))


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """Fields of bag-info.txt, in lower case, and values; a line that begins with a space goes on with the last one."""
    joined = re.sub(r"\r?\n[ \t]+", " ", text)
    fields = (line.partition(":") for line in _lines(joined) if ":" in line)
    return ((name.strip().lower(), " ".join(value.split())) for name, _, value in fields)


def _required(info: Mapping[str, str], name: str) -> str:
    value = info.get(name.lower(), "")
    if not value or len(value) > 500:
        raise refuse("MANIFESTE", f"bag-info.txt n'a pas de champ « {name} » utilisable.")
    return value


def _rule(info: Mapping[str, str]) -> Rule:
    word = info.get("sort-final", "").lower()
    if word not in _ACTIONS:
        raise refuse("DUA", "bag-info.txt : le champ « Sort-Final » doit être Conserver ou Détruire.")
    day = info.get("date-debut-dua") or _required(info, "Bagging-Date")
    try:
        start = date.fromisoformat(day)
    except ValueError as error:
        raise refuse("DUA", f"bag-info.txt : « {day[:40]} » n'est pas une date (AAAA-MM-JJ).") from error
    return Rule(_required(info, "Regle-DUA"), start, _ACTIONS[word])


def _listed(members: Mapping[str, Member], root: str, name: str, algorithm: str) -> Iterator[Declared]:
    seen: set[str] = set()
    for rank, line in enumerate(_lines(_content(members, root + name)), start=1):
        found = _LINE.fullmatch(line)
        if not found:
            raise refuse("MANIFESTE", f"{name}, ligne {rank} : « empreinte chemin » attendu.")
        # As container.py names them: a Mac writes accents apart, in the container and in the manifest.
        path = root + unicodedata.normalize("NFC", unquote(found[2]).removeprefix("./"))
        if path in seen:
            raise refuse("MANIFESTE", f"{name}, ligne {rank} : « {found[2][:100]} » est cité deux fois.")
        seen.add(path)
        yield Declared(path, _ALGORITHMS[algorithm], found[1].lower())
