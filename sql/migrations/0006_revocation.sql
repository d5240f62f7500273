-- Tokens that count no more although they have not expired. The gateways ask for what is new twice a second; this table is the truth.

create table sluice.revocation (
    kind     text not null check (kind in ('token', 'subject', 'customer')),
    customer text not null default '',   -- of subject and customer
    subject  text not null default '',   -- of subject
    jti      text not null default '',   -- of token
    before   timestamptz,                -- of subject and customer: tokens issued before it
    until    timestamptz not null,       -- no such token can be valid from then on: the entry goes
    at       timestamptz not null default clock_timestamp(),
    by       text not null,              -- who wanted it
    counter  bigint not null unique,
    primary key (kind, customer, subject, jti),
    check ((kind = 'token') = (jti <> '') and (kind = 'token') = (customer = '') and (kind = 'token') = (before is null)
           and (kind = 'subject') = (subject <> ''))
);
comment on table sluice.revocation is 'Written by sluice.revoke alone; an entry cannot be taken back, whom it hit gets a new token';
revoke all on sluice.revocation from public;

-- One row: what the newest entry was given. Whoever writes holds it until his commit, so that entries are seen in the order of their counters,
-- and who asks for "more than n" misses none.
create table sluice.revocation_counter (
    only_one boolean primary key default true check (only_one),
    counter  bigint not null
);
insert into sluice.revocation_counter (counter) values (0);
revoke all on sluice.revocation_counter from public;

-- Times are seconds since the epoch. Of two entries for the same the later times stay. Answers with the entry as it now stands.
create function sluice.revoke(kind text, customer text, subject text, jti text, before_s bigint, until_s bigint, by text) returns sluice.revocation
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    next_counter bigint;
    written      sluice.revocation;
begin
    update sluice.revocation_counter c set counter = c.counter + 1 returning c.counter into strict next_counter;
    delete from sluice.revocation r where r.until <= clock_timestamp();
    if (select count(*) from sluice.revocation) >= 200000 then -- REVOCATIONS_MAX in auth/revocations.h
        raise exception 'there are 200000 revocations already' using errcode = 'program_limit_exceeded',
            hint = 'Revoke by subject or customer, or change the key that the tokens are signed with.';
    end if;
    insert into sluice.revocation as known (kind, customer, subject, jti, before, until, by, counter)
    values (revoke.kind, coalesce(revoke.customer, ''), coalesce(revoke.subject, ''), coalesce(revoke.jti, ''), to_timestamp(before_s),
            to_timestamp(until_s), left(revoke.by, 200), next_counter)
    on conflict on constraint revocation_pkey do update
        set before = greatest(known.before, excluded.before), until = greatest(known.until, excluded.until), at = excluded.at, by = excluded.by,
            counter = excluded.counter
    returning * into strict written;
    return written;
end
$$;
revoke all on function sluice.revoke(text, text, text, text, bigint, bigint, text) from public;

-- The newest counter, and with it what was written after `known`, `most` at once. One row without an entry where there is nothing.
create function sluice.revocations_since(known bigint, most integer)
    returns table (newest bigint, counter bigint, kind text, customer text, subject text, jti text, before_s bigint, until_s bigint)
    language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select c.counter, r.counter, r.kind, r.customer, r.subject, r.jti, ceil(extract(epoch from r.before))::bigint, ceil(extract(epoch from r.until))::bigint
      from sluice.revocation_counter c
      left join (select * from sluice.revocation e where e.counter > known order by e.counter limit most) r on true
     order by r.counter
$$;
revoke all on function sluice.revocations_since(bigint, integer) from public;

-- The gateway takes orders on its admin listener, so its reader may write here too: through the function, which only ever adds.
grant execute on function sluice.revoke(text, text, text, text, bigint, bigint, text), sluice.revocations_since(bigint, integer) to sluice_reader;
