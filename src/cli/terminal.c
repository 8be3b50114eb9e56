#include "cli/terminal.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/utf8.h"

#define REDRAW_SECONDS 0.2
#define LINE_SECONDS 60.0

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct ste_progress *shown; /* whose line stands on the terminal */
static bool drawn_on;              /* it was a terminal when the last one began */

static bool quiet(void)
{
    const char *s = getenv("STE_LOG");
    return s && strcmp(s, "quiet") == 0;
}

static bool on_terminal(void)
{
    const char *term = getenv("TERM");
    return isatty(STDERR_FILENO) && !(term && strcmp(term, "dumb") == 0);
}

static bool in_colour(void)
{
    const char *no = getenv("NO_COLOR");
    return on_terminal() && !(no && *no);
}

static int columns(void)
{
    struct winsize w;
    int n = ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col ? w.ws_col : 80;
    return n < 80 ? n : 80;
}

static void erase_line(void)
{
    if (shown && on_terminal())
        fputs("\r\033[K", stderr);
}

/* Text on its way to the terminal, which takes no memory: there may be none left, and nothing here ends in an error. */
struct line {
    char s[1024];
    size_t len;
};

__attribute__((format(printf, 2, 3))) static void add(struct line *l, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(l->s + l->len, sizeof l->s - l->len, fmt, ap);
    va_end(ap);
    l->len += strlen(l->s + l->len);
}

/* "4:05" or "1:20:09" */
static void add_time(struct line *l, double seconds)
{
    long long s = seconds < 0 || seconds > 1e9 ? 0 : (long long)(seconds + 0.5);
    if (s >= 3600)
        add(l, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
    else
        add(l, "%lld:%02lld", s / 60, s % 60);
}

static void add_rate(struct line *l, double rate, const char *unit)
{
    if (rate >= 10)
        add(l, "%.0f%s/s", rate, unit);
    else if (rate >= 0.2)
        add(l, "%.1f%s/s", rate, unit);
    else
        add(l, "%.1f%s/min", rate * 60, unit);
}

static void describe(const struct ste_progress *p, bool last, struct line *l)
{
    double spent = ste_now() - p->start;
    double rate = spent > 0 ? (double)(p->done - p->had) / spent : 0;
    bool bytes = strcmp(p->unit, "bytes") == 0;
    add(l, "%s: ", p->what);
    if (bytes) {
        add(l, "%.1f", (double)p->done / 1e6);
        if (p->total)
            add(l, "/%.1f", (double)p->total / 1e6);
        add(l, " MB");
    } else {
        add(l, "%llu", (unsigned long long)p->done);
        if (p->total)
            add(l, "/%llu", (unsigned long long)p->total);
        add(l, " %s", p->unit);
    }
    if (last) {
        add(l, " in ");
        add_time(l, spent);
    }
    if (p->done > p->had) {
        add(l, ", ");
        add_rate(l, bytes ? rate / 1e6 : rate, bytes ? " MB" : "");
        if (!last && p->total > p->done) {
            add(l, ", ");
            add_time(l, (double)(p->total - p->done) / rate);
            add(l, " left");
        }
    }
    if (p->note)
        add(l, ", %s", p->note);
}

static void draw(struct ste_progress *p, bool last)
{
    const bool terminal = drawn_on;
    double now = ste_now();
    if ((!last && now - p->drawn < (terminal ? REDRAW_SECONDS : LINE_SECONDS)) || quiet())
        return;
    p->drawn = now;
    struct line l = {"", 0};
    describe(p, last, &l);
    if (terminal) {
        int width = columns() - 1;
        char bar[26] = "";
        if (p->total && !last && (int)l.len + 24 <= width) {
            int full = (int)(20.0 * (double)(p->done < p->total ? p->done : p->total) / (double)p->total);
            memset(bar, ' ', 23);
            bar[0] = '[';
            memset(bar + 1, '#', (size_t)full);
            bar[21] = ']';
            bar[23] = 0;
        }
        size_t n = ste_utf8_whole(l.s, l.len <= (size_t)width ? l.len : (size_t)width);
        fprintf(stderr, "\r\033[K%s%.*s%s", bar, (int)n, l.s, last ? "\n" : "");
    } else {
        fprintf(stderr, "%s\n", l.s);
    }
    fflush(stderr);
}

/* The last one that began has the line; those below it come back when it ends. */
void ste_terminal_progress(struct ste_progress *p, enum ste_progress_event what)
{
    struct ste_progress **at = &shown;
    pthread_mutex_lock(&lock);
    switch (what) {
    case STE_PROGRESS_BEGINS:
        p->drawn = p->start;
        p->below = shown;
        drawn_on = on_terminal();
        erase_line();
        shown = p;
        break;
    case STE_PROGRESS_CHANGES:
        if (p == shown)
            draw(p, false);
        break;
    case STE_PROGRESS_ENDS:
        draw(p, true);
        while (*at && *at != p)
            at = &(*at)->below;
        if (*at)
            *at = p->below;
        break;
    }
    pthread_mutex_unlock(&lock);
}

void ste_terminal_say(bool warning, const char *text)
{
    if (!warning && quiet())
        return;
    const char *head = !warning ? "" : in_colour() ? "\033[33mste: warning:\033[0m " : "ste: warning: ";
    pthread_mutex_lock(&lock);
    erase_line();
    fprintf(stderr, "%s%s\n", head, text);
    fflush(stderr);
    pthread_mutex_unlock(&lock);
}
