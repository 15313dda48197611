"""The two action plugins, with the host's module replaced by its own code on a temporary folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.cdg59.creatic.plugins.action import certificates, pki_ca
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.host import HostStore, Wanted
from cryptography.hazmat.primitives.serialization import pkcs12

from creatic.pki.authority import Authority

from .conftest import CLIENT, SERVER, openssl

CERTIFICATE = {key: value for key, value in CLIENT.to_dict().items() if key not in ("dns", "key_type")}


class Host:
    """Runs the action as Ansible does; keeps what it sent to the module."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch):
        self.root = root
        self.sent: list[dict[str, Any]] = []
        self.check = False
        self.known: dict[str, Any] = {}
        monkeypatch.setattr(certificates.ActionModule, "_execute_module", lambda _, **kwargs: self._module(**kwargs))

    def _module(self, module_name: str, module_args: dict[str, Any], **_: Any) -> dict[str, Any]:
        self.sent.append(module_args)
        plan = module_args["plan"]
        store = HostStore(self.root, self.check)
        wanted = [Wanted.from_dict(entry | {"group": ""}) for entry in plan["certificates"]]
        if plan["issued"]:
            states = store.install_issued(wanted, plan)
        else:
            store.trust(plan["ca"], plan["crl"], plan["history"])
            states = [store.inspect(one, plan["chain"], module_args.get("renew_days", 30)) for one in wanted]
        told = {"changed": bool(store.changes), "states": states, "diff": [], "renewed": []}
        return told | {"newer_lists": store.newer}

    def run(self, **args: Any) -> dict[str, Any]:
        self.sent.clear()
        known = {"inventory_hostname": "un-hote", **self.known}
        return _action(certificates.ActionModule, args, self.check).run(None, known)


def _action(kind: type, args: dict[str, Any], check: bool = False) -> Any:
    task = MagicMock(args=args, check_mode=check, diff=False, async_val=0)
    templar = MagicMock(template=lambda value: value)
    return kind(task, MagicMock(), MagicMock(), MagicMock(), templar, MagicMock())


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path / "etc", monkeypatch)


def test_two_executions_to_issue_one_when_converged(authority: Authority, host: Host) -> None:
    wanted = [CERTIFICATE, {"name": "web", "profile": "server", "dns": ["tdt.creatic.test"]}]
    arguments = {"authority_dir": str(authority.directory), "certificates": wanted, "commune": "gondecourt"}
    first = host.run(**arguments)
    assert first["changed"] and len(host.sent) == 2
    assert [one["name"] for one in first["certificates"]] == ["tdt", "web"]
    assert {row["serie"] for row in authority.listing()} == {one["serial"] for one in first["certificates"]}
    assert {(row["hote"], row["commune"]) for row in authority.listing()} == {("un-hote", "gondecourt")}
    second = host.run(**arguments)
    assert not second["changed"] and len(host.sent) == 1
    assert second["certificates"] == [one | {"reason": ""} for one in first["certificates"]]


def test_neither_key_nor_passphrase_travels(authority: Authority, host: Host) -> None:
    secret = (authority.directory.parent / "secrets" / "pki_emettrice").read_text().strip()
    result = host.run(authority_dir=str(authority.directory), certificates=[CERTIFICATE], passphrase=secret)
    said = repr(host.sent) + repr(result)
    assert "PRIVATE KEY" not in said and secret not in said


def test_nothing_wanted_still_brings_the_crl(authority: Authority, host: Host) -> None:
    host.run(authority_dir=str(authority.directory), certificates=[])
    assert (host.root / "crl.pem").read_text() == authority.published()["crl"]


def test_a_later_list_on_a_host_tells_of_another_control_node(
    authority: Authority, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[str] = []
    monkeypatch.setattr(certificates.Display, "warning", lambda _self, text: warned.append(text))
    shutil.copytree(authority.directory.parent, tmp_path / "copie")
    host.run(authority_dir=str(authority.directory), certificates=[CERTIFICATE])
    authority.revoke("cessation", host="un-hote")
    host.run(authority_dir=str(authority.directory), certificates=[])
    assert warned == []
    host.run(authority_dir=str(tmp_path / "copie" / "pki"), certificates=[])
    assert len(warned) == 1 and "un-hote" in warned[0] and "Un autre poste de commande agit" in warned[0]


def test_check_mode_issues_nothing(authority: Authority, host: Host) -> None:
    host.check = True
    assert host.run(authority_dir=str(authority.directory), certificates=[CERTIFICATE])["changed"]
    assert authority.listing() == [] and not host.root.exists()


def test_check_mode_before_there_is_an_authority(directory: Path, host: Host) -> None:
    host.check = True
    result = host.run(authority_dir=str(directory), certificates=[CERTIFICATE])
    assert result["changed"] and result["renewed"] == ["tdt"] and not host.sent


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"certificates": [CERTIFICATE | {"siren": "1"}]}, "n'est pas un SIREN"),
        ({"certificates": [CERTIFICATE, CERTIFICATE]}, "« tdt » demandé deux fois"),
        ({"authority_dir": ""}, "authority_dir"),
    ],
)
def test_wrong_input_reaches_no_host(authority: Authority, host: Host, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(AnsibleActionFail, match=said):
        host.run(**{"authority_dir": str(authority.directory), "certificates": []} | arguments)
    assert host.sent == []


def test_no_machine_of_a_commune_has_the_groupement_s_siren(authority: Authority, host: Host) -> None:
    """Its file says the SIREN; the groupement's opens all communes' pages."""
    given = {"authority_dir": str(authority.directory), "certificates": [CERTIFICATE]}
    host.known = {"creatic_groupement_siren": CLIENT.siren, "creatic_commune": {"slug": "loos"}}
    with pytest.raises(AnsibleActionFail, match="est celui du groupement"):
        host.run(**given)
    assert host.sent == [] and authority.listing() == []
    del host.known["creatic_commune"]  # a server's
    assert host.run(**given)["changed"]


# -- pki_ca --------------------------------------------------------------------------------------------


def _ca(directory: Path, *, check: bool = False, **args: Any) -> dict[str, Any]:
    given = {"dir": str(directory), "organization": "Groupement d'essai", "generate_passphrases": True} | args
    result: dict[str, Any] = _action(pki_ca.ActionModule, given, check).run(None, {})
    return result


def test_authority_made_once(directory: Path) -> None:
    assert _ca(directory, check=True)["changed"] and not directory.exists()
    assert _ca(directory)["changed"]
    second = _ca(directory)
    assert (second["changed"], second["changes"], second["diff"]) == (False, [], [])
    assert _ca(directory, check=True)["changed"] is False


def test_settings_not_given_stay_as_they_are(directory: Path) -> None:
    _ca(directory, label="Essai", leaf_days=90, crl_url="http://pki.test")
    assert _ca(directory)["changed"] is False
    assert _ca(directory, leaf_days=30)["changes"] == ["réglages de l'autorité modifiés"]
    with pytest.raises(AnsibleActionFail, match="s'appelle « Essai »"):
        _ca(directory, label="Autre")


def test_a_providers_p12(directory: Path, tmp_path: Path) -> None:
    p12 = tmp_path / "remis" / "agent.p12"
    entry = CERTIFICATE | {"p12": str(p12), "p12_password": "Mot de passe é1", "commune": "avesnes-les-aubert"}
    arguments: dict[str, Any] = {
        "label": "Prestataire",
        "certificates": [entry],
        "certificates_dir": str(tmp_path / "certificats"),
    }
    result = _ca(directory, **arguments)
    assert "Mot de passe" not in repr(result) and "PRIVATE" not in repr(result)
    shown = openssl("pkcs12", "-in", p12, "-passin", "pass:Mot de passe é1", "-info", "-nokeys", "-nodes")
    assert "PBES2, PBKDF2, AES-256-CBC" in shown and "MAC: sha256" in shown
    assert shown.count("BEGIN CERTIFICATE") == 2
    openssl("pkcs12", "-in", p12, "-passin", "pass:faux", "-nokeys", ok=False)
    assert p12.stat().st_mode & 0o777 == 0o600
    assert _ca(directory, **arguments)["changed"] is False
    assert _ca(directory, check=True, **arguments)["changed"] is False
    new_password: dict[str, Any] = {**arguments, "certificates": [entry | {"p12_password": "nouveau"}]}
    assert _ca(directory, **new_password)["changes"] == [f"{p12} écrit"]
    assert pkcs12.load_pkcs12(p12.read_bytes(), b"nouveau").cert is not None


def test_revocation(directory: Path, tmp_path: Path) -> None:
    local: dict[str, Any] = {"certificates": [CERTIFICATE], "certificates_dir": str(tmp_path / "certificats")}
    serial = _ca(directory, **local)["certificates"][0]["serial"]
    revoke: dict[str, Any] = {"revoke": {"serial": serial, "reason": "cessation"}}
    checked = _ca(directory, check=True, **revoke)
    assert checked["changed"] and Authority(directory).listing()[0]["statut"] == "valide"
    done = _ca(directory, **revoke)
    assert [row["serie"] for row in done["revoked"]] == [serial] and "révoqué" in done["changes"][0]
    assert _ca(directory, **revoke)["changed"] is False


def test_errors_are_french_and_change_nothing(directory: Path) -> None:
    with pytest.raises(AnsibleActionFail, match="certificates_dir : manquant"):
        _ca(directory, certificates=[SERVER.to_dict() | {"dns": list(SERVER.dns)}])
    with pytest.raises(AnsibleActionFail, match="n'est pas un OID"):
        _ca(directory, policy_arc="x")


def test_a_new_authority_is_named_by_who_makes_it(directory: Path, tmp_path: Path) -> None:
    with pytest.raises(AnsibleActionFail, match="creatic_autorite"):
        _ca(directory, organization=None)
    assert not directory.exists()
    entry = {key: value for key, value in CERTIFICATE.items() if key != "organization"} | {"profile": "tsa"}
    given: dict[str, Any] = {"certificates": [entry], "certificates_dir": str(tmp_path / "certificats")}
    path = _ca(directory, **given)["certificates"][0]["path"]
    subject = openssl("x509", "-in", Path(path) / "cert.pem", "-noout", "-issuer", "-subject")
    assert subject.count("Groupement d'essai") >= 2 and "Cre@tic" not in subject
    assert _ca(directory, organization=None, **given)["changed"] is False
