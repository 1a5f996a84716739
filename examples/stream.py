"""An answer printed while the model writes it, then its figures: python examples/stream.py [MODEL]"""

import sys

import arriero

model = sys.argv[1] if len(sys.argv) > 1 else "demo"

with arriero.Client(model=model) as client, client.stream("Tell me a story.", options={"num_predict": 200}) as stream:
    for chunk in stream:
        print(chunk.text, end="", flush=True)
    usage = stream.answer.usage

print(f"\n\n{usage.completion_tokens} tokens in {usage.total_ns / 1e9:.2f} s")
