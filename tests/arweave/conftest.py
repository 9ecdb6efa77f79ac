"""Wallets shared by the tests of the arweave floor."""

from pathlib import Path

import pytest
from arweave.strategies import ED25519, ETHEREUM

from puna.arweave.wallet import load_wallet

RSA_WALLET_FILE = Path(__file__).with_name("rsa-test-wallet.json")


@pytest.fixture(scope="session")
def rsa_wallet():
    """A fixed key, published with these tests: making a new one is slow. It owns nothing anywhere."""
    return load_wallet(RSA_WALLET_FILE)


@pytest.fixture
def wallet():
    return ED25519


@pytest.fixture(params=["rsa", "ed25519", "ethereum"])
def each_wallet(request, rsa_wallet):
    return {"rsa": rsa_wallet, "ed25519": ED25519, "ethereum": ETHEREUM}[request.param]
