/*
 * Judges one pair of answers, or says what is wrong:
 *
 *     cc judge.c $(pkg-config --cflags --libs ste) -o judge
 *     ./judge smollm2-135m-instruct "What is 2 + 2?" 4 5
 */
#include <ste.h>
#include <stdio.h>
#include <stdlib.h>

static const char *from_environment(void *arg, const char *name)
{
    (void)arg;
    return getenv(name); /* HOME: where the models are */
}

static void say(void *arg, bool warning, const char *text)
{
    (void)arg;
    fprintf(stderr, "%s%s\n", warning ? "warning: " : "", text);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: judge JUDGE PROMPT ANSWER-A ANSWER-B\n");
        return 2;
    }
    const struct ste_context context = {.setting = from_environment, .say = say};
    const struct ste_pair pair = {.prompt = argv[2], .a = argv[3], .b = argv[4]};
    struct ste_preference preference;
    struct ste_judge *judge;
    struct ste_err err;
    if (ste_judge_open(&judge, argv[1], NULL, &context, &err) != 0) {
        fprintf(stderr, "judge: %s\n", err.msg);
        return 1;
    }
    int rc = ste_judge_compare(judge, &pair, 1, &preference, &err);
    if (rc != 0)
        fprintf(stderr, "judge: %s\n", err.msg);
    else
        printf("both orders: %c; %c when A stands first, %c when B does; by the margin, %+.3f: %c\n",
               preference.verdict, preference.first[0], preference.first[1], preference.margin, preference.two_order);
    ste_preferences_clear(&preference, 1);
    ste_judge_close(judge);
    return rc != 0;
}
