"""What an engine does for published ports: takes connections on one address and passes them on to containers.

    publish.py LISTEN_ADDRESS SOURCE_ADDRESS PORT:TARGET_ADDRESS...

Connections to the target come from SOURCE_ADDRESS, as those of an engine come from the network's gateway.
Says "ready" when it listens, and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import sys


async def main(listen: str, source: str, targets: list[tuple[int, str]]) -> None:
    for port, target in targets:

        async def serve(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int = port, target: str = target
        ) -> None:
            there_reader, there_writer = await asyncio.open_connection(target, port, local_addr=(source, 0))
            await asyncio.gather(pump(reader, there_writer), pump(there_reader, writer))

        await asyncio.start_server(serve, listen, port)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass  # one side has gone: the other is told below
    writer.close()


if __name__ == "__main__":
    pairs = [word.partition(":") for word in sys.argv[3:]]
    asyncio.run(main(sys.argv[1], sys.argv[2], [(int(port), target) for port, _, target in pairs]))
