"""A conversation through arriero's own client: python examples/client_chat.py [MODEL]"""

import sys

import arriero

model = sys.argv[1] if len(sys.argv) > 1 else "demo"
questions = ["Hello! My name is Tomas.", "What is my name?"]

with arriero.Client(model=model) as client:  # the server at OLLAMA_HOST, or 127.0.0.1:11434
    messages = []
    for question in questions:
        messages.append({"role": "user", "content": question})
        answer = client.chat(messages, options={"temperature": 0})
        messages.append({"role": "assistant", "content": answer.text})
        print(f"> {question}\n{answer.text}")
