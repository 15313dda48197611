"""``signer-acte`` as the person at the PC meets it."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from signature_actes import cli, door
from signature_actes.check import check_pdf
from signature_actes.person import Person
from signature_actes.refusal import DocumentRefusedError

from apps.signature.tests.conftest import LIBRARY, SIREN, Issuer, Tokens
from apps.signature.tests.test_door import form
from apps.signature.tests.test_pes import flow
from apps.signature.tests.test_sameness import sign
from apps.signature.tests.test_structure import pages
from apps.signature.tests.test_words import LOCKS
from apps.signature.tests.writers import word

PIN = "271828"


@pytest.fixture
def config(issuer: Issuer, tokens: Tokens, tmp_path: Path) -> Path:
    """A PC on which one person signs."""
    tokens.make("maire", issuer.person())
    path = tmp_path / "signer-acte.json"
    path.write_text(
        json.dumps(
            {
                "signataires": [{"titulaire": "Claire Dubois", "bibliotheque": str(LIBRARY), "jeton": "maire"}],
                "commune": "Gondecourt",
                "code_postal": "59147",
            }
        ),
        encoding="utf-8",
    )
    return path


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked for; the right PIN is typed."""
    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return PIN

    monkeypatch.setattr(cli.getpass, "getpass", ask)
    return asked


def test_an_act_and_a_flow_are_signed(
    config: Path, act: Path, tmp_path: Path, typed: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.signer([str(act)], config) == 0
    told = capfd.readouterr()
    assert "Signataire : Claire Dubois" in told.out
    assert "Signé      : " in told.out
    assert "Déposez dans le parapheur, tel quel, chaque fichier signé." in told.out
    assert PIN not in told.out + told.err
    assert (tmp_path / "deliberation-signe.pdf").read_bytes().startswith(act.read_bytes())
    assert cli.signer([str(flow(tmp_path)), "--sortie", str(tmp_path / "pes.xml")], config) == 0
    assert b"Claire" not in (tmp_path / "pes.xml").read_bytes()[:100]
    assert typed == ["Code PIN de la clé (il ne s'affiche pas) : "] * 2


def test_many_documents_take_one_pin(
    config: Path, act: Path, tmp_path: Path, typed: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "arrete.pdf"
    other.write_bytes(act.read_bytes())
    assert cli.signer([str(act), str(other), str(flow(tmp_path))], config) == 0
    assert len(typed) == 1
    assert capfd.readouterr().out.count("Signé      : ") == 3
    assert {path.name for path in tmp_path.glob("*-signe.*")} == {
        "deliberation-signe.pdf",
        "arrete-signe.pdf",
        "flux-signe.xml",
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent.pdf"], "absent.pdf : le fichier ne s'ouvre pas"),
        (["vide.pdf"], "vide.pdf : le fichier est vide"),
        (["deliberation.pdf", "vide.pdf"], "vide.pdf : le fichier est vide"),
        (["flux-signe.xml"], "ce PES est déjà signé"),
        (["deliberation.pdf", "--sortie", "vide.pdf"], "vide.pdf existe déjà. À faire : déplacez-le"),
        (["deliberation.pdf", "--signataire", "Inconnue"], "inconnu sur ce poste ; connus : Claire Dubois"),
        (["deliberation.pdf", "--sortie", "absent/x.pdf"], "on ne peut pas y écrire"),
    ],
)
def test_what_can_be_refused_is_refused_before_the_pin(
    config: Path,
    act: Path,
    typed: list[str],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(act.parent)
    (act.parent / "vide.pdf").touch()
    flow(act.parent).rename("flux-signe.xml")
    content = Path("flux-signe.xml").read_bytes()
    signature = b'<Signature xmlns="http://www.w3.org/2000/09/xmldsig#"/>'
    Path("flux-signe.xml").write_bytes(content.replace(b"</n:PES_Aller>", signature + b"</n:PES_Aller>"))
    assert cli.signer(arguments, config) == 1
    assert words in capfd.readouterr().err
    assert typed == []
    assert not (act.parent / "deliberation-signe.pdf").exists()


def test_the_certificates_are_shown_without_the_pin(
    config: Path, typed: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.signer(["--certificats"], config) == 0
    [shown] = json.loads(capfd.readouterr().out)
    assert shown["titulaire"] == "Claire Dubois"
    assert shown["pem"].startswith("-----BEGIN CERTIFICATE-----")
    assert typed == []


def test_a_flow_is_not_signed_from_nowhere(
    config: Path, tmp_path: Path, typed: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    config.write_text(config.read_text(encoding="utf-8").replace("59147", ""), encoding="utf-8")
    assert cli.signer([str(flow(tmp_path))], config) == 1
    assert "le code postal de la mairie manque. À faire : " in capfd.readouterr().err
    assert typed == []


def test_a_pc_that_is_not_ready(act: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.signer([str(act)], tmp_path / "absent.json") == 1
    assert "ce poste n'est pas préparé pour signer" in capfd.readouterr().err


def test_giving_up_signs_nothing(
    config: Path, act: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def give_up(_prompt: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.getpass, "getpass", give_up)
    assert cli.signer([str(act)], config) == 1
    assert "Abandonné : aucun autre document n'est signé." in capfd.readouterr().err
    assert not act.with_name("deliberation-signe.pdf").exists()


def two_people(config: Path, issuer: Issuer, tokens: Tokens) -> None:
    tokens.make("adjoint", issuer.person("Karim Lefèvre"))
    known = json.loads(config.read_text(encoding="utf-8"))
    known["signataires"].append({"titulaire": "Karim Lefèvre", "bibliotheque": str(LIBRARY), "jeton": "adjoint"})
    config.write_text(json.dumps(known), encoding="utf-8")


def test_where_several_sign_one_says_who(
    config: Path, issuer: Issuer, tokens: Tokens, act: Path, typed: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    two_people(config, issuer, tokens)
    assert cli.signer([str(act)], config) == 1
    assert "ajoutez --signataire, parmi Claire Dubois, Karim Lefèvre" in capfd.readouterr().err
    assert typed == []
    assert cli.signer([str(act), "--signataire", "Karim Lefèvre"], config) == 0
    assert "Signataire : Karim Lefèvre" in capfd.readouterr().out


def test_a_command_without_sense_is_told(config: Path, act: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        ([], "donnez le document à signer"),
        ([str(act), str(act), "--sortie", "x.pdf"], "--sortie ne va qu'avec un seul document"),
    ):
        with pytest.raises(SystemExit) as stopped:
            cli.signer(arguments, config)
        assert stopped.value.code == 2
        assert words in capfd.readouterr().err


def test_a_file_that_asks_too_much_is_told(
    config: Path, act: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(_source: Path, _output: Path | None) -> None:
        raise MemoryError

    monkeypatch.setattr(cli, "_open_document", greedy)
    assert cli.signer([str(act)], config) == 1
    assert "le fichier demande trop de mémoire ou de temps pour être lu" in capfd.readouterr().err


@pytest.fixture
def verify(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """``verifier-acte`` in this process, without its bounds."""
    monkeypatch.setattr(cli.limits, "bound", lambda: None)
    authorities = ["--autorites", str(issuer.folder / "ca.pem"), "--crl", str(issuer.folder / "crl.pem")]
    return lambda path, *options: cli.verifier([str(path), "--signataire", "Claire Dubois", *authorities, *options])


def test_what_is_signed_is_told_in_json(
    config: Path,
    act: Path,
    tmp_path: Path,
    typed: list[str],
    verify: Callable[..., int],
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert cli.signer([str(act), str(flow(tmp_path))], config) == 0
    capfd.readouterr()
    assert verify(tmp_path / "deliberation-signe.pdf", "--origine", str(act)) == 0
    told = json.loads(capfd.readouterr().out)
    assert told["signataire"] == "Claire Dubois"
    assert dt.datetime.fromisoformat(told["date"]).tzinfo
    assert verify(tmp_path / "flux-signe.xml") == 0
    assert json.loads(capfd.readouterr().out)["date"] is None
    assert verify(tmp_path / "deliberation-signe.pdf", "--origine", str(tmp_path / "flux-signe.xml")) == 1
    assert "flux-signe.xml : ce n'est pas un PDF" in capfd.readouterr().err


def test_the_limit_is_in_megabytes(
    tmp_path: Path, verify: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gros.pdf"
    for size, options, words in (
        (1_000_001, ("--taille-max-mo", "1"), "1 Mo, 1 Mo au plus"),
        (1_000_000, ("--taille-max-mo", "1"), "ce n'est pas un PDF"),
        (150_000_000, (), "ce n'est pas un PDF"),
        (150_000_001, (), "150 Mo, 150 Mo au plus"),
    ):
        with path.open("wb") as stream:
            stream.truncate(size)
        assert verify(path, *options) == 1
        assert words in capfd.readouterr().err


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("boum"), "deliberation.pdf : ce fichier ne se lit pas ici (RuntimeError). À faire : "),
        (MemoryError(), "le fichier demande trop de mémoire"),
        (DocumentRefusedError("raison"), "raison"),
    ],
)
def test_what_a_hostile_file_does_to_a_parser_is_no_traceback(
    act: Path,
    verify: Callable[..., int],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    words: str,
) -> None:
    async def hostile(*_arguments: object) -> None:
        raise error

    monkeypatch.setattr(cli.check, "check_pdf", hostile)
    assert verify(act) == 1
    told = capfd.readouterr()
    assert told.err.startswith(words)
    assert told.out == ""


def test_the_check_needs_a_person_and_their_authorities(act: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        ["--signataire", "x", "--crl", "x"],
        ["--signataire", "x", "--autorites", "x"],
        ["--crl", "x", "--autorites", "x"],
    ):
        with pytest.raises(SystemExit):
            cli.verifier([str(act), *arguments])
        lacking = (
            capfd.readouterr().err.rstrip().rpartition(": ")[2]
        )  # argparse's own words are another agent's to choose
        assert lacking in ("--autorites", "--crl", "--signataire")


@pytest.mark.parametrize("how", LOCKS)
def test_what_nobody_may_sign_below_is_told_before_the_pin(
    issuer: Issuer, config: Path, act: Path, typed: list[str], capfd: pytest.CaptureFixture[str], how: str
) -> None:
    assert cli.signer([str(LOCKS[how](issuer, act))], config) == 1
    assert "a certifié ou verrouillé" in capfd.readouterr().err
    assert typed == []


def with_blank_line(path: Path) -> None:
    path.write_bytes(b"\r\n" + pages(path).read_bytes())


@pytest.mark.parametrize("make", [word, with_blank_line])
def test_what_is_read_in_several_ways_is_signed_at_the_pc(
    issuer: Issuer,
    tmp_path: Path,
    config: Path,
    typed: list[str],
    capfd: pytest.CaptureFixture[str],
    make: Callable[[Path], object],
) -> None:
    source, circuit = tmp_path / "acte.pdf", tmp_path / "circuit.pdf"
    make(source)
    before = source.read_bytes()
    assert cli.signer([str(source)], config) == 0
    assert "écrit de nouveau" in capfd.readouterr().out and len(typed) == 1
    assert source.read_bytes() == before
    # The door of the parapheur writes the same bytes: what was signed here is its document.
    assert door.admit(source, circuit)
    signed = tmp_path / "acte-signe.pdf"
    person = Person("Claire Dubois", SIREN)
    assert asyncio.run(check_pdf(signed, person, issuer.trust, circuit)).holder == "Claire Dubois"


def test_a_form_is_drawn_at_the_pc_and_the_one_that_a_supplier_signed_stays(
    issuer: Issuer, tmp_path: Path, config: Path, typed: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    empty, circuit = form(tmp_path / "formulaire.pdf"), tmp_path / "circuit.pdf"
    contract = sign(issuer, form(tmp_path / "marche.pdf"))
    assert cli.signer([str(empty), str(contract)], config) == 0, capfd.readouterr().err
    assert len(typed) == 1
    assert door.admit(empty, circuit)
    person = Person("Claire Dubois", SIREN)
    pairs = [(empty, circuit), (contract, contract)]
    for source, original in pairs:
        signed = source.with_name(f"{source.stem}-signe.pdf")
        assert asyncio.run(check_pdf(signed, person, issuer.trust, original)).holder == "Claire Dubois"
