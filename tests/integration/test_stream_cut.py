"""A stream whose source dies again and again while its reader is slow: each is cut, and the process goes on."""
import socket

from conftest import TEMPLATE, start_gateway
from gateway import token
from wait import eventually

SQL = """
create schema far; grant usage on schema far to sluice_reader;
create view far.gushing as select g as id, repeat('x', 1000) as body from generate_series(1, 300000) g;
grant select on all tables in schema far to sluice_reader;
"""
END = "select pg_terminate_backend(pid) from pg_stat_activity where state = 'active' and query ilike '%%\"gushing\"%%' and pid <> pg_backend_pid()"


def test_a_hundred_streams_cut_in_the_middle_leave_the_process_standing(own_postgres, tmp_path):
    own_postgres.query(TEMPLATE, SQL)
    api = start_gateway(tmp_path, own_postgres, None, TEMPLATE, {"warehouse": {"schemas": ["far"]}, "server": {"workers": 1}})
    api.token = token(scope="datasets:read")
    head = "".join(f"{name}: {value}\r\n" for name, value in api.headers().items())
    try:
        for turn in range(100):
            with api.connect(60) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
                connection.sendall(f"GET /v1/datasets/gushing HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode())
                tail = connection.recv(65536)
                assert tail.startswith(b"HTTP/1.1 200"), tail[:300]
                eventually(lambda: own_postgres.query(TEMPLATE, END), says="the end of the query")
                try:
                    while chunk := connection.recv(1 << 20):
                        tail = (tail + chunk)[-16:]
                except ConnectionResetError:
                    pass
                assert not tail.endswith(b"0\r\n\r\n"), "the answer looks whole"
            assert api.process.poll() is None, (turn, api.errors()[-500:])
    finally:
        api.stop()
