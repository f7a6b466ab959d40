"""The spine: one module a stage, each with `run(case, ..., adapters) -> record`; a stage never calls another."""
