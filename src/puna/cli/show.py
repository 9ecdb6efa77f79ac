"""What commands share in talking to a person: options, amounts, progress."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from puna.node.home import Home, default_home


def home_option(function):
    return click.option(
        "--home",
        type=click.Path(path_type=Path, file_okay=True),
        default=None,
        help="The network's folder (default: PUNA_HOME, else the platform's data folder).",
    )(function)


def json_option(function):
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")(function)


def home_of(folder: Path | None) -> Home:
    return Home(folder if folder is not None else default_home())


def print_json(value: dict[str, Any]) -> None:
    click.echo(json.dumps(value, ensure_ascii=False))


class Progress:
    """One line that tells what is going on: redrawn on a terminal, silent when nobody can see it."""

    def __init__(self, quiet: bool):
        self._live = not quiet and sys.stderr.isatty()
        self._shown = ""

    def __call__(self, step: str) -> None:
        if self._live and step != self._shown:
            click.echo(f"\r\x1b[2K\x1b[90m{step}…\x1b[0m", err=True, nl=False)
            self._shown = step

    def clear(self) -> None:
        if self._live and self._shown:
            click.echo("\r\x1b[2K", err=True, nl=False)
            self._shown = ""


@contextmanager
def progress(quiet: bool) -> Iterator[Progress]:
    line = Progress(quiet)
    try:
        yield line
    finally:
        line.clear()
