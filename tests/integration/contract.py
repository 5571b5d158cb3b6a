"""Holds every answer of the JSON API against its OpenAPI document."""

import re
from typing import Any

import httpx
from jsonschema import Draft202012Validator, FormatChecker

BASE = "/api/v1"


class Contract:
    """The document of a running controller."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._paths = {re.compile(re.sub(r"\{\w+\}", r"[^/]+", path)): path for path in document["paths"]}
        self.seen: set[tuple[str, str, int]] = set()
        """Method, path and status of everything that was checked."""

    async def check(self, response: httpx.Response) -> None:
        """Raises AssertionError for an answer that the document does not know."""
        path = self._path_of(response.request.url.path)
        if path is None:
            return
        method = "get" if response.request.method == "HEAD" else response.request.method.lower()
        operation = self._document["paths"][path].get(method)
        if operation is None:
            assert response.status_code == 405
            return
        described = operation["responses"].get(str(response.status_code))
        assert described is not None, f"{method} {path} has no {response.status_code}: {await response.aread()!r}"
        self.seen.add((method, path, response.status_code))
        media_type = response.headers.get("Content-Type")
        if "content" not in described:
            assert await response.aread() == b""
            return
        assert media_type in described["content"], f"{method} {path} gave {media_type}"
        schema = described["content"][media_type]["schema"]
        if media_type.endswith("json") and response.request.method != "HEAD" and schema:
            await response.aread()
            whole = {**schema, "components": self._document["components"]}
            Draft202012Validator(whole, format_checker=FormatChecker()).validate(response.json())

    def _path_of(self, path: str) -> str | None:
        return next((found for pattern, found in self._paths.items() if pattern.fullmatch(path)), None)


async def contract_of(url: str) -> Contract:
    async with httpx.AsyncClient(timeout=60, trust_env=False, verify=False) as client:
        return Contract((await client.get(f"{url}{BASE}/openapi.json")).json())
