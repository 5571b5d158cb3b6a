"""What this controller is and stands on, for whoever may see the settings."""

import asyncio
import platform
import shutil
from pathlib import Path

from web.domain.access import Actor, Permission
from web.domain.system import SystemFacts
from web.services.controller import Controller
from web.store import audit, sealed, system


async def facts(controller: Controller, *, by: Actor) -> SystemFacts:
    """Raises ForbiddenError."""
    by.require_everywhere(Permission.SETTINGS_READ)
    around = controller.surroundings
    disk = None if around.cache_folder is None else await asyncio.to_thread(_space, around.cache_folder)
    return SystemFacts(
        surroundings=around,
        python=platform.python_version(),
        database=await system.facts(controller.db),
        disk_free_bytes=disk and disk[0],
        disk_total_bytes=disk and disk[1],
        audit_head=await audit.last_seal(controller.db),
        keys=len(await sealed.keys(controller.db)),
        newest_key=str(controller.keys.newest_id),
    )


def _space(folder: Path) -> tuple[int, int] | None:
    """Free and total bytes of its disk; None when it cannot be asked."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    return usage.free, usage.total
