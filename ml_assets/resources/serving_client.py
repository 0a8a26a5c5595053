"""A client of our own server, for traffic that is replayed. What is sent, and when, is in `ml_assets.traffic`."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_assets.core.errors import MLAssetsError, ServerUnreachable

if TYPE_CHECKING:
    import aiohttp

TIMEOUT_SECONDS = 30.0
SHOWN = 300


class Answered(NamedTuple):
    """What the server said.

    Args:
        status: of HTTP.
        variant: who answered; empty where nobody did.
        words: of an error, shortened.
    """

    status: int
    variant: str
    words: str


class ServingClient:
    """Three things to ask a server. Made by `connected`."""

    def __init__(self, session: "aiohttp.ClientSession", url: str) -> None:
        self._session = session
        self._url = url.rstrip("/")

    async def is_ready(self, pipeline: str) -> bool:
        """Whether it answers for a pipeline.

        Raises:
            ServerUnreachable: nobody listens there.
        """
        import aiohttp

        try:
            async with self._session.get(f"{self._url}/v2/models/{pipeline}/ready") as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError) as e:
            raise ServerUnreachable(
                f"server {self._url}", found=str(e) or type(e).__name__, expected="a server that answers",
                cure="start it with `ml-assets serve`, or name another with --url",
            ) from e  # fmt: skip

    async def predict(self, pipeline: str, fields: Mapping[str, Any], *, request_id: str) -> Answered:
        """Ask for the prediction of one row of named fields."""
        return await self._post(f"predict/{pipeline}", fields, {"X-Request-Id": request_id})

    async def deliver(self, pipeline: str, labels: Sequence[Mapping[str, Any]]) -> Answered:
        """Tell labels of requests that were answered before."""
        return await self._post(f"labels/{pipeline}", labels, {})

    async def _post(self, path: str, body: object, headers: Mapping[str, str]) -> Answered:
        import aiohttp

        content = json.dumps(body, allow_nan=False).encode()
        told = {"Content-Type": "application/json", **headers}
        try:
            async with self._session.post(f"{self._url}/{path}", data=content, headers=told) as response:
                answer = await response.read()
                words = "" if response.status < 400 else answer[:SHOWN].decode(errors="replace")
                return Answered(response.status, response.headers.get("X-Variant", ""), words)
        except (aiohttp.ClientError, TimeoutError) as e:
            return Answered(0, "", str(e) or type(e).__name__)


@asynccontextmanager
async def connected(url: str, *, connections: int) -> AsyncIterator[ServingClient]:
    """A client with so many connections at most.

    Raises:
        MLAssetsError: the HTTP client is not installed.
    """
    try:
        import aiohttp
    except ImportError as e:
        raise MLAssetsError(
            "replay of traffic", found="no aiohttp", expected="the extra ml-assets[http]",
            cure="pip install 'ml-assets[http]'",
        ) from e  # fmt: skip
    connector = aiohttp.TCPConnector(limit=connections)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield ServingClient(session, url)
