"""Documents and recordings in any format, read into one model."""
