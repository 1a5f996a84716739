"""Models on disk: names, headers, and where the files are. Knows no request and loads no weights."""
