/* A training loop in plain C: a 4-8-3 network with tanh, cross entropy, accumulation over two micro-batches, Adam, and
 * a rate that is halved. It records what it does; compare_with_torch.py holds that against PyTorch.
 *
 *     cc -std=c99 -O2 -ffp-contract=off -o train train.c trace.c -lm
 *     mkdir run && ./train run          (./train run --bug plants a mistake)
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace.h"

enum { INPUTS = 4, HIDDEN = 8, CLASSES = 3, ROWS = 12, STEPS = 6, MICRO_BATCHES = 2 };
static const int SIZES[MICRO_BATCHES] = {8, 4};

typedef struct {
    const char *name;
    int axes, shape[2], size;
    double value[HIDDEN * INPUTS], gradient[HIDDEN * INPUTS], deposit[HIDDEN * INPUTS];
    double exp_avg[HIDDEN * INPUTS], exp_avg_sq[HIDDEN * INPUTS], change[HIDDEN * INPUTS];
} Parameter;

static Parameter W1 = {.name = "hidden.weight", .axes = 2, .shape = {HIDDEN, INPUTS}, .size = HIDDEN * INPUTS};
static Parameter b1 = {.name = "hidden.bias", .axes = 1, .shape = {HIDDEN}, .size = HIDDEN};
static Parameter W2 = {.name = "output.weight", .axes = 2, .shape = {CLASSES, HIDDEN}, .size = CLASSES * HIDDEN};
static Parameter b2 = {.name = "output.bias", .axes = 1, .shape = {CLASSES}, .size = CLASSES};
static Parameter *const PARAMETERS[] = {&W1, &b1, &W2, &b2};
enum { COUNT = 4 };

/* Numbers from -1 to 1 that any language draws alike. */
static unsigned long state = 1;
static double draw(void) {
    state = (state * 1103515245ul + 12345ul) & 0x7FFFFFFFul;
    return (double)(state >> 8) / 4194304.0 - 1.0;
}

static void record(Trace *trace, int step, int micro_batch, const char *phase, const char *name, const char *output,
                   const double *values, int rows, int columns) {
    const int shape[] = {rows, columns};
    trace_add(trace, step, micro_batch, phase, name, output, values, 2, shape);
}

/* Forward and backward of one micro-batch: adds its share of the batch's mean gradient. */
static void accumulate(Trace *trace, int step, int k, int rows, const double x[][INPUTS], const int *y) {
    double a[ROWS][HIDDEN], h[ROWS][HIDDEN], z[ROWS][CLASSES];
    double dz[ROWS][CLASSES], dh[ROWS][HIDDEN], da[ROWS][HIDDEN];
    double loss = 0.0, weight = (double)rows / ROWS;

    for (int i = 0; i < rows; i++) {
        for (int j = 0; j < HIDDEN; j++) {
            a[i][j] = b1.value[j];
            for (int n = 0; n < INPUTS; n++) a[i][j] += x[i][n] * W1.value[j * INPUTS + n];
            h[i][j] = tanh(a[i][j]);
        }
        double largest = -HUGE_VAL, sum = 0.0;
        for (int c = 0; c < CLASSES; c++) {
            z[i][c] = b2.value[c];
            for (int j = 0; j < HIDDEN; j++) z[i][c] += h[i][j] * W2.value[c * HIDDEN + j];
            if (z[i][c] > largest) largest = z[i][c];
        }
        for (int c = 0; c < CLASSES; c++) sum += exp(z[i][c] - largest);
        loss += (largest + log(sum) - z[i][y[i]]) / rows;
        for (int c = 0; c < CLASSES; c++) dz[i][c] = (exp(z[i][c] - largest) / sum - (c == y[i])) / rows;
        for (int j = 0; j < HIDDEN; j++) {
            dh[i][j] = 0.0;
            for (int c = 0; c < CLASSES; c++) dh[i][j] += dz[i][c] * W2.value[c * HIDDEN + j];
            da[i][j] = dh[i][j] * (1.0 - h[i][j] * h[i][j]);
        }
    }
    for (int p = 0; p < COUNT; p++) memset(PARAMETERS[p]->deposit, 0, sizeof PARAMETERS[p]->deposit);
    for (int i = 0; i < rows; i++) {
        for (int c = 0; c < CLASSES; c++) {
            b2.deposit[c] += weight * dz[i][c];
            for (int j = 0; j < HIDDEN; j++) W2.deposit[c * HIDDEN + j] += weight * dz[i][c] * h[i][j];
        }
        for (int j = 0; j < HIDDEN; j++) {
            b1.deposit[j] += weight * da[i][j];
            for (int n = 0; n < INPUTS; n++) W1.deposit[j * INPUTS + n] += weight * da[i][j] * x[i][n];
        }
    }

    record(trace, step, k, "forward", "hidden", "output", a[0], rows, HIDDEN);
    record(trace, step, k, "forward", "activation", "output", h[0], rows, HIDDEN);
    record(trace, step, k, "forward", "output", "output", z[0], rows, CLASSES);
    trace_number(trace, step, k, "loss", "data", "", loss);
    record(trace, step, k, "backward", "loss", "input", dz[0], rows, CLASSES);
    record(trace, step, k, "backward", "output", "output", dz[0], rows, CLASSES);
    record(trace, step, k, "backward", "output", "input", dh[0], rows, HIDDEN);
    record(trace, step, k, "backward", "activation", "output", dh[0], rows, HIDDEN);
    record(trace, step, k, "backward", "activation", "input", da[0], rows, HIDDEN);
    record(trace, step, k, "backward", "hidden", "output", da[0], rows, HIDDEN);
    for (int p = COUNT - 1; p >= 0; p--) {
        Parameter *one = PARAMETERS[p];
        trace_add(trace, step, k, "deposit", one->name, "", one->deposit, one->axes, one->shape);
        for (int i = 0; i < one->size; i++) one->gradient[i] += one->deposit[i];
    }
    for (int p = 0; p < COUNT; p++) {
        Parameter *one = PARAMETERS[p];
        trace_add(trace, step, k, "accumulated", one->name, "", one->gradient, one->axes, one->shape);
    }
}

/* Adam as Kingma and Ba print it. With the bug, the correction forgets the exponent t: the first step is still right. */
static void adam(int t, double rate, int bug) {
    const double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
    double correction1 = 1.0 - (bug ? beta1 : pow(beta1, t)), correction2 = 1.0 - (bug ? beta2 : pow(beta2, t));
    for (int p = 0; p < COUNT; p++) {
        Parameter *one = PARAMETERS[p];
        for (int i = 0; i < one->size; i++) {
            double g = one->gradient[i], before = one->value[i];
            one->exp_avg[i] = beta1 * one->exp_avg[i] + (1.0 - beta1) * g;
            one->exp_avg_sq[i] = beta2 * one->exp_avg_sq[i] + (1.0 - beta2) * g * g;
            one->value[i] -= rate * (one->exp_avg[i] / correction1) / (sqrt(one->exp_avg_sq[i] / correction2) + eps);
            one->change[i] = one->value[i] - before;
        }
    }
}

int main(int count, char **arguments) {
    int bug = count == 3 && !strcmp(arguments[2], "--bug");
    if (count < 2 || count > 3 || (count == 3 && !bug)) {
        fprintf(stderr, "usage: %s FOLDER [--bug]\n", arguments[0]);
        return 2;
    }
    double x[ROWS][INPUTS], weights[MICRO_BATCHES], rate = 0.05;
    int y[ROWS];
    Trace trace;
    trace_open(&trace, arguments[1], "float64", "examples/c/train.c");

    for (int i = 0; i < ROWS; i++) {
        for (int n = 0; n < INPUTS; n++) x[i][n] = draw();
        y[i] = i % CLASSES;
    }
    for (int p = 0; p < COUNT; p++) {
        Parameter *one = PARAMETERS[p];
        for (int i = 0; i < one->size; i++) one->value[i] = 0.5 * draw();
        trace_add(&trace, 0, 0, "init", one->name, "", one->value, one->axes, one->shape);
    }
    trace_end_step(&trace, 0, 0, weights);

    for (int step = 1; step <= STEPS; step++) {
        for (int p = 0; p < COUNT; p++) memset(PARAMETERS[p]->gradient, 0, sizeof PARAMETERS[p]->gradient);
        for (int k = 0, row = 0; k < MICRO_BATCHES; row += SIZES[k++]) {
            weights[k] = (double)SIZES[k] / ROWS;
            accumulate(&trace, step, k + 1, SIZES[k], (const double(*)[INPUTS])(x + row), y + row);
        }
        adam(step, rate, bug);
        for (int p = 0; p < COUNT; p++) {
            Parameter *one = PARAMETERS[p];
            trace_number(&trace, step, 0, "slots", one->name, "step", step);
            trace_add(&trace, step, 0, "slots", one->name, "exp_avg", one->exp_avg, one->axes, one->shape);
            trace_add(&trace, step, 0, "slots", one->name, "exp_avg_sq", one->exp_avg_sq, one->axes, one->shape);
        }
        for (int p = 0; p < COUNT; p++) {
            Parameter *one = PARAMETERS[p];
            trace_add(&trace, step, 0, "update", one->name, "", one->change, one->axes, one->shape);
        }
        for (int p = 0; p < COUNT; p++) {
            Parameter *one = PARAMETERS[p];
            trace_add(&trace, step, 0, "parameter", one->name, "", one->value, one->axes, one->shape);
        }
        if (step % 3 == 0) rate *= 0.5;
        trace_number(&trace, step, 0, "schedule", "group 0", "", rate);
        trace_end_step(&trace, step, MICRO_BATCHES, weights);
    }
    trace_close(&trace);
    return 0;
}
