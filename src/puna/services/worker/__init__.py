"""The worker process: runs one model for one herder."""
