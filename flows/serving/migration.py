"""Bring a database to the tables and block types of this version; run as a module, once.

Replicas that start at the same time on an empty database would do it side by side, and all but one
fail.
"""

from __future__ import annotations

import asyncio


async def migrate() -> None:
    """Make or change tables, and register the kinds of blocks."""
    from prefect.server.database import provide_database_interface
    from prefect.server.models.block_registration import run_block_auto_registration

    database = provide_database_interface()
    await database.create_db()
    async with database.session_context() as session:
        await run_block_auto_registration(session=session)


if __name__ == "__main__":
    asyncio.run(migrate())
