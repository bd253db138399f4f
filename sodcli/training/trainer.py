"""The training loop: steps, epochs, checkpoints, validation."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from sodcli.data.loader import Batch
from sodcli.errors import DeviceError, PipelineError, TrainingError, WeightsError
from sodcli.models.restore import describe
from sodcli.process import LOST_PROCESS, ProcessGroup, join_processes, rank, world_size
from sodcli.registry import Registry
from sodcli.text import plural
from sodcli.training.config import TrainConfig
from sodcli.training.interrupt import StopRequest, TrainingStopped, catch_stop_signals
from sodcli.training.learner import Learner, splits_statistics
from sodcli.training.losses import sums_pixels
from sodcli.training.report import Reporter, RunPlan, StepReport
from sodcli.training.run_folder import Progress, RunFolder, digest, load_checkpoint, save_checkpoint
from sodcli.training.schedule import MultiStep
from sodcli.training.setup import Options, Run, find_training_data, make_loader, make_network
from sodcli.training.validate import Validator
from sodcli.weights.save import save_weights

_FEW_HELD: Final = 50  # with fewer validation samples the choice of the best epoch is unreliable


class Trainer:
    """The training loop of one process."""

    def __init__(
        self,
        run: Run,
        network: nn.Module,
        group: ProcessGroup,
        device: torch.device,
        reporter: Reporter,
    ) -> None:
        self._run, self._group, self._device = run, group, device
        self._reporter = reporter
        self._learner = Learner(network, run.config, group, device)
        self._loader = make_loader(run, group)
        self._steps = self._loader.batches_per_epoch()
        self._rates = run.config.rates()
        self._sums_pixels = sums_pixels(run.config.loss)
        self._validator = Validator(run, device)
        self._pairs = digest(run.data.names())
        self._progress = Progress()
        self._names: tuple[str, ...] = ()
        self._saved = time.monotonic()

    def load(self) -> None:
        """Load the checkpoint of the run folder.

        Raises:
            UsageError: If it belongs to other training pictures.
            WeightsError: If it is damaged, or of another network or optimiser.
        """
        path = self._run.folder.checkpoint
        state, self._progress = load_checkpoint(path, self._pairs)
        try:
            self._learner.load(state)
        except torch.OutOfMemoryError:
            raise
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise WeightsError(
                f"{path}: holds another network or optimiser than {path.parent / 'config.toml'}"
            ) from error

    def run(self, stop: StopRequest) -> None:
        """Train until the last epoch is done.

        Raises:
            KeyboardInterrupt: After a stop request, once a checkpoint is written.
            SinkError: If a file cannot be written.
            TrainingError: If the loss is NaN or infinite, or too many pictures cannot be read.
        """
        self._announce()
        try:
            while self._progress.epoch < self._run.config.epochs:
                self._train_epoch(stop)
                self._close_epoch(stop)
        except TrainingStopped:
            self._save()
            if self._group.leads:
                self._export(self._run.folder.last)
            raise KeyboardInterrupt from None

    def _announce(self) -> None:
        config, data = self._run.config, self._run.data
        for problem in data.problems:
            self._reporter.on_note(problem)
        if splits_statistics(self._learner.module, self._group, self._device):
            self._reporter.on_note(
                "batch norm keeps its statistics per process: PyTorch can share them on GPUs only"
            )
        self._reporter.on_start(
            RunPlan(
                model=config.model,
                parameters=sum(p.numel() for p in self._learner.module.parameters()),
                train=len(data.train),
                held=len(data.held),
                epochs=config.epochs,
                steps=config.epochs * self._steps,
                done=self._progress.step,
                done_epochs=self._progress.epoch,
                device=str(self._device),
                processes=self._group.world_size,
                amp=config.amp,
                passes=len(config.sizes),
                item=type(data.train[0]).__name__.lower(),
            )
        )
        if 0 < len(data.held) < _FEW_HELD:
            self._reporter.on_note(
                f"only {plural(len(data.held), 'validation sample')}: best.safetensors is a guess; "
                "--val or a larger holdout make it reliable"
            )
        rates = self._rates
        if isinstance(rates, MultiStep) and rates.per == "epoch" and min(rates.at) >= config.epochs:
            epochs = " and ".join(map(str, rates.at))
            self._reporter.on_note(
                f"the learning rate stays the same: the schedule lowers it after epoch {epochs}, "
                "which this run does not reach; at = [...] under [schedule] of --config moves it"
            )

    def _train_epoch(self, stop: StopRequest) -> None:
        clock = time.monotonic()
        for batch in self._loader.epoch(self._progress.epoch, start=self._progress.batch):
            asked = self._step(batch, stop)
            now = time.monotonic()
            self._progress.seconds += now - clock
            clock = now
            if asked:
                raise TrainingStopped
            if now - self._saved >= self._run.options.save_every:
                self._save()

    def _step(self, batch: Batch, stop: StopRequest) -> bool:
        """Train on one batch; return True if any process was asked to stop."""
        now, self._names = self._progress, batch.names
        summed = self._learner.gradients(batch.images, batch.masks, now.step)
        counts = (summed, len(batch.names), len(batch.skipped), stop.wanted)
        loss, images, skipped, stops = self._group.total(counts)
        if not math.isfinite(loss):
            names = self._group.gather(batch.names)
            raise self._broken(f"the loss became {loss} at step {now.step + 1}", names)
        now.lr = self._learner.update(now.epoch, now.step, self._rate_of())
        now.step, now.batch = now.step + 1, now.batch + 1
        pixel_loss = loss / batch.masks[0].numel() if self._sums_pixels else loss
        now.loss, now.images = now.loss + loss, now.images + round(images)
        now.pixel_loss += pixel_loss
        self._reporter.on_step(
            StepReport(
                step=now.step,
                epoch=now.epoch + 1,
                loss=loss / images,
                pixel_loss=pixel_loss / images,
                lr=now.lr,
                images=round(images),
            )
        )
        if skipped:
            self._skip(self._group.gather(batch.skipped))
        return bool(stops)

    def _rate_of(self) -> Callable[[float], float]:
        now, epochs = self._progress, self._run.config.epochs
        end = self._run.config.schedule_end or epochs
        at, end = (now.epoch, end) if self._rates.per == "epoch" else (now.step, end * self._steps)
        return lambda base: self._rates(base, min(at, end - 1), end)

    def _skip(self, reasons: list[str]) -> None:
        now, config = self._progress, self._run.config
        now.skipped += len(reasons)
        self._reporter.on_skip(reasons)
        passes, pairs = len(config.sizes), len(self._run.data.train)
        if now.skipped > passes * max(1, config.max_skipped * pairs):
            count = plural(now.skipped, "picture")
            raise TrainingError(
                f"{count} could not be read in epoch {now.epoch + 1}, more than max_skipped = "
                f"{config.max_skipped} allows; the last one: {reasons[-1]}"
            )

    def _close_epoch(self, stop: StopRequest) -> None:
        now = self._progress
        row: dict[str, Any] = {
            "epoch": now.epoch + 1,
            "step": now.step,
            "loss": now.loss / max(now.images, 1),
            "loss_per_pixel": now.pixel_loss / max(now.images, 1),
            "lr": now.lr,
            "images": now.images,
            "skipped": now.skipped,
            "seconds": round(now.seconds, 3),
            "images_per_s": round(now.images / max(now.seconds, 1e-9), 2),
        }
        if self._group.leads:
            self._check_weights()
            row |= self._validate(row["epoch"], stop)
            sheet = self._run.folder.sheet(row["epoch"])
            if sheet.exists():
                self._reporter.on_samples(row["epoch"], sheet)
            self._export(self._run.folder.last)
            self._run.folder.put_row(row)
        now.next_epoch()
        self._save()
        self._reporter.on_epoch(row)

    def _validate(self, epoch: int, stop: StopRequest) -> dict[str, float]:
        found = self._validator.validate(self._learner.for_use, epoch, stop)
        if found:
            monitor = self._run.config.monitor
            value = -found[monitor] if monitor == "MAE" else found[monitor]
            if self._progress.best is None or value > self._progress.best:
                self._progress.best = value
                self._export(self._run.folder.best)
        return found

    def _save(self) -> None:
        if not self._group.leads:
            return
        self._check_weights()
        target = self._run.folder.checkpoint
        save_checkpoint(target, self._learner.state(), self._progress, self._pairs)
        self._saved = time.monotonic()

    def _check_weights(self) -> None:
        """Raise TrainingError if weights are NaN or infinite."""
        if not self._learner.finite():
            step = self._progress.step
            raise self._broken(f"a weight became NaN or infinite by step {step}", self._names)

    def _export(self, target: Path) -> None:
        config, spec = self._run.config, self._run.spec
        module = self._learner.for_use
        about = describe(spec, module, {**spec.args, **config.args})
        names = " ".join(Path(folder).name for folder in config.data)
        if config.pseudo_labels:
            names += f", pseudo labels {Path(config.pseudo_labels).name}"
        progress = f"{self._progress.step} of {config.epochs * self._steps}"
        size = str(config.size)
        about |= {"recipe": config.recipe, "data": names, "steps": progress, "size": size}
        save_weights(target, module.state_dict(), about, half=config.half)

    def _broken(self, what: str, names: Sequence[str]) -> TrainingError:
        last = self._run.folder.checkpoint
        kept = f"; {last} is from before" if last.exists() else ""
        return TrainingError(
            f"{what}, on {', '.join(names)}{kept}; try a lower --lr, or --amp none"
        )


def train(
    config: TrainConfig,
    folder: RunFolder,
    registry: Registry,
    options: Options,
    reporter: Reporter,
    *,
    resume: bool = False,
) -> None:
    """Train until the last epoch is done.

    Args:
        config: Settings; with ``resume``, those of ``folder``.
        folder: Output folder; must be missing or empty unless ``resume``.
        registry: Models and weights.
        options: Settings that do not change the result.
        reporter: Receives events, in the process of rank 0 only.
        resume: Load the folder's checkpoint, if there is one.

    Raises:
        DeviceError: If several processes cannot share the device, or it runs out of memory.
        KeyboardInterrupt: On Ctrl-C or SIGTERM, once a checkpoint is written.
        MissingError: If pictures or weights do not exist.
        PipelineError: If another process of the run, or one that reads the data, was killed.
        SinkError: If a file cannot be written; files written before stay complete.
        SourceError: If all masks are black or nowhere brighter than half, or most are photos.
        TrainingError: If the loss is NaN or infinite, or too many pictures cannot be read.
        UsageError: If the folder is not empty, another process trains in it, or its checkpoint
            belongs to other pictures.
        WeightsError: If the weights to start from do not fit, or the checkpoint is damaged.
    """
    if not resume:
        folder.check_new()
    data = find_training_data(config, registry)
    if rank() == 0 and not (resume and folder.checkpoint.exists()):
        for remark in data.check_masks(fit=config.fit_masks, advance=reporter.on_check):
            reporter.on_note(remark)
    started = resume and folder.checkpoint.exists()
    network, config, notes = make_network(config, registry, resumed=started)
    for note in notes if rank() == 0 else ():
        reporter.on_note(note)
    run = Run(config, registry.model(config.model), folder, data, options)
    with (
        join_processes(options.device) as (group, device),
        catch_stop_signals(deferred=world_size() > 1) as stop,
    ):
        trainer = Trainer(run, network, group, device, reporter if group.leads else Reporter())
        with _explained(device), folder.locked() if group.leads else nullcontext():
            if group.leads and not resume:
                folder.check_new()  # another process may have trained there since the first check
            if started:
                trainer.load()
            if group.leads:
                folder.tidy()
                folder.write(config)
            trainer.run(stop)


@contextmanager
def _explained(device: torch.device) -> Iterator[None]:
    """Replace errors of PyTorch that a user can mend."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise DeviceError(
            f"{device}: out of memory; lower --batch or --size, or raise accumulate in --config"
        ) from error
    except (RuntimeError, ValueError) as error:
        if "DataLoader worker" in str(error):
            raise PipelineError(
                "a process that reads the data was killed, often for lack of memory; "
                "lower --workers or --batch, then add --resume"
            ) from error
        # In the backward pass a lost process is noticed by NCCL, or by Gloo.
        if isinstance(error, torch.distributed.DistError) or "gloo/transport" in str(error):
            raise PipelineError(LOST_PROCESS) from error
        if "more than 1 value per channel" in str(error):
            raise TrainingError(
                "batch norm cannot train on a single picture of this size; raise --size, or avoid "
                "batches of one: raise --batch, lower accumulate, or set drop_last in --config"
            ) from error
        raise
