"""A folder of saliency maps, with JSON notes of the weights and settings that produced them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sodcli.errors import SinkError, SourceError, UsageError
from sodcli.files import sweep, write_whole
from sodcli.runtime.predictor import Predictor
from sodcli.text import reason_of
from sodcli.weights.download_settings import ExpectedFile, check


class MapFolder:
    """The output folder of ``sod test`` and ``sod pseudo-label``.

    Maps made with different weights or settings are never mixed, because nothing in the files
    distinguishes them.

    Args:
        out: The folder; the note of group ``NAME`` is ``out/NAME.json``.
        about: The weights and settings, as returned by :func:`describe`.
        groups: The files to write, by group name.
        what: Word for the maps in messages.
    """

    def __init__(
        self,
        out: Path,
        about: Mapping[str, Any],
        groups: Mapping[str, Sequence[Path]],
        what: str = "maps",
    ) -> None:
        self._out, self._about, self._groups, self._what = out, dict(about), groups, what

    def check(self, *, resume: bool, overwrite: bool) -> None:
        """Check that existing maps may be kept or replaced.

        Args:
            resume: Keep existing maps.
            overwrite: Replace existing maps.

        Raises:
            UsageError: If there are maps and neither option is set, or ``resume`` is set and they
                were made with different weights or settings.
        """
        if overwrite:
            return
        for name, targets in self._groups.items():
            count = sum(target.exists() for target in targets)
            place = self._out / name if (self._out / name).is_dir() else self._out
            if count and self._read(name) != self._about:
                raise UsageError(
                    f"{place} holds {count} {self._what} that were not made with these weights "
                    "and settings; choose another -o, or --overwrite to replace them"
                )
            if count and not resume:
                raise UsageError(
                    f"{place} holds {count} of these {self._what} already; --resume keeps "
                    "them and makes the rest, --overwrite replaces them"
                )

    def begin(self, *, overwrite: bool) -> None:
        """Write the notes and remove temporary files.

        With ``overwrite``, also remove maps made with different weights or settings.

        Raises:
            SinkError: If the folder cannot be written.
        """
        text = json.dumps(self._about, indent=2) + "\n"
        try:
            for name, targets in self._groups.items():
                if overwrite and self._read(name) != self._about:
                    for target in targets:
                        target.unlink(missing_ok=True)
                write_whole(self._note(name), text.encode())
                for folder in {target.parent for target in targets}:
                    sweep(folder)
        except OSError as error:
            raise SinkError(f"cannot write {self._out}: {reason_of(error)}") from error

    def _note(self, name: str) -> Path:
        return self._out / f"{name}.json"

    def _read(self, name: str) -> Any:
        try:
            return json.loads(self._note(name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None


def describe(predictor: Predictor, protocol: str, *, half: bool) -> dict[str, Any]:
    """Return the weights and settings that maps depend on.

    Raises:
        SourceError: If the weights file cannot be read.
    """
    path = predictor.weights
    try:
        digest = check(path, ExpectedFile(), str(path)).sha256 if path else None
    except OSError as error:
        raise SourceError(f"{path}: {reason_of(error)}") from error
    return {
        "model": predictor.spec.name,
        "weights": path.name if path else None,
        "sha256": digest,
        "size_hw": list(predictor.size_hw),
        "large": asdict(predictor.large) if predictor.large else None,
        "protocol": protocol,
        "half": half,
    }
