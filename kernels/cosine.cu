#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/cosine.comp"
LVQ_KERNEL_END
