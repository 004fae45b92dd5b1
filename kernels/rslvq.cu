// As many blocks as a multiprocessor could hold would leave ptxas too few registers: it would spill.
#define LVQ_BLOCKS 1

#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/rslvq.comp"
LVQ_KERNEL_END
