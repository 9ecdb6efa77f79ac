"""`puna ask`: pays the herd in wAR, streams what the model says, and tells what it cost."""

import asyncio
import secrets
import sys
from pathlib import Path

import click

from puna.cli.show import home_of, home_option, json_option, print_json, progress
from puna.errors import Invalid

TOKENS_DEFAULT = 40
INTERRUPTED = 130  # the shell's exit status for Ctrl-C


class TokenCount(click.ParamType):
    """A number of tokens; what it may be at most is for the herder to say."""

    name = "N"

    def convert(self, value, param, ctx) -> int:
        try:
            count = int(value)
        except (TypeError, ValueError):
            raise Invalid(
                f"--tokens {value!r} is not a whole number.", "Say how many tokens at most, like --tokens 20."
            ) from None
        if count < 1:
            raise Invalid(f"--tokens {count} asks for nothing.", "Ask for 1 token or more, like --tokens 20.")
        return count


def tokens_option(function):
    return click.option(
        "--tokens", type=TokenCount(), default=TOKENS_DEFAULT, show_default=True, help="Tokens to generate at most."
    )(function)


@click.command("ask")
@click.argument("prompt")
@tokens_option
@click.option("--model", default=None, help="A model's name or id, or a GGUF file (default: the network's first).")
@click.option("--stream/--no-stream", default=True, help="Print tokens as they come.")
@click.option("--wallet", type=click.Path(path_type=Path), help="A JWK file that pays (default: the home's wallet).")
@home_option
@json_option
def command(prompt, tokens, model, stream, wallet, home, as_json) -> None:
    """Pay and ask a model; prints the answer, its fee and its message ids."""
    if not prompt.strip():
        raise Invalid("The prompt is empty.", 'Say something, like: puna ask "What is the meaning of life?"')
    reference = f"ask-{secrets.token_hex(8)}"
    try:
        answer = asyncio.run(
            _ask(prompt, tokens, model, stream and not as_json, wallet, home_of(home), as_json, reference)
        )
    except KeyboardInterrupt:
        click.echo(
            f"\nStopped. If request {reference} was paid already, it goes on in the node, or when one runs next.",
            err=True,
        )
        raise SystemExit(INTERRUPTED) from None
    if as_json:
        print_json(answer_json(answer))
    else:
        _print_receipt(answer, streamed=stream)


async def _ask(prompt, tokens, model, stream, wallet_path, home, quiet, reference):
    from puna.arweave.wallet import load_wallet
    from puna.cli.network import network_at
    from puna.services.herder.client import RECEIPT_PATIENCE_S, ask

    # A wrong wallet file is told before anything is started.
    chosen = load_wallet(wallet_path) if wallet_path else None
    model_file = Path(model) if model and model.endswith(".gguf") else None
    if model_file and not model_file.is_file():
        raise Invalid(f"There is no model file {model_file}.", "Name a GGUF file that exists, or leave --model out.")
    with progress(quiet) as line:
        async with network_at(home, model=model_file, packages=False, progress=line) as network:
            wallet = chosen or home.wallet()
            named = model_file and network.network.models[-1].id or model and network.network.model_id(model)
            line("asking the herd")

            def show(text: str) -> None:
                line.clear()
                if stream:
                    click.echo(text, nl=False)

            return await ask(
                network.link, wallet, network.network, prompt, tokens, model=named, reference=reference, on_text=show,
                receipt_patience_s=RECEIPT_PATIENCE_S,
            )  # fmt: skip


def answer_json(answer) -> dict:
    """The one object that `--json` prints; field names are part of the interface."""
    return {
        "answer": answer.text,
        "tokens": answer.tokens,
        "model": answer.model,
        "fee_winston": answer.fee_winston,
        "paid_winston": answer.paid_winston,
        "refund_winston": answer.refund_winston,
        "reference": answer.reference,
        "receipt": answer.receipt,
        "messages": {"transfer": answer.transfer, "inference": answer.inference, "response": answer.response},
        "processes": {"token": answer.token, "herder": answer.herder, "worker": answer.worker},
        "seconds": {
            "total": round(answer.seconds_total, 4),
            "first_token": round(answer.seconds_first_token, 4),
            "generate": round(answer.seconds_generate, 4),
        },
        "canonical": answer.canonical,
    }


def _print_receipt(answer, streamed: bool) -> None:
    from puna.services.token.client import format_war

    click.echo("" if streamed else answer.text)
    dim, plain = ("\x1b[90m", "\x1b[0m") if sys.stdout.isatty() else ("", "")
    click.echo(
        f"{dim}\n"
        f"fee       {format_war(answer.fee_winston)} wAR ({answer.fee_winston} winston) for {answer.tokens} tokens\n"
        f"paid      {format_war(answer.paid_winston)} wAR, {format_war(answer.refund_winston)} came back\n"
        f"model     {answer.model}{' (canonical)' if answer.canonical else ''}\n"
        f"time      {answer.seconds_total:.2f} s, first token after {answer.seconds_first_token:.2f} s\n"
        f"receipt   {answer.receipt}\n"
        f"messages  transfer {answer.transfer}\n"
        f"          inference {answer.inference}\n"
        f"          response {answer.response}\n"
        f"processes token {answer.token}\n"
        f"          herder {answer.herder}\n"
        f"          worker {answer.worker}{plain}"
    )


__all__ = ["answer_json", "command"]
