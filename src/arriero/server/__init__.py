"""HTTP: routes decode, call the service, encode. Thin; knows no model, worker or file."""
