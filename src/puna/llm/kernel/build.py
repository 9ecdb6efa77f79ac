"""Compiles the kernel with the `ziglang` wheel: every variant for this machine's architecture, and WebAssembly.

Called by the build hook, and by `python hatch_build.py` in a working copy. Which variant runs is chosen when the
kernel is loaded (see kernel/__init__.py), so a package built here runs on every processor of the architecture.
"""

import platform
import sys
from pathlib import Path

from build_support.zig import compile_c

HERE = Path(__file__).resolve().parent
SOURCES = tuple(HERE / name for name in ("llama.c", "attention.c", "matmul.c", "canonical.c", "platform.c", "cpu.c"))
HEADERS = tuple(sorted(HERE.glob("*.h")))

# Without -ffp-contract=off a compiler may fuse a product and a sum, and the bits change. -fno-math-errno lets a
# square root be one instruction.
ARITHMETIC = ("-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-g0")
WARNINGS = ("-Wall", "-Wextra")

VARIANTS = {
    "x86_64": {
        "scalar": ("-mcpu=x86_64", "-DPUNA_SCALAR"),
        "avx2": ("-mcpu=x86_64_v3",),
        "avx512": ("-mcpu=x86_64_v4+avx512vnni",),
    },
    "aarch64": {
        "scalar": ("-mcpu=generic", "-DPUNA_SCALAR"),
        "neon": ("-mcpu=generic",),
        "dotprod": ("-mcpu=generic+dotprod",),
    },
}
WASM = (
    *("-target", "wasm32-wasi", "-mexec-model=reactor", "-Wl,--export-dynamic"),
    *("-mcpu=generic+simd128+bulk_memory+sign_ext+nontrapping_fptoint", "-fvisibility=hidden"),
)


def build(out_dir: Path, cache_dir: Path) -> None:
    """Compile what changed into `out_dir`; `cache_dir` is not needed here."""
    architecture = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    for variant, flags in VARIANTS.get(architecture, {}).items():
        compile_c(
            out_dir / f"puna-kernel-{variant}{library_suffix()}",
            SOURCES,
            [*target(architecture), *flags, *ARITHMETIC, *WARNINGS, "-shared", "-fPIC", "-fvisibility=hidden", "-s"],
            HEADERS,
        )
    compile_c(out_dir / "puna-kernel.wasm", SOURCES, [*WASM, *ARITHMETIC, *WARNINGS, "-s"], HEADERS)


def library_suffix() -> str:
    return {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")


def target(architecture: str) -> tuple[str, ...]:
    """The oldest system of this kind that the library should load on."""
    if sys.platform == "win32":
        return ("-target", f"{architecture}-windows-gnu")
    if sys.platform == "darwin":
        return ("-target", f"{architecture}-macos.11.0")
    libc = f"gnu.2.{28 if architecture == 'aarch64' else 17}" if platform.libc_ver()[0] == "glibc" else "musl"
    return ("-target", f"{architecture}-linux-{libc}", "-pthread")
