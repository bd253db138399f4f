"""Downloads from a misbehaving HTTPS server: the right file, or one clear error."""

import email.utils
import hashlib
import json
import re
import socket
import threading
import time
from contextlib import suppress
from html.parser import HTMLParser

import numpy as np
import pytest

from sodcli.errors import ChecksumError, MissingError
from sodcli.weights import https as drive
from sodcli.weights import transfer
from sodcli.weights.download import DownloadRequest, download
from sodcli.weights.download_settings import DownloadEvents, ExpectedFile, RetryPolicy
from sodcli.weights.transfer import Part
from tests.web_kit import (
    breaking_off,
    in_turn,
    offset,
    redirect,
    serve,
    serving,
    status,
    tag,
    trickling,
)

pytest_plugins = ["tests.web_fixtures"]

BODY = np.random.default_rng(0).bytes(300_000)
OTHER = np.random.default_rng(1).bytes(300_000)
SHA256 = hashlib.sha256(BODY).hexdigest()
EXPECTED = ExpectedFile(len(BODY), SHA256)
NOTHING = ExpectedFile()


class Client:
    """Downloads from the site and records all events."""

    def __init__(self, site, folder):
        self.site, self.part = site, Part(folder / "downloads" / "x.part")
        self.slept, self.notes, self.seen = [], [], []

    def download(self, *paths, expected=EXPECTED, **policy):
        mirrors = [path if "://" in path or path[:7] == "gdrive:" else self.site.url + path
                   for path in paths]  # fmt: skip
        self.slept, self.notes, self.seen = [], [], []
        events = DownloadEvents(
            lambda have, total: self.seen.append((have, total)), self.notes.append
        )
        how = RetryPolicy(**{"timeout": 5.0, "sleep": self.slept.append, **policy})
        return download(DownloadRequest("weights 'x'", mirrors, expected), self.part, events, how)

    def has_file(self, body=BODY):
        return self.part.path.read_bytes() == body

    def is_empty(self):
        return not self.part.path.exists()


@pytest.fixture
def client(site, tmp_path):
    return Client(site, tmp_path)


def ranges(site):
    return [headers.get("Range") for _, headers in site.asked]


def test_a_file_is_downloaded(client, site):
    site.pages["/x"] = BODY
    delivery = client.download("/x")
    assert client.has_file()
    assert (delivery.checksum.size, delivery.checksum.sha256) == (len(BODY), SHA256)
    assert delivery.mirror == f"{site.url}/x"
    assert client.seen[-1] == (len(BODY), len(BODY))
    assert not client.notes
    assert site.asked[0][1]["User-Agent"].startswith("sod/")


@pytest.mark.parametrize("expected", [EXPECTED, NOTHING])
def test_an_interrupted_connection_is_resumed(client, site, expected):
    site.pages["/x"] = in_turn(breaking_off(BODY, 100_000), breaking_off(BODY, 200_000), BODY)
    client.download("/x", expected=expected)
    assert client.has_file()
    assert ranges(site) == [None, "bytes=100000-", "bytes=200000-"]
    assert all(headers.get("If-Range") == tag(BODY) for _, headers in site.asked[1:])
    assert client.slept == [1.0, 1.0]
    assert "breaks off after 100,000 of 300,000 bytes; trying again in 1 s" in client.notes[0]


def test_a_killed_download_is_resumed_next_time(client, site):
    site.pages["/x"] = breaking_off(BODY, 120_000)
    with pytest.raises(MissingError, match="breaks off after 120,000 of 300,000 bytes"):
        client.download("/x")
    site.pages["/x"], site.asked = BODY, []
    client.download("/x")
    assert client.has_file()
    assert ranges(site) == ["bytes=120000-"]


def test_a_complete_part_is_not_requested_again(client, site):
    site.pages["/x"] = BODY
    client.download("/x")
    client.download("/x")
    assert len(site.asked) == 1


def test_a_part_whose_origin_is_unknown_is_not_used(client, site):
    site.pages["/x"] = BODY
    client.part.path.parent.mkdir()
    client.part.path.write_bytes(OTHER[:1000])
    for about in ("", "{", "[]", '{"mirror": 1, "odd": 2}', json.dumps({"mirror": "https://y"})):
        client.part.path.with_name("x.part.json").write_text(about)
        site.asked = []
        client.download("/x")
        assert client.has_file()
        assert ranges(site) == [None]
        client.part.path.write_bytes(OTHER[:1000])


def test_a_server_without_ranges_starts_over(client, site):
    def from_the_start(handler, upto=None):
        handler.announce(200, len(BODY))
        handler.wfile.write(BODY[:upto])

    site.pages["/x"] = in_turn(lambda h: from_the_start(h, 100_000), from_the_start)
    client.download("/x")
    assert client.has_file()


def test_without_validator_and_hash_a_download_starts_again(client, site):
    def nameless(handler, upto=None):
        handler.announce(200, len(BODY))
        handler.wfile.write(BODY[:upto])

    site.pages["/x"] = in_turn(lambda h: nameless(h, 100_000), nameless)
    client.download("/x", expected=NOTHING)
    assert client.has_file()
    assert ranges(site) == [None, None]


def test_a_file_that_changes_between_attempts_is_downloaded_again(client, site):
    site.pages["/x"] = in_turn(breaking_off(OTHER, 100_000), BODY)
    client.download("/x", expected=NOTHING)
    assert client.has_file()


def stubborn(body, name, upto=None):
    """Send the rest of ``body`` and ignore If-Range."""

    def page(handler):
        start = offset(handler)
        place = f"bytes {start}-{len(body) - 1}/{len(body)}"
        code = 206 if "Range" in handler.headers else 200
        handler.announce(code, len(body) - start, Content_Range=place, ETag=name)
        handler.wfile.write(body[start:upto])

    return page


def test_a_changed_validator_restarts_the_download(client, site):
    site.pages["/x"] = in_turn(stubborn(OTHER, '"1"', 100_000), stubborn(BODY, '"2"'))
    client.download("/x", expected=NOTHING)
    assert client.has_file()
    assert ranges(site) == [None, "bytes=100000-", None]


def test_parts_of_two_files_are_detected_by_the_hash(client, site):
    site.pages["/x"] = in_turn(stubborn(OTHER, '"1"', 100_000), stubborn(BODY, '"1"'))
    client.download("/x")
    assert client.has_file()
    assert ranges(site) == [None, "bytes=100000-", None]


def test_a_part_longer_than_the_file_is_dropped(client, site):
    site.pages["/x"] = breaking_off(OTHER + OTHER, 500_000)
    with pytest.raises(MissingError):
        client.download("/x", expected=ExpectedFile(sha256=SHA256), attempts=1)
    site.pages["/x"] = in_turn(stubborn_416, BODY)
    client.download("/x", expected=ExpectedFile(sha256=SHA256))
    assert client.has_file()


def stubborn_416(handler):
    handler.reply(416, b"", Content_Range=f"bytes */{len(BODY)}")


def test_a_web_page_is_refused_as_weights(client, site):
    page = b"<!DOCTYPE html><title>log in</title>"
    site.pages["/told"] = lambda h: h.reply(200, page, Content_Type="text/html; charset=utf-8")
    site.pages["/hidden"] = lambda h: h.reply(200, page, Content_Type="application/octet-stream")
    for path in ("/told", "/hidden"):
        with pytest.raises(MissingError, match="sends a web page instead of the file"):
            client.download(path, expected=NOTHING)
        assert client.is_empty()
    assert not client.slept


def test_safetensors_may_begin_like_a_page(client, site):
    length = 15_392
    body = length.to_bytes(8, "little") + b'{"__metadata__":{}}'.ljust(length)
    assert body.startswith(b" <")
    site.pages["/x"] = body
    client.download("/x", expected=NOTHING)
    assert client.has_file(body)


@pytest.mark.parametrize(
    ("body", "expected", "text"),
    [
        (OTHER, EXPECTED, "SHA-256 mismatch (expected " + SHA256[:16] + "..., got "),
        (OTHER, ExpectedFile(len(BODY), None, hashlib.md5(BODY).hexdigest()), "MD5 mismatch"),
        (BODY[:-1], EXPECTED, "299,999 bytes instead of 300,000"),
        (BODY + b"!", EXPECTED, "300,001 bytes instead of 300,000"),
    ],
)
def test_a_wrong_file_is_refused(client, site, body, expected, text):
    site.pages["/x"] = body
    with pytest.raises(ChecksumError, match=re.escape(text)):
        client.download("/x", expected=expected)
    assert client.is_empty()
    assert len(site.asked) == 1


def test_an_md5_alone_is_checked(client, site):
    site.pages["/x"] = BODY
    client.download("/x", expected=ExpectedFile(None, None, hashlib.md5(BODY).hexdigest()))
    assert client.has_file()


def unlimited(handler):
    handler.announce(200)
    while True:
        handler.wfile.write(OTHER)


def test_an_endless_file_is_stopped(client, site, monkeypatch):
    site.pages["/x"] = unlimited
    with pytest.raises(MissingError, match="sends more than 300,000 bytes"):
        client.download("/x")
    monkeypatch.setattr(transfer, "_LARGEST", 1_000_000)
    with pytest.raises(MissingError, match="sends more than 1,000,000 bytes"):
        client.download("/x", expected=NOTHING)


def chunked(handler, body=BODY, end=b"0\r\n\r\n"):
    handler.announce(200, Transfer_Encoding="chunked")
    for start in range(0, len(body), 70_000):
        piece = body[start : start + 70_000]
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
    handler.wfile.write(end)


def test_chunked_encoding_is_accepted(client, site):
    site.pages["/x"] = chunked
    client.download("/x", expected=NOTHING)
    assert client.has_file()
    assert client.seen[-1] == (len(BODY), None)


def test_truncated_chunks_are_detected(client, site):
    site.pages["/x"] = in_turn(lambda h: chunked(h, BODY[:140_000], b""), chunked)
    client.download("/x", expected=NOTHING)
    assert client.has_file()
    assert "breaks off" in client.notes[0]


def test_a_wrong_length_is_detected(client, site):
    def short(handler):
        handler.announce(200, len(BODY) - 1000)
        handler.wfile.write(BODY)

    def long(handler):
        handler.announce(200, len(BODY) + 1000)
        handler.wfile.write(BODY)

    site.pages.update({"/short": short, "/long": long})
    with pytest.raises(ChecksumError, match="299,000 bytes instead"):
        client.download("/short")
    with pytest.raises(ChecksumError, match="SHA-256 mismatch"):
        client.download("/short", expected=ExpectedFile(sha256=SHA256))
    with pytest.raises(MissingError, match="breaks off after 300,000 of 301,000"):
        client.download("/long", expected=NOTHING)


def test_a_length_of_thousands_of_digits_is_ignored(client, site):
    def endless(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "9" * 5000)
        handler.end_headers()
        handler.wfile.write(BODY)
        handler.close_connection = True

    site.pages["/x"] = endless
    client.download("/x")
    assert client.has_file()


@pytest.mark.parametrize("code", [429, 503])
def test_retry_after_is_respected(client, site, code):
    site.pages["/x"] = in_turn(status(code, Retry_After=7), status(code), BODY)
    client.download("/x")
    assert client.has_file()
    assert client.slept == [7.0, 2.0]
    assert f"answers {code}" in client.notes[0]


def test_retry_after_may_be_a_date(client, site):
    later = email.utils.formatdate(time.time() + 20, usegmt=True)
    times = later, "soon", "1 Jan 99999999999999999999 00:00:00 GMT"
    site.pages["/x"] = in_turn(*(status(503, Retry_After=one) for one in times), BODY)
    client.download("/x")
    assert 15 < client.slept[0] <= 20
    assert client.slept[1:] == [2.0, 4.0]


def test_a_wait_of_hours_is_refused(client, site):
    site.pages["/x"] = status(429, Retry_After=3600)
    with pytest.raises(MissingError, match=r"answers 429 .*, asks to wait 3,600 s"):
        client.download("/x")
    assert not client.slept


def test_a_server_that_stays_busy_is_an_error(client, site):
    site.pages["/x"] = status(503)
    with pytest.raises(MissingError, match=r"localhost:\d+: answers 503"):
        client.download("/x")
    assert client.slept == [1.0, 2.0, 4.0]


def test_a_missing_file_is_not_requested_again(client, site):
    with pytest.raises(MissingError, match=r"answers 404 \(Not Found\)"):
        client.download("/x")
    assert len(site.asked) == 1


def test_mirrors_are_tried_in_turn(client, site):
    site.pages.update({"/wrong": OTHER, "/right": BODY})
    delivery = client.download("/missing", "/wrong", "/right", "/never")
    assert client.has_file()
    assert delivery.mirror.endswith("/right")
    assert [path for path, _ in site.asked] == ["/missing", "/wrong", "/right"]
    with pytest.raises(ChecksumError, match=r"answers 404 .*; localhost:\d+: SHA-256 mismatch"):
        client.part.drop()
        client.download("/missing", "/wrong")


def test_redirects_are_followed(client, site):
    for step in range(5):
        site.pages[f"/{step}"] = redirect(f"/{step + 1}")
    site.pages["/5"] = BODY
    client.download("/0")
    assert client.has_file()


def test_too_many_redirects_are_refused(client, site):
    for step in range(6):
        site.pages[f"/{step}"] = redirect(f"/{step + 1}")
    site.pages["/6"] = BODY
    with pytest.raises(MissingError, match="redirects more than 5 times"):
        client.download("/0")
    assert "/6" not in [path for path, _ in site.asked]


@pytest.mark.parametrize("scheme", ["http", "file", "ftp"])
def test_a_redirect_away_from_https_is_refused(client, site, tmp_path, scheme):
    (tmp_path / "x").write_bytes(BODY)
    with serving({"/x": BODY}) as plain:
        target = f"{plain.url}/x" if scheme == "http" else f"{scheme}://{tmp_path}/x"
        site.pages["/x"] = redirect(target)
        with pytest.raises(MissingError, match=r"redirects .* https"):
            client.download("/x")
        assert not plain.asked
    assert client.is_empty()


def test_an_address_that_is_not_https_is_refused(client):
    with serving({"/x": BODY}) as plain:
        with pytest.raises(MissingError, match="is not an https address"):
            client.download(f"{plain.url}/x")
        assert not plain.asked


def test_a_redirect_to_an_invalid_address_is_an_error(client, site):
    for address in ("https://[nonsense/x", "https://localhost:port/x", "https://local host/x"):
        site.pages["/x"] = redirect(address)
        with pytest.raises(MissingError, match="invalid header or address"):
            client.download("/x")
        assert not client.slept


def test_an_untrusted_certificate_is_refused(client, site, monkeypatch):
    site.pages["/x"] = BODY
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(MissingError, match=r"certificate cannot be checked .*SSL_CERT_FILE"):
        client.download("/x")
    assert not client.slept
    assert not site.asked


def test_a_very_slow_download_is_stopped(client, site):
    site.pages["/x"] = trickling(BODY)
    with pytest.raises(MissingError, match="sends too slowly"):
        client.download("/x", window=0.15, slowest=100, attempts=1)


def test_a_stopped_slow_download_is_resumed(client, site):
    site.pages["/x"] = in_turn(trickling(BODY), BODY)
    client.download("/x", window=0.1, slowest=100)
    assert client.has_file()
    assert "sends too slowly" in client.notes[0]


def test_a_slow_but_steady_download_is_not_stopped(client, site):
    site.pages["/x"] = trickling(BODY[:60], pause=0.01)
    client.download("/x", expected=NOTHING, window=0.1, slowest=1)
    assert client.has_file(BODY[:60])


@pytest.mark.parametrize("after", [0, 1000])
def test_a_silent_server_is_an_error(client, site, after):
    silent = threading.Event()

    def page(handler):
        if after:
            handler.announce(200, len(BODY), ETag=tag(BODY))
            handler.wfile.write(BODY[:after])
        silent.wait(10)

    site.pages["/x"] = page
    with pytest.raises(MissingError, match="does not answer in time"):
        client.download("/x", timeout=0.2, attempts=2)
    silent.set()
    assert client.slept == [1.0]


def test_a_connection_left_open_does_not_delay_the_end(client, site):
    done = threading.Event()

    def page(handler):
        serve(handler, BODY)
        done.wait(10)

    site.pages["/x"] = page
    client.download("/x", timeout=2.0)
    done.set()
    assert client.has_file()


def test_an_invalid_answer_is_an_error(client, site):
    def page(handler):
        handler.wfile.write(b"hello, this is not HTTP\r\n\r\n")
        handler.close_connection = True

    site.pages["/x"] = page
    with pytest.raises(MissingError, match="breaks off"):
        client.download("/x", attempts=1)


def test_a_refused_connection_is_an_error(client):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(MissingError, match=r"no connection \("):
            client.download(f"https://localhost:{port}/x")
    assert client.slept == [1.0, 2.0, 4.0]


def test_too_little_disk_space_is_reported_before_the_download(client, site, monkeypatch):
    site.pages["/x"] = BODY
    room = type("Room", (), {"free": 1000})
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda _: room)
    with pytest.raises(OSError, match="300,000 bytes are needed, 1,000 are free"):
        client.download("/x")


def drive_page(url):
    return (
        '<html><body><p class="uc-warning-caption">too large to scan</p>'
        f'<form id="download-form" action="{url}/sent" method="get">'
        '<input type="submit" id="uc-download-link" value="Download anyway"/>'
        '<input type="hidden" name="id" value="1aB&amp;c"><input type="hidden" name="confirm" '
        'value="t"><input type="hidden" name="uuid" value="u-1"></form>'
        '<input name="other" value="not of the form"></body></html>'
    ).encode()


@pytest.fixture
def google(site, monkeypatch):
    monkeypatch.setattr(drive, "_START", f"{site.url}/uc")
    page = drive_page(site.url)

    def ask(handler):
        handler.reply(200, page, Content_Type="text/html; charset=utf-8", Set_Cookie="seen=1")

    site.pages["/uc"] = ask
    return site


ADDRESS = "gdrive:1k5hNJImgEgSmz-ZeJEEb_dVkrOnswVMq"


def test_a_large_file_on_drive_is_confirmed(client, google):
    google.pages["/sent"] = in_turn(breaking_off(BODY, 100_000), BODY)
    assert client.download(ADDRESS).mirror == ADDRESS
    assert client.has_file()
    assert google.asked[0][0] == "/uc?export=download&id=1k5hNJImgEgSmz-ZeJEEb_dVkrOnswVMq"
    assert google.asked[1][0] == "/sent?id=1aB%26c&confirm=t&uuid=u-1"
    assert google.asked[1][1]["Cookie"] == "seen=1"
    assert google.asked[3][1]["Range"] == "bytes=100000-"


def test_a_small_file_on_drive_needs_no_confirmation(client, google):
    google.pages["/uc"] = BODY
    client.download(ADDRESS)
    assert client.has_file()


def test_error_messages_of_drive_are_reported(client, google):
    quota = (
        b'<html><title>Quota exceeded</title><p class="uc-error-caption">Sorry, you can\'t '
        b"view\n or download this file at this time.</p></html>"
    )
    google.pages["/uc"] = lambda h: h.reply(200, quota, Content_Type="text/html")
    text = r"does not offer the file now \(Sorry, you can't view or download this file at this time"
    with pytest.raises(MissingError, match=text):
        client.download(ADDRESS)
    google.pages["/uc"] = lambda h: h.reply(200, b"<html>", Content_Type="text/html")
    with pytest.raises(MissingError, match=r"does not offer the file now$"):
        client.download(ADDRESS)
    damaged = odd = r"sends a damaged page \("
    with suppress(AssertionError):
        HTMLParser().feed("<![odd]>")
        odd = r"does not offer the file now$"  # Python 3.14 reads over it
    for page, told in (
        (b"<![odd]>", odd),
        (b'<form id="download-form" action="https://[x">', damaged),
    ):
        google.pages["/uc"] = lambda h, page=page: h.reply(200, page, Content_Type="text/html")
        with pytest.raises(MissingError, match=told):
            client.download(ADDRESS)


def test_a_folder_on_drive_is_refused(client, google):
    folder = b"<html><title>MINet - Google Drive</title><body></body></html>"
    google.pages["/drive/folders/16yTcf"] = lambda h: h.reply(200, folder, Content_Type="text/html")
    with pytest.raises(MissingError, match="sends a web page instead of the file"):
        client.download("/drive/folders/16yTcf")
    assert client.is_empty()


def test_a_share_behind_a_login_is_reported_and_the_next_mirror_used(client, site):
    site.pages["/share"] = redirect("/login")
    site.pages["/login"] = lambda h: h.reply(200, b"<html>Sign in</html>", Content_Type="text/html")
    site.pages["/x"] = BODY
    client.download("/share", "/x")
    assert client.has_file()
    with pytest.raises(MissingError, match="sends a web page instead of the file"):
        client.download("/share")


def test_a_confirmation_form_without_https_is_not_submitted(client, google):
    with serving({"/sent": BODY}) as plain:
        page = drive_page(plain.url)
        google.pages["/uc"] = lambda h: h.reply(200, page, Content_Type="text/html")
        with pytest.raises(MissingError, match="is not an https address"):
            client.download(ADDRESS)
        assert not plain.asked


def test_a_second_confirmation_page_is_an_error(client, google):
    google.pages["/sent"] = google.pages["/uc"]
    with pytest.raises(MissingError, match="sends a web page instead of the file"):
        client.download(ADDRESS)


def test_a_confirmation_page_that_fails_is_requested_again(client, google):
    whole, silent = google.pages["/uc"], threading.Event()

    def half(handler):
        handler.announce(200, 10_000, Content_Type="text/html")
        handler.wfile.write(b"<html>")
        silent.wait(10)

    google.pages["/uc"], google.pages["/sent"] = in_turn(half, whole), BODY
    client.download(ADDRESS, timeout=0.3)
    silent.set()
    assert client.has_file()


def proxy(server, connected):
    """Run a proxy that handles one CONNECT request."""
    client, _ = server.accept()
    with client:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        connected.append(head.split()[1].decode())
        name, port = connected[-1].split(":")
        with socket.create_connection((name, int(port))) as far:
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=pump, args=(far, client))
            back.start()
            pump(client, far)
            back.join()


def pump(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def test_the_proxy_of_the_environment_is_used(client, site, monkeypatch):
    site.pages["/x"] = BODY
    connected = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{server.getsockname()[1]}")
        thread = threading.Thread(target=proxy, args=(server, connected))
        thread.start()
        client.download("/x")
        thread.join()
    assert client.has_file()
    assert connected == [f"localhost:{site.server_port}"]
