"""What a weights file of ours says of itself, read without its tensors and without PyTorch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sodcli.errors import MissingError, WeightsError
from sodcli.text import reason_of

_LENGTH: Final = 8  # bytes that say how long the header is
_LONGEST: Final = 100_000_000  # bytes; the limit of safetensors itself


def read_metadata(path: Path) -> Mapping[str, str]:
    """Return the metadata of a safetensors file; empty for files of another kind.

    Raises:
        MissingError: If there is no such file.
        WeightsError: If it cannot be read, or its header is damaged.
    """
    if not path.exists():
        raise MissingError(f"{path}: no such weights file")
    if not path.is_file():  # opening a FIFO would wait for ever
        raise WeightsError(f"{path}: not a file")
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_LENGTH), "little")
            if file.read(1) != b"{" or length > min(_LONGEST, path.stat().st_size):
                return {}
            header = json.loads(b"{" + file.read(length - 1))
    except OSError as error:
        raise WeightsError(f"{path}: {reason_of(error).lower()}") from error
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: damaged safetensors file ({error})") from error
    about = header.get("__metadata__", {})
    return {str(k): str(v) for k, v in about.items()} if isinstance(about, Mapping) else {}
