"""What the host's administrator uses: command line, administration over HTTP, settings, page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from simulator_harness import AUTHORITIES, OTHER_SIREN, SIREN, Client
from tdt_simulator import app, cli, config
from tdt_simulator.testing import TdtServer


@pytest.fixture
def command(platform: TdtServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Return a function that runs tdt-simulator on the running platform."""
    settings = tmp_path / "config.json"
    kept = platform.store.config
    settings.write_text(
        json.dumps(
            {
                "data_dir": str(kept.data_dir),
                "delay": kept.delay,
                "rgs_policies": list(kept.rgs_policies),
                "authorities": AUTHORITIES,
                "accounts": [],
            }
        )
    )

    def run(*arguments: object) -> tuple[int, str]:
        status = cli.main(["--config", str(settings), *map(str, arguments)])
        output = capsys.readouterr()
        return status, output.out + output.err

    return run


def test_acts_are_listed(client: Client, command: Callable[..., tuple[int, str]]) -> None:
    assert command("actes") == (0, "Aucun acte reçu.\n")
    client.acknowledged("A1")
    client.deposited("A2", en_attente="1")
    status, text = command("actes")
    assert status == 0
    assert re.search(r"215902669  A1 +4 Acquittement reçu +Subvention à l'école d'été", text)
    found = json.loads(command("actes", "--json", "--siren", SIREN, "--numero", "A2")[1])
    assert [(act["numero"], act["statut"]) for act in found] == [("A2", 17)]
    assert json.loads(command("actes", "--json", "--siren", OTHER_SIREN)[1]) == []


def test_faults_are_turned_on_and_off(platform: TdtServer, command: Callable[..., tuple[int, str]]) -> None:
    assert command("faute") == (0, "Aucune faute en cours.\n")
    assert command("faute", "coupure", "--fois", 2)[1] == "coupure         encore 2 fois\n"
    assert "lent            1.5 s, sur create" in command("faute", "lent", "--secondes", "1.5", "--sur", "create")[1]
    assert set(platform.store.faults()) == {"coupure", "lent"}
    command("faute", "lent", "--retirer")
    assert set(platform.store.faults()) == {"coupure"}
    assert command("faute", "--retirer") == (0, "Aucune faute en cours.\n")


def test_slow_without_duration_is_refused(command: Callable[..., tuple[int, str]]) -> None:
    status, text = command("faute", "lent")
    assert status == 1
    assert "donner la durée avec --secondes" in text


def test_letter_status_and_pes_retour(
    client: Client, platform: TdtServer, command: Callable[..., tuple[int, str]]
) -> None:
    identifier = client.acknowledged()
    assert command("lettre", identifier, "observations", "--motif", "Revoir l'article 3")[0] == 0
    assert len(client.get("/modules/actes/api/list_document_prefecture.php").json()) == 1
    assert "la transaction 99 n'est pas un acte connu" in command("lettre", 99, "courrier")[1]
    assert command("statut", identifier, 6, "--message", "Refus")[1] == f"Transaction {identifier} : Refusé.\n"
    assert client.status(identifier)[0] == 6
    assert command("statut", identifier, 42)[0] == 1
    assert command("statut", 99, 6)[0] == 1
    assert command("pes-retour", SIREN)[0] == 0
    assert len(platform.store.pes_retours(SIREN)) == 1
    assert command("pes-retour", "000000000")[0] == 1


def test_help_is_in_french(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["faute", "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "coupure" in text
    assert "APRÈS" in text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "lecture impossible"),
        ("{", "ligne 1 : ce n'est pas du JSON valide"),
        ("[]", "ce n'est pas un objet"),
        ("{}", "champ « data_dir » : champ obligatoire absent"),
        ('{"data_dir": "x", "authorities": [{"siren": "1"}]}', "champ « authorities.1.nom » : champ obligatoire"),
        ('{"data_dir": "x", "authorities": [], "delay": -1}', "attendu 0 ou plus"),
        ('{"data_dir": "x", "authorities": [], "accounts": [{"login": "a"}]}', "champ « accounts.1.siren » : champ"),
        (
            '{"data_dir": "x", "authorities": [],'
            ' "accounts": [{"login": "a", "siren": "1", "certificate_siren": "1"}]}',
            "la collectivité 1 n'est pas déclarée",
        ),
    ],
)
def test_bad_settings(tmp_path: Path, content: str | None, words: str) -> None:
    path = tmp_path / "config.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(config.ConfigError, match=words):
        config.load(path)


def test_service_reads_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"data_dir": str(tmp_path / "etat"), "authorities": AUTHORITIES}))
    monkeypatch.setenv(app.CONFIG_VARIABLE, str(path))
    assert app.application().extensions["tdt_store"].config.delay == 1.0


def local(platform: TdtServer) -> FlaskClient:
    """Return a client as on the host's loopback."""
    client = platform.app.test_client()
    client.environ_base["REMOTE_ADDR"] = "127.0.0.1"
    return client


def test_administration_over_http(client: Client, platform: TdtServer) -> None:
    admin = local(platform)
    assert admin.put("/_simulateur/fautes/coupure?fois=1&sur=create").json == {
        "coupure": {"secondes": None, "fois": 1, "sur": "create"}
    }
    assert admin.put("/_simulateur/fautes/inconnue").status_code == 404
    assert admin.delete("/_simulateur/fautes/coupure").json == {}
    client.deposited("A1")
    platform.fault("panne")  # the administration must still answer
    assert [act["numero"] for act in admin.get("/_simulateur/actes?numero=A1").get_json()] == ["A1"]
    admin.delete("/_simulateur/fautes")
    assert platform.store.faults() == {}


def test_administration_is_for_the_host_alone(client: Client, platform: TdtServer) -> None:
    assert client.get("/_simulateur/actes").status_code == 404
    through_nginx = platform.app.test_client().get("/_simulateur/actes", environ_overrides={"REMOTE_ADDR": ""})
    assert through_nginx.status_code == 404


def test_page_shows_who_is_connected(client: Client, platform: TdtServer) -> None:
    client.acknowledged("A1", subject=b"<script>alert(1)</script>")
    platform.fault("bloque3")
    page = client.get("/")
    assert page.status_code == 200
    for expected in (
        "Commune de Gondecourt",
        "OU = 0002 215902669",
        "CN = AC de test ca",
        "Certificat RGS",
        "A1",
        "Acquittement reçu",
        "Faute simulée en cours",
        "&lt;script&gt;",
    ):
        assert expected in page.text
    assert '<html lang="fr">' in page.text
    assert not re.search(r"(src|href)=", page.text)  # nothing is fetched from elsewhere


def test_page_for_unknown_people(connect: Callable[..., Client]) -> None:
    page = connect("215999999", None).get("/connexion-status")
    assert page.status_code == 403
    assert "Accès refusé" in page.text
    assert "215999999" in page.text


def test_unknown_address_has_a_french_page(client: Client) -> None:
    page = client.get("/modules/inconnu.php")
    assert page.status_code == 404
    assert "Page introuvable" in page.text
