#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/finite.comp"
LVQ_KERNEL_END
