"""Every fault of the controller, one class a meaning. The docstring is the message when nobody gave another."""

from typing import Any


class ControllerError(Exception):
    """Something went wrong in the controller."""

    def __init__(self, message: str | None = None, **facts: Any) -> None:
        super().__init__(message or type(self).__doc__)
        self.facts = facts
        """Members of the problem besides the usual ones; never a secret."""


class UnauthorisedError(ControllerError):
    """A valid token is needed; send it as `Authorization: Bearer …`."""


class ForbiddenError(ControllerError):
    """The permission for this is missing; ask an administrator for it."""

    def __init__(self, permission: str, message: str | None = None) -> None:
        super().__init__(message or f"The permission {permission} is missing; ask an administrator for it.")
        self.permission = permission
        self.facts = {"permission": permission}


class NotYoursError(ControllerError):
    """This belongs to another node."""


class NotFoundError(ControllerError):
    """There is no such thing, or it is not yours to see."""


class ConflictError(ControllerError):
    """The present state does not allow this."""


class EpochSupersededError(ConflictError):
    """The lease on this job went to somebody else; keep the audio and offer it as salvage."""


class NodeRunSupersededError(ConflictError):
    """A newer agent runs with the token of this node; if that is a clone, revoke the token and enrol again."""


class JobEndedError(ConflictError):
    """This job has ended already; keep the audio and offer it as salvage."""


class WrongOffsetError(ConflictError):
    """The part does not go on at this byte; go on at `offset`."""

    def __init__(self, offset: int, part: str) -> None:
        super().__init__(f"The part {part} goes on at byte {offset}.", offset=offset, part=part)
        self.offset = offset
        self.part = part


class UploadReplacedError(ConflictError):
    """A newer request for the same part has taken over."""


class DigestMismatchError(ControllerError):
    """The part is not what the seal says; it was emptied, send it again from `offset`."""

    def __init__(self, part: str, message: str, *, offset: int = 0) -> None:
        super().__init__(f"{message} The part {part} was emptied; send it again.", part=part, offset=offset)
        self.part = part
        self.offset = offset


class InvalidError(ControllerError):
    """The request says something that cannot be."""


class TooLargeError(ControllerError):
    """This is more than the controller accepts."""


class NoSpaceError(ControllerError):
    """The cache store has reached its reserve; make room or give it a larger disk."""


class UnavailableError(ControllerError):
    """The controller cannot answer now; ask again."""


class RangeNotSatisfiableError(ControllerError):
    """The file ends before the range that was asked for."""

    def __init__(self, file_bytes: int) -> None:
        super().__init__(f"The file has {file_bytes} bytes.", bytes=file_bytes)
        self.file_bytes = file_bytes
