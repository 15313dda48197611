"""A bundle: rendered, sealed, packed, verified; one changed byte is named; half a bundle never verifies."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import re
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lxml import html

from creatic.audit import oscal as audit_oscal
from creatic.audit import page as audit_page
from creatic.audit import run as audit_run
from creatic.audit import store as audit_store
from creatic.audit.sources import AuditError, Check
from creatic.evidence import store as evidence_store
from creatic.evidence.seal import SealError, SealKeys
from creatic.evidence.store import EvidenceError

from .conftest import Catalogue, T, check, collected, entry, example, target

REPO = Path(__file__).parents[3]
NAMES = [
    *("rapport.html", "rapport.pdf", "resultats.json", "oscal-assessment-results.json", "junit/tdt_connector.xml"),
    *("machines/gondecourt-connecteur/openscap-arf.xml.gz", "catalogue/controls.yml", "racine.pem", "chaine.pem"),
]


def make_bundle(home: Path, keys: SealKeys, arf: bytes) -> tuple[Path, Path]:
    """Publish an example as ``fab audit`` does."""
    name, staging = evidence_store.open_run(home / "audits", "ops@poste")
    report = collected()
    report["openscap"]["arf_gz_b64"] = base64.b64encode(arf).decode()
    audit_store.keep_collected(staging, "gondecourt-connecteur", report)
    for folder in ("junit", "catalogue"):
        (staging / folder).mkdir()
    (staging / "junit" / "tdt_connector.xml").write_text("<testsuites/>")
    (staging / "catalogue" / "controls.yml").write_text("[]\n")
    results = example(audit_store.previous_results(home)) | {"audit": name}
    (staging / audit_store.OSCAL).write_text(audit_oscal.assessment_results(results), encoding="utf-8")
    (staging / audit_store.REPORT).write_text(audit_page.report(results), encoding="utf-8")
    (staging / audit_store.PDF).write_bytes(b"%PDF-1.7 drawn by test_pdf, it is slow\n%%EOF")
    with evidence_store.closing(home / "audits") as finished:
        made, _ = evidence_store.publish(staging, finished, audit_store.RESULTS, results, {}, keys)
    return made, made.with_name(f"{name}.tar.gz")


@pytest.fixture
def bundle(home: Path, keys: SealKeys, arf: bytes) -> tuple[Path, Path]:
    """Folder and archive of one audit."""
    return make_bundle(home, keys, arf)


def test_folder_and_archive_verify(bundle: tuple[Path, Path], keys: SealKeys) -> None:
    for one in bundle:
        result = evidence_store.verify_one(one, keys.root)
        assert result.intact, result.faults
        assert result.signer and "CN=Preuves de déploiement" in result.signer
        assert result.sealed_at is not None
    with tarfile.open(bundle[1]) as archive:
        inside = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    assert inside == {str(path.relative_to(bundle[0])) for path in bundle[0].rglob("*") if path.is_file()}
    assert set(NAMES) <= inside


def flip(path: Path) -> None:
    """Change one byte in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", [*NAMES, "empreintes.sha256", "signature.p7s", "horodatage.tsr"])
def test_one_changed_byte_is_named(bundle: tuple[Path, Path], keys: SealKeys, name: str) -> None:
    flip(bundle[0] / name)
    faults = dict(evidence_store.verify_one(bundle[0], keys.root).faults)
    assert name in faults
    # Nothing else is accused, but for what the seal's own files need of each other.
    if name != "empreintes.sha256":
        assert not {*faults} - {name, *(["horodatage.tsr", "signature.p7s"] if name == "chaine.pem" else [])}


def test_a_missing_and_an_added_file_are_named(bundle: tuple[Path, Path], keys: SealKeys) -> None:
    (bundle[0] / "rapport.pdf").unlink()
    (bundle[0] / "machines" / "added.txt").write_text("x")
    faults = dict(evidence_store.verify_one(bundle[0], keys.root).faults)
    assert "supprimé" in faults["rapport.pdf"]
    assert "ajouté" in faults["machines/added.txt"]


def test_a_tampered_archive_is_refused(bundle: tuple[Path, Path], keys: SealKeys, tmp_path: Path) -> None:
    flip(bundle[1])
    with pytest.raises(EvidenceError, match="abîmée"):
        evidence_store.verify_one(bundle[1], keys.root)


def test_a_hostile_archive_writes_nothing_outside(keys: SealKeys, tmp_path: Path) -> None:
    evil = tmp_path / "evil.tar.gz"
    (tmp_path / "x").write_text("x")
    with tarfile.open(evil, "w:gz") as archive:
        archive.add(tmp_path / "x", arcname="../../outside")
    with pytest.raises(EvidenceError, match="n'est pas une archive de preuves"):
        evidence_store.verify_one(evil, keys.root)


@pytest.mark.parametrize("what", ["absent", "empty folder", "text"])
def test_what_is_no_bundle_is_said_in_french(keys: SealKeys, tmp_path: Path, what: str) -> None:
    target = tmp_path / "bundle"
    if what == "empty folder":
        target.mkdir()
    elif what == "text":
        target.write_text("x")
    with pytest.raises(EvidenceError, match=r"aucun dossier|n'est pas un dossier de preuves|n'est pas une archive"):
        evidence_store.verify_one(target, keys.root)


def documented_commands() -> str:
    """The shell block of docs/auditeur.md that checks an audit."""
    text = (REPO / "docs" / "auditeur.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return next(block for block in blocks if "openssl ts -verify" in block)


@pytest.mark.parametrize("name", ["", "rapport.html", "empreintes.sha256", "signature.p7s", "horodatage.tsr", "added"])
def test_the_documented_commands_alone_are_enough(bundle: tuple[Path, Path], name: str) -> None:
    """sha256sum, openssl and find, as docs/auditeur.md gives them."""
    if name == "added":
        (bundle[0] / "added").write_text("x")
    elif name:
        flip(bundle[0] / name)
    script = f"set -eo pipefail\n{documented_commands()}"
    done = subprocess.run(["bash", "-c", script], cwd=bundle[0], capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (name in ("", "added")), done.stderr
    if done.returncode == 0:
        seal = ["empreintes.sha256", "horodatage.tsr", "signature.p7s"]
        assert done.stdout.splitlines()[-4 if name else -3 :] == (["added"] if name else []) + seal


def test_audits_are_chained(home: Path, keys: SealKeys, arf: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    names = iter(["2026-11-25T040000Z", "2026-11-25T050000Z", "2026-11-25T060000Z"])
    monkeypatch.setattr(evidence_store, "new_run_id", lambda: next(names))
    folders = [make_bundle(home, keys, arf)[0] for _ in range(3)]
    found = evidence_store.verify_all(home / "audits", keys.root)
    assert [*found] == [*(f"{folder.name}{end}" for end in ("", ".tar.gz") for folder in folders), "index.html"]
    assert all(one.intact for one in found.values())
    flip(folders[0] / "signature.p7s")
    assert "signature.p7s" in dict(evidence_store.verify_all(home / "audits", keys.root)[folders[0].name].faults)
    shutil.rmtree(folders[1])
    assert evidence_store.verify_all(home / "audits", keys.root)[folders[2].name].faults == [
        ("resultats.json", "chaîne rompue : le passage 2026-11-25T050000Z a disparu")
    ]


def test_nothing_is_published_when_it_cannot_be_sealed(home: Path, keys: SealKeys, arf: bytes, tmp_path: Path) -> None:
    from dataclasses import replace

    with pytest.raises(SealError, match="introuvable"):
        make_bundle(home, replace(keys, chain=tmp_path / "absent.pem"), arf)
    assert evidence_store.runs(home / "audits") == []
    assert not list((home / "audits").glob("*.tar.gz"))


@pytest.mark.parametrize("moment", ["look", "test", "conclude", "publish"])
def test_an_interrupted_audit_leaves_nothing_that_verifies(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    order = audit_run.Order(REPO, REPO / "inventories" / "lab", home, "", "", Catalogue([]), [], True)
    audit = audit_run.Audit(order, lambda _text: None)

    def interrupted(*_arguments: Any) -> None:
        raise KeyboardInterrupt

    steps: dict[str, Callable[..., Any]] = {
        "look": lambda: None,
        "test": lambda _targets: None,
        "gather": lambda _targets: [],
        "conclude": lambda _found: {},
    }
    for name, step in steps.items():
        monkeypatch.setattr(audit, name, interrupted if name == moment else step)
    if moment == "publish":
        monkeypatch.setattr(evidence_store, "publish", interrupted)
    with pytest.raises(KeyboardInterrupt):
        audit.perform()
    assert [path.name for path in (home / "audits").iterdir() if path.name != ".verrou"] == []


@pytest.mark.parametrize("moment", ["constats", "essais"])
def test_an_interrupted_audit_keeps_what_was_found_and_says_what_is_missing(
    home: Path, keys: SealKeys, arf: bytes, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    monkeypatch.setattr(evidence_store, "seal_keys", lambda _home: keys)
    catalogue = Catalogue([entry("R80", tests=(f"{T}test_a",)), entry("R61", oscap=("sudo",))])
    said: list[str] = []
    order = audit_run.Order(REPO, REPO / "inventories" / "lab", home, "", "", catalogue, [], True)
    audit = audit_run.Audit(order, said.append)
    names = ["faite", "constatee", "attendue"]
    windows = target("pc-windows", system="windows", profile="commune_pc")
    targets = [*(target(name, profile=profile) for name, profile in zip(names, ("a", "b", "c"), strict=True)), windows]

    def look() -> None:
        audit_store.write_plan(audit.staging, targets)
        for name in names[:2]:
            report = collected()
            report["openscap"]["arf_gz_b64"] = base64.b64encode(arf).decode()
            audit_store.keep_collected(audit.staging, name, report)
        (audit.staging / "machines" / "attendue").mkdir()
        (audit.staging / "machines" / "attendue" / audit_store.ARF).write_bytes(b"half")
        if moment == "constats":
            raise KeyboardInterrupt
        host: dict[str, Any] = {
            "incident": None,
            "derive": [],
            "phases": ["constats", "derive"],
            "secondes": {},
            "taches": 3,
        }
        audit_store.write_followed(audit.staging, dict.fromkeys(names[:2], host))

    def tests(profile: str, hosts: list[str], _folder: Path) -> list[Check]:
        if profile != "a":
            raise KeyboardInterrupt
        return [check("test_a", host=hosts[0])]

    monkeypatch.setattr(audit, "look", look)
    monkeypatch.setattr(audit, "_run_profile_tests", tests)
    results, folder = audit.perform()
    assert evidence_store.verify_one(folder, keys.root).intact
    assert "Ctrl-C" in said[-1] and not (folder / "machines" / "attendue").exists()
    machines = {one["nom"]: one for one in results["machines"]}
    done = moment == "essais"
    assert {name: one["etat"] for name, one in machines.items()} == {
        "faite": "auditee" if done else "en_erreur",
        "constatee": "en_erreur",
        "attendue": "en_erreur",
        "pc-windows": "hors_portee",
    }
    missing = "ses essais" if done else "sa comparaison et ses essais"
    assert machines["constatee"]["incident"]["raison"] == f"audit interrompu, il manque {missing}"
    assert machines["attendue"]["incident"]["raison"] == "audit interrompu, tout reste à faire"
    assert "fab audit --limite attendue" in (folder / audit_store.REPORT).read_text()
    verdicts = {
        one["id"]: {name: what["verdict"] for name, what in one["machines"].items()} for one in results["controles"]
    }
    assert verdicts["R80"]["faite"] == ("conforme" if done else "non_verifie")
    assert verdicts["R80"]["constatee"] == verdicts["R80"]["attendue"] == "non_verifie"
    assert not results["verdict"]["conforme"] and results["interrompu"]
    assert audit_store.previous_results(home) is None, "a trend is drawn from whole audits"


def test_a_profile_names_its_tests_that_failed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = Catalogue([entry("R68", titre="Mots de passe", tests=(f"{T}test_a",))])
    said: list[str] = []
    order = audit_run.Order(REPO, REPO / "inventories" / "lab", home, "", "", catalogue, [], True)
    audit = audit_run.Audit(order, said.append)
    bad = [
        check("test_a", "echec", "x", "assert 1 == 2"),
        *(check(f"test_{n}", "echec", "x", "y" * 300) for n in range(11)),
    ]
    monkeypatch.setattr(audit, "_run_profile_tests", lambda *_given: [*bad, check("test_b", host="x")])
    audit.test([target("x")])
    assert said[-12].startswith("   ✗ tdt_connector") and "1 réussi, 12 échecs" in said[-12]
    assert said[-11] == "     ✗ x : R68 Mots de passe, test_a : assert 1 == 2"
    assert said[-10] == f"     ✗ x : test_0 : {'y' * 159}…"
    assert said[-1] == "       et 2 autres, dans le rapport"


def test_an_interruption_waits_until_nothing_is_written_any_more(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ansible is told to end, and what it writes while it does is there before the folder is sealed."""
    playbook = tmp_path / "ansible-playbook"
    playbook.write_text(
        "#!/bin/sh\n"
        f"""trap 'sleep 0.3; echo > "${audit_store.FOLDER}/ended"; exit 0' TERM\n"""
        f"""until [ -e "${audit_store.FOLDER}/waited" ]; do sleep 0.05; done\n"""
        "kill -INT $PPID\n"
        "while :; do sleep 0.05; done\n"
    )
    playbook.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    order = audit_run.Order(REPO, REPO / "inventories" / "lab", home, "", "", Catalogue([]), [], True)
    audit = audit_run.Audit(order, lambda _text: None)
    wait = subprocess.Popen.wait

    def waited(process: subprocess.Popen[Any], timeout: float | None = None) -> int:
        (audit.staging / "waited").touch()
        return wait(process, timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", waited)
    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)  # a worker of the tests takes no Ctrl-C
    try:
        with pytest.raises(KeyboardInterrupt):
            audit.look()
    finally:
        signal.signal(signal.SIGINT, ignored)
    assert (audit.staging / "ended").exists()


def test_a_collector_that_lies_is_refused(tmp_path: Path, arf: bytes) -> None:
    report = collected()
    with pytest.raises(ValueError, match="absent, ou démesuré"):
        audit_store.keep_collected(tmp_path, "x", collected(openscap={}))
    report["openscap"]["arf_gz_b64"] = "not base64 é"
    with pytest.raises(ValueError):
        audit_store.keep_collected(tmp_path, "x", report)
    report["openscap"]["arf_gz_b64"] = base64.b64encode(arf[:-20]).decode()
    audit_store.keep_collected(tmp_path, "../x", report)
    assert audit_store.host_folder(tmp_path, "../x").parent == tmp_path / "machines"
    with pytest.raises(AuditError, match="abîmé"):
        audit_store.read_arf_bytes(tmp_path, "../x")


# -- The pages ----------------------------------------------------------------------------------------


def test_the_page_says_it_all_and_escapes() -> None:
    text = audit_page.report(example())
    page = html.fromstring(text)
    shown = " ".join(" ".join(str(part) for part in page.itertext()).split()).replace("\u00a0", " ")
    for words in (
        *("Audit de Gondecourt", "Non conforme", "3 écarts sans dérogation", "1 machine n’a pas pu être auditée"),
        *("gondecourt-pc-secretariat", "Vérifier que la machine est allumée", "Premier audit de ce poste"),
        *(
            "accordée par RSSI du groupement jusqu’au 1er novembre 2027",
            "assert 'sha512' == 'yescrypt'",
            "/etc/localtime",
        ),
        *("Attestations à signer", "Je certifie que <b>les comptes</b>…", "Nom et fonction", "openssl ts -verify"),
        *("grub2_password", "variable hardening_yescrypt", "3.5.1-1+deb13u1", "sysctl_value = 2", "tcp 22 (sshd)"),
    ):
        assert words in shown, words
    assert not page.xpath("//script|//link|//img|//iframe")
    assert not page.xpath("//*[starts-with(@src, 'http') or starts-with(@href, 'http')]")
    anchors = {str(one.get("id")) for one in page.iter()}
    links = {str(one.get("href")) for one in page.iter("a")}
    assert {link[1:] for link in links if link.startswith("#")} <= anchors


def test_the_trend_is_shown() -> None:
    before = example()
    before["audit"] = "2026-10-25T040000Z"
    before["controles"][3]["machines"]["gondecourt-connecteur"]["verdict"] = "non_conforme"
    text = " ".join(audit_page.report(example(before)).split()).replace("\u00a0", " ")
    assert "Depuis l’audit 2026-10-25T040000Z" in text
    assert "1 amélioration</b>" in text


def test_a_level_of_high_on_one_machine_is_named_in_french() -> None:
    assert "niveau <b>intermédiaire</b>" in audit_page.report(example())


def test_the_pdf_is_drawn(tmp_path: Path) -> None:
    target = tmp_path / "rapport.pdf"
    audit_page.write_pdf(audit_page.report(example()), target)
    done = subprocess.run(["pdftotext", "-layout", target, "-"], capture_output=True, text=True, check=True)
    for words in ("Audit de Gondecourt", "Non conforme", "Attestations à signer", "page 1 /"):
        assert words in done.stdout, done.stdout


def test_oscal_is_valid_and_says_the_same() -> None:
    from trestle.oscal.assessment_results import Model

    text = audit_oscal.assessment_results(example())
    Model.model_validate_json(text)
    result = json.loads(text)["assessment-results"]["results"][0]
    states = {one["target"]["target-id"]: one["target"]["status"] for one in result["findings"]}
    assert states["r68"]["state"] == "not-satisfied" and states["r68"]["reason"] == "fail"
    assert "r3" not in states
    assert result["risks"][0]["status"] == "deviation-approved"
    observed = {one["uuid"] for one in result["observations"]}
    related = {two["observation-uuid"] for one in result["findings"] for two in one["related-observations"]}
    assert related == observed


# -- the folder of an audit -----------------------------------------------------------------------------------------


def test_notes_of_a_running_audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(audit_store.FOLDER, raising=False)
    assert audit_store.current() is None
    monkeypatch.setenv(audit_store.FOLDER, str(tmp_path / "absent"))
    assert audit_store.current() is None
    monkeypatch.setenv(audit_store.FOLDER, str(tmp_path))
    assert audit_store.current() == tmp_path
    assert (audit_store.read_plan(tmp_path), audit_store.read_followed(tmp_path)) == ([], {})
    audit_store.write_plan(tmp_path, [target("a"), target("b")])
    audit_store.write_followed(tmp_path, {"a": {"é": 1}})
    assert audit_store.read_plan(tmp_path) == [target("a"), target("b")]
    assert audit_store.read_followed(tmp_path) == {"a": {"é": 1}}
    audit_store.clear_notes(tmp_path)
    audit_store.clear_notes(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", [("systeme", "noyau"), ("systeme", "nom"), ("correctifs", "securite")])
def test_an_answer_without_its_facts_is_refused(tmp_path: Path, missing: tuple[str, str]) -> None:
    report = collected()
    report["openscap"]["arf_gz_b64"] = base64.b64encode(b"x").decode()
    del report[missing[0]][missing[1]]
    with pytest.raises(ValueError, match=rf"^champ « collecte.{missing[0]}.{missing[1]} » absent$"):
        audit_store.keep_collected(tmp_path, "a", report)
    assert audit_store.read_collected(tmp_path, "a") is None


def test_a_result_of_openscap_has_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (evidence_store._MAX_BYTES, audit_store._MAX_ARF) == (4 * 1024**3, 256 * 1024**2)
    monkeypatch.setattr(audit_store, "_MAX_ARF", 2 * 1024**2)
    report = collected()
    for size, good in ((2 * 1024**2, True), (2 * 1024**2 + 1, False)):
        report["openscap"]["arf_gz_b64"] = base64.b64encode(gzip.compress(bytes(size))).decode()
        audit_store.keep_collected(tmp_path, "a/b", report)
        if good:
            assert audit_store.read_arf_bytes(tmp_path, "a/b") == bytes(size)
        else:
            with pytest.raises(AuditError, match=r"^a/b : le résultat d'OpenSCAP dépasse 2 Mio$"):
                audit_store.read_arf_bytes(tmp_path, "a/b")
    (audit_store.host_folder(tmp_path, "a/b") / audit_store.ARF).write_bytes(b"oups")
    with pytest.raises(AuditError, match=r"^a/b : le résultat d'OpenSCAP est abîmé : "):
        audit_store.read_arf_bytes(tmp_path, "a/b")


def packed(path: Path, *names: str, size: int = 1) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = size
            archive.addfile(info, io.BytesIO(bytes(size)))
    return path


def test_an_archive_that_is_none_of_ours_is_refused(
    tmp_path: Path, keys: SealKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    for names in (("a/x", "b/x"), ("fichier",)):
        path = packed(tmp_path / "x.tar.gz", *names)
        with pytest.raises(
            EvidenceError, match=r"^x.tar.gz : l'archive doit contenir un seul dossier, celui du passage$"
        ):
            evidence_store.verify_one(path, keys.root)
    with pytest.raises(EvidenceError, match=r"x.tar.gz n'est pas un dossier de preuves$"):
        evidence_store.verify_one(packed(tmp_path / "x.tar.gz", "a/x"), keys.root)
    monkeypatch.setattr(evidence_store, "_MAX_BYTES", 10)
    with pytest.raises(EvidenceError, match=r"^x.tar.gz : contenu démesuré, refusé$"):
        evidence_store.verify_one(packed(tmp_path / "x.tar.gz", "a/x", "a/y", size=6), keys.root)
    with pytest.raises(EvidenceError, match=r"absente.pem est introuvable : donnez la racine"):
        evidence_store.verify_one(tmp_path, tmp_path / "absente.pem")


def test_an_audit_without_its_archive_is_not_intact(home: Path, keys: SealKeys, arf: bytes) -> None:
    folder, archive = make_bundle(home, keys, arf)

    def faults(name: str) -> list[tuple[str, str]]:
        return evidence_store.verify_all(home / "audits", keys.root)[name].faults

    assert (faults(folder.name), faults(archive.name)) == ([], [])
    archive.unlink()
    assert faults(archive.name) == [(archive.name, "absent : l'archive de cet audit a été supprimée")]
    archive.write_bytes(b"oups")
    assert "abîmée" in faults(archive.name)[0][1]
    assert faults(folder.name) == []


def test_an_audit_killed_while_it_was_packed_does_not_keep_the_next(home: Path, keys: SealKeys, arf: bytes) -> None:
    (home / "audits" / ".en-cours-2026-11-24T080000Z").mkdir()
    (home / "audits" / ".en-cours-2026-11-24T080000Z.tar.gz").write_bytes(b"half")
    folder, archive = make_bundle(home, keys, arf)
    assert {path.name for path in (home / "audits").iterdir()} == {".verrou", "index.html", folder.name, archive.name}
