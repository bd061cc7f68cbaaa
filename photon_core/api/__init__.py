"""The contract: the records that cross a seam, and one module per kind of plugin."""
