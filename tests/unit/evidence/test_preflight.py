"""The checks of a host, on a tree of the same shape."""

from __future__ import annotations

import datetime as dt
import json
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.cdg59.creatic.plugins.action import preflight as preflight_action
from ansible_collections.cdg59.creatic.plugins.module_utils.host.preflight import (
    check_backup,
    check_certificates,
    check_clock,
    check_disk,
    check_memory,
    check_system,
    read_certificates,
    run_checks,
)

from creatic.evidence.seal import SealKeys

NOW = dt.datetime(2026, 11, 25, 12, 0, tzinfo=dt.UTC)


def system(root: Path, text: str) -> Path:
    """A tree with this os-release."""
    (root / "etc").mkdir()
    (root / "etc" / "os-release").write_text(text, encoding="utf-8")
    return root


def test_debian_13_is_accepted(tmp_path: Path) -> None:
    found = check_system(system(tmp_path, 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\nVERSION_ID="13"\n'))
    assert (found["verdict"], found["detail"]) == ("ok", "Debian GNU/Linux 13 (trixie)")


@pytest.mark.parametrize("text", ['ID=debian\nVERSION_ID="12"\n', 'ID=ubuntu\nVERSION_ID="13"\n', "", "ID"])
def test_anything_else_is_refused_with_a_fix(tmp_path: Path, text: str) -> None:
    found = check_system(system(tmp_path, text))
    assert found["verdict"] == "echec"
    assert "Debian 13" in found["remede"]


def test_a_host_without_os_release_is_refused(tmp_path: Path) -> None:
    assert check_system(tmp_path)["verdict"] == "echec"


def test_disk_space_is_measured_where_it_is_least(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    good = check_disk(tmp_path, ("/", "/var", "/absent"), 1)
    assert good["verdict"] == "ok"
    assert good["mesures"]["octets_libres"] > 1
    bad = check_disk(tmp_path, ("/", "/var"), 1 << 60)
    assert bad["verdict"] == "echec"
    assert "il en faut" in bad["detail"]
    assert "Libérer" in bad["remede"]


@pytest.mark.parametrize(("kib", "verdict"), [(2_000_000, "ok"), (500_000, "echec")])
def test_memory(tmp_path: Path, kib: int, verdict: str) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text(f"MemTotal:       {kib} kB\nMemFree: 1 kB\n", encoding="ascii")
    assert check_memory(tmp_path, 900 << 20)["verdict"] == verdict


def test_certificates_are_read_and_broken_ones_are_told(tmp_path: Path, keys: SealKeys) -> None:
    for name, content in (("tdt", keys.signature.certificate.read_bytes()), ("casse", b"pas un certificat")):
        folder = tmp_path / name / "current"
        folder.mkdir(parents=True)
        (folder / "cert.pem").write_bytes(content)
    broken, good = read_certificates(tmp_path)
    assert broken == {"nom": "casse", "illisible": "ce n'est pas un certificat PEM"}
    assert (good["nom"], good["titulaire"], good["emetteur"]) == ("tdt", "Preuves de déploiement", "Emettrice")
    assert dt.datetime.fromisoformat(good["fin"]) > dt.datetime.now(dt.UTC) + dt.timedelta(days=3600)
    assert len(good["empreinte"]) == 64


def dated(start: int, end: int) -> dict[str, str]:
    """A certificate valid from `start` to `end` days from now."""
    days = {"debut": start, "fin": end}
    return {"nom": "tdt"} | {key: (NOW + dt.timedelta(days=day)).isoformat() for key, day in days.items()}


@pytest.mark.parametrize(
    ("certificate", "verdict", "words"),
    [
        (dated(-10, 300), "ok", "1 en cours de validité"),
        (dated(-300, 59), "attention", "expire le 23/01/2027, dans 59 jours"),
        (dated(-300, -1), "attention", "a expiré le 24/11/2026"),
        (dated(1, 300), "attention", "pas encore valable"),
        ({"nom": "tdt", "illisible": "abîmé"}, "attention", "abîmé"),
    ],
)
def test_the_dates_of_certificates_warn_and_never_block(certificate: dict[str, str], verdict: str, words: str) -> None:
    found = check_certificates([certificate], NOW)
    assert found["verdict"] == verdict
    assert words in found["detail"]


@pytest.mark.parametrize(
    ("remote", "verdict", "words"),
    [
        (1001.0, "ok", "à l'heure"),
        (999.0, "ok", "à l'heure"),
        (1012.0, "attention", "avance d'au moins 10 s"),
        (900.0, "echec", "retard d'au moins 100 s"),
        (5000.0, "echec", "avance"),
    ],
)
def test_the_clock_is_judged_beyond_the_time_of_the_call(remote: float, verdict: str, words: str) -> None:
    """The call lasted from 1000 to 1002."""
    found = check_clock(1000.0, remote, 1002.0)
    assert found["verdict"] == verdict
    assert words in found["detail"]


def test_every_check_has_its_fix_when_it_is_not_good(tmp_path: Path) -> None:
    checks = run_checks(tmp_path, 1 << 60, 1 << 60, NOW)
    assert {check["cle"] for check in checks} == {"systeme", "disque", "memoire", "certificats"}
    assert all(check["remede"] for check in checks if check["verdict"] != "ok")


@pytest.mark.parametrize(
    ("hours", "verdict", "detail"),
    [
        (3, "ok", "faite il y a 3 h, 1,5 Mo"),
        (50, "attention", "faite il y a 50 h"),
        (None, "attention", "jamais faite"),
    ],
)
def test_the_age_of_the_backup_is_judged_by_the_policy(
    tmp_path: Path, hours: int | None, verdict: str, detail: str
) -> None:
    now = dt.datetime(2026, 11, 26, 12, tzinfo=dt.UTC)
    assert check_backup(tmp_path, 48, now) == [], "a PC keeps nothing to save"
    (tmp_path / "etc/creatic/sauvegarde").mkdir(parents=True)
    (tmp_path / "etc/creatic/sauvegarde/config.json").touch()
    (tmp_path / "var/lib/creatic-sauvegarde").mkdir(parents=True)
    good = {"le": int(now.timestamp()) - hours * 3600, "octets": 1_500_000} if hours else {}
    told = json.dumps({"bonne": False, "derniere_bonne": good})
    (tmp_path / "var/lib/creatic-sauvegarde/derniere.json").write_text(told)
    [found] = check_backup(tmp_path, 48, now)
    assert (found["cle"], found["verdict"]) == ("sauvegarde", verdict)
    [found] = check_backup(tmp_path, 48, now, required=True)
    assert found["verdict"] == ("ok" if verdict == "ok" else "echec")
    assert detail in found["detail"]
    assert bool(found["remede"]) == (verdict != "ok")


@pytest.mark.parametrize(
    ("journal", "escrow", "changed", "refused"),
    [
        (False, True, {}, True),
        (True, True, {}, False),  # put back, or never lost
        (False, False, {}, False),  # its first deployment
        (False, True, {"creatic_env": "lab"}, False),
        (False, True, {"creatic_profil": "commune_pc"}, False),
    ],
)
def test_a_connector_made_anew_waits_for_its_journal(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    journal: bool,
    escrow: bool,
    changed: dict[str, str],
    refused: bool,
) -> None:
    """Without it, an act that was sent and is deposited again would go out twice."""
    sealed = tmp_path / "sauvegardes" / "loos-connecteur" / "sequestre.p7m"
    sealed.parent.mkdir(parents=True)
    if escrow:
        sealed.write_bytes(b"x")
    monkeypatch.setattr(ActionBase, "run", lambda *_given: {})
    plugin = preflight_action.ActionModule.__new__(preflight_action.ActionModule)
    plugin._task = SimpleNamespace(args={"home": str(tmp_path)}, check_mode=True)
    answer = {"creatic_preflight": [], "now": time.time(), "connector_journal": journal}
    plugin._execute_module = lambda **_given: dict(answer)
    given = {
        "inventory_hostname": "loos-connecteur",
        "creatic_profil": "tdt_connector",
        "creatic_env": "production",
        "creatic_commune": {"slug": "loos"},
        "groups": {},
    }
    result = plugin.run(task_vars=given | changed)
    assert bool(result.get("failed")) is refused and "connector_journal" not in result
    if refused:
        assert result["msg"].startswith("son journal n'est plus là : un acte déjà envoyé, redéposé, partirait")
        assert (
            "docs/exploitation.md" in result["msg"]
            and "fab machine.appliquer loos-connecteur --journal-neuf" in result["msg"]
        )
