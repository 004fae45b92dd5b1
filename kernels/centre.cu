#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/centre.comp"
LVQ_KERNEL_END
