"""What answers each route: decode, call the service, encode. An API or a theme a file; asgi.py lists the paths."""
