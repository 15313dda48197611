"""An OCFL object judged as its specification judges it (1.0 and 1.1), by the specification's own error codes.

`faults` reads a folder and says all that is wrong with it: the declaration, the inventories with their digests, the
versions, each file. What the specification only advises (its warnings) is no fault. Left out are the codes of what an
object at rest does not show: E022, E027 and E028 are for programs, E069 to E089 and E112 for a storage root, and nobody
sees when a digest was computed (E062).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

RULES_VERSION = 1
"""To be raised with what is judged: archives that were judged before are judged again (`sae-fixite`)."""
_INVENTORY = "inventory.json"
_SPECIFICATIONS = ("1.0", "1.1")
_TYPE = "https://ocfl.io/{}/spec/#inventory"
_DECLARATION = re.compile(r"[0-9A-Za-z]=.*", re.DOTALL)
_VERSION = re.compile(r"v(0*[1-9][0-9]*)", re.ASCII)
_SIDECAR = re.compile(r"([0-9A-Fa-f]+)[ \t]+inventory\.json\s*", re.ASCII)
# RFC 3339, its date and time without a zone left out.
_CREATED = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})", re.ASCII
)
_KEYS = {"id", "type", "digestAlgorithm", "head", "contentDirectory", "manifest", "versions", "fixity"}
_VERSION_KEYS = {"created", "state", "message", "user"}
_ADDRESSING = {"sha512": (128, "E031"), "sha256": (64, "E030")}  # hexadecimal digits, code of another form
# How Python names an algorithm of the `fixity` block, its bytes for those that have a choice, code of another form.
_FIXITY = {
    "md5": ("md5", 16, "E057"),
    "sha1": ("sha1", 20, "E029"),
    "sha256": ("sha256", 32, "E030"),
    "sha512": ("sha512", 64, "E031"),
    "blake2b-512": ("blake2b", 64, "E032"),
    "blake2b-160": ("blake2b", 20, "E057"),
    "blake2b-256": ("blake2b", 32, "E057"),
    "blake2b-384": ("blake2b", 48, "E057"),
    "sha512/256": ("sha512_256", 32, "E057"),
}
_UNJUDGED = {"size", "crc32"}  # of a registered extension: no digest that is judged here
_OCFL_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: codes of the specification, French text."""

    codes: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return f"{self.text} (OCFL {', '.join(self.codes)})"


class _Repeating(dict[str, Any]):
    """A JSON object that knows which keys it was given twice."""

    def __init__(self, pairs: Iterable[tuple[str, Any]]) -> None:
        super().__init__()
        self.repeated: list[str] = []
        for key, value in pairs:
            if key in self:
                self.repeated.append(key)
            self[key] = value


@dataclass
class _Inventory:
    """What is believed of an inventory, each part in the form that it must have, or empty.

    Attributes:
        place: "" for the object's own, else the version's directory with its slash.
        manifest: digest in lower case by content path.
        states: logical paths with their digests in lower case, by version.
        numbers: of versions, by name.
    """

    place: str
    identifier: str = ""
    specification: str = ""
    algorithm: str = ""
    head: str = ""
    content: str | None = None
    manifest: dict[str, str] = field(default_factory=dict)
    states: dict[str, dict[str, str]] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    fixity: list[tuple[str, str, str]] = field(default_factory=list)  # algorithm, digest, content path

    @property
    def name(self) -> str:
        return f"{self.place}{_INVENTORY}"


def sanitize_text(text: str) -> str:
    """A name or a value that may be told: one line, of characters that are there."""
    clean = "".join(char if char.isprintable() else "?" for char in text[:200])
    return clean.encode("utf-8", "replace").decode()


def faults(folder: Path) -> tuple[Mapping[str, Any], list[Fault]]:
    """Judge the object in a folder; gives its inventory as it was read (empty when it was not), and all the faults.

    Raises OSError: the disk is at fault.
    """
    if not folder.is_dir() or folder.is_symlink():
        return {}, [Fault(("E003",), "l'objet n'est pas un dossier")]
    judge = _Judge(folder)
    return judge.run(), list(judge.faults)


class _Judge:
    """Judges one object."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.faults: dict[Fault, None] = {}  # each once, in the order in which they were found
        self._files: dict[str, tuple[int, int]] = {}  # by path: device and number
        self._folders: set[str] = set()
        self._others: list[str] = []  # neither file nor folder
        self._children: dict[str, dict[str, bool]] = {}  # of a folder ("" or with its slash): which are folders
        self._digests: dict[tuple[str, str], str] = {}
        self._versions: dict[str, _Inventory] = {}

    def run(self) -> Mapping[str, Any]:
        """Find all the faults; gives the inventory."""
        self._walk_files()
        specification = self._declared_version()
        if _INVENTORY not in self._files:
            self._add_fault("E063 E034", f"{_INVENTORY} est absent")
            self._check_links()
            return {}
        raw = self._read_json(_INVENTORY)
        if raw is None:
            self._check_sidecar("", "")
            self._check_links()
            return {}
        root = self._check_inventory("", raw, specification)
        self._root_entries(root)
        for version in root.numbers:
            self._check_version_directory(root, version)
        self._check_contents(root)
        self._check_history(root)
        self._check_links()
        return raw

    def _add_fault(self, codes: str, text: str) -> None:
        self.faults[Fault(tuple(codes.split()), text)] = None

    # -- what is there -------------------------------------------------------------------------------------

    def _walk_files(self) -> None:
        waiting = [""]
        while waiting:
            place = waiting.pop()
            with os.scandir(self._folder / place) as found:
                entries = sorted((entry.name, entry.stat(follow_symlinks=False)) for entry in found)
                self._children[place] = {name: stat.S_ISDIR(status.st_mode) for name, status in entries}
                for name, status in entries:
                    path = f"{place}{name}"
                    if stat.S_ISDIR(status.st_mode):
                        self._folders.add(path)
                        waiting.append(f"{path}/")
                        continue
                    if not stat.S_ISREG(status.st_mode):
                        self._others.append(path)
                    self._files[path] = (status.st_dev, status.st_ino)

    def _check_links(self) -> None:
        for path in sorted(self._others):
            self._add_fault("E090", f"« {sanitize_text(path)} » est un lien ou un fichier spécial")
        seen: dict[tuple[int, int], str] = {}
        for path, inode in sorted(self._files.items()):
            if (first := seen.setdefault(inode, path)) != path:
                self._add_fault(
                    "E090", f"« {sanitize_text(path)} » et « {sanitize_text(first)} » sont un même fichier (lien)"
                )

    def _read_file(self, path: str) -> bytes:
        return b"" if path in self._others else (self._folder / path).read_bytes()

    def _digest_file(self, path: str, algorithm: str, size: int = 0) -> str:
        """Of a file; "" for what is no file. Raises ValueError: this Python does not know the algorithm."""
        key = (path, f"{algorithm}/{size}")
        if key not in self._digests:
            made: Any = hashlib.blake2b(digest_size=size) if algorithm == "blake2b" else hashlib.new(algorithm)
            if path in self._others:
                return ""
            with (self._folder / path).open("rb") as stream:
                while block := stream.read(_OCFL_BLOCK_BYTES):
                    made.update(block)
            self._digests[key] = made.hexdigest()
        return self._digests[key]

    # -- the object's root ---------------------------------------------------------------------------------

    def _declared_version(self) -> str:
        """The specification that the object declares; "" for none that is known."""
        found = [
            name for name, is_folder in self._children[""].items() if not is_folder and _DECLARATION.fullmatch(name)
        ]
        if len(found) != 1:
            told = f"{len(found)} fichiers déclarent sa version" if found else "aucun fichier ne déclare sa version"
            self._add_fault("E003", f"{told} d'OCFL ; « 0=ocfl_object_1.1 » est attendu, seul")
        specification = ""
        for name in found:
            mark, _, value = name.partition("=")
            version = value.removeprefix("ocfl_object_")
            if mark != "0":
                self._add_fault("E005 E004 E002", f"« {sanitize_text(name)} » ne commence pas par « 0= »")
            elif not value.startswith("ocfl_object_"):
                self._add_fault("E006 E004 E002", f"« {sanitize_text(name)} » ne continue pas par « ocfl_object_ »")
            elif version not in _SPECIFICATIONS:
                self._add_fault(
                    "E004 E002", f"« {sanitize_text(name)} » nomme une version d'OCFL qui n'est pas connue ici"
                )
            else:
                specification = max(specification, version)
            if self._read_file(name) != f"{value}\n".encode("utf-8", "surrogateescape"):
                self._add_fault("E007", f"« {sanitize_text(name)} » ne contient pas son propre nom, sans « 0= »")
        return specification

    def _root_entries(self, root: _Inventory) -> None:
        sidecar = f"{_INVENTORY}.{root.algorithm}"
        for name, is_folder in self._children[""].items():
            if is_folder:
                if name in root.numbers or name in ("logs", "extensions"):
                    continue
                if _VERSION.fullmatch(name):
                    self._add_fault("E046", f"le dossier « {name} » est une version que {_INVENTORY} ne connaît pas")
                else:
                    self._add_fault(
                        "E001", f"le dossier « {sanitize_text(name)} » n'a pas sa place à la racine de l'objet"
                    )
            elif not _DECLARATION.fullmatch(name) and name not in (_INVENTORY, sidecar):
                self._add_fault("E001", f"« {sanitize_text(name)} » n'a pas sa place à la racine de l'objet")
        for name, is_folder in self._children.get("extensions/", {}).items():
            if not is_folder:
                self._add_fault(
                    "E067", f"« extensions/{sanitize_text(name)} » est un fichier, seuls des dossiers y ont leur place"
                )

    # -- an inventory --------------------------------------------------------------------------------------

    def _read_json(self, name: str) -> _Repeating | None:
        """An inventory that may be anything, as JSON."""

        def no_constant(text: str) -> None:
            raise ValueError(text)

        try:
            found = json.loads(
                self._read_file(name).decode("utf-8"), object_pairs_hook=_Repeating, parse_constant=no_constant
            )
        except (ValueError, RecursionError) as error:
            self._add_fault("E033", f"{name} n'est pas du JSON en UTF-8 ({sanitize_text(str(error))})")
            return None
        if not isinstance(found, _Repeating):
            self._add_fault("E033", f"{name} n'est pas un objet JSON")
            return None
        return found

    def _check_inventory(self, place: str, raw: _Repeating, declared: str) -> _Inventory:
        """Judge an inventory in itself, and the file that has its digest."""
        made = _Inventory(place)
        name, algorithm = made.name, raw.get("digestAlgorithm")
        made.algorithm = algorithm if isinstance(algorithm, str) and algorithm in _ADDRESSING else ""
        self._check_sidecar(place, made.algorithm)  # first: what was altered is told before what comes of it
        for key in raw.repeated:
            self._add_fault("E033", f"{name} a deux fois la clé « {sanitize_text(key)} »")
        for key in sorted(set(raw) - _KEYS):
            codes = "E102 E055" if key.lower() == "fixity" else "E102"
            self._add_fault(codes, f"{name} a une clé « {sanitize_text(key)} » que la norme ne connaît pas")
        for key in ("id", "type", "digestAlgorithm", "head"):
            if key not in raw:
                self._add_fault("E036", f"{name} n'a pas de « {key} »")
        self._check_identity(made, raw, declared)
        versions = self._check_versions(made, raw)
        self._check_manifest(made, raw)
        for version, block in versions.items():
            self._check_block(made, version, block, raw)
        if isinstance(manifest := raw.get("manifest"), _Repeating):
            states = [one.get("state") for one in versions.values() if isinstance(one, dict)]
            used = {digest for one in states if isinstance(one, dict) for digest in one}
            for digest in manifest.keys() - used:
                self._add_fault("E107", f"{name} : l'empreinte {sanitize_text(digest)[:20]}… n'est dans aucune version")
        self._check_fixity_block(made, raw)
        return made

    def _check_identity(self, made: _Inventory, raw: _Repeating, declared: str) -> None:
        name = made.name
        if "id" in raw and not (isinstance(raw["id"], str) and raw["id"].strip()):
            self._add_fault("E037", f"{name} : « id » n'est pas un identifiant")
        made.identifier = raw["id"] if isinstance(raw.get("id"), str) else ""
        made.specification = next((one for one in _SPECIFICATIONS if raw.get("type") == _TYPE.format(one)), "")
        if "type" in raw and (not made.specification or (declared and made.specification != declared)):
            wanted = f" ({_TYPE.format(declared)} est attendu)" if declared else ""
            self._add_fault("E038", f"{name} : « type » n'est pas celui de la version déclarée{wanted}")
        if "digestAlgorithm" in raw and not made.algorithm:
            given = sanitize_text(str(raw["digestAlgorithm"]))
            self._add_fault("E025", f"{name} : empreintes {given}, sha512 ou sha256 sont attendues")
        if "contentDirectory" in raw:
            made.content = self._content_directory(name, raw["contentDirectory"])

    def _content_directory(self, name: str, given: Any) -> str | None:
        if not isinstance(given, str) or not given:
            self._add_fault("E108", f"{name} : « contentDirectory » n'est pas le nom d'un dossier")
        elif "/" in given:
            self._add_fault("E017 E108", f"{name} : « contentDirectory » contient une barre oblique")
        elif given in (".", ".."):
            self._add_fault("E018 E108", f"{name} : « contentDirectory » vaut « {given} »")
        else:
            return given
        return None

    def _check_sidecar(self, place: str, algorithm: str) -> None:
        """The digest of an inventory, in the file beside it; of this algorithm, or of that of the file's name."""
        children, name = self._children[place], f"{place}{_INVENTORY}"
        found = [one for one in children if re.fullmatch(r"inventory\.json\..+", one) and not children[one]]
        named = [one.removeprefix(f"{_INVENTORY}.") for one in found]
        algorithm = algorithm or next((one for one in named if one in _ADDRESSING), "")
        if not found:
            self._add_fault("E058", f"{name} n'a pas son empreinte à côté de lui")
        elif algorithm not in named:
            self._add_fault("E059 E058", f"{name} : « {sanitize_text(found[0])} » n'est pas de l'algorithme annoncé")
        else:
            sidecar = f"{name}.{algorithm}"
            noted = _SIDECAR.fullmatch(self._read_file(sidecar).decode("ascii", "replace"))
            if noted is None:
                self._add_fault("E061", f"{sidecar} n'est pas de la forme « EMPREINTE inventory.json »")
            elif noted[1].lower() != self._digest_file(name, algorithm):
                self._add_fault("E060", f"{name} n'a plus son empreinte")

    def _check_versions(self, made: _Inventory, raw: _Repeating) -> dict[str, Any]:
        """Judge the names of the versions and which is the head; gives the blocks of those that have a name."""
        name, given = made.name, raw.get("versions")
        if "versions" not in raw:
            self._add_fault("E044 E043 E041", f"{name} n'a pas de « versions »")
        elif not isinstance(given, _Repeating):
            self._add_fault("E045", f"{name} : « versions » n'est pas un objet JSON")
        elif not given:
            self._add_fault("E008", f"{name} ne connaît aucune version")
        versions = given if isinstance(given, _Repeating) else _Repeating(())
        for key in versions.repeated:
            self._add_fault("E033", f"{name} a deux fois la version « {sanitize_text(key)} »")
        for key in versions:
            if found := _VERSION.fullmatch(key):
                made.numbers[key] = int(found[1]) if len(found[1]) < 20 else 0
            elif re.match(r"v[-0-9]", key):
                self._add_fault(
                    "E105 E046", f"{name} : la version « {sanitize_text(key)} » n'a pas de numéro entier positif"
                )
            else:
                self._add_fault(
                    "E104 E046", f"{name} : la version « {sanitize_text(key)} » n'est pas « v » et un numéro"
                )
        if made.numbers:
            self._check_sequence(made)
        made.head = raw["head"] if isinstance(raw.get("head"), str) else ""
        if "head" in raw and made.numbers:
            last = max(made.numbers, key=lambda one: made.numbers[one])
            if made.head != last:
                self._add_fault("E040", f"{name} : « head » n'est pas la dernière version, {last}")
        elif "head" in raw and not made.head:
            self._add_fault("E040", f"{name} : « head » n'est pas un nom de version")
        return {key: versions[key] for key in made.numbers}

    def _check_sequence(self, made: _Inventory) -> None:
        ranked = sorted(made.numbers, key=lambda one: made.numbers[one])
        numbers = [made.numbers[one] for one in ranked]
        if numbers[0] != 1:
            self._add_fault("E009", f"{made.name} : les versions ne commencent pas à 1, mais à {ranked[0]}")
        for (before, one), (after, other) in pairwise(zip(numbers, ranked, strict=True)):
            if after != before + 1:
                self._add_fault("E010", f"{made.name} : après la version {one} vient {other}")
        first = ranked[0]
        padded = first.startswith("v0")
        for one in ranked[1:]:
            if padded and len(one) == len(first) and not one.startswith("v0"):
                self._add_fault("E011 E012", f"{made.name} : {one} n'a plus de zéro devant, comme en a {first}")
            elif padded != one.startswith("v0") or (padded and len(one) != len(first)):
                codes = "E011 E012 E013" if padded and not one.startswith("v0") else "E012 E013"
                self._add_fault(codes, f"{made.name} : {one} n'est pas numérotée comme {first}")

    def _check_hexadecimal(self, name: str, algorithm: str, digest: str, digits: int, code: str) -> None:
        if re.fullmatch(rf"[0-9A-Fa-f]{{{digits}}}", digest):
            return
        if algorithm in _ADDRESSING and re.fullmatch(r"([0-9A-Fa-f]{64}){1,2}", digest):
            self._add_fault(
                "E039 E025",
                f"{name} : « {sanitize_text(digest)[:40]} » est une empreinte d'un autre algorithme que {algorithm}",
            )
        else:
            self._add_fault(
                code, f"{name} : « {sanitize_text(digest)[:40]} » n'est pas une empreinte {algorithm} en hexadécimal"
            )

    def _check_unique_digests(self, name: str, block: str, found: _Repeating, code: str) -> None:
        """No digest twice, whatever its case."""
        seen: set[str] = set()
        for digest in [*found, *found.repeated]:
            if digest.lower() in seen:
                self._add_fault(code, f"{name} : {block} a deux fois l'empreinte {sanitize_text(digest)[:20]}…")
            seen.add(digest.lower())

    def _check_manifest(self, made: _Inventory, raw: _Repeating) -> None:
        name, given = made.name, raw.get("manifest")
        if "manifest" not in raw:
            self._add_fault("E041", f"{name} n'a pas de « manifest »")
        elif not isinstance(given, _Repeating):
            self._add_fault("E106", f"{name} : « manifest » n'est pas un objet JSON")
        if not isinstance(given, _Repeating):
            return
        self._check_unique_digests(name, "« manifest »", given, "E096")
        digits, code = _ADDRESSING.get(made.algorithm, (0, ""))
        for digest, paths in given.items():
            if digits:
                self._check_hexadecimal(name, made.algorithm, digest, digits, f"{code} E025")
            if not (isinstance(paths, list) and paths and all(isinstance(one, str) for one in paths)):
                self._add_fault(
                    "E092", f"{name} : l'empreinte {sanitize_text(digest)[:20]}… n'a pas une liste de chemins"
                )
                continue
            for path in paths:
                if path in made.manifest:
                    self._add_fault("E101", f"{name} : « {sanitize_text(path)} » est deux fois dans « manifest »")
                elif self._content_path(made, path):
                    made.manifest[path] = digest.lower()
        self._check_conflicts(name, made.manifest, "E101")

    def _content_path(self, made: _Inventory, path: str) -> bool:
        """Judge a content path; gives whether it names a place of this object."""
        told = f"{made.name} : le chemin « {sanitize_text(path)} »"
        parts, content = path.split("/"), made.content or "content"
        if path.startswith("/") or path.endswith("/"):
            self._add_fault(
                "E100" if path.strip("/") else "E100 E099", f"{told} commence ou finit par une barre oblique"
            )
        elif any(part in ("", ".", "..") for part in parts):
            self._add_fault("E099", f"{told} a un élément vide, « . » ou « .. »")
        elif len(parts) < 3 and "\\" in path:
            self._add_fault("E035 E098", f"{told} n'a pas de barres obliques pour séparateurs")
        elif parts[0] not in made.numbers:
            self._add_fault("E042 E014", f"{told} ne commence pas par le dossier d'une version")
        elif len(parts) < 3 or parts[1] != content:
            self._add_fault(
                "E042 E021" if made.content is None else "E042", f"{told} n'est pas dans « {sanitize_text(content)} »"
            )
        else:
            return True
        return False

    def _check_conflicts(self, name: str, paths: Iterable[str], code: str) -> None:
        """No path may be that of a folder of another. "/" as the lowest character puts the two side by side."""
        for one, other in pairwise(sorted(paths, key=lambda path: path.replace("/", "\0"))):
            if other.startswith(f"{one}/"):
                self._add_fault(
                    code,
                    f"{name} : « {sanitize_text(one)} » est un fichier, et le dossier de « {sanitize_text(other)} »",
                )

    def _check_block(self, made: _Inventory, version: str, block: Any, raw: _Repeating) -> None:
        """Judge what an inventory says of a version."""
        told = f"{made.name}, version {version}"
        if not isinstance(block, _Repeating):
            self._add_fault("E047", f"{told} : ce n'est pas un objet JSON")
            return
        for key in block.repeated:
            self._add_fault("E033", f"{told} : la clé « {sanitize_text(key)} » y est deux fois")
        for key in sorted(set(block) - _VERSION_KEYS):
            self._add_fault("E102", f"{told} : la norme ne connaît pas de clé « {sanitize_text(key)} »")
        for key in ("created", "state"):
            if key not in block:
                self._add_fault("E048", f"{told} : elle n'a pas de « {key} »")
        if "created" in block and not _is_instant(block["created"]):
            self._add_fault(
                "E049", f"{told} : « created » n'est pas une date avec heure, secondes et fuseau (RFC 3339)"
            )
        if "message" in block and not isinstance(block["message"], str):
            self._add_fault("E094", f"{told} : « message » n'est pas un texte")
        if "user" in block:
            self._check_user(told, block["user"])
        if "state" in block:
            self._check_state(made, version, block["state"], raw.get("manifest"))

    def _check_user(self, told: str, user: Any) -> None:
        if not isinstance(user, _Repeating) or not isinstance(user.get("name"), str) or not user["name"]:
            self._add_fault("E054", f"{told} : « user » n'a pas de nom (name)")
        elif others := sorted(set(user) - {"name", "address"}):
            self._add_fault(
                "E102", f"{told} : « user » a une clé « {sanitize_text(others[0])} » que la norme ne connaît pas"
            )

    def _check_state(self, made: _Inventory, version: str, state: Any, manifest: Any) -> None:
        told = f"{made.name}, version {version}"
        if not isinstance(state, _Repeating):
            self._add_fault("E050 E048", f"{told} : « state » n'est pas un objet JSON")
            return
        self._check_unique_digests(told, "« state »", state, "E050")
        paths = made.states.setdefault(version, {})
        for digest, names in state.items():
            if isinstance(manifest, _Repeating) and digest not in manifest:
                self._add_fault(
                    "E050", f"{told} : l'empreinte {sanitize_text(digest)[:20]}… n'est pas dans « manifest »"
                )
            if not (isinstance(names, list) and all(isinstance(one, str) for one in names)):
                self._add_fault(
                    "E051 E050", f"{told} : l'empreinte {sanitize_text(digest)[:20]}… n'a pas une liste de chemins"
                )
                continue
            for path in names:
                if path.startswith("/") or path.endswith("/"):
                    self._add_fault(
                        "E053", f"{told} : « {sanitize_text(path)} » commence ou finit par une barre oblique"
                    )
                if any(part in ("", ".", "..") for part in path.strip("/").split("/")):
                    self._add_fault("E052", f"{told} : « {sanitize_text(path)} » a un élément vide, « . » ou « .. »")
                if path in paths:
                    self._add_fault("E095", f"{told} : « {sanitize_text(path)} » y est deux fois")
                paths[path] = digest.lower()
        self._check_conflicts(told, paths, "E095")

    def _check_fixity_block(self, made: _Inventory, raw: _Repeating) -> None:
        """The block of other digests."""
        name, given = made.name, raw.get("fixity", _Repeating(()))
        if not isinstance(given, _Repeating):
            self._add_fault("E111 E057", f"{name} : « fixity » n'est pas un objet JSON")
            return
        for key in given.repeated:
            self._add_fault("E097", f"{name} : « fixity » a deux fois {sanitize_text(key)}")
        for algorithm, block in given.items():
            if algorithm not in _FIXITY and algorithm not in _UNJUDGED:
                self._add_fault(
                    "E056 E026", f"{name} : « fixity » emploie {sanitize_text(algorithm)}, que la norme ne connaît pas"
                )
            if not isinstance(block, _Repeating):
                self._add_fault("E057", f"{name} : « fixity », {sanitize_text(algorithm)} n'est pas un objet JSON")
                continue
            told = f"« fixity », {sanitize_text(algorithm)}"
            self._check_unique_digests(name, told, block, "E097")
            listed: set[str] = set()
            for digest, paths in block.items():
                if algorithm in _FIXITY:
                    _, size, code = _FIXITY[algorithm]
                    self._check_hexadecimal(name, algorithm, digest, 2 * size, f"{code} E093")
                if not (isinstance(paths, list) and paths and all(isinstance(one, str) for one in paths)):
                    self._add_fault(
                        "E057", f"{name} : {told}, {sanitize_text(digest)[:20]}… n'a pas une liste de chemins"
                    )
                    continue
                for path in paths:
                    if path in listed:
                        self._add_fault("E101", f"{name} : {told} cite deux fois « {sanitize_text(path)} »")
                    listed.add(path)
                    if self._content_path(made, path):
                        made.fixity.append((algorithm, digest.lower(), path))

    # -- the versions --------------------------------------------------------------------------------------

    def _check_version_directory(self, root: _Inventory, version: str) -> None:
        """Judge a version's directory, and read the inventory that it may have."""
        place, content = f"{version}/", root.content or "content"
        if version not in self._folders:
            self._add_fault("E046 E010", f"le dossier de la version {version} est absent")
            return
        if f"{place}{_INVENTORY}" in self._files and (raw := self._read_json(f"{place}{_INVENTORY}")) is not None:
            if version == root.head:
                self._same_as_root(root, place)
            else:
                self._versions[version] = self._check_inventory(place, raw, "")
        algorithms = {root.algorithm, *(one.algorithm for one in (self._versions.get(version),) if one is not None)}
        known = {_INVENTORY, *(f"{_INVENTORY}.{one}" for one in algorithms)}
        for name, is_folder in self._children[place].items():
            if not is_folder and name not in known:
                self._add_fault(
                    "E015", f"« {place}{sanitize_text(name)} » n'a pas sa place dans le dossier d'une version"
                )
        if any(path.startswith(place) for path in root.manifest) and f"{place}{content}" not in self._folders:
            self._add_fault("E016", f"la version {version} n'a pas de dossier « {sanitize_text(content)} »")
        for path, children in self._children.items():
            if not children and path.startswith(f"{place}{content}/") and path != f"{place}{content}/":
                self._add_fault("E024", f"le dossier « {sanitize_text(path)} » est vide")

    def _same_as_root(self, root: _Inventory, place: str) -> None:
        if self._read_file(f"{place}{_INVENTORY}") != self._read_file(_INVENTORY):
            self._add_fault("E064", f"{place}{_INVENTORY} n'est pas le même que celui de la racine")
        sidecar = f"{_INVENTORY}.{root.algorithm}"
        if f"{place}{sidecar}" not in self._files:
            self._add_fault("E058", f"{place}{_INVENTORY} n'a pas son empreinte à côté de lui")
        elif (
            sidecar in self._files and self._read_file(f"{place}{sidecar}").split() != self._read_file(sidecar).split()
        ):
            self._add_fault("E060", f"{place}{sidecar} n'est pas l'empreinte de {place}{_INVENTORY}")

    def _check_history(self, root: _Inventory) -> None:
        """What the inventories of earlier versions say, against the object's own and the files."""
        before = ""
        for version, made in sorted(self._versions.items(), key=lambda one: root.numbers[one[0]]):
            if made.head and made.head != version:
                self._add_fault("E040", f"{made.name} : « head » n'est pas {version}, la version de son dossier")
            if made.identifier != root.identifier:
                self._add_fault("E110 E037", f"{made.name} : « id » n'est pas celui de l'objet")
            for later, given in ((before, made.specification), (made.specification, root.specification)):
                if later and given and later > given:
                    self._add_fault("E103", f"{made.name} : une version d'OCFL plus récente précède une plus ancienne")
            before = made.specification or before
            self._content_name(root, version, made)
            self._check_prior_inventory(root, version, made)
            for number, state in made.states.items():
                if number in root.states and self._resolve_state(made, state) != self._resolve_state(
                    root, root.states[number]
                ):
                    self._add_fault(
                        "E066", f"{made.name} : l'état de la version {number} n'est pas celui de {_INVENTORY}"
                    )

    def _content_name(self, root: _Inventory, version: str, made: _Inventory) -> None:
        if made.content != root.content:
            code = "E019" if made.content is None and root.numbers[version] == 1 else "E020"
            self._add_fault(code, f"{made.name} : « contentDirectory » n'est pas celui de l'inventaire de l'objet")

    def _check_prior_inventory(self, root: _Inventory, version: str, made: _Inventory) -> None:
        """An earlier inventory has all the files of its time, with their digests."""
        content = made.content or "content"
        places = tuple(f"{one}/{content}/" for one, rank in root.numbers.items() if rank <= root.numbers[version])
        for path in sorted(self._files):
            if path.startswith(places) and path not in made.manifest:
                self._add_fault("E023", f"{made.name} ne connaît pas « {sanitize_text(path)} »")
        for path in made.manifest.keys() - root.manifest.keys():
            self._add_fault("E023", f"{_INVENTORY} ne connaît pas « {sanitize_text(path)} », que connaît {made.name}")
        self._files_of(made)

    def _resolve_state(self, made: _Inventory, state: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
        """Contents of a state, by logical path; in whatever algorithm its inventory is."""
        places: dict[str, list[str]] = {}
        for path, digest in made.manifest.items():
            places.setdefault(digest, []).append(path)
        found: dict[str, tuple[str, ...]] = {}
        for logical, digest in state.items():
            there = [one for one in places.get(digest, ()) if one in self._files]
            found[logical] = (self._digest_file(there[0], "sha512"),) if there else ("", digest)
        return found

    # -- the files -----------------------------------------------------------------------------------------

    def _check_contents(self, root: _Inventory) -> None:
        content = root.content or "content"
        places = tuple(f"{one}/{content}/" for one in root.numbers)
        for path in sorted(self._files):
            if path.startswith(places) and path not in root.manifest:
                self._add_fault("E023", f"« {sanitize_text(path)} » est en trop")
        self._files_of(root)

    def _files_of(self, made: _Inventory) -> None:
        for path, digest in made.manifest.items():
            if path not in self._files:
                self._add_fault("E092 E093", f"« {sanitize_text(path)} » est absent")
            elif made.algorithm and self._digest_file(path, made.algorithm) != digest:
                where = f", d'après {made.name}" if made.place else ""
                self._add_fault("E092", f"« {sanitize_text(path)} » n'a plus son empreinte{where}")
        for algorithm, digest, path in made.fixity:
            if path not in self._files or path not in made.manifest:
                self._add_fault("E093", f"{made.name} : « fixity » cite « {sanitize_text(path)} », qui n'est pas là")
                continue
            if algorithm in _FIXITY:
                name, size, _ = _FIXITY[algorithm]
                with suppress(ValueError):  # E028: what is not known here is left alone
                    if self._digest_file(path, name, size) != digest:
                        self._add_fault(
                            "E093", f"« {sanitize_text(path)} » n'a pas l'empreinte {algorithm} de « fixity »"
                        )


def _is_instant(given: Any) -> bool:
    """Whether a value is a date-time of RFC 3339."""
    if not isinstance(given, str) or not _CREATED.fullmatch(given):
        return False
    try:
        plain = given[:19].replace(given[10], "T")
        datetime.fromisoformat(plain if plain[17:] != "60" else f"{plain[:17]}59")
    except ValueError:
        return False
    hour, minute = (given[-5:-3], given[-2:]) if given[-1] not in "Zz" else ("0", "0")
    return int(hour) < 24 and int(minute) < 60
