#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/lbfgs.comp"
LVQ_KERNEL_END
