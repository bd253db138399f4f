"""All torture tests in their long form: ``python -m tests.torture [WORDS OF PYTEST...]``."""

import os
import sys

if __name__ == "__main__":
    os.environ["SOD_TORTURE"] = "long"
    import pytest

    words = ["tests/torture", "-q", "--durations=30", "-p", "no:cacheprovider", *sys.argv[1:]]
    sys.exit(pytest.main(words))
