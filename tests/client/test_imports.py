"""What importing the client costs: as little as what is used of it. Names of modules are counted, not milliseconds."""

import subprocess
import sys

import pytest

HEAVY = {"aiohttp", "cryptography", "msgspec", "numpy", "wasmtime", "starlette", "uvicorn", "tokenizers", "graphql"}


@pytest.mark.parametrize(
    "code, wanted",
    [
        ("import puna.client", set()),
        ("from puna.client import connect, embedded; connect(); embedded()", set()),
        ("from puna.client import Result, Tags, Evaluated, Missing", set()),
        ("from puna.client import AsyncClient, Client", {"cryptography", "msgspec"}),
        ("import puna.client.reach as r; r._link(r.Urls(), None)", {"aiohttp", "cryptography", "msgspec"}),
    ],
)
def test_only_what_is_used_is_imported(code, wanted):
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*{HEAVY!r} & sys.modules.keys())"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert set(run.stdout.split()) == wanted


def test_every_public_name_is_there_and_listed():
    import puna.client

    assert len(puna.client.__all__) > 35
    for name in puna.client.__all__:
        assert getattr(puna.client, name) is not None and name in dir(puna.client)
    with pytest.raises(AttributeError, match="no attribute 'Llama'"):
        _ = puna.client.Llama


def test_type_checkers_see_the_names_that_programs_see():
    import ast
    from pathlib import Path

    import puna.client

    tree = ast.parse(Path(puna.client.__file__).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.asname for node in block.body for alias in node.names}
    assert seen == set(puna.client.__all__)
    assert (Path(puna.client.__file__).parents[1] / "py.typed").exists()
