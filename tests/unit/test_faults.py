"""What was sent wrong is said in our words, and of an unknown key which there are."""

import json
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from web.api.v1.models import PageQuery
from web.domain.faults import in_words
from web.domain.profiles import ProfileDraft
from web.domain.recordings import StartRecording
from web.domain.sign_in_rules import SecondFactorRule
from web.domain.tokens import TokenRequest

ID = "01a1ff33-5bae-7c8d-9a5c-430358e563fc"
START = {"id": ID, "node_id": ID, "name": "Council"}
AN_ID = f"Give an id, as {ID}."


class Rule(BaseModel):
    rule: SecondFactorRule
    is_kept: bool
    share: float


RULE = {"rule": "optional", "is_kept": True, "share": 0.5}


def _said(model: type[BaseModel], sent: Any) -> dict[str, str]:
    text = sent if isinstance(sent, str) else json.dumps(sent)
    with pytest.raises(ValidationError) as refused:
        model.model_validate_json(text, strict=True)
    return {".".join(map(str, one["loc"])): in_words(one, model) for one in refused.value.errors()}


@pytest.mark.parametrize(
    ("model", "sent", "field", "words"),
    [
        (PageQuery, {"limitt": 5}, "limitt", "This key is not known here; known are: limit, before."),
        (
            StartRecording,
            {**START, "limits": {"length": 5}},
            "limits.length",
            "This key is not known here; known are: length_ms, size_bytes, idle_ms.",
        ),
        (StartRecording, {"id": ID, "name": "Council"}, "node_id", "This key is needed."),
        (StartRecording, {**START, "id": "x"}, "id", AN_ID),
        (StartRecording, {**START, "id": 5}, "id", AN_ID),
        (StartRecording, {**START, "name": 5}, "name", "Give a text."),
        (StartRecording, {**START, "name": ""}, "name", "Give at least 1 character."),
        (StartRecording, {**START, "name": "x" * 201}, "name", "Give at most 200 characters."),
        (StartRecording, {**START, "tags": "x"}, "tags", "Give a list."),
        (StartRecording, {**START, "channels": []}, "channels", "Give at least 1 entry."),
        (StartRecording, {**START, "channels": ["x"]}, "channels.0", "Give a whole number."),
        (StartRecording, {**START, "preroll_ms": 1.5}, "preroll_ms", "Give a whole number."),
        (StartRecording, {**START, "preroll_ms": -1}, "preroll_ms", "Give at least 0."),
        (StartRecording, {**START, "duration_ms": 10**12}, "duration_ms", "Give at most 316224000000."),
        (StartRecording, {**START, "output": "x"}, "output", "Give 'separate', 'mono' or 'stereo'."),
        (
            StartRecording,
            {**START, "ends_at": "2026-11-21T18:00:00"},
            "ends_at",
            "Give an instant with its zone, as 2026-11-21T18:00:00Z.",
        ),
        (StartRecording, {**START, "limits": 5}, "limits", "Give an object, with keys."),
        (
            StartRecording,
            {**START, "folder": "a//b"},
            "folder",
            "write a folder as Court/2026, with a name before and behind each slash",
        ),
        (TokenRequest, {"name": "x", "permissions": ["x"]}, "permissions.0", None),
        (ProfileDraft, {"name": "x", "encoding": {}}, "encoding", "The key 'codec' is needed in it."),
        (
            ProfileDraft,
            {"name": "x", "encoding": {"codec": "x"}},
            "encoding",
            "As 'codec' give one of 'wav', 'flac', 'mp3'.",
        ),
        (Rule, {**RULE, "rule": "x"}, "rule", "Give 'optional', 'administrators' or 'everybody'."),
        (Rule, {**RULE, "is_kept": "x"}, "is_kept", "Give true or false."),
        (Rule, {**RULE, "share": "x"}, "share", "Give a number."),
        (Rule, "{", "", "This is no JSON: EOF while parsing an object at line 1 column 1."),
    ],
)
def test_a_fault_is_one_sentence_of_ours(model: type[BaseModel], sent: Any, field: str, words: str | None) -> None:
    said = _said(model, sent)
    assert list(said) == [field]
    if words is None:
        assert said[field].startswith("Give '")
    else:
        assert said[field] == words
