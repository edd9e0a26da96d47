"""People and a Prometheus that look on: python -m controlplane.bench.response.busy.watcher URL TOKEN STREAMS

So many connections follow the records as server-sent events, and one scrapes the metrics each second. Ends at the end
of stdin and tells then, as one line of JSON, what came.
"""

import asyncio
import re
import sys
import time
from typing import Final
from urllib.parse import urlsplit

import msgspec

SCRAPE_EVERY_S: Final = 1.0
BUFFER_BYTES_MAX: Final = 16 << 20
ID: Final = re.compile(rb"^id: (\d+)$", re.MULTILINE)  # between the sizes of chunks, which are looked over


class Watched(msgspec.Struct):
    """Events of all streams, and those that are missing between the first and the last that a stream was told of;
    scrapes, and how long the slowest took."""

    streams: int = 0
    events: int = 0
    missing: int = 0
    scrapes: int = 0
    scrape_bytes: int = 0
    slowest_scrape_ms: float = 0.0


class Watcher:
    """Everybody who looks on."""

    def __init__(self, host: str, port: int, token: str, streams: int) -> None:
        self._host, self._port, self._token = host, port, token
        self.numbers: list[list[int]] = [[] for _ in range(streams)]
        self._opened, self._all_opened = 0, asyncio.Event()
        self.watched = Watched(streams=streams)

    async def run(self) -> None:
        """Look on until stdin ends."""
        async with asyncio.TaskGroup() as tasks:
            looking = [tasks.create_task(self._follow(number)) for number in range(len(self.numbers))]
            looking.append(tasks.create_task(self._scrape()))
            await self._all_opened.wait()
            print("ready", flush=True)
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
            for one in looking:
                one.cancel()
        self.watched.events = sum(map(len, self.numbers))
        told = [numbers for numbers in self.numbers if numbers]
        self.watched.missing = sum(numbers[-1] - numbers[0] + 1 - len(numbers) for numbers in told)
        print(msgspec.json.encode(self.watched).decode(), flush=True)

    async def _get(self, path: str, *, close: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(self._host, self._port, limit=BUFFER_BYTES_MAX)
        head = (
            f"GET {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nAuthorization: Bearer {self._token}\r\n"
            f"{'Connection: close' if close else 'Accept: text/event-stream'}\r\n\r\n"
        )
        writer.write(head.encode())
        status = await reader.readuntil(b"\r\n")
        if b" 200 " not in status:
            raise RuntimeError(f"{path}: {status.decode('latin-1').strip()}")
        await reader.readuntil(b"\r\n\r\n")
        return reader, writer

    async def _follow(self, number: int) -> None:
        reader, writer = await self._get("/v1/events", close=False)
        try:
            await reader.readuntil(b"\n\n")  # the comment that a stream begins with
            self._opened += 1
            if self._opened == len(self.numbers):
                self._all_opened.set()
            while True:
                event = await reader.readuntil(b"\n\n")
                if (found := ID.search(event)) is not None:
                    self.numbers[number].append(int(found[1]))
        finally:
            writer.close()

    async def _scrape(self) -> None:
        while True:
            began = time.monotonic()
            reader, writer = await self._get("/metrics", close=True)
            size = len(await reader.read())
            writer.close()
            took_s = time.monotonic() - began
            self.watched.scrapes += 1
            self.watched.scrape_bytes = max(self.watched.scrape_bytes, size)
            self.watched.slowest_scrape_ms = max(self.watched.slowest_scrape_ms, took_s * 1e3)
            await asyncio.sleep(max(0.0, SCRAPE_EVERY_S - took_s))


async def main(url: str, token: str, streams: int) -> None:
    """Look on at `url`."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    await Watcher(parts.hostname, parts.port, token, streams).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
