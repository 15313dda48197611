"""No text of an inventory's files is ever evaluated: each field of each schema is given what would be, and followed."""

from __future__ import annotations

import copy
import datetime as dt
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible import constants
from ansible.inventory.data import InventoryData
from ansible.inventory.manager import _InventoryDataWrapper
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, is_trusted_as_template, trust_as_template
from ansible_collections.cdg59.creatic.plugins.inventory import groupement as plugin

from creatic.applications import ged
from creatic.archive import durees, formats
from creatic.audit import controls
from creatic.registry import groupement
from creatic.registry.checked_yaml import (
    FieldPath,
    Problem,
    ProblemsError,
    dotted,
    hidden,
    read_schema,
)

REPO = Path(__file__).parents[3]
EVALUATED = (
    "{{ 7 * 7 }}",
    "a {% if true %}b{% endif %}",
    "a{# b #}",
    "{{ lookup('ansible.builtin.pipe', 'touch CANARI') }}",
    "lookup('ansible.builtin.pipe', 'touch CANARI')",
    "2001:db8::10%{{ lookup('ansible.builtin.pipe', 'touch CANARI') }}",
    "http://[2001:db8::1%{{ 7 * 7 }}]/",
)
PLACES = ("../ssh/id_ed25519", "/etc/passwd", "a/../../b", "secrets/../ssh")
SEPARATORS = ("Bergues - Secrétariat général", "a,b", "a|b", "a/b", "a; b", "[lien]")
HIDDEN = (
    *("a\x00b", "a\x07b", "a\x1b[31mb", "a\x1b]52;c;eA==\x07b", "a\nb", "a\rb", "a\tb", "a\x7fb", "a\x85b", "a\x9bb"),
    *("a\u200bb", "a\u200eb", "a\u200fb", "a\u202eb", "a\u2066b", "a\u2028b", "a\u00adb", "a\ufeffb", "a\ue000b"),
)


UNSEEN = [one for one in HIDDEN if one not in ("a\nb", "a\tb")]  # Ansible's own files have texts of several lines


def payloads(rank: int) -> tuple[str, ...]:
    """What a field is given: each kind, of the long lists some in turn."""
    turn = [HIDDEN[(3 * rank + more) % len(HIDDEN)] for more in range(3)]
    others = [rest[rank % len(rest)] for rest in (EVALUATED[4:], PLACES, SEPARATORS[1:])]
    return (*EVALUATED[:4], SEPARATORS[0], *others, *turn)


Check = Callable[[Path, Any], list[Problem]]


def leaves(schema: Mapping[str, Any], path: FieldPath = ()) -> Iterator[FieldPath]:
    """Place of each text that a schema lets be written, as a path in a file: the first of each list."""
    if "properties" in schema or isinstance(schema.get("additionalProperties"), dict):
        for name, inner in schema.get("properties", {}).items():
            yield from leaves(inner, (*path, name))
        if isinstance(schema.get("additionalProperties"), dict):
            yield from leaves(schema["additionalProperties"], (*path, "lille"))
    elif "items" in schema:
        yield from leaves(schema["items"], (*path, 0))
    elif schema.get("type") == "string" or isinstance(next(iter(schema.get("enum", [])), None), str):
        yield path


def spoilt(whole: Any, path: FieldPath, payload: str) -> Any:
    """A file, with something in a field that may not be there yet."""
    found = copy.deepcopy(whole)
    place = found
    for key, after in itertools.pairwise(path):
        empty: Any = [] if isinstance(after, int) else {}
        if isinstance(key, str):
            place = place.setdefault(key, empty)
        else:
            place += [empty] * (key + 1 - len(place))
            place = place[key]
    last = path[-1]
    if isinstance(last, int):
        place[last : last + 1] = [payload]
    else:
        place[last] = payload
    return found


ROLE = {"titulaire": "paul.renard", "suppleants": ["claire.dubois"]}
PAPER = {"date": "2026-01-02", "document": "d.pdf"}
PAPERS = dict.fromkeys(("deliberation", "convention_prefet", "compte_tdt", "accord_dgfip"), PAPER)
COUNCIL = {"redacteurs": ["paul.renard"], "dgs": ["paul.renard"], "elus": ["Claire Dubois", "Anne Petit"]}
COMMUNE: dict[str, Any] = {
    "nom": "Gondecourt",
    "siren": "215902669",
    "insee": "59266",
    "code_postal": "59147",
    "accord_versement": "AD59-17",
    "territoire": "lille",
    "agents": 80,
    "vague": 2,
    "acces": "sortant",
    "services": ["teletransmission", "parapheur", "deliberations", "ged", "archivage"],
    "postes": [
        {
            "nom": "pc-mairie",
            "adresse": "10.59.2.10",
            "systeme": "debian",
            "compte": "agent",
            "certificats": [
                {"titulaire": "Secrétariat", "usage": "signature", "source": "jeton", "jeton": "étiquette",
                 "secret": "j.pass", "bibliotheque": "/usr/lib/softhsm/libsofthsm2.so"},
                {"titulaire": "Mairie", "usage": "signature", "source": "fichier", "fichier": "a.p12",
                 "secret": "a.pass"},
            ],
        }
    ],
    "connecteur": {
        "adresse": "10.59.2.20", "tdt": "s2low", "certificat": {"fichier": "c.p12", "secret": "c.pass"},
    },
    "formalites": PAPERS,
    "comptes": [
        {"identifiant": "claire.dubois", "prenom": "Claire", "nom": "Dubois", "courriel": "claire@gondecourt.test"},
        {"identifiant": "paul.renard", "prenom": "Paul", "nom": "Renard", "courriel": "paul@gondecourt.test"},
    ],
    "ged": {"services": [{"nom": "Accueil", "agents": ["paul.renard"], "types": ["deliberation"]}]},
    "parapheur": {
        "redacteurs": ["paul.renard"],
        "delegataires": ["paul.renard"],
        "dgs": ROLE,
        "maire": {"titulaire": "claire.dubois", "suppleants": ["paul.renard"]},
        "controles": {"pes": ROLE, "marche": ROLE},
    },
    "deliberations": {
        **COUNCIL,
        "maire": "claire.dubois",
        "habitants": 2900,
        "acces_elus": ["claire.dubois"],
        "publication": {"mode": "affichage", "deliberation": "2022_31a"},
    },
    "entites": [
        {
            "nom": "ccas",
            "libelle": "CCAS de Gondecourt",
            "type": "ccas",
            "siren": "265902668",
            "president": {"titulaire": "claire.dubois", "suppleants": ["paul.renard"]},
            "services": ["teletransmission", "parapheur", "deliberations", "ged", "archivage"],
            "accord_versement": "AD59-18",
            "connecteur": {"certificat": {"fichier": "e.p12", "secret": "e.pass"}},
            "formalites": {**PAPERS, "accord_dgfip": {"sans_objet": "aucun flux"}},
            "comptes": [
                {"identifiant": "odile.faure", "prenom": "Odile", "nom": "Faure", "courriel": "o@gondecourt.test"}
            ],
            "ged": {"services": [{"nom": "Aide", "agents": ["odile.faure"], "types": ["deliberation"]}]},
            "parapheur": {"redacteurs": ["odile.faure"], "delegataires": ["paul.renard"], "dgs": ROLE,
                          "controles": {"pes": ROLE, "marche": ROLE}},
            "deliberations": {**COUNCIL, "acces_elus": ["odile.faure"], "elus": ["Claire Dubois", "Odile Faure"]},
        }
    ],
}  # fmt: skip # a commune that writes every field
SETTINGS: dict[str, Any] = {
    "plugin": "cdg59.creatic.groupement",
    "departement": "059",
    "territoires": {"lille": "Métropole de Lille"},
    "adresses": "10.59.0.0/16",
}


def inventory(folder: Path, commune: Any = COMMUNE, settings: Any = SETTINGS) -> Path:
    (folder / "communes").mkdir(exist_ok=True)
    (folder / "groupement.yml").write_text(json.dumps(settings), encoding="utf-8")
    (folder / "communes/gondecourt.yml").write_text(json.dumps(commune), encoding="utf-8")
    return folder


def told_of_a_commune(folder: Path, data: Any) -> list[Problem]:
    return groupement.check(inventory(folder, data))


def told_of_settings(folder: Path, data: Any) -> list[Problem]:
    return groupement.check(inventory(folder, settings=data))


def _told(reader: Callable[[], Any]) -> list[Problem]:
    try:
        reader()
    except ProblemsError as error:
        return error.problems
    return []


def told_of_ged(folder: Path, data: Any) -> list[Problem]:
    (folder / "ged.yml").write_text(json.dumps(data), encoding="utf-8")
    (folder / "durees.yml").write_bytes((REPO / "inventories/example/durees.yml").read_bytes())
    return _told(lambda: ged.read_plan(folder / "ged.yml"))


def told_of_durees(folder: Path, data: Any) -> list[Problem]:
    (folder / "durees.yml").write_text(json.dumps(data), encoding="utf-8")
    return _told(lambda: durees.read(folder))


def told_of_formats(folder: Path, data: Any) -> list[Problem]:
    (folder / "formats.yml").write_text(json.dumps(data), encoding="utf-8")
    return _told(lambda: formats.read(folder))


def told_of_waivers(folder: Path, data: Any) -> list[Problem]:
    (folder / "derogations.yml").write_text(json.dumps(data), encoding="utf-8")
    catalogue = REPO / "roles/hardening/files/controls.yml"
    return _told(lambda: controls.load(catalogue, dt.date(2026, 12, 1), folder / "derogations.yml"))


def _example(name: str) -> Any:
    return yaml.safe_load((REPO / f"inventories/example/{name}").read_text(encoding="utf-8"))


FORMATS = {"formats": [{"puids": ["fmt/95"], "nom": "PDF", "risque": "eleve", "pourquoi": "vieux", "faire": "rien"}]}
WAIVERS = {"derogations": [{"controle": "R7", "motif": "un motif assez long", "responsable": "Camille Delattre",
                            "fin": "2027-11-20", "portee": {"profils": ["ged"]}}]}  # fmt: skip # one waiver
FILES: dict[str, tuple[Path, Any, Check]] = {
    "commune": (groupement.COMMUNE_SCHEMA, COMMUNE, told_of_a_commune),
    "groupement": (groupement.COMMUNE_SCHEMA.with_name("groupement.schema.json"), SETTINGS, told_of_settings),
    "ged": (ged.SCHEMA, _example("ged.yml"), told_of_ged),
    "durees": (durees.SCHEMA, _example("durees.yml"), told_of_durees),
    "formats": (formats.SCHEMA, FORMATS, told_of_formats),
    "waivers": (Path(controls.__file__).with_name("controls.schema.json"), WAIVERS, told_of_waivers),
}


def parsed(folder: Path) -> InventoryData:
    """The inventory, by the plugin, wrapped as Ansible wraps it."""
    module, found = plugin.InventoryModule(), InventoryData()
    wrapped = _InventoryDataWrapper(found, target_plugin=module, origin=None)
    module.parse(wrapped, DataLoader(), str(folder / "groupement.yml"))
    return found


def variables(found: InventoryData) -> Iterator[tuple[str, Any]]:
    for one in (*found.groups.values(), *found.hosts.values()):
        yield from ((f"{one.name}.{name}", value) for name, value in one.vars.items())


def must_be_text(found: InventoryData) -> int:
    """Have Ansible template each variable: what comes is what was written. Gives how many texts there were."""
    count = 0
    for name, value in variables(found):
        for text in texts(value):
            assert not is_trusted_as_template(text), f"{name} : {text!r} would be evaluated"
            count += 1
        assert Templar(loader=DataLoader(), variables={"x": value}).template(trust_as_template("{{ x }}")) == value
    return count


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for one in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from texts(one)


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "CONFIG_FILE", None)
    monkeypatch.chdir(tmp_path)


def test_the_files_that_are_spoilt_are_good_before(tmp_path: Path) -> None:
    assert [str(one) for _schema, whole, check in FILES.values() for one in check(tmp_path, whole)] == []
    assert must_be_text(parsed(inventory(tmp_path))) > 100


@pytest.mark.parametrize("name", FILES)
def test_what_is_put_into_any_field_is_refused_there_or_is_text(tmp_path: Path, name: str) -> None:
    """Of every field of every schema; where it is refused, the message names the file and says what to do."""
    schema, whole, check = FILES[name]
    # Of the catalogue, derogations are written by sites.
    fields = [path for path in leaves(read_schema(schema)) if path[0] != "controles"]
    tried = taken = 0
    for rank, path in enumerate(fields):
        for payload in payloads(rank):
            told = check(tmp_path, spoilt(whole, path, payload))
            tried += 1
            if told:
                assert all(one.file and one.message and one.fix for one in told)
                assert not hidden("".join(map(str, told)))
                if name == "commune" and payload == EVALUATED[0]:  # none of its texts may hold braces
                    assert dotted(path) in {one.field for one in told}
                continue
            taken += 1
            assert payload not in HIDDEN, f"{path} takes {payload!r}"
            if name == "commune":
                assert "{" not in payload, f"{path} takes {payload!r}"
                must_be_text(parsed(tmp_path))
    assert not (tmp_path / "CANARI").exists()
    assert len(fields) >= {"commune": 90, "groupement": 4, "ged": 12, "durees": 9, "formats": 5, "waivers": 5}[name]
    assert tried == 11 * len(fields)
    assert name != "commune" or taken  # a separator in the name of a service of the GED is nothing but text


def test_even_what_the_checks_would_let_through_is_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No pattern of a schema keeps Ansible from evaluating: the plugin does not ask it to."""
    good = groupement.load(inventory(tmp_path))
    tried = 0
    for payload in EVALUATED:
        whole = copy.deepcopy(good[0].data)
        for path in leaves(read_schema(groupement.COMMUNE_SCHEMA)):
            used = path[0] in ("services", "acces") or path[-1] in ("adresse", "type") or "services" in path[-2:-1]
            if not used:  # by the registry itself
                whole = spoilt(whole, path, payload)
        tried += len([*texts(whole)])
        monkeypatch.setattr(
            groupement, "load", lambda *_, whole=whole: [groupement.Commune("gondecourt", whole, "059")]
        )
        assert must_be_text(parsed(tmp_path)) > 100
    assert tried > 90 * len(EVALUATED)
    assert not (tmp_path / "CANARI").exists()


def test_a_commune_that_is_gone_is_told_in_words_that_are_not_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names of what is gone come from the state, and were files' names."""
    lost = Problem("communes/{{ 7 * 7 }}.yml", None, "", "a' ~ lookup('pipe', 'touch CANARI') ~ '", '"}} {{ 7 * 7 }}')
    monkeypatch.setattr(plugin, "absent", lambda *_: [lost])
    found = parsed(inventory(tmp_path)).groups["ged"].vars
    with pytest.raises(Exception, match="touch CANARI") as told:
        Templar(loader=DataLoader(), variables=found).template(trust_as_template("{{ creatic_communes }}"))
    assert "communes/{{ 7 * 7 }}.yml" in str(told.value)
    assert not (tmp_path / "CANARI").exists()


SERVERS: dict[str, Any] = {
    "all": {
        "vars": {"dit": "x"},
        "children": {"ged": {"hosts": {"documents": {"ansible_host": "10.59.0.40", "creatic_names": ["a.test"]}}}},
    }
}
PLACES_OF_SERVERS: tuple[FieldPath, ...] = (
    ("all", "vars", "dit"),
    ("all", "vars", "liste", 0),
    ("all", "children", "ged", "vars", "dit"),
    ("all", "children", "ged", "hosts", "documents", "ansible_host"),
    ("all", "children", "ged", "hosts", "documents", "creatic_names", 0),
    ("all", "children", "ged", "hosts", "documents", "groupe", "dans", "champ"),
)


@pytest.mark.parametrize("payload", [*EVALUATED[:4], *EVALUATED[5:], "#jinja2: variable_start_string:'[['", *UNSEEN])
@pytest.mark.parametrize("file", ["servers.yml", "autre/servers.yaml", "serveurs", "autre/durees.yml"])
def test_no_text_of_a_file_of_servers_is_evaluated(
    tmp_path: Path, payload: str, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused by the plugin itself, before anybody asks for a variable: Ansible's own reader believes the file."""
    told: list[str] = []
    monkeypatch.setattr(plugin.Display, "error", lambda _display, text, **_: told.append(text))
    inventory(tmp_path)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    named: list[Any] = [{f"g{payload}": {"hosts": {}}}, {"ged": {"hosts": {f"h{payload}": {}}}}]
    named += [{"ged": {"vars": {payload: "x"}}}]
    every = [
        *(spoilt(SERVERS, path, payload) for path in PLACES_OF_SERVERS),
        *({"all": {"children": n}} for n in named),
    ]
    for whole in every:
        (tmp_path / file).write_text(json.dumps(whole), encoding="utf-8")
        with pytest.raises(SystemExit):
            parsed(tmp_path)
        assert file in told[-1] and "À faire" in told[-1]
    assert len(every) == len(told) == 9


@pytest.mark.parametrize(
    "address",
    ["2001:db8::10%eth0", "2001:db8::10%{{ 1 }}", "::ffff:10.59.2.10", "10.59.2.10; id", "a.test", "10.59.2.10\u200b"],
)
def test_an_address_is_numbers_and_nothing_else(tmp_path: Path, address: str) -> None:
    for path in (("postes", 0, "adresse"), ("connecteur", "adresse")):
        told = groupement.check(inventory(tmp_path, spoilt(COMMUNE, path, address)))
        assert told and all(one.field.endswith("adresse") and one.fix for one in told)
    (tmp_path / "servers.yml").write_text(
        json.dumps(spoilt(SERVERS, ("all", "children", "ged", "hosts", "documents", "ansible_host"), address))
    )
    inventory(tmp_path)
    with pytest.raises(SystemExit):
        parsed(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ansible_ssh_common_args", "-o ProxyCommand='touch CANARI'"),
        ("ansible_ssh_executable", "/tmp/ssh"),
        ("ansible_ssh_host", "10.59.0.40"),
        ("ansible_connection", "local"),
        ("ansible_python_interpreter", "/bin/sh -c 'touch CANARI'"),
        ("ansible_become_exe", "x"),
        ("ansible_user", "a;id"),
        ("ansible_user", "-oProxyCommand=id"),
        ("ansible_port", "22 -oProxyCommand=id"),
    ],
)
@pytest.mark.parametrize("file", ["servers.yml", "autre/formats.yml"])
def test_no_file_of_servers_says_by_which_program_a_machine_is_reached(
    tmp_path: Path, name: str, value: str, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those run on the control node, which no template needs."""
    told: list[str] = []
    monkeypatch.setattr(plugin.Display, "error", lambda _display, text, **_: told.append(text))
    inventory(tmp_path)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    machine = ("all", "children", "ged", "hosts", "documents")
    for path in ((*machine, name), ("all", "vars", name), ("all", "children", "ged", "vars", name)):
        (tmp_path / file).write_text(json.dumps(spoilt(SERVERS, path, value)), encoding="utf-8")
        with pytest.raises(SystemExit):
            parsed(tmp_path)
        assert file in told[-1] and "À faire" in told[-1]
    whole = yaml.safe_dump({"a": {"vars": {"x": {name: value}}}}).replace("x:", "x: &x") + "b: {hosts: {h: {<<: *x}}}\n"
    (tmp_path / file).write_text(whole, encoding="utf-8")  # by a reference
    with pytest.raises(SystemExit):
        parsed(tmp_path)


def test_a_file_of_servers_says_where_machines_are(tmp_path: Path) -> None:
    reached = {"ansible_host": "10.59.0.40", "ansible_port": "2222", "ansible_user": "admin"}
    machine = ("all", "children", "ged", "hosts", "documents")
    whole = SERVERS
    for name, value in reached.items():
        whole = spoilt(whole, (*machine, name), value)
    (inventory(tmp_path) / "servers.yml").write_text(json.dumps(whole), encoding="utf-8")
    assert "gondecourt-pc-mairie" in parsed(tmp_path).hosts


def test_an_address_is_told_as_numbers_are(tmp_path: Path) -> None:
    found = parsed(inventory(tmp_path, spoilt(COMMUNE, ("postes", 0, "adresse"), "2001:0DB8:0:0::10")))
    assert found.hosts["gondecourt-pc-mairie"].vars["ansible_host"] == "2001:db8::10"
