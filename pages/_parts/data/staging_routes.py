"""What the browser does with a staging without Streamlit in between: looks, uploads file by file, takes out, brings back.

Streamlit's own uploader keeps every file in the server's memory and draws a row for each: a thousand pictures stall it. Here each file is written to
disk as it arrives, a few at a time, and one that breaks off leaves nothing. A page of another site is refused by `Door`, which goes by its `Origin`;
a form of another site cannot set the header `MARK`, so not even a browser that hides the origin can be made to write here.
"""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Awaitable, Callable
from typing import Any

import anyio.to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from core.config import ConfigError
from core.data.thumbnails import NoThumbnail, made
from core.machine.home import Home
from core.staging import staging
from core.staging.file_names import class_name, file_name
from pages._parts.shared.services import services

MARK = "x-thaw"
"""A header that our own scripts set on everything that changes something."""

LARGEST = 100_000_000_000
"""Bytes of one file: above it there is a mistake. Of more than `SPARE` bytes the disk is left at least as much."""

SPARE = 200_000_000
CHUNK = 1 << 20

MAKERS = anyio.CapacityLimiter(2)
"""Threads that make thumbnails at a time: the server has other things to do."""

_SOON = {"Cache-Control": "no-store"}


def routes(base: str) -> list[Route]:
    """The routes, below the path `base`."""
    return [
        Route(f"{base}/staging/{{staging}}", _careful(look), methods=["GET"]),
        Route(f"{base}/staging/{{staging}}", _careful(change), methods=["POST"]),
        Route(f"{base}/staging/{{staging}}/file", _careful(arrive), methods=["PUT"]),
        Route(f"{base}/staging/{{staging}}/picture", _careful(picture), methods=["GET"]),
    ]


async def look(request: Request) -> Response:
    """What lies in a staging."""
    return await _told(_home(), request.path_params["staging"])


async def arrive(request: Request) -> Response:
    """One file: `?class=` the class it belongs to (else it is kept as it came), `?name=` its name; its bytes are the body."""
    home, name = _home(), request.query_params.get("name", "")
    said = int(request.headers.get("content-length") or 0)
    free = shutil.disk_usage(home.path).free
    if said > LARGEST or said > free - SPARE:
        return _refused(507, f"its {said / 1e6:,.0f} MB do not fit, {free / 1e6:,.0f} MB are free where Thaw keeps its data; free some space")
    place = (home, request.path_params["staging"], request.query_params.get("class"), name)
    if 0 < said <= CHUNK:  # most pictures: one step in a thread in place of four
        data = await request.body()
        await anyio.to_thread.run_sync(staging.bring, *place, data)
        return JSONResponse({"bytes": len(data)}, headers=_SOON)
    arriving = staging.arriving(*place)
    file = await anyio.to_thread.run_sync(arriving.__enter__)
    try:
        got, waiting = 0, bytearray()
        async for chunk in request.stream():
            waiting += chunk
            got += len(chunk)
            if len(waiting) >= CHUNK:
                await anyio.to_thread.run_sync(file.write, bytes(waiting))
                waiting.clear()
        await anyio.to_thread.run_sync(file.write, bytes(waiting))
        if said and got != said:
            raise ClientDisconnect
    except BaseException as error:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(_leave, arriving, error)
        raise
    await anyio.to_thread.run_sync(arriving.__exit__, None, None, None)
    return JSONResponse({"bytes": got}, headers=_SOON)


def _leave(arriving: Any, error: BaseException) -> None:
    try:
        arriving.__exit__(type(error), error, error.__traceback__)
    except BaseException as raised:
        if raised is not error:
            raise


async def change(request: Request) -> Response:
    """`{"do": "add" | "rename" | "take out" | "undo", ...}`; what lies in the staging then."""
    home, name = _home(), request.path_params["staging"]
    what = await request.json()

    def do() -> None:
        match what:
            case {"do": "add", "class": str(each)}:
                staging.add_class(home, name, each)
            case {"do": "rename", "class": str(each), "to": str(new)}:
                staging.rename_class(home, name, each, new)
            case {"do": "take out", "class": str(each), "files": list(files)}:
                staging.take_out(home, name, each, tuple(map(str, files)))
            case {"do": "take out", "class": str(each)}:
                staging.take_out(home, name, each)
            case {"do": "undo"}:
                staging.undo(home, name)
            case _:
                raise ConfigError("request", "this browser asks for something that this server does not know; load the page anew")

    await anyio.to_thread.run_sync(do)
    return await _told(home, name)


async def picture(request: Request) -> Response:
    """A thumbnail of `?name=` in `?class=`. It is not kept: nobody looks at it twice."""
    place = staging.folder(_home(), request.path_params["staging"]) / "classes"
    file = place / class_name(request.query_params.get("class", "")) / file_name(request.query_params.get("name", ""))
    data = await anyio.to_thread.run_sync(made, file, limiter=MAKERS)
    return Response(data, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})


async def _told(home: Home, name: str) -> Response:
    found = await anyio.to_thread.run_sync(staging.staged, home, name)
    classes = [{"name": each.name, "files": each.files} for each in found.classes]
    return JSONResponse(
        {"classes": classes, "files": found.files, "first": found.first_file, "bytes": found.bytes, "undo": found.undo}, headers=_SOON
    )


def _careful(answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """The same, with what went wrong as a sentence in place of a page of Python."""

    async def told(request: Request) -> Response:
        if request.method != "GET" and MARK not in request.headers:
            return _refused(403, "only Thaw's own pages may change anything here")
        try:
            return await answer(request)
        except ClientDisconnect:  # whoever asked is gone, and what was begun is cleaned up: nobody hears an answer
            return Response(status_code=499)
        except ConfigError as error:
            return _refused(404 if error.field == "staging" else 409, error.message)
        except NoThumbnail as error:
            return _refused(404, str(error))
        except FileNotFoundError:
            return _refused(404, "it is not there any more")
        except json.JSONDecodeError:
            return _refused(400, "that is no JSON")
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            return _refused(507, "the disk is full; free some space, and try again" if full else f"it could not be written ({error.strerror})")

    return told


def _refused(status: int, message: str) -> Response:
    return JSONResponse({"message": message}, status, headers=_SOON)


def _home() -> Home:
    return services().home
