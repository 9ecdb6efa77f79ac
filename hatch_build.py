"""The build hook: compiles the inference kernel and the Lua modules, and fetches what the web pages need of others."""

import importlib.util
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUILD_SCRIPTS = ("src/puna/llm/kernel/build.py", "src/puna/vm/module/build.py", "src/puna/web/build.py")
VENDOR = "src/puna/web/_built/vendor"
# Whoever builds a package for himself fetches this file himself. Its licence is not an open one, so a package for
# others, built with PUNA_PUBLISH=1, goes without; the pages then say that it is missing.
NOT_TO_PUBLISH = {"aoconnect.js"}


class CustomBuildHook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name == "sdist":
            return
        root = Path(self.root)
        sys.path.insert(0, str(root))
        run_build_scripts(root)
        # The kernel is a shared library for one platform, but for no particular Python.
        from packaging.tags import sys_tags

        platform = next(iter(sys_tags())).platform
        build_data["tag"] = f"py3-none-{platform}"
        build_data["pure_python"] = False
        build_data["artifacts"] += [
            f"/{path.relative_to(root).as_posix()}"
            for path in (root / VENDOR).rglob("*.*")
            if not (os.environ.get("PUNA_PUBLISH") and path.name in NOT_TO_PUBLISH)
        ]


def run_build_scripts(root: Path) -> None:
    """Side by side: each waits for compilers, and the longest of them, SQLite's, has only one file."""
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda script: run_build_script(root / script, root), BUILD_SCRIPTS))


def run_build_script(script: Path, root: Path) -> None:
    spec = importlib.util.spec_from_file_location(f"puna_build_{script.parent.name}", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.build(script.parent / "_built", root / ".build-cache")


if __name__ == "__main__":
    # For those who work on Puna: rebuild what changed, in place.
    here = Path(__file__).resolve().parent
    sys.path.insert(0, str(here))
    run_build_scripts(here)
