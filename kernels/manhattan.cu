#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/manhattan.comp"
LVQ_KERNEL_END
