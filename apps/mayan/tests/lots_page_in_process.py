"""The page that opens a PC's program, for a browser that its caller drives (`test_mayan`).

It says its address on standard output, and reads: the address that the page opens, then a line for each document,
`right` or `wrong`, whose key it plays; it answers each.
"""

from __future__ import annotations

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import lots_in_process
from django.contrib.staticfiles.testing import StaticLiveServerTestCase


def tell(text: str) -> None:
    print(text, flush=True)


class Page(StaticLiveServerTestCase):
    """Two dossiers that await the maire."""

    def test_as_who_drives_the_browser_asks(self) -> None:
        lots_in_process.Lots.to_sign()
        lots_in_process.Lots.to_sign()
        tell(self.live_server_url)
        program = lots_in_process.Program(sys.stdin.readline().strip())
        program.fetch()
        asked = program.certify()["a_signer"]
        tell(str(len(asked)))
        for one, line in zip(asked, sys.stdin, strict=False):
            data = one["attributs"] if line.strip() == "right" else asked[0]["attributs"]
            tell(str(program.send(one["dossier"], program.made(data))["etat"]))
        sys.stdin.read()


if __name__ == "__main__":
    lots_in_process.begin()
    unittest.main(verbosity=2)
