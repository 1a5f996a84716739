"""Two streams side by side in one event loop: python examples/async_client.py [MODEL]"""

import asyncio
import sys

import arriero

model = sys.argv[1] if len(sys.argv) > 1 else "demo"


async def answer(client: arriero.AsyncClient, prompt: str) -> str:
    """Collect a streamed answer."""
    return "".join([chunk.text async for chunk in client.stream(prompt)])


async def main() -> None:
    """Ask both at once."""
    async with arriero.AsyncClient(model=model) as client:
        print(*await asyncio.gather(answer(client, "Hello!"), answer(client, "Good night!")), sep="\n")


asyncio.run(main())
