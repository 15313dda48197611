# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""A provider's .p12 as files for file_set, in the layout of pki_client, so that programs see no difference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError
from cryptography import x509

from creatic.pki.pkcs12_file import Pkcs12FileError, own_pkcs12


def provider_certificate(path: str, password_file: str, folder: str, group: str, siren: str) -> list[dict[str, Any]]:
    """Return the entries of file_set which install a provider's certificate and its key.

    Each certificate has its own folder, named by its serial number; the link ``current`` is swapped last, so that
    a reader never sees a key without its certificate.

    Args:
        path: the .p12 on the control node.
        password_file: holds its password.
        folder: where it goes on the host, as /etc/creatic/pki/tdt.
        group: unix group which may read the key.
        siren: whose it must be.

    Raises:
        AnsibleFilterError: the file cannot be opened or serve, or is another's; the message (French) names the file,
            the field and the fix.
    """
    try:
        found = own_pkcs12(Path(path), Path(password_file), [siren])
    except Pkcs12FileError as error:
        raise AnsibleFilterError(str(error)) from error
    serial = f"{x509.load_pem_x509_certificate(found['certificate'].encode()).serial_number:x}"
    version = f"{folder}/{serial}"
    return [
        {"path": folder, "state": "directory"},
        {"path": version, "state": "directory"},
        {"path": f"{version}/key.pem", "content": found["key"], "group": group, "mode": "0640", "secret": True},
        {"path": f"{version}/cert.pem", "content": found["certificate"]},
        {"path": f"{version}/chain.pem", "content": found["chain"]},
        {"path": f"{version}/fullchain.pem", "content": found["certificate"] + found["chain"]},
        {"path": f"{folder}/current", "link": serial},
    ]


class FilterModule:
    """Filters for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"provider_certificate": provider_certificate}
