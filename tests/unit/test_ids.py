"""Ids sort by time; tokens are told apart by kind and never carry less than they promise."""

from protocol.ids import new_id, new_token, token_digest, token_id


def test_new_ids_are_version_7_and_unique() -> None:
    made = [new_id() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert {one.version for one in made} == {7}
    assert {one.variant for one in made} == {"specified in RFC 4122"}


def test_new_ids_sort_by_millisecond() -> None:
    made = [new_id() for _ in range(1000)]
    milliseconds = [one.int >> 80 for one in made]
    assert milliseconds == sorted(milliseconds)


def test_token_gives_its_id_back_only_for_its_kind() -> None:
    name = new_id()
    token = new_token("node", name)
    assert token_id("node", token) == name
    assert token_id("user", token) is None


def test_damaged_tokens_have_no_id() -> None:
    for damaged in ("", "rkn", "rkn_", "rkn__x", "rkn_zz_secret", f"rkn_{new_id().hex}_"):
        assert token_id("node", damaged) is None


def test_token_digest_depends_on_every_character() -> None:
    token = new_token("user", new_id())
    assert token_digest(token) != token_digest(token[:-1] + ("A" if token[-1] != "A" else "B"))
