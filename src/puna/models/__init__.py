"""The model that comes with Puna, as a file. How it was made: docs/demo-model.md."""

from pathlib import Path

DEMO_MODEL = Path(__file__).parent / "puna-demo.gguf"
