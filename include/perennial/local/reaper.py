"""Supervisord's listener that ends what a dead component leaves behind: `python -m perennial.local.reaper`.

A scheduler that is killed leaves its workers and their tasks running without a parent; the one that comes back
would start the same tasks beside them.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TextIO

from supervisor.childutils import listener

from perennial.local import sessions

log = logging.getLogger(__name__)


def listen(session: int, *, below: Path, stdin: TextIO, stdout: TextIO) -> None:
    """Answer each event that a component has ended by killing the session's orphans; ends with supervisord."""
    while True:
        try:
            headers, payload = listener.wait(stdin, stdout)
        except (KeyError, ValueError):
            return  # the pipe is closed: supervisord is gone
        killed = sessions.kill(sessions.orphans(session, sessions.members(session, below=below)))
        if killed:
            log.warning("%s %s left %s behind", headers["eventname"], payload, killed)
        listener.ok(stdout)


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(message)s")
    listen(os.getsid(0), below=Path.cwd().parent, stdin=sys.stdin, stdout=sys.stdout)
