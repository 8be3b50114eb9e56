/* The chat templates that can be named. */
#ifndef STE_MODEL_CHAT_NAMED_H
#define STE_MODEL_CHAT_NAMED_H

struct ste_chat_named {
    const char *name, *text;
    const char *tokens[4]; /* strings that must be tokens of the model; ends with NULL */
};
extern const struct ste_chat_named ste_chat_named[]; /* ends with a name of NULL */

#endif
