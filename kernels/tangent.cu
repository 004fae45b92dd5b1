#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/tangent.comp"
LVQ_KERNEL_END
