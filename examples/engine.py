"""A model in a worker process of this program, without a server: python examples/engine.py [FILE.gguf]"""

import sys
from importlib.resources import files

import arriero

path = sys.argv[1] if len(sys.argv) > 1 else str(files("arriero") / "demo" / "demo.gguf")

with arriero.Engine(path) as engine:
    print(engine.generate("Who are you?", options={"temperature": 0}).text)
    for chunk in engine.stream("Count to 5.", options={"num_predict": 50}):
        print(chunk.text, end="", flush=True)
    print()
