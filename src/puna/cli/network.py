"""The network a command talks to: see `puna.client.reach`, which finds it for clients and commands alike."""

from puna.client.reach import Reached, network_at

__all__ = ["Reached", "network_at"]
