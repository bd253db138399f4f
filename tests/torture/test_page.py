"""``sod ui`` with damaged and hostile files."""

import json
from itertools import chain

import pytest

from tests.page_kit import page_server
from tests.torture import LONG
from tests.torture.corpus import DAMAGED, ODD_NAMES, WHOLE, cut, pictures

pytestmark = pytest.mark.slow


def test_each_hostile_upload_gets_a_result_or_a_line_and_the_server_survives(tmp_path):
    cases = [*pictures()]
    if LONG:
        cases += chain.from_iterable(
            cut(case, 200) for case in pictures() if len(case.data) < 20_000
        )
        assert len(cases) > 200
    else:
        cases = cases[::3]
    whole = next(case for case in cases if case.expected == WHOLE)
    names = ["../../etc/passwd", "..", "/", "C:\\nul.png", "a\0b.png", *ODD_NAMES]
    (tmp_path / "tmp").mkdir()
    with page_server(tmp_path / "tmp") as server:
        for case in cases:
            code, body = server.result(server.add(case.name, case.data), "map")
            assert case.expected != {200: DAMAGED, 422: WHOLE}[code], (case.name, body[:200])
            if code == 422:
                (line,) = json.loads(body).values()
                assert line.startswith(f"{case.name}: "), line
                assert line.isprintable()
                assert str(tmp_path) not in line
                assert "internal error" not in line
        for name in names:
            name = name.encode("utf-8", "replace").decode()
            assert server.result(server.add(name, whole.data), "map")[0] == 200, name
        assert server.ask("")[0] == 200
        stored = {path.stem for path in server.temporary.glob("*/*/*") if path.is_file()}
        assert stored == {"source"}
        code, err = server.interrupt()
    assert code == 130
    assert len(err.splitlines()) == 2, err
    assert [path.name for path in tmp_path.iterdir()] == ["tmp"]
