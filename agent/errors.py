"""Everything that can go wrong in the agent, one class a meaning. `retry_helps` says whether trying again may."""

from uuid import UUID


class AgentError(Exception):
    """The agent cannot do what was asked."""

    retry_helps = False

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__)


# ---- at the start ----


class SpoolBusyError(AgentError):
    """Another agent uses this spool. Stop it first, or set REELKEEPER_HOME to another folder."""


class NotEnrolledError(AgentError):
    """This node does not belong to a controller yet. Run the command that its console shows under Nodes, Add node."""


class RejoinedError(AgentError):
    """This node joined again by another command; the agent goes on under its new token."""


class CertificateError(AgentError):
    """A certificate cannot be used."""


class RunFolderError(AgentError):
    """The run folder cannot be used. Set REELKEEPER_RUN_FOLDER to a short folder of your own."""


# ---- the controller ----


class ControllerFault(AgentError):
    """The controller refused a request."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class InsecureControllerError(AgentError):
    """Plain http is spoken to this machine only. Use an https address, or set REELKEEPER_ALLOW_PLAIN_HTTP=true."""


class UnreachableError(AgentError):
    """The controller did not answer. Check the network and that the controller runs."""

    retry_helps = True


class RetryLaterError(AgentError):
    """The controller asks for patience."""

    retry_helps = True

    def __init__(self, message: str, after_seconds: float | None) -> None:
        super().__init__(message)
        self.after_seconds = after_seconds


class UnauthorisedError(ControllerFault):
    """The token of this node is not valid (any more). Let the node join again."""


class TokenExpiredError(UnauthorisedError):
    """The token of this node ran out, and is good for another one only."""


class NodeRunSupersededError(ControllerFault):
    """Another agent has registered with the identity of this node. Find the clone and remove its node.json."""


class LeaseLostError(ControllerFault):
    """The job has ended, or belongs to somebody else, as far as the controller is concerned."""

    def __init__(self, message: str, code: str, job_id: UUID | None, epoch: int | None) -> None:
        super().__init__(message, code)
        self.job_id = job_id
        self.epoch = epoch


class WrongOffsetError(ControllerFault):
    """The controller holds another number of bytes than this request began at."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message, "wrong_offset")
        self.offset = offset


class DigestMismatchError(ControllerFault):
    """The controller's bytes are not the ones that were sent."""


# ---- recordings ----


class DoesNotFitError(AgentError):
    """The node cannot record what the job asks for."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class JobGoneError(AgentError):
    """The job has left the spool meanwhile."""


class RendererError(AgentError):
    """A rendition cannot be made from its take."""
