"""A headless Chromium, driven over its DevTools pipe: no port, no driver program, no package beside Python.

Protocol: JSON messages that end in a NUL byte, to the browser on its descriptor 3, from it on 4
(https://chromedevtools.github.io/devtools-protocol/).
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING, Any

import optional_programs

if TYPE_CHECKING:
    from pathlib import Path

MISSING = "no Chromium found: install the package chromium (apt-get install chromium)"
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-sync",
    "--disable-component-update", "--disable-background-networking", "--disable-dev-shm-usage",
    "--force-color-profile=srgb", "--remote-debugging-pipe",
]  # fmt: skip
TIMEOUT_S = 30.0


class BrowserError(RuntimeError):
    """The browser is missing, went away or refused a command."""


def find_chromium() -> str:
    """The path of the browser; raises ``BrowserError`` naming the package to install."""
    path = optional_programs.find("chromium")
    if not path:
        raise BrowserError(MISSING)
    return path


class Browser:
    """One Chromium with a fresh profile; a context manager that ends it."""

    def __init__(self) -> None:
        """Start the browser. Raises ``BrowserError``."""
        program = find_chromium()
        self._profile = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (theirs_in, theirs_out)]

        def place() -> None:
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)

        self._process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={self._profile.name}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            pass_fds=(3, 4), preexec_fn=place,
        )  # fmt: skip
        for end in (theirs_in, theirs_out, *ends):
            os.close(end)
        self._number, self._rest = 0, b""
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(BrowserError, OSError):
            self.call("Browser.close")
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)
        os.close(self._out)
        self._profile.cleanup()

    def call(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        """Send a command and wait for its answer; events that come before it are kept."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            answer = self._receive(deadline)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']['message']}")
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def wait_for(self, method: str, session: str) -> dict[str, Any]:
        """The first event ``method`` of ``session``, kept or still to come."""
        deadline = time.monotonic() + TIMEOUT_S
        seen = 0
        while True:
            for event in self.events[seen:]:
                if event.get("method") == method and event.get("sessionId") == session:
                    return event
            seen = len(self.events)
            self.events.append(self._receive(deadline))

    def _receive(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))
            chunk = os.read(self._in, 1 << 16) if ready else b""
            if not chunk:
                raise BrowserError("the browser does not answer" if not ready else "the browser went away")
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def open(self, path: Path | str, *, width: int = 1280, height: int = 900, dark: bool = False) -> Page:
        """A page with a local file or, if ``path`` is a text, of a server, loaded; ``width`` in CSS pixels."""
        return Page(self, path if isinstance(path, str) else path.resolve().as_uri(), width, height, dark)


class Page:
    """One tab. ``problems()``: what the console said, and requests for what is not this page."""

    def __init__(self, browser: Browser, url: str, width: int, height: int, dark: bool) -> None:
        self._browser, self._width, self._url = browser, width, url
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self._size(height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=url)
        browser.wait_for("Page.loadEventFired", self._session)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """A DevTools command of this tab."""
        return self._browser.call(method, self._session, **params)

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression; raises ``BrowserError`` with what it threw."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserError(json.dumps(answer["exceptionDetails"])[:500])
        return answer["result"].get("value")

    def problems(self) -> list[str]:
        """Console messages, exceptions, and requests for anything but files, data and the page's own server."""
        self.evaluate("1")  # whatever was on its way has arrived now
        found = []
        for event in self._browser.events:
            if event.get("sessionId") != self._session:
                continue
            params = event.get("params", {})
            if event["method"] in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
                found.append(f"{event['method']}: {json.dumps(params)[:300]}")
            if event["method"] == "Network.requestWillBeSent":
                url = params["request"]["url"]
                if not url.startswith(("file:", "data:", "about:", *([self._url] if self._url[:4] == "http" else []))):
                    found.append(f"request: {url}")
        return found

    def press(self, key: str) -> None:
        """A key of the keyboard, for what has the focus."""
        text = {"Enter": "\r", " ": " "}.get(key, "")
        code = {"Enter": 13, " ": 32, "Tab": 9}.get(key, 0)
        common = {"key": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def click(self, selector: str) -> None:
        """The left mouse button in the middle of an element."""
        box = self.evaluate(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            " e.scrollIntoView({block: 'center'});"
            " const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        place = {"x": box[0], "y": box[1], "button": "left", "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type="mousePressed", **place)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", **place)

    def screenshot(self, path: Path, *, height: int | None = None, selector: str = "body") -> Path:
        """A PNG of the page from the top of ``selector``, ``height`` pixels of it or all."""
        self.call("Page.bringToFront")  # one in the background is not painted
        self._size(int(self.evaluate("document.documentElement.scrollHeight")))
        top = float(self.evaluate(f"document.querySelector({json.dumps(selector)}).getBoundingClientRect().top"))
        full = float(self.evaluate("document.documentElement.scrollHeight"))
        clip = {"x": 0, "y": top, "width": self._width, "height": min(full - top, height or full), "scale": 1}
        data = self.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)["data"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(data))
        return path

    def _size(self, height: int) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=self._width, height=height, deviceScaleFactor=1, mobile=False
        )
