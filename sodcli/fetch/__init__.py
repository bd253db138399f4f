"""Bring weights and data sets here, and tell what can be fetched."""
