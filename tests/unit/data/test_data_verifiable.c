/* The pairs that ste makes: every one is checked again, by other means than it was made with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "data/verifiable.h"

static long value_of(const char *sum)
{
    long a, b, c;
    char first, second;
    const int n = sscanf(sum, "%ld %c %ld %c %ld", &a, &first, &b, &second, &c);
    if (n == 5 && second == '-')
        return a * b - c;
    return first == '+' ? a + b : a * b;
}

static bool arithmetic_holds(const char *answer)
{
    return value_of(answer) == strtol(strchr(answer, '=') + 1, NULL, 10);
}

static bool sorted(const char *answer)
{
    long last = -1, n;
    for (const char *p = answer; *p; p += strcspn(p, ", "), p += strspn(p, ", ")) {
        n = strtol(p, NULL, 10);
        if (n < last)
            return false;
        last = n;
    }
    return true;
}

static bool strings_hold(const char *prompt, const char *answer)
{
    char word[32], letter;
    long said;
    if (sscanf(answer, "The letter %c occurs %ld time(s) in \"%31[a-z]\"", &letter, &said, word) == 3) {
        for (const char *p = word; *p; p++)
            said -= *p == letter;
        return said == 0;
    }
    assert_int_equal(sscanf(prompt, "Write the word \"%31[a-z]\"", word), 1);
    const size_t n = strlen(word);
    for (size_t i = 0; i < n; i++)
        if (answer[i] != word[n - 1 - i])
            return false;
    return answer[n] == 0;
}

static bool format_holds(const char *prompt, const char *answer)
{
    char word[32];
    if (strncmp(prompt, "Repeat", 6) == 0)
        return strpbrk(answer, "abcdefghijklmnopqrstuvwxyz") == NULL;
    if (strncmp(prompt, "Write a sentence", 16) == 0) {
        assert_int_equal(sscanf(strchr(prompt, '"'), "\"%31[a-z]\"", word), 1);
        const size_t n = strlen(word), all = strlen(answer);
        return answer[all - 1] == '.' && strncmp(answer + all - 1 - n, word, n) == 0;
    }
    if (strncmp(prompt, "Answer with a JSON", 18) == 0) {
        json_t *j = json_loads(answer, 0, NULL);
        assert_int_equal(sscanf(strchr(prompt, '"'), "\"%31[a-z]\"", word), 1);
        const bool holds = json_is_object(j) && json_is_integer(json_object_get(j, word));
        json_decref(j);
        return holds;
    }
    size_t lines = 1, dashes = answer[0] == '-';
    for (const char *p = answer; (p = strchr(p, '\n')); p++, lines++)
        dashes += p[1] == '-';
    return lines == 3 && dashes == 3;
}

static bool holds(const char *subset, const char *prompt, const char *answer)
{
    if (strcmp(subset, "arithmetic") == 0)
        return arithmetic_holds(answer);
    if (strcmp(subset, "sorting") == 0)
        return sorted(answer);
    return strcmp(subset, "strings") == 0 ? strings_hold(prompt, answer) : format_holds(prompt, answer);
}

static void truth_can_be_checked(void **state)
{
    (void)state;
    struct ste_answer_pairs p, again, other;
    ste_verifiable_pairs(&p, 4000, 1);
    ste_verifiable_pairs(&again, 100, 1);
    ste_verifiable_pairs(&other, 100, 2);
    size_t same = 0, longer = 0, shorter = 0;
    for (size_t i = 0; i < p.n; i++) {
        const struct ste_answer_pair *x = &p.items[i];
        const char *subset = json_string_value(json_object_get(x->row, "subset")), *prompt = x->prompt.turns[0].text;
        if (!holds(subset, prompt, x->first) || holds(subset, prompt, x->second))
            fail_msg("%s: \"%s\": \"%s\" or \"%s\"", x->id, prompt, x->first, x->second);
        longer += strlen(x->first) > strlen(x->second);
        shorter += strlen(x->first) < strlen(x->second);
    }
    for (size_t i = 0; i < again.n; i++) { /* the first ones do not depend on how many there are */
        assert_string_equal(again.items[i].first, p.items[i].first);
        assert_string_equal(again.items[i].second, p.items[i].second);
        same += strcmp(other.items[i].first, p.items[i].first) == 0;
    }
    assert_true(same < 10);
    assert_true(longer < p.n / 10 && shorter < p.n / 10); /* length tells nothing in nine of ten */
    ste_answer_pairs_clear(&p);
    ste_answer_pairs_clear(&again);
    ste_answer_pairs_clear(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(truth_can_be_checked)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
