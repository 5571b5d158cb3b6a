"""Secrets are sealed for one place by keys that lie outside the database, and keys change without losing one."""

import json
import os
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from web.services import keys as keys_of
from web.services.keys import Keys, KeysError, open_keys, sealed_by
from web.store.database import Database

pytestmark = pytest.mark.anyio

PLACE = ("second_factor", "secret", "7")
SECRET = b"nobody reads this"


async def _keep(owner: Any, keys: Keys) -> UUID:
    """A person's second factor, sealed."""
    row_id, user_id = uuid4(), uuid4()
    await owner.execute("INSERT INTO user_account (id, name) VALUES ($1, $2)", user_id, str(user_id))
    await owner.execute(
        "INSERT INTO second_factor (id, user_id, secret) VALUES ($1, $2, $3)",
        *(row_id, user_id, keys.seal(SECRET, ("second_factor", "secret", row_id))),
    )
    return row_id


def test_what_was_sealed_opens_again_at_its_place_alone(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys")
    sealed = keys.seal(SECRET, PLACE)
    assert SECRET not in sealed
    assert keys.open(sealed, PLACE) == SECRET
    assert keys.seal(SECRET, PLACE) != sealed
    for place in (("other", "secret", "7"), ("second_factor", "other", "7"), ("second_factor", "secret", "8")):
        with pytest.raises(KeysError, match="is not what key"):
            keys.open(sealed, place)


@pytest.mark.parametrize("at", [0, 1, 17, 29, -1])
def test_a_changed_byte_is_noticed_wherever_it_is(tmp_path: Path, at: int) -> None:
    keys = Keys(tmp_path / "keys")
    spoilt = bytearray(keys.seal(SECRET, PLACE))
    spoilt[at] ^= 1
    with pytest.raises(KeysError):
        keys.open(bytes(spoilt), PLACE)


def test_the_file_is_for_its_user_only_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    keys = Keys(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["keys"]
    path.chmod(0o640)
    os.utime(path, ns=(1, 1))
    with pytest.raises(KeysError, match="chmod 600"):
        keys.seal(SECRET, PLACE)


@pytest.mark.parametrize("text", ["", "{}", '{"keys": []}', '{"keys": [{"id": "x", "key": "eA=="}]}', "\xff"])
def test_a_damaged_file_is_named_and_left_as_it_is(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(KeysError, match="damaged"):
        Keys(path)
    assert path.read_text() == text


async def test_a_missing_or_foreign_file_is_named_and_nothing_is_made(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    known = (await open_keys(db, path)).newest_id
    aside = path.rename(tmp_path / "aside")
    with pytest.raises(KeysError, match=f"is missing, with key {known}"):
        await open_keys(db, path)
    assert not path.exists()
    Keys(path)
    with pytest.raises(KeysError, match=f"Key {known} is missing in"):
        await open_keys(db, path)
    told = json.loads(aside.read_text())
    told["keys"][0]["key"] = json.loads(path.read_text())["keys"][0]["key"]
    path.write_text(json.dumps(told))
    with pytest.raises(KeysError, match="is not what key"):
        await open_keys(db, path)
    aside.replace(path)
    assert (await open_keys(db, path)).newest_id == known


async def test_rotation_seals_everything_anew_and_drops_the_old_key(db: Database, owner: Any, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    running = await open_keys(db, path)
    old = running.newest_id
    rows = [await _keep(owner, running) for _ in range(3)]
    newest = await keys_of.rotate(db, path)
    assert running.ids == (newest,) != (old,)
    for row_id in rows:
        secret = await owner.fetchval("SELECT secret FROM second_factor WHERE id = $1", row_id)
        assert sealed_by(secret) == newest
        assert running.open(secret, ("second_factor", "secret", row_id)) == SECRET
    assert await owner.fetchval("SELECT count(*) FROM sealing_key") == 1


async def test_a_rotation_that_was_cut_is_finished_by_the_next(db: Database, owner: Any, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    keys = await open_keys(db, path)
    row_id = await _keep(owner, keys)
    keys.add()
    assert len((await open_keys(db, path)).ids) == 2
    newest = await keys_of.rotate(db, path)
    secret = await owner.fetchval("SELECT secret FROM second_factor")
    assert Keys(path).open(secret, ("second_factor", "secret", row_id)) == SECRET
    assert (await open_keys(db, path)).ids == (newest,)


async def test_a_key_that_still_seals_something_is_never_dropped(db: Database, owner: Any, tmp_path: Path) -> None:
    keys = await open_keys(db, tmp_path / "keys")
    await _keep(owner, keys)
    assert not await keys_of.sealed.forget_key(db, keys.newest_id)
    with pytest.raises(Exception, match="foreign key"):
        await owner.execute("DELETE FROM sealing_key")


async def test_two_first_starts_with_files_of_their_own_do_not_both_go_on(db: Database, tmp_path: Path) -> None:
    await open_keys(db, tmp_path / "one")
    with pytest.raises(KeysError, match="is missing"):
        await open_keys(db, tmp_path / "two")
