"""Checks on a GPU: parity, formats, speed, memory, training. Ten minutes on one card.

Run ``python -m tests.gpu.test_gpu [--json FILE] [--minutes 9]`` where PyTorch sees a GPU. Every
section prints its table as it goes and reports its own failure. ``--device cpu --small`` runs all
of it on the CPU with small inputs, as pytest does to test this script itself.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from sodcli.errors import DeviceError
from sodcli.frame import Frame
from sodcli.metrics.measure import measure
from sodcli.models import build_model, input_shape
from sodcli.models.diffnet import absorb_shifts
from sodcli.models.pdc import reparameterise
from sodcli.process import ProcessGroup
from sodcli.registry import DEFAULT_MODEL, default_registry
from sodcli.runtime.backends.torch_backend import TorchBackend
from sodcli.runtime.batching import retry_smaller
from sodcli.runtime.predictor import Predictor, load
from sodcli.runtime.stream import live_predictor
from sodcli.training.config import resolve
from sodcli.training.learner import Learner
from tests.draw_kit import draw_photo

MODELS = ("lite", "sdnet", "sdnet-a", "stdnet", "inspyrenet", "inspyrenet-res2net50", "minet",
          "minet-vgg16", "rcrnet", "rcrnet-image")  # fmt: skip
FAMILIES = ("lite", "sdnet", "stdnet", "inspyrenet-res2net50", "minet-vgg16", "rcrnet-image")
SMALL = ("lite", "stdnet")


class Run:
    """The device, the sizes and the results of one run."""

    def __init__(self, device, small):
        self.device, self.small, self.rows = torch.device(device), small, []
        self.models = SMALL if small else MODELS
        self.batches = (1, 2) if small else (1, 8, 32)
        self.rounds = 1 if small else 10

    @property
    def on_gpu(self):
        return self.device.type == "cuda"

    def size(self, spec):
        return (64, 64) if self.small else spec.input_hw

    def row(self, section, name, **facts):
        self.rows.append({"section": section, "name": name, **facts})
        shown = (f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in facts.items())
        print(f"  {name:34} {'   '.join(shown)}", flush=True)

    def ms(self, work):
        """Return the mean time of ``work`` in ms after two warm-up calls."""
        work(), work()
        self.wait()
        start = time.perf_counter()
        for _ in range(self.rounds):
            work()
        self.wait()
        return (time.perf_counter() - start) / self.rounds * 1e3

    def wait(self):
        if self.on_gpu:
            torch.cuda.synchronize(self.device)

    def mib(self):
        """Return the peak memory in MiB since the last call; unknown on a CPU."""
        if not self.on_gpu:
            return float("nan")
        peak = torch.cuda.max_memory_allocated(self.device) / 2**20
        torch.cuda.reset_peak_memory_stats(self.device)
        return peak


def network(name):
    """Return a model's entry and its folded network with fresh weights, the same in each call."""
    torch.manual_seed(0)
    spec = default_registry().model(name)
    module = reparameterise(build_model(spec).eval())
    absorb_shifts(module)
    return spec, module


def use_tf32(on):
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = on


def parity(run):
    """Difference of the saliency from the CPU's float32, in each format."""
    formats = {"float32": (False, None), "tf32": (True, None)}
    if run.on_gpu:  # CPUs without such units need a minute
        formats |= {"bfloat16": (False, torch.bfloat16), "float16": (False, torch.float16)}
    for name in run.models:
        spec, module = network(name)
        x = torch.randn(input_shape(spec, run.size(spec)))
        with torch.inference_mode():
            expected = module(x).logits.sigmoid()
            module.to(run.device)
            for label, (fast, dtype) in formats.items():
                use_tf32(fast)
                with torch.autocast(run.device.type, dtype, enabled=dtype is not None):
                    answer = module(x.to(run.device)).logits.float().sigmoid().cpu()
                worst = float((answer - expected).abs().max())
                run.row("parity", f"{name} {label}", worst=worst,
                        mean=float((answer - expected).abs().mean()))  # fmt: skip
                assert label != "float32" or worst < 1e-3, f"{name}: float32 differs by {worst}"
    use_tf32(False)


def scores(run):
    """Scores of the built-in model on 60 drawn photos: device and formats against the CPU."""
    photos = [draw_photo(seed, (120, 160)) for seed in range(4 if run.small else 60)]
    size = 96 if run.small else None  # CPUs without units for bfloat16 are slow
    for label, device, half in (
        ("cpu float32", "cpu", False),
        (f"{run.device} float32", str(run.device), False),
        (f"{run.device} bfloat16", str(run.device), True),
    ):
        predictor = load(device=device, half=half, backend="torch", size=size)
        maps = predictor.many([rgb for rgb, _ in photos])
        each = [
            measure(one, truth, which={"mae"}) for one, (_, truth) in zip(maps, photos, strict=True)
        ]
        run.row("scores", label, mae=float(np.mean([one.mae for one in each])))


def speed(run):
    """Time and memory of every model at its published size, and at several batch sizes."""
    for name in run.models:
        spec, module = network(name)
        module.to(run.device, memory_format=torch.channels_last)
        for batch in run.batches:
            x = torch.randn(input_shape(spec, run.size(spec), batch=batch), device=run.device)
            run.mib()
            try:
                with (
                    torch.inference_mode(),
                    torch.autocast(run.device.type, torch.bfloat16, enabled=run.on_gpu),
                ):
                    took = run.ms(lambda x=x, module=module: module(x))
            except torch.OutOfMemoryError:
                run.row("speed", f"{name} batch {batch}", ms="out of memory")
                break
            run.row("speed", f"{name} batch {batch}", ms=took, ms_each=took / batch, MiB=run.mib())


def compiled(run):
    """``torch.compile``, and with CUDA graphs, against eager, in turn."""
    spec, module = network(DEFAULT_MODEL)
    module.to(run.device, memory_format=torch.channels_last)
    x = torch.randn(input_shape(spec, run.size(spec)), device=run.device)
    modes = {"eager": None, "compiled": "default", "CUDA graphs": "reduce-overhead"}
    for label, mode in modes.items() if run.on_gpu else [("eager", None)]:
        call = module if mode is None else torch.compile(module, mode=mode)
        with torch.inference_mode():
            run.row("compile", label, ms=run.ms(lambda call=call: call(x)))


def clips(run):
    """A clip of STDNet, and the newest frame of a live stream."""
    spec, module = network("stdnet")
    backend = TorchBackend(module, run.device, half=False)
    predictor = Predictor(spec, module, backend, size=run.size(spec)[0])
    frames = [Frame(draw_photo(n)[0], n, "") for n in range(spec.clip_len)]
    clip = np.stack([predictor.prepare(frame) for frame in frames])[None]
    live = live_predictor(predictor)
    for frame in frames:
        live(frame)
    run.row("clips", "whole clip", ms=run.ms(lambda: backend.run(clip)))
    run.row("clips", "newest frame, live", ms=run.ms(lambda: live(frames[-1])))


def training(run):
    """A step of each family in each format, then one of a learner that resumes its state."""
    formats = ("none", "fp16", "bf16") if run.on_gpu else ("none",)
    for name in SMALL[:1] if run.small else FAMILIES:
        spec = default_registry().model(name)
        x = torch.randn(input_shape(spec, run.size(spec), batch=2))
        y = (x.mean(-3, keepdim=True) > 0).float()
        for amp in formats:
            config = resolve(default_registry(), {"model": name, "data": ["-"], "amp": amp})
            learner, resumed = (
                Learner(build_model(spec), config, ProcessGroup(), run.device) for _ in range(2)
            )
            run.mib()

            def step(learner, at=0, x=x, y=y):
                loss = learner.gradients(x, y, at)
                learner.update(0, at, lambda base: base)
                return loss

            took = run.ms(lambda learner=learner: step(learner))
            resumed.load(learner.state())
            losses = step(learner, 1), step(resumed, 1)
            assert np.isclose(*losses, rtol=0.05), f"{name} {amp}: {losses} after resuming"
            assert resumed.finite(), f"{name} {amp}: weights are not finite"
            run.row("training", f"{name} {amp}", ms=took, loss=losses[0], MiB=run.mib())


def one_process_group(run):
    """A step of DistributedDataParallel in a group of one process: nccl on a GPU, gloo else."""
    spec, module = default_registry().model("lite"), build_model(default_registry().model("lite"))
    x = torch.randn(input_shape(spec, run.size(spec), batch=2), device=run.device)
    backend = "nccl" if run.on_gpu else "gloo"
    with tempfile.TemporaryDirectory() as folder:
        torch.distributed.init_process_group(
            backend, init_method=f"file://{folder}/meet", rank=0, world_size=1
        )
        try:
            net = DistributedDataParallel(
                module.to(run.device).train(), find_unused_parameters=True
            )
            run.row("processes", backend, ms=run.ms(lambda: net(x).logits.mean().backward()))
        finally:
            torch.distributed.destroy_process_group()


def out_of_memory(run):
    """A batch that does not fit is halved until it does; the answers do not depend on it."""
    _, module = network("lite")
    backend = TorchBackend(module, run.device, half=False)
    side, most = (64, 2) if run.small else (1024, 64)
    if run.on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(0.05, run.device)
    calls = []

    def work(items):
        calls.append(len(items))
        if not run.on_gpu and len(items) > 1:
            raise DeviceError("out of memory")  # a CPU has no such limit
        return list(backend.run(np.stack(items)))

    items = [np.full((3, side, side), n / most, np.float32) for n in range(most)]
    try:
        answers = retry_smaller(work, items)
    finally:
        if run.on_gpu:
            torch.cuda.set_per_process_memory_fraction(1.0, run.device)
    assert len(answers) == most
    run.row("out of memory", f"{most} pictures of {side} px", calls=str(calls[:8]))


def transfer(run):
    """Pinned against pageable memory, and resizing on the device against the CPU."""
    frames = torch.randint(0, 256, (2 if run.small else 16, 1080, 1920, 3), dtype=torch.uint8)
    sources = {"pageable": frames, "pinned": frames.pin_memory() if run.on_gpu else frames}
    for label, source in sources.items():
        took = run.ms(lambda source=source: source.to(run.device, non_blocking=True))
        run.row("transfer", label, ms=took, GB_s=frames.numel() / took / 1e6)

    def resized(device):
        x = sources["pinned"].to(device, non_blocking=True).permute(0, 3, 1, 2).float()
        return torch.nn.functional.interpolate(x, (320, 320), mode="area").to(run.device)

    for device in dict.fromkeys((torch.device("cpu"), run.device)):
        took = run.ms(lambda device=device: resized(device))
        run.row("transfer", f"resize on {device}", ms=took)


SECTIONS = (parity, scores, speed, compiled, clips, out_of_memory, transfer,
            one_process_group, training)  # fmt: skip


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--minutes", type=float, default=9)
    parser.add_argument("--only", nargs="+", help="names of sections")
    parser.add_argument("--json", type=Path)
    wanted = parser.parse_args(words)
    run, begin, failed = Run(wanted.device, wanted.small), time.monotonic(), 0
    card = torch.cuda.get_device_name(run.device) if run.on_gpu else "CPU"
    print(f"{card}, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}")
    for section in SECTIONS:
        if wanted.only and section.__name__ not in wanted.only:
            continue
        if time.monotonic() - begin > 60 * wanted.minutes:
            print(f"== {section.__name__}: no time left")
            continue
        print(f"== {section.__name__}: {section.__doc__.splitlines()[0]}", flush=True)
        try:
            section(run)
        except Exception as error:  # noqa: BLE001 - the next section runs all the same
            failed += 1
            print(f"  FAILED: {type(error).__name__}: {error}", flush=True)
    if wanted.json:
        document = {"card": card, "torch": torch.__version__, "rows": run.rows}
        wanted.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return failed


@pytest.mark.slow
@pytest.mark.parametrize("section", [one.__name__ for one in SECTIONS])
def test_each_section_runs_on_the_cpu_with_small_sizes(section, tmp_path):
    results = tmp_path / "results.json"
    assert main(["--device", "cpu", "--small", "--only", section, "--json", str(results)]) == 0
    assert json.loads(results.read_text())["rows"]


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
