#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/cross_entropy.comp"
LVQ_KERNEL_END
