"""The official anthropic package, unchanged, with a tool there and back: python examples/anthropic_sdk.py [MODEL]"""

import os
import sys

from anthropic import Anthropic

model = sys.argv[1] if len(sys.argv) > 1 else "demo"
client = Anthropic(base_url=os.environ.get("ANTHROPIC_BASE_URL", "http://127.0.0.1:11434"), api_key="unused")
tools = [
    {
        "name": "get_weather",
        "description": "Get the weather of a city.",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    }
]
messages = [{"role": "user", "content": "What is the weather in Lima?"}]

message = client.messages.create(
    model=model, max_tokens=200, tools=tools, tool_choice={"type": "any"}, messages=messages
)
call = next(block for block in message.content if block.type == "tool_use")
print(f"{call.name}({call.input})")

result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny, 21 degrees"}
messages += [{"role": "assistant", "content": message.content}, {"role": "user", "content": [result]}]
with client.messages.stream(model=model, max_tokens=200, tools=tools, messages=messages) as stream:
    for text in stream.text_stream:
        print(text, end="", flush=True)
print()
