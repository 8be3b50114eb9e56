/* The Hugging Face Hub: where it is and as whom it is asked, for models and data sets alike. */
#ifndef STE_DATA_HUB_H
#define STE_DATA_HUB_H

/* HF_ENDPOINT, or the public Hub. Not the caller's. */
const char *ste_hub(void);
/* The header line of HF_TOKEN; NULL without one. The caller frees. */
char *ste_hub_login(void);

#endif
