"""An HTTPS server on this machine that can misbehave."""

import hashlib
import ssl
import subprocess
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


def make_certificate(folder):
    """Make a certificate for localhost with openssl; skip the test if it is not installed."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    words = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
        "-nodes", "-days", "2",
        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
        "-keyout", str(key), "-out", str(cert),
    ]  # fmt: skip
    try:
        subprocess.run(words, check=True, capture_output=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("no openssl program that makes certificates")
    return key, cert


class Server(ThreadingHTTPServer):
    """Serves ``pages``: for a path, bytes or a function that handles the request."""

    daemon_threads = True

    def __init__(self, pages):
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages, self.asked = pages, []

    def handle_error(self, request, client_address):
        """Ignore errors: many tests close connections early."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers)))
        page = self.server.pages.get(self.path.split("?")[0])
        if page is None:
            self.reply(404, b"nothing here")
        elif callable(page):
            page(self)
        else:
            serve(self, page)

    def reply(self, status, body, **headers):
        """Answer with all of ``body``; ``Content_Type="x"`` becomes a header."""
        self.announce(status, len(body), **headers)
        self.wfile.write(body)

    def announce(self, status, length=None, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

    def log_message(self, *_):
        pass


def tag(body):
    return f'"{hashlib.sha256(body).hexdigest()[:12]}"'


def offset(handler):
    """Return the offset of the first byte that the client requests."""
    return int(handler.headers.get("Range", "bytes=0-")[len("bytes=") : -1])


def serve(handler, body, upto=None):
    """Answer correctly; with ``upto``, close the connection before that byte of the file."""
    start = offset(handler)
    known = handler.headers.get("If-Range") in (None, tag(body))
    if "Range" in handler.headers and known:
        if start >= len(body):
            handler.reply(416, b"", Content_Range=f"bytes */{len(body)}")
            return
        place = f"bytes {start}-{len(body) - 1}/{len(body)}"
        handler.announce(206, len(body) - start, ETag=tag(body), Content_Range=place)
    else:
        start = 0
        handler.announce(200, len(body), ETag=tag(body))
    handler.wfile.write(body[start:upto])


def in_turn(*answers):
    """Use one answer for each request in turn; the last one repeats."""
    left = list(answers)

    def page(handler):
        answer = left.pop(0) if len(left) > 1 else left[0]
        if callable(answer):
            answer(handler)
        else:
            serve(handler, answer)

    return page


def breaking_off(body, upto):
    return lambda handler: serve(handler, body, upto)


def status(code, **headers):
    return lambda handler: handler.reply(code, b"not now", **headers)


def redirect(address):
    return lambda handler: handler.reply(302, b"", Location=address)


def trickling(body, pause=0.02):
    def page(handler):
        handler.announce(200, len(body), ETag=tag(body))
        for byte in body:
            handler.wfile.write(bytes([byte]))
            time.sleep(pause)

    return page


@contextmanager
def serving(pages, certificate=None):
    """Run a server for ``pages``; yield it with its ``url``. Without a certificate: plain HTTP."""
    server = Server(pages)
    scheme = "http"
    if certificate is not None:
        key, cert = certificate
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        scheme = "https"
    server.url = f"{scheme}://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
