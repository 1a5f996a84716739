"""Who can answer a request: a worker process of our own. Knows no HTTP route and no protocol."""
