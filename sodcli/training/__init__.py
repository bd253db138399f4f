"""Train a network: configuration, losses, optimisers, schedules, exact resume, processes."""
