"""Benchmark maps (``sod test``), their scores (``sod eval``) and reports."""
