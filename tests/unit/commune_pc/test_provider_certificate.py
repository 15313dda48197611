"""A provider's .p12, as the files a connector uses."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.cdg59.creatic.plugins.filter.provider_certificate import provider_certificate

from .conftest import Maker
from .test_pkcs12_file import PASSWORD, write


def test_key_is_a_secret_and_the_link_comes_last(tmp_path: Path, maker: Maker) -> None:
    pair = maker.make("Mairie", unit="0002 215902669")
    path, word = write(tmp_path, pair, [maker.root.certificate])
    entries = provider_certificate(str(path), str(word), "/etc/creatic/pki/tdt", "tdt-connector", "215902669")
    serial = f"{pair.certificate.serial_number:x}"
    assert entries[-1] == {"path": "/etc/creatic/pki/tdt/current", "link": serial}
    by_path = {entry["path"]: entry for entry in entries}
    key = by_path[f"/etc/creatic/pki/tdt/{serial}/key.pem"]
    assert (key["content"], key["secret"], key["mode"], key["group"]) == (pair.key_pem, True, "0640", "tdt-connector")
    assert by_path[f"/etc/creatic/pki/tdt/{serial}/fullchain.pem"]["content"] == pair.pem + maker.root.pem


def test_a_wrong_password_is_told_without_it(tmp_path: Path, maker: Maker) -> None:
    path, word = write(tmp_path, maker.make("Mairie"))
    word.write_text("autre\n")
    with pytest.raises(AnsibleFilterError, match="ne s'ouvre pas avec le mot de passe") as refused:
        provider_certificate(str(path), str(word), "/etc/creatic/pki/tdt", "tdt-connector", "215902669")
    assert PASSWORD not in str(refused.value)
