"""One node, started as a user starts it, for all the pages, and a person's window on it."""

import pytest
from cli.conftest import Up
from web.browser import Window, a_browser


@pytest.fixture(scope="session")
def node(tmp_path_factory):
    running = Up(tmp_path_factory.mktemp("web") / "home", land=True)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def browser():
    with a_browser() as browser:
        yield browser


@pytest.fixture
def window(browser, node):
    """A fresh person: no wallet, no memory. Whatever the browser complained about fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, permissions=["clipboard-write"])
    window = Window(context, node.places["gateway"])
    yield window
    context.close()
    assert window.wrong == []
