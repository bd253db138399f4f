"""What ``torchrun`` tells each of its processes; known before PyTorch is there."""

import os


def world_size() -> int:
    """Return the number of processes that the launcher started; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Return this process's place among them, from 0."""
    return int(os.environ.get("RANK", "0"))
