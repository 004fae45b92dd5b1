#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/sum.comp"
LVQ_KERNEL_END
