"""The weave of a running node, seen from outside: its height is the network's, and all that stands is on it."""

import json
import urllib.request


def get(url, body=None):
    headers = {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as reply:
        return reply.read()


def test_what_stands_on_the_network_is_in_a_block_and_in_a_bundle(up):
    gateway, module = up.places["gateway"], up.places["module"]
    tip = json.loads(get(f"{gateway}/mine"))
    query = '{ transactions(ids: ["%s"]) { edges { node { block { height } bundledIn { id } } } } }' % module  # noqa: UP031
    answer = json.loads(get(f"{gateway}/graphql", json.dumps({"query": query}).encode()))
    (edge,) = answer["data"]["transactions"]["edges"]
    assert 1 <= edge["node"]["block"]["height"] <= tip["height"]
    status = json.loads(get(f"{gateway}/tx/{edge['node']['bundledIn']['id']}/status"))
    assert status["block_height"] == edge["node"]["block"]["height"]
    assert get(f"{gateway}/wallet/{up.places['wallet']['address']}/balance") == b"1000000000000000"
    time = json.loads(get(f"{up.places['su']}/timestamp"))
    assert int(time["block_height"]) >= tip["height"]
