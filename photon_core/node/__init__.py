"""A node: the sans-IO core, its driver, its signer and its HTTP API."""
