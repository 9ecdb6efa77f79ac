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


class TakesIds(click.Command):
    """A command whose words may be ids and addresses: one in 64 begins with a dash, and is no option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        from puna.arweave.ids import is_id

        wants_value = {
            name for option in self.params if isinstance(option, click.Option) and not option.is_flag
            for name in option.opts
        }  # fmt: skip
        words = args[: args.index("--")] if "--" in args else args
        dashed = [
            place for place, word in enumerate(words)
            if word.startswith("-") and is_id(word) and not (place and words[place - 1] in wants_value)
        ]  # fmt: skip
        if not dashed:
            return super().parse_args(ctx, args)
        # All that is no option goes behind a double dash, in its order.
        plain, place = [], 0
        options: list[str] = []
        while place < len(words):
            word = words[place]
            takes = word in wants_value and place + 1 < len(words)
            if place in dashed or not word.startswith("-"):
                plain.append(word)
            else:
                options += words[place : place + 1 + takes]
                place += takes
            place += 1
        return super().parse_args(ctx, [*options, "--", *plain, *args[len(words) + 1 :]])


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
