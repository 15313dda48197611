"""A browser for pages, in whichever folder they are tested."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from preuve_navigateur.chromium import Chromium

from testbed.patience import allowed
from testbed.shown import Ask


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    folder = tmp_path_factory.mktemp("navigateur")
    program = folder / "chromium"
    # In a container, root has no other sandbox than the machine's.
    program.write_text(f'#!/bin/sh\nexport HOME={folder}\nexec /usr/bin/chromium --no-sandbox --disable-gpu "$@"\n')
    program.chmod(0o755)
    with Chromium(program=str(program)) as chromium:
        yield chromium


@pytest.fixture
def opened(browser: Chromium) -> Iterator[Callable[..., Ask]]:
    """Opens a page, at a width; gives what asks the browser about it."""
    targets = []

    def show(path: Path, width: int, *, programs: bool = True) -> Ask:
        def call(method: str, **given: Any) -> Any:
            return browser._call(time.monotonic() + allowed(30), method, session, **given)

        target = browser._call(time.monotonic() + allowed(30), "Target.createTarget", url="about:blank")["targetId"]
        targets.append(target)
        session = browser._call(time.monotonic() + allowed(30), "Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500)
        call("Emulation.setScriptExecutionDisabled", value=not programs)
        call("Page.navigate", url=path.as_uri())

        def ask(script: str) -> Any:
            return call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

        end = time.monotonic() + allowed(30)
        while ask("document.readyState + document.location.protocol") != "completefile:":
            assert time.monotonic() < end, "la page ne s'est pas ouverte"
            time.sleep(0.05)
        return ask

    yield show
    for target in targets:
        browser._call(time.monotonic() + allowed(30), "Target.closeTarget", targetId=target)
