"""Streams: tokens arrive while the process still evaluates, and what arrived is byte for byte what was committed."""

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from api.house import Slow, house
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from puna.errors import Invalid, Missing, NotYet
from puna.services.herder.client import Ticker
from puna.services.herder.herd import herd

CHAT = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 40, "stream": True}


@asynccontextmanager
async def stream(it, body, path="/v1/chat/completions"):
    """The chunks of a streamed answer, as an iterator of JSON objects, and the reply's headers."""
    named = {"model": it.it.network.models[0].name} | body
    async with it.http.stream("POST", path, json=named) as reply:
        assert reply.status_code == 200, await reply.aread()
        yield reply.headers, chunks_of(reply)


async def chunks_of(reply):
    async for line in reply.aiter_lines():
        if line.startswith("data: {"):
            yield json.loads(line.removeprefix("data: "))


def said(chunk) -> str:
    return chunk["choices"][0]["delta"].get("content") or "" if chunk.get("choices") else ""


async def first_text(chunks) -> str:
    async for chunk in chunks:
        if text := said(chunk):
            return text


async def test_the_first_token_is_here_before_there_is_a_result(tmp_path):
    async with house(tmp_path, Slow([b"one", b" two", b" three"])) as it:
        await it.key()
        async with stream(it, CHAT) as (headers, chunks):
            payment = headers["X-Puna-Payment"]
            it.engine.gate.release()
            assert await first_text(chunks) == "one"
            # The worker is in the midst of its evaluation: nothing of it is in the log.
            assert (await it.http.get(f"/receipts/{payment}")).status_code == 404
            now = (await it.http.get(f"/inference/{payment}")).json()
            assert (now["state"], now["text"]) == ("running", "one")
            it.engine.gate.release(3)
            rest = [chunk async for chunk in chunks]
        assert "".join(map(said, rest)) == " two three"
        receipt = (await it.http.get(f"/receipts/{payment}")).json()
        assert receipt["text"] == "one two three" and rest[-1]["puna"]["payment"] == payment


class Unsociable(Slow):
    def generate_all(self, path, requests, on_tokens):
        raise Missing("not together")


async def test_what_could_not_be_answered_together_is_streamed_when_it_is_tried_alone(tmp_path):
    async with house(tmp_path, Unsociable([b"one", b" two"]), workers=1) as it, AsyncExitStack() as open_streams:
        await it.key()
        a, b, c = [(await open_streams.enter_async_context(stream(it, CHAT)))[1] for _ in range(3)]
        waiting = {asyncio.create_task(first_text(chunks)) for chunks in (a, b, c)}
        while (await herd(it.it.link, it.it.network.herder)).queue_length < 2:
            pass
        for _ in range(3):
            it.engine.gate.release()
            heard, waiting = await asyncio.wait(waiting, timeout=60, return_when=asyncio.FIRST_COMPLETED)
            assert [text.result() for text in heard] == ["one"]
            it.engine.gate.release(2)  # the other word, and the end


@pytest.mark.parametrize(
    "pieces, stop, tokens",
    [
        (["é".encode()[:1], "é".encode()[1:], "日本".encode()[:4], "日本".encode()[4:], b"!"], [], 40),
        (["🦙".encode()[:1], "🦙".encode()[1:2], "🦙".encode()[2:3], "🦙".encode()[3:], b"."], [], 40),
        (["🦙".encode()[:1], "🦙".encode()[1:2], b"x"], [], 2),  # ends inside a character
        ([b"a", b"\xff", b"b", b"\xff"], [], 40),  # what is no character at all
        ([b"a", b"\xff"], [], 2),
        ([b"tell ST", b"OP more"], ["STOP"], 40),
        ([b"tell S", b"T", b"O", b"X"], ["STOP", "TOY"], 40),
        (["é".encode()[:1], "é".encode()[1:] + b"EN", b"D"], ["END"], 40),
        ([b"END"], ["END"], 40),  # nothing is left
        ([b" "], [], 40),
    ],
)
async def test_what_was_streamed_is_what_was_committed(tmp_path_factory, pieces, stop, tokens):
    async with house(tmp_path_factory.mktemp("house"), Slow(pieces, open=True)) as it:
        await it.key()
        async with stream(it, CHAT | {"stop": stop, "max_tokens": tokens}) as (headers, chunks):
            text = "".join([said(chunk) async for chunk in chunks])
        receipt = (await it.http.get(f"/receipts/{headers['X-Puna-Payment']}")).json()
        assert text.encode() == receipt["text"].encode()
        expected = b"".join(pieces[:tokens]).decode("utf-8", "replace")
        for each in stop:
            expected = expected.split(each)[0]
        # An item cannot be without data: an answer of nothing is one blank.
        assert text.rstrip("\ufffd") == (expected.rstrip("\ufffd") or " ")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=3), max_size=12), st.booleans())
def test_a_ticker_never_takes_back_what_it_said(pieces, ended):
    """The law behind it: however bytes are cut into tokens, what is said is the beginning of what will be known."""
    from codecs import getincrementaldecoder

    decoder, heard = getincrementaldecoder("utf-8")("replace"), []
    ticker = Ticker(heard.append)
    for index, piece in enumerate(pieces):
        ticker.hear(index, decoder.decode(piece))
    whole = b"".join(pieces).decode("utf-8", "replace")
    committed = whole if ended or not whole.endswith("\ufffd") else whole[:-1]
    ticker.settle(committed)
    assert "".join(heard) == committed


async def events_of(it, name):
    async with it.http.stream("GET", f"/inference/{name}/events") as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        async for event in chunks_of(reply):
            yield event


async def test_anybody_can_follow_a_request_through_the_queue_to_its_receipt(tmp_path):
    async with house(tmp_path, Slow([b"one", b" two"]), workers=1) as it:
        await it.key()
        async with stream(it, CHAT) as (first, chunks):
            async with stream(it, CHAT) as (second, waiting):
                watched = events_of(it, second["X-Puna-Reference"])
                queued = await anext(watched)
                assert (queued["state"], queued["place"], queued["queue_length"]) == ("queued", 1, 1)
                it.engine.gate.release(6)
                rest = [event async for event in watched]
                await asyncio.gather(*(consume(each) for each in (chunks, waiting)))
        states = [event["state"] for event in rest]
        assert [*dict.fromkeys(states)] == ["queued", "running", "answered"] or states[0] == "running"
        assert "".join(event.get("text", "") for event in rest) == "one two" == rest[-1]["answer"]
        # Afterwards everything is there at once, by any of its names; and for good.
        for name in (rest[-1]["receipt"], rest[-1]["payment"], rest[-1]["response"], second["X-Puna-Reference"]):
            again = [event async for event in events_of(it, name)]
            assert again[-1] == rest[-1] and again[0] == {"state": "running", "text": "one two"}
        unknown = await it.http.get("/inference/nothing/events")
        assert unknown.status_code == 404 and unknown.json()["error"]


async def consume(chunks):
    async for _ in chunks:
        pass


async def test_a_caller_that_goes_before_its_turn_takes_the_request_back(tmp_path):
    async with house(tmp_path, Slow([b"one"]), workers=1) as it:
        await it.key()
        async with stream(it, CHAT) as (first, chunks):
            async with stream(it, CHAT) as (second, waiting):
                await anext(waiting)
            ended = [event async for event in events_of(it, second["X-Puna-Payment"])][-1]
            assert ended["state"] == "refunded" and "Cancelled" in ended["error"]
            it.engine.gate.release(2)
            assert (await consume_last(chunks))["puna"]["receipt"]


async def consume_last(chunks):
    return [chunk async for chunk in chunks][-1]


async def test_a_failure_in_the_midst_of_a_stream_is_an_error_object_and_the_money_is_back(tmp_path):
    engine = Slow([b"one"])
    async with house(tmp_path, engine) as it:
        await it.key()
        engine.generate = lambda *_: (_ for _ in ()).throw(Invalid("the engine is on fire"))
        engine.gate.release(9)
        named = {"model": it.it.network.models[0].name} | CHAT
        reply = await it.http.post("/v1/chat/completions", json=named)
        told = reply.text if reply.status_code != 200 else reply.text.split("data: ")[-1]
        error = json.loads(told)["error"]
        assert error["code"] == "overloaded" and "came back to you" in error["message"]


class Deaf:
    """A link that cannot tell what the herder did."""

    def __init__(self, link, herder):
        self._link, self._herder = link, herder

    def __getattr__(self, name):
        return getattr(self._link, name)

    async def result(self, process, message):
        if process == self._herder:
            raise NotYet("not now")
        return await self._link.result(process, message)


@pytest.mark.parametrize("trouble", [None, Invalid("context full: too much")])
async def test_an_end_whose_news_were_missed_is_looked_up_in_the_log(tmp_path, trouble):
    engine = Slow([b"one", b" two"], open=True)
    async with house(tmp_path, engine) as it:
        await it.key()
        it.desk._link = Deaf(it.desk._link, it.it.network.herder)
        if trouble:
            engine.generate = lambda *_: (_ for _ in ()).throw(trouble)
        named = {"model": it.it.network.models[0].name} | CHAT | {"stream": False}
        reply = await it.http.post("/v1/chat/completions", json=named)
        if trouble:
            assert reply.status_code == 400 and reply.json()["error"]["code"] == "context_length_exceeded"
        else:
            assert reply.json()["choices"][0]["message"]["content"] == "one two"
