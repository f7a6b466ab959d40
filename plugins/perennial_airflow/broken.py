"""How a broken use case becomes visible in Airflow: as an import error that says what to change."""

from __future__ import annotations

from collections.abc import Mapping

from perennial.errors import SpecError


def show(broken: Mapping[str, SpecError]) -> None:
    """Raise one error that names each broken use case and what is wrong with it; return where there is none."""
    if broken:
        said = "\n\n".join(f"{name}: {error}" for name, error in sorted(broken.items()))
        raise SpecError(
            f"{len(broken)} use case(s) cannot be used and have no DAGs until that is put right: "
            f"{', '.join(sorted(broken))}. All others go on.\n\n{said}"
        )
