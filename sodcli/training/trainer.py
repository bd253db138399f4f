"""The training loop: steps, epochs, checkpoints, validation."""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from sodcli.data.loader import Batch
from sodcli.errors import TrainingError
from sodcli.models.restore import describe
from sodcli.training.checkpoint import Progress, digest, load_checkpoint, save_checkpoint
from sodcli.training.distributed import Team, splits_statistics
from sodcli.training.interrupt import Stopped, StopWish
from sodcli.training.learner import Learner
from sodcli.training.report import Plan, Reporter, StepReport
from sodcli.training.setup import Job, make_loader
from sodcli.training.validate import Validator
from sodcli.weights.save import save_weights


class Trainer:
    """One process's work on a run."""

    def __init__(self, job: Job, network: nn.Module, team: Team, reporter: Reporter) -> None:
        self._job, self._team, self._reporter = job, team, reporter
        self._learner = Learner(network, job.config, team)
        self._loader = make_loader(job, team)
        self._steps = self._loader.batches_per_epoch()
        self._rates = job.config.rates()
        self._validator = Validator(job, team.device)
        self._pairs = digest(job.material.names())
        self._progress = Progress()
        self._names: tuple[str, ...] = ()
        self._saved = time.monotonic()

    def load(self) -> None:
        """Go on from the run folder's checkpoint.

        Raises:
            UsageError: If it was made with other pictures.
            WeightsError: If it is damaged.
        """
        state, self._progress = load_checkpoint(self._job.folder.checkpoint, self._pairs)
        self._learner.load(state)

    def run(self, wish: StopWish) -> None:
        """Train until the last epoch is done.

        Raises:
            KeyboardInterrupt: As soon as ``wish`` is there and a checkpoint written.
            SinkError: If something cannot be written.
            TrainingError: If the loss is no number, or too many pictures cannot be read.
        """
        self._announce()
        try:
            while self._progress.epoch < self._job.config.epochs:
                self._train_epoch(wish)
                self._close_epoch(wish)
        except Stopped:
            self._save()
            if self._team.leads:
                self._keep(self._job.folder.last)
            raise KeyboardInterrupt from None

    def _announce(self) -> None:
        config, material = self._job.config, self._job.material
        for problem in material.problems:
            self._reporter.on_note(problem)
        if splits_statistics(self._learner.module, self._team):
            self._reporter.on_note(
                "batch norm keeps its statistics per process: PyTorch can share them on GPUs only"
            )
        self._reporter.on_start(
            Plan(
                model=config.model,
                parameters=sum(p.numel() for p in self._learner.module.parameters()),
                train=len(material.train),
                held=len(material.held),
                epochs=config.epochs,
                steps=config.epochs * self._steps,
                done=self._progress.step,
                device=str(self._team.device),
                processes=self._team.world,
                amp=config.amp,
            )
        )

    def _train_epoch(self, wish: StopWish) -> None:
        clock = time.monotonic()
        for batch in self._loader.epoch(self._progress.epoch, start=self._progress.batch):
            stop = self._step(batch, wish)
            now = time.monotonic()
            self._progress.seconds += now - clock
            clock = now
            if stop:
                raise Stopped
            if now - self._saved >= self._job.options.save_every:
                self._save()

    def _step(self, batch: Batch, wish: StopWish) -> bool:
        """Learn from one batch; return whether any process was asked to stop."""
        now, self._names = self._progress, batch.names
        summed = self._learner.gradients(batch.images, batch.masks, now.step)
        counts = (summed, len(batch.names), len(batch.skipped), wish.wanted)
        loss, images, skipped, stop = self._team.total(counts)
        if not math.isfinite(loss):
            names = self._team.gather(batch.names)
            raise self._broken(f"the loss became {loss} at step {now.step + 1}", names)
        now.lr = self._learner.update(now.epoch, now.step, self._rate_of())
        now.step, now.batch = now.step + 1, now.batch + 1
        now.loss, now.images = now.loss + loss, now.images + round(images)
        self._reporter.on_step(
            StepReport(
                step=now.step,
                epoch=now.epoch + 1,
                loss=loss / images,
                lr=now.lr,
                images=round(images),
            )
        )
        if skipped:
            self._skip(self._team.gather(batch.skipped))
        return bool(stop)

    def _rate_of(self) -> Callable[[float], float]:
        now, epochs = self._progress, self._job.config.epochs
        by_epoch = self._rates.per == "epoch"
        place = (now.epoch, epochs) if by_epoch else (now.step, epochs * self._steps)
        return lambda base: self._rates(base, *place)

    def _skip(self, reasons: list[str]) -> None:
        now, config = self._progress, self._job.config
        now.skipped += len(reasons)
        self._reporter.on_skip(reasons)
        passes, pairs = len(config.sizes), len(self._job.material.train)
        if now.skipped > passes * max(1, config.max_skipped * pairs):
            raise TrainingError(
                f"{now.skipped} pictures could not be read in epoch {now.epoch + 1}, more than "
                f"max_skipped = {config.max_skipped} allows; the last one: {reasons[-1]}"
            )

    def _close_epoch(self, wish: StopWish) -> None:
        now = self._progress
        row: dict[str, Any] = {
            "epoch": now.epoch + 1,
            "step": now.step,
            "loss": now.loss / max(now.images, 1),
            "lr": now.lr,
            "images": now.images,
            "skipped": now.skipped,
            "seconds": round(now.seconds, 3),
            "images_per_s": round(now.images / max(now.seconds, 1e-9), 2),
        }
        if self._team.leads:
            self._check_weights()
            row |= self._validate(row["epoch"], wish)
            self._keep(self._job.folder.last)
            self._job.folder.put_row(row)
        now.next_epoch()
        self._save()
        self._reporter.on_epoch(row)

    def _validate(self, epoch: int, wish: StopWish) -> dict[str, float]:
        found = self._validator.look(self._learner.for_use, epoch, wish)
        if found:
            monitor = self._job.config.monitor
            value = -found[monitor] if monitor == "MAE" else found[monitor]
            if self._progress.best is None or value > self._progress.best:
                self._progress.best = value
                self._keep(self._job.folder.best)
        return found

    def _save(self) -> None:
        if not self._team.leads:
            return
        self._check_weights()
        target = self._job.folder.checkpoint
        save_checkpoint(target, self._learner.state(), self._progress, self._pairs)
        self._saved = time.monotonic()

    def _check_weights(self) -> None:
        """Make sure that what is about to be written is of use."""
        if not self._learner.finite():
            step = self._progress.step
            raise self._broken(f"a weight became NaN or infinite by step {step}", self._names)

    def _keep(self, target: Path) -> None:
        config, spec = self._job.config, self._job.spec
        module = self._learner.for_use
        about = describe(spec, module, {**spec.args, **config.args})
        names = " ".join(Path(folder).name for folder in config.data)
        if config.pseudo_labels:
            names += f", pseudo labels {Path(config.pseudo_labels).name}"
        progress = f"{self._progress.step} of {config.epochs * self._steps}"
        about |= {"recipe": config.recipe, "data": names, "steps": progress}
        about["size"] = str(config.size)
        save_weights(target, module.state_dict(), about, half=config.half)

    def _broken(self, what: str, names: Sequence[str]) -> TrainingError:
        last = self._job.folder.checkpoint
        kept = f"; {last} is from before" if last.exists() else ""
        return TrainingError(
            f"{what}, on {', '.join(names)}{kept}; try a lower --lr, or --amp none"
        )
