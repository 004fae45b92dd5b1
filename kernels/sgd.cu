#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/sgd.comp"
LVQ_KERNEL_END
