#include <stdio.h>

#include "openapi/document.h"

static void say_field(struct openapi_mistake *mistake, struct text name)
{
    size_t count = 0;
    for (size_t i = 0; i < name.size && count + 1 < sizeof(mistake->field); i++) {
        unsigned char byte = (unsigned char)name.data[i];
        mistake->field[count++] = byte >= 0x20 && byte < 0x7F ? (char)byte : '?';
    }
    mistake->field[count] = '\0';
}

static enum status refuse(struct openapi_mistake *mistake, enum openapi_place place, struct text name,
                          const char *message)
{
    mistake->place = place;
    say_field(mistake, name);
    if (message != NULL)
        snprintf(mistake->message, sizeof(mistake->message), "%s", message);
    return STATUS_INVALID;
}

static enum status refuse_unknown(const struct openapi_operation *operation, struct text name,
                                  struct openapi_mistake *mistake)
{
    size_t at = (size_t)snprintf(mistake->message, sizeof(mistake->message), "unknown parameter; known are"), best = 3;
    struct text nearest = TEXT_NONE;
    for (size_t i = 0; i < operation->parameter_count; i++) {
        const struct openapi_parameter *parameter = &operation->parameters[i];
        if (parameter->place != OPENAPI_QUERY)
            continue;
        if (at < sizeof(mistake->message))
            at += (size_t)snprintf(mistake->message + at, sizeof(mistake->message) - at, " %.*s",
                                   TEXT_ARGS(parameter->name));
        size_t away = text_distance(name, parameter->name);
        if (away < best) {
            best = away;
            nearest = parameter->name;
        }
    }
    if (nearest.data != NULL && at < sizeof(mistake->message))
        snprintf(mistake->message + at, sizeof(mistake->message) - at, "; did you mean %.*s?", TEXT_ARGS(nearest));
    return refuse(mistake, OPENAPI_QUERY, name, NULL);
}

static enum status check_value(const struct openapi_parameter *parameter, struct text text, struct arena *arena,
                               struct openapi_value *value, struct openapi_mistake *mistake)
{
    if (schema_check_text(parameter->schema, text, arena, value, mistake) == STATUS_OK)
        return STATUS_OK;
    return refuse(mistake, parameter->place, parameter->name, NULL);
}

static enum status take_query_part(const struct openapi_operation *operation, struct text part, struct arena *arena,
                                   struct openapi_value *values, struct openapi_mistake *mistake)
{
    struct text value = part, name = text_split(&value, '=');
    if (value.data == NULL)
        value = TEXT("");
    if (schema_decode_query(&name, arena, mistake) != STATUS_OK)
        return refuse(mistake, OPENAPI_QUERY, name, NULL);
    for (size_t i = 0; i < operation->parameter_count; i++) {
        const struct openapi_parameter *parameter = &operation->parameters[i];
        if (parameter->place != OPENAPI_QUERY || !text_equal(parameter->name, name))
            continue;
        if (values[i].present)
            return refuse(mistake, OPENAPI_QUERY, name, "given twice; give it once");
        return schema_check_query(parameter->schema, value, arena, &values[i], mistake) == STATUS_OK
                   ? STATUS_OK
                   : refuse(mistake, OPENAPI_QUERY, name, NULL);
    }
    return refuse_unknown(operation, name, mistake);
}

static enum status take_elsewhere(const struct openapi_input *input, const struct openapi_parameter *parameter,
                                  struct arena *arena, struct openapi_value *value, struct openapi_mistake *mistake)
{
    const struct openapi_route *route = input->route;
    if (parameter->place == OPENAPI_PATH)
        for (size_t i = 0; i < route->variable_count; i++)
            if (text_equal(route->names[i], parameter->name))
                return check_value(parameter, route->variables[i], arena, value, mistake);
    if (parameter->place == OPENAPI_HEADER && input->header != NULL) {
        struct text text = input->header(input->header_context, parameter->name);
        if (text.data != NULL && !text_is_utf8(text))
            return refuse(mistake, OPENAPI_HEADER, parameter->name, "must be UTF-8");
        if (text.data != NULL)
            return check_value(parameter, text, arena, value, mistake);
    }
    return STATUS_OK;
}

enum status openapi_validate(const struct openapi_input *input, struct arena *arena, const struct openapi_value **out,
                             struct openapi_mistake *mistake)
{
    const struct openapi_operation *operation = input->route->operation;
    struct openapi_value *values = arena_calloc(arena, operation->parameter_count + 1, sizeof(*values));
    struct text rest = input->query;
    mistake->too_long = false;
    if (values == NULL) {
        mistake->too_long = true;
        return refuse(mistake, OPENAPI_QUERY, TEXT("*"), "the request is too large");
    }
    while (!operation->open_query && rest.data != NULL) {
        struct text part = text_split(&rest, '&');
        if (part.size != 0 && take_query_part(operation, part, arena, values, mistake) != STATUS_OK)
            return STATUS_INVALID;
    }
    for (size_t i = 0; i < operation->parameter_count; i++) {
        const struct openapi_parameter *parameter = &operation->parameters[i];
        if (parameter->place == OPENAPI_QUERY && operation->open_query)
            continue;
        if (parameter->place != OPENAPI_QUERY &&
            take_elsewhere(input, parameter, arena, &values[i], mistake) != STATUS_OK)
            return STATUS_INVALID;
        if (!values[i].present && parameter->schema->has_default)
            values[i] = parameter->schema->default_value;
        if (!values[i].present && parameter->required)
            return refuse(mistake, parameter->place, parameter->name, "is missing");
    }
    *out = values;
    return STATUS_OK;
}
