#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/rprop.comp"
LVQ_KERNEL_END
