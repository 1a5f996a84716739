"""The command line: one command a file. Only this room prints, and only serve.py imports the server."""
