"""A made-up catalogue, machines and OpenSCAP answers."""

from __future__ import annotations

import datetime as dt
import gzip
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from creatic.audit.controls import Control, Waiver
from creatic.audit.sources import Check, OpenScap, Rule, Target
from creatic.audit.verdict import Found, assess, trend, waivers_used
from creatic.evidence.seal import SealKeys

T = "tests/profiles/common/test_hardening.py::"


def waiver() -> Waiver:
    """One in force, of whatever it is asked for."""
    return Waiver(
        "R9", (), False, (), (), "le noyau est celui de la machine hôte", "RSSI du groupement", dt.date(2027, 11, 1)
    )


def entry(name: str, niveau: str = "minimal", titre: str = "Mises à jour régulières", **more: Any) -> Control:
    """A recommendation, automated without `more`."""
    told: dict[str, Any] = {
        "statut": "automatise",
        "motif": "",
        "variable": "",
        "attestation": "",
        "tests": (),
        "oscap": (),
    }
    return Control(id=name, niveau=niveau, titre=titre, demande="Ce que demande la recommandation.", **(told | more))


@dataclass
class Catalogue:
    """A catalogue with waivers given by name."""

    controls: Sequence[Control]
    waivers: dict[str, Waiver] = field(default_factory=dict)
    asked: list[tuple[str, str, str, bool]] = field(default_factory=list)

    def waiver(self, rule_or_control: str, level: str, profile: str, container: bool) -> Waiver | None:
        """The waiver of that name, whatever the machine."""
        self.asked.append((rule_or_control, level, profile, container))
        return self.waivers.get(rule_or_control)


def target(name: str = "gondecourt-connecteur", **more: Any) -> Target:
    """A machine of Gondecourt."""
    commune = {"slug": "gondecourt", "nom": "Gondecourt", "siren": "215902669", "taille": "moyenne"}
    facts: dict[str, Any] = {"profile": "tdt_connector", "level": "intermediary", "commune": commune, "container": True}
    return Target(name=name, **(facts | {"address": "10.59.2.20"} | more))


def collected(**more: Any) -> dict[str, Any]:
    """An answer of the collector, ARF left out."""
    package = {"nom": "openssl", "installee": "3.5.1-1", "disponible": "3.5.1-1+deb13u1"}
    return {
        "version": 1,
        "debut": "2026-11-25T04:00:00+00:00",
        "systeme": {
            "nom": "gondecourt-connecteur",
            "systeme": "Debian GNU/Linux 13 (trixie) (13.8)",
            "noyau": "6.12.48",
            "architecture": "x86_64",
            "conteneur": "podman",
            "demarre_le": "2026-11-24T04:00:00+00:00",
            "memoire_mio": 2048,
            "disque_libre_mio": 9000,
            "horloge_synchronisee": True,
            "unites_en_echec": [],
            "ecoute": [{"protocole": "tcp", "adresse": "10.59.2.20", "port": "22", "programme": "sshd"}],
            "comptes": ["creatic", "root"],
        },
        "correctifs": {
            "installes": 169,
            "a_mettre_a_jour": [package],
            "securite": [package],
            "listes_du": "2026-11-25T03:00:00+00:00",
            "derniere_operation": "2026-11-24T03:00:00",
            "redemarrage_requis": False,
        },
        "openscap": {"profil": "anssi_bp28_intermediary", "contenu_sha256": "0" * 64, "version": "1.4.2"},
        "duree_s": 5.8,
        "cpu_s": 4.1,
    } | more


def check(name: str, result: str = "reussi", host: str = "gondecourt-connecteur", detail: str = "") -> Check:
    """A test of the hardening role."""
    return Check(T + name, f"{name}[{host}]", host, result, detail)


def found(rules: Sequence[Rule] = (), checks: Sequence[Check] = (), **more: Any) -> Found:
    """A machine that was looked at."""
    facts: dict[str, Any] = {
        "target": target(),
        "collected": collected(),
        "openscap": OpenScap("anssi_bp28_intermediary", 71.3, tuple(rules)),
        "checks": list(checks),
        "drift": [],
    }
    return Found(**(facts | more))


def results_of(machines: Sequence[Found], catalogue: Catalogue, before: Any = None, name: str = "") -> dict[str, Any]:
    """Content of resultats.json."""
    results: dict[str, Any] = {
        "version": 1,
        "audit": name or "2026-11-25T040000Z",
        "debut": "2026-11-25T04:00:00+00:00",
        "fin": "2026-11-25T04:02:30+00:00",
        "operateur": "ops@poste",
        "code": "0" * 40,
        "inventaire": "lab",
        "perimetre": "commune_gondecourt",
        "niveau_impose": None,
        "contenu_openscap": {"paquet": "ssg-debian_0.1.82-1_all.deb", "sha256": "5" * 64},
        "catalogue": {"controls.yml": "6" * 64},
        "precedent": None,
        **assess(machines, catalogue),
    }
    results["derogations"] = waivers_used(results)
    results["tendance"] = trend(before, results)
    results["durees_s"] = {"essais": 12.0}
    return results


def example(before: Any = None) -> dict[str, Any]:
    """An audit with something of everything."""
    controls = [
        entry("R9", "intermediary", "Paramètres sysctl du noyau", tests=[T + "test_sysctl"], oscap=["sysctl_kptr"]),
        entry("R1", "high", "Matériel 64 bits", statut="manuel", attestation="Je certifie que le matériel convient."),
        entry(
            "R30", "minimal", "Comptes inutilisés", statut="manuel", attestation="Je certifie que <b>les comptes</b>…"
        ),
        entry("R61", "minimal", "Mises à jour régulières", tests=[T + "test_updates"], oscap=["unattended_upgrades"]),
        entry("R68", "intermediary", "Mots de passe", tests=[T + "test_yescrypt"], variable="hardening_yescrypt"),
        entry("R3", "intermediary", "UEFI", statut="sans_objet", motif="pas de firmware dans un conteneur"),
        entry("R75", "intermediary", "Alias de messagerie", tests=[T + "test_aliases"]),
    ]
    rules = [
        Rule("sysctl_kptr", "fail", "medium", "Restrict Exposed Kernel Pointers", ("R9",), {"sysctl_value": "2"}),
        Rule("unattended_upgrades", "pass", "medium", "Automatic Updates", ("R61",)),
        Rule("grub2_password", "fail", "high", "Set Boot Loader Password", ("R5",)),
        Rule("mount_boot", "notapplicable"),
    ]
    machines = [
        found(
            rules,
            [
                check("test_sysctl"),
                check("test_updates"),
                check("test_yescrypt", "echec", detail="assert 'sha512' == 'yescrypt'"),
                check("test_aliases", "ignore", detail="no mail here"),
            ],
            drift=[{"tache": "Base | Ensure time zone", "chemins": ["/etc/localtime"], "diff": "-UTC\n+Europe/Paris"}],
        ),
        found(
            target=target("gondecourt-pc-secretariat", profile="commune_pc", address="10.59.2.10"),
            collected=None,
            openscap=None,
            drift=None,
            incident={
                "phase": "constats",
                "nature": "injoignable",
                "tache": "Audit | Collect",
                "raison": "l'hôte ne répond pas",
                "remede": "Vérifier que la machine est allumée.",
            },
        ),
    ]
    return results_of(machines, Catalogue(controls, {"sysctl_kptr": waiver()}), before)


ARF = """<arf:asset-report-collection xmlns:arf="http://scap.nist.gov/schema/asset-reporting-format/1.1">
<x:Benchmark xmlns:x="http://checklists.nist.gov/xccdf/1.2">
<x:Rule id="xccdf_org.ssgproject.content_rule_sysctl_kptr"><x:title>Restrict
 Pointers</x:title><x:reference href="https://cyber.gouv.fr/x.pdf">R9</x:reference>
<x:reference href="https://nist.example/">SC-30</x:reference></x:Rule></x:Benchmark>
<TestResult xmlns="http://checklists.nist.gov/xccdf/1.2">
<profile idref="xccdf_org.ssgproject.content_profile_anssi_bp28_enhanced"/>
<set-value idref="xccdf_org.ssgproject.content_value_sysctl_value">2</set-value>
<rule-result idref="xccdf_org.ssgproject.content_rule_sysctl_kptr" severity="medium"><result>fail</result>
<check system="x"><check-export export-name="o" value-id="xccdf_org.ssgproject.content_value_sysctl_value"/></check>
</rule-result>
<rule-result idref="xccdf_org.ssgproject.content_rule_other"><result>notselected</result></rule-result>
<score system="urn:xccdf:scoring:default" maximum="100">42.25</score>
</TestResult></arf:asset-report-collection>"""


@pytest.fixture
def arf() -> bytes:
    """A very small ARF, gzip."""
    return gzip.compress(ARF.encode())


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> SealKeys:
    """The authority that the tests trust."""
    from tests.unit.evidence.conftest import make_authority

    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """State of a control node."""
    (tmp_path / "home" / "audits").mkdir(parents=True)
    return tmp_path / "home"
