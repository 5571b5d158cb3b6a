"""Record: one form, as a page and as a dialog over every page."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any, get_args
from uuid import UUID

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from protocol.fit import misfit
from protocol.ids import new_id
from protocol.messages import Encoding, FlacEncoding, JobSettings, Limits, Mp3Encoding, WavEncoding
from web.domain.access import Actor, Permission
from web.domain.channels import ChannelMode, channel_map
from web.domain.errors import (
    CapacityError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NodeDrainingError,
    NodeFullError,
    OutOfReachError,
)
from web.domain.nodes import Interface
from web.domain.profiles import Profile
from web.domain.recordings import Place, Recording, StartRecording, WantedLimits
from web.domain.space import usual_kbps
from web.domain.standing import NodeCard
from web.forms import Form, faults_of, read_form
from web.htmx import go_to, wants_fragment
from web.pages.page import controller_of
from web.rendering import render, see_other, viewer_of
from web.services.recorders import standing
from web.services.work import profiles, recordings
from web.services.work.reach import out_of_reach

_MODES: tuple[ChannelMode, ...] = get_args(ChannelMode)
_LABELS = (("duration_ms", "duration_hours"), ("node_id", "node"))
_NAME_LONGEST = 200
_NUMBER = re.compile(r"\d{1,9}(\.\d{1,6})?")


@dataclass(frozen=True)
class LimitField:
    """A limit as it is typed."""

    name: str
    label: str
    field: str
    """Of `WantedLimits`."""
    factor: int
    """From the unit that is typed to that of the field."""
    fault: str


LIMITS = (
    LimitField("limit_hours", "Length, h", "length_ms", 3_600_000, "Give the longest length in hours, 0 for no limit."),
    LimitField(
        "limit_megabytes",
        "Size, MB",
        "size_bytes",
        1_000_000,
        "Give the largest size in MB from 0.1 on, 0 for no limit.",
    ),
    LimitField(
        "limit_silence",
        "Silence, min",
        "idle_ms",
        60_000,
        "Give the longest silence in minutes, at least a second, 0 for no limit.",
    ),
)
_LIMITS_BY_FIELD = {limit.field: limit for limit in LIMITS}


@dataclass(frozen=True)
class Fit:
    """What becomes of what is chosen."""

    lacking: str | None
    """Why it cannot be recorded so."""
    channels: int
    seconds_left: float | None
    """Of the node's disk, with this recording and all that runs."""
    limits: Limits
    """What ends it by itself."""


@dataclass(frozen=True)
class Asked:
    """What the form says, and what it leaves open filled in as most people want it."""

    form: Form
    card: NodeCard
    profiles: list[Profile]
    by: Actor
    faults: dict[str, str] = field(default_factory=dict)

    @property
    def folders(self) -> list[str]:
        """Those that the recording has to lie in; none when it may lie anywhere."""
        scope = self.by.scope(Permission.RECORDING_CREATE)
        return [] if scope.covers(self.card.node.id, "") else sorted(scope.folders)

    @property
    def folder(self) -> str:
        """The first that is allowed where the form says none."""
        return self.form.get("folder") or next(iter(self.folders), "")

    @property
    def interface(self) -> Interface | None:
        """None on a node that has none."""
        chosen = self.form.get("interface")
        return next((one for one in self.card.usable if str(one.id) == chosen), self.card.likeliest)

    @property
    def profile(self) -> Profile:
        """The one that was chosen; else the default, or the first that takes all channels when that does not."""
        chosen = next((one for one in self.profiles if str(one.id) == self.form.get("profile_id")), None)
        if chosen is not None:
            return chosen
        in_order = sorted(self.profiles, key=lambda profile: not profile.is_default)
        return next((profile for profile in in_order if self._lacking(profile) is None), in_order[0])

    @property
    def output(self) -> ChannelMode | None:
        return next((mode for mode in _MODES if mode == self.form.get("output")), None)

    @property
    def misfits(self) -> dict[UUID, str]:
        """Profiles that do not take what is chosen, and why."""
        lacking = {profile.id: self._lacking(profile) for profile in self.profiles}
        return {profile_id: words for profile_id, words in lacking.items() if words is not None}

    @property
    def limits(self) -> Limits:
        """Those of the profile where the form says nothing, or nonsense."""
        try:
            return _limits(self.form).over(self.profile.limits)
        except ValidationError:
            return self.profile.limits

    @property
    def reaches_back(self) -> bool:
        """Whether it is to begin before the press."""
        return self.interface is not None and self.form.has("preroll", str(self.interface.id))

    def channels(self, interface: Interface) -> list[int]:
        """Those that are ticked; all, before the form has shown them."""
        every = list(range(interface.capture.channels))
        if self.form.get("shown") != str(self.card.node.id):
            return every
        return [channel for channel in every if self.form.has("channel", f"{interface.id}.{channel}")]

    def fit(self) -> Fit | None:
        """None without an input."""
        if self.interface is None:
            return None
        try:
            rows = self._rows(self.profile, self.interface)
        except InvalidError as refused:
            return Fit(str(refused), 0, self.card.seconds_left, self.limits)
        this = JobSettings(
            interface=self.interface.ref,
            capture=self.interface.capture,
            channel_map=rows,
            encoding=self.profile.encoding,
        )
        return Fit(
            misfit(this.encoding, len(rows), this.capture.sample_rate_hz),
            len(rows),
            self.card.seconds_left_with(this),
            self.limits,
        )

    def _rows(self, profile: Profile, interface: Interface) -> list[list[float]]:
        channels = self.channels(interface)
        if not channels:
            raise InvalidError("Tick at least one channel.", field="channels")
        mode = self.output or profile.channel_mode
        return channel_map(channels, mode, interface.capture.channels, interface.label)

    def _lacking(self, profile: Profile) -> str | None:
        if self.interface is None:
            return None
        try:
            rows = self._rows(profile, self.interface)
        except InvalidError as refused:
            return str(refused) if refused.field != "channels" else None
        return misfit(profile.encoding, len(rows), self.interface.capture.sample_rate_hz)


async def form(request: Request) -> Response:
    """Also keeps what was typed while another node is chosen."""
    request.user.require(Permission.RECORDING_CREATE)
    return await _form(request, Form(tuple(request.query_params.multi_items())))


async def fit(request: Request) -> Response:
    """What becomes of what is chosen, as a fragment."""
    request.user.require(Permission.RECORDING_CREATE)
    asked = await _asked(request, Form(tuple(request.query_params.multi_items())))
    return render(request, "partials/_record_fit.html", {} if asked is None else _fit(asked))


async def start(request: Request) -> Response:
    """A refused form keeps its id: sent again, it is still the same recording.

    Raises OutOfReachError where there is no form, since no node may be recorded on.
    """
    request.user.require(Permission.RECORDING_CREATE)
    sent = await read_form(request)
    asked = await _asked(request, sent)
    if asked is None:
        if fault := await _out_of_reach(request):
            raise fault
        return await _form(request, sent)
    faults = _faults(asked)
    if not faults:
        try:
            return _started(
                request,
                await recordings.start_recording(controller_of(request).db, _wanted(asked), by=request.user),
            )
        except ValidationError as refused:
            faults = faults_of(refused, _LABELS)
        except InvalidError as refused:
            faults = {refused.field or "": str(refused)}
        except (CapacityError, NodeDrainingError, NodeFullError) as refused:
            faults = {"node": str(refused)}
        except ForbiddenError as refused:
            faults = {"folder": str(refused)}
        except ConflictError:
            return await _form(
                request,
                sent,
                {"": "This form was used for another recording already; press Start to record once more."},
            )
    return await _form(request, sent, faults, _id(sent))


async def _form(
    request: Request, sent: Form, faults: dict[str, str] | None = None, recording_id: UUID | None = None
) -> Response:
    cards = await _cards(request)
    asked = await _asked(request, sent, cards)
    context: dict[str, Any] = {
        "here": "record.form",
        "cards": cards,
        "asked": asked,
        "out_of_reach": None if asked else await _out_of_reach(request),
        "faults": faults or {},
        "id": recording_id or new_id(),
        "name": sent.get("name") if faults else sent.get("name") or _usual_name(request),
        "modes": _MODES,
        "limit_fields": LIMITS,
        "encodings": {profile.id: encoding_words(profile.encoding) for profile in asked.profiles} if asked else {},
        **(_fit(asked) if asked else {}),
    }
    template = "partials/_record_dialog.html" if wants_fragment(request) else "pages/record/form.html"
    status = HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK
    return render(request, template, context, status=status)


async def _asked(request: Request, sent: Form, cards: list[NodeCard] | None = None) -> Asked | None:
    """None while there is no node that may be recorded on."""
    cards = await _cards(request) if cards is None else cards
    chosen = next((card for card in cards if str(card.node.id) == sent.get("node")), None)
    likeliest = sorted(cards, key=_trouble)
    if chosen is None and not likeliest:
        return None
    by: Actor = request.user
    return Asked(sent, chosen or likeliest[0], await profiles.all_profiles(controller_of(request).db, by=by), by)


async def _cards(request: Request) -> list[NodeCard]:
    """Of the nodes that whoever asks may record on."""
    scope = request.user.scope(Permission.RECORDING_CREATE)
    cards = await standing.node_cards(controller_of(request).db, by=request.user)
    return [card for card in cards if scope.reaches(card.node.id)]


async def _out_of_reach(request: Request) -> OutOfReachError | None:
    db = controller_of(request).db
    return await out_of_reach(db, by=request.user, seen_within=db.timeouts.node_not_seen)


def _fit(asked: Asked) -> dict[str, Any]:
    return {
        "card": asked.card,
        "fit": asked.fit(),
        "encoding": encoding_words(asked.profile.encoding),
    }


def _trouble(card: NodeCard) -> tuple[bool, ...]:
    """Less of it comes first."""
    return not card.node.is_seen, card.node.is_draining, not card.node.has_space, card.is_full, not card.usable


def _usual_name(request: Request) -> str:
    return f"Recording {datetime.now(viewer_of(request).zone):%Y-%m-%d %H:%M}"


def _faults(asked: Asked) -> dict[str, str]:
    """What can be said without asking the service, one sentence a field."""
    sent, faults = asked.form, {}
    if not 1 <= len(sent.get("name")) <= _NAME_LONGEST:
        faults["name"] = f"Give the recording a name of 1 to {_NAME_LONGEST} characters."
    if sent.get("node") and sent.get("node") != str(asked.card.node.id):
        faults["node"] = "This node is not there any more, or not yours to record on; choose another."
    if not asked.by.may(Permission.RECORDING_CREATE, Place(asked.card.node.id, asked.folder)):
        faults["folder"] = f"You may record only into {' and '.join(asked.folders) or 'other folders'}."
    if asked.interface is None or sent.get("interface") not in ("", str(asked.interface.id)):
        faults["interface"] = f"Choose an input of “{asked.card.node.name}”."
    elif not asked.channels(asked.interface):
        faults["channels"] = "Tick at least one channel."
    if _duration_ms(sent) is None:
        faults["duration_hours"] = "Give the duration as whole hours and minutes, or leave both empty."
    try:
        _limits(sent)
    except ValidationError as refused:
        wrong = {_LIMITS_BY_FIELD[str(one["loc"][0])] for one in refused.errors()}
        faults |= {limit.name: limit.fault for limit in LIMITS if limit in wrong}
    return faults


def _wanted(asked: Asked) -> StartRecording:
    """Raises ValidationError."""
    sent, interface = asked.form, asked.interface
    channels = None if interface is None else asked.channels(interface)
    is_every = interface is not None and channels == list(range(interface.capture.channels))
    return StartRecording(
        id=_id(sent),
        node_id=asked.card.node.id,
        name=sent.get("name"),
        folder=asked.folder,
        tags=[tag.strip() for tag in sent.get("tags").split(",") if tag.strip()],
        profile_id=asked.profile.id,
        interface=None if interface is None else interface.ref,
        channels=None if is_every else channels,
        output=asked.output,
        duration_ms=_duration_ms(sent) or None,
        limits=_limits(sent),
        preroll_ms=interface.preroll_seconds * 1000 if interface is not None and asked.reaches_back else 0,
    )


def _limits(sent: Form) -> WantedLimits:
    """An empty field is left to the profile. Raises ValidationError, also for what is no number."""
    typed = {limit: sent.get(limit.name).replace(",", ".") for limit in LIMITS}
    return WantedLimits.model_validate(
        {limit.field: times(text, limit.factor) for limit, text in typed.items() if text}
    )


def times(text: str, factor: int) -> int:
    """A number of a larger unit in its smallest; below every limit for what is no number."""
    return round(float(text) * factor) if _NUMBER.fullmatch(text) else -1


def _id(sent: Form) -> UUID:
    """As the form has it; a new one for a form that has none."""
    try:
        return UUID(sent.get("id"))
    except ValueError:
        return new_id()


def _duration_ms(sent: Form) -> int | None:
    """0 for one that is not wanted, None for what is no duration."""
    hours, minutes = sent.get("duration_hours") or "0", sent.get("duration_minutes") or "0"
    if not (hours.isascii() and hours.isdigit() and minutes.isascii() and minutes.isdigit()):
        return None
    return (int(hours[:9]) * 60 + int(minutes[:9])) * 60_000


def encoding_words(encoding: Encoding) -> str:
    """`MP3, about 128 kbit/s`, `FLAC, 24 bit`."""
    match encoding:
        case Mp3Encoding(bitrate_kbps=None):
            return f"MP3, about {usual_kbps(encoding)} kbit/s"
        case Mp3Encoding():
            return f"MP3, {encoding.bitrate_kbps} kbit/s"
        case FlacEncoding():
            return f"FLAC, {encoding.bits} bit"
        case WavEncoding():
            return "WAV, as captured" if encoding.sample_type is None else f"WAV, {encoding.sample_type}"


def _started(request: Request, recording: Recording) -> Response:
    if wants_fragment(request):
        return go_to(str(request.app.url_path_for("recordings.show", recording_id=recording.id)))
    return see_other(request, "recordings.show", recording_id=recording.id)
