"""Measure the kernel against llama.cpp (the `xllamacpp` wheel) on the same random-weight model, in one run.

    python bench/inference.py                     # TinyLlama's shape, Q8_0 and Q4_0, one thread
    python bench/inference.py --quick             # fewer rounds
    python bench/inference.py --hash-shape tl11   # compare all builds' logits on the large shape too (minutes)

Both sides are loaded in one process and measured in alternating rounds, so that a busy machine hurts both alike:
believe the ratios. Rates are tokens per second of wall time and, with one thread, of processor time. Then all
builds of the kernel run the same 100 tokens and must give equal hashes of all logits, and a fresh process tells how
much memory a loaded model takes.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from bench.make_random_gguf import SHAPES, write_random_gguf  # noqa: E402
from puna.llm import kernel  # noqa: E402
from puna.llm.families import read_config  # noqa: E402
from puna.llm.gguf import open_gguf  # noqa: E402

# What the project promises for one thread on TinyLlama's shape: (type, what) -> least ratio.
TARGETS = {
    ("q8_0", "prompt"): 1.4,
    ("q4_0", "prompt"): 1.8,
    ("q8_0", "generation"): 1.2,
    ("q4_0", "generation"): 1.2,
}


@dataclass(frozen=True)
class Rate:
    """Tokens per second of wall time and of processor time."""

    wall: float
    cpu: float


class Puna:
    """The kernel behind the same two methods as bench.llama_cpp.LlamaCpp."""

    def __init__(self, path: Path, threads: int, context: int, backend: str | None = None):
        self.model = kernel.open_model(path, read_config(open_gguf(path)), backend=backend, threads=threads)
        self._context = context
        self._cache = self.model.new_cache(context)

    def forget(self) -> None:
        self._cache.close()
        self._cache = self.model.new_cache(self._context)

    def forward(self, tokens: list[int], position: int) -> np.ndarray:
        rows = np.arange(len(tokens), dtype=np.int32)
        return self.model.forward(tokens, rows + position, [self._cache], rows * 0, rows[-1:])[0]


def measure(tokens: int, work: Callable[..., None], *arguments: int) -> Rate:
    wall, cpu = time.perf_counter(), time.process_time()
    work(*arguments)
    return Rate(tokens / (time.perf_counter() - wall), tokens / (time.process_time() - cpu))


BURST = 8  # tokens generated on one side before it is the other's turn


def one_round(sides: list, prompt: list[int], generated: int) -> dict[str, list[list[Rate]]]:
    """Each side reads the prompt, then all generate greedily in short bursts by turns: rates by what, turn, side."""
    last = [np.zeros(1)] * len(sides)

    def read(which: int) -> None:
        last[which] = sides[which].forward(prompt, 0)

    def generate(which: int, start: int) -> None:
        for position in range(start, start + BURST):
            last[which] = sides[which].forward([int(np.argmax(last[which]))], position)

    for side in sides:
        side.forget()
    turns = range(len(prompt), len(prompt) + generated, BURST)
    numbers = range(len(sides))
    return {
        "prompt": [[measure(len(prompt), read, which) for which in numbers]],
        "generation": [[measure(BURST, generate, which, start) for which in numbers] for start in turns],
    }


def compare(path: Path, kind: str, options: argparse.Namespace) -> bool:
    """Print both sides' medians and ratios; whether all targets that apply are met."""
    from bench.llama_cpp import LlamaCpp

    context = options.prompt + options.generate + BURST
    random = np.random.default_rng(1)
    ours = Puna(path, options.threads, context, options.backend)
    theirs = LlamaCpp(path, options.threads, context + 256)
    prompt = [1, *random.integers(300, theirs.vocab, options.prompt - 1).tolist()]
    print(f"\n{path.name}, {options.threads} thread(s): puna {ours.model.backend}", flush=True)
    print(f"  llama.cpp: {theirs.system_info}", flush=True)
    one_round([ours, theirs], prompt[:16], BURST)  # pages, buffers and clocks warm up
    rounds = [one_round([ours, theirs], prompt, options.generate) for _ in range(options.rounds)]
    met = True
    for what in ("prompt", "generation"):
        pairs = [pair for each in rounds for pair in each[what]]
        wall = statistics.median(a.wall / b.wall for a, b in pairs)
        cpu = statistics.median(a.cpu / b.cpu for a, b in pairs)
        target = TARGETS.get((kind, what), 0.0) if options.threads == 1 and options.shape == "tl11" else 0.0
        met &= cpu >= target
        print(
            f"  {what:10} puna {statistics.median(a.wall for a, _ in pairs):7.1f} tok/s   "
            f"llama.cpp {statistics.median(b.wall for _, b in pairs):7.1f} tok/s   "
            f"ratio {wall:.2f} (processor time {cpu:.2f})" + (f"   target {target}" if target else "")
        )
    ours.forget(), theirs.forget()
    a, b = ours.forward(prompt, 0).astype(float), theirs.forward(prompt, 0).astype(float)
    print(f"  cosine of the logits, puna and llama.cpp: {a @ b / np.linalg.norm(a) / np.linalg.norm(b):.5f}")
    theirs.close()
    ours.model.close()
    return met


def hash_logits(path: Path, backend: str, tokens: list[int]) -> tuple[str, float]:
    """SHA-256 over the logits of all tokens, the first half as one prompt; and the seconds it took."""
    side = Puna(path, 1, len(tokens), backend)
    digest, half, begin = hashlib.sha256(), len(tokens) // 2, time.perf_counter()
    rows = np.arange(half, dtype=np.int32)
    digest.update(side.model.forward(tokens[:half], rows, [side._cache], rows * 0, rows).tobytes())
    for position in range(half, len(tokens)):
        digest.update(side.forward([tokens[position]], position).tobytes())
    side.model.close()
    return digest.hexdigest(), time.perf_counter() - begin


def compare_hashes(path: Path) -> bool:
    vocab = read_config(open_gguf(path)).vocab
    tokens = np.random.default_rng(2).integers(0, vocab, 100).tolist()
    print(f"\n{path.name}: hash of the logits of 100 tokens")
    hashes = set()
    for backend in kernel.available():
        if backend != "numpy":
            digest, seconds = hash_logits(path, backend, tokens)
            print(f"  {backend:8} {digest[:32]}  {seconds:6.1f} s")
            hashes.add(digest)
    print("  all equal" if len(hashes) == 1 else "  THEY DIFFER")
    return len(hashes) == 1


MEMORY_PROBE = """
import sys
sys.path[:0] = {paths!r}
from pathlib import Path
from bench.inference import Puna
def pss(): return int(next(l for l in open('/proc/self/smaps_rollup') if l.startswith('Pss:')).split()[1]) * 1024
before = pss()
side = Puna(Path({path!r}), 1, 512)
side.forward(list(range(256)), 0)
side.forward([5], 256)
print(pss() - before)
"""


def print_memory(path: Path) -> None:
    if platform.system() != "Linux":
        return
    code = MEMORY_PROBE.format(paths=sys.path[:2], path=str(path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    size, file = int(done.stdout), path.stat().st_size
    print(f"{path.name}: {size / 1e6:.0f} MB of memory for a file of {file / 1e6:.0f} MB: {size / file:.2f} x")


def model_file(folder: Path, shape: str, kind: str) -> Path:
    path = folder / f"{shape}-{kind}.gguf"
    if not path.exists():
        print(f"making {path} ...", flush=True)
        partial = path.with_suffix(".partial")
        write_random_gguf(partial, SHAPES[shape], kind)
        partial.rename(path)
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "puna-bench", help="for the files")
    parser.add_argument("--shape", choices=SHAPES, default="tl11")
    parser.add_argument("--hash-shape", choices=SHAPES, default="s15m")
    parser.add_argument("--types", nargs="+", choices=("q8_0", "q4_0", "f16", "f32"), default=["q8_0", "q4_0"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--backend", choices=kernel.available(), help="the kernel's build; default: the fastest")
    parser.add_argument("--prompt", type=int, default=256)
    parser.add_argument("--generate", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="two rounds, fewer tokens")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.generate = 2, 16
    options.folder.mkdir(parents=True, exist_ok=True)
    fine = True
    for kind in options.types:
        fine &= compare(model_file(options.folder, options.shape, kind), kind, options)
    for kind in options.types:
        fine &= compare_hashes(model_file(options.folder, options.hash_shape, kind))
    print()
    for kind in options.types:
        print_memory(model_file(options.folder, options.shape, kind))
    print("\nall targets met" if fine else "\nNOT all targets met")
    return 0 if fine else 1


if __name__ == "__main__":
    raise SystemExit(main())
