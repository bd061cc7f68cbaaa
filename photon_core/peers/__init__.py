"""Requests, chunks and streams between peers, built on a transport's links."""
