"""The installers: what is in them, read by others' tools; and what Wine's Windows Installer makes of them."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from apps.poste.tests.test_poste import (
    CHROME,
    EDGE,
    HOLDER,
    ISSUED,
    TDT,
    Door,
    Wine,
    authority,
    door,
    now,
    prefix,
    prepare,
    programs,
    windows,
)
from creatic.pki.authority import Authority
from creatic.pki.keys import Passphrases
from creatic.pki.x509 import Settings
from creatic.postes import program
from creatic.postes.installer import SIGNING, InstallerError, Maker, number_of, western
from testbed.poste import LONG
from testbed.wine import CONTAINERS, RUN

__all__ = ["authority", "door", "prefix", "programs", "windows"]  # fixtures

ORGANIZATION = "Groupement d’essai"
COMPUTER = socket.gethostname()
DESCRIBED: dict[str, Any] = {
    "groupement": ORGANIZATION, "commune": "Haÿ-sur-l’Œuf", "siren": "215902495", "poste": "hay-pc", "nom": COMPUTER,
    "enrolement": "https://enrolement.example.test", "racines": [], "autorites": [], "tdt_autorites": [], "tdt": TDT,
    "sites": [], "certificats": [ISSUED],
}  # fmt: skip # as the file is
TOKEN = "A" * 52
INSTALLED = "drive_c/Program Files/creatic-poste"
UNINSTALL = r"HKLM\Software\Microsoft\Windows\CurrentVersion\Uninstall"

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("go", "wixl", "osslsigncode", "msiinfo"))),
    reason="needs Go, wixl, osslsigncode and msitools",
)


@pytest.fixture(scope="session")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    home = tmp_path_factory.mktemp("etat")
    made = Authority(home / "pki", Passphrases(home / "pki", generate=True))
    made.ensure(Settings(ORGANIZATION, "essai", "1.3.6.1.4.1.59999.59.1"))
    return Maker(home, made, "essai")


def make(maker: Maker, folder: Path, system: str = "windows", minutes: int = 0, **changes: Any) -> Path:
    """An installer made that many minutes from now, in a folder of its own."""
    target = folder / f"{system}{minutes}-{len([*folder.iterdir()])}"
    target.mkdir()
    token = (changes.pop("jeton", TOKEN), now() + dt.timedelta(days=14))
    described = {name: value for name, value in (DESCRIBED | changes).items() if name != "jeton_fin"}
    return maker.make(described, system, token, target, now() + dt.timedelta(minutes=minutes))


def table(package: Path, name: str) -> list[list[str]]:
    told = subprocess.run(["msiinfo", "export", package, name], capture_output=True, check=True).stdout.decode()
    return [line.split("\t") for line in told.replace("\r", "").splitlines()[3:]]


def verified(package: Path, root: Path) -> bool:
    return not subprocess.run(
        ["osslsigncode", "verify", "-CAfile", root, "-TSA-CAfile", root, "-in", package],
        capture_output=True, check=False,
    ).returncode  # fmt: skip # a command on a line


# -- what is in them -----------------------------------------------------------------------------------


def test_an_msi_is_signed_by_the_groupement_and_dated_by_its_own_unit(maker: Maker, tmp_path: Path) -> None:
    package, root = make(maker, tmp_path), maker.home / "pki/publie/racine.pem"
    assert verified(package, root)
    told = subprocess.run(
        ["osslsigncode", "verify", "-CAfile", root, "-TSA-CAfile", root, "-in", package],
        capture_output=True, check=True,
    ).stdout.decode()  # fmt: skip # a command on a line
    assert "Timestamp Server Signature verification: ok" in told and "CN=Horodatage du groupement" in told
    subprocess.run(["msiextract", "-C", tmp_path, package], capture_output=True, check=True)
    [folder] = {path.parent for path in tmp_path.rglob("poste.json")}
    assert {path.name for path in folder.iterdir()} == {"creatic-poste.exe", "creatic-postew.exe", "poste.json"}
    assert all(verified(path, root) for path in folder.glob("*.exe"))
    # Another groupement's authority, or another content: nobody's.
    other = Authority(tmp_path / "pki", Passphrases(tmp_path / "pki", generate=True))
    other.ensure(Settings("Un autre", "autre", "1.3.6.1.4.1.59999.59.1"))
    assert not verified(package, tmp_path / "pki/publie/racine.pem")
    content = bytearray(package.read_bytes())
    content[len(content) // 2] ^= 1
    package.write_bytes(content)
    assert not verified(package, root)


def test_its_tables_say_who_made_it_for_which_pc_and_it_has_no_secret_but_the_token(
    maker: Maker, tmp_path: Path
) -> None:
    package = make(maker, tmp_path)
    assert package.stat().st_mode & 0o777 == 0o600
    properties = {line[0]: line[1] for line in table(package, "Property")}
    assert properties["Manufacturer"] == ORGANIZATION and properties["ALLUSERS"] == "1"
    assert properties["ProductName"] == f"Certificats et signature ({COMPUTER})"
    assert properties["ProductVersion"] in package.name and properties["ProductLanguage"] == "1036"
    conditions = [line[0] for line in table(package, "LaunchCondition")]
    assert f'Installed OR ComputerName ~= "{COMPUTER[:15]}"' in conditions
    sequence = {line[0]: int(line[2]) for line in table(package, "InstallExecuteSequence")}
    order = "InstallInitialize RemoveExistingProducts RetirerCompte RetirerMachine RemoveFiles InstallFiles Annuler"
    wanted = [*order.split(), "Installer", "InstallFinalize"]
    assert sorted(wanted, key=lambda action: sequence[action]) == wanted
    content = package.read_bytes()
    keys = (maker.home / "certificats" / SIGNING / "current/key.pem").read_bytes()
    assert b"PRIVATE KEY" in keys and b"PRIVATE KEY" not in content
    subprocess.run(["msiextract", "-C", tmp_path, package], capture_output=True, check=True)
    [file] = tmp_path.rglob("poste.json")
    told = json.loads(file.read_text())
    assert {*told} == {*DESCRIBED, "jeton", "jeton_fin"} and told["jeton"] == TOKEN
    sheet = package.with_suffix(".html").read_text()
    assert package.name in sheet and ORGANIZATION in sheet and TOKEN not in sheet and "http-equiv" in sheet


def test_two_of_a_groupement_upgrade_each_other_and_no_other_s(maker: Maker, tmp_path: Path) -> None:
    def upgrade(package: Path) -> str:
        return next(line[1] for line in table(package, "Property") if line[0] == "UpgradeCode")

    first, second = make(maker, tmp_path), make(maker, tmp_path, minutes=1, nom="pc-autre", poste="hay-pc-autre")
    stranger = Authority(tmp_path / "pki", Passphrases(tmp_path / "pki", generate=True))
    stranger.ensure(Settings("Un autre groupement", "autre", "1.3.6.1.4.1.59999.59.1"))
    other = dataclasses.replace(maker, home=tmp_path, authority=stranger)
    assert upgrade(first) == upgrade(second) != upgrade(make(other, tmp_path))


@pytest.mark.parametrize(
    ("system", "program_"),
    [("windows", "&#34;%ProgramFiles%\\creatic-poste\\creatic-poste.exe&#34;"), ("debian", "creatic-poste")],
)
def test_the_sheet_says_what_is_to_be_done_there(maker: Maker, tmp_path: Path, system: str, program_: str) -> None:
    provided = {**ISSUED, "nom": "maire", "titulaire": "Anne <b>Roy</b>", "source": "fichier"}
    sheet = make(maker, tmp_path, system, certificats=[ISSUED, provided]).with_suffix(".html").read_text()
    assert f"{program_} fichier CHEMIN.p12 --certificat maire" in sheet and "--certificat secretaire" not in sheet
    assert "Anne &lt;b&gt;Roy" in sheet and "fab poste.certifier hay-pc" in sheet and "une fois" in sheet
    path = maker.make(DESCRIBED, system, None, tmp_path, now())
    assert "poste.certifier" not in (sheet := path.with_suffix(".html").read_text()) and "une fois" not in sheet


@pytest.mark.parametrize(
    ("at", "version"),
    [
        ("2026-12-02T23:44:00+00:00", "26.12.4304"),
        ("2026-12-03T00:44:00+01:00", "26.12.4304"),
        ("2027-01-31T23:59:59+00:00", "27.1.46079"),
        ("2027-02-01T00:00:00+00:00", "27.2.1440"),
    ],
)
def test_a_version_is_a_moment_that_windows_installer_can_compare(at: str, version: str) -> None:
    assert number_of(dt.datetime.fromisoformat(at)) == version


def test_a_name_is_written_as_a_french_windows_can() -> None:
    assert western("L’Œuf d’Haÿ – Łódź") == "L’Œuf d’Haÿ – ?ódz"


def test_an_installer_takes_the_place_of_no_file(maker: Maker, tmp_path: Path) -> None:
    token = (TOKEN, now())
    maker.make(DESCRIBED, "windows", token, tmp_path, now())
    at = dt.datetime.fromisoformat("2026-12-02T23:44:00+00:00")
    maker.make(DESCRIBED, "windows", token, tmp_path, at)
    with pytest.raises(InstallerError, match="existe déjà"):
        maker.make(DESCRIBED, "windows", token, tmp_path, at)
    with pytest.raises(InstallerError, match="ne s'écrit pas"):
        maker.make(DESCRIBED, "windows", token, tmp_path / "absent" / "x", at)


def test_a_control_node_without_the_tools_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, maker: Maker, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InstallerError, match=r"apt-get install --no-install-recommends golang-go.* wixl osslsigncode"):
        maker.ready("windows")


def test_a_program_is_built_once_and_again_when_its_sources_change(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "go.mod").write_text("module essai\n\ngo 1.24\n")
    (source / "main.go").write_text('package main\n\nfunc main() { println("un") }\n')
    [first] = program.built(tmp_path / "faits", "debian", source)
    stamp = first.stat().st_mtime_ns
    assert program.built(tmp_path / "faits", "debian", source) == [first] and first.stat().st_mtime_ns == stamp
    (source / "main_test.go").write_text("package main\n")
    assert program.built(tmp_path / "faits", "debian", source) == [first]
    (source / "main.go").write_text('package main\n\nfunc main() { println("deux") }\n')
    [second] = program.built(tmp_path / "faits", "debian", source)
    assert second != first and not first.exists()
    assert subprocess.run([second], capture_output=True, check=True).stderr == b"deux\n"
    (source / "main.go").write_text("package main\n\nfunc main() { rien }\n")
    with pytest.raises(InstallerError, match="ne se construit pas"):
        program.built(tmp_path / "faits", "debian", source)
    assert second.exists()


def test_a_deb_has_the_program_and_refuses_to_go_back(maker: Maker, tmp_path: Path) -> None:
    package = make(maker, tmp_path, "debian")
    tree = tmp_path / "x"
    subprocess.run(["dpkg-deb", "-R", package, tree], check=True)
    fields = subprocess.run(["dpkg-deb", "-f", package], capture_output=True, text=True, check=True).stdout
    [version] = re.findall(r"^Version: (.*)$", fields, re.MULTILINE)
    assert f"Maintainer: {ORGANIZATION}" in fields and version in package.name
    assert json.loads((tree / "etc/creatic/poste.json").read_text())["jeton"] == TOKEN
    said = subprocess.run([tree / "usr/bin/creatic-poste", "aide"], capture_output=True, text=True, check=True).stdout
    assert "creatic-poste COMMANDE" in said
    for before, code in (("99.1.1", 1), ("26.1.1", 0), (version, 0)):
        done = subprocess.run([tree / "DEBIAN/preinst", "upgrade", before], capture_output=True, text=True, check=False)
        assert (done.returncode, "plus récent" in done.stderr) == (code, bool(code))
    assert not [*tree.glob("DEBIAN/conffiles")]  # the next token replaces the one before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a package is installed on a copy of this machine")
def test_a_deb_installs_and_goes_with_all_that_it_put(maker: Maker, tmp_path: Path) -> None:
    package = make(maker, tmp_path, "debian", racines=[*maker.authority.roots().values()])
    script = """
    set -e
    mount -t tmpfs none "$1"; mkdir "$1/u" "$1/w" "$1/m"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$1/u,workdir=$1/w" "$1/m"
    mount -t proc proc "$1/m/proc"
    cp "$2" "$1/m/root/x.deb"
    exec chroot "$1/m" sh -c '
        dpkg -i /root/x.deb
        cat /usr/share/applications/creatic-poste.desktop /etc/xdg/autostart/creatic-poste.desktop
        dpkg -r creatic-poste && ls -d /usr/bin/creatic-poste /etc/creatic/poste.json /var/lib/creatic/poste \
            /usr/share/applications/creatic-poste.desktop /etc/xdg/autostart/creatic-poste.desktop || echo plus rien'
    """
    place = tmp_path / "copie"
    place.mkdir()
    done = subprocess.run(
        ["unshare", "-mpf", "sh", "-c", script, "sh", place, package], capture_output=True, text=True, check=False,
        timeout=LONG,
    )  # fmt: skip # a command on a line
    assert "Exec=/usr/bin/creatic-poste signer %u\nMimeType=x-scheme-handler/creatic;" in done.stdout, done.stderr
    assert "Exec=/usr/bin/creatic-poste session" in done.stdout
    assert done.stdout.endswith("plus rien\n") and "\n/" not in done.stdout


# -- what Windows Installer makes of them ----------------------------------------------------------------


class Installed:
    """A PC on which Windows Installer works."""

    def __init__(self, pc: Wine, maker: Maker, content: Mapping[str, Any], folder: Path) -> None:
        self.pc, self.maker, self.content, self.folder = pc, maker, content, folder
        self.program = Path(pc.prefix, INSTALLED, "creatic-poste.exe")

    def make(self, minutes: int = 0, **changes: Any) -> Path:
        return make(self.maker, self.folder, minutes=minutes, **{**self.content, **changes})

    def msiexec(self, option: str, package: Path, *properties: str) -> int:
        return subprocess.run(
            ["wine", "msiexec", option, self.pc.argument(package), "/qn", *properties], env=self.pc.environment,
            check=False, timeout=LONG, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ).returncode  # fmt: skip # a command on a line

    def files(self) -> list[str]:
        """What Windows Installer put; the program keeps its manifest beside."""
        return sorted(path.name for path in self.program.parent.glob("*") if path.name != "manifeste.json")

    def products(self) -> list[tuple[str, str, str]]:
        found = self.pc.query(UNINSTALL).values()
        return [
            (one["DisplayName"], one["DisplayVersion"], one["Publisher"])
            for one in found
            if one.get("DisplayName", "").startswith("Certificats et signature")
        ]

    def registry(self) -> dict[str, dict[str, str]]:
        keys = (r"HKLM\Software\Policies", RUN, r"HKLM\Software\Classes\creatic", CONTAINERS)
        return {key: values for one in keys for key, values in self.pc.query(one).items()}

    def call(self, command: str) -> None:
        """What Windows calls by itself, as the registry has it."""
        [program, *words] = re.findall(r'"([^"]+)"|(\S+)', command.replace("\\\\", "\\"))
        given = ["".join(one) for one in (program, *words)]
        subprocess.run(
            ["wine", *given], env=self.pc.environment, check=True, timeout=LONG, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip # a command on a line

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            ["wine", str(self.program), *arguments], env=self.pc.environment, capture_output=True, text=True,
            timeout=LONG, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip # a command on a line
        return done.stdout + done.stderr


@pytest.fixture
def installed(windows: Wine, door: Door, maker: Maker, tmp_path: Path) -> Iterator[Installed]:
    content = prepare(windows, door)
    windows.config.unlink()
    (tmp_path / "installeurs").mkdir()
    found = Installed(windows, maker, content, tmp_path / "installeurs")
    yield found
    for one in (tmp_path / "installeurs").glob("*/*.msi"):
        found.msiexec("/x", one)
    assert found.files() == [] and found.products() == []


@pytest.mark.wine
def test_it_installs_without_a_word_and_goes_with_all_that_it_put(installed: Installed, door: Door) -> None:
    pc, before = installed.pc, installed.registry()
    package = installed.make()
    assert installed.msiexec("/i", package) == 0
    assert installed.files() == ["creatic-poste.exe", "creatic-postew.exe", "poste.json"]
    [(name, version, publisher)] = installed.products()
    assert (name, publisher) == (f"Certificats et signature ({COMPUTER})", ORGANIZATION.replace("’", "'"))
    assert version in package.name
    windowless = r'"C:\Program Files\creatic-poste\creatic-postew.exe"'
    session = pc.query(RUN)[RUN.replace("HKLM", "HKEY_LOCAL_MACHINE")]["creatic-poste"]
    assert session == f"{windowless} session"
    scheme = str(pc.query(r"HKLM\Software\Classes\creatic")).replace("\\\\", "\\")
    assert f'{windowless} signer "%1"' in scheme
    issuing = door.authority.issuing
    assert issuing.public_bytes(serialization.Encoding.DER) in pc.machine("CA")
    for browser in (CHROME, EDGE):
        assert HOLDER in str(pc.query(browser))
    installed.call(session)  # the clerk's first session
    assert pc.certificates() == door.issued and len(door.issued) == 1
    said = installed.run("verifier")
    assert "présent" in said and "installé" in said  # from a console, its words are read
    assert installed.msiexec("/i", package) == 0 and len(installed.products()) == 1
    assert installed.msiexec("/x", package) == 0
    assert (installed.files(), installed.products(), pc.certificates(), pc.containers()) == ([], [], [], [])
    assert installed.registry() == before
    left = [*pc.prefix.glob("drive_c/ProgramData/Creatic*"), *pc.prefix.glob("drive_c/users/*/AppData/Local/Creatic*")]
    assert left == [] and not installed.program.parent.exists()
    assert installed.msiexec("/i", package) == 0
    assert installed.registry() != before


@pytest.mark.wine
def test_what_a_clerk_has_outlives_the_installer_of_before(installed: Installed, door: Door) -> None:
    old, new = installed.make(), installed.make(minutes=5, jeton="B" * 52)
    assert installed.msiexec("/i", old) == 0
    installed.call(r'"C:\Program Files\creatic-poste\creatic-postew.exe" session')
    held, before = installed.pc.certificates(), installed.registry()
    assert held == door.issued
    # As Windows calls the former when a newer one comes: Wine's does not tell it why it goes.
    assert (
        installed.msiexec("/i", old, "REMOVE=ALL", "UPGRADINGPRODUCTCODE={6A7EB5EA-9B43-4843-A4D3-2D11ACCADE49}") == 0
    )
    assert (installed.files(), installed.pc.certificates(), installed.registry()) == ([], held, before)
    assert installed.msiexec("/i", new) == 0
    assert (installed.pc.certificates(), installed.registry()) == (held, before)


@pytest.mark.wine
def test_a_newer_one_takes_the_place_of_the_former_which_never_comes_back(installed: Installed) -> None:
    old, new = installed.make(), installed.make(minutes=5, jeton="B" * 52)
    assert installed.msiexec("/i", old) == 0
    before = installed.registry()
    assert installed.msiexec("/i", new) == 0
    file = installed.program.with_name("poste.json")
    assert json.loads(file.read_text())["jeton"] == "B" * 52
    [(_, version, _)] = installed.products()
    assert version in new.name
    assert installed.msiexec("/i", old) != 0
    assert json.loads(file.read_text())["jeton"] == "B" * 52 and len(installed.products()) == 1
    assert installed.registry() == before


@pytest.mark.wine
def test_another_pc_s_changes_nothing(installed: Installed) -> None:
    before = installed.registry()
    assert installed.msiexec("/i", installed.make(nom="un-autre-pc")) != 0
    assert (installed.files(), installed.products(), installed.registry()) == ([], [], before)


@pytest.mark.wine
def test_cut_in_the_middle_then_again_is_whole(installed: Installed) -> None:
    package = installed.make()
    process = subprocess.Popen(
        ["wine", "msiexec", "/i", installed.pc.argument(package), "/qn"], env=installed.pc.environment,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip # a command on a line
    while process.poll() is None and not installed.program.parent.exists():
        pass  # until its first file
    process.kill()
    process.wait()
    assert installed.msiexec("/i", package) == 0
    assert installed.files() == ["creatic-poste.exe", "creatic-postew.exe", "poste.json"]
    assert len(installed.products()) == 1 and "creatic-postew.exe" in str(installed.pc.query(RUN))
