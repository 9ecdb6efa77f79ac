"""Compile C with the `ziglang` wheel, only when something changed.

Called by the build scripts beside the C sources. Each output carries a stamp: a hash over the compiler's
version, the arguments and every input's bytes; an equal stamp means the output is up to date.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path


def compile_c(output: Path, sources: Sequence[Path], arguments: Sequence[str], inputs: Sequence[Path] = ()) -> bool:
    """Compile and link `sources` into `output`; returns whether anything had to be done.

    `inputs` are further files whose change must cause a rebuild (headers, embedded texts).
    Raises RuntimeError with the compiler's words when it fails; `output` is then untouched.
    """
    stamp = _stamp([*sources, *inputs], arguments)
    stamp_file = output.with_name(output.name + ".stamp")
    if output.exists() and stamp_file.exists() and stamp_file.read_text() == stamp:
        return False
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f"{output.name}.{os.getpid()}.partial")
    command = [sys.executable, "-m", "ziglang", "cc", *arguments, *map(str, sources), "-o", str(partial)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        partial.unlink(missing_ok=True)
        raise RuntimeError(f"compiling {output.name} failed:\n{done.stderr[-4000:]}")
    # The stamp goes first and last: a crash between the two writes leaves no stamp, hence a rebuild.
    stamp_file.unlink(missing_ok=True)
    os.replace(partial, output)
    stamp_file.write_text(stamp)
    return True


def _stamp(files: Sequence[Path], arguments: Sequence[str]) -> str:
    digest = hashlib.sha256()
    digest.update(version("ziglang").encode())
    for argument in arguments:
        digest.update(b"\0" + argument.encode())
    for path in files:
        digest.update(b"\1" + path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
