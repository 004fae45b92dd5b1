#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/blend.comp"
LVQ_KERNEL_END
