"""The one writer of CSV: what it writes is text in every spreadsheet, and never a formula."""

import csv
import io
from collections.abc import AsyncIterator, Iterable
from http import HTTPStatus

from starlette.responses import StreamingResponse

from web.media.files import FILE_HEADERS, content_disposition

_FORMULA = frozenset("=+-@\t\r\n\0＝＋－＠|%")
"""What makes a spreadsheet calculate, or hides that the next character does; full-width forms too."""


def csv_lines(rows: Iterable[Iterable[object]]) -> str:
    """Every cell quoted; None is empty. A cell that could be a formula gets a quote before it."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerows([_harmless(cell) for cell in row] for row in rows)
    return text.getvalue()


def csv_response(name: str, blocks: AsyncIterator[str]) -> StreamingResponse:
    """Sends blocks of lines as they come, to be saved under this name."""
    headers = {name: value for name, value in FILE_HEADERS.items() if name not in ("Accept-Ranges",)} | {
        "Content-Disposition": content_disposition("attachment", name)
    }
    return StreamingResponse(_encoded(blocks), HTTPStatus.OK, headers, media_type="text/csv; charset=utf-8")


async def _encoded(blocks: AsyncIterator[str]) -> AsyncIterator[bytes]:
    """Begins with a mark by which spreadsheets know the encoding."""
    yield b"\xef\xbb\xbf"
    async for block in blocks:
        yield block.encode()


def _harmless(cell: object) -> str:
    text = "" if cell is None else str(cell)
    could_calculate = not _FORMULA.isdisjoint((text[:1], text.lstrip()[:1]))
    return ("'" if could_calculate else "") + text.replace("\0", "\ufffd")
