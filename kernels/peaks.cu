#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/peaks.comp"
LVQ_KERNEL_END
