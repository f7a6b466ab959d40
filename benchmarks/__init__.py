"""Measurements that back our claims; each prints a table and fails where a claim does not hold."""
