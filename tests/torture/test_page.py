"""``sod ui`` with damaged and hostile files."""

import io
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from urllib.parse import urlsplit

import pytest
from PIL import Image

from tests.page_kit import page_server
from tests.torture import LONG
from tests.torture.corpus import DAMAGED, ODD_NAMES, WHOLE, cut, encoded, photo, pictures
from tests.torture.films import films

pytestmark = pytest.mark.slow


def test_each_hostile_upload_gets_a_result_or_a_line_and_the_server_survives(tmp_path):
    cases = [*pictures()]
    if LONG:
        cases += chain.from_iterable(
            cut(case, 200) for case in pictures() if len(case.data) < 20_000
        )
        assert len(cases) > 200
    else:
        cases = cases[::3]
    (tmp_path / "films").mkdir()
    made = list(films(tmp_path / "films"))
    cases += made if LONG else made[5::4]
    whole = next(case for case in cases if case.expected == WHOLE)
    names = ["../../etc/passwd", "..", "/", "C:\\nul.png", "a\0b.png", *ODD_NAMES]
    (tmp_path / "tmp").mkdir()
    with page_server(tmp_path / "tmp") as server:
        for case in cases:
            code, body = server.result(server.add(case.name, case.data), "map")
            assert case.expected != {200: DAMAGED, 422: WHOLE}[code], (case.name, body[:200])
            if code == 422:
                (line,) = json.loads(body).values()
                assert line.startswith(f"{case.name}: "), line
                assert line.isprintable()
                assert str(tmp_path) not in line
                assert "internal error" not in line
        for name in names:
            name = name.encode("utf-8", "replace").decode()
            assert server.result(server.add(name, whole.data), "map")[0] == 200, name
        assert server.ask("")[0] == 200
        stored = {path.stem for path in server.temporary.glob("*/*/*") if path.is_file()}
        assert stored == {"source"}
        code, err = server.interrupt()
    assert code == 130
    assert len(err.splitlines()) == 2, err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["films", "tmp"]


REQUESTS = [  # without their line for the host; how each is answered, empty if not at all
    ("POST /files?name=a.png", "Content-Length: 1000000000000\r\n\r\nabc", ""),
    ("POST /files?name=a.png", "Transfer-Encoding: chunked\r\n\r\n5\r\nabc", ""),
    ("POST /files?name=a.png", "Content-Length: -5\r\n\r\nabc", "400"),
    ("POST /files?name=a.png", "Transfer-Encoding: chunked\r\n\r\nZZ\r\nabc", "400"),
    ("GET /files/../../etc/passwd/result", "\r\n", "404"),
    ("GET /files/%2e%2e/result?type=%2f&model=lite", "\r\n", "422"),
    ("DELETE /files/%2e%2e", "\r\n", "422"),
    ("PUT /files/x/mask", "Content-Length: 0\r\n\r\n", "422"),
    ("GET /zip?ids=" + "x," * 5000, "\r\n", "200"),
    ("POST /", "Content-Length: 0\r\n\r\n", "405"),
]


def raw(server, first, rest):
    """Send a request as it is written, and close; return the status, empty if it waits for more."""
    place = urlsplit(server.url)
    with socket.create_connection((place.hostname, place.port), timeout=0.5) as line:
        line.sendall(f"{first} HTTP/1.1\r\nHost: {place.netloc}\r\n{rest}".encode())
        if "abc" in rest and "400" not in rest:
            line.shutdown(socket.SHUT_WR)
        line.settimeout(60)
        return line.recv(100).decode().split(" ")[1:2]


def wait_until(done):
    """Wait until ``done``, for as long as the test may take."""
    while not done():
        time.sleep(0.01)


def test_requests_that_lie_or_break_off_leave_nothing(tmp_path):
    with page_server(tmp_path) as server:
        for first, rest, wanted in REQUESTS:
            assert raw(server, first, rest) == ([wanted] if wanted else []), first[:60]
        wait_until(lambda: len([*server.temporary.rglob("*")]) == 2)  # the folder and its lock
        address = server.add("a.png", encoded(photo(), "PNG"))
        mask = encoded(Image.new("L", (48, 40), 255), "PNG")
        assert server.ask(f"{address}/mask", mask, method="PUT")[0] == 200
        before = server.result(address, "map")
        head = f"Content-Length: {len(mask)}\r\n\r\nabc"
        assert raw(server, f"PUT /{address}/mask", head) == []
        assert server.result(address, "map") == before == (200, before[1])
        for data in (b"no mask", encoded(photo((9, 9)), "PNG")[:40]):
            assert server.ask(f"{address}/mask", data, method="PUT")[0] == 200
            assert server.result(address, "map")[0] == 422
        assert server.interrupt()[0] == 130
    assert list(tmp_path.iterdir()) == []


def test_many_uploads_at_once_get_their_own_results_and_ctrl_c_ends_those_that_wait(tmp_path):
    count = 200 if LONG else 24
    with page_server(tmp_path) as server, ThreadPoolExecutor(16) as pool:

        def ask(number):
            size_hw = (40 + number % 7, 40 + number % 11)
            data = encoded(photo(size_hw), "PNG")
            broken = number % 5 == 4
            code, body = server.result(server.add("x.png", data[:60] if broken else data), "map")
            if broken:
                return code == 422
            return code == 200 and Image.open(io.BytesIO(body)).size == size_hw[::-1]

        assert all(pool.map(ask, range(count)))
        addresses = [server.add("x.png", encoded(photo(), "PNG")) for _ in range(16)]
        answers = [pool.submit(server.result, address, "map") for address in addresses]
        code, err = server.interrupt()
        assert code == 130
        assert len(err.splitlines()) == 2, err
        assert all(one.exception() or one.result()[0] in (200, 422, 500, 503) for one in answers)
    assert list(tmp_path.iterdir()) == []
