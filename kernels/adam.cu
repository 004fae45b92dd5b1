#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/adam.comp"
LVQ_KERNEL_END
