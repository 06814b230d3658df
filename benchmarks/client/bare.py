"""The least a Python client can do: a bare uvloop protocol that stamps every chunk and understands none.

python benchmarks/client/bare.py PORT STREAMS REQUESTS OUTPUT_LEN    # prints tokens/s
"""

import asyncio
import json
import sys
from array import array
from time import perf_counter_ns

import uvloop

HEAD = "POST /v1/chat/completions HTTP/1.1\r\nHost: mock\r\nContent-Type: application/json\r\nContent-Length: "


class Stamping(asyncio.Protocol):
    def __init__(self, request: bytes, number: int, over: asyncio.Future) -> None:
        self.request, self.left, self.over, self.stamps = request, number, over, array("q")

    def connection_made(self, transport) -> None:
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.stamps.append(perf_counter_ns())
        if data.endswith(b"0\r\n\r\n"):
            self.left -= 1
            if self.left:
                self.transport.write(self.request)
            else:
                self.over.set_result(None)


async def main(port: int, streams: int, requests: int, output_len: int) -> None:
    body = json.dumps({"model": "mock", "max_tokens": output_len, "messages": [], "stream": True})
    request = f"{HEAD}{len(body)}\r\n\r\n{body}".encode()
    loop = asyncio.get_running_loop()
    over = [loop.create_future() for _ in range(streams)]
    began = perf_counter_ns()
    for each in over:
        await loop.create_connection(lambda e=each: Stamping(request, requests // streams, e), "127.0.0.1", port)
    await asyncio.gather(*over)
    print(requests * output_len / (perf_counter_ns() - began) * 1e9)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(*map(int, sys.argv[1:])))
