"""Files appear whole or not at all, are read no further than makes sense, and listed in order."""

from sodcli.files.atomic import TEMPORARY, sweep, whole_file, write_whole
from sodcli.files.reading import natural_key, own_name, read_regular, read_settings, user_path
from sodcli.files.temporary import workshop

__all__ = [
    "TEMPORARY",
    "natural_key",
    "own_name",
    "read_regular",
    "read_settings",
    "sweep",
    "user_path",
    "whole_file",
    "workshop",
    "write_whole",
]
