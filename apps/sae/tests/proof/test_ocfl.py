"""OCFL objects, one bad one for each code of the specification (1.1) that an object at rest can deserve.

Each is made from a good object of three versions by what the specification's text forbids, and by nothing of what the
writer of archives does. ocfl-py judges the same folders.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sae import export, ocfl
from sae.export import DamagedArchiveError

from .public_tools import OCFL, install, run

Inventory = dict[str, Any]


def sha(content: bytes, algorithm: str = "sha512") -> str:
    return hashlib.new(algorithm, content).hexdigest()


A, B, C = b"premier\n", b"deuxieme\n", b"troisieme\n"


class Object:
    """An object on disk that a test may spoil: inventories by version ("" for the root's), files by path."""

    def __init__(self, folder: Path, algorithm: str = "sha512", form: str = "v{}", specification: str = "1.1") -> None:
        self.folder, self.algorithm, self.form, self.specification = folder, algorithm, form, specification
        self.names = [form.format(rank) for rank in (1, 2, 3)]
        one, two, _ = self.names
        self.files: dict[str, bytes] = {
            f"{one}/content/a.txt": A,
            f"{one}/content/dossier/b.txt": B,
            f"{two}/content/c.txt": C,
            f"0=ocfl_object_{specification}": f"ocfl_object_{specification}\n".encode(),
        }
        self.inventories = {name: self.inventory(rank) for rank, name in enumerate(self.names, start=1)}
        self.inventories[""] = self.inventory(3)
        self.sidecars: dict[str, bytes | None] = {}
        self.raw: dict[str, bytes] = {}

    def digest(self, content: bytes) -> str:
        return sha(content, self.algorithm)

    def inventory(self, rank: int) -> Inventory:
        one, two, _ = self.names
        states = [
            {self.digest(A): ["a.txt"], self.digest(B): ["dossier/b.txt"]},
            {self.digest(A): ["a.txt", "copie.txt"], self.digest(C): ["c.txt"]},
            {self.digest(A): ["a.txt"], self.digest(C): ["c.txt"]},
        ]
        manifest = {self.digest(A): [f"{one}/content/a.txt"], self.digest(B): [f"{one}/content/dossier/b.txt"]}
        if rank > 1:
            manifest[self.digest(C)] = [f"{two}/content/c.txt"]
        return {
            "id": "urn:uuid:4d1cbc4c-6f43-4a9e-9d9b-4ec1f2f3a001",
            "type": f"https://ocfl.io/{self.specification}/spec/#inventory",
            "digestAlgorithm": self.algorithm,
            "head": self.names[rank - 1],
            "manifest": manifest,
            "versions": {
                self.names[at]: {
                    "created": f"2026-0{at + 1}-02T03:04:05Z",
                    "state": states[at],
                    "message": "Une version",
                    "user": {"name": "Gondecourt", "address": "mailto:mairie@example.fr"},
                }
                for at in range(rank)
            },
        }

    @property
    def root(self) -> Inventory:
        return self.inventories[""]

    @property
    def last(self) -> Inventory:
        version: Inventory = self.root["versions"][self.names[2]]
        return version

    def write(self) -> Path:
        """On disk; the last version's inventory is the root's, each has its right digest beside it."""
        if self.names[2] in self.inventories:
            self.inventories[self.names[2]] = self.root
        for path, content in self.files.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_bytes(content)
        for place, inventory in self.inventories.items():
            folder = self.folder / place
            folder.mkdir(parents=True, exist_ok=True)
            text = self.raw.get(place, json.dumps(inventory, indent=1).encode())
            (folder / "inventory.json").write_bytes(text)
            algorithm = inventory.get("digestAlgorithm", self.algorithm)
            if algorithm in hashlib.algorithms_available:
                noted = self.sidecars.get(place, f"{sha(text, algorithm)}  inventory.json\n".encode())
                if noted is not None:
                    (folder / f"inventory.json.{algorithm}").write_bytes(noted)
        return self.folder


# -- bad objects ------------------------------------------------------------------------------------------

Spoil = Callable[[Object], object]
Mend = Callable[[Path], object]  # what is done once the object is on disk


def everywhere(change: Callable[[Inventory], object]) -> Spoil:
    """The same change in every inventory."""

    def spoil(one: Object) -> None:
        for inventory in one.inventories.values():
            change(inventory)

    return spoil


def edited(before: str, after: str) -> Spoil:
    """A change of the root inventory's text that a parser would hide."""

    def spoil(one: Object) -> None:
        del one.inventories["v3"]
        text = json.dumps(one.root, indent=1)
        assert before in text
        one.raw[""] = text.replace(before, after, 1).encode()

    return spoil


def renamed(before: str, after: str) -> Mend:
    return lambda folder: (folder / before).rename(folder / after)


def put(path: str, content: bytes = b"x") -> Spoil:
    return lambda one: one.files.update({path: content})


def key(name: str, value: Any) -> Spoil:
    return lambda one: one.root.update({name: value})


def without(name: str) -> Spoil:
    return everywhere(lambda found: found.pop(name))


def version(name: str, value: Any) -> Spoil:
    return lambda one: one.last.update({name: value})


def path_of_a(path: str) -> Spoil:
    return lambda one: one.root["manifest"].update({sha(A): ["v1/content/a.txt", path]})


def logical(path: str) -> Spoil:
    return lambda one: one.last["state"].update({sha(A): [path]})


def fixity(block: Any) -> Spoil:
    return key("fixity", block)


def renumbered(**names: str) -> Spoil:
    """Versions under other names, on disk and in the one inventory that is left."""

    def spoil(one: Object) -> None:
        inventory = json.dumps(one.inventory(3))
        for old, new in names.items():
            inventory = inventory.replace(f'"{old}"', f'"{new}"').replace(f'"{old}/', f'"{new}/')
            one.files = {
                new + path.removeprefix(old) if path.startswith(f"{old}/") else path: content
                for path, content in one.files.items()
            }
        one.inventories = {"": json.loads(inventory)}
        one.names = [*one.names[:2], ""]
        last = names.get("v3", "v3")
        one.files[f"{last}/content/d.txt"] = b"d"
        one.root["manifest"][sha(b"d")] = [f"{last}/content/d.txt"]
        one.root["versions"][last]["state"][sha(b"d")] = ["d.txt"]

    return spoil


def earlier(change: Callable[[Inventory], object]) -> Spoil:
    """A change of the first version's own inventory."""
    return lambda one: change(one.inventories["v1"])


def newer_first(one: Object) -> None:
    one.files = {path: content for path, content in one.files.items() if not path.startswith("0=")}
    one.files["0=ocfl_object_1.0"] = b"ocfl_object_1.0\n"
    one.root["type"] = "https://ocfl.io/1.0/spec/#inventory"


def no_content_folder(one: Object) -> None:
    del one.files["v2/content/c.txt"]


def nothing(one: Object) -> None:
    pass


X = "0" * 128
CASES: list[tuple[str, Spoil, Mend | None]] = [
    ("E001", put("LISEZMOI.txt"), None),
    ("E001", put("autre/dossier.txt"), None),
    ("E001", put("v4"), None),
    ("E001", put("inventory.json.md5"), None),
    ("E002", nothing, renamed("0=ocfl_object_1.1", "0=object_1.1")),
    ("E003", nothing, lambda folder: (folder / "0=ocfl_object_1.1").unlink()),
    ("E003", put("0=ocfl_object_1.0", b"ocfl_object_1.0\n"), None),
    ("E004", nothing, renamed("0=ocfl_object_1.1", "0=ocfl_object_9.9")),
    ("E005", nothing, renamed("0=ocfl_object_1.1", "1=ocfl_object_1.1")),
    ("E006", nothing, renamed("0=ocfl_object_1.1", "0=autre_object_1.1")),
    ("E007", put("0=ocfl_object_1.1", b"ocfl_object_1.1"), None),
    ("E008", lambda one: one.root.update(versions={}, manifest={}), None),
    ("E009", renumbered(v3="v4", v2="v3", v1="v2"), None),
    ("E010", renumbered(v3="v4"), None),
    ("E011", renumbered(v1="v01", v2="v02", v3="v10"), None),
    ("E012", renumbered(v2="v02"), None),
    ("E013", renumbered(v1="v001", v2="v002", v3="v0003"), None),
    ("E014", path_of_a("v01/content/a.txt"), None),
    ("E015", put("v1/note.txt"), None),
    ("E016", no_content_folder, None),
    ("E017", key("contentDirectory", "un/deux"), None),
    ("E018", key("contentDirectory", ".."), None),
    ("E019", key("contentDirectory", "content"), None),
    ("E020", earlier(lambda found: found.update(contentDirectory="autre")), None),
    ("E021", path_of_a("v1/data/a.txt"), None),
    ("E023", put("v1/content/en_plus.txt"), None),
    ("E023", earlier(lambda found: found["manifest"].pop(sha(B))), None),
    ("E024", nothing, lambda folder: (folder / "v1/content/vide").mkdir()),
    ("E025", everywhere(lambda found: found.update(digestAlgorithm="md5")), None),
    ("E026", fixity({"inconnu": {"00": ["v1/content/a.txt"]}}), None),
    ("E029", fixity({"sha1": {"qZk+NkcGgWq6PiVxeFDCbJzQ2J0=": ["v1/content/a.txt"]}}), None),
    ("E030", fixity({"sha256": {sha(A)[:64].replace(sha(A)[0], "z"): ["v1/content/a.txt"]}}), None),
    ("E031", lambda one: one.root["manifest"].update({"z" * 128: ["v1/content/a.txt"]}), None),
    ("E032", fixity({"blake2b-512": {"abc": ["v1/content/a.txt"]}}), None),
    ("E033", edited('"id":', "id:"), None),
    ("E033", lambda one: one.raw.update({"": json.dumps(one.root).encode("utf-16")}), None),
    ("E033", edited('"head": "v3"', '"head": "v3", "head": "v3"'), None),
    ("E034", nothing, renamed("inventory.json", "Inventory.json")),
    ("E035", path_of_a("v1\\content\\a.txt"), None),
    *[("E036", without(name), None) for name in ("id", "type", "head", "digestAlgorithm")],
    ("E037", key("id", ""), None),
    ("E037", earlier(lambda found: found.update(id="urn:autre")), None),
    ("E038", key("type", "https://ocfl.io/1.0/spec/#inventory"), None),
    ("E038", key("type", "inventaire"), None),
    ("E039", lambda one: one.root["manifest"].update({sha(A, "sha256"): ["v1/content/a.txt"]}), None),
    ("E040", key("head", "v2"), None),
    ("E040", key("head", "v9"), None),
    ("E040", key("head", 3), None),
    ("E041", lambda one: one.root.pop("manifest"), None),
    ("E042", path_of_a("ailleurs/a.txt"), None),
    ("E043", lambda one: one.root.pop("versions"), None),
    ("E044", lambda one: one.root.pop("versions"), None),
    ("E045", key("versions", []), None),
    ("E046", nothing, lambda folder: shutil.rmtree(folder / "v3")),
    ("E046", put("v4/content/x"), None),
    ("E047", lambda one: one.root["versions"].update(v3="v3"), None),
    ("E048", lambda one: one.last.pop("created"), None),
    ("E048", lambda one: one.last.pop("state"), None),
    ("E049", version("created", "2026-01-02T03:04:05"), None),
    ("E049", version("created", "2026-01-02T03:04Z"), None),
    ("E049", version("created", "2026-02-30T03:04:05Z"), None),
    ("E049", version("created", 20260102), None),
    ("E050", lambda one: one.last["state"].update({X: ["x.txt"]}), None),
    ("E050", lambda one: one.last["state"].update({sha(A).upper(): one.last["state"].pop(sha(A))}), None),
    ("E050", version("state", []), None),
    ("E051", lambda one: one.last["state"].update({sha(A): "a.txt"}), None),
    *[("E052", logical(path), None) for path in ("a/../b", "./a", "a//b")],
    *[("E053", logical(path), None) for path in ("/a", "a/")],
    ("E054", version("user", {"address": "mailto:a@example.fr"}), None),
    ("E054", version("user", "Gondecourt"), None),
    ("E055", key("Fixity", {"md5": {sha(A, "md5"): ["v1/content/a.txt"]}}), None),
    ("E056", fixity({"SHA1": {sha(A, "sha1"): ["v1/content/a.txt"]}}), None),
    ("E057", fixity({"md5": [sha(A, "md5")]}), None),
    ("E057", fixity({"md5": {sha(A, "md5"): "v1/content/a.txt"}}), None),
    ("E058", nothing, lambda folder: (folder / "inventory.json.sha512").unlink()),
    ("E058", nothing, lambda folder: (folder / "v1/inventory.json.sha512").unlink()),
    ("E059", nothing, renamed("inventory.json.sha512", "inventory.json.sha256")),
    ("E060", lambda one: one.sidecars.update({"": f"{X}  inventory.json\n".encode()}), None),
    ("E060", lambda one: one.sidecars.update({"v1": f"{X}  inventory.json\n".encode()}), None),
    ("E061", lambda one: one.sidecars.update({"": b"inventory.json " + X.encode()}), None),
    ("E063", nothing, lambda folder: (folder / "inventory.json").unlink()),
    ("E064", nothing, lambda folder: shutil.copy(folder / "v1/inventory.json", folder / "v3/inventory.json")),
    ("E066", earlier(lambda found: found["versions"]["v1"]["state"].update({sha(A): ["autre.txt"]})), None),
    ("E067", put("extensions/fichier.txt"), None),
    ("E090", nothing, lambda folder: (folder / "v1/content/lien").symlink_to("a.txt")),
    ("E090", nothing, lambda folder: os.mkfifo(folder / "v1/content/tube")),
    ("E090", nothing, lambda folder: os.link(folder / "v1/content/a.txt", folder / "v1/content/meme")),
    ("E092", put("v1/content/a.txt", b"autre"), None),
    ("E092", lambda one: one.files.pop("v2/content/c.txt"), None),
    ("E092", lambda one: one.root["manifest"].update({sha(A): "v1/content/a.txt"}), None),
    ("E092", earlier(lambda found: found.update(json.loads(json.dumps(found).replace(sha(B), X)))), None),
    ("E093", fixity({"md5": {"0" * 32: ["v1/content/a.txt"]}}), None),
    ("E093", fixity({"blake2b-512": {"0" * 128: ["v1/content/a.txt"]}}), None),
    ("E093", fixity({"md5": {sha(A, "md5"): ["v1/content/absent.txt"]}}), None),
    ("E094", version("message", ["Une version"]), None),
    ("E095", lambda one: one.last["state"].update({sha(C): ["a.txt"]}), None),
    ("E095", lambda one: one.last["state"].update({sha(C): ["a.txt/c"], sha(A): ["a.txt"]}), None),
    ("E095", lambda one: one.last["state"].update({sha(C): ["a/c", "a.b"], sha(A): ["a"]}), None),
    ("E096", lambda one: one.root["manifest"].update({sha(A).upper(): ["v1/content/a.txt"]}), None),
    ("E097", fixity({"md5": {sha(A, "md5"): ["v1/content/a.txt"], sha(A, "md5").upper(): ["v1/content/a.txt"]}}), None),
    ("E098", path_of_a("v1\\a.txt"), None),
    *[("E099", path_of_a(path), None) for path in ("v1/content/../content/a", "v1//content/a", "./v1/content/a")],
    *[("E100", path_of_a(path), None) for path in ("/v1/content/a.txt", "v1/content/a/")],
    ("E100", fixity({"md5": {sha(A, "md5"): ["/v1/content/a.txt"]}}), None),
    ("E101", path_of_a("v1/content/a.txt"), None),
    ("E101", path_of_a("v1/content/a.txt/b"), None),
    ("E102", key("extra", 1), None),
    ("E102", version("extra", 1), None),
    ("E103", newer_first, None),
    ("E104", renumbered(v3="version3"), None),
    ("E105", renumbered(v3="v3a"), None),
    ("E105", renumbered(v1="v0"), None),
    ("E106", key("manifest", []), None),
    ("E107", lambda one: one.root["manifest"].update({sha(b"seul"): ["v2/content/seul.txt"]}), None),
    ("E108", key("contentDirectory", ""), None),
    ("E110", earlier(lambda found: found.update(id="urn:autre")), None),
    ("E111", fixity([]), None),
]  # fmt: skip # a case a line
# What ocfl-py 2.1.0 takes: a declaration without its end of line, another version's inventory, keys that nobody knows.
KINDER = {"E007", "E038", "E055", "E102"}


def made(folder: Path, spoil: Spoil, mend: Mend | None) -> Path:
    one = Object(folder)
    spoil(one)
    one.write()
    if mend is not None:
        mend(folder)
    return folder


@pytest.mark.parametrize(("code", "spoil", "mend"), CASES, ids=[f"{one[0]}-{rank}" for rank, one in enumerate(CASES)])
def test_each_code_is_told(tmp_path: Path, code: str, spoil: Spoil, mend: Mend | None) -> None:
    folder = made(tmp_path / "objet", spoil, mend)
    _, found = ocfl.faults(folder)
    assert code in {one for fault in found for one in fault.codes}, [*map(str, found)]
    with pytest.raises(DamagedArchiveError, match=r"\(OCFL E\d{3}"):
        export.check(folder)


def test_every_code_that_an_object_can_deserve_has_its_object() -> None:
    left_out = {22, 27, 28, 62, *range(69, 90), 112} | {65, 68, 86, 91, 109}  # the last are no codes
    assert {int(code[1:]) for code, _, _ in CASES} == set(range(1, 113)) - left_out


@pytest.fixture
def good(tmp_path: Path) -> Iterator[dict[str, Path]]:
    """Good objects of every kind that the specification has."""
    yield {
        "ordinaire": Object(tmp_path / "a").write(),
        "sha256": Object(tmp_path / "b", algorithm="sha256").write(),
        "1.0": Object(tmp_path / "c", specification="1.0").write(),
        "zeros": Object(tmp_path / "d", form="v000{}").write(),
        "complet": complete(tmp_path / "e"),
        "deux algorithmes": two_algorithms(tmp_path / "f"),
        "seul inventaire": alone(tmp_path / "g"),
        "majuscules": upper(tmp_path / "h"),
    }


def complete(folder: Path) -> Path:
    """All that may be: another content directory, logs, extensions, other digests, a folder to be ignored."""
    one = Object(folder)
    for inventory in one.inventories.values():
        inventory.update(
            json.loads(json.dumps(inventory).replace("/content/", "/donnees/")), contentDirectory="donnees"
        )
    one.files = {path.replace("/content/", "/donnees/"): content for path, content in one.files.items()}
    place = ["v1/donnees/a.txt"]
    block = {name: {sha(A, name): place} for name in ("md5", "sha1", "sha256", "sha512")}
    block["blake2b-512"] = {hashlib.blake2b(A).hexdigest().upper(): place}
    one.root["fixity"] = block
    one.files |= {"logs/2026.txt": b"vu", "extensions/0001-digest-algorithms/x": b"x", "v1/autre/ignore.txt": b"x"}
    return one.write()


def two_algorithms(folder: Path) -> Path:
    """Its first version was of SHA-256."""
    one = Object(folder)
    other = Object(folder, algorithm="sha256")
    one.inventories["v1"] = other.inventory(1)
    return one.write()


def alone(folder: Path) -> Path:
    """Versions without inventories of their own."""
    one = Object(folder)
    one.inventories = {"": one.root}
    one.write()
    (folder / "v3").mkdir()
    return folder


def upper(folder: Path) -> Path:
    one = Object(folder)
    for inventory in one.inventories.values():
        text = json.dumps(inventory)
        for content in (A, B, C):
            text = text.replace(sha(content), sha(content).upper())
        inventory.update(json.loads(text), manifest=json.loads(text)["manifest"], versions=json.loads(text)["versions"])
    return one.write()


def test_algorithms_of_the_registered_extension_are_judged(tmp_path: Path) -> None:
    """ocfl-py 2.1.0 does not know them; the specification lets an object have them."""
    for name, good in (("blake2b-160", hashlib.blake2b(A, digest_size=20).hexdigest()), ("sha512/256", "")):
        one = Object(tmp_path / name.replace("/", "-"))
        digest = good or sha(A, "sha512_256")
        one.root["fixity"] = {name: {digest: ["v1/content/a.txt"]}}
        assert ocfl.faults(one.write())[1] == []
        one.root["fixity"] = {name: {digest: ["v1/content/dossier/b.txt"]}}
        assert "E093" in str(ocfl.faults(one.write())[1])


def test_good_objects_have_no_fault(good: dict[str, Path]) -> None:
    assert {name: [*map(str, ocfl.faults(folder)[1])] for name, folder in good.items()} == {name: [] for name in good}
    assert export.check(good["complet"])["head"] == "v3"
    with pytest.raises(
        DamagedArchiveError, match=r"^empreintes sha256 au lieu de sha512$"
    ):  # the standard takes it, we do not
        export.check(good["sha256"])


def test_all_faults_are_told_in_one_message(tmp_path: Path) -> None:
    one = Object(tmp_path / "objet")
    one.files |= {f"v3/content/plus-{rank}": b"x" for rank in range(8)}
    with pytest.raises(
        DamagedArchiveError, match=r"^« v3/content/plus-0 » est en trop \(OCFL E023\) ; .*et 3 autres défauts$"
    ):
        export.check(one.write())


def test_what_is_no_object_is_told(tmp_path: Path) -> None:
    (tmp_path / "fichier").touch()
    for folder in (tmp_path, tmp_path / "absent", tmp_path / "fichier"):
        with pytest.raises(DamagedArchiveError):
            export.check(folder)


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"null", b"[" * 100_000, b"\xff\xfe{}", b'{"a": NaN}', b'"\\ud800"', b"{}"]
)
def test_an_inventory_may_be_anything(tmp_path: Path, text: bytes) -> None:
    one = Object(tmp_path / "objet")
    one.raw[""] = text
    with pytest.raises(DamagedArchiveError):
        export.check(one.write())


def test_names_that_are_not_utf_8_are_told(tmp_path: Path) -> None:
    folder = Object(tmp_path / "objet").write()
    Path(os.fsdecode(os.fsencode(folder) + b"/v1/content/d\xe9lib\xe9ration.pdf")).touch()
    with pytest.raises(DamagedArchiveError) as told:
        export.check(folder)
    assert str(told.value).encode("utf-8")  # it can be written


_JUDGE = """
import json, sys
from ocfl.validator import Validator
told = {}
for path in sys.argv[1:]:
    one = Validator(log_errors=False)
    try:
        told[path] = bool(one.validate_object(path))
    except Exception as error:
        told[path] = f"{type(error).__name__}: {error}"
print(json.dumps(told))
"""


def judged(folders: dict[str, Path]) -> dict[str, bool | str]:
    """What ocfl-py says of each."""
    python = install(*OCFL).with_name("python")
    status, output = run(python, "-c", _JUDGE, *folders.values())
    assert status == 0, output
    told: dict[str, bool | str] = json.loads(output.splitlines()[-1])
    return {name: told[str(folder)] for name, folder in folders.items()}


def test_ocfl_py_judges_the_same_objects_alike(tmp_path: Path, good: dict[str, Path]) -> None:
    assert judged(good) == dict.fromkeys(good, True)
    bad = {f"{rank}-{code}": made(tmp_path / f"{rank}", spoil, mend) for rank, (code, spoil, mend) in enumerate(CASES)}
    taken = {name.partition("-")[2] for name, said in judged(bad).items() if said is True}
    assert taken == KINDER
