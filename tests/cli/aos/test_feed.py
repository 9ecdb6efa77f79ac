"""The feed by itself, on a real node: woken by events, or asking by cursor where there are none."""

import asyncio

import pytest
from cli.aos.pseudo import Terminal
from cli.conftest import puna

from puna.cli.aos.feed import Feed
from puna.cli.aos.net import Doors, Net
from puna.cli.aos.present import plain, shown
from puna.cli.aos.processes import Found
from puna.cli.aos.session import Broke, Heard


@pytest.mark.parametrize("gateway", [True, False])
async def test_what_others_cause_is_heard_once_and_in_order_with_events_and_without(up, gateway):
    async def run(*words: object):
        return (await asyncio.to_thread(puna, *words, "--json", home=up.home)).json()

    process = (await run("aos", f"heard {gateway}", "--run", "print('not news')"))["process"]
    doors = Doors(up.places["gateway"] if gateway else "", up.places["mu"], up.places["su"], up.places["cu"])
    heard: asyncio.Queue = asyncio.Queue()
    async with Net(doors) as net:
        feed = Feed(net, Found(process, ()), heard.put_nowait)
        await feed.begin()
        following = asyncio.create_task(feed.follow())
        for winston in (1, 2):
            await run("wallet", "send", process, winston)
        news = []
        while len(news) < 2:
            event = await heard.get()
            if isinstance(event, Heard) and shown(event.result.output).news:
                news.append(plain(event.result.output["prompt"]))
        following.cancel()
        assert ["[Inbox:2]" in news[0], "[Inbox:3]" in news[1]] == [True, True]


async def test_a_failure_is_heard_from_the_events(up):
    def run(code: str):
        return puna("aos", "fails", "--run", code, "--json", home=up.home).json()

    process = (await asyncio.to_thread(run, "Handlers.add('Boom', 'Boom', function() error('in a handler') end)"))[
        "process"
    ]
    doors = Doors(up.places["gateway"], up.places["mu"], up.places["su"], up.places["cu"])
    heard: asyncio.Queue = asyncio.Queue()
    async with Net(doors) as net:
        feed = Feed(net, Found(process, ()), heard.put_nowait)
        await feed.begin()
        following = asyncio.create_task(feed.follow())
        await heard.get()  # it listens
        await asyncio.to_thread(run, "Send({ Target = ao.id, Action = 'Boom' })")
        while not isinstance(event := await heard.get(), Broke):
            pass
        following.cancel()
        assert "in a handler" in event.error and len(event.message) == 43


def test_the_crons_of_a_process_are_heard_while_somebody_looks(up):
    with Terminal("aos", "clock", "--cron", "1-second", home=up.home) as person:
        person.sees("]>")
        person.enters("Ticks = 0; Handlers.add('Cron', 'Cron', function() Ticks = Ticks + 1 print('t' .. 'ick') end)")
        person.sees("tick")
        person.sees("tick")
        assert person.enters(".exit").ends() == 0
