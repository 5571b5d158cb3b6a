"""What may change something: methods against what browsers say of where a request comes from."""

from itertools import product

import pytest
from starlette.requests import Request
from starlette.responses import Response

from web.domain.people import SignedIn, User
from web.origin import is_allowed
from web.sessions import cookie_name, drop_session, keep_session

HERE = "console.example"


def request(
    path: str = "/recordings", host: str = HERE, scheme: str = "http", method: str = "POST", **headers: str
) -> Request:
    given = {"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    raw = [(name.encode(), value.encode()) for name, value in given.items()]
    return Request(
        {"type": "http", "method": method, "path": path, "headers": raw, "scheme": scheme, "query_string": b""}
    )


@pytest.mark.parametrize(
    ("headers", "may"),
    [
        ({"sec_fetch_site": "same-origin"}, True),
        ({"sec_fetch_site": "none"}, True),
        ({"sec_fetch_site": "same-site"}, False),
        ({"sec_fetch_site": "cross-site"}, False),
        ({"sec_fetch_site": "cross-site", "origin": f"https://{HERE}"}, False),
        ({"origin": f"https://{HERE}"}, True),
        ({"origin": f"https://{HERE}.evil.example"}, False),
        ({"origin": f"https://{HERE}:8443"}, False),
        ({"origin": f"http://{HERE}"}, False),
        ({"origin": "null"}, False),
        ({"origin": "null", "host": ""}, False),
        ({"origin": "http://["}, False),
        ({}, False),
    ],
)
def test_only_our_own_pages_may_post_to_pages(headers: dict[str, str], may: bool) -> None:
    assert is_allowed(request(**headers)) is may


@pytest.mark.parametrize(("has_cookie", "has_token"), list(product((False, True), repeat=2)))
def test_an_api_call_is_concerned_only_when_a_browser_may_have_added_the_cookie(
    has_cookie: bool, has_token: bool
) -> None:
    headers = {"cookie": "__Host-reelkeeper=x"} if has_cookie else {}
    headers |= {"authorization": "Bearer rku_x_y"} if has_token else {}
    assert is_allowed(request("/api/v1/recordings", **headers)) is (has_token or not has_cookie)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND"])
def test_a_token_opens_no_page_to_other_sites_by_any_method(method: str) -> None:
    """Where a cookie speaks for somebody, a header beside it that a script could add changes nothing."""
    cookie = {"cookie": "__Host-reelkeeper=x"}
    for site in ("cross-site", "same-site"):
        for path in ("/recordings/x/stop", "/sign-in", "/apix", "/api"):
            asked = request(path, method=method, sec_fetch_site=site, authorization="Bearer x", **cookie)
            assert not is_allowed(asked)
        assert not is_allowed(request("/api/v1/recordings", method=method, sec_fetch_site=site, **cookie))


def test_on_this_machine_pages_come_without_tls() -> None:
    assert is_allowed(request(host="127.0.0.1:8640", origin="http://127.0.0.1:8640"))
    assert not is_allowed(request(host="127.0.0.1:8640", origin="https://127.0.0.1:8640"))
    assert not is_allowed(request(host="127.0.0.1:8640", origin="http://127.0.0.1:8641"))


def test_a_password_in_the_address_is_no_token() -> None:
    assert not is_allowed(request(authorization="Basic YTpi"))


@pytest.mark.parametrize(
    ("host", "scheme", "name"),
    [
        ("127.0.0.1:8640", "http", "reelkeeper-8640"),
        ("localhost:8641", "http", "reelkeeper-8641"),
        ("[::1]:8640", "http", "reelkeeper-8640"),
        ("127.0.0.1:8640", "https", "__Host-reelkeeper"),
        ("console.example", "http", "__Host-reelkeeper"),
        ("192.168.1.5:8640", "http", "__Host-reelkeeper"),
        ("127.0.0.1:nonsense", "http", "__Host-reelkeeper"),
        ("[::1", "http", "__Host-reelkeeper"),
        ("", "http", "__Host-reelkeeper"),
    ],
)
def test_a_session_travels_by_tls_or_stays_on_this_machine(host: str, scheme: str, name: str) -> None:
    asked = request(host=host, scheme=scheme)
    assert cookie_name(asked) == name
    for give in (_keep, drop_session):
        response = Response()
        give(asked, response)
        parts = response.headers["set-cookie"].split("; ")
        assert parts[0].startswith(f"{name}=")
        assert {"HttpOnly", "Path=/", "SameSite=lax"} <= set(parts)
        assert ("Secure" in parts) is name.startswith("__Host-")
        assert not [part for part in parts if part.startswith("Domain")]


def _keep(asked: Request, response: Response) -> None:
    keep_session(asked, response, SignedIn(User.__new__(User), "rks_token"))
