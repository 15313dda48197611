"""Passwords, accounts and sessions (ANSSI-BP-028 R30 to R36, R68), as the machine itself applies them."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from testinfra.host import Host

SHELLS = ("/bin/bash", "/bin/sh", "/usr/bin/bash", "/usr/bin/sh", "/bin/zsh", "/usr/bin/zsh", "/bin/dash")
FIRST_PERSON = 1000
WEAK = {"azertyuiop": "suite du clavier", "Courte-9a": "9 caractères", "toutenminuscules": "une seule classe"}
STRONG = "Gx7!pQ-zeL4#tVbn2"
SESSION = """bash -lc 'umask; ulimit -Hc; echo "${TMOUT:-}"; readonly -p | grep -c TMOUT'"""
# An account made for the test, which nothing else uses, and is gone afterwards.
WITNESS = "creatic-essai"
AUTHENTICATE = r"""
import ctypes, sys
pam, libc = ctypes.CDLL("libpam.so.0"), ctypes.CDLL(None)
libc.strdup.restype = ctypes.c_void_p
libc.calloc.restype = ctypes.c_void_p
class Message(ctypes.Structure):
    _fields_ = [("style", ctypes.c_int), ("text", ctypes.c_char_p)]
class Response(ctypes.Structure):
    _fields_ = [("text", ctypes.c_void_p), ("code", ctypes.c_int)]
Talk = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p)
class Conversation(ctypes.Structure):
    _fields_ = [("talk", Talk), ("data", ctypes.c_void_p)]
Delay = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p)
FAIL_DELAY = 10
at_once = Delay(lambda status, microseconds, data: None)
def attempt(user, password):
    @Talk
    def talk(count, messages, answers, data):
        block = libc.calloc(count, ctypes.sizeof(Response))
        replies = ctypes.cast(block, ctypes.POINTER(Response))
        for number in range(count):
            replies[number].text = libc.strdup(password.encode())
        answers[0] = block
        return 0
    handle = ctypes.c_void_p()
    conversation = Conversation(talk, None)
    if pam.pam_start(b"other", user.encode(), ctypes.byref(conversation), ctypes.byref(handle)):
        sys.exit("pam_start")
    pam.pam_set_item(handle, FAIL_DELAY, at_once)
    result = pam.pam_authenticate(handle, 0) or pam.pam_acct_mgmt(handle, 0)
    pam.pam_end(handle, result)
    return result
user, *words = sys.argv[1:]
for word in words:
    print(int(attempt(user, word) == 0))
"""


def test_r30_no_account_of_the_system_opens(facts: dict[str, Any]) -> None:
    accounts = facts["accounts"]
    open_ones = [
        name
        for name, kind in facts["passwords"].items()
        if kind != "locked" and accounts[name]["uid"] < FIRST_PERSON and name != "root"
    ]
    assert not open_ones
    assert "empty" not in facts["passwords"].values()


def test_r31_weak_passwords_are_refused(facts: dict[str, Any]) -> None:
    quality = facts["quality"]
    assert quality[STRONG]
    assert not [f"{word} ({why})" for word, why in WEAK.items() if quality[word]]


def test_r31_ssh_takes_no_password(facts: dict[str, Any]) -> None:
    sshd = facts["sshd"]
    assert (sshd["passwordauthentication"], sshd["kbdinteractiveauthentication"]) == ("no", "no")
    assert (sshd["permitemptypasswords"], sshd["hostbasedauthentication"]) == ("no", "no")
    assert int(sshd["maxauthtries"]) <= 3
    assert int(sshd["logingracetime"]) <= 60


def test_one_address_leaves_ssh_to_others(facts: dict[str, Any]) -> None:
    """Sixty connections that said nothing kept everybody from a server's sshd, which lets ten in without choosing."""
    sshd = facts["sshd"]
    least = int(sshd["maxstartups"].partition(":")[0])
    assert int(sshd["persourcemaxstartups"]) < least
    assert sshd["persourcenetblocksize"] == "32:56"


@pytest.fixture(scope="session")
def witness(host: Host) -> Iterator[str]:
    """An account; gone after the tests of its machine."""
    with host.sudo():
        host.run_expect([0], f"useradd --no-create-home --shell /usr/sbin/nologin {WITNESS}")
    try:
        yield WITNESS
    finally:
        with host.sudo():
            gone = f"faillock --user {WITNESS} --reset; rm -f /var/log/faillock/{WITNESS}; userdel {WITNESS}"
            host.run_expect([0], gone)


@pytest.mark.leaves_traces
def test_r31_a_third_failure_locks_the_account(host: Host, witness: str) -> None:
    """The real PAM of the machine: right, three times wrong, then right and refused.

    Its hash is one that takes no second of the processor each time, as those that the machine makes do.
    """
    words = [STRONG, "faux-1", "faux-2", "faux-3", STRONG]
    quick = shlex.quote(STRONG)
    with host.sudo():
        host.run_expect([0], f"echo {witness}:$(openssl passwd -6 {quick}) | chpasswd --encrypted")
        told = host.check_output(f"python3 -I -c {shlex.quote(AUTHENTICATE)} {witness} {shlex.join(words)}")
    assert told.split() == ["1", "0", "0", "0", "0"]


@pytest.mark.leaves_traces
def test_r68_a_new_password_is_hashed_by_yescrypt(host: Host, hostvars: dict[str, Any], witness: str) -> None:
    with host.sudo():
        host.run_expect([0], f"echo '{witness}:{STRONG[::-1]}' | chpasswd")  # another one: no password comes back
        told = host.check_output(f"getent shadow {witness} | cut -d: -f2 | cut -c1-7")
    cost = int(hostvars.get("hardening_yescrypt_cost", 8))
    # yescrypt writes its cost as a character: j9T is Debian's 5, jCT 8.
    assert told == f"$y$j{'./0123456789ABCDEFGHIJKL'[cost + 6]}T$"


def test_r68_no_password_has_a_weaker_hash(facts: dict[str, Any]) -> None:
    kinds = {name: kind for name, kind in facts["passwords"].items() if kind != "locked"}
    assert {name: kind for name, kind in kinds.items() if not kind.startswith("$y$")} == {}
    for name in ("/etc/shadow", "/etc/gshadow"):
        file = facts["files"][name]
        assert file["uid"] == 0
        assert not file["mode"] & 0o137, name


@pytest.mark.niveau("intermediary")
def test_r32_an_idle_session_is_closed(host: Host, facts: dict[str, Any], hostvars: dict[str, Any]) -> None:
    _umask, _core, timeout, fixed = host.check_output(SESSION).split("\n")
    assert int(timeout) == int(hostvars.get("hardening_session_timeout", 600))
    assert int(fixed) == 1  # its person cannot lift it
    sshd = facts["sshd"]
    assert 0 < int(sshd["clientaliveinterval"]) * int(sshd["clientalivecountmax"]) <= 600


@pytest.mark.niveau("intermediary")
def test_r33_root_does_not_come_in(facts: dict[str, Any]) -> None:
    assert facts["sshd"]["permitrootlogin"] == "no"
    assert [name for name, account in facts["accounts"].items() if account["uid"] == 0] == ["root"]


@pytest.mark.niveau("intermediary")
def test_r33_commands_are_logged(host: Host, facts: dict[str, Any]) -> None:
    """The very command that asks is in the log."""
    assert facts["files"]["/var/log/sudo.log"]["mode"] & 0o077 == 0
    with host.sudo():
        last = host.check_output("tail -c 4000 /var/log/sudo.log")
    assert "tail -c 4000 /var/log/sudo.log" in " ".join(last.split())


@pytest.mark.niveau("intermediary")
def test_r34_service_accounts_have_no_shell(facts: dict[str, Any], hostvars: dict[str, Any]) -> None:
    kept = ["root", *hostvars.get("hardening_shell_accounts", [])]
    found = [
        name
        for name, account in facts["accounts"].items()
        if account["uid"] < FIRST_PERSON and account["shell"] in SHELLS and name not in kept
    ]
    assert not found


@pytest.mark.niveau("intermediary")
def test_r35_nobody_shares_an_account(facts: dict[str, Any]) -> None:
    numbers = Counter(account["uid"] for account in facts["accounts"].values())
    assert not [number for number, times in numbers.items() if times > 1]
    groups = Counter(group["gid"] for group in facts["groups"].values())
    assert not [number for number, times in groups.items() if times > 1]
    assert not {"nobody", "daemon", "bin"} & set(facts["processes"])  # accounts of no service in particular


@pytest.mark.niveau("enhanced")
def test_r36_files_of_a_session_are_private(host: Host) -> None:
    assert host.check_output(SESSION).split("\n")[0] == "0077"


@pytest.mark.niveau("intermediary")
def test_r50_homes_are_closed_to_others(facts: dict[str, Any]) -> None:
    assert not {path: oct(home["mode"]) for path, home in facts["homes"].items() if home["mode"] & 0o027}
