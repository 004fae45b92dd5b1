#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/hypergradient.comp"
LVQ_KERNEL_END
