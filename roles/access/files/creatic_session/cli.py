"""Command line of the login shell.

    creatic-session -c 'enregistrer SERIAL END'   what sshd runs, as the certificate's forced command says
    creatic-session executer SERIAL [COMMAND]     what sudo runs and records, as the same account
    creatic-session couper SERIAL                 root: end the sessions opened with a certificate

SERIAL is the certificate's; END its end, seconds since 1970. Exit status: the session's, 1 refused, 2 wrong use.
"""

from __future__ import annotations

import os
import pwd
import re
import sys
import time

from .sessions import cut

SELF = "/usr/lib/creatic/creatic-session"
_FORCED = re.compile(r"enregistrer ([0-9]{1,12}) ([0-9]{1,12})")


def recorded(account: str, forced: str, asked: str, now: float) -> list[str]:
    """Give the command that opens a recorded session.

    Args:
        account: whose session it is, and stays: sudo only records.
        forced: the certificate's forced command.
        asked: command that the client wants; empty for a shell.
        now: seconds since 1970.

    Raises:
        ValueError: not to be opened; the message is French.
    """
    found = _FORCED.fullmatch(forced)
    if not found:
        raise ValueError("ce compte ne s'ouvre qu'avec un certificat de « fab access.grant »")
    left = int(found[2]) - int(now)
    if left <= 0:
        raise ValueError("ce certificat est échu")
    # The command is an argument, so that the log of sudo tells it as well.
    command = [SELF, "executer", found[1], *([asked] if asked else [])]
    return ["sudo", "--non-interactive", f"--command-timeout={left}", f"--user={account}", "--", *command]


def main() -> int:
    """Run the command; returns the exit status of what does not become something else."""
    arguments = sys.argv[1:]
    match arguments:
        case ["-c", forced]:
            try:
                command = recorded(
                    pwd.getpwuid(os.getuid()).pw_name, forced, os.environ.get("SSH_ORIGINAL_COMMAND", ""), time.time()
                )
            except ValueError as error:
                print(f"Session refusée : {error}.", file=sys.stderr)
                return 1
            os.execv("/usr/bin/sudo", command)  # noqa: S606 - a shell would read the command again
        case ["executer", _serial]:
            os.environ["SHELL"] = "/bin/bash"
            os.execv("/bin/bash", ["-bash"])  # noqa: S606 - it is the shell
        case ["executer", _serial, asked]:
            os.environ["SHELL"] = "/bin/bash"
            os.execv("/bin/bash", ["bash", "-c", asked])  # noqa: S606 - it is the shell
        case ["couper", serial] if serial.isdecimal():
            for account, count in cut([SELF, "executer", serial]).items():
                print(f"{account} : {count} processus arrêtés")
            return 0
    print("Session refusée : ce compte ne s'ouvre que par SSH, avec un certificat.", file=sys.stderr)
    return 2
