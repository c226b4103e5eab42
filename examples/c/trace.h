/* Writes a gradlock trace (docs/trace-format.md, version 1) with nothing but the C library. */
#ifndef TRACE_H
#define TRACE_H

#include <stddef.h>
#include <stdio.h>

typedef struct {
    char folder[512];
    FILE *index;          /* index.txt: a line for every file that is complete */
    unsigned long lines;  /* how many it has, */
    unsigned long crc;    /* and the checksum of them */
    unsigned long number; /* of the last tensor */
    unsigned long files;
    char *header;         /* of the file that is being gathered, and its data */
    size_t header_size, header_room;
    char *data;
    size_t data_size, data_room;
} Trace;

/* The folder must exist and be empty. `dtype` is that of the run: "float64" or "float32". */
void trace_open(Trace *trace, const char *folder, const char *dtype, const char *producer);

/* One checkpoint of doubles. `micro_batch` is 0 for what happens once per step; `output` may be "". */
void trace_add(Trace *trace, int step, int micro_batch, const char *phase, const char *name, const char *output,
               const double *values, int axes, const int *shape);

/* The same for a single number. */
void trace_number(Trace *trace, int step, int micro_batch, const char *phase, const char *name, const char *output,
                  double value);

/* Writes what was added, with the weights of the micro-batches of this step, to a file of its own. */
void trace_end_step(Trace *trace, int step, int micro_batches, const double *weights);

/* Says that the trace is whole. */
void trace_close(Trace *trace);

#endif
