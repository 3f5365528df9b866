"""Supervised and reinforcement learning of adapters, on the hardware at hand."""
