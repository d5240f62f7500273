-- What `sluice customer` calls, as the owner: each makes its part of a customer and says, a line each, what it has changed; "note: " and "warning: "
-- stand in front of what it has not. Nobody else may call them.

-- Does reading the relation ask for a setting of ours? On his own login a customer could give it any value. Its definition, the policies and the
-- functions under it are searched, as the gateway does when it describes a dataset; a materialised view's rows are what they are.
create function sluice.asks_caller(relation regclass) returns boolean
    language sql stable set search_path = pg_catalog, pg_temp
as $$
    with recursive under(oid) as (
        select relation::oid
        union
        select e.oid from under u cross join lateral (
            select m[1]::oid as oid from pg_class c join pg_rewrite r on r.ev_class = c.oid and r.ev_type = '1'
                cross join lateral regexp_matches(r.ev_action::text, ':relid (\d+)', 'g') m
             where c.oid = u.oid and c.relkind = 'v'
            union all
            select m[1]::oid from pg_policy p cross join lateral regexp_matches(p.polqual::text, ':relid (\d+)', 'g') m where p.polrelid = u.oid
            union all
            select inhrelid from pg_inherits where inhparent = u.oid) e
    ), rule(tree, words) as (
        select r.ev_action::text, pg_get_viewdef(u.oid)
          from under u join pg_class c on c.oid = u.oid and c.relkind = 'v' join pg_rewrite r on r.ev_class = u.oid and r.ev_type = '1'
        union all
        select p.polqual::text, coalesce(pg_get_expr(p.polqual, p.polrelid), 'sluice.')
          from under u join pg_class c on c.oid = u.oid and c.relrowsecurity join pg_policy p on p.polrelid = u.oid and p.polcmd in ('r', '*')
    ), called(oid) as (
        select m[1]::oid from rule cross join lateral regexp_matches(tree, ':(?:funcid|opfuncid|aggfnoid|winfnoid) (\d+)', 'g') m
        union
        select p.oid from called f join pg_proc b on b.oid = f.oid
            join pg_proc p on p.oid >= 16384 and p.prolang not in (12, 13) and strpos(coalesce(pg_get_function_sqlbody(b.oid), b.prosrc), p.proname) <> 0
         where b.oid >= 16384 and b.prolang not in (12, 13) -- internal and C have no text
    )
    select exists (select from called where oid = 'pg_catalog.pg_show_all_settings'::regproc)
        or exists (select from (select words from rule
                                union all
                                select coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) from called f join pg_proc p on p.oid = f.oid where p.oid >= 16384) w
                    where words ~* 'sluice\s*\.|current_setting\s*\((?!\s*''[^'']*''(::text)?\s*[,)])')
$$;
revoke all on function sluice.asks_caller(regclass) from public;

-- Lets customers read in the warehouse's schemas what the reader may, no more, and of that not what asks for the caller. Takes back what is no longer so.
create function sluice.grant_warehouse(schemas text[], reader name) returns setof text
    language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    item    record;
    given   bigint := 0;
    asking  bigint := 0;
    foreign_ones bigint := 0;
begin
    execute format('grant connect on database %I to sluice_customer', current_database());
    for item in
        select n.nspname, pg_has_role(n.nspowner, 'usage') as ours from pg_namespace n
         where nspname = any (schemas) and has_schema_privilege(reader, n.oid, 'usage') and not has_schema_privilege('sluice_customer', n.oid, 'usage')
         order by 1
    loop
        if item.ours then
            execute format('grant usage on schema %I to sluice_customer', item.nspname);
            return next format('customers may use the schema %s', item.nspname);
        else
            return next format('warning: the schema %s belongs to another than %s, who must grant usage on it to sluice_customer', item.nspname, current_user);
        end if;
    end loop;
    for item in
        with granted as (
            select distinct c.oid from pg_class c cross join lateral aclexplode(c.relacl) a
             where a.grantee = 'sluice_customer'::regrole and c.relkind in ('r', 'v', 'm', 'f', 'p')
            union
            select a.attrelid from pg_attribute a cross join lateral aclexplode(a.attacl) x where x.grantee = 'sluice_customer'::regrole
        ), wanted as materialized (
            select c.oid, has_table_privilege(reader, c.oid, 'select') as whole, sluice.asks_caller(c.oid) as asks,
                   (select string_agg(quote_ident(attname), ', ' order by attnum) from pg_attribute
                     where attrelid = c.oid and attnum > 0 and not attisdropped and has_column_privilege(reader, c.oid, attnum, 'select')) as columns
              from pg_class c join pg_namespace n on n.oid = c.relnamespace
             where n.nspname = any (schemas) and c.relkind in ('r', 'v', 'm', 'f', 'p') and has_schema_privilege(reader, n.oid, 'usage')
               and has_any_column_privilege(reader, c.oid, 'select')
        )
        select c.oid::regclass::text as name, w.whole, coalesce(w.asks, false) as asks, pg_has_role(c.relowner, 'usage') as ours, w.columns,
               w.oid is not null and not w.asks as wanted, has_table_privilege('sluice_customer', c.oid, 'select') as has_whole,
               exists (select from pg_attribute a where w.columns is not null and a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                          and has_column_privilege(reader, c.oid, a.attnum, 'select')
                           <> has_column_privilege('sluice_customer', c.oid, a.attnum, 'select')) as differs,
               g.oid is not null as granted
          from wanted w full join granted g on g.oid = w.oid join pg_class c on c.oid = coalesce(w.oid, g.oid)
          join pg_namespace n on n.oid = c.relnamespace
         where n.nspname <> 'sluice'
         order by n.nspname, c.relname
    loop
        asking := asking + item.asks::integer;
        if item.granted and item.ours and (not item.wanted or not item.whole and item.differs) then
            execute format('revoke all on table %s from sluice_customer', item.name);
            if not item.wanted then
                return next format('customers may no longer read %s', item.name);
            end if;
        end if;
        if not item.wanted or not item.differs then
            continue;
        elsif not item.ours then
            foreign_ones := foreign_ones + 1;
            continue;
        elsif item.whole then
            execute format('grant select on table %s to sluice_customer', item.name);
        else
            execute format('grant select (%s) on table %s to sluice_customer', item.columns, item.name);
        end if;
        given := given + 1;
    end loop;
    if given <> 0 then
        return next format('customers may read %s more relations of the warehouse', given);
    end if;
    if asking <> 0 then
        return next format('note: %s relations ask who reads: customers do not read them on their own login', asking);
    end if;
    if foreign_ones <> 0 then
        return next format('warning: %s relations belong to others than %s: their owners must grant select on them to sluice_customer', foreign_ones, current_user);
    end if;
end
$$;
revoke all on function sluice.grant_warehouse(text[], name) from public;

-- What keeps a role from being a customer's; null: nothing.
create function sluice.wrong_with_role(role name) returns text
    language sql stable set search_path = pg_catalog, pg_temp
as $$
    select concat_ws(', ', case when rolsuper then 'SUPERUSER' end, case when rolcreatedb then 'CREATEDB' end, case when rolcreaterole then 'CREATEROLE' end,
                     case when rolreplication then 'REPLICATION' end, case when rolbypassrls then 'BYPASSRLS' end,
                     (select 'member of ' || string_agg(m.roleid::regrole::text, ', ') from pg_auth_members m
                       where m.member = r.oid and m.roleid <> 'sluice_customer'::regrole))
      from pg_roles r where rolname = role
$$;
revoke all on function sluice.wrong_with_role(name) from public;

-- Makes a customer whole, whatever of him is there. Null tier and quotas stay as they are (`fallback` for a new one's tier). The password is set by
-- the caller, who makes a verifier of it.
create function sluice.make_customer(customer text, tier text, fallback text, connections integer) returns setof text
    language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    login  name := 'sluice_c_' || customer;
    place  name;
    wrong  text;
    lent   boolean;
begin
    insert into sluice.customer (customer_id, tier) values (customer, coalesce(tier, fallback)) on conflict do nothing;
    if found then
        return next format('customer %s, of tier %s', customer, coalesce(tier, fallback));
    elsif tier is not null then
        update sluice.customer as known set tier = make_customer.tier where customer_id = customer and known.tier <> make_customer.tier;
        if found then
            return next format('tier %s', tier);
        end if;
    end if;
    if connections is null then
        return;
    end if;
    if not exists (select from pg_roles where rolname = login) then
        execute format('create role %I login inherit nosuperuser nocreatedb nocreaterole noreplication nobypassrls', login);
        return next format('role %s', login);
    end if;
    wrong := sluice.wrong_with_role(login);
    if wrong <> '' then
        raise exception 'the role % exists already and is %: no customer may be that; alter or drop it', login, wrong;
    end if;
    if not exists (select from pg_roles where rolname = login and rolcanlogin and rolinherit and rolconnlimit = connections) then
        execute format('alter role %I login inherit connection limit %s', login, connections);
        return next format('%s connections at most', connections);
    end if;
    if not pg_has_role(login, 'sluice_customer', 'member') then
        execute format('grant sluice_customer to %I', login);
        return next 'member of sluice_customer';
    end if;
    -- Whoever makes a schema for a role is a member of it for that moment.
    lent := not pg_has_role(login, 'member');
    if lent then
        execute format('grant %I to %I', login, current_user);
    end if;
    foreach place in array array[customer || '_uploads', customer || '_analytics', customer || '_jobs'] loop
        if to_regnamespace(quote_ident(place)) is null then
            execute format('create schema %I authorization %I', place, login);
            return next format('schema %s', place);
        elsif (select nspowner <> login::regrole from pg_namespace where nspname = place) then
            raise exception 'the schema % exists already and belongs to %; rename it, or choose another name for the customer', place,
                (select nspowner::regrole from pg_namespace where nspname = place);
        end if;
    end loop;
    if lent then
        execute format('revoke %I from %I', login, current_user);
    end if;
end
$$;
revoke all on function sluice.make_customer(text, text, text, integer) from public;

-- What customers could do besides, which the owner of the database may not forbid.
create function sluice.customer_warnings() returns setof text
    language sql stable set search_path = pg_catalog, pg_temp
as $$
    select format('warning: customers may make functions in %s; as a superuser: revoke usage on language %1$s from public', lanname)
      from pg_language where lanname in ('sql', 'plpgsql') and has_language_privilege('sluice_customer', oid, 'usage')
    union all
    select format('warning: customers may make temporary tables; revoke temporary on database %I from public', current_database())
     where has_database_privilege('sluice_customer', current_database(), 'temporary')
    union all
    select format('warning: customers may make schemas; revoke create on database %I from public', current_database())
     where has_database_privilege('sluice_customer', current_database(), 'create')
    union all
    select 'warning: customers may make relations in the schema public; revoke create on schema public from public'
     where to_regnamespace('public') is not null and has_schema_privilege('sluice_customer', 'public', 'create')
$$;
revoke all on function sluice.customer_warnings() from public;

-- Closes a customer's login. What he has stays; sluice.make_customer opens it again.
create function sluice.close_customer(customer text) returns void
    language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from pg_roles where rolname = 'sluice_c_' || customer) then
        execute format('alter role %I nologin', 'sluice_c_' || customer);
    end if;
end
$$;
revoke all on function sluice.close_customer(text) from public;

-- Ends his sessions; no new one comes once the closing is committed.
create function sluice.end_sessions(customer text) returns setof text
    language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    login name := 'sluice_c_' || customer;
    lent  boolean;
    ended bigint;
begin
    if not exists (select from pg_roles where rolname = login) then
        return;
    end if;
    lent := not pg_has_role(login, 'member');
    if lent then
        execute format('grant %I to %I', login, current_user);
    end if;
    select count(*) filter (where pg_terminate_backend(pid, 5000)) into ended from pg_stat_activity where usename = login;
    if lent then
        execute format('revoke %I from %I', login, current_user);
    end if;
    perform pg_stat_clear_snapshot();
    if exists (select from pg_stat_activity where usename = login) then
        raise exception 'a session of % did not end; try again', login;
    end if;
    if ended <> 0 then
        return next format('%s sessions', ended);
    end if;
end
$$;
revoke all on function sluice.end_sessions(text) from public;

-- Says what there is of a customer, and erases it if `really`.
create function sluice.erase_customer(customer text, really boolean) returns setof text
    language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    login  name := 'sluice_c_' || customer;
    owner  oid := to_regrole('sluice_c_' || customer);
    places name[] := array[customer || '_uploads', customer || '_analytics', customer || '_jobs'];
    item   record;
    amount bigint;
    others bigint;
    lent   boolean;
begin
    for item in
        select n.nspname, n.nspowner, count(c.oid) as relations, coalesce(sum(pg_total_relation_size(c.oid)), 0) as bytes
          from pg_namespace n left join pg_class c on c.relnamespace = n.oid and c.relkind in ('r', 'p', 'v', 'm', 'f')
         where n.nspname = any (places) group by 1, 2 order by 1
    loop
        if item.nspowner = owner then
            return next format('schema %s with %s relations, %s bytes', item.nspname, item.relations, item.bytes);
        else
            return next format('warning: the schema %s belongs to %s and is left as it is', item.nspname, item.nspowner::regrole);
        end if;
    end loop;
    if owner is not null and really then
        select count(*) into others from pg_class where relowner <> owner;
        lent := not pg_has_role(login, 'member');
        if lent then
            execute format('grant %I to %I', login, current_user);
        end if;
        execute format('drop owned by %I cascade', login);
        if lent then
            execute format('revoke %I from %I', login, current_user);
        end if;
        select others - count(*) into others from pg_class where relowner <> owner;
        if others <> 0 then
            return next format('%s relations of others, which read his', others);
        end if;
    end if;
    for item in
        select * from (values ('upload', 'uploads'), ('quarantine', 'rows in quarantine'), ('analysis', 'analyses'), ('share', 'shares'), ('job', 'jobs'),
                              ('idempotency', 'kept answers'), ('dataset_version', 'versions'), ('customer', 'row of sluice.customer'))
                      as t (name, words)
    loop
        execute format('select count(*) from sluice.%I where %s', item.name, sluice.rows_of_customer(item.name)) using customer into amount;
        if amount <> 0 then
            return next format('%s %s', amount, item.words);
        end if;
        if really then
            execute format('delete from sluice.%I where %s', item.name, sluice.rows_of_customer(item.name)) using customer;
        end if;
    end loop;
    if owner is null then
        return;
    end if;
    if exists (select from pg_shdepend d where d.refclassid = 'pg_authid'::regclass and d.refobjid = owner
                  and (d.dbid not in (0, (select oid from pg_database where datname = current_database()))
                       or d.dbid = 0 and d.classid = 'pg_database'::regclass and d.objid <> (select oid from pg_database where datname = current_database()))) then
        return next format('warning: the role %s has things in another database of this server and is left, without a login', login);
        return;
    end if;
    if really then
        execute format('drop role %I', login);
    end if;
    return next format('role %s', login);
end
$$;
revoke all on function sluice.erase_customer(text, boolean) from public;

-- Which rows of a table of ours are about the customer $1.
create function sluice.rows_of_customer(relation text) returns text
    language sql immutable set search_path = pg_catalog, pg_temp
    return case relation
        when 'share' then '$1 in (customer_id, reader_id)'
        when 'idempotency' then 'owner = $1'
        when 'dataset_version' then $w$split_part(relation, '.', 1) in ($1 || '_uploads', $1 || '_analytics', $1 || '_jobs')$w$
        else 'customer_id = $1' end;
revoke all on function sluice.rows_of_customer(text) from public;

-- All customers and what they have, as `sluice customer list` prints them.
create function sluice.customer_list() returns table (customer text, tier text, quota_bytes bigint, quota_relations integer, uploads bigint, analyses bigint,
                                                      jobs bigint, bytes bigint, login boolean, created_at timestamptz)
    language sql stable set search_path = pg_catalog, pg_temp
as $$
    with kept as materialized (
        select n.nspname, sum(pg_total_relation_size(c.oid)) as bytes
          from sluice.customer k
          cross join lateral (values (k.customer_id || '_uploads'), (k.customer_id || '_analytics'), (k.customer_id || '_jobs')) p (name)
          join pg_namespace n on n.nspname = p.name join pg_class c on c.relnamespace = n.oid and c.relkind in ('r', 'm')
         group by 1)
    select k.customer_id, k.tier, k.quota_bytes, k.quota_relations,
           (select count(*) from sluice.upload u where u.customer_id = k.customer_id), (select count(*) from sluice.analysis a where a.customer_id = k.customer_id),
           (select count(*) from sluice.job j where j.customer_id = k.customer_id),
           coalesce((select sum(bytes)::bigint from kept
                      where nspname in (k.customer_id || '_uploads', k.customer_id || '_analytics', k.customer_id || '_jobs')), 0),
           exists (select from pg_roles where rolname = 'sluice_c_' || k.customer_id and rolcanlogin), k.created_at
      from sluice.customer k order by k.customer_id
$$;
revoke all on function sluice.customer_list() from public;
