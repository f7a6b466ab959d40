"""The code of another commit, in a git repository of the test's own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from perennial.errors import SetupError
from perennial.io import checkouts


def git(folder: Path, *arguments: str) -> str:
    """Run git as somebody."""
    identity = ["-c", "user.name=ada", "-c", "user.email=ada@example.org"]
    command = [shutil.which("git") or "git", "-C", str(folder), *identity, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a repository whose file `code` says 2, and said 1 in the commit before."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "--quiet")
    for number in "12":
        (folder / "code").write_text(number)
        git(folder, "add", "code")
        git(folder, "commit", "--quiet", "-m", number)
    return folder


def test_a_commit_is_there_for_as_long_as_it_is_asked_for(checkout: Path, tmp_path: Path):
    """The checkout itself stays as it is, and nothing is left behind."""
    first = git(checkout, "rev-parse", "--short", "HEAD~1")
    with checkouts.at_commit(checkout, first, tmp_path / "then", needs="code") as folder:
        assert (folder / "code").read_text() == "1"
    assert (checkout / "code").read_text() == "2"
    assert not (tmp_path / "then").exists()
    assert len(git(checkout, "worktree", "list").splitlines()) == 1


@pytest.mark.parametrize(
    ("commit", "needs", "message"),
    [
        ("unknown", "code", "trained with the code unknown, which is no commit"),
        ("abc1234-dirty", "code", "trained with the code abc1234-dirty, which is no commit"),
        ("abc1234", "code", "git worktree add failed in .* needs a git checkout that has it"),
        ("HEAD", "rebuild.py", "The code of commit HEAD has no rebuild.py"),
    ],
)
def test_a_commit_that_cannot_be_had_is_said(checkout: Path, tmp_path: Path, commit: str, needs: str, message: str):
    """What it is, where it was looked for, and what to do."""
    with (
        pytest.raises(SetupError, match=message),
        checkouts.at_commit(checkout, commit, tmp_path / "then", needs=needs),
    ):
        pass
    assert not (tmp_path / "then").exists()


def test_the_commit_of_a_checkout_says_whether_files_differ_from_it(checkout: Path, tmp_path: Path):
    """And a folder that is none is unknown."""
    assert checkouts.describe(checkout) == git(checkout, "rev-parse", "--short", "HEAD")
    (checkout / "code").write_text("3")
    assert checkouts.describe(checkout).endswith("-dirty")
    assert checkouts.describe(tmp_path) == "unknown"
