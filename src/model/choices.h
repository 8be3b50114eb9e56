/* What a user says of a model beside its path: one table of options, one way of opening. */
#ifndef STE_MODEL_CHOICES_H
#define STE_MODEL_CHOICES_H

#include "core/options.h"
#include "model/model.h"

/* NULL and "" say nothing. */
struct ste_model_choices {
    char *load_as;       /* ste_model_load_as */
    char *chat_template; /* ste_chat_choose */
    char *chat_date;
};
extern const struct ste_option ste_model_options[];

bool ste_model_choices_any(const struct ste_model_choices *c);
/* What FROM says, TO says then too, as a copy: in place of its own, or where it says nothing. */
void ste_model_choices_take(struct ste_model_choices *to, const struct ste_model_choices *from);
void ste_model_choices_fill(struct ste_model_choices *to, const struct ste_model_choices *from);
void ste_model_choices_clear(struct ste_model_choices *c);

/* Opens the model at PATH (ste_model_open) as C says. */
int ste_model_open_chosen(struct ste_model **out, const char *path, const struct ste_model_choices *c,
                          struct ste_err *err);

#endif
