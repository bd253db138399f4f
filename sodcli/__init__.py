"""Salient object detection for pictures, films and camera streams."""

__version__ = "0.1.0"
__all__ = ["__version__"]
