"""``signer-acte`` as the person at the PC meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from signature_actes import cli

from tests.unit.signature.conftest import LIBRARY, Issuer, Tokens
from tests.unit.signature.test_pes import flow

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
        "deliberation-signe.pdf", "arrete-signe.pdf", "flux-signe.xml",
    }  # fmt: skip


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
    config: Path, act: Path, typed: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    arguments: list[str], words: str,
) -> None:  # fmt: skip
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
