// Where the parts of `prepared` begin (winners.cu makes it ready), in words, for P prototypes of L terms, both rounded up: prototypes in the
// order in which lanes take them as operands, prototypes one after another, |w|^2 of each, weights of the terms.
#pragma once

#include "lvq.h"

LVQ_NAMESPACE {

struct Prepared {
    unsigned rows, norms, weights;
    __device__ __forceinline__ Prepared(unsigned P, unsigned L) : rows(P * L), norms(2 * P * L), weights(2 * P * L + P) {}
};

}  // LVQ_NAMESPACE
