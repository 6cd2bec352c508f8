"""Asks the web server that a proxy has for its operator. No environment variable leads the question elsewhere."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException

TIMEOUT_S = 3.0


def ask(where: str, path: str, data: bytes | None = None, timeout_s: float = TIMEOUT_S) -> bytes:
    """Return what ``where`` (``HOST:PORT``) answers to a question for ``path``, by POST when there is ``data``.

    Raises ``OSError`` when nobody answers within ``timeout_s`` seconds, or with another status than 2xx.
    """
    try:
        connection = HTTPConnection(where, timeout=timeout_s)
        try:
            connection.request("GET" if data is None else "POST", f"/{path}", data)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
    except HTTPException as error:
        raise OSError(f"no answer by HTTP: {error!r}") from error
    if not 200 <= answer.status < 300:
        raise OSError(f"HTTP {answer.status} {answer.reason}")
    return body


def ask_text(where: str, path: str, timeout_s: float = TIMEOUT_S) -> str:
    """Return the same as text, also where it is no UTF-8."""
    return ask(where, path, timeout_s=timeout_s).decode(errors="replace")
