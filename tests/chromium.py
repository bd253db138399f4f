"""A headless Chromium, controlled over a pipe with the DevTools protocol."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager, suppress

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run")
# The protocol uses the file descriptors 3 and 4, which subprocess cannot pass on by number.
LAUNCH = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(word), fcntl.F_DUPFD, 10) for word in sys.argv[1:3]]
for number, end in enumerate(ends, 3):
    os.dup2(end, number)
os.execv(sys.argv[3], sys.argv[3:])
"""


def find_chromium():
    found = [os.environ.get("SOD_CHROMIUM"), *map(shutil.which, NAMES)]
    return next((path for path in found if path), None)


class Page:
    """One page; records console messages and errors."""

    def __init__(self, to_browser, from_browser):
        self._to, self._from, self._ids = to_browser, from_browser, itertools.count(1)
        self._session, self.complaints = None, []
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")

    def __call__(self, method, **params):
        number = next(self._ids)
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        self._to.flush()
        while (answer := self._next()).get("id") != number:
            self._note(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, place):
        """Open a file or a URL."""
        self("Page.navigate", url=place if isinstance(place, str) else place.resolve().as_uri())
        while (event := self._next()).get("method") != "Page.loadEventFired":
            self._note(event)

    def run(self, script):
        result = self("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def _next(self):
        data = bytearray()
        while (byte := self._from.read(1)) != b"\0":
            assert byte, "Chromium went away"
            data += byte
        return json.loads(data)

    def _note(self, event):
        method, params = event.get("method"), event.get("params", {})
        if method in ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"):
            self.complaints.append(params)
        elif method == "Network.requestWillBeSent":
            url = params["request"]["url"]
            if not url.startswith(("file:", "data:", "about:")):
                self.complaints.append(url)


@contextmanager
def chromium_page(profile):
    """Open an empty page; skips the test where there is no Chromium."""
    program = find_chromium()
    if program is None or os.name != "posix":
        pytest.skip("no Chromium on this machine (SOD_CHROMIUM names one)")
    command_in, command_out = os.pipe()
    answer_in, answer_out = os.pipe()
    words = [program, *FLAGS, f"--user-data-dir={profile}"]
    browser = subprocess.Popen(
        [sys.executable, "-c", LAUNCH, str(command_in), str(answer_out), *words],
        pass_fds=(command_in, answer_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(command_in)
    os.close(answer_out)
    with os.fdopen(command_out, "wb") as to_browser, os.fdopen(answer_in, "rb") as from_browser:
        try:
            yield Page(to_browser, from_browser)
        finally:
            with suppress(BrokenPipeError):
                to_browser.write(json.dumps({"id": 0, "method": "Browser.close"}).encode() + b"\0")
                to_browser.flush()
            try:
                browser.wait(timeout=20)
            except subprocess.TimeoutExpired:
                browser.kill()
                browser.wait()
