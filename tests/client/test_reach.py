"""Ways to a network, and what is said of each that leads nowhere."""

import asyncio
import json

import pytest
from ao.fakes import ALICE, MODULE, SCHEDULER
from client.village import NETWORK, doors_of, near
from starlette.requests import Request

from puna.arweave.wallet import new_ed25519_wallet, save_wallet
from puna.client import Invalid, Missing, NodeError, NotYet, connect, embedded
from puna.node.doors import open_doors
from puna.node.gateway import seen_from


async def test_a_gateway_tells_where_its_units_are(place):
    async with doors_of(place) as urls, connect(urls["gateway"] + "/", wallet=ALICE) as ao:
        assert ao.network == NETWORK
        assert (await ao.result(await ao.spawn())).error is None


async def test_units_are_enough_where_no_gateway_tells_of_a_network(place):
    async with doors_of(place, told=dict) as urls:
        units = {name: urls[name] for name in ("mu", "cu")}
        async with connect(**units, wallet=ALICE) as ao:
            with pytest.raises(Missing, match="tell of no network"):
                await ao.spawn()
            process = await ao.spawn(module=MODULE.id, scheduler=SCHEDULER.address)
            assert (await ao.send(process, data='[["set","x",1],["get","x"]]')).output == "1"
            with pytest.raises(Invalid, match="needs the scheduler unit.*su=URL"):
                await ao.schedule(process)
            with pytest.raises(Invalid, match="needs the gateway.*gateway=URL"):
                await ao.upload("x")
            with pytest.raises(Invalid, match="needs the gateway"):
                await anext(ao.events())
        async with connect(**urls, wallet=ALICE) as ao:
            with pytest.raises(Missing, match="tell of no network"):
                await ao.balance()
            assert [place.item_id for place in await ao.schedule(process)][0] == process


async def test_units_beside_a_puna_gateway_know_its_network(place):
    async with doors_of(place) as urls, connect(**urls) as ao:
        assert ao.network == NETWORK


async def test_a_url_that_is_no_puna_gateways_is_told_apart(place):
    async with doors_of(place) as urls:
        for wrong in ("mu", "su", "cu"):
            with pytest.raises(Invalid, match="no gateway of a Puna node.*connect\\(gateway=URL"):
                async with connect(urls[wrong]):
                    pass
        # A unit in another's place
        async with connect(mu=urls["mu"], cu=urls["gateway"], wallet=ALICE) as ao:
            process = await ao.spawn(module=MODULE.id, scheduler=SCHEDULER.address)
            with pytest.raises((Invalid, Missing)):
                await ao.result(process)


@pytest.mark.parametrize(
    "named, words",
    [
        ({"url": "localhost:4000"}, "url 'localhost:4000' is not a URL"),
        ({"url": ""}, "is not a URL"),
        ({"mu": "ftp://x"}, "mu 'ftp://x' is not a URL"),
        ({"mu": 4002}, "mu 4002 is not a URL"),
    ],
)
async def test_what_is_no_url_is_named(named, words):
    with pytest.raises(Invalid, match=words):
        async with connect(**named):
            pass


def test_one_network_is_named_at_a_time(tmp_path):
    with pytest.raises(Invalid, match="More than one network"):
        connect("http://localhost:4000", mu="http://localhost:4002")
    with pytest.raises(Invalid, match="More than one network"):
        connect(home=tmp_path, cu="http://localhost:4004")
    with pytest.raises(Invalid, match="leaves no time"):
        connect(timeout_s=0)


async def test_a_network_that_is_away_is_told_at_once_and_one_that_goes_away_when_it_is_asked(place):
    doors = open_doors("127.0.0.1", 0)
    doors.close()
    with pytest.raises(NotYet, match="not within reach"):
        async with connect(doors.urls["gateway"]):
            pass
    async with doors_of(place) as urls:
        ao = await connect(urls["gateway"], wallet=ALICE)
        process = await ao.spawn()
        news = await ao.events().__aenter__()
    for asked in (ao.message(process), ao.result(process), ao.item(process), ao.data(process), ao.upload("x"),
                  ao.find(), ao.schedule(process)):  # fmt: skip
        with pytest.raises(NotYet):
            await asked
    with pytest.raises(NotYet, match="stopped telling its news|not within reach"):
        async for _ in news:
            pass  # what came before the doors closed
    await ao.aclose()


async def test_a_unit_that_never_answers_is_given_up_after_the_time_that_was_set():
    async def silent(reader, writer):
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with connect(mu=url, cu=url, timeout_s=0.05, wallet=ALICE) as ao:
        with pytest.raises(NotYet, match="compute unit.*did not answer within 0.05 seconds"):
            await ao.result("A" * 43)
        with pytest.raises(NotYet, match="messenger unit.*ask for the result"):
            await ao.message("A" * 43)
    server.close()


async def test_units_that_listen_everywhere_are_named_as_they_were_reached(place):
    def asked_at(host: str) -> Request:
        return Request({"type": "http", "scheme": "http", "path": "/", "headers": [(b"host", host.encode())]})

    assert seen_from(asked_at("example.org:4000"), "http://0.0.0.0:4002") == "http://example.org:4002"
    assert seen_from(asked_at("[2001:db8::1]:4000"), "http://[::]:4002") == "http://[2001:db8::1]:4002"
    assert seen_from(asked_at("example.org:4000"), "http://10.0.0.7:4002") == "http://10.0.0.7:4002"


async def test_no_node_on_a_home_is_told_with_what_to_do(tmp_path):
    with pytest.raises(NotYet, match=f"No node runs on {tmp_path}.*puna up.*embedded"):
        async with connect(home=tmp_path / "home"):
            pass
    assert not (tmp_path / "home").exists()


async def test_a_bad_wallet_is_told_before_anything_is_started(tmp_path):
    (tmp_path / "odd.json").write_text("{}")
    public = {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43}
    for wallet, words in (
        (tmp_path / "none.json", "There is no wallet file"),
        (str(tmp_path / "odd.json"), "is not a wallet"),
        (public, "private key is needed"),
        ({"kty": object()}, "no JSON Web Key"),
        (b"secret", "A wallet is not a bytes"),
    ):
        with pytest.raises(NodeError, match=words) as caught:
            async with embedded(tmp_path / "home", wallet=wallet):
                pass
        assert "secret" not in str(caught.value)
    assert not (tmp_path / "home").exists()


async def test_a_wallet_is_a_wallet_a_path_or_a_key(place, tmp_path):
    wallet = new_ed25519_wallet()
    save_wallet(wallet, tmp_path / "wallet.json")
    jwk = json.loads((tmp_path / "wallet.json").read_text())
    async with doors_of(place) as urls:
        for given in (wallet, tmp_path / "wallet.json", str(tmp_path / "wallet.json"), jwk):
            async with connect(urls["gateway"], wallet=given) as ao:
                assert ao.address == wallet.address


async def test_a_connection_is_opened_once(place):
    async with doors_of(place) as urls:
        connection = connect(urls["gateway"])
        async with connection:
            pass
        with pytest.raises(Invalid, match="opened already"):
            async with connection:
                pass


async def test_an_ethereum_wallet_goes_by_its_native_address(place):
    from puna.arweave.ids import b64url_encode
    from puna.arweave.wallet import wallet_from_jwk

    key = wallet_from_jwk({"kty": "EC", "crv": "secp256k1", "d": b64url_encode(b"\x11" * 32)})
    async with near(place, wallet=key) as ao:
        process = await ao.spawn()
        assert ao.address.startswith("0x") and (await ao.item(process)).owner == ao.address
