"""Clerks' PCs beside the lab, for the program that equips them: computers of a name and of files of their own, whose
person sees windows, types and presses.

Nothing of them stays: what they write is laid over this machine's files, in their own mount namespace, and goes with
them.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from testbed.browser import PATIENCE_MS
from testbed.patience import wait_for

LIBRARY = Path("/usr/lib/softhsm/libsofthsm2.so")
LONG = 600  # seconds, when the machine has much else to do
AGENT = "agent"  # account of who works there
TITLE = "Signature de documents"  # of the program's windows

# A computer: $1 an empty folder, $2 one that it shares with who tests, $3 its name; hosts(5) comes by its input.
_COMPUTER = r"""
set -eu
place=$1 shared=$2
mount -t tmpfs -o mode=0755 none "$place"
mkdir "$place/upper" "$place/work" "$place/root"
root=$place/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$place/upper,workdir=$place/work" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
for own in /root /home /run /srv /tmp; do
    mount -t tmpfs -o mode=0755 none "$root$own"
done
mkdir "$root/tmp/.X11-unix"
chmod 1777 "$root/tmp" "$root/tmp/.X11-unix"
mkdir -p "$root$shared"
mount --bind "$shared" "$root$shared"
hostname "$3"
cat >"$root/etc/hosts"
# Not chroot: in this namespace, what is here must be nowhere else, whenever and however it is entered.
cd "$root"
pivot_root . mnt
umount --lazy /mnt
useradd --create-home --shell /bin/sh agent
echo prêt
exec sleep infinity
"""


class Computer:
    """A computer of a name of its own: this machine's programs, whose files it changes for itself alone.

    Attributes:
        shared: folder that it has in common with who tests, at the same path.
        enter: what runs a command there, before it.
    """

    def __init__(self, shared: Path, enter: tuple[str, ...]) -> None:
        self.shared, self.enter = shared, enter

    def inside(self, path: str) -> Path:
        """Where a file of it is, for who tests."""
        return Path(f"/proc/{self.enter[2]}/root{path}")

    def command(self, *command: str | Path, account: str = AGENT, **environment: str) -> list[str]:
        """A command of an account's there; without a session, nor a language."""
        home = "/root" if account == "root" else f"/home/{account}"
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        own = {"HOME": home, "USER": account, "PATH": path, "LC_ALL": "C.UTF-8", **environment}
        become = ["setpriv", f"--reuid={account}", f"--regid={account}", "--init-groups"]
        return [*self.enter, *become, "env", "-i", *(f"{key}={text}" for key, text in own.items()), *map(str, command)]

    def run(self, *command: str | Path, account: str = AGENT, typed: str = "", **environment: str) -> str:
        """Run it to its end; what it says, whatever its code."""
        done = subprocess.run(
            self.command(*command, account=account, **environment), input=typed, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, check=False, timeout=LONG,
        )  # fmt: skip # one call
        return done.stdout


@contextmanager
def computer(name: str, shared: Path, hosts: Mapping[str, str]) -> Iterator[Computer]:
    """Switch a computer on; it goes off, with all that it wrote, at the end.

    Args:
        name: its own.
        shared: a folder.
        hosts: addresses, by names that it finds.
    """
    place = shared.parent / f"{shared.name}-{name}"
    place.mkdir()
    known = {"localhost": "127.0.0.1", name: "127.0.1.1", **hosts}
    lines = "".join(f"{address} {one}\n" for one, address in known.items())
    holder = subprocess.Popen(
        ["setpriv", "--pdeathsig=KILL", "unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child",
         "sh", "-c", _COMPUTER, "sh", str(place), str(shared), name],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip # one call
    assert holder.stdin and holder.stdout
    try:
        holder.stdin.write(lines)
        holder.stdin.close()
        assert holder.stdout.readline() == "prêt\n", f"{name} ne démarre pas"
        first = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text(encoding="ascii").split()[0]
        yield Computer(
            shared, ("nsenter", "--target", first, "--mount", "--uts", "--ipc", "--pid", "--root", "--wdns=/")
        )
    finally:
        holder.kill()
        holder.wait()
        place.rmdir()


# What a person presses to agree: in the browser, « Open » follows « Cancel »; under the list of what is to be signed,
# « Signer » follows « Ne pas signer », which follows the text.
OPEN, AGREE, ENTER = ("Tab", "Return"), ("Tab", "Tab", "Return"), ("Return",)


class Screen:
    """The screen of a computer, and who is before it.

    Attributes:
        display: its name, for X.
    """

    def __init__(self, pc: Computer, display: str) -> None:
        self._pc, self.display = pc, display
        self._answered: set[str] = set()  # processes whose window was: X gives the next one the same number

    def _do(self, *words: str) -> str:
        return self._pc.run("xdotool", *words, DISPLAY=self.display)

    def press(self, kind: str, name: str, keys: tuple[str, ...], typed: str = "") -> None:
        """Wait for a window, type into it, and press keys.

        Args:
            kind: by what it is found, of xdotool(1): ``name`` or ``class``.
            name: pattern.
        """

        def shown() -> tuple[str, str] | None:
            for window in self._do("search", "--onlyvisible", f"--{kind}", name).split():
                owner = self._do("getwindowpid", window).strip()
                if owner not in self._answered:
                    return window, owner
            return None

        found = wait_for(shown, f"une fenêtre {name}")
        assert found
        window, owner = found
        self._do("sleep", "1")  # it is there before it reads keys
        self._do("windowfocus", window)
        for words in ([("type", typed)] if typed else []) + [("key", key) for key in keys]:
            self._do("sleep", "0.3")
            self._do(*words)
        if kind == "name":
            self._answered.add(owner)

    def answer(self, keys: tuple[str, ...], typed: str = "") -> None:
        """Answer the next window of the program."""
        self.press("name", f"^{TITLE}$", keys, typed)

    @contextmanager
    def browser(self) -> Iterator[Page]:
        """Open Chromium, as the agent, with a window; gives its page."""
        profile = self._pc.shared / "navigateur"
        profile.mkdir(exist_ok=True)
        profile.chmod(0o777)
        program = self._pc.shared / "chromium"
        command = self._pc.command("/usr/bin/chromium", DISPLAY=self.display, GDK_BACKEND="x11")
        program.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n', encoding="utf-8")
        program.chmod(0o755)
        with sync_playwright() as driver:
            context = driver.chromium.launch_persistent_context(
                profile, executable_path=program, headless=False, locale="fr-FR",
                args=["--no-sandbox", "--disable-gpu"],  # in a container there is no other sandbox than the machine's
            )  # fmt: skip # one call
            try:
                context.set_default_timeout(PATIENCE_MS)
                yield context.pages[0]
            finally:
                context.close()


@contextmanager
def screen(pc: Computer) -> Iterator[Screen]:
    """Give a computer a screen that nobody sees."""
    command = pc.command("Xvfb", "-displayfd", "1", "-screen", "0", "1280x1024x24", "-nolisten", "tcp")
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout
    try:
        number = server.stdout.readline().strip()
        assert number, "Xvfb ne démarre pas"
        yield Screen(pc, f":{number}")
    finally:
        server.kill()
        server.wait()


def plug_in(pc: Computer, label: str, key: Path, certificate: Path, pin: str) -> None:
    """Plug a token in: SoftHSM2's, that the agent can use.

    Args:
        label: of the token.
        key, certificate: files of the shared folder: PKCS #8 in PEM, DER.
    """
    pc.run("sh", "-c", f"mkdir -p /var/lib/softhsm/tokens && chown -R {AGENT} /var/lib/softhsm && chmod -R a+rX "
           "/etc/softhsm", account="root")  # fmt: skip # one call
    pc.run("softhsm2-util", "--init-token", "--free", "--label", label, "--pin", pin, "--so-pin", "0000")
    there = ("--token", label, "--pin", pin)
    pc.run("softhsm2-util", "--import", key, "--label", "cle", "--id", "01", *there)
    key.unlink()
    said = pc.run(
        "pkcs11-tool", "--module", LIBRARY, "--token-label", label, "--login", "--pin", pin, "--write-object",
        certificate, "--type", "cert", "--id", "01", "--label", "cert",
    )  # fmt: skip # one call
    assert "Created certificate" in said, said
