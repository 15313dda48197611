#!/usr/bin/env python3
"""Measure the archive's journal: appending, sealing, verifying, with real fsync, real openssl timestamps.

Usage: scripts/bench_archive_journal.py [EVENTS]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP))

from testbed import apps

sys.path[:0] = apps.sources()

from sae.journal import Journal, timestamp
from sae.journal.export import export
from sae.journal.seal import Sealer, seal_of
from sae.journal.verify import make_proof, verify_folder, verify_proof
from sae.store import FileStore

from testbed.authority import Authority

DURABLE = 500  # events appended one by one, each on disk


def timed[T](what: str, count: int, work: Callable[[], T]) -> T:
    """Print how long it took, and each."""
    start, cpu = time.perf_counter(), time.process_time()
    result = work()
    spent = time.perf_counter() - start
    print(f"{what:<48} {spent:8.2f} s  {spent / count * 1000:8.3f} ms chacun  {time.process_time() - cpu:6.2f} s CPU")
    return result


def main() -> None:
    """Measure, on the disk of this folder."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory(dir=TOP / ".cache") as name:
        folder = Path(name)
        authority = Authority(folder / "pki", "de mesure")
        unit = authority.issue("Horodatage")
        store = FileStore(folder / "stockage")
        with Journal(folder / "journal.sqlite") as journal:

            def one(number: int) -> None:
                detail = {"sip_sha512": "a" * 128, "aip_sha512": "b" * 128, "octets": number, "fichiers": 3}
                journal.append(
                    "versement.accepte", account="gondecourt", aip=f"aip-{number}", outcome="succes", detail=detail
                )

            def many() -> None:
                with journal.transaction():
                    detail = {"aip_sha512": "b" * 128, "octets": 1, "fichiers": 3}
                    for number in range(count - DURABLE):
                        journal._write("versement.accepte", "gondecourt", f"aip-{number}", "succes", detail, None)

            def each() -> None:
                for number in range(DURABLE):
                    one(number)

            timed(f"{DURABLE} événements, chacun sur le disque", DURABLE, each)
            many()
            sealer = Sealer(journal, store, timestamp.local_unit(unit), authority.root)
            done = timed(f"scellement de {count} événements", count, sealer.run)
            print(f"  {done.made} sceaux")
            timed("export", count, lambda: export(journal, store, folder / "export"))
            report = timed(
                f"vérification de {count} événements", count, lambda: verify_folder(folder / "export", authority.root)
            )
            if report.faults or report.events < count:
                raise SystemExit(f"le journal mesuré n'est pas intact : {report.sentences()[:3]}")
            seal = seal_of(journal, count // 2)
            if seal is None:
                raise SystemExit("pas de sceau")
            proof = make_proof(next(journal.events(count // 2, count // 2)).line, seal)
            timed("vérification d'une preuve", 1, lambda: verify_proof(proof, authority.root))
            # What a year of quarters of an hour costs: one openssl a seal.
            many_seals = Sealer(journal, store, timestamp.local_unit(unit), authority.root, largest=1)
            for number in range(200):
                one(number)
            timed("200 sceaux d'un événement", 200, many_seals.run)


if __name__ == "__main__":
    main()
