"""A session begins."""

from protocol.ids import new_id, new_token, token_digest
from web.domain.access import Actor
from web.domain.audit import Object
from web.domain.people import BROWSER_LONGEST, LONGEST_SECONDS, SignedIn, User, Visit
from web.services.auditing import audit
from web.store import accounts, tries
from web.store.database import Session


async def begin(
    session: Session, user: User, visit: Visit, *, how: str, is_by_link: bool = False, is_by_issuer: bool = False
) -> SignedIn:
    """In the transaction that found it to be right, which holds the account. `how` stands in the audit."""
    session_id = new_id()
    token = new_token("session", session_id)
    await accounts.add_session(
        session,
        session_id,
        user.id,
        digest=token_digest(token),
        is_by_link=is_by_link,
        is_by_issuer=is_by_issuer,
        valid_seconds=LONGEST_SECONDS,
        address=visit.source.address,
        browser=visit.browser[:BROWSER_LONGEST],
    )
    await tries.know(session, user.id, visit.source.address)
    by = Actor("user", user.id, user.name, {}, visit.source)
    await audit.note(session, by, "session.begin", Object("session", session_id), after={"how": how})
    return SignedIn(user, token)
