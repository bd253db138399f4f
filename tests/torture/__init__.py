"""Hostile inputs, kills at random moments, and long runs.

Short forms of all run with the tests.
"""

import os

LONG = os.environ.get("SOD_TORTURE") == "long"
