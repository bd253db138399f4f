"""Tracks and tags of films: colour tags, sound, timecode, titles, subtitles."""

import re
from fractions import Fraction

import numpy as np
import pytest

from sodcli.io.films.probe import probe
from sodcli.io.films.tracks import read_tracks, shifted_timecode
from sodcli.io.films.write import FilmWriter
from tests.conftest import rare
from tests.film_kit import ffmpeg, pixels, render, told

RATE = Fraction(30000, 1001)
GREEN = (120, 255, 155)


def write(target, seconds=1.0, rate=RATE, **options):
    frame = np.full((48, 64, 3), GREEN, np.uint8)
    with FilmWriter(target, size_wh=(64, 48), rate=rate, **options) as film:
        for _ in range(round(seconds * rate)):
            film.write(frame)
    return film


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "h264"),
     *rare(("a.mov", "h264"), ("a.mkv", "h264"), ("a.mp4", "h265"), ("a.mp4", "av1"),
           ("a.webm", "vp9"), ("a.mov", "prores"))],
)  # fmt: skip
def test_all_three_colour_tags_are_written(tmp_path, name, codec):
    write(tmp_path / name, seconds=0.1, codec=codec)
    colour = probe(tmp_path / name).colour
    assert (colour.matrix, colour.primaries, colour.transfer) == ("bt709",) * 3
    assert colour.range == "tv"
    if name != "a.mkv" and codec != "vp9":
        assert b"colrncl" in (tmp_path / name).read_bytes()
    assert np.abs(pixels(tmp_path / name).mean((0, 1, 2)) - GREEN).max() < 3


def original(path):
    """Write 2 s of film with a title, a place, a timecode, two chapters and two subtitles."""
    chapters = path.with_name("chapters.txt")
    chapter = "[CHAPTER]\nTIMEBASE=1/1000\nSTART={}\nEND={}\ntitle={}\n"
    parts = chapter.format(0, 1000, "One") + chapter.format(1000, 2000, "Two")
    chapters.write_text(f";FFMETADATA1\ntitle=My film\n{parts}")
    lines = path.with_name("lines.srt")
    lines.write_text(
        "1\n00:00:00,100 --> 00:00:00,900\nHello\n\n2\n00:00:01,100 --> 00:00:01,900\nThere\n"
    )
    plain = render(path.with_name("plain.mov"), rate=RATE, seconds=2, sound=True)
    ffmpeg(
        "-i", plain, "-i", chapters, "-i", lines, "-map", "0", "-map", "2", "-map_metadata", "1",
        "-map_chapters", "1", "-c", "copy", "-c:s", "mov_text", "-timecode", "01:00:59;20",
        "-metadata", "location=+47.1+008.5/", "-metadata", "creation_time=2024-05-06T07:08:09Z",
        path,
    )  # fmt: skip
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.mov", "a.mkv", "a.mp4", "a.m4v", "a.webm"])
@pytest.mark.parametrize("source", ["own.mp4", "own.mov", "own.mkv"])
def test_the_software_tag_of_the_original_is_replaced(tmp_path, name, source):
    software = "sodcli 0.1.0, settings {}"
    write(tmp_path / source, seconds=0.1, software=software.format("00000001"))
    write(tmp_path / name, seconds=0.1, software=software.format("00000002"),
          original=tmp_path / source)  # fmt: skip
    assert read_tracks(tmp_path / source).software == software.format("00000001")
    assert read_tracks(tmp_path / name).software == software.format("00000002")
    write(tmp_path / name, seconds=0.1, original=tmp_path / source)
    assert read_tracks(tmp_path / name).software == ""


@pytest.mark.parametrize("name", ["a.mp4", *rare("a.mov", "a.mkv")])
def test_the_comment_of_the_original_stays(tmp_path, name):
    source = render(tmp_path / "in.mp4", "-metadata", "comment=Of mine", seconds=0.2)
    software = "sodcli 0.1.0, settings 00000001"
    write(tmp_path / name, seconds=0.1, original=source, software=software)
    assert re.search(r"comment +: Of mine", told(tmp_path / name), re.IGNORECASE)
    expected = "" if name == "a.mov" else software  # .mov has no other tag
    assert read_tracks(tmp_path / name).software == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.mov", "a.webm", "a.mp4", "a.m4v", "a.mkv"])
def test_tracks_that_the_container_supports_are_kept(tmp_path, name):
    source = original(tmp_path / "in.mov")
    film = write(tmp_path / name, seconds=2, sound=source, original=source)
    said, tracks = told(tmp_path / name), read_tracks(tmp_path / name)
    assert (film.damage, film.lost) == (None, ["timecode"] if name == "a.m4v" else [])
    assert tracks.timecode == ("" if name == "a.m4v" else "01:00:59;20")
    assert re.search(r"title +: My film", said)
    assert re.search(r"location +: \+47.1", said, re.IGNORECASE)
    assert re.search(r"creation_time +: 2024-05-06T07:08:09", said)
    assert [*re.findall(r"title +: (One|Two)", said)] == ["One", "Two"]
    assert len(tracks.sound) == len(tracks.subtitles) == 1
    assert "qt" not in re.findall(r"BRAND *: *(\w+)", said)


@pytest.mark.slow
def test_subtitles_that_are_not_cut_and_sound_that_is_over_are_named(tmp_path):
    source = original(tmp_path / "in.mov")
    tone = tmp_path / "tone.wav"
    ffmpeg("-f", "lavfi", "-i", "sine=440", "-t", 1, tone)
    film = write(tmp_path / "a.mkv", seconds=0.5, sound=tone, original=source, start_s=1.5)
    assert film.lost == ["subtitles of this format with --start"]
    assert film.damage.endswith("a.mkv: written without sound, which ends before --start")


@pytest.mark.slow
def test_a_piece_of_a_film_has_the_timecode_of_its_first_frame(tmp_path):
    source = original(tmp_path / "in.mov")
    write(tmp_path / "a.mov", seconds=0.8, sound=source, original=source, start_s=1.001)
    assert read_tracks(tmp_path / "a.mov").timecode == "01:01:00;22"  # ;00 and ;01 do not exist
    assert re.findall(r"title +: (One|Two)", told(tmp_path / "a.mov"))[-1] == "Two"
    lines = ffmpeg("-i", tmp_path / "a.mov", "-map", "0:s", "-f", "srt", "-").decode()
    assert re.fullmatch(r"1\n00:00:00,(09|10)\d --> \S+\nThere\s*", lines)


@pytest.mark.parametrize(
    ("timecode", "rate", "start_s", "wanted"),
    [
        ("00:00:00:00", 25, 1.0, "00:00:01:00"),
        ("23:59:59:24", 25, 0.04, "00:00:00:00"),
        ("00:08:59;29", RATE, 1001 / 30000, "00:09:00;02"),
        ("00:09:59;29", RATE, 1001 / 30000, "00:10:00;00"),
        ("00:00:00;00", RATE, 3599.99, "01:00:00;00"),
        ("00:00:59;59", 2 * RATE, 1001 / 60000, "00:01:00;04"),
        ("01:02:03:04", 24, 0.0, "01:02:03:04"),
        ("01:02:03:00", Fraction(2, 5), 5.0, "01:02:05:00"),
    ],
)
def test_timecodes_advance_and_drop_frames(timecode, rate, start_s, wanted):
    assert shifted_timecode(timecode, Fraction(rate), start_s) == wanted


def spatial(path):
    """Write a film whose second sound track has an unknown codec."""
    plain = render(path.with_name("two.mov"), seconds=1, sound=True)
    maps = ["-map", "0:v", "-map", "0:a", "-map", "0:a"]
    ffmpeg("-i", plain, *maps, "-c", "copy", "-c:a:1", "pcm_s16le", path)
    path.write_bytes(path.read_bytes().replace(b"sowt", b"apac"))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.mov", "a.mp4", "a.mkv", "a.webm"])
def test_only_the_undecodable_track_is_dropped(tmp_path, name):
    source = spatial(tmp_path / "in.mov")
    film = write(tmp_path / name, sound=source, original=source)
    assert len(probe(tmp_path / name).sound) == 1
    assert "written without sound track 2 (apple_apac), which ffmpeg cannot decode" in film.damage


@pytest.mark.slow
def test_only_the_damaged_track_is_dropped(tmp_path):
    plain = render(tmp_path / "plain.mkv", "-c:a", "flac", seconds=1, sound=True)
    ffmpeg("-i", plain, "-map", "0:v", "-map", "0:a", "-map", "0:a", "-c", "copy", "-c:a:1", "ac3",
           tmp_path / "two.mkv")  # fmt: skip
    data = bytearray((tmp_path / "two.mkv").read_bytes())
    place = data.index(b"A_AC3")
    data[place : place + 5] = b"A_DTS"
    (tmp_path / "in.mkv").write_bytes(data)
    film = write(tmp_path / "a.mp4", sound=tmp_path / "in.mkv", original=tmp_path / "in.mkv")
    assert probe(tmp_path / "a.mp4").sound == ("aac",)
    assert "sound track 2 (dts)" in film.damage
