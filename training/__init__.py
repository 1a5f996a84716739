"""How the demo model was made: data, tokenizer, training, export and scores. Not part of the wheel."""
