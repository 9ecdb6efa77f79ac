"""A compute unit on another machine, as a messenger that runs alone needs it. Source: protocol reference 4.2 to 4.5."""

from collections.abc import Mapping
from typing import Any

import aiohttp
import msgspec

from puna.errors import Invalid, Missing, NotYet

from ..foreign import ask
from ..message import ProcessId
from ..result import Result


class RemoteCompute:
    """`url` without a trailing slash. The marks of crons are the unit's own cursors."""

    def __init__(self, url: str, web: aiohttp.ClientSession):
        self._url, self._web = url, web

    async def result(self, process: ProcessId, item_id: str) -> Result:
        query = {"process-id": process, "no-busy": "1"}
        return Result.from_json(await self._json("GET", f"/result/{item_id}", params=query))

    async def preview(self, process: ProcessId, body: Mapping[str, Any], to: str | None = None) -> Result:
        headers = {"Content-Type": "application/json"}
        content = msgspec.json.encode(body)
        query = {"process-id": process} | ({"to": to} if to else {})
        return Result.from_json(await self._json("POST", "/dry-run", params=query, data=content, headers=headers))

    async def cron_mark(self, process: ProcessId) -> str:
        page = await self._json("GET", f"/results/{process}", params={"sort": "DESC", "limit": "1"})
        return page["edges"][0]["cursor"] if page["edges"] else ""

    async def cron_page(self, process: ProcessId, after: str, limit: int) -> list[tuple[str, Result]]:
        query = {"limit": str(limit)} | ({"from": after} if after else {})
        page = await self._json("GET", f"/cron/{process}", params=query)
        return [(edge["cursor"], Result.from_json(edge["node"])) for edge in page["edges"]]

    async def _json(self, method: str, path: str, **options: Any) -> Any:
        status, body = await ask(self._web, method, self._url + path, **options)
        try:
            answer = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise NotYet(f"the compute unit answers no JSON: {error}") from error
        if status == 404:
            raise Missing(str(answer.get("error", "")))
        if status >= 400:
            raise Invalid(str(answer.get("error", "")))
        return answer
