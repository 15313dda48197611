"""What can be known of an inventory before a machine changes: every fault at once, with its place and its fix."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12

from creatic.check import inspection, needs
from creatic.registry import environment, groupement
from testbed import provider
from testbed.connector import Authority

TOP = Path(__file__).parents[3]
TREE = inspection.Tree(TOP)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the lab's inventory, to be damaged."""
    return Path(shutil.copytree(TOP / "inventories/lab", tmp_path / "inventaire"))


def problems(folder: Path) -> list[str]:
    return [str(problem) for problem in inspection.Inspection(folder, TREE).run()]


def change(file: Path, old: str, new: str) -> int:
    text = file.read_text()
    assert old in text
    return file.write_text(text.replace(old, new))


def write(file: Path, text: str) -> int:
    file.parent.mkdir(exist_ok=True)
    return file.write_text(text)


def not_text(file: Path) -> int:
    file.parent.mkdir()
    return file.write_bytes(b"\xff\xfe")


def pipe(file: Path) -> None:
    file.unlink(missing_ok=True)
    os.mkfifo(file)


@pytest.mark.parametrize("name", ["lab", "example"])
def test_our_own_inventories_have_no_fault(name: str) -> None:
    assert problems(TOP / "inventories" / name) == []


ODD_FILES: list[tuple[str, Callable[[Path], object], str]] = [
    (
        "a reference to nothing",
        lambda f: (f / "group_vars/ged.yml").write_text("creatic_niveau: *haut\n"),
        "group_vars/ged.yml, ligne 1 : un renvoi YAML (&, *) ne mène à rien, ou à deux endroits, près de « creatic_niv",
    ),
    (
        "nothing to merge",
        lambda f: (f / "group_vars/ged.yml").write_text("<<: 3\n"),
        "group_vars/ged.yml, ligne 1 : « << » ajoute les champs d'un autre groupe de champs, et il n'y en a pas",
    ),
    (
        "variables without an ending",
        lambda f: (f / "group_vars/ged").write_text("a: [\n"),
        "group_vars/ged, ligne 1 : erreur de syntaxe YAML",
    ),
    (
        "variables as JSON",
        lambda f: (f / "group_vars/ged.json").write_text('{"a'),
        "group_vars/ged.json, ligne 1 : erreur de syntaxe YAML",
    ),
    (
        "variables that are no text, in a folder",
        lambda f: not_text(f / "group_vars/ged/a"),
        "group_vars/ged/a, ligne 1 : le fichier n'est pas en UTF-8",
    ),
    (
        "a copy of servers.yml left beside it",
        lambda f: shutil.copy(f / "servers.yml", f / "servers (copie).yml"),
        "la machine « tdt » est déjà écrite dans servers (copie).yml",
    ),
]
FAULTS: list[tuple[str, Callable[[Path], object], str]] = [
    ("no group_vars", lambda f: shutil.rmtree(f / "group_vars"), "group_vars/all.yml : le fichier est introuvable"),
    (
        "not YAML",
        lambda f: (f / "group_vars/all.yml").write_text("creatic_env: [\n"),
        "group_vars/all.yml, ligne 1 : erreur de syntaxe YAML",
    ),
    (
        "no fields",
        lambda f: (f / "group_vars/all.yml").write_text("- a\n"),
        "group_vars/all.yml : le fichier ne contient pas de champs",
    ),
    (
        "not text",
        lambda f: (f / "group_vars/all.yml").write_bytes(b"a: \xff\n"),
        "group_vars/all.yml, ligne 1 : le fichier n'est pas en UTF-8",
    ),
    (
        "a reference to itself",
        lambda f: (f / "group_vars/ged.yml").write_text("a: &a [*a]\nb: 1\nb: 2\n"),
        "group_vars/ged.yml, ligne 3 : le champ « b » est écrit deux fois",
    ),
    (
        "what a role gives, as if it took it",
        lambda f: (f / "group_vars/deliberations.yml").write_text("postgresql_configured: true\n"),
        "group_vars/deliberations.yml, ligne 1 : la variable « postgresql_configured » n'est lue par rien",
    ),
    ("no ged.yml", lambda f: (f / "ged.yml").unlink(), "ged.yml : le fichier est introuvable"),
    (
        "a server on a connector's address",
        lambda f: change(f / "servers.yml", "10.59.0.40", "10.59.2.20"),
        "servers.yml, ligne 28 : l'adresse « 10.59.2.20 » de documents est déjà celle de gondecourt-connecteur",
    ),
    (
        "two servers on one address, written differently",
        lambda f: (
            change(f / "servers.yml", "10.59.0.40", "2001:db8::40"),
            change(f / "servers.yml", "10.59.0.41", "2001:DB8:0::40"),
        ),
        "de signatures est déjà celle de documents (servers.yml)",
    ),
    (
        "no address",
        lambda f: change(f / "servers.yml", "          ansible_host: 10.59.0.40\n", ""),
        "servers.yml, ligne 27 : la machine « documents » n'a pas d'adresse",
    ),
    (
        "a name for an address",
        lambda f: change(f / "servers.yml", "10.59.0.40", "documents.mairie.fr"),
        "« documents.mairie.fr » n'est pas une adresse IP (machine documents)",
    ),
    (
        "a misspelt group",
        lambda f: change(f / "servers.yml", "    ged:\n", "    gde:\n"),
        "la machine « documents » n'a pas de profil : le groupe « gde » n'en est pas un. "
        "À faire : remplacez le groupe par « ged »",
    ),
    (
        "a misspelt key",
        lambda f: change(f / "servers.yml", "    ged:\n      hosts:", "    ged:\n      host:"),
        "champ inconnu « host » dans le groupe « ged », qu'Ansible ignore. À faire : remplacez par « hosts »",
    ),
    (
        "two profiles",
        lambda f: change(
            f / "servers.yml",
            "    deliberations:\n      hosts:\n",
            "    deliberations:\n      hosts:\n        documents:\n",
        ),
        "la machine « documents » a 2 profils : ged, deliberations",
    ),
    (
        "a commune's name",
        lambda f: change(f / "servers.yml", "        documents:", "        gondecourt-connecteur:"),
        "« gondecourt-connecteur » est déjà une machine de communes/gondecourt.yml",
    ),
    (
        "a group in itself",
        lambda f: change(
            f / "servers.yml",
            "      children:\n        hardening:",
            "      children:\n        banc: {}\n        hardening:",
        ),
        "le groupe « banc » se contient lui-même",
    ),
    (
        "a PC on the address of the machine of drills",
        lambda f: change(f / "communes/gondecourt.yml", "10.59.2.10", "10.59.8.10"),
        "l'adresse « 10.59.8.10 » de exercice1 est déjà celle de gondecourt-",
    ),
    (
        "a machine of drills that nothing makes bare again",
        lambda f: change(
            f / "servers.yml",
            "          creatic_exercice_remise_a_neuf: [ansible-playbook, playbooks/lab/exercice.yml]\n",
            "",
        ),
        "la machine d'exercice « exercice1 » n'a pas creatic_exercice_remise_a_neuf. À faire : écrivez la commande",
    ),
    (
        "a command in one word",
        lambda f: change(f / "servers.yml", "[ansible-playbook, playbooks/lab/exercice.yml]", "ansible-playbook a.yml"),
        "creatic_exercice_remise_a_neuf de « exercice1 » n'est pas une commande, mot par mot",
    ),
    (
        "no commune",
        lambda f: list(map(Path.unlink, (f / "communes").glob("*.yml"))),
        "communes/ : aucune commune n'y est. À faire : écrivez la première avec fab commune.nouvelle",
    ),
    (
        "a misspelt variable of ours",
        lambda f: change(f / "group_vars/all.yml", "creatic_groupement_siren:", "creatic_groupment_siren:"),
        "la variable « creatic_groupment_siren » n'est lue par rien. "
        "À faire : remplacez par « creatic_groupement_siren »",
    ),
    (
        "a misspelt variable of a role",
        lambda f: change(f / "group_vars/all.yml", "firewall_admin_networks:", "firewall_admin_network:"),
        "la variable « firewall_admin_network » n'est lue par rien. "
        "À faire : remplacez par « firewall_admin_networks »",
    ),
    (
        "a misspelt role",
        lambda f: change(f / "group_vars/all.yml", "firewall_admin_networks:", "fierwall_admin_networks:"),
        "la variable « fierwall_admin_networks » n'est lue par rien. "
        "À faire : remplacez par « firewall_admin_networks »",
    ),
    (
        "a misspelt file",
        lambda f: (f / "group_vars/archive_node.yml").rename(f / "group_vars/archives_node.yml"),
        "aucun groupe ne s'appelle « archives_node », ce fichier ne sert à rien. "
        "À faire : renommez-le en archive_node.yml",
    ),
    (
        "a machine that is not there",
        lambda f: write(f / "host_vars/document.yml", "a: 1\n"),
        "aucune machine ne s'appelle « document »",
    ),
    (
        "a service without its server",
        lambda f: change(f / "servers.yml", "    passerelle:\n", "    passerel:\n"),
        "l'inventaire n'a aucune machine passerelle. À faire : Ajouter une machine",
    ),
    (
        "a name of field that is a list",
        lambda f: (f / "group_vars/ged.yml").write_text("? [a, b]\n: 1\n"),
        "group_vars/ged.yml, ligne 1 : un nom de champ est une liste ou un groupe de champs",
    ),
    (
        "an expression badly written",
        lambda f: write(f / "group_vars/ged.yml", 'ged_note: "{{ secret( }}"\n'),
        "group_vars/ged.yml, ligne 1 : l'expression de la variable « ged_note » est mal écrite",
    ),
    (
        "a variable in itself",
        lambda f: write(f / "group_vars/ged.yml", 'ged_note: "{{ ged_note | default(1) }}"\n'),
        "group_vars/ged.yml, ligne 1 : la variable « ged_note » se contient elle-même",
    ),
    (
        "a tag of another program's",
        lambda f: (f / "group_vars/ged.yml").write_text("a: !vault x\nb: !unsafe y\nc: !!python/tuple [1]\n"),
        "group_vars/ged.yml, ligne 3 : la balise « !!python/tuple » n'est pas admise",
    ),
    (
        "references that multiply",
        lambda f: (f / "group_vars/ged.yml").write_text(
            "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
        ),
        "group_vars/ged.yml : les renvois YAML (&, *) s'y multiplient sans fin",
    ),
    (
        "no file but a pipe",
        lambda f: pipe(f / "group_vars/ged.yml"),
        "group_vars/ged.yml : ce n'est pas un fichier ordinaire",
    ),
    (
        "too large",
        lambda f: (f / "group_vars/ged.yml").write_bytes(b"#" * 1024 * 1025),
        "group_vars/ged.yml : le fichier dépasse 1024 Kio",
    ),
    ("no servers", lambda f: (f / "servers.yml").unlink(), "servers.yml : le fichier est introuvable"),
    ("servers of nothing", lambda f: (f / "servers.yml").write_text(""), "servers.yml : aucune machine n'y est"),
    (
        "a group that is a list",
        lambda f: (f / "servers.yml").write_text("all: [documents]\n"),
        "servers.yml, ligne 1 : le groupe « all » ne contient pas de champs",
    ),
    (
        "machines that are a list",
        lambda f: (f / "servers.yml").write_text("all:\n  children:\n    ged:\n      hosts: [documents]\n"),
        "servers.yml, ligne 4 : « hosts » du groupe « ged » ne contient pas de champs",
    ),
    (
        "an address that is a list",
        lambda f: change(f / "servers.yml", "ansible_host: 10.59.0.40", "ansible_host: [10.59.0.40]"),
        "servers.yml, ligne 28 : « … » n'est pas une adresse IP (machine documents)",
    ),
    *(
        (
            f"an address that no machine has, {address}",
            lambda f, address=address: change(f / "servers.yml", "10.59.0.40", address),
            f"servers.yml, ligne 28 : « {address} » ne peut pas être l'adresse d'une machine du réseau (documents)",
        )
        for address in ("127.0.0.1", "ff02::1", "224.0.0.1", "255.255.255.255", "fe80::1")
    ),
    *(
        (
            f"a machine named {name}",
            lambda f, name=name: change(f / "servers.yml", "        documents:", f"        {name}:"),
            f"servers.yml, ligne 27 : le nom de machine « {name.strip('"')} » n'est pas admis",
        )
        for name in ("Documents", "séances", "doc uments", "doc[1:3]", '"*"', "~", "-doc", "doc_1")
    ),
    *(
        (
            f"a machine named {name}",
            lambda f, name=name: change(f / "servers.yml", "        documents:", f"        {name}:"),
            f"servers.yml, ligne 27 : le nom de machine « {name} » est réservé",
        )
        for name in ("localhost", "all", "ged", "serveurs", "matin", "tous")
    ),
    *(
        (
            f"a commune called {name}",
            lambda f, name=name: (f / "communes/gondecourt.yml").rename(f / f"communes/{name}.yml"),
            f"communes/{name}.yml : ce nom de fichier est réservé",
        )
        for name in ("documents", "audit", "toutes")
    ),
    (
        "an inventory that Ansible does not know",
        lambda f: write(f / "hosts", "[ged]\nautre ansible_host=10.59.0.98\n"),
        "hosts : Ansible ne sait pas lire ce fichier, et s'y arrêterait",
    ),
    (
        "an address of mail that no mail goes to",
        lambda f: change(f / "communes/gondecourt.yml", "courriel: ", f"courriel: {'a' * 250}"),
        "courriel",
    ),
    (
        "waivers that are none",
        lambda f: (f / "derogations.yml").write_text("derogations: [{regle: R1}]\n"),
        "derogations.yml",
    ),
    (
        "a commune's fault",
        lambda f: change(f / "communes/gondecourt.yml", "vague:", "vage:"),
        "communes/gondecourt.yml, ligne",
    ),
]


def test_settings_of_windows_wait_for_a_pc_of_it(folder: Path) -> None:
    write(folder / "group_vars/systeme_windows.yml", "ansible_psrp_auth: certificate\n")
    assert problems(folder) == []


EVERY = [*FAULTS, *ODD_FILES]


@pytest.mark.parametrize(("spoil", "said"), [fault[1:] for fault in EVERY], ids=[fault[0] for fault in EVERY])
def test_a_fault_is_told_with_its_place_and_its_fix(folder: Path, spoil: Callable[[Path], object], said: str) -> None:
    spoil(folder)
    told = problems(folder)
    assert any(said in line for line in told), told
    for line in told:
        assert re.search(r"^\S.* : .+\. À faire : .+\.$", line)


def test_all_faults_come_at_once(folder: Path) -> None:
    for spoil in (FAULTS[1][1], FAULTS[5][1], FAULTS[6][1], FAULTS[10][1], FAULTS[-1][1]):
        spoil(folder)
    files = {line.split(" ")[0].rstrip(",") for line in problems(folder)}
    assert {"group_vars/all.yml", "ged.yml", "servers.yml", "communes/gondecourt.yml"} <= files


def test_a_provider_s_file_that_is_not_there_is_told_with_its_field(folder: Path, tmp_path: Path) -> None:
    communes = groupement.load(folder)
    told = inspection.providers_files(communes, tmp_path)
    assert told and all(problem.file.startswith("communes/") for problem in told)
    for commune in communes:
        for _place, certificate in inspection.certificates(commune.data):
            if "fichier" in certificate:
                provider.deliver(tmp_path, certificate["fichier"], certificate["secret"], commune.data["siren"])
            elif "secret" in certificate:
                (tmp_path / certificate["secret"]).write_text("x")
    assert inspection.providers_files(communes, tmp_path) == []


def test_a_provider_s_file_that_is_another_s_is_told_with_its_field(folder: Path, tmp_path: Path) -> None:
    """By its certificate, whatever it is called; so is what does not open."""
    communes = groupement.load(folder)
    for commune in communes:
        for _place, certificate in inspection.certificates(commune.data):
            if "fichier" in certificate:
                provider.deliver(tmp_path, certificate["fichier"], certificate["secret"], "215902669")
            elif "secret" in certificate:
                (tmp_path / certificate["secret"]).write_text("x")
    told = inspection.providers_files(communes, tmp_path)
    assert [(one.file, one.field) for one in told] == [
        ("communes/avesnes-les-aubert.yml", "postes[0].certificats[0].fichier"),
        ("communes/avesnes-les-aubert.yml", "connecteur.certificat.fichier"),
    ]
    assert "est au SIREN 215902669" in told[0].message and "au SIREN 215900374" in told[0].fix
    (tmp_path / "avesnes-les-aubert-connecteur.p12").write_bytes(b"autre chose")
    assert "ne s'ouvre pas" in inspection.providers_files(communes, tmp_path)[1].message


def test_one_file_of_a_provider_is_of_one_commune(folder: Path) -> None:
    """Both are told: one of them would be given the other's key, or its password."""
    file = folder / "communes/la-madeleine.yml"
    text = file.read_text(encoding="utf-8")
    for stolen in ("avesnes-les-aubert-mairie.p12.pass", "Avesnes-les-Aubert-connecteur.p12"):
        file.write_text(text.replace("la-madeleine-finances.pin", stolen), encoding="utf-8")
        told = groupement.check(folder)
        assert [one.file for one in told] == ["communes/avesnes-les-aubert.yml", "communes/la-madeleine.yml"]
        assert "est aussi nommé dans communes/la-madeleine.yml" in told[0].message
        assert "est aussi nommé dans communes/avesnes-les-aubert.yml" in told[1].message


@pytest.mark.parametrize(("issuer", "told"), [("groupement", 1), ("prestataire", 0)])
def test_the_groupement_s_own_certificate_is_no_provider_s(
    folder: Path, tmp_path: Path, issuer: str, told: int
) -> None:
    """Renamed as a .p12 in the commune's file it would have it told ready, and the préfecture would refuse its acts."""
    made = {name: Authority(tmp_path / name, name) for name in ("groupement", "prestataire")}
    issued = made[issuer].issue("Connecteur d'Avesnes", siren="215900366")
    key = serialization.load_pem_private_key((issued / "key.pem").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    certificate = x509.load_pem_x509_certificate((issued / "cert.pem").read_bytes())
    secret = serialization.BestAvailableEncryption(b"motdepasse")
    packed = pkcs12.serialize_key_and_certificates(b"x", key, certificate, None, secret)
    name = "avesnes-les-aubert-connecteur.p12"
    (tmp_path / name).write_bytes(packed)
    (tmp_path / f"{name}.pass").write_text("motdepasse")
    (tmp_path / f"{name}.pass").chmod(0o600)
    authorities = made["groupement"].bundle
    found = inspection.own_certificates(groupement.load(folder), tmp_path, authorities)
    assert len(found) == told
    for problem in found:
        assert (problem.file, problem.field) == ("communes/avesnes-les-aubert.yml", "connecteur.certificat.fichier")
        assert "émis par le groupement : il ne vaut pas RGS**" in problem.message
    (tmp_path / f"{name}.pass").write_text("autre")
    assert inspection.own_certificates(groupement.load(folder), tmp_path, authorities) == []
    assert inspection.own_certificates(groupement.load(folder), tmp_path, tmp_path / "absent.pem") == []


def test_a_password_that_others_may_read_is_told_before_a_machine_changes(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "avesnes-les-aubert-connecteur.p12.pass"
    secret.write_text("x")
    secret.chmod(0o640)
    told_all = inspection.providers_files(groupement.load(folder), tmp_path)
    [told] = [one for one in told_all if "lisible par d'autres" in one.message]
    assert (told.file, told.field) == ("communes/avesnes-les-aubert.yml", "connecteur.certificat.secret")
    assert told.fix == f"lancez chmod 600 {secret}"


def test_what_ansible_leaves_alone_and_what_its_vault_sealed_have_no_fault(folder: Path) -> None:
    for name in ("all.yml~", ".all.yml.swp", "ged.md"):
        (folder / "group_vars" / name).write_bytes(b"a: [\xff")
    (folder / "group_vars/parapheur/").mkdir()
    (folder / "group_vars/parapheur/coffre.yml").write_text("$ANSIBLE_VAULT;1.1;AES256\n3566\n")
    assert problems(folder) == []


def test_files_variables_and_providers_files_are_told_together(folder: Path) -> None:
    change(folder / "servers.yml", "    ged:\n", "    gde:\n")
    change(folder / "group_vars/all.yml", "creatic_tdt_url: https://tdt.creatic.test\n", "")
    change(
        folder / "group_vars/all.yml",
        'creatic_secrets_dir: "{{ creatic_home }}/secrets"',
        f"creatic_secrets_dir: {folder}",
    )
    told = [str(problem) for problem in needs.check(folder, TOP)]
    for said in ("remplacez le groupe par « ged »", "creatic_tdt_url", ".p12 » n'est pas dans"):
        assert any(said in line for line in told), told


def test_a_commune_s_formalities_keep_no_other(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "inspect_needs", lambda *_given, **_more: ([], None, None))
    with (folder / "communes/gondecourt.yml").open("a") as file:
        file.write('formalites:\n  deliberation: {date: "2026-03-02", document: perdue.pdf}\n')
    for wanted in (["gondecourt"], None):
        [told] = needs.check(folder, TOP, wanted)
        assert (told.file, told.field) == ("communes/gondecourt.yml", "formalites.deliberation.document")
    for wanted in ([], ["la-madeleine"]):
        assert needs.check(folder, TOP, wanted) == []


def test_what_ansible_cannot_read_is_told_once(folder: Path) -> None:
    (folder / "group_vars/all.yml").write_text("creatic_env: [\n")
    told = [str(problem) for problem in needs.check(folder, TOP)]
    assert told and all("Ansible ne peut pas" not in line for line in told)


# What Ansible's variables alone can say. One process for all: it takes two seconds to start.


@pytest.fixture(scope="module")
def lacks(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = Path(shutil.copytree(TOP / "inventories/lab", tmp_path_factory.mktemp("needs") / "inventaire"))
    every = folder / "group_vars/all.yml"
    lines = every.read_text().splitlines(keepends=True)
    every.write_text(
        "".join(
            line
            for line in lines
            if not line.startswith(("creatic_groupement_siren", "creatic_tdt_url", "ansible_ssh_private_key_file"))
        )
        + "ansible_ssh_private_key_file: /n/existe/pas\ncreatic_archive_agrement: true\n"
    )
    change(folder / "servers.yml", "          creatic_names: [ged.creatic.test]\n", "")
    change(folder / "group_vars/archive_node.yml", "archive_node_part_power: 7", "archive_node_part_power: beaucoup")
    change(
        folder / "group_vars/archive_gateway.yml",
        "{name: Camille Delattre, subject:",
        "{name: Camille Delattre, sujet:",
    )
    change(folder / "group_vars/all.yml", "  delegue: Nora", "  delege: Nora")
    change(folder / "group_vars/all.yml", "action: conserver", "action: jeter")
    found, secrets, _pki = needs.inspect_needs(folder, TOP)
    assert secrets and secrets.name == "secrets"
    return [str(problem) for problem in found]


@pytest.mark.parametrize(
    "said",
    [
        "group_vars/all.yml, creatic_groupement_siren : cette variable, que veulent les profils archive_gateway, ",
        "comme dans inventories/example/group_vars/all.yml",
        "group_vars/all.yml, creatic_tdt_url : cette variable, que veulent les profils commune_pc, tdt_connector, ",
        "servers.yml, creatic_names : cette variable, que veut le profil ged, manque (documents)",
        "group_vars/archive_node.yml, archive_node_part_power : la valeur n'est pas du type attendu (int) "
        "(sae1, sae2, sae3)",
        "group_vars/archive_gateway.yml, archive_gateway_agents : il y manque subject (versement)",
        "group_vars/archive_gateway.yml, archive_gateway_agents : champ inconnu « sujet » (versement)",
        "ansible_ssh_private_key_file : la clé SSH /n/existe/pas est introuvable",
        "tdt_connector_archive : la valeur n'est pas admise (valeurs possibles :",
        "servers.yml, creatic_site : le site manque (sae1, sae2, sae3, sauvegarde) ; il en faut deux avec "
        "creatic_archive_agrement: true",
        "archive_gateway_tsa_url : un horodatage qualifié est demandé",
        "group_vars/all.yml, creatic_documents.delege : champ inconnu. À faire : champs : representant, ",
    ],
)
def test_what_a_profile_lacks_is_told_with_the_place_to_write_it(lacks: list[str], said: str) -> None:
    assert any(said in line for line in lacks), lacks


@pytest.fixture(scope="module")
def misshapen(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    state = tmp_path_factory.mktemp("état")
    folder = Path(shutil.copytree(TOP / "inventories/lab", tmp_path_factory.mktemp("formes") / "inventaire"))
    every, servers = folder / "group_vars/all.yml", folder / "servers.yml"
    for name, value in {
        "creatic_tdt_url": "",
        "creatic_groupement_siren": '"28590001"',
        "creatic_secrets_dir": "[a]",
        "creatic_sauvegarde_ages": "bientôt",
        "firewall_admin_networks": "[10.59.0.300]",
        "backup_client_holders": "[{a: 1}, 3]",
    }.items():
        text, times = re.subn(rf"(?m)^{name}:.*$", f"{name}: {value}", every.read_text())
        assert times == 1, name
        every.write_text(text)
    change(servers, "creatic_zone: 2", "creatic_zone: 1")
    change(servers, "[sauvegarde.creatic.test]", "sauvegarde.creatic.test")
    change(servers, "[ged.creatic.test]", "[]")
    change(servers, "[parapheur.creatic.test]", "[parapheur.creatic.test, parapheur.creatic.test]")
    change(servers, "[sae1.creatic.test]", "[sae2.creatic.test]")
    change(servers, "[sae3.creatic.test]", "[sae3..creatic.test]")
    change(servers, "[passerelle.creatic.test]", "[10.59.0.43]")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CREATIC_HOME", str(state))
        told = [str(problem) for problem in needs.inspect_needs(folder, TOP)[0]]
    return [line for line in told if str(state) not in line]  # of files that no lab has made there


@pytest.mark.parametrize(
    "said",
    [
        "group_vars/all.yml, creatic_tdt_url : la valeur est vide",
        "group_vars/all.yml, creatic_groupement_siren : la valeur n'est pas un SIREN",
        "group_vars/all.yml, creatic_secrets_dir : la valeur n'est pas du type attendu (path)",
        "group_vars/all.yml, creatic_sauvegarde_ages : la valeur n'est pas du type attendu (dict)",
        "group_vars/all.yml, firewall_admin_networks : la valeur 1 de la liste n'est pas une adresse IP ou un réseau",
        "group_vars/all.yml, backup_client_holders : une valeur de la liste n'est pas un texte",
        "servers.yml, creatic_zone : deux copies d'une archive seraient dans une même zone (sae1 : 1, sae2 : 1, sae3",
        "servers.yml, creatic_names : la valeur n'est pas du type attendu (list) (sauvegarde)",
        "servers.yml, creatic_names : la liste est vide, il y faut un nom DNS en minuscules (documents)",
        "servers.yml, creatic_names : une valeur de la liste y est deux fois (signatures)",
        "servers.yml, creatic_names : le nom « sae2.creatic.test » est celui de plusieurs machines (sae1, sae2)",
        "servers.yml, creatic_names : la valeur 1 de la liste n'est pas un nom DNS en minuscules (sae3, relais)",
    ],
)
def test_a_value_that_is_not_what_its_name_says_is_told(misshapen: list[str], said: str) -> None:
    assert any(line.startswith(said) for line in misshapen), misshapen


def test_what_a_misshapen_value_makes_of_others_is_not_told(misshapen: list[str]) -> None:
    assert len(misshapen) == 12, misshapen


def test_a_variable_is_told_once_for_all_machines(lacks: list[str]) -> None:
    assert len([line for line in lacks if ", creatic_tdt_url :" in line]) == 1
    assert not [line for line in lacks if "Undefined" in line or "undefined" in line or "Error" in line]


def test_an_inventory_that_ansible_refuses_is_told_as_such(folder: Path) -> None:
    (folder / "servers.yml").write_text("all: {hosts: [a]}\n")
    found, secrets, _pki = needs.inspect_needs(folder, TOP)
    assert secrets is None and "Ansible ne peut pas le lire" in str(found[0])


def test_known_hosts_are_read_as_ssh_writes_them(tmp_path: Path) -> None:
    key = "AAAAC3NzaC1lZDI1NTE5AAAAIGPqJ8xZkXy1xXh0m6o5u9R8m0v1kq8bqQF0b0w1x2y3"
    hashed = "|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg="  # 192.168.1.61, from ssh's own tests
    file = tmp_path / "known_hosts"
    file.write_text(
        f"# note\n10.0.0.1,nom ssh-ed25519 {key}\n@revoked 10.0.0.9 ssh-ed25519 {key}\n{hashed} ssh-ed25519 {key}\n"
    )
    names = needs.known_hosts(file)
    assert needs.is_known("10.0.0.1", names) and needs.is_known("nom", names)
    assert not needs.is_known("10.0.0.9", names) and not needs.is_known("10.0.0.10", names)
    assert needs.is_known("192.168.1.61", names)


def test_a_damaged_line_of_known_hosts_is_nobody_s(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_bytes(b"|1|abc|def ssh-ed25519 x\n\xff\xfe ssh-ed25519 x\n10.0.0.1 ssh-ed25519 x\n")
    names = needs.known_hosts(file)
    assert needs.is_known("10.0.0.1", names) and not needs.is_known("10.0.0.2", names)


def test_what_lacks_is_not_asked_of_files_that_are_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "inspect_needs", lambda *_given, **_more: pytest.fail("Ansible is asked"))
    (folder / "servers.yml").write_text("all: [\n")
    told = [str(problem) for problem in needs.check(folder, TOP)]
    assert [line for line in told if line.startswith("servers.yml, ligne 1 : erreur de syntaxe YAML")]
    assert not [line for line in told if "aucune machine" in line], "what communes lack is not known"


def test_an_inventory_without_its_name_is_told_with_all_its_other_faults(folder: Path) -> None:
    change(folder / "group_vars/all.yml", "creatic_env: lab", "creatic_environ: lab")
    change(folder / "communes/gondecourt.yml", "vague:", "vage:")
    with pytest.raises(environment.MissingEnvironmentNameError) as refused:
        environment.chosen(TOP, {"CREATIC_INVENTORY": str(folder)})
    told = [str(problem) for problem in needs.unnamed(refused.value, TOP)]
    assert told[0].startswith("group_vars/all.yml, creatic_env : champ absent. À faire : écrivez dans group_vars")
    assert [line for line in told if line.startswith("communes/gondecourt.yml, ligne")]
    (folder / "group_vars/all.yml").write_text("creatic_env: [\n")
    with pytest.raises(environment.MissingEnvironmentNameError) as refused:
        environment.chosen(TOP, {"CREATIC_INVENTORY": str(folder)})
    assert len([one for one in needs.unnamed(refused.value, TOP) if one.file == "group_vars/all.yml"]) == 1
