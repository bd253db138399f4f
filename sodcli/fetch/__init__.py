"""Fetch weights and data sets, and list what can be fetched."""
