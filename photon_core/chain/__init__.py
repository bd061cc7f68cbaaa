"""Keys, transactions, blocks, certificates, state tree, block log and state store."""
