"""Questions that redacted documents answer, as an environment with a proven verifier."""
