"""Arithmetic: arrays and numbers in, records out; no client, file, clock or environment."""
