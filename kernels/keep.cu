#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/keep.comp"
LVQ_KERNEL_END
