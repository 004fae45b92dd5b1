#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/nllr.comp"
LVQ_KERNEL_END
