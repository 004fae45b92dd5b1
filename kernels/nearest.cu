#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/nearest.comp"
LVQ_KERNEL_END
