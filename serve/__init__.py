"""Engines that run a model, the agent that acts with one, and the gateway before it."""
