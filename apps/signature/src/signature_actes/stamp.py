"""RFC 3161 timestamps by the groupement's own unit (openssl). A qualified authority is pyHanko's HTTPTimeStamper."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import tempfile
from pathlib import Path

from asn1crypto import tsp
from pyhanko.sign.timestamps import TimeStamper, TimestampRequestError

POLICY = "1.3.6.1.4.1.59999.59.2.1"
"""Policy of the groupement's own timestamping unit (collection's evidence_seal.py)."""


class LocalUnit(TimeStamper):
    """The groupement's own timestamping unit.

    Args:
        folder: its certificate of profile C(tsa), as role pki_client lays it out (key.pem, cert.pem, chain.pem).
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    async def async_request_tsa_response(self, req: tsp.TimeStampReq) -> tsp.TimeStampResp:
        return tsp.TimeStampResp.load(await asyncio.to_thread(self._answer, req.dump()))

    def _answer(self, query: bytes) -> bytes:
        unit = self._folder
        with tempfile.TemporaryDirectory() as name:
            scratch = Path(name)
            (scratch / "query.tsq").write_bytes(query)
            (scratch / "serial").write_text(f"{secrets.randbits(120) | 1 << 120:032X}\n", encoding="ascii")
            (scratch / "tsa.cnf").write_text(
                f"[tsa]\ndefault_tsa = unit\n[unit]\nserial = {scratch / 'serial'}\ncrypto_device = builtin\n"
                f"signer_digest = sha256\ndefault_policy = {POLICY}\ndigests = sha256, sha512\n"
                "accuracy = secs:1\nordering = no\ntsa_name = no\n"
                "ess_cert_id_chain = no\ness_cert_id_alg = sha256\n",
                encoding="utf-8",
            )
            done = subprocess.run(
                ["openssl", "ts", "-reply", "-config", scratch / "tsa.cnf", "-queryfile", scratch / "query.tsq",
                 "-signer", unit / "cert.pem", "-inkey", unit / "key.pem", "-chain", unit / "chain.pem",
                 "-out", scratch / "answer.tsr"],
                capture_output=True, text=True, errors="replace", check=False, env=os.environ | {"LC_ALL": "C"},
            )  # fmt: skip # one call by its parts
            if done.returncode:
                last = (done.stderr.strip().splitlines() or ["openssl n'a pas dit pourquoi"])[-1]
                raise TimestampRequestError(f"l'unité d'horodatage {unit} ne répond pas ({last})")
            return (scratch / "answer.tsr").read_bytes()
