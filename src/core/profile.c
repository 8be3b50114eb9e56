#include "core/profile.h"

#include <stdbool.h>
#include <string.h>

#include "core/log.h"

enum { MOST_STEPS = 16 };

static const char *const work_names[STE_N_WORK] = {
    [STE_WORK_OTHER] = "other",
    [STE_WORK_LOAD] = "loading models",
    [STE_WORK_PRODUCTS] = "products",
    [STE_WORK_BACKWARD] = "products, backward",
    [STE_WORK_ADAPTER] = "adapter",
    [STE_WORK_ATTENTION] = "attention",
    [STE_WORK_ROWS] = "norms and gates",
    [STE_WORK_SAMPLING] = "sampling",
    [STE_WORK_LOSS] = "loss",
    [STE_WORK_OPTIMIZER] = "optimizer",
    [STE_WORK_STORE] = "store",
};

struct step {
    const char *name;
    double seconds[STE_N_WORK];
    uint64_t read, written, trained;
};

static struct {
    bool on;
    struct step steps[MOST_STEPS];
    int n, step; /* the current one */
    enum ste_work work;
    double start, since;
} profile;

/* The time since the last change goes to what was open. */
static void book(void)
{
    double now = ste_now();
    profile.steps[profile.step].seconds[profile.work] += now - profile.since;
    profile.since = now;
}

void ste_profile_start(void)
{
    memset(&profile, 0, sizeof profile);
    profile.on = true;
    profile.steps[0].name = "start";
    profile.n = 1;
    profile.start = profile.since = ste_now();
}

void ste_profile_step(const char *name)
{
    if (!profile.on)
        return;
    book();
    int i = 0;
    while (i < profile.n && strcmp(profile.steps[i].name, name) != 0)
        i++;
    if (i == MOST_STEPS) /* more than there are: they share the last line */
        i--;
    if (i == profile.n)
        profile.steps[profile.n++].name = name;
    profile.step = i;
}

enum ste_work ste_profile_begin(enum ste_work w)
{
    if (!profile.on)
        return STE_WORK_OTHER;
    enum ste_work before = profile.work;
    book();
    profile.work = w;
    return before;
}

void ste_profile_end(enum ste_work before)
{
    if (!profile.on)
        return;
    book();
    profile.work = before;
}

void ste_profile_tokens(uint64_t read, uint64_t written, uint64_t trained)
{
    if (!profile.on)
        return;
    struct step *s = &profile.steps[profile.step];
    s->read += read;
    s->written += written;
    s->trained += trained;
}

static void rate(struct ste_buf *out, const char *what, uint64_t tokens, double seconds, const char **comma)
{
    if (tokens == 0 || seconds <= 0)
        return;
    ste_buf_addf(out, "%s%s %.0f/s", *comma, what, (double)tokens / seconds);
    *comma = ", ";
}

void ste_profile_table(struct ste_buf *out)
{
    if (!profile.on)
        return;
    book();
    double whole = profile.since - profile.start, sum = 0;
    ste_buf_addf(out, "Where time went%12s %7s\n", "seconds", "share");
    for (int i = 0; i < profile.n; i++) {
        const struct step *s = &profile.steps[i];
        double all = 0;
        for (int w = 0; w < STE_N_WORK; w++)
            all += s->seconds[w];
        sum += all;
        ste_buf_addf(out, "%-19s%8.1f %6.1f%%", s->name, all, 100 * all / whole);
        if (s->read || s->written || s->trained) {
            const char *comma = "   tokens ";
            rate(out, "read", s->read, all, &comma);
            rate(out, "written", s->written, all, &comma);
            rate(out, "trained", s->trained, all, &comma);
        }
        ste_buf_addc(out, '\n');
        for (int w = 0; w < STE_N_WORK; w++)
            if (s->seconds[w] >= 0.05)
                ste_buf_addf(out, "  %-17s%8.1f %6.1f%%\n", work_names[w], s->seconds[w], 100 * s->seconds[w] / whole);
    }
    ste_buf_addf(out, "%-19s%8.1f %6.1f%%\n", "all", sum, 100 * sum / whole);
}
