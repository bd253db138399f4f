"""Two processes of one command, as torchrun starts them."""

import os
import socket
import subprocess
import sys


def start_team(*words):
    """Start ``sod words`` twice; torchrun takes longer and is a third process with PyTorch."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    team = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return [
        subprocess.Popen(
            [sys.executable, "-m", "sodcli", *map(str, words)],
            env={**os.environ, **team, "OMP_NUM_THREADS": "1", "RANK": rank, "LOCAL_RANK": rank},
            **pipes,
        )
        for rank in "01"
    ]
