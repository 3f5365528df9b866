"""Readers of document formats: bytes to blocks. None of them runs scripts or asks the network."""
