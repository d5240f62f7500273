#include "fixture.h"

#include "base/arena.h"

#define OPERATION(method, id)                                                                                          \
    "    " method ": {operationId: " id ", security: [], responses: {\"200\": {description: d}}}\n"
#define WITH(name) "    parameters: [{name: " name ", in: path, required: true, schema: {type: string}}]\n"

/* Literals and variables compete; the deep path of two variables stands first, where an unstable order would show. */
static const char paths[] = FIXTURE_HEAD "  \"/a/{x}\":\n" WITH("x") OPERATION("get", "getAx") OPERATION(
    "put", "putAx") OPERATION("delete", "deleteAx") "  /a:\n" OPERATION("get", "getA")
    OPERATION("post", "postA") "  /a/b:\n" OPERATION("get", "getAb") "  \"/{y}/c\":\n" WITH("y") OPERATION(
        "get",
        "getYc") "  \"/a/{x}/d/{z}\":\n    parameters: [{name: z, in: path, required: true, schema: {type: string}},\n"
                 "      {name: x, in: path, required: true, schema: {type: string}}]\n" OPERATION(
                     "get", "getAxdz") "  /only:\n" OPERATION("patch", "patchOnly");

/* `found`: the operation with its variables, "404", "400", or "405" with Allow. */
static const struct route_case {
    const char *method, *path, *found;
} cases[] = {
    {"GET", "/a", "getA"},
    {"POST", "/a", "postA"},
    {"GET", "/a/b", "getAb"},
    {"GET", "/a/%62", "getAb"},
    {"GET", "/%61/b", "getAb"},
    {"GET", "/a/c", "getAx x=c"},
    {"GET", "/q/c", "getYc y=q"},
    {"GET", "/a/bb", "getAx x=bb"},
    {"GET", "/a/1/d/2", "getAxdz x=1 z=2"},
    {"GET", "/a/b/d/c", "getAxdz x=b z=c"},
    /* escapes */
    {"GET", "/a/p%2fq", "getAx x=p/q"},
    {"GET", "/a/p%2Fq", "getAx x=p/q"},
    {"GET", "/a%2fb", "404"},
    {"GET", "/a/%252f", "getAx x=%2f"},
    {"GET", "/a/p+q", "getAx x=p+q"},
    {"GET", "/a/%c3%a9", "getAx x=\xc3\xa9"},
    {"GET", "/a/\xc3\xa9", "getAx x=\xc3\xa9"},
    {"GET", "/a/%3f%23", "getAx x=?#"},
    {"GET", "/a/%zz", "400"},
    {"GET", "/a/%", "400"},
    {"GET", "/a/%4", "400"},
    {"GET", "/a/%00", "400"},
    {"GET", "/a/x%00y", "400"},
    {"GET", "/a/%ff", "400"},
    {"GET", "/a/\xff", "400"},
    {"GET", "/a/%c0%af", "400"},
    {"GET", "/nowhere/%zz", "400"},
    /* segments that find nothing */
    {"GET", "", "404"},
    {"GET", "a", "404"},
    {"GET", "*", "404"},
    {"GET", "/", "404"},
    {"GET", "//", "404"},
    {"GET", "//a", "404"},
    {"GET", "/a/", "404"},
    {"GET", "/a//", "404"},
    {"GET", "/a//d/2", "404"},
    {"GET", "/a/.", "404"},
    {"GET", "/a/..", "404"},
    {"GET", "/a/%2e%2E", "404"},
    {"GET", "/a/../a", "404"},
    {"GET", "/a/./b", "404"},
    {"GET", "/a/...", "getAx x=..."},
    {"GET", "/a/1/d", "404"},
    {"GET", "/A/b", "404"},
    {"GET", "/a/{x}/e/f", "404"},
    {"GET", "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17", "404"},
    /* methods */
    {"HEAD", "/a", "getA"},
    {"HEAD", "/a/1", "getAx x=1"},
    {"HEAD", "/only", "405 PATCH, OPTIONS"},
    {"GET", "/only", "405 PATCH, OPTIONS"},
    {"PATCH", "/only", "patchOnly"},
    {"OPTIONS", "/a", "405 GET, HEAD, POST, OPTIONS"},
    {"OPTIONS", "/a/1", "405 GET, HEAD, PUT, DELETE, OPTIONS"},
    {"OPTIONS", "/a/b", "405 GET, HEAD, OPTIONS"},
    {"DELETE", "/a/b", "405 GET, HEAD, OPTIONS"},
    {"OPTIONS", "/nowhere", "404"},
    {"DELETE", "/a", "405 GET, HEAD, POST, OPTIONS"},
    {"TRACE", "/a", "405 GET, HEAD, POST, OPTIONS"},
    {"get", "/a", "405 GET, HEAD, POST, OPTIONS"},
    {"GETX", "/a", "405 GET, HEAD, POST, OPTIONS"},
    {"", "/a", "405 GET, HEAD, POST, OPTIONS"},
    {"PUT", "/a/1", "putAx x=1"},
};

static void describe(const struct openapi_route *route, char *out, size_t size)
{
    if (route->status != STATUS_OK) {
        assert_null(route->operation);
        snprintf(out, size, "%s%s%s",
                 route->status == STATUS_NOT_FOUND ? "404"
                 : route->status == STATUS_INVALID ? "400"
                 : route->status == STATUS_DENIED  ? "405"
                                                   : "?",
                 route->allow[0] != '\0' ? " " : "", route->allow);
        return;
    }
    size_t at = (size_t)snprintf(out, size, "%.*s", TEXT_ARGS(route->operation->id));
    for (size_t i = 0; i < route->variable_count && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, " %.*s=%.*s", TEXT_ARGS(route->names[i]),
                               TEXT_ARGS(route->variables[i]));
}

static void each_path_finds_its_operation(void **state)
{
    size_t wrong = 0;
    struct openapi *document = fixture_load(paths);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct openapi_route route;
        struct arena arena;
        char found[400];
        size_t size = strlen(cases[i].path);
        char *copy = malloc(size != 0 ? size : 1);
        assert_non_null(copy);
        for (size_t k = 0; k < size; k++)
            copy[k] = cases[i].path[k];
        memset(&route, 0xA5, sizeof(route));
        arena_init(&arena, NULL, 0, 1 << 16);
        openapi_route(document, text_from_string(cases[i].method), text_of(copy, size), &arena, &route);
        describe(&route, found, sizeof(found));
        if (strcmp(found, cases[i].found) != 0) {
            print_error("%s %s: wanted %s, got %s\n", cases[i].method, cases[i].path, cases[i].found, found);
            wrong++;
        }
        arena_free(&arena);
        free(copy);
    }
    openapi_free(document);
    assert_int_equal(wrong, 0);
}

static void literals_win_in_whatever_order_the_document_has_them(void **state)
{
    /* Of three paths with two lengths, each order. */
    static const char *const lines[] = {
        "  /a:\n" OPERATION("get", "short"),
        "  /a/b:\n" OPERATION("get", "literal"),
        "  \"/a/{x}\":\n" WITH("x") OPERATION("get", "variable"),
        "  \"/{x}/{y}\":\n    parameters: [{name: x, in: path, required: true, schema: {type: string}},\n"
        "      {name: y, in: path, required: true, schema: {type: string}}]\n" OPERATION("get", "both"),
    };
    for (size_t order = 0; order < 256; order++) {
        size_t picks[] = {order & 3, order >> 2 & 3, order >> 4 & 3, order >> 6 & 3};
        if ((1u << picks[0] | 1u << picks[1] | 1u << picks[2] | 1u << picks[3]) != 15)
            continue;
        char yaml[2048];
        snprintf(yaml, sizeof(yaml), FIXTURE_HEAD "%s%s%s%s", lines[picks[0]], lines[picks[1]], lines[picks[2]],
                 lines[picks[3]]);
        struct openapi *document = fixture_load(yaml);
        struct openapi_route route;
        openapi_route(document, TEXT("GET"), TEXT("/a/b"), NULL, &route);
        assert_true(text_equal(route.operation->id, TEXT("literal")));
        openapi_route(document, TEXT("GET"), TEXT("/a/c"), NULL, &route);
        assert_true(text_equal(route.operation->id, TEXT("variable")));
        openapi_route(document, TEXT("GET"), TEXT("/b/b"), NULL, &route);
        assert_true(text_equal(route.operation->id, TEXT("both")));
        openapi_free(document);
    }
}

static void unescaped_variables_are_not_copied(void **state)
{
    static const char path[] = "/a/plain";
    struct openapi_route route;
    struct openapi *document = fixture_load(paths);
    openapi_route(document, TEXT("GET"), TEXT(path), NULL, &route);
    assert_int_equal(route.status, STATUS_OK);
    assert_ptr_equal(route.variables[0].data, path + 3);
    openapi_free(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_path_finds_its_operation),
        cmocka_unit_test(literals_win_in_whatever_order_the_document_has_them),
        cmocka_unit_test(unescaped_variables_are_not_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
