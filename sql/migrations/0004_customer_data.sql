-- What customers keep: their uploads, analyses, jobs, and what the gateway notes of them. A customer NAME logs in as the role sluice_c_NAME, a member
-- of sluice_customer; the schemas NAME_uploads, NAME_analytics and NAME_jobs are his. `sluice customer add` makes them (0005).

-- Roles belong to the whole server: another database, or a migration of another one at this moment, may have made them.
do $$
declare
    wrong text;
begin
    begin
        create role sluice_customer nologin noinherit nosuperuser nocreatedb nocreaterole noreplication nobypassrls;
    exception when duplicate_object or unique_violation then
        null;
    end;
    begin
        create role sluice_writer login noinherit nosuperuser nocreatedb nocreaterole noreplication nobypassrls;
    exception when duplicate_object or unique_violation then
        null;
    end;
    select string_agg(format('the role %s exists already and is %s', rolname, what), '; ')
      into wrong
      from pg_catalog.pg_roles,
           concat_ws(', ', case when rolsuper then 'SUPERUSER' end, case when rolcreatedb then 'CREATEDB' end,
                     case when rolcreaterole then 'CREATEROLE' end, case when rolreplication then 'REPLICATION' end,
                     case when rolbypassrls then 'BYPASSRLS' end) as what
     where rolname in ('sluice_customer', 'sluice_writer') and what <> '';
    if wrong <> '' then
        raise exception '%', wrong using hint = 'Run as a superuser: ALTER ROLE … NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS';
    end if;
    execute format('grant connect on database %I to sluice_customer, sluice_writer', current_database());
    execute format('grant temporary on database %I to sluice_writer', current_database()); -- an upsert's rows wait there
    if pg_has_role((select datdba from pg_catalog.pg_database where datname = current_database()), 'usage') then
        execute format('revoke temporary, create on database %I from public', current_database());
    end if;
    -- A function in a view runs as whoever reads the view: customers shall make none. Where the languages are not ours, `sluice customer add` warns.
    if has_language_privilege('plpgsql', 'usage with grant option') then
        revoke usage on language plpgsql from public;
    end if;
    if has_language_privilege('sql', 'usage with grant option') then
        revoke usage on language sql from public;
    end if;
    if to_regnamespace('public') is not null and has_schema_privilege('public', 'create with grant option') then
        revoke create on schema public from public;
    end if;
end
$$;

grant usage on schema sluice to sluice_customer, sluice_writer;
grant select on sluice.dataset_version to sluice_writer;

-- The caller's name as a customer, by his login: no SET ROLE changes it, nor does the owner of a function. Null for everybody else.
create function sluice.me() returns text
    language sql stable parallel safe set search_path = pg_catalog, pg_temp
    return (select substring(session_user from '^sluice_c_([a-z][a-z0-9_]{0,40})$'));
revoke all on function sluice.me() from public;
grant execute on function sluice.me() to sluice_customer;

alter table sluice.customer
    add column quota_bytes     bigint check (quota_bytes >= 0),     -- null: the tier's; 0: no limit
    add column quota_relations integer check (quota_relations >= 0);

create table sluice.upload (
    customer_id text not null references sluice.customer on delete cascade,
    name        text not null check (octet_length(name) between 1 and 63),
    rows        bigint not null,
    bytes       bigint not null,                 -- of the body, decoded
    columns     jsonb not null,                  -- [{name, type, guessed}]
    options     jsonb not null default '{}',     -- what was told and what was guessed
    digest      bytea,                           -- SHA-256 of the body as it came
    version     bigint,
    quarantined bigint not null default 0,
    created_at  timestamptz not null default clock_timestamp(),
    changed_at  timestamptz not null default clock_timestamp(),
    primary key (customer_id, name)
);
comment on table sluice.upload is 'The last load of each customer''s upload';

create table sluice.quarantine (
    customer_id text references sluice.customer on delete cascade,  -- null: of a load into the warehouse
    name        text not null,                                      -- the upload's, or the warehouse's dataset
    line        bigint not null,
    column_name text,
    reason      text not null,
    raw         text
);
create index quarantine_place on sluice.quarantine (customer_id, name, line);
comment on table sluice.quarantine is 'Rows of files that did not fit, where the load allowed some';

create table sluice.analysis (
    customer_id  text not null references sluice.customer on delete cascade,
    name         text not null check (octet_length(name) between 1 and 63),
    sql          text not null,                  -- as the customer wrote it
    made_as      text not null check (made_as in ('view', 'table')),
    description  text,
    reads        jsonb not null default '[]',    -- [["schema", "relation"]]: real names
    created_at   timestamptz not null default clock_timestamp(),
    refreshed_at timestamptz not null default clock_timestamp(),
    rows         bigint,                         -- of a table
    primary key (customer_id, name)
);
comment on table sluice.analysis is 'What customers made of SQL';

create table sluice.share (
    customer_id text not null references sluice.customer on delete cascade,  -- the owner
    name        text not null,                   -- 'analytics.x' or 'uploads.x'
    reader_id   text not null,                   -- no reference: it would tell whether there is such a customer
    created_at  timestamptz not null default clock_timestamp(),
    primary key (customer_id, name, reader_id),
    check (customer_id <> reader_id)
);
create index share_reader on sluice.share (reader_id);
comment on table sluice.share is 'Which customer may read what of another''s';

create table sluice.job (
    job_id      uuid primary key,
    customer_id text not null references sluice.customer on delete cascade,
    subject     text not null,
    sql         text not null,
    parameters  jsonb not null default '[]',
    state       text not null default 'waiting' check (state in ('waiting', 'running', 'done', 'failed', 'cancelled')),
    instance    text,                            -- the gateway that runs it
    created_at  timestamptz not null default clock_timestamp(),
    started_at  timestamptz,
    finished_at timestamptz,
    expires_at  timestamptz,
    rows        bigint,
    bytes       bigint,
    error       text
);
create index job_customer on sluice.job (customer_id, created_at);
create index job_expiry on sluice.job (expires_at);
comment on table sluice.job is 'Queries that answer later; the rows of each are a table in the customer''s schema NAME_jobs';

create table sluice.idempotency (
    owner      text not null,                    -- a customer, or 'warehouse', which no customer can be called
    operation  text not null,
    key        text not null check (octet_length(key) between 1 and 255),
    digest     bytea,                            -- SHA-256 of the body as it came
    answer     text,
    created_at timestamptz not null default clock_timestamp(),
    primary key (owner, operation, key)
);
create index idempotency_age on sluice.idempotency (owner, created_at);
comment on table sluice.idempotency is 'Idempotency-Key: what was answered, for a day';

-- Every customer sees and changes his own rows, and nobody else's are there for him. The tables' owner sees all.
do $$
declare
    relation text;
begin
    foreach relation in array array['upload', 'quarantine', 'analysis', 'share', 'job'] loop
        execute format('revoke all on sluice.%I from public', relation);
        execute format('alter table sluice.%I enable row level security', relation);
        execute format('create policy own on sluice.%I to sluice_customer using (customer_id = (select sluice.me())) '
                       'with check (customer_id = (select sluice.me()))', relation);
        execute format('grant select, insert, update, delete on sluice.%I to sluice_customer', relation);
    end loop;
end
$$;

alter table sluice.customer enable row level security;
create policy own on sluice.customer for select to sluice_customer using (customer_id = (select sluice.me()));
grant select on sluice.customer to sluice_customer;

create policy shared_with_me on sluice.share for select to sluice_customer using (reader_id = (select sluice.me()));

revoke all on sluice.idempotency from public;
alter table sluice.idempotency enable row level security;
create policy own on sluice.idempotency to sluice_customer using (owner = (select sluice.me())) with check (owner = (select sluice.me()));
create policy warehouse on sluice.idempotency to sluice_writer using (owner = 'warehouse') with check (owner = 'warehouse');
grant select, insert, update, delete on sluice.idempotency to sluice_customer, sluice_writer;

create policy warehouse on sluice.quarantine to sluice_writer using (customer_id is null) with check (customer_id is null);
grant select, insert, delete on sluice.quarantine to sluice_writer;

-- As in 0001, but for the notification: any login may LISTEN, and would read the names of what others change.
create or replace function sluice.raise_version() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    changed text;
begin
    select n.nspname || '.' || c.relname
      into strict changed
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.oid = coalesce(pg_partition_root(tg_relid), tg_relid);
    insert into sluice.dataset_version as known (relation, version, changed_at)
    values (changed, 1, clock_timestamp())
    on conflict (relation) do update
        set version = known.version + 1, changed_at = excluded.changed_at
        where known.xmin <> pg_current_xact_id()::xid;
    return null;
end
$$;
grant execute on function sluice.raise_version() to sluice_customer; -- for the triggers of track_own; it can't be called otherwise

-- Raises the version of a relation in one of the caller's own schemas, once a transaction, and returns it. The first one is the time, in milliseconds:
-- a relation that was dropped and forgotten does not come back with a version that was seen before. What has gone is forgotten when something new
-- comes, so that nobody can fill the table with names. A relation that has just been dropped may be raised too, so that its readers notice.
create function sluice.raise_own(schema name, relation name) returns bigint
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    own    text := sluice.me();
    raised bigint;
begin
    if own is null or schema not in (own || '_uploads', own || '_analytics') then
        raise exception 'sluice.raise_own is for relations in the schemas of the customer who calls it'
            using errcode = 'insufficient_privilege';
    end if;
    update sluice.dataset_version as known
       set version = known.version + (known.xmin <> pg_current_xact_id()::xid)::integer, changed_at = clock_timestamp()
     where known.relation = raise_own.schema || '.' || raise_own.relation
     returning version into raised;
    if found or not exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
                             where n.nspname = raise_own.schema and c.relname = raise_own.relation) then
        return raised;
    end if;
    delete from sluice.dataset_version known
     where (starts_with(known.relation, own || '_uploads.') or starts_with(known.relation, own || '_analytics.')
            or starts_with(known.relation, own || '_jobs.'))
       and not exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
                        where n.nspname || '.' || c.relname = known.relation and n.nspname in (own || '_uploads', own || '_analytics', own || '_jobs'));
    insert into sluice.dataset_version as known (relation, version, changed_at)
    values (schema || '.' || relation, (extract(epoch from clock_timestamp()) * 1000)::bigint, clock_timestamp())
    on conflict (relation) do update set version = known.version + 1, changed_at = excluded.changed_at
    returning version into raised;
    return raised;
end
$$;
revoke all on function sluice.raise_own(name, name) from public;
grant execute on function sluice.raise_own(name, name) to sluice_customer;

-- Tracks a table of the caller's own as sluice.track does: whatever changes it, psql too, raises its version.
create function sluice.track_own("table" regclass) returns void
    language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    place record;
begin
    select n.nspname, c.relname, c.relkind into strict place
      from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = "table";
    if place.relkind not in ('r', 'p') then
        raise exception '%.% is not a table', place.nspname, place.relname using errcode = 'wrong_object_type';
    end if;
    perform sluice.raise_own(place.nspname, place.relname);
    execute format('create or replace trigger sluice_version after insert or update or delete or truncate on %s '
                   'for each statement execute function sluice.raise_version()', "table");
end
$$;
revoke all on function sluice.track_own(regclass) from public;
grant execute on function sluice.track_own(regclass) to sluice_customer;
