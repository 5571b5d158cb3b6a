"""A systemd that is process 1 of namespaces of its own, so that units can be restarted on any machine.

It has its own mounts, network, processes and branch of the cgroups, knows no unit of the machine, and dies with its
starter.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

_SYSTEMD = Path("/lib/systemd/systemd")
_TARGET = "reelkeeper-kit.target"
_START_SECONDS = 30.0
_INSIDE = f"""set -e
for disk in $(grep -o " /tmp/rk-[^ ]*" /proc/mounts); do umount -l "$disk"; done
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /etc/systemd/system
mount --bind /dev/null /dev/console || true
printf '[Unit]\\nDefaultDependencies=no\\n' > /etc/systemd/system/{_TARGET}
ip link set lo up
exec env -i container=kit PATH=/usr/sbin:/usr/bin:/sbin:/bin {_SYSTEMD} \
    --system --unit={_TARGET} --log-target=null --show-status=no
"""
"""A disk of another system of the kit that stayed mounted here could not be mounted anew there."""


class UnitsError(Exception):
    """No systemd could be started here; the message says why."""


def why_no_units() -> str | None:
    """Why `own_systemd` would fail here, None where it should work."""
    if os.geteuid() != 0:
        return "Namespaces with a systemd of their own take root."
    lacking = [
        command for command in ("unshare", "nsenter", "ip", "systemctl", "systemd-run") if not shutil.which(command)
    ]
    if lacking or not _SYSTEMD.exists():
        return f"It takes {', '.join(lacking) or 'systemd'}."
    return None if _cgroups() else "It takes a cgroup2 file system."


@contextlib.contextmanager
def own_systemd() -> Iterator[list[str]]:
    """What a command begins with to be run beside it, `systemctl` for one. Raises UnitsError."""
    if why_not := why_no_units():
        raise UnitsError(why_not)
    branch = Path(_cgroups() or "", f"reelkeeper-kit-{os.getpid()}")
    branch.mkdir()
    namespaces = ["--pid", "--mount", "--uts", "--ipc", "--net", "--cgroup", "--propagation", "slave", "--mount-proc"]
    enter = ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(branch)]
    starter = subprocess.Popen(
        [*enter, "unshare", *namespaces, "--fork", "--kill-child", "sh", "-c", _INSIDE], stdin=subprocess.DEVNULL
    )
    try:
        yield ["nsenter", "--target", str(_first_process(starter)), "--all", f"--wd={Path.cwd()}"]
    finally:
        for process in _processes(branch):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        starter.wait()
        for folder in [*sorted(branch.rglob("*/"), reverse=True), branch]:
            _remove(folder)


def _first_process(starter: "subprocess.Popen[bytes]") -> int:
    """Once its units can be asked for."""
    deadline = time.monotonic() + _START_SECONDS
    children = Path(f"/proc/{starter.pid}/task/{starter.pid}/children")
    while time.monotonic() < deadline and starter.poll() is None:
        for pid in children.read_text().split():
            asked = ["nsenter", "--target", pid, "--all", "systemctl", "is-active", _TARGET]
            if subprocess.run(asked, capture_output=True, check=False).returncode == 0:
                return int(pid)
        time.sleep(0.1)
    raise UnitsError("systemd did not start in namespaces of its own.")


def _cgroups() -> str | None:
    lines = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    return next((words[1] for words in lines if words[2] == "cgroup2"), None)


def _processes(branch: Path) -> list[int]:
    return [int(pid) for file in branch.rglob("cgroup.procs") for pid in file.read_text().split()]


def _remove(branch: Path) -> None:
    """A branch is empty only once its last process is reaped."""
    deadline = time.monotonic() + _START_SECONDS
    while branch.exists():
        try:
            branch.rmdir()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
