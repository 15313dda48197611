"""One program, several names: sae-versement, sae-journal, sae-export, sae-fixite, sae-elimination…"""

from __future__ import annotations

import grp
import importlib
import os
import pwd
import sys
from pathlib import Path

from sae.commands import DEFAULT_PATH

_MODULES = {
    "sae-versement": "sae.versement.command",
    "sae-journal": "sae.journal.commands",
    "sae-export": "sae.export",
    "sae-fixite": "sae.fixity",
    "sae-elimination": "sae.elimination.command",
    "sae-transfert": "sae.transfer",
    "sae-copie": "sae.lots",
    "sae-acces": "sae.access_command",
    "sae-conversion": "sae.conversion",
    "sae-convertisseur": "sae.converter",
}


# Those which sign: the others, and the door's processes, cannot read the keys of seals and certificates.
_SIGNING = {"sae-journal", "sae-elimination"}


def main() -> int:
    """Entry point: the name under which the program is called chooses the command."""
    name = Path(sys.argv[0]).name
    if name not in _MODULES:
        print(f"{name} : nom inconnu, possibles : {', '.join(_MODULES)}.", file=sys.stderr)
        return 2
    _become_service(signing=name in _SIGNING)
    done: int = importlib.import_module(_MODULES[name]).main(sys.argv[1:])
    return done


def _become_service(signing: bool) -> None:
    """Work under the service's account, so that no file of the archive ever belongs to root."""
    if os.geteuid() == 0 and DEFAULT_PATH.is_file():
        try:
            account = pwd.getpwnam("sae")
            keys = [grp.getgrnam("sae-sceau").gr_gid] if signing else []
        except KeyError:
            return
        os.setgroups([*os.getgrouplist(account.pw_name, account.pw_gid), *keys])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    os.umask(0o027)
