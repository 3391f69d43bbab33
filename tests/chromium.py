"""A real Chromium by its own protocol: enough to open a page, ask it things, and hear every request and complaint."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--no-default-browser-check", "--disable-extensions", "--remote-debugging-port=0",
)  # fmt: skip

READY = """new Promise(done => {
  const look = () => !document.getElementById("data") || window.harnessReport ? done(1) : setTimeout(look, 10);
  look();
})"""


def executable() -> str | None:
    """Debian's chromium, or what HARNESS_CHROMIUM names."""
    return os.environ.get("HARNESS_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


class Browser:
    """One headless browser with one tab. `events` holds everything that the page did since it was opened."""

    def __init__(self) -> None:
        found = executable()
        assert found, "no chromium"
        self.held = contextlib.ExitStack()
        try:
            self._start(found)
        except BaseException:
            self.held.close()
            raise

    def _start(self, found: str) -> None:
        folder = self.held.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        command = [found, *FLAGS, f"--user-data-dir={folder}", "about:blank"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.held.callback(self._end)
        port_file = Path(folder) / "DevToolsActivePort"
        deadline = time.monotonic() + 60
        while not (port_file.exists() and port_file.read_text().count("\n")):
            assert time.monotonic() < deadline, "chromium did not start"
            time.sleep(0.05)
        port, path = port_file.read_text().split("\n")[:2]
        from websockets.sync.client import connect

        address = f"ws://127.0.0.1:{port}{path}"
        self.socket = self.held.enter_context(connect(address, max_size=None, compression=None, proxy=None))
        self.events: list[dict[str, Any]] = []
        self.count, self.session = 0, ""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> Any:
        """Call a method of the protocol and wait for its result."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": params}
        self.socket.send(json.dumps(message | ({"sessionId": self.session} if self.session else {})))
        while True:
            answer = json.loads(self.socket.recv(timeout=120))
            if answer.get("id") == self.count:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.events.append(answer)

    def open(self, page: Path | str, *, scripts: bool = True, dark: bool = False, width: int = 1280) -> None:
        """Open a file at a width, and wait until it is loaded and its own scripts are done."""
        self.send("Emulation.setScriptExecutionDisabled", value=not scripts)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.send("Emulation.setDeviceMetricsOverride", **size)
        url = page if isinstance(page, str) else page.resolve().as_uri()
        for address in ("about:blank", url):
            self.events.clear()
            self.send("Page.navigate", url=address)
            self.wait("Page.loadEventFired")
        if scripts:
            self.ask(READY)

    def wait(self, method: str) -> None:
        """Wait for an event."""
        while not any(e.get("method") == method for e in self.events):
            self.events.append(json.loads(self.socket.recv(timeout=60)))

    def ask(self, expression: str) -> Any:
        """The value of an expression in the page (of a promise: what it comes to)."""
        result = self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True, userGesture=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def key(self, name: str, code: int = 0, text: str = "") -> None:
        """Press a key."""
        for kind in ("keyDown", "keyUp"):
            extra = {"text": text} if text and kind == "keyDown" else {}
            self.send("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code, **extra)

    def requests(self) -> list[str]:
        """Every address that was asked for, but for the page itself."""
        urls = [e["params"]["request"]["url"] for e in self.events if e.get("method") == "Network.requestWillBeSent"]
        return urls[1:]

    def complaints(self) -> list[str]:
        """Console errors and warnings, exceptions, and what the browser logged (blocked by the policy, for one)."""
        found: list[str] = []
        for event in self.events:
            params = event.get("params", {})
            if event.get("method") == "Runtime.exceptionThrown":
                found.append(str(params["exceptionDetails"])[:500])
            if event.get("method") == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                found.append(params["entry"]["text"])
            if event.get("method") == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
                found.append(str(params["args"])[:500])
            if event.get("method") == "Page.javascriptDialogOpening":
                found.append("a dialog: " + params["message"])
        return found

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """A screenshot as PNG."""
        shot = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def pdf(self) -> bytes:
        """The page as it prints on A4."""
        made = self.send("Page.printToPDF", preferCSSPageSize=True, printBackground=False)
        return base64.b64decode(made["data"])

    def close(self) -> None:
        """End the browser."""
        self.held.close()

    def _end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def lacking(what: str) -> None:
    """Skip, or fail where CI says that it must be there."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is not there: see .ci/run")
    pytest.skip(f"{what} is not there: apt-get install chromium; npm install axe-core")
