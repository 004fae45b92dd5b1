#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/yogi.comp"
LVQ_KERNEL_END
