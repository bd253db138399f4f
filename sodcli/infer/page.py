"""The server of ``sod ui``, on Starlette: Gradio excludes the Pillow that sod needs."""

import errno
import hmac
import os
import re
import secrets
import shutil
import socket
import tempfile
import threading
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import quote
from zipfile import ZipFile

import uvicorn
from starlette import responses as http
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.routing import Route

from sodcli.errors import SodError, SourceError, UsageError
from sodcli.files import temporary_folder
from sodcli.imaging.blend import over_white
from sodcli.imaging.compose import PICTURE, output_types
from sodcli.imaging.matte import DOUBTFUL
from sodcli.imaging.output_types import colour_of
from sodcli.infer.films import Position, Watcher, infer_films
from sodcli.infer.photos import infer
from sodcli.io.pictures.colour import in_srgb
from sodcli.io.pictures.decode import readable_suffixes
from sodcli.io.pictures.encode import encode_picture
from sodcli.io.search import FILM_SUFFIXES, kind_of
from sodcli.io.settings import InferSettings, choose_style
from sodcli.io.sinks import plan_outputs
from sodcli.io.sources import Input, read_input
from sodcli.runtime.predictor import Predictor
from sodcli.text import reason_of, render_html

_MOST_BYTES: Final = 2**28  # of one upload
_Load = Callable[[str], tuple[Predictor, str]]
_LOCAL: Final = re.compile(r"localhost|127(\.\d+){3}")
_POLICY: Final = (
    "default-src 'none'; connect-src 'self'; img-src blob: data:; media-src blob:; script-src"
    " 'unsafe-inline'; style-src 'unsafe-inline'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(slots=True)
class _Upload:
    """A file from a browser: its name, which is only shown, and our copy in a folder of its own."""

    name: str
    source: Input
    folder: Path
    mask: str | None = None  # the file of a mask painted in the browser
    result: tuple[Path, str] | None = None  # with its name in the browser
    position: Position | None = None


class Page:
    """Serves the page; one photo or film is processed at a time.

    Args:
        load: Returns the network of one of ``models``, and its ``InferSettings.network``.
        models: Names of models.
        max_pixels: Larger pictures are refused.
        token: Password of the user ``sod``; without one, only browsers on this machine are served.
    """

    def __init__(self, load: _Load, models: list[str], max_pixels: int, token: str | None) -> None:
        self._load, self._models, self._token = load, models, token
        self._settings = InferSettings(max_pixels=max_pixels, batch=None)
        self._uploads: dict[str, _Upload] = {}
        self._busy = threading.Lock()

    def serve(self, host: str, port: int, ready: Callable[[str], None]) -> None:
        """Serve until Ctrl-C; ``ready`` is called with the address, port 0 takes a free one.

        Raises:
            SodError: If the address is not free, or open to other machines without a token.
            KeyboardInterrupt: At the end.
        """
        if self._token is None and not _LOCAL.fullmatch(host):
            raise UsageError(f"--host {host}: other machines could use the page; set --token TEXT")
        try:
            listener = socket.create_server((host, port))
        except OSError as error:
            reason = reason_of(error).lower().partition(" (")[0]
            taken = error.errno in (errno.EADDRINUSE, errno.EACCES)
            hint = "; --port 0 takes a free port" if taken else ""
            raise SodError(f"{host}:{port}: {reason}{hint}") from error
        config = uvicorn.Config(self._app(), log_level="critical", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        with listener, temporary_folder(Path(tempfile.gettempdir()), "ui") as self._folder:
            ready(f"http://{host}:{listener.getsockname()[1]}/")
            self._server.run(sockets=[listener])
            with self._busy:  # the current photo is finished before its folder is removed
                raise KeyboardInterrupt

    def _app(self) -> Starlette:
        routes = [
            Route("/", self._show),
            Route("/zip", self._zip),
            Route("/files", self._add, methods=["POST"]),
            Route("/files/{id}", self._progress),
            Route("/files/{id}", self._remove, methods=["DELETE"]),
            Route("/files/{id}/mask", self._set_mask, methods=["PUT"]),
            Route("/files/{id}/photo", self._photo),
            Route("/files/{id}/{what}", self._make),
        ]
        guard = Middleware(BaseHTTPMiddleware, dispatch=self._guard)
        return Starlette(False, routes, [guard], {SodError: _refuse, Exception: _refuse})

    async def _guard(self, request: Request, call_next: RequestResponseEndpoint) -> http.Response:
        """Refuse requests from other machines, other web pages, and without the token."""
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        if self._token is not None:
            given = request.headers.get("authorization", "").encode()
            if not hmac.compare_digest(given, b"Basic " + b64encode(f"sod:{self._token}".encode())):
                return http.Response(None, 401, {"WWW-Authenticate": 'Basic realm="sod ui"'})
        foreign = self._token is None and not _LOCAL.fullmatch(host.partition(":")[0])
        if foreign or (origin is not None and origin.partition("//")[2] != host):
            return http.PlainTextResponse("Open the address that sod ui prints.\n", 403)
        return await call_next(request)

    def _show(self, request: Request) -> http.Response:
        about = {"models": self._models, "most": _MOST_BYTES, "local": self._token is None}
        text = render_html("sodcli.infer", "page.html", doubtful=DOUBTFUL, **about)
        return http.HTMLResponse(text, headers={"Content-Security-Policy": _POLICY})

    async def _add(self, request: Request) -> http.Response:
        name = re.sub(r"[^\w.()+ -]", "_", request.query_params.get("name", "photo"))[-60:]
        suffix = PurePosixPath(name).suffix.lower()
        known = suffix in readable_suffixes() | FILM_SUFFIXES
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        path, number = folder / f"source{suffix if known else ''}", secrets.token_urlsafe(12)
        try:
            await self._receive(request, path)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._uploads[number] = _Upload(name, Input(path, kind=kind_of(path)), folder)
        return http.JSONResponse({"id": number, "kind": kind_of(path)})

    async def _set_mask(self, request: Request) -> http.Response:
        upload = self._find(request)
        whole, part = upload.folder / "mask.png", upload.folder / "mask.part"
        size = await self._receive(request, part)  # if it breaks off, the mask before stays
        part.replace(whole)
        upload.mask = str(whole) if size else None
        return http.JSONResponse(None)

    async def _receive(self, request: Request, path: Path) -> int:
        """Write the body of a request to a file of ours; return its size in bytes."""
        with path.open("wb") as file:
            async for chunk in request.stream():
                if file.tell() + len(chunk) > _MOST_BYTES:
                    raise SourceError(f"larger than {_MOST_BYTES >> 20} MiB")
                file.write(chunk)
            return file.tell()

    def _make(self, request: Request) -> http.Response:
        """Do what ``sod infer`` does with one photo or film; answer with the result.

        The answer to ``map`` is the transparent cut-out, whose alpha the brush begins with: the map
        as the results have it, cleaned.
        """
        upload, query = self._find(request), request.query_params
        wanted = request.path_params["what"] == "result"
        kind, model = query.get("type", "") if wanted else "rgba", query.get("model", "")
        known = kind != PICTURE and kind in output_types()
        if model not in self._models or not (known or colour_of(kind)):  # a path would be read
            raise UsageError("no such type or model")
        style, film = choose_style(kind), upload.source.kind == "film"
        out = upload.folder / style.tag
        out.mkdir(exist_ok=True)
        codec = "vp9" if film and style.alpha else "auto"  # browsers do not play ProRes

        def at(position: Position | None) -> None:
            upload.position = position
            if self._server.should_exit or not upload.folder.exists():
                raise SourceError("stopped")

        watcher, mask = Watcher(lambda outcome: None, at), None if film else upload.mask
        with self._busy:
            at(None)  # while it waited, the file may have been removed
            network, about = self._load(model)
            settings = replace(
                self._settings, styles=(style,), out=str(out), codec=codec, mask=mask, network=about
            )
            jobs = plan_outputs([upload.source], settings)
            if film:
                (outcome,) = infer_films(jobs, network, settings, watcher)
            else:
                (outcome,) = infer(jobs, None if mask else network, settings, watcher.report)
        if outcome.error is not None:
            raise _as_in_browser(outcome.error, upload) from outcome.error
        target = Path(outcome.job.output)
        name = PurePosixPath(upload.name).stem + target.name.removeprefix("source")
        if wanted:
            upload.result = target, name
        headers = {"name": quote(name), "certainty": str(outcome.certainty)}
        return http.FileResponse(target, headers=headers)

    def _photo(self, request: Request) -> http.Response:
        """Answer with the photo as JPEG, for a browser that cannot read its format."""
        upload = self._find(request)
        try:
            frame = in_srgb(read_input(upload.source, max_pixels=self._settings.max_pixels))
        except SodError as error:
            raise _as_in_browser(error, upload) from error
        data = encode_picture(over_white(frame.rgb, frame.alpha), ".jpg")
        return http.Response(data, media_type="image/jpeg")

    async def _progress(self, request: Request) -> http.Response:
        at = self._find(request).position
        return http.JSONResponse(at and f"{at.done} of {at.expected or '?'} frames")

    async def _remove(self, request: Request) -> http.Response:
        shutil.rmtree(self._find(request).folder, ignore_errors=True)
        del self._uploads[request.path_params["id"]]
        return http.JSONResponse(None)

    def _zip(self, request: Request) -> http.Response:
        handle, path = tempfile.mkstemp(dir=self._folder, suffix=".zip")
        with os.fdopen(handle, "wb") as file, ZipFile(file, "w") as archive:
            for number in request.query_params.get("ids", "").split(","):
                if (upload := self._uploads.get(number)) and upload.result:
                    result, name = upload.result
                    twin = f"{number}-" if name in archive.NameToInfo else ""
                    archive.write(result, twin + name)
        remove = BackgroundTask(Path(path).unlink)
        return http.FileResponse(path, filename="results.zip", background=remove)

    def _find(self, request: Request) -> _Upload:
        upload = self._uploads.get(request.path_params["id"])
        if upload is None:
            raise SourceError("no longer here; add the file again")
        return upload


def _as_in_browser(error: SodError, upload: _Upload) -> SourceError:
    """Return the error in one line, with the name that the file has in the browser."""
    return SourceError(" ".join(str(error).replace(str(upload.source.path), upload.name).split()))


async def _refuse(request: Request, error: Exception) -> http.Response:
    """Answer an error with one line."""
    line = str(error) if isinstance(error, SodError) else f"internal error: {reason_of(error)}"
    return http.JSONResponse({"error": line}, 422)
