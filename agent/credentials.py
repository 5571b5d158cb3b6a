"""The token of this node: exchanged for another when the controller asks for it, or when it ran out."""

import structlog

from agent.controller_client import ControllerClient
from agent.errors import UnauthorisedError
from agent.identity import require_own_identity
from agent.spool import Spool
from agent.states import NodeIdentity
from protocol.ids import new_token, token_digest
from protocol.messages import TokenRequest

log = structlog.get_logger()


class Credentials:
    """The next token is made and kept here before its digest is sent, and used once it is this node's: an answer that
    is lost, or a crash at any point, leaves one that is good."""

    def __init__(self, spool: Spool, client: ControllerClient) -> None:
        self._spool = spool
        self._client = client

    async def run(self) -> None:
        """Waits until another token is due, and takes it up. Raises RejoinedError when the node joined again."""
        await self._spool.token_due.wait()
        self._spool.token_due.clear()
        try:
            await require_own_identity(self._spool.folder, self._spool.node)
            await self._exchange(await self._with_next())
        except Exception:
            self._spool.token_due.set()
            raise

    async def _with_next(self) -> NodeIdentity:
        node = self._spool.node
        if node.next_token is None:
            node = await self._spool.update_node(next_token=new_token("node", node.node_id))
        return node

    async def _exchange(self, node: NodeIdentity) -> None:
        assert node.next_token is not None
        request = TokenRequest(digest=token_digest(node.next_token))
        try:
            await self._client.rotate_token(request)
        except UnauthorisedError:
            await self._ask_with_next(node.token, node.next_token, request)
        await self._spool.update_node(token=node.next_token, next_token=None)
        self._client.use_token(node.next_token)
        self._spool.token_due.clear()  # whatever was refused until now came with the old one
        log.info("the token of this node was exchanged for another")

    async def _ask_with_next(self, token: str, next_token: str, request: TokenRequest) -> None:
        """It may be in use already: what was written here can be older than what was done, after a broken disk."""
        self._client.use_token(next_token)
        try:
            await self._client.rotate_token(request)
        except Exception:
            self._client.use_token(token)
            raise
