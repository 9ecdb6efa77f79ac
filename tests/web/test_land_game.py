"""Llama Land as people play it: Chromium on a real node, two browsers that know nothing of each other."""

import asyncio
import json

import aiohttp
import pytest
from web.players import PHONE, land_of, players

from puna.arweave.wallet import new_ed25519_wallet


def key_file() -> str:
    """A new key, as the game saves one."""
    return json.dumps(new_ed25519_wallet().to_jwk())


@pytest.fixture
async def town(node):
    """The gateway of a node whose land stands."""
    gateway = node.places["gateway"]
    await asyncio.wait_for(land_of(gateway), 120)
    return gateway


async def coins(node, gateway: str, address: str) -> int:
    """What an account has, in the coin's units, as the chain says."""
    coin = (await land_of(gateway))["land"]["coin"]
    body = {"Owner": address, "Tags": [{"name": "Action", "value": "Balance"}, {"name": "Recipient", "value": address}]}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{node.places['cu']}/dry-run?process-id={coin}", json=body) as reply,
    ):
        (answer,) = (await reply.json())["Messages"]
        return int(answer["Data"])


WATCH = """(id) => {
  const bubble = land.stage.actors.get(id).bubble;
  globalThis.streamed = [];
  new MutationObserver(() => bubble.classList.contains("open") && streamed.push(bubble.textContent))
    .observe(bubble, { childList: true, characterData: true, subtree: true, attributes: true });
}"""


async def test_two_players_meet_and_one_hears_a_joke_and_is_paid_for_a_petition(node, town):
    async with players() as arrive:
        ana, beto = await arrive("Ana"), await arrive("Beto", PHONE)
        await asyncio.gather(ana.enter(town, skin=3), beto.enter(town, skin=7, key=key_file()))
        await ana.shot("arrived")
        await beto.shot("arrived")

        await asyncio.gather(ana.until("live"), beto.until("live"))

        # They see each other walk: one by keys, the other by a tap.
        await ana.walk("ArrowRight", "ArrowDown", seconds=0.7)
        await beto.until("standing", list(await ana.place))
        before = await beto.place
        await beto.page.touchscreen.tap(120, 560)
        await beto.until("far", list(before[1:]))
        await beto.until("still")
        await ana.until("standing", list(await beto.place))
        await beto.shot("walked")

        # They talk; what is typed is text.
        await ana.say("Hello <b>Beto</b> & co")
        await beto.until("line", "Hello")
        assert await beto.page.locator("#lines p", has_text="Hello").locator("*").all_inner_texts() == ["Ana"]
        await beto.page.fill("#line", "¡Hola, Ana!")
        await beto.page.tap("#say button")
        await ana.until("line", "¡Hola, Ana!")
        await ana.shot("talked")
        await beto.shot("talked")

        # A first gift, and a joke about cats whose words come one by one.
        await ana.talk("Llama Giver")
        await ana.shot("giver")
        await ana.send_form()
        await ana.until("richer", 4)
        await ana.talk("Llama Joker")
        await ana.page.fill("[name=X-JokeTopic]", "cats")
        await ana.shot("joker")
        joker = (await land_of(town))["land"]["joker"]
        await ana.page.evaluate(WATCH, joker)
        before = await ana.page.locator("#lines p", has_text="Llama Joker").count()
        await ana.send_form()
        await ana.until("lines", ["Llama Joker", before + 2])
        joke = (await ana.page.locator("#lines p", has_text="Llama Joker").last.inner_text()).partition(": ")[2]
        await ana.shot("joke")
        heard = [text for text in await ana.page.evaluate("streamed") if joke.startswith(text.strip()) and text.strip()]
        # Its first word, and the rest in as many pieces as the engine is slow.
        assert len(set(heard)) > 1 and heard == sorted(heard, key=len), "the joke came at once"
        await beto.until("line", joke)

        # The King grades a petition and the Banker pays.
        await ana.until("richer", 1.5)  # greeting the Joker was a quest
        had = await ana.llama()
        await ana.talk("Llama King")
        await ana.page.fill("[name=X-Petition]", "Please repair the bridge in the meadow: the young ones get wet feet.")
        await ana.shot("petition")
        await ana.send_form()
        await ana.until("line", "Attention Ana, witness my response to your petition:")
        await ana.until("line", " LLAMA for Ana.")
        await ana.until("richer", had)
        await ana.shot("paid")
        units = await coins(node, town, (await ana.place)[0])
        await ana.until("richer", units / 10**12 - 1e-3)  # a quest may have been paid in the same moment
        assert float(await ana.page.inner_text("#llama")) == pytest.approx(units / 10**12, abs=1e-3)

        # The second one on the same day is refused kindly, and costs nothing. She still stands before him.
        await ana.page.focus("#stage")
        await ana.page.keyboard.press("e")
        await ana.page.wait_for_selector("#form-words:not(:text('One moment'))")
        assert "I have heard you today." in await ana.page.inner_text("#form-words")
        assert not await ana.page.is_visible("#form-send")
        await ana.shot("tomorrow")
        await ana.page.click("#form-close")
        assert await coins(node, town, (await ana.place)[0]) >= units

        # Who closes the page is gone for the others.
        await beto.page.goto("about:blank")
        await ana.until("gone", "Beto")


async def test_the_way_to_the_meadow_and_back(town):
    async with players() as arrive:
        ciro = await arrive("Ciro")
        await ciro.enter(town, skin=5, key=key_file())
        await ciro.click(32, 20.5)
        await ciro.click(38, 20.5)
        for key, name in (("KeyD", "Llama Meadow"), ("KeyA", "Llama Town")):
            await ciro.page.keyboard.down(key)
            await ciro.until("world", name)
            await ciro.page.keyboard.up(key)
            await ciro.until("still")
            await ciro.shot(name.split()[1].lower())
        assert (await ciro.page.evaluate("location.hash")).startswith("#/world/")


async def test_a_lost_connection_is_told_and_no_typed_line_is_lost(town):
    async with players() as arrive:
        dora, eva = await arrive("Dora"), await arrive("Eva")
        # Eva's build may not carry aoconnect: the page sends what it signs by itself.
        await eva.page.route("**/vendor/aoconnect.js", lambda route: route.fulfill(status=404))
        await asyncio.gather(dora.enter(town, key=key_file()), eva.enter(town, key=key_file()))
        await eva.say("I am here")
        await dora.until("line", "I am here")
        await dora.page.context.set_offline(True)
        await dora.say("Can you hear me?")
        await dora.until("text", ["connection", "The connection is lost"])
        await dora.until("text", ["unsent", "Can you hear me?"])
        await dora.shot("offline")
        await dora.page.context.set_offline(False)
        await eva.until("line", "Can you hear me?")
        await dora.until("quiet")
        await dora.page.wait_for_selector("#connection", state="hidden")
        said = await eva.page.evaluate(
            "[...land.world.lines.values()].filter((line) => line.AuthorName === 'Dora').length"
        )
        assert said == 1, "the line was said twice"


# A wallet extension that signs with a key of its own, or refuses, as its user says: `window.says`.
EXTENSION = """
  window.says = { connect: true, sign: true };
  window.asked = [];
  const wallet = async () => window.own ??= await (async () => {
    const { ed25519Wallet } = await import("/web/wallet.js");
    return ed25519Wallet(crypto.getRandomValues(new Uint8Array(32)));
  })();
  window.arweaveWallet = {
    async connect() { if (!window.says.connect) throw new Error("User cancelled the AuthRequest"); },
    async getActiveAddress() { return (await wallet()).address; },
    async signDataItem(item) {
      if (!window.says.sign) throw new Error("User rejected the signature");
      window.asked.push(item.tags.find((tag) => tag.name === "Action").value);
      return (await wallet()).signDataItem(item);
    },
  };
"""


async def test_a_wallet_extension_signs_once_to_walk_and_its_refusals_are_taken_kindly(town):
    async with players() as arrive:
        finn = await arrive("Finn", prepare=EXTENSION)
        page = finn.page
        await page.goto(f"{town}/land")
        await page.wait_for_selector("#play-extension:not([disabled])")
        await page.fill("#name", "Finn")
        kind = "Your wallet did not sign, so nothing was sent."
        for refusal in ("connect", "sign"):
            await page.evaluate("(what) => { says = { connect: true, sign: true, [what]: false }; }", refusal)
            await page.click("#play-extension")
            await finn.until("text", ["welcome-trouble", kind])
            assert await page.is_visible("#welcome")
        await finn.shot("refused")
        await page.evaluate("says = { connect: true, sign: true }")
        await page.click("#play-extension")
        await finn.until("inside")
        await finn.walk("ArrowLeft", seconds=0.3)
        await finn.say("I walk")
        await finn.until("line", "I walk")
        assert await page.evaluate("asked") == ["Reality.Session"], "walking and talking are the session key's"
        # A payment is the wallet's: it is asked, and may say no.
        await finn.talk("Llama Giver")
        await page.evaluate("says.sign = false")
        await page.click("#form-send")
        await finn.until("text", ["form-trouble", kind])
        await finn.shot("refused-payment")
        await page.evaluate("says.sign = true")
        await finn.send_form()
        await finn.until("richer", 4)


async def test_bad_beginnings_are_told_in_plain_words(town):
    async with players() as arrive:
        gil = await arrive("Gil", PHONE, reduced_motion="reduce")
        page = gil.page
        await page.goto(f"{town}/land")
        await page.wait_for_selector("#play:not([disabled])")
        await page.fill("#name", "ñandú ñandú ñandú")  # fits in letters, not in bytes
        await page.click("#play")
        await gil.until("text", ["welcome-trouble", "too long"])
        refused = "async (key) => (await import('/web/wallet.js')).importWallet(key).catch((error) => error.message)"
        for file, word in (("no json", "JSON"), ('{"kty":"EC"}', "private key"),
                           ('{"kty":"RSA","n":"AQAB","d":"AQAB"}', "4096")):  # fmt: skip
            assert word in await page.evaluate(refused, file)
        # The name of a character is taken: the world says so, and one chooses another.
        await page.evaluate(
            "async (key) => void (await (await import('/web/wallet.js')).importWallet(key))", key_file()
        )
        await page.fill("#name", "Llama Kıng")
        await page.click("#play")
        await gil.until("text", ["welcome-trouble", "belongs to somebody else"])
        await page.fill("#name", "Gil")
        await page.click("#play")
        await gil.until("inside")
        assert await page.evaluate("land.stage.phases.length") == 1, "the water lies still for who wants calm"
        await gil.shot("calm")


async def test_one_wallet_in_two_browsers_stays_one_player(town):
    async with players() as arrive:
        hana, twin = await arrive("Hana"), await arrive("Hana")
        key = key_file()
        await hana.enter(town, key=key)
        await twin.enter(town, key=key)
        before = await hana.page.evaluate("land.player.session.address")
        await hana.say("said by a key whose session has ended")
        await hana.until("renewed", before)
        await hana.say("said by the wallet")
        await hana.until("line", "said by the wallet")
        said = "[...land.world.lines.values()].findLast((line) => line.Content === 'said by the wallet').AuthorId"
        assert await hana.page.evaluate(said) == (await hana.place)[0] == (await twin.place)[0]
