import cv2
import numpy as np
import pytest

from sodcli.frame import Frame
from sodcli.imaging.compose import GREEN_RGB, Look, compose, composer, flat, has_alpha, output_types
from sodcli.imaging.output_types import colour_of

RAW = Look(refine=False)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def frame():
    """Noise with a salient right half and a soft seam between."""
    alpha = np.tile(np.clip((np.arange(60) - 25) / 10, 0, 1).astype(np.float32), (40, 1))
    return Frame(rgb=noise(40, 60, 3), index=0, name="x").with_saliency(alpha)


def looks(kind, **kwargs):
    return Look(background=noise(30, 30, 3, seed=1) if kind == "picture" else None, **kwargs)


def test_the_documented_output_types_exist():
    assert set(output_types()) >= {"map", "green", "rgba", "blur", "overlay", "picture"}


def test_maps_are_rounded_to_the_nearest_level():
    rng, halves = np.random.default_rng(0), (np.arange(255, dtype=np.float32) + 0.5) / 255
    for saliency in (rng.random((50, 60), np.float32), halves[None].astype(np.float32)):
        out = compose("map", Frame(noise(*saliency.shape, 3), 0, "x", saliency=saliency))
        np.testing.assert_array_equal(out, np.rint(saliency * 255))


@pytest.mark.parametrize("refine", [True, False])
@pytest.mark.parametrize("kind", output_types())
def test_every_type_keeps_size_and_input(frame, kind, refine):
    before = frame.rgb.copy()
    out = compose(kind, frame, looks(kind, refine=refine))
    alpha = (4,) if has_alpha(kind) else (3,)
    assert out.shape == ((40, 60) if kind == "map" else (40, 60, *alpha))
    assert has_alpha(kind) == (out.shape[2:] == (4,))
    assert out.dtype == np.uint8
    assert out.flags.c_contiguous
    assert np.array_equal(frame.rgb, before)


@pytest.mark.parametrize("kind", sorted(set(output_types()) - {"map", "overlay", "reverse"}))
def test_opaque_pixels_of_the_subject_are_unchanged(frame, kind):
    out = compose(kind, frame, looks(kind))
    assert np.array_equal(out[:, 35:, :3], frame.rgb[:, 35:])


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1)])
@pytest.mark.parametrize("kind", output_types())
def test_thin_pictures_are_accepted(kind, shape):
    alpha = np.random.default_rng(0).random(shape, np.float32)
    thin = Frame(rgb=noise(*shape, 3), index=0, name="x").with_saliency(alpha)
    assert compose(kind, thin, looks(kind)).shape[:2] == shape


def test_map_rounds_to_nearest(frame):
    assert np.array_equal(compose("map", frame), np.rint(frame.saliency * 255))


def test_green_is_the_usual_colour(frame):
    out = compose("green", frame, RAW)
    assert (out[:, :25] == GREEN_RGB).all()
    share = frame.saliency[..., None]
    want = np.rint(frame.rgb * share + np.float32(GREEN_RGB) * (1 - share))
    assert np.array_equal(out, want)


def test_rgba_has_the_saliency_as_alpha_and_no_hidden_background(frame):
    out = compose("rgba", frame, RAW)
    assert np.array_equal(out[..., 3], compose("map", frame))
    assert (out[:, :18, :3] == 0).all()
    assert np.array_equal(out[:, 18:, :3], frame.rgb[:, 18:])


def test_rgba_keeps_pixels_that_were_transparent():
    half = np.full((8, 8), 128, np.uint8)
    base = Frame(rgb=noise(8, 8, 3), index=0, name="x", alpha=half)
    frame = base.with_saliency(np.ones((8, 8), np.float32))
    assert (compose("rgba", frame)[..., 3] == 128).all()
    assert not compose("reverse", frame).any()


def test_the_soft_edge_of_a_cut_out_keeps_its_colour():
    alpha = np.tile(np.clip(np.arange(-40, 80) * 8, 0, 255).astype(np.uint8), (80, 1))
    rgb = np.where(alpha[..., None] > 0, np.array([100, 150, 50], np.uint8), np.uint8(0))
    frame = Frame(rgb, 0, "x", alpha=alpha).with_saliency(np.ones(alpha.shape, np.float32))
    out = compose("rgba", frame)
    assert (out[alpha > 0, :3] == (100, 150, 50)).all()
    assert np.array_equal(out[..., 3], alpha)


@pytest.mark.parametrize("kind", sorted(set(output_types()) - {"map"}))
def test_colours_under_transparent_pixels_are_never_shown(kind):
    hidden = np.zeros((64, 64, 3), np.uint8)
    hidden[:, :32] = (255, 0, 255)
    holes = np.where(np.arange(64) < 32, 0, 255).astype(np.uint8) * np.ones((64, 1), np.uint8)
    shown = np.where(holes[..., None] == 0, np.uint8(255), hidden)
    saliency = np.ones((64, 64), np.float32)
    outs = [
        compose(kind, Frame(rgb, 0, "x", alpha=holes).with_saliency(saliency), looks(kind))
        for rgb in (hidden, shown)
    ]
    assert np.array_equal(outs[0][:, :24], outs[1][:, :24])


def halo(kind, frame, background):
    """Return the error of a soft red edge, cut out of black and put over ``background``."""
    alpha = frame.saliency[..., None]
    want = np.float32([200, 40, 20]) * alpha + np.float32(background) * (1 - alpha)
    for refine in (True, False):
        look = Look(background=np.full((9, 9, 3), background, np.uint8), refine=refine)
        out = compose(kind, frame, look).astype(np.float32)
        if kind == "rgba":
            out = out[..., :3] * alpha + np.float32(background) * (1 - alpha)
        yield np.abs(out - want).max()


@pytest.mark.parametrize(
    ("kind", "background"),
    [("green", GREEN_RGB), ("picture", (255, 255, 255)), ("rgba", (9, 9, 255))],
)
def test_refinement_removes_the_halo(kind, background):
    alpha = np.tile(np.clip((np.arange(120) - 50) / 16, 0, 1).astype(np.float32), (80, 1))
    rgb = np.rint(np.float32([200, 40, 20]) * alpha[..., None]).astype(np.uint8)
    refined, raw = halo(kind, Frame(rgb=rgb, index=0, name="x").with_saliency(alpha), background)
    assert raw > 25
    assert refined < raw / 4


def test_blur_scales_with_the_width():
    rgb = np.zeros((64, 1280, 3), np.uint8)
    rgb[:, 640:] = 255
    plain = Frame(rgb=rgb, index=0, name="x").with_saliency(np.zeros((64, 1280), np.float32))
    want = cv2.GaussianBlur(rgb, (0, 0), 15)
    assert abs(compose("blur", plain).astype(int) - want).max() <= 2
    small = Frame(rgb=rgb[:, ::10], index=0, name="x").with_saliency(
        np.zeros((64, 128), np.float32)
    )
    assert np.array_equal(compose("blur", small), cv2.GaussianBlur(rgb[:, ::10], (0, 0), 1.5))


def test_overlay_tints_outlines_and_leaves_the_rest():
    rgb = noise(50, 50, 3)
    alpha = np.zeros((50, 50), np.float32)
    alpha[15:35, 15:35] = 1
    out = compose("overlay", Frame(rgb=rgb, index=0, name="x").with_saliency(alpha))
    assert np.array_equal(out[:12], rgb[:12])
    inner = (rgb[20:30, 20:30].astype(int) + GREEN_RGB) // 2
    assert abs(out[20:30, 20:30] - inner).max() <= 1
    assert (out == GREEN_RGB).all(-1).sum() > 60


def test_picture_covers_without_stretching(frame):
    tall = noise(300, 90, 3)
    empty = frame.with_saliency(np.zeros((40, 60), np.float32))
    out = compose("picture", empty, Look(background=tall))
    want = cv2.resize(tall[120:180], (60, 40), interpolation=cv2.INTER_AREA)
    assert np.array_equal(out, want)


@pytest.mark.parametrize(
    ("text", "rgb"),
    [("white", (255, 255, 255)), ("black", (0, 0, 0)), ("gray", (128, 128, 128)),
     ("#0aFF10", (10, 255, 16)), ("#fff", (255, 255, 255)), ("DodgerBlue", (30, 144, 255)),
     ("#ffff", None), ("ffffff", None), ("./white", None)],
)  # fmt: skip
def test_a_colour_is_a_css_name_or_three_or_six_hex_digits(frame, text, rgb):
    assert colour_of(text) == rgb
    if rgb:
        empty = frame.with_saliency(np.zeros((40, 60), np.float32))
        assert (compose("picture", empty, Look(background=flat(rgb))) == rgb).all()


def test_a_missing_argument_is_named(frame):
    with pytest.raises(ValueError, match="background"):
        compose("picture", frame)
    with pytest.raises(ValueError, match="saliency"):
        compose("map", Frame(rgb=frame.rgb, index=0, name="x"))
    with pytest.raises(KeyError):
        compose("sepia", frame)


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="already registered"):
        composer("map")(lambda frame, look: frame.rgb)


def test_reverse_keeps_everything_except_the_subject(frame):
    out = compose("reverse", frame, RAW)
    assert np.array_equal(out[..., 3], np.rint((1 - frame.saliency) * 255))
    assert np.array_equal(out[:, :18, :3], frame.rgb[:, :18])
