"""The parts of `repro.train`: configuration, schedules, checkpoints, progress, guards, runs."""
