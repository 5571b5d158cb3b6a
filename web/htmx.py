"""What HTMX says in its requests and reads from answers; the only place that knows its header names."""

from starlette.requests import Request
from starlette.responses import Response

VARY = "HX-Request, HX-History-Restore-Request"
"""One URL gives a page or a fragment of it: caches must keep them apart."""


def wants_fragment(request: Request) -> bool:
    """Whether a part of the page is enough. Boosted and history-restoring requests get the whole page."""
    asked = request.headers
    return (
        asked.get("HX-Request") == "true"
        and asked.get("HX-Boosted") != "true"
        and asked.get("HX-History-Restore-Request") != "true"
    )


def go_to(path: str) -> Response:
    """Makes HTMX load another page, whatever the fragment was meant for."""
    return Response(status_code=204, headers={"HX-Redirect": path, "Vary": VARY})
