"""The control-node halves: what leaves the control node, and what never does."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.cdg59.creatic.plugins.action import csr_issue, nss_store, pkcs11_token
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import Request, load_certificate

from creatic.pki.authority import Authority
from creatic.pki.keys import Passphrases
from creatic.pki.x509 import Settings

from .conftest import Maker
from .test_pkcs12_file import PASSWORD, write

SUBJECT = {"common_name": "Finances", "organization": "Commune de La Madeleine", "siren": "215903683"}
VARIABLES = {"inventory_hostname": "la-madeleine-pc-finances"}


class Sent(list[dict[str, Any]]):
    """The arguments which modules received; answers with what the test planned."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        super().__init__()
        self.answers = list(answers)

    def __call__(self, module_name: str, module_args: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        self.append(dict(module_args))
        return self.answers.pop(0)


def action(plugin: Any, arguments: dict[str, Any], sent: Sent, check: bool = False) -> Any:
    made = object.__new__(plugin.ActionModule)
    made._task = SimpleNamespace(args=arguments, check_mode=check, async_val=0, action="essai")
    made._connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None))
    made._execute_module = sent
    return made


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    folder = tmp_path / "prestataire"
    made = Authority(folder, Passphrases(folder, generate=True))
    made.ensure(Settings("Prestataire", "Prestataire", "1.3.6.1.4.1.59999.59.2"))
    return folder


def test_the_password_of_a_file_stays_on_the_control_node(tmp_path: Path, maker: Maker) -> None:
    path, word = write(tmp_path, maker.make("Mairie", unit="0002 215902669"))
    entry = {"name": "Mairie", "pkcs12": str(path), "password_file": str(word), "sirens": ["215902669"]}
    sent = Sent({"changed": True})
    arguments = {"account": "agent", "authorities": "/ca.pem", "certificates": [entry]}
    assert action(nss_store, arguments, sent).run(task_vars=VARIABLES) == {"changed": True}
    assert PASSWORD not in str(sent)
    assert set(sent[0]["certificates"][0]) == {"name", "key", "certificate", "chain"}


def test_files_alone_are_checked_without_touching_the_host(tmp_path: Path, maker: Maker) -> None:
    path, word = write(tmp_path, maker.make("Mairie", unit="0002 215902669"))
    entries = [
        {"name": "Mairie", "pkcs12": str(path), "password_file": str(word), "sirens": ["215902669"]},
        {"name": "Finances", "token": "finances", "library": "/lib.so"},
    ]
    arguments = {"account": "agent", "authorities": "/ca.pem", "certificates": entries, "files_only": True}
    sent = Sent()
    result = action(nss_store, arguments, sent).run(task_vars=VARIABLES)
    assert sent == []
    assert [one["subject_cn"] for one in result["certificates"]] == ["Mairie"]
    assert "PRIVATE KEY" not in str(result)
    word.write_text("faux")
    with pytest.raises(AnsibleActionFail, match=r"certificat « Mairie » : .*champ secret"):
        action(nss_store, arguments, sent).run(task_vars=VARIABLES)
    assert sent == []


def test_a_token_which_asks_has_its_certificate_signed_and_written(tmp_path: Path, authority: Path) -> None:
    pin = tmp_path / "finances.pin"
    pin.write_text("12345678\n")
    request = Request("finances", "client", SUBJECT["common_name"], SUBJECT["organization"], SUBJECT["siren"])
    rsa = Request(**{**request.__dict__, "key_type": "rsa"})
    sent = Sent({"changed": True, "csr": rsa.csr(rsa.new_key())}, {"changed": True, "csr": ""})
    arguments = {
        "account": "agent",
        "library": "/lib.so",
        "label": "finances",
        "pin_file": str(pin),
        "authority_dir": str(authority),
        "subject": SUBJECT,
    }
    assert action(pkcs11_token, arguments, sent).run(task_vars=VARIABLES) == {"changed": True}
    assert [call["pin"] for call in sent] == ["12345678", "12345678"]
    assert load_certificate(sent[1]["issued"]).subject == rsa.subject()
    assert [row["hote"] for row in Authority(authority).listing()][-1] == VARIABLES["inventory_hostname"]


def test_a_token_which_is_ready_asks_nothing(tmp_path: Path, authority: Path) -> None:
    pin = tmp_path / "finances.pin"
    pin.write_text("12345678\n")
    sent = Sent({"changed": False, "csr": ""})
    arguments = {"label": "finances", "pin_file": str(pin), "authority_dir": str(authority), "subject": SUBJECT}
    assert action(pkcs11_token, arguments, sent).run(task_vars=VARIABLES) == {"changed": False}
    assert len(sent) == 1


def test_a_token_asks_for_the_name_that_is_certified(tmp_path: Path, authority: Path) -> None:
    pin = tmp_path / "regie.pin"
    pin.write_text("12345678\n")
    sent = Sent({"changed": False, "csr": ""})
    apart = SUBJECT | {"common_name": "Re\u0301gie"}
    arguments = {"label": "regie", "pin_file": str(pin), "authority_dir": str(authority), "subject": apart}
    action(pkcs11_token, arguments, sent).run(task_vars=VARIABLES)
    assert sent[0]["subject"] == SUBJECT | {"common_name": "R\u00e9gie"}


def test_a_missing_pin_names_its_file_and_field(tmp_path: Path) -> None:
    arguments = {"label": "x", "pin_file": str(tmp_path / "x.pin"), "authority_dir": "/", "subject": SUBJECT}
    with pytest.raises(AnsibleActionFail, match=r"x\.pin \(champ secret\) est introuvable"):
        action(pkcs11_token, arguments, Sent()).run(task_vars=VARIABLES)


def test_certreq_s_csr_is_signed_for_its_host(authority: Path) -> None:
    request = Request("finances", "client", "Finances", "Commune de La Madeleine", "215903683", key_type="rsa")
    csr = request.csr(request.new_key())
    arguments = {
        "csr": csr,
        "request": {"name": "finances", "profile": "client", **SUBJECT},
        "authority_dir": str(authority),
    }
    result = action(csr_issue, arguments, Sent()).run(task_vars=VARIABLES)
    assert load_certificate(result["pem"]).subject == request.subject()
    assert result["subject_cn"] == "Finances"
    assert action(csr_issue, arguments, Sent()).run(task_vars=VARIABLES)["pem"] == result["pem"]
    for commune, told in ((None, ""), ("la-madeleine", "la-madeleine")):
        request = Request(
            f"finances-{told}", "client", "Finances", "Commune de La Madeleine", "215903683", key_type="rsa"
        )
        asked = {**arguments, "csr": request.csr(request.new_key()), "commune": commune}
        asked["request"] = {"name": f"finances-{told}", "profile": "client", **SUBJECT}
        action(csr_issue, asked, Sent()).run(task_vars=VARIABLES)
        last = Authority(authority, Passphrases(authority)).listing()[-1]
        assert (last["commune"], last["hote"]) == (told, "la-madeleine-pc-finances")


def test_a_csr_for_somebody_else_is_refused(authority: Path) -> None:
    request = Request("finances", "client", "Autre", "Commune de La Madeleine", "215903683", key_type="rsa")
    arguments = {
        "csr": request.csr(request.new_key()),
        "request": {"name": "finances", "profile": "client", **SUBJECT},
        "authority_dir": str(authority),
    }
    with pytest.raises(AnsibleActionFail, match="était attendu"):
        action(csr_issue, arguments, Sent()).run(task_vars=VARIABLES)
