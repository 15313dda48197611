# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""A Python application as one bundle: the environment of a lock file and what it fetches elsewhere, made once.

The control node makes the environment, compiled (it alone reaches an index); a host unpacks it where it was made for.
The name of an environment is the digest of all that decided its content: a change of the lock is another environment.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.cdg59.creatic.plugins.module_utils.durable import write
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError

PYTHON = "/usr/bin/python3.13"
FILE_MTIME_SECONDS = 315532800  # of our own files, 1980: Zope does not serve a file without a date
DONE = ".complet"
_VENV_COMMAND_TIMEOUT_SECONDS = 1800  # seconds, of one command
_MAX_PARALLEL_DOWNLOADS = 4  # at once: most of the time is an index's answer
# Compiled as of where it will be. Some packages hold files for other Pythons: what does not compile is left out.
_COMPILE = """
import compileall, py_compile, sys
compileall.compile_dir(sys.argv[1], maxlevels=99, quiet=2, workers=0, stripdir=sys.argv[1], prependdir=sys.argv[2],
                       invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
"""
# All that the code of packages gets of this process's environment, while it is built or installed: where to look
# for programs and packages, and how to reach the index. Passphrases are there too, under any name.
_PASSED = re.compile(
    r"PATH|HOME|USER|LOGNAME|TMPDIR|TZ|LANG|LANGUAGE|LC_\w+|XDG_(?:CACHE|CONFIG|DATA)_HOME"
    r"|(?i:https?_proxy|no_proxy|all_proxy)|(?:PIP|UV)_\w+|(?i:npm_config)_\w+"
    r"|SSL_CERT_(?:FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|NODE_EXTRA_CA_CERTS"
)
# What pip, uv and an application's own fetcher say of an index or a registry, from the most telling on.
_NETWORK: tuple[tuple[str, str, str], ...] = (
    (
        r"Failed to resolve '([^']+)'|host='([^']+)'[\s\S]*?(?:Name or service not known|name resolution)"
        r"|getaddrinfo \w+ (\S+)",
        "le nom {} ne se résout pas depuis le poste de commande",
        "corrigez son DNS, ou l'adresse que pip et npm connaissent (pip config, npm config)",
    ),
    (
        r"host='([^']+)'[\s\S]*?(?:CERTIFICATE_VERIFY_FAILED|certificate verify failed)",
        "le certificat de {} n'est pas d'une autorité que le poste de commande connaît",
        "donnez celle-ci à pip et npm (PIP_CERT, NODE_EXTRA_CA_CERTS)",
    ),
    (
        r"host='([^']+)'[\s\S]*?(?:Connection refused|timed out|unreachable|No route|Max retries)",
        "{} ne répond pas au poste de commande",
        "ouvrez-lui ce passage, ou donnez à pip et npm l'adresse d'un miroir",
    ),
    (
        r"\b(5\d\d|4\d\d) (?:Server|Client) Error:.* for url: \w+://([^/\s]+)",
        "{} répond par une erreur ({})",
        "attendez qu'il aille mieux, ou donnez à pip et npm l'adresse d'un miroir",
    ),
    (r"No space left on device", "le disque du poste de commande est plein", "faites-y de la place"),
)
_PACKAGE = re.compile(r"(?:.*/)?node_modules/(?:@[^/]+/)?[^/]+")


class LockedVenvError(CreaticError, cause="environnement_python"):
    """The environment cannot be made; the message (French) says what to do."""


@dataclass(frozen=True)
class Wanted:
    """What an environment is made of, and for where."""

    root: Path
    """Folder of the environments on the host."""
    requirements: Path
    """Lock file, with hashes."""
    build_requirements: Path
    """Lock file of what builds wheels and installs them: setuptools and uv."""
    assets_command: Sequence[str] = ()
    """Program of the environment, and its arguments, which fetches what is no Python package."""
    assets_lock: Path | None = None
    """Lines ``sha256  folder``: all that the command may bring. Folders are relative to site-packages."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Further files, by path relative to site-packages; there before the command runs."""
    replacements: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)
    """Texts of packages' files and what stands there instead, by path relative to site-packages."""

    @property
    def name(self) -> str:
        """Name of the environment: sixteen hexadecimal digits."""
        digest = hashlib.sha256(f"{PYTHON} {FILE_MTIME_SECONDS} {self.root} {_COMPILE}".encode())
        for lock in (self.requirements, self.build_requirements, self.assets_lock):
            digest.update(b"\0" + (lock.read_bytes() if lock else b""))
        digest.update("\0".join(self.assets_command).encode())
        for path, content in sorted(self.files.items()):
            digest.update(b"\0" + path.encode() + b"\0" + content)
        for path, pairs in sorted(self.replacements.items()):
            digest.update("\0".join((path, *(text for pair in pairs for text in pair))).encode())
        return digest.hexdigest()[:16]


# On the control node


def index() -> list[str]:
    """The index by which pip says that it goes, by its URL without a password; nothing when it asks none."""
    # With its defaults, pip's help shows what it is configured with.
    if re.search(r"\bno[-_]index='(?!0|false|no|off)", _run_pip("config", "list"), re.IGNORECASE):
        return []
    found = re.search(r"--index-url .*?\(default\s+(\S+?)\)", _run_pip("wheel", "--help"), re.DOTALL)
    return [found[1]] if found else []


def _run_pip(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pip", *arguments],
        env=build_environment() | {"COLUMNS": "400"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout


def npm_registry(variable: str) -> dict[str, str]:
    """The registry that npm is or would be configured with, in the variable by which the command takes it."""
    if not variable or variable in os.environ:
        return {variable: os.environ[variable]} if variable else {}
    npm = shutil.which("npm")
    if npm is None:  # a control node of production
        found = os.environ.get("NPM_CONFIG_REGISTRY", "")
        return {variable: found} if found else {}
    done = subprocess.run(
        [npm, "config", "get", "registry"],
        env=build_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return {variable: done.stdout.strip()} if done.returncode == 0 else {}


def bundle_path(wanted: Wanted, cache: Path) -> Path:
    """Where the cache has the bundle, once it is made."""
    return cache / f"{wanted.name}.tar"


def bundle(wanted: Wanted, cache: Path, environment: Mapping[str, str], sources: Sequence[str] = ()) -> Path:
    """Give the bundle, made now if the cache has none.

    Args:
        wanted: what it holds.
        cache: folder of bundles, shared by concurrent runs.
        environment: variables of the assets command, beside those that builds get (`build_environment`).
        sources: URLs that it is fetched from; a name of theirs that does not resolve is told before minutes of work.

    Raises:
        LockedVenvError: the index cannot be reached, or gives something else than what the lock files say.
    """
    cache.mkdir(parents=True, exist_ok=True)
    target = bundle_path(wanted, cache)
    with (cache / f".{wanted.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            resolved(sources)
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                _build_bundle(wanted, Path(folder), environment).replace(target)
    return target


def resolved(sources: Iterable[str]) -> None:
    """Check that the names of URLs resolve here, those apart that a proxy resolves.

    Raises:
        LockedVenvError: one does not.
    """
    for source in sources:
        url = urllib.parse.urlsplit(source)
        name = url.hostname or ""
        if not name or (url.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(name)):
            continue
        try:
            socket.getaddrinfo(name, None)
        except (OSError, UnicodeError):
            _pattern, reason, remedy = _NETWORK[0]
            raise LockedVenvError(f"{reason.format(name)}. À faire : {remedy}, puis relancez") from None


def explained(said: str) -> str:
    """Say in French why a program could fetch nothing (reason and fix); empty when its words are not known.

    Args:
        said: its output.
    """
    for pattern, reason, remedy in _NETWORK:
        if found := re.search(pattern, said, re.IGNORECASE):
            named = [one for one in reversed(found.groups()) if one]
            return f"{reason.format(*named)}. À faire : {remedy}, puis relancez"
    return ""


def _build_bundle(wanted: Wanted, folder: Path, environment: Mapping[str, str]) -> Path:
    tools, wheels, venv = folder / "tools", folder / "wheels", folder / "venv"
    _run_command([PYTHON, "-m", "venv", str(tools)])
    pip = [str(tools / "bin" / "python"), "-m", "pip"]
    _run_command([*pip, "install", "-q", "--no-deps", "--require-hashes", "--only-binary=:all:", "-r",
          str(wanted.build_requirements)])  # fmt: skip # a list by rows
    _fetch_wheels(pip, wanted.requirements, wheels)
    uv = str(tools / "bin" / "uv")
    cache = {"UV_CACHE_DIR": str(folder / "uv-cache")}  # beside the environment: files are then linked, not copied
    _run_command([uv, "venv", "-q", "--offline", "--relocatable", "--python", PYTHON, str(venv)], cache)
    _run_command([uv, "pip", "install", "-q", "--offline", "--no-deps", "--python", str(venv / "bin" / "python"),
          *map(str, sorted(wheels.glob("*.whl")))], cache)  # fmt: skip # a list by rows
    packages = _site_packages(venv)
    files = dict(wanted.files) | replaced(packages, wanted.replacements)
    _write_files(packages, files)
    if wanted.assets_command:
        before = set(_walk_files(packages))
        program, *arguments = wanted.assets_command
        _run_command([str(venv / "bin" / program), *arguments], {**environment, "PYTHONDONTWRITEBYTECODE": "1"})
        _check_assets(packages, sorted(set(_walk_files(packages)) - before), wanted.assets_lock)
    place = str(wanted.root / wanted.name / packages.relative_to(venv))
    _run_command([PYTHON, "-c", _COMPILE, str(packages), place])
    made = folder / "bundle.tar"
    # Whatever the umask: the environment holds no secret, and services of other accounts run it. The interpreter is a
    # link that the host makes itself.
    _run_command(["tar", "-C", str(venv), "--numeric-owner", "--owner=0", "--group=0", "--mode=u=rwX,go=rX",
          "--exclude=./bin/python", "-cf", str(made), "."])  # fmt: skip # a list by rows
    return made


def _fetch_wheels(pip: Sequence[str], requirements: Path, wheels: Path) -> None:
    """Bring the wheels of a lock file; what has none is built here by the locked setuptools."""
    entries = re.split(r"\n(?=[A-Za-z0-9])", re.sub(r"^\s*#.*\n", "", requirements.read_text("utf-8"), flags=re.M))
    wheels.mkdir()

    def fetch(rank: int) -> None:
        part = wheels.with_name(f"part{rank}.txt")
        part.write_text("\n".join(entries[rank::_MAX_PARALLEL_DOWNLOADS]), encoding="utf-8")
        if entries[rank::_MAX_PARALLEL_DOWNLOADS]:
            _run_command([*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "--require-hashes", "-r", str(part),
                  "-w", str(wheels)])  # fmt: skip # a list by rows

    with ThreadPoolExecutor(_MAX_PARALLEL_DOWNLOADS) as pool:
        list(pool.map(fetch, range(_MAX_PARALLEL_DOWNLOADS)))


def replaced(packages: Path, replacements: Mapping[str, Sequence[tuple[str, str]]]) -> dict[str, bytes]:
    """Give the files of packages in which texts are replaced.

    Raises:
        LockedVenvError: a text is not there exactly once: the package is another one than that which was read.
    """
    found = {}
    for path, pairs in replacements.items():
        file = packages / path
        content = file.read_text(encoding="utf-8") if file.exists() else ""
        for old, new in pairs:
            if content.count(old) != 1:
                raise LockedVenvError(
                    f"{path} : le texte « {old[:80]} » y est {content.count(old)} fois au lieu d'une. À faire : "
                    "relisez ce fichier dans la nouvelle version du paquet, puis corrigez ou retirez ce remplacement"
                )
            content = content.replace(old, new)
        found[path] = content.encode()
    return found


def assets_digests(packages: Path, paths: Sequence[str]) -> dict[str, str]:
    """Digest of each package among files, by its folder; a file of no package counts for itself."""
    found: dict[str, hashlib._Hash] = {}
    for path in sorted(paths):
        matched = _PACKAGE.match(path)
        digest = found.setdefault(matched[0] if matched else path, hashlib.sha256())
        content = hashlib.sha256((packages / path).read_bytes()).hexdigest()
        digest.update(f"{content}  {path}\n".encode())
    return {folder: digest.hexdigest() for folder, digest in found.items()}


def _check_assets(packages: Path, paths: Sequence[str], lock: Path | None) -> None:
    found = assets_digests(packages, paths)
    known = {}
    for line in (lock.read_text(encoding="utf-8") if lock else "").splitlines():
        digest, _blank, folder = line.partition("  ")
        known[folder] = digest
    if found != known:
        odd = sorted(folder for folder in found.keys() | known.keys() if found.get(folder) != known.get(folder))
        listed = "\n".join(f"{found[folder]}  {folder}" for folder in sorted(found))
        raise LockedVenvError(
            f"{lock.name if lock else 'assets_lock'} : le dépôt de paquets a donné autre chose que ce qui est "
            f"verrouillé ({', '.join(odd)}). À faire : vérifiez ce dépôt ; si le changement est voulu, relisez-le et "
            f"remplacez le contenu du fichier par :\n{listed}"
        )


# On the host


def is_installed(root: Path, name: str) -> bool:
    """Whether the environment is there, whole."""
    return (root / name / DONE).exists()


def install(root: Path, name: str, archive: Path) -> None:
    """Unpack a bundle into its environment; one that an interrupted run left unfinished is made again.

    Raises:
        LockedVenvError: the bundle is damaged, or the disk is full.
    """
    venv = root / name
    shutil.rmtree(venv, ignore_errors=True)
    root.mkdir(mode=0o755, parents=True, exist_ok=True)
    venv.mkdir(mode=0o755)
    try:
        _run_command(["tar", "-C", str(venv), "--no-same-owner", "-xpf", str(archive)])
        (venv / "bin" / "python").symlink_to(PYTHON)
    except (OSError, LockedVenvError) as error:
        shutil.rmtree(venv, ignore_errors=True)
        raise LockedVenvError(
            f"le paquet de l'application ne se déballe pas ({error}). À faire : vérifiez la place sur {root}, puis "
            "relancez ; s'il est abîmé, supprimez-le du cache du poste de commande"
        ) from None
    write(venv / DONE, b"", None)


def remove_others(root: Path, kept: Sequence[str]) -> list[str]:
    """Remove environments that are not to be kept; gives their names."""
    gone = [
        path for path in sorted(root.glob("*/")) if path.name not in kept and re.fullmatch("[0-9a-f]{16}", path.name)
    ]
    for path in gone:
        shutil.rmtree(path)
    return [path.name for path in gone]


def _site_packages(venv: Path) -> Path:
    return next(venv.glob("lib/python3.*/site-packages"))


def _walk_files(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield str(path.relative_to(folder))


def _write_files(packages: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        path = packages / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # it may be a link to uv's own copy
        path.write_bytes(content)
        os.utime(path, (FILE_MTIME_SECONDS, FILE_MTIME_SECONDS))


def build_environment(given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What of an environment is for programs that run others' code."""
    return {name: value for name, value in given.items() if _PASSED.fullmatch(name)}


def _run_command(command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    variables = build_environment() | dict(environment or {})
    try:
        done = subprocess.run(
            command,
            env=variables,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_VENV_COMMAND_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LockedVenvError(f"{Path(command[0]).name} : {error}") from None
    if done.returncode:
        if why := explained(done.stderr + done.stdout):
            raise LockedVenvError(why)
        last = "\n".join((done.stderr or done.stdout).strip().splitlines()[-8:])
        raise LockedVenvError(
            f"{Path(command[0]).name} {' '.join(command[1:4])} a échoué :\n{last}\nÀ faire : vérifiez la place sur le "
            "disque et, au poste de commande, l'index de paquets configuré (pip, npm), puis relancez"
        )
