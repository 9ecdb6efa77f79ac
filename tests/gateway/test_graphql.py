# ruff: noqa: UP031 - GraphQL is full of braces, which the percent sign leaves alone
"""GraphQL: what every client asks, the meaning of every filter, and limits for strangers."""

from functools import partial

import pytest
from arweave.strategies import ED25519, ETHEREUM
from gateway.serving import OPERATOR
from hypothesis import given, settings
from hypothesis import strategies as st

from puna.arweave.bundle import BUNDLE_TAGS, encode_bundle
from puna.arweave.dataitem import sign_item
from puna.arweave.gateway.graphql import read_document
from puna.arweave.ids import b64url_encode
from puna.arweave.wallet import wallet_from_jwk

ITEM = partial(sign_item, ED25519)
AO = ("Data-Protocol", "ao")
SCHEDULER = ETHEREUM

# The queries that clients send, each with what it asks for; statement 16.
MODULE_CHECK = """query GetTransactions($transactionIds: [ID!]!) {
  transactions(ids: $transactionIds) { edges { node {
    owner { address } tags { name value } block { id height timestamp } } } } }"""
PROCESS_TO_SCHEDULER = """query GetTransactions ($transactionIds: [ID!]!) {
  transactions(ids: $transactionIds, tags: [{ name: "Data-Protocol", values: ["ao"] },]) {
    edges { node { tags { name value } } } } }"""
SCHEDULER_LOCATION = """query GetSchedulerLocation ($owner: String!) {
  transactions (
    owners: [$owner]
    tags: [
      { name: "Data-Protocol", values: ["ao"] },
      { name: "Type", values: ["Scheduler-Location"] }
    ]
    # Only need the most recent Scheduler-Location
    sort: HEIGHT_DESC
    first: 1
  ) { edges { node { tags { name value } } } } }"""
LOAD_PROCESS = """query GetTransactions ($transactionIds: [ID!]!) {
  transactions(ids: $transactionIds) {
    pageInfo { hasNextPage }
    edges { cursor node { id anchor signature recipient block { timestamp height } owner { address key }
      fee { winston ar } quantity { winston ar } data { size type } tags { name value } parent { id } } } } }"""
CU_META = """query GetProcesses ($processIds: [ID!]!, $skipTags: Boolean!, $skipSignature: Boolean!,
  $skipAnchor: Boolean!) {
  transactions(ids: $processIds) { edges { node {
    id signature @skip(if: $skipSignature) anchor @skip(if: $skipAnchor) owner { address key }
    tags @skip(if: $skipTags) { name value } recipient } } } }"""
CHECKPOINTS = """query GetAoProcessCheckpoints ($owners: [String!]!, $processId: String!, $limit: Int!) {
  transactions(
    tags: [{ name: "Process", values: [$processId] } { name: "Type", values: ["Checkpoint"] }
           { name: "Data-Protocol", values: ["ao"] }],
    owners: $owners first: $limit, sort: HEIGHT_DESC) {
    edges { node { id owner { address } tags { name value } } } } }"""
CHECKPOINT_AT = """query GetAoProcessCheckpoint ($owner: String!, $processId: String!, $nonce: String!) {
  transactions(owners: [$owner], tags: [
    { name: "Process", values: [$processId] }, { name: "Nonce", values: [$nonce] },
    { name: "Type", values: ["Checkpoint"] }], first: 1) { edges { node { id } } } }"""
BLOCKS = """query GetBlocks($min: Int!, $limit: Int!) {
  blocks(height: { min: $min }, first: $limit, sort: HEIGHT_ASC) {
    pageInfo { hasNextPage } edges { node { timestamp height } } } }"""
SU_ASSIGN = """query { transactions(ids: ["%s"]) { edges { node {
  id signature anchor owner { address key } tags { name value } recipient } } } }"""
MU_REFRESH = """query GetSchedulerLocations ($after: String) {
  transactions(first: 100, after: $after, tags: [{ name: "Type", values: ["Scheduler-Location"] },
    { name: "Data-Protocol", values: ["ao"] }]) {
    pageInfo { hasNextPage } edges { cursor node { id owner { address } tags { name value } block { height } } } } }"""
AOS_NAME = """query ($owners: [String!]!) {
  transactions(first: 10, owners: $owners, tags: [{ name: "Data-Protocol", values: ["ao"] },
    { name: "Type", values: ["Process"] }, { name: "Name", values: ["default"] }]) {
    edges { node { id tags { name value } } } } }"""
AOS_LIST = """query ($owners: [String!]!) { transactions(first: 100, owners: $owners, tags: [
    { name: "Data-Protocol", values: ["ao"] }, { name: "Type", values: ["Process"] }]) {
    edges { node { id owner { address } tags { name value } } } } }"""
AOS_MODULE = """query FindAoModuleByName { transactions(first: 100, sort: HEIGHT_DESC,
    tags: [{ name: "Type", values: ["Module"] }, { name: "Name", values: ["m"] }]) {
    edges { node { id tags { name value } block { timestamp } } } } }"""
WEAVEDRIVE = """query { transactions(first: 1, owners: ["%s", "%s"], block: { min: 0, max: %d },
    tags: [{ name: "Type", values: ["Attestation"] }, { name: "Message", values: ["m1"] }]) {
    edges { node { tags { name value } } } } }"""


@pytest.fixture
async def town(at, rsa_wallet):
    """A weave with one of everything that clients look for, mined."""
    things = {
        "module": ITEM(b"wasm", [AO, ("Type", "Module"), ("Name", "m"), ("Content-Type", "application/wasm")]),
        "process": ITEM(b" ", [AO, ("Type", "Process"), ("Name", "default")], "B" * 42 + "A", b"a" * 32),
        "location": sign_item(SCHEDULER, b" ", [AO, ("Type", "Scheduler-Location"), ("Url", "http://su")]),
        "attestation": sign_item(SCHEDULER, b" ", [AO, ("Type", "Attestation"), ("Message", "m1")]),
        "checkpoint": ITEM(b"m", [AO, ("Type", "Checkpoint"), ("Process", "p"), ("Nonce", "3")]),
    }
    for item in things.values():
        await at.weave.upload(item)
    await at.weave.mine()
    at.things = things
    return at


def nodes(answer, field="transactions"):
    return [edge["node"] for edge in answer["data"][field]["edges"]]


def ids(answer):
    return [node["id"] for node in nodes(answer)]


async def test_statement_16_what_clients_ask_about_modules_and_processes(town):
    module, process = town.things["module"], town.things["process"]
    (node,) = nodes(await town.ask(MODULE_CHECK, transactionIds=[module.id]))
    block = town.weave.tip
    assert node["block"] == {"id": block.indep_hash, "height": 1, "timestamp": block.timestamp}
    assert node["owner"] == {"address": module.address}
    assert nodes(await town.ask(PROCESS_TO_SCHEDULER, transactionIds=[process.id]))[0]["tags"][0]["value"] == "ao"
    answer = await town.ask(LOAD_PROCESS, transactionIds=[process.id])
    assert answer["data"]["transactions"]["pageInfo"] == {"hasNextPage": False}
    (node,) = nodes(answer)
    assert node == {
        "id": process.id, "anchor": b64url_encode(b"a" * 32), "signature": b64url_encode(process.signature),
        "recipient": process.target, "block": {"timestamp": block.timestamp, "height": 1},
        "owner": {"address": process.address, "key": b64url_encode(process.owner)},
        "fee": {"winston": "0", "ar": "0.000000000000"}, "quantity": {"winston": "0", "ar": "0.000000000000"},
        "data": {"size": "1", "type": None}, "tags": [dict(tag._asdict()) for tag in process.tags],
        "parent": {"id": block.bundle},
    }  # fmt: skip
    (node,) = nodes(await town.ask(SU_ASSIGN % process.id))
    assert node["id"] == process.id


async def test_statement_16_what_compute_units_ask(town):
    process = town.things["process"]
    skipping = {"skipTags": False, "skipSignature": True, "skipAnchor": True}
    (node,) = nodes(await town.ask(CU_META, processIds=[process.id], **skipping))
    assert node.keys() == {"id", "owner", "tags", "recipient"}
    checkpoint = town.things["checkpoint"]
    assert ids(await town.ask(CHECKPOINTS, owners=[checkpoint.address], processId="p", limit=50)) == [checkpoint.id]
    asked = {"owner": checkpoint.address, "processId": "p"}
    assert ids(await town.ask(CHECKPOINT_AT, **asked, nonce="3")) == [checkpoint.id]
    assert ids(await town.ask(CHECKPOINT_AT, **asked, nonce="4")) == []
    for _ in range(3):
        await town.weave.mine(even_empty=True)
    answer = await town.ask(BLOCKS, min=1, limit=2)
    assert [node["height"] for node in nodes(answer, "blocks")] == [1, 2]
    assert answer["data"]["blocks"]["pageInfo"] == {"hasNextPage": True}
    assert nodes(answer, "blocks")[0]["timestamp"] == town.weave.block(1).timestamp


async def test_statement_16_what_finders_of_schedulers_and_the_aos_command_ask(town):
    location = town.things["location"]
    (node,) = nodes(await town.ask(SCHEDULER_LOCATION, owner=location.address))
    assert {"name": "Url", "value": "http://su"} in node["tags"]
    assert ids(await town.ask(MU_REFRESH)) == [location.id]
    process = town.things["process"]
    for query in (AOS_NAME, AOS_LIST):
        assert ids(await town.ask(query, owners=[process.address, ""])) == [process.id]
        assert ids(await town.ask(query, owners=[""])) == []
    assert ids(await town.ask(AOS_MODULE)) == [town.things["module"].id]
    attested = WEAVEDRIVE % (SCHEDULER.address, ED25519.address, 1)
    assert len(nodes(await town.ask(attested))) == 1
    assert nodes(await town.ask(WEAVEDRIVE % (SCHEDULER.address, ED25519.address, 0))) == []


async def test_statement_17_pages_walk_everything_once_in_height_order_both_ways(at, rsa_wallet):
    for number in range(3):
        for _ in range(2):
            await at.weave.upload(ITEM(b"%d" % at.weave.store.last_sequence(), [("Walk", "yes")]))
        await at.post_tx(at.signed(rsa_wallet, b"tx%d" % number, tags=[("Walk", "yes")]))
        bundled = encode_bundle([ITEM(b"in %d" % number, [("Walk", "yes")])])
        await at.post_tx(at.signed(rsa_wallet, bundled, tags=[*BUNDLE_TAGS, ("Walk", "yes")]))
        await at.weave.mine()
    await at.weave.upload(ITEM(b"pending", [("Walk", "yes")]))
    query = """query ($after: String, $sort: SortOrder, $tags: [TagFilter!]) {
      transactions(first: 2, after: $after, sort: $sort, tags: $tags) { pageInfo { hasNextPage }
        edges { cursor node { id block { height } } } } }"""
    for tags, count in (([{"name": "Walk", "values": ["yes"]}], 16), (None, 19)):
        walks = {}
        for sort in ("HEIGHT_ASC", "HEIGHT_DESC"):
            seen, after, more = [], None, True
            while more:
                page = (await at.ask(query, after=after, sort=sort, tags=tags))["data"]["transactions"]
                more, edges = page["pageInfo"]["hasNextPage"], page["edges"]
                seen += [edge["node"] for edge in edges]
                after = edges[-1]["cursor"]
            walks[sort] = seen
        heights = [node["block"]["height"] if node["block"] else 99 for node in walks["HEIGHT_ASC"]]
        assert heights == sorted(heights) and len({node["id"] for node in walks["HEIGHT_ASC"]}) == count == len(heights)
        assert walks["HEIGHT_DESC"] == walks["HEIGHT_ASC"][::-1], "unmined ones come first"


async def test_statement_17_filters_are_joined_by_and_their_values_by_or(at, rsa_wallet):
    red = ITEM(b"1", [("Colour", "red"), ("Size", "big")], target="C" * 42 + "A")
    blue = ITEM(b"2", [("Colour", "blue"), ("Size", "big")])
    green = sign_item(ETHEREUM, b"3", [("Colour", "green"), ("Size", "small")])
    for item in (red, blue, green):
        await at.weave.upload(item)
    tx = at.signed(rsa_wallet, b"4", tags=[("Colour", "red"), ("Size", "small")], target=b"\0" * 32, reward=10**11)
    await at.post_tx(tx)

    async def found(arguments):
        return set(ids(await at.ask("{ transactions(sort: HEIGHT_ASC, %s) { edges { node { id } } } }" % arguments)))

    def tag(name, *values, op=""):
        listed = ",".join(f'"{value}"' for value in values)
        return '{name: "%s", values: [%s] %s}' % (name, listed, op)

    assert await found("tags: [%s]" % tag("Colour", "red", "green")) == {red.id, green.id, tx.id}
    assert await found("tags: [%s, %s]" % (tag("Colour", "red"), tag("Size", "big"))) == {red.id}
    assert await found("tags: [%s, %s]" % (tag("Size", "big"), tag("Colour", "red", op="op: NEQ"))) == {blue.id}
    assert await found("tags: [%s]" % tag("Colour", "RED")) == set()
    assert await found("tags: [%s]" % tag("Colour")) == set()
    assert await found('owners: ["%s"]' % green.address) == {green.id}
    assert await found('owners: ["%s", "%s"]' % (green.address, tx.address)) == {green.id, tx.id}
    assert await found('recipients: ["%s"]' % red.target) == {red.id}
    assert await found('recipients: ["%s"]' % tx.recipient) == {tx.id}
    assert await found('ids: ["%s", "%s", "nonsense"]' % (blue.id, tx.id)) == {blue.id, tx.id}
    assert await found("block: {min: 0}") == set(), "what is not mined is in no block"
    block = await at.weave.mine()
    assert await found('bundledIn: ["%s"]' % block.bundle) == {red.id, blue.id, green.id}
    assert await found('bundledIn: ["%s"], ids: ["%s"]' % (block.bundle, red.id)) == {red.id}
    assert await found("block: {min: 1, max: 1}") == {red.id, blue.id, green.id, tx.id, block.bundle}
    assert await found("block: {max: 0}") == await found("block: {min: 2}") == set()
    assert await found('owners: ["%s"]' % OPERATOR.address) == set(), "records of the weave itself are not shown"
    assert await found('ids: ["%s"]' % block.bundle) == {block.bundle}


async def test_transactions_of_layer_1_tell_their_money_and_data(at, rsa_wallet):
    tx = at.signed(rsa_wallet, b"1234", tags=[("Content-Type", "text/plain")], target=b"\1" * 32, quantity=5 * 10**11,
                   reward=2 * 10**9)  # fmt: skip
    await at.post_tx(tx)
    await at.weave.mine()
    answer = await at.ask(
        """query ($id: ID!) { transaction(id: $id) { id anchor recipient owner { address }
        fee { winston ar } quantity { winston ar } data { size type } bundledIn { id } block { previous } } }""",
        id=tx.id,
    )
    assert answer["data"]["transaction"] == {
        "id": tx.id, "anchor": b64url_encode(tx.last_tx), "recipient": tx.recipient,
        "owner": {"address": rsa_wallet.address}, "fee": {"winston": "2000000000", "ar": "0.002000000000"},
        "quantity": {"winston": "500000000000", "ar": "0.500000000000"}, "data": {"size": "4", "type": "text/plain"},
        "bundledIn": None, "block": {"previous": at.weave.block(0).indep_hash},
    }  # fmt: skip
    nobody = await at.ask('{ transaction(id: "%s") { id } block { height } }' % ("A" * 43))
    assert nobody["data"] == {"transaction": None, "block": {"height": 1}}
    by_hash = await at.ask('{ block(id: "%s") { height previous } }' % at.weave.tip.indep_hash)
    assert by_hash["data"]["block"]["height"] == 1


async def test_blocks_page_both_ways(at):
    for _ in range(4):
        await at.weave.mine(even_empty=True)
    query = """query($a: String) { blocks(first: 2, after: $a) {
        pageInfo { hasNextPage } edges { cursor node { height } } } }"""
    seen, after, more = [], None, True
    while more:
        page = (await at.ask(query, a=after))["data"]["blocks"]
        seen += [edge["node"]["height"] for edge in page["edges"]]
        more, after = page["pageInfo"]["hasNextPage"], page["edges"][-1]["cursor"]
    assert seen == [4, 3, 2, 1, 0]
    named = await at.ask('{ blocks(ids: ["%s"]) { edges { node { height } } } }' % at.weave.block(2).indep_hash)
    assert nodes(named, "blocks") == [{"height": 2}]


HOSTILE = [
    ("{", "Syntax Error"),
    ("{ nothing }", "Cannot query field"),
    ("{ transactions(first: 5) }", "must have a selection"),
    ("{ transactions(tags: 7) { edges { cursor } } }", "TagFilter"),
    ("{ block { height " + "height " * 3000 + "} }", "2000 tokens"),
    ("{a" * 900 + "}" * 900, "nested too deep"),
    ("{" * 3000, "Syntax Error"),
    ("{a" * 50 + "}" * 50, "levels of fields"),
    ("{ " + " ".join(f"a{n}: transactions {{ pageInfo {{ hasNextPage }} }}" for n in range(50)) + " }", "searches"),
    ("{ transactions { edges { node { " + " ".join(f"a{n}: id" for n in range(500)) + " } } } }", "fields"),
    ("query { " + "x" * 40_000 + " }", "characters long"),
    ("{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }", "itself"),
    (
        "{ __schema { types { fields { type { fields { type { fields { type { name } } } } } } } } }",
        "introspection",
    ),
]


async def test_hostile_and_broken_queries_are_refused_with_words(at):
    for query, words in HOSTILE:
        answer = await at.ask(query, status=400)
        assert words in answer["errors"][0]["message"]


ODD = [
    ("first: -1", "must be 1 to 100"), ('after: "nonsense"', "cursor"), ('after: "%s"' % ("9" * 90), "cursor"),
    ("ids: [%s]" % ",".join(f'"{n}"' for n in range(900)), None), ("first: 100000", None),
    ("block: {min: -5, max: 2147483647}", None), ("block: {min: 2147483647}", None), ("block: {max: -1}", None),
    ("block: {}", None), ("owners: []", None), ('tags: [{name: "", values: [""]}]', None),
]  # fmt: skip


async def test_odd_arguments_are_answered_or_refused_with_words(at):
    for arguments, words in ODD:
        answer = await at.ask("{ transactions(%s) { edges { cursor } } }" % arguments)
        if words is None:
            assert "errors" not in answer
        else:
            assert words in answer["errors"][0]["message"] and answer["data"] is None


async def test_a_request_asks_for_so_many_nodes_in_all_by_whatever_alias(at):
    pages = " ".join("a%d: transactions(first: 100) { edges { cursor } }" % n for n in range(4))
    answer = await at.ask("{ %s }" % pages)
    assert answer["data"] is None and "over 300 nodes" in answer["errors"][0]["message"]


async def test_requests_that_are_no_queries_are_refused(at):
    bodies = (b'{"query":"\xff"}', b"", b"{", b"[]", b'{"query": 7}', b'{"query": "{block{id}}", "variables": []}')
    for body in (*bodies, b"[" * 100_000):
        status, words = await at.post("/graphql", data=body)
        assert status == 400 or b'"data"' in words
    assert (await at.get("/graphql"))[0] == 400
    assert (await at.get("/graphql", params={"query": "{ block { height } }"}))[1] == b'{"data":{"block":{"height":0}}}'
    assert (await at.post("/graphql", data=b"x" * 2_000_000))[0] == 413


def test_other_keys_make_other_addresses():
    assert wallet_from_jwk({"kty": "OKP", "crv": "Ed25519", "d": "A" * 43}).address == OPERATOR.address


words = st.sampled_from(
    ["{", "}", "(", ")", "[", "]", "transactions", "edges", "node", "id", "first:", "1", '"a"', "$x", "query",
     "fragment", "on", "...", "@skip", "if:", "true", "Transaction", "#", "\n", "!", ":", ",",
     "tags", "name", "block", "__schema"]
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(words, max_size=40).map(" ".join) | st.text(max_size=60))
def test_any_text_is_a_query_or_refused(query):
    read_document(query)
