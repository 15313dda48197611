"""The WORM policy as a filter of Swift's proxy, placed just before ``keymaster encryption proxy-logging proxy-server``.

There it also sees what the other middlewares ask for on their own (copies). proxy-server.conf::

    [filter:sae_worm]
    paste.filter_factory = sae_worm.middleware:filter_factory
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from http.client import HTTPException as ClientError
from typing import Any
from urllib.parse import parse_qsl

from eventlet import Timeout
from swift.common.bufferedhttp import http_connect_raw
from swift.common.ring import Ring
from swift.common.swob import HTTPException, wsgi_quote
from swift.common.swob import Request as SwiftRequest
from swift.common.utils import get_logger
from swift.common.wsgi import make_pre_authed_request

from sae_worm.body import Body
from sae_worm.policy import TRANSFERS, Answer, Head, Request, Room, entering, judge

_CLOCK_TIMEOUT_S = 2.0


class Worm:
    """WSGI filter; thin: `sae_worm.policy` decides."""

    def __init__(self, app: Callable[..., Any], conf: dict[str, str]) -> None:
        self.app = app
        self.logger = get_logger(conf, log_route="sae-worm")
        self.ring = Ring(conf.get("swift_dir", "/etc/swift"), ring_name="object")

    def __call__(self, env: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = SwiftRequest(env)
        try:
            _, account, container, name = request.split_path(1, 4, True)
        except ValueError:
            return self.app(env, start_response)  # not an address of Swift's: the proxy refuses it
        asked = Request(
            request.method,
            account or "",
            container or "",
            name or "",
            {key.lower(): value for key, value in request.headers.items()},
            frozenset(key for key, _ in parse_qsl(request.query_string or "", keep_blank_values=True)),
        )
        path = request.path_info
        base = path.split("/", 4)
        transfers = "/".join(["", base[1], *TRANSFERS])
        room = Room(
            container=lambda: self._head(env, "/".join(base[:4])),
            object=lambda: self._head(env, path),
            transfer=lambda: (
                self._head(env, transfers),
                self._head(env, "/".join([transfers, *base[2:]])),
            ),
            clocks=self._clocks,
        )
        verdict = judge(asked, room)
        if isinstance(verdict, Answer):
            return self._refusal(env, request, verdict)(env, start_response)

        def look() -> None:
            if answer := entering(room):
                raise self._refusal(env, request, answer)

        if verdict.enters:
            # A body in chunks ends with its last one, whatever length is told beside.
            length = None if "Transfer-Encoding" in request.headers else request.content_length
            env["wsgi.input"] = Body(env["wsgi.input"], length, look)
        for key, value in verdict.headers.items():
            request.headers[key] = value
        return self.app(env, start_response)

    def _refusal(self, env: dict[str, Any], request: SwiftRequest, verdict: Answer) -> HTTPException:
        if verdict.refused:
            self.logger.warning(
                "WORM %(status)d %(method)s %(path)s (%(user)s, %(txn)s): %(message)s",
                {
                    "status": verdict.status,
                    "method": request.method,
                    "path": request.path,
                    "user": env.get("REMOTE_USER") or "-",
                    "txn": env.get("swift.trans_id", "-"),
                    "message": verdict.message,
                },
            )
        body = f"{verdict.message}\n".encode() if verdict.message else b""
        return HTTPException(status=verdict.status, body=body, content_type="text/plain; charset=utf-8")

    def _head(self, env: dict[str, Any], path: str) -> Head:
        """HEAD in Swift itself: no cache, the newest replica, whoever asks."""
        request = make_pre_authed_request(
            env, "HEAD", wsgi_quote(path), headers={"X-Newest": "true"}, agent="%(orig)s WORM", swift_source="WORM"
        )
        response = request.get_response(self.app)
        return Head(response.status_int, {key.lower(): value for key, value in response.headers.items()})

    def _clocks(self) -> list[float | None]:
        servers = sorted({(dev["ip"], dev["port"]) for dev in self.ring.devs if dev})
        return [_clock(ip, port) for ip, port in servers]


def _clock(ip: str, port: int) -> float | None:
    """What time a node says it is; None when it does not say."""
    with Timeout(_CLOCK_TIMEOUT_S, False):
        try:
            response = http_connect_raw(ip, port, "GET", "/recon/time").getresponse()
            return float(json.loads(response.read()))
        except (OSError, ValueError, TypeError, ClientError):
            return None
    return None


def filter_factory(global_conf: dict[str, str], **local_conf: str) -> Callable[[Callable[..., Any]], Worm]:
    """Entry point of paste.deploy."""
    conf = global_conf | local_conf
    return lambda app: Worm(app, conf)
