"""Keys that seal secrets in the database. They lie in a file outside of it, and are never written anywhere else."""

import base64
import contextlib
import json
import os
import secrets
import stat
import threading
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from protocol.ids import new_id
from web.domain.errors import ControllerError
from web.store import sealed
from web.store.database import Database

Place = tuple[str, str, object]
"""Table, column and row id: a secret that is copied elsewhere cannot be opened there."""

_VERSION = b"\x01"
_KEY_BYTES = 32
_NONCE_BYTES = 12
_HEAD_BYTES = len(_VERSION) + 16 + _NONCE_BYTES
_PROVED = b"reelkeeper"


class KeysError(ControllerError):
    """The keys for secrets cannot be used. The text is one line and says what to do."""


@dataclass(frozen=True)
class _Ring:
    """What stands in the file: keys by their ids, the newest last. That one seals."""

    keys: dict[UUID, bytes] = field(repr=False)

    @property
    def newest(self) -> UUID:
        return next(reversed(self.keys))


class Keys:
    """One a controller. The file is read again once another process has changed it."""

    def __init__(self, path: Path) -> None:
        """Makes the file, for this user only, when there is none. Raises KeysError."""
        self._path = path
        self._lock = threading.Lock()
        if not path.exists():
            _write(path, _Ring({new_id(): secrets.token_bytes(_KEY_BYTES)}), is_first=True)
        self._read()

    @property
    def newest_id(self) -> UUID:
        """Of the key that seals."""
        return self._current().newest

    @property
    def ids(self) -> tuple[UUID, ...]:
        """Of all keys, the newest last."""
        return tuple(self._current().keys)

    def seal(self, plain: bytes, of: Place) -> bytes:
        """The secret for this place of the database: a version, the id of the key, a nonce, AES-256-GCM."""
        ring, nonce = self._current(), secrets.token_bytes(_NONCE_BYTES)
        cipher = AESGCM(ring.keys[ring.newest])
        return _VERSION + ring.newest.bytes + nonce + cipher.encrypt(nonce, plain, _associated(of))

    def open(self, sealed_bytes: bytes, of: Place) -> bytes:
        """The secret that was sealed for this place.

        Raises KeysError when its key is missing, or when it was changed or sealed for another place.
        """
        key_id = sealed_by(sealed_bytes)
        key = self._current().keys.get(key_id)
        if key is None:
            raise KeysError(f"Key {key_id} is missing in {self._path}; put the file back from its backup.")
        nonce = sealed_bytes[_HEAD_BYTES - _NONCE_BYTES : _HEAD_BYTES]
        try:
            return AESGCM(key).decrypt(nonce, sealed_bytes[_HEAD_BYTES:], _associated(of))
        except InvalidTag as fault:
            raise KeysError(f"A secret in {of[0]}.{of[1]} is not what key {key_id} sealed there.") from fault

    def add(self) -> UUID:
        """A new key, which seals from now on."""
        with self._lock:
            made = new_id()
            self._replace(_Ring({**self._ring.keys, made: secrets.token_bytes(_KEY_BYTES)}))
            return made

    def drop(self, key_ids: set[UUID]) -> None:
        """Forgets keys that seal nothing any more. The newest stays."""
        with self._lock:
            kept = {key_id: key for key_id, key in self._ring.keys.items() if key_id not in key_ids}
            self._replace(_Ring(kept or self._ring.keys))

    def _current(self) -> _Ring:
        with self._lock:
            if _identity(self._path) != self._known:
                self._read()
            return self._ring

    def _replace(self, ring: _Ring) -> None:
        _write(self._path, ring)
        self._read()

    def _read(self) -> None:
        self._known = _identity(self._path)
        self._ring = _parsed(self._path)


def sealed_by(sealed_bytes: bytes) -> UUID:
    """The id of the key that sealed it. Raises KeysError for what nothing of ours sealed."""
    if len(sealed_bytes) < _HEAD_BYTES or sealed_bytes[:1] != _VERSION:
        raise KeysError("This is no secret that was sealed here.")
    return UUID(bytes=sealed_bytes[1:17])


async def open_keys(db: Database, path: Path) -> Keys:
    """The keys of this installation, held against its database; made at its first start.

    Raises KeysError, in one line, when the file lacks a key that sealed something, or holds another in its place:
    nothing is changed then.
    """
    known = await sealed.keys(db)
    _require_there(path, known)
    keys = Keys(path)
    _require_proved(keys, known)
    await _prove_newest(db, keys)
    return keys


async def rotate(db: Database, path: Path) -> UUID:
    """Adds a key, seals every secret anew with it, and drops the older ones; answers the new key's id.

    A running controller goes on: it reads the file again. Can be repeated after any fault: no key is dropped before
    nothing needs it. Raises KeysError.
    """
    keys = await open_keys(db, path)
    newest = keys.add()
    await _prove_newest(db, keys)
    for column in sealed.COLUMNS:
        for row_id, secret in await sealed.secrets_of(db, column, but_by=newest):
            place = (column.table, column.name, row_id)
            await sealed.replace(db, column, row_id, old=secret, new=keys.seal(keys.open(secret, place), place))
    older = {key_id for key_id in keys.ids if key_id != newest}
    keys.drop({key_id for key_id in older if await sealed.forget_key(db, key_id)})
    return newest


def _require_there(path: Path, known: list[tuple[UUID, bytes]]) -> None:
    if known and not path.exists():
        missing = ", ".join(str(key_id) for key_id, _ in known)
        raise KeysError(f"The key file {path} is missing, with key {missing}; put it back from its backup.")


def _require_proved(keys: Keys, known: list[tuple[UUID, bytes]]) -> None:
    for key_id, proof in known:
        keys.open(proof, ("sealing_key", "proof", key_id))


async def _prove_newest(db: Database, keys: Keys) -> None:
    """Notes in the database which key seals, so that another file is noticed: also one made at the same moment."""
    newest = keys.newest_id
    proof = keys.seal(_PROVED, ("sealing_key", "proof", newest))
    async with db.transaction() as session:
        known = await sealed.lock_keys(session)
        if newest not in dict(known):
            await sealed.add_key(session, newest, proof)
    _require_proved(keys, known)


def _associated(of: Place) -> bytes:
    return json.dumps([str(part) for part in of]).encode()


def _identity(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError as fault:
        raise KeysError(f"The key file {path} cannot be read ({fault.strerror}).") from fault
    return found.st_ino, found.st_mtime_ns, found.st_size


def _parsed(path: Path) -> _Ring:
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise KeysError(f"Others may read the key file {path}; chmod 600 it.")
        told = json.loads(path.read_text("ascii"))
        keys = {UUID(one["id"]): base64.b64decode(one["key"], validate=True) for one in told["keys"]}
    except OSError as fault:
        raise KeysError(f"The key file {path} cannot be read ({fault.strerror}).") from fault
    except (ValueError, KeyError, TypeError) as fault:
        raise KeysError(f"The key file {path} is damaged; put it back from its backup.") from fault
    if not keys or any(len(key) != _KEY_BYTES for key in keys.values()):
        raise KeysError(f"The key file {path} is damaged; put it back from its backup.")
    return _Ring(keys)


def _write(path: Path, ring: _Ring, *, is_first: bool = False) -> None:
    """In one step, so that a cut leaves the old file or the new one. A first one never replaces what is there."""
    told = {"keys": [{"id": str(key_id), "key": base64.b64encode(key).decode()} for key_id, key in ring.keys.items()]}
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(told, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        if is_first:
            with contextlib.suppress(FileExistsError):
                path.hardlink_to(aside)
            aside.unlink()
        else:
            aside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as fault:
        raise KeysError(f"The key file {path} cannot be written ({fault.strerror}).") from fault
