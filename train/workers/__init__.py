"""Rollouts in processes of their own: orders, the workers that carry them out, and what comes back."""
