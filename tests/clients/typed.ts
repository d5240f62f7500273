// A client whose types are made of the served OpenAPI document (openapi-typescript): what reads a column that there isn't does not compile.
import createClient from 'openapi-fetch'
import type { components, operations, paths } from './contract.js'

type Buoy = components['schemas']['row_desk_buoy_NAME']
type Weather = components['schemas']['row_weather_daily']
type Read = operations['read_weather_daily']['responses'][200]['content']['application/json']

const client = createClient<paths, 'application/json' | 'application/problem+json'>({ baseUrl: process.env.SLUICE_BASE, headers: { Authorization: `Bearer ${process.env.SLUICE_TOKEN}` } })

function must<T>(answer: { data?: T; error?: unknown; response: Response }): T {
  if (answer.data === undefined) throw new Error(`${answer.response.status}: ${JSON.stringify(answer.error)}`)
  return answer.data
}

const weather: Read = must(await client.GET('/v1/datasets/weather_daily', {
  params: { query: { select: 'region_id,day,temperature_c', region_id: 'eq.AR-north-1', day: 'gte.2025-12-01', order: 'day', limit: 10 } },
}))
const row: Weather | undefined = weather[0]
const warmest: number = Math.max(...weather.map((one) => (typeof one.temperature_c === 'number' ? one.temperature_c : -Infinity)))
const region: string | null | undefined = row?.region_id

const buoys = must(await client.GET('/v1/datasets/desk.buoy', { params: { query: { id: 'in.(1,2,3)', order: 'id' }, header: { Prefer: 'count=exact' } } }))
const moods: (Buoy['mood'] | undefined)[] = buoys.map((buoy) => buoy.mood)
const names: string[] = buoys.map((buoy) => buoy.name ?? '')
const tags: unknown[] = buoys[0]?.tags ?? []
const latitude: number | string | null | undefined = buoys[1]?.place?.lat

const listed = must(await client.GET('/v1/datasets', { params: { query: { limit: 3 } } }))
const summary = must(await client.GET('/v1/regions/{region_id}/summary', { params: { path: { region_id: 'AR-north-1' } } }))
const any = must(await client.GET('/v1/datasets/{dataset}', { params: { path: { dataset: 'desk.many' }, query: { limit: 2, order: 'id' } } }))
const planned = must(await client.POST('/v1/query/plan', { body: { url: '/v1/datasets/desk.many?id=eq.1' } }))
const wrong = await client.GET('/v1/datasets/desk.buoy', { params: { query: { id: 'nothing' } } })
const problem: string | undefined = wrong.error?.type

// Each of these lines must be an error, or the types are worth nothing.
// @ts-expect-error a column that there isn't
const missing = row?.no_such_column
// @ts-expect-error a number is no text
const wrongType: string = buoys[0]!.id!
// @ts-expect-error a label that the enum lacks
const label: Buoy['mood'] = 'angry'
// @ts-expect-error a dataset that there isn't
const absent = () => client.GET('/v1/datasets/no.such', {})
// @ts-expect-error a filter on a column that there isn't
const filter = () => client.GET('/v1/datasets/weather_daily', { params: { query: { no_such_column: 'eq.1' } } })

console.log(JSON.stringify({ weather, warmest, region, moods, names, tags, latitude, listed: listed.datasets.length, summary: summary.region.region_id, any,
  lane: planned.lane, problem, status: wrong.response.status, unused: [missing, wrongType, label, typeof absent, typeof filter].length }))
