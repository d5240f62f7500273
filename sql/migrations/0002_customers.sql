-- Customers, as `sluice customer add` makes them.

create table sluice.customer (
    -- Becomes part of schema and role names: the pattern keeps these below PostgreSQL's 63 bytes and free of quotes.
    customer_id text primary key check (customer_id ~ '^[a-z][a-z0-9_]{0,40}$'),
    tier        text not null,  -- a key of the configuration's limits.tiers
    created_at  timestamptz not null default clock_timestamp()
);
revoke all on sluice.customer from public;
