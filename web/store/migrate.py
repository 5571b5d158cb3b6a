"""Bring a database to the schema of this version."""


async def migrate(url: str) -> list[str]:
    """Run the migrations that this database lacks, each in one transaction; answers their names.

    `url` is of the role `owner`. Several controllers may do this at once: an advisory lock lets them take turns.
    """
    raise NotImplementedError
