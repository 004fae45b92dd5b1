#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/squared_euclidean.comp"
LVQ_KERNEL_END
