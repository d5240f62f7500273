// What an application does with postgrest-js, unmodified; prints each answer under the name of its case. postgrest_cases.py does the same in Python.
import { createRequire } from 'node:module'
import { join } from 'node:path'

const { PostgrestClient } = createRequire(join(process.env.SLUICE_NODE, 'index.js'))('@supabase/postgrest-js')
const rest = new PostgrestClient(`${process.env.SLUICE_BASE}/v1/datasets`, { headers: { Authorization: `Bearer ${process.env.SLUICE_TOKEN}` } })
const desk = rest.schema('desk')
const buoy = (columns = 'id', options = {}) => desk.from('buoy').select(columns, options)

const cases = {
  all_columns: () => buoy('*').order('id'),
  columns: () => buoy('id, name, opened').eq('mood', 'wild').order('id'),
  bare_with_schema_in_its_name: () => rest.from('desk.buoy').select('id').lt('id', 4).order('id'),
  first_schema: () => rest.from('weather_daily').select('region_id,day,temperature_c').eq('region_id', 'AR-north-1').gte('day', '2024-02-27').lte('day', '2024-03-02').order('day'),
  odd_name: () => desk.from('Odd Name; $1').select('"Odd, column","a.b"').order('"Odd, column"'),
  alias_and_cast: () => buoy('number:id::text,since:opened').in('id', [1, 2]).order('id'),
  neq: () => buoy().neq('mood', 'calm').gt('id', 50).order('id'),
  comparisons: () => buoy().gt('price', 10).lte('price', 20.25).order('id'),
  like: () => buoy().like('name', 'buoy 1%').order('id'),
  like_all_of: () => buoy().likeAllOf('name', ['buoy%', '%1']).order('id'),
  ilike_any_of: () => buoy().ilikeAnyOf('name', ['COMMA%', 'paren%']).order('id'),
  is_null: () => buoy().is('note', null).gt('id', 50).order('id'),
  is_true: () => buoy().is('active', true).lt('id', 9).order('id'),
  in_with_reserved_characters: () => buoy('id,name').in('name', ['Comma, Place', 'Paren (x)', 'Łąkowo 100%', 'buoy 7']).order('id'),
  contains_array: () => buoy().contains('tags', ['t1', 'all']).order('id'),
  contains_json: () => buoy().contains('details', { maker: { name: 'm2' } }).lt('id', 20).order('id'),
  contained_by: () => buoy().containedBy('tags', ['t1', 't2', 'all']).order('id'),
  overlaps: () => buoy().overlaps('tags', ['t3', 'none']).order('id'),
  range_overlaps: () => buoy().overlaps('depth', '[5,6)').order('id'),
  range_gt: () => buoy().rangeGt('depth', '[0,50)').order('id'),
  range_lt: () => buoy().rangeLt('depth', '[20,30)').order('id'),
  range_adjacent: () => buoy().rangeAdjacent('depth', '[20,30)').order('id'),
  text_search: () => buoy().textSearch('words', 'drift & 12', { config: 'english' }).order('id'),
  web_search: () => buoy().textSearch('words', 'drifting -12', { type: 'websearch', config: 'english' }).lt('id', 15).order('id'),
  match: () => buoy().match({ mood: 'calm', active: true }).order('id'),
  not: () => buoy().not('id', 'in', '(1,2,3)').lt('id', 7).order('id'),
  or: () => buoy().or('id.lt.3,note.eq.note 49,and(load.gt.14.6,active.is.true)').order('id'),
  filter: () => buoy().filter('id', 'gte', 58).order('id'),
  json_paths: () => buoy('id,details->maker->>name,far:details->meters,details->list->0').gt('details->meters', '57').order('id'),
  order_by_json: () => buoy().order('details->maker->>name', { ascending: false }).order('id').limit(5),
  order_nulls: () => buoy('id,note').order('note', { ascending: false, nullsFirst: false }).order('id', { ascending: false }).limit(12),
  aggregates: () => buoy('mood,count(),price.sum(),id.max()').order('mood'),
  range: () => buoy().order('id').range(10, 19),
  count_exact: () => buoy('id', { count: 'exact' }).order('id').range(10, 19),
  count_head: () => buoy('*', { count: 'exact', head: true }).gt('id', 40),
  count_estimated: () => buoy('id', { count: 'estimated' }).limit(1),
  single: () => buoy('id,name').eq('id', 7).single(),
  single_of_many: () => buoy().single(),
  maybe_single: () => buoy('id,name').eq('id', 7).maybeSingle(),
  maybe_single_none: () => buoy().eq('id', 700).maybeSingle(),
  strip_nulls: () => buoy('id,note').in('id', [6, 7]).order('id').stripNulls(),
  csv: () => buoy('id,name,note').lt('id', 8).order('id').csv(),
  unknown_column: () => buoy().eq('nothing', 1),
  unknown_dataset: () => desk.from('nothing').select(),
  wrong_value: () => buoy().eq('opened', 'yesterday-ish'),
  past_the_end: () => buoy('id', { count: 'exact' }).range(100, 109),
}

const answers = {}
for (const [name, ask] of Object.entries(cases)) {
  const { data, count, error, status } = await ask()
  answers[name] = { data, count, status, error }
}
console.log(JSON.stringify(answers))
