"""Train a network, or go on training it."""

import torch

from sodcli.errors import DeviceError
from sodcli.process import world_size
from sodcli.registry import Registry
from sodcli.training.config import TrainConfig
from sodcli.training.distributed import join_team
from sodcli.training.interrupt import stop_wish
from sodcli.training.material import find_material
from sodcli.training.report import Reporter
from sodcli.training.runfolder import RunFolder
from sodcli.training.setup import Job, Options, make_network
from sodcli.training.trainer import Trainer


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
        config: What to train; with ``resume`` the one that ``folder`` holds.
        folder: Where everything is written; must be new or empty unless ``resume``.
        registry: Where models and weights are looked up.
        options: How to go about it.
        reporter: Hears what happens, in the first process only.
        resume: Go on from the folder's checkpoint, or from the start if there is none yet.

    Raises:
        DeviceError: If several processes cannot share the device, or it runs out of memory.
        KeyboardInterrupt: On Ctrl-C or SIGTERM, after a checkpoint was written.
        MissingError: If pictures or weights are not there.
        SinkError: If something cannot be written; what was written before stays whole.
        TrainingError: If the loss is no number, or too many pictures cannot be read.
        UsageError: If the folder is in use, or its checkpoint belongs to other pictures.
        WeightsError: If the weights to start from do not fit, or the checkpoint is damaged.
    """
    if not resume:
        folder.check_new()
    material = find_material(config, registry)
    job = Job(config, registry.model(config.model), folder, material, options)
    started = resume and folder.checkpoint.exists()
    network = make_network(job, registry, resumed=started)
    with join_team(options.device) as team, stop_wish(patient=world_size() > 1) as wish:
        trainer = Trainer(job, network, team, reporter if team.leads else Reporter())
        if team.leads:
            folder.tidy()
        if started:
            trainer.load()
        elif team.leads:
            folder.write(config)
        try:
            trainer.run(wish)
        except torch.OutOfMemoryError as error:
            raise DeviceError(
                f"{team.device}: out of memory; lower --batch or --size, or raise accumulate "
                "in --config"
            ) from error
