import os

import pytest
import torch

from sodcli.errors import SinkError, UsageError, WeightsError
from sodcli.training.learner import average_of, update_average
from sodcli.training.run_folder import Progress, digest, load_checkpoint, save_checkpoint


def test_a_checkpoint_reads_back(tmp_path):
    path = tmp_path / "last.pth"
    state = {"module": {"weight": torch.randn(3, 2)}, "average": None}
    progress = Progress(epoch=3, batch=5, step=41, loss=1.25, best=-0.5)
    save_checkpoint(path, state, progress, "pairs")
    read, again = load_checkpoint(path, "pairs")
    assert again == progress
    assert torch.equal(read["module"]["weight"], state["module"]["weight"])
    assert read["average"] is None


def test_a_checkpoint_for_other_pictures_is_refused(tmp_path):
    path = tmp_path / "last.pth"
    save_checkpoint(path, {}, Progress(), digest(["a", "b"]))
    with pytest.raises(UsageError, match="pictures are not those"):
        load_checkpoint(path, digest(["b", "a"]))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"not at all"])
def test_a_damaged_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / "last.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="damaged"):
        load_checkpoint(path, "")


@pytest.mark.parametrize("content", [{"weight": torch.zeros(1)}, {"progress": 3}, [1, 2]])
def test_files_of_other_programs_are_refused_as_checkpoints(tmp_path, content):
    path = tmp_path / "last.pth"
    torch.save(content, path)
    with pytest.raises(WeightsError, match="not a checkpoint"):
        load_checkpoint(path, "")


@pytest.mark.skipif(os.name != "posix", reason="file-size limits are a thing of POSIX")
def test_a_full_disk_leaves_the_previous_checkpoint(tmp_path):
    import resource

    path = tmp_path / "last.pth"
    save_checkpoint(path, {"weight": torch.zeros(8)}, Progress(step=1), "")
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(SinkError, match="the checkpoint before is kept"):
            save_checkpoint(path, {"weight": torch.zeros(100_000)}, Progress(step=2), "")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_average_follows_weights_and_copies_statistics():
    module = torch.nn.BatchNorm1d(2)
    average = average_of(module)
    with torch.no_grad():
        module.weight.fill_(3.0)
        module.running_mean.fill_(7.0)
        module.num_batches_tracked.fill_(5)
    update_average(average, module, decay=0.75, step=10_000)
    assert average.weight.tolist() == [1.5, 1.5]
    assert average.running_mean.tolist() == [7.0, 7.0]
    assert average.num_batches_tracked == 5
    assert not average.weight.requires_grad
    assert not average.training


def test_the_first_weights_lose_their_influence_on_the_average():
    module = torch.nn.Linear(1, 1, bias=False)
    average = average_of(module)
    torch.nn.init.constant_(average.weight, 0.0)
    torch.nn.init.constant_(module.weight, 1.0)
    update_average(average, module, decay=0.999, step=0)
    assert average.weight.item() == pytest.approx(0.9)
