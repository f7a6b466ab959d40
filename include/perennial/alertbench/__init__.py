"""A benchmark of the alerts: a use case's real days as they are, and the same days with faults put into them.

Where a day goes: `faults` change what sources and labels say, `world` lives the days with the real stages, `peer` asks
Evidently's default preset about the same days, `bench` counts what was found and mailed.
"""
