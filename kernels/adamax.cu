#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/adamax.comp"
LVQ_KERNEL_END
