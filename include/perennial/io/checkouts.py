"""The code of another commit, as a git worktree beside this checkout."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from perennial.errors import SetupError

DIRTY = "-dirty"


@contextmanager
def at_commit(checkout: Path, commit: str, folder: Path, *, needs: str) -> Iterator[Path]:
    """Yield `folder` with the files of a commit in it; it is taken away afterwards.

    Args:
        checkout: of this project.
        commit: as `git describe` names it.
        folder: not there yet.
        needs: a file that the commit must have.

    Raises:
        SetupError: this is no git checkout, the commit is not in it, or the commit lacks that file.
    """
    if commit.endswith(DIRTY) or commit in {"", "unknown"}:
        raise SetupError(
            f"The model was trained with the code {commit or 'unknown'}, which is no commit. Rebuild it with the code "
            "that is here: leave out --code recorded."
        )
    _git(checkout, "worktree", "add", "--quiet", "--detach", str(folder), f"{commit}^{{commit}}")
    try:
        if not (folder / needs).is_file():
            raise SetupError(f"The code of commit {commit} has no {needs}: it is older than `perennial reproduce`.")
        yield folder
    finally:
        _git(checkout, "worktree", "remove", "--force", str(folder))


def describe(checkout: Path) -> str:
    """Return the commit that is checked out, with "-dirty" where files differ from it; "unknown" without git."""
    try:
        return _git(checkout, "describe", "--always", "--dirty") or "unknown"
    except SetupError:
        return "unknown"


def _git(checkout: Path, *arguments: str) -> str:
    git = shutil.which("git")
    if git is None:
        raise SetupError("The code of a commit needs git, which is not installed.")
    done = subprocess.run([git, "-C", str(checkout), *arguments], capture_output=True, text=True)  # noqa: S603  own words
    if done.returncode:
        raise SetupError(
            f"git {' '.join(arguments[:2])} failed in {checkout}: {done.stderr.strip()} The code of another commit "
            "needs a git checkout that has it (`git fetch --unshallow` where it is shallow)."
        )
    return done.stdout.strip()
