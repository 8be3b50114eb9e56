#include "data/hub.h"

#include <stddef.h>

#include "core/context.h"
#include "core/mem.h"

const char *ste_hub(void)
{
    const char *endpoint = ste_setting("HF_ENDPOINT");
    return endpoint ? endpoint : "https://huggingface.co";
}

char *ste_hub_login(void)
{
    const char *token = ste_setting("HF_TOKEN");
    return token ? ste_xasprintf("Authorization: Bearer %s", token) : NULL;
}
