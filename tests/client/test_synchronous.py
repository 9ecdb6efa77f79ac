"""The client without an event loop: the same words, waited for."""

import asyncio
import inspect
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from ao.fakes import ALICE, BOB
from client.village import doors_of

from puna.client import AsyncClient, Client, Evaluated, Invalid, Missing, NotYet, connect


@pytest.fixture
async def far(place):
    """Runs a story in a thread, for the village lives in the loop of the test."""
    async with doors_of(place) as urls:

        async def tell(story, **options):
            return await asyncio.to_thread(story, lambda: connect(urls["gateway"], wallet=ALICE, **options))

        yield tell


def test_every_word_of_the_one_is_a_word_of_the_other():
    def words(kind):
        return {
            name: list(inspect.signature(value).parameters.items())[1:]
            for name, value in vars(kind).items()
            if not name.startswith("_") and name not in ("aclose", "close") and inspect.isfunction(value)
        }

    assert words(Client) == words(AsyncClient) and len(words(Client)) > 20
    for name in words(Client):
        assert getattr(Client, name).__doc__


async def test_a_client_sends_waits_and_reads_in_plain_code(far):
    def story(open_it):
        with open_it() as ao:
            process = ao.spawn(tags={"Name": "Counter"})
            message = ao.message(process, data='[["set","x",7],["get","x"]]')
            assert ao.result(process, message).output == "7"
            assert ao.data(ao.upload("hello")) == b"hello"
            assert ao.network.module and ao.address == ALICE.address == ao.wallet.address
            with pytest.raises(Missing):
                ao.message("A" * 43)

    await far(story)


async def test_news_are_an_iterator(far):
    def story(open_it):
        with open_it() as ao:
            process = ao.spawn()
            message = ao.message(process, data='[["get","x"]]')
            assert [event.kind for event in ao.events(message)][-1] == "finished"
            with ao.watch(process) as news:
                message = ao.message(process, data='[["get","x"]]')
                assert any(isinstance(event, Evaluated) and event.message == message for event in news)
            with ao.inbox() as inbox:
                with pytest.raises(NotYet):
                    inbox.get(timeout_s=0.01)
                ao.message(process, data=f'[["send","{BOB.address}",{{}},"no"],["send","{ao.address}",{{}},"yes"]]')
                assert inbox.get(30).text == "yes"

    await far(story)


async def test_many_threads_share_a_client(far):
    def story(open_it):
        with open_it() as ao, ThreadPoolExecutor(8) as threads:
            process = ao.spawn()
            results = threads.map(lambda n: ao.send(process, data=f'[["set","x",{n}],["get","x"]]').output, range(16))
            assert list(results) == [str(n) for n in range(16)]
            assert [place.nonce for place in ao.schedule(process)] == list(range(17))

    await far(story)


async def test_a_client_is_closed_once_and_leaves_no_thread(far):
    def story(open_it):
        ao = open_it().open()
        process = ao.spawn()
        listener = ao.inbox().__enter__()
        ao.close()
        ao.close()
        with pytest.raises(Invalid, match="closed"):
            ao.result(process)
        with pytest.raises(Invalid, match="closed"):
            listener.get()
        assert not [thread for thread in threading.enumerate() if thread.name == "puna-client"]

    await far(story)


async def test_who_waits_while_another_thread_closes_the_client_is_told(far):
    def story(open_it):
        ao = open_it().open()
        inbox = ao.inbox().__enter__()
        with ThreadPoolExecutor(1) as other:
            waiting = other.submit(ao._thread.run, asyncio.Event().wait())
            listening = other.submit(list, inbox)
            ao.close()
            with pytest.raises(Invalid, match="closed"):
                waiting.result(30)
            with pytest.raises(Invalid, match="closed"):
                listening.result(30)

    await far(story)


async def test_a_client_that_could_not_be_opened_leaves_no_thread(tmp_path):
    def story():
        with pytest.raises(NotYet, match="No node runs"):
            connect(home=tmp_path).open()
        assert not [thread for thread in threading.enumerate() if thread.name == "puna-client"]

    await asyncio.to_thread(story)


async def test_a_call_from_a_clients_own_callback_is_refused_instead_of_waiting_for_ever(far):
    def story(open_it):
        with open_it() as ao:
            refused = []

            async def callback():
                try:
                    ao.spawn()
                except Invalid as error:
                    refused.append(str(error))

            ao._thread.run(callback())
            assert "from within one of its own callbacks" in refused[0]

    await far(story)


async def test_who_stops_waiting_ends_the_work_too(far):
    def story(open_it):
        with open_it() as ao:
            begun, ended = threading.Event(), threading.Event()

            async def for_ever():
                begun.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    ended.set()

            class Interrupting:
                """Stands for Ctrl-C while the result is waited for."""

                def __init__(self, future):
                    self.future = future

                def result(self):
                    assert begun.wait(30)
                    raise KeyboardInterrupt

                def cancel(self):
                    self.future.cancel()

            real = asyncio.run_coroutine_threadsafe
            asyncio.run_coroutine_threadsafe = lambda *work: Interrupting(real(*work))
            try:
                with pytest.raises(KeyboardInterrupt):
                    ao._thread.run(for_ever())
            finally:
                asyncio.run_coroutine_threadsafe = real
            assert ended.wait(30)

    await far(story)
