"""Tasks: each binds data, network, loss and metric. Only a task knows its own details."""
