"""The tenant's client library."""
