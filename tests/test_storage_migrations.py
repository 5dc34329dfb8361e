"""Migrations: from the first revision to the newest with data, and none is missing."""

from __future__ import annotations

import sqlite3

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory

from babblefish.storage.database import Database, alembic_config
from babblefish.storage.tables import REVISION, metadata
from tests.stored import NOW, opened, room, said


def at_first_revision(folder) -> None:
    """A database as the first version of the storage made it, with a person in it."""
    database = Database(folder)
    database._migrate = lambda: None
    database._sweep = lambda: None
    database.open(NOW)
    with database.begin() as connection:
        command.upgrade(alembic_config(connection), "0001")
        connection.exec_driver_sql(
            "INSERT INTO speakers VALUES ('s1', 'Ana', 'closest', '{}', 2, 1.0)"
        )
        connection.exec_driver_sql(
            "INSERT INTO consents VALUES ('c1', 's1', 'voiceprint', 'Ana', 'Yes.', '1', 'en', 1.0,"
            " NULL)"
        )
        connection.exec_driver_sql(
            "INSERT INTO embeddings VALUES ('e1', 's1', 'ge2e', x'0000803f', 3.0, 'upload', 1.0)"
        )
    database.release()


async def test_an_old_database_is_brought_up_to_date_with_all_that_is_in_it(tmp_path):
    at_first_revision(tmp_path)
    async with opened(tmp_path) as storage:
        assert storage.health.state == "ok" and storage.health.set_aside == ()
        assert [(s.name, s.color) for s in await storage.speakers()] == [("Ana", 2)]
        assert await storage.agreed("s1") == {"voiceprint"}
        assert [e.array.tolist() for e in await storage.embeddings()] == [[1.0]]
        storage.record(room())
        storage.record(said(1, speaker_id="s1"))
        assert len(await storage.transcript("r00m")) == 1
    with sqlite3.connect(tmp_path / "babblefish.db") as plain:
        assert plain.execute("SELECT version_num FROM alembic_version").fetchall() == [(REVISION,)]
        assert plain.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_migration_that_makes_a_table_anew_takes_no_rows_along(tmp_path, monkeypatch):
    at_first_revision(tmp_path)
    upgrade, seen = command.upgrade, []

    def rebuild_too(config, revision):
        upgrade(config, revision)
        connection = config.attributes["connection"]
        with Operations(MigrationContext.configure(connection)).batch_alter_table(
            "speakers", recreate="always"
        ) as batch:
            batch.alter_column("color", nullable=True)
        seen.append(revision)

    monkeypatch.setattr(command, "upgrade", rebuild_too)
    database = Database(tmp_path)
    database.open(NOW)
    with database.begin() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM consents").scalar_one() == 1
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1
    assert seen == ["head"]
    database.release()


def test_the_migrations_make_exactly_the_tables_of_the_code(tmp_path):
    database = Database(tmp_path)
    database.open(NOW)
    with database.begin() as connection:
        assert ScriptDirectory.from_config(alembic_config(connection)).get_heads() == [REVISION]
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []
        connection.exec_driver_sql("ALTER TABLE speakers ADD COLUMN shoe_size FLOAT")
        assert compare_metadata(context, metadata) != [], "the comparison sees a difference"
    database.release()


async def test_a_database_of_a_newer_version_is_left_alone(tmp_path):
    async with opened(tmp_path) as storage:
        await storage.add_speaker("Ana")
    with sqlite3.connect(tmp_path / "babblefish.db") as plain:
        plain.execute("UPDATE alembic_version SET version_num = '9999'")
    plain.close()
    async with opened(tmp_path) as storage:
        assert storage.health.code == "newer" and "Update" in storage.health.message
        storage.record(room())
    assert list(tmp_path.glob("*.corrupt-*")) == []
    with sqlite3.connect(tmp_path / "babblefish.db") as plain:
        assert plain.execute("SELECT name FROM speakers").fetchall() == [("Ana",)]
    plain.close()
