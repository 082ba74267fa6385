"""A connection string to a database elsewhere is verified, whatever it leaves out, and what waives that is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.inventory.backups import trusts_anybody, verified

MODES = ("disable", "allow", "prefer", "require", "verify-ca")
ELSEWHERE = (
    "host=db.example dbname=x",
    "host = 'db.example' dbname=x",
    "hostaddr=192.0.2.9 dbname=x",
    "dbname=x host=/tmp,db.example",
    "postgresql://karaula@db.example/x",
    "postgres://192.0.2.9:5432/x?connect_timeout=5",
    "host=127.example dbname=x",
)
HERE = (
    "dbname=x",
    "host=/run/postgresql dbname=x",
    "host=127.0.0.1 port=5433 dbname=x",
    "hostaddr=::1 dbname=x",
    "host=localhost dbname=x",
    "postgresql:///x",
    "postgresql://karaula@localhost:5433/x",
    "postgresql://%2Frun%2Fpostgresql/x",
    "postgresql://[::1]:5433/x",
)


def with_mode(connection: str, mode: str) -> str:
    if "://" not in connection:
        return f"{connection} sslmode={mode}"
    return f"{connection}{'&' if '?' in connection else '?'}sslmode={mode}"


@given(st.sampled_from(ELSEWHERE + HERE))
def test_what_says_nothing_is_verified_and_that_is_not_refused(connection: str) -> None:
    asked = verified(connection)
    assert asked == with_mode(connection, "verify-full")
    assert verified(asked) == asked
    assert not trusts_anybody(asked)
    assert not trusts_anybody(connection)


@given(st.sampled_from(ELSEWHERE), st.sampled_from(MODES))
def test_of_a_server_elsewhere_nothing_less_will_do(connection: str, mode: str) -> None:
    assert trusts_anybody(with_mode(connection, mode))


@given(st.sampled_from(HERE), st.sampled_from(MODES))
def test_on_the_vault_itself_it_may_be_in_the_clear(connection: str, mode: str) -> None:
    asked = with_mode(connection, mode)
    assert not trusts_anybody(asked)
    assert verified(asked) == asked


@pytest.mark.parametrize("quoted", ["host=db.example sslmode='require'", "sslmode = require host=db.example"])
def test_however_it_is_written(quoted: str) -> None:
    assert trusts_anybody(quoted)
