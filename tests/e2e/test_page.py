"""``sod ui``: the page in a browser, and its server."""

import base64
import json
import sys
import threading
import time
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from tests.chromium import chromium_page
from tests.draw_kit import draw_photo
from tests.film_kit import render
from tests.page_kit import page_server

pytestmark = pytest.mark.slow
DROP = """
(() => {
  const carried = new DataTransfer();
  for (const [name, type, data] of %s)
    carried.items.add(new File([Uint8Array.from(atob(data), c => c.charCodeAt(0))], name, {type}));
  dispatchEvent(new DragEvent("drop", {dataTransfer: carried, cancelable: true}));
})()
"""
PAINT = """
(() => {
  const frame = sheet.getBoundingClientRect();
  sheet.setPointerCapture = () => {};  // no real pointer is down
  for (const [type, x, y] of [["pointerdown", .1, .1], ["pointermove", .9, .1]])
    sheet.dispatchEvent(new PointerEvent(type, {buttons: 1,
      clientX: frame.left + frame.width * x, clientY: frame.top + frame.height * y}));
})()
"""
READ_MASK = """
sheet.toBlob(async blob => {
  window.mask = btoa(String.fromCharCode(...new Uint8Array(await blob.arrayBuffer())));
})
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with page_server(tmp_path_factory.mktemp("tmp")) as running:
        yield running


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "a mug.png"
    Image.fromarray(draw_photo(1)[0]).save(path)
    return path


@pytest.fixture
def downloads(tmp_path):
    folder = tmp_path / "downloads"
    folder.mkdir()
    return folder


@pytest.fixture
def page(server, tmp_path):
    with chromium_page(tmp_path / "profile") as browser:
        browser.open(server.url)
        yield browser


def wait_for(page, condition):
    for _ in range(9000):
        if page.run(f"Boolean({condition})"):
            return
        time.sleep(0.1)
    raise AssertionError(condition + page.run("document.body.innerText"))


def drop(page, *paths):
    def described(path):
        return path.name, "", base64.b64encode(path.read_bytes()).decode()

    page.run(DROP % json.dumps([described(path) for path in paths]))


def downloaded(page, folder):
    """Click on Download; return name and bytes of the file."""
    page("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    page.run("document.querySelector('.get').click()")
    for _ in range(9000):
        for path in folder.glob("*.png"):  # it has another suffix until it is complete
            data = path.read_bytes()
            path.unlink()
            return path.name, data
        time.sleep(0.1)
    raise AssertionError("nothing came")


def inferred(sod, path, *words):
    """Return the bytes that ``sod infer`` writes."""
    result = sod("infer", path, *words, "--overwrite")
    assert result.exit_code == 0, result.stderr
    return Path(result.stdout.strip()).read_bytes()


def test_a_dropped_photo_gives_the_result_of_sod_infer(server, page, photo, sod, downloads):
    drop(page, photo)
    wait_for(page, "document.querySelector('li.done')")
    assert downloaded(page, downloads) == ("a mug_rgba.png", inferred(sod, photo))
    assert page.run("[...document.images].filter(i => i.naturalWidth == 120).length") == 2
    page.run("$('type').value = 'white'; $('type').onchange()")
    wait_for(page, "document.querySelector('li.done .get[download$=white\\\\.png]')")
    white = inferred(sod, photo, "-t", "white")
    assert downloaded(page, downloads) == ("a mug_white.png", white)
    own = (server.url, f"blob:{server.url}")
    assert not [one for one in page.complaints if not str(one).startswith(own)]


def test_a_photo_that_the_browser_cannot_read_is_shown_nonetheless(page, photo):
    tiff = photo.with_suffix(".tif")
    Image.open(photo).save(tiff)
    drop(page, tiff)
    wait_for(page, "document.querySelector('li.done')")
    wait_for(page, "document.querySelector('.before').naturalWidth == 120")


def test_the_photo_of_a_damaged_file_is_one_line_with_its_name(server):
    address = server.add("mug.png", b"\x89PNG\r\n\x1a\n")
    code, body = server.ask(f"{address}/photo")
    assert (code, body[:18]) == (422, b'{"error":"mug.png:')


def test_the_brush_adds_to_the_subject(page, photo, sod, tmp_path, downloads):
    drop(page, photo)
    wait_for(page, "document.querySelector('li.done')")
    page.run("document.querySelector('.brush').click()")
    wait_for(page, "$('studio').open")
    page.run(PAINT)
    mask = tmp_path / "mask.png"
    page.run(READ_MASK)
    wait_for(page, "window.mask")
    mask.write_bytes(base64.b64decode(page.run("window.mask")))
    page.run("$('apply').click()")
    wait_for(page, "[...items][0].turn == 2 && document.querySelector('li.done')")
    painted = Image.open(BytesIO(downloaded(page, downloads)[1]))
    expected = Image.open(BytesIO(inferred(sod, photo, "--mask", mask)))
    assert painted.tobytes() == expected.tobytes()
    assert painted.getpixel((60, 9))[3] == 255
    before, after = (
        image.getchannel("A").crop((0, 25, *image.size))  # below the stroke
        for image in (Image.open(BytesIO(inferred(sod, photo))), painted)
    )
    assert after.tobytes() == before.tobytes()
    page.run("document.querySelector('.brush').click()")
    wait_for(page, "$('studio').open")
    page.run("$('fresh').click()")
    wait_for(page, "[...items][0].turn == 3 && document.querySelector('li.done')")
    assert downloaded(page, downloads)[1] == inferred(sod, photo)


def test_a_painted_mask_is_used_as_it_is(server, photo):
    """What the brush begins with gives the same result; a speck and a hole in it are kept."""
    address = server.add(photo.name, photo.read_bytes())
    before = alpha_of(server.result(address))
    begun = alpha_of(server.ask(f"{address}/map?model=lite"))
    assert begun.tobytes() == before.tobytes()
    begun.paste(255, (2, 2, 5, 5))
    begun.paste(0, (60, 45, 62, 47))
    painted = BytesIO()
    begun.save(painted, "png")
    assert server.ask(f"{address}/mask", painted.getvalue(), "PUT")[0] == 200
    assert alpha_of(server.result(address)).tobytes() == begun.tobytes()
    assert alpha_of(server.ask(f"{address}/map?model=lite")).tobytes() == begun.tobytes()


def alpha_of(answer):
    code, body = answer
    assert code == 200, body
    return Image.open(BytesIO(body)).getchannel("A")


def test_a_damaged_file_is_reported_and_the_next_processed(page, photo, tmp_path):
    bad = tmp_path / "<img src=x onerror=alert(1)>.png"
    bad.write_bytes(photo.read_bytes()[:200])
    drop(page, bad, photo)
    wait_for(page, "document.querySelector('li.done')")
    line = page.run("document.querySelector('li.failed .say').textContent")
    assert line == "_img src_x onerror_alert(1)_.png: truncated or corrupt"
    assert page.run("document.querySelector('li.failed .name').textContent") == bad.name
    page.run("document.querySelector('.remove').click()")
    assert page.run("document.querySelectorAll('li').length") == 1


def test_two_results_with_the_same_name_are_both_in_the_zip(server, photo):
    one, two = (server.add("x/y.png", photo.read_bytes()) for _ in range(2))
    first, second = server.result(one), server.result(two, "blur")
    third = server.result(server.add("x/y.png", photo.read_bytes()))
    assert first == third
    code, body = server.ask(f"zip?ids={one[6:]},{two[6:]},{one[6:]},gone")
    assert code == 200
    with zipfile.ZipFile(BytesIO(body)) as archive:
        names = archive.namelist()
        assert names[:2] == ["x_y_rgba.png", "x_y_blur.png"]
        assert names[2].endswith("-x_y_rgba.png")
        assert [archive.read(name) for name in names] == [first[1], second[1], first[1]]


def test_a_film_gives_the_result_of_sod_infer(server, sod, tmp_path):
    film = render(tmp_path / "clip.mp4", rate="5", sound=True)
    address = server.add(film.name, film.read_bytes())
    code, body = server.result(address, "blur")
    assert code == 200, body
    assert body == inferred(sod, film, "-t", "blur")
    assert server.ask(address)[1] == b'"5 of 5 frames"'
    code, body = server.result(address, "rgba")
    assert (code, body[:4]) == (200, b"\x1aE\xdf\xa3")  # WebM, which browsers play


@pytest.mark.parametrize("kind", ["", "picture", "/etc/passwd", "../source.png", "source.png"])
def test_a_type_is_never_a_path(server, photo, kind):
    address = server.add(photo.name, photo.read_bytes())
    assert server.result(address, kind) == (422, b'{"error":"no such type or model"}')
    assert server.result(address, model=kind) == (422, b'{"error":"no such type or model"}')


def test_removed_files_are_deleted(server, photo):
    address = server.add(photo.name, photo.read_bytes())
    before = len([*server.temporary.glob("*/*/source*")])
    assert server.ask(address, method="DELETE") == (200, b"null")
    assert len([*server.temporary.glob("*/*/source*")]) == before - 1
    assert server.result(address)[0] == 422


def test_an_upload_that_is_too_large_is_refused(server):
    before = len([*server.temporary.glob("*/*")])
    assert server.ask("files?name=x", bytes(2**28 + 1)) == (
        422, b'{"error":"larger than 256 MiB"}',
    )  # fmt: skip
    assert len([*server.temporary.glob("*/*")]) == before


def test_requests_from_other_origins_and_hosts_are_refused(server):
    assert server.ask("", Host="evil.example")[0] == 403
    assert server.ask("files?name=x", b"x", Origin="http://evil.example")[0] == 403
    assert server.ask("files?name=x", b"x", Origin="null")[0] == 403
    assert server.ask("", Host="localhost:1")[0] == 200


def test_with_a_token_requests_need_it(tmp_path):
    with page_server(tmp_path, "--host", "0.0.0.0", "--token", "open sesame") as server:
        server.url = server.url.replace("0.0.0.0", "127.0.0.1")
        assert server.ask("")[0] == 401
        for token, code in (("open", 401), ("open sesame", 200)):
            given = base64.b64encode(f"sod:{token}".encode()).decode()
            assert server.ask("", Authorization=f"Basic {given}")[0] == code


def test_ctrl_c_exits_with_130_and_removes_all_files(tmp_path, photo):
    film = render(tmp_path / "long.mp4", rate="100", seconds=5)
    with page_server(tmp_path) as server:
        address = server.add(film.name, film.read_bytes())
        threading.Thread(target=server.result, args=(address, "blur"), daemon=True).start()
        while server.ask(address)[1] == b"null":
            time.sleep(0.1)
        code, err = server.interrupt()
    assert code == 130, err
    assert err.splitlines()[1:] == ["interrupted"]
    assert not [*tmp_path.glob(".sod-*")]


def test_an_address_of_another_machine_is_an_error(sod):
    result = sod("ui", "--host", "192.0.2.1", "--token", "x")
    told = "error: 192.0.2.1:7860: cannot assign requested address\n"
    assert (result.exit_code, result.stderr) == (1, told)


def test_a_port_in_use_is_an_error(sod, server):
    port = server.url.split(":")[2].strip("/")
    result = sod("ui", "--port", port)
    assert result.exit_code == 1
    assert result.stderr == (
        f"error: 127.0.0.1:{port}: address already in use; --port 0 takes a free port\n"
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.2", "127.evil.example"])
def test_other_machines_need_a_token(sod, host):
    pytest.importorskip("starlette", reason="the extra [ui] is not installed")
    result = sod("ui", "--host", host)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        f"error: --host {host}: other machines could use the page; set --token TEXT\n"
    )


def test_missing_packages_are_named(sod, monkeypatch):
    monkeypatch.delitem(sys.modules, "sodcli.infer.page", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = sod("ui")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "error: this needs Starlette and uvicorn; run: pip install starlette uvicorn\n"
    )
