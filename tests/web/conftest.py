"""One node, started as a user starts it, for all the pages."""

import pytest
from cli.conftest import Up


@pytest.fixture(scope="session")
def node(tmp_path_factory):
    running = Up(tmp_path_factory.mktemp("web") / "home")
    yield running
    running.stop()
