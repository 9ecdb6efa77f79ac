"""The fixtures of the Lua runtime's tests: every story runs under lupa and, once built, in the real module."""

import pytest
from vm.lua.hosts import HOSTS, ModuleHost, new_lua
from vm.lua.stories import Process


@pytest.fixture(params=HOSTS, ids=lambda host: host.name)
def host(request):
    """A fresh host without extensions."""
    with request.param() as host:
        yield host


@pytest.fixture
def module_host():
    """The real module alone, for what needs its memory: rollback, restart, replay."""
    with ModuleHost() as host:
        yield host


@pytest.fixture
def module_process(module_host) -> Process:
    """As `process`, in the real module."""
    process = Process(module_host)
    process.spawn()
    return process


@pytest.fixture
def process(host) -> Process:
    """A fresh process: spawn item evaluated, owned by a wallet, one authority."""
    process = Process(host)
    process.spawn()
    return process


@pytest.fixture(scope="session")
def lua():
    """A Lua state for questions about the libraries; tests must not change its globals."""
    return new_lua()
