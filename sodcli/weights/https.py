"""Request a file from a server: https only, few redirects, and readable error messages."""

import email.utils
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from html.parser import HTMLParser
from http.client import HTTPException, HTTPMessage, HTTPResponse, InvalidURL
from typing import Final
from urllib.parse import urlencode, urljoin, urlsplit

from sodcli import __version__
from sodcli.text import reason_of

_REDIRECTS: Final = 5
_TOO_MANY_REQUESTS: Final = 429
# Status codes of temporary errors, after which the request is retried.
_PASSING: Final = frozenset({408, 425, _TOO_MANY_REQUESTS, 500, 502, 503, 504})


class TransferError(Exception):
    """One request that failed.

    Attributes:
        reason: Description of the error.
        again: Whether the same request may succeed later.
        wait: Seconds to wait before the next request (Retry-After), if the server sent it.
        status: HTTP status code, if there was a response.
    """

    def __init__(
        self,
        reason: str,
        *,
        again: bool = False,
        wait: float | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason, self.again, self.wait, self.status = reason, again, wait, status


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = _REDIRECTS

    def redirect_request(  # noqa: PLR0913, RUF100 - the standard library's signature
        self,
        req: urllib.request.Request,
        fp: object,
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        _demand_https(newurl, "redirects to an address that is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


class Session:
    """The cookies, certificates and proxy settings for the requests of one download."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(),
            urllib.request.UnknownHandler(),
            urllib.request.HTTPSHandler(context=ssl.create_default_context()),
            urllib.request.HTTPDefaultErrorHandler(),
            _Redirects(),
            urllib.request.HTTPErrorProcessor(),
            urllib.request.HTTPCookieProcessor(),
        ):
            self._opener.add_handler(handler)

    def ask(self, address: str, headers: Mapping[str, str] | None = None) -> HTTPResponse:
        """Return the response to a GET request, with its body unread.

        Raises:
            TransferError: If there is no response, or its status is an error.
        """
        _demand_https(address, "is not an https address")
        fixed = {"User-Agent": f"sod/{__version__}", "Accept-Encoding": "identity"}
        request = urllib.request.Request(address, headers={**fixed, **(headers or {})})
        try:
            answer: HTTPResponse = self._opener.open(request, timeout=self._timeout)
        except urllib.error.HTTPError as error:
            error.close()
            raise _refusal(error) from error
        except urllib.error.URLError as error:
            raise trouble(error.reason) from error
        except (ValueError, InvalidURL) as error:  # an invalid header or address
            raise TransferError(f"sends an invalid header or address ({error})") from error
        except (OSError, HTTPException) as error:
            raise trouble(error) from error
        return answer


def trouble(error: object) -> TransferError:
    """Return a TransferError that describes why there was no response."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return TransferError(
            f"its certificate cannot be checked ({error.verify_message}); "
            "SSL_CERT_FILE may name a file of trusted ones"
        )
    if isinstance(error, TimeoutError):
        return TransferError("does not answer in time", again=True)
    if isinstance(error, OSError):
        return TransferError(f"no connection ({reason_of(error)})", again=True)
    return TransferError(f"breaks off ({error or type(error).__name__})", again=True)


def host(address: str) -> str:
    """Return the host name in ``address``, for messages; without credentials."""
    return urlsplit(address).netloc.rpartition("@")[2] or address


def _demand_https(address: str, complaint: str) -> None:
    if urlsplit(address).scheme != "https":
        raise TransferError(f"{complaint} ({address}); refused")


def _refusal(error: urllib.error.HTTPError) -> TransferError:
    words = f"answers {error.code}" + (f" ({error.reason})" if error.reason else "")
    if 300 <= error.code < 400:
        words = f"redirects more than {_REDIRECTS} times, or away from https"
    wait = _seconds(error.headers.get("Retry-After"))
    return TransferError(words, again=error.code in _PASSING, wait=wait, status=error.code)


def _seconds(text: str | None) -> float | None:
    """Return the seconds to wait from a Retry-After header: a number of seconds, or a date."""
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
    return max(0.0, moment - time.time())


_GDRIVE: Final = "gdrive:"
_START: Final = "https://drive.google.com/uc"
_LARGEST_PAGE: Final = 1 << 20
_FORM: Final = "download-form"


class _Page(HTMLParser):
    """Parses Google Drive's page for large files: the form of its button, and its error message."""

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
    """Return the https address of ``mirror``, which may be ``gdrive:ID``."""
    if not mirror.startswith(_GDRIVE):
        return mirror
    return f"{_START}?" + urlencode({"export": "download", "id": mirror.removeprefix(_GDRIVE)})


def confirmed(page: HTTPResponse) -> str:
    """Return the address behind the button "Download anyway" on a page of Google Drive.

    Raises:
        TransferError: If the page is damaged or has no such button.
    """
    try:
        text = page.read(_LARGEST_PAGE).decode("utf-8", "replace")
    except (OSError, HTTPException) as error:
        raise trouble(error) from error
    parser = _Page()
    try:
        parser.feed(text)
        address = urljoin(page.url, parser.action or "")
    except (AssertionError, ValueError) as error:  # a damaged declaration, or an invalid address
        raise TransferError(f"sends a damaged page ({error})") from error
    if not parser.action:
        told = f" ({parser.complaint})" if parser.complaint else ""
        raise TransferError(f"Google Drive does not offer the file now{told}")
    return f"{address}?{urlencode(parser.fields)}"


def ask(session: Session, mirror: str, headers: dict[str, str]) -> HTTPResponse:
    """Return the response that contains the file, with its body unread.

    Raises:
        TransferError: If there is no response, or it is a web page.
    """
    answer = session.ask(web_address(mirror), headers)
    if _is_page(answer) and mirror.startswith(_GDRIVE):
        with answer:
            address = confirmed(answer)
        answer = session.ask(address, headers)
    if _is_page(answer):
        answer.close()
        raise TransferError("sends a web page instead of the file")
    return answer


def _is_page(answer: HTTPResponse) -> bool:
    return answer.headers.get_content_type() in ("text/html", "application/xhtml+xml")
