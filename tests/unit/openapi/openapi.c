#include "fixture.h"

#include <jansson.h>

static void contract_loads_and_its_operations_are_found_by_id(void **state)
{
    static const char *const ids[] = {
        "listRegions",         "getRegion",         "getRegionSummary",   "getRegionWeather",    "getRegionMarket",
        "getRegionForecast",   "listDatasets",      "getDatasetSchema",   "readDataset",         "loadRows",
        "listUploads",         "getUpload",         "putUpload",          "deleteUpload",        "getUploadQuarantine",
        "uploadSessionCreate", "uploadSessionHead", "uploadSessionPatch", "uploadSessionDelete", "planQuery",
        "runQuery",            "listAnalyses",      "getAnalysis",        "putAnalysis",         "deleteAnalysis",
        "refreshAnalysis",     "listShares",        "putShare",           "deleteShare",         "getOpenapi"};
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

static void only_the_rows_of_a_dataset_take_any_parameter_and_only_the_planner_a_body(void **state)
{
    struct openapi *document = fixture_contract();
    for (size_t i = 0; i < openapi_operation_count(document); i++) {
        const struct openapi_operation *operation = openapi_operation_at(document, i);
        bool plans = text_equal(operation->id, TEXT("planQuery"));
        assert_int_equal(operation->open_query, text_equal(operation->id, TEXT("readDataset")));
        assert_int_equal(operation->body != NULL, plans);
        assert_int_equal(operation->body_required, plans);
        assert_true(text_equal(operation->method, plans ? TEXT("POST") : TEXT("GET")));
    }
    openapi_free(document);
}

static void plan_is_asked_for_by_one_url(void **state)
{
    static const char *const wrong[] = {"{}", "{\"url\":1}", "{\"url\":\"\"}", "{\"url\":\"/\",\"run\":true}", "[]"};
    struct openapi *document = fixture_contract();
    const struct openapi_operation *operation = openapi_operation_by_id(document, TEXT("planQuery"));
    struct openapi_mistake mistake;
    assert_int_equal(openapi_validate_body(operation, TEXT("{\"url\":\"/v1/datasets/a?select=b\"}"), &mistake),
                     STATUS_OK);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (openapi_validate_body(operation, text_from_string(wrong[i]), &mistake) != STATUS_INVALID)
            fail_msg("taken: %s", wrong[i]);
    openapi_free(document);
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
        cmocka_unit_test(only_the_rows_of_a_dataset_take_any_parameter_and_only_the_planner_a_body),
        cmocka_unit_test(plan_is_asked_for_by_one_url),
        cmocka_unit_test(parameters_are_found_by_name),
        cmocka_unit_test(json_is_the_document_with_its_types),
        cmocka_unit_test(nothing_can_be_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
