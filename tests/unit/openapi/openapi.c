#include "fixture.h"

#include <jansson.h>

static void contract_loads_and_its_operations_are_found_by_id(void **state)
{
    static const char *const ids[] = {"listRegions",
                                      "getRegion",
                                      "getRegionSummary",
                                      "getRegionWeather",
                                      "getRegionMarket",
                                      "getRegionForecast",
                                      "listDatasets",
                                      "getDatasetSchema",
                                      "readDataset",
                                      "loadRows",
                                      "listUploads",
                                      "getUpload",
                                      "putUpload",
                                      "deleteUpload",
                                      "getUploadQuarantine",
                                      "uploadSessionCreate",
                                      "uploadSessionHead",
                                      "uploadSessionPatch",
                                      "uploadSessionDelete",
                                      "planQuery",
                                      "runQuery",
                                      "listAnalyses",
                                      "getAnalysis",
                                      "putAnalysis",
                                      "deleteAnalysis",
                                      "refreshAnalysis",
                                      "listShares",
                                      "putShare",
                                      "deleteShare",
                                      "listJobs",
                                      "getJob",
                                      "deleteJob",
                                      "getJobResult",
                                      "listAudit",
                                      "getOpenapi"};
    struct openapi *document = fixture_contract();
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        const struct openapi_operation *operation = openapi_operation_by_id(document, text_from_string(ids[i]));
        if (operation == NULL)
            fail_msg("the contract has no operation %s", ids[i]);
        assert_ptr_equal(openapi_operation_at(document, operation->index), operation);
    }
    assert_null(openapi_operation_by_id(document, TEXT("getregion")));
    assert_null(openapi_operation_by_id(document, TEXT("")));
    openapi_free(document);
}

static void only_the_contract_itself_needs_no_token(void **state)
{
    struct openapi *document = fixture_contract();
    for (size_t i = 0; i < openapi_operation_count(document); i++) {
        const struct openapi_operation *operation = openapi_operation_at(document, i);
        bool is_contract = text_equal(operation->id, TEXT("getOpenapi"));
        assert_int_equal(operation->index, i);
        assert_false(operation->is_public);
        assert_int_equal(operation->optional_auth, is_contract);
        assert_true(is_contract || operation->scope_count != 0);
        assert_true(text_starts_with(operation->path, TEXT("/v1/")));
    }
    openapi_free(document);
}

static void what_reads_or_loads_rows_takes_any_parameter(void **state)
{
    struct openapi *document = fixture_contract();
    for (size_t i = 0; i < openapi_operation_count(document); i++) {
        const struct openapi_operation *operation = openapi_operation_at(document, i);
        bool filters = text_equal(operation->id, TEXT("readDataset")) || text_equal(operation->id, TEXT("loadRows")) ||
                       text_equal(operation->id, TEXT("getJobResult")) || text_equal(operation->id, TEXT("listAudit"));
        assert_int_equal(operation->open_query, filters);
    }
    openapi_free(document);
}

static void a_body_is_json_that_is_validated_or_a_file_as_it_comes(void **state)
{
    static const struct {
        const char *id;
        bool json, required;
        size_t media;
    } bodies[] = {{"planQuery", true, true, 0},           {"runQuery", true, true, 0},
                  {"putAnalysis", true, true, 0},         {"putUpload", false, true, 5},
                  {"loadRows", false, true, 5},           {"uploadSessionCreate", false, false, 1},
                  {"uploadSessionPatch", false, false, 1}};
    struct openapi *document = fixture_contract();
    size_t seen = 0;
    for (size_t i = 0; i < openapi_operation_count(document); i++) {
        const struct openapi_operation *operation = openapi_operation_at(document, i);
        size_t j = 0;
        while (j < sizeof(bodies) / sizeof(bodies[0]) && !text_equal(operation->id, text_from_string(bodies[j].id)))
            j++;
        bool takes = j < sizeof(bodies) / sizeof(bodies[0]);
        seen += takes;
        assert_int_equal(operation->body != NULL, takes && bodies[j].json);
        assert_int_equal(operation->body_required, takes && bodies[j].required);
        assert_int_equal(operation->media_count, takes ? bodies[j].media : 0);
        assert_true(!takes || !text_equal(operation->method, TEXT("GET")));
    }
    assert_int_equal(seen, sizeof(bodies) / sizeof(bodies[0]));
    openapi_free(document);
}

static void check_bodies(const char *id, const char *const *good, const char *const *wrong)
{
    struct openapi *document = fixture_contract();
    const struct openapi_operation *operation = openapi_operation_by_id(document, text_from_string(id));
    struct openapi_mistake mistake;
    for (; *good != NULL; good++)
        if (openapi_validate_body(operation, text_from_string(*good), &mistake) != STATUS_OK)
            fail_msg("%s refuses %s: %s", id, *good, mistake.message);
    for (; *wrong != NULL; wrong++)
        if (openapi_validate_body(operation, text_from_string(*wrong), &mistake) != STATUS_INVALID)
            fail_msg("%s takes %s", id, *wrong);
    openapi_free(document);
}

/* That one of url and sql is there is the handler's to check. */
static void plan_is_asked_for_by_one_url_or_by_sql(void **state)
{
    static const char *const good[] = {"{\"url\":\"/v1/datasets/a?select=b\"}",
                                       "{\"sql\":\"select :a\",\"parameters\":{\"a\":1},\"limit\":1}", NULL};
    static const char *const wrong[] = {"{\"url\":1}", "{\"url\":\"\"}", "{\"url\":\"/\",\"run\":true}", "[]", NULL};
    check_bodies("planQuery", good, wrong);
}

static void sql_is_a_text_with_scalar_bounds(void **state)
{
    static const char *const good[] = {"{\"sql\":\"select 1\"}", "{\"sql\":\"select $1\",\"parameters\":[null]}",
                                       "{\"sql\":\"select 1\",\"parameters\":null,\"offset\":0}", NULL};
    static const char *const wrong[] = {"{}",
                                        "{\"sql\":\"\"}",
                                        "{\"sql\":null}",
                                        "{\"sql\":\"select 1\",\"limit\":0}",
                                        "{\"sql\":\"select 1\",\"offset\":-1}",
                                        "{\"sql\":\"select 1\",\"parameters\":\"a\"}",
                                        "{\"sql\":\"select 1\",\"as\":\"view\"}",
                                        NULL};
    check_bodies("runQuery", good, wrong);
}

static void an_analysis_is_a_view_or_a_table(void **state)
{
    static const char *const good[] = {"{\"sql\":\"select 1\"}",
                                       "{\"sql\":\"select 1\",\"as\":\"table\",\"description\":\"\"}", NULL};
    static const char *const wrong[] = {"{\"as\":\"view\"}", "{\"sql\":\"select 1\",\"as\":\"index\"}",
                                        "{\"sql\":\"select 1\",\"description\":1}", NULL};
    check_bodies("putAnalysis", good, wrong);
}

static void parameters_are_found_by_name(void **state)
{
    struct openapi *document = fixture_contract();
    const struct openapi_operation *operation = openapi_operation_by_id(document, TEXT("getRegionSummary"));
    size_t index = openapi_parameter_index(operation, TEXT("window"));
    assert_in_range(index, 0, operation->parameter_count - 1);
    assert_true(text_equal(operation->parameters[index].name, TEXT("window")));
    assert_true(openapi_parameter_index(operation, TEXT("Window")) == SIZE_MAX);
    openapi_free(document);
}

static void json_is_the_document_with_its_types(void **state)
{
    json_error_t error;
    struct openapi *document = fixture_contract();
    struct text text = openapi_json(document);
    json_t *json = json_loadb(text.data, text.size, JSON_REJECT_DUPLICATES, &error);
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "openapi")), "3.1.0");
    const char *version = json_string_value(json_object_get(json_object_get(json, "info"), "version"));
    assert_string_equal(version, "0.1.0");
    const json_t *get = json_object_get(json_object_get(json_object_get(json, "paths"), "/v1/regions"), "get");
    size_t i;
    json_t *parameter;
    bool seen = false;
    json_array_foreach(json_object_get(get, "parameters"), i, parameter)
    {
        const char *name = json_string_value(json_object_get(parameter, "name"));
        if (name == NULL || strcmp(name, "limit") != 0)
            continue;
        seen = json_integer_value(json_object_get(json_object_get(parameter, "schema"), "default")) == 100;
    }
    assert_true(seen);
    json_decref(json);
    openapi_free(document);
}

static void nothing_can_be_freed(void **state)
{
    openapi_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contract_loads_and_its_operations_are_found_by_id),
        cmocka_unit_test(only_the_contract_itself_needs_no_token),
        cmocka_unit_test(what_reads_or_loads_rows_takes_any_parameter),
        cmocka_unit_test(a_body_is_json_that_is_validated_or_a_file_as_it_comes),
        cmocka_unit_test(plan_is_asked_for_by_one_url_or_by_sql),
        cmocka_unit_test(sql_is_a_text_with_scalar_bounds),
        cmocka_unit_test(an_analysis_is_a_view_or_a_table),
        cmocka_unit_test(parameters_are_found_by_name),
        cmocka_unit_test(json_is_the_document_with_its_types),
        cmocka_unit_test(nothing_can_be_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
