"""OpenAI's Responses format, decoded into the chat request it comes down to."""
