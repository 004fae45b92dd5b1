#ifdef ENTRY_ranks_own
// As many blocks as a multiprocessor could hold would leave ptxas too few registers: it would spill.
#define LVQ_BLOCKS 1
#endif

#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/glvq.comp"
LVQ_KERNEL_END
