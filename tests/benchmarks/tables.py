"""Write the ratios of a run of ``python -m tests.benchmarks`` into the README.

Run ``python -m tests.benchmarks.tables benchmarks.json``. The table replaces what stands between
``<!-- speed -->`` and ``<!-- end -->``. Of whole processes it shows the processor seconds, which
depend less on what else runs. Benchmarks that were left out have no rows.
"""

import argparse
import json
import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
PLACE = re.compile(r"(<!-- speed -->\n).*?(<!-- end -->)", re.DOTALL)
HEAD = "| measured | of | time, ratio (spread) |\n|---|---|---|\n"


def cell(result):
    seconds = result["seconds"]
    time = f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.2f} s"
    spread = f" ({result['low']:.2f} to {result['high']:.2f})" if "low" in result else ""
    return f"{result['name']}: {time}, {result['ratio']:.2f}{spread}"


def table(document):
    """Return the Markdown of all results with a ratio, below a line about the machine."""
    about, rows = document["machine"], {}
    packages = ", ".join(f"{name} {one}" for name, one in about["packages"].items())
    for one in document["results"]:
        if "ratio" in one and one["name"] != one["of"] and not one["table"].endswith(", wall"):
            engine = f", {one['engine']}" if one.get("engine") else ""
            rows.setdefault((f"{one['table']}{engine}", one["of"]), []).append(cell(one))
    lines = (f"| {what} | {of} | {'; '.join(cells)} |\n" for (what, of), cells in rows.items())
    line = f"{about['date']}, {about['system']}, {about['processor']}; {packages}:\n\n"
    return line + HEAD + "".join(lines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("results", type=Path)
    parser.add_argument("--readme", type=Path, default=README)
    wanted = parser.parse_args()
    document = json.loads(wanted.results.read_text(encoding="utf-8"))
    before = wanted.readme.read_text(encoding="utf-8")
    after, found = PLACE.subn(lambda m: m[1] + table(document) + m[2], before)
    if not found:
        parser.error(f"{wanted.readme}: has no <!-- speed --> and <!-- end -->")
    wanted.readme.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
