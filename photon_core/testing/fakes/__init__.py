"""Stand-ins for the seams, for tests of what is built on them."""
