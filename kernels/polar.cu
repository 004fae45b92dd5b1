#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/polar.comp"
LVQ_KERNEL_END
