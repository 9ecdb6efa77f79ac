"""The `puna` command: finds the command asked for, runs it, and turns expected errors into one clear line."""

import importlib
import sys
import traceback

import click

from puna import __version__
from puna.errors import NodeError

# name -> (module, what it does); one of several commands in a module is named after a colon.
# The module is imported only when its command runs: help stays fast.
COMMANDS = {
    "ask": ("puna.cli.ask", "Pay and ask a model; prints the answer, its fee and its message ids."),
    "quote": ("puna.cli.quote", "Show what a question would cost, and how long it would take, before paying."),
    "herd": ("puna.cli.herd", "Watch workers, queue, prices and earnings; give the herd orders."),
    "aos": ("puna.cli.aos.command", "Enter a process: a Lua prompt, its messages as they come, its past."),
    "up": ("puna.cli.up", "Run the network until stopped."),
    "wallet": ("puna.cli.wallet", "Make a wallet, show its address and balance, send wAR."),
    "bridge": ("puna.cli.bridge", "Turn AR into wAR and back; show what backs wAR."),
    "process": ("puna.cli.process", "Spawn processes, send them messages, read what they did."),
    "verify": ("puna.cli.verify", "Replay a process from the permanent log and compare."),
    "su": ("puna.cli.alone:su", "Run a scheduler unit by itself."),
    "cu": ("puna.cli.alone:cu", "Run a compute unit by itself, following a scheduler elsewhere."),
    "mu": ("puna.cli.alone:mu", "Run a messenger unit by itself, between units elsewhere."),
}

INTERRUPTED = 130  # the shell's exit status for Ctrl-C


class Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name][0].partition(":")
        return getattr(importlib.import_module(module), attribute or "command")

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="puna %(version)s")
def puna() -> None:
    """On-chain AI in one command: an AO network on this machine whose processes run language models."""


def main() -> None:
    try:
        status = puna.main(standalone_mode=False)
    except NodeError as error:
        _say(f"Error: {error}")
        status = 1
    except click.exceptions.Abort:
        status = INTERRUPTED
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except KeyboardInterrupt:
        _say("Stopped.")
        status = INTERRUPTED
    except BrokenPipeError:
        status = 1
    except Exception:
        _say(traceback.format_exc().rstrip())
        _say("This is a defect in Puna: the lines above say where. Nothing that was acknowledged is lost.")
        status = 70  # EX_SOFTWARE
    # Whatever a library left running must not keep a finished command alive.
    sys.exit(status if isinstance(status, int) else 0)


def _say(text: str) -> None:
    click.echo(text, err=True)


if __name__ == "__main__":
    main()
