"""Every fault of the controller, one class a meaning. The docstring is the message when nobody gave another."""

from collections.abc import Sequence
from math import ceil
from typing import Any
from uuid import UUID

from web.domain.rates import Standing


class ControllerError(Exception):
    """Something went wrong in the controller."""

    def __init__(self, message: str | None = None, **facts: Any) -> None:
        super().__init__(message or type(self).__doc__)
        self.facts = facts
        """Members of the problem besides the usual ones; never a secret."""


class UnauthorisedError(ControllerError):
    """A valid token is needed; send it as `Authorization: Bearer …`."""


class TokenExpiredError(UnauthorisedError):
    """This node token has run out; exchange it for another by `POST /token`."""


class SignInRequiredError(ControllerError):
    """Sign in to see this."""


class SecondFactorNeededError(SignInRequiredError):
    """A second factor is asked of you here; set one up first."""


class LinkSpentError(ControllerError):
    """This link was used or is too old; type “reelkeeper sign-in” on the controller's machine for a new one."""


class ForbiddenError(ControllerError):
    """The permission for this is missing; ask an administrator for it."""

    def __init__(self, permission: str, message: str | None = None) -> None:
        super().__init__(message or f"You lack the permission {permission} for this.")
        self.permission = permission
        self.facts = {"permission": permission}


class NotYoursError(ControllerError):
    """This belongs to another node."""

    def __init__(self, job_id: UUID, node_id: UUID) -> None:
        super().__init__(f"Job {job_id} does not belong to node {node_id}.", job_id=str(job_id))


class NotFoundError(ControllerError):
    """There is no such thing, or it is not yours to see."""

    def __init__(self, noun: str, key: object) -> None:
        super().__init__(f"There is no {noun} {key}, or it is not yours to see.", noun=noun)


class OutOfReachError(NotFoundError):
    """No node to record on is within your reach."""

    def __init__(self, givers: Sequence[str]) -> None:
        who = ", ".join(givers) or "an administrator"
        ControllerError.__init__(
            self, f"No node to record on is within your reach; {who} can give you one.", noun="node"
        )


class ConflictError(ControllerError):
    """The present state does not allow this."""


class LastAdministratorError(ConflictError):
    """Then nobody would be left who may do everything; make somebody else an administrator first."""


class LocalSignInOffError(ConflictError):
    """Passwords are switched off here, and links for one with them: people come in by single sign-on. On the
    controller's machine “reelkeeper sign-in” lets an administrator in."""

    def __init__(self) -> None:
        super().__init__(" ".join((type(self).__doc__ or "").split()))


class SetupClosedError(ConflictError):
    """The first run is over; sign in, or ask whoever set this up."""


class ChangedMeanwhileError(ConflictError):
    """Somebody else has changed this since you opened it; look at both, then save again."""


class CapacityError(ConflictError):
    """The node captures as much at once as it may."""

    def __init__(self, node: str, capacity: int, busy: Sequence[str | None]) -> None:
        """None stands for what the reader may not know of."""
        known = [name for name in busy if name is not None]
        others = len(busy) - len(known)
        hidden = [f"{others} that you cannot see"] if others else []
        names = ", ".join([*(f"“{name}”" for name in known), *hidden]) or "nothing"
        super().__init__(
            f"{node} is busy: it records {names}, and may record {capacity} at once. "
            "Stop one of these or raise the node's capacity.",
            capacity=capacity,
            busy=known,
        )


class NodeFullError(ConflictError):
    """The node can write a recording nowhere."""

    def __init__(self, node: str, spools: Sequence[tuple[str, str]]) -> None:
        folders = ", ".join(f"{path} ({standing})" for path, standing in spools)
        super().__init__(
            f"{node} has no space for another recording: {folders}. Make room there or add a spill folder; what waits "
            "for its upload makes room by itself.",
            spools=[{"path": path, "standing": standing} for path, standing in spools],
        )


class NodeDrainingError(ConflictError):
    """The node takes on nothing new."""

    def __init__(self, node: str) -> None:
        super().__init__(
            f"{node} drains: it ends what it records and takes on nothing new. End that on the node's page, or choose "
            "another node."
        )


class EpochSupersededError(ConflictError):
    """The lease on this job went to somebody else; keep the audio and offer it as salvage."""

    def __init__(self, job_id: UUID, epoch: int, current_epoch: int) -> None:
        super().__init__(
            f"Epoch {epoch} of job {job_id} was superseded by epoch {current_epoch}; "
            "keep the audio and offer it as salvage.",
            current_epoch=current_epoch,
        )


class NodeRunSupersededError(ConflictError):
    """A newer agent runs with the token of this node; if that is a clone, revoke the token and enrol again."""

    def __init__(self, node_run: int, current_run: int) -> None:
        super().__init__(
            f"Run {node_run} of this node was superseded by run {current_run}; "
            "if that is a clone, revoke the token and enrol again.",
            current_run=current_run,
        )


class JobEndedError(ConflictError):
    """This job has ended already. After a failed end its audio may be offered as salvage."""

    def __init__(self, job_id: UUID, state: str, reason: str | None) -> None:
        why = f" ({reason})" if reason else ""
        super().__init__(f"Job {job_id} has ended: {state}{why}.", state=state, reason=reason)


class WrongOffsetError(ConflictError):
    """The part does not go on at this byte; go on at `offset`."""

    def __init__(self, offset: int, part: str) -> None:
        super().__init__(f"The part {part} goes on at byte {offset}.", offset=offset, part=part)
        self.offset = offset
        self.part = part


class UploadReplacedError(ConflictError):
    """A newer request for the same part has taken over."""


class DigestMismatchError(ControllerError):
    """A part is not what the seal says; send it again from `offset`."""

    def __init__(self, part: str, message: str, *, offset: int = 0) -> None:
        super().__init__(f"{message} Send {part} again from byte {offset}.", part=part, offset=offset)
        self.part = part
        self.offset = offset


class InvalidError(ControllerError):
    """The request says something that cannot be. `field` names the input at fault; the text says what would do."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message, **({} if field is None else {"field": field}))
        self.field = field


class KeyReusedError(InvalidError):
    """This idempotency key came with another request; take a new one."""

    def __init__(self) -> None:
        super().__init__(type(self).__doc__ or "", field="Idempotency-Key")


class UnsupportedBodyError(ControllerError):
    """The body has to be JSON, and its Content-Type application/json."""


class TooManyRequestsError(ControllerError):
    """Too many requests."""

    def __init__(self, standing: Standing) -> None:
        super().__init__(
            f"Too many requests: {standing.rate.number} in {standing.rate.seconds:g} s are allowed. "
            f"Ask again in {standing.wait_seconds} s.",
            limit=standing.rate.name,
        )
        self.standing = standing


class TooLargeError(ControllerError):
    """This is more than the controller accepts."""


class NoSpaceError(ControllerError):
    """The cache store has reached its reserve; make room or give it a larger disk."""


class SlowDownError(ControllerError):
    """Too many tries; wait a little."""

    def __init__(self, seconds: float) -> None:
        self.seconds = max(1, ceil(seconds))
        wait = f"{self.seconds} seconds" if self.seconds > 1 else "a second"
        super().__init__(f"Too many tries; wait {wait}, then try again.", retry_after_seconds=self.seconds)


class UnavailableError(ControllerError):
    """The controller cannot answer now; ask again."""


class NotDrawnError(UnavailableError):
    """Nothing of this recording is drawn yet; ask again in a moment."""


class DatabaseUnavailableError(UnavailableError):
    """The database does not answer right now; ask again."""

    def __init__(self, cause: str) -> None:
        super().__init__(f"The database does not answer right now ({cause}); ask again.")


class NotCachedError(ConflictError):
    """There is no finished file to give out; `cache_state` says why."""

    def __init__(self, cache_state: str, message: str) -> None:
        super().__init__(message, cache_state=cache_state)


class RangeNotSatisfiableError(ControllerError):
    """The file ends before the range that was asked for."""

    def __init__(self, file_bytes: int) -> None:
        super().__init__(f"The file has {file_bytes} bytes.", bytes=file_bytes)
        self.file_bytes = file_bytes
