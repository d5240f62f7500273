-- What of the audit log may leave the database, and when. The owner says it (`sluice migrate` copies it out of the configuration); the gateway's login
-- only asks for it to be done. Whoever has that login can't hurry anything.

create table sluice.audit_rule (
    only_one  boolean primary key default true check (only_one),
    ship_days integer not null default 0 check (ship_days >= 0), -- audit.ship_days: shipped records stay so long at least; 0: for ever
    keep_days integer not null default 0 check (keep_days >= 0), -- audit.keep_days: the files do; 0: for ever
    hours_to  timestamptz not null default '-infinity',          -- anchors before it are thinned to one an hour
    days_to   timestamptz not null default '-infinity'           -- and before this one to one a day
);
insert into sluice.audit_rule default values;
revoke all on sluice.audit_rule from public;
comment on table sluice.audit_rule is 'One row: how long the owner wants the audit log kept. sluice migrate writes it';

create index audit_anchor_at on sluice.audit_anchor (at);

-- Customers that were removed: what the audit log tells of them is not their namesakes'.
create table sluice.customer_removed (
    customer_id text primary key,
    removed_at  timestamptz not null default clock_timestamp()
);
revoke all on sluice.customer_removed from public;
comment on table sluice.customer_removed is 'Names of removed customers, as long as records of the audit log name them';

-- However the row goes, by `sluice customer remove` or by psql.
create function sluice.note_removed() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    insert into sluice.customer_removed (customer_id) values (old.customer_id) on conflict (customer_id) do update set removed_at = excluded.removed_at;
    return null;
end
$$;
revoke all on function sluice.note_removed() from public;
create trigger note_removed after delete on sluice.customer for each row execute function sluice.note_removed();

-- What `sluice customer remove` says of the records: they stay by the audit log's own rule, for it has to tell who did what.
create function sluice.audit_of_removed(customer text) returns setof text
    language sql stable set search_path = pg_catalog, pg_temp
as $$
    select format('note: his records of the audit log stay, %s; a later customer of this name does not see them',
                  case when r.ship_days = 0 then 'for audit.ship_days is 0' else format('each of them %s days (audit.ship_days)', r.ship_days) end)
      from sluice.audit_rule r where exists (select from sluice.audit_entry e where e.customer = audit_of_removed.customer)
$$;
revoke all on function sluice.audit_of_removed(text) from public;

-- A customer's own records. Of a name that was removed once: those since it was made again, and none while it is not.
create or replace view sluice.audit with (security_barrier) as
    select chain, seq, time, event, request_id, entry ->> 'trace_id' as trace_id, subject, entry ->> 'address' as address, entry ->> 'method' as method,
           operation, dataset, (entry ->> 'version')::bigint as version, entry ->> 'target' as target, entry ->> 'lane' as lane,
           entry ->> 'cache' as cache, entry ->> 'sql' as sql, status, entry ->> 'reason' as reason, (entry ->> 'rows')::bigint as rows,
           (entry ->> 'bytes')::bigint as bytes, (entry ->> 'duration_us')::bigint as duration_us, coalesce((entry ->> 'complete')::boolean, true) as complete
      from sluice.audit_entry
     where customer = nullif(current_setting('sluice.customer', true), '')
       and time >= coalesce((select coalesce(c.created_at, 'infinity') from sluice.customer_removed r left join sluice.customer c using (customer_id)
                              where r.customer_id = current_setting('sluice.customer', true)), '-infinity');

-- Records older than so many days go, and never one younger than the owner's rule: ten thousand at a time. Gives how many went.
create or replace function sluice.audit_expire(days integer) returns bigint
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    least integer;
    gone  bigint;
begin
    if days is null or days < 1 then
        raise exception 'audit_expire keeps a day at least';
    end if;
    select nullif(ship_days, 0) into least from sluice.audit_rule;
    if least is null then
        return 0;
    end if;
    delete from sluice.audit_entry
     where ctid = any (array(select ctid from sluice.audit_entry where time < clock_timestamp() - make_interval(days => greatest(days, least))
                              order by time limit 10000));
    get diagnostics gone = row_count;
    delete from sluice.customer_removed r
     where r.removed_at < clock_timestamp() - make_interval(days => least)
       and not exists (select from sluice.audit_entry e where e.customer = r.customer_id);
    return gone;
end
$$;

-- Anchors: all of the last 48 hours; before that the last one of each chain and hour; before 90 days of each chain and day; and none of a chain whose
-- files have gone by the owner's rule a month ago. Keepers' chains (-k) are never deleted, and so their daily anchors stay. A chain that was cut or written
-- anew is found by any anchor behind the place: the last one is always kept. What is older says when that was. It takes no argument: asking for it early
-- or often changes nothing. Gives how many went; the work of a call is bounded.
create function sluice.audit_anchors_thin() returns bigint
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    rule   sluice.audit_rule;
    grain  record;
    done   timestamptz;
    first  timestamptz;
    amount bigint;
    gone   bigint := 0;
begin
    select * into rule from sluice.audit_rule for update skip locked;
    if not found then
        return 0; -- another gateway is at it
    end if;
    for grain in select * from (values ('hour', interval '1 hour', interval '48 hours'), ('day', interval '1 day', interval '90 days')) g (unit, width, old) loop
        done := case grain.unit when 'hour' then rule.hours_to else rule.days_to end;
        for i in 1 .. 48 loop
            select date_trunc(grain.unit, min(a.at), 'UTC') into first from sluice.audit_anchor a where a.at >= done;
            exit when gone >= 10000 or first is null or first + grain.width > clock_timestamp() - grain.old;
            delete from sluice.audit_anchor a
             using (select l.chain, max(l.seq) as seq from sluice.audit_anchor l where l.at >= first and l.at < first + grain.width group by 1) last
             where a.chain = last.chain and a.seq < last.seq and a.at >= first and a.at < first + grain.width;
            get diagnostics amount = row_count;
            gone := gone + amount;
            done := first + grain.width;
        end loop;
        if grain.unit = 'hour' then
            update sluice.audit_rule set hours_to = done;
        else
            update sluice.audit_rule set days_to = done;
        end if;
    end loop;
    if rule.keep_days <> 0 then
        delete from sluice.audit_anchor
         where ctid = any (array(select ctid from sluice.audit_anchor
                                  where at < clock_timestamp() - make_interval(days => rule.keep_days + 30) and chain !~ '-k$' order by at limit 10000));
        get diagnostics amount = row_count;
        gone := gone + amount;
    end if;
    return gone;
end
$$;
revoke all on function sluice.audit_anchors_thin() from public;
grant execute on function sluice.audit_anchors_thin() to sluice_reader;
