# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Run a function as another account of the machine, in a child process without root's rights.

What is done in someone's home is done with their rights only: files belong to them, and a link
which they planted leads nowhere they could not go themselves.
"""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Callable
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError


class AccountError(CreaticError, cause="compte"):
    """The account does not exist, or the function failed; the message (French) is the function's."""


def account_exists(name: str) -> bool:
    """Tell whether the machine has that account (in check mode, an earlier task may not have made it)."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def as_account(name: str, function: Callable[[], Any]) -> Any:
    """Call `function` as the account `name`, from its home, and return its result.

    Args:
        name: account of the machine; the caller is root or that account.
        function: takes nothing; returns what JSON can carry.

    Raises:
        AccountError: there is no such account, or the function raised; carries its message.
    """
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise AccountError(f"le compte « {name} » n'existe pas sur cette machine") from None
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            answer = _run_as_account(entry, function)
            with os.fdopen(writer, "w", encoding="utf-8") as out:
                json.dump(answer, out)
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as source:
        text = source.read()
    os.waitpid(child, 0)
    if not text:
        raise AccountError(f"le travail fait au nom du compte « {name} » s'est arrêté sans réponse")
    answer = json.loads(text)
    if "error" in answer:
        raise AccountError(answer["error"])
    return answer["result"]


def _run_as_account(entry: pwd.struct_passwd, function: Callable[[], Any]) -> dict[str, Any]:
    try:
        if os.geteuid() == 0:
            os.initgroups(entry.pw_name, entry.pw_gid)
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
        os.environ.update(HOME=entry.pw_dir, USER=entry.pw_name, LOGNAME=entry.pw_name)
        os.umask(0o077)
        os.chdir(entry.pw_dir)
        return {"result": function()}
    except Exception as error:  # noqa: BLE001 # child process: the parent reports the error
        return {"error": str(error) or type(error).__name__}
