"""For any bytes, every reader gives a result or an error of sodcli."""

import io
import os
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save

from sodcli.cli.ui import _one_line
from sodcli.data.masks import read_mask
from sodcli.data.read import picture_size, read_image, read_stored
from sodcli.errors import SodError
from sodcli.files import natural_key
from sodcli.io.films import probe as film_probe
from sodcli.io.films.ffmpeg import error_line
from sodcli.io.films.formats import choose_codec, usual_suffix
from sodcli.io.films.read import _Stamps
from sodcli.io.films.tracks import sound_args
from sodcli.io.pictures.decode import decode
from sodcli.io.pictures.read import decode_picture
from sodcli.io.search import kind_of
from sodcli.models.restore import identify
from sodcli.registry import Registry, default_registry
from sodcli.training.config import read_config, read_toml, resolve
from sodcli.weights.archive import Limits, unpack
from sodcli.weights.download_settings import ExpectedFile
from sodcli.weights.lockfile import Lockfile
from sodcli.weights.read import read_weights
from tests.torture.corpus import encoded, photo, png

EXAMPLES = int(os.environ.get("SOD_FUZZ", "3000" if os.environ.get("SOD_TORTURE") else "15"))
fuzz = settings(
    max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
_TINY = photo((9, 11))
PICTURES = [
    *(
        encoded(_TINY, form)
        for form in ("PNG", "JPEG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "PPM")
    ),
    encoded(_TINY, "JPEG", progressive=True),
    encoded(_TINY.convert("CMYK"), "JPEG"),
    encoded(_TINY.convert("P"), "PNG"),
    encoded(_TINY, "TIFF", compression="tiff_lzw"),
    encoded(_TINY, "TIFF", compression="jpeg"),
    encoded(_TINY, "GIF", save_all=True, append_images=[_TINY.rotate(90)]),
    png(9, 11, depth=16, colour=6),
]


def torch_file(content: object, **how: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **how)
    return file.getvalue()


_STATE = {"module.a": torch.arange(6.0).view(2, 3), "module.b": torch.ones(2, dtype=torch.int64)}
WEIGHTS = [
    save(dict(_STATE), {"model": "sdnet", "form": "training"}),
    torch_file(_STATE),
    torch_file({"state_dict": _STATE}, _use_new_zipfile_serialization=False),
]


def packed(form: str) -> bytes:
    file = io.BytesIO()
    if form == "zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bundle:
            bundle.writestr("set/a.txt", b"all of it" * 20)
            bundle.writestr("set/b/c.txt", b"")
    else:
        with tarfile.open(fileobj=file, mode=f"w{form}") as bundle:
            info = tarfile.TarInfo("set/a.txt")
            info.size = 90
            bundle.addfile(info, io.BytesIO(b"0123456789" * 9))
    return file.getvalue()


ARCHIVES = [packed("zip"), packed(""), packed(":gz"), packed(":xz"), packed(":bz2")]


@st.composite
def damaged(draw, wholes):
    """Return one of ``wholes`` with bytes changed, cut, doubled or inserted; or random bytes."""
    data = bytearray(draw(st.sampled_from(wholes)))
    for _ in range(draw(st.integers(0, 5))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        end = min(len(data), at + draw(st.integers(1, 12)))
        how = draw(st.sampled_from(("set", "cut", "end", "double", "put", "ones")))
        if how == "set":
            data[at:end] = draw(st.binary(min_size=end - at, max_size=end - at))
        elif how == "cut":
            del data[at:end]
        elif how == "end":
            del data[at:]
        elif how == "double":
            data[at:at] = data[at:end]
        elif how == "put":
            data[at:at] = draw(st.binary(max_size=9))
        else:
            data[at:end] = b"\xff" * (end - at)
    return bytes(data)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


def result_or_error(call, *words):
    """Call it; an error must be a ``SodError``. Return the result or ``None``."""
    try:
        return call(*words)
    except SodError:
        return None


def written(scratch, data, suffix=""):
    handle, name = tempfile.mkstemp(dir=scratch, suffix=suffix)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    return Path(name)


@fuzz
@given(damaged(PICTURES))
def test_pictures(data):
    raster = result_or_error(decode, data, "x", 10**6)
    assert raster is None or raster.rgb.dtype == np.uint8
    frame = result_or_error(lambda: decode_picture(data, name="x", max_pixels=10**6))
    assert (frame is None) == (raster is None)


@fuzz
@given(damaged(PICTURES))
def test_training_pictures_and_masks(scratch, data):
    path = written(scratch, data)
    for read in (read_image, read_mask, read_stored, picture_size):
        result_or_error(read, path)
    assert kind_of(path) in ("picture", "film")
    path.unlink()


@fuzz
@given(damaged(WEIGHTS))
def test_weights(scratch, data):
    path = written(scratch, data)
    raw = result_or_error(read_weights, path)
    if raw is not None:
        result_or_error(identify, raw, default_registry())
    path.unlink()


@fuzz
@given(damaged(ARCHIVES))
def test_archives(scratch, data):
    path, room = written(scratch, data), Path(tempfile.mkdtemp(dir=scratch))
    result_or_error(unpack, path, room / "in" / "set", Limits(10, 10**6))
    assert {p.name for p in room.iterdir()} <= {"in"}
    assert {p.name for p in (room / "in").iterdir()} <= {"set"}
    path.unlink()


KEYS = [
    "model",
    "data",
    "epochs",
    "lr",
    "size",
    "scales",
    "augment",
    "optimizer",
    "schedule",
    "loss",
]
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from([*KEYS, "name", "x"]), inner, max_size=3),
    ),
    max_leaves=6,
)
SETTINGS = [
    default_registry() and (b'model = "sdnet"\ndata = ["x"]\nlr = 0.1\nscales = [1.0, 1.5]\n'),
    b'[optimizer]\nname = "sgd"\ngroups = [{ match = "x", lr = 2.0 }]\n[schedule]\nname = "poly"\n',
]


@fuzz
@given(st.dictionaries(st.sampled_from(KEYS), values))
def test_settings(table):
    table = {"model": "sdnet", "data": ["x"], **table}
    result_or_error(resolve, default_registry(), table)


@fuzz
@given(st.one_of(damaged(SETTINGS), st.binary(max_size=60)))
def test_settings_files(scratch, data):
    path = written(scratch, data, ".toml")
    result_or_error(read_toml, path)
    result_or_error(read_config, path)
    path.unlink()


ENTRY = b"""
[models.a]
arch = "sdnet"
input_hw = [32, 32]
layout = "sdnet"
license = "x"
paper = "y"
[weights.b]
model = "a"
trained_on = "z"
license = "MIT"
mirrors = ["https://x.org/y"]
[datasets.c]
kind = "image"
title = "t"
paper = "p"
"""


@fuzz
@given(damaged([ENTRY]))
def test_the_registry_file(scratch, data):
    path = written(scratch, data, ".toml")
    result_or_error(Registry.read, path)
    path.unlink()


@fuzz
@given(st.binary(max_size=80) | damaged([b'[a]\nmirror = "x"\nsize = 3\nsha256 = "00"\n']))
def test_the_lockfile(scratch, data):
    home = Path(tempfile.mkdtemp(dir=scratch))
    (home / "lock.toml").write_bytes(data)
    result_or_error(Lockfile(home).records)
    assert ExpectedFile().hashed is False


SAID = [
    "[info] Input #0, mov,mp4, from 'file:x.mp4':",
    "[info]   Duration: 00:00:02.00, start: 0.000000, bitrate: 17 kb/s",
    "[info]   Stream #0:0[0x1](und): Video: vp9, yuva420p(tv, bt709), 64x48, 25 fps, 25 tbr",
    "[info]   Stream #0:1: Audio: aac (LC), 44100 Hz",
    "[info]       displaymatrix: rotation of -90.00 degrees",
    "[info]       alpha_mode      : 1",
    "[info] [Parsed_showinfo_0 @ 0x5] n:   0 pts: 0 fmt:yuva420p sar:1/1 s:64x48 i:P iskey:1",
    "[info] color_range:tv color_space:bt709 color_primaries:bt2020 color_trc:smpte2084",
    "[error] [mov @ 0x1] moov atom not found",
]
HEAD = "#software: x\n#tb 0: 1/25\n#codec_id 0: rawvideo\n#dimensions 0: 64x48\n#sar 0: 1/1\n"
texts = st.text(st.characters(codec="utf-8"), max_size=12)


@st.composite
def mangled(draw, text):
    """Return a text with a part replaced, mostly by digits."""
    at = draw(st.integers(0, len(text)))
    piece = draw(texts | st.text("0123456789./:-", max_size=9))
    return text[:at] + piece + text[at + draw(st.integers(0, 6)) :]


@fuzz
@given(st.data())
def test_probe_output_of_ffmpeg(data):
    said = [data.draw(mangled(line)) for line in SAID if data.draw(st.booleans())]
    head = data.draw(mangled(HEAD) | texts)
    with pytest.MonkeyPatch.context() as patched:
        answer = film_probe._Answer(said, "\n".join(said), head, "because")
        patched.setattr(film_probe, "_ask", lambda path, stream: answer)
        info = result_or_error(film_probe.probe, Path("x.mp4"))
    if info is not None:
        assert min(info.size_wh) >= 1
        assert info.rate > 0
        assert info.average > 0


@fuzz
@given(st.lists(mangled(SAID[-1]) | texts, max_size=5))
def test_error_output_of_ffmpeg(lines):
    assert isinstance(error_line(lines), str)


TIME = "[Parsed_showinfo_0 @ 0x5] n:   0 pts:      0 pts_time:0 duration: 1 "
BEAT = "[showinfo] config in time_base: 1/25, frame_rate: 25/1"


@fuzz
@example([BEAT.replace("1/25", "1/0"), TIME, BEAT.replace("25,", "9" * 5000 + ",")])
@given(st.lists(mangled(TIME) | mangled(BEAT), max_size=4))
def test_frame_times_of_ffmpeg(lines):
    stamps = _Stamps()
    assert all(stamps.take(line) in (True, False) for line in lines)


@fuzz
@given(
    texts,
    texts | st.sampled_from((".mp4", ".MOV", ".webm", ".gif")),
    st.booleans(),
    texts,
)
def test_film_formats(name, suffix, alpha, wanted):
    result_or_error(lambda: choose_codec(name, suffix, alpha=alpha, wanted=wanted))
    result_or_error(lambda: usual_suffix(wanted, alpha=alpha))
    assert sound_args(suffix, [name])


@fuzz
@given(st.text(max_size=30))
def test_displayed_names_are_one_printable_line(text):
    assert _one_line(text).isprintable()
    assert natural_key(text) == natural_key(text)


def test_undamaged_inputs_are_read(scratch):
    """Undamaged inputs are read; otherwise the tests above would show nothing."""
    for data in PICTURES:
        assert decode(data, "x", 10**6).rgb.shape[2] == 3
        assert Image.open(io.BytesIO(data))
    for data in WEIGHTS:
        assert read_weights(written(scratch, data)).state
    for number, data in enumerate(ARCHIVES):
        unpack(written(scratch, data), scratch / f"good{number}" / "set")
        assert (scratch / f"good{number}" / "set" / "a.txt").stat().st_size in (90, 180)
    assert Registry.read(written(scratch, ENTRY, ".toml")).models
