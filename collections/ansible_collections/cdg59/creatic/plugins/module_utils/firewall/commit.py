# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""One nftables table brought to its wanted state under a timed rollback; runs on the host, standard library only.

What is compared is the effective state: the wanted ruleset is loaded into a network namespace made for the
occasion and read back from the kernel, then set beside the live table read in the same way. A rule changed by
hand therefore shows as drift, and a mere difference of writing does not.
"""

from __future__ import annotations

import ipaddress
import pwd
import re
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.cdg59.creatic.plugins.module_utils.durable import write
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from ansible_collections.cdg59.creatic.plugins.module_utils.host.guard import Guard, Runner, failure_message, run

HEADER = "#!/usr/sbin/nft -f\n# creatic: written once confirmed; the next run repairs what is changed by hand.\n"
# A stop of Debian's unit flushes every table, those of a container engine included. What counts
# connections is there before modules are locked.
DROP_IN = """\
# creatic: a stop removes our table only, a start replaces it only.
[Service]
ExecStartPre=-/usr/sbin/modprobe --quiet nft_connlimit
ExecStop=
ExecStop=-/usr/sbin/nft delete table {table}
"""
_SCRATCH = """\
nft add table inet creatic_temoin && nft -f "$1" && nft list tables && echo "--" && nft -s list table {table}
"""
_WITNESS = "table inet creatic_temoin"
_COUNTING = "add table inet t; add chain inet t c; add rule inet t c ct count over 1 drop"
_COUNTED = re.compile(r"^.* ct count over .*\n", re.MULTILINE)
# Whom a set like these holds is what happens, not what is wanted.
_DYNAMIC_SET_PATTERN = re.compile(r"(^\s*flags dynamic\n)\s*elements = \{[^}]*\}\n", re.MULTILINE)
_SKUID = re.compile(r"(?<=meta skuid \{ )[^}]+(?= \})")


class NftError(CreaticError, cause="parefeu"):
    """The ruleset cannot be applied; the message (French) says why."""


@dataclass
class Difference:
    """What differs between the host and what is wanted.

    Attributes:
        live: ruleset in force, as nft shows it without its counters; empty when the table is not there.
        wanted: the wanted one in the same words.
        persisted: the file that the next boot loads is the wanted one.
        enabled: the next boot does load it.
        pending: an interrupted run's change still waits for its rollback.
    """

    live: str
    wanted: str
    persisted: bool
    enabled: bool
    pending: bool

    def __bool__(self) -> bool:
        return self.live != self.wanted or not self.persisted or not self.enabled or self.pending

    def diff(self, table: str) -> list[dict[str, str]]:
        """The difference as Ansible shows it."""
        shown = [{"before": self.live, "after": self.wanted, "before_header": table, "after_header": table}]
        kept = [("à jour" if good else "différent") + "\n" for good in (self.persisted, self.enabled)]
        for name, now in zip(("/etc/nftables.conf", "nftables.service"), kept, strict=True):
            shown.append({"before": now, "after": "à jour\n", "before_header": name, "after_header": name})
        if self.pending:
            shown.append({"before": "changement non confirmé d'un passage interrompu\n", "after": ""})
        return [one for one in shown if one["before"] != one["after"]]


def installed() -> bool:
    """Whether nft is on this host."""
    return shutil.which("nft") is not None


def _user_id(name: str) -> int:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise NftError(
            f"le compte « {name} » d'une règle est absent de la machine : le rôle qui le crée passe avant le pare-feu"
        ) from None


@dataclass
class Firewall:
    """One table of nftables on this host.

    Attributes:
        table: family and name, as ``inet creatic``.
        ruleset: nft text which declares this table, and nothing else; accounts by their names.
        resolvers: add the host's name servers to the table's sets ``resolvers4`` and ``resolvers6``.
        etc: folder of nftables.conf and of resolv.conf.
        units: systemd's folder for units of the administrator.
        resolved: file of the real name servers, where systemd-resolved answers in their place.
        run: runs a command.
    """

    table: str
    ruleset: str
    resolvers: bool = False
    etc: Path = Path("/etc")
    units: Path = Path("/etc/systemd/system")
    resolved: Path = Path("/run/systemd/resolve/resolv.conf")
    run: Runner = run
    guard: Guard = field(default_factory=lambda: Guard("pare-feu", "pare-feu"))

    @property
    def persisted(self) -> Path:
        return self.etc / "nftables.conf"

    @property
    def _drop_in(self) -> Path:
        return self.units / "nftables.service.d" / "creatic.conf"

    def text(self) -> str:
        """The whole file: replaces our table and touches no other."""
        # By number: nft would load none of a file that names an account which went away.
        rules = _SKUID.sub(lambda found: ", ".join(str(_user_id(name)) for name in found[0].split(", ")), self.ruleset)
        if _COUNTED.search(rules) and self.run(["unshare", "--net", "nft", _COUNTING]).returncode:
            rules = _COUNTED.sub("", rules)  # its modules are locked, until its next boot, or its kernel has none
        lines = [f"table {self.table}", f"delete table {self.table}", rules.strip("\n")]
        if self.resolvers:
            found = self._name_servers()
            for name, version in (("resolvers4", 4), ("resolvers6", 6)):
                addresses = [str(address) for address in found if address.version == version]
                if addresses:
                    lines.append(f"add element {self.table} {name} {{ {', '.join(addresses)} }}")
        return HEADER + "\n".join(lines) + "\n"

    def absent(self) -> list[str]:
        """Accounts that rules name and this host does not have (yet)."""
        named = {name for found in _SKUID.findall(self.ruleset) for name in found.split(", ")}
        return sorted(named - {one.pw_name for one in pwd.getpwall()})

    def _name_servers(self) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
        found = []
        for path in (self.etc / "resolv.conf", self.resolved):
            if path.exists():
                for word in re.findall(r"^\s*nameserver\s+(\S+)", path.read_text(), re.M):
                    address = ipaddress.ip_address(word.partition("%")[0])
                    if not address.is_loopback and address not in found:
                        found.append(address)
        if not found:
            raise NftError(
                "/etc/resolv.conf ne nomme aucun serveur de noms hors de la machine : donnez leurs adresses dans "
                "base_resolvers"
            )
        return found

    def live(self) -> str:
        """The table in force, without its counters; empty when it is not there."""
        done = self.run(["nft", "-s", "list", "table", *self.table.split()])
        if done.returncode and "No such file or directory" not in done.stderr:
            raise NftError(f"nft ne lit pas les règles de la machine : {failure_message(done)}")
        return "" if done.returncode else _DYNAMIC_SET_PATTERN.sub(r"\1", done.stdout)

    def wanted(self) -> str:
        """The wanted table as the kernel gives it back, from a network namespace of its own.

        Raises:
            NftError: nft refuses the text, or it touches another table.
        """
        with tempfile.NamedTemporaryFile("w", prefix="creatic-", suffix=".nft") as candidate:
            candidate.write(self.text())
            candidate.flush()
            script = _SCRATCH.format(table=self.table)
            done = self.run(["unshare", "--net", "sh", "-c", script, "sh", candidate.name])
        if done.returncode:
            raise NftError(f"nft refuse les règles, rien n'est changé : {failure_message(done)}")
        tables, _, listing = done.stdout.partition("--\n")
        if sorted(tables.splitlines()) != sorted([_WITNESS, f"table {self.table}"]):
            raise NftError(f"les règles touchent à une autre table que {self.table}, rien n'est changé")
        return listing

    def inspect(self) -> Difference:
        """Compare, changing nothing."""
        if not installed():
            raise NftError("nft est absent de la machine : installez le paquet nftables avant")
        shown = self.run(["systemctl", "show", "nftables.service", "--property=UnitFileState,ActiveState"]).stdout
        return Difference(
            live=self.live(),
            wanted=self.wanted(),
            persisted=self._has_content(self.persisted, self.text())
            and self._has_content(self._drop_in, self._drop_in_text()),
            enabled="UnitFileState=enabled" in shown and "ActiveState=active" in shown,
            pending=self.guard.pending(),
        )

    def write_file_only(self, check: bool) -> list[dict[str, str]]:
        """Write the file alone, for a kernel without nftables: nothing is in force, now or after a boot.

        Args:
            check: report only.

        Returns:
            The difference as Ansible shows it.

        Raises:
            NftError: this kernel can filter, so it must.
        """
        if self.run(["unshare", "--net", "nft", "add", "table", *self.table.split()]).returncode == 0:
            raise NftError("le noyau de cette machine sait filtrer : retirez firewall_load, les règles seront posées")
        if self._has_content(self.persisted, self.text()):
            return []
        before = self.persisted.read_text() if self.persisted.exists() else ""
        if not check:
            write(self.persisted, self.text().encode(), 0o755)
        return [{"before": before, "after": self.text(), "before_header": "/etc/nftables.conf"}]

    def apply(self, token: str, delay: int) -> None:
        """Arm the rollback, then put the ruleset in force; nothing is kept for the next boot yet.

        Raises:
            NftError, GuardError: nothing is changed, or the old ruleset is back.
        """
        self.guard.roll_back()
        live = self.live()

        def save(folder: Path) -> str:
            before = f"table {self.table}\ndelete table {self.table}\n{live}"
            write(folder / "avant.nft", before.encode(), 0o600)
            write(folder / "apres.nft", self.text().encode(), 0o600)
            return f"nft -f avant.nft || nft delete table {self.table}"  # open rather than locked

        self.wanted()
        self.guard.arm(token, delay, save)
        candidate = str(self.guard.folder / "arme" / "apres.nft")
        for command in (["nft", "-c", "-f", candidate], ["nft", "-f", candidate]):
            done = self.run(command)
            if done.returncode:
                self.guard.roll_back()
                raise NftError(f"nft refuse les règles, l'état précédent est remis : {failure_message(done)}")

    def confirm(self, token: str) -> None:
        """Disarm the rollback, and only then keep the ruleset for the next boot.

        Raises:
            NftError: the ruleset in force is no longer the wanted one.
            GuardError: it was rolled back already.
        """
        self.guard.check(token)
        if self.live() != self.wanted():
            raise NftError("les règles en vigueur ne sont plus celles qui viennent d'être posées")
        self.guard.confirm(token)
        if self.persisted.exists() and not self.persisted.read_text().lower().startswith(HEADER.lower()):
            shutil.copy2(self.persisted, self.persisted.with_name("nftables.conf.avant-creatic"))
        write(self.persisted, self.text().encode(), 0o755)
        self._drop_in.parent.mkdir(exist_ok=True)
        write(self._drop_in, self._drop_in_text().encode(), 0o644)
        for command in (["systemctl", "daemon-reload"], ["systemctl", "enable", "--now", "nftables.service"]):
            done = self.run(command)
            if done.returncode:
                raise NftError(
                    f"les règles sont en vigueur, mais pas pour le prochain démarrage : {failure_message(done)}"
                )

    def _drop_in_text(self) -> str:
        return DROP_IN.format(table=self.table)

    @staticmethod
    def _has_content(path: Path, text: str) -> bool:
        return path.is_file() and path.read_text() == text
