"""Questions to units elsewhere, over HTTP. Called by the remote links of units that run alone.

Routers in front of schedulers and compute units answer with the place to ask instead. Whoever asks follows, and sends
the same again, body and all, whichever of the four statuses says so. Source: protocol reference 3.1, 3.8, 4.9.
"""

from typing import Any

import aiohttp
from yarl import URL

from puna.errors import NotYet

REDIRECTS = frozenset({301, 302, 307, 308})
HOPS_MAX = 5


async def exchange(web: aiohttp.ClientSession, method: str, url: str, **options: Any) -> tuple[int, bytes]:
    """A reply's status and body, redirects followed. Raises what aiohttp raises, NotYet when they do not end."""
    params = options.pop("params", None)
    at = URL(url).update_query(params) if params else URL(url)
    for _ in range(HOPS_MAX + 1):
        async with web.request(method, at, allow_redirects=False, **options) as reply:
            body, elsewhere = await reply.read(), reply.headers.get("Location")
        if reply.status not in REDIRECTS or not elsewhere:
            return reply.status, body
        at = at.join(URL(elsewhere))
    raise NotYet(f"{URL(url).authority} sends us on and on, at last to {at}", "It is asked again.")


async def ask(web: aiohttp.ClientSession, method: str, url: str, **options: Any) -> tuple[int, bytes]:
    """As `exchange`. Raises NotYet when nobody answers, or only with a 5xx."""
    try:
        status, body = await exchange(web, method, url, **options)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise NotYet(f"{url.split('/')[2]} does not answer ({type(error).__name__})", "It is asked again.") from error
    if status >= 500:
        raise NotYet(f"{url.split('/')[2]} answers {status}: {body[:200].decode(errors='replace')}")
    return status, body
