/* Damage by rule: each rule on a text that it fits, and on one that it does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/mem.h"
#include "loop/kinds/damage.h"

static const char other[] = "Cats sleep for most of the day. They hunt at dusk and at dawn.";

/* RULE on TEXT, for many keys: every outcome is one of WANT (NULL-ended), and each of these comes. */
static void gives(const char *rule, const char *request, const char *text, const char *const *want)
{
    const struct ste_damage d = {text, request, other};
    const struct ste_damage_rule *x = ste_damage_rules;
    bool seen[16] = {false};
    while (strcmp(x->name, rule) != 0)
        x++;
    for (uint64_t key = 0; key < 300; key++) {
        struct ste_rng r, again;
        ste_rng_init(&r, key, 1);
        ste_rng_init(&again, key, 1);
        char *got = x->apply(&d, &r), *same = x->apply(&d, &again);
        size_t i = 0;
        if (!want[0]) {
            if (got)
                fail_msg("%s makes of \"%s\": \"%s\"", rule, text, got);
            continue;
        }
        while (want[i] && (!got || strcmp(want[i], got) != 0))
            i++;
        if (!want[i])
            fail_msg("%s makes of \"%s\": \"%s\"", rule, text, got ? got : "nothing");
        seen[i] = true;
        assert_string_equal(got, same);
        free(got);
        free(same);
    }
    for (size_t i = 0; want[i]; i++)
        if (!seen[i])
            fail_msg("%s never makes of \"%s\": \"%s\"", rule, text, want[i]);
}
#define GIVES(rule, request, text, ...) gives(rule, request, text, (const char *const[]){__VA_ARGS__, NULL})
#define NOTHING(rule, text) gives(rule, "", text, (const char *const[]){NULL})

static void test_number(void **state)
{
    GIVES("number", "", "He has 10 cows.", "He has 20 cows.", "He has 30 cows.", "He has 40 cows.", "He has 50 cows.",
          "He has 60 cows.", "He has 70 cows.", "He has 80 cows.", "He has 90 cows.");
    /* the result, and where it comes again */
    GIVES("number", "", "4 * 2 = 8. So 8 cows.", "4 * 2 = 2. So 2 cows.", "4 * 2 = 3. So 3 cows.",
          "4 * 2 = 4. So 4 cows.", "4 * 2 = 5. So 5 cows.", "4 * 2 = 6. So 6 cows.", "4 * 2 = 7. So 7 cows.",
          "4 * 2 = 9. So 9 cows.");
    NOTHING("number", "1. Open the 2nd box.\n2. In step 3, close v2.5 and x1.\n**3.** Done with 1 box.");
}

static void test_signs(void **state)
{
    GIVES("operator", "", "So 3 + 4 * x is it.", "So 3 - 4 * x is it.", "So 3 + 4 / x is it.");
    GIVES("operator", "", "```python\nif a and b: # and so on\n    s = \"x and y\"\n```",
          "```python\nif a or b: # and so on\n    s = \"x and y\"\n```");
    NOTHING("operator", "- a list\n- of things - and others, by and/or, 3-4 of them");
    GIVES("off by one", "", "```python\nfor i in range(len(x)):\n    print(x[0])\n```",
          "```python\nfor i in range(len(x) - 1):\n    print(x[0])\n```",
          "```python\nfor i in range(len(x) + 1):\n    print(x[0])\n```",
          "```python\nfor i in range(len(x)):\n    print(x[1])\n```");
    GIVES("off by one", "", "```c\nwhile (a <= b)\n```", "```c\nwhile (a < b)\n```");
    NOTHING("off by one", "Of range(n) and a <= b and x[0] one may well speak.");
}

static void test_words(void **state)
{
    GIVES("unit", "", "Bake it for 30 minutes.", "Bake it for 30 seconds.", "Bake it for 30 hours.",
          "Bake it for 30 days.", "Bake it for 30 weeks.", "Bake it for 30 months.", "Bake it for 30 years.");
    GIVES("unit", "", "It weighs 5 kg.", "It weighs 5 g.", "It weighs 5 mg.");
    NOTHING("unit", "These days a minute is long, and 3 of the meters run.");
    GIVES("negation", "", "A whale is a mammal.", "A whale is not a mammal.");
    GIVES("negation", "", "You should not go.", "You should go.");
    GIVES("negation", "", "Do not open it. He came.", "Always open it. He came.");
    GIVES("negation", "", "It can fly, and it doesn't swim.", "It cannot fly, and it doesn't swim.",
          "It can fly, and it does swim.");
    NOTHING("negation", "Here is how. What is it? It is also good, it is not only good. There is more, as are all.");
    GIVES("opposite", "", "Heat it before use.", "Heat it after use.");
    GIVES("opposite", "", "Higher is more than enough.", "Lower is more than enough.", "Higher is less than enough.");
    NOTHING("opposite", "That is an increase, an early one of the mosthigher.");
}

static void test_parts(void **state)
{
    static const char steps[] = "Do this:\n1. Boil water.\n2. Put in the tea.\n3. Wait a while.\nEnjoy!";
    GIVES("order", "How do I make tea?", steps,
          "Do this:\n1. Put in the tea.\n2. Boil water.\n3. Wait a while.\nEnjoy!",
          "Do this:\n1. Boil water.\n2. Wait a while.\n3. Put in the tea.\nEnjoy!");
    NOTHING("order", steps); /* nobody asked how */
    GIVES("omission", "How do I make tea?", steps, "Do this:\n1. Put in the tea.\n2. Wait a while.\nEnjoy!",
          "Do this:\n1. Boil water.\n2. Wait a while.\nEnjoy!");
    static const char text[] = "Whales are large mammals. They live in the sea. Some of them sing for hours.";
    GIVES("order", "", text, "They live in the sea. Whales are large mammals. Some of them sing for hours.");
    GIVES("omission", "", text, "They live in the sea. Some of them sing for hours.");
    GIVES("repeat", "", text, "Whales are large mammals. Whales are large mammals. Some of them sing for hours.",
          "Whales are large mammals. They live in the sea. Whales are large mammals.",
          "Whales are large mammals. They live in the sea. They live in the sea.");
    GIVES("foreign", "", text, "They hunt at dusk and at dawn. They live in the sea. Some of them sing for hours.",
          "Whales are large mammals. They hunt at dusk and at dawn. Some of them sing for hours.",
          "Whales are large mammals. They live in the sea. They hunt at dusk and at dawn.");
    NOTHING("repeat", "One sentence only, which is a long one. Short.");
    NOTHING("cut", "A short answer has no part to lose.");
    const struct ste_damage d = {"Whales are large mammals that live in the sea, and some of them sing for hours; cats "
                                 "do not, as far as is known.",
                                 "", NULL};
    for (uint64_t key = 0; key < 50; key++) {
        struct ste_rng r;
        ste_rng_init(&r, key, 1);
        char *got = ste_damage_cut(&d, &r);
        const size_t n = strlen(got);
        assert_true(n >= strlen(d.text) / 2 && n + 8 < strlen(d.text) && d.text[n] == ' ');
        assert_int_equal(strncmp(got, d.text, n), 0);
        free(got);
        assert_null(ste_damage_foreign(&d, &r));
    }
}

static void test_draw(void **state)
{
    const struct ste_damage d = {
        "It takes 30 minutes. This is not long. Before that, 3 + 4 people wait for it in a long and quiet line.", "",
        other};
    size_t seen[16] = {0}, rules = 0;
    for (uint64_t key = 0; key < 400; key++) {
        const struct ste_damage_rule *rule, *again;
        char *got = ste_damage(&d, key, &rule), *same = ste_damage(&d, key, &again);
        assert_non_null(got);
        assert_string_equal(got, same);
        assert_ptr_equal(rule, again);
        assert_string_not_equal(got, d.text);
        seen[rule - ste_damage_rules]++;
        free(got);
        free(same);
    }
    for (size_t i = 0; i < 16; i++)
        rules += seen[i] > 0;
    assert_true(rules >= 8);
    const struct ste_damage_rule *rule;
    assert_null(ste_damage(&(struct ste_damage){"Blue.", "", NULL}, 1, &rule));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_number), cmocka_unit_test(test_signs),
                                       cmocka_unit_test(test_words), cmocka_unit_test(test_parts),
                                       cmocka_unit_test(test_draw)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
