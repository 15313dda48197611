"""The role's templates, rendered by Ansible's own engine without a host; what is undefined fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleUndefinedVariable
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.cdg59.creatic.plugins.filter import commune_pc, each

from tests.unit.commune_pc.conftest import ISSUED, TOKEN

TOP = Path(__file__).parents[3]
ROLE = TOP / "roles" / "commune_pc"
STORED = {
    "name": "Secrétariat général",
    "nss_name": "Secrétariat général",
    "token": "",
    "subject_cn": "Secrétariat général",
    "issuer_cn": "AC émettrice",
    "client": True,
}


def templar(values: dict[str, Any]) -> Templar:
    """Return Ansible's engine with our filters.

    They are given by hand: in a test session which already imported the collection as plain Python,
    Ansible's own loader of collections comes too late.
    """
    made = Templar(loader=DataLoader(), variables=values)
    for name, function in {**commune_pc.FilterModule().filters(), **each.FilterModule().filters()}.items():
        made._engine.environment.filters[f"cdg59.creatic.{name}"] = function
    return made


def variables(**changes: Any) -> dict[str, Any]:
    """Return what the role's tasks see: its defaults, its vars, and what a playbook passes."""
    found: dict[str, Any] = {"ansible_managed": "Ansible managed", "creatic_pki_dir": "/etat/pki"}
    for name in ("defaults", "vars"):
        loaded = yaml.safe_load((ROLE / name / "main.yml").read_text(encoding="utf-8"))
        found |= {key: trust_as_template(one) if isinstance(one, str) else one for key, one in loaded.items()}
    return found | {
        "commune_pc_tdt_url": "https://tdt.creatic.test",
        "commune_pc_organization": "Commune de Gondecourt",
        "commune_pc_siren": "215902669",
        "commune_pc_secrets_dir": "/etat/secrets",
        "commune_pc_certificates": [ISSUED],
        "__commune_pc_store": {"certificates": [STORED]},
        **changes,
    }


def evaluate(text: str, **changes: Any) -> Any:
    return templar(variables(**changes)).template(trust_as_template(text))


def render(name: str, **changes: Any) -> str:
    """Render a template as the template module does: trim_blocks on, no conversion of the result."""
    text = trust_as_template((ROLE / "templates" / name).read_text(encoding="utf-8"))
    return str(templar(variables(**changes)).template(text, overrides={"trim_blocks": True, "lstrip_blocks": True}))


def test_chromium_shows_the_certificate_to_the_tdt_and_starts_there() -> None:
    policy = json.loads(render("chromium.json.j2"))
    (entry,) = policy["AutoSelectCertificateForUrls"]
    assert json.loads(entry) == {
        "pattern": "https://tdt.creatic.test",
        "filter": {"ISSUER": {"CN": "AC émettrice"}, "SUBJECT": {"CN": "Secrétariat général"}},
    }
    assert policy["HomepageLocation"] == "https://tdt.creatic.test"
    assert policy["SSLErrorOverrideAllowed"] is False


def test_firefox_on_debian_selects_by_itself_and_trusts_the_root() -> None:
    policies = json.loads(render("firefox.json.j2"))["policies"]
    assert policies["Preferences"]["security.default_personal_cert"] == {
        "Value": "Select Automatically",
        "Status": "locked",
    }
    assert policies["Certificates"] == {"Install": ["/usr/local/share/ca-certificates/creatic-pki.crt"]}
    assert policies["SecurityDevices"] == {"Add": {}}
    assert policies["Preferences"]["security.osclientcerts.autoload"]["Value"] is False


def test_firefox_is_told_of_the_token() -> None:
    policies = json.loads(render("firefox.json.j2", commune_pc_certificates=[ISSUED, TOKEN]))["policies"]
    assert policies["SecurityDevices"] == {"Add": {"finances": "/usr/lib/lecteur.so"}}


def test_firefox_on_windows_uses_windows_stores() -> None:
    policies = json.loads(render("firefox.json.j2", commune_pc_system="windows"))["policies"]
    assert policies["Certificates"] == {"ImportEnterpriseRoots": True}
    assert policies["Preferences"]["security.osclientcerts.autoload"] == {"Value": True, "Status": "locked"}


def test_the_proof_knows_the_certificates_which_authenticate_and_no_other() -> None:
    signing = STORED | {"name": "Sceau", "client": False}
    store = {"certificates": [STORED, signing]}
    configuration = json.loads(render("preuve-navigateur.json.j2", __commune_pc_store=store))
    name = "Secrétariat général"
    assert configuration == {
        "url": "https://tdt.creatic.test",
        "siren": "215902669",
        "certificats": [{"nom": name, "nss": name, "jeton": ""}],
    }


def test_certreq_asks_for_a_strong_key_which_stays() -> None:
    request = {
        "common_name": "Secrétariat général",
        "organization": "Commune de Gondecourt",
        "siren": "215902669",
        "profile": "client",
    }
    text = render("certreq.inf.j2", __commune_pc_request=request)
    assert text.startswith(";\n; Ansible managed\n;\n[NewRequest]\n")
    assert 'Subject = "CN=Secrétariat général,OU=0002 215902669,O=Commune de Gondecourt,C=FR"' in text
    assert "KeyLength = 3072" in text
    assert "Exportable = FALSE" in text
    assert "KeyUsage = 0x80" in text


@pytest.mark.parametrize(
    ("certificates", "authority", "present", "absent"),
    [
        ([ISSUED], "", {"chromium", "firefox-esr", "libnss3-tools"}, {"softhsm2", "pcscd"}),
        ([TOKEN], "", {"pcscd", "opensc"}, {"softhsm2"}),
        ([TOKEN], "/etat/prestataire", {"softhsm2", "python3-pkcs11"}, {"pcscd"}),
    ],
)
def test_only_what_the_sources_need_is_installed(
    certificates: list[dict[str, str]], authority: str, present: set[str], absent: set[str]
) -> None:
    packages = set(
        evaluate(
            "{{ __commune_pc_packages }}",
            commune_pc_certificates=certificates,
            commune_pc_token_authority_dir=authority,
        )
    )
    assert present <= packages
    assert not absent & packages


def test_windows_policies_come_from_files_read_and_from_holders() -> None:
    given = {"certificates": [STORED | {"subject_cn": "Marie Dupont"}]}
    file = ISSUED | {"source": "fichier", "titulaire": "Mairie", "fichier": "m.p12", "secret": "m.pass"}
    policies = evaluate(
        "{{ __commune_pc_windows_policies }}", commune_pc_certificates=[file, TOKEN], __commune_pc_given=given
    )
    selected = [json.loads(one["data"])["filter"] for one in policies if one["key"]]
    assert selected == [
        {"ISSUER": {"CN": "AC émettrice"}, "SUBJECT": {"CN": "Marie Dupont"}},
        {"SUBJECT": {"CN": "Finances"}},
    ]


@pytest.mark.parametrize("name", ["chromium.json.j2", "preuve-navigateur.json.j2", "certreq.inf.j2"])
def test_what_is_undefined_fails(name: str) -> None:
    held = variables()
    del held["__commune_pc_store"]
    with pytest.raises(AnsibleUndefinedVariable):
        templar(held).template(trust_as_template((ROLE / "templates" / name).read_text(encoding="utf-8")))
