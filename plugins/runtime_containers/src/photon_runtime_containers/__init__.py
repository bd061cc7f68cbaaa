"""What the runtimes of Docker and Podman share: one set of behaviours, over a narrow `Engine` that each of them is."""
