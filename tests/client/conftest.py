"""Networks that client tests ask."""

import pytest
from cli.conftest import Up
from client.village import WAYS, village


@pytest.fixture
async def place(tmp_path):
    """A network with nothing in it but its module."""
    async with village(tmp_path) as it:
        yield it


@pytest.fixture(params=WAYS)
async def ao(request, place):
    """A client of ALICE's, in the same program and over HTTP: every story is told of both."""
    async with WAYS[request.param](place) as client:
        yield client


@pytest.fixture(scope="session")
def own_home(tmp_path_factory):
    """A home for embedded networks, which nobody else uses."""
    return tmp_path_factory.mktemp("embedded") / "home"


@pytest.fixture(scope="session")
def node(tmp_path_factory):
    """A node started as a user starts it."""
    running = Up(tmp_path_factory.mktemp("client") / "home")
    yield running
    running.stop()
