"""How the operating system shares processors among a node's processes."""

import os
from contextlib import suppress


def compute_in_batches() -> None:
    """Say that this process computes: it takes its turn, and interrupts nobody when it wakes up.

    For the engine and the evaluators. Whom they interrupt most is the node's event loop, which has little to do for
    each message and is who brings them the next ones; among eight requests that cost a tenth. Its share of the
    processors stays the same. Threads started later inherit it. Linux only.
    """
    with suppress(AttributeError, OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
