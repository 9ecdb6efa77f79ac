"""Train the demo model on the corpus, for a given number of minutes of this machine.

    python training/train.py --home DIR --minutes 60 [--threads 1]

DIR holds vocabulary.model (learnt on the first run), checkpoint.pt (written every two
minutes, resumed when present) and log.txt. The learning rate is a cosine over the minutes.
`export.py` turns the checkpoint into the GGUF.
"""

import argparse
import math
import random
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from corpus import conversation, conversations
from model import CONTEXT_MAX, Llama, Shape
from torch import Tensor
from torch.nn import functional as F
from vocabulary import Encoded, Vocabulary, learn

VOCABULARY_SAMPLES = 60_000
ROW_LENGTH = 256
BATCH_TOKENS = 4096
LONG_EVERY = 12  # each twelfth batch has rows of CONTEXT_MAX, so that far positions are learnt too
PROMPT_WEIGHT = 0.1  # what others say is learnt a little: it shapes the words only users use
BEGIN_SHARE = 0.85  # a few conversations lack <s>, as engines may forget it
RATE_MATRIX, RATE_REST, RATE_FLOOR = 0.02, 3e-3, 0.02
WARMUP_STEPS = 40
WAITING_MAX = 6  # conversations that may wait for a row with room
CHECKPOINT_SECONDS = 120
HELD_OUT_SEED, CORPUS_SEED, WEIGHT_SEED = 7, 1, 1


@dataclass
class Batch:
    """ids and weights (rows, positions); documents number the conversations of a row."""

    ids: Tensor
    weights: Tensor
    documents: Tensor


def pack(vocabulary: Vocabulary, draw: random.Random, rows: int, length: int, waiting: list[Encoded]) -> Batch:
    """Fill rows with whole conversations.

    Those that do not fit the rest of a row wait for the next row (or the next call) in `waiting`.
    """
    ids = torch.full((rows, length + 1), vocabulary.end)
    weights = torch.zeros(rows, length + 1)
    documents = torch.full((rows, length + 1), -1)
    number = 0
    for row in range(rows):
        at = 0
        while (encoded := next_fitting(vocabulary, draw, length + 1 - at, length, waiting)) is not None:
            end = at + len(encoded.ids)
            ids[row, at:end] = torch.tensor(encoded.ids)
            weights[row, at:end] = torch.tensor([1.0 if x else PROMPT_WEIGHT for x in encoded.learnt])
            weights[row, at] = 0.0  # the first id follows nothing of its own conversation
            documents[row, at:end] = number
            at, number = end, number + 1
    return Batch(ids, weights, documents)


def next_fitting(
    vocabulary: Vocabulary, draw: random.Random, room: int, length: int, waiting: list[Encoded]
) -> Encoded | None:
    """A conversation of at most `room` ids: the one that waits longest, else a new one; None when too many wait."""
    for place, encoded in enumerate(waiting):
        if len(encoded.ids) <= room:
            return waiting.pop(place)
    while len(waiting) < WAITING_MAX:
        encoded = vocabulary.encode(conversation(draw, long=length > ROW_LENGTH), draw.random() < BEGIN_SHARE)
        if len(encoded.ids) <= room:
            return encoded
        if len(encoded.ids) <= length:
            waiting.append(encoded)
    return None


def visible(documents: Tensor) -> Tensor:
    """Each position sees the earlier ones of its own conversation: (rows, 1, n, n) bool."""
    same = documents[:, :, None] == documents[:, None, :]
    return (same & torch.ones(same.shape[1:], dtype=torch.bool).tril())[:, None]


def loss_of(model: Llama, batch: Batch) -> tuple[Tensor, float]:
    """The weighted loss to descend, and the plain mean over the assistant's tokens."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(batch.ids[:, :-1], visible(batch.documents[:, :-1]))
    weights = batch.weights[:, 1:].reshape(-1)
    losses = F.cross_entropy(logits.float().flatten(0, 1), batch.ids[:, 1:].reshape(-1), reduction="none")
    answers = weights == 1.0
    return (losses * weights).sum() / weights.sum(), losses[answers].mean().item()


def optimizers(model: Llama) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks, AdamW for embeddings, output and norms."""
    matrices = [p for p in model.blocks.parameters() if p.dim() == 2]
    inside = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in inside]
    return [
        torch.optim.Muon(matrices, lr=RATE_MATRIX, momentum=0.95, weight_decay=0.02),
        torch.optim.AdamW(rest, lr=RATE_REST, betas=(0.9, 0.95), weight_decay=0.01),
    ]


def rate_share(step: int, share_done: float) -> float:
    """The learning rate as a share of its peak: a short warm-up, then a cosine."""
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, share_done)))
    return min(1.0, (step + 1) / WARMUP_STEPS) * (RATE_FLOOR + (1 - RATE_FLOOR) * cosine)


def batches(vocabulary: Vocabulary, draw: random.Random, step: int) -> Iterator[Batch]:
    """Batches without end; the first is that of step number `step`."""
    waiting: dict[int, list[Encoded]] = {ROW_LENGTH: [], CONTEXT_MAX: []}
    while True:
        length = CONTEXT_MAX if step % LONG_EVERY == LONG_EVERY - 1 else ROW_LENGTH
        yield pack(vocabulary, draw, BATCH_TOKENS // length, length, waiting[length])
        step += 1


@torch.no_grad()
def held_out_loss(model: Llama, vocabulary: Vocabulary) -> float:
    """Mean loss of the assistant's tokens over conversations from a seed never trained on."""
    batch = pack(vocabulary, random.Random(HELD_OUT_SEED), 2 * BATCH_TOKENS // ROW_LENGTH, ROW_LENGTH, [])
    return loss_of(model, batch)[1]


def train(home: Path, minutes: float) -> None:
    """Train until `minutes` are used up, counting those of the checkpoint resumed from."""
    vocabulary_path, checkpoint_path = home / "vocabulary.model", home / "checkpoint.pt"
    if not vocabulary_path.exists():
        learn(conversations(VOCABULARY_SAMPLES, CORPUS_SEED), vocabulary_path)
    vocabulary = Vocabulary(vocabulary_path)
    torch.manual_seed(WEIGHT_SEED)
    model = Llama(Shape(vocabulary.size))
    optimizer_list = optimizers(model)
    peaks = [optimizer.param_groups[0]["lr"] for optimizer in optimizer_list]
    draw = random.Random(CORPUS_SEED)
    done = {"step": 0, "tokens": 0, "seconds": 0.0}
    if checkpoint_path.exists():
        saved = torch.load(checkpoint_path, weights_only=False)
        model.load_state_dict(saved["weights"])
        for optimizer, state in zip(optimizer_list, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        draw.setstate(saved["draw"])
        done = saved["done"]
    log = (home / "log.txt").open("a", buffering=1)

    def tell(line: str) -> None:
        print(line, flush=True)
        log.write(line + "\n")

    def save() -> None:
        saved = {
            "shape": asdict(model.shape),
            "weights": model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in optimizer_list],
            "draw": draw.getstate(),
            "done": done,
        }
        fresh = checkpoint_path.with_suffix(".new")
        torch.save(saved, fresh)
        fresh.replace(checkpoint_path)
        tell(f"held-out {held_out_loss(model, vocabulary):.4f} at {done}")

    tell(f"{model.count_parameters():,} parameters, {vocabulary.size} pieces")
    started = time.monotonic() - done["seconds"]
    saved_at = time.monotonic()
    smooth = None
    for batch in batches(vocabulary, draw, done["step"]):
        done["seconds"] = time.monotonic() - started
        share = done["seconds"] / (60 * minutes)
        if share >= 1:
            break
        for optimizer, peak in zip(optimizer_list, peaks, strict=True):
            optimizer.param_groups[0]["lr"] = peak * rate_share(done["step"], share)
        loss, answer_loss = loss_of(model, batch)
        for optimizer in optimizer_list:
            optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizer_list:
            optimizer.step()
        done["step"] += 1
        done["tokens"] += batch.ids.numel()
        smooth = answer_loss if smooth is None else 0.95 * smooth + 0.05 * answer_loss
        if done["step"] % 50 == 0:
            speed = done["tokens"] / done["seconds"]
            tell(
                f"step {done['step']} tokens {done['tokens']:,} loss {smooth:.4f} at {speed:.0f} tokens/s, {share:.0%}"
            )
        if time.monotonic() - saved_at > CHECKPOINT_SECONDS:
            save()
            saved_at = time.monotonic()
    save()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, required=True, help="folder for vocabulary, checkpoint and log")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    arguments.home.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(arguments.threads)
    train(arguments.home, arguments.minutes)


if __name__ == "__main__":
    main()
