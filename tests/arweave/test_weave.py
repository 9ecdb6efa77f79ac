"""Stories of the embedded weave: what is posted is mined, carried, found again, and survives any restart."""

from dataclasses import replace

import pytest
from arweave.strategies import ED25519

from puna.arweave import ledger
from puna.arweave.bundle import BUNDLE_TAGS, decode_bundle, encode_bundle
from puna.arweave.dataitem import sign_item
from puna.arweave.ids import b64url_decode, b64url_encode
from puna.arweave.merkle import prove, tree_of_bytes
from puna.arweave.store.port import Query
from puna.arweave.store.sqlite import open_store
from puna.arweave.transaction import Transaction, sign_transaction, signed_bytes, verify_transaction
from puna.arweave.wallet import new_ed25519_wallet
from puna.arweave.weave import AlreadyHere, BadChunk, Weave
from puna.errors import Invalid, NotYet

OPERATOR = new_ed25519_wallet()
BIG = bytes(range(256)) * 2344  # 600,064 bytes


@pytest.fixture
async def weave(tmp_path, rsa_wallet):
    weave = await opened(tmp_path, rsa_wallet)
    await weave.endow(rsa_wallet.address)
    yield weave
    await weave.store.close()


async def opened(folder, rsa_wallet):
    return await Weave.open(open_store(folder), OPERATOR, lambda: rsa_wallet)


def signed(weave, wallet, data=b"", **fields):
    size = len(data)
    fields = {"last_tx": b64url_decode(weave.tip.indep_hash), "reward": weave.price(size)} | fields
    return sign_transaction(wallet, data=data, **fields)


def sequence(weave, id):
    return weave.store.find(Query(ids=(id,)))[0].sequence


def place(weave, id):
    return weave.place_of_item(id, sequence(weave, id))


async def send_chunks(weave, tx, data, order=lambda leaves: leaves):
    tree = tree_of_bytes(data)
    root = b64url_encode(tx.data_root)
    for leaf in order([n for n, span in enumerate(tree.spans) if span.start < span.end]):
        start, end = tree.spans[leaf]
        await weave.add_chunk(root, len(data), tree.proof(leaf), end - 1, data[start:end])


async def test_a_transaction_waits_is_mined_and_can_be_read(weave, rsa_wallet):
    tx = signed(weave, rsa_wallet, b"ten bytes!")
    await weave.post(tx)
    assert weave.place_of_transaction(tx.id).block is None
    block = await weave.mine()
    assert block.txs == (tx.id,) and block.height == 1
    assert weave.place_of_transaction(tx.id).block["id"] == block.indep_hash
    assert weave.transaction_body(tx.id).all() == b"ten bytes!"
    assert weave.transaction(tx.id) == tx.without_data()
    assert weave.last_tx(rsa_wallet.address) == tx.id
    assert await weave.mine() is None
    assert (await weave.mine(even_empty=True)).previous_block == block.indep_hash


async def test_winston_is_conserved_but_for_the_rewards_of_blocks(weave, rsa_wallet):
    to = b"\7" * 32
    tx = signed(weave, rsa_wallet, target=to, quantity=1234, reward=weave.price(0, b64url_encode(to)))
    await weave.post(tx)
    assert weave.balance(b64url_encode(to)) == 0
    await weave.mine()
    assert weave.balance(b64url_encode(to)) == 1234
    assert weave.balance(rsa_wallet.address) == ledger.ENDOWMENT - 1234 - tx.reward
    assert weave.balance(OPERATOR.address) == tx.reward + ledger.BLOCK_REWARD


async def test_nobody_spends_what_they_do_not_have_nor_the_same_twice(weave, rsa_wallet):
    half = ledger.ENDOWMENT * 2 // 3
    to = b"\7" * 32
    fee = weave.price(0, b64url_encode(to))
    await weave.post(signed(weave, rsa_wallet, target=to, quantity=half, reward=fee))
    with pytest.raises(Invalid, match="Transaction verification failed."):
        await weave.post(signed(weave, rsa_wallet, target=to, quantity=half, reward=fee + 1))
    with pytest.raises(Invalid, match="Transaction verification failed."):
        await weave.post(signed(weave, rsa_wallet, b"cheap", reward=1))


async def test_what_is_wrong_with_a_transaction_is_said_in_the_words_of_the_network(weave, rsa_wallet):
    tx = signed(weave, rsa_wallet, b"data")
    await weave.post(tx)
    with pytest.raises(AlreadyHere):
        await weave.post(tx)
    for bad, words in (
        (replace(signed(weave, rsa_wallet, b"data!"), data=b"other"), "split in an unknown way"),
        (replace(signed(weave, rsa_wallet, b"data!"), quantity=1), "Transaction verification failed"),
        (signed(weave, rsa_wallet, b"x", last_tx=b"\1" * 48), "Invalid anchor"),
        (signed(weave, rsa_wallet, b"x", last_tx=b64url_decode(tx.id)), "from mempool"),
    ):
        with pytest.raises(Invalid, match=words):
            await weave.post(bad)


async def test_statement_10_data_in_chunks_arrives_in_any_order_and_bad_chunks_are_refused(weave, rsa_wallet):
    tx = replace(signed(weave, rsa_wallet, BIG), data=b"")
    root, tree = b64url_encode(tx.data_root), tree_of_bytes(BIG)
    good = (root, len(BIG), tree.proof(0), 0, BIG[: tree.spans[0].end])
    with pytest.raises(BadChunk, match="data_root_not_found"):
        await weave.add_chunk(*good)
    await weave.post(tx)
    for place_in_call, value, code in (
        (2, tree.proof(1), "invalid_proof"), (2, b"", "invalid_proof"), (4, b"x" * tree.spans[0].end, "invalid_proof"),
        (4, b"x" * 300_000, "chunk_too_big"), (2, b"x" * 3000, "data_path_too_big"), (3, 300_000, "invalid_proof"),
        (4, b"short", "chunk_proof_ratio_not_attractive"), (0, "nope", "data_root_not_found"),
        (1, 599_999, "data_root_not_found"),
    ):  # fmt: skip
        bad = [*good]
        bad[place_in_call] = value
        with pytest.raises(BadChunk, match=code):
            await weave.add_chunk(*bad)
    assert await weave.mine() is None, "a transaction is not mined before its data is here"
    with pytest.raises(NotYet):
        weave.transaction_body(tx.id)
    await send_chunks(weave, tx, BIG, order=lambda leaves: [*reversed(leaves), leaves[0]])
    await weave.mine()
    assert weave.transaction_body(tx.id).all() == BIG


async def test_format_1_is_taken_too_with_no_anchor_for_a_wallets_first(weave, rsa_wallet):
    unsigned = Transaction(
        1, b"", rsa_wallet.owner, ((b"a", b"b"),), b"", 0, weave.price(3), 3, tree_of_bytes(b"old").root, b"", b"old"
    )
    tx = replace(unsigned, signature=rsa_wallet.sign(signed_bytes(unsigned)))
    await weave.post(tx)
    await weave.mine()
    assert weave.transaction_body(tx.id).all() == b"old" and weave.transaction(tx.id).format == 1
    assert weave.transaction(tx.id) == tx.without_data()
    unsaid = replace(unsigned, data=b"")
    with pytest.raises(Invalid, match="verification failed"):
        await weave.post(replace(unsaid, signature=rsa_wallet.sign(signed_bytes(unsaid))))
    again = replace(unsigned, reward=unsigned.reward + 1)
    with pytest.raises(Invalid, match="Invalid anchor"):
        await weave.post(replace(again, signature=rsa_wallet.sign(signed_bytes(again))))


async def test_every_byte_of_the_weave_has_a_chunk_whose_proofs_hold(weave, rsa_wallet):
    item = sign_item(ED25519, b"carried")
    await weave.upload(item)
    await weave.post(signed(weave, rsa_wallet, BIG))
    block = await weave.mine()
    for offset in (1, 300_000, len(BIG), len(BIG) + 1, block.weave_size):
        chunk = weave.chunk_at(offset)
        assert int(chunk["absolute_end_offset"]) - int(chunk["chunk_size"]) < offset
        assert offset <= int(chunk["absolute_end_offset"])
        proven = prove(b64url_decode(block.tx_root), offset - 1, block.block_size, b64url_decode(chunk["tx_path"]))
        assert proven is not None
    assert weave.chunk_at(0) is None and weave.chunk_at(block.weave_size + 1) is None


async def test_items_are_carried_by_a_bundle_of_the_nodes_own_that_anybody_can_check(weave):
    items = [sign_item(ED25519, b"item %d" % number) for number in range(3)]
    for item in items:
        await weave.upload(item)
    assert place(weave, items[0].id).block is None
    block = await weave.mine()
    assert place(weave, items[0].id).bundled_in == block.bundle == block.txs[0]
    tx = weave.transaction(block.bundle)
    verify_transaction(tx)
    data = weave.transaction_body(tx.id).all()
    assert tree_of_bytes(data).root == tx.data_root and len(data) == tx.data_size
    assert list(decode_bundle(data)) == items
    assert weave.bundled_in(tx.id) == [item.id for item in items]
    assert await weave.mine() is None, "records of the weave itself are not carried"


async def test_statement_8_bundles_in_transactions_and_in_bundles_are_unpacked(weave, rsa_wallet):
    deep, side, known = (sign_item(ED25519, data) for data in (b"deep", b"side", b"known"))
    forged = replace(sign_item(ED25519, b"true"), data=b"false")
    inner = sign_item(ED25519, encode_bundle([deep, known]), BUNDLE_TAGS)
    await weave.upload(known)
    tx = signed(weave, rsa_wallet, encode_bundle([inner, side, forged]), tags=BUNDLE_TAGS)
    await weave.post(tx)
    block = await weave.mine()
    assert place(weave, deep.id).bundled_in == inner.id
    assert place(weave, inner.id).bundled_in == place(weave, side.id).bundled_in == tx.id
    assert place(weave, known.id).bundled_in == block.bundle
    assert weave.store.view(forged.id) is None
    assert weave.bundled_in(tx.id) == [inner.id, side.id]
    assert place(weave, deep.id).block["height"] == block.height == 1


async def test_a_bundle_that_is_not_sound_is_only_data(weave, rsa_wallet):
    for data in (b"", b"\xff" * 32, b"\1" + bytes(31) + b"\xff" * 64):
        await weave.upload(sign_item(ED25519, data, BUNDLE_TAGS))
    await weave.post(signed(weave, rsa_wallet, b"no bundle", tags=BUNDLE_TAGS))
    assert len((await weave.mine()).txs) == 2


async def test_heights_never_fall_along_the_store(weave, rsa_wallet):
    early = replace(signed(weave, rsa_wallet, encode_bundle([sign_item(ED25519, b"late")]), tags=BUNDLE_TAGS), data=b"")
    await weave.post(early)
    for number in range(3):
        await weave.upload(sign_item(ED25519, b"%d" % number))
        await weave.mine()
    await send_chunks(weave, early, encode_bundle([sign_item(ED25519, b"late")]))
    await weave.mine()
    heights = [weave.block_covering(number) for number in range(1, weave.tip.through + 1)]
    assert [block.height for block in heights] == sorted(block.height for block in heights)
    assert place(weave, sign_item(ED25519, b"late").id).block["height"] == 4


async def test_a_weave_stopped_at_any_point_goes_on(tmp_path, rsa_wallet):
    weave = await opened(tmp_path, rsa_wallet)
    await weave.endow(rsa_wallet.address)
    tx, waiting = signed(weave, rsa_wallet, b"posted"), replace(signed(weave, rsa_wallet, BIG), data=b"")
    await weave.post(tx)
    await weave.post(waiting)
    await weave.store.close()
    weave = await opened(tmp_path, rsa_wallet)
    await weave.endow(rsa_wallet.address)
    assert weave.balance(rsa_wallet.address) == ledger.ENDOWMENT
    assert weave._spending[rsa_wallet.address] == tx.reward + waiting.reward
    assert (await weave.mine()).txs == (tx.id,)
    await send_chunks(weave, waiting, BIG)
    await weave.store.close()
    weave = await opened(tmp_path, rsa_wallet)
    assert (await weave.mine()).txs == (waiting.id,)
    assert weave._spending == {}
    await weave.store.close()


async def test_a_weave_stopped_right_after_the_last_chunk_goes_on_with_its_transaction(weave, rsa_wallet, monkeypatch):
    tx = replace(signed(weave, rsa_wallet, BIG), data=b"")
    await weave.post(tx)

    async def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(weave, "_complete", killed)
    with pytest.raises(KeyboardInterrupt):
        await send_chunks(weave, tx, BIG)
    again = await Weave.open(weave.store, OPERATOR, lambda: rsa_wallet)
    assert (await again.mine()).txs == (tx.id,)


async def test_notes_are_derived_rebuilding_them_changes_nothing(weave, rsa_wallet):
    inner = sign_item(ED25519, encode_bundle([sign_item(ED25519, b"deep")]), BUNDLE_TAGS)
    await weave.upload(inner)
    await weave.post(signed(weave, rsa_wallet, encode_bundle([sign_item(ED25519, b"one")]), tags=BUNDLE_TAGS))
    await weave.mine()
    await weave.upload(sign_item(ED25519, b"two"))
    await weave.mine()
    await weave.grant(rsa_wallet.address, 7)
    await weave.grant(rsa_wallet.address, 7)
    await weave.post(replace(signed(weave, rsa_wallet, BIG), data=b""))
    await weave.post(signed(weave, rsa_wallet, b"pending"))
    before = weave.store.notes("")
    await weave.rebuild()
    assert weave.store.notes("") == before
    await weave.store.append([], {key: None for key, _ in before})
    again = await Weave.open(weave.store, OPERATOR, lambda: rsa_wallet)
    assert weave.store.notes("") == before and again.tip == weave.tip
