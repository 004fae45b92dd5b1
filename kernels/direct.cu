#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/direct.comp"
LVQ_KERNEL_END
