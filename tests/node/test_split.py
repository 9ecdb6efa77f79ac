"""The network over three processes of the operating system, each with a home of its own: a user misses nothing."""

import json
import signal
import socket
import subprocess
import urllib.request

import pytest
from cli.conftest import COMMAND, puna

from puna.arweave.ids import b64url_decode
from puna.arweave.transaction import sign_transaction, transaction_to_json
from puna.arweave.wallet import load_wallet
from puna.client import connect


class Unit:
    """`puna su`, `cu` or `mu` at work."""

    def __init__(self, home, name: str, *words: str):
        self.process = subprocess.Popen(
            [*COMMAND, name, "--json", "--home", str(home / name), *words],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        self.places = json.loads(line)

    def end(self, how: int = signal.SIGTERM) -> None:
        self.process.send_signal(how)
        self.process.communicate()


def fetch(url: str, body: bytes | None = None) -> bytes:
    headers = {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as reply:
        return reply.read()


def free_port() -> int:
    """A port with its second neighbour free, for a unit that others are told of before it runs."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 2))
            except (OSError, OverflowError):
                continue
            return port


@pytest.fixture(scope="module")
def homes(tmp_path_factory):
    return tmp_path_factory.mktemp("split")


async def test_a_herd_over_three_processes_is_paid_answers_and_goes_on_after_its_messenger_was_killed(homes):
    port = free_port()
    running: list[Unit] = []

    def start(name: str, *words: str) -> Unit:
        running.append(Unit(homes, name, *words))
        return running[-1]

    try:
        su = start("su", "--gateway", f"http://127.0.0.1:{port}", "--port", "0").places["su"]
        cu = start("cu", "--su", su, "--gateway", f"http://127.0.0.1:{port}", "--port", "0").places["cu"]
        messenger = ("--su", su, "--cu", cu, "--raise", "--workers", "1", "--port", str(port))
        mu = start("mu", *messenger)
        network, wallet = mu.places["network"], load_wallet(homes / "mu" / "wallet.json")
        first = puna("ask", "What is the meaning of life?", "--tokens", "8", "--json", home=homes / "mu")
        assert first.status == 0, first.err
        # The messenger's gateway tells a client where the other two are.
        async with connect(mu.places["gateway"], wallet=wallet) as ao:
            left = await ao.balance()
            assert (await ao.schedule(network["token"], limit=1))[0].item_id == network["token"]
        assert 10 * 10**12 - left == first.json()["fee_winston"]

        # A transaction of the messenger's weave is assigned: the scheduler and the compute unit find it there.
        gateway = mu.places["gateway"]
        fetch(f"{gateway}/mint/{wallet.address}/{10**12}")
        fields = {"last_tx": b64url_decode(fetch(f"{gateway}/tx_anchor").decode()), "reward": 10**10}
        tx = sign_transaction(wallet, data=b"a note", tags=[("Action", "Note")], **fields)
        fetch(f"{gateway}/tx", json.dumps(transaction_to_json(tx, data=tx.data)).encode())
        fetch(f"{gateway}/mine/20")
        query = f"process-id={network['herder']}&assign={tx.id}&base-layer="
        assigned = json.loads(fetch(f"{mu.places['mu']}/?{query}", b""))
        result = json.loads(fetch(f"{cu}/result/{assigned['id']}?process-id={network['herder']}"))
        assert (
            "Error" not in result and json.loads(fetch(f"{cu}/result/{tx.id}?process-id={network['herder']}")) == result
        )

        mu.end(signal.SIGKILL)
        mu = start("mu", *messenger)
        assert mu.places["network"] == network
        second = puna("ask", "What is the meaning of life?", "--tokens", "8", "--json", home=homes / "mu")
        assert second.status == 0, second.err
        assert second.json()["answer"] == first.json()["answer"]
        verified = puna("verify", network["token"], "--json", home=homes / "cu")
        assert verified.status == 0, verified.err
        assert verified.json()["agrees"] and verified.json()["replayed"] == 4
    finally:
        for unit in reversed(running):
            unit.end()


def test_a_unit_that_is_told_nonsense_says_so(homes):
    said = puna("cu", "--su", "somewhere", home=homes / "bad")
    assert said.status == 1 and "--su somewhere is not a URL" in said.err
    said = puna("mu", "--su", "http://127.0.0.1:9", home=homes / "bad")
    assert said.status == 2 and "--cu" in said.err
