"""The program ``sod ui`` in a process of its own, and requests to it."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from urllib.parse import urlencode

import pytest


class Server:
    """A running page; ``temporary`` is its folder for temporary files."""

    def __init__(self, process, temporary):
        self.process, self.temporary = process, temporary
        self.url = process.stdout.readline().strip()

    def ask(self, path, data=None, method=None, **headers):
        """Return status and body of the response; ``headers`` are those of the request."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=900) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def add(self, name, data):
        """Upload a file; returns its address."""
        code, body = self.ask(f"files?{urlencode({'name': name})}", data)
        assert code == 200, body
        return f"files/{json.loads(body)['id']}"

    def result(self, address, kind="rgba", model="lite"):
        return self.ask(f"{address}/result?{urlencode({'type': kind, 'model': model})}")

    def interrupt(self):
        """Send Ctrl-C; return the exit code and stderr."""
        self.process.send_signal(signal.SIGINT)
        _, err = self.process.communicate(timeout=900)
        return self.process.returncode, err


@contextmanager
def page_server(temporary, *words):
    """Run the page on a free port; skip the test if its packages are missing."""
    if os.name == "nt":
        pytest.skip("no SIGINT to a child on Windows")
    for package in ("starlette", "uvicorn"):
        pytest.importorskip(package, reason="the extra [ui] is not installed")
    process = subprocess.Popen(
        [sys.executable, "-m", "sodcli", "ui", "--port", "0", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )  # fmt: skip
    try:
        yield Server(process, temporary)
    finally:
        process.kill()
        process.communicate()
