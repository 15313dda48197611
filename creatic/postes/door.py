# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The enrolment door, as the control node reaches it: over SSH, by Ansible."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.evidence import answers

from creatic.fleet import assemble
from creatic.fleet.signing import FleetError
from creatic.registry import listing

_PROGRAM = "creatic-enrolement"
_MAX_MISUSE_ANSWERS = 50  # answers, of 200 misuses each: the door keeps 5,000
_DOOR_STATEMENT_REFUSAL = (
    "la porte d'enrôlement répond autre chose que son relevé. À faire : redéployez-la (fab serveurs guichet)"
)


def whole(ask: Callable[[int], Any], after: int) -> Any:
    """A statement with all of its misuses: a stranger's fill the first answers, and hide no PC's.

    Args:
        ask: given the number of the last misuse that is known, gives the door's statement.
        after: that number, for a technician; a door that came back from a backup tells its own from the first.

    Raises:
        FleetError: the door does not answer, or says something else.
    """
    found = ask(after)
    try:
        if int(found["dernier"]) < after:
            found = ask(0)
        told = part = found["mesusages"]
        for _turn in range(_MAX_MISUSE_ANSWERS):
            if not part or part[-1]["id"] >= found["dernier"]:
                break
            part = ask(part[-1]["id"])["mesusages"]
            told = [*told, *part]
        return {**found, "mesusages": told}
    except (KeyError, TypeError, ValueError):
        raise FleetError(_DOOR_STATEMENT_REFUSAL) from None


class Door(assemble.Door):
    """The enrolment door of an inventory. Its methods raise FleetError: it does not answer, or refuses."""

    program = _PROGRAM

    def statement(self, after: int, since: str = "") -> Any:
        """What waits there since a request, and misuses after one, as creatic_enrolement.store says them."""
        return self._run_command("releve", "--apres", str(after), *(["--depuis", since] if since else []))

    def facts(self, after: str) -> Any:
        """What PCs sent of themselves, after a certificate, as creatic_enrolement.store says it."""
        return self._run_command("constats", *(["--apres", after] if after else []))

    def read_sightings(self, after: str) -> Any:
        """When certificates were shown there last, after one, as creatic_enrolement.store says it."""
        return self._run_command("vus", *(["--apres", after] if after else []))

    def publish(self, sent: Mapping[str, Any]) -> None:
        """Bring it tokens' digests, and those that end."""
        self._run_command("publier", sent=sent)

    def answer(self, sent: Mapping[str, Any]) -> None:
        """Bring it certificates and refusals."""
        self._run_command("repondre", sent=sent)

    def _run_command(self, *words: str, sent: Mapping[str, Any] | None = None) -> Any:
        given: dict[str, Any] = {"argv": ["runuser", "-u", "enrolement", "--", _PROGRAM, *words]}
        if sent is not None:
            given["stdin"] = json.dumps(sent)
        told = self._run_ansible(
            "ansible", "guichet", "-b", "-m", "ansible.builtin.command", "-a", listing.to_extra_vars(given)
        )  # fmt: skip # one call
        try:
            return answers.parse_json_output(told, '{"')
        except ValueError:
            raise FleetError(_DOOR_STATEMENT_REFUSAL) from None
