"""Bags as others write them: bagit-python's own, and by hand what RFC 8493 says (BOM, escapes, encodings, digests)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from apps.sae.tests.proof.public_tools import BAGIT, install, run
from testbed.sae import PDF, SIREN, Gateway, tar, zipped

INFO = {
    "External-Identifier": "SAC-9",
    "Source-Organization-SIREN": SIREN,
    "Bagging-Date": "2026-02-01",
    "Regle-DUA": "ACTES-10",
    "Sort-Final": "Détruire",
}
DECLARATION = "BagIt-Version: {}\nTag-File-Character-Encoding: UTF-8\n"


def listed(files: Mapping[str, bytes], algorithm: str, spelled: Mapping[str, str]) -> bytes:
    lines = [
        f"{hashlib.new(algorithm, content).hexdigest()}  {spelled.get(name, name)}\n" for name, content in files.items()
    ]
    return "".join(lines).encode()


def by_hand(
    files: Mapping[str, bytes],
    *,
    version: str = "1.0",
    algorithms: tuple[str, ...] = ("sha512",),
    spelled: Mapping[str, str] | None = None,
    info: Mapping[str, str] | None = None,
    **changed: bytes,
) -> dict[str, bytes]:
    """A bag whose tag manifest is right, whatever its tags say.

    Args:
        files: the payload, below data/.
        spelled: how a manifest writes a path.
        changed: tags that are others, by name without their suffix (`bagit`, `manifest_md5`…).
    """
    data = {f"data/{name}": content for name, content in files.items()}
    tags = {
        "bagit.txt": DECLARATION.format(version).encode(),
        "bag-info.txt": "".join(f"{key}: {value}\n" for key, value in ({**INFO, **(info or {})}).items()).encode(),
        **{f"manifest-{one}.txt": listed(data, one, spelled or {}) for one in algorithms},
        **{f"{name.replace('_', '-')}.txt": content for name, content in changed.items()},
    }
    return tags | {"tagmanifest-sha512.txt": listed(tags, "sha512", {})} | data


def accepted(gateway: Gateway, entries: Mapping[str, bytes]) -> None:
    answer = gateway.deposit(tar(entries))
    assert answer.accepted, answer.reasons


# -- bagit-python's ----------------------------------------------------------------------------------------

NAMES = ["acte.pdf", "100% coton.pdf", "a%20b.pdf", "a%25b.pdf", "délibération n° 1.pdf", "sous dossier/é%0Aè.pdf"]


def made(folder: Path, names: list[str], *options: str) -> dict[str, bytes]:
    """A bag that bagit-python makes of these files."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(PDF)
    program = install(*BAGIT)
    fields = [option for key, value in INFO.items() if "SIREN" not in key for option in (f"--{key.lower()}", value)]
    given = [option for option in fields if option in ("--external-identifier", "SAC-9")]
    status, output = run(program.with_name("python"), program, *options, *given, folder)
    assert status == 0, output
    info = folder / "bag-info.txt"
    more = "".join(f"{key}: {value}\n" for key, value in INFO.items() if key not in info.read_text())
    info.write_text(info.read_text() + more)
    for tags in folder.glob("tagmanifest-*.txt"):
        algorithm = tags.stem.partition("-")[2]
        lines = [f"{line.split()[1]}" for line in tags.read_text().splitlines()]
        tags.write_bytes(listed({name: (folder / name).read_bytes() for name in lines}, algorithm, {}))
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("options", [(), ("--sha512",), ("--sha512", "--md5"), ("--sha256", "--sha1")])
def test_bags_of_bagit_python_are_taken(gateway: Gateway, tmp_path: Path, options: tuple[str, ...]) -> None:
    entries = made(tmp_path / "sac", NAMES, *options)
    accepted(gateway, entries)
    archive = gateway.registry.archives("gondecourt")[0]
    assert {f"data/{name}" for name in NAMES} <= {str(one["nom"]) for one in archive.files}


# -- escapes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "name", "spelled"),
    [
        ("1.0", "a%b.pdf", "a%25b.pdf"),
        ("1.0", "a%25b.pdf", "a%2525b.pdf"),
        ("1.0", "a%20b.pdf", "a%2520b.pdf"),
        ("1.0", "a%20b.pdf", "a%20b.pdf"),
        ("1.0", "a%C3%A9.pdf", "a%C3%A9.pdf"),
        ("1.0", "50%.pdf", "50%.pdf"),
        ("1.0", "a%0Ab.pdf", "a%250Ab.pdf"),
        ("0.97", "a%25b.pdf", "a%25b.pdf"),
        ("0.97", "a%b.pdf", "a%25b.pdf"),
    ],
)
def test_only_three_characters_are_escaped(gateway: Gateway, version: str, name: str, spelled: str) -> None:
    accepted(gateway, by_hand({name: PDF}, version=version, spelled={f"data/{name}": f"data/{spelled}"}))


def test_another_escape_names_another_file(gateway: Gateway) -> None:
    entries = by_hand({"a b.pdf": PDF}, spelled={"data/a b.pdf": "data/a%20b.pdf"})
    assert "« data/a%20b.pdf »" in gateway.refused(tar(entries), "FICHIER_ABSENT")


def test_the_version_s_reading_comes_first(gateway: Gateway) -> None:
    """Two files whose names one reading of a line or the other gives: each has its line."""
    files = {"a%b.pdf": PDF, "a%25b.pdf": PDF + b"\n"}
    right = {"data/a%b.pdf": "data/a%25b.pdf", "data/a%25b.pdf": "data/a%2525b.pdf"}
    accepted(gateway, by_hand(files, spelled=right))


# -- the declaration ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\ufeff" + DECLARATION.format("1.0"), "bagit.txt commence par une marque d'ordre des octets (BOM)"),
        (DECLARATION.format("1.0").replace("UTF-8", "UTF-16"), "Le sac est en UTF-16 (Tag-File-Character-Encoding)"),
        (DECLARATION.format("1.0").replace("UTF-8", "ISO-8859-1"), "Le sac est en ISO-8859-1"),
        ("BagIt-Version: 1.0\n", "bagit.txt n'a pas ses deux lignes"),
        ("BagIt-Version: 1.0\nTag-File-Character-Encoding : UTF-8\n", "bagit.txt n'a pas ses deux lignes"),
        (DECLARATION.format("1.0") + "Autre: x\n", "bagit.txt n'a pas ses deux lignes"),
        ("BagIt-Version : 1.0\nTag-File-Character-Encoding: UTF-8\n", "bagit.txt n'annonce pas BagIt 0.97 ou 1.0"),
        (DECLARATION.format("1.00"), "bagit.txt n'annonce pas BagIt 0.97 ou 1.0"),
        ("", "bagit.txt n'annonce pas BagIt 0.97 ou 1.0"),
    ],
)
def test_what_a_declaration_may_not_say(gateway: Gateway, text: str, words: str) -> None:
    shown = gateway.refused(tar(by_hand({"acte.pdf": PDF}, bagit=text.encode())), "MANIFESTE")
    assert words in shown
    assert "À faire : " in shown


@pytest.mark.parametrize("ends", ["\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["UTF-8", "utf-8", "US-ASCII"])
def test_what_a_declaration_may_say(gateway: Gateway, ends: str, encoding: str) -> None:
    text = DECLARATION.format("0.97").replace("UTF-8", encoding).replace("\n", ends)
    accepted(gateway, by_hand({"acte.pdf": PDF}, bagit=text.encode()))


def test_a_bag_in_utf_16_is_told(gateway: Gateway) -> None:
    """As the standard lets it be: bagit.txt in UTF-8, the other tags in what it says."""
    entries = by_hand({"acte.pdf": PDF}, bagit=DECLARATION.format("1.0").replace("UTF-8", "UTF-16").encode())
    for name in ("bag-info.txt", "manifest-sha512.txt", "tagmanifest-sha512.txt"):
        entries[name] = entries[name].decode().encode("utf-16")
    shown = gateway.refused(zipped(entries), "MANIFESTE")
    assert "Le sac est en UTF-16 (Tag-File-Character-Encoding), seul UTF-8 est pris. À faire" in shown


def test_a_tag_in_another_encoding_than_it_says_is_told(gateway: Gateway) -> None:
    entries = by_hand({"acte.pdf": PDF}, bag_info=b"Title: d\xe9lib\xe9ration\n")
    assert "bag-info.txt n'est pas en UTF-8. À faire" in gateway.refused(tar(entries), "MANIFESTE")


def test_notepad_may_mark_the_other_tags(gateway: Gateway) -> None:
    """The standard forbids the mark in bagit.txt alone."""
    files = {"acte.pdf": PDF}
    plain = by_hand(files)
    marked: dict[str, Any] = {name.removesuffix(".txt").replace("-", "_"): b"\xef\xbb\xbf" + plain[name] for name in
              ("bag-info.txt", "manifest-sha512.txt")}  # fmt: skip # a table
    accepted(gateway, by_hand(files, **marked))


def test_what_is_elsewhere_is_not_fetched(gateway: Gateway) -> None:
    entries = by_hand({"acte.pdf": PDF}, fetch=b"https://192.0.2.1/acte.pdf 10 data/autre.pdf\n")
    shown = gateway.refused(tar(entries), "MANIFESTE")
    assert "fetch.txt n'est pas pris : rien n'est téléchargé ici. À faire" in shown


# -- manifests ---------------------------------------------------------------------------------------------


def cut(content: bytes) -> bytes:
    return b"".join(content.splitlines(keepends=True)[:1])


@pytest.mark.parametrize("algorithm", ["sha256", "sha1", "md5"])
@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (lambda text: text.translate(bytes.maketrans(b"0123", b"1230")), "EMPREINTE", "n'a pas l'empreinte"),
        (cut, "MANIFESTE", "n'annoncent pas les mêmes fichiers"),
        (lambda text: text + b"00  data/absent.pdf\n", "MANIFESTE", "n'annoncent pas les mêmes fichiers"),
    ],
)
def test_each_manifest_counts(
    gateway: Gateway, algorithm: str, spoil: Callable[[bytes], bytes], code: str, words: str
) -> None:
    files = {"a.pdf": PDF, "b.pdf": PDF + b"\n"}
    accepted(gateway, good := by_hand(files, algorithms=("sha512", algorithm)))
    spoilt: dict[str, Any] = {f"manifest_{algorithm}": spoil(good[f"manifest-{algorithm}.txt"])}
    entries = by_hand(files, algorithms=("sha512",), info={"External-Identifier": "SAC-10"}, **spoilt)
    assert words in gateway.refused(tar(entries), code)


def test_weak_digests_alone_prove_nothing(gateway: Gateway) -> None:
    entries = by_hand({"acte.pdf": PDF}, algorithms=("md5",))
    shown = gateway.refused(tar(entries), "MANIFESTE")
    assert "ni manifest-sha512.txt ni manifest-sha256.txt. À faire" in shown


def test_what_the_payload_weighs_is_asked_of_it(gateway: Gateway) -> None:
    accepted(gateway, by_hand({"acte.pdf": PDF}, info={"Payload-Oxum": f"{len(PDF)}.1"}))
    for wrong in (f"{len(PDF)}.2", f"{len(PDF) + 1}.1", "beaucoup"):
        entries = by_hand({"acte.pdf": PDF}, info={"Payload-Oxum": wrong, "External-Identifier": "SAC-10"})
        assert f"« Payload-Oxum » dit {wrong}" in gateway.refused(tar(entries), "MANIFESTE")


# -- bagit-python's own judgement --------------------------------------------------------------------------


def test_bagit_python_says_the_same_of_them(tmp_path: Path) -> None:
    """Of what the standard forbids; what it lets be and this door does not take is left out.

    A manifest that does not list all the payload beside one that does is forbidden by 1.0, and bagit-python takes it.
    """
    files = {"a.pdf": PDF, "b.pdf": PDF + b"\n"}
    both = by_hand(files, algorithms=("sha512", "sha256"))
    bags = {
        "bon": (both, True),
        "oxum": (by_hand(files, info={"Payload-Oxum": "1.1"}), False),
        "sha256 faux": (
            by_hand(files, manifest_sha256=listed({"data/a.pdf": b"", "data/b.pdf": b""}, "sha256", {})),
            False,
        ),
        "encodage": (by_hand(files, bagit=b"BagIt-Version: 1.0\n"), False),
        "marque": (by_hand(files, bagit=("\ufeff" + DECLARATION.format("1.0")).encode()), False),
    }
    program = install(*BAGIT)
    for name, (entries, good) in bags.items():
        for path, content in entries.items():
            (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_bytes(content)
        status, output = run(program.with_name("python"), program, "--validate", tmp_path / name)
        assert (status == 0) == good, f"{name}: {output}"
