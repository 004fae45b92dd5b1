#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/sm3.comp"
LVQ_KERNEL_END
