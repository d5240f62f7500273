#include "query/regions.h"

#include <math.h>

#include "tests/unit/query/warehouse.h"

#define REGIONS 40
static const struct text key = {"cursor key", 10};
static const struct text purpose = {"regions", 7};

static struct reader reader;

static int set_up(void **state)
{
    warehouse_start();
    warehouse_demo();
    reader_open(&reader, 1000);
    return 0;
}

static int tear_down(void **state)
{
    reader_close(&reader);
    warehouse_stop();
    return 0;
}

/* What a search found: identifiers with a blank between, and what the tests compute with. */
struct found {
    size_t count, columns;
    char ids[REGIONS + 1][24];
    double longitude[REGIONS + 1], latitude[REGIONS + 1], distance[REGIONS + 1];
    char text[1200];
    struct arena *arena; /* for the key of row `key_row` */
    size_t key_row;
    bool near;
    struct cursor next;
};

static double number_at(const struct postgres_rows *rows, size_t row, size_t column)
{
    return strtod(postgres_rows_value(rows, row, column).data, NULL);
}

static void keep(void *context, const struct postgres_rows *rows)
{
    struct found *found = context;
    found->count = postgres_rows_count(rows);
    found->columns = postgres_rows_columns(rows);
    found->text[0] = '\0';
    for (size_t i = 0; i < found->count && i <= REGIONS; i++) {
        snprintf(found->ids[i], sizeof(found->ids[i]), "%s", postgres_rows_value(rows, i, 0).data);
        found->longitude[i] = number_at(rows, i, 4);
        found->latitude[i] = number_at(rows, i, 5);
        found->distance[i] = found->near ? number_at(rows, i, 7) : 0;
        strcat(found->text, i != 0 ? " " : "");
        strcat(found->text, found->ids[i]);
    }
    if (found->arena != NULL && found->count > found->key_row)
        regions_search_key(rows, found->key_row, found->near, found->arena, &found->next);
}

static void search_into(const struct regions_search *search, struct arena *arena, struct found *found)
{
    struct plan plan;
    struct failure failure = {0};
    found->near = search->has_near;
    if (regions_plan_search(reader.catalog, reader.versions, search, arena, &plan, &failure) != STATUS_OK)
        fail_msg("%s", failure.message);
    assert_int_equal(plan.lane, PLAN_SCAN);
    assert_int_equal(plan.rows_at_most, search->limit + 1);
    assert_true(text_equal(plan.relation, TEXT("serving.region")));
    assert_int_equal(plan.version, 1);
    reader_run(&reader, &plan, keep, found);
}

static struct found search_for(struct regions_search search)
{
    struct arena arena;
    struct found found = {0};
    arena_init(&arena, NULL, 0, 1 << 20);
    search.limit = search.limit != 0 ? search.limit : 100;
    search_into(&search, &arena, &found);
    arena_free(&arena);
    return found;
}

static void expect(struct regions_search search, const char *wanted)
{
    struct found found = search_for(search);
    assert_string_equal(found.text, wanted);
}

static void without_filters_all_regions_come_in_the_order_of_their_identifiers(void **state)
{
    struct found found = search_for((struct regions_search){0});
    assert_int_equal(found.count, REGIONS);
    assert_int_equal(found.columns, 7);
    for (size_t i = 1; i < REGIONS; i++)
        assert_true(strcmp(found.ids[i - 1], found.ids[i]) < 0);
}

static void a_page_asks_for_one_row_more_than_the_limit(void **state)
{
    expect((struct regions_search){.limit = 2}, "AR AR-alps AR-alps-1");
}

static void q_finds_names_and_identifiers_anywhere_in_any_case(void **state)
{
    expect((struct regions_search){.q = TEXT("vallée")}, "AR-alps");
    expect((struct regions_search){.q = TEXT("ŠELNO")}, "KE-baltic-1");
    expect((struct regions_search){.q = TEXT("OUTER")}, "TY-outer TY-outer-1 TY-outer-2");
    expect((struct regions_search){.q = TEXT("y-EAST-")}, "TY-east-1 TY-east-2");
    expect((struct regions_search){.q = TEXT("no such place")}, "");
}

static void like_characters_in_q_stand_for_themselves(void **state)
{
    expect((struct regions_search){.q = TEXT("%")}, "MO-south-2");
    expect((struct regions_search){.q = TEXT("_")}, "TY-west-2");
    expect((struct regions_search){.q = TEXT("\\")}, "");
    expect((struct regions_search){.q = TEXT("100\\%")}, "");
    expect((struct regions_search){.q = TEXT("\"Velho\" 100%")}, "MO-south-2");
    expect((struct regions_search){.q = TEXT("O'Dell's")}, "KE-south-2");
    expect((struct regions_search){.q = TEXT("' or true --")}, "");
}

static void kind_and_parent_narrow_and_add_up(void **state)
{
    expect((struct regions_search){.kind = TEXT("country")}, "AR KE MO TY");
    expect((struct regions_search){.parent = TEXT("TY")}, "TY-east TY-outer TY-west");
    expect((struct regions_search){.parent = TEXT("KE"), .kind = TEXT("city")}, "");
    expect((struct regions_search){.kind = TEXT("state"), .q = TEXT("north")}, "AR-north MO-north");
}

static bool is_inside(const double box[4], double longitude, double latitude)
{
    bool across = box[0] > box[2];
    bool east_west = across ? longitude >= box[0] || longitude <= box[2] : longitude >= box[0] && longitude <= box[2];
    return east_west && latitude >= box[1] && latitude <= box[3];
}

static void a_box_holds_exactly_the_places_within_it_across_the_antimeridian_too(void **state)
{
    static const double boxes[][4] = {{0, 40, 10, 50},      {178, -19, -179, -16},        {-179, -19, 178, -16},
                                      {-180, -90, 180, 90}, {179.6, -17.3, 179.6, -17.3}, {180, -90, -180, 90},
                                      {10, 50, 0, 40}};
    struct found all = search_for((struct regions_search){0});
    for (size_t b = 0; b < sizeof(boxes) / sizeof(boxes[0]); b++) {
        struct regions_search search = {.has_box = true};
        char wanted[1200] = "";
        memcpy(search.box, boxes[b], sizeof(search.box));
        for (size_t i = 0; i < all.count; i++)
            if (is_inside(boxes[b], all.longitude[i], all.latitude[i])) {
                strcat(wanted, wanted[0] != '\0' ? " " : "");
                strcat(wanted, all.ids[i]);
            }
        expect(search, wanted);
    }
    expect((struct regions_search){.has_box = true, .box = {179.5, -18, -179.5, -16}}, "TY TY-east-2");
}

/* By the angle between two vectors from the globe's centre: another formula than the haversine of the plan. */
static double distance_km(double lon1, double lat1, double lon2, double lat2)
{
    const double degree = acos(-1) / 180;
    double a[3] = {cos(lat1 * degree) * cos(lon1 * degree), cos(lat1 * degree) * sin(lon1 * degree),
                   sin(lat1 * degree)};
    double b[3] = {cos(lat2 * degree) * cos(lon2 * degree), cos(lat2 * degree) * sin(lon2 * degree),
                   sin(lat2 * degree)};
    double cross[3] = {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
    double sine = sqrt(cross[0] * cross[0] + cross[1] * cross[1] + cross[2] * cross[2]);
    return 6371.0088 * atan2(sine, a[0] * b[0] + a[1] * b[1] + a[2] * b[2]);
}

static void near_gives_every_place_its_distance_and_the_nearest_first(void **state)
{
    static const double places[][2] = {{4.8, 47.2}, {180, -17},     {-180, -17},
                                       {0, 90},     {-175.2, 17.3}, {-7.9, 40.1000001}};
    for (size_t p = 0; p < sizeof(places) / sizeof(places[0]); p++) {
        struct found found =
            search_for((struct regions_search){.has_near = true, .near = {places[p][0], places[p][1]}});
        assert_int_equal(found.count, REGIONS);
        assert_int_equal(found.columns, 8);
        for (size_t i = 0; i < found.count; i++) {
            double wanted = distance_km(places[p][0], places[p][1], found.longitude[i], found.latitude[i]);
            if (fabs(found.distance[i] - wanted) > 1e-6)
                fail_msg("%s: %.12g km, not %.12g", found.ids[i], found.distance[i], wanted);
            assert_true(i == 0 || found.distance[i - 1] <= found.distance[i]);
        }
    }
    expect((struct regions_search){.has_near = true, .near = {-179.9, -17}, .kind = TEXT("country"), .limit = 1},
           "TY KE");
}

/* Page after page, the cursor going through its text form as it does through a client. */
static void expect_pages(struct regions_search search, int64_t limit)
{
    struct arena arena;
    struct found whole = search_for(search);
    size_t seen = 0;
    struct cursor after;
    arena_init(&arena, NULL, 0, 1 << 20);
    search.limit = limit;
    for (bool more = true; more;) {
        struct found page = {.arena = &arena, .key_row = (size_t)limit - 1};
        search_into(&search, &arena, &page);
        more = page.count > (size_t)limit;
        for (size_t i = 0; i < page.count && i < (size_t)limit; i++, seen++)
            assert_string_equal(page.ids[i], whole.ids[seen]);
        struct buffer text;
        buffer_init(&text, 4096);
        if (more) {
            cursor_append(&text, key, purpose, &page.next);
            assert_int_equal(cursor_parse(buffer_text(&text), key, purpose, &arena, &after), STATUS_OK);
        }
        buffer_free(&text);
        search.after = &after;
    }
    assert_int_equal(seen, whole.count);
    arena_free(&arena);
}

static void pages_neither_repeat_nor_drop_a_region(void **state)
{
    for (int64_t limit = 1; limit <= 41; limit += limit < 5 ? 1 : 9) {
        expect_pages((struct regions_search){0}, limit);
        expect_pages((struct regions_search){.kind = TEXT("city"), .q = TEXT("o")}, limit);
        expect_pages((struct regions_search){.has_near = true, .near = {179.99, -17}}, limit);
        expect_pages((struct regions_search){.has_near = true,
                                             .near = {3.3, 48.1},
                                             .kind = TEXT("state"),
                                             .has_box = true,
                                             .box = {-30, 30, 30, 60},
                                             .q = TEXT("r")},
                     limit);
    }
}

/* Places at one and the same distance: the identifier decides, and a page may end between them. */
static void pages_hold_where_distances_are_equal(void **state)
{
    struct postgres_session *owner = warehouse_open("sluice_owner", "sluice");
    warehouse_script(
        owner,
        "insert into warehouse.region select 'ZZ-' || n, 'Same', 'twin', null, 100, 10 from generate_series(1, 9) n");
    for (int64_t limit = 1; limit < 5; limit++)
        expect_pages((struct regions_search){.has_near = true, .near = {100.1, 10}, .kind = TEXT("twin")}, limit);
    warehouse_script(owner, "delete from warehouse.region where kind = 'twin'");
    postgres_session_close(owner);
}

static void a_place_without_coordinates_is_found_but_not_near_nor_in_a_box(void **state)
{
    struct postgres_session *owner = warehouse_open("sluice_owner", "sluice");
    struct arena arena;
    struct plan plan;
    struct failure failure = {0};
    warehouse_script(owner, "insert into warehouse.region values ('ZZ', 'Nowhere', 'myth', null, null, null)");
    struct regions_search search = {.kind = TEXT("myth"), .has_near = true, .limit = 9};
    expect(search, "");
    expect((struct regions_search){.kind = TEXT("myth"), .has_box = true, .box = {-180, -90, 180, 90}}, "");
    search.has_near = false;
    char *found = NULL;
    arena_init(&arena, NULL, 0, 1 << 20);
    assert_int_equal(regions_plan_search(reader.catalog, reader.versions, &search, &arena, &plan, &failure), STATUS_OK);
    reader_run(&reader, &plan, warehouse_keep_value, &found);
    assert_string_equal(found, "ZZ");
    free(found);
    arena_free(&arena);
    warehouse_script(owner, "delete from warehouse.region where kind = 'myth'");
    postgres_session_close(owner);
}

static void a_cursor_of_the_other_order_is_refused(void **state)
{
    struct arena arena;
    struct plan plan;
    struct failure failure = {0};
    struct cursor one = {.values = {TEXT("AR")}, .count = 1}, two = {.values = {TEXT("1.5"), TEXT("AR")}, .count = 2},
                  none = {.count = 0};
    arena_init(&arena, NULL, 0, 1 << 20);
    struct regions_search search = {.limit = 5, .after = &two};
    assert_int_equal(regions_plan_search(reader.catalog, reader.versions, &search, &arena, &plan, &failure),
                     STATUS_INVALID);
    search.after = &none;
    assert_int_equal(regions_plan_search(reader.catalog, reader.versions, &search, &arena, &plan, &failure),
                     STATUS_INVALID);
    search.has_near = true;
    search.after = &one;
    assert_int_equal(regions_plan_search(reader.catalog, reader.versions, &search, &arena, &plan, &failure),
                     STATUS_INVALID);
    arena_free(&arena);
}

static void a_search_that_finds_no_memory_fails_and_never_loses_a_filter(void **state)
{
    static char memory[8192], q[700];
    memset(q, 'x', sizeof(q));
    struct regions_search search = {.q = text_of(q, sizeof(q)),
                                    .kind = TEXT("city"),
                                    .parent = TEXT("AR"),
                                    .has_near = true,
                                    .has_box = true,
                                    .limit = 5};
    bool planned = false;
    for (size_t size = 0; size <= sizeof(memory); size += 16) {
        struct arena arena;
        struct plan plan;
        struct failure failure = {0};
        arena_init(&arena, memory, size, 0);
        enum status status = regions_plan_search(reader.catalog, reader.versions, &search, &arena, &plan, &failure);
        planned = status == STATUS_OK;
        assert_true(planned || status == STATUS_TOO_LARGE);
        for (size_t i = 0; planned && i < plan.statement.parameter_count; i++)
            assert_true(plan.parameters[i].data != NULL && plan.parameters[i].size != 0);
        if (planned)
            assert_int_equal(plan.parameters[2].size, sizeof(q) + 2);
    }
    assert_true(planned);
}

static void one_region_that_finds_no_memory_is_not_planned(void **state)
{
    static char memory[4096];
    enum status status = STATUS_FAILED;
    for (size_t size = 0; size <= sizeof(memory); size += 16) {
        struct arena arena;
        struct plan plan;
        arena_init(&arena, memory, size, 0);
        status = regions_plan_one(reader.catalog, reader.versions, TEXT("AR"), &arena, &plan);
        assert_true(status == STATUS_TOO_LARGE || (plan.statement.sql != NULL && plan.parameters[0].size == 2));
    }
    assert_int_equal(status, STATUS_OK);
}

struct one {
    enum status status;
    enum rows_format format;
    struct buffer encoded;
    char weather[24], market[24];
};

static void keep_one(void *context, const struct postgres_rows *rows)
{
    struct one *one = context;
    struct text weather, market;
    one->status = regions_sources(rows, &weather, &market);
    assert_int_equal(regions_encode_one(rows, one->format, &one->encoded), one->status);
    if (one->status == STATUS_OK) {
        snprintf(one->weather, sizeof(one->weather), "%s", weather.data != NULL ? weather.data : "-");
        snprintf(one->market, sizeof(one->market), "%s", market.data != NULL ? market.data : "-");
    }
}

static void expect_one(const char *region_id, enum rows_format format, const char *weather, const char *market,
                       const char *encoded)
{
    struct arena arena;
    struct plan plan;
    struct one one = {.format = format};
    arena_init(&arena, NULL, 0, 1 << 20);
    buffer_init(&one.encoded, 1 << 16);
    assert_int_equal(regions_plan_one(reader.catalog, reader.versions, text_from_string(region_id), &arena, &plan),
                     STATUS_OK);
    assert_int_equal(plan.lane, PLAN_FAST);
    reader_run(&reader, &plan, keep_one, &one);
    assert_int_equal(one.status, weather != NULL ? STATUS_OK : STATUS_NOT_FOUND);
    if (weather != NULL) {
        assert_string_equal(one.weather, weather);
        assert_string_equal(one.market, market);
    }
    if (encoded != NULL)
        assert_string_equal(one.encoded.size != 0 ? buffer_c_string(&one.encoded) : "", encoded);
    buffer_free(&one.encoded);
    arena_free(&arena);
}

static void a_region_answers_with_its_own_market_or_its_nearest_ancestors(void **state)
{
    expect_one("AR", ROWS_JSON, "AR", "AR", NULL);
    expect_one("AR-alps", ROWS_JSON, "-", "AR-alps", NULL);
    expect_one("AR-alps-2", ROWS_JSON, "-", "AR-alps", NULL);
    expect_one("AR-coast-1", ROWS_JSON, "AR-coast-1", "AR", NULL);
    expect_one("KE-plain-1", ROWS_JSON, "KE-plain-1", "KE", NULL);
    expect_one("MO-centre-1", ROWS_JSON, "-", "-", NULL);
}

static void an_unknown_region_is_not_found_whatever_it_is_called(void **state)
{
    static const char *const names[] = {"ar", "AR ", "", "AR' or true --", "AR%", "TY-outer-3"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        expect_one(names[i], ROWS_JSON, NULL, NULL, "");
}

static void one_region_is_encoded_without_the_helper_columns(void **state)
{
    expect_one("TY-outer-2", ROWS_JSON, "TY-outer-2", "TY",
               "{\"region_id\":\"TY-outer-2\",\"name\":\"Ono\",\"kind\":\"city\",\"parent_id\":\"TY-outer\","
               "\"longitude\":-178.71,\"latitude\":-20.65,\"attributes\":{}}\n");
    expect_one("MO-south-2", ROWS_CSV, "-", "-",
               "region_id,name,kind,parent_id,longitude,latitude,attributes\n"
               "MO-south-2,\"Porto \"\"Velho\"\" 100%\",city,MO-south,-8.47,37.96,"
               "\"{\"\"climate\"\": {\"\"zone\"\": \"\"Csa\"\"}, \"\"coastal\"\": true, \"\"timezone\"\": "
               "\"\"Europe/Lisbon\"\", \"\"population\"\": 11400, \"\"elevation_m\"\": 5}\"\n");
    expect_one("AR", ROWS_NDJSON, "AR", "AR",
               "{\"region_id\":\"AR\",\"name\":\"Arvonia\",\"kind\":\"country\",\"parent_id\":null,\"longitude\":4.8,"
               "\"latitude\":47.2,\"attributes\":"
               "{\"climate\": {\"zone\": \"Cfb\"}, \"coastal\": true, \"timezone\": \"Europe/Paris\", \"population\": "
               "9120400, \"elevation_m\": 412}}\n");
}

/* Bad data must not hang a query of the shared lane. */
static void regions_that_are_each_others_parents_end_all_the_same(void **state)
{
    struct postgres_session *owner = warehouse_open("sluice_owner", "sluice");
    warehouse_script(owner, "insert into warehouse.region values ('Z1', 'Z1', 'loop', 'Z2', 0, 0), ('Z2', 'Z2', "
                            "'loop', 'Z1', 0, 0), ('Z3', 'Z3', 'loop', 'Z3', 0, 0)");
    expect_one("Z1", ROWS_JSON, "-", "-", NULL);
    expect_one("Z3", ROWS_JSON, "-", "-", NULL);
    warehouse_script(owner, "delete from warehouse.region where kind = 'loop'");
    postgres_session_close(owner);
}

static void keep_explain(void *context, const struct postgres_rows *rows)
{
    struct buffer *out = context;
    for (size_t i = 0; i < postgres_rows_count(rows); i++) {
        buffer_append_text(out, postgres_rows_value(rows, i, 0));
        buffer_append_char(out, '\n');
    }
}

/* Forty regions fit on a page, where the planner may rightly scan; a real region table may not. */
static void one_region_is_read_by_primary_keys_alone(void **state)
{
    struct arena arena;
    struct plan plan;
    struct buffer sql, out;
    struct failure failure = {0};
    struct postgres_session *owner = warehouse_open("sluice_owner", "sluice");
    warehouse_script(owner, "insert into warehouse.region select 'Z' || n, 'Z', 'filling', 'Z' || n / 10, 0, 0 from "
                            "generate_series(1, 20000) n");
    warehouse_script(owner, "analyze warehouse.region");
    arena_init(&arena, NULL, 0, 1 << 20);
    buffer_init(&sql, 1 << 16);
    buffer_init(&out, 1 << 16);
    assert_int_equal(regions_plan_one(reader.catalog, reader.versions, TEXT("AR-alps-2"), &arena, &plan), STATUS_OK);
    buffer_printf(&sql, "explain %s", plan.statement.sql);
    if (postgres_session_query(reader.session, buffer_c_string(&sql), 1, plan.parameters, keep_explain, &out,
                               &failure) != STATUS_OK)
        fail_msg("%s", failure.message);
    const char *words = buffer_c_string(&out);
    if (strstr(words, "Seq Scan") != NULL || strstr(words, "region_pkey") == NULL ||
        strstr(words, "market_daily_pkey") == NULL || strstr(words, "weather_daily_pkey") == NULL)
        fail_msg("%s", words);
    buffer_free(&sql);
    buffer_free(&out);
    arena_free(&arena);
    warehouse_script(owner, "delete from warehouse.region where kind = 'filling'");
    postgres_session_close(owner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_filters_all_regions_come_in_the_order_of_their_identifiers),
        cmocka_unit_test(a_page_asks_for_one_row_more_than_the_limit),
        cmocka_unit_test(q_finds_names_and_identifiers_anywhere_in_any_case),
        cmocka_unit_test(like_characters_in_q_stand_for_themselves),
        cmocka_unit_test(kind_and_parent_narrow_and_add_up),
        cmocka_unit_test(a_box_holds_exactly_the_places_within_it_across_the_antimeridian_too),
        cmocka_unit_test(near_gives_every_place_its_distance_and_the_nearest_first),
        cmocka_unit_test(pages_neither_repeat_nor_drop_a_region),
        cmocka_unit_test(pages_hold_where_distances_are_equal),
        cmocka_unit_test(a_place_without_coordinates_is_found_but_not_near_nor_in_a_box),
        cmocka_unit_test(a_cursor_of_the_other_order_is_refused),
        cmocka_unit_test(a_search_that_finds_no_memory_fails_and_never_loses_a_filter),
        cmocka_unit_test(one_region_that_finds_no_memory_is_not_planned),
        cmocka_unit_test(a_region_answers_with_its_own_market_or_its_nearest_ancestors),
        cmocka_unit_test(an_unknown_region_is_not_found_whatever_it_is_called),
        cmocka_unit_test(one_region_is_encoded_without_the_helper_columns),
        cmocka_unit_test(regions_that_are_each_others_parents_end_all_the_same),
        cmocka_unit_test(one_region_is_read_by_primary_keys_alone),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
