"""Hands a mail to a server, for the command line; Airflow's tasks have a hook of their own for the same connection."""

from __future__ import annotations

import smtplib
import ssl
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from perennial.errors import MailError
from perennial.io.mails import Mail, compose

SECONDS = 30.0


def deliver(mail: Mail, address: str) -> None:
    """Hand the mail to the server that a connection's address names.

    Args:
        mail: what to say, and to whom.
        address: as Airflow writes it: `smtp://user:password@host:port/?from_email=…`, encrypted from the start unless
            `disable_ssl=true`; then by STARTTLS, unless `disable_tls=true`.

    Raises:
        MailError: the server does not answer, or refuses the mail or one of its recipients; names no password.
    """
    url = urlsplit(address)
    options = dict(parse_qsl(url.query))
    sender = options.get("from_email") or f"perennial@{url.hostname}"
    try:
        with _connected(url, options) as server:
            refused = server.send_message(compose(mail, sender=sender), to_addrs=list(mail.to))
    except (smtplib.SMTPException, OSError) as error:
        raise MailError(_said(mail, url, f"{type(error).__name__}: {error}")) from error
    if refused:
        raise MailError.for_some(_said(mail, url, f"refused recipients {sorted(refused)}"), refused)


def _connected(url: SplitResult, options: dict[str, str]) -> smtplib.SMTP:
    host, seconds = url.hostname or "localhost", float(options.get("timeout", SECONDS))
    encrypted = not _is_on(options, "disable_ssl")
    context = ssl.create_default_context()
    server = (
        smtplib.SMTP_SSL(host, url.port or 465, timeout=seconds, context=context)
        if encrypted
        else smtplib.SMTP(host, url.port or 25, timeout=seconds)
    )
    if not encrypted and not _is_on(options, "disable_tls"):
        server.starttls(context=context)
    if url.username:
        server.login(unquote(url.username), unquote(url.password or ""))
    return server


def _is_on(options: dict[str, str], name: str) -> bool:
    return options.get(name, "false").lower() in {"true", "1"}


def _said(mail: Mail, url: SplitResult, why: str) -> str:
    return f"The mail {mail.subject!r} was not delivered through {url.hostname}:{url.port}: {why}."
