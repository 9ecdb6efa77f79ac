"""Model families: one file and one row each. A family reads its config from a GGUF file and names its tensors."""

from types import ModuleType

from puna.errors import Invalid
from puna.llm.families import llama
from puna.llm.families.llama import LlamaConfig
from puna.llm.gguf import Gguf

FAMILIES: dict[str, ModuleType] = {"llama": llama}


def family_of(gguf: Gguf) -> ModuleType:
    """The family module for the file's architecture; Invalid when this build has none."""
    architecture = gguf.architecture
    if architecture not in FAMILIES:
        runs = ", ".join(sorted(FAMILIES))
        raise Invalid(
            f"{gguf.path.name} is of the family '{architecture}'; this build runs: {runs}.",
            "Use a model of one of these families.",
        )
    return FAMILIES[architecture]


def read_config(gguf: Gguf) -> LlamaConfig:
    """The checked dimensions of the model in `gguf`. Raises Invalid, see the family's own read_config."""
    return family_of(gguf).read_config(gguf)
