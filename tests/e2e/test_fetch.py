"""``sod fetch`` from a server or a file to a cut-out."""

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

import sodcli
from sodcli.cli import ui
from sodcli.errors import MissingError
from sodcli.fetch.datasets import fetch_dataset
from sodcli.fetch.weights import Supply
from sodcli.registry import Registry
from sodcli.weights.cache import home
from sodcli.weights.download_settings import RetryPolicy
from sodcli.weights.lockfile import Lockfile
from sodcli.weights.read import read_pickle, read_weights
from tests.conftest import manifest, rule_weights
from tests.draw_kit import draw_photo
from tests.unit.test_weights import Hostile
from tests.web_kit import breaking_off, in_turn, serve

pytest_plugins = ["tests.web_fixtures"]

NAME = "stdnet-davis"  # no hash is published


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Return an STDNet file in the published layout, as bytes."""
    path = tmp_path_factory.mktemp("published") / "stdnet.pth"
    entries = manifest("stdnet/manifest_stdnet.json")["training"]
    torch.save({f"module.{k}": v for k, v in rule_weights(entries).items()}, path)
    return path.read_bytes()


@pytest.fixture
def mirror(site, monkeypatch):
    monkeypatch.setenv("SOD_MIRROR", site.url)
    return site


@pytest.fixture
def photo(tmp_path):
    Image.fromarray(draw_photo(3)[0]).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def kept():
    return sorted(str(p.relative_to(home())) for p in home().rglob("*") if p.is_file())


WHOLE = [f"downloads/{NAME}.lock", "lock.lock", "lock.toml", f"weights/{NAME}.safetensors"]


def test_weights_are_fetched_cached_and_used(sod, mirror, published, photo, monkeypatch):
    mirror.pages[f"/{NAME}"] = published
    result = sod("fetch", NAME)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{home() / 'weights' / NAME}.safetensors\n"
    assert kept() == WHOLE
    metadata = read_weights(home() / "weights" / f"{NAME}.safetensors").metadata
    assert (metadata["model"], metadata["form"]) == ("stdnet", "training")
    assert metadata["license"].startswith("MIT; contact the authors")
    record = Lockfile(home()).records()[NAME]
    assert record.source == f"{mirror.url}/{NAME}"
    assert record.published_sha256 == hashlib.sha256(published).hexdigest()
    monkeypatch.setenv("SOD_OFFLINE", "1")
    words = ["-m", "stdnet", "-t", "map", "--size", "64", "-o", photo.with_name("map.png")]
    result = sod("infer", photo, *words)
    assert result.exit_code == 0, result.stderr
    result = sod("fetch", "stdnet", "--json")
    assert json.loads(result.stdout)["results"][0]["status"] == "here"
    assert len(mirror.asked) == 1


def test_infer_fetches_what_the_model_needs(sod, mirror, published, photo):
    mirror.pages[f"/{NAME}"] = in_turn(breaking_off(published, 1_000_000), published)
    words = ["-m", "stdnet", "-t", "map", "--size", "64", "-o", photo.with_name("map.png")]
    result = sod("infer", photo, "--offline", *words)
    assert result.exit_code == 4
    assert result.stderr.endswith(" and offline is set; run: sod fetch stdnet-davis\n")
    assert not mirror.asked
    result = sod("infer", photo, *words)
    assert result.exit_code == 0, result.stderr
    assert "fetching weights 'stdnet-davis'" in result.stderr
    assert "breaks off after 1,000,000 of" in result.stderr
    assert result.stdout == f"{photo.with_name('map.png')}\n"


def test_fetching_from_python_prints_nothing(mirror, published, capsys, monkeypatch):
    mirror.pages[f"/{NAME}"] = published
    monkeypatch.setenv("SOD_OFFLINE", "1")
    with pytest.raises(sodcli.errors.MissingError, match="and SOD_OFFLINE is set; run: sod fetch"):
        sodcli.load("stdnet", device="cpu")
    monkeypatch.delenv("SOD_OFFLINE")
    assert sodcli.load("stdnet", device="cpu").spec.name == "stdnet"
    assert capsys.readouterr() == ("", "")


def test_a_refetched_file_must_equal_the_first(sod, mirror, published):
    mirror.pages[f"/{NAME}"] = published
    sod("fetch", NAME)
    before = (home() / "weights" / f"{NAME}.safetensors").read_bytes()
    changed = bytearray(published)
    changed[len(changed) // 2] ^= 1
    mirror.pages[f"/{NAME}"] = bytes(changed)
    result = sod("fetch", NAME, "--force")
    assert result.exit_code == 4
    assert "SHA-256 mismatch" in result.stderr
    assert "lock.toml holds the checksum of the first download" in result.stderr
    assert (home() / "weights" / f"{NAME}.safetensors").read_bytes() == before
    mirror.pages[f"/{NAME}"] = published
    assert sod("fetch", NAME, "--force").exit_code == 0


def test_a_file_that_replaces_the_first_one_is_imported_with_force(sod, published, tmp_path):
    first, second = tmp_path / "first.pth", tmp_path / "second.pth"
    first.write_bytes(published)
    torch.save(read_pickle(first), second)
    assert sod("fetch", NAME, "--from", first).exit_code == 0
    refused = sod("fetch", NAME, "--from", second)
    assert refused.exit_code == 4
    assert refused.stderr.endswith("of the first download; --force replaces it\n")
    assert sod("fetch", NAME, "--from", second, "--force").exit_code == 0
    assert Lockfile(home()).records()[NAME].source == "second.pth"


def test_a_hostile_pickle_does_nothing(sod, mirror, tmp_path):
    trace = tmp_path / "trace"
    torch.save({"state_dict": Hostile(trace)}, tmp_path / "hostile.pth")
    mirror.pages[f"/{NAME}"] = (tmp_path / "hostile.pth").read_bytes()
    for words in ((), ("--from", tmp_path / "hostile.pth")):
        result = sod("fetch", NAME, *words)
        assert result.exit_code == 4
        assert "could run code" in result.stderr
        assert result.stderr.splitlines()[-1].startswith("error: weights 'stdnet-davis': ")
        assert not trace.exists()
        assert kept() == [f"downloads/{NAME}.lock"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"<html>log in</html>", "sends a web page"),
        (b"no weights at all", "not a weights file"),
        (b"", "empty file"),
        (b"PK\x03\x04 broken", "damaged"),
    ],
)
def test_downloads_that_are_not_weights_are_not_kept(sod, mirror, content, text):
    mirror.pages[f"/{NAME}"] = content
    result = sod("fetch", NAME, "-q")
    assert result.exit_code == 4
    assert text in result.stderr
    assert result.stderr.count("\n") == 1
    assert kept() == [f"downloads/{NAME}.lock"]


def test_weights_of_another_model_are_refused(sod, mirror, small_weights):
    mirror.pages[f"/{NAME}"] = small_weights.read_bytes()
    result = sod("fetch", NAME)
    assert result.exit_code == 4
    assert "weights of 'sdnet', not of 'stdnet'" in result.stderr
    assert kept() == [f"downloads/{NAME}.lock"]


@pytest.mark.parametrize("form", ["zip", "tar"])
def test_a_hostile_archive_does_nothing(sod, mirror, tmp_path, form):
    archive, escaped = tmp_path / f"set.{form}", tmp_path / "escaped"
    if form == "zip":
        with zipfile.ZipFile(archive, "w") as packed:
            packed.writestr("ECSSD/images/1.jpg", b"1")
            packed.writestr("../../../../../../../../../.." + str(escaped), b"bad")
    else:
        with tarfile.open(archive, "w") as bundle:
            link = tarfile.TarInfo("ECSSD/images")
            link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
            bundle.addfile(link)
            bundle.addfile(tarfile.TarInfo("ECSSD/images/escaped"))
    mirror.pages["/ECSSD"] = archive.read_bytes()
    for words in ((), ("--from", archive)):
        result = sod("fetch", "ecssd", "--dir", tmp_path / "sets", *words)
        assert result.exit_code == 4
        assert "refused, its member" in result.stderr
        assert not escaped.exists()
        assert list((tmp_path / "sets").iterdir()) == []
    assert kept() == ["downloads/ECSSD.lock"]


def test_a_data_set_is_unpacked(sod, mirror, tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as packed:
        packed.writestr("DUTS/DUTS-TE-Image/1.jpg", b"1")
        packed.writestr("DUTS/DUTS-TE-Mask/1.png", b"2")
    mirror.pages["/DUTS-TE"] = (tmp_path / "set.zip").read_bytes()
    result = sod("fetch", "duts-te")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{home() / 'data' / 'DUTS-TE'}\n"
    assert (home() / "data" / "DUTS-TE" / "DUTS-TE-Mask" / "1.png").read_bytes() == b"2"
    assert sod("fetch", "duts-te").stdout == result.stdout
    assert len(mirror.asked) == 1
    again = sod("fetch", "duts-te", "--from", tmp_path / "set.zip")
    assert again.stdout == result.stdout
    other = sod("fetch", "duts-te", "--from", tmp_path / "set.zip", "--dir", tmp_path / "sets")
    assert other.stdout == f"{tmp_path / 'sets' / 'DUTS-TE'}\n"
    with zipfile.ZipFile(tmp_path / "set.zip", "a") as packed:
        packed.writestr("more", b"2")
    changed = sod("fetch", "duts-te", "--from", tmp_path / "set.zip", "--dir", tmp_path / "more")
    assert changed.exit_code == 4
    assert "bytes instead of" in changed.stderr
    told = f"; {home() / 'lock.toml'} holds the checksum of the first file; --force replaces it\n"
    assert changed.stderr.endswith(told)
    there = sod("fetch", "duts-te", "--from", tmp_path / "set.zip")
    assert there.exit_code == 4
    assert "exists; move it away first" in there.stderr
    words = ("--from", tmp_path / "set.zip", "--dir", tmp_path / "more")
    assert sod("fetch", "duts-te", *words, "--force").exit_code == 0
    assert sod("fetch", "duts-te", *words).exit_code == 0


def program(*words, code="from sodcli.cli.app import app; app()"):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_two_processes_at_once_make_one_file(mirror, published):
    both_here = threading.Event()

    def page(handler):
        both_here.wait(20)
        serve(handler, published)

    mirror.pages[f"/{NAME}"] = page
    first, second = program("fetch", NAME), program("fetch", NAME)
    waiting = f"waiting for another process that fetches {NAME}\n"
    lines = []

    def listen(process):
        for line in process.stderr:
            lines.append(line)
            if line == waiting:
                both_here.set()

    listeners = [threading.Thread(target=listen, args=(p,)) for p in (first, second)]
    for thread in listeners:
        thread.start()
    for process, thread in zip((first, second), listeners, strict=True):
        thread.join(60)
        assert process.wait(60) == 0, lines
        assert process.stdout.read() == f"{home() / 'weights' / NAME}.safetensors\n"
        process.stdout.close()
        process.stderr.close()
    assert waiting in lines
    assert len(mirror.asked) == 1
    assert kept() == WHOLE


@pytest.mark.slow
def test_the_fetch_of_a_killed_process_is_resumed(mirror, published, sod):
    mirror.pages[f"/{NAME}"] = breaking_off_and_waiting(published, 2_000_000)
    process = program("fetch", NAME)
    part = home() / "downloads" / f"{NAME}.part"
    while process.poll() is None and not (part.is_file() and part.stat().st_size >= 1_900_000):
        time.sleep(0.05)
    process.kill()
    process.communicate()
    mirror.pages[f"/{NAME}"], mirror.asked = published, []
    result = sod("fetch", NAME)
    assert result.exit_code == 0, result.stderr
    start = int(mirror.asked[0][1]["Range"].removeprefix("bytes=").removesuffix("-"))
    assert 1_900_000 <= start <= 2_000_000
    assert kept() == WHOLE


def breaking_off_and_waiting(body, upto):
    gone = threading.Event()

    def page(handler):
        serve(handler, body, upto)
        gone.wait(20)

    return page


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no limits on file sizes there")
def test_a_full_disk_is_one_clear_error(mirror, published):
    mirror.pages[f"/{NAME}"] = published
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000)); "
        "from sodcli.cli.app import app; app()"
    )
    process = program("fetch", NAME, "-q", code=code)
    out, err = process.communicate(timeout=900)
    assert process.returncode == 4
    assert out == ""
    assert err.startswith(f"error: weights '{NAME}': ")
    assert err.count("\n") == 1
    assert not (home() / "weights").exists()


def test_a_disk_that_fills_up_during_conversion_keeps_the_download(
    sod, mirror, published, monkeypatch
):
    mirror.pages[f"/{NAME}"] = published

    def full(path):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("sodcli.files.atomic._flush", full)
        result = sod("fetch", NAME)
        assert result.exit_code == 4
        assert "No space left on device" in result.stderr
        assert not list((home() / "weights").iterdir())
    assert sod("fetch", NAME).exit_code == 0
    assert len(mirror.asked) == 1


def test_a_file_in_our_layout_is_refused_as_the_published_one(sod, mirror, published):
    mirror.pages[f"/{NAME}"] = published
    path = sod("fetch", NAME).stdout.strip()
    result = sod("fetch", "stdnet-vos", "--from", path)
    assert result.exit_code == 4
    assert "not as published but in our layout; pass it with -w PATH" in result.stderr


def test_several_names_continue_after_a_failure(sod, mirror, published):
    mirror.pages[f"/{NAME}"] = published
    result = sod("fetch", "stdnet-vos", NAME, "sdnet", "--json", "-q")
    assert result.exit_code == 4
    rows = json.loads(result.stdout)["results"]
    assert [row["status"] for row in rows] == ["failed", "fetched", "here"]
    assert "answers 404" in rows[0]["error"]
    assert "stdnet_from_scratch_VOS.pth" in rows[0]["error"]
    assert "1 of 3 could not be fetched" in result.stderr


def test_verify_hashes_the_cached_files(sod, mirror, published):
    assert "no fetched weights" in sod("fetch", "--verify").stderr
    named = sod("fetch", "--verify", NAME, "sdnet", "DUTS-TE")
    told = f"{NAME}: not here\nsdnet: built in\nDUTS-TE: test sets are not verified\n"
    assert (named.exit_code, named.stdout, named.stderr) == (0, "", told)
    mirror.pages[f"/{NAME}"] = published
    sod("fetch", NAME)
    result = sod("fetch", "--verify")
    assert (result.exit_code, result.stdout) == (0, f"{NAME}: unchanged since it was fetched\n")
    path = home() / "weights" / f"{NAME}.safetensors"
    damaged = bytearray(path.read_bytes())
    damaged[-100] ^= 1
    path.write_bytes(damaged)
    result = sod("fetch", "--verify")
    assert result.exit_code == 4
    assert "SHA-256 mismatch" in result.stderr
    assert result.stderr.endswith(f"; run: sod fetch {NAME} --force\n")
    result = sod("fetch", NAME, "--verify", "--json")
    assert "SHA-256 mismatch" in json.loads(result.stdout)["results"][0]["problem"]
    (home() / "lock.toml").unlink()
    assert "lock.toml has no checksum of it" in sod("fetch", "--verify").stderr
    result = sod("fetch", NAME, "--json")  # a file without a record is fetched again
    assert json.loads(result.stdout)["results"][0]["status"] == "fetched"
    assert sod("fetch", "--verify").exit_code == 0


def test_the_list_shows_everything(sod, registry):
    result = sod("fetch", "--list")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert {line.count("\t") for line in lines} == {5}
    names = (*registry.weights, *registry.datasets, *registry.archives, *registry.maps)
    for name in names:
        assert sum(line.split()[:1] == [name] for line in lines) == 1, name
    (line,) = [line for line in lines if line.split()[:1] == ["inspyrenet-dis5k"]]
    assert "DIS-TR" in line
    assert "DIS5K's own terms of use" in line
    assert line.count("MIT") == 1
    assert "no, download" in line
    items = {
        item["name"]: item for item in json.loads(sod("fetch", "--list", "--json").stdout)["items"]
    }
    assert items["sdnet-duts"]["size"] == 3031139
    assert items["sdnet-duts"]["sha256"] == registry.weights["sdnet-duts"].sha256 is not None
    assert items["sdnet"]["here"]
    assert items["sdnet"]["way"] == "built in"
    assert items["minet"]["way"] == "by hand"
    assert items["ECSSD"]["kind"] == "data"
    assert items["ECSSD"]["archive"] == "inspyrenet-test-sets"
    groups = ["weights", "test sets", "training sets", "archives", "saliency maps"]
    assert list(dict.fromkeys(item["group"] for item in items.values())) == groups
    for line in lines:
        cells = [cell for cell in line.split("\t") if cell]
        assert len(set(cells[2:])) == len(cells[2:]), line
        for cell in cells:
            words = cell.split()
            assert all(a != b for a, b in pairwise(words)), line
    assert "arXiv" in items["rcrnet"]["paper"]


def pack_sets(path, names):
    """Write an archive like that of InSPyReNet's authors: folders of sets below one folder."""
    with zipfile.ZipFile(path, "w") as packed:
        for name in names:
            packed.writestr(f"Train_Dataset/{name}/images/1.jpg", name.encode())
            packed.writestr(f"Train_Dataset/{name}/masks/1.png", b"mask")
        packed.writestr("Train_Dataset/__MACOSX/x", b"")
    return path


def test_an_archive_with_several_sets_is_downloaded_once(sod, mirror, tmp_path, registry):
    sets = registry.sets_of(registry.archives["inspyrenet-training-sets"])
    names = [one.name for one in sets]
    packed = pack_sets(tmp_path / "sets.zip", names)
    mirror.pages["/inspyrenet-training-sets"] = packed.read_bytes()
    mine = home() / "data" / "DUTS-TR" / "mine"
    mine.mkdir(parents=True)
    result = sod("fetch", "inspyrenet-training-sets")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{home() / 'data'}\n"
    assert mine.is_dir()  # an existing set is not changed
    assert not (mine.parent / "images").exists()
    for name in names[1:]:
        assert (home() / "data" / name / "images" / "1.jpg").read_bytes() == name.encode()
        assert sod("fetch", name).stdout == f"{home() / 'data' / name}\n"
    assert sorted(p.name for p in (home() / "data").iterdir()) == sorted(names)
    again = sod("fetch", "inspyrenet-training-sets", "--force")
    told = f"error: {home() / 'data' / names[0]}: exists; move it away first\n"
    assert (again.exit_code, again.stderr) == (4, told)
    assert len(mirror.asked) == 1
    other = tmp_path / "other"
    assert sod("fetch", "inspyrenet-training-sets", "--from", packed, "--dir", other).exit_code == 0
    assert sorted(p.name for p in other.iterdir()) == sorted(names)
    third = tmp_path / "third"  # the same file, given for one of its sets
    assert (
        sod("fetch", names[1], "--from", packed, "--dir", third).stdout == f"{third / names[1]}\n"
    )
    assert (third / names[1] / "images" / "1.jpg").read_bytes() == names[1].encode()
    assert sorted(p.name for p in third.iterdir()) == sorted(names)


def test_an_archive_without_its_sets_is_refused(sod, mirror, tmp_path):
    packed = pack_sets(tmp_path / "sets.zip", ["cats", "dogs"])
    result = sod("fetch", "inspyrenet-training-sets", "--from", packed)
    assert result.exit_code == 4
    assert "holds none of the sets DUTS-TR, HRSOD-TR-LR, UHRSD-TR-LR" in result.stderr
    assert not list((home() / "data").iterdir())


def test_fetching_a_set_downloads_its_archive(site, tmp_path, registry):
    """Without SOD_MIRROR, from a host like OneDrive: a cookie, a redirect, byte ranges."""
    packed = pack_sets(tmp_path / "sets.zip", ["HRSOD-TR-LR", "UHRSD-TR-LR"]).read_bytes()
    share = f"{site.url}/:u:/g/x?e=abc&download=1"
    archive = replace(registry.archives["inspyrenet-training-sets"], mirrors=(share,))
    archives = {**registry.archives, archive.name: archive}
    own = Registry(registry.models, registry.weights, registry.recipes, registry.datasets, archives)

    def hand_out(handler):
        assert "download=1" in handler.path
        handler.reply(302, b"", Location="/personal/file", Set_Cookie="FedAuth=1; path=/")

    def file(handler):
        if handler.headers.get("Cookie") == "FedAuth=1":
            serve(handler, packed, None if "Range" in handler.headers else 100)
        else:
            handler.reply(200, b"<html>log in</html>", Content_Type="text/html")

    site.pages.update({"/:u:/g/x": hand_out, "/personal/file": file})
    supply = Supply(retries=RetryPolicy(sleep=lambda _: None))
    root = tmp_path / "root"
    for name in ("HRSOD-TR-LR", "UHRSD-TR-LR"):
        assert fetch_dataset(own.datasets[name], own, root, supply) == root / name
    assert [headers.get("Range") for _, headers in site.asked[1::2]] == [None, "bytes=100-"]
    with pytest.raises(MissingError, match=r"exists; move it away first$"):
        fetch_dataset(own.datasets["HRSOD-TR-LR"], own, root, replace(supply, force=True))


def test_published_maps_are_stored_by_method_and_set(sod, mirror, tmp_path):
    with zipfile.ZipFile(tmp_path / "maps.zip", "w") as packed:
        packed.writestr("ECSSD/0001.png", b"map")
    mirror.pages["/maps-inspyrenet-ecssd"] = (tmp_path / "maps.zip").read_bytes()
    result = sod("fetch", "maps-inspyrenet-ecssd")
    folder = home() / "data" / "maps" / "inspyrenet" / "ECSSD"
    assert result.stdout == f"{folder}\n", result.stderr
    assert (folder / "0001.png").read_bytes() == b"map"


def test_a_dry_run_names_the_archive_of_a_set(sod):
    result = sod("fetch", "DUTS-TR", "HRSOD-TR-LR", "SOD", "--dry-run")
    assert result.exit_code == 0
    assert result.stdout == "".join(
        f"{home() / 'data' / name}\n" for name in ("DUTS-TR", "HRSOD-TR-LR")
    )
    assert "DUTS-TR: unknown size from https://saliencydetection.net/duts/" in result.stderr
    assert "in the archive inspyrenet-training-sets with other sets" in result.stderr
    assert "SOD: has no download address" in result.stderr


def test_a_dry_run_downloads_nothing(sod, mirror, monkeypatch):
    result = sod("fetch", NAME, "sdnet", "--dry-run")
    assert result.stdout == f"{home() / 'weights' / NAME}.safetensors\n"
    assert f"from {mirror.url}/{NAME}" in result.stderr
    assert "sdnet: is here" in result.stderr
    monkeypatch.delenv("SOD_MIRROR")
    result = sod("fetch", "--all", "--dry-run")
    assert len(result.stdout.splitlines()) > 25
    assert "minet.safetensors" not in result.stdout
    assert "has no download address" in sod("fetch", "minet", "--dry-run").stderr
    rows = json.loads(sod("fetch", "--all", "--dry-run", "--json").stdout)["items"]
    assert {row["way"] for row in rows} == {"download"}
    assert not mirror.asked


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["stdnet-davs"], 2, "Did you mean 'stdnet-davis'?"),
        (["inspyrenet", "--all"], 2, "not both"),
        (["--force"], 2, "give NAMEs or --all"),
        (["--from", "x.pth"], 2, "needs exactly one NAME"),
        (["--from", "x.pth", "minet", "sdnet-duts"], 2, "needs exactly one NAME"),
        (["--from", "nowhere.pth", "minet"], 4, "nowhere.pth: no such file"),
        (["--from", ".", "minet"], 4, "is a folder"),
        (["--from", "nowhere.zip", "ECSSD"], 4, "no such archive"),
        (["--from", __file__, "sdnet"], 2, "are part of the package"),
        (["minet"], 4, "get MINet_Res50.pth from https://drive.google.com/drive/folders/"),
        (["fgplg"], 4, "Baidu"),
        (["SOD"], 4, "get it from its authors (Movahedi"),
        (["DIS-VD"], 4, "sod fetch DIS-VD --from ARCHIVE --dir "),
        (["inspyrenet", "--offline"], 4, "offline is set"),
        (["DUTS-TE", "--offline"], 4, "offline is set"),
    ],
)
def test_an_error_is_one_line_with_the_next_step(sod, words, code, text):
    result = sod("fetch", *words)
    assert result.exit_code == code
    assert text in result.stderr
    assert result.stderr.count("\n") == 1
    assert not result.stdout


def test_a_cache_that_cannot_be_written_is_reported(sod, mirror, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SOD_HOME", str(tmp_path / "file" / "home"))
    for name in (NAME, "DUTS-TE"):
        result = sod("fetch", name)
        assert result.exit_code == 4
        assert "Not a directory" in result.stderr
        assert result.stderr.splitlines()[-1].startswith("error: ")


@pytest.mark.slow
def test_a_local_file_of_the_authors_is_imported_and_used(sod, shared_data, photo, monkeypatch):
    monkeypatch.setenv("SOD_OFFLINE", "1")
    upstream = shared_data / "upstream"
    result = sod("fetch", "--from", upstream / "sdnet_from_scratch.pth", "sdnet-duts")
    assert result.exit_code == 0, result.stderr
    maps = []
    for name, weights in (("a", "sdnet-duts"), ("b", upstream / "sdnet_from_scratch.pth")):
        words = ["-m", "sdnet", "-w", weights, "-t", "map", "-o", photo.with_name(f"{name}.png")]
        result = sod("infer", photo, *words)
        assert result.exit_code == 0, result.stderr
        maps.append(np.asarray(Image.open(photo.with_name(f"{name}.png"))))
    assert np.array_equal(*maps)
    for file, name in (
        ("sdneta_from_pretrained.pth", "sdnet-a-duts"),
        ("sdnet_stage1_backbone.pth", "sdnet-stage1-backbone"),
        ("sdneta_imagenet_pretrained_backbone.pth", "sdnet-a-imagenet-backbone"),
    ):
        result = sod("fetch", "--from", upstream / file, name)
        assert result.exit_code == 0, result.stderr
    wrong = sod("fetch", "--from", upstream / "sdnet_from_scratch.pth", "sdnet-a-duts")
    assert wrong.exit_code == 4
    assert "not the published file of 'sdnet-a-duts'" in wrong.stderr
    assert sod("fetch", "--verify").stdout.count("unchanged since") == 4


def test_a_progress_bar_is_shown_on_a_terminal_only(monkeypatch):
    for terminal in (True, False):
        screen = Console(file=io.StringIO(), force_terminal=terminal, width=100)
        monkeypatch.setattr(ui, "stderr", screen)
        for quiet in (True, False):
            with ui.transfer(quiet=quiet) as moved:
                moved(1_000_000, 2_000_000)
                moved(2_000_000, 2_000_000)
            shown = screen.file.getvalue()
            assert ("2.0/2.0 MB" in shown) is (terminal and not quiet)
            assert terminal or not shown


@pytest.mark.parametrize("columns", [80, 100, 300])
def test_names_in_the_list_are_never_cut_off(sod, registry, monkeypatch, columns):
    monkeypatch.setattr("sodcli.cli.ui.on_screen", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = sod("fetch", "--list").stdout.splitlines()
    first = {line.partition(" ")[0] for line in lines if not line.startswith("─")}
    names = {*registry.weights, *registry.datasets, *registry.archives, *registry.maps}
    groups = {"weights", "test", "training", "archives", "saliency"}  # headings' first words
    assert first - {""} == names | groups
    words = {word.rstrip(";") for line in lines for word in line.split()}
    assert words >= {entry.model for entry in registry.weights.values()}
    assert max(map(len, lines)) <= columns
