-- The login that `sluice serve` reads the warehouse with. Roles belong to the whole server: another database, or a migration of another
-- database at this moment, may have made it. `sluice migrate` sets its password.

do $$
declare
    wrong text;
begin
    begin
        create role sluice_reader login noinherit nosuperuser nocreatedb nocreaterole noreplication nobypassrls;
    exception when duplicate_object or unique_violation then
        null;
    end;
    select concat_ws(', ', case when rolsuper then 'SUPERUSER' end, case when rolcreatedb then 'CREATEDB' end,
                     case when rolcreaterole then 'CREATEROLE' end, case when rolreplication then 'REPLICATION' end,
                     case when rolbypassrls then 'BYPASSRLS' end, case when rolinherit then 'INHERIT' end,
                     case when not rolcanlogin then 'NOLOGIN' end)
      into strict wrong
      from pg_catalog.pg_roles where rolname = 'sluice_reader';
    if wrong <> '' then
        raise exception 'the role sluice_reader exists already and is %', wrong
            using hint = 'Run as a superuser: ALTER ROLE sluice_reader LOGIN NOINHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS';
    end if;
    if not pg_catalog.has_database_privilege('sluice_reader', pg_catalog.current_database(), 'connect') then
        execute pg_catalog.format('grant connect on database %I to sluice_reader', pg_catalog.current_database());
    end if;
end
$$;

grant usage on schema sluice to sluice_reader;
grant select on sluice.dataset_version to sluice_reader;
