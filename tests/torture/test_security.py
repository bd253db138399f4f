"""The statements of the README's section on security."""

import ast
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

import sodcli
from sodcli.cli import ui
from tests.torture.corpus import encoded, photo, png
from tests.torture.films import small
from tests.torture.trial import quick, refused, sod
from tests.training_kit import QUICK, draw_pairs

ROOT = Path(sodcli.__file__).parent
SAFE_READER = ROOT / "weights" / "read.py"
FORBIDDEN = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.execv", "os.execvp",
    "os.spawnl", "os.spawnv", "subprocess.getoutput", "subprocess.getstatusoutput", "torch.load",
    "torch.hub.load", "torch.hub.load_state_dict_from_url", "np.load", "numpy.load", "yaml.load",
    "cv2.VideoCapture", "tempfile.mktemp", "shutil.unpack_archive",
}  # fmt: skip
FORBIDDEN_MODULES = {
    "pickle",
    "cPickle",
    "dill",
    "marshal",
    "shelve",
    "joblib",
    "cloudpickle",
    "pty",
}
CAMERA = ROOT / "io" / "camera" / "capture.py"  # cameras, and streams over network protocols only


def spelled(node: ast.AST) -> str:
    return ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""


def calls(path: Path):
    return [
        node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)
    ]


def sources():
    return sorted(ROOT.rglob("*.py"))


def test_no_third_party_code_is_run():
    wrong = []
    for path in sources():
        for call in calls(path):
            name = spelled(call.func)
            allowed = (name == "torch.load" and path == SAFE_READER) or (
                name == "cv2.VideoCapture" and path == CAMERA
            )
            if name in FORBIDDEN and not allowed:
                wrong.append((path.name, call.lineno, name))
            for word in call.keywords:
                if word.arg == "shell" or (word.arg == "weights_only" and not _is_true(word.value)):
                    wrong.append((path.name, call.lineno, word.arg))
    assert not wrong


def test_the_safe_reader_accepts_tensors_only():
    (load,) = [call for call in calls(SAFE_READER) if spelled(call.func) == "torch.load"]
    assert any(word.arg == "weights_only" and _is_true(word.value) for word in load.keywords)


def test_no_pickle_and_no_shell_are_imported():
    wrong = []
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            wrong += [
                (path.name, name) for name in names if name.split(".")[0] in FORBIDDEN_MODULES
            ]
    assert not wrong


def _is_true(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


# Records and refuses network access, and records every file that is opened for writing, created,
# renamed or removed. ffmpeg is a separate process; its start is recorded.
WATCHED = """
import json, os, sys
log = open(os.environ["AUDIT_LOG"], "a", encoding="utf-8")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
busy, started = False, []

def note(kind, *what):
    global busy
    busy = True
    log.write(json.dumps([kind, *map(str, what)]) + "\\n")
    log.flush()
    busy = False

def hook(event, args):
    if busy:
        return
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname",
                 "socket.bind", "urllib.Request"):
        note("network", event, args)
        raise OSError("no network here")
    if event == "open" and (isinstance(args[1], str) and set(args[1]) & set("wax+")
                            or args[2] and args[2] & WRITES) and not isinstance(args[0], int):
        note("write", os.path.abspath(os.fsdecode(args[0])))
    if event in ("os.mkdir", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate"):
        note("write", os.path.abspath(os.fsdecode(args[0])))
    if event == "os.rename":
        note("write", os.path.abspath(os.fsdecode(args[0])))
        note("write", os.path.abspath(os.fsdecode(args[1])))
    if event == "subprocess.Popen":
        started.append([os.fsdecode(word) for word in args[1]])
        note("start", json.dumps(started[-1]))
    if event == "os.posix_spawn" and [os.fsdecode(word) for word in args[1]] in started:
        return  # called by subprocess.Popen since Python 3.14
    if event in ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "pickle.find_class"):
        note(event, args)

sys.addaudithook(hook)
from typer.testing import CliRunner
from sodcli.cli.app import app
for words in json.loads(sys.argv[1]):
    result = CliRunner().invoke(app, words)
    if result.exit_code:
        sys.exit(f"{words}: {result.stderr}")
"""


@pytest.fixture
def watched(tmp_path, monkeypatch):
    """Run commands in one process that records their actions; return the records."""
    monkeypatch.chdir(tmp_path)

    def run(*commands):
        log = tmp_path.parent / f"{tmp_path.name}-audit.jsonl"
        env = {**os.environ, "AUDIT_LOG": str(log), "PYTHONDONTWRITEBYTECODE": "1"}
        words = json.dumps([[str(word) for word in command] for command in commands])
        done = subprocess.run(
            [sys.executable, "-c", WATCHED, words],
            env=env,
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in log.read_text().splitlines()]

    return run


@pytest.mark.slow
def test_local_commands_use_no_network_and_write_only_their_outputs(watched, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(encoded(photo(), "PNG"))
    small(tmp_path / "in" / "film.mp4")
    draw_pairs(tmp_path / "pairs", count=4)
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as packed:
        packed.writestr("ECSSD/images/1.png", encoded(photo(), "PNG"))
    (tmp_path / "quick.toml").write_text(QUICK)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    steps = ("--epochs", "1", "--batch", "2", "--size", "32", "--config", "quick.toml")
    notes = watched(
        ("infer", "in", *quick("-t", "green", "-o", "out/infer/")),
        ("eval", "pairs/masks", "pairs", "-o", "out/r.html", "-o", "out/r.json"),
        ("test", *quick("--data", "pairs", "-o", "out/maps")),
        ("reparam", "sdnet", "-o", "out/folded.safetensors"),
        ("speed", "--size", "32", "--runs", "1", "--warmup", "0"),
        ("train", "-m", "sdnet", "--data", "pairs", "-o", "out/run", *steps),
        ("fetch", "--list"),
        ("fetch", "ECSSD", "--from", "set.zip", "--dir", "out/sets"),
    )
    assert not [note for note in notes if note[0] == "network"]
    assert not [note for note in notes if note[0] not in ("write", "start", "pickle.find_class")]
    home, out = Path(os.environ["SOD_HOME"]), tmp_path / "out"
    places = {Path(note[1]) for note in notes if note[0] == "write"}
    assert any(out in place.parents for place in places)
    elsewhere = {p for p in places if p != out and not {out, home} & {p, *p.parents}}
    assert not [place for place in elsewhere if not _is_machinery(place)]
    assert before == {p for p in tmp_path.rglob("*") if p.is_file() and out not in p.parents}
    started = [json.loads(note[1]) for note in notes if note[0] == "start"]
    programs = {Path(words[0]).name.split("-")[0] for words in started}
    assert programs - {"ldconfig"} == {"ffmpeg"}  # Python runs it to find libraries
    assert all("-protocol_whitelist" in words for words in started if "file:in/film.mp4" in words)


def _is_machinery(place: Path) -> bool:
    """Return True if Python or PyTorch writes there by itself, whatever the outputs are."""
    scratch = place.parent == Path(tempfile.gettempdir())
    probe = re.fullmatch(r"[a-z0-9_]{8}", place.name) and not place.exists()  # created by tempfile
    return place == Path(os.devnull) or (
        scratch and bool(probe or place.name.startswith("torchinductor"))
    )


def test_nothing_is_downloaded_when_offline(sod, tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was asked for")

    monkeypatch.setattr("socket.socket.connect", refuse)
    (tmp_path / "a.png").write_bytes(encoded(photo(), "PNG"))
    result = sod("infer", tmp_path / "a.png", "-m", "inspyrenet", "--offline")
    assert result.exit_code == 4
    assert "run: sod fetch" in result.stderr


def test_an_address_is_not_an_input(tmp_path):
    refused("infer", "https://127.0.0.1:9/x.png", *quick("-t", "map"), code=2)
    for name in (
        "http://127.0.0.1:9/x.mp4", "file:///etc/passwd",
        "rtsp://127.0.0.1/x", "concat:a.mp4|b.mp4", "data:image/png;base64,AAAA",
    ):  # fmt: skip
        refused("infer", name, *quick("-t", "map", "-o", tmp_path / "x.png"))
        refused("infer", "x.png", *quick("-t", name), code=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux'")
def test_a_decompression_bomb_needs_little_memory(tmp_path):
    """A picture of 400 million pixels is refused with less memory than its pixels need."""
    import resource

    (tmp_path / "bomb.png").write_bytes(png(20000, 20000, depth=1, colour=0))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused("infer", tmp_path / "bomb.png", *quick("-t", "map"))
    for sub in ("images", "masks", "maps"):
        (tmp_path / sub).mkdir()
        (tmp_path / sub / "1.png").write_bytes((tmp_path / "bomb.png").read_bytes())
    assert sod("eval", tmp_path / "maps", tmp_path / "masks").code == 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


def test_names_cannot_send_control_codes_to_the_terminal(tmp_path, capsys, monkeypatch):
    name = "[bold red]x[/]\x1b[2J\x9b2J\x07\u202e:duck:"
    ui.error(name)
    ui.warn(name)
    ui.note(name)
    shown = capsys.readouterr().err
    assert shown.count("[bold red]x[/]") == 3
    assert shown.count(":duck:") == 3
    assert all(c == "\n" or c.isprintable() for c in shown)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    ui.print_line(name)
    ui.print_json({"path": name})
    assert all(c == "\n" or c.isprintable() for c in capsys.readouterr().out)
    ui.print_table(["name"], [[name]])
    shown = capsys.readouterr().out
    assert "\x1b[2J" not in shown
    assert "\x9b" not in shown


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_names_in_a_pipe_are_unchanged():
    code = "from sodcli.cli.ui import print_json, print_line; print_line('a\\udcffb\\x1b[2J'); "
    code += "print_json({'path': 'a\\udcffb'})"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    line, _, document = out.partition(b"\n")
    assert line == b"a\xffb\x1b[2J"
    assert json.loads(document) == {"path": "a\udcffb"}


def test_a_closed_pipe_ends_without_a_traceback(tmp_path):
    """``sod fetch --list | head -1`` ends without a traceback."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sodcli", "fetch", "--list"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 1
    assert error.splitlines() in ([], ["error: cannot write to standard output: Broken pipe"])
