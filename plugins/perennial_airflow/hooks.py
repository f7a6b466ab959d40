"""Airflow's SMTP connection, for mails with a plain-text part and pictures inside, which SmtpHook cannot build."""

from __future__ import annotations

from smtplib import SMTPException
from typing import TYPE_CHECKING

from airflow.providers.smtp.hooks.smtp import SmtpHook
from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException
from perennial.errors import MailError, SetupError

if TYPE_CHECKING:
    from perennial.io.mails import Mail

CONNECTION = "smtp_default"


def source_address(name: str) -> str:
    """Return the address of a source's connection: Perennial's own variable, else what Airflow knows by that name.

    Raises:
        SetupError: neither knows it; the address itself is in no message.
    """
    from perennial.settings import connection

    try:
        return connection(name)
    except SetupError:
        try:
            return str(BaseHook.get_connection(name).get_uri())
        except AirflowNotFoundException:
            raise SetupError(
                f"There is no connection {name!r}. Make it in Airflow under Admin > Connections, "
                f"or set PERENNIAL_CONN_{name.upper()} to its SQLAlchemy URL."
            ) from None


class MailHook(SmtpHook):
    """Sends a `Mail` through an SMTP connection; the connection's `from_email` is the sender."""

    def deliver(self, mail: Mail) -> None:
        """Hand the mail to the server.

        Raises:
            MailError: the server does not answer, or refuses the mail or one of its recipients.
        """
        from perennial.io.mails import compose

        try:
            with self:
                message = compose(mail, sender=self.from_email or f"perennial@{self.host}")
                refused = self._smtp_client.send_message(message, to_addrs=list(mail.to))
        except (SMTPException, OSError, AirflowException) as error:
            raise MailError(self._said(mail, f"{type(error).__name__}: {error}")) from error
        if refused:
            raise MailError.for_some(self._said(mail, f"refused recipients {sorted(refused)}"), refused)

    def _said(self, mail: Mail, why: str) -> str:
        return (
            f"The mail {mail.subject!r} to {', '.join(mail.to)} was not delivered through the connection "
            f"{self.smtp_conn_id!r}: {why}. Check that connection and its server, then clear the task to send it."
        )
