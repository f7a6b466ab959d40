"""The buttons on a task's page: what the task wrote for people to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink
from airflow.sdk.execution_time.xcom import XCom

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

RETURNED = "return_value"


class PageLink(BaseOperatorLink):
    """A button to the page that the task's record names; without one, such as after a failure, it leads nowhere.

    Args:
        label: on the button.
        field: of the record; of several records the first that names a page counts.
    """

    def __init__(self, label: str, *, field: str) -> None:
        self.label = label
        self.field = field

    @property
    def name(self) -> str:
        """Return what is on the button."""
        return self.label

    @property
    def xcom_key(self) -> str:
        """Return the XCom that Airflow keeps the address in."""
        return f"_link_{self.field}"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002 - Airflow's
        """Return the address of the page, empty where there is none; Airflow asks when the task has ended."""
        from perennial.io.pages import address
        from perennial.settings import load_settings

        page = self.page_in(XCom.get_value(ti_key=ti_key, key=RETURNED))
        return address(load_settings().airflow_url, page) if page else ""

    def page_in(self, returned: Any) -> str | None:
        """Return the page that the task has named in what it returned."""
        return page_of(returned, self.field)


class CardLink(PageLink):
    """A button to the card of the version that the task's record is about; nowhere where it could not be written."""

    def __init__(self) -> None:
        super().__init__("Model card", field="card")

    def page_in(self, returned: Any) -> str | None:
        """Return the card of the record's version, if it is there."""
        from perennial.cards import path
        from perennial.settings import load_settings

        if not returned:
            return None
        page = path(returned["case"], returned["version"])
        return page if (load_settings().pages_root / page).is_file() else None


def page_of(returned: Any, field: str) -> str | None:
    """Return the first page that a task's records name.

    >>> page_of([{"page": None}, {"page": "validation/toy/sales/2026-03-01.html"}], "page")
    'validation/toy/sales/2026-03-01.html'
    """
    records = returned if isinstance(returned, list) else [returned]
    return next((str(record[field]) for record in records if record and record.get(field)), None)
