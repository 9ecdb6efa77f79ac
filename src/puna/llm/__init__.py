"""Language models: GGUF files, tokenizer, canonical arithmetic, the inference engine and its client.

What other floors use, all importable from here; each is loaded when it is first asked for:

- `spawn_engine(address)`, `stop_engine(process)`: the engine as a process of its own.
- `EngineClient(address)`: blocking, for any number of threads; `Sampling`, `GREEDY`, `Completion`, `ModelInfo`,
  `EngineStatus` are what goes in and comes out, `Lost` (a NotYet) says that the engine is away.
- `Engine`, `Request`: the same without a process in between.
- `read_info(path)`: what a model file is, without loading it.

docs/engine.md tells how it works.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "puna.llm.client": ("EngineClient", "Lost", "spawn_engine", "stop_engine"),
    "puna.llm.engine": ("Engine",),
    "puna.llm.frames": ("EngineStatus",),
    "puna.llm.generate": ("Completion", "Request"),
    "puna.llm.models": ("LoadedModel", "ModelInfo", "load_model", "read_info"),
    "puna.llm.sampler": ("GREEDY", "Sampling"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'puna.llm' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME_OF[name]), name)
    return value
