"""A browser shows written films in the right colours."""

from base64 import b64encode
from fractions import Fraction

import numpy as np
import pytest

from sodcli.io.films.write import FilmWriter
from sodcli.io.sinks import save_picture
from tests.chromium import chromium_page

GREEN = (120, 255, 155)
PAGE = """<body style="margin:0"><{tag} id=a src="{name}" {more}></{tag}><script>
const a = document.getElementById("a"), c = document.createElement("canvas");
window.colour = () => {{
  c.width = c.height = 1; const g = c.getContext("2d");
  g.fillStyle = "rgb(255,0,0)"; g.fillRect(0, 0, 1, 1);
  g.drawImage(a, 20, 20, 8, 8, 0, 0, 1, 1); return [...g.getImageData(0, 0, 1, 1).data];
}};
window.ready = () => {ready};
</script>"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "codec", "alpha"),
    [
        ("a.mp4", "h264", False),
        ("b.mp4", "av1", False),
        ("a.webm", "vp9", True),
        ("a.webp", "webp", True),
        ("a.apng", "apng", True),
        ("a.avif", None, True),
    ],
)
def test_chromium_shows_the_colours_that_were_written(tmp_path, name, codec, alpha):
    frame = np.full((64, 96, 4 if alpha else 3), (*GREEN, 128)[: 4 if alpha else 3], np.uint8)
    if codec is None:
        save_picture(frame, tmp_path / name)
    else:
        with FilmWriter(
            tmp_path / name, size_wh=(96, 64), rate=Fraction(10), alpha=alpha, codec=codec
        ) as film:
            for _ in range(10):
                film.write(frame)
    tag = "video" if name.endswith(("mp4", "webm")) else "img"
    ready = "a.readyState >= 2" if tag == "video" else "a.complete && a.naturalWidth > 0"
    more = "muted autoplay loop" if tag == "video" else ""
    kind = f"{'video' if tag == 'video' else 'image'}/{name[2:]}"
    source = f"data:{kind};base64,{b64encode((tmp_path / name).read_bytes()).decode()}"
    page_file = tmp_path / "page.html"
    page_file.write_text(PAGE.format(tag=tag, name=source, more=more, ready=ready))
    with chromium_page(tmp_path / "profile") as page:
        page.open(page_file)
        while not page.run("ready()"):
            assert page.run("a.error === null || a.error === undefined")
        shown = page.run("colour()")[:3]
    over_red = np.array(GREEN) * 128 / 255 + np.array((255, 0, 0)) * 127 / 255
    wanted = over_red if alpha else np.array(GREEN)
    assert np.abs(np.array(shown) - wanted).max() <= 4, shown
