"""Recordings compiled into environments, and the verifiers that judge work in them."""
