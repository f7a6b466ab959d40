"""The outside world: one module a system, the sole importer of its client."""
