-- The reader reads the warehouse and its serving views, and nothing else. Included last by demo.sql and load_data.sql.
grant usage on schema warehouse, serving to sluice_reader;
grant select on all tables in schema warehouse, serving to sluice_reader;
