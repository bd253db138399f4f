"""All tests with a long form, in that form: ``python -m tests.torture [WORDS OF PYTEST...]``."""

import os
import sys

if __name__ == "__main__":
    os.environ["SOD_TORTURE"] = "long"
    import pytest

    others = ["tests/e2e/test_large_picture.py", "tests/e2e/test_published_scores.py"]
    words = [
        "tests/torture",
        *others,
        "-q",
        "--durations=30",
        "-p",
        "no:cacheprovider",
        *sys.argv[1:],
    ]
    sys.exit(pytest.main(words))
