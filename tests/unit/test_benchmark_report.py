"""The reports of an evaluation: table, CSV, JSON, Excel and HTML."""

import csv
import html
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from markdown_it import MarkdownIt

from sodcli.benchmark.bootstrap import _draws, _statistic, differences
from sodcli.benchmark.evaluate import evaluate
from sodcli.benchmark.measure import read_truth
from sodcli.benchmark.report.charts import Axis, as_figure, histogram, line_chart
from sodcli.benchmark.report.files import SUFFIXES, check_reports, write_reports
from sodcli.benchmark.report.page import as_html
from sodcli.benchmark.report.samples import extremes, score_of
from sodcli.benchmark.report.tables import (
    as_csv,
    as_dict,
    as_latex,
    as_markdown,
    counted,
    is_best,
    rounded,
)
from sodcli.errors import SinkError, UsageError
from sodcli.metrics.measure import USUAL
from sodcli.metrics.video import PROTOCOLS
from tests.scoring_kit import draw_films, draw_set, save

NAMES = ["MAE", "maxF", "meanF", "adpF", "wF", "S", "maxE", "meanE", "adpE", "mBA"]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A good and a poor method on two sets; the poor one lacks a map and has a damaged one."""
    root = tmp_path_factory.mktemp("found")
    methods = {"fine": root / "fine", "rough": root / "rough"}
    for name, count in (("ECSSD", 12), ("Own", 3)):
        draw_set(root / "data" / name, [m / name for m in methods.values()], count)
    (root / "rough" / "ECSSD" / "0003.png").unlink()
    (root / "rough" / "ECSSD" / "0005.png").write_bytes(b"nothing")
    return evaluate(methods, root / "data")


@pytest.fixture(scope="module")
def page(found):
    return as_html(found)


def test_the_best_is_the_lowest_mae_and_the_highest_of_all_other_scores(found):
    fine, rough = found.of("Own")
    assert fine.scores.mae < rough.scores.mae
    assert fine.scores.s > rough.scores.s
    for name in ("MAE", "S"):
        assert is_best(found, fine, name)
        assert not is_best(found, rough, name)
    assert not is_best(found, fine, "nonsense")


def test_a_single_method_is_not_marked_and_missing_scores_are_dashes(found, tmp_path):
    draw_set(tmp_path / "S", [tmp_path / "m"], 2)
    alone = evaluate({"m": tmp_path / "m"}, tmp_path / "S", which=frozenset({"mae"}))
    assert not is_best(alone, alone.rows[0], "MAE")
    assert rounded(alone.rows[0], "S") == "-"
    assert rounded(alone.rows[0], "MAE") == f"{alone.rows[0].scores.mae:.4f}"
    assert [counted(row) for row in found.rows] == ["12", "10 of 12", "3", "3"]


def test_csv_has_one_line_per_set_and_method(found):
    lines = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert [(line["set"], line["method"]) for line in lines] == [
        ("ECSSD", "fine"), ("ECSSD", "rough"), ("Own", "fine"), ("Own", "rough")
    ]  # fmt: skip
    assert [lines[1][key] for key in ("images", "expected", "missing", "damaged")] == [
        "10", "12", "1", "1"
    ]  # fmt: skip
    assert list(lines[0])[-10:] == NAMES
    assert float(lines[0]["S"]) == pytest.approx(found.rows[0].scores.s, abs=1e-6)


def test_json_contains_all_results(found):
    document = json.loads(json.dumps(as_dict(found), allow_nan=False))
    first, second = document["results"][:2]
    assert list(first["scores"]) == NAMES
    assert {key: len(curve) for key, curve in first["curves"].items()} == dict.fromkeys(
        ("precision", "recall", "f", "e"), 256
    )
    assert max(first["curves"]["f"]) == first["scores"]["maxF"]
    assert np.mean([i["scores"]["MAE"] for i in first["per_image"]]) == pytest.approx(
        first["scores"]["MAE"]
    )
    assert second["missing"] == ["0003"]
    assert len(second["damaged"]) == 1
    assert second["per_image"][3] == {
        "name": "0003",
        "map": None,
        "truth": first["per_image"][3]["truth"],
        "scores": {},
    }
    assert len(document["warnings"]) == 3  # missing, damaged, and 12 images instead of 1000


def test_excel_has_minets_columns_and_formulas(found, tmp_path):
    openpyxl = pytest.importorskip("openpyxl", reason="the extra [xlsx] is not installed")
    write_reports(found, [tmp_path / "result.xlsx"])
    book = openpyxl.load_workbook(tmp_path / "result.xlsx")
    sheet = book["Results"]
    rows = [list(row) for row in sheet.iter_rows(values_only=True)]
    assert [name for name in rows[0] if name] == [
        "name_dataset", "DUTS", "DUT-OMRON", "HKU-IS", "ECSSD", "PASCAL-S", "SOC", "OWN"
    ]  # fmt: skip
    assert [n for n in rows[1] if n] == ["num_dataset", 5019, 5168, 1447, 12, 850, 1200, 3]
    assert rows[2] == ["metrics", *["MAXF", "MEANF", "MAE"] * 7]
    assert "B1:D1" in map(str, sheet.merged_cells.ranges)
    assert [row[0] for row in rows[3:6]] == ["fine", "rough", None]
    assert "MAXF: the largest F-measure of the set's mean precision and mean recall" in rows[6][0]
    at = rows[0].index("ECSSD")
    f = found.rows[0].scores.f
    best = (1.3 * f.precision * f.recall / (0.3 * f.precision + f.recall)).max()
    assert rows[3][at : at + 3] == pytest.approx([best, f.adaptive, found.rows[0].scores.mae])
    assert rows[3][1:4] == [None] * 3


def test_excel_keeps_sets_apart_that_share_a_column_of_minet(found, tmp_path):
    openpyxl = pytest.importorskip("openpyxl", reason="the extra [xlsx] is not installed")
    rows = zip(found.rows, ("DUTS-TE", "own", "DUTS", "OWN"), strict=True)
    renamed = [replace(row, method="m", dataset=name) for row, name in rows]
    write_reports(replace(found, rows=tuple(renamed)), [tmp_path / "result.xlsx"])
    sheet = openpyxl.load_workbook(tmp_path / "result.xlsx")["Results"]
    heads = [cell.value for cell in sheet[1]]
    for row in renamed:
        mae = sheet.cell(4, heads.index(row.dataset) + 3).value
        assert mae == pytest.approx(row.scores.mae)


def test_excel_opens_on_the_sheet_of_scores_as_numbers(found, tmp_path):
    openpyxl = pytest.importorskip("openpyxl", reason="the extra [xlsx] is not installed")
    write_reports(found, [tmp_path / "result.xlsx"])
    book = openpyxl.load_workbook(tmp_path / "result.xlsx")
    assert book.sheetnames == ["Scores", "Results"]
    assert book.active.title == "Scores"
    head, *lines = book.active.iter_rows(values_only=True)
    counts = ["images", "expected", "missing", "damaged", "resized"]
    assert list(head) == ["set", "method", *counts, *NAMES]
    assert lines[1][:7] == ("ECSSD", "rough", 10, 12, 1, 1, 0)
    assert lines[0][head.index("maxF")] == pytest.approx(found.rows[0].scores.f.max)
    assert all(isinstance(cell, int | float) for line in lines for cell in line[2:])


def test_reports_that_cannot_be_written_are_refused_before_the_work(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="is a folder"):
        check_reports([tmp_path], USUAL)
    with pytest.raises(UsageError, match=r"no report has this suffix. Did you mean '.html'\?"):
        check_reports([tmp_path / "a.htm"], USUAL)
    from sodcli.benchmark.report import files

    monkeypatch.setattr(files, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'sodcli\[xlsx\]'"):
        check_reports([tmp_path / "a.xlsx"], USUAL)
    with pytest.raises(UsageError, match=r"pip install 'sodcli\[plot\]'"):
        check_reports([tmp_path / "a.pdf"], USUAL)
    monkeypatch.setattr(files, "find_spec", lambda name: name)
    with pytest.raises(UsageError, match="add f and mae"):
        check_reports([tmp_path / "a.xlsx"], frozenset({"mae"}))
    with pytest.raises(UsageError, match="add f to --metrics"):
        check_reports([tmp_path / "a.svg"], frozenset({"mae"}))
    check_reports([tmp_path / f"a{suffix}" for suffix in SUFFIXES], USUAL)


def test_a_report_appears_whole_and_replaces_the_old_one(found, tmp_path):
    target = tmp_path / "new" / "report.html"
    assert write_reports(found, [target]) == [target]
    first = target.read_bytes()
    write_reports(found, [target])
    assert target.read_bytes() == first
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="file"):
        write_reports(found, [tmp_path / "file" / "a.csv"])


def test_names_that_utf_8_cannot_hold_are_written_as_well_as_it_can(found, tmp_path):
    odd = replace(found, rows=(replace(found.rows[0], method="caf\udce9"),))
    shown = {".csv": "caf?", ".html": "caf?", ".md": r"caf\\udce9", ".tex": r"caf\textbackslash{}"}
    for suffix, name in shown.items():
        (path,) = write_reports(odd, [tmp_path / f"report{suffix}"])
        assert name in path.read_text(encoding="utf-8")


def test_a_method_with_missing_maps_is_never_the_best(found):
    """On ECSSD the poor method lacks two images, so the two methods are not compared."""
    fine, rough = found.of("ECSSD")
    assert fine.complete
    assert not rough.complete
    assert not any(is_best(found, row, name) for row in (fine, rough) for name in NAMES)
    assert counted(rough) == "10 of 12"


def test_markdown_marks_the_best_and_the_second(found):
    lines = as_markdown(found).splitlines()
    assert lines[0].startswith("| set | method | images | MAE \u2193 | maxF \u2191 |")
    assert lines[1].count("---") == 13
    fine, rough = found.of("Own")
    assert f"| Own | fine | 3 | **{fine.scores.mae:.4f}** |" in lines[4]
    assert f"| Own | rough | 3 | <u>{rough.scores.mae:.4f}</u> |" in lines[5]
    assert "**" not in lines[2] + lines[3]


def test_markdown_shows_names_as_they_are(found):
    names = ["<ours>", "a*b*", "_a_", "`a`", "a|b", r"a\|b\\", "[a](b)", "~~a~~", "&lt;"]
    for name in names:
        row = replace(found.rows[0], dataset=name, method=f"m {name}")
        page = (
            MarkdownIt()
            .enable(["table", "strikethrough"])
            .render(as_markdown(replace(found, rows=(row,))))
        )
        shown = [html.unescape(cell) for cell in re.findall("<td>(.*)</td>", page)]
        assert shown[:2] == [name, f"m {name}"]


def test_latex_marks_the_best_and_escapes_names(tmp_path):
    methods = {"a_b": tmp_path / "x", "50% & $": tmp_path / "y"}
    draw_set(tmp_path / "S", methods.values(), 3)
    both = evaluate(methods, tmp_path / "S", which=frozenset({"mae", "s"}))
    text = as_latex(both)
    first, second = both.rows
    assert r"Set & Method & MAE $\downarrow$ & S $\uparrow$ \\" in text
    assert rf"S & a\_b & \textbf{{{first.scores.mae:.4f}}} & " in text
    assert rf" & 50\% \& \$ & \underline{{{second.scores.mae:.4f}}} & " in text
    assert text.startswith(r"\begin{tabular}{llcc}")
    assert text.endswith("\\end{tabular}\n")
    other = as_latex(replace(both, rows=(replace(first, dataset="[S] <a|>"),)))
    assert r"{[}S] \textless{}a\textbar{}\textgreater{} & a\_b & " in other


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suffix", "head"), [("pdf", b"%PDF"), ("svg", b"<?xml"), ("png", b"\x89PNG")]
)
def test_curves_as_figures(found, tmp_path, suffix, head):
    pytest.importorskip("matplotlib", reason="the extra [plot] is not installed")
    (path,) = write_reports(found, [tmp_path / f"curves.{suffix}"])
    assert path.read_bytes().startswith(head)
    if suffix == "svg":
        text = path.read_text()
        for word in ("ECSSD", "Own", "Recall", "Precision", "Threshold", "fine", "rough"):
            assert f"<!-- {word} -->" in text
        (tmp_path / "m").mkdir()
        draw_set(tmp_path / "S", [tmp_path / "m"], 1)
        alone = evaluate({"_m": tmp_path / "m"}, tmp_path / "S")
        assert "<!-- _m -->" in as_figure(alone, "svg").decode()
        odd = replace(alone, rows=(replace(alone.rows[0], method="caf\udce9"),))
        assert r"<!-- caf\udce9 -->" in as_figure(odd, "svg").decode()


def test_intervals_contain_the_difference_and_separate_noise_from_progress(found, page):
    gaps = {gap.score: gap for gap in differences(found)}
    assert {gap.dataset for gap in gaps.values()} == {"ECSSD"}  # the other set is too small
    assert list(gaps) == NAMES
    fine, rough = found.of("ECSSD")
    pairs = [
        (a.scores, b.scores)
        for a, b in zip(fine.images, rough.images, strict=True)
        if a.scores and b.scores
    ]
    assert gaps["MAE"].value == pytest.approx(np.mean([a.mae - b.mae for a, b in pairs]))
    best = [
        np.mean([one.f.curve for one in each], axis=0).max() for each in zip(*pairs, strict=True)
    ]
    assert gaps["maxF"].value == pytest.approx(best[0] - best[1])
    for gap in gaps.values():
        assert gap.low <= gap.value <= gap.high
        assert gap.samples == 10
    assert gaps["MAE"].high < 0  # fine is clearly better
    assert f"{gaps['MAE'].value:+.4f} [" in page


def test_a_score_undefined_on_the_first_image_has_an_interval(tmp_path):
    methods = {name: tmp_path / name for name in "ab"}
    draw_set(tmp_path / "S", methods.values(), 10)
    black = tmp_path / "S" / "GT" / "0000.png"
    save(black, read_truth(black)[0] * 0)
    found = evaluate(methods, tmp_path / "S", which=frozenset({"mae", "mba"}))
    mae, mba = differences(found)
    first, second = (row.scores.mba for row in found.rows)
    assert (mae.score, mba.score) == ("MAE", "mBA")
    assert mba.value == pytest.approx(first - second)


def test_the_interval_has_the_theoretical_width():
    """For a mean: 2 x 1.96 standard errors."""
    rng = np.random.default_rng(1)
    values = rng.normal(0, 1, (400, 1))
    members = [np.array([at]) for at in range(400)]
    drawn = _statistic(values, members, _draws(400), "MAE", by_unit=False)
    low, high = np.quantile(drawn[1:], (0.025, 0.975))
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.08)


def test_the_page_loads_no_other_files(page):
    assert not re.search(r"""(?:src|href)=["'](?!data:)""", page)
    assert "@import" not in page
    assert "url(" not in page


def test_the_page_has_every_score_and_every_warning(found, page):
    for row in found.rows:
        assert f">{rounded(row, 'MAE')}<" in page
    assert page.count("<li>") == len(found.warnings()) == 3
    assert page.count('<svg class="chart"') == 6
    data = json.loads(re.search(r'id="data">(.*?)</script>', page)[1])
    assert data["columns"] == ["set", "image", "method", *NAMES]
    assert len(data["rows"]) == 30
    assert [row[1] for row in data["rows"] if row[3] is None] == [
        "0003 (missing)",
        "0005 (damaged)",
    ]


def test_worst_and_best_images_are_those_that_every_method_has(found):
    worst, best = extremes(found.of("ECSSD"), "MAE")
    assert (len(worst), len(best)) == (6, 3)
    assert worst[0].score == max(one.score for one in worst + best)
    assert best[0].score == min(one.score for one in worst + best)
    for one in worst + best:
        assert one.score == pytest.approx(np.mean([score_of(i, "MAE") for i in one.images]))
    worst, best = extremes(found.of("Own"), "S")
    assert (len(worst), len(best)) == (3, 0)
    assert worst[0].score == min(one.score for one in worst)


def test_a_page_shows_films_photos_or_none_and_methods_without_a_map(tmp_path):
    root = draw_films(tmp_path / "films", tmp_path / "maps", {"bear": 3, "cat": 4})
    film = evaluate({"a": tmp_path / "maps"}, root, film=PROTOCOLS["stdnet"])
    page = as_html(film)
    assert "Films as STDNet" in page
    assert "bear/0001" in page
    bare = draw_set(tmp_path / "S", [tmp_path / "m"], 2, photos=False)
    for path in (tmp_path / "m").iterdir():
        (tmp_path / "other").mkdir(exist_ok=True)
        path.replace(tmp_path / "other" / path.name)
        break
    both = {"m": tmp_path / "m", "other": tmp_path / "other"}
    page = as_html(evaluate(both, bare, which=frozenset({"s"})))
    assert page.count('<td><span class="none">none</span>') == 4  # two photos, two maps
    assert page.count('<svg class="chart"') == 1  # no curves without F
    for path in [*both["m"].iterdir(), *both["other"].iterdir()]:
        path.write_bytes(b"nothing")
    assert "No image has a score" in as_html(evaluate(both, bare))
    black = {"m": save(tmp_path / "black" / "a.png", np.zeros((9, 9), np.uint8)).parent}
    page = as_html(evaluate(black, black["m"], which=frozenset({"mba"})))
    assert "No image has a score" in page


def test_missing_photos_leave_an_empty_cell(tmp_path):
    root = draw_set(tmp_path / "S", [tmp_path / "m"], 2)
    found = evaluate({"m": tmp_path / "m"}, root)
    for path in (*(root / "images").iterdir(), *(root / "GT").iterdir()):
        path.unlink()
    assert as_html(found).count('<span class="none">none</span>') == 4


def test_charts_stay_inside_their_frame_and_escape_names():
    chart = line_chart(Axis("x"), Axis("y"), [("<a>", np.array([0, 1.0]), np.array([0, 1.0]))])
    assert 'points="60.0,260.0 392.0,10.0"' in chart
    assert "<title>&lt;a&gt;</title>" in chart
    bars = histogram("MAE", [("a", np.array([0.0, 0.2, 0.2, 1.0000001])), ("none", np.array([]))])
    heights = [float(h) for h in re.findall(r'<rect[^>]* height="([\d.]+)"', bars)]
    assert max(heights) == pytest.approx(250, abs=0.1)  # half the images: the axis ends at 0.5
    assert sum(height > 0 for height in heights) == 3
    assert len(heights) == 32


def test_the_parts_of_the_page_are_packaged():
    import sodcli.benchmark.report as room

    assert {"page.css", "page.js", "page.html"} <= {
        path.name for path in Path(room.__file__).parent.iterdir()
    }
