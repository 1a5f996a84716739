"""Many prompts at once; the server runs them together: python examples/batch.py [MODEL]"""

import sys

import arriero

model = sys.argv[1] if len(sys.argv) > 1 else "demo"
countries = ["France", "Peru", "Japan", "Italy", "Kenya", "Norway", "Egypt", "Chile"]
prompts = [f"What is the capital of {country}?" for country in countries]

with arriero.Client(model=model) as client:
    answers = client.batch(prompts, concurrency=8, options={"temperature": 0})

for country, answer in zip(countries, answers, strict=True):
    print(f"{country:>8}: {answer.text}")
