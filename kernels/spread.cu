#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/spread.comp"
LVQ_KERNEL_END
