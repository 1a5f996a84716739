"""Makes calls of what models write: tolerant reading, tool names, schemas, repeats. Pure; linear in the text.

A ladder, each step only where the one before did not do: parse, tolerant reading, the nearest tool name, coercion to
the tool's schema. What is valid is never changed, and what cannot be made a call is refused, never guessed.
"""

from arriero.text.tool_calls.repair.ladder import MODES, Repairer

__all__ = ["MODES", "Repairer"]
