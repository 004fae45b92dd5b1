#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/rmsprop.comp"
LVQ_KERNEL_END
