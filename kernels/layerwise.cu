#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/layerwise.comp"
LVQ_KERNEL_END
