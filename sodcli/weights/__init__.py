"""Weights files: where they lie, how they are read safely, how they are written whole."""
