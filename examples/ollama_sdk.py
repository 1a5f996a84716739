"""The official ollama package, unchanged, against arriero: python examples/ollama_sdk.py [MODEL]"""

import sys

import ollama

model = sys.argv[1] if len(sys.argv) > 1 else "demo"

for part in ollama.chat(model, [{"role": "user", "content": "Hello! Who are you?"}], stream=True):
    print(part.message.content, end="", flush=True)
print()
