"""Finds the stack's processes by their session: also those whose parents have died."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import psutil


def members(session: int, *, below: Path) -> list[psutil.Process]:
    """Return the processes of a session that work in a folder below `below`, but not this one.

    The folder guards against a session id that was given out again after the stack's own end.
    """
    return [process for process in psutil.process_iter() if _belongs(process, session, below)]


def _belongs(process: psutil.Process, session: int, below: Path) -> bool:
    try:
        if process.pid == os.getpid() or os.getsid(process.pid) != session:
            return False
        return process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()).is_relative_to(below)
    except (psutil.Error, ProcessLookupError, PermissionError):
        return False


def orphans(session: int, processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Return those that no longer descend from the session's leader."""
    return [process for process in processes if process.pid != session and not _descends(process, session)]


def _descends(process: psutil.Process, leader: int) -> bool:
    try:
        return any(parent.pid == leader for parent in process.parents())
    except psutil.NoSuchProcess:
        return True


def kill(processes: Iterable[psutil.Process]) -> list[int]:
    """End processes at once and return their ids."""
    killed = []
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
        killed.append(process.pid)
    return killed
