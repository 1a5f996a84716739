"""The official openai package, unchanged, against arriero: python examples/openai_sdk.py [MODEL]"""

import os
import sys

from openai import OpenAI

model = sys.argv[1] if len(sys.argv) > 1 else "demo"
client = OpenAI(base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:11434/v1"), api_key="unused")

stream = client.chat.completions.create(
    model=model, messages=[{"role": "user", "content": "Hello! Who are you?"}], stream=True
)
for chunk in stream:
    print(chunk.choices[0].delta.content or "", end="", flush=True)
print()
