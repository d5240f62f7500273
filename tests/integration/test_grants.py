"""What each of our logins may do in the database, whole. Deny by default: what comes new is refused here until somebody writes it down below."""
import pytest

READ, ROWS = "select", "select insert update delete"
# Relations of the schema sluice. A customer's and the writer's rows are held by policies besides (test_customer_walls, test_loads).
RELATIONS = {
    "sluice_reader": {"audit": READ, "dataset_version": READ},
    "sluice_writer": {"dataset_version": READ, "idempotency": ROWS, "quarantine": "select insert delete"},
    "sluice_customer": {"analysis": ROWS, "customer": READ, "idempotency": ROWS, "job": ROWS, "quarantine": ROWS, "share": ROWS, "upload": ROWS},
    "public": {},
}
# Functions of the schema sluice; those of others run with the rights of who calls.
FUNCTIONS = {
    "sluice_reader": {"audit_anchor_add(text[],bigint[],text[])", "audit_anchors_thin()", "audit_erasures(bigint,boolean)", "audit_expire(integer)", "audit_shipped_to(text[])",
                      "audit_store(text,jsonb)", "revocations_since(bigint,integer)", "revoke(text,text,text,text,bigint,bigint,text)"},
    "sluice_writer": set(),
    "sluice_customer": {"me()", "raise_own(name,name)", "raise_version()", "track_own(regclass)"},
    "public": set(),
}
SCHEMAS = {"sluice_reader": {"serving", "sluice", "warehouse"}, "sluice_writer": {"sluice"}, "sluice_customer": {"sluice"}, "public": set()}
PRIVILEGES = ("select", "insert", "update", "delete", "truncate", "references", "trigger")
ROLES = sorted(RELATIONS)


def relations_of(postgres, database, role):
    found = {}
    for name, privilege in postgres.query(database, "select c.relname, p from pg_class c, unnest(%s) p where c.relnamespace = 'sluice'::regnamespace and c.relkind in ('r', 'v', 'm', 'p', 'f')"
                                                    " and (has_table_privilege(%s, c.oid, p) or p in ('select', 'insert', 'update', 'references') and has_any_column_privilege(%s, c.oid, p))",
                                          (list(PRIVILEGES), role, role)):
        found.setdefault(name, set()).add(privilege)
    return found


def functions_of(postgres, database, role):
    return {row[0].removeprefix("sluice.") for row in postgres.query(
        database, "select oid::regprocedure::text from pg_proc where pronamespace = 'sluice'::regnamespace and has_function_privilege(%s, oid, 'execute')", (role,))}


@pytest.mark.parametrize("role", ROLES)
def test_a_login_may_use_these_relations_alone(postgres, demo, role):
    assert relations_of(postgres, demo, role) == {name: set(privileges.split()) for name, privileges in RELATIONS[role].items()}
    assert postgres.query(demo, "select relname from pg_class where relnamespace = 'sluice'::regnamespace and case relkind when 'S' then has_sequence_privilege(%s, oid, 'usage, select, update') end",
                          (role,)) == []


@pytest.mark.parametrize("role", ROLES)
def test_a_login_may_call_these_functions_alone(postgres, demo, role):
    assert functions_of(postgres, demo, role) == FUNCTIONS[role]


@pytest.mark.parametrize("role", ROLES)
def test_a_login_may_use_these_schemas_and_make_nothing_in_them(postgres, demo, role):
    ours = "nspname !~ '^pg_' and nspname not in ('information_schema', 'public')"
    assert {row[0] for row in postgres.query(demo, f"select nspname from pg_namespace where {ours} and has_schema_privilege(%s, oid, 'usage')", (role,))} == SCHEMAS[role]
    assert postgres.query(demo, "select nspname from pg_namespace where has_schema_privilege(%s, oid, 'create')", (role,)) == []


def test_the_reader_changes_nothing_in_the_warehouse(postgres, demo):
    assert postgres.query(demo, "select c.oid::regclass from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname in ('warehouse', 'serving')"
                                " and c.relkind in ('r', 'v', 'm', 'p') and has_table_privilege('sluice_reader', c.oid, 'insert, update, delete, truncate, references, trigger')") == []


def test_a_function_that_runs_as_its_owner_has_a_search_path_of_its_own(postgres, demo):
    """Else whoever calls it chooses what its names mean."""
    assert postgres.query(demo, "select oid::regprocedure from pg_proc where pronamespace = 'sluice'::regnamespace and prosecdef"
                                " and not coalesce('search_path=pg_catalog, pg_temp' = any (proconfig), false)") == []


def test_what_a_migration_forgot_to_revoke_is_found(postgres, database):
    postgres.query(database, "create table sluice.forgotten (n integer); create function sluice.forgotten() returns integer language sql as 'select 1'; grant select (n) on sluice.forgotten to public")
    for role in ROLES:
        assert relations_of(postgres, database, role)["forgotten"] == {"select"} and "forgotten()" in functions_of(postgres, database, role)
