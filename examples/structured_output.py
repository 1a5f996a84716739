"""An answer held to a JSON schema while it is drawn: python examples/structured_output.py [MODEL]"""

import os
import sys

from openai import OpenAI
from pydantic import BaseModel


class Person(BaseModel):
    """What the answer must hold."""

    name: str
    age: int


model = sys.argv[1] if len(sys.argv) > 1 else "demo"
client = OpenAI(base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:11434/v1"), api_key="unused")

reply = client.chat.completions.parse(
    model=model,
    messages=[{"role": "user", "content": "Write JSON: the name is Tomas, the age is 31."}],
    response_format=Person,
    temperature=0,
    max_tokens=100,
)
person = reply.choices[0].message.parsed
assert person is not None  # a cut answer raises; OpenAI's own models may refuse
print(f"{person.name} is {person.age}")
