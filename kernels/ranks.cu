#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/ranks.comp"
LVQ_KERNEL_END
