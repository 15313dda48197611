"""What a machine is told: its commune's variables and its own secrets, of an inventory of six communes."""

from __future__ import annotations

import base64
import json
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import PkiError, Request, load_certificate
from creatic_flotte import run
from creatic_flotte.settings import Settings as MachineSettings
from creatic_guichet import store
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from creatic.fleet import assemble, bundle, contents, waves
from creatic.fleet.signing import FleetError
from creatic.pki import extract
from creatic.pki.authority import Authority
from creatic.pki.keys import Passphrases
from creatic.pki.registry import Owner
from creatic.pki.x509 import Settings
from creatic.registry import groupement, variables
from testbed import provider

TOP = Path(__file__).parents[3]
SETTINGS = Settings("Groupement Cre@tic", "Cre@tic essai", "1.3.6.1.4.1.59999.59.1", "http://pki.creatic.test")


@pytest.fixture
def inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example's inventory, where Loos and Bergues are behind a router, and a state with secrets."""
    monkeypatch.setenv("CREATIC_HOME", str(tmp_path / "etats"))
    folder = tmp_path / "inventaire"
    shutil.copytree(TOP / "inventories/example", folder)
    for name in ("loos", "bergues"):
        file = folder / f"communes/{name}.yml"
        file.write_text(
            file.read_text().replace("\nservices:", "\nacces: sortant\nservices:").replace("windows", "debian")
        )
    return folder


@pytest.fixture
def home(inventory: Path, tmp_path: Path) -> Path:
    """The state: an authority, and secrets of everybody."""
    name = next(
        line.partition(": ")[2]
        for line in (inventory / "group_vars/all.yml").read_text().splitlines()
        if line.startswith("creatic_env:")
    )
    state = tmp_path / "etats" / name
    (state / "secrets").mkdir(parents=True)
    Authority(state / "pki", Passphrases(state / "pki", generate=True)).ensure(SETTINGS)
    (state / "acces/publie").mkdir(parents=True)
    (state / "acces/publie/autorite.pub").write_text("ssh-ed25519 AAAA groupement\n")
    (state / "acces/cle.pem").write_text("CLE-DE-L-AUTORITE-SSH")
    for commune in groupement.load(inventory):
        for host in commune.hosts():
            for one in _certificates(host.variables):
                if "fichier" in one:
                    provider.deliver(state / "secrets", one["fichier"], one["secret"], commune.data["siren"])
                elif "secret" in one:
                    (state / "secrets" / one["secret"]).write_text(f"SECRET-DE-{commune.slug}")
    return state


def _certificates(variables: dict[str, Any]) -> list[dict[str, Any]]:
    own = variables.get("creatic_connecteur", {}).get("certificat")
    return [*variables.get("creatic_poste", {}).get("certificats", []), *([own] if own else [])]


def _unpacked(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        return {one.name: tar.extractfile(one).read() for one in tar}  # type: ignore[union-attr] # files alone


def test_a_machine_gets_its_commune_and_nothing_of_another(inventory: Path, home: Path) -> None:
    communes = groupement.load(inventory)
    known = waves.machines(communes)
    assert {one.commune for one in known.values()} == {"bergues", "loos"}
    made = assemble.archives(inventory, TOP, home, known)
    assert made.keys() == known.keys()
    for name, archive in made.items():
        files = _unpacked(archive)
        whole = b"\n".join(files.values()).decode(errors="replace")
        for other in communes:
            mine = known[name].commune == other.slug
            for word in (str(other.data["siren"]), f"SECRET-DE-{other.slug}", f"{other.slug}-connecteur"):
                assert mine or word not in whole, f"{name} is told {word}"
        assert json.loads(files["variables.json"])["creatic_commune"]["slug"] == known[name].commune
        assert str(home) not in files["variables.json"].decode()
        assert "PRIVATE KEY" not in whole
        assert "CLE-DE-L-AUTORITE-SSH" not in whole
        assert files["etat/acces/publie/autorite.pub"].startswith(b"ssh-ed25519")
        own = {key for key in files if key.startswith("etat/secrets/")}
        given = {"loos-pc-assemblees": {"etat/secrets/loos-assemblees.p12", "etat/secrets/loos-assemblees.p12.pass"}}
        assert own == given.get(name, set())
        told = json.loads(files["inventaire.yml"])
        assert list(told["all"]["hosts"]) == [name]


def test_what_its_role_needs_is_worked_out(inventory: Path, home: Path) -> None:
    told = contents.machine_contents(inventory, TOP, ["loos-connecteur"])["loos-connecteur"]["variables"]
    assert told["tdt_connector_siren"] == told["creatic_commune"]["siren"]
    assert told["tdt_connector_url"].startswith("https://")
    services = told["creatic_commune"]["services"]
    if "archivage" in services:
        assert {"url", "agency", "rule", "action"} <= told["tdt_connector_archive"].keys()
    if {"parapheur", "deliberations"} & {*services}:
        assert told["tdt_connector_passerelle"]["url"].startswith("https://")
    assert told["creatic_home"] == f"{contents.PLACE}/etat"
    assert "{{" not in json.dumps(told)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["in the state", "elsewhere"])
def test_a_post_finds_its_commune_its_secrets_and_the_authority(
    inventory: Path, home: Path, tmp_path: Path, elsewhere: bool
) -> None:
    """Whatever its profile takes (playbooks/profiles/commune_pc.yml) is in its data, at the path that it is told."""
    if elsewhere:
        (home / "secrets").rename(tmp_path / "coffre")
        file = inventory / "group_vars/all.yml"
        text = file.read_text()
        file.write_text(text.replace('secrets_dir: "{{ creatic_home }}/secrets"', f"secrets_dir: {tmp_path}/coffre"))
    name = "loos-pc-assemblees"
    files = _unpacked(
        assemble.archives(inventory, TOP, home, {name: waves.machines(groupement.load(inventory))[name]})[name]
    )
    told = json.loads(files["variables.json"])
    assert told["creatic_profil"] == "commune_pc" and told["creatic_poste"]["systeme"] == "debian"
    assert {"parapheur", "deliberations"} <= {*told["creatic_commune"]["services"]}
    assert told["creatic_tdt_url"].startswith("https://") and told["flotte_door"]["url"].startswith("https://")
    held = [one for one in told["creatic_poste"]["certificats"] if "fichier" in one]
    for one in held:
        for path in (f"{told['creatic_secrets_dir']}/{one[key]}" for key in ("fichier", "secret")):
            kept = tmp_path / "coffre" if elsewhere else home / "secrets"
            assert files[path.removeprefix(f"{contents.PLACE}/")] == (kept / Path(path).name).read_bytes()
    assert held and f"{told['creatic_pki_dir']}/".removeprefix(f"{contents.PLACE}/") == "etat/pki/"
    assert str(tmp_path) not in files["variables.json"].decode()


@pytest.mark.parametrize("profile", ["commune_pc", "tdt_connector"])
def test_the_firewall_knows_the_door_that_the_role_was_given(profile: str) -> None:
    called = {use.role: use for use in variables.uses(TOP, profile)}
    assert called["firewall"].given["flotte_door"] == called["flotte"].given["flotte_door"]


def test_a_machine_that_the_backup_server_knows_is_told_to_begin(inventory: Path, home: Path) -> None:
    for name in ("loos-connecteur", "bergues-connecteur"):
        place = home / "sauvegardes" / name
        place.mkdir(parents=True)
        (place / "sequestre.p7m").write_text(f"SEQUESTRE-DE-{name}")
        (place / "cle.pub").write_text("ssh-ed25519 AAAA")
    (home / "sauvegardes/loos-connecteur/inscrit").write_text("sauvegarde1")
    told = contents.machine_contents(inventory, TOP, ["loos-connecteur", "bergues-connecteur"])
    given = [key for key in told["loos-connecteur"]["fichiers"] if key.startswith("etat/sauvegardes/")]
    assert given == [f"etat/sauvegardes/loos-connecteur/{one}" for one in ("inscrit", "sequestre.p7m")]
    assert not [key for key in told["bergues-connecteur"]["fichiers"] if "sauvegardes" in key]
    # Where its role looks for it.
    assert told["loos-connecteur"]["variables"]["creatic_home"] == f"{contents.PLACE}/etat"


def test_the_port_of_ssh_goes_along(inventory: Path, home: Path) -> None:
    file = inventory / "group_vars/tdt_connector.yml"
    file.write_text(f"{file.read_text() if file.exists() else '---'}\nansible_port: 2222\n")
    assert (
        contents.machine_contents(inventory, TOP, ["loos-connecteur"])["loos-connecteur"]["variables"]["ansible_port"]
        == 2222
    )


def test_a_commune_cannot_have_the_secrets_of_the_groupement(inventory: Path, home: Path) -> None:
    file = inventory / "communes/loos.yml"
    for name in ("pki_emettrice", "acces_ssh", "flotte_cle"):
        (home / "secrets" / name).write_text("PHRASE-DU-GROUPEMENT")
    text = file.read_text()
    before, _, after = text.partition("connecteur:")
    address, _, rest = after.partition("\n  tdt:")
    stolen = "\n  certificat: {fichier: pki_emettrice, secret: acces_ssh}"
    rest = "\n".join(
        line for line in rest.splitlines() if not line.strip().startswith(("certificat", "fichier", "secret"))
    )
    file.write_text(f"{before}connecteur:{address}{stolen}\n  tdt:{rest}\n")
    if groupement.check(inventory):
        return  # the file itself is refused
    with pytest.raises(FleetError, match="n'est pas un secret de commune"):
        contents.machine_contents(inventory, TOP, ["loos-connecteur"])


def test_a_machine_s_ansible_evaluates_nothing_of_what_it_is_told(tmp_path: Path) -> None:
    """All was worked out on the control node: what looks like a template in extra variables is a text."""
    told = {"creatic_commune": {"nom": "{{ 7 * 7 }}", "elus": ["{% if 1 %}x{% endif %}", "Anne"]}, "dit": "x"}
    found = assemble._build_archive("pc", {"groupes": [], "variables": told, "fichiers": {}}, {})
    (tmp_path / "variables.json").write_bytes(_unpacked(found)["variables.json"])
    loader = DataLoader()
    known = loader.load_from_file(str(tmp_path / "variables.json"), trusted_as_template=True)  # as -e @FILE does
    for name, value in told.items():
        assert Templar(loader=loader, variables=known).template(trust_as_template(f"{{{{ {name} }}}}")) == value


NEIGHBOUR = "215900580"


def _takes(inventory: Path, **fields: str) -> None:
    """Have the file of Loos write these of its provider's certificate, on its PC."""
    file = inventory / "communes/loos.yml"
    lines = []
    for line in file.read_text().splitlines():
        name = line.strip().removeprefix("- ").partition(":")[0]
        lines.append(f"{line.partition(name)[0]}{name}: {fields[name]}" if name in fields else line)
    file.write_text("\n".join(lines) + "\n")


def test_a_neighbour_s_file_is_published_to_nobody_else(inventory: Path, home: Path) -> None:
    """Whatever its name: its certificate says whose it is."""
    for file in ("loos-voisin.p12", "bergues.p12"):
        provider.deliver(home / "secrets", file, f"{file}.pass", NEIGHBOUR)
        _takes(inventory, fichier=file, secret=f"{file}.pass")
        with pytest.raises(FleetError, match=rf"est au SIREN {NEIGHBOUR}, et non à celui de qui l'emploie"):
            contents.machine_contents(inventory, TOP, ["loos-pc-assemblees"])


@pytest.mark.parametrize("spoil", ["it does not open", "it is a link", "its password is a link", "it names nobody"])
def test_what_is_not_proven_to_be_its_own_is_refused(inventory: Path, home: Path, tmp_path: Path, spoil: str) -> None:
    folder = home / "secrets"
    file, word = folder / "loos-assemblees.p12", folder / "loos-assemblees.p12.pass"
    if spoil == "it does not open":
        file.write_text("SECRET-DU-GROUPEMENT")
    elif spoil == "it names nobody":
        file.write_bytes(provider.packed(("CN", "Commune de Loos 215903469"), ("O", "0002 215903469")))
    else:
        one = word if "password" in spoil else file
        one.rename(tmp_path / "ailleurs")
        one.symlink_to(tmp_path / "ailleurs")
    with pytest.raises(FleetError, match="Rien n'est publié"):
        contents.machine_contents(inventory, TOP, ["loos-pc-assemblees"])


@pytest.mark.costly
def test_a_provider_s_file_that_expired_keeps_no_other_machine_from_its_version(inventory: Path, home: Path) -> None:
    """No hand did it: on that day the whole fleet would wait for one commune's order to its provider."""
    expired = provider.packed(("CN", "Mairie"), ("OU", "0002 215903469"), days=-1)
    (home / "secrets/loos-assemblees.p12").write_bytes(expired)
    known, refused = waves.machines(groupement.load(inventory)), dict[str, str]()
    made = assemble.archives(inventory, TOP, home, known, refused)
    assert refused.keys() == {"loos-pc-assemblees"} and made.keys() == known.keys() - refused.keys()
    assert "a expiré le" in refused["loos-pc-assemblees"]
    with pytest.raises(FleetError, match="a expiré le"):  # who asks for that one alone
        assemble.archives(inventory, TOP, home, known)


@pytest.mark.costly
def test_no_text_of_a_commune_s_file_has_a_file_published(inventory: Path, home: Path, tmp_path: Path) -> None:
    """A path in the state, written where a commune may write a path or a word, is a word."""
    (home / "titulaires").mkdir()
    (home / "ssh").mkdir()
    (home / "ssh/id_ed25519").write_text("CLE-DU-GROUPEMENT")
    (home / "titulaires/lien.pem").symlink_to(home / "ssh/id_ed25519")
    for path in (f"{home}/titulaires/../ssh/id_ed25519", f"{home}/titulaires/lien.pem", f"{home}/ssh/id_ed25519"):
        for field, text in (("bibliotheque", path), ("titulaire", path[:64]), ("jeton", path[:32])):
            spoilt = tmp_path / "spoilt"
            shutil.copytree(inventory, spoilt, dirs_exist_ok=True)
            _takes(spoilt, **{field: text})
            if groupement.check(spoilt):
                continue  # the file itself is refused
            told = contents.machine_contents(spoilt, TOP, ["loos-pc-assemblees"])["loos-pc-assemblees"]
            assert not [one for one in told["fichiers"] if "ssh" in one or "titulaires" in one], field


@pytest.mark.parametrize("content", ["CLE-DU-GROUPEMENT", "a key beside it"])
def test_those_who_open_the_escrow_are_given_as_certificates_alone(
    inventory: Path, home: Path, content: str, tmp_path: Path
) -> None:
    """The groupement's own variable may name a file by mistake: what is no certificate does not leave."""
    (home / "titulaires").mkdir()
    pem = next((home / "pki/publie/autorites").glob("*.pem")).read_text()
    for name in ("camille", "dominique"):
        (home / f"titulaires/{name}.pem").write_text(pem)
    told = contents.machine_contents(inventory, TOP, ["loos-connecteur"])["loos-connecteur"]["fichiers"]
    assert {one for one in told if "titulaires" in one} == {
        "etat/titulaires/camille.pem", "etat/titulaires/dominique.pem",
    }  # fmt: skip # two of them
    key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
    (home / "titulaires/camille.pem").write_text(content if "CLE" in content else f"{pem}\n{key}")
    with pytest.raises(FleetError, match="n'est pas un certificat"):
        contents.machine_contents(inventory, TOP, ["loos-connecteur"])


def test_an_inventory_that_cannot_be_read_publishes_nothing(inventory: Path, home: Path) -> None:
    (inventory / "servers.yml").write_text("all: [")
    with pytest.raises(FleetError, match="Ansible ne peut pas le lire"):
        contents.machine_contents(inventory, TOP, ["loos-connecteur"])


def test_the_code_is_the_same_bytes_without_what_no_machine_needs() -> None:
    code = bundle.code(TOP)
    assert code == bundle.code(TOP)
    names = _unpacked(code).keys()
    assert {"ansible.cfg", "playbooks/journeys/pull.yml", "playbooks/profiles/tdt_connector.yml"} <= names
    assert not [name for name in names if "inventories" in name or "__pycache__" in name or name.startswith("tests")]
    assert len(code) < 8 << 20


def test_the_code_holds_what_agents_have_by_a_link_and_nothing_from_elsewhere(tmp_path: Path) -> None:
    found, plugins = _unpacked(bundle.code(TOP)), "collections/ansible_collections/cdg59/creatic/plugins"
    reasons = found[f"{plugins}/module_utils/reasons.py"]
    assert reasons == found["apps/common/src/creatic_agent/reasons.py"] != b""
    assert not [name for name in found if name.startswith("apps/") and "/tests/" in name]
    (tmp_path / "projet" / "roles").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "projet" / "roles" / "dehors").symlink_to(tmp_path / "secret")
    (tmp_path / "projet" / "roles" / "dedans").write_text("code")
    assert _unpacked(bundle.code(tmp_path / "projet")).keys() == {"roles/dedans"}


_LOADED = """
import sys
from ansible.plugins.loader import init_plugin_loader, inventory_loader
init_plugin_loader([sys.argv[1] + "/collections"])
for name in sys.argv[2:]:
    inventory_loader.get(f"cdg59.creatic.{name}")
from creatic.registry import profiles
print(profiles.FILE)
"""


@pytest.mark.parametrize("plugin", ["environnement", "groupement"])
def test_the_code_finds_the_control_nodes_own_package_beside_its_collection(tmp_path: Path, plugin: str) -> None:
    """Whatever clone this Python's environment knows: a machine that applies a bundle has none."""
    code = tmp_path / "code"
    for name, content in _unpacked(bundle.code(TOP)).items():
        if name.startswith(("collections/", "creatic/")):
            (code / name).parent.mkdir(parents=True, exist_ok=True)
            (code / name).write_bytes(content)
    (tmp_path / "ailleurs").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", _LOADED, str(code), plugin],
        cwd=tmp_path / "ailleurs",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == str(code / "creatic/registry/profiles.yml"), done.stderr


def test_a_windows_post_cannot_fetch_for_itself(inventory: Path) -> None:
    file = inventory / "communes/loos.yml"
    file.write_text(file.read_text().replace("systeme: debian", "systeme: windows", 1))
    [problem] = groupement.check(inventory)
    assert "un poste Windows ne peut pas venir chercher" in str(problem)


def test_a_certificate_is_renewed_by_the_report(home: Path, tmp_path: Path) -> None:
    authority = Authority(home / "pki", Passphrases(home / "pki"))
    request = Request("flotte", "client", "Machine - loos-pc", "Commune de Loos", "215903469")
    owner = Owner("loos-pc", "loos")
    own = request.new_key()
    first = authority.issue(request.csr(own), request, owner)
    csr = request.csr(request.new_key())
    signed = _asked_by(own, tmp_path, csr)
    assert extract.renew(authority, "loos-pc", {"autre": signed["flotte"]}) == []  # of what it has alone
    assert extract.renew(authority, "voisin", signed) == []
    place = tmp_path / "extrait"
    place.mkdir()
    (place / extract.FILE).write_text(json.dumps(extract.extract(authority, "loos-pc")))
    assert extract.Extract(place).issued({"flotte": csr}) == {}
    assert json.loads((place / extract.ASKED).read_text()) == {"flotte": csr}
    assert extract.renew(authority, "loos-pc", signed) == ["flotte"]
    assert extract.renew(authority, "loos-pc", signed) == []  # once
    (place / extract.FILE).write_text(json.dumps(extract.extract(authority, "loos-pc")))
    came = extract.Extract(place).issued({"flotte": csr})
    assert came["flotte"] != first.pem
    assert json.loads((place / extract.ASKED).read_text()) == {}
    with pytest.raises(PkiError, match="illisible"):
        extract.renew(authority, "loos-pc", {"flotte": "rien"})


def test_a_name_that_is_certified_no_more_keeps_no_other_certificate_from_its_renewal(
    home: Path, tmp_path: Path
) -> None:
    """Of before names were reserved; left in the registry, it would have ended the machine's own with the year."""
    authority = Authority(home / "pki", Passphrases(home / "pki"))
    flotte = Request("flotte", "client", "Machine - loos-pc", "Commune de Loos", "215903469")
    former = Request("accueil", "client", "Passerelle jeunesse", "Commune de Loos", "215903469")
    key, owner = flotte.new_key(), Owner("loos-pc", "loos")
    authority.issue(flotte.csr(key), flotte, owner)
    authority.issue(former.csr(old := former.new_key()), former, owner)
    with sqlite3.connect(home / "pki/registre.sqlite") as book:  # requests of then told no holder
        book.execute("UPDATE certificat SET demande = json_remove(demande, '$.holder')")
    said = _asked_by(key, tmp_path, former.csr(former.new_key()), "accueil")
    said |= _asked_by(key, tmp_path, flotte.csr(new := flotte.new_key()))
    with pytest.raises(PkiError, match="réservé"):
        extract.renew(authority, "loos-pc", said)
    held = {row["nom"]: load_certificate(row["pem"]).public_key() for row in authority.listing(status="valide")}
    assert held == {"accueil": old.public_key(), "flotte": new.public_key()}
    assert extract.renew(authority, "loos-pc", _asked_by(key, tmp_path, flotte.csr(new))) == []


def _unknown_key(csr: str) -> str:
    """The same request, for a key of an algorithm that nobody knows."""
    der = x509.load_pem_x509_csr(csr.encode()).public_bytes(Encoding.DER)
    known = bytes.fromhex("06072a8648ce3d0201")  # id-ecPublicKey
    assert known in der
    spoilt = base64.encodebytes(der.replace(known, known[:-1] + b"\x7f", 1)).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{spoilt}-----END CERTIFICATE REQUEST-----\n"


@pytest.mark.parametrize("odd", ["half a character", "an unknown key", "too deep"])
def test_what_a_machine_asks_without_sense_is_refused_as_such(home: Path, tmp_path: Path, odd: str) -> None:
    """Anything else would end every publication and every wave of the fleet: one machine's report holds nobody."""
    authority = Authority(home / "pki", Passphrases(home / "pki"))
    request = Request("flotte", "client", "Machine - loos-pc", "Commune de Loos", "215903469")
    own = request.new_key()
    authority.issue(request.csr(own), request, Owner("loos-pc", "loos"))
    asked = json.dumps({"csr": "\ud800", "signature": ""})
    if odd == "an unknown key":
        asked = _asked_by(own, tmp_path, _unknown_key(request.csr(request.new_key())))["flotte"]
    elif odd == "too deep":
        asked = "[" * 200_000
    with pytest.raises(PkiError, match="illisible"):
        extract.renew(authority, "loos-pc", {"flotte": asked})


def test_who_holds_the_door_gets_no_certificate_of_a_machine(home: Path, tmp_path: Path) -> None:
    authority = Authority(home / "pki", Passphrases(home / "pki"))
    request = Request("flotte", "client", "Machine - loos-pc", "Commune de Loos", "215903469")
    own, stranger = request.new_key(), request.new_key()
    first = authority.issue(request.csr(own), request, Owner("loos-pc", "loos"))
    csr = request.csr(stranger)
    good = json.loads(_asked_by(own, tmp_path, request.csr(request.new_key()))["flotte"])
    for told in (csr, _asked_by(stranger, tmp_path, csr)["flotte"], json.dumps(good | {"csr": csr})):
        with pytest.raises(PkiError, match="pas signée"):
            extract.renew(authority, "loos-pc", {"flotte": told})
    known = waves.Machine("loos-pc", "loos", "215903469", "commune_pc", "lille", "petite", 1)
    assert assemble.certificates(home, {"loos-pc": known}) == {"loos-pc": first.pem}
    # The name was that of another commune's machine: nothing of this one is encrypted for its key.
    assert assemble.certificates(home, {"loos-pc": replace(known, siren=NEIGHBOUR)}) == {}


def test_a_machine_whose_name_was_another_commune_s_gets_none_of_its_certificates(home: Path, tmp_path: Path) -> None:
    """« loos-est » and « pc », « loos » and « est-pc »: what nobody revoked of the one is not renewed for the other."""
    authority, host = Authority(home / "pki", Passphrases(home / "pki")), "loos-est-pc"
    former = Request("flotte", "client", f"Machine - {host}", "Commune de Loos-Est", NEIGHBOUR, holder="machine")
    theirs = Request("sae", "client", "Connecteur - Loos-Est", "Commune de Loos-Est", NEIGHBOUR, holder="connector")
    before = former.new_key()
    authority.issue(former.csr(before), former, Owner(host, "loos-est"))
    authority.issue(theirs.csr(theirs.new_key()), theirs, Owner(host, "loos-est"))
    present = replace(former, organization="Commune de Loos", siren="215903469")
    own = present.new_key()
    authority.issue(present.csr(own), present, Owner(host, "loos"))
    said = _asked_by(own, tmp_path, theirs.csr(theirs.new_key()), "sae", host)
    assert extract.missing_certificates(authority, host, said) == {"sae"}
    assert extract.renew(authority, host, said) == []
    # What the inventory gives it is its own.
    given = replace(theirs, common_name="Connecteur - Loos", organization="Commune de Loos", siren="215903469")
    said = _asked_by(own, tmp_path, given.csr(given.new_key()), "sae", host)
    assert extract.renew(authority, host, said, {"sae": (given, "loos")}) == ["sae"]
    [held] = [row for row in authority.listing(status="valide") if (row["hote"], row["nom"]) == (host, "sae")]
    assert (held["siren"], held["titulaire"]) == ("215903469", "Connecteur - Loos")
    mine = _asked_by(own, tmp_path, theirs.csr(theirs.new_key()), "tdt", host)
    with pytest.raises(PkiError, match="pas signée"):  # nor what is of the commune that it will be of next
        extract.renew(authority, host, mine, {"tdt": (replace(given, name="tdt"), "lomme")})
    # The former machine's key, by a door that was taken, brings nothing.
    late = _asked_by(before, tmp_path, present.csr(present.new_key()), "flotte", host)
    with pytest.raises(PkiError, match="pas signée"):
        extract.renew(authority, host, late)


def _asked_by(key: Any, folder: Path, csr: str, name: str = "flotte", machine: str = "loos-pc") -> dict[str, str]:
    """What a machine of that key says in its report."""
    settings = MachineSettings(
        machine, "https://localhost:1", folder, folder / "certificat", folder, folder, folder, folder
    )
    settings.current.mkdir(parents=True, exist_ok=True)
    (settings.current / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    file = folder / "version/donnees/etat/pki/demandes.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({name: csr}))
    return run.asked(settings, folder / "version")


def test_machines_of_long_names_bear_names_of_their_own_which_the_door_reads_alike() -> None:
    commune = "saint-remy-en-bouzemont-saint-genest-et-isson"
    names = [f"{commune}-pc-etat-civil-{place}" for place in (1, 2)]
    asked = ["loos-pc", *names]
    assert [assemble.common_name(name) for name in asked] == [store.common_name(name) for name in asked]
    borne = {assemble.common_name(name) for name in names}
    assert len(borne) == 2 and all(len(name) <= 64 for name in borne)


def test_every_kind_of_certificate_that_its_roles_ask_for_is_known(inventory: Path, home: Path) -> None:
    told = contents.machine_contents(inventory, TOP, ["loos-connecteur", "loos-pc-assemblees"])
    for name, kinds in (("loos-connecteur", {"flotte", "journaux"}), ("loos-pc-assemblees", {"flotte", "journaux"})):
        found = {one["name"]: Request.from_dict(one) for one in told[name]["certificats"]}
        assert kinds <= found.keys() and "metriques" not in found  # nobody comes and asks it
        assert found["journaux"].dns == (name,)  # under which its journals are filed
        assert found["flotte"].common_name == assemble.common_name(name)
        # Without these, the roles' defaults would have it stop to send them.
        assert [one["nom"] for one in told[name]["variables"]["creatic_journaux"]]
        assert told[name]["variables"]["creatic_supervision"] == []


class Asking:
    """A fleet whose machines ask for certificates."""

    def __init__(self, known: dict[str, waves.Machine], asked: dict[str, dict[str, str]]) -> None:
        self.machines, self._asked = known, asked

    def requested_certificates(self) -> dict[str, dict[str, str]]:
        """CSR by name of certificate, by machine."""
        return self._asked


@pytest.mark.costly
def test_a_machine_that_was_enrolled_before_a_kind_existed_gets_it_by_pull(
    inventory: Path, home: Path, tmp_path: Path
) -> None:
    authority = Authority(home / "pki", Passphrases(home / "pki"))
    known = waves.machines(groupement.load(inventory))
    host, neighbour = "loos-connecteur", "bergues-connecteur"
    flotte = Request("flotte", "client", assemble.common_name(host), "Commune de Loos", "215903469")
    own = flotte.new_key()
    authority.issue(flotte.csr(own), flotte, Owner(host, "loos"))
    journals = Request("journaux", "supervision", host, dns=(host,))
    csr = journals.csr(journals.new_key())

    def asks(name: str, text: str, machine: str = host) -> list[str]:
        signed = _asked_by(own, tmp_path, text, name, machine)
        fleet: Any = Asking(known, {machine: signed})
        return assemble.renew(home, fleet, inventory, TOP)

    assert asks("administrateur", csr) == []  # of no role of its profile
    forged = Request("journaux", "supervision", neighbour, dns=(neighbour,))
    [refused] = asks("journaux", forged.csr(forged.new_key()))  # another's name
    assert "certificat refusé" in refused
    [refused] = asks("journaux", csr, neighbour)  # whose key did not sign
    assert "pas signée" in refused
    assert asks("journaux", csr) == [f"{host} : certificat « journaux » fait."]
    assert asks("journaux", csr) == []
    archive = _unpacked(assemble.archives(inventory, TOP, home, {host: known[host]})[host])
    given = json.loads(archive[f"etat/pki/{extract.FILE}"])["delivres"]
    place = tmp_path / "machine"
    place.mkdir()
    (place / extract.FILE).write_bytes(archive[f"etat/pki/{extract.FILE}"])
    assert extract.Extract(place).issued({"journaux": csr}) == {"journaux": given["journaux"]}


def test_one_certificate_that_the_authority_refuses_keeps_no_other_waiting(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """« Petit¶ », in a file that was written before such names were refused there."""
    authority = Authority(home / "pki", Passphrases(home / "pki"))
    host = "loos-pc"
    flotte = Request("flotte", "client", assemble.common_name(host), "Commune de Loos", "215903469")
    own, new = flotte.new_key(), flotte.new_key()
    authority.issue(flotte.csr(own), flotte, Owner(host, "loos"))
    agent = Request("agent", "client", "Anne Petit", "Commune de Loos", "215903469")
    sae = Request("sae", "client", "Accueil", "Commune de Loos", "215903469")
    kinds = [
        agent.to_dict() | {"common_name": "Anne Petit¶"},
        sae.to_dict(),
        {**sae.to_dict(), "name": "tdt", "siren": "1"},
    ]
    monkeypatch.setattr(contents, "machine_contents", lambda *_given: {host: {"certificats": kinds}})
    said: dict[str, str] = {}
    for name, request, key in (("flotte", flotte, new), ("agent", agent, new), ("sae", sae, sae.new_key())):
        said |= _asked_by(own, tmp_path, request.csr(key), name, host)
    known: Any = {host: SimpleNamespace(commune="loos")}
    fleet: Any = Asking(known, {host: said})
    told = assemble.renew(home, fleet, tmp_path, TOP)
    assert [one for one in told if "U+00B6" in one and one.startswith(f"{host} : certificat refusé (")] == told[:1]
    assert told[1:] == [f"{host} : certificat « flotte » renouvelé.", f"{host} : certificat « sae » fait."]
