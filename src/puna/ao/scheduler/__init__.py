"""The scheduler unit: gives each message of a process its one place."""
