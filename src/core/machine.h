/* What the machine, and the container or job that this process is in, let it use (Linux; cgroups of both versions). */
#ifndef STE_CORE_MACHINE_H
#define STE_CORE_MACHINE_H

#include <stddef.h>

/* Bytes of memory: all that the process may have, and what of it is free. 0: not known. */
void ste_machine_memory(size_t *whole, size_t *free);

struct ste_machine_cores {
    int online, allowed; /* of the machine; of them this process may run on */
    double quota;        /* cores' worth of time; 0: no limit */
};
void ste_machine_cores(struct ste_machine_cores *out);
void ste_machine_cpu(char *out, size_t n); /* its name; "": not known */

#endif
