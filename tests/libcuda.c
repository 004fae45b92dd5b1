// A CUDA driver library for tests, made from the kernels' host build: what src/backend/cuda/driver.rs calls, and no more. Put in front of
// the real one by LD_LIBRARY_PATH, it makes `cuda:0` a device where there is no GPU.
//
// Streams are queues that run as late as the rules allow (FAKE_CUDA_COPIES=early: copies as early as they allow): an event that should have
// been waited for and was not is a wrong result every time. Memory of the device is memory of the host.
//
//     FAKE_CUDA_DEVICES     how many there are (1)
//     FAKE_CUDA_CAPABILITY  compute capability times 10 (90)
//     FAKE_CUDA_VERSION     the driver's CUDA, 13000
//     FAKE_CUDA_MEMORY      bytes of a device
//     FAKE_CUDA_PINNED      bytes of the host that may be page-locked
//     FAKE_CUDA_LAUNCHES    graphs that run until one fails
//     FAKE_CUDA_WRONG       kernels do nothing
//     FAKE_CUDA_LOG         a file for what is put on streams, a line each
//
// Compiled with -DWITHOUT it lacks a function, as a driver does that is too old.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    INVALID_PTX = 218,
    UNSUPPORTED_PTX_VERSION = 222,
    INVALID_CONTEXT = 201,
    NOT_FOUND = 500,
    NOT_READY = 600,
    LAUNCH_FAILED = 719,
    CAPTURE_UNSUPPORTED = 900,
};

#define ARGUMENTS 288

typedef struct {
    unsigned grid[3], block[3], shared_bytes, descending;
} Launch;

typedef const char* (*Entry)(const Launch*, void**);

typedef struct {
    char* text;
} Module;

typedef struct {
    Entry entry;
    unsigned threads;
    // Bytes of dynamic shared memory that a launch may ask for.
    unsigned shared;
} Function;

typedef enum { KERNEL, COPY, SET, RECORD, WAIT } Kind;

typedef struct Event Event;

typedef struct Work {
    struct Work* next;
    Kind kind;
    // KERNEL. `last`: of a graph.
    Function* function;
    Launch launch;
    unsigned char arguments[ARGUMENTS];
    int last;
    // COPY and SET. `own`: words that were taken when the copy was asked for.
    void* to;
    const void* from;
    void* own;
    size_t bytes;
    int value;
    // RECORD and WAIT: the event, at which of its records.
    Event* event;
    unsigned long number;
} Work;

typedef struct Stream {
    struct Stream* next;
    int name;
    Work *first, *last;
    // Between the two calls that make a graph.
    int capturing;
    Work* captured;
} Stream;

struct Event {
    int name;
    // How often it was recorded, how many of these have run, and on which stream the last is.
    unsigned long asked, ran;
    Stream* stream;
};

typedef struct Block {
    struct Block* next;
    char* at;
    size_t bytes;
} Block;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int started, lost, names;
static long devices, capability, version, launches;
static size_t memory, memory_used, pinned, pinned_used;
static int early, wrong;
static FILE* trace;
static Stream* streams;
static Block *on_device, *on_host;
static __thread void* current;
static char the_context;

static long number(const char* name, long otherwise) {
    const char* text = getenv(name);
    return text ? atol(text) : otherwise;
}

#define SAY(...)                       \
    do {                               \
        if (trace) {                   \
            fprintf(trace, __VA_ARGS__); \
            fflush(trace);             \
        }                              \
    } while (0)

// Every function of a context: one at a time, and none after the device is lost.
#define CALL(name, parameters, ...)           \
    int name parameters {                     \
        pthread_mutex_lock(&lock);            \
        int result = SUCCESS;                 \
        if (lost)                             \
            result = lost;                    \
        else if (!current)                    \
            result = INVALID_CONTEXT;         \
        else                                  \
            __VA_ARGS__                       \
        pthread_mutex_unlock(&lock);         \
        return result;                        \
    }

static void run_to(Stream* stream, Work* end);

static void run(Work* work) {
    switch (work->kind) {
        case KERNEL: {
            void* pointer = work->arguments;
            const char* error = wrong ? NULL : work->function->entry(&work->launch, &pointer);
            if (error) {
                fprintf(stderr, "libcuda for tests: %s\n", error);
                lost = LAUNCH_FAILED;
            }
            if (work->last && launches >= 0 && launches-- == 0) lost = LAUNCH_FAILED;
            break;
        }
        case COPY: memcpy(work->to, work->own ? work->own : work->from, work->bytes); break;
        case SET: memset(work->to, work->value, work->bytes); break;
        case RECORD: work->event->ran = work->number; break;
        case WAIT:
            while (work->event->ran < work->number && !lost) {
                Stream* stream = work->event->stream;
                Work* end = stream->first;
                while (end && !(end->kind == RECORD && end->event == work->event)) end = end->next;
                if (!end) break;
                run_to(stream, end);
            }
            break;
    }
}

// Runs a stream up to a piece of work, or all of it.
static void run_to(Stream* stream, Work* end) {
    while (stream->first) {
        Work* work = stream->first;
        stream->first = work->next;
        if (!stream->first) stream->last = NULL;
        if (!lost) run(work);
        const int there = work == end;
        free(work->own);
        free(work);
        if (there) return;
    }
}

static Work* put(Stream* stream, Kind kind) {
    Work* work = calloc(1, sizeof(Work));
    work->kind = kind;
    if (stream->last)
        stream->last->next = work;
    else
        stream->first = work;
    stream->last = work;
    return work;
}

// Whether `bytes` from `at` on lie in one of these blocks.
static int within(const Block* block, const void* at, size_t bytes) {
    for (; block; block = block->next) {
        const char* p = at;
        if (p >= block->at && p + bytes <= block->at + block->bytes) return 1;
    }
    return 0;
}

static int take(Block** list, size_t bytes, size_t* used, size_t most, void** at) {
    if (bytes > most - *used) return OUT_OF_MEMORY;
    Block* block = malloc(sizeof(Block));
    *block = (Block){*list, malloc(bytes), bytes};
    // No zeros come with it.
    memset(block->at, 0xff, bytes);
    *list = block;
    *used += bytes;
    *at = block->at;
    return SUCCESS;
}

static int give(Block** list, void* at, size_t* used) {
    for (Stream* s = streams; s; s = s->next) run_to(s, NULL);
    for (; *list; list = &(*list)->next) {
        Block* block = *list;
        if (block->at != at) continue;
        *list = block->next;
        *used -= block->bytes;
        free(block->at);
        free(block);
        return SUCCESS;
    }
    return INVALID_VALUE;
}

int cuInit(unsigned flags) {
    (void)flags;
    pthread_mutex_lock(&lock);
    if (!started) {
        started = 1;
        devices = number("FAKE_CUDA_DEVICES", 1);
        capability = number("FAKE_CUDA_CAPABILITY", 90);
        version = number("FAKE_CUDA_VERSION", 13000);
        launches = number("FAKE_CUDA_LAUNCHES", -1);
        memory = (size_t)number("FAKE_CUDA_MEMORY", 1L << 34);
        pinned = (size_t)number("FAKE_CUDA_PINNED", 1L << 34);
        const char* copies = getenv("FAKE_CUDA_COPIES");
        early = copies && !strcmp(copies, "early");
        wrong = getenv("FAKE_CUDA_WRONG") != NULL;
        if (getenv("FAKE_CUDA_LOG")) trace = fopen(getenv("FAKE_CUDA_LOG"), "w");
    }
    pthread_mutex_unlock(&lock);
    return devices ? SUCCESS : NO_DEVICE;
}

int cuDriverGetVersion(int* v) {
    *v = (int)version;
    return SUCCESS;
}

static const char* const NAMES[][2] = {
    {"CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {"CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {"CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {"CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "the provided PTX was compiled with an unsupported toolchain."},
    {"CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
};

static int row(int error) {
    const int errors[] = {INVALID_VALUE, OUT_OF_MEMORY, NO_DEVICE, UNSUPPORTED_PTX_VERSION, LAUNCH_FAILED};
    for (int i = 0; i < 5; ++i)
        if (errors[i] == error) return i;
    return -1;
}

int cuGetErrorName(int error, const char** text) {
    if (row(error) < 0) return INVALID_VALUE;
    *text = NAMES[row(error)][0];
    return SUCCESS;
}

int cuGetErrorString(int error, const char** text) {
    if (row(error) < 0) return INVALID_VALUE;
    *text = NAMES[row(error)][1];
    return SUCCESS;
}

int cuDeviceGetCount(int* count) {
    *count = (int)devices;
    return SUCCESS;
}

int cuDeviceGet(int* device, int index) {
    *device = index;
    return index < devices ? SUCCESS : INVALID_DEVICE;
}

int cuDeviceGetName(char* name, int length, int device) {
    snprintf(name, (size_t)length, "Fake %d", device);
    return SUCCESS;
}

int cuDeviceTotalMem_v2(size_t* bytes, int device) {
    (void)device;
    *bytes = memory;
    return SUCCESS;
}

int cuDeviceGetAttribute(int* value, int which, int device) {
    (void)device;
    switch (which) {
        case 8: *value = 48 << 10; break;
        // As few as the host build says: sums are cut into as many parts.
        case 16: *value = 1; break;
        case 75: *value = (int)capability / 10; break;
        case 76: *value = (int)capability % 10; break;
        case 97: *value = 227 << 10; break;
        default: *value = 0;
    }
    return SUCCESS;
}

int cuDevicePrimaryCtxRetain(void** context, int device) {
    (void)device;
    *context = &the_context;
    return lost;
}

int cuDevicePrimaryCtxRelease_v2(int device) {
    (void)device;
    return lost;
}

int cuCtxGetCurrent(void** context) {
    *context = current;
    return SUCCESS;
}

int cuCtxSetCurrent(void* context) {
    current = context;
    return SUCCESS;
}

CALL(cuCtxSynchronize, (void), {
    for (Stream* s = streams; s; s = s->next) run_to(s, NULL);
    result = lost;
})

CALL(cuMemGetInfo_v2, (size_t* free, size_t* total), {
    *free = memory - memory_used;
    *total = memory;
})

CALL(cuMemAlloc_v2, (uint64_t* at, size_t bytes), {
    void* block = NULL;
    result = take(&on_device, bytes, &memory_used, memory, &block);
    *at = (uint64_t)block;
})

CALL(cuMemFree_v2, (uint64_t at), { result = give(&on_device, (void*)at, &memory_used); })

CALL(cuMemHostAlloc, (void** at, size_t bytes, unsigned flags), {
    (void)flags;
    result = take(&on_host, bytes, &pinned_used, pinned, at);
})

CALL(cuMemFreeHost, (void* at), { result = give(&on_host, at, &pinned_used); })

CALL(cuStreamCreate, (Stream** stream, unsigned flags), {
    (void)flags;
    *stream = calloc(1, sizeof(Stream));
    (*stream)->name = ++names;
    (*stream)->next = streams;
    streams = *stream;
})

CALL(cuStreamDestroy_v2, (Stream* stream), {
    run_to(stream, NULL);
    Stream** list = &streams;
    while (*list != stream) list = &(*list)->next;
    *list = stream->next;
    free(stream);
})

CALL(cuStreamQuery, (Stream* stream), {
    // A piece of work is done meanwhile.
    if (stream->first) run_to(stream, stream->first);
    result = lost ? lost : stream->first ? NOT_READY : SUCCESS;
})

CALL(cuStreamSynchronize, (Stream* stream), {
    if (stream->capturing) {
        result = CAPTURE_UNSUPPORTED;
    } else {
        SAY("wait for stream %d\n", stream->name);
        run_to(stream, NULL);
        result = lost;
    }
})

CALL(cuMemsetD8Async, (uint64_t at, unsigned char value, size_t bytes, Stream* stream), {
    if (stream->capturing) {
        result = CAPTURE_UNSUPPORTED;
    } else if (!within(on_device, (void*)at, bytes)) {
        result = INVALID_VALUE;
    } else {
        Work* work = put(stream, SET);
        work->to = (void*)at;
        work->bytes = bytes;
        work->value = value;
    }
})

CALL(cuMemcpyHtoDAsync_v2, (uint64_t to, const void* from, size_t bytes, Stream* stream), {
    if (stream->capturing) {
        result = CAPTURE_UNSUPPORTED;
    } else if (!within(on_device, (void*)to, bytes)) {
        result = INVALID_VALUE;
    } else {
        const int locked = within(on_host, from, bytes);
        SAY("copy %s on stream %d\n", locked ? "page-locked" : "pageable", stream->name);
        Work* work = put(stream, COPY);
        work->to = (void*)to;
        work->from = from;
        work->bytes = bytes;
        if (!locked) {
            work->own = malloc(bytes);
            memcpy(work->own, from, bytes);
        }
        if (locked && early) run_to(stream, NULL);
        result = lost;
    }
})

CALL(cuMemcpyDtoHAsync_v2, (void* to, uint64_t from, size_t bytes, Stream* stream), {
    if (stream->capturing) {
        result = CAPTURE_UNSUPPORTED;
    } else if (!within(on_device, (void*)from, bytes)) {
        result = INVALID_VALUE;
    } else {
        run_to(stream, NULL);
        if (!lost) memcpy(to, (void*)from, bytes);
        result = lost;
    }
})

CALL(cuEventCreate, (Event** event, unsigned flags), {
    (void)flags;
    *event = calloc(1, sizeof(Event));
    (*event)->name = ++names;
})

CALL(cuEventDestroy_v2, (Event* event), {
    for (Stream* s = streams; s; s = s->next) run_to(s, NULL);
    free(event);
})

CALL(cuEventRecord, (Event* event, Stream* stream), {
    SAY("record event %d on stream %d\n", event->name, stream->name);
    // Only the last record of an event counts, so the one before is not left behind on another stream.
    if (event->stream && event->stream != stream) run_to(event->stream, NULL);
    Work* work = put(stream, RECORD);
    work->event = event;
    work->number = ++event->asked;
    event->stream = stream;
})

CALL(cuStreamWaitEvent, (Stream* stream, Event* event, unsigned flags), {
    (void)flags;
    SAY("wait for event %d on stream %d\n", event->name, stream->name);
    Work* work = put(stream, WAIT);
    work->event = event;
    work->number = event->asked;
})

CALL(cuEventSynchronize, (Event* event), {
    SAY("wait for event %d\n", event->name);
    Work work = {.kind = WAIT, .event = event, .number = event->asked};
    run(&work);
    result = lost;
})

CALL(cuModuleLoadData, (Module** module, const char* ptx), {
    // 11.4 is PTX 7.4, 12.4 is 8.4, 13.0 is 9.0.
    const long isa = (version / 1000 - 4) * 10 + version % 1000 / 10;
    const char* line = strstr(ptx, ".version ");
    int major = 0, minor = 0;
    if (!line || sscanf(line, ".version %d.%d", &major, &minor) != 2) {
        result = INVALID_PTX;
    } else if (10 * major + minor > isa) {
        result = UNSUPPORTED_PTX_VERSION;
    } else {
        *module = malloc(sizeof(Module));
        (*module)->text = strdup(ptx);
    }
})

CALL(cuModuleUnload, (Module* module), {
    free(module->text);
    free(module);
})

CALL(cuModuleGetFunction, (Function** function, Module* module, const char* name), {
    char entry[256], host[256];
    snprintf(entry, sizeof entry, ".entry %s(", name);
    snprintf(host, sizeof host, "host_%s", name);
    const char* there = strstr(module->text, entry);
    const char* threads = there ? strstr(there, ".maxntid ") : NULL;
    Dl_info own;
    dladdr(&the_context, &own);
    void* library = dlopen(own.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    Entry code = library ? (Entry)dlsym(library, host) : NULL;
    if (!threads || !code) {
        result = NOT_FOUND;
    } else {
        *function = malloc(sizeof(Function));
        **function = (Function){code, (unsigned)atoi(threads + 9), 48 << 10};
    }
})

// What a kernel declares of shared memory itself is not known here: none.
CALL(cuFuncGetAttribute, (int* value, int which, Function* function), {
    (void)function;
    if (which == 1) *value = 0;
    else result = INVALID_VALUE;
})

CALL(cuFuncSetAttribute, (Function * function, int which, int value), {
    if (which == 8 && value >= 0 && value <= 227 << 10) function->shared = (unsigned)value;
    else result = INVALID_VALUE;
})

CALL(cuLaunchKernel,
     (Function * function, unsigned x, unsigned y, unsigned z, unsigned bx, unsigned by, unsigned bz,
      unsigned shared, Stream* stream, void** arguments, void** extra),
     {
         (void)extra;
         const int sizes = x && y && z && y <= 65535 && z <= 65535 && bx == function->threads &&
                           by == 1 && bz == 1 && shared <= function->shared;
         if (!sizes) {
             result = INVALID_VALUE;
         } else {
             Work* work;
             if (stream->capturing) {
                 Work** end = &stream->captured;
                 while (*end) end = &(*end)->next;
                 work = *end = calloc(1, sizeof(Work));
             } else {
                 SAY("kernel on stream %d\n", stream->name);
                 work = put(stream, KERNEL);
             }
             work->kind = KERNEL;
             work->function = function;
             // The kernel sets the shape of its blocks.
             work->launch = (Launch){{x, y, z}, {1, 1, 1}, shared, 0};
             memcpy(work->arguments, arguments[0], ARGUMENTS);
         }
     })

CALL(cuStreamBeginCapture_v2, (Stream* stream, int mode), {
    (void)mode;
    if (stream->capturing) result = CAPTURE_UNSUPPORTED;
    stream->capturing = 1;
})

CALL(cuStreamEndCapture, (Stream* stream, Work*** graph), {
    *graph = malloc(sizeof(Work*));
    **graph = stream->captured;
    stream->captured = NULL;
    stream->capturing = 0;
})

static Work* copy_of(const Work* work) {
    Work* first = NULL;
    for (Work** end = &first; work; work = work->next, end = &(*end)->next) {
        *end = malloc(sizeof(Work));
        **end = *work;
        (*end)->last = !work->next;
        (*end)->next = NULL;
    }
    return first;
}

static void drop(Work** graph) {
    for (Work* work = *graph; work;) {
        Work* next = work->next;
        free(work);
        work = next;
    }
    free(graph);
}

#ifndef WITHOUT
CALL(cuGraphInstantiateWithFlags, (Work*** made, Work** graph, unsigned long long flags), {
    (void)flags;
    *made = malloc(sizeof(Work*));
    **made = copy_of(*graph);
})
#endif

CALL(cuGraphLaunch, (Work** graph, Stream* stream), {
    if (stream->capturing) {
        result = CAPTURE_UNSUPPORTED;
    } else {
        SAY("graph on stream %d\n", stream->name);
        for (Work* work = copy_of(*graph); work;) {
            Work* next = work->next;
            work->next = NULL;
            if (stream->last)
                stream->last->next = work;
            else
                stream->first = work;
            stream->last = work;
            work = next;
        }
    }
})

CALL(cuGraphExecDestroy, (Work** graph), { drop(graph); })

CALL(cuGraphDestroy, (Work** graph), { drop(graph); })
