#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/lp.comp"
LVQ_KERNEL_END
