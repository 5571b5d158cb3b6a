"""Profiles: how recordings are encoded, and what ends them."""

from http import HTTPStatus
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from protocol.messages import Encoding, FlacEncoding, Limits, Mp3Encoding
from web.domain.access import Permission
from web.domain.errors import ChangedMeanwhileError, ConflictError, InvalidError
from web.domain.faults import in_words
from web.domain.profiles import Profile, ProfileDraft
from web.forms import Form, read_form
from web.pages.page import controller_of
from web.pages.queries import identifier
from web.pages.record import LIMITS, encoding_words, times
from web.pages.saved import Saved, saved
from web.rendering import render, see_other
from web.services.work import profiles

BITRATES = (64, 96, 128, 160, 192, 256, 320)
_KINDS = ("mp3-vbr", "mp3-cbr", "flac-16", "flac-24", "wav")
_FAULTS = {
    "name": "Give the profile a name of up to 100 characters.",
    "minimum_bytes": "Give a number of bytes up to 1 000 000 000, or nothing for what the node says.",
    "encoding": "Choose how it is encoded.",
}


async def index(request: Request) -> Response:
    request.user.require_everywhere(Permission.SETTINGS_READ)
    db, by = controller_of(request).db, request.user
    found = await profiles.all_profiles(db, by=by)
    context = {
        "here": "settings.index",
        "profiles": found,
        "words": {one.id: encoding_words(one.encoding) for one in found},
        "uses": await profiles.uses(db, by=by),
    }
    return render(request, "pages/profiles/index.html", context)


async def new(request: Request) -> Response:
    """An empty form, or a copy of the profile `like`."""
    request.user.require_everywhere(Permission.SETTINGS_EDIT)
    like = identifier(request, "like")
    if like is None:
        return _form(request, None, {"kind": "mp3-vbr", "vbr_quality": "5", "bitrate_kbps": "128"})
    copied = await profiles.profile(controller_of(request).db, like, by=request.user)
    return _form(request, None, _typed(copied) | {"name": f"{copied.name} (copy)"})


async def make(request: Request) -> Response:
    request.user.require_everywhere(Permission.SETTINGS_EDIT)
    sent = await read_form(request)
    try:
        made = await profiles.make(controller_of(request).db, _draft(sent), by=request.user)
    except (ValidationError, InvalidError) as refused:
        return _form(request, None, dict(sent.fields), _faults(refused))
    return see_other(request, "profiles.show", profile_id=made.id)


async def show(request: Request) -> Response:
    told = await saved(request, "profiles.show", _id(request), profile_id=_id(request))
    found = await _profile(request)
    return _form(request, found, _typed(found), saved=told)


async def change(request: Request) -> Response:
    request.user.require_everywhere(Permission.SETTINGS_EDIT)
    sent, version = await read_form(request), 0
    try:
        version = int(sent.get("version") or "0") if len(sent.get("version")) < 9 else 0
        changed = await profiles.change(
            controller_of(request).db, _id(request), _draft(sent), version=version, by=request.user
        )
    except ChangedMeanwhileError as refused:
        return _form(request, await _profile(request), dict(sent.fields), conflict=str(refused))
    except (ValidationError, InvalidError) as refused:
        return _form(request, await _profile(request), dict(sent.fields), _faults(refused), version=version)
    return see_other(request, "profiles.show", profile_id=changed.id)


async def make_default(request: Request) -> Response:
    await profiles.make_default(controller_of(request).db, _id(request), by=request.user)
    return see_other(request, "profiles.index")


async def delete_form(request: Request) -> Response:
    request.user.require_everywhere(Permission.SETTINGS_EDIT)
    return await _delete_page(request)


async def delete(request: Request) -> Response:
    try:
        await profiles.delete(controller_of(request).db, _id(request), by=request.user)
    except ConflictError as refused:
        return await _delete_page(request, str(refused))
    return see_other(request, "profiles.index")


async def _delete_page(request: Request, fault: str | None = None) -> Response:
    context = {"here": "settings.index", "profile": await _profile(request), "fault": fault}
    status = HTTPStatus.CONFLICT if fault else HTTPStatus.OK
    return render(request, "pages/profiles/delete.html", context, status=status)


def _form(
    request: Request,
    profile: Profile | None,
    typed: dict[str, str],
    faults: dict[str, str] | None = None,
    *,
    version: int | None = None,
    conflict: str | None = None,
    saved: Saved | None = None,
) -> Response:
    """`version` is what the reader has seen; the newest unless said otherwise. A conflict shows both."""
    now = None if profile is None else _typed(profile)
    context = {
        "here": "settings.index",
        "profile": profile,
        "typed": typed,
        "now": now,
        "faults": faults or {},
        "conflict": conflict,
        "saved": saved,
        "version": version or (profile.version if profile else 0),
        "words": encoding_words(profile.encoding) if profile else "",
        "limit_fields": LIMITS,
        "bitrates": BITRATES,
        "may_edit": request.user.scope(Permission.SETTINGS_EDIT).everything,
    }
    usual = HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK
    status = HTTPStatus.CONFLICT if conflict else usual
    return render(request, "pages/profiles/show.html", context, fragment="saved", status=status)


def _draft(sent: Form) -> ProfileDraft:
    """Raises ValidationError."""
    minimum = sent.get("minimum_bytes")
    return ProfileDraft.model_validate(
        {
            "name": sent.get("name"),
            "encoding": _encoding(sent),
            "channel_mode": sent.get("channel_mode", "separate"),
            "minimum_bytes": minimum or None,
            "limits": {
                limit.field: times(sent.get(limit.name).replace(",", "."), limit.factor)
                for limit in LIMITS
                if sent.get(limit.name)
            },
        }
    )


def _encoding(sent: Form) -> dict[str, Any]:
    match sent.get("kind"):
        case "mp3-vbr":
            return {"codec": "mp3", "vbr_quality": sent.get("vbr_quality")}
        case "mp3-cbr":
            return {"codec": "mp3", "bitrate_kbps": sent.get("bitrate_kbps")}
        case "flac-16":
            return {"codec": "flac", "bits": 16}
        case "flac-24":
            return {"codec": "flac", "bits": 24}
        case "wav":
            return {"codec": "wav"}
        case other:
            return {"codec": other}


def _typed(profile: Profile) -> dict[str, str]:
    """A profile as its form has it."""
    return {
        "name": profile.name,
        "channel_mode": profile.channel_mode,
        "minimum_bytes": "" if profile.minimum_bytes is None else str(profile.minimum_bytes),
        **_typed_encoding(profile.encoding),
        **{limit.name: _in_unit(profile.limits, limit.field, limit.factor) for limit in LIMITS},
    }


def _typed_encoding(encoding: Encoding) -> dict[str, str]:
    usual = {"vbr_quality": "5", "bitrate_kbps": "128"}
    match encoding:
        case Mp3Encoding(bitrate_kbps=None):
            return usual | {"kind": "mp3-vbr", "vbr_quality": str(encoding.vbr_quality)}
        case Mp3Encoding():
            return usual | {"kind": "mp3-cbr", "bitrate_kbps": str(encoding.bitrate_kbps)}
        case FlacEncoding():
            return usual | {"kind": f"flac-{encoding.bits}"}
        case _:
            return usual | {"kind": "wav"}


def _in_unit(limits: Limits, field: str, factor: int) -> str:
    value: int | None = getattr(limits, field)
    return "" if value is None else f"{value / factor:g}"


def _faults(refused: ValidationError | InvalidError) -> dict[str, str]:
    if isinstance(refused, InvalidError):
        return {refused.field or "": str(refused)}
    found: dict[str, str] = {}
    limits = {limit.field: limit for limit in LIMITS}
    for one in refused.errors():
        path = [str(part) for part in one["loc"]]
        if path[0] == "limits" and len(path) > 1:
            found[limits[path[1]].name] = limits[path[1]].fault
        elif path[-1] in ("vbr_quality", "bitrate_kbps"):
            found[path[-1]] = "Choose a quality from 0 to 9." if path[-1] == "vbr_quality" else "Give 8 to 320 kbit/s."
        else:
            found["kind" if path[0] == "encoding" else path[0]] = _FAULTS.get(path[0], in_words(one))
    return found


async def _profile(request: Request) -> Profile:
    return await profiles.profile(controller_of(request).db, _id(request), by=request.user)


def _id(request: Request) -> UUID:
    profile_id: UUID = request.path_params["profile_id"]
    return profile_id
