#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/bandwidth.comp"
LVQ_KERNEL_END
