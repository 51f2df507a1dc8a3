"""What the gallery asks the server for without Streamlit in between: the list of a version's pictures, and the pictures, small and large.

Both are known by their content, so a browser may keep them for ever.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache, partial
from pathlib import Path
from urllib.parse import quote

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from core import versions
from core.config import ConfigError
from core.data.thumbnails import LARGE, NoThumbnail, made, thumbnail
from core.machine.home import Home
from core.versions import Version
from core.versions.shelf import folder_of, place_of
from pages._parts.shared.services import services

FOR_EVER = {"Cache-Control": "private, max-age=31536000, immutable"}

MAKERS = anyio.CapacityLimiter(4)
"""Threads that read or make pictures at a time: whoever scrolls through 60,000 must not hold up the rest of the server."""

_FILE = re.compile(r"([0-9a-f]{64})(\.[a-z0-9]{1,8}|)")
_SPLITS = (*versions.SPLITS, "")


def routes(base: str) -> list[Route]:
    """The routes, below the path `base`."""
    return [Route(f"{base}/pictures/{{name}}/{{number:int}}", pictures), Route(f"{base}/picture/{{name}}/{{file}}", picture)]


def list_address(version: Version) -> str:
    """Where the browser gets the list of a version's pictures, beside the page."""
    return f"pictures/{quote(version.dataset)}/{version.number}?h={version.short_hash}"


def picture_address(dataset: str, item: versions.Item) -> str:
    """Where the browser gets the thumbnail of a picture, beside the page."""
    return f"picture/{quote(dataset)}/{item.sha256}{item.ending}"


async def pictures(request: Request) -> Response:
    """The pictures of a version as columns: see `columns`."""
    try:
        name, number = request.path_params["name"], request.path_params["number"]
        version = await anyio.to_thread.run_sync(versions.read, services().home, name, number)
    except ConfigError as error:
        return JSONResponse({"message": error.message}, 404)
    body = await anyio.to_thread.run_sync(columns, version)
    return Response(body, media_type="application/json", headers=FOR_EVER)


@lru_cache(maxsize=2)
def columns(version: Version) -> bytes:
    """JSON: a list for each field, in the order of the version; `sha` all hashes in one text, `labels`, `splits` and `ending` as numbers."""
    items = version.items
    endings = list(dict.fromkeys(item.ending for item in items))
    class_at = {name: at for at, name in enumerate(version.classes)}
    ending_at = {ending: at for at, ending in enumerate(endings)}
    split_at = {split: at for at, split in enumerate(_SPLITS)}
    found = {
        "sha": "".join(item.sha256 for item in items),
        "endings": endings,
        "ending": [ending_at[item.ending] for item in items],
        "names": [item.name for item in items],
        "labels": [class_at[item.label] for item in items],
        "splits": [split_at[item.split] for item in items],
        "widths": [item.width for item in items],
        "heights": [item.height for item in items],
        "groups": [item.group for item in items],
    }
    return json.dumps(found, separators=(",", ":"), ensure_ascii=False).encode()


async def picture(request: Request) -> Response:
    """A thumbnail; with `?side=large` the picture as it is looked at closely."""
    found = _FILE.fullmatch(request.path_params["file"])
    if found is None:
        return JSONResponse({"message": "no picture is called so"}, 404)
    large = request.query_params.get("side") == "large"
    try:
        data = await anyio.to_thread.run_sync(partial(_read, services().home, request.path_params["name"], found, large), limiter=MAKERS)
    except (NoThumbnail, ConfigError) as error:
        return JSONResponse({"message": str(error)}, 404)
    except OSError:
        return JSONResponse({"message": "the picture is not there any more"}, 404)
    return Response(data, media_type="image/jpeg", headers=FOR_EVER)


def _read(home: Home, name: str, named: re.Match[str], large: bool) -> bytes:
    sha256, ending = named.groups()
    file: Path = folder_of(home, name) / place_of(sha256, ending)
    return made(file, LARGE) if large else thumbnail(home, sha256, file)
