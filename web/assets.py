"""Files of the console that never change under one address."""

from os import PathLike, stat_result

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

_FOR_EVER = "public, max-age=31536000, immutable"
_PLAIN = "no-cache"


class Assets(StaticFiles):
    """Kept by browsers for ever when the address names the version, as `static_path` makes it."""

    def file_response(
        self, full_path: str | PathLike[str], stat_result: stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        if b"v=" not in scope["query_string"]:
            response.headers["Cache-Control"] = _PLAIN
            return response
        response.headers["Cache-Control"] = _FOR_EVER
        for validator in ("etag", "last-modified"):  # nobody asks again whether it is still the same
            if validator in response.headers:
                del response.headers[validator]
        return response
