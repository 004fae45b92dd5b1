#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/euclidean.comp"
LVQ_KERNEL_END
