#include "data/hub.h"

#include <stdlib.h>

#include "core/mem.h"

const char *ste_hub(void)
{
    const char *endpoint = getenv("HF_ENDPOINT");
    return endpoint && *endpoint ? endpoint : "https://huggingface.co";
}

char *ste_hub_login(void)
{
    const char *token = getenv("HF_TOKEN");
    return token && *token ? ste_xasprintf("Authorization: Bearer %s", token) : NULL;
}
