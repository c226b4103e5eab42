#include "trace.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *what, const char *where) {
    fprintf(stderr, "trace: cannot %s %s\n", what, where);
    exit(2);
}

/* CRC-32 as zlib, PNG and Ethernet have it. */
static unsigned long crc32(unsigned long crc, const void *bytes, size_t size) {
    const unsigned char *at = bytes;
    crc ^= 0xFFFFFFFFul;
    while (size--) {
        crc ^= *at++;
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ 0xEDB88320ul : crc >> 1;
    }
    return crc ^ 0xFFFFFFFFul;
}

static void append(char **block, size_t *size, size_t *room, const void *bytes, size_t count) {
    if (*size + count > *room) {
        *room = 2 * (*size + count);
        *block = realloc(*block, *room);
        if (!*block) fail("find memory for", "a step");
    }
    memcpy(*block + *size, bytes, count);
    *size += count;
}

static void write_header(Trace *trace, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length < 0 || length >= (int)sizeof text) fail("write", "so long a name");
    append(&trace->header, &trace->header_size, &trace->header_room, text, (size_t)length);
}

static void list(Trace *trace, unsigned long crc, unsigned long size, const char *name) {
    char line[128];
    int length = snprintf(line, sizeof line, "%08lx %lu %s\n", crc, size, name);
    if (fwrite(line, 1, (size_t)length, trace->index) != (size_t)length || fflush(trace->index)) fail("write", "index.txt");
    trace->crc = crc32(trace->crc, line, (size_t)length);
    trace->lines++;
}

/* A file is written under another name, listed, and only then given its name: it is whole or not there. */
static void put(Trace *trace, const char *name, const char *blocks[], const size_t sizes[], int count) {
    char place[600], part[610];
    unsigned long crc = 0, size = 0;
    snprintf(place, sizeof place, "%s/%s", trace->folder, name);
    snprintf(part, sizeof part, "%s.part", place);
    FILE *file = fopen(part, "wb");
    if (!file) fail("write", part);
    for (int i = 0; i < count; i++) {
        if (sizes[i] && fwrite(blocks[i], 1, sizes[i], file) != sizes[i]) fail("write", part);
        crc = crc32(crc, blocks[i], sizes[i]);
        size += sizes[i];
    }
    if (fclose(file)) fail("write", part);
    list(trace, crc, size, name);
    if (rename(part, place)) fail("rename", part);
}

void trace_open(Trace *trace, const char *folder, const char *dtype, const char *producer) {
    char place[600], manifest[512];
    memset(trace, 0, sizeof *trace);
    snprintf(trace->folder, sizeof trace->folder, "%s", folder);
    snprintf(place, sizeof place, "%s/index.txt", folder);
    trace->index = fopen(place, "wb");
    if (!trace->index) fail("write", place);
    snprintf(manifest, sizeof manifest,
             "{\"format\": \"gradlock-trace\", \"version\": 1, \"dtype\": \"%s\", \"checksum\": \"crc32\", "
             "\"producer\": \"%s\"}\n",
             dtype, producer);
    const char *blocks[] = {manifest};
    const size_t sizes[] = {strlen(manifest)};
    put(trace, "manifest.json", blocks, sizes, 1);
}

void trace_add(Trace *trace, int step, int micro_batch, const char *phase, const char *name, const char *output,
               const double *values, int axes, const int *shape) {
    size_t bytes = sizeof(double);
    char index[16] = "-";
    if (micro_batch) snprintf(index, sizeof index, "%d", micro_batch);
    write_header(trace, "%s\"%lu:%d/%s/%s/%s/0/%s\":{\"dtype\":\"F64\",\"shape\":[", trace->header_size ? "," : "{",
                 ++trace->number, step, index, phase, name, output);
    for (int axis = 0; axis < axes; axis++) {
        write_header(trace, "%s%d", axis ? "," : "", shape[axis]);
        bytes *= (size_t)shape[axis];
    }
    write_header(trace, "],\"data_offsets\":[%lu,%lu]}", (unsigned long)trace->data_size,
                 (unsigned long)(trace->data_size + bytes));
    append(&trace->data, &trace->data_size, &trace->data_room, values, bytes); /* of a little-endian machine */
}

void trace_number(Trace *trace, int step, int micro_batch, const char *phase, const char *name, const char *output,
                  double value) {
    trace_add(trace, step, micro_batch, phase, name, output, &value, 0, NULL);
}

void trace_end_step(Trace *trace, int step, int micro_batches, const double *weights) {
    char name[64];
    unsigned char length[8];
    write_header(trace, ",\"__metadata__\":{");
    for (int k = 0; k < micro_batches; k++)
        write_header(trace, "%s\"weight/%d/%d\":\"%.17g\"", k ? "," : "", step, k + 1, weights[k]);
    write_header(trace, "}}");
    while (trace->header_size % 8) write_header(trace, " ");
    for (int i = 0; i < 8; i++) length[i] = (unsigned char)((unsigned long long)trace->header_size >> (8 * i));
    const char *blocks[] = {(const char *)length, trace->header, trace->data};
    const size_t sizes[] = {8, trace->header_size, trace->data_size};
    snprintf(name, sizeof name, "%06lu.safetensors", ++trace->files);
    put(trace, name, blocks, sizes, 3);
    trace->header_size = trace->data_size = 0;
}

void trace_close(Trace *trace) {
    list(trace, trace->crc, trace->lines, "end");
    fclose(trace->index);
    free(trace->header);
    free(trace->data);
}
