# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""A PC's installer, and the sheet of who carries it: a signed MSI for Windows, a .deb for Debian.

What is in it is the program, the same for all, and ``poste.json``, which has a token that serves once: no key, no
password. Its version is the moment when it was made (UTC): the last one replaces those before, and none replaces it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import subprocess
import tempfile
import unicodedata
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils import words
from ansible_collections.cdg59.creatic.plugins.module_utils.durable import write
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import Request
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.host import HostStore
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from creatic.evidence.page import typographic
from creatic.evidence.seal import UNIT
from creatic.pki import own
from creatic.pki.authority import Authority
from creatic.postes import program, settings
from creatic.postes.program import InstallerError

SIGNING = "programmes"
"""Folder of the certificate that signs programs, beside those that seal."""
SUFFIXES = {"windows": "msi", "debian": "deb"}
_INSTALLER_NAMESPACE = uuid.UUID("6a7eb5ea-9b43-4843-a4d3-2d11accade49")  # of what Windows Installer knows by a number
_MAX_NETBIOS_NAME_LENGTH = 15  # signs of a computer's name that Windows Installer knows
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=typographic,
)
_PACKAGING_TIMEOUT_SECONDS = 600


@dataclass(frozen=True)
class Maker:
    """What makes the installers of an environment.

    Attributes:
        home: state of the control node.
        authority: of the groupement, which signs for itself too.
        version: of the product (French).
    """

    home: Path
    authority: Authority
    version: str

    def ready(self, system: str) -> list[Path]:
        """Have a system's program, and what signs it; made once.

        Raises:
            InstallerError: a package lacks, or it does not build. PkiError: the authority cannot sign.
        """
        if system == "windows":
            self._write_certificates()
        return program.built(program.folder(), system)

    def make(
        self,
        described: Mapping[str, Any],
        system: str,
        token: tuple[str, dt.datetime] | None,
        target: Path,
        now: dt.datetime,
    ) -> Path:
        """Write a PC's installer, and its sheet beside it (``.html``); gives the installer's path.

        Args:
            described: what the PC is told, as `settings.described` says it.
            system: of the commune's file.
            token: and its end; None for a PC that asks the groupement for no certificate.
            target: folder.
            now: with its timezone; the version.

        Raises:
            InstallerError: it could not be made, or one of its name is there. PkiError: nothing signs it.
        """
        number, name = number_of(now), str(described["poste"])
        path = target / f"{name}-{number}.{SUFFIXES[system]}"
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            (folder / "poste.json").write_bytes(settings.text(described, token))
            make = self._build_msi if system == "windows" else self._build_deb
            made = make(described, self.ready(system), folder, number).read_bytes()
        sheet = self._render_sheet(described, system, path.name, made, token and token[1])
        for one, data in ((path, made), (path.with_suffix(".html"), sheet.encode())):
            try:
                write(one, data, 0o600, replace=False)
            except FileExistsError:
                raise InstallerError(f"{one} existe déjà, il n'est pas remplacé. À faire : un autre dossier") from None
            except OSError as error:
                raise InstallerError(f"{one} ne s'écrit pas ({error.strerror}). À faire : un dossier à vous") from None
        return path

    # -- Windows -------------------------------------------------------------------------------------

    def _build_msi(self, described: Mapping[str, Any], programs: list[Path], folder: Path, number: str) -> Path:
        organization, computer = self.organization, str(described["nom"])
        product = f"Certificats et signature ({computer})"
        for one in programs:
            self._sign_program(one, folder / one.name, product)
        files = [*(folder / one.name for one in programs), folder / "poste.json"]
        source, bare = folder / "poste.wxs", folder / "poste.msi"
        source.write_text(
            _TEMPLATES.get_template("poste.wxs.j2").render(
                upgrade=str(uuid.uuid5(_INSTALLER_NAMESPACE, organization)).upper(),
                product=western(product),
                organization=western(organization),
                version=number,
                comments=western(f"{described['commune']} – {self.version}"),
                computer=western(computer),
                netbios=computer[:_MAX_NETBIOS_NAME_LENGTH],
                files=[(f"f{rank}", one.name, one, _name_guid(one.name)) for rank, one in enumerate(files)],
                program="f1",
            ),
            encoding="utf-8",
        )
        _run_tool("wixl", "-a", "x64", "-o", bare, source)
        self._sign_program(bare, folder / "signe.msi", product)
        return folder / "signe.msi"

    def _sign_program(self, file: Path, signed: Path, product: str) -> None:
        """Sign a program, by the groupement's certificate, dated by its own unit."""
        code, unit = (self.home / own.FOLDER / name / "current" for name in (SIGNING, "horodatage"))
        _run_tool(
            *("osslsigncode", "sign", "-h", "sha256", "-certs", code / "fullchain.pem", "-key", code / "key.pem"),
            *("-n", western(product), *(("-add-msi-dse",) if file.suffix == ".msi" else ())),
            *("-TSA-certs", unit / "fullchain.pem", "-TSA-key", unit / "key.pem"),
            *("-in", file, "-out", signed),
        )

    def _write_certificates(self) -> None:
        store, organization = HostStore(self.home / own.FOLDER), self.organization
        # RSA: what Windows asks of a program's signature everywhere. Its name is what Windows shows.
        code = Request(SIGNING, "code", organization, organization, key_type="rsa", holder="service")
        unit = Request("horodatage", "tsa", UNIT, organization, holder="service")  # as tasks/seal.yml has it
        for one in (code, unit):
            one.check()
            own.ensure(self.authority, store, one)

    @property
    def organization(self) -> str:
        """The groupement's, as its certificates have it."""
        found = self.authority.settings()
        if found is None:
            raise InstallerError("l'autorité du groupement n'existe pas encore. À faire : fab pki.creer, puis relancez")
        return found.organization

    # -- Debian --------------------------------------------------------------------------------------

    def _build_deb(self, described: Mapping[str, Any], programs: list[Path], folder: Path, number: str) -> Path:
        tree = folder / "paquet"
        given = {"organization": self.organization, "version": number, "commune": described["commune"]}
        for place, data, mode in (
            ("usr/bin/creatic-poste", programs[0].read_bytes(), 0o755),
            ("etc/creatic/poste.json", (folder / "poste.json").read_bytes(), 0o644),
            ("DEBIAN/control", _DEB_CONTROL_TEMPLATE.format(**given).encode(), 0o644),
            ("DEBIAN/preinst", _PREINST.format(**given).encode(), 0o755),
            ("DEBIAN/postinst", _POSTINST.encode(), 0o755),
            ("DEBIAN/prerm", _PRERM.encode(), 0o755),
        ):
            path = tree / place
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod(mode)
        for one in (tree, *(path for path in tree.rglob("*") if path.is_dir())):
            one.chmod(0o755)
        made = folder / "poste.deb"
        _run_tool("dpkg-deb", "--root-owner-group", "--build", tree, made)
        return made

    # -- the sheet -----------------------------------------------------------------------------------

    def _render_sheet(
        self, described: Mapping[str, Any], system: str, name: str, made: bytes, end: dt.datetime | None
    ) -> str:
        digest = hashlib.sha256(made).hexdigest()
        return _TEMPLATES.get_template("fiche.html.j2").render(
            told=described,
            system=system,
            file=name,
            organization=self.organization,
            digest=" ".join(digest[start : start + 8] for start in range(0, 64, 8)),
            end=end and words.day(end.astimezone().isoformat()).removeprefix("le "),
        )


def number_of(now: dt.datetime) -> str:
    """The version of what is made now, as Windows Installer takes one: year, month, minute of the month (UTC)."""
    at = now.astimezone(dt.UTC)
    return f"{at.year - 2000}.{at.month}.{(at.day * 24 + at.hour) * 60 + at.minute}"


def western(text: str) -> str:
    """A text in the signs that a French Windows Installer database has (code page 1252); others lose their accent."""

    def western_sign(sign: str) -> str:
        try:
            sign.encode("cp1252")
        except UnicodeEncodeError:
            return unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode() or "?"
        return sign

    return "".join(map(western_sign, unicodedata.normalize("NFC", text)))


def _name_guid(name: str) -> str:
    return str(uuid.uuid5(_INSTALLER_NAMESPACE, name)).upper()


def _run_tool(program: str, *arguments: str | Path) -> None:
    done = subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, errors="replace",
        timeout=_PACKAGING_TIMEOUT_SECONDS, check=False,
    )  # fmt: skip # one call
    if done.returncode:
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise InstallerError(f"l'installateur ne se fait pas ({program} : {lines[-1] if lines else 'sans message'})")


_DEB_CONTROL_TEMPLATE = """\
Package: creatic-poste
Version: {version}
Architecture: amd64
Maintainer: {organization}
Depends: libc6 (>= 2.34)
Recommends: zenity, desktop-file-utils
Section: admin
Priority: optional
Description: Certificats et signature, pour {commune}
 Les certificats de ce poste, et la signature depuis la page du parapheur.
"""
_PREINST = """\
#!/bin/sh
set -e
if [ "$1" = upgrade ] && dpkg --compare-versions "$2" gt {version}; then
    echo "Un installateur plus récent que celui-ci est déjà passé sur ce poste : rien n'est changé." >&2
    exit 1
fi
"""
_POSTINST = """\
#!/bin/sh
set -e
if [ "$1" = configure ]; then
    creatic-poste installer || true
    if command -v update-desktop-database >/dev/null; then update-desktop-database -q || true; fi
fi
"""
_PRERM = """\
#!/bin/sh
set -e
if [ "$1" = remove ]; then
    creatic-poste retirer --machine || true
    if command -v update-desktop-database >/dev/null; then update-desktop-database -q || true; fi
fi
"""
