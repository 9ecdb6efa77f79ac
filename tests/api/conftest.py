"""A node as a user starts it, with four workers, and keys made by the real command."""

import json
from dataclasses import dataclass

import httpx
import pytest
from cli.conftest import Up, puna

MODEL = "puna-demo"
TRIES = 2000  # of a look that costs a round trip to the node each: some seconds in all


@dataclass(frozen=True)
class Door:
    """A running node, as those see it who have a key."""

    node: Up

    @property
    def url(self) -> str:
        return self.node.places["gateway"]

    @property
    def home(self):
        return self.node.home

    def key(self, budget: object = "1000000", name: str = "") -> dict:
        said = puna("key", "create", "--budget", budget, "--name", name, "--json", home=self.home)
        assert said.status == 0, said.err
        return said.json()

    def balance(self, address: str) -> int:
        """What the token says an address has, by a dry-run."""
        token, tags = self.node.places["token"], [{"name": "Action", "value": "Balance"}]
        question = {"Id": "1", "Target": token, "Owner": address, "From": address, "Anchor": "0", "Data": "1"}
        question |= {"Tags": [*tags, {"name": "Recipient", "value": address}]}
        url = f"{self.node.places['cu']}/dry-run?process-id={token}"
        (answer,) = httpx.post(url, json=question, timeout=60).json()["Messages"]
        return int(next(tag["value"] for tag in answer["Tags"] if tag["name"] == "Balance"))

    def settled(self, address: str, winston: int) -> bool:
        """Whether a balance becomes this: what is not used comes back a moment after the answer."""
        return any(self.balance(address) == winston for _ in range(TRIES))

    def receipt(self, name: str) -> dict:
        return httpx.get(f"{self.url}/receipts/{name}").raise_for_status().json()

    def post(self, path: str, body: object, key: str = "") -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}".encode()} if key else {}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return httpx.post(self.url + path, content=content, headers=headers, timeout=120)


@pytest.fixture(scope="session")
def door(tmp_path_factory):
    node = Up(tmp_path_factory.mktemp("api") / "home", "--workers", "4")
    yield Door(node)
    node.stop()


@pytest.fixture(scope="session")
def key(door) -> dict:
    """A key with money enough for every test that does not count it."""
    return door.key()
