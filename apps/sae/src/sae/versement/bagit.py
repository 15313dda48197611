"""BagIt (RFC 8493, and 0.97 before it) as a SIP: the bag's own checks are the description's; what SEDA would say comes
from bag-info.txt. Of what the standard lets a bag be, an encoding other than UTF-8 and files that are elsewhere
(fetch.txt) are not taken.

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

from sae.versement.container import Member
from sae.versement.description import DESTROY, KEEP, Declared, Description, Rule
from sae.versement.refusal import refuse

_ALGORITHMS = {"sha512": "SHA-512", "sha256": "SHA-256"}
# Alone they prove nothing; beside one of those above they must be right too: a bag is valid whole or not at all.
_WEAK = {"sha384": "SHA-384", "sha224": "SHA-224", "sha1": "SHA-1", "md5": "MD5"}
_BOM = b"\xef\xbb\xbf"
_ENCODINGS = {"utf-8", "utf8", "us-ascii", "ascii"}
# Characters of a path that are written as escapes, and they alone: "%20" in a manifest is three characters of a name.
_ESCAPES = {"0.97": re.compile(r"%(0[AaDd])"), "1.0": re.compile(r"%(0[AaDd]|25)")}
_MANIFEST_LINE_PATTERN = re.compile(r"([0-9A-Fa-f]+)[ \t]+\*?(.+)")
_ACTIONS = {"conserver": KEEP, "keep": KEEP, "détruire": DESTROY, "detruire": DESTROY, "destroy": DESTROY}
# What is decided by a field is not decided by the last of two.
_SINGLE_FIELDS = (
    "External-Identifier", "Source-Organization-SIREN", "Regle-DUA", "Sort-Final", "Date-Debut-DUA", "Accord-Versement",
    "Payload-Oxum",
)  # fmt: skip
_MAX_TAG_FILE = 10_000_000
_TAG_FILE_HEAD_BYTES = 100_000
_MAX_LINES = 20_000  # of a tag file: twice the files that a SIP may have


_NO_PAYLOAD = "Le manifeste du sac est vide, ou cite un fichier hors de data/."


def root_of(members: Mapping[str, Member]) -> str | None:
    """The bag's folder with its slash ("" at the top), None when this is no bag."""
    for name in members:
        if name == "bagit.txt" or (name.endswith("/bagit.txt") and name.count("/") == 1):
            return name.removesuffix("bagit.txt")
    return None


def read(members: Mapping[str, Member], root: str) -> Description:
    """Read and check the bag's tags. Raises Refusal."""
    version = _declared_version(members, root)
    if f"{root}fetch.txt" in members:
        raise refuse(
            "MANIFESTE",
            "Un sac avec fetch.txt n'est pas pris : rien n'est téléchargé ici. À faire : mettez dans data/ les "
            "fichiers que fetch.txt nomme, et refaites le sac sans lui.",
        )
    pairs = list(_split_fields(_read_text(members, f"{root}bag-info.txt")))
    info, names = dict(pairs), [name for name, _value in pairs]
    if doubled := [name for name in _SINGLE_FIELDS if names.count(name.lower()) > 1]:
        raise refuse("MANIFESTE", f"bag-info.txt a plusieurs champs « {doubled[0]} » : gardez-en un seul.")
    files = _read_manifests(members, root, "manifest", version)
    if not files:
        raise refuse(
            "MANIFESTE",
            "Le sac n'a ni manifest-sha512.txt ni manifest-sha256.txt. À faire : refaites-le avec l'un d'eux.",
        )
    tags = _read_manifests(members, root, "tagmanifest", version)
    if not tags:
        raise refuse("MANIFESTE", "Le sac n'a pas de tagmanifest : rien ne protège sa description.")
    missing = [one for one in ("bagit.txt", "bag-info.txt") if root + one not in {tag.name for tag in tags}]
    if missing:
        raise refuse("MANIFESTE", f"{missing[0]} n'est pas dans le tagmanifest du sac.")
    if any(not one.name.startswith(f"{root}data/") for one in files):
        raise refuse("MANIFESTE", _NO_PAYLOAD)
    _check_size(info.get("payload-oxum"), members, root)
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
        message=_required_field(info, "External-Identifier"),
        agency=info.get("source-organization-siren") or _required_field(info, "Source-Organization"),
        title=info.get("title", info.get("external-description", ""))[:300],
        rules=[_appraisal_rule(info)],
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
        beginning = stream.read(_TAG_FILE_HEAD_BYTES).decode("utf-8", "replace")
    return dict(_split_fields(beginning)).get("external-identifier", "")[:500]


def _declared_version(members: Mapping[str, Member], root: str) -> str:
    """The version of BagIt that the bag declares, in UTF-8 as the standard wants it. Raises Refusal."""
    name = f"{root}bagit.txt"
    if _read_bytes(members, name).startswith(_BOM):
        raise refuse(
            "MANIFESTE",
            "bagit.txt commence par une marque d'ordre des octets (BOM), que BagIt interdit. À faire : enregistrez-le "
            "en UTF-8 sans BOM, et refaites tagmanifest.",
        )
    lines = [*_split_lines(_read_text(members, name))]
    found = re.fullmatch(r"BagIt-Version: (0\.97|1\.0)", lines[0]) if lines else None
    if found is None:
        raise refuse(
            "MANIFESTE", "bagit.txt n'annonce pas BagIt 0.97 ou 1.0. À faire : refaites le sac dans l'une d'elles."
        )
    encoding = re.fullmatch(r"Tag-File-Character-Encoding: (\S+)", lines[1]) if len(lines) > 1 else None
    if encoding is None or any(lines[2:]):
        raise refuse(
            "MANIFESTE",
            "bagit.txt n'a pas ses deux lignes, « BagIt-Version: 1.0 » et « Tag-File-Character-Encoding: UTF-8 ». "
            "À faire : refaites le sac.",
        )
    if encoding[1].lower() not in _ENCODINGS:
        shown = "".join(char if char.isprintable() else "?" for char in encoding[1][:40])
        raise refuse(
            "MANIFESTE",
            f"Le sac est en {shown} (Tag-File-Character-Encoding), seul UTF-8 est pris. À faire : refaites-le en "
            "UTF-8.",
        )
    return found[1]


def _read_manifests(members: Mapping[str, Member], root: str, kind: str, version: str) -> list[Declared]:
    """What all the manifests of a kind announce, the strongest one first; nothing where none of them is strong.

    Raises Refusal: they do not announce the same files.
    """
    there = [one for one in (*_ALGORITHMS, *_WEAK) if f"{root}{kind}-{one}.txt" in members]
    if not there or there[0] not in _ALGORITHMS:
        return []
    first, *others = ([*_read_manifest(members, root, f"{kind}-{one}.txt", one, version)] for one in there)
    if not first:
        raise refuse("MANIFESTE", _NO_PAYLOAD if kind == "manifest" else "Le tagmanifest du sac est vide.")
    names = {one.name for one in first}
    for algorithm, listed in zip(there[1:], others, strict=True):
        other = {one.name for one in listed}
        # Each is whole in 1.0; in 0.97 they complete one another, and only a strong one is believed here.
        apart = (other - names) | (names - other if kind == "manifest" and version != "0.97" else set())
        if apart:
            shown = min(apart).removeprefix(root)[:200]
            raise refuse(
                "MANIFESTE",
                f"{kind}-{there[0]}.txt et {kind}-{algorithm}.txt n'annoncent pas les mêmes fichiers (« {shown} »). "
                "À faire : refaites le sac.",
            )
    return [*first, *(one for listed in others for one in listed)]


def _check_size(given: str | None, members: Mapping[str, Member], root: str) -> None:
    """What bag-info.txt says the payload weighs, when it does. Raises Refusal."""
    sizes = [member.size for name, member in members.items() if name.startswith(f"{root}data/")]
    counted = f"{sum(sizes)}.{len(sizes)}"
    if given is not None and given != counted:
        raise refuse(
            "MANIFESTE",
            f"bag-info.txt : « Payload-Oxum » dit {given[:40]} (octets.fichiers), data/ est de {counted}. À faire : "
            "refaites le sac.",
        )


def _read_bytes(members: Mapping[str, Member], name: str) -> bytes:
    member = members.get(name)
    if member is None:
        raise refuse("MANIFESTE", f"Le sac n'a pas de {name.rpartition('/')[2]}.")
    if member.size > _MAX_TAG_FILE:
        raise refuse("MANIFESTE", f"{name} est démesuré.")
    return member.path.read_bytes()


def _read_text(members: Mapping[str, Member], name: str) -> str:
    try:
        text = _read_bytes(members, name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise refuse("MANIFESTE", f"{name} n'est pas en UTF-8. À faire : refaites le sac en UTF-8.") from error
    if max(text.count("\n"), text.count("\r")) > _MAX_LINES:  # a line may end by both
        raise refuse("MANIFESTE", f"{name} a plus de {_MAX_LINES} lignes.")
    return text


def _split_lines(text: str) -> Iterator[str]:
    """RFC 8493, section 2.2.4: LF, CR or both end a line, and nothing else does."""
    return (line.removesuffix("\n") for line in io.StringIO(text, newline=None))


def _split_fields(text: str) -> Iterator[tuple[str, str]]:
    """Fields of bag-info.txt, in lower case, and values; a line that begins with a space goes on with the last one."""
    joined = re.sub(r"\r?\n[ \t]+", " ", text)
    fields = (line.partition(":") for line in _split_lines(joined) if ":" in line)
    return ((name.strip().lower(), " ".join(value.split())) for name, _, value in fields)


def _required_field(info: Mapping[str, str], name: str) -> str:
    value = info.get(name.lower(), "")
    if not value or len(value) > 500:
        raise refuse("MANIFESTE", f"bag-info.txt n'a pas de champ « {name} » utilisable.")
    return value


def _appraisal_rule(info: Mapping[str, str]) -> Rule:
    word = info.get("sort-final", "").lower()
    if word not in _ACTIONS:
        raise refuse("DUA", "bag-info.txt : le champ « Sort-Final » doit être Conserver ou Détruire.")
    day = info.get("date-debut-dua") or _required_field(info, "Bagging-Date")
    try:
        start = date.fromisoformat(day)
    except ValueError as error:
        raise refuse("DUA", f"bag-info.txt : « {day[:40]} » n'est pas une date (AAAA-MM-JJ).") from error
    return Rule(_required_field(info, "Regle-DUA"), start, _ACTIONS[word])


def _read_manifest(
    members: Mapping[str, Member], root: str, name: str, algorithm: str, version: str
) -> Iterator[Declared]:
    seen: set[str] = set()
    for rank, line in enumerate(_split_lines(_read_text(members, root + name)), start=1):
        found = _MANIFEST_LINE_PATTERN.fullmatch(line)
        if not found:
            raise refuse("MANIFESTE", f"{name}, ligne {rank} : « empreinte chemin » attendu.")
        path = _resolve_path(members, root, found[2], version)
        if path in seen:
            raise refuse("MANIFESTE", f"{name}, ligne {rank} : « {found[2][:100]} » est cité deux fois.")
        seen.add(path)
        yield Declared(path, (_ALGORITHMS | _WEAK)[algorithm], found[1].lower())


def _resolve_path(members: Mapping[str, Member], root: str, written: str, version: str) -> str:
    """The file that a manifest's path names.

    Its escapes are the version's. bagit-python leaves a percent sign as it is in any version, and others wrote it %25
    before the standard said so: where no file has the name that the version gives, the one that another version gives,
    or that is written, is meant. Its digest is asked of it all the same.
    """
    readings = (_ESCAPES[version], *(one for other, one in _ESCAPES.items() if other != version))
    plain = [*(one.sub(lambda found: chr(int(found[1], 16)), written) for one in readings), written]
    # As container.py names them: a Mac writes accents apart, in the container and in the manifest.
    names = [root + unicodedata.normalize("NFC", one.removeprefix("./")) for one in plain]
    return next((one for one in names if one in members), names[0])
