import json
import math

import pytest

from sodcli.errors import UsageError
from sodcli.training.schedule import make_schedule
from tests.conftest import DATA


def rates(end, **table):
    schedule = make_schedule(table)
    return [schedule(1.0, t, end) for t in range(end)]


@pytest.mark.golden
def test_poly_ramp_equals_the_published_numbers():
    golden = json.loads((DATA / "training/inspyrenet_losses.json").read_text())
    schedule = make_schedule({"name": "poly-ramp", "warmup": 20})
    assert schedule.per == "step"
    for step, (backbone, rest) in zip(
        golden["polylr_steps"], golden["polylr_100_warm20_min1e-7_g0.9"], strict=True
    ):
        assert schedule(1e-5, step, 100) == pytest.approx(backbone, rel=1e-12)
        assert schedule(1e-4, step, 100) == pytest.approx(rest, rel=1e-12)


def test_multistep_falls_at_its_milestones():
    assert rates(5, name="multistep", at=[2, 4]) == pytest.approx([1, 1, 0.1, 0.1, 0.01])


def test_poly_warms_up_over_whole_epochs():
    plain = rates(10, name="poly")
    assert plain == pytest.approx([(1 - e / 10) ** 0.9 for e in range(10)])
    warm = rates(10, name="poly", warmup=4)
    assert warm[:4] == pytest.approx([0.25, 0.5, 0.75, 1])
    assert warm[4:] == pytest.approx([(1 - e / 7) ** 0.9 for e in range(1, 7)])


def test_cosine_ends_near_its_floor():
    values = rates(100, name="cosine", warmup=10, floor=0.1)
    assert values[:10] == pytest.approx([(t + 1) / 10 for t in range(10)])
    assert values[9 + 91 // 2] == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi * 45 / 91)) / 2)
    assert 0.1 < values[-1] < 0.101


def test_triangle_has_its_maximum_in_the_middle():
    assert rates(3, name="triangle") == pytest.approx([0.5, 1, 0.5])


def test_a_warm_up_longer_than_training_only_increases():
    assert rates(2, name="cosine", warmup=10) == pytest.approx([0.1, 0.2])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"name": "cosin"}, "no schedule named 'cosin'. Did you mean 'cosine'?"),
        ({"name": "multistep"}, "schedule 'multistep': needs the key 'at'"),
        ({"name": "cosine", "at": [1]}, "schedule 'cosine': unknown key 'at'"),
        ({"name": "cosine", "per": "week"}, "per must be one of epoch, step, not 'week'"),
    ],
)
def test_wrong_schedules_are_refused(table, message):
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        make_schedule(table)
