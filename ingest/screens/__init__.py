"""Screen recordings: pictures read as pages, and what was clicked and typed as actions."""
