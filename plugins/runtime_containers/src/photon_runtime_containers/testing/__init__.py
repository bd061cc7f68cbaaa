"""For tests of runtimes: real engines, where there are some, and one in memory."""
