"""What hardening does where a container cannot show it: a machine with a kernel and disks of its own.

The forbidden modules are tried first, while others still load; then the machine is started again, once, and
everything else is asked of what that start put in force.
"""

from __future__ import annotations

import contextlib
import re
import time
from typing import Any

import pytest
from testinfra.host import Host

from testbed.patience import wait_for

RULES_FILE = "/etc/nftables.conf"
SETTINGS_FILE = "/etc/sysctl.d/99-creatic.conf"
# Folders on disks of their own, or in memory, whose programs may not run.
NO_EXECUTION = ["/tmp", "/dev/shm", "/boot", "/home", "/var/log", "/var/log/audit", "/var/tmp"]
NO_PRIVILEGE = [*NO_EXECUTION, "/opt", "/srv", "/var"]
BOOT_SECONDS = 180


def as_root(host: Host, script: str) -> str:
    """Output of a shell script run as root."""
    with host.sudo():
        return str(host.check_output(script))


def attempt(command: str) -> str:
    """Shell text which runs a command and prints its whole answer, or ``accepté``."""
    return f'if answer=$({command} 2>&1); then echo accepté; else echo "$answer"; fi'


@pytest.fixture(scope="module")
def before_start(host: Host) -> dict[str, str]:
    """What the first life of the machine left: its boot, the firewall's file, what modprobe said."""
    script = f"""
    systemctl start creatic-aide-init.service  # waits for the one that a convergence leaves running
    cat /proc/sys/kernel/random/boot_id /proc/sys/kernel/modules_disabled
    sha256sum < {RULES_FILE}
    {attempt("modprobe udf")}
    {attempt("modprobe dummy numdummies=0")}
    modprobe --remove dummy || true
    """
    boot, locked, digest, *said = as_root(host, script).splitlines()
    return {"boot": boot, "locked": locked, "rules": digest, "forbidden": " ".join(said[:-1]), "other": said[-1]}


@pytest.fixture(scope="module")
def started(host: Host, before_start: dict[str, str]) -> float:
    """The machine after a start; gives the seconds without an answer over SSH."""
    began = time.monotonic()
    with contextlib.suppress(AssertionError, RuntimeError):  # the connection is cut
        as_root(host, "systemctl reboot")
    wait_for(
        lambda: as_root(host, "cat /proc/sys/kernel/random/boot_id") != before_start["boot"],
        "une réponse par SSH de la machine qui redémarre",
        BOOT_SECONDS,
        every=1,
        despite=(AssertionError, RuntimeError),
    )
    return time.monotonic() - began


def test_a_forbidden_module_is_refused_where_others_load(before_start: dict[str, str]) -> None:
    if before_start["locked"] == "1":
        pytest.skip("déjà redémarrée depuis son durcissement : plus aucun module ne se charge")
    assert before_start["other"] == "accepté"
    assert "/bin/false" in before_start["forbidden"]


def test_a_start_ends_with_ssh_every_unit_and_the_firewalls_file(
    host: Host, started: float, before_start: dict[str, str]
) -> None:
    print(f"redémarrage : {started:.0f} s")
    assert as_root(host, "systemctl is-system-running --wait") == "running"
    assert as_root(host, f"sha256sum < {RULES_FILE}") == before_start["rules"]
    assert "policy drop" in as_root(host, f"cat {RULES_FILE}")


@pytest.mark.usefixtures("started")
class TestAfterAStart:
    def test_no_module_loads_any_more(self, host: Host) -> None:
        script = f"""
        cat /proc/sys/kernel/modules_disabled
        {attempt("modprobe dummy")}
        {attempt("modprobe --ignore-install udf")}
        {attempt("sysctl --quiet --write kernel.modules_disabled=0")}
        """
        locked, *answers = as_root(host, script).splitlines()
        assert locked == "1"
        assert len(answers) == 3
        for answer in answers[:2]:
            assert answer.endswith("Operation not permitted")
        assert "kernel.modules_disabled" in answers[2]

    def test_the_kernel_has_the_settings_that_are_written(self, host: Host) -> None:
        """R9, R12 and others of ANSSI: what the role set while the machine ran, the start set too."""
        # What this kernel does not have is marked so.
        lines = [line for line in as_root(host, f"cat {SETTINGS_FILE}").splitlines() if line[0] not in "#-"]
        written = dict(line.split(" = ") for line in lines)
        assert len(written) > 20
        lived = as_root(host, f"sysctl --values {' '.join(written)}").splitlines()
        assert {key: " ".join(one.split()) for key, one in zip(written, lived, strict=True)} == written

    def test_the_kernel_has_every_audit_rule_and_gives_up_none(self, host: Host) -> None:
        loaded = as_root(host, "auditctl -l").splitlines()
        written = as_root(host, "grep -hE '^-[aw]' /etc/audit/rules.d/*.rules").splitlines()
        assert len(written) > 100
        assert len(loaded) == len(written)
        status = dict(line.split(maxsplit=1) for line in as_root(host, "auditctl -s").splitlines())
        assert status["enabled"] == "2"
        assert status["lost"] == "0"
        assert as_root(host, attempt("auditctl -D")) != "accepté"
        assert as_root(host, "auditctl -l").splitlines() == loaded

    def test_what_a_person_is_refused_is_recorded_with_their_name(self, host: Host, hostvars: dict[str, Any]) -> None:
        mark = f"/etc/sudoers.d/essai-{time.time_ns()}"
        assert host.run(f"cat {mark} /etc/shadow").failed
        as_root(host, f"touch {mark}; rm {mark}")
        person = hostvars.get("ansible_user", "creatic")
        # From the log itself: over SSH, ausearch would wait for one on its standard input.
        search = "ausearch --input-logs --start recent --interpret"
        refused = as_root(host, f"{search} --key access --file /etc/shadow")
        assert re.search(rf"exit=EACCES.* auid={person} .* exe=/usr/bin/cat ", refused)
        changed = as_root(host, f"{search} --key actions --file {mark}")
        assert re.search(rf"success=yes.* auid={person} uid=root .* exe=/usr/bin/touch ", changed)

    def test_apparmor_confines_and_refuses(self, host: Host) -> None:
        confined = as_root(host, "cat /proc/$(pidof chronyd | cut -d' ' -f1)/attr/current")
        assert confined == "/usr/sbin/chronyd (enforce)"
        # What root may do, root under the clock's profile may not.
        mark = f"/etc/creatic-essai-{time.time_ns()}"
        script = f"""
        echo secret > {mark}
        {attempt(f"cat {mark} > /dev/null")}
        {attempt(f"aa-exec --profile /usr/sbin/chronyd -- /usr/bin/cat {mark}")}
        rm {mark}
        """
        free, held = as_root(host, script).splitlines()
        assert free == "accepté"
        assert held.endswith("Permission denied")
        seen = as_root(host, f"grep --no-filename --text {mark} /var/log/audit/audit.log")
        assert re.search(rf'apparmor="DENIED" operation="open" .*profile="/usr/sbin/chronyd" name="{mark}"', seen)

    def test_an_account_cannot_look_at_the_kernel_nor_into_a_process(self, host: Host) -> None:
        assert "Operation not permitted" in host.run("dmesg").stderr
        addresses = as_root(host, "head -50 /proc/kallsyms | cut -d' ' -f1 | sort -u")
        assert addresses == "0" * 16
        # A process of the same account which is not a child: PTRACE_ATTACH is 16, EPERM is 1.
        attach = (
            "import ctypes,sys; c=ctypes.CDLL(None, use_errno=True); "
            "print(c.ptrace(16, int(sys.argv[1]), 0, 0), ctypes.get_errno())"
        )
        script = f"sleep 30 & python3 -c '{attach}' $!; kill $!"
        assert host.check_output(script).split() == ["-1", "1"]
        # Somebody's link in a shared folder is not followed by others, root included.
        link = f"/tmp/essai-{time.time_ns()}"
        host.check_output(f"ln -s /etc/hostname {link}")
        assert as_root(host, attempt(f"cat {link}")).endswith("Permission denied")
        host.check_output(f"cat {link} && rm {link}")

    def test_mount_options_have_their_effect(self, host: Host) -> None:
        """A program does not run, a setuid one gives nothing, a device node opens nothing; elsewhere they do."""
        script = f"""
        try() {{  # try FOLDER: execution, setuid, device
          work=$(mktemp -d "$1/essai.XXXXXX"); chmod 0755 "$work"
          cp /usr/bin/true "$work/program"
          if "$work/program" 2>/dev/null; then run=oui; else run=non; fi
          cp /usr/bin/id "$work/id"; chmod 4755 "$work/id"
          # By a relative path: some of these folders are closed to others.
          if [ "$(cd "$work" && setpriv --reuid=nobody ./id -u 2>/dev/null)" = 0 ]; then setuid=oui; else setuid=non; fi
          mknod "$work/null" c 1 3
          if (: < "$work/null") 2>/dev/null; then device=oui; else device=non; fi
          rm -r "$work"; echo "$1 $run $setuid $device"
        }}
        for folder in {" ".join(sorted({*NO_EXECUTION, *NO_PRIVILEGE}))} /usr/local; do try "$folder"; done
        """
        found = {folder: tuple(rest) for folder, *rest in map(str.split, as_root(host, script).splitlines())}
        assert found.pop("/usr/local") == ("oui", "oui", "oui")
        assert found == {folder: ("non" if folder in NO_EXECUTION else "oui", "non", "non") for folder in NO_PRIVILEGE}
