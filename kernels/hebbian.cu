#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/hebbian.comp"
LVQ_KERNEL_END
