"""Runs on the PC, as the clerk, from standard input: a real headless Firefox on the clerk's own profile visits the TdT.

Prints JSON {"seen": {"questions", "locked"}, "text"}. Firefox's own debugging
protocol (Marionette) is spoken by hand: Debian's firefox-esr needs no driver for it. A PIN which Firefox asks is
typed into its own dialog, as a clerk would.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from typing import Any

PORT = 2828
WANTED = "{}"  # the test puts what it wants here: {"url", "pin"}
ANSWER_PIN = """
const pin = arguments[0];
const asked = window.asked = [];  // the window outlives the scripts' own scopes
globalThis.typist = { observe(dialog) {
  asked.push(String(dialog.Dialog.args.text));
  const ui = dialog.Dialog.ui;
  if (ui.password1Textbox) ui.password1Textbox.value = pin;
  globalThis.later = Cc["@mozilla.org/timer;1"].createInstance(Ci.nsITimer);
  globalThis.later.initWithCallback(() => { ui.button0.disabled = false; ui.button0.click(); }, 300, 0);
} };
Services.obs.addObserver(globalThis.typist, "common-dialog-loaded");
"""


class Marionette:
    def __init__(self) -> None:
        deadline = time.monotonic() + 180  # a machine that is busy
        while True:
            try:
                self.socket = socket.create_connection(("127.0.0.1", PORT), timeout=180)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        self.reader = self.socket.makefile("rb")
        self.number = 0
        self.read()

    def read(self) -> Any:
        size = b""
        while (character := self.reader.read(1)) != b":":
            if not character:
                raise ConnectionError("Firefox stopped")
            size += character
        return json.loads(self.reader.read(int(size)))

    def call(self, command: str, **parameters: object) -> Any:
        self.number += 1
        data = json.dumps([0, self.number, command, parameters]).encode()
        self.socket.sendall(str(len(data)).encode() + b":" + data)
        while True:
            answer = self.read()
            if answer[1] == self.number:
                break
        if answer[2]:
            raise RuntimeError(f"{command}: {answer[2]['error']}: {answer[2]['message']}")
        return answer[3].get("value")


def visit(url: str, pin: str) -> dict[str, object]:
    browser = Marionette()
    browser.call("WebDriver:NewSession", capabilities={"alwaysMatch": {"pageLoadStrategy": "none"}})
    browser.call("Marionette:SetContext", value="chrome")
    browser.call("WebDriver:ExecuteScript", script=ANSWER_PIN, args=[pin], newSandbox=False)
    browser.call("Marionette:SetContext", value="content")
    browser.call("WebDriver:Navigate", url=url)
    text: object = ""
    deadline = time.monotonic() + 180
    while not text and time.monotonic() < deadline:
        time.sleep(0.3)
        with contextlib.suppress(RuntimeError):  # the page is still on its way
            script = "return location.href == 'about:blank' ? '' : document.body.innerText"
            text = browser.call("WebDriver:ExecuteScript", script=script)
    browser.call("Marionette:SetContext", value="chrome")
    script = (
        "const name = 'security.default_personal_cert';"
        "return {questions: window.asked,"
        " locked: Services.prefs.prefIsLocked(name) && Services.prefs.getStringPref(name)};"
    )
    seen = browser.call("WebDriver:ExecuteScript", script=script, newSandbox=False)
    return {"seen": seen, "text": text}


def main() -> None:
    wanted = json.loads(WANTED)
    process = subprocess.Popen(
        ["firefox-esr", "--headless", "--marionette", "--remote-allow-system-access", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        print(json.dumps(visit(wanted["url"], wanted["pin"])))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


if __name__ == "__main__":
    main()
