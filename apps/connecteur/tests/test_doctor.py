"""The diagnosis says what is wrong and what to do, in words a technician understands."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tdt_connector import certificate, doctor, metrics
from tdt_connector.client import Client
from tdt_connector.drivers import connect
from tdt_connector.errors import Denied, Unreachable
from tdt_connector.journal import Journal, State
from tdt_connector.s2low import S2low
from tdt_simulator.testing import TdtServer

from testbed.connector import Authority, Commune, platform


def diagnose(commune: Commune) -> dict[str, doctor.Finding]:
    """The findings, by key."""
    driver = connect(commune.config)
    try:
        return {item.cle: item for item in doctor.examine(commune.config, driver)}
    finally:
        driver.close()


def failures(findings: dict[str, doctor.Finding]) -> dict[str, str]:
    return {key: f"{item.detail} {item.remede}" for key, item in findings.items() if item.verdict != doctor.OK}


def test_all_is_well(commune: Commune) -> None:
    commune.introduce()
    findings = diagnose(commune)
    assert failures(findings) == {}
    expected = "dossiers depot disque certificat dns tcp tls horloge connexion compte rgs"
    assert list(findings) == [
        *expected.split(),
        *["journal", "service", "classification", "attente", "rapprochement", "statut3"],
    ]
    assert "Commune" not in findings["compte"].detail or findings["compte"].detail
    assert "version du" in findings["classification"].detail


def test_nothing_is_there_yet(commune: Commune) -> None:
    found = failures(diagnose(commune))
    assert "systemctl start tdt-connector" in found["journal"]


@pytest.mark.parametrize(
    ("case", "key", "words"),
    [
        ("révoqué", "certificat", ["révoqué le", "Demandez au groupement un nouveau certificat"]),
        ("révoqué", "connexion", ["révoqué"]),
        ("expiré", "certificat", ["expiré le", "Demandez au groupement un nouveau certificat"]),
        ("expiré", "connexion", ["il a expiré"]),
        ("autre autorité", "connexion", ["une autorité que le TdT ne reconnaît pas", "Le certificat ne vient pas"]),
        ("clé étrangère", "certificat", ["la clé n'est pas la sienne", "Relancez le déploiement"]),
        ("chaîne étrangère", "certificat", ["mauvaise autorité"]),
        ("absent", "certificat", ["il n'existe pas", "Relancez le déploiement"]),
        ("bientôt expiré", "certificat", ["moins de 30 jours", "face à face"]),
        ("inconnu du TdT", "connexion", ["aucun compte trouvé", "Faites enregistrer ce certificat"]),
    ],
)
def test_the_client_certificate(
    tmp_path: Path, authority: Authority, stranger: Authority, case: str, key: str, words: list[str]
) -> None:
    name = f"cas-{abs(hash((case, key)))}"
    made = authority.issue(
        name,
        days_ago={"expiré": 400, "bientôt expiré": 340}.get(case, 0),
        **({"siren": "215900358"} if case == "inconnu du TdT" else {}),
    )
    crl = authority.crl(made) if case == "révoqué" else authority.crl()
    if case == "autre autorité":
        made = stranger.folder / "commune"
    elif case == "clé étrangère":
        (made / "key.pem").write_bytes((stranger.folder / "commune" / "key.pem").read_bytes())
    elif case == "chaîne étrangère":
        (made / "chain.pem").write_bytes((stranger.folder / "commune" / "chain.pem").read_bytes())
    elif case == "absent":
        (made / "key.pem").unlink()
    with platform(tmp_path / "tdt", authority, crl=crl) as tdt:
        commune = Commune(tmp_path / "commune", tdt.url, authority, certificat=made, revocation=crl)
        found = failures(diagnose(commune))
    for word in words:
        assert word in found[key], found


def test_nginx_refusals_are_explained_from_here(commune: Commune, authority: Authority) -> None:
    """nginx says « SSL certificate error » whatever the reason: what is known here gives the reason."""
    revoked = authority.issue("revoque-nginx")
    commune.config = replace(commune.config, certificat=revoked, revocation=authority.crl(revoked))

    class Nginx(S2low):
        def check_connection(self) -> None:
            raise Denied("le TdT refuse le certificat client.", "client_refuse")

    driver = Nginx.connect(commune.config, lambda: None)
    findings = {item.cle: item for item in doctor.examine(commune.config, driver)}
    assert "Vu d'ici" in findings["connexion"].detail
    assert "révoqué le" in findings["connexion"].detail


@pytest.mark.parametrize(
    ("case", "words"),
    [("autosigné", "autosigné"), ("expiré", "a expiré"), ("autre autorité", "une autorité inconnue")],
)
def test_the_server_certificate(
    tmp_path: Path, authority: Authority, stranger: Authority, case: str, words: str
) -> None:
    own = {
        "autosigné": lambda: authority.self_signed("doctor-autosigne"),
        "expiré": lambda: authority.issue("doctor-expire", "server", days_ago=400),
        "autre autorité": lambda: stranger.folder / "tdt",
    }[case]()
    with platform(tmp_path / "tdt", authority, own) as tdt:
        found = failures(diagnose(Commune(tmp_path / "commune", tdt.url, authority)))
    assert words in found["tls"]
    assert "N'envoyez rien" in found["tls"]
    assert "connexion" not in found


def test_the_network(commune: Commune, tdt: TdtServer) -> None:
    tdt.stop()
    assert "le pare-feu laisse sortir le port 443" in failures(diagnose(commune))["tcp"]
    commune.config = replace(commune.config, url="https://tdt.invalid")
    found = failures(diagnose(commune))
    assert "tdt.invalid est introuvable" in found["dns"]
    assert "tcp" not in found


def test_the_clock(commune: Commune, monkeypatch: pytest.MonkeyPatch) -> None:
    commune.introduce()
    driver = S2low(Client(commune.config))
    driver.check_connection()
    assert driver.server_date is not None
    driver._client.server_date = driver.server_date + timedelta(minutes=10)
    _, finding = doctor._answered(commune.config, driver)
    assert finding.verdict == doctor.FAIL
    assert "timedatectl" in finding.remede


def test_rgs_refused(tmp_path: Path, authority: Authority) -> None:
    with platform(tmp_path / "tdt", authority, rgs_policies=("1.2.3.4",)) as tdt:
        found = failures(diagnose(Commune(tmp_path / "commune", tdt.url, authority)))
    assert "ne tient pas ce certificat pour RGS" in found["rgs"]


def test_folders_disk_and_depot(commune: Commune, monkeypatch: pytest.MonkeyPatch) -> None:
    commune.introduce()
    (commune.root / "lettres").rmdir()
    (commune.root / "depot").chmod(0o700)
    (commune.root / "depot" / "vieux").mkdir()
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=50_000_000))
    real = time.time
    monkeypatch.setattr(doctor.time, "time", lambda: real() + 100)
    found = failures(diagnose(commune))
    assert "lettres n'existe pas" in found["dossiers"]
    assert "setgid" in found["dossiers"]
    assert "Libérez de la place" in found["disque"]
    assert "vieux" in found["depot"]
    assert "sous-dossiers" in found["depot"]


def test_acts_that_need_someone(commune: Commune, tdt: TdtServer) -> None:
    commune.introduce()
    tdt.fault("bloque3")
    commune.drop("2026_001")
    commune.run(until=lambda: any(row.remote_status == 3 for row in commune.rows()))
    with Journal(commune.config.journal) as journal:
        row = commune.row()
        journal.note(row, statut_depuis=time.time() - 3 * 86400)
        parked = journal.move(journal.move(journal.add("r", "acte", []), State.CHECKED, numero="X1"), State.INTENT)
        journal.move(parked, State.TO_RECONCILE, detail="Cherchez-le.")
        journal.set_value("nomenclature_exigee", "2999-01-01")
        journal.set_value("cycle_le", 1)
        text = metrics.render(commune.config, journal)
    found = failures(diagnose(commune))
    assert f"2026_001 (transaction {row.transaction}, depuis le" in found["statut3"]
    assert "ne déposez pas l'acte une seconde fois" in found["statut3"]
    assert "X1 : Cherchez-le." in found["rapprochement"]
    assert "périmée, rien ne part" in found["classification"]
    assert "systemctl restart tdt-connector" in found["service"]
    assert 'tdt_connector_deposits{etat="a_rapprocher"} 1' in text
    age = float(text.split("tdt_connector_oldest_transmitted_seconds ")[-1].split()[0])
    assert 3 * 86400 <= age < 3 * 86400 + 60


def test_a_damaged_journal(commune: Commune) -> None:
    commune.config.journal.write_bytes(b"ceci n'est pas une base" * 100)
    assert "restaurez le journal" in failures(diagnose(commune))["journal"]


def test_metrics_are_published_whole(commune: Commune, authority: Authority) -> None:
    commune.introduce()
    commune.drop("2026_001")
    commune.run()
    before = os.umask(0o027)  # the service's: the node exporter must read the figures all the same
    with Journal(commune.config.journal) as journal:
        metrics.publish(commune.config, journal)
    os.umask(before)
    text = commune.config.metriques.read_text()
    assert 'tdt_connector_deposits{etat="acquitte"} 1' in text
    expiry = certificate.read(commune.config.certificat, Path("/nonexistent")).expires.timestamp()
    assert f"tdt_connector_certificate_expiry_timestamp_seconds {expiry:.10g}" in text
    assert commune.config.metriques.stat().st_mode & 0o777 == 0o644
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(len(line.split()) == 2 and float(line.split()[1]) >= 0 for line in samples)


# -- each point alone, at its bounds ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("free", "verdict"),
    [(199_999_999, "echec"), (200_000_000, "attention"), (999_999_999, "attention"), (1_000_000_000, "ok")],
)
def test_what_is_left_on_the_disk(commune: Commune, monkeypatch: pytest.MonkeyPatch, free: int, verdict: str) -> None:
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    found = doctor._space(commune.config)
    assert (found.verdict, found.detail) == (verdict, f"{free / 1e9:.1f} Go libres pour {commune.root}")


@pytest.mark.parametrize(
    ("days", "verdict", "words"),
    [
        (-1, "echec", " : expiré le "),
        (29, "attention", " : moins de 30 jours"),
        (59, "attention", " : moins de 60 jours"),
        (89, "attention", " : moins de 90 jours"),
        (91, "ok", " (91 jours)"),
    ],
)
def test_the_end_of_a_certificate(
    commune: Commune, monkeypatch: pytest.MonkeyPatch, days: int, verdict: str, words: str
) -> None:
    own = certificate.read(commune.config.certificat, Path("/nonexistent"))
    end = datetime.now(UTC) + timedelta(days=days, hours=1 if days > 0 else 0)
    monkeypatch.setattr(certificate, "read", lambda folder, crl: replace(own, expires=end))
    found = doctor._certificate(commune.config)
    assert (found.verdict, words in found.detail) == (verdict, True), found.detail
    monkeypatch.setattr(certificate, "read", lambda folder, crl: replace(own, starts=datetime.now(UTC) + timedelta(1)))
    found = doctor._certificate(commune.config)
    assert (found.verdict, " : valable seulement le " in found.detail) == ("echec", True)
    assert found.remede == "Vérifiez l'horloge de la machine (timedatectl)."


@pytest.mark.parametrize(
    ("skew", "verdict"), [(0, "ok"), (25, "ok"), (35, "attention"), (295, "attention"), (305, "echec"), (-305, "echec")]
)
def test_a_clock_at_its_bounds(commune: Commune, skew: int, verdict: str) -> None:
    driver: Any = SimpleNamespace(server_date=datetime.now(UTC) + timedelta(seconds=skew))
    proven, clock = doctor._answered(commune.config, driver)
    assert (proven.verdict, proven.detail) == ("ok", "le certificat de localhost est valable et de confiance")
    assert clock.verdict == verdict
    assert bool(clock.remede) == (verdict != "ok")
    assert list(doctor._answered(commune.config, SimpleNamespace(server_date=None))) == []  # type: ignore[arg-type] # plays a driver


@pytest.mark.parametrize(
    ("logins", "account", "verdict", "detail"),
    [
        ([], None, "echec", "aucun compte n'est lié au certificat"),
        (["a"], None, "ok", "le certificat mène au compte « a »"),
        (["a", "b"], None, "echec", "2 comptes sont liés au certificat : a, b"),
        (["a", "b"], "b", "ok", "le certificat mène au compte « b »"),
    ],
)
def test_the_account_of_a_certificate(
    commune: Commune, logins: list[str], account: str | None, verdict: str, detail: str
) -> None:
    driver: Any = SimpleNamespace(logins=lambda: logins, is_rgs=lambda: True)
    found = {one.cle: one for one in doctor._rights(replace(commune.config, identifiant=account), driver)}
    assert (found["compte"].verdict, found["compte"].detail) == (verdict, detail)
    assert found["rgs"].verdict == "ok"


def test_rights_that_cannot_be_asked(commune: Commune) -> None:
    def away() -> list[str]:
        raise Unreachable("le TdT est saturé (HTTP 429).", "panne")

    [found] = doctor._rights(commune.config, SimpleNamespace(logins=away, platform="S²LOW"))  # type: ignore[arg-type] # plays a driver
    assert (found.verdict, found.detail) == ("echec", "le TdT est saturé (HTTP 429).")
    assert found.remede.startswith("La panne est chez le TdT")


def test_a_connection_that_fails_is_a_warning_or_a_failure(commune: Commune) -> None:
    driver: Any = SimpleNamespace(server_date=None, platform="S²LOW")
    for error, verdict in ((Denied("refusé.", "compte"), "echec"), (Unreachable("saturé.", "panne"), "attention")):
        [found] = doctor._connection_failure(commune.config, driver, error)
        assert (found.cle, found.verdict, found.detail) == ("connexion", verdict, str(error))
    [found] = doctor._connection_failure(commune.config, driver, Denied("HTTP 404.", "http"))
    assert found.remede.endswith("elle ne mène pas à un TdT S²LOW.")
    [found] = doctor._connection_failure(commune.config, driver, Denied("refusé.", "client_refuse"))
    assert found.detail == (
        "refusé. Vu d'ici, ses dates et sa signature sont bonnes : révocation, ou autorité inconnue du TdT."
    )


def test_the_port_is_that_of_the_address_or_https(commune: Commune, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    def resolve(host: str, port: int, **_options: object) -> Any:
        asked.append((host, port))
        raise OSError

    monkeypatch.setattr(doctor.socket, "getaddrinfo", resolve)
    for url in ("https://tdt.test", "https://tdt.test:8443"):
        [found] = doctor._network(replace(commune.config, url=url), None)  # type: ignore[arg-type] # not reached
        assert (found.cle, found.verdict, found.detail) == ("dns", "echec", "tdt.test est introuvable")
    assert asked == [("tdt.test", 443), ("tdt.test", 8443)]


def test_what_stays_in_the_depot(commune: Commune, monkeypatch: pytest.MonkeyPatch) -> None:
    config, real = commune.config, time.time()
    for name in ("a.pdf", ".cache"):
        commune.put(name, b"x")
    assert doctor._depot(config).detail == "aucun fichier en souffrance"
    later = 2 * config.delais.incomplet + 60
    monkeypatch.setattr(doctor.time, "time", lambda: real + later + 5)
    found = doctor._depot(config)
    assert (found.verdict, found.detail) == ("attention", "en souffrance : a.pdf")
    assert found.remede.startswith("Le service les prend-il ?")
    commune.put("b.pdf.part", b"x")
    monkeypatch.setattr(doctor.time, "time", lambda: real + later + 10)
    found = doctor._depot(config)
    assert found.detail == "en souffrance : a.pdf, b.pdf.part"
    assert found.remede.startswith("Déplacez ou supprimez")
    (commune.root / "depot" / "b.pdf.part").unlink()
    (commune.root / "depot" / ".dossier").mkdir()
    monkeypatch.setattr(doctor.time, "time", lambda: real + later + 15)
    found = doctor._depot(config)
    assert found.detail == "en souffrance : .dossier, a.pdf"
    assert found.remede.startswith("Déplacez ou supprimez")


def test_a_service_and_a_nomenclature_have_their_age(commune: Commune, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(doctor.time, "time", lambda: now)
    config = replace(commune.config, delais=replace(commune.config.delais, nomenclature_max=7200))
    with Journal(config.journal) as journal:
        assert doctor._service(journal).detail == "aucun signe de vie (il n'a jamais travaillé)"
        for age, verdict in ((179, "ok"), (181, "echec")):
            journal.set_value("cycle_le", now - age)
            assert doctor._service(journal).verdict == verdict
        found = doctor._nomenclature(config, journal)
        assert (found.verdict, found.detail) == ("echec", "pas encore reçue : aucun acte ne part")
        journal.set_value("nomenclature_version", "2026-01-01")
        journal.set_value("nomenclature_exigee", "2026-01-01")
        for age, verdict, end in ((7199, "ok", "2.0 h"), (7201, "echec", "2.0 h : périmée, aucun acte ne part")):
            journal.set_value("nomenclature_le", now - age)
            found = doctor._nomenclature(config, journal)
            assert (found.verdict, found.detail) == (verdict, f"version du 01/01/2026, vérifiée il y a {end}")


def test_acts_that_wait_say_why(commune: Commune) -> None:
    def found() -> tuple[str, str]:
        with Journal(commune.config.journal) as journal:
            waiting = next(iter(doctor._acts(commune.config, journal)))
        return waiting.verdict, waiting.detail

    with Journal(commune.config.journal) as journal:
        journal.set_value("contact_erreur", "le TdT ne répond pas.")
        assert found() == ("ok", "0 en cours d'envoi")
        row = journal.add("r", "acte", [])
        assert found() == ("attention", "1 en attente : le TdT ne répond pas.")
        journal.set_value("contact_erreur", "")
        assert found() == ("ok", "1 en cours d'envoi")
        row = journal.note(row, detail="nomenclature périmée")
        assert found() == ("attention", f"{row.title} : nomenclature périmée")


def test_a_certificate_that_cannot_be_read_ends_at_zero(commune: Commune, tmp_path: Path) -> None:
    with Journal(commune.config.journal) as journal:
        text = metrics.render(replace(commune.config, certificat=tmp_path / "absent"), journal)
        assert "\ntdt_connector_certificate_expiry_timestamp_seconds 0\n" in text
        assert "classification_version" not in text
        assert "\ntdt_connector_contact_failing 0\n" in text
        assert "\ntdt_connector_oldest_transmitted_seconds 0\n" in text
        journal.set_value("contact_erreur", "x")
        journal.set_value("nomenclature_version", "2026-01-01")
        commune.put("a.pdf", b"x")
        commune.put(".cache", b"x")
        text = metrics.render(commune.config, journal)
        assert "\ntdt_connector_contact_failing 1\n" in text
        assert "\ntdt_connector_classification_version_timestamp_seconds 1767225600\n" in text
        assert "\ntdt_connector_depot_files 1\n" in text
