"""OpenAI's chat, completion, embedding and batch formats."""
