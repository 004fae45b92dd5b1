#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/clamp.comp"
LVQ_KERNEL_END
