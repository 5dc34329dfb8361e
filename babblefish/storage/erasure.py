"""The mark that something was deleted whose bytes still have to go.

It is set in the transaction that deletes, so that a process that dies before the bytes are gone
finds it when it starts again; ``Database.erase_traces`` takes it away. The mark is a number that
every deletion raises.
"""

from __future__ import annotations

from sqlalchemy import Connection

EVERYWHERE = 2
_ONE_MORE = 4


def mark(connection: Connection, everywhere: bool = False) -> None:
    """``everywhere``: in databases that were set aside as damaged too, which goes only by
    deleting them."""
    before = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    after = int(before) + _ONE_MORE | (EVERYWHERE if everywhere else 0)
    connection.exec_driver_sql(f"PRAGMA user_version = {after}")
