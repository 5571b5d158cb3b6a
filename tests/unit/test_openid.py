"""An identity token counts when the issuer signed it, for us, now, and for this sign-in; and nobody else is asked."""

import base64
import hmac
import json
import time
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from web.domain.errors import InvalidError, UnavailableError
from web.domain.single_sign_on import Issuer, Step
from web.services.entry.openid import OpenId

pytestmark = pytest.mark.anyio

ADDRESS = "https://id.example"
BACK = "https://here.example/sign-in/single/back"
ISSUER = Issuer(ADDRESS, "reelkeeper", "hidden", "Sign in", "groups", {}, frozenset(), may_be_plain=False)
KEY = RSAKey.generate_key(2048, {"kid": "one"}, auto_kid=False)
OTHER_KEY = RSAKey.generate_key(2048, {"kid": "one"}, auto_kid=False)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class FakeIssuer(httpx.AsyncBaseTransport):
    """Answers as an issuer does, but for what a test changes."""

    def __init__(self) -> None:
        self.metadata: dict[str, Any] = {
            "issuer": ADDRESS,
            "authorization_endpoint": f"{ADDRESS}/auth",
            "token_endpoint": f"{ADDRESS}/token",
            "jwks_uri": f"{ADDRESS}/keys",
        }
        self.claims: dict[str, Any] = {}
        self.key = KEY
        self.token: str | None = None
        self.asked: list[httpx.Request] = []
        self.redirects = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.asked.append(request)
        if self.redirects:
            return httpx.Response(302, headers={"Location": "http://169.254.169.254/"})
        match request.url.path:
            case "/.well-known/openid-configuration":
                return httpx.Response(200, json=self.metadata)
            case "/keys":
                return httpx.Response(200, json=KeySet([KEY]).as_dict(private=False))
            case "/token":
                token = self.token or jwt.encode({"alg": "RS256", "kid": "one"}, self.claims, self.key)
                return httpx.Response(200, json={"id_token": token, "access_token": "a", "token_type": "Bearer"})
        return httpx.Response(404)


async def _begun(issuer: FakeIssuer, told: Issuer = ISSUER) -> tuple[OpenId, str, Step]:
    open_id = OpenId(told, issuer)
    address, step = await open_id.begin(BACK, "/jobs")
    now = int(time.time())
    signed = {"iss": ADDRESS, "aud": "reelkeeper", "sub": "7", "iat": now, "exp": now + 60, "nonce": step.nonce}
    issuer.claims = signed | {"preferred_username": "ana", "groups": ["radio"]}
    return open_id, address, step


def _signed_by_public_key(claims: dict[str, Any]) -> str:
    """As if what everybody may know were a secret that both share."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "HS256"}, claims)]
    made = hmac.digest(KEY.as_pem(private=False), b".".join(parts), "sha256")
    return b".".join([*parts, base64.urlsafe_b64encode(made).rstrip(b"=")]).decode()


def _answer(step: Step) -> dict[str, str]:
    return {"state": step.state, "code": "c"}


async def _tried(issuer: FakeIssuer) -> None:
    open_id, _, step = await _begun(issuer)
    await open_id.finish(step, _answer(step), BACK)


async def test_a_right_token_tells_who_it_is() -> None:
    issuer = FakeIssuer()
    open_id, _, step = await _begun(issuer)
    found = await open_id.finish(step, _answer(step), BACK)
    assert (found.issuer, found.subject, found.name, found.groups) == (ADDRESS, "7", "ana", frozenset({"radio"}))


async def test_every_sign_in_has_a_state_a_nonce_and_a_challenge_of_its_own() -> None:
    issuer = FakeIssuer()
    open_id, first, step = await _begun(issuer)
    query = {name: values[0] for name, values in parse_qs(urlsplit(first).query).items()}
    assert query["code_challenge_method"] == "S256"
    assert query["code_challenge"] == create_s256_code_challenge(step.verifier)
    assert (query["state"], query["nonce"], query["redirect_uri"]) == (step.state, step.nonce, BACK)
    _, other = await open_id.begin(BACK, "/jobs")
    assert not {step.state, step.nonce, step.verifier} & {other.state, other.nonce, other.verifier}
    await open_id.finish(step, _answer(step), BACK)
    sent = parse_qs(issuer.asked[-1].content.decode())
    assert (sent["code_verifier"], sent["client_secret"]) == ([step.verifier], ["hidden"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "https://other.example"},
        {"aud": "somebody-else"},
        {"aud": ["reelkeeper", "other"], "azp": "other"},
        {"nonce": "another"},
        {"nonce": None},
        {"exp": 1_700_000_000},
        {"exp": None},
        {"sub": None},
    ],
    ids=lambda wrong: " ".join(f"{name} {value}"[:20] for name, value in wrong.items()),
)
async def test_a_token_that_is_not_of_this_sign_in_is_refused(wrong: dict[str, Any]) -> None:
    issuer = FakeIssuer()
    open_id, _, step = await _begun(issuer)
    issuer.claims |= wrong
    issuer.claims = {name: value for name, value in issuer.claims.items() if value is not None}
    with pytest.raises(InvalidError):
        await open_id.finish(step, _answer(step), BACK)


async def test_a_token_that_the_issuer_did_not_sign_is_refused() -> None:
    issuer = FakeIssuer()
    open_id, _, step = await _begun(issuer)
    issuer.key = OTHER_KEY
    with pytest.raises(InvalidError):
        await open_id.finish(step, _answer(step), BACK)
    for token in (
        _signed_by_public_key(issuer.claims),
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiI3In0.",
        "",
        "x",
        json.dumps(issuer.claims),
    ):
        issuer.token = token
        with pytest.raises(InvalidError):
            await open_id.finish(step, _answer(step), BACK)


@pytest.mark.parametrize(
    "answer", [{"state": "other"}, {"code": ""}, {"error": "access_denied"}, {"iss": "https://other.example"}]
)
async def test_an_answer_that_is_not_ours_asks_nobody_for_a_token(answer: dict[str, str]) -> None:
    issuer = FakeIssuer()
    open_id, _, step = await _begun(issuer)
    told = {**_answer(step), **answer}
    with pytest.raises(InvalidError):
        await open_id.finish(step, {name: value for name, value in told.items() if value}, BACK)
    assert "/token" not in {request.url.path for request in issuer.asked}


async def test_who_takes_too_long_begins_again() -> None:
    open_id, _, step = await _begun(FakeIssuer())
    with pytest.raises(InvalidError):
        await open_id.finish(replace(step, begun_at=step.begun_at - 601), _answer(step), BACK)


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("token_endpoint", "https://elsewhere.example/token"),
        ("token_endpoint", "http://id.example/token"),
        ("jwks_uri", "http://169.254.169.254/keys"),
        ("authorization_endpoint", "javascript:alert(1)"),
        ("issuer", "https://other.example"),
        ("jwks_uri", 7),
    ],
)
async def test_an_issuer_cannot_send_us_elsewhere(name: str, address: object) -> None:
    issuer = FakeIssuer()
    issuer.metadata[name] = address
    with pytest.raises(UnavailableError):
        await _tried(issuer)
    assert {request.url.host for request in issuer.asked} == {"id.example"}


async def test_a_redirect_of_the_issuer_is_not_followed() -> None:
    issuer = FakeIssuer()
    issuer.redirects = True
    with pytest.raises(UnavailableError):
        await _begun(issuer)
    assert len(issuer.asked) == 1


async def test_other_hosts_of_an_issuer_are_asked_once_they_are_named() -> None:
    issuer = FakeIssuer()
    issuer.metadata["token_endpoint"] = "https://tokens.example/token"
    open_id, _, step = await _begun(issuer, replace(ISSUER, hosts=frozenset({"tokens.example"})))
    assert (await open_id.finish(step, _answer(step), BACK)).subject == "7"
