"""Chromium without a window, told what to do over its DevTools protocol."""

import contextlib
import itertools
import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

START_S = 30.0
CALL_S = 30.0
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-extensions",
    "--no-first-run",
    "--no-proxy-server",
    "--remote-debugging-port=0",
)


class Page:
    """One page of a browser."""

    def __init__(self, devtools: ClientConnection) -> None:
        self._devtools = devtools
        self._numbers = itertools.count(1)
        self._session: dict[str, str] = {}
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        self._call("Page.enable")

    def open(self, url: str) -> None:
        """Go to `url`, and return when all that it names has been loaded."""
        told = self._call("Page.navigate", url=url)
        assert "errorText" not in told, told
        while self._hear().get("method") != "Page.loadEventFired":
            pass

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; of a promise, what it resolves to."""
        told = self._call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"]["value"]

    def _call(self, method: str, **params: object) -> dict[str, Any]:
        number = next(self._numbers)
        self._devtools.send(json.dumps({"id": number, "method": method, "params": params, **self._session}))
        while (heard := self._hear()).get("id") != number:
            pass
        assert "result" in heard, heard
        return heard["result"]

    def _hear(self) -> dict[str, Any]:
        return json.loads(self._devtools.recv(timeout=CALL_S))


@contextlib.contextmanager
def page(path: str, profile: Path) -> Iterator[Page]:
    """A page of a browser of its own, which ends afterwards.

    Args:
        path: The browser.
        profile: A directory for what it keeps.
    """
    environment = {**os.environ, "HOME": str(profile)}
    command = [path, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
    browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)
    impatience = threading.Timer(START_S, browser.kill)
    impatience.start()
    try:
        said = []
        assert browser.stderr is not None
        for line in browser.stderr:
            said.append(line)
            if address := re.search(r"DevTools listening on (ws://\S+)", line):
                break
        else:
            raise AssertionError(f"the browser did not start: {''.join(said)}")
        impatience.cancel()
        with connect(address[1], max_size=None, proxy=None) as devtools:
            yield Page(devtools)
    finally:
        impatience.cancel()
        browser.kill()
        browser.wait()
        browser.stderr.close()
