"""Several methods on several sets: means, films, faults, processes."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from sodcli.benchmark.evaluate import evaluate, plan, run
from sodcli.benchmark.measure import ScoringTask, measure_all
from sodcli.benchmark.report.tables import as_dict
from sodcli.errors import MissingError, PipelineError, SourceError, UsageError
from sodcli.metrics.measure import USUAL, measure
from sodcli.metrics.scores import summarise, summarise_clips
from sodcli.metrics.video import PROTOCOLS
from tests.scoring_kit import draw_films, draw_set, draw_truth, save

LIGHT = frozenset({"mae", "f", "s"})


def grey(path):
    return cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)


def scores_of(maps, truths, *, which=USUAL, plain=frozenset()):
    names = sorted(path.name for path in truths.iterdir())
    return [measure(grey(maps / n), grey(truths / n), which=which, plain=plain) for n in names]


@pytest.fixture
def data(tmp_path):
    """Two sets and two methods; returns the root of the sets and the methods."""
    methods = {"a": tmp_path / "maps" / "a", "b": tmp_path / "maps" / "b"}
    for at, name in enumerate(("S1", "S2")):
        folders = [folder / name for folder in methods.values()]
        draw_set(tmp_path / "data" / name, folders, 5 + at, first=50 * at)
    return tmp_path / "data", methods


def test_every_method_is_scored_on_every_set(data):
    root, methods = data
    found = evaluate(methods, root)
    assert [(row.dataset, row.method) for row in found.rows] == [
        ("S1", "a"), ("S1", "b"), ("S2", "a"), ("S2", "b")
    ]  # fmt: skip
    for row in found.rows:
        expected = summarise(
            scores_of(methods[row.method] / row.dataset, root / row.dataset / "GT")
        )
        assert row.scores.as_dict() == expected.as_dict()
        assert row.scores.images == len(row.images)
    assert found.warnings() == []


def test_sets_that_no_method_has_maps_of_are_left_out(data):
    root, methods = data
    draw_set(root / "TR", [], 2)
    message = "TR: left out, no method has maps of it"
    found = evaluate(methods, root, common=True)
    assert found.datasets == ["S1", "S2"]
    assert found.warnings() == [message]
    with pytest.raises(MissingError, match=message):
        evaluate(methods, root, strict=True)


@pytest.mark.slow
def test_scores_do_not_depend_on_the_number_of_processes(data):
    root, methods = data
    done = []
    alone = as_dict(evaluate(methods, root, workers=1, advance=done.append))
    assert sum(done) == 11
    for workers in (2, 3):
        assert json.dumps(as_dict(evaluate(methods, root, workers=workers))) == json.dumps(alone)


def _die(_):
    os._exit(1)


@pytest.mark.slow
def test_a_killed_process_is_an_error_and_does_not_hang(data, monkeypatch):
    from sodcli.benchmark import measure as work

    root, _ = data
    truth = root / "S1" / "GT" / "0000.png"
    monkeypatch.setattr(work, "work", _die)
    with pytest.raises(PipelineError, match="--workers 1"):
        measure_all([ScoringTask(truth, (truth,), USUAL, frozenset())] * 2, 2, lambda _: None)


def test_sets_can_be_passed_in(data):
    root, methods = data
    planned = plan(methods, root)
    assert planned.images == 11
    again = evaluate(methods, planned.sets)
    assert json.dumps(as_dict(again)) == json.dumps(as_dict(run(planned)))


def test_only_the_requested_measures_are_computed(data):
    root, methods = data
    assert evaluate(methods, root, which=frozenset({"mae"})).names == ["MAE"]
    for names in ({"mae", "nonsense"}, set()):
        with pytest.raises(UsageError, match="Known: ber, dice, e, f, iou, mae"):
            plan(methods, root, which=frozenset(names))


class TestFaults:
    def test_missing_maps_are_counted_and_named(self, data):
        root, methods = data
        (methods["a"] / "S1" / "0002.png").unlink()
        found = evaluate(methods, root, which=LIGHT)
        row = found.rows[0]
        assert (row.scores.images, len(row.images), row.missing) == (4, 5, ["0002"])
        assert found.faults() == ["S1, a: 1 of 5 maps are missing: 0002"]
        kept = [at for at in range(5) if at != 2]
        names = [f"{at:04}.png" for at in kept]
        maps, truths = methods["a"] / "S1", root / "S1" / "GT"
        left = [measure(grey(maps / n), grey(truths / n), which=LIGHT) for n in names]
        assert row.scores.as_dict() == summarise(left).as_dict()

    def test_strict_fails_before_any_work_where_maps_are_missing(self, data):
        root, methods = data
        (methods["a"] / "S1" / "0002.png").unlink()
        done = []
        with pytest.raises(MissingError, match="S1, a: 1 of 5 maps are missing: 0002"):
            evaluate(methods, root, strict=True, advance=done.append)
        assert done == []

    def test_a_damaged_map_is_left_out_and_named(self, data):
        root, methods = data
        path = methods["a"] / "S1" / "0001.png"
        path.write_bytes(path.read_bytes()[:200])
        found = evaluate(methods, root, which=LIGHT)
        assert found.damaged == 1
        assert found.rows[0].scores.images == 4
        assert found.rows[1].scores.images == 5
        (line,) = found.faults()
        assert line.startswith("S1, a: 1 of 5 images are left out: ")
        assert str(path) in line
        for common in (False, True):
            with pytest.raises(SourceError, match="left out"):
                evaluate(methods, root, which=LIGHT, strict=True, common=common)

    def test_damaged_ground_truth_is_left_out_for_every_method(self, data):
        root, methods = data
        (root / "S1" / "GT" / "0000.png").write_bytes(b"nothing")
        found = evaluate(methods, root, which=LIGHT)
        assert [row.scores.images for row in found.rows] == [4, 4, 6, 6]
        assert found.damaged == 2

    def test_without_a_readable_pair_there_is_no_mean(self, data):
        root, methods = data
        for path in (methods["a"] / "S1").iterdir():
            path.write_bytes(b"nothing")
        found = evaluate(methods, root, which=LIGHT)
        assert found.rows[0].scores is None
        assert found.damaged == 5

    @pytest.mark.parametrize(
        ("change", "kind", "says"),
        [
            (lambda g: cv2.resize(g, (30, 20)), "resized", "resized to"),
            (lambda g: np.dstack([g, 255 - g, g]), "colour", "in colour"),
            (lambda g: np.dstack([g, g, g, g]), "transparent", "cut out"),
            (lambda g: g.astype(np.uint16) * 256, "deep", "more than 8 bits"),
        ],
    )
    def test_maps_of_an_unusual_kind_are_counted(self, data, change, kind, says):
        root, methods = data
        path = methods["b"] / "S2" / "0003.png"
        save(path, change(grey(path)))
        found = evaluate(methods, root, which=LIGHT)
        assert found.rows[3].odd(kind) == ["0003"]
        (line,) = found.faults()
        assert line.startswith("S2, b: 1 map ")
        assert says in line
        with pytest.raises(SourceError, match=says):
            evaluate(methods, root, which=LIGHT, strict=True)

    def test_warnings_alone_do_not_fail_a_strict_run(self, data):
        root, methods = data
        black = root / "S1" / "GT" / "0001.png"
        save(black, grey(black) * 0)
        save(root / "S1" / "GT" / "0002.png", grey(root / "S1" / "GT" / "0002.png") // 4 * 3)
        save(methods["a"] / "S1" / "stray.png", grey(black))
        found = evaluate({"a": methods["a"]}, root / "S1", strict=True)
        assert found.warnings() == [
            "S1, a: 1 ground truth not black and white, cut at 128: 0002",
            "S1, a: 1 map without ground truth, not used: stray.png",
            "S1, a: on 1 image mBA has no boundary to look at and is left out of its mean",
        ]

    def test_an_empty_quadrant_is_reported(self, tmp_path):
        truth = np.zeros((20, 20), np.uint8)
        truth[:, -1] = 255
        save(tmp_path / "S" / "GT" / "a.png", truth)
        save(tmp_path / "maps" / "a.png", truth)
        found = evaluate({"a": tmp_path / "maps"}, tmp_path / "S", which=LIGHT)
        assert found.warnings() == [
            "S, a: on 1 image S is 0/0 in an empty quadrant, which counts 0"
        ]


class TestFilms:
    FRAMES = {"bear": 4, "cat": 9}  # noqa: RUF012

    @pytest.fixture
    def film(self, tmp_path):
        return draw_films(tmp_path / "films", tmp_path / "maps", self.FRAMES), tmp_path / "maps"

    def clips(self, film, film_slice, plain=frozenset()):
        root, maps = film
        return [
            scores_of(maps / clip, root / clip / "GT", which=LIGHT, plain=plain)[film_slice]
            for clip in self.FRAMES
        ]

    def test_protocol_stdnet_averages_clips_without_first_and_last_frame(self, film):
        root, maps = film
        (row,) = evaluate({"a": maps}, root, which=LIGHT, film=PROTOCOLS["stdnet"]).rows
        clips = self.clips(film, slice(1, -1), frozenset({"mae", "s"}))
        assert [image.name for image in row.images][:3] == ["bear/0001", "bear/0002", "cat/0001"]
        assert row.scores.images == 2 + 7
        assert row.scores.mae == pytest.approx(
            np.mean([np.mean([frame.mae for frame in frames]) for frames in clips])
        )
        curve = np.mean([np.mean([f.f.curve for f in frames], axis=0) for frames in clips], axis=0)
        assert row.scores.f.max == pytest.approx(curve.max())
        assert row.scores.as_dict() == summarise_clips(map(summarise, clips)).as_dict()

    def test_protocol_rcrnet_weighs_every_frame_the_same(self, film):
        root, maps = film
        (row,) = evaluate({"a": maps}, root, which=LIGHT, film=PROTOCOLS["rcrnet"]).rows
        frames = [f for clip in self.clips(film, slice(None), LIGHT) for f in clip]
        assert row.scores.images == 13
        assert row.scores.as_dict() == summarise(frames).as_dict()

    def test_without_a_protocol_frames_are_scored_as_pictures(self, film):
        root, maps = film
        (row,) = evaluate({"a": maps}, root, which=LIGHT).rows
        frames = [f for clip in self.clips(film, slice(None)) for f in clip]
        assert row.scores.as_dict() == summarise(frames).as_dict()
        assert row.film is None

    def test_a_clip_that_is_too_short_is_left_out_and_reported(self, film):
        root, maps = film
        for number in (2, 3):
            for kind, suffix in (("GT", "png"), ("images", "jpg")):
                (root / "bear" / kind / f"000{number}.{suffix}").unlink()
        found = evaluate({"a": maps}, root, which=LIGHT, film=PROTOCOLS["stdnet"])
        assert "films: too short to be scored: bear" in found.warnings()
        assert found.rows[0].scores.images == 7

    def test_pictures_and_too_short_films_are_refused(self, tmp_path, film):
        root = draw_set(tmp_path / "S", [tmp_path / "flat"])
        with pytest.raises(UsageError, match="leave --video out"):
            plan({"a": tmp_path / "flat"}, root, film=PROTOCOLS["stdnet"])
        short = draw_films(tmp_path / "short", tmp_path / "maps2", {"x": 2, "y": 2})
        with pytest.raises(UsageError, match="too short"):
            plan({"a": tmp_path / "maps2"}, short, film=PROTOCOLS["stdnet"])

    def test_sets_of_pictures_beside_films_are_scored_as_pictures(self, tmp_path):
        draw_films(tmp_path / "data" / "films", tmp_path / "maps" / "films", self.FRAMES)
        draw_set(tmp_path / "data" / "stills", [tmp_path / "maps" / "stills"])
        found = evaluate(
            {"a": tmp_path / "maps"}, tmp_path / "data", which=LIGHT, film=PROTOCOLS["stdnet"]
        )
        by_name = {row.dataset: row for row in found.rows}
        assert by_name["films"].film is PROTOCOLS["stdnet"]
        assert by_name["stills"].film is None
        assert by_name["stills"].scores.images == 6


def test_a_plain_map_scores_differently_from_a_normalised_one():
    truth = draw_truth(0)
    faint = (truth // 3).astype(np.uint8)
    stretched, plain = measure(faint, truth), measure(faint, truth, plain=USUAL)
    assert stretched.mae == 0
    share = np.mean(truth > 128)
    assert plain.mae == pytest.approx(share * (1 - 85 / 255))
    assert plain.s < stretched.s
    assert plain.f.curve[:170].max() == 0
    assert plain.mba == stretched.mba


def test_a_path_that_cannot_be_listed_is_reported(tmp_path):
    with pytest.raises(MissingError, match="no folder"):
        evaluate({"a": tmp_path}, Path("nowhere"))
