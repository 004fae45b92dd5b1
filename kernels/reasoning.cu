#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/reasoning.comp"
LVQ_KERNEL_END
