/* The tables of a run, version STE_STORE_VERSION. docs/store.md explains them. */
#ifndef STE_STORE_SCHEMA_H
#define STE_STORE_SCHEMA_H

extern const char ste_schema[];

/* The tables of a dump with the columns that order it; times are in none of them. Ends with a NULL name. */
struct ste_table {
    const char *name, *order;
};
extern const struct ste_table ste_tables[];

#endif
