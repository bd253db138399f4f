"""All tests with a long form, in that form: ``python -m tests.torture [WORDS OF PYTEST...]``."""

import os
import sys

if __name__ == "__main__":
    os.environ["SOD_TORTURE"] = "long"
    import pytest

    words = [
        "tests/torture",
        "tests/e2e/test_large_picture.py",
        "tests/e2e/test_published_scores.py",
        "tests/numeric/test_graph_parity.py",
        "tests/unit/test_infer_films.py",
        "-q",
        "--durations=30",
        "-p",
        "no:cacheprovider",
        *sys.argv[1:],
    ]
    sys.exit(pytest.main(words))
