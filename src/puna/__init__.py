"""Puna: a whole AO network with on-chain AI, in one package."""

__version__ = "0.1.0"
