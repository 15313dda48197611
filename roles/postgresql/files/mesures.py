#!/usr/bin/python3 -I
"""Leaves how this machine's PostgreSQL is, for Prometheus: what Debian's exporter for it would tell, without a daemon.

Run as postgres after each look at the machine (role base): a server that does not answer is a figure as well.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FIGURES = Path("/var/lib/creatic/metrics/postgresql.prom")
# Its documentation, "The Cumulative Statistics System" and "Preventing Transaction ID Wraparound Failures".
_STATISTICS_QUERY = """\
SELECT json_build_object(
  'connections', (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
  'connections_max', current_setting('max_connections')::int,
  'oldest_transaction_seconds', (SELECT coalesce(extract(epoch FROM max(now() - xact_start)), 0)
    FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()),
  'frozen_age', (SELECT max(age(datfrozenxid)) FROM pg_database),
  'archive_failing', (SELECT (current_setting('archive_mode') <> 'off'
    AND last_failed_time > coalesce(last_archived_time, '-infinity'))::int FROM pg_stat_archiver),
  'archived_timestamp_seconds', (SELECT coalesce(extract(epoch FROM last_archived_time), 0) FROM pg_stat_archiver),
  'bytes', (SELECT json_object_agg(datname, pg_database_size(oid)) FROM pg_database WHERE NOT datistemplate))
"""
_METRIC_HELP = {
    "up": "1 when the server answers.",
    "connections": "Connections of clients.",
    "connections_max": "Connections at most.",
    "oldest_transaction_seconds": "Age of the oldest transaction that is open.",
    "frozen_age": "Transactions since VACUUM froze the oldest one.",
    "archive_failing": "1 while what is written does not go to the repository of backups.",
    "archived_timestamp_seconds": "When something last went there, 0 when nothing did.",
    "bytes": "Size of each database.",
}


def query_server(*where: str) -> dict[str, Any] | None:
    """What the server says; None when it does not answer.

    Args:
        where: options of psql(1) that say which server.
    """
    command = [
        "psql",
        "-XAtq",
        "-v",
        "ON_ERROR_STOP=1",
        *where,
        "-c",
        "SET statement_timeout = '30s'",
        "-c",
        _STATISTICS_QUERY,
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        found = json.loads(done.stdout) if done.returncode == 0 else None
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return found if isinstance(found, dict) else None


def text(found: dict[str, Any] | None) -> str:
    """The figures, in Prometheus' text format (0.0.4)."""
    return "".join(_metric_lines({"up": 0} if found is None else {"up": 1, **found}))


def _metric_lines(found: dict[str, Any]) -> Iterator[str]:
    for key, value in found.items():
        name = f"creatic_postgresql_{key}"
        yield f"# HELP {name} {_METRIC_HELP[key]}\n# TYPE {name} gauge\n"
        if isinstance(value, dict):  # databases are named as the accounts of their roles
            yield from (
                f'{name}{{base="{base}"}} {size}\n' for base, size in sorted(value.items()) if base.isidentifier()
            )
        else:
            yield f"{name} {float(value or 0):.10g}\n"


def main(figures: Path = FIGURES) -> None:
    """Replace the file of figures at once."""
    beside = figures.with_name(f".{figures.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644), "w") as stream:
            stream.write(text(query_server("-h", "/run/postgresql", "-d", "postgres")))
        beside.replace(figures)
    finally:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
