-- Versions of datasets: a counter for each tracked table, raised in the transaction that changes the table. ETags and cache keys come from it.
--
-- Run by `sluice migrate` as the owner, once, inside a transaction of its own.

create schema if not exists sluice;
revoke all on schema sluice from public;

create table sluice.dataset_version (
    relation   text primary key,     -- 'schema.table', unquoted
    version    bigint not null,
    changed_at timestamptz not null  -- when the statement that raised it ran; it is seen when its transaction commits
);
comment on table sluice.dataset_version is 'Raised by the triggers of sluice.track in the transaction that changes the table';
revoke all on sluice.dataset_version from public;

-- SECURITY DEFINER: whoever may write the table raises its version, without any right on sluice.dataset_version.
-- The name is asked of the catalog on each call, so that a renamed table keeps counting. A partition counts for its root, because the root
-- is what views read.
-- Several statements of one transaction, or the two triggers that INSERT … ON CONFLICT fires, raise it once: nobody else sees a state between.
-- After a rolled back savepoint the row is the old one again, and the next statement raises it.
create function sluice.raise_version() returns trigger
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
    if found then
        perform pg_notify('sluice_version', changed); -- a hint; the poll of the table is what counts
    end if;
    return null;
end
$$;
revoke all on function sluice.raise_version() from public;

-- Tracks a table (and its partitions): from here on every statement that changes it raises its version. Harmless when called again; a partition that is
-- added later needs another call. The caller owns the table and may write sluice.dataset_version: the owner that `sluice migrate` logs in as.
create function sluice.track("table" regclass) returns void
    language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    member regclass;
    root   regclass := coalesce(pg_partition_root("table"), "table");
    tracked text;
begin
    select n.nspname || '.' || c.relname into strict tracked
      from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = root;
    if (select relkind from pg_class where oid = root) not in ('r', 'p') then
        raise exception '% is not a table', tracked
            using errcode = 'wrong_object_type', hint = 'Track the tables that the view reads.';
    end if;
    for member in select root union select relid from pg_partition_tree(root) loop
        execute format('create or replace trigger sluice_version after insert or update or delete or truncate on %s '
                       'for each statement execute function sluice.raise_version()', member);
    end loop;
    -- What was changed while nobody watched is unknown: count it as a change.
    insert into sluice.dataset_version as known (relation, version, changed_at)
    values (tracked, 1, clock_timestamp())
    on conflict (relation) do update set version = known.version + 1, changed_at = excluded.changed_at;
end
$$;
revoke all on function sluice.track(regclass) from public;
