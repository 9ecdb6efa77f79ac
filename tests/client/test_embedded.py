"""Real networks: one inside the program, and the one that runs on a home."""

import asyncio

from puna.client import connect, embedded


async def test_an_embedded_network_is_the_same_one_when_it_is_opened_again(own_home):
    def first():
        with embedded(own_home) as ao:
            process = ao.spawn()
            message = ao.message(process, {"Action": "Eval"}, "X = 6 * 7; return X")
            return process, message, ao.result(process, message), ao.upload("kept"), ao.network

    process, message, result, kept, network = await asyncio.to_thread(first)
    assert result.output == "42"
    async with embedded(own_home) as ao:
        assert ao.network == network and await ao.data(kept) == b"kept"
        assert await ao.result(process, message) == result
        assert (await ao.eval(process, "return X + 1")).output == "43"


async def test_where_a_node_runs_everybody_talks_to_that_one(node):
    wallet = node.places["wallet"]["address"]
    async with connect(home=node.home) as one, embedded(node.home) as other:
        assert one.network == other.network and one.network.token == node.places["token"]
        assert one.address == other.address == wallet
        process = await one.spawn()
        async with other.inbox() as inbox:
            lua = "Send({Target = Owner, Action = 'Hi', Data = 'there'})"
            sent = await one.eval(process, lua)
            assert sent.check().first("Hi").data == "there"
            item = await inbox.get()
            assert (item.text, item.sender) == ("there", process)


async def test_a_question_is_quoted_paid_and_answered(node):
    async with connect(node.places["gateway"], wallet=node.places["wallet"]["path"]) as ao:
        before = await ao.balance()
        quote = await ao.quote("What do llamas eat?", 4)
        heard = []
        answer = await ao.ask("What do llamas eat?", 4, on_text=heard.append)
        assert "".join(heard) == answer.text and answer.paid_winston == quote.price
        assert answer.fee_winston == quote.price - (4 - answer.tokens)
        assert await ao.balance() == before - answer.fee_winston
        assert (await ao.prices()).tokens_max >= 4
        paid = await ao.transfer(ao.network.herder, 3)
        assert (await ao.result(ao.network.token, paid)).first("Debit-Notice").tags["Quantity"] == "3"
        assert await ao.balance() == before - answer.fee_winston - 3
