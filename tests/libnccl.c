// An NCCL library for tests: what src/backend/cuda/nccl.rs calls, and no more. It adds up on the host, in the order of the devices, beside
// the driver library for tests (libcuda.c), whose memory is the host's.
//
//     FAKE_NCCL_SUMS   groups of sums that are formed until one fails later, on the last device
//     FAKE_NCCL_INIT   the devices cannot be connected
//
// Compiled with WITHOUT it lacks a function, as one does that is too old.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, CUDA_ERROR = 1, SYSTEM_ERROR = 2, INVALID_USAGE = 5, IN_PROGRESS = 7, FLOAT32 = 7, SUM = 0 };

typedef struct {
    int rank, ranks, device, later;
} Comm;

typedef struct {
    float* at;
    size_t count;
    Comm* comm;
    void* stream;
} Sum;

extern int cuStreamSynchronize(void*);

#define MOST 4096

static Sum sums[MOST];
static int open_groups, asked;
static long left = -1;

int ncclCommInitAll(Comm** comms, int count, const int* devices) {
    if (getenv("FAKE_NCCL_INIT")) return SYSTEM_ERROR;
    const char* text = getenv("FAKE_NCCL_SUMS");
    left = text ? atol(text) : -1;
    for (int i = 0; i < count; ++i) {
        comms[i] = malloc(sizeof(Comm));
        *comms[i] = (Comm){i, count, devices[i], SUCCESS};
    }
    return SUCCESS;
}

int ncclCommDestroy(Comm* comm) {
    free(comm);
    return SUCCESS;
}

int ncclCommAbort(Comm* comm) {
    free(comm);
    return SUCCESS;
}

int ncclCommGetAsyncError(Comm* comm, int* error) {
    *error = comm->later;
    return SUCCESS;
}

int ncclGroupStart(void) {
    if (open_groups) return INVALID_USAGE;
    open_groups = 1;
    asked = 0;
    return SUCCESS;
}

int ncclAllReduce(void* from, void* to, size_t count, int type, int kind, Comm* comm, void* stream) {
    if (!open_groups || from != to || type != FLOAT32 || kind != SUM || asked == MOST) return INVALID_USAGE;
    sums[asked++] = (Sum){to, count, comm, stream};
    return SUCCESS;
}

// The k-th sum of every device, after what is on the devices' streams.
int ncclGroupEnd(void) {
    if (!open_groups) return INVALID_USAGE;
    open_groups = 0;
    if (!asked) return SUCCESS;
    const int ranks = sums[0].comm->ranks, each = asked / ranks;
    if (asked % ranks) return INVALID_USAGE;
    for (int i = 0; i < asked; ++i)
        if (cuStreamSynchronize(sums[i].stream)) return CUDA_ERROR;
    if (left >= 0 && left-- == 0) {
        sums[asked - 1].comm->later = CUDA_ERROR;
        return SUCCESS;
    }
    for (int k = 0; k < each; ++k) {
        float* total = calloc(sums[k].count, sizeof(float));
        for (int r = 0; r < ranks; ++r) {
            const Sum* one = &sums[r * each + k];
            if (one->comm->rank != r || one->count != sums[k].count) return INVALID_USAGE;
            for (size_t i = 0; i < one->count; ++i) total[i] += one->at[i];
        }
        for (int r = 0; r < ranks; ++r) memcpy(sums[r * each + k].at, total, sums[k].count * sizeof(float));
        free(total);
    }
    return SUCCESS;
}

#ifndef WITHOUT
const char* ncclGetErrorString(int error) {
    switch (error) {
        case SUCCESS: return "no error";
        case CUDA_ERROR: return "unhandled cuda error";
        case SYSTEM_ERROR: return "unhandled system error";
        case INVALID_USAGE: return "invalid usage";
        default: return "unknown result code";
    }
}
#endif
