"""The agent is the network of what it runs: nothing connects unless a grant says so, and every byte passes here.

`grants` is data: who may reach what. `fabric` makes it so: listeners inside sandboxes, ingress outside. `relay` and
`splice` move bytes; `limits` bounds them; `http_head` and `ingress` are the way in from outside; `refused` remembers
who was turned away.
"""
