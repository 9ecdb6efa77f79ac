"""One node, started as a user starts it, for all the clients of AO."""

import pytest
from cli.conftest import Up


@pytest.fixture(scope="session")
def node(tmp_path_factory):
    running = Up(tmp_path_factory.mktemp("clients") / "home")
    yield running
    running.stop()
