"""The gateway's configuration as the role writes it, and what is said of one that cannot be used."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from sae import cli, config
from sae.config import ConfigError, Limits
from sae.elimination import parties
from sae.fixity import Plan
from sae.journal import timestamp
from sae.journal.seal import sealing
from sae.store import (
    FileStore,
    StoreError,
    StoreUnavailableError,
    SwiftSettings,
    SwiftStore,
    clocks,
    reference,
    replicas,
)

from testbed.forbidden import forbidden

ROLE = Path(__file__).parents[4] / "roles" / "archive_gateway"
GIVEN: dict[str, Any] = {
    "service": "SAE",
    "regles": {"ACTES-10": "10"},
    "stockage": {"dossier": "/srv/archives"},
    "comptes": [{"nom": "gondecourt", "libelle": "Gondecourt", "siren": "215902669"}],
}


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(GIVEN | changes), encoding="utf-8")
    return path


def test_what_is_not_said_has_its_default(tmp_path: Path) -> None:
    loaded = config.load(write(tmp_path))
    assert loaded.limits == Limits(2_000_000_000, 4_000_000_000, 10_000, 100, 50_000_000)
    account = loaded.accounts["gondecourt"]
    assert (account.quota_mo, account.dua_min, account.dua_max) == (100_000, 1, 100)
    assert (loaded.rules, loaded.formats) == ({"ACTES-10": 10}, frozenset(config.FORMATS))
    assert (loaded.folder, loaded.journal) == (Path("/var/lib/sae"), Path("/var/lib/sae/journal.sqlite"))
    assert (loaded.registry, loaded.spool) == (Path("/var/lib/sae/registre.sqlite"), Path("/var/lib/sae/versements"))
    assert isinstance(loaded.store(), FileStore)
    assert loaded.account_of("215902669") is account
    assert loaded.account_of("") is loaded.account_of(None) is loaded.account_of("1") is None


@pytest.mark.parametrize(("given", "read"), [({}, None), ({"deposants": []}, ()), ({"deposants": None}, ())])
def test_no_list_of_depositors_is_not_an_empty_one(
    tmp_path: Path, given: dict[str, object], read: tuple[str, ...] | None
) -> None:
    loaded = config.load(write(tmp_path, comptes=[{**GIVEN["comptes"][0], **given}]))
    assert loaded.accounts["gondecourt"].depositors == read


def test_all_that_may_be_said_is_taken(tmp_path: Path) -> None:
    (tmp_path / "cles.json").write_text('{"gondecourt": "secret"}')
    account = {
        "quota_mo": "7",
        "dua_min": "2",
        "dua_max": "3",
        "deposants": ["Connecteur"],
        "signataire": "Anne",
        "siren_signataire": "265902668",
        "heberge_par": "gondecourt",
        "accord": "AD59",
        **GIVEN["comptes"][0],
    }
    storage = {
        "urls": ["https://sae1.test"],
        "cles": str(tmp_path / "cles.json"),
        "utilisateur": "u",
        "autorites": "/a.pem",
        "certificat": "/c",
    }
    spec = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    assert set(account) == set(spec["archive_gateway_accounts"]["options"])  # the role hands them over as they are
    loaded = config.load(
        write(tmp_path, comptes=[account], stockage=storage, limites={"files": "5"}, formats=["fmt/95"], dossier="/d")
    )
    assert (loaded.accounts["gondecourt"].quota_mo, loaded.limits.files, loaded.folder) == (7, 5, Path("/d"))
    assert (loaded.accounts["gondecourt"].dua_min, loaded.accounts["gondecourt"].dua_max) == (2, 3)
    assert loaded.accounts["gondecourt"].depositors == ("Connecteur",)
    assert (loaded.accounts["gondecourt"].signatory, loaded.accounts["gondecourt"].agreement) == ("Anne", "AD59")
    assert loaded.accounts["gondecourt"].signatory_siren == "265902668"
    assert loaded.formats == {"fmt/95"}
    kept = loaded.store()
    assert isinstance(kept, SwiftStore)
    assert (kept._settings.user, kept._settings.keys) == ("u", {"gondecourt": "secret"})
    assert (kept._settings.ca_file, kept._settings.certificate, kept._settings.worm) == (
        Path("/a.pem"),
        Path("/c"),
        True,
    )
    assert "secret" not in repr(loaded)
    swift = config.load(write(tmp_path, stockage={"urls": ["x"]})).storage
    assert isinstance(swift, SwiftSettings) and swift.ca_file is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, r"config.json : lecture impossible \(il n'existe pas\)\. Relancez le déploiement\.$"),
        ("oups", r"config.json, ligne 1 : ce n'est pas du JSON valide\. Relancez le déploiement\.$"),
        ("[]", r"config.json : ce n'est pas un objet ; ses champs sont service, comptes, "),
        ('{"stockage": {}}', r"config.json, champ « comptes » : champ obligatoire absent"),
        (json.dumps(GIVEN | {"stockage": {}}), r"champ « stockage » : « urls » ou « dossier » manque"),
        (json.dumps(GIVEN | {"limites": {"x": 1}}), r"config.json, champ « limites\.x » : champ inconnu"),
        (json.dumps(GIVEN | {"regles": {"ACTES-10": "dix"}}), r"« regles\.ACTES-10 » : « dix » doit être un nombre"),
        (json.dumps(GIVEN | {"compte": []}), r"« compte » : champ inconnu ; vouliez-vous dire « comptes » \?"),
        (json.dumps(GIVEN | {"comptes": GIVEN["comptes"] * 2}), r"« comptes » : « gondecourt » y est deux fois"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_told(tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "config.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=said):
        config.load(path)


def test_keys_are_never_shown(tmp_path: Path) -> None:
    (tmp_path / "cles.json").write_text('{"gondecourt": ["canari-59"]}')
    storage = {"urls": ["https://sae1.test"], "cles": str(tmp_path / "cles.json")}
    with pytest.raises(ConfigError, match=r"champ « stockage\.cles » : .*cles\.json » ne donne pas la clé") as told:
        config.load(write(tmp_path, stockage=storage))
    assert "canari" not in str(told.value)


def test_a_part_that_is_wrong_keeps_nothing_else(tmp_path: Path) -> None:
    assert config.load(write(tmp_path, fixite={"jours": "x"}, sceaux=[])).accounts


def test_who_may_not_read_the_configuration_is_told_so(tmp_path: Path) -> None:
    """A rollout would change nothing to it."""
    path = write(tmp_path)
    with (
        forbidden(path),
        pytest.raises(ConfigError, match=r"n'a pas le droit de le lire\. Lancez la commande avec sudo\.$"),
    ):
        config.load(path)


def test_seals_are_timestamped_here_or_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(timestamp, "local_unit", lambda *given: asked.append(given))
    monkeypatch.setattr(timestamp, "remote_unit", lambda *given: asked.append(given))
    assert sealing(write(tmp_path)).root == config.HISTORY
    sealing(write(tmp_path, sceaux={"unite": "/u"}))
    (tmp_path / "secret").write_text(" mot \n")
    given = {"url": "https://tsa.test", "sujet": "O=TSA,C=FR", "identifiant": "i",
             "mot_de_passe": str(tmp_path / "secret"), "autorites_web": "/w", "autorites": "/a"}  # fmt: skip # a table
    how = sealing(write(tmp_path, sceaux=given))
    assert (how.root, how.unit) == (Path("/a"), "O=TSA,C=FR")
    sealing(write(tmp_path, sceaux={"url": "https://tsa.test", "sujet": "O=TSA,C=FR"}))
    with pytest.raises(ConfigError, match=r"« sceaux\.sujet » : absent.+archive_gateway_tsa_subject"):
        sealing(write(tmp_path, sceaux={"url": "https://tsa.test"}))
    assert asked == [
        (Path("/etc/creatic/pki/horodatage/current"),),
        (Path("/u"),),
        ("https://tsa.test", "i", "mot", Path("/w")),
        ("https://tsa.test", "", "", None),
    ]
    with pytest.raises(ConfigError, match=r"« sceaux\.mot_de_passe » : .*absent », fichier illisible"):
        sealing(write(tmp_path, sceaux={"url": "x", "mot_de_passe": str(tmp_path / "absent")}))


def test_fixity_has_its_plan(tmp_path: Path) -> None:
    loaded = config.load(write(tmp_path))
    assert Plan.from_config(write(tmp_path), loaded) == Plan(("gondecourt",))
    assert Plan(()) == Plan((), 30, {}, 20e6, 3000, 120)
    given = {"jours": 7, "comptes": {"gondecourt": 3}, "mo_par_seconde": 2, "duree": 9, "attente": 8}
    found = Plan.from_config(write(tmp_path, fixite=given), loaded)
    assert found == Plan(("gondecourt",), 7.0, {"gondecourt": 3.0}, 2e6, 9.0, 8.0)
    wrongs: list[dict[str, Any]] = [{"jours": "x"}, {"comptes": []}]
    for wrong in wrongs:
        with pytest.raises(ConfigError, match=r"champ « fixite\.(jours|comptes) » : .+ À faire : "):
            Plan.from_config(write(tmp_path, fixite=wrong), loaded)
    with pytest.raises(ConfigError, match="champ « fixite » : ce n'est pas un objet"):
        Plan.from_config(write(tmp_path, fixite=[]), loaded)
    (tmp_path / "config.json").write_text("oups")
    with pytest.raises(ConfigError, match="ligne 1 : ce n'est pas du JSON valide"):
        Plan.from_config(tmp_path / "config.json", loaded)


def test_who_may_eliminate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timestamp, "local_unit", lambda unit: f"horodatage {unit}")
    agents = [{"nom": "anne", "sujet": "CN=Anne", "comptes": ["gondecourt"]}, {"nom": "luca", "sujet": "CN=Luca"}]
    given = {"agents": agents, "revocations": "/crl", "certificat": "/c", "verificateur": "/v.sock"}
    trust, proof, verifier = parties(write(tmp_path, elimination=given))
    assert [(one.name, one.subject, one.accounts) for one in trust.agents] == [
        ("anne", "CN=Anne", {"gondecourt"}),
        ("luca", "CN=Luca", frozenset()),
    ]
    assert (trust.root, trust.crl, proof.certificate) == (config.TRUST, Path("/crl"), Path("/c"))
    assert verifier.socket == Path("/v.sock")
    trust, proof, verifier = parties(write(tmp_path))
    assert verifier.socket == Path("/run/sae-signature.sock")
    assert (trust.crl, proof.certificate) == (None, Path("/etc/creatic/pki/attestation/current"))
    with pytest.raises(ConfigError, match=r"« elimination\.agents\.1\.sujet » : champ obligatoire absent"):
        parties(write(tmp_path, elimination={"agents": [{"nom": "x"}]}))


def test_clocks_are_those_of_the_nodes_that_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = FileStore(tmp_path)
    assert replicas(folder) == [("stockage", folder)]
    assert clocks(folder)() == {}
    moments: dict[str, Any] = {"sae1": datetime(2026, 11, 27, tzinfo=UTC), "sae2": StoreError("muet"), "sae3": None}

    class Node(SwiftStore):
        def __init__(self, name: str) -> None:
            self.name = name

        def clock(self, account: str) -> datetime | None:
            assert account == "sae"
            told = moments[self.name]
            if isinstance(told, Exception):
                raise told
            return told

    room = Node("salle")
    monkeypatch.setattr(SwiftStore, "each", lambda _self: {name: Node(name) for name in moments})
    assert clocks(room)() == {"sae1": moments["sae1"]}
    assert reference(folder)() == {}
    with pytest.raises(StoreUnavailableError, match="1 sur 3 nœuds du stockage la donnent"):
        reference(room)()
    moments["sae2"] = moments["sae1"]
    assert set(reference(room)()) == {"sae1", "sae2"}


# -- one program, several names -------------------------------------------------------------------------------------


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """What the process became, were it root's with a configuration."""
    found: list[Any] = []
    (tmp_path / "config.json").touch()
    monkeypatch.setattr(cli, "DEFAULT_PATH", tmp_path / "config.json")
    monkeypatch.setattr(cli.pwd, "getpwnam", lambda name: SimpleNamespace(pw_name=name, pw_gid=7, pw_uid=8))
    monkeypatch.setattr(cli.grp, "getgrnam", lambda name: SimpleNamespace(gr_gid={"sae-sceau": 9}[name]))
    monkeypatch.setattr(
        cli,
        "os",
        SimpleNamespace(
            geteuid=lambda: 0,
            getouplist=None,
            getgrouplist=lambda name, gid: [gid, 70],
            umask=found.append,
            setgroups=found.append,
            setgid=found.append,
            setuid=found.append,
        ),
    )
    return found


@pytest.mark.parametrize(
    ("name", "groups"),
    [("sae-versement", [7, 70]), ("sae-journal", [7, 70, 9]), ("sae-elimination", [7, 70, 9]), ("sae-fixite", [7, 70])],
)
def test_only_what_signs_reads_the_keys(
    monkeypatch: pytest.MonkeyPatch, became: list[Any], name: str, groups: list[int]
) -> None:
    asked: list[Any] = []

    def played(arguments: list[str]) -> int:
        asked.append(arguments)
        return 3

    module = SimpleNamespace(main=played)
    monkeypatch.setattr(cli.importlib, "import_module", lambda path: module if path.startswith("sae.") else None)
    monkeypatch.setattr(cli.sys, "argv", [f"/usr/bin/{name}", "x"])
    assert cli.main() == 3
    assert asked == [["x"]]
    assert became == [groups, 7, 8, 0o027]


def test_another_name_does_nothing(
    monkeypatch: pytest.MonkeyPatch, became: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli.sys, "argv", ["autre"])
    assert cli.main() == 2
    assert became == []
    assert capsys.readouterr().err.startswith("autre : nom inconnu, possibles : sae-versement, ")


def test_without_its_account_or_its_configuration_a_program_stays_what_it_is(
    monkeypatch: pytest.MonkeyPatch, became: list[Any]
) -> None:
    cli.DEFAULT_PATH.unlink()
    cli._become_service(signing=True)
    assert became == [0o027]
    became.clear()
    cli.DEFAULT_PATH.touch()

    def unknown(_name: str) -> None:
        raise KeyError

    monkeypatch.setattr(cli.pwd, "getpwnam", unknown)
    cli._become_service(signing=True)
    assert became == []
    assert os.geteuid() == os.getuid()
