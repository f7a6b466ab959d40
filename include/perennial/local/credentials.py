"""Generated keys and passwords, in files that only their owner can read."""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from perennial.local.layout import Layout

# Airflow's SimpleAuthManager knows viewer < user < op < admin; an approver answers what is asked of them, a user may.
ROLES: dict[str, str] = {
    "admin": "admin",
    "engineer": "user",
    "operator": "op",
    "approver": "user",
    "viewer": "viewer",
}
# Who writes the simulated shop's database, and who reads it.
CLICKSTREAM_ROLES = ("clickstream_feed", "clickstream_reader")
KEYS = ("fernet_key", "jwt_secret", "api_secret_key", *CLICKSTREAM_ROLES)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read; a reader sees the old one or the new one."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


def passwords(layout: Layout) -> dict[str, str]:
    """Return the password of each login; they are made up once and stay."""
    return _complete(layout.passwords, ROLES, lambda _: secrets.token_urlsafe(12))


def keys(layout: Layout) -> dict[str, str]:
    """Return Airflow's keys and the passwords of the shop's roles; made up once, since they open what is stored."""
    return _complete(layout.secrets, KEYS, _new_key)


def _new_key(_name: str) -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def _complete(path: Path, names: Mapping[str, str] | tuple[str, ...], new: Callable[[str], str]) -> dict[str, str]:
    known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    missing = [name for name in names if name not in known]
    if missing:
        known |= {name: new(name) for name in missing}
        write_private(path, json.dumps(known, indent=2) + "\n")
    return known
