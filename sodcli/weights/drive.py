"""Files on Google Drive, which asks before it hands out a large one."""

from html.parser import HTMLParser
from http.client import HTTPException, HTTPResponse
from typing import Final
from urllib.parse import urlencode, urljoin

from sodcli.weights.https import Session, TransferError, trouble

PREFIX: Final = "gdrive:"
_START = "https://drive.google.com/uc"
_LARGEST_PAGE: Final = 1 << 20
_FORM: Final = "download-form"


class _Page(HTMLParser):
    """Finds the form behind the button "Download anyway", and what the page complains of."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self.complaint = ""
        self._within = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        if tag == "form" and given.get("id") == _FORM:
            self.action, self._within = given.get("action"), _FORM
        elif tag == "input" and self._within == _FORM and "name" in given:
            self.fields[given["name"]] = given.get("value", "")
        elif given.get("class") == "uc-error-caption":
            self._within = "complaint"

    def handle_data(self, data: str) -> None:
        if self._within == "complaint":
            self.complaint = " ".join(data.split())
            self._within = ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._within = ""


def web_address(mirror: str) -> str:
    """Return the https address behind ``mirror``, which may be ``gdrive:ID``."""
    if not mirror.startswith(PREFIX):
        return mirror
    return f"{_START}?" + urlencode({"export": "download", "id": mirror.removeprefix(PREFIX)})


def confirmed(page: HTTPResponse) -> str:
    """Return the address that the page's button leads to.

    Raises:
        TransferError: If the page has no such button.
    """
    try:
        text = page.read(_LARGEST_PAGE).decode("utf-8", "replace")
    except (OSError, HTTPException) as error:
        raise trouble(error) from error
    parser = _Page()
    parser.feed(text)
    if not parser.action:
        told = f" ({parser.complaint})" if parser.complaint else ""
        raise TransferError(f"Google Drive does not hand it out now{told}")
    return f"{urljoin(page.url, parser.action)}?{urlencode(parser.fields)}"


def ask(session: Session, mirror: str, headers: dict[str, str]) -> HTTPResponse:
    """Return the answer that holds the file itself, its body unread.

    Raises:
        TransferError: If there is none, or a web page comes instead.
    """
    answer = session.ask(web_address(mirror), headers)
    if _is_page(answer) and mirror.startswith(PREFIX):
        with answer:
            address = confirmed(answer)
        answer = session.ask(address, headers)
    if _is_page(answer):
        answer.close()
        raise TransferError("sends a web page instead of the file")
    return answer


def _is_page(answer: HTTPResponse) -> bool:
    return answer.headers.get_content_type() in ("text/html", "application/xhtml+xml")
