#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/exponential.comp"
LVQ_KERNEL_END
