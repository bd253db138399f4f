"""Selection of frames of sparsely annotated films, against tables of the published program."""

import json
from itertools import chain, pairwise

import pytest

from sodcli.data.clips import between, overlapping_clips, windows
from tests.conftest import DATA

TABLES = json.loads((DATA / "rcrnet" / "clip_tables.json").read_text())
ANNOTATED = {"a": range(31), "b": range(6), "v": range(0, 91, 15)}


@pytest.mark.parametrize("name", TABLES)
def test_clips_equal_the_published_ones(name):
    args, clips = TABLES[name]["args"], TABLES[name]["clips"]
    for film in {clip["video"] for clip in clips}:
        kept = ANNOTATED[film][:: args["label_interval"]]
        count = args["frame_between_label_num"]
        gaps = [(first, *between(first, last, count)) for first, last in pairwise(kept)]
        places = [*chain(*gaps), kept[-1]]
        found = windows(places, args["clip_len"], training=args["training"])
        published = [clip for clip in clips if clip["video"] == film]
        assert [list(clip) for clip in found] == [clip["idx"] for clip in published]
        labelled = [[place in kept for place in clip] for clip in found]
        assert labelled == [clip["labelled"] for clip in published]


def test_labels_in_a_gap_are_evenly_spaced():
    assert between(0, 5, 1) == [2]
    assert between(0, 30, 4) == [6, 12, 18, 24]
    assert between(10, 15, 4) == [11, 12, 13, 14]


def test_a_gap_gives_no_more_labels_than_it_has_frames():
    assert between(3, 6, 9) == [4, 5]
    assert between(3, 4, 1) == []


def test_a_short_film_repeats_its_last_frame():
    assert windows([4, 9], 4, training=False) == [(4, 9, 9, 9)]
    assert windows([4], 3, training=True) == [(4, 4, 4), (4, 4, 4)]


def test_inference_clips_overlap_only_at_the_end():
    assert windows(range(8), 4, training=False) == [(0, 1, 2, 3), (4, 5, 6, 7)]
    assert windows(range(9), 4, training=False)[-1] == (5, 6, 7, 8)


def test_training_clips_share_one_frame():
    assert overlapping_clips(9, 4, 1) == [(0, 1, 2, 3), (3, 4, 5, 6), (5, 6, 7, 8)]
    assert overlapping_clips(8, 4, 2) == [(0, 2, 4, 6), (1, 3, 5, 7)]
    assert overlapping_clips(2, 4, 8) == [(0, 0, 0, 0), (1, 1, 1, 1)]
