"""The bounds of what a SIP may be and say, one module at a time."""

from __future__ import annotations

import io
import json
import os
import tarfile
import time
import tracemalloc
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from sae import metrics
from sae.config import Account, Limits
from sae.store import CorruptedObjectError
from sae.versement import bagit, container, description, formats, seda
from sae.versement.container import Member
from sae.versement.description import DESTROY, KEEP, Description, Rule
from sae.versement.formats import Format
from sae.versement.refusal import MAX_REASONS, Reason, SipRefusedError
from sae.versement.registry import Answer, Archive, IdentifierTakenError, QuotaExceededError, Registry

from testbed.sae import FILES, GONDECOURT, LOOS, PDF, FakeClamd, Gateway, bag, manifest, settings, tar, zipped

LIMITS = Limits(package=1_000_000, unpacked=100_000, files=3, ratio=10)


def unpacked(folder: Path, package: bytes, limits: Limits = LIMITS) -> dict[str, Member]:
    """Unpack into a new folder."""
    target = folder / f"contenu-{len(list(folder.iterdir()))}"
    target.mkdir()
    (folder / "sip").write_bytes(package)
    return container.unpack(folder / "sip", target, limits)


def told(refused: pytest.ExceptionInfo[SipRefusedError]) -> list[tuple[str, str]]:
    return [(reason.code, reason.text) for reason in refused.value.reasons]


# -- containers ---------------------------------------------------------------------------------------------

GOOD = [
    "a", "a:b", "c/d:", "ab:/x", "…", "/".join("a" * 30), "x" * 255, "/".join(["y" * 249] * 4), "é" * 127, "./a",
]  # fmt: skip # a list by rows
BAD = ["c:", "/".join("a" * 31), "x" * 256, "/".join(["y" * 250] * 4), "é" * 128, "", "a/", "./", "././a", "..", "a\tb"]


@pytest.mark.parametrize("name", GOOD)
def test_a_name_that_is_admitted(tmp_path: Path, name: str) -> None:
    assert list(unpacked(tmp_path, tar({name: b"x"}))) == [name.removeprefix("./")]


@pytest.mark.parametrize("name", BAD)
def test_a_name_that_is_not_admitted(name: str) -> None:
    with pytest.raises(SipRefusedError) as refused:
        container._check_name(name)
    [(code, text)] = told(refused)
    assert code == "CONTENEUR"
    assert text.endswith(" » n'est pas un nom de fichier admis (chemin relatif sans « .. »).")


def test_a_name_of_letters_in_two_parts_is_the_name_in_one(tmp_path: Path) -> None:
    assert list(unpacked(tmp_path, tar({"e\u0301te\u0301": b"x"}))) == ["été"]
    with pytest.raises(SipRefusedError) as refused:
        unpacked(tmp_path, tar({"e\u0301te\u0301": b"x", "été": b"y"}))
    assert told(refused) == [("CONTENEUR", "« été » est deux fois dans le conteneur.")]


def test_what_is_shown_of_a_name_is_short_and_harmless() -> None:
    with pytest.raises(SipRefusedError) as refused:
        container._check_name("\x1b[31m" + "x" * 200 + "\udce9")
    [(_code, text)] = told(refused)
    assert text.startswith("« ?[31m" + "x" * 115 + " » n'est pas")


@pytest.mark.parametrize("pack", [tar, zipped])
def test_as_many_files_as_the_limit_and_no_more(tmp_path: Path, pack: Any) -> None:
    assert len(unpacked(tmp_path, pack({str(rank): b"x" for rank in range(3)}))) == 3
    with pytest.raises(SipRefusedError) as refused:
        unpacked(tmp_path, pack({str(rank): b"x" for rank in range(4)}))
    assert told(refused) == [("CONTENEUR", "Le conteneur a plus de 3 entrées.")]


def test_as_many_bytes_as_the_limit_and_no_more(tmp_path: Path) -> None:
    limits = replace(LIMITS, unpacked=2_000_000)
    assert unpacked(tmp_path, tar({"a": bytes(1_500_000), "b": bytes(500_000)}), limits)["b"].size == 500_000
    with pytest.raises(SipRefusedError) as refused:
        unpacked(tmp_path, tar({"a": bytes(1_500_000), "b": bytes(500_001)}), limits)
    assert told(refused) == [("CONTENEUR", "Le contenu dépasse 2 Mo une fois décompressé.")]
    with pytest.raises(SipRefusedError) as refused:
        unpacked(tmp_path, zipped({"a": bytes(2_000_001)}), limits)
    assert told(refused) == [("CONTENEUR", "« a » dépasse la taille admise.")]
    assert unpacked(tmp_path, zipped({"a": bytes(2_000_000)}), limits)["a"].size == 2_000_000


def test_a_bomb_is_one_beyond_ten_megabytes_and_the_ratio(tmp_path: Path) -> None:
    limits = replace(LIMITS, unpacked=50_000_000)
    small = zipped({"a": bytes(10_000_000)})
    assert len(small) * limits.ratio < 10_000_000
    assert unpacked(tmp_path, small, limits)["a"].size == 10_000_000
    with pytest.raises(SipRefusedError) as refused:
        unpacked(tmp_path, zipped({"a": bytes(10_000_001)}), limits)
    text = "Le contenu est plus de 10 fois plus gros que le conteneur : bombe de décompression."
    assert told(refused) == [("CONTENEUR", text)]
    assert unpacked(tmp_path, tar({"a": bytes(10_000_001)}), limits)["a"].size == 10_000_001


def of_a_folder(in_tar: str, in_zip: str) -> Iterator[bytes]:
    """Containers of a folder without files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        folder = tarfile.TarInfo(in_tar)
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
    yield buffer.getvalue()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archived:
        archived.writestr(in_zip, b"")
    yield packed.getvalue()


def test_an_empty_container_and_one_of_folders(tmp_path: Path) -> None:
    for package in of_a_folder("./dossier", "dossier/"):
        with pytest.raises(SipRefusedError) as refused:
            unpacked(tmp_path, package)
        assert told(refused) == [("CONTENEUR", "Le conteneur est vide.")]


def test_folders_have_names_too(tmp_path: Path) -> None:
    for package in of_a_folder("../dossier", "../dossier/"):
        with pytest.raises(SipRefusedError) as refused:
            unpacked(tmp_path, package)
        assert "« ../dossier » n'est pas un nom de fichier admis" in told(refused)[0][1]


def test_a_zip_by_other_means_is_refused(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_BZIP2) as archived:
        archived.writestr("a", b"x" * 100)
    with pytest.raises(SipRefusedError) as refused:
        unpacked(tmp_path, packed.getvalue())
    assert told(refused) == [("CONTENEUR", "« a » emploie une compression non admise.")]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archived:
        archived.writestr("a", b"x" * 100)
    assert unpacked(tmp_path, packed.getvalue())["a"].size == 100


def test_files_are_written_under_numbers_with_their_digest(tmp_path: Path) -> None:
    found = unpacked(tmp_path, tar({"acte.pdf": PDF, "b/c": b""}))
    assert [one.path.name for one in found.values()] == ["000000", "000001"]
    assert found["acte.pdf"].path.read_bytes() == PDF
    assert found["b/c"].size == 0
    assert found["b/c"].sha512.startswith("cf83e1357eefb8bd")


# -- reasons ------------------------------------------------------------------------------------------------


def test_fifty_reasons_are_told_and_the_rest_counted() -> None:
    reasons = [Reason("X", f"{rank}.") for rank in range(MAX_REASONS + 2)]
    assert SipRefusedError(reasons[:MAX_REASONS]).reasons == reasons[:MAX_REASONS]
    assert SipRefusedError(reasons).reasons[-1] == Reason("SUITE", "et 2 autres défauts.")
    assert len(SipRefusedError(reasons).reasons) == MAX_REASONS + 1
    assert str(SipRefusedError(reasons[:2])) == "0. 1."
    assert not SipRefusedError(reasons).temporary


# -- what a SIP says ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "known"),
    [
        ("SHA-512", "SHA-512"), ("sha512", "SHA-512"), ("sha_256", "SHA-256"), (" SHA256 ", "SHA-256"),
        ("http://www.w3.org/2001/04/xmlenc#sha256", "SHA-256"), ("http://www.w3.org/2001/04/xmlenc#sha512", "SHA-512"),
    ],
)  # fmt: skip # a case a line
def test_digests_have_several_names(said: str, known: str) -> None:
    assert description.algorithm(said) == known


@pytest.mark.parametrize("said", ["MD5", "SHA-1", "", "SHA-384"])
def test_other_digests_are_refused(said: str) -> None:
    with pytest.raises(SipRefusedError) as refused:
        description.algorithm(said)
    text = f"L'algorithme d'empreinte « {said} » n'est pas admis : SHA-512 ou SHA-256."
    assert told(refused) == [("MANIFESTE", text)]


def described(*rules: Rule, agency: str = GONDECOURT.siren) -> Description:
    return Description("SEDA", "M", agency, "T", rules, [], [], "f")


NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def kept(folder: Path, *rules: Rule, **account: Any) -> tuple[date, str]:
    found = description.retention(described(*rules), replace(GONDECOURT, **account), settings(folder), NOW)
    return datetime.fromtimestamp(found.until, UTC).date(), found.action


def test_the_latest_rule_counts_and_one_that_keeps(tmp_path: Path) -> None:
    short = Rule("COURTE-1", date(2026, 1, 15), DESTROY)
    long = Rule("ACTES-10", date(2024, 2, 29), DESTROY)
    assert kept(tmp_path, long) == (date(2034, 3, 1), DESTROY)
    assert kept(tmp_path, short, long) == (date(2034, 3, 1), DESTROY)
    assert kept(tmp_path, replace(short, action=KEEP), long) == (date(2034, 3, 1), KEEP)
    assert kept(tmp_path, short, dua_min=1) == (date(2027, 11, 27), DESTROY)
    assert kept(tmp_path, Rule("ACTES-10", date(2026, 11, 27), KEEP), dua_max=10) == (date(2036, 11, 27), KEEP)
    with pytest.raises(SipRefusedError) as refused:
        kept(tmp_path, Rule("ACTES-10", date(2026, 11, 28), KEEP), dua_max=10)
    text = "La conservation irait jusqu'au 28/11/2036, au-delà de ce que permet le compte (27/11/2036)."
    assert told(refused) == [("DUA", text)]


def test_a_unit_that_only_says_keep_has_the_whole_kept(tmp_path: Path) -> None:
    bare, short = Rule("", date(2026, 1, 15), KEEP), Rule("COURTE-1", date(2026, 1, 15), DESTROY)
    assert kept(tmp_path, short, bare) == (date(2027, 11, 27), KEEP)
    assert kept(tmp_path, Rule("COURTE-1", date(1990, 1, 1), KEEP), dua_min=0) == (NOW.date(), KEEP)
    for alone in (bare, replace(bare, action=DESTROY)):
        with pytest.raises(SipRefusedError) as refused:
            kept(tmp_path, alone)
        assert told(refused)[0][1].startswith("Le SIP ne dit pas sa durée")


def test_rules_are_those_of_the_service(tmp_path: Path) -> None:
    with pytest.raises(SipRefusedError) as refused:
        kept(tmp_path)
    assert told(refused) == [("DUA", "Le SIP ne dit pas sa durée d'utilité administrative (AppraisalRule).")]
    with pytest.raises(SipRefusedError) as refused:
        kept(tmp_path, Rule("X-2", NOW.date(), KEEP), Rule("X-1", NOW.date(), KEEP), Rule("ACTES-10", NOW.date(), KEEP))
    text = "Règle de durée inconnue : X-1, X-2. Règles du service : ACTES-10, COURTE-1, LONGUE-99."
    assert told(refused) == [("DUA", text)]


@pytest.mark.parametrize("agency", ["gondecourt", "215902669", "215 902 669", "21590266900017"])
def test_an_account_has_its_name_and_its_siren(agency: str) -> None:
    description.check_sender(described(agency=agency), GONDECOURT)
    with pytest.raises(SipRefusedError) as refused:
        description.check_sender(described(agency=agency), LOOS)
    text = f"Le SIP est au nom de « {agency} », le certificat est celui de Loos (215903600)."
    assert told(refused) == [("COMPTE", text)]


# -- SEDA ---------------------------------------------------------------------------------------------------


def read(folder: Path, content: bytes, limit: int = 1_000_000) -> Description:
    path = folder / "manifest.xml"
    path.write_bytes(content)
    return seda.read(path, "empreinte", limit, "sae-groupement")


def test_a_manifest_is_read_up_to_its_limit(tmp_path: Path) -> None:
    content = manifest()
    found = read(tmp_path, content, len(content))
    assert (found.kind, found.message, found.agency) == ("SEDA", "ACTE-1", GONDECOURT.siren)
    assert found.title == "Délibération n° 12 : école d’été"
    assert [(one.name, one.algorithm, one.size) for one in found.files] == [
        ("content/acte.pdf", "SHA-512", len(PDF)),
        ("content/ARActe.xml", "SHA-512", 75),
    ]
    assert found.rules == [Rule("ACTES-10", date(2026, 1, 15), KEEP)]
    with pytest.raises(SipRefusedError) as refused:
        read(tmp_path, content, len(content) - 1)
    assert told(refused) == [("MANIFESTE", "manifest.xml dépasse 0 Mo.")]


@pytest.mark.parametrize("count", [2, 250])
def test_a_file_is_announced_once(tmp_path: Path, count: int) -> None:
    files = {f"content/{rank}": b"x" for rank in range(count)}
    assert len(read(tmp_path, manifest(files)).files) == count
    with pytest.raises(SipRefusedError) as refused:
        read(tmp_path, manifest(files).replace(b"<Uri>content/1</Uri>", b"<Uri>./content/0</Uri>"))
    assert told(refused) == [("MANIFESTE", "« content/0 » est annoncé deux fois.")]


def test_a_manifest_is_addressed_to_this_archive_and_announces_something(tmp_path: Path) -> None:
    with pytest.raises(SipRefusedError) as refused:
        read(tmp_path, manifest(agency="ailleurs"))
    text = "Le transfert est adressé à « ailleurs » ; ce service est « sae-groupement »."
    assert told(refused) == [("MANIFESTE", text)]
    with pytest.raises(SipRefusedError):
        read(tmp_path, manifest({}))


def test_ten_faults_of_a_manifest_are_told_at_most(tmp_path: Path) -> None:
    files = {f"content/{rank}": b"x" for rank in range(15)}
    content = manifest(files).replace(b"<Size>1</Size>", b"<Size>un</Size>")
    with pytest.raises(SipRefusedError) as refused:
        read(tmp_path, content)
    assert len(told(refused)) == 10
    assert all(text.startswith("Ligne ") and "non conforme au SEDA 2.3 :" in text for _code, text in told(refused))


def test_the_identifier_of_what_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "manifest.xml"
    path.write_bytes(manifest(message="ACTE-59"))
    assert seda.read_transfer_identity(path, 1_000_000) == ("ACTE-59", "2.3")
    assert seda.read_transfer_identity(path, 10) == (seda.UNKNOWN, "2.3")
    path.write_bytes(manifest(message="ACTE-59").replace(b"v2.3", b"v2.1")[:-40])
    assert seda.read_transfer_identity(path, 1_000_000) == ("ACTE-59", "2.1")
    path.write_bytes(b"<a/>")
    assert seda.read_transfer_identity(path, 1_000_000) == (seda.UNKNOWN, "2.3")


# -- BagIt --------------------------------------------------------------------------------------------------


def bagged(folder: Path, entries: Mapping[str, bytes]) -> dict[str, Member]:
    return unpacked(folder, tar(entries), Limits())


def tagged(entries: dict[str, bytes]) -> dict[str, bytes]:
    """The bag with a tag manifest of what it holds now."""
    import hashlib

    own = {name: content for name, content in entries.items() if "tagmanifest" not in name and "data/" not in name}
    lines = "".join(f"{hashlib.sha512(content).hexdigest()}  {name}\n" for name, content in own.items())
    return entries | {"tagmanifest-sha512.txt": lines.encode()}


def test_a_bag_is_at_the_top_or_in_one_folder(tmp_path: Path) -> None:
    assert bagit.root_of(bagged(tmp_path, {"bagit.txt": b"x"})) == ""
    assert bagit.root_of(bagged(tmp_path, {"a/bagit.txt": b"x"})) == "a/"
    assert bagit.root_of(bagged(tmp_path, {"a/b/bagit.txt": b"x", "monbagit.txt": b"y"})) is None


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"External_Identifier": ""}, "MANIFESTE", "bag-info.txt n'a pas de champ « External-Identifier » utilisable."),
        ({"External_Identifier": "x" * 501}, "MANIFESTE",
         "bag-info.txt n'a pas de champ « External-Identifier » utilisable."),
        ({"Source_Organization_SIREN": ""}, "MANIFESTE",
         "bag-info.txt n'a pas de champ « Source-Organization » utilisable."),
        ({"Regle_DUA": ""}, "MANIFESTE", "bag-info.txt n'a pas de champ « Regle-DUA » utilisable."),
        ({"Sort_Final": ""}, "DUA", "bag-info.txt : le champ « Sort-Final » doit être Conserver ou Détruire."),
        ({"Bagging_Date": ""}, "MANIFESTE", "bag-info.txt n'a pas de champ « Bagging-Date » utilisable."),
        ({"Bagging_Date": "hier"}, "DUA", "bag-info.txt : « hier » n'est pas une date (AAAA-MM-JJ)."),
        ({"Date_Debut_DUA": "hier"}, "DUA", "bag-info.txt : « hier » n'est pas une date (AAAA-MM-JJ)."),
    ],
)  # fmt: skip # a case a line
def test_what_a_bag_must_say(tmp_path: Path, changes: dict[str, str], code: str, text: str) -> None:
    with pytest.raises(SipRefusedError) as refused:
        bagit.read(bagged(tmp_path, bag(FILES, root="", **changes)), "")
    assert told(refused) == [(code, text)]


@pytest.mark.parametrize(("word", "action"), [("Conserver", KEEP), ("DETRUIRE", DESTROY), ("destroy", DESTROY)])
def test_what_a_bag_says(tmp_path: Path, word: str, action: str) -> None:
    changes = {
        "Sort_Final": word,
        "Date_Debut_DUA": "2026-01-15",
        "External_Identifier": "x" * 500,
        "Title": "Un\n  sac",
    }
    found = bagit.read(bagged(tmp_path, bag(FILES, root="", **changes)), "")
    assert found.rules == [Rule("ACTES-10", date(2026, 1, 15), action)]
    assert (found.kind, found.message, found.title) == ("BagIt", "x" * 500, "Un sac")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"manifest-sha512.txt": b""}, "Le manifeste du sac est vide, ou cite un fichier hors de data/."),
        ({"manifest-sha512.txt": b"00  bagit.txt\n"},
         "Le manifeste du sac est vide, ou cite un fichier hors de data/."),
        ({"manifest-sha512.txt": b"00  data/a\n00  ./data/a\n"},
         "manifest-sha512.txt, ligne 2 : « ./data/a » est cité deux fois."),
        ({"manifest-sha512.txt": b"\nfaux\n"}, "manifest-sha512.txt, ligne 1 : « empreinte chemin » attendu."),
        ({"bag-info.txt": b"\xff"}, "bag-info.txt n'est pas en UTF-8. À faire : refaites le sac en UTF-8."),
        ({"fetch.txt": b""},
         "Un sac avec fetch.txt n'est pas pris : rien n'est téléchargé ici. À faire : mettez dans data/ les fichiers "
         "que fetch.txt nomme, et refaites le sac sans lui."),
        ({"bagit.txt": b"BagIt-Version: 0.96\n"},
         "bagit.txt n'annonce pas BagIt 0.97 ou 1.0. À faire : refaites le sac dans l'une d'elles."),
    ],
)  # fmt: skip # a case a line
def test_what_is_wrong_with_a_bag(tmp_path: Path, change: dict[str, bytes], text: str) -> None:
    with pytest.raises(SipRefusedError) as refused:
        bagit.read(bagged(tmp_path, tagged(bag(root="") | change)), "")
    assert told(refused) == [("MANIFESTE", text)]


def test_tags_are_protected(tmp_path: Path) -> None:
    entries = tagged(bag(root=""))
    lines = entries["tagmanifest-sha512.txt"].decode().splitlines(keepends=True)
    for name in ("bagit.txt", "bag-info.txt"):
        without = "".join(line for line in lines if not line.endswith(f"  {name}\n")).encode()
        with pytest.raises(SipRefusedError) as refused:
            bagit.read(bagged(tmp_path, entries | {"tagmanifest-sha512.txt": without}), "")
        assert told(refused) == [("MANIFESTE", f"{name} n'est pas dans le tagmanifest du sac.")]
    del entries["tagmanifest-sha512.txt"]
    with pytest.raises(SipRefusedError) as refused:
        bagit.read(bagged(tmp_path, entries), "")
    assert told(refused) == [("MANIFESTE", "Le sac n'a pas de tagmanifest : rien ne protège sa description.")]


def test_the_identifier_of_a_refused_bag(tmp_path: Path) -> None:
    assert bagit.identifier(bagged(tmp_path, bag(root="")), "") == "SAC-1"
    assert bagit.identifier(bagged(tmp_path, bag(root="sac/")), "sac/") == "SAC-1"
    assert bagit.identifier(bagged(tmp_path, {"bagit.txt": b"x"}), "") == ""
    assert bagit.identifier(bagged(tmp_path, {"bag-info.txt": b"\xff:\nExternal-Identifier: \xe9"}), "") == "\ufffd"


# -- formats ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("puid", "said"),
    [
        ("fmt/477", "PDF/A-2b déclaré par le fichier, conformité non validée"),
        ("fmt/18", "PDF sans déclaration PDF/A"),
        ("fmt/101", ""),
    ],
)
def test_what_may_be_said_of_pdfa(puid: str, said: str) -> None:
    assert Format(puid, "", "", "", "").pdfa == said


def answering(matches: Sequence[Mapping[str, str]]) -> Any:
    class Scanner:
        def identify(self, path: str, detailed: bool) -> dict[str, Any]:
            assert detailed
            return {"files": [{"matches": list(matches)}]}

    return Scanner()


def test_an_extension_alone_says_no_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    member = Member("a.pdf", tmp_path / "a", 1, "")
    member.path.write_bytes(b"a")
    known = {"id": "fmt/18", "format": "PDF", "version": "1.4", "mime": "application/pdf"}
    for basis, puid in (
        ("extension match pdf; byte match at 0", "fmt/18"),
        ("container name", "fmt/18"),
        ("extension match pdf", "UNKNOWN"),
    ):
        scanner = answering([known | {"basis": basis}])
        monkeypatch.setattr(formats, "_load_siegfried", lambda scanner=scanner: scanner)
        assert formats.identify_one(member).puid == puid
    monkeypatch.setattr(formats, "_load_siegfried", lambda: answering([]))
    assert formats.identify_one(member) == Format("UNKNOWN", "", "", "", "")
    with pytest.raises(SipRefusedError) as refused:
        formats.identify([member], frozenset({"fmt/18"}), [])
    assert told(refused) == [("FORMAT", "« a.pdf » est au format UNKNOWN (inconnu), qui n'est pas admis.")]
    assert formats.identify([member], frozenset(), ["a.pdf"]) == {}


def test_without_its_scanner_of_formats_nothing_is_admitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> Any:
        raise ImportError("pygfried")

    monkeypatch.setattr(formats, "_load_siegfried", absent)
    with pytest.raises(SipRefusedError) as refused:
        formats.identify_one(Member("a.pdf", tmp_path / "a", 1, ""))
    text = "L'identification des formats ne fonctionne pas (pygfried). Réessayez plus tard."
    assert (told(refused), refused.value.temporary) == ([("FORMAT", text)], True)
    assert formats.version() == "Siegfried absent (pygfried)"


# -- the registry -------------------------------------------------------------------------------------------


def archive(message: str = "M1", size: int = 100, **changes: Any) -> Archive:
    values: dict[str, Any] = {
        "aip": f"aip-{message}", "account": "gondecourt", "message": message, "fingerprint": "f", "versement": "v",
        "title": "T", "kind": "SEDA", "size": size, "sha512": None, "retain_until": 2_000_000_000, "action": "Keep",
        "files": [{"nom": "a"}], "taken": 1000.0, "stored": None, "reply": None,
    }  # fmt: skip # a table
    return Archive(**(values | changes))


def answer(message: str = "M1", accepted: bool = True, when: float = 2000.0, **changes: Any) -> Answer:
    values: dict[str, Any] = {
        "versement": f"v-{message}", "account": "gondecourt", "message": message, "accepted": accepted,
        "temporary": False, "aip": f"aip-{message}", "when": when, "reasons": [], "content": b"<r/>",
    }  # fmt: skip # a table
    return Answer(**(values | changes))


def test_an_account_fills_its_quota_and_no_more(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "r")
    registry.reserve(archive("M1", 600, versement="v1"), 1000)
    registry.reserve(archive("M2", 400, versement="v2"), 1000)
    with pytest.raises(QuotaExceededError) as over:
        registry.reserve(archive("M3", 1), 1000)
    assert over.value.used == 1000
    assert registry.usage() == {"gondecourt": (2, 1000)}
    registry.release("v2")
    registry.reserve(archive("M3", 400), 1000)
    registry.accept("aip-M1", 500, "s", answer())
    assert registry.usage() == {"gondecourt": (2, 900)}
    registry.release("v1")  # stored: its place is its own
    assert registry.usage() == {"gondecourt": (2, 900)}
    for name in ("aip-M1", "aip-M3"):
        registry.forget(name)
    assert registry.usage() == {}


def test_archives_of_many_files_are_listed_in_bounded_memory(tmp_path: Path) -> None:
    """All accounts share the door's memory: a hundred SIPs of ten thousand small files ended it at each look."""
    registry = Registry(tmp_path / "r")
    files = [{"nom": f"content/{'x' * 200}/{rank}", "octets": 1, "sha512": "0" * 128} for rank in range(10_000)]
    names = [f"M{rank:02d}" for rank in range(12)]
    for name in names:
        registry.reserve(archive(name, versement=f"v-{name}", files=files if name < "M08" else []), 1 << 30)
        registry.accept(f"aip-{name}", 90, "s", answer(name))
    tracemalloc.start()
    assert len(registry.latest("gondecourt", 20)) == 12
    found = registry.archives("gondecourt")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40_000_000
    seen = list[str]()
    while found:  # as a client goes on
        seen += [one.aip for one in found]
        found = registry.archives("gondecourt", after=seen[-1])
    assert seen == [f"aip-{name}" for name in names]
    assert len(registry.archives("gondecourt", after="aip-M07")) == 4


def test_an_identifier_is_one_sip_s(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "r")
    registry.reserve(archive(), 1000)
    registry.reserve(archive(), 1000)  # the same versement, after a crash
    assert registry.usage() == {"gondecourt": (1, 100)}
    for fingerprint, same in (("f", True), ("g", False)):
        with pytest.raises(IdentifierTakenError) as taken:
            registry.reserve(archive(versement="w", fingerprint=fingerprint), 1000)
        assert (taken.value.same, taken.value.archive) == (same, archive())
    assert registry.archive("gondecourt", "aip-M1") is None  # not stored yet
    assert registry.archives("gondecourt") == registry.latest("gondecourt", 5) == []
    registry.accept("aip-M1", 90, "s", answer())
    with pytest.raises(IdentifierTakenError):
        registry.reserve(archive(), 1000)
    kept = registry.archive("gondecourt", "aip-M1")
    assert kept
    assert (kept.size, kept.sha512, kept.stored, kept.reply) == (90, "s", 2000.0, b"<r/>")
    assert registry.archive("loos", "aip-M1") is None
    assert kept.answer() == answer(versement="v")
    assert kept.to_dict() == {
        "archive": "aip-M1", "identifiant": "M1", "titre": "T", "genre": "SEDA", "octets": 90, "sha512": "s",
        "conserve_jusqua": "2033-05-18", "sort_final": "Conserver", "verse_le": "1970-01-01T00:33:20Z",
        "fichiers": [{"nom": "a"}],
    }  # fmt: skip # a table


def test_answers_are_kept_refusals_for_four_hundred_days(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "r")
    first = answer("M1", accepted=False, when=0.0, versement="v1", aip=None, reasons=["raison"])
    registry.refuse(first)
    assert registry.answer("v1") == first
    registry.refuse(answer("M2", accepted=False, when=400 * 86400.0, versement="v2", temporary=True))
    assert registry.answer("v1") == first
    registry.refuse(answer("M2", accepted=False, when=400 * 86400.0 + 1, versement="v3"))
    assert registry.answer("v1") is None
    assert [one.versement for one in registry.recent(2)] == ["v3", "v2"]
    registry.reserve(archive("M2"), 1000)
    registry.accept("aip-M2", 100, "s", answer("M2", when=5.0, versement="v4"))
    last = registry.last_answer("gondecourt", "M2")
    assert last
    assert (last.versement, last.accepted) == ("v4", True)
    assert registry.last_answer("loos", "M2") is None
    assert registry.counts() == {("gondecourt", "OK"): 1, ("gondecourt", "KO"): 2}


# -- the work under way -------------------------------------------------------------------------------------


def under_way(gateway: Gateway) -> tuple[str, Path]:
    """A SIP that was received and no more."""
    key = gateway.engine.receive(GONDECOURT, io.BytesIO(tar({"manifest.xml": manifest(), **FILES})))
    return key, gateway.config.spool / key


def test_a_versement_of_an_account_that_is_gone_stays(gateway: Gateway) -> None:
    key, folder = under_way(gateway)
    gateway.engine.config = replace(gateway.config, accounts={"loos": LOOS})
    with pytest.raises(OSError, match=r"le compte « gondecourt » n'existe plus$"):
        gateway.engine.treat(key)
    assert [*gateway.engine.resume()] == [(key, "en erreur")]
    assert folder.is_dir()


def test_a_finished_versement_whose_answer_is_lost_is_told(gateway: Gateway) -> None:
    key, folder = under_way(gateway)
    state = json.loads((folder / "etat.json").read_bytes())
    (folder / "etat.json").write_text(json.dumps(state | {"step": "repondu"}))
    with pytest.raises(OSError, match=r"réponse perdue$"):
        gateway.engine.treat(key)
    assert folder.is_dir()


def test_a_working_file_that_is_gone_stops_the_packing(gateway: Gateway) -> None:
    key, folder = under_way(gateway)

    def lose(step: str) -> None:
        if step == "controle":
            (folder / "contenu" / "000001").unlink()

    gateway.engine.step = lose
    with pytest.raises(OSError, match=r"« content/acte\.pdf » n'est plus dans le dossier de travail$"):
        gateway.engine.treat(key)


def test_the_same_sip_by_another_container_waits_for_the_first(gateway: Gateway) -> None:
    key, _folder = under_way(gateway)
    gateway.engine.step = lambda step: (_ for _ in ()).throw(OSError("coupure")) if step == "controle" else None
    with pytest.raises(OSError, match="coupure"):
        gateway.engine.treat(key)
    gateway.engine.step = lambda step: None
    second = gateway.deposit(zipped({"manifest.xml": manifest(), **FILES}))
    assert (second.accepted, second.temporary) == (False, True)
    assert list(second.reasons) == ["Ce même SIP est en cours de versement. Réessayez."]
    assert gateway.engine.treat(key).accepted
    again = gateway.deposit(zipped({"manifest.xml": manifest(), **FILES}))
    assert (again.accepted, again.aip) == (True, gateway.registry.latest("gondecourt", 1)[0].aip)
    assert len(gateway.stored()) == 1


def test_another_content_under_the_archive_s_name_is_refused(gateway: Gateway) -> None:
    first = gateway.deposit(tar({"manifest.xml": manifest(), **FILES}))
    gateway.registry.forget(first.aip or "")
    with gateway.registry._write_transaction() as db:
        db.execute("DELETE FROM reponse")
    head = gateway.store.head
    gateway.engine.store.head = lambda *given: (head(*given) or {}) | {"empreinte": "autre"}  # type: ignore[method-assign] # this one
    refused = gateway.deposit(tar({"manifest.xml": manifest(), **FILES}))
    assert (refused.accepted, refused.temporary) == (False, False)
    assert list(refused.reasons) == [
        "Un autre contenu est déjà au stockage sous l'identifiant de cette archive : prévenez le service."
    ]
    assert gateway.registry.usage() == {}


def test_an_upload_that_was_cut_goes_after_an_hour(gateway: Gateway) -> None:
    for name, age in ((".ancien", 3700), (".recent", 3500)):
        (gateway.config.spool / name).mkdir()
        os.utime(gateway.config.spool / name, (time.time() - age,) * 2)
    assert list(gateway.engine.resume()) == []
    assert [path.name for path in gateway.config.spool.iterdir()] == [".recent"]


def test_a_file_that_is_not_in_its_archive_is_told(gateway: Gateway) -> None:
    answer = gateway.deposit(tar({"manifest.xml": manifest(), **FILES}))
    known = gateway.registry.archive("gondecourt", answer.aip or "")
    assert known
    (path,) = (gateway.root / "archives" / "gondecourt" / "aip").iterdir()
    content = path.read_bytes()
    path.write_bytes(content.replace(b"sip/content/acte.pdf", b"sip/content/acte.bak"))
    expected = f"archive {known.aip} : « content/acte.pdf » n'y est pas"
    for spoil, words in (
        (lambda: None, expected),
        (lambda: path.write_bytes(content[: content.index(b"ocfl_object")] + b"x" * 2000), "illisible : "),
    ):
        spoil()
        with gateway.engine.open(GONDECOURT, known) as stream, pytest.raises(CorruptedObjectError) as corrupted:
            list(gateway.engine.file_blocks(stream, known, "content/acte.pdf"))
        assert words in str(corrupted.value)


def test_figures_of_the_gateway(gateway: Gateway, clamd: FakeClamd) -> None:
    gateway.deposit(tar({"manifest.xml": manifest(), **FILES}))
    gateway.deposit(tar({"manifest.xml": manifest(message="ACTE-2")}))
    key, folder = under_way(gateway)
    os.utime(folder, (time.time() - 500,) * 2)
    (gateway.config.spool / ".cache").mkdir()

    def figures() -> dict[str, float]:
        metrics.publish(gateway.config, gateway.registry)
        lines = (gateway.config.metrics / metrics.NAME).read_text().splitlines()
        return {
            one.rpartition(" ")[0].removeprefix("sae_"): float(one.rpartition(" ")[2])
            for one in lines
            if not one.startswith("#")
        }

    found = figures()
    assert (found['archives{compte="gondecourt"}'], found['archives{compte="loos"}']) == (1, 0)
    assert found['archives_bytes{compte="gondecourt"}'] == gateway.registry.usage()["gondecourt"][1]
    assert (found['quota_bytes{compte="gondecourt"}'], found['quota_bytes{compte="loos"}']) == (200e6, 5e6)
    assert found['versements{compte="gondecourt",resultat="OK"}'] == 1
    assert found['versements{compte="gondecourt",resultat="KO"}'] == 1
    assert found["versements_waiting"] == 1
    assert 499 < found["versements_waiting_seconds"] < 600
    assert (found["antivirus_up"], found["antivirus_signatures_age_seconds"]) == (1, -1)
    assert abs(found["maintenance_timestamp_seconds"] - time.time()) < 60
    assert (gateway.config.metrics / metrics.NAME).stat().st_mode & 0o777 == 0o644
    gateway.engine.treat(key)
    (gateway.config.signatures / "main.cvd").touch()
    clamd.version = "Bonjour"
    found = figures()
    assert (found["versements_waiting"], found["versements_waiting_seconds"], found["antivirus_up"]) == (0, 0, 0)
    assert 0 <= found["antivirus_signatures_age_seconds"] < 60
    clamd.stop()
    assert figures()["antivirus_up"] == 0


def test_what_a_service_may_be_by_default(tmp_path: Path) -> None:
    account = Account("a", "A", "1")
    assert (account.quota_mo, account.dua_min, account.dua_max) == (100_000, 1, 100)
    assert Limits() == Limits(2_000_000_000, 4_000_000_000, 10_000, 100, 50_000_000)
    known = {one: Format(one, "", "", "", "").pdfa for one in settings(tmp_path).formats}
    declared = {one for one, said in known.items() if said.endswith("conformité non validée")}
    assert len(declared) == 11
    plain = {one for one, said in known.items() if said == "PDF sans déclaration PDF/A"}
    assert plain == {f"fmt/{number}" for number in (14, 15, 16, 17, 18, 19, 20, 276, 1129)}


def test_a_bag_without_a_tag_file_or_with_a_huge_one(tmp_path: Path) -> None:
    entries = bag(root="")
    del entries["bag-info.txt"]
    with pytest.raises(SipRefusedError) as refused:
        bagit.read(bagged(tmp_path, entries), "")
    assert told(refused) == [("MANIFESTE", "Le sac n'a pas de bag-info.txt.")]
    members = bagged(tmp_path, bag(root=""))
    huge = members["bag-info.txt"]
    for size, refusal in ((10_000_000, False), (10_000_001, True)):
        changed = members | {"bag-info.txt": replace(huge, size=size)}
        assert bagit.identifier(changed, "") == ("" if refusal else "SAC-1")
        if refusal:
            with pytest.raises(SipRefusedError) as refused:
                bagit.read(changed, "")
            assert told(refused) == [("MANIFESTE", "bag-info.txt est démesuré.")]
        else:
            assert bagit.read(changed, "").message == "SAC-1"
