"""Weights files: cache, download, safe reading and atomic writing."""
