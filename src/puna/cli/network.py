"""The network a command talks to: see `puna.client.reach`, which finds it for clients and commands alike."""

from puna.client.reach import Reached, announced, network_at

__all__ = ["Reached", "announced", "network_at"]
