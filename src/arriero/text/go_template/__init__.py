"""Go's text/template, as Ollama's models use it: lexer, parser, values, functions, execution. It knows no messages.

`parser` and what it imports may be used anywhere; `execution` also imports the limits that Jinja templates run under.
"""
