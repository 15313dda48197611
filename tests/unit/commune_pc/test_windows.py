"""The role's flow on a Windows PC that is reached by PSRP: real Ansible, the protocol spoken, Windows played."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any

import pytest
import yaml
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import Request
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from creatic.pki.authority import Authority
from creatic.pki.keys import Passphrases
from creatic.pki.registry import Owner
from creatic.pki.x509 import Settings
from testbed import windows_pc
from testbed.windows_pc import Call, Entry, WindowsPc

from .conftest import Maker
from .test_pkcs12_file import PASSWORD, write

TOP = Path(__file__).parents[3]
HOST = "bouvines-pc-mairie"
CLERK, CLERK_PASSWORD = "mairie", "canari-de-la-session"
ADMIN_PASSWORD = "canari-de-l-administration"
FILE = {"titulaire": "Finances", "usage": "authentification", "source": "fichier", "fichier": "mairie.p12",
        "secret": "mairie.p12.pass"}  # fmt: skip # one record
OWN = PureWindowsPath(r"C:\Program Files\Creatic")
DIR = OWN / "demandes"


@dataclass
class Site:
    """A site with one Windows PC: an inventory of the example's, the control node's state, the PC."""

    folder: Path
    pc: WindowsPc
    said: str = field(default="", init=False)

    @property
    def home(self) -> Path:
        return self.folder / "etat" / "example"

    def change(self, **variables: Any) -> None:
        """Variables of the host."""
        path = self.folder / "inventaire" / "host_vars" / f"{HOST}.yml"
        held = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(held | variables), encoding="utf-8")

    def run(self, *arguments: str, playbook: str = "site.yml", **environment: str) -> int:
        """Run a playbook on the PC, as loud as anybody would ask for; what it says is kept."""
        tools = Path(sys.executable).parent
        done = subprocess.run(
            [tools / "ansible-playbook", "-i", self.folder / "inventaire", TOP / "playbooks" / playbook,
             "--limit", HOST, "--diff", *arguments],
            cwd=TOP,
            env=os.environ | {"CREATIC_HOME": str(self.folder / "etat"), "PATH": f"{tools}:{os.environ['PATH']}",
                              "ANSIBLE_LOG_PATH": str(self.folder / "journal.log")} | environment,
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip # one command
        self.said = done.stdout + done.stderr
        return done.returncode

    def keeps_its_secrets(self) -> None:
        """None of them is in what was said, or in the journal, however it was asked for."""
        journal = self.folder / "journal.log"
        told = self.said + (journal.read_text(encoding="utf-8") if journal.exists() else "")
        for secret in (PASSWORD, CLERK_PASSWORD, ADMIN_PASSWORD):
            forms = {secret, base64.b64encode(secret.encode()).decode().rstrip("=")}
            assert not [form for form in forms if form in told]

    def counts(self) -> dict[str, int]:
        """Ansible's counts of the PC."""
        found = re.search(rf"^{HOST} +: (.*)$", self.said, re.MULTILINE)
        assert found, self.said
        return {name: int(number) for name, number in (one.split("=") for one in found[1].split())}


EDGE = r"HKLM:\SOFTWARE\Policies\Microsoft\Edge"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The control node's: its authority, and what enters the PC, whose HTTPS is of the same authority."""
    folder = tmp_path_factory.mktemp("etat")
    authority = Authority(folder / "pki", Passphrases(folder / "pki", generate=True))
    authority.ensure(Settings("Groupement", "Groupement", "1.3.6.1.4.1.59999.59"))
    (folder / "windows").mkdir()
    trusted = (folder / "pki" / "publie" / "ca.pem").read_text()
    (folder / "windows" / "autorite.pem").write_text(trusted)
    for request in (
        Request("poste", "server", "localhost", dns=("localhost",)),
        Request("administration", "client", "Poste de commande", "Groupement", "285900015"),
    ):
        key = request.new_key()
        issued = authority.issue(request.csr(key), request, Owner("poste-de-commande"))
        (folder / "windows" / f"{request.name}.cert.pem").write_text(issued.pem + trusted)
        (folder / "windows" / f"{request.name}.key.pem").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
    return folder


@pytest.fixture
def site(tmp_path: Path, state: Path, maker: Maker) -> Iterator[Site]:
    pc = WindowsPc({windows_pc.ADMINISTRATOR: ADMIN_PASSWORD, CLERK: CLERK_PASSWORD})
    one = Site(tmp_path, pc)
    source, inventory = TOP / "inventories" / "example", tmp_path / "inventaire"
    shutil.copytree(source, inventory, ignore=shutil.ignore_patterns("communes", "servers.yml"))
    (inventory / "communes").mkdir()
    commune = yaml.safe_load((source / "communes" / "bouvines.yml").read_text(encoding="utf-8"))
    commune["postes"][0]["certificats"].append(FILE)
    (inventory / "communes" / "bouvines.yml").write_text(yaml.safe_dump(commune), encoding="utf-8")
    shutil.copytree(state, one.home)
    write(one.home / "secrets", maker.make("Finances", unit="0002 215901067"))
    certificate, key, trusted = (
        state / "windows" / name for name in ("poste.cert.pem", "poste.key.pem", "autorite.pem")
    )
    with windows_pc.listening(pc, certificate, key, trusted) as port:
        one.change(ansible_host="localhost", ansible_port=port, commune_pc_windows_password=CLERK_PASSWORD)
        yield one


def journey(calls: list[Call]) -> list[str]:
    """What was done to the PC, in order: the module, its account, and what of its arguments tells what it is about."""
    told = []
    for call in calls:
        args = call.args
        if call.check or "_diff_peek" in args or args.get("_copy_mode") == "query":
            continue
        about = args.get("path") or args.get("dest") or args.get("src") or " ".join(args.get("argv", [])[:2])
        store = [f"{args['store_location']}/{args['store_name']}"] if "store_name" in args else []
        told.append(" ".join([call.module, call.account, PureWindowsPath(about).name, *store]))
    return told


def test_it_is_equipped_once_and_in_order(site: Site) -> None:
    """Nothing in check mode; then all of it, once; then nothing more, told the same by check mode."""
    before = site.pc.digest
    assert site.run("--check") == 0, site.said
    assert site.pc.digest == before and site.counts()["changed"] > 0
    assert not [call for call in site.pc.calls if not call.check and call.args.get("_copy_mode") != "query"]
    site.pc.calls.clear()

    assert site.run("-vvv") == 0, site.said
    assert journey(site.pc.calls) == [
        "win_file administrateur Creatic",
        "win_file administrateur demandes",
        "win_acl administrateur demandes",
        "win_copy administrateur emettrice.pem",
        "win_copy administrateur racine.pem",
        "win_certificate_store administrateur emettrice.pem LocalMachine/CertificateAuthority",
        "win_certificate_store administrateur racine.pem LocalMachine/Root",
        "win_copy administrateur secretariat-de-mairie.inf",
        "win_command mairie certreq.exe -new",
        "slurp administrateur secretariat-de-mairie.csr",
        "win_copy administrateur secretariat-de-mairie.recu",
        "win_command mairie certreq.exe -accept",
        "win_copy administrateur secretariat-de-mairie.cer",
        "win_copy administrateur import.p12",
        "win_certificate_store mairie import.p12 CurrentUser/My",
        "win_file administrateur import.p12",
        *["win_regedit administrateur AutoSelectCertificateForUrls"] * 2,
        *["win_regedit administrateur Edge"] * 3,
        *["win_regedit administrateur AutoSelectCertificateForUrls"] * 2,
        *["win_regedit administrateur Chrome"] * 3,
        "win_stat administrateur firefox.exe",
        "win_file administrateur distribution",
        "win_copy administrateur policies.json",
    ]
    held = {name_of(one): one for one in site.pc.stores[CLERK, "My"].values()}
    assert {*held} == {"Secrétariat de mairie", "Finances"}
    # What the clerk's programs can use, and nobody takes away; no copy of the provider's file stays.
    assert all((one.key, one.exportable, one.storage) == (True, False, "user") for one in held.values())
    assert not site.pc.stores[windows_pc.ADMINISTRATOR, "My"] and OWN / "import.p12" not in site.pc.files
    chosen = json.loads(site.pc.registry[rf"{EDGE}\AutoSelectCertificateForUrls", "2"][1])
    assert chosen["filter"]["SUBJECT"]["CN"] == "Secrétariat de mairie"
    # The clerk writes among requests alone, and nothing is where any account makes files.
    assert site.pc.rights == {(DIR, CLERK)}
    assert {one.suffix for one in site.pc.files if one.parent == DIR} == {".csr", ".recu", ".cer"}
    assert not [one for one in site.pc.files if PureWindowsPath(r"C:\ProgramData") in one.parents]
    firefox = json.loads(site.pc.files[PureWindowsPath(r"C:\Program Files\Mozilla Firefox\distribution\policies.json")])
    assert firefox["policies"]["Certificates"] == {"ImportEnterpriseRoots": True}
    site.keeps_its_secrets()

    before = site.pc.digest
    for arguments in ((), ("--check",)):
        assert site.run(*arguments) == 0, site.said
        assert site.counts()["changed"] == 0 and site.pc.digest == before, site.said


def name_of(entry: Entry) -> str:
    """The holder."""
    (name,) = entry.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(name.value)


def test_a_run_that_is_cut_before_the_key_has_its_certificate_goes_on_the_next_time(site: Site) -> None:
    site.pc.fails = lambda call: "coupure" if "-accept" in call.args.get("argv", ()) else ""
    assert site.run() != 0 and not site.pc.stores[CLERK, "My"]
    site.pc.fails = lambda call: ""
    assert site.run() == 0, site.said
    assert "Secrétariat de mairie" in {name_of(one) for one in site.pc.stores[CLERK, "My"].values()}


def away(site: Site, _maker: Maker) -> None:
    site.change(ansible_port=9)


def another_authority(site: Site, maker: Maker) -> None:
    (site.home / "windows" / "autorite.pem").write_text(maker.root.pem)


def another_name(site: Site, _maker: Maker) -> None:
    site.change(ansible_host="127.0.0.1")


def wrong_password(site: Site, _maker: Maker) -> None:
    account = windows_pc.ADMINISTRATOR
    site.change(ansible_psrp_auth="basic", ansible_user=account, ansible_password=ADMIN_PASSWORD[:-1])


def no_certificate(site: Site, _maker: Maker) -> None:
    (site.home / "windows" / "administration.cert.pem").unlink()


def wrong_file_password(site: Site, _maker: Maker) -> None:
    (site.home / "secrets" / FILE["secret"]).write_text("faux\n")


def wrong_session_password(site: Site, _maker: Maker) -> None:
    site.pc.accounts[CLERK] = "autre"


def no_rights(site: Site, _maker: Maker) -> None:
    told = "Requested registry access is not allowed. Access is denied"
    site.pc.fails = lambda call: told if call.module == "win_regedit" else ""


@pytest.mark.parametrize(
    ("harm", "done", "said"),
    [
        (away, 0, ["rien n'y écoute PowerShell", "service WinRM"]),
        (another_authority, 0, ["certificat HTTPS du poste Windows est refusé", "ansible_psrp_ca_cert"]),
        (another_name, 0, ["certificat HTTPS du poste Windows est refusé", "porte ce nom"]),
        (wrong_password, 0, ["refuse le compte d'administration « administrateur » (basic)"]),
        (no_certificate, 0, ["administration.cert.pem est introuvable", "group_vars/systeme_windows.yml"]),
        (wrong_file_password, 0, ["certificat « Finances »", "corrigez le mot de passe"]),
        (wrong_session_password, 8, ["mot de passe du compte « mairie »", "commune_pc_windows_password"]),
        (no_rights, 26, ["n'a pas tous les droits", "groupe Administrateurs"]),
    ],
)
def test_what_stops_a_rollout_is_told_and_leaves_what_was_done(
    site: Site, maker: Maker, harm: Callable[[Site, Maker], None], done: int, said: list[str]
) -> None:
    harm(site, maker)
    code = site.run("-vvv", playbook="journeys/rollout.yml", ANSIBLE_STDOUT_CALLBACK="cdg59.creatic.rollout")
    told = site.said.partition("Déploiement")[2].partition("╭")[0]
    assert code != 0 and not [one for one in said if one not in told], site.said
    assert len(journey(site.pc.calls)) == done and bool(site.pc.folders) is bool(done)
    assert OWN / "import.p12" not in site.pc.files
    site.keeps_its_secrets()
