#!/usr/bin/env python3
"""Stands in for Chromium in unit tests: speaks its debugging pipe, and behaves as its name says (argv[0])."""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

CASE = Path(sys.argv[0]).name
DENIED = {"denies": "Page.enable", "blind": "Page.captureScreenshot"}
buffer = b""


def say(message: dict[str, Any]) -> None:
    os.write(4, json.dumps(message).encode() + b"\0")


def results(method: str) -> dict[str, Any] | None:
    if method == "Target.getTargets":
        return {"targetInfos": [{"type": "page", "targetId": "1"}]}
    if method == "Target.attachToTarget":
        return {"sessionId": "s"}
    if method == "Runtime.evaluate":
        return {"result": {"value": "Commune de Gondecourt\nSIREN 215 902 669"}}
    if method == "Page.captureScreenshot":
        return {"data": base64.b64encode(b"\x89PNG").decode()}
    if method == "Page.navigate":
        if CASE == "waits":
            return None
        if CASE == "refused":
            return {"errorText": "net::ERR_CONNECTION_REFUSED"}
    return {}


if CASE == "dies":
    sys.stderr.write("FATAL: no usable sandbox\n")
    sys.exit(1)
while data := os.read(3, 1 << 16):
    buffer += data
    while b"\0" in buffer:
        text, buffer = buffer.split(b"\0", 1)
        request = json.loads(text)
        result = results(request["method"])
        if request["method"].startswith("Target.") == ("sessionId" in request):  # a page is spoken to in its session
            say({"id": request["id"], "error": {"code": -32601, "message": "wasn't found"}})
            continue
        if request["method"] == "Page.navigate" and CASE in ("page", "blind", "local"):
            response = {"type": "Document", "response": {"status": 200, "url": request["params"]["url"]}}
            if CASE != "local":  # a page of nobody's server has no status
                say({"method": "Network.responseReceived", "params": response})
            say({"method": "Page.loadEventFired", "params": {}})
        if result is None:
            time.sleep(60)
        elif DENIED.get(CASE) == request["method"]:
            say({"id": request["id"], "error": {"code": -32000, "message": "Not allowed"}})
        else:
            say({"id": request["id"], "result": result})
