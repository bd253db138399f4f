"""The losses of the papers, on logits, each registered under a name for the recipes."""

from sodcli.training.losses import inspyrenet, minet, sdnet, stdnet
from sodcli.training.losses._base import Loss, get_loss, loss

__all__ = ["Loss", "get_loss", "inspyrenet", "loss", "minet", "sdnet", "stdnet"]
