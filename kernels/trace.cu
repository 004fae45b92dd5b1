#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/trace.comp"
LVQ_KERNEL_END
