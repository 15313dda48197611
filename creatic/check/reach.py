# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Runs on a machine, by its Python alone: which of the places given on the input (JSON) a TCP connection reaches.

Says, for each ``[address, port]``, "" when something answers, else the name of the error (errno) or "ETIMEDOUT".
"""

from __future__ import annotations

import errno
import json
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

CONNECT_TIMEOUT_SECONDS = 5.0
"""Seconds that a machine has to answer."""


def reach(place: tuple[str, int]) -> str:
    """Try one place; "" when it answers."""
    try:
        with socket.create_connection(place, CONNECT_TIMEOUT_SECONDS):
            return ""
    except TimeoutError:
        return "ETIMEDOUT"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "EIO")


if __name__ == "__main__":
    with ThreadPoolExecutor(32) as threads:
        print(json.dumps([*threads.map(reach, [(str(one[0]), int(one[1])) for one in json.load(sys.stdin)])]))
