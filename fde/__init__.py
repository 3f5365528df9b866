"""Ground floor of the toolkit: engagements, runs, errors and the console."""

__version__ = "0.1.0"
