"""The protocol of the proofs: what is accepted, what is refused and how it is said."""

from __future__ import annotations

import base64
import getpass
import hashlib
import io
import json
import os
import pwd
import stat
import zlib
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.cdg59.creatic.plugins.action import proof as action
from ansible_collections.cdg59.creatic.plugins.action.proof import RefusedFilesError, keep_files
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.proof import (
    MAX_FILE,
    MAX_FILES,
    ProofError,
    parse,
    read_files,
    run,
)
from PIL import Image
from tdt_connector.proof import test_pdf as connector_pdf

GOOD = {"cle": "rgs", "libelle": "RGS", "verdict": "ok", "detail": "oui", "mesures": {"n": 1}}


def told(*proofs: Any, files: Any = ()) -> str:
    """The output of a command."""
    return json.dumps({"preuves": list(proofs), "fichiers": files})


def png(side: int = 1) -> bytes:
    """A picture."""
    stream = io.BytesIO()
    Image.new("RGB", (side, side)).save(stream, "PNG")
    return stream.getvalue()


def sent(name: str, content: bytes) -> dict[str, Any]:
    """A file as a machine sends it."""
    digest = hashlib.sha256(content).hexdigest()
    return {"nom": name, "octets": len(content), "sha256": digest, "contenu": base64.b64encode(content).decode()}


def script(folder: Path, body: str) -> str:
    """A command."""
    path = folder / "preuve"
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_a_good_output_is_read_with_every_field() -> None:
    proofs, files = parse(told(GOOD, {"cle": "acte", "verdict": "attention"}, files=["/a/b.png"]))
    assert proofs[0] == GOOD | {"remede": ""}
    assert proofs[1] == {
        "cle": "acte",
        "libelle": "acte",
        "verdict": "attention",
        "detail": "",
        "remede": "",
        "mesures": {},
    }
    assert files == ["/a/b.png"]


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("", "n'a pas rendu de JSON, mais : rien"),
        ("Traceback (most recent call last):", "Traceback"),
        ("[]", "liste « preuves »"),
        ('{"preuves": {}}', "liste « preuves »"),
        (told("rgs"), "preuve n° 1 : champ « cle » absent"),
        (told(GOOD, {"verdict": "ok"}), "preuve n° 2 : champ « cle » absent"),
        (told(GOOD | {"verdict": "OK"}), "verdict « OK » inconnu"),
        (told(GOOD, GOOD), "deux fois la même clé"),
        (told(GOOD, files=["relatif.png"]), "chemins absolus"),
        (told(GOOD, files="/x"), "chemins absolus"),
    ],
)
def test_a_bad_output_is_refused_in_french(output: str, words: str) -> None:
    with pytest.raises(ProofError, match=words):
        parse(output)


def test_the_command_runs_with_a_clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "canari")
    command = script(
        tmp_path, """printf '{"preuves":[{"cle":"x","verdict":"ok","detail":"%s %s"}]}' "$HOME" "$SECRET" """
    )
    proofs, _ = run([command], getpass.getuser(), 10)
    assert proofs[0]["detail"] == f"{pwd.getpwuid(os.getuid()).pw_dir} "


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("echo oups >&2; exit 3", r"n'a pas rendu de JSON, mais : rien \(oups\)"),
        ("sleep 20", "n'a pas répondu en 1 s"),
    ],
)
def test_a_broken_command_is_said(tmp_path: Path, body: str, words: str) -> None:
    with pytest.raises(ProofError, match=words):
        run([script(tmp_path, body)], getpass.getuser(), 1)


def test_a_missing_command_and_a_missing_account_are_said(tmp_path: Path) -> None:
    with pytest.raises(ProofError, match="est absent de l'hôte"):
        run([str(tmp_path / "absent")], getpass.getuser(), 1)
    with pytest.raises(ProofError, match="le compte fantome n'existe pas"):
        run(["true"], "fantome", 1)


def test_files_are_read_and_kept_whole(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for side, place in enumerate(("capture.png", "a/capture.png"), start=1):
        (tmp_path / place).write_bytes(png(side))
    files = read_files([str(tmp_path / "capture.png"), str(tmp_path / "a" / "capture.png")])
    kept = keep_files(tmp_path / "run" / "pc", "pc", files)
    assert [item["chemin"] for item in kept] == ["pc/capture.png", "pc/1-capture.png"]
    assert (tmp_path / "run" / "pc" / "1-capture.png").read_bytes() == png(2)


@pytest.mark.parametrize("name", ["page.html", "image.svg", "script.js", "sans-type"])
def test_what_a_browser_would_run_is_not_collected(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x", encoding="utf-8")
    with pytest.raises(ProofError, match="type de fichier refusé"):
        read_files([str(tmp_path / name)])


def test_missing_big_and_too_many_files_are_refused(tmp_path: Path) -> None:
    big = tmp_path / "gros.png"
    with big.open("wb") as stream:
        stream.truncate(MAX_FILE + 1)
    with pytest.raises(ProofError, match="au plus"):
        read_files([str(big)])
    with pytest.raises(ProofError, match="illisible"):
        read_files([str(tmp_path / "absent.png")])
    with pytest.raises(ProofError, match="31 fichiers"):
        read_files(["/x.png"] * (MAX_FILES + 1))


@pytest.mark.parametrize("name", ["../../evasion.png", "/etc/evasion.png"])
def test_a_name_cannot_leave_the_evidence(tmp_path: Path, name: str) -> None:
    keep_files(tmp_path / "run", "pc", [sent(name, png())])
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["evasion.png"]


def test_a_file_changed_on_its_way_is_refused(tmp_path: Path) -> None:
    item = {"nom": "a.png", "octets": 1, "contenu": base64.b64encode(b"y").decode(), "sha256": "0" * 64}
    with pytest.raises(AnsibleActionFail, match="modifié pendant son transfert"):
        keep_files(tmp_path, "pc", [item])


def test_the_limits_are_those_of_a_collection() -> None:
    assert (MAX_FILE, MAX_FILES) == (8 * 1024 * 1024, 30)


class Play:
    """Runs the action; the host's answer is given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answer: dict[str, Any] = {}
        monkeypatch.setattr(action.ActionModule, "_execute_module", lambda _self, **sent: self._module(**sent))

    def _module(self, module_name: str, module_args: dict[str, Any], **_options: Any) -> dict[str, Any]:
        assert (module_name, module_args["command"]) == ("cdg59.creatic.proof", ["x"])
        return self.answer

    def run(self, *required: str) -> dict[str, Any]:
        task = MagicMock(args={"command": ["x"], **({"required": list(required)} if required else {})}, async_val=0)
        made = action.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
        result: dict[str, Any] = made.run(
            None, {"inventory_hostname": "gondecourt-pc", "creatic_commune": {"slug": "gondecourt"}}
        )
        return result


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Play:
    monkeypatch.setenv(action.RUN_FOLDER, str(tmp_path / "run"))
    return Play(monkeypatch)


def test_what_is_required_is_there_and_good(play: Play, tmp_path: Path) -> None:
    (tmp_path / "capture.png").write_bytes(png())
    proofs = [GOOD, GOOD | {"cle": "acces", "libelle": "Accès", "verdict": "echec", "detail": "refusé"}]
    proof = {"preuves": proofs, "fichiers": read_files([str(tmp_path / "capture.png")])}

    def answer() -> dict[str, Any]:
        return {"changed": False, "creatic_proof": dict(proof)}

    play.answer = answer()
    result = play.run("rgs")
    assert "failed" not in result
    assert [one["chemin"] for one in result["creatic_proof"]["fichiers"]] == ["gondecourt-pc/capture.png"]
    assert (tmp_path / "run" / "gondecourt" / "gondecourt-pc" / "capture.png").read_bytes() == png()
    play.answer = answer()
    assert "failed" not in play.run()
    play.answer = answer()
    result = play.run("rgs", "acces", "absente")
    assert result["failed"] is True
    assert result["msg"] == "Accès : refusé ; preuve « absente » absente"
    play.answer = answer() | {"failed": True, "msg": "la raison"}
    assert play.run("absente")["msg"] == "la raison"


def test_an_answer_without_proof_is_passed_on(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    play.answer = {"failed": True, "msg": "x"}
    assert play.run("rgs") == {"failed": True, "msg": "x"}
    monkeypatch.delenv(action.RUN_FOLDER)
    assert play.run("rgs") == {"failed": True, "msg": "x"}
    play.answer = {"creatic_proof": {"preuves": [], "fichiers": []}}
    with pytest.raises(
        AnsibleActionFail, match=r"^aucun déploiement n'est suivi : lancer playbooks/journeys/rollout.yml"
    ):
        play.run("rgs")


@pytest.mark.parametrize(
    "proof",
    [
        "x",
        [1],
        {"preuves": [{"verdict": "ok"}]},
        {"preuves": [GOOD], "certificats": [{}]},
        {"fichiers": 3},
        {"fichiers": "x"},
    ],
)
def test_a_strange_answer_fails_its_machine_and_says_why(play: Play, proof: Any) -> None:
    play.answer = {"creatic_proof": proof}
    result = play.run()
    assert result["failed"] is True
    assert "refusé de cette machine" in result["msg"]
    assert len(result["creatic_proof"]["refus"]) == 1
    assert result["creatic_proof"]["preuves"] in ([], [GOOD])


# -- Files, judged where they are kept ------------------------------------------------------------------------------

XML = '<?xml version="1.0" encoding="ISO-8859-1"?>\n<actes:ARActe xmlns:actes="http://www.interieur.gouv.fr/ACTES#v1.1-20040216"/>'
XHTML, SVG = "http://www.w3.org/1999/xhtml", "http://www.w3.org/2000/svg"
SCRIPT = "<script>alert(1)</script>"


def pdf(inside: bytes = b"", packed: bytes | None = None) -> bytes:
    """A PDF with something in its catalog, or in a compressed stream."""
    body = b"%PDF-1.7\n1 0 obj << /Type /Catalog " + inside + b" >> endobj\n"
    if packed is not None:
        body += (
            b"2 0 obj << /Type /ObjStm /Filter /FlateDecode >> stream\r\n"
            + zlib.compress(packed)
            + b"\nendstream endobj\n"
        )
    return body + b"%%EOF\n"


def lettered(data: bytes, end: bytes = b"\n") -> bytes:
    """One more stream, that nothing but its own filter can read."""
    return b"3 0 obj << /Type /ObjStm >> stream" + end + data + b"\nendstream endobj\n"


def jpeg() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, "JPEG")
    return stream.getvalue()


RUN = b"<< /S /JavaScript >>"


def bomb() -> bytes:
    return pdf(packed=bytes(80 << 20))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("capture.png", png()),
        ("capture.jpg", jpeg()),
        ("acte.pdf", pdf() + lettered(base64.a85encode(zlib.compress(b"/Type /Page")) + b"~>")),
        ("ARActe.xml", XML.encode("latin-1")),
        ("acte.pdf", connector_pdf("Objet", "TEST_1")),
        ("acte.pdf", pdf(b"/OpenAction [3 0 R /FitH null]", b"/Type /Page (JavaScript)")),
        ("resume.json", '{"objet": "<b>é</b>"}'.encode()),
        ("journal.log", "é\n".encode()),
        ("Bordereau de l'acte +1.txt".replace("'", " "), b""),
    ],
)
def test_what_evidence_is_made_of_is_kept(tmp_path: Path, name: str, content: bytes) -> None:
    (kept,) = keep_files(tmp_path, "pc", [sent(name, content)])
    assert kept == {"chemin": f"pc/{name}", "sha256": hashlib.sha256(content).hexdigest(), "octets": len(content)}
    assert (tmp_path / name).read_bytes() == content


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("page.html", SCRIPT.encode(), "type de fichier refusé"),
        ("page.HTM", b"x", "type de fichier refusé"),
        ("page.xhtml", b"x", "type de fichier refusé"),
        ("dessin.svg", f'<svg xmlns="{SVG}"/>'.encode(), "type de fichier refusé"),
        ("x.js", b"x", "type de fichier refusé"),
        ("x.png.html", b"x", "type de fichier refusé"),
        ("x", b"x", "type de fichier refusé"),
        ("capture.png", SCRIPT.encode(), "pas une image PNG"),
        ("capture.PNG", f'<svg xmlns="{SVG}"/>'.encode(), "pas une image PNG"),
        ("capture.png", b"\x89PNG\r\n\x1a\n" + SCRIPT.encode(), "pas une image PNG"),
        ("capture.jpg", png(), "pas une image JPEG"),
        ("capture.jpeg", b"", "pas une image JPEG"),
        ("ARActe.xml", f'<html xmlns="{XHTML}">{SCRIPT}</html>'.encode(), "navigateur exécuterait"),
        ("ARActe.xml", f'<a xmlns:h="{XHTML}"><h:script>x</h:script></a>'.encode(), "navigateur exécuterait"),
        ("ARActe.xml", f'<a><svg xmlns="{SVG}" onload="x"/></a>'.encode(), "navigateur exécuterait"),
        ("ARActe.xml", f'<a><svg xmlns="{SVG}" onload="x"/></a>'.encode("utf-16"), "navigateur exécuterait"),
        ("ARActe.xml", b'<?xml-stylesheet type="text/xsl" href="#x"?><a/>', "instruction de traitement"),
        ("ARActe.xml", b'<a/><?xml-stylesheet type="text/xsl" href="#x"?>', "instruction de traitement"),
        ("ARActe.xml", b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "DOCTYPE"),
        ("ARActe.xml", b"<a>" * 10, "pas du XML lisible"),
        ("ARActe.xml", b"<a>" * 5000 + b"</a>" * 5000, "pas du XML lisible"),
        ("acte.pdf", SCRIPT.encode(), "pas un PDF"),
        ("acte.pdf", SCRIPT.encode() + pdf(), "pas un PDF"),
        ("acte.pdf", pdf(b"/OpenAction << /S /JavaScript /JS (x) >>"), "JavaScript"),
        ("acte.pdf", pdf(b"/AA << /S /Java#53cript >>"), "Java#53cript"),
        ("acte.pdf", pdf(packed=b"<< /S /JavaScript >>"), "JavaScript"),
        ("acte.pdf", pdf(b"/A << /S /Launch >>"), "Launch"),
        ("acte.pdf", pdf(b"/Names << /EmbeddedFiles 3 0 R >> /Type /EmbeddedFile "), "EmbeddedFile"),
        ("acte.pdf", bomb(), "démesuré"),
        ("acte.pdf", pdf(b"/Names << /EmbeddedFiles 3 0 R >>"), "EmbeddedFiles"),
        ("acte.pdf", pdf(b"/A << /S /GoToR /F (//x/y) >>"), "GoToR"),
        ("acte.pdf", pdf() + lettered(zlib.compress(RUN), b" \n"), "JavaScript"),
        ("acte.pdf", pdf() + lettered(zlib.compress(RUN), b"\r"), "JavaScript"),
        ("acte.pdf", pdf() + lettered(RUN.hex().encode() + b">"), "JavaScript"),
        ("acte.pdf", pdf() + lettered(zlib.compress(RUN).hex(" ").encode() + b" >"), "JavaScript"),
        ("acte.pdf", pdf() + lettered(base64.a85encode(zlib.compress(RUN)) + b"~>"), "JavaScript"),
        ("acte.pdf", pdf() + lettered(base64.a85encode(RUN)), "JavaScript"),
        ("acte.pdf", pdf(b"/Filter /LZWDecode"), "LZWDecode"),
        ("capture.png", png() + SCRIPT.encode(), "suivie d'autre chose"),
        ("capture.png", png() + png(), "suivie d'autre chose"),
        ("capture.jpg", jpeg() + b"PK\x03\x04", "suivie d'autre chose"),
        ("ARActe.xml", b'<m:math xmlns:m="http://www.w3.org/1998/Math/MathML"/>', "navigateur exécuterait"),
        ("journal.log", b"\x1b]0;x\x07", "pas du texte"),
        ("journal.log", "\u202egnp".encode(), "pas du texte"),
        ("journal.txt", b"PK\x03\x04", "pas du texte"),
        ("journal.txt", "\u00a0<svg>".encode(), "se présente comme une page"),
        ("resume.json", SCRIPT.encode(), "se présente comme une page"),
        ("resume.json", b"{", "pas du JSON"),
        ("resume.json", b"[" * 100000, "pas du JSON"),
        ("journal.log", b"\n\t <!doctype html>", "se présente comme une page"),
        ("journal.txt", b"\xef\xbb\xbf <html>", "se présente comme une page"),
        ("journal.txt", b"\xff\xfe<\0h\0", "pas du texte"),
        ("journal.txt", b"a\0b", "pas du texte"),
        ("journal.txt", b"a" * (MAX_FILE + 1), "Mio"),
        (".png", png(), "nom de fichier refusé"),
        ("a\u202egnp.png", png(), "nom de fichier refusé"),
        ('a" onerror="x.png', png(), "nom de fichier refusé"),
        (f"{'a' * 200}.png", png(), "nom de fichier refusé"),
        ("..", png(), "nom de fichier refusé"),
    ],
)
def test_what_a_browser_would_run_or_choke_on_is_not_kept(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    good = sent("bonne.png", png())
    with pytest.raises(AnsibleActionFail, match=words):
        keep_files(tmp_path / "run", "pc", [good, sent(name, content), good | {"nom": "autre.png"}])
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["autre.png", "bonne.png"]


@pytest.mark.parametrize(
    "item",
    [
        None,
        3,
        "x",
        [],
        {},
        {"nom": "a.png"},
        {"nom": 3, "contenu": "eA=="},
        {"nom": "a.png", "contenu": "é", "sha256": ""},
    ],
)
def test_a_file_that_is_not_sent_as_asked_keeps_no_other_out(tmp_path: Path, item: Any) -> None:
    with pytest.raises(RefusedFilesError, match=r"illisible|modifié") as caught:
        keep_files(tmp_path / "run", "pc", [item, sent("bonne.png", png())])
    assert [one["chemin"] for one in caught.value.kept] == ["pc/bonne.png"]


def test_a_picture_of_too_many_points_is_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.new("1", (20000, 20000)).save(stream, "PNG")
    with pytest.raises(AnsibleActionFail, match=r"démesurée|pas une image"):
        keep_files(tmp_path, "pc", [sent("a.png", stream.getvalue())])


def test_too_many_files_and_twice_one_name_are_told(tmp_path: Path) -> None:
    with pytest.raises(RefusedFilesError, match="31 fichiers, 30 au plus") as caught:
        keep_files(tmp_path, "pc", [sent(f"{n}.png", png()) for n in range(31)])
    assert len(caught.value.kept) == MAX_FILES
    with pytest.raises(RefusedFilesError, match=r"A.png : deux fichiers de ce nom"):
        keep_files(tmp_path / "run", "pc", [sent("a.png", png()), sent("A.png", png(2))])
    assert (tmp_path / "run" / "a.png").read_bytes() == png()


def test_a_machine_whose_file_is_refused_is_told_and_not_ready(play: Play, tmp_path: Path) -> None:
    files = [sent("capture.png", SCRIPT.encode()), sent("bonne.png", png())]
    play.answer = {"creatic_proof": {"preuves": [GOOD], "fichiers": files}}
    result = play.run("rgs")
    assert result["failed"] is True
    assert result["msg"] == "refusé de cette machine : capture.png : ce n'est pas une image PNG"
    assert [one["chemin"] for one in result["creatic_proof"]["fichiers"]] == ["gondecourt-pc/bonne.png"]
    assert result["creatic_proof"]["refus"] == ["capture.png : ce n'est pas une image PNG"]
    assert result["creatic_proof"]["preuves"] == [GOOD]
