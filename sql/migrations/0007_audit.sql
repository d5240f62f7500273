-- What the audit log keeps in the database: heads of its chains, a copy of its records, and whom to erase. The files are the truth (audit/chain.h);
-- this is a second place for the heads, and a place where records can be read. The gateway's login adds through the functions here and changes nothing.

create table sluice.audit_anchor (
    chain text not null check (octet_length(chain) between 1 and 95),
    seq   bigint not null check (seq > 0),
    mac   bytea not null check (octet_length(mac) = 16),
    at    timestamptz not null default clock_timestamp(),
    primary key (chain, seq)
);
comment on table sluice.audit_anchor is 'Heads of the audit log''s chains, as they were at times: sluice audit verify compares them';

create table sluice.audit_entry (
    chain      text not null,
    seq        bigint not null,
    time       timestamptz not null,
    event      text not null,
    customer   text,
    subject    text,            -- a pseudonym
    operation  text,
    dataset    text,
    status     integer,
    request_id text,
    entry      jsonb not null,  -- the whole record
    primary key (chain, seq)
);
create index audit_entry_customer on sluice.audit_entry (customer, time, chain, seq) where customer is not null;
create index audit_entry_time on sluice.audit_entry (time);
comment on table sluice.audit_entry is 'The audit log''s records, shipped from the gateways'' files';

-- How far each chain has come: what ship_days deletes is not shipped again.
create table sluice.audit_shipped (
    chain text primary key,
    seq   bigint not null,
    ended boolean not null default false,
    at    timestamptz not null default clock_timestamp()
);

create table sluice.audit_erasure (
    id            bigint generated always as identity primary key,
    customer      text not null,
    subject_index bytea not null check (octet_length(subject_index) = 16), -- a keyed hash: tells nobody who it is
    at            timestamptz not null default clock_timestamp()
);
comment on table sluice.audit_erasure is 'People whose pseudonyms every gateway forgets';

create function sluice.audit_anchor_add(chains text[], seqs bigint[], macs text[]) returns void
    language sql security definer set search_path = pg_catalog, pg_temp
as $$
    insert into sluice.audit_anchor (chain, seq, mac)
    select a.chain, a.seq, decode(a.mac, 'hex') from unnest(chains, seqs, macs) a (chain, seq, mac)
    on conflict do nothing
$$;

create function sluice.audit_shipped_to(chains text[]) returns table (chain text, seq bigint, ended boolean)
    language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select s.chain, s.seq, s.ended from sluice.audit_shipped s where s.chain = any (chains)
$$;

-- Records of one chain, in their order: what is there already stays as it is. Gives how many were new.
create function sluice.audit_store(of_chain text, entries jsonb) returns bigint
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    added bigint;
begin
    insert into sluice.audit_entry (chain, seq, time, event, customer, subject, operation, dataset, status, request_id, entry)
    select of_chain, (e ->> 'seq')::bigint, (e ->> 'time')::timestamptz, e ->> 'event', e ->> 'customer', e ->> 'subject', e ->> 'operation',
           e ->> 'dataset', (e ->> 'status')::integer, e ->> 'request_id', e
      from jsonb_array_elements(entries) e
    on conflict do nothing;
    get diagnostics added = row_count;
    insert into sluice.audit_shipped as known (chain, seq, ended)
    select of_chain, max((e ->> 'seq')::bigint), bool_or(e ->> 'event' = 'end') from jsonb_array_elements(entries) e having count(*) <> 0
    on conflict (chain) do update set seq = greatest(known.seq, excluded.seq), ended = known.ended or excluded.ended, at = clock_timestamp();
    return added;
end
$$;

-- Records older than so many days go, ten thousand at a time: gives how many went.
create function sluice.audit_expire(days integer) returns bigint
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    gone bigint;
begin
    if days is null or days < 1 then
        raise exception 'audit_expire keeps a day at least';
    end if;
    delete from sluice.audit_entry
     where ctid = any (array(select ctid from sluice.audit_entry where time < clock_timestamp() - make_interval(days => days) order by time limit 10000));
    get diagnostics gone = row_count;
    return gone;
end
$$;

-- Whom to forget since the last one seen. At a gateway's start also those of the last minutes: the file may have been read before they were.
create function sluice.audit_erasures(after bigint, starting boolean) returns table (id bigint, subject_index text)
    language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select e.id, encode(e.subject_index, 'hex') from sluice.audit_erasure e
     where e.id > after or starting and e.at > clock_timestamp() - interval '10 minutes'
     order by e.id limit 1000
$$;

-- For `sluice customer erase-subject`, as the owner. One at a time, so that the numbers come in the order of the commits.
create function sluice.audit_erase(of_customer text, index_hex text) returns bigint
    language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    made bigint;
begin
    lock table sluice.audit_erasure in share row exclusive mode;
    insert into sluice.audit_erasure (customer, subject_index) values (of_customer, decode(index_hex, 'hex')) returning audit_erasure.id into made;
    return made;
end
$$;

-- A customer's own records: GET /v1/audit reads it with the caller's name in sluice.customer.
create view sluice.audit with (security_barrier) as
    select chain, seq, time, event, request_id, entry ->> 'trace_id' as trace_id, subject, entry ->> 'address' as address, entry ->> 'method' as method,
           operation, dataset, (entry ->> 'version')::bigint as version, entry ->> 'target' as target, entry ->> 'lane' as lane,
           entry ->> 'cache' as cache, entry ->> 'sql' as sql, status, entry ->> 'reason' as reason, (entry ->> 'rows')::bigint as rows,
           (entry ->> 'bytes')::bigint as bytes, (entry ->> 'duration_us')::bigint as duration_us, coalesce((entry ->> 'complete')::boolean, true) as complete
      from sluice.audit_entry
     where customer = nullif(current_setting('sluice.customer', true), '');

revoke all on function sluice.audit_anchor_add(text[], bigint[], text[]), sluice.audit_shipped_to(text[]), sluice.audit_store(text, jsonb),
    sluice.audit_expire(integer), sluice.audit_erasures(bigint, boolean), sluice.audit_erase(text, text) from public;
grant execute on function sluice.audit_anchor_add(text[], bigint[], text[]), sluice.audit_shipped_to(text[]), sluice.audit_store(text, jsonb),
    sluice.audit_expire(integer), sluice.audit_erasures(bigint, boolean) to sluice_reader;
grant select on sluice.audit to sluice_reader;
