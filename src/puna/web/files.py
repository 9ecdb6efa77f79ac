"""Files for browsers: their types, what a browser may keep, and what a page of ours may do.

Called by routes.py. Pages show what strangers wrote; the policy below is the second wall behind never making markup of
it: no script, style or frame that is not a file of this room runs in our pages.
"""

import asyncio
import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".tmj": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webp": "image/webp",
    ".ogg": "audio/ogg",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}
COMPRESSIBLE = {".html", ".js", ".mjs", ".css", ".json", ".tmj", ".svg", ".wasm", ".txt"}
COMPRESSED_BYTES_MIN = 1024


@dataclass(frozen=True)
class _Loaded:
    """A file as it was when it was read last."""

    modified_ns: int
    plain: bytes
    packed: bytes | None
    etag: str


class Files:
    """Reads files for requests, and keeps them with their compressed forms while they are unchanged."""

    def __init__(self) -> None:
        self._loaded: dict[Path, _Loaded] = {}

    async def reply(self, request: Request, path: Path, headers: dict[str, str]) -> Response:
        """The file, or 304 for one who has it. Raises FileNotFoundError when it is not there."""
        loaded = self._loaded.get(path)
        if loaded is None or loaded.modified_ns != path.stat().st_mtime_ns:
            loaded = self._loaded[path] = await asyncio.to_thread(_load, path)
        # A browser asks each time whether the file has changed, which costs it one small reply.
        headers = {"Cache-Control": "no-cache", "ETag": loaded.etag, "Vary": "Accept-Encoding, Accept", **headers}
        headers["X-Content-Type-Options"] = "nosniff"
        if loaded.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        headers["Content-Type"] = TYPES[path.suffix]
        body = loaded.plain
        if loaded.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
            body, headers["Content-Encoding"] = loaded.packed, "gzip"
        return Response(body, headers=headers)


def _load(path: Path) -> _Loaded:
    modified_ns, plain = path.stat().st_mtime_ns, path.read_bytes()
    packed = None
    if path.suffix in COMPRESSIBLE and len(plain) >= COMPRESSED_BYTES_MIN:
        packed = gzip.compress(plain, 6, mtime=0)
    return _Loaded(modified_ns, plain, packed, f'"{hashlib.sha256(plain).hexdigest()[:32]}"')


def inside(folder: Path, name: str) -> Path | None:
    """The file `name` of a folder, when it is one of a type for browsers and really below that folder."""
    if "\0" in name or "\\" in name:
        return None
    path = folder / name
    if path.suffix not in TYPES or not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
        return None
    return path


def policy(connect: list[str]) -> str:
    """The Content-Security-Policy of our pages, which may talk to this node's doors `connect` beside their own."""
    return "; ".join(
        [
            "default-src 'none'",
            # WebAssembly is compiled for verification; nothing is ever made from text.
            "script-src 'self' 'wasm-unsafe-eval'",
            "style-src 'self'",
            "img-src 'self' data: blob:",
            "font-src 'self'",
            "media-src 'self' blob:",
            "worker-src 'self' blob:",
            "connect-src " + " ".join(["'self'", "data:", "blob:", *connect]),
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


def missing(name: str, words: str) -> Response:
    return PlainTextResponse(f"There is no file {name} here. {words}", 404, headers={"Cache-Control": "no-store"})
