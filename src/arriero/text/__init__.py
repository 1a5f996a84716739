"""Text in and out of a model: chat templates, safe streaming, tool calls, thinking. No model, no numpy."""
