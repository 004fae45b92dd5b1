#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/hinge.comp"
LVQ_KERNEL_END
