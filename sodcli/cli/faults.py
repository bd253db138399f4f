"""What an exception is to a user: one line, and the exit code of the program."""

from typing import Final

from sodcli.cli import ui
from sodcli.errors import SodError, UsageError

# What sodcli imports, and how to install it where it is not.
_PACKAGES: Final = {
    "torch": "torch",
    "torchvision": "torchvision",
    "timm": "timm",
    "cv2": "opencv-python",
    "numpy": "numpy",
    "PIL": "pillow",
    "imageio_ffmpeg": "imageio-ffmpeg",
    "platformdirs": "platformdirs",
    "safetensors": "safetensors",
    "openpyxl": "openpyxl",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
}
_SPOKEN: Final = {"torch": "PyTorch"}


def explain(error: Exception, screen: str) -> int:
    """Print what is no :class:`.SodError` in one line: a wrong command line, a mistake of ours.

    Args:
        error: Whatever came up.
        screen: The command that was typed, for errors that do not know theirs.

    Returns:
        The exit code.
    """
    if hasattr(error, "format_message"):
        return _explain_words(error, screen)
    package = _lacking(error)
    if package is not None:
        ui.error(f"this needs {_SPOKEN.get(package, package)}; run: pip install {package}")
        return UsageError.exit_code
    if isinstance(error, OSError) and error.strerror:  # of the disk, at a place nobody foresaw
        where = f"{error.filename}: " if error.filename is not None else ""
        ui.error(f"{where}{error.strerror.lower()}")
        return SodError.exit_code
    ui.error(f"internal error: {type(error).__name__}: {error}; run again with --traceback")
    return 1


def _explain_words(error: Exception, screen: str) -> int:
    """Print what is wrong with the command line, unless its help has just been printed instead."""
    message = error.format_message()  # type: ignore[attr-defined]
    if message:
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else screen
        stop = "" if message.endswith((".", "?", "!")) else "."
        ui.error(f"{message}{stop} Try '{path} --help'.")
    return int(getattr(error, "exit_code", UsageError.exit_code))


def _lacking(error: Exception) -> str | None:
    """Return the package that is not installed, if that is the error."""
    if not isinstance(error, ModuleNotFoundError):
        return None
    return _PACKAGES.get((error.name or "").partition(".")[0])
