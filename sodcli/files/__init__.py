"""Atomic writes, temporary folders, locks, and size-limited reading of user files."""

from sodcli.files.atomic import TEMPORARY, sweep, temporary_folder, whole_file, write_whole
from sodcli.files.locks import file_lock
from sodcli.files.reading import (
    natural_key,
    open_regular,
    own_name,
    read_regular,
    read_settings,
    user_path,
)

__all__ = [
    "TEMPORARY",
    "file_lock",
    "natural_key",
    "open_regular",
    "own_name",
    "read_regular",
    "read_settings",
    "sweep",
    "temporary_folder",
    "user_path",
    "whole_file",
    "write_whole",
]
