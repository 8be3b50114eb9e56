#include "judge/compat.h"

#include <string.h>

const char *const ste_compat_names[] = {"none", "rewardbench", "ram", "fastchat", NULL};
static const char *const winners[] = {"A", "B", "tie", "error"};

const char *ste_compat_name(enum ste_compat c)
{
    return ste_compat_names[c];
}

const char *ste_winner_name(enum ste_winner w)
{
    return winners[w];
}

enum ste_winner ste_compat_read(enum ste_compat c, const char *text)
{
    const char *a = strstr(text, "[[A]]"), *b = strstr(text, "[[B]]");
    if (c == STE_COMPAT_RAM && a && b)
        return STE_WINNER_ERROR;
    if (a || b)
        return a ? STE_WINNER_A : STE_WINNER_B;
    return c != STE_COMPAT_REWARDBENCH && strstr(text, "[[C]]") ? STE_WINNER_TIE : STE_WINNER_ERROR;
}

double ste_compat_score(enum ste_winner w, int swapped)
{
    if (w == STE_WINNER_TIE || w == STE_WINNER_ERROR)
        return 0.5;
    return (w == STE_WINNER_A) == !swapped;
}
