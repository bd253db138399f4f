"""The HTML report of ``sod eval``, opened from disk in a browser."""

import base64
import os

import pytest

from sodcli.benchmark.evaluate import evaluate
from sodcli.benchmark.report.page import as_html
from tests.chromium import chromium_page
from tests.scoring_kit import draw_set

pytestmark = pytest.mark.slow

CELLS = "[...document.querySelectorAll('#images tbody tr')].map(r => r.cells[{}].textContent)"
CLICK = (
    "[...document.querySelectorAll('#images th button')].find(b => b.textContent == '{}').click()"
)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    root = tmp_path_factory.mktemp("report")
    hostile = "<b>&\"'</script><script>throw 1"
    methods = {"fine": root / "a", "rough": root / "b", hostile: root / "c"}
    draw_set(root / "set", methods.values(), 41)
    (root / "c" / "0003.png").unlink()
    page = root / "report.html"
    page.write_text(as_html(evaluate(methods, root / "set")), encoding="utf-8")
    return page


@pytest.fixture(scope="module")
def page(tmp_path_factory, report):
    with chromium_page(tmp_path_factory.mktemp("profile")) as browser:
        browser.open(report)
        yield browser


def test_it_opens_without_errors_or_requests(page):
    assert page.run("document.querySelectorAll('.means tr').length") == 4
    assert page.run("document.querySelectorAll('svg.chart').length") == 3
    assert page.run("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert page.run("document.images.length") >= 9 * 4  # the hostile name may lack its map
    assert page.complaints == []


def test_markup_in_a_name_is_escaped(page):
    heads = page.run("[...document.querySelectorAll('.gallery th')].map(h => h.textContent)")
    assert heads[4] == "<b>&\"'</script><script>throw 1"


def test_a_click_sorts_and_a_second_one_reverses(page):
    page.run(CLICK.format("MAE"))
    up = page.run(CELLS.format(3))
    assert len(up) == 100
    assert up == sorted(up, key=float)
    page.run(CLICK.format("MAE"))
    down = page.run(CELLS.format(3))
    assert down == sorted(down, key=float, reverse=True)
    assert float(down[0]) > float(up[0])
    assert page.run("document.querySelector('[aria-sort]').ariaSort") == "descending"
    assert page.complaints == []


def test_rows_without_a_score_come_last_in_both_directions(page):
    page.run("document.getElementById('more').click()")
    for _ in range(2):
        page.run(CLICK.format("S"))
        page.run("document.getElementById('more').click()")
        assert page.run(CELLS.format(1))[-1] == "0003 (missing)"
        assert page.run(CELLS.format(8))[-1] == "-"


def test_the_filter_keeps_matching_rows(page):
    fill = "(f => {{ f.value = '{}'; f.dispatchEvent(new Event('input')); }})"
    page.run(fill.format("0017") + "(document.getElementById('filter'))")
    assert set(page.run(CELLS.format(1))) == {"0017"}
    assert len(page.run(CELLS.format(1))) == 3
    page.run(fill.format("") + "(document.getElementById('filter'))")


def luminance(colour):
    """Return WCAG's relative luminance of ``rgb(r, g, b)``."""
    parts = [int(p) / 255 for p in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_in_light_and_dark(page, scheme):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page("Emulation.setEmulatedMedia", features=features)
    style = "getComputedStyle(document.querySelector('{}')).{}"
    back = luminance(page.run(style.format("body", "backgroundColor")))
    assert (back > 0.5) == (scheme == "light")
    for what, kind, least in (
        ("body", "color", 7),
        ("th", "color", 4.5),
        (".tick", "fill", 4.5),
        *[(f".line.c{at}", "stroke", 3) for at in range(3)],
    ):
        low, high = sorted((back, luminance(page.run(style.format(what, kind)))))
        assert (high + 0.05) / (low + 0.05) >= least, what
    if folder := os.environ.get("SOD_SCREENSHOTS"):
        shot = page("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        with open(f"{folder}/report_{scheme}.png", "wb") as file:  # noqa: PTH123
            file.write(base64.b64decode(shot))
