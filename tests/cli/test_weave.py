"""The weave of a running node, seen from outside: its height is the network's, and all that stands is on it."""

import json
import queue
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cli.conftest import Up, puna

from puna.arweave.bundle import unpack
from puna.arweave.dataitem import decode_item, encode_item, sign_item, verify_item
from puna.arweave.wallet import load_wallet


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
    present = json.loads(get(f"{up.places['su']}/timestamp"))
    assert int(present["block_height"]) >= tip["height"]


class Uploader(BaseHTTPRequestHandler):
    """Takes what is posted to it and hands it to the test."""

    taken: queue.Queue = queue.Queue()

    def do_POST(self):
        self.taken.put((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_a_second_node_reads_through_to_the_first_and_posts_its_bundles_to_an_uploader(up, tmp_path):
    first, uploader = up.places["gateway"], ThreadingHTTPServer(("127.0.0.1", 0), Uploader)
    threading.Thread(target=uploader.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{uploader.server_port}"
    node = Up(tmp_path / "home", "--arweave", first, "--uploader", url, "--workers", 1)
    try:
        second, process = node.places["gateway"], up.places["herder"]
        assert get(f"{second}/raw/{process}") == get(f"{first}/raw/{process}")
        # Its units read through as well: a process of theirs runs a module that only the first has.
        wallet, said = load_wallet(Path(node.places["wallet"]["path"])), node.places
        assert said["module"] != up.places["module"]
        common = (("Data-Protocol", "ao"), ("Variant", "ao.TN.1"))
        places = (("Module", up.places["module"]), ("Scheduler", said["scheduler"]), ("On-Boot", process))
        spawned = sign_item(wallet, b" ", (*common, ("Type", "Process"), *places))
        asked = sign_item(wallet, b"return 6 * 7", (*common, ("Type", "Message"), ("Action", "Eval")), spawned.id)
        for item in (spawned, asked):
            get(said["mu"] + "/", encode_item(item))
        result = json.loads(get(f"{said['cu']}/result/{asked.id}?process-id={spawned.id}"))
        assert result["Output"]["data"] == "42", result
        get(f"{second}/mine")
        path, body = Uploader.taken.get(timeout=60)
        bundle = decode_item(body)
        verify_item(bundle)
        assert path == "/tx" and node.places["module"] in {found.item.id for found in unpack(bundle.id, bundle.data)}
    finally:
        assert node.stop().status == 0
        uploader.shutdown()
        uploader.server_close()


def test_an_upstream_that_is_no_url_is_refused(tmp_path):
    said = puna("up", "--arweave", "arweave.net", home=tmp_path)
    assert said.status != 0 and "is not a URL" in said.err
