"""Token ids in, token ids out: scheduling and KV accounting. Synchronous; it never sees text, tensors or a clock."""
