#include "base/lru.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/hash.h"

/* A value counts its releases itself. */
struct value {
    int id;
    int released;
};

static struct value values[100];
static int order[200]; /* ids in the order of their release */
static size_t order_count;
static struct lru *lru;

static void release(void *value)
{
    struct value *leaving = value;
    leaving->released++;
    order[order_count++ % 200] = leaving->id;
}

static int set_up(void **state)
{
    for (int i = 0; i < 100; i++)
        values[i] = (struct value){.id = i};
    order_count = 0;
    return 0;
}

static int tear_down(void **state)
{
    lru_destroy(lru);
    lru = NULL;
    return 0;
}

static bool put(const char *key, int id, size_t weight)
{
    struct text text = text_from_string(key);
    return lru_put(lru, text, hash_text(text), &values[id], weight);
}

/* The value's id; -1 if there is none. */
static int get(const char *key)
{
    struct text text = text_from_string(key);
    struct value *value = lru_get(lru, text, hash_text(text));
    return value != NULL ? value->id : -1;
}

static void the_least_recently_used_goes_first(void **state)
{
    lru = lru_create(3, 100, release);
    assert_true(put("a", 1, 1) && put("b", 2, 1) && put("c", 3, 1));
    assert_int_equal(get("a"), 1);
    assert_true(put("d", 4, 1));
    assert_int_equal(get("b"), -1);
    assert_int_equal(get("a"), 1);
    assert_int_equal(get("d"), 4);
    assert_true(put("e", 5, 1));
    assert_int_equal(get("c"), -1);
    assert_int_equal(lru_count(lru), 3);
    assert_int_equal(order_count, 2);
    assert_int_equal(order[0], 2);
    assert_int_equal(order[1], 3);
}

static void weight_makes_room_by_as_many_of_the_oldest_as_it_takes(void **state)
{
    lru = lru_create(10, 10, release);
    assert_true(put("a", 1, 3) && put("b", 2, 3) && put("c", 3, 4));
    assert_int_equal(lru_weight(lru), 10);
    assert_true(put("d", 4, 5));
    assert_int_equal(lru_weight(lru), 9);
    assert_int_equal(get("a") + get("b"), -2);
    assert_int_equal(get("c"), 3);
    assert_true(put("e", 5, 10));
    assert_int_equal(lru_weight(lru), 10);
    assert_int_equal(lru_count(lru), 1);
    assert_true(put("f", 6, 0) && get("e") == 5);
}

static void what_is_too_heavy_is_released_at_once_with_what_it_replaces(void **state)
{
    lru = lru_create(10, 10, release);
    assert_true(put("a", 1, 3) && put("b", 2, 3));
    assert_false(put("a", 3, 11));
    assert_int_equal(values[3].released, 1);
    assert_int_equal(values[1].released, 1);
    assert_int_equal(get("a"), -1);
    assert_int_equal(get("b"), 2);
    assert_int_equal(lru_weight(lru), 3);
    assert_false(put("c", 4, SIZE_MAX));
    assert_int_equal(values[4].released, 1);
}

static void replacing_releases_the_old_value_and_counts_the_new_weight(void **state)
{
    lru = lru_create(2, 10, release);
    assert_true(put("a", 1, 8) && put("b", 2, 1) && put("a", 3, 9));
    assert_int_equal(get("a"), 3);
    assert_int_equal(get("b"), 2); /* fits: the old weight of a is gone before room is made */
    assert_int_equal(values[1].released, 1);
    assert_int_equal(lru_weight(lru), 10);
    assert_int_equal(lru_count(lru), 2);
}

static void removing_clearing_and_destroying_release_each_value_once(void **state)
{
    char key[8];
    lru = lru_create(100, 1000, release);
    for (int i = 0; i < 90; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        assert_true(put(key, i, 1));
    }
    lru_remove(lru, TEXT("k7"), hash_text(TEXT("k7")));
    lru_remove(lru, TEXT("k7"), hash_text(TEXT("k7")));
    lru_remove(lru, TEXT("none"), hash_text(TEXT("none")));
    assert_int_equal(order_count, 1);
    assert_int_equal(lru_weight(lru), 89);
    lru_clear(lru);
    assert_int_equal(lru_count(lru) + lru_weight(lru), 0);
    assert_int_equal(get("k8"), -1);
    assert_true(put("again", 95, 1));
    lru_destroy(lru);
    lru = NULL;
    for (int i = 0; i < 90; i++)
        assert_int_equal(values[i].released, 1);
    assert_int_equal(values[95].released, 1);
    lru_destroy(NULL);
}

static void keys_of_one_hash_are_told_apart_by_their_bytes(void **state)
{
    char key[2] = {0};
    lru = lru_create(100, 100, release);
    for (int i = 0; i < 90; i++) {
        key[0] = (char)i;
        assert_true(lru_put(lru, text_of(key, 2), 42, &values[i], 1));
    }
    for (int i = 0; i < 90; i++) {
        key[0] = (char)i;
        assert_ptr_equal(lru_get(lru, text_of(key, 2), 42), &values[i]);
        assert_null(lru_get(lru, text_of(key, 1), 42));
        assert_null(lru_get(lru, text_of(key, 2), 43));
    }
    assert_true(lru_put(lru, TEXT_NONE, 42, &values[91], 1));
    assert_ptr_equal(lru_get(lru, TEXT(""), 42), &values[91]);
}

struct owned {
    char key[8]; /* the table is asked by this very memory */
};

static void free_owned(void *value)
{
    memset(value, 'x', sizeof(struct owned));
    free(value);
}

static void a_key_that_the_leaving_value_owns_may_be_handed_in(void **state)
{
    lru = lru_create(2, 10, free_owned);
    struct owned *first = calloc(1, sizeof(*first)), *second = calloc(1, sizeof(*second));
    struct text key = text_of(first->key, 3);
    memcpy(first->key, "abc", 3);
    uint64_t hash = hash_text(key);
    assert_true(lru_put(lru, key, hash, first, 1));
    assert_true(lru_put(lru, key, hash, second, 1));
    assert_ptr_equal(lru_get(lru, TEXT("abc"), hash), second);
    memcpy(second->key, "abc", 3);
    lru_remove(lru, text_of(second->key, 3), hash);
    assert_int_equal(lru_count(lru), 0);
    struct owned *third = calloc(1, sizeof(*third)), *heavy = calloc(1, sizeof(*heavy));
    memcpy(third->key, "abc", 3);
    assert_true(lru_put(lru, text_of(third->key, 3), hash, third, 1));
    assert_false(lru_put(lru, text_of(third->key, 3), hash, heavy, 11));
    assert_int_equal(lru_count(lru), 0);
}

#define MODEL_KEYS 300
#define MODEL_COUNT 120
#define MODEL_WEIGHT 1000

/* The same table as an array, oldest first. */
static struct {
    int key;
    size_t weight;
} model[MODEL_COUNT + 1];
static size_t model_count, model_weight;

static void model_remove(size_t at)
{
    model_weight -= model[at].weight;
    memmove(model + at, model + at + 1, (--model_count - at) * sizeof(model[0]));
}

static size_t model_find(int key)
{
    size_t at = 0;
    while (at < model_count && model[at].key != key)
        at++;
    return at;
}

static void model_put(int key, size_t weight)
{
    size_t at = model_find(key);
    if (at < model_count)
        model_remove(at);
    if (weight > MODEL_WEIGHT)
        return;
    while (model_count >= MODEL_COUNT || model_weight + weight > MODEL_WEIGHT)
        model_remove(0);
    model[model_count].key = key;
    model[model_count++].weight = weight;
    model_weight += weight;
}

static void model_use(int key)
{
    size_t at = model_find(key), weight = at < model_count ? model[at].weight : 0;
    if (at < model_count)
        model_put(key, weight);
}

static void free_model_value(void *value)
{
    free(value);
}

static void any_course_of_calls_ends_as_a_plain_array_says(void **state)
{
    uint64_t bits = 88172645463325252;
    lru = lru_create(MODEL_COUNT, MODEL_WEIGHT, free_model_value);
    model_count = model_weight = 0;
    for (int round = 0; round < 300000; round++) {
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        int key = (int)(bits % MODEL_KEYS);
        size_t weight = (bits >> 20) % 100 == 0 ? 1001 : (bits >> 30) % 16;
        struct text text = text_of((const char *)&key, sizeof(key));
        uint64_t hash = hash_text(text) % 200; /* many share one */
        if ((bits >> 40) % 4 == 0) {
            size_t at = model_find(key);
            lru_remove(lru, text, hash);
            if (at < model_count)
                model_remove(at);
        } else if ((bits >> 40) % 4 == 1) {
            int *value = malloc(sizeof(*value));
            *value = key;
            assert_int_equal(lru_put(lru, text, hash, value, weight), weight <= MODEL_WEIGHT);
            model_put(key, weight);
        } else {
            int *value = lru_get(lru, text, hash);
            assert_int_equal(value != NULL, model_find(key) < model_count);
            assert_true(value == NULL || *value == key);
            model_use(key);
        }
        assert_int_equal(lru_count(lru), model_count);
        assert_int_equal(lru_weight(lru), model_weight);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_least_recently_used_goes_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(weight_makes_room_by_as_many_of_the_oldest_as_it_takes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_too_heavy_is_released_at_once_with_what_it_replaces, set_up, tear_down),
        cmocka_unit_test_setup_teardown(replacing_releases_the_old_value_and_counts_the_new_weight, set_up, tear_down),
        cmocka_unit_test_setup_teardown(removing_clearing_and_destroying_release_each_value_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keys_of_one_hash_are_told_apart_by_their_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_key_that_the_leaving_value_owns_may_be_handed_in, set_up, tear_down),
        cmocka_unit_test_setup_teardown(any_course_of_calls_ends_as_a_plain_array_says, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
