"""`WeaveDrive` for our own module: permanent data, a whole file by one call.

The request is a path, the answer the file's bytes; `module/lua/files.lua` makes a file of them. Which paths there are,
who may read what, and what a read costs are those of `weavedrive.py`.
"""

import sys
from collections.abc import Callable

from puna.errors import Missing

from .host import Host
from .weavedrive import Drive


def bind(host: Host) -> Callable[[bytes], bytes]:
    def answer(request: bytes) -> bytes:
        """Raises Missing where there can be no such file, NotYet where it is not here or not admitted."""
        path = request.decode("utf-8", "replace")
        drive = Drive(host, host.environment)
        try:
            file = drive.open(path)
            if not file:
                raise Missing(f"{path}: No such file or directory")
            return bytes(drive.read(file, sys.maxsize))
        finally:
            drive.end()

    return answer
