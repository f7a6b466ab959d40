"""Memory that was freed is the system's again, though blocks in between are still in use."""

from __future__ import annotations

from pathlib import Path

from perennial.io.memory import give_back

MB = 2**20


def resident() -> int:
    """Return the resident size of this process in bytes."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmRSS"].split()[0]) * 1024


def test_what_was_freed_between_blocks_in_use_is_given_back():
    """A range is computed in chunks: what one needed must not add to what the next needs."""
    before = resident()
    blocks = [bytearray(100_000) for _ in range(3000)]
    held = resident() - before
    kept = blocks[::100]
    del blocks
    give_back()

    assert held > 250 * MB
    assert resident() - before < 80 * MB
    assert len(kept) == 30
