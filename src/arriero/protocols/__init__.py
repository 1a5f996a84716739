"""Wire formats: bytes to core requests, core events to bytes. Pure: no clock, network or model; imports only core."""
