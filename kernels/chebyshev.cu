#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/chebyshev.comp"
LVQ_KERNEL_END
