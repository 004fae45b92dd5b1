// CUDA kernels as ordinary C++17: what a .cu file needs to be compiled by g++ or clang++ and run on
// the CPU, block by block. It exists for tests: the same source that becomes PTX is run here, under
// rules that are stricter than a GPU's.
//
// How. The threads of a block are fibres (ucontext, then setjmp) on one thread of the operating
// system. A fibre runs until it ends or reaches a barrier; then the next one runs. So a value that another thread was
// to write before a barrier, and that is read without one, is read too early every time and not once
// in a thousand runs. Threads can be run in descending order too, which turns most of the remaining
// ordering mistakes into wrong results.
//
// What is there. threadIdx, blockIdx, blockDim, gridDim, warpSize; __shared__ and dynamic shared
// memory (lvq.h); __syncthreads and its _count, _and, _or; __syncwarp, shuffles, votes; atomics; the
// device functions listed below. Kernel arguments come as an array of pointers to them, as for
// cuLaunchKernel.
//
// What is refused. A launch outside a GPU's limits; a block in which some threads wait at a barrier
// that others never reach, or at different barriers; a warp function whose mask lacks the caller.
//
// What is not modelled. Memory order between threads without barriers, bank conflicts, speed, and
// instructions that need the hardware (tensor cores, bulk copies).
//
// The code needs no C++ runtime library: no exceptions, no `new`.
#pragma once

#define LVQ_HOST 1

// The checked longjmp takes a jump from one stack to another for a mistake.
#undef _FORTIFY_SOURCE

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
// One copy a thread of the operating system: blocks run one after the other there, and two tests that
// launch at the same time do not meet.
#define __shared__ static thread_local

struct uint3 {
    unsigned x, y, z;
};

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

inline thread_local uint3 threadIdx{};
inline thread_local uint3 blockIdx{};
inline thread_local dim3 blockDim{};
inline thread_local dim3 gridDim{};
constexpr int warpSize = 32;

namespace lvq_host {

// A launch as the caller describes it; the Rust side declares the same fields.
struct Launch {
    unsigned grid[3];
    unsigned block[3];
    // Bytes of dynamic shared memory.
    unsigned shared_bytes;
    // Not 0: threads run in descending order.
    unsigned descending;
};

// The limits of compute capability 7.5 and later; shared memory as of 9.0.
constexpr unsigned MAX_THREADS = 1024;
constexpr unsigned MAX_SHARED = 227 * 1024;

// The stack that a fibre runs on. When a fibre ends, its strand waits for the next one: a kernel
// without barriers runs on one strand, whose stack stays in the cache.
struct Strand {
    jmp_buf context;
    bool started;
};

enum class State : unsigned char { Ready, AtBlock, AtWarp, Done };

constexpr unsigned NO_STRAND = ~0u;

struct Fibre {
    unsigned strand;
    State state;
    // Which barrier it waits at: a line for the block's, a mask for the warp's.
    unsigned barrier;
    uint3 index;
    // What it offers the other lanes in a shuffle or a vote.
    uint64_t offer;
};

// What a thread of the operating system keeps from launch to launch. One mapping: this, the dynamic
// shared memory, and a stack a strand with a page below it that traps an overflow. Untouched pages
// cost nothing.
struct Room {
    Fibre fibres[MAX_THREADS];
    Strand strands[MAX_THREADS];
    // Strands that wait for a fibre; the last is the next.
    unsigned free[MAX_THREADS];
    unsigned free_count;
    jmp_buf scheduler;
    size_t page;
    size_t bytes;
    unsigned char* dynamic;
    unsigned char* stacks;
};

constexpr size_t STACK = 256 * 1024;

inline thread_local Room* room = nullptr;

// Of a thread that ends.
inline void leave(void* mapping) { munmap(mapping, static_cast<Room*>(mapping)->bytes); }

inline pthread_key_t key;
inline pthread_once_t key_once = PTHREAD_ONCE_INIT;
inline void make_key() { pthread_key_create(&key, leave); }

// The room of this thread; null when there is no memory for it.
inline Room* enter_room() {
    if (room) return room;
    const size_t page = size_t(sysconf(_SC_PAGESIZE));
    const auto pages = [page](size_t bytes) { return (bytes + page - 1) / page * page; };
    const size_t head = pages(sizeof(Room)), dynamic = pages(MAX_SHARED);
    const size_t bytes = head + dynamic + MAX_THREADS * (page + pages(STACK));
    void* mapping = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED) return nullptr;
    room = static_cast<Room*>(mapping);
    room->page = page;
    room->bytes = bytes;
    room->dynamic = static_cast<unsigned char*>(mapping) + head;
    room->stacks = room->dynamic + dynamic;
    for (unsigned s = MAX_THREADS; s > 0; --s) room->free[room->free_count++] = s - 1;
    pthread_once(&key_once, make_key);
    pthread_setspecific(key, room);
    return room;
}

// Gives it back: after a launch that failed, fibres stand in it that will never end.
inline void clear_room() {
    pthread_setspecific(key, nullptr);
    leave(room);
    room = nullptr;
}

struct Block {
    Fibre* fibres;
    unsigned threads;
    unsigned current;
    void (*body)(void*);
    void* closure;
    unsigned char* dynamic;
    const char* error;
};

inline thread_local Block* block = nullptr;

inline Fibre& self() { return block->fibres[block->current]; }

// Leaves one stack and goes on where another was left. Not inlined, here and below: what calls setjmp
// returns twice, and its caller's variables are to stay in registers.
__attribute__((noinline)) inline void jump(jmp_buf& from, jmp_buf& to) {
    if (!_setjmp(from)) _longjmp(to, 1);
}

inline void wait(State state, unsigned barrier) {
    Fibre& fibre = self();
    fibre.state = state;
    fibre.barrier = barrier;
    jump(room->strands[fibre.strand].context, room->scheduler);
}

// Ends this fibre's part in the launch, which then fails with `why`.
inline void fail(const char* why) {
    if (!block->error) block->error = why;
    wait(State::Done, 0);
}

// What runs on a strand: one fibre after the other.
inline void live() {
    for (;;) {
        block->body(block->closure);
        self().state = State::Done;
        const unsigned strand = self().strand;
        room->free[room->free_count++] = strand;
        jump(room->strands[strand].context, room->scheduler);
    }
}

// Begins to use a strand.
__attribute__((noinline)) inline void start(unsigned number) {
    unsigned char* below = room->stacks + number * (room->page + STACK);
    mprotect(below, room->page, PROT_NONE);
    room->strands[number].started = true;
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = below + room->page;
    context.uc_stack.ss_size = STACK;
    context.uc_link = nullptr;
    makecontext(&context, live, 0);
    if (!_setjmp(room->scheduler)) setcontext(&context);
}

inline void resume(unsigned thread) {
    Fibre& fibre = block->fibres[thread];
    block->current = thread;
    threadIdx = fibre.index;
    if (fibre.strand == NO_STRAND) fibre.strand = room->free[--room->free_count];
    Strand& strand = room->strands[fibre.strand];
    if (strand.started)
        jump(room->scheduler, strand.context);
    else
        start(fibre.strand);
}

// Lanes of the warp that begins at thread `first` that have not ended, as a mask.
inline unsigned live_lanes(unsigned first) {
    unsigned mask = 0;
    for (unsigned lane = 0; lane < 32 && first + lane < block->threads; ++lane)
        if (block->fibres[first + lane].state != State::Done) mask |= 1u << lane;
    return mask;
}

// Lets lanes go that wait for a warp barrier which all live lanes of their mask have reached.
inline bool release_warp(unsigned first) {
    const unsigned live = live_lanes(first);
    bool released = false;
    for (unsigned lane = 0; lane < 32; ++lane) {
        if (!(live >> lane & 1)) continue;
        const Fibre& fibre = block->fibres[first + lane];
        if (fibre.state != State::AtWarp) continue;
        const unsigned group = fibre.barrier & live;
        const unsigned mask = fibre.barrier;
        bool complete = true;
        for (unsigned other = 0; other < 32; ++other) {
            if (!(group >> other & 1)) continue;
            const Fibre& o = block->fibres[first + other];
            complete = complete && o.state == State::AtWarp && o.barrier == mask;
        }
        if (!complete) continue;
        for (unsigned other = 0; other < 32; ++other)
            if (group >> other & 1) block->fibres[first + other].state = State::Ready;
        released = true;
    }
    return released;
}

// Runs one block to its end; what went wrong, or null.
inline const char* run_block(bool descending) {
    const unsigned warps = (block->threads + 31) / 32;
    for (;;) {
        bool progress = false;
        for (unsigned k = 0; k < warps; ++k) {
            const unsigned first = 32 * (descending ? warps - 1 - k : k);
            const unsigned lanes = block->threads - first < 32 ? block->threads - first : 32;
            do {
                for (unsigned l = 0; l < lanes; ++l) {
                    const unsigned thread = first + (descending ? lanes - 1 - l : l);
                    if (block->fibres[thread].state != State::Ready) continue;
                    resume(thread);
                    progress = true;
                    if (block->error) return block->error;
                }
            } while (release_warp(first));
        }
        if (progress) continue;

        // Nobody can run: all ended, or all wait.
        unsigned done = 0, at_block = 0, line = 0;
        bool one_line = true;
        for (unsigned t = 0; t < block->threads; ++t) {
            const Fibre& fibre = block->fibres[t];
            done += fibre.state == State::Done;
            if (fibre.state != State::AtBlock) continue;
            one_line = one_line && (at_block == 0 || fibre.barrier == line);
            line = fibre.barrier;
            ++at_block;
        }
        if (done == block->threads) return nullptr;
        if (done + at_block < block->threads)
            return "a warp waits for lanes that never come: a mask names lanes that are elsewhere";
        if (done) return "threads wait at __syncthreads in a block that others have left";
        if (!one_line) return "threads of a block wait at different __syncthreads";
        for (unsigned t = 0; t < block->threads; ++t) block->fibres[t].state = State::Ready;
    }
}

template <class... Parameters, size_t... I>
void call(void (*kernel)(Parameters...), void** arguments, std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_const_t<Parameters>*>(arguments[I])...);
}

template <class... Parameters>
struct Closure {
    void (*kernel)(Parameters...);
    void** arguments;
    static void run(void* self) {
        const Closure& closure = *static_cast<Closure*>(self);
        call(closure.kernel, closure.arguments, std::index_sequence_for<Parameters...>{});
    }
};

// Runs `kernel` on the whole grid; what went wrong, or null. `arguments` points to each argument.
template <class... Parameters>
const char* launch(const Launch& l, void (*kernel)(Parameters...), void** arguments) {
    const uint64_t threads = uint64_t(l.block[0]) * l.block[1] * l.block[2];
    if (l.block[0] > 1024 || l.block[1] > 1024 || l.block[2] > 64 || threads > MAX_THREADS)
        return "a block may have 1024 x 1024 x 64 threads, and 1024 in all";
    if (threads == 0 || l.grid[0] == 0 || l.grid[1] == 0 || l.grid[2] == 0)
        return "a grid or block of size 0";
    if (l.grid[0] > 0x7fffffffu || l.grid[1] > 65535 || l.grid[2] > 65535)
        return "a grid may have 2147483647 x 65535 x 65535 blocks";
    if (l.shared_bytes > MAX_SHARED) return "more dynamic shared memory than a block can have";
    if (block) return "a kernel cannot launch a kernel";

    if (!enter_room()) return "no memory for the threads' stacks";

    Closure<Parameters...> closure{kernel, arguments};
    Block here{};
    here.fibres = room->fibres;
    here.threads = unsigned(threads);
    here.body = Closure<Parameters...>::run;
    here.closure = &closure;
    here.dynamic = room->dynamic;
    block = &here;
    blockDim = dim3(l.block[0], l.block[1], l.block[2]);
    gridDim = dim3(l.grid[0], l.grid[1], l.grid[2]);

    const char* error = nullptr;
    for (unsigned z = 0; z < l.grid[2] && !error; ++z) {
        for (unsigned y = 0; y < l.grid[1] && !error; ++y) {
            for (unsigned x = 0; x < l.grid[0] && !error; ++x) {
                blockIdx = uint3{x, y, z};
                // Shared memory begins with no particular content; all ones are NaN as a float.
                memset(here.dynamic, 0xff, l.shared_bytes);
                for (unsigned t = 0; t < here.threads; ++t) {
                    Fibre& fibre = here.fibres[t];
                    fibre.strand = NO_STRAND;
                    fibre.state = State::Ready;
                    fibre.index = uint3{t % l.block[0], t / l.block[0] % l.block[1],
                                        t / (l.block[0] * l.block[1])};
                }
                error = run_block(l.descending != 0);
            }
        }
    }
    block = nullptr;
    if (error) clear_room();
    return error;
}

// The same with as many threads along x as the kernel says.
template <class... Parameters>
const char* launch(const Launch& l, unsigned threads, void (*kernel)(Parameters...), void** arguments) {
    Launch whole = l;
    whole.block[0] = threads;
    whole.block[1] = whole.block[2] = 1;
    return launch(whole, kernel, arguments);
}

template <class T>
T* dynamic_shared() {
    return reinterpret_cast<T*>(block->dynamic);
}

inline unsigned lane() { return block->current % 32; }
inline unsigned warp_first() { return block->current - lane(); }

inline void warp_barrier(unsigned mask) {
    if (!(mask >> lane() & 1)) fail("a lane called a warp function with a mask that lacks it");
    wait(State::AtWarp, mask);
}

// What lane `source` of the caller's warp offers; the caller's own value where that lane takes no
// part (undefined on a GPU).
template <class T>
T exchange(unsigned mask, T value, unsigned source) {
    static_assert(sizeof(T) <= sizeof(uint64_t) && std::is_trivially_copyable_v<T>);
    memcpy(&self().offer, &value, sizeof(T));
    warp_barrier(mask);
    const unsigned thread = warp_first() + source;
    T result = value;
    if (source < 32 && mask >> source & 1 && thread < block->threads)
        memcpy(&result, &block->fibres[thread].offer, sizeof(T));
    // Nobody may offer anew before all have read.
    warp_barrier(mask);
    return result;
}

// What every lane of a whole warp offers.
inline void gather(uint64_t own, uint64_t (&all)[32]) {
    self().offer = own;
    warp_barrier(0xffffffffu);
    for (unsigned l = 0; l < 32; ++l) all[l] = block->fibres[warp_first() + l].offer;
    warp_barrier(0xffffffffu);
}

// Which lanes of `mask` gave a predicate that holds.
inline unsigned vote(unsigned mask, bool predicate) {
    self().offer = predicate;
    warp_barrier(mask);
    unsigned result = 0;
    for (unsigned l = 0; l < 32 && warp_first() + l < block->threads; ++l) {
        const Fibre& fibre = block->fibres[warp_first() + l];
        if (mask >> l & 1 && fibre.state != State::Done && fibre.offer) result |= 1u << l;
    }
    warp_barrier(mask);
    return result;
}

// How many threads of the block gave a predicate that holds.
inline int count(bool predicate, unsigned line) {
    self().offer = predicate;
    wait(State::AtBlock, line);
    int result = 0;
    for (unsigned t = 0; t < block->threads; ++t) result += block->fibres[t].offer != 0;
    wait(State::AtBlock, line);
    return result;
}

// Reads, changes, writes; nothing can come between on one thread of the operating system.
template <class T, class F>
T atomic(T* address, F change) {
    const T old = *address;
    *address = change(old);
    return old;
}

}  // namespace lvq_host

// Barriers. The line number tells one __syncthreads from another.
inline void __syncthreads(unsigned line = __builtin_LINE()) {
    lvq_host::wait(lvq_host::State::AtBlock, line);
}
inline int __syncthreads_count(int predicate, unsigned line = __builtin_LINE()) {
    return lvq_host::count(predicate != 0, line);
}
inline int __syncthreads_or(int predicate, unsigned line = __builtin_LINE()) {
    return lvq_host::count(predicate != 0, line) > 0;
}
inline int __syncthreads_and(int predicate, unsigned line = __builtin_LINE()) {
    return lvq_host::count(predicate != 0, line) == int(lvq_host::block->threads);
}
inline void __syncwarp(unsigned mask = 0xffffffffu) { lvq_host::warp_barrier(mask); }
inline void __threadfence() {}
inline void __threadfence_block() {}

// Shuffles. `width` is a power of two: the warp counts as 32 / width groups of its own.
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
    const unsigned group = lvq_host::lane() & ~unsigned(width - 1);
    return lvq_host::exchange(mask, value, group | (unsigned(source) & unsigned(width - 1)));
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
    const unsigned lane = lvq_host::lane();
    const unsigned in_group = lane & unsigned(width - 1);
    return lvq_host::exchange(mask, value, delta <= in_group ? lane - delta : lane);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
    const unsigned lane = lvq_host::lane();
    const unsigned in_group = lane & unsigned(width - 1);
    return lvq_host::exchange(mask, value, delta < unsigned(width) - in_group ? lane + delta : lane);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32) {
    const unsigned lane = lvq_host::lane();
    const unsigned other = lane ^ unsigned(lanes);
    // A later group is out of reach, an earlier one is not.
    const unsigned last = lane | unsigned(width - 1);
    return lvq_host::exchange(mask, value, other <= last ? other : lane);
}

// Votes.
inline unsigned __ballot_sync(unsigned mask, int predicate) {
    return lvq_host::vote(mask, predicate != 0);
}
inline int __any_sync(unsigned mask, int predicate) {
    return lvq_host::vote(mask, predicate != 0) != 0;
}
inline int __all_sync(unsigned mask, int predicate) {
    return lvq_host::vote(mask, predicate == 0) == 0;
}

// Atomics. The value's type follows the address's, as with CUDA's overloads.
template <class T>
T atomicAdd(T* address, std::common_type_t<T> value) {
    return lvq_host::atomic(address, [=](T old) { return T(old + value); });
}
template <class T>
T atomicSub(T* address, std::common_type_t<T> value) {
    return lvq_host::atomic(address, [=](T old) { return T(old - value); });
}
template <class T>
T atomicMin(T* address, std::common_type_t<T> value) {
    return lvq_host::atomic(address, [=](T old) { return value < old ? value : old; });
}
template <class T>
T atomicMax(T* address, std::common_type_t<T> value) {
    return lvq_host::atomic(address, [=](T old) { return old < value ? value : old; });
}
template <class T>
T atomicAnd(T* address, std::common_type_t<T> value) {
    return lvq_host::atomic(address, [=](T old) { return T(old & value); });
}
template <class T>
T atomicOr(T* address, std::common_type_t<T> value) {
    return lvq_host::atomic(address, [=](T old) { return T(old | value); });
}
template <class T>
T atomicExch(T* address, std::common_type_t<T> value) {
    return lvq_host::atomic(address, [=](T) { return value; });
}
template <class T>
T atomicCAS(T* address, std::common_type_t<T> expected, std::common_type_t<T> value) {
    return lvq_host::atomic(address, [=](T old) { return old == expected ? value : old; });
}

// Device functions.
template <class T>
T __ldg(const T* address) {
    return *address;
}
template <class T>
T min(T a, std::common_type_t<T> b) {
    return b < a ? b : a;
}
template <class T>
T max(T a, std::common_type_t<T> b) {
    return a < b ? b : a;
}
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned __float_as_uint(float x) {
    unsigned bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
inline float __uint_as_float(unsigned bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
inline float2 make_float2(float x, float y) { return float2{x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return float4{x, y, z, w}; }
