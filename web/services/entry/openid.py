"""The only way to an OpenID provider: authorisation code with PKCE, and identity tokens that are checked."""

import hmac
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
import structlog
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import get_well_known_url
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from web.domain.errors import InvalidError, UnavailableError
from web.domain.single_sign_on import STEP_SECONDS, Identity, Issuer, Step

_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Signatures by keys that only the issuer has."""
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_KEPT_SECONDS = 600.0
_LEEWAY_SECONDS = 60
_ANSWER_BYTES = 256 * 1024
_TIMEOUT = httpx.Timeout(10.0, connect=5.0)
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
_REFUSED = "The sign-on service did not vouch for you; begin again, or sign in another way."
_log = structlog.get_logger()


@dataclass(frozen=True)
class _Provider:
    """What the issuer publishes of itself."""

    metadata: Mapping[str, Any]
    keys: KeySet
    read_at: float


class OpenId:
    """One a controller. Speaks to the issuer alone: no redirects, short answers, no proxies of the environment."""

    def __init__(self, issuer: Issuer, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """`transport` carries the requests; by itself it is the network."""
        self.issuer = issuer
        self._transport = transport
        self._provider: _Provider | None = None

    async def begin(self, redirect_uri: str, wanted: str) -> tuple[str, Step]:
        """Where to send the browser, and what it is to bring back. Raises UnavailableError."""
        metadata = (await self._published()).metadata
        step = Step(
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
            wanted=wanted,
            begun_at=time.time(),
        )
        query = {
            "response_type": "code",
            "client_id": self.issuer.client_id,
            "redirect_uri": redirect_uri,
            "scope": "openid profile email",
            "state": step.state,
            "nonce": step.nonce,
            "code_challenge": create_s256_code_challenge(step.verifier),
            "code_challenge_method": "S256",
        }
        address = str(metadata["authorization_endpoint"])
        return f"{address}{'&' if '?' in address else '?'}{urlencode(query)}", step

    async def finish(self, step: Step, answer: Mapping[str, str], redirect_uri: str) -> Identity:
        """Whom the issuer vouches for, by what the browser brought back. Raises InvalidError, UnavailableError."""
        if not hmac.compare_digest(answer.get("state", "").encode(), step.state.encode()):
            raise _refusal("another state")
        if time.time() - step.begun_at > STEP_SECONDS:
            raise _refusal("too late")
        if "error" in answer or "code" not in answer:
            raise _refusal(f"the issuer says {answer.get('error', 'nothing')[:100]}")
        provider = await self._published()
        self._require_issuer(provider, answer)
        tokens = await self._tokens(provider, answer["code"], step, redirect_uri)
        claims = await self._claims(str(tokens.get("id_token", "")), step, tokens)
        return _identity(self.issuer, await self._completed(provider, claims, tokens))

    def _require_issuer(self, provider: _Provider, answer: Mapping[str, str]) -> None:
        """RFC 9207: an answer that another issuer gave is none."""
        is_told = bool(provider.metadata.get("authorization_response_iss_parameter_supported"))
        if answer.get("iss", self.issuer.address if not is_told else "") != self.issuer.address:
            raise _refusal("an answer of another issuer")

    async def _tokens(self, provider: _Provider, code: str, step: Step, redirect_uri: str) -> Mapping[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": step.verifier,
            "client_id": self.issuer.client_id,
        }
        if self.issuer.client_secret is not None:
            form["client_secret"] = self.issuer.client_secret
        return await self._asked("POST", str(provider.metadata["token_endpoint"]), form=form)

    async def _claims(self, token: str, step: Step, tokens: Mapping[str, Any]) -> dict[str, Any]:
        """Of an identity token that the issuer signed, for us, now, for this sign-in."""
        try:
            decoded = await self._decoded(token)
            claims = CodeIDToken(
                decoded.claims,
                decoded.header,
                options={
                    "iss": {"essential": True, "value": self.issuer.address},
                    "aud": {"essential": True, "value": self.issuer.client_id},
                    "sub": {"essential": True},
                },
                params={
                    "nonce": step.nonce,
                    "client_id": self.issuer.client_id,
                    "access_token": tokens.get("access_token"),
                },
            )
            claims.validate(leeway=_LEEWAY_SECONDS)
        except (JoseError, ValueError) as fault:
            raise _refusal(f"{type(fault).__name__}: {fault}") from fault
        return dict(claims)

    async def _decoded(self, token: str) -> jwt.Token:
        provider = await self._published()
        try:
            return jwt.decode(token, provider.keys, algorithms=_ALGORITHMS)
        except (JoseError, ValueError):
            if provider.read_at > time.monotonic() - _LEEWAY_SECONDS:
                raise
            self._provider = None  # its keys may have changed
            return jwt.decode(token, (await self._published()).keys, algorithms=_ALGORITHMS)

    async def _completed(
        self, provider: _Provider, claims: dict[str, Any], tokens: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Some issuers tell of groups and names only when asked with the token."""
        address, access = provider.metadata.get("userinfo_endpoint"), tokens.get("access_token")
        if self.issuer.groups_claim in claims or not address or not access:
            return claims
        more = await self._asked("GET", str(address), headers={"Authorization": f"Bearer {access}"})
        if more.get("sub") != claims["sub"]:
            raise _refusal("told of somebody else")
        return {**more, **claims}

    async def _published(self) -> _Provider:
        kept = self._provider
        if kept is not None and time.monotonic() - kept.read_at < _KEPT_SECONDS:
            return kept
        metadata = await self._asked("GET", get_well_known_url(self.issuer.address, external=True))
        if metadata.get("issuer") != self.issuer.address:
            raise UnavailableError("The sign-on service calls itself otherwise than REELKEEPER_OIDC_ISSUER does.")
        if not all(isinstance(metadata.get(name), str) for name in _ENDPOINTS):
            raise UnavailableError("The sign-on service does not publish what signing in needs.")
        self._require_allowed(metadata["authorization_endpoint"], any_host=True)
        try:
            keys = KeySet.import_key_set(await self._asked("GET", metadata["jwks_uri"]))  # type: ignore[arg-type]
        except (JoseError, ValueError) as fault:
            raise UnavailableError("The keys of the sign-on service cannot be read.") from fault
        self._provider = _Provider(metadata, keys, time.monotonic())
        return self._provider

    async def _asked(
        self, method: str, address: str, *, form: dict[str, str] | None = None, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """An answer of the issuer. Raises UnavailableError, and InvalidError when it says no."""
        self._require_allowed(address)
        body = bytearray()
        try:
            async with (
                httpx.AsyncClient(
                    timeout=_TIMEOUT, follow_redirects=False, trust_env=False, transport=self._transport
                ) as client,
                client.stream(method, address, data=form, headers=headers) as answer,
            ):
                async for block in answer.aiter_bytes():
                    body += block
                    if len(body) > _ANSWER_BYTES:
                        raise UnavailableError("The sign-on service answers without end.")
        except httpx.HTTPError as fault:
            raise UnavailableError(f"The sign-on service does not answer ({type(fault).__name__}).") from fault
        if answer.status_code in (httpx.codes.BAD_REQUEST, httpx.codes.UNAUTHORIZED):
            raise _refusal(f"{urlsplit(address).path} answers {answer.status_code}: {bytes(body[:200])!r}")
        try:
            told = json.loads(body) if answer.status_code == httpx.codes.OK else None
        except ValueError:
            told = None
        if not isinstance(told, dict):
            raise UnavailableError(f"The sign-on service answers {answer.status_code}.")
        return told

    def _require_allowed(self, address: str, *, any_host: bool = False) -> None:
        """Raises UnavailableError for an address that is not the issuer's, or not safe."""
        parts, ours = urlsplit(address), urlsplit(self.issuer.address)
        is_plain = parts.scheme == "http" and self.issuer.may_be_plain and parts.hostname in _LOOPBACK
        is_its = any_host or parts.netloc == ours.netloc or parts.netloc in self.issuer.hosts
        if not is_its or not (parts.scheme == "https" or is_plain):
            raise UnavailableError(
                f"The sign-on service wants to be asked at {parts.scheme}://{parts.netloc}; if that is right, name the "
                "host in REELKEEPER_OIDC_HOSTS."
            )


def _identity(issuer: Issuer, claims: Mapping[str, Any]) -> Identity:
    told = claims.get(issuer.groups_claim, [])
    groups = [told] if isinstance(told, str) else told if isinstance(told, list) else []
    names = (claims.get(key) for key in ("preferred_username", "name", "email", "sub"))
    return Identity(
        issuer=issuer.address,
        subject=str(claims["sub"]),
        name=next(str(name) for name in names if name),
        groups=frozenset(group for group in groups if isinstance(group, str)),
    )


def _refusal(why: str) -> InvalidError:
    """The reason is for the log: it may come from anybody."""
    _log.warning("single sign-on was refused", reason=why)
    return InvalidError(_REFUSED)
