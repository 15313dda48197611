"""A commune with its connector, a test PKI made by the project's own, and the real simulator over TLS."""

from __future__ import annotations

import datetime as dt
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import yaml
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import Request, pem
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tdt_connector.agent import Agent
from tdt_connector.config import Config, Delays
from tdt_connector.drivers import connect
from tdt_connector.filing import FOLDERS
from tdt_connector.journal import Journal, Row, State
from tdt_connector.letters import received, take
from tdt_connector.proof import test_pdf as make_pdf
from tdt_simulator.testing import TdtServer, serve

from creatic.pki import x509 as pki_x509
from testbed import helios
from testbed.patience import wait_for

SIREN = "215902669"
POLICIES = "1.3.6.1.4.1.59999.59.1"
FAST = Delays(
    depot=0.02,
    stabilite=0.05,
    incomplet=0.6,
    sondage_min=0.03,
    sondage_max=0.1,
    rapprochement=0.05,
    reprise_max=0.1,
    http=5,
)
AUTHORITIES = [{"siren": SIREN, "nom": "Commune de Gondecourt", "departement": "059", "arrondissement": "5"}]


class Authority:
    """A root and an issuing CA, with what they sign in the layout of /etc/creatic/pki/<name>/current.

    Its keys are shorter than the groupement's own: each side of each connection verifies two of their signatures, and
    P-384 takes nine times as long. What is measured (`scripts/bench_*`) asks for that one.
    """

    def __init__(self, folder: Path, label: str, curve: ec.EllipticCurve | None = None) -> None:
        self.folder = folder
        self._settings = pki_x509.Settings("CDG59", label, POLICIES)
        self._root_key, self._key = (ec.generate_private_key(curve or ec.SECP256R1()) for _ in range(2))
        self.root = pki_x509.make_root(self._settings, self._root_key)
        self.issuing = pki_x509.make_issuing(self._settings, self._key.public_key(), "1", self.root, self._root_key)
        folder.mkdir()
        self.bundle = folder / "ca.pem"
        self.bundle.write_text(pem(self.root) + pem(self.issuing))

    def issue(self, name: str, profile: str = "client", days_ago: int = 0, **changes: Any) -> Path:
        """A certificate, as it would have been issued that many days ago (365 days of life)."""
        fields: dict[str, Any] = {"common_name": name, "organization": "Commune de Gondecourt", "siren": SIREN}
        if profile == "server":
            fields = {"common_name": "localhost", "dns": ("localhost",)}
        request = Request(name, profile, **{**fields, **changes})
        key = ec.generate_private_key(ec.SECP256R1())
        then = dt.datetime.now(dt.UTC) - dt.timedelta(days=days_ago)
        with mock.patch.object(pki_x509, "utc_now", lambda: then):
            leaf = pki_x509.make_leaf(self._settings, request, key.public_key(), self.issuing, self._key)
        return self._store(name, leaf, key, [self.issuing, self.root])

    def self_signed(self, name: str) -> Path:
        """A certificate that nobody vouches for."""
        key = ec.generate_private_key(ec.SECP384R1())
        return self._store(name, pki_x509.make_root(self._settings, key), key, [])

    def _store(
        self, name: str, leaf: x509.Certificate, key: ec.EllipticCurvePrivateKey, chain: list[x509.Certificate]
    ) -> Path:
        folder = self.folder / name
        folder.mkdir()
        pieces = "".join(map(pem, chain))
        (folder / "cert.pem").write_text(pem(leaf))
        (folder / "chain.pem").write_text(pieces)
        (folder / "fullchain.pem").write_text(pem(leaf) + pieces)
        plain = serialization.NoEncryption()
        (folder / "key.pem").write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        )
        return folder

    def crl(self, *revoked: Path) -> Path:
        """The CRLs of the root and of the issuing CA, with these certificates revoked."""
        now, reason = dt.datetime.now(dt.UTC), next(iter(pki_x509.REASONS))
        entries = [
            (x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes()).serial_number, now, reason)
            for folder in revoked
        ]
        path = self.folder / f"crl-{len(revoked)}.pem"
        path.write_text(
            pem(pki_x509.make_crl(self.root, self._root_key, 1, 30, []))
            + pem(pki_x509.make_crl(self.issuing, self._key, 1, 30, entries))
        )
        return path


@contextmanager
def platform(
    folder: Path, authority: Authority, certificate: Path | None = None, **options: Any
) -> Iterator[TdtServer]:
    """The simulator, with its own certificate or another."""
    own = certificate or authority.folder / "tdt"
    names = {"ca": authority.bundle, "cert": own / "fullchain.pem", "key": own / "key.pem"}
    with serve(folder, **{"authorities": AUTHORITIES, "delay": 0.02, **names, **options}) as server:
        yield server


class Commune:
    """A commune's connector: its folders, its journal, and the means to run or kill its agent."""

    def __init__(self, root: Path, url: str, authority: Authority, **changes: Any) -> None:
        self.root = root
        names = ["depot", "en_cours", "etat", "nomenclature", "lettres", "pes_retour", "conserves"]
        for name in {*names, *FOLDERS.values()}:
            (root / name).mkdir(parents=True)
        (root / "depot").chmod(0o2770)
        self.config = Config(
            url=url.replace("127.0.0.1", "localhost"),
            siren=SIREN,
            departement="059",
            certificat=authority.folder / "commune",
            autorites=authority.bundle,
            revocation=authority.folder / "crl-absente.pem",
            dossier=root,
            metriques=root / "metriques.prom",
            delais=FAST,
        )
        self.config = replace(self.config, **changes)

    # -- deposits -------------------------------------------------------------------------------------

    def write_config(self, path: Path) -> Path:
        """The configuration as the file which the real process reads."""
        settings = {
            "url": self.config.url,
            "siren": self.config.siren,
            "departement": "059",
            "dossier": str(self.root),
            "metriques": str(self.config.metriques),
            "certificat": str(self.config.certificat),
            "autorites": str(self.config.autorites),
            "delais": vars(FAST),
        }
        settings |= {"entite": self.config.entite} if self.config.entite else {}
        path.write_text(yaml.safe_dump(settings))
        return path

    def drop(self, number: str = "2026_001", *, pdf: Any = None, stem: Any = "", **fields: Any) -> str:
        """Drop an act as a clerk does; `fields` replaces lines of the description. Returns the number."""
        lines = {
            "numero": number,
            "objet": "Délibération n° 12 : école d’été",
            "date": "2026-01-15",
            "nature": "délibérations",
            "classification": '"7.5"',
            "type": "99_DE",
            **fields,
        }
        text = "".join(f"{name}: {value}\n" for name, value in lines.items() if value)
        stem = stem or number
        self.put(f"{stem}.pdf", make_pdf("Acte", number) if pdf is None else pdf)
        self.put(f"{stem}.yml", text.encode())
        return number

    def put(self, name: str, content: bytes) -> Path:
        """Write a file in depot/."""
        path = self.root / "depot" / name
        path.write_bytes(content)
        return path

    def drop_pes(self, name: str = "flux.xml", siret: str = f"{SIREN}00011", mark: str = "1") -> bytes:
        """Drop a PES, as the DGFiP takes them."""
        content = helios.flow(f"PES{mark}", siret, slips=("B1",))
        self.put(name, content)
        return content

    def take_letters(self) -> None:
        """A person takes every letter that was received."""
        with Journal(self.config.journal) as journal:
            for number, _folder in received(self.config):
                take(journal, number)

    # -- the agent ------------------------------------------------------------------------------------

    @contextmanager
    def agent(self, on_step: Callable[[str], None] = lambda step: None) -> Iterator[Agent]:
        """An agent as the service makes it."""
        driver, journal = connect(self.config, lambda: on_step("octets")), Journal(self.config.journal)
        try:
            yield Agent(self.config, journal, driver, on_step=on_step)
        finally:
            driver.close()
            journal.close()

    def run(
        self, until: Callable[[], bool] | None = None, timeout: float = 40, on_step: Callable[[str], None] | None = None
    ) -> None:
        """Let an agent work until nothing is left to do, or until `until` says so."""
        done = until or self.settled
        with self.agent(on_step or (lambda step: None)) as agent:

            def worked() -> bool:
                if done():
                    return True
                time.sleep(min(agent.cycle(), 0.05))
                return False

            wait_for(
                worked, lambda: f"l'agent au bout, {[(r.title, r.state, r.detail) for r in self.rows()]}", timeout, 0
            )

    def run_beyond(self, reached: Callable[[], bool], seconds: float = 0.3) -> None:
        """Let an agent work until something is so, then that long: what must not happen has the time to."""
        since: list[float] = []

        def over() -> bool:
            if not since and reached():
                since.append(time.monotonic())
            return bool(since) and time.monotonic() > since[0] + seconds

        self.run(until=over)

    def trouble(self) -> str:
        """Why the TdT cannot be spoken to, as the agent has noted it."""
        with Journal(self.config.journal) as journal:
            return str(journal.value("contact_erreur"))

    def introduce(self) -> None:
        """Let the agent meet the TdT: the nomenclature is there, acts can leave."""

        def known() -> bool:
            with Journal(self.config.journal) as journal:
                return bool(journal.value("nomenclature_confirmee"))

        self.run(until=known)

    def crash(
        self,
        step: str,
        nth: int = 1,
        after: str = "",
        timeout: float = 40,
        before: Callable[[], None] = lambda: None,
    ) -> bool:
        """Run an agent in a child that SIGKILLs itself at the nth time it hears `step` (once `after` was heard).

        `before` is called there just before.
        Returns False if the work ended before that. The child is a real process: nothing is cleaned up.
        """
        heard, armed = 0, not after

        def kill(name: str) -> None:
            nonlocal heard, armed
            armed = armed or name == after
            heard += armed and name == step
            if heard == nth:
                before()
                os.kill(os.getpid(), signal.SIGKILL)

        return self.child(lambda: self.run(timeout=timeout, on_step=kill)) == -signal.SIGKILL

    @staticmethod
    def child(work: Callable[[], None]) -> int:
        """Do `work` in a forked process; returns its exit code, negative for a signal."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            code = 70
            try:
                work()
                code = 0
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    # -- what came of it ------------------------------------------------------------------------------

    def rows(self) -> list[Row]:
        """The journal, oldest first."""
        with Journal(self.config.journal) as journal:
            return list(reversed(journal.recent(1000)))

    def row(self, number: str = "2026_001") -> Row:
        """The newest deposit of this number."""
        found = [row for row in self.rows() if row.number == number]
        assert found, f"no {number} in {[(row.ref, row.state, row.detail) for row in self.rows()]}"
        return found[-1]

    def settled(self) -> bool:
        """Nothing left in depot/ and every deposit in its last folder, or waiting for a person."""
        if any((self.root / "depot").iterdir()):
            return False
        return all(row.filed or row.state is State.TO_RECONCILE for row in self.rows())

    def folder(self, name: str) -> list[Path]:
        """What a folder holds."""
        return sorted((self.root / name).iterdir())

    def motive(self) -> str:
        """The reason given in the only folder of rejets/."""
        (folder,) = self.folder("rejets")
        return (folder / "motif.txt").read_text()
