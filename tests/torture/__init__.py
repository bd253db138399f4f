"""Trial by fire: hostile inputs, kills at random moments, long runs.

Short forms of all run with the tests.
"""

import os

LONG = os.environ.get("SOD_TORTURE") == "long"
