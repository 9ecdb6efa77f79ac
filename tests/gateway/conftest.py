"""The gateway that the stories of this folder speak to."""

from pathlib import Path

import pytest
from gateway.serving import gateway

from puna.arweave.wallet import load_wallet


@pytest.fixture(scope="session")
def rsa_wallet():
    return load_wallet(Path(__file__).parent.parent / "arweave" / "rsa-test-wallet.json")


@pytest.fixture
async def at(tmp_path, rsa_wallet):
    async with gateway(tmp_path / "weave", rsa_wallet) as served:
        yield served
