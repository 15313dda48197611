#!/usr/bin/env python3
"""One délibération of the lab's Gondecourt through the whole chain, its people played by their own means.

Prepared, voted and signed by the pages alone, in the browsers of who writes, of the DGS and of the maire, who signs
with a token at the commune's PC; then handed over by the passerelle alone: parapheur, connector, ARActe, publication,
GED, archive. Leaves in a folder of the control node
what anybody can judge: the published PDF, what poppler says of its signatures, pictures of the published page and of
the chain's page, and the time of each hand-over (``chaine.json``).

Usage: scripts/demo_chaine.py (the lab is up and converged: playbooks/site.yml)
"""

from __future__ import annotations

import argparse
import base64
import datetime as dt
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TOP = Path(__file__).parents[1]
sys.path[:0] = [str(TOP), str(TOP / "collections")]

from testbed import apps

sys.path[:0] = apps.sources()

import testinfra
import urllib3

from creatic.registry import listing
from testbed.clerk import Clerks, clerks
from testbed.commune_pc import typing
from testbed.deliberations import HTML, MANAGER, Site
from testbed.ged import Store
from testbed.parapheur import Parapheur, pdf
from testbed.passerelle import Passerelle
from testbed.patience import wait_for
from testbed.window import open_window

INVENTORY = TOP / "inventories" / "lab"
PC, CONNECTOR = "gondecourt-pc-secretariat", "gondecourt-connecteur"


class Lab:
    """The lab's machines of the chain."""

    def __init__(self) -> None:
        done = subprocess.run(
            ["ansible-inventory", "-i", str(INVENTORY), "--list"], capture_output=True, text=True, check=True
        )
        self.hosts: dict[str, dict[str, Any]] = listing.read(done.stdout)["_meta"]["hostvars"]
        state = Path(os.environ.get("CREATIC_HOME") or "~/.local/share/creatic").expanduser()
        self.home = state / self.hosts["relais"]["creatic_env"]
        self.site = Site(*self._machine_access("seances"))
        self.parapheur = Parapheur(*self._machine_access("signatures"))
        self.ged = Store(*self._machine_access("documents"))
        key = self.home / "ssh"
        self.ssh = ["ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-i", str(key / "id_ed25519"),
                    "-o", f"UserKnownHostsFile={key / 'known_hosts'}"]  # fmt: skip # a list by rows
        address, name, _home = self._machine_access("relais")
        options = " ".join(self.ssh[1:])
        host = testinfra.get_host(f"ssh://creatic@{address}", ssh_extra_args=options)
        self.passerelle = Passerelle(address, name, self.home, host, self.ssh, self.ged)

    def _machine_access(self, name: str) -> tuple[str, str, Path]:
        one = self.hosts[name]
        return one["ansible_host"], one["creatic_names"][0], self.home

    def sign(self, document: bytes) -> bytes:
        """The maire signs at the commune's PC, with the token, by signer-acte."""
        pc = self.hosts[PC]
        key = next(one for one in pc["creatic_poste"]["certificats"] if one["usage"] == "signature")
        pin = (self.home / "secrets" / key["secret"]).read_text(encoding="ascii").strip()
        account = pc["creatic_poste"]["compte"]
        enter = [*self.ssh, f"creatic@{pc['ansible_host']}"]
        place = subprocess.run([*enter, f"sudo -u {account} mktemp -d"], capture_output=True, text=True, check=True)
        folder = place.stdout.strip()
        suffix = ".xml" if document.startswith(b"<") else ".pdf"
        write = f"base64 -d | sudo -u {account} tee {folder}/acte{suffix} >/dev/null"
        subprocess.run([*enter, write], input=base64.b64encode(document), check=True)
        status, shown = typing(pc, self.home, f"cd {folder} && signer-acte acte{suffix}", pin)
        if status:
            raise SystemExit(f"signer-acte : {shown.replace(pin, '…')}")
        read = subprocess.run(
            [*enter, f"sudo base64 -w0 {folder}/acte-signe{suffix} && sudo rm -r {folder}"],
            capture_output=True,
            check=True,
        )
        return base64.b64decode(read.stdout)


def wait(what: str, true: Callable[[], Any], seconds: float = 600) -> Any:
    """Wait until something is there; gives it. A server that restarts meanwhile is asked again."""
    try:
        return wait_for(true, what, seconds, every=1, despite=(urllib3.exceptions.HTTPError, AssertionError))
    except AssertionError as error:
        raise SystemExit(str(error)) from None


def print_step(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


def council(those: Clerks, mark: str) -> tuple[str, str]:
    """A meeting where one délibération is voted, by the pages; gives its number and its path."""
    day = dt.date.today()
    meeting = those.prepare(day, mark)
    projet = those.write(meeting, f"Restauration de l'église Saint-Martin ({mark})", "1.1")
    those.join(projet, "plan.pdf", pdf("Plan de l'église"))
    those.submit(projet)
    those.open(meeting, day, projet)
    number = those.adopt(projet)
    those.close(meeting)
    return number, those.site.path(projet)


def signatures(home: Path, act: Path) -> str:
    """What poppler says of an act's signatures, when it trusts the maire's provider and the groupement."""
    with tempfile.TemporaryDirectory() as folder:
        base = f"sql:{folder}"
        subprocess.run(["certutil", "-N", "-d", base, "--empty-password"], check=True)
        for origin in ("prestataire", "pki"):
            for name, flags in (("racine", "C,C,C"), ("emettrice", ",,")):
                trust = ["-n", f"{origin}-{name}", "-t", flags, "-i", str(home / origin / "publie" / f"{name}.pem")]
                subprocess.run(["certutil", "-A", "-d", base, *trust], check=True)
        asked = ["pdfsig", "-nssdir", base, str(act)]
        return subprocess.run(
            asked, capture_output=True, text=True, check=True, env=os.environ | {"LC_ALL": "C"}
        ).stdout


def passages(lab: Lab, reference: str) -> list[tuple[str, float]]:
    """Steps of an act and the seconds that each took, as the passerelle noted them."""
    rows = lab.passerelle.sql(
        f"SELECT etape || '|' || extract(epoch from le) FROM passage WHERE reference = '{reference}' ORDER BY le"  # noqa: S608 - a reference that the server made
    ).splitlines()
    found = [(name, float(when)) for name, _bar, when in (row.rpartition("|") for row in rows if row)]
    return [(name, round(then[1] - when, 1)) for (name, when), then in itertools.pairwise(found)]


def sign(lab: Lab, those: Clerks, number: str) -> float:
    """The DGS and the maire sign an act once it is in the parapheur; gives when it was there (monotonic clock)."""
    those.find(those.manager, number)
    carried = time.monotonic()
    those.visa(number)
    print_step("Visé par le DGS ; le maire signe à son poste, avec son jeton")
    said = those.hand_in(number, lab.sign(those.to_sign(number)))
    if "À télétransmettre" not in said:
        raise SystemExit(f"la signature est refusée : {said[:800]}")
    print_step("Signé, scellé ; le reste se fait seul, du connecteur aux archives (minuteries avancées)")
    return carried


def arrive(lab: Lab, reference: str) -> None:
    """Wait until an act has come to the end of the chain; the connector's timers, minutes apart, are put forward."""
    units = "tdt-connector-passerelle.service tdt-connector-versement.service"

    def there() -> bool:
        if lab.passerelle.step(reference).split()[:1] == ["termine"]:
            return True
        lab.passerelle.on_connector(f"systemctl reset-failed {units}; systemctl start {units}")
        return False

    wait("la chaîne", there, 1200)


def perform(folder: Path) -> dict[str, Any]:
    """Take one délibération through the chain; gives what is told of it."""
    lab = Lab()
    mark = "".join("abcdefghij"[int(digit)] for digit in time.strftime("%d%H%M%S"))
    print_step("Gondecourt : la séance est préparée, tenue, la délibération votée")
    started = time.monotonic()
    with clerks(lab.site, lab.parapheur, str(folder)) as those:
        number, projet = council(those, mark)
        reference = f"deliberations:{lab.site.done(MANAGER, 'GET', projet)['UID']}"
        print_step(f"Délibération {number} adoptée ; la passerelle la porte au parapheur")
        carried = sign(lab, those, number)
        left = time.monotonic()
        those.publish(f"https://{lab.site.name}{projet}")
        print_step("Le DGS a choisi ce qui sera publié : le document signé et son annexe")
        times = those.times()
    arrive(lab, reference)
    ended = time.monotonic()
    track = lab.passerelle.track(reference)
    page = f"/gondecourt/publications/{number.lower()}"
    shown = lab.site.ask("GET", page, HTML).data.decode()  # as anybody reads it
    [link] = set(re.findall(rf'href="https://{lab.site.name}({page}/@@download/file/[^"]+)"', shown))
    act = folder / f"{number}.pdf"
    act.write_bytes(lab.site.file("", link))
    poppler = signatures(lab.home, act)
    (folder / "pdfsig.txt").write_text(poppler, encoding="utf-8")
    chain = folder / "chaine.html"
    chain.write_bytes(lab.passerelle.ask("poste", "/").data)
    with tempfile.TemporaryDirectory() as profile, open_window(lab.site, Path(profile), str(folder)) as window:
        window.see(page, "publication", number)
        window.draw(chain)
    found = {
        "numero": number,
        "reference": reference,
        "idacte": track["tdt"]["id_acte"],
        "signatures": re.findall("Signer Certificate Common Name: (.+)", poppler),
        "valides": poppler.count("Signature Validation: Signature is Valid."),
        "de_confiance": poppler.count("Certificate Validation: Certificate is Trusted."),
        "documents_en_ged": len(lab.passerelle.filed(reference)),
        "pages": times,
        "secondes": {
            "séance": round(carried - started, 1),
            "signature": round(left - carried, 1),
            "jusqu'aux archives": round(ended - left, 1),
        },
        "passages": passages(lab, reference),
    }
    (folder / "chaine.json").write_text(json.dumps(found, ensure_ascii=False, indent=1), encoding="utf-8")
    return found


def main() -> int:
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    home = Lab().home / "chaine"
    home.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=time.strftime("%Y-%m-%d-%H%M%S-"), dir=home))
    found = perform(folder)
    print_step(f"Acte {found['idacte']} : reçu en préfecture, publié, en GED ({found['documents_en_ged']} documents)")
    for name, seconds in found["passages"]:
        print(f"          {name:<18} {seconds:7.1f} s")
    pages = found["pages"]
    print(
        f"Par les pages seules, dans trois navigateurs : {pages['nombre']} pages, "
        f"{pages['p95_ms'] / 1000:.1f} s au 95e centile"
    )
    print(f"Signatures (pdfsig) : {', '.join(found['signatures'])} ; {found['valides']} valides")
    print(f"À voir : {folder}/publication.png, chaine.png, {found['numero']}.pdf")
    return 0 if found["valides"] == len(found["signatures"]) == found["de_confiance"] > 1 else 1


if __name__ == "__main__":
    raise SystemExit(main())
