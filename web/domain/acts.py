"""What was done, in words."""

from web.domain.audit import Outcome

_WHOLE = {
    "recording.listen": "Recording heard live",
    "recording.download_ledger": "Ledger of a recording downloaded",
    "recording.end": "Recording ended",
    "node.begin_run": "Agent of a node started",
    "node.join_again": "Node joined again",
    "session.begin": "Signed in",
    "session.end": "Signed out",
    "audit.export": "Audit downloaded",
    "audit.leave_out": "Further refusals only counted",
}
_IRREGULAR = {
    "add": "added",
    "begin": "began",
    "do": "done",
    "end": "ended",
    "forget": "forgotten",
    "give": "given",
    "make": "made",
    "put": "put",
    "read": "read",
    "send": "sent",
    "set": "set",
    "spend": "spent",
    "stop": "stopped",
    "take": "taken",
    "withdraw": "withdrawn",
}
_VOWELS = "aeiou"


def in_words(action: str, outcome: Outcome) -> str:
    """`recording.stop` is “Recording stopped” when it was done, else “Stop recording”."""
    noun, _, verb = (part.replace("_", " ") for part in action.partition("."))
    first, _, rest = verb.partition(" ")
    if outcome is Outcome.DENIED:
        return " ".join([first.capitalize(), *rest.split(), noun])
    if action in _WHOLE:
        return _WHOLE[action]
    return " ".join([noun.capitalize(), _past(first), *rest.split()])


def _past(verb: str) -> str:
    if verb in _IRREGULAR:
        return _IRREGULAR[verb]
    if verb.endswith("e"):
        return f"{verb}d"
    if verb.endswith("y") and verb[-2:-1] not in _VOWELS:
        return f"{verb[:-1]}ied"
    return f"{verb}ed"
