"""Players of Llama Land: browsers on a node's game, driven as people do, with screenshots on request.

`PUNA_SHOTS` names a folder; each step of the stories then leaves a picture there.
"""

import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from playwright.async_api import BrowserContext, Page, async_playwright
from web.browser import QUIET, chromium

DESK, PHONE = (1280, 800), (390, 844)
SECONDS = 1000
# A condition is looked at with every picture the browser draws: pages of ours allow no code made from text, which is
# what Playwright's own waiting uses.
UNTIL = """([condition, argument, most]) => new Promise((resolve, reject) => {
  const test = condition, end = performance.now() + most;
  const tests = {
    inside: () => globalThis.land?.world?.walker && !document.getElementById("welcome").open,
    standing: ([id, x, y]) => { const at = land.world.people.get(id)?.walker;
      return at && Math.hypot(at.x - x, at.y - y) < 0.1; },
    still: () => { const world = land.world; return !world.walker.isWalking && !world.moves.length; },
    line: (text) => [...document.querySelectorAll("#lines p")].some((line) => line.textContent.includes(text)),
    lines: ([text, count]) => [...document.querySelectorAll("#lines p")]
      .filter((line) => line.textContent.includes(text)).length >= count,
    richer: (than) => Number(document.getElementById("llama").textContent) > than,
    world: (name) => document.getElementById("world-name").textContent === name,
    gone: (name) => ![...land.world.people.values()].some((person) => person.name === name),
    text: ([id, text]) => document.getElementById(id).textContent.includes(text),
    quiet: () => !land.world.unsent.length,
    live: () => land.world.live?.isOpen,
    near: ([x, y]) => Math.hypot(land.world.walker.x - x, land.world.walker.y - y) < 0.1,
    renewed: (before) => land.player.session.address !== before && land.player.sessions.has(land.world.id),
    far: ([x, y]) => Math.hypot(land.world.walker.x - x, land.world.walker.y - y) > 1,
  };
  const look = () => tests[test](argument) ? resolve(true)
    : performance.now() > end ? reject(new Error(`not in time: ${test} ${JSON.stringify(argument)}; the page says: `
      + [...document.querySelectorAll("[role=alert], #play")].map((alert) => alert.textContent).join(" ")))
    : requestAnimationFrame(look);
  look();
})"""


@dataclass
class Player:
    """One player's page. `name` is what the others see."""

    name: str
    page: Page

    async def until(self, condition: str, argument=None, seconds: float = 40) -> None:
        """Wait for one of the conditions above."""
        await self.page.evaluate(UNTIL, [condition, argument, seconds * SECONDS])

    async def enter(self, gateway: str, skin: int = 0, key: str | None = None, button: str = "#play") -> None:
        """Open the game and walk in; `key` is a key file's text, otherwise the page makes one."""
        await self.page.goto(f"{gateway}/land")
        await self.page.wait_for_selector("#play:not([disabled])")
        if key is not None:
            await self.page.evaluate(
                "async (key) => void (await (await import('/web/wallet.js')).importWallet(key))", key
            )
        await self.page.fill("#name", self.name)
        await self.page.check(f'[name=skin][value="{skin}"]')
        await self.shot("welcome")
        await self.page.click(button)
        await self.until("inside", seconds=60)

    @property
    async def place(self) -> tuple[str, float, float]:
        """The player's address, and where they stand."""
        id, x, y = await self.page.evaluate("[land.world.me, land.world.walker.x, land.world.walker.y]")
        return id, x, y

    async def walk(self, *keys: str, seconds: float) -> None:
        """Hold keys down, as long as the game's own clock says."""
        await self.page.focus("#stage")
        for key in keys:
            await self.page.keyboard.down(key)
        await self.page.evaluate(
            "(ms) => new Promise((done) => { const end = performance.now() + ms;"
            " const look = () => performance.now() > end ? done() : requestAnimationFrame(look); look(); })",
            seconds * SECONDS,
        )
        for key in keys:
            await self.page.keyboard.up(key)
        await self.until("still")

    async def click(self, x: float, y: float) -> None:
        """Click on a place of the map, in tiles, and wait until one has walked there."""
        at = await self.page.evaluate(
            "([x, y]) => { const { stage } = land, size = stage.zoom() * stage.map.tile;"
            " return [stage.root.x + x * size, stage.root.y + y * size]; }",
            [x, y],
        )
        await self.page.mouse.click(*at)
        await self.until("near", [x, y])

    async def say(self, text: str) -> None:
        await self.page.focus("#stage")
        await self.page.keyboard.press("Enter")
        await self.page.keyboard.type(text)
        await self.page.keyboard.press("Enter")
        await self.page.keyboard.press("Escape")

    async def talk(self, character: str) -> None:
        """Walk up to a character, by the list of who is here, and open its form."""
        await self.page.focus("#stage")
        await self.page.keyboard.press("p")
        await self.page.get_by_role("button", name=f"Walk to {character} and talk").click()
        await self.page.wait_for_selector("#form[open]")
        await self.page.wait_for_selector("#form-words:not(:text('One moment'))")

    async def send_form(self) -> None:
        await self.page.click("#form-send")
        await self.page.wait_for_selector("#form", state="hidden")

    async def llama(self) -> float:
        return float(await self.page.inner_text("#llama"))

    async def shot(self, step: str) -> None:
        """A picture of this step, where they are wanted."""
        if folder := os.environ.get("PUNA_SHOTS"):
            width = self.page.viewport_size["width"]
            Path(folder).mkdir(parents=True, exist_ok=True)
            await self.page.screenshot(path=Path(folder) / f"{self.name.lower()}-{width}-{step}.png")


@asynccontextmanager
async def players():
    """`arrive(name, size)` opens a browser context of its own for each player; whatever a page complains of fails."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=QUIET)
        complaints: list[str] = []

        async def arrive(name: str, size: tuple[int, int] = DESK, prepare=None, **options) -> Player:
            phone = {"has_touch": True, "is_mobile": True} if size == PHONE else {}
            context: BrowserContext = await browser.new_context(
                viewport={"width": size[0], "height": size[1]}, **phone, **options
            )
            if prepare:
                await context.add_init_script(prepare)
            page = await context.new_page()
            page.on("pageerror", lambda error: complaints.append(f"{name}: {error}"))
            return Player(name, page)

        try:
            yield arrive
        finally:
            await browser.close()
        assert complaints == []


async def land_of(gateway: str) -> dict:
    """`GET /network`, once the land stands: it is raised while the node answers already."""
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{gateway}/events") as events:
            while True:
                async with session.get(f"{gateway}/network") as reply:
                    network = await reply.json()
                if network.get("land"):
                    return network
                await events.content.readline()  # the next thing that happens
