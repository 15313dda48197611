"""What the host's administrator uses beside the command: administration over HTTP, settings, page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from simulator_harness import AUTHORITIES, Client
from tdt_simulator import app, config
from tdt_simulator.testing import TdtServer


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
