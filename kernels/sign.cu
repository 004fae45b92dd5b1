#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/sign.comp"
LVQ_KERNEL_END
